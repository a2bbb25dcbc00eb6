// SPDX-License-Identifier: GPL-2.0-or-later
// The congestion window in trouble: fast recovery by proportional rate reduction [RFC 6937], NewReno [RFC 6582],
// time-outs [RFC 5681, 3.1] that may prove spurious [RFC 5682], and how wrong guesses are undone [RFC 3522], [RFC
// 3708].
#include "kernel/net/ipv4/tcp_internal.h"
#include "kernel/net/tcp.h"
#include "kernel/net/tcp_ack.h"

namespace xm::os {

// --- the congestion window in trouble ---
void tcp_set_ca_state(sock* sk, u8 state) {
  inet_connection_sock* icsk = inet_csk(sk);
  if (icsk->icsk_ca_ops->set_state != nullptr) icsk->icsk_ca_ops->set_state(sk, state);
  icsk->icsk_ca_state = state;
}

namespace {

void tcp_init_undo(tcp_sock* tp) {
  tp->undo_marker = tp->snd_una;
  tp->undo_retrans = tp->retrans_out != 0 ? static_cast<int>(tp->retrans_out) : -1;
}

}  // namespace

void tcp_init_cwnd_reduction(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  tp->high_seq = tp->snd_nxt;
  tp->tlp_high_seq = 0;
  tp->snd_cwnd_cnt = 0;
  tp->prior_cwnd = tp->snd_cwnd;
  tp->prr_delivered = 0;
  tp->prr_out = 0;
  tp->snd_ssthresh = inet_csk(sk)->icsk_ca_ops->ssthresh(sk);
  if ((tp->ecn_flags & TCP_ECN_OK) != 0) tp->ecn_flags |= TCP_ECN_QUEUE_CWR;
}

void tcp_cwnd_reduction(sock* sk, u32 newly_acked, u32 newly_lost, int flag) {
  tcp_sock* tp = tcp_sk(sk);
  const int delta = static_cast<int>(tp->snd_ssthresh) - static_cast<int>(tcp_packets_in_flight(tp));
  if (newly_acked == 0 || tp->prior_cwnd == 0) return;
  tp->prr_delivered += newly_acked;
  int sndcnt;
  if (delta < 0) {
    const u64 dividend = static_cast<u64>(tp->snd_ssthresh) * tp->prr_delivered + tp->prior_cwnd - 1;
    sndcnt = static_cast<int>(dividend / tp->prior_cwnd) - static_cast<int>(tp->prr_out);
  } else {
    sndcnt = max(static_cast<int>(tp->prr_delivered - tp->prr_out), static_cast<int>(newly_acked));
    if ((flag & FLAG_SND_UNA_ADVANCED) != 0 && newly_lost == 0) ++sndcnt;
    sndcnt = min(delta, sndcnt);
  }
  sndcnt = max(sndcnt, tp->prr_out != 0 ? 0 : 1);
  tp->snd_cwnd = tcp_packets_in_flight(tp) + static_cast<u32>(sndcnt);
}

void tcp_end_cwnd_reduction(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  if (tp->snd_ssthresh < TCP_INFINITE_SSTHRESH && (inet_csk(sk)->icsk_ca_state == TCP_CA_CWR || tp->undo_marker != 0)) {
    tp->snd_cwnd = max(tp->snd_ssthresh, 1u);
    tp->snd_cwnd_stamp = tp->tcp_mstamp;
  }
  if (inet_csk(sk)->icsk_ca_ops->cwnd_event != nullptr)
    inet_csk(sk)->icsk_ca_ops->cwnd_event(sk, CA_EVENT_COMPLETE_CWR);
}

namespace {

// --- undo ---
bool tcp_packet_delayed(const tcp_sock* tp) {
  return tp->retrans_stamp != 0 && tp->rx_opt.saw_tstamp && tp->rx_opt.rcv_tsecr != 0 &&
         static_cast<s32>(tp->rx_opt.rcv_tsecr + tp->tsoffset - tp->retrans_stamp) < 0;
}
bool tcp_may_undo(const tcp_sock* tp) {
  return tp->undo_marker != 0 && (tp->undo_retrans == 0 || tcp_packet_delayed(tp));
}

void tcp_undo_cwnd_reduction(sock* sk, bool unmark_loss) {
  tcp_sock* tp = tcp_sk(sk);
  if (unmark_loss) {
    for (sk_buff* skb = tcp_rtx_queue_head(sk); skb != nullptr && skb != tp->send_head; skb = skb->next)
      TCP_SKB_CB(skb)->sacked &= static_cast<u8>(~TCPCB_LOST);
    tp->lost_out = 0;
  }
  if (tp->prior_ssthresh != 0) {
    tp->snd_cwnd = inet_csk(sk)->icsk_ca_ops->undo_cwnd(sk);
    if (tp->prior_ssthresh > tp->snd_ssthresh) {
      tp->snd_ssthresh = tp->prior_ssthresh;
      tp->ecn_flags &= static_cast<u8>(~TCP_ECN_QUEUE_CWR);
    }
  }
  tp->snd_cwnd_stamp = tp->tcp_mstamp;
  tp->undo_marker = 0;
  tp->rack.advanced = true;
}

bool any_retrans_done(const sock* sk) {
  const tcp_sock* tp = tcp_sk(sk);
  if (tp->retrans_out != 0) return true;
  const sk_buff* head = tcp_rtx_queue_head(sk);
  return head != nullptr && (TCP_SKB_CB(head)->sacked & TCPCB_EVER_RETRANS) != 0;
}

bool tcp_try_undo_recovery(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  if (tcp_may_undo(tp)) {
    NET_INC(inet_csk(sk)->icsk_ca_state == TCP_CA_Loss ? LINUX_MIB_TCPLossUndo : LINUX_MIB_TCPFullUndo);
    tcp_undo_cwnd_reduction(sk, false);
  }
  if (tp->snd_una == tp->high_seq && tcp_is_reno(tp)) {
    if (!any_retrans_done(sk)) tp->retrans_stamp = 0;
    return true;  // hold the state until something beyond is acknowledged [RFC 6582, 6]
  }
  tcp_set_ca_state(sk, TCP_CA_Open);
  return false;
}

bool tcp_try_undo_dsack(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  if (tp->undo_marker == 0 || tp->undo_retrans != 0) return false;
  tp->rack.reo_wnd_persist = static_cast<u8>(min(16, tp->rack.reo_wnd_persist + 1));
  NET_INC(LINUX_MIB_TCPDSACKUndo);
  tcp_undo_cwnd_reduction(sk, false);
  return true;
}

bool tcp_try_undo_loss(sock* sk, bool frto_undo) {
  tcp_sock* tp = tcp_sk(sk);
  if (!frto_undo && !tcp_may_undo(tp)) return false;
  tcp_undo_cwnd_reduction(sk, true);
  NET_INC(LINUX_MIB_TCPLossUndo);
  inet_csk(sk)->icsk_retransmits = 0;
  if (frto_undo || tcp_is_sack(tp)) {
    tcp_set_ca_state(sk, TCP_CA_Open);
    tp->is_sack_reneg = false;
  }
  return true;
}

bool tcp_try_undo_partial(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  if (tp->undo_marker == 0 || !tcp_packet_delayed(tp)) return false;
  if (tp->retrans_out != 0) return true;
  if (!any_retrans_done(sk)) tp->retrans_stamp = 0;
  NET_INC(LINUX_MIB_TCPPartialUndo);
  tcp_undo_cwnd_reduction(sk, true);
  tcp_set_ca_state(sk, TCP_CA_Open);
  return true;
}

}  // namespace

void tcp_try_keep_open(sock* sk) {
  const tcp_sock* tp = tcp_sk(sk);
  const u8 state = tcp_left_out(tp) != 0 || any_retrans_done(sk) ? TCP_CA_Disorder : TCP_CA_Open;
  if (inet_csk(sk)->icsk_ca_state == state) return;
  tcp_set_ca_state(sk, state);
  tcp_sk(sk)->high_seq = tp->snd_nxt;
}

namespace {

void tcp_try_to_open(sock* sk, int flag) {
  tcp_sock* tp = tcp_sk(sk);
  if (!any_retrans_done(sk)) tp->retrans_stamp = 0;
  if ((flag & FLAG_ECE) != 0) tcp_enter_cwr(sk);
  if (inet_csk(sk)->icsk_ca_state != TCP_CA_CWR) tcp_try_keep_open(sk);
}

void tcp_enter_recovery(sock* sk, bool ece_ack) {
  tcp_sock* tp = tcp_sk(sk);
  NET_INC(tcp_is_reno(tp) ? LINUX_MIB_TCPRenoRecovery : LINUX_MIB_TCPSackRecovery);
  tp->prior_ssthresh = 0;
  tcp_init_undo(tp);
  if (!tcp_in_cwnd_reduction(sk)) {
    if (!ece_ack) tp->prior_ssthresh = tcp_current_ssthresh(sk);
    tcp_init_cwnd_reduction(sk);
  }
  tcp_set_ca_state(sk, TCP_CA_Recovery);
}

// Without SACK the head of the queue is what is missing.
void tcp_newreno_mark_lost(sock* sk, bool snd_una_advanced) {
  tcp_sock* tp = tcp_sk(sk);
  const u8 state = inet_csk(sk)->icsk_ca_state;
  if (!((state < TCP_CA_Recovery && tp->sacked_out >= tp->reordering) ||
        (state == TCP_CA_Recovery && snd_una_advanced)))
    return;
  sk_buff* skb = tcp_rtx_queue_head(sk);
  if (skb == nullptr || (TCP_SKB_CB(skb)->sacked & TCPCB_LOST) != 0) return;
  const u32 mss = tcp_current_mss(sk);
  if (tcp_skb_pcount(skb) > 1 && skb->len > mss) tcp_fragment(sk, skb, mss, mss, GFP_ATOMIC);
  tcp_mark_skb_lost(sk, skb);
}

void tcp_identify_packet_loss(sock* sk, int* ack_flag) {
  tcp_sock* tp = tcp_sk(sk);
  if (tcp_rtx_queue_head(sk) == nullptr) return;
  if (tcp_is_reno(tp)) {
    tcp_newreno_mark_lost(sk, (*ack_flag & FLAG_SND_UNA_ADVANCED) != 0);
    return;
  }
  const u32 prior = tp->retrans_out;
  if (tp->rack.advanced && inet_csk(sk)->icsk_pending != ICSK_TIME_REO_TIMEOUT) {
    u64 timeout;
    tp->rack.advanced = false;
    tcp_rack_detect_loss(sk, &timeout);
    if (timeout != 0) {
      *ack_flag &= ~FLAG_SET_XMIT_TIMER;
      inet_csk_reset_xmit_timer(sk, ICSK_TIME_REO_TIMEOUT, min(timeout + 2 * kMs, inet_csk(sk)->icsk_rto));
    }
  } else if (tp->rack.advanced) {
    tcp_rack_mark_lost(sk);
  }
  if (prior > tp->retrans_out) *ack_flag |= FLAG_LOST_RETRANS;
}

void tcp_process_loss(sock* sk, int flag, u32 num_dupack, int* rexmit) {
  tcp_sock* tp = tcp_sk(sk);
  const bool recovered = !before(tp->snd_una, tp->high_seq);
  if ((flag & FLAG_SND_UNA_ADVANCED) != 0 && tcp_try_undo_loss(sk, false)) return;
  if (tp->frto) {  // spurious timeout? [RFC 5682, 3.1]
    if ((flag & FLAG_ORIG_SACK_ACKED) != 0 && tcp_try_undo_loss(sk, true)) return;
    if (after(tp->snd_nxt, tp->high_seq)) {
      if ((flag & FLAG_DATA_SACKED) != 0 || num_dupack > 0) tp->frto = false;
    } else if ((flag & FLAG_SND_UNA_ADVANCED) != 0 && !recovered) {
      tp->high_seq = tp->snd_nxt;
      if (tp->send_head != nullptr && after(tcp_wnd_end(tp), tp->snd_nxt)) {
        *rexmit = REXMIT_NEW;
        return;
      }
      tp->frto = false;
    }
  }
  if (recovered) {
    tcp_try_undo_recovery(sk);
    return;
  }
  if (tcp_is_reno(tp)) {
    if (after(tp->snd_nxt, tp->high_seq) && num_dupack > 0)
      tcp_add_reno_sack(sk, num_dupack);
    else if ((flag & FLAG_SND_UNA_ADVANCED) != 0)
      tp->sacked_out = 0;
  }
  *rexmit = REXMIT_LOST;
}

bool tcp_time_to_recover(const sock* sk) {
  const tcp_sock* tp = tcp_sk(sk);
  return tp->lost_out != 0;
}

// The peer dropped what it had acknowledged selectively. [RFC 2018, 8]
bool tcp_check_sack_reneging(sock* sk, int* ack_flag) {
  if ((*ack_flag & FLAG_SACK_RENEGING) == 0) return false;
  const tcp_sock* tp = tcp_sk(sk);
  const u64 delay = max<u64>((tp->srtt_us >> 4) * 1000ul, 10 * kMs);
  inet_csk_reset_xmit_timer(sk, ICSK_TIME_RETRANS, delay);
  *ack_flag &= ~FLAG_SET_XMIT_TIMER;
  return true;
}

}  // namespace

void tcp_fastretrans_alert(sock* sk, u32 num_dupack, int* ack_flag, int* rexmit) {
  inet_connection_sock* icsk = inet_csk(sk);
  tcp_sock* tp = tcp_sk(sk);
  const int flag = *ack_flag;
  const bool ece_ack = (flag & FLAG_ECE) != 0;
  if (tp->packets_out == 0 && tp->sacked_out != 0) tp->sacked_out = 0;
  if (ece_ack) tp->prior_ssthresh = 0;
  if (tcp_check_sack_reneging(sk, ack_flag)) return;
  if (icsk->icsk_ca_state == TCP_CA_Open) {
    tp->retrans_stamp = 0;
  } else if (!before(tp->snd_una, tp->high_seq)) {
    switch (icsk->icsk_ca_state) {
      case TCP_CA_CWR:
        if (tp->snd_una != tp->high_seq) {
          tcp_end_cwnd_reduction(sk);
          tcp_set_ca_state(sk, TCP_CA_Open);
        }
        break;
      case TCP_CA_Recovery:
        if (tcp_is_reno(tp)) tp->sacked_out = 0;
        if (tcp_try_undo_recovery(sk)) return;
        tcp_end_cwnd_reduction(sk);
        break;
      default: break;
    }
  }
  switch (icsk->icsk_ca_state) {
    case TCP_CA_Recovery:
      if ((flag & FLAG_SND_UNA_ADVANCED) == 0) {
        if (tcp_is_reno(tp)) tcp_add_reno_sack(sk, num_dupack);
      } else if (tcp_try_undo_partial(sk)) {
        return;
      }
      if (tcp_try_undo_dsack(sk)) tcp_try_to_open(sk, flag);
      tcp_identify_packet_loss(sk, ack_flag);
      if (icsk->icsk_ca_state != TCP_CA_Recovery) {
        if (!tcp_time_to_recover(sk)) return;
        tcp_enter_recovery(sk, ece_ack);
      }
      break;
    case TCP_CA_Loss:
      tcp_process_loss(sk, flag, num_dupack, rexmit);
      if (icsk->icsk_ca_state != TCP_CA_Loss) tcp_rack_update_reo_wnd(sk, tp->delivered);
      tcp_identify_packet_loss(sk, ack_flag);
      if (!(icsk->icsk_ca_state == TCP_CA_Open || (*ack_flag & FLAG_LOST_RETRANS) != 0)) return;
      [[fallthrough]];
    default:
      if (tcp_is_reno(tp)) {
        if ((flag & FLAG_SND_UNA_ADVANCED) != 0) tp->sacked_out = 0;
        tcp_add_reno_sack(sk, num_dupack);
      }
      if (icsk->icsk_ca_state <= TCP_CA_Disorder) tcp_try_undo_dsack(sk);
      tcp_identify_packet_loss(sk, ack_flag);
      if (!tcp_time_to_recover(sk)) {
        tcp_try_to_open(sk, flag);
        return;
      }
      if (icsk->icsk_ca_state == TCP_CA_Loss) break;
      tcp_enter_recovery(sk, ece_ack);
      break;
  }
  *rexmit = REXMIT_LOST;
}

void tcp_enter_recovery_from_timer(sock* sk) {
  tcp_enter_recovery(sk, false);
  tcp_cwnd_reduction(sk, 1, 0, 0);
}

void tcp_enter_cwr(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  tp->prior_ssthresh = 0;
  if (inet_csk(sk)->icsk_ca_state < TCP_CA_CWR) {
    tp->undo_marker = 0;
    tcp_init_cwnd_reduction(sk);
    tcp_set_ca_state(sk, TCP_CA_CWR);
  }
}

// The retransmission timer fired: all that is not acknowledged counts as lost. [RFC 5681, 3.1]
void tcp_enter_loss(sock* sk) {
  inet_connection_sock* icsk = inet_csk(sk);
  tcp_sock* tp = tcp_sk(sk);
  const bool new_recovery = icsk->icsk_ca_state < TCP_CA_Recovery;
  sk_buff* head = tcp_rtx_queue_head(sk);
  const bool reneg = head != nullptr && (TCP_SKB_CB(head)->sacked & TCPCB_SACKED_ACKED) != 0;
  if (reneg) {
    NET_INC(LINUX_MIB_TCPSACKReneging);
    tp->is_sack_reneg = true;
  } else if (tcp_is_reno(tp)) {
    tp->sacked_out = 0;
  }
  for (sk_buff* skb = head; skb != nullptr && skb != tp->send_head; skb = skb->next) {
    if (reneg && (TCP_SKB_CB(skb)->sacked & TCPCB_SACKED_ACKED) != 0) {
      TCP_SKB_CB(skb)->sacked &= static_cast<u8>(~TCPCB_SACKED_ACKED);
      tp->sacked_out -= tcp_skb_pcount(skb);
    }
    tcp_mark_skb_lost(sk, skb);
  }
  if (icsk->icsk_ca_state <= TCP_CA_Disorder || !after(tp->high_seq, tp->snd_una) ||
      (icsk->icsk_ca_state == TCP_CA_Loss && icsk->icsk_retransmits == 0)) {
    tp->prior_ssthresh = tcp_current_ssthresh(sk);
    tp->prior_cwnd = tp->snd_cwnd;
    tp->snd_ssthresh = icsk->icsk_ca_ops->ssthresh(sk);
    if (icsk->icsk_ca_ops->cwnd_event != nullptr) icsk->icsk_ca_ops->cwnd_event(sk, CA_EVENT_LOSS);
    tcp_init_undo(tp);
  }
  tp->snd_cwnd = tcp_packets_in_flight(tp) + 1;
  tp->snd_cwnd_cnt = 0;
  tp->snd_cwnd_stamp = tp->tcp_mstamp;
  if (icsk->icsk_ca_state <= TCP_CA_Disorder && tp->sacked_out >= static_cast<u32>(sysctl_tcp_reordering))
    tp->reordering = min(tp->reordering, static_cast<u32>(sysctl_tcp_reordering));
  tcp_set_ca_state(sk, TCP_CA_Loss);
  tp->high_seq = tp->snd_nxt;
  tp->tlp_high_seq = 0;
  if ((tp->ecn_flags & TCP_ECN_OK) != 0) tp->ecn_flags |= TCP_ECN_QUEUE_CWR;
  tp->frto = new_recovery || icsk->icsk_retransmits > 0;
}

}  // namespace xm::os
