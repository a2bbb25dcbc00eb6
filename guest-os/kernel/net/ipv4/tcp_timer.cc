// SPDX-License-Identifier: GPL-2.0-or-later
// TCP's timers: retransmission with back-off [RFC 6298, 5], zero-window probes, delayed acknowledgement, keep-alive
// [RFC 1122, 4.2.3.6], and requests that wait for their third segment.
#include "kernel/net/tcp.h"

namespace xm::os {
namespace {

void tcp_write_err_out(sock* sk) {
  sk_set_err(sk, sk->sk_err.load() != 0 ? sk->sk_err.load() : ETIMEDOUT);
  if (!sk->sk_dead) sock_def_error_report(sk);
  tcp_write_queue_purge(sk);
  tcp_done(sk);
  NET_INC(LINUX_MIB_TCPAbortOnTimeout);
}

// Too many orphans, or one that costs too much: it is given up. True: gone.
bool tcp_out_of_resources(sock* sk, bool do_reset) {
  const int shift = ktime_get() - tcp_sk(sk)->lsndtime > 2 * TCP_RTO_MAX || !do_reset ? 1 : 0;
  if (tcp_orphan_count.load() << shift <= sysctl_tcp_max_orphans) return false;
  if (do_reset) tcp_send_active_reset(sk);
  tcp_done(sk);
  NET_INC(LINUX_MIB_TCPAbortOnMemory);
  return true;
}

u32 tcp_orphan_retries(const sock* sk, bool alive) {
  u32 retries = static_cast<u32>(sysctl_tcp_orphan_retries);
  if (sk->sk_err.load() != 0 && !alive) retries = 0;
  if (retries == 0 && alive) retries = 8;
  return retries;
}

// Has it lasted as long as `boundary` retransmissions would?
bool retransmits_timed_out(sock* sk, u32 boundary, u64 timeout) {
  const inet_connection_sock* icsk = inet_csk(sk);
  const tcp_sock* tp = tcp_sk(sk);
  if (icsk->icsk_retransmits == 0 || tp->retrans_stamp == 0) return false;
  if (timeout == 0) {
    const u64 base = sk->sk_state == TCP_SYN_SENT || sk->sk_state == TCP_SYN_RECV ? TCP_TIMEOUT_INIT : TCP_RTO_MIN;
    constexpr u32 kLinear = 9;  // doublings from 200 ms to 120 s
    const u32 thresh = base == TCP_RTO_MIN ? kLinear : 7;
    timeout = boundary <= thresh ? ((2ul << boundary) - 1) * base
                                 : ((2ul << thresh) - 1) * base + (boundary - thresh) * TCP_RTO_MAX;
  }
  const u32 now = tcp_time_stamp_ms(ktime_get()) + tp->tsoffset;
  return static_cast<s32>(now - tp->retrans_stamp - static_cast<u32>(timeout / kMs)) >= 0;
}

// True: the connection was given up.
bool tcp_write_timeout(sock* sk) {
  inet_connection_sock* icsk = inet_csk(sk);
  bool expired;
  if (((1u << sk->sk_state) & (TCPF_SYN_SENT | TCPF_SYN_RECV)) != 0) {
    const u32 retries = icsk->icsk_syn_retries != 0 ? icsk->icsk_syn_retries : static_cast<u32>(sysctl_tcp_syn_retries);
    expired = icsk->icsk_retransmits >= retries;
  } else {
    u32 retry_until = static_cast<u32>(sysctl_tcp_retries2);
    if (retransmits_timed_out(sk, static_cast<u32>(sysctl_tcp_retries1), 0)) sk_dst_reset(sk);  // another way?
    if (sk->sk_dead) {
      const bool alive = icsk->icsk_rto < TCP_RTO_MAX;
      retry_until = tcp_orphan_retries(sk, alive);
      const bool do_reset = alive || !retransmits_timed_out(sk, retry_until, 0);
      if (tcp_out_of_resources(sk, do_reset)) return true;
    }
    expired = retransmits_timed_out(sk, retry_until, icsk->icsk_user_timeout);
  }
  if (expired) tcp_write_err_out(sk);
  return expired;
}

void tcp_probe_timer(sock* sk) {
  inet_connection_sock* icsk = inet_csk(sk);
  tcp_sock* tp = tcp_sk(sk);
  if (tp->packets_out != 0 || tp->send_head == nullptr) {
    icsk->icsk_probes_out = 0;
    icsk->icsk_probes_tstamp = 0;
    return;
  }
  const u64 now = ktime_get();
  if (icsk->icsk_probes_tstamp == 0) {
    icsk->icsk_probes_tstamp = now;
  } else if (icsk->icsk_user_timeout != 0 && now - icsk->icsk_probes_tstamp >= icsk->icsk_user_timeout) {
    tcp_write_err_out(sk);
    return;
  }
  u32 max_probes = static_cast<u32>(sysctl_tcp_retries2);
  if (sk->sk_dead) {
    const bool alive = icsk->icsk_rto << min<u8>(icsk->icsk_backoff, 20) < TCP_RTO_MAX;
    max_probes = tcp_orphan_retries(sk, alive);
    if (!alive && icsk->icsk_backoff >= max_probes) {
      tcp_write_err_out(sk);
      return;
    }
    if (tcp_out_of_resources(sk, true)) return;
  }
  if (icsk->icsk_probes_out >= max_probes && sk->sk_dead)
    tcp_write_err_out(sk);
  else
    tcp_send_probe0(sk);
}

void tcp_write_timer(timer_list* t) {
  inet_connection_sock* icsk = container_of(t, inet_connection_sock, icsk_retransmit_timer);
  sock* sk = icsk;
  bh_lock_sock(sk);
  if (!sock_owned_by_user(sk))
    tcp_write_timer_handler(sk);
  else
    tcp_sk(sk)->tsq_flags.fetch_or(TCPF_WRITE_TIMER_DEFERRED);
  bh_unlock_sock(sk);
  sock_put(sk);
}

void tcp_delack_timer(timer_list* t) {
  inet_connection_sock* icsk = container_of(t, inet_connection_sock, icsk_delack_timer);
  sock* sk = icsk;
  bh_lock_sock(sk);
  if (!sock_owned_by_user(sk)) {
    tcp_delack_timer_handler(sk);
  } else {
    NET_INC(LINUX_MIB_DelayedACKLocked);
    tcp_sk(sk)->tsq_flags.fetch_or(TCPF_DELACK_TIMER_DEFERRED);
  }
  bh_unlock_sock(sk);
  sock_put(sk);
}

void tcp_tsq_timer(timer_list* t) {
  tcp_sock* tp = container_of(t, tcp_sock, tsq_timer);
  sock* sk = tp;
  bh_lock_sock(sk);
  if (!sock_owned_by_user(sk)) {
    if (((1u << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_FIN_WAIT1 | TCPF_CLOSING | TCPF_CLOSE_WAIT | TCPF_LAST_ACK)) !=
        0) {
      if (tp->lost_out > tp->retrans_out) tcp_xmit_retransmit_queue(sk);
      tcp_write_xmit(sk, tcp_current_mss(sk), tp->nonagle, 0, GFP_ATOMIC);
    }
  } else {
    tp->tsq_flags.fetch_or(TCPF_TSQ_DEFERRED);
  }
  bh_unlock_sock(sk);
  sock_put(sk);
}

// Keep-alive, and the end of FIN_WAIT2 for orphans.
void tcp_keepalive_timer(timer_list* t) {
  sock* sk = container_of(t, sock, sk_timer);
  tcp_sock* tp = tcp_sk(sk);
  inet_connection_sock* icsk = tp;
  bh_lock_sock(sk);
  const auto out = [&] {
    bh_unlock_sock(sk);
    sock_put(sk);
  };
  if (sock_owned_by_user(sk)) {
    inet_csk_reset_keepalive_timer(sk, kNsPerSec / 20);
    return out();
  }
  if (sk->sk_state == TCP_LISTEN) return out();
  if (sk->sk_state == TCP_FIN_WAIT2 && sk->sk_dead) {
    if (tp->linger2 >= 0) {
      const s64 left = static_cast<s64>(tcp_fin_time(sk)) - static_cast<s64>(TCP_TIMEWAIT_LEN);
      if (left > 0) {
        tcp_time_wait(sk, TCP_FIN_WAIT2, static_cast<u64>(left));
        return out();
      }
    }
    tcp_send_active_reset(sk);
    tcp_done(sk);
    return out();
  }
  if (!sk->sk_keepalive || sk->sk_state == TCP_CLOSE || sk->sk_state == TCP_SYN_SENT) return out();
  u64 elapsed = keepalive_time_when(tp);
  if (tp->packets_out == 0 && tp->send_head == nullptr) {
    const u64 now = ktime_get();
    elapsed = now - max(icsk->icsk_ack.lrcvtime, tp->rcv_tstamp);
    if (elapsed >= keepalive_time_when(tp)) {
      if ((icsk->icsk_user_timeout != 0 && elapsed >= icsk->icsk_user_timeout && icsk->icsk_probes_out > 0) ||
          (icsk->icsk_user_timeout == 0 && icsk->icsk_probes_out >= keepalive_probes(tp))) {
        tcp_send_active_reset(sk);
        tcp_write_err_out(sk);
        return out();
      }
      NET_INC(LINUX_MIB_TCPKeepAlive);
      if (tcp_write_wakeup(sk) <= 0) {
        ++icsk->icsk_probes_out;
        elapsed = keepalive_intvl_when(tp);
      } else {
        elapsed = TCP_RESOURCE_PROBE_INTERVAL;
      }
    } else {
      elapsed = keepalive_time_when(tp) - elapsed;
    }
  }
  inet_csk_reset_keepalive_timer(sk, elapsed);
  out();
}

}  // namespace

void tcp_retransmit_timer(sock* sk) {
  inet_connection_sock* icsk = inet_csk(sk);
  tcp_sock* tp = tcp_sk(sk);
  if (tp->packets_out == 0) return;
  sk_buff* skb = tcp_rtx_queue_head(sk);
  if (skb == nullptr) return;
  tp->tlp_high_seq = 0;
  if (tp->snd_wnd == 0 && !sk->sk_dead && ((1u << sk->sk_state) & (TCPF_SYN_SENT | TCPF_SYN_RECV)) == 0) {
    // The peer shrank its window to nothing: probe for as long as it answers.
    if (ktime_get() - tp->rcv_tstamp > TCP_RTO_MAX) {
      tcp_write_err_out(sk);
      return;
    }
    tcp_enter_loss(sk);
    tcp_retransmit_skb(sk, skb, 1);
    sk_dst_reset(sk);
  } else {
    NET_INC(LINUX_MIB_TCPTimeouts);
    if (tcp_write_timeout(sk)) return;
    tcp_mstamp_refresh(tp);
    if (icsk->icsk_retransmits == 0 && icsk->icsk_ca_state == TCP_CA_Recovery)
      NET_INC(tcp_is_sack(tp) ? LINUX_MIB_TCPSackFailures : LINUX_MIB_TCPRenoFailures);
    tcp_enter_loss(sk);
    ++icsk->icsk_retransmits;
    if (tcp_retransmit_skb(sk, tcp_rtx_queue_head(sk), 1) > 0) {  // a local queue is full: soon again
      inet_csk_reset_xmit_timer(sk, ICSK_TIME_RETRANS, TCP_RESOURCE_PROBE_INTERVAL);
      return;
    }
  }
  ++icsk->icsk_backoff;
  if (sk->sk_state == TCP_ESTABLISHED && (tp->thin_lto || sysctl_tcp_thin_linear_timeouts != 0) &&
      tp->packets_out < 4 && icsk->icsk_retransmits <= 6) {
    icsk->icsk_backoff = 0;
    icsk->icsk_rto = clamp(tcp_rto_of(tp), TCP_RTO_MIN, TCP_RTO_MAX);
  } else {
    icsk->icsk_rto = min(icsk->icsk_rto << 1, TCP_RTO_MAX);
  }
  u64 when = icsk->icsk_rto;
  if (icsk->icsk_user_timeout != 0 && tp->retrans_stamp != 0) {
    const u64 elapsed = static_cast<u64>(tcp_time_stamp_ms(ktime_get()) + tp->tsoffset - tp->retrans_stamp) * kMs;
    when = elapsed >= icsk->icsk_user_timeout ? kMs : min(when, icsk->icsk_user_timeout - elapsed);
  }
  inet_csk_reset_xmit_timer(sk, ICSK_TIME_RETRANS, when);
}

void tcp_rack_reo_timeout(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  const u32 prior = tcp_packets_in_flight(tp);
  tp->rack.advanced = true;
  tcp_mstamp_refresh(tp);
  tcp_rack_mark_lost(sk);
  if (prior != tcp_packets_in_flight(tp)) {
    if (inet_csk(sk)->icsk_ca_state != TCP_CA_Recovery) tcp_enter_recovery_from_timer(sk);
    tcp_xmit_retransmit_queue(sk);
  }
  if (inet_csk(sk)->icsk_pending != ICSK_TIME_RETRANS) tcp_rearm_rto(sk);
}

// With the socket's lock, from the timer or release_sock.
void tcp_write_timer_handler(sock* sk) {
  inet_connection_sock* icsk = inet_csk(sk);
  if (((1u << sk->sk_state) & (TCPF_CLOSE | TCPF_LISTEN)) != 0 || icsk->icsk_pending == 0) return;
  if (icsk->icsk_timeout > ktime_get()) {
    sk_reset_timer(sk, &icsk->icsk_retransmit_timer, icsk->icsk_timeout);
    return;
  }
  tcp_mstamp_refresh(tcp_sk(sk));
  switch (icsk->icsk_pending) {
    case ICSK_TIME_REO_TIMEOUT:
      icsk->icsk_pending = 0;
      tcp_rack_reo_timeout(sk);
      break;
    case ICSK_TIME_LOSS_PROBE: tcp_send_loss_probe(sk); break;
    case ICSK_TIME_RETRANS:
      icsk->icsk_pending = 0;
      tcp_retransmit_timer(sk);
      break;
    case ICSK_TIME_PROBE0:
      icsk->icsk_pending = 0;
      tcp_probe_timer(sk);
      break;
    default: break;
  }
}

void tcp_delack_timer_handler(sock* sk) {
  inet_connection_sock* icsk = inet_csk(sk);
  if (((1u << sk->sk_state) & (TCPF_CLOSE | TCPF_LISTEN)) != 0 || (icsk->icsk_ack.pending & ICSK_ACK_TIMER) == 0)
    return;
  if (icsk->icsk_ack.timeout > ktime_get()) {
    sk_reset_timer(sk, &icsk->icsk_delack_timer, icsk->icsk_ack.timeout);
    return;
  }
  icsk->icsk_ack.pending &= static_cast<u8>(~ICSK_ACK_TIMER);
  if (!inet_csk_ack_scheduled(sk)) return;
  if (icsk->icsk_ack.pingpong < 3) {
    icsk->icsk_ack.ato = min(icsk->icsk_ack.ato << 1, icsk->icsk_rto);  // late: be later
  } else {
    icsk->icsk_ack.pingpong = 0;
    icsk->icsk_ack.ato = TCP_ATO_MIN;
  }
  tcp_mstamp_refresh(tcp_sk(sk));
  tcp_send_ack(sk);
  NET_INC(LINUX_MIB_DelayedACKs);
}

void tcp_init_xmit_timers(sock* sk) {
  inet_csk_init_xmit_timers(sk, tcp_write_timer, tcp_delack_timer, tcp_keepalive_timer);
  timer_setup(&tcp_sk(sk)->tsq_timer, tcp_tsq_timer);
}

// A request was not answered: the SYN-ACK again, or its end.
void tcp_reqsk_timer(timer_list* t) {
  request_sock* req = container_of(t, request_sock, rsk_timer);
  sock* listener = req->rsk_listener;
  const auto drop = [&] {
    inet_csk_reqsk_queue_drop(req);
    reqsk_put(req);
  };
  if (listener->sk_state != TCP_LISTEN || req->sk_node.empty()) return drop();  // or it has become a connection
  request_sock_queue& q = inet_csk(listener)->icsk_accept_queue;
  u32 max_retries = inet_csk(listener)->icsk_syn_retries != 0 ? inet_csk(listener)->icsk_syn_retries
                                                              : static_cast<u32>(sysctl_tcp_synack_retries);
  // A back-log that fills up keeps young requests and lets old ones go.
  const s32 qlen = q.qlen.load();
  if (static_cast<u32>(qlen << 1) > max(8u, listener->sk_max_ack_backlog)) {
    s32 young = q.young.load() << 1;
    while (max_retries > 2 && qlen < young) {
      --max_retries;
      young <<= 1;
    }
  }
  const u8 defer = q.rskq_defer_accept;
  const bool expire = defer == 0 ? req->num_timeout >= max_retries
                                 : req->num_timeout >= max_retries && (!req->acked || req->num_timeout >= defer);
  const bool resend = defer == 0 || !req->acked || req->num_timeout + 1 >= defer;
  if (expire || (resend && tcp_rtx_synack(listener, req) != 0 && !req->acked)) return drop();
  if (resend) ++req->num_retrans;
  if (req->num_timeout++ == 0) q.young.sub(1);
  mod_timer(&req->rsk_timer, ktime_get() + min(TCP_TIMEOUT_INIT << min<u8>(req->num_timeout, 7), TCP_RTO_MAX));
}

}  // namespace xm::os
