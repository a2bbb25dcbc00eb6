// SPDX-License-Identifier: GPL-2.0-or-later
// Queueing disciplines: the order and pace in which packets leave a device.
#pragma once

#include "kernel/net/netdevice.h"
#include "kernel/net/netlink/netlink.h"

namespace xm::os {

struct Qdisc_ops {
  const char* id;
  u32 priv_size;
  // Takes the packet or puts it on *to_free. NET_XMIT_*. With the qdisc's lock.
  int (*enqueue)(sk_buff* skb, Qdisc* q, sk_buff** to_free);
  sk_buff* (*dequeue)(Qdisc* q);
  int (*init)(Qdisc* q, const nlattr* options, netlink_ext_ack* ack);
  int (*change)(Qdisc* q, const nlattr* options, netlink_ext_ack* ack);
  void (*reset)(Qdisc* q);  // drops what is queued
  void (*destroy)(Qdisc* q);
  bool (*dump)(Qdisc* q, sk_buff* skb);  // puts TCA_OPTIONS
  bool can_bypass;                       // an empty queue may be passed by
};

struct Qdisc {
  const Qdisc_ops* ops = nullptr;
  net_device* dev = nullptr;
  netdev_queue* txq = nullptr;  // for those that are made for one queue
  u32 handle = 0, parent = 0;
  spinlock_t lock{LockRank::Qdisc};
  bool running = false;         // one processor transmits for it, without the lock
  sk_buff* requeued = nullptr;  // what the device did not take
  Atomic<u32> scheduled{0};
  Qdisc* next_scheduled = nullptr;
  Atomic<s32> refcnt{1};
  u64 bytes = 0;
  u32 packets = 0, qlen = 0, backlog = 0, drops = 0, requeues = 0, overlimits = 0;
  void* priv = nullptr;
};

inline void qdisc_added(Qdisc* q, const sk_buff* skb) {
  ++q->qlen;
  q->backlog += skb->len;
}
inline void qdisc_taken(Qdisc* q, const sk_buff* skb) {
  --q->qlen;
  q->backlog -= skb->len;
  q->bytes += skb->len;
  q->packets += skb_is_gso(skb) ? max<u32>(skb_shinfo(skb)->gso_segs, 1) : 1;
}
inline int qdisc_drop(Qdisc* q, sk_buff* skb, sk_buff** to_free) {
  ++q->drops;
  skb->next = *to_free;
  *to_free = skb;
  return NET_XMIT_DROP;
}

extern const Qdisc_ops pfifo_fast_ops, pfifo_ops, bfifo_ops, tbf_ops;
const Qdisc_ops* qdisc_find_ops(const char* kind);
Qdisc* qdisc_create(const Qdisc_ops* ops, net_device* dev, netdev_queue* txq, const nlattr* options,
                    netlink_ext_ack* ack, int* error);
void qdisc_put(Qdisc* q);
// Makes q the root of the device (null: the default for the device); the old ones end. With rtnl.
void dev_graft_qdisc(net_device* dev, Qdisc* q);
void netif_schedule(Qdisc* q);
// dev_queue_xmit's part with a queue: bottom halves are off. Consumes.
int qdisc_xmit(sk_buff* skb, Qdisc* q, net_device* dev, netdev_queue* txq);
void sched_queues_init();

}  // namespace xm::os
