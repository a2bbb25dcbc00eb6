// SPDX-License-Identifier: GPL-2.0-or-later
// TCP over IPv4: segments from IP to their socket (tcp_v4_rcv), connect, answers without a socket (reset, ACK for
// TIME-WAIT), ICMP errors, checksums, initial sequence numbers [RFC 6528].
#include "kernel/drivers/random.h"
#include "kernel/net/tcp.h"

namespace xm::os {

const tcp6_ops* tcp6_ops_ptr = nullptr;

namespace {

u64 secrets[4];
u64 mix(u64 h, u64 v) {
  h = (h ^ v) * 0xff51afd7ed558ccdul;
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53ul;
  return h ^ h >> 29;
}
u64 keyed(const in6_addr& a, const in6_addr& b, u64 c, u32 which) {
  if (secrets[0] == 0) get_random_bytes(secrets, sizeof secrets);
  u64 h = mix(secrets[which], a.quads[0]);
  h = mix(h, a.quads[1]);
  h = mix(h, b.quads[0] ^ secrets[which ^ 1]);
  h = mix(h, b.quads[1]);
  return mix(h, c);
}

}  // namespace

// A number from a keyed function of the four-tuple, and the clock, 1 tick in 64 ns.
u32 secure_tcp_seq(const in6_addr& saddr, const in6_addr& daddr, be16 sport, be16 dport) {
  return static_cast<u32>(keyed(saddr, daddr, static_cast<u64>(sport) << 16 | dport, 0)) +
         static_cast<u32>(ktime_get_real() >> 6);
}
u32 secure_tcp_ts_off(const in6_addr& saddr, const in6_addr& daddr) {
  return sysctl_tcp_timestamps == 1 ? static_cast<u32>(keyed(saddr, daddr, 0, 2)) : 0;
}

namespace {

void tcp_v4_send_check(sock* sk, sk_buff* skb) {
  tcphdr* th = tcp_hdr(skb);
  th->check = static_cast<u16>(~csum_tcpudp_magic(inet_sk(sk)->inet_saddr, sk_daddr(sk), skb->len, IPPROTO_TCP, 0));
  skb->ip_summed = CHECKSUM_PARTIAL;
  skb->csum_start = static_cast<u16>(skb->transport_header);
  skb->csum_offset = offsetof(tcphdr, check);
  if (skb_shinfo(skb)->gso_size != 0) skb_shinfo(skb)->gso_type = SKB_GSO_TCPV4;
}

// The route of a connection, looked up again when the tables changed.
int inet_sk_rebuild_route(sock* sk) {
  if (dst_entry* d = sk_dst_check(sk, 0); d != nullptr) {
    dst_release(d);
    return 0;
  }
  inet_sock* inet = inet_sk(sk);
  flowi4 fl;
  fl.oif = sk->sk_bound_dev_if;
  fl.mark = sk->sk_mark;
  fl.tos = inet->tos;
  fl.proto = IPPROTO_TCP;
  fl.daddr = inet_daddr(inet);
  fl.saddr = inet->inet_saddr;
  fl.sport = inet->inet_sport;
  fl.dport = sk->sk_dport;
  rtable* rt = TRY(ip_route_output_flow(&fl, sk));
  sk_dst_set(sk, rt);
  return 0;
}

// --- answers of nobody ---
// A segment built from what it answers: `skb` is data at its TCP header.
void send_unsourced(const sock* sk, sk_buff* answer, be32 saddr, be32 daddr, int oif, u8 tos, u32 mark) {
  tcphdr* th = tcp_hdr(answer);
  th->check = 0;
  th->check = csum_tcpudp_magic(saddr, daddr, answer->len, IPPROTO_TCP, csum_partial(th, answer->len, 0));
  flowi4 fl;
  fl.daddr = daddr;
  fl.saddr = saddr;
  fl.oif = oif;
  fl.mark = mark;
  fl.tos = tos & IPTOS_RT_MASK;
  fl.proto = IPPROTO_TCP;
  fl.sport = th->source;
  fl.dport = th->dest;
  fl.flags = FLOWI_FLAG_ANYSRC;
  const auto rt = ip_route_output_flow(&fl, nullptr);
  if (!rt.ok()) {
    consume_skb(answer);
    return;
  }
  answer->mark = mark;
  ip_build_and_send_pkt(answer, sk, saddr, daddr, rt.value(), tos, 0);
}

sk_buff* make_answer(const sk_buff* skb, u32 option_length) {
  const tcphdr* th = tcp_hdr(skb);
  sk_buff* answer = alloc_skb(kMaxTcpHeader, GFP_ATOMIC);
  if (answer == nullptr) return nullptr;
  skb_reserve(answer, kMaxTcpHeader - static_cast<u32>(sizeof(tcphdr)) - option_length);
  skb_put(answer, static_cast<u32>(sizeof(tcphdr)) + option_length);
  skb_reset_transport_header(answer);
  tcphdr* out = tcp_hdr(answer);
  memset(out, 0, sizeof *out);
  out->source = th->dest;
  out->dest = th->source;
  out->doff = static_cast<u8>((sizeof(tcphdr) + option_length) >> 2) & 15;
  return answer;
}

void tcp_v4_send_ack(sk_buff* skb, u32 seq, u32 ack, u32 win, u32 tsval, u32 tsecr, int oif, u8 tos, u32 mark) {
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
  TCP_INC(TCP_MIB_OutSegs);
  send_unsourced(nullptr, answer, ip_hdr(skb)->daddr, ip_hdr(skb)->saddr, oif, tos, mark);
}

u32 init_seq(const in6_addr& saddr, const in6_addr& daddr, be16 sport, be16 dport) {
  return secure_tcp_seq(saddr, daddr, sport, dport);
}

dst_entry* tcp_v4_route_req(const sock* listener, request_sock* req) {
  flowi4 fl;
  fl.oif = req->ir_iif;
  fl.mark = req->mark;
  fl.tos = inet_sk(listener)->tos;
  fl.proto = IPPROTO_TCP;
  fl.daddr = req->sk_v6_daddr.words[3];
  fl.saddr = req->sk_v6_rcv_saddr.words[3];
  fl.sport = htons(req->sk_num);
  fl.dport = req->sk_dport;
  fl.flags = FLOWI_FLAG_ANYSRC;
  const auto rt = ip_route_output_flow(&fl, nullptr);
  return rt.ok() ? rt.value() : nullptr;
}

void tcp_v4_send_synack(const sock* listener, const request_sock* req, sk_buff* skb, dst_entry* dst) {
  const be32 saddr = req->sk_v6_rcv_saddr.words[3], daddr = req->sk_v6_daddr.words[3];
  tcphdr* th = tcp_hdr(skb);
  th->check = static_cast<u16>(~csum_tcpudp_magic(saddr, daddr, skb->len, IPPROTO_TCP, 0));
  skb->ip_summed = CHECKSUM_PARTIAL;
  skb->csum_start = static_cast<u16>(skb->transport_header);
  skb->csum_offset = offsetof(tcphdr, check);
  const inet_sock* inet = inet_sk(listener);
  ip_build_and_send_pkt(skb, listener, saddr, daddr, static_cast<rtable*>(dst), inet->tos,
                        inet->uc_ttl >= 0 ? static_cast<u8>(inet->uc_ttl) : 0);
}

void tcp_v4_init_child(const sock*, sock* child, const request_sock*, sk_buff*) {
  inet_csk(child)->icsk_af_ops = &ipv4_specific;
}

bool checksum_ok(const sk_buff* skb) {
  if (skb->ip_summed == CHECKSUM_UNNECESSARY || skb->ip_summed == CHECKSUM_PARTIAL) return true;
  const iphdr* ip = ip_hdr(skb);
  return csum_tcpudp_magic(ip->saddr, ip->daddr, skb->len, IPPROTO_TCP, skb_checksum(skb, 0, skb->len, 0)) == 0;
}

}  // namespace

const inet_connection_sock_af_ops ipv4_specific{ip_queue_xmit, tcp_v4_send_check,   inet_sk_rebuild_route,
                                                sizeof(iphdr), sizeof(sockaddr_in), ip_setsockopt,
                                                ip_getsockopt};
const tcp_request_sock_ops tcp_request_sock_ipv4_ops{init_seq,          tcp_v4_route_req, tcp_v4_send_synack,
                                                     tcp_v4_init_child, TCP_MSS_DEFAULT,  sizeof(iphdr)};

// [RFC 9293, 3.5.2, 3.10.7.1]: never for a reset.
void tcp_v4_send_reset(const sock* sk, sk_buff* skb) {
  const tcphdr* th = tcp_hdr(skb);
  if ((th->flags & TCPHDR_RST) != 0) return;
  const rtable* rt = skb_rtable(skb);
  if (sk == nullptr && rt != nullptr && (rt->rt_flags & (RTCF_BROADCAST | RTCF_MULTICAST)) != 0) return;
  sk_buff* answer = make_answer(skb, 0);
  if (answer == nullptr) return;
  tcphdr* out = tcp_hdr(answer);
  out->flags = TCPHDR_RST;
  if ((th->flags & TCPHDR_ACK) != 0) {
    out->seq = th->ack_seq;
  } else {
    out->flags |= TCPHDR_ACK;
    const u32 length = skb->len - th->doff * 4u + ((th->flags & TCPHDR_SYN) != 0) + ((th->flags & TCPHDR_FIN) != 0);
    out->ack_seq = htonl(ntohl(th->seq) + length);
  }
  TCP_INC(TCP_MIB_OutSegs);
  TCP_INC(TCP_MIB_OutRsts);
  send_unsourced(nullptr, answer, ip_hdr(skb)->daddr, ip_hdr(skb)->saddr, sk != nullptr ? sk->sk_bound_dev_if : 0, 0,
                 skb->mark);
}

// --- connect ---
int tcp_v4_connect(sock* sk, be32 daddr, be16 port, int oif) {
  tcp_sock* tp = tcp_sk(sk);
  flowi4 fl;
  fl.daddr = daddr;
  fl.saddr = tp->inet_saddr;
  fl.oif = oif != 0 ? oif : sk->sk_bound_dev_if;
  fl.mark = sk->sk_mark;
  fl.tos = tp->tos;
  fl.proto = IPPROTO_TCP;
  fl.sport = tp->inet_sport;
  fl.dport = port;
  fl.uid = sk->sk_uid;
  if (inet_can_nonlocal_bind(tp)) fl.flags |= FLOWI_FLAG_ANYSRC;
  rtable* rt = TRY(ip_route_output_flow(&fl, sk));
  if ((rt->rt_flags & (RTCF_MULTICAST | RTCF_BROADCAST)) != 0) {
    ip_rt_put(rt);
    return -ENETUNREACH;
  }
  if (tp->inet_saddr == 0) tp->inet_saddr = fl.saddr;
  sk->sk_v6_rcv_saddr = v4mapped(tp->inet_saddr);
  if (tp->rx_opt.ts_recent_stamp != 0 && sk_daddr(sk) != fl.daddr) {
    tp->rx_opt.ts_recent = 0;
    tp->rx_opt.ts_recent_stamp = 0;
    tp->write_seq = 0;
  }
  sk->sk_dport = port;
  sk->sk_v6_daddr = v4mapped(fl.daddr);
  tp->icsk_ext_hdr_len = 0;
  tp->icsk_af_ops = &ipv4_specific;
  tp->rx_opt.mss_clamp = TCP_MSS_DEFAULT;
  tcp_set_state(sk, TCP_SYN_SENT);
  int error = inet_hash_connect(sk);
  if (error == 0) {
    sk_dst_set(sk, rt);
    rt = nullptr;
    if (tp->write_seq == 0) tp->write_seq = secure_tcp_seq(sk->sk_v6_rcv_saddr, sk->sk_v6_daddr, tp->inet_sport, port);
    tp->tsoffset = secure_tcp_ts_off(sk->sk_v6_rcv_saddr, sk->sk_v6_daddr);
    tp->inet_id.store(static_cast<u32>(get_random_u64()));
    error = tcp_connect(sk);
  }
  if (error == 0) return 0;
  tcp_set_state(sk, TCP_CLOSE);
  ip_rt_put(rt);
  sk->sk_dport = 0;
  return error;
}

// --- receive ---
void tcp_fill_cb(sk_buff* skb, u8 dsfield) {
  const tcphdr* th = tcp_hdr(skb);
  tcp_skb_cb* cb = TCP_SKB_CB(skb);
  cb->seq = ntohl(th->seq);
  cb->end_seq = cb->seq + ((th->flags & TCPHDR_SYN) != 0) + ((th->flags & TCPHDR_FIN) != 0) + skb->len - th->doff * 4u;
  cb->ack_seq = ntohl(th->ack_seq);
  cb->tcp_flags = th->flags;
  cb->sacked = 0;
  cb->ip_dsfield = dsfield;
  cb->eor = false;
  cb->mstamp = 0;
}

// The socket's part: skb->data at the TCP header, slock held and not owned, or from the backlog.
int tcp_do_rcv(sock* sk, sk_buff* skb) {
  if (likely(sk->sk_state == TCP_ESTABLISHED)) {
    if (sk->sk_rx_dst != nullptr && skb->dst != sk->sk_rx_dst && !sk->sk_rx_dst->ops->check(sk->sk_rx_dst, 0)) {
      dst_release(sk->sk_rx_dst);
      sk->sk_rx_dst = nullptr;
    }
    if (sk->sk_rx_dst == nullptr && skb->dst != nullptr) sk->sk_rx_dst = dst_hold(skb->dst);
    tcp_rcv_established(sk, skb);
    return 0;
  }
  if (tcp_rcv_state_process(sk, skb) != 0) {
    if (skb->protocol == htons(ETH_P_IP))
      tcp_v4_send_reset(sk, skb);
    else if (tcp6_ops_ptr != nullptr)
      tcp6_ops_ptr->send_reset(sk, skb);
    kfree_skb_reason(skb, SKB_DROP_TCP_RESET);
  }
  return 0;
}

namespace {

struct Delivery {
  sk_buff* skb;
  const in6_addr& saddr;
  const in6_addr& daddr;
  const tcp_request_sock_ops* ops;
  void (*send_reset)(const sock* sk, sk_buff* skb);
  void (*send_ack)(sk_buff* skb, u32 seq, u32 ack, u32 win, u32 tsval, u32 tsecr, int oif, u8 tos, u32 mark);
};

int drop(sk_buff* skb, SkbDropReason why) {
  kfree_skb_reason(skb, why);
  return 0;
}

// A new connection (its slock held) takes its first segment and waits for accept.
void finish_child(sock* listener, sock* child, sk_buff* skb) {
  sock_hold(child);
  tcp_child_process(child, skb);
  if (inet_csk_reqsk_queue_add(listener, tcp_sk(child)))
    sock_def_readable(listener);
  else
    inet_child_forget(child);
  sock_put(child);
}

int deliver_listen(const Delivery& d, sock* sk) {
  sk_buff* skb = d.skb;
  const tcphdr* th = tcp_hdr(skb);
  if ((th->flags & TCPHDR_RST) != 0) return drop(skb, SKB_DROP_TCP_RESET);
  if ((th->flags & TCPHDR_ACK) != 0 && (th->flags & TCPHDR_SYN) == 0) {
    bool valid;
    sock* child = cookie_check(sk, skb, d.ops, d.saddr, d.daddr, &valid);
    if (child != nullptr) {
      finish_child(sk, child, skb);
      return 0;
    }
    if (valid) return drop(skb, SKB_DROP_NOMEM);  // the peer will try again
  }
  if ((th->flags & TCPHDR_ACK) != 0) {
    d.send_reset(sk, skb);
    return drop(skb, SKB_DROP_TCP_FLAGS);
  }
  if ((th->flags & TCPHDR_SYN) == 0 || (th->flags & TCPHDR_FIN) != 0) return drop(skb, SKB_DROP_TCP_FLAGS);
  tcp_conn_request(d.ops, sk, skb, d.saddr, d.daddr);
  consume_skb(skb);
  return 0;
}

// A segment for a request: its listener's reference is the request's.
int deliver_request(const Delivery& d, request_sock* req) {
  sk_buff* skb = d.skb;
  sock* listener = req->rsk_listener;
  if (listener->sk_state != TCP_LISTEN) {
    inet_csk_reqsk_queue_drop(req);
    reqsk_put(req);
    d.send_reset(nullptr, skb);
    return drop(skb, SKB_DROP_NO_SOCKET);
  }
  sock_hold(listener);
  bool reset, stolen;
  sock* child = tcp_check_req(listener, skb, req, &reset, &stolen);
  if (child != nullptr) {
    finish_child(listener, child, skb);
  } else if (!stolen) {
    if (reset) d.send_reset(listener, skb);
    kfree_skb(skb);
  }
  reqsk_put(req);
  sock_put(listener);
  return stolen ? tcp_deliver(skb, d.saddr, d.daddr, d.ops, d.send_reset, d.send_ack) : 0;
}

}  // namespace

int tcp_deliver(sk_buff* skb, const in6_addr& saddr, const in6_addr& daddr, const tcp_request_sock_ops* ops,
                void (*send_reset)(const sock* sk, sk_buff* skb),
                void (*send_ack)(sk_buff* skb, u32 seq, u32 ack, u32 win, u32 tsval, u32 tsecr, int oif, u8 tos,
                                 u32 mark)) {
  const Delivery d{skb, saddr, daddr, ops, send_reset, send_ack};
  const tcphdr* th = tcp_hdr(skb);
  const int dif = static_cast<int>(skb->skb_iif);
  sock_common* s = nullptr;
  if (skb->sk != nullptr && skb->destructor == sock_efree) {  // early demux found it
    s = skb->sk;
    skb->sk = nullptr;
    skb->destructor = nullptr;
  } else {
    s = inet_lookup_established(saddr, th->source, daddr, ntohs(th->dest), dif);
  }
  if (s == nullptr) s = inet_lookup_listener(saddr, th->source, daddr, ntohs(th->dest), dif);
  if (s == nullptr) {
    send_reset(nullptr, skb);
    return drop(skb, SKB_DROP_NO_SOCKET);
  }
  if (s->sk_state == TCP_TIME_WAIT) {
    inet_timewait_sock* tw = inet_twsk(s);
    u32 isn = 0;
    switch (tcp_timewait_state_process(tw, skb, &isn)) {
      case TCP_TW_SYN: {
        sock* listener = inet_lookup_listener(saddr, th->source, daddr, ntohs(th->dest), dif);
        if (listener == nullptr) {
          sock_gen_put(tw);
          send_reset(nullptr, skb);
          return drop(skb, SKB_DROP_NO_SOCKET);
        }
        inet_twsk_deschedule_put(tw);
        TCP_SKB_CB(skb)->ack_seq = isn;
        TCP_SKB_CB(skb)->sacked = 1;
        const int result = deliver_listen(d, listener);
        sock_put(listener);
        return result;
      }
      case TCP_TW_ACK:
        send_ack(skb, tw->tw_snd_nxt, tw->tw_rcv_nxt, tw->tw_rcv_wnd >> tw->tw_rcv_wscale,
                 tcp_time_stamp_ms(ktime_get()) + tw->tw_ts_offset, tw->tw_ts_recent, tw->sk_bound_dev_if, tw->tw_tos,
                 tw->tw_mark);
        sock_gen_put(tw);
        break;
      case TCP_TW_RST: send_reset(nullptr, skb); break;
      case TCP_TW_SUCCESS: break;
    }
    return drop(skb, SKB_DROP_NOT_SPECIFIED);
  }
  if (s->sk_state == TCP_NEW_SYN_RECV) return deliver_request(d, inet_reqsk(s));
  sock* sk = static_cast<sock*>(s);
  const auto put = [&](int result) {
    sock_put(sk);
    return result;
  };
  if (inet_sk(sk)->min_ttl != 0 && skb->protocol == htons(ETH_P_IP) && ip_hdr(skb)->ttl < inet_sk(sk)->min_ttl) {
    NET_INC(LINUX_MIB_TCPMinTTLDrop);
    return put(drop(skb, SKB_DROP_IP_TTL));
  }
  if (sk_filter_skb(sk, skb) != 0) return put(drop(skb, SKB_DROP_SOCKET_FILTER));
  if (sk->sk_state == TCP_LISTEN) return put(deliver_listen(d, sk));
  bh_lock_sock(sk);
  tcp_sk(sk)->segs_in += max<u32>(1, skb_shinfo(skb)->gso_segs);
  if (!sock_owned_by_user(sk)) {
    tcp_do_rcv(sk, skb);
  } else if (sk_add_backlog(sk, skb, sk->sk_rcvbuf + sk->sk_sndbuf + 64 * 1024) != 0) {
    bh_unlock_sock(sk);
    NET_INC(LINUX_MIB_TCPBacklogDrop);
    return put(drop(skb, SKB_DROP_SOCKET_BACKLOG));
  }
  bh_unlock_sock(sk);
  return put(0);
}

int tcp_v4_rcv(sk_buff* skb) {
  if (skb->pkt_type != PACKET_HOST) return drop(skb, SKB_DROP_OTHERHOST);
  TCP_INC(TCP_MIB_InSegs);
  if (!pskb_may_pull(skb, sizeof(tcphdr))) return drop(skb, SKB_DROP_PKT_TOO_SMALL);
  if (tcp_hdr(skb)->doff < sizeof(tcphdr) / 4) {
    TCP_INC(TCP_MIB_InErrs);
    return drop(skb, SKB_DROP_PKT_TOO_SMALL);
  }
  if (!pskb_may_pull(skb, tcp_hdrlen(skb))) return drop(skb, SKB_DROP_PKT_TOO_SMALL);
  if (!checksum_ok(skb)) {
    TCP_INC(TCP_MIB_InCsumErrors);
    TCP_INC(TCP_MIB_InErrs);
    return drop(skb, SKB_DROP_TCP_CSUM);
  }
  const iphdr* ip = ip_hdr(skb);
  tcp_fill_cb(skb, ip->tos);
  return tcp_deliver(skb, v4mapped(ip->saddr), v4mapped(ip->daddr), &tcp_request_sock_ipv4_ops, tcp_v4_send_reset,
                     tcp_v4_send_ack);
}

namespace {

// Before routing: an established connection knows the way already.
void tcp_v4_early_demux(sk_buff* skb) {
  if (skb->pkt_type != PACKET_HOST || !pskb_may_pull(skb, ip_hdrlen(skb) + sizeof(tcphdr))) return;
  const iphdr* ip = ip_hdr(skb);
  const tcphdr* th = reinterpret_cast<const tcphdr*>(reinterpret_cast<const u8*>(ip) + ip->ihl * 4u);
  if (th->doff < sizeof(tcphdr) / 4) return;
  sock_common* s = inet_lookup_established(v4mapped(ip->saddr), th->source, v4mapped(ip->daddr), ntohs(th->dest),
                                           static_cast<int>(skb->skb_iif));
  if (s == nullptr) return;
  if (s->sk_state == TCP_TIME_WAIT || s->sk_state == TCP_NEW_SYN_RECV) {
    sock_gen_put(s);
    return;
  }
  sock* sk = static_cast<sock*>(s);
  skb->sk = sk;
  skb->destructor = sock_efree;
  bh_lock_sock(sk);
  dst_entry* dst = sk->sk_rx_dst;
  if (dst != nullptr && dst->ops->check(dst, 0)) skb->dst = dst_hold(dst);
  bh_unlock_sock(sk);
}

int tcp_v4_err(sk_buff* skb, u32 info) {
  const iphdr* ip = reinterpret_cast<const iphdr*>(skb->data);
  const u32 hlen = ip->ihl * 4u;
  if (!pskb_may_pull(skb, hlen + 8)) return 0;
  ip = reinterpret_cast<const iphdr*>(skb->data);
  const tcphdr* th = reinterpret_cast<const tcphdr*>(skb->data + hlen);
  const u8 type = icmp_hdr(skb)->type, code = icmp_hdr(skb)->code;
  sock_common* s = inet_lookup_established(v4mapped(ip->daddr), th->dest, v4mapped(ip->saddr), ntohs(th->source),
                                           static_cast<int>(skb->skb_iif));
  if (s == nullptr) {
    ICMP_INC(ICMP_MIB_InErrors);
    return -ENOENT;
  }
  const u32 seq = ntohl(th->seq);
  if (s->sk_state == TCP_TIME_WAIT) {
    sock_gen_put(s);
    return 0;
  }
  const bool hard_unreach = type == ICMP_PARAMETERPROB || type == ICMP_TIME_EXCEEDED ||
                            (type == ICMP_DEST_UNREACH && (code == ICMP_NET_UNREACH || code == ICMP_HOST_UNREACH));
  if (s->sk_state == TCP_NEW_SYN_RECV) {
    request_sock* req = inet_reqsk(s);
    if (seq == req->snt_isn && hard_unreach) inet_csk_reqsk_queue_drop(req);
    reqsk_put(req);
    return 0;
  }
  sock* sk = static_cast<sock*>(s);
  tcp_sock* tp = tcp_sk(sk);
  bh_lock_sock(sk);
  const auto out = [&] {
    bh_unlock_sock(sk);
    sock_put(sk);
    return 0;
  };
  const bool frag = type == ICMP_DEST_UNREACH && code == ICMP_FRAG_NEEDED;
  if (sock_owned_by_user(sk) && !frag) NET_INC(LINUX_MIB_LockDroppedIcmps);
  if (sk->sk_state == TCP_CLOSE) return out();
  // Only about what is under way, or anybody could forge it. [RFC 5927, 4.1]
  if (sk->sk_state != TCP_LISTEN && !tcp_between(seq, tp->snd_una, tp->snd_nxt)) {
    NET_INC(LINUX_MIB_OutOfWindowIcmps);
    return out();
  }
  int err = 0;
  switch (type) {
    case ICMP_PARAMETERPROB: err = EPROTO; break;
    case ICMP_DEST_UNREACH:
      if (code > 15) return out();
      if (frag) {
        if (sk->sk_state == TCP_LISTEN) return out();
        tp->mtu_probe_size = info;
        if (!sock_owned_by_user(sk))
          tcp_v4_mtu_reduced(sk);
        else
          tp->tsq_flags.fetch_or(TCPF_MTU_REDUCED_DEFERRED);
        return out();
      }
      err = icmp_err_convert[code].error;
      break;
    case ICMP_TIME_EXCEEDED: err = EHOSTUNREACH; break;
    default: return out();
  }
  if (sk->sk_state == TCP_SYN_SENT || sk->sk_state == TCP_SYN_RECV) {
    if (inet_sk(sk)->recverr)
      ip_icmp_error(sk, skb, err, th->dest, info, const_cast<u8*>(reinterpret_cast<const u8*>(th)));
    if (!sock_owned_by_user(sk)) {
      sk_set_err(sk, err);
      sock_def_error_report(sk);
      tcp_done(sk);
    }
    return out();
  }
  // Established connections survive: routes come back. [RFC 1122, 4.2.3.9]
  if (!sock_owned_by_user(sk) && inet_sk(sk)->recverr) {
    sk_set_err(sk, err);
    sock_def_error_report(sk);
  }
  return out();
}

const net_protocol tcp_protocol{tcp_v4_rcv, tcp_v4_err, tcp_v4_early_demux, true};

}  // namespace

// A router on the way asked for smaller packets. [RFC 1191]
void tcp_v4_mtu_reduced(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  if (((1u << sk->sk_state) & (TCPF_LISTEN | TCPF_CLOSE)) != 0 || sk->sk_dst_cache == nullptr) return;
  const u32 mtu = tp->mtu_probe_size;
  if (sk->sk_v6_daddr.v4mapped()) ip_rt_update_pmtu(sk->sk_dst_cache, sk_daddr(sk), mtu);
  sk_dst_reset(sk);
  if (tp->icsk_af_ops->rebuild_header(sk) != 0) return;
  const u32 path = dst_mtu(sk->sk_dst_cache);
  if (tp->pmtudisc != IP_PMTUDISC_DONT && tp->icsk_pmtu_cookie > path) {
    tcp_sync_mss(sk, path);
    tcp_simple_retransmit(sk);
  }
}

void tcp_v4_init() { inet_add_protocol(&tcp_protocol, IPPROTO_TCP); }

}  // namespace xm::os
