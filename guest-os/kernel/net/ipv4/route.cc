// SPDX-License-Identifier: GPL-2.0-or-later
// From an address to a way: ip_route_input for packets that came, ip_route_output_key for those of our own. Results are
// kept at the next hop they go by and shared by all flows that go by it; what was learnt of single destinations (path
// MTU [RFC 1191], redirects [RFC 792]) is in a table of exceptions.
#include "kernel/net/route.h"

#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/net/inet_sock.h"
#include "kernel/net/ip.h"
#include "kernel/net/neighbour.h"
#include "kernel/net/snmp.h"
#include "kernel/sched/clock.h"

namespace xm::os {

Atomic<u32> rt_genid{1};

namespace {

constexpr u32 kMinPmtu = 552;  // net.ipv4.route.min_pmtu
constexpr u64 kMtuExpires = 600 * kNsPerSec;
constexpr u32 kIpMaxMtu = 0xffff;

// --- exceptions ---
struct fnhe {
  list_head link;
  be32 daddr;
  be32 gateway;
  u32 pmtu;
  u64 expires;
};
constexpr u32 kFnheBuckets = 64, kFnheMax = 1024;
list_head fnhe_hash[kFnheBuckets];
u32 fnhe_count = 0;
spinlock_t fnhe_lock{LockRank::InetPeer};

list_head& fnhe_bucket(be32 a) { return fnhe_hash[(a ^ a >> 8 ^ a >> 16 ^ a >> 24) % kFnheBuckets]; }

void drop_oldest_exception() {
  fnhe* oldest = nullptr;
  for (list_head& b : fnhe_hash) {
    for (fnhe* e : entries<&fnhe::link>(b)) {
      if (oldest == nullptr || e->expires < oldest->expires) oldest = e;
    }
  }
  if (oldest == nullptr) return;
  list_del(&oldest->link);
  kdelete(oldest);
  --fnhe_count;
}

void update_exception(be32 daddr, u32 pmtu, be32 gateway, u64 expires) {
  BhGuard guard(fnhe_lock);
  fnhe* found = nullptr;
  for (fnhe* e : entries<&fnhe::link>(fnhe_bucket(daddr))) {
    if (e->daddr == daddr) found = e;
  }
  if (found == nullptr) {
    if (fnhe_count >= kFnheMax) drop_oldest_exception();
    void* p = kmalloc(sizeof(fnhe), GFP_ATOMIC);
    if (p == nullptr) return;
    found = new (p) fnhe{};
    found->daddr = daddr;
    list_add(&found->link, &fnhe_bucket(daddr));
    ++fnhe_count;
  }
  if (pmtu != 0) found->pmtu = pmtu;
  if (gateway != 0) found->gateway = gateway;
  found->expires = expires;
  rt_cache_flush();
}

// Copies what is known of a destination; false: nothing.
bool find_exception(be32 daddr, fnhe* out) {
  if (likely(read_once(fnhe_count) == 0)) return false;
  BhGuard guard(fnhe_lock);
  for (fnhe* e : entries<&fnhe::link>(fnhe_bucket(daddr))) {
    if (e->daddr != daddr) continue;
    if (e->expires <= ktime_get()) {
      list_del(&e->link);
      kdelete(e);
      --fnhe_count;
      return false;
    }
    out->pmtu = e->pmtu;
    out->gateway = e->gateway;
    out->expires = e->expires;
    return true;
  }
  return false;
}

// --- rtable as a destination ---
void ipv4_dst_destroy(dst_entry* d) {
  dev_put(d->dev);
  kdelete(static_cast<rtable*>(d));
}
bool ipv4_dst_check(const dst_entry* d, u32) {
  const rtable* rt = static_cast<const rtable*>(d);
  return rt->generation == rt_genid.load() && (rt->rt_expires == 0 || rt->rt_expires > ktime_get());
}
u32 ipv4_mtu(const dst_entry* d) {
  const rtable* rt = static_cast<const rtable*>(d);
  if (rt->rt_pmtu != 0 && (rt->rt_expires == 0 || ktime_get() < rt->rt_expires)) return rt->rt_pmtu;
  return min(d->metric_mtu != 0 ? d->metric_mtu : read_once(d->dev->mtu), kIpMaxMtu);
}
u32 ipv4_default_advmss(const dst_entry* d) {
  return d->metric_advmss != 0 ? d->metric_advmss : clamp(ipv4_mtu(d), 256u + 40, kIpMaxMtu) - 40;
}
void ip_rt_update_pmtu_skb(dst_entry* d, const sk_buff* skb, u32 mtu) {
  ip_rt_update_pmtu(d, reinterpret_cast<const iphdr*>(skb_network_header(skb))->daddr, mtu);
}
void ipv4_link_failure(sk_buff* skb) { icmp_send(skb, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0); }

const dst_ops ipv4_dst_ops{
    AF_INET, ipv4_dst_destroy, ipv4_dst_check, ipv4_mtu, ipv4_default_advmss, ip_rt_update_pmtu_skb, ipv4_link_failure};

int ip_rt_bug(sk_buff* skb) {
  kfree_skb(skb);
  return 0;
}

rtable* rt_dst_alloc(net_device* dev, u16 flags, u8 type) {
  void* p = kmalloc(sizeof(rtable), GFP_ATOMIC);
  if (p == nullptr) return nullptr;
  rtable* rt = new (p) rtable{};
  rt->ops = &ipv4_dst_ops;
  rt->dev = dev;
  dev_hold(dev);
  rt->rt_flags = flags;
  rt->rt_type = type;
  rt->generation = rt_genid.load();
  rt->output = ip_output;
  rt->input = (flags & RTCF_LOCAL) != 0 ? ip_local_deliver : ip_rt_bug;
  return rt;
}

void set_nexthop(rtable* rt, const fib_result* res) {
  if (res->fi == nullptr) return;
  const fib_nh& nh = res->fi->nh()[res->nh_sel];
  if (nh.nh_gw != 0 && nh.nh_scope == RT_SCOPE_LINK) rt->rt_gateway = nh.nh_gw;
  rt->metric_mtu = res->fi->fib_mtu;
  rt->metric_advmss = res->fi->fib_advmss;
  rt->metric_window = res->fi->fib_window;
  rt->metric_initcwnd = res->fi->fib_initcwnd;
}

// A route that is kept at its next hop and still good, referenced.
rtable* cached_route(fib_info* fi, rtable* const* at) {
  rtable* rt = nullptr;
  {
    BhGuard guard(fi->lock);
    rt = *at;
    if (rt != nullptr) dst_hold(rt);
  }
  if (rt == nullptr || ipv4_dst_check(rt, 0)) return rt;
  dst_release(rt);
  return nullptr;
}
void cache_route(fib_info* fi, rtable** at, rtable* rt) {
  rtable* old;
  dst_hold(rt);
  {
    BhGuard guard(fi->lock);
    if (fi->fib_dead) {
      old = rt;
    } else {
      old = *at;
      *at = rt;
      rt->rt_cached = true;
    }
  }
  dst_release(old);
}

net_device* loopback() {
  for (net_device* d : entries<&net_device::dev_list>(dev_base)) {
    if ((d->flags & IFF_LOOPBACK) != 0) return d;
  }
  return nullptr;
}
net_device* device_of(int ifindex) {  // inside net_read_lock
  for (net_device* d : entries<&net_device::dev_list>(dev_base)) {
    if (d->ifindex == ifindex) return d;
  }
  return nullptr;
}
net_device* device_with(be32 address) {  // inside net_read_lock
  net_device* d = ip_dev_find(address);
  if (d != nullptr) dev_put(d);
  return d;
}

// --- in ---
int deliver_route(sk_buff* skb, fib_result* res, u16 flags, net_device* dev) {
  const bool cache = res != nullptr && res->fi != nullptr && (flags & RTCF_BROADCAST) == 0;
  if (cache) {
    if (rtable* rt = cached_route(res->fi, &res->fi->nh()[res->nh_sel].nh_rth_input); rt != nullptr) {
      skb_dst_set(skb, rt);
      return 0;
    }
  }
  net_device* out = loopback();
  rtable* rt = rt_dst_alloc(out != nullptr ? out : dev, flags | RTCF_LOCAL, res != nullptr ? res->type : 0);
  if (rt == nullptr) return -ENOBUFS;
  rt->rt_is_input = true;
  rt->input = ip_local_deliver;
  if (cache) cache_route(res->fi, &res->fi->nh()[res->nh_sel].nh_rth_input, rt);
  skb_dst_set(skb, rt);
  return 0;
}

int refuse_route(sk_buff* skb, net_device* dev, int error) {
  rtable* rt = rt_dst_alloc(dev, 0, RTN_UNREACHABLE);
  if (rt == nullptr) return -ENOBUFS;
  rt->rt_is_input = true;
  rt->input = ip_error;
  rt->error = -error;
  skb_dst_set(skb, rt);
  return 0;
}

int forward_route(sk_buff* skb, fib_result* res, be32 daddr, be32 saddr, u8 tos, net_device* dev, in_device* in) {
  fib_nh* nh = &res->fi->nh()[res->nh_sel];
  if (nh->nh_dev == nullptr || in_dev_get(nh->nh_dev) == nullptr) return -EINVAL;
  bool direct = false;
  const int error = fib_validate_source(skb, saddr, daddr, tos, nh->nh_oif, dev, in, &direct);
  if (error < 0) return error;
  const bool redirect = nh->nh_dev == dev && direct && skb->protocol == htons(ETH_P_IP) &&
                        (nh->nh_gw == 0 || inet_addr_onlink(in, saddr, nh->nh_gw));
  if (redirect) IPCB(skb)->flags |= IPSKB_DOREDIRECT;
  fnhe known;
  const bool special = find_exception(daddr, &known);
  rtable* rt = special ? nullptr : cached_route(res->fi, &nh->nh_rth_input);
  if (rt == nullptr) {
    rt = rt_dst_alloc(nh->nh_dev, 0, res->type);
    if (rt == nullptr) return -ENOBUFS;
    rt->rt_is_input = true;
    rt->input = ip_forward;
    set_nexthop(rt, res);
    if (special) {
      rt->rt_pmtu = known.pmtu;
      rt->rt_expires = known.expires;
    } else {
      cache_route(res->fi, &nh->nh_rth_input, rt);
    }
  }
  skb_dst_set(skb, rt);
  return 0;
}

int multicast_route(sk_buff* skb, be32 daddr, be32 saddr, net_device* dev, in_device* in) {
  if (ipv4_is_multicast(saddr) || ipv4_is_lbcast(saddr)) return -EINVAL;
  if (ipv4_is_loopback(saddr) && (dev->flags & IFF_LOOPBACK) == 0) return -EINVAL;
  const bool ours = ip_check_mc(in, daddr);
  if (!ours && (dev->flags & IFF_LOOPBACK) == 0) return -EINVAL;
  rtable* rt = rt_dst_alloc(dev, RTCF_MULTICAST | RTCF_LOCAL, RTN_MULTICAST);
  if (rt == nullptr) return -ENOBUFS;
  rt->rt_is_input = true;
  rt->input = ip_local_deliver;
  skb_dst_set(skb, rt);
  return 0;
}

int martian(sk_buff*, net_device* dev) {
  netdev_count(dev->stats.rx_errors);
  return -EINVAL;
}

}  // namespace

int ip_route_input(sk_buff* skb, be32 daddr, be32 saddr, u8 tos, net_device* dev) {
  in_device* in = in_dev_get(dev);
  if (in == nullptr) return -EINVAL;
  if (ipv4_is_multicast(daddr)) return multicast_route(skb, daddr, saddr, dev, in);
  const bool local_net_ok = (dev->flags & IFF_LOOPBACK) != 0 || in_dev_conf(in, IPV4_DEVCONF_route_localnet) != 0;
  if (ipv4_is_multicast(saddr) || ipv4_is_lbcast(saddr)) return martian(skb, dev);
  fib_result res;
  if (ipv4_is_lbcast(daddr) || (saddr == 0 && daddr == 0)) return deliver_route(skb, nullptr, RTCF_BROADCAST, dev);
  if (ipv4_is_zeronet(saddr) || ipv4_is_zeronet(daddr)) return martian(skb, dev);
  if (!local_net_ok && (ipv4_is_loopback(daddr) || ipv4_is_loopback(saddr))) return martian(skb, dev);
  flowi4 fl;
  fl.iif = dev->ifindex;
  fl.daddr = daddr;
  fl.saddr = saddr;
  fl.tos = tos & IPTOS_RT_MASK;
  fl.mark = skb->mark;
  const bool forwarding = in_dev_conf(in, IPV4_DEVCONF_forwarding) != 0;
  const int error = fib_lookup(&fl, &res);
  if (error != 0) {
    if (!forwarding) return -EHOSTUNREACH;
    IPEXT_ADD(IPEXT_InNoRoutes, 1);
    return refuse_route(skb, dev, error == -EAGAIN ? -ENETUNREACH : error);
  }
  if (res.type == RTN_BROADCAST) {
    if (fib_validate_source(skb, saddr, 0, fl.tos, 0, dev, in, nullptr) < 0 && saddr != 0) return martian(skb, dev);
    return deliver_route(skb, &res, RTCF_BROADCAST, dev);
  }
  if (res.type == RTN_LOCAL) {
    if (fib_validate_source(skb, saddr, daddr, fl.tos, 0, dev, in, nullptr) < 0) return martian(skb, dev);
    return deliver_route(skb, &res, 0, dev);
  }
  if (!forwarding) return -EHOSTUNREACH;
  if (res.type != RTN_UNICAST) return martian(skb, dev);
  fib_select_path(&res, &fl);
  return forward_route(skb, &res, daddr, saddr, fl.tos, dev, in);
}

// --- out ---
namespace {

Result<rtable*> mkroute_output(fib_result* res, flowi4* fl, net_device* out) {
  const in_device* in = in_dev_get(out);
  if (in == nullptr) return Error{EINVAL};
  if (ipv4_is_loopback(fl->saddr) && (out->flags & IFF_LOOPBACK) == 0 &&
      in_dev_conf(in, IPV4_DEVCONF_route_localnet) == 0)
    return Error{EINVAL};
  u8 type = res->type;
  if (ipv4_is_lbcast(fl->daddr))
    type = RTN_BROADCAST;
  else if (ipv4_is_multicast(fl->daddr))
    type = RTN_MULTICAST;
  else if (ipv4_is_zeronet(fl->daddr))
    return Error{EINVAL};
  u16 flags = (out->flags & IFF_LOOPBACK) != 0 ? RTCF_LOCAL : 0;
  bool cache = true;
  if (type == RTN_BROADCAST) {
    flags |= RTCF_BROADCAST | RTCF_LOCAL;
    res->fi = nullptr;
  } else if (type == RTN_MULTICAST) {
    flags |= RTCF_MULTICAST | RTCF_LOCAL;
    if (!ip_check_mc(in, fl->daddr)) flags &= static_cast<u16>(~RTCF_LOCAL);
    cache = false;
  }
  fib_info* fi = res->fi;
  cache = cache && fi != nullptr;
  fnhe known;
  const bool special = (flags & RTCF_LOCAL) == 0 && find_exception(fl->daddr, &known);
  fib_nh* nh = fi != nullptr ? &fi->nh()[res->nh_sel] : nullptr;
  // The next hop's device must be the one the packet leaves by: not so for local addresses, which leave by lo.
  if (special || (nh != nullptr && nh->nh_dev != out && type != RTN_LOCAL)) cache = false;
  if (cache) {
    if (rtable* rt = cached_route(fi, &nh->nh_rth_output); rt != nullptr && rt->dev == out)
      return rt;
    else if (rt != nullptr)
      dst_release(rt);
  }
  rtable* rt = rt_dst_alloc(out, flags, type);
  if (rt == nullptr) return Error{ENOBUFS};
  if ((flags & (RTCF_BROADCAST | RTCF_MULTICAST)) != 0 && (flags & RTCF_LOCAL) != 0 && (out->flags & IFF_LOOPBACK) == 0)
    rt->output = ip_mc_output;
  set_nexthop(rt, res);
  if (special) {
    rt->rt_pmtu = known.pmtu;
    rt->rt_expires = known.expires;
    if (known.gateway != 0) rt->rt_gateway = known.gateway;
  } else if (cache) {
    cache_route(fi, &nh->nh_rth_output, rt);
  }
  return rt;
}

Result<rtable*> route_output_locked(flowi4* fl) {
  fib_result res;
  net_device* out = nullptr;
  fl->tos &= IPTOS_RT_MASK;
  if (fl->saddr != 0) {
    if (ipv4_is_multicast(fl->saddr) || ipv4_is_lbcast(fl->saddr) || ipv4_is_zeronet(fl->saddr)) return Error{EINVAL};
    if (fl->oif == 0 && (ipv4_is_multicast(fl->daddr) || ipv4_is_lbcast(fl->daddr))) {
      // Sent from an address: by the device that has it, without asking the tables.
      out = device_with(fl->saddr);
      if (out == nullptr) return Error{EINVAL};
      fl->oif = out->ifindex;
      return mkroute_output(&res, fl, out);
    }
    if ((fl->flags & FLOWI_FLAG_ANYSRC) == 0 && device_with(fl->saddr) == nullptr && !ipv4_is_loopback(fl->saddr))
      return Error{EINVAL};
  }
  if (fl->oif != 0) {
    out = device_of(fl->oif);
    if (out == nullptr) return Error{ENODEV};
    if ((out->flags & IFF_UP) == 0 || in_dev_get(out) == nullptr) return Error{ENETUNREACH};
    const bool local_group = (fl->daddr & htonl(0xffffff00)) == htonl(0xe0000000);
    if (local_group || ipv4_is_lbcast(fl->daddr) || fl->proto == IPPROTO_IGMP) {
      if (fl->saddr == 0) fl->saddr = inet_select_addr(out, 0, RT_SCOPE_LINK);
      return mkroute_output(&res, fl, out);
    }
    if (fl->saddr == 0 && ipv4_is_multicast(fl->daddr)) fl->saddr = inet_select_addr(out, 0, fl->scope);
    if (fl->saddr == 0 && fl->daddr == 0) fl->saddr = inet_select_addr(out, 0, RT_SCOPE_HOST);
  }
  if (fl->daddr == 0) {
    fl->daddr = fl->saddr;
    if (fl->daddr == 0) fl->daddr = fl->saddr = htonl(0x7f000001);
    out = loopback();
    if (out == nullptr) return Error{ENETUNREACH};
    fl->oif = out->ifindex;
    res.type = RTN_LOCAL;
    res.fi = nullptr;
    return mkroute_output(&res, fl, out);
  }
  const int error = fib_lookup(fl, &res);
  if (error != 0) {
    // A device was named: the destination is taken to be on its link, so that DHCP clients can speak without routes.
    if (fl->oif == 0 || (!ipv4_is_multicast(fl->daddr) && error != -ENETUNREACH)) return Error{-error};
    if (fl->saddr == 0) fl->saddr = inet_select_addr(out, 0, RT_SCOPE_LINK);
    res = fib_result{};
    res.type = RTN_UNICAST;
    return mkroute_output(&res, fl, out);
  }
  if (res.type == RTN_LOCAL) {
    if (fl->saddr == 0) fl->saddr = res.fi->fib_prefsrc != 0 ? res.fi->fib_prefsrc : fl->daddr;
    out = loopback();
    if (out == nullptr) return Error{ENETUNREACH};
    fl->oif = out->ifindex;
    return mkroute_output(&res, fl, out);
  }
  fib_select_path(&res, fl);
  out = res.fi->nh()[res.nh_sel].nh_dev;
  if (out == nullptr) return Error{ENETUNREACH};
  if (fl->saddr == 0) fl->saddr = fib_result_prefsrc(&res, out);
  fl->oif = out->ifindex;
  return mkroute_output(&res, fl, out);
}

}  // namespace

Result<rtable*> ip_route_output_key(flowi4* fl) {
  net_read_lock();
  const auto result = route_output_locked(fl);
  net_read_unlock();
  if (!result.ok()) IP_INC(IPSTATS_OutNoRoutes);
  return result;
}
Result<rtable*> ip_route_output_flow(flowi4* fl, sock*) { return ip_route_output_key(fl); }

RtType inet_addr_type_dev(const net_device* dev, be32 addr) {
  if (ipv4_is_zeronet(addr) || ipv4_is_lbcast(addr)) return RTN_BROADCAST;
  if (ipv4_is_multicast(addr)) return RTN_MULTICAST;
  RtType type = RTN_BROADCAST;
  net_read_lock();
  if (fib_table* tb = fib_get_table(RT_TABLE_LOCAL); tb != nullptr) {
    flowi4 fl;
    fl.daddr = addr;
    fib_result res;
    type = RTN_UNICAST;
    if (fib_table_lookup(tb, &fl, &res) == 0 && (dev == nullptr || res.fi->nh()->nh_dev == dev))
      type = static_cast<RtType>(res.type);
  }
  net_read_unlock();
  return type;
}
RtType inet_addr_type(be32 addr) { return inet_addr_type_dev(nullptr, addr); }

// --- what the network tells ---
void ip_rt_update_pmtu(dst_entry* dst, be32 daddr, u32 mtu) {
  if (dst != nullptr && mtu >= dst_mtu(dst)) return;
  update_exception(daddr, max(mtu, kMinPmtu), 0, ktime_get() + kMtuExpires);
}
void ipv4_update_pmtu(sk_buff* skb, u32 mtu, int, u8) {
  const be32 daddr = reinterpret_cast<const iphdr*>(skb->data)->daddr;
  flowi4 fl;
  fl.daddr = daddr;
  const auto rt = ip_route_output_key(&fl);
  if (!rt.ok()) return;
  ip_rt_update_pmtu(rt.value(), daddr, mtu);
  ip_rt_put(rt.value());
}

// A router on our link names a better one. Believed only from the router that is in use. [RFC 1122, 3.2.2.2]
void ipv4_redirect(sk_buff* skb, be32 gateway) {
  const iphdr* quoted = reinterpret_cast<const iphdr*>(skb->data);
  in_device* in = in_dev_get(skb->dev);
  if (in == nullptr || gateway == 0 || in_dev_conf(in, IPV4_DEVCONF_accept_redirects) == 0 ||
      in_dev_conf(in, IPV4_DEVCONF_forwarding) != 0 || ipv4_is_multicast(gateway) || ipv4_is_lbcast(gateway) ||
      ipv4_is_zeronet(gateway) || !inet_addr_onlink(in, gateway, 0))
    return;
  if (inet_addr_type(gateway) != RTN_UNICAST) return;
  flowi4 fl;
  fl.daddr = quoted->daddr;
  const auto rt = ip_route_output_key(&fl);
  if (!rt.ok()) return;
  if (rt.value()->rt_gateway == ip_hdr(skb)->saddr && rt.value()->dev == skb->dev)
    update_exception(quoted->daddr, 0, gateway, ktime_get() + kMtuExpires);
  ip_rt_put(rt.value());
}

void ip_rt_send_redirect(sk_buff* skb) {
  const rtable* rt = skb_rtable(skb);
  const in_device* in = in_dev_get(rt->dev);
  if (in == nullptr ||
      (in_dev_conf(in, IPV4_DEVCONF_send_redirects) == 0 && ipv4_devconf_all.data[IPV4_DEVCONF_send_redirects] == 0))
    return;
  icmp_send(skb, ICMP_REDIRECT, 1, rt_nexthop(rt, ip_hdr(skb)->daddr));
}

int ip_error(sk_buff* skb) {
  u8 code = ICMP_HOST_UNREACH;
  switch (skb_rtable(skb)->error) {
    case ENETUNREACH:
      code = ICMP_NET_UNREACH;
      IPEXT_ADD(IPEXT_InNoRoutes, 1);
      break;
    case EACCES: code = ICMP_PKT_FILTERED; break;
    case EINVAL: kfree_skb_reason(skb, SKB_DROP_IP_INNOROUTES); return 0;  // a black hole
    default: break;
  }
  icmp_send(skb, ICMP_DEST_UNREACH, code, 0);
  kfree_skb_reason(skb, SKB_DROP_IP_INNOROUTES);
  return 0;
}

void ip_rt_init() {
  for (list_head& b : fnhe_hash) b.init();
}

}  // namespace xm::os
