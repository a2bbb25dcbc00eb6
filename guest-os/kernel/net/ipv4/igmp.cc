// SPDX-License-Identifier: GPL-2.0-or-later
// Multicast: which groups a device and a socket belong to, and IGMPv2 that tells routers of it. [RFC 1112], [RFC 2236]
// GAP: IGMPv3 reports; routers that speak version 3 understand version 2.
#include "kernel/drivers/random.h"
#include "kernel/mm/slab.h"
#include "kernel/net/inet_sock.h"
#include "kernel/net/ip.h"
#include "kernel/net/route.h"
#include "kernel/sched/clock.h"

namespace xm::os {

struct ip_mc_list {
  ip_mc_list* next = nullptr;
  in_device* in = nullptr;
  be32 multiaddr = 0;
  u32 users = 0;
  Atomic<s32> refcnt{1};
  timer_list timer;
  bool reporter = false;
  u32 unsolicited = 0;
};
constexpr u32 kMaxSources = 10;  // net.ipv4.igmp_max_msf
struct ip_mc_socklist {
  ip_mc_socklist* next = nullptr;
  be32 group = 0, local = 0;
  int ifindex = 0;
  bool include = false;
  u32 nr_sources = 0;
  be32 sources[kMaxSources] = {};
};

namespace {

constexpr be32 kAllHosts = 0x010000e0;  // 224.0.0.1 in network order
constexpr be32 kAllRouters = 0x020000e0;
constexpr u8 kQuery = 0x11, kReportV1 = 0x12, kReportV2 = 0x16, kLeave = 0x17;
constexpr u64 kUnsolicitedInterval = 10 * kNsPerSec;
struct igmphdr {
  u8 type, code;
  u16 csum;
  be32 group;
};

void ether_group(be32 group, u8* mac) {  // [RFC 1112, 6.4]
  const u32 g = ntohl(group);
  const u8 m[6] = {1, 0, 0x5e, static_cast<u8>(g >> 16 & 0x7f), static_cast<u8>(g >> 8), static_cast<u8>(g)};
  memcpy(mac, m, sizeof m);
}

void mc_put(ip_mc_list* m) {
  if (!m->refcnt.dec_and_test()) return;
  timer_shutdown(&m->timer);
  kdelete(m);
}

void igmp_send(net_device* dev, u8 type, be32 group) {
  const be32 to = type == kLeave ? kAllRouters : group;
  flowi4 fl;
  fl.oif = dev->ifindex;
  fl.daddr = to;
  fl.proto = IPPROTO_IGMP;
  const auto rt = ip_route_output_key(&fl);
  if (!rt.ok()) return;
  sk_buff* skb = alloc_skb(kMaxHeader + sizeof(igmphdr), GFP_ATOMIC);
  if (skb == nullptr) {
    ip_rt_put(rt.value());
    return;
  }
  skb_reserve(skb, kMaxHeader);
  igmphdr* h = reinterpret_cast<igmphdr*>(skb_put(skb, sizeof(igmphdr)));
  *h = {type, 0, 0, group};
  h->csum = csum_fold(csum_partial(h, sizeof *h, 0));
  constexpr u8 kRouterAlert[4] = {IPOPT_RA, 4, 0, 0};  // [RFC 2236, 2]
  memcpy(skb_push(skb, 4), kRouterAlert, 4);
  skb_push(skb, sizeof(iphdr));
  skb_reset_network_header(skb);
  skb->transport_header = skb->network_header + 24;
  iphdr* ip = ip_hdr(skb);
  memset(ip, 0, sizeof *ip);
  ip->version = 4;
  ip->ihl = 6;
  ip->tos = 0xc0;
  ip->frag_off = htons(IP_DF);
  ip->ttl = 1;
  ip->protocol = IPPROTO_IGMP;
  ip->saddr = fl.saddr;
  ip->daddr = to;
  memset(skb->cb, 0, sizeof(inet_skb_parm));
  skb_dst_set(skb, rt.value());
  ip_local_out(skb);
}

void start_timer(ip_mc_list* m, u64 max_delay) {
  m->refcnt.inc();  // before: it may fire at once
  if (mod_timer(&m->timer, ktime_get() + 1 + get_random_u64() % max<u64>(max_delay, 1))) m->refcnt.sub(1);
}

void igmp_timer_expire(timer_list* t) {
  ip_mc_list* m = container_of(t, ip_mc_list, timer);
  net_device* dev = m->in->dev;
  if (netif_running(dev)) {
    m->reporter = true;
    igmp_send(dev, kReportV2, m->multiaddr);
    if (m->unsolicited > 0) {
      --m->unsolicited;
      start_timer(m, kUnsolicitedInterval);
    }
  }
  mc_put(m);
}

bool reported(be32 group, const net_device* dev) { return group != kAllHosts && (dev->flags & IFF_LOOPBACK) == 0; }

void group_added(ip_mc_list* m) {
  u8 mac[6];
  ether_group(m->multiaddr, mac);
  if (m->in->dev->type == ARPHRD_ETHER) dev_mc_add(m->in->dev, mac);
  if (!reported(m->multiaddr, m->in->dev)) return;
  m->unsolicited = 2;
  start_timer(m, 1);
}

void group_dropped(ip_mc_list* m) {
  u8 mac[6];
  ether_group(m->multiaddr, mac);
  if (m->in->dev->type == ARPHRD_ETHER) dev_mc_del(m->in->dev, mac);
  if (!reported(m->multiaddr, m->in->dev)) return;
  if (del_timer(&m->timer)) mc_put(m);
  if (m->reporter && netif_running(m->in->dev)) igmp_send(m->in->dev, kLeave, m->multiaddr);
}

ip_mc_list* find_group(const in_device* in, be32 group) {
  for (ip_mc_list* m = read_once(in->mc_list); m != nullptr; m = read_once(m->next)) {
    if (m->multiaddr == group) return m;
  }
  return nullptr;
}

in_device* device_for(const ip_mreqn& m) {  // rtnl
  net_device* dev = nullptr;
  if (m.ifindex != 0) {
    dev = dev_get_by_index(m.ifindex);
  } else if (m.address != 0) {
    dev = ip_dev_find(m.address);
  } else {
    flowi4 fl;
    fl.daddr = m.multiaddr;
    const auto rt = ip_route_output_key(&fl);
    if (rt.ok()) {
      dev = rt.value()->dev;
      dev_hold(dev);
      ip_rt_put(rt.value());
    }
  }
  if (dev == nullptr) return nullptr;
  in_device* in = in_dev_get(dev);
  dev_put(dev);
  return in;
}

ip_mc_socklist** find_membership(inet_sock* inet, be32 group, int ifindex) {
  ip_mc_socklist** at = &inet->mc_list;
  while (*at != nullptr && ((*at)->group != group || (ifindex != 0 && (*at)->ifindex != ifindex))) at = &(*at)->next;
  return at;
}

}  // namespace

void ip_mc_inc_group(in_device* in, be32 group) {
  if (ip_mc_list* m = find_group(in, group); m != nullptr) {
    ++m->users;
    return;
  }
  ip_mc_list* m = knew<ip_mc_list>();
  if (m == nullptr) return;
  m->in = in;
  m->multiaddr = group;
  m->users = 1;
  timer_setup(&m->timer, igmp_timer_expire);
  m->next = in->mc_list;
  __atomic_store_n(&in->mc_list, m, __ATOMIC_RELEASE);
  rt_cache_flush();
  if (netif_running(in->dev)) group_added(m);
}

void ip_mc_dec_group(in_device* in, be32 group) {
  for (ip_mc_list** at = &in->mc_list; *at != nullptr; at = &(*at)->next) {
    ip_mc_list* m = *at;
    if (m->multiaddr != group) continue;
    if (--m->users > 0) return;
    __atomic_store_n(at, m->next, __ATOMIC_RELEASE);
    rt_cache_flush();
    if (netif_running(in->dev)) group_dropped(m);
    synchronize_net();
    mc_put(m);
    return;
  }
}

void ip_mc_up(in_device* in) {
  for (ip_mc_list* m = in->mc_list; m != nullptr; m = m->next) group_added(m);
  ip_mc_inc_group(in, kAllHosts);
}
void ip_mc_down(in_device* in) {
  ip_mc_dec_group(in, kAllHosts);
  for (ip_mc_list* m = in->mc_list; m != nullptr; m = m->next) group_dropped(m);
}
void ip_mc_destroy_dev(in_device* in) {
  while (in->mc_list != nullptr) {
    in->mc_list->users = 1;
    ip_mc_dec_group(in, in->mc_list->multiaddr);
  }
}

bool ip_check_mc(const in_device* in, be32 group) { return group == kAllHosts || find_group(in, group) != nullptr; }

int igmp_rcv(sk_buff* skb) {
  const in_device* in = in_dev_get(skb->dev);
  const auto done = [&] {
    consume_skb(skb);
    return 0;
  };
  if (in == nullptr || !pskb_may_pull(skb, sizeof(igmphdr)) || csum_fold(skb_checksum(skb, 0, skb->len, 0)) != 0)
    return done();
  const igmphdr* h = reinterpret_cast<const igmphdr*>(skb->data);
  if (h->type == kReportV1 || h->type == kReportV2) {
    // Somebody else on the link reports: once is enough. [RFC 2236, 3]
    if (ip_mc_list* m = find_group(in, h->group); m != nullptr && skb->pkt_type != PACKET_LOOPBACK) {
      m->reporter = false;
      m->unsolicited = 0;
      if (del_timer(&m->timer)) mc_put(m);
    }
    return done();
  }
  if (h->type != kQuery) return done();
  const u64 max_delay = (h->code == 0 ? 100 : h->code) * (kNsPerSec / 10);
  for (ip_mc_list* m = read_once(in->mc_list); m != nullptr; m = read_once(m->next)) {
    if ((h->group != 0 && h->group != m->multiaddr) || !reported(m->multiaddr, skb->dev)) continue;
    if (!timer_pending(&m->timer)) start_timer(m, max_delay);
  }
  return done();
}

// --- sockets ---
int ip_mc_join_group(sock* sk, const ip_mreqn& m) {
  if (!ipv4_is_multicast(m.multiaddr)) return -EINVAL;
  rtnl_lock();
  SockGuard guard(sk);
  int error = 0;
  inet_sock* inet = inet_sk(sk);
  in_device* in = device_for(m);
  if (in == nullptr) {
    error = -ENODEV;
  } else if (*find_membership(inet, m.multiaddr, in->dev->ifindex) != nullptr) {
    error = -EADDRINUSE;
  } else {
    ip_mc_socklist* s = knew<ip_mc_socklist>();
    if (s == nullptr) {
      error = -ENOBUFS;
    } else {
      s->group = m.multiaddr;
      s->local = m.address;
      s->ifindex = in->dev->ifindex;
      s->next = inet->mc_list;
      __atomic_store_n(&inet->mc_list, s, __ATOMIC_RELEASE);
      ip_mc_inc_group(in, m.multiaddr);
    }
  }
  rtnl_unlock();
  return error;
}

namespace {
void leave(ip_mc_socklist** at) {
  ip_mc_socklist* s = *at;
  __atomic_store_n(at, s->next, __ATOMIC_RELEASE);
  if (net_device* dev = dev_get_by_index(s->ifindex); dev != nullptr) {
    if (in_device* in = in_dev_get(dev); in != nullptr) ip_mc_dec_group(in, s->group);
    dev_put(dev);
  }
  synchronize_net();
  kdelete(s);
}
}  // namespace

int ip_mc_leave_group(sock* sk, const ip_mreqn& m) {
  rtnl_lock();
  SockGuard guard(sk);
  int ifindex = m.ifindex;
  if (ifindex == 0 && m.address != 0) {
    if (in_device* in = device_for(m); in != nullptr) ifindex = in->dev->ifindex;
  }
  ip_mc_socklist** at = find_membership(inet_sk(sk), m.multiaddr, ifindex);
  const int error = *at == nullptr ? -EADDRNOTAVAIL : 0;
  if (error == 0) leave(at);
  rtnl_unlock();
  return error;
}

// Sources let in (include) or kept out, added or removed.
int ip_mc_source(bool add, bool include, sock* sk, const ip_mreq_source& m) {
  const ip_mreqn group{m.multiaddr, m.interface, 0};
  rtnl_lock();
  in_device* in = device_for(group);
  const int ifindex = in == nullptr ? 0 : in->dev->ifindex;
  rtnl_unlock();
  if (in == nullptr) return -ENODEV;
  if (add && include) {
    const int error = ip_mc_join_group(sk, {m.multiaddr, m.interface, ifindex});
    if (error != 0 && error != -EADDRINUSE) return error;
  }
  SockGuard guard(sk);
  ip_mc_socklist* s = *find_membership(inet_sk(sk), m.multiaddr, ifindex);
  if (s == nullptr) return -EADDRNOTAVAIL;
  if (s->include != include) {
    if (s->nr_sources > 0) return -EINVAL;
    s->include = include;
  }
  u32 i = 0;
  while (i < s->nr_sources && s->sources[i] != m.sourceaddr) ++i;
  if (add) {
    if (i < s->nr_sources) return -EADDRNOTAVAIL;
    if (s->nr_sources == kMaxSources) return -ENOBUFS;
    s->sources[s->nr_sources++] = m.sourceaddr;
  } else {
    if (i == s->nr_sources) return -EADDRNOTAVAIL;
    s->sources[i] = s->sources[--s->nr_sources];
  }
  return 0;
}

void ip_mc_drop_socket(sock* sk) {
  inet_sock* inet = inet_sk(sk);
  if (inet->mc_list == nullptr) return;
  rtnl_lock();
  while (inet->mc_list != nullptr) leave(&inet->mc_list);
  rtnl_unlock();
}

bool ip_mc_sf_allow(const sock* sk, be32 local, be32 remote, int dif) {
  const inet_sock* inet = inet_sk(sk);
  for (const ip_mc_socklist* s = read_once(inet->mc_list); s != nullptr; s = read_once(s->next)) {
    if (s->group != local || s->ifindex != dif) continue;
    bool listed = false;
    for (u32 i = 0; i < s->nr_sources; ++i) listed |= s->sources[i] == remote;
    return listed == s->include;
  }
  return inet->mc_all;
}

}  // namespace xm::os
