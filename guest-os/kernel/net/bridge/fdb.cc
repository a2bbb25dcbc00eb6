// SPDX-License-Identifier: GPL-2.0-or-later
// The forwarding database: behind which port an address was seen, forgotten after the ageing time. [802.1D-2004: 7.9]
#include "kernel/mm/slab.h"
#include "kernel/net/bridge/bridge.h"
#include "kernel/net/neighbour.h"
#include "kernel/sched/clock.h"

namespace xm::os {
namespace {

constexpr u32 kMaxEntries = 4096;  // a flood of forged sources must not eat the memory
constexpr u64 kGcPeriodNs = 10 * kNsPerSec;
constexpr u8 kAfBridge = 7;

list_head* bucket_of(net_bridge* br, const u8* a) {
  const u32 h = (a[2] << 24 | a[3] << 16 | a[4] << 8 | a[5]) * 0x9e3779b1u;
  return &br->fdb[(h >> 20) % array_size(br->fdb)];
}

net_bridge_fdb_entry* find_locked(net_bridge* br, const u8* address) {
  for (net_bridge_fdb_entry* e : entries<&net_bridge_fdb_entry::hash>(*bucket_of(br, address))) {
    if (ether_addr_equal(e->address, address)) return e;
  }
  return nullptr;
}

net_bridge_fdb_entry* add_locked(net_bridge* br, net_bridge_port* port, const u8* address) {
  if (br->fdb_count >= kMaxEntries) return nullptr;
  void* memory = kmalloc(sizeof(net_bridge_fdb_entry), GFP_ATOMIC);
  if (memory == nullptr) return nullptr;
  auto* e = new (memory) net_bridge_fdb_entry{};
  memcpy(e->address, address, kEthAlen);
  e->port = port;
  e->updated = e->used = ktime_get();
  list_add_tail(&e->hash, bucket_of(br, address));
  ++br->fdb_count;
  return e;
}

void remove_locked(net_bridge* br, net_bridge_fdb_entry* e) {
  list_del(&e->hash);
  --br->fdb_count;
  kfree(e);
}

void collect(timer_list* timer) {
  net_bridge* br = container_of(timer, net_bridge, gc_timer);
  const u64 now = ktime_get();
  {
    BhGuard guard(br->lock);
    for (list_head& bucket : br->fdb) {
      for (net_bridge_fdb_entry* e : entries<&net_bridge_fdb_entry::hash>(bucket)) {
        if (!e->permanent && now > e->updated + br->ageing_ns) remove_locked(br, e);
      }
    }
  }
  mod_timer(timer, now + kGcPeriodNs);
}

int fill(sk_buff* skb, const net_bridge* br, const net_bridge_fdb_entry* e, netlink_callback* cb) {
  nlmsghdr* nlh = nlmsg_put(skb, cb->portid, cb->nlh->nlmsg_seq, RTM_NEWNEIGH, sizeof(ndmsg), NLM_F_MULTI);
  if (nlh == nullptr) return -EMSGSIZE;
  const net_device* dev = e->port != nullptr ? e->port->dev : br->dev;
  const u16 state = e->permanent ? NUD_PERMANENT : NUD_REACHABLE;
  *nlmsg_data<ndmsg>(nlh) = {kAfBridge, 0, 0, dev->ifindex, state, 0, 0};
  const u64 now = ktime_get();
  const nda_cacheinfo info{0, static_cast<u32>((now - e->used) / 10000000),
                           static_cast<u32>((now - e->updated) / 10000000), 0};
  if (!nla_put(skb, NDA_LLADDR, e->address, kEthAlen) ||
      !nla_put_u32(skb, NDA_MASTER, static_cast<u32>(br->dev->ifindex)) ||
      !nla_put(skb, NDA_CACHEINFO, &info, sizeof info)) {
    nlmsg_cancel(skb, nlh);
    return -EMSGSIZE;
  }
  nlmsg_end(skb, nlh);
  return 0;
}

}  // namespace

void br_fdb_update(net_bridge_port* port, const u8* address) {
  net_bridge* br = port->br;
  BhGuard guard(br->lock);
  net_bridge_fdb_entry* e = find_locked(br, address);
  if (e == nullptr) {
    add_locked(br, port, address);
  } else if (!e->permanent) {
    e->port = port;
    e->updated = ktime_get();
  }
}

int br_fdb_add(net_bridge* br, net_bridge_port* port, const u8* address, bool local) {
  BhGuard guard(br->lock);
  net_bridge_fdb_entry* e = find_locked(br, address);
  if (e == nullptr) e = add_locked(br, port, address);
  if (e == nullptr) return -ENOMEM;
  e->port = port;
  e->permanent = true;
  e->local = local;
  return 0;
}

int br_fdb_delete(net_bridge* br, const net_bridge_port* port, const u8* address) {
  BhGuard guard(br->lock);
  net_bridge_fdb_entry* e = find_locked(br, address);
  if (e == nullptr || e->port != port) return -ENOENT;
  remove_locked(br, e);
  return 0;
}

void br_fdb_delete_port(net_bridge* br, const net_bridge_port* port, bool keep_permanent) {
  BhGuard guard(br->lock);
  for (list_head& bucket : br->fdb) {
    for (net_bridge_fdb_entry* e : entries<&net_bridge_fdb_entry::hash>(bucket)) {
      if (e->port == port && !(keep_permanent && e->permanent)) remove_locked(br, e);
    }
  }
}

BrDestination br_fdb_lookup(net_bridge* br, const u8* address, net_bridge_port** port) {
  BhGuard guard(br->lock);
  net_bridge_fdb_entry* e = find_locked(br, address);
  const u64 now = ktime_get();
  if (e == nullptr || (!e->permanent && now > e->updated + br->ageing_ns)) return BrDestination::Unknown;
  e->used = now;
  if (e->local) return BrDestination::Local;
  *port = e->port;
  return BrDestination::Port;
}

int br_fdb_dump(sk_buff* skb, netlink_callback* cb) {
  DumpCursor cursor(cb, 0);
  for (net_device* dev : entries<&net_device::dev_list>(dev_base)) {
    if (dev->link_ops == nullptr || strcmp(dev->link_ops->kind, "bridge") != 0) continue;
    net_bridge* br = bridge_of(dev);
    BhGuard guard(br->lock);
    for (list_head& bucket : br->fdb) {
      for (net_bridge_fdb_entry* e : entries<&net_bridge_fdb_entry::hash>(bucket)) {
        if (cursor.skip()) continue;
        if (fill(skb, br, e, cb) != 0) return 1;
        cursor.done();
      }
    }
  }
  return 0;
}

void br_fdb_start(net_bridge* br) {
  timer_setup(&br->gc_timer, collect);
  mod_timer(&br->gc_timer, ktime_get() + kGcPeriodNs);
}
void br_fdb_stop(net_bridge* br) {
  del_timer_sync(&br->gc_timer);
  BhGuard guard(br->lock);
  for (list_head& bucket : br->fdb) {
    for (net_bridge_fdb_entry* e : entries<&net_bridge_fdb_entry::hash>(bucket)) remove_locked(br, e);
  }
}

}  // namespace xm::os
