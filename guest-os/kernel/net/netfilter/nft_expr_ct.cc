// SPDX-License-Identifier: GPL-2.0-or-later
// Expressions about connections and verdicts with effects: ct, nat, masq, redir, notrack, limit, log, reject.
#include "kernel/init/printk.h"
#include "kernel/net/ip.h"
#include "kernel/net/netfilter/nf_tables.h"
#include "kernel/net/route.h"
#include "kernel/sched/clock.h"

namespace xm::os {
namespace {

// --- ct ---
enum CtKey : u32 {
  kCtState,
  kCtDirection,
  kCtStatus,
  kCtMark,
  kCtExpiration = 5,
  kCtL3protocol = 7,
  kCtSrc,
  kCtDst,
  kCtProtocol,
  kCtProtoSrc,
  kCtProtoDst,
  kCtPkts = 14,
  kCtBytes,
  kCtSrcIp = 19,
  kCtDstIp,
  kCtId = 24
};
constexpr u32 kStateInvalid = 1, kStateUntracked = 64;
struct Ct {
  u32 key, reg;
  u8 dir;
  bool has_dir, set;
};
u32 ct_size(u32 key) {
  switch (key) {
    case kCtDirection:
    case kCtL3protocol:
    case kCtProtocol: return 1;
    case kCtProtoSrc:
    case kCtProtoDst: return 2;
    case kCtPkts:
    case kCtBytes: return 8;
    case kCtSrc:
    case kCtDst: return 16;
    case kCtState:
    case kCtStatus:
    case kCtMark:
    case kCtExpiration:
    case kCtSrcIp:
    case kCtDstIp:
    case kCtId: return 4;
    default: return 0;
  }
}
int ct_init(const nft_ctx& ctx, void* priv, const nlattr* head, u32 length) {
  auto* p = static_cast<Ct*>(priv);
  const nlattr* tb[5];
  TRY_INT(nla_parse(tb, 4, head, length, nullptr, false, ctx.ack));
  if (tb[2] == nullptr) return -EINVAL;
  p->key = nla_get_be32(tb[2]);
  p->set = tb[4] != nullptr;
  p->has_dir = tb[3] != nullptr;
  p->dir = p->has_dir ? nla_get_u8(tb[3]) : 0;
  if (ct_size(p->key) == 0 || p->dir > 1 || (p->set && p->key != kCtMark)) return -EOPNOTSUPP;
  u32 size = ct_size(p->key);
  if ((p->key == kCtSrc || p->key == kCtDst) && ctx.table->family == kFamilyIpv4) size = 4;
  nf_conntrack_use();
  return nft_parse_register(p->set ? tb[4] : tb[1], size, &p->reg);
}
u32 ct_state(const sk_buff* skb) {
  u8 info;
  const nf_conn* ct = nf_ct_get(skb, &info);
  if (ct == nullptr) return info == IP_CT_UNTRACKED ? kStateUntracked : kStateInvalid;
  return 1u << (info % 3 + 1);
}
void ct_eval(void* priv, nft_regs& regs, nft_pktinfo& pkt) {
  auto* p = static_cast<Ct*>(priv);
  u32* reg = &regs.data[p->reg];
  if (!p->set && p->key == kCtState) {
    reg[0] = ct_state(pkt.skb);
    return;
  }
  u8 info;
  nf_conn* ct = nf_ct_get(pkt.skb, &info);
  if (ct == nullptr) {
    regs.verdict.code = NFT_BREAK;
    return;
  }
  if (p->set) {
    write_once(ct->mark, reg[0]);
    return;
  }
  const nf_conntrack_tuple& t = ct->tuplehash[p->dir].tuple;
  const u64 now = ktime_get();
  u64 wide = 0;
  switch (p->key) {
    case kCtDirection: reg[0] = ctinfo_dir(info); break;
    case kCtStatus: reg[0] = ct->status.load(); break;
    case kCtMark: reg[0] = ct->mark; break;
    case kCtExpiration: reg[0] = ct->expires > now ? static_cast<u32>((ct->expires - now) / 1000000) : 0; break;
    case kCtL3protocol: reg[0] = t.l3num == NFPROTO_IPV6 ? kFamilyIpv6 : kFamilyIpv4; break;
    case kCtProtocol: reg[0] = t.protonum; break;
    case kCtSrc:
    case kCtSrcIp: memcpy(reg, &t.src, t.l3num == NFPROTO_IPV4 ? 4 : 16); break;
    case kCtDst:
    case kCtDstIp: memcpy(reg, &t.dst, t.l3num == NFPROTO_IPV4 ? 4 : 16); break;
    case kCtProtoSrc: reg[0] = t.src_port; break;
    case kCtProtoDst: reg[0] = t.dst_port; break;
    case kCtPkts:
    case kCtBytes:
      for (u32 d = 0; d < 2; ++d) {
        if (p->has_dir && d != p->dir) continue;
        wide += p->key == kCtPkts ? ct->counters[d].packets.load() : ct->counters[d].bytes.load();
      }
      memcpy(reg, &wide, 8);
      break;
    default: reg[0] = ct->id; break;
  }
}
bool ct_dump(sk_buff* skb, void* priv) {
  auto* p = static_cast<Ct*>(priv);
  return nla_put_be32(skb, 2, p->key) && nft_put_register(skb, p->set ? 4 : 1, p->reg) &&
         (!p->has_dir || nla_put_u8(skb, 3, p->dir));
}

// --- notrack ---
int notrack_init(const nft_ctx&, void*, const nlattr*, u32) { return 0; }
void notrack_eval(void*, nft_regs&, nft_pktinfo& pkt) {
  if (pkt.skb->nfct == nullptr) pkt.skb->nfctinfo = IP_CT_UNTRACKED;
}
bool notrack_dump(sk_buff*, void*) { return true; }

// --- nat, masq, redir ---
struct Nat {
  u32 type, family, flags;
  u32 reg[4];  // address min and max, port min and max; 0: not given
};
int read_register(const nlattr* a, u32 size, u32* reg) {
  *reg = 0;
  return a == nullptr ? 0 : nft_parse_register(a, size, reg);
}
void fill_range(const Nat* p, const nft_regs& regs, nf_nat_range* r) {
  r->flags = p->flags;
  if (p->reg[0] != 0) {
    const u32 size = p->family == kFamilyIpv6 ? 16 : 4;
    memcpy(&r->min_addr, &regs.data[p->reg[0]], size);
    memcpy(&r->max_addr, &regs.data[p->reg[1] != 0 ? p->reg[1] : p->reg[0]], size);
    r->flags |= NF_NAT_RANGE_MAP_IPS;
  }
  if (p->reg[2] != 0) {
    r->min_proto = static_cast<u16>(regs.data[p->reg[2]]);
    r->max_proto = static_cast<u16>(regs.data[p->reg[3] != 0 ? p->reg[3] : p->reg[2]]);
    r->flags |= NF_NAT_RANGE_PROTO_SPECIFIED;
  }
}
int check_nat_chain(const nft_ctx& ctx) {
  if (ctx.chain != nullptr && ctx.chain->base && ctx.chain->type != NftChainType::Nat) return -EOPNOTSUPP;
  return 0;
}
int nat_init(const nft_ctx& ctx, void* priv, const nlattr* head, u32 length) {
  auto* p = static_cast<Nat*>(priv);
  const nlattr* tb[8];
  TRY_INT(nla_parse(tb, 7, head, length, nullptr, false, ctx.ack));
  if (tb[1] == nullptr || tb[2] == nullptr) return -EINVAL;
  p->type = nla_get_be32(tb[1]);
  p->family = nla_get_be32(tb[2]);
  p->flags = tb[7] == nullptr ? 0 : nla_get_be32(tb[7]);
  if (p->type > 1 || (p->family != kFamilyIpv4 && p->family != kFamilyIpv6)) return -EINVAL;
  const u32 size = p->family == kFamilyIpv6 ? 16 : 4;
  TRY_INT(read_register(tb[3], size, &p->reg[0]));
  TRY_INT(read_register(tb[4], size, &p->reg[1]));
  TRY_INT(read_register(tb[5], 2, &p->reg[2]));
  TRY_INT(read_register(tb[6], 2, &p->reg[3]));
  return check_nat_chain(ctx);
}
void nat_eval(void* priv, nft_regs& regs, nft_pktinfo& pkt) {
  auto* p = static_cast<Nat*>(priv);
  u8 info;
  nf_conn* ct = nf_ct_get(pkt.skb, &info);
  if (ct == nullptr || (p->family == kFamilyIpv4) != (pkt.state->pf == NFPROTO_IPV4)) {
    regs.verdict.code = NFT_BREAK;
    return;
  }
  nf_nat_range r;
  fill_range(p, regs, &r);
  const NatManip manip = p->type == 0 ? NF_NAT_MANIP_SRC : NF_NAT_MANIP_DST;
  regs.verdict.code = hook_to_manip(pkt.state->hook) == manip ? static_cast<s32>(nf_nat_setup_info(ct, r, manip))
                                                              : static_cast<s32>(NF_DROP);
}
bool put_registers(sk_buff* skb, const Nat* p, u16 first, u32 from) {
  for (u32 i = from; i < 4; ++i) {
    if (p->reg[i] != 0 && !nft_put_register(skb, static_cast<u16>(first + i - from), p->reg[i])) return false;
  }
  return true;
}
bool nat_dump(sk_buff* skb, void* priv) {
  auto* p = static_cast<Nat*>(priv);
  return nla_put_be32(skb, 1, p->type) && nla_put_be32(skb, 2, p->family) && put_registers(skb, p, 3, 0) &&
         (p->flags == 0 || nla_put_be32(skb, 7, p->flags));
}
int masq_init(const nft_ctx& ctx, void* priv, const nlattr* head, u32 length) {
  auto* p = static_cast<Nat*>(priv);
  const nlattr* tb[4];
  TRY_INT(nla_parse(tb, 3, head, length, nullptr, false, ctx.ack));
  p->flags = tb[1] == nullptr ? 0 : nla_get_be32(tb[1]);
  TRY_INT(read_register(tb[2], 2, &p->reg[2]));
  TRY_INT(read_register(tb[3], 2, &p->reg[3]));
  return check_nat_chain(ctx);
}
void masq_eval(void* priv, nft_regs& regs, nft_pktinfo& pkt) {
  nf_nat_range r;
  fill_range(static_cast<Nat*>(priv), regs, &r);
  regs.verdict.code = static_cast<s32>(nf_nat_masquerade(pkt.skb, pkt.state->hook, r, pkt.state->out));
}
bool masq_dump(sk_buff* skb, void* priv) {
  auto* p = static_cast<Nat*>(priv);
  return (p->flags == 0 || nla_put_be32(skb, 1, p->flags)) && put_registers(skb, p, 2, 2);
}
int redir_init(const nft_ctx& ctx, void* priv, const nlattr* head, u32 length) {
  auto* p = static_cast<Nat*>(priv);
  const nlattr* tb[4];
  TRY_INT(nla_parse(tb, 3, head, length, nullptr, false, ctx.ack));
  p->flags = tb[3] == nullptr ? 0 : nla_get_be32(tb[3]);
  TRY_INT(read_register(tb[1], 2, &p->reg[2]));
  TRY_INT(read_register(tb[2], 2, &p->reg[3]));
  return check_nat_chain(ctx);
}
void redir_eval(void* priv, nft_regs& regs, nft_pktinfo& pkt) {
  nf_nat_range r;
  fill_range(static_cast<Nat*>(priv), regs, &r);
  regs.verdict.code = static_cast<s32>(nf_nat_redirect(pkt.skb, pkt.state->hook, r, pkt.state->in));
}
bool redir_dump(sk_buff* skb, void* priv) {
  auto* p = static_cast<Nat*>(priv);
  return put_registers(skb, p, 1, 2) && (p->flags == 0 || nla_put_be32(skb, 3, p->flags));
}

// --- limit ---
struct Limit {
  spinlock_t lock{LockRank::Neighbour};
  u64 rate, unit, tokens, most, last;
  u32 burst, type, flags;
  u64 cost;  // ns of one packet
};
int limit_init(const nft_ctx& ctx, void* priv, const nlattr* head, u32 length) {
  auto* p = new (priv) Limit{};
  const nlattr* tb[7];
  TRY_INT(nla_parse(tb, 6, head, length, nullptr, false, ctx.ack));
  if (tb[1] == nullptr || tb[2] == nullptr) return -EINVAL;
  p->rate = nla_get_be64(tb[1]);
  p->unit = nla_get_be64(tb[2]);
  p->burst = tb[3] == nullptr ? 0 : nla_get_be32(tb[3]);
  p->type = tb[4] == nullptr ? 0 : nla_get_be32(tb[4]);
  p->flags = tb[5] == nullptr ? 0 : nla_get_be32(tb[5]);
  if (p->rate == 0 || p->unit == 0 || p->unit > 1000000 || p->type > 1) return -EINVAL;
  const u64 ns = p->unit * kNsPerSec;
  if (p->type == 0) {
    const u64 burst = p->burst == 0 ? 5 : p->burst;
    p->burst = static_cast<u32>(burst);
    p->cost = ns / p->rate;
    p->most = p->cost * burst;
  } else {
    p->most = ns / p->rate * (p->rate + p->burst);
  }
  p->tokens = p->most;
  p->last = ktime_get();
  return 0;
}
void limit_eval(void* priv, nft_regs& regs, nft_pktinfo& pkt) {
  auto* p = static_cast<Limit*>(priv);
  const u64 cost = p->type == 0 ? p->cost : p->unit * kNsPerSec / p->rate * (pkt.skb->len - pkt.network);
  bool over;
  {
    BhGuard guard(p->lock);
    const u64 now = ktime_get();
    p->tokens = min(p->tokens + (now - p->last), p->most);
    p->last = now;
    over = p->tokens < cost;
    if (!over) p->tokens -= cost;
  }
  if (over != ((p->flags & 1) != 0)) regs.verdict.code = NFT_BREAK;
}
bool limit_dump(sk_buff* skb, void* priv) {
  auto* p = static_cast<Limit*>(priv);
  return nla_put_be64(skb, 1, p->rate) && nla_put_be64(skb, 2, p->unit) && nla_put_be32(skb, 3, p->burst) &&
         nla_put_be32(skb, 4, p->type) && nla_put_be32(skb, 5, p->flags);
}

// --- log ---
struct Log {
  char prefix[128];
  u32 level;
  bool has_level;
};
int log_init(const nft_ctx& ctx, void* priv, const nlattr* head, u32 length) {
  auto* p = static_cast<Log*>(priv);
  const nlattr* tb[7];
  TRY_INT(nla_parse(tb, 6, head, length, nullptr, false, ctx.ack));
  if (tb[1] != nullptr) return -EOPNOTSUPP;  // to a program
  if (tb[2] != nullptr) nla_get_string(tb[2], p->prefix, sizeof p->prefix);
  p->has_level = tb[5] != nullptr;
  p->level = p->has_level ? nla_get_be32(tb[5]) : 4;
  return p->level <= 7 ? 0 : -EINVAL;
}
void log_eval(void* priv, nft_regs&, nft_pktinfo& pkt) {
  auto* p = static_cast<Log*>(priv);
  const net_device *in = pkt.state->in, *out = pkt.state->out;
  u8 h[40]{};
  u16 ports[2]{};
  nft_parse(pkt);
  skb_copy_bits(pkt.skb, pkt.network, h, min(pkt.skb->len - pkt.network, 40u));
  if (pkt.l4proto == 6 || pkt.l4proto == 17) skb_copy_bits(pkt.skb, pkt.transport, ports, sizeof ports);
  const char* name_in = in != nullptr && pkt.state->hook != NF_INET_LOCAL_OUT ? in->name : "";
  const char* name_out = out != nullptr && pkt.state->hook != NF_INET_LOCAL_IN ? out->name : "";
  if (pkt.state->pf == NFPROTO_IPV4) {
    printk(KERN_WARNING "%sIN=%s OUT=%s SRC=%u.%u.%u.%u DST=%u.%u.%u.%u LEN=%u TTL=%u PROTO=%u SPT=%u DPT=%u\n",
           p->prefix, name_in, name_out, h[12], h[13], h[14], h[15], h[16], h[17], h[18], h[19],
           pkt.skb->len - pkt.network, h[8], pkt.l4proto, ntohs(ports[0]), ntohs(ports[1]));
  } else {
    printk(KERN_WARNING "%sIN=%s OUT=%s LEN=%u PROTO=%u SPT=%u DPT=%u\n", p->prefix, name_in, name_out,
           pkt.skb->len - pkt.network, pkt.l4proto, ntohs(ports[0]), ntohs(ports[1]));
  }
}
bool log_dump(sk_buff* skb, void* priv) {
  auto* p = static_cast<Log*>(priv);
  return (p->prefix[0] == 0 || nla_put_string(skb, 2, p->prefix)) &&
         (!p->has_level || nla_put_be32(skb, 5, p->level)) && (p->has_level || nla_put_be32(skb, 5, 4));
}

// --- reject ---
enum RejectType : u32 { kRejectIcmp, kRejectTcpRst, kRejectIcmpx };
struct Reject {
  u32 type;
  u8 code;
};
int reject_init(const nft_ctx& ctx, void* priv, const nlattr* head, u32 length) {
  auto* p = static_cast<Reject*>(priv);
  const nlattr* tb[3];
  TRY_INT(nla_parse(tb, 2, head, length, nullptr, false, ctx.ack));
  if (tb[1] == nullptr) return -EINVAL;
  p->type = nla_get_be32(tb[1]);
  p->code = tb[2] == nullptr ? 0 : nla_get_u8(tb[2]);
  return p->type <= kRejectIcmpx ? 0 : -EINVAL;
}

// The reset that the destination would have sent [RFC 9293, 3.5.2].
void send_reset(nft_pktinfo& pkt) {
  u8 ip[20], th[20];
  if (skb_copy_bits(pkt.skb, pkt.network, ip, sizeof ip) != 0 || !nft_parse(pkt) || pkt.l4proto != 6 ||
      skb_copy_bits(pkt.skb, pkt.transport, th, sizeof th) != 0 || (th[13] & 4) != 0)
    return;
  const u32 length = pkt.skb->len - pkt.transport - (th[12] >> 4) * 4u;
  sk_buff* skb = alloc_skb(kMaxHeader + 40, GFP_ATOMIC);
  if (skb == nullptr) return;
  skb_reserve(skb, kMaxHeader);
  skb_reset_network_header(skb);
  auto* h = reinterpret_cast<iphdr*>(skb_put(skb, 40));
  memset(h, 0, 40);
  h->version = 4;
  h->ihl = 5;
  h->ttl = IPDEFTTL;
  h->protocol = 6;
  h->frag_off = htons(IP_DF);
  h->saddr = get_unaligned<be32>(ip + 16);
  h->daddr = get_unaligned<be32>(ip + 12);
  u8* r = reinterpret_cast<u8*>(h + 1);
  skb->transport_header = skb->network_header + 20;
  memcpy(r, th + 2, 2);
  memcpy(r + 2, th, 2);
  if ((th[13] & 0x10) != 0) {
    memcpy(r + 4, th + 8, 4);
    r[13] = 4;
  } else {
    const u32 ack = ntohl(get_unaligned<be32>(th + 4)) + length + ((th[13] & 2) != 0) + ((th[13] & 1) != 0);
    put_unaligned(htonl(ack), r + 8);
    r[13] = 0x14;
  }
  r[12] = 5 << 4;
  const u16 sum = csum_tcpudp_magic(h->saddr, h->daddr, 20, 6, csum_partial(r, 20, 0));
  memcpy(r + 16, &sum, 2);
  skb->protocol = htons(ETH_P_IP);
  flowi4 fl;
  fl.daddr = h->daddr;
  fl.saddr = h->saddr;
  fl.flags = FLOWI_FLAG_ANYSRC;
  const auto rt = ip_route_output_key(&fl);
  if (!rt.ok()) {
    kfree_skb(skb);
    return;
  }
  skb_dst_set(skb, rt.value());
  skb->dev = rt.value()->dev;
  // The answer belongs to the connection it ends.
  u8 info;
  if (nf_conn* ct = nf_ct_get(pkt.skb, &info)) {
    nf_conntrack_get(ct);
    skb->nfct = ct;
    skb->nfctinfo = ctinfo_dir(info) == IP_CT_DIR_ORIGINAL ? IP_CT_RELATED_REPLY : IP_CT_RELATED;
  }
  ip_local_out(skb);
}

void reject_eval(void* priv, nft_regs& regs, nft_pktinfo& pkt) {
  auto* p = static_cast<Reject*>(priv);
  regs.verdict.code = NF_DROP;
  if (pkt.state->pf != NFPROTO_IPV4) return;
  if (p->type == kRejectTcpRst) {
    send_reset(pkt);
    return;
  }
  // The names that both families share: no route, port, host, administratively prohibited.
  static constexpr u8 shared[] = {ICMP_NET_UNREACH, ICMP_PORT_UNREACH, ICMP_HOST_UNREACH, ICMP_PKT_FILTERED};
  const u8 code = p->type == kRejectIcmpx ? shared[p->code & 3] : p->code;
  icmp_send(pkt.skb, ICMP_DEST_UNREACH, code, 0);
}
bool reject_dump(sk_buff* skb, void* priv) {
  auto* p = static_cast<Reject*>(priv);
  return nla_put_be32(skb, 1, p->type) && (p->type == kRejectTcpRst || nla_put_u8(skb, 2, p->code));
}

}  // namespace

constinit const nft_expr_ops nft_ct_ops{"ct", sizeof(Ct), ct_init, ct_eval, ct_dump, nullptr},
    nft_notrack_ops{"notrack", 8, notrack_init, notrack_eval, notrack_dump, nullptr},
    nft_nat_ops{"nat", sizeof(Nat), nat_init, nat_eval, nat_dump, nullptr},
    nft_masq_ops{"masq", sizeof(Nat), masq_init, masq_eval, masq_dump, nullptr},
    nft_redir_ops{"redir", sizeof(Nat), redir_init, redir_eval, redir_dump, nullptr},
    nft_limit_ops{"limit", sizeof(Limit), limit_init, limit_eval, limit_dump, nullptr},
    nft_log_ops{"log", sizeof(Log), log_init, log_eval, log_dump, nullptr},
    nft_reject_ops{"reject", sizeof(Reject), reject_init, reject_eval, reject_dump, nullptr};

}  // namespace xm::os
