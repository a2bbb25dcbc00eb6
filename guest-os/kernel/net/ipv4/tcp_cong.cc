// SPDX-License-Identifier: GPL-2.0-or-later
// Congestion control: the list of algorithms, slow start and NewReno [RFC 5681], CUBIC [RFC 9438].
#include "kernel/lib/format.h"
#include "kernel/lib/string.h"
#include "kernel/net/tcp.h"
#include "kernel/task/cred.h"

namespace xm::os {

const tcp_congestion_ops* tcp_default_ca = nullptr;

namespace {
tcp_congestion_ops* ca_list = nullptr;
}

void tcp_register_congestion_control(tcp_congestion_ops* ops) {
  ops->next = ca_list;
  ca_list = ops;
}
const tcp_congestion_ops* tcp_ca_find(const char* name) {
  for (const tcp_congestion_ops* c = ca_list; c != nullptr; c = c->next) {
    if (strcmp(c->name, name) == 0) return c;
  }
  return nullptr;
}
void tcp_list_congestion_controls(char* text, size_t size) {
  size_t n = 0;
  for (const tcp_congestion_ops* c = ca_list; c != nullptr && n < size; c = c->next)
    n += static_cast<size_t>(format(text + n, size - n, "%s%s", n == 0 ? "" : " ", c->name));
}

void tcp_init_congestion_control(sock* sk) {
  tcp_sk(sk)->prior_ssthresh = 0;
  if (inet_csk(sk)->icsk_ca_ops->init != nullptr) inet_csk(sk)->icsk_ca_ops->init(sk);
}

int tcp_set_congestion_control(sock* sk, const char* name) {
  const tcp_congestion_ops* ca = tcp_ca_find(name);
  if (ca == nullptr) return -ENOENT;
  inet_connection_sock* icsk = inet_csk(sk);
  icsk->ca_setsockopt = true;
  if (ca == icsk->icsk_ca_ops) return 0;
  icsk->icsk_ca_ops = ca;
  memset(icsk->icsk_ca_priv, 0, sizeof icsk->icsk_ca_priv);
  if (((1u << sk->sk_state) & (TCPF_CLOSE | TCPF_LISTEN)) == 0) tcp_init_congestion_control(sk);
  return 0;
}

// --- Reno ---
u32 tcp_slow_start(tcp_sock* tp, u32 acked) {
  const u32 cwnd = min(tp->snd_cwnd + acked, tp->snd_ssthresh);
  acked -= cwnd - tp->snd_cwnd;
  tp->snd_cwnd = min(cwnd, tp->snd_cwnd_clamp);
  return acked;
}

// One segment more for each `w` acknowledged.
void tcp_cong_avoid_ai(tcp_sock* tp, u32 w, u32 acked) {
  if (tp->snd_cwnd_cnt >= w) {
    tp->snd_cwnd_cnt = 0;
    ++tp->snd_cwnd;
  }
  tp->snd_cwnd_cnt += acked;
  if (tp->snd_cwnd_cnt >= w) {
    const u32 delta = tp->snd_cwnd_cnt / w;
    tp->snd_cwnd_cnt -= delta * w;
    tp->snd_cwnd += delta;
  }
  tp->snd_cwnd = min(tp->snd_cwnd, tp->snd_cwnd_clamp);
}

u32 tcp_reno_ssthresh(sock* sk) { return max(tcp_sk(sk)->snd_cwnd >> 1, 2u); }

namespace {

void tcp_reno_cong_avoid(sock* sk, u32, u32 acked) {
  tcp_sock* tp = tcp_sk(sk);
  if (tcp_in_slow_start(tp)) {
    acked = tcp_slow_start(tp, acked);
    if (acked == 0) return;
  }
  tcp_cong_avoid_ai(tp, tp->snd_cwnd, acked);
}
u32 tcp_reno_undo_cwnd(sock* sk) { return max(tcp_sk(sk)->snd_cwnd, tcp_sk(sk)->prior_cwnd); }

tcp_congestion_ops tcp_reno{
    "reno", tcp_reno_ssthresh, tcp_reno_cong_avoid, tcp_reno_undo_cwnd, nullptr, nullptr, nullptr, nullptr, nullptr};

// --- CUBIC: the window is a cubic function of the time since the last loss, W(t) = C (t - K)^3 + Wmax ---
constexpr u32 kBetaScale = 1024, kBeta = 717;  // multiplicative decrease 0.7
constexpr u64 kCubeScale = 41;                 // C = 0.4: bic_scale * 10 / 1024
constexpr u32 kHystartMinSamples = 8;
struct bictcp {
  u32 cnt, last_max_cwnd, last_cwnd, bic_origin_point, bic_K, delay_min, ack_cnt, tcp_cwnd;
  u64 last_time, epoch_start;
  u32 end_seq, curr_rtt;
  u64 round_start, last_ack;
  u8 sample_cnt, found;
};
static_assert(sizeof(bictcp) <= sizeof(inet_connection_sock::icsk_ca_priv));
bictcp* ca_of(sock* sk) { return reinterpret_cast<bictcp*>(inet_csk(sk)->icsk_ca_priv); }

u32 cubic_root(u64 a) {
  u64 low = 0, high = 1ul << 21;
  while (low < high) {
    const u64 middle = (low + high + 1) / 2;
    if (middle * middle * middle <= a)
      low = middle;
    else
      high = middle - 1;
  }
  return static_cast<u32>(low);
}

void bictcp_reset(bictcp* ca) { *ca = {}; }

void hystart_reset(sock* sk) {
  bictcp* ca = ca_of(sk);
  ca->round_start = ca->last_ack = tcp_sk(sk)->tcp_mstamp / 1000;
  ca->end_seq = tcp_sk(sk)->snd_nxt;
  ca->curr_rtt = ~0u;
  ca->sample_cnt = 0;
}

void cubictcp_init(sock* sk) {
  bictcp_reset(ca_of(sk));
  hystart_reset(sk);
}

void cubictcp_cwnd_event(sock* sk, TcpCaEvent event) {
  if (event != CA_EVENT_TX_START) return;
  // An idle time is not part of the epoch: the curve is shifted.
  bictcp* ca = ca_of(sk);
  const u64 now = ktime_get();
  const s64 delta = static_cast<s64>(now - tcp_sk(sk)->lsndtime);
  if (ca->epoch_start != 0 && delta > 0) ca->epoch_start = min(ca->epoch_start + static_cast<u64>(delta), now);
}

void bictcp_update(bictcp* ca, u32 cwnd, u32 acked) {
  const u64 now = ktime_get();
  ca->ack_cnt += acked;
  if (ca->last_cwnd == cwnd && now - ca->last_time <= kNsPerSec / 32) return;
  if (ca->epoch_start == 0 || now != ca->last_time) {
    ca->last_cwnd = cwnd;
    ca->last_time = now;
    if (ca->epoch_start == 0) {
      ca->epoch_start = now;
      ca->ack_cnt = acked;
      ca->tcp_cwnd = cwnd;
      if (ca->last_max_cwnd <= cwnd) {
        ca->bic_K = 0;
        ca->bic_origin_point = cwnd;
      } else {
        // K = cbrt((Wmax - cwnd) / C) in 1/1024 s
        ca->bic_K = cubic_root((1ul << 40) / kCubeScale * (ca->last_max_cwnd - cwnd));
        ca->bic_origin_point = ca->last_max_cwnd;
      }
    }
    const u64 t = ((now - ca->epoch_start + ca->delay_min * 1000ul) << 10) / kNsPerSec;
    const u64 offs = t < ca->bic_K ? ca->bic_K - t : t - ca->bic_K;
    const u64 bounded = min<u64>(offs, 1ul << 20);
    const u32 delta = static_cast<u32>(min<u64>((kCubeScale * bounded * bounded >> 20) * bounded >> 20, 0x7fffffff));
    const u32 target =
        t < ca->bic_K ? ca->bic_origin_point - min(delta, ca->bic_origin_point) : ca->bic_origin_point + delta;
    ca->cnt = target > cwnd ? cwnd / (target - cwnd) : 100 * cwnd;
    if (ca->last_max_cwnd == 0 && ca->cnt > 20) ca->cnt = 20;
  }
  // At least as fast as Reno would be. [RFC 9438, 4.3]
  constexpr u32 kFriendly = 8 * (kBetaScale + kBeta) / 3 / (kBetaScale - kBeta);
  const u32 delta = max((cwnd * kFriendly) >> 3, 1u);
  while (ca->ack_cnt > delta) {
    ca->ack_cnt -= delta;
    ++ca->tcp_cwnd;
  }
  if (ca->tcp_cwnd > cwnd) ca->cnt = min(ca->cnt, cwnd / (ca->tcp_cwnd - cwnd));
  ca->cnt = max(ca->cnt, 2u);
}

void cubictcp_cong_avoid(sock* sk, u32 ack, u32 acked) {
  tcp_sock* tp = tcp_sk(sk);
  bictcp* ca = ca_of(sk);
  if (tcp_in_slow_start(tp)) {
    if (after(ack, ca->end_seq)) hystart_reset(sk);
    acked = tcp_slow_start(tp, acked);
    if (acked == 0) return;
  }
  bictcp_update(ca, tp->snd_cwnd, acked);
  tcp_cong_avoid_ai(tp, ca->cnt, acked);
}

u32 cubictcp_recalc_ssthresh(sock* sk) {
  const tcp_sock* tp = tcp_sk(sk);
  bictcp* ca = ca_of(sk);
  ca->epoch_start = 0;
  // Fast convergence: leave room for others.
  ca->last_max_cwnd =
      tp->snd_cwnd < ca->last_max_cwnd ? tp->snd_cwnd * (kBetaScale + kBeta) / (2 * kBetaScale) : tp->snd_cwnd;
  return max(tp->snd_cwnd * kBeta / kBetaScale, 2u);
}

void cubictcp_state(sock* sk, u8 state) {
  if (state != TCP_CA_Loss) return;
  bictcp_reset(ca_of(sk));
  hystart_reset(sk);
}

// HyStart: the round trip grows, the pipe is full: end slow start before it overflows. [RFC 9406] tells of its kind
void hystart_update(sock* sk, u32 delay) {
  tcp_sock* tp = tcp_sk(sk);
  bictcp* ca = ca_of(sk);
  if (after(tp->snd_una, ca->end_seq)) hystart_reset(sk);
  ca->curr_rtt = min(ca->curr_rtt, delay);
  if (ca->sample_cnt < kHystartMinSamples) {
    ++ca->sample_cnt;
  } else {
    const u32 threshold = clamp(ca->delay_min >> 3, 4000u, 16000u);
    if (ca->curr_rtt > ca->delay_min + threshold) {
      ca->found = 1;
      tp->snd_ssthresh = tp->snd_cwnd;
    }
  }
}

void cubictcp_acked(sock* sk, const ack_sample* sample) {
  const tcp_sock* tp = tcp_sk(sk);
  bictcp* ca = ca_of(sk);
  if (sample->rtt_us < 0) return;
  if (ca->epoch_start != 0 && ktime_get() - ca->epoch_start < kNsPerSec) return;  // just after a loss
  const u32 delay = max(static_cast<u32>(sample->rtt_us), 1u);
  if (ca->delay_min == 0 || ca->delay_min > delay) ca->delay_min = delay;
  if (ca->found == 0 && tcp_in_slow_start(tp) && tp->snd_cwnd >= 16) hystart_update(sk, delay);
}

tcp_congestion_ops cubictcp{"cubic",       cubictcp_recalc_ssthresh, cubictcp_cong_avoid, tcp_reno_undo_cwnd,
                            cubictcp_init, cubictcp_state,           cubictcp_cwnd_event, cubictcp_acked,
                            nullptr};

}  // namespace

void tcp_cong_avoid_register() {
  tcp_register_congestion_control(&cubictcp);
  tcp_register_congestion_control(&tcp_reno);
  tcp_default_ca = &cubictcp;
}

}  // namespace xm::os
