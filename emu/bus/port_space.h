// SPDX-License-Identifier: GPL-2.0-or-later
// The 64 Ki I/O ports. Reads that nobody answers give all ones, as the undriven ISA bus does; writes vanish. An access
// wider than its target allows, or one that straddles targets, is split into the widest pieces that fit.
// All calls need the machine lock.
#pragma once

#include <array>
#include <vector>

#include "emu/base/log.h"
#include "emu/base/types.h"

namespace xm::bus {

class PortHandler {
 public:
  // size_bytes is 1, 2 or 4 and at most the max_size_bytes given to add().
  virtual u32 port_read(Port port, unsigned size_bytes) = 0;
  virtual void port_write(Port port, u32 value, unsigned size_bytes) = 0;

 protected:
  ~PortHandler() = default;
};

class PortSpace {
 public:
  using Handle = u16;  // 0 is none

  explicit PortSpace(Log* log = nullptr) : log_(log) {}
  // Claims [first, first + count). A later claim shadows an earlier one and uncovers it again when removed.
  Handle add(Port first, unsigned count, PortHandler& handler, unsigned max_size_bytes = 1, const char* name = "");
  void remove(Handle handle);
  u32 read(Port port, unsigned size_bytes);
  void write(Port port, u32 value, unsigned size_bytes);

  struct Claim {
    u32 first;
    u32 count;
    PortHandler* handler;
    unsigned max_size_bytes;
    const char* name;
  };
  // For the monitor's map of ports; removed claims have a null handler.
  const std::vector<Claim>& claims() const { return claims_; }

 private:
  unsigned piece(u32 port, unsigned size_bytes) const;
  void paint(Handle handle);

  Log* log_;
  std::vector<Claim> claims_{Claim{0, 0, nullptr, 4, ""}};
  std::array<Handle, 65536> owner_{};
};

}  // namespace xm::bus
