// SPDX-License-Identifier: GPL-2.0-or-later
// What is lost? By SACK blocks [RFC 2018] and time of sending (RACK [RFC 8985]), or by duplicate ACKs.
#include "kernel/net/ipv4/tcp_internal.h"
#include "kernel/net/tcp.h"
#include "kernel/net/tcp_ack.h"

namespace xm::os {

namespace {

// --- marks ---
void tcp_notify_skb_loss_event(tcp_sock* tp, const sk_buff* skb) { tp->lost += tcp_skb_pcount(skb); }

void tcp_check_reno_reordering(sock* sk, u32 addend) {
  tcp_sock* tp = tcp_sk(sk);
  const u32 holes = min(max(tp->lost_out, 1u), tp->packets_out);
  if (tp->sacked_out + holes <= tp->packets_out) return;
  tp->sacked_out = tp->packets_out - holes;
  tp->reordering = min(tp->packets_out + addend, static_cast<u32>(sysctl_tcp_max_reordering));
  ++tp->reord_seen;
  NET_INC(LINUX_MIB_TCPRenoReorder);
}

}  // namespace

void tcp_add_reno_sack(sock* sk, u32 num_dupack) {
  if (num_dupack == 0) return;
  tcp_sock* tp = tcp_sk(sk);
  const u32 prior = tp->sacked_out;
  tp->sacked_out += num_dupack;
  tcp_check_reno_reordering(sk, 0);
  if (tp->sacked_out > prior) tp->delivered += tp->sacked_out - prior;
}
void tcp_remove_reno_sacks(sock* sk, u32 acked) {
  tcp_sock* tp = tcp_sk(sk);
  if (acked > 0) {
    tp->delivered += max(static_cast<int>(acked) - static_cast<int>(tp->sacked_out), 1);
    tp->sacked_out = acked - 1 >= tp->sacked_out ? 0 : tp->sacked_out - (acked - 1);
  }
  tcp_check_reno_reordering(sk, acked);
}

void tcp_reno_reset(sock* sk) {
  if (tcp_is_reno(tcp_sk(sk))) tcp_sk(sk)->sacked_out = 0;
}

void tcp_clear_retrans(tcp_sock* tp) {
  tp->retrans_out = 0;
  tp->lost_out = 0;
  tp->undo_marker = 0;
  tp->undo_retrans = -1;
  tp->sacked_out = 0;
}

void tcp_mark_skb_lost(sock* sk, sk_buff* skb) {
  tcp_sock* tp = tcp_sk(sk);
  u8& sacked = TCP_SKB_CB(skb)->sacked;
  if ((sacked & TCPCB_SACKED_ACKED) != 0) return;
  if ((sacked & TCPCB_LOST) != 0) {
    if ((sacked & TCPCB_SACKED_RETRANS) != 0) {  // the retransmission too
      sacked &= static_cast<u8>(~TCPCB_SACKED_RETRANS);
      tp->retrans_out -= tcp_skb_pcount(skb);
      NET_INC(LINUX_MIB_TCPLostRetransmit, tcp_skb_pcount(skb));
      tcp_notify_skb_loss_event(tp, skb);
    }
  } else {
    tp->lost_out += tcp_skb_pcount(skb);
    sacked |= TCPCB_LOST;
    tcp_notify_skb_loss_event(tp, skb);
  }
}

// --- RACK ---

namespace {

bool tcp_rack_sent_after(u64 t1, u64 t2, u32 seq1, u32 seq2) { return t1 > t2 || (t1 == t2 && after(seq1, seq2)); }

u64 tcp_rack_reo_wnd(const sock* sk) {  // µs
  const tcp_sock* tp = tcp_sk(sk);
  if (tp->reord_seen == 0) {
    if (inet_csk(sk)->icsk_ca_state >= TCP_CA_Recovery) return 0;
    if (tp->sacked_out >= tp->reordering) return 0;
  }
  return min<u64>((static_cast<u64>(tp->min_rtt_us == ~0u ? 0 : tp->min_rtt_us) >> 2) * tp->rack.reo_wnd_steps,
                  tp->srtt_us >> 3);
}

}  // namespace

void tcp_rack_advance(tcp_sock* tp, u8 sacked, u32 end_seq, u64 xmit_time) {
  const u64 rtt_us = (tp->tcp_mstamp - xmit_time) / 1000;
  if (rtt_us < tp->min_rtt_us && (sacked & TCPCB_RETRANS) != 0) return;  // the original's ACK, most likely
  tp->rack.advanced = true;
  tp->rack.rtt_us = static_cast<u32>(rtt_us);
  if (tcp_rack_sent_after(xmit_time, tp->rack.mstamp, end_seq, tp->rack.end_seq)) {
    tp->rack.mstamp = xmit_time;
    tp->rack.end_seq = end_seq;
  }
}

void tcp_rack_detect_loss(sock* sk, u64* reo_timeout) {
  tcp_sock* tp = tcp_sk(sk);
  *reo_timeout = 0;
  const u64 reo_wnd = tcp_rack_reo_wnd(sk);
  for (sk_buff* skb = tcp_rtx_queue_head(sk); skb != nullptr && skb != tp->send_head; skb = skb->next) {
    const tcp_skb_cb* cb = TCP_SKB_CB(skb);
    if ((cb->sacked & TCPCB_SACKED_ACKED) != 0) continue;
    if ((cb->sacked & TCPCB_LOST) != 0 && (cb->sacked & TCPCB_SACKED_RETRANS) == 0) continue;
    if (!tcp_rack_sent_after(tp->rack.mstamp, cb->mstamp, tp->rack.end_seq, cb->end_seq)) continue;
    const s64 remaining = static_cast<s64>(cb->mstamp) + static_cast<s64>(tp->rack.rtt_us + reo_wnd) * 1000 -
                          static_cast<s64>(tp->tcp_mstamp);
    if (remaining <= 0)
      tcp_mark_skb_lost(sk, skb);
    else
      *reo_timeout = max(*reo_timeout, static_cast<u64>(remaining));
  }
}

void tcp_rack_update_reo_wnd(sock* sk, u32 prior_delivered) {
  tcp_sock* tp = tcp_sk(sk);
  if (prior_delivered < tp->rack.last_delivered) tp->rack.dsack_seen = false;
  if (tp->rack.dsack_seen) {
    tp->rack.reo_wnd_steps = static_cast<u8>(min(0xff, tp->rack.reo_wnd_steps + 1));
    tp->rack.dsack_seen = false;
    tp->rack.last_delivered = tp->delivered;
    tp->rack.reo_wnd_persist = 16;
  } else if (tp->rack.reo_wnd_persist == 0) {
    tp->rack.reo_wnd_steps = 1;
  }
}

void tcp_rack_mark_lost(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  if (!tp->rack.advanced) return;
  tp->rack.advanced = false;
  u64 timeout;
  tcp_rack_detect_loss(sk, &timeout);
  if (timeout != 0) {
    timeout += 2 * kMs;
    inet_csk_reset_xmit_timer(sk, ICSK_TIME_REO_TIMEOUT, min(timeout, inet_csk(sk)->icsk_rto));
  }
}

// --- SACK blocks that we get ---

namespace {

bool tcp_is_sackblock_valid(const tcp_sock* tp, bool is_dsack, u32 start, u32 end) {
  if (after(end, tp->snd_nxt) || !before(start, end)) return false;
  if (!before(start, tp->snd_nxt)) return false;
  if (after(start, tp->snd_una)) return true;
  if (!is_dsack || tp->undo_marker == 0) return false;
  if (after(end, tp->snd_una)) return false;
  if (!before(start, tp->undo_marker)) return true;
  if (!after(end, tp->undo_marker)) return false;
  return !before(start, end - tp->max_window);
}

// The first block reports what came twice. [RFC 2883, 4]
bool tcp_check_dsack(sock* sk, const sk_buff* ack_skb, const tcp_sack_block* sp, u32 n, u32 prior_snd_una,
                     SackState* state) {
  tcp_sock* tp = tcp_sk(sk);
  bool dup = false;
  if (before(sp[0].start_seq, TCP_SKB_CB(ack_skb)->ack_seq)) {
    dup = true;
    NET_INC(LINUX_MIB_TCPDSACKRecv);
  } else if (n > 1 && !after(sp[0].end_seq, sp[1].end_seq) && !before(sp[0].start_seq, sp[1].start_seq)) {
    dup = true;
    NET_INC(LINUX_MIB_TCPDSACKOfoRecv);
  }
  if (!dup) return false;
  state->flag |= FLAG_DSACKING_ACK;
  ++tp->dsack_dups;
  tp->rack.dsack_seen = true;
  if (tp->undo_marker != 0 && tp->undo_retrans > 0 && !after(sp[0].end_seq, prior_snd_una) &&
      after(sp[0].end_seq, tp->undo_marker)) {
    const u32 pkts = max((sp[0].end_seq - sp[0].start_seq + tp->mss_cache - 1) / max(tp->mss_cache, 1u), 1u);
    tp->undo_retrans = max(0, tp->undo_retrans - static_cast<int>(pkts));
  }
  return true;
}

void tcp_sacktag_one(sock* sk, SackState* state, sk_buff* skb) {
  tcp_sock* tp = tcp_sk(sk);
  tcp_skb_cb* cb = TCP_SKB_CB(skb);
  const u32 pcount = tcp_skb_pcount(skb);
  if ((cb->sacked & TCPCB_SACKED_ACKED) != 0) return;
  tcp_rack_advance(tp, cb->sacked, cb->end_seq, cb->mstamp);
  if ((cb->sacked & TCPCB_SACKED_RETRANS) != 0) {
    if ((cb->sacked & TCPCB_LOST) != 0) {
      cb->sacked &= static_cast<u8>(~(TCPCB_LOST | TCPCB_SACKED_RETRANS));
      tp->lost_out -= pcount;
      tp->retrans_out -= pcount;
    }
  } else {
    if ((cb->sacked & TCPCB_RETRANS) == 0) {
      // Never sent again, and below what was known to have arrived: the network reorders.
      if (before(cb->seq, tp->high_retrans) && (state->reord == 0 || before(cb->seq, state->reord)))
        state->reord = cb->seq;
      if (!after(cb->end_seq, tp->high_seq)) state->flag |= FLAG_ORIG_SACK_ACKED;
      if (state->first_sackt == 0) state->first_sackt = cb->mstamp;
      state->last_sackt = cb->mstamp;
    }
    if ((cb->sacked & TCPCB_LOST) != 0) {
      cb->sacked &= static_cast<u8>(~TCPCB_LOST);
      tp->lost_out -= pcount;
    }
  }
  cb->sacked |= TCPCB_SACKED_ACKED;
  state->flag |= FLAG_DATA_SACKED;
  tp->sacked_out += pcount;
  tp->delivered += pcount;
  if (before(tp->high_retrans, cb->end_seq) || tp->high_retrans == 0) tp->high_retrans = cb->end_seq;
}

// Marks what lies within a block; a segment that it covers in part is cut at a border of segments.
void tcp_sacktag_walk(sock* sk, const tcp_sack_block& block, SackState* state) {
  tcp_sock* tp = tcp_sk(sk);
  for (sk_buff* skb = tcp_rtx_queue_head(sk); skb != nullptr && skb != tp->send_head; skb = skb->next) {
    const tcp_skb_cb* cb = TCP_SKB_CB(skb);
    if (!before(cb->seq, block.end_seq)) break;
    if (!after(cb->end_seq, block.start_seq)) continue;
    if ((cb->sacked & TCPCB_SACKED_ACKED) != 0) continue;
    bool in_sack = !before(cb->seq, block.start_seq) && !after(cb->end_seq, block.end_seq);
    if (!in_sack && tcp_skb_pcount(skb) > 1) {
      const u32 mss = max<u32>(skb_shinfo(skb)->gso_size, 1);
      if (before(cb->seq, block.start_seq)) {
        u32 keep = block.start_seq - cb->seq;
        keep = (keep + mss - 1) / mss * mss;
        if (keep < skb->len) tcp_fragment(sk, skb, keep, mss, GFP_ATOMIC);  // the rest is looked at next
        continue;
      }
      const u32 keep = (block.end_seq - cb->seq) / mss * mss;
      if (keep == 0 || keep >= skb->len || tcp_fragment(sk, skb, keep, mss, GFP_ATOMIC) != 0) continue;
      in_sack = true;
    }
    if (in_sack) tcp_sacktag_one(sk, state, skb);
  }
}

}  // namespace

int tcp_sacktag_write_queue(sock* sk, const sk_buff* ack_skb, u32 prior_snd_una, SackState* state) {
  tcp_sock* tp = tcp_sk(sk);
  tcp_options_received opt;
  opt.tstamp_ok = tp->rx_opt.tstamp_ok;
  opt.sack_ok = true;
  tcp_sack_block sp[4];
  tcp_parse_options(ack_skb, &opt, sp, tp);
  const u32 n = opt.num_sacks;
  if (n == 0) return 0;
  state->dsack = tcp_check_dsack(sk, ack_skb, sp, n, prior_snd_una, state);
  if (before(TCP_SKB_CB(ack_skb)->ack_seq, prior_snd_una - tp->max_window)) return 0;
  if (tp->packets_out == 0) return state->flag;
  for (u32 i = 0; i < n; ++i) {
    if (!tcp_is_sackblock_valid(tp, state->dsack && i == 0, sp[i].start_seq, sp[i].end_seq)) {
      if (!(state->dsack && i == 0)) NET_INC(LINUX_MIB_TCPSACKDiscard);
      continue;
    }
    if (!after(sp[i].end_seq, prior_snd_una)) continue;
    tcp_sacktag_walk(sk, sp[i], state);
  }
  if (state->reord != 0 && inet_csk(sk)->icsk_ca_state != TCP_CA_Loss) {
    ++tp->reord_seen;
    NET_INC(LINUX_MIB_TCPSACKReorder);
    const u32 metric = (tp->high_retrans - state->reord) / max(tp->mss_cache, 1u);
    if (metric > tp->reordering) tp->reordering = min(metric, static_cast<u32>(sysctl_tcp_max_reordering));
  }
  return state->flag;
}

}  // namespace xm::os
