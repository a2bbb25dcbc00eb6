// SPDX-License-Identifier: GPL-2.0-or-later
// The decompressor of the boot chain: LZMA with the 13-byte header of the ".lzma" format (properties, dictionary size,
// unpacked size). The whole output stays in memory, so it is its own dictionary. After "LZMA specification", I. Pavlov,
// 2015; names follow it. The input is ours, but a damaged disk can change it: a stream that runs wild ends in false,
// never outside the output.
#include "boot/core/types.h"

namespace xm::boot {
namespace {

constexpr u32 kStates = 12, kPosStatesMax = 16, kLenToPosStates = 4, kAlignBits = 4, kMatchMin = 2;
constexpr u32 kEndPosModel = 14, kFullDistances = 1 << (kEndPosModel / 2);

using Probability = u16;

struct LengthCoder {
  Probability choice, choice2;
  Probability low[kPosStatesMax][8], mid[kPosStatesMax][8], high[256];
};

// Every probability of the model, in one block so that one loop sets them all.
struct Model {
  Probability is_match[kStates][kPosStatesMax], is_rep[kStates], is_rep_g0[kStates], is_rep_g1[kStates],
      is_rep_g2[kStates];
  Probability is_rep0_long[kStates][kPosStatesMax];
  Probability pos_slot[kLenToPosStates][64], pos_special[1 + kFullDistances - kEndPosModel], align[1 << kAlignBits];
  LengthCoder length, rep_length;
  Probability literal[0x300 << 3];  // lc + lp of at most 3
};

class RangeDecoder {
 public:
  explicit RangeDecoder(const u8* in) : in_(in + 1) {
    for (int i = 0; i < 4; ++i) code_ = code_ << 8 | *in_++;
  }

  u32 bit(Probability& p) {
    normalize();
    const u32 bound = (range_ >> 11) * p;
    if (code_ < bound) {
      range_ = bound;
      p = static_cast<Probability>(p + ((2048 - p) >> 5));
      return 0;
    }
    code_ -= bound;
    range_ -= bound;
    p = static_cast<Probability>(p - (p >> 5));
    return 1;
  }

  u32 direct(u32 count) {
    u32 value = 0;
    for (; count != 0; --count) {
      normalize();
      range_ >>= 1;
      const u32 one = code_ >= range_ ? 1 : 0;
      if (one != 0) code_ -= range_;
      value = value << 1 | one;
    }
    return value;
  }

  u32 tree(Probability* p, u32 bits) {
    u32 m = 1;
    for (u32 i = 0; i < bits; ++i) m = m << 1 | bit(p[m]);
    return m - (1u << bits);
  }

  u32 reverse_tree(Probability* p, u32 bits) {
    u32 m = 1, value = 0;
    for (u32 i = 0; i < bits; ++i) {
      const u32 b = bit(p[m]);
      m = m << 1 | b;
      value |= b << i;
    }
    return value;
  }

 private:
  void normalize() {
    if (range_ >= 1u << 24) return;
    range_ <<= 8;
    code_ = code_ << 8 | *in_++;
  }

  const u8* in_;
  u32 range_ = 0xffffffff;
  u32 code_ = 0;
};

u32 decode_length(RangeDecoder& rc, LengthCoder& c, u32 pos_state) {
  if (rc.bit(c.choice) == 0) return rc.tree(c.low[pos_state], 3);
  if (rc.bit(c.choice2) == 0) return 8 + rc.tree(c.mid[pos_state], 3);
  return 16 + rc.tree(c.high, 8);
}

u32 decode_distance(RangeDecoder& rc, Model& m, u32 length) {
  const u32 slot = rc.tree(m.pos_slot[length < kLenToPosStates ? length : kLenToPosStates - 1], 6);
  if (slot < 4) return slot;
  const u32 bits = (slot >> 1) - 1;
  u32 distance = (2 | (slot & 1)) << bits;
  if (slot < kEndPosModel) return distance + rc.reverse_tree(m.pos_special + distance - slot, bits);
  distance += rc.direct(bits - kAlignBits) << kAlignBits;
  return distance + rc.reverse_tree(m.align, kAlignBits);
}

u8 decode_literal(RangeDecoder& rc, Probability* p, bool after_match, u32 match_byte) {
  u32 symbol = 1;
  if (after_match) {
    do {
      const u32 match_bit = match_byte >> 7 & 1;
      match_byte <<= 1;
      const u32 b = rc.bit(p[((1 + match_bit) << 8) + symbol]);
      symbol = symbol << 1 | b;
      if (match_bit != b) break;
    } while (symbol < 0x100);
  }
  while (symbol < 0x100) symbol = symbol << 1 | rc.bit(p[symbol]);
  return static_cast<u8>(symbol);
}

}  // namespace

// Unpacks `in` to `out`; `work` is room for the model (30 KiB). Returns 0 when the stream is damaged.
extern "C" int lzma_decode(const u8* in, u8* out, void* work) {
  const u32 lc = in[0] % 9, lp = in[0] / 9 % 5, pb = in[0] / 45;
  const u32 size = in[5] | in[6] << 8 | in[7] << 16 | static_cast<u32>(in[8]) << 24;
  if (pb > 4 || lc + lp > 3 || size > 0x48000) return 0;
  Model& m = *static_cast<Model*>(work);
  for (u32 i = 0; i < sizeof(Model) / sizeof(Probability); ++i) static_cast<Probability*>(work)[i] = 1024;
  RangeDecoder rc(in + 13);
  u32 rep0 = 0, rep1 = 0, rep2 = 0, rep3 = 0, state = 0;
  for (u32 at = 0; at < size;) {
    const u32 pos_state = at & ((1u << pb) - 1);
    if (rc.bit(m.is_match[state][pos_state]) == 0) {
      const u32 previous = at > 0 ? out[at - 1] : 0;
      const u32 context = ((at & ((1u << lp) - 1)) << lc) + (previous >> (8 - lc));
      if (state >= 7 && rep0 >= at) return 0;
      out[at] = decode_literal(rc, m.literal + 0x300 * context, state >= 7, state >= 7 ? out[at - rep0 - 1] : 0);
      ++at;
      state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
      continue;
    }
    u32 length = 0;
    if (rc.bit(m.is_rep[state]) != 0) {
      if (rc.bit(m.is_rep_g0[state]) == 0) {
        if (rc.bit(m.is_rep0_long[state][pos_state]) == 0) {
          if (rep0 >= at) return 0;
          state = state < 7 ? 9 : 11;
          out[at] = out[at - rep0 - 1];
          ++at;
          continue;
        }
      } else {
        u32 distance = rep1;
        if (rc.bit(m.is_rep_g1[state]) != 0) {
          distance = rep2;
          if (rc.bit(m.is_rep_g2[state]) != 0) {
            distance = rep3;
            rep3 = rep2;
          }
          rep2 = rep1;
        }
        rep1 = rep0;
        rep0 = distance;
      }
      length = decode_length(rc, m.rep_length, pos_state);
      state = state < 7 ? 8 : 11;
    } else {
      rep3 = rep2;
      rep2 = rep1;
      rep1 = rep0;
      length = decode_length(rc, m.length, pos_state);
      state = state < 7 ? 7 : 10;
      rep0 = decode_distance(rc, m, length);
      if (rep0 == 0xffffffff) return 0;  // end marker: we always give the size
    }
    length += kMatchMin;
    if (rep0 >= at || length > size - at) return 0;
    for (; length != 0; --length, ++at) out[at] = out[at - rep0 - 1];
  }
  return 1;
}

}  // namespace xm::boot
