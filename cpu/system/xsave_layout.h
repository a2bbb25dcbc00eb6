// SPDX-License-Identifier: GPL-2.0-or-later
// Sizes and places of the XSAVE area. With three components the compacted form lies like the standard one. [SDM1 13.4]
#pragma once

#include "emu/base/types.h"

namespace xm::cpu::system {

inline constexpr u32 kXsaveHeaderOffset = 512;
inline constexpr u32 kAvxStateOffset = 576;
inline constexpr u32 kAvxStateSize = 256;

// Bytes of an area that holds these components.
constexpr u32 xsave_standard_size(u64 components) {
  return (components & 4) != 0 ? kAvxStateOffset + kAvxStateSize : kAvxStateOffset;
}
constexpr u32 xsave_compacted_size(u64 components) { return xsave_standard_size(components); }

}  // namespace xm::cpu::system
