// SPDX-License-Identifier: GPL-2.0-or-later
// Neighbours: which link-layer address a network address on a link has, and how sure we are. One table for ARP, one for
// IPv6 neighbour discovery; the states are those of RFC 4861, 7.3.2 and of Linux.
#pragma once

#include "kernel/net/netdevice.h"
#include "kernel/net/timer.h"

namespace xm::os {

enum NudState : u8 {
  NUD_NONE = 0,
  NUD_INCOMPLETE = 1,
  NUD_REACHABLE = 2,
  NUD_STALE = 4,
  NUD_DELAY = 8,
  NUD_PROBE = 0x10,
  NUD_FAILED = 0x20,
  NUD_NOARP = 0x40,
  NUD_PERMANENT = 0x80,
  NUD_IN_TIMER = NUD_INCOMPLETE | NUD_REACHABLE | NUD_DELAY | NUD_PROBE,
  NUD_VALID = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY,
  NUD_CONNECTED = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE
};
enum : u32 {
  NEIGH_UPDATE_F_OVERRIDE = 1,
  NEIGH_UPDATE_F_WEAK_OVERRIDE = 2,
  NEIGH_UPDATE_F_OVERRIDE_ISROUTER = 4,
  NEIGH_UPDATE_F_ISROUTER = 0x40000000,
  NEIGH_UPDATE_F_ADMIN = 0x80000000
};
constexpr u8 NTF_ROUTER = 0x80;

struct neigh_table;
struct neighbour {
  list_head hash;
  neigh_table* tbl = nullptr;
  net_device* dev = nullptr;  // referenced
  u8 primary_key[16] = {};
  u8 ha[kMaxAddrLen] = {};
  spinlock_t lock{LockRank::Neighbour};
  Atomic<s32> refcnt{1};
  u8 nud_state = NUD_NONE, type = 0, flags = 0;
  bool dead = false;
  u64 confirmed = 0, updated = 0, used = 0;  // CLOCK_MONOTONIC ns
  u32 probes = 0;
  timer_list timer;
  sk_buff_head arp_queue;  // packets that wait for the address; under `lock`
  u32 arp_queue_bytes = 0;
};

struct neigh_table {
  u16 family;
  u32 key_len;
  const char* id;
  int (*constructor)(neighbour* n);
  void (*solicit)(neighbour* n, sk_buff* skb);       // asks; skb is the packet that wants it, or null
  void (*error_report)(neighbour* n, sk_buff* skb);  // consumes
  u64 base_reachable_ns = 30 * kNsPerSec, retrans_ns = kNsPerSec, delay_probe_ns = 5 * kNsPerSec,
      gc_stale_ns = 60 * kNsPerSec, locktime_ns = kNsPerSec;
  u32 mcast_probes = 3, ucast_probes = 3, queue_len_bytes = 212992;
  u32 gc_thresh1 = 128, gc_thresh3 = 1024;
  u64 reachable_ns = 0;  // base, made random [RFC 4861, 6.3.2]
  spinlock_t lock{LockRank::NetDevice};
  Atomic<u32> entries{0};
  list_head buckets[64];
  timer_list gc_timer;
};

void neigh_table_init(neigh_table* tbl);
neighbour* neigh_lookup(neigh_table* tbl, const void* key, net_device* dev);  // referenced, or null
// Looks up or makes one; null: no memory, or the table is full.
neighbour* neigh_create(neigh_table* tbl, const void* key, net_device* dev);
void neigh_destroy(neighbour* n);
inline void neigh_release(neighbour* n) {
  if (n->refcnt.dec_and_test()) neigh_destroy(n);
}
// A packet wants to go: 0 when the address is known, 1 when the skb was queued (or dropped) until it is.
int neigh_event_send(neighbour* n, sk_buff* skb);
int neigh_resolve_output(neighbour* n, sk_buff* skb);
// Puts the link-layer header before the packet (skb->data at the network header, skb->dev set) and sends it. Consumes.
int neigh_output(neighbour* n, sk_buff* skb);
// What was learnt of a neighbour: a new address, a new state. Null address: only the state.
int neigh_update(neighbour* n, const u8* lladdr, u8 state, u32 flags);
void neigh_confirm(neighbour* n);  // a higher protocol makes progress with it
void neigh_remove(neighbour* n);
// The device goes down (all entries) or changes its address (those not permanent).
void neigh_ifdown(neigh_table* tbl, net_device* dev);
void neigh_changeaddr(neigh_table* tbl, net_device* dev);
// Calls visit(n, data) for each entry, referenced, without the table's lock.
void neigh_for_each(neigh_table* tbl, void (*visit)(neighbour* n, void* data), void* data);
// For `ip monitor`: set by netlink.
extern void (*neigh_notify_hook)(neighbour* n, int event);

extern neigh_table arp_tbl;
void arp_init();
// ARPOP_REQUEST or ARPOP_REPLY; dest_hw null: broadcast.
void arp_send(u16 op, be32 dest_ip, net_device* dev, be32 src_ip, const u8* dest_hw, const u8* src_hw,
              const u8* target_hw);

}  // namespace xm::os
