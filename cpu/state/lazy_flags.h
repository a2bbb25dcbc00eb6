// SPDX-License-Identifier: GPL-2.0-or-later
// The six arithmetic flags while a CPU runs.
#pragma once

#include "cpu/state/cpu_state.h"

namespace xm::cpu {

class LazyFlags {
 public:
  u64 status() const { return status_; }                             // OF SF ZF AF PF CF in their RFLAGS places
  void set_status(u64 rflags) { status_ = rflags & flag::kStatus; }  // takes the six bits, ignores the others
  bool cf() const { return (status_ & flag::kCf) != 0; }
  void set_cf(bool value) { set_status((status() & ~flag::kCf) | (value ? flag::kCf : 0)); }

 private:
  u64 status_ = 0;
};

}  // namespace xm::cpu
