// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/state/lazy_flags.h"

namespace xm::cpu {

u64 LazyFlags::status() const {
  if (kind_ == Kind::Status) return b_;
  u64 word = 0;
  if (cf()) word |= flag::kCf;
  if (pf()) word |= flag::kPf;
  if (zf()) word |= flag::kZf;
  if (sf()) word |= flag::kSf;
  if (of()) word |= flag::kOf;
  u64 adjust = 0;
  switch (kind_) {
    case Kind::Add:
    case Kind::Sub: adjust = a_ ^ b_ ^ result_; break;
    case Kind::Inc:
    case Kind::Dec: adjust = a_ ^ 1 ^ result_; break;
    case Kind::Result: adjust = b_; break;
    default: break;
  }
  return word | (adjust & flag::kAf);
}

}  // namespace xm::cpu
