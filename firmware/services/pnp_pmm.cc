// SPDX-License-Identifier: GPL-2.0-or-later
// POST Memory Manager [PMM 1.01], which lends option ROMs memory until the system boots, and the Plug and Play BIOS
// entry [PnP BIOS 1.0a], which offers no services. Their structures are in pnp_pmm.S.
#include "services/far.h"
#include "services/frame.h"

extern "C" xm::fw::u32 caller_esp;
extern "C" xm::fw::u32 caller_ss;

namespace xm::fw {
namespace {

constexpr u32 kFrameOnStack = 50 + 4;  // our stub's frame and the caller's far return address
constexpr u32 kConventionalStart = 0x20000, kConventionalEnd = 0x80000;

struct Block {
  u32 handle, address;
};
Block g_blocks[16];
u8 g_block_count;
u32 g_conventional_next = kConventionalStart;

template <class T>
T argument(u32 offset) {
  return peek<T>(static_cast<u16>(caller_ss), (caller_esp & 0xFFFF) + kFrameOnStack + offset);
}

u32 largest(bool extended) {
  return extended ? (g_boot_info.pool_base > 0x1000000 ? 0x800000 : 0) : kConventionalEnd - g_conventional_next;
}

u32 allocate_extended(u32 bytes, u32 alignment) {
  // Below the reserved top of RAM: free memory until the operating system takes it.
  static u32 next;
  if (!next) next = g_boot_info.high_free;
  if (next < bytes + 0x800000) return 0;
  next = (next - bytes) & ~(alignment - 1);
  return next;
}

u32 allocate(u32 paragraphs, u32 handle, u16 flags) {
  const bool conventional = flags & 1, extended = flags & 2;
  if (paragraphs == 0) return largest(extended) / 16;
  const u32 bytes = paragraphs * 16;
  u32 alignment = 16;
  if (flags & 4) {
    while (alignment < bytes) alignment *= 2;
  }
  u32 address = 0;
  if (conventional) {
    const u32 at = align_up(g_conventional_next, alignment);
    if (at + bytes <= kConventionalEnd) {
      address = at;
      g_conventional_next = at + bytes;
    }
  }
  if (!address && extended) address = allocate_extended(bytes, alignment);
  if (address && handle != 0xFFFFFFFF && g_block_count < count_of(g_blocks)) {
    g_blocks[g_block_count++] = {handle, address};
  }
  return address;
}

u32 find(u32 handle) {
  for (u8 i = 0; i < g_block_count; i++) {
    if (g_blocks[i].handle == handle) return g_blocks[i].address;
  }
  return 0;
}

}  // namespace
}  // namespace xm::fw

using namespace xm::fw;

extern "C" void pmm_call(Frame* f) {
  u32 result = 0;
  switch (argument<u16>(0)) {
    case 0: result = allocate(argument<u32>(2), argument<u32>(6), argument<u16>(10)); break;
    case 1: result = find(argument<u32>(2)); break;
    case 2: break;  // everything is free again when the system boots
    default: result = 0xFFFFFFFF; break;
  }
  f->ax = static_cast<u16>(result);
  f->dx = static_cast<u16>(result >> 16);
}

extern "C" void pnp_call(Frame* f) { f->ax = 0x82; }
