// SPDX-License-Identifier: GPL-2.0-or-later
// Basic vocabulary of the whole emulator: fixed-width integers and strong types for quantities that must not be
// mixed up. A strong type is a plain value: no allocation, no hidden conversion; `.value` is the number.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace xm {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;
__extension__ using u128 = unsigned __int128;
__extension__ using i128 = __int128;

// One number with a unit. `Tag` only tells types apart.
template <class Tag, class Number = u64>
struct Quantity {
  Number value{};
  constexpr auto operator<=>(const Quantity&) const = default;
  constexpr Quantity operator+(Number n) const { return {static_cast<Number>(value + n)}; }
  constexpr Quantity operator-(Number n) const { return {static_cast<Number>(value - n)}; }
  constexpr Number operator-(Quantity other) const { return static_cast<Number>(value - other.value); }
};

using GuestPhys = Quantity<struct GuestPhysTag>;      // physical address on the guest's bus
using GuestLinear = Quantity<struct GuestLinearTag>;  // linear address, after segmentation, before paging
using Port = Quantity<struct PortTag, u16>;           // x86 I/O port
using Gsi = Quantity<struct GsiTag, u32>;             // global system interrupt number [ACPI 5.2.13]
using Nanos = Quantity<struct NanosTag, i64>;         // guest time in nanoseconds
using Sector = Quantity<struct SectorTag>;            // 512-byte disk sector number

inline constexpr u64 kPageSize = 4096;
inline constexpr u64 kPageMask = kPageSize - 1;

}  // namespace xm
