// SPDX-License-Identifier: GPL-2.0-or-later
// The way out: dev_queue_xmit puts a packet into the qdisc of a transmit queue, or hands it straight to a device that
// has none. What the device cannot do (segmentation, checksums, scattered data, VLAN tags) is done before.
#include "kernel/init/printk.h"
#include "kernel/lib/result.h"
#include "kernel/net/netdevice.h"
#include "kernel/net/sched/sch_generic.h"

namespace xm::os {

void dev_queue_xmit_nit(sk_buff* skb, net_device* dev);

namespace {

constexpr u32 kRecursionLimit = 8;  // devices stacked on devices
constinit u32 xmit_recursion[kMaxCpus]{};

bool needs_segmenting(const sk_buff* skb, const net_device* dev) {
  if (!skb_is_gso(skb)) return false;
  const u16 type = skb_shinfo(skb)->gso_type;
  if (skb->ip_summed != CHECKSUM_PARTIAL || (dev->features & NETIF_F_HW_CSUM) == 0) return true;
  if ((type & SKB_GSO_TCPV4) != 0) return (dev->features & NETIF_F_TSO) == 0;
  if ((type & SKB_GSO_TCPV6) != 0) return (dev->features & NETIF_F_TSO6) == 0;
  return true;
}

bool insert_vlan_tag(sk_buff* skb) {
  if (skb_cow_head(skb, 4) != 0 || !pskb_may_pull(skb, kEthHlen)) return false;
  u8* data = skb_push(skb, 4);
  memmove(data, data + 4, 12);
  const u16 words[2] = {htons(ETH_P_8021Q), htons(skb->vlan_tci)};
  memcpy(data + 12, words, 4);
  skb_reset_mac_header(skb);
  skb->vlan_present = false;
  return true;
}

// Makes one packet fit for the device; false: dropped by the caller.
bool fit_to_device(sk_buff* skb, const net_device* dev) {
  const bool scattered =
      skb_shinfo(skb)->frag_list != nullptr || (skb_is_nonlinear(skb) && (dev->features & NETIF_F_SG) == 0);
  if (scattered && skb_linearize(skb) != 0) return false;
  if (skb->ip_summed == CHECKSUM_PARTIAL && (dev->features & NETIF_F_HW_CSUM) == 0) return skb_checksum_help(skb) == 0;
  return true;
}

netdev_queue* pick_tx(sk_buff* skb, net_device* dev) {
  const u32 n = dev->real_num_tx_queues;
  skb->queue_mapping = static_cast<u16>(n == 1 ? 0 : smp_processor_id() % n);
  return &dev->tx[skb->queue_mapping];
}

int drop(sk_buff* skb, net_device* dev, SkbDropReason why, int error) {
  netdev_count(dev->stats.tx_dropped);
  while (skb != nullptr) {
    sk_buff* next = skb->next;
    skb->next = nullptr;
    kfree_skb_reason(skb, why);
    skb = next;
  }
  return error;
}

int xmit_without_queue(sk_buff* skb, net_device* dev, netdev_queue* txq) {
  u32& depth = xmit_recursion[smp_processor_id()];
  if (!netif_running(dev)) return drop(skb, dev, SKB_DROP_DEV_READY, -ENETDOWN);
  if (depth >= kRecursionLimit) return drop(skb, dev, SKB_DROP_DEV_READY, -ENETDOWN);
  skb = validate_xmit_skb(skb, dev);
  if (skb == nullptr) return -ENOMEM;
  const bool lock = (dev->features & NETIF_F_LLTX) == 0;
  if (lock) spin_lock(txq->xmit_lock);
  ++depth;
  const bool busy = txq->stopped || dev_hard_start_xmit(&skb, dev, txq) == NETDEV_TX_BUSY;
  --depth;
  if (lock) spin_unlock(txq->xmit_lock);
  return busy ? drop(skb, dev, SKB_DROP_FULL_RING, -ENETDOWN) : NET_XMIT_SUCCESS;
}

}  // namespace

sk_buff* validate_xmit_skb(sk_buff* skb, net_device* dev) {
  if (skb->vlan_present && (dev->features & NETIF_F_VLAN_TX) == 0 && !insert_vlan_tag(skb)) {
    drop(skb, dev, SKB_DROP_NOMEM, 0);
    return nullptr;
  }
  if (!needs_segmenting(skb, dev)) {
    if (fit_to_device(skb, dev)) return skb;
    drop(skb, dev, SKB_DROP_SKB_CSUM, 0);
    return nullptr;
  }
  sk_buff* segments = skb_gso_segment(skb);
  if (segments == nullptr) {
    drop(skb, dev, SKB_DROP_SKB_GSO_SEG, 0);
    return nullptr;
  }
  // The sender's charge goes with the last segment.
  sk_buff* last = segments;
  while (last->next != nullptr) last = last->next;
  swap(last->sk, skb->sk);
  swap(last->destructor, skb->destructor);
  swap(last->truesize, skb->truesize);
  consume_skb(skb);
  return segments;
}

NetdevTx dev_hard_start_xmit(sk_buff** list, net_device* dev, netdev_queue* txq) {
  sk_buff* skb = *list;
  while (skb != nullptr) {
    sk_buff* next = skb->next;
    skb->next = nullptr;
    dev_queue_xmit_nit(skb, dev);
    txq->xmit_more = next != nullptr;
    if (dev->ops->ndo_start_xmit(skb, dev) == NETDEV_TX_BUSY) {
      skb->next = next;
      *list = skb;
      return NETDEV_TX_BUSY;
    }
    skb = next;
    if (skb != nullptr && txq->stopped) {
      *list = skb;
      return NETDEV_TX_BUSY;
    }
  }
  *list = nullptr;
  return NETDEV_TX_OK;
}

int dev_queue_xmit(sk_buff* skb) {
  net_device* dev = skb->dev;
  skb_reset_mac_header(skb);
  local_bh_disable();
  netdev_queue* txq = pick_tx(skb, dev);
  Qdisc* q = read_once(txq->qdisc);
  const int result = q != nullptr ? qdisc_xmit(skb, q, dev, txq) : xmit_without_queue(skb, dev, txq);
  local_bh_enable();
  return result;
}

void netif_stop_queue(net_device* dev, u32 queue) { write_once(dev->tx[queue].stopped, true); }

}  // namespace xm::os
