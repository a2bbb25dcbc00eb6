// SPDX-License-Identifier: GPL-2.0-or-later
// Netlink messages, attributes and socket options. [man 7 netlink]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

enum NetlinkProtocol : int {
  NETLINK_ROUTE = 0,
  NETLINK_USERSOCK = 2,
  NETLINK_SOCK_DIAG = 4,
  NETLINK_AUDIT = 9,
  NETLINK_NETFILTER = 12,
  NETLINK_KOBJECT_UEVENT = 15,
  NETLINK_GENERIC = 16,
  kMaxNetlink = 32
};

struct sockaddr_nl {
  u16 nl_family, nl_pad;
  u32 nl_pid, nl_groups;
};
struct nlmsghdr {
  u32 nlmsg_len;
  u16 nlmsg_type, nlmsg_flags;
  u32 nlmsg_seq, nlmsg_pid;
};
static_assert(sizeof(nlmsghdr) == 16);
struct nlattr {
  u16 nla_len, nla_type;
};
struct nlmsgerr {
  int error;
  nlmsghdr msg;
};
struct nl_pktinfo {
  u32 group;
};

constexpr u16 NLMSG_NOOP = 1, NLMSG_ERROR = 2, NLMSG_DONE = 3, NLMSG_MIN_TYPE = 0x10;
constexpr u16 NLM_F_REQUEST = 1, NLM_F_MULTI = 2, NLM_F_ACK = 4, NLM_F_ECHO = 8, NLM_F_DUMP_INTR = 0x10,
              NLM_F_ROOT = 0x100, NLM_F_MATCH = 0x200, NLM_F_DUMP = NLM_F_ROOT | NLM_F_MATCH, NLM_F_REPLACE = 0x100,
              NLM_F_EXCL = 0x200, NLM_F_CREATE = 0x400, NLM_F_APPEND = 0x800, NLM_F_NONREC = 0x100, NLM_F_BULK = 0x200,
              NLM_F_CAPPED = 0x100, NLM_F_ACK_TLVS = 0x200;
constexpr u16 NLMSGERR_ATTR_MSG = 1, NLMSGERR_ATTR_OFFS = 2;
constexpr u16 NLA_F_NESTED = 0x8000, NLA_TYPE_MASK = 0x3fff;
constexpr u32 NLMSG_HDRLEN = 16, NLA_HDRLEN = 4;
constexpr u32 nl_align(u32 n) { return (n + 3) & ~3u; }

constexpr int SOL_NETLINK = 270;
enum NetlinkOption : int {
  NETLINK_ADD_MEMBERSHIP = 1,
  NETLINK_DROP_MEMBERSHIP = 2,
  NETLINK_PKTINFO = 3,
  NETLINK_BROADCAST_ERROR = 4,
  NETLINK_NO_ENOBUFS = 5,
  NETLINK_LISTEN_ALL_NSID = 8,
  NETLINK_LIST_MEMBERSHIPS = 9,
  NETLINK_CAP_ACK = 10,
  NETLINK_EXT_ACK = 11,
  NETLINK_GET_STRICT_CHK = 12
};

}  // namespace xm::os
