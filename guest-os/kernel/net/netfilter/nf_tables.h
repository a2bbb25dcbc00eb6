// SPDX-License-Identifier: GPL-2.0-or-later
// nf_tables: rules are programs of expressions over registers; chains of rules hang at hooks. nft_core.cc runs them,
// nft_expr*.cc are the expressions, nft_set.cc the sets, nft_api.cc and nft_dump.cc what `nft` says over netlink.
// GAP: no flowtables, stateful objects, timeouts of elements, concatenated ranges, xtables matches, monitor.
#pragma once

#include "kernel/net/netfilter/nf_conntrack.h"
#include "kernel/net/netlink/netlink.h"

namespace xm::os {

constexpr u8 kFamilyInet = 1, kFamilyIpv4 = 2, kFamilyIpv6 = 10;  // NFPROTO_* as programs number them
enum NftVerdict : s32 { NFT_CONTINUE = -1, NFT_BREAK = -2, NFT_JUMP = -3, NFT_GOTO = -4, NFT_RETURN = -5 };
constexpr u32 kNftRegWords = 20;  // the verdict, then sixteen words of data
constexpr u32 kNftMaxData = 64, kNftMaxName = 256;

struct nft_table;
struct nft_chain;
struct nft_set;
struct nft_rule;

struct nft_verdict {
  s32 code = NFT_CONTINUE;
  nft_chain* chain = nullptr;
};
struct nft_regs {
  nft_verdict verdict;
  u32 data[kNftRegWords] = {};
};
struct nft_pktinfo {
  sk_buff* skb;
  const nf_hook_state* state;
  bool parsed = false, fragment = false;
  u8 l4proto = 0;
  u32 gotos = 0;
  u32 network = 0, transport = 0;  // offsets from data
};

// Where an expression is being made.
struct nft_ctx {
  nft_table* table;
  nft_chain* chain;
  netlink_ext_ack* ack;
};
struct nft_expr;
struct nft_expr_ops {
  const char* name;
  u32 size;
  int (*init)(const nft_ctx& ctx, void* priv, const nlattr* attributes, u32 length);
  void (*eval)(void* priv, nft_regs& regs, nft_pktinfo& pkt);
  bool (*dump)(sk_buff* skb, void* priv);
  void (*refs)(void* priv, int change);  // counts what it refers to: chains, sets
};
struct nft_expr {
  const nft_expr_ops* ops;
  alignas(8) u8 priv[];
};
const nft_expr_ops* nft_find_expr(const char* name);
nft_set* nft_lookup_set(const nft_expr* e);  // the set a lookup refers to, or null
extern const nft_expr_ops nft_meta_ops, nft_payload_ops, nft_cmp_ops, nft_bitwise_ops, nft_byteorder_ops,
    nft_immediate_ops, nft_counter_ops, nft_range_ops, nft_lookup_ops, nft_ct_ops, nft_nat_ops, nft_masq_ops,
    nft_redir_ops, nft_limit_ops, nft_log_ops, nft_reject_ops, nft_notrack_ops;

struct nft_blob {  // user data, kept for the program that reads it back
  u8* bytes = nullptr;
  u32 length = 0;
};
struct nft_rule {
  list_head list;
  nft_chain* chain = nullptr;
  u64 handle = 0;
  u32 count = 0;
  nft_expr** exprs = nullptr;
  nft_blob udata;
};
enum class NftChainType : u8 { Filter, Nat, Route };
struct nft_chain {
  list_head list;
  nft_table* table = nullptr;
  char* name = nullptr;
  u64 handle = 0;
  u32 use = 0;  // jumps to it
  list_head rules;
  nft_blob udata;
  bool base = false;
  NftChainType type = NftChainType::Filter;
  u8 hooknum = 0;
  s32 priority = 0;
  u32 policy = NF_ACCEPT;
  u32 flags = 0;
  nf_hook_ops hooks[2] = {};  // of the two families of inet
};
struct nft_table {
  list_head list;
  char* name = nullptr;
  u8 family = 0;
  u32 flags = 0;
  u64 handle = 0, next_handle = 0;
  list_head chains, sets;
  nft_blob udata;
};

struct nft_elem {
  u8 key[kNftMaxData];
  u8 data[kNftMaxData];
  nft_verdict verdict;
  u32 flags;
  nft_blob udata;
};
struct nft_elem_array {  // in order of keys; replaced as a whole
  u32 count;
  nft_elem* at[];
};
constexpr u32 NFT_SET_ANONYMOUS = 1, NFT_SET_CONSTANT = 2, NFT_SET_INTERVAL = 4, NFT_SET_MAP = 8;
constexpr u32 NFT_SET_ELEM_INTERVAL_END = 1, NFT_SET_ELEM_CATCHALL = 2;
constexpr u32 NFT_DATA_VERDICT = 0xffffff00;
struct nft_set {
  list_head list;
  nft_table* table = nullptr;
  char* name = nullptr;
  u64 handle = 0;
  u32 id = 0, flags = 0, ktype = 0, klen = 0, dtype = 0, dlen = 0, policy = 0, use = 0;
  nft_blob udata;
  nft_elem_array* elements = nullptr;
};

// --- core ---
u32 nft_do_chain(nft_pktinfo& pkt, nft_chain* chain);
bool nft_parse(nft_pktinfo& pkt);      // fills in the transport header; false: there is none
int nft_chain_hook(nft_chain* chain);  // begins to see packets
void nft_chain_unhook(nft_chain* chain);

// --- helpers of the expressions ---
int nft_parse_register(const nlattr* a, u32 length, u32* index);  // index into nft_regs::data; room for length bytes
bool nft_put_register(sk_buff* skb, u16 type, u32 index);
// NFTA_DATA_*: a value of at most kNftMaxData bytes, or a verdict whose chain is counted as used.
int nft_parse_value(const nlattr* nest, void* to, u32* length);
int nft_parse_verdict(const nft_ctx& ctx, const nlattr* nest, nft_verdict* v);
bool nft_put_value(sk_buff* skb, u16 type, const void* value, u32 length);
bool nft_put_verdict(sk_buff* skb, u16 type, const nft_verdict& v);
void nft_verdict_use(const nft_verdict& v, int change);
int nft_copy_blob(nft_blob* to, const nlattr* a);
inline void nft_store_bytes(u32* reg, const void* bytes, u32 n) {
  reg[(n + 3) / 4 - 1] = 0;
  memcpy(reg, bytes, n);
}

// --- objects (nft_api.cc) ---
extern list_head nft_tables;
extern u32 nft_genid;
nft_table* nft_find_table(u8 family, const nlattr* name);
nft_chain* nft_find_chain(nft_table* t, const nlattr* name);
nft_set* nft_find_set(nft_table* t, const nlattr* name, const nlattr* id);
void nft_rule_free(nft_rule* r);
void nft_set_free(nft_set* s);
void nft_elem_free(nft_elem* e);
struct NftUndo {
  enum Kind : u8 {
    NewTable,
    DelTable,
    NewChain,
    DelChain,
    NewRule,
    DelRule,
    NewSet,
    DelSet,
    NewElem,
    DelElem,
    Policy
  } kind;
  list_head link;
  void* object;
  void* extra;
  u64 value;
};
void nft_record(NftUndo::Kind kind, void* object, void* extra = nullptr, u64 value = 0);

// --- sets ---
const nft_elem* nft_set_lookup(const nft_set* s, const void* key);
int nft_set_insert(nft_set* s, nft_elem* e);
nft_elem* nft_set_remove(nft_set* s, const nft_elem& match);
int nft_set_new(const nlmsghdr* nlh, u8 family, netlink_ext_ack* ack);
int nft_set_delete(const nlmsghdr* nlh, u8 family, netlink_ext_ack* ack);
int nft_elements_change(const nlmsghdr* nlh, u8 family, netlink_ext_ack* ack, bool add);
int nft_dump_sets(sk_buff* skb, netlink_callback* cb);
int nft_dump_elements(sk_buff* skb, netlink_callback* cb);
int nft_get_set(netlink_sock* sk, const nlmsghdr* nlh, u8 family);

// --- dumps ---
int nft_get(netlink_sock* sk, const nlmsghdr* nlh, netlink_ext_ack* ack);
struct nfgenmsg {
  u8 family, version;
  u16 res_id;
};
constexpr u16 kNftSubsystem = 10;
enum NftMessage : u8 {
  NFT_MSG_NEWTABLE,
  NFT_MSG_GETTABLE,
  NFT_MSG_DELTABLE,
  NFT_MSG_NEWCHAIN,
  NFT_MSG_GETCHAIN,
  NFT_MSG_DELCHAIN,
  NFT_MSG_NEWRULE,
  NFT_MSG_GETRULE,
  NFT_MSG_DELRULE,
  NFT_MSG_NEWSET,
  NFT_MSG_GETSET,
  NFT_MSG_DELSET,
  NFT_MSG_NEWSETELEM,
  NFT_MSG_GETSETELEM,
  NFT_MSG_DELSETELEM,
  NFT_MSG_NEWGEN,
  NFT_MSG_GETGEN,
  NFT_MSG_TRACE,
  NFT_MSG_NEWOBJ,
  NFT_MSG_GETOBJ,
  NFT_MSG_DELOBJ,
  NFT_MSG_GETOBJ_RESET,
  NFT_MSG_NEWFLOWTABLE,
  NFT_MSG_GETFLOWTABLE,
  NFT_MSG_DELFLOWTABLE
};
enum NftTableAttr : u16 {
  NFTA_TABLE_NAME = 1,
  NFTA_TABLE_FLAGS,
  NFTA_TABLE_USE,
  NFTA_TABLE_HANDLE,
  NFTA_TABLE_USERDATA = 6,
  NFTA_TABLE_MAX = 8
};
enum NftChainAttr : u16 {
  NFTA_CHAIN_TABLE = 1,
  NFTA_CHAIN_HANDLE,
  NFTA_CHAIN_NAME,
  NFTA_CHAIN_HOOK,
  NFTA_CHAIN_POLICY,
  NFTA_CHAIN_USE,
  NFTA_CHAIN_TYPE,
  NFTA_CHAIN_FLAGS = 10,
  NFTA_CHAIN_ID,
  NFTA_CHAIN_USERDATA,
  NFTA_CHAIN_MAX = 13
};
enum NftRuleAttr : u16 {
  NFTA_RULE_TABLE = 1,
  NFTA_RULE_CHAIN,
  NFTA_RULE_HANDLE,
  NFTA_RULE_EXPRESSIONS,
  NFTA_RULE_COMPAT,
  NFTA_RULE_POSITION,
  NFTA_RULE_USERDATA,
  NFTA_RULE_ID = 9,
  NFTA_RULE_MAX = 12
};
enum NftSetAttr : u16 {
  NFTA_SET_TABLE = 1,
  NFTA_SET_NAME,
  NFTA_SET_FLAGS,
  NFTA_SET_KEY_TYPE,
  NFTA_SET_KEY_LEN,
  NFTA_SET_DATA_TYPE,
  NFTA_SET_DATA_LEN,
  NFTA_SET_POLICY,
  NFTA_SET_DESC,
  NFTA_SET_ID,
  NFTA_SET_TIMEOUT,
  NFTA_SET_GC_INTERVAL,
  NFTA_SET_USERDATA,
  NFTA_SET_HANDLE = 16,
  NFTA_SET_MAX = 18
};
enum NftElemAttr : u16 {
  NFTA_SET_ELEM_KEY = 1,
  NFTA_SET_ELEM_DATA,
  NFTA_SET_ELEM_FLAGS,
  NFTA_SET_ELEM_USERDATA = 6,
  NFTA_SET_ELEM_KEY_END = 10,
  NFTA_SET_ELEM_MAX = 12
};
enum NftElemListAttr : u16 {
  NFTA_LIST_TABLE = 1,
  NFTA_LIST_SET,
  NFTA_LIST_ELEMENTS,
  NFTA_LIST_SET_ID,
  NFTA_LIST_MAX = 5
};
enum NftDataAttr : u16 { NFTA_DATA_VALUE = 1, NFTA_DATA_VERDICT, NFTA_DATA_MAX = 2 };
enum NftVerdictAttr : u16 { NFTA_VERDICT_CODE = 1, NFTA_VERDICT_CHAIN, NFTA_VERDICT_MAX = 3 };
enum NftExprAttr : u16 { NFTA_EXPR_NAME = 1, NFTA_EXPR_DATA, NFTA_EXPR_MAX = 2 };
constexpr u16 NFTA_LIST_ELEM = 1;
inline u16 nft_message(NftMessage m) { return static_cast<u16>(kNftSubsystem << 8 | m); }

}  // namespace xm::os
