// SPDX-License-Identifier: GPL-2.0-or-later
// IPv6 addresses of devices: link-local ones, those made from router advertisements, duplicate address detection,
// lifetimes, choice of a source. [RFC 4862], [RFC 6724, 5] GAP: no temporary or stable-privacy addresses.
#include "kernel/drivers/random.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/net/ipv6/ipv6.h"
#include "kernel/net/netlink/rtnetlink.h"
#include "kernel/sched/clock.h"

namespace xm::os {

constinit spinlock_t addrconf_lock{LockRank::InetPeer};
inet6_dev ipv6_all;
void inet6_ifa_notify(inet6_ifaddr* a, u16 message);

namespace {

inet6_dev ipv6_default;
constexpr u64 kRetransNs = kNsPerSec, kRsIntervalNs = 4 * kNsPerSec;
timer_list verify_timer;

u64 random_delay(u64 limit) { return get_random_u64() % limit; }

inet6_ifaddr* find_locked(const in6_addr& a, const net_device* dev) {
  for (net_device* d : entries<&net_device::dev_list>(dev_base)) {
    inet6_dev* idev = dev != nullptr && d != dev ? nullptr : in6_dev_get(d);
    if (idev == nullptr) continue;
    for (inet6_ifaddr* ifa : entries<&inet6_ifaddr::link>(idev->addresses)) {
      if (ifa->addr == a) return ifa;
    }
  }
  return nullptr;
}

rt6_config prefix_route(net_device* dev, const in6_addr& a, u8 length, u8 type, u32 metric) {
  rt6_config c;
  c.prefix = a;
  c.prefixlen = length;
  for (u32 i = 0; i < 16; ++i) {
    const u32 kept = length > i * 8 ? min(length - i * 8, 8u) : 0;
    c.prefix.bytes[i] = static_cast<u8>(a.bytes[i] & (0xff00 >> kept));
  }
  c.type = type;
  c.metric = metric;
  c.table = type == 2 ? 255 : 254;
  c.dev = dev;
  return c;
}

// --- duplicate address detection ---
void dad_completed(inet6_ifaddr* ifa) {
  net_device* dev = ifa->idev->dev;
  inet6_ifa_notify(ifa, RTM_NEWADDR);
  mld_report_all(dev);  // the reports before had no source
  if (ifa->scope != IPV6_SCOPE_LINK || ipv6_all.forwarding != 0 || ifa->idev->accept_ra == 0) return;
  ifa->idev->rs_left = 3;
  mod_timer(&ifa->idev->rs_timer, ktime_get() + random_delay(kNsPerSec / 4));
}

void dad_timer(timer_list* timer) {
  inet6_ifaddr* ifa = container_of(timer, inet6_ifaddr, dad_timer);
  bool done = false, dead;
  {
    BhGuard guard(addrconf_lock);
    dead = ifa->dead || (ifa->flags & IFA6_DADFAILED) != 0;
    if (!dead && ifa->probes_left == 0) {
      ifa->flags &= ~static_cast<u32>(IFA6_TENTATIVE);
      done = true;
    }
  }
  if (!dead && !done) {
    --ifa->probes_left;
    in6_addr unspecified;
    ndisc_send_ns(ifa->idev->dev, ifa->addr, ipv6_solicited_node(ifa->addr), &unspecified);
    ifa->refcnt.inc();
    mod_timer(timer, ktime_get() + kRetransNs);
  }
  if (done) dad_completed(ifa);
  in6_ifa_put(ifa);
}

void dad_start(inet6_ifaddr* ifa) {
  const net_device* dev = ifa->idev->dev;
  ipv6_dev_mc_inc(ifa->idev->dev, ipv6_solicited_node(ifa->addr));
  const bool needless =
      (dev->flags & (IFF_NOARP | IFF_LOOPBACK)) != 0 || (ifa->flags & IFA6_NODAD) != 0 || ifa->idev->dad_transmits == 0;
  if (needless) {
    ifa->flags &= ~static_cast<u32>(IFA6_TENTATIVE);
    dad_completed(ifa);
    return;
  }
  inet6_ifa_notify(ifa, RTM_NEWADDR);
  ifa->probes_left = static_cast<u32>(ifa->idev->dad_transmits);
  ifa->refcnt.inc();  // the timer's
  mod_timer(&ifa->dad_timer, ktime_get() + random_delay(kNsPerSec / 2));
}

void rs_timer(timer_list* timer) {
  inet6_dev* idev = container_of(timer, inet6_dev, rs_timer);
  if (idev->dead || idev->rs_left == 0 || !netif_running(idev->dev)) return;
  --idev->rs_left;
  ndisc_send_rs(idev->dev);
  mod_timer(timer, ktime_get() + kRsIntervalNs);
}

// --- lifetimes ---
void verify(timer_list* timer) {
  const u64 now = ktime_get();
  rt6_age(now);
  for (;;) {
    inet6_ifaddr* gone = nullptr;
    {
      BhGuard guard(addrconf_lock);
      for (net_device* d : entries<&net_device::dev_list>(dev_base)) {
        inet6_dev* idev = in6_dev_get(d);
        if (idev == nullptr) continue;
        for (inet6_ifaddr* a : entries<&inet6_ifaddr::link>(idev->addresses)) {
          const u64 age = (now - a->tstamp) / kNsPerSec;
          if (a->valid_lft != kInfinityLife && age >= a->valid_lft && gone == nullptr) {
            gone = a;
            a->refcnt.inc();
          } else if (a->preferred_lft != kInfinityLife && age >= a->preferred_lft) {
            a->flags |= IFA6_DEPRECATED;
          }
        }
      }
    }
    if (gone == nullptr) break;
    addrconf_del(gone->idev->dev, gone->addr, gone->prefixlen);
    in6_ifa_put(gone);
  }
  mod_timer(timer, now + 2 * kNsPerSec);
}
void start_verify() {
  if (!timer_pending(&verify_timer)) mod_timer(&verify_timer, ktime_get() + 2 * kNsPerSec);
}

// --- devices ---
bool eui64(const net_device* dev, in6_addr* a) {  // [RFC 4291, appendix A]
  if (dev->addr_len != kEthAlen) return false;
  const u8* m = dev->dev_addr;
  const u8 id[8] = {static_cast<u8>(m[0] ^ 2), m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]};
  memcpy(a->bytes + 8, id, 8);
  return true;
}

struct ConfEntry {
  const char* name;
  s64 inet6_dev::*value;
  s64 high;
};
constexpr ConfEntry conf_entries[] = {{"forwarding", &inet6_dev::forwarding, 1},
                                      {"accept_ra", &inet6_dev::accept_ra, 2},
                                      {"autoconf", &inet6_dev::autoconf, 1},
                                      {"disable_ipv6", &inet6_dev::disable_ipv6, 1},
                                      {"dad_transmits", &inet6_dev::dad_transmits, 10},
                                      {"hop_limit", &inet6_dev::hop_limit, 255}};
void make_conf(inet6_dev* idev, const char* name) {
  for (const ConfEntry& e : conf_entries) {
    auto* number = static_cast<proc_number*>(kmalloc(sizeof(proc_number)));
    if (number == nullptr) return;
    *number = {&(idev->*e.value), 0, e.high};
    char path_name[80];
    format(path_name, sizeof path_name, "sys/net/ipv6/conf/%s/%s", name, e.name);
    proc_create_number(path_name, 0644, number);
  }
}

inet6_dev* add_device(net_device* dev) {
  if (dev->ip6_ptr != nullptr) return dev->ip6_ptr;
  if (dev->mtu < kIpv6MinMtu) return nullptr;
  inet6_dev* idev = knew<inet6_dev>();
  if (idev == nullptr) return nullptr;
  idev->dev = dev;
  for (const ConfEntry& e : conf_entries) idev->*e.value = ipv6_default.*e.value;
  idev->mtu = dev->mtu;
  timer_setup(&idev->rs_timer, rs_timer);
  dev_hold(dev);
  write_once(dev->ip6_ptr, idev);
  make_conf(idev, dev->name);
  return idev;
}

bool configured(const inet6_dev* idev) { return !const_cast<inet6_dev*>(idev)->groups.empty(); }

void device_up(net_device* dev) {
  inet6_dev* idev = add_device(dev);
  if (idev == nullptr || idev->disable_ipv6 != 0 || ipv6_all.disable_ipv6 != 0 || !netif_running(dev) ||
      !dev->carrier || configured(idev))
    return;
  ipv6_dev_mc_inc(dev, ipv6_make(0xff020000, 0, 0, 1));
  if ((dev->flags & IFF_LOOPBACK) != 0) {
    addrconf_add(dev, ipv6_make(0, 0, 0, 1), 128, IFA6_PERMANENT, kInfinityLife, kInfinityLife);
    return;
  }
  ip6_route_add(prefix_route(dev, ipv6_make(0xff000000, 0, 0, 0), 8, 5 /* RTN_MULTICAST */, 256), 0);
  in6_addr a = ipv6_make(0xfe800000, 0, 0, 0);
  if (!eui64(dev, &a)) get_random_bytes(a.bytes + 8, 8);
  addrconf_add(dev, a, 64, IFA6_PERMANENT, kInfinityLife, kInfinityLife);
}

void device_down(net_device* dev) {
  inet6_dev* idev = in6_dev_get(dev);
  if (idev == nullptr) return;
  del_timer(&idev->rs_timer);
  idev->rs_left = 0;
  for (;;) {
    inet6_ifaddr* a;
    {
      BhGuard guard(addrconf_lock);
      a = list_first<&inet6_ifaddr::link>(&idev->addresses);
      if (a != nullptr) a->refcnt.inc();
    }
    if (a == nullptr) break;
    addrconf_del(dev, a->addr, a->prefixlen);
    in6_ifa_put(a);
  }
  for (;;) {
    in6_addr group;
    {
      BhGuard guard(addrconf_lock);
      ifmcaddr6* g = list_first<&ifmcaddr6::link>(&idev->groups);
      if (g == nullptr) break;
      g->users = 1;
      group = g->group;
    }
    ipv6_dev_mc_dec(dev, group);
  }
  rt6_ifdown(dev);
  neigh_ifdown(&nd_tbl, dev);
}

void device_event(NetdevEvent event, net_device* dev) {
  switch (event) {
    case NETDEV_REGISTER: add_device(dev); break;
    case NETDEV_UP:
    case NETDEV_CHANGE: device_up(dev); break;
    case NETDEV_DOWN: device_down(dev); break;
    case NETDEV_CHANGEMTU:
      if (inet6_dev* idev = in6_dev_get(dev)) idev->mtu = dev->mtu;
      break;
    case NETDEV_CHANGEADDR: neigh_changeaddr(&nd_tbl, dev); break;
    case NETDEV_UNREGISTER:
      if (inet6_dev* idev = in6_dev_get(dev)) {
        device_down(dev);
        char path_name[64];
        format(path_name, sizeof path_name, "sys/net/ipv6/conf/%s", dev->name);
        proc_remove(&proc_root, path_name);
        write_once(dev->ip6_ptr, static_cast<inet6_dev*>(nullptr));
        idev->dead = true;
        synchronize_net();
        del_timer_sync(&idev->rs_timer);
        dev_put(dev);  // the inet6_dev stays: files that are open under /proc/sys point into it
      }
      break;
    default: break;
  }
}
constinit notifier_block ipv6_notifier{device_event};

void show_if_inet6(TextBuffer& out, void*) {
  rtnl_lock();
  for (net_device* dev : entries<&net_device::dev_list>(dev_base)) {
    inet6_dev* idev = in6_dev_get(dev);
    if (idev == nullptr) continue;
    BhGuard guard(addrconf_lock);
    for (const inet6_ifaddr* a : entries<&inet6_ifaddr::link>(idev->addresses)) {
      for (u8 b : a->addr.bytes) out.print("%02x", b);
      out.print(" %02x %02x %02x %02x %8s\n", dev->ifindex, a->prefixlen, a->scope, a->flags & 0xff, dev->name);
    }
  }
  rtnl_unlock();
}

}  // namespace

in6_addr ipv6_make(u32 a, u32 b, u32 c, u32 d) {
  in6_addr r;
  r.words[0] = htonl(a);
  r.words[1] = htonl(b);
  r.words[2] = htonl(c);
  r.words[3] = htonl(d);
  return r;
}
u8 ipv6_addr_scope(const in6_addr& a) {
  if (a.linklocal() || (a.bytes[0] == 0xff && (a.bytes[1] & 15) == 2)) return IPV6_SCOPE_LINK;
  if (a == ipv6_make(0, 0, 0, 1)) return IPV6_SCOPE_HOST;
  if (a.bytes[0] == 0xfe && (a.bytes[1] & 0xc0) == 0xc0) return IPV6_SCOPE_SITE;
  return IPV6_SCOPE_GLOBAL;
}
bool ipv6_prefix_equal(const in6_addr& a, const in6_addr& b, u32 bits) {
  for (u32 i = 0; i < bits; ++i) {
    if (((a.bytes[i / 8] ^ b.bytes[i / 8]) >> (7 - i % 8) & 1) != 0) return false;
  }
  return true;
}

bool ipv6_chk_addr(const in6_addr& a, const net_device* dev, bool tentative_too) {
  BhGuard guard(addrconf_lock);
  const inet6_ifaddr* ifa = find_locked(a, dev);
  return ifa != nullptr && (tentative_too || (ifa->flags & IFA6_TENTATIVE) == 0);
}
inet6_ifaddr* ipv6_get_ifaddr(const in6_addr& a, const net_device* dev) {
  BhGuard guard(addrconf_lock);
  inet6_ifaddr* ifa = find_locked(a, dev);
  if (ifa != nullptr) ifa->refcnt.inc();
  return ifa;
}
void in6_ifa_put(inet6_ifaddr* a) {
  if (!a->refcnt.dec_and_test()) return;
  timer_shutdown(&a->dad_timer);
  kfree(a);
}
bool ipv6_get_lladdr(const net_device* dev, in6_addr* to, bool tentative_too) {
  inet6_dev* idev = in6_dev_get(dev);
  if (idev == nullptr) return false;
  BhGuard guard(addrconf_lock);
  for (const inet6_ifaddr* a : entries<&inet6_ifaddr::link>(idev->addresses)) {
    if (a->scope != IPV6_SCOPE_LINK || (!tentative_too && (a->flags & IFA6_TENTATIVE) != 0)) continue;
    *to = a->addr;
    return true;
  }
  return false;
}

// [RFC 6724, 5], as far as one table of defaults goes: scope, not deprecated, this device, the longest common prefix.
bool ipv6_dev_get_saddr(const net_device* dev, const in6_addr& daddr, in6_addr* saddr) {
  const u8 scope = ipv6_addr_scope(daddr);
  int best = -1;
  BhGuard guard(addrconf_lock);
  for (net_device* d : entries<&net_device::dev_list>(dev_base)) {
    inet6_dev* idev = in6_dev_get(d);
    if (idev == nullptr || (scope == IPV6_SCOPE_LINK && dev != nullptr && d != dev)) continue;
    for (const inet6_ifaddr* a : entries<&inet6_ifaddr::link>(idev->addresses)) {
      if ((a->flags & (IFA6_TENTATIVE | IFA6_DADFAILED)) != 0) continue;
      if (scope == IPV6_SCOPE_GLOBAL && a->scope == IPV6_SCOPE_LINK) continue;
      int score = a->addr == daddr ? 100000 : 0;
      if (a->scope == scope) score += 10000;
      if ((a->flags & IFA6_DEPRECATED) == 0) score += 2000;
      if (d == dev) score += 1000;
      u32 common = 0;
      while (common < a->prefixlen && ipv6_prefix_equal(a->addr, daddr, common + 1)) ++common;
      score += static_cast<int>(common);
      if (a->scope == IPV6_SCOPE_HOST && scope != IPV6_SCOPE_HOST) score -= 5000;
      if (score <= best) continue;
      best = score;
      *saddr = a->addr;
    }
  }
  return best >= 0;
}

int addrconf_add(net_device* dev, const in6_addr& a, u8 prefixlen, u32 flags, u32 valid, u32 preferred) {
  inet6_dev* idev = in6_dev_get(dev);
  if (idev == nullptr || idev->disable_ipv6 != 0) return -EACCES;
  if (prefixlen > 128 || a.bytes[0] == 0xff || (a.quads[0] == 0 && a.quads[1] == 0)) return -EADDRNOTAVAIL;
  void* memory = kmalloc(sizeof(inet6_ifaddr), GFP_ATOMIC);
  if (memory == nullptr) return -ENOBUFS;
  auto* ifa = new (memory) inet6_ifaddr{};
  ifa->idev = idev;
  ifa->addr = a;
  ifa->prefixlen = prefixlen;
  ifa->scope = ipv6_addr_scope(a);
  ifa->flags = flags | IFA6_TENTATIVE;
  ifa->valid_lft = valid;
  ifa->preferred_lft = preferred;
  ifa->cstamp = ifa->tstamp = ktime_get();
  timer_setup(&ifa->dad_timer, dad_timer);
  bool known;
  {
    BhGuard guard(addrconf_lock);
    known = find_locked(a, dev) != nullptr;
    if (!known) {
      ifa->refcnt.inc();  // the list's
      list_add_tail(&ifa->link, &idev->addresses);
    }
  }
  if (!known) {
    ip6_route_add(prefix_route(dev, a, 128, 2, 0), 0);
    if (prefixlen < 128 && (flags & IFA6_NOPREFIXROUTE) == 0) ip6_route_add(prefix_route(dev, a, prefixlen, 1, 256), 0);
    if (valid != kInfinityLife) start_verify();
    if (netif_running(dev)) dad_start(ifa);
  }
  in6_ifa_put(ifa);
  return known ? -EEXIST : 0;
}

int addrconf_del(net_device* dev, const in6_addr& a, u8 prefixlen) {
  inet6_ifaddr* ifa;
  bool shared = false;
  {
    BhGuard guard(addrconf_lock);
    ifa = find_locked(a, dev);
    if (ifa == nullptr || (prefixlen != 0 && ifa->prefixlen != prefixlen)) return -EADDRNOTAVAIL;
    list_del(&ifa->link);
    ifa->dead = true;
    for (const inet6_ifaddr* o : entries<&inet6_ifaddr::link>(ifa->idev->addresses))
      shared |= o->prefixlen == ifa->prefixlen && ipv6_prefix_equal(o->addr, a, ifa->prefixlen);
  }
  if (del_timer(&ifa->dad_timer)) in6_ifa_put(ifa);
  ip6_route_del(prefix_route(dev, a, 128, 2, 0));
  if (!shared && ifa->prefixlen < 128) ip6_route_del(prefix_route(dev, a, ifa->prefixlen, 1, 256));
  ipv6_dev_mc_dec(dev, ipv6_solicited_node(a));
  inet6_ifa_notify(ifa, RTM_DELADDR);
  in6_ifa_put(ifa);
  return 0;
}

void addrconf_dad_failure(inet6_ifaddr* a) {
  {
    BhGuard guard(addrconf_lock);
    a->flags |= IFA6_DADFAILED;
  }
  inet6_ifa_notify(a, RTM_NEWADDR);
}

void addrconf_prefix_received(net_device* dev, const ra_prefix& p) {
  inet6_dev* idev = in6_dev_get(dev);
  if (idev == nullptr) return;
  const u64 now = ktime_get();
  if (p.onlink) {
    rt6_config c = prefix_route(dev, p.prefix, p.length, 1, 256);
    c.flags = RTF6_ADDRCONF;
    ip6_route_del(c);
    if (p.valid != 0) {
      if (p.valid != kInfinityLife) c.expires = now + p.valid * kNsPerSec;
      ip6_route_add(c, 0);
    }
  }
  if (!p.autonomous || idev->autoconf == 0 || p.length != 64 || p.valid == 0) return;
  in6_addr a = p.prefix;
  if (!eui64(dev, &a)) return;
  if (inet6_ifaddr* ifa = ipv6_get_ifaddr(a, dev)) {
    {
      BhGuard guard(addrconf_lock);
      const u64 age = (now - ifa->tstamp) / kNsPerSec;
      const u64 left = ifa->valid_lft == kInfinityLife ? kInfinityLife : ifa->valid_lft - min<u64>(age, ifa->valid_lft);
      // A forged advertisement shall not end an address within two hours. [RFC 4862, 5.5.3 (e)]
      u32 valid = p.valid;
      if (valid <= 7200 && valid <= left) valid = static_cast<u32>(min<u64>(left, 7200));
      ifa->valid_lft = valid;
      ifa->preferred_lft = p.preferred;
      ifa->tstamp = now;
      ifa->flags &= ~static_cast<u32>(IFA6_DEPRECATED);
    }
    in6_ifa_put(ifa);
  } else {
    addrconf_add(dev, a, p.length, IFA6_NOPREFIXROUTE | IFA6_MANAGETEMP, p.valid, p.preferred);
  }
  start_verify();
}

void ipv6_addrconf_init() {
  timer_setup(&verify_timer, verify);
  make_conf(&ipv6_all, "all");
  make_conf(&ipv6_default, "default");
  proc_create(&proc_root, "net/if_inet6", 0444, show_if_inet6);
  register_netdevice_notifier(&ipv6_notifier);
}

}  // namespace xm::os
