// SPDX-License-Identifier: GPL-2.0-or-later
// veth: a cable with a device at each end; what one sends the other receives. Made in pairs by `ip link add type veth`.
#include "kernel/init/initcall.h"
#include "kernel/net/netlink/rtnetlink.h"

namespace xm::os {
namespace {

constexpr u16 kVethInfoPeer = 1;
struct Veth {
  net_device* peer;
};
Veth* veth(const net_device* dev) { return static_cast<Veth*>(dev->priv); }

struct VethOps final : net_device_ops {
  int ndo_open(net_device* dev) const override {
    net_device* peer = veth(dev)->peer;
    if (peer == nullptr) return -ENOTCONN;
    if (netif_running(peer)) {
      netif_carrier_on(dev);
      netif_carrier_on(peer);
    }
    return 0;
  }
  int ndo_stop(net_device* dev) const override {
    netif_carrier_off(dev);
    if (veth(dev)->peer != nullptr) netif_carrier_off(veth(dev)->peer);
    return 0;
  }
  NetdevTx ndo_start_xmit(sk_buff* skb, net_device* dev) const override {
    net_device* peer = read_once(veth(dev)->peer);
    const u32 length = skb->len;
    if (peer == nullptr || !netif_running(peer) ||
        length > peer->mtu + kEthHlen + 4 + (skb_is_gso(skb) ? 65536u : 0u)) {
      netdev_count(dev->stats.tx_dropped);
      kfree_skb_reason(skb, SKB_DROP_DEV_READY);
      return NETDEV_TX_OK;
    }
    skb_scrub_packet(skb);
    skb->protocol = eth_type_trans(skb, peer);
    if (netif_rx(skb) == 0) {
      netdev_count(dev->stats.tx_packets);
      netdev_count(dev->stats.tx_bytes, length);
      netdev_count(peer->stats.rx_packets);
      netdev_count(peer->stats.rx_bytes, length);
    } else {
      netdev_count(dev->stats.tx_dropped);
    }
    return NETDEV_TX_OK;
  }
};
constinit const VethOps veth_ops{};

void setup(net_device* dev) {
  ether_setup(dev);
  dev->ops = &veth_ops;
  dev->max_mtu = 65535;
  dev->features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_RXCSUM | NETIF_F_TSO | NETIF_F_TSO6 | NETIF_F_GSO |
                  NETIF_F_HIGHDMA | NETIF_F_VLAN_TX | NETIF_F_LLTX;
  dev->carrier = false;
}

rtnl_link_ops* link_ops();

// The peer as its attributes describe it.
net_device* make_peer(const nlattr* info, const ifinfomsg** ifm, const nlattr** tb) {
  char name[kIfNameSize] = "veth%d";
  for (u32 i = 0; i <= IFLA_MAX; ++i) tb[i] = nullptr;
  if (info != nullptr && nla_len(info) >= sizeof(ifinfomsg)) {
    *ifm = reinterpret_cast<const ifinfomsg*>(nla_data(info));
    if (nla_parse(tb, IFLA_MAX, nla_data(info) + sizeof(ifinfomsg), nla_len(info) - sizeof(ifinfomsg), ifla_policy,
                  false, nullptr) != 0)
      return nullptr;
    if (tb[IFLA_IFNAME] != nullptr) nla_get_string(tb[IFLA_IFNAME], name, sizeof name);
  }
  net_device* peer = rtnl_create_link(name, link_ops());
  if (peer == nullptr) return nullptr;
  eth_random_addr(peer->dev_addr);
  if (tb[IFLA_ADDRESS] != nullptr && nla_len(tb[IFLA_ADDRESS]) == kEthAlen)
    memcpy(peer->dev_addr, nla_data(tb[IFLA_ADDRESS]), kEthAlen);
  return peer;
}

int newlink(net_device* dev, const nlattr**, const nlattr* data, u32 length) {
  const nlattr* info = data == nullptr ? nullptr : nla_first(data, length);
  if (info != nullptr && nla_type(info) != kVethInfoPeer) info = nullptr;
  const ifinfomsg* ifm = nullptr;
  const nlattr* tb[IFLA_MAX + 1];
  net_device* peer = make_peer(info, &ifm, tb);
  if (peer == nullptr) return -EINVAL;
  if (is_zero_ether_addr(dev->dev_addr)) eth_random_addr(dev->dev_addr);
  if (const int error = register_netdevice(peer); error != 0) {
    free_netdev(peer);
    return error;
  }
  if (const int error = register_netdevice(dev); error != 0) {
    unregister_netdevice(peer);
    return error;
  }
  veth(dev)->peer = peer;
  veth(peer)->peer = dev;
  dev->link = peer->ifindex;
  peer->link = dev->ifindex;
  if (ifm != nullptr) {
    const ifinfomsg flags{0, 0, 0, 0, ifm->ifi_flags, ifm->ifi_change};
    tb[IFLA_IFNAME] = tb[IFLA_ADDRESS] = nullptr;
    rtnl_change_link(peer, &flags, tb, nullptr);
  }
  return 0;
}

void dellink(net_device* dev) {
  net_device* peer = veth(dev)->peer;
  write_once(veth(dev)->peer, static_cast<net_device*>(nullptr));
  if (peer != nullptr) write_once(veth(peer)->peer, static_cast<net_device*>(nullptr));
  unregister_netdevice(dev);
  if (peer != nullptr) unregister_netdevice(peer);
}

rtnl_link_ops veth_link_ops{"veth", sizeof(Veth), setup, newlink, nullptr, dellink, nullptr, nullptr, {}};
rtnl_link_ops* link_ops() { return &veth_link_ops; }

void veth_init() { rtnl_link_register(&veth_link_ops); }
DEVICE_INITCALL(veth_init);

}  // namespace

}  // namespace xm::os
