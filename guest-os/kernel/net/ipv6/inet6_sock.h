// SPDX-License-Identifier: GPL-2.0-or-later
// AF_INET6 sockets: what their parts share.
#pragma once

#include "kernel/net/inet_sock.h"
#include "kernel/net/ip.h"
#include "kernel/net/ipv6/ipv6.h"
#include "kernel/net/route.h"

namespace xm::os {

int ipv6_setsockopt(sock* sk, int level, int name, u64 user, u32 length);
int ipv6_getsockopt(sock* sk, int level, int name, u64 user, int length, u64 user_length);
void ip6_cmsg_recv(msghdr& m, sock* sk, sk_buff* skb);
int ip6_cmsg_send(const msghdr& m, flowi6* fl, int* hop_limit, int* tclass);
int icmpv6_err_convert(u8 type, u8 code, int* error);  // 1: ends a connection
void tcpv6_init();
void udpv6_init();
void rawv6_init();

}  // namespace xm::os
