// SPDX-License-Identifier: GPL-2.0-or-later
// Who answers which rtnetlink message. doit and dumpit run with rtnl held.
#pragma once

#include "abi/rtnetlink.h"
#include "kernel/net/netdevice.h"
#include "kernel/net/netlink/netlink.h"

namespace xm::os {

using rtnl_doit_func = int (*)(netlink_sock* sk, const nlmsghdr* nlh, netlink_ext_ack* ack);
using rtnl_dumpit_func = int (*)(sk_buff* skb, netlink_callback* cb);
void rtnl_register(int family, u16 type, rtnl_doit_func doit, rtnl_dumpit_func dumpit);

// Changes that programs hear of. `sk` null: the kernel's own doing.
void rtnl_notify(sk_buff* skb, u32 group);

// A new device for `ip link add type`: named, with the ops of the kind; not registered. Null: no memory.
net_device* rtnl_create_link(const char* name, rtnl_link_ops* ops);
// Sets what IFLA_* attributes and ifinfomsg ask for on a registered device.
int rtnl_change_link(net_device* dev, const ifinfomsg* ifm, const nlattr** tb, netlink_ext_ack* ack);
extern const nla_policy ifla_policy[IFLA_MAX + 1];
int rtnl_fill_link(sk_buff* skb, const net_device* dev, u16 type, u32 portid, u32 seq, u32 change, u16 flags,
                   u32 ext_mask);

// Where a dump over a list goes on: cb->args[slot] counts what was told. for (DumpCursor c(cb, 0); ...) if (c.skip())
// continue;
class DumpCursor {
 public:
  DumpCursor(netlink_callback* cb, u32 slot) : told_(cb->args[slot]) {}
  bool skip() { return seen_++ < told_; }
  void done() { ++told_; }

 private:
  u64& told_;
  u64 seen_ = 0;
};

}  // namespace xm::os
