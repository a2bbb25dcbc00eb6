// SPDX-License-Identifier: GPL-2.0-or-later
// Fast handlers of the floating-point vector instructions. [SDM2]
#include "cpu/interp/vector_fast.h"

namespace xm::cpu::interp {
namespace {

using O = Operation;
namespace k = semantics::kernel;
using fast::binary_row;
using fast::fused_row;
using fast::unary_row;

constexpr fast::Row kRows[] = {
    binary_row<k::Addps, 16>(O::Addps),
    binary_row<k::Addpd, 16>(O::Addpd),
    binary_row<k::Addss, 4>(O::Addss),
    binary_row<k::Addsd, 8>(O::Addsd),
    binary_row<k::Subps, 16>(O::Subps),
    binary_row<k::Subpd, 16>(O::Subpd),
    binary_row<k::Subss, 4>(O::Subss),
    binary_row<k::Subsd, 8>(O::Subsd),
    binary_row<k::Mulps, 16>(O::Mulps),
    binary_row<k::Mulpd, 16>(O::Mulpd),
    binary_row<k::Mulss, 4>(O::Mulss),
    binary_row<k::Mulsd, 8>(O::Mulsd),
    binary_row<k::Divps, 16>(O::Divps),
    binary_row<k::Divpd, 16>(O::Divpd),
    binary_row<k::Divss, 4>(O::Divss),
    binary_row<k::Divsd, 8>(O::Divsd),
    binary_row<k::Minps, 16>(O::Minps),
    binary_row<k::Minpd, 16>(O::Minpd),
    binary_row<k::Minss, 4>(O::Minss),
    binary_row<k::Minsd, 8>(O::Minsd),
    binary_row<k::Maxps, 16>(O::Maxps),
    binary_row<k::Maxpd, 16>(O::Maxpd),
    binary_row<k::Maxss, 4>(O::Maxss),
    binary_row<k::Maxsd, 8>(O::Maxsd),
    binary_row<k::Sqrtss, 4>(O::Sqrtss),
    binary_row<k::Sqrtsd, 8>(O::Sqrtsd),
    binary_row<k::Cvtss2sd, 4>(O::Cvtss2sd),
    binary_row<k::Cvtsd2ss, 8>(O::Cvtsd2ss),
    binary_row<k::Haddpd, 16>(O::Haddpd),
    binary_row<k::Haddps, 16>(O::Haddps),
    binary_row<k::Andps, 16>(O::Andps),
    binary_row<k::Andpd, 16>(O::Andpd),
    binary_row<k::Andnps, 16>(O::Andnps),
    binary_row<k::Andnpd, 16>(O::Andnpd),
    binary_row<k::Orps, 16>(O::Orps),
    binary_row<k::Orpd, 16>(O::Orpd),
    binary_row<k::Xorps, 16>(O::Xorps),
    binary_row<k::Xorpd, 16>(O::Xorpd),
    binary_row<k::Unpcklps, 16>(O::Unpcklps),
    binary_row<k::Unpcklpd, 16>(O::Unpcklpd),
    binary_row<k::Unpckhps, 16>(O::Unpckhps),
    binary_row<k::Unpckhpd, 16>(O::Unpckhpd),
    fused_row<k::Vfmadd132ps, 16>(O::Vfmadd132ps),
    fused_row<k::Vfmadd132pd, 16>(O::Vfmadd132pd),
    fused_row<k::Vfmadd213ps, 16>(O::Vfmadd213ps),
    fused_row<k::Vfmadd213pd, 16>(O::Vfmadd213pd),
    fused_row<k::Vfmadd231ps, 16>(O::Vfmadd231ps),
    fused_row<k::Vfmadd231pd, 16>(O::Vfmadd231pd),
    fused_row<k::Vfmadd132ss, 4>(O::Vfmadd132ss),
    fused_row<k::Vfmadd132sd, 8>(O::Vfmadd132sd),
    fused_row<k::Vfmadd213ss, 4>(O::Vfmadd213ss),
    fused_row<k::Vfmadd213sd, 8>(O::Vfmadd213sd),
    fused_row<k::Vfmadd231ss, 4>(O::Vfmadd231ss),
    fused_row<k::Vfmadd231sd, 8>(O::Vfmadd231sd),
};

constexpr fast::Row kUnaryRows[] = {
    unary_row<k::Sqrtps, 16>(O::Sqrtps),       unary_row<k::Sqrtpd, 16>(O::Sqrtpd),
    unary_row<k::Cvtdq2ps, 16>(O::Cvtdq2ps),   unary_row<k::Cvtps2dq, 16>(O::Cvtps2dq),
    unary_row<k::Cvttps2dq, 16>(O::Cvttps2dq), unary_row<k::Movddup, 8>(O::Movddup),
    unary_row<k::Movshdup, 16>(O::Movshdup),   unary_row<k::Movsldup, 16>(O::Movsldup),
};

}  // namespace

bool select_fast_float(const BuildContext& context, const Insn& insn, Op& op) {
  if (const fast::Row* row = fast::find_row(kRows, insn.operation)) return fast::use_row(*row, context, insn, op);
  if (insn.vex_l != 0) return false;
  const fast::Row* row = fast::find_row(kUnaryRows, insn.operation);
  return row != nullptr && fast::use_row(*row, context, insn, op);
}

}  // namespace xm::cpu::interp
