// SPDX-License-Identifier: GPL-2.0-or-later
// Every classic chip of the PC on one board: random register traffic must be harmless (run it under the sanitizers),
// and what one board saves another must load and save alike.
#include <gtest/gtest.h>

#include <random>

#include "devices/input/i8042.h"
#include "devices/intc/ioapic.h"
#include "devices/intc/lapic.h"
#include "devices/intc/pic8259.h"
#include "devices/platform/acpi_pm.h"
#include "devices/platform/fw_cfg.h"
#include "devices/platform/i8237.h"
#include "devices/platform/port92.h"
#include "devices/serial/uart16550.h"
#include "devices/timer/hpet.h"
#include "devices/timer/mc146818.h"
#include "devices/timer/pit8254.h"
#include "devices/video/vga.h"
#include "tests/unit/devices/map_archive.h"

namespace xm::devices {
namespace {

struct NoPins final : bus::CpuPins {
  void set_intr(bool) override {}
  void raise_nmi() override {}
  void raise_smi() override {}
  void raise_init() override {}
  void raise_sipi(u8) override {}
};

struct Board final : TscView, PowerControl {
  Board() {
    space.add_ram(GuestPhys{0}, ram->size_bytes(), *ram, 0, 0, "ram");
    space.add_mmio(GuestPhys{0xA0000}, VgaCore::kWindowBytes, vga.window(), 1, "vga");
    space.add_mmio(GuestPhys{0xFEC00000}, 0x1000, ioapic, 1, "ioapic");
    space.add_mmio(GuestPhys{0xFED00000}, Hpet::kMmioBytes, hpet, 1, "hpet");
    space.add_mmio(GuestPhys{0xFEE00000}, 0x1000, lapic, 1, "lapic");
    ports.add(Port{0x00}, 0x10, dma.first_ports());
    ports.add(Port{0x20}, 2, pics.master_ports());
    ports.add(Port{0x40}, 4, pit.ports());
    ports.add(Port{0x60}, 1, keyboard);
    ports.add(Port{0x61}, 1, pit.speaker_port());
    ports.add(Port{0x64}, 1, keyboard);
    ports.add(Port{0x70}, 4, rtc);
    ports.add(Port{0x80}, 16, dma.page_ports());
    ports.add(Port{0x92}, 1, port92);
    ports.add(Port{0xA0}, 2, pics.slave_ports());
    ports.add(Port{0xB2}, 2, pm.apm_ports());
    ports.add(Port{0xC0}, 0x20, dma.second_ports());
    ports.add(Port{0x1CE}, 3, vga.dispi_ports(), 2);
    ports.add(Port{0x3B0}, 0x30, vga.ports());
    ports.add(Port{0x3F8}, 8, uart);
    ports.add(Port{0x4D0}, 2, pics.elcr_ports());
    ports.add(Port{0x510}, 2, cfg.ports(), 2);
    ports.add(Port{0x514}, 8, cfg.dma_ports(), 4);
    ports.add(Port{0x600}, 64, pm.ports(), 4);
    intr.connect(apics, ApicBus::kLint0);
    cfg.set_writable_file("slot", std::vector<u8>(64), {});
    for (bus::Device* device : devices) device->reset();
  }
  Nanos time_of_tsc(u64 tsc) const override { return Nanos{static_cast<i64>(tsc)}; }
  void power_off() override {}
  void suspend_to_ram() override {}
  void suspend_to_disk() override {}

  MapArchive::Fields save() {
    MapArchive archive;
    exchange(archive);
    return archive.fields();
  }
  void exchange(bus::Archive& archive) {
    for (bus::Device* device : devices) {
      archive.begin(device->name());
      device->exchange(archive);
      archive.end();
    }
  }

  bus::ManualClock source;
  bus::VirtualClock clock{source};
  TickPolicy policy;
  bus::AddressSpace space;
  bus::PortSpace ports;
  std::unique_ptr<bus::RamBlock> ram = std::move(bus::RamBlock::create("ram", 0x100000)).value();
  std::unique_ptr<bus::RamBlock> video = std::move(bus::RamBlock::create("vga", 0x100000)).value();
  bus::GuestMemory memory{space};
  bus::IrqLine intr, irq0, irq1, irq4, irq8, irq9, irq12, legacy0, legacy8, a20, a20_fast, reset;
  NoPins pins;
  NullCharBackend chars;
  PicPair pics{intr};
  ApicBus apics{&pics};
  LocalApic lapic{{.id = 0, .boot_processor = true}, apics, pins, clock, policy, *this};
  IoApic ioapic{1, apics};
  Pit8254 pit{irq0, clock, policy};
  Mc146818 rtc{irq8, clock, policy, 1'700'000'000'000'000'000};
  Hpet hpet{{legacy0, legacy8, ioapic, {}}, clock, policy};
  Uart16550 uart{irq4, clock, chars};
  I8042 keyboard{{irq1, irq12, a20, reset}, clock};
  Port92 port92{a20_fast, reset};
  I8237Pair dma{memory};
  FwCfg cfg{memory};
  AcpiPm pm{irq9, clock, *this};
  Vga vga{*video, clock};
  std::vector<bus::Device*> devices{&pics,     &lapic,  &ioapic, &pit, &rtc, &hpet, &uart,
                                    &keyboard, &port92, &dma,    &cfg, &pm,  &vga};
};

class Traffic {
 public:
  explicit Traffic(u32 seed) : random_(seed) {}
  void step(Board& board) {
    constexpr u32 kSizes[] = {1, 1, 1, 2, 4};
    constexpr u64 kPages[] = {0xA0000, 0xB8000, 0xFEC00000, 0xFED00000, 0xFEE00000};
    constexpr u16 kPortBases[] = {0x00, 0x20,  0x40,  0x60,  0x70,  0x80,  0x92,  0xA0,  0xB2,
                                  0xC0, 0x1CE, 0x3B0, 0x3C0, 0x3D0, 0x3F8, 0x4D0, 0x510, 0x600};
    const u32 size = kSizes[pick(5)];
    switch (pick(8)) {
      case 0: board.source.advance(pick(4) == 0 ? pick(2'000'000'000) : pick(1'000'000)); break;
      case 1: board.clock.run_due(); break;
      case 2: board.lapic.acknowledge(); break;
      case 3:
      case 4: {
        const u64 address = kPages[pick(5)] + (pick(2) ? pick(0x400) & ~0xFu : pick(0x400));
        const bus::FlatRange* range = bus::AddressSpace::Reader(board.space).view().find(address);
        if (pick(2)) {
          bus::mmio_write(range, address, random_(), size);
        } else {
          bus::mmio_read(range, address, size);
        }
        break;
      }
      case 5: event(board); break;
      default: {
        const Port port{static_cast<u16>(kPortBases[pick(18)] + pick(16))};
        if (pick(3)) {
          board.ports.write(port, random_() >> pick(32), size);
        } else {
          board.ports.read(port, size);
        }
        break;
      }
    }
  }

 private:
  u32 pick(u32 below) { return random_() % below; }
  void event(Board& board) {
    switch (pick(6)) {
      case 0: board.keyboard.keyboard().key(static_cast<u16>(pick(256)), pick(2)); break;
      case 1:
        board.keyboard.mouse().pointer_motion(static_cast<int>(pick(1000)) - 500, static_cast<int>(random_()), 1);
        board.keyboard.mouse().pointer_sync();
        break;
      case 2: board.pics.set_input(pick(18), pick(2)); break;
      case 3: board.ioapic.set_input(pick(26), pick(2)); break;
      case 4: {
        const u8 byte = static_cast<u8>(random_());
        if (board.uart.can_receive() > 0) board.uart.receive({&byte, 1});
        break;
      }
      default: {
        board.vga.refresh(surface_);
        board.vga.text_screen();
        break;
      }
    }
  }
  std::mt19937 random_;
  Surface surface_;
};

TEST(AllChips, RandomTrafficIsHarmless) {
  for (u32 seed = 1; seed <= 20; seed++) {
    Board board;
    Traffic traffic(seed);
    for (int i = 0; i < 3000; i++) traffic.step(board);
  }
}

TEST(AllChips, SavedStateLoadsAlike) {
  for (u32 seed = 101; seed <= 104; seed++) {
    Board board;
    Traffic traffic(seed);
    for (int i = 0; i < 3000; i++) traffic.step(board);
    board.clock.run_due();
    const MapArchive::Fields saved = board.save();
    Board copy;
    copy.source.set(board.source.now());
    MapArchive archive(saved);
    copy.exchange(archive);
    for (const auto& [name, bytes] : copy.save()) {
      EXPECT_EQ(bytes, saved.at(name)) << name << " seed " << seed;
    }
  }
}

}  // namespace
}  // namespace xm::devices
