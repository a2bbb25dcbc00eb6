// SPDX-License-Identifier: GPL-2.0-or-later
// Memory types [SDM3 12.11] and the local APIC's virtual wire [SDM3 11.5.1], on the boot processor here and on the
// others by a start-up message. All processors end up with the same MTRRs, or the operating system would complain and
// correct them; afterwards the others halt until the operating system starts them again.
#include "lib/fw_cfg.h"
#include "post/post.h"

extern "C" const xm::fw::u8 ap_trampoline_start[], ap_trampoline_end[];

namespace xm::fw {
namespace {

constexpr u32 kLocalApic = 0xFEE00000;
constexpr u32 kTrampolinePage = 0x10000;
constexpr u32 kMtrrFix64K = 0x250;
constexpr u32 kMtrrDefaultType = 0x2FF;
constexpr u8 kUncached = 0, kWriteProtected = 5, kWriteBack = 6;

struct MsrValue {
  u32 msr;
  u32 low;
  u32 high;
};

// Shared with the trampoline: at the start of its page, after the jump.
struct TrampolineTable {
  u32 arrived;
  u32 count;
  MsrValue values[16];
};

struct Cpuid {
  u32 a, b, c, d;
};

Cpuid cpuid(u32 leaf) {
  Cpuid r;
  asm volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(0));
  return r;
}

void write_msr(const MsrValue& value) {
  asm volatile("wrmsr" : : "c"(value.msr), "a"(value.low), "d"(value.high) : "memory");
}

u64 read_msr(u32 msr) {
  u32 low, high;
  asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
  return u64{high} << 32 | low;
}

u32 fill(u8 type) { return type * 0x01010101u; }

u32 physical_address_bits() {
  if (cpuid(0x80000000).a >= 0x80000008) return cpuid(0x80000008).a & 0xFF;
  return 36;
}

// WB everywhere but the VGA window and the PCI hole; the ROM area write-protected.
void collect_memory_types(TrampolineTable& table) {
  auto add = [&table](u32 msr, u32 low, u32 high) { table.values[table.count++] = {msr, low, high}; };
  const u64 capability = read_msr(0xFE);
  if (capability & 0x100) {
    add(kMtrrFix64K, fill(kWriteBack), fill(kWriteBack));
    add(0x258, fill(kWriteBack), fill(kWriteBack));  // 80000-9FFFF
    add(0x259, fill(kUncached), fill(kUncached));    // A0000-BFFFF
    for (u32 msr = 0x268; msr <= 0x26F; msr++) add(msr, fill(kWriteProtected), fill(kWriteProtected));
  }
  if (capability & 0xFF) {
    // One variable range covers the hole from the end of low RAM, rounded to a power of two from the top of 4 GiB.
    u32 hole = 0x20000000;
    while (hole < 0x80000000 && 0u - hole * 2 >= boot_info().ram_below_4g) hole *= 2;
    if (0u - hole < boot_info().ram_below_4g) hole = 0x10000000;
    const u32 high_mask = (1u << (min<u32>(physical_address_bits(), 63) - 32)) - 1;
    add(0x200, (0u - hole) | kUncached, 0);
    add(0x201, (0u - hole) | 0x800, high_mask);
  }
  add(kMtrrDefaultType, (capability & 0x100 ? 0xC00u : 0x800u) | kWriteBack, 0);
}

void initialise_virtual_wire() {
  volatile u32& spurious = physical<volatile u32>(kLocalApic + 0xF0);
  spurious = spurious | 0x100;                          // software enable
  physical<volatile u32>(kLocalApic + 0x350) = 0x8700;  // LINT0: ExtINT, level as wired on a PC
  physical<volatile u32>(kLocalApic + 0x360) = 0x8400;  // LINT1: NMI
}

void start_others(u32 count) {
  volatile TrampolineTable& table = physical<TrampolineTable>(kTrampolinePage + 0x100);
  physical<volatile u32>(kLocalApic + 0x300) = 0xC4500;                            // INIT, all but self
  physical<volatile u32>(kLocalApic + 0x300) = 0xC4600 | (kTrampolinePage >> 12);  // SIPI
  for (u32 tries = 0; tries < 200000 && table.arrived < count; tries++) in8(0x80);
}

}  // namespace

void initialise_processors() {
  BootInfo& info = boot_info();
  info.cpu_count = info.fw_cfg_features ? max<u16>(fw_cfg_read16(FwCfgKey::CpuCount), 1) : u16{1};
  if (cpuid(0).a < 1) return;
  const u32 features = cpuid(1).d;
  const bool has_apic = features & (1u << 9), has_mtrr = features & (1u << 12), has_msr = features & (1u << 5);
  if (!has_msr) return;
  TrampolineTable& table = physical<TrampolineTable>(kTrampolinePage + 0x100);
  memset(&table, 0, sizeof table);
  if (has_mtrr) collect_memory_types(table);
  for (u32 i = 0; i < table.count; i++) write_msr(table.values[i]);
  if (!has_apic) return;
  initialise_virtual_wire();
  if (info.cpu_count < 2) return;
  memcpy(bytes_at(kTrampolinePage), ap_trampoline_start, static_cast<u32>(ap_trampoline_end - ap_trampoline_start));
  start_others(info.cpu_count - 1u);
  print("processors: %u\n", info.cpu_count);
}

}  // namespace xm::fw
