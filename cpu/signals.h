// SPDX-License-Identifier: GPL-2.0-or-later
// The vCPU's input pins and requests from other threads: one atomic word that the engine looks at between blocks.
// Setters may run on any thread; only the vCPU's own thread clears.
#pragma once

#include <atomic>

#include "emu/base/types.h"

namespace xm::cpu {

struct Signals {
  static constexpr u32 kIntr = 1 << 0;         // INTR is high: a level, set and cleared by the interrupt controller
  static constexpr u32 kNmi = 1 << 1;          // latched
  static constexpr u32 kSmi = 1 << 2;          // latched
  static constexpr u32 kInit = 1 << 3;         // latched
  static constexpr u32 kSipi = 1 << 4;         // latched, vector in sipi_vector
  static constexpr u32 kStop = 1 << 5;         // leave run() with ExitKind::Stop at the next instruction boundary
  static constexpr u32 kCodeWritten = 1 << 6;  // somebody else wrote to a page that holds decoded code
  static constexpr u32 kMapChanged = 1 << 7;   // the physical map changed: drop TLB entries and decoded blocks
  static constexpr u32 kReset = 1 << 8;        // system reset is pending: leave run() with ExitKind::Stop

  std::atomic<u32> word{0};
  std::atomic<u8> sipi_vector{0};

  void set(u32 mask) { word.fetch_or(mask, std::memory_order_seq_cst); }
  void clear(u32 mask) { word.fetch_and(~mask, std::memory_order_seq_cst); }
  u32 load() const { return word.load(std::memory_order_relaxed); }
};

}  // namespace xm::cpu
