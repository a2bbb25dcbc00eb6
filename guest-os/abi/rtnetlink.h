// SPDX-License-Identifier: GPL-2.0-or-later
// rtnetlink: messages about links, addresses, routes, neighbours, rules and queueing. [man 7 rtnetlink]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

enum RtmType : u16 {
  RTM_NEWLINK = 16,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_SETLINK,
  RTM_NEWADDR = 20,
  RTM_DELADDR,
  RTM_GETADDR,
  RTM_NEWROUTE = 24,
  RTM_DELROUTE,
  RTM_GETROUTE,
  RTM_NEWNEIGH = 28,
  RTM_DELNEIGH,
  RTM_GETNEIGH,
  RTM_NEWRULE = 32,
  RTM_DELRULE,
  RTM_GETRULE,
  RTM_NEWQDISC = 36,
  RTM_DELQDISC,
  RTM_GETQDISC,
  RTM_NEWTCLASS = 40,
  RTM_DELTCLASS,
  RTM_GETTCLASS,
  RTM_NEWTFILTER = 44,
  RTM_DELTFILTER,
  RTM_GETTFILTER,
  RTM_GETNEIGHTBL = 66,
  RTM_NEWNETCONF = 80,
  RTM_GETNETCONF = 82,
  RTM_GETMDB = 86,
  RTM_NEWNSID = 88,
  RTM_GETNSID = 90,
  RTM_NEWSTATS = 92,
  RTM_GETSTATS = 94,
  RTM_GETNEXTHOP = 106,
  RTM_GETVLAN = 114,
  kRtmMax = 123
};
enum RtnlGroup : u32 {
  RTNLGRP_LINK = 1,
  RTNLGRP_NEIGH = 3,
  RTNLGRP_TC = 4,
  RTNLGRP_IPV4_IFADDR = 5,
  RTNLGRP_IPV4_ROUTE = 7,
  RTNLGRP_IPV4_RULE = 8,
  RTNLGRP_IPV6_IFADDR = 9,
  RTNLGRP_IPV6_ROUTE = 11,
  RTNLGRP_IPV6_PREFIX = 18,
  RTNLGRP_IPV6_RULE = 19
};

struct rtgenmsg {
  u8 rtgen_family;
};
struct ifinfomsg {
  u8 ifi_family, pad;
  u16 ifi_type;
  int ifi_index;
  u32 ifi_flags, ifi_change;
};
struct ifaddrmsg {
  u8 ifa_family, ifa_prefixlen, ifa_flags, ifa_scope;
  u32 ifa_index;
};
struct ndmsg {
  u8 ndm_family, pad1;
  u16 pad2;
  int ndm_ifindex;
  u16 ndm_state;
  u8 ndm_flags, ndm_type;
};
struct rtmsg {
  u8 rtm_family, rtm_dst_len, rtm_src_len, rtm_tos, rtm_table, rtm_protocol, rtm_scope, rtm_type;
  u32 rtm_flags;
};
struct tcmsg {
  u8 tcm_family, pad1;
  u16 pad2;
  int tcm_ifindex;
  u32 tcm_handle, tcm_parent, tcm_info;
};
struct fib_rule_hdr {
  u8 family, dst_len, src_len, tos, table, res1, res2, action;
  u32 flags;
};
struct rtnexthop {
  u16 rtnh_len;
  u8 rtnh_flags, rtnh_hops;
  int rtnh_ifindex;
};
struct ifa_cacheinfo {
  u32 ifa_prefered, ifa_valid, cstamp, tstamp;  // the stamps in hundredths of a second
};
struct nda_cacheinfo {
  u32 ndm_confirmed, ndm_used, ndm_updated, ndm_refcnt;
};
struct rta_cacheinfo {
  u32 rta_clntref, rta_lastuse;
  s32 rta_expires;
  u32 rta_error, rta_used, rta_id, rta_ts, rta_tsage;
};
struct rtnl_link_ifmap {
  u64 mem_start, mem_end, base_addr;
  u16 irq;
  u8 dma, port;
};

enum IflaType : u16 {
  IFLA_ADDRESS = 1,
  IFLA_BROADCAST,
  IFLA_IFNAME,
  IFLA_MTU,
  IFLA_LINK,
  IFLA_QDISC,
  IFLA_STATS,
  IFLA_COST,
  IFLA_PRIORITY,
  IFLA_MASTER,
  IFLA_WIRELESS,
  IFLA_PROTINFO,
  IFLA_TXQLEN,
  IFLA_MAP,
  IFLA_WEIGHT,
  IFLA_OPERSTATE,
  IFLA_LINKMODE,
  IFLA_LINKINFO,
  IFLA_NET_NS_PID,
  IFLA_IFALIAS,
  IFLA_NUM_VF,
  IFLA_STATS64 = 23,
  IFLA_AF_SPEC = 26,
  IFLA_GROUP,
  IFLA_NET_NS_FD,
  IFLA_EXT_MASK,
  IFLA_PROMISCUITY,
  IFLA_NUM_TX_QUEUES,
  IFLA_NUM_RX_QUEUES,
  IFLA_CARRIER,
  IFLA_CARRIER_CHANGES = 35,
  IFLA_PROTO_DOWN = 39,
  IFLA_GSO_MAX_SEGS,
  IFLA_GSO_MAX_SIZE,
  IFLA_EVENT = 44,
  IFLA_CARRIER_UP_COUNT = 47,
  IFLA_CARRIER_DOWN_COUNT,
  IFLA_MIN_MTU = 50,
  IFLA_MAX_MTU,
  IFLA_ALT_IFNAME = 53,
  IFLA_PERM_ADDRESS,
  IFLA_ALLMULTI = 61,
  IFLA_MAX = 64
};
enum IflaInfo : u16 {
  IFLA_INFO_KIND = 1,
  IFLA_INFO_DATA,
  IFLA_INFO_XSTATS,
  IFLA_INFO_SLAVE_KIND,
  IFLA_INFO_SLAVE_DATA,
  IFLA_INFO_MAX = 5
};
enum IfaType : u16 {
  IFA_ADDRESS = 1,
  IFA_LOCAL,
  IFA_LABEL,
  IFA_BROADCAST,
  IFA_ANYCAST,
  IFA_CACHEINFO,
  IFA_MULTICAST,
  IFA_FLAGS,
  IFA_RT_PRIORITY,
  IFA_MAX = 11
};
enum NdaType : u16 {
  NDA_DST = 1,
  NDA_LLADDR,
  NDA_CACHEINFO,
  NDA_PROBES,
  NDA_VLAN,
  NDA_IFINDEX = 8,
  NDA_MASTER,
  NDA_PROTOCOL = 12,
  NDA_FLAGS_EXT = 15,
  NDA_MAX = 16
};
enum RtaType : u16 {
  RTA_DST = 1,
  RTA_SRC,
  RTA_IIF,
  RTA_OIF,
  RTA_GATEWAY,
  RTA_PRIORITY,
  RTA_PREFSRC,
  RTA_METRICS,
  RTA_MULTIPATH,
  RTA_FLOW = 11,
  RTA_CACHEINFO,
  RTA_TABLE = 15,
  RTA_MARK,
  RTA_VIA = 18,
  RTA_PREF = 20,
  RTA_EXPIRES = 23,
  RTA_UID = 25,
  RTA_IP_PROTO = 27,
  RTA_SPORT,
  RTA_DPORT,
  RTA_MAX = 30
};
enum RtaxType : u16 {
  RTAX_LOCK = 1,
  RTAX_MTU,
  RTAX_WINDOW,
  RTAX_ADVMSS = 8,
  RTAX_INITCWND = 11,
  RTAX_INITRWND = 14,
  RTAX_MAX = 17
};
enum FraType : u16 {
  FRA_DST = 1,
  FRA_SRC,
  FRA_IIFNAME,
  FRA_GOTO,
  FRA_PRIORITY = 6,
  FRA_FWMARK = 10,
  FRA_FLOW,
  FRA_SUPPRESS_IFGROUP = 13,
  FRA_SUPPRESS_PREFIXLEN,
  FRA_TABLE,
  FRA_FWMASK,
  FRA_OIFNAME,
  FRA_L3MDEV = 19,
  FRA_PROTOCOL = 21,
  FRA_IP_PROTO,
  FRA_MAX = 24
};
enum TcaType : u16 {
  TCA_KIND = 1,
  TCA_OPTIONS,
  TCA_STATS,
  TCA_XSTATS,
  TCA_RATE,
  TCA_STATS2 = 7,
  TCA_HW_OFFLOAD = 12,
  TCA_INGRESS_BLOCK,
  TCA_MAX = 16
};
constexpr u16 kTcaStatsBasic = 1, kTcaStatsQueue = 3;  // TCA_STATS_* inside TCA_STATS2

constexpr u32 RTEXT_FILTER_VF = 1, RTEXT_FILTER_BRVLAN = 2, RTEXT_FILTER_SKIP_STATS = 8;
constexpr u8 IF_OPER_UNKNOWN = 0, IF_OPER_DOWN = 2, IF_OPER_LOWERLAYERDOWN = 3, IF_OPER_UP = 6;

}  // namespace xm::os
