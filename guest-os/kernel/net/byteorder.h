// SPDX-License-Identifier: GPL-2.0-or-later
// Network byte order: be16 and be32 name words that are in it.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

using be16 = u16;
using be32 = u32;

constexpr be16 htons(u16 v) { return __builtin_bswap16(v); }
constexpr u16 ntohs(be16 v) { return __builtin_bswap16(v); }
constexpr be32 htonl(u32 v) { return __builtin_bswap32(v); }
constexpr u32 ntohl(be32 v) { return __builtin_bswap32(v); }

template <class T>
T get_unaligned(const void* p) {
  T v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
void put_unaligned(T v, void* p) {
  __builtin_memcpy(p, &v, sizeof v);
}

// An address of either family. Sockets and hash tables keep IPv4 addresses in their mapped form ::ffff:a.b.c.d
// [RFC 4291, 2.5.5.2], so that one table serves both.
union in6_addr {
  u8 bytes[16];
  be16 words16[8];
  be32 words[4];
  u64 quads[2] = {0, 0};
  bool operator==(const in6_addr& o) const { return quads[0] == o.quads[0] && quads[1] == o.quads[1]; }
  bool v4mapped() const { return quads[0] == 0 && words[2] == htonl(0xffff); }
  // :: or ::ffff:0.0.0.0
  bool any() const { return quads[0] == 0 && words[3] == 0 && (words[2] == 0 || words[2] == htonl(0xffff)); }
  bool multicast() const { return bytes[0] == 0xff || (v4mapped() && (bytes[12] & 0xf0) == 0xe0); }
  bool linklocal() const { return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80; }
};
static_assert(sizeof(in6_addr) == 16);
inline in6_addr v4mapped(be32 a) {
  in6_addr r;
  r.words[2] = htonl(0xffff);
  r.words[3] = a;
  return r;
}

constexpr bool ipv4_is_multicast(be32 a) { return (a & htonl(0xf0000000)) == htonl(0xe0000000); }
constexpr bool ipv4_is_loopback(be32 a) { return (a & htonl(0xff000000)) == htonl(0x7f000000); }
constexpr bool ipv4_is_zeronet(be32 a) { return (a & htonl(0xff000000)) == 0; }
constexpr bool ipv4_is_lbcast(be32 a) { return a == 0xffffffff; }
constexpr bool ipv4_is_linklocal(be32 a) { return (a & htonl(0xffff0000)) == htonl(0xa9fe0000); }

// Arithmetic of sequence numbers and times that wrap.
constexpr bool before(u32 a, u32 b) { return static_cast<s32>(a - b) < 0; }
constexpr bool after(u32 a, u32 b) { return before(b, a); }

}  // namespace xm::os
