// SPDX-License-Identifier: GPL-2.0-or-later
// What all protocols share: the options of SOL_SOCKET [man 7 socket], time-outs, control messages [man 3 cmsg].
#include "kernel/net/sock.h"

#include "kernel/net/packet/filter.h"
#include "kernel/sched/clock.h"
#include "kernel/syscall/convert.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

int sock_error(sock* sk) {
  if (sk->sk_err.load() == 0) return 0;
  return -sk->sk_err.exchange(0);
}

u64 sock_deadline(u64 timeout) { return timeout == kNoTimeout ? 0 : ktime_get() + timeout; }

namespace {

constexpr u32 kMaxSockBuf = 212992;  // net.core.{r,w}mem_max

bool* flag_of(sock* sk, int name) {
  switch (name) {
    case SO_DEBUG: return &sk->sk_debug;
    case SO_REUSEADDR: return &sk->sk_reuseaddr;
    case SO_REUSEPORT: return &sk->sk_reuseport;
    case SO_DONTROUTE: return &sk->sk_dontroute;
    case SO_BROADCAST: return &sk->sk_broadcast;
    case SO_KEEPALIVE: return &sk->sk_keepalive;
    case SO_OOBINLINE: return &sk->sk_oobinline;
    case SO_PASSCRED: return &sk->sk_passcred;
    case SO_TIMESTAMP: return &sk->sk_timestamp;
    case SO_TIMESTAMPNS: return &sk->sk_timestampns;
    case SO_NO_CHECK: return &sk->sk_no_check;
    case SO_RXQ_OVFL: return &sk->sk_rxq_ovfl;
    default: return nullptr;
  }
}

// 32-bit programs have 32-bit words in the old form of the option.
bool short_timeval(int name) {
  return (name == SO_RCVTIMEO || name == SO_SNDTIMEO) && compat_mode(task_pt_regs(current));
}

int set_timeout(int name, u64& timeout, u64 user, u32 length) {
  timeval_abi tv;
  if (short_timeval(name)) {
    s32 words[2];
    if (length < sizeof words) return -EINVAL;
    TRY_INT(get_user_at(words, user));
    tv = {words[0], words[1]};
  } else {
    if (length < sizeof tv) return -EINVAL;
    TRY_INT(get_user_at(tv, user));
  }
  if (tv.tv_usec < 0 || tv.tv_usec >= 1000000) return -EDOM;
  if (tv.tv_sec < 0) {
    timeout = 0;
    return 0;
  }
  timeout = kNoTimeout;
  if (tv.tv_sec == 0 && tv.tv_usec == 0) return 0;
  if (tv.tv_sec < 1000000000) timeout = static_cast<u64>(tv.tv_sec) * kNsPerSec + static_cast<u64>(tv.tv_usec) * 1000;
  return 0;
}

int set_linger(sock* sk, u64 user, u32 length) {
  linger_abi l;
  if (length < sizeof l) return -EINVAL;
  TRY_INT(get_user_at(l, user));
  sk->sk_linger = l.on == 0 ? -1 : max(l.seconds, 0);
  return 0;
}

}  // namespace

int sock_setsockopt(socket* s, int name, u64 user, u32 length) {
  sock* sk = s->sk;
  if (name == SO_ATTACH_FILTER && sk->sk_prot != nullptr) return sk_attach_filter(sk, user, length);
  if (name == SO_DETACH_FILTER && sk->sk_prot != nullptr) return sk_detach_filter(sk);
  if (name == SO_BINDTODEVICE) return s->ops->setsockopt(s, SOL_SOCKET, name, user, length);
  int value;
  if (length < sizeof value) return -EINVAL;
  TRY_INT(get_user_at(value, user));
  if (name == SO_DEBUG && value != 0 && !capable(CAP_NET_ADMIN)) return -EACCES;
  if (bool* flag = flag_of(sk, name); flag != nullptr) {
    *flag = value != 0;
    if (name == SO_KEEPALIVE && sk->sk_prot != nullptr) {
      SockGuard guard(sk);
      sk->sk_prot->keepalive(sk, value != 0);
    }
    return 0;
  }
  // Linux keeps twice what is asked for: room for its own bookkeeping.
  const u32 doubled = 2 * min(static_cast<u32>(max(value, 0)), 0x3fffffffu);
  switch (name) {
    case SO_TYPE:
    case SO_PROTOCOL:
    case SO_DOMAIN:
    case SO_ERROR: return -ENOPROTOOPT;
    case SO_SNDBUFFORCE:
      if (!capable(CAP_NET_ADMIN)) return -EPERM;
      [[fallthrough]];
    case SO_SNDBUF:
      sk->sk_sndbuf = max(name == SO_SNDBUF ? min(doubled, 2 * kMaxSockBuf) : doubled, kSockSndBufMin);
      sk->sk_userlocks |= SOCK_SNDBUF_LOCK;
      return 0;
    case SO_RCVBUFFORCE:
      if (!capable(CAP_NET_ADMIN)) return -EPERM;
      [[fallthrough]];
    case SO_RCVBUF:
      sk->sk_rcvbuf = max(name == SO_RCVBUF ? min(doubled, 2 * kMaxSockBuf) : doubled, kSockBufMin);
      sk->sk_userlocks |= SOCK_RCVBUF_LOCK;
      return 0;
    case SO_PRIORITY:
      if ((value < 0 || value > 6) && !capable(CAP_NET_ADMIN)) return -EPERM;
      sk->sk_priority = static_cast<u32>(value);
      return 0;
    case SO_MARK:
      if (!capable(CAP_NET_ADMIN)) return -EPERM;
      sk->sk_mark = static_cast<u32>(value);
      return 0;
    case SO_LINGER: return set_linger(sk, user, length);
    case SO_BSDCOMPAT: return 0;
    case SO_RCVLOWAT: sk->sk_rcvlowat = value < 0 ? 0x7fffffff : max(value, 1); return 0;
    case SO_RCVTIMEO:
    case SO_RCVTIMEO_NEW: return set_timeout(name, sk->sk_rcvtimeo, user, length);
    case SO_SNDTIMEO:
    case SO_SNDTIMEO_NEW: return set_timeout(name, sk->sk_sndtimeo, user, length);
    default: return s->ops->setsockopt(s, SOL_SOCKET, name, user, length);
  }
}

int put_option(u64 user, u64 user_length, const void* value, u32 length) {
  int room;
  TRY_INT(get_user_at(room, user_length));
  if (room < 0) return -EINVAL;
  const u32 n = min(static_cast<u32>(room), length);
  TRY_INT(copy_to_user(reinterpret_cast<void*>(user), value, n));
  return put_user_at(static_cast<int>(n), user_length);
}

int sock_getsockopt(socket* s, int name, u64 user, u64 user_length) {
  sock* sk = s->sk;
  int length;
  TRY_INT(get_user_at(length, user_length));
  if (length < 0) return -EINVAL;
  const auto put_int = [&](int v) { return put_option(user, user_length, &v, sizeof v); };
  const auto put_time = [&](u64 ns) {
    const timeval_abi tv = ns_to_timeval(ns == kNoTimeout ? 0 : ns);
    const s32 words[2] = {static_cast<s32>(tv.tv_sec), static_cast<s32>(tv.tv_usec)};
    if (short_timeval(name)) return put_option(user, user_length, words, sizeof words);
    return put_option(user, user_length, &tv, sizeof tv);
  };
  if (const bool* flag = flag_of(sk, name); flag != nullptr) return put_int(*flag);
  switch (name) {
    case SO_TYPE: return put_int(sk->sk_type);
    case SO_PROTOCOL: return put_int(sk->sk_protocol);
    case SO_DOMAIN: return put_int(sk->sk_family);
    case SO_ERROR: return put_int(-sock_error(sk));
    case SO_SNDBUF: return put_int(static_cast<int>(sk->sk_sndbuf));
    case SO_RCVBUF: return put_int(static_cast<int>(sk->sk_rcvbuf));
    case SO_PRIORITY: return put_int(static_cast<int>(sk->sk_priority));
    case SO_MARK: return put_int(static_cast<int>(sk->sk_mark));
    case SO_RCVLOWAT: return put_int(sk->sk_rcvlowat);
    case SO_SNDLOWAT: return put_int(1);
    case SO_BSDCOMPAT: return put_int(0);
    case SO_ACCEPTCONN: return put_int(sk->sk_listening);
    case SO_INCOMING_CPU: return put_int(-1);
    case SO_LINGER: {
      const linger_abi l{sk->sk_linger >= 0, max(sk->sk_linger, 0)};
      return put_option(user, user_length, &l, sizeof l);
    }
    case SO_RCVTIMEO:
    case SO_RCVTIMEO_NEW: return put_time(sk->sk_rcvtimeo);
    case SO_SNDTIMEO:
    case SO_SNDTIMEO_NEW: return put_time(sk->sk_sndtimeo);
    case SO_PEERCRED: return put_option(user, user_length, &sk->sk_peercred, sizeof sk->sk_peercred);
    case SO_PEERNAME: {
      sockaddr_storage address{};
      const int n = s->ops->getname(s, address, true);
      if (n < 0) return -ENOTCONN;
      if (n < length) return -EINVAL;
      return put_option(user, user_length, &address, static_cast<u32>(n));
    }
    default: return s->ops->getsockopt(s, SOL_SOCKET, name, user, length, user_length);
  }
}

// --- control messages ---
namespace {
bool compat(const msghdr& m) { return (m.flags & MSG_CMSG_COMPAT) != 0; }
u64 header_size(const msghdr& m) { return compat(m) ? sizeof(cmsghdr32) : sizeof(cmsghdr); }
u64 cmsg_align(const msghdr& m, u64 n) { return align_up(n, compat(m) ? 4 : 8); }
}  // namespace

u64 cmsg_room(const msghdr& m) {
  const u64 header = header_size(m);
  return m.user_control == 0 || m.user_control_left <= header ? 0 : m.user_control_left - header;
}

void put_cmsg(msghdr& m, int level, int type, const void* data, u32 length) {
  const u64 header = header_size(m);
  if (m.user_control == 0 || m.user_control_left < header) {
    m.out_flags |= MSG_CTRUNC;
    return;
  }
  u64 whole = header + length;
  if (m.user_control_left < whole) {
    m.out_flags |= MSG_CTRUNC;
    whole = m.user_control_left;
  }
  const cmsghdr h{whole, level, type};
  const cmsghdr32 h32{static_cast<u32>(whole), level, type};
  const void* text = compat(m) ? static_cast<const void*>(&h32) : &h;
  if (copy_to_user(reinterpret_cast<void*>(m.user_control), text, header) != 0 ||
      copy_to_user(reinterpret_cast<void*>(m.user_control + header), data, whole - header) != 0)
    return;
  const u64 step = min(cmsg_align(m, whole), m.user_control_left);
  m.user_control += step;
  m.user_control_left -= step;
}

const cmsghdr* next_cmsg(const msghdr& m, u64& at, int* error) {
  *error = 0;
  if (at + sizeof(cmsghdr) > m.control_len) return nullptr;
  const cmsghdr* h = reinterpret_cast<const cmsghdr*>(m.control + at);
  if (h->length < sizeof(cmsghdr) || h->length > m.control_len - at) {
    *error = -EINVAL;
    return nullptr;
  }
  at += align_up(h->length, 8);
  return h;
}

}  // namespace xm::os
