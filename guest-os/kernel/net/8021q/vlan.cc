// SPDX-License-Identifier: GPL-2.0-or-later
// 802.1Q: devices that send and receive the tagged frames of one VLAN of a lower device. The tag travels beside the
// packet (sk_buff::vlan_tci) and is put in or taken out at the lower end. [IEEE 802.1Q-2018: 9.3, 9.6]
#include "kernel/init/initcall.h"
#include "kernel/net/netlink/rtnetlink.h"

namespace xm::os {
namespace {

enum VlanAttribute : u16 { kId = 1, kFlags, kEgressQos, kIngressQos, kProtocol, kVlanMax = 5 };

struct Vlan {
  net_device* dev = nullptr;
  net_device* real = nullptr;  // referenced
  u16 id = 0;
  list_head link;
};
constinit list_head vlans{};  // under rtnl, read under net_read_lock
Vlan* vlan(const net_device* dev) { return static_cast<Vlan*>(dev->priv); }

Vlan* find(const net_device* real, u16 id) {
  for (Vlan* v : entries<&Vlan::link>(vlans)) {
    if (v->real == real && v->id == id) return v;
  }
  return nullptr;
}

bool receive(sk_buff** at) {
  sk_buff* skb = *at;
  Vlan* v = find(skb->dev, skb->vlan_tci & 0xfff);
  if (v == nullptr) return false;
  if (!netif_running(v->dev)) {
    kfree_skb_reason(skb, SKB_DROP_DEV_READY);
    *at = nullptr;
    return true;
  }
  skb = *at = skb_share_check(skb, GFP_ATOMIC);
  if (skb == nullptr) return true;
  skb->dev = v->dev;
  skb->priority = skb->vlan_tci >> 13;
  skb->vlan_present = false;
  // Frames to the VLAN's own address, which may differ from that of the device below.
  if (skb->pkt_type == PACKET_OTHERHOST &&
      ether_addr_equal(reinterpret_cast<const ethhdr*>(skb_mac_header(skb))->h_dest, v->dev->dev_addr))
    skb->pkt_type = PACKET_HOST;
  netdev_count(v->dev->stats.rx_packets);
  netdev_count(v->dev->stats.rx_bytes, skb->len);
  if (skb->pkt_type == PACKET_MULTICAST) netdev_count(v->dev->stats.multicast);
  return true;
}

struct VlanOps final : net_device_ops {
  int ndo_open(net_device* dev) const override {
    if (!netif_running(vlan(dev)->real)) return -ENETDOWN;
    dev->carrier = vlan(dev)->real->carrier;
    return 0;
  }
  NetdevTx ndo_start_xmit(sk_buff* skb, net_device* dev) const override {
    const u32 length = skb->len;
    skb->vlan_tci = static_cast<u16>(vlan(dev)->id | (skb->priority & 7) << 13);
    skb->vlan_present = true;
    skb->dev = vlan(dev)->real;
    if (dev_queue_xmit(skb) == NET_XMIT_SUCCESS) {
      netdev_count(dev->stats.tx_packets);
      netdev_count(dev->stats.tx_bytes, length);
    } else {
      netdev_count(dev->stats.tx_dropped);
    }
    return NETDEV_TX_OK;
  }
  int ndo_change_mtu(net_device* dev, u32 mtu) const override {
    if (mtu > vlan(dev)->real->mtu) return -ERANGE;
    dev->mtu = mtu;
    return 0;
  }
  void ndo_free(net_device* dev) const override { dev_put(vlan(dev)->real); }
};
constinit const VlanOps vlan_ops{};

void setup(net_device* dev) {
  ether_setup(dev);
  dev->ops = &vlan_ops;
  dev->min_mtu = 0;
  dev->max_mtu = 65535;
  dev->tx_queue_len = 0;
  new (dev->priv) Vlan{};
}

int newlink(net_device* dev, const nlattr** tb, const nlattr* data, u32 length) {
  static constexpr nla_policy policy[kVlanMax + 1] = {{},           {NLA_U16},    {NLA_EXACT, 8},
                                                      {NLA_NESTED}, {NLA_NESTED}, {NLA_U16}};
  const nlattr* info[kVlanMax + 1];
  if (data == nullptr || tb[IFLA_LINK] == nullptr) return -EINVAL;
  TRY_INT(nla_parse(info, kVlanMax, data, length, policy, false, nullptr));
  if (info[kId] == nullptr || nla_get_u16(info[kId]) >= 4095) return -ERANGE;
  if (info[kProtocol] != nullptr && nla_get_u16(info[kProtocol]) != htons(ETH_P_8021Q)) return -EPROTONOSUPPORT;
  net_device* real = dev_get_by_index(static_cast<int>(nla_get_u32(tb[IFLA_LINK])));
  if (real == nullptr) return -ENODEV;
  Vlan* v = vlan(dev);
  v->dev = dev;
  v->real = real;
  v->id = nla_get_u16(info[kId]);
  int error = (real->flags & IFF_LOOPBACK) != 0 || real->type != ARPHRD_ETHER ? -EOPNOTSUPP
              : find(real, v->id) != nullptr                                  ? -EEXIST
                                                                              : 0;
  if (error == 0) {
    if (is_zero_ether_addr(dev->dev_addr)) memcpy(dev->dev_addr, real->dev_addr, kEthAlen);
    dev->mtu = real->mtu;
    dev->link = real->ifindex;
    dev->features = (real->features & (NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_HIGHDMA)) | NETIF_F_GSO | NETIF_F_LLTX;
    dev->carrier = real->carrier;
    error = register_netdevice(dev);
  }
  if (error != 0) {
    dev_put(real);
    return error;
  }
  list_add_tail_rcu(&v->link, &vlans);
  return 0;
}

void dellink(net_device* dev) {
  list_del_rcu(&vlan(dev)->link);
  unregister_netdevice(dev);
}

int fill_info(sk_buff* skb, const net_device* dev) {
  const u32 flags[2] = {1 /* REORDER_HDR */, ~0u};
  const bool ok = nla_put_u16(skb, kProtocol, htons(ETH_P_8021Q)) && nla_put_u16(skb, kId, vlan(dev)->id) &&
                  nla_put(skb, kFlags, flags, sizeof flags);
  return ok ? 0 : -EMSGSIZE;
}

rtnl_link_ops vlan_link_ops{"vlan", sizeof(Vlan), setup, newlink, nullptr, dellink, fill_info, nullptr, {}};

void device_event(NetdevEvent event, net_device* real) {
  for (Vlan* v : entries<&Vlan::link>(vlans)) {
    if (v->real != real) continue;
    if (event == NETDEV_DOWN) dev_close(v->dev);
    if (event == NETDEV_CHANGE) real->carrier ? netif_carrier_on(v->dev) : netif_carrier_off(v->dev);
    if (event == NETDEV_CHANGEMTU && v->dev->mtu > real->mtu) dev_set_mtu(v->dev, real->mtu);
    if (event == NETDEV_UNREGISTER) dellink(v->dev);
  }
}
constinit notifier_block vlan_notifier{device_event};

void vlan_init() {
  vlan_do_receive = receive;
  register_netdevice_notifier(&vlan_notifier);
  rtnl_link_register(&vlan_link_ops);
}
DEVICE_INITCALL(vlan_init);

}  // namespace
}  // namespace xm::os
