// SPDX-License-Identifier: GPL-2.0-or-later
// IPv4: header, protocols above it, the ways in (ip_rcv) and out (ip_queue_xmit, ip_append). [RFC 791], [RFC 1122]
#pragma once

#include "abi/in.h"
#include "kernel/net/dst.h"
#include "kernel/net/netdevice.h"
#include "kernel/net/sock.h"

namespace xm::os {

struct iphdr {
  u8 ihl : 4, version : 4;
  u8 tos;
  be16 tot_len, id, frag_off;
  u8 ttl, protocol;
  u16 check;
  be32 saddr, daddr;
};
static_assert(sizeof(iphdr) == 20);
constexpr u16 IP_DF = 0x4000, IP_MF = 0x2000, IP_OFFSET = 0x1fff;
constexpr u8 IPDEFTTL = 64;
constexpr u8 IPOPT_END = 0, IPOPT_NOOP = 1, IPOPT_RR = 7, IPOPT_TIMESTAMP = 0x44, IPOPT_SSRR = 0x89, IPOPT_LSRR = 0x83,
             IPOPT_RA = 0x94;

struct icmphdr {
  u8 type, code;
  u16 checksum;
  union {
    struct {
      be16 id, sequence;
    } echo;
    be32 gateway;
    struct {
      u16 unused;
      be16 mtu;
    } frag;
  };
};
static_assert(sizeof(icmphdr) == 8);
struct udphdr {
  be16 source, dest, len;
  u16 check;
};

inline iphdr* ip_hdr(const sk_buff* skb) { return reinterpret_cast<iphdr*>(skb_network_header(skb)); }
inline icmphdr* icmp_hdr(const sk_buff* skb) { return reinterpret_cast<icmphdr*>(skb_transport_header(skb)); }
inline udphdr* udp_hdr(const sk_buff* skb) { return reinterpret_cast<udphdr*>(skb_transport_header(skb)); }
inline bool ip_is_fragment(const iphdr* h) { return (h->frag_off & htons(IP_MF | IP_OFFSET)) != 0; }
inline u32 ip_hdrlen(const sk_buff* skb) { return ip_hdr(skb)->ihl * 4u; }

// skb->cb while a packet is in IP. TCP puts its own notes behind it.
struct ip_options_info {
  u8 optlen, srr, rr, ts, router_alert;
  bool is_strictroute;
};
struct inet_skb_parm {
  int iif;
  ip_options_info opt;
  u16 flags, frag_max_size;
};
constexpr u16 IPSKB_FORWARDED = 1, IPSKB_FRAG_COMPLETE = 8, IPSKB_REROUTED = 16, IPSKB_DOREDIRECT = 32, IPSKB_FRAG = 64;
inline inet_skb_parm* IPCB(const sk_buff* skb) { return reinterpret_cast<inet_skb_parm*>(const_cast<u8*>(skb->cb)); }

// A protocol above IP. handler consumes; err_handler gets the packet that an ICMP error quotes (skb->data at the quoted
// IP header, transport header behind it) and does not consume. early_demux finds the socket and its route.
struct net_protocol {
  int (*handler)(sk_buff* skb);
  int (*err_handler)(sk_buff* skb, u32 info);
  void (*early_demux)(sk_buff* skb);
  bool no_policy;
};
extern const net_protocol* inet_protos[256];
int inet_add_protocol(const net_protocol* p, u8 number);

// --- in ---
int ip_rcv(sk_buff* skb, net_device* dev, packet_type* pt, net_device* orig);
int ip_local_deliver(sk_buff* skb);
int ip_forward(sk_buff* skb);
int ip_error(sk_buff* skb);  // input of routes that refuse
int ip_mr_input(sk_buff* skb);
int ip_options_compile(sk_buff* skb);
enum IpDefrag : u32 { IP_DEFRAG_LOCAL_DELIVER, IP_DEFRAG_CONNTRACK_IN, IP_DEFRAG_CONNTRACK_OUT };
// The reassembled packet, or null: it was kept for later or dropped.
sk_buff* ip_defrag(sk_buff* skb, u32 user);
void ip_frag_init();
u32 ip_frag_nqueues();
u64 ip_frag_mem();

// --- out ---
struct flowi4;
struct rtable;
struct inet_sock;
int ip_queue_xmit(sock* sk, sk_buff* skb, u8 tos);  // of connected sockets: routes, adds the header, sends
int ip_local_out(sk_buff* skb);                     // header complete but length and checksum
int ip_output(sk_buff* skb);
int ip_mc_output(sk_buff* skb);
int ip_finish_output(sk_buff* skb);
using ip_output_func = int (*)(sk_buff* skb);
int ip_do_fragment(sk_buff* skb, ip_output_func output);  // consumes
void ip_build_and_send_pkt(sk_buff* skb, const sock* sk, be32 saddr, be32 daddr, rtable* rt, u8 tos, u8 ttl);
inline void ip_send_check(iphdr* h) {
  h->check = 0;
  h->check = ip_fast_csum(h, h->ihl);
}
void ip_select_ident(iphdr* h, const sock* sk, u32 segments);
u32 ip_dst_mtu_maybe_forward(const sk_buff* skb, bool forwarding);

// What a datagram carries beside its bytes: from the socket, changed by control messages.
struct ipcm_cookie {
  be32 addr = 0;  // source
  int oif = 0;
  s16 ttl = 0;
  s16 tos = -1;
  u32 priority = 0, mark = 0;
  u16 gso_size = 0;
};
void ipcm_init_sk(ipcm_cookie* c, const inet_sock* inet);
int ip_cmsg_send(sock* sk, const msghdr& m, ipcm_cookie* c, bool allow_ipv6);

// A datagram whose end has not come (UDP_CORK, MSG_MORE): its bytes and its route.
struct inet_cork {
  u8* data = nullptr;
  u32 length = 0;
  rtable* rt = nullptr;
  ipcm_cookie c;
  bool pending = false;
};
// A packet with room for headers, `transhdrlen` bytes of transport header and `length` bytes of data from `from`.
sk_buff* ip_make_skb(sock* sk, iov_iter* from, u32 length, u32 transhdrlen, rtable* rt, const ipcm_cookie* c, u32 flags,
                     int* error);
// Puts the IP header on and sends: 0 or a negative errno.
int ip_send_skb(sk_buff* skb);
int ip_push_header(sock* sk, sk_buff* skb, const flowi4* fl, rtable* rt, const ipcm_cookie* c, u8 protocol);

// --- ICMP ---
constexpr u8 ICMP_ECHOREPLY = 0, ICMP_DEST_UNREACH = 3, ICMP_SOURCE_QUENCH = 4, ICMP_REDIRECT = 5, ICMP_ECHO = 8,
             ICMP_TIME_EXCEEDED = 11, ICMP_PARAMETERPROB = 12, ICMP_TIMESTAMP = 13, ICMP_TIMESTAMPREPLY = 14;
constexpr u8 ICMP_NET_UNREACH = 0, ICMP_HOST_UNREACH = 1, ICMP_PROT_UNREACH = 2, ICMP_PORT_UNREACH = 3,
             ICMP_FRAG_NEEDED = 4, ICMP_SR_FAILED = 5, ICMP_PKT_FILTERED = 13, ICMP_EXC_TTL = 0, ICMP_EXC_FRAGTIME = 1;
void icmp_send(sk_buff* skb, u8 type, u8 code, be32 info);
int icmp_rcv(sk_buff* skb);
struct icmp_err {
  int error;
  bool fatal;
};
extern const icmp_err icmp_err_convert[16];
void ip_icmp_error(sock* sk, sk_buff* skb, int err, be16 port, u32 info, u8* payload);
void ip_local_error(sock* sk, int err, be32 daddr, be16 port, u32 info);
ssize_t ip_recv_error(sock* sk, msghdr& m);
void ip_cmsg_recv(msghdr& m, sock* sk, sk_buff* skb, u32 transport_header_length);

// ping sockets
int ping_rcv(sk_buff* skb);  // an echo reply: true consumed
void ping_err(sk_buff* skb, u32 info);
// raw sockets: copies to all that match; true: somebody had it
bool raw_local_deliver(sk_buff* skb, u8 protocol);
void raw_icmp_error(sk_buff* skb, u8 protocol, u32 info);

int ip_setsockopt(sock* sk, int level, int name, u64 user, u32 length);
int ip_getsockopt(sock* sk, int level, int name, u64 user, int length, u64 user_length);

}  // namespace xm::os
