// SPDX-License-Identifier: GPL-2.0-or-later
// Tables, chains and rules made and removed. Messages between BATCH_BEGIN and BATCH_END count together: each is done at
// once and recorded; the first error undoes all of them in reverse. Readers in between may see a part of a batch.
#include "kernel/init/initcall.h"
#include "kernel/mm/slab.h"
#include "kernel/net/netfilter/nf_tables.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

list_head nft_tables;
u32 nft_genid = 1;

namespace {

constexpr u16 kBatchBegin = 0x10, kBatchEnd = 0x11;
constexpr u32 kMaxExprs = 128;
constexpr int kErestart = 85;  // "your view is old, look again"
constinit mutex nft_mutex{};
list_head undo_list;
bool undo_failed = false;

const nla_policy table_policy[NFTA_TABLE_MAX + 1] = {{}, {NLA_STRING, kNftMaxName - 1}, {NLA_U32}, {}, {NLA_U64}};
const nla_policy chain_policy[NFTA_CHAIN_MAX + 1] = {{},           {NLA_STRING, kNftMaxName - 1},
                                                     {NLA_U64},    {NLA_STRING, kNftMaxName - 1},
                                                     {NLA_NESTED}, {NLA_U32},
                                                     {},           {NLA_STRING, 31},
                                                     {},           {},
                                                     {NLA_U32}};
const nla_policy rule_policy[NFTA_RULE_MAX + 1] = {
    {}, {NLA_STRING, kNftMaxName - 1}, {NLA_STRING, kNftMaxName - 1}, {NLA_U64}, {NLA_NESTED}, {}, {NLA_U64}};

bool known_family(u8 f) { return f == kFamilyInet || f == kFamilyIpv4 || f == kFamilyIpv6; }

char* copy_name(const nlattr* a) {
  char name[kNftMaxName];
  nla_get_string(a, name, sizeof name);
  return kstrdup(name);
}

void rule_refs(nft_rule* r, int change) {
  for (u32 i = 0; i < r->count; ++i) {
    if (r->exprs[i]->ops->refs != nullptr) r->exprs[i]->ops->refs(r->exprs[i]->priv, change);
  }
}

void free_chain(nft_chain* c) {
  while (nft_rule* r = list_first<&nft_rule::list>(&c->rules)) {
    list_del(&r->list);
    nft_rule_free(r);
  }
  kfree(c->udata.bytes);
  kfree(c->name);
  kdelete(c);
}

void free_table(nft_table* t) {
  while (nft_chain* c = list_first<&nft_chain::list>(&t->chains)) {
    list_del(&c->list);
    free_chain(c);
  }
  while (nft_set* s = list_first<&nft_set::list>(&t->sets)) {
    list_del(&s->list);
    nft_set_free(s);
  }
  kfree(t->udata.bytes);
  kfree(t->name);
  kdelete(t);
}

void hook_table(nft_table* t, bool on) {
  for (nft_chain* c : entries<&nft_chain::list>(t->chains)) {
    if (!c->base) continue;
    on ? void(nft_chain_hook(c)) : nft_chain_unhook(c);
  }
}

// An entry that list_del_rcu took off goes back to its place: later changes have been undone before.
void relink(list_head* entry) {
  list_head *prev = entry->prev, *next = entry->next;
  next->prev = entry;
  __atomic_store_n(&prev->next, entry, __ATOMIC_RELEASE);
}

// --- commit and abort ---
void commit_one(NftUndo* u) {
  switch (u->kind) {
    case NftUndo::DelTable: free_table(static_cast<nft_table*>(u->object)); break;
    case NftUndo::DelChain: free_chain(static_cast<nft_chain*>(u->object)); break;
    case NftUndo::DelRule: nft_rule_free(static_cast<nft_rule*>(u->object)); break;
    case NftUndo::DelSet: nft_set_free(static_cast<nft_set*>(u->object)); break;
    case NftUndo::DelElem: nft_elem_free(static_cast<nft_elem*>(u->extra)); break;
    default: break;
  }
}

void abort_one(NftUndo* u) {
  switch (u->kind) {
    case NftUndo::NewTable:
      list_del(&static_cast<nft_table*>(u->object)->list);
      free_table(static_cast<nft_table*>(u->object));
      break;
    case NftUndo::DelTable:
      relink(&static_cast<nft_table*>(u->object)->list);
      hook_table(static_cast<nft_table*>(u->object), true);
      break;
    case NftUndo::NewChain: {
      auto* c = static_cast<nft_chain*>(u->object);
      if (c->base) nft_chain_unhook(c);
      list_del(&c->list);
      free_chain(c);
      break;
    }
    case NftUndo::DelChain: {
      auto* c = static_cast<nft_chain*>(u->object);
      relink(&c->list);
      if (c->base) nft_chain_hook(c);
      break;
    }
    case NftUndo::NewRule: {
      auto* r = static_cast<nft_rule*>(u->object);
      rule_refs(r, -1);
      list_del_rcu(&r->list);
      synchronize_net();
      nft_rule_free(r);
      break;
    }
    case NftUndo::DelRule:
      rule_refs(static_cast<nft_rule*>(u->object), 1);
      relink(&static_cast<nft_rule*>(u->object)->list);
      break;
    case NftUndo::NewSet:
      list_del(&static_cast<nft_set*>(u->object)->list);
      nft_set_free(static_cast<nft_set*>(u->object));
      break;
    case NftUndo::DelSet: relink(&static_cast<nft_set*>(u->object)->list); break;
    case NftUndo::NewElem: {
      auto* e = static_cast<nft_elem*>(u->extra);
      nft_set_remove(static_cast<nft_set*>(u->object), *e);
      nft_verdict_use(e->verdict, -1);
      nft_elem_free(e);
      break;
    }
    case NftUndo::DelElem: {
      auto* e = static_cast<nft_elem*>(u->extra);
      nft_verdict_use(e->verdict, 1);
      nft_set_insert(static_cast<nft_set*>(u->object), e);
      break;
    }
    case NftUndo::Policy: static_cast<nft_chain*>(u->object)->policy = static_cast<u32>(u->value); break;
  }
}

void finish(bool ok) {
  if (undo_list.empty()) return;
  if (ok) synchronize_net();
  while (!undo_list.empty()) {
    NftUndo* u = list_entry<&NftUndo::link>(ok ? undo_list.next : undo_list.prev);
    list_del(&u->link);
    ok ? commit_one(u) : abort_one(u);
    kdelete(u);
  }
  ++nft_genid;
}

// --- tables ---
int new_table(const nlmsghdr* nlh, u8 family, netlink_ext_ack* ack) {
  const nlattr* tb[NFTA_TABLE_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(nfgenmsg), tb, NFTA_TABLE_MAX, table_policy, false, ack));
  if (tb[NFTA_TABLE_NAME] == nullptr) return -EINVAL;
  if (!known_family(family)) return -EOPNOTSUPP;
  if (nft_find_table(family, tb[NFTA_TABLE_NAME]) != nullptr)
    return (nlh->nlmsg_flags & NLM_F_EXCL) != 0 ? nl_error(ack, -EEXIST, nullptr, tb[NFTA_TABLE_NAME]) : 0;
  nft_table* t = knew<nft_table>();
  if (t == nullptr) return -ENOMEM;
  static u64 next_handle = 0;
  t->family = family;
  t->flags = tb[NFTA_TABLE_FLAGS] == nullptr ? 0 : nla_get_be32(tb[NFTA_TABLE_FLAGS]);
  t->handle = ++next_handle;
  t->name = copy_name(tb[NFTA_TABLE_NAME]);
  int error = t->name == nullptr ? -ENOMEM : t->flags != 0 ? -EOPNOTSUPP : 0;
  if (error == 0) error = nft_copy_blob(&t->udata, tb[NFTA_TABLE_USERDATA]);
  if (error != 0) {
    free_table(t);
    return error;
  }
  list_add_tail_rcu(&t->list, &nft_tables);
  nft_record(NftUndo::NewTable, t);
  return 0;
}

void delete_table(nft_table* t) {
  hook_table(t, false);
  list_del_rcu(&t->list);
  nft_record(NftUndo::DelTable, t);
}

int del_table(const nlmsghdr* nlh, u8 family, netlink_ext_ack* ack) {
  const nlattr* tb[NFTA_TABLE_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(nfgenmsg), tb, NFTA_TABLE_MAX, table_policy, false, ack));
  if (family == 0 || (tb[NFTA_TABLE_NAME] == nullptr && tb[NFTA_TABLE_HANDLE] == nullptr)) {  // `flush ruleset`
    for (nft_table* t : entries<&nft_table::list>(nft_tables)) {
      if (family == 0 || t->family == family) delete_table(t);
    }
    return 0;
  }
  nft_table* found = nullptr;
  for (nft_table* t : entries<&nft_table::list>(nft_tables)) {
    const bool match = tb[NFTA_TABLE_HANDLE] != nullptr ? t->handle == nla_get_be64(tb[NFTA_TABLE_HANDLE])
                                                        : nla_equals(tb[NFTA_TABLE_NAME], t->name);
    if (t->family == family && match) found = t;
  }
  if (found == nullptr) return nl_error(ack, -ENOENT, nullptr, tb[NFTA_TABLE_NAME]);
  delete_table(found);
  return 0;
}

// --- rules ---
int make_expr(const nft_ctx& ctx, const nlattr* element, nft_expr** made) {
  const nlattr* tb[NFTA_EXPR_MAX + 1];
  TRY_INT(nla_parse_nested(tb, NFTA_EXPR_MAX, element, nullptr, ctx.ack));
  if (tb[NFTA_EXPR_NAME] == nullptr) return -EINVAL;
  char name[32];
  nla_get_string(tb[NFTA_EXPR_NAME], name, sizeof name);
  const nft_expr_ops* ops = nft_find_expr(name);
  if (ops == nullptr) return nl_error(ctx.ack, -ENOENT, nullptr, element);
  auto* e = static_cast<nft_expr*>(kzalloc(sizeof(nft_expr) + ops->size));
  if (e == nullptr) return -ENOMEM;
  e->ops = ops;
  const nlattr* data = tb[NFTA_EXPR_DATA];
  const int error = ops->init(ctx, e->priv,
                              data == nullptr             ? nullptr
                              : nla_data(data) == nullptr ? nullptr
                                                          : reinterpret_cast<const nlattr*>(nla_data(data)),
                              data == nullptr ? 0 : nla_len(data));
  if (error != 0) {
    kfree(e);
    return error;
  }
  *made = e;
  return 0;
}

int fill_rule(const nft_ctx& ctx, nft_rule* r, const nlattr* list) {
  if (list == nullptr) return 0;
  const void* head = nla_data(list);
  const u32 length = nla_len(list);
  u32 n = 0;
  for (const nlattr* a = nla_first(head, length); a != nullptr; a = nla_next(a, head, length)) ++n;
  if (n > kMaxExprs) return -ENOMEM;
  r->exprs = static_cast<nft_expr**>(kzalloc(n * sizeof(nft_expr*) + 8));
  if (r->exprs == nullptr) return -ENOMEM;
  for (const nlattr* a = nla_first(head, length); a != nullptr; a = nla_next(a, head, length)) {
    TRY_INT(make_expr(ctx, a, &r->exprs[r->count]));
    ++r->count;
  }
  return 0;
}

nft_rule* find_rule(nft_chain* c, u64 handle) {
  for (nft_rule* r : entries<&nft_rule::list>(c->rules)) {
    if (r->handle == handle) return r;
  }
  return nullptr;
}

void link_rule(nft_rule* r, list_head* after) {
  r->list.prev = after;
  r->list.next = after->next;
  relink(&r->list);
}

void delete_rule(nft_rule* r) {
  rule_refs(r, -1);
  list_del_rcu(&r->list);
  nft_record(NftUndo::DelRule, r);
  // Sets without a name belong to their rule.
  for (u32 i = 0; i < r->count; ++i) {
    nft_set* s = nft_lookup_set(r->exprs[i]);
    if (s == nullptr || (s->flags & NFT_SET_ANONYMOUS) == 0 || s->use != 0) continue;
    list_del_rcu(&s->list);
    nft_record(NftUndo::DelSet, s);
  }
}

int find_chain(u8 family, const nlattr** tb, nft_table** t, nft_chain** c, netlink_ext_ack* ack) {
  if (tb[NFTA_RULE_TABLE] == nullptr) return -EINVAL;
  *t = nft_find_table(family, tb[NFTA_RULE_TABLE]);
  if (*t == nullptr) return nl_error(ack, -ENOENT, nullptr, tb[NFTA_RULE_TABLE]);
  if (tb[NFTA_RULE_CHAIN] == nullptr) return 0;
  *c = nft_find_chain(*t, tb[NFTA_RULE_CHAIN]);
  return *c != nullptr ? 0 : nl_error(ack, -ENOENT, nullptr, tb[NFTA_RULE_CHAIN]);
}

int new_rule(const nlmsghdr* nlh, u8 family, netlink_ext_ack* ack) {
  const nlattr* tb[NFTA_RULE_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(nfgenmsg), tb, NFTA_RULE_MAX, rule_policy, false, ack));
  nft_table* t = nullptr;
  nft_chain* c = nullptr;
  TRY_INT(find_chain(family, tb, &t, &c, ack));
  if (c == nullptr) return -EINVAL;
  nft_rule* place = nullptr;
  const nlattr* handle = tb[NFTA_RULE_HANDLE] != nullptr ? tb[NFTA_RULE_HANDLE] : tb[NFTA_RULE_POSITION];
  if (handle != nullptr) {
    place = find_rule(c, nla_get_be64(handle));
    if (place == nullptr) return nl_error(ack, -ENOENT, nullptr, handle);
    if (tb[NFTA_RULE_HANDLE] != nullptr && (nlh->nlmsg_flags & NLM_F_REPLACE) == 0) return -EEXIST;
  } else if ((nlh->nlmsg_flags & NLM_F_CREATE) == 0) {
    return -EINVAL;
  }
  nft_rule* r = knew<nft_rule>();
  if (r == nullptr) return -ENOMEM;
  r->chain = c;
  int error = fill_rule({t, c, ack}, r, tb[NFTA_RULE_EXPRESSIONS]);
  if (error == 0) error = nft_copy_blob(&r->udata, tb[NFTA_RULE_USERDATA]);
  if (error != 0) {
    rule_refs(r, -1);
    nft_rule_free(r);
    return error;
  }
  r->handle = ++t->next_handle;
  if (tb[NFTA_RULE_HANDLE] != nullptr) {
    link_rule(r, &place->list);
    nft_record(NftUndo::NewRule, r);
    delete_rule(place);
    return 0;
  }
  if ((nlh->nlmsg_flags & NLM_F_APPEND) != 0) {
    link_rule(r, place != nullptr ? &place->list : c->rules.prev);
  } else {
    link_rule(r, place != nullptr ? place->list.prev : &c->rules);
  }
  nft_record(NftUndo::NewRule, r);
  return 0;
}

int del_rule(const nlmsghdr* nlh, u8 family, netlink_ext_ack* ack) {
  const nlattr* tb[NFTA_RULE_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(nfgenmsg), tb, NFTA_RULE_MAX, rule_policy, false, ack));
  nft_table* t = nullptr;
  nft_chain* c = nullptr;
  TRY_INT(find_chain(family, tb, &t, &c, ack));
  if (tb[NFTA_RULE_HANDLE] != nullptr) {
    nft_rule* r = c == nullptr ? nullptr : find_rule(c, nla_get_be64(tb[NFTA_RULE_HANDLE]));
    if (r == nullptr) return nl_error(ack, -ENOENT, nullptr, tb[NFTA_RULE_HANDLE]);
    delete_rule(r);
    return 0;
  }
  for (nft_chain* each : entries<&nft_chain::list>(t->chains)) {
    if (c != nullptr && each != c) continue;
    for (nft_rule* r : entries<&nft_rule::list>(each->rules)) delete_rule(r);
  }
  return 0;
}

// --- chains ---
int parse_hook(nft_chain* c, const nlattr** tb, netlink_ext_ack* ack) {
  const nlattr* h[5];
  TRY_INT(nla_parse_nested(h, 4, tb[NFTA_CHAIN_HOOK], nullptr, ack));
  if (h[1] == nullptr || h[2] == nullptr) return -EINVAL;
  const u32 hooknum = nla_get_be32(h[1]);
  if (hooknum >= NF_INET_NUMHOOKS) return -EOPNOTSUPP;
  c->base = true;
  c->hooknum = static_cast<u8>(hooknum);
  c->priority = static_cast<s32>(nla_get_be32(h[2]));
  c->flags = 1;
  if (tb[NFTA_CHAIN_TYPE] == nullptr || nla_equals(tb[NFTA_CHAIN_TYPE], "filter")) return 0;
  if (nla_equals(tb[NFTA_CHAIN_TYPE], "route")) {
    c->type = NftChainType::Route;
    return c->hooknum == NF_INET_LOCAL_OUT ? 0 : -EOPNOTSUPP;
  }
  if (!nla_equals(tb[NFTA_CHAIN_TYPE], "nat")) return nl_error(ack, -ENOENT, nullptr, tb[NFTA_CHAIN_TYPE]);
  c->type = NftChainType::Nat;
  return c->hooknum == NF_INET_FORWARD || c->priority <= -200 ? -EOPNOTSUPP : 0;
}

int update_chain(nft_chain* c, const nlmsghdr* nlh, const nlattr** tb, netlink_ext_ack* ack) {
  if ((nlh->nlmsg_flags & NLM_F_EXCL) != 0) return nl_error(ack, -EEXIST, nullptr, tb[NFTA_CHAIN_NAME]);
  if (tb[NFTA_CHAIN_POLICY] == nullptr) return 0;
  if (!c->base) return -EOPNOTSUPP;
  const u32 policy = nla_get_be32(tb[NFTA_CHAIN_POLICY]);
  if (policy > NF_ACCEPT) return -EINVAL;
  nft_record(NftUndo::Policy, c, nullptr, c->policy);
  c->policy = policy;
  return 0;
}

int new_chain(const nlmsghdr* nlh, u8 family, netlink_ext_ack* ack) {
  const nlattr* tb[NFTA_CHAIN_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(nfgenmsg), tb, NFTA_CHAIN_MAX, chain_policy, false, ack));
  nft_table* t = tb[NFTA_CHAIN_TABLE] == nullptr ? nullptr : nft_find_table(family, tb[NFTA_CHAIN_TABLE]);
  if (t == nullptr) return nl_error(ack, -ENOENT, nullptr, tb[NFTA_CHAIN_TABLE]);
  if (tb[NFTA_CHAIN_NAME] == nullptr) return -EOPNOTSUPP;
  if (nft_chain* c = nft_find_chain(t, tb[NFTA_CHAIN_NAME])) return update_chain(c, nlh, tb, ack);
  nft_chain* c = knew<nft_chain>();
  if (c == nullptr) return -ENOMEM;
  c->table = t;
  c->name = copy_name(tb[NFTA_CHAIN_NAME]);
  int error = c->name == nullptr ? -ENOMEM : nft_copy_blob(&c->udata, tb[NFTA_CHAIN_USERDATA]);
  if (error == 0 && tb[NFTA_CHAIN_HOOK] != nullptr) error = parse_hook(c, tb, ack);
  if (error == 0 && tb[NFTA_CHAIN_POLICY] != nullptr) {
    c->policy = nla_get_be32(tb[NFTA_CHAIN_POLICY]);
    if (!c->base || c->policy > NF_ACCEPT) error = -EINVAL;
  }
  if (error == 0 && c->base) error = nft_chain_hook(c);
  if (error != 0) {
    free_chain(c);
    return error;
  }
  c->handle = ++t->next_handle;
  list_add_tail(&c->list, &t->chains);
  nft_record(NftUndo::NewChain, c);
  return 0;
}

int del_chain(const nlmsghdr* nlh, u8 family, netlink_ext_ack* ack) {
  const nlattr* tb[NFTA_CHAIN_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(nfgenmsg), tb, NFTA_CHAIN_MAX, chain_policy, false, ack));
  nft_table* t = tb[NFTA_CHAIN_TABLE] == nullptr ? nullptr : nft_find_table(family, tb[NFTA_CHAIN_TABLE]);
  if (t == nullptr) return nl_error(ack, -ENOENT, nullptr, tb[NFTA_CHAIN_TABLE]);
  nft_chain* c = nullptr;
  for (nft_chain* o : entries<&nft_chain::list>(t->chains)) {
    if (tb[NFTA_CHAIN_HANDLE] != nullptr ? o->handle == nla_get_be64(tb[NFTA_CHAIN_HANDLE])
                                         : tb[NFTA_CHAIN_NAME] != nullptr && nla_equals(tb[NFTA_CHAIN_NAME], o->name))
      c = o;
  }
  if (c == nullptr) return nl_error(ack, -ENOENT, nullptr, tb[NFTA_CHAIN_NAME]);
  if (!c->rules.empty() && (nlh->nlmsg_flags & NLM_F_NONREC) != 0) return -EBUSY;
  for (nft_rule* r : entries<&nft_rule::list>(c->rules)) delete_rule(r);
  if (c->use != 0) return -EBUSY;
  if (c->base) nft_chain_unhook(c);
  list_del_rcu(&c->list);
  nft_record(NftUndo::DelChain, c);
  return 0;
}

// --- batches ---
int change(const nlmsghdr* nlh, netlink_ext_ack* ack) {
  if (nlh->nlmsg_len < NLMSG_HDRLEN + sizeof(nfgenmsg)) return -EINVAL;
  if (nlh->nlmsg_type >> 8 != kNftSubsystem) return -EOPNOTSUPP;
  const u8 family = nlmsg_data<nfgenmsg>(nlh)->family;
  switch (nlh->nlmsg_type & 0xff) {
    case NFT_MSG_NEWTABLE: return new_table(nlh, family, ack);
    case NFT_MSG_DELTABLE: return del_table(nlh, family, ack);
    case NFT_MSG_NEWCHAIN: return new_chain(nlh, family, ack);
    case NFT_MSG_DELCHAIN: return del_chain(nlh, family, ack);
    case NFT_MSG_NEWRULE: return new_rule(nlh, family, ack);
    case NFT_MSG_DELRULE: return del_rule(nlh, family, ack);
    case NFT_MSG_NEWSET: return nft_set_new(nlh, family, ack);
    case NFT_MSG_DELSET: return nft_set_delete(nlh, family, ack);
    case NFT_MSG_NEWSETELEM: return nft_elements_change(nlh, family, ack, true);
    case NFT_MSG_DELSETELEM: return nft_elements_change(nlh, family, ack, false);
    default: return -EOPNOTSUPP;
  }
}

bool stale(const nlmsghdr* begin) {
  const nlattr* tb[2];
  return nlmsg_parse(begin, sizeof(nfgenmsg), tb, 1, nullptr, false, nullptr) == 0 && tb[1] != nullptr &&
         nla_get_be32(tb[1]) != nft_genid;
}

void batch(netlink_sock* sk, u8* data, u32 length) {
  MutexGuard guard(nft_mutex);
  const auto* begin = reinterpret_cast<const nlmsghdr*>(data);
  if (stale(begin)) {
    netlink_ack(sk, begin, -kErestart, nullptr);
    return;
  }
  bool ok = true, ended = false;
  undo_failed = false;
  u32 at = nl_align(begin->nlmsg_len);
  while (!ended && at < length && length - at >= NLMSG_HDRLEN) {
    const auto* nlh = reinterpret_cast<const nlmsghdr*>(data + at);
    if (nlh->nlmsg_len < NLMSG_HDRLEN || nlh->nlmsg_len > length - at) break;
    at += nl_align(nlh->nlmsg_len);
    ended = nlh->nlmsg_type == kBatchEnd;
    if (ended || nlh->nlmsg_type < NLMSG_MIN_TYPE) continue;
    netlink_ext_ack ack;
    const int error = change(nlh, &ack);
    if (error != 0) ok = false;
    if (error != 0 || (nlh->nlmsg_flags & NLM_F_ACK) != 0) netlink_ack(sk, nlh, error, &ack);
  }
  finish(ok && ended && !undo_failed);
}

int single(netlink_sock* sk, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  if (!capable(CAP_NET_ADMIN)) return -EPERM;
  if (nlh->nlmsg_len < NLMSG_HDRLEN + sizeof(nfgenmsg)) return -EINVAL;
  if (nlh->nlmsg_type >> 8 != kNftSubsystem) return -EINVAL;
  return nft_get(sk, nlh, ack);
}

void input(netlink_sock* sk, u8* data, u32 length) {
  const auto* nlh = reinterpret_cast<const nlmsghdr*>(data);
  const bool is_batch = length >= NLMSG_HDRLEN + sizeof(nfgenmsg) && nlh->nlmsg_type == kBatchBegin &&
                        nlh->nlmsg_len >= NLMSG_HDRLEN + sizeof(nfgenmsg) && nlh->nlmsg_len <= length;
  if (!is_batch) {
    netlink_rcv(sk, data, length, single);
  } else if (!capable(CAP_NET_ADMIN)) {
    netlink_ack(sk, nlh, -EPERM, nullptr);
  } else {
    batch(sk, data, length);
  }
}
constinit const netlink_kernel_ops nfnetlink_ops{input, false};

void nfnetlink_init() { netlink_kernel_register(NETLINK_NETFILTER, &nfnetlink_ops); }
FS_INITCALL(nfnetlink_init);

}  // namespace

void nft_lock() { mutex_lock(nft_mutex); }
void nft_unlock() { mutex_unlock(nft_mutex); }

void nft_record(NftUndo::Kind kind, void* object, void* extra, u64 value) {
  NftUndo* u = knew<NftUndo>();
  if (u == nullptr) {  // cannot be undone: the batch must not fail any more, so it is treated as failed now
    undo_failed = true;
    return;
  }
  u->kind = kind;
  u->object = object;
  u->extra = extra;
  u->value = value;
  list_add_tail(&u->link, &undo_list);
}

void nft_rule_free(nft_rule* r) {
  for (u32 i = 0; i < r->count; ++i) kfree(r->exprs[i]);
  kfree(r->exprs);
  kfree(r->udata.bytes);
  kdelete(r);
}

nft_table* nft_find_table(u8 family, const nlattr* name) {
  for (nft_table* t : entries<&nft_table::list>(nft_tables)) {
    if (t->family == family && nla_equals(name, t->name)) return t;
  }
  return nullptr;
}
nft_chain* nft_find_chain(nft_table* t, const nlattr* name) {
  for (nft_chain* c : entries<&nft_chain::list>(t->chains)) {
    if (nla_equals(name, c->name)) return c;
  }
  return nullptr;
}
// By name; a set of the same batch whose name is a pattern goes by its number.
nft_set* nft_find_set(nft_table* t, const nlattr* name, const nlattr* id) {
  for (nft_set* s : entries<&nft_set::list>(t->sets)) {
    if (nla_equals(name, s->name)) return s;
  }
  if (id == nullptr) return nullptr;
  nft_set* found = nullptr;
  for (nft_set* s : entries<&nft_set::list>(t->sets)) {
    if (s->id == nla_get_be32(id)) found = s;
  }
  return found;
}

}  // namespace xm::os
