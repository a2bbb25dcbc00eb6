// SPDX-License-Identifier: GPL-2.0-or-later
// Internet sockets: protocol numbers, socket addresses, options of the IP, IPv6, TCP and UDP levels. [man 7 ip],
// [man 7 ipv6], [man 7 tcp], [man 7 udp], [RFC 3493], [RFC 3542]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

enum : u8 {
  IPPROTO_ICMP = 1,
  IPPROTO_IGMP = 2,
  IPPROTO_TCP = 6,
  IPPROTO_UDP = 17,
  IPPROTO_IPV6 = 41,
  IPPROTO_ICMPV6 = 58,
  IPPROTO_UDPLITE = 136,
  IPPROTO_RAW = 255
};
constexpr int IPPROTO_IP = 0;
constexpr int SOL_IP = 0, SOL_TCP = 6, SOL_UDP = 17, SOL_IPV6 = 41, SOL_ICMPV6 = 58, SOL_RAW = 255;

struct sockaddr_in {
  u16 family, port;
  u32 addr;
  u8 zero[8];
};
static_assert(sizeof(sockaddr_in) == 16);
struct sockaddr_in6 {
  u16 family, port;
  u32 flowinfo;
  u8 addr[16];
  u32 scope_id;
};
static_assert(sizeof(sockaddr_in6) == 28);

enum IpOption : int {
  IP_TOS = 1,
  IP_TTL = 2,
  IP_HDRINCL = 3,
  IP_OPTIONS = 4,
  IP_RECVOPTS = 6,
  IP_RETOPTS = 7,
  IP_PKTINFO = 8,
  IP_MTU_DISCOVER = 10,
  IP_RECVERR = 11,
  IP_RECVTTL = 12,
  IP_RECVTOS = 13,
  IP_MTU = 14,
  IP_FREEBIND = 15,
  IP_TRANSPARENT = 19,
  IP_RECVORIGDSTADDR = 20,
  IP_MINTTL = 21,
  IP_NODEFRAG = 22,
  IP_BIND_ADDRESS_NO_PORT = 24,
  IP_MULTICAST_IF = 32,
  IP_MULTICAST_TTL = 33,
  IP_MULTICAST_LOOP = 34,
  IP_ADD_MEMBERSHIP = 35,
  IP_DROP_MEMBERSHIP = 36,
  IP_UNBLOCK_SOURCE = 37,
  IP_BLOCK_SOURCE = 38,
  IP_ADD_SOURCE_MEMBERSHIP = 39,
  IP_DROP_SOURCE_MEMBERSHIP = 40,
  MCAST_JOIN_GROUP = 42,
  MCAST_LEAVE_GROUP = 45,
  IP_MULTICAST_ALL = 49,
  IP_UNICAST_IF = 50,
  IP_LOCAL_PORT_RANGE = 51
};
constexpr int IP_PMTUDISC_DONT = 0, IP_PMTUDISC_WANT = 1, IP_PMTUDISC_DO = 2, IP_PMTUDISC_PROBE = 3,
              IP_PMTUDISC_INTERFACE = 4, IP_PMTUDISC_OMIT = 5;

enum Ipv6Option : int {
  IPV6_UNICAST_HOPS = 16,
  IPV6_MULTICAST_IF = 17,
  IPV6_MULTICAST_HOPS = 18,
  IPV6_MULTICAST_LOOP = 19,
  IPV6_JOIN_GROUP = 20,
  IPV6_LEAVE_GROUP = 21,
  IPV6_MTU_DISCOVER = 23,
  IPV6_MTU = 24,
  IPV6_RECVERR = 25,
  IPV6_V6ONLY = 26,
  IPV6_FREEBIND = 78,
  IPV6_RECVPKTINFO = 49,
  IPV6_PKTINFO = 50,
  IPV6_RECVHOPLIMIT = 51,
  IPV6_HOPLIMIT = 52,
  IPV6_DONTFRAG = 62,
  IPV6_RECVTCLASS = 66,
  IPV6_TCLASS = 67,
  IPV6_AUTOFLOWLABEL = 70,
  IPV6_ADDR_PREFERENCES = 72
};

enum TcpOption : int {
  TCP_NODELAY = 1,
  TCP_MAXSEG = 2,
  TCP_CORK = 3,
  TCP_KEEPIDLE = 4,
  TCP_KEEPINTVL = 5,
  TCP_KEEPCNT = 6,
  TCP_SYNCNT = 7,
  TCP_LINGER2 = 8,
  TCP_DEFER_ACCEPT = 9,
  TCP_WINDOW_CLAMP = 10,
  TCP_INFO = 11,
  TCP_QUICKACK = 12,
  TCP_CONGESTION = 13,
  TCP_MD5SIG = 14,
  TCP_THIN_LINEAR_TIMEOUTS = 16,
  TCP_THIN_DUPACK = 17,
  TCP_USER_TIMEOUT = 18,
  TCP_REPAIR = 19,
  TCP_FASTOPEN = 23,
  TCP_TIMESTAMP = 24,
  TCP_NOTSENT_LOWAT = 25,
  TCP_CC_INFO = 26,
  TCP_SAVE_SYN = 27,
  TCP_FASTOPEN_CONNECT = 30,
  TCP_ULP = 31,
  TCP_INQ = 36
};
constexpr int UDP_CORK = 1, UDP_SEGMENT = 103, UDP_GRO = 104;

struct in_pktinfo {
  int ifindex;
  u32 spec_dst, addr;
};
struct in6_pktinfo {
  u8 addr[16];
  u32 ifindex;
};
struct ip_mreqn {
  u32 multiaddr, address;
  int ifindex;
};
struct ip_mreq_source {
  u32 multiaddr, interface, sourceaddr;
};
struct ipv6_mreq {
  u8 multiaddr[16];
  int ifindex;
};

// What MSG_ERRQUEUE yields. [man 7 ip] IP_RECVERR
struct sock_extended_err {
  u32 ee_errno;
  u8 ee_origin, ee_type, ee_code, ee_pad;
  u32 ee_info, ee_data;
};
constexpr u8 SO_EE_ORIGIN_NONE = 0, SO_EE_ORIGIN_LOCAL = 1, SO_EE_ORIGIN_ICMP = 2, SO_EE_ORIGIN_ICMP6 = 3;

// ioctls of sockets with routes and addresses. [man 7 netdevice], [man 7 arp]
constexpr u32 SIOCADDRT = 0x890b, SIOCDELRT = 0x890c, SIOCGSTAMP = 0x8906, SIOCGSTAMPNS = 0x8907, SIOCGIFADDR = 0x8915,
              SIOCSIFADDR = 0x8916, SIOCGIFDSTADDR = 0x8917, SIOCSIFDSTADDR = 0x8918, SIOCGIFBRDADDR = 0x8919,
              SIOCSIFBRDADDR = 0x891a, SIOCGIFNETMASK = 0x891b, SIOCSIFNETMASK = 0x891c, SIOCGIFFLAGS = 0x8913,
              SIOCSIFFLAGS = 0x8914, SIOCGIFCONF = 0x8912, SIOCOUTQNSD = 0x894b, SIOCDIFADDR = 0x8936;
struct ifreq {
  char name[16];
  union {
    sockaddr_in addr;
    int value;
    u16 flags;
    char data[24];
  };
};
static_assert(sizeof(ifreq) == 40);
struct rtentry_abi {
  u64 pad1;
  sockaddr_in dst, gateway, genmask;
  u16 flags;
  s16 pad2;
  u32 pad2b;
  u64 pad3;
  u64 pad4;
  s16 metric;
  u16 pad5[3];
  u64 dev;
  u64 mtu, window;
  u16 irtt;
};
constexpr u16 RTF_UP = 1, RTF_GATEWAY = 2, RTF_HOST = 4, RTF_REJECT = 0x200, RTF_MTU = 0x40, RTF_WINDOW = 0x80;

}  // namespace xm::os
