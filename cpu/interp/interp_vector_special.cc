// SPDX-License-Identifier: GPL-2.0-or-later
// Vector instructions that touch memory in parts (masked moves, gathers), the control register MXCSR, the x87 tags
// (EMMS), all registers (VZEROALL, VZEROUPPER) or general registers besides their operands (string compares). [SDM2]
#include "cpu/interp/vector_operands.h"
#include "cpu/semantics/vector_string.h"

namespace xm::cpu::interp {
namespace {

template <bool (*kExecute)(Vcpu&, const Insn&)>
const Op* handler(Vcpu& cpu, const Op* op) {
  sync_rip(cpu, op);  // addresses may be relative to it
  return kExecute(cpu, *op->insn) ? next(cpu, op) : fault(cpu, op);
}

bool ldmxcsr(Vcpu& cpu, const Insn& insn) {
  u32 value = 0;
  if (!check_vector(cpu, insn) || !cpu.read(insn.segment, cpu.effective_address(insn), value)) return false;
  if (value >> 16 != 0) return cpu.raise(Vector::Gp, 0);
  // Loading state.mxcsr alone would leave the x87 in the host for nothing: both go together.
  leave_host_fp(cpu);
  cpu.state.mxcsr = value;
  return true;
}

bool stmxcsr(Vcpu& cpu, const Insn& insn) {
  if (!check_vector(cpu, insn)) return false;
  leave_host_fp(cpu);
  return cpu.write(insn.segment, cpu.effective_address(insn), cpu.state.mxcsr);
}

bool emms(Vcpu& cpu, const Insn&) {
  if (!check_mmx(cpu)) return false;
  leave_host_fp(cpu);
  cpu.state.x87.tag_valid = 0;
  cpu.state.x87.status &= static_cast<u16>(~0x3800);  // TOP becomes 0, as after any MMX instruction
  return true;
}

bool vzeroupper(Vcpu& cpu, const Insn& insn) {
  if (!check_vector(cpu, insn)) return false;
  const unsigned count = insn.mode == CodeSize::Bits64 ? 16 : 8;
  for (unsigned i = 0; i < count; ++i) cpu.state.vector[i].q[2] = cpu.state.vector[i].q[3] = 0;
  return true;
}

bool vzeroall(Vcpu& cpu, const Insn& insn) {
  if (!check_vector(cpu, insn)) return false;
  const unsigned count = insn.mode == CodeSize::Bits64 ? 16 : 8;
  for (unsigned i = 0; i < count; ++i) cpu.state.vector[i] = {};
  return true;
}

// --- masked stores of bytes: to DS:rDI, or the override's segment
bool maskmov(Vcpu& cpu, const Insn& insn) {
  if (!check_vector(cpu, insn)) return false;
  const bool mmx = has_mmx_operand(insn);
  if (mmx) leave_host_fp(cpu);
  VectorRegister data, mask;
  if (!read_vector_operand(cpu, insn, 0, data) || !read_vector_operand(cpu, insn, 1, mask)) return false;
  const unsigned count = mmx ? 8 : 16;
  const u64 base = cpu.gpr(gpr::kRdi, insn.address_size);
  const Segment segment = insn.segment_override != Segment::None ? insn.segment_override : Segment::Ds;
  const u64 limit = mask_of_bytes(insn.address_size);
  const auto selected = [&](unsigned i) { return has_bit(mask.q[i / 8], i % 8 * 8 + 7); };
  for (unsigned i = 0; i < count; ++i) {
    if (selected(i) && !cpu.probe_write(segment, (base + i) & limit, 1)) return false;
  }
  for (unsigned i = 0; i < count; ++i) {
    const auto value = static_cast<u8>(data.q[i / 8] >> i % 8 * 8);
    if (selected(i) && !cpu.write(segment, (base + i) & limit, value)) return false;
  }
  if (mmx) enter_mmx_state(cpu);
  return true;
}

// --- element access for the AVX forms; kSize is that of an element
template <unsigned kSize>
u64 element(const VectorRegister& r, unsigned i) {
  return load_le_sized(reinterpret_cast<const u8*>(r.q.data()) + i * kSize, kSize);
}
template <unsigned kSize>
void set_element(VectorRegister& r, unsigned i, u64 value) {
  store_le_sized(reinterpret_cast<u8*>(r.q.data()) + i * kSize, value, kSize);
}
template <unsigned kSize>
bool is_selected(const VectorRegister& mask, unsigned i) {
  return has_bit(element<kSize>(mask, i), kSize * 8 - 1);
}
template <unsigned kSize>
bool read_element(Vcpu& cpu, Segment segment, u64 offset, u64& value) {
  if constexpr (kSize == 8) return cpu.read(segment, offset, value);
  u32 narrow = 0;
  if (!cpu.read(segment, offset, narrow)) return false;
  value = narrow;
  return true;
}

// The operand is one: its elements follow each other beyond the end of what the address size reaches.
template <unsigned kSize>
bool masked_load(Vcpu& cpu, const Insn& insn, unsigned count) {
  const VectorRegister mask = cpu.state.vector[insn.operands[1].reg];
  VectorRegister result{};
  const u64 base = cpu.effective_address(insn);
  for (unsigned i = 0; i < count; ++i) {
    u64 value = 0;
    if (!is_selected<kSize>(mask, i)) continue;
    if (!read_element<kSize>(cpu, insn.segment, base + i * kSize, value)) return false;
    set_element<kSize>(result, i, value);
  }
  cpu.state.vector[insn.operands[0].reg] = result;
  return true;
}

template <unsigned kSize>
bool masked_store(Vcpu& cpu, const Insn& insn, unsigned count) {
  const VectorRegister &mask = cpu.state.vector[insn.operands[1].reg], &data = cpu.state.vector[insn.operands[2].reg];
  const u64 base = cpu.effective_address(insn);
  for (unsigned i = 0; i < count; ++i) {
    if (is_selected<kSize>(mask, i) && !cpu.probe_write(insn.segment, base + i * kSize, kSize)) return false;
  }
  for (unsigned i = 0; i < count; ++i) {
    if (!is_selected<kSize>(mask, i)) continue;
    const u64 offset = base + i * kSize, value = element<kSize>(data, i);
    const bool ok =
        kSize == 8 ? cpu.write(insn.segment, offset, value) : cpu.write(insn.segment, offset, static_cast<u32>(value));
    if (!ok) return false;
  }
  return true;
}

template <unsigned kSize>
bool masked_move(Vcpu& cpu, const Insn& insn) {
  if (!check_vector(cpu, insn)) return false;
  const unsigned count = (insn.vex_l ? 32 : 16) / kSize;
  return insn.operands[0].kind == OperandKind::Memory ? masked_store<kSize>(cpu, insn, count)
                                                      : masked_load<kSize>(cpu, insn, count);
}

// Gathers complete element by element and clear its mask: a fault in the middle leaves what was done [SDM2 VPGATHERDD].
template <unsigned kSize, unsigned kIndexSize>
bool gather(Vcpu& cpu, const Insn& insn) {
  if (!check_vector(cpu, insn)) return false;
  VectorRegister& destination = cpu.state.vector[insn.operands[0].reg];
  VectorRegister& mask = cpu.state.vector[insn.operands[2].reg];
  const VectorRegister& index = cpu.state.vector[insn.memory.index];
  const unsigned count = (insn.vex_l ? 32 : 16) / (kSize > kIndexSize ? kSize : kIndexSize);
  const u64 base = insn.memory.base == kNoRegister ? 0 : cpu.state.gpr[insn.memory.base];
  const u64 limit = mask_of_bytes(insn.address_size);
  for (unsigned i = 0; i < count; ++i) {
    set_element<kSize>(mask, i, is_selected<kSize>(mask, i) ? mask_of_bytes(kSize) : 0);
  }
  for (unsigned i = 0; i < count; ++i) {
    if (!is_selected<kSize>(mask, i)) continue;
    const i64 distance = sign_extend(element<kIndexSize>(index, i), kIndexSize * 8);
    const u64 offset =
        base + static_cast<u64>(distance) * insn.memory.scale + static_cast<u64>(insn.memory.displacement);
    u64 value = 0;
    if (!read_element<kSize>(cpu, insn.segment, offset & limit, value)) return false;
    set_element<kSize>(destination, i, value);
    set_element<kSize>(mask, i, 0);
  }
  mask = {};
  for (unsigned i = count; i < 32 / kSize; ++i) set_element<kSize>(destination, i, 0);
  return true;
}

// --- SSE4a [APM4]. A length of 0 means 64; the upper quadword, undefined by the manual, is zero on silicon.
struct BitField {
  u64 mask;  // of the field's length, from bit 0
  unsigned index;
};
BitField bit_field(u64 length, u64 index) {
  return {.mask = ~u64{0} >> ((64 - (length & 63)) & 63), .index = static_cast<unsigned>(index & 63)};
}
bool has_immediates(const Insn& insn) { return insn.operands[insn.operand_count - 1u].kind == OperandKind::Immediate2; }

bool extract_field(Vcpu& cpu, const Insn& insn) {
  if (!check_vector(cpu, insn)) return false;
  const u64 value = cpu.state.vector[insn.operands[0].reg].q[0], control = cpu.state.vector[insn.operands[1].reg].q[0];
  const BitField field = has_immediates(insn) ? bit_field(insn.imm, insn.imm2) : bit_field(control, control >> 8);
  write_vector_register(cpu, insn, insn.operands[0].reg, VectorRegister{{value >> field.index & field.mask, 0, 0, 0}});
  return true;
}

bool insert_field(Vcpu& cpu, const Insn& insn) {
  if (!check_vector(cpu, insn)) return false;
  const u64 value = cpu.state.vector[insn.operands[0].reg].q[0];
  const VectorRegister& source = cpu.state.vector[insn.operands[1].reg];
  const BitField field =
      has_immediates(insn) ? bit_field(insn.imm, insn.imm2) : bit_field(source.q[1], source.q[1] >> 8);
  const u64 kept = value & ~(field.mask << field.index);
  write_vector_register(cpu, insn, insn.operands[0].reg,
                        VectorRegister{{kept | (source.q[0] & field.mask) << field.index, 0, 0, 0}});
  return true;
}

template <class T>
bool store_scalar(Vcpu& cpu, const Insn& insn) {
  if (!check_vector(cpu, insn)) return false;
  const auto value = static_cast<T>(cpu.state.vector[insn.operands[1].reg].q[0]);
  return cpu.write(insn.segment, cpu.effective_address(insn), value);
}

// --- string compares
unsigned explicit_length(u64 value, bool quadword) {
  const i64 length = quadword ? static_cast<i64>(value) : sign_extend(value, 32);
  const u64 magnitude = length < 0 ? u64{0} - static_cast<u64>(length) : static_cast<u64>(length);
  return magnitude > 16 ? 16 : static_cast<unsigned>(magnitude);
}

template <bool kExplicit, bool kIndex>
bool compare_strings(Vcpu& cpu, const Insn& insn) {
  VectorRegister a, b;
  if (!check_vector(cpu, insn) || !read_vector_operand(cpu, insn, 0, a) || !read_vector_operand(cpu, insn, 1, b)) {
    return false;
  }
  unsigned a_length = semantics::kImplicitLength, b_length = semantics::kImplicitLength;
  if constexpr (kExplicit) {
    const bool quadword = insn.mode == CodeSize::Bits64 && (insn.vex ? insn.vex_w != 0 : insn.rex_w());
    a_length = explicit_length(cpu.state.gpr[gpr::kRax], quadword);
    b_length = explicit_length(cpu.state.gpr[gpr::kRdx], quadword);
  }
  const auto out = semantics::compare_strings(a, a_length, b, b_length, static_cast<unsigned>(insn.imm));
  cpu.flags.set_status(out.flags);
  if constexpr (kIndex) {
    cpu.set_gpr(gpr::kRcx, 4, out.index);
  } else {
    write_vector_register(cpu, insn, 0, out.mask);
  }
  return true;
}

}  // namespace

Handler special_vector_handler(Operation operation) {
  using O = Operation;
  switch (operation) {
    case O::Ldmxcsr: return handler<ldmxcsr>;
    case O::Stmxcsr: return handler<stmxcsr>;
    case O::Emms: return handler<emms>;
    case O::Extrq: return handler<extract_field>;
    case O::Insertq: return handler<insert_field>;
    case O::Movntss: return handler<store_scalar<u32>>;
    case O::Movntsd: return handler<store_scalar<u64>>;
    case O::Vzeroupper: return handler<vzeroupper>;
    case O::Vzeroall: return handler<vzeroall>;
    case O::Maskmovq:
    case O::Maskmovdqu: return handler<maskmov>;
    case O::Vmaskmovps:
    case O::Vpmaskmovd: return handler<masked_move<4>>;
    case O::Vmaskmovpd:
    case O::Vpmaskmovq: return handler<masked_move<8>>;
    case O::Vpgatherdd:
    case O::Vgatherdps: return handler<gather<4, 4>>;
    case O::Vpgatherdq:
    case O::Vgatherdpd: return handler<gather<8, 4>>;
    case O::Vpgatherqd:
    case O::Vgatherqps: return handler<gather<4, 8>>;
    case O::Vpgatherqq:
    case O::Vgatherqpd: return handler<gather<8, 8>>;
    case O::Pcmpestri: return handler<compare_strings<true, true>>;
    case O::Pcmpestrm: return handler<compare_strings<true, false>>;
    case O::Pcmpistri: return handler<compare_strings<false, true>>;
    case O::Pcmpistrm: return handler<compare_strings<false, false>>;
    default: return nullptr;
  }
}

}  // namespace xm::cpu::interp
