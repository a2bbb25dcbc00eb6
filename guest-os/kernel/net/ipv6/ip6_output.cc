// SPDX-License-Identifier: GPL-2.0-or-later
// IPv6 packets out and through: headers, fragments, the neighbour, forwarding. [RFC 8200]
#include "kernel/drivers/random.h"
#include "kernel/net/ipv6/ipv6.h"
#include "kernel/net/netfilter.h"
#include "kernel/net/sock.h"

namespace xm::os {
namespace {

u32 mtu_of(const dst_entry* dst) { return dst->ops->mtu(dst); }

// Groups that we are in hear what we send to them.
void loop_back(sk_buff* skb, net_device* dev) {
  sk_buff* copy = skb_copy(skb, GFP_ATOMIC);
  if (copy == nullptr) return;
  skb_orphan(copy);
  skb_dst_drop(copy);
  if (copy->ip_summed == CHECKSUM_NONE) copy->ip_summed = CHECKSUM_UNNECESSARY;
  copy->mac_header = copy->network_header;
  copy->pkt_type = PACKET_LOOPBACK;
  copy->dev = dev;
  netif_rx(copy);
}

int finish_output2(sk_buff* skb) {
  const auto* rt = static_cast<const rt6_info*>(skb->dst);
  net_device* dev = skb->dev;
  const in6_addr daddr = ipv6_hdr(skb)->daddr;
  if (daddr.bytes[0] == 0xff) {
    if ((dev->flags & IFF_LOOPBACK) == 0 && ipv6_chk_mcast(dev, daddr)) {
      loop_back(skb, dev);
      if (ipv6_hdr(skb)->hop_limit == 0) {
        consume_skb(skb);
        return 0;
      }
    }
    if ((daddr.bytes[1] & 15) <= 1 && (dev->flags & IFF_LOOPBACK) == 0) {  // stays on this host
      consume_skb(skb);
      return 0;
    }
  }
  const in6_addr next = rt6_nexthop(rt, daddr);
  neighbour* n = neigh_create(&nd_tbl, &next, dev);
  if (n == nullptr) {
    kfree_skb_reason(skb, SKB_DROP_NEIGH_FAILED);
    return -ENOBUFS;
  }
  const int result = neigh_output(n, skb);
  neigh_release(n);
  return result;
}

// Cuts a packet; every piece has the fragment header behind the IPv6 header. (Packets of ours have no other before.)
int fragment(sk_buff* skb, u32 mtu) {
  const ipv6hdr h = *ipv6_hdr(skb);
  const u32 network = skb_network_offset(skb), total = skb->len - network - 40;
  const u32 step = (mtu - 48) & ~7u;
  if (mtu < kIpv6MinMtu || skb_checksum_help(skb) != 0) {
    kfree_skb(skb);
    return -EMSGSIZE;
  }
  const u32 id = static_cast<u32>(get_random_u64());
  int result = 0;
  for (u32 at = 0; at < total && result == 0; at += step) {
    const u32 n = min(step, total - at);
    sk_buff* piece = alloc_skb(kMaxHeader + 48 + n, GFP_ATOMIC);
    if (piece == nullptr) {
      result = -ENOMEM;
      break;
    }
    skb_reserve(piece, kMaxHeader);
    skb_reset_network_header(piece);
    auto* ph = reinterpret_cast<ipv6hdr*>(skb_put(piece, 40));
    *ph = h;
    ph->nexthdr = NEXTHDR_FRAGMENT;
    ph->payload_len = htons(static_cast<u16>(n + 8));
    u8* f = skb_put(piece, 8);
    piece->transport_header = piece->network_header + 40;
    f[0] = h.nexthdr;
    f[1] = 0;
    put_unaligned(htons(static_cast<u16>(at | (at + n < total ? 1u : 0u))), f + 2);
    put_unaligned(id, f + 4);
    skb_copy_bits(skb, network + 40 + at, skb_put(piece, n), n);
    piece->dev = skb->dev;
    piece->protocol = skb->protocol;
    piece->priority = skb->priority;
    piece->mark = skb->mark;
    piece->dst = dst_hold(skb->dst);
    result = finish_output2(piece);
    if (result > 0) result = 0;
  }
  consume_skb(skb);
  return result;
}

int finish_output(sk_buff* skb) {
  const u32 mtu = mtu_of(skb->dst);
  if (skb->len <= mtu || skb_is_gso(skb)) return finish_output2(skb);
  return fragment(skb, mtu);
}

int local_out_finish(sk_buff* skb) { return dst_output(skb); }

int forward_finish(sk_buff* skb) { return dst_output(skb); }

}  // namespace

u8 ip6_hop_limit(const dst_entry* dst) {
  const inet6_dev* idev = dst->dev == nullptr ? nullptr : in6_dev_get(dst->dev);
  return idev == nullptr ? 64 : static_cast<u8>(idev->hop_limit);
}

int ip6_output(sk_buff* skb) {
  skb->dev = skb->dst->dev;
  skb->protocol = htons(ETH_P_IPV6);
  const inet6_dev* idev = in6_dev_get(skb->dev);
  if (idev == nullptr || idev->disable_ipv6 != 0) {
    kfree_skb_reason(skb, SKB_DROP_DEV_READY);
    return 0;
  }
  return NF_HOOK(NFPROTO_IPV6, NF_INET_POST_ROUTING, skb, nullptr, skb->dev, finish_output);
}

int ip6_local_out(sk_buff* skb) {
  const u32 length = skb->len - 40;
  ipv6_hdr(skb)->payload_len = length > 65535 ? 0 : htons(static_cast<u16>(length));
  skb->protocol = htons(ETH_P_IPV6);
  return NF_HOOK(NFPROTO_IPV6, NF_INET_LOCAL_OUT, skb, nullptr, skb->dst->dev, local_out_finish);
}

void ip6_push_header(sk_buff* skb, const flowi6& fl, u8 nexthdr, u8 hop_limit, u8 tclass) {
  skb_push(skb, sizeof(ipv6hdr));
  skb_reset_network_header(skb);
  ipv6hdr* h = ipv6_hdr(skb);
  h->flow = htonl(6u << 28 | static_cast<u32>(tclass) << 20) | fl.flow;
  h->payload_len = htons(static_cast<u16>(min(skb->len - 40, 65535u)));
  h->nexthdr = nexthdr;
  h->hop_limit = hop_limit;
  h->saddr = fl.saddr;
  h->daddr = fl.daddr;
}

int ip6_xmit(sock* sk, sk_buff* skb, flowi6* fl, u8 tclass) {
  if (skb_cow_head(skb, kMaxHeader) != 0) {
    kfree_skb_reason(skb, SKB_DROP_NOMEM);
    return -ENOBUFS;
  }
  ip6_push_header(skb, *fl, fl->proto, ip6_hop_limit(skb->dst), tclass);
  if (sk != nullptr) {
    skb->priority = sk->sk_priority;
    skb->mark = sk->sk_mark;
  }
  return ip6_local_out(skb);
}

int ip6_forward(sk_buff* skb) {
  const auto* rt = static_cast<const rt6_info*>(skb->dst);
  const ipv6hdr* h = ipv6_hdr(skb);
  const inet6_dev* in = in6_dev_get(skb->dev);
  if (skb->pkt_type != PACKET_HOST || (ipv6_all.forwarding == 0 && (in == nullptr || in->forwarding == 0))) {
    kfree_skb_reason(skb, SKB_DROP_IP_INNOROUTES);
    return 0;
  }
  if (h->hop_limit <= 1) {
    icmpv6_send(skb, ICMPV6_TIME_EXCEED, ICMPV6_EXC_HOPLIMIT, 0);
    kfree_skb_reason(skb, SKB_DROP_IP_TTL);
    return 0;
  }
  // Link-local addresses do not leave their link, and nobody routes for the unspecified one. [RFC 4291, 2.5.6]
  if (h->saddr.linklocal() || h->daddr.linklocal() || (h->saddr.quads[0] == 0 && h->saddr.quads[1] == 0)) {
    icmpv6_send(skb, ICMPV6_DEST_UNREACH, 2, 0);
    kfree_skb_reason(skb, SKB_DROP_IP_INNOROUTES);
    return 0;
  }
  const u32 mtu = max(mtu_of(rt), kIpv6MinMtu);
  if (skb->len > mtu && !skb_is_gso(skb)) {
    icmpv6_send(skb, ICMPV6_PKT_TOOBIG, 0, mtu);
    kfree_skb_reason(skb, SKB_DROP_NOT_SPECIFIED);
    return 0;
  }
  if (skb_cow_head(skb, rt->dev->hard_header_len + 32u) != 0) {
    kfree_skb_reason(skb, SKB_DROP_NOMEM);
    return 0;
  }
  --ipv6_hdr(skb)->hop_limit;
  IP6CB(skb)->flags |= IP6SKB_FORWARDED;
  return NF_HOOK(NFPROTO_IPV6, NF_INET_FORWARD, skb, skb->dev, rt->dev, forward_finish);
}

}  // namespace xm::os
