// SPDX-License-Identifier: GPL-2.0-or-later
// TCP transmit: segments leave the write queue within congestion and receive windows (tcp_write_xmit). [RFC 9293, 3.8],
// [RFC 5681]; Nagle's rule with Minshall's change [RFC 896]; TCP small queues; cutting at segment borders.
#include "kernel/mm/slab.h"
#include "kernel/net/ipv4/tcp_internal.h"
#include "kernel/net/tcp.h"

namespace xm::os {

void tcp_adjust_pcount(sock* sk, const sk_buff* skb, int decr) {
  tcp_sock* tp = tcp_sk(sk);
  const u32 d = static_cast<u32>(decr);
  tp->packets_out -= d;
  if ((TCP_SKB_CB(skb)->sacked & TCPCB_SACKED_ACKED) != 0) tp->sacked_out -= d;
  if ((TCP_SKB_CB(skb)->sacked & TCPCB_SACKED_RETRANS) != 0) tp->retrans_out -= d;
  if ((TCP_SKB_CB(skb)->sacked & TCPCB_LOST) != 0) tp->lost_out -= d;
  if (tcp_is_reno(tp) && decr > 0) tp->sacked_out -= min(tp->sacked_out, d);
}

void tcp_set_skb_tso_segs(sk_buff* skb, u32 mss_now) {
  skb_shared_info* info = skb_shinfo(skb);
  if (skb->len <= mss_now) {
    info->gso_segs = 1;
    info->gso_size = 0;
    return;
  }
  info->gso_segs = static_cast<u16>((skb->len + mss_now - 1) / mss_now);
  info->gso_size = static_cast<u16>(mss_now);
}

namespace {

u32 tcp_init_tso_segs(sk_buff* skb, u32 mss_now) {
  const skb_shared_info* info = skb_shinfo(skb);
  if (info->gso_segs == 0 || (info->gso_segs > 1 && info->gso_size != mss_now)) tcp_set_skb_tso_segs(skb, mss_now);
  return tcp_skb_pcount(skb);
}

}  // namespace

void tcp_event_new_data_sent(sock* sk, sk_buff* skb) {
  inet_connection_sock* icsk = inet_csk(sk);
  tcp_sock* tp = tcp_sk(sk);
  const u32 prior_packets = tp->packets_out;
  tp->snd_nxt = TCP_SKB_CB(skb)->end_seq;
  tp->send_head = skb->next;
  tp->packets_out += tcp_skb_pcount(skb);
  if (prior_packets == 0 || icsk->icsk_pending == ICSK_TIME_LOSS_PROBE) tcp_rearm_rto(sk);
  NET_INC(LINUX_MIB_TCPOrigDataSent, tcp_skb_pcount(skb));
}

namespace {

bool tcp_minshall_check(const tcp_sock* tp) {
  return after(tp->snd_sml, tp->snd_una) && !after(tp->snd_sml, tp->snd_nxt);
}
void tcp_minshall_update(tcp_sock* tp, u32 mss_now, const sk_buff* skb) {
  if (skb->len < tcp_skb_pcount(skb) * mss_now) tp->snd_sml = TCP_SKB_CB(skb)->end_seq;
}
// A small segment waits while one is under way. False: may go.
bool tcp_nagle_check(bool partial, const tcp_sock* tp, int nonagle) {
  return partial &&
         ((nonagle & TCP_NAGLE_CORK) != 0 || (nonagle == 0 && tp->packets_out > 0 && tcp_minshall_check(tp)));
}
bool tcp_nagle_test(const tcp_sock* tp, const sk_buff* skb, u32 cur_mss, int nonagle) {
  if ((nonagle & TCP_NAGLE_PUSH) != 0) return true;
  if ((TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN) != 0 || tp->snd_up != tp->snd_una) return true;
  return !tcp_nagle_check(skb->len < cur_mss, tp, nonagle);
}

}  // namespace

u32 tcp_cwnd_test(const tcp_sock* tp, const sk_buff* skb) {
  if ((TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN) != 0 && tcp_skb_pcount(skb) == 1) return 1;
  const u32 in_flight = tcp_packets_in_flight(tp), cwnd = tp->snd_cwnd;
  if (in_flight >= cwnd) return 0;
  return min(max(cwnd >> 1, 1u), cwnd - in_flight);
}
bool tcp_snd_wnd_test(const tcp_sock* tp, const sk_buff* skb, u32 cur_mss) {
  u32 end = TCP_SKB_CB(skb)->end_seq;
  if (skb->len > cur_mss) end = TCP_SKB_CB(skb)->seq + cur_mss;
  return !after(end, tcp_wnd_end(tp));
}

namespace {

// How much of a GSO skb may go: whole segments within window and cwnd.
u32 tcp_mss_split_point(const tcp_sock* tp, const sk_buff* skb, u32 mss_now, u32 max_segs, int nonagle) {
  const u32 window = tcp_wnd_end(tp) - TCP_SKB_CB(skb)->seq;
  const u32 max_len = mss_now * max_segs;
  const bool last = skb->next == nullptr;
  if (likely(max_len <= window && !last)) return max_len;
  const u32 needed = min(skb->len, window);
  if (max_len <= needed) return max_len;
  const u32 partial = needed % mss_now;
  return tcp_nagle_check(partial != 0, tp, nonagle) ? needed - partial : needed;
}

// Is it better to wait for an ACK that opens the window for a larger burst?
bool tcp_tso_should_defer(sock* sk, sk_buff* skb, bool* is_cwnd_limited, u32 max_segs) {
  const tcp_sock* tp = tcp_sk(sk);
  if (inet_csk(sk)->icsk_ca_state >= TCP_CA_Recovery) return false;
  if ((TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN) != 0) return false;
  if (tp->tcp_mstamp - tp->lsndtime > kMs) return false;  // nothing lately: do not sit on it
  const u32 in_flight = tcp_packets_in_flight(tp);
  if (in_flight == 0) return false;
  const u32 send_win = tcp_wnd_end(tp) - TCP_SKB_CB(skb)->seq;
  const u32 cong_win = (tp->snd_cwnd - in_flight) * tp->mss_cache;
  const u32 limit = min(send_win, cong_win);
  if (limit >= max_segs * tp->mss_cache) return false;
  if (skb->next != nullptr && limit >= skb->len) return false;
  const u32 chunk = min(tp->snd_wnd, tp->snd_cwnd * tp->mss_cache) / 3;
  if (limit >= chunk) return false;
  if (cong_win < send_win) {
    if (cong_win <= skb->len) {
      *is_cwnd_limited = true;
      return true;
    }
  } else if (send_win <= skb->len) {
    return true;
  }
  return false;
}

void tcp_cwnd_application_limited(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  if (inet_csk(sk)->icsk_ca_state == TCP_CA_Open && !sk->sk_write_space_wanted) {
    const u32 init_win = tcp_init_cwnd(tp), used = max(tp->snd_cwnd_used, init_win);
    if (used < tp->snd_cwnd) {
      tp->snd_ssthresh = tcp_current_ssthresh(sk);
      tp->snd_cwnd = (tp->snd_cwnd + used) >> 1;
    }
    tp->snd_cwnd_used = 0;
  }
  tp->snd_cwnd_stamp = tp->tcp_mstamp;
}

void tcp_cwnd_validate(sock* sk, bool is_cwnd_limited) {
  tcp_sock* tp = tcp_sk(sk);
  if (!before(tp->snd_una, tp->cwnd_usage_seq) || is_cwnd_limited ||
      (!tp->is_cwnd_limited && tp->packets_out > tp->max_packets_out)) {
    tp->is_cwnd_limited = is_cwnd_limited;
    tp->max_packets_out = tp->packets_out;
    tp->cwnd_usage_seq = tp->snd_nxt;
  }
  if (tp->is_cwnd_limited || (tcp_in_slow_start(tp) && tp->snd_cwnd < 2 * tp->max_packets_out)) {
    tp->snd_cwnd_used = 0;
    tp->snd_cwnd_stamp = tp->tcp_mstamp;
  } else {
    if (tp->packets_out > tp->snd_cwnd_used) tp->snd_cwnd_used = tp->packets_out;
    if (sysctl_tcp_slow_start_after_idle != 0 && tp->tcp_mstamp - tp->snd_cwnd_stamp >= inet_csk(sk)->icsk_rto)
      tcp_cwnd_application_limited(sk);
  }
}

}  // namespace

// Queues below hold enough of this socket (TCP small queues): wait until they have sent some.
bool tcp_small_queue_check(sock* sk, const sk_buff* skb) {
  const u32 limit = max(2 * skb->truesize, static_cast<u32>(sysctl_tcp_limit_output_bytes));
  if (static_cast<u32>(sk_wmem_alloc_get(sk)) <= limit) return false;
  if (tcp_rtx_queue_head(sk) == nullptr) return false;
  tcp_sk(sk)->tsq_flags.fetch_or(TCPF_TSQ_THROTTLED);
  full_barrier();
  return static_cast<u32>(sk_wmem_alloc_get(sk)) > limit;
}

void tcp_add_write_queue_tail(sock* sk, sk_buff* skb) {
  __skb_queue_tail(&sk->sk_write_queue, skb);
  tcp_sock* tp = tcp_sk(sk);
  if (tp->send_head == nullptr) tp->send_head = skb;
}
void tcp_unlink_write_queue(sk_buff* skb, sock* sk) {
  if (tcp_sk(sk)->send_head == skb) tcp_sk(sk)->send_head = skb->next;
  __skb_unlink(skb, &sk->sk_write_queue);
}

// After an idle time the old window says nothing any more: halved for each RTO. [RFC 2861]
void tcp_cwnd_restart(sock* sk, u64 delta) {
  tcp_sock* tp = tcp_sk(sk);
  const u32 restart = min(tcp_init_cwnd(tp), tp->snd_cwnd);
  u32 cwnd = tp->snd_cwnd;
  if (inet_csk(sk)->icsk_ca_ops->cwnd_event != nullptr)
    inet_csk(sk)->icsk_ca_ops->cwnd_event(sk, CA_EVENT_CWND_RESTART);
  tp->snd_ssthresh = tcp_current_ssthresh(sk);
  s64 left = static_cast<s64>(delta);
  while ((left -= static_cast<s64>(inet_csk(sk)->icsk_rto)) > 0 && cwnd > restart) cwnd >>= 1;
  tp->snd_cwnd = max(cwnd, restart);
  tp->snd_cwnd_stamp = tp->tcp_mstamp;
  tp->snd_cwnd_used = 0;
}

// --- cutting ---
// Cuts skb at `len`: it keeps the first part, the rest becomes a new skb behind it.
int tcp_fragment(sock* sk, sk_buff* skb, u32 len, u32 mss_now, gfp_t gfp) {
  tcp_sock* tp = tcp_sk(sk);
  if (len >= skb->len || len == 0) return -EINVAL;
  if (skb_cloned(skb) && pskb_expand_head(skb, 0, 0, gfp) != 0) return -ENOMEM;
  const u32 head = skb_headlen(skb);
  sk_buff* buff = alloc_skb(kMaxTcpHeader + (head > len ? head - len : 0), gfp);
  if (buff == nullptr) return -ENOMEM;
  skb_reserve(buff, kMaxTcpHeader);
  const u32 old_true = skb->truesize;
  skb_shared_info *from = skb_shinfo(skb), *to = skb_shinfo(buff);
  if (head > len) {
    memcpy(skb_put(buff, head - len), skb->data + len, head - len);
    skb->tail -= head - len;
    skb->len -= head - len;
  }
  u32 pos = skb_headlen(skb), kept = 0;
  for (u32 i = 0; i < from->nr_frags; ++i) {
    const skb_frag_t f = from->frags[i];
    if (pos + f.size <= len) {
      from->frags[kept++] = f;
    } else {
      const u32 mine = pos < len ? len - pos : 0;
      skb_frag_t rest = f;
      rest.offset += mine;
      rest.size -= mine;
      if (mine > 0) {
        from->frags[kept] = f;
        from->frags[kept++].size = mine;
        get_page(f.frag_page);
      }
      to->frags[to->nr_frags++] = rest;
      buff->len += rest.size;
      buff->data_len += rest.size;
      skb->len -= rest.size;
      skb->data_len -= rest.size;
    }
    pos += f.size;
  }
  from->nr_frags = static_cast<u8>(kept);
  const u32 moved = buff->data_len;
  buff->truesize += moved;
  skb->truesize = old_true > moved ? old_true - moved : old_true;
  sk->sk_wmem_queued += static_cast<s32>(buff->truesize + skb->truesize - old_true);
  sk_mem_charge(sk, static_cast<s32>(buff->truesize + skb->truesize - old_true));
  tcp_skb_cb *a = TCP_SKB_CB(skb), *b = TCP_SKB_CB(buff);
  *b = *a;
  b->seq = a->seq + len;
  b->end_seq = a->end_seq;
  a->end_seq = b->seq;
  b->tcp_flags = a->tcp_flags;
  a->tcp_flags &= static_cast<u8>(~(TCPHDR_FIN | TCPHDR_PSH));
  a->eor = false;
  buff->ip_summed = CHECKSUM_PARTIAL;
  buff->tstamp = skb->tstamp;
  skb_shinfo(buff)->gso_type = from->gso_type;
  const u32 old_pcount = tcp_skb_pcount(skb);
  const bool sent = before(a->seq, tp->snd_nxt);
  tcp_set_skb_tso_segs(skb, mss_now);
  tcp_set_skb_tso_segs(buff, mss_now);
  if (sent) {
    const int diff = static_cast<int>(old_pcount) - static_cast<int>(tcp_skb_pcount(skb) + tcp_skb_pcount(buff));
    if (diff != 0) tcp_adjust_pcount(sk, skb, diff);
  }
  __skb_queue_after(&sk->sk_write_queue, skb, buff);
  return 0;
}

// --- sending from the queue ---
bool tcp_write_xmit(sock* sk, u32 mss_now, int nonagle, int push_one, gfp_t gfp) {
  tcp_sock* tp = tcp_sk(sk);
  u32 sent_pkts = 0;
  bool is_cwnd_limited = false;
  tcp_mstamp_refresh(tp);
  const u32 max_segs = max(kGsoMaxSize / mss_now, 1u);
  while (sk_buff* skb = tp->send_head) {
    const u32 tso_segs = tcp_init_tso_segs(skb, mss_now);
    u32 cwnd_quota = tcp_cwnd_test(tp, skb);
    if (cwnd_quota == 0) {
      if (push_one != 2) {
        is_cwnd_limited = true;
        break;
      }
      cwnd_quota = 1;  // a probe may go
    }
    if (!tcp_snd_wnd_test(tp, skb, mss_now)) break;
    if (tso_segs == 1) {
      const int n = skb->next == nullptr ? nonagle : TCP_NAGLE_PUSH;
      if (!tcp_nagle_test(tp, skb, mss_now, n)) break;
    } else if (push_one == 0 && tcp_tso_should_defer(sk, skb, &is_cwnd_limited, max_segs)) {
      break;
    }
    u32 limit = mss_now;
    if (tso_segs > 1) limit = tcp_mss_split_point(tp, skb, mss_now, min(cwnd_quota, max_segs), nonagle);
    if (limit == 0) break;
    if (skb->len > limit && tcp_fragment(sk, skb, limit, mss_now, gfp) != 0) break;
    if (tcp_small_queue_check(sk, skb)) break;
    if (TCP_SKB_CB(skb)->end_seq == TCP_SKB_CB(skb)->seq) break;
    if (tcp_transmit_skb(sk, skb, true, gfp, tp->rcv_nxt) != 0) break;
    tcp_event_new_data_sent(sk, skb);
    tcp_minshall_update(tp, mss_now, skb);
    sent_pkts += tcp_skb_pcount(skb);
    if (push_one != 0) break;
  }
  is_cwnd_limited |= tcp_packets_in_flight(tp) >= tp->snd_cwnd;
  if (sent_pkts > 0 || is_cwnd_limited) tcp_cwnd_validate(sk, is_cwnd_limited);
  if (sent_pkts > 0) {
    if (tcp_in_cwnd_reduction(sk)) tp->prr_out += sent_pkts;
    if (push_one != 2) tcp_schedule_loss_probe(sk, false);
    return false;
  }
  return tp->packets_out == 0 && tp->send_head != nullptr;
}

namespace {

void tcp_check_probe_timer(sock* sk) {
  const inet_connection_sock* icsk = inet_csk(sk);
  if (tcp_sk(sk)->packets_out == 0 && icsk->icsk_pending == 0)
    tcp_reset_xmit_timer(sk, ICSK_TIME_PROBE0, max(icsk->icsk_rto, TCP_RTO_MIN));
}

}  // namespace

void __tcp_push_pending_frames(sock* sk, u32 mss_now, int nonagle) {
  if (sk->sk_state == TCP_CLOSE) return;
  if (tcp_write_xmit(sk, mss_now, nonagle, 0, GFP_ATOMIC)) tcp_check_probe_timer(sk);
}
void tcp_push_one(sock* sk, u32 mss_now) { tcp_write_xmit(sk, mss_now, TCP_NAGLE_PUSH, 1, GFP_ATOMIC); }

}  // namespace xm::os
