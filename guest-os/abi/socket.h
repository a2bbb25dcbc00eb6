// SPDX-License-Identifier: GPL-2.0-or-later
// Sockets: families, types, flags, options and the structures of sendmsg and recvmsg. [man 2 socket], [man 7 socket],
// [man 2 recvmsg], [man 3 cmsg], [man 7 unix]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

constexpr int AF_UNSPEC = 0, AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10, AF_NETLINK = 16, AF_PACKET = 17, AF_MAX = 46;
constexpr int SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_RAW = 3, SOCK_RDM = 4, SOCK_SEQPACKET = 5, SOCK_DCCP = 6,
              SOCK_PACKET = 10, SOCK_MAX = 11;
constexpr int SOCK_TYPE_MASK = 0xf, SOCK_CLOEXEC = 02000000, SOCK_NONBLOCK = 04000;
constexpr int SHUT_RD = 0, SHUT_WR = 1, SHUT_RDWR = 2;
constexpr int kSoMaxConn = 4096;

constexpr u32 MSG_OOB = 1, MSG_PEEK = 2, MSG_DONTROUTE = 4, MSG_CTRUNC = 8, MSG_TRUNC = 0x20, MSG_DONTWAIT = 0x40,
              MSG_EOR = 0x80, MSG_WAITALL = 0x100, MSG_ERRQUEUE = 0x2000, MSG_NOSIGNAL = 0x4000, MSG_MORE = 0x8000,
              MSG_WAITFORONE = 0x10000, MSG_CMSG_CLOEXEC = 0x40000000, MSG_CMSG_COMPAT = 0x80000000;

constexpr int SOL_SOCKET = 1;
enum SocketOption : int {
  SO_DEBUG = 1,
  SO_REUSEADDR = 2,
  SO_TYPE = 3,
  SO_ERROR = 4,
  SO_DONTROUTE = 5,
  SO_BROADCAST = 6,
  SO_SNDBUF = 7,
  SO_RCVBUF = 8,
  SO_KEEPALIVE = 9,
  SO_OOBINLINE = 10,
  SO_NO_CHECK = 11,
  SO_PRIORITY = 12,
  SO_LINGER = 13,
  SO_BSDCOMPAT = 14,
  SO_REUSEPORT = 15,
  SO_PASSCRED = 16,
  SO_PEERCRED = 17,
  SO_RCVLOWAT = 18,
  SO_SNDLOWAT = 19,
  SO_RCVTIMEO = 20,
  SO_SNDTIMEO = 21,
  SO_BINDTODEVICE = 25,
  SO_ATTACH_FILTER = 26,
  SO_DETACH_FILTER = 27,
  SO_PEERNAME = 28,
  SO_TIMESTAMP = 29,
  SO_ACCEPTCONN = 30,
  SO_PEERSEC = 31,
  SO_SNDBUFFORCE = 32,
  SO_RCVBUFFORCE = 33,
  SO_PASSSEC = 34,
  SO_TIMESTAMPNS = 35,
  SO_MARK = 36,
  SO_TIMESTAMPING = 37,
  SO_PROTOCOL = 38,
  SO_DOMAIN = 39,
  SO_RXQ_OVFL = 40,
  SO_PEEK_OFF = 42,
  SO_BUSY_POLL = 46,
  SO_INCOMING_CPU = 49,
  SO_PEERGROUPS = 59,
  SO_ZEROCOPY = 60,
  SO_RCVTIMEO_NEW = 66,
  SO_SNDTIMEO_NEW = 67,
};
constexpr int SCM_RIGHTS = 1, SCM_CREDENTIALS = 2;

constexpr u32 FIONREAD = 0x541b, FIONBIO = 0x5421, FIOASYNC = 0x5452, FIOSETOWN = 0x8901, SIOCSPGRP = 0x8902,
              FIOGETOWN = 0x8903, SIOCGPGRP = 0x8904, SIOCATMARK = 0x8905, SIOCOUTQ = 0x5411;

struct sockaddr_storage {
  u16 family;
  char data[126];
};
static_assert(sizeof(sockaddr_storage) == 128);
struct sockaddr_un {
  u16 family;
  char path[108];
};
struct ucred {
  int pid;
  u32 uid, gid;
};
struct linger_abi {
  int on, seconds;
};
struct msghdr_abi {
  u64 name;
  int namelen;
  int pad0;
  u64 iov, iovlen;
  u64 control, controllen;
  u32 flags;
  int pad1;
};
static_assert(sizeof(msghdr_abi) == 56);
struct msghdr_abi32 {
  u32 name, namelen, iov, iovlen, control, controllen, flags;
};
struct mmsghdr_abi {
  msghdr_abi header;
  u32 length;
  u32 pad;
};
struct cmsghdr {  // `length` counts the header; data follows, each message aligned to a word
  u64 length;
  int level, type;
};
struct cmsghdr32 {
  u32 length;
  int level, type;
};

}  // namespace xm::os
