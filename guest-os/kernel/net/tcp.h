// SPDX-License-Identifier: GPL-2.0-or-later
// TCP: the connection's state (tcp_sock), its small forms before and after (request_sock, inet_timewait_sock), and the
// functions between the parts of net/ipv4/tcp*.cc. Names are Linux's. [RFC 9293], [RFC 7323], [RFC 2018], [RFC 6298]
//
// Queues: sk_write_queue holds what is sent and not acknowledged up to tcp_send_head, then what is not sent;
// sk_receive_queue what is in order, out_of_order_queue (a tree by sequence) what is not. Times are CLOCK_MONOTONIC ns,
// round-trip times µs; the timestamp option counts ms.
#pragma once

#include "kernel/lib/rbtree.h"
#include "kernel/net/inet_sock.h"
#include "kernel/net/ip.h"
#include "kernel/net/route.h"
#include "kernel/net/snmp.h"
#include "kernel/net/tcp_states.h"
#include "kernel/sched/clock.h"

namespace xm::os {

struct tcphdr {
  be16 source, dest;
  be32 seq, ack_seq;
  u8 res1 : 4, doff : 4;
  u8 flags;
  be16 window;
  u16 check;
  be16 urg_ptr;
};
static_assert(sizeof(tcphdr) == 20);
constexpr u8 TCPHDR_FIN = 1, TCPHDR_SYN = 2, TCPHDR_RST = 4, TCPHDR_PSH = 8, TCPHDR_ACK = 16, TCPHDR_URG = 32,
             TCPHDR_ECE = 64, TCPHDR_CWR = 128;
inline tcphdr* tcp_hdr(const sk_buff* skb) { return reinterpret_cast<tcphdr*>(skb_transport_header(skb)); }
inline u32 tcp_hdrlen(const sk_buff* skb) { return tcp_hdr(skb)->doff * 4u; }

constexpr u8 TCPOPT_NOP = 1, TCPOPT_EOL = 0, TCPOPT_MSS = 2, TCPOPT_WINDOW = 3, TCPOPT_SACK_PERM = 4, TCPOPT_SACK = 5,
             TCPOPT_TIMESTAMP = 8;
constexpr u32 TCPOLEN_TSTAMP_ALIGNED = 12, TCPOLEN_MSS = 4;
constexpr u32 TCP_MIN_MSS = 88, TCP_MSS_DEFAULT = 536, MAX_TCP_WINDOW = 32767, TCP_MAX_WSCALE = 14;
constexpr u32 kMaxTcpHeader = 192;  // headroom of every TCP skb
constexpr u32 kGsoMaxSize = 65536;
constexpr u32 TCP_INIT_CWND = 10, TCP_INFINITE_SSTHRESH = 0x7fffffff;
constexpr u64 kMs = 1000000;
constexpr u64 TCP_RTO_MAX = 120 * kNsPerSec, TCP_RTO_MIN = 200 * kMs, TCP_TIMEOUT_INIT = kNsPerSec,
              TCP_TIMEOUT_FALLBACK = 3 * kNsPerSec, TCP_DELACK_MIN = 40 * kMs, TCP_DELACK_MAX = 200 * kMs,
              TCP_ATO_MIN = 40 * kMs, TCP_TIMEWAIT_LEN = 60 * kNsPerSec, TCP_RESOURCE_PROBE_INTERVAL = 500 * kMs;
constexpr u32 TCP_FASTRETRANS_THRESH = 3, TCP_MAX_QUICKACKS = 16;

// skb->cb while a segment is in TCP.
struct tcp_skb_cb {
  u32 seq, end_seq;
  u32 ack_seq;
  u8 tcp_flags, sacked, ip_dsfield;
  bool eor;            // nothing may be appended
  u64 mstamp;          // sent at; received: arrival
  u64 delivered_time;  // of the connection when it was sent: for rate samples
  u32 delivered;
  u32 tx_in_flight;
};
static_assert(sizeof(tcp_skb_cb) <= sizeof(sk_buff::cb));
inline tcp_skb_cb* TCP_SKB_CB(const sk_buff* skb) { return reinterpret_cast<tcp_skb_cb*>(const_cast<u8*>(skb->cb)); }
constexpr u8 TCPCB_SACKED_ACKED = 1, TCPCB_SACKED_RETRANS = 2, TCPCB_LOST = 4, TCPCB_TAGBITS = 7, TCPCB_REPAIRED = 16,
             TCPCB_EVER_RETRANS = 0x80, TCPCB_RETRANS = 0x82;
inline u32 tcp_skb_pcount(const sk_buff* skb) {
  const u16 n = skb_shinfo(skb)->gso_segs;
  return n > 1 ? n : 1;
}

struct tcp_sack_block {
  u32 start_seq, end_seq;
};
struct tcp_options_received {
  u64 ts_recent_stamp = 0;  // when ts_recent was stored, 0: never
  u32 ts_recent = 0, rcv_tsval = 0, rcv_tsecr = 0;
  bool saw_tstamp = false, tstamp_ok = false, dsack = false, wscale_ok = false, sack_ok = false;
  u8 snd_wscale = 0, rcv_wscale = 0, num_sacks = 0;
  u16 user_mss = 0, mss_clamp = 0;
};

enum TcpCaState : u8 { TCP_CA_Open, TCP_CA_Disorder, TCP_CA_CWR, TCP_CA_Recovery, TCP_CA_Loss };
enum TcpCaEvent : u8 { CA_EVENT_TX_START, CA_EVENT_CWND_RESTART, CA_EVENT_COMPLETE_CWR, CA_EVENT_LOSS };
struct ack_sample {
  u32 pkts_acked;
  s64 rtt_us;
  u32 in_flight;
};
struct tcp_congestion_ops {
  const char* name;
  u32 (*ssthresh)(sock* sk);
  void (*cong_avoid)(sock* sk, u32 ack, u32 acked);
  u32 (*undo_cwnd)(sock* sk);
  void (*init)(sock* sk);
  void (*set_state)(sock* sk, u8 state);
  void (*cwnd_event)(sock* sk, TcpCaEvent event);
  void (*pkts_acked)(sock* sk, const ack_sample* sample);
  const tcp_congestion_ops* next;
};

struct inet_bind_bucket {
  list_head node;
  list_head owners;
  u16 port = 0;
  s8 fastreuse = 0;  // -1: only outgoing connections have it
};

struct tcp_sock;
struct request_sock_queue {
  spinlock_t lock{LockRank::SockHash};
  tcp_sock *head = nullptr, *tail = nullptr;
  Atomic<s32> qlen{0}, young{0};  // handshakes under way
  u8 rskq_defer_accept = 0;
  u64 synflood_warned = 0;
};

// IP below TCP, by family.
struct inet_connection_sock_af_ops {
  int (*queue_xmit)(sock* sk, sk_buff* skb, u8 tos);
  void (*send_check)(sock* sk, sk_buff* skb);
  int (*rebuild_header)(sock* sk);  // the route again
  u32 net_header_len;
  u16 sockaddr_len;
  int (*setsockopt)(sock* sk, int level, int name, u64 user, u32 length);
  int (*getsockopt)(sock* sk, int level, int name, u64 user, int length, u64 user_length);
};
struct request_sock;
// A connection request by family.
struct tcp_request_sock_ops {
  u32 (*init_seq)(const in6_addr& saddr, const in6_addr& daddr, be16 sport, be16 dport);
  dst_entry* (*route_req)(const sock* listener, request_sock* req);
  // Sends a segment that answers outside a connection: data at the TCP header, checksum not yet there.
  void (*send_skb)(const sock* listener, const request_sock* req, sk_buff* skb, dst_entry* dst);
  void (*init_child)(const sock* listener, sock* child, const request_sock* req, sk_buff* skb);
  u32 mss_clamp, net_header_len;
};

struct inet_connection_sock : inet_sock {
  request_sock_queue icsk_accept_queue;
  inet_bind_bucket* icsk_bind_hash = nullptr;
  timer_list icsk_retransmit_timer, icsk_delack_timer;
  u64 icsk_timeout = 0, icsk_rto = TCP_TIMEOUT_INIT;
  const tcp_congestion_ops* icsk_ca_ops = nullptr;
  const inet_connection_sock_af_ops* icsk_af_ops = nullptr;
  u32 icsk_pmtu_cookie = 1500;
  u8 icsk_ca_state = TCP_CA_Open, icsk_retransmits = 0, icsk_pending = 0, icsk_backoff = 0, icsk_syn_retries = 0,
     icsk_probes_out = 0;
  bool ca_setsockopt = false;
  u16 icsk_ext_hdr_len = 0;
  struct {
    u8 pending = 0, quick = 0, pingpong = 0, retry = 0;
    u64 ato = 0, timeout = 0, lrcvtime = 0;
    u16 last_seg_size = 0, rcv_mss = TCP_MSS_DEFAULT;
  } icsk_ack;
  u64 icsk_user_timeout = 0, icsk_probes_tstamp = 0;
  u64 icsk_ca_priv[12] = {};
  tcp_sock* accept_next = nullptr;
};
inline inet_connection_sock* inet_csk(const sock* sk) {
  return static_cast<inet_connection_sock*>(const_cast<sock*>(sk));
}
constexpr u8 ICSK_ACK_SCHED = 1, ICSK_ACK_TIMER = 2, ICSK_ACK_PUSHED = 4, ICSK_ACK_PUSHED2 = 8, ICSK_ACK_NOW = 16;
constexpr u8 ICSK_TIME_RETRANS = 1, ICSK_TIME_PROBE0 = 3, ICSK_TIME_LOSS_PROBE = 5, ICSK_TIME_REO_TIMEOUT = 6;

struct rack_state {
  u64 mstamp = 0;  // of the segment sent last among those delivered
  u32 rtt_us = 0, end_seq = 0, last_delivered = 0;
  u8 reo_wnd_steps = 1, reo_wnd_persist = 0;
  bool dsack_seen = false, advanced = false;
};

struct tcp_sock : inet_connection_sock {
  u16 tcp_header_len = 20;
  u32 rcv_nxt = 0, copied_seq = 0, rcv_wup = 0, snd_nxt = 0, segs_in = 0, segs_out = 0, data_segs_in = 0,
      data_segs_out = 0;
  u64 bytes_received = 0, bytes_acked = 0, bytes_sent = 0, bytes_retrans = 0;
  u32 snd_una = 0, snd_sml = 0, snd_wl1 = 0, snd_wnd = 0, max_window = 0, mss_cache = TCP_MSS_DEFAULT, window_clamp = 0,
      rcv_ssthresh = 0;
  be32 pred_flags = 0;
  u64 rcv_tstamp = 0, lsndtime = 0, tcp_mstamp = 0, last_oow_ack_time = 0;
  rack_state rack;
  u16 advmss = 65535;
  u8 nonagle = 0, ecn_flags = 0;
  bool is_destroyed = false, repair = false, frto = false, is_cwnd_limited = false, syn_data = false,
       recvmsg_inq = false, save_syn = false, tlp_retrans = false, is_sack_reneg = false, thin_lto = false;
  // round trips
  u32 srtt_us = 0, mdev_us = 0, mdev_max_us = 0, rttvar_us = 0, rtt_seq = 0;
  u32 min_rtt_us = ~0u;
  u64 min_rtt_stamp = 0;
  u32 packets_out = 0, retrans_out = 0, max_packets_out = 0, cwnd_usage_seq = 0, sacked_out = 0, lost_out = 0, lost = 0;
  u16 urg_data = 0;
  u32 urg_seq = 0, snd_up = 0;
  u32 reordering = TCP_FASTRETRANS_THRESH, reord_seen = 0;
  u8 keepalive_probes = 0;
  tcp_options_received rx_opt;
  // congestion
  u32 snd_ssthresh = TCP_INFINITE_SSTHRESH, snd_cwnd = TCP_INIT_CWND, snd_cwnd_cnt = 0, snd_cwnd_clamp = ~0u,
      snd_cwnd_used = 0, prior_cwnd = 0, prr_delivered = 0, prr_out = 0, prior_ssthresh = 0, high_seq = 0,
      retrans_stamp = 0, undo_marker = 0;
  u64 snd_cwnd_stamp = 0;
  int undo_retrans = 0;
  u32 total_retrans = 0, delivered = 0, delivered_ce = 0, app_limited = 0;
  u64 first_tx_mstamp = 0, delivered_mstamp = 0;
  u32 rcv_wnd = 0, write_seq = 0, pushed_seq = 0, notsent_lowat = 0, tlp_high_seq = 0;
  u32 tsoffset = 0;
  sk_buff* send_head = nullptr;  // first skb of sk_write_queue that was not sent
  rb_root out_of_order_queue;    // by OfoNode in cb, see tcp_input.cc
  u32 rcv_ooopack = 0, ofo_bytes = 0;
  tcp_sack_block duplicate_sack[1] = {}, selective_acks[4] = {}, recv_sack_cache[4] = {};
  u32 high_retrans = 0;  // hint: no lost segment before it waits for retransmission
  u32 keepalive_time_s = 0, keepalive_intvl_s = 0;
  int linger2 = 0;
  u64 keepalive_time = 0, keepalive_intvl = 0;
  struct {
    u32 rtt_us = 0, seq = 0;
    u64 time = 0;
  } rcv_rtt_est;
  struct {
    u32 space = 0, seq = 0;
    u64 time = 0;
  } rcvq_space;
  Atomic<u32> tsq_flags{0};
  timer_list tsq_timer;
  u64 busy_start = 0, last_ack_sent = 0;
  u32 compressed_ack = 0;
  u32 timeout_rehash = 0, dsack_dups = 0, retrans_fail = 0;
  u32 mtu_probe_size = 0;
};
inline tcp_sock* tcp_sk(const sock* sk) { return static_cast<tcp_sock*>(const_cast<sock*>(sk)); }
// tsq_flags: what a timer or a lower queue wanted while the owner had the socket; release_cb does it.
enum : u32 {
  TCPF_TSQ_DEFERRED = 1,
  TCPF_WRITE_TIMER_DEFERRED = 2,
  TCPF_DELACK_TIMER_DEFERRED = 4,
  TCPF_MTU_REDUCED_DEFERRED = 8,
  TCPF_TSQ_THROTTLED = 16
};
constexpr u8 TCP_NAGLE_OFF = 1, TCP_NAGLE_CORK = 2, TCP_NAGLE_PUSH = 4;
constexpr u8 TCP_ECN_OK = 1, TCP_ECN_QUEUE_CWR = 2, TCP_ECN_DEMAND_CWR = 4, TCP_ECN_SEEN = 8;
constexpr u16 TCP_URG_VALID = 0x100, TCP_URG_NOTYET = 0x200, TCP_URG_READ = 0x400;

struct request_sock : sock_common {
  tcp_sock* rsk_listener = nullptr;  // referenced
  const tcp_request_sock_ops* ops = nullptr;
  timer_list rsk_timer;
  u8 num_timeout = 0, num_retrans = 0, snd_wscale = 0, rcv_wscale = 0, tos = 0;
  bool tstamp_ok = false, sack_ok = false, wscale_ok = false, ecn_ok = false, acked = false, cookie = false;
  u16 mss = 0;
  u32 rcv_isn = 0, snt_isn = 0, rcv_nxt = 0, ts_recent = 0, ts_off = 0, rsk_rcv_wnd = 0, rsk_window_clamp = 0, mark = 0;
  u64 snt_synack = 0, last_oow_ack_time = 0, timeout = 0;
  int ir_iif = 0;
};
struct inet_timewait_sock : sock_common {
  inet_bind_bucket* tw_tb = nullptr;
  timer_list tw_timer;
  u8 tw_substate = 0, tw_rcv_wscale = 0, tw_tos = 0;
  u32 tw_rcv_nxt = 0, tw_snd_nxt = 0, tw_rcv_wnd = 0, tw_ts_recent = 0, tw_ts_offset = 0, tw_mark = 0;
  u64 tw_ts_recent_stamp = 0, tw_last_oow_ack_time = 0;
  be16 tw_sport = 0;
  uid_t tw_uid = 0;
};
inline inet_timewait_sock* inet_twsk(sock_common* s) { return static_cast<inet_timewait_sock*>(s); }
inline request_sock* inet_reqsk(sock_common* s) { return static_cast<request_sock*>(s); }

extern const proto& tcp_prot;
extern Atomic<s32> tcp_orphan_count, tcp_tw_count;
extern Atomic<s64> tcp_memory_allocated;  // pages

// sysctls (net/ipv4/sysctl_net_ipv4.cc)
extern s64 sysctl_tcp_sack, sysctl_tcp_timestamps, sysctl_tcp_window_scaling, sysctl_tcp_dsack, sysctl_tcp_ecn,
    sysctl_tcp_syn_retries, sysctl_tcp_synack_retries, sysctl_tcp_retries1, sysctl_tcp_retries2,
    sysctl_tcp_orphan_retries, sysctl_tcp_fin_timeout, sysctl_tcp_keepalive_time, sysctl_tcp_keepalive_intvl,
    sysctl_tcp_keepalive_probes, sysctl_tcp_syncookies, sysctl_tcp_max_syn_backlog, sysctl_tcp_abort_on_overflow,
    sysctl_tcp_max_tw_buckets, sysctl_tcp_max_orphans, sysctl_tcp_rfc1337, sysctl_tcp_stdurg, sysctl_tcp_tw_reuse,
    sysctl_tcp_moderate_rcvbuf, sysctl_tcp_adv_win_scale, sysctl_tcp_slow_start_after_idle, sysctl_tcp_reordering,
    sysctl_tcp_max_reordering, sysctl_tcp_early_retrans, sysctl_tcp_recovery, sysctl_tcp_limit_output_bytes,
    sysctl_tcp_challenge_ack_limit, sysctl_tcp_invalid_ratelimit, sysctl_tcp_autocorking, sysctl_tcp_min_tso_segs,
    sysctl_tcp_base_mss, sysctl_tcp_no_metrics_save, sysctl_tcp_notsent_lowat, sysctl_tcp_retrans_collapse,
    sysctl_tcp_workaround_signed_windows, sysctl_tcp_thin_linear_timeouts, sysctl_tcp_mtu_probing;
extern s64 sysctl_tcp_rmem[3], sysctl_tcp_wmem[3], sysctl_tcp_mem[3];
extern s64 sysctl_somaxconn;

// --- tables (inet_hashtables.cc) ---
sock_common* inet_lookup_established(const in6_addr& saddr, be16 sport, const in6_addr& daddr, u16 hnum, int dif);
sock* inet_lookup_listener(const in6_addr& saddr, be16 sport, const in6_addr& daddr, u16 hnum, int dif);
void sock_gen_put(sock_common* s);
// Into the established table; with `req`: in its place, false when it was no longer there.
bool inet_ehash_insert(sock_common* s, sock_common* replaces);
bool inet_ehash_unlink(sock_common* s);  // false: it was not there
int inet_hash(sock* sk);                 // by its state
void inet_unhash(sock* sk);
int inet_csk_get_port(sock* sk, u16 port);
void inet_put_port(sock* sk);
void inet_inherit_port(const sock* listener, sock* child);
int inet_hash_connect(sock* sk);
void inet_twsk_hashdance(inet_timewait_sock* tw, sock* sk);
void inet_twsk_drop(inet_timewait_sock* tw);  // out of the tables
void inet_hashtables_init();
void tcp_for_each(bool listeners, void (*visit)(sock_common* s, void* data), void* data);

// --- connection-oriented sockets (inet_connection_sock.cc) ---
int inet_listen(socket* s, int backlog);
void inet_csk_listen_stop(sock* sk);
sock* inet_csk_accept(sock* sk, u32 flags, int* error);
bool inet_csk_reqsk_queue_add(sock* listener, tcp_sock* child);
bool inet_csk_reqsk_queue_hash_add(sock* listener, request_sock* req, u64 timeout);  // false: there is one already
void inet_csk_reqsk_queue_drop(request_sock* req);  // out of the table; drops the table's reference
void inet_csk_destroy_sock(sock* sk);
void inet_child_forget(sock* child);  // a connection that nobody will accept: reset
void inet_csk_clear_xmit_timers(sock* sk);
void inet_csk_reset_xmit_timer(sock* sk, u8 what, u64 when);  // `when` from now
void inet_csk_clear_xmit_timer(sock* sk, u8 what);
void inet_csk_delete_keepalive_timer(sock* sk);
void inet_csk_reset_keepalive_timer(sock* sk, u64 from_now);
void inet_csk_init_xmit_timers(sock* sk, void (*retransmit)(timer_list*), void (*delack)(timer_list*),
                               void (*keepalive)(timer_list*));
request_sock* inet_reqsk_alloc(sock* listener);
void reqsk_put(request_sock* req);
inline bool sk_acceptq_is_full(const sock* sk) {
  return read_once(sk->sk_ack_backlog) > read_once(sk->sk_max_ack_backlog);
}
inline bool inet_csk_ack_scheduled(const sock* sk) { return (inet_csk(sk)->icsk_ack.pending & ICSK_ACK_SCHED) != 0; }
inline void inet_csk_schedule_ack(sock* sk) { inet_csk(sk)->icsk_ack.pending |= ICSK_ACK_SCHED; }

// --- tcp.cc ---
void tcp_set_state(sock* sk, u8 state);
void tcp_done(sock* sk);
void tcp_reset(sock* sk, sk_buff* skb);
void tcp_write_err(sock* sk);
u32 tcp_poll(file* f, socket* s, poll_table* table);
void tcp_cleanup_rbuf(sock* sk, u32 copied);
void tcp_push(sock* sk, u32 flags, u32 mss_now, int nonagle, u32 size_goal);
int tcp_send_mss(sock* sk, u32* size_goal, u32 flags);
void tcp_init_sock(sock* sk);
int tcp_disconnect(sock* sk, u32 flags);
void tcp_write_queue_purge(sock* sk);
void sk_stream_write_space(sock* sk);
bool sk_wmem_schedule(sock* sk, u32 size);
bool sk_rmem_schedule(sock* sk, u32 size);
void sk_mem_charge(sock* sk, s32 size);
void sk_mem_uncharge(sock* sk, s32 size);
void sk_mem_reclaim(sock* sk);
void sk_wmem_free_skb(sock* sk, sk_buff* skb);
void tcp_set_owner_r(sk_buff* skb, sock* sk);
int tcp_setsockopt(sock* sk, int level, int name, u64 user, u32 length);
int tcp_getsockopt(sock* sk, int level, int name, u64 user, int length, u64 user_length);
struct tcp_info;
void tcp_get_info(sock* sk, tcp_info* info);
ssize_t tcp_sendmsg(sock* sk, msghdr& m);
ssize_t tcp_recvmsg(sock* sk, msghdr& m);
void tcp_close(sock* sk, u64 linger);

// --- output ---
u32 tcp_current_mss(sock* sk);
u32 tcp_sync_mss(sock* sk, u32 pmtu);
u32 tcp_mtu_to_mss(sock* sk, u32 pmtu);
void __tcp_push_pending_frames(sock* sk, u32 mss_now, int nonagle);
void tcp_push_one(sock* sk, u32 mss_now);
bool tcp_write_xmit(sock* sk, u32 mss_now, int nonagle, int push_one, gfp_t gfp);
int tcp_connect(sock* sk);
void tcp_send_ack(sock* sk);
void tcp_send_delayed_ack(sock* sk);
void tcp_send_fin(sock* sk);
void tcp_send_active_reset(sock* sk);
int tcp_send_synack(sock* sk);
sk_buff* tcp_make_synack(const sock* listener, dst_entry* dst, request_sock* req);
int tcp_rtx_synack(const sock* listener, request_sock* req);
int tcp_send_rtx_synack(const sock* listener, request_sock* req, dst_entry* dst);
int tcp_retransmit_skb(sock* sk, sk_buff* skb, int segs);
int __tcp_retransmit_skb(sock* sk, sk_buff* skb, int segs);
void tcp_xmit_retransmit_queue(sock* sk);
int tcp_write_wakeup(sock* sk);
void tcp_send_probe0(sock* sk);
void tcp_send_loss_probe(sock* sk);
bool tcp_schedule_loss_probe(sock* sk, bool advancing_rto);
int tcp_fragment(sock* sk, sk_buff* skb, u32 len, u32 mss_now, gfp_t gfp);
void tcp_simple_retransmit(sock* sk);
void tcp_mtup_init(sock* sk);
void tcp_initialize_rcv_mss(sock* sk);
u32 __tcp_select_window(sock* sk);
void tcp_select_initial_window(u32 space, u32 mss, u32* rcv_wnd, u32* window_clamp, bool wscale_ok, u8* rcv_wscale,
                               u32 init_rcv_wnd);
void tcp_cwnd_restart(sock* sk, u64 delta);
void tcp_release_cb(sock* sk);
void tcp_chrono(sock* sk);
void tcp_rearm_rto(sock* sk);
void tcp_reset_xmit_timer(sock* sk, u8 what, u64 when);
inline sk_buff* tcp_send_head(const sock* sk) { return tcp_sk(sk)->send_head; }
inline sk_buff* tcp_rtx_queue_head(const sock* sk) {
  sk_buff* skb = skb_peek(&sk->sk_write_queue);
  return skb == tcp_sk(sk)->send_head ? nullptr : skb;
}
void tcp_add_write_queue_tail(sock* sk, sk_buff* skb);
void tcp_unlink_write_queue(sk_buff* skb, sock* sk);

// --- input ---
void tcp_rcv_established(sock* sk, sk_buff* skb);
int tcp_rcv_state_process(sock* sk, sk_buff* skb);  // 1: answer with a reset
int tcp_conn_request(const tcp_request_sock_ops* ops, sock* sk, sk_buff* skb, const in6_addr& saddr,
                     const in6_addr& daddr);
void tcp_parse_options(const sk_buff* skb, tcp_options_received* opt, tcp_sack_block* sacks, const tcp_sock* tp);
int tcp_ack(sock* sk, sk_buff* skb, int flag);
void tcp_data_queue(sock* sk, sk_buff* skb);
void tcp_fin(sock* sk);
void tcp_enter_loss(sock* sk);
void tcp_enter_cwr(sock* sk);
void tcp_enter_recovery_from_timer(sock* sk);
void tcp_init_transfer(sock* sk);
void tcp_finish_connect(sock* sk, sk_buff* skb);
void tcp_enter_quickack_mode(sock* sk, u32 max_quickacks);
void tcp_rcv_space_adjust(sock* sk);
void tcp_init_buffer_space(sock* sk);
void tcp_set_rto(sock* sk);
void tcp_init_metrics(sock* sk);
void tcp_mark_skb_lost(sock* sk, sk_buff* skb);
void tcp_rack_reo_timeout(sock* sk);
void tcp_rack_mark_lost(sock* sk);
void tcp_check_space(sock* sk);
void tcp_ofo_purge(sock* sk);
void tcp_clear_retrans(tcp_sock* tp);
bool tcp_validate_incoming(sock* sk, sk_buff* skb, const tcphdr* th, bool syn_inerr);
void tcp_state_data(sock* sk, sk_buff* skb, const tcphdr* th);
void tcp_state_checks(sock* sk);
void tcp_state_urg(sock* sk, sk_buff* skb, const tcphdr* th);
bool tcp_oow_rate_limited(u64* last);
void tcp_ecn_rcv_syn(tcp_sock* tp, const tcphdr* th);
u32 tcp_init_cwnd(const tcp_sock* tp);
void tcp_synack_rtt_meas(sock* sk, const request_sock* req);
void tcp_fast_path_check(sock* sk);
void tcp_reno_reset(sock* sk);

// --- timers ---
void tcp_init_xmit_timers(sock* sk);
void tcp_write_timer_handler(sock* sk);
void tcp_delack_timer_handler(sock* sk);
void tcp_retransmit_timer(sock* sk);
void tcp_syn_ack_timeout(request_sock* req);
void tcp_reqsk_timer(timer_list* t);
void tcp_tw_timer(timer_list* t);

// --- before and after a connection (tcp_minisocks.cc) ---
enum TcpTwStatus { TCP_TW_SUCCESS, TCP_TW_RST, TCP_TW_ACK, TCP_TW_SYN };
TcpTwStatus tcp_timewait_state_process(inet_timewait_sock* tw, sk_buff* skb, u32* isn);
void tcp_time_wait(sock* sk, u8 state, u64 timeout);
void inet_twsk_deschedule_put(inet_timewait_sock* tw);
// The child of a completed handshake, the listener or null as in Linux; *reset: the segment deserves a reset.
sock* tcp_check_req(sock* listener, sk_buff* skb, request_sock* req, bool* reset, bool* stolen);
sock* tcp_create_child(const sock* listener, sk_buff* skb, request_sock* req, dst_entry* dst, bool* own_req);
void tcp_child_process(sock* child, sk_buff* skb);

// --- SYN cookies ---
u32 cookie_init_sequence(const in6_addr& saddr, const in6_addr& daddr, const tcphdr* th, u16* mss);
u32 cookie_init_timestamp(request_sock* req);
// The request behind an ACK that carries a valid cookie, or null.
sock* cookie_check(sock* listener, sk_buff* skb, const tcp_request_sock_ops* ops, const in6_addr& saddr,
                   const in6_addr& daddr, bool* valid);

// --- family parts ---
extern const inet_connection_sock_af_ops ipv4_specific;
extern const tcp_request_sock_ops tcp_request_sock_ipv4_ops;
int tcp_v4_connect(sock* sk, be32 daddr, be16 port, int oif);
int tcp_v4_rcv(sk_buff* skb);
// Shared by both families: the segment (data at the TCP header, checked) goes to its socket.
int tcp_deliver(sk_buff* skb, const in6_addr& saddr, const in6_addr& daddr, const tcp_request_sock_ops* ops,
                void (*send_reset)(const sock* sk, sk_buff* skb),
                void (*send_ack)(sk_buff* skb, u32 seq, u32 ack, u32 win, u32 tsval, u32 tsecr, int oif, u8 tos,
                                 u32 mark));
int tcp_do_rcv(sock* sk, sk_buff* skb);
void tcp_fill_cb(sk_buff* skb, u8 dsfield);
struct tcp6_ops {
  int (*connect)(sock* sk, const in6_addr& to, be16 port, int oif);
  void (*send_reset)(const sock* sk, sk_buff* skb);
  const inet_connection_sock_af_ops* specific;
};
extern const tcp6_ops* tcp6_ops_ptr;
void tcp_v4_send_reset(const sock* sk, sk_buff* skb);
void tcp_v4_mtu_reduced(sock* sk);
u32 secure_tcp_seq(const in6_addr& saddr, const in6_addr& daddr, be16 sport, be16 dport);
u32 secure_tcp_ts_off(const in6_addr& saddr, const in6_addr& daddr);

// --- congestion control ---
void tcp_register_congestion_control(tcp_congestion_ops* ops);
const tcp_congestion_ops* tcp_ca_find(const char* name);
extern const tcp_congestion_ops* tcp_default_ca;
void tcp_init_congestion_control(sock* sk);
int tcp_set_congestion_control(sock* sk, const char* name);
u32 tcp_slow_start(tcp_sock* tp, u32 acked);
void tcp_cong_avoid_ai(tcp_sock* tp, u32 w, u32 acked);
u32 tcp_reno_ssthresh(sock* sk);
void tcp_cong_avoid_register();
void tcp_list_congestion_controls(char* text, size_t size);

// --- arithmetic ---
inline bool tcp_in_slow_start(const tcp_sock* tp) { return tp->snd_cwnd < tp->snd_ssthresh; }
inline bool tcp_is_sack(const tcp_sock* tp) { return tp->rx_opt.sack_ok; }
inline bool tcp_is_reno(const tcp_sock* tp) { return !tp->rx_opt.sack_ok; }
inline u32 tcp_left_out(const tcp_sock* tp) { return tp->sacked_out + tp->lost_out; }
inline u32 tcp_packets_in_flight(const tcp_sock* tp) { return tp->packets_out - tcp_left_out(tp) + tp->retrans_out; }
inline bool tcp_in_cwnd_reduction(const sock* sk) {
  return ((1u << TCP_CA_CWR | 1u << TCP_CA_Recovery) & 1u << inet_csk(sk)->icsk_ca_state) != 0;
}
inline u32 tcp_current_ssthresh(const sock* sk) {
  const tcp_sock* tp = tcp_sk(sk);
  return tcp_in_cwnd_reduction(sk) ? tp->snd_ssthresh
                                   : max(tp->snd_ssthresh, (tp->snd_cwnd >> 1) + (tp->snd_cwnd >> 2));
}
inline u32 tcp_wnd_end(const tcp_sock* tp) { return tp->snd_una + tp->snd_wnd; }
inline u32 tcp_receive_window(const tcp_sock* tp) {
  const s32 win = static_cast<s32>(tp->rcv_wup + tp->rcv_wnd - tp->rcv_nxt);
  return win < 0 ? 0 : static_cast<u32>(win);
}
// Part of a buffer may hold headers and slack: what is left is window. tcp_adv_win_scale
inline int tcp_win_from_space(int space) {
  const s64 scale = sysctl_tcp_adv_win_scale;
  return static_cast<int>(scale <= 0 ? space >> -scale : space - (space >> scale));
}
inline int tcp_space(const sock* sk) {
  return tcp_win_from_space(static_cast<int>(read_once(sk->sk_rcvbuf)) - static_cast<int>(sk->sk_backlog.len) -
                            sk_rmem_alloc_get(sk));
}
inline int tcp_full_space(const sock* sk) { return tcp_win_from_space(static_cast<int>(read_once(sk->sk_rcvbuf))); }
inline u32 tcp_time_stamp_ms(u64 ns) { return static_cast<u32>(ns / kMs); }
inline u64 tcp_mstamp_refresh(tcp_sock* tp) { return tp->tcp_mstamp = ktime_get(); }
inline u64 tcp_min_rtt(const tcp_sock* tp) { return tp->min_rtt_us; }
inline u64 tcp_rto_of(const tcp_sock* tp) { return static_cast<u64>((tp->srtt_us >> 3) + tp->rttvar_us) * 1000; }
inline u32 sk_stream_min_wspace(const sock* sk) { return static_cast<u32>(read_once(sk->sk_wmem_queued)) >> 1; }
inline int sk_stream_wspace(const sock* sk) {
  return static_cast<int>(read_once(sk->sk_sndbuf)) - read_once(sk->sk_wmem_queued);
}
inline u32 tcp_notsent_lowat(const tcp_sock* tp) {
  return tp->notsent_lowat != 0 ? tp->notsent_lowat : static_cast<u32>(sysctl_tcp_notsent_lowat);
}
inline bool tcp_stream_memory_free(const sock* sk) {
  const tcp_sock* tp = tcp_sk(sk);
  return read_once(sk->sk_wmem_queued) < static_cast<int>(read_once(sk->sk_sndbuf)) &&
         read_once(tp->write_seq) - read_once(tp->snd_nxt) < tcp_notsent_lowat(tp);
}
inline bool sk_stream_is_writeable(const sock* sk) {
  return sk_stream_wspace(sk) >= static_cast<int>(sk_stream_min_wspace(sk)) && tcp_stream_memory_free(sk);
}
inline u64 keepalive_time_when(const tcp_sock* tp) {
  return tp->keepalive_time != 0 ? tp->keepalive_time : static_cast<u64>(sysctl_tcp_keepalive_time) * kNsPerSec;
}
inline u64 keepalive_intvl_when(const tcp_sock* tp) {
  return tp->keepalive_intvl != 0 ? tp->keepalive_intvl : static_cast<u64>(sysctl_tcp_keepalive_intvl) * kNsPerSec;
}
inline u32 keepalive_probes(const tcp_sock* tp) {
  return tp->keepalive_probes != 0 ? tp->keepalive_probes : static_cast<u32>(sysctl_tcp_keepalive_probes);
}
inline u64 tcp_fin_time(const sock* sk) {
  u64 t = tcp_sk(sk)->linger2 != 0 ? static_cast<u64>(tcp_sk(sk)->linger2) * kNsPerSec
                                   : static_cast<u64>(sysctl_tcp_fin_timeout) * kNsPerSec;
  const u64 rto = inet_csk(sk)->icsk_rto;
  return max(t, (rto << 2) - (rto >> 1));
}
inline void tcp_clear_all_retrans_hints(tcp_sock* tp) { tp->high_retrans = 0; }
constexpr bool tcp_between(u32 seq, u32 low, u32 high) { return high - low >= seq - low; }

}  // namespace xm::os
