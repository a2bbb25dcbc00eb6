// SPDX-License-Identifier: GPL-2.0-or-later
// SYN cookies: under a flood of requests the SYN-ACK's sequence number carries what the request would have kept (the
// MSS, two bits), the timestamp the options; the third segment brings it back. [RFC 4987, 3.6]
#include "kernel/drivers/random.h"
#include "kernel/net/tcp.h"

namespace xm::os {
namespace {

constexpr u16 kMssTable[] = {536, 1300, 1440, 1460};
constexpr u32 kCookieBits = 24, kCookieMask = (1u << kCookieBits) - 1;
constexpr u64 kPeriod = 60 * kNsPerSec;
constexpr u32 kMaxAge = 2;
constexpr u32 kTsWscale = 0xf, kTsSack = 1 << 4, kTsEcn = 1 << 5, kTsMask = 0x3f;
u64 cookie_secret[4];

u32 cookie_time() { return static_cast<u32>(ktime_get() / kPeriod); }

u32 cookie_hash(const in6_addr& saddr, const in6_addr& daddr, u32 ports, u32 count, u32 which) {
  if (cookie_secret[0] == 0) get_random_bytes(cookie_secret, sizeof cookie_secret);
  u64 h = cookie_secret[which] ^ saddr.quads[0];
  const u64 words[] = {saddr.quads[1], daddr.quads[0], daddr.quads[1], static_cast<u64>(ports) << 32 | count,
                       cookie_secret[which + 2]};
  for (const u64 w : words) {
    h = (h ^ w) * 0xff51afd7ed558ccdul;
    h ^= h >> 32;
    h *= 0xc4ceb9fe1a85ec53ul;
    h ^= h >> 29;
  }
  return static_cast<u32>(h);
}

u32 ports_of(const tcphdr* th) { return static_cast<u32>(th->source) << 16 | th->dest; }

// The index that was hidden in a cookie, or -1.
int check_tcp_syn_cookie(u32 cookie, const in6_addr& saddr, const in6_addr& daddr, u32 ports, u32 sseq) {
  const u32 count = cookie_time();
  cookie -= cookie_hash(saddr, daddr, ports, 0, 0) + sseq;
  const u32 age = (count - (cookie >> kCookieBits)) & (~0u >> kCookieBits);
  if (age >= kMaxAge) return -1;
  const u32 index = (cookie - cookie_hash(saddr, daddr, ports, count - age, 1)) & kCookieMask;
  return index < array_size(kMssTable) ? static_cast<int>(index) : -1;
}

}  // namespace

u32 cookie_init_sequence(const in6_addr& saddr, const in6_addr& daddr, const tcphdr* th, u16* mss) {
  u32 index = array_size(kMssTable) - 1;
  while (index > 0 && kMssTable[index] > *mss) --index;
  *mss = kMssTable[index];
  const u32 count = cookie_time(), ports = ports_of(th);
  return cookie_hash(saddr, daddr, ports, 0, 0) + ntohl(th->seq) + (count << kCookieBits) +
         ((cookie_hash(saddr, daddr, ports, count, 1) + index) & kCookieMask);
}

// The low bits of our timestamp hold the options.
u32 cookie_init_timestamp(request_sock* req) {
  u32 options = req->wscale_ok ? req->snd_wscale : kTsWscale;
  if (req->sack_ok) options |= kTsSack;
  if (req->ecn_ok) options |= kTsEcn;
  const u32 now = tcp_time_stamp_ms(ktime_get());
  u32 ts = (now & ~kTsMask) | options;
  if (ts > now) ts -= kTsMask + 1;
  return ts + req->ts_off;
}

// *valid: the cookie was ours, even if no connection could be made of it.
sock* cookie_check(sock* listener, sk_buff* skb, const tcp_request_sock_ops* ops, const in6_addr& saddr,
                   const in6_addr& daddr, bool* valid) {
  *valid = false;
  const tcphdr* th = tcp_hdr(skb);
  if (sysctl_tcp_syncookies == 0 || (th->flags & TCPHDR_ACK) == 0 || (th->flags & TCPHDR_RST) != 0) return nullptr;
  // Only while there was a flood lately: else every stray ACK would be tried.
  const u64 warned = inet_csk(listener)->icsk_accept_queue.synflood_warned;
  if (sysctl_tcp_syncookies != 2 && (warned == 0 || ktime_get() - warned > kMaxAge * kPeriod + 60 * kNsPerSec))
    return nullptr;
  const u32 cookie = ntohl(th->ack_seq) - 1;
  const int index = check_tcp_syn_cookie(cookie, saddr, daddr, ports_of(th), ntohl(th->seq) - 1);
  if (index < 0) {
    NET_INC(LINUX_MIB_SyncookiesFailed);
    return nullptr;
  }
  NET_INC(LINUX_MIB_SyncookiesRecv);
  *valid = true;
  tcp_options_received o;
  tcp_parse_options(skb, &o, nullptr, nullptr);
  request_sock* req = inet_reqsk_alloc(listener);
  if (req == nullptr) return nullptr;
  req->ops = ops;
  req->cookie = true;
  req->rcv_isn = ntohl(th->seq) - 1;
  req->rcv_nxt = req->rcv_isn + 1;
  req->snt_isn = cookie;
  req->mss = kMssTable[index];
  req->sk_family = listener->sk_family;
  req->sk_num = ntohs(th->dest);
  req->sk_dport = th->source;
  req->sk_v6_daddr = saddr;
  req->sk_v6_rcv_saddr = daddr;
  req->sk_bound_dev_if = req->ir_iif = listener->sk_bound_dev_if;
  req->mark = listener->sk_mark;
  if (o.saw_tstamp && o.rcv_tsecr != 0) {
    req->ts_off = secure_tcp_ts_off(daddr, saddr);
    const u32 options = (o.rcv_tsecr - req->ts_off) & kTsMask;
    req->tstamp_ok = true;
    req->ts_recent = o.rcv_tsval;
    req->sack_ok = (options & kTsSack) != 0;
    req->wscale_ok = (options & kTsWscale) != kTsWscale;
    req->snd_wscale = req->wscale_ok ? static_cast<u8>(options & kTsWscale) : 0;
    req->ecn_ok = (options & kTsEcn) != 0 && sysctl_tcp_ecn != 0;
  }
  dst_entry* dst = ops->route_req(listener, req);
  sock* child = nullptr;
  if (dst != nullptr) {
    req->rsk_window_clamp = tcp_sk(listener)->window_clamp;
    tcp_select_initial_window(static_cast<u32>(tcp_full_space(listener)), req->mss, &req->rsk_rcv_wnd,
                              &req->rsk_window_clamp, req->wscale_ok, &req->rcv_wscale, 0);
    bool own = false;
    child = tcp_create_child(listener, skb, req, dst, &own);
  }
  reqsk_put(req);
  return child;
}

}  // namespace xm::os
