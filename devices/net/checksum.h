// SPDX-License-Identifier: GPL-2.0-or-later
// The Internet checksum [RFC 1071] for cards that insert it.
#pragma once

#include <span>

#include "emu/base/types.h"

namespace xm::devices {

// The ones'-complement sum of big-endian words, folded to 16 bits; not yet inverted.
inline u16 internet_sum(std::span<const u8> bytes) {
  u64 sum = 0;
  std::size_t i = 0;
  for (; i + 1 < bytes.size(); i += 2) sum += static_cast<u32>(bytes[i] << 8 | bytes[i + 1]);
  if (i < bytes.size()) sum += static_cast<u32>(bytes[i] << 8);
  while (sum >> 16 != 0) sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<u16>(sum);
}

inline u16 load_be16(const u8* from) { return static_cast<u16>(from[0] << 8 | from[1]); }
inline void store_be16(u8* to, u32 value) {
  to[0] = static_cast<u8>(value >> 8);
  to[1] = static_cast<u8>(value);
}

}  // namespace xm::devices
