// SPDX-License-Identifier: GPL-2.0-or-later
// RTM_*ADDR for IPv4: addresses of devices, as `ip addr` shows and changes them.
#include "kernel/init/initcall.h"
#include "kernel/mm/slab.h"
#include "kernel/net/inetdevice.h"
#include "kernel/net/netlink/rtnetlink.h"
#include "kernel/sched/clock.h"

namespace xm::os {
namespace {

constexpr u32 kForever = 0xffffffff;

const nla_policy ifa_policy[IFA_MAX + 1] = {{},
                                            {NLA_U32},
                                            {NLA_U32},
                                            {NLA_STRING, kIfNameSize - 1},
                                            {NLA_U32},
                                            {},
                                            {NLA_EXACT, sizeof(ifa_cacheinfo)},
                                            {},
                                            {NLA_U32},
                                            {NLA_U32},
                                            {},
                                            {}};

u32 hundredths(u64 ns) { return static_cast<u32>(ns / (kNsPerSec / 100)); }

int fill(sk_buff* skb, const in_ifaddr* ifa, u16 type, u32 portid, u32 seq, u16 flags) {
  nlmsghdr* nlh = nlmsg_put(skb, portid, seq, type, sizeof(ifaddrmsg), flags);
  if (nlh == nullptr) return -EMSGSIZE;
  const net_device* dev = ifa->ifa_dev->dev;
  *nlmsg_data<ifaddrmsg>(nlh) = {AF_INET, ifa->ifa_prefixlen, static_cast<u8>(ifa->ifa_flags), ifa->ifa_scope,
                                 static_cast<u32>(dev->ifindex)};
  u32 preferred = ifa->ifa_preferred_lft, valid = ifa->ifa_valid_lft;
  if ((ifa->ifa_flags & IFA_F_PERMANENT) == 0) {
    const u32 age = static_cast<u32>((ktime_get() - ifa->ifa_tstamp) / kNsPerSec);
    if (preferred != kForever) preferred = preferred > age ? preferred - age : 0;
    if (valid != kForever) valid = valid > age ? valid - age : 0;
  } else {
    preferred = valid = kForever;
  }
  const ifa_cacheinfo info{preferred, valid, hundredths(ifa->ifa_cstamp), hundredths(ifa->ifa_tstamp)};
  if ((ifa->ifa_address != 0 && !nla_put_u32(skb, IFA_ADDRESS, ifa->ifa_address)) ||
      (ifa->ifa_local != 0 && !nla_put_u32(skb, IFA_LOCAL, ifa->ifa_local)) ||
      (ifa->ifa_broadcast != 0 && !nla_put_u32(skb, IFA_BROADCAST, ifa->ifa_broadcast)) ||
      (ifa->ifa_label[0] != 0 && !nla_put_string(skb, IFA_LABEL, ifa->ifa_label)) ||
      !nla_put_u32(skb, IFA_FLAGS, ifa->ifa_flags) ||
      (ifa->ifa_rt_priority != 0 && !nla_put_u32(skb, IFA_RT_PRIORITY, ifa->ifa_rt_priority)) ||
      !nla_put(skb, IFA_CACHEINFO, &info, sizeof info)) {
    nlmsg_cancel(skb, nlh);
    return -EMSGSIZE;
  }
  nlmsg_end(skb, nlh);
  return 0;
}

int dump_addresses(sk_buff* skb, netlink_callback* cb) {
  u32 wanted = 0;
  if (cb->strict && cb->nlh->nlmsg_len >= NLMSG_HDRLEN + sizeof(ifaddrmsg))
    wanted = nlmsg_data<ifaddrmsg>(cb->nlh)->ifa_index;
  DumpCursor cursor(cb, 0);
  for (net_device* dev : entries<&net_device::dev_list>(dev_base)) {
    const in_device* in = in_dev_get(dev);
    for (const in_ifaddr* a = in == nullptr ? nullptr : in->ifa_list; a != nullptr; a = a->ifa_next) {
      if (cursor.skip()) continue;
      if ((wanted == 0 || static_cast<u32>(dev->ifindex) == wanted) &&
          fill(skb, a, RTM_NEWADDR, cb->portid, cb->nlh->nlmsg_seq, NLM_F_MULTI) != 0)
        return 1;
      cursor.done();
    }
  }
  return 0;
}

net_device* device_of(const ifaddrmsg* ifm) {
  net_device* dev = dev_get_by_index(static_cast<int>(ifm->ifa_index));
  dev_put(dev);  // rtnl keeps it
  return dev;
}

int apply_lifetimes(in_ifaddr* ifa, const nlattr* attr, netlink_ext_ack* ack) {
  ifa->ifa_valid_lft = ifa->ifa_preferred_lft = kForever;
  ifa->ifa_flags |= IFA_F_PERMANENT;
  if (attr == nullptr) return 0;
  const auto* info = reinterpret_cast<const ifa_cacheinfo*>(nla_data(attr));
  if (info->ifa_valid == 0 || info->ifa_prefered > info->ifa_valid)
    return nl_error(ack, -EINVAL, "Invalid address lifetimes", attr);
  ifa->ifa_valid_lft = info->ifa_valid;
  ifa->ifa_preferred_lft = info->ifa_prefered;
  if (info->ifa_valid != kForever) ifa->ifa_flags &= ~static_cast<u32>(IFA_F_PERMANENT);
  return 0;
}

in_ifaddr* find(const in_device* in, const nlattr** tb, const ifaddrmsg* ifm) {
  for (in_ifaddr* a = in->ifa_list; a != nullptr; a = a->ifa_next) {
    if (tb[IFA_LOCAL] != nullptr && a->ifa_local != nla_get_u32(tb[IFA_LOCAL])) continue;
    if (tb[IFA_LABEL] != nullptr && !nla_equals(tb[IFA_LABEL], a->ifa_label)) continue;
    if (tb[IFA_ADDRESS] != nullptr &&
        (ifm->ifa_prefixlen != a->ifa_prefixlen || !inet_ifa_match(nla_get_u32(tb[IFA_ADDRESS]), a)))
      continue;
    return a;
  }
  return nullptr;
}

int new_address(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  const nlattr* tb[IFA_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(ifaddrmsg), tb, IFA_MAX, ifa_policy, false, ack));
  const auto* ifm = nlmsg_data<ifaddrmsg>(nlh);
  if (ifm->ifa_prefixlen > 32) return nl_error(ack, -EINVAL, "Invalid prefix length");
  if (tb[IFA_LOCAL] == nullptr) return nl_error(ack, -EINVAL, "Local address is not supplied");
  net_device* dev = device_of(ifm);
  if (dev == nullptr) return nl_error(ack, -ENODEV, "Device not found");
  in_device* in = in_dev_get(dev);
  if (in == nullptr) in = inetdev_init(dev);
  if (in == nullptr) return -ENOBUFS;
  in_ifaddr* ifa = inet_alloc_ifa();
  if (ifa == nullptr) return -ENOBUFS;
  ifa->ifa_dev = in;
  ifa->ifa_prefixlen = ifm->ifa_prefixlen;
  ifa->ifa_mask = inet_make_mask(ifm->ifa_prefixlen);
  ifa->ifa_scope = ifm->ifa_scope;
  ifa->ifa_flags = tb[IFA_FLAGS] != nullptr ? nla_get_u32(tb[IFA_FLAGS]) : ifm->ifa_flags;
  ifa->ifa_local = nla_get_u32(tb[IFA_LOCAL]);
  ifa->ifa_address = tb[IFA_ADDRESS] != nullptr ? nla_get_u32(tb[IFA_ADDRESS]) : ifa->ifa_local;
  if (tb[IFA_BROADCAST] != nullptr) ifa->ifa_broadcast = nla_get_u32(tb[IFA_BROADCAST]);
  if (tb[IFA_RT_PRIORITY] != nullptr) ifa->ifa_rt_priority = nla_get_u32(tb[IFA_RT_PRIORITY]);
  ifa->ifa_cstamp = ifa->ifa_tstamp = ktime_get();
  if (tb[IFA_LABEL] != nullptr) {
    nla_get_string(tb[IFA_LABEL], ifa->ifa_label, sizeof ifa->ifa_label);
  } else {
    copy_string(ifa->ifa_label, dev->name, sizeof ifa->ifa_label);
  }
  int error = apply_lifetimes(ifa, tb[IFA_CACHEINFO], ack);
  in_ifaddr* same = nullptr;
  for (in_ifaddr* a = in->ifa_list; a != nullptr && error == 0; a = a->ifa_next) {
    if (a->ifa_mask == ifa->ifa_mask && inet_ifa_match(ifa->ifa_address, a) && a->ifa_local == ifa->ifa_local) same = a;
  }
  if (error == 0 && same == nullptr) return inet_insert_ifa(in, ifa);
  if (error == 0 && ((nlh->nlmsg_flags & NLM_F_EXCL) != 0 || (nlh->nlmsg_flags & NLM_F_REPLACE) == 0)) error = -EEXIST;
  if (error == 0) {
    same->ifa_valid_lft = ifa->ifa_valid_lft;
    same->ifa_preferred_lft = ifa->ifa_preferred_lft;
    same->ifa_tstamp = ifa->ifa_tstamp;
    same->ifa_flags = (same->ifa_flags & ~static_cast<u32>(IFA_F_PERMANENT)) | (ifa->ifa_flags & IFA_F_PERMANENT);
    if (rtmsg_ifa_hook != nullptr) rtmsg_ifa_hook(RTM_NEWADDR, same);
  }
  kdelete(ifa);
  return error;
}

int del_address(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  const nlattr* tb[IFA_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(ifaddrmsg), tb, IFA_MAX, ifa_policy, false, ack));
  const auto* ifm = nlmsg_data<ifaddrmsg>(nlh);
  net_device* dev = device_of(ifm);
  if (dev == nullptr) return nl_error(ack, -ENODEV, "Device not found");
  in_device* in = in_dev_get(dev);
  in_ifaddr* a = in == nullptr ? nullptr : find(in, tb, ifm);
  if (a == nullptr) return nl_error(ack, -EADDRNOTAVAIL, "Address not found");
  inet_del_ifa(in, a);
  return 0;
}

void notify(int event, const in_ifaddr* ifa) {
  sk_buff* skb = nlmsg_new(512, GFP_ATOMIC);
  if (skb == nullptr) return;
  if (fill(skb, ifa, static_cast<u16>(event), 0, 0, 0) == 0) {
    rtnl_notify(skb, RTNLGRP_IPV4_IFADDR);
  } else {
    kfree_skb(skb);
  }
}

void rtnl_addr_init() {
  rtmsg_ifa_hook = notify;
  rtnl_register(AF_INET, RTM_GETADDR, nullptr, dump_addresses);
  rtnl_register(AF_INET, RTM_NEWADDR, new_address, nullptr);
  rtnl_register(AF_INET, RTM_DELADDR, del_address, nullptr);
}
BUS_INITCALL(rtnl_addr_init);

}  // namespace
}  // namespace xm::os
