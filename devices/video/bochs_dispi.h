// SPDX-License-Identifier: GPL-2.0-or-later
// The "display interface" of Bochs' VBE, as QEMU's std VGA offers it too (ID B0C5h): an index and a data register that
// set resolution, depth, virtual width, panning and the bank of the 64 KiB window [Bochs VBE extension; QEMU
// docs/specs/standard-vga]. Pure state.
#pragma once

#include <array>

#include "emu/bus/archive.h"

namespace xm::devices {

class BochsDispi {
 public:
  static constexpr u32 kMaxWidth = 16000;
  static constexpr u32 kMaxHeight = 12000;

  explicit BochsDispi(u64 memory_bytes) : memory_bytes_(memory_bytes) {}

  void reset();
  void exchange(bus::Archive& archive);

  u16 index() const { return index_; }
  void set_index(u16 index) { index_ = index; }
  u16 read(u16 index) const;
  // True if the guest just enabled a mode without asking to keep memory: the caller clears frame_bytes().
  bool write(u16 index, u16 value);

  bool enabled() const;
  bool dac_8bit() const;
  u32 width() const { return registers_[1]; }
  u32 height() const { return registers_[2]; }
  u32 bits_per_pixel() const { return registers_[3]; }
  u32 bank() const { return registers_[5]; }
  // Bytes from one line to the next (of each plane, at 4 bits per pixel) and to the first displayed pixel.
  u32 pitch_bytes() const;
  u64 start_bytes() const;
  u64 frame_bytes() const;
  u64 generation() const { return generation_; }

 private:
  // Brings every register into what memory allows.
  void fix();
  u32 bytes_of_pixels(u32 pixels) const;

  const u64 memory_bytes_;
  u16 index_ = 0;
  std::array<u16, 10> registers_{};
  u64 generation_ = 0;
};

}  // namespace xm::devices
