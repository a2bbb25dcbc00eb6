// SPDX-License-Identifier: GPL-2.0-or-later
// The arithmetic group with a memory destination, without LOCK. [SDM2 ADD .. XOR, CMP, TEST]
#include "cpu/interp/interp_alu.h"

namespace xm::cpu::interp {

namespace {

enum class Source : u8 { Register, Immediate };

template <class T, Source kSource>
[[gnu::always_inline]] inline T source_of(const Vcpu& cpu, const Op* op) {
  if constexpr (kSource == Source::Register)
    return get<T>(cpu, op->src);
  else
    return static_cast<T>(op->imm);
}

template <AluOp kOp, class T, Source kSource>
[[gnu::noinline]] bool change_any(Vcpu& cpu, const Op* op) {
  const T source = source_of<T, kSource>(cpu, op);
  if constexpr (!semantics::writes_result(kOp)) {
    T value;
    if (!load_any(cpu, op, value)) return false;
    semantics::alu<kOp, T>(cpu.flags, value, source);
    return true;
  } else {
    MemoryPlace<T> place;
    if (!place.open(cpu, segment_of_op(op), any_offset(cpu, op))) return false;
    const LazyFlags before = cpu.flags;
    if (place.store(cpu, semantics::alu<kOp, T>(cpu.flags, place.value(), source))) return true;
    cpu.flags = before;
    return false;
  }
}

template <AluOp kOp, class T, Source kSource>
[[gnu::noinline]] const Op* memory_any(Vcpu& cpu, const Op* op) {
  return change_any<kOp, T, kSource>(cpu, op) ? next(cpu, op) : fault(cpu, op);
}

template <AluOp kOp, class T, Source kSource>
const Op* memory_flat(Vcpu& cpu, const Op* op) {
  if constexpr (semantics::writes_result(kOp)) {
    u8* host = probe_write<T, Address::Full>(cpu, op);
    if (__builtin_expect(host == nullptr, 0)) return memory_any<kOp, T, kSource>(cpu, op);
    store_host(host, semantics::alu<kOp, T>(cpu.flags, load_host<T>(host), source_of<T, kSource>(cpu, op)));
  } else {
    const u8* host = probe_read<T, Address::Full>(cpu, op);
    if (__builtin_expect(host == nullptr, 0)) return memory_any<kOp, T, kSource>(cpu, op);
    semantics::alu<kOp, T>(cpu.flags, load_host<T>(host), source_of<T, kSource>(cpu, op));
  }
  return next(cpu, op);
}

template <Source kSource>
Handler choose(AluOp alu, unsigned size_bytes, Address form) {
  return for_alu_op(alu, [&]<AluOp kOp>() {
    return for_size(size_bytes, [&]<class T>() -> Handler {
      return form == Address::Any ? memory_any<kOp, T, kSource> : memory_flat<kOp, T, kSource>;
    });
  });
}

}  // namespace

Handler alu_memory_register(AluOp alu, unsigned size_bytes, Address form) {
  return choose<Source::Register>(alu, size_bytes, form);
}

Handler alu_memory_immediate(AluOp alu, unsigned size_bytes, Address form) {
  return choose<Source::Immediate>(alu, size_bytes, form);
}

}  // namespace xm::cpu::interp
