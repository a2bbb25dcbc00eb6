// SPDX-License-Identifier: GPL-2.0-or-later
// IPv4 routes: what a look-up asks (flowi4), what it yields (rtable), and the forwarding information base behind it:
// rules choose tables, each table is a trie of prefixes, a prefix has routes by TOS and priority. net/ipv4/route.cc,
// fib_frontend.cc, fib_rules.cc, fib_semantics.cc, fib_trie.cc.
#pragma once

#include "abi/netlink.h"
#include "kernel/lib/result.h"
#include "kernel/net/dst.h"
#include "kernel/net/inetdevice.h"

namespace xm::os {

enum RtScope : u8 {
  RT_SCOPE_UNIVERSE = 0,
  RT_SCOPE_SITE = 200,
  RT_SCOPE_LINK = 253,
  RT_SCOPE_HOST = 254,
  RT_SCOPE_NOWHERE = 255
};
enum RtType : u8 {
  RTN_UNSPEC,
  RTN_UNICAST,
  RTN_LOCAL,
  RTN_BROADCAST,
  RTN_ANYCAST,
  RTN_MULTICAST,
  RTN_BLACKHOLE,
  RTN_UNREACHABLE,
  RTN_PROHIBIT,
  RTN_THROW,
  RTN_NAT
};
enum RtTable : u32 { RT_TABLE_UNSPEC = 0, RT_TABLE_DEFAULT = 253, RT_TABLE_MAIN = 254, RT_TABLE_LOCAL = 255 };
enum RtProto : u8 { RTPROT_UNSPEC, RTPROT_REDIRECT, RTPROT_KERNEL, RTPROT_BOOT, RTPROT_STATIC };
constexpr u32 RTNH_F_DEAD = 1, RTNH_F_ONLINK = 4, RTNH_F_LINKDOWN = 16;

struct flowi4 {
  int oif = 0, iif = 0;
  u32 mark = 0;
  u8 tos = 0, scope = RT_SCOPE_UNIVERSE, proto = 0, flags = 0;
  be32 saddr = 0, daddr = 0;
  be16 sport = 0, dport = 0;
  uid_t uid = 0;
};
constexpr u8 FLOWI_FLAG_ANYSRC = 1, FLOWI_FLAG_KNOWN_NH = 2;
constexpr u8 IPTOS_RT_MASK = 0x1c;

struct rtable : dst_entry {
  be32 rt_gateway = 0;  // 0: the destination is on the link
  u8 rt_type = RTN_UNICAST;
  bool rt_is_input = false;
  bool rt_cached = false;  // in a next hop or exception
  u16 rt_flags = 0;
  int rt_iif = 0;
  u32 rt_pmtu = 0;  // learnt; 0: the device's
  u64 rt_expires = 0;
  be32 rt_src = 0;  // preferred source
};
constexpr u16 RTCF_LOCAL = 1, RTCF_BROADCAST = 2, RTCF_MULTICAST = 4, RTCF_DOREDIRECT = 8;
inline rtable* skb_rtable(const sk_buff* skb) { return static_cast<rtable*>(skb->dst); }
inline be32 rt_nexthop(const rtable* rt, be32 daddr) { return rt->rt_gateway != 0 ? rt->rt_gateway : daddr; }
inline void ip_rt_put(rtable* rt) { dst_release(rt); }

// Changes when a route, rule, address or device does: cached routes of an older generation are looked up again.
extern Atomic<u32> rt_genid;
inline void rt_cache_flush() { rt_genid.inc(); }

int ip_route_input(sk_buff* skb, be32 daddr, be32 saddr, u8 tos, net_device* dev);  // sets skb->dst
// The route for a flow; fills in its source and output device. Referenced.
Result<rtable*> ip_route_output_key(flowi4* fl);
Result<rtable*> ip_route_output_flow(flowi4* fl, sock* sk);
void ip_rt_update_pmtu(dst_entry* dst, be32 daddr, u32 mtu);
void ipv4_update_pmtu(sk_buff* skb, u32 mtu, int oif, u8 protocol);
void ipv4_redirect(sk_buff* skb, be32 gateway);
void ip_rt_send_redirect(sk_buff* skb);
RtType inet_addr_type(be32 addr);  // local, broadcast, multicast or unicast
RtType inet_addr_type_dev(const net_device* dev, be32 addr);
void ip_rt_init();

// --- the forwarding information base ---
constexpr u32 kMaxNexthops = 16;
struct fib_info;
struct fib_nh {
  net_device* nh_dev = nullptr;  // referenced
  int nh_oif = 0;
  be32 nh_gw = 0;
  u8 nh_scope = 0;
  u32 nh_flags = 0;
  u32 nh_weight = 1;
  u32 nh_upper_bound = 0;  // hash range of multipath
  rtable* nh_rth_output = nullptr;
  rtable* nh_rth_input = nullptr;
};
struct fib_info {
  list_head fib_hash;
  Atomic<s32> fib_clntref{1};  // look-ups that hold it
  u32 fib_treeref = 0;         // routes that name it
  u8 fib_protocol = 0, fib_scope = 0, fib_type = 0;
  be32 fib_prefsrc = 0;
  u32 fib_priority = 0, fib_tb_id = 0;
  u32 fib_mtu = 0, fib_advmss = 0, fib_window = 0, fib_initcwnd = 0, fib_initrwnd = 0;
  u32 fib_metric_lock = 0;
  bool fib_dead = false;
  u32 fib_nhs = 1;
  spinlock_t lock{LockRank::InetPeer};                          // cached routes of the next hops
  fib_nh* nh() { return reinterpret_cast<fib_nh*>(this + 1); }  // fib_nhs of them follow
  const fib_nh* nh() const { return reinterpret_cast<const fib_nh*>(this + 1); }
};
void fib_info_put(fib_info* fi);

struct fib_result {
  be32 prefix = 0;
  u8 prefixlen = 0, nh_sel = 0, type = 0, scope = 0;
  u32 tclassid = 0, table = 0;
  fib_info* fi = nullptr;  // valid inside net_read_lock()
};

// What RTM_NEWROUTE and the ioctls ask for.
struct fib_config {
  u8 fc_dst_len = 0, fc_tos = 0, fc_protocol = RTPROT_BOOT, fc_scope = RT_SCOPE_UNIVERSE, fc_type = RTN_UNICAST;
  u32 fc_table = RT_TABLE_MAIN;
  be32 fc_dst = 0, fc_gw = 0, fc_prefsrc = 0;
  int fc_oif = 0;
  u32 fc_flags = 0, fc_priority = 0;
  u32 fc_mtu = 0, fc_advmss = 0, fc_window = 0, fc_initcwnd = 0, fc_initrwnd = 0, fc_metric_lock = 0;
  u32 fc_nlflags = 0;  // NLM_F_*
  u32 fc_nr_nh = 0;    // multipath
  struct {
    int oif;
    be32 gw;
    u32 flags, weight;
  } fc_nh[kMaxNexthops] = {};
  char error[64] = {};  // for extended acknowledgements
};

// One route: of a prefix, with a TOS and priority.
struct fib_alias {
  fib_alias* fa_next = nullptr;
  fib_info* fa_info = nullptr;
  u8 fa_tos = 0, fa_type = 0, fa_state = 0;
};
struct fib_table;
fib_table* fib_new_table(u32 id);  // or the one there is; rtnl
fib_table* fib_get_table(u32 id);
u32 fib_table_id(const fib_table* tb);
int fib_table_insert(fib_table* tb, fib_config* cfg);  // rtnl; so are delete and flush
int fib_table_delete(fib_table* tb, fib_config* cfg);
u32 fib_table_flush(fib_table* tb);                                      // dead routes; how many
int fib_table_lookup(fib_table* tb, const flowi4* fl, fib_result* res);  // 0, -EAGAIN: none, or its error
// Calls visit for each route in order of prefix; inside net_read_lock() or with rtnl. Stops when it returns false.
struct fib_route {
  be32 prefix;
  u8 prefixlen;
  const fib_alias* fa;
  u32 table;
};
bool fib_table_walk(fib_table* tb, bool (*visit)(const fib_route& r, void* data), void* data);
void fib_for_each_table(void (*visit)(fib_table* tb, void* data), void* data);
struct fib_trie_stat {
  u32 prefixes, nodes, depth;
};
fib_trie_stat fib_trie_statistics(const fib_table* tb);
void fib_table_free(fib_table* tb);
fib_table* fib_trie_table(u32 id);

int fib_lookup(flowi4* fl, fib_result* res);  // through the rules; inside net_read_lock()
struct fib_rule {
  list_head list;
  u32 pref = 0, table = 0, mark = 0, mark_mask = 0;
  u8 action = 1, tos = 0, src_len = 0, dst_len = 0;  // action: FR_ACT_*
  be32 src = 0, dst = 0, srcmask = 0, dstmask = 0;
  char iifname[kIfNameSize] = {}, oifname[kIfNameSize] = {};
  u32 flags = 0, target = 0;
  u8 protocol = RTPROT_KERNEL, ip_proto = 0;
  bool l3mdev = false;
  int suppress_prefixlen = -1;
};
constexpr u8 FR_ACT_TO_TBL = 1, FR_ACT_GOTO = 2, FR_ACT_NOP = 3, FR_ACT_BLACKHOLE = 6, FR_ACT_UNREACHABLE = 7,
             FR_ACT_PROHIBIT = 8;
constexpr u32 FIB_RULE_INVERT = 2;
extern list_head fib_rules;
int fib_rule_add(const fib_rule& r);         // rtnl
int fib_rule_delete(const fib_rule& match);  // rtnl: the first that agrees in all that is set
void fib_rules_init();

Result<fib_info*> fib_create_info(fib_config* cfg);
void fib_release_info(fib_info* fi);
bool fib_nh_match(const fib_config* cfg, const fib_info* fi);
void fib_select_path(fib_result* res, const flowi4* fl);
int fib_sync_down_dev(net_device* dev, bool gone);
int fib_sync_down_addr(net_device* dev, be32 local);
int fib_sync_up(net_device* dev);
be32 fib_result_prefsrc(const fib_result* res, const net_device* dev);
int fib_validate_source(sk_buff* skb, be32 src, be32 dst, u8 tos, int oif, net_device* dev, in_device* idev,
                        bool* direct);
void fib_add_ifaddr(in_ifaddr* ifa);
void fib_del_ifaddr(in_ifaddr* ifa);
int fib_rtentry_ioctl(u32 command, u64 argument);
// RTM_NEWROUTE and RTM_DELROUTE are told to netlink. [rtnetlink(7)]
extern void (*rtmsg_fib_hook)(int event, be32 prefix, u8 prefixlen, const fib_alias* fa, u32 table, u32 nlflags);
void fib_init();
extern u32 fib_info_cnt;

}  // namespace xm::os
