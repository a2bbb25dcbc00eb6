// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/pci/piix3_isa.h"

#include "emu/base/bits.h"

namespace xm::devices {

namespace {

constexpr u8 kPirqRoute = 0x60;
constexpr u8 kRouteDisabled = 0x80;
constexpr u16 kUsableIrqs = 0xDEF8;  // 3-7, 9-12, 14, 15 [290550 2.2.9]
constexpr u16 kResetControl = 0xCF9;
constexpr u8 kResetCpu = 0x04;

}  // namespace

Piix3Isa::Piix3Isa(const PciEnvironment& environment, Wires wires)
    : PciFunction(environment, "piix3",
                  {.vendor_id = 0x8086, .device_id = 0x7000, .revision = 0, .class_code = 0x060100}),
      wires_(std::move(wires)),
      ports_(environment.ports.add(Port{kResetControl}, 1, *this, 1, "piix3-reset")) {
  define16(pci_reg::kCommand, 0x0007, 0x0008);
  define16(pci_reg::kStatus, 0x0200);
  define8(0x4C, 0x4D, 0xFF);
  define16(0x4E, 0x0003, 0xFFFF);
  for (u8 i = 0; i < 4; i++) define8(static_cast<u8>(kPirqRoute + i), kRouteDisabled, 0x8F);
  define8(0x69, 0x02, 0xFE);
  define16(0x6A, 0, 0xFFFF);
  define8(0x70, 0x80, 0xEF);
  define16(0x76, 0x0C0C, 0x8F8F);
  define8(0x78, 0x02, 0xFF);
  define8(0x79, 0x00, 0xFF);
  define8(0x80, 0x00, 0x7F);
  define8(0x82, 0x00, 0xFF);
  define32(0xA0, 0x00000008, 0xFFFFFFFF);
  define32(0xA4, 0, 0xFFFFFFFF);
  define32(0xA8, 0x0000000F, 0xFFFFFFFF);
}

Piix3Isa::~Piix3Isa() { environment().ports.remove(ports_); }

void Piix3Isa::reset() {
  PciFunction::reset();
  reset_control_ = 0;
  update_routes();
}

void Piix3Isa::exchange(bus::Archive& archive) {
  archive.begin(name());
  PciFunction::exchange(archive);
  archive.field("pirq", pirq_);
  archive.field("reset_control", reset_control_);
  archive.end();
  if (archive.loading()) update_routes();
}

void Piix3Isa::set_input(unsigned input, bool level) {
  if (input >= pirq_.size()) return;
  pirq_[input] = level;
  update_routes();
}

void Piix3Isa::on_config_written(u8 offset, unsigned size_bytes) {
  if (offset < kPirqRoute + 4 && offset + size_bytes > kPirqRoute) update_routes();
}

// Several PIRQs may share one ISA interrupt: its level is the OR of them.
void Piix3Isa::update_routes() {
  u16 wanted = 0;
  for (u8 i = 0; i < pirq_.size(); i++) {
    const u8 route = config8(static_cast<u8>(kPirqRoute + i));
    if (!pirq_[i] || (route & kRouteDisabled) != 0) continue;
    wanted |= static_cast<u16>(bit(route & 0xF) & kUsableIrqs);
  }
  const u16 changed = wanted ^ driven_;
  driven_ = wanted;
  for (unsigned irq = 0; irq < 16; irq++) {
    if (has_bit(changed, irq)) wires_.isa_irq.set_input(irq, has_bit(wanted, irq));
  }
}

u32 Piix3Isa::port_read(Port, unsigned) { return reset_control_; }

// Bit 2 starts the reset that bit 1 has chosen [290550 2.5.4.1]; the board resets everything either way.
void Piix3Isa::port_write(Port, u32 value, unsigned) {
  const bool start = (value & kResetCpu) != 0 && (reset_control_ & kResetCpu) == 0;
  reset_control_ = static_cast<u8>(value & 0x02);
  if (start && wires_.reset) wires_.reset();
}

}  // namespace xm::devices
