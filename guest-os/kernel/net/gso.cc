// SPDX-License-Identifier: GPL-2.0-or-later
// Generic segmentation offload: cuts a large TCP or UDP packet into segments just before the device, when the device
// cannot do it. Headers are repeated with lengths, identification, sequence numbers and sums of their own.
#include "kernel/net/netdevice.h"
#include "kernel/net/skb_walk.h"

namespace xm::os {
namespace {

constexpr u8 kTcpFin = 1, kTcpPsh = 8, kTcpCwr = 0x80;

u16 load16(const u8* p) { return static_cast<u16>(p[0] << 8 | p[1]); }
void store16(u8* p, u32 v) {
  p[0] = static_cast<u8>(v >> 8);
  p[1] = static_cast<u8>(v);
}
u32 load32(const u8* p) { return static_cast<u32>(load16(p)) << 16 | load16(p + 2); }
void store32(u8* p, u32 v) {
  store16(p, v >> 16);
  store16(p + 2, v);
}

struct Layout {
  u32 network, transport, headers;  // offsets from data
  bool ipv6, tcp;
};

// What has to be repeated, with every length checked: a tun device may hand in anything.
bool find_layout(sk_buff* skb, Layout& l) {
  const u16 type = skb_shinfo(skb)->gso_type;
  l.network = skb_network_offset(skb);
  l.transport = skb_transport_offset(skb);
  l.tcp = (type & (SKB_GSO_TCPV4 | SKB_GSO_TCPV6)) != 0;
  if (!l.tcp && (type & SKB_GSO_UDP_L4) == 0) return false;
  if (l.transport >= skb->len || l.network + 20 > l.transport) return false;
  if (!pskb_may_pull(skb, l.transport + (l.tcp ? 20 : 8))) return false;
  l.ipv6 = skb->data[l.network] >> 4 == 6;
  if (l.ipv6 && l.network + 40 > l.transport) return false;
  l.headers = l.transport + (l.tcp ? (skb->data[l.transport + 12] >> 4) * 4u : 8u);
  return l.headers >= l.transport + (l.tcp ? 20u : 8u) && l.headers < skb->len && pskb_may_pull(skb, l.headers);
}

// Lengths and sums of one segment; `index` counts from 0, `offset` is where its payload began.
void finish_headers(sk_buff* s, const Layout& l, u32 index, u32 offset, bool last) {
  u8* ip = s->data + l.network;
  u8* th = s->data + l.transport;
  const u32 from_transport = s->len - l.transport;
  u8 protocol;
  if (l.ipv6) {
    store16(ip + 4, s->len - l.network - 40);
    protocol = l.tcp ? 6 : 17;
  } else {
    store16(ip + 2, s->len - l.network);
    store16(ip + 4, load16(ip + 4) + index);
    ip[10] = ip[11] = 0;
    const u16 sum = ip_fast_csum(ip, (ip[0] & 15));
    memcpy(ip + 10, &sum, 2);
    protocol = ip[9];
  }
  u8* check;
  if (l.tcp) {
    store32(th + 4, load32(th + 4) + offset);
    if (!last) th[13] = static_cast<u8>(th[13] & ~(kTcpFin | kTcpPsh));
    if (index != 0) th[13] = static_cast<u8>(th[13] & ~kTcpCwr);
    check = th + 16;
  } else {
    store16(th + 4, from_transport);
    check = th + 6;
  }
  check[0] = check[1] = 0;
  const u32 sum = csum_partial(th, from_transport, 0);
  u16 folded;
  if (l.ipv6) {
    folded = csum_ipv6_magic(ip + 8, ip + 24, from_transport, protocol, sum);
  } else {
    u32 saddr, daddr;
    memcpy(&saddr, ip + 12, 4);
    memcpy(&daddr, ip + 16, 4);
    folded = csum_tcpudp_magic(saddr, daddr, from_transport, protocol, sum);
  }
  if (folded == 0 && !l.tcp) folded = 0xffff;
  memcpy(check, &folded, 2);
  s->ip_summed = CHECKSUM_NONE;
}

sk_buff* make_segment(const sk_buff* skb, const Layout& l, u32 offset, u32 n) {
  const u32 headroom = skb_headroom(skb);
  sk_buff* s = alloc_skb(headroom + l.headers + n, GFP_ATOMIC);
  if (s == nullptr) return nullptr;
  skb_reserve(s, headroom);
  memcpy(skb_put(s, l.headers), skb->data, l.headers);
  skb_copy_bits(skb, l.headers + offset, skb_put(s, n), n);
  s->dev = skb->dev;
  s->tstamp = skb->tstamp;
  s->priority = skb->priority;
  s->mark = skb->mark;
  s->hash = skb->hash;
  s->protocol = skb->protocol;
  s->queue_mapping = skb->queue_mapping;
  s->pkt_type = skb->pkt_type;
  s->mac_len = skb->mac_len;
  s->vlan_tci = skb->vlan_tci;
  s->vlan_present = skb->vlan_present;
  s->mac_header = skb->mac_header;
  s->network_header = skb->network_header;
  s->transport_header = skb->transport_header;
  return s;
}

}  // namespace

sk_buff* skb_gso_segment(sk_buff* skb) {
  const u32 size = skb_shinfo(skb)->gso_size;
  Layout l;
  if (size == 0 || !find_layout(skb, l)) return nullptr;
  const u32 payload = skb->len - l.headers;
  sk_buff* first = nullptr;
  sk_buff** at = &first;
  u32 index = 0;
  for (u32 offset = 0; offset < payload; offset += size, ++index) {
    const u32 n = min(size, payload - offset);
    sk_buff* s = make_segment(skb, l, offset, n);
    if (s == nullptr) {
      while (first != nullptr) {
        sk_buff* next = first->next;
        kfree_skb_reason(first, SKB_DROP_NOMEM);
        first = next;
      }
      return nullptr;
    }
    finish_headers(s, l, index, offset, offset + n == payload);
    *at = s;
    at = &s->next;
  }
  return first;
}

}  // namespace xm::os
