// SPDX-License-Identifier: GPL-2.0-or-later
// Network address translation on top of connection tracking [RFC 3022]: the first packet of a connection chooses the
// translation, which is kept as the difference between its tuples; every packet is then rewritten at two of the four
// hooks, sums being updated by what changed [RFC 1624].
#include "kernel/drivers/random.h"
#include "kernel/lib/result.h"
#include "kernel/mm/slab.h"
#include "kernel/net/inetdevice.h"
#include "kernel/net/netfilter/nf_conntrack.h"

namespace xm::os {
namespace {

constexpr u8 kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpv6 = 58;

struct Chain {
  list_head link;
  nf_nat_chain run;
  void* data;
};
list_head chains[NFPROTO_NUMPROTO][NF_INET_NUMHOOKS];

u32 status_bit(NatManip m) { return m == NF_NAT_MANIP_SRC ? IPS_SRC_NAT : IPS_DST_NAT; }
u32 done_bit(NatManip m) { return m == NF_NAT_MANIP_SRC ? IPS_SRC_NAT_DONE : IPS_DST_NAT_DONE; }

// --- choice of a tuple ---
bool address_in(const in6_addr& a, const nf_nat_range& r, u8 l3num) {
  if ((r.flags & NF_NAT_RANGE_MAP_IPS) == 0) return true;
  return memcmp(&a, &r.min_addr, l3num == NFPROTO_IPV4 ? 4 : 16) >= 0 &&
         memcmp(&a, &r.max_addr, l3num == NFPROTO_IPV4 ? 4 : 16) <= 0;
}

// An address of the range, the same for the same pair of hosts.
void choose_address(nf_conntrack_tuple* t, const nf_nat_range& r, NatManip manip, const nf_conntrack_tuple& original) {
  if ((r.flags & NF_NAT_RANGE_MAP_IPS) == 0) return;
  in6_addr& a = manip == NF_NAT_MANIP_SRC ? t->src : t->dst;
  if (r.min_addr == r.max_addr) {
    a = r.min_addr;
    return;
  }
  const u32 last = t->l3num == NFPROTO_IPV4 ? 0 : 3;
  const u32 low = ntohl(r.min_addr.words[last]), high = ntohl(r.max_addr.words[last]);
  const u32 hash =
      (original.src.words[last] ^ ((r.flags & NF_NAT_RANGE_PERSISTENT) != 0 ? 0 : original.dst.words[last])) *
      0x9e3779b1u;
  a = r.min_addr;
  a.words[last] = htonl(low + static_cast<u32>(static_cast<u64>(hash) * (high - low + 1ul) >> 32));
}

u16* port_of(nf_conntrack_tuple* t, NatManip manip) {
  if (t->protonum == kIcmp || t->protonum == kIcmpv6) return &t->src_port;
  return manip == NF_NAT_MANIP_SRC ? &t->src_port : &t->dst_port;
}

bool taken(const nf_conntrack_tuple& t, const nf_conn* ct) {
  nf_conntrack_tuple reply;
  return !nf_invert_tuple(&reply, t) || nf_tuple_taken(reply, ct);
}

// A port such that the replies can be told apart. The old one if it will do.
void choose_port(nf_conntrack_tuple* t, const nf_nat_range& r, NatManip manip, const nf_conn* ct) {
  const bool icmp = t->protonum == kIcmp || t->protonum == kIcmpv6;
  if (!icmp && t->protonum != kTcp && t->protonum != kUdp) return;
  u16* port = port_of(t, manip);
  const bool random = (r.flags & (NF_NAT_RANGE_PROTO_RANDOM | NF_NAT_RANGE_PROTO_RANDOM_FULLY)) != 0;
  u32 low, high;
  if ((r.flags & NF_NAT_RANGE_PROTO_SPECIFIED) != 0) {
    low = ntohs(r.min_proto);
    high = ntohs(r.max_proto);
    if (!random && ntohs(*port) >= low && ntohs(*port) <= high && (low == high || !taken(*t, ct))) return;
    if (low == high) {
      *port = r.min_proto;
      return;
    }
  } else {
    if (manip == NF_NAT_MANIP_DST) return;
    if (!random && !taken(*t, ct)) return;
    const u32 old = ntohs(*port);  // privileged ports stay privileged
    low = icmp ? 0 : old < 512 ? 1 : old < 1024 ? 600 : 1024;
    high = icmp ? 65535 : old < 512 ? 511 : old < 1024 ? 1023 : 65535;
  }
  if (high < low) return;
  u32 offset;
  get_random_bytes(&offset, sizeof offset);
  const u32 count = high - low + 1, tries = min(count, 512u);
  for (u32 i = 0; i < tries; ++i) {
    *port = htons(static_cast<u16>(low + (offset + i) % count));
    if (!taken(*t, ct)) return;
  }
}

// --- rewriting ---
void replace_sum(u8* check, const void* from, const void* to, u32 length) {
  u16 sum;
  memcpy(&sum, check, 2);
  // ~C' = ~C + ~m + m' [RFC 1624, eqn 3]
  u32 s = static_cast<u16>(~sum);
  s = csum_add(s, ~csum_partial(from, length, 0));
  s = csum_partial(to, length, s);
  sum = csum_fold(s);
  memcpy(check, &sum, 2);
}
// The sum of a transport header over the pseudo-header: when it still has to be computed, only the part that counts
// addresses lies there, not complemented.
void replace_pseudo(sk_buff* skb, u8* check, const void* from, const void* to, u32 length, bool pseudo) {
  if (skb->ip_summed != CHECKSUM_PARTIAL) {
    replace_sum(check, from, to, length);
    return;
  }
  if (!pseudo) return;
  u16 sum;
  memcpy(&sum, check, 2);
  u32 s = csum_add(sum, ~csum_partial(from, length, 0));
  s = csum_partial(to, length, s);
  sum = static_cast<u16>(~csum_fold(s));
  memcpy(check, &sum, 2);
}

u32 checksum_offset(u8 protonum) {
  return protonum == kTcp ? 16 : protonum == kUdp ? 6 : protonum == kIcmp || protonum == kIcmpv6 ? 2 : 0;
}

// Sets the source or destination of the packet at `network` to the target's. `inner`: quoted in an ICMP error, where
// the transport header may be cut off and sums are the quoter's.
bool rewrite(sk_buff* skb, u32 network, const nf_conntrack_tuple& target, NatManip manip, bool inner) {
  nf_packet p;
  const u8 l3num = target.l3num;
  if (!nf_parse_packet(skb, l3num, network, &p)) return false;
  const u32 check_at = checksum_offset(p.protonum);
  const u32 wanted = inner ? p.transport + 8 : p.transport + (p.protonum == kTcp ? 20 : 8);
  const u32 header_end = min(wanted, skb->len);
  if (header_end < p.transport + 4 && (p.protonum == kTcp || p.protonum == kUdp)) return false;
  if (skb_ensure_writable(skb, header_end) != 0) return false;
  u8* ip = skb->data + network;
  u8* th = skb->data + p.transport;
  const bool v4 = l3num == NFPROTO_IPV4;
  const u32 size = v4 ? 4 : 16;
  u8* address = ip + (manip == NF_NAT_MANIP_SRC ? (v4 ? 12 : 8) : (v4 ? 16 : 24));
  const in6_addr& fresh = manip == NF_NAT_MANIP_SRC ? target.src : target.dst;
  u8* check = check_at != 0 && p.transport + check_at + 2 <= header_end ? th + check_at : nullptr;
  if (p.protonum == kUdp && check != nullptr && check[0] == 0 && check[1] == 0 && skb->ip_summed != CHECKSUM_PARTIAL)
    check = nullptr;
  u8 old[16];
  memcpy(old, address, size);
  if (v4) replace_sum(ip + 10, old, &fresh, 4);
  if (check != nullptr && p.protonum != kIcmp) replace_pseudo(skb, check, old, &fresh, size, true);
  memcpy(address, &fresh, size);
  u8* field = nullptr;
  u16 value = 0;
  if (p.protonum == kTcp || p.protonum == kUdp) {
    field = th + (manip == NF_NAT_MANIP_SRC ? 0 : 2);
    value = manip == NF_NAT_MANIP_SRC ? target.src_port : target.dst_port;
  } else if ((p.protonum == kIcmp || p.protonum == kIcmpv6) && p.transport + 6 <= header_end) {
    field = th + 4;
    value = target.src_port;
  }
  if (field == nullptr) return true;
  if (check != nullptr) replace_pseudo(skb, check, field, &value, 2, false);
  memcpy(field, &value, 2);
  if (p.protonum == kUdp && check != nullptr && check[0] == 0 && check[1] == 0 && skb->ip_summed != CHECKSUM_PARTIAL)
    check[0] = check[1] = 0xff;
  return true;
}

u32 translate(nf_conn* ct, u8 info, NfHook hook, sk_buff* skb) {
  const NatManip manip = hook_to_manip(hook);
  const IpCtDir dir = ctinfo_dir(info);
  u32 bit = status_bit(manip);
  if (dir == IP_CT_DIR_REPLY) bit ^= IPS_NAT_MASK;
  if ((ct->status.load() & bit) == 0) return NF_ACCEPT;
  nf_conntrack_tuple target;
  if (!nf_invert_tuple(&target, ct->tuplehash[!dir].tuple)) return NF_DROP;
  return rewrite(skb, skb_network_offset(skb), target, manip, false) ? NF_ACCEPT : NF_DROP;
}

// An ICMP error: the packet it quotes went the other way, so it is translated the other way; then the outer header.
u32 translate_icmp_error(nf_conn* ct, u8 info, NfHook hook, sk_buff* skb, u8 l3num) {
  const NatManip manip = hook_to_manip(hook);
  const IpCtDir dir = ctinfo_dir(info);
  u32 bit = status_bit(manip);
  if (dir == IP_CT_DIR_REPLY) bit ^= IPS_NAT_MASK;
  if ((ct->status.load() & bit) == 0) return NF_ACCEPT;
  const u32 network = skb_network_offset(skb);
  nf_packet p;
  if (!nf_parse_packet(skb, l3num, network, &p)) return NF_DROP;
  const u32 transport = p.transport;
  const NatManip mirrored = manip == NF_NAT_MANIP_SRC ? NF_NAT_MANIP_DST : NF_NAT_MANIP_SRC;
  nf_conntrack_tuple target;
  if (!rewrite(skb, transport + 8, ct->tuplehash[!dir].tuple, mirrored, true)) return NF_ACCEPT;
  if (!nf_invert_tuple(&target, ct->tuplehash[!dir].tuple)) return NF_DROP;
  // Outer header: the address only.
  if (skb_ensure_writable(skb, transport + 8) != 0) return NF_DROP;
  u8* ip = skb->data + network;
  const bool v4 = l3num == NFPROTO_IPV4;
  u8* address = ip + (manip == NF_NAT_MANIP_SRC ? (v4 ? 12 : 8) : (v4 ? 16 : 24));
  const in6_addr& fresh = manip == NF_NAT_MANIP_SRC ? target.src : target.dst;
  if (v4) replace_sum(ip + 10, address, &fresh, 4);
  memcpy(address, &fresh, v4 ? 4 : 16);
  // The sum over the changed quotation is made anew.
  u8* icmp = skb->data + transport;
  icmp[2] = icmp[3] = 0;
  const u32 length = skb->len - transport, sum = skb_checksum(skb, transport, length, 0);
  const u16 folded = v4 ? csum_fold(sum) : csum_ipv6_magic(ip + 8, ip + 24, length, kIcmpv6, sum);
  memcpy(icmp + 2, &folded, 2);
  skb->ip_summed = CHECKSUM_NONE;
  return NF_ACCEPT;
}

u32 choose(nf_conn* ct, sk_buff* skb, const nf_hook_state* state) {
  const NatManip manip = hook_to_manip(state->hook);
  for (Chain* c : entries<&Chain::link>(chains[state->pf][state->hook])) {
    const u32 verdict = c->run(skb, state, c->data);
    if (verdict != NF_ACCEPT) return verdict;
    if ((ct->status.load() & done_bit(manip)) != 0) return NF_ACCEPT;
  }
  // No rule: the connection stays as it is, but its source port may have to give way to another's.
  return nf_nat_setup_info(ct, {}, manip);
}

u32 nat_hook(sk_buff* skb, const nf_hook_state* state, void*) {
  u8 info;
  nf_conn* ct = nf_ct_get(skb, &info);
  if (ct == nullptr) return NF_ACCEPT;
  const NatManip manip = hook_to_manip(state->hook);
  if (info == IP_CT_RELATED || info == IP_CT_RELATED_REPLY)
    return translate_icmp_error(ct, info, state->hook, skb, static_cast<u8>(state->pf));
  if (info == IP_CT_NEW && (ct->status.load() & (done_bit(manip) | IPS_CONFIRMED)) == 0) {
    const u32 verdict = choose(ct, skb, state);
    if (verdict != NF_ACCEPT) return verdict;
  }
  return translate(ct, info, state->hook, skb);
}

nf_hook_ops nat_hooks[] = {
    {nat_hook, NFPROTO_IPV4, NF_INET_PRE_ROUTING, -100, nullptr, nullptr},
    {nat_hook, NFPROTO_IPV4, NF_INET_LOCAL_OUT, -100, nullptr, nullptr},
    {nat_hook, NFPROTO_IPV4, NF_INET_POST_ROUTING, 100, nullptr, nullptr},
    {nat_hook, NFPROTO_IPV4, NF_INET_LOCAL_IN, 100, nullptr, nullptr},
    {nat_hook, NFPROTO_IPV6, NF_INET_PRE_ROUTING, -100, nullptr, nullptr},
    {nat_hook, NFPROTO_IPV6, NF_INET_LOCAL_OUT, -100, nullptr, nullptr},
    {nat_hook, NFPROTO_IPV6, NF_INET_POST_ROUTING, 100, nullptr, nullptr},
    {nat_hook, NFPROTO_IPV6, NF_INET_LOCAL_IN, 100, nullptr, nullptr},
};
bool registered = false;

}  // namespace

u32 nf_nat_setup_info(nf_conn* ct, const nf_nat_range& range, NatManip manip) {
  if ((ct->status.load() & (IPS_CONFIRMED | done_bit(manip))) != 0) return NF_ACCEPT;
  nf_conntrack_tuple as_sent, fresh;
  if (!nf_invert_tuple(&as_sent, ct->tuplehash[IP_CT_DIR_REPLY].tuple)) return NF_DROP;
  fresh = as_sent;
  const bool keep = manip == NF_NAT_MANIP_SRC && address_in(as_sent.src, range, as_sent.l3num) &&
                    (range.flags & ~NF_NAT_RANGE_MAP_IPS) == 0 && !taken(as_sent, ct);
  if (!keep) {
    choose_address(&fresh, range, manip, ct->tuplehash[IP_CT_DIR_ORIGINAL].tuple);
    choose_port(&fresh, range, manip, ct);
  }
  if (!fresh.same(as_sent)) {
    nf_conntrack_tuple reply;
    if (!nf_invert_tuple(&reply, fresh)) return NF_DROP;
    reply.dir = IP_CT_DIR_REPLY;
    ct->tuplehash[IP_CT_DIR_REPLY].tuple = reply;
    ct->status.fetch_or(status_bit(manip));
  }
  ct->status.fetch_or(done_bit(manip));
  return NF_ACCEPT;
}

u32 nf_nat_masquerade(sk_buff* skb, NfHook hook, const nf_nat_range& range, const net_device* out) {
  u8 info;
  nf_conn* ct = nf_ct_get(skb, &info);
  if (ct == nullptr || hook != NF_INET_POST_ROUTING || out == nullptr) return NF_ACCEPT;
  nf_conntrack_tuple as_sent;
  if (ct->tuplehash[0].tuple.l3num != NFPROTO_IPV4 || !nf_invert_tuple(&as_sent, ct->tuplehash[1].tuple))
    return NF_DROP;
  const be32 address = inet_select_addr(out, as_sent.dst.words[0], 0);
  if (address == 0) return NF_DROP;
  nf_nat_range r = range;
  r.flags |= NF_NAT_RANGE_MAP_IPS;
  r.min_addr = r.max_addr = {};
  r.min_addr.words[0] = r.max_addr.words[0] = address;
  ct->masq_index = out->ifindex;
  return nf_nat_setup_info(ct, r, NF_NAT_MANIP_SRC);
}

u32 nf_nat_redirect(sk_buff* skb, NfHook hook, const nf_nat_range& range, net_device* in) {
  u8 info;
  nf_conn* ct = nf_ct_get(skb, &info);
  if (ct == nullptr || ct->tuplehash[0].tuple.l3num != NFPROTO_IPV4) return NF_ACCEPT;
  be32 address = htonl(0x7f000001);
  if (hook != NF_INET_LOCAL_OUT) {
    const in_device* ip = in == nullptr ? nullptr : in_dev_get(in);
    if (ip == nullptr || ip->ifa_list == nullptr) return NF_DROP;
    address = ip->ifa_list->ifa_local;
  }
  nf_nat_range r = range;
  r.flags |= NF_NAT_RANGE_MAP_IPS;
  r.min_addr = r.max_addr = {};
  r.min_addr.words[0] = r.max_addr.words[0] = address;
  return nf_nat_setup_info(ct, r, NF_NAT_MANIP_DST);
}

// Translations to an address that goes away with its device are forgotten.
namespace {
bool of_device(nf_conn* ct, void* index) { return ct->masq_index == *static_cast<int*>(index); }
void device_event(NetdevEvent event, net_device* dev) {
  if (event == NETDEV_DOWN) nf_conntrack_for_each(of_device, &dev->ifindex);
}
notifier_block nat_notifier{device_event};
}  // namespace

int nf_nat_register(NfProto pf, NfHook hook, nf_nat_chain run, void* data) {
  nf_conntrack_use();
  Chain* c = knew<Chain>();
  if (c == nullptr) return -ENOMEM;
  c->run = run;
  c->data = data;
  list_add_tail_rcu(&c->link, &chains[pf][hook]);
  if (registered) return 0;
  registered = true;
  register_netdevice_notifier(&nat_notifier);
  for (nf_hook_ops& h : nat_hooks) nf_register_net_hook(&h);
  return 0;
}

void nf_nat_unregister(NfProto pf, NfHook hook, void* data) {
  for (Chain* c : entries<&Chain::link>(chains[pf][hook])) {
    if (c->data != data) continue;
    list_del_rcu(&c->link);
    synchronize_net();
    kdelete(c);
    return;
  }
}

}  // namespace xm::os
