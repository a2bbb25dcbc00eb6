// SPDX-License-Identifier: GPL-2.0-or-later
// Intel 82540EM gigabit Ethernet controller [317453]: descriptor rings, receive filter, checksum insertion and TCP
// segmentation, VLAN tags, interrupt causes with throttling, EEPROM and PHY.
//
// GAP: no wake-up, no management, no loop-back; receive delay timers (RDTR, RADV) and transmit delay (TIDV) count as 0;
// received checksums are left to the driver; RAL/RAH match, flow control frames are neither sent nor obeyed.
#pragma once

#include <array>
#include <vector>

#include "devices/net/e1000_regs.h"
#include "devices/net/eeprom93c46.h"
#include "devices/net/net_backend.h"
#include "devices/pci/pci_device.h"
#include "emu/bus/virtual_clock.h"

namespace xm::devices {

class E1000 final : public PciFunction, private NetReceiver {
 public:
  E1000(const PciEnvironment& environment, bus::VirtualClock& clock, NetBackend& backend, MacAddress mac);
  ~E1000() override;

  void reset() override;
  void exchange(bus::Archive& archive) override;

 protected:
  u64 bar_read(unsigned bar, u64 offset, unsigned size_bytes) override;
  void bar_write(unsigned bar, u64 offset, u64 value, unsigned size_bytes) override;

 private:
  // What a context descriptor said [317453 3.3.6].
  struct Offload {
    u8 ip_start, ip_offset;
    u16 ip_end;
    u8 tcp_start, tcp_offset;
    u16 tcp_end;
    u32 payload;
    u8 header_length;
    u16 mss;
    bool tcp, ipv4;
  };

  u32& reg(u32 offset) { return registers_[offset / 4]; }
  u32 reg(u32 offset) const { return registers_[offset / 4]; }
  u32 read_register(u32 offset);
  void write_register(u32 offset, u32 value);
  void chip_reset();
  void write_control(u32 value);
  void write_eecd(u32 value);
  void write_eerd(u32 value);
  void write_mdic(u32 value);
  void phy_reset();
  void update_link();
  void raise_causes(u32 causes);
  void update_interrupt();
  void count(u32 statistic, u64 amount);
  void fill_eeprom();

  // Transmit (e1000_transmit.cc).
  void transmit();
  void transmit_descriptor(const e1000::TxDescriptor& descriptor);
  void read_context(const e1000::TxDescriptor& descriptor);
  void append_packet(u64 address, u32 length);
  void finish_packet();
  void send_segments();
  void send_frame(std::span<u8> frame);

  // Receive (e1000_receive.cc).
  bool can_receive() override;
  bool receive(const NetFrame& frame) override;
  void link_changed(bool up) override;
  bool receiving() const;
  u32 free_descriptors() const;
  u32 receive_buffer_size() const;
  bool wanted(std::span<const u8> frame) const;
  bool vlan_wanted(std::span<const u8> frame) const;
  void store_frame(std::span<const u8> frame, u16 tag, bool tagged);

  NetBackend& backend_;
  MacAddress mac_;
  bus::VirtualClock& clock_;
  bus::Timer throttle_;
  std::array<u32, e1000::kRegistersEnd / 4> registers_{};
  std::array<u16, 32> phy_{};
  Eeprom93c46 eeprom_;
  u32 io_address_ = 0;

  // The packet that is being put together from descriptors.
  Offload offload_{};  // of the last context descriptor
  std::vector<u8> packet_;
  bool segmenting_ = false;
  u8 checksum_options_ = 0;  // POPTS
  bool legacy_checksum_ = false;
  u8 legacy_start_ = 0, legacy_offset_ = 0;
  bool vlan_ = false;
  u16 vlan_tag_ = 0;
  bool transmitting_ = false;
  std::vector<u8> frame_;  // scratch for received frames
};

}  // namespace xm::devices
