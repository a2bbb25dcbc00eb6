// SPDX-License-Identifier: GPL-2.0-or-later
// Ping sockets: ICMP echo without the right to raw sockets, for the groups of net.ipv4.ping_group_range. The "port" is
// the echo's identifier. [man 7 icmp]
#include "kernel/drivers/random.h"
#include "kernel/mm/slab.h"
#include "kernel/net/snmp.h"
#include "kernel/net/tcp_states.h"
#include "kernel/net/udp.h"
#include "kernel/syscall/convert.h"
#include "kernel/task/cred.h"

namespace xm::os {

extern s64 sysctl_ping_group_range[2];

namespace {

struct ping_sock : inet_sock {
  list_head ping_link;
};
ping_sock* ping_sk(sock* sk) { return static_cast<ping_sock*>(sk); }

list_head ping_list;
spinlock_t ping_lock{LockRank::SockHash};

sock* ping_lookup(be16 id, be32 local, int dif) {
  BhGuard guard(ping_lock);
  for (ping_sock* p : entries<&ping_sock::ping_link>(ping_list)) {
    if (p->sk_num != ntohs(id) || p->sk_family != AF_INET) continue;
    if (sk_rcv_saddr(p) != 0 && sk_rcv_saddr(p) != local) continue;
    if (p->sk_bound_dev_if != 0 && p->sk_bound_dev_if != dif) continue;
    if (p->sk_refcnt.inc_not_zero()) return p;
  }
  return nullptr;
}

int ping_get_port(sock* sk, u16 ident) {
  BhGuard guard(ping_lock);
  const auto taken = [&](u16 want) {
    for (const ping_sock* p : entries<&ping_sock::ping_link>(ping_list)) {
      if (p != sk && p->sk_num == want && !(p->sk_reuseaddr && sk->sk_reuseaddr)) return true;
    }
    return false;
  };
  if (ident == 0) {
    const u16 start = static_cast<u16>(get_random_u64());
    for (u32 i = 0; i < 65536 && ident == 0; ++i) {
      const u16 want = static_cast<u16>(start + i);
      if (want != 0 && !taken(want)) ident = want;
    }
  }
  if (ident == 0 || taken(ident)) return -EADDRINUSE;
  sk->sk_num = ident;
  if (ping_sk(sk)->ping_link.empty()) list_add(&ping_sk(sk)->ping_link, &ping_list);
  return 0;
}

ssize_t ping_sendmsg(sock* sk, msghdr& m) {
  inet_sock* inet = inet_sk(sk);
  const u32 length = static_cast<u32>(min<u64>(m.iter->count(), 0x10000));
  if (length > 0xffff - sizeof(iphdr)) return -EMSGSIZE;
  if (length < sizeof(icmphdr)) return -EINVAL;
  if ((m.flags & MSG_OOB) != 0) return -EOPNOTSUPP;
  flowi4 fl;
  if (m.name != nullptr && m.name_len > 0) {
    in6_addr to;
    be16 port;
    int oif;
    TRY_INT(inet_af[0]->peer(sk, *m.name, m.name_len, &to, &port, &oif));
    fl.daddr = to.words[3];
  } else {
    if (sk->sk_state != TCP_ESTABLISHED) return -EDESTADDRREQ;
    fl.daddr = inet_daddr(inet);
  }
  ipcm_cookie c;
  ipcm_init_sk(&c, inet);
  if (m.control_len > 0) TRY_INT(ip_cmsg_send(sk, m, &c, false));
  fl.saddr = c.addr;
  fl.oif = ipv4_is_multicast(fl.daddr) && c.oif == 0 ? inet->mc_index : c.oif;
  fl.mark = c.mark;
  fl.proto = IPPROTO_ICMP;
  fl.tos = c.tos >= 0 ? static_cast<u8>(c.tos) : inet->tos;
  rtable* rt = TRY(ip_route_output_flow(&fl, sk));
  if ((rt->rt_flags & RTCF_BROADCAST) != 0 && !sk->sk_broadcast) {
    ip_rt_put(rt);
    return -EACCES;
  }
  int error;
  sk_buff* skb = ip_make_skb(sk, m.iter, length, 0, rt, &c, m.flags, &error);
  if (skb != nullptr) {
    icmphdr* h = pskb_may_pull(skb, sizeof(icmphdr)) ? icmp_hdr(skb) : nullptr;
    if (h == nullptr || h->type != ICMP_ECHO || h->code != 0) {
      consume_skb(skb);
      error = -EINVAL;
    } else {
      h->echo.id = inet->inet_sport;
      h->checksum = 0;
      h->checksum = csum_fold(skb_checksum(skb, 0, length, 0));
      ip_push_header(sk, skb, &fl, rt, &c, IPPROTO_ICMP);
      ICMP_INC(ICMP_MIB_OutMsgs);
      ICMP_INC(ICMP_MIB_OutEchos);
      error = ip_send_skb(skb);
    }
  }
  ip_rt_put(rt);
  return error != 0 ? error : static_cast<ssize_t>(length);
}

ssize_t ping_recvmsg(sock* sk, msghdr& m) {
  if ((m.flags & MSG_OOB) != 0) return -EOPNOTSUPP;
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
    if (m.name != nullptr) m.name_len = inet_af[0]->name(sk, v4mapped(ip_hdr(skb)->saddr), 0, *m.name);
    ip_cmsg_recv(m, sk, skb, 0);
  }
  consume_skb(skb);
  return error != 0 ? error : result;
}

struct PingProto final : proto {
  constexpr PingProto() : proto("PING", sizeof(ping_sock)) {}
  sock* alloc() const override { return knew<ping_sock>(); }
  void destruct(sock* sk) const override { kdelete(ping_sk(sk)); }
  int init(sock*) const override {
    const s64 gid = current_cred()->egid;
    return gid >= sysctl_ping_group_range[0] && gid <= sysctl_ping_group_range[1] ? 0 : -EACCES;
  }
  void close(sock* sk, u64) const override { sk_common_release(sk); }
  int connect(sock* sk, const sockaddr_storage& a, u32 length) const override {
    in6_addr to;
    be16 port;
    int oif;
    TRY_INT(inet_af[0]->peer(sk, a, length, &to, &port, &oif));
    return udp_v4_connect(sk, to.words[3], port, 0);
  }
  int disconnect(sock* sk, u32) const override {
    sk->sk_state = TCP_CLOSE;
    inet_set_daddr(sk, 0);
    sk->sk_dport = 0;
    sk_dst_reset(sk);
    return 0;
  }
  int get_port(sock* sk, u16 port) const override { return ping_get_port(sk, port); }
  void unhash(sock* sk) const override {
    BhGuard guard(ping_lock);
    if (!ping_sk(sk)->ping_link.empty()) list_del(&ping_sk(sk)->ping_link);
    sk->sk_num = 0;
  }
  ssize_t sendmsg(sock* sk, msghdr& m) const override { return ping_sendmsg(sk, m); }
  ssize_t recvmsg(sock* sk, msghdr& m) const override { return ping_recvmsg(sk, m); }
  int setsockopt(sock* sk, int level, int name, u64 user, u32 length) const override {
    return ip_setsockopt(sk, level, name, user, length);
  }
  int getsockopt(sock* sk, int level, int name, u64 user, int length, u64 user_length) const override {
    return ip_getsockopt(sk, level, name, user, length, user_length);
  }
  int backlog_rcv(sock* sk, sk_buff* skb) const override {
    if (sock_queue_rcv_skb(sk, skb) != 0) kfree_skb_reason(skb, SKB_DROP_SOCKET_RCVBUFF);
    return 0;
  }
};
constinit const PingProto ping_proto{};
inet_protosw ping_protosw{AF_INET, SOCK_DGRAM, IPPROTO_ICMP, &ping_proto, &inet_dgram_ops, false, true, nullptr};

}  // namespace

// An echo reply, skb->data at its ICMP header; not consumed.
int ping_rcv(sk_buff* skb) {
  sock* sk = ping_lookup(icmp_hdr(skb)->echo.id, ip_hdr(skb)->daddr, static_cast<int>(skb->skb_iif));
  if (sk == nullptr) return 0;
  if (sk_buff* copy = skb_clone(skb, GFP_ATOMIC); copy != nullptr && sock_queue_rcv_skb(sk, copy) != 0)
    kfree_skb_reason(copy, SKB_DROP_SOCKET_RCVBUFF);
  sock_put(sk);
  return 1;
}

// An ICMP error that quotes an echo of ours.
void ping_err(sk_buff* skb, u32 info) {
  const iphdr* ip = reinterpret_cast<const iphdr*>(skb->data);
  const u32 hlen = ip->ihl * 4u;
  if (!pskb_may_pull(skb, hlen + sizeof(icmphdr))) return;
  ip = reinterpret_cast<const iphdr*>(skb->data);
  icmphdr* quoted = reinterpret_cast<icmphdr*>(skb->data + hlen);
  if (quoted->type != ICMP_ECHO) return;
  sock* sk = ping_lookup(quoted->echo.id, ip->saddr, static_cast<int>(skb->skb_iif));
  if (sk == nullptr) return;
  const u8 type = icmp_hdr(skb)->type, code = icmp_hdr(skb)->code;
  int err = EHOSTUNREACH;
  bool hard = false;
  if (type == ICMP_DEST_UNREACH && code < 16) {
    err = icmp_err_convert[code].error;
    hard = icmp_err_convert[code].fatal;
    if (code == ICMP_FRAG_NEEDED) {
      ipv4_update_pmtu(skb, info, 0, IPPROTO_ICMP);
      err = EMSGSIZE;
      hard = inet_sk(sk)->pmtudisc != IP_PMTUDISC_DONT;
    }
  }
  const bool recverr = inet_sk(sk)->recverr;
  if (recverr) ip_icmp_error(sk, skb, err, 0, info, reinterpret_cast<u8*>(quoted));
  if (recverr || (hard && sk->sk_state == TCP_ESTABLISHED)) {
    sk_set_err(sk, err);
    sock_def_error_report(sk);
  }
  sock_put(sk);
}

void ping_for_each(void (*visit)(inet_sock* r, void* data), void* data) {
  BhGuard guard(ping_lock);
  for (ping_sock* p : entries<&ping_sock::ping_link>(ping_list)) visit(p, data);
}

void ping_init() {
  ping_list.init();
  inet_register_protosw(&ping_protosw);
}

}  // namespace xm::os
