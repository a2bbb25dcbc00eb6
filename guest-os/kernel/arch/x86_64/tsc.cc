// SPDX-License-Identifier: GPL-2.0-or-later
// The clocks of a PC that tell how fast its TSC runs: ACPI's PM timer [ACPI 4.8.3.3], the HPET [IA-PC HPET 2.3] and
// channel 2 of the PIT [82C54]. A rate that CPUID states is believed if a measurement does not contradict it.
#include "kernel/arch/x86_64/tsc.h"

#include "kernel/arch/x86_64/acpi.h"
#include "kernel/arch/x86_64/asm.h"
#include "kernel/arch/x86_64/irq.h"
#include "kernel/init/printk.h"
#include "kernel/mm/vmalloc.h"
#include "kernel/time/calibrate.h"

namespace xm::os {
namespace {

struct Tsc final : tsc_reader {
  u64 read() override { return rdtsc(); }
};

struct PmTimer final : reference_clock {
  PmTimer() {
    name = "PM timer";
    hz = 3579545;
    mask = 0xffffff;  // 24 bits are there always
  }
  bool read(u64& value) override {
    value = inl(acpi_info.pm_timer) & mask;
    return true;
  }
};

struct Hpet final : reference_clock {
  Hpet() {
    name = "HPET";
    mask = 0xffffffff;
    if (acpi_info.hpet == 0) return;
    registers = static_cast<volatile u32*>(ioremap(acpi_info.hpet, 0x400));
    const u32 period_fs = registers[1];
    if (period_fs == 0 || period_fs > 100000000) return;
    hz = 1000000000000000ul / period_fs;
    registers[4] = registers[4] | 1;  // ENABLE_CNF: the counter runs
  }
  bool read(u64& value) override {
    value = registers[0xf0 / 4];
    return true;
  }
  volatile u32* registers = nullptr;
};

// Counts down once from 65535, 55 ms; the output goes up at the end and tells that the count is void.
struct PitChannel2 final : reference_clock {
  PitChannel2() {
    name = "PIT";
    hz = 1193182;
    mask = 0xffff;
  }
  void start() override {
    outb(0x61, static_cast<u8>((inb(0x61) & ~2u) | 1u));
    outb(0x43, 0xb0);  // channel 2, both bytes, mode 0
    outb(0x42, 0xff);
    outb(0x42, 0xff);
  }
  bool read(u64& value) override {
    outb(0x43, 0x80);  // latch
    const u32 low = inb(0x42), high = inb(0x42);
    value = 0xffff - (high << 8 | low);
    return (inb(0x61) & 0x20) == 0;
  }
};

struct LapicTimer final : reference_clock {
  LapicTimer() {
    name = "LAPIC timer";
    mask = 0xffffffff;
  }
  void start() override { lapic_timer_start_calibration(); }
  bool read(u64& value) override {
    value = 0xffffffff - lapic_timer_remaining();
    return true;
  }
};

u64 tsc_khz_from_cpuid() {
  const u32 top = cpuid(0).eax;
  if (top >= 0x15) {
    const CpuidResult r = cpuid(0x15);
    if (r.eax != 0 && r.ebx != 0 && r.ecx != 0) return static_cast<u64>(r.ecx) * r.ebx / r.eax / 1000;
  }
  const bool hypervisor = (cpuid(1).ecx & 1u << 31) != 0;
  if (hypervisor && cpuid(0x40000000).eax >= 0x40000010) return cpuid(0x40000010).eax;
  return 0;
}

u64 difference_ppm(u64 a, u64 b) { return b == 0 ? ~0ul : (a > b ? a - b : b - a) * 1000000 / b; }

}  // namespace

ClockRates calibrate_clocks() {
  Tsc tsc;
  PmTimer pm;
  Hpet hpet;
  PitChannel2 pit;
  LapicTimer lapic;
  reference_clock* clocks[kMaxClocks];
  u32 count = 0;
  if (acpi_info.pm_timer != 0) clocks[count++] = &pm;
  if (count == 0 && hpet.hz != 0) clocks[count++] = &hpet;
  clocks[count++] = &pit;
  if (lapic_present()) clocks[count++] = &lapic;
  const calibration measured = calibrate_tsc(tsc, clocks, count);
  const u64 stated = tsc_khz_from_cpuid();
  if (measured.tsc_khz == 0) {
    printk(KERN_WARNING "tsc: no clock to measure against\n");
    return {stated != 0 ? stated : 1000000, 0};
  }
  const u64 lapic_khz = lapic_present() ? measured.clock_khz[count - 1] : 0;
  printk(KERN_INFO "tsc: %lu kHz measured by the %s, %lu ppm%s\n", measured.tsc_khz, measured.source,
         measured.error_ppm, measured.agreed ? "" : ", no second clock agrees");
  if (stated == 0) return {measured.tsc_khz, lapic_khz};
  if (difference_ppm(measured.tsc_khz, stated) > 20000 + measured.error_ppm && measured.agreed) {
    printk(KERN_WARNING "tsc: CPUID states %lu kHz, which is not believed\n", stated);
    return {measured.tsc_khz, lapic_khz};
  }
  return {stated, lapic_khz * stated / measured.tsc_khz};
}

}  // namespace xm::os
