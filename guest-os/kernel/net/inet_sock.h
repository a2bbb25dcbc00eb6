// SPDX-License-Identifier: GPL-2.0-or-later
// Internet sockets of both families, and the proto_ops they share. An IPv6 socket has its own settings in `pinet6`; its
// addresses are in sock_common like those of IPv4, which are kept as mapped ones.
#pragma once

#include "abi/in.h"
#include "kernel/net/sock.h"

namespace xm::os {

struct ip_mc_socklist;
struct ipv6_mc_socklist;
struct inet_cork;

struct ipv6_pinfo {
  in6_addr saddr;  // sk_v6_rcv_saddr is what packets must match, this is what we send from
  s16 hop_limit = -1, mcast_hops = -1;
  s16 tclass = 0;
  bool mc_loop = true, recverr = false, rxinfo = false, rxhlim = false, rxtclass = false, dontfrag = false,
       autoflowlabel = true;
  u8 pmtudisc = IP_PMTUDISC_WANT;
  int mcast_oif = 0, sticky_oif = 0;
  be32 flow_label = 0;
  u32 dst_cookie = 0, frag_size = 0, addr_preferences = 0;
  ipv6_mc_socklist* mc_list = nullptr;
};

struct inet_sock : sock {
  ipv6_pinfo* pinet6 = nullptr;
  be32 inet_saddr = 0;  // what we send from
  be16 inet_sport = 0;
  s16 uc_ttl = -1;
  u8 tos = 0, min_ttl = 0, mc_ttl = 1, pmtudisc = IP_PMTUDISC_WANT;
  bool recverr = false, hdrincl = false, mc_loop = true, mc_all = true, transparent = false, freebind = false,
       nodefrag = false, bind_address_no_port = false, is_icsk = false;
  // control messages wanted
  bool want_pktinfo = false, want_ttl = false, want_tos = false, want_opts = false, want_origdst = false;
  Atomic<u32> inet_id{0};
  int mc_index = 0, uc_index = 0;
  be32 mc_addr = 0;
  ip_mc_socklist* mc_list = nullptr;
  u16 local_port_low = 0, local_port_high = 0;
  u32 raw_icmp_filter = 0;
  u32 icmp6_filter[8] = {};
};
inline inet_sock* inet_sk(sock* sk) { return static_cast<inet_sock*>(sk); }
inline const inet_sock* inet_sk(const sock* sk) { return static_cast<const inet_sock*>(sk); }
inline be32 inet_daddr(const inet_sock* i) { return i->sk_v6_daddr.words[3]; }
inline void inet_set_rcv_saddr(sock* sk, be32 a) { sk->sk_v6_rcv_saddr = v4mapped(a); }
inline void inet_set_daddr(sock* sk, be32 a) { sk->sk_v6_daddr = v4mapped(a); }

// A protocol of an internet family: which proto_ops and proto a socket of a type and protocol gets.
struct inet_protosw {
  u8 family;  // AF_INET, AF_INET6
  int type;
  u8 protocol;  // 0: any
  const proto* prot;
  const proto_ops* ops;
  bool is_icsk, reuse;
  inet_protosw* next;
};
void inet_register_protosw(inet_protosw* p);
int inet_create_family(socket* s, int protocol, int family);

extern const proto_ops& inet_stream_ops;
extern const proto_ops& inet_dgram_ops;
void inet_sock_destruct(sock* sk);
void inet_sock_init(inet_sock* inet, int family);
int inet_autobind(sock* sk);
bool inet_can_nonlocal_bind(const inet_sock* inet);
int inet_sk_rebuild_header(sock* sk);

// Address-family operations of bind, connect and names: IPv6's are set when it starts.
struct inet_af_ops {
  u16 family;
  u32 sockaddr_len;
  // Checks an address for bind; *wild: it is the wildcard. Fills the mapped form and the device it names (or 0).
  int (*bind_check)(sock* sk, const sockaddr_storage& a, u32 length, in6_addr* to, be16* port, int* oif);
  u32 (*name)(const sock* sk, const in6_addr& a, be16 port, sockaddr_storage& to);
  // A destination of connect or sendto. *oif: named by a scope, else 0.
  int (*peer)(const sock* sk, const sockaddr_storage& a, u32 length, in6_addr* to, be16* port, int* oif);
};
extern const inet_af_ops* inet_af[2];  // [0] AF_INET, [1] AF_INET6
inline const inet_af_ops* af_of(const sock* sk) { return inet_af[sk->sk_family == AF_INET6 ? 1 : 0]; }

// --- ports (inet_connection_sock.cc) ---
constexpr u16 kUnprivilegedPort = 1024;
extern s64 sysctl_local_port_range[2];
extern s64 sysctl_ip_unprivileged_port_start;
bool inet_rcv_saddr_equal(const sock_common* a, const sock_common* b, bool match_wildcard);

// --- hashes ---
u32 inet_ehashfn(const in6_addr& laddr, u16 lport, const in6_addr& faddr, be16 fport);
extern u32 inet_hash_secret;

// multicast membership of sockets (igmp.cc)
int ip_mc_join_group(sock* sk, const ip_mreqn& m);
int ip_mc_leave_group(sock* sk, const ip_mreqn& m);
int ip_mc_source(bool add, bool include, sock* sk, const ip_mreq_source& m);
void ip_mc_drop_socket(sock* sk);
bool ip_mc_sf_allow(const sock* sk, be32 local, be32 remote, int dif);

}  // namespace xm::os
