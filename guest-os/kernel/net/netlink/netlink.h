// SPDX-License-Identifier: GPL-2.0-or-later
// Netlink inside the kernel: sockets (af_netlink.cc), the building and checking of messages (attr.cc), and how a
// subsystem answers requests, dumps tables and tells of changes.
#pragma once

#include "abi/netlink.h"
#include "kernel/net/sock.h"

namespace xm::os {

struct netlink_sock;

// What a refused request is told beside the number.
struct netlink_ext_ack {
  const char* msg = nullptr;
  const nlattr* bad_attr = nullptr;
};
inline int nl_error(netlink_ext_ack* ack, int error, const char* text, const nlattr* attr = nullptr) {
  if (ack != nullptr) {
    ack->msg = text;
    ack->bad_attr = attr;
  }
  return error;
}

// A dump under way: `dump` is called for one buffer after another. It returns 1 when the buffer is full, 0 when all is
// told, or an error; args say where to go on.
struct netlink_callback {
  nlmsghdr* nlh = nullptr;  // the request, a copy
  int (*dump)(sk_buff* skb, netlink_callback* cb) = nullptr;
  void (*done)(netlink_callback* cb) = nullptr;
  u64 args[6] = {};
  void* data = nullptr;
  u32 portid = 0;
  bool strict = false;
  netlink_ext_ack* ack = nullptr;
};

struct netlink_sock : sock {
  u32 portid = 0, dst_portid = 0, dst_group = 0;
  bool bound = false;
  u64 groups = 0;  // bit n-1: group n
  bool pktinfo = false, cap_ack = false, ext_ack = false, strict = false, no_enobufs = false, congested = false;
  netlink_callback* cb = nullptr;  // under cb_lock
  mutex cb_lock;
  list_head table_link;
};

struct netlink_kernel_ops {
  // All messages of one sendmsg. Runs in the sender's context.
  void (*input)(netlink_sock* sk, u8* data, u32 length);
  bool nonroot_receive;  // anyone may join groups
};
int netlink_kernel_register(int protocol, const netlink_kernel_ops* ops);

// --- messages ---
sk_buff* nlmsg_new(u32 payload, gfp_t gfp = GFP_KERNEL);
// Null or false: no room in the buffer.
nlmsghdr* nlmsg_put(sk_buff* skb, u32 portid, u32 seq, u16 type, u32 payload, u16 flags);
void nlmsg_end(sk_buff* skb, nlmsghdr* nlh);
void nlmsg_cancel(sk_buff* skb, nlmsghdr* nlh);
template <class T>
T* nlmsg_data(nlmsghdr* nlh) {
  return reinterpret_cast<T*>(reinterpret_cast<u8*>(nlh) + NLMSG_HDRLEN);
}
template <class T>
const T* nlmsg_data(const nlmsghdr* nlh) {
  return reinterpret_cast<const T*>(reinterpret_cast<const u8*>(nlh) + NLMSG_HDRLEN);
}
bool nla_put(sk_buff* skb, u16 type, const void* data, u32 length);
nlattr* nla_reserve(sk_buff* skb, u16 type, u32 length);
bool nla_put_string(sk_buff* skb, u16 type, const char* text);
inline bool nla_put_u8(sk_buff* skb, u16 type, u8 v) { return nla_put(skb, type, &v, sizeof v); }
inline bool nla_put_u16(sk_buff* skb, u16 type, u16 v) { return nla_put(skb, type, &v, sizeof v); }
inline bool nla_put_u32(sk_buff* skb, u16 type, u32 v) { return nla_put(skb, type, &v, sizeof v); }
inline bool nla_put_u64(sk_buff* skb, u16 type, u64 v) { return nla_put(skb, type, &v, sizeof v); }
inline bool nla_put_be32(sk_buff* skb, u16 type, u32 v) { return nla_put_u32(skb, type, __builtin_bswap32(v)); }
inline bool nla_put_be64(sk_buff* skb, u16 type, u64 v) { return nla_put_u64(skb, type, __builtin_bswap64(v)); }
nlattr* nla_nest_start(sk_buff* skb, u16 type);
void nla_nest_end(sk_buff* skb, nlattr* nest);
void nla_nest_cancel(sk_buff* skb, nlattr* nest);

// --- reading ---
enum NlaType : u8 {
  NLA_UNSPEC,
  NLA_U8,
  NLA_U16,
  NLA_U32,
  NLA_U64,
  NLA_STRING,  // len: most characters
  NLA_FLAG,
  NLA_NESTED,
  NLA_BINARY,  // len: most bytes
  NLA_EXACT    // len bytes
};
struct nla_policy {
  NlaType type = NLA_UNSPEC;
  u16 len = 0;
};
inline const u8* nla_data(const nlattr* a) { return reinterpret_cast<const u8*>(a) + NLA_HDRLEN; }
inline u32 nla_len(const nlattr* a) { return a->nla_len - NLA_HDRLEN; }
inline u16 nla_type(const nlattr* a) { return a->nla_type & NLA_TYPE_MASK; }
// Integers as their sender laid them; shorter attributes read as zero-extended (their policy should have refused them).
u64 nla_uint(const nlattr* a, u32 size);
inline u8 nla_get_u8(const nlattr* a) { return static_cast<u8>(nla_uint(a, 1)); }
inline u16 nla_get_u16(const nlattr* a) { return static_cast<u16>(nla_uint(a, 2)); }
inline u32 nla_get_u32(const nlattr* a) { return static_cast<u32>(nla_uint(a, 4)); }
inline u64 nla_get_u64(const nlattr* a) { return nla_uint(a, 8); }
inline u32 nla_get_be32(const nlattr* a) { return __builtin_bswap32(nla_get_u32(a)); }
inline u64 nla_get_be64(const nlattr* a) { return __builtin_bswap64(nla_get_u64(a)); }
// Copies text up to size-1 characters and ends it.
void nla_get_string(const nlattr* a, char* to, u32 size);
bool nla_equals(const nlattr* a, const char* text);

// Sorts attributes by type into tb[0..max] (the last of a kind wins), each checked against the policy.
int nla_parse(const nlattr** tb, u32 max, const void* head, u32 length, const nla_policy* policy, bool strict,
              netlink_ext_ack* ack);
// Attributes behind the family header of `header` bytes.
int nlmsg_parse(const nlmsghdr* nlh, u32 header, const nlattr** tb, u32 max, const nla_policy* policy, bool strict,
                netlink_ext_ack* ack);
inline int nla_parse_nested(const nlattr** tb, u32 max, const nlattr* nest, const nla_policy* policy,
                            netlink_ext_ack* ack) {
  return nla_parse(tb, max, nla_data(nest), nla_len(nest), policy, false, ack);
}
// Walks attributes: for (auto* a = nla_first(p, n); a; a = nla_next(a, p, n)).
const nlattr* nla_first(const void* head, u32 length);
const nlattr* nla_next(const nlattr* a, const void* head, u32 length);

// --- answers ---
// Calls doit for each message; sends acknowledgements.
void netlink_rcv(netlink_sock* sk, u8* data, u32 length,
                 int (*doit)(netlink_sock* sk, const nlmsghdr* nlh, netlink_ext_ack* ack));
void netlink_ack(netlink_sock* sk, const nlmsghdr* nlh, int error, const netlink_ext_ack* ack);
constexpr int kNetlinkNoAck = 1;  // a doit that started a dump answers this
// Consumes cb->data by cb.done when the dump ends. Returns kNetlinkNoAck or an error.
int netlink_dump_start(netlink_sock* sk, const nlmsghdr* nlh, const netlink_callback& cb);
int netlink_unicast(netlink_sock* sk, sk_buff* skb);  // consumes
// To all members of the group. `except`: the port that asked for the change and hears of it otherwise. Consumes.
void netlink_broadcast(int protocol, sk_buff* skb, u32 group, u32 except = 0);
bool netlink_has_listeners(int protocol, u32 group);

}  // namespace xm::os
