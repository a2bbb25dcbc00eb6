// SPDX-License-Identifier: GPL-2.0-or-later
// DEFLATE with canonical Huffman codes decoded by counting, a 32 KiB window, and the gzip wrapper with its CRC. [RFC
// 1951], [RFC 1952]
#include "kernel/lib/inflate.h"

#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

constexpr u32 kWindow = 32768;
constexpr u32 kFastBits = 10;

struct Huffman {
  u16 fast[1 << kFastBits];  // length << 12... packed: (symbol << 4) | length; 0: longer code
  u16 count[16];
  u16 symbol[288];
};

struct State {
  const u8* in;
  size_t size, at = 0;
  u64 bits = 0;
  u32 bit_count = 0;
  bool bad = false;
  u8 window[kWindow];
  u32 fill = 0;
  byte_sink* out;
  u32 crc = 0xffffffff;
  u32 total = 0;
  u32 crc_table[256];
  Huffman literal, distance;
};

void need(State& s, u32 n) {
  while (s.bit_count < n) {
    if (s.at >= s.size) {
      s.bad = true;
      s.bit_count += 8;
      continue;
    }
    s.bits |= static_cast<u64>(s.in[s.at++]) << s.bit_count;
    s.bit_count += 8;
  }
}
u32 take(State& s, u32 n) {
  if (n == 0) return 0;
  need(s, n);
  const u32 v = static_cast<u32>(s.bits & ((1ul << n) - 1));
  s.bits >>= n;
  s.bit_count -= n;
  return v;
}

void flush(State& s) {
  for (u32 i = 0; i < s.fill; ++i) s.crc = s.crc_table[(s.crc ^ s.window[i]) & 0xff] ^ (s.crc >> 8);
  if (!s.out->write(s.window, s.fill)) s.bad = true;
  s.total += s.fill;
  s.fill = 0;
}
void emit(State& s, u8 b) {
  s.window[s.fill++] = b;
  if (s.fill == kWindow) flush(s);
}

bool build(Huffman& h, const u8* lengths, u32 n) {
  memset(h.count, 0, sizeof h.count);
  memset(h.fast, 0, sizeof h.fast);
  for (u32 i = 0; i < n; ++i) ++h.count[lengths[i]];
  h.count[0] = 0;
  u16 offsets[16]{}, next_code[16]{};
  u32 code = 0;
  for (u32 l = 1; l < 16; ++l) {
    offsets[l] = static_cast<u16>(l == 1 ? 0 : offsets[l - 1] + h.count[l - 1]);
    code = (code + (l == 1 ? 0u : h.count[l - 1])) << 1;
    next_code[l] = static_cast<u16>(code);
    if (code + h.count[l] > 1u << l) return false;
  }
  for (u32 i = 0; i < n; ++i) {
    const u32 l = lengths[i];
    if (l == 0) continue;
    h.symbol[offsets[l]++] = static_cast<u16>(i);
    u32 c = next_code[l]++, reversed = 0;
    if (l > kFastBits) continue;
    for (u32 b = 0; b < l; ++b) reversed |= ((c >> b) & 1) << (l - 1 - b);
    for (u32 f = reversed; f < 1u << kFastBits; f += 1u << l) h.fast[f] = static_cast<u16>(i << 4 | l);
  }
  return true;
}

int decode(State& s, const Huffman& h) {
  while (s.bit_count < 15 && s.at < s.size) {
    s.bits |= static_cast<u64>(s.in[s.at++]) << s.bit_count;
    s.bit_count += 8;
  }
  const u16 hit = h.fast[s.bits & ((1u << kFastBits) - 1)];
  if (hit != 0 && (hit & 15) <= s.bit_count) {
    s.bits >>= hit & 15;
    s.bit_count -= hit & 15;
    return hit >> 4;
  }
  int code = 0, first = 0, index = 0;
  for (u32 l = 1; l < 16; ++l) {
    code |= static_cast<int>(take(s, 1));
    const int count = h.count[l];
    if (code - count < first) return h.symbol[index + (code - first)];
    index += count;
    first = (first + count) << 1;
    code <<= 1;
  }
  s.bad = true;
  return -1;
}

void codes(State& s) {
  static constexpr u16 kLengthBase[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                          31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
  static constexpr u8 kLengthExtra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                          2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
  static constexpr u16 kDistanceBase[30] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                            33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                            1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
  static constexpr u8 kDistanceExtra[30] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                            6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};
  while (!s.bad) {
    const int symbol = decode(s, s.literal);
    if (symbol < 0 || symbol == 256) return;
    if (symbol < 256) {
      emit(s, static_cast<u8>(symbol));
      continue;
    }
    if (symbol > 285) break;
    const u32 length = kLengthBase[symbol - 257] + take(s, kLengthExtra[symbol - 257]);
    const int d = decode(s, s.distance);
    if (d < 0 || d > 29) break;
    const u32 distance = kDistanceBase[d] + take(s, kDistanceExtra[d]);
    if (distance > s.total + s.fill) break;
    for (u32 i = 0; i < length; ++i) emit(s, s.window[(s.fill + kWindow - distance) % kWindow]);
  }
  s.bad = true;
}

void fixed_block(State& s) {
  u8 lengths[288];
  for (u32 i = 0; i < 288; ++i) lengths[i] = i < 144 ? 8 : (i < 256 ? 9 : (i < 280 ? 7 : 8));
  build(s.literal, lengths, 288);
  memset(lengths, 5, 30);
  build(s.distance, lengths, 30);
  codes(s);
}

void dynamic_block(State& s) {
  static constexpr u8 kOrder[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  const u32 literals = take(s, 5) + 257, distances = take(s, 5) + 1, code_count = take(s, 4) + 4;
  u8 lengths[320]{};
  if (literals > 286 || distances > 30) {
    s.bad = true;
    return;
  }
  for (u32 i = 0; i < code_count; ++i) lengths[kOrder[i]] = static_cast<u8>(take(s, 3));
  if (!build(s.literal, lengths, 19)) s.bad = true;
  memset(lengths, 0, sizeof lengths);
  for (u32 i = 0; i < literals + distances && !s.bad;) {
    const int symbol = decode(s, s.literal);
    if (symbol < 0) return;
    if (symbol < 16) {
      lengths[i++] = static_cast<u8>(symbol);
      continue;
    }
    u8 value = 0;
    u32 repeat;
    if (symbol == 16) {
      if (i == 0)
        s.bad = true;
      else
        value = lengths[i - 1];
      repeat = 3 + take(s, 2);
    } else {
      repeat = symbol == 17 ? 3 + take(s, 3) : 11 + take(s, 7);
    }
    if (i + repeat > literals + distances) {
      s.bad = true;
      return;
    }
    while (repeat-- > 0) lengths[i++] = value;
  }
  if (s.bad || !build(s.literal, lengths, literals) || !build(s.distance, lengths + literals, distances)) {
    s.bad = true;
    return;
  }
  codes(s);
}

void stored_block(State& s) {
  s.bits = 0;
  s.at -= s.bit_count / 8;
  s.bit_count = 0;
  if (s.at + 4 > s.size) {
    s.bad = true;
    return;
  }
  const u32 length = s.in[s.at] | static_cast<u32>(s.in[s.at + 1]) << 8;
  s.at += 4;
  if (s.at + length > s.size) {
    s.bad = true;
    return;
  }
  for (u32 i = 0; i < length; ++i) emit(s, s.in[s.at++]);
}

// Length of the gzip header, or 0.
size_t header_length(const u8* in, size_t n) {
  if (n < 18 || in[0] != 0x1f || in[1] != 0x8b || in[2] != 8) return 0;
  const u8 flags = in[3];
  size_t at = 10;
  if ((flags & 4) != 0) at += 2u + in[at] + (static_cast<size_t>(in[at + 1]) << 8);
  for (u8 bit = 8; bit <= 16; bit = static_cast<u8>(bit << 1)) {
    if ((flags & bit) == 0) continue;
    while (at < n && in[at] != 0) ++at;
    ++at;
  }
  if ((flags & 2) != 0) at += 2;
  return at < n ? at : 0;
}

}  // namespace

long gunzip(const u8* in, size_t n, byte_sink& out) {
  const size_t start = header_length(in, n);
  if (start == 0) return -1;
  State* s = knew<State>();
  if (s == nullptr) return -1;
  s->in = in;
  s->size = n;
  s->at = start;
  s->out = &out;
  for (u32 i = 0; i < 256; ++i) {
    u32 c = i;
    for (int k = 0; k < 8; ++k) c = (c & 1) != 0 ? 0xedb88320 ^ (c >> 1) : c >> 1;
    s->crc_table[i] = c;
  }
  for (bool last = false; !last && !s->bad;) {
    last = take(*s, 1) != 0;
    switch (take(*s, 2)) {
      case 0: stored_block(*s); break;
      case 1: fixed_block(*s); break;
      case 2: dynamic_block(*s); break;
      default: s->bad = true;
    }
  }
  if (!s->bad) flush(*s);
  size_t end = s->at - s->bit_count / 8;
  if (!s->bad && end + 8 <= n) {
    u32 crc;
    memcpy(&crc, in + end, 4);
    if (crc != ~s->crc) s->bad = true;
    end += 8;
  } else {
    s->bad = true;
  }
  const bool bad = s->bad;
  kdelete(s);
  return bad ? -1 : static_cast<long>(end);
}

}  // namespace xm::os
