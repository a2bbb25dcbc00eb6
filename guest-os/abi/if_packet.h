// SPDX-License-Identifier: GPL-2.0-or-later
// Packet sockets and their rings. [man 7 packet]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

struct sockaddr_ll {
  u16 sll_family, sll_protocol;
  int sll_ifindex;
  u16 sll_hatype;
  u8 sll_pkttype, sll_halen, sll_addr[8];
};
static_assert(sizeof(sockaddr_ll) == 20);
struct packet_mreq {
  int mr_ifindex;
  u16 mr_type, mr_alen;
  u8 mr_address[8];
};
constexpr u16 PACKET_MR_MULTICAST = 0, PACKET_MR_PROMISC = 1, PACKET_MR_ALLMULTI = 2, PACKET_MR_UNICAST = 3;

constexpr int SOL_PACKET = 263;
enum PacketOption : int {
  PACKET_ADD_MEMBERSHIP = 1,
  PACKET_DROP_MEMBERSHIP = 2,
  PACKET_RX_RING = 5,
  PACKET_STATISTICS = 6,
  PACKET_COPY_THRESH = 7,
  PACKET_AUXDATA = 8,
  PACKET_ORIGDEV = 9,
  PACKET_VERSION = 10,
  PACKET_HDRLEN = 11,
  PACKET_RESERVE = 12,
  PACKET_TX_RING = 13,
  PACKET_LOSS = 14,
  PACKET_VNET_HDR = 15,
  PACKET_TIMESTAMP = 17,
  PACKET_FANOUT = 18,
  PACKET_QDISC_BYPASS = 20,
  PACKET_IGNORE_OUTGOING = 23
};

constexpr u32 TP_STATUS_KERNEL = 0, TP_STATUS_USER = 1, TP_STATUS_LOSING = 4, TP_STATUS_CSUMNOTREADY = 8,
              TP_STATUS_VLAN_VALID = 0x10, TP_STATUS_BLK_TMO = 0x20, TP_STATUS_VLAN_TPID_VALID = 0x40,
              TP_STATUS_CSUM_VALID = 0x80;
enum TpacketVersion : int { TPACKET_V1, TPACKET_V2, TPACKET_V3 };
constexpr u32 TPACKET_ALIGNMENT = 16;
struct tpacket_auxdata {
  u32 tp_status, tp_len, tp_snaplen;
  u16 tp_mac, tp_net, tp_vlan_tci, tp_vlan_tpid;
};
struct tpacket_hdr {
  u64 tp_status;
  u32 tp_len, tp_snaplen;
  u16 tp_mac, tp_net;
  u32 tp_sec, tp_usec;
};
static_assert(sizeof(tpacket_hdr) == 32);
struct tpacket2_hdr {
  u32 tp_status, tp_len, tp_snaplen;
  u16 tp_mac, tp_net;
  u32 tp_sec, tp_nsec;
  u16 tp_vlan_tci, tp_vlan_tpid;
  u8 pad[4];
};
static_assert(sizeof(tpacket2_hdr) == 32);
struct tpacket3_hdr {
  u32 tp_next_offset, tp_sec, tp_nsec, tp_snaplen, tp_len, tp_status;
  u16 tp_mac, tp_net;
  u32 tp_rxhash, tp_vlan_tci;
  u16 tp_vlan_tpid, pad0;
  u8 pad[8];
};
static_assert(sizeof(tpacket3_hdr) == 48);
struct tpacket_bd_ts {
  u32 ts_sec, ts_nsec;
};
struct tpacket_block_desc {
  u32 version, offset_to_priv;
  u32 block_status, num_pkts, offset_to_first_pkt, blk_len;
  u64 seq_num;
  tpacket_bd_ts ts_first_pkt, ts_last_pkt;
};
static_assert(sizeof(tpacket_block_desc) == 48);
struct tpacket_req {
  u32 tp_block_size, tp_block_nr, tp_frame_size, tp_frame_nr;
};
struct tpacket_req3 {
  u32 tp_block_size, tp_block_nr, tp_frame_size, tp_frame_nr, tp_retire_blk_tov, tp_sizeof_priv, tp_feature_req_word;
};
struct tpacket_stats {
  u32 tp_packets, tp_drops;
};
struct tpacket_stats_v3 {
  u32 tp_packets, tp_drops, tp_freeze_q_cnt;
};

}  // namespace xm::os
