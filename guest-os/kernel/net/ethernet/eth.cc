// SPDX-License-Identifier: GPL-2.0-or-later
// Ethernet: the header of sent frames, the reading of received ones, and what all Ethernet devices begin with.
// [IEEE 802.3-2018: 3.2]
#include "kernel/net/netdevice.h"

namespace xm::os {
namespace {

constexpr u16 kEtherTypeMin = 0x600;  // below it the field is a length
constexpr u16 kEthP8022 = 4, kEthP8023 = 1;

struct EthHeaderOps final : header_ops {
  int create(sk_buff* skb, net_device* dev, u16 type, const void* daddr, const void* saddr, u32 length) const override {
    auto* eth = reinterpret_cast<ethhdr*>(skb_push(skb, kEthHlen));
    eth->h_proto = htons(type == kEthP8023 || type == kEthP8022 ? static_cast<u16>(length) : type);
    memcpy(eth->h_source, saddr == nullptr ? dev->dev_addr : saddr, kEthAlen);
    if (daddr != nullptr) {
      memcpy(eth->h_dest, daddr, kEthAlen);
      return kEthHlen;
    }
    memset(eth->h_dest, 0, kEthAlen);
    return (dev->flags & (IFF_LOOPBACK | IFF_NOARP)) != 0 ? static_cast<int>(kEthHlen) : -static_cast<int>(kEthHlen);
  }
  int parse(const sk_buff* skb, u8* haddr) const override {
    memcpy(haddr, reinterpret_cast<const ethhdr*>(skb_mac_header(skb))->h_source, kEthAlen);
    return kEthAlen;
  }
};
constinit const EthHeaderOps eth_ops{};

}  // namespace

constinit const header_ops* const eth_header_ops = &eth_ops;

u16 eth_type_trans(sk_buff* skb, net_device* dev) {
  skb->dev = dev;
  skb_reset_mac_header(skb);
  if (skb_pull(skb, kEthHlen) == nullptr) return 0;
  const auto* eth = reinterpret_cast<const ethhdr*>(skb_mac_header(skb));
  if (!ether_addr_equal(eth->h_dest, dev->dev_addr)) {
    skb->pkt_type = PACKET_OTHERHOST;
    if (is_multicast_ether_addr(eth->h_dest))
      skb->pkt_type = ether_addr_equal(eth->h_dest, dev->broadcast) ? PACKET_BROADCAST : PACKET_MULTICAST;
  } else {
    skb->pkt_type = PACKET_HOST;
  }
  if (ntohs(eth->h_proto) >= kEtherTypeMin) return eth->h_proto;
  return htons(kEthP8022);
}

void ether_setup(net_device* dev) {
  dev->header = eth_header_ops;
  dev->type = ARPHRD_ETHER;
  dev->hard_header_len = kEthHlen;
  dev->addr_len = kEthAlen;
  dev->mtu = dev->max_mtu = 1500;
  dev->min_mtu = 68;
  dev->tx_queue_len = 1000;
  dev->flags = IFF_BROADCAST | IFF_MULTICAST;
  memset(dev->broadcast, 0xff, kEthAlen);
}

}  // namespace xm::os
