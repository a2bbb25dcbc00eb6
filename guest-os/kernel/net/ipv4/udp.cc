// SPDX-License-Identifier: GPL-2.0-or-later
// UDP: the table of sockets by port, receive (udp_rcv, the best match; multicast and broadcast to all that match), send
// (udp_sendmsg), errors. One table serves both families. [RFC 768], [RFC 1122, 4.1]
#include "kernel/net/udp.h"
#include "kernel/drivers/random.h"
#include "kernel/lib/text_buffer.h"
#include "kernel/mm/slab.h"
#include "kernel/net/snmp.h"
#include "kernel/net/tcp_states.h"
#include "kernel/sched/clock.h"
#include "kernel/syscall/convert.h"

namespace xm::os {

s64 sysctl_local_port_range[2] = {32768, 60999};
const udp6_ops* udp6_ops_ptr = nullptr;
u64 udp_hash_count = 0;

namespace {

constexpr u32 kBuckets = 1024;
struct UdpBucket {
  spinlock_t lock{LockRank::SockHash};
  list_head head;
};
UdpBucket* table = nullptr;
UdpBucket& bucket_of(u16 port) { return table[port % kBuckets]; }

bool addresses_clash(const sock* a, const sock* b) {
  if (a->sk_family == AF_INET6 && a->sk_ipv6only && b->sk_family == AF_INET) return false;
  if (b->sk_family == AF_INET6 && b->sk_ipv6only && a->sk_family == AF_INET) return false;
  return a->sk_v6_rcv_saddr.any() || b->sk_v6_rcv_saddr.any() || a->sk_v6_rcv_saddr == b->sk_v6_rcv_saddr;
}

bool port_taken(UdpBucket& b, sock* sk, u16 port) {
  for (udp_sock* o : entries<&udp_sock::port_link>(b.head)) {
    if (o == sk || o->sk_num != port) continue;
    if (o->sk_reuseaddr && sk->sk_reuseaddr) continue;
    if (o->sk_bound_dev_if != 0 && sk->sk_bound_dev_if != 0 && o->sk_bound_dev_if != sk->sk_bound_dev_if) continue;
    if (!addresses_clash(sk, o)) continue;
    if (o->sk_reuseport && sk->sk_reuseport && o->sk_uid == sk->sk_uid) continue;
    return true;
  }
  return false;
}

// How well a socket fits a datagram; -1: not at all. More that is fixed counts more.
int compute_score(const sock* sk, const in6_addr& saddr, be16 sport, const in6_addr& daddr, u16 hnum, int dif) {
  if (sk->sk_num != hnum) return -1;
  const bool v4 = daddr.v4mapped();
  if (v4 ? sk->sk_family == AF_INET6 && sk->sk_ipv6only : sk->sk_family == AF_INET) return -1;
  int score = sk->sk_family == AF_INET && v4 ? 2 : 1;
  if (!sk->sk_v6_rcv_saddr.any()) {
    if (!(sk->sk_v6_rcv_saddr == daddr)) return -1;
    score += 4;
  }
  if (sk->sk_dport != 0) {
    if (sk->sk_dport != sport || !(sk->sk_v6_daddr == saddr)) return -1;
    score += 8;
  }
  if (sk->sk_bound_dev_if != 0) {
    if (sk->sk_bound_dev_if != dif) return -1;
    score += 4;
  }
  return score;
}

u32 flow_hash(const in6_addr& saddr, be16 sport, const in6_addr& daddr, be16 dport) {
  return inet_ehashfn(daddr, ntohs(dport), saddr, sport);
}

// SO_REUSEPORT: of those that fit equally, the one that the flow's hash names.
sock* pick_reuseport(UdpBucket& b, sock* first, int best, u32 hash, const in6_addr& saddr, be16 sport,
                     const in6_addr& daddr, u16 hnum, int dif) {
  u32 n = 0;
  for (udp_sock* o : entries<&udp_sock::port_link>(b.head))
    n += o->sk_reuseport && compute_score(o, saddr, sport, daddr, hnum, dif) == best;
  if (n < 2) return first;
  u32 wanted = static_cast<u32>(static_cast<u64>(hash) * n >> 32);
  for (udp_sock* o : entries<&udp_sock::port_link>(b.head)) {
    if (!o->sk_reuseport || compute_score(o, saddr, sport, daddr, hnum, dif) != best) continue;
    if (wanted-- == 0) return o;
  }
  return first;
}

}  // namespace

sock* udp_lib_lookup(const in6_addr& saddr, be16 sport, const in6_addr& daddr, be16 dport, int dif) {
  const u16 hnum = ntohs(dport);
  UdpBucket& b = bucket_of(hnum);
  sock* found = nullptr;
  int best = -1;
  BhGuard guard(b.lock);
  for (udp_sock* o : entries<&udp_sock::port_link>(b.head)) {
    const int score = compute_score(o, saddr, sport, daddr, hnum, dif);
    if (score <= best) continue;
    best = score;
    found = o;
  }
  if (found == nullptr) return nullptr;
  if (found->sk_reuseport && found->sk_dport == 0)
    found = pick_reuseport(b, found, best, flow_hash(saddr, sport, daddr, dport), saddr, sport, daddr, hnum, dif);
  return found->sk_refcnt.inc_not_zero() ? found : nullptr;
}

int udp_lib_get_port(sock* sk, u16 port) {
  udp_sock* u = udp_sk(sk);
  const inet_sock* inet = u;
  u32 low = static_cast<u32>(sysctl_local_port_range[0]), high = static_cast<u32>(sysctl_local_port_range[1]);
  if (inet->local_port_low != 0) low = max<u32>(low, inet->local_port_low);
  if (inet->local_port_high != 0) high = min<u32>(high, inet->local_port_high);
  const u32 range = high - low + 1;
  const u32 start = port != 0 ? 0 : static_cast<u32>(get_random_u64() % range);
  for (u32 i = 0; i < (port != 0 ? 1 : range); ++i) {
    const u16 wanted = port != 0 ? port : static_cast<u16>(low + (start + i) % range);
    UdpBucket& b = bucket_of(wanted);
    BhGuard guard(b.lock);
    if (port_taken(b, sk, wanted)) continue;
    sk->sk_num = wanted;
    if (u->port_link.empty()) {
      list_add(&u->port_link, &b.head);
      __atomic_fetch_add(&udp_hash_count, 1, __ATOMIC_RELAXED);
    }
    return 0;
  }
  return -EADDRINUSE;
}

void udp_lib_unhash(sock* sk) {
  udp_sock* u = udp_sk(sk);
  if (sk->sk_num == 0) return;
  UdpBucket& b = bucket_of(sk->sk_num);
  BhGuard guard(b.lock);
  if (u->port_link.empty()) return;
  list_del(&u->port_link);
  __atomic_fetch_sub(&udp_hash_count, 1, __ATOMIC_RELAXED);
  sk->sk_num = 0;
  inet_sk(sk)->inet_sport = 0;
}

void udp_for_each(void (*visit)(udp_sock* u, void* data), void* data) {
  for (u32 i = 0; i < kBuckets; ++i) {
    BhGuard guard(table[i].lock);
    for (udp_sock* u : entries<&udp_sock::port_link>(table[i].head)) visit(u, data);
  }
}

// --- receive ---
int udp_queue_rcv_skb(sock* sk, sk_buff* skb) {
  u64* stats = sk->sk_family == AF_INET6 ? udp6_stats : udp_stats;
  const int error = sock_queue_rcv_skb(sk, skb);
  if (error == 0) return 0;
  if (error == -ENOMEM) snmp_add(stats[UDP_MIB_RcvbufErrors], 1);
  snmp_add(stats[UDP_MIB_InErrors], 1);
  sk->sk_drops.inc();
  kfree_skb_reason(skb, error == -EPERM ? SKB_DROP_SOCKET_FILTER : SKB_DROP_SOCKET_RCVBUFF);
  return -1;
}

namespace {

bool mcast_match(const sock* sk, const in6_addr& saddr, be16 sport, const in6_addr& daddr, u16 hnum, int dif) {
  if (compute_score(sk, saddr, sport, daddr, hnum, dif) < 0) return false;
  if (daddr.v4mapped()) return !daddr.multicast() || ip_mc_sf_allow(sk, daddr.words[3], saddr.words[3], dif);
  return true;
}

void deliver_to_all(sk_buff* skb, const in6_addr& saddr, const in6_addr& daddr, be16 sport, be16 dport) {
  const u16 hnum = ntohs(dport);
  const int dif = static_cast<int>(skb->skb_iif);
  UdpBucket& b = bucket_of(hnum);
  sock* targets[64];
  u32 n = 0;
  {
    BhGuard guard(b.lock);
    for (udp_sock* o : entries<&udp_sock::port_link>(b.head)) {
      if (n < array_size(targets) && mcast_match(o, saddr, sport, daddr, hnum, dif) && o->sk_refcnt.inc_not_zero())
        targets[n++] = o;
    }
  }
  if (n == 0) {
    snmp_add(udp_stats[UDP_MIB_IgnoredMulti], 1);
    consume_skb(skb);
    return;
  }
  for (u32 i = 0; i < n; ++i) {
    sk_buff* copy = i + 1 < n ? skb_clone(skb, GFP_ATOMIC) : skb;
    if (copy != nullptr) udp_queue_rcv_skb(targets[i], copy);
    sock_put(targets[i]);
  }
}

}  // namespace

int udp_lib_rcv(sk_buff* skb, const in6_addr& saddr, const in6_addr& daddr, bool multicast, bool no_sum_ok,
                void (*unreachable)(sk_buff* skb), bool (*sum_ok)(sk_buff* skb, u32 length)) {
  u64* stats = daddr.v4mapped() ? udp_stats : udp6_stats;
  const auto drop = [&](SkbDropReason why) {
    snmp_add(stats[UDP_MIB_InErrors], 1);
    kfree_skb_reason(skb, why);
    return 0;
  };
  if (!pskb_may_pull(skb, sizeof(udphdr))) return drop(SKB_DROP_PKT_TOO_SMALL);
  const udphdr* h = udp_hdr(skb);
  u32 length = ntohs(h->len);
  if (length == 0 && !daddr.v4mapped()) length = skb->len;  // jumbograms
  if (length > skb->len || length < sizeof *h || (length < skb->len && pskb_trim(skb, length) != 0))
    return drop(SKB_DROP_PKT_TOO_SMALL);
  h = udp_hdr(skb);
  if (h->check == 0
          ? !no_sum_ok
          : skb->ip_summed != CHECKSUM_UNNECESSARY && skb->ip_summed != CHECKSUM_PARTIAL && !sum_ok(skb, length)) {
    snmp_add(stats[UDP_MIB_InCsumErrors], 1);
    return drop(SKB_DROP_UDP_CSUM);
  }
  const be16 sport = h->source, dport = h->dest;
  if (multicast) {
    deliver_to_all(skb, saddr, daddr, sport, dport);
    return 0;
  }
  sock* sk = udp_lib_lookup(saddr, sport, daddr, dport, static_cast<int>(skb->skb_iif));
  if (sk != nullptr) {
    udp_queue_rcv_skb(sk, skb);
    sock_put(sk);
    return 0;
  }
  snmp_add(stats[UDP_MIB_NoPorts], 1);
  unreachable(skb);
  kfree_skb_reason(skb, SKB_DROP_NO_SOCKET);
  return 0;
}

namespace {

int udp_rcv(sk_buff* skb) {
  const iphdr* ip = ip_hdr(skb);
  const rtable* rt = skb_rtable(skb);
  const bool multi = rt != nullptr && (rt->rt_flags & (RTCF_BROADCAST | RTCF_MULTICAST)) != 0;
  return udp_lib_rcv(
      skb, v4mapped(ip->saddr), v4mapped(ip->daddr), multi, true,
      [](sk_buff* s) { icmp_send(s, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0); },
      [](sk_buff* s, u32 length) {
        const iphdr* i = ip_hdr(s);
        return csum_tcpudp_magic(i->saddr, i->daddr, length, IPPROTO_UDP, skb_checksum(s, 0, length, 0)) == 0;
      });
}

int udp_err(sk_buff* skb, u32 info) {
  const iphdr* ip = reinterpret_cast<const iphdr*>(skb->data);
  const u32 hlen = ip->ihl * 4u;
  if (!pskb_may_pull(skb, hlen + sizeof(udphdr))) return 0;
  ip = reinterpret_cast<const iphdr*>(skb->data);
  u8* at = skb->data + hlen;
  const udphdr* h = reinterpret_cast<const udphdr*>(at);
  sock* sk =
      udp_lib_lookup(v4mapped(ip->daddr), h->dest, v4mapped(ip->saddr), h->source, static_cast<int>(skb->skb_iif));
  if (sk == nullptr) {
    ICMP_INC(ICMP_MIB_InErrors);
    return -ENOENT;
  }
  inet_sock* inet = inet_sk(sk);
  const u8 type = icmp_hdr(skb)->type, code = icmp_hdr(skb)->code;
  int err = 0;
  bool hard = false;
  switch (type) {
    case ICMP_TIME_EXCEEDED: err = EHOSTUNREACH; break;
    case ICMP_PARAMETERPROB:
      err = EPROTO;
      hard = true;
      break;
    case ICMP_DEST_UNREACH:
      if (code == ICMP_FRAG_NEEDED) {
        ipv4_update_pmtu(skb, info, 0, IPPROTO_UDP);
        if (inet->pmtudisc != IP_PMTUDISC_DONT) {
          err = EMSGSIZE;
          hard = true;
        }
        break;
      }
      err = EHOSTUNREACH;
      if (code < 16) {
        hard = icmp_err_convert[code].fatal;
        err = icmp_err_convert[code].error;
      }
      break;
    default: break;
  }
  if (err != 0) {
    if (inet->recverr) ip_icmp_error(sk, skb, err, h->dest, info, at + sizeof(udphdr));
    // Without IP_RECVERR only connected sockets hear of it. [RFC 1122, 4.1.3.3]
    if (inet->recverr || (hard && sk->sk_dport != 0)) {
      sk_set_err(sk, err);
      sock_def_error_report(sk);
    }
  }
  sock_put(sk);
  return 0;
}

// --- send ---
// UDP_SEGMENT: one buffer is cut into datagrams of gso_size. The device or skb_gso_segment does it for large ones; here
// it is done with one packet each, which is right for all devices.
int send_one(udp_sock* u, iov_iter* from, u32 length, const flowi4& fl, rtable* rt, const ipcm_cookie& c, u32 flags) {
  int error = 0;
  sk_buff* skb = ip_make_skb(u, from, length, sizeof(udphdr), rt, &c, flags, &error);
  if (skb == nullptr) return error;
  udphdr* h = udp_hdr(skb);
  h->source = fl.sport;
  h->dest = fl.dport;
  h->len = htons(static_cast<u16>(length + sizeof *h));
  h->check = 0;
  const u32 whole = length + static_cast<u32>(sizeof *h);
  const bool fits = whole + sizeof(iphdr) <= dst_mtu(rt);
  if (u->sk_no_check) {
    skb->ip_summed = CHECKSUM_NONE;
  } else if (fits) {
    skb->ip_summed = CHECKSUM_PARTIAL;
    skb->csum_start = static_cast<u16>(skb_headroom(skb));
    skb->csum_offset = offsetof(udphdr, check);
    h->check = static_cast<u16>(~csum_tcpudp_magic(fl.saddr, fl.daddr, whole, IPPROTO_UDP, 0));
  } else {  // fragments carry the sum of the whole
    h->check = csum_tcpudp_magic(fl.saddr, fl.daddr, whole, IPPROTO_UDP, skb_checksum(skb, 0, whole, 0));
    if (h->check == 0) h->check = 0xffff;
  }
  ip_push_header(u, skb, &fl, rt, &c, IPPROTO_UDP);
  error = ip_send_skb(skb);
  if (error == 0) {
    snmp_add((u->sk_family == AF_INET6 ? udp6_stats : udp_stats)[UDP_MIB_OutDatagrams], 1);
  } else if (error == -ENOBUFS) {
    snmp_add(udp_stats[UDP_MIB_SndbufErrors], 1);
    if (!u->recverr) error = 0;
  }
  return error;
}

// Data of a corked datagram is kept as bytes until its end is known.
int cork_append(udp_sock* u, iov_iter* from, u32 length) {
  inet_cork& c = u->cork;
  if (c.data == nullptr) c.data = static_cast<u8*>(kmalloc(65536));
  if (c.data == nullptr) return -ENOBUFS;
  if (c.length + length > 65507) return -EMSGSIZE;
  if (from->copy_from(c.data + c.length, length) != length) return -EFAULT;
  c.length += length;
  return 0;
}
void cork_drop(udp_sock* u) {
  inet_cork& c = u->cork;
  kfree(c.data);
  c.data = nullptr;
  c.length = 0;
  c.pending = false;
  if (c.rt != nullptr) ip_rt_put(c.rt);
  c.rt = nullptr;
}
int cork_push(udp_sock* u) {
  if (!u->cork.pending) return 0;
  iov_iter it = iov_iter::kernel(u->cork.data, u->cork.length);
  const int error = send_one(u, &it, u->cork.length, u->cork_fl, u->cork.rt, u->cork.c, 0);
  cork_drop(u);
  return error;
}

Result<rtable*> route_for(udp_sock* u, flowi4* fl, const ipcm_cookie& c, bool connected, u32 flags) {
  if (connected) {
    SockGuard guard(u);
    if (dst_entry* d = sk_dst_check(u, 0); d != nullptr) return static_cast<rtable*>(d);
  }
  fl->oif = c.oif;
  fl->mark = c.mark;
  fl->proto = static_cast<u8>(u->sk_protocol);
  fl->uid = u->sk_uid;
  if (inet_can_nonlocal_bind(u)) fl->flags |= FLOWI_FLAG_ANYSRC;
  if ((flags & MSG_DONTROUTE) != 0 || u->sk_dontroute) fl->scope = RT_SCOPE_LINK;
  if (ipv4_is_multicast(fl->daddr)) {
    if (fl->oif == 0 || fl->oif == u->sk_bound_dev_if) fl->oif = u->mc_index != 0 ? u->mc_index : fl->oif;
    if (fl->saddr == 0) fl->saddr = u->mc_addr;
  } else if (fl->oif == 0) {
    fl->oif = u->uc_index;
  }
  rtable* rt = TRY(ip_route_output_flow(fl, u));
  if ((rt->rt_flags & RTCF_BROADCAST) != 0 && !u->sk_broadcast) {
    ip_rt_put(rt);
    return Error{EACCES};
  }
  if (connected) {
    SockGuard guard(u);
    dst_hold(rt);
    sk_dst_set(u, rt);
  }
  return rt;
}

ssize_t send_to(udp_sock* u, msghdr& m, be32 daddr, be16 dport, bool connected) {
  const u32 length = static_cast<u32>(m.iter->count());
  ipcm_cookie c;
  ipcm_init_sk(&c, u);
  c.gso_size = u->gso_size;
  if (m.control_len > 0) {
    TRY_INT(ip_cmsg_send(u, m, &c, u->sk_family == AF_INET6));
    connected = false;
  }
  flowi4 fl;
  fl.daddr = daddr;
  fl.saddr = c.addr;
  fl.tos = c.tos >= 0 ? static_cast<u8>(c.tos) : u->tos;
  fl.sport = u->inet_sport;
  fl.dport = dport;
  rtable* rt = TRY(route_for(u, &fl, c, connected, m.flags));
  if (connected) {
    fl.daddr = daddr;
    fl.saddr = u->inet_saddr;
  }
  int error = 0;
  const u32 mtu = dst_mtu(rt);
  if (u->pmtudisc >= IP_PMTUDISC_DO && u->pmtudisc < IP_PMTUDISC_OMIT && c.gso_size == 0 &&
      length + sizeof(iphdr) + sizeof(udphdr) > mtu) {
    ip_local_error(u, EMSGSIZE, daddr, dport, mtu);
    error = -EMSGSIZE;
  } else if (u->corkflag || (m.flags & MSG_MORE) != 0) {
    SockGuard guard(u);
    error = cork_append(u, m.iter, length);
    if (error == 0 && !u->cork.pending) {
      u->cork.pending = true;
      u->cork.rt = rt;
      u->cork.c = c;
      u->cork_fl = fl;
      return length;
    }
  } else if (c.gso_size != 0) {
    if (c.gso_size + sizeof(iphdr) + sizeof(udphdr) > mtu || length > c.gso_size * 64u) error = -EINVAL;
    for (u32 done = 0; done < length && error == 0; done += c.gso_size)
      error = send_one(u, m.iter, min<u32>(c.gso_size, length - done), fl, rt, c, m.flags);
  } else {
    error = send_one(u, m.iter, length, fl, rt, c, m.flags);
  }
  ip_rt_put(rt);
  return error != 0 ? error : static_cast<ssize_t>(length);
}

ssize_t udp_sendmsg(sock* sk, msghdr& m) {
  udp_sock* u = udp_sk(sk);
  if (m.iter->count() > 0xffff) return -EMSGSIZE;
  if ((m.flags & MSG_OOB) != 0) return -EOPNOTSUPP;
  if (u->cork.pending) {
    SockGuard guard(sk);
    if (u->cork.pending) {
      const u32 length = static_cast<u32>(m.iter->count());
      int error = cork_append(u, m.iter, length);
      if (error == 0 && !u->corkflag && (m.flags & MSG_MORE) == 0) error = cork_push(u);
      return error != 0 ? error : static_cast<ssize_t>(length);
    }
  }
  in6_addr to;
  be16 port;
  int oif = 0;
  bool connected = false;
  if (m.name != nullptr && m.name_len > 0) {
    if (sk->sk_family == AF_INET6 && m.name->family == AF_INET)
      TRY_INT(inet_af[0]->peer(sk, *m.name, m.name_len, &to, &port, &oif));
    else if (m.name->family == AF_UNSPEC && sk->sk_family == AF_INET && m.name_len >= sizeof(sockaddr_in)) {
      to = v4mapped(reinterpret_cast<const sockaddr_in*>(m.name)->addr);
      port = reinterpret_cast<const sockaddr_in*>(m.name)->port;
    } else {
      TRY_INT(af_of(sk)->peer(sk, *m.name, m.name_len, &to, &port, &oif));
    }
    if (port == 0) return -EINVAL;
  } else {
    if (sk->sk_dport == 0) return -EDESTADDRREQ;
    to = sk->sk_v6_daddr;
    port = sk->sk_dport;
    connected = true;
  }
  const u32 headers = sizeof(iphdr) + sizeof(udphdr);
  if (to.v4mapped()) {
    if (m.iter->count() + headers > 0xffff) return -EMSGSIZE;
    if (sk->sk_family == AF_INET6 && sk->sk_ipv6only) return -ENETUNREACH;
    return send_to(u, m, to.words[3], port, connected);
  }
  return udp6_ops_ptr == nullptr ? -ENETUNREACH : udp6_ops_ptr->sendmsg(sk, m, to, port, oif);
}

ssize_t udp_recvmsg(sock* sk, msghdr& m) {
  if ((m.flags & MSG_ERRQUEUE) != 0)
    return sk->sk_family == AF_INET6 && udp6_ops_ptr != nullptr ? udp6_ops_ptr->recv_error(sk, m)
                                                                : ip_recv_error(sk, m);
  int error;
  sk_buff* skb = skb_recv_datagram(sk, m.flags, &error);
  if (skb == nullptr) return error;
  const u32 total = skb->len - static_cast<u32>(sizeof(udphdr));
  const u32 n = static_cast<u32>(min<u64>(total, m.iter->count()));
  if (n < total) m.out_flags |= MSG_TRUNC;
  error = skb_copy_datagram_iter(skb, sizeof(udphdr), m.iter, n);
  if (error != 0) {
    consume_skb(skb);
    return error;
  }
  const bool v4 = skb->protocol == htons(ETH_P_IP);
  if ((m.flags & MSG_PEEK) == 0) snmp_add((v4 ? udp_stats : udp6_stats)[UDP_MIB_InDatagrams], 1);
  sock_recv_cmsgs(m, sk, skb);
  if (m.name != nullptr) {
    in6_addr from = v4mapped(0);
    if (v4)
      from = v4mapped(ip_hdr(skb)->saddr);
    else
      memcpy(&from, skb_network_header(skb) + 8, sizeof from);
    m.name_len = af_of(sk)->name(sk, from, udp_hdr(skb)->source, *m.name);
    if (!v4 && sk->sk_family == AF_INET6 && from.linklocal())
      reinterpret_cast<sockaddr_in6*>(m.name)->scope_id = skb->skb_iif;
  }
  if (v4) ip_cmsg_recv(m, sk, skb, sizeof(udphdr));
  if (sk->sk_family == AF_INET6 && udp6_ops_ptr != nullptr && udp6_ops_ptr->cmsg_recv != nullptr)
    udp6_ops_ptr->cmsg_recv(m, sk, skb);
  consume_skb(skb);
  return (m.flags & MSG_TRUNC) != 0 ? static_cast<ssize_t>(total) : static_cast<ssize_t>(n);
}

}  // namespace

int udp_v4_connect(sock* sk, be32 daddr, be16 port, int oif) {
  inet_sock* inet = inet_sk(sk);
  sk_dst_reset(sk);
  flowi4 fl;
  fl.daddr = daddr;
  fl.saddr = inet->inet_saddr;
  fl.oif = oif != 0 ? oif : sk->sk_bound_dev_if;
  fl.tos = inet->tos;
  fl.mark = sk->sk_mark;
  fl.proto = static_cast<u8>(sk->sk_protocol);
  fl.dport = port;
  fl.sport = inet->inet_sport;
  if (ipv4_is_multicast(daddr)) {
    if (fl.oif == 0) fl.oif = inet->mc_index;
    if (fl.saddr == 0) fl.saddr = inet->mc_addr;
  }
  rtable* rt = TRY(ip_route_output_flow(&fl, sk));
  if ((rt->rt_flags & RTCF_BROADCAST) != 0 && !sk->sk_broadcast) {
    ip_rt_put(rt);
    return -EACCES;
  }
  if (inet->inet_saddr == 0) inet->inet_saddr = fl.saddr;
  if (sk->sk_v6_rcv_saddr.any()) sk->sk_v6_rcv_saddr = v4mapped(fl.saddr);
  inet_set_daddr(sk, fl.daddr);
  sk->sk_dport = port;
  sk->sk_state = TCP_ESTABLISHED;
  inet->inet_id.store(static_cast<u32>(get_random_u64()));
  sk_dst_set(sk, rt);
  return 0;
}

namespace {

struct UdpProto final : proto {
  constexpr UdpProto() : proto("UDP", sizeof(udp_sock)) {}
  sock* alloc() const override { return knew<udp_sock>(); }
  void destruct(sock* sk) const override { kdelete(udp_sk(sk)); }
  void destroy(sock* sk) const override {
    SockGuard guard(sk);
    cork_drop(udp_sk(sk));
  }
  void close(sock* sk, u64) const override { sk_common_release(sk); }
  int connect(sock* sk, const sockaddr_storage& a, u32 length) const override {
    in6_addr to;
    be16 port;
    int oif;
    if (sk->sk_family == AF_INET6 && a.family == AF_INET)
      TRY_INT(inet_af[0]->peer(sk, a, length, &to, &port, &oif));
    else
      TRY_INT(af_of(sk)->peer(sk, a, length, &to, &port, &oif));
    if (to.v4mapped()) return udp_v4_connect(sk, to.words[3], port, oif);
    return udp6_ops_ptr == nullptr ? -ENETUNREACH : udp6_ops_ptr->connect(sk, to, port, oif);
  }
  int disconnect(sock* sk, u32) const override {
    inet_sock* inet = inet_sk(sk);
    sk->sk_state = TCP_CLOSE;
    sk->sk_v6_daddr = sk->sk_family == AF_INET ? v4mapped(0) : in6_addr{};
    sk->sk_dport = 0;
    if ((sk->sk_userlocks & SOCK_BINDADDR_LOCK) == 0) {
      inet->inet_saddr = 0;
      sk->sk_v6_rcv_saddr = sk->sk_v6_daddr;
      if (inet->pinet6 != nullptr) inet->pinet6->saddr = in6_addr{};
    }
    if ((sk->sk_userlocks & SOCK_BINDPORT_LOCK) == 0) unhash(sk);
    sk_dst_reset(sk);
    return 0;
  }
  int get_port(sock* sk, u16 port) const override { return udp_lib_get_port(sk, port); }
  void unhash(sock* sk) const override { udp_lib_unhash(sk); }
  ssize_t sendmsg(sock* sk, msghdr& m) const override { return udp_sendmsg(sk, m); }
  ssize_t recvmsg(sock* sk, msghdr& m) const override { return udp_recvmsg(sk, m); }
  int setsockopt(sock* sk, int level, int name, u64 user, u32 length) const override {
    if (level == SOL_UDP) {
      int value;
      if (length < sizeof value) return -EINVAL;
      TRY_INT(get_user_at(value, user));
      return udp_set_option(sk, name, value);
    }
    if (level == SOL_IPV6 && udp6_ops_ptr != nullptr && sk->sk_family == AF_INET6)
      return udp6_ops_ptr->setsockopt(sk, level, name, user, length);
    return ip_setsockopt(sk, level, name, user, length);
  }
  int getsockopt(sock* sk, int level, int name, u64 user, int length, u64 user_length) const override {
    if (level == SOL_UDP) {
      int value;
      TRY_INT(udp_get_option(sk, name, &value));
      return put_option(user, user_length, &value, sizeof value);
    }
    if (level == SOL_IPV6 && udp6_ops_ptr != nullptr && sk->sk_family == AF_INET6)
      return udp6_ops_ptr->getsockopt(sk, level, name, user, length, user_length);
    return ip_getsockopt(sk, level, name, user, length, user_length);
  }
  long ioctl(sock* sk, u32 command, u64 argument) const override {
    switch (command) {
      case SIOCOUTQ: return put_user_at(sk_wmem_alloc_get(sk), argument);
      case FIONREAD: {
        int n = 0;
        {
          IrqGuard guard(sk->sk_receive_queue.lock);
          if (const sk_buff* skb = sk->sk_receive_queue.first; skb != nullptr)
            n = static_cast<int>(skb->len - sizeof(udphdr));
        }
        return put_user_at(n, argument);
      }
      default: return -ENOIOCTLCMD;
    }
  }
  int backlog_rcv(sock* sk, sk_buff* skb) const override { return udp_queue_rcv_skb(sk, skb); }
};
constinit const UdpProto udp_proto{};

const net_protocol udp_protocol{udp_rcv, udp_err, nullptr, false};
inet_protosw udp_protosw{AF_INET, SOCK_DGRAM, IPPROTO_UDP, &udp_proto, &inet_dgram_ops, false, false, nullptr};

}  // namespace

const proto& udp_prot = udp_proto;

int udp_set_option(sock* sk, int name, int value) {
  udp_sock* u = udp_sk(sk);
  SockGuard guard(sk);
  switch (name) {
    case UDP_CORK: u->corkflag = value != 0; return value == 0 ? cork_push(u) : 0;
    case UDP_SEGMENT:
      if (value < 0 || value > 0xffff) return -EINVAL;
      u->gso_size = static_cast<u16>(value);
      return 0;
    case UDP_GRO: u->gro = value != 0; return 0;
    default: return -ENOPROTOOPT;
  }
}
int udp_get_option(sock* sk, int name, int* value) {
  const udp_sock* u = udp_sk(sk);
  switch (name) {
    case UDP_CORK: *value = u->corkflag; return 0;
    case UDP_SEGMENT: *value = u->gso_size; return 0;
    case UDP_GRO: *value = u->gro; return 0;
    default: return -ENOPROTOOPT;
  }
}

void udp_init() {
  table = static_cast<UdpBucket*>(kmalloc(sizeof(UdpBucket) * kBuckets));
  for (u32 i = 0; i < kBuckets; ++i) new (&table[i]) UdpBucket{};
  inet_hash_secret = static_cast<u32>(get_random_u64());
  inet_add_protocol(&udp_protocol, IPPROTO_UDP);
  inet_register_protosw(&udp_protosw);
}

}  // namespace xm::os
