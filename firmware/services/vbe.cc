// SPDX-License-Identifier: GPL-2.0-or-later
// INT 10h function 4F, VESA BIOS Extensions 3.0 [VBE 3.0 4.3-4.13; VBE/DDC 1.1].
// GAP: protected-mode interface (0A) and text output in these modes are not offered, which the standard allows.
#include "services/dispi.h"

extern "C" void vbe_window_far();
extern "C" xm::fw::u16 g_vbe_mode_list[];

namespace xm::fw {

void build_vbe_mode_list();

namespace {

constexpr u16 kSupported = 0x004F, kFailed = 0x014F, kInvalidNow = 0x034F;

struct [[gnu::packed]] ControllerInformation {
  char signature[4];
  u16 version;
  FarPointer oem;
  u32 capabilities;
  FarPointer modes;
  u16 memory_64k;
  u16 oem_revision;
  FarPointer vendor, product, revision;
  u8 reserved[222];
};
static_assert(sizeof(ControllerInformation) == 256);

struct [[gnu::packed]] ModeInformation {
  u16 attributes;
  u8 window_a, window_b;
  u16 granularity, window_size, segment_a, segment_b;
  FarPointer window_function;
  u16 bytes_per_line;
  u16 width, height;
  u8 character_width, character_height, planes, depth, banks, memory_model, bank_size, image_pages, reserved1;
  u8 red_size, red_at, green_size, green_at, blue_size, blue_at, reserved_size, reserved_at;
  u8 direct_colour;
  u32 frame_buffer;
  u32 reserved2;
  u16 reserved3;
  u16 linear_bytes_per_line;
  u8 banked_pages, linear_pages;
  u8 linear_colours[8];
  u32 max_pixel_clock;
  u8 reserved4[190];
};
static_assert(sizeof(ModeInformation) == 256);

constexpr char kOem[] = "Xiaoma VBE";
constexpr char kVendor[] = "Xiaoma";

FarPointer far(const void* p) { return {near_offset(p), kDataSegment}; }

const VbeMode* active_mode() { return vbe_mode_active() ? find_vbe_mode(current_vbe_mode()) : nullptr; }

u16 controller_information(const Frame& f) {
  if (!has_dispi()) return kFailed;
  build_vbe_mode_list();
  ControllerInformation info{};
  const bool wants_2 = peek<u32>(f.es, f.di) == 0x32454256;  // "VBE2"
  memcpy(info.signature, "VESA", 4);
  info.version = 0x0300;
  info.oem = far(kOem);
  info.capabilities = 1;  // 8-bit DAC
  info.modes = far(g_vbe_mode_list);
  info.memory_64k = static_cast<u16>(video_memory_bytes() >> 16);
  if (wants_2) {
    info.oem_revision = 0x0100;
    info.vendor = info.product = far(kVendor);
    info.revision = far(kOem);
  }
  copy_to_far(f.es, f.di, &info, sizeof info);
  return kSupported;
}

void describe_colours(ModeInformation& m, u8 depth) {
  switch (depth) {
    case 15:
      m.red_size = m.green_size = m.blue_size = 5;
      m.red_at = 10, m.green_at = 5, m.reserved_size = 1, m.reserved_at = 15;
      break;
    case 16:
      m.red_size = m.blue_size = 5, m.green_size = 6;
      m.red_at = 11, m.green_at = 5;
      break;
    case 24:
    case 32:
      m.red_size = m.green_size = m.blue_size = 8;
      m.red_at = 16, m.green_at = 8;
      if (depth == 32) m.reserved_size = 8, m.reserved_at = 24;
      break;
    default: break;
  }
  m.linear_colours[0] = m.red_size, m.linear_colours[1] = m.red_at;
  m.linear_colours[2] = m.green_size, m.linear_colours[3] = m.green_at;
  m.linear_colours[4] = m.blue_size, m.linear_colours[5] = m.blue_at;
  m.linear_colours[6] = m.reserved_size, m.linear_colours[7] = m.reserved_at;
}

u16 mode_information(const Frame& f) {
  const VbeMode* mode = find_vbe_mode(f.cx);
  if (!mode) return kFailed;
  ModeInformation m{};
  const bool planar = mode->depth == 4;
  // Supported, extended information, colour, graphics; linear frame buffer unless planar.
  m.attributes = planar ? 0x001B : 0x009B;
  m.window_a = 7;
  m.granularity = m.window_size = 64;
  m.segment_a = 0xA000;
  m.window_function = {static_cast<u16>(reinterpret_cast<u32>(vbe_window_far)), kCodeSegment};
  m.bytes_per_line = m.linear_bytes_per_line = static_cast<u16>(bytes_per_line(*mode, mode->width));
  m.width = mode->width;
  m.height = mode->height;
  m.character_width = 8;
  m.character_height = 16;
  m.planes = planar ? 4 : 1;
  m.depth = mode->depth;
  m.banks = 1;
  m.memory_model = planar ? 3 : mode->depth == 8 ? 4 : 6;
  const u32 frame = bytes_per_line(*mode, mode->width) * mode->height * (planar ? 4 : 1);
  m.image_pages = static_cast<u8>(min<u32>(video_memory_bytes() / frame - 1, 255));
  m.banked_pages = m.linear_pages = m.image_pages;
  m.reserved1 = 1;
  describe_colours(m, mode->depth);
  m.direct_colour = mode->depth == 32 ? 2 : 0;
  m.frame_buffer = planar ? 0 : frame_buffer_address();
  m.max_pixel_clock = 400000000;
  copy_to_far(f.es, f.di, &m, sizeof m);
  return kSupported;
}

u16 set_mode(const Frame& f) {
  const u16 number = f.bx & 0x1FF;
  const bool keep = f.bx & 0x8000, linear = f.bx & 0x4000;
  if (number >= 0x100) return set_vbe_mode(number, linear, keep) ? kSupported : kFailed;
  if (!find_video_mode(static_cast<u8>(number & 0x7F))) return kFailed;
  set_video_mode(static_cast<u8>(number & 0x7F), keep);
  return kSupported;
}

u16 window_control(Frame& f) {
  if (f.bl != 0) return kFailed;
  if (!active_mode() || (current_vbe_mode() & 0x4000)) return kInvalidNow;
  if (f.bh == 0) {
    if (f.dx >= video_memory_bytes() >> 16) return kFailed;
    dispi_write(Dispi::Bank, f.dx);
    return kSupported;
  }
  f.dx = dispi_read(Dispi::Bank);
  return f.bh == 1 ? kSupported : kFailed;
}

u16 scan_line_length(Frame& f) {
  const VbeMode* mode = active_mode();
  if (!mode) return kInvalidNow;
  const u32 unit = max<u32>(bytes_per_line(*mode, 8), 1);  // bytes of eight pixels
  const u32 memory = video_memory_bytes() / (mode->depth == 4 ? 4 : 1);
  const u32 most_pixels = min<u32>(memory / mode->height / unit * 8, 0x3FF8);
  u32 pixels = f.cx;
  switch (f.bl) {
    case 0: break;
    case 1: pixels = dispi_read(Dispi::VirtualWidth); break;
    case 2: pixels = f.cx / unit * 8; break;
    case 3: pixels = most_pixels; break;
    default: return kFailed;
  }
  if (pixels > most_pixels) return kFailed;
  if (f.bl == 0 || f.bl == 2) {
    dispi_write(Dispi::VirtualWidth, static_cast<u16>(align_up<u32>(pixels, 8)));
    pixels = dispi_read(Dispi::VirtualWidth);
  }
  const u32 bytes = pixels / 8 * unit;
  if (!bytes) return kFailed;
  f.bx = static_cast<u16>(bytes);
  f.cx = static_cast<u16>(pixels);
  f.dx = static_cast<u16>(min<u32>(memory / bytes, 0xFFFF));
  return kSupported;
}

u16 display_start(Frame& f) {
  if (!active_mode()) return kInvalidNow;
  switch (f.bl & 0x7F) {
    case 0:
      dispi_write(Dispi::OffsetX, f.cx);
      dispi_write(Dispi::OffsetY, f.dx);
      return kSupported;
    case 1:
      f.bh = 0;
      f.cx = dispi_read(Dispi::OffsetX);
      f.dx = dispi_read(Dispi::OffsetY);
      return kSupported;
    default: return kFailed;
  }
}

u16 dac_width(Frame& f) {
  const VbeMode* mode = active_mode();
  if (!mode || mode->depth > 8) return kInvalidNow;
  u16 enable = dispi_read(Dispi::Enable);
  if (f.bl == 0) {
    enable = static_cast<u16>(f.bh >= 8 ? enable | kDispi8BitDac : enable & ~kDispi8BitDac);
    dispi_write(Dispi::Enable, enable | kDispiKeepMemory);
  } else if (f.bl != 1) {
    return kFailed;
  }
  f.bh = enable & kDispi8BitDac ? 8 : 6;
  return kSupported;
}

u16 palette_data(const Frame& f) {
  const bool set = (f.bl & 0x7F) == 0;
  if (!set && f.bl != 1) return kFailed;
  if (f.cx > 256 || f.dx > 255 || f.cx + f.dx > 256) return kFailed;
  out8(set ? 0x3C8 : 0x3C7, static_cast<u8>(f.dx));
  for (u16 i = 0; i < f.cx; i++) {
    const u16 at = static_cast<u16>(f.di + i * 4);
    for (u16 c = 3; c-- > 0;) {  // red, green, blue; in memory blue first
      const u16 byte = static_cast<u16>(at + c);
      if (set) {
        out8(0x3C9, peek<u8>(f.es, byte));
      } else {
        poke<u8>(f.es, byte, in8(0x3C9));
      }
    }
  }
  return kSupported;
}

// The display's EDID block: the standard VGA shows it at the start of its register window, BAR 2.
u16 display_data(Frame& f) {
  u32 registers = 0;
  for (u32 i = 0; i < g_boot_info.pci_count && !registers; i++) {
    const PciFunction& d = g_boot_info.pci[i];
    if (d.vendor == 0x1234 && d.device == 0x1111) registers = pci_read32(d.address, 0x18) & ~15u;
  }
  if (!registers || read_physical<u32>(registers) != 0xFFFFFF00) return kFailed;
  switch (f.bl) {
    case 0: f.bx = 0x0102; return kSupported;  // one second a block, DDC2
    case 1:
      if (f.dx > 1) return kFailed;
      for (u16 i = 0; i < 128; i++) {
        const u8 byte = read_physical<u8>(registers + f.dx * 128u + i);
        poke<u8>(f.es, static_cast<u16>(f.di + i), byte);
      }
      return kSupported;
    default: return kFailed;
  }
}

}  // namespace

void int10_vbe(Frame& f) {
  u16 result;
  switch (f.al) {
    case 0x00: result = controller_information(f); break;
    case 0x01: result = mode_information(f); break;
    case 0x02: result = set_mode(f); break;
    case 0x03:
      f.bx = current_vbe_mode();
      result = kSupported;
      break;
    case 0x04: result = video_state(f); break;
    case 0x05: result = window_control(f); break;
    case 0x06: result = scan_line_length(f); break;
    case 0x07: result = display_start(f); break;
    case 0x08: result = dac_width(f); break;
    case 0x09: result = palette_data(f); break;
    case 0x15: result = display_data(f); break;
    default: return;
  }
  f.ax = result;
}

}  // namespace xm::fw
