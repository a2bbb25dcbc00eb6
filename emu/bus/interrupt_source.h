// SPDX-License-Identifier: GPL-2.0-or-later
// What the interrupt controllers (8259, local APIC) ask of a vCPU. The machine implements it for each vCPU by setting
// bits in the vCPU's signal word; safe from any thread.
#pragma once

#include "emu/base/types.h"

namespace xm::bus {

class CpuPins {
 public:
  virtual void set_intr(bool level) = 0;  // a maskable interrupt is waiting (PIC through LINT0, or the local APIC)
  virtual void raise_nmi() = 0;
  virtual void raise_smi() = 0;
  virtual void raise_init() = 0;           // INIT IPI
  virtual void raise_sipi(u8 vector) = 0;  // start-up IPI: begin at vector << 12

 protected:
  ~CpuPins() = default;
};

}  // namespace xm::bus
