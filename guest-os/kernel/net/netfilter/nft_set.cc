// SPDX-License-Identifier: GPL-2.0-or-later
// Sets and maps: elements in order of their keys, looked up by bisection. In a set of intervals an element begins a
// range and one with the END flag ends it (its key is the first outside).
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/net/netfilter/nf_tables.h"

namespace xm::os {
namespace {

constexpr u32 kMaxElements = 65536;

// An end comes before a beginning at the same key.
int compare(const nft_set* s, const u8* key, u32 flags, const nft_elem* e) {
  const int d = memcmp(key, e->key, s->klen);
  if (d != 0) return d;
  const bool a_end = (flags & NFT_SET_ELEM_INTERVAL_END) != 0, b_end = (e->flags & NFT_SET_ELEM_INTERVAL_END) != 0;
  return a_end == b_end ? 0 : a_end ? -1 : 1;
}

// The first place whose element is not below the key.
u32 lower_bound(const nft_set* s, const nft_elem_array* a, const u8* key, u32 flags) {
  u32 low = 0, high = a == nullptr ? 0 : a->count;
  while (low < high) {
    const u32 mid = (low + high) / 2;
    compare(s, key, flags, a->at[mid]) > 0 ? low = mid + 1 : high = mid;
  }
  return low;
}

void publish(nft_set* s, nft_elem_array* fresh) {
  nft_elem_array* old = s->elements;
  __atomic_store_n(&s->elements, fresh, __ATOMIC_RELEASE);
  if (old == nullptr) return;
  synchronize_net();
  kfree(old);
}

nft_elem_array* allocate(u32 count) {
  auto* a = static_cast<nft_elem_array*>(kmalloc(sizeof(nft_elem_array) + count * sizeof(nft_elem*)));
  if (a != nullptr) a->count = count;
  return a;
}

void free_elem(nft_elem* e) {
  kfree(e->udata.bytes);
  kfree(e);
}

const nla_policy set_policy[NFTA_SET_MAX + 1] = {{},
                                                 {NLA_STRING, kNftMaxName},
                                                 {NLA_STRING, kNftMaxName},
                                                 {NLA_U32},
                                                 {NLA_U32},
                                                 {NLA_U32},
                                                 {NLA_U32},
                                                 {NLA_U32},
                                                 {NLA_U32},
                                                 {NLA_NESTED},
                                                 {NLA_U32}};

// "__set%d" becomes the first such name that is free.
char* make_name(nft_table* t, const nlattr* a) {
  char pattern[kNftMaxName];
  nla_get_string(a, pattern, sizeof pattern);
  char* percent = strchr(pattern, '%');
  if (percent == nullptr) return kstrdup(pattern);
  if (percent[1] != 'd') return nullptr;
  *percent = 0;
  for (u32 i = 0; i < 65536; ++i) {
    char name[kNftMaxName];
    format(name, sizeof name, "%s%u%s", pattern, i, percent + 2);
    bool used = false;
    for (const nft_set* s : entries<&nft_set::list>(t->sets)) used |= strcmp(s->name, name) == 0;
    if (!used) return kstrdup(name);
  }
  return nullptr;
}

int fill_set(sk_buff* skb, const nft_set* s, u32 portid, u32 seq, u16 flags) {
  nlmsghdr* nlh = nlmsg_put(skb, portid, seq, nft_message(NFT_MSG_NEWSET), sizeof(nfgenmsg), flags);
  if (nlh == nullptr) return -EMSGSIZE;
  *nlmsg_data<nfgenmsg>(nlh) = {s->table->family, 0, htons(static_cast<u16>(nft_genid))};
  const bool map = (s->flags & NFT_SET_MAP) != 0;
  nlattr* desc = nullptr;
  const bool ok =
      nla_put_string(skb, NFTA_SET_TABLE, s->table->name) && nla_put_string(skb, NFTA_SET_NAME, s->name) &&
      nla_put_be64(skb, NFTA_SET_HANDLE, s->handle) && (s->flags == 0 || nla_put_be32(skb, NFTA_SET_FLAGS, s->flags)) &&
      nla_put_be32(skb, NFTA_SET_KEY_TYPE, s->ktype) && nla_put_be32(skb, NFTA_SET_KEY_LEN, s->klen) &&
      (!map || (nla_put_be32(skb, NFTA_SET_DATA_TYPE, s->dtype) && nla_put_be32(skb, NFTA_SET_DATA_LEN, s->dlen))) &&
      (s->policy == 0 || nla_put_be32(skb, NFTA_SET_POLICY, s->policy)) &&
      (s->udata.length == 0 || nla_put(skb, NFTA_SET_USERDATA, s->udata.bytes, s->udata.length)) &&
      (desc = nla_nest_start(skb, NFTA_SET_DESC)) != nullptr;
  if (!ok) {
    nlmsg_cancel(skb, nlh);
    return -EMSGSIZE;
  }
  nla_nest_end(skb, desc);
  nlmsg_end(skb, nlh);
  return 0;
}

bool fill_elem(sk_buff* skb, const nft_set* s, const nft_elem* e) {
  nlattr* nest = nla_nest_start(skb, NFTA_LIST_ELEM);
  if (nest == nullptr) return false;
  bool ok = nft_put_value(skb, NFTA_SET_ELEM_KEY, e->key, s->klen);
  if (ok && (s->flags & NFT_SET_MAP) != 0 && (e->flags & NFT_SET_ELEM_INTERVAL_END) == 0)
    ok = s->dtype == NFT_DATA_VERDICT ? nft_put_verdict(skb, NFTA_SET_ELEM_DATA, e->verdict)
                                      : nft_put_value(skb, NFTA_SET_ELEM_DATA, e->data, s->dlen);
  if (ok && e->flags != 0) ok = nla_put_be32(skb, NFTA_SET_ELEM_FLAGS, e->flags);
  if (ok && e->udata.length != 0) ok = nla_put(skb, NFTA_SET_ELEM_USERDATA, e->udata.bytes, e->udata.length);
  if (ok) {
    nla_nest_end(skb, nest);
  } else {
    nla_nest_cancel(skb, nest);
  }
  return ok;
}

int parse_elem(nft_set* s, const nlattr* nest, nft_elem** made, netlink_ext_ack* ack) {
  const nlattr* tb[NFTA_SET_ELEM_MAX + 1];
  TRY_INT(nla_parse_nested(tb, NFTA_SET_ELEM_MAX, nest, nullptr, ack));
  if (tb[NFTA_SET_ELEM_KEY_END] != nullptr) return -EOPNOTSUPP;
  auto* e = static_cast<nft_elem*>(kzalloc(sizeof(nft_elem)));
  if (e == nullptr) return -ENOMEM;
  e->verdict = {};
  const nft_ctx ctx{s->table, nullptr, ack};
  u32 length = 0;
  e->flags = tb[NFTA_SET_ELEM_FLAGS] == nullptr ? 0 : nla_get_be32(tb[NFTA_SET_ELEM_FLAGS]);
  int error = (e->flags & ~NFT_SET_ELEM_INTERVAL_END) != 0 ? -EOPNOTSUPP : 0;
  if (error == 0 && (e->flags & NFT_SET_ELEM_INTERVAL_END) != 0 && (s->flags & NFT_SET_INTERVAL) == 0) error = -EINVAL;
  if (error == 0) error = nft_parse_value(tb[NFTA_SET_ELEM_KEY], e->key, &length);
  if (error == 0 && length != s->klen) error = -EINVAL;
  if (error == 0 && tb[NFTA_SET_ELEM_DATA] != nullptr) {
    if ((s->flags & NFT_SET_MAP) == 0) {
      error = -EINVAL;
    } else if (s->dtype == NFT_DATA_VERDICT) {
      error = nft_parse_verdict(ctx, tb[NFTA_SET_ELEM_DATA], &e->verdict);
    } else {
      error = nft_parse_value(tb[NFTA_SET_ELEM_DATA], e->data, &length);
      if (error == 0 && length != s->dlen) error = -EINVAL;
    }
  }
  if (error == 0) error = nft_copy_blob(&e->udata, tb[NFTA_SET_ELEM_USERDATA]);
  if (error == 0) {
    *made = e;
  } else {
    nft_verdict_use(e->verdict, -1);
    free_elem(e);
  }
  return error;
}

}  // namespace

const nft_elem* nft_set_lookup(const nft_set* s, const void* key) {
  const nft_elem_array* a = __atomic_load_n(&s->elements, __ATOMIC_ACQUIRE);
  if (a == nullptr) return nullptr;
  const u8* k = static_cast<const u8*>(key);
  const u32 at = lower_bound(s, a, k, 0);
  if (at < a->count && compare(s, k, 0, a->at[at]) == 0) return a->at[at];
  if ((s->flags & NFT_SET_INTERVAL) == 0 || at == 0) return nullptr;
  const nft_elem* e = a->at[at - 1];
  return (e->flags & NFT_SET_ELEM_INTERVAL_END) != 0 ? nullptr : e;
}

int nft_set_insert(nft_set* s, nft_elem* e) {
  const nft_elem_array* old = s->elements;
  const u32 n = old == nullptr ? 0 : old->count, at = lower_bound(s, old, e->key, e->flags);
  if (at < n && compare(s, e->key, e->flags, old->at[at]) == 0) return -EEXIST;
  if (n >= kMaxElements) return -ENFILE;
  nft_elem_array* fresh = allocate(n + 1);
  if (fresh == nullptr) return -ENOMEM;
  if (n != 0) {
    memcpy(fresh->at, old->at, at * sizeof(nft_elem*));
    memcpy(fresh->at + at + 1, old->at + at, (n - at) * sizeof(nft_elem*));
  }
  fresh->at[at] = e;
  publish(s, fresh);
  return 0;
}

nft_elem* nft_set_remove(nft_set* s, const nft_elem& match) {
  const nft_elem_array* old = s->elements;
  const u32 n = old == nullptr ? 0 : old->count, at = lower_bound(s, old, match.key, match.flags);
  if (at >= n || compare(s, match.key, match.flags, old->at[at]) != 0) return nullptr;
  nft_elem_array* fresh = allocate(n - 1);
  if (fresh == nullptr) return nullptr;
  nft_elem* e = old->at[at];
  memcpy(fresh->at, old->at, at * sizeof(nft_elem*));
  memcpy(fresh->at + at, old->at + at + 1, (n - 1 - at) * sizeof(nft_elem*));
  publish(s, fresh);
  return e;
}

void nft_set_free(nft_set* s) {
  for (u32 i = 0; s->elements != nullptr && i < s->elements->count; ++i) free_elem(s->elements->at[i]);
  kfree(s->elements);
  kfree(s->udata.bytes);
  kfree(s->name);
  kdelete(s);
}
void nft_elem_free(nft_elem* e) { free_elem(e); }

int nft_set_new(const nlmsghdr* nlh, u8 family, netlink_ext_ack* ack) {
  const nlattr* tb[NFTA_SET_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(nfgenmsg), tb, NFTA_SET_MAX, set_policy, false, ack));
  if (tb[NFTA_SET_TABLE] == nullptr || tb[NFTA_SET_NAME] == nullptr || tb[NFTA_SET_KEY_LEN] == nullptr ||
      tb[NFTA_SET_ID] == nullptr)
    return -EINVAL;
  nft_table* t = nft_find_table(family, tb[NFTA_SET_TABLE]);
  if (t == nullptr) return nl_error(ack, -ENOENT, nullptr, tb[NFTA_SET_TABLE]);
  if (nft_find_set(t, tb[NFTA_SET_NAME], nullptr) != nullptr)
    return (nlh->nlmsg_flags & NLM_F_EXCL) != 0 ? nl_error(ack, -EEXIST, nullptr, tb[NFTA_SET_NAME]) : 0;
  if ((nlh->nlmsg_flags & NLM_F_CREATE) == 0) return -ENOENT;
  const auto value = [&](u16 type) { return tb[type] == nullptr ? 0 : nla_get_be32(tb[type]); };
  nft_set* s = knew<nft_set>();
  if (s == nullptr) return -ENOMEM;
  s->table = t;
  s->flags = value(NFTA_SET_FLAGS);
  s->ktype = value(NFTA_SET_KEY_TYPE);
  s->klen = value(NFTA_SET_KEY_LEN);
  s->dtype = value(NFTA_SET_DATA_TYPE);
  s->dlen = s->dtype == NFT_DATA_VERDICT ? static_cast<u32>(sizeof(nft_verdict)) : value(NFTA_SET_DATA_LEN);
  s->policy = value(NFTA_SET_POLICY);
  s->id = value(NFTA_SET_ID);
  s->name = make_name(t, tb[NFTA_SET_NAME]);
  constexpr u32 kKnown = NFT_SET_ANONYMOUS | NFT_SET_CONSTANT | NFT_SET_INTERVAL | NFT_SET_MAP;
  int error = s->name == nullptr ? -ENOMEM : 0;
  if (error == 0 && (s->klen == 0 || s->klen > kNftMaxData || (s->flags & ~kKnown) != 0))
    error = s->klen == 0 ? -EINVAL : -EOPNOTSUPP;
  if (error == 0 && (s->flags & NFT_SET_MAP) != 0 && (s->dlen == 0 || s->dlen > kNftMaxData)) error = -EINVAL;
  if (error == 0) error = nft_copy_blob(&s->udata, tb[NFTA_SET_USERDATA]);
  if (error != 0) {
    nft_set_free(s);
    return error;
  }
  s->handle = ++t->next_handle;
  list_add_tail(&s->list, &t->sets);
  nft_record(NftUndo::NewSet, s);
  return 0;
}

int nft_set_delete(const nlmsghdr* nlh, u8 family, netlink_ext_ack* ack) {
  const nlattr* tb[NFTA_SET_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(nfgenmsg), tb, NFTA_SET_MAX, set_policy, false, ack));
  nft_table* t = tb[NFTA_SET_TABLE] == nullptr ? nullptr : nft_find_table(family, tb[NFTA_SET_TABLE]);
  if (t == nullptr) return -ENOENT;
  nft_set* s = nullptr;
  if (tb[NFTA_SET_HANDLE] != nullptr) {
    for (nft_set* o : entries<&nft_set::list>(t->sets)) {
      if (o->handle == nla_get_be64(tb[NFTA_SET_HANDLE])) s = o;
    }
  } else if (tb[NFTA_SET_NAME] != nullptr) {
    s = nft_find_set(t, tb[NFTA_SET_NAME], nullptr);
  }
  if (s == nullptr) return -ENOENT;
  if (s->use != 0) return -EBUSY;
  list_del_rcu(&s->list);
  nft_record(NftUndo::DelSet, s);
  return 0;
}

int nft_elements_change(const nlmsghdr* nlh, u8 family, netlink_ext_ack* ack, bool add) {
  const nlattr* tb[NFTA_LIST_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(nfgenmsg), tb, NFTA_LIST_MAX, nullptr, false, ack));
  if (tb[NFTA_LIST_TABLE] == nullptr || tb[NFTA_LIST_SET] == nullptr) return -EINVAL;
  nft_table* t = nft_find_table(family, tb[NFTA_LIST_TABLE]);
  nft_set* s = t == nullptr ? nullptr : nft_find_set(t, tb[NFTA_LIST_SET], tb[NFTA_LIST_SET_ID]);
  if (s == nullptr) return -ENOENT;
  if (tb[NFTA_LIST_ELEMENTS] == nullptr) {  // `flush set`
    if (add) return -EINVAL;
    while (s->elements != nullptr && s->elements->count > 0) {
      nft_elem* e = nft_set_remove(s, *s->elements->at[s->elements->count - 1]);
      if (e == nullptr) return -ENOMEM;
      nft_verdict_use(e->verdict, -1);
      nft_record(NftUndo::DelElem, s, e);
    }
    return 0;
  }
  const void* head = nla_data(tb[NFTA_LIST_ELEMENTS]);
  const u32 length = nla_len(tb[NFTA_LIST_ELEMENTS]);
  for (const nlattr* a = nla_first(head, length); a != nullptr; a = nla_next(a, head, length)) {
    nft_elem* e = nullptr;
    TRY_INT(parse_elem(s, a, &e, ack));
    if (add) {
      const int error = nft_set_insert(s, e);
      if (error != 0) {
        nft_verdict_use(e->verdict, -1);
        free_elem(e);
      }
      if (error == -EEXIST && (nlh->nlmsg_flags & NLM_F_EXCL) == 0) continue;
      if (error != 0) return nl_error(ack, error, nullptr, a);
      nft_record(NftUndo::NewElem, s, e);
    } else {
      nft_elem* gone = nft_set_remove(s, *e);
      nft_verdict_use(e->verdict, -1);
      free_elem(e);
      if (gone == nullptr) return nl_error(ack, -ENOENT, nullptr, a);
      nft_verdict_use(gone->verdict, -1);
      nft_record(NftUndo::DelElem, s, gone);
    }
  }
  return 0;
}

int nft_dump_sets(sk_buff* skb, netlink_callback* cb) {
  const u8 family = nlmsg_data<nfgenmsg>(cb->nlh)->family;
  const nlattr* tb[NFTA_SET_MAX + 1];
  TRY_INT(nlmsg_parse(cb->nlh, sizeof(nfgenmsg), tb, NFTA_SET_MAX, set_policy, false, nullptr));
  u64 seen = 0;
  for (nft_table* t : entries<&nft_table::list>(nft_tables)) {
    if (family != 0 && t->family != family) continue;
    if (tb[NFTA_SET_TABLE] != nullptr && !nla_equals(tb[NFTA_SET_TABLE], t->name)) continue;
    for (nft_set* s : entries<&nft_set::list>(t->sets)) {
      if (seen++ < cb->args[0]) continue;
      if (fill_set(skb, s, cb->portid, cb->nlh->nlmsg_seq, NLM_F_MULTI) != 0) return 1;
      ++cb->args[0];
    }
  }
  return 0;
}

int nft_get_set(netlink_sock* sk, const nlmsghdr* nlh, u8 family) {
  const nlattr* tb[NFTA_SET_MAX + 1];
  TRY_INT(nlmsg_parse(nlh, sizeof(nfgenmsg), tb, NFTA_SET_MAX, set_policy, false, nullptr));
  nft_table* t = tb[NFTA_SET_TABLE] == nullptr ? nullptr : nft_find_table(family, tb[NFTA_SET_TABLE]);
  nft_set* s = t == nullptr || tb[NFTA_SET_NAME] == nullptr ? nullptr : nft_find_set(t, tb[NFTA_SET_NAME], nullptr);
  if (s == nullptr) return -ENOENT;
  sk_buff* skb = nlmsg_new(4096);
  if (skb == nullptr) return -ENOBUFS;
  const int error = fill_set(skb, s, sk->portid, nlh->nlmsg_seq, 0);
  if (error == 0) return netlink_unicast(sk, skb);
  kfree_skb(skb);
  return error;
}

// args[0]: elements told already.
int nft_dump_elements(sk_buff* skb, netlink_callback* cb) {
  const nlattr* tb[NFTA_LIST_MAX + 1];
  TRY_INT(nlmsg_parse(cb->nlh, sizeof(nfgenmsg), tb, NFTA_LIST_MAX, nullptr, false, nullptr));
  if (tb[NFTA_LIST_TABLE] == nullptr || tb[NFTA_LIST_SET] == nullptr) return -EINVAL;
  nft_table* t = nft_find_table(nlmsg_data<nfgenmsg>(cb->nlh)->family, tb[NFTA_LIST_TABLE]);
  nft_set* s = t == nullptr ? nullptr : nft_find_set(t, tb[NFTA_LIST_SET], nullptr);
  if (s == nullptr) return -ENOENT;
  nlmsghdr* nlh =
      nlmsg_put(skb, cb->portid, cb->nlh->nlmsg_seq, nft_message(NFT_MSG_NEWSETELEM), sizeof(nfgenmsg), NLM_F_MULTI);
  if (nlh == nullptr) return 1;
  *nlmsg_data<nfgenmsg>(nlh) = {t->family, 0, htons(static_cast<u16>(nft_genid))};
  if (!nla_put_string(skb, NFTA_LIST_TABLE, t->name) || !nla_put_string(skb, NFTA_LIST_SET, s->name)) return -EMSGSIZE;
  nlattr* nest = nla_nest_start(skb, NFTA_LIST_ELEMENTS);
  if (nest == nullptr) return -EMSGSIZE;
  bool full = false;
  const u32 n = s->elements == nullptr ? 0 : s->elements->count;
  while (cb->args[0] < n && !full) {
    full = !fill_elem(skb, s, s->elements->at[cb->args[0]]);
    if (!full) ++cb->args[0];
  }
  nla_nest_end(skb, nest);
  nlmsg_end(skb, nlh);
  return full ? 1 : 0;
}

}  // namespace xm::os
