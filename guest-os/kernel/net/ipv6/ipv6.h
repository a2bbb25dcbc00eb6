// SPDX-License-Identifier: GPL-2.0-or-later
// IPv6 [RFC 8200]: header, addresses of devices (addrconf.cc), routes (route.cc), the ways in and out (ip6_input.cc,
// ip6_output.cc, reassembly.cc), ICMPv6 (icmp.cc), neighbour discovery (ndisc.cc), multicast groups (mcast.cc).
#pragma once

#include "kernel/net/dst.h"
#include "kernel/net/neighbour.h"
#include "kernel/net/netdevice.h"
#include "kernel/net/timer.h"

namespace xm::os {

struct ipv6hdr {
  be32 flow;  // version, traffic class, flow label
  be16 payload_len;
  u8 nexthdr, hop_limit;
  in6_addr saddr, daddr;
};
static_assert(sizeof(ipv6hdr) == 40);
inline ipv6hdr* ipv6_hdr(const sk_buff* skb) { return reinterpret_cast<ipv6hdr*>(skb_network_header(skb)); }
struct icmp6hdr {
  u8 type, code;
  u16 cksum;
  be32 data;
};
inline icmp6hdr* icmp6_hdr(const sk_buff* skb) { return reinterpret_cast<icmp6hdr*>(skb_transport_header(skb)); }

enum : u8 {
  NEXTHDR_HOP = 0,
  NEXTHDR_TCP = 6,
  NEXTHDR_UDP = 17,
  NEXTHDR_ROUTING = 43,
  NEXTHDR_FRAGMENT = 44,
  NEXTHDR_ICMP = 58,
  NEXTHDR_NONE = 59,
  NEXTHDR_DEST = 60
};
enum : u8 {
  ICMPV6_DEST_UNREACH = 1,
  ICMPV6_PKT_TOOBIG = 2,
  ICMPV6_TIME_EXCEED = 3,
  ICMPV6_PARAMPROB = 4,
  ICMPV6_ECHO_REQUEST = 128,
  ICMPV6_ECHO_REPLY = 129,
  ICMPV6_MLD_QUERY = 130,
  NDISC_ROUTER_SOLICITATION = 133,
  NDISC_ROUTER_ADVERTISEMENT = 134,
  NDISC_NEIGHBOUR_SOLICITATION = 135,
  NDISC_NEIGHBOUR_ADVERTISEMENT = 136,
  NDISC_REDIRECT = 137,
  ICMPV6_MLD2_REPORT = 143
};
constexpr u8 ICMPV6_NOROUTE = 0, ICMPV6_ADM_PROHIBITED = 1, ICMPV6_ADDR_UNREACH = 3, ICMPV6_PORT_UNREACH = 4,
             ICMPV6_EXC_HOPLIMIT = 0, ICMPV6_EXC_FRAGTIME = 1, ICMPV6_HDR_FIELD = 0, ICMPV6_UNK_NEXTHDR = 1,
             ICMPV6_UNK_OPTION = 2;
constexpr u32 kIpv6MinMtu = 1280;

struct inet6_skb_parm {  // skb->cb while a packet is in IPv6
  int iif;
  u32 nhoff;  // offset from data of the field that names the current header
  u16 flags;
};
constexpr u16 IP6SKB_FORWARDED = 2;
inline inet6_skb_parm* IP6CB(const sk_buff* skb) { return reinterpret_cast<inet6_skb_parm*>(const_cast<u8*>(skb->cb)); }

// --- addresses ---
enum : u8 {
  IPV6_SCOPE_LINK = 0x20,
  IPV6_SCOPE_HOST = 0x10,
  IPV6_SCOPE_GLOBAL = 0,
  IPV6_SCOPE_SITE = 0x40
};  // as if_inet6 shows them
enum : u32 {
  IFA6_NODAD = 2,
  IFA6_DADFAILED = 8,
  IFA6_DEPRECATED = 0x20,
  IFA6_TENTATIVE = 0x40,
  IFA6_PERMANENT = 0x80,
  IFA6_MANAGETEMP = 0x100,
  IFA6_NOPREFIXROUTE = 0x200
};
constexpr u32 kInfinityLife = 0xffffffff;
struct inet6_dev;
struct inet6_ifaddr {
  list_head link;
  inet6_dev* idev = nullptr;
  in6_addr addr;
  u8 prefixlen = 0, scope = 0;
  u32 flags = 0;
  u32 valid_lft = kInfinityLife, preferred_lft = kInfinityLife;
  u64 cstamp = 0, tstamp = 0;
  u32 probes_left = 0;
  bool dead = false;
  timer_list dad_timer;
  Atomic<s32> refcnt{1};
};
struct ifmcaddr6 {
  list_head link;
  in6_addr group;
  u32 users = 1;
};
struct inet6_dev {
  net_device* dev = nullptr;
  list_head addresses, groups;  // under addrconf_lock
  s64 forwarding = 0, accept_ra = 1, autoconf = 1, disable_ipv6 = 0, dad_transmits = 1, hop_limit = 64;
  u32 mtu = 1500;
  u32 rs_left = 0;
  bool dead = false;
  timer_list rs_timer;
};
extern spinlock_t addrconf_lock;
extern inet6_dev ipv6_all;  // settings of conf/all
inline inet6_dev* in6_dev_get(const net_device* dev) { return read_once(dev->ip6_ptr); }
bool ipv6_chk_addr(const in6_addr& a, const net_device* dev, bool tentative_too);  // dev null: any
bool ipv6_dev_get_saddr(const net_device* dev, const in6_addr& daddr, in6_addr* saddr);
bool ipv6_get_lladdr(const net_device* dev, in6_addr* a, bool tentative_too);
inet6_ifaddr* ipv6_get_ifaddr(const in6_addr& a, const net_device* dev);  // referenced
void in6_ifa_put(inet6_ifaddr* a);
int addrconf_add(net_device* dev, const in6_addr& a, u8 prefixlen, u32 flags, u32 valid, u32 preferred);  // rtnl
int addrconf_del(net_device* dev, const in6_addr& a, u8 prefixlen);
void addrconf_dad_failure(inet6_ifaddr* a);  // somebody else has it; any context
struct ra_prefix {
  in6_addr prefix;
  u8 length;
  bool onlink, autonomous;
  u32 valid, preferred;
};
void addrconf_prefix_received(net_device* dev, const ra_prefix& p);  // softirq
u8 ipv6_addr_scope(const in6_addr& a);
bool ipv6_prefix_equal(const in6_addr& a, const in6_addr& b, u32 bits);
inline in6_addr ipv6_solicited_node(const in6_addr& a) {  // ff02::1:ffXX:XXXX
  in6_addr r;
  r.words[0] = htonl(0xff020000);
  r.words[2] = htonl(1);
  r.words[3] = a.words[3] | htonl(0xff000000);
  return r;
}
in6_addr ipv6_make(u32 a, u32 b, u32 c, u32 d);  // host order words

// --- routes ---
constexpr u32 RTF6_UP = 1, RTF6_GATEWAY = 2, RTF6_ADDRCONF = 0x40000, RTF6_EXPIRES = 0x400000, RTF6_LOCAL = 0x80000000,
              RTF6_CACHE = 0x1000000, RTF6_REJECT = 0x200;
struct rt6_info : dst_entry {
  in6_addr prefix, gateway;
  u8 prefixlen = 0, type = 1, protocol = 2, scope = 0;
  u32 flags = RTF6_UP, metric = 1024, table = 254, pmtu = 0;
  net_device* out = nullptr;  // as shown; dst_entry::dev is where packets go (lo for local addresses)
  u64 expires = 0;            // monotonic ns, 0: never
  bool dead = false;
  rt6_info* next = nullptr;  // of the same prefix, by metric
  list_head all;
};
struct flowi6 {
  int oif = 0, iif = 0;
  u32 mark = 0;
  u8 proto = 0;
  be32 flow = 0;
  in6_addr saddr, daddr;
};
struct rt6_config {
  in6_addr prefix, gateway;
  u8 prefixlen = 0, type = 1, protocol = 2;
  u32 metric = 1024, flags = 0, table = 254, mtu = 0;
  u64 expires = 0;
  net_device* dev = nullptr;
};
int ip6_route_add(const rt6_config& c, u32 nlflags);
int ip6_route_del(const rt6_config& c);  // zero metric, no gateway, no dev: any
void rt6_ifdown(net_device* dev);
rt6_info* rt6_lookup(const in6_addr& daddr, int oif);  // referenced; null: none
// Referenced; never null: its `error` says what is wrong. Fills in fl->saddr if it is the unspecified address.
dst_entry* ip6_route_output(flowi6* fl);
void ip6_route_input(sk_buff* skb);  // sets skb->dst
void rt6_pmtu_learn(const in6_addr& daddr, u32 mtu);
void rt6_age(u64 now);
rt6_info* rt6_default_router(const in6_addr& gateway, net_device* dev);  // referenced
inline in6_addr rt6_nexthop(const rt6_info* rt, const in6_addr& daddr) {
  return rt->gateway.any() ? daddr : rt->gateway;
}
extern Atomic<u32> rt6_genid;

// --- in and out ---
struct inet6_protocol {
  int (*handler)(sk_buff* skb);  // data at the transport header; consumes
  // The packet that an ICMPv6 error quotes: `offset` of its transport header from data. Does not consume.
  void (*err_handler)(sk_buff* skb, u8 type, u8 code, u32 offset, be32 info);
};
extern const inet6_protocol* inet6_protos[256];
int inet6_add_protocol(const inet6_protocol* p, u8 number);
extern bool (*raw6_deliver_hook)(sk_buff* skb, u8 protocol);  // raw sockets: true: somebody had it
int ipv6_rcv(sk_buff* skb, net_device* dev, packet_type* pt, net_device* orig);
int ip6_input(sk_buff* skb);
int ip6_forward(sk_buff* skb);
int ip6_output(sk_buff* skb);
int ip6_local_out(sk_buff* skb);  // header complete but length; skb->dst set
void ip6_push_header(sk_buff* skb, const flowi6& fl, u8 nexthdr, u8 hop_limit, u8 tclass);
int ip6_xmit(sock* sk, sk_buff* skb, flowi6* fl, u8 tclass);  // of connected sockets: skb->dst set; consumes
sk_buff* ip6_reassemble(sk_buff* skb);                        // data at the fragment header; the whole datagram or null
// Steps over extension headers from `offset` (from data) on: where the transport header is, *nexthdr; -1: broken.
int ipv6_skip_exthdr(const sk_buff* skb, u32 offset, u8* nexthdr, bool* fragment);
u8 ip6_hop_limit(const dst_entry* dst);

// --- ICMPv6 ---
int icmpv6_rcv(sk_buff* skb);
void icmpv6_send(sk_buff* skb, u8 type, u8 code, u32 info);
extern bool (*ping6_rcv_hook)(sk_buff* skb);  // an echo reply: true consumed
void icmpv6_send_message(net_device* dev, const in6_addr& saddr, const in6_addr& daddr, const void* body, u32 length,
                         bool router_alert);

// --- neighbour discovery and groups ---
extern neigh_table nd_tbl;
void ndisc_rcv(sk_buff* skb);  // consumes
void ndisc_send_ns(net_device* dev, const in6_addr& target, const in6_addr& daddr, const in6_addr* saddr);
void ndisc_send_na(net_device* dev, const in6_addr& daddr, const in6_addr& target, bool router, bool solicited,
                   bool override_flag);
void ndisc_send_rs(net_device* dev);
bool ndisc_constructor_map(const in6_addr& group, u8* mac);
int ipv6_dev_mc_inc(net_device* dev, const in6_addr& group);
int ipv6_dev_mc_dec(net_device* dev, const in6_addr& group);
bool ipv6_chk_mcast(const net_device* dev, const in6_addr& group);
void mld_query_rcv(sk_buff* skb);
void mld_report_all(net_device* dev);

// --- start ---
void ipv6_addrconf_init();
void ipv6_route_init();
void ipv6_ndisc_init();

}  // namespace xm::os
