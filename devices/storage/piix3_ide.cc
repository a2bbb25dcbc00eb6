// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/storage/piix3_ide.h"

#include "devices/storage/ata_disk.h"
#include "devices/storage/atapi_cd.h"
#include "emu/base/bits.h"

namespace xm::devices {

namespace {

constexpr unsigned kBusMasterBar = 4;

}  // namespace

Piix3Ide::Piix3Ide(const PciEnvironment& environment, Wires wires)
    : PciFunction(environment, "piix3-ide",
                  {.vendor_id = 0x8086, .device_id = 0x7010, .revision = 0, .class_code = 0x010180}),
      primary_(*this, wires.primary),
      secondary_(*this, wires.secondary) {
  define16(pci_reg::kStatus, 0x0280);
  define16(0x40, 0x8000, 0xFFFF);
  define16(0x42, 0x8000, 0xFFFF);
  define8(0x44, 0, 0xFF);
  define8(0x48, 0, 0x0F);
  define16(0x4A, 0, 0x3333);
  add_io_bar(kBusMasterBar, 16);
  claim(ports_[0], primary_, 0x1F0, 0x3F6);
  claim(ports_[1], secondary_, 0x170, 0x376);
}

Piix3Ide::~Piix3Ide() {
  for (Ports& ports : ports_) {
    environment().ports.remove(ports.registers);
    environment().ports.remove(ports.control);
  }
}

void Piix3Ide::claim(Ports& ports, IdeChannel& channel, u16 base, u16 control) {
  ports.channel = &channel;
  bus::PortSpace& space = environment().ports;
  ports.registers = space.add(Port{base}, 8, ports, 4, "ide");
  ports.control = space.add(Port{control}, 1, ports, 1, "ide-control");
}

void Piix3Ide::attach_disk(unsigned channel_index, unsigned unit, Drive& drive) {
  channel(channel_index).attach(unit, std::make_unique<AtaDisk>(drive, channel_index * 2 + unit));
}

void Piix3Ide::attach_cd(unsigned channel_index, unsigned unit, Drive& drive) {
  channel(channel_index).attach(unit, std::make_unique<AtapiCd>(drive, channel_index * 2 + unit));
}

void Piix3Ide::reset() {
  PciFunction::reset();
  primary_.reset();
  secondary_.reset();
}

void Piix3Ide::exchange(bus::Archive& archive) {
  archive.begin(name());
  PciFunction::exchange(archive);
  primary_.exchange(archive);
  secondary_.exchange(archive);
  archive.end();
}

u64 Piix3Ide::bar_read(unsigned, u64 offset, unsigned size_bytes) {
  return channel(offset < 8 ? 0 : 1).read_bus_master(static_cast<unsigned>(offset & 7), size_bytes);
}

void Piix3Ide::bar_write(unsigned, u64 offset, u64 value, unsigned size_bytes) {
  channel(offset < 8 ? 0 : 1).write_bus_master(static_cast<unsigned>(offset & 7), static_cast<u32>(value), size_bytes);
}

// Wide accesses to the data register move data; to the others they are bytes side by side.
u32 Piix3Ide::Ports::port_read(Port port, unsigned size_bytes) {
  if (port.value >= 0x300) return channel->read_alternate_status();
  if ((port.value & 7) == 0) return channel->read(0, size_bytes);
  u32 value = 0;
  for (unsigned i = 0; i < size_bytes; i++) value |= channel->read((port.value & 7) + i, 1) << (8 * i);
  return value;
}

void Piix3Ide::Ports::port_write(Port port, u32 value, unsigned size_bytes) {
  if (port.value >= 0x300) return channel->write_control(static_cast<u8>(value));
  if ((port.value & 7) == 0) return channel->write(0, value, size_bytes);
  for (unsigned i = 0; i < size_bytes; i++) channel->write((port.value & 7) + i, (value >> (8 * i)) & 0xFF, 1);
}

}  // namespace xm::devices
