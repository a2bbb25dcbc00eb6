// SPDX-License-Identifier: GPL-2.0-or-later
// First in, first out: pfifo and bfifo with a limit of packets or bytes, and pfifo_fast with three bands. A packet's
// priority, which comes from its TOS, chooses the band; a band is served only while those before it are empty.
#include "abi/rtnetlink.h"
#include "kernel/net/sched/sch_generic.h"

namespace xm::os {
namespace {

constexpr u32 kBands = 3;
constexpr u8 kPrioToBand[16] = {1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};

struct PfifoFast {
  sk_buff_head band[kBands];
};
PfifoFast* fast(Qdisc* q) { return static_cast<PfifoFast*>(q->priv); }

void drop_all(sk_buff_head* q) {
  while (sk_buff* skb = __skb_dequeue(q)) dev_kfree_skb_any(skb, SKB_DROP_QDISC_DROP);
}

int fast_enqueue(sk_buff* skb, Qdisc* q, sk_buff** to_free) {
  sk_buff_head* band = &fast(q)->band[kPrioToBand[skb->priority & 15]];
  if (band->qlen >= q->dev->tx_queue_len) return qdisc_drop(q, skb, to_free);
  __skb_queue_tail(band, skb);
  qdisc_added(q, skb);
  return NET_XMIT_SUCCESS;
}
sk_buff* fast_dequeue(Qdisc* q) {
  for (sk_buff_head& band : fast(q)->band) {
    if (sk_buff* skb = __skb_dequeue(&band)) {
      qdisc_taken(q, skb);
      return skb;
    }
  }
  return nullptr;
}
int fast_init(Qdisc* q, const nlattr*, netlink_ext_ack*) {
  new (q->priv) PfifoFast{};
  return 0;
}
void fast_reset(Qdisc* q) {
  for (sk_buff_head& band : fast(q)->band) drop_all(&band);
}
bool fast_dump(Qdisc*, sk_buff* skb) {
  struct {
    int bands;
    u8 priomap[16];
  } options;
  options.bands = kBands;
  memcpy(options.priomap, kPrioToBand, sizeof kPrioToBand);
  return nla_put(skb, TCA_OPTIONS, &options, sizeof options);
}

struct Fifo {
  sk_buff_head queue;
  u32 limit = 0;
};
Fifo* fifo(Qdisc* q) { return static_cast<Fifo*>(q->priv); }

int fifo_append(sk_buff* skb, Qdisc* q) {
  __skb_queue_tail(&fifo(q)->queue, skb);
  qdisc_added(q, skb);
  return NET_XMIT_SUCCESS;
}
int pfifo_enqueue(sk_buff* skb, Qdisc* q, sk_buff** to_free) {
  return q->qlen < fifo(q)->limit ? fifo_append(skb, q) : qdisc_drop(q, skb, to_free);
}
int bfifo_enqueue(sk_buff* skb, Qdisc* q, sk_buff** to_free) {
  return q->backlog + skb->len <= fifo(q)->limit ? fifo_append(skb, q) : qdisc_drop(q, skb, to_free);
}
sk_buff* fifo_dequeue(Qdisc* q) {
  sk_buff* skb = __skb_dequeue(&fifo(q)->queue);
  if (skb != nullptr) qdisc_taken(q, skb);
  return skb;
}
int fifo_change(Qdisc* q, const nlattr* options, netlink_ext_ack* ack) {
  if (options == nullptr) return 0;
  if (nla_len(options) < sizeof(u32)) return nl_error(ack, -EINVAL, "Invalid queue limit", options);
  fifo(q)->limit = nla_get_u32(options);
  return 0;
}
int fifo_init(Qdisc* q, const nlattr* options, netlink_ext_ack* ack) {
  Fifo* f = new (q->priv) Fifo{};
  f->limit = max(q->dev->tx_queue_len, 1u) * (q->ops == &bfifo_ops ? q->dev->mtu : 1);
  return fifo_change(q, options, ack);
}
void fifo_reset(Qdisc* q) { drop_all(&fifo(q)->queue); }
bool fifo_dump(Qdisc* q, sk_buff* skb) { return nla_put_u32(skb, TCA_OPTIONS, fifo(q)->limit); }

}  // namespace

constinit const Qdisc_ops pfifo_fast_ops{"pfifo_fast", sizeof(PfifoFast), fast_enqueue, fast_dequeue, fast_init,
                                         nullptr,      fast_reset,        nullptr,      fast_dump,    true};
constinit const Qdisc_ops pfifo_ops{"pfifo",     sizeof(Fifo), pfifo_enqueue, fifo_dequeue, fifo_init,
                                    fifo_change, fifo_reset,   nullptr,       fifo_dump,    false};
constinit const Qdisc_ops bfifo_ops{"bfifo",     sizeof(Fifo), bfifo_enqueue, fifo_dequeue, fifo_init,
                                    fifo_change, fifo_reset,   nullptr,       fifo_dump,    false};

const Qdisc_ops* qdisc_find_ops(const char* kind) {
  static const Qdisc_ops* const known[] = {&pfifo_fast_ops, &pfifo_ops, &bfifo_ops, &tbf_ops};
  for (const Qdisc_ops* ops : known) {
    if (strcmp(ops->id, kind) == 0) return ops;
  }
  return nullptr;
}

}  // namespace xm::os
