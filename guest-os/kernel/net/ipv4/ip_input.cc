// SPDX-License-Identifier: GPL-2.0-or-later
// IPv4 receive: ip_rcv checks the header, ip_rcv_finish finds the way, ip_local_deliver hands the packet to its
// protocol. [RFC 791, 3.1], [RFC 1122, 3.2.1]
#include "kernel/net/ip.h"
#include "kernel/net/netfilter.h"
#include "kernel/net/route.h"
#include "kernel/net/snmp.h"

namespace xm::os {

const net_protocol* inet_protos[256];
extern s64 sysctl_ip_early_demux;

int inet_add_protocol(const net_protocol* p, u8 number) {
  if (inet_protos[number] != nullptr) return -EEXIST;
  inet_protos[number] = p;
  return 0;
}

namespace {

int drop(sk_buff* skb, SkbDropReason why) {
  kfree_skb_reason(skb, why);
  return 0;
}

int ip_local_deliver_finish(sk_buff* skb) {
  skb_pull(skb, skb_network_offset(skb) + ip_hdrlen(skb));
  skb_reset_transport_header(skb);
  const u8 protocol = ip_hdr(skb)->protocol;
  const bool raw = raw_local_deliver(skb, protocol);
  const net_protocol* p = inet_protos[protocol];
  if (likely(p != nullptr)) {
    IP_INC(IPSTATS_InDelivers);
    return p->handler(skb);
  }
  if (raw) {
    IP_INC(IPSTATS_InDelivers);
    consume_skb(skb);
    return 0;
  }
  IP_INC(IPSTATS_InUnknownProtos);
  skb_push(skb, ip_hdrlen(skb));
  icmp_send(skb, ICMP_DEST_UNREACH, ICMP_PROT_UNREACH, 0);
  return drop(skb, SKB_DROP_IP_NOPROTO);
}

bool options_refused(sk_buff* skb, net_device* dev) {
  if (skb_cow_head(skb, 0) != 0 || ip_options_compile(skb) != 0) {
    IP_INC(IPSTATS_InHdrErrors);
    return true;
  }
  const in_device* in = in_dev_get(dev);  // source routing is a way around filters
  return IPCB(skb)->opt.srr != 0 && (in == nullptr || in_dev_conf(in, IPV4_DEVCONF_accept_source_route) == 0);
}

int ip_rcv_finish(sk_buff* skb) {
  net_device* dev = skb->dev;
  const iphdr* h = ip_hdr(skb);
  if (skb->dst == nullptr && skb->sk == nullptr && sysctl_ip_early_demux != 0 && !ip_is_fragment(h)) {
    const net_protocol* p = inet_protos[h->protocol];
    if (p != nullptr && p->early_demux != nullptr) p->early_demux(skb);
  }
  if (skb->dst == nullptr) {
    const int error = ip_route_input(skb, h->daddr, h->saddr, h->tos, dev);
    if (error != 0) {
      if (error == -EXDEV) return drop(skb, SKB_DROP_IP_RPFILTER);
      IP_INC(IPSTATS_InAddrErrors);
      return drop(skb, SKB_DROP_IP_INNOROUTES);
    }
  }
  if (h->ihl > 5 && options_refused(skb, dev)) return drop(skb, SKB_DROP_IP_INHDR);
  const rtable* rt = skb_rtable(skb);
  if (rt->rt_type == RTN_MULTICAST) {
    IPEXT_ADD(IPEXT_InMcastPkts, 1);
    IPEXT_ADD(IPEXT_InMcastOctets, skb->len);
  } else if (rt->rt_type == RTN_BROADCAST) {
    IPEXT_ADD(IPEXT_InBcastPkts, 1);
    IPEXT_ADD(IPEXT_InBcastOctets, skb->len);
  } else if (skb->pkt_type == PACKET_BROADCAST || skb->pkt_type == PACKET_MULTICAST) {
    // A unicast address in a link-layer broadcast: somebody tries to hide. [RFC 1122, 3.3.6]
    const in_device* in = in_dev_get(dev);
    if (in != nullptr && (dev->flags & IFF_LOOPBACK) == 0 && rt->rt_type == RTN_UNICAST)
      return drop(skb, SKB_DROP_OTHERHOST);
  }
  return dst_input(skb);
}

}  // namespace

int ip_rcv(sk_buff* skb, net_device* dev, packet_type*, net_device*) {
  if (skb->pkt_type == PACKET_OTHERHOST) return drop(skb, SKB_DROP_OTHERHOST);
  IP_INC(IPSTATS_InReceives);
  IPEXT_ADD(IPEXT_InOctets, skb->len);
  skb = skb_share_check(skb, GFP_ATOMIC);
  if (skb == nullptr) {
    IP_INC(IPSTATS_InDiscards);
    return 0;
  }
  const auto header_error = [&] {
    IP_INC(IPSTATS_InHdrErrors);
    return drop(skb, SKB_DROP_IP_INHDR);
  };
  if (!pskb_may_pull(skb, sizeof(iphdr))) return header_error();
  skb_reset_network_header(skb);
  if (ip_hdr(skb)->ihl < 5 || ip_hdr(skb)->version != 4) return header_error();
  if (!pskb_may_pull(skb, ip_hdrlen(skb))) return header_error();
  skb_reset_network_header(skb);
  const iphdr* h = ip_hdr(skb);
  if (unlikely(ip_fast_csum(h, h->ihl) != 0)) {
    IPEXT_ADD(IPEXT_InCsumErrors, 1);
    IP_INC(IPSTATS_InHdrErrors);
    return drop(skb, SKB_DROP_IP_CSUM);
  }
  const u32 length = ntohs(h->tot_len);
  if (skb->len < length) {
    IPEXT_ADD(IPEXT_InTruncatedPkts, 1);
    return drop(skb, SKB_DROP_PKT_TOO_SMALL);
  }
  if (length < h->ihl * 4u) return header_error();
  if (skb->len > length) {  // padding of short frames
    if (pskb_trim(skb, length) != 0) {
      IP_INC(IPSTATS_InDiscards);
      return drop(skb, SKB_DROP_NOMEM);
    }
    if (skb->ip_summed == CHECKSUM_COMPLETE) skb->ip_summed = CHECKSUM_NONE;
  }
  skb->transport_header = skb->network_header + h->ihl * 4u;
  memset(skb->cb, 0, sizeof(inet_skb_parm));
  IPCB(skb)->iif = static_cast<int>(skb->skb_iif);
  // Only loopback keeps the sender's route: it leads to the receiver. What came through veth or tun is routed anew.
  if (skb->dst != nullptr && (dev->flags & IFF_LOOPBACK) == 0) skb_dst_drop(skb);
  return NF_HOOK(NFPROTO_IPV4, NF_INET_PRE_ROUTING, skb, dev, nullptr, ip_rcv_finish);
}

int ip_local_deliver(sk_buff* skb) {
  if (unlikely(ip_is_fragment(ip_hdr(skb)))) {
    skb = ip_defrag(skb, IP_DEFRAG_LOCAL_DELIVER);
    if (skb == nullptr) return 0;
  }
  return NF_HOOK(NFPROTO_IPV4, NF_INET_LOCAL_IN, skb, skb->dev, nullptr, ip_local_deliver_finish);
}

// Checks the options and notes where those are that a router acts on. [RFC 791, 3.1], [RFC 1122, 3.2.1.8]
int ip_options_compile(sk_buff* skb) {
  ip_options_info& opt = IPCB(skb)->opt;
  opt = {};
  iphdr* h = ip_hdr(skb);
  const u8* at = reinterpret_cast<const u8*>(h + 1);
  u32 left = h->ihl * 4u - static_cast<u32>(sizeof(iphdr));
  opt.optlen = static_cast<u8>(left);
  const auto offset = [&] { return static_cast<u8>(at - reinterpret_cast<const u8*>(h)); };
  while (left > 0) {
    if (*at == IPOPT_END) return 0;
    if (*at == IPOPT_NOOP) {
      ++at;
      --left;
      continue;
    }
    if (left < 2 || at[1] < 2 || at[1] > left) return -EINVAL;
    const u8 n = at[1];
    switch (*at) {
      case IPOPT_SSRR:
      case IPOPT_LSRR:
        if (n < 3 || at[2] < 4 || opt.srr != 0) return -EINVAL;
        opt.is_strictroute = *at == IPOPT_SSRR;
        opt.srr = offset();
        break;
      case IPOPT_RR:
        if (n < 3 || at[2] < 4 || opt.rr != 0 || (at[2] <= n && at[2] + 3 > n)) return -EINVAL;
        opt.rr = offset();
        break;
      case IPOPT_TIMESTAMP:
        if (n < 4 || at[2] < 5 || opt.ts != 0) return -EINVAL;
        opt.ts = offset();
        break;
      case IPOPT_RA:
        if (n < 4) return -EINVAL;
        if (at[2] == 0 && at[3] == 0) opt.router_alert = offset();
        break;
      default: break;
    }
    at += n;
    left -= n;
  }
  return 0;
}

}  // namespace xm::os
