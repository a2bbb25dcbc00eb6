// SPDX-License-Identifier: GPL-2.0-or-later
// NETLINK_ROUTE: finds the handler of a message, checks that the sender may change things, starts dumps.
#include "kernel/net/netlink/rtnetlink.h"

#include "kernel/init/initcall.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kTypes = kRtmMax - NLMSG_MIN_TYPE + 1, kFamilies = 18;
struct Handler {
  rtnl_doit_func doit;
  rtnl_dumpit_func dumpit;
};
Handler handlers[kFamilies][kTypes];

// The family's own handler, else that of all families.
rtnl_doit_func find_doit(u32 family, u32 type) {
  if (family < kFamilies && handlers[family][type].doit != nullptr) return handlers[family][type].doit;
  return handlers[0][type].doit;
}

// A dump of all families is the dumps of each, one after the other; args[5] says which.
int dump_all(sk_buff* skb, netlink_callback* cb) {
  const u32 type = cb->nlh->nlmsg_type - NLMSG_MIN_TYPE;
  for (u64& family = cb->args[5]; family < kFamilies; ++family) {
    const rtnl_dumpit_func dumpit = family == AF_PACKET ? nullptr : handlers[family][type].dumpit;
    if (dumpit == nullptr || family == AF_UNSPEC || family == 7 /* AF_BRIDGE */) continue;
    if (const int r = dumpit(skb, cb); r != 0) return r;
    for (u32 i = 0; i < 5; ++i) cb->args[i] = 0;
  }
  return 0;
}

// rtnl is held from the first byte of a buffer to its last.
int locked_dump(sk_buff* skb, netlink_callback* cb) {
  const auto dumpit = reinterpret_cast<rtnl_dumpit_func>(cb->data);
  rtnl_lock();
  const int r = dumpit(skb, cb);
  rtnl_unlock();
  return r;
}

int receive_message(netlink_sock* sk, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  if (nlh->nlmsg_type > kRtmMax) return -EOPNOTSUPP;
  if (nlh->nlmsg_len < NLMSG_HDRLEN + sizeof(rtgenmsg)) return 0;
  const u32 type = nlh->nlmsg_type - NLMSG_MIN_TYPE;
  const u32 family = nlmsg_data<rtgenmsg>(nlh)->rtgen_family;
  const bool get = (type & 3) == 2;
  if (!get && !capable(CAP_NET_ADMIN)) return -EPERM;
  if (get && (nlh->nlmsg_flags & NLM_F_DUMP) != 0) {
    rtnl_dumpit_func dumpit = family < kFamilies ? handlers[family][type].dumpit : nullptr;
    if (dumpit == nullptr) dumpit = handlers[0][type].dumpit != nullptr ? handlers[0][type].dumpit : nullptr;
    if (dumpit == nullptr && family == AF_UNSPEC) dumpit = dump_all;
    if (dumpit == nullptr) return -EOPNOTSUPP;
    netlink_callback cb;
    cb.dump = locked_dump;
    cb.data = reinterpret_cast<void*>(dumpit);
    cb.ack = ack;
    return netlink_dump_start(sk, nlh, cb);
  }
  const rtnl_doit_func doit = find_doit(family, type);
  if (doit == nullptr) return -EOPNOTSUPP;
  rtnl_lock();
  const int error = doit(sk, nlh, ack);
  rtnl_unlock();
  return error;
}

void input(netlink_sock* sk, u8* data, u32 length) { netlink_rcv(sk, data, length, receive_message); }
constinit const netlink_kernel_ops rtnetlink_ops{input, true};

void rtnetlink_init() { netlink_kernel_register(NETLINK_ROUTE, &rtnetlink_ops); }
BUS_INITCALL(rtnetlink_init);

}  // namespace

void rtnl_register(int family, u16 type, rtnl_doit_func doit, rtnl_dumpit_func dumpit) {
  Handler& h = handlers[family][type - NLMSG_MIN_TYPE];
  if (doit != nullptr) h.doit = doit;
  if (dumpit != nullptr) h.dumpit = dumpit;
}

void rtnl_notify(sk_buff* skb, u32 group) { netlink_broadcast(NETLINK_ROUTE, skb, group); }

}  // namespace xm::os
