// SPDX-License-Identifier: GPL-2.0-or-later
// The ways of a frame through a bridge: in by a port (learn, then up, on, or to all), or from the bridge's own device.
// [IEEE 802.1D-2004: 7.7]
#include "kernel/net/bridge/bridge.h"

namespace xm::os {
namespace {

const u8 link_local_prefix[5] = {0x01, 0x80, 0xc2, 0, 0};

const u8* destination(const sk_buff* skb) { return reinterpret_cast<const ethhdr*>(skb_mac_header(skb))->h_dest; }
const u8* source(const sk_buff* skb) { return reinterpret_cast<const ethhdr*>(skb_mac_header(skb))->h_source; }

bool may_leave(const net_bridge_port* to, const net_bridge_port* from, const sk_buff* skb) {
  if (to->state != BR_STATE_FORWARDING || !netif_running(to->dev)) return false;
  if (to == from && !to->hairpin) return false;
  if (from != nullptr && from->isolated && to->isolated) return false;
  return skb_is_gso(skb) || skb->len <= to->dev->mtu + 4;
}

// The frame has its Ethernet header pulled.
void send_by(net_bridge_port* to, sk_buff* skb) {
  skb_push(skb, kEthHlen);
  if (skb->ip_summed == CHECKSUM_COMPLETE) skb->ip_summed = CHECKSUM_NONE;
  skb->dev = to->dev;
  dev_queue_xmit(skb);
}

// To every port it may leave by, and (`up`) to this host. Consumes.
void flood(net_bridge* br, net_bridge_port* from, sk_buff* skb, bool unicast);

void pass_up(net_bridge* br, sk_buff* skb) {
  net_device* dev = br->dev;
  netdev_count(dev->stats.rx_packets);
  netdev_count(dev->stats.rx_bytes, skb->len);
  skb->dev = dev;
  if (ether_addr_equal(destination(skb), dev->dev_addr)) skb->pkt_type = PACKET_HOST;
  netif_receive_skb(skb);
}

void flood(net_bridge* br, net_bridge_port* from, sk_buff* skb, bool unicast) {
  net_bridge_port* previous = nullptr;
  for (net_bridge_port* p : entries<&net_bridge_port::link>(br->ports)) {
    if (!may_leave(p, from, skb) || (unicast && !p->flood)) continue;
    if (previous != nullptr) {
      if (sk_buff* copy = skb_clone(skb, GFP_ATOMIC)) send_by(previous, copy);
    }
    previous = p;
  }
  if (previous != nullptr) {
    send_by(previous, skb);
  } else {
    kfree_skb_reason(skb, SKB_DROP_BRIDGE_NO_PORT);
  }
}

void handle_frame(net_bridge_port* port, sk_buff* skb) {
  net_bridge* br = port->br;
  if (port->learning) br_fdb_update(port, source(skb));
  const u8* to = destination(skb);
  if (is_multicast_ether_addr(to)) {
    sk_buff* copy = skb_clone(skb, GFP_ATOMIC);
    if (copy != nullptr) pass_up(br, copy);
    flood(br, port, skb, false);
    return;
  }
  net_bridge_port* out = nullptr;
  switch (br_fdb_lookup(br, to, &out)) {
    case BrDestination::Local: pass_up(br, skb); return;
    case BrDestination::Port:
      if (out != nullptr && may_leave(out, port, skb)) {
        send_by(out, skb);
      } else {
        kfree_skb_reason(skb, SKB_DROP_BRIDGE_NO_PORT);
      }
      return;
    case BrDestination::Unknown: break;
  }
  if ((br->dev->flags & IFF_PROMISC) != 0) {
    if (sk_buff* copy = skb_clone(skb, GFP_ATOMIC)) pass_up(br, copy);
  }
  flood(br, port, skb, true);
}

}  // namespace

bool br_handle_frame(sk_buff** at) {
  sk_buff* skb = *at;
  if (skb->pkt_type == PACKET_LOOPBACK) return false;
  auto* port = static_cast<net_bridge_port*>(skb->dev->rx_handler_data);
  if (port == nullptr) return false;
  if (!is_valid_ether_addr(source(skb)) || port->state != BR_STATE_FORWARDING || !netif_running(port->br->dev)) {
    kfree_skb_reason(skb, SKB_DROP_BRIDGE_NO_PORT);
    return true;
  }
  // Addresses that bridges keep on the link [802.1D-2004: 7.12.6] go to this host as the port's own.
  if (memcmp(destination(skb), link_local_prefix, sizeof link_local_prefix) == 0 && destination(skb)[5] <= 0x0f)
    return false;
  skb = skb_share_check(skb, GFP_ATOMIC);
  if (skb != nullptr) handle_frame(port, skb);
  return true;
}

NetdevTx br_dev_xmit(sk_buff* skb, net_device* dev) {
  net_bridge* br = bridge_of(dev);
  netdev_count(dev->stats.tx_packets);
  netdev_count(dev->stats.tx_bytes, skb->len);
  skb_reset_mac_header(skb);
  if (skb_pull(skb, kEthHlen) == nullptr) {
    kfree_skb_reason(skb, SKB_DROP_PKT_TOO_SMALL);
    return NETDEV_TX_OK;
  }
  const u8* to = destination(skb);
  net_bridge_port* out = nullptr;
  if (is_multicast_ether_addr(to)) {
    flood(br, nullptr, skb, false);
  } else if (br_fdb_lookup(br, to, &out) == BrDestination::Port && out != nullptr) {
    if (may_leave(out, nullptr, skb)) {
      send_by(out, skb);
    } else {
      kfree_skb_reason(skb, SKB_DROP_BRIDGE_NO_PORT);
    }
  } else {
    flood(br, nullptr, skb, true);
  }
  return NETDEV_TX_OK;
}

}  // namespace xm::os
