// SPDX-License-Identifier: GPL-2.0-or-later
// The tables, the routes that follow from addresses and device states, source validation, the old ioctls. [man 7 route]
#include "kernel/mm/slab.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/ip.h"
#include "kernel/net/route.h"
#include "kernel/net/snmp.h"

namespace xm::os {
namespace {

constexpr u32 kTableBuckets = 64;
struct TableEntry {
  fib_table* tb;
  TableEntry* next;
};
TableEntry* tables[kTableBuckets];

// A route of the kernel's own making, added or deleted.
void magic(bool add, RtType type, be32 dst, u8 dst_len, in_ifaddr* ifa, u32 priority) {
  fib_config cfg;
  cfg.fc_protocol = RTPROT_KERNEL;
  cfg.fc_type = type;
  cfg.fc_dst = dst;
  cfg.fc_dst_len = dst_len;
  cfg.fc_priority = priority;
  cfg.fc_prefsrc = ifa->ifa_local;
  cfg.fc_oif = ifa->ifa_dev->dev->ifindex;
  cfg.fc_nlflags = NLM_F_CREATE | NLM_F_APPEND;
  cfg.fc_table = type == RTN_UNICAST ? RT_TABLE_MAIN : RT_TABLE_LOCAL;
  cfg.fc_scope = type != RTN_LOCAL ? RT_SCOPE_LINK : RT_SCOPE_HOST;
  fib_table* tb = fib_new_table(cfg.fc_table);
  if (tb == nullptr) return;
  if (add)
    fib_table_insert(tb, &cfg);
  else
    fib_table_delete(tb, &cfg);
}

void flush_all() {
  fib_for_each_table([](fib_table* tb, void*) { fib_table_flush(tb); }, nullptr);
}

void disable_ip(net_device* dev, bool gone) {
  if (fib_sync_down_dev(dev, gone) > 0) flush_all();
  rt_cache_flush();
}

// Prefixes and broadcast addresses that this address stands for.
struct Derived {
  be32 prefix, mask, broadcast;
  bool has_prefix, has_broadcast;
};
Derived derive(const in_ifaddr* ifa) {
  Derived d{};
  d.mask = ifa->ifa_mask;
  d.prefix = ifa->ifa_address & ifa->ifa_mask;
  d.broadcast = d.prefix | ~ifa->ifa_mask;
  d.has_prefix = d.prefix != 0 && (d.prefix != ifa->ifa_address || ifa->ifa_prefixlen < 32);
  d.has_broadcast = d.has_prefix && ifa->ifa_prefixlen < 31 && (ifa->ifa_dev->dev->flags & IFF_LOOPBACK) == 0;
  return d;
}

}  // namespace

fib_table* fib_get_table(u32 id) {
  for (const TableEntry* e = read_once(tables[id % kTableBuckets]); e != nullptr; e = e->next) {
    if (fib_table_id(e->tb) == id) return e->tb;
  }
  return nullptr;
}

fib_table* fib_new_table(u32 id) {
  if (id == 0) id = RT_TABLE_MAIN;
  if (fib_table* tb = fib_get_table(id); tb != nullptr) return tb;
  TableEntry* e = static_cast<TableEntry*>(kzalloc(sizeof(TableEntry)));
  fib_table* tb = e == nullptr ? nullptr : fib_trie_table(id);
  if (tb == nullptr) {
    kfree(e);
    return nullptr;
  }
  e->tb = tb;
  e->next = tables[id % kTableBuckets];
  __atomic_store_n(&tables[id % kTableBuckets], e, __ATOMIC_RELEASE);
  return tb;
}

void fib_for_each_table(void (*visit)(fib_table* tb, void* data), void* data) {
  for (const TableEntry* e : tables) {
    for (; e != nullptr; e = e->next) visit(e->tb, data);
  }
}

void fib_add_ifaddr(in_ifaddr* ifa) {
  net_device* dev = ifa->ifa_dev->dev;
  const Derived d = derive(ifa);
  in_ifaddr* prim = ifa;
  if ((ifa->ifa_flags & IFA_F_SECONDARY) != 0) {
    prim = inet_ifa_byprefix(ifa->ifa_dev, d.prefix, d.mask);
    if (prim == nullptr) return;
  }
  magic(true, RTN_LOCAL, ifa->ifa_local, 32, prim, 0);
  if ((dev->flags & IFF_UP) == 0) return;
  if (ifa->ifa_broadcast != 0 && ifa->ifa_broadcast != 0xffffffff)
    magic(true, RTN_BROADCAST, ifa->ifa_broadcast, 32, prim, 0);
  if ((ifa->ifa_flags & IFA_F_SECONDARY) != 0 || !d.has_prefix) return;
  if ((ifa->ifa_flags & IFA_F_NOPREFIXROUTE) == 0)
    magic(true, (dev->flags & IFF_LOOPBACK) != 0 ? RTN_LOCAL : RTN_UNICAST, d.prefix, ifa->ifa_prefixlen, prim,
          ifa->ifa_rt_priority);
  if (d.has_broadcast && d.broadcast != ifa->ifa_broadcast) magic(true, RTN_BROADCAST, d.broadcast, 32, prim, 0);
}

void fib_del_ifaddr(in_ifaddr* ifa) {
  in_device* in = ifa->ifa_dev;
  net_device* dev = in->dev;
  const Derived d = derive(ifa);
  bool prefix_used = false, local_used = false, broadcast_used = false;
  for (const in_ifaddr* other = in->ifa_list; other != nullptr; other = other->ifa_next) {
    if (other == ifa) continue;
    if (other->ifa_local == ifa->ifa_local) local_used = true;
    if (other->ifa_broadcast == ifa->ifa_broadcast) broadcast_used = true;
    if (other->ifa_mask == ifa->ifa_mask && inet_ifa_match(ifa->ifa_address, other)) prefix_used = true;
  }
  if (!prefix_used && d.has_prefix && (ifa->ifa_flags & IFA_F_SECONDARY) == 0) {
    magic(false, (dev->flags & IFF_LOOPBACK) != 0 ? RTN_LOCAL : RTN_UNICAST, d.prefix, ifa->ifa_prefixlen, ifa,
          ifa->ifa_rt_priority);
    if (d.has_broadcast) magic(false, RTN_BROADCAST, d.broadcast, 32, ifa, 0);
  }
  if (!broadcast_used && ifa->ifa_broadcast != 0 && ifa->ifa_broadcast != d.broadcast)
    magic(false, RTN_BROADCAST, ifa->ifa_broadcast, 32, ifa, 0);
  if (local_used) return;
  magic(false, RTN_LOCAL, ifa->ifa_local, 32, ifa, 0);
  if (inet_addr_type(ifa->ifa_local) != RTN_LOCAL && fib_sync_down_addr(dev, ifa->ifa_local) > 0) flush_all();
}

// Is it right that a packet from `src` came in by `dev`? rp_filter 1: only by the device that answers would leave by.
// 0, 1 when the sender is on the link, or a negative errno. [RFC 3704]
int fib_validate_source(sk_buff* skb, be32 src, be32 dst, u8 tos, int oif, net_device* dev, in_device* idev,
                        bool* direct) {
  const s64 rpf = max(in_dev_conf(idev, IPV4_DEVCONF_rp_filter), ipv4_devconf_all.data[IPV4_DEVCONF_rp_filter]);
  if (direct != nullptr) *direct = false;
  flowi4 fl;
  fl.iif = oif != 0 ? oif : 1;
  fl.daddr = src;
  fl.saddr = dst;
  fl.tos = tos;
  fl.mark = (skb != nullptr && in_dev_conf(idev, IPV4_DEVCONF_src_valid_mark) != 0) ? skb->mark : 0;
  fib_result res;
  if (fib_lookup(&fl, &res) != 0) return rpf == 0 ? 0 : -EXDEV;
  if (res.type != RTN_UNICAST && (res.type != RTN_LOCAL || in_dev_conf(idev, IPV4_DEVCONF_accept_local) == 0))
    return res.type == RTN_LOCAL && (dev->flags & IFF_LOOPBACK) != 0 ? 0 : -EINVAL;
  bool by_this = false;
  for (u32 i = 0; i < res.fi->fib_nhs; ++i) by_this |= res.fi->nh()[i].nh_dev == dev;
  if (by_this) {
    if (direct != nullptr) *direct = res.fi->nh()[res.nh_sel].nh_scope >= RT_SCOPE_HOST;
    return 0;
  }
  return rpf == 1 ? -EXDEV : 0;
}

// --- ioctls ---
namespace {
int config_from_rtentry(u32 command, const rtentry_abi& rt, fib_config* cfg) {
  if (rt.dst.family != AF_INET) return -EAFNOSUPPORT;
  u32 plen = 32;
  const be32 dst = rt.dst.addr;
  if ((rt.flags & RTF_HOST) == 0) {
    if (rt.genmask.family != AF_INET && (rt.genmask.addr != 0 || rt.genmask.family != 0)) return -EAFNOSUPPORT;
    plen = inet_mask_len(rt.genmask.addr);
    if (inet_make_mask(plen) != rt.genmask.addr || (dst & ~rt.genmask.addr) != 0) return -EINVAL;
  }
  cfg->fc_dst = dst;
  cfg->fc_dst_len = static_cast<u8>(plen);
  if (command != SIOCDELRT) {
    cfg->fc_nlflags = NLM_F_CREATE;
    cfg->fc_protocol = RTPROT_BOOT;
  } else {
    cfg->fc_protocol = 0;
    cfg->fc_type = 0;
  }
  if (rt.metric != 0) cfg->fc_priority = static_cast<u32>(rt.metric - 1);
  if ((rt.flags & RTF_REJECT) != 0) {
    cfg->fc_scope = RT_SCOPE_HOST;
    cfg->fc_type = RTN_UNREACHABLE;
    return 0;
  }
  cfg->fc_scope = RT_SCOPE_NOWHERE;
  if (rt.dev != 0) {
    char name[kIfNameSize]{};
    TRY_INT(strncpy_from_user(name, reinterpret_cast<const char*>(rt.dev), sizeof name));
    net_device* dev = dev_get_by_name(name);
    if (dev == nullptr) return -ENODEV;
    cfg->fc_oif = dev->ifindex;
    dev_put(dev);
  }
  if (rt.gateway.family == AF_INET && rt.gateway.addr != 0) {
    cfg->fc_gw = rt.gateway.addr;
    if ((rt.flags & RTF_GATEWAY) != 0 && inet_addr_type(cfg->fc_gw) == RTN_UNICAST) cfg->fc_scope = RT_SCOPE_UNIVERSE;
  }
  if (command == SIOCDELRT) return 0;
  if ((rt.flags & RTF_GATEWAY) != 0 && cfg->fc_gw == 0) return -EINVAL;
  if (cfg->fc_scope == RT_SCOPE_NOWHERE) cfg->fc_scope = RT_SCOPE_LINK;
  if ((rt.flags & RTF_MTU) != 0) cfg->fc_advmss = static_cast<u32>(max<u64>(rt.mtu, 40) - 40);
  if ((rt.flags & RTF_WINDOW) != 0) cfg->fc_window = static_cast<u32>(rt.window);
  return 0;
}
}  // namespace

int fib_rtentry_ioctl(u32 command, u64 argument) {
  rtentry_abi rt;
  TRY_INT(get_user_at(rt, argument));
  fib_config cfg;
  rtnl_lock();
  int error = config_from_rtentry(command, rt, &cfg);
  if (error == 0) {
    fib_table* tb = fib_new_table(cfg.fc_table);
    if (tb == nullptr)
      error = -ENOBUFS;
    else
      error = command == SIOCADDRT ? fib_table_insert(tb, &cfg) : fib_table_delete(tb, &cfg);
  }
  rtnl_unlock();
  return error;
}

// --- events ---
namespace {
void fib_netdev_event(NetdevEvent event, net_device* dev) {
  in_device* in = in_dev_get(dev);
  switch (event) {
    case NETDEV_UNREGISTER: disable_ip(dev, true); break;
    case NETDEV_DOWN: disable_ip(dev, false); break;
    case NETDEV_UP:
      if (in == nullptr) break;
      for (in_ifaddr* ifa = in->ifa_list; ifa != nullptr; ifa = ifa->ifa_next) fib_add_ifaddr(ifa);
      fib_sync_up(dev);
      rt_cache_flush();
      break;
    case NETDEV_CHANGE:
    case NETDEV_CHANGEMTU: rt_cache_flush(); break;
    default: break;
  }
}
notifier_block fib_notifier{fib_netdev_event, {}};
}  // namespace

void fib_init() {
  fib_rules_init();
  register_netdevice_notifier(&fib_notifier);
}

}  // namespace xm::os
