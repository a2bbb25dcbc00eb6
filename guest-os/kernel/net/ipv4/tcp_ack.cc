// SPDX-License-Identifier: GPL-2.0-or-later
// What an acknowledgement does: the retransmission queue shrinks, windows move, losses are judged. [RFC
// 9293, 3.10.7.4], [RFC 5681]
#include "kernel/net/tcp_ack.h"
#include "kernel/net/ipv4/tcp_internal.h"
#include "kernel/net/tcp.h"

namespace xm::os {

namespace {

void tcp_set_xmit_timer(sock* sk) {
  if (!tcp_schedule_loss_probe(sk, true)) tcp_rearm_rto(sk);
}

// --- the queue shrinks ---
int tcp_clean_rtx_queue(sock* sk, u32 prior_snd_una, SackState* sack) {
  inet_connection_sock* icsk = inet_csk(sk);
  tcp_sock* tp = tcp_sk(sk);
  const u32 prior_sacked = tp->sacked_out;
  u32 reord = tp->snd_nxt, pkts_acked = 0;
  u64 first_ackt = 0, last_ackt = 0;
  bool fully_acked = true, reneging = false;
  int flag = 0;
  sk_buff* next;
  for (sk_buff* skb = tcp_rtx_queue_head(sk); skb != nullptr && skb != tp->send_head; skb = next) {
    next = skb->next;
    tcp_skb_cb* cb = TCP_SKB_CB(skb);
    const u32 start_seq = cb->seq;
    const u8 sacked = cb->sacked;
    u32 acked_pcount;
    if (after(cb->end_seq, tp->snd_una)) {
      if (tcp_skb_pcount(skb) == 1 || !after(tp->snd_una, cb->seq)) break;
      // A part of a GSO skb: its head is dropped.
      const u32 before_count = tcp_skb_pcount(skb);
      const u32 mss = max<u32>(skb_shinfo(skb)->gso_size, 1);
      const u32 drop = tp->snd_una - cb->seq;
      if (skb_cloned(skb) && pskb_expand_head(skb, 0, 0, GFP_ATOMIC) != 0) break;
      skb_pull(skb, drop);
      cb->seq = tp->snd_una;
      skb_shinfo(skb)->gso_segs = static_cast<u16>((skb->len + mss - 1) / mss);
      if (skb->len <= mss) skb_shinfo(skb)->gso_size = 0;
      acked_pcount = before_count - tcp_skb_pcount(skb);
      fully_acked = false;
      if (acked_pcount == 0) break;
    } else {
      acked_pcount = tcp_skb_pcount(skb);
    }
    if ((sacked & TCPCB_RETRANS) != 0) {
      if ((sacked & TCPCB_SACKED_RETRANS) != 0) tp->retrans_out -= acked_pcount;
      flag |= FLAG_RETRANS_DATA_ACKED;
    } else if ((sacked & TCPCB_SACKED_ACKED) == 0) {
      last_ackt = cb->mstamp;
      if (first_ackt == 0) first_ackt = last_ackt;
      if (before(start_seq, reord)) reord = start_seq;
      if (!after(cb->end_seq, tp->high_seq)) flag |= FLAG_ORIG_SACK_ACKED;
    }
    if ((sacked & TCPCB_SACKED_ACKED) != 0) {
      tp->sacked_out -= acked_pcount;
    } else if (tcp_is_sack(tp)) {
      tp->delivered += acked_pcount;
      tcp_rack_advance(tp, sacked, cb->end_seq, cb->mstamp);
    }
    if ((sacked & TCPCB_LOST) != 0) tp->lost_out -= acked_pcount;
    tp->packets_out -= acked_pcount;
    pkts_acked += acked_pcount;
    if ((cb->tcp_flags & TCPHDR_SYN) == 0) {
      flag |= FLAG_DATA_ACKED;
    } else {
      flag |= FLAG_SYN_ACKED;
      tp->retrans_stamp = 0;
    }
    if (!fully_acked) break;
    tcp_unlink_write_queue(skb, sk);
    sk_wmem_free_skb(sk, skb);
  }
  if (tcp_between(tp->snd_up, prior_snd_una, tp->snd_una)) tp->snd_up = tp->snd_una;
  if (sk_buff* head = tcp_rtx_queue_head(sk);
      head != nullptr && fully_acked && (TCP_SKB_CB(head)->sacked & TCPCB_SACKED_ACKED) != 0)
    reneging = true;
  if (reneging) flag |= FLAG_SACK_RENEGING;
  s64 seq_rtt_us = -1, ca_rtt_us = -1, sack_rtt_us = -1;
  if (first_ackt != 0 && (flag & FLAG_RETRANS_DATA_ACKED) == 0) {
    seq_rtt_us = static_cast<s64>((tp->tcp_mstamp - first_ackt) / 1000);
    ca_rtt_us = static_cast<s64>((tp->tcp_mstamp - last_ackt) / 1000);
  }
  if (sack->first_sackt != 0) {
    sack_rtt_us = static_cast<s64>((tp->tcp_mstamp - sack->first_sackt) / 1000);
    ca_rtt_us = static_cast<s64>((tp->tcp_mstamp - sack->last_sackt) / 1000);
  }
  const bool rtt_update = tcp_ack_update_rtt(sk, flag, seq_rtt_us, sack_rtt_us, &ca_rtt_us);
  if ((flag & FLAG_ACKED) != 0) {
    flag |= FLAG_SET_XMIT_TIMER;
    if (tcp_is_reno(tp)) {
      tcp_remove_reno_sacks(sk, pkts_acked);
    } else if (prior_sacked > 0 && before(reord, tp->high_retrans) && (flag & FLAG_RETRANS_DATA_ACKED) == 0 &&
               icsk->icsk_ca_state < TCP_CA_Recovery) {
      ++tp->reord_seen;
      NET_INC(LINUX_MIB_TCPTSReorder);
    }
  } else if (rtt_update && sack_rtt_us >= 0 && sack->first_sackt != 0) {
    flag |= FLAG_SET_XMIT_TIMER;
  }
  if (tp->packets_out == 0) tp->high_retrans = 0;
  if (icsk->icsk_ca_ops->pkts_acked != nullptr && pkts_acked > 0) {
    const ack_sample sample{pkts_acked, ca_rtt_us, tcp_packets_in_flight(tp)};
    icsk->icsk_ca_ops->pkts_acked(sk, &sample);
  }
  return flag;
}

// --- windows ---
bool tcp_may_update_window(const tcp_sock* tp, u32 ack, u32 ack_seq, u32 nwin) {
  return after(ack, tp->snd_una) || after(ack_seq, tp->snd_wl1) || (ack_seq == tp->snd_wl1 && nwin > tp->snd_wnd);
}

int tcp_ack_update_window(sock* sk, const sk_buff* skb, u32 ack, u32 ack_seq) {
  tcp_sock* tp = tcp_sk(sk);
  const tcphdr* th = tcp_hdr(skb);
  u32 nwin = ntohs(th->window);
  if ((th->flags & TCPHDR_SYN) == 0) nwin <<= tp->rx_opt.snd_wscale;
  int flag = 0;
  if (tcp_may_update_window(tp, ack, ack_seq, nwin)) {
    flag |= FLAG_WIN_UPDATE;
    tp->snd_wl1 = ack_seq;
    if (tp->snd_wnd != nwin) {
      tp->snd_wnd = nwin;
      tp->pred_flags = 0;
      tcp_fast_path_check(sk);
      if (nwin > tp->max_window) {
        tp->max_window = nwin;
        tcp_sync_mss(sk, tp->icsk_pmtu_cookie);
      }
    }
  }
  tp->bytes_acked += ack - tp->snd_una;
  write_once(tp->snd_una, ack);
  return flag;
}

void tcp_ack_probe(sock* sk) {
  inet_connection_sock* icsk = inet_csk(sk);
  tcp_sock* tp = tcp_sk(sk);
  const sk_buff* head = tp->send_head;
  if (head == nullptr) return;
  if (!after(TCP_SKB_CB(head)->end_seq, tcp_wnd_end(tp))) {
    icsk->icsk_backoff = 0;
    icsk->icsk_probes_tstamp = 0;
    inet_csk_clear_xmit_timer(sk, ICSK_TIME_PROBE0);
  } else {
    const u64 when = min(max(icsk->icsk_rto, TCP_RTO_MIN) << min<u8>(icsk->icsk_backoff, 20), TCP_RTO_MAX);
    tcp_reset_xmit_timer(sk, ICSK_TIME_PROBE0, when);
  }
}

void tcp_cong_control(sock* sk, u32 ack, u32 acked_sacked, int flag, u32 newly_lost) {
  tcp_sock* tp = tcp_sk(sk);
  if (tcp_in_cwnd_reduction(sk)) {
    tcp_cwnd_reduction(sk, acked_sacked, newly_lost, flag);
  } else {
    const bool may_raise = tp->reordering > static_cast<u32>(sysctl_tcp_reordering)
                               ? (flag & FLAG_FORWARD_PROGRESS) != 0
                               : (flag & FLAG_DATA_ACKED) != 0;
    if (may_raise && tp->is_cwnd_limited) {
      inet_csk(sk)->icsk_ca_ops->cong_avoid(sk, ack, acked_sacked);
      tp->snd_cwnd_stamp = tp->tcp_mstamp;
    } else if (may_raise && tcp_in_slow_start(tp) && tp->snd_cwnd < 2 * tp->max_packets_out) {
      inet_csk(sk)->icsk_ca_ops->cong_avoid(sk, ack, acked_sacked);
    }
  }
}

void tcp_xmit_recovery(sock* sk, int rexmit) {
  tcp_sock* tp = tcp_sk(sk);
  if (rexmit == REXMIT_NONE || sk->sk_state == TCP_SYN_SENT) return;
  if (rexmit == REXMIT_NEW) {
    __tcp_push_pending_frames(sk, tcp_current_mss(sk), TCP_NAGLE_OFF);
    if (after(tp->snd_nxt, tp->high_seq)) return;
    tp->frto = false;
  }
  tcp_xmit_retransmit_queue(sk);
}

void tcp_replace_ts_recent(tcp_sock* tp, u32 seq) {
  if (!tp->rx_opt.saw_tstamp || after(seq, tp->rcv_wup)) return;
  if (static_cast<s32>(tp->rx_opt.rcv_tsval - tp->rx_opt.ts_recent) < 0 && tp->rx_opt.ts_recent_stamp != 0) return;
  tp->rx_opt.ts_recent = tp->rx_opt.rcv_tsval;
  tp->rx_opt.ts_recent_stamp = ktime_get();
}

void tcp_process_tlp_ack(sock* sk, u32 ack, int flag) {
  tcp_sock* tp = tcp_sk(sk);
  if (before(ack, tp->tlp_high_seq)) return;
  if (!tp->tlp_retrans) {
    tp->tlp_high_seq = 0;
  } else if ((flag & FLAG_DSACKING_ACK) != 0) {
    tp->tlp_high_seq = 0;  // original and probe arrived: nothing was lost
  } else if (after(ack, tp->tlp_high_seq)) {
    // The probe repaired a loss: the window must hear of it.
    tcp_init_cwnd_reduction(sk);
    tcp_set_ca_state(sk, TCP_CA_CWR);
    tcp_end_cwnd_reduction(sk);
    tcp_try_keep_open(sk);
    NET_INC(LINUX_MIB_TCPLossProbeRecovery);
  } else if ((flag & (FLAG_SND_UNA_ADVANCED | FLAG_NOT_DUP | FLAG_DATA_SACKED)) == 0) {
    tp->tlp_high_seq = 0;
  }
}

}  // namespace

// -1: the segment must be dropped. 0: old. 1: done.
int tcp_ack(sock* sk, sk_buff* skb, int flag) {
  inet_connection_sock* icsk = inet_csk(sk);
  tcp_sock* tp = tcp_sk(sk);
  const tcp_skb_cb* cb = TCP_SKB_CB(skb);
  const u32 prior_snd_una = tp->snd_una, ack_seq = cb->seq, ack = cb->ack_seq;
  const u32 prior_packets = tp->packets_out, delivered = tp->delivered, lost = tp->lost;
  SackState sack;
  int rexmit = REXMIT_NONE;
  u32 num_dupack = 0;
  if (before(ack, prior_snd_una)) {
    const u32 max_window = min(tp->max_window, static_cast<u32>(min<u64>(tp->bytes_acked, 0xffffffff)));
    if (before(ack, prior_snd_una - max_window)) {  // [RFC 5961, 5]
      if ((flag & FLAG_NO_CHALLENGE_ACK) == 0 && !tcp_oow_rate_limited(&tp->last_oow_ack_time)) {
        NET_INC(LINUX_MIB_TCPChallengeACK);
        tcp_send_ack(sk);
      }
      return -1;
    }
    // old_ack: may still carry SACK news
    if (cb->sacked != 0 || tcp_is_sack(tp)) {
      if (tcp_hdrlen(skb) > sizeof(tcphdr)) flag |= tcp_sacktag_write_queue(sk, skb, prior_snd_una, &sack);
      tcp_fastretrans_alert(sk, 0, &flag, &rexmit);
      tcp_cong_control(sk, ack, tp->delivered - delivered, flag, tp->lost - lost);
      tcp_xmit_recovery(sk, rexmit);
    }
    return 0;
  }
  if (after(ack, tp->snd_nxt)) {  // of what was never sent
    if ((flag & FLAG_NO_CHALLENGE_ACK) == 0 && !tcp_oow_rate_limited(&tp->last_oow_ack_time)) tcp_send_ack(sk);
    return -1;
  }
  if (after(ack, prior_snd_una)) {
    flag |= FLAG_SND_UNA_ADVANCED;
    icsk->icsk_retransmits = 0;
  }
  if ((flag & FLAG_UPDATE_TS_RECENT) != 0) tcp_replace_ts_recent(tp, cb->seq);
  if ((flag & (FLAG_SLOWPATH | FLAG_SND_UNA_ADVANCED)) == FLAG_SND_UNA_ADVANCED) {
    tp->snd_wl1 = ack_seq;  // predicted: the window is the same
    tp->bytes_acked += ack - tp->snd_una;
    write_once(tp->snd_una, ack);
    flag |= FLAG_WIN_UPDATE;
    NET_INC(LINUX_MIB_TCPHPAcks);
  } else {
    if (ack_seq != cb->end_seq)
      flag |= FLAG_DATA;
    else
      NET_INC(LINUX_MIB_TCPPureAcks);
    flag |= tcp_ack_update_window(sk, skb, ack, ack_seq);
    if (tcp_is_sack(tp) && tcp_hdrlen(skb) > sizeof(tcphdr) + (tp->rx_opt.saw_tstamp ? 12 : 0))
      flag |= tcp_sacktag_write_queue(sk, skb, prior_snd_una, &sack);
    const tcphdr* th = tcp_hdr(skb);
    if ((th->flags & (TCPHDR_ECE | TCPHDR_SYN)) == TCPHDR_ECE && (tp->ecn_flags & TCP_ECN_OK) != 0) flag |= FLAG_ECE;
    if ((th->flags & TCPHDR_CWR) != 0) tp->ecn_flags &= static_cast<u8>(~TCP_ECN_DEMAND_CWR);
  }
  icsk->icsk_probes_out = 0;
  tp->rcv_tstamp = tp->tcp_mstamp;
  if (prior_packets == 0) {  // nothing was under way: an answer to a probe
    tcp_ack_probe(sk);
    if (tp->tlp_high_seq != 0) tcp_process_tlp_ack(sk, ack, flag);
    return 1;
  }
  flag |= tcp_clean_rtx_queue(sk, prior_snd_una, &sack);
  tcp_rack_update_reo_wnd(sk, delivered);
  if (tp->tlp_high_seq != 0) tcp_process_tlp_ack(sk, ack, flag);
  const bool dubious = (flag & FLAG_NOT_DUP) == 0 || (flag & FLAG_CA_ALERT) != 0 || icsk->icsk_ca_state != TCP_CA_Open;
  if (dubious) {
    if ((flag & (FLAG_SND_UNA_ADVANCED | FLAG_NOT_DUP | FLAG_DSACKING_ACK)) == 0) {
      num_dupack = 1;
      if ((flag & FLAG_DATA) == 0) num_dupack = max<u32>(1, skb_shinfo(skb)->gso_segs);
    }
    tcp_fastretrans_alert(sk, num_dupack, &flag, &rexmit);
  }
  if ((flag & FLAG_SET_XMIT_TIMER) != 0) tcp_set_xmit_timer(sk);
  tcp_cong_control(sk, ack, tp->delivered - delivered, flag, tp->lost - lost);
  tcp_xmit_recovery(sk, rexmit);
  return 1;
}

}  // namespace xm::os
