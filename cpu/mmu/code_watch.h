// SPDX-License-Identifier: GPL-2.0-or-later
// Who must hear of writes by this vCPU to a page that holds decoded code: the engine's block cache.
#pragma once

#include "emu/base/types.h"

namespace xm::cpu::mmu {

class CodeWatch {
 public:
  // Called after the bytes have changed, on the vCPU's thread, possibly from within a running block.
  virtual void code_changed(GuestPhys address, u64 size_bytes) = 0;

 protected:
  ~CodeWatch() = default;
};

}  // namespace xm::cpu::mmu
