// SPDX-License-Identifier: GPL-2.0-or-later
// Segment and gate descriptors as they stand in the GDT, LDT and IDT, and the checked way to read and mark them.
// [SDM3 3.4.5, 5.8, 7.2]
#pragma once

#include "cpu/vcpu/vcpu.h"

namespace xm::cpu::system {

// Types of system descriptors (S = 0) [SDM3 table 3-2].
namespace descriptor_type {
inline constexpr unsigned kTss16Available = 1, kLdt = 2, kTss16Busy = 3, kCallGate16 = 4, kTaskGate = 5;
inline constexpr unsigned kInterruptGate16 = 6, kTrapGate16 = 7, kTss32Available = 9, kTss32Busy = 11;
inline constexpr unsigned kCallGate32 = 12, kInterruptGate32 = 14, kTrapGate32 = 15;
}  // namespace descriptor_type

// Eight bytes of a descriptor table; `high` is the second half of the 16-byte system descriptors of IA-32e mode.
struct Descriptor {
  u64 low = 0;
  u64 high = 0;

  constexpr unsigned type() const { return bits(low, 43, 40); }
  constexpr bool system() const { return !has_bit(low, 44); }
  constexpr unsigned dpl() const { return bits(low, 46, 45); }
  constexpr bool present() const { return has_bit(low, 47); }
  constexpr bool long_code() const { return has_bit(low, 53); }
  constexpr bool big() const { return has_bit(low, 54); }

  constexpr bool code() const { return !system() && has_bit(low, 43); }
  constexpr bool data() const { return !system() && !has_bit(low, 43); }
  constexpr bool conforming() const { return code() && has_bit(low, 42); }
  constexpr bool writable_data() const { return data() && has_bit(low, 41); }
  constexpr bool readable() const { return data() || (code() && has_bit(low, 41)); }
  constexpr bool accessed() const { return has_bit(low, 40); }

  constexpr u64 base() const { return bits(low, 39, 16) | bits(low, 63, 56) << 24 | (high & 0xFFFFFFFF) << 32; }
  constexpr u32 limit() const {
    const u32 raw = static_cast<u32>(bits(low, 15, 0) | bits(low, 51, 48) << 16);
    return has_bit(low, 55) ? raw << 12 | 0xFFF : raw;
  }
  constexpr SegmentRegister segment(u16 selector) const {
    const u32 attributes = static_cast<u32>(bits(low, 47, 40) | bits(low, 55, 52) << 12);
    return {.base = base(), .limit = limit(), .attributes = attributes, .selector = selector};
  }

  // As a gate [SDM3 5.8.3, 6.11].
  constexpr u16 gate_selector() const { return static_cast<u16>(bits(low, 31, 16)); }
  constexpr u32 gate_offset32() const { return static_cast<u32>(bits(low, 15, 0) | bits(low, 63, 48) << 16); }
  constexpr u64 gate_offset64() const { return gate_offset32() | (high & 0xFFFFFFFF) << 32; }
  constexpr unsigned gate_parameters() const { return bits(low, 36, 32); }
  constexpr unsigned gate_ist() const { return bits(low, 34, 32); }
};

constexpr bool is_null(u16 selector) { return (selector & ~3) == 0; }
constexpr unsigned rpl_of(u16 selector) { return selector & 3; }
constexpr u32 selector_error(u16 selector, u32 ext = 0) { return (selector & ~3u) | ext; }

inline constexpr SegmentRegister kNullSegment{.base = 0, .limit = 0, .attributes = 0x10000, .selector = 0};

inline bool is_canonical(const Vcpu& cpu, u64 linear) {
  return detail::canonical(linear, (cpu.state.cr4 & cr4::kLa57) != 0);
}
// Linear addresses outside 64-bit mode wrap at 4 GiB.
inline u64 wrap_linear(const Vcpu& cpu, u64 linear) { return cpu.mode.long_mode ? linear : static_cast<u32>(linear); }

// Where the descriptor of `selector` stands; false if it lies beyond its table's limit. Raises nothing.
bool find_descriptor(const Vcpu& cpu, u16 selector, unsigned size_bytes, u64& linear);
// Reads an 8-byte descriptor; beyond the table it raises `vector` with the selector (and `ext`) as error code.
[[nodiscard]] bool read_descriptor(Vcpu& cpu, u16 selector, Vector vector, u32 ext, Descriptor& descriptor);
// Reads a system descriptor: 16 bytes in IA-32e mode, 8 otherwise.
[[nodiscard]] bool read_system_descriptor(Vcpu& cpu, u16 selector, Vector vector, u32 ext, Descriptor& descriptor);
// Adds the second half of a 16-byte descriptor whose first half has been read.
[[nodiscard]] bool read_upper_half(Vcpu& cpu, u16 selector, Vector vector, u32 ext, Descriptor& descriptor);

// Sets the accessed bit in table and copy if it is clear.
[[nodiscard]] bool mark_accessed(Vcpu& cpu, u16 selector, Descriptor& descriptor);
// Sets or clears the busy bit of a TSS descriptor in the GDT.
[[nodiscard]] bool set_tss_busy(Vcpu& cpu, u16 selector, bool busy);

}  // namespace xm::cpu::system
