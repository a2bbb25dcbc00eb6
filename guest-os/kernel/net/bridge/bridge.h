// SPDX-License-Identifier: GPL-2.0-or-later
// An Ethernet bridge [IEEE 802.1D-2004: 7]: ports, the forwarding database (fdb.cc), the ways of frames (forward.cc)
// and what `ip link` and `bridge` ask (bridge.cc). GAP: no spanning tree, no VLAN filtering, no multicast snooping.
#pragma once

#include "kernel/net/netdevice.h"
#include "kernel/net/netlink/rtnetlink.h"

namespace xm::os {

constexpr u8 BR_STATE_DISABLED = 0, BR_STATE_FORWARDING = 3;

struct net_bridge;
struct net_bridge_port {
  net_bridge* br = nullptr;
  net_device* dev = nullptr;
  list_head link;
  u16 number = 0;
  u8 state = BR_STATE_DISABLED;
  bool hairpin = false, isolated = false, learning = true, flood = true;
};
struct net_bridge_fdb_entry {
  list_head hash;
  u8 address[kEthAlen] = {};
  net_bridge_port* port = nullptr;  // null: the bridge itself
  bool local = false, permanent = false;
  u64 updated = 0, used = 0;
};
struct net_bridge {
  net_device* dev = nullptr;
  list_head ports;                       // changed under rtnl, read under net_read_lock
  spinlock_t lock{LockRank::NetDevice};  // of the database
  list_head fdb[128];
  u32 fdb_count = 0;
  u64 ageing_ns = 300 * kNsPerSec;
  bool address_set = false;  // by the user: no longer the lowest of the ports
  timer_list gc_timer;
};
inline net_bridge* bridge_of(const net_device* dev) { return static_cast<net_bridge*>(dev->priv); }

// fdb.cc
void br_fdb_update(net_bridge_port* port, const u8* address);
int br_fdb_add(net_bridge* br, net_bridge_port* port, const u8* address, bool local);
int br_fdb_delete(net_bridge* br, const net_bridge_port* port, const u8* address);
void br_fdb_delete_port(net_bridge* br, const net_bridge_port* port, bool keep_permanent);
enum class BrDestination { Unknown, Local, Port };
BrDestination br_fdb_lookup(net_bridge* br, const u8* address, net_bridge_port** port);
int br_fdb_dump(sk_buff* skb, netlink_callback* cb);
void br_fdb_start(net_bridge* br);
void br_fdb_stop(net_bridge* br);

// forward.cc
NetdevTx br_dev_xmit(sk_buff* skb, net_device* dev);
bool br_handle_frame(sk_buff** skb);

}  // namespace xm::os
