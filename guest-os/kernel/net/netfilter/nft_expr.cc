// SPDX-License-Identifier: GPL-2.0-or-later
// Expressions that load, compare and compute: meta, payload, cmp, range, bitwise, byteorder, immediate, lookup,
// counter.
#include "kernel/drivers/random.h"
#include "kernel/net/netfilter/nf_tables.h"

namespace xm::os {
namespace {

// --- immediate ---
struct Immediate {
  u32 dreg, length;
  bool is_verdict;
  nft_verdict verdict;
  u8 data[kNftMaxData];
};
int immediate_init(const nft_ctx& ctx, void* priv, const nlattr* head, u32 length) {
  auto* p = static_cast<Immediate*>(priv);
  const nlattr* tb[3];
  TRY_INT(nla_parse(tb, 2, head, length, nullptr, false, ctx.ack));
  if (tb[1] == nullptr || tb[2] == nullptr) return -EINVAL;
  p->is_verdict = nla_get_be32(tb[1]) == 0;
  if (p->is_verdict) return nft_parse_verdict(ctx, tb[2], &p->verdict);
  TRY_INT(nft_parse_value(tb[2], p->data, &p->length));
  return nft_parse_register(tb[1], p->length, &p->dreg);
}
void immediate_eval(void* priv, nft_regs& regs, nft_pktinfo&) {
  auto* p = static_cast<Immediate*>(priv);
  if (p->is_verdict) {
    regs.verdict = p->verdict;
  } else {
    nft_store_bytes(&regs.data[p->dreg], p->data, p->length);
  }
}
bool immediate_dump(sk_buff* skb, void* priv) {
  auto* p = static_cast<Immediate*>(priv);
  if (p->is_verdict) return nla_put_be32(skb, 1, 0) && nft_put_verdict(skb, 2, p->verdict);
  return nft_put_register(skb, 1, p->dreg) && nft_put_value(skb, 2, p->data, p->length);
}
void immediate_refs(void* priv, int change) {
  auto* p = static_cast<Immediate*>(priv);
  if (p->is_verdict) nft_verdict_use(p->verdict, change);
}

// --- cmp ---
enum CmpOp : u32 { kEq, kNeq, kLt, kLte, kGt, kGte };
struct Cmp {
  u32 sreg, op, length;
  u8 data[kNftMaxData];
};
int cmp_init(const nft_ctx& ctx, void* priv, const nlattr* head, u32 length) {
  auto* p = static_cast<Cmp*>(priv);
  const nlattr* tb[4];
  TRY_INT(nla_parse(tb, 3, head, length, nullptr, false, ctx.ack));
  if (tb[2] == nullptr) return -EINVAL;
  TRY_INT(nft_parse_value(tb[3], p->data, &p->length));
  p->op = nla_get_be32(tb[2]);
  if (p->op > kGte) return -EINVAL;
  return nft_parse_register(tb[1], p->length, &p->sreg);
}
void cmp_eval(void* priv, nft_regs& regs, nft_pktinfo&) {
  auto* p = static_cast<Cmp*>(priv);
  const int d = memcmp(&regs.data[p->sreg], p->data, p->length);
  const bool holds[] = {d == 0, d != 0, d<0, d <= 0, d> 0, d >= 0};
  if (!holds[p->op]) regs.verdict.code = NFT_BREAK;
}
bool cmp_dump(sk_buff* skb, void* priv) {
  auto* p = static_cast<Cmp*>(priv);
  return nft_put_register(skb, 1, p->sreg) && nla_put_be32(skb, 2, p->op) && nft_put_value(skb, 3, p->data, p->length);
}

// --- range ---
struct Range {
  u32 sreg, op, length;
  u8 from[kNftMaxData], to[kNftMaxData];
};
int range_init(const nft_ctx& ctx, void* priv, const nlattr* head, u32 length) {
  auto* p = static_cast<Range*>(priv);
  const nlattr* tb[5];
  u32 other;
  TRY_INT(nla_parse(tb, 4, head, length, nullptr, false, ctx.ack));
  if (tb[2] == nullptr) return -EINVAL;
  TRY_INT(nft_parse_value(tb[3], p->from, &p->length));
  TRY_INT(nft_parse_value(tb[4], p->to, &other));
  p->op = nla_get_be32(tb[2]);
  if (p->op > kNeq || other != p->length) return -EINVAL;
  return nft_parse_register(tb[1], p->length, &p->sreg);
}
void range_eval(void* priv, nft_regs& regs, nft_pktinfo&) {
  auto* p = static_cast<Range*>(priv);
  const u32* reg = &regs.data[p->sreg];
  const bool inside = memcmp(reg, p->from, p->length) >= 0 && memcmp(reg, p->to, p->length) <= 0;
  if (inside != (p->op == kEq)) regs.verdict.code = NFT_BREAK;
}
bool range_dump(sk_buff* skb, void* priv) {
  auto* p = static_cast<Range*>(priv);
  return nft_put_register(skb, 1, p->sreg) && nla_put_be32(skb, 2, p->op) &&
         nft_put_value(skb, 3, p->from, p->length) && nft_put_value(skb, 4, p->to, p->length);
}

// --- meta ---
enum MetaKey : u32 {
  kMetaLen,
  kMetaProtocol,
  kMetaPriority,
  kMetaMark,
  kMetaIif,
  kMetaOif,
  kMetaIifname,
  kMetaOifname,
  kMetaIiftype,
  kMetaOiftype,
  kMetaNfproto = 15,
  kMetaL4proto,
  kMetaPkttype = 19,
  kMetaCpu,
  kMetaIifgroup,
  kMetaOifgroup,
  kMetaPrandom = 24
};
struct Meta {
  u32 key, reg;
  bool set;
};
u32 meta_size(u32 key) {
  switch (key) {
    case kMetaIifname:
    case kMetaOifname: return kIfNameSize;
    case kMetaNfproto:
    case kMetaL4proto:
    case kMetaPkttype: return 1;
    case kMetaProtocol:
    case kMetaIiftype:
    case kMetaOiftype: return 2;
    case kMetaLen:
    case kMetaPriority:
    case kMetaMark:
    case kMetaIif:
    case kMetaOif:
    case kMetaCpu:
    case kMetaIifgroup:
    case kMetaOifgroup:
    case kMetaPrandom: return 4;
    default: return 0;
  }
}
int meta_init(const nft_ctx& ctx, void* priv, const nlattr* head, u32 length) {
  auto* p = static_cast<Meta*>(priv);
  const nlattr* tb[4];
  TRY_INT(nla_parse(tb, 3, head, length, nullptr, false, ctx.ack));
  if (tb[2] == nullptr) return -EINVAL;
  p->key = nla_get_be32(tb[2]);
  p->set = tb[3] != nullptr;
  if (meta_size(p->key) == 0 || (p->set && p->key != kMetaMark && p->key != kMetaPriority)) return -EOPNOTSUPP;
  return nft_parse_register(p->set ? tb[3] : tb[1], meta_size(p->key), &p->reg);
}
bool meta_device(const net_device* dev, u32 key, u32* reg) {
  if (key == kMetaIifname || key == kMetaOifname) {
    memset(reg, 0, kIfNameSize);
    if (dev != nullptr) memcpy(reg, dev->name, kIfNameSize);
    return true;
  }
  if (dev == nullptr) return false;
  if (key == kMetaIif || key == kMetaOif) reg[0] = static_cast<u32>(dev->ifindex);
  if (key == kMetaIiftype || key == kMetaOiftype) reg[0] = dev->type;
  if (key == kMetaIifgroup || key == kMetaOifgroup) reg[0] = static_cast<u32>(dev->group);
  return true;
}
void meta_eval(void* priv, nft_regs& regs, nft_pktinfo& pkt) {
  auto* p = static_cast<Meta*>(priv);
  u32* reg = &regs.data[p->reg];
  sk_buff* skb = pkt.skb;
  if (p->set) {
    (p->key == kMetaMark ? skb->mark : skb->priority) = reg[0];
    return;
  }
  bool known = true;
  switch (p->key) {
    case kMetaLen: reg[0] = skb->len - pkt.network; break;
    case kMetaProtocol: reg[0] = skb->protocol; break;
    case kMetaPriority: reg[0] = skb->priority; break;
    case kMetaMark: reg[0] = skb->mark; break;
    case kMetaIif:
    case kMetaIifname:
    case kMetaIiftype:
    case kMetaIifgroup: known = meta_device(pkt.state->in, p->key, reg); break;
    case kMetaOif:
    case kMetaOifname:
    case kMetaOiftype:
    case kMetaOifgroup: known = meta_device(pkt.state->out, p->key, reg); break;
    case kMetaNfproto: reg[0] = pkt.state->pf == NFPROTO_IPV6 ? kFamilyIpv6 : kFamilyIpv4; break;
    case kMetaL4proto:
      known = nft_parse(pkt);
      reg[0] = pkt.l4proto;
      break;
    case kMetaPkttype: reg[0] = skb->pkt_type; break;
    case kMetaCpu: reg[0] = smp_processor_id(); break;
    default: reg[0] = static_cast<u32>(get_random_u64()); break;
  }
  if (!known) regs.verdict.code = NFT_BREAK;
}
bool meta_dump(sk_buff* skb, void* priv) {
  auto* p = static_cast<Meta*>(priv);
  return nla_put_be32(skb, 2, p->key) && nft_put_register(skb, p->set ? 3 : 1, p->reg);
}

// --- payload ---
struct Payload {
  u32 base, offset, length, dreg;
};
int payload_init(const nft_ctx& ctx, void* priv, const nlattr* head, u32 length) {
  auto* p = static_cast<Payload*>(priv);
  const nlattr* tb[9];
  TRY_INT(nla_parse(tb, 8, head, length, nullptr, false, ctx.ack));
  if (tb[2] == nullptr || tb[3] == nullptr || tb[4] == nullptr) return -EINVAL;
  if (tb[5] != nullptr) return -EOPNOTSUPP;  // writing to packets
  p->base = nla_get_be32(tb[2]);
  p->offset = nla_get_be32(tb[3]);
  p->length = nla_get_be32(tb[4]);
  if (p->base > 2) return -EOPNOTSUPP;
  if (p->offset > 0xff || p->length > kNftMaxData) return -ERANGE;
  return nft_parse_register(tb[1], p->length, &p->dreg);
}
void payload_eval(void* priv, nft_regs& regs, nft_pktinfo& pkt) {
  auto* p = static_cast<Payload*>(priv);
  u32* reg = &regs.data[p->dreg];
  const sk_buff* skb = pkt.skb;
  reg[(p->length + 3) / 4 - 1] = 0;
  bool ok = false;
  if (p->base == 0) {
    // The link-layer header lies before the data, if the packet came with one.
    ok = skb_mac_header_was_set(skb) && skb->mac_header + p->offset + p->length <= skb->network_header &&
         skb->mac_header < skb->network_header;
    if (ok) memcpy(reg, skb_mac_header(skb) + p->offset, p->length);
  } else if (p->base == 1) {
    ok = skb_copy_bits(skb, pkt.network + p->offset, reg, p->length) == 0;
  } else {
    ok = nft_parse(pkt) && !pkt.fragment && skb_copy_bits(skb, pkt.transport + p->offset, reg, p->length) == 0;
  }
  if (!ok) regs.verdict.code = NFT_BREAK;
}
bool payload_dump(sk_buff* skb, void* priv) {
  auto* p = static_cast<Payload*>(priv);
  return nft_put_register(skb, 1, p->dreg) && nla_put_be32(skb, 2, p->base) && nla_put_be32(skb, 3, p->offset) &&
         nla_put_be32(skb, 4, p->length);
}

// --- bitwise ---
struct Bitwise {
  u32 sreg, dreg, length, op, shift;
  u32 mask[kNftMaxData / 4], bits[kNftMaxData / 4];
};
int bitwise_init(const nft_ctx& ctx, void* priv, const nlattr* head, u32 length) {
  auto* p = static_cast<Bitwise*>(priv);
  const nlattr* tb[8];
  u32 n;
  TRY_INT(nla_parse(tb, 7, head, length, nullptr, false, ctx.ack));
  if (tb[3] == nullptr) return -EINVAL;
  p->length = nla_get_be32(tb[3]);
  if (p->length > kNftMaxData) return -ERANGE;
  p->op = tb[6] == nullptr ? 0 : nla_get_be32(tb[6]);
  TRY_INT(nft_parse_register(tb[1], p->length, &p->sreg));
  TRY_INT(nft_parse_register(tb[2], p->length, &p->dreg));
  if (p->op == 0) {
    TRY_INT(nft_parse_value(tb[4], p->mask, &n));
    if (n != p->length) return -EINVAL;
    TRY_INT(nft_parse_value(tb[5], p->bits, &n));
    return n == p->length ? 0 : -EINVAL;
  }
  u32 data[kNftMaxData / 4];
  if (p->op > 2) return -EOPNOTSUPP;
  TRY_INT(nft_parse_value(tb[7], data, &n));
  p->shift = data[0];
  return p->shift < 32 && n == 4 ? 0 : -EINVAL;
}
void bitwise_eval(void* priv, nft_regs& regs, nft_pktinfo&) {
  auto* p = static_cast<Bitwise*>(priv);
  const u32 words = (p->length + 3) / 4;
  u32 out[kNftMaxData / 4];
  const u32* in = &regs.data[p->sreg];
  u32 carry = 0;
  for (u32 k = 0; k < words; ++k) {
    const u32 i = p->op == 1 ? words - 1 - k : k;
    if (p->op == 0) {
      out[i] = (in[i] & p->mask[i]) ^ p->bits[i];
    } else if (p->op == 1) {
      out[i] = in[i] << p->shift | carry;
      carry = p->shift == 0 ? 0 : in[i] >> (32 - p->shift);
    } else {
      out[i] = carry | in[i] >> p->shift;
      carry = p->shift == 0 ? 0 : in[i] << (32 - p->shift);
    }
  }
  memcpy(&regs.data[p->dreg], out, words * 4);
}
bool bitwise_dump(sk_buff* skb, void* priv) {
  auto* p = static_cast<Bitwise*>(priv);
  if (!nft_put_register(skb, 1, p->sreg) || !nft_put_register(skb, 2, p->dreg) || !nla_put_be32(skb, 3, p->length) ||
      !nla_put_be32(skb, 6, p->op))
    return false;
  if (p->op != 0) return nft_put_value(skb, 7, &p->shift, 4);
  return nft_put_value(skb, 4, p->mask, p->length) && nft_put_value(skb, 5, p->bits, p->length);
}

// --- byteorder ---
struct Byteorder {
  u32 sreg, dreg, op, length, size;
};
int byteorder_init(const nft_ctx& ctx, void* priv, const nlattr* head, u32 length) {
  auto* p = static_cast<Byteorder*>(priv);
  const nlattr* tb[6];
  TRY_INT(nla_parse(tb, 5, head, length, nullptr, false, ctx.ack));
  if (tb[3] == nullptr || tb[4] == nullptr || tb[5] == nullptr) return -EINVAL;
  p->op = nla_get_be32(tb[3]);
  p->length = nla_get_be32(tb[4]);
  p->size = nla_get_be32(tb[5]);
  if ((p->size != 2 && p->size != 4 && p->size != 8) || p->length > kNftMaxData || p->op > 1) return -EINVAL;
  TRY_INT(nft_parse_register(tb[1], p->length, &p->sreg));
  return nft_parse_register(tb[2], p->length, &p->dreg);
}
void byteorder_eval(void* priv, nft_regs& regs, nft_pktinfo&) {
  auto* p = static_cast<Byteorder*>(priv);
  const u8* in = reinterpret_cast<const u8*>(&regs.data[p->sreg]);
  u8 out[kNftMaxData];
  for (u32 i = 0; i < p->length; ++i) {
    const u32 from = i / p->size * p->size + (p->size - 1 - i % p->size);
    out[i] = from < p->length ? in[from] : 0;
  }
  nft_store_bytes(&regs.data[p->dreg], out, p->length);
}
bool byteorder_dump(sk_buff* skb, void* priv) {
  auto* p = static_cast<Byteorder*>(priv);
  return nft_put_register(skb, 1, p->sreg) && nft_put_register(skb, 2, p->dreg) && nla_put_be32(skb, 3, p->op) &&
         nla_put_be32(skb, 4, p->length) && nla_put_be32(skb, 5, p->size);
}

// --- lookup ---
struct Lookup {
  nft_set* set;
  u32 sreg, dreg, flags;
  bool has_dreg;
};
int lookup_init(const nft_ctx& ctx, void* priv, const nlattr* head, u32 length) {
  auto* p = static_cast<Lookup*>(priv);
  const nlattr* tb[6];
  TRY_INT(nla_parse(tb, 5, head, length, nullptr, false, ctx.ack));
  if (tb[1] == nullptr) return -EINVAL;
  p->set = nft_find_set(ctx.table, tb[1], tb[4]);
  if (p->set == nullptr) return nl_error(ctx.ack, -ENOENT, nullptr, tb[1]);
  TRY_INT(nft_parse_register(tb[2], p->set->klen, &p->sreg));
  p->flags = tb[5] == nullptr ? 0 : nla_get_be32(tb[5]);
  p->has_dreg = tb[3] != nullptr;
  if (p->has_dreg) {
    if ((p->set->flags & NFT_SET_MAP) == 0 || (p->flags & 1) != 0) return -EINVAL;
    const bool verdict = nla_get_be32(tb[3]) == 0;
    if (verdict != (p->set->dtype == NFT_DATA_VERDICT)) return -EINVAL;
    if (!verdict) TRY_INT(nft_parse_register(tb[3], p->set->dlen, &p->dreg));
  } else if ((p->set->flags & NFT_SET_MAP) != 0) {
    return -EINVAL;
  }
  ++p->set->use;
  return 0;
}
void lookup_eval(void* priv, nft_regs& regs, nft_pktinfo&) {
  auto* p = static_cast<Lookup*>(priv);
  const nft_elem* e = nft_set_lookup(p->set, &regs.data[p->sreg]);
  if ((e != nullptr) == ((p->flags & 1) != 0)) {
    regs.verdict.code = NFT_BREAK;
    return;
  }
  if (!p->has_dreg) return;
  if (p->set->dtype == NFT_DATA_VERDICT) {
    regs.verdict = e->verdict;
  } else {
    nft_store_bytes(&regs.data[p->dreg], e->data, p->set->dlen);
  }
}
bool lookup_dump(sk_buff* skb, void* priv) {
  auto* p = static_cast<Lookup*>(priv);
  if (!nla_put_string(skb, 1, p->set->name) || !nft_put_register(skb, 2, p->sreg) || !nla_put_be32(skb, 5, p->flags))
    return false;
  if (!p->has_dreg) return true;
  return p->set->dtype == NFT_DATA_VERDICT ? nla_put_be32(skb, 3, 0) : nft_put_register(skb, 3, p->dreg);
}
void lookup_refs(void* priv, int change) { static_cast<Lookup*>(priv)->set->use += static_cast<u32>(change); }

// --- counter ---
struct Counter {
  u64 bytes, packets;
};
int counter_init(const nft_ctx& ctx, void* priv, const nlattr* head, u32 length) {
  auto* p = static_cast<Counter*>(priv);
  const nlattr* tb[3];
  TRY_INT(nla_parse(tb, 2, head, length, nullptr, false, ctx.ack));
  p->bytes = tb[1] == nullptr ? 0 : nla_get_be64(tb[1]);
  p->packets = tb[2] == nullptr ? 0 : nla_get_be64(tb[2]);
  return 0;
}
void counter_eval(void* priv, nft_regs&, nft_pktinfo& pkt) {
  auto* p = static_cast<Counter*>(priv);
  netdev_count(p->packets);
  netdev_count(p->bytes, pkt.skb->len - pkt.network);
}
bool counter_dump(sk_buff* skb, void* priv) {
  auto* p = static_cast<Counter*>(priv);
  return nla_put_be64(skb, 1, p->bytes) && nla_put_be64(skb, 2, p->packets);
}

}  // namespace

constinit const nft_expr_ops nft_immediate_ops{"immediate",    sizeof(Immediate), immediate_init,
                                               immediate_eval, immediate_dump,    immediate_refs},
    nft_cmp_ops{"cmp", sizeof(Cmp), cmp_init, cmp_eval, cmp_dump, nullptr},
    nft_range_ops{"range", sizeof(Range), range_init, range_eval, range_dump, nullptr},
    nft_meta_ops{"meta", sizeof(Meta), meta_init, meta_eval, meta_dump, nullptr},
    nft_payload_ops{"payload", sizeof(Payload), payload_init, payload_eval, payload_dump, nullptr},
    nft_bitwise_ops{"bitwise", sizeof(Bitwise), bitwise_init, bitwise_eval, bitwise_dump, nullptr},
    nft_byteorder_ops{"byteorder", sizeof(Byteorder), byteorder_init, byteorder_eval, byteorder_dump, nullptr},
    nft_lookup_ops{"lookup", sizeof(Lookup), lookup_init, lookup_eval, lookup_dump, lookup_refs},
    nft_counter_ops{"counter", sizeof(Counter), counter_init, counter_eval, counter_dump, nullptr};

nft_set* nft_lookup_set(const nft_expr* e) {
  return e->ops == &nft_lookup_ops ? reinterpret_cast<const Lookup*>(e->priv)->set : nullptr;
}

const nft_expr_ops* nft_find_expr(const char* name) {
  static const nft_expr_ops* const known[] = {
      &nft_immediate_ops, &nft_cmp_ops,    &nft_range_ops,   &nft_meta_ops,   &nft_payload_ops, &nft_bitwise_ops,
      &nft_byteorder_ops, &nft_lookup_ops, &nft_counter_ops, &nft_ct_ops,     &nft_nat_ops,     &nft_masq_ops,
      &nft_redir_ops,     &nft_limit_ops,  &nft_log_ops,     &nft_reject_ops, &nft_notrack_ops};
  for (const nft_expr_ops* ops : known) {
    if (strcmp(ops->name, name) == 0) return ops;
  }
  return nullptr;
}

}  // namespace xm::os
