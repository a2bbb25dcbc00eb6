// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/semantics/vector_string.h"

#include <algorithm>
#include <array>
#include <bit>

#include "emu/base/bits.h"

namespace xm::cpu::semantics {
namespace {

// One source string: elements widened to int, and how many of them are valid.
struct Elements {
  std::array<int, 16> value{};
  unsigned length = 0;
};

Elements read_elements(const VectorRegister& r, unsigned length, bool words, bool is_signed) {
  Elements elements;
  const unsigned count = words ? 8 : 16;
  for (unsigned i = 0; i < count; ++i) {
    const unsigned width = words ? 16 : 8;
    const u64 raw = bits(r.q[i * width / 64], i * width % 64 + width - 1, i * width % 64);
    elements.value[i] = static_cast<int>(is_signed ? sign_extend(raw, width) : static_cast<i64>(raw));
  }
  if (length == kImplicitLength) {
    length = static_cast<unsigned>(std::find(elements.value.begin(), elements.value.begin() + count, 0) -
                                   elements.value.begin());
  }
  elements.length = std::min(length, count);
  return elements;
}

bool is_any(const Elements& set, int value) {
  return std::find(set.value.begin(), set.value.begin() + set.length, value) != set.value.begin() + set.length;
}

bool in_ranges(const Elements& ranges, int value) {
  for (unsigned i = 0; i + 1 < ranges.length; i += 2) {
    if (value >= ranges.value[i] && value <= ranges.value[i + 1]) return true;
  }
  return false;
}

// Does the whole of `needle` that still fits stand in `text` at `position`?
bool stands_at(const Elements& needle, const Elements& text, unsigned position, unsigned count) {
  for (unsigned i = 0; position + i < count && i < needle.length; ++i) {
    if (position + i >= text.length || needle.value[i] != text.value[position + i]) return false;
  }
  return true;
}

bool aggregate(unsigned how, const Elements& a, const Elements& b, unsigned i, unsigned count) {
  const bool a_valid = i < a.length, b_valid = i < b.length;
  switch (how) {
    case 0: return b_valid && is_any(a, b.value[i]);
    case 1: return b_valid && in_ranges(a, b.value[i]);
    case 2: return a_valid && b_valid ? a.value[i] == b.value[i] : a_valid == b_valid;
    default: return stands_at(a, b, i, count);
  }
}

}  // namespace

StringCompare compare_strings(const VectorRegister& a, unsigned a_length, const VectorRegister& b, unsigned b_length,
                              unsigned imm) {
  const bool words = has_bit(imm, 0), is_signed = has_bit(imm, 1), last_or_wide = has_bit(imm, 6);
  const unsigned count = words ? 8 : 16;
  const Elements left = read_elements(a, a_length, words, is_signed);
  const Elements right = read_elements(b, b_length, words, is_signed);

  u32 result = 0;
  for (unsigned i = 0; i < count; ++i) result |= u32{aggregate(imm >> 2 & 3, left, right, i, count)} << i;
  const u32 all = (1u << count) - 1, valid = (1u << right.length) - 1;
  if (has_bit(imm, 4)) result ^= has_bit(imm, 5) ? valid : all;

  StringCompare out;
  out.index = count;
  if (result != 0) {
    out.index = static_cast<u32>(last_or_wide ? std::bit_width(result) - 1 : std::countr_zero(result));
  }
  if (!last_or_wide) {
    out.mask.q[0] = result;
  } else {
    const unsigned width = words ? 16 : 8;
    for (unsigned i = 0; i < count; ++i) {
      if (has_bit(result, i)) out.mask.q[i * width / 64] |= mask_of_bytes(width / 8) << i * width % 64;
    }
  }
  out.flags = (result != 0 ? flag::kCf : 0) | (right.length < count ? flag::kZf : 0) |
              (left.length < count ? flag::kSf : 0) | (result & 1 ? flag::kOf : 0);
  return out;
}

}  // namespace xm::cpu::semantics
