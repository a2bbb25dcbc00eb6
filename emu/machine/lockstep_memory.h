// SPDX-License-Identifier: GPL-2.0-or-later
// The second copy of all guest memory that the shadow engine of a lockstep run works on. Copy and original are equal at
// every synchronisation point; in between each engine writes to its own.
#pragma once

#include <memory>
#include <vector>

#include "emu/base/result.h"
#include "emu/bus/address_space.h"

namespace xm::machine {

class LockstepMemory {
 public:
  // Copies every RAM and ROM block of the space. Marks all pages as code, so that each write by a device is reported
  // (Engine::code_written) and can be made in the copy too. Machine lock held, no CPU runs.
  static Result<std::unique_ptr<LockstepMemory>> create(bus::AddressSpace& space);
  ~LockstepMemory();
  LockstepMemory(const LockstepMemory&) = delete;
  LockstepMemory& operator=(const LockstepMemory&) = delete;

  // The place in the copy of a place in the original, and back; null for what is neither.
  u8* shadow_of(const u8* original) const;
  u8* original_of(const u8* shadow) const;

 private:
  struct Block {
    u8* original;
    u8* shadow;
    u64 size_bytes;
  };
  LockstepMemory() = default;
  std::vector<Block> blocks_;
};

}  // namespace xm::machine
