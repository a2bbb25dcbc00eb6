// SPDX-License-Identifier: GPL-2.0-or-later
// What lies behind recently used physical pages, so that page walks and TLB refills need not ask the machine's map.
#pragma once

#include <array>

#include "cpu/bus_port.h"

namespace xm::cpu::mmu {

class PhysCache {
 public:
  explicit PhysCache(BusPort& bus) : bus_(bus) {}

  // `address` may be anywhere in the page.
  const PhysPage& page(u64 address) {
    const u64 number = address >> 12;
    Entry& entry = entries_[number % kEntries];
    if (entry.number_plus_one != number + 1) {
      entry.page = bus_.resolve_page(GuestPhys{address & ~kPageMask});
      entry.number_plus_one = number + 1;
    }
    return entry.page;
  }
  void clear() {
    for (Entry& entry : entries_) entry.number_plus_one = 0;
  }

 private:
  static constexpr unsigned kEntries = 1024;
  struct Entry {
    u64 number_plus_one = 0;
    PhysPage page;
  };
  BusPort& bus_;
  std::array<Entry, kEntries> entries_;
};

}  // namespace xm::cpu::mmu
