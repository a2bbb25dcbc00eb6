// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/pc.h"

#include <cstdio>

#include "emu/machine/acpi_tables.h"
#include "emu/machine/pc_display.h"
#include "emu/machine/pc_parts.h"
#include "emu/machine/pc_platform.h"

namespace xm::machine {

CpuSocket::CpuSocket(unsigned index, devices::ApicBus& bus, bus::CpuPins& pins, bus::VirtualClock& clock,
                     const devices::TickPolicy& policy)
    : apic_({.id = index, .boot_processor = index == 0}, bus, pins, clock, policy, *this) {}

Result<std::unique_ptr<Board>> make_pc(BoardParts parts) {
  std::unique_ptr<Pc> pc = TRY(Pc::create(std::move(parts)));
  return std::unique_ptr<Board>(std::move(pc));
}

Pc::Pc(BoardParts parts) : parts_(std::move(parts)), ports_(&parts_.log) {}

Pc::~Pc() = default;

Result<std::unique_ptr<Pc>> Pc::create(BoardParts parts) {
  std::unique_ptr<Pc> pc(new Pc(std::move(parts)));
  TRY(pc->build());
  return pc;
}

Result<void> Pc::build() {
  const std::vector<u8> bios = TRY(load_firmware(parts_.config));
  memory_ = TRY(PcMemory::create(parts_.config.memory_bytes, bios));
  build_chipset();
  TRY(build_platform());
  TRY(build_display());
  TRY(build_network());
  TRY(build_storage());
  TRY(build_extra_devices());
  TRY(build_virtio_extras());
  return build_firmware_config();
}

devices::PciEnvironment Pc::pci_environment() {
  return {.memory = memory_->space(), .ports = ports_, .msi = apic_bus_, .code = this, .log = &parts_.log};
}

void Pc::build_chipset() {
  bus::AddressSpace& space = memory_->space();
  pic_output_.connect(apic_bus_, devices::ApicBus::kLint0);
  ports_.add(Port{0x20}, 2, pic_.master_ports(), 1, "pic-master");
  ports_.add(Port{0xA0}, 2, pic_.slave_ports(), 1, "pic-slave");
  ports_.add(Port{0x4D0}, 2, pic_.elcr_ports(), 1, "elcr");
  space.add_mmio({kIoApicBase}, kPageSize, ioapic_, 1, "ioapic");

  pci_ = std::make_unique<devices::PciBus>(pirq_wires_);
  host_bridge_ = std::make_unique<devices::I440fx>(pci_environment(), *pci_, *memory_);
  south_bridge_ = std::make_unique<devices::Piix3Isa>(
      pci_environment(),
      devices::Piix3Isa::Wires{.isa_irq = interrupts_.pirq(), .reset = [this] { parts_.owner.request_reset(); }});
  pirq_wires_.south_bridge = south_bridge_.get();
  pci_->attach(0, 0, *host_bridge_);
  pci_->attach(1, 0, *south_bridge_);
  add(pic_);
  add(ioapic_);
  add(*host_bridge_);
  add(*south_bridge_);
}

Result<void> Pc::place(devices::PciFunction& function, const std::string& address, unsigned from) {
  unsigned slot = pci_->first_free_device(from);
  unsigned number = 0;
  if (!address.empty() && std::sscanf(address.c_str(), "%x.%x", &slot, &number) < 1) {
    return Error{"invalid PCI address '" + address + "': " + std::string(function.name()) + "; use SLOT[.FUNCTION]"};
  }
  if (!pci_->attach(slot, number, function)) {
    return Error{"PCI slot is taken or does not exist: " + std::string(function.name()) + ": " +
                 (address.empty() ? "no free slot" : address)};
  }
  add(function);
  return {};
}

void Pc::connect_cpu(unsigned cpu, bus::CpuPins& pins) {
  sockets_.push_back(std::make_unique<CpuSocket>(cpu, apic_bus_, pins, parts_.clock, tick_policy_));
  add(sockets_.back()->apic());
}

void Pc::reset() {
  memory_->reset();
  for (bus::Device* device : devices_) device->reset();
}

// --- the local APIC as the CPU core sees it

int Pc::acknowledge(unsigned cpu) { return sockets_[cpu]->apic().acknowledge(); }
u8 Pc::tpr(unsigned cpu) { return sockets_[cpu]->apic().cr8(); }
void Pc::set_tpr(unsigned cpu, u8 cr8) { sockets_[cpu]->apic().set_cr8(cr8); }
u64 Pc::apic_base(unsigned cpu) { return sockets_[cpu]->apic().apic_base(); }
bool Pc::set_apic_base(unsigned cpu, u64 value) { return sockets_[cpu]->apic().set_apic_base(value); }
bool Pc::x2apic_read(unsigned cpu, u32 msr, u64& value) { return sockets_[cpu]->apic().read_msr(msr, value); }
bool Pc::x2apic_write(unsigned cpu, u32 msr, u64 value) { return sockets_[cpu]->apic().write_msr(msr, value); }

namespace {
constexpr u32 kTscDeadlineMsr = 0x6E0;
}

u64 Pc::tsc_deadline(unsigned cpu) {
  u64 value = 0;
  sockets_[cpu]->apic().read_msr(kTscDeadlineMsr, value);
  return value;
}

void Pc::set_tsc_deadline(unsigned cpu, u64 deadline, u64 tsc_now) {
  sockets_[cpu]->set_tsc_offset(tsc_now - static_cast<u64>(parts_.clock.now().value));
  sockets_[cpu]->apic().write_msr(kTscDeadlineMsr, deadline);
}

// Each CPU sees its own APIC at the same address. GAP: a base moved over RAM is not honoured.
bool Pc::mmio(unsigned cpu, u64 address, unsigned size_bytes, u64& value, bool write) {
  devices::LocalApic& apic = sockets_[cpu]->apic();
  const u64 offset = address - (apic.apic_base() & ~kPageMask);
  if (offset >= kPageSize || !apic.globally_enabled() || apic.x2apic()) return false;
  if (write)
    apic.mmio_write(offset, value, size_bytes);
  else
    value = apic.mmio_read(offset, size_bytes);
  return true;
}

}  // namespace xm::machine
