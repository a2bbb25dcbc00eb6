// SPDX-License-Identifier: GPL-2.0-or-later
// Bit scans, deposits, extracts and checksums as pure functions. [SDM2 PDEP, PEXT, CRC32, BEXTR, BZHI]
#pragma once

#include "cpu/state/lazy_flags.h"

namespace xm::cpu::semantics {

template <class T>
constexpr unsigned trailing_zeros(T value) {
  return value == 0 ? sizeof(T) * 8 : static_cast<unsigned>(__builtin_ctzll(value));
}
template <class T>
constexpr unsigned leading_zeros(T value) {
  return value == 0 ? sizeof(T) * 8 : static_cast<unsigned>(__builtin_clzll(value)) - (64 - sizeof(T) * 8);
}

template <class T>
constexpr T deposit_bits(T source, T mask) {
  T result = 0;
  for (T left = mask; left != 0; left &= static_cast<T>(left - 1)) {
    if (source & 1) result |= static_cast<T>(left & (0 - left));
    source >>= 1;
  }
  return result;
}

template <class T>
constexpr T extract_bits(T source, T mask) {
  T result = 0;
  unsigned to = 0;
  for (T left = mask; left != 0; left &= static_cast<T>(left - 1), ++to) {
    if (source & left & (0 - left)) result |= static_cast<T>(T{1} << to);
  }
  return result;
}

// CRC-32C (polynomial 11EDC6F41, bit-reflected), a byte at a time.
constexpr u32 crc32c(u32 crc, u64 data, unsigned size_bytes) {
  for (unsigned i = 0; i < size_bytes; ++i) {
    crc ^= static_cast<u8>(data >> (8 * i));
    for (unsigned bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0);
  }
  return crc;
}

}  // namespace xm::cpu::semantics
