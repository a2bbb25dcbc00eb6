// SPDX-License-Identifier: GPL-2.0-or-later
// Encoding of random instructions and the choice of operands for them.
#include "tests/cpu/silicon/generator.h"

#include <algorithm>

#include "cpu/decode/decoder.h"
#include "emu/base/bits.h"

namespace xm::cpu::silicon {
namespace {

bool uses(const Row& row, Addressing addressing) {
  return std::any_of(row.operands.begin(), row.operands.end(),
                     [&](OperandCode code) { return operand_code_info(code).addressing == addressing; });
}

bool is_xsave_family(Operation operation) {
  return operation == Operation::Xsave || operation == Operation::Xsavec || operation == Operation::Xsaveopt ||
         operation == Operation::Xrstor;
}

bool is_stack_operation(Operation operation) {
  switch (operation) {
    case Operation::Push:
    case Operation::Pop:
    case Operation::Pushf:
    case Operation::Popf:
    case Operation::Enter:
    case Operation::Leave:
    case Operation::Pusha:
    case Operation::Popa:
    case Operation::CallNear:
    case Operation::RetNear: return true;
    default: return false;
  }
}

}  // namespace

bool is_testable(const Row& row, CodeSize mode) {
  if (row.has(attribute::kUser)) return false;
  if (row.has(mode == CodeSize::Bits64 ? attribute::kNot64 : attribute::kOnly64)) return false;
  switch (row.operation) {
    // Leave for the kernel or depend on its descriptor tables.
    case Operation::Syscall:
    case Operation::Sysenter:
    case Operation::Int:
    case Operation::Int3:
    case Operation::Int1:
    case Operation::CallFar:
    case Operation::JmpFar:
    case Operation::RetFar:
    case Operation::Iret:
    case Operation::Lar:
    case Operation::Lsl:
    case Operation::Verr:
    case Operation::Verw:
    case Operation::Lds:
    case Operation::Les:
    case Operation::Lss:
    case Operation::Lfs:
    case Operation::Lgs:
    // Emulated by Linux or dependent on its settings (UMIP).
    case Operation::Sgdt:
    case Operation::Sidt:
    case Operation::Sldt:
    case Operation::Smsw:
    case Operation::Str:
    // Host I/O permissions, and XCR0 with more components than ours.
    case Operation::In:
    case Operation::Out:
    case Operation::Ins:
    case Operation::Outs:
    case Operation::Xgetbv: return false;
    // Loading a segment register needs the host's descriptors.
    case Operation::Mov:
      return !uses(row, Addressing::Sreg) || operand_code_info(row.operands[1]).addressing == Addressing::Sreg;
    case Operation::Pop: return operand_code_info(row.operands[0]).size != OperandSize::W;
    default: return true;
  }
}

Generator::Generator(u64 seed, Operation only, bool (*available)(Feature), Modes modes) : random_(seed) {
  const auto rows = isa_rows();
  for (CodeSize mode : {CodeSize::Bits64, CodeSize::Bits32}) {
    if (mode == CodeSize::Bits32 && modes == Modes::Only64) continue;
    std::vector<std::vector<u16>> by_operation(kOperationCount);
    for (unsigned i = 0; i < rows.size(); ++i) {
      const Row& row = rows[i];
      if (only != Operation::Invalid && row.operation != only) continue;
      if (is_testable(row, mode) && available(row.feature)) {
        by_operation[static_cast<unsigned>(row.operation)].push_back(static_cast<u16>(i));
      }
    }
    for (auto& group : by_operation) {
      if (!group.empty()) (mode == CodeSize::Bits64 ? groups_ : groups32_).push_back(std::move(group));
    }
  }
}

void Generator::encode_legacy_prefixes(const Row& row, bool memory, Encoded& out) {
  std::vector<u8> prefixes;
  prefixes.reserve(8);
  if (memory && is_64() && chance(12)) prefixes.push_back(0x65);
  if (chance(64)) prefixes.push_back(chance(2) ? 0x2E : 0x3E);
  if (chance(12)) prefixes.push_back(0x67);
  const bool may_have_66 = row.prefix != PrefixMatch::NP && row.prefix != PrefixMatch::P66;
  if (may_have_66 && chance(4)) prefixes.push_back(0x66);
  if (row.has(attribute::kLockable) && memory && chance(4)) prefixes.push_back(0xF0);
  if (row.has(attribute::kRepeatable) ? chance(2) : row.prefix == PrefixMatch::Any && chance(48)) {
    prefixes.push_back(chance(2) ? 0xF2 : 0xF3);
  }
  if (row.prefix == PrefixMatch::P66) prefixes.push_back(0x66);
  if (row.prefix == PrefixMatch::PF2) prefixes.push_back(0xF2);
  if (row.prefix == PrefixMatch::PF3) prefixes.push_back(0xF3);
  std::shuffle(prefixes.begin(), prefixes.end(), random_);
  out.bytes.insert(out.bytes.end(), prefixes.begin(), prefixes.end());
  if (is_64() && chance(2)) out.bytes.push_back(static_cast<u8>(0x40 | (byte() & 15)));
}

void Generator::encode_vex(const Row& row, u8 opcode, Encoded& out) {
  const bool has_vvvv = uses(row, Addressing::Vvvv) || uses(row, Addressing::XVvvv);
  const unsigned vvvv = has_vvvv ? (byte() & 15u) | (is_64() ? 0 : 8) : 15u;
  const u8 free_bits = is_64() ? byte() & 0xE0 : 0xE0;  // inverted R, X, B
  unsigned l = byte() & 1u, w = byte() & 1u;
  if (row.has(attribute::kL0)) l = 0;
  if (row.has(attribute::kL1)) l = 1;
  if (row.has(attribute::kW0)) w = 0;
  if (row.has(attribute::kW1)) w = 1;
  const unsigned pp = row.prefix == PrefixMatch::P66   ? 1
                      : row.prefix == PrefixMatch::PF3 ? 2
                      : row.prefix == PrefixMatch::PF2 ? 3
                                                       : 0;
  if (is_64() && chance(12)) out.bytes.push_back(0x65);
  if (chance(16)) out.bytes.push_back(0x67);
  if (row.map == OpcodeMap::TwoByte0F && w == 0 && chance(2)) {
    out.bytes.push_back(0xC5);
    out.bytes.push_back(static_cast<u8>((free_bits & 0x80) | vvvv << 3 | l << 2 | pp));
  } else {
    out.bytes.push_back(0xC4);
    out.bytes.push_back(static_cast<u8>(free_bits | static_cast<unsigned>(row.map)));
    out.bytes.push_back(static_cast<u8>(w << 7 | vvvv << 3 | l << 2 | pp));
  }
  out.bytes.push_back(opcode);
}

void Generator::encode_modrm(const Row& row, bool memory, bool vsib, Encoded& out) {
  u8 modrm = byte();
  if (row.modrm.reg >= 0) modrm = static_cast<u8>((modrm & 0xC7) | row.modrm.reg << 3);
  if (row.modrm.rm >= 0) modrm = static_cast<u8>((modrm & 0xF8) | row.modrm.rm);
  if (!memory) {
    out.bytes.push_back(modrm | 0xC0);
    return;
  }
  if (modrm >= 0xC0) modrm = static_cast<u8>(modrm & ~(chance(2) ? 0x40 : 0x80));
  if (vsib) modrm = static_cast<u8>((modrm & 0xF8) | 4);
  out.bytes.push_back(modrm);
  if ((modrm & 7) == 4) out.bytes.push_back(byte());
  out.displacement_at = static_cast<unsigned>(out.bytes.size());
}

Generator::Encoded Generator::encode(const Row& row) {
  Encoded out;
  out.bytes.reserve(24);
  const bool vsib = uses(row, Addressing::MemVsib);
  const bool memory = row.modrm.present && row.modrm.memory && (!row.modrm.registers || chance(2));
  const auto opcode = static_cast<u8>(row.opcode + random_() % row.opcode_count);
  if (row.encoding == Encoding::Vex || (row.encoding == Encoding::Both && chance(2))) {
    encode_vex(row, opcode, out);
  } else {
    encode_legacy_prefixes(row, memory, out);
    if (row.map != OpcodeMap::OneByte) out.bytes.push_back(0x0F);
    if (row.map == OpcodeMap::Three0F38) out.bytes.push_back(0x38);
    if (row.map == OpcodeMap::Three0F3A) out.bytes.push_back(0x3A);
    out.bytes.push_back(opcode);
  }
  if (row.modrm.present) encode_modrm(row, memory, vsib, out);
  if (uses(row, Addressing::Offs)) out.displacement_at = static_cast<unsigned>(out.bytes.size());
  while (out.bytes.size() < 15) out.bytes.push_back(byte());
  return out;
}

u64 Generator::data_address(unsigned size) {
  const u64 room = kDataBytes - std::min<u64>(size, kDataBytes / 2);
  u64 offset = random_() % room;
  if (!chance(3)) offset = align_down(offset, 32);
  if (chance(24)) offset = kDataBytes - random_() % 40;  // over the end: a page fault
  if (chance(12)) offset = kPageSize - random_() % 40;   // over the inner page boundary
  return kDataBase + offset;
}

// An area of 64-byte alignment, mostly, and components that host and guest both have. XRSTOR finds a header in standard
// format that it accepts and random components.
u64 Generator::place_xsave_area(TestCase& test, const Insn& insn) {
  test.state.gpr[gpr::kRax] &= 7;
  // XSAVEOPT of no component at all: Intel's processors do not even look at the address.
  if (insn.operation == Operation::Xsaveopt && test.state.gpr[gpr::kRax] == 0) test.state.gpr[gpr::kRax] = 7;
  test.state.gpr[gpr::kRdx] = 0;
  const u64 offset = random_() % (kDataBytes / 64 - 16) * 64;
  if (insn.operation == Operation::Xrstor && !chance(16)) {
    const auto at = static_cast<u32>(offset);
    test.pokes = {Poke{at + 24, 0xFFFF00001F80 | (random_() & 0xE07F)}, Poke{at + 512, random_() & 7},
                  Poke{at + 520, 0}, Poke{at + 528, 0}};
    test.poke_count = 4;
  }
  return kDataBase + offset + (chance(16) ? random_() % 64 : 0);
}

// Gives base and index values, or the displacement, such that the address falls into the data pages.
void Generator::place_memory(TestCase& test, const Insn& insn, const Encoded& encoded, unsigned code_start) {
  const MemoryAddress& memory = insn.memory;
  const bool is_offset =
      insn.operands[0].kind == OperandKind::MemoryOffset || insn.operands[1].kind == OperandKind::MemoryOffset;
  unsigned size = 32;
  for (const Operand& operand : insn.operands) {
    if (operand.kind == OperandKind::Memory) size = std::max<unsigned>(operand.size, 1);
  }
  u64 target = data_address(size);
  if (is_xsave_family(insn.operation)) target = place_xsave_area(test, insn);
  if (insn.segment == Segment::Gs) target -= kGsBase;
  auto& gpr = test.state.gpr;
  u64 index = 0;
  if (memory.vsib) {
    for (u64& lane : test.state.vector[memory.index].q) lane &= 0x0000007F0000007F;
  } else if (memory.index != kNoRegister) {
    if (memory.index != memory.base && !chance(3)) gpr[memory.index] = random_() % 128;
    index = gpr[memory.index] * memory.scale;
  }
  if (is_offset || memory.base == kNoRegister) {
    u64 displacement = target - index;
    if (memory.rip_relative) displacement = target - (kCodeBase + code_start + insn.length);
    const unsigned bytes = is_offset || insn.address_size == 2 ? insn.address_size : 4;
    for (unsigned i = 0; i < bytes; ++i) {
      test.code[encoded.displacement_at + i] = static_cast<u8>(displacement >> (8 * i));
    }
    return;
  }
  u64& base = gpr[memory.base];
  if (memory.index == memory.base && !memory.vsib) {
    base = (target - static_cast<u64>(memory.displacement)) / (1u + memory.scale);
  } else {
    base = target - static_cast<u64>(memory.displacement) - index;
  }
  if (insn.address_size != 8) base = (base & 0xFFFFFFFF) | (is_64() && chance(2) ? random_() << 32 : 0);
}

u64 Generator::code_target(const TestCase& test, const Insn& insn) {
  for (;;) {
    const u64 offset = random_() % kCodeBytes;
    if (offset + 1 < test.code_offset || offset >= test.code_offset + insn.length) return kCodeBase + offset;
  }
}

// Branch targets: INT3 somewhere in the code pages, never the instruction itself.
void Generator::place_branch(TestCase& test, const Insn& insn) {
  const u64 target = code_target(test, insn);
  if (insn.operands[0].kind == OperandKind::Relative) {
    const bool is_byte = isa_row(insn.row).operands[0] == OperandCode::Jb;
    const unsigned bytes = is_byte ? 1 : insn.operand_size == 2 ? 2 : 4;
    u64 distance = target - (kCodeBase + test.code_offset + insn.length);
    if (is_byte) distance = chance(2) ? random_() % 100 : ~u64{0} - insn.length - random_() % 100;
    for (unsigned i = 0; i < bytes; ++i) {
      test.code[insn.length - bytes + i] = static_cast<u8>(distance >> (8 * i));
    }
    return;
  }
  if (chance(8)) return;
  u64 location = 0;
  if (insn.operation == Operation::RetNear) {
    location = test.state.gpr[gpr::kRsp];
  } else if (insn.operands[0].kind == OperandKind::Gpr) {
    test.state.gpr[insn.operands[0].reg] = target;
    return;
  } else {
    // Fill everything that an indirect branch may read: its operand lies somewhere in the pages.
    const MemoryAddress& memory = insn.memory;
    u64 address = static_cast<u64>(memory.displacement);
    if (memory.base != kNoRegister) address += test.state.gpr[memory.base];
    if (memory.index != kNoRegister) address += test.state.gpr[memory.index] * memory.scale;
    if (insn.address_size == 4) address &= 0xFFFFFFFF;
    location = address + (insn.segment == Segment::Gs ? kGsBase : 0);
  }
  const u64 offset = location - kDataBase;
  if (offset <= kDataBytes - 8 && test.poke_count < test.pokes.size()) {
    test.pokes[test.poke_count++] = {static_cast<u32>(offset), target};
  }
}

void Generator::place_implicit(TestCase& test, const Insn& insn) {
  auto& gpr = test.state.gpr;
  const Row& row = isa_row(insn.row);
  const u64 gs = insn.segment == Segment::Gs ? kGsBase : 0;
  if (row.has(attribute::kRepeatable)) {
    gpr[gpr::kRsi] = data_address(64) - gs;
    gpr[gpr::kRdi] = data_address(64);
    if (insn.rep != RepPrefix::None) gpr[gpr::kRcx] = random_() % (chance(4) ? 600 : 40);
  }
  switch (insn.operation) {
    case Operation::Clzero: gpr[gpr::kRax] = data_address(64) - gs; break;
    case Operation::Xlat: gpr[gpr::kRbx] = data_address(1) - (gpr[gpr::kRax] & 0xFF) - gs; break;
    case Operation::Maskmovq:
    case Operation::Maskmovdqu: gpr[gpr::kRdi] = data_address(16) - gs; break;
    case Operation::Enter:
    case Operation::Leave: gpr[gpr::kRbp] = data_address(64); break;
    case Operation::Div:
    case Operation::Idiv:
      if (!chance(4)) gpr[gpr::kRdx] = chance(2) ? 0 : ~u64{0};
      if (!chance(4)) gpr[gpr::kRax] &= 0xFFFF;
      break;
    case Operation::Bt:
    case Operation::Bts:
    case Operation::Btr:
    case Operation::Btc: {
      const Operand& bit = insn.operands[1];
      if (bit.kind == OperandKind::Gpr && insn.operands[0].kind == OperandKind::Memory && bit.reg != insn.memory.base &&
          bit.reg != insn.memory.index && !chance(8)) {
        gpr[bit.reg] = static_cast<u64>(static_cast<i64>(random_() % 4096) - 2048);
      }
      break;
    }
    default: break;
  }
}

TestCase Generator::next() {
  for (;;) {
    mode_ = groups32_.empty() || (!groups_.empty() && !chance(4)) ? CodeSize::Bits64 : CodeSize::Bits32;
    const auto& groups = is_64() ? groups_ : groups32_;
    const auto& group = groups[random_() % groups.size()];
    const u16 row_index = group[random_() % group.size()];
    const Encoded encoded = encode(isa_row(row_index));
    TestCase test;
    test.mode = mode_;
    const DecodeResult first = decode(encoded.bytes, mode_);
    if (!first || first.insn.row != row_index) continue;
    const Insn& insn = first.insn;
    // EDX:EAX selects components: they cannot be an address as well.
    const auto is_selector = [](u8 reg) { return reg == gpr::kRax || reg == gpr::kRdx; };
    if (is_xsave_family(insn.operation) && (is_selector(insn.memory.base) || is_selector(insn.memory.index))) continue;
    std::copy(encoded.bytes.begin(), encoded.bytes.end(), test.code.begin());
    test.row = row_index;
    test.code_length = insn.length;
    test.code_offset = static_cast<u16>(chance(8) ? kPageSize - random_() % insn.length : 0x400 + random_() % 0x1800);
    test.data_seed = static_cast<u32>(random_());
    randomize(test.state);
    test.state.rip = kCodeBase + test.code_offset;
    test.state.gpr[gpr::kRsp] = align_down(kDataBase + 64 + random_() % (kDataBytes - 128), 8);
    if (is_stack_operation(insn.operation) && chance(16)) test.state.gpr[gpr::kRsp] = data_address(8);
    place_implicit(test, insn);
    const bool is_memory = insn.has_modrm && insn.modrm < 0xC0 && !isa_row(row_index).has(attribute::kIgnoreMod);
    if (is_memory || encoded.displacement_at != 0) place_memory(test, insn, encoded, test.code_offset);
    // Patched bytes may have changed displacement: decode again, as the processors will.
    const DecodeResult second = decode(test.code, mode_);
    if (!second || second.insn.length != insn.length) continue;
    switch (insn.operation) {
      case Operation::JmpNear:
      case Operation::CallNear:
      case Operation::RetNear:
      case Operation::Jcc:
      case Operation::Jrcxz:
      case Operation::Loop:
      case Operation::Loope:
      case Operation::Loopne: place_branch(test, second.insn); break;
      default: break;
    }
    if (!is_64()) {
      for (u64& reg : test.state.gpr) reg &= 0xFFFFFFFF;
    }
    return test;
  }
}

}  // namespace xm::cpu::silicon
