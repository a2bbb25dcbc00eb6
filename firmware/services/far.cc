// SPDX-License-Identifier: GPL-2.0-or-later
// Block operations on far memory, and calls through interrupt vectors.
#include "services/far.h"

#include "lib/io.h"
#include "services/frame.h"

extern "C" void copy_physical_flat(xm::fw::u32 to, xm::fw::u32 from, xm::fw::u32 length);

namespace xm::fw {
namespace {

FarPointer normalised(FarPointer p) {
  return {static_cast<u16>(p.offset & 15), static_cast<u16>(p.segment + (p.offset >> 4))};
}

}  // namespace

void copy_physical(u32 to, u32 from, u32 length) { copy_physical_flat(to, from, length); }

void copy_far(u16 to_segment, u16 to_offset, u16 from_segment, u16 from_offset, u32 bytes) {
  u32 words = bytes / 2;
  asm volatile(
      "pushw %%es\n pushw %%ds\n movw %w[to], %%es\n movw %w[from], %%ds\n cld\n rep movsw\n"
      "testb $1, %b[bytes]\n jz 1f\n movsb\n 1: popw %%ds\n popw %%es"
      : "+c"(words), "+D"(to_offset), "+S"(from_offset)
      : [to] "r"(to_segment), [from] "r"(from_segment), [bytes] "q"(bytes)
      : "memory", "cc");
}

void fill_far16(u16 segment, u16 offset, u16 value, u32 words) {
  asm volatile("pushw %%es\n movw %w[segment], %%es\n cld\n rep stosw\n popw %%es"
               : "+c"(words), "+D"(offset)
               : "a"(value), [segment] "r"(segment)
               : "memory", "cc");
}

void in16_block(u16 port, FarPointer to, u32 words) {
  to = normalised(to);
  asm volatile("pushw %%es\n movw %w[segment], %%es\n cld\n rep insw\n popw %%es"
               : "+c"(words), "+D"(to.offset)
               : "d"(port), [segment] "r"(to.segment)
               : "memory", "cc");
}

void in32_block(u16 port, FarPointer to, u32 dwords) {
  to = normalised(to);
  asm volatile("pushw %%es\n movw %w[segment], %%es\n cld\n rep insl\n popw %%es"
               : "+c"(dwords), "+D"(to.offset)
               : "d"(port), [segment] "r"(to.segment)
               : "memory", "cc");
}

void out16_block(u16 port, FarPointer from, u32 words) {
  from = normalised(from);
  asm volatile("pushw %%ds\n movw %w[segment], %%ds\n cld\n rep outsw\n popw %%ds"
               : "+c"(words), "+S"(from.offset)
               : "d"(port), [segment] "r"(from.segment)
               : "memory", "cc");
}

void out32_block(u16 port, FarPointer from, u32 dwords) {
  from = normalised(from);
  asm volatile("pushw %%ds\n movw %w[segment], %%ds\n cld\n rep outsl\n popw %%ds"
               : "+c"(dwords), "+S"(from.offset)
               : "d"(port), [segment] "r"(from.segment)
               : "memory", "cc");
}

void call_interrupt(u8 vector, FarCall* call) {
  const FarPointer target = get_vector(vector);
  call->ip = target.offset;
  call->cs = target.segment;
  call->kind = FarCallKind::Interrupt;
  call->flags = 0x0002;
  call_far(call);
}

}  // namespace xm::fw
