// SPDX-License-Identifier: GPL-2.0-or-later
// A guest fault as data. Whoever finds one records it in the Vcpu and returns false up to the dispatch loop, which
// delivers it to the guest (cpu/system/deliver). [SDM3 6.15]
#pragma once

#include "emu/base/types.h"

namespace xm::cpu {

enum class Vector : u8 {
  De = 0,
  Db = 1,
  Nmi = 2,
  Bp = 3,
  Of = 4,
  Br = 5,
  Ud = 6,
  Nm = 7,
  Df = 8,
  CoprocessorOverrun = 9,
  Ts = 10,
  Np = 11,
  Ss = 12,
  Gp = 13,
  Pf = 14,
  Mf = 16,
  Ac = 17,
  Mc = 18,
  Xm = 19,
};

struct Fault {
  Vector vector = Vector::Ud;
  bool has_error_code = false;
  u32 error_code = 0;
  u64 address = 0;  // #PF: goes to CR2 on delivery; #DB: the DR6 bits to set
};

}  // namespace xm::cpu
