// SPDX-License-Identifier: GPL-2.0-or-later
// RTM_*QDISC: what `tc qdisc` sets and shows. GAP: no classes, no filters, no ingress.
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/net/netlink/rtnetlink.h"
#include "kernel/net/sched/sch_generic.h"

namespace xm::os {
namespace {

constexpr u32 kRoot = 0xffffffff, kIngress = 0xfffffff1;

const nla_policy tca_policy[TCA_MAX + 1] = {{}, {NLA_STRING, 15}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {NLA_U8}};

bool put_stats(sk_buff* skb, Qdisc* q) {
  struct {
    u64 bytes;
    u32 packets, pad;
  } basic{};
  struct {
    u32 qlen, backlog, drops, requeues, overlimits;
  } queue{};
  struct {
    u64 bytes;
    u32 packets, drops, overlimits, bps, pps, qlen, backlog, pad;
  } old{};
  if (q != nullptr) {
    BhGuard guard(q->lock);
    basic = {q->bytes, q->packets, 0};
    queue = {q->qlen, q->backlog, q->drops, q->requeues, q->overlimits};
    old = {q->bytes, q->packets, q->drops, q->overlimits, 0, 0, q->qlen, q->backlog, 0};
  }
  nlattr* nest = nla_nest_start(skb, TCA_STATS2);
  if (nest == nullptr || !nla_put(skb, kTcaStatsBasic, &basic, sizeof basic) ||
      !nla_put(skb, kTcaStatsQueue, &queue, sizeof queue))
    return false;
  nla_nest_end(skb, nest);
  return nla_put(skb, TCA_STATS, &old, 36);
}

struct Shown {
  const char* kind;
  Qdisc* q;
  u32 handle, parent;
};

int fill(sk_buff* skb, const net_device* dev, const Shown& s, u16 type, u32 portid, u32 seq, u16 flags) {
  nlmsghdr* nlh = nlmsg_put(skb, portid, seq, type, sizeof(tcmsg), flags);
  if (nlh == nullptr) return -EMSGSIZE;
  const u32 references = s.q != nullptr ? static_cast<u32>(s.q->refcnt.load()) : 2;
  *nlmsg_data<tcmsg>(nlh) = {AF_UNSPEC, 0, 0, dev->ifindex, s.handle, s.parent, references};
  if (!nla_put_string(skb, TCA_KIND, s.kind) ||
      (s.q != nullptr && s.q->ops->dump != nullptr && !s.q->ops->dump(s.q, skb)) ||
      !nla_put_u8(skb, TCA_HW_OFFLOAD, 0) || !put_stats(skb, s.q)) {
    nlmsg_cancel(skb, nlh);
    return -EMSGSIZE;
  }
  nlmsg_end(skb, nlh);
  return 0;
}

// The i-th qdisc of a device as programs see them; false: there are no more.
bool nth(net_device* dev, u32 i, Shown* s) {
  if (dev->qdisc != nullptr) {
    *s = {dev->qdisc->ops->id, dev->qdisc, dev->qdisc->handle, kRoot};
    return i == 0;
  }
  Qdisc* first = dev->tx[0].qdisc;
  if (first == nullptr) {
    *s = {"noqueue", nullptr, 0, kRoot};
    return i == 0 && netif_running(dev);
  }
  if (dev->real_num_tx_queues == 1) {
    *s = {first->ops->id, first, 0, kRoot};
    return i == 0;
  }
  if (i == 0) {
    *s = {"mq", nullptr, 0, kRoot};
    return true;
  }
  if (i > dev->real_num_tx_queues) return false;
  Qdisc* q = dev->tx[i - 1].qdisc;
  *s = {q->ops->id, q, 0, i};
  return true;
}

int dump_qdiscs(sk_buff* skb, netlink_callback* cb) {
  int wanted = 0;
  if (cb->nlh->nlmsg_len >= NLMSG_HDRLEN + sizeof(tcmsg)) wanted = nlmsg_data<tcmsg>(cb->nlh)->tcm_ifindex;
  DumpCursor cursor(cb, 0);
  for (net_device* dev : entries<&net_device::dev_list>(dev_base)) {
    if (wanted != 0 && dev->ifindex != wanted) continue;
    Shown s;
    for (u32 i = 0; nth(dev, i, &s); ++i) {
      if (cursor.skip()) continue;
      if (fill(skb, dev, s, RTM_NEWQDISC, cb->portid, cb->nlh->nlmsg_seq, NLM_F_MULTI) != 0) return 1;
      cursor.done();
    }
  }
  return 0;
}

void notify(net_device* dev, u16 type) {
  Shown s;
  sk_buff* skb = nlmsg_new(1024);
  if (skb == nullptr) return;
  if (nth(dev, 0, &s) && fill(skb, dev, s, type, 0, 0, 0) == 0) {
    rtnl_notify(skb, RTNLGRP_TC);
  } else {
    kfree_skb(skb);
  }
}

struct Request {
  const nlattr* tb[TCA_MAX + 1];
  const tcmsg* tcm;
  net_device* dev;  // rtnl keeps it
};

int parse(const nlmsghdr* nlh, Request* r, netlink_ext_ack* ack) {
  TRY_INT(nlmsg_parse(nlh, sizeof(tcmsg), r->tb, TCA_MAX, tca_policy, false, ack));
  r->tcm = nlmsg_data<tcmsg>(nlh);
  r->dev = dev_get_by_index(r->tcm->tcm_ifindex);
  if (r->dev == nullptr) return -ENODEV;
  dev_put(r->dev);
  if (r->tcm->tcm_parent == kIngress) return nl_error(ack, -EOPNOTSUPP, "No ingress qdiscs here");
  if (r->tcm->tcm_parent != kRoot && r->tcm->tcm_parent != 0)
    return nl_error(ack, -ENOENT, "Failed to find specified qdisc");
  return 0;
}

int new_qdisc(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  Request r;
  TRY_INT(parse(nlh, &r, ack));
  Qdisc* old = r.dev->qdisc;
  const u32 handle = r.tcm->tcm_handle & 0xffff0000;
  const bool same_kind = old != nullptr && (r.tb[TCA_KIND] == nullptr || nla_equals(r.tb[TCA_KIND], old->ops->id));
  const bool same_handle = old != nullptr && (handle == 0 || handle == old->handle);
  if (old != nullptr && same_handle && same_kind && (nlh->nlmsg_flags & NLM_F_EXCL) == 0) {
    if (old->ops->change == nullptr) return nl_error(ack, -ENOSYS, "Change operation not supported by this qdisc");
    TRY_INT(old->ops->change(old, r.tb[TCA_OPTIONS], ack));
    notify(r.dev, RTM_NEWQDISC);
    return 0;
  }
  if (old != nullptr && (nlh->nlmsg_flags & NLM_F_EXCL) != 0)
    return nl_error(ack, -EEXIST, "Exclusivity flag on, cannot modify");
  if ((nlh->nlmsg_flags & NLM_F_CREATE) == 0)
    return nl_error(ack, -ENOENT, "Qdisc not found. To create specify NLM_F_CREATE flag");
  if (r.tb[TCA_KIND] == nullptr) return -EINVAL;
  char kind[16];
  nla_get_string(r.tb[TCA_KIND], kind, sizeof kind);
  Qdisc* fresh = nullptr;
  if (strcmp(kind, "noqueue") != 0) {
    const Qdisc_ops* ops = qdisc_find_ops(kind);
    if (ops == nullptr) return nl_error(ack, -ENOENT, "Specified qdisc kind is unknown");
    int error;
    netdev_queue* txq = r.dev->real_num_tx_queues == 1 ? &r.dev->tx[0] : nullptr;
    fresh = qdisc_create(ops, r.dev, txq, r.tb[TCA_OPTIONS], ack, &error);
    if (fresh == nullptr) return error;
    static u32 next_handle = 0x80000000;
    fresh->handle = handle != 0 ? handle : (next_handle += 0x10000);
    fresh->parent = kRoot;
  }
  dev_graft_qdisc(r.dev, fresh);
  qdisc_put(old);
  notify(r.dev, RTM_NEWQDISC);
  return 0;
}

int del_qdisc(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  Request r;
  TRY_INT(parse(nlh, &r, ack));
  Qdisc* old = r.dev->qdisc;
  if (old == nullptr) return nl_error(ack, -ENOENT, "Cannot delete qdisc with handle of zero");
  if (r.tb[TCA_KIND] != nullptr && !nla_equals(r.tb[TCA_KIND], old->ops->id))
    return nl_error(ack, -EINVAL, "Invalid qdisc name");
  notify(r.dev, RTM_DELQDISC);
  dev_graft_qdisc(r.dev, nullptr);
  qdisc_put(old);
  return 0;
}

int get_qdisc(netlink_sock* sk, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  Request r;
  TRY_INT(parse(nlh, &r, ack));
  Shown s;
  if (!nth(r.dev, 0, &s)) return -ENOENT;
  sk_buff* skb = nlmsg_new(1024);
  if (skb == nullptr) return -ENOBUFS;
  const int error = fill(skb, r.dev, s, RTM_NEWQDISC, sk->portid, nlh->nlmsg_seq, 0);
  if (error == 0) return netlink_unicast(sk, skb);
  kfree_skb(skb);
  return error;
}

int dump_nothing(sk_buff*, netlink_callback*) { return 0; }

// The clock that tc computes with: ticks of 64 ns.
void show_psched(TextBuffer& out, void*) { out.print("000003e8 00000040 000f4240 3b9aca00\n"); }

void sch_api_init() {
  rtnl_register(AF_UNSPEC, RTM_GETQDISC, get_qdisc, dump_qdiscs);
  rtnl_register(AF_UNSPEC, RTM_NEWQDISC, new_qdisc, nullptr);
  rtnl_register(AF_UNSPEC, RTM_DELQDISC, del_qdisc, nullptr);
  rtnl_register(AF_UNSPEC, RTM_GETTCLASS, nullptr, dump_nothing);
  rtnl_register(AF_UNSPEC, RTM_GETTFILTER, nullptr, dump_nothing);
  proc_create(&proc_root, "net/psched", 0444, show_psched);
}
FS_INITCALL(sch_api_init);

}  // namespace
}  // namespace xm::os
