// SPDX-License-Identifier: GPL-2.0-or-later
// INT 15h, system services: memory sizes and map, block move, A20, waits, configuration [IBM AT and PS/2 BIOS;
// ACPI 15.1].
#include "services/keyboard.h"

namespace xm::fw {
namespace {

void unsupported(Frame& f) {
  f.ah = 0x86;
  f.set_carry(true);
}

void succeed(Frame& f) {
  f.ah = 0;
  f.set_carry(false);
}

// Waits a number of microseconds on the refresh toggle, 15.085 microseconds a change.
void wait_microseconds(u32 microseconds) {
  u32 toggles = static_cast<u32>(divide(u64{microseconds} * 1000, 15085)) + 1;
  u8 last = in8(0x61) & 0x10;
  while (toggles) {
    const u8 now = in8(0x61) & 0x10;
    if (now == last) continue;
    last = now;
    toggles--;
    if ((toggles & 0xFF) == 0) yield();
  }
}

// Function 83: the user's byte gets bit 7 set after CX:DX microseconds, counted by the clock's periodic interrupt.
void event_wait(Frame& f) {
  using namespace bda_at;
  if (f.al == 1) {
    set_bda<u8>(kWaitFlag, 0);
    cmos_write(0x0B, static_cast<u8>(cmos_read(0x0B) & ~0x40));
    return succeed(f);
  }
  if (bda<u8>(kWaitFlag) & 1) return unsupported(f);
  set_bda<u32>(kWaitPointer, u32{f.es} << 16 | f.bx);
  set_bda<u32>(kWaitCount, u32{f.cx} << 16 | f.dx);
  set_bda<u8>(kWaitFlag, 1);
  out8(0xA1, static_cast<u8>(in8(0xA1) & ~0x01));
  cmos_write(0x0B, static_cast<u8>(cmos_read(0x0B) | 0x40));
  succeed(f);
}

struct Descriptor {
  u16 limit;
  u16 base_low;
  u8 base_middle;
  u8 access;
  u8 flags;
  u8 base_high;
  u32 base() const { return base_low | u32{base_middle} << 16 | u32{base_high} << 24; }
};

void block_move(Frame& f) {
  Descriptor source, target;
  copy_from_far(&source, f.es, static_cast<u16>(f.si + 0x10), sizeof source);
  copy_from_far(&target, f.es, static_cast<u16>(f.si + 0x18), sizeof target);
  const u8 a20 = in8(0x92);
  out8(0x92, static_cast<u8>((a20 | 2) & ~1));
  copy_physical(target.base(), source.base(), u32{f.cx} * 2);
  out8(0x92, static_cast<u8>(a20 & ~1));
  succeed(f);
}

void a20_gate(Frame& f) {
  const u8 port = in8(0x92);
  switch (f.al) {
    case 0: out8(0x92, static_cast<u8>(port & ~3)); break;
    case 1: out8(0x92, static_cast<u8>((port | 2) & ~1)); break;
    case 2: f.al = port >> 1 & 1; break;
    case 3: f.bx = 3; break;  // by the 8042 and by port 92
    default: return unsupported(f);
  }
  succeed(f);
}

void memory_map(Frame& f) {
  constexpr u32 kSmap = 0x534D4150;
  const u32 index = f.ebx;
  if (f.edx != kSmap || f.ecx < sizeof(MemoryRange) || index >= g_boot_info.memory_count) return unsupported(f);
  copy_to_far(f.es, f.di, &g_boot_info.memory[index], sizeof(MemoryRange));
  f.eax = kSmap;
  f.ecx = sizeof(MemoryRange);
  f.ebx = index + 1 < g_boot_info.memory_count ? index + 1 : 0;
  f.set_carry(false);
}

// RAM that is free from 1 MiB upwards without a hole.
u32 extended_memory() {
  for (u32 i = 0; i < g_boot_info.memory_count; i++) {
    const MemoryRange& range = g_boot_info.memory[i];
    if (range.base == 0x100000 && range.kind == MemoryKind::Ram) {
      return static_cast<u32>(min<u64>(range.length, 0xFFF00000));
    }
  }
  return 0;
}

void memory_sizes(Frame& f) {
  constexpr u32 k15MiB = 15u << 20;
  const u32 size = extended_memory();
  const u16 first = static_cast<u16>(min(size, k15MiB) >> 10);
  const u16 second = static_cast<u16>(size > k15MiB ? (size - k15MiB) >> 16 : 0);
  switch (f.al) {
    case 0x01:
      f.ax = f.cx = first;
      f.bx = f.dx = second;
      break;
    case 0x81:
      f.eax = f.ecx = first;
      f.ebx = f.edx = second;
      break;
    case 0x20: return memory_map(f);
    default: return unsupported(f);
  }
  f.set_carry(false);
}

}  // namespace
}  // namespace xm::fw

using namespace xm::fw;

extern "C" void int15(Frame* frame) {
  Frame& f = *frame;
  switch (f.ah) {
    case 0x24: a20_gate(f); break;
    case 0x4F: f.set_carry(true); break;  // keyboard intercept: leave the code as it is
    case 0x53: int15_apm(f); break;
    case 0x80:
    case 0x81:
    case 0x82:
    case 0x85:
    case 0x90:
    case 0x91: succeed(f); break;  // device open and close, system request, wait and post hooks
    case 0x83: event_wait(f); break;
    case 0x86:
      wait_microseconds(u32{f.cx} << 16 | f.dx);
      succeed(f);
      break;
    case 0x87: block_move(f); break;
    case 0x88:
      f.ax = static_cast<u16>(min<u32>(extended_memory() >> 10, 0xFFFF));
      f.set_carry(false);
      break;
    case 0xC0:
      f.es = kCodeSegment;
      f.bx = 0xE6F5;
      succeed(f);
      break;
    case 0xC1:
      f.es = bda<u16>(bda_at::kEbdaSegment);
      f.set_carry(false);
      break;
    case 0xC2: int15_mouse(f); break;
    case 0xE8: memory_sizes(f); break;
    default: unsupported(f); break;
  }
}

// IRQ 8: the clock. Alarm goes to INT 4A, the periodic interrupt counts function 83's wait down in steps of 976 us.
extern "C" void int70(Frame*) {
  using namespace bda_at;
  const u8 cause = static_cast<u8>(cmos_read(0x0C) & cmos_read(0x0B));
  if ((cause & 0x40) && (bda<u8>(kWaitFlag) & 1)) {
    const u32 left = bda<u32>(kWaitCount);
    set_bda<u32>(kWaitCount, left > 976 ? left - 976 : 0);
    if (left <= 976) {
      const u32 flag = bda<u32>(kWaitPointer);
      const u16 segment = static_cast<u16>(flag >> 16), offset = static_cast<u16>(flag);
      poke<u8>(segment, offset, static_cast<u8>(peek<u8>(segment, offset) | 0x80));
      set_bda<u8>(kWaitFlag, 0);
      cmos_write(0x0B, static_cast<u8>(cmos_read(0x0B) & ~0x40));
    }
  }
  if (cause & 0x20) {
    FarCall call;
    call_interrupt(0x4A, &call);
  }
  out8(0xA0, 0x20);
  out8(0x20, 0x20);
}
