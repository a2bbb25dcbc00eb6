// SPDX-License-Identifier: GPL-2.0-or-later
// The table of connections. A packet is looked up when it comes in (or is sent); a new connection joins the table when
// its first packet has got through (nf_confirm), so that what the filter drops leaves no trace.
#include "kernel/drivers/random.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/net/ip.h"
#include "kernel/net/netfilter/nf_conntrack.h"
#include "kernel/sched/clock.h"

namespace xm::os {

Atomic<u32> nf_conntrack_count{0};

namespace {

constexpr u32 kBuckets = 4096;
constexpr int kPriDefrag = -400, kPriConntrack = -200, kPriConfirm = 0x7fffffff;
constexpr u64 kGcPeriodNs = 2 * kNsPerSec;

list_head table[kBuckets];
constinit spinlock_t table_lock{LockRank::NetDevice};
kmem_cache* ct_cache = nullptr;
s64 conntrack_max = 65536;
u32 hash_seed = 0;
Atomic<u32> next_id{1};
timer_list gc_timer;
u32 gc_at = 0;

list_head* bucket_of(const nf_conntrack_tuple& t) {
  u32 h = hash_seed ^ t.protonum;
  for (u32 i = 0; i < 4; ++i) {
    h = (h ^ t.src.words[i]) * 0x85ebca6bu;
    h = (h ^ t.dst.words[i]) * 0xc2b2ae35u;
    h ^= h >> 15;
  }
  h = (h ^ (static_cast<u32>(t.src_port) << 16 | t.dst_port)) * 0x9e3779b1u;
  return &table[(h >> 12) % kBuckets];
}

nf_conn* conn_of(nf_conntrack_tuple_hash* h) {
  nf_conntrack_tuple_hash* first = h - h->tuple.dir;
  return container_of(first, nf_conn, tuplehash);
}

nf_conntrack_tuple_hash* find_locked(const nf_conntrack_tuple& t, u64 now) {
  for (nf_conntrack_tuple_hash* h : entries<&nf_conntrack_tuple_hash::link>(*bucket_of(t))) {
    if (h->tuple.same(t) && conn_of(h)->expires > now) return h;
  }
  return nullptr;
}

void unlink_locked(nf_conn* ct) {
  list_del(&ct->tuplehash[0].link);
  list_del(&ct->tuplehash[1].link);
  ct->status.fetch_or(IPS_DYING);
  nf_conntrack_count.sub(1);
}

nf_conn* allocate(const nf_conntrack_tuple& original, const nf_conntrack_tuple& reply) {
  if (nf_conntrack_count.load() >= static_cast<u32>(conntrack_max)) return nullptr;
  void* memory = kmem_cache_alloc(ct_cache, GFP_ATOMIC);
  if (memory == nullptr) return nullptr;
  nf_conn* ct = new (memory) nf_conn{};
  ct->tuplehash[0].tuple = original;
  ct->tuplehash[0].tuple.dir = IP_CT_DIR_ORIGINAL;
  ct->tuplehash[1].tuple = reply;
  ct->tuplehash[1].tuple.dir = IP_CT_DIR_REPLY;
  ct->id = next_id.add(1);
  return ct;
}

// The connection of a tuple, referenced; made if there is none. Null: cannot be tracked.
nf_conn* resolve(const nf_conntrack_tuple& t, u8* info, bool* fresh) {
  {
    BhGuard guard(table_lock);
    if (nf_conntrack_tuple_hash* h = find_locked(t, ktime_get())) {
      nf_conn* ct = conn_of(h);
      ct->refcnt.inc();
      *fresh = false;
      if (h->tuple.dir == IP_CT_DIR_REPLY) {
        *info = IP_CT_ESTABLISHED_REPLY;
        ct->status.fetch_or(IPS_SEEN_REPLY);
      } else {
        *info = (ct->status.load() & IPS_SEEN_REPLY) != 0 ? IP_CT_ESTABLISHED : IP_CT_NEW;
      }
      return ct;
    }
  }
  nf_conntrack_tuple reply;
  if (!nf_invert_tuple(&reply, t)) return nullptr;
  *info = IP_CT_NEW;
  *fresh = true;
  return allocate(t, reply);
}

// An ICMP error belongs to the connection of the packet it quotes.
bool resolve_icmp_error(sk_buff* skb, u8 l3num, const nf_packet& p) {
  u8 type;
  if (skb_copy_bits(skb, p.transport, &type, 1) != 0) return false;
  const bool error =
      l3num == NFPROTO_IPV4 ? type == 3 || type == 4 || type == 5 || type == 11 || type == 12 : type < 128;
  if (!error) return false;
  nf_packet inner;
  nf_conntrack_tuple t, mirrored;
  const u32 network = p.transport + 8;
  if (!nf_parse_packet(skb, l3num, network, &inner) || !nf_get_tuple(skb, l3num, network, inner, &t) ||
      !nf_invert_tuple(&mirrored, t))
    return true;
  BhGuard guard(table_lock);
  nf_conntrack_tuple_hash* h = find_locked(mirrored, ktime_get());
  if (h == nullptr) return true;
  skb->nfct = conn_of(h);
  skb->nfct->refcnt.inc();
  skb->nfctinfo = h->tuple.dir == IP_CT_DIR_REPLY ? IP_CT_RELATED_REPLY : IP_CT_RELATED;
  return true;
}

u32 conntrack_in(sk_buff* skb, const nf_hook_state* state, void*) {
  if (skb->nfct != nullptr || skb->nfctinfo == IP_CT_UNTRACKED) return NF_ACCEPT;
  const u8 l3num = static_cast<u8>(state->pf);
  const u32 network = skb_network_offset(skb);
  nf_packet p;
  nf_conntrack_tuple t;
  if (!nf_parse_packet(skb, l3num, network, &p)) return NF_ACCEPT;
  if ((p.protonum == IPPROTO_ICMP || p.protonum == IPPROTO_ICMPV6) && resolve_icmp_error(skb, l3num, p))
    return NF_ACCEPT;
  if (!nf_get_tuple(skb, l3num, network, p, &t)) return NF_ACCEPT;
  bool fresh;
  u8 info;
  nf_conn* ct = resolve(t, &info, &fresh);
  if (ct == nullptr) return NF_ACCEPT;  // invalid, or the table is full: not tracked
  if (!nf_track_protocol(ct, skb, p, info, fresh)) {
    nf_conntrack_put(ct);
    return NF_ACCEPT;
  }
  const IpCtDir dir = ctinfo_dir(info);
  ct->counters[dir].packets.inc();
  ct->counters[dir].bytes.add(skb->len - network);
  skb->nfct = ct;
  skb->nfctinfo = info;
  return NF_ACCEPT;
}

u32 confirm(sk_buff* skb, const nf_hook_state*, void*) {
  u8 info;
  nf_conn* ct = nf_ct_get(skb, &info);
  if (ct == nullptr || ctinfo_dir(info) != IP_CT_DIR_ORIGINAL || (ct->status.load() & (IPS_CONFIRMED | IPS_DYING)) != 0)
    return NF_ACCEPT;
  BhGuard guard(table_lock);
  const u64 now = ktime_get();
  if (find_locked(ct->tuplehash[0].tuple, now) != nullptr || find_locked(ct->tuplehash[1].tuple, now) != nullptr)
    return NF_DROP;  // another packet of the same connection was faster; or the translation is taken
  ct->status.fetch_or(IPS_CONFIRMED);
  ct->refcnt.inc();  // the table's
  nf_conntrack_count.inc();
  list_add_tail(&ct->tuplehash[0].link, bucket_of(ct->tuplehash[0].tuple));
  list_add_tail(&ct->tuplehash[1].link, bucket_of(ct->tuplehash[1].tuple));
  return NF_ACCEPT;
}

// Conntrack and NAT see whole datagrams.
u32 defrag(sk_buff* skb, const nf_hook_state* state, void*) {
  if (skb->nfct != nullptr || !ip_is_fragment(ip_hdr(skb))) return NF_ACCEPT;
  const u32 user = state->hook == NF_INET_LOCAL_OUT ? IP_DEFRAG_CONNTRACK_OUT : IP_DEFRAG_CONNTRACK_IN;
  return ip_defrag(skb, user) == nullptr ? NF_STOLEN : NF_ACCEPT;
}

nf_hook_ops conntrack_hooks[] = {
    {defrag, NFPROTO_IPV4, NF_INET_PRE_ROUTING, kPriDefrag, nullptr, nullptr},
    {defrag, NFPROTO_IPV4, NF_INET_LOCAL_OUT, kPriDefrag, nullptr, nullptr},
    {conntrack_in, NFPROTO_IPV4, NF_INET_PRE_ROUTING, kPriConntrack, nullptr, nullptr},
    {conntrack_in, NFPROTO_IPV4, NF_INET_LOCAL_OUT, kPriConntrack, nullptr, nullptr},
    {confirm, NFPROTO_IPV4, NF_INET_POST_ROUTING, kPriConfirm, nullptr, nullptr},
    {confirm, NFPROTO_IPV4, NF_INET_LOCAL_IN, kPriConfirm, nullptr, nullptr},
    {conntrack_in, NFPROTO_IPV6, NF_INET_PRE_ROUTING, kPriConntrack, nullptr, nullptr},
    {conntrack_in, NFPROTO_IPV6, NF_INET_LOCAL_OUT, kPriConntrack, nullptr, nullptr},
    {confirm, NFPROTO_IPV6, NF_INET_POST_ROUTING, kPriConfirm, nullptr, nullptr},
    {confirm, NFPROTO_IPV6, NF_INET_LOCAL_IN, kPriConfirm, nullptr, nullptr},
};

// A sixteenth of the table at a time.
void collect(timer_list* timer) {
  const u64 now = ktime_get();
  for (u32 i = 0; i < kBuckets / 16; ++i, gc_at = (gc_at + 1) % kBuckets) {
    nf_conn* dead[16];
    u32 n = 0;
    {
      BhGuard guard(table_lock);
      for (nf_conntrack_tuple_hash* h : entries<&nf_conntrack_tuple_hash::link>(table[gc_at])) {
        nf_conn* ct = conn_of(h);
        if (ct->expires > now || n == array_size(dead) || h->tuple.dir != IP_CT_DIR_ORIGINAL) continue;
        unlink_locked(ct);
        dead[n++] = ct;
      }
    }
    while (n > 0) nf_conntrack_put(dead[--n]);
  }
  mod_timer(timer, now + kGcPeriodNs / 16);
}

// --- /proc/net/nf_conntrack ---
const char* protocol_name(u8 p) {
  switch (p) {
    case 1: return "icmp";
    case 6: return "tcp";
    case 17: return "udp";
    case 58: return "icmpv6";
    default: return "unknown";
  }
}
void print_address(TextBuffer& out, u8 l3num, const in6_addr& a) {
  if (l3num == NFPROTO_IPV4) {
    out.print("%u.%u.%u.%u", a.bytes[0], a.bytes[1], a.bytes[2], a.bytes[3]);
    return;
  }
  for (u32 i = 0; i < 8; ++i) out.print("%s%04x", i == 0 ? "" : ":", ntohs(a.words16[i]));
}
void print_tuple(TextBuffer& out, const nf_conntrack_tuple& t) {
  out.print("src=");
  print_address(out, t.l3num, t.src);
  out.print(" dst=");
  print_address(out, t.l3num, t.dst);
  if (t.protonum == 1 || t.protonum == 58) {
    out.print(" type=%u code=%u id=%u ", t.dst_port & 0xff, t.dst_port >> 8, ntohs(t.src_port));
  } else {
    out.print(" sport=%u dport=%u ", ntohs(t.src_port), ntohs(t.dst_port));
  }
}
bool show_one(nf_conn* ct, void* data) {
  static const char* const states[] = {"NONE",       "SYN_SENT", "SYN_RECV",  "ESTABLISHED", "FIN_WAIT",
                                       "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE"};
  TextBuffer& out = *static_cast<TextBuffer*>(data);
  const nf_conntrack_tuple& t = ct->tuplehash[0].tuple;
  const u64 now = ktime_get();
  const u32 status = ct->status.load();
  out.print("%s %s %s %u %lu ", t.l3num == NFPROTO_IPV4 ? "ipv4     2" : "ipv6     10", protocol_name(t.protonum),
            t.protonum == 6 ? "    " : "", t.protonum, ct->expires > now ? (ct->expires - now) / kNsPerSec : 0ul);
  if (t.protonum == 6) out.print("%s ", states[ct->tcp_state]);
  print_tuple(out, t);
  if ((status & IPS_SEEN_REPLY) == 0) out.print("[UNREPLIED] ");
  print_tuple(out, ct->tuplehash[1].tuple);
  if ((status & IPS_ASSURED) != 0) out.print("[ASSURED] ");
  out.print("mark=%u use=%d\n", ct->mark, ct->refcnt.load());
  return false;
}
void show_conntrack(TextBuffer& out, void*) { nf_conntrack_for_each(show_one, &out); }
proc_number max_number{&conntrack_max, 0, 1 << 24};
void show_count(TextBuffer& out, void*) { out.print("%u\n", nf_conntrack_count.load()); }

bool in_use = false;

}  // namespace

void nf_conntrack_get(nf_conn* ct) { ct->refcnt.inc(); }
void nf_conntrack_put(nf_conn* ct) {
  if (ct->refcnt.dec_and_test()) kmem_cache_free(ct_cache, ct);
}

bool nf_tuple_taken(const nf_conntrack_tuple& t, const nf_conn* except) {
  BhGuard guard(table_lock);
  nf_conntrack_tuple_hash* h = find_locked(t, ktime_get());
  return h != nullptr && conn_of(h) != except;
}

void nf_conntrack_for_each(bool (*visit)(nf_conn* ct, void* data), void* data) {
  for (list_head& bucket : table) {
    nf_conn* found[32];
    u32 n = 0;
    {
      BhGuard guard(table_lock);
      for (nf_conntrack_tuple_hash* h : entries<&nf_conntrack_tuple_hash::link>(bucket)) {
        if (h->tuple.dir != IP_CT_DIR_ORIGINAL || n == array_size(found)) continue;
        found[n] = conn_of(h);
        found[n++]->refcnt.inc();
      }
    }
    for (u32 i = 0; i < n; ++i) {
      if (visit(found[i], data)) {
        BhGuard guard(table_lock);
        if ((found[i]->status.load() & IPS_DYING) == 0) {
          unlink_locked(found[i]);
          found[i]->refcnt.sub(1);
        }
      }
      nf_conntrack_put(found[i]);
    }
  }
}

void nf_conntrack_use() {
  if (in_use) return;
  in_use = true;
  get_random_bytes(&hash_seed, sizeof hash_seed);
  ct_cache = kmem_cache_create("nf_conntrack", sizeof(nf_conn), 64);
  timer_setup(&gc_timer, collect);
  mod_timer(&gc_timer, ktime_get() + kGcPeriodNs);
  for (nf_hook_ops& h : conntrack_hooks) nf_register_net_hook(&h);
  proc_create(&proc_root, "net/nf_conntrack", 0440, show_conntrack);
  proc_create(&proc_root, "sys/net/netfilter/nf_conntrack_count", 0444, show_count);
  proc_create_number("sys/net/netfilter/nf_conntrack_max", 0644, &max_number);
}

}  // namespace xm::os
