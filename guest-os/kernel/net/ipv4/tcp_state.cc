// SPDX-License-Identifier: GPL-2.0-or-later
// TCP outside the established state: connection requests (with SYN cookies when the back-log is full), the handshake,
// the ways to close. [RFC 9293, 3.10.7]
#include "kernel/drivers/random.h"
#include "kernel/init/printk.h"
#include "kernel/net/tcp.h"
#include "kernel/net/tcp_ack.h"

namespace xm::os {

// `sacks`: where the blocks go, or null. `tp`: an established connection, or null for a SYN.
void tcp_parse_options(const sk_buff* skb, tcp_options_received* opt, tcp_sack_block* sacks, const tcp_sock* tp) {
  const tcphdr* th = tcp_hdr(skb);
  const bool syn = (th->flags & TCPHDR_SYN) != 0, estab = tp != nullptr && !syn;
  const u8* p = reinterpret_cast<const u8*>(th + 1);
  s32 left = th->doff * 4 - static_cast<s32>(sizeof(tcphdr));
  opt->saw_tstamp = false;
  if (sacks != nullptr) opt->num_sacks = 0;
  while (left > 0) {
    const u8 code = *p;
    if (code == TCPOPT_EOL) return;
    if (code == TCPOPT_NOP) {
      ++p;
      --left;
      continue;
    }
    if (left < 2 || p[1] < 2 || p[1] > left) return;
    const u8 size = p[1];
    switch (code) {
      case TCPOPT_MSS:
        if (size == 4 && syn && !estab) {
          u16 mss = ntohs(get_unaligned<be16>(p + 2));
          if (mss != 0) {
            if (opt->user_mss != 0 && opt->user_mss < mss) mss = opt->user_mss;
            opt->mss_clamp = mss;
          }
        }
        break;
      case TCPOPT_WINDOW:
        if (size == 3 && syn && !estab && sysctl_tcp_window_scaling != 0) {
          opt->wscale_ok = true;
          opt->snd_wscale = min<u8>(p[2], TCP_MAX_WSCALE);
        }
        break;
      case TCPOPT_TIMESTAMP:
        if (size == 10 && ((estab && opt->tstamp_ok) || (!estab && sysctl_tcp_timestamps != 0))) {
          opt->saw_tstamp = true;
          opt->rcv_tsval = ntohl(get_unaligned<be32>(p + 2));
          opt->rcv_tsecr = ntohl(get_unaligned<be32>(p + 6));
        }
        break;
      case TCPOPT_SACK_PERM:
        if (size == 2 && syn && !estab && sysctl_tcp_sack != 0) {
          opt->sack_ok = true;
          opt->dsack = false;
          opt->num_sacks = 0;
        }
        break;
      case TCPOPT_SACK:
        if (size >= 10 && (size - 2) % 8 == 0 && opt->sack_ok && sacks != nullptr) {
          const u32 n = min((size - 2u) / 8, 4u);
          for (u32 i = 0; i < n; ++i)
            sacks[i] = {ntohl(get_unaligned<be32>(p + 2 + 8 * i)), ntohl(get_unaligned<be32>(p + 6 + 8 * i))};
          opt->num_sacks = static_cast<u8>(n);
        }
        break;
      default: break;
    }
    p += size;
    left -= size;
  }
}

void tcp_ecn_rcv_syn(tcp_sock* tp, const tcphdr* th) {
  if ((tp->ecn_flags & TCP_ECN_OK) != 0 && (th->flags & TCPHDR_ECE) == 0) tp->ecn_flags = 0;
}

u32 tcp_init_cwnd(const tcp_sock* tp) {
  const dst_entry* dst = tp->sk_dst_cache;
  const u32 cwnd = dst != nullptr && dst->metric_initcwnd != 0 ? dst->metric_initcwnd : TCP_INIT_CWND;
  return min(cwnd, tp->snd_cwnd_clamp);
}

void tcp_init_metrics(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  tp->snd_ssthresh = TCP_INFINITE_SSTHRESH;
  tp->reordering = static_cast<u32>(sysctl_tcp_reordering);
  if (tp->srtt_us == 0 && tp->total_retrans > 0)  // no sample: our first guess was wrong [RFC 6298, 5.7]
    tp->rttvar_us = tp->mdev_us = tp->mdev_max_us = static_cast<u32>(TCP_TIMEOUT_FALLBACK / 1000),
    tp->icsk_rto = TCP_TIMEOUT_FALLBACK;
}

// The handshake is over, from either side.
void tcp_init_transfer(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  tcp_init_metrics(sk);
  tp->snd_cwnd = tp->total_retrans > 1 && tp->undo_marker != 0 ? 1 : tcp_init_cwnd(tp);
  tp->snd_cwnd_stamp = ktime_get();
  tcp_init_congestion_control(sk);
  tcp_init_buffer_space(sk);
}

void tcp_finish_connect(sock* sk, sk_buff* skb) {
  tcp_sock* tp = tcp_sk(sk);
  inet_connection_sock* icsk = inet_csk(sk);
  tcp_set_state(sk, TCP_ESTABLISHED);
  icsk->icsk_ack.lrcvtime = ktime_get();
  if (skb != nullptr) {
    dst_release(sk->sk_rx_dst);
    sk->sk_rx_dst = skb->dst != nullptr ? dst_hold(skb->dst) : nullptr;
  }
  tcp_init_transfer(sk);
  tp->lsndtime = ktime_get();
  if (sk->sk_keepalive) inet_csk_reset_keepalive_timer(sk, keepalive_time_when(tp));
  tp->pred_flags = 0;
  if (tp->rx_opt.snd_wscale == 0) tcp_fast_path_check(sk);
}

// --- the answer to our SYN ---
namespace {

// -1: dealt with, discard. 0: go on with the segment. 1: answer with a reset.
int tcp_rcv_synsent_state_process(sock* sk, sk_buff* skb, const tcphdr* th) {
  inet_connection_sock* icsk = inet_csk(sk);
  tcp_sock* tp = tcp_sk(sk);
  const tcp_skb_cb* cb = TCP_SKB_CB(skb);
  const u16 saved_clamp = tp->rx_opt.mss_clamp;
  tcp_parse_options(skb, &tp->rx_opt, nullptr, nullptr);
  if (tp->rx_opt.saw_tstamp && tp->rx_opt.rcv_tsecr != 0) tp->rx_opt.rcv_tsecr -= tp->tsoffset;
  const auto discard = [&](SkbDropReason why, int result) {
    tp->rx_opt.mss_clamp = saved_clamp;
    tp->rx_opt.sack_ok = tp->rx_opt.wscale_ok = tp->rx_opt.tstamp_ok = false;
    if (result < 0) kfree_skb_reason(skb, why);
    return result;
  };
  const bool ack = (th->flags & TCPHDR_ACK) != 0, syn = (th->flags & TCPHDR_SYN) != 0,
             rst = (th->flags & TCPHDR_RST) != 0;
  if (ack) {
    if (!after(cb->ack_seq, tp->snd_una) || after(cb->ack_seq, tp->snd_nxt)) {
      if (icsk->icsk_retransmits == 0) inet_csk_reset_xmit_timer(sk, ICSK_TIME_RETRANS, 500 * kMs);
      return discard(SKB_DROP_TCP_INVALID_SEQUENCE, rst ? -1 : 1);
    }
    if (tp->rx_opt.saw_tstamp && tp->rx_opt.rcv_tsecr != 0) {
      const u32 first = tp->retrans_stamp - tp->tsoffset, now = tcp_time_stamp_ms(ktime_get());
      if (!tcp_between(tp->rx_opt.rcv_tsecr, first, now)) return discard(SKB_DROP_TCP_INVALID_SEQUENCE, 1);
    }
    if (rst) {
      tcp_reset(sk, skb);
      return discard(SKB_DROP_TCP_RESET, -1);
    }
    if (!syn) return discard(SKB_DROP_TCP_FLAGS, -1);
    tcp_ecn_rcv_syn(tp, th);
    tp->snd_wl1 = cb->seq;
    tcp_mstamp_refresh(tp);
    tcp_ack(sk, skb, FLAG_SLOWPATH);
    write_once(tp->rcv_nxt, cb->seq + 1);
    tp->rcv_wup = cb->seq + 1;
    tp->snd_wnd = ntohs(th->window);
    if (!tp->rx_opt.wscale_ok) {
      tp->rx_opt.snd_wscale = tp->rx_opt.rcv_wscale = 0;
      tp->window_clamp = min(tp->window_clamp, 65535u);
    }
    if (tp->rx_opt.saw_tstamp) {
      tp->rx_opt.tstamp_ok = true;
      tp->tcp_header_len = sizeof(tcphdr) + TCPOLEN_TSTAMP_ALIGNED;
      tp->rx_opt.ts_recent = tp->rx_opt.rcv_tsval;
      tp->rx_opt.ts_recent_stamp = ktime_get();
    } else {
      tp->tcp_header_len = sizeof(tcphdr);
    }
    tcp_sync_mss(sk, tp->icsk_pmtu_cookie);
    tcp_initialize_rcv_mss(sk);
    write_once(tp->copied_seq, tp->rcv_nxt);
    tp->max_window = max(tp->max_window, tp->snd_wnd);
    tcp_finish_connect(sk, skb);
    if (!sk->sk_dead) wake_up_all(sk->sk_wait, POLLOUT | POLLWRNORM);
    if (tp->send_head != nullptr || icsk->icsk_accept_queue.rskq_defer_accept != 0 || icsk->icsk_ack.pingpong >= 3) {
      // Data follows at once and carries the ACK; if not, the timer does.
      inet_csk_schedule_ack(sk);
      tcp_enter_quickack_mode(sk, TCP_MAX_QUICKACKS);
      inet_csk_reset_xmit_timer(sk, ICSK_ACK_TIMER, TCP_DELACK_MAX);
      kfree_skb(skb);
      return -1;
    }
    tcp_send_ack(sk);
    consume_skb(skb);
    return -1;
  }
  if (rst) return discard(SKB_DROP_TCP_RESET, -1);
  if (syn) {  // both open at once [RFC 9293, 3.5, Figure 7]
    tcp_set_state(sk, TCP_SYN_RECV);
    if (tp->rx_opt.saw_tstamp) {
      tp->rx_opt.tstamp_ok = true;
      tp->rx_opt.ts_recent = tp->rx_opt.rcv_tsval;
      tp->rx_opt.ts_recent_stamp = ktime_get();
      tp->tcp_header_len = sizeof(tcphdr) + TCPOLEN_TSTAMP_ALIGNED;
    } else {
      tp->tcp_header_len = sizeof(tcphdr);
    }
    write_once(tp->rcv_nxt, cb->seq + 1);
    write_once(tp->copied_seq, tp->rcv_nxt);
    tp->rcv_wup = cb->seq + 1;
    tp->snd_wnd = ntohs(th->window);
    tp->snd_wl1 = cb->seq;
    tp->max_window = tp->snd_wnd;
    tcp_ecn_rcv_syn(tp, th);
    tcp_sync_mss(sk, tp->icsk_pmtu_cookie);
    tcp_initialize_rcv_mss(sk);
    tcp_mstamp_refresh(tp);
    tcp_send_synack(sk);
    consume_skb(skb);
    return -1;
  }
  return discard(SKB_DROP_TCP_FLAGS, -1);
}

// Our FIN may have been acknowledged. True: the skb is gone.
bool fin_wait1_acked(sock* sk, sk_buff* skb, const tcphdr* th) {
  tcp_sock* tp = tcp_sk(sk);
  if (tp->snd_una != tp->write_seq) return false;
  tcp_set_state(sk, TCP_FIN_WAIT2);
  sk->sk_shutdown |= SEND_SHUTDOWN;
  if (!sk->sk_dead) {
    sock_def_wakeup(sk);
    return false;
  }
  if (tp->linger2 < 0) {
    tcp_done(sk);
    NET_INC(LINUX_MIB_TCPAbortOnData);
    kfree_skb(skb);
    return true;
  }
  const tcp_skb_cb* cb = TCP_SKB_CB(skb);
  if (cb->end_seq != cb->seq && after(cb->end_seq - ((th->flags & TCPHDR_FIN) != 0 ? 1 : 0), tp->rcv_nxt)) {
    tcp_done(sk);  // nobody is left to read
    NET_INC(LINUX_MIB_TCPAbortOnData);
    kfree_skb(skb);
    return true;
  }
  const u64 timeout = tcp_fin_time(sk);
  if (timeout > TCP_TIMEWAIT_LEN) {
    inet_csk_reset_keepalive_timer(sk, timeout - TCP_TIMEWAIT_LEN);
  } else if ((th->flags & TCPHDR_FIN) != 0 || sock_owned_by_user(sk)) {
    inet_csk_reset_keepalive_timer(sk, timeout);
  } else {
    tcp_time_wait(sk, TCP_FIN_WAIT2, timeout);
    consume_skb(skb);
    return true;
  }
  return false;
}

}  // namespace

// Consumes the skb unless it answers 1.
int tcp_rcv_state_process(sock* sk, sk_buff* skb) {
  tcp_sock* tp = tcp_sk(sk);
  const tcphdr* th = tcp_hdr(skb);
  const auto discard = [&](SkbDropReason why) {
    kfree_skb_reason(skb, why);
    return 0;
  };
  switch (sk->sk_state) {
    case TCP_CLOSE: return discard(SKB_DROP_TCP_CLOSE);
    case TCP_SYN_SENT: {
      tp->rx_opt.saw_tstamp = false;
      tcp_mstamp_refresh(tp);
      const int queued = tcp_rcv_synsent_state_process(sk, skb, th);
      if (queued > 0) return 1;
      if (sk->sk_state == TCP_ESTABLISHED) tcp_state_checks(sk);
      return 0;
    }
    default: break;
  }
  tcp_mstamp_refresh(tp);
  tp->rx_opt.saw_tstamp = false;
  if ((th->flags & (TCPHDR_ACK | TCPHDR_RST | TCPHDR_SYN)) == 0) return discard(SKB_DROP_TCP_FLAGS);
  if (!tcp_validate_incoming(sk, skb, th, false)) return 0;
  const int acceptable = tcp_ack(sk, skb, FLAG_SLOWPATH | FLAG_UPDATE_TS_RECENT | FLAG_NO_CHALLENGE_ACK);
  if (acceptable <= 0 && (acceptable < 0 || sk->sk_state == TCP_SYN_RECV)) {
    if (sk->sk_state == TCP_SYN_RECV) return 1;
    if (!tcp_oow_rate_limited(&tp->last_oow_ack_time)) tcp_send_ack(sk);
    return discard(SKB_DROP_TCP_OLD_DATA);
  }
  switch (sk->sk_state) {
    case TCP_SYN_RECV:
      write_once(tp->copied_seq, tp->rcv_nxt);
      if (tp->srtt_us == 0 && tp->icsk_rto == 0) tcp_set_rto(sk);
      tcp_init_transfer(sk);
      full_barrier();
      tcp_set_state(sk, TCP_ESTABLISHED);
      sock_def_wakeup(sk);
      tp->snd_una = TCP_SKB_CB(skb)->ack_seq;
      tp->snd_wnd = static_cast<u32>(ntohs(th->window)) << tp->rx_opt.snd_wscale;
      tp->max_window = max(tp->max_window, tp->snd_wnd);
      tp->snd_wl1 = TCP_SKB_CB(skb)->seq;
      if (tp->rx_opt.tstamp_ok) tp->advmss = static_cast<u16>(tp->advmss - TCPOLEN_TSTAMP_ALIGNED);
      tp->lsndtime = ktime_get();
      tcp_initialize_rcv_mss(sk);
      if (sk->sk_keepalive) inet_csk_reset_keepalive_timer(sk, keepalive_time_when(tp));
      tcp_fast_path_check(sk);
      if ((sk->sk_shutdown & SEND_SHUTDOWN) != 0 && sk->sk_dead) tcp_set_state(sk, TCP_FIN_WAIT1);
      break;
    case TCP_FIN_WAIT1:
      if (fin_wait1_acked(sk, skb, th)) return 0;
      break;
    case TCP_CLOSING:
      if (tp->snd_una == tp->write_seq) {
        tcp_time_wait(sk, TCP_TIME_WAIT, 0);
        return discard(SKB_DROP_NOT_SPECIFIED);
      }
      break;
    case TCP_LAST_ACK:
      if (tp->snd_una == tp->write_seq) {
        tcp_done(sk);
        return discard(SKB_DROP_NOT_SPECIFIED);
      }
      break;
    default: break;
  }
  switch (sk->sk_state) {
    case TCP_CLOSE_WAIT:
    case TCP_CLOSING:
    case TCP_LAST_ACK:
      tcp_state_urg(sk, skb, th);
      if (!before(TCP_SKB_CB(skb)->seq, tp->rcv_nxt)) {
        discard(SKB_DROP_TCP_CLOSE);
        break;
      }
      tcp_data_queue(sk, skb);
      break;
    case TCP_FIN_WAIT1:
    case TCP_FIN_WAIT2:
      // Data for a reader who has gone is answered with a reset. [RFC 1122, 4.2.2.13]
      if ((sk->sk_shutdown & RCV_SHUTDOWN) != 0 && sk->sk_dead) {
        const tcp_skb_cb* cb = TCP_SKB_CB(skb);
        if (cb->end_seq != cb->seq && after(cb->end_seq - ((th->flags & TCPHDR_FIN) != 0 ? 1 : 0), tp->rcv_nxt)) {
          NET_INC(LINUX_MIB_TCPAbortOnData);
          tcp_send_active_reset(sk);
          tcp_reset(sk, skb);
          return discard(SKB_DROP_TCP_CLOSE);
        }
      }
      tcp_state_urg(sk, skb, th);
      tcp_data_queue(sk, skb);
      break;
    case TCP_ESTABLISHED:
      tcp_state_urg(sk, skb, th);
      tcp_data_queue(sk, skb);
      break;
    default: return discard(SKB_DROP_TCP_CLOSE);
  }
  if (sk->sk_state != TCP_CLOSE) tcp_state_checks(sk);
  return 0;
}

// --- requests ---
namespace {

// More handshakes under way than allowed: cookies instead of memory?
bool tcp_syn_flood_action(sock* sk) {
  request_sock_queue& q = inet_csk(sk)->icsk_accept_queue;
  const bool cookies = sysctl_tcp_syncookies != 0;
  NET_INC(cookies ? LINUX_MIB_TCPReqQFullDoCookies : LINUX_MIB_TCPReqQFullDrop);
  const u64 now = ktime_get();
  if (q.synflood_warned == 0 || now - q.synflood_warned > 60 * kNsPerSec) {
    q.synflood_warned = now;
    printk(KERN_INFO "TCP: possible SYN flooding on port %u. %s.\n", sk->sk_num,
           cookies ? "Sending cookies" : "Dropping request");
  }
  return cookies;
}

bool reqsk_queue_is_full(const sock* sk) {
  return static_cast<u32>(inet_csk(sk)->icsk_accept_queue.qlen.load()) >= sk->sk_max_ack_backlog;
}

}  // namespace

// A SYN for a listener. The skb is not consumed.
int tcp_conn_request(const tcp_request_sock_ops* ops, sock* sk, sk_buff* skb, const in6_addr& saddr,
                     const in6_addr& daddr) {
  tcp_sock* tp = tcp_sk(sk);
  const tcphdr* th = tcp_hdr(skb);
  bool want_cookie = false;
  const u32 isn_from_tw = TCP_SKB_CB(skb)->ack_seq;  // a SYN that reopens a connection in TIME-WAIT brings its number
  u32 isn = (th->flags & TCPHDR_ACK) == 0 && TCP_SKB_CB(skb)->sacked == 1 ? isn_from_tw : 0;
  if ((sysctl_tcp_syncookies == 2 || reqsk_queue_is_full(sk)) && isn == 0) {
    want_cookie = tcp_syn_flood_action(sk);
    if (!want_cookie) {
      NET_INC(LINUX_MIB_ListenDrops);
      return 0;
    }
  }
  if (sk_acceptq_is_full(sk)) {
    NET_INC(LINUX_MIB_ListenOverflows);
    NET_INC(LINUX_MIB_ListenDrops);
    return 0;
  }
  request_sock* req = inet_reqsk_alloc(sk);
  if (req == nullptr) {
    NET_INC(LINUX_MIB_ListenDrops);
    return 0;
  }
  req->ops = ops;
  tcp_options_received o;
  o.mss_clamp = static_cast<u16>(ops->mss_clamp);
  o.user_mss = tp->rx_opt.user_mss;
  tcp_parse_options(skb, &o, nullptr, nullptr);
  if (want_cookie && !o.saw_tstamp) {  // nowhere to keep them
    o.sack_ok = o.wscale_ok = false;
    o.snd_wscale = 0;
  }
  o.tstamp_ok = o.saw_tstamp;
  req->rcv_isn = TCP_SKB_CB(skb)->seq;
  req->rcv_nxt = TCP_SKB_CB(skb)->seq + 1;
  req->mss = o.mss_clamp;
  req->ts_recent = o.saw_tstamp ? o.rcv_tsval : 0;
  req->tstamp_ok = o.tstamp_ok;
  req->sack_ok = o.sack_ok;
  req->snd_wscale = o.snd_wscale;
  req->wscale_ok = o.wscale_ok;
  req->cookie = want_cookie;
  req->sk_dport = th->source;
  req->sk_num = ntohs(th->dest);
  req->sk_v6_daddr = saddr;
  req->sk_v6_rcv_saddr = daddr;
  req->sk_family = sk->sk_family;
  req->mark = sk->sk_mark;
  req->ir_iif =
      sk->sk_bound_dev_if != 0 ? sk->sk_bound_dev_if : (saddr.linklocal() ? static_cast<int>(skb->skb_iif) : 0);
  req->sk_bound_dev_if = sk->sk_bound_dev_if;
  req->tos = tp->tos;
  dst_entry* dst = ops->route_req(sk, req);
  if (dst == nullptr) {
    reqsk_put(req);
    NET_INC(LINUX_MIB_ListenDrops);
    return 0;
  }
  if (o.tstamp_ok) req->ts_off = secure_tcp_ts_off(daddr, saddr);
  if (!want_cookie && (th->flags & (TCPHDR_ECE | TCPHDR_CWR)) == (TCPHDR_ECE | TCPHDR_CWR) && sysctl_tcp_ecn != 0)
    req->ecn_ok = true;
  if (want_cookie) {
    u16 mss = req->mss;
    isn = cookie_init_sequence(saddr, daddr, th, &mss);
    if (!o.tstamp_ok) req->ecn_ok = false;
  } else if (isn == 0) {
    isn = ops->init_seq(daddr, saddr, th->dest, th->source);
  }
  req->snt_isn = isn;
  if (!want_cookie) {
    req->timeout = TCP_TIMEOUT_INIT;
    if (inet_csk_reqsk_queue_hash_add(sk, req, TCP_TIMEOUT_INIT))
      tcp_send_rtx_synack(sk, req, dst);
    else
      dst_release(dst);  // the SYN came twice at once: the first one is answered
    reqsk_put(req);
  } else {
    NET_INC(LINUX_MIB_SyncookiesSent);
    tcp_send_rtx_synack(sk, req, dst);
    reqsk_put(req);
  }
  return 0;
}

}  // namespace xm::os
