// SPDX-License-Identifier: GPL-2.0-or-later
// The only door through which devices reach guest memory. Every address and length may come from the guest: an access
// outside memory fails (or reads as ones), it never reaches the host. One GuestMemory per thread; copies are cheap.
#pragma once

#include <span>
#include <type_traits>

#include "emu/bus/address_space.h"

namespace xm::bus {

// Hears of writes by devices to pages that hold decoded code (page mark kPageHasCode). Any thread.
class CodeWriteListener {
 public:
  virtual void code_written(GuestPhys address, u64 size_bytes) = 0;

 protected:
  ~CodeWriteListener() = default;
};

class GuestMemory {
 public:
  explicit GuestMemory(const AddressSpace& space, CodeWriteListener* code = nullptr)
      : space_(&space), reader_(space), code_(code) {}
  GuestMemory(const GuestMemory& other) : GuestMemory(*other.space_, other.code_) {}
  GuestMemory& operator=(const GuestMemory&) = delete;

  // Copies; false if any byte is not memory (the readable part has been copied, the rest of `to` is all ones).
  bool read(GuestPhys from, std::span<u8> to);
  // Copies; false if any byte is neither RAM nor ROM (ROM swallows writes). Reports writes to code.
  bool write(GuestPhys to, std::span<const u8> from);
  bool fill(GuestPhys to, u8 value, u64 size_bytes);

  // A value of little-endian guest memory; all ones where there is no memory.
  template <class T>
  requires std::is_trivially_copyable_v<T> T load(GuestPhys from) {
    T value;
    read(from, {reinterpret_cast<u8*>(&value), sizeof value});
    return value;
  }
  template <class T>
  requires std::is_trivially_copyable_v<T>
  bool store(GuestPhys to, const T& value) { return write(to, {reinterpret_cast<const u8*>(&value), sizeof value}); }

  // Host view of a guest range that lies within one RAM range, for back ends that read or write in place; empty if it
  // does not. After writing through it call wrote().
  std::span<u8> window(GuestPhys address, u64 size_bytes, bool for_write);
  void wrote(GuestPhys address, u64 size_bytes);

 private:
  const AddressSpace* space_;
  AddressSpace::Reader reader_;
  CodeWriteListener* code_;
};

}  // namespace xm::bus
