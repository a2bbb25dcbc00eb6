// SPDX-License-Identifier: GPL-2.0-or-later
// VGA with the Bochs display interface: VgaCore's registers on their ports, the 128 KiB window, and the picture.
//
// The machine adds: ports() at 0x3B0-0x3DF (one byte wide), dispi_ports() at 0x1CE-0x1D0 (up to two bytes wide), and
// window() as MMIO at 0xA0000, 128 KiB. The linear frame buffer is the memory itself, mapped by the PCI function.
// Nothing is drawn until a display asks (DisplaySource); what did not change since is not drawn again.
//
// GAP: the retrace bit of input status 1 lasts from the sync pulse to the end of the frame, so that a slow guest that
// polls for it does not miss it; light pen, CGA and MDA registers below the VGA's are absent.
#pragma once

#include "devices/display/surface.h"
#include "devices/video/bochs_dispi.h"
#include "devices/video/vga_core.h"
#include "devices/video/vga_render.h"
#include "emu/bus/address_space.h"
#include "emu/bus/device.h"
#include "emu/bus/port_space.h"
#include "emu/bus/virtual_clock.h"

namespace xm::devices {

class Vga final : public bus::Device, public DisplaySource {
 public:
  // At least 256 KiB, a power of two (16 MiB is the usual size).
  Vga(bus::RamBlock& memory, bus::VirtualClock& clock);

  std::string_view name() const override { return "vga"; }
  void reset() override;
  void exchange(bus::Archive& archive) override;

  bus::PortHandler& ports() { return ports_; }
  bus::PortHandler& dispi_ports() { return dispi_ports_; }
  bus::MmioHandler& window() { return window_; }
  // For the PCI function's register window.
  u8 read_port(u16 port);
  void write_port(u16 port, u8 value) { core_.write_port(port, value); }
  u16 read_dispi(u16 index) const { return dispi_.read(index); }
  void write_dispi(u16 index, u16 value);

  SurfaceChange refresh(Surface& surface) override;
  void invalidate() override { drawn_ = false; }
  std::string text_screen() override;
  std::string mode_description() override;

  const VgaCore& core() const { return core_; }

 private:
  struct Ports final : bus::PortHandler {
    explicit Ports(Vga& owner) : vga(owner) {}
    u32 port_read(Port port, unsigned) override { return vga.read_port(port.value); }
    void port_write(Port port, u32 value, unsigned) override { vga.write_port(port.value, static_cast<u8>(value)); }
    Vga& vga;
  };
  struct DispiPorts final : bus::PortHandler {
    explicit DispiPorts(Vga& owner) : vga(owner) {}
    u32 port_read(Port port, unsigned size_bytes) override;
    void port_write(Port port, u32 value, unsigned size_bytes) override;
    Vga& vga;
  };
  struct Window final : bus::MmioHandler {
    explicit Window(Vga& owner) : vga(owner) {}
    u64 mmio_read(u64 offset, unsigned size_bytes) override;
    void mmio_write(u64 offset, u64 value, unsigned size_bytes) override;
    Vga& vga;
  };

  u8 input_status_1() const;
  BlinkPhase blink_phase() const;
  // The banked window shows memory as it is, not through the planes.
  bool window_is_linear() const { return dispi_.enabled() && dispi_.bits_per_pixel() != 4; }
  SurfaceChange refresh_vga(Surface& surface);
  SurfaceChange refresh_dispi(Surface& surface);
  // Copies `from` over `seen`; false if it was equal already.
  static bool take_over(std::span<const u8> from, std::span<u8> seen);

  bus::RamBlock& memory_;
  bus::VirtualClock& clock_;
  VgaCore core_;
  BochsDispi dispi_;
  Ports ports_{*this};
  DispiPorts dispi_ports_{*this};
  Window window_{*this};

  // What the last refresh saw.
  bool drawn_ = false;
  u64 drawn_core_generation_ = 0;
  u64 drawn_dispi_generation_ = 0;
  BlinkPhase drawn_blink_;
  std::vector<u8> drawn_memory_;
};

}  // namespace xm::devices
