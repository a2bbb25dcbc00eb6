// SPDX-License-Identifier: GPL-2.0-or-later
// isa-debug-exit: a port (`iobase=`, `iosize=`, up to four bytes wide) with which test guests end the machine; the
// process exits with (value << 1) | 1, as in QEMU.
#pragma once

#include <functional>

#include "emu/bus/device.h"
#include "emu/bus/port_space.h"

namespace xm::devices {

class IsaDebugExit final : public bus::Device, public bus::PortHandler {
 public:
  explicit IsaDebugExit(std::function<void(int status)> exit) : exit_(std::move(exit)) {}

  std::string_view name() const override { return "isa-debug-exit"; }
  void reset() override {}
  void exchange(bus::Archive&) override {}

  u32 port_read(Port, unsigned) override { return 0; }
  void port_write(Port, u32 value, unsigned) override { exit_(static_cast<int>(value << 1 | 1)); }

 private:
  std::function<void(int)> exit_;
};

}  // namespace xm::devices
