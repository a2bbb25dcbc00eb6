// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/system/tss.h"

#include "cpu/system/segment.h"

namespace xm::cpu::system {

namespace {

constexpr u32 kIoMapBaseOffset = 0x66;

template <class T>
bool read_tss(Vcpu& cpu, u32 offset, u32 ext, T& value) {
  if (offset + sizeof(T) - 1 > cpu.state.tr.limit)
    return cpu.raise(Vector::Ts, selector_error(cpu.state.tr.selector, ext));
  return cpu.read_linear(wrap_linear(cpu, cpu.state.tr.base + offset), value, As::System);
}

bool tss32(const Vcpu& cpu) { return (cpu.state.tr.type() & 8) != 0; }

}  // namespace

bool read_tss_stack(Vcpu& cpu, unsigned cpl, u32 ext, u16& selector, u32& pointer) {
  if (tss32(cpu)) return read_tss(cpu, 8 + cpl * 8, ext, selector) && read_tss(cpu, 4 + cpl * 8, ext, pointer);
  u16 pointer16 = 0;
  if (!read_tss(cpu, 4 + cpl * 4, ext, selector) || !read_tss(cpu, 2 + cpl * 4, ext, pointer16)) return false;
  pointer = pointer16;
  return true;
}

bool read_tss_rsp(Vcpu& cpu, unsigned cpl, u32 ext, u64& pointer) { return read_tss(cpu, 4 + cpl * 8, ext, pointer); }

bool read_tss_ist(Vcpu& cpu, unsigned index, u32 ext, u64& pointer) {
  return read_tss(cpu, 0x1C + index * 8, ext, pointer);
}

bool check_io_permission(Vcpu& cpu, u16 port, unsigned size_bytes) {
  if ((cpu.state.cr0 & cr0::kPe) == 0) return true;
  const unsigned iopl = static_cast<unsigned>(bits(cpu.state.rflags, 13, 12));
  if (!cpu.mode.vm86 && cpu.state.cpl <= iopl) return true;
  const SegmentRegister& tr = cpu.state.tr;
  if (tr.unusable() || !tss32(cpu) || tr.limit < kIoMapBaseOffset + 1) return cpu.raise(Vector::Gp, 0);
  u16 map_base = 0;
  if (!cpu.read_linear(wrap_linear(cpu, tr.base + kIoMapBaseOffset), map_base, As::System)) return false;
  // Two bytes are read whatever the alignment, so the map needs a byte of ones behind its end [SDM1 19.5.2].
  const u32 offset = map_base + port / 8u;
  if (offset + 1 > tr.limit) return cpu.raise(Vector::Gp, 0);
  u16 map = 0;
  if (!cpu.read_linear(wrap_linear(cpu, tr.base + offset), map, As::System)) return false;
  const unsigned wanted = ((1u << size_bytes) - 1) << (port & 7);
  return (map & wanted) == 0 || cpu.raise(Vector::Gp, 0);
}

bool read_redirection_bit(Vcpu& cpu, u8 vector, bool& redirect) {
  const SegmentRegister& tr = cpu.state.tr;
  if (!tss32(cpu) || tr.limit < kIoMapBaseOffset + 1) return cpu.raise(Vector::Gp, 0);
  u16 map_base = 0;
  if (!cpu.read_linear(wrap_linear(cpu, tr.base + kIoMapBaseOffset), map_base, As::System)) return false;
  const u32 offset = map_base - 32u + vector / 8u;
  if (map_base < 32 || offset > tr.limit) return cpu.raise(Vector::Gp, 0);
  u8 map = 0;
  if (!cpu.read_linear(wrap_linear(cpu, tr.base + offset), map, As::System)) return false;
  redirect = (map & (1u << (vector & 7))) == 0;
  return true;
}

}  // namespace xm::cpu::system
