// SPDX-License-Identifier: GPL-2.0-or-later
// Packets for others: hop count, size and redirect checks, then out again. [RFC 1812, 5.2.1]
#include "kernel/net/ip.h"
#include "kernel/net/netfilter.h"
#include "kernel/net/route.h"
#include "kernel/net/snmp.h"

namespace xm::os {
namespace {

// The best band of pfifo_fast for a type of service. [RFC 1349] as [man 8 tc-prio] maps it
u32 tos_to_priority(u8 tos) {
  static constexpr u8 kBands[16] = {0, 0, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4};
  return kBands[(tos & 0x1e) >> 1];
}

int ip_forward_finish(sk_buff* skb) {
  skb->tstamp = 0;
  return dst_output(skb);
}

int drop(sk_buff* skb, SkbDropReason why) {
  kfree_skb_reason(skb, why);
  return 0;
}

u32 segment_length(const sk_buff* skb) {
  if (!skb_is_gso(skb)) return skb->len;
  const u8* tcp = skb_transport_header(skb);
  return ip_hdrlen(skb) + (tcp[12] >> 4) * 4u + skb_shinfo(skb)->gso_size;
}

}  // namespace

int ip_forward(sk_buff* skb) {
  if (skb->pkt_type != PACKET_HOST || skb->sk != nullptr) return drop(skb, SKB_DROP_OTHERHOST);
  if (ip_hdr(skb)->ttl <= 1) {
    IP_INC(IPSTATS_InHdrErrors);
    icmp_send(skb, ICMP_TIME_EXCEEDED, ICMP_EXC_TTL, 0);
    return drop(skb, SKB_DROP_IP_TTL);
  }
  const rtable* rt = skb_rtable(skb);
  if (IPCB(skb)->opt.is_strictroute && rt->rt_gateway != 0) {
    icmp_send(skb, ICMP_DEST_UNREACH, ICMP_SR_FAILED, 0);
    return drop(skb, SKB_DROP_IP_INNOROUTES);
  }
  IPCB(skb)->flags |= IPSKB_FORWARDED;
  const u32 mtu = ip_dst_mtu_maybe_forward(skb, true);
  if (segment_length(skb) > mtu && (ip_hdr(skb)->frag_off & htons(IP_DF)) != 0) {
    IP_INC(IPSTATS_FragFails);
    icmp_send(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, htonl(mtu));
    return drop(skb, SKB_DROP_PKT_TOO_SMALL);
  }
  if (skb_cow_head(skb, rt->dev->hard_header_len + 16u) != 0) return drop(skb, SKB_DROP_NOMEM);
  iphdr* h = ip_hdr(skb);
  // One less to live; the checksum follows by [RFC 1624].
  u32 check = h->check;
  check += htons(0x0100);
  h->check = static_cast<u16>(check + (check >= 0xffff ? 1 : 0));
  --h->ttl;
  if ((IPCB(skb)->flags & IPSKB_DOREDIRECT) != 0 && IPCB(skb)->opt.srr == 0) ip_rt_send_redirect(skb);
  skb->priority = tos_to_priority(h->tos);
  IP_INC(IPSTATS_ForwDatagrams);
  return NF_HOOK(NFPROTO_IPV4, NF_INET_FORWARD, skb, skb->dev, rt->dev, ip_forward_finish);
}

}  // namespace xm::os
