// SPDX-License-Identifier: GPL-2.0-or-later
// The running of chains, and what expressions share: registers, values and verdicts in attributes.
#include "kernel/mm/slab.h"
#include "kernel/net/netfilter/nf_tables.h"

namespace xm::os {
namespace {

constexpr u32 kJumpDepth = 16;

// Whole rules are expressions one after the other, as long as none says otherwise.
void run_rule(const nft_rule* r, nft_regs& regs, nft_pktinfo& pkt) {
  for (u32 i = 0; i < r->count; ++i) {
    nft_expr* e = r->exprs[i];
    e->ops->eval(e->priv, regs, pkt);
    if (regs.verdict.code != NFT_CONTINUE) return;
  }
}

NfProto proto_of(u8 family) { return family == kFamilyIpv6 ? NFPROTO_IPV6 : NFPROTO_IPV4; }

u32 run_at_hook(sk_buff* skb, const nf_hook_state* state, void* chain) {
  nft_pktinfo pkt{skb, state};
  pkt.network = skb_network_offset(skb);
  return nft_do_chain(pkt, static_cast<nft_chain*>(chain));
}

}  // namespace

u32 nft_do_chain(nft_pktinfo& pkt, nft_chain* base) {
  struct {
    nft_chain* chain;
    list_head* next;
  } stack[kJumpDepth];
  u32 depth = 0;
  nft_regs regs;
  nft_chain* chain = base;
  list_head* at = read_once(chain->rules.next);
  for (;;) {
    regs.verdict = {};
    while (at != &chain->rules) {
      const nft_rule* r = list_entry<&nft_rule::list>(at);
      at = read_once(at->next);
      regs.verdict = {};
      run_rule(r, regs, pkt);
      if (regs.verdict.code != NFT_CONTINUE && regs.verdict.code != NFT_BREAK) break;
      regs.verdict = {};
    }
    switch (regs.verdict.code) {
      case NF_ACCEPT:
      case NF_DROP:
      case NF_STOLEN:
      case NF_QUEUE: return static_cast<u32>(regs.verdict.code);
      case NFT_JUMP:
        if (depth == kJumpDepth) return NF_DROP;  // rules that jump in circles
        stack[depth++] = {chain, at};
        chain = regs.verdict.chain;
        at = read_once(chain->rules.next);
        continue;
      case NFT_GOTO:
        chain = regs.verdict.chain;
        at = read_once(chain->rules.next);
        if (++pkt.gotos > 64) return NF_DROP;
        continue;
      default: break;  // the end of the chain, or `return`
    }
    if (depth == 0) return base->policy;
    chain = stack[--depth].chain;
    at = stack[depth].next;
  }
}

bool nft_parse(nft_pktinfo& pkt) {
  if (!pkt.parsed) {
    nf_packet p;
    if (!nf_parse_packet(pkt.skb, static_cast<u8>(pkt.state->pf), pkt.network, &p)) return false;
    pkt.parsed = true;
    pkt.l4proto = p.protonum;
    pkt.transport = p.transport;
    pkt.fragment = p.fragment;
  }
  return true;
}

int nft_chain_hook(nft_chain* chain) {
  const u8 family = chain->table->family;
  for (u32 i = 0; i < 2; ++i) {
    const NfProto pf = i == 0 ? proto_of(family) : NFPROTO_IPV6;
    if (i == 1 && family != kFamilyInet) break;
    const NfHook hook = static_cast<NfHook>(chain->hooknum);
    if (chain->type == NftChainType::Nat) {
      TRY_INT(nf_nat_register(pf, hook, run_at_hook, chain));
    } else {
      chain->hooks[i] = {run_at_hook, pf, hook, chain->priority, nullptr, chain};
      nf_register_net_hook(&chain->hooks[i]);
    }
  }
  return 0;
}

void nft_chain_unhook(nft_chain* chain) {
  const u8 family = chain->table->family;
  for (u32 i = 0; i < 2; ++i) {
    const NfProto pf = i == 0 ? proto_of(family) : NFPROTO_IPV6;
    if (i == 1 && family != kFamilyInet) break;
    if (chain->type == NftChainType::Nat) {
      nf_nat_unregister(pf, static_cast<NfHook>(chain->hooknum), chain);
    } else {
      nf_unregister_net_hook(&chain->hooks[i]);
    }
  }
}

// NFT_REG_1..4 are four words each, NFT_REG32_00..15 (numbers 8 to 23) one.
int nft_parse_register(const nlattr* a, u32 length, u32* index) {
  if (a == nullptr) return -EINVAL;
  const u32 reg = nla_get_be32(a);
  if (reg >= 1 && reg <= 4) {
    *index = (reg - 1) * 4 + 4;
  } else if (reg >= 8 && reg <= 23) {
    *index = reg - 8 + 4;
  } else {
    return -EINVAL;
  }
  if (length == 0) return -EINVAL;
  return length <= (kNftRegWords - *index) * 4 ? 0 : -ERANGE;
}
bool nft_put_register(sk_buff* skb, u16 type, u32 index) {
  const u32 word = index - 4;
  return nla_put_be32(skb, type, word % 4 == 0 ? word / 4 + 1 : word + 8);
}

int nft_parse_value(const nlattr* nest, void* to, u32* length) {
  const nlattr* tb[NFTA_DATA_MAX + 1];
  if (nest == nullptr) return -EINVAL;
  TRY_INT(nla_parse_nested(tb, NFTA_DATA_MAX, nest, nullptr, nullptr));
  if (tb[NFTA_DATA_VALUE] == nullptr) return -EINVAL;
  const u32 n = nla_len(tb[NFTA_DATA_VALUE]);
  if (n == 0 || n > kNftMaxData) return -EINVAL;
  memset(to, 0, kNftMaxData);
  memcpy(to, nla_data(tb[NFTA_DATA_VALUE]), n);
  *length = n;
  return 0;
}

int nft_parse_verdict(const nft_ctx& ctx, const nlattr* nest, nft_verdict* v) {
  const nlattr* tb[NFTA_DATA_MAX + 1];
  const nlattr* words[NFTA_VERDICT_MAX + 1];
  if (nest == nullptr) return -EINVAL;
  TRY_INT(nla_parse_nested(tb, NFTA_DATA_MAX, nest, nullptr, nullptr));
  if (tb[NFTA_DATA_VERDICT] == nullptr) return -EINVAL;
  TRY_INT(nla_parse_nested(words, NFTA_VERDICT_MAX, tb[NFTA_DATA_VERDICT], nullptr, nullptr));
  if (words[NFTA_VERDICT_CODE] == nullptr) return -EINVAL;
  *v = {static_cast<s32>(nla_get_be32(words[NFTA_VERDICT_CODE])), nullptr};
  switch (v->code) {
    case NF_DROP:
    case NF_ACCEPT:
    case NFT_CONTINUE:
    case NFT_BREAK:
    case NFT_RETURN: return 0;
    case NFT_JUMP:
    case NFT_GOTO:
      if (words[NFTA_VERDICT_CHAIN] == nullptr) return -EINVAL;
      v->chain = nft_find_chain(ctx.table, words[NFTA_VERDICT_CHAIN]);
      if (v->chain == nullptr) return nl_error(ctx.ack, -ENOENT, nullptr, words[NFTA_VERDICT_CHAIN]);
      if (v->chain->base) return -EOPNOTSUPP;
      ++v->chain->use;
      return 0;
    default: return -EINVAL;
  }
}
void nft_verdict_use(const nft_verdict& v, int change) {
  if (v.chain != nullptr) v.chain->use += static_cast<u32>(change);
}

bool nft_put_value(sk_buff* skb, u16 type, const void* value, u32 length) {
  nlattr* nest = nla_nest_start(skb, type);
  if (nest == nullptr || !nla_put(skb, NFTA_DATA_VALUE, value, length)) return false;
  nla_nest_end(skb, nest);
  return true;
}
bool nft_put_verdict(sk_buff* skb, u16 type, const nft_verdict& v) {
  nlattr* nest = nla_nest_start(skb, type);
  nlattr* inner = nest == nullptr ? nullptr : nla_nest_start(skb, NFTA_DATA_VERDICT);
  if (inner == nullptr || !nla_put_be32(skb, NFTA_VERDICT_CODE, static_cast<u32>(v.code)) ||
      (v.chain != nullptr && !nla_put_string(skb, NFTA_VERDICT_CHAIN, v.chain->name)))
    return false;
  nla_nest_end(skb, inner);
  nla_nest_end(skb, nest);
  return true;
}

int nft_copy_blob(nft_blob* to, const nlattr* a) {
  if (a == nullptr || nla_len(a) == 0) return 0;
  if (nla_len(a) > 256) return -EINVAL;
  to->bytes = static_cast<u8*>(kmalloc(nla_len(a)));
  if (to->bytes == nullptr) return -ENOMEM;
  to->length = nla_len(a);
  memcpy(to->bytes, nla_data(a), to->length);
  return 0;
}

}  // namespace xm::os
