// SPDX-License-Identifier: GPL-2.0-or-later
// How a qdisc is run: one processor at a time takes packets out and gives them to the driver, for at most a quota;
// then, or when the driver is full, NET_TX_SOFTIRQ goes on. Also the default qdiscs of devices.
#include "kernel/net/sched/sch_generic.h"

#include "kernel/init/printk.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

constexpr int kQuota = 64;  // net.core.dev_weight
constinit Qdisc* output_queue[kMaxCpus]{};
constinit sk_buff* completion_queue[kMaxCpus]{};  // packets to be ended, by `next`

void free_list(sk_buff* list) {
  while (list != nullptr) {
    sk_buff* next = list->next;
    list->next = nullptr;
    kfree_skb_reason(list, SKB_DROP_QDISC_DROP);
    list = next;
  }
}

// Gives a packet (or the segments it was cut into) to the device. The lock is held on entry and return, not between.
// False: stop for now.
bool direct_xmit(sk_buff* skb, Qdisc* q, net_device* dev, netdev_queue* txq, bool validate) {
  raw_spin_unlock(q->lock);
  if (validate) skb = validate_xmit_skb(skb, dev);
  if (skb != nullptr && !netif_running(dev)) {
    free_list(skb);
    skb = nullptr;
  }
  if (skb != nullptr) {
    raw_spin_lock(txq->xmit_lock);
    if (!txq->stopped) dev_hard_start_xmit(&skb, dev, txq);
    raw_spin_unlock(txq->xmit_lock);
  }
  raw_spin_lock(q->lock);
  if (skb == nullptr) return q->qlen > 0;
  q->requeued = skb;
  ++q->requeues;
  // The queue may have been woken between the driver's refusal and now.
  if (!txq->stopped) netif_schedule(q);
  return false;
}

netdev_queue* queue_of(Qdisc* q, const sk_buff* skb) {
  return q->txq != nullptr ? q->txq : &q->dev->tx[skb->queue_mapping];
}

bool restart(Qdisc* q) {
  if (sk_buff* again = q->requeued; again != nullptr) {
    netdev_queue* txq = queue_of(q, again);
    if (txq->stopped) return false;
    q->requeued = nullptr;
    return direct_xmit(again, q, q->dev, txq, false);
  }
  sk_buff* skb = q->ops->dequeue(q);
  return skb != nullptr && direct_xmit(skb, q, q->dev, queue_of(q, skb), true);
}

void run(Qdisc* q) {  // with the lock, `running` is ours
  for (int quota = kQuota; restart(q);) {
    if (--quota > 0) continue;
    netif_schedule(q);
    break;
  }
  q->running = false;
}

void net_tx_action() {
  const u64 flags = local_irq_save();
  Qdisc* list = output_queue[smp_processor_id()];
  output_queue[smp_processor_id()] = nullptr;
  sk_buff* done = completion_queue[smp_processor_id()];
  completion_queue[smp_processor_id()] = nullptr;
  local_irq_restore(flags);
  while (done != nullptr) {
    sk_buff* next = done->next;
    done->next = nullptr;
    consume_skb(done);
    done = next;
  }
  while (list != nullptr) {
    Qdisc* q = list;
    list = q->next_scheduled;
    q->scheduled.store(0);
    raw_spin_lock(q->lock);
    if (!q->running) {
      q->running = true;
      run(q);
    }
    raw_spin_unlock(q->lock);
    qdisc_put(q);
  }
}

void reset(Qdisc* q) {
  sk_buff* list;
  {
    BhGuard guard(q->lock);
    q->ops->reset(q);
    list = q->requeued;
    q->requeued = nullptr;
    q->qlen = q->backlog = 0;
  }
  free_list(list);
}

void attach(net_device* dev, u32 i, Qdisc* q) {
  Qdisc* old = dev->tx[i].qdisc;
  if (q != nullptr) q->refcnt.inc();
  write_once(dev->tx[i].qdisc, q);
  if (old == nullptr) return;
  synchronize_net();
  if (old->refcnt.load() == 1) reset(old);
  qdisc_put(old);
}

}  // namespace

void dev_consume_skb_any(sk_buff* skb) {
  if (skb->destructor == nullptr) {
    consume_skb(skb);
    return;
  }
  const u64 flags = local_irq_save();
  sk_buff*& head = completion_queue[smp_processor_id()];
  skb->next = head;
  head = skb;
  raise_softirq(NET_TX_SOFTIRQ);
  local_irq_restore(flags);
}

void dev_kfree_skb_any(sk_buff* skb, SkbDropReason why) {
  netdev_count(skb_drop_counts[why]);
  dev_consume_skb_any(skb);
}

void netif_schedule(Qdisc* q) {
  if (q == nullptr || q->scheduled.exchange(1) != 0) return;
  q->refcnt.inc();
  const u64 flags = local_irq_save();
  Qdisc*& head = output_queue[smp_processor_id()];
  q->next_scheduled = head;
  head = q;
  raise_softirq(NET_TX_SOFTIRQ);
  local_irq_restore(flags);
}

int qdisc_xmit(sk_buff* skb, Qdisc* q, net_device* dev, netdev_queue* txq) {
  sk_buff* to_free = nullptr;
  int result = NET_XMIT_SUCCESS;
  raw_spin_lock(q->lock);
  if (!netif_running(dev)) {
    qdisc_drop(q, skb, &to_free);
    result = NET_XMIT_DROP;
  } else if (q->ops->can_bypass && q->qlen == 0 && !q->running && q->requeued == nullptr) {
    q->running = true;
    q->bytes += skb->len;
    ++q->packets;
    if (direct_xmit(skb, q, dev, txq, true)) {
      run(q);
    } else {
      q->running = false;
    }
  } else {
    result = q->ops->enqueue(skb, q, &to_free);
    if (!q->running) {
      q->running = true;
      run(q);
    }
  }
  raw_spin_unlock(q->lock);
  if (to_free != nullptr) netdev_count(dev->stats.tx_dropped);
  free_list(to_free);
  return result;
}

void netif_wake_queue(net_device* dev, u32 queue) {
  netdev_queue& txq = dev->tx[queue];
  if (!read_once(txq.stopped)) return;
  write_once(txq.stopped, false);
  full_barrier();
  netif_schedule(read_once(txq.qdisc));
}

Qdisc* qdisc_create(const Qdisc_ops* ops, net_device* dev, netdev_queue* txq, const nlattr* options,
                    netlink_ext_ack* ack, int* error) {
  Qdisc* q = knew<Qdisc>();
  *error = -ENOBUFS;
  if (q == nullptr) return nullptr;
  q->ops = ops;
  q->dev = dev;
  q->txq = txq;
  q->priv = kzalloc(ops->priv_size);
  if (q->priv != nullptr) *error = ops->init(q, options, ack);
  if (*error == 0) return q;
  kfree(q->priv);
  kdelete(q);
  return nullptr;
}

void qdisc_put(Qdisc* q) {
  if (q == nullptr || !q->refcnt.dec_and_test()) return;
  if (q->scheduled.exchange(1) != 0) return;  // its timer was faster: the softirq that comes has a reference
  reset(q);
  if (q->ops->destroy != nullptr) q->ops->destroy(q);
  kfree(q->priv);
  kdelete(q);
}

void dev_graft_qdisc(net_device* dev, Qdisc* q) {
  const bool none = (dev->features & NETIF_F_LLTX) != 0 || dev->tx_queue_len == 0;
  for (u32 i = 0; i < dev->real_num_tx_queues; ++i) {
    if (q != nullptr || none) {
      attach(dev, i, q);
      continue;
    }
    int error;
    Qdisc* own = qdisc_create(&pfifo_fast_ops, dev, &dev->tx[i], nullptr, nullptr, &error);
    attach(dev, i, own);
    qdisc_put(own);
  }
  dev->qdisc = q;
  const char* name = q != nullptr ? q->ops->id : none ? "noqueue" : dev->real_num_tx_queues > 1 ? "mq" : "pfifo_fast";
  copy_string(dev->qdisc_name, name, sizeof dev->qdisc_name);
}

void dev_activate(net_device* dev) {
  if (dev->tx[0].qdisc == nullptr) dev_graft_qdisc(dev, nullptr);
}

void dev_deactivate(net_device* dev) {
  synchronize_net();
  for (u32 i = 0; i < dev->real_num_tx_queues; ++i) {
    if (dev->tx[i].qdisc != nullptr) reset(dev->tx[i].qdisc);
  }
}

void dev_release_qdiscs(net_device* dev) {
  for (u32 i = 0; i < dev->real_num_tx_queues; ++i) attach(dev, i, nullptr);
  qdisc_put(dev->qdisc);
  dev->qdisc = nullptr;
}

void sched_queues_init() { open_softirq(NET_TX_SOFTIRQ, net_tx_action); }

}  // namespace xm::os
