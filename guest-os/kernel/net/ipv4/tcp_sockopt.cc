// SPDX-License-Identifier: GPL-2.0-or-later
// Options of the TCP level, and what TCP_INFO tells of a connection. [man 7 tcp]
#include "kernel/lib/format.h"
#include "kernel/net/tcp.h"
#include "kernel/net/tcp_info.h"
#include "kernel/task/cred.h"

namespace xm::os {
namespace {

constexpr u32 kMaxCaName = 16;

void set_cork(sock* sk, bool on) {
  tcp_sock* tp = tcp_sk(sk);
  if (on) {
    tp->nonagle |= TCP_NAGLE_CORK;
    if ((tp->nonagle & TCP_NAGLE_OFF) != 0) tp->nonagle |= TCP_NAGLE_PUSH;
    return;
  }
  tp->nonagle &= static_cast<u8>(~TCP_NAGLE_CORK);
  if ((tp->nonagle & TCP_NAGLE_OFF) != 0) tp->nonagle |= TCP_NAGLE_PUSH;
  if (tp->send_head != nullptr) __tcp_push_pending_frames(sk, tcp_current_mss(sk), tp->nonagle);
}

void set_nodelay(sock* sk, bool on) {
  tcp_sock* tp = tcp_sk(sk);
  if (!on) {
    tp->nonagle &= static_cast<u8>(~TCP_NAGLE_OFF);
    return;
  }
  tp->nonagle |= TCP_NAGLE_OFF | TCP_NAGLE_PUSH;
  if (tp->send_head != nullptr) __tcp_push_pending_frames(sk, tcp_current_mss(sk), tp->nonagle);
}

void set_quickack(sock* sk, int value) {
  inet_connection_sock* icsk = inet_csk(sk);
  if (value == 0) {
    icsk->icsk_ack.pingpong = 3;
    return;
  }
  icsk->icsk_ack.pingpong = 0;
  if (((1u << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT)) != 0 && inet_csk_ack_scheduled(sk)) {
    icsk->icsk_ack.pending |= ICSK_ACK_PUSHED;
    tcp_cleanup_rbuf(sk, 1);
    if ((value & 1) == 0) icsk->icsk_ack.pingpong = 3;
  }
}

// Seconds as a number of retransmissions that take as long.
u8 secs_to_retrans(int seconds) {
  u8 n = 0;
  if (seconds <= 0) return 0;
  int period = 1;
  for (int timeout = 1; n < 255; timeout = min(timeout << 1, 120), period += timeout) {
    ++n;
    if (period >= seconds) break;
  }
  return n;
}
int retrans_to_secs(u8 retrans) {
  int period = 0;
  for (int timeout = 1; retrans > 0; --retrans, timeout = min(timeout << 1, 120)) period += timeout;
  return period;
}

int set_keepidle(sock* sk, int seconds) {
  tcp_sock* tp = tcp_sk(sk);
  if (seconds < 1 || seconds > 32767) return -EINVAL;
  tp->keepalive_time = static_cast<u64>(seconds) * kNsPerSec;
  if (sk->sk_keepalive && ((1u << sk->sk_state) & (TCPF_CLOSE | TCPF_LISTEN)) == 0) {
    const u64 elapsed = ktime_get() - max(tp->icsk_ack.lrcvtime, tp->rcv_tstamp);
    inet_csk_reset_keepalive_timer(sk, tp->keepalive_time > elapsed ? tp->keepalive_time - elapsed : 0);
  }
  return 0;
}

int set_locked(sock* sk, int name, int value) {
  tcp_sock* tp = tcp_sk(sk);
  inet_connection_sock* icsk = tp;
  switch (name) {
    case TCP_MAXSEG:
      if (value != 0 && (value < static_cast<int>(TCP_MIN_MSS) || value > 32767)) return -EINVAL;
      tp->rx_opt.user_mss = static_cast<u16>(value);
      return 0;
    case TCP_NODELAY: set_nodelay(sk, value != 0); return 0;
    case TCP_CORK: set_cork(sk, value != 0); return 0;
    case TCP_THIN_LINEAR_TIMEOUTS: tp->thin_lto = value != 0; return 0;
    case TCP_THIN_DUPACK: return 0;
    case TCP_KEEPIDLE: return set_keepidle(sk, value);
    case TCP_KEEPINTVL:
      if (value < 1 || value > 32767) return -EINVAL;
      tp->keepalive_intvl = static_cast<u64>(value) * kNsPerSec;
      return 0;
    case TCP_KEEPCNT:
      if (value < 1 || value > 127) return -EINVAL;
      tp->keepalive_probes = static_cast<u8>(value);
      return 0;
    case TCP_SYNCNT:
      if (value < 1 || value > 127) return -EINVAL;
      icsk->icsk_syn_retries = static_cast<u8>(value);
      return 0;
    case TCP_LINGER2: tp->linger2 = value < 0 ? -1 : (value > 120 ? 120 : value); return 0;
    case TCP_DEFER_ACCEPT: icsk->icsk_accept_queue.rskq_defer_accept = secs_to_retrans(value); return 0;
    case TCP_WINDOW_CLAMP:
      if (value == 0) {
        if (sk->sk_state != TCP_CLOSE) return -EINVAL;
        tp->window_clamp = 0;
      } else {
        tp->window_clamp = max(static_cast<u32>(value), 1152u);
        tp->rcv_ssthresh = min(tp->rcv_wnd, tp->window_clamp);
      }
      return 0;
    case TCP_QUICKACK: set_quickack(sk, value); return 0;
    case TCP_USER_TIMEOUT:
      if (value < 0) return -EINVAL;
      icsk->icsk_user_timeout = static_cast<u64>(value) * kMs;
      return 0;
    case TCP_NOTSENT_LOWAT:
      tp->notsent_lowat = static_cast<u32>(value);
      sk_stream_write_space(sk);
      return 0;
    case TCP_INQ:
      if (value > 1 || value < 0) return -EINVAL;
      tp->recvmsg_inq = value != 0;
      return 0;
    case TCP_SAVE_SYN: return value < 0 || value > 2 ? -EINVAL : 0;
    case TCP_FASTOPEN:  // GAP: accepted for a listener, connections open with three segments
      return value >= 0 && ((1u << sk->sk_state) & (TCPF_CLOSE | TCPF_LISTEN)) != 0 ? 0 : -EINVAL;
    case TCP_TIMESTAMP: return -EPERM;
    case TCP_REPAIR: return capable(CAP_NET_ADMIN) ? -EOPNOTSUPP : -EPERM;
    default: return -ENOPROTOOPT;
  }
}

}  // namespace

int tcp_setsockopt(sock* sk, int, int name, u64 user, u32 length) {
  if (name == TCP_CONGESTION) {
    char ca[kMaxCaName]{};
    if (length < 1) return -EINVAL;
    TRY_INT(copy_from_user(ca, reinterpret_cast<void*>(user), min(length, kMaxCaName - 1)));
    SockGuard guard(sk);
    return tcp_set_congestion_control(sk, ca);
  }
  if (name == TCP_ULP) return -ENOENT;
  int value;
  if (length < sizeof value) return -EINVAL;
  TRY_INT(get_user_at(value, user));
  SockGuard guard(sk);
  return set_locked(sk, name, value);
}

void tcp_get_info(sock* sk, tcp_info* info) {
  const tcp_sock* tp = tcp_sk(sk);
  const inet_connection_sock* icsk = tp;
  *info = {};
  info->tcpi_state = sk->sk_state;
  if (sk->sk_state == TCP_LISTEN) {
    info->tcpi_unacked = sk->sk_ack_backlog;
    info->tcpi_sacked = sk->sk_max_ack_backlog;
    return;
  }
  const u64 now = ktime_get();
  const auto ms_since = [&](u64 then) { return then == 0 ? 0u : static_cast<u32>((now - then) / kMs); };
  info->tcpi_ca_state = icsk->icsk_ca_state;
  info->tcpi_retransmits = icsk->icsk_retransmits;
  info->tcpi_probes = icsk->icsk_probes_out;
  info->tcpi_backoff = icsk->icsk_backoff;
  info->tcpi_options = static_cast<u8>((tp->rx_opt.tstamp_ok ? 1 : 0) | (tp->rx_opt.sack_ok ? 2 : 0) |
                                       (tp->rx_opt.wscale_ok ? 4 : 0) | ((tp->ecn_flags & TCP_ECN_OK) != 0 ? 8 : 0));
  info->tcpi_snd_wscale = tp->rx_opt.wscale_ok ? tp->rx_opt.snd_wscale & 15 : 0;
  info->tcpi_rcv_wscale = tp->rx_opt.wscale_ok ? tp->rx_opt.rcv_wscale & 15 : 0;
  info->tcpi_rto = static_cast<u32>(icsk->icsk_rto / 1000);
  info->tcpi_ato = static_cast<u32>(icsk->icsk_ack.ato / 1000);
  info->tcpi_snd_mss = tp->mss_cache;
  info->tcpi_rcv_mss = icsk->icsk_ack.rcv_mss;
  info->tcpi_unacked = tp->packets_out;
  info->tcpi_sacked = tp->sacked_out;
  info->tcpi_lost = tp->lost_out;
  info->tcpi_retrans = tp->retrans_out;
  info->tcpi_last_data_sent = ms_since(tp->lsndtime);
  info->tcpi_last_data_recv = ms_since(icsk->icsk_ack.lrcvtime);
  info->tcpi_last_ack_recv = ms_since(tp->rcv_tstamp);
  info->tcpi_pmtu = icsk->icsk_pmtu_cookie;
  info->tcpi_rcv_ssthresh = tp->rcv_ssthresh;
  info->tcpi_rtt = tp->srtt_us >> 3;
  info->tcpi_rttvar = tp->mdev_us >> 2;
  info->tcpi_snd_ssthresh = tp->snd_ssthresh;
  info->tcpi_snd_cwnd = tp->snd_cwnd;
  info->tcpi_advmss = tp->advmss;
  info->tcpi_reordering = tp->reordering;
  info->tcpi_rcv_rtt = tp->rcv_rtt_est.rtt_us >> 3;
  info->tcpi_rcv_space = tp->rcvq_space.space;
  info->tcpi_total_retrans = tp->total_retrans;
  info->tcpi_pacing_rate = ~0ul;
  info->tcpi_max_pacing_rate = ~0ul;
  info->tcpi_bytes_acked = tp->bytes_acked;
  info->tcpi_bytes_received = tp->bytes_received;
  info->tcpi_segs_out = tp->segs_out;
  info->tcpi_segs_in = tp->segs_in;
  info->tcpi_notsent_bytes = tp->write_seq - tp->snd_nxt;
  info->tcpi_min_rtt = tp->min_rtt_us;
  info->tcpi_data_segs_in = tp->data_segs_in;
  info->tcpi_data_segs_out = tp->data_segs_out;
  info->tcpi_delivered = tp->delivered;
  info->tcpi_bytes_sent = tp->bytes_sent;
  info->tcpi_bytes_retrans = tp->bytes_retrans;
  info->tcpi_dsack_dups = tp->dsack_dups;
  info->tcpi_reord_seen = tp->reord_seen;
  info->tcpi_rcv_ooopack = tp->rcv_ooopack;
  info->tcpi_snd_wnd = tp->snd_wnd;
}

int tcp_getsockopt(sock* sk, int, int name, u64 user, int length, u64 user_length) {
  const tcp_sock* tp = tcp_sk(sk);
  const inet_connection_sock* icsk = tp;
  if (length < 0) return -EINVAL;
  int value = 0;
  switch (name) {
    case TCP_MAXSEG:
      value = static_cast<int>(tp->mss_cache);
      if (tp->rx_opt.user_mss != 0 && ((1u << sk->sk_state) & (TCPF_CLOSE | TCPF_LISTEN)) != 0)
        value = tp->rx_opt.user_mss;
      break;
    case TCP_NODELAY: value = (tp->nonagle & TCP_NAGLE_OFF) != 0; break;
    case TCP_CORK: value = (tp->nonagle & TCP_NAGLE_CORK) != 0; break;
    case TCP_KEEPIDLE: value = static_cast<int>(keepalive_time_when(tp) / kNsPerSec); break;
    case TCP_KEEPINTVL: value = static_cast<int>(keepalive_intvl_when(tp) / kNsPerSec); break;
    case TCP_KEEPCNT: value = static_cast<int>(keepalive_probes(tp)); break;
    case TCP_SYNCNT:
      value = icsk->icsk_syn_retries != 0 ? icsk->icsk_syn_retries : static_cast<int>(sysctl_tcp_syn_retries);
      break;
    case TCP_LINGER2:
      value = tp->linger2 > 0 ? tp->linger2 : (tp->linger2 < 0 ? -1 : static_cast<int>(sysctl_tcp_fin_timeout));
      break;
    case TCP_DEFER_ACCEPT: value = retrans_to_secs(icsk->icsk_accept_queue.rskq_defer_accept); break;
    case TCP_WINDOW_CLAMP: value = static_cast<int>(tp->window_clamp); break;
    case TCP_QUICKACK: value = icsk->icsk_ack.pingpong < 3; break;
    case TCP_USER_TIMEOUT: value = static_cast<int>(icsk->icsk_user_timeout / kMs); break;
    case TCP_NOTSENT_LOWAT: value = static_cast<int>(tp->notsent_lowat); break;
    case TCP_INQ: value = tp->recvmsg_inq; break;
    case TCP_THIN_LINEAR_TIMEOUTS: value = tp->thin_lto; break;
    case TCP_THIN_DUPACK:
    case TCP_SAVE_SYN:
    case TCP_FASTOPEN:
    case TCP_FASTOPEN_CONNECT:
    case TCP_REPAIR: value = 0; break;
    case TCP_TIMESTAMP: value = static_cast<int>(tcp_time_stamp_ms(ktime_get()) + tp->tsoffset); break;
    case TCP_INFO: {
      tcp_info info;
      {
        SockGuard guard(sk);
        tcp_get_info(sk, &info);
      }
      return put_option(user, user_length, &info, sizeof info);
    }
    case TCP_CONGESTION: {
      char ca[kMaxCaName]{};
      format(ca, sizeof ca, "%s", icsk->icsk_ca_ops->name);
      return put_option(user, user_length, ca, sizeof ca);
    }
    case TCP_ULP: return put_user_at(0, user_length);
    default: return -ENOPROTOOPT;
  }
  return put_option(user, user_length, &value, sizeof value);
}

}  // namespace xm::os
