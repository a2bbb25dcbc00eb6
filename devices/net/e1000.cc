// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/net/e1000.h"

#include <algorithm>

#include "emu/base/bits.h"

namespace xm::devices {

using namespace e1000;

namespace {

constexpr unsigned kMemoryBar = 0, kIoBar = 1;
constexpr i64 kItrUnit = 256;  // ns
constexpr u16 kEepromSum = 0xBABA;
constexpr unsigned kPhyAddress = 1;

}  // namespace

E1000::E1000(const PciEnvironment& environment, bus::VirtualClock& clock, NetBackend& backend, MacAddress mac)
    : PciFunction(environment, "e1000",
                  {.vendor_id = 0x8086, .device_id = 0x100E, .revision = 3, .class_code = 0x020000}),
      backend_(backend),
      mac_(mac),
      clock_(clock),
      throttle_(clock, [this] { update_interrupt(); }) {
  set_interrupt_pin(1);
  define16(pci_reg::kStatus, 0x0230);
  add_memory_bar(kMemoryBar, 0x20000);
  add_io_bar(kIoBar, 64);
  fill_eeprom();
  backend_.attach(this);
  chip_reset();
}

E1000::~E1000() { backend_.attach(nullptr); }

// Address, ids and the checksum word that makes the sum BABAh [317453 5.6].
void E1000::fill_eeprom() {
  for (unsigned i = 0; i < 3; i++) eeprom_.word(i) = static_cast<u16>(mac_[2 * i] | mac_[2 * i + 1] << 8);
  eeprom_.word(0x0A) = 0x6400;  // initialisation control: ids are loaded from here
  eeprom_.word(0x0B) = 0x1100;
  eeprom_.word(0x0C) = 0x1AF4;
  eeprom_.word(0x0D) = 0x100E;
  eeprom_.word(0x0E) = 0x8086;
  eeprom_.word(0x0F) = 0x3040;
  u16 sum = 0;
  for (unsigned i = 0; i < Eeprom93c46::kWords - 1; i++) sum = static_cast<u16>(sum + eeprom_.word(i));
  eeprom_.word(Eeprom93c46::kWords - 1) = static_cast<u16>(kEepromSum - sum);
}

void E1000::reset() {
  PciFunction::reset();
  chip_reset();
}

void E1000::chip_reset() {
  registers_.fill(0);
  throttle_.disarm();
  reg(kCtrl) = 0x00140240;
  reg(kPba) = 0x00100030;
  reg(kEecd) = kEecdPresent;
  reg(0x5820) = 0x00000400;  // MANC: ARP packets are for the host
  // The receive address comes out of the EEPROM, with the valid bit.
  reg(kRal) = static_cast<u32>(mac_[0] | mac_[1] << 8 | mac_[2] << 16 | static_cast<u32>(mac_[3]) << 24);
  reg(kRal + 4) = static_cast<u32>(mac_[4] | mac_[5] << 8) | 1u << 31;
  packet_.clear();
  segmenting_ = false;
  io_address_ = 0;
  phy_reset();
  update_link();
  update_interrupt();
}

void E1000::exchange(bus::Archive& archive) {
  archive.begin(name());
  PciFunction::exchange(archive);
  archive.field("registers", registers_);
  archive.field("phy", phy_);
  eeprom_.exchange(archive);
  archive.field("io_address", io_address_);
  archive.field("offload", std::span<u8>(reinterpret_cast<u8*>(&offload_), sizeof offload_));
  archive.field("packet", packet_);
  archive.field("segmenting", segmenting_);
  archive.field("checksum_options", checksum_options_);
  archive.field("legacy_checksum", legacy_checksum_);
  archive.field("legacy_start", legacy_start_);
  archive.field("legacy_offset", legacy_offset_);
  archive.field("vlan", vlan_);
  archive.field("vlan_tag", vlan_tag_);
  archive.end();
  if (archive.loading()) update_interrupt();
}

// Access. All registers are dwords; smaller reads get their part, smaller writes are ignored as by the chip.

u64 E1000::bar_read(unsigned bar, u64 offset, unsigned size_bytes) {
  if (bar == kIoBar) {
    if (offset < 4) return io_address_;
    return offset < 8 ? read_register(io_address_ & ~3u) : 0;
  }
  const u32 value = read_register(static_cast<u32>(offset) & ~3u);
  if (size_bytes == 8) return value | u64{read_register(static_cast<u32>(offset) + 4)} << 32;
  return value >> (8 * (offset & 3));
}

void E1000::bar_write(unsigned bar, u64 offset, u64 value, unsigned size_bytes) {
  if (size_bytes < 4) return log_guest_error("register write of less than four bytes at", offset);
  if (bar == kIoBar) {
    if (offset == 0) io_address_ = static_cast<u32>(value);
    if (offset == 4) write_register(io_address_ & ~3u, static_cast<u32>(value));
    return;
  }
  write_register(static_cast<u32>(offset) & ~3u, static_cast<u32>(value));
  if (size_bytes == 8) write_register(static_cast<u32>(offset) + 4, static_cast<u32>(value >> 32));
}

u32 E1000::read_register(u32 offset) {
  if (offset >= kRegistersEnd) return 0;
  switch (offset) {
    case kIcr: {
      const u32 causes = reg(kIcr) | ((reg(kIcr) & reg(kIms)) != 0 ? kIntAsserted : 0);
      reg(kIcr) = 0;
      update_interrupt();
      return causes;
    }
    case kEecd: return (reg(kEecd) & ~kEecdOut) | (eeprom_.data_out() ? kEecdOut : 0);
    case kIcs:
    case kImc: return 0;
    default: break;
  }
  const u32 value = reg(offset);
  if (offset >= kStatisticsFirst && offset < kStatisticsEnd) reg(offset) = 0;  // cleared by reading
  return value;
}

void E1000::write_register(u32 offset, u32 value) {
  if (offset >= kRegistersEnd) return;
  switch (offset) {
    case kCtrl: return write_control(value);
    case kStatus: return;
    case kEecd: return write_eecd(value);
    case kEerd: return write_eerd(value);
    case kMdic: return write_mdic(value);
    case kIcr: reg(kIcr) &= ~value; return update_interrupt();
    case kItr: reg(kItr) = value & 0xFFFF; return;
    case kIcs: return raise_causes(value & 0x1FFFF);
    case kIms: reg(kIms) |= value & 0x1FFFF; return update_interrupt();
    case kImc: reg(kIms) &= ~value; return update_interrupt();
    case kRctl: reg(kRctl) = value; return backend_.receiver_ready();
    case kRdt: reg(kRdt) = value & 0xFFFF; return backend_.receiver_ready();
    case kRdh:
    case kTdh: reg(offset) = value & 0xFFFF; return;
    case kRdlen:
    case kTdlen: reg(offset) = value & 0xFFF80; return;
    case kRdbal:
    case kTdbal: reg(offset) = value & ~15u; return;
    case kTctl: reg(kTctl) = value; return transmit();
    case kTdt: reg(kTdt) = value & 0xFFFF; return transmit();
    default:
      if (offset < kStatisticsFirst || offset >= kStatisticsEnd) reg(offset) = value;
  }
}

void E1000::write_control(u32 value) {
  if ((value & kCtrlReset) != 0) return chip_reset();
  reg(kCtrl) = value & ~(kCtrlReset | kCtrlPhyReset);
  if ((value & kCtrlPhyReset) != 0) phy_reset();
  update_link();
}

void E1000::write_eecd(u32 value) {
  const u32 grant = (value & kEecdRequest) != 0 ? kEecdGrant : 0;
  reg(kEecd) = (value & (kEecdClock | kEecdSelect | kEecdIn | kEecdRequest | 0x30)) | grant | kEecdPresent;
  eeprom_.set_pins((value & kEecdSelect) != 0, (value & kEecdClock) != 0, (value & kEecdIn) != 0);
}

void E1000::write_eerd(u32 value) {
  reg(kEerd) = value & 0xFF00;
  if ((value & kEerdStart) == 0) return;
  reg(kEerd) |= kEerdDone | u32{eeprom_.word(static_cast<unsigned>(bits(value, 13, 8)))} << 16;
}

// PHY.

void E1000::phy_reset() {
  phy_.fill(0);
  phy_[kPhyControl] = 0x1140;  // auto-negotiation, full duplex, 1000
  phy_[kPhyStatus] = 0x7969;   // abilities, negotiation complete; link is added
  phy_[kPhyId1] = 0x0141;      // Marvell 88E1011
  phy_[kPhyId2] = 0x0C20;
  phy_[kPhyAdvertise] = 0x0DE1;
  phy_[kPhyPartner] = 0x4DE1;
  phy_[kPhyGigabitControl] = 0x0E00;
  phy_[kPhyGigabitStatus] = 0x3C00;
  phy_[16] = 0x0360;
  phy_[kPhySpecificStatus] = 0xA800;  // 1000, full duplex, resolved
  phy_[20] = 0x0D60;
}

void E1000::write_mdic(u32 value) {
  const auto index = static_cast<unsigned>(bits(value, 20, 16));
  u32 answer = (value & 0x3FFFFFFF) | kMdicReady;
  if (bits(value, 25, 21) != kPhyAddress) {
    answer |= kMdicError;
  } else if ((value & kMdicRead) != 0) {
    answer = static_cast<u32>(with_bits(answer, 15, 0, phy_[index]));
  } else if ((value & kMdicWrite) != 0) {
    const auto data = static_cast<u16>(value);
    const bool fixed = index == kPhyStatus || index == kPhyId1 || index == kPhyId2 || index == kPhyPartner ||
                       index == kPhyGigabitStatus || index == kPhySpecificStatus;
    if (index == kPhyControl) {
      if ((data & kPhyControlReset) != 0) phy_reset();
      phy_[kPhyControl] = data & static_cast<u16>(~(kPhyControlReset | kPhyControlRestart));
      update_link();
      if ((data & kPhyControlRestart) != 0 && backend_.link_up()) raise_causes(kLsc);
    } else if (!fixed) {
      phy_[index] = data;
    }
  }
  reg(kMdic) = answer;
  if ((value & kMdicInterrupt) != 0) raise_causes(kMdac);
}

void E1000::update_link() {
  const bool up = backend_.link_up() && (reg(kCtrl) & kCtrlSlu) != 0;
  const bool was_up = (reg(kStatus) & kStatusLinkUp) != 0;
  reg(kStatus) = kStatusFullDuplex | kStatusSpeed1000 | (up ? kStatusLinkUp : 0);
  phy_[kPhyStatus] = static_cast<u16>((phy_[kPhyStatus] & ~kPhyStatusLink) | (backend_.link_up() ? kPhyStatusLink : 0));
  phy_[kPhySpecificStatus] = static_cast<u16>(with_bits(phy_[kPhySpecificStatus], 10, 10, backend_.link_up()));
  if (up != was_up) raise_causes(kLsc);
}

void E1000::link_changed(bool) { update_link(); }

// Interrupts.

void E1000::raise_causes(u32 causes) {
  reg(kIcr) |= causes;
  update_interrupt();
}

// ITR is the least time between two assertions of the line [317453 13.4.18].
void E1000::update_interrupt() {
  const bool wanted = (reg(kIcr) & reg(kIms)) != 0;
  if (!wanted) return set_intx(false);
  if (intx_level() || throttle_.armed()) return;
  set_intx(true);
  if (reg(kItr) != 0) throttle_.arm(clock_.now() + i64{reg(kItr)} * kItrUnit);
}

// Counters stick at their end; those of octets are 64 bits wide.
void E1000::count(u32 statistic, u64 amount) {
  if (statistic == kGorcl || statistic == kGotcl || statistic == kTorl || statistic == kTotl) {
    const u64 sum = (u64{reg(statistic)} | u64{reg(statistic + 4)} << 32) + amount;
    reg(statistic) = static_cast<u32>(sum);
    reg(statistic + 4) = static_cast<u32>(sum >> 32);
    return;
  }
  reg(statistic) = static_cast<u32>(std::min<u64>(u64{reg(statistic)} + amount, 0xFFFFFFFF));
}

}  // namespace xm::devices
