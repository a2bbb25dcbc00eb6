// SPDX-License-Identifier: GPL-2.0-or-later
// UDP over IPv6: the table of sockets and the queues are those of net/ipv4/udp.cc. [RFC 8200, 8.1]: a checksum is a
// must.
#include "kernel/net/ipv6/inet6_sock.h"
#include "kernel/net/snmp.h"
#include "kernel/net/tcp_states.h"
#include "kernel/net/udp.h"

namespace xm::os {
namespace {

int udpv6_rcv(sk_buff* skb) {
  const in6_addr saddr = ipv6_hdr(skb)->saddr, daddr = ipv6_hdr(skb)->daddr;
  return udp_lib_rcv(
      skb, saddr, daddr, daddr.multicast(), false,
      [](sk_buff* s) { icmpv6_send(s, ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH, 0); },
      [](sk_buff* s, u32 length) {
        const ipv6hdr* h = ipv6_hdr(s);
        return csum_ipv6_magic(&h->saddr, &h->daddr, length, IPPROTO_UDP, skb_checksum(s, 0, length, 0)) == 0;
      });
}

void udpv6_err(sk_buff* skb, u8 type, u8 code, u32 offset, be32 info) {
  if (!pskb_may_pull(skb, offset + sizeof(udphdr))) return;
  const ipv6hdr* h = reinterpret_cast<const ipv6hdr*>(skb->data);
  const udphdr* uh = reinterpret_cast<const udphdr*>(skb->data + offset);
  sock* sk = udp_lib_lookup(h->daddr, uh->dest, h->saddr, uh->source, static_cast<int>(skb->skb_iif));
  if (sk == nullptr) return;
  int error;
  const bool fatal = icmpv6_err_convert(type, code, &error) != 0;
  if (type == ICMPV6_PKT_TOOBIG) rt6_pmtu_learn(h->daddr, ntohl(info));
  if (fatal && (sk->sk_dport != 0 || inet_sk(sk)->pinet6->recverr)) {
    sk_set_err(sk, error);
    sock_def_error_report(sk);
  }
  sock_put(sk);
}

int udpv6_connect(sock* sk, const in6_addr& to, be16 port, int oif) {
  inet_sock* inet = inet_sk(sk);
  if (oif != 0) sk->sk_bound_dev_if = oif;
  flowi6 fl;
  fl.oif = sk->sk_bound_dev_if;
  fl.mark = sk->sk_mark;
  fl.proto = static_cast<u8>(sk->sk_protocol);
  fl.daddr = to;
  fl.saddr = inet->pinet6->saddr;
  dst_entry* d = ip6_route_output(&fl);
  if (d->error != 0) {
    const int error = d->error;
    dst_release(d);
    return -error;
  }
  if (inet->pinet6->saddr.any()) inet->pinet6->saddr = fl.saddr;
  if (sk->sk_v6_rcv_saddr.any()) sk->sk_v6_rcv_saddr = fl.saddr;
  sk->sk_v6_daddr = to;
  sk->sk_dport = port;
  sk->sk_state = TCP_ESTABLISHED;
  sk_dst_set(sk, d);
  return 0;
}

ssize_t udpv6_sendmsg(sock* sk, msghdr& m, const in6_addr& to, be16 port, int oif) {
  inet_sock* inet = inet_sk(sk);
  const ipv6_pinfo* np = inet->pinet6;
  const u32 length = static_cast<u32>(m.iter->count());
  if (length + sizeof(udphdr) > 0xffff) return -EMSGSIZE;
  flowi6 fl;
  fl.oif = oif != 0 ? oif : sk->sk_bound_dev_if;
  if (fl.oif == 0 && to.multicast()) fl.oif = np->mcast_oif;
  fl.mark = sk->sk_mark;
  fl.proto = IPPROTO_UDP;
  fl.daddr = to;
  fl.saddr = np->saddr;
  int hop_limit = to.multicast() ? (np->mcast_hops >= 0 ? np->mcast_hops : 1) : np->hop_limit, tclass = np->tclass;
  if (m.control_len > 0) TRY_INT(ip6_cmsg_send(m, &fl, &hop_limit, &tclass));
  dst_entry* d = ip6_route_output(&fl);
  if (d->error != 0) {
    const int error = d->error;
    dst_release(d);
    return -error;
  }
  int error = 0;
  sk_buff* skb = ip_make_skb(sk, m.iter, length, sizeof(udphdr), nullptr, nullptr, m.flags, &error);
  if (skb == nullptr) {
    dst_release(d);
    return error;
  }
  udphdr* h = udp_hdr(skb);
  const u32 whole = length + static_cast<u32>(sizeof *h);
  h->source = inet->inet_sport;
  h->dest = port;
  h->len = htons(static_cast<u16>(whole));
  h->check = 0;
  h->check = csum_ipv6_magic(&fl.saddr, &fl.daddr, whole, IPPROTO_UDP, skb_checksum(skb, 0, whole, 0));
  if (h->check == 0) h->check = 0xffff;
  skb->priority = sk->sk_priority;
  skb->mark = sk->sk_mark;
  skb_dst_set(skb, d);
  memset(skb->cb, 0, sizeof(inet6_skb_parm));
  ip6_push_header(skb, fl, IPPROTO_UDP, hop_limit >= 0 ? static_cast<u8>(hop_limit) : ip6_hop_limit(d),
                  static_cast<u8>(max(tclass, 0)));
  error = ip6_local_out(skb);
  if (error > 0) error = 0;
  if (error == 0) snmp_add(udp6_stats[UDP_MIB_OutDatagrams], 1);
  return error != 0 ? error : static_cast<ssize_t>(length);
}

ssize_t udpv6_recv_error(sock* sk, msghdr& m) { return ip_recv_error(sk, m); }

const udp6_ops ops{udpv6_connect, udpv6_sendmsg, ip6_cmsg_recv, udpv6_recv_error, ipv6_setsockopt, ipv6_getsockopt};
const inet6_protocol protocol{udpv6_rcv, udpv6_err};
inet_protosw protosw{AF_INET6, SOCK_DGRAM, IPPROTO_UDP, nullptr, nullptr, false, false, nullptr};

}  // namespace

void udpv6_init() {
  udp6_ops_ptr = &ops;
  protosw.prot = &udp_prot;
  protosw.ops = &inet_dgram_ops;
  inet_register_protosw(&protosw);
  inet6_add_protocol(&protocol, IPPROTO_UDP);
}

}  // namespace xm::os
