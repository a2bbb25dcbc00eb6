// SPDX-License-Identifier: GPL-2.0-or-later
// GuestView: guest memory as one vCPU's page tables map it, for monitors and debuggers. Never changes anything that the
// guest could notice: walks set no accessed bits, and device registers are not touched. All vCPUs stand still.
#pragma once

#include <optional>
#include <span>

#include "cpu/state/cpu_state.h"
#include "emu/bus/guest_memory.h"

namespace xm::machine {

class GuestView {
 public:
  GuestView(const cpu::CpuState& state, bus::AddressSpace& memory) : state_(state), memory_(memory) {}

  struct Page {
    u64 physical;    // of the address asked for
    u64 size_bytes;  // of its page
    u64 flags;       // its last page-table entry
  };
  std::optional<Page> translate(u64 linear) const;
  // How much address space around an unmapped address is unmapped for sure.
  u64 hole(u64 linear) const;
  // False if a part is not mapped or not memory; `to` is then unspecified.
  bool read(u64 linear, std::span<u8> to);
  // The same for writing, also to pages the guest may not write; the caller tells the engines of written code.
  bool write(u64 linear, std::span<const u8> from);
  bus::GuestMemory& physical() { return memory_; }

 private:
  std::optional<Page> walk_32bit(u64 linear) const;
  std::optional<Page> walk_wide(u64 linear, bool long_mode) const;
  u64 index_mask(int level, bool long_mode) const { return level == 3 && !long_mode ? 3 : 0x1FF; }

  const cpu::CpuState& state_;
  mutable bus::GuestMemory memory_;
};

}  // namespace xm::machine
