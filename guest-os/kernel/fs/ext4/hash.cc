// SPDX-License-Identifier: GPL-2.0-or-later
// The hash functions of indexed directories: legacy, half MD4 and TEA, over signed or unsigned characters.
// [Linux Documentation/filesystems/ext4/directory: Hash Tree Directories]
#include "kernel/fs/ext4/ext4.h"
#include "kernel/lib/string.h"

namespace xm::os {
namespace {

constexpr u8 kLegacy = 0, kHalfMd4 = 1, kTea = 2;
constexpr u32 kEndOfHashes = 0xfffffffe;  // no name may have it

u32 rotate(u32 v, u32 n) { return v << n | v >> (32 - n); }
u32 letter(char c, bool is_signed) {
  return is_signed ? static_cast<u32>(static_cast<signed char>(c)) : static_cast<u32>(static_cast<u8>(c));
}

// Up to `words` words of the name, first letter highest, filled up with its length.
void pack(const char* name, u32 length, bool is_signed, u32* out, u32 words) {
  const u32 low = length & 0xff, pad = low | low << 8 | low << 16 | low << 24;
  for (u32 w = 0; w < words; ++w) {
    u32 value = pad;
    for (u32 i = 4 * w; i < min(length, 4 * w + 4); ++i) value = (value << 8) + letter(name[i], is_signed);
    out[w] = value;
  }
}

void half_md4(u32 state[4], const u32 in[8]) {
  static constexpr u8 kOrder[3][8] = {{0, 1, 2, 3, 4, 5, 6, 7}, {1, 3, 5, 7, 0, 2, 4, 6}, {3, 7, 2, 6, 1, 5, 0, 4}};
  static constexpr u8 kShift[3][4] = {{3, 7, 11, 19}, {3, 5, 9, 13}, {3, 9, 11, 15}};
  static constexpr u32 kAdd[3] = {0, 0x5a827999, 0x6ed9eba1};
  u32 a = state[0], b = state[1], c = state[2], d = state[3];
  for (u32 round = 0; round < 3; ++round) {
    for (u32 step = 0; step < 8; ++step) {
      const u32 mixed = round == 0 ? (d ^ (b & (c ^ d))) : round == 1 ? (b & c) + ((b ^ c) & d) : (b ^ c ^ d);
      const u32 next = rotate(a + mixed + in[kOrder[round][step]] + kAdd[round], kShift[round][step & 3]);
      a = d;
      d = c;
      c = b;
      b = next;
    }
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
}

void tea(u32 state[4], const u32 in[4]) {
  u32 sum = 0, x = state[0], y = state[1];
  for (u32 turn = 0; turn < 16; ++turn) {
    sum += 0x9e3779b9;
    x += ((y << 4) + in[0]) ^ (y + sum) ^ ((y >> 5) + in[1]);
    y += ((x << 4) + in[2]) ^ (x + sum) ^ ((x >> 5) + in[3]);
  }
  state[0] += x;
  state[1] += y;
}

u32 legacy(const char* name, u32 length, bool is_signed) {
  u32 last = 0x12a3fe2d, before = 0x37abe8f9;
  for (u32 i = 0; i < length; ++i) {
    u32 next = before + (last ^ (letter(name[i], is_signed) * 7152373));
    if ((next & 0x80000000) != 0) next -= 0x7fffffff;
    before = last;
    last = next;
  }
  return last << 1;
}

}  // namespace

int ext4_hash_name(const ext4_fs& fs, u8 version, const char* name, u32 length, ext4_hash& out) {
  const bool is_signed = version <= kTea && (fs.super.s_flags & EXT4_FLAGS_UNSIGNED_HASH) == 0;
  const u8 function = version > kTea ? static_cast<u8>(version - 3) : version;
  u32 state[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  const u32* seed = fs.super.s_hash_seed;
  if ((seed[0] | seed[1] | seed[2] | seed[3]) != 0) memcpy(state, seed, sizeof state);
  u32 in[8];
  switch (function) {
    case kLegacy: out = {legacy(name, length, is_signed), 0}; break;
    case kHalfMd4:
      for (u32 at = 0; at < length; at += 32) {
        pack(name + at, length - at, is_signed, in, 8);
        half_md4(state, in);
      }
      out = {state[1], state[2]};
      break;
    case kTea:
      for (u32 at = 0; at < length; at += 16) {
        pack(name + at, length - at, is_signed, in, 4);
        tea(state, in);
      }
      out = {state[0], state[1]};
      break;
    default: return -EOPNOTSUPP;
  }
  out.major &= ~1u;
  if (out.major == kEndOfHashes) out.major -= 2;
  return 0;
}

}  // namespace xm::os
