// SPDX-License-Identifier: GPL-2.0-or-later
// Segments that carry no data of the program: ACK at once or late, FIN, reset, SYN and SYN-ACK, window probes. [RFC
// 9293, 3.8.6.1]
#include "kernel/net/ipv4/tcp_internal.h"
#include "kernel/net/tcp.h"

namespace xm::os {

// --- segments without data ---

namespace {

void tcp_init_nondata_skb(sk_buff* skb, u32 seq, u8 flags) {
  skb->ip_summed = CHECKSUM_PARTIAL;
  tcp_skb_cb* tcb = TCP_SKB_CB(skb);
  *tcb = {};
  tcb->tcp_flags = flags;
  skb_shinfo(skb)->gso_segs = 1;
  tcb->seq = seq;
  if ((flags & (TCPHDR_SYN | TCPHDR_FIN)) != 0) ++seq;
  tcb->end_seq = seq;
}
sk_buff* alloc_nondata(gfp_t gfp) {
  sk_buff* skb = alloc_skb(kMaxTcpHeader, gfp);
  if (skb != nullptr) skb_reserve(skb, kMaxTcpHeader);
  return skb;
}

}  // namespace

void tcp_send_ack(sock* sk) {
  if (sk->sk_state == TCP_CLOSE) return;
  tcp_sock* tp = tcp_sk(sk);
  sk_buff* skb = alloc_nondata(GFP_ATOMIC);
  if (skb == nullptr) {
    inet_connection_sock* icsk = inet_csk(sk);
    inet_csk_schedule_ack(sk);
    icsk->icsk_ack.ato = TCP_ATO_MIN;
    inet_csk_reset_xmit_timer(sk, ICSK_ACK_TIMER, TCP_DELACK_MAX);
    return;
  }
  tcp_init_nondata_skb(skb, tp->snd_nxt, TCPHDR_ACK);
  tcp_mstamp_refresh(tp);
  tcp_transmit_skb(sk, skb, false, GFP_ATOMIC, tp->rcv_nxt);
}

void tcp_send_delayed_ack(sock* sk) {
  inet_connection_sock* icsk = inet_csk(sk);
  tcp_sock* tp = tcp_sk(sk);
  u64 ato = icsk->icsk_ack.ato;
  if (ato > TCP_DELACK_MIN) {
    u64 max_ato = kNsPerSec / 2;
    if (icsk->icsk_ack.pingpong >= 3 || (icsk->icsk_ack.pending & ICSK_ACK_PUSHED) != 0) max_ato = TCP_DELACK_MAX;
    if (tp->srtt_us != 0) {
      const u64 rtt = max<u64>((tp->srtt_us >> 3) * 1000ul, TCP_DELACK_MIN);
      max_ato = min(max_ato, rtt);
    }
    ato = min(ato, max_ato);
  }
  ato = min(ato, TCP_DELACK_MAX);
  u64 timeout = ktime_get() + ato;
  if ((icsk->icsk_ack.pending & ICSK_ACK_TIMER) != 0) {
    if (icsk->icsk_ack.timeout <= ktime_get() + (ato >> 2)) return tcp_send_ack(sk);
    timeout = min(timeout, icsk->icsk_ack.timeout);
  }
  icsk->icsk_ack.pending |= ICSK_ACK_SCHED | ICSK_ACK_TIMER;
  icsk->icsk_ack.timeout = timeout;
  sk_reset_timer(sk, &icsk->icsk_delack_timer, timeout);
}

void tcp_send_fin(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  sk_buff* tail = skb_peek_tail(&sk->sk_write_queue);
  if (tail != nullptr && tp->send_head != nullptr) {  // what is last and not sent carries it
    TCP_SKB_CB(tail)->tcp_flags |= TCPHDR_FIN;
    ++TCP_SKB_CB(tail)->end_seq;
    ++tp->write_seq;
  } else {
    sk_buff* skb = alloc_nondata(GFP_ATOMIC);
    if (skb == nullptr) return;
    tcp_init_nondata_skb(skb, tp->write_seq, TCPHDR_ACK | TCPHDR_FIN);
    ++tp->write_seq;
    sk->sk_wmem_queued += static_cast<s32>(skb->truesize);
    sk_mem_charge(sk, static_cast<s32>(skb->truesize));
    tcp_add_write_queue_tail(sk, skb);
  }
  __tcp_push_pending_frames(sk, tcp_current_mss(sk), TCP_NAGLE_OFF);
}

void tcp_send_active_reset(sock* sk) {
  TCP_INC(TCP_MIB_OutRsts);
  tcp_sock* tp = tcp_sk(sk);
  sk_buff* skb = alloc_nondata(GFP_ATOMIC);
  if (skb == nullptr) {
    NET_INC(LINUX_MIB_TCPAbortFailed);
    return;
  }
  const u32 seq = before(tcp_wnd_end(tp), tp->snd_nxt) ? tcp_wnd_end(tp) : tp->snd_nxt;
  tcp_init_nondata_skb(skb, seq, TCPHDR_ACK | TCPHDR_RST);
  tcp_mstamp_refresh(tp);
  if (tcp_transmit_skb(sk, skb, false, GFP_ATOMIC, tp->rcv_nxt) != 0) NET_INC(LINUX_MIB_TCPAbortFailed);
}

// Simultaneous open: our SYN, now with the peer's acknowledged.
int tcp_send_synack(sock* sk) {
  sk_buff* skb = tcp_rtx_queue_head(sk);
  if (skb == nullptr || (TCP_SKB_CB(skb)->tcp_flags & TCPHDR_SYN) == 0) return -EFAULT;
  TCP_SKB_CB(skb)->tcp_flags |= TCPHDR_ACK;
  return tcp_transmit_skb(sk, skb, true, GFP_ATOMIC, tcp_sk(sk)->rcv_nxt);
}

// --- active open ---

namespace {

void tcp_connect_init(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  const dst_entry* dst = sk->sk_dst_cache;
  tp->tcp_header_len = sizeof(tcphdr) + (sysctl_tcp_timestamps != 0 ? TCPOLEN_TSTAMP_ALIGNED : 0);
  if (tp->rx_opt.user_mss != 0) tp->rx_opt.mss_clamp = tp->rx_opt.user_mss;
  tp->max_window = 0;
  tcp_sync_mss(sk, dst_mtu(dst));
  u32 advmss = dst->ops->advmss(dst);
  if (tp->rx_opt.user_mss != 0) advmss = min<u32>(advmss, tp->rx_opt.user_mss);
  tp->advmss = static_cast<u16>(advmss);
  tcp_initialize_rcv_mss(sk);
  if (tp->window_clamp == 0) tp->window_clamp = dst->metric_window;
  if ((sk->sk_userlocks & SOCK_RCVBUF_LOCK) != 0 &&
      (tp->window_clamp > static_cast<u32>(tcp_full_space(sk)) || tp->window_clamp == 0))
    tp->window_clamp = static_cast<u32>(tcp_full_space(sk));
  u8 wscale;
  tcp_select_initial_window(static_cast<u32>(tcp_full_space(sk)),
                            tp->advmss - (tp->rx_opt.ts_recent_stamp != 0 ? tp->tcp_header_len - 20u : 0u),
                            &tp->rcv_wnd, &tp->window_clamp, sysctl_tcp_window_scaling != 0, &wscale, 0);
  tp->rx_opt.rcv_wscale = wscale;
  tp->rcv_ssthresh = tp->rcv_wnd;
  sk->sk_err.store(0);
  tp->snd_wnd = 0;
  tp->snd_wl1 = 0;
  tcp_write_queue_purge(sk);
  tp->snd_una = tp->snd_sml = tp->snd_up = tp->snd_nxt = tp->write_seq;
  tp->rcv_nxt = 0;
  tp->rcv_wup = tp->rcv_nxt;
  tp->copied_seq = tp->rcv_nxt;
  inet_csk(sk)->icsk_rto = TCP_TIMEOUT_INIT;
  inet_csk(sk)->icsk_retransmits = 0;
  tcp_clear_retrans(tp);
}

}  // namespace

int tcp_connect(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  tcp_connect_init(sk);
  sk_buff* skb = alloc_nondata(GFP_KERNEL);
  if (skb == nullptr) return -ENOBUFS;
  tcp_init_nondata_skb(skb, tp->write_seq++, TCPHDR_SYN);
  if (sysctl_tcp_ecn == 1) {
    TCP_SKB_CB(skb)->tcp_flags |= TCPHDR_ECE | TCPHDR_CWR;
    tp->ecn_flags = TCP_ECN_OK;
  } else {
    tp->ecn_flags = 0;
  }
  tcp_mstamp_refresh(tp);
  tp->retrans_stamp = max(tcp_time_stamp_ms(tp->tcp_mstamp) + tp->tsoffset, 1u);
  sk->sk_wmem_queued += static_cast<s32>(skb->truesize);
  sk_mem_charge(sk, static_cast<s32>(skb->truesize));
  tcp_add_write_queue_tail(sk, skb);
  tp->packets_out += tcp_skb_pcount(skb);
  const u8 ecn = tp->ecn_flags;
  tp->ecn_flags = 0;  // the SYN itself is not marked
  tp->send_head = nullptr;
  const int error = tcp_transmit_skb(sk, skb, true, GFP_ATOMIC, 0);
  tp->ecn_flags = ecn;
  if (error == -ECONNREFUSED) return error;
  tp->snd_nxt = tp->write_seq;
  tp->pushed_seq = tp->write_seq;
  TCP_INC(TCP_MIB_ActiveOpens);
  tcp_reset_xmit_timer(sk, ICSK_TIME_RETRANS, inet_csk(sk)->icsk_rto);
  return 0;
}

// --- zero window [RFC 9293, 3.8.6.1] ---

namespace {

int tcp_xmit_probe_skb(sock* sk, int urgent) {
  tcp_sock* tp = tcp_sk(sk);
  sk_buff* skb = alloc_nondata(GFP_ATOMIC);
  if (skb == nullptr) return -1;
  // An old sequence number: the peer must answer with its window.
  tcp_init_nondata_skb(skb, tp->snd_una - (urgent == 0 ? 1 : 0), TCPHDR_ACK);
  tcp_mstamp_refresh(tp);
  return tcp_transmit_skb(sk, skb, false, GFP_ATOMIC, tp->rcv_nxt);
}

}  // namespace

int tcp_write_wakeup(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  if (sk->sk_state == TCP_CLOSE) return -1;
  sk_buff* skb = tp->send_head;
  if (skb != nullptr && before(TCP_SKB_CB(skb)->seq, tcp_wnd_end(tp))) {
    const u32 mss = tcp_current_mss(sk);
    u32 seg = tcp_wnd_end(tp) - TCP_SKB_CB(skb)->seq;
    if (before(tp->pushed_seq, TCP_SKB_CB(skb)->end_seq)) tp->pushed_seq = TCP_SKB_CB(skb)->end_seq;
    if (seg < TCP_SKB_CB(skb)->end_seq - TCP_SKB_CB(skb)->seq || skb->len > mss) {
      seg = min(seg, mss);
      TCP_SKB_CB(skb)->tcp_flags |= TCPHDR_PSH;
      if (skb->len > seg && tcp_fragment(sk, skb, seg, mss, GFP_ATOMIC) != 0) return -1;
    } else if (tcp_skb_pcount(skb) == 0) {
      tcp_set_skb_tso_segs(skb, mss);
    }
    TCP_SKB_CB(skb)->tcp_flags |= TCPHDR_PSH;
    tcp_mstamp_refresh(tp);
    const int error = tcp_transmit_skb(sk, skb, true, GFP_ATOMIC, tp->rcv_nxt);
    if (error == 0) tcp_event_new_data_sent(sk, skb);
    return error;
  }
  if (tcp_between(tp->snd_up, tp->snd_una + 1, tp->snd_una + 0xffff)) tcp_xmit_probe_skb(sk, 1);
  return tcp_xmit_probe_skb(sk, 0);
}

void tcp_send_probe0(sock* sk) {
  inet_connection_sock* icsk = inet_csk(sk);
  const int error = tcp_write_wakeup(sk);
  if (tcp_sk(sk)->packets_out > 0 || tcp_sk(sk)->send_head == nullptr) {
    icsk->icsk_probes_out = 0;
    icsk->icsk_backoff = 0;
    icsk->icsk_probes_tstamp = 0;
    return;
  }
  ++icsk->icsk_probes_out;
  u64 timeout;
  if (error <= 0) {
    if (icsk->icsk_backoff < sysctl_tcp_retries2) ++icsk->icsk_backoff;
    timeout = min(max(icsk->icsk_rto, TCP_RTO_MIN) << min<u8>(icsk->icsk_backoff, 20), TCP_RTO_MAX);
  } else {
    timeout = TCP_RESOURCE_PROBE_INTERVAL;
  }
  tcp_reset_xmit_timer(sk, ICSK_TIME_PROBE0, timeout);
}

// --- answers of a listener ---
// SYN-ACK of a request: skb with data at the TCP header; the checksum is the family's.
sk_buff* tcp_make_synack(const sock* listener, dst_entry* dst, request_sock* req) {
  sk_buff* skb = alloc_nondata(GFP_ATOMIC);
  if (skb == nullptr) return nullptr;
  const tcp_sock* tp = tcp_sk(listener);
  u32 mss = dst->ops->advmss(dst);
  if (tp->rx_opt.user_mss != 0) mss = min<u32>(mss, tp->rx_opt.user_mss);
  if (req->rsk_rcv_wnd == 0) {
    req->rsk_window_clamp = tp->window_clamp != 0 ? tp->window_clamp : dst->metric_window;
    const u32 space = static_cast<u32>(tcp_full_space(listener));
    if ((listener->sk_userlocks & SOCK_RCVBUF_LOCK) != 0 &&
        (req->rsk_window_clamp > space || req->rsk_window_clamp == 0))
      req->rsk_window_clamp = space;
    tcp_select_initial_window(space, mss - (req->tstamp_ok ? TCPOLEN_TSTAMP_ALIGNED : 0), &req->rsk_rcv_wnd,
                              &req->rsk_window_clamp, req->wscale_ok, &req->rcv_wscale, 0);
  }
  const u64 now = ktime_get();
  if (req->snt_synack == 0) req->snt_synack = now;
  tcp_out_options o;
  o.mss_set = true;
  o.mss = static_cast<u16>(mss);
  if (req->wscale_ok) {
    o.wscale = true;
    o.ws = req->rcv_wscale;
  }
  if (req->tstamp_ok) {
    o.ts = true;
    o.tsval = req->cookie ? cookie_init_timestamp(req) : tcp_time_stamp_ms(now) + req->ts_off;
    o.tsecr = req->ts_recent;
  }
  o.sack_perm = req->sack_ok;
  const u32 header = static_cast<u32>(sizeof(tcphdr)) + option_bytes(o);
  skb_push(skb, header);
  skb_reset_transport_header(skb);
  tcphdr* th = tcp_hdr(skb);
  memset(th, 0, sizeof *th);
  th->doff = static_cast<u8>(header >> 2) & 15;
  th->flags = TCPHDR_SYN | TCPHDR_ACK;
  if (req->ecn_ok) th->flags |= TCPHDR_ECE;
  th->source = htons(req->sk_num);
  th->dest = req->sk_dport;
  th->seq = htonl(req->snt_isn);
  th->ack_seq = htonl(req->rcv_nxt);
  th->window = htons(static_cast<u16>(min(req->rsk_rcv_wnd, 65535u)));
  tcp_options_write(reinterpret_cast<u8*>(th + 1), o, nullptr);
  TCP_INC(TCP_MIB_OutSegs);
  skb->mark = req->mark;
  return skb;
}

int tcp_send_rtx_synack(const sock* listener, request_sock* req, dst_entry* dst) {
  if (dst == nullptr) dst = req->ops->route_req(listener, req);
  if (dst == nullptr) return -ENETUNREACH;
  sk_buff* skb = tcp_make_synack(listener, dst, req);
  if (skb == nullptr) {
    dst_release(dst);
    return -ENOMEM;
  }
  req->ops->send_skb(listener, req, skb, dst);
  return 0;
}

int tcp_rtx_synack(const sock* listener, request_sock* req) {
  const int error = tcp_send_rtx_synack(listener, req, nullptr);
  if (error == 0) {
    TCP_INC(TCP_MIB_RetransSegs);
    NET_INC(LINUX_MIB_TCPSynRetrans);
  }
  return error;
}

// What timers and freed buffers asked for while the owner had the socket.
void tcp_release_cb(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  constexpr u32 kDeferred =
      TCPF_TSQ_DEFERRED | TCPF_WRITE_TIMER_DEFERRED | TCPF_DELACK_TIMER_DEFERRED | TCPF_MTU_REDUCED_DEFERRED;
  if (likely((tp->tsq_flags.load() & kDeferred) == 0)) return;
  const u32 flags = tp->tsq_flags.fetch_and(~kDeferred);
  if ((flags & TCPF_TSQ_DEFERRED) != 0 && sk->sk_state != TCP_CLOSE)
    tcp_write_xmit(sk, tcp_current_mss(sk), tp->nonagle, 0, GFP_ATOMIC);
  if ((flags & TCPF_WRITE_TIMER_DEFERRED) != 0) tcp_write_timer_handler(sk);
  if ((flags & TCPF_DELACK_TIMER_DEFERRED) != 0) tcp_delack_timer_handler(sk);
  if ((flags & TCPF_MTU_REDUCED_DEFERRED) != 0) tcp_v4_mtu_reduced(sk);
}

}  // namespace xm::os
