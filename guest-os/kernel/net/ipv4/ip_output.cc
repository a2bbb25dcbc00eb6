// SPDX-License-Identifier: GPL-2.0-or-later
// IPv4 transmit: ip_queue_xmit (streams) and ip_make_skb (datagrams) build packets; ip_local_out, ip_output,
// ip_finish_output and ip_finish_output2 bring them to the neighbour. Packets larger than the path become fragments
// here. [RFC 791, 3.2]
#include "kernel/drivers/random.h"
#include "kernel/net/inet_sock.h"
#include "kernel/net/ip.h"
#include "kernel/net/neighbour.h"
#include "kernel/net/netfilter.h"
#include "kernel/net/route.h"
#include "kernel/net/snmp.h"

namespace xm::os {

s64 sysctl_ip_default_ttl = IPDEFTTL;

namespace {

Atomic<u32> ip_idents[256];

int ip_select_ttl(const inet_sock* inet) {
  return inet->uc_ttl >= 0 ? inet->uc_ttl : static_cast<int>(sysctl_ip_default_ttl);
}

// The link layer. lo has no neighbours: its header is the same for all.
int ip_finish_output2(sk_buff* skb) {
  net_device* dev = skb->dst->dev;
  const rtable* rt = skb_rtable(skb);
  if (rt->rt_type == RTN_MULTICAST) {
    IPEXT_ADD(IPEXT_OutMcastPkts, 1);
    IPEXT_ADD(IPEXT_OutMcastOctets, skb->len);
  } else if (rt->rt_type == RTN_BROADCAST) {
    IPEXT_ADD(IPEXT_OutBcastPkts, 1);
    IPEXT_ADD(IPEXT_OutBcastOctets, skb->len);
  }
  if (unlikely(skb_headroom(skb) < dev->hard_header_len + 2u) && skb_cow_head(skb, kMaxHeader) != 0) {
    kfree_skb_reason(skb, SKB_DROP_NOMEM);
    return -ENOMEM;
  }
  if ((dev->flags & IFF_LOOPBACK) != 0) {
    u8* eth = skb_push(skb, kEthHlen);
    memset(eth, 0, 12);
    put_unaligned<be16>(htons(ETH_P_IP), eth + 12);
    return dev_queue_xmit(skb);
  }
  if (dev->header == nullptr) return dev_queue_xmit(skb);
  const be32 nexthop = rt_nexthop(rt, ip_hdr(skb)->daddr);
  neighbour* n = neigh_lookup(&arp_tbl, &nexthop, dev);
  if (n == nullptr) n = neigh_create(&arp_tbl, &nexthop, dev);
  if (n == nullptr) {
    kfree_skb_reason(skb, SKB_DROP_NEIGH_QUEUEFULL);
    return -ENOBUFS;
  }
  const int result = neigh_output(n, skb);
  neigh_release(n);
  return result;
}

// Each segment of a GSO packet would fit by its own?
bool gso_fits(const sk_buff* skb, u32 mtu) {
  if (!skb_is_gso(skb)) return false;
  const u8* tcp = skb_transport_header(skb);
  const u32 transport = (skb_shinfo(skb)->gso_type & SKB_GSO_UDP_L4) != 0 ? 8 : (tcp[12] >> 4) * 4u;
  return ip_hdrlen(skb) + transport + skb_shinfo(skb)->gso_size <= mtu;
}

int ip_fragment(sk_buff* skb, u32 mtu) {
  const iphdr* h = ip_hdr(skb);
  if ((h->frag_off & htons(IP_DF)) == 0 || (IPCB(skb)->flags & IPSKB_FRAG) != 0)
    return ip_do_fragment(skb, ip_finish_output2);
  IP_INC(IPSTATS_FragFails);
  icmp_send(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, htonl(mtu));
  kfree_skb_reason(skb, SKB_DROP_PKT_TOO_SMALL);
  return -EMSGSIZE;
}

int ip_finish_output_gso(sk_buff* skb, u32 mtu) {
  sk_buff* segments = skb_gso_segment(skb);
  consume_skb(skb);
  int result = segments == nullptr ? -ENOMEM : 0;
  while (segments != nullptr) {
    sk_buff* next = segments->next;
    segments->next = nullptr;
    const int error = ip_fragment(segments, mtu);
    if (error != 0 && result == 0) result = error;
    segments = next;
  }
  return result;
}

int dst_output_hook(sk_buff* skb) { return dst_output(skb); }

}  // namespace

u32 ip_dst_mtu_maybe_forward(const sk_buff* skb, bool forwarding) {
  const rtable* rt = skb_rtable(skb);
  if (forwarding && !rt->mtu_locked) return min(read_once(rt->dev->mtu), rt->metric_mtu != 0 ? rt->metric_mtu : 65535u);
  return min(dst_mtu(rt), 65535u);
}

int ip_finish_output(sk_buff* skb) {
  const u32 mtu = ip_dst_mtu_maybe_forward(skb, (IPCB(skb)->flags & IPSKB_FORWARDED) != 0);
  if (likely(skb->len <= mtu) || gso_fits(skb, mtu)) return ip_finish_output2(skb);
  if (skb_is_gso(skb)) return ip_finish_output_gso(skb, mtu);
  return ip_fragment(skb, mtu);
}

int ip_output(sk_buff* skb) {
  net_device* dev = skb->dst->dev;
  IPEXT_ADD(IPEXT_OutOctets, skb->len);
  skb->dev = dev;
  skb->protocol = htons(ETH_P_IP);
  return NF_HOOK(NFPROTO_IPV4, NF_INET_POST_ROUTING, skb, nullptr, dev, ip_finish_output);
}

// To a group or all: members on this machine get a copy. [RFC 1112, 6.1]
int ip_mc_output(sk_buff* skb) {
  const rtable* rt = skb_rtable(skb);
  net_device* dev = rt->dev;
  skb->dev = dev;
  skb->protocol = htons(ETH_P_IP);
  const sock* sk = skb->sk;
  const bool wanted = (rt->rt_flags & RTCF_BROADCAST) != 0 || sk == nullptr || inet_sk(sk)->mc_loop;
  if (wanted && (rt->rt_flags & RTCF_LOCAL) != 0) {
    sk_buff* copy = skb_clone(skb, GFP_ATOMIC);
    if (copy != nullptr) {
      skb_reset_mac_header(copy);
      copy->pkt_type = PACKET_LOOPBACK;
      copy->ip_summed = CHECKSUM_UNNECESSARY;
      skb_dst_drop(copy);
      netif_rx(copy);
    }
  }
  if (ipv4_is_multicast(ip_hdr(skb)->daddr) && ip_hdr(skb)->ttl == 0) {
    consume_skb(skb);
    return 0;
  }
  return ip_output(skb);
}

int ip_local_out(sk_buff* skb) {
  iphdr* h = ip_hdr(skb);
  h->tot_len = htons(static_cast<u16>(skb->len));
  ip_send_check(h);
  skb->protocol = htons(ETH_P_IP);
  IP_INC(IPSTATS_OutRequests);
  return NF_HOOK(NFPROTO_IPV4, NF_INET_LOCAL_OUT, skb, nullptr, skb->dst->dev, dst_output_hook);
}

void ip_select_ident(iphdr* h, const sock* sk, u32 segments) {
  if ((h->frag_off & htons(IP_DF)) != 0) {  // atomic datagrams need none; a counter helps old receivers [RFC 6864, 4]
    const inet_sock* inet = sk == nullptr ? nullptr : inet_sk(sk);
    h->id = inet == nullptr || inet_daddr(inet) == 0
                ? 0
                : htons(static_cast<u16>(const_cast<inet_sock*>(inet)->inet_id.add(segments) - segments));
    return;
  }
  const u32 hash = h->daddr ^ h->saddr ^ h->daddr >> 16 ^ h->protocol;
  Atomic<u32>& counter = ip_idents[(hash ^ hash >> 8) & 255];
  if (counter.load() == 0) counter.store(static_cast<u32>(get_random_u64()));
  h->id = htons(static_cast<u16>(counter.add(segments) - segments));
}

int ip_queue_xmit(sock* sk, sk_buff* skb, u8 tos) {
  inet_sock* inet = inet_sk(sk);
  rtable* rt = skb_rtable(skb);
  if (rt == nullptr) {
    rt = static_cast<rtable*>(sk_dst_check(sk, 0));
    if (rt == nullptr) {
      flowi4 fl;
      fl.oif = sk->sk_bound_dev_if;
      fl.mark = sk->sk_mark;
      fl.tos = tos & IPTOS_RT_MASK;
      fl.proto = static_cast<u8>(sk->sk_protocol);
      fl.daddr = inet_daddr(inet);
      fl.saddr = inet->inet_saddr;
      fl.sport = inet->inet_sport;
      fl.dport = sk->sk_dport;
      const auto found = ip_route_output_flow(&fl, sk);
      if (!found.ok()) {
        IP_INC(IPSTATS_OutNoRoutes);
        kfree_skb_reason(skb, SKB_DROP_IP_OUTNOROUTES);
        return -EHOSTUNREACH;
      }
      rt = found.value();
      dst_hold(rt);
      sk_dst_set(sk, rt);
    }
    skb_dst_set(skb, rt);
  }
  skb_push(skb, sizeof(iphdr));
  skb_reset_network_header(skb);
  iphdr* h = ip_hdr(skb);
  h->version = 4;
  h->ihl = 5;
  h->tos = tos;
  const bool df = inet->pmtudisc == IP_PMTUDISC_DO || inet->pmtudisc == IP_PMTUDISC_PROBE ||
                  (inet->pmtudisc == IP_PMTUDISC_WANT && !rt->mtu_locked);
  h->frag_off = df ? htons(IP_DF) : 0;
  h->ttl = static_cast<u8>(ip_select_ttl(inet));
  h->protocol = static_cast<u8>(sk->sk_protocol);
  h->saddr = inet->inet_saddr;
  h->daddr = inet_daddr(inet);
  const u16 segs = skb_shinfo(skb)->gso_segs;
  ip_select_ident(h, sk, segs > 0 ? segs : 1);
  skb->priority = sk->sk_priority;
  skb->mark = sk->sk_mark;
  memset(skb->cb, 0, sizeof(inet_skb_parm));
  return ip_local_out(skb);
}

// Answers of a listening socket, resets: the header from what is given.
void ip_build_and_send_pkt(sk_buff* skb, const sock* sk, be32 saddr, be32 daddr, rtable* rt, u8 tos, u8 ttl) {
  skb_push(skb, sizeof(iphdr));
  skb_reset_network_header(skb);
  iphdr* h = ip_hdr(skb);
  h->version = 4;
  h->ihl = 5;
  h->tos = tos;
  h->ttl = ttl != 0 ? ttl : static_cast<u8>(sysctl_ip_default_ttl);
  h->saddr = saddr;
  h->daddr = daddr;
  h->protocol = IPPROTO_TCP;
  h->frag_off = htons(IP_DF);
  h->id = 0;
  if (sk != nullptr) {
    skb->priority = sk->sk_priority;
    if (skb->mark == 0) skb->mark = sk->sk_mark;
  }
  memset(skb->cb, 0, sizeof(inet_skb_parm));
  skb_dst_set(skb, rt);
  ip_local_out(skb);
}

// --- fragments out ---
namespace {
// Copies of options that do not belong into every fragment become NOOPs. [RFC 791, 3.1 "copied flag"]
void ip_options_fragment(u8* at, u32 left) {
  while (left > 0 && *at != IPOPT_END) {
    if (*at == IPOPT_NOOP) {
      ++at;
      --left;
      continue;
    }
    if (left < 2 || at[1] < 2 || at[1] > left) return;
    const u8 n = at[1];
    if ((*at & 0x80) == 0) memset(at, IPOPT_NOOP, n);
    at += n;
    left -= n;
  }
}
}  // namespace

int ip_do_fragment(sk_buff* skb, ip_output_func output) {
  if (skb->ip_summed == CHECKSUM_PARTIAL && skb_checksum_help(skb) != 0) {
    kfree_skb_reason(skb, SKB_DROP_SKB_CSUM);
    return -EINVAL;
  }
  const u32 hlen = ip_hdrlen(skb);
  u32 mtu = ip_dst_mtu_maybe_forward(skb, (IPCB(skb)->flags & IPSKB_FORWARDED) != 0);
  if (IPCB(skb)->frag_max_size != 0) mtu = min<u32>(mtu, IPCB(skb)->frag_max_size);
  if (mtu < hlen + 8) {
    kfree_skb_reason(skb, SKB_DROP_PKT_TOO_SMALL);
    return -EMSGSIZE;
  }
  const u32 step = (mtu - hlen) & ~7u;
  const u32 base = (ntohs(ip_hdr(skb)->frag_off) & IP_OFFSET) * 8u;
  const bool more_after = (ip_hdr(skb)->frag_off & htons(IP_MF)) != 0;
  const u32 total = skb->len - hlen;
  int result = 0;
  for (u32 at = 0; at < total && result == 0; at += step) {
    const u32 n = min(step, total - at);
    sk_buff* f = alloc_skb(kMaxHeader + hlen + n, GFP_ATOMIC);
    if (f == nullptr) {
      result = -ENOMEM;
      break;
    }
    skb_reserve(f, kMaxHeader);
    f->priority = skb->priority;
    f->mark = skb->mark;
    f->protocol = skb->protocol;
    f->dev = skb->dev;
    skb_dst_set(f, dst_hold(skb->dst));
    memcpy(f->cb, skb->cb, sizeof f->cb);
    skb_reset_network_header(f);
    memcpy(skb_put(f, hlen), skb_network_header(skb), hlen);
    f->transport_header = f->network_header + hlen;
    if (skb_copy_bits(skb, hlen + at, skb_put(f, n), n) != 0) {
      consume_skb(f);
      result = -EFAULT;
      break;
    }
    if (skb->sk != nullptr) skb_set_owner_w(f, skb->sk);
    iphdr* h = ip_hdr(f);
    if (at > 0) ip_options_fragment(reinterpret_cast<u8*>(h + 1), hlen - static_cast<u32>(sizeof(iphdr)));
    u16 off = static_cast<u16>((base + at) / 8);
    if (at + n < total || more_after) off |= IP_MF;
    h->frag_off = htons(off);
    h->tot_len = htons(static_cast<u16>(hlen + n));
    ip_send_check(h);
    result = output(f);
    if (result == 0) IP_INC(IPSTATS_FragCreates);
  }
  if (result == 0) {
    IP_INC(IPSTATS_FragOKs);
    consume_skb(skb);
  } else {
    IP_INC(IPSTATS_FragFails);
    kfree_skb_reason(skb, SKB_DROP_NOMEM);
  }
  return result > 0 ? 0 : result;
}

// --- datagrams ---
// One packet for a datagram, large ones with pages.
sk_buff* ip_make_skb(sock* sk, iov_iter* from, u32 length, u32 transhdrlen, rtable*, const ipcm_cookie*, u32 flags,
                     int* error) {
  const u32 linear = min(length, 4000u - kMaxHeader - transhdrlen);
  sk_buff* skb =
      sock_alloc_send_skb(sk, kMaxHeader + transhdrlen + linear, length - linear, (flags & MSG_DONTWAIT) != 0, error);
  if (skb == nullptr) return nullptr;
  skb_reserve(skb, kMaxHeader);
  if (skb_shinfo(skb)->nr_frags > 0) {  // added before there was linear data: the header goes before them
    skb->tail += transhdrlen + linear;
    skb->len += transhdrlen + linear;
  } else {
    skb_put(skb, transhdrlen + linear);
  }
  skb_reset_transport_header(skb);
  *error = -EFAULT;
  if (skb_copy_datagram_from_iter(skb, transhdrlen, from, length) != 0) {
    consume_skb(skb);
    return nullptr;
  }
  *error = 0;
  return skb;
}

int ip_push_header(sock* sk, sk_buff* skb, const flowi4* fl, rtable* rt, const ipcm_cookie* c, u8 protocol) {
  inet_sock* inet = inet_sk(sk);
  skb_push(skb, sizeof(iphdr));
  skb_reset_network_header(skb);
  skb->transport_header = skb->network_header + static_cast<u32>(sizeof(iphdr));
  iphdr* h = ip_hdr(skb);
  h->version = 4;
  h->ihl = 5;
  h->tos = c->tos >= 0 ? static_cast<u8>(c->tos) : inet->tos;
  const u32 mtu = dst_mtu(rt);
  const bool df = inet->pmtudisc >= IP_PMTUDISC_DO
                      ? inet->pmtudisc != IP_PMTUDISC_INTERFACE && inet->pmtudisc != IP_PMTUDISC_OMIT
                      : inet->pmtudisc == IP_PMTUDISC_WANT && skb->len <= mtu && !rt->mtu_locked;
  h->frag_off = df ? htons(IP_DF) : 0;
  h->ttl = c->ttl != 0 ? static_cast<u8>(c->ttl)
                       : (rt->rt_type == RTN_MULTICAST ? inet->mc_ttl : static_cast<u8>(ip_select_ttl(inet)));
  h->protocol = protocol;
  h->saddr = fl->saddr;
  h->daddr = fl->daddr;
  ip_select_ident(h, sk, 1);
  skb->priority = c->priority;
  skb->mark = c->mark;
  memset(skb->cb, 0, sizeof(inet_skb_parm));
  skb_dst_set(skb, dst_hold(rt));
  return 0;
}

int ip_send_skb(sk_buff* skb) {
  const int error = ip_local_out(skb);
  if (error <= 0) return error;
  IP_INC(IPSTATS_OutDiscards);  // a queue below was full
  return error == NET_XMIT_CN ? 0 : -ENOBUFS;
}

}  // namespace xm::os
