// SPDX-License-Identifier: GPL-2.0-or-later
// Between the parts of net/ipv4/tcp*.cc only.
#pragma once

#include "kernel/net/tcp.h"

namespace xm::os {

// Options of a segment that goes out.
struct tcp_out_options {
  bool ts = false, mss_set = false, wscale = false, sack_perm = false;
  u8 ws = 0, num_sack = 0;
  u16 mss = 0;
  u32 tsval = 0, tsecr = 0;
};
u32 option_bytes(const tcp_out_options& o);
void tcp_options_write(u8* p, const tcp_out_options& o, const tcp_sock* tp);
int tcp_transmit_skb(sock* sk, sk_buff* skb, bool clone_it, gfp_t gfp, u32 rcv_nxt);
void tcp_adjust_pcount(sock* sk, const sk_buff* skb, int decr);
void tcp_set_skb_tso_segs(sk_buff* skb, u32 mss_now);
void tcp_event_new_data_sent(sock* sk, sk_buff* skb);
bool tcp_snd_wnd_test(const tcp_sock* tp, const sk_buff* skb, u32 cur_mss);
bool tcp_small_queue_check(sock* sk, const sk_buff* skb);

// What the SACK blocks of one acknowledgement brought.
struct SackState {
  u64 first_sackt = 0, last_sackt = 0;
  u32 reord = 0;
  int flag = 0;
  bool dsack = false;
};
bool tcp_ack_update_rtt(sock* sk, int flag, s64 seq_rtt_us, s64 sack_rtt_us, s64* ca_rtt_us);
void tcp_add_reno_sack(sock* sk, u32 num_dupack);
void tcp_remove_reno_sacks(sock* sk, u32 acked);
void tcp_rack_advance(tcp_sock* tp, u8 sacked, u32 end_seq, u64 xmit_time);
void tcp_rack_detect_loss(sock* sk, u64* reo_timeout);
void tcp_rack_update_reo_wnd(sock* sk, u32 prior_delivered);
int tcp_sacktag_write_queue(sock* sk, const sk_buff* ack_skb, u32 prior_snd_una, SackState* state);
void tcp_set_ca_state(sock* sk, u8 state);
void tcp_init_cwnd_reduction(sock* sk);
void tcp_cwnd_reduction(sock* sk, u32 newly_acked, u32 newly_lost, int flag);
void tcp_end_cwnd_reduction(sock* sk);
void tcp_try_keep_open(sock* sk);
void tcp_fastretrans_alert(sock* sk, u32 num_dupack, int* ack_flag, int* rexmit);

void tcp_measure_rcv_mss(sock* sk, const sk_buff* skb);
void tcp_incr_quickack(sock* sk, u32 max_quickacks);
bool tcp_in_quickack_mode(const sock* sk);
void tcp_sndbuf_expand(sock* sk);
void tcp_grow_window(sock* sk, const sk_buff* skb);
void tcp_clamp_window(sock* sk);
void tcp_rcv_rtt_measure(tcp_sock* tp);
void tcp_rcv_rtt_measure_ts(sock* sk, const sk_buff* skb);
bool tcp_queue_rcv(sock* sk, sk_buff* skb);  // true: the skb was eaten
void tcp_event_data_recv(sock* sk, sk_buff* skb);
void tcp_data_ready(sock* sk);
void tcp_drop(sk_buff* skb, SkbDropReason why);
void tcp_send_dupack(sock* sk, const sk_buff* skb);

}  // namespace xm::os
