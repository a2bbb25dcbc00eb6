// SPDX-License-Identifier: GPL-2.0-or-later
// UDP, with the parts that both families share. [RFC 768]
#pragma once

#include "kernel/net/inet_sock.h"
#include "kernel/net/ip.h"
#include "kernel/net/route.h"

namespace xm::os {

struct udp_sock : inet_sock {
  inet_cork cork;  // UDP_CORK, MSG_MORE: data that waits for its end
  flowi4 cork_fl;
  bool corkflag = false;
  u16 gso_size = 0;
  bool gro = false, encap = false;
  list_head port_link;
};
inline udp_sock* udp_sk(sock* sk) { return static_cast<udp_sock*>(sk); }

extern u64 udp_hash_count;

// The socket that a datagram is for: referenced, or null. Addresses in mapped form.
sock* udp_lib_lookup(const in6_addr& saddr, be16 sport, const in6_addr& daddr, be16 dport, int dif);
int udp_queue_rcv_skb(sock* sk, sk_buff* skb);
// Receives a datagram of either family: skb->data at the UDP header, addresses given. Checksum is verified by `sum_ok`.
int udp_lib_rcv(sk_buff* skb, const in6_addr& saddr, const in6_addr& daddr, bool multicast, bool no_sum_ok,
                void (*unreachable)(sk_buff* skb), bool (*sum_ok)(sk_buff* skb, u32 length));
int udp_lib_get_port(sock* sk, u16 port);
void udp_lib_unhash(sock* sk);
int udp_set_option(sock* sk, int name, int value);
int udp_get_option(sock* sk, int name, int* value);
// IPv6 sockets: connect and sendmsg for destinations that are not mapped IPv4; set by IPv6.
struct udp6_ops {
  int (*connect)(sock* sk, const in6_addr& to, be16 port, int oif);
  ssize_t (*sendmsg)(sock* sk, msghdr& m, const in6_addr& to, be16 port, int oif);
  void (*cmsg_recv)(msghdr& m, sock* sk, sk_buff* skb);
  ssize_t (*recv_error)(sock* sk, msghdr& m);
  int (*setsockopt)(sock* sk, int level, int name, u64 user, u32 length);
  int (*getsockopt)(sock* sk, int level, int name, u64 user, int length, u64 user_length);
};
extern const udp6_ops* udp6_ops_ptr;
extern const proto& udp_prot;
int udp_v4_connect(sock* sk, be32 daddr, be16 port, int oif);

void udp_for_each(void (*visit)(udp_sock* u, void* data), void* data);
void raw_for_each(void (*visit)(inet_sock* r, void* data), void* data);
void ping_for_each(void (*visit)(inet_sock* r, void* data), void* data);

}  // namespace xm::os
