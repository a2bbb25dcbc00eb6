// SPDX-License-Identifier: GPL-2.0-or-later
// ICMPv6 [RFC 4443]: echo, errors sent and received, and the door to neighbour discovery and multicast listening.
#include "kernel/net/ipv6/ipv6.h"
#include "kernel/sched/clock.h"

namespace xm::os {

bool (*ping6_rcv_hook)(sk_buff* skb) = nullptr;

namespace {

constexpr u64 kErrorTokenNs = 1000000;  // a thousand errors a second, 50 at once [RFC 4443, 2.4 (f)]
constexpr u32 kErrorBurst = 50;
constinit spinlock_t limit_lock{LockRank::InetPeer};
u64 limit_tokens = kErrorBurst * kErrorTokenNs, limit_stamp = 0;

bool may_send_error() {
  BhGuard guard(limit_lock);
  const u64 now = ktime_get();
  limit_tokens = min(limit_tokens + now - limit_stamp, kErrorBurst * kErrorTokenNs);
  limit_stamp = now;
  if (limit_tokens < kErrorTokenNs) return false;
  limit_tokens -= kErrorTokenNs;
  return true;
}

int drop(sk_buff* skb, SkbDropReason why) {
  kfree_skb_reason(skb, why);
  return 0;
}

void finish_and_send(sk_buff* skb, flowi6& fl, dst_entry* dst, u8 hop_limit) {
  u8* icmp = skb->data;
  const u32 length = skb->len;
  icmp[2] = icmp[3] = 0;
  const u16 sum = csum_ipv6_magic(&fl.saddr, &fl.daddr, length, NEXTHDR_ICMP, csum_partial(icmp, length, 0));
  memcpy(icmp + 2, &sum, 2);
  skb_reset_transport_header(skb);
  ip6_push_header(skb, fl, NEXTHDR_ICMP, hop_limit, 0);
  skb->dst = dst;
  ip6_local_out(skb);
}

void echo_reply(sk_buff* skb) {
  const ipv6hdr* h = ipv6_hdr(skb);
  const u32 length = skb->len;
  sk_buff* reply = alloc_skb(kMaxHeader + length, GFP_ATOMIC);
  if (reply == nullptr) return;
  skb_reserve(reply, kMaxHeader);
  skb_copy_bits(skb, 0, skb_put(reply, length), length);
  reply->data[0] = ICMPV6_ECHO_REPLY;
  flowi6 fl;
  fl.daddr = h->saddr;
  if (h->daddr.bytes[0] != 0xff) fl.saddr = h->daddr;
  if (fl.daddr.linklocal() || h->daddr.bytes[0] == 0xff) fl.oif = skb->dev->ifindex;
  if ((skb->dev->flags & IFF_LOOPBACK) != 0) fl.oif = 0;
  dst_entry* dst = ip6_route_output(&fl);
  if (dst->error != 0) {
    dst_release(dst);
    kfree_skb(reply);
    return;
  }
  reply->mark = skb->mark;
  finish_and_send(reply, fl, dst, ip6_hop_limit(dst));
}

// The packet that an error quotes goes to the protocol that sent it.
void notify(sk_buff* skb, u8 type, u8 code, be32 info) {
  if (!pskb_may_pull(skb, 8 + 40)) return;
  const ipv6hdr inner = *reinterpret_cast<const ipv6hdr*>(skb->data + 8);
  u8 next = inner.nexthdr;
  bool fragment;
  const int transport = ipv6_skip_exthdr(skb, 48, &next, &fragment);
  if (transport < 0 || fragment) return;
  if (type == ICMPV6_PKT_TOOBIG) rt6_pmtu_learn(inner.daddr, ntohl(info));
  const inet6_protocol* p = inet6_protos[next];
  if (p != nullptr && p->err_handler != nullptr && pskb_may_pull(skb, static_cast<u32>(transport) + 8))
    p->err_handler(skb, type, code, static_cast<u32>(transport), info);
}

}  // namespace

int icmpv6_rcv(sk_buff* skb) {
  if (!pskb_may_pull(skb, sizeof(icmp6hdr))) return drop(skb, SKB_DROP_PKT_TOO_SMALL);
  const ipv6hdr* h = ipv6_hdr(skb);
  if (skb->ip_summed != CHECKSUM_UNNECESSARY && skb->ip_summed != CHECKSUM_PARTIAL &&
      csum_ipv6_magic(&h->saddr, &h->daddr, skb->len, NEXTHDR_ICMP, skb_checksum(skb, 0, skb->len, 0)) != 0)
    return drop(skb, SKB_DROP_ICMP_CSUM);
  skb_reset_transport_header(skb);
  const icmp6hdr icmp = *icmp6_hdr(skb);
  switch (icmp.type) {
    case ICMPV6_ECHO_REQUEST: echo_reply(skb); break;
    case ICMPV6_ECHO_REPLY:
      if (ping6_rcv_hook != nullptr && ping6_rcv_hook(skb)) return 0;
      break;
    case ICMPV6_DEST_UNREACH:
    case ICMPV6_PKT_TOOBIG:
    case ICMPV6_TIME_EXCEED:
    case ICMPV6_PARAMPROB: notify(skb, icmp.type, icmp.code, icmp.data); break;
    case NDISC_ROUTER_SOLICITATION:
    case NDISC_ROUTER_ADVERTISEMENT:
    case NDISC_NEIGHBOUR_SOLICITATION:
    case NDISC_NEIGHBOUR_ADVERTISEMENT:
    case NDISC_REDIRECT: ndisc_rcv(skb); return 0;
    case ICMPV6_MLD_QUERY: mld_query_rcv(skb); break;
    default: break;
  }
  consume_skb(skb);
  return 0;
}

// [RFC 4443, 2.4]: when not to answer, and as much of the packet as fits into the smallest MTU. skb->data may stand
// anywhere behind the network header.
void icmpv6_send(sk_buff* skb, u8 type, u8 code, u32 info) {
  if (skb->network_header + sizeof(ipv6hdr) > skb->tail || skb->dev == nullptr) return;
  const ipv6hdr* h = ipv6_hdr(skb);
  const bool group = h->daddr.bytes[0] == 0xff || skb->pkt_type != PACKET_HOST;
  const bool allowed = type == ICMPV6_PKT_TOOBIG || (type == ICMPV6_PARAMPROB && code == ICMPV6_UNK_OPTION);
  if (group && !allowed && skb->pkt_type != PACKET_OUTGOING) return;
  if (h->saddr.bytes[0] == 0xff || (h->saddr.quads[0] == 0 && h->saddr.quads[1] == 0)) return;
  const u32 back = skb_headroom(skb) - skb->network_header;  // bytes pulled since
  const u32 whole = skb->len + back, quoted = min(whole, kIpv6MinMtu - 48);
  u8 next = h->nexthdr;
  if (next == NEXTHDR_ICMP && skb->network_header + 41 <= skb->tail && reinterpret_cast<const u8*>(h + 1)[0] < 128)
    return;
  if (!may_send_error()) return;
  sk_buff* reply = alloc_skb(kMaxHeader + 8 + quoted, GFP_ATOMIC);
  if (reply == nullptr) return;
  skb_reserve(reply, kMaxHeader);
  u8* icmp = skb_put(reply, 8);
  icmp[0] = type;
  icmp[1] = code;
  put_unaligned(htonl(info), icmp + 4);
  const u32 linear = min(back, quoted);
  memcpy(skb_put(reply, linear), h, linear);
  skb_copy_bits(skb, 0, skb_put(reply, quoted - linear), quoted - linear);
  flowi6 fl;
  fl.daddr = h->saddr;
  if (!group && ipv6_chk_addr(h->daddr, nullptr, false)) fl.saddr = h->daddr;
  if (fl.daddr.linklocal()) fl.oif = skb->dev->ifindex;
  dst_entry* dst = ip6_route_output(&fl);
  if (dst->error != 0) {
    dst_release(dst);
    kfree_skb(reply);
    return;
  }
  finish_and_send(reply, fl, dst, ip6_hop_limit(dst));
}

// Messages of neighbour discovery and multicast listening: straight to the link, past the routes. Hop limit 255 for the
// former, 1 with a router alert for the latter.
void icmpv6_send_message(net_device* dev, const in6_addr& saddr, const in6_addr& daddr, const void* body, u32 length,
                         bool router_alert) {
  sk_buff* skb = alloc_skb(kMaxHeader + 48 + length, GFP_ATOMIC);
  if (skb == nullptr) return;
  skb_reserve(skb, kMaxHeader);
  u8* icmp = skb_put(skb, length);
  memcpy(icmp, body, length);
  icmp[2] = icmp[3] = 0;
  const u16 sum = csum_ipv6_magic(&saddr, &daddr, length, NEXTHDR_ICMP, csum_partial(icmp, length, 0));
  memcpy(icmp + 2, &sum, 2);
  skb_reset_transport_header(skb);
  if (router_alert) {  // [RFC 2711]
    const u8 option[8] = {NEXTHDR_ICMP, 0, 5, 2, 0, 0, 1, 0};
    memcpy(skb_push(skb, 8), option, 8);
  }
  flowi6 fl;
  fl.saddr = saddr;
  fl.daddr = daddr;
  ip6_push_header(skb, fl, router_alert ? NEXTHDR_HOP : NEXTHDR_ICMP, router_alert ? 1 : 255, 0);
  skb->protocol = htons(ETH_P_IPV6);
  skb->dev = dev;
  skb->priority = 7;
  neighbour* n = neigh_create(&nd_tbl, &daddr, dev);
  if (n == nullptr) {
    kfree_skb_reason(skb, SKB_DROP_NEIGH_FAILED);
    return;
  }
  neigh_output(n, skb);
  neigh_release(n);
}

}  // namespace xm::os
