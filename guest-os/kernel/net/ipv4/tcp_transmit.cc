// SPDX-License-Identifier: GPL-2.0-or-later
// TCP's header and the sizes it speaks of: options, the window that we offer, the segment size that the path takes, and
// tcp_transmit_skb, which hands a segment to IP. [RFC 9293, 3.1], [RFC 7323]
#include "kernel/net/ipv4/tcp_internal.h"
#include "kernel/net/tcp.h"

namespace xm::os {

namespace {

u8* put_option32(u8* p, u32 v) {
  put_unaligned<be32>(htonl(v), p);
  return p + 4;
}

}  // namespace

void tcp_options_write(u8* p, const tcp_out_options& o, const tcp_sock* tp) {
  if (o.mss_set) p = put_option32(p, TCPOPT_MSS << 24 | 4 << 16 | o.mss);
  if (o.ts) {
    p = put_option32(p, (o.sack_perm ? TCPOPT_SACK_PERM << 24 | 2 << 16 : TCPOPT_NOP << 24 | TCPOPT_NOP << 16) |
                            TCPOPT_TIMESTAMP << 8 | 10);
    p = put_option32(p, o.tsval);
    p = put_option32(p, o.tsecr);
  } else if (o.sack_perm) {
    p = put_option32(p, TCPOPT_NOP << 24 | TCPOPT_NOP << 16 | TCPOPT_SACK_PERM << 8 | 2);
  }
  if (o.wscale) p = put_option32(p, TCPOPT_NOP << 24 | TCPOPT_WINDOW << 16 | 3 << 8 | o.ws);
  if (o.num_sack > 0) {
    p = put_option32(p, TCPOPT_NOP << 24 | TCPOPT_NOP << 16 | TCPOPT_SACK << 8 | (2 + 8u * o.num_sack));
    const tcp_sack_block* sp = tp->rx_opt.dsack ? tp->duplicate_sack : tp->selective_acks;
    for (u32 i = 0; i < o.num_sack; ++i) {
      const tcp_sack_block& b = tp->rx_opt.dsack && i > 0 ? tp->selective_acks[i - 1] : sp[i];
      p = put_option32(p, b.start_seq);
      p = put_option32(p, b.end_seq);
    }
  }
}

u32 option_bytes(const tcp_out_options& o) {
  u32 n = 0;
  if (o.mss_set) n += 4;
  if (o.ts)
    n += 12;
  else if (o.sack_perm)
    n += 4;
  if (o.wscale) n += 4;
  if (o.num_sack > 0) n += 4 + 8u * o.num_sack;
  return n;
}

namespace {

u32 tcp_syn_options(sock* sk, const sk_buff* skb, tcp_out_options* o) {
  tcp_sock* tp = tcp_sk(sk);
  o->mss_set = true;
  o->mss = tp->advmss;
  if (sysctl_tcp_timestamps != 0) {
    o->ts = true;
    o->tsval = tcp_time_stamp_ms(TCP_SKB_CB(skb)->mstamp) + tp->tsoffset;
    o->tsecr = tp->rx_opt.ts_recent;
  }
  if (sysctl_tcp_window_scaling != 0) {
    o->wscale = true;
    o->ws = tp->rx_opt.rcv_wscale;
  }
  o->sack_perm = sysctl_tcp_sack != 0;
  return option_bytes(*o);
}

u32 tcp_established_options(sock* sk, const sk_buff* skb, tcp_out_options* o) {
  tcp_sock* tp = tcp_sk(sk);
  if (likely(tp->rx_opt.tstamp_ok)) {
    o->ts = true;
    o->tsval = skb != nullptr ? tcp_time_stamp_ms(TCP_SKB_CB(skb)->mstamp) + tp->tsoffset : 0;
    o->tsecr = tp->rx_opt.ts_recent;
  }
  const u32 blocks = tp->rx_opt.num_sacks + (tp->rx_opt.dsack ? 1u : 0u);
  if (unlikely(blocks > 0)) o->num_sack = static_cast<u8>(min(blocks, o->ts ? 3u : 4u));
  return option_bytes(*o);
}

// Where the window's right edge may be: never back. [RFC 9293, 3.8.6.2.2]
u16 tcp_select_window(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  const u32 old_win = tp->rcv_wnd, cur_win = tcp_receive_window(tp);
  u32 new_win = __tcp_select_window(sk);
  if (new_win < cur_win) {
    if (new_win == 0) NET_INC(LINUX_MIB_TCPWantZeroWindowAdv);
    new_win = static_cast<u32>(align_up(cur_win, 1ul << tp->rx_opt.rcv_wscale));
  }
  tp->rcv_wnd = new_win;
  tp->rcv_wup = tp->rcv_nxt;
  new_win = tp->rx_opt.rcv_wscale == 0 ? min(new_win, 65535u) : min(new_win, 65535u << tp->rx_opt.rcv_wscale);
  new_win >>= tp->rx_opt.rcv_wscale;
  if (new_win == 0) {
    tp->pred_flags = 0;
    if (old_win != 0) NET_INC(LINUX_MIB_TCPToZeroWindowAdv);
  } else if (old_win == 0) {
    NET_INC(LINUX_MIB_TCPFromZeroWindowAdv);
  }
  return static_cast<u16>(new_win);
}

void tcp_event_ack_sent(sock* sk) {
  inet_connection_sock* icsk = inet_csk(sk);
  if (icsk->icsk_ack.quick > 0) {
    --icsk->icsk_ack.quick;
    if (icsk->icsk_ack.quick == 0) icsk->icsk_ack.ato = TCP_ATO_MIN;
  }
  inet_csk_clear_xmit_timer(sk, ICSK_ACK_TIMER);
  tcp_sk(sk)->last_ack_sent = tcp_sk(sk)->tcp_mstamp;
}

void tcp_event_data_sent(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  inet_connection_sock* icsk = inet_csk(sk);
  if (tp->packets_out == 0 && icsk->icsk_ca_ops->cwnd_event != nullptr)
    icsk->icsk_ca_ops->cwnd_event(sk, CA_EVENT_TX_START);
  tp->lsndtime = tp->tcp_mstamp;
  // A reply to what came just now: the connection talks to and fro.
  if (tp->tcp_mstamp - icsk->icsk_ack.lrcvtime < icsk->icsk_ack.ato && icsk->icsk_ack.pingpong < 3)
    ++icsk->icsk_ack.pingpong;
}

// A segment left the queues below.
void tcp_wfree(sk_buff* skb) {
  sock* sk = skb->sk;
  tcp_sock* tp = tcp_sk(sk);
  sk->sk_wmem_alloc.sub(static_cast<s32>(skb->truesize));
  if (unlikely((tp->tsq_flags.load() & TCPF_TSQ_THROTTLED) != 0)) {
    tp->tsq_flags.fetch_and(~static_cast<u32>(TCPF_TSQ_THROTTLED));
    sk_reset_timer(sk, &tp->tsq_timer, ktime_get());
  }
  sock_put(sk);
}

}  // namespace

// Sends one skb (or a copy, while the original waits for its acknowledgement).
int tcp_transmit_skb(sock* sk, sk_buff* skb, bool clone_it, gfp_t gfp, u32 rcv_nxt) {
  inet_connection_sock* icsk = inet_csk(sk);
  tcp_sock* tp = tcp_sk(sk);
  tcp_skb_cb* tcb = TCP_SKB_CB(skb);
  tcb->mstamp = tp->tcp_mstamp;
  if (clone_it) {
    tcb->delivered = tp->delivered;
    tcb->delivered_time = tp->delivered_mstamp;
    sk_buff* copy = unlikely(skb_cloned(skb)) ? pskb_copy(skb, gfp) : skb_clone(skb, gfp);
    if (unlikely(copy == nullptr)) return -ENOBUFS;
    skb = copy;
    tcb = TCP_SKB_CB(skb);
  }
  tcp_out_options opts;
  const bool syn = (tcb->tcp_flags & TCPHDR_SYN) != 0;
  const u32 header = static_cast<u32>(sizeof(tcphdr)) +
                     (unlikely(syn) ? tcp_syn_options(sk, skb, &opts) : tcp_established_options(sk, skb, &opts));
  skb_push(skb, header);
  skb_reset_transport_header(skb);
  skb_orphan(skb);
  skb->sk = sk;
  skb->destructor = tcp_wfree;
  sock_hold(sk);
  sk->sk_wmem_alloc.add(static_cast<s32>(skb->truesize));
  tcphdr* th = tcp_hdr(skb);
  th->source = tp->inet_sport;
  th->dest = sk->sk_dport;
  th->seq = htonl(tcb->seq);
  th->ack_seq = htonl(rcv_nxt);
  th->res1 = 0;
  th->doff = static_cast<u8>(header >> 2) & 15;
  th->flags = tcb->tcp_flags;
  th->check = 0;
  th->urg_ptr = 0;
  if (unlikely(tp->snd_up != tp->snd_una && before(tcb->seq, tp->snd_up))) {
    if (before(tp->snd_up, tcb->seq + 0x10000)) {
      th->urg_ptr = htons(static_cast<u16>(tp->snd_up - tcb->seq));
      th->flags |= TCPHDR_URG;
    } else if (after(tcb->seq + 0xffff, tp->snd_nxt)) {
      th->urg_ptr = htons(0xffff);
      th->flags |= TCPHDR_URG;
    }
  }
  if (likely(!syn)) {
    th->window = htons(tcp_select_window(sk));
    if ((tp->ecn_flags & TCP_ECN_OK) != 0) {
      if (skb->len > header && !before(tcb->seq, tp->snd_nxt) && (tp->ecn_flags & TCP_ECN_QUEUE_CWR) != 0) {
        tp->ecn_flags &= static_cast<u8>(~TCP_ECN_QUEUE_CWR);
        th->flags |= TCPHDR_CWR;
      }
      if ((tp->ecn_flags & TCP_ECN_DEMAND_CWR) != 0) th->flags |= TCPHDR_ECE;
    }
  } else {
    th->window = htons(static_cast<u16>(min(tp->rcv_wnd, 65535u)));
  }
  tcp_options_write(reinterpret_cast<u8*>(th + 1), opts, tp);
  icsk->icsk_af_ops->send_check(sk, skb);
  const u32 pcount = tcp_skb_pcount(skb);
  if (likely((tcb->tcp_flags & TCPHDR_ACK) != 0)) tcp_event_ack_sent(sk);
  if (skb->len != header) {
    tcp_event_data_sent(sk);
    tp->data_segs_out += pcount;
    tp->bytes_sent += skb->len - header;
  }
  if (after(tcb->end_seq, tp->snd_nxt) || tcb->seq == tcb->end_seq) TCP_INC(TCP_MIB_OutSegs, pcount);
  tp->segs_out += pcount;
  skb->tstamp = 0;
  u8 tos = tp->tos;
  if ((tp->ecn_flags & TCP_ECN_OK) != 0 && skb->len != header && !before(tcb->seq, tp->snd_nxt))
    tos = static_cast<u8>((tos & ~3) | 2);  // ECT(0)
  const int error = icsk->icsk_af_ops->queue_xmit(sk, skb, tos);
  if (unlikely(error > 0)) {
    tcp_enter_cwr(sk);
    return error == NET_XMIT_CN ? 0 : error;
  }
  return error;
}

// --- sizes ---
u32 tcp_mtu_to_mss(sock* sk, u32 pmtu) {
  const inet_connection_sock* icsk = inet_csk(sk);
  const tcp_sock* tp = tcp_sk(sk);
  s32 mss = static_cast<s32>(pmtu - icsk->icsk_af_ops->net_header_len - sizeof(tcphdr));
  if (tp->rx_opt.mss_clamp != 0) mss = min<s32>(mss, tp->rx_opt.mss_clamp);
  mss -= icsk->icsk_ext_hdr_len;
  mss = max(mss, 48);
  return static_cast<u32>(mss) - (tp->tcp_header_len - static_cast<u32>(sizeof(tcphdr)));
}

u32 tcp_sync_mss(sock* sk, u32 pmtu) {
  tcp_sock* tp = tcp_sk(sk);
  u32 mss_now = tcp_mtu_to_mss(sk, pmtu);
  // No segment larger than half the largest window the peer ever gave.
  if (tp->max_window > TCP_MSS_DEFAULT && mss_now > tp->max_window >> 1)
    mss_now = max(tp->max_window >> 1, 68u - tp->tcp_header_len);
  else if (tp->max_window != 0 && tp->max_window <= TCP_MSS_DEFAULT && mss_now > tp->max_window)
    mss_now = max(tp->max_window, 68u - tp->tcp_header_len);
  tp->icsk_pmtu_cookie = pmtu;
  tp->mss_cache = mss_now;
  return mss_now;
}

u32 tcp_current_mss(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  u32 mss_now = tp->mss_cache;
  if (const dst_entry* dst = sk->sk_dst_cache; dst != nullptr) {
    const u32 mtu = dst_mtu(dst);
    if (mtu != tp->icsk_pmtu_cookie) mss_now = tcp_sync_mss(sk, mtu);
  }
  if (unlikely(tp->rx_opt.num_sacks > 0 || tp->rx_opt.dsack)) {
    tcp_out_options o;
    const u32 header = tcp_established_options(sk, nullptr, &o) + static_cast<u32>(sizeof(tcphdr));
    if (header != tp->tcp_header_len) mss_now -= header - tp->tcp_header_len;
  }
  return mss_now;
}

void tcp_mtup_init(sock*) {}

// --- the window we offer ---
u32 __tcp_select_window(sock* sk) {
  inet_connection_sock* icsk = inet_csk(sk);
  tcp_sock* tp = tcp_sk(sk);
  int mss = icsk->icsk_ack.rcv_mss;
  int free_space = tcp_space(sk);
  const int allowed = tcp_full_space(sk);
  const int full_space = min(static_cast<int>(tp->window_clamp), allowed);
  if (mss > full_space) {
    mss = full_space;
    if (mss <= 0) return 0;
  }
  if (free_space < full_space >> 1) {
    icsk->icsk_ack.quick = 0;
    free_space = static_cast<int>(align_down(static_cast<u64>(max(free_space, 0)), 1ul << tp->rx_opt.rcv_wscale));
    // Silly window avoidance: nothing rather than less than a segment or a sixteenth.
    if (free_space < allowed >> 4 || free_space < mss) return 0;
  }
  free_space = min(free_space, static_cast<int>(tp->rcv_ssthresh));
  u32 window;
  if (tp->rx_opt.rcv_wscale != 0) {
    window = static_cast<u32>(align_up(static_cast<u64>(free_space), 1ul << tp->rx_opt.rcv_wscale));
  } else {
    window = tp->rcv_wnd;
    if (static_cast<int>(window) <= free_space - mss || static_cast<int>(window) > free_space)
      window = static_cast<u32>(free_space / mss * mss);
    else if (mss == full_space && free_space > static_cast<int>(window) + (full_space >> 1))
      window = static_cast<u32>(free_space);
  }
  return window;
}

void tcp_select_initial_window(u32 space, u32 mss, u32* rcv_wnd, u32* window_clamp, bool wscale_ok, u8* rcv_wscale,
                               u32) {
  if (*window_clamp == 0) *window_clamp = 65535u << TCP_MAX_WSCALE;
  space = min(*window_clamp, space);
  if (space > mss) space = space / mss * mss;
  *rcv_wnd = min(space, sysctl_tcp_workaround_signed_windows != 0 ? MAX_TCP_WINDOW : 65535u);
  *rcv_wscale = 0;
  if (wscale_ok) {
    u32 largest = max(space, static_cast<u32>(sysctl_tcp_rmem[2]));
    largest = min(largest, *window_clamp);
    u32 scale = largest == 0 ? 0 : 32 - static_cast<u32>(__builtin_clz(largest));
    scale = scale > 16 ? scale - 16 : 0;
    *rcv_wscale = static_cast<u8>(min(scale, TCP_MAX_WSCALE));
  }
  *window_clamp = min(65535u << *rcv_wscale, *window_clamp);
}

}  // namespace xm::os
