// SPDX-License-Identifier: GPL-2.0-or-later
// AF_PACKET inside: the socket (af_packet.cc) and its receive ring in memory that the program maps (ring.cc).
#pragma once

#include "abi/if_packet.h"
#include "kernel/net/netdevice.h"
#include "kernel/net/sock.h"

namespace xm::os {

struct packet_sock;

struct packet_ring {
  u8** blocks = nullptr;  // direct-map addresses of block_nr blocks
  u32 block_size = 0, block_nr = 0, block_order = 0, frame_size = 0, frames_per_block = 0, frame_nr = 0;
  u32 head = 0;  // next frame (versions 1 and 2), or the open block (version 3)
  Atomic<s32> mapped{0};
  // Version 3: packets lie one behind the other in the open block, which closes when full or when the timer finds it
  // so.
  u32 private_size = 0, offset = 0, last_packet = 0;
  u64 sequence = 1, retire_ns = 0;
  bool frozen = false;
  u32 freezes = 0;
  timer_list timer;
};

struct packet_sock : sock {
  packet_type hook;
  bool hooked = false;
  int ifindex = 0;
  u16 num = 0;  // protocol, network order
  bool auxdata = false, origdev = false, ignore_outgoing = false;
  int version = TPACKET_V1;
  u32 reserve = 0;
  Atomic<u32> packets{0}, drops{0};
  spinlock_t ring_lock{LockRank::SkbQueue};
  packet_ring ring;
  list_head memberships;
  mutex control_lock;
};

struct PacketCb {  // in skb->cb of a queued packet
  sockaddr_ll from;
  u32 original_length;
};

// SKB status bits that both auxdata and ring headers carry.
u32 packet_status(const sk_buff* skb);
void packet_fill_address(sockaddr_ll* a, const sk_buff* skb, const net_device* dev);

int packet_set_ring(packet_sock* po, const tpacket_req3& request);  // block_nr 0: none
u32 packet_header_length(int version);
// Copies `snaplen` bytes of the packet into the ring. False: no room.
bool packet_ring_store(packet_sock* po, sk_buff* skb, const net_device* dev, u32 snaplen);
bool packet_ring_readable(packet_sock* po);
int packet_ring_mmap(packet_sock* po, vm_area_struct* vma);

}  // namespace xm::os
