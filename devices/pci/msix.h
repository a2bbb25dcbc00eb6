// SPDX-License-Identifier: GPL-2.0-or-later
// The MSI-X table and pending bit array of one function [PCI 6.8.2]: 16-byte entries of address, data and vector
// control in a memory region of the function. A vector that fires while masked is remembered and sent when unmasked.
#pragma once

#include <vector>

#include "emu/base/types.h"
#include "emu/bus/archive.h"

namespace xm::devices {

class MsixTable {
 public:
  class Owner {
   public:
    virtual void send_message(u64 address, u32 data) = 0;

   protected:
    ~Owner() = default;
  };

  static constexpr u32 kEntrySize = 16;

  MsixTable(Owner& owner, u16 vectors, u32 table_offset, u32 pending_offset);

  void reset();
  void exchange(bus::Archive& archive);
  u16 vectors() const { return static_cast<u16>(entries_.size()); }
  bool enabled() const { return enabled_; }
  // Message control register of the capability: bit 15 enable, bit 14 function mask.
  void set_control(u16 control);
  void notify(u16 vector);

  // Whether an access to the shared region belongs to the table or the pending bits.
  bool owns(u64 offset) const;
  u64 read(u64 offset, unsigned size_bytes) const;
  void write(u64 offset, u64 value, unsigned size_bytes);

 private:
  struct Entry {
    u32 address_low;
    u32 address_high;
    u32 data;
    u32 vector_control;  // bit 0: masked
  };
  bool masked(u16 vector) const { return function_mask_ || (entries_[vector].vector_control & 1) != 0; }
  void flush(u16 vector);
  u32 dword(u64 offset) const;

  Owner& owner_;
  u32 table_offset_;
  u32 pending_offset_;
  std::vector<Entry> entries_;
  std::vector<u8> pending_;  // one bit a vector, padded to 8 bytes
  bool enabled_ = false;
  bool function_mask_ = false;
};

}  // namespace xm::devices
