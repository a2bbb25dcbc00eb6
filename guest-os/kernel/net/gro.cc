// SPDX-License-Identifier: GPL-2.0-or-later
// Generic receive offload: TCP segments of one flow that come one after the other in a poll are joined into one packet,
// so that IP and TCP work once for many. What was joined can be cut again by gso_size when it is forwarded.
#include "kernel/net/netdevice.h"
#include "kernel/net/skb_walk.h"

namespace xm::os {
namespace {

constexpr u32 kMaxHeld = 8, kMaxLength = 65535;
constexpr u8 kTcp = 6, kAck = 0x10, kPsh = 8;

struct GroCb {  // in skb->cb while the packet is held
  sk_buff* tail;
  u32 next_seq;  // host order
  u16 segments, size, network_length, tcp_length;
};
GroCb* cb_of(sk_buff* skb) { return reinterpret_cast<GroCb*>(skb->cb); }

u16 load16(const u8* p) { return static_cast<u16>(p[0] << 8 | p[1]); }
u32 load32(const u8* p) { return static_cast<u32>(load16(p)) << 16 | load16(p + 2); }
u8* network(sk_buff* skb) { return skb->data; }
u8* transport(sk_buff* skb) { return skb->data + cb_of(skb)->network_length; }
bool is_v4(sk_buff* skb) { return cb_of(skb)->network_length == 20; }

// Is it a plain data segment? Fills in the notes; the sum has been checked when it says yes.
bool joinable(sk_buff* skb) {
  if (skb->pkt_type != PACKET_HOST || skb_is_gso(skb) || skb->vlan_present || skb_shinfo(skb)->frag_list != nullptr)
    return false;
  const bool v4 = skb->protocol == htons(ETH_P_IP), v6 = skb->protocol == htons(ETH_P_IPV6);
  const u32 header = v4 ? 20 : 40;
  if ((!v4 && !v6) || !pskb_may_pull(skb, header + 20)) return false;
  const u8* ip = skb->data;
  u32 length;
  if (v4) {
    if (ip[0] != 0x45 || ip[9] != kTcp || (load16(ip + 6) & 0x3fff) != 0 || ip_fast_csum(ip, 5) != 0) return false;
    length = load16(ip + 2);
  } else {
    if (ip[0] >> 4 != 6 || ip[6] != kTcp) return false;
    length = load16(ip + 4) + 40u;
  }
  const u8* th = ip + header;
  const u32 tcp = (th[12] >> 4) * 4u;
  if (tcp < 20 || length > skb->len || length <= header + tcp || (th[13] & ~(kAck | kPsh)) != 0 || (th[13] & kAck) == 0)
    return false;
  if (!pskb_may_pull(skb, header + tcp) || pskb_trim(skb, length) != 0) return false;
  ip = skb->data;
  if (skb->ip_summed == CHECKSUM_NONE) {
    const u32 sum = skb_checksum(skb, header, length - header, 0);
    const u16 folded =
        v4 ? csum_tcpudp_magic(get_unaligned<u32>(ip + 12), get_unaligned<u32>(ip + 16), length - header, kTcp, sum)
           : csum_ipv6_magic(ip + 8, ip + 24, length - header, kTcp, sum);
    if (folded != 0) return false;
    skb->ip_summed = CHECKSUM_UNNECESSARY;
  }
  if (skb->ip_summed != CHECKSUM_UNNECESSARY && skb->ip_summed != CHECKSUM_PARTIAL) return false;
  const u32 payload = length - header - tcp;
  *cb_of(skb) = {nullptr,
                 load32(ip + header + 4) + payload,
                 1,
                 static_cast<u16>(payload),
                 static_cast<u16>(header),
                 static_cast<u16>(tcp)};
  return true;
}

bool same_flow(sk_buff* a, sk_buff* b) {
  if (a->protocol != b->protocol || a->dev != b->dev) return false;
  const u32 at = is_v4(a) ? 12 : 8, n = is_v4(a) ? 8 : 32;
  return memcmp(network(a) + at, network(b) + at, n) == 0 && memcmp(transport(a), transport(b), 4) == 0;
}

// Everything but lengths, sums, identification, sequence number and PSH must be equal.
bool continues(sk_buff* held, sk_buff* skb) {
  const GroCb *h = cb_of(held), *s = cb_of(skb);
  if (h->tcp_length != s->tcp_length || load32(transport(skb) + 4) != h->next_seq) return false;
  const u8 *a = network(held), *b = network(skb), *ta = transport(held), *tb = transport(skb);
  const bool headers = is_v4(held) ? a[1] == b[1] && a[8] == b[8] && (a[6] & 0x40) == (b[6] & 0x40)
                                   : memcmp(a, b, 4) == 0 && a[7] == b[7];
  if (!headers || memcmp(ta + 8, tb + 8, 4) != 0 || memcmp(ta + 20, tb + 20, h->tcp_length - 20u) != 0) return false;
  return s->size <= h->size && held->len + s->size <= kMaxLength && memcmp(ta + 14, tb + 14, 2) == 0;
}

void join(sk_buff* held, sk_buff* skb) {
  GroCb* h = cb_of(held);
  const GroCb s = *cb_of(skb);
  transport(held)[13] |= transport(skb)[13] & kPsh;
  skb_pull(skb, s.network_length + static_cast<u32>(s.tcp_length));
  skb->next = nullptr;
  (h->tail == nullptr ? skb_shinfo(held)->frag_list : h->tail->next) = skb;
  h->tail = skb;
  h->next_seq = s.next_seq;
  ++h->segments;
  held->len += skb->len;
  held->data_len += skb->len;
  held->truesize += skb->truesize;
}

// Gives a held packet to the stack, its headers made those of one large segment.
void complete(sk_buff* skb) {
  const GroCb cb = *cb_of(skb);
  if (cb.segments > 1) {
    u8 *ip = network(skb), *th = transport(skb);
    const u32 length = skb->len, tcp = length - cb.network_length;
    u16 sum;
    if (is_v4(skb)) {
      ip[2] = static_cast<u8>(length >> 8);
      ip[3] = static_cast<u8>(length);
      ip[10] = ip[11] = 0;
      const u16 check = ip_fast_csum(ip, 5);
      memcpy(ip + 10, &check, 2);
      sum =
          static_cast<u16>(~csum_tcpudp_magic(get_unaligned<u32>(ip + 12), get_unaligned<u32>(ip + 16), tcp, kTcp, 0));
    } else {
      ip[4] = static_cast<u8>((length - 40) >> 8);
      ip[5] = static_cast<u8>(length - 40);
      sum = static_cast<u16>(~csum_ipv6_magic(ip + 8, ip + 24, tcp, kTcp, 0));
    }
    memcpy(th + 16, &sum, 2);
    skb->ip_summed = CHECKSUM_PARTIAL;
    skb->csum_start = static_cast<u16>(skb_headroom(skb) + cb.network_length);
    skb->csum_offset = 16;
    skb_shared_info* info = skb_shinfo(skb);
    info->gso_size = cb.size;
    info->gso_segs = cb.segments;
    info->gso_type = is_v4(skb) ? SKB_GSO_TCPV4 : SKB_GSO_TCPV6;
  }
  memset(skb->cb, 0, sizeof(GroCb));
  netif_receive_skb(skb);
}

void unlink(napi_struct* n, sk_buff** at) {
  sk_buff* skb = *at;
  *at = skb->next;
  skb->next = nullptr;
  --n->gro_count;
}

}  // namespace

void napi_gro_receive(napi_struct* n, sk_buff* skb) {
  if ((skb->dev->features & NETIF_F_GRO) == 0 || skb_cloned(skb)) {
    netif_receive_skb(skb);
    return;
  }
  const bool plain = joinable(skb);
  for (sk_buff** at = &n->gro_list; plain && *at != nullptr; at = &(*at)->next) {
    sk_buff* held = *at;
    if (!same_flow(held, skb)) continue;
    if (!continues(held, skb)) {  // the order of the flow is kept
      unlink(n, at);
      complete(held);
      break;
    }
    const bool last = cb_of(skb)->size < cb_of(held)->size || (transport(skb)[13] & kPsh) != 0;
    join(held, skb);
    if (last || held->len + cb_of(held)->size > kMaxLength) {
      unlink(n, at);
      complete(held);
    }
    return;
  }
  if (!plain) {
    // What cannot be joined (an acknowledgement, the end of the flow) must not overtake what is held.
    if (skb->protocol == htons(ETH_P_IP) || skb->protocol == htons(ETH_P_IPV6)) napi_gro_flush(n);
    memset(skb->cb, 0, sizeof(GroCb));
    netif_receive_skb(skb);
    return;
  }
  if ((transport(skb)[13] & kPsh) != 0) {
    complete(skb);
    return;
  }
  if (n->gro_count >= kMaxHeld) napi_gro_flush(n);
  sk_buff** at = &n->gro_list;
  while (*at != nullptr) at = &(*at)->next;
  skb->next = nullptr;
  *at = skb;
  ++n->gro_count;
}

void napi_gro_flush(napi_struct* n) {
  while (n->gro_list != nullptr) {
    sk_buff* skb = n->gro_list;
    unlink(n, &n->gro_list);
    complete(skb);
  }
}

}  // namespace xm::os
