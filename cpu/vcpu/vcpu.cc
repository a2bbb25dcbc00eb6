// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/vcpu/vcpu.h"

namespace xm::cpu {

namespace {

constexpr u64 kNanosPerSecond = 1'000'000'000;

bool flat_data(const SegmentRegister& segment) {
  const bool writable_expand_up = (segment.attributes & 0x1E) == 0x12;  // S, data, not expand-down, writable
  return segment.base == 0 && segment.limit == 0xFFFFFFFF && segment.present() && !segment.unusable() &&
         writable_expand_up;
}

bool flat_code(const SegmentRegister& segment) { return segment.base == 0 && segment.limit == 0xFFFFFFFF; }

}  // namespace

Vcpu::Vcpu(BusPort& bus_port, const CpuModel& cpu_model, Log& machine_log)
    : bus(bus_port), model(cpu_model), log(machine_log), phys(bus_port) {
  update_mode();
}

bool Vcpu::raise(Vector vector) {
  fault = {.vector = vector};
  return false;
}

bool Vcpu::raise(Vector vector, u32 error_code) {
  fault = {.vector = vector, .has_error_code = true, .error_code = error_code};
  return false;
}

bool Vcpu::raise_page_fault(u64 linear, u32 error_code) {
  fault = {.vector = Vector::Pf, .has_error_code = true, .error_code = error_code, .address = linear};
  return false;
}

u32 Vcpu::mode_key() const {
  const SegmentRegister& code = state.segment[static_cast<unsigned>(Segment::Cs)];
  const u32 limit_hash = mode.bits64 || code.limit == 0xFFFFFFFF ? 0 : (code.limit ^ (code.limit >> 12)) | 1;
  return static_cast<u32>(mode.code_size) | (mode.protected_mode ? 1u : 0u) << 8 | (mode.flat ? 1u : 0u) << 9 |
         (mode.stack32 ? 1u : 0u) << 10 | (state.cpl == 3 ? 1u : 0u) << 11 | (running.single ? 1u : 0u) << 12 |
         (mode.long_mode ? 1u : 0u) << 13 | (limit_hash & 0xFFFF) << 16;
}

void Vcpu::update_mode() {
  const SegmentRegister& code = state.segment[static_cast<unsigned>(Segment::Cs)];
  const SegmentRegister& stack = state.segment[static_cast<unsigned>(Segment::Ss)];
  mode.vm86 = (state.rflags & flag::kVm) != 0;
  mode.protected_mode = (state.cr0 & cr0::kPe) != 0 && !mode.vm86;
  mode.long_mode = (state.msr.efer & efer::kLma) != 0;
  mode.bits64 = mode.long_mode && code.long_code();
  mode.paging = (state.cr0 & cr0::kPg) != 0;
  mode.code_size = mode.bits64 ? CodeSize::Bits64 : code.big() ? CodeSize::Bits32 : CodeSize::Bits16;
  mode.stack32 = stack.big();
  mode.flat = mode.bits64 || (mode.protected_mode && flat_code(code) && flat_data(stack) &&
                              flat_data(state.segment[static_cast<unsigned>(Segment::Ds)]) &&
                              flat_data(state.segment[static_cast<unsigned>(Segment::Es)]));
  update_rights();
  running.stamp = u64{running.code_epoch} << 32 | mode_key();
}

void Vcpu::update_rights() {
  mode.alignment_check = state.cpl == 3 && (state.cr0 & cr0::kAm) != 0 && (state.rflags & flag::kAc) != 0;
  const bool data_breakpoints = (state.dr[7] & 0x33330000) != 0 && (state.dr[7] & 0xFF) != 0;
  const bool accesses_watched = watch != nullptr && watch->wants_accesses();
  if (mode.alignment_check || data_breakpoints || accesses_watched)
    tlb.select(mmu::Context::Checked);
  else if (state.cpl == 3)
    tlb.select(mmu::Context::User);
  else
    tlb.select((state.rflags & flag::kAc) != 0 ? mmu::Context::SupervisorAc : mmu::Context::Supervisor);
}

void Vcpu::drop_code_epoch() {
  ++running.code_epoch;
  running.stamp = u64{running.code_epoch} << 32 | (running.stamp & 0xFFFFFFFF);
}

void Vcpu::flush_tlb(bool keep_global) {
  tlb.flush(keep_global);
  drop_code_epoch();
}

void Vcpu::flush_tlb_page(u64 linear) {
  if (tlb.flush_page(linear)) drop_code_epoch();
}

void Vcpu::physical_map_changed() {
  phys.clear();
  flush_tlb(false);
}

u64 Vcpu::tsc() { return bus.tsc_ticks() + state.msr.tsc_offset; }

u64 Vcpu::effective_address(const Insn& insn) const {
  const MemoryAddress& memory = insn.memory;
  u64 address = static_cast<u64>(memory.displacement);
  if (memory.base != kNoRegister) address += state.gpr[memory.base];
  if (memory.index != kNoRegister && !memory.vsib) address += state.gpr[memory.index] * memory.scale;
  if (memory.rip_relative) address += state.rip + insn.length;
  return address & mask_of_bytes(insn.address_size);
}

bool Vcpu::push(u64 value, unsigned size_bytes) {
  const u64 offset = (state.gpr[gpr::kRsp] - size_bytes) & stack_mask();
  bool ok = false;
  switch (size_bytes) {
    case 8: ok = write(Segment::Ss, offset, value); break;
    case 4: ok = write(Segment::Ss, offset, static_cast<u32>(value)); break;
    default: ok = write(Segment::Ss, offset, static_cast<u16>(value)); break;
  }
  if (ok) set_stack_pointer(offset);
  return ok;
}

bool Vcpu::pop(u64& value, unsigned size_bytes) {
  const u64 offset = state.gpr[gpr::kRsp] & stack_mask();
  u64 wide = 0;
  u32 narrow = 0;
  u16 word = 0;
  bool ok = false;
  switch (size_bytes) {
    case 8: ok = read(Segment::Ss, offset, wide); break;
    case 4: ok = read(Segment::Ss, offset, narrow); break;
    default: ok = read(Segment::Ss, offset, word); break;
  }
  if (!ok) return false;
  value = size_bytes == 8 ? wide : size_bytes == 4 ? narrow : word;
  set_stack_pointer(offset + size_bytes);
  return true;
}

}  // namespace xm::cpu
