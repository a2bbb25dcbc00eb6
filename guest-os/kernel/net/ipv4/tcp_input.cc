// SPDX-License-Identifier: GPL-2.0-or-later
// TCP receive of an established connection: the fast path (header prediction [RFC 1323]), sequence checks [RFC 5961],
// urgent data, acknowledgements back (delayed [RFC 1122, 4.2.3.2]).
#include "kernel/net/ipv4/tcp_internal.h"
#include "kernel/net/tcp.h"
#include "kernel/net/tcp_ack.h"

namespace xm::os {

// --- after an ACK ---
void tcp_check_space(sock* sk) {
  if (!sk->sk_write_space_wanted) return;
  tcp_sock* tp = tcp_sk(sk);
  // The window is the limit, not the program: more buffer for it.
  if ((sk->sk_userlocks & SOCK_SNDBUF_LOCK) == 0 && tcp_packets_in_flight(tp) < tp->snd_cwnd) {
    tcp_sndbuf_expand(sk);
    tp->snd_cwnd_stamp = tp->tcp_mstamp;
  }
  sk_stream_write_space(sk);
}

namespace {

void tcp_data_snd_check(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  if (tp->send_head != nullptr) __tcp_push_pending_frames(sk, tcp_current_mss(sk), tp->nonagle);
  tcp_check_space(sk);
}

void __tcp_ack_snd_check(sock* sk, bool ofo_possible) {
  tcp_sock* tp = tcp_sk(sk);
  inet_connection_sock* icsk = inet_csk(sk);
  const bool two_segments =
      tp->rcv_nxt - tp->rcv_wup > icsk->icsk_ack.rcv_mss &&
      (tp->rcv_nxt - tp->copied_seq < static_cast<u32>(sk->sk_rcvlowat) || __tcp_select_window(sk) >= tp->rcv_wnd);
  if (two_segments || tcp_in_quickack_mode(sk) || (icsk->icsk_ack.pending & ICSK_ACK_NOW) != 0 ||
      (ofo_possible && tp->out_of_order_queue.node != nullptr)) {
    tcp_send_ack(sk);
    return;
  }
  tcp_send_delayed_ack(sk);
}
void tcp_ack_snd_check(sock* sk) {
  if (inet_csk_ack_scheduled(sk)) __tcp_ack_snd_check(sk, true);
}

// --- urgent data [RFC 6093] ---
void tcp_check_urg(sock* sk, const tcphdr* th) {
  tcp_sock* tp = tcp_sk(sk);
  u32 ptr = ntohs(th->urg_ptr);
  if (ptr != 0 && sysctl_tcp_stdurg == 0) --ptr;
  ptr += ntohl(th->seq);
  if (after(tp->copied_seq, ptr) || before(ptr, tp->rcv_nxt)) return;
  if (tp->urg_data != 0 && !after(ptr, tp->urg_seq)) return;
  if (sk->sk_socket != nullptr) {
    // SIGURG to the owner of the file
    file* f = sk->sk_socket->file_;
    if (f != nullptr && f->f_owner != 0) sock_def_error_report(sk);
  }
  if (tp->urg_seq == tp->copied_seq && tp->urg_data != 0 && !sk->sk_oobinline && tp->copied_seq != tp->rcv_nxt)
    ++tp->copied_seq;
  tp->urg_data = TCP_URG_NOTYET;
  tp->urg_seq = ptr;
  tp->pred_flags = 0;
}

void tcp_urg(sock* sk, const sk_buff* skb, const tcphdr* th) {
  tcp_sock* tp = tcp_sk(sk);
  if ((th->flags & TCPHDR_URG) != 0) tcp_check_urg(sk, th);
  if (tp->urg_data != TCP_URG_NOTYET) return;
  const u32 ptr = tp->urg_seq - ntohl(th->seq) + th->doff * 4u - ((th->flags & TCPHDR_SYN) != 0 ? 1 : 0);
  if (ptr >= skb->len) return;
  u8 byte;
  if (skb_copy_bits(skb, ptr, &byte, 1) != 0) return;
  tp->urg_data = static_cast<u16>(TCP_URG_VALID | byte);
  if (!sk->sk_dead) sock_def_readable(sk);
}

}  // namespace

// --- checks [RFC 9293, 3.10.7.4], [RFC 5961] ---
bool tcp_oow_rate_limited(u64* last) {
  const u64 now = ktime_get();
  if (*last != 0 && now - *last < static_cast<u64>(sysctl_tcp_invalid_ratelimit) * kMs) return true;
  *last = now;
  return false;
}

namespace {

bool tcp_fast_parse_options(const sk_buff* skb, const tcphdr* th, tcp_sock* tp) {
  tp->rx_opt.saw_tstamp = false;
  if (th->doff == sizeof(tcphdr) / 4) return false;
  if (tp->rx_opt.tstamp_ok && th->doff == (sizeof(tcphdr) + TCPOLEN_TSTAMP_ALIGNED) / 4) {
    const u8* p = reinterpret_cast<const u8*>(th + 1);
    if (get_unaligned<be32>(p) == htonl(TCPOPT_NOP << 24 | TCPOPT_NOP << 16 | TCPOPT_TIMESTAMP << 8 | 10)) {
      tp->rx_opt.saw_tstamp = true;
      tp->rx_opt.rcv_tsval = ntohl(get_unaligned<be32>(p + 4));
      const u32 ecr = ntohl(get_unaligned<be32>(p + 8));
      tp->rx_opt.rcv_tsecr = ecr != 0 ? ecr - tp->tsoffset : 0;
      return true;
    }
  }
  tcp_parse_options(skb, &tp->rx_opt, nullptr, tp);
  if (tp->rx_opt.saw_tstamp && tp->rx_opt.rcv_tsecr != 0) tp->rx_opt.rcv_tsecr -= tp->tsoffset;
  return true;
}

// PAWS [RFC 7323, 5]: a timestamp that runs backwards, unless it is a mere duplicate ACK.
bool tcp_paws_discard(const sock* sk, const sk_buff* skb) {
  const tcp_sock* tp = tcp_sk(sk);
  const tcp_options_received& o = tp->rx_opt;
  if (static_cast<s32>(o.ts_recent - o.rcv_tsval) <= 0) return false;
  if (o.ts_recent_stamp == 0 || ktime_get() > o.ts_recent_stamp + 24ul * 24 * 3600 * kNsPerSec) return false;
  const tcphdr* th = tcp_hdr(skb);
  const u32 seq = TCP_SKB_CB(skb)->seq, ack = TCP_SKB_CB(skb)->ack_seq;
  const bool disordered_ack =
      (th->flags & TCPHDR_ACK) != 0 && seq == TCP_SKB_CB(skb)->end_seq && seq == tp->rcv_nxt && ack == tp->snd_una &&
      (ntohs(th->window) << o.snd_wscale) == static_cast<int>(tp->snd_wnd) &&
      static_cast<s32>(o.ts_recent - o.rcv_tsval) <= static_cast<s32>(inet_csk(sk)->icsk_rto / kMs);
  return !disordered_ack;
}

bool tcp_sequence(const tcp_sock* tp, u32 seq, u32 end_seq) {
  return !before(end_seq, tp->rcv_wup) && !after(seq, tp->rcv_nxt + tcp_receive_window(tp));
}

u32 challenge_count = 0;
u64 challenge_second = 0;

// An answer that only the real peer can make use of. [RFC 5961, 7]
void tcp_send_challenge_ack(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  if (tcp_oow_rate_limited(&tp->last_oow_ack_time)) return;
  const u64 second = ktime_get() / kNsPerSec;
  if (second != challenge_second) {
    challenge_second = second;
    challenge_count = 0;
  }
  if (challenge_count >= sysctl_tcp_challenge_ack_limit) return;
  ++challenge_count;
  NET_INC(LINUX_MIB_TCPChallengeACK);
  tcp_send_ack(sk);
}

}  // namespace

void tcp_reset(sock* sk, sk_buff*) {
  switch (sk->sk_state) {
    case TCP_SYN_SENT: sk_set_err(sk, ECONNREFUSED); break;
    case TCP_CLOSE_WAIT: sk_set_err(sk, EPIPE); break;
    case TCP_CLOSE: return;
    default: sk_set_err(sk, ECONNRESET); break;
  }
  tcp_write_queue_purge(sk);
  tcp_done(sk);
  if (!sk->sk_dead) sock_def_error_report(sk);
}

// Everything that a segment must pass before its content counts. False: it was dealt with and is gone.
bool tcp_validate_incoming(sock* sk, sk_buff* skb, const tcphdr* th, bool syn_inerr) {
  tcp_sock* tp = tcp_sk(sk);
  const tcp_skb_cb* cb = TCP_SKB_CB(skb);
  const auto discard = [&](SkbDropReason why) {
    tcp_drop(skb, why);
    return false;
  };
  if (tcp_fast_parse_options(skb, th, tp) && tp->rx_opt.saw_tstamp && tcp_paws_discard(sk, skb)) {
    if ((th->flags & TCPHDR_RST) == 0) {
      NET_INC(LINUX_MIB_PAWSEstab);
      if (!tcp_oow_rate_limited(&tp->last_oow_ack_time)) tcp_send_dupack(sk, skb);
      return discard(SKB_DROP_TCP_INVALID_SEQUENCE);
    }
  }
  const bool syn = (th->flags & TCPHDR_SYN) != 0, rst = (th->flags & TCPHDR_RST) != 0;
  if (!tcp_sequence(tp, cb->seq, cb->end_seq)) {
    if (!rst) {
      if (syn) {
        if (syn_inerr) TCP_INC(TCP_MIB_InErrs);
        NET_INC(LINUX_MIB_TCPSYNChallenge);
        tcp_send_challenge_ack(sk);
        return discard(SKB_DROP_TCP_INVALID_SEQUENCE);
      }
      if (cb->end_seq == cb->seq ? !tcp_oow_rate_limited(&tp->last_oow_ack_time) : true) tcp_send_dupack(sk, skb);
    } else if (cb->seq == tp->rcv_nxt) {
      tcp_reset(sk, skb);
    }
    return discard(SKB_DROP_TCP_INVALID_SEQUENCE);
  }
  if (rst) {
    // Exactly at the edge, or at the end of a block that was acknowledged selectively: else it is challenged.
    bool match = cb->seq == tp->rcv_nxt;
    if (!match && tcp_is_sack(tp) && tp->rx_opt.num_sacks > 0) {
      u32 highest = tp->selective_acks[0].end_seq;
      for (u32 i = 1; i < tp->rx_opt.num_sacks; ++i)
        if (after(tp->selective_acks[i].end_seq, highest)) highest = tp->selective_acks[i].end_seq;
      match = cb->seq == highest;
    }
    if (match)
      tcp_reset(sk, skb);
    else
      tcp_send_challenge_ack(sk);
    return discard(SKB_DROP_TCP_RESET);
  }
  if (syn) {
    if (syn_inerr) TCP_INC(TCP_MIB_InErrs);
    NET_INC(LINUX_MIB_TCPSYNChallenge);
    tcp_send_challenge_ack(sk);
    return discard(SKB_DROP_TCP_FLAGS);
  }
  return true;
}

// --- the segment of an established connection; skb->data at the TCP header ---
void tcp_rcv_established(sock* sk, sk_buff* skb) {
  tcp_sock* tp = tcp_sk(sk);
  const tcphdr* th = tcp_hdr(skb);
  const tcp_skb_cb* cb = TCP_SKB_CB(skb);
  const u32 len = skb->len;
  tcp_mstamp_refresh(tp);
  tp->rx_opt.saw_tstamp = false;
  // Header prediction: the segment is what was expected next, in flags, window and order.
  const be32 flag_word = get_unaligned<be32>(reinterpret_cast<const u8*>(th) + 12);
  if ((flag_word & ~htonl(static_cast<u32>(TCPHDR_PSH) << 16) & ~htonl(0x0f000000)) == tp->pred_flags &&
      cb->seq == tp->rcv_nxt && !after(cb->ack_seq, tp->snd_nxt)) {
    bool predicted = true;
    const u32 header_len = tp->tcp_header_len;
    if (header_len == sizeof(tcphdr) + TCPOLEN_TSTAMP_ALIGNED) {
      const u8* p = reinterpret_cast<const u8*>(th + 1);
      if (get_unaligned<be32>(p) != htonl(TCPOPT_NOP << 24 | TCPOPT_NOP << 16 | TCPOPT_TIMESTAMP << 8 | 10)) {
        predicted = false;
      } else {
        tp->rx_opt.saw_tstamp = true;
        tp->rx_opt.rcv_tsval = ntohl(get_unaligned<be32>(p + 4));
        const u32 ecr = ntohl(get_unaligned<be32>(p + 8));
        tp->rx_opt.rcv_tsecr = ecr != 0 ? ecr - tp->tsoffset : 0;
        if (static_cast<s32>(tp->rx_opt.rcv_tsval - tp->rx_opt.ts_recent) < 0) predicted = false;
      }
    }
    if (predicted && len <= header_len) {
      if (len == header_len) {  // a pure ACK for what we sent
        if (header_len > sizeof(tcphdr) && tp->rcv_nxt == tp->rcv_wup) {
          tp->rx_opt.ts_recent = tp->rx_opt.rcv_tsval;
          tp->rx_opt.ts_recent_stamp = tp->tcp_mstamp;
        }
        tcp_ack(sk, skb, 0);
        consume_skb(skb);
        tcp_data_snd_check(sk);
        tp->rcv_tstamp = tp->tcp_mstamp;
        return;
      }
      TCP_INC(TCP_MIB_InErrs);
      return tcp_drop(skb, SKB_DROP_PKT_TOO_SMALL);
    }
    if (predicted && static_cast<int>(skb->truesize) <= sk->sk_forward_alloc + static_cast<int>(kPageSize) * 16 &&
        sk_rmem_alloc_get(sk) < static_cast<int>(sk->sk_rcvbuf)) {
      if (header_len > sizeof(tcphdr) && tp->rcv_nxt == tp->rcv_wup) {
        tp->rx_opt.ts_recent = tp->rx_opt.rcv_tsval;
        tp->rx_opt.ts_recent_stamp = tp->tcp_mstamp;
      }
      tcp_rcv_rtt_measure_ts(sk, skb);
      NET_INC(LINUX_MIB_TCPHPHits);
      const u32 ack_seq = cb->ack_seq;
      skb_dst_drop(skb);
      sk_rmem_schedule(sk, skb->truesize);
      skb_pull(skb, header_len);
      const bool eaten = tcp_queue_rcv(sk, skb);
      tcp_event_data_recv(sk, skb);
      if (ack_seq != tp->snd_una) {
        tcp_ack(sk, skb, FLAG_DATA);
        tcp_data_snd_check(sk);
        if (inet_csk_ack_scheduled(sk)) __tcp_ack_snd_check(sk, false);
      } else {
        tp->snd_wl1 = cb->seq;
        __tcp_ack_snd_check(sk, false);
      }
      if (eaten) consume_skb(skb);
      tcp_data_ready(sk);
      return;
    }
  }
  if (len < th->doff * 4u) {
    TCP_INC(TCP_MIB_InErrs);
    return tcp_drop(skb, SKB_DROP_PKT_TOO_SMALL);
  }
  if ((th->flags & (TCPHDR_ACK | TCPHDR_RST | TCPHDR_SYN)) == 0) return tcp_drop(skb, SKB_DROP_TCP_FLAGS);
  if (!tcp_validate_incoming(sk, skb, th, true)) return;
  if (tcp_ack(sk, skb, FLAG_SLOWPATH | FLAG_UPDATE_TS_RECENT) < 0) return tcp_drop(skb, SKB_DROP_TCP_FLAGS);
  tcp_rcv_rtt_measure_ts(sk, skb);
  tcp_urg(sk, skb, th);
  tcp_data_queue(sk, skb);
  tcp_data_snd_check(sk);
  tcp_ack_snd_check(sk);
}

// For the states around the established one.
void tcp_state_data(sock* sk, sk_buff* skb, const tcphdr* th) {
  tcp_urg(sk, skb, th);
  tcp_data_queue(sk, skb);
  if (sk->sk_state != TCP_CLOSE) {
    tcp_data_snd_check(sk);
    tcp_ack_snd_check(sk);
  }
}
void tcp_state_checks(sock* sk) {
  tcp_data_snd_check(sk);
  tcp_ack_snd_check(sk);
}
void tcp_state_urg(sock* sk, sk_buff* skb, const tcphdr* th) { tcp_urg(sk, skb, th); }

}  // namespace xm::os
