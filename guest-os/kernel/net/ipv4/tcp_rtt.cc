// SPDX-License-Identifier: GPL-2.0-or-later
// Round trips and what follows from them: the retransmission time-out [RFC 6298] and the timer that waits for it.
#include "kernel/net/ipv4/tcp_internal.h"
#include "kernel/net/tcp.h"
#include "kernel/net/tcp_ack.h"

namespace xm::os {

// --- round trips ---

namespace {

void tcp_rtt_estimator(tcp_sock* tp, s64 mrtt_us) {
  s64 m = mrtt_us;
  u32 srtt = tp->srtt_us;
  if (srtt != 0) {
    m -= srtt >> 3;
    srtt = static_cast<u32>(srtt + m);
    if (m < 0) {
      m = -m;
      m -= tp->mdev_us >> 2;
      if (m > 0) m >>= 3;  // a faster path: the variance must not grow with it
    } else {
      m -= tp->mdev_us >> 2;
    }
    tp->mdev_us = static_cast<u32>(tp->mdev_us + m);
    if (tp->mdev_us > tp->mdev_max_us) {
      tp->mdev_max_us = tp->mdev_us;
      if (tp->mdev_max_us > tp->rttvar_us) tp->rttvar_us = tp->mdev_max_us;
    }
    if (after(tp->snd_una, tp->rtt_seq)) {
      if (tp->mdev_max_us < tp->rttvar_us) tp->rttvar_us -= (tp->rttvar_us - tp->mdev_max_us) >> 2;
      tp->rtt_seq = tp->snd_nxt;
      tp->mdev_max_us = static_cast<u32>(TCP_RTO_MIN / 1000);
    }
  } else {
    srtt = static_cast<u32>(m << 3);
    tp->mdev_us = static_cast<u32>(m << 1);
    tp->rttvar_us = max(tp->mdev_us, static_cast<u32>(TCP_RTO_MIN / 1000));
    tp->mdev_max_us = tp->rttvar_us;
    tp->rtt_seq = tp->snd_nxt;
  }
  tp->srtt_us = max(1u, srtt);
}

// The smallest round trip of the last five minutes.
void tcp_update_rtt_min(tcp_sock* tp, s64 rtt_us) {
  constexpr u64 kWindow = 300 * kNsPerSec;
  const u32 rtt = static_cast<u32>(max<s64>(rtt_us, 1));
  if (rtt <= tp->min_rtt_us || tp->tcp_mstamp - tp->min_rtt_stamp > kWindow) {
    tp->min_rtt_us = rtt;
    tp->min_rtt_stamp = tp->tcp_mstamp;
  }
}

}  // namespace

bool tcp_ack_update_rtt(sock* sk, int flag, s64 seq_rtt_us, s64 sack_rtt_us, s64* ca_rtt_us) {
  tcp_sock* tp = tcp_sk(sk);
  if (seq_rtt_us < 0) seq_rtt_us = sack_rtt_us;
  // Retransmitted data gives no sample of its own (Karn), but an echoed timestamp does. [RFC 7323, 4.3]
  if (seq_rtt_us < 0 && tp->rx_opt.saw_tstamp && tp->rx_opt.rcv_tsecr != 0 && (flag & FLAG_ACKED) != 0) {
    const u32 delta = tcp_time_stamp_ms(tp->tcp_mstamp) - tp->rx_opt.rcv_tsecr;
    if (delta < 0x7fffffff / 1000) seq_rtt_us = *ca_rtt_us = max<s64>(delta, 1) * 1000;
  }
  if (seq_rtt_us < 0) return false;
  tcp_update_rtt_min(tp, *ca_rtt_us >= 0 ? *ca_rtt_us : seq_rtt_us);
  tcp_rtt_estimator(tp, seq_rtt_us);
  tcp_set_rto(sk);
  inet_csk(sk)->icsk_backoff = 0;
  return true;
}

void tcp_set_rto(sock* sk) {
  inet_connection_sock* icsk = inet_csk(sk);
  icsk->icsk_rto = clamp(tcp_rto_of(tcp_sk(sk)), TCP_RTO_MIN, TCP_RTO_MAX);
}

void tcp_synack_rtt_meas(sock* sk, const request_sock* req) {
  tcp_sock* tp = tcp_sk(sk);
  if (req != nullptr && req->num_retrans == 0 && req->snt_synack != 0) {
    const s64 rtt = static_cast<s64>((ktime_get() - req->snt_synack) / 1000);
    tcp_update_rtt_min(tp, rtt);
    tcp_rtt_estimator(tp, max<s64>(rtt, 1));
    tcp_set_rto(sk);
  }
}

// --- timers of the queue ---
void tcp_rearm_rto(sock* sk) {
  inet_connection_sock* icsk = inet_csk(sk);
  const tcp_sock* tp = tcp_sk(sk);
  if (tp->packets_out == 0) {
    inet_csk_clear_xmit_timer(sk, ICSK_TIME_RETRANS);
    return;
  }
  u64 rto = icsk->icsk_rto;
  if (icsk->icsk_pending == ICSK_TIME_REO_TIMEOUT || icsk->icsk_pending == ICSK_TIME_LOSS_PROBE) {
    const sk_buff* head = tcp_rtx_queue_head(sk);
    const u64 due = head != nullptr ? TCP_SKB_CB(head)->mstamp + rto : tp->tcp_mstamp + rto;
    rto = due > tp->tcp_mstamp ? due - tp->tcp_mstamp : 1;
  }
  tcp_reset_xmit_timer(sk, ICSK_TIME_RETRANS, rto);
}

}  // namespace xm::os
