// SPDX-License-Identifier: GPL-2.0-or-later
// RTM_*NEIGH: the neighbour tables, as `ip neigh` shows and changes them.
#include "kernel/init/initcall.h"
#include "kernel/net/neighbour.h"
#include "kernel/net/netlink/rtnetlink.h"
#include "kernel/sched/clock.h"

namespace xm::os {

neigh_table* nd_table = nullptr;

namespace {

constexpr u16 kStateSettable =
    NUD_PERMANENT | NUD_REACHABLE | NUD_STALE | NUD_NOARP | NUD_DELAY | NUD_PROBE | NUD_FAILED;

neigh_table* table_of(u32 family) {
  if (family == AF_INET) return &arp_tbl;
  return family == AF_INET6 ? nd_table : nullptr;
}

u32 ago(u64 now, u64 then) { return static_cast<u32>((now - min(now, then)) / (kNsPerSec / 100)); }

int fill(sk_buff* skb, neighbour* n, u16 type, u32 portid, u32 seq, u16 flags) {
  nlmsghdr* nlh = nlmsg_put(skb, portid, seq, type, sizeof(ndmsg), flags);
  if (nlh == nullptr) return -EMSGSIZE;
  u8 ha[kMaxAddrLen], state;
  nda_cacheinfo info;
  u32 probes;
  {
    BhGuard guard(n->lock);
    const u64 now = ktime_get();
    memcpy(ha, n->ha, sizeof ha);
    state = n->nud_state;
    probes = n->probes;
    info = {ago(now, n->confirmed), ago(now, n->used), ago(now, n->updated), static_cast<u32>(n->refcnt.load() - 1)};
  }
  auto* ndm = nlmsg_data<ndmsg>(nlh);
  *ndm = {static_cast<u8>(n->tbl->family), 0, 0, n->dev->ifindex, state, n->flags, n->type};
  const bool has_address = (state & NUD_VALID) != 0 && n->dev->addr_len != 0;
  if (!nla_put(skb, NDA_DST, n->primary_key, n->tbl->key_len) ||
      (has_address && !nla_put(skb, NDA_LLADDR, ha, n->dev->addr_len)) || !nla_put_u32(skb, NDA_PROBES, probes) ||
      !nla_put(skb, NDA_CACHEINFO, &info, sizeof info)) {
    nlmsg_cancel(skb, nlh);
    return -EMSGSIZE;
  }
  nlmsg_end(skb, nlh);
  return 0;
}

void notify(neighbour* n, int event) {
  sk_buff* skb = nlmsg_new(256, GFP_ATOMIC);
  if (skb == nullptr) return;
  if (fill(skb, n, static_cast<u16>(event), 0, 0, 0) == 0) {
    rtnl_notify(skb, RTNLGRP_NEIGH);
  } else {
    kfree_skb(skb);
  }
}

struct DumpState {
  sk_buff* skb;
  netlink_callback* cb;
  u64 seen;
  int ifindex;
  bool full;
};

void dump_one(neighbour* n, void* data) {
  auto* d = static_cast<DumpState*>(data);
  if (d->full || d->seen++ < d->cb->args[0]) return;
  const bool wanted = n->nud_state != NUD_NONE && (d->ifindex == 0 || n->dev->ifindex == d->ifindex);
  if (wanted && fill(d->skb, n, RTM_NEWNEIGH, d->cb->portid, d->cb->nlh->nlmsg_seq, NLM_F_MULTI) != 0) {
    d->full = true;
    return;
  }
  ++d->cb->args[0];
}

int dump_table(sk_buff* skb, netlink_callback* cb, u32 family) {
  neigh_table* tbl = table_of(family);
  if (tbl == nullptr) return 0;
  DumpState d{skb, cb, 0, 0, false};
  if (cb->nlh->nlmsg_len >= NLMSG_HDRLEN + sizeof(ndmsg)) {
    const nlattr* tb[NDA_MAX + 1];
    TRY_INT(nlmsg_parse(cb->nlh, sizeof(ndmsg), tb, NDA_MAX, nullptr, false, cb->ack));
    if (tb[NDA_IFINDEX] != nullptr) d.ifindex = static_cast<int>(nla_get_u32(tb[NDA_IFINDEX]));
    if ((nlmsg_data<ndmsg>(cb->nlh)->ndm_flags & 8 /* NTF_PROXY */) != 0) return 0;
  }
  neigh_for_each(tbl, dump_one, &d);
  return d.full ? 1 : 0;
}
int dump_arp(sk_buff* skb, netlink_callback* cb) { return dump_table(skb, cb, AF_INET); }
int dump_nd(sk_buff* skb, netlink_callback* cb) { return dump_table(skb, cb, AF_INET6); }

struct Target {
  neigh_table* tbl;
  net_device* dev;  // referenced
};

int parse(const nlmsghdr* nlh, const nlattr** tb, Target* t, netlink_ext_ack* ack) {
  TRY_INT(nlmsg_parse(nlh, sizeof(ndmsg), tb, NDA_MAX, nullptr, false, ack));
  const auto* ndm = nlmsg_data<ndmsg>(nlh);
  t->tbl = table_of(ndm->ndm_family);
  if (t->tbl == nullptr) return -EAFNOSUPPORT;
  if (tb[NDA_DST] == nullptr) return nl_error(ack, -EINVAL, "Network address not specified");
  if (nla_len(tb[NDA_DST]) < t->tbl->key_len) return nl_error(ack, -EINVAL, "Invalid network address", tb[NDA_DST]);
  if (ndm->ndm_ifindex == 0) return nl_error(ack, -EINVAL, "No device given");
  t->dev = dev_get_by_index(ndm->ndm_ifindex);
  if (t->dev == nullptr) return -ENODEV;
  if (tb[NDA_LLADDR] != nullptr && nla_len(tb[NDA_LLADDR]) < t->dev->addr_len) {
    dev_put(t->dev);
    return nl_error(ack, -EINVAL, "Invalid link address", tb[NDA_LLADDR]);
  }
  return 0;
}

int new_neigh(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  const nlattr* tb[NDA_MAX + 1];
  Target t{};
  TRY_INT(parse(nlh, tb, &t, ack));
  const auto* ndm = nlmsg_data<ndmsg>(nlh);
  neighbour* n = neigh_lookup(t.tbl, nla_data(tb[NDA_DST]), t.dev);
  int error = 0;
  if (n == nullptr && (nlh->nlmsg_flags & NLM_F_CREATE) == 0) error = -ENOENT;
  if (n != nullptr && (nlh->nlmsg_flags & NLM_F_EXCL) != 0) error = -EEXIST;
  u32 flags = NEIGH_UPDATE_F_ADMIN | NEIGH_UPDATE_F_OVERRIDE | NEIGH_UPDATE_F_OVERRIDE_ISROUTER;
  if (error == 0 && n == nullptr) {
    n = neigh_create(t.tbl, nla_data(tb[NDA_DST]), t.dev);
    if (n == nullptr) error = -ENOBUFS;
  } else if ((nlh->nlmsg_flags & NLM_F_REPLACE) == 0) {
    flags &= ~static_cast<u32>(NEIGH_UPDATE_F_OVERRIDE | NEIGH_UPDATE_F_OVERRIDE_ISROUTER);
  }
  if (error == 0) {
    if ((ndm->ndm_flags & NTF_ROUTER) != 0) flags |= NEIGH_UPDATE_F_ISROUTER;
    const u8* address = tb[NDA_LLADDR] == nullptr ? nullptr : nla_data(tb[NDA_LLADDR]);
    error = neigh_update(n, address, static_cast<u8>(ndm->ndm_state & kStateSettable), flags);
  }
  if (n != nullptr) neigh_release(n);
  dev_put(t.dev);
  return error;
}

int del_neigh(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  const nlattr* tb[NDA_MAX + 1];
  Target t{};
  TRY_INT(parse(nlh, tb, &t, ack));
  neighbour* n = neigh_lookup(t.tbl, nla_data(tb[NDA_DST]), t.dev);
  dev_put(t.dev);
  if (n == nullptr) return -ENOENT;
  neigh_remove(n);
  neigh_release(n);
  return 0;
}

int get_neigh(netlink_sock* sk, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  const nlattr* tb[NDA_MAX + 1];
  Target t{};
  TRY_INT(parse(nlh, tb, &t, ack));
  neighbour* n = neigh_lookup(t.tbl, nla_data(tb[NDA_DST]), t.dev);
  dev_put(t.dev);
  if (n == nullptr) return -ENOENT;
  sk_buff* skb = nlmsg_new(256);
  const int error = skb == nullptr ? -ENOBUFS : fill(skb, n, RTM_NEWNEIGH, sk->portid, nlh->nlmsg_seq, 0);
  neigh_release(n);
  if (error == 0) return netlink_unicast(sk, skb);
  kfree_skb(skb);
  return error;
}

void rtnl_neigh_init() {
  neigh_notify_hook = notify;
  rtnl_register(AF_UNSPEC, RTM_GETNEIGH, get_neigh, nullptr);
  rtnl_register(AF_INET, RTM_GETNEIGH, get_neigh, dump_arp);
  rtnl_register(AF_INET6, RTM_GETNEIGH, get_neigh, dump_nd);
  rtnl_register(AF_UNSPEC, RTM_NEWNEIGH, new_neigh, nullptr);
  rtnl_register(AF_UNSPEC, RTM_DELNEIGH, del_neigh, nullptr);
}
BUS_INITCALL(rtnl_neigh_init);

}  // namespace
}  // namespace xm::os
