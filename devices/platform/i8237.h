// SPDX-License-Identifier: GPL-2.0-or-later
// The two 8237A DMA controllers of a PC with their page registers [8237A] [82371AB 7.1.1]: channels 0-3 move bytes, 5-7
// words, 4 is the cascade. A device on a channel pushes or pulls bytes when it has them (DmaChannel).
//
// Ports, one byte wide each: first_ports() 0x00-0x0F, second_ports() 0xC0-0xDF (even ones), page_ports() 0x80-0x8F. The
// page registers that no channel uses are plain latches; the one at 0x80 holds the firmware's POST code.
// Not modelled: memory-to-memory transfers, software requests, rotating priority (one device at a time uses the bus).
#pragma once

#include <array>

#include "devices/platform/dma_channel.h"
#include "emu/bus/device.h"
#include "emu/bus/guest_memory.h"
#include "emu/bus/port_space.h"

namespace xm::devices {

class I8237Pair final : public bus::Device {
 public:
  explicit I8237Pair(const bus::GuestMemory& memory);

  std::string_view name() const override { return "i8237"; }
  void reset() override;
  void exchange(bus::Archive& archive) override;

  // 0-3 and 5-7.
  DmaChannel& channel(unsigned number) { return channels_[number & 7]; }
  u8 post_code() const { return pages_[0]; }
  bus::PortHandler& first_ports() { return controllers_[0]; }
  bus::PortHandler& second_ports() { return controllers_[1]; }
  bus::PortHandler& page_ports() { return page_ports_; }

 private:
  struct Controller;
  struct Channel final : DmaChannel {
    bool ready() const override;
    Outcome to_memory(std::span<const u8> from) override;
    Outcome from_memory(std::span<u8> to) override;
    // Calls move(address, offset, bytes) for each run of contiguous addresses within `length` bytes.
    template <class Move>
    Outcome transfer(u32 length, Move move);
    u32 address() const;

    I8237Pair* pair = nullptr;
    u8 number = 0;
    u16 base_address = 0;
    u16 base_count = 0;
    u16 current_address = 0;
    u16 current_count = 0;
    u8 mode = 0;
  };
  struct Controller final : bus::PortHandler {
    u32 port_read(Port port, unsigned size_bytes) override;
    void port_write(Port port, u32 value, unsigned size_bytes) override;
    void write_channel_register(unsigned reg, u8 value);
    void master_clear();
    Channel& channel(unsigned n) { return pair->channels_[first_channel + n]; }

    I8237Pair* pair = nullptr;
    u8 first_channel = 0;
    u8 command = 0;
    u8 mask = 0x0F;
    u8 terminal_counts = 0;  // status bits 3..0
    bool high_byte_next = false;
  };
  struct PagePorts final : bus::PortHandler {
    u32 port_read(Port port, unsigned) override { return pair->pages_[port.value & 0xF]; }
    void port_write(Port port, u32 value, unsigned) override {
      pair->pages_[port.value & 0xF] = static_cast<u8>(value);
    }
    I8237Pair* pair = nullptr;
  };

  bus::GuestMemory memory_;
  std::array<Channel, 8> channels_;
  std::array<Controller, 2> controllers_;
  std::array<u8, 16> pages_{};
  PagePorts page_ports_;
};

}  // namespace xm::devices
