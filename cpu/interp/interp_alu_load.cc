// SPDX-License-Identifier: GPL-2.0-or-later
// The arithmetic group with a register destination and a memory source. [SDM2 ADD .. XOR, CMP]
#include "cpu/interp/interp_alu.h"

namespace xm::cpu::interp {

namespace {

template <AluOp kOp, class T, bool kFlags>
[[gnu::always_inline]] inline void apply(Vcpu& cpu, const Op* op, T source) {
  const T result = semantics::alu<kOp, T, kFlags>(cpu.flags, get<T>(cpu, op->dst), source);
  if constexpr (semantics::writes_result(kOp)) put<T>(cpu, op->dst, result);
}

template <AluOp kOp, class T>
[[gnu::noinline]] const Op* register_memory_any(Vcpu& cpu, const Op* op) {
  {
    T source;
    if (!load_any(cpu, op, source)) return fault(cpu, op);
    apply<kOp, T, true>(cpu, op, source);
  }
  return next(cpu, op);
}

template <AluOp kOp, class T, Address kForm, bool kFlags>
const Op* register_memory(Vcpu& cpu, const Op* op) {
  const u8* host = probe_read<T, kForm>(cpu, op);
  if (__builtin_expect(host == nullptr, 0)) return register_memory_any<kOp, T>(cpu, op);
  apply<kOp, T, kFlags>(cpu, op, load_host<T>(host));
  return next(cpu, op);
}

}  // namespace

Handler alu_register_memory(AluOp alu, unsigned size_bytes, Address form, bool flags_live) {
  return for_alu_op(alu, [&]<AluOp kOp>() {
    return for_size(size_bytes, [&]<class T>() -> Handler {
      if (form == Address::Any) return register_memory_any<kOp, T>;
      if (flags_live || sizeof(T) < 4) {
        return form == Address::Base ? register_memory<kOp, T, Address::Base, true>
                                     : register_memory<kOp, T, Address::Full, true>;
      }
      return register_memory<kOp, T, Address::Full, false>;
    });
  });
}

}  // namespace xm::cpu::interp
