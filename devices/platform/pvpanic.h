// SPDX-License-Identifier: GPL-2.0-or-later
// pvpanic: one port (505h) by which a guest kernel tells that it has panicked [QEMU docs/specs/pvpanic].
#pragma once

#include <functional>

#include "emu/bus/device.h"
#include "emu/bus/port_space.h"

namespace xm::devices {

class Pvpanic final : public bus::Device, public bus::PortHandler {
 public:
  static constexpr u8 kPanicked = 1;
  static constexpr u8 kCrashLoaded = 2;  // the guest handles it itself by a crash kernel

  explicit Pvpanic(std::function<void(u8 events)> report) : report_(std::move(report)) {}

  std::string_view name() const override { return "pvpanic"; }
  void reset() override {}
  void exchange(bus::Archive&) override {}

  u32 port_read(Port, unsigned) override { return kPanicked | kCrashLoaded; }
  void port_write(Port, u32 value, unsigned) override {
    if (const auto events = static_cast<u8>(value & (kPanicked | kCrashLoaded))) report_(events);
  }

 private:
  std::function<void(u8)> report_;
};

}  // namespace xm::devices
