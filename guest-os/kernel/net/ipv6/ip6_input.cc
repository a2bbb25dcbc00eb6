// SPDX-License-Identifier: GPL-2.0-or-later
// IPv6 packets in: checks, options, the route, and the chain of headers up to the protocol. [RFC 8200, 4]
#include "kernel/init/initcall.h"
#include "kernel/lib/result.h"
#include "kernel/net/ipv6/ipv6.h"
#include "kernel/net/netfilter.h"

namespace xm::os {

const inet6_protocol* inet6_protos[256];
bool (*raw6_deliver_hook)(sk_buff* skb, u8 protocol) = nullptr;

namespace {

int drop(sk_buff* skb, SkbDropReason why) {
  kfree_skb_reason(skb, why);
  return 0;
}

// Options of a hop-by-hop or destination header; unknown ones say by their number what to do. [RFC 8200, 4.2]
bool options_ok(sk_buff* skb, u32 offset, u32 length) {
  const u8* h = skb->data + offset;
  for (u32 at = 2; at < length;) {
    const u8 type = h[at];
    if (type == 0) {  // Pad1
      ++at;
      continue;
    }
    if (at + 2 > length || at + 2u + h[at + 1] > length) return false;
    const bool known = type == 1 /* PadN */ || type == 5 /* router alert */;
    if (!known && (type & 0xc0) != 0) {
      const bool group = ipv6_hdr(skb)->daddr.bytes[0] == 0xff;
      if ((type & 0xc0) == 0x80 || ((type & 0xc0) == 0xc0 && !group))
        icmpv6_send(skb, ICMPV6_PARAMPROB, ICMPV6_UNK_OPTION,
                    skb_network_offset(skb) > offset ? at : offset - skb_network_offset(skb) + at);
      return false;
    }
    at += 2u + h[at + 1];
  }
  return true;
}

int rcv_finish(sk_buff* skb) {
  if (skb->dst == nullptr) ip6_route_input(skb);
  return dst_input(skb);
}

// One extension header; data is at the header. Returns the next header's number, or -1: the skb is gone.
int step_options(sk_buff** at, u8) {
  sk_buff* skb = *at;
  if (!pskb_may_pull(skb, 8) || !pskb_may_pull(skb, (skb->data[1] + 1u) * 8)) return -1;
  const u32 length = (skb->data[1] + 1u) * 8;
  if (!options_ok(skb, 0, length)) return -1;
  const u8 next = skb->data[0];
  IP6CB(skb)->nhoff = 0;
  skb_pull(skb, length);
  return next;
}
int step_routing(sk_buff** at) {
  sk_buff* skb = *at;
  if (!pskb_may_pull(skb, 8) || !pskb_may_pull(skb, (skb->data[1] + 1u) * 8)) return -1;
  if (skb->data[3] != 0) {  // segments left: source routes are not served [RFC 5095]
    icmpv6_send(skb, ICMPV6_PARAMPROB, ICMPV6_HDR_FIELD, 42);
    return -1;
  }
  const u32 length = (skb->data[1] + 1u) * 8;
  const u8 next = skb->data[0];
  skb_pull(skb, length);
  return next;
}

int input_finish(sk_buff* skb) {
  int next = ipv6_hdr(skb)->nexthdr;
  skb_pull(skb, sizeof(ipv6hdr));
  for (u32 headers = 0; headers < 32; ++headers) {
    skb_reset_transport_header(skb);
    if (next == NEXTHDR_HOP || next == NEXTHDR_DEST) {
      next = step_options(&skb, static_cast<u8>(next));
    } else if (next == NEXTHDR_ROUTING) {
      next = step_routing(&skb);
    } else if (next == NEXTHDR_FRAGMENT) {
      skb = ip6_reassemble(skb);
      if (skb == nullptr) return 0;
      next = ipv6_hdr(skb)->nexthdr;
      skb_pull(skb, sizeof(ipv6hdr));
      continue;
    } else {
      break;
    }
    if (next < 0) return drop(skb, SKB_DROP_IP_INHDR);
  }
  const u8 protocol = static_cast<u8>(next);
  const bool raw = raw6_deliver_hook != nullptr && raw6_deliver_hook(skb, protocol);
  if (const inet6_protocol* p = inet6_protos[protocol]; p != nullptr) return p->handler(skb);
  if (!raw && protocol != NEXTHDR_NONE) icmpv6_send(skb, ICMPV6_PARAMPROB, ICMPV6_UNK_NEXTHDR, 6);
  if (raw) {
    consume_skb(skb);
    return 0;
  }
  return drop(skb, SKB_DROP_IP_NOPROTO);
}

constinit packet_type ipv6_packet_type{ETH_P_IPV6, nullptr, ipv6_rcv};

void ipv6_init() {
  static constexpr inet6_protocol icmp{icmpv6_rcv, nullptr};
  inet6_add_protocol(&icmp, NEXTHDR_ICMP);
  ipv6_ndisc_init();
  ipv6_route_init();
  dev_add_pack(&ipv6_packet_type);
  ipv6_addrconf_init();
}
FS_INITCALL(ipv6_init);

}  // namespace

int inet6_add_protocol(const inet6_protocol* p, u8 number) {
  if (inet6_protos[number] != nullptr) return -EBUSY;
  inet6_protos[number] = p;
  return 0;
}

int ip6_input(sk_buff* skb) { return NF_HOOK(NFPROTO_IPV6, NF_INET_LOCAL_IN, skb, skb->dev, nullptr, input_finish); }

int ipv6_rcv(sk_buff* skb, net_device* dev, packet_type*, net_device*) {
  if (skb->pkt_type == PACKET_OTHERHOST) return drop(skb, SKB_DROP_OTHERHOST);
  skb = skb_share_check(skb, GFP_ATOMIC);
  if (skb == nullptr) return 0;
  const inet6_dev* idev = in6_dev_get(dev);
  if (idev == nullptr || idev->disable_ipv6 != 0) return drop(skb, SKB_DROP_DEV_READY);
  memset(skb->cb, 0, sizeof(inet6_skb_parm));
  IP6CB(skb)->iif = dev->ifindex;
  if (!pskb_may_pull(skb, sizeof(ipv6hdr))) return drop(skb, SKB_DROP_PKT_TOO_SMALL);
  const ipv6hdr* h = ipv6_hdr(skb);
  if (ntohl(h->flow) >> 28 != 6) return drop(skb, SKB_DROP_IP_INHDR);
  // [RFC 4291, 2.7; 2.5.3]: no packet comes from a group, nor over a wire to or from the loopback address.
  const bool loopback = (dev->flags & IFF_LOOPBACK) != 0;
  const in6_addr one = ipv6_make(0, 0, 0, 1);
  if (h->saddr.bytes[0] == 0xff || (!loopback && (h->saddr == one || h->daddr == one)) ||
      (h->daddr.bytes[0] == 0xff && ((h->daddr.bytes[1] & 15) == 0 || (!loopback && (h->daddr.bytes[1] & 15) == 1))))
    return drop(skb, SKB_DROP_IP_INHDR);
  const u32 length = ntohs(h->payload_len);
  if (length != 0 || h->nexthdr != NEXTHDR_HOP) {
    if (length + sizeof(ipv6hdr) > skb->len) return drop(skb, SKB_DROP_PKT_TOO_SMALL);
    if (pskb_trim(skb, length + static_cast<u32>(sizeof(ipv6hdr))) != 0) return drop(skb, SKB_DROP_NOMEM);
  }
  skb->transport_header = skb->network_header + static_cast<u32>(sizeof(ipv6hdr));
  return NF_HOOK(NFPROTO_IPV6, NF_INET_PRE_ROUTING, skb, dev, nullptr, rcv_finish);
}

int ipv6_skip_exthdr(const sk_buff* skb, u32 offset, u8* nexthdr, bool* fragment) {
  *fragment = false;
  for (u32 headers = 0; headers < 16; ++headers) {
    u8 h[8];
    if (*nexthdr != NEXTHDR_HOP && *nexthdr != NEXTHDR_ROUTING && *nexthdr != NEXTHDR_FRAGMENT &&
        *nexthdr != NEXTHDR_DEST)
      return static_cast<int>(offset);
    if (skb_copy_bits(skb, offset, h, sizeof h) != 0) return -1;
    if (*nexthdr == NEXTHDR_FRAGMENT && ((h[2] << 8 | h[3]) & 0xfff8) != 0) *fragment = true;
    offset += *nexthdr == NEXTHDR_FRAGMENT ? 8u : (h[1] + 1u) * 8;
    *nexthdr = h[0];
  }
  return -1;
}

}  // namespace xm::os
