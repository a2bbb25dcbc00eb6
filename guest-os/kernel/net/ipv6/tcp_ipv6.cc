// SPDX-License-Identifier: GPL-2.0-or-later
// TCP over IPv6: what differs from net/ipv4/tcp_ipv4.cc is routing, checksum and header. [RFC 8200, 8.1]
#include "kernel/drivers/random.h"
#include "kernel/mm/slab.h"
#include "kernel/net/ipv6/inet6_sock.h"
#include "kernel/net/tcp.h"

namespace xm::os {
namespace {

void fill_flow(const sock* sk, flowi6* fl) {
  const inet_sock* inet = inet_sk(sk);
  fl->oif = sk->sk_bound_dev_if;
  fl->mark = sk->sk_mark;
  fl->proto = IPPROTO_TCP;
  fl->saddr = inet->pinet6->saddr;
  fl->daddr = sk->sk_v6_daddr;
}

dst_entry* route(sock* sk, flowi6* fl) {
  fill_flow(sk, fl);
  if (dst_entry* d = sk_dst_check(sk, 0); d != nullptr) return d;
  dst_entry* d = ip6_route_output(fl);
  if (d->error != 0) {
    dst_release(d);
    return nullptr;
  }
  sk_dst_set(sk, dst_hold(d));
  return d;
}

int inet6_csk_xmit(sock* sk, sk_buff* skb, u8 tos) {
  flowi6 fl;
  dst_entry* d = route(sk, &fl);
  if (d == nullptr) {
    kfree_skb_reason(skb, SKB_DROP_IP_OUTNOROUTES);
    return -EHOSTUNREACH;
  }
  skb_dst_set(skb, d);
  const ipv6_pinfo* np = inet_sk(sk)->pinet6;
  memset(skb->cb, 0, sizeof(inet6_skb_parm));
  return ip6_xmit(sk, skb, &fl, static_cast<u8>((np->tclass & ~3) | (tos & 3)));
}

void partial_sum(sk_buff* skb, const in6_addr& saddr, const in6_addr& daddr) {
  tcphdr* th = tcp_hdr(skb);
  th->check = static_cast<u16>(~csum_ipv6_magic(&saddr, &daddr, skb->len, IPPROTO_TCP, 0));
  skb->ip_summed = CHECKSUM_PARTIAL;
  skb->csum_start = static_cast<u16>(skb->transport_header);
  skb->csum_offset = offsetof(tcphdr, check);
}
void tcp_v6_send_check(sock* sk, sk_buff* skb) {
  partial_sum(skb, inet_sk(sk)->pinet6->saddr, sk->sk_v6_daddr);
  if (skb_shinfo(skb)->gso_size != 0) skb_shinfo(skb)->gso_type = SKB_GSO_TCPV6;
}
int rebuild_route(sock* sk) {
  flowi6 fl;
  dst_entry* d = route(sk, &fl);
  if (d == nullptr) return -EHOSTUNREACH;
  dst_release(d);
  return 0;
}

const inet_connection_sock_af_ops ipv6_specific{inet6_csk_xmit,  tcp_v6_send_check,    rebuild_route,
                                                sizeof(ipv6hdr), sizeof(sockaddr_in6), ipv6_setsockopt,
                                                ipv6_getsockopt};

// --- answers outside a connection ---
void send_unsourced(sk_buff* answer, const in6_addr& saddr, const in6_addr& daddr, int oif, u32 mark) {
  flowi6 fl;
  fl.saddr = saddr;
  fl.daddr = daddr;
  fl.oif = oif;
  fl.mark = mark;
  fl.proto = IPPROTO_TCP;
  dst_entry* d = ip6_route_output(&fl);
  if (d->error != 0) {
    dst_release(d);
    consume_skb(answer);
    return;
  }
  tcphdr* th = tcp_hdr(answer);
  th->check = 0;
  th->check = csum_ipv6_magic(&saddr, &daddr, answer->len, IPPROTO_TCP, csum_partial(th, answer->len, 0));
  skb_dst_set(answer, d);
  ip6_xmit(nullptr, answer, &fl, 0);
}

sk_buff* make_answer(const sk_buff* skb, u32 options) {
  sk_buff* answer = alloc_skb(kMaxTcpHeader, GFP_ATOMIC);
  if (answer == nullptr) return nullptr;
  skb_reserve(answer, kMaxTcpHeader - static_cast<u32>(sizeof(tcphdr)) - options);
  skb_put(answer, static_cast<u32>(sizeof(tcphdr)) + options);
  skb_reset_transport_header(answer);
  tcphdr* out = tcp_hdr(answer);
  memset(out, 0, sizeof *out);
  out->source = tcp_hdr(skb)->dest;
  out->dest = tcp_hdr(skb)->source;
  out->doff = static_cast<u8>((sizeof(tcphdr) + options) >> 2) & 15;
  TCP_INC(TCP_MIB_OutSegs);
  return answer;
}
int oif_of(const sk_buff* skb) { return ipv6_hdr(skb)->saddr.linklocal() ? static_cast<int>(skb->skb_iif) : 0; }

void tcp_v6_send_reset(const sock*, sk_buff* skb) {
  const tcphdr* th = tcp_hdr(skb);
  if ((th->flags & TCPHDR_RST) != 0 || ipv6_hdr(skb)->daddr.multicast()) return;
  sk_buff* answer = make_answer(skb, 0);
  if (answer == nullptr) return;
  tcphdr* out = tcp_hdr(answer);
  out->flags = TCPHDR_RST;
  if ((th->flags & TCPHDR_ACK) != 0) {
    out->seq = th->ack_seq;
  } else {
    out->flags |= TCPHDR_ACK;
    out->ack_seq = htonl(ntohl(th->seq) + skb->len - th->doff * 4u + ((th->flags & TCPHDR_SYN) != 0) +
                         ((th->flags & TCPHDR_FIN) != 0));
  }
  TCP_INC(TCP_MIB_OutRsts);
  send_unsourced(answer, ipv6_hdr(skb)->daddr, ipv6_hdr(skb)->saddr, oif_of(skb), skb->mark);
}

void tcp_v6_send_ack(sk_buff* skb, u32 seq, u32 ack, u32 win, u32 tsval, u32 tsecr, int, u8, u32 mark) {
  const bool ts = tsecr != 0;
  sk_buff* answer = make_answer(skb, ts ? TCPOLEN_TSTAMP_ALIGNED : 0);
  if (answer == nullptr) return;
  tcphdr* th = tcp_hdr(answer);
  th->seq = htonl(seq);
  th->ack_seq = htonl(ack);
  th->flags = TCPHDR_ACK;
  th->window = htons(static_cast<u16>(min(win, 65535u)));
  if (ts) {
    u8* p = reinterpret_cast<u8*>(th + 1);
    put_unaligned<be32>(htonl(TCPOPT_NOP << 24 | TCPOPT_NOP << 16 | TCPOPT_TIMESTAMP << 8 | 10), p);
    put_unaligned<be32>(htonl(tsval), p + 4);
    put_unaligned<be32>(htonl(tsecr), p + 8);
  }
  send_unsourced(answer, ipv6_hdr(skb)->daddr, ipv6_hdr(skb)->saddr, oif_of(skb), mark);
}

// --- requests ---
dst_entry* tcp_v6_route_req(const sock*, request_sock* req) {
  flowi6 fl;
  fl.oif = req->ir_iif;
  fl.mark = req->mark;
  fl.proto = IPPROTO_TCP;
  fl.daddr = req->sk_v6_daddr;
  fl.saddr = req->sk_v6_rcv_saddr;
  dst_entry* d = ip6_route_output(&fl);
  if (d->error == 0) return d;
  dst_release(d);
  return nullptr;
}

void tcp_v6_send_synack(const sock*, const request_sock* req, sk_buff* skb, dst_entry* dst) {
  partial_sum(skb, req->sk_v6_rcv_saddr, req->sk_v6_daddr);
  flowi6 fl;
  fl.saddr = req->sk_v6_rcv_saddr;
  fl.daddr = req->sk_v6_daddr;
  fl.proto = IPPROTO_TCP;
  skb_dst_set(skb, dst);
  ip6_xmit(nullptr, skb, &fl, req->tos);
}

void tcp_v6_init_child(const sock* listener, sock* child, const request_sock* req, sk_buff*) {
  inet_csk(child)->icsk_af_ops = &ipv6_specific;
  inet_sock* inet = inet_sk(child);
  inet->pinet6->saddr = req->sk_v6_rcv_saddr;
  inet->pinet6->hop_limit = inet_sk(listener)->pinet6->hop_limit;
  inet->pinet6->tclass = inet_sk(listener)->pinet6->tclass;
}
const tcp_request_sock_ops tcp_request_sock_ipv6_ops{secure_tcp_seq,    tcp_v6_route_req, tcp_v6_send_synack,
                                                     tcp_v6_init_child, TCP_MSS_DEFAULT,  sizeof(ipv6hdr)};

// --- connect ---
int tcp_v6_connect(sock* sk, const in6_addr& to, be16 port, int oif) {
  tcp_sock* tp = tcp_sk(sk);
  if (to.multicast()) return -ENETUNREACH;
  if (oif != 0) sk->sk_bound_dev_if = oif;
  flowi6 fl;
  fl.oif = sk->sk_bound_dev_if;
  fl.mark = sk->sk_mark;
  fl.proto = IPPROTO_TCP;
  fl.daddr = to;
  fl.saddr = sk->sk_v6_rcv_saddr;
  if (fl.saddr.any()) fl.saddr = in6_addr{};
  dst_entry* d = ip6_route_output(&fl);
  if (d->error != 0) {
    const int error = d->error;
    dst_release(d);
    return -error;
  }
  tp->pinet6->saddr = fl.saddr;
  if (sk->sk_v6_rcv_saddr.any()) sk->sk_v6_rcv_saddr = fl.saddr;
  sk->sk_dport = port;
  sk->sk_v6_daddr = to;
  tp->icsk_af_ops = &ipv6_specific;
  tp->rx_opt.mss_clamp = 1220;  // 1280 without headers [RFC 8200, 8.3]
  tcp_set_state(sk, TCP_SYN_SENT);
  int error = inet_hash_connect(sk);
  if (error == 0) {
    sk_dst_set(sk, d);
    d = nullptr;
    if (tp->write_seq == 0) tp->write_seq = secure_tcp_seq(sk->sk_v6_rcv_saddr, sk->sk_v6_daddr, tp->inet_sport, port);
    tp->tsoffset = secure_tcp_ts_off(sk->sk_v6_rcv_saddr, sk->sk_v6_daddr);
    error = tcp_connect(sk);
  }
  if (error == 0) return 0;
  tcp_set_state(sk, TCP_CLOSE);
  dst_release(d);
  sk->sk_dport = 0;
  return error;
}

// --- receive ---
int drop(sk_buff* skb, SkbDropReason why) {
  kfree_skb_reason(skb, why);
  return 0;
}

int tcp_v6_rcv(sk_buff* skb) {
  if (skb->pkt_type != PACKET_HOST) return drop(skb, SKB_DROP_OTHERHOST);
  TCP_INC(TCP_MIB_InSegs);
  if (!pskb_may_pull(skb, sizeof(tcphdr))) return drop(skb, SKB_DROP_PKT_TOO_SMALL);
  if (tcp_hdr(skb)->doff < sizeof(tcphdr) / 4) {
    TCP_INC(TCP_MIB_InErrs);
    return drop(skb, SKB_DROP_PKT_TOO_SMALL);
  }
  if (!pskb_may_pull(skb, tcp_hdrlen(skb))) return drop(skb, SKB_DROP_PKT_TOO_SMALL);
  const ipv6hdr* h = ipv6_hdr(skb);
  if (skb->ip_summed != CHECKSUM_UNNECESSARY && skb->ip_summed != CHECKSUM_PARTIAL &&
      csum_ipv6_magic(&h->saddr, &h->daddr, skb->len, IPPROTO_TCP, skb_checksum(skb, 0, skb->len, 0)) != 0) {
    TCP_INC(TCP_MIB_InCsumErrors);
    TCP_INC(TCP_MIB_InErrs);
    return drop(skb, SKB_DROP_TCP_CSUM);
  }
  tcp_fill_cb(skb, static_cast<u8>(ntohl(h->flow) >> 20));
  const in6_addr saddr = h->saddr, daddr = h->daddr;
  return tcp_deliver(skb, saddr, daddr, &tcp_request_sock_ipv6_ops, tcp_v6_send_reset, tcp_v6_send_ack);
}

void tcp_v6_err(sk_buff* skb, u8 type, u8 code, u32 offset, be32 info) {
  if (!pskb_may_pull(skb, offset + 8)) return;
  const ipv6hdr* h = reinterpret_cast<const ipv6hdr*>(skb->data);
  const tcphdr* th = reinterpret_cast<const tcphdr*>(skb->data + offset);
  sock_common* s =
      inet_lookup_established(h->daddr, th->dest, h->saddr, ntohs(th->source), static_cast<int>(skb->skb_iif));
  if (s == nullptr) return;
  if (s->sk_state == TCP_TIME_WAIT || s->sk_state == TCP_NEW_SYN_RECV) {
    sock_gen_put(s);
    return;
  }
  sock* sk = static_cast<sock*>(s);
  tcp_sock* tp = tcp_sk(sk);
  const u32 seq = ntohl(th->seq);
  bh_lock_sock(sk);
  if (sk->sk_state != TCP_CLOSE && sk->sk_state != TCP_LISTEN && tcp_between(seq, tp->snd_una, tp->snd_nxt)) {
    int error;
    const bool fatal = icmpv6_err_convert(type, code, &error) != 0;
    if (type == ICMPV6_PKT_TOOBIG) {
      rt6_pmtu_learn(sk->sk_v6_daddr, ntohl(info));
      tp->mtu_probe_size = ntohl(info);
      if (!sock_owned_by_user(sk))
        tcp_v4_mtu_reduced(sk);
      else
        tp->tsq_flags.fetch_or(TCPF_MTU_REDUCED_DEFERRED);
    } else if ((sk->sk_state == TCP_SYN_SENT || sk->sk_state == TCP_SYN_RECV) && !sock_owned_by_user(sk)) {
      sk_set_err(sk, error);
      sock_def_error_report(sk);
      tcp_done(sk);
    } else if (fatal && !sock_owned_by_user(sk) && inet_sk(sk)->pinet6->recverr) {
      sk_set_err(sk, error);
      sock_def_error_report(sk);
    }
  }
  bh_unlock_sock(sk);
  sock_put(sk);
}

const tcp6_ops ops{tcp_v6_connect, tcp_v6_send_reset, &ipv6_specific};
const inet6_protocol protocol{tcp_v6_rcv, tcp_v6_err};
inet_protosw protosw{AF_INET6, SOCK_STREAM, IPPROTO_TCP, nullptr, nullptr, true, false, nullptr};

}  // namespace

void tcpv6_init() {
  tcp6_ops_ptr = &ops;
  protosw.prot = &tcp_prot;
  protosw.ops = &inet_stream_ops;
  inet_register_protosw(&protosw);
  inet6_add_protocol(&protocol, IPPROTO_TCP);
}

}  // namespace xm::os
