// SPDX-License-Identifier: GPL-2.0-or-later
// Raw IPv6 sockets: what follows the IPv6 header of a protocol; the checksum of ICMPv6 is ours to fill in. [RFC 3542,
// 3]
#include "kernel/mm/slab.h"
#include "kernel/net/ipv6/inet6_sock.h"
#include "kernel/net/tcp_states.h"
#include "kernel/net/udp.h"

namespace xm::os {
namespace {

constexpr int kIcmp6Filter = 1, kIpv6Checksum = 7;
struct raw6_sock : inet_sock {
  list_head raw_link;
  int checksum_at = -1;
};
raw6_sock* raw6_sk(sock* sk) { return static_cast<raw6_sock*>(sk); }

list_head sockets;
spinlock_t lock{LockRank::SockHash};
Atomic<u32> count{0};

bool filtered(const raw6_sock* r, const sk_buff* skb) {
  u8 type;
  if (skb_copy_bits(skb, 0, &type, 1) != 0) return true;
  return (r->icmp6_filter[type >> 5] >> (type & 31) & 1) != 0;
}

bool deliver(sk_buff* skb, u8 protocol) {
  if (count.load() == 0) return false;
  const ipv6hdr* h = ipv6_hdr(skb);
  sock* targets[32];
  u32 n = 0;
  {
    BhGuard guard(lock);
    for (raw6_sock* r : entries<&raw6_sock::raw_link>(sockets)) {
      if (n == array_size(targets) || r->sk_num != protocol) continue;
      if (!r->sk_v6_rcv_saddr.any() && !(r->sk_v6_rcv_saddr == h->daddr)) continue;
      if (!r->sk_v6_daddr.any() && !(r->sk_v6_daddr == h->saddr)) continue;
      if (r->sk_bound_dev_if != 0 && r->sk_bound_dev_if != static_cast<int>(skb->skb_iif)) continue;
      if (protocol == IPPROTO_ICMPV6 && filtered(r, skb)) continue;
      if (r->sk_refcnt.inc_not_zero()) targets[n++] = r;
    }
  }
  for (u32 i = 0; i < n; ++i) {
    if (sk_buff* copy = skb_clone(skb, GFP_ATOMIC); copy != nullptr && sock_queue_rcv_skb(targets[i], copy) != 0)
      kfree_skb_reason(copy, SKB_DROP_SOCKET_RCVBUFF);
    sock_put(targets[i]);
  }
  return n > 0;
}

ssize_t rawv6_sendmsg(sock* sk, msghdr& m) {
  raw6_sock* r = raw6_sk(sk);
  const ipv6_pinfo* np = r->pinet6;
  const u32 length = static_cast<u32>(min<u64>(m.iter->count(), 0x10000));
  if (length > 0xffff) return -EMSGSIZE;
  flowi6 fl;
  int oif = 0;
  if (m.name != nullptr && m.name_len > 0) {
    be16 port;
    TRY_INT(inet_af[1]->peer(sk, *m.name, m.name_len, &fl.daddr, &port, &oif));
  } else {
    if (sk->sk_state != TCP_ESTABLISHED) return -EDESTADDRREQ;
    fl.daddr = sk->sk_v6_daddr;
  }
  fl.oif = oif != 0 ? oif : sk->sk_bound_dev_if;
  if (fl.oif == 0 && fl.daddr.multicast()) fl.oif = np->mcast_oif;
  fl.proto = static_cast<u8>(sk->sk_protocol);
  fl.saddr = np->saddr;
  int hop_limit = fl.daddr.multicast() ? (np->mcast_hops >= 0 ? np->mcast_hops : 1) : np->hop_limit,
      tclass = np->tclass;
  if (m.control_len > 0) TRY_INT(ip6_cmsg_send(m, &fl, &hop_limit, &tclass));
  dst_entry* d = ip6_route_output(&fl);
  int error = -d->error;
  sk_buff* skb = error == 0 ? ip_make_skb(sk, m.iter, length, 0, nullptr, nullptr, m.flags, &error) : nullptr;
  if (skb == nullptr) {
    dst_release(d);
    return error;
  }
  const int at = sk->sk_protocol == IPPROTO_ICMPV6 ? 2 : r->checksum_at;
  if (at >= 0 && static_cast<u32>(at) + 2 <= length) {
    u16 sum = 0;
    skb_store_bits(skb, static_cast<u32>(at), &sum, 2);
    sum = csum_ipv6_magic(&fl.saddr, &fl.daddr, length, fl.proto, skb_checksum(skb, 0, length, 0));
    skb_store_bits(skb, static_cast<u32>(at), &sum, 2);
  }
  skb_dst_set(skb, d);
  memset(skb->cb, 0, sizeof(inet6_skb_parm));
  ip6_push_header(skb, fl, fl.proto, hop_limit >= 0 ? static_cast<u8>(hop_limit) : ip6_hop_limit(d),
                  static_cast<u8>(max(tclass, 0)));
  error = ip6_local_out(skb);
  return error < 0 ? error : static_cast<ssize_t>(length);
}

ssize_t rawv6_recvmsg(sock* sk, msghdr& m) {
  if ((m.flags & MSG_ERRQUEUE) != 0) return ip_recv_error(sk, m);
  int error;
  sk_buff* skb = skb_recv_datagram(sk, m.flags, &error);
  if (skb == nullptr) return error;
  const u32 n = static_cast<u32>(min<u64>(skb->len, m.iter->count()));
  if (n < skb->len) m.out_flags |= MSG_TRUNC;
  error = skb_copy_datagram_iter(skb, 0, m.iter, n);
  const ssize_t result = (m.flags & MSG_TRUNC) != 0 ? skb->len : n;
  if (error == 0) {
    sock_recv_cmsgs(m, sk, skb);
    if (m.name != nullptr) {
      const in6_addr from = ipv6_hdr(skb)->saddr;
      m.name_len = inet_af[1]->name(sk, from, 0, *m.name);
      if (from.linklocal()) reinterpret_cast<sockaddr_in6*>(m.name)->scope_id = skb->skb_iif;
    }
    ip6_cmsg_recv(m, sk, skb);
  }
  consume_skb(skb);
  return error != 0 ? error : result;
}

struct RawV6Proto final : proto {
  constexpr RawV6Proto() : proto("RAWv6", sizeof(raw6_sock)) {}
  sock* alloc() const override { return knew<raw6_sock>(); }
  void destruct(sock* sk) const override { kdelete(raw6_sk(sk)); }
  void close(sock* sk, u64) const override { sk_common_release(sk); }
  bool has_bind() const override { return true; }
  int bind(sock* sk, const sockaddr_storage& a, u32 length) const override {
    in6_addr to;
    be16 port;
    int oif;
    TRY_INT(inet_af[1]->bind_check(sk, a, length, &to, &port, &oif));
    SockGuard guard(sk);
    if (sk->sk_state != TCP_CLOSE) return -EINVAL;
    if (oif != 0) sk->sk_bound_dev_if = oif;
    sk->sk_v6_rcv_saddr = to;
    inet_sk(sk)->pinet6->saddr = to.multicast() ? in6_addr{} : to;
    return 0;
  }
  int connect(sock* sk, const sockaddr_storage& a, u32 length) const override {
    in6_addr to;
    be16 port;
    int oif;
    TRY_INT(inet_af[1]->peer(sk, a, length, &to, &port, &oif));
    return udp6_ops_ptr->connect(sk, to, port, oif);
  }
  int disconnect(sock* sk, u32) const override {
    sk->sk_state = TCP_CLOSE;
    sk->sk_v6_daddr = in6_addr{};
    sk_dst_reset(sk);
    return 0;
  }
  int hash(sock* sk) const override {
    BhGuard guard(lock);
    list_add_tail(&raw6_sk(sk)->raw_link, &sockets);
    count.inc();
    return 0;
  }
  void unhash(sock* sk) const override {
    BhGuard guard(lock);
    if (raw6_sk(sk)->raw_link.empty()) return;
    list_del(&raw6_sk(sk)->raw_link);
    count.sub(1);
  }
  ssize_t sendmsg(sock* sk, msghdr& m) const override { return rawv6_sendmsg(sk, m); }
  ssize_t recvmsg(sock* sk, msghdr& m) const override { return rawv6_recvmsg(sk, m); }
  int setsockopt(sock* sk, int level, int name, u64 user, u32 length) const override {
    if (level == SOL_ICMPV6 && name == kIcmp6Filter) {
      u32 filter[8]{};
      TRY_INT(copy_from_user(filter, reinterpret_cast<void*>(user), min<u32>(length, sizeof filter)));
      memcpy(inet_sk(sk)->icmp6_filter, filter, sizeof filter);
      return 0;
    }
    if ((level == SOL_RAW || level == SOL_IPV6) && name == kIpv6Checksum) {
      int value;
      if (length < sizeof value) return -EINVAL;
      TRY_INT(get_user_at(value, user));
      if (sk->sk_protocol == IPPROTO_ICMPV6 || (value > 0 && (value & 1) != 0)) return -EINVAL;
      raw6_sk(sk)->checksum_at = value < 0 ? -1 : value;
      return 0;
    }
    return ipv6_setsockopt(sk, level, name, user, length);
  }
  int getsockopt(sock* sk, int level, int name, u64 user, int length, u64 user_length) const override {
    if (level == SOL_ICMPV6 && name == kIcmp6Filter)
      return put_option(user, user_length, inet_sk(sk)->icmp6_filter, sizeof inet_sk(sk)->icmp6_filter);
    return ipv6_getsockopt(sk, level, name, user, length, user_length);
  }
  int backlog_rcv(sock* sk, sk_buff* skb) const override {
    if (sock_queue_rcv_skb(sk, skb) != 0) kfree_skb_reason(skb, SKB_DROP_SOCKET_RCVBUFF);
    return 0;
  }
};
constinit const RawV6Proto rawv6_proto{};
inet_protosw protosw{AF_INET6, SOCK_RAW, 0, &rawv6_proto, nullptr, false, true, nullptr};

}  // namespace

void rawv6_init() {
  sockets.init();
  protosw.ops = &inet_dgram_ops;
  raw6_deliver_hook = deliver;
  inet_register_protosw(&protosw);
}

}  // namespace xm::os
