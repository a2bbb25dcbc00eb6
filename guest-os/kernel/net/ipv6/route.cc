// SPDX-License-Identifier: GPL-2.0-or-later
// IPv6 routes: a trie of prefixes with compressed paths; a prefix has routes by metric. The route is the destination
// that packets carry. Learnt path MTUs are routes to one host. GAP: one table; no policy rules, no multipath.
#include "kernel/init/printk.h"
#include "kernel/mm/slab.h"
#include "kernel/net/ipv6/ipv6.h"
#include "kernel/net/netlink/rtnetlink.h"
#include "kernel/sched/clock.h"

namespace xm::os {

Atomic<u32> rt6_genid{1};
list_head rt6_all;
constinit spinlock_t rt6_lock{LockRank::InetPeer};
void rt6_notify(const rt6_info* rt, u16 message);

namespace {

constexpr u32 kMaxExceptions = 512;
constexpr u64 kPmtuNs = 600 * kNsPerSec;

struct Node {
  in6_addr key;
  u8 bits = 0;
  Node* parent = nullptr;
  Node* child[2] = {};
  rt6_info* leaf = nullptr;
};
Node root;
u32 exceptions = 0;

u32 bit_at(const in6_addr& a, u32 i) { return a.bytes[i / 8] >> (7 - i % 8) & 1; }
u32 common_bits(const in6_addr& a, const in6_addr& b, u32 limit) {
  for (u32 w = 0; w < 4 && w * 32 < limit; ++w) {
    const u32 d = ntohl(a.words[w] ^ b.words[w]);
    if (d != 0) return min(w * 32 + static_cast<u32>(__builtin_clz(d)), limit);
  }
  return limit;
}

Node* new_node(const in6_addr& key, u32 bits, Node* parent) {
  void* p = kmalloc(sizeof(Node), GFP_ATOMIC);
  if (p == nullptr) return nullptr;
  Node* n = new (p) Node{};
  n->key = key;
  n->bits = static_cast<u8>(bits);
  n->parent = parent;
  return n;
}

Node* find_or_insert(const in6_addr& prefix, u32 bits) {
  Node* n = &root;
  for (;;) {
    if (n->bits == bits) return n;
    Node*& slot = n->child[bit_at(prefix, n->bits)];
    Node* c = slot;
    if (c == nullptr) return slot = new_node(prefix, bits, n);
    const u32 common = common_bits(c->key, prefix, min<u32>(c->bits, bits));
    if (common == c->bits) {
      n = c;
      continue;
    }
    Node* middle = new_node(prefix, common, n);
    if (middle == nullptr) return nullptr;
    middle->child[bit_at(c->key, common)] = c;
    c->parent = middle;
    slot = middle;
    n = middle;
  }
}

Node* find_exact(const in6_addr& prefix, u32 bits) {
  Node* n = &root;
  while (n != nullptr && n->bits < bits) n = n->child[bit_at(prefix, n->bits)];
  return n != nullptr && n->bits == bits && common_bits(n->key, prefix, bits) == bits ? n : nullptr;
}

void prune(Node* n) {
  while (n != &root && n->leaf == nullptr && (n->child[0] == nullptr || n->child[1] == nullptr)) {
    Node* parent = n->parent;
    Node* only = n->child[0] != nullptr ? n->child[0] : n->child[1];
    parent->child[parent->child[1] == n] = only;
    if (only != nullptr) only->parent = parent;
    kfree(n);
    n = parent;
  }
}

int discard(sk_buff* skb) {
  kfree_skb_reason(skb, SKB_DROP_IP_OUTNOROUTES);
  return -ENETUNREACH;
}
int no_route_in(sk_buff* skb) {
  if (skb->pkt_type == PACKET_HOST) icmpv6_send(skb, ICMPV6_DEST_UNREACH, ICMPV6_NOROUTE, 0);
  kfree_skb_reason(skb, SKB_DROP_IP_INNOROUTES);
  return 0;
}
int prohibited_in(sk_buff* skb) {
  icmpv6_send(skb, ICMPV6_DEST_UNREACH, ICMPV6_ADM_PROHIBITED, 0);
  kfree_skb_reason(skb, SKB_DROP_IP_INNOROUTES);
  return 0;
}

void destroy(dst_entry* d) {
  auto* rt = static_cast<rt6_info*>(d);
  dev_put(rt->dev);
  dev_put(rt->out);
  kfree(rt);
}
bool check(const dst_entry* d, u32 cookie) {
  return !static_cast<const rt6_info*>(d)->dead && cookie == rt6_genid.load();
}
u32 mtu_of(const dst_entry* d) {
  const auto* rt = static_cast<const rt6_info*>(d);
  if (rt->pmtu != 0) return rt->pmtu;
  if (rt->metric_mtu != 0) return rt->metric_mtu;
  const inet6_dev* idev = d->dev == nullptr ? nullptr : in6_dev_get(d->dev);
  return idev == nullptr ? kIpv6MinMtu : min(idev->mtu, d->dev->mtu);
}
u32 advmss_of(const dst_entry* d) {
  return d->metric_advmss != 0 ? d->metric_advmss : max(mtu_of(d), kIpv6MinMtu) - 60;
}
void update_pmtu(dst_entry*, const sk_buff* skb, u32 mtu) {
  if (skb != nullptr) rt6_pmtu_learn(ipv6_hdr(skb)->daddr, mtu);
}
void link_failure(sk_buff* skb) { icmpv6_send(skb, ICMPV6_DEST_UNREACH, ICMPV6_ADDR_UNREACH, 0); }

constinit const dst_ops ip6_dst_ops{10, destroy, check, mtu_of, advmss_of, update_pmtu, link_failure};
rt6_info null_route, group_route;

void set_handlers(rt6_info* rt) {
  rt->ops = &ip6_dst_ops;
  rt->input = rt->type == 2 /* RTN_LOCAL */ ? ip6_input : ip6_forward;
  rt->output = ip6_output;
  switch (rt->type) {
    case 6: rt->error = EINVAL; break;        // blackhole
    case 7: rt->error = EHOSTUNREACH; break;  // unreachable
    case 8: rt->error = EACCES; break;        // prohibit
    default: return;
  }
  rt->output = discard;
  rt->input = rt->type == 8 ? prohibited_in : rt->type == 7 ? no_route_in : discard;
}

void link_locked(Node* n, rt6_info* rt) {
  rt6_info** at = &n->leaf;
  while (*at != nullptr && (*at)->metric <= rt->metric) at = &(*at)->next;
  rt->next = *at;
  *at = rt;
  list_add_tail(&rt->all, &rt6_all);
  rt6_genid.inc();
}

bool usable(const rt6_info* rt, int oif, u64 now) {
  if (rt->expires != 0 && rt->expires <= now) return false;
  if (rt->out != nullptr && !netif_running(rt->out)) return false;
  return oif == 0 || rt->out == nullptr || rt->out->ifindex == oif;
}

rt6_info* allocate(const rt6_config& c) {
  void* p = kmalloc(sizeof(rt6_info), GFP_ATOMIC);
  if (p == nullptr) return nullptr;
  rt6_info* rt = new (p) rt6_info{};
  rt->prefix = c.prefix;
  rt->gateway = c.gateway;
  rt->prefixlen = c.prefixlen;
  rt->type = c.type;
  rt->protocol = c.protocol;
  rt->metric = c.metric;
  rt->table = c.table;
  rt->flags = RTF6_UP | c.flags | (c.gateway.any() ? 0 : RTF6_GATEWAY);
  rt->metric_mtu = c.mtu;
  rt->expires = c.expires;
  rt->out = c.dev;
  if (c.dev != nullptr) dev_hold(c.dev);
  rt->dev = c.type == 2 ? dev_get_by_index(1) : c.dev;
  if (c.type != 2 && c.dev != nullptr) dev_hold(c.dev);
  set_handlers(rt);
  return rt;
}

// Takes a route off; the caller drops the tree's reference.
void unlink_locked(rt6_info* rt) {
  Node* n = find_exact(rt->prefix, rt->prefixlen);
  if (n == nullptr) return;
  for (rt6_info** at = &n->leaf; *at != nullptr; at = &(*at)->next) {
    if (*at != rt) continue;
    *at = rt->next;
    break;
  }
  list_del(&rt->all);
  rt->dead = true;
  if ((rt->flags & RTF6_CACHE) != 0) --exceptions;
  prune(n);
  rt6_genid.inc();
}

void remove(rt6_info* rt) {  // unlinked already
  if ((rt->flags & RTF6_CACHE) == 0) rt6_notify(rt, RTM_DELROUTE);
  dst_release(rt);
}

}  // namespace

int ip6_route_add(const rt6_config& c, u32 nlflags) {
  if (c.prefixlen > 128 || (c.type == 1 && c.dev == nullptr)) return -EINVAL;
  rt6_info* rt = allocate(c);
  if (rt == nullptr) return -ENOMEM;
  rt6_info* old = nullptr;
  int error = 0;
  {
    BhGuard guard(rt6_lock);
    Node* n = find_or_insert(c.prefix, c.prefixlen);
    if (n == nullptr) error = -ENOMEM;
    for (rt6_info* o = error == 0 ? n->leaf : nullptr; o != nullptr; o = o->next) {
      if (o->metric != c.metric) continue;
      if ((nlflags & NLM_F_REPLACE) != 0) {
        old = o;
        break;
      }
      if ((nlflags & NLM_F_EXCL) != 0 || (o->out == c.dev && o->gateway == c.gateway)) error = -EEXIST;
    }
    if (error == 0) {
      rt->refcnt.inc();  // for the notification
      link_locked(n, rt);
      if (old != nullptr) unlink_locked(old);
    } else if (n != nullptr) {
      prune(n);
    }
  }
  if (error == 0) rt6_notify(rt, RTM_NEWROUTE);
  dst_release(rt);
  if (old != nullptr) remove(old);
  return error;
}

int ip6_route_del(const rt6_config& c) {
  rt6_info* found = nullptr;
  {
    BhGuard guard(rt6_lock);
    Node* n = find_exact(c.prefix, c.prefixlen);
    for (rt6_info* rt = n == nullptr ? nullptr : n->leaf; rt != nullptr && found == nullptr; rt = rt->next) {
      if ((c.metric == 0 || rt->metric == c.metric) && (c.dev == nullptr || rt->out == c.dev) &&
          (c.gateway.any() || rt->gateway == c.gateway) && (rt->type == 2) == (c.type == 2))
        found = rt;
    }
    if (found != nullptr) unlink_locked(found);
  }
  if (found == nullptr) return -ESRCH;
  remove(found);
  return 0;
}

namespace {
template <class Match>
void remove_matching(Match match) {
  for (;;) {
    rt6_info* found = nullptr;
    {
      BhGuard guard(rt6_lock);
      for (rt6_info* rt : entries<&rt6_info::all>(rt6_all)) {
        if (found == nullptr && match(rt)) found = rt;
      }
      if (found != nullptr) unlink_locked(found);
    }
    if (found == nullptr) return;
    remove(found);
  }
}
}  // namespace

void rt6_ifdown(net_device* dev) {
  remove_matching([dev](const rt6_info* rt) { return rt->out == dev; });
}
void rt6_age(u64 now) {
  remove_matching([now](const rt6_info* rt) { return rt->expires != 0 && rt->expires <= now; });
}

rt6_info* rt6_lookup(const in6_addr& daddr, int oif) {
  const u64 now = ktime_get();
  BhGuard guard(rt6_lock);
  Node* path[130];
  u32 depth = 0;
  for (Node* n = &root; n != nullptr && common_bits(n->key, daddr, n->bits) == n->bits;) {
    if (n->leaf != nullptr) path[depth++] = n;
    if (n->bits == 128) break;
    n = n->child[bit_at(daddr, n->bits)];
  }
  while (depth > 0) {
    for (rt6_info* rt = path[--depth]->leaf; rt != nullptr; rt = rt->next) {
      if (!usable(rt, oif, now)) continue;
      rt->refcnt.inc();
      return rt;
    }
  }
  return nullptr;
}

rt6_info* rt6_default_router(const in6_addr& gateway, net_device* dev) {
  BhGuard guard(rt6_lock);
  for (rt6_info* rt = root.leaf; rt != nullptr; rt = rt->next) {
    if (rt->out != dev || !(rt->gateway == gateway) || (rt->flags & RTF6_ADDRCONF) == 0) continue;
    rt->refcnt.inc();
    return rt;
  }
  return nullptr;
}

dst_entry* ip6_route_output(flowi6* fl) {
  rt6_info* rt = rt6_lookup(fl->daddr, fl->oif);
  if (rt == nullptr) return dst_hold(&null_route);
  if (fl->saddr.quads[0] == 0 && fl->saddr.quads[1] == 0) {
    if (rt->type == 2) {
      fl->saddr = fl->daddr;
    } else if (!ipv6_dev_get_saddr(rt->out, fl->daddr, &fl->saddr) && rt->error == 0) {
      dst_release(rt);
      return dst_hold(&null_route);
    }
  }
  return rt;
}

void ip6_route_input(sk_buff* skb) {
  const in6_addr daddr = ipv6_hdr(skb)->daddr;
  if (daddr.bytes[0] == 0xff) {
    skb->dst = dst_hold(ipv6_chk_mcast(skb->dev, daddr) ? &group_route : &null_route);
    return;
  }
  rt6_info* rt = rt6_lookup(daddr, daddr.linklocal() ? skb->dev->ifindex : 0);
  skb->dst = rt != nullptr ? rt : dst_hold(&null_route);
}

void rt6_pmtu_learn(const in6_addr& daddr, u32 mtu) {
  rt6_info* rt = rt6_lookup(daddr, 0);
  if (rt == nullptr) return;
  mtu = max(mtu, kIpv6MinMtu);
  if (mtu < mtu_of(rt) && rt->type == 1) {
    const u64 expires = ktime_get() + kPmtuNs;
    if ((rt->flags & RTF6_CACHE) != 0) {
      rt->pmtu = mtu;
      rt->expires = expires;
      rt6_genid.inc();
    } else if (exceptions < kMaxExceptions) {
      rt6_config c;
      c.prefix = daddr;
      c.prefixlen = 128;
      c.gateway = rt->gateway;
      c.protocol = rt->protocol;
      c.metric = 0;
      c.flags = RTF6_CACHE | RTF6_EXPIRES;
      c.expires = expires;
      c.dev = rt->out;
      if (rt6_info* own = allocate(c)) {
        own->pmtu = mtu;
        BhGuard guard(rt6_lock);
        Node* n = find_or_insert(c.prefix, 128);
        if (n != nullptr) {
          ++exceptions;
          link_locked(n, own);
        }
      }
    }
  }
  dst_release(rt);
}

void ipv6_route_init() {
  null_route.ops = group_route.ops = &ip6_dst_ops;
  null_route.error = ENETUNREACH;
  null_route.input = no_route_in;
  null_route.output = discard;
  group_route.input = ip6_input;
  group_route.output = discard;
  null_route.refcnt.inc();  // never go
  group_route.refcnt.inc();
}

}  // namespace xm::os
