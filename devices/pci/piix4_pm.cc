// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/pci/piix4_pm.h"

#include "emu/base/bits.h"

namespace xm::devices {

namespace {

constexpr u8 kPmBase = 0x40, kPmRegMisc = 0x80, kSmBusBase = 0x90, kSmBusConfig = 0xD2;
constexpr u8 kSmBusStatus = 0, kSmBusControl = 2;
constexpr u8 kSmBusDeviceError = 0x04, kSmBusStart = 0x40;

}  // namespace

Piix4Pm::Piix4Pm(const PciEnvironment& environment, bus::PortHandler& pm)
    : PciFunction(environment, "piix4-pm",
                  {.vendor_id = 0x8086, .device_id = 0x7113, .revision = 3, .class_code = 0x068000}) {
  pm_window_.target = &pm;
  smbus_window_.target = &smbus_;
  define16(pci_reg::kCommand, 0x0000, 0x0003);
  define16(pci_reg::kStatus, 0x0280);
  set_interrupt_pin(1);
  define32(kPmBase, 0x00000001, 0x0000FFC0);
  for (u8 at = 0x44; at < 0x80; at++) define8(at, 0, 0xFF);
  define8(kPmRegMisc, 0, 0x01);
  define32(kSmBusBase, 0x00000001, 0x0000FFF0);
  define8(kSmBusConfig, 0, 0x0F);
  // The chip's own straps as firmware expects them: SCI is IRQ 9, serial ports and floppy decoded.
  define8(0x5B, 0x02, 0xFF);  // DEVACTB.APMC_EN: firmware takes SMM as set up and leaves it alone (no SMIs here)
  define8(0x5F, 0x10, 0xFF);
  define8(0x63, 0x60, 0xFF);
  define8(0x67, 0x98, 0xFF);
}

Piix4Pm::~Piix4Pm() {
  environment().ports.remove(pm_window_.handle);
  environment().ports.remove(smbus_window_.handle);
}

void Piix4Pm::reset() {
  PciFunction::reset();
  smbus_.registers.fill(0);
  update_windows();
}

void Piix4Pm::exchange(bus::Archive& archive) {
  archive.begin(name());
  PciFunction::exchange(archive);
  archive.field("smbus", smbus_.registers);
  archive.end();
  if (archive.loading()) update_windows();
}

void Piix4Pm::on_config_written(u8, unsigned) { update_windows(); }

void Piix4Pm::update_windows() {
  place(pm_window_, kPmBlockSize, config16(kPmBase) & 0xFFC0, has_bit(config8(kPmRegMisc), 0), "acpi-pm");
  place(smbus_window_, 16, config16(kSmBusBase) & 0xFFF0, has_bit(config8(kSmBusConfig), 0), "smbus");
}

void Piix4Pm::place(Window& window, unsigned count, u16 base, bool enabled, const char* label) {
  const u16 wanted = enabled ? base : 0;
  if (wanted == window.base) return;
  environment().ports.remove(window.handle);
  window.handle = 0;
  window.base = wanted;
  if (wanted != 0) window.handle = environment().ports.add(Port{wanted}, count, window, 4, label);
}

u32 Piix4Pm::Window::port_read(Port port, unsigned size_bytes) {
  return target->port_read(Port{static_cast<u16>(port.value - base)}, size_bytes);
}

void Piix4Pm::Window::port_write(Port port, u32 value, unsigned size_bytes) {
  target->port_write(Port{static_cast<u16>(port.value - base)}, value, size_bytes);
}

u32 Piix4Pm::SmBus::port_read(Port port, unsigned size_bytes) {
  u32 value = 0;
  for (unsigned i = 0; i < size_bytes; i++) value |= u32{registers[(port.value + i) % 16]} << (8 * i);
  return value;
}

void Piix4Pm::SmBus::port_write(Port port, u32 value, unsigned size_bytes) {
  for (unsigned i = 0; i < size_bytes; i++) {
    const unsigned at = (port.value + i) % 16;
    const auto byte = static_cast<u8>(value >> (8 * i));
    if (at == kSmBusStatus) {
      registers[at] &= static_cast<u8>(~byte);  // write one to clear
    } else {
      registers[at] = byte;
      if (at == kSmBusControl && (byte & kSmBusStart) != 0) registers[kSmBusStatus] |= kSmBusDeviceError;
    }
  }
}

}  // namespace xm::devices
