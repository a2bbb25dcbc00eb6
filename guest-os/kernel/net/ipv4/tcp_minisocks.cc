// SPDX-License-Identifier: GPL-2.0-or-later
// The small forms of a connection: a request becomes a socket when its handshake completes; a closed connection stays
// as an inet_timewait_sock, so that late segments do not disturb the next one. [RFC 9293, 3.6.1], [RFC 6191], [RFC
// 1337]
#include "kernel/drivers/random.h"
#include "kernel/mm/slab.h"
#include "kernel/net/tcp.h"

namespace xm::os {

Atomic<s32> tcp_tw_count{0};

// --- TIME-WAIT ---
void tcp_tw_timer(timer_list* t) {
  inet_timewait_sock* tw = container_of(t, inet_timewait_sock, tw_timer);
  NET_INC(LINUX_MIB_TW);
  inet_twsk_drop(tw);
  sock_gen_put(tw);
}

void inet_twsk_deschedule_put(inet_timewait_sock* tw) {
  if (del_timer(&tw->tw_timer)) {
    inet_twsk_drop(tw);
    sock_gen_put(tw);  // the timer's
  }
  sock_gen_put(tw);
}

namespace {
TcpTwStatus check_oow(inet_timewait_sock* tw) {
  return tcp_oow_rate_limited(&tw->tw_last_oow_ack_time) ? TCP_TW_SUCCESS : TCP_TW_ACK;
}
void reschedule(inet_timewait_sock* tw, u64 timeout) {
  if (del_timer(&tw->tw_timer)) mod_timer(&tw->tw_timer, ktime_get() + timeout);
}
}  // namespace

// A segment for a connection that is over. The reference of the look-up is consumed.
TcpTwStatus tcp_timewait_state_process(inet_timewait_sock* tw, sk_buff* skb, u32* isn) {
  const tcphdr* th = tcp_hdr(skb);
  const tcp_skb_cb* cb = TCP_SKB_CB(skb);
  tcp_options_received o;
  bool paws_reject = false;
  if (tw->tw_ts_recent_stamp != 0 && th->doff > sizeof(tcphdr) / 4) {
    o.tstamp_ok = true;
    tcp_parse_options(skb, &o, nullptr, nullptr);
    if (o.saw_tstamp) {
      o.ts_recent = tw->tw_ts_recent;
      paws_reject = static_cast<s32>(o.ts_recent - o.rcv_tsval) > 0 && (th->flags & TCPHDR_RST) == 0;
    }
  }
  const bool rst = (th->flags & TCPHDR_RST) != 0, syn = (th->flags & TCPHDR_SYN) != 0,
             ack = (th->flags & TCPHDR_ACK) != 0;
  const auto done = [&](TcpTwStatus status) {
    if (status != TCP_TW_ACK) sock_gen_put(tw);
    return status;
  };
  const auto kill = [&](TcpTwStatus status) {
    inet_twsk_deschedule_put(tw);
    return status;
  };
  if (tw->tw_substate == TCP_FIN_WAIT2) {
    if (paws_reject || before(cb->end_seq, tw->tw_rcv_nxt) || after(cb->seq, tw->tw_rcv_nxt + tw->tw_rcv_wnd)) {
      return done(check_oow(tw));
    }
    if (rst) return kill(TCP_TW_SUCCESS);
    if (syn && !before(cb->seq, tw->tw_rcv_nxt)) return done(TCP_TW_RST);
    if (!ack || !after(cb->end_seq, tw->tw_rcv_nxt) || cb->end_seq == cb->seq) return done(TCP_TW_SUCCESS);
    if ((th->flags & TCPHDR_FIN) == 0 || cb->end_seq != tw->tw_rcv_nxt + 1) return kill(TCP_TW_RST);  // new data
    tw->tw_substate = TCP_TIME_WAIT;
    tw->tw_rcv_nxt = cb->end_seq;
    if (o.saw_tstamp) {
      tw->tw_ts_recent_stamp = ktime_get();
      tw->tw_ts_recent = o.rcv_tsval;
    }
    reschedule(tw, TCP_TIMEWAIT_LEN);
    return TCP_TW_ACK;
  }
  if (!paws_reject && cb->seq == tw->tw_rcv_nxt && (cb->seq == cb->end_seq || rst)) {
    if (rst) {
      if (sysctl_tcp_rfc1337 == 0) return kill(TCP_TW_SUCCESS);  // assassination allowed
    } else {
      reschedule(tw, TCP_TIMEWAIT_LEN);
    }
    if (o.saw_tstamp) {
      tw->tw_ts_recent = o.rcv_tsval;
      tw->tw_ts_recent_stamp = ktime_get();
    }
    return done(TCP_TW_SUCCESS);
  }
  // A new connection may follow when it cannot be mistaken for the old one.
  if (syn && !rst && !ack && !paws_reject &&
      (after(cb->seq, tw->tw_rcv_nxt) || (o.saw_tstamp && static_cast<s32>(tw->tw_ts_recent - o.rcv_tsval) < 0))) {
    u32 number = tw->tw_snd_nxt + 65535 + 2;
    if (number == 0) ++number;
    *isn = number;
    return TCP_TW_SYN;
  }
  if (paws_reject) NET_INC(LINUX_MIB_PAWSEstab);
  if (!rst) {
    if (paws_reject || ack) reschedule(tw, TCP_TIMEWAIT_LEN);
    return done(check_oow(tw));
  }
  return done(TCP_TW_SUCCESS);
}

// The connection lives on as a small sock; the large one ends.
void tcp_time_wait(sock* sk, u8 state, u64 timeout) {
  tcp_sock* tp = tcp_sk(sk);
  const u64 rto = (tp->icsk_rto << 2) - (tp->icsk_rto >> 1);
  void* memory =
      tcp_tw_count.load() < sysctl_tcp_max_tw_buckets ? kmalloc(sizeof(inet_timewait_sock), GFP_ATOMIC) : nullptr;
  if (memory != nullptr) {
    inet_timewait_sock* tw = new (memory) inet_timewait_sock{};
    tcp_tw_count.inc();
    tw->sk_v6_daddr = sk->sk_v6_daddr;
    tw->sk_v6_rcv_saddr = sk->sk_v6_rcv_saddr;
    tw->sk_dport = sk->sk_dport;
    tw->sk_num = sk->sk_num;
    tw->sk_hash = sk->sk_hash;
    tw->sk_family = sk->sk_family;
    tw->sk_bound_dev_if = sk->sk_bound_dev_if;
    tw->sk_reuseaddr = sk->sk_reuseaddr;
    tw->sk_reuseport = sk->sk_reuseport;
    tw->sk_ipv6only = sk->sk_ipv6only;
    tw->sk_state = TCP_TIME_WAIT;
    tw->tw_substate = state;
    tw->tw_sport = tp->inet_sport;
    tw->tw_rcv_wscale = tp->rx_opt.rcv_wscale;
    tw->tw_rcv_nxt = tp->rcv_nxt;
    tw->tw_snd_nxt = tp->snd_nxt;
    tw->tw_rcv_wnd = tcp_receive_window(tp);
    tw->tw_ts_recent = tp->rx_opt.ts_recent;
    tw->tw_ts_recent_stamp = tp->rx_opt.tstamp_ok ? max<u64>(tp->rx_opt.ts_recent_stamp, 1) : 0;
    tw->tw_ts_offset = tp->tsoffset;
    tw->tw_tos = tp->tos;
    tw->tw_mark = sk->sk_mark;
    tw->tw_uid = sk->sk_uid;
    timer_setup(&tw->tw_timer, tcp_tw_timer);
    if (timeout < rto) timeout = rto;
    if (state == TCP_TIME_WAIT) timeout = TCP_TIMEWAIT_LEN;
    mod_timer(&tw->tw_timer, ktime_get() + timeout);  // holds the reference that tw was born with
    inet_twsk_hashdance(tw, sk);
  } else {
    NET_INC(LINUX_MIB_TWRecycled);
  }
  tcp_done(sk);
}

// --- a request becomes a socket ---
namespace {

void copy_socket_settings(const tcp_sock* from, tcp_sock* to) {
  to->sk_type = from->sk_type;
  to->sk_protocol = from->sk_protocol;
  to->sk_sndbuf = from->sk_sndbuf;
  to->sk_rcvbuf = from->sk_rcvbuf;
  to->sk_userlocks = from->sk_userlocks & ~(SOCK_BINDPORT_LOCK);
  to->sk_rcvtimeo = from->sk_rcvtimeo;
  to->sk_sndtimeo = from->sk_sndtimeo;
  to->sk_rcvlowat = from->sk_rcvlowat;
  to->sk_priority = from->sk_priority;
  to->sk_mark = from->sk_mark;
  to->sk_linger = from->sk_linger;
  to->sk_reuseaddr = from->sk_reuseaddr;
  to->sk_reuseport = from->sk_reuseport;
  to->sk_ipv6only = from->sk_ipv6only;
  to->sk_broadcast = from->sk_broadcast;
  to->sk_keepalive = from->sk_keepalive;
  to->sk_oobinline = from->sk_oobinline;
  to->sk_dontroute = from->sk_dontroute;
  to->sk_timestamp = from->sk_timestamp;
  to->sk_timestampns = from->sk_timestampns;
  to->sk_uid = from->sk_uid;
  to->uc_ttl = from->uc_ttl;
  to->tos = from->tos;
  to->min_ttl = from->min_ttl;
  to->mc_ttl = from->mc_ttl;
  to->pmtudisc = from->pmtudisc;
  to->recverr = from->recverr;
  to->transparent = from->transparent;
  to->freebind = from->freebind;
  to->is_icsk = true;
  to->nonagle = from->nonagle;
  to->notsent_lowat = from->notsent_lowat;
  to->keepalive_time = from->keepalive_time;
  to->keepalive_intvl = from->keepalive_intvl;
  to->keepalive_probes = from->keepalive_probes;
  to->linger2 = from->linger2;
  to->icsk_user_timeout = from->icsk_user_timeout;
  to->icsk_syn_retries = from->icsk_syn_retries;
  to->icsk_ca_ops = from->icsk_ca_ops;
  to->ca_setsockopt = from->ca_setsockopt;
  to->icsk_af_ops = from->icsk_af_ops;
  to->rx_opt.user_mss = from->rx_opt.user_mss;
  to->recvmsg_inq = from->recvmsg_inq;
  to->window_clamp = from->window_clamp;
}

}  // namespace

// The child, locked (its slock), in SYN_RECV; in the tables in place of the request when *own_req.
sock* tcp_create_child(const sock* listener, sk_buff* skb, request_sock* req, dst_entry* dst, bool* own_req) {
  const auto overflow = [&](LinuxMib m) -> sock* {
    NET_INC(m);
    NET_INC(LINUX_MIB_ListenDrops);
    dst_release(dst);
    return nullptr;
  };
  if (sk_acceptq_is_full(listener)) return overflow(LINUX_MIB_ListenOverflows);
  if (dst == nullptr) dst = req->ops->route_req(listener, req);
  if (dst == nullptr) return overflow(LINUX_MIB_ListenDrops);
  sock* child = sk_alloc(listener->sk_family, listener->sk_prot);
  if (child == nullptr) return overflow(LINUX_MIB_ListenDrops);
  const tcp_sock* lp = tcp_sk(listener);
  tcp_sock* tp = tcp_sk(child);
  inet_sock_init(tp, listener->sk_family);
  copy_socket_settings(lp, tp);
  child->sk_socket = nullptr;
  child->sk_v6_daddr = req->sk_v6_daddr;
  child->sk_v6_rcv_saddr = req->sk_v6_rcv_saddr;
  child->sk_dport = req->sk_dport;
  child->sk_num = req->sk_num;
  child->sk_bound_dev_if = req->ir_iif;
  tp->inet_sport = htons(req->sk_num);
  tp->inet_saddr = req->sk_v6_rcv_saddr.words[3];
  tp->inet_id.store(static_cast<u32>(get_random_u64()));
  if (listener->sk_family == AF_INET6) {
    void* memory = kmalloc(sizeof(ipv6_pinfo), GFP_ATOMIC);
    if (memory == nullptr) {
      sock_put(child);
      return overflow(LINUX_MIB_ListenDrops);
    }
    tp->pinet6 = new (memory) ipv6_pinfo{};
    tp->pinet6->saddr = req->sk_v6_rcv_saddr;
  }
  req->ops->init_child(listener, child, req, skb);
  tcp_init_xmit_timers(child);
  child->sk_state = TCP_SYN_RECV;
  child->sk_dst_cache = dst;
  child->sk_rx_dst = skb->dst != nullptr ? dst_hold(skb->dst) : nullptr;
  const u32 seq = req->rcv_isn + 1;
  tp->rcv_wup = tp->copied_seq = tp->rcv_nxt = seq;
  tp->segs_in = 1;
  tp->snd_sml = tp->snd_una = tp->snd_nxt = tp->snd_up = tp->write_seq = tp->pushed_seq = req->snt_isn + 1;
  tp->snd_wl1 = req->rcv_isn;
  tp->mdev_us = static_cast<u32>(TCP_TIMEOUT_INIT / 1000);
  tp->icsk_ack.lrcvtime = ktime_get();
  tp->lsndtime = ktime_get();
  tp->icsk_rto = TCP_TIMEOUT_INIT;
  tp->total_retrans = req->num_retrans;
  tp->tsoffset = req->ts_off;
  tp->rx_opt.tstamp_ok = req->tstamp_ok;
  tp->rx_opt.sack_ok = req->sack_ok;
  tp->window_clamp = req->rsk_window_clamp;
  tp->rcv_ssthresh = req->rsk_rcv_wnd;
  tp->rcv_wnd = req->rsk_rcv_wnd;
  tp->rx_opt.wscale_ok = req->wscale_ok;
  if (req->wscale_ok) {
    tp->rx_opt.snd_wscale = req->snd_wscale;
    tp->rx_opt.rcv_wscale = req->rcv_wscale;
  } else {
    tp->window_clamp = min(tp->window_clamp, 65535u);
  }
  tp->snd_wnd = static_cast<u32>(ntohs(tcp_hdr(skb)->window)) << tp->rx_opt.snd_wscale;
  tp->max_window = tp->snd_wnd;
  if (req->tstamp_ok) {
    tp->rx_opt.ts_recent = req->ts_recent;
    tp->rx_opt.ts_recent_stamp = ktime_get();
    tp->tcp_header_len = sizeof(tcphdr) + TCPOLEN_TSTAMP_ALIGNED;
  }
  if (req->ecn_ok) tp->ecn_flags = TCP_ECN_OK;
  tp->rx_opt.mss_clamp = req->mss;
  tcp_sync_mss(child, dst_mtu(dst));
  tp->advmss = static_cast<u16>(dst->ops->advmss(dst));
  if (tp->rx_opt.user_mss != 0) tp->advmss = min(tp->advmss, tp->rx_opt.user_mss);
  tcp_initialize_rcv_mss(child);
  tcp_synack_rtt_meas(child, req);
  TCP_INC(TCP_MIB_PassiveOpens);
  bh_lock_sock(child);
  inet_inherit_port(listener, child);
  *own_req = inet_ehash_insert(child, req->cookie ? nullptr : req);
  if (*own_req) return child;
  // Another processor was faster with this request.
  bh_unlock_sock(child);
  child->sk_state = TCP_CLOSE;
  child->sk_dead = true;
  inet_put_port(child);
  sock_put(child);
  return nullptr;
}

// A segment for a request. Returns the child that it completes (locked), or null: then *reset asks for a reset.
sock* tcp_check_req(sock* listener, sk_buff* skb, request_sock* req, bool* reset, bool* stolen) {
  const tcphdr* th = tcp_hdr(skb);
  const tcp_skb_cb* cb = TCP_SKB_CB(skb);
  const u8 flag = th->flags & (TCPHDR_RST | TCPHDR_SYN | TCPHDR_ACK);
  tcp_options_received o;
  bool paws_reject = false;
  *reset = *stolen = false;
  if (th->doff > sizeof(tcphdr) / 4) {
    o.tstamp_ok = true;
    tcp_parse_options(skb, &o, nullptr, nullptr);
    if (o.saw_tstamp && req->tstamp_ok) paws_reject = static_cast<s32>(req->ts_recent - o.rcv_tsval) > 0;
  }
  // The SYN again: our answer was lost.
  if (cb->seq == req->rcv_isn && flag == TCPHDR_SYN && !paws_reject) {
    if (!tcp_oow_rate_limited(&req->last_oow_ack_time) && tcp_rtx_synack(listener, req) == 0) ++req->num_retrans;
    return nullptr;
  }
  if ((flag & TCPHDR_ACK) != 0 && cb->ack_seq != req->snt_isn + 1) {
    *reset = true;
    return nullptr;
  }
  if (paws_reject || !(!before(cb->end_seq, req->rcv_nxt) && !after(cb->seq, req->rcv_nxt + req->rsk_rcv_wnd))) {
    if ((flag & TCPHDR_RST) == 0 && !tcp_oow_rate_limited(&req->last_oow_ack_time)) tcp_rtx_synack(listener, req);
    return nullptr;
  }
  if (o.saw_tstamp && req->tstamp_ok && !after(cb->seq, req->rcv_nxt)) req->ts_recent = o.rcv_tsval;
  if ((flag & (TCPHDR_RST | TCPHDR_SYN)) != 0) {
    TCP_INC(TCP_MIB_AttemptFails);
    NET_INC(LINUX_MIB_EmbryonicRsts);
    if ((flag & TCPHDR_RST) == 0) *reset = true;
    inet_csk_reqsk_queue_drop(req);
    return nullptr;
  }
  if ((flag & TCPHDR_ACK) == 0) return nullptr;
  // TCP_DEFER_ACCEPT: the bare ACK is not worth a wake-up.
  if (req->num_timeout < inet_csk(listener)->icsk_accept_queue.rskq_defer_accept && cb->end_seq == req->rcv_isn + 1) {
    req->acked = true;
    NET_INC(LINUX_MIB_TCPDeferAcceptDrop);
    return nullptr;
  }
  bool own_req = false;
  sock* child = tcp_create_child(listener, skb, req, nullptr, &own_req);
  if (child == nullptr) {
    if (req->sk_node.empty()) {
      *stolen = true;  // another processor made the connection of it
    } else if (sysctl_tcp_abort_on_overflow != 0) {
      *reset = true;
      inet_csk_reqsk_queue_drop(req);
    } else {
      req->acked = true;
    }
    return nullptr;
  }
  // The request left the table with the child's arrival; its timer and counters end here.
  request_sock_queue& q = inet_csk(listener)->icsk_accept_queue;
  q.qlen.sub(1);
  if (req->num_timeout == 0) q.young.sub(1);
  if (del_timer(&req->rsk_timer)) reqsk_put(req);
  reqsk_put(req);  // the table's
  return child;
}

// The child processes the segment that completed it. Called with its slock, which is released with a reference.
void tcp_child_process(sock* child, sk_buff* skb) {
  const u8 state = child->sk_state;
  if (!sock_owned_by_user(child)) {
    if (tcp_rcv_state_process(child, skb) != 0) {
      kfree_skb(skb);
    }
    if (state == TCP_SYN_RECV && child->sk_state != state && child->sk_socket != nullptr) sock_def_readable(child);
  } else if (sk_add_backlog(child, skb, child->sk_rcvbuf + child->sk_sndbuf) != 0) {
    kfree_skb_reason(skb, SKB_DROP_SOCKET_BACKLOG);
  }
  bh_unlock_sock(child);
}

}  // namespace xm::os
