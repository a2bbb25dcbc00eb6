// SPDX-License-Identifier: GPL-2.0-or-later
// RTM_*LINK: devices listed, changed, made and removed, as `ip link` asks; kinds of devices register here.
#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/net/inetdevice.h"
#include "kernel/net/netlink/rtnetlink.h"

namespace xm::os {

const nla_policy ifla_policy[IFLA_MAX + 1] = {
    {},
    {NLA_BINARY, kMaxAddrLen},      // ADDRESS
    {NLA_BINARY, kMaxAddrLen},      // BROADCAST
    {NLA_STRING, kIfNameSize - 1},  // IFNAME
    {NLA_U32},                      // MTU
    {NLA_U32},                      // LINK
    {},
    {},
    {},
    {},
    {NLA_U32},  // MASTER
    {},
    {},
    {NLA_U32},  // TXQLEN
    {},
    {},
    {NLA_U8},      // OPERSTATE
    {NLA_U8},      // LINKMODE
    {NLA_NESTED},  // LINKINFO
    {NLA_U32},     // NET_NS_PID
    {NLA_UNSPEC},  // IFALIAS: may be empty
    {},
    {},
    {},
    {},
    {},
    {NLA_NESTED},  // AF_SPEC
    {NLA_U32},     // GROUP
    {NLA_U32},     // NET_NS_FD
    {NLA_U32},     // EXT_MASK
    {NLA_U32},     // PROMISCUITY
    {NLA_U32},     // NUM_TX_QUEUES
    {NLA_U32},     // NUM_RX_QUEUES
    {NLA_U8},      // CARRIER
};

namespace {

list_head link_kinds;

rtnl_link_ops* find_kind(const char* kind) {
  for (rtnl_link_ops* o : entries<&rtnl_link_ops::list>(link_kinds)) {
    if (strcmp(o->kind, kind) == 0) return o;
  }
  return nullptr;
}

u8 operstate(const net_device* dev) {
  if (!netif_running(dev)) return IF_OPER_DOWN;
  if (!dev->carrier) return dev->link != 0 ? IF_OPER_LOWERLAYERDOWN : IF_OPER_DOWN;
  return (dev->flags & IFF_LOOPBACK) != 0 ? IF_OPER_UNKNOWN : IF_OPER_UP;
}

bool fill_stats(sk_buff* skb, const net_device* dev) {
  rtnl_link_stats64 stats{};
  dev->ops->ndo_get_stats64(const_cast<net_device*>(dev), &stats);
  constexpr u32 kWords = sizeof stats / sizeof(u64);
  u64 wide[kWords];
  u32 narrow[kWords];
  memcpy(wide, &stats, sizeof wide);
  for (u32 i = 0; i < kWords; ++i) narrow[i] = static_cast<u32>(wide[i]);
  return nla_put(skb, IFLA_STATS64, wide, sizeof wide) && nla_put(skb, IFLA_STATS, narrow, sizeof narrow);
}

bool fill_linkinfo(sk_buff* skb, const net_device* dev) {
  const bool port = dev->master != nullptr && dev->master->link_ops != nullptr;
  if (dev->link_ops == nullptr && !port) return true;
  nlattr* info = nla_nest_start(skb, IFLA_LINKINFO);
  if (info == nullptr) return false;
  if (dev->link_ops != nullptr) {
    if (!nla_put_string(skb, IFLA_INFO_KIND, dev->link_ops->kind)) return false;
    if (dev->link_ops->fill_info != nullptr) {
      nlattr* data = nla_nest_start(skb, IFLA_INFO_DATA);
      if (data == nullptr || dev->link_ops->fill_info(skb, dev) != 0) return false;
      nla_nest_end(skb, data);
    }
  }
  if (port && !nla_put_string(skb, IFLA_INFO_SLAVE_KIND, dev->master->link_ops->kind)) return false;
  nla_nest_end(skb, info);
  return true;
}

// AF_INET's settings, which programs such as NetworkManager read.
bool fill_af_spec(sk_buff* skb, const net_device* dev) {
  const in_device* in = in_dev_get(dev);
  if (in == nullptr) return true;
  nlattr* spec = nla_nest_start(skb, IFLA_AF_SPEC);
  nlattr* inet = spec == nullptr ? nullptr : nla_nest_start(skb, AF_INET);
  if (inet == nullptr) return false;
  u32 words[IPV4_DEVCONF_MAX];
  for (u32 i = 0; i < IPV4_DEVCONF_MAX; ++i) words[i] = static_cast<u32>(in->cnf.data[i]);
  if (!nla_put(skb, 1 /* IFLA_INET_CONF */, words, sizeof words)) return false;
  nla_nest_end(skb, inet);
  nla_nest_end(skb, spec);
  return true;
}

bool fill_attributes(sk_buff* skb, const net_device* dev, u32 ext_mask) {
  const rtnl_link_ifmap map{};
  const u8 oper = operstate(dev);
  if (!nla_put_string(skb, IFLA_IFNAME, dev->name) || !nla_put_u32(skb, IFLA_TXQLEN, dev->tx_queue_len) ||
      !nla_put_u8(skb, IFLA_OPERSTATE, oper) || !nla_put_u8(skb, IFLA_LINKMODE, 0) ||
      !nla_put_u32(skb, IFLA_MTU, dev->mtu) || !nla_put_u32(skb, IFLA_MIN_MTU, dev->min_mtu) ||
      !nla_put_u32(skb, IFLA_MAX_MTU, dev->max_mtu == 0x7fffffff ? 0 : dev->max_mtu) ||
      !nla_put_u32(skb, IFLA_GROUP, static_cast<u32>(dev->group)) ||
      !nla_put_u32(skb, IFLA_PROMISCUITY, dev->promiscuity) || !nla_put_u32(skb, IFLA_ALLMULTI, dev->allmulti) ||
      !nla_put_u32(skb, IFLA_NUM_TX_QUEUES, dev->real_num_tx_queues) ||
      !nla_put_u32(skb, IFLA_NUM_RX_QUEUES, dev->real_num_tx_queues) || !nla_put_u32(skb, IFLA_GSO_MAX_SEGS, 65535) ||
      !nla_put_u32(skb, IFLA_GSO_MAX_SIZE, 65536) || !nla_put_u8(skb, IFLA_CARRIER, dev->carrier) ||
      !nla_put_string(skb, IFLA_QDISC, dev->qdisc_name) ||
      !nla_put_u32(skb, IFLA_CARRIER_CHANGES, dev->carrier_changes) || !nla_put_u8(skb, IFLA_PROTO_DOWN, 0) ||
      !nla_put(skb, IFLA_MAP, &map, sizeof map))
    return false;
  if (dev->addr_len != 0 && (!nla_put(skb, IFLA_ADDRESS, dev->dev_addr, dev->addr_len) ||
                             !nla_put(skb, IFLA_BROADCAST, dev->broadcast, dev->addr_len)))
    return false;
  if (dev->link != 0 && !nla_put_u32(skb, IFLA_LINK, static_cast<u32>(dev->link))) return false;
  if (dev->master != nullptr && !nla_put_u32(skb, IFLA_MASTER, static_cast<u32>(dev->master->ifindex))) return false;
  if (dev->ifalias[0] != 0 && !nla_put_string(skb, IFLA_IFALIAS, dev->ifalias)) return false;
  if ((ext_mask & RTEXT_FILTER_SKIP_STATS) == 0 && !fill_stats(skb, dev)) return false;
  return fill_linkinfo(skb, dev) && fill_af_spec(skb, dev);
}

void tell(u16 type, const net_device* dev, u32 change) {
  sk_buff* skb = nlmsg_new(4096, GFP_ATOMIC);
  if (skb == nullptr) return;
  if (rtnl_fill_link(skb, dev, type, 0, 0, change, 0, 0) == 0) {
    rtnl_notify(skb, RTNLGRP_LINK);
  } else {
    kfree_skb(skb);
  }
}

net_device* find_link(const ifinfomsg* ifm, const nlattr** tb) {  // referenced
  if (ifm->ifi_index > 0) return dev_get_by_index(ifm->ifi_index);
  const nlattr* name = tb[IFLA_IFNAME] != nullptr ? tb[IFLA_IFNAME] : tb[IFLA_ALT_IFNAME];
  if (name == nullptr) return nullptr;
  char text[kIfNameSize];
  nla_get_string(name, text, sizeof text);
  return dev_get_by_name(text);
}

// --- get ---
struct LinkFilter {
  int master = 0;
  char kind[16] = {};
  u32 ext_mask = 0;
};

int parse_filter(const nlmsghdr* nlh, LinkFilter* f, netlink_ext_ack* ack) {
  const nlattr* tb[IFLA_MAX + 1];
  if (nlh->nlmsg_len < NLMSG_HDRLEN + sizeof(ifinfomsg)) return 0;  // the short form: rtgenmsg
  TRY_INT(nlmsg_parse(nlh, sizeof(ifinfomsg), tb, IFLA_MAX, ifla_policy, false, ack));
  if (tb[IFLA_MASTER] != nullptr) f->master = static_cast<int>(nla_get_u32(tb[IFLA_MASTER]));
  if (tb[IFLA_EXT_MASK] != nullptr) f->ext_mask = nla_get_u32(tb[IFLA_EXT_MASK]);
  if (tb[IFLA_LINKINFO] == nullptr) return 0;
  const nlattr* info[IFLA_INFO_MAX + 1];
  TRY_INT(nla_parse_nested(info, IFLA_INFO_MAX, tb[IFLA_LINKINFO], nullptr, ack));
  if (info[IFLA_INFO_KIND] != nullptr) nla_get_string(info[IFLA_INFO_KIND], f->kind, sizeof f->kind);
  return 0;
}

int dump_links(sk_buff* skb, netlink_callback* cb) {
  LinkFilter f;
  TRY_INT(parse_filter(cb->nlh, &f, cb->ack));
  DumpCursor cursor(cb, 0);
  for (net_device* dev : entries<&net_device::dev_list>(dev_base)) {
    if (cursor.skip()) continue;
    const bool wanted = (f.master == 0 || (dev->master != nullptr && dev->master->ifindex == f.master)) &&
                        (f.kind[0] == 0 || (dev->link_ops != nullptr && strcmp(dev->link_ops->kind, f.kind) == 0));
    if (wanted &&
        rtnl_fill_link(skb, dev, RTM_NEWLINK, cb->portid, cb->nlh->nlmsg_seq, 0, NLM_F_MULTI, f.ext_mask) != 0)
      return 1;
    cursor.done();
  }
  return 0;
}

int get_link(netlink_sock* sk, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  const nlattr* tb[IFLA_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(ifinfomsg), tb, IFLA_MAX, ifla_policy, false, ack));
  const auto* ifm = nlmsg_data<ifinfomsg>(nlh);
  if (ifm->ifi_index <= 0 && tb[IFLA_IFNAME] == nullptr && tb[IFLA_ALT_IFNAME] == nullptr) return -EINVAL;
  net_device* dev = find_link(ifm, tb);
  if (dev == nullptr) return -ENODEV;
  sk_buff* skb = nlmsg_new(4096);
  const u32 mask = tb[IFLA_EXT_MASK] != nullptr ? nla_get_u32(tb[IFLA_EXT_MASK]) : 0;
  const int error =
      skb == nullptr ? -ENOBUFS : rtnl_fill_link(skb, dev, RTM_NEWLINK, sk->portid, nlh->nlmsg_seq, 0, 0, mask);
  dev_put(dev);
  if (error == 0) return netlink_unicast(sk, skb);
  kfree_skb(skb);
  return error;
}

// --- change ---
int change_master(net_device* dev, u32 index, netlink_ext_ack* ack) {
  if (dev->master != nullptr) {
    if (static_cast<u32>(dev->master->ifindex) == index) return 0;
    TRY_INT(dev->master->ops->ndo_del_slave(dev->master, dev));
  }
  if (index == 0) return 0;
  net_device* master = dev_get_by_index(static_cast<int>(index));
  if (master == nullptr) return nl_error(ack, -EINVAL, "Master device does not exist");
  const int error = master->ops->ndo_add_slave(master, dev);
  dev_put(master);
  return error;
}

int change_kind(net_device* dev, const nlattr* linkinfo, netlink_ext_ack* ack) {
  const nlattr* info[IFLA_INFO_MAX + 1];
  TRY_INT(nla_parse_nested(info, IFLA_INFO_MAX, linkinfo, nullptr, ack));
  if (info[IFLA_INFO_KIND] != nullptr && info[IFLA_INFO_DATA] != nullptr) {
    if (dev->link_ops == nullptr || !nla_equals(info[IFLA_INFO_KIND], dev->link_ops->kind) ||
        dev->link_ops->changelink == nullptr)
      return -EOPNOTSUPP;
    TRY_INT(dev->link_ops->changelink(dev, info[IFLA_INFO_DATA] + 1, nla_len(info[IFLA_INFO_DATA])));
  }
  const nlattr* slave = info[IFLA_INFO_SLAVE_DATA];
  if (slave != nullptr && dev->master != nullptr && dev->master->link_ops != nullptr &&
      dev->master->link_ops->slave_changelink != nullptr)
    return dev->master->link_ops->slave_changelink(dev->master, dev, slave + 1, nla_len(slave));
  return 0;
}

int set_link(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  const nlattr* tb[IFLA_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(ifinfomsg), tb, IFLA_MAX, ifla_policy, false, ack));
  net_device* dev = find_link(nlmsg_data<ifinfomsg>(nlh), tb);
  if (dev == nullptr) return -ENODEV;
  const int error = rtnl_change_link(dev, nlmsg_data<ifinfomsg>(nlh), tb, ack);
  dev_put(dev);
  return error;
}

int create_link(const ifinfomsg* ifm, const nlattr** tb, netlink_ext_ack* ack) {
  const nlattr* info[IFLA_INFO_MAX + 1] = {};
  if (tb[IFLA_LINKINFO] != nullptr) TRY_INT(nla_parse_nested(info, IFLA_INFO_MAX, tb[IFLA_LINKINFO], nullptr, ack));
  if (info[IFLA_INFO_KIND] == nullptr) return -EOPNOTSUPP;
  char kind[16], name[kIfNameSize];
  nla_get_string(info[IFLA_INFO_KIND], kind, sizeof kind);
  rtnl_link_ops* ops = find_kind(kind);
  if (ops == nullptr || ops->newlink == nullptr) return nl_error(ack, -EOPNOTSUPP, "Unknown device type");
  if (tb[IFLA_IFNAME] != nullptr) {
    nla_get_string(tb[IFLA_IFNAME], name, sizeof name);
  } else {
    format(name, sizeof name, "%s%%d", kind);
  }
  net_device* dev = rtnl_create_link(name, ops);
  if (dev == nullptr) return -ENOMEM;
  if (tb[IFLA_ADDRESS] != nullptr && nla_len(tb[IFLA_ADDRESS]) == dev->addr_len)
    memcpy(dev->dev_addr, nla_data(tb[IFLA_ADDRESS]), dev->addr_len);
  if (tb[IFLA_TXQLEN] != nullptr) dev->tx_queue_len = nla_get_u32(tb[IFLA_TXQLEN]);
  const nlattr* data = info[IFLA_INFO_DATA];
  const int error = ops->newlink(dev, tb, data == nullptr ? nullptr : data + 1, data == nullptr ? 0 : nla_len(data));
  if (error != 0) {
    free_netdev(dev);
    return error;
  }
  dev_hold(dev);
  const nlattr* left[IFLA_MAX + 1];
  memcpy(left, tb, sizeof left);
  left[IFLA_LINKINFO] = left[IFLA_ADDRESS] = left[IFLA_TXQLEN] = left[IFLA_IFNAME] = nullptr;
  const int late = rtnl_change_link(dev, ifm, left, ack);
  if (late != 0) ops->dellink(dev);
  dev_put(dev);
  return late;
}

int new_link(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  const nlattr* tb[IFLA_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(ifinfomsg), tb, IFLA_MAX, ifla_policy, false, ack));
  const auto* ifm = nlmsg_data<ifinfomsg>(nlh);
  if (net_device* dev = find_link(ifm, tb)) {
    const int error = (nlh->nlmsg_flags & NLM_F_EXCL) != 0 ? -EEXIST : rtnl_change_link(dev, ifm, tb, ack);
    dev_put(dev);
    return error;
  }
  if ((nlh->nlmsg_flags & NLM_F_CREATE) == 0) return -ENODEV;
  return create_link(ifm, tb, ack);
}

int del_link(netlink_sock*, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  const nlattr* tb[IFLA_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(ifinfomsg), tb, IFLA_MAX, ifla_policy, false, ack));
  net_device* dev = find_link(nlmsg_data<ifinfomsg>(nlh), tb);
  if (dev == nullptr) return -ENODEV;
  int error = 0;
  if (dev->link_ops == nullptr || dev->link_ops->dellink == nullptr) {
    error = -EOPNOTSUPP;
  } else {
    dev->link_ops->dellink(dev);
  }
  dev_put(dev);
  return error;
}

void device_event(NetdevEvent event, net_device* dev) {
  if (event == NETDEV_UNREGISTER) {
    tell(RTM_DELLINK, dev, ~0u);
  } else if (event != NETDEV_GOING_DOWN) {
    tell(RTM_NEWLINK, dev, event == NETDEV_REGISTER ? ~0u : 0);
  }
}
constinit notifier_block link_notifier{device_event};

void rtnl_link_init() {
  rtnl_register(AF_UNSPEC, RTM_GETLINK, get_link, dump_links);
  rtnl_register(AF_UNSPEC, RTM_NEWLINK, new_link, nullptr);
  rtnl_register(AF_UNSPEC, RTM_SETLINK, set_link, nullptr);
  rtnl_register(AF_UNSPEC, RTM_DELLINK, del_link, nullptr);
  register_netdevice_notifier(&link_notifier);
}
BUS_INITCALL(rtnl_link_init);

}  // namespace

int rtnl_fill_link(sk_buff* skb, const net_device* dev, u16 type, u32 portid, u32 seq, u32 change, u16 flags,
                   u32 ext_mask) {
  nlmsghdr* nlh = nlmsg_put(skb, portid, seq, type, sizeof(ifinfomsg), flags);
  if (nlh == nullptr) return -EMSGSIZE;
  *nlmsg_data<ifinfomsg>(nlh) = {AF_UNSPEC, 0, dev->type, dev->ifindex, dev_get_flags(dev), change};
  if (!fill_attributes(skb, dev, ext_mask)) {
    nlmsg_cancel(skb, nlh);
    return -EMSGSIZE;
  }
  nlmsg_end(skb, nlh);
  return 0;
}

int rtnl_link_register(rtnl_link_ops* ops) {
  rtnl_lock();
  const bool known = find_kind(ops->kind) != nullptr;
  if (!known) list_add_tail(&ops->list, &link_kinds);
  rtnl_unlock();
  return known ? -EEXIST : 0;
}

net_device* rtnl_create_link(const char* name, rtnl_link_ops* ops) {
  net_device* dev = alloc_netdev(name, ops->priv_size);
  if (dev == nullptr) return nullptr;
  dev->link_ops = ops;
  ops->setup(dev);
  return dev;
}

int rtnl_change_link(net_device* dev, const ifinfomsg* ifm, const nlattr** tb, netlink_ext_ack* ack) {
  if (tb[IFLA_NET_NS_PID] != nullptr || tb[IFLA_NET_NS_FD] != nullptr)
    return nl_error(ack, -EINVAL, "No network namespaces here");
  if (tb[IFLA_ADDRESS] != nullptr) {
    if (nla_len(tb[IFLA_ADDRESS]) < dev->addr_len) return nl_error(ack, -EINVAL, "Address too short", tb[IFLA_ADDRESS]);
    TRY_INT(dev_set_mac_address(dev, nla_data(tb[IFLA_ADDRESS])));
  }
  if (tb[IFLA_MTU] != nullptr) {
    if (dev_set_mtu(dev, nla_get_u32(tb[IFLA_MTU])) != 0)
      return nl_error(ack, -EINVAL,
                      nla_get_u32(tb[IFLA_MTU]) > dev->max_mtu ? "mtu greater than device maximum"
                                                               : "mtu less than device minimum");
  }
  if (tb[IFLA_GROUP] != nullptr) dev->group = nla_get_u32(tb[IFLA_GROUP]);
  if (ifm->ifi_index > 0 && tb[IFLA_IFNAME] != nullptr) {
    char name[kIfNameSize];
    nla_get_string(tb[IFLA_IFNAME], name, sizeof name);
    TRY_INT(dev_change_name(dev, name));
  }
  if (tb[IFLA_IFALIAS] != nullptr) nla_get_string(tb[IFLA_IFALIAS], dev->ifalias, sizeof dev->ifalias);
  if (tb[IFLA_BROADCAST] != nullptr && nla_len(tb[IFLA_BROADCAST]) == dev->addr_len)
    memcpy(dev->broadcast, nla_data(tb[IFLA_BROADCAST]), dev->addr_len);
  if (tb[IFLA_MASTER] != nullptr) TRY_INT(change_master(dev, nla_get_u32(tb[IFLA_MASTER]), ack));
  if (tb[IFLA_LINKINFO] != nullptr) TRY_INT(change_kind(dev, tb[IFLA_LINKINFO], ack));
  if (tb[IFLA_TXQLEN] != nullptr) dev->tx_queue_len = nla_get_u32(tb[IFLA_TXQLEN]);
  if (tb[IFLA_CARRIER] != nullptr) nla_get_u8(tb[IFLA_CARRIER]) != 0 ? netif_carrier_on(dev) : netif_carrier_off(dev);
  if (ifm->ifi_flags == 0 && ifm->ifi_change == 0) return 0;
  // Without a mask all flags are meant.
  const u32 mask = ifm->ifi_change == 0 ? ~0u : ifm->ifi_change;
  return dev_change_flags(dev, (ifm->ifi_flags & mask) | (dev_get_flags(dev) & ~mask));
}

}  // namespace xm::os
