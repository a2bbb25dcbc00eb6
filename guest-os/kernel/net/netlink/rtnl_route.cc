// SPDX-License-Identifier: GPL-2.0-or-later
// RTM_*ROUTE for IPv4: routes listed, looked up and changed, as `ip route` asks.
#include "kernel/init/initcall.h"
#include "kernel/mm/slab.h"
#include "kernel/net/netlink/rtnetlink.h"
#include "kernel/net/route.h"
#include "kernel/sched/clock.h"

namespace xm::os {
namespace {

const nla_policy rta_policy[RTA_MAX + 1] = {{},
                                            {NLA_U32},     // DST
                                            {NLA_U32},     // SRC
                                            {NLA_U32},     // IIF
                                            {NLA_U32},     // OIF
                                            {NLA_U32},     // GATEWAY
                                            {NLA_U32},     // PRIORITY
                                            {NLA_U32},     // PREFSRC
                                            {NLA_NESTED},  // METRICS
                                            {NLA_UNSPEC, sizeof(rtnexthop)},
                                            {},
                                            {NLA_U32},
                                            {},
                                            {},
                                            {},
                                            {NLA_U32},  // TABLE
                                            {NLA_U32},  // MARK
                                            {},
                                            {NLA_UNSPEC, 2}};

bool put_metrics(sk_buff* skb, const fib_info* fi) {
  const struct {
    u16 type;
    u32 value;
  } metrics[] = {{RTAX_LOCK, fi->fib_metric_lock},  {RTAX_MTU, fi->fib_mtu},
                 {RTAX_WINDOW, fi->fib_window},     {RTAX_ADVMSS, fi->fib_advmss},
                 {RTAX_INITCWND, fi->fib_initcwnd}, {RTAX_INITRWND, fi->fib_initrwnd}};
  bool any = false;
  for (const auto& m : metrics) any |= m.value != 0;
  if (!any) return true;
  nlattr* nest = nla_nest_start(skb, RTA_METRICS);
  if (nest == nullptr) return false;
  for (const auto& m : metrics) {
    if (m.value != 0 && !nla_put_u32(skb, m.type, m.value)) return false;
  }
  nla_nest_end(skb, nest);
  return true;
}

u32 nexthop_flags(const fib_nh& nh) {
  u32 flags = nh.nh_flags & (RTNH_F_DEAD | RTNH_F_ONLINK | RTNH_F_LINKDOWN);
  if (nh.nh_dev != nullptr && !nh.nh_dev->carrier) flags |= RTNH_F_LINKDOWN;
  return flags;
}

bool put_nexthops(sk_buff* skb, const fib_info* fi, u32* flags) {
  const fib_nh* nh = fi->nh();
  if (fi->fib_nhs == 1) {
    *flags = nexthop_flags(nh[0]);
    return (nh[0].nh_gw == 0 || nla_put_u32(skb, RTA_GATEWAY, nh[0].nh_gw)) &&
           (nh[0].nh_oif == 0 || nla_put_u32(skb, RTA_OIF, static_cast<u32>(nh[0].nh_oif)));
  }
  nlattr* nest = nla_nest_start(skb, RTA_MULTIPATH);
  if (nest == nullptr) return false;
  for (u32 i = 0; i < fi->fib_nhs; ++i) {
    if (skb_tailroom(skb) < sizeof(rtnexthop)) return false;
    auto* hop = reinterpret_cast<rtnexthop*>(skb_put(skb, sizeof(rtnexthop)));
    *hop = {0, static_cast<u8>(nexthop_flags(nh[i])), static_cast<u8>(nh[i].nh_weight - 1), nh[i].nh_oif};
    if (nh[i].nh_gw != 0 && !nla_put_u32(skb, RTA_GATEWAY, nh[i].nh_gw)) return false;
    hop->rtnh_len = static_cast<u16>(skb_tail_pointer(skb) - reinterpret_cast<u8*>(hop));
  }
  nla_nest_end(skb, nest);
  return true;
}

struct RouteShown {
  be32 prefix;
  u8 prefixlen, tos, type;
  u32 table;
  const fib_info* fi;
};

int fill(sk_buff* skb, const RouteShown& r, u16 message, u32 portid, u32 seq, u16 flags) {
  nlmsghdr* nlh = nlmsg_put(skb, portid, seq, message, sizeof(rtmsg), flags);
  if (nlh == nullptr) return -EMSGSIZE;
  auto* rtm = nlmsg_data<rtmsg>(nlh);
  *rtm = {AF_INET,
          r.prefixlen,
          0,
          r.tos,
          static_cast<u8>(r.table < 256 ? r.table : 252 /* RT_TABLE_COMPAT */),
          r.fi->fib_protocol,
          r.fi->fib_scope,
          r.type,
          0};
  u32 hop_flags = 0;
  const bool ok = nla_put_u32(skb, RTA_TABLE, r.table) && (r.prefixlen == 0 || nla_put_u32(skb, RTA_DST, r.prefix)) &&
                  (r.fi->fib_priority == 0 || nla_put_u32(skb, RTA_PRIORITY, r.fi->fib_priority)) &&
                  put_metrics(skb, r.fi) &&
                  (r.fi->fib_prefsrc == 0 || nla_put_u32(skb, RTA_PREFSRC, r.fi->fib_prefsrc)) &&
                  put_nexthops(skb, r.fi, &hop_flags);
  if (!ok) {
    nlmsg_cancel(skb, nlh);
    return -EMSGSIZE;
  }
  rtm->rtm_flags = hop_flags;
  nlmsg_end(skb, nlh);
  return 0;
}

// --- dump ---
struct DumpState {
  sk_buff* skb;
  netlink_callback* cb;
  u64 seen;
  u32 table, protocol, type, oif;
  bool full;
};

bool dump_route(const fib_route& r, void* data) {
  auto* d = static_cast<DumpState*>(data);
  if (d->seen++ < d->cb->args[0]) return true;
  const fib_info* fi = r.fa->fa_info;
  const bool wanted = (d->protocol == 0 || fi->fib_protocol == d->protocol) &&
                      (d->type == 0 || r.fa->fa_type == d->type) &&
                      (d->oif == 0 || (fi->fib_nhs > 0 && fi->nh()->nh_oif == static_cast<int>(d->oif)));
  const RouteShown shown{r.prefix, r.prefixlen, r.fa->fa_tos, r.fa->fa_type, r.table, fi};
  if (wanted && fill(d->skb, shown, RTM_NEWROUTE, d->cb->portid, d->cb->nlh->nlmsg_seq, NLM_F_MULTI) != 0) {
    d->full = true;
    return false;
  }
  ++d->cb->args[0];
  return true;
}

void dump_table(fib_table* tb, void* data) {
  auto* d = static_cast<DumpState*>(data);
  if (d->full || (d->table != 0 && fib_table_id(tb) != d->table)) return;
  fib_table_walk(tb, dump_route, d);
}

int dump_routes(sk_buff* skb, netlink_callback* cb) {
  DumpState d{skb, cb, 0, 0, 0, 0, 0, false};
  if (cb->nlh->nlmsg_len >= NLMSG_HDRLEN + sizeof(rtmsg)) {
    const auto* rtm = nlmsg_data<rtmsg>(cb->nlh);
    if ((rtm->rtm_flags & 0x200 /* RTM_F_CLONED */) != 0) return 0;  // no cache to show
    const nlattr* tb[RTA_MAX + 1];
    TRY_INT(nlmsg_parse(cb->nlh, sizeof(rtmsg), tb, RTA_MAX, rta_policy, false, cb->ack));
    if (cb->strict) {
      d.table = tb[RTA_TABLE] != nullptr ? nla_get_u32(tb[RTA_TABLE]) : rtm->rtm_table;
      d.protocol = rtm->rtm_protocol;
      d.type = rtm->rtm_type;
      if (tb[RTA_OIF] != nullptr) d.oif = nla_get_u32(tb[RTA_OIF]);
    }
  }
  fib_for_each_table(dump_table, &d);
  return d.full ? 1 : 0;
}

// --- one route ---
int parse_multipath(fib_config* c, const nlattr* attr, netlink_ext_ack* ack) {
  const u8* at = nla_data(attr);
  u32 left = nla_len(attr);
  while (left >= sizeof(rtnexthop)) {
    const auto* hop = reinterpret_cast<const rtnexthop*>(at);
    if (hop->rtnh_len < sizeof(rtnexthop) || hop->rtnh_len > left || c->fc_nr_nh == kMaxNexthops)
      return nl_error(ack, -EINVAL, "Invalid nexthop configuration", attr);
    auto& nh = c->fc_nh[c->fc_nr_nh++];
    nh = {hop->rtnh_ifindex, 0, hop->rtnh_flags, hop->rtnh_hops + 1u};
    const nlattr* tb[RTA_MAX + 1];
    TRY_INT(
        nla_parse(tb, RTA_MAX, hop + 1, hop->rtnh_len - static_cast<u32>(sizeof(rtnexthop)), rta_policy, false, ack));
    if (tb[RTA_GATEWAY] != nullptr) nh.gw = nla_get_u32(tb[RTA_GATEWAY]);
    const u32 step = min(nl_align(hop->rtnh_len), left);
    at += step;
    left -= step;
  }
  return c->fc_nr_nh > 0 ? 0 : nl_error(ack, -EINVAL, "Invalid nexthop configuration", attr);
}

int parse_metrics(fib_config* c, const nlattr* attr, netlink_ext_ack* ack) {
  const nlattr* tb[RTAX_MAX + 1];
  TRY_INT(nla_parse_nested(tb, RTAX_MAX, attr, nullptr, ack));
  const auto value = [&](u16 type) { return tb[type] != nullptr ? nla_get_u32(tb[type]) : 0; };
  c->fc_metric_lock = value(RTAX_LOCK);
  c->fc_mtu = value(RTAX_MTU);
  c->fc_window = value(RTAX_WINDOW);
  c->fc_advmss = value(RTAX_ADVMSS);
  c->fc_initcwnd = value(RTAX_INITCWND);
  c->fc_initrwnd = value(RTAX_INITRWND);
  return 0;
}

int parse_route(const nlmsghdr* nlh, fib_config* c, netlink_ext_ack* ack) {
  const nlattr* tb[RTA_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(rtmsg), tb, RTA_MAX, rta_policy, false, ack));
  const auto* rtm = nlmsg_data<rtmsg>(nlh);
  if (rtm->rtm_dst_len > 32 || rtm->rtm_src_len != 0) return nl_error(ack, -EINVAL, "Invalid prefix length");
  if (rtm->rtm_type > RTN_NAT) return nl_error(ack, -EINVAL, "Invalid route type");
  c->fc_dst_len = rtm->rtm_dst_len;
  c->fc_tos = rtm->rtm_tos & IPTOS_RT_MASK;
  c->fc_protocol = rtm->rtm_protocol;
  c->fc_scope = rtm->rtm_scope;
  c->fc_type = rtm->rtm_type;
  c->fc_flags = rtm->rtm_flags & RTNH_F_ONLINK;
  c->fc_nlflags = nlh->nlmsg_flags;
  c->fc_table = tb[RTA_TABLE] != nullptr ? nla_get_u32(tb[RTA_TABLE]) : rtm->rtm_table;
  if (c->fc_table == RT_TABLE_UNSPEC) c->fc_table = RT_TABLE_MAIN;
  if (tb[RTA_DST] != nullptr) c->fc_dst = nla_get_u32(tb[RTA_DST]);
  if (tb[RTA_OIF] != nullptr) c->fc_oif = static_cast<int>(nla_get_u32(tb[RTA_OIF]));
  if (tb[RTA_GATEWAY] != nullptr) c->fc_gw = nla_get_u32(tb[RTA_GATEWAY]);
  if (tb[RTA_PRIORITY] != nullptr) c->fc_priority = nla_get_u32(tb[RTA_PRIORITY]);
  if (tb[RTA_PREFSRC] != nullptr) c->fc_prefsrc = nla_get_u32(tb[RTA_PREFSRC]);
  if (tb[RTA_VIA] != nullptr)
    return nl_error(ack, -EINVAL, "Gateways of another family are not supported", tb[RTA_VIA]);
  if ((c->fc_dst & ~inet_make_mask(c->fc_dst_len)) != 0)
    return nl_error(ack, -EINVAL, "Invalid prefix for given prefix length");
  if (tb[RTA_METRICS] != nullptr) TRY_INT(parse_metrics(c, tb[RTA_METRICS], ack));
  if (tb[RTA_MULTIPATH] != nullptr) TRY_INT(parse_multipath(c, tb[RTA_MULTIPATH], ack));
  return 0;
}

// What the table says of its refusal, kept until the acknowledgement is sent: rtnl serialises.
char refusal[64];
int explain(fib_config* c, int error, netlink_ext_ack* ack) {
  if (error == 0 || c->error[0] == 0) return error;
  memcpy(refusal, c->error, sizeof refusal);
  return nl_error(ack, error, refusal);
}

int new_route(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  fib_config* c = knew<fib_config>();
  if (c == nullptr) return -ENOBUFS;
  int error = parse_route(nlh, c, ack);
  if (error == 0) {
    fib_table* tb = fib_new_table(c->fc_table);
    error = tb == nullptr ? -ENOBUFS : explain(c, fib_table_insert(tb, c), ack);
  }
  kdelete(c);
  return error;
}

int del_route(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  fib_config* c = knew<fib_config>();
  if (c == nullptr) return -ENOBUFS;
  int error = parse_route(nlh, c, ack);
  if (error == 0) {
    fib_table* tb = fib_get_table(c->fc_table);
    error =
        tb == nullptr ? nl_error(ack, -ESRCH, "FIB table does not exist") : explain(c, fib_table_delete(tb, c), ack);
  }
  kdelete(c);
  return error;
}

// `ip route get`: what would be done with a packet.
int get_route(netlink_sock* sk, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  const nlattr* tb[RTA_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(rtmsg), tb, RTA_MAX, rta_policy, false, ack));
  const auto* rtm = nlmsg_data<rtmsg>(nlh);
  flowi4 fl;
  fl.daddr = tb[RTA_DST] != nullptr ? nla_get_u32(tb[RTA_DST]) : 0;
  fl.saddr = tb[RTA_SRC] != nullptr ? nla_get_u32(tb[RTA_SRC]) : 0;
  fl.oif = tb[RTA_OIF] != nullptr ? static_cast<int>(nla_get_u32(tb[RTA_OIF])) : 0;
  fl.mark = tb[RTA_MARK] != nullptr ? nla_get_u32(tb[RTA_MARK]) : 0;
  fl.tos = rtm->rtm_tos & IPTOS_RT_MASK;
  dst_entry* dst;
  if (tb[RTA_IIF] != nullptr) {
    net_device* in = dev_get_by_index(static_cast<int>(nla_get_u32(tb[RTA_IIF])));
    if (in == nullptr) return -ENODEV;
    sk_buff* probe = alloc_skb(128, GFP_KERNEL);
    if (probe == nullptr) {
      dev_put(in);
      return -ENOBUFS;
    }
    probe->dev = in;
    probe->mark = fl.mark;
    probe->protocol = htons(ETH_P_IP);
    skb_reset_network_header(probe);
    local_bh_disable();
    const int error = ip_route_input(probe, fl.daddr, fl.saddr, fl.tos, in);
    local_bh_enable();
    dst = error == 0 ? dst_hold(probe->dst) : nullptr;
    consume_skb(probe);
    dev_put(in);
    if (error != 0) return error;
  } else {
    dst = TRY(ip_route_output_key(&fl));
  }
  const auto* rt = static_cast<const rtable*>(dst);
  sk_buff* skb = nlmsg_new(512);
  nlmsghdr* reply =
      skb == nullptr ? nullptr : nlmsg_put(skb, sk->portid, nlh->nlmsg_seq, RTM_NEWROUTE, sizeof(rtmsg), 0);
  if (reply == nullptr) {
    dst_release(dst);
    return -ENOBUFS;
  }
  *nlmsg_data<rtmsg>(reply) = {AF_INET,           32,          0,    fl.tos, RT_TABLE_MAIN, RTPROT_UNSPEC,
                               RT_SCOPE_UNIVERSE, rt->rt_type, 0x200};
  const rta_cacheinfo info{};
  nla_put_u32(skb, RTA_TABLE, RT_TABLE_MAIN);
  nla_put_u32(skb, RTA_DST, fl.daddr);
  if (dst->dev != nullptr) nla_put_u32(skb, RTA_OIF, static_cast<u32>(dst->dev->ifindex));
  if (rt->rt_gateway != 0) nla_put_u32(skb, RTA_GATEWAY, rt->rt_gateway);
  if (fl.saddr != 0) nla_put_u32(skb, RTA_PREFSRC, fl.saddr);
  nla_put(skb, RTA_CACHEINFO, &info, sizeof info);
  nlmsg_end(skb, reply);
  dst_release(dst);
  return netlink_unicast(sk, skb);
}

void notify(int event, be32 prefix, u8 prefixlen, const fib_alias* fa, u32 table, u32) {
  sk_buff* skb = nlmsg_new(1024, GFP_ATOMIC);
  if (skb == nullptr) return;
  const RouteShown shown{prefix, prefixlen, fa->fa_tos, fa->fa_type, table, fa->fa_info};
  if (fill(skb, shown, static_cast<u16>(event), 0, 0, 0) == 0) {
    rtnl_notify(skb, RTNLGRP_IPV4_ROUTE);
  } else {
    kfree_skb(skb);
  }
}

// --- rules ---
int fill_rule(sk_buff* skb, const fib_rule* r, u32 portid, u32 seq, u16 message, u16 flags) {
  nlmsghdr* nlh = nlmsg_put(skb, portid, seq, message, sizeof(fib_rule_hdr), flags);
  if (nlh == nullptr) return -EMSGSIZE;
  *nlmsg_data<fib_rule_hdr>(nlh) = {
      AF_INET, r->dst_len, r->src_len, r->tos,  static_cast<u8>(r->table < 256 ? r->table : 252),
      0,       0,          r->action,  r->flags};
  const bool ok = nla_put_u32(skb, FRA_TABLE, r->table) &&
                  nla_put_u32(skb, FRA_SUPPRESS_PREFIXLEN, static_cast<u32>(r->suppress_prefixlen)) &&
                  nla_put_u8(skb, FRA_PROTOCOL, r->protocol) &&
                  (r->pref == 0 || nla_put_u32(skb, FRA_PRIORITY, r->pref)) &&
                  (r->src_len == 0 || nla_put_u32(skb, FRA_SRC, r->src)) &&
                  (r->dst_len == 0 || nla_put_u32(skb, FRA_DST, r->dst)) &&
                  (r->iifname[0] == 0 || nla_put_string(skb, FRA_IIFNAME, r->iifname)) &&
                  (r->oifname[0] == 0 || nla_put_string(skb, FRA_OIFNAME, r->oifname)) &&
                  ((r->mark == 0 && r->mark_mask == 0) ||
                   (nla_put_u32(skb, FRA_FWMARK, r->mark) && nla_put_u32(skb, FRA_FWMASK, r->mark_mask))) &&
                  (r->target == 0 || nla_put_u32(skb, FRA_GOTO, r->target)) &&
                  (r->ip_proto == 0 || nla_put_u8(skb, FRA_IP_PROTO, r->ip_proto));
  if (!ok) {
    nlmsg_cancel(skb, nlh);
    return -EMSGSIZE;
  }
  nlmsg_end(skb, nlh);
  return 0;
}

int dump_rules(sk_buff* skb, netlink_callback* cb) {
  DumpCursor cursor(cb, 0);
  for (fib_rule* r : entries<&fib_rule::list>(fib_rules)) {
    if (cursor.skip()) continue;
    if (fill_rule(skb, r, cb->portid, cb->nlh->nlmsg_seq, RTM_NEWRULE, NLM_F_MULTI) != 0) return 1;
    cursor.done();
  }
  return 0;
}

int parse_rule(const nlmsghdr* nlh, fib_rule* r, netlink_ext_ack* ack) {
  const nlattr* tb[FRA_MAX + 1];
  static constexpr nla_policy policy[FRA_MAX + 1] = {{},        {NLA_U32},
                                                     {NLA_U32}, {NLA_STRING, kIfNameSize - 1},
                                                     {NLA_U32}, {},
                                                     {NLA_U32}, {},
                                                     {},        {},
                                                     {NLA_U32}, {},
                                                     {},        {},
                                                     {NLA_U32}, {NLA_U32},
                                                     {NLA_U32}, {NLA_STRING, kIfNameSize - 1}};
  TRY_INT(nlmsg_parse(nlh, sizeof(fib_rule_hdr), tb, FRA_MAX, policy, false, ack));
  const auto* h = nlmsg_data<fib_rule_hdr>(nlh);
  if (h->src_len > 32 || h->dst_len > 32 || (h->src_len != 0 && tb[FRA_SRC] == nullptr) ||
      (h->dst_len != 0 && tb[FRA_DST] == nullptr))
    return nl_error(ack, -EINVAL, "Invalid prefix length");
  r->action = h->action;
  r->tos = h->tos;
  r->flags = h->flags;
  r->src_len = h->src_len;
  r->dst_len = h->dst_len;
  r->srcmask = inet_make_mask(h->src_len);
  r->dstmask = inet_make_mask(h->dst_len);
  r->table = tb[FRA_TABLE] != nullptr ? nla_get_u32(tb[FRA_TABLE]) : h->table;
  if (tb[FRA_SRC] != nullptr) r->src = nla_get_u32(tb[FRA_SRC]);
  if (tb[FRA_DST] != nullptr) r->dst = nla_get_u32(tb[FRA_DST]);
  if (tb[FRA_PRIORITY] != nullptr) r->pref = nla_get_u32(tb[FRA_PRIORITY]);
  if (tb[FRA_FWMARK] != nullptr) {
    r->mark = nla_get_u32(tb[FRA_FWMARK]);
    r->mark_mask = ~0u;
  }
  if (tb[FRA_FWMASK] != nullptr) r->mark_mask = nla_get_u32(tb[FRA_FWMASK]);
  if (tb[FRA_IIFNAME] != nullptr) nla_get_string(tb[FRA_IIFNAME], r->iifname, sizeof r->iifname);
  if (tb[FRA_OIFNAME] != nullptr) nla_get_string(tb[FRA_OIFNAME], r->oifname, sizeof r->oifname);
  if (tb[FRA_GOTO] != nullptr) r->target = nla_get_u32(tb[FRA_GOTO]);
  if (tb[FRA_SUPPRESS_PREFIXLEN] != nullptr)
    r->suppress_prefixlen = static_cast<int>(nla_get_u32(tb[FRA_SUPPRESS_PREFIXLEN]));
  if (tb[FRA_PROTOCOL] != nullptr) r->protocol = nla_get_u8(tb[FRA_PROTOCOL]);
  if (tb[FRA_IP_PROTO] != nullptr) r->ip_proto = nla_get_u8(tb[FRA_IP_PROTO]);
  return 0;
}

void notify_rule(const fib_rule* r, u16 message) {
  sk_buff* skb = nlmsg_new(256);
  if (skb == nullptr) return;
  fill_rule(skb, r, 0, 0, message, 0) == 0 ? rtnl_notify(skb, RTNLGRP_IPV4_RULE) : kfree_skb(skb);
}

int new_rule(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  fib_rule r;
  TRY_INT(parse_rule(nlh, &r, ack));
  TRY_INT(fib_rule_add(r));
  notify_rule(&r, RTM_NEWRULE);
  return 0;
}
int del_rule(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  fib_rule r;
  TRY_INT(parse_rule(nlh, &r, ack));
  TRY_INT(fib_rule_delete(r));
  notify_rule(&r, RTM_DELRULE);
  return 0;
}

void rtnl_route_init() {
  rtmsg_fib_hook = notify;
  rtnl_register(AF_INET, RTM_GETROUTE, get_route, dump_routes);
  rtnl_register(AF_INET, RTM_NEWROUTE, new_route, nullptr);
  rtnl_register(AF_INET, RTM_DELROUTE, del_route, nullptr);
  rtnl_register(AF_INET, RTM_GETRULE, nullptr, dump_rules);
  rtnl_register(AF_INET, RTM_NEWRULE, new_rule, nullptr);
  rtnl_register(AF_INET, RTM_DELRULE, del_rule, nullptr);
}
BUS_INITCALL(rtnl_route_init);

}  // namespace
}  // namespace xm::os
