// SPDX-License-Identifier: GPL-2.0-or-later
// IPv4 on a device: its addresses, settings and multicast groups (net/ipv4/devinet.cc, igmp.cc), and the routes that
// follow from them (net/ipv4/fib_frontend.cc). Changes hold rtnl; readers are inside net_read_lock().
#pragma once

#include "kernel/net/byteorder.h"
#include "kernel/net/netdevice.h"

namespace xm::os {

// Settings under /proc/sys/net/ipv4/conf/NAME, by the numbers of IFLA_INET_CONF.
// clang-format off
#define XM_IPV4_DEVCONF(X) \
  X(forwarding) X(mc_forwarding) X(proxy_arp) X(accept_redirects) X(secure_redirects) X(send_redirects) \
  X(shared_media) X(rp_filter) X(accept_source_route) X(bootp_relay) X(log_martians) X(tag) X(arp_filter) \
  X(medium_id) X(disable_xfrm) X(disable_policy) X(force_igmp_version) X(arp_announce) X(arp_ignore) \
  X(promote_secondaries) X(arp_accept) X(arp_notify) X(accept_local) X(src_valid_mark) X(proxy_arp_pvlan) \
  X(route_localnet)
// clang-format on
enum Ipv4Devconf : u32 {
#define X(name) IPV4_DEVCONF_##name,
  XM_IPV4_DEVCONF(X)
#undef X
      IPV4_DEVCONF_MAX
};
struct ipv4_devconf {
  s64 data[IPV4_DEVCONF_MAX] = {};
};
extern ipv4_devconf ipv4_devconf_all, ipv4_devconf_dflt;

enum : u32 {  // ifa_flags [rtnetlink(7)]
  IFA_F_SECONDARY = 1,
  IFA_F_NODAD = 2,
  IFA_F_PERMANENT = 0x80,
  IFA_F_NOPREFIXROUTE = 0x200
};

struct in_ifaddr {
  in_ifaddr* ifa_next = nullptr;
  in_device* ifa_dev = nullptr;
  list_head hash;  // by local address
  be32 ifa_local = 0, ifa_address = 0 /* peer on a point-to-point link */, ifa_mask = 0, ifa_broadcast = 0;
  u8 ifa_scope = 0, ifa_prefixlen = 0;
  u32 ifa_flags = 0, ifa_rt_priority = 0;
  u32 ifa_valid_lft = 0xffffffff, ifa_preferred_lft = 0xffffffff;  // seconds; all ones: for ever
  u64 ifa_cstamp = 0, ifa_tstamp = 0;                              // CLOCK_MONOTONIC ns
  char ifa_label[kIfNameSize] = {};
};
struct ip_mc_list;

struct in_device {
  net_device* dev = nullptr;
  in_ifaddr* ifa_list = nullptr;
  ip_mc_list* mc_list = nullptr;
  ipv4_devconf cnf;
  bool dead = false;
};

inline in_device* in_dev_get(const net_device* dev) { return read_once(dev->ip_ptr); }
in_device* inetdev_init(net_device* dev);  // rtnl; null: no memory
inline s64 in_dev_conf(const in_device* in, Ipv4Devconf what) { return in->cnf.data[what]; }

inline be32 inet_make_mask(u32 prefix) { return prefix == 0 ? 0 : htonl(~0u << (32 - prefix)); }
u32 inet_mask_len(be32 mask);
inline bool inet_ifa_match(be32 a, const in_ifaddr* ifa) { return ((a ^ ifa->ifa_address) & ifa->ifa_mask) == 0; }

// All with rtnl held. insert consumes the address also when it fails.
in_ifaddr* inet_alloc_ifa();
int inet_insert_ifa(in_device* in, in_ifaddr* ifa);
void inet_del_ifa(in_device* in, in_ifaddr* ifa);
in_ifaddr* inet_ifa_byprefix(in_device* in, be32 prefix, be32 mask);
// RTM_NEWADDR, RTM_DELADDR: told after the change, for `ip monitor`. Set by netlink.
extern void (*rtmsg_ifa_hook)(int event, const in_ifaddr* ifa);

// A source address for packets out of `dev` (or any device) to `dst` of at most this scope; 0: none.
be32 inet_select_addr(const net_device* dev, be32 dst, int scope);
net_device* ip_dev_find(be32 address);  // whose address it is: referenced, or null
bool inet_addr_onlink(in_device* in, be32 a, be32 b);
// Is `local` an address of ours, of `dev` if given? For ARP.
be32 inet_confirm_addr(in_device* in, be32 dst, be32 local, int scope);

long devinet_ioctl(u32 command, u64 argument);  // SIOC[GS]IF{ADDR,BRDADDR,NETMASK,DSTADDR,FLAGS}
long inet_gifconf(net_device* dev, u64 user, int room);

// igmp.cc
void ip_mc_up(in_device* in);
void ip_mc_down(in_device* in);
void ip_mc_destroy_dev(in_device* in);
void ip_mc_inc_group(in_device* in, be32 group);
void ip_mc_dec_group(in_device* in, be32 group);
bool ip_check_mc(const in_device* in, be32 group);
int igmp_rcv(sk_buff* skb);

}  // namespace xm::os
