// SPDX-License-Identifier: GPL-2.0-or-later
// Bridges made and shown: `ip link add type bridge`, `ip link set master`, `bridge link`, `bridge fdb`, and the ioctls
// of brctl.
#include "kernel/net/bridge/bridge.h"

#include "kernel/init/initcall.h"
#include "kernel/mm/slab.h"
#include "kernel/net/neighbour.h"

namespace xm::os {
namespace {

constexpr int kAfBridge = 7;
enum BrAttribute : u16 {
  kForwardDelay = 1,
  kHelloTime,
  kMaxAge,
  kAgeingTime,
  kStpState,
  kPriority,
  kVlanFiltering,
  kBrMax = 46
};
enum PortAttribute : u16 {
  kPortState = 1,
  kPortPriority,
  kPortCost,
  kPortMode,
  kPortGuard,
  kPortProtect,
  kPortFastLeave,
  kPortLearning,
  kPortUnicastFlood,
  kPortIsolated = 33,
  kPortMax = 36
};

net_bridge_port* port_of(const net_device* dev) {
  return dev->rx_handler == br_handle_frame ? static_cast<net_bridge_port*>(dev->rx_handler_data) : nullptr;
}

// The lowest address of the ports, unless the user chose one. [802.1D-2004: 14.2.5]
void choose_address(net_bridge* br) {
  if (br->address_set) return;
  const u8* lowest = nullptr;
  for (net_bridge_port* p : entries<&net_bridge_port::link>(br->ports)) {
    if (lowest == nullptr || memcmp(p->dev->dev_addr, lowest, kEthAlen) < 0) lowest = p->dev->dev_addr;
  }
  if (lowest == nullptr || ether_addr_equal(lowest, br->dev->dev_addr)) return;
  br_fdb_delete(br, nullptr, br->dev->dev_addr);
  memcpy(br->dev->dev_addr, lowest, kEthAlen);
  dev_notify(NETDEV_CHANGEADDR, br->dev);
}

void update_carrier(net_bridge* br) {
  bool any = false;
  for (net_bridge_port* p : entries<&net_bridge_port::link>(br->ports)) any |= p->state == BR_STATE_FORWARDING;
  any ? netif_carrier_on(br->dev) : netif_carrier_off(br->dev);
}

void update_port(net_bridge_port* p) {
  p->state = netif_running(p->dev) && p->dev->carrier ? BR_STATE_FORWARDING : BR_STATE_DISABLED;
  if (p->state == BR_STATE_DISABLED) br_fdb_delete_port(p->br, p, true);
  update_carrier(p->br);
}

int add_port(net_device* master, net_device* dev) {
  net_bridge* br = bridge_of(master);
  if ((dev->flags & IFF_LOOPBACK) != 0 || dev->type != ARPHRD_ETHER || dev->ops == master->ops) return -EINVAL;
  if (dev->rx_handler != nullptr) return -EBUSY;
  net_bridge_port* p = knew<net_bridge_port>();
  if (p == nullptr) return -ENOMEM;
  p->br = br;
  p->dev = dev;
  p->number = 1;
  for (const net_bridge_port* other : entries<&net_bridge_port::link>(br->ports))
    p->number = max<u16>(p->number, static_cast<u16>(other->number + 1));
  if (const int error = netdev_rx_handler_register(dev, br_handle_frame, p); error != 0) {
    kdelete(p);
    return error;
  }
  dev_hold(dev);
  dev_set_promiscuity(dev, 1);
  dev->master = master;
  list_add_tail_rcu(&p->link, &br->ports);
  br_fdb_add(br, p, dev->dev_addr, true);
  choose_address(br);
  update_port(p);
  dev_notify(NETDEV_CHANGE, dev);
  return 0;
}

int del_port(net_device* master, net_device* dev) {
  net_bridge* br = bridge_of(master);
  net_bridge_port* p = port_of(dev);
  if (p == nullptr || p->br != br) return -EINVAL;
  list_del_rcu(&p->link);
  netdev_rx_handler_unregister(dev);  // waits for readers
  dev->master = nullptr;
  dev_set_promiscuity(dev, -1);
  br_fdb_delete_port(br, p, false);
  synchronize_net();  // those who found it in the database
  kdelete(p);
  choose_address(br);
  update_carrier(br);
  dev_notify(NETDEV_CHANGE, dev);
  dev_put(dev);
  return 0;
}

struct BridgeOps final : net_device_ops {
  NetdevTx ndo_start_xmit(sk_buff* skb, net_device* dev) const override { return br_dev_xmit(skb, dev); }
  int ndo_add_slave(net_device* dev, net_device* port) const override { return add_port(dev, port); }
  int ndo_del_slave(net_device* dev, net_device* port) const override { return del_port(dev, port); }
  int ndo_set_mac_address(net_device* dev, const u8* address) const override {
    net_bridge* br = bridge_of(dev);
    br_fdb_delete(br, nullptr, dev->dev_addr);
    memcpy(dev->dev_addr, address, kEthAlen);
    br->address_set = true;
    return br_fdb_add(br, nullptr, address, true);
  }
  void ndo_free(net_device* dev) const override { br_fdb_stop(bridge_of(dev)); }
};
constinit const BridgeOps bridge_ops{};

void setup(net_device* dev) {
  ether_setup(dev);
  dev->ops = &bridge_ops;
  dev->max_mtu = 65535;
  dev->features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_TSO | NETIF_F_TSO6 | NETIF_F_GSO | NETIF_F_HIGHDMA |
                  NETIF_F_VLAN_TX | NETIF_F_LLTX;
  dev->carrier = false;
  net_bridge* br = new (dev->priv) net_bridge{};
  br->dev = dev;
}

int change(net_device* dev, const nlattr* data, u32 length) {
  const nlattr* tb[kBrMax + 1];
  TRY_INT(nla_parse(tb, kBrMax, data, length, nullptr, false, nullptr));
  if (tb[kAgeingTime] != nullptr) bridge_of(dev)->ageing_ns = nla_get_u32(tb[kAgeingTime]) * 10000000ul;
  if (tb[kStpState] != nullptr && nla_get_u32(tb[kStpState]) != 0) return -EOPNOTSUPP;
  if (tb[kVlanFiltering] != nullptr && nla_get_u8(tb[kVlanFiltering]) != 0) return -EOPNOTSUPP;
  return 0;
}

int newlink(net_device* dev, const nlattr**, const nlattr* data, u32 length) {
  net_bridge* br = bridge_of(dev);
  if (data != nullptr) TRY_INT(change(dev, data, length));
  br->address_set = !is_zero_ether_addr(dev->dev_addr);
  if (!br->address_set) eth_random_addr(dev->dev_addr);
  TRY_INT(register_netdevice(dev));
  br_fdb_add(br, nullptr, dev->dev_addr, true);
  br_fdb_start(br);
  return 0;
}

void dellink(net_device* dev) {
  net_bridge* br = bridge_of(dev);
  while (net_bridge_port* p = list_first<&net_bridge_port::link>(&br->ports)) del_port(dev, p->dev);
  unregister_netdevice(dev);
}

int fill_info(sk_buff* skb, const net_device* dev) {
  const net_bridge* br = bridge_of(dev);
  const bool ok =
      nla_put_u32(skb, kForwardDelay, 1500) && nla_put_u32(skb, kHelloTime, 200) && nla_put_u32(skb, kMaxAge, 2000) &&
      nla_put_u32(skb, kAgeingTime, static_cast<u32>(br->ageing_ns / 10000000)) && nla_put_u32(skb, kStpState, 0) &&
      nla_put_u16(skb, kPriority, 0x8000) && nla_put_u8(skb, kVlanFiltering, 0);
  return ok ? 0 : -EMSGSIZE;
}

int port_change(net_device*, net_device* dev, const nlattr* data, u32 length) {
  const nlattr* tb[kPortMax + 1];
  net_bridge_port* p = port_of(dev);
  if (p == nullptr) return -EINVAL;
  TRY_INT(nla_parse(tb, kPortMax, data, length, nullptr, false, nullptr));
  if (tb[kPortMode] != nullptr) p->hairpin = nla_get_u8(tb[kPortMode]) != 0;
  if (tb[kPortLearning] != nullptr) p->learning = nla_get_u8(tb[kPortLearning]) != 0;
  if (tb[kPortUnicastFlood] != nullptr) p->flood = nla_get_u8(tb[kPortUnicastFlood]) != 0;
  if (tb[kPortIsolated] != nullptr) p->isolated = nla_get_u8(tb[kPortIsolated]) != 0;
  return 0;
}

rtnl_link_ops bridge_link_ops{"bridge", sizeof(net_bridge), setup,       newlink, change,
                              dellink,  fill_info,          port_change, {}};

// --- messages of PF_BRIDGE ---
int fill_port(sk_buff* skb, const net_bridge_port* p, netlink_callback* cb) {
  nlmsghdr* nlh = nlmsg_put(skb, cb->portid, cb->nlh->nlmsg_seq, RTM_NEWLINK, sizeof(ifinfomsg), NLM_F_MULTI);
  if (nlh == nullptr) return -EMSGSIZE;
  *nlmsg_data<ifinfomsg>(nlh) = {kAfBridge, 0, p->dev->type, p->dev->ifindex, dev_get_flags(p->dev), 0};
  bool ok = nla_put_string(skb, IFLA_IFNAME, p->dev->name) &&
            nla_put_u32(skb, IFLA_MASTER, static_cast<u32>(p->br->dev->ifindex)) &&
            nla_put_u32(skb, IFLA_MTU, p->dev->mtu) &&
            nla_put_u8(skb, IFLA_OPERSTATE, p->dev->carrier ? IF_OPER_UP : IF_OPER_DOWN) &&
            nla_put(skb, IFLA_ADDRESS, p->dev->dev_addr, kEthAlen);
  nlattr* nest = ok ? nla_nest_start(skb, IFLA_PROTINFO) : nullptr;
  ok = nest != nullptr && nla_put_u8(skb, kPortState, p->state) && nla_put_u16(skb, kPortPriority, 32) &&
       nla_put_u32(skb, kPortCost, 2) && nla_put_u8(skb, kPortMode, p->hairpin) && nla_put_u8(skb, kPortGuard, 0) &&
       nla_put_u8(skb, kPortProtect, 0) && nla_put_u8(skb, kPortFastLeave, 0) &&
       nla_put_u8(skb, kPortLearning, p->learning) && nla_put_u8(skb, kPortUnicastFlood, p->flood) &&
       nla_put_u8(skb, kPortIsolated, p->isolated);
  if (!ok) {
    nlmsg_cancel(skb, nlh);
    return -EMSGSIZE;
  }
  nla_nest_end(skb, nest);
  nlmsg_end(skb, nlh);
  return 0;
}

int dump_ports(sk_buff* skb, netlink_callback* cb) {
  DumpCursor cursor(cb, 0);
  for (net_device* dev : entries<&net_device::dev_list>(dev_base)) {
    const net_bridge_port* p = port_of(dev);
    if (p == nullptr || cursor.skip()) continue;
    if (fill_port(skb, p, cb) != 0) return 1;
    cursor.done();
  }
  return 0;
}

int set_port(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  const nlattr* tb[IFLA_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(ifinfomsg), tb, IFLA_MAX, nullptr, false, ack));
  net_device* dev = dev_get_by_index(nlmsg_data<ifinfomsg>(nlh)->ifi_index);
  if (dev == nullptr) return -ENODEV;
  const nlattr* info = tb[IFLA_PROTINFO];
  const int error =
      info == nullptr || nla_len(info) < NLA_HDRLEN ? -EINVAL : port_change(nullptr, dev, info + 1, nla_len(info));
  dev_put(dev);
  return error;
}

int change_fdb(const nlmsghdr* nlh, netlink_ext_ack* ack, bool add) {
  const nlattr* tb[NDA_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(ndmsg), tb, NDA_MAX, nullptr, false, ack));
  if (tb[NDA_LLADDR] == nullptr || nla_len(tb[NDA_LLADDR]) != kEthAlen)
    return nl_error(ack, -EINVAL, "invalid address");
  net_device* dev = dev_get_by_index(nlmsg_data<ndmsg>(nlh)->ndm_ifindex);
  if (dev == nullptr) return -ENODEV;
  net_bridge_port* p = port_of(dev);
  int error = p == nullptr ? -EOPNOTSUPP : 0;
  if (p != nullptr && add)
    error = br_fdb_add(p->br, p, nla_data(tb[NDA_LLADDR]), (nlmsg_data<ndmsg>(nlh)->ndm_state & NUD_PERMANENT) != 0);
  if (p != nullptr && !add) error = br_fdb_delete(p->br, p, nla_data(tb[NDA_LLADDR]));
  dev_put(dev);
  return error;
}
int new_fdb(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) { return change_fdb(nlh, ack, true); }
int del_fdb(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) { return change_fdb(nlh, ack, false); }

void device_event(NetdevEvent event, net_device* dev) {
  net_bridge_port* p = port_of(dev);
  if (p == nullptr) return;
  if (event == NETDEV_UNREGISTER) {
    del_port(p->br->dev, dev);
  } else if (event == NETDEV_UP || event == NETDEV_DOWN || event == NETDEV_CHANGE) {
    update_port(p);
  } else if (event == NETDEV_CHANGEADDR) {
    br_fdb_add(p->br, p, dev->dev_addr, true);
    choose_address(p->br);
  }
}
constinit notifier_block bridge_notifier{device_event};

void bridge_init() {
  rtnl_link_register(&bridge_link_ops);
  register_netdevice_notifier(&bridge_notifier);
  rtnl_register(kAfBridge, RTM_GETLINK, nullptr, dump_ports);
  rtnl_register(kAfBridge, RTM_SETLINK, set_port, nullptr);
  rtnl_register(kAfBridge, RTM_GETNEIGH, nullptr, br_fdb_dump);
  rtnl_register(kAfBridge, RTM_NEWNEIGH, new_fdb, nullptr);
  rtnl_register(kAfBridge, RTM_DELNEIGH, del_fdb, nullptr);
}
DEVICE_INITCALL(bridge_init);

}  // namespace
}  // namespace xm::os
