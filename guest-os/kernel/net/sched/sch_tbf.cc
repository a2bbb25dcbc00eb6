// SPDX-License-Identifier: GPL-2.0-or-later
// Token bucket filter: packets leave at a rate, with bursts as large as the bucket; a second, small bucket may bound
// the peak rate. Tokens are counted in nanoseconds of sending time. [man 8 tc-tbf]
#include "abi/rtnetlink.h"
#include "kernel/net/sched/sch_generic.h"
#include "kernel/net/timer.h"
#include "kernel/sched/clock.h"

namespace xm::os {
namespace {

enum TbfAttribute : u16 { kParms = 1, kRtab, kPtab, kRate64, kPrate64, kBurst, kPburst, kTbfMax = 8 };
struct tc_ratespec {
  u8 cell_log, linklayer;
  u16 overhead;
  s16 cell_align;
  u16 mpu;
  u32 rate;  // bytes a second
};
struct tc_tbf_qopt {
  tc_ratespec rate, peakrate;
  u32 limit, buffer, mtu;  // bytes; ticks of 64 ns
};
constexpr u32 kTickShift = 6;

struct Tbf {
  Qdisc* q = nullptr;
  sk_buff_head queue;
  u64 rate = 0, peak = 0;  // bytes a second
  u32 overhead = 0, mpu = 0;
  s64 buffer = 0, mtu = 0;  // sizes of the buckets, ns
  s64 tokens = 0, peak_tokens = 0;
  u32 limit = 0, max_size = 0;
  u64 checkpoint = 0;
  timer_list watchdog;
};
Tbf* tbf(Qdisc* q) { return static_cast<Tbf*>(q->priv); }

s64 time_of(const Tbf* t, u32 length, u64 rate) {
  const u64 bytes = max(length + t->overhead, t->mpu);
  return static_cast<s64>(bytes * kNsPerSec / rate);
}
u32 size_in(s64 ns, u64 rate) {
  const u64 bytes = static_cast<u64>(ns) / 1000 * rate / 1000000;
  return static_cast<u32>(min<u64>(bytes, 0xffffffff));
}

int tbf_append(sk_buff* skb, Qdisc* q, sk_buff** to_free) {
  Tbf* t = tbf(q);
  if (q->backlog + skb->len > t->limit) return qdisc_drop(q, skb, to_free);
  __skb_queue_tail(&t->queue, skb);
  qdisc_added(q, skb);
  return NET_XMIT_SUCCESS;
}

// A packet larger than the bucket would never leave: one that can be cut is cut.
int tbf_enqueue(sk_buff* skb, Qdisc* q, sk_buff** to_free) {
  if (skb->len <= tbf(q)->max_size) return tbf_append(skb, q, to_free);
  sk_buff* segments = skb_is_gso(skb) ? skb_gso_segment(skb) : nullptr;
  if (segments == nullptr) return qdisc_drop(q, skb, to_free);
  while (segments != nullptr) {
    sk_buff* next = segments->next;
    segments->next = nullptr;
    segments->len <= tbf(q)->max_size ? tbf_append(segments, q, to_free) : qdisc_drop(q, segments, to_free);
    segments = next;
  }
  dev_consume_skb_any(skb);
  return NET_XMIT_SUCCESS;
}

sk_buff* tbf_dequeue(Qdisc* q) {
  Tbf* t = tbf(q);
  sk_buff* skb = skb_peek(&t->queue);
  if (skb == nullptr) return nullptr;
  const u64 now = ktime_get();
  s64 tokens = min(static_cast<s64>(now - t->checkpoint), t->buffer), peak_tokens = 0;
  if (t->peak != 0) peak_tokens = min(tokens + t->peak_tokens, t->mtu) - time_of(t, skb->len, t->peak);
  tokens = min(tokens + t->tokens, t->buffer) - time_of(t, skb->len, t->rate);
  if ((tokens | peak_tokens) >= 0) {
    __skb_unlink(skb, &t->queue);
    t->checkpoint = now;
    t->tokens = tokens;
    t->peak_tokens = peak_tokens;
    qdisc_taken(q, skb);
    return skb;
  }
  mod_timer(&t->watchdog, now + static_cast<u64>(max(-tokens, -peak_tokens)));
  ++q->overlimits;
  return nullptr;
}

void watchdog(timer_list* timer) { netif_schedule(container_of(timer, Tbf, watchdog)->q); }

int tbf_change(Qdisc* q, const nlattr* options, netlink_ext_ack* ack) {
  if (options == nullptr) return nl_error(ack, -EINVAL, "tbf needs a rate");
  static constexpr nla_policy policy[kTbfMax + 1] = {
      {}, {NLA_EXACT, sizeof(tc_tbf_qopt)}, {}, {}, {NLA_U64}, {NLA_U64}, {NLA_U32}, {NLA_U32}, {}};
  const nlattr* tb[kTbfMax + 1];
  TRY_INT(nla_parse_nested(tb, kTbfMax, options, policy, ack));
  if (tb[kParms] == nullptr) return -EINVAL;
  tc_tbf_qopt p;
  memcpy(&p, nla_data(tb[kParms]), sizeof p);
  const u64 rate = tb[kRate64] != nullptr ? nla_get_u64(tb[kRate64]) : p.rate.rate;
  const u64 peak = tb[kPrate64] != nullptr ? nla_get_u64(tb[kPrate64]) : p.peakrate.rate;
  if (rate == 0 || (peak != 0 && peak <= rate)) return nl_error(ack, -EINVAL, "Invalid rate");
  Tbf* t = tbf(q);
  const s64 buffer = tb[kBurst] != nullptr ? static_cast<s64>(nla_get_u32(tb[kBurst]) * kNsPerSec / rate)
                                           : static_cast<s64>(p.buffer) << kTickShift;
  s64 mtu = static_cast<s64>(p.mtu) << kTickShift;
  if (tb[kPburst] != nullptr && peak != 0) mtu = static_cast<s64>(nla_get_u32(tb[kPburst]) * kNsPerSec / peak);
  u32 largest = size_in(buffer, rate);
  if (peak != 0) largest = min(largest, size_in(mtu, peak));
  if (largest == 0) return nl_error(ack, -EINVAL, "Burst too small");
  BhGuard guard(q->lock);
  t->rate = rate;
  t->peak = peak;
  t->overhead = p.rate.overhead;
  t->mpu = p.rate.mpu;
  t->limit = p.limit;
  t->buffer = t->tokens = buffer;
  t->mtu = t->peak_tokens = mtu;
  t->max_size = largest;
  return 0;
}

int tbf_init(Qdisc* q, const nlattr* options, netlink_ext_ack* ack) {
  Tbf* t = new (q->priv) Tbf{};
  t->q = q;
  t->checkpoint = ktime_get();
  timer_setup(&t->watchdog, watchdog);
  return tbf_change(q, options, ack);
}

void tbf_reset(Qdisc* q) {
  Tbf* t = tbf(q);
  while (sk_buff* skb = __skb_dequeue(&t->queue)) dev_kfree_skb_any(skb, SKB_DROP_QDISC_DROP);
  t->checkpoint = ktime_get();
  t->tokens = t->buffer;
  t->peak_tokens = t->mtu;
  del_timer(&t->watchdog);
}
void tbf_destroy(Qdisc* q) { del_timer_sync(&tbf(q)->watchdog); }

bool tbf_dump(Qdisc* q, sk_buff* skb) {
  const Tbf* t = tbf(q);
  nlattr* nest = nla_nest_start(skb, TCA_OPTIONS);
  if (nest == nullptr) return false;
  tc_tbf_qopt p{};
  p.limit = t->limit;
  p.rate.rate = static_cast<u32>(min<u64>(t->rate, 0xffffffff));
  p.rate.overhead = static_cast<u16>(t->overhead);
  p.rate.mpu = static_cast<u16>(t->mpu);
  p.rate.linklayer = 1;
  p.peakrate.rate = static_cast<u32>(min<u64>(t->peak, 0xffffffff));
  p.buffer = static_cast<u32>(t->buffer >> kTickShift);
  p.mtu = static_cast<u32>(t->mtu >> kTickShift);
  if (!nla_put(skb, kParms, &p, sizeof p)) return false;
  if (t->rate > 0xffffffff && !nla_put_u64(skb, kRate64, t->rate)) return false;
  nla_nest_end(skb, nest);
  return true;
}

}  // namespace

constinit const Qdisc_ops tbf_ops{"tbf",      sizeof(Tbf), tbf_enqueue, tbf_dequeue, tbf_init,
                                  tbf_change, tbf_reset,   tbf_destroy, tbf_dump,    false};

}  // namespace xm::os
