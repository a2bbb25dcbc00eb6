// SPDX-License-Identifier: GPL-2.0-or-later
// The Bochs display interface: index port 1CE, data port 1CF [QEMU docs/specs/standard-vga].
#pragma once

#include "services/video.h"

namespace xm::fw {

enum class Dispi : u16 {
  Id = 0,
  Width = 1,
  Height = 2,
  Depth = 3,
  Enable = 4,
  Bank = 5,
  VirtualWidth = 6,
  VirtualHeight = 7,
  OffsetX = 8,
  OffsetY = 9,
  Memory64K = 10,
};
constexpr u16 kDispiEnabled = 0x01, kDispi8BitDac = 0x20, kDispiLinear = 0x40, kDispiKeepMemory = 0x80;

inline u16 dispi_read(Dispi index) {
  out16(0x1CE, static_cast<u16>(index));
  return in16(0x1CF);
}
inline void dispi_write(Dispi index, u16 value) {
  out16(0x1CE, static_cast<u16>(index));
  out16(0x1CF, value);
}

struct VbeMode {
  u16 number;
  u16 width, height;
  u8 depth;
};
const VbeMode* find_vbe_mode(u16 number);
u32 frame_buffer_address();
u32 video_memory_bytes();
bool set_vbe_mode(u16 number, bool linear, bool keep_memory);
u16 current_vbe_mode();
void restore_vbe_mode_number(u16 mode);
u32 bytes_per_line(const VbeMode& mode, u32 width);

}  // namespace xm::fw
