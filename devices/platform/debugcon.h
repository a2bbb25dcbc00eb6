// SPDX-License-Identifier: GPL-2.0-or-later
// Debug console, `-debugcon`: every byte written to its one port (E9h in Bochs and QEMU) goes to a back end; reading
// the port gives E9h, by which guests find it.
#pragma once

#include <algorithm>
#include <vector>

#include "devices/char/char_backend.h"
#include "emu/bus/device.h"
#include "emu/bus/port_space.h"

namespace xm::devices {

class Debugcon final : public bus::Device, public bus::PortHandler, public CharFrontend {
 public:
  explicit Debugcon(CharBackend& backend) : backend_(backend) { backend_.attach(this); }
  ~Debugcon() override { backend_.attach(nullptr); }

  std::string_view name() const override { return "debugcon"; }
  void reset() override {}
  void exchange(bus::Archive&) override {}

  u32 port_read(Port, unsigned) override { return 0xE9; }
  void port_write(Port, u32 value, unsigned) override {
    if (waiting_.size() < kMostWaiting) waiting_.push_back(static_cast<u8>(value));
    writable();
  }

  std::size_t can_receive() override { return kMostWaiting; }
  void receive(std::span<const u8>) override {}  // output only
  void event(CharEvent) override {}
  void writable() override {
    const std::size_t sent = std::min(backend_.write(waiting_), waiting_.size());
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(sent));
  }

 private:
  static constexpr std::size_t kMostWaiting = 65'536;  // a back end that stays full loses what comes then
  CharBackend& backend_;
  std::vector<u8> waiting_;
};

}  // namespace xm::devices
