// SPDX-License-Identifier: GPL-2.0-or-later
// The way in: a driver's interrupt schedules its napi_struct, NET_RX_SOFTIRQ polls it (net_rx_action), and each packet
// goes through netif_receive_skb to taps, the device's rx_handler and the protocol. Packets that come from no ring
// (loopback, veth, tun) wait in this processor's backlog, which is polled the same way.
#include "kernel/init/printk.h"
#include "kernel/net/dst.h"
#include "kernel/net/netdevice.h"
#include "kernel/net/sched/sch_generic.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

constinit softnet_counters softnet_stats[kMaxCpus]{};
constinit vlan_receive_func vlan_do_receive = nullptr;

namespace {

constexpr u32 kNapiSched = 1, kNapiDisable = 2;
constexpr int kNetdevBudget = 300;  // net.core.netdev_budget
constexpr u64 kBudgetNs = 8000000;  // net.core.netdev_budget_usecs
constexpr u32 kMaxBacklog = 1000;   // net.core.netdev_max_backlog
constexpr u32 kPtypeBuckets = 16;

struct softnet_data {
  list_head poll_list;  // interrupts off
  sk_buff_head input_pkt_queue;
  sk_buff_head process_queue;  // only this processor's softirq
  napi_struct backlog;
};
softnet_data softnet[kMaxCpus];

list_head ptype_base[kPtypeBuckets];
constinit list_head ptype_all{};
constinit spinlock_t ptype_lock{LockRank::NetDevice};
constinit Atomic<u32> taps{0};
constinit Atomic<u32> stamps_wanted{0};

list_head* ptype_bucket(u16 type) { return type == ETH_P_ALL ? &ptype_all : &ptype_base[type % kPtypeBuckets]; }

void deliver(sk_buff* skb, packet_type* pt, net_device* orig) {
  skb->users.inc();
  pt->func(skb, skb->dev, pt, orig);
}

void vlan_untag(sk_buff* skb) {
  if (!pskb_may_pull(skb, 4) || skb_cow_head(skb, 0) != 0) return;
  u16 tci, protocol;
  memcpy(&tci, skb->data, 2);
  memcpy(&protocol, skb->data + 2, 2);
  u8* mac = skb_mac_header(skb);
  memmove(mac + 4, mac, 12);
  skb->mac_header += 4;
  skb_pull(skb, 4);
  if (skb->ip_summed == CHECKSUM_COMPLETE) skb->ip_summed = CHECKSUM_NONE;
  skb->vlan_tci = ntohs(tci);
  skb->vlan_present = true;
  skb->protocol = protocol;
  skb_reset_network_header(skb);
  skb_reset_transport_header(skb);
}

void process_skb(sk_buff* skb) {
  net_device* orig = skb->dev;
  skb_reset_network_header(skb);
  skb_reset_transport_header(skb);
  if (skb_mac_header_was_set(skb)) skb->mac_len = static_cast<u16>(skb->network_header - skb->mac_header);
  packet_type* previous = nullptr;
  for (;;) {
    skb->skb_iif = static_cast<u32>(skb->dev->ifindex);
    if (skb->protocol == htons(ETH_P_8021Q) && !skb->vlan_present) {
      skb = skb_share_check(skb, GFP_ATOMIC);
      if (skb == nullptr) return;
      vlan_untag(skb);
    }
    for (packet_type* pt : entries<&packet_type::list>(ptype_all)) {
      if (pt->dev != nullptr && pt->dev != skb->dev) continue;
      if (previous != nullptr) deliver(skb, previous, orig);
      previous = pt;
    }
    if (!skb->vlan_present) break;
    if (previous != nullptr) deliver(skb, previous, orig);
    previous = nullptr;
    if (vlan_do_receive == nullptr || !vlan_do_receive(&skb)) {
      // Nobody's VLAN. Priority tags (VID 0) are for the device itself.
      if (skb != nullptr && (skb->vlan_tci & 0xfff) != 0) skb->pkt_type = PACKET_OTHERHOST;
      break;
    }
    if (skb == nullptr) return;
  }
  if (const rx_handler_func handler = read_once(skb->dev->rx_handler); handler != nullptr) {
    if (previous != nullptr) deliver(skb, previous, orig);
    previous = nullptr;
    if (handler(&skb)) return;
  }
  const u16 type = ntohs(skb->protocol);
  for (packet_type* pt : entries<&packet_type::list>(ptype_base[type % kPtypeBuckets])) {
    if (pt->type != type || (pt->dev != nullptr && pt->dev != skb->dev)) continue;
    if (previous != nullptr) deliver(skb, previous, orig);
    previous = pt;
  }
  if (previous != nullptr) {
    previous->func(skb, skb->dev, previous, orig);
    return;
  }
  netdev_count(skb->dev->stats.rx_nohandler);
  kfree_skb_reason(skb, SKB_DROP_UNHANDLED_PROTO);
}

int process_backlog(napi_struct* n, int quota) {
  softnet_data& sd = softnet[smp_processor_id()];
  int work = 0;
  for (;;) {
    while (sk_buff* skb = __skb_dequeue(&sd.process_queue)) {
      ++softnet_stats[smp_processor_id()].processed;
      process_skb(skb);
      if (++work >= quota) return work;
    }
    const u64 flags = spin_lock_irqsave(sd.input_pkt_queue.lock);
    sk_buff_head& in = sd.input_pkt_queue;
    const bool empty = in.first == nullptr;
    if (empty) {
      n->state.fetch_and(~kNapiSched);
    } else {
      sd.process_queue.first = in.first;
      sd.process_queue.last = in.last;
      sd.process_queue.qlen = in.qlen;
      in.first = in.last = nullptr;
      in.qlen = 0;
    }
    spin_unlock_irqrestore(sd.input_pkt_queue.lock, flags);
    if (empty) return work;
  }
}

void net_rx_action() {
  softnet_data& sd = softnet[smp_processor_id()];
  const u64 deadline = ktime_get() + kBudgetNs;
  int budget = kNetdevBudget;
  list_head list;
  u64 flags = local_irq_save();
  list_splice_tail(&sd.poll_list, &list);
  local_irq_restore(flags);
  while (!list.empty()) {
    napi_struct* n = list_first<&napi_struct::poll_list>(&list);
    list_del(&n->poll_list);
    const int work = n->poll(n, n->weight);
    if (work >= n->weight) {  // it has more and is still ours
      if ((n->state.load() & kNapiDisable) != 0) {
        napi_complete_done(n, work);
      } else {
        napi_gro_flush(n);
        list_add_tail(&n->poll_list, &list);
      }
    }
    budget -= max(work, 1);
    if (budget <= 0 || ktime_get() >= deadline) {
      ++softnet_stats[smp_processor_id()].time_squeeze;
      break;
    }
  }
  flags = local_irq_save();
  list_splice_tail(&list, &sd.poll_list);
  const bool more = !sd.poll_list.empty();
  local_irq_restore(flags);
  if (more) raise_softirq(NET_RX_SOFTIRQ);
}

void flush_queue(sk_buff_head* q, const net_device* dev) {
  for (sk_buff* skb = q->first; skb != nullptr;) {
    sk_buff* next = skb->next;
    if (skb->dev == dev) {
      __skb_unlink(skb, q);
      kfree_skb_reason(skb, SKB_DROP_DEV_READY);
    }
    skb = next;
  }
}

}  // namespace

// --- NAPI ---
void netif_napi_add(net_device* dev, napi_struct* n, int (*poll)(napi_struct*, int)) {
  n->dev = dev;
  n->poll = poll;
  n->state.store(kNapiSched | kNapiDisable);
}
void napi_enable(napi_struct* n) { n->state.store(0); }

void napi_disable(napi_struct* n) {
  n->state.fetch_or(kNapiDisable);
  while ((n->state.fetch_or(kNapiSched) & kNapiSched) != 0) {
    set_current_state(TASK_UNINTERRUPTIBLE);
    schedule_hrtimeout(ktime_get() + 1000000);
  }
}

bool napi_schedule(napi_struct* n) {
  if ((n->state.load() & kNapiDisable) != 0 || (n->state.fetch_or(kNapiSched) & kNapiSched) != 0) return false;
  const u64 flags = local_irq_save();
  list_add_tail(&n->poll_list, &softnet[smp_processor_id()].poll_list);
  raise_softirq(NET_RX_SOFTIRQ);
  local_irq_restore(flags);
  return true;
}

bool napi_complete_done(napi_struct* n, int) {
  napi_gro_flush(n);
  n->state.fetch_and(~kNapiSched);
  return true;
}

// --- backlog ---
int netif_rx(sk_buff* skb) {
  if (stamps_wanted.load() != 0 && skb->tstamp == 0) skb->tstamp = ktime_get_real();
  local_bh_disable();
  const u32 cpu = smp_processor_id();
  softnet_data& sd = softnet[cpu];
  bool room;
  {
    IrqGuard guard(sd.input_pkt_queue.lock);
    room = sd.input_pkt_queue.qlen < kMaxBacklog && netif_running(skb->dev);
    if (room) {
      __skb_queue_tail(&sd.input_pkt_queue, skb);
      napi_schedule(&sd.backlog);
    } else {
      ++softnet_stats[cpu].dropped;
    }
  }
  if (!room) {
    netdev_count(skb->dev->stats.rx_dropped);
    kfree_skb_reason(skb, SKB_DROP_CPU_BACKLOG);
  }
  local_bh_enable();
  return room ? 0 : 1;
}

int netif_receive_skb(sk_buff* skb) {
  if (stamps_wanted.load() != 0 && skb->tstamp == 0) skb->tstamp = ktime_get_real();
  ++softnet_stats[smp_processor_id()].processed;
  process_skb(skb);
  return 0;
}

void skb_scrub_packet(sk_buff* skb) {
  skb_orphan(skb);
  skb->tstamp = 0;
  skb->pkt_type = PACKET_HOST;
  skb->skb_iif = 0;
  skb_dst_drop(skb);
  if (skb->nfct != nullptr) nf_conntrack_put(skb->nfct);
  skb->nfct = nullptr;
  skb->nfctinfo = 0;
}

void net_enable_timestamp() { stamps_wanted.inc(); }
void net_disable_timestamp() { stamps_wanted.sub(1); }

// After unregistering: no packet of the device may stay behind. Runs on each processor in turn, because the queue that
// its softirq works on is private.
void dev_flush_backlogs(net_device* dev) {
  for_each_cpu_in_turn(
      [](void* d) {
        local_bh_disable();
        softnet_data& sd = softnet[smp_processor_id()];
        {
          IrqGuard guard(sd.input_pkt_queue.lock);
          flush_queue(&sd.input_pkt_queue, static_cast<net_device*>(d));
        }
        flush_queue(&sd.process_queue, static_cast<net_device*>(d));
        local_bh_enable();
      },
      dev);
}

// --- packet types ---
void dev_add_pack(packet_type* pt) {
  BhGuard guard(ptype_lock);
  list_add_tail_rcu(&pt->list, ptype_bucket(pt->type));
  if (pt->type == ETH_P_ALL) taps.inc();
}

void dev_remove_pack(packet_type* pt) {
  {
    BhGuard guard(ptype_lock);
    list_del_rcu(&pt->list);
    if (pt->type == ETH_P_ALL) taps.sub(1);
  }
  synchronize_net();
}

// Taps see what is sent, except what their own socket sends.
void dev_queue_xmit_nit(sk_buff* skb, net_device* dev) {
  if (taps.load() == 0) return;
  for (packet_type* pt : entries<&packet_type::list>(ptype_all)) {
    if (pt->dev != nullptr && pt->dev != dev) continue;
    if (skb->sk != nullptr && pt->af_packet_priv == skb->sk) continue;
    sk_buff* copy = skb_clone(skb, GFP_ATOMIC);
    if (copy == nullptr) return;
    if (copy->tstamp == 0) copy->tstamp = ktime_get_real();
    copy->pkt_type = PACKET_OUTGOING;
    if (copy->network_header < skb_headroom(copy) || copy->network_header > copy->tail) skb_reset_network_header(copy);
    copy->transport_header = copy->network_header;
    pt->func(copy, dev, pt, dev);
  }
}

int netdev_rx_handler_register(net_device* dev, rx_handler_func handler, void* data) {
  if (dev->rx_handler != nullptr) return -EBUSY;
  dev->rx_handler_data = data;
  full_barrier();
  write_once(dev->rx_handler, handler);
  return 0;
}
void netdev_rx_handler_unregister(net_device* dev) {
  write_once(dev->rx_handler, static_cast<rx_handler_func>(nullptr));
  synchronize_net();
  dev->rx_handler_data = nullptr;
}

void dev_queues_init() {
  for (softnet_data& sd : softnet) {
    netif_napi_add(nullptr, &sd.backlog, process_backlog);
    napi_enable(&sd.backlog);
  }
  open_softirq(NET_RX_SOFTIRQ, net_rx_action);
  sched_queues_init();
}

}  // namespace xm::os
