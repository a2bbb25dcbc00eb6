// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/interp/build_context.h"

#include <limits>

#include "cpu/interp/block_cache.h"

namespace xm::cpu::interp {

u64 BuildContext::next_rip(const Insn& insn) const {
  const u64 following = rip + insn.length;
  switch (insn.mode) {
    case CodeSize::Bits64: return following;
    case CodeSize::Bits32: return following & 0xFFFFFFFF;
    default: return following & 0xFFFF;
  }
}

const Insn* BuildContext::keep(const Insn& insn) const {
  Insn* copy = cache->keep(insn);
  if (copy->memory.rip_relative) {
    copy->memory.rip_relative = false;
    copy->memory.displacement += static_cast<i64>(rip + insn.length);
  }
  return copy;
}

bool BuildContext::memory(const Insn& insn, Op& op, Address& form) const {
  const MemoryAddress& address = insn.memory;
  i64 displacement = address.displacement;
  op.base = address.base == kNoRegister ? zero() : reg(address.base);
  if (address.rip_relative) {
    op.base = offset_of(&cpu.block_rip);
    displacement += ip_offset + insn.length;
  }
  if (displacement < std::numeric_limits<i32>::min() || displacement > std::numeric_limits<i32>::max()) return false;
  op.displacement = static_cast<i32>(displacement);
  const bool indexed = address.index != kNoRegister && !address.vsib;
  op.index = indexed ? reg(address.index) : zero();
  op.scale_shift = static_cast<u8>(__builtin_ctz(address.scale | 0x100u) & 3);
  op.segment = static_cast<u8>(insn.segment);
  op.aux = insn.address_size;
  const bool flat = bits64 && insn.address_size == 8 && insn.segment < Segment::Fs;
  form = !flat ? Address::Any : indexed ? Address::Full : Address::Base;
  return true;
}

Handler integer_handler(const Insn& insn) {
  for (const auto family : {locked_handler, alu_handler, shift_handler, muldiv_handler, bits_handler, bcd_handler,
                            move_handler, stack_handler}) {
    if (const Handler handler = family(insn)) return handler;
  }
  return nullptr;
}

}  // namespace xm::cpu::interp
