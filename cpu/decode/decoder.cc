// SPDX-License-Identifier: GPL-2.0-or-later
// Prefixes, opcode, ModRM, operands: in the order of the bytes. [SDM2 2.1-2.3]
#include "cpu/decode/decoder.h"

#include <algorithm>

#include "cpu/decode/tables.h"
#include "emu/base/bits.h"

namespace xm::cpu {
namespace {

constexpr unsigned kMaxLength = 15;

// Bytes in order; `overrun` is set by a read past the end, which returns zeros.
class Cursor {
 public:
  explicit Cursor(std::span<const u8> bytes)
      : bytes_(bytes.data()), size_(static_cast<unsigned>(std::min<std::size_t>(bytes.size(), kMaxLength))) {}

  bool at_end() const { return position_ >= size_; }
  u8 peek() const { return at_end() ? u8{0} : bytes_[position_]; }
  u8 next() {
    if (at_end()) {
      overrun_ = true;
      return 0;
    }
    return bytes_[position_++];
  }
  u64 next_sized(unsigned count) {
    if (position_ + count > size_) {
      overrun_ = true;
      return 0;
    }
    const u64 value = load_le_sized(bytes_ + position_, count);
    position_ += count;
    return value;
  }
  bool overrun() const { return overrun_; }
  unsigned position() const { return position_; }
  // What running out of bytes means: too long an instruction, or too few bytes given.
  DecodeStatus end_status() const { return size_ == kMaxLength ? DecodeStatus::TooLong : DecodeStatus::NeedMoreBytes; }

 private:
  const u8* bytes_;
  unsigned size_;
  unsigned position_ = 0;
  bool overrun_ = false;
};

class Decoder {
 public:
  Decoder(std::span<const u8> bytes, CodeSize mode, Insn& insn)
      : cursor_(bytes), insn_(insn), tables_(decode_tables()), mode64_(mode == CodeSize::Bits64) {
    insn_ = Insn{};
    insn_.mode = mode;
  }

  DecodeStatus run();

 private:
  u8 read_prefixes();
  bool find_map(u8 opcode);
  bool read_vex(u8 first);
  const DecodeForm* find_form();
  void set_sizes();
  bool read_memory(bool vsib);
  bool read_memory16();
  bool read_operand(unsigned position, OperandForm form);
  bool read_register_operand(Operand& operand, OperandForm form, unsigned size);
  bool read_immediate_operand(Operand& operand, OperandForm form, unsigned size);
  bool is_allowed() const;

  unsigned size_in_bytes(OperandSize size) const;
  void set_gpr(Operand& operand, unsigned reg, unsigned size) const;
  void set_vector(Operand& operand, unsigned reg, unsigned size) const;
  void set_rm_memory(Operand& operand, unsigned size) const;
  u8 reg() const { return static_cast<u8>(insn_.reg_field() | (rex_ & 4) << 1); }
  u8 rm() const { return static_cast<u8>(insn_.rm_field() | (rex_ & 1) << 3); }
  // Outside 64-bit mode the top bit of a used vvvv is ignored [SDM2 2.3.5.6].
  unsigned vvvv() const { return vvvv_ & (mode64_ ? 15u : 7u); }
  bool is_register() const { return insn_.modrm >= 0xC0; }

  Cursor cursor_;
  Insn& insn_;
  const DecodeTables& tables_;
  const DecodeForm* form_ = nullptr;
  const bool mode64_;
  u8 rex_ = 0;   // W R X B, from REX or VEX
  u8 vvvv_ = 0;  // as a register number
  PrefixKind prefix_ = PrefixKind::None;
};

// Consumes the prefixes and returns the first opcode byte. A REX counts only right before the opcode.
u8 Decoder::read_prefixes() {
  for (;;) {
    const u8 byte = cursor_.next();
    switch (byte) {
      case 0x66: insn_.operand_size_prefix = true; break;
      case 0x67: insn_.address_size_prefix = true; break;
      case 0xF0: insn_.lock = true; break;
      case 0xF2: insn_.rep = RepPrefix::Repne; break;
      case 0xF3: insn_.rep = RepPrefix::Rep; break;
      case 0x64: insn_.segment_override = Segment::Fs; break;
      case 0x65: insn_.segment_override = Segment::Gs; break;
      // ES, CS, SS and DS prefixes do nothing in 64-bit mode [SDM2 2.2.1.2].
      case 0x26:
      case 0x2E:
      case 0x36:
      case 0x3E:
        if (!mode64_) insn_.segment_override = static_cast<Segment>((byte >> 3) & 3);
        break;
      default:
        if (mode64_ && (byte & 0xF0) == 0x40) {
          insn_.rex = byte;
          continue;
        }
        return byte;
    }
    insn_.rex = 0;
  }
}

// VEX prefix [SDM2 2.3]: `first` is C4 or C5, already consumed.
bool Decoder::read_vex(u8 first) {
  if (insn_.operand_size_prefix || insn_.lock || insn_.rep != RepPrefix::None || insn_.rex != 0) return false;
  insn_.vex = true;
  u8 last = cursor_.next();
  rex_ = (~last >> 5) & 4;
  unsigned map = 1;
  if (first == 0xC4) {
    rex_ = (~last >> 5) & 7;
    map = last & 0x1F;
    last = cursor_.next();
    rex_ |= (last >> 4) & 8;
  }
  if (!mode64_) rex_ &= 8;
  vvvv_ = (~last >> 3) & 15;
  insn_.vex_w = (rex_ >> 3) & 1;
  insn_.vex_l = (last >> 2) & 1;
  constexpr PrefixKind kKinds[] = {PrefixKind::None, PrefixKind::OperandSize, PrefixKind::Rep, PrefixKind::Repne};
  prefix_ = kKinds[last & 3];
  if (map < 1 || map > 3) return cursor_.overrun();
  insn_.map = static_cast<OpcodeMap>(static_cast<unsigned>(OpcodeMap::Vex0F) + map - 1);
  insn_.opcode = cursor_.next();
  return true;
}

// From the first opcode byte to map and last opcode byte.
bool Decoder::find_map(u8 opcode) {
  if (opcode == 0xC4 || opcode == 0xC5) {
    if (!mode64_ && cursor_.at_end()) return cursor_.next() == 0;  // overrun: LES, LDS or VEX is not known yet
    if (mode64_ || cursor_.peek() >= 0xC0) return read_vex(opcode);
  }
  rex_ = insn_.rex & 15;
  prefix_ = insn_.rep == RepPrefix::Rep     ? PrefixKind::Rep
            : insn_.rep == RepPrefix::Repne ? PrefixKind::Repne
            : insn_.operand_size_prefix     ? PrefixKind::OperandSize
                                            : PrefixKind::None;
  insn_.opcode = opcode;
  if (opcode != 0x0F) return true;
  insn_.map = OpcodeMap::TwoByte0F;
  insn_.opcode = cursor_.next();
  if (insn_.opcode != 0x38 && insn_.opcode != 0x3A) return true;
  insn_.map = insn_.opcode == 0x38 ? OpcodeMap::Three0F38 : OpcodeMap::Three0F3A;
  insn_.opcode = cursor_.next();
  return true;
}

const DecodeForm* Decoder::find_form() {
  const DecodeNode& node = tables_.node(mode64_, insn_.map, insn_.opcode);
  if (node.base == 0) return nullptr;
  if (node.has_modrm) {
    insn_.has_modrm = true;
    insn_.modrm = cursor_.next();
  }
  const unsigned selector =
      static_cast<unsigned>(prefix_) * node.prefix_stride + (insn_.vex_l * 2u + insn_.vex_w) * node.vex_stride;
  const u16 cell = tables_.cells[node.base + selector * node.modrm_count + modrm_index(node.modrm_count, insn_.modrm)];
  if (cell == 0) return nullptr;
  // 90 is XCHG rAX, r8 with REX.B, else NOP or PAUSE.
  if (insn_.opcode == 0x90 && insn_.map == OpcodeMap::OneByte && (rex_ & 1) && prefix_ != PrefixKind::Rep) {
    return &tables_.forms[tables_.exchange_row];
  }
  return &tables_.forms[cell - 1];
}

void Decoder::set_sizes() {
  const bool w = (rex_ & 8) != 0;
  if (mode64_) {
    const bool is_short = insn_.operand_size_prefix;
    insn_.operand_size = w ? 8 : is_short ? 2 : 4;
    if ((form_->attributes & attribute::kDefault64) && !is_short) insn_.operand_size = 8;
    if (form_->attributes & attribute::kForce64) insn_.operand_size = 8;
    insn_.address_size = insn_.address_size_prefix ? 4 : 8;
  } else {
    const bool is_32 = insn_.mode == CodeSize::Bits32;
    insn_.operand_size = is_32 != insn_.operand_size_prefix ? 4 : 2;
    insn_.address_size = is_32 != insn_.address_size_prefix ? 4 : 2;
  }
}

unsigned Decoder::size_in_bytes(OperandSize size) const {
  const unsigned operand = insn_.operand_size;
  const unsigned vector = insn_.vex_l ? 32 : 16;
  const bool w64 = mode64_ && (rex_ & 8);
  switch (size) {
    case OperandSize::None: return 0;
    case OperandSize::B: return 1;
    case OperandSize::W: return 2;
    case OperandSize::D: return 4;
    case OperandSize::Q: return 8;
    case OperandSize::T: return 10;
    case OperandSize::Dq: return 16;
    case OperandSize::Qq: return 32;
    case OperandSize::V: return operand;
    case OperandSize::Y: return w64 ? 8 : 4;
    case OperandSize::Z: return operand == 2 ? 2 : 4;
    case OperandSize::N: return mode64_ ? 8 : 4;
    case OperandSize::A: return operand * 2;
    case OperandSize::P: return operand + 2;
    case OperandSize::S: return mode64_ ? 10 : 6;
    case OperandSize::X: return vector;
    case OperandSize::HalfX: return vector / 2;
    case OperandSize::QuarterX: return vector / 4;
    case OperandSize::EighthX: return vector / 8;
    case OperandSize::DupX: return insn_.vex_l ? 32 : 8;
    case OperandSize::Cx: return w64 ? 16 : 8;
    case OperandSize::Env: return operand == 2 ? 14 : 28;
    case OperandSize::Save: return operand == 2 ? 94 : 108;
    case OperandSize::Fx: return 512;
  }
  return 0;
}

void Decoder::set_gpr(Operand& operand, unsigned number, unsigned size) const {
  operand.kind = OperandKind::Gpr;
  operand.reg = static_cast<u8>(number);
  operand.size = static_cast<u16>(size);
  if (size != 1) return;
  operand.kind = OperandKind::Gpr8Low;
  if (insn_.rex == 0 && number >= 4 && number < 8) {
    operand.kind = OperandKind::Gpr8High;
    operand.reg = static_cast<u8>(number - 4);
  }
}

void Decoder::set_vector(Operand& operand, unsigned number, unsigned size) const {
  operand = {size > 16 ? OperandKind::Ymm : OperandKind::Xmm, static_cast<u8>(number), static_cast<u16>(size)};
}

void Decoder::set_rm_memory(Operand& operand, unsigned size) const {
  operand = {OperandKind::Memory, 0, static_cast<u16>(size)};
}

bool Decoder::read_memory16() {
  constexpr u8 kBases[] = {3, 3, 5, 5, 6, 7, 5, 3};
  constexpr u8 kIndexes[] = {6, 7, 6, 7, kNoRegister, kNoRegister, kNoRegister, kNoRegister};
  MemoryAddress& memory = insn_.memory;
  const unsigned mod = insn_.mod(), rm_field = insn_.rm_field();
  if (mod == 0 && rm_field == 6) {
    memory.displacement = sign_extend(cursor_.next_sized(2), 16);
    return true;
  }
  memory.base = kBases[rm_field];
  memory.index = kIndexes[rm_field];
  if (mod == 1) memory.displacement = sign_extend(cursor_.next(), 8);
  if (mod == 2) memory.displacement = sign_extend(cursor_.next_sized(2), 16);
  return true;
}

// The memory operand of ModRM, SIB and displacement [SDM2 Tables 2-1 to 2-3].
bool Decoder::read_memory(bool vsib) {
  MemoryAddress& memory = insn_.memory;
  const unsigned mod = insn_.mod();
  const bool has_sib = insn_.address_size != 2 && insn_.rm_field() == 4;
  if (vsib && !has_sib) return false;
  if (insn_.address_size == 2) {
    read_memory16();
  } else {
    memory.base = rm();
    if (has_sib) {
      const u8 sib = cursor_.next();
      memory.base = static_cast<u8>((sib & 7) | (rex_ & 1) << 3);
      memory.index = static_cast<u8>(((sib >> 3) & 7) | (rex_ & 2) << 2);
      memory.scale = static_cast<u8>(1u << (sib >> 6));
      memory.vsib = vsib;
      if (memory.index == 4 && !vsib) memory.index = kNoRegister;
    }
    if (mod == 0 && (memory.base & 7) == 5) {
      memory.base = kNoRegister;
      memory.rip_relative = mode64_ && !has_sib;
      memory.displacement = sign_extend(cursor_.next_sized(4), 32);
    } else if (mod == 1) {
      memory.displacement = sign_extend(cursor_.next(), 8);
    } else if (mod == 2) {
      memory.displacement = sign_extend(cursor_.next_sized(4), 32);
    }
  }
  if (insn_.segment_override != Segment::None) return true;
  insn_.segment = memory.base == 4 || memory.base == 5 ? Segment::Ss : Segment::Ds;
  return true;
}

bool Decoder::read_register_operand(Operand& operand, OperandForm form, unsigned size) {
  switch (form.addressing) {
    case Addressing::G: set_gpr(operand, reg(), size); return true;
    case Addressing::RReg: set_gpr(operand, rm(), size); return true;
    case Addressing::Vvvv: set_gpr(operand, vvvv(), size); return true;
    case Addressing::Oreg: set_gpr(operand, (insn_.opcode & 7) | (rex_ & 1) << 3, size); return true;
    case Addressing::Acc: set_gpr(operand, 0, size); return true;
    case Addressing::CountReg: operand = {OperandKind::Gpr8Low, 1, 1}; return true;
    case Addressing::PortReg: operand = {OperandKind::Gpr, 2, 2}; return true;
    case Addressing::One: operand = {OperandKind::One, 0, 1}; return true;
    case Addressing::Sreg:
      operand = {OperandKind::Segment, static_cast<u8>(insn_.reg_field()), 2};
      return operand.reg < 6;
    case Addressing::Creg: operand = {OperandKind::Control, reg(), static_cast<u16>(size)}; return true;
    case Addressing::Dreg: operand = {OperandKind::Debug, reg(), static_cast<u16>(size)}; return operand.reg < 8;
    case Addressing::SegEs:
    case Addressing::SegCs:
    case Addressing::SegSs:
    case Addressing::SegDs:
    case Addressing::SegFs:
    case Addressing::SegGs:
      operand.kind = OperandKind::Segment;
      operand.reg = static_cast<u8>(static_cast<unsigned>(form.addressing) - static_cast<unsigned>(Addressing::SegEs));
      operand.size = 2;
      return true;
    case Addressing::MmReg:
      operand = {OperandKind::Mm, static_cast<u8>(insn_.reg_field()), static_cast<u16>(size)};
      return true;
    case Addressing::MmRmReg:
      operand = {OperandKind::Mm, static_cast<u8>(insn_.rm_field()), static_cast<u16>(size)};
      return true;
    case Addressing::XReg: set_vector(operand, reg(), size); return true;
    case Addressing::XRmReg: set_vector(operand, rm(), size); return true;
    case Addressing::XVvvv:
      if (insn_.vex) {
        set_vector(operand, vvvv(), size);
      } else {
        operand = insn_.operands[0];
      }
      return true;
    case Addressing::XZero: set_vector(operand, 0, size); return true;
    case Addressing::StTop: operand = {OperandKind::St, 0, 10}; return true;
    case Addressing::StRm: operand = {OperandKind::St, static_cast<u8>(insn_.rm_field()), 10}; return true;
    default: return false;
  }
}

bool Decoder::read_immediate_operand(Operand& operand, OperandForm form, unsigned size) {
  operand.size = static_cast<u16>(size);
  switch (form.addressing) {
    case Addressing::Imm:
      operand.kind = OperandKind::Immediate;
      insn_.imm = cursor_.next_sized(size);
      return true;
    case Addressing::ImmSigned:
      operand.kind = OperandKind::Immediate;
      operand.size = insn_.operand_size;
      insn_.imm = static_cast<u64>(sign_extend(cursor_.next_sized(size), size * 8));
      return true;
    case Addressing::Imm2:
      operand.kind = OperandKind::Immediate2;
      insn_.imm2 = cursor_.next_sized(size);
      return true;
    case Addressing::Rel:
      operand.kind = OperandKind::Relative;
      operand.size = insn_.operand_size;
      insn_.imm = static_cast<u64>(sign_extend(cursor_.next_sized(size), size * 8));
      return true;
    case Addressing::Far:
      operand.kind = OperandKind::FarPointer;
      insn_.imm = cursor_.next_sized(insn_.operand_size);
      insn_.imm2 = cursor_.next_sized(2);
      return true;
    case Addressing::Offs:
      operand.kind = OperandKind::MemoryOffset;
      insn_.memory.displacement = static_cast<i64>(cursor_.next_sized(insn_.address_size));
      return true;
    case Addressing::XIs4:
      insn_.imm = cursor_.next();
      set_vector(operand, (insn_.imm >> 4) & (mode64_ ? 15 : 7), size);
      return true;
    default: return false;
  }
}

bool Decoder::read_operand(unsigned position, OperandForm form) {
  Operand& operand = insn_.operands[position];
  const unsigned size = size_in_bytes(form.size);
  switch (form.addressing) {
    case Addressing::E: is_register() ? set_gpr(operand, rm(), size) : set_rm_memory(operand, size); return true;
    case Addressing::ERegVMem:
      is_register() ? set_gpr(operand, rm(), insn_.operand_size) : set_rm_memory(operand, size);
      return true;
    case Addressing::ERegDMem: is_register() ? set_gpr(operand, rm(), 4) : set_rm_memory(operand, size); return true;
    case Addressing::Mem:
    case Addressing::MemVsib: set_rm_memory(operand, size); return true;
    case Addressing::MmRm:
      set_rm_memory(operand, size);
      if (is_register()) operand = {OperandKind::Mm, static_cast<u8>(insn_.rm_field()), static_cast<u16>(size)};
      return true;
    case Addressing::XRm: is_register() ? set_vector(operand, rm(), size) : set_rm_memory(operand, size); return true;
    case Addressing::Src: operand = {OperandKind::StringSource, 0, static_cast<u16>(size)}; return true;
    case Addressing::Dst: operand = {OperandKind::StringDestination, 0, static_cast<u16>(size)}; return true;
    default: break;
  }
  return read_register_operand(operand, form, size) || read_immediate_operand(operand, form, size);
}

// What a complete encoding may still violate.
bool Decoder::is_allowed() const {
  if (insn_.lock && (!(form_->attributes & attribute::kLockable) || is_register())) return false;
  if (insn_.vex && !form_->uses_vvvv && vvvv_ != 0) return false;
  for (unsigned i = 0; i < insn_.operand_count; ++i) {
    const Operand& operand = insn_.operands[i];
    if (operand.kind == OperandKind::Segment && insn_.map == OpcodeMap::OneByte && insn_.opcode == 0x8E &&
        operand.reg == static_cast<u8>(Segment::Cs)) {
      return false;
    }
    if (operand.kind == OperandKind::Control && !((0x11Du >> operand.reg) & 1)) return false;
  }
  if (insn_.memory.vsib) {
    // Destination, index and mask of a gather must be three registers [SDM2 VGATHER].
    const u8 destination = insn_.operands[0].reg, mask = insn_.operands[2].reg, index = insn_.memory.index;
    if (destination == mask || destination == index || mask == index) return false;
  }
  return true;
}

DecodeStatus Decoder::run() {
  const u8 first = read_prefixes();
  if (cursor_.overrun()) return cursor_.end_status();
  if (!find_map(first)) return DecodeStatus::Invalid;
  if (cursor_.overrun()) return cursor_.end_status();
  form_ = find_form();
  if (cursor_.overrun()) return cursor_.end_status();
  if (form_ == nullptr) return DecodeStatus::Invalid;

  insn_.operation = form_->operation;
  insn_.row = form_->row;
  set_sizes();
  if (insn_.segment_override != Segment::None) insn_.segment = insn_.segment_override;
  if (form_->is_condition) insn_.condition = static_cast<Condition>(insn_.opcode & 15);
  if (form_->attributes & attribute::kIgnoreMod) insn_.modrm |= 0xC0;
  if (insn_.has_modrm && !is_register()) {
    const bool vsib = form_->operand_count > 1 && form_->operands[1].addressing == Addressing::MemVsib;
    if (!read_memory(vsib)) return DecodeStatus::Invalid;
  }
  insn_.operand_count = form_->operand_count;
  for (unsigned i = 0; i < form_->operand_count; ++i) {
    if (!read_operand(i, form_->operands[i])) return DecodeStatus::Invalid;
  }
  if (cursor_.overrun()) return cursor_.end_status();
  if (!is_allowed()) return DecodeStatus::Invalid;
  if (form_->size_class == SizeClass::Byte) insn_.operand_size = 1;
  if (form_->size_class == SizeClass::Gpr) insn_.operand_size = static_cast<u8>(size_in_bytes(OperandSize::Y));
  insn_.length = static_cast<u8>(cursor_.position());
  return DecodeStatus::Ok;
}

}  // namespace

DecodeStatus decode_into(std::span<const u8> bytes, CodeSize mode, Insn& insn) {
  return Decoder(bytes, mode, insn).run();
}

}  // namespace xm::cpu
