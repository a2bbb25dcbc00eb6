// SPDX-License-Identifier: GPL-2.0-or-later
// RTM_*ADDR and RTM_*ROUTE for IPv6, and /proc/net/ipv6_route.
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/net/ipv6/ipv6.h"
#include "kernel/net/netlink/rtnetlink.h"
#include "kernel/sched/clock.h"

namespace xm::os {

extern list_head rt6_all;
extern spinlock_t rt6_lock;

namespace {

const nla_policy ifa6_policy[IFA_MAX + 1] = {
    {}, {NLA_EXACT, 16}, {NLA_EXACT, 16}, {}, {}, {}, {NLA_EXACT, sizeof(ifa_cacheinfo)}, {}, {NLA_U32}};
const nla_policy rta6_policy[RTA_MAX + 1] = {
    {}, {NLA_UNSPEC}, {NLA_UNSPEC}, {NLA_U32}, {NLA_U32}, {NLA_EXACT, 16}, {NLA_U32}, {NLA_EXACT, 16}, {NLA_NESTED}, {},
    {}, {},           {},           {},        {},        {NLA_U32}};

u32 hundredths(u64 ns) { return static_cast<u32>(ns / (kNsPerSec / 100)); }
u8 rt_scope(u8 s) { return s == IPV6_SCOPE_LINK ? 253 : s == IPV6_SCOPE_HOST ? 254 : s == IPV6_SCOPE_SITE ? 200 : 0; }
u32 left(u32 lifetime, u64 age) {
  return lifetime == kInfinityLife ? lifetime : lifetime - static_cast<u32>(min<u64>(age, lifetime));
}

in6_addr address(const nlattr* a) {
  in6_addr r;
  memcpy(&r, nla_data(a), min(nla_len(a), 16u));
  return r;
}

// --- addresses ---
int fill_address(sk_buff* skb, const inet6_ifaddr* a, u16 type, u32 portid, u32 seq, u16 flags) {
  nlmsghdr* nlh = nlmsg_put(skb, portid, seq, type, sizeof(ifaddrmsg), flags);
  if (nlh == nullptr) return -EMSGSIZE;
  *nlmsg_data<ifaddrmsg>(nlh) = {AF_INET6, a->prefixlen, static_cast<u8>(a->flags), rt_scope(a->scope),
                                 static_cast<u32>(a->idev->dev->ifindex)};
  const u64 age = (ktime_get() - a->tstamp) / kNsPerSec;
  const ifa_cacheinfo info{left(a->preferred_lft, age), left(a->valid_lft, age), hundredths(a->cstamp),
                           hundredths(a->tstamp)};
  if (!nla_put(skb, IFA_ADDRESS, &a->addr, 16) || !nla_put(skb, IFA_CACHEINFO, &info, sizeof info) ||
      !nla_put_u32(skb, IFA_FLAGS, a->flags)) {
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
    inet6_dev* idev = in6_dev_get(dev);
    if (idev == nullptr || (wanted != 0 && static_cast<u32>(dev->ifindex) != wanted)) continue;
    BhGuard guard(addrconf_lock);
    for (const inet6_ifaddr* a : entries<&inet6_ifaddr::link>(idev->addresses)) {
      if (cursor.skip()) continue;
      if (fill_address(skb, a, RTM_NEWADDR, cb->portid, cb->nlh->nlmsg_seq, NLM_F_MULTI) != 0) return 1;
      cursor.done();
    }
  }
  return 0;
}

int change_address(const nlmsghdr* nlh, netlink_ext_ack* ack, bool add) {
  const nlattr* tb[IFA_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(ifaddrmsg), tb, IFA_MAX, ifa6_policy, false, ack));
  const auto* ifm = nlmsg_data<ifaddrmsg>(nlh);
  const nlattr* which = tb[IFA_LOCAL] != nullptr ? tb[IFA_LOCAL] : tb[IFA_ADDRESS];
  if (which == nullptr) return -EINVAL;
  net_device* dev = dev_get_by_index(static_cast<int>(ifm->ifa_index));
  if (dev == nullptr) return nl_error(ack, -ENODEV, "Unable to find the interface");
  int error;
  if (!add) {
    error = addrconf_del(dev, address(which), ifm->ifa_prefixlen);
  } else {
    u32 flags = tb[IFA_FLAGS] != nullptr ? nla_get_u32(tb[IFA_FLAGS]) : ifm->ifa_flags;
    u32 valid = kInfinityLife, preferred = kInfinityLife;
    if (tb[IFA_CACHEINFO] != nullptr) {
      const auto* info = reinterpret_cast<const ifa_cacheinfo*>(nla_data(tb[IFA_CACHEINFO]));
      valid = info->ifa_valid;
      preferred = info->ifa_prefered;
    }
    flags &= IFA6_NODAD | IFA6_NOPREFIXROUTE;
    if (valid == kInfinityLife) flags |= IFA6_PERMANENT;
    error = valid == 0 || preferred > valid
                ? -EINVAL
                : addrconf_add(dev, address(which), ifm->ifa_prefixlen, flags, valid, preferred);
    if (error == -EEXIST && (nlh->nlmsg_flags & NLM_F_REPLACE) != 0) {
      if (inet6_ifaddr* ifa = ipv6_get_ifaddr(address(which), dev)) {
        ifa->valid_lft = valid;
        ifa->preferred_lft = preferred;
        ifa->tstamp = ktime_get();
        in6_ifa_put(ifa);
      }
      error = 0;
    }
  }
  dev_put(dev);
  return error;
}
int new_address(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) { return change_address(nlh, ack, true); }
int del_address(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) { return change_address(nlh, ack, false); }

// --- routes ---
int fill_route(sk_buff* skb, const rt6_info* rt, u16 type, u32 portid, u32 seq, u16 flags) {
  nlmsghdr* nlh = nlmsg_put(skb, portid, seq, type, sizeof(rtmsg), flags);
  if (nlh == nullptr) return -EMSGSIZE;
  *nlmsg_data<rtmsg>(nlh) = {
      AF_INET6, rt->prefixlen, 0, 0, static_cast<u8>(rt->table < 256 ? rt->table : 252), rt->protocol, 0, rt->type, 0};
  const rta_cacheinfo info{
      0,
      0,
      rt->expires == 0 ? 0 : static_cast<s32>(hundredths(rt->expires - min(rt->expires, ktime_get()))),
      static_cast<u32>(rt->error == 0 ? 0 : -rt->error),
      0,
      0,
      0,
      0};
  bool ok = nla_put_u32(skb, RTA_TABLE, rt->table) && (rt->prefixlen == 0 || nla_put(skb, RTA_DST, &rt->prefix, 16)) &&
            nla_put_u32(skb, RTA_PRIORITY, rt->metric) &&
            ((rt->flags & RTF6_GATEWAY) == 0 || nla_put(skb, RTA_GATEWAY, &rt->gateway, 16)) &&
            (rt->out == nullptr || nla_put_u32(skb, RTA_OIF, static_cast<u32>(rt->out->ifindex))) &&
            nla_put(skb, RTA_CACHEINFO, &info, sizeof info) && nla_put_u8(skb, RTA_PREF, 0);
  if (ok && (rt->pmtu != 0 || rt->metric_mtu != 0)) {
    nlattr* nest = nla_nest_start(skb, RTA_METRICS);
    ok = nest != nullptr && nla_put_u32(skb, RTAX_MTU, rt->pmtu != 0 ? rt->pmtu : rt->metric_mtu);
    if (ok) nla_nest_end(skb, nest);
  }
  if (!ok) {
    nlmsg_cancel(skb, nlh);
    return -EMSGSIZE;
  }
  nlmsg_end(skb, nlh);
  return 0;
}

int dump_routes(sk_buff* skb, netlink_callback* cb) {
  u32 table = 0, oif = 0, protocol = 0;
  bool cloned = false;
  if (cb->nlh->nlmsg_len >= NLMSG_HDRLEN + sizeof(rtmsg)) {
    const auto* rtm = nlmsg_data<rtmsg>(cb->nlh);
    const nlattr* tb[RTA_MAX + 1];
    TRY_INT(nlmsg_parse(cb->nlh, sizeof(rtmsg), tb, RTA_MAX, rta6_policy, false, cb->ack));
    cloned = (rtm->rtm_flags & 0x200) != 0;
    if (cb->strict) {
      table = tb[RTA_TABLE] != nullptr ? nla_get_u32(tb[RTA_TABLE]) : rtm->rtm_table;
      oif = tb[RTA_OIF] != nullptr ? nla_get_u32(tb[RTA_OIF]) : 0;
      protocol = rtm->rtm_protocol;
    }
  }
  DumpCursor cursor(cb, 0);
  BhGuard guard(rt6_lock);
  for (const rt6_info* rt : entries<&rt6_info::all>(rt6_all)) {
    if (cursor.skip()) continue;
    const bool wanted = (table == 0 || rt->table == table) &&
                        (oif == 0 || (rt->out != nullptr && static_cast<u32>(rt->out->ifindex) == oif)) &&
                        (protocol == 0 || rt->protocol == protocol) && cloned == ((rt->flags & RTF6_CACHE) != 0);
    if (wanted && fill_route(skb, rt, RTM_NEWROUTE, cb->portid, cb->nlh->nlmsg_seq, NLM_F_MULTI) != 0) return 1;
    cursor.done();
  }
  return 0;
}

int parse_route(const nlmsghdr* nlh, rt6_config* c, netlink_ext_ack* ack) {  // c->dev is referenced
  const nlattr* tb[RTA_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(rtmsg), tb, RTA_MAX, rta6_policy, false, ack));
  const auto* rtm = nlmsg_data<rtmsg>(nlh);
  if (rtm->rtm_dst_len > 128) return nl_error(ack, -EINVAL, "Invalid prefix length");
  if (rtm->rtm_src_len != 0) return nl_error(ack, -EINVAL, "Source routes are not supported");
  if (tb[RTA_MULTIPATH] != nullptr) return nl_error(ack, -EOPNOTSUPP, "Multipath routes are not supported for IPv6");
  c->prefixlen = rtm->rtm_dst_len;
  c->type = rtm->rtm_type == 0 ? 1 : rtm->rtm_type;
  c->protocol = rtm->rtm_protocol;
  c->table = tb[RTA_TABLE] != nullptr ? nla_get_u32(tb[RTA_TABLE]) : rtm->rtm_table == 0 ? 254u : rtm->rtm_table;
  if (tb[RTA_DST] != nullptr) {
    if (nla_len(tb[RTA_DST]) * 8 < c->prefixlen) return -EINVAL;
    c->prefix = address(tb[RTA_DST]);
  }
  if (tb[RTA_GATEWAY] != nullptr) c->gateway = address(tb[RTA_GATEWAY]);
  c->metric = tb[RTA_PRIORITY] != nullptr ? nla_get_u32(tb[RTA_PRIORITY]) : 0;
  if (tb[RTA_METRICS] != nullptr) {
    const nlattr* m[RTAX_MAX + 1];
    TRY_INT(nla_parse_nested(m, RTAX_MAX, tb[RTA_METRICS], nullptr, ack));
    if (m[RTAX_MTU] != nullptr) c->mtu = nla_get_u32(m[RTAX_MTU]);
  }
  if (tb[RTA_OIF] != nullptr) {
    c->dev = dev_get_by_index(static_cast<int>(nla_get_u32(tb[RTA_OIF])));
    if (c->dev == nullptr) return nl_error(ack, -ENODEV, "Unable to find the interface");
  } else if (!c->gateway.any()) {
    rt6_info* via = rt6_lookup(c->gateway, 0);
    if (via != nullptr && via->out != nullptr && via->type == 1) {
      c->dev = via->out;
      dev_hold(c->dev);
    }
    dst_release(via);
    if (c->dev == nullptr) return nl_error(ack, -EHOSTUNREACH, "Gateway can not be reached");
  }
  return 0;
}

int new_route(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  rt6_config c;
  int error = parse_route(nlh, &c, ack);
  if (c.metric == 0) c.metric = 1024;
  if (error == 0) error = ip6_route_add(c, nlh->nlmsg_flags);
  dev_put(c.dev);
  return error;
}
int del_route(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  rt6_config c;
  int error = parse_route(nlh, &c, ack);
  if (error == 0) error = ip6_route_del(c);
  dev_put(c.dev);
  return error;
}

int get_route(netlink_sock* sk, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  const nlattr* tb[RTA_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(rtmsg), tb, RTA_MAX, rta6_policy, false, ack));
  flowi6 fl;
  if (tb[RTA_DST] != nullptr) fl.daddr = address(tb[RTA_DST]);
  if (tb[RTA_SRC] != nullptr) fl.saddr = address(tb[RTA_SRC]);
  if (tb[RTA_OIF] != nullptr) fl.oif = static_cast<int>(nla_get_u32(tb[RTA_OIF]));
  auto* rt = static_cast<rt6_info*>(ip6_route_output(&fl));
  if (rt->error != 0) {
    const int error = -rt->error;
    dst_release(rt);
    return error;
  }
  sk_buff* skb = nlmsg_new(512);
  nlmsghdr* reply =
      skb == nullptr ? nullptr : nlmsg_put(skb, sk->portid, nlh->nlmsg_seq, RTM_NEWROUTE, sizeof(rtmsg), 0);
  if (reply != nullptr) {
    *nlmsg_data<rtmsg>(reply) = {AF_INET6, 128, 0, 0, static_cast<u8>(rt->table), rt->protocol, 0, rt->type, 0x200};
    nla_put(skb, RTA_DST, &fl.daddr, 16);
    nla_put_u32(skb, RTA_TABLE, rt->table);
    if (rt->out != nullptr) nla_put_u32(skb, RTA_OIF, static_cast<u32>(rt->out->ifindex));
    if ((rt->flags & RTF6_GATEWAY) != 0) nla_put(skb, RTA_GATEWAY, &rt->gateway, 16);
    nla_put(skb, RTA_PREFSRC, &fl.saddr, 16);
    nla_put_u32(skb, RTA_PRIORITY, rt->metric);
    nlmsg_end(skb, reply);
  }
  dst_release(rt);
  return reply == nullptr ? -ENOBUFS : netlink_unicast(sk, skb);
}

void show_ipv6_route(TextBuffer& out, void*) {
  BhGuard guard(rt6_lock);
  for (const rt6_info* rt : entries<&rt6_info::all>(rt6_all)) {
    for (u8 b : rt->prefix.bytes) out.print("%02x", b);
    out.print(" %02x 00000000000000000000000000000000 00 ", rt->prefixlen);
    for (u8 b : rt->gateway.bytes) out.print("%02x", b);
    out.print(" %08x %08x 00000000 %08x %8s\n", rt->metric, static_cast<u32>(rt->refcnt.load()),
              rt->flags | (rt->type == 2 ? RTF6_LOCAL : 0), rt->out != nullptr ? rt->out->name : "lo");
  }
}

void rtnl_inet6_init() {
  rtnl_register(AF_INET6, RTM_GETADDR, nullptr, dump_addresses);
  rtnl_register(AF_INET6, RTM_NEWADDR, new_address, nullptr);
  rtnl_register(AF_INET6, RTM_DELADDR, del_address, nullptr);
  rtnl_register(AF_INET6, RTM_GETROUTE, get_route, dump_routes);
  rtnl_register(AF_INET6, RTM_NEWROUTE, new_route, nullptr);
  rtnl_register(AF_INET6, RTM_DELROUTE, del_route, nullptr);
  proc_create(&proc_root, "net/ipv6_route", 0444, show_ipv6_route);
}
FS_INITCALL(rtnl_inet6_init);

}  // namespace

void inet6_ifa_notify(inet6_ifaddr* a, u16 message) {
  sk_buff* skb = nlmsg_new(256, GFP_ATOMIC);
  if (skb == nullptr) return;
  fill_address(skb, a, message, 0, 0, 0) == 0 ? rtnl_notify(skb, RTNLGRP_IPV6_IFADDR) : kfree_skb(skb);
}
void rt6_notify(const rt6_info* rt, u16 message) {
  sk_buff* skb = nlmsg_new(512, GFP_ATOMIC);
  if (skb == nullptr) return;
  fill_route(skb, rt, message, 0, 0, 0) == 0 ? rtnl_notify(skb, RTNLGRP_IPV6_ROUTE) : kfree_skb(skb);
}

}  // namespace xm::os
