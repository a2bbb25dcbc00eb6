// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/pc_platform.h"

#include <ctime>

#include "emu/base/exit_status.h"
#include "emu/machine/acpi_tables.h"
#include "emu/machine/pc_parts.h"

namespace xm::machine {

namespace {

i64 base_or_now(const std::string& text) {
  const Result<i64> base = rtc_base_ns(text);
  return base.ok() ? base.value() : i64{std::time(nullptr)} * 1'000'000'000;
}

}  // namespace

Result<i64> rtc_base_ns(const std::string& text) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const i64 host_ns = i64{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  if (text == "utc") return host_ns;
  if (text == "localtime") {
    tm local{};
    ::localtime_r(&now.tv_sec, &local);
    return host_ns + i64{local.tm_gmtoff} * 1'000'000'000;
  }
  tm date{};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &date);
  if (end == nullptr) end = ::strptime(text.c_str(), "%Y-%m-%d", &date);
  if (end == nullptr || *end != 0) {
    return Error{"invalid date '" + text + "': -rtc base; use utc, localtime or 2024-06-30T12:00:00"};
  }
  return i64{::timegm(&date)} * 1'000'000'000;
}

Pc::Platform::Platform(Pc& owner)
    : pc(owner),
      a20_gate(a20_output),
      pit(isa_irq[0], pc.parts_.clock, pc.tick_policy_),
      rtc(isa_irq[8], pc.parts_.clock, pc.tick_policy_, base_or_now(pc.parts_.config.rtc_base)),
      keyboard({.keyboard_irq = isa_irq[1], .mouse_irq = isa_irq[12], .a20 = a20_from_8042, .reset = reset_wire},
               pc.parts_.clock),
      dma(bus::GuestMemory(pc.memory(), &pc)),
      fw_cfg(bus::GuestMemory(pc.memory(), &pc)),
      power(sci, pc.parts_.clock, *this),
      port92(a20_from_port92, reset_wire) {
  for (unsigned irq = 0; irq < 16; irq++) isa_irq[irq].connect(pc.interrupts_.isa(), irq);
  sci.connect(pc.interrupts_.isa(), kSciIrq);
  reset_wire.connect(*this, kResetWire);
  a20_output.connect(*this, kA20Wire);
  a20_from_8042.connect(a20_gate, 0);
  a20_from_port92.connect(a20_gate, 1);
  add_uarts();
  wire_ports();
  if (pc.has_hpet()) add_hpet();
  for (bus::Device* device :
       {static_cast<bus::Device*>(&pit), static_cast<bus::Device*>(&rtc), static_cast<bus::Device*>(&keyboard),
        static_cast<bus::Device*>(&dma), static_cast<bus::Device*>(&fw_cfg), static_cast<bus::Device*>(&power),
        static_cast<bus::Device*>(&port92)}) {
    pc.add(*device);
  }
}

void Pc::Platform::add_hpet() {
  hpet_timer.connect(pc.interrupts_.isa(), 0);
  hpet_rtc.connect(pc.interrupts_.isa(), 8);
  hpet = std::make_unique<devices::Hpet>(devices::Hpet::Wires{.legacy_timer = hpet_timer,
                                                              .legacy_rtc = hpet_rtc,
                                                              .ioapic = pc.ioapic_,
                                                              .on_legacy =
                                                                  [this](bool enabled) {
                                                                    pit.set_channel0_connected(!enabled);
                                                                    rtc.set_interrupts_connected(!enabled);
                                                                  }},
                                         pc.parts_.clock, pc.tick_policy_);
  pc.memory().add_mmio({kHpetBase}, devices::Hpet::kMmioBytes, *hpet, 1, "hpet");
  pc.add(*hpet);
}

void Pc::Platform::wire_ports() {
  bus::PortSpace& ports = pc.ports_;
  ports.add(Port{0x40}, 4, pit.ports(), 1, "pit");
  ports.add(Port{0x61}, 1, pit.speaker_port(), 1, "speaker");
  ports.add(Port{0x70}, 4, rtc, 1, "rtc");
  ports.add(Port{0x60}, 1, keyboard, 1, "i8042-data");
  ports.add(Port{0x64}, 1, keyboard, 1, "i8042-command");
  ports.add(Port{0x00}, 16, dma.first_ports(), 1, "dma-first");
  ports.add(Port{0xC0}, 32, dma.second_ports(), 1, "dma-second");
  ports.add(Port{0x80}, 16, dma.page_ports(), 1, "dma-pages");
  ports.add(Port{0x92}, 1, port92, 1, "port92");
  ports.add(Port{0xB2}, 2, power.apm_ports(), 1, "apm");
  ports.add(Port{0x510}, 2, fw_cfg.ports(), 2, "fw_cfg");
  ports.add(Port{0x514}, 8, fw_cfg.dma_ports(), 4, "fw_cfg-dma");
}

// Four serial ports as the BIOS data area numbers them; those that the user connected to nothing are left out.
void Pc::Platform::add_uarts() {
  static constexpr u16 kBase[] = {0x3F8, 0x2F8, 0x3E8, 0x2E8};
  static constexpr unsigned kIrq[] = {4, 3, 4, 3};
  std::vector<devices::CharBackend*> backends = pc.parts_.serials;
  if (backends.empty() && !pc.parts_.config.no_defaults) backends.push_back(&no_terminal);
  for (std::size_t i = 0; i < backends.size(); i++) {
    if (i < pc.parts_.config.serials.size() && pc.parts_.config.serials[i].kind == "none") continue;
    uarts.push_back(std::make_unique<devices::Uart16550>(isa_irq[kIrq[i]], pc.parts_.clock, *backends[i]));
    pc.ports_.add(Port{kBase[i]}, 8, *uarts.back(), 1, "uart");
    pc.add(*uarts.back());
  }
}

void Pc::Platform::set_input(unsigned input, bool level) {
  if (input == kResetWire && level) pc.parts_.owner.request_reset();
  if (input == kA20Wire) pc.memory_->set_a20(level);
}

void Pc::Platform::power_off() { pc.parts_.owner.request_power_off(); }

// Sleep states are not offered by the DSDT; a guest that enters one all the same is woken at once.
void Pc::Platform::suspend_to_ram() { power.wake_up(); }
void Pc::Platform::suspend_to_disk() { pc.parts_.owner.request_power_off(); }

Result<void> Pc::build_platform() {
  TRY(rtc_base_ns(parts_.config.rtc_base));
  platform_ = std::make_unique<Platform>(*this);
  power_management_ = std::make_unique<devices::Piix4Pm>(pci_environment(), platform_->power.ports());
  pci_->attach(1, 3, *power_management_);
  add(*power_management_);
  if (parts_.debugcon != nullptr) {
    platform_->debugcons.push_back(std::make_unique<devices::Debugcon>(*parts_.debugcon));
    ports_.add(Port{0xE9}, 1, *platform_->debugcons.back(), 1, "debugcon");
  }
  return {};
}

namespace {

// Ports that the user chooses must exist and belong to nobody.
Result<void> check_ports(const bus::PortSpace& ports, const DeviceConfig& device, u32 base, u32 count) {
  char place[40];
  std::snprintf(place, sizeof place, "ports 0x%x to 0x%x", base, base + count - 1);
  if (count == 0 || base + count > 0x10000)
    return Error{"no such " + std::string(place) + ": -device " + device.driver};
  for (const bus::PortSpace::Claim& claim : ports.claims()) {
    if (claim.handler == nullptr || base >= claim.first + claim.count || claim.first >= base + count) continue;
    return Error{std::string(place) + " belong to " + claim.name + ": -device " + device.driver +
                 "; use another iobase"};
  }
  return {};
}

Result<u16> port_property(const DeviceConfig& device, const char* key, u16 fallback) {
  const auto it = device.properties.find(key);
  if (it == device.properties.end()) return fallback;
  char* end = nullptr;
  const unsigned long value = std::strtoul(it->second.c_str(), &end, 0);
  if (end == it->second.c_str() || *end != 0 || value > 0xFFFF) {
    return Error{"invalid value '" + it->second + "': -device " + device.driver + "," + key};
  }
  return static_cast<u16>(value);
}

}  // namespace

Result<void> Pc::build_extra_devices() {
  for (const DeviceConfig& device : parts_.config.devices) {
    const DeviceRow* row = TRY(find_device(device));
    if (row->name == "isa-debug-exit") {
      const u16 base = TRY(port_property(device, "iobase", 0x501));
      const u16 count = TRY(port_property(device, "iosize", 2));
      TRY(check_ports(ports_, device, base, count));
      platform_->exits.push_back(
          std::make_unique<devices::IsaDebugExit>([this](int status) { parts_.owner.guest_exit(status & 0xFF); }));
      ports_.add(Port{base}, count, *platform_->exits.back(), 4, "isa-debug-exit");
    } else if (row->name == "isa-debugcon") {
      TRY(add_debugcon(device));
    } else if (row->name == "pvpanic") {
      platform_->pvpanic = std::make_unique<devices::Pvpanic>([this](u8) { parts_.owner.guest_panicked(); });
      ports_.add(Port{0x505}, 1, *platform_->pvpanic, 1, "pvpanic");
    } else if (row->name == "pc-testdev") {
      platform_->testdev = std::make_unique<devices::PcTestdev>(interrupts_.isa());
      ports_.add(Port{0xE0}, 8, platform_->testdev->ports(), 4, "pc-testdev");
      ports_.add(Port{0xE8}, 4, platform_->testdev->ports(), 1, "pc-testdev");
      ports_.add(Port{0x2000}, 24, platform_->testdev->irq_ports(), 4, "pc-testdev");
      memory_->space().add_mmio({0xFF000000}, devices::PcTestdev::kMmioBytes, *platform_->testdev, 2, "pc-testdev");
      add(*platform_->testdev);
    }
  }
  return {};
}

// A second debug console: SeaBIOS writes to one at 402h, for instance.
Result<void> Pc::add_debugcon(const DeviceConfig& device) {
  const u16 base = TRY(port_property(device, "iobase", 0xE9));
  const auto wanted = device.properties.find("chardev");
  if (wanted == device.properties.end()) return Error{"no chardev given: -device isa-debugcon; add chardev=ID"};
  const auto backend = parts_.consoles.find(wanted->second);
  if (backend == parts_.consoles.end()) return Error{"no such chardev '" + wanted->second + "': -device isa-debugcon"};
  TRY(check_ports(ports_, device, base, 1));
  platform_->debugcons.push_back(std::make_unique<devices::Debugcon>(*backend->second));
  ports_.add(Port{base}, 1, *platform_->debugcons.back(), 1, "debugcon");
  return {};
}

void Pc::Platform::build_floppy() {
  floppy = std::make_unique<devices::Fdc82077>(
      pc.ports_, devices::Fdc82077::Wires{.irq = bus::IrqLine(pc.interrupts_.isa(), 6), .dma = dma.channel(2)},
      pc.parts_.clock, floppy_drives);
  pc.add(*floppy);
}

u8 Pc::Platform::floppy_types() const { return static_cast<u8>(floppy->drive_type(0) << 4 | floppy->drive_type(1)); }

bool Pc::has_hpet() const {
  const auto it = parts_.config.machine_properties.find("hpet");
  return it == parts_.config.machine_properties.end() || it->second != "off";
}

void Pc::set_ferr(bool level) { platform_->isa_irq[13].set(level); }
void Pc::power_button() { platform_->power.press_power_button(); }
devices::KeySink& Pc::keyboard() { return platform_->keyboard.keyboard(); }
devices::PointerSink& Pc::mouse() { return platform_->keyboard.mouse(); }

}  // namespace xm::machine
