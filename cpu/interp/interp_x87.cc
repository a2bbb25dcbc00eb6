// SPDX-License-Identifier: GPL-2.0-or-later
// x87 arithmetic, moves, compares and transcendental functions: one handler for each pair of opcode bytes. [SDM2]
#include "cpu/interp/interp_x87.h"

#include <array>
#include <utility>

#include "cpu/interp/build_context.h"
#include "cpu/interp/fp_handlers.h"
#include "cpu/semantics/x87_image.h"

namespace xm::cpu::interp {

namespace {

constexpr u16 kFlags = 0x3F, kStackFault = 0x40, kPrecision = 0x20;

u64 memory_offset(const Vcpu& cpu, const Insn& insn) { return cpu.effective_address(insn); }

// FOP, FDP and FERR# after an unmasked exception.
void note_x87_error(Vcpu& cpu, const Op* op) {
  const Insn& insn = *op->insn;
  X87State& x87 = cpu.state.x87;
  x87.opcode = static_cast<u16>((insn.opcode & 7) << 8 | insn.modrm);
  if (insn.mod() != 3) {
    x87.data_pointer = memory_offset(cpu, insn);
    x87.data_selector = cpu.mode.bits64 ? u16{0} : cpu.state.segment[static_cast<unsigned>(insn.segment)].selector;
  }
  if (cpu.state.cr0 & cr0::kNe) return;
  leave_host_fp(cpu);
  cpu.bus.set_ferr(true);
}

bool run_unmasked(Vcpu& cpu, const Op* op, X87Kernel kernel, void* memory) {
  X87State& x87 = cpu.state.x87;
  // Only with IGNNE# can an error be pending here; the host must not trap on it.
  const u16 pending = x87.status & kX87ErrorSummary ? x87.status & (kFlags | kStackFault) : 0;
  x87.status &= static_cast<u16>(~(pending | kX87ErrorSummary | kX87Busy));
  semantics::load_x87(x87);
  kernel(memory);
  semantics::save_x87(x87);
  const u16 raised = x87.status & ~x87.control & kFlags;
  x87.status |= pending;
  if (pending) semantics::update_error_summary(x87);
  note_x87_instruction(cpu, op);
  if (raised == 0) return true;
  note_x87_error(cpu, op);
  return (raised & ~kPrecision) == 0;
}

}  // namespace

bool run_x87(Vcpu& cpu, const Op* op, X87Kernel kernel, void* memory) {
  if (!(cpu.host_fp.loaded & HostFp::kX87)) {
    if ((cpu.state.x87.control & kX87Masks) != kX87Masks) return run_unmasked(cpu, op, kernel, memory);
    load_host_x87(cpu);
  }
  kernel(memory);
  note_x87_instruction(cpu, op);
  return true;
}

namespace {

[[gnu::noinline]] const Op* register_form_slow(Vcpu& cpu, const Op* op, X87Kernel kernel) {
  if (!check_x87(cpu)) return fault(cpu, op);
  // Without a memory operand there is no store to suppress: whether an exception came is in the status word.
  static_cast<void>(run_x87(cpu, op, kernel, nullptr));
  return next(cpu, op);
}

template <unsigned kOpcode, unsigned kModrm>
const Op* register_form(Vcpu& cpu, const Op* op) {
  if (!x87_direct(cpu)) [[unlikely]]
    return register_form_slow(cpu, op, x87_kernel<kOpcode, kModrm>);
  x87_native<kOpcode, kModrm>(nullptr);
  note_x87_instruction(cpu, op);
  return next(cpu, op);
}

// --- FCOMI and kin: the host's CF, ZF and PF are the guest's, OF, SF and AF become zero
template <unsigned kOpcode, unsigned kModrm>
void compare_kernel(void* memory) {
  bool carry, zero, parity;
  asm volatile(".byte %c3, %c4"
               : "=@ccc"(carry), "=@ccz"(zero), "=@ccp"(parity)
               : "i"(kOpcode), "i"(kModrm)
               : "memory");
  *static_cast<u64*>(memory) = (carry ? flag::kCf : 0) | (zero ? flag::kZf : 0) | (parity ? flag::kPf : 0);
}

template <unsigned kOpcode, unsigned kModrm>
const Op* compare_form(Vcpu& cpu, const Op* op) {
  u64 flags = 0;
  if (x87_direct(cpu)) [[likely]] {
    compare_kernel<kOpcode, kModrm>(&flags);
    note_x87_instruction(cpu, op);
  } else {
    if (!check_x87(cpu)) return fault(cpu, op);
    static_cast<void>(run_x87(cpu, op, compare_kernel<kOpcode, kModrm>, &flags));
  }
  cpu.flags.set_status(flags);
  return next(cpu, op);
}

// --- FCMOVcc: SAHF gives the host the guest's CF, ZF and PF
template <unsigned kOpcode, unsigned kModrm>
void move_kernel(void* memory) {
  const u64 flags = *static_cast<u64*>(memory) << 8;
  asm volatile("sahf\n\t.byte %c1, %c2" : : "a"(flags), "i"(kOpcode), "i"(kModrm) : "memory", "cc");
}

template <unsigned kOpcode, unsigned kModrm>
const Op* move_form(Vcpu& cpu, const Op* op) {
  if (!check_x87(cpu)) return fault(cpu, op);
  u64 flags = cpu.flags.status() & 0xFF;
  static_cast<void>(run_x87(cpu, op, move_kernel<kOpcode, kModrm>, &flags));
  return next(cpu, op);
}

// --- memory forms. T is the operand in memory.
using Extended = std::array<u8, 10>;

template <unsigned kOpcode, unsigned kReg, class T>
[[gnu::noinline]] const Op* load_any(Vcpu& cpu, const Op* op) {
  const Insn& insn = *op->insn;
  sync_rip(cpu, op);  // the operand's address may be relative to it
  if (!check_x87(cpu)) return fault(cpu, op);
  T value{};
  if (!cpu.read(insn.segment, memory_offset(cpu, insn), value)) return fault(cpu, op);
  static_cast<void>(run_x87(cpu, op, x87_kernel<kOpcode, kReg << 3 | 7>, &value));
  return next(cpu, op);
}

// With unmasked exceptions whether anything is stored is known after the instruction only; without a store the place
// may be anywhere.
template <unsigned kOpcode, unsigned kReg, class T>
[[gnu::noinline]] const Op* unmasked_store(Vcpu& cpu, const Op* op, u64 offset) {
  const X87State before = cpu.state.x87;
  T value{};
  if (!run_x87(cpu, op, x87_kernel<kOpcode, kReg << 3 | 7>, &value)) return next(cpu, op);
  if (cpu.write(op->insn->segment, offset, value)) return next(cpu, op);
  cpu.state.x87 = before;
  return fault(cpu, op);
}

// The place must be writable before the stack is popped.
template <unsigned kOpcode, unsigned kReg, class T>
[[gnu::noinline]] const Op* store_any(Vcpu& cpu, const Op* op) {
  const Insn& insn = *op->insn;
  sync_rip(cpu, op);  // the operand's address may be relative to it
  if (!check_x87(cpu)) return fault(cpu, op);
  const u64 offset = memory_offset(cpu, insn);
  if (!(cpu.host_fp.loaded & HostFp::kX87) && (cpu.state.x87.control & kX87Masks) != kX87Masks) [[unlikely]] {
    return unmasked_store<kOpcode, kReg, T>(cpu, op, offset);
  }
  if (!cpu.probe_write(insn.segment, offset, sizeof(T))) return fault(cpu, op);
  T value{};
  if (!run_x87(cpu, op, x87_kernel<kOpcode, kReg << 3 | 7>, &value)) return next(cpu, op);
  return cpu.write(insn.segment, offset, value) ? next(cpu, op) : fault(cpu, op);
}

// With a TLB hit and the state in the host, the guest's own bytes run on the guest's memory.
template <unsigned kOpcode, unsigned kReg, class T, bool kStore, Address kForm>
const Op* memory_form(Vcpu& cpu, const Op* op) {
  const u8* host = kStore ? probe_write<T, kForm>(cpu, op) : probe_read<T, kForm>(cpu, op);
  if (host == nullptr || !x87_direct(cpu)) [[unlikely]] {
    return kStore ? store_any<kOpcode, kReg, T>(cpu, op) : load_any<kOpcode, kReg, T>(cpu, op);
  }
  x87_native<kOpcode, kReg << 3 | 7>(const_cast<u8*>(host));
  note_x87_instruction(cpu, op);
  return next(cpu, op);
}

// The handlers of one memory form, by how its address is made.
struct MemoryForms {
  Handler base = nullptr, full = nullptr, any = nullptr;
};
template <unsigned kOpcode, unsigned kReg, class T>
constexpr MemoryForms load_form{memory_form<kOpcode, kReg, T, false, Address::Base>,
                                memory_form<kOpcode, kReg, T, false, Address::Full>, load_any<kOpcode, kReg, T>};
template <unsigned kOpcode, unsigned kReg, class T>
constexpr MemoryForms store_form{memory_form<kOpcode, kReg, T, true, Address::Base>,
                                 memory_form<kOpcode, kReg, T, true, Address::Full>, store_any<kOpcode, kReg, T>};

// --- tables: [opcode - D8][modrm - C0] and [opcode - D8][reg field]
using RegisterHandlers = std::array<std::array<Handler, 64>, 8>;

template <template <unsigned, unsigned> class Form, std::size_t... I>
constexpr RegisterHandlers register_handlers(std::index_sequence<I...>) {
  RegisterHandlers handlers{};
  ((handlers[I / 64][I % 64] = Form<0xD8 + I / 64, 0xC0 + I % 64>::kHandler), ...);
  return handlers;
}
template <unsigned kOpcode, unsigned kModrm>
constexpr Handler pick_register_handler() {
  // DA C0-DF and DB C0-DF are FCMOVcc; DB E8-F7 and DF E8-F7 compare into EFLAGS.
  if constexpr ((kOpcode == 0xDA || kOpcode == 0xDB) && kModrm < 0xE0) {
    return move_form<kOpcode, kModrm>;
  } else if constexpr ((kOpcode == 0xDB || kOpcode == 0xDF) && kModrm >= 0xE8 && kModrm < 0xF8) {
    return compare_form<kOpcode, kModrm>;
  } else {
    return register_form<kOpcode, kModrm>;
  }
}
template <unsigned kOpcode, unsigned kModrm>
struct RegisterForm {
  static constexpr Handler kHandler = pick_register_handler<kOpcode, kModrm>();
};
constexpr RegisterHandlers kRegisterHandlers = register_handlers<RegisterForm>(std::make_index_sequence<512>());

// Operand types of D8..DF by the operation that reads them; D9 and DB, DD, DF mix loads and stores.
template <unsigned kOpcode, class T, std::size_t... kReg>
constexpr std::array<MemoryForms, 8> arithmetic_handlers(std::index_sequence<kReg...>) {
  return {load_form<kOpcode, kReg, T>...};
}
template <unsigned kOpcode, class T>
constexpr std::array<MemoryForms, 8> arithmetic_row() {
  return arithmetic_handlers<kOpcode, T>(std::make_index_sequence<8>());
}

constexpr std::array<MemoryForms, 8> kMemoryForms[] = {
    arithmetic_row<0xD8, u32>(),
    {load_form<0xD9, 0, u32>, MemoryForms{}, store_form<0xD9, 2, u32>, store_form<0xD9, 3, u32>},
    arithmetic_row<0xDA, u32>(),
    {load_form<0xDB, 0, u32>, store_form<0xDB, 1, u32>, store_form<0xDB, 2, u32>, store_form<0xDB, 3, u32>,
     MemoryForms{}, load_form<0xDB, 5, Extended>, MemoryForms{}, store_form<0xDB, 7, Extended>},
    arithmetic_row<0xDC, u64>(),
    {load_form<0xDD, 0, u64>, store_form<0xDD, 1, u64>, store_form<0xDD, 2, u64>, store_form<0xDD, 3, u64>},
    arithmetic_row<0xDE, u16>(),
    {load_form<0xDF, 0, u16>, store_form<0xDF, 1, u16>, store_form<0xDF, 2, u16>, store_form<0xDF, 3, u16>,
     load_form<0xDF, 4, Extended>, load_form<0xDF, 5, u64>, store_form<0xDF, 6, Extended>, store_form<0xDF, 7, u64>},
};

}  // namespace

Handler x87_handler(const Insn& insn) {
  if (Handler control = x87_control_handler(insn)) return control;
  if (insn.map != OpcodeMap::OneByte || insn.opcode < 0xD8 || insn.opcode > 0xDF) return nullptr;
  const unsigned row = insn.opcode - 0xD8u;
  return insn.mod() == 3 ? kRegisterHandlers[row][insn.modrm - 0xC0u] : kMemoryForms[row][insn.reg_field()].any;
}

bool select_x87(const BuildContext& context, const Insn& insn, Op& op) {
  op.handler = x87_handler(insn);
  if (op.handler == nullptr || insn.mod() == 3 || x87_control_handler(insn) != nullptr) return op.handler != nullptr;
  const MemoryForms& forms = kMemoryForms[insn.opcode - 0xD8u][insn.reg_field()];
  Address form = Address::Any;
  if (!context.memory(insn, op, form)) form = Address::Any;
  if (form != Address::Any) op.handler = form == Address::Base ? forms.base : forms.full;
  return true;
}

}  // namespace xm::cpu::interp
