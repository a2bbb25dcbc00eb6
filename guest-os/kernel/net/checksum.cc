// SPDX-License-Identifier: GPL-2.0-or-later
// The Internet checksum [RFC 1071, RFC 1624]: one's complement sums over memory, pseudo-headers and socket buffers.
// Sums are kept in the byte order of the data, so no bytes are swapped on the way.
#include "kernel/lib/string.h"
#include "kernel/net/skb_walk.h"

namespace xm::os {
namespace {

u32 fold64(u64 sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  return static_cast<u32>(sum);
}

// Eight words a round with the carry kept in the flags.
u64 add_blocks(const u8*& p, u32 blocks, u64 sum) {
  u64 carry = 0;
  for (; blocks > 0; --blocks, p += 64) {
    asm("addq 0(%[p]), %[s]\n\tadcq 8(%[p]), %[s]\n\tadcq 16(%[p]), %[s]\n\tadcq 24(%[p]), %[s]\n\t"
        "adcq 32(%[p]), %[s]\n\tadcq 40(%[p]), %[s]\n\tadcq 48(%[p]), %[s]\n\tadcq 56(%[p]), %[s]\n\t"
        "adcq $0, %[s]"
        : [s] "+r"(sum)
        : [p] "r"(p), "m"(*reinterpret_cast<const u8(*)[64]>(p))
        : "cc");
  }
  return sum + carry;
}

u64 add_carry(u64 sum, u64 v) {
  const u64 s = sum + v;
  return s + (s < v ? 1 : 0);
}

u16 fold_plain(u64 sum) {
  u32 s = fold64(sum);
  s = (s & 0xffff) + (s >> 16);
  s = (s & 0xffff) + (s >> 16);
  return static_cast<u16>(s);
}

}  // namespace

u32 csum_add(u32 a, u32 b) {
  const u32 s = a + b;
  return s + (s < b ? 1 : 0);
}

u16 csum_fold(u32 sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<u16>(~sum);
}

u32 csum_partial(const void* data, u32 length, u32 initial) {
  const u8* p = static_cast<const u8*>(data);
  u64 sum = add_blocks(p, length / 64, initial);
  length %= 64;
  for (; length >= 8; length -= 8, p += 8) {
    u64 v;
    memcpy(&v, p, 8);
    sum = add_carry(sum, v);
  }
  if (length > 0) {
    u64 v = 0;
    memcpy(&v, p, length);
    sum = add_carry(sum, v);
  }
  return fold64(sum);
}

u16 ip_fast_csum(const void* header, u32 words) { return csum_fold(csum_partial(header, words * 4, 0)); }

u16 csum_tcpudp_magic(u32 saddr, u32 daddr, u32 length, u8 protocol, u32 sum) {
  const u64 s = static_cast<u64>(sum) + saddr + daddr + (static_cast<u64>(length + protocol) << 8);
  return static_cast<u16>(~fold_plain(s));
}

u16 csum_ipv6_magic(const void* saddr, const void* daddr, u32 length, u8 protocol, u32 sum) {
  u64 s = csum_partial(saddr, 16, sum);
  s += csum_partial(daddr, 16, 0);
  s += __builtin_bswap32(length);
  s += static_cast<u64>(protocol) << 24;
  return static_cast<u16>(~fold_plain(s));
}

u32 skb_checksum(const sk_buff* skb, u32 offset, u32 length, u32 sum) {
  if (offset <= skb_headlen(skb) && length <= skb_headlen(skb) - offset)
    return csum_partial(skb->data + offset, length, sum);
  u32 done = 0;
  skb_walk(skb, offset, length, [&](const u8* bytes, u32 n) {
    u32 part = csum_partial(bytes, n, 0);
    // A piece that begins at an odd place contributes with its bytes swapped [RFC 1071 2(B)].
    if ((done & 1) != 0) part = __builtin_bswap32(part);
    sum = csum_add(sum, part);
    done += n;
    return 0;
  });
  return sum;
}

int skb_checksum_help(sk_buff* skb) {
  if (skb->ip_summed != CHECKSUM_PARTIAL) return 0;
  const u32 start = skb->csum_start - skb_headroom(skb), store = start + skb->csum_offset;
  if (start > skb->len || store + 2 > skb->len) return -EINVAL;
  TRY_INT(skb_ensure_writable(skb, store + 2));
  u16 sum = csum_fold(skb_checksum(skb, start, skb->len - start, 0));
  if (sum == 0) sum = 0xffff;  // zero means "none" to UDP and is the same number to the others
  memcpy(skb->data + store, &sum, 2);
  skb->ip_summed = CHECKSUM_NONE;
  return 0;
}

}  // namespace xm::os
