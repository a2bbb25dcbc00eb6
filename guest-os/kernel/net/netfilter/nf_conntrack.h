// SPDX-License-Identifier: GPL-2.0-or-later
// Connection tracking: a connection is two tuples, as its first packet and its replies show them; NAT makes the second
// differ from the mirror image of the first. core.cc keeps the table, proto.cc follows the protocols, nat.cc rewrites.
#pragma once

#include "kernel/net/netfilter.h"
#include "kernel/net/timer.h"

namespace xm::os {

struct nf_conntrack_tuple {
  in6_addr src, dst;
  u16 src_port = 0;  // network order; of ICMP: the identifier
  u16 dst_port = 0;  // of ICMP: type and code
  u8 l3num = 0, protonum = 0;
  u8 dir = 0, pad = 0;
  bool same(const nf_conntrack_tuple& o) const {
    return src == o.src && dst == o.dst && src_port == o.src_port && dst_port == o.dst_port && l3num == o.l3num &&
           protonum == o.protonum;
  }
};
enum IpCtDir : u8 { IP_CT_DIR_ORIGINAL, IP_CT_DIR_REPLY };
enum IpCtInfo : u8 {
  IP_CT_ESTABLISHED,
  IP_CT_RELATED,
  IP_CT_NEW,
  IP_CT_ESTABLISHED_REPLY,
  IP_CT_RELATED_REPLY,
  IP_CT_UNTRACKED = 7
};
inline IpCtDir ctinfo_dir(u8 info) {
  return info >= 3 && info != IP_CT_UNTRACKED ? IP_CT_DIR_REPLY : IP_CT_DIR_ORIGINAL;
}
enum IpsStatus : u32 {
  IPS_SEEN_REPLY = 2,
  IPS_ASSURED = 4,
  IPS_CONFIRMED = 8,
  IPS_SRC_NAT = 0x10,
  IPS_DST_NAT = 0x20,
  IPS_NAT_MASK = 0x30,
  IPS_SRC_NAT_DONE = 0x80,
  IPS_DST_NAT_DONE = 0x100,
  IPS_DYING = 0x200
};

struct nf_conn;
struct nf_conntrack_tuple_hash {
  list_head link;
  nf_conntrack_tuple tuple;
};
struct nf_conn {
  Atomic<s32> refcnt{1};
  nf_conntrack_tuple_hash tuplehash[2];
  spinlock_t lock{LockRank::Neighbour};  // of the protocol's state
  Atomic<u32> status{0};
  u32 mark = 0;
  u64 expires = 0;  // CLOCK_MONOTONIC ns
  u8 tcp_state = 0;
  int masq_index = 0;
  u32 nat_hooks_done = 0;
  struct {
    Atomic<u64> packets, bytes;
  } counters[2];
  u32 id = 0;
};

// What of a packet conntrack needs: where the transport header is and the ports.
struct nf_packet {
  u32 transport;  // offset from data
  u8 protonum;
  bool fragment;
};
bool nf_parse_packet(sk_buff* skb, u8 l3num, u32 network, nf_packet* p);
bool nf_get_tuple(sk_buff* skb, u8 l3num, u32 network, const nf_packet& p, nf_conntrack_tuple* t);
bool nf_invert_tuple(nf_conntrack_tuple* to, const nf_conntrack_tuple& from);
// Follows the connection; false: the packet cannot belong to it. `fresh`: its first packet.
bool nf_track_protocol(nf_conn* ct, sk_buff* skb, const nf_packet& p, u8 info, bool fresh);

inline nf_conn* nf_ct_get(const sk_buff* skb, u8* info) {
  *info = skb->nfctinfo;
  return skb->nfct;
}
bool nf_tuple_taken(const nf_conntrack_tuple& t, const nf_conn* except);         // by a connection of the table
void nf_conntrack_use();                                                         // the first user registers the hooks
void nf_conntrack_for_each(bool (*visit)(nf_conn* ct, void* data), void* data);  // true: forget it
extern Atomic<u32> nf_conntrack_count;

// --- NAT ---
struct nf_nat_range {
  u32 flags = 0;
  in6_addr min_addr, max_addr;
  u16 min_proto = 0, max_proto = 0;  // network order
};
constexpr u32 NF_NAT_RANGE_MAP_IPS = 1, NF_NAT_RANGE_PROTO_SPECIFIED = 2, NF_NAT_RANGE_PROTO_RANDOM = 4,
              NF_NAT_RANGE_PERSISTENT = 8, NF_NAT_RANGE_PROTO_RANDOM_FULLY = 16;
enum NatManip : u8 { NF_NAT_MANIP_SRC, NF_NAT_MANIP_DST };
inline NatManip hook_to_manip(NfHook h) {
  return h == NF_INET_POST_ROUTING || h == NF_INET_LOCAL_IN ? NF_NAT_MANIP_SRC : NF_NAT_MANIP_DST;
}
u32 nf_nat_setup_info(nf_conn* ct, const nf_nat_range& range, NatManip manip);
u32 nf_nat_masquerade(sk_buff* skb, NfHook hook, const nf_nat_range& range, const net_device* out);
u32 nf_nat_redirect(sk_buff* skb, NfHook hook, const nf_nat_range& range, net_device* in);
// Chains of rules that choose translations for new connections; asked at their hook.
using nf_nat_chain = u32 (*)(sk_buff* skb, const nf_hook_state* state, void* data);
int nf_nat_register(NfProto pf, NfHook hook, nf_nat_chain chain, void* data);
void nf_nat_unregister(NfProto pf, NfHook hook, void* data);

}  // namespace xm::os
