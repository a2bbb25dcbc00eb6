// SPDX-License-Identifier: GPL-2.0-or-later
// What is lost goes again: tcp_xmit_retransmit_queue, and the probe for losses at the tail [RFC 8985, 7].
#include "kernel/net/ipv4/tcp_internal.h"
#include "kernel/net/tcp.h"

namespace xm::os {

// --- retransmission ---
int __tcp_retransmit_skb(sock* sk, sk_buff* skb, int segs) {
  tcp_sock* tp = tcp_sk(sk);
  if (before(TCP_SKB_CB(skb)->seq, tp->snd_una)) {
    if (before(TCP_SKB_CB(skb)->end_seq, tp->snd_una)) return -EINVAL;
    const u32 acked = tp->snd_una - TCP_SKB_CB(skb)->seq;
    if ((TCP_SKB_CB(skb)->tcp_flags & TCPHDR_SYN) == 0 && acked < skb->len) {
      if (skb_cloned(skb) && pskb_expand_head(skb, 0, 0, GFP_ATOMIC) != 0) return -ENOMEM;
      skb_pull(skb, acked);
      TCP_SKB_CB(skb)->seq = tp->snd_una;
    }
  }
  if (inet_csk(sk)->icsk_af_ops->rebuild_header(sk) != 0) return -EHOSTUNREACH;
  const u32 cur_mss = tcp_current_mss(sk);
  u32 avail_wnd = tcp_wnd_end(tp) - TCP_SKB_CB(skb)->seq;
  if (before(tcp_wnd_end(tp), TCP_SKB_CB(skb)->seq)) avail_wnd = 0;
  if (avail_wnd == 0) {
    if (TCP_SKB_CB(skb)->seq != tp->snd_una) return -EAGAIN;
    avail_wnd = cur_mss;
  }
  u32 len = cur_mss * static_cast<u32>(max(segs, 1));
  if (len > avail_wnd) len = max(avail_wnd / cur_mss * cur_mss, min(avail_wnd, cur_mss));
  if (skb->len > len) {
    if (tcp_fragment(sk, skb, len, cur_mss, GFP_ATOMIC) != 0) return -ENOMEM;
  } else {
    const u32 old = tcp_skb_pcount(skb);
    if (skb_cloned(skb) && skb_shinfo(skb)->gso_size != (skb->len > cur_mss ? cur_mss : 0) &&
        pskb_expand_head(skb, 0, 0, GFP_ATOMIC) != 0)
      return -ENOMEM;
    tcp_set_skb_tso_segs(skb, cur_mss);
    const int diff = static_cast<int>(old) - static_cast<int>(tcp_skb_pcount(skb));
    if (diff != 0) tcp_adjust_pcount(sk, skb, diff);
  }
  const u32 pcount = tcp_skb_pcount(skb);
  TCP_INC(TCP_MIB_RetransSegs, pcount);
  if ((TCP_SKB_CB(skb)->tcp_flags & TCPHDR_SYN) != 0) NET_INC(LINUX_MIB_TCPSynRetrans);
  tp->total_retrans += pcount;
  tp->bytes_retrans += skb->len;
  const int error = tcp_transmit_skb(sk, skb, true, GFP_ATOMIC, tp->rcv_nxt);
  TCP_SKB_CB(skb)->sacked |= TCPCB_EVER_RETRANS;
  if (error != 0) {
    NET_INC(LINUX_MIB_TCPRetransFail, pcount);
    if (error != -EBUSY) tp->total_retrans -= pcount;
  }
  return error;
}

int tcp_retransmit_skb(sock* sk, sk_buff* skb, int segs) {
  tcp_sock* tp = tcp_sk(sk);
  const int error = __tcp_retransmit_skb(sk, skb, segs);
  if (error == 0) {
    TCP_SKB_CB(skb)->sacked |= TCPCB_SACKED_RETRANS;
    tp->retrans_out += tcp_skb_pcount(skb);
  }
  if (tp->retrans_stamp == 0) tp->retrans_stamp = max(tcp_time_stamp_ms(TCP_SKB_CB(skb)->mstamp) + tp->tsoffset, 1u);
  if (tp->undo_retrans < 0) tp->undo_retrans = 0;
  tp->undo_retrans += static_cast<int>(tcp_skb_pcount(skb));
  return error;
}

// Sends again what is marked lost, as far as the window lets.
void tcp_xmit_retransmit_queue(sock* sk) {
  inet_connection_sock* icsk = inet_csk(sk);
  tcp_sock* tp = tcp_sk(sk);
  if (tp->packets_out == 0) return;
  bool rearm = false;
  const u32 max_segs = max(kGsoMaxSize / max(tcp_current_mss(sk), 1u), 1u);
  for (sk_buff* skb = tcp_rtx_queue_head(sk); skb != nullptr && skb != tp->send_head; skb = skb->next) {
    const u32 in_flight = tcp_packets_in_flight(tp);
    if (in_flight >= tp->snd_cwnd) break;
    const u32 segs = min(tp->snd_cwnd - in_flight, max_segs);
    const u8 sacked = TCP_SKB_CB(skb)->sacked;
    if (tp->lost_out == 0) break;
    if ((sacked & (TCPCB_SACKED_ACKED | TCPCB_SACKED_RETRANS)) != 0 || (sacked & TCPCB_LOST) == 0) continue;
    if (icsk->icsk_ca_state != TCP_CA_Loss)
      NET_INC(LINUX_MIB_TCPFastRetrans);
    else
      NET_INC(LINUX_MIB_TCPSlowStartRetrans);
    if (tcp_small_queue_check(sk, skb)) break;
    if (tcp_retransmit_skb(sk, skb, static_cast<int>(segs)) != 0) break;
    if (tcp_in_cwnd_reduction(sk)) tp->prr_out += tcp_skb_pcount(skb);
    if (skb == tcp_rtx_queue_head(sk) && icsk->icsk_pending != ICSK_TIME_REO_TIMEOUT) rearm = true;
  }
  if (rearm) tcp_reset_xmit_timer(sk, ICSK_TIME_RETRANS, icsk->icsk_rto);
}

// The path got narrower: what is larger than the new MSS is sent again. [RFC 1191, 6.4]
void tcp_simple_retransmit(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  const u32 mss = tcp_current_mss(sk);
  bool lost = false;
  for (sk_buff* skb = tcp_rtx_queue_head(sk); skb != nullptr && skb != tp->send_head; skb = skb->next) {
    const u32 seg = skb_shinfo(skb)->gso_size != 0 ? skb_shinfo(skb)->gso_size : skb->len;
    if (seg <= mss) continue;
    const u32 before_lost = tp->lost_out;
    tcp_mark_skb_lost(sk, skb);
    lost |= tp->lost_out != before_lost;
  }
  if (!lost) return;
  if (inet_csk(sk)->icsk_ca_state != TCP_CA_Loss) {
    tp->high_seq = tp->snd_nxt;
    tp->snd_ssthresh = tcp_current_ssthresh(sk);
    tp->prior_ssthresh = 0;
    tp->undo_marker = 0;
    inet_csk(sk)->icsk_ca_state = TCP_CA_Loss;
  }
  tcp_xmit_retransmit_queue(sk);
}

// --- tail loss probe [RFC 8985, 7] ---
bool tcp_schedule_loss_probe(sock* sk, bool advancing_rto) {
  inet_connection_sock* icsk = inet_csk(sk);
  tcp_sock* tp = tcp_sk(sk);
  const s64 early = sysctl_tcp_early_retrans;
  if ((early != 3 && early != 4) || tp->packets_out == 0 || tcp_is_reno(tp) ||
      (icsk->icsk_ca_state != TCP_CA_Open && icsk->icsk_ca_state != TCP_CA_CWR) || sk->sk_state == TCP_SYN_SENT)
    return false;
  u64 timeout;
  if (tp->srtt_us != 0) {
    timeout = (tp->srtt_us >> 2) * 1000ul;
    timeout += tp->packets_out == 1 ? TCP_RTO_MIN : 2 * kMs;
  } else {
    timeout = TCP_TIMEOUT_INIT;
  }
  const u64 now = tp->tcp_mstamp;
  u64 rto_left = icsk->icsk_rto;
  if (!advancing_rto) {
    const sk_buff* head = tcp_rtx_queue_head(sk);
    const u64 due = head != nullptr ? TCP_SKB_CB(head)->mstamp + icsk->icsk_rto : now + icsk->icsk_rto;
    rto_left = due > now ? due - now : 1;
  }
  tcp_reset_xmit_timer(sk, ICSK_TIME_LOSS_PROBE, min(timeout, rto_left));
  return true;
}

void tcp_send_loss_probe(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  const u32 mss = tcp_current_mss(sk);
  const auto rearm = [&] { tcp_rearm_rto(sk); };
  if (tp->tlp_high_seq != 0) return rearm();
  tp->tlp_retrans = false;
  if (tp->send_head != nullptr && tcp_snd_wnd_test(tp, tp->send_head, mss)) {
    const u32 before_out = tp->packets_out;
    tcp_write_xmit(sk, mss, TCP_NAGLE_OFF, 2, GFP_ATOMIC);
    if (tp->packets_out > before_out) {
      NET_INC(LINUX_MIB_TCPLossProbes);
      tp->tlp_high_seq = tp->snd_nxt;
    }
    inet_csk(sk)->icsk_pending = 0;
    return rearm();
  }
  sk_buff* skb = tp->send_head != nullptr ? tp->send_head->prev : skb_peek_tail(&sk->sk_write_queue);
  if (skb == nullptr || tp->packets_out == 0) {
    inet_csk(sk)->icsk_pending = 0;
    return;
  }
  const u32 pcount = tcp_skb_pcount(skb);
  if (pcount > 1 && skb->len > (pcount - 1) * mss) {
    if (tcp_fragment(sk, skb, (pcount - 1) * mss, mss, GFP_ATOMIC) != 0) return rearm();
    skb = skb->next;
  }
  if (__tcp_retransmit_skb(sk, skb, 1) == 0) {
    tp->tlp_retrans = true;
    NET_INC(LINUX_MIB_TCPLossProbes);
    tp->tlp_high_seq = tp->snd_nxt;
  }
  inet_csk(sk)->icsk_pending = 0;
  rearm();
}

}  // namespace xm::os
