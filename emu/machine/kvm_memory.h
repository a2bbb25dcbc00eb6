// SPDX-License-Identifier: GPL-2.0-or-later
// Turns the physical map into KVM's memory slots whenever it changes.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "cpu/kvm/kvm_vm.h"
#include "emu/bus/address_space.h"

namespace xm::machine {

class KvmMemory final : private bus::AddressSpaceListener {
 public:
  // `place` tells where KVM finds what the space has at a host address (lockstep runs have a second copy of memory).
  using Place = std::function<u8*(u8*)>;
  KvmMemory(
      cpu::kvm::KvmVm& vm, bus::AddressSpace& space, Place place = [](u8* host) { return host; })
      : vm_(vm), space_(space), place_(std::move(place)) {
    space_.add_listener(*this);
    bus::AddressSpace::Reader reader(space_);
    map_changed(reader.view());
  }
  ~KvmMemory() { space_.remove_listener(*this); }
  KvmMemory(const KvmMemory&) = delete;
  KvmMemory& operator=(const KvmMemory&) = delete;
  // The first thing that went wrong.
  const Result<void>& state() const { return state_; }

 private:
  // RAM becomes a slot, ROM a read-only one; all else (and ROM over RAM that takes the writes) is left to exits. A page
  // that ranges share can be no slot.
  void map_changed(const bus::FlatView& view) override {
    std::vector<cpu::kvm::MemorySlot> slots;
    for (const bus::FlatRange& range : view.ranges) {
      const bool ram = range.read.host != nullptr && range.read.host == range.write.host;
      const bool rom = range.read.host != nullptr && range.write.discard && vm_.facts().read_only_memory;
      if ((!ram && !rom) || ((range.first | (range.last + 1)) & kPageMask) != 0) continue;
      slots.push_back({range.first, range.last - range.first + 1, place_(range.read.host), rom});
    }
    const Result<void> done = vm_.set_memory(slots);
    if (!done.ok()) state_ = done;
  }

  cpu::kvm::KvmVm& vm_;
  bus::AddressSpace& space_;
  const Place place_;
  Result<void> state_;
};

}  // namespace xm::machine
