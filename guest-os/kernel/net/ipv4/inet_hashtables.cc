// SPDX-License-Identifier: GPL-2.0-or-later
// Where TCP finds sockets: established ones (with requests and TIME-WAIT) by their four-tuple, listeners by port, and
// the owners of each local port. Addresses of both families are kept in one form, so one set of tables does.
// Lock order: a port's bucket, then an established bucket.
#include "kernel/drivers/random.h"
#include "kernel/mm/slab.h"
#include "kernel/net/tcp.h"

namespace xm::os {

u32 inet_hash_secret = 0;

namespace {

struct HashBucket {
  explicit HashBucket(LockRank rank) : lock(rank) {}
  spinlock_t lock;
  list_head head;
};
constexpr u32 kEhash = 4096, kBhash = 1024, kLhash = 256;
HashBucket *ehash = nullptr, *bhash = nullptr, *lhash = nullptr;

HashBucket& ehash_bucket(u32 hash) { return ehash[hash % kEhash]; }
HashBucket& bhash_bucket(u16 port) { return bhash[port % kBhash]; }
HashBucket& lhash_bucket(u16 port) { return lhash[port % kLhash]; }

bool inet_match(const sock_common* s, const in6_addr& saddr, be16 sport, const in6_addr& daddr, u16 hnum, int dif) {
  return s->sk_num == hnum && s->sk_dport == sport && s->sk_v6_daddr == saddr && s->sk_v6_rcv_saddr == daddr &&
         (s->sk_bound_dev_if == 0 || s->sk_bound_dev_if == dif || dif == 0);
}

int listener_score(const sock* sk, const in6_addr& daddr, u16 hnum, int dif) {
  if (sk->sk_num != hnum) return -1;
  const bool v4 = daddr.v4mapped();
  if (v4 ? sk->sk_family == AF_INET6 && sk->sk_ipv6only : sk->sk_family == AF_INET) return -1;
  int score = v4 == (sk->sk_family == AF_INET) ? 2 : 1;
  if (!sk->sk_v6_rcv_saddr.any()) {
    if (!(sk->sk_v6_rcv_saddr == daddr)) return -1;
    score += 4;
  }
  if (sk->sk_bound_dev_if != 0) {
    if (sk->sk_bound_dev_if != dif) return -1;
    score += 8;
  }
  return score;
}

inet_bind_bucket* find_bind_bucket(HashBucket& b, u16 port) {
  for (inet_bind_bucket* tb : entries<&inet_bind_bucket::node>(b.head)) {
    if (tb->port == port) return tb;
  }
  return nullptr;
}
inet_bind_bucket* make_bind_bucket(HashBucket& b, u16 port) {
  void* p = kmalloc(sizeof(inet_bind_bucket), GFP_ATOMIC);
  if (p == nullptr) return nullptr;
  inet_bind_bucket* tb = new (p) inet_bind_bucket{};
  tb->port = port;
  list_add(&tb->node, &b.head);
  return tb;
}
void drop_bind_bucket_if_empty(inet_bind_bucket* tb) {
  if (!tb->owners.empty()) return;
  list_del(&tb->node);
  kdelete(tb);
}

bool same_user(const sock_common* a, const sock* b) {
  if (a->sk_state == TCP_TIME_WAIT) return static_cast<const inet_timewait_sock*>(a)->tw_uid == b->sk_uid;
  return static_cast<const sock*>(a)->sk_uid == b->sk_uid;
}

// May `sk` share the port with those that have it? [man 7 socket] SO_REUSEADDR, SO_REUSEPORT
bool bind_conflict(const sock* sk, inet_bind_bucket* tb, bool relax) {
  for (sock_common* o : entries<&sock_common::sk_bind_node>(tb->owners)) {
    if (o == sk) continue;
    if (o->sk_bound_dev_if != 0 && sk->sk_bound_dev_if != 0 && o->sk_bound_dev_if != sk->sk_bound_dev_if) continue;
    const bool reuse = sk->sk_reuseaddr && o->sk_reuseaddr && o->sk_state != TCP_LISTEN;
    const bool reuseport = sk->sk_reuseport && o->sk_reuseport && (o->sk_state == TCP_TIME_WAIT || same_user(o, sk));
    if ((reuse && (relax || sk->sk_reuseaddr)) || reuseport) continue;
    if (inet_rcv_saddr_equal(sk, o, true)) return true;
  }
  return false;
}

// Is the four-tuple free on this local port? A TIME-WAIT one may be taken over when timestamps tell them apart.
bool check_established(sock* sk, u16 lport, inet_timewait_sock** recycled) {
  const u32 hash = inet_ehashfn(sk->sk_v6_rcv_saddr, lport, sk->sk_v6_daddr, sk->sk_dport);
  HashBucket& b = ehash_bucket(hash);
  BhGuard guard(b.lock);
  inet_timewait_sock* tw = nullptr;
  for (sock_common* s : entries<&sock_common::sk_node>(b.head)) {
    if (s->sk_hash != hash ||
        !inet_match(s, sk->sk_v6_daddr, sk->sk_dport, sk->sk_v6_rcv_saddr, lport, sk->sk_bound_dev_if))
      continue;
    if (s->sk_state != TCP_TIME_WAIT) return false;
    tw = inet_twsk(s);
    const bool loopback = sk->sk_v6_daddr.v4mapped() && ipv4_is_loopback(sk->sk_v6_daddr.words[3]);
    const bool reuse = sysctl_tcp_tw_reuse == 1 || (sysctl_tcp_tw_reuse == 2 && loopback);
    if (!reuse || tw->tw_ts_recent_stamp == 0 || ktime_get() < tw->tw_ts_recent_stamp + kNsPerSec) return false;
    if (!tw->sk_refcnt.inc_not_zero()) return false;
    break;
  }
  sk->sk_num = lport;
  inet_sk(sk)->inet_sport = htons(lport);
  sk->sk_hash = hash;
  if (tw != nullptr) {
    tcp_sock* tp = tcp_sk(sk);
    tp->write_seq = tw->tw_snd_nxt + 65535 + 2;
    if (tp->write_seq == 0) tp->write_seq = 1;
    tp->rx_opt.ts_recent = tw->tw_ts_recent;
    tp->rx_opt.ts_recent_stamp = tw->tw_ts_recent_stamp;
    list_del(&tw->sk_node);
    *recycled = tw;
  }
  list_add(&sk->sk_node, &b.head);
  return true;
}

// Takes a local port for an outgoing connection, if nobody is bound to it and the four-tuple is free.
int try_connect_port(sock* sk, u16 port, inet_timewait_sock** tw) {
  HashBucket& b = bhash_bucket(port);
  BhGuard guard(b.lock);
  inet_bind_bucket* tb = find_bind_bucket(b, port);
  if (tb != nullptr && tb->fastreuse >= 0 && !tb->owners.empty()) return -EADDRNOTAVAIL;
  const bool fresh = tb == nullptr;
  if (fresh) tb = make_bind_bucket(b, port);
  if (tb == nullptr) return -ENOMEM;
  if (!check_established(sk, port, tw)) {
    drop_bind_bucket_if_empty(tb);
    return -EADDRNOTAVAIL;
  }
  if (fresh) tb->fastreuse = -1;
  inet_csk(sk)->icsk_bind_hash = tb;
  list_add_tail(&sk->sk_bind_node, &tb->owners);
  return 0;
}

}  // namespace

u32 inet_ehashfn(const in6_addr& laddr, u16 lport, const in6_addr& faddr, be16 fport) {
  u64 h = laddr.quads[1] * 0x9e3779b97f4a7c15ul ^ faddr.quads[1];
  if (faddr.quads[0] != 0) h ^= (laddr.quads[0] + 0x7f4a7c15) * 0xc2b2ae3d27d4eb4ful ^ faddr.quads[0];
  h ^= static_cast<u64>(lport) << 16 | fport;
  h = (h ^ inet_hash_secret) * 0xff51afd7ed558ccdul;
  return static_cast<u32>(h ^ h >> 32);
}

bool inet_rcv_saddr_equal(const sock_common* a, const sock_common* b, bool match_wildcard) {
  const bool a6 = a->sk_family == AF_INET6, b6 = b->sk_family == AF_INET6;
  if (a6 != b6) {  // an IPv6-only socket never meets an IPv4 one
    const sock_common* six = a6 ? a : b;
    if (six->sk_ipv6only) return false;
    if (!six->sk_v6_rcv_saddr.any() && !six->sk_v6_rcv_saddr.v4mapped()) return false;
  }
  const bool any = a->sk_v6_rcv_saddr.any() || b->sk_v6_rcv_saddr.any();
  if (any) return match_wildcard || (a->sk_v6_rcv_saddr.any() && b->sk_v6_rcv_saddr.any());
  return a->sk_v6_rcv_saddr == b->sk_v6_rcv_saddr;
}

void sock_gen_put(sock_common* s) {
  if (!s->sk_refcnt.dec_and_test()) return;
  if (s->sk_state == TCP_TIME_WAIT) {
    inet_timewait_sock* tw = inet_twsk(s);
    timer_shutdown(&tw->tw_timer);
    tcp_tw_count.sub(1);
    kdelete(tw);
  } else if (s->sk_state == TCP_NEW_SYN_RECV) {
    request_sock* req = inet_reqsk(s);
    timer_shutdown(&req->rsk_timer);
    if (req->rsk_listener != nullptr) sock_put(req->rsk_listener);
    kdelete(req);
  } else {
    sk_free(static_cast<sock*>(s));
  }
}
void reqsk_put(request_sock* req) { sock_gen_put(req); }

sock_common* inet_lookup_established(const in6_addr& saddr, be16 sport, const in6_addr& daddr, u16 hnum, int dif) {
  const u32 hash = inet_ehashfn(daddr, hnum, saddr, sport);
  HashBucket& b = ehash_bucket(hash);
  BhGuard guard(b.lock);
  for (sock_common* s : entries<&sock_common::sk_node>(b.head)) {
    if (s->sk_hash != hash || !inet_match(s, saddr, sport, daddr, hnum, dif)) continue;
    return s->sk_refcnt.inc_not_zero() ? s : nullptr;
  }
  return nullptr;
}

sock* inet_lookup_listener(const in6_addr& saddr, be16 sport, const in6_addr& daddr, u16 hnum, int dif) {
  HashBucket& b = lhash_bucket(hnum);
  BhGuard guard(b.lock);
  sock* found = nullptr;
  int best = -1;
  u32 same = 0;
  for (sock_common* s : entries<&sock_common::sk_node>(b.head)) {
    sock* sk = static_cast<sock*>(s);
    const int score = listener_score(sk, daddr, hnum, dif);
    if (score < 0 || score < best) continue;
    if (score > best) {
      best = score;
      found = sk;
      same = 1;
    } else if (sk->sk_reuseport) {
      // SO_REUSEPORT: each of n equals with the same chance, by the flow's hash
      ++same;
      const u32 hash = inet_ehashfn(daddr, hnum, saddr, sport) * (same * 0x9e3779b1u + 1);
      if (static_cast<u64>(hash) * same >> 32 == 0) found = sk;
    }
  }
  return found != nullptr && found->sk_refcnt.inc_not_zero() ? found : nullptr;
}

bool inet_ehash_insert(sock_common* s, sock_common* replaces) {
  s->sk_hash = inet_ehashfn(s->sk_v6_rcv_saddr, s->sk_num, s->sk_v6_daddr, s->sk_dport);
  HashBucket& b = ehash_bucket(s->sk_hash);
  BhGuard guard(b.lock);
  if (replaces != nullptr) {
    if (replaces->sk_node.empty()) return false;
    list_del(&replaces->sk_node);
  } else if (s->sk_state != TCP_TIME_WAIT) {
    // Without something to replace: nobody else may have the four-tuple.
    for (sock_common* o : entries<&sock_common::sk_node>(b.head)) {
      if (o->sk_hash == s->sk_hash && o->sk_state != TCP_TIME_WAIT &&
          inet_match(o, s->sk_v6_daddr, s->sk_dport, s->sk_v6_rcv_saddr, s->sk_num, s->sk_bound_dev_if))
        return false;
    }
  }
  list_add(&s->sk_node, &b.head);
  return true;
}

bool inet_ehash_unlink(sock_common* s) {
  HashBucket& b = ehash_bucket(s->sk_hash);
  BhGuard guard(b.lock);
  if (s->sk_node.empty()) return false;
  list_del(&s->sk_node);
  return true;
}

int inet_hash(sock* sk) {
  if (sk->sk_state == TCP_CLOSE) return 0;
  if (sk->sk_state != TCP_LISTEN) {
    inet_ehash_insert(sk, nullptr);
    return 0;
  }
  HashBucket& b = lhash_bucket(sk->sk_num);
  BhGuard guard(b.lock);
  list_add_tail(&sk->sk_node, &b.head);
  return 0;
}

void inet_unhash(sock* sk) {
  if (sk->sk_node.empty()) return;
  HashBucket& b = sk->sk_state == TCP_LISTEN ? lhash_bucket(sk->sk_num) : ehash_bucket(sk->sk_hash);
  BhGuard guard(b.lock);
  if (!sk->sk_node.empty()) list_del(&sk->sk_node);
}

// --- ports ---
int inet_csk_get_port(sock* sk, u16 snum) {
  const inet_sock* inet = inet_sk(sk);
  u32 low = static_cast<u32>(sysctl_local_port_range[0]), high = static_cast<u32>(sysctl_local_port_range[1]);
  if (inet->local_port_low != 0) low = max<u32>(low, inet->local_port_low);
  if (inet->local_port_high != 0) high = min<u32>(high, inet->local_port_high);
  const u32 range = high - low + 1;
  const u32 start = snum != 0 ? 0 : static_cast<u32>(get_random_u64() % range);
  // Odd ports are left for connections as long as there are others.
  for (u32 pass = 0; pass < (snum != 0 ? 1u : 2u); ++pass) {
    for (u32 i = 0; i < (snum != 0 ? 1 : range); ++i) {
      const u16 port = snum != 0 ? snum : static_cast<u16>(low + (start + i) % range);
      if (snum == 0 && ((port ^ low) & 1) != pass) continue;
      HashBucket& b = bhash_bucket(port);
      BhGuard guard(b.lock);
      inet_bind_bucket* tb = find_bind_bucket(b, port);
      if (tb != nullptr && !tb->owners.empty() && (snum == 0 || bind_conflict(sk, tb, true))) continue;
      if (tb == nullptr) tb = make_bind_bucket(b, port);
      if (tb == nullptr) return -ENOMEM;
      tb->fastreuse = 0;
      if (inet_csk(sk)->icsk_bind_hash == nullptr) {
        inet_csk(sk)->icsk_bind_hash = tb;
        sk->sk_num = port;
        list_add_tail(&sk->sk_bind_node, &tb->owners);
      }
      return 0;
    }
  }
  return -EADDRINUSE;
}

void inet_put_port(sock* sk) {
  inet_bind_bucket* tb = inet_csk(sk)->icsk_bind_hash;
  if (tb == nullptr) return;
  HashBucket& b = bhash_bucket(tb->port);
  BhGuard guard(b.lock);
  list_del(&sk->sk_bind_node);
  inet_csk(sk)->icsk_bind_hash = nullptr;
  sk->sk_num = 0;
  drop_bind_bucket_if_empty(tb);
}

void inet_inherit_port(const sock* listener, sock* child) {
  HashBucket& b = bhash_bucket(child->sk_num);
  BhGuard guard(b.lock);
  inet_bind_bucket* tb = inet_csk(listener)->icsk_bind_hash;
  if (tb == nullptr) tb = find_bind_bucket(b, child->sk_num);
  if (tb == nullptr) tb = make_bind_bucket(b, child->sk_num);
  if (tb == nullptr) return;
  inet_csk(child)->icsk_bind_hash = tb;
  list_add_tail(&child->sk_bind_node, &tb->owners);
}

// A local port for an outgoing connection, and the place in the established table.
int inet_hash_connect(sock* sk) {
  inet_timewait_sock* tw = nullptr;
  const auto finish = [&](int result) {
    if (tw != nullptr) inet_twsk_deschedule_put(tw);
    return result;
  };
  if (sk->sk_num != 0) return finish(check_established(sk, sk->sk_num, &tw) ? 0 : -EADDRNOTAVAIL);
  const inet_sock* inet = inet_sk(sk);
  u32 low = static_cast<u32>(sysctl_local_port_range[0]), high = static_cast<u32>(sysctl_local_port_range[1]);
  if (inet->local_port_low != 0) low = max<u32>(low, inet->local_port_low);
  if (inet->local_port_high != 0) high = min<u32>(high, inet->local_port_high);
  const u32 range = high - low + 1;
  const u32 start = static_cast<u32>(get_random_u64() % range);
  for (u32 i = 0; i < range; ++i) {
    const int error = try_connect_port(sk, static_cast<u16>(low + (start + i) % range), &tw);
    if (error != -EADDRNOTAVAIL) return finish(error);
  }
  return -EADDRNOTAVAIL;
}

// The small sock takes the large one's places.
void inet_twsk_hashdance(inet_timewait_sock* tw, sock* sk) {
  if (inet_bind_bucket* tb = inet_csk(sk)->icsk_bind_hash; tb != nullptr) {
    HashBucket& b = bhash_bucket(tb->port);
    BhGuard guard(b.lock);
    tw->tw_tb = tb;
    list_add_tail(&tw->sk_bind_node, &tb->owners);
  }
  HashBucket& b = ehash_bucket(sk->sk_hash);
  BhGuard guard(b.lock);
  if (!sk->sk_node.empty()) list_del(&sk->sk_node);
  list_add(&tw->sk_node, &b.head);
}

void inet_twsk_drop(inet_timewait_sock* tw) {
  inet_ehash_unlink(tw);
  if (tw->tw_tb == nullptr) return;
  HashBucket& b = bhash_bucket(tw->tw_tb->port);
  BhGuard guard(b.lock);
  if (tw->sk_bind_node.empty()) return;
  list_del(&tw->sk_bind_node);
  drop_bind_bucket_if_empty(tw->tw_tb);
  tw->tw_tb = nullptr;
}

void tcp_for_each(bool listeners, void (*visit)(sock_common* s, void* data), void* data) {
  HashBucket* table = listeners ? lhash : ehash;
  for (u32 i = 0; i < (listeners ? kLhash : kEhash); ++i) {
    if (table[i].head.empty()) continue;
    BhGuard guard(table[i].lock);
    for (sock_common* s : entries<&sock_common::sk_node>(table[i].head)) visit(s, data);
  }
}

void inet_hashtables_init() {
  const auto make = [](u32 n, LockRank rank) {
    HashBucket* b = static_cast<HashBucket*>(kmalloc(sizeof(HashBucket) * n));
    for (u32 i = 0; i < n; ++i) new (&b[i]) HashBucket(rank);
    return b;
  };
  ehash = make(kEhash, LockRank::SockHash);
  bhash = make(kBhash, LockRank::BindHash);
  lhash = make(kLhash, LockRank::SockHash);
}

}  // namespace xm::os
