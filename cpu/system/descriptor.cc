// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/system/descriptor.h"

namespace xm::cpu::system {

namespace {

// The byte with type, S, DPL and P.
constexpr u64 kAccessByte = 5;

}  // namespace

bool find_descriptor(const Vcpu& cpu, u16 selector, unsigned size_bytes, u64& linear) {
  const u32 offset = selector & ~7u;
  const bool local = (selector & 4) != 0;
  if (local && cpu.state.ldtr.unusable()) return false;
  const u64 limit = local ? cpu.state.ldtr.limit : cpu.state.gdtr.limit;
  if (offset + size_bytes - 1 > limit) return false;
  linear = wrap_linear(cpu, (local ? cpu.state.ldtr.base : cpu.state.gdtr.base) + offset);
  return true;
}

bool read_descriptor(Vcpu& cpu, u16 selector, Vector vector, u32 ext, Descriptor& descriptor) {
  u64 linear = 0;
  if (!find_descriptor(cpu, selector, 8, linear)) return cpu.raise(vector, selector_error(selector, ext));
  descriptor.high = 0;
  return cpu.read_linear(linear, descriptor.low, As::System);
}

bool read_upper_half(Vcpu& cpu, u16 selector, Vector vector, u32 ext, Descriptor& descriptor) {
  u64 linear = 0;
  if (!find_descriptor(cpu, selector, 16, linear)) return cpu.raise(vector, selector_error(selector, ext));
  if (!cpu.read_linear(linear + 8, descriptor.high, As::System)) return false;
  // The type field of the upper half must be zero [SDM3 figure 5-8].
  if (bits(descriptor.high, 44, 40) != 0) return cpu.raise(vector, selector_error(selector, ext));
  return true;
}

bool read_system_descriptor(Vcpu& cpu, u16 selector, Vector vector, u32 ext, Descriptor& descriptor) {
  if (!read_descriptor(cpu, selector, vector, ext, descriptor)) return false;
  return !cpu.mode.long_mode || read_upper_half(cpu, selector, vector, ext, descriptor);
}

bool mark_accessed(Vcpu& cpu, u16 selector, Descriptor& descriptor) {
  if (descriptor.accessed()) return true;
  u64 linear = 0;
  if (!find_descriptor(cpu, selector, 8, linear)) return cpu.raise(Vector::Gp, selector_error(selector));
  descriptor.low |= bit(40);
  return cpu.write_linear(linear + kAccessByte, static_cast<u8>(descriptor.low >> 40), As::System);
}

bool set_tss_busy(Vcpu& cpu, u16 selector, bool busy) {
  u64 linear = 0;
  if (!find_descriptor(cpu, selector, 8, linear)) return cpu.raise(Vector::Ts, selector_error(selector));
  u8 access = 0;
  if (!cpu.read_linear(linear + kAccessByte, access, As::System)) return false;
  const u8 marked = static_cast<u8>(busy ? access | 2 : access & ~2);
  return cpu.write_linear(linear + kAccessByte, marked, As::System);
}

}  // namespace xm::cpu::system
