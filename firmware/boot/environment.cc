// SPDX-License-Identifier: GPL-2.0-or-later
// Interrupt vectors, BIOS data area, extended BIOS data area, tick count and the interrupt controller's masks.
#include "boot/boot.h"
#include "services/disk.h"

extern "C" {
void entry_iret();
void entry_irq_master();
void entry_irq_slave();
void entry_irq9();
void entry_irq13();
void entry_int11();
void entry_int12();
void entry_int18();
void entry_int19();
void entry_int70();
void entry_int74();
}

namespace xm::fw {
namespace {

u16 code_offset(void (*entry)()) { return static_cast<u16>(reinterpret_cast<u32>(entry)); }

void set_vectors() {
  // Vectors that old programs expect at fixed places point at those; the rest at the stubs themselves.
  for (u32 v = 0; v < 0x78; v++) {
    if (v >= 0x60 && v <= 0x67) {
      set_vector(static_cast<u8>(v), 0, 0);  // for users
    } else {
      set_vector(static_cast<u8>(v), kCodeSegment, 0xFF53);
    }
  }
  struct Fixed {
    u8 vector;
    u16 offset;
  };
  constexpr Fixed kFixed[] = {{0x02, 0xE2C3}, {0x05, 0xFF54}, {0x08, 0xFEA5}, {0x09, 0xE987}, {0x0E, 0xEF57},
                              {0x10, 0xF065}, {0x11, 0xF84D}, {0x12, 0xF841}, {0x13, 0xE3FE}, {0x14, 0xE739},
                              {0x15, 0xF859}, {0x16, 0xE82E}, {0x17, 0xEFD2}, {0x19, 0xE6F2}, {0x1A, 0xFE6E},
                              {0x1E, 0xEFC7}, {0x40, 0xEC59}, {0x42, 0xF065}};
  for (const Fixed& fixed : kFixed) set_vector(fixed.vector, kCodeSegment, fixed.offset);
  set_vector(0x18, kCodeSegment, code_offset(entry_int18));
  constexpr u8 kMasterIrqs[] = {0x0A, 0x0B, 0x0C, 0x0D, 0x0F};
  for (u8 irq : kMasterIrqs) set_vector(irq, kCodeSegment, code_offset(entry_irq_master));
  for (u8 irq = 0x72; irq < 0x78; irq++) set_vector(irq, kCodeSegment, code_offset(entry_irq_slave));
  set_vector(0x70, kCodeSegment, code_offset(entry_int70));
  set_vector(0x71, kCodeSegment, code_offset(entry_irq9));
  set_vector(0x74, kCodeSegment, code_offset(entry_int74));
  set_vector(0x75, kCodeSegment, code_offset(entry_irq13));
  constexpr u8 kEmpty[] = {0x1D, 0x1F, 0x41, 0x46};
  for (u8 empty : kEmpty) set_vector(empty, 0, 0);
}

u16 probe_serial_ports() {
  constexpr u16 kPorts[] = {0x3F8, 0x2F8, 0x3E8, 0x2E8};
  u16 count = 0;
  for (u16 port : kPorts) {
    out8(static_cast<u16>(port + 7), 0x5A);
    if (in8(static_cast<u16>(port + 7)) != 0x5A) continue;
    set_bda<u16>(bda_at::kCom + 2u * count, port);
    set_bda<u8>(bda_at::kComTimeout + count, 10);
    count++;
  }
  return count;
}

u16 probe_parallel_ports() {
  constexpr u16 kPorts[] = {0x378, 0x278, 0x3BC};
  u16 count = 0;
  for (u16 port : kPorts) {
    out8(port, 0xAA);
    if (in8(port) != 0xAA) continue;
    set_bda<u16>(bda_at::kLpt + 2u * count, port);
    set_bda<u8>(bda_at::kLptTimeout + count, 20);
    count++;
  }
  return count;
}

void set_data_areas() {
  fill_far16(0x40, 0, 0, 0x80);
  fill_far16(kEbdaBase >> 4, 0, 0, 512);
  poke<u8>(kEbdaBase >> 4, 0, 1);  // its length in KiB
  set_bda<u16>(bda_at::kEbdaSegment, kEbdaBase >> 4);
  set_bda<u16>(bda_at::kMemoryKiB, kEbdaBase >> 10);
  const u16 serial = probe_serial_ports(), parallel = probe_parallel_ports();
  // Coprocessor, pointing device, 80-column colour screen; floppies are added when found.
  const u16 equipment = static_cast<u16>(0x0002 | 0x0004 | 0x0020 | serial << 9 | parallel << 14);
  set_bda<u16>(bda_at::kEquipment, equipment);
}

u32 from_bcd(u8 value) { return (value >> 4) * 10u + (value & 15); }

}  // namespace

void set_tick_count() {
  for (int tries = 0; tries < 10000 && (cmos_read(0x0A) & 0x80); tries++) cpu_relax();
  const bool binary = cmos_read(0x0B) & 4;
  const u8 s = cmos_read(0x00), m = cmos_read(0x02), h = cmos_read(0x04);
  const u32 seconds = binary ? s + m * 60u + h * 3600u : from_bcd(s) + from_bcd(m) * 60 + from_bcd(h & 0x7F) * 3600;
  // 1193182 / 65536 ticks a second.
  set_bda<u32>(bda_at::kTicks, static_cast<u32>(divide(u64{seconds} * 1193182, 65536)));
  set_bda<u8>(bda_at::kMidnight, 0);
}

void initialise_environment() {
  set_data_areas();
  set_vectors();
  set_tick_count();
  out8(0x21, 0xB8);  // timer, keyboard, cascade, floppy
  out8(0xA1, 0x8F);  // mouse, coprocessor, disks
}

}  // namespace xm::fw
