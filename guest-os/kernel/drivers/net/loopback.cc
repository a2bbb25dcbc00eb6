// SPDX-License-Identifier: GPL-2.0-or-later
// lo: what is sent comes back through the backlog of the same processor, unsegmented and unsummed.
#include "kernel/init/printk.h"
#include "kernel/net/netdevice.h"

namespace xm::os {
namespace {

struct LoopbackOps final : net_device_ops {
  NetdevTx ndo_start_xmit(sk_buff* skb, net_device* dev) const override {
    skb_orphan(skb);  // the sender's charge ends here, not when the receiver has read
    const u32 length = skb->len;
    skb->protocol = eth_type_trans(skb, dev);
    if (netif_rx(skb) == 0) {
      netdev_count(dev->stats.rx_packets);
      netdev_count(dev->stats.rx_bytes, length);
      netdev_count(dev->stats.tx_packets);
      netdev_count(dev->stats.tx_bytes, length);
    }
    return NETDEV_TX_OK;
  }
};
constinit const LoopbackOps loopback_ops{};

}  // namespace

void loopback_init() {
  net_device* dev = alloc_netdev("lo", 0);
  if (dev == nullptr) return;
  dev->ops = &loopback_ops;
  dev->header = eth_header_ops;
  dev->type = ARPHRD_LOOPBACK;
  dev->mtu = 65536;
  dev->min_mtu = 0;
  dev->max_mtu = 0x7fffffff;
  dev->flags = IFF_LOOPBACK;
  dev->tx_queue_len = 1000;
  dev->features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_RXCSUM | NETIF_F_TSO | NETIF_F_TSO6 | NETIF_F_GSO |
                  NETIF_F_GRO | NETIF_F_HIGHDMA | NETIF_F_LLTX;
  if (const int error = register_netdev(dev); error != 0) printk(KERN_ERR "lo: not registered (%d)\n", error);
}

}  // namespace xm::os
