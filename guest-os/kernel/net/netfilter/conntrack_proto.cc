// SPDX-License-Identifier: GPL-2.0-or-later
// What conntrack knows of the protocols: tuples of TCP, UDP and ICMP packets, the states of a TCP connection as seen
// from the side, and how long each kind may be silent. GAP: no TCP window tracking (as nf_conntrack_tcp_be_liberal).
#include "kernel/net/netfilter/nf_conntrack.h"
#include "kernel/sched/clock.h"

namespace xm::os {
namespace {

constexpr u8 kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpv6 = 58, kUdplite = 136, kSctp = 132;
constexpr u8 kFin = 1, kSyn = 2, kRst = 4, kAck = 0x10;

enum TcpState : u8 {
  TCP_CT_NONE,
  TCP_CT_SYN_SENT,
  TCP_CT_SYN_RECV,
  TCP_CT_ESTABLISHED,
  TCP_CT_FIN_WAIT,
  TCP_CT_CLOSE_WAIT,
  TCP_CT_LAST_ACK,
  TCP_CT_TIME_WAIT,
  TCP_CT_CLOSE
};
constexpr u32 kTcpTimeout[] = {0, 120, 60, 432000, 120, 60, 30, 120, 10};  // seconds

bool has_ports(u8 p) { return p == kTcp || p == kUdp || p == kUdplite || p == kSctp; }

// Requests and their answers; 0xff: not a query.
u8 icmp_answer(u8 l3num, u8 type) {
  if (l3num == NFPROTO_IPV6) return type == 128 ? 129 : type == 129 ? 128 : 0xff;
  switch (type) {
    case 8: return 0;
    case 0: return 8;
    case 13: return 14;
    case 14: return 13;
    case 15: return 16;
    case 16: return 15;
    case 17: return 18;
    case 18: return 17;
    default: return 0xff;
  }
}

// The state after a packet with these flags. A simplification of the endpoint's machines [RFC 9293, 3.3.2], as both
// directions show themselves to one who looks on.
u8 next_state(u8 state, u8 flags, IpCtDir dir) {
  if ((flags & kRst) != 0) return TCP_CT_CLOSE;
  if ((flags & kSyn) != 0) {
    if (dir == IP_CT_DIR_REPLY) return (flags & kAck) != 0 && state == TCP_CT_SYN_SENT ? u8{TCP_CT_SYN_RECV} : state;
    const bool over =
        state == TCP_CT_NONE || state == TCP_CT_TIME_WAIT || state == TCP_CT_CLOSE || state == TCP_CT_LAST_ACK;
    return over ? static_cast<u8>(TCP_CT_SYN_SENT) : state;
  }
  if ((flags & kFin) != 0) {
    switch (state) {
      case TCP_CT_SYN_RECV:
      case TCP_CT_ESTABLISHED:
      case TCP_CT_NONE: return dir == IP_CT_DIR_ORIGINAL ? TCP_CT_FIN_WAIT : TCP_CT_CLOSE_WAIT;
      case TCP_CT_FIN_WAIT: return dir == IP_CT_DIR_REPLY ? u8{TCP_CT_LAST_ACK} : state;
      case TCP_CT_CLOSE_WAIT: return dir == IP_CT_DIR_ORIGINAL ? u8{TCP_CT_LAST_ACK} : state;
      default: return state;
    }
  }
  if ((flags & kAck) == 0) return state;
  if (state == TCP_CT_NONE || state == TCP_CT_SYN_RECV) return TCP_CT_ESTABLISHED;
  if (state == TCP_CT_LAST_ACK) return TCP_CT_TIME_WAIT;
  return state;
}

bool track_tcp(nf_conn* ct, sk_buff* skb, const nf_packet& p, u8 info, bool fresh) {
  u8 h[20];
  if (skb_copy_bits(skb, p.transport, h, sizeof h) != 0 || (h[12] >> 4) < 5) return false;
  const u8 flags = h[13];
  const IpCtDir dir = ctinfo_dir(info);
  if (fresh && (flags & (kSyn | kAck)) == 0) return false;
  if (fresh && (flags & kRst) != 0) return false;
  BhGuard guard(ct->lock);
  const u8 old = ct->tcp_state;
  ct->tcp_state = next_state(old, flags, dir);
  ct->expires = ktime_get() + kTcpTimeout[ct->tcp_state] * kNsPerSec;
  if (ct->tcp_state == TCP_CT_ESTABLISHED && (ct->status.load() & IPS_SEEN_REPLY) != 0)
    ct->status.fetch_or(IPS_ASSURED);
  return true;
}

}  // namespace

bool nf_parse_packet(sk_buff* skb, u8 l3num, u32 network, nf_packet* p) {
  u8 h[40];
  if (l3num == NFPROTO_IPV4) {
    if (skb_copy_bits(skb, network, h, 20) != 0 || h[0] >> 4 != 4 || (h[0] & 15) < 5) return false;
    p->transport = network + (h[0] & 15) * 4u;
    p->protonum = h[9];
    p->fragment = ((h[6] << 8 | h[7]) & 0x1fff) != 0;
    return p->transport <= skb->len;
  }
  if (skb_copy_bits(skb, network, h, 40) != 0 || h[0] >> 4 != 6) return false;
  u8 next = h[6];
  u32 at = network + 40;
  p->fragment = false;
  for (int headers = 0; headers < 8; ++headers) {  // extension headers [RFC 8200, 4]
    u8 e[8];
    if (next != 0 && next != 43 && next != 44 && next != 60 && next != 51) break;
    if (skb_copy_bits(skb, at, e, sizeof e) != 0) return false;
    if (next == 44 && ((e[2] << 8 | e[3]) & 0xfff8) != 0) p->fragment = true;
    at += next == 44 ? 8u : next == 51 ? (e[1] + 2u) * 4 : (e[1] + 1u) * 8;
    next = e[0];
  }
  p->transport = at;
  p->protonum = next;
  return at <= skb->len;
}

bool nf_get_tuple(sk_buff* skb, u8 l3num, u32 network, const nf_packet& p, nf_conntrack_tuple* t) {
  *t = {};
  t->l3num = l3num;
  t->protonum = p.protonum;
  if (p.fragment) return false;
  if (l3num == NFPROTO_IPV4) {
    be32 a[2];
    if (skb_copy_bits(skb, network + 12, a, sizeof a) != 0) return false;
    t->src.words[0] = a[0];
    t->dst.words[0] = a[1];
  } else if (skb_copy_bits(skb, network + 8, &t->src, 16) != 0 || skb_copy_bits(skb, network + 24, &t->dst, 16) != 0) {
    return false;
  }
  if (has_ports(p.protonum)) {
    u16 ports[2];
    if (skb_copy_bits(skb, p.transport, ports, sizeof ports) != 0) return false;
    t->src_port = ports[0];
    t->dst_port = ports[1];
  } else if (p.protonum == kIcmp || p.protonum == kIcmpv6) {
    u8 h[8];
    if (skb_copy_bits(skb, p.transport, h, sizeof h) != 0) return false;
    t->dst_port = static_cast<u16>(h[0] | h[1] << 8);
    if (icmp_answer(l3num, h[0]) != 0xff) t->src_port = get_unaligned<u16>(h + 4);
  }
  return true;
}

bool nf_invert_tuple(nf_conntrack_tuple* to, const nf_conntrack_tuple& from) {
  *to = from;
  to->dir = !from.dir;
  to->src = from.dst;
  to->dst = from.src;
  if (from.protonum == kIcmp || from.protonum == kIcmpv6) {
    const u8 answer = icmp_answer(from.l3num, static_cast<u8>(from.dst_port));
    if (answer == 0xff) return false;
    to->dst_port = static_cast<u16>(answer | (from.dst_port & 0xff00));
    return true;
  }
  to->src_port = from.dst_port;
  to->dst_port = from.src_port;
  return true;
}

bool nf_track_protocol(nf_conn* ct, sk_buff* skb, const nf_packet& p, u8 info, bool fresh) {
  if (p.protonum == kTcp) return track_tcp(ct, skb, p, info, fresh);
  const bool replied = (ct->status.load() & IPS_SEEN_REPLY) != 0;
  u64 seconds = 600;
  if (p.protonum == kUdp || p.protonum == kUdplite) {
    seconds = replied ? 120 : 30;
    if (replied && !fresh) ct->status.fetch_or(IPS_ASSURED);
  } else if (p.protonum == kIcmp || p.protonum == kIcmpv6) {
    seconds = 30;
    // Only questions begin something.
    const u8 type = static_cast<u8>(ct->tuplehash[0].tuple.dst_port);
    if (fresh && !(type == 8 || type == 13 || type == 15 || type == 17 || type == 128)) return false;
  }
  BhGuard guard(ct->lock);
  ct->expires = ktime_get() + seconds * kNsPerSec;
  return true;
}

}  // namespace xm::os
