// SPDX-License-Identifier: GPL-2.0-or-later
// The registers of a VGA and its path between processor and display memory [IBM VGA, PS/2 Hardware Interface Technical
// Reference "Video Subsystem"]: sequencer, CRT controller, graphics controller with its latches, attribute controller,
// DAC. Pure state: no ports, no clock, no picture.
//
// Display memory is four planes, kept as byte `plane` of 32-bit word `offset`, so that one word is what the latches
// load. Addresses within a plane are the chip's own: odd/even and chain-4 leave holes that the CRTC's word and
// doubleword modes skip again.
#pragma once

#include <array>
#include <span>

#include "emu/base/bits.h"
#include "emu/bus/archive.h"

namespace xm::devices {

class VgaCore {
 public:
  static constexpr u64 kWindowBytes = 0x20000;  // A0000h-BFFFFh

  // `memory` outlives the core; its size is a multiple of 256 KiB.
  explicit VgaCore(std::span<u8> memory) : memory_(memory) { reset(); }

  void reset();
  void exchange(bus::Archive& archive);

  // Ports 3B0h-3DFh but for input status 1 (3BAh/3DAh reads), whose retrace bits need a clock.
  u8 read_port(u16 port);
  void write_port(u16 port, u8 value);
  // Reading input status 1 also resets the attribute controller's flip-flop.
  void reset_attribute_flip_flop() { attribute_data_next_ = false; }
  bool decodes(u16 port) const;  // the monochrome or the colour addresses

  // The window, offset from A0000h, through the graphics controller. `bank` counts 64 KiB of window.
  u8 read_memory(u32 offset, u32 bank);
  void write_memory(u32 offset, u8 value, u32 bank);
  // The window's offset within the selected map, or -1 if the map does not include it.
  i64 map_offset(u32 offset) const;

  u32 plane_word(u32 offset) const { return load_le<u32>(memory_.data() + u64{offset & plane_mask()} * 4); }
  u32 plane_mask() const { return static_cast<u32>(memory_.size() / 4 - 1); }
  std::span<const u8> memory() const { return memory_; }

  u8 sequencer(unsigned i) const { return sequencer_[i]; }
  u8 crtc(unsigned i) const { return crtc_[i]; }
  u8 graphics(unsigned i) const { return graphics_[i]; }
  u8 attribute(unsigned i) const { return attribute_[i]; }
  u8 misc_output() const { return misc_output_; }
  bool palette_source() const { return palette_source_; }
  // 0x00RRGGBB of a DAC entry behind the PEL mask.
  u32 dac_colour(u8 index) const;
  void set_dac_8bit(bool on);

  // Text or graphics, screen size in dots and lines.
  bool text_mode() const { return !(graphics_[6] & 1); }
  u32 columns() const { return crtc_[1] + 1u; }
  u32 displayed_lines() const;
  u32 line_compare() const;
  u32 total_lines() const;
  u32 retrace_start() const;
  u32 start_address() const { return u32{crtc_[0x0C]} << 8 | crtc_[0x0D]; }
  u32 cursor_address() const { return u32{crtc_[0x0E]} << 8 | crtc_[0x0F]; }
  u32 lines_per_row() const { return (crtc_[9] & 0x1Fu) + 1; }
  // The plane offset that the CRTC puts out for its address counter and row scan counter.
  u32 display_address(u32 counter, u32 row_scan) const;

  // Grows with every change that can alter the picture, memory aside.
  u64 generation() const { return generation_; }

 private:
  void write_attribute(u8 value);
  void write_crtc(u8 value);
  void write_dac(u8 value);
  u8 read_dac();
  struct Access {
    u32 offset;  // in the planes
    u8 planes;   // that the access may touch
  };
  Access locate(u32 map_offset, u32 bank, bool write) const;
  u32 alu(u32 data) const;

  std::span<u8> memory_;
  std::array<u8, 8> sequencer_{};
  std::array<u8, 32> crtc_{};
  std::array<u8, 16> graphics_{};
  std::array<u8, 32> attribute_{};
  std::array<u8, 768> dac_{};
  u8 sequencer_index_ = 0;
  u8 crtc_index_ = 0;
  u8 graphics_index_ = 0;
  u8 attribute_index_ = 0;
  bool attribute_data_next_ = false;
  bool palette_source_ = false;  // attribute index bit 5: the screen is on
  u8 misc_output_ = 0;
  u8 feature_control_ = 0;
  u8 dac_mask_ = 0xFF;
  u16 dac_read_at_ = 0;  // index * 3 + component
  u16 dac_write_at_ = 0;
  bool dac_reading_ = false;
  bool dac_8bit_ = false;
  u32 latches_ = 0;
  u64 generation_ = 0;
};

}  // namespace xm::devices
