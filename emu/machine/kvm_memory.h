// SPDX-License-Identifier: GPL-2.0-or-later
// Turns the physical map into KVM's memory slots whenever it changes.
#pragma once

#include <vector>

#include "cpu/kvm/kvm_vm.h"
#include "emu/bus/address_space.h"

namespace xm::machine {

class KvmMemory final : private bus::AddressSpaceListener {
 public:
  KvmMemory(cpu::kvm::KvmVm& vm, bus::AddressSpace& space) : vm_(vm), space_(space) {
    space_.add_listener(*this);
    bus::AddressSpace::Reader reader(space_);
    map_changed(reader.view());
  }
  ~KvmMemory() { space_.remove_listener(*this); }
  KvmMemory(const KvmMemory&) = delete;
  KvmMemory& operator=(const KvmMemory&) = delete;

 private:
  // RAM becomes a slot, ROM a read-only one; all else (and ROM over RAM that takes the writes) is left to exits. A page
  // that ranges share can be no slot.
  void map_changed(const bus::FlatView& view) override {
    std::vector<cpu::kvm::MemorySlot> slots;
    for (const bus::FlatRange& range : view.ranges) {
      const bool ram = range.read.host != nullptr && range.read.host == range.write.host;
      const bool rom = range.read.host != nullptr && range.write.discard;
      if ((!ram && !rom) || ((range.first | (range.last + 1)) & kPageMask) != 0) continue;
      slots.push_back({range.first, range.last - range.first + 1, range.read.host, rom});
    }
    vm_.set_memory(slots);
  }

  cpu::kvm::KvmVm& vm_;
  bus::AddressSpace& space_;
};

}  // namespace xm::machine
