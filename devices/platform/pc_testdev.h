// SPDX-License-Identifier: GPL-2.0-or-later
// pc-testdev, the device kvm-unit-tests drive: interrupt lines set by port writes, an I/O register and a page of I/O
// memory that take any access width.
//
// The machine adds: ports() at 0xE0-0xE7 (up to four bytes wide) and again at 0xE8-0xEB (one byte wide), irq_ports() at
// 0x2000-0x2017 (up to four), and the object itself as 64 KiB of MMIO at 0xFF000000. Ports 0xE4-0xE7 ask a hypervisor
// to drop the mapping of a page, which an emulator has nothing to do for.
#pragma once

#include <array>

#include "emu/base/bits.h"
#include "emu/bus/address_space.h"
#include "emu/bus/device.h"
#include "emu/bus/irq_line.h"
#include "emu/bus/port_space.h"

namespace xm::devices {

class PcTestdev final : public bus::Device, public bus::MmioHandler {
 public:
  static constexpr u64 kMmioBytes = 0x10000;

  // `lines`: the interrupt lines of the board, by GSI.
  explicit PcTestdev(bus::IrqSink& lines) : lines_(lines) {}

  std::string_view name() const override { return "pc-testdev"; }
  void reset() override {
    value_ = 0;
    memory_.fill(0);
  }
  void exchange(bus::Archive& archive) override {
    archive.field("value", value_);
    archive.field("memory", memory_);
  }

  bus::PortHandler& ports() { return ports_; }
  bus::PortHandler& irq_ports() { return irq_ports_; }

  u64 mmio_read(u64 offset, unsigned size_bytes) override {
    return offset + size_bytes <= kMmioBytes ? load_le_sized(memory_.data() + offset, size_bytes) : 0;
  }
  void mmio_write(u64 offset, u64 value, unsigned size_bytes) override {
    if (offset + size_bytes <= kMmioBytes) store_le_sized(memory_.data() + offset, value, size_bytes);
  }

 private:
  struct Ports final : bus::PortHandler {
    explicit Ports(PcTestdev& device) : owner(device) {}
    static bool is_flush(Port port) { return (port.value & 0xC) == 4; }
    u32 port_read(Port port, unsigned) override { return is_flush(port) ? 0 : owner.value_ >> (8 * (port.value & 3)); }
    void port_write(Port port, u32 value, unsigned size_bytes) override {
      if (is_flush(port)) return;
      const unsigned shift = 8 * (port.value & 3);
      const auto mask = static_cast<u32>(mask_of_bytes(size_bytes) << shift);
      owner.value_ = (owner.value_ & ~mask) | ((value << shift) & mask);
    }
    PcTestdev& owner;
  };
  struct IrqPorts final : bus::PortHandler {
    explicit IrqPorts(PcTestdev& device) : owner(device) {}
    u32 port_read(Port, unsigned) override { return 0; }
    void port_write(Port port, u32 value, unsigned) override { owner.lines_.set_input(port.value & 0x1F, value != 0); }
    PcTestdev& owner;
  };

  bus::IrqSink& lines_;
  u32 value_ = 0;
  std::array<u8, kMmioBytes> memory_{};
  Ports ports_{*this};
  IrqPorts irq_ports_{*this};
};

}  // namespace xm::devices
