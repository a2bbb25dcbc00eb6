// SPDX-License-Identifier: GPL-2.0-or-later
// ICMP: answers to echo, errors about packets that came (icmp_send), errors about packets that we sent (icmp_rcv tells
// the protocol and its socket). Errors are limited in rate, globally and by host. [RFC 792], [RFC 1122, 3.2.2], [RFC
// 1812]
#include "kernel/net/inet_sock.h"
#include "kernel/net/ip.h"
#include "kernel/net/route.h"
#include "kernel/net/snmp.h"
#include "kernel/sched/clock.h"

namespace xm::os {

s64 sysctl_icmp_echo_ignore_all = 0, sysctl_icmp_echo_ignore_broadcasts = 1, sysctl_icmp_ratelimit = 1000,
    sysctl_icmp_ratemask = 0x1818, sysctl_icmp_msgs_per_sec = 1000, sysctl_icmp_msgs_burst = 50;

const icmp_err icmp_err_convert[16] = {
    {ENETUNREACH, false},  {EHOSTUNREACH, false}, {ENOPROTOOPT, true},  {ECONNREFUSED, true},
    {EMSGSIZE, false},     {EOPNOTSUPP, false},   {ENETUNREACH, true},  {EHOSTDOWN, true},
    {ENONET, true},        {ENETUNREACH, true},   {EHOSTUNREACH, true}, {ENETUNREACH, false},
    {EHOSTUNREACH, false}, {EHOSTUNREACH, true},  {EHOSTUNREACH, true}, {EHOSTUNREACH, true},
};

namespace {

// --- rate ---
spinlock_t rate_lock{LockRank::InetPeer};
u64 global_credit = 50, global_stamp = 0;
struct PeerRate {
  be32 daddr;
  u64 stamp, tokens;
};
PeerRate peers[64];

bool global_allow() {
  BhGuard guard(rate_lock);
  const u64 now = ktime_get();
  const u64 gained = (now - global_stamp) * static_cast<u64>(sysctl_icmp_msgs_per_sec) / kNsPerSec;
  if (gained > 0) {
    global_stamp = now;
    global_credit = min(global_credit + gained, static_cast<u64>(sysctl_icmp_msgs_burst));
  }
  if (global_credit == 0) return false;
  --global_credit;
  return true;
}

// Six in a burst, then one in icmp_ratelimit ms, for each destination.
bool peer_allow(be32 daddr) {
  constexpr u64 kBurst = 6;
  const u64 period = static_cast<u64>(sysctl_icmp_ratelimit) * 1000000;
  BhGuard guard(rate_lock);
  const u64 now = ktime_get();
  PeerRate& p = peers[(daddr ^ daddr >> 8 ^ daddr >> 16 ^ daddr >> 24) % 64];
  if (p.daddr != daddr) {
    p.daddr = daddr;
    p.stamp = now;
    p.tokens = kBurst * period;
  }
  p.tokens = min(p.tokens + (now - p.stamp), kBurst * period);
  p.stamp = now;
  if (p.tokens < period) return false;
  p.tokens -= period;
  return true;
}

bool icmp_allow(const rtable* rt, be32 daddr, u8 type) {
  if ((1l << min<u8>(type, 31) & sysctl_icmp_ratemask) == 0 || sysctl_icmp_ratelimit == 0) return true;
  if ((rt->dev->flags & IFF_LOOPBACK) != 0) return true;
  return global_allow() && peer_allow(daddr);
}

void count_out(u8 type) {
  ICMP_INC(ICMP_MIB_OutMsgs);
  snmp_add(icmp_out_type[type], 1);
  switch (type) {
    case ICMP_ECHOREPLY: ICMP_INC(ICMP_MIB_OutEchoReps); break;
    case ICMP_DEST_UNREACH: ICMP_INC(ICMP_MIB_OutDestUnreachs); break;
    case ICMP_REDIRECT: ICMP_INC(ICMP_MIB_OutRedirects); break;
    case ICMP_ECHO: ICMP_INC(ICMP_MIB_OutEchos); break;
    case ICMP_TIME_EXCEEDED: ICMP_INC(ICMP_MIB_OutTimeExcds); break;
    case ICMP_PARAMETERPROB: ICMP_INC(ICMP_MIB_OutParmProbs); break;
    case ICMP_TIMESTAMPREPLY: ICMP_INC(ICMP_MIB_OutTimestampReps); break;
    default: break;
  }
}

// Sends skb (data at the ICMP header, checksum to be filled) by the route.
void icmp_push(sk_buff* skb, rtable* rt, const flowi4& fl, u8 tos, u8 ttl) {
  icmphdr* h = reinterpret_cast<icmphdr*>(skb->data);
  const u8 type = h->type;
  h->checksum = 0;
  h->checksum = csum_fold(skb_checksum(skb, 0, skb->len, 0));
  skb_push(skb, sizeof(iphdr));
  skb_reset_network_header(skb);
  skb->transport_header = skb->network_header + static_cast<u32>(sizeof(iphdr));
  iphdr* ip = ip_hdr(skb);
  ip->version = 4;
  ip->ihl = 5;
  ip->tos = tos;
  ip->frag_off = 0;
  ip->ttl = ttl;
  ip->protocol = IPPROTO_ICMP;
  ip->saddr = fl.saddr;
  ip->daddr = fl.daddr;
  ip_select_ident(ip, nullptr, 1);
  memset(skb->cb, 0, sizeof(inet_skb_parm));
  skb_dst_set(skb, rt);
  count_out(type);
  ip_local_out(skb);
}

// --- answers ---
void icmp_reply(sk_buff* skb, u8 type) {
  const iphdr* ip = ip_hdr(skb);
  const rtable* in = skb_rtable(skb);
  flowi4 fl;
  fl.daddr = ip->saddr;
  fl.saddr = in != nullptr && (in->rt_flags & (RTCF_BROADCAST | RTCF_MULTICAST)) != 0 ? 0 : ip->daddr;
  fl.tos = ip->tos & IPTOS_RT_MASK;
  fl.mark = skb->mark;
  fl.proto = IPPROTO_ICMP;
  const auto rt = ip_route_output_key(&fl);
  if (!rt.ok()) return;
  if (!icmp_allow(rt.value(), fl.daddr, type)) {
    ip_rt_put(rt.value());
    return;
  }
  sk_buff* out = alloc_skb(kMaxHeader + skb->len, GFP_ATOMIC);
  if (out == nullptr) {
    ip_rt_put(rt.value());
    return;
  }
  skb_reserve(out, kMaxHeader);
  skb_copy_bits(skb, 0, skb_put(out, skb->len), skb->len);
  reinterpret_cast<icmphdr*>(out->data)->type = type;
  reinterpret_cast<icmphdr*>(out->data)->code = 0;
  out->mark = skb->mark;
  icmp_push(out, rt.value(), fl, ip->tos, IPDEFTTL);
}

bool icmp_echo(sk_buff* skb) {
  if (sysctl_icmp_echo_ignore_all == 0) icmp_reply(skb, ICMP_ECHOREPLY);
  return true;
}

bool icmp_timestamp(sk_buff* skb) {
  if (skb->len < 20 || skb_ensure_writable(skb, 20) != 0) return false;
  const be32 now = htonl(static_cast<u32>(ktime_get_real() / 1000000 % 86400000));
  put_unaligned(now, skb->data + 12);
  put_unaligned(now, skb->data + 16);
  icmp_reply(skb, ICMP_TIMESTAMPREPLY);
  return true;
}

// --- errors that came ---
void icmp_socket_deliver(sk_buff* skb, u32 info) {
  if (!pskb_may_pull(skb, sizeof(iphdr) + 8)) {
    ICMP_INC(ICMP_MIB_InErrors);
    return;
  }
  const iphdr* quoted = reinterpret_cast<const iphdr*>(skb->data);
  const u8 protocol = quoted->protocol;
  raw_icmp_error(skb, protocol, info);
  const net_protocol* p = inet_protos[protocol];
  if (p != nullptr && p->err_handler != nullptr) p->err_handler(skb, info);
}

bool icmp_unreach(sk_buff* skb) {
  icmphdr* h = icmp_hdr(skb);
  if (!pskb_may_pull(skb, sizeof(icmphdr) + sizeof(iphdr))) return false;
  h = icmp_hdr(skb);
  const u8 type = h->type, code = h->code;
  u32 info = 0;
  const iphdr* quoted = reinterpret_cast<const iphdr*>(h + 1);
  if (quoted->ihl < 5 || quoted->version != 4) return false;
  if (type == ICMP_DEST_UNREACH) {
    if ((code & 15) > 15 || code > 15) return true;
    if (code == ICMP_FRAG_NEEDED) info = ntohs(h->frag.mtu);
  } else if (type == ICMP_PARAMETERPROB) {
    info = ntohl(h->gateway) >> 24;
  }
  // Hosts must not answer broadcasts with errors. [RFC 1122, 3.2.2]
  if (inet_addr_type(quoted->daddr) == RTN_BROADCAST) return true;
  skb_pull(skb, sizeof(icmphdr));
  icmp_socket_deliver(skb, info);
  return true;
}

bool icmp_redirect(sk_buff* skb) {
  if (skb->len < sizeof(icmphdr) + sizeof(iphdr) || !pskb_may_pull(skb, sizeof(icmphdr) + sizeof(iphdr))) return false;
  const be32 gateway = icmp_hdr(skb)->gateway;
  skb_pull(skb, sizeof(icmphdr));
  ipv4_redirect(skb, gateway);
  return true;
}

void count_in(u8 type) {
  snmp_add(icmp_in_type[type], 1);
  switch (type) {
    case ICMP_ECHOREPLY: ICMP_INC(ICMP_MIB_InEchoReps); break;
    case ICMP_DEST_UNREACH: ICMP_INC(ICMP_MIB_InDestUnreachs); break;
    case ICMP_SOURCE_QUENCH: ICMP_INC(ICMP_MIB_InSrcQuenchs); break;
    case ICMP_REDIRECT: ICMP_INC(ICMP_MIB_InRedirects); break;
    case ICMP_ECHO: ICMP_INC(ICMP_MIB_InEchos); break;
    case ICMP_TIME_EXCEEDED: ICMP_INC(ICMP_MIB_InTimeExcds); break;
    case ICMP_PARAMETERPROB: ICMP_INC(ICMP_MIB_InParmProbs); break;
    case ICMP_TIMESTAMP: ICMP_INC(ICMP_MIB_InTimestamps); break;
    default: break;
  }
}

bool handle(sk_buff* skb, u8 type) {
  const rtable* rt = skb_rtable(skb);
  if (rt != nullptr && (rt->rt_flags & (RTCF_BROADCAST | RTCF_MULTICAST)) != 0) {
    // Smurf attacks: no answers to broadcast echoes. [RFC 1122, 3.2.2.6]
    if ((type == ICMP_ECHO || type == ICMP_TIMESTAMP) && sysctl_icmp_echo_ignore_broadcasts != 0) return true;
  }
  switch (type) {
    case ICMP_ECHO: return icmp_echo(skb);
    case ICMP_ECHOREPLY: ping_rcv(skb); return true;
    case ICMP_TIMESTAMP: return icmp_timestamp(skb);
    case ICMP_DEST_UNREACH:
    case ICMP_TIME_EXCEEDED:
    case ICMP_PARAMETERPROB: return icmp_unreach(skb);
    case ICMP_REDIRECT: return icmp_redirect(skb);
    default: return true;  // unknown types are passed over in silence [RFC 1122, 3.2.2]
  }
}

}  // namespace

int icmp_rcv(sk_buff* skb) {
  ICMP_INC(ICMP_MIB_InMsgs);
  if (skb->ip_summed != CHECKSUM_UNNECESSARY && skb->ip_summed != CHECKSUM_PARTIAL &&
      csum_fold(skb_checksum(skb, 0, skb->len, 0)) != 0) {
    ICMP_INC(ICMP_MIB_InCsumErrors);
    ICMP_INC(ICMP_MIB_InErrors);
    kfree_skb_reason(skb, SKB_DROP_ICMP_CSUM);
    return 0;
  }
  if (!pskb_may_pull(skb, sizeof(icmphdr))) {
    ICMP_INC(ICMP_MIB_InErrors);
    kfree_skb_reason(skb, SKB_DROP_PKT_TOO_SMALL);
    return 0;
  }
  const u8 type = icmp_hdr(skb)->type;
  count_in(type);
  if (handle(skb, type)) {
    consume_skb(skb);
  } else {
    ICMP_INC(ICMP_MIB_InErrors);
    kfree_skb(skb);
  }
  return 0;
}

// An error about skb (its network header is set, it has a route). Not about errors, broadcasts and fragments but the
// first. [RFC 1122, 3.2.2]
void icmp_send(sk_buff* skb, u8 type, u8 code, be32 info) {
  const rtable* in = skb_rtable(skb);
  if (in == nullptr || in->dev == nullptr) return;
  const iphdr* ip = ip_hdr(skb);
  if (skb_network_header(skb) < skb->head || skb_network_header(skb) + sizeof(iphdr) > skb_tail_pointer(skb)) return;
  if (skb->pkt_type != PACKET_HOST && skb->pkt_type != PACKET_LOOPBACK && skb->pkt_type != PACKET_OUTGOING) return;
  if ((in->rt_flags & (RTCF_BROADCAST | RTCF_MULTICAST)) != 0) return;
  if ((ip->frag_off & htons(IP_OFFSET)) != 0) return;
  if (type > ICMP_PARAMETERPROB || type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
      type == ICMP_PARAMETERPROB || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT) {
    if (ip->protocol == IPPROTO_ICMP) {
      u8 inner;
      const u32 at = skb_network_offset(skb) + ip->ihl * 4u;
      if (skb_copy_bits(skb, at, &inner, 1) != 0) return;
      if (inner != ICMP_ECHO && inner != ICMP_ECHOREPLY && inner != ICMP_TIMESTAMP && inner != ICMP_TIMESTAMPREPLY)
        return;
    }
  }
  flowi4 fl;
  fl.daddr = ip->saddr;
  // From the address it was sent to, or, for packets that we forward, from that of the way back.
  fl.saddr = (in->rt_flags & RTCF_LOCAL) != 0 ? ip->daddr : 0;
  fl.tos = 0xc0 & IPTOS_RT_MASK;
  fl.mark = skb->mark;
  fl.proto = IPPROTO_ICMP;
  if (ip->saddr == 0 || ipv4_is_multicast(ip->saddr)) return;
  const auto rt = ip_route_output_key(&fl);
  if (!rt.ok()) return;
  if (!icmp_allow(rt.value(), fl.daddr, type)) {
    ip_rt_put(rt.value());
    return;
  }
  // As much of the packet as fits into 576 bytes. [RFC 1812, 4.3.2.3]
  const u32 from = skb_network_offset(skb);
  const u32 room = min(dst_mtu(rt.value()), 576u) - static_cast<u32>(sizeof(iphdr) + sizeof(icmphdr));
  const u32 quoted = min(skb->len - from, room);
  sk_buff* out = alloc_skb(kMaxHeader + static_cast<u32>(sizeof(icmphdr)) + quoted, GFP_ATOMIC);
  if (out == nullptr) {
    ip_rt_put(rt.value());
    return;
  }
  skb_reserve(out, kMaxHeader);
  icmphdr* h = reinterpret_cast<icmphdr*>(skb_put(out, sizeof(icmphdr)));
  h->type = type;
  h->code = code;
  h->gateway = info;
  skb_copy_bits(skb, from, skb_put(out, quoted), quoted);
  out->mark = skb->mark;
  icmp_push(out, rt.value(), fl, type == ICMP_REDIRECT ? 0xc0 : static_cast<u8>((ip->tos & 0x1e) | 0xc0), IPDEFTTL);
}

}  // namespace xm::os
