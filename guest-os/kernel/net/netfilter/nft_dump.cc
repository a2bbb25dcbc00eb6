// SPDX-License-Identifier: GPL-2.0-or-later
// What `nft list` reads: tables, chains, rules, sets, the generation.
#include "kernel/net/netfilter/nf_tables.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

void nft_lock();
void nft_unlock();

namespace {

nlmsghdr* begin(sk_buff* skb, NftMessage m, u8 family, u32 portid, u32 seq, u16 flags) {
  nlmsghdr* nlh = nlmsg_put(skb, portid, seq, nft_message(m), sizeof(nfgenmsg), flags);
  if (nlh != nullptr) *nlmsg_data<nfgenmsg>(nlh) = {family, 0, htons(static_cast<u16>(nft_genid))};
  return nlh;
}
bool end(sk_buff* skb, nlmsghdr* nlh, bool ok) {
  ok ? nlmsg_end(skb, nlh) : nlmsg_cancel(skb, nlh);
  return ok;
}
bool put_blob(sk_buff* skb, u16 type, const nft_blob& b) {
  return b.length == 0 || nla_put(skb, type, b.bytes, b.length);
}

bool fill_table(sk_buff* skb, nft_table* t, u32 portid, u32 seq, u16 flags) {
  nlmsghdr* nlh = begin(skb, NFT_MSG_NEWTABLE, t->family, portid, seq, flags);
  if (nlh == nullptr) return false;
  u32 use = 0;
  for ([[maybe_unused]] nft_chain* c : entries<&nft_chain::list>(t->chains)) ++use;
  for ([[maybe_unused]] nft_set* s : entries<&nft_set::list>(t->sets)) ++use;
  return end(skb, nlh,
             nla_put_string(skb, NFTA_TABLE_NAME, t->name) && nla_put_be32(skb, NFTA_TABLE_FLAGS, t->flags) &&
                 nla_put_be32(skb, NFTA_TABLE_USE, use) && nla_put_be64(skb, NFTA_TABLE_HANDLE, t->handle) &&
                 put_blob(skb, NFTA_TABLE_USERDATA, t->udata));
}

bool fill_chain(sk_buff* skb, nft_chain* c, u32 portid, u32 seq, u16 flags) {
  static const char* const types[] = {"filter", "nat", "route"};
  nlmsghdr* nlh = begin(skb, NFT_MSG_NEWCHAIN, c->table->family, portid, seq, flags);
  if (nlh == nullptr) return false;
  bool ok = nla_put_string(skb, NFTA_CHAIN_TABLE, c->table->name) && nla_put_be64(skb, NFTA_CHAIN_HANDLE, c->handle) &&
            nla_put_string(skb, NFTA_CHAIN_NAME, c->name);
  if (ok && c->base) {
    nlattr* hook = nla_nest_start(skb, NFTA_CHAIN_HOOK);
    ok = hook != nullptr && nla_put_be32(skb, 1, c->hooknum) && nla_put_be32(skb, 2, static_cast<u32>(c->priority));
    if (ok) nla_nest_end(skb, hook);
    ok = ok && nla_put_be32(skb, NFTA_CHAIN_POLICY, c->policy) &&
         nla_put_string(skb, NFTA_CHAIN_TYPE, types[static_cast<u32>(c->type)]);
  }
  u32 use = c->use;
  for ([[maybe_unused]] nft_rule* r : entries<&nft_rule::list>(c->rules)) ++use;
  ok = ok && (c->flags == 0 || nla_put_be32(skb, NFTA_CHAIN_FLAGS, c->flags)) &&
       nla_put_be32(skb, NFTA_CHAIN_USE, use) && put_blob(skb, NFTA_CHAIN_USERDATA, c->udata);
  return end(skb, nlh, ok);
}

bool fill_exprs(sk_buff* skb, const nft_rule* r) {
  nlattr* list = nla_nest_start(skb, NFTA_RULE_EXPRESSIONS);
  if (list == nullptr) return false;
  for (u32 i = 0; i < r->count; ++i) {
    nft_expr* e = r->exprs[i];
    nlattr* element = nla_nest_start(skb, NFTA_LIST_ELEM);
    if (element == nullptr || !nla_put_string(skb, NFTA_EXPR_NAME, e->ops->name)) return false;
    nlattr* data = nla_nest_start(skb, NFTA_EXPR_DATA);
    if (data == nullptr || !e->ops->dump(skb, e->priv)) return false;
    nla_nest_end(skb, data);
    nla_nest_end(skb, element);
  }
  nla_nest_end(skb, list);
  return true;
}

bool fill_rule(sk_buff* skb, nft_rule* r, u32 portid, u32 seq, u16 flags) {
  const nft_table* t = r->chain->table;
  nlmsghdr* nlh = begin(skb, NFT_MSG_NEWRULE, t->family, portid, seq, flags);
  if (nlh == nullptr) return false;
  return end(skb, nlh,
             nla_put_string(skb, NFTA_RULE_TABLE, t->name) && nla_put_string(skb, NFTA_RULE_CHAIN, r->chain->name) &&
                 nla_put_be64(skb, NFTA_RULE_HANDLE, r->handle) && fill_exprs(skb, r) &&
                 put_blob(skb, NFTA_RULE_USERDATA, r->udata));
}

bool wanted(const nft_table* t, u8 family, const nlattr* name) {
  return (family == 0 || t->family == family) && (name == nullptr || nla_equals(name, t->name));
}

int dump_tables(sk_buff* skb, netlink_callback* cb) {
  const u8 family = nlmsg_data<nfgenmsg>(cb->nlh)->family;
  u64 seen = 0;
  for (nft_table* t : entries<&nft_table::list>(nft_tables)) {
    if (!wanted(t, family, nullptr) || seen++ < cb->args[0]) continue;
    if (!fill_table(skb, t, cb->portid, cb->nlh->nlmsg_seq, NLM_F_MULTI)) return 1;
    ++cb->args[0];
  }
  return 0;
}

int dump_chains(sk_buff* skb, netlink_callback* cb) {
  const u8 family = nlmsg_data<nfgenmsg>(cb->nlh)->family;
  u64 seen = 0;
  for (nft_table* t : entries<&nft_table::list>(nft_tables)) {
    if (!wanted(t, family, nullptr)) continue;
    for (nft_chain* c : entries<&nft_chain::list>(t->chains)) {
      if (seen++ < cb->args[0]) continue;
      if (!fill_chain(skb, c, cb->portid, cb->nlh->nlmsg_seq, NLM_F_MULTI)) return 1;
      ++cb->args[0];
    }
  }
  return 0;
}

int dump_rules(sk_buff* skb, netlink_callback* cb) {
  const nlattr* tb[NFTA_RULE_MAX + 1];
  TRY_INT(nlmsg_parse(cb->nlh, sizeof(nfgenmsg), tb, NFTA_RULE_MAX, nullptr, false, nullptr));
  const u8 family = nlmsg_data<nfgenmsg>(cb->nlh)->family;
  u64 seen = 0;
  for (nft_table* t : entries<&nft_table::list>(nft_tables)) {
    if (!wanted(t, family, tb[NFTA_RULE_TABLE])) continue;
    for (nft_chain* c : entries<&nft_chain::list>(t->chains)) {
      if (tb[NFTA_RULE_CHAIN] != nullptr && !nla_equals(tb[NFTA_RULE_CHAIN], c->name)) continue;
      for (nft_rule* r : entries<&nft_rule::list>(c->rules)) {
        if (seen++ < cb->args[0]) continue;
        if (!fill_rule(skb, r, cb->portid, cb->nlh->nlmsg_seq, NLM_F_MULTI)) return 1;
        ++cb->args[0];
      }
    }
  }
  return 0;
}

int dump_nothing(sk_buff*, netlink_callback*) { return 0; }

int locked(sk_buff* skb, netlink_callback* cb) {
  const auto dump = reinterpret_cast<int (*)(sk_buff*, netlink_callback*)>(cb->data);
  nft_lock();
  const int r = dump(skb, cb);
  nft_unlock();
  return r;
}

int get_one(netlink_sock* sk, const nlmsghdr* nlh, u8 message) {
  const u8 family = nlmsg_data<nfgenmsg>(nlh)->family;
  const nlattr* tb[NFTA_CHAIN_MAX + 1];  // table, chain: the same numbers in all three
  TRY_INT(nlmsg_parse(nlh, sizeof(nfgenmsg), tb, NFTA_CHAIN_MAX, nullptr, false, nullptr));
  if (message == NFT_MSG_GETSET) return nft_get_set(sk, nlh, family);
  sk_buff* skb = nlmsg_new(8000);
  if (skb == nullptr) return -ENOBUFS;
  bool ok = false;
  if (message == NFT_MSG_GETGEN) {
    nlmsghdr* reply = begin(skb, NFT_MSG_NEWGEN, family, sk->portid, nlh->nlmsg_seq, 0);
    ok = end(skb, reply,
             nla_put_be32(skb, 1, nft_genid) && nla_put_be32(skb, 2, static_cast<u32>(current->tgid)) &&
                 nla_put_string(skb, 3, current->comm));
  } else if (nft_table* t = tb[1] == nullptr ? nullptr : nft_find_table(family, tb[1])) {
    if (message == NFT_MSG_GETTABLE) ok = fill_table(skb, t, sk->portid, nlh->nlmsg_seq, 0);
    const nlattr* chain_name = message == NFT_MSG_GETCHAIN ? tb[NFTA_CHAIN_NAME] : tb[NFTA_RULE_CHAIN];
    nft_chain* c = message == NFT_MSG_GETTABLE || chain_name == nullptr ? nullptr : nft_find_chain(t, chain_name);
    if (message == NFT_MSG_GETCHAIN && c != nullptr) ok = fill_chain(skb, c, sk->portid, nlh->nlmsg_seq, 0);
    if (message == NFT_MSG_GETRULE && c != nullptr && tb[NFTA_RULE_HANDLE] != nullptr &&
        nla_len(tb[NFTA_RULE_HANDLE]) == 8) {
      for (nft_rule* r : entries<&nft_rule::list>(c->rules)) {
        if (r->handle == nla_get_be64(tb[NFTA_RULE_HANDLE])) ok = fill_rule(skb, r, sk->portid, nlh->nlmsg_seq, 0);
      }
    }
  }
  if (ok) return netlink_unicast(sk, skb);
  kfree_skb(skb);
  return -ENOENT;
}

}  // namespace

int nft_get(netlink_sock* sk, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  const u8 message = static_cast<u8>(nlh->nlmsg_type);
  if ((nlh->nlmsg_flags & NLM_F_DUMP) == 0) {
    if (message != NFT_MSG_GETGEN && message != NFT_MSG_GETTABLE && message != NFT_MSG_GETCHAIN &&
        message != NFT_MSG_GETRULE && message != NFT_MSG_GETSET)
      return -EOPNOTSUPP;
    nft_lock();
    const int error = get_one(sk, nlh, message);
    nft_unlock();
    return error;
  }
  netlink_callback cb;
  cb.dump = locked;
  cb.ack = ack;
  int (*dump)(sk_buff*, netlink_callback*) = nullptr;
  switch (message) {
    case NFT_MSG_GETTABLE: dump = dump_tables; break;
    case NFT_MSG_GETCHAIN: dump = dump_chains; break;
    case NFT_MSG_GETRULE: dump = dump_rules; break;
    case NFT_MSG_GETSET: dump = nft_dump_sets; break;
    case NFT_MSG_GETSETELEM: dump = nft_dump_elements; break;
    case NFT_MSG_GETOBJ:
    case NFT_MSG_GETFLOWTABLE: dump = dump_nothing; break;
    default: return -EOPNOTSUPP;
  }
  cb.data = reinterpret_cast<void*>(dump);
  return netlink_dump_start(sk, nlh, cb);
}

}  // namespace xm::os
