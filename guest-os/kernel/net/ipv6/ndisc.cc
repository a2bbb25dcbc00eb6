// SPDX-License-Identifier: GPL-2.0-or-later
// Neighbour discovery [RFC 4861]: solicitations and advertisements of neighbours and routers, redirects.
#include "kernel/net/ipv6/ipv6.h"
#include "kernel/sched/clock.h"

namespace xm::os {

extern neigh_table* nd_table;

namespace {

constexpr u8 kSourceLladdr = 1, kTargetLladdr = 2, kPrefixInfo = 3, kMtu = 5;
constexpr u32 kRouterFlag = 0x80000000, kSolicitedFlag = 0x40000000, kOverrideFlag = 0x20000000;

in6_addr key_of(const neighbour* n) {
  in6_addr a;
  memcpy(&a, n->primary_key, 16);
  return a;
}

int constructor(neighbour* n) {
  const net_device* dev = n->dev;
  const in6_addr key = key_of(n);
  if (dev->header == nullptr) {
    n->nud_state = NUD_NOARP;
  } else if (key.bytes[0] == 0xff) {
    n->nud_state = NUD_NOARP;
    ndisc_constructor_map(key, n->ha);
  } else if ((dev->flags & (IFF_NOARP | IFF_LOOPBACK)) != 0) {
    n->nud_state = NUD_NOARP;
    memcpy(n->ha, dev->dev_addr, dev->addr_len);
  } else if ((dev->flags & IFF_POINTOPOINT) != 0) {
    n->nud_state = NUD_NOARP;
    memcpy(n->ha, dev->broadcast, dev->addr_len);
  }
  return 0;
}

void solicit(neighbour* n, sk_buff* skb) {
  bool unicast;
  {
    BhGuard guard(n->lock);
    unicast = n->probes <= n->tbl->ucast_probes && (n->nud_state & NUD_VALID) != 0;
  }
  const in6_addr target = key_of(n);
  in6_addr saddr;
  bool own = false;
  if (skb != nullptr && skb->len >= 40 && skb_copy_bits(skb, 8, &saddr, 16) == 0)
    own = ipv6_chk_addr(saddr, n->dev, false);
  ndisc_send_ns(n->dev, target, unicast ? target : ipv6_solicited_node(target), own ? &saddr : nullptr);
}

void error_report(neighbour*, sk_buff* skb) {
  if (skb->dst != nullptr && skb->dst->ops->link_failure != nullptr) skb->dst->ops->link_failure(skb);
  kfree_skb_reason(skb, SKB_DROP_NEIGH_FAILED);
}

// Options of a message: type, length in units of 8 bytes. False: one is malformed. [4.6]
struct Options {
  const u8* source = nullptr;  // link-layer addresses
  const u8* target = nullptr;
  const u8* mtu = nullptr;
  const u8* prefixes[8] = {};
  u32 prefix_count = 0;
};
bool parse_options(const u8* at, u32 length, u32 addr_len, Options* o) {
  while (length >= 2) {
    const u32 n = at[1] * 8u;
    if (n == 0 || n > length) return false;
    if (at[0] == kSourceLladdr && n >= 2 + addr_len) o->source = at + 2;
    if (at[0] == kTargetLladdr && n >= 2 + addr_len) o->target = at + 2;
    if (at[0] == kMtu && n == 8) o->mtu = at;
    if (at[0] == kPrefixInfo && n == 32 && o->prefix_count < 8) o->prefixes[o->prefix_count++] = at;
    at += n;
    length -= n;
  }
  return true;
}

void recv_ns(sk_buff* skb) {
  net_device* dev = skb->dev;
  const ipv6hdr* h = ipv6_hdr(skb);
  Options o;
  if (skb->len < 24 || !parse_options(skb->data + 24, skb->len - 24, dev->addr_len, &o)) return;
  in6_addr target;
  memcpy(&target, skb->data + 8, 16);
  const bool dad = h->saddr.quads[0] == 0 && h->saddr.quads[1] == 0;
  if (target.bytes[0] == 0xff || (dad && (o.source != nullptr || h->daddr.bytes[0] != 0xff))) return;
  inet6_ifaddr* ifa = ipv6_get_ifaddr(target, dev);
  if (ifa == nullptr) return;
  const bool tentative = (ifa->flags & IFA6_TENTATIVE) != 0;
  if (tentative) {
    if (dad) addrconf_dad_failure(ifa);  // somebody tries the same address at the same time [RFC 4862, 5.4.3]
  } else if (dad) {
    ndisc_send_na(dev, ipv6_make(0xff020000, 0, 0, 1), target, ipv6_all.forwarding != 0, false, true);
  } else {
    if (o.source != nullptr) {
      if (neighbour* n = neigh_create(&nd_tbl, &h->saddr, dev)) {
        neigh_update(n, o.source, NUD_STALE, NEIGH_UPDATE_F_OVERRIDE | NEIGH_UPDATE_F_WEAK_OVERRIDE);
        neigh_release(n);
      }
    }
    ndisc_send_na(dev, h->saddr, target, ipv6_all.forwarding != 0, true, h->daddr.bytes[0] == 0xff);
  }
  in6_ifa_put(ifa);
}

void recv_na(sk_buff* skb) {
  net_device* dev = skb->dev;
  Options o;
  if (skb->len < 24 || !parse_options(skb->data + 24, skb->len - 24, dev->addr_len, &o)) return;
  const u32 flags = ntohl(get_unaligned<be32>(skb->data + 4));
  in6_addr target;
  memcpy(&target, skb->data + 8, 16);
  if (target.bytes[0] == 0xff || ((flags & kSolicitedFlag) != 0 && ipv6_hdr(skb)->daddr.bytes[0] == 0xff)) return;
  if (inet6_ifaddr* ifa = ipv6_get_ifaddr(target, dev)) {
    if ((ifa->flags & IFA6_TENTATIVE) != 0) addrconf_dad_failure(ifa);
    in6_ifa_put(ifa);
    return;
  }
  neighbour* n = neigh_lookup(&nd_tbl, &target, dev);
  if (n == nullptr) return;
  const u32 update = NEIGH_UPDATE_F_WEAK_OVERRIDE | ((flags & kOverrideFlag) != 0 ? NEIGH_UPDATE_F_OVERRIDE : 0u) |
                     NEIGH_UPDATE_F_OVERRIDE_ISROUTER | ((flags & kRouterFlag) != 0 ? NEIGH_UPDATE_F_ISROUTER : 0u);
  if (o.target != nullptr || (n->nud_state & NUD_VALID) != 0)
    neigh_update(n, o.target, (flags & kSolicitedFlag) != 0 ? NUD_REACHABLE : NUD_STALE, update);
  neigh_release(n);
}

void recv_rs(sk_buff* skb) {
  Options o;
  const ipv6hdr* h = ipv6_hdr(skb);
  if (skb->len < 8 || !parse_options(skb->data + 8, skb->len - 8, skb->dev->addr_len, &o)) return;
  if (o.source == nullptr || (h->saddr.quads[0] == 0 && h->saddr.quads[1] == 0)) return;
  if (neighbour* n = neigh_create(&nd_tbl, &h->saddr, skb->dev)) {
    neigh_update(n, o.source, NUD_STALE, NEIGH_UPDATE_F_OVERRIDE | NEIGH_UPDATE_F_WEAK_OVERRIDE);
    neigh_release(n);
  }
}

void default_router(net_device* dev, const in6_addr& router, u32 lifetime) {
  rt6_info* rt = rt6_default_router(router, dev);
  if (rt != nullptr && lifetime != 0) {
    rt->expires = ktime_get() + lifetime * kNsPerSec;
    dst_release(rt);
    return;
  }
  rt6_config c;
  c.gateway = router;
  c.protocol = 9;  // RTPROT_RA
  c.dev = dev;
  c.flags = RTF6_ADDRCONF | RTF6_EXPIRES;
  if (rt != nullptr) {
    dst_release(rt);
    ip6_route_del(c);
  } else if (lifetime != 0) {
    c.expires = ktime_get() + lifetime * kNsPerSec;
    ip6_route_add(c, 0);
  }
}

// [6.3.4], [RFC 4862, 5.5.3]
void recv_ra(sk_buff* skb) {
  net_device* dev = skb->dev;
  inet6_dev* idev = in6_dev_get(dev);
  const in6_addr router = ipv6_hdr(skb)->saddr;
  Options o;
  if (skb->len < 16 || !router.linklocal() || !parse_options(skb->data + 16, skb->len - 16, dev->addr_len, &o)) return;
  if (idev == nullptr || idev->accept_ra == 0 || (ipv6_all.forwarding != 0 && idev->accept_ra < 2)) return;
  idev->rs_left = 0;
  if (skb->data[4] != 0) idev->hop_limit = skb->data[4];
  default_router(dev, router, static_cast<u32>(skb->data[6] << 8 | skb->data[7]));
  if (o.source != nullptr) {
    if (neighbour* n = neigh_create(&nd_tbl, &router, dev)) {
      neigh_update(n, o.source, NUD_STALE,
                   NEIGH_UPDATE_F_OVERRIDE | NEIGH_UPDATE_F_WEAK_OVERRIDE | NEIGH_UPDATE_F_OVERRIDE_ISROUTER |
                       NEIGH_UPDATE_F_ISROUTER);
      neigh_release(n);
    }
  }
  if (o.mtu != nullptr) {
    const u32 mtu = ntohl(get_unaligned<be32>(o.mtu + 4));
    if (mtu >= kIpv6MinMtu && mtu <= dev->mtu) idev->mtu = mtu;
  }
  for (u32 i = 0; i < o.prefix_count; ++i) {
    const u8* p = o.prefixes[i];
    ra_prefix info;
    memcpy(&info.prefix, p + 16, 16);
    info.length = p[2];
    info.onlink = (p[3] & 0x80) != 0;
    info.autonomous = (p[3] & 0x40) != 0;
    info.valid = ntohl(get_unaligned<be32>(p + 4));
    info.preferred = ntohl(get_unaligned<be32>(p + 8));
    if (info.length <= 128 && info.preferred <= info.valid && !info.prefix.linklocal() && info.prefix.bytes[0] != 0xff)
      addrconf_prefix_received(dev, info);
  }
}

}  // namespace

neigh_table nd_tbl{.family = 10,
                   .key_len = 16,
                   .id = "ndisc_cache",
                   .constructor = constructor,
                   .solicit = solicit,
                   .error_report = error_report};

bool ndisc_constructor_map(const in6_addr& group, u8* mac) {  // [RFC 2464, 7]
  mac[0] = mac[1] = 0x33;
  memcpy(mac + 2, group.bytes + 12, 4);
  return true;
}

void ndisc_send_ns(net_device* dev, const in6_addr& target, const in6_addr& daddr, const in6_addr* saddr) {
  in6_addr source;
  if (saddr != nullptr) {
    source = *saddr;
  } else if (!ipv6_get_lladdr(dev, &source, false)) {
    ipv6_dev_get_saddr(dev, target, &source);
  }
  u8 body[32]{};
  u32 length = 24;
  body[0] = NDISC_NEIGHBOUR_SOLICITATION;
  memcpy(body + 8, &target, 16);
  const bool unspecified = source.quads[0] == 0 && source.quads[1] == 0;
  if (!unspecified && dev->addr_len == kEthAlen) {
    body[24] = kSourceLladdr;
    body[25] = 1;
    memcpy(body + 26, dev->dev_addr, kEthAlen);
    length = 32;
  }
  icmpv6_send_message(dev, source, daddr, body, length, false);
}

void ndisc_send_na(net_device* dev, const in6_addr& daddr, const in6_addr& target, bool router, bool solicited,
                   bool override_flag) {
  u8 body[32]{};
  body[0] = NDISC_NEIGHBOUR_ADVERTISEMENT;
  const u32 flags = (router ? kRouterFlag : 0) | (solicited ? kSolicitedFlag : 0) | (override_flag ? kOverrideFlag : 0);
  put_unaligned(htonl(flags), body + 4);
  memcpy(body + 8, &target, 16);
  body[24] = kTargetLladdr;
  body[25] = 1;
  memcpy(body + 26, dev->dev_addr, kEthAlen);
  icmpv6_send_message(dev, target, daddr, body, dev->addr_len == kEthAlen ? 32 : 24, false);
}

void ndisc_send_rs(net_device* dev) {
  in6_addr source;
  u8 body[16]{};
  body[0] = NDISC_ROUTER_SOLICITATION;
  const bool has = ipv6_get_lladdr(dev, &source, false);
  body[8] = kSourceLladdr;
  body[9] = 1;
  memcpy(body + 10, dev->dev_addr, kEthAlen);
  icmpv6_send_message(dev, source, ipv6_make(0xff020000, 0, 0, 2), body, has && dev->addr_len == kEthAlen ? 16 : 8,
                      false);
}

void ndisc_rcv(sk_buff* skb) {
  // What crossed a router has a smaller hop limit [6.1.1].
  if (skb_linearize(skb) == 0 && ipv6_hdr(skb)->hop_limit == 255 && icmp6_hdr(skb)->code == 0) {
    switch (icmp6_hdr(skb)->type) {
      case NDISC_NEIGHBOUR_SOLICITATION: recv_ns(skb); break;
      case NDISC_NEIGHBOUR_ADVERTISEMENT: recv_na(skb); break;
      case NDISC_ROUTER_SOLICITATION: recv_rs(skb); break;
      case NDISC_ROUTER_ADVERTISEMENT: recv_ra(skb); break;
      default: break;  // GAP: redirects are not followed
    }
  }
  consume_skb(skb);
}

void ipv6_ndisc_init() {
  neigh_table_init(&nd_tbl);
  nd_table = &nd_tbl;
}

}  // namespace xm::os
