// SPDX-License-Identifier: GPL-2.0-or-later
// Saving and restoring the video state: INT 10h functions 1C and 4F04 [IBM VGA BIOS; VBE 3.0 4.7]. CX chooses the
// parts: bit 0 registers, bit 1 BIOS data, bit 2 palette, bit 3 (VBE only) the display interface.
#include "services/dispi.h"

namespace xm::fw {
namespace {

constexpr u32 kRegisterBytes = 1 + 5 + 25 + 9 + 21, kDataBytes = 0x1E + 7, kPaletteBytes = 1 + 768, kDispiBytes = 20;

// Walks a buffer, storing what is read or writing what was stored.
class StateBuffer {
 public:
  StateBuffer(u16 segment, u16 offset, bool save) : segment_(segment), offset_(offset), save_(save) {}
  bool saving() const { return save_; }
  void put(u8 value) { poke<u8>(segment_, offset_++, value); }
  u8 get() { return peek<u8>(segment_, offset_++); }

 private:
  u16 segment_, offset_;
  bool save_;
};

void indexed(StateBuffer& b, u16 port, u8 count) {
  for (u8 i = 0; i < count; i++) {
    if (b.saving()) {
      b.put(read_indexed(port, i));
    } else {
      write_indexed(port, i, b.get());
    }
  }
}

void registers(StateBuffer& b) {
  if (b.saving()) {
    b.put(in8(0x3CC));
  } else {
    out8(0x3C2, b.get());
    write_indexed(crtc_port(), 0x11, 0);
  }
  indexed(b, kSequencer, 5);
  indexed(b, crtc_port(), 25);
  indexed(b, kGraphics, 9);
  for (u8 i = 0; i < 21; i++) {
    reset_attribute_flip_flop();
    out8(kAttribute, i);
    if (b.saving()) {
      b.put(in8(0x3C1));
    } else {
      out8(kAttribute, b.get());
    }
  }
  reset_attribute_flip_flop();
  out8(kAttribute, 0x20);
}

void bios_data(StateBuffer& b) {
  auto range = [&b](u32 from, u32 count) {
    for (u32 at = from; at < from + count; at++) {
      if (b.saving()) {
        b.put(bda<u8>(at));
      } else {
        set_bda<u8>(at, b.get());
      }
    }
  };
  range(bda_at::kVideoMode, 0x1E);
  range(bda_at::kRows, 7);
}

void palette(StateBuffer& b) {
  if (b.saving()) {
    b.put(in8(0x3C6));
  } else {
    out8(0x3C6, b.get());
  }
  out8(b.saving() ? 0x3C7 : 0x3C8, 0);
  for (u32 i = 0; i < 768; i++) {
    if (b.saving()) {
      b.put(in8(0x3C9));
    } else {
      out8(0x3C9, b.get());
    }
  }
}

void display_interface(StateBuffer& b) {
  // Enable comes last: the others take effect with it.
  constexpr Dispi kOrder[] = {Dispi::Width,         Dispi::Height,  Dispi::Depth,   Dispi::Bank,  Dispi::VirtualWidth,
                              Dispi::VirtualHeight, Dispi::OffsetX, Dispi::OffsetY, Dispi::Enable};
  u16 mode = current_vbe_mode();
  if (b.saving()) {
    b.put(static_cast<u8>(mode)), b.put(static_cast<u8>(mode >> 8));
  } else {
    mode = b.get();
    mode |= static_cast<u16>(b.get() << 8);
    restore_vbe_mode_number(mode);
  }
  for (Dispi index : kOrder) {
    if (b.saving()) {
      const u16 value = dispi_read(index);
      b.put(static_cast<u8>(value)), b.put(static_cast<u8>(value >> 8));
    } else {
      u16 value = b.get();
      value |= static_cast<u16>(b.get() << 8);
      dispi_write(index, index == Dispi::Enable ? value | kDispiKeepMemory : value);
    }
  }
}

}  // namespace

u16 state_blocks(u16 parts) {
  u32 bytes = 0;
  if (parts & 1) bytes += kRegisterBytes;
  if (parts & 2) bytes += kDataBytes;
  if (parts & 4) bytes += kPaletteBytes;
  if (parts & 8) bytes += kDispiBytes;
  return static_cast<u16>((bytes + 63) / 64);
}

void move_video_state(u16 parts, bool save, u16 segment, u16 offset) {
  StateBuffer buffer(segment, offset, save);
  if ((parts & 8) && has_dispi()) display_interface(buffer);
  if (parts & 2) bios_data(buffer);
  if (parts & 1) registers(buffer);
  if (parts & 4) palette(buffer);
}

u16 video_state(Frame& f) {
  switch (f.dl) {
    case 0: f.bx = state_blocks(f.cx & 15); return 0x004F;
    case 1:
    case 2: move_video_state(f.cx & 15, f.dl == 1, f.es, f.bx); return 0x004F;
    default: return 0x014F;
  }
}

}  // namespace xm::fw
