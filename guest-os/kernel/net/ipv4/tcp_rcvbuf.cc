// SPDX-License-Identifier: GPL-2.0-or-later
// How much a receiver may take: the peer's segment size, acknowledgements at once or late, growth of the window and of
// the buffers.
#include "kernel/net/ipv4/tcp_internal.h"
#include "kernel/net/tcp.h"

namespace xm::os {

// --- what the segments tell about the peer ---
void tcp_initialize_rcv_mss(sock* sk) {
  const tcp_sock* tp = tcp_sk(sk);
  u32 hint = min<u32>(tp->advmss, tp->mss_cache);
  hint = min(hint, max(tp->rcv_wnd / 2, 1u));
  hint = max(min(hint, TCP_MSS_DEFAULT), TCP_MIN_MSS);
  inet_csk(sk)->icsk_ack.rcv_mss = static_cast<u16>(hint);
}

void tcp_measure_rcv_mss(sock* sk, const sk_buff* skb) {
  inet_connection_sock* icsk = inet_csk(sk);
  const u32 lss = icsk->icsk_ack.last_seg_size;
  icsk->icsk_ack.last_seg_size = 0;
  const u32 len = skb_shinfo(skb)->gso_size != 0 ? skb_shinfo(skb)->gso_size : skb->len;
  if (len >= icsk->icsk_ack.rcv_mss) {
    icsk->icsk_ack.rcv_mss = static_cast<u16>(min<u32>(len, tcp_sk(sk)->advmss));
    if (skb->len != len && (icsk->icsk_ack.pending & ICSK_ACK_PUSHED) == 0) {
      // a merged one: no sign of pushing
    } else if ((tcp_hdr(skb)->flags & TCPHDR_PSH) != 0) {
      icsk->icsk_ack.pending |= ICSK_ACK_PUSHED;
    }
    return;
  }
  const u32 whole = skb->len + tcp_hdrlen(skb);
  if (whole >= TCP_MSS_DEFAULT + sizeof(tcphdr) ||
      (whole >= TCP_MIN_MSS + sizeof(tcphdr) && (tcp_hdr(skb)->flags & (TCPHDR_PSH | TCPHDR_FIN)) == 0)) {
    icsk->icsk_ack.last_seg_size = static_cast<u16>(len);
    if (len == lss) {
      icsk->icsk_ack.rcv_mss = static_cast<u16>(len);
      return;
    }
  }
  if ((icsk->icsk_ack.pending & ICSK_ACK_PUSHED) != 0) icsk->icsk_ack.pending |= ICSK_ACK_PUSHED2;
  icsk->icsk_ack.pending |= ICSK_ACK_PUSHED;
}

void tcp_incr_quickack(sock* sk, u32 max_quickacks) {
  inet_connection_sock* icsk = inet_csk(sk);
  u32 quickacks = tcp_sk(sk)->rcv_wnd / (2u * max<u32>(icsk->icsk_ack.rcv_mss, 1));
  if (quickacks == 0) quickacks = 2;
  quickacks = min(quickacks, max_quickacks);
  if (quickacks > icsk->icsk_ack.quick) icsk->icsk_ack.quick = static_cast<u8>(quickacks);
}

bool tcp_in_quickack_mode(const sock* sk) {
  const inet_connection_sock* icsk = inet_csk(sk);
  return icsk->icsk_ack.quick > 0 && icsk->icsk_ack.pingpong < 3;
}

void tcp_enter_quickack_mode(sock* sk, u32 max_quickacks) {
  inet_connection_sock* icsk = inet_csk(sk);
  tcp_incr_quickack(sk, max_quickacks);
  icsk->icsk_ack.pingpong = 0;
  icsk->icsk_ack.ato = TCP_ATO_MIN;
}

// --- window growth ---

void tcp_sndbuf_expand(sock* sk) {
  const tcp_sock* tp = tcp_sk(sk);
  const u32 per_mss =
      static_cast<u32>(align_up(max<u32>(tp->rx_opt.mss_clamp, tp->mss_cache) + kMaxTcpHeader + 320, 64)) + 256;
  u32 nr_segs = max(TCP_INIT_CWND, tp->snd_cwnd);
  nr_segs = max(nr_segs, tp->reordering + 1);
  const u64 wanted = 2ul * nr_segs * per_mss;
  if (sk->sk_sndbuf < wanted) sk->sk_sndbuf = static_cast<u32>(min<u64>(wanted, static_cast<u64>(sysctl_tcp_wmem[2])));
}

namespace {

// Small segments cost more memory than they bring window: let it grow only as far as they pay.
u32 grow_window_increment(const sock* sk, const sk_buff* skb) {
  const tcp_sock* tp = tcp_sk(sk);
  int truesize = tcp_win_from_space(static_cast<int>(skb->truesize)) >> 1;
  int window = tcp_win_from_space(static_cast<int>(sysctl_tcp_rmem[2])) >> 1;
  while (static_cast<int>(tp->rcv_ssthresh) <= window) {
    if (truesize <= static_cast<int>(skb->len)) return 2u * inet_csk(sk)->icsk_ack.rcv_mss;
    truesize >>= 1;
    window >>= 1;
  }
  return 0;
}

}  // namespace

void tcp_grow_window(sock* sk, const sk_buff* skb) {
  tcp_sock* tp = tcp_sk(sk);
  const int room = min(static_cast<int>(tp->window_clamp), tcp_space(sk)) - static_cast<int>(tp->rcv_ssthresh);
  if (room <= 0) return;
  u32 incr = tcp_win_from_space(static_cast<int>(skb->truesize)) <= static_cast<int>(skb->len)
                 ? 2u * tp->advmss
                 : grow_window_increment(sk, skb);
  if (incr == 0) return;
  incr = max(incr, 2 * skb->len);
  tp->rcv_ssthresh += min(static_cast<u32>(room), incr);
  inet_csk(sk)->icsk_ack.quick |= 1;
}

void tcp_clamp_window(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  inet_csk(sk)->icsk_ack.quick = 0;
  if (sk->sk_rcvbuf < sysctl_tcp_rmem[2] && (sk->sk_userlocks & SOCK_RCVBUF_LOCK) == 0)
    sk->sk_rcvbuf = static_cast<u32>(min<s64>(sk_rmem_alloc_get(sk), sysctl_tcp_rmem[2]));
  if (sk_rmem_alloc_get(sk) > static_cast<int>(sk->sk_rcvbuf))
    tp->rcv_ssthresh = min(tp->window_clamp, 2u * tp->advmss);
}

namespace {

void tcp_rcv_rtt_update(tcp_sock* tp, u32 sample, bool win_dep) {
  u32 fresh = tp->rcv_rtt_est.rtt_us, m = max(sample, 1u);
  if (fresh != 0) {
    if (!win_dep) {
      m -= fresh >> 3;
      fresh += m;
    } else {
      m <<= 3;
      if (m < fresh) fresh = m;
    }
  } else {
    fresh = m << 3;
  }
  tp->rcv_rtt_est.rtt_us = fresh;
}

}  // namespace

void tcp_rcv_rtt_measure(tcp_sock* tp) {
  if (tp->rcv_rtt_est.time != 0) {
    if (before(tp->rcv_nxt, tp->rcv_rtt_est.seq)) return;
    const u64 delta = (tp->tcp_mstamp - tp->rcv_rtt_est.time) / 1000;
    tcp_rcv_rtt_update(tp, static_cast<u32>(max<u64>(delta, 1)), true);
  }
  tp->rcv_rtt_est.seq = tp->rcv_nxt + tp->rcv_wnd;
  tp->rcv_rtt_est.time = tp->tcp_mstamp;
}

void tcp_rcv_rtt_measure_ts(sock* sk, const sk_buff* skb) {
  tcp_sock* tp = tcp_sk(sk);
  if (tp->rx_opt.rcv_tsecr == 0 || skb->len < inet_csk(sk)->icsk_ack.rcv_mss) return;
  const u32 delta = tcp_time_stamp_ms(tp->tcp_mstamp) + tp->tsoffset - tp->rx_opt.rcv_tsecr;
  if (delta < 0x7fffffff / 1000) tcp_rcv_rtt_update(tp, max(delta, 1u) * 1000, false);
}

// Once in a round trip: what the reader took tells how much buffer the path needs (dynamic right-sizing).
void tcp_rcv_space_adjust(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  tcp_mstamp_refresh(tp);
  const u64 time = (tp->tcp_mstamp - tp->rcvq_space.time) / 1000;
  if (time < tp->rcv_rtt_est.rtt_us >> 3 || tp->rcv_rtt_est.rtt_us == 0) return;
  const u32 copied = tp->copied_seq - tp->rcvq_space.seq;
  if (copied > tp->rcvq_space.space) {
    if (sysctl_tcp_moderate_rcvbuf != 0 && (sk->sk_userlocks & SOCK_RCVBUF_LOCK) == 0) {
      u64 rcvwin = (static_cast<u64>(copied) << 1) + 16ul * tp->advmss;
      const u64 grow = tp->rcvq_space.space == 0 ? 0 : rcvwin * (copied - tp->rcvq_space.space) / tp->rcvq_space.space;
      rcvwin += grow << 1;
      u32 rcvmem = static_cast<u32>(align_up(tp->advmss + kMaxTcpHeader + 512u, 64));
      while (tcp_win_from_space(static_cast<int>(rcvmem)) < tp->advmss) rcvmem += 128;
      const u64 rcvbuf = min(rcvwin / max<u64>(tp->advmss, 1) * rcvmem, static_cast<u64>(sysctl_tcp_rmem[2]));
      if (rcvbuf > sk->sk_rcvbuf) {
        write_once(sk->sk_rcvbuf, static_cast<u32>(rcvbuf));
        tp->window_clamp = static_cast<u32>(tcp_win_from_space(static_cast<int>(rcvbuf)));
      }
    }
    tp->rcvq_space.space = copied;
  }
  tp->rcvq_space.seq = tp->copied_seq;
  tp->rcvq_space.time = tp->tcp_mstamp;
}

void tcp_init_buffer_space(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  if ((sk->sk_userlocks & SOCK_SNDBUF_LOCK) == 0) tcp_sndbuf_expand(sk);
  tcp_mstamp_refresh(tp);
  tp->rcvq_space.time = tp->tcp_mstamp;
  tp->rcvq_space.seq = tp->copied_seq;
  const int maxwin = tcp_full_space(sk);
  if (tp->window_clamp >= static_cast<u32>(maxwin)) {
    tp->window_clamp = static_cast<u32>(maxwin);
    if (maxwin > 4 * tp->advmss)
      tp->window_clamp = static_cast<u32>(max(maxwin - (maxwin >> 2), 4 * static_cast<int>(tp->advmss)));
  }
  tp->rcv_ssthresh = min(tp->rcv_ssthresh, tp->window_clamp);
  tp->snd_cwnd_stamp = tp->tcp_mstamp;
  tp->rcvq_space.space = min(min(tp->rcv_ssthresh, tp->rcv_wnd), TCP_INIT_CWND * tp->advmss);
}

}  // namespace xm::os
