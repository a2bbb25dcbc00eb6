// SPDX-License-Identifier: GPL-2.0-or-later
// fw_cfg: how the machine hands tables, kernels and settings to its firmware, and firmware hands a few addresses back.
// Port and DMA interface as published with QEMU [QEMU docs/specs/fw_cfg]; interface revision 3 (traditional and DMA).
//
// Ports: ports() at 0x510-0x511 (up to two bytes wide: selector, data) and dma_ports() at 0x514-0x51B (up to four).
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "emu/bus/device.h"
#include "emu/bus/guest_memory.h"
#include "emu/bus/port_space.h"

namespace xm::devices {

class FwCfg final : public bus::Device {
 public:
  // Well-known selectors.
  static constexpr u16 kSignature = 0x00;
  static constexpr u16 kId = 0x01;
  static constexpr u16 kFileDirectory = 0x19;
  static constexpr u16 kFirstFile = 0x20;
  static constexpr u16 kArchLocal = 0x8000;
  static constexpr unsigned kMaxFiles = 0x200;

  explicit FwCfg(const bus::GuestMemory& memory);

  std::string_view name() const override { return "fw_cfg"; }
  void reset() override;
  void exchange(bus::Archive& archive) override;

  // Contents, set up by the machine before the guest starts (and again at reset if they change).
  void set_item(u16 key, std::vector<u8> bytes);
  void set_u16(u16 key, u16 value);
  void set_u32(u16 key, u32 value);
  void set_u64(u16 key, u64 value);
  // Adds or replaces a named file; names longer than 55 bytes are cut. Returns its selector.
  u16 set_file(std::string_view file_name, std::vector<u8> bytes);
  // A file the guest may write within its size; `written` is called after each DMA write with the whole contents.
  u16 set_writable_file(std::string_view file_name, std::vector<u8> bytes,
                        std::function<void(std::span<const u8>)> written);
  // Null if there is no such file.
  const std::vector<u8>* file(std::string_view file_name) const;

  bus::PortHandler& ports() { return ports_; }
  bus::PortHandler& dma_ports() { return dma_ports_; }

 private:
  struct Item {
    std::vector<u8> bytes;
    bool writable = false;
    std::function<void(std::span<const u8>)> written;
  };
  struct Ports final : bus::PortHandler {
    u32 port_read(Port port, unsigned size_bytes) override;
    void port_write(Port port, u32 value, unsigned size_bytes) override;
    FwCfg* cfg = nullptr;
  };
  struct DmaPorts final : bus::PortHandler {
    u32 port_read(Port port, unsigned size_bytes) override;
    void port_write(Port port, u32 value, unsigned size_bytes) override;
    FwCfg* cfg = nullptr;
  };

  void select(u16 key);
  Item* selected();
  u8 next_byte();
  void run_dma();
  bool dma_transfer(u32 control, u64 address, u32 length);
  bool dma_read(u64 address, u32 length);
  bool dma_write(u64 address, u32 length);
  u16 ensure_file(std::string_view file_name);
  void rebuild_directory();

  bus::GuestMemory memory_;
  std::map<u16, Item> items_;
  std::map<std::string, u16, std::less<>> files_;
  Ports ports_;
  DmaPorts dma_ports_;
  u16 key_ = 0;
  u32 offset_ = 0;
  u64 dma_address_ = 0;
};

}  // namespace xm::devices
