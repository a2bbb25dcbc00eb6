// SPDX-License-Identifier: GPL-2.0-or-later
// Pictures from display memory, line by line as the CRT controller scans it. Pure functions of the VGA's state.
#pragma once

#include <span>
#include <string>

#include "devices/video/bochs_dispi.h"
#include "devices/video/vga_core.h"

namespace xm::devices {

// What changes by itself.
struct BlinkPhase {
  bool cursor_on = true;
  bool text_on = true;
  bool operator==(const BlinkPhase&) const = default;
};

// A VGA mode as the monitor sees it.
struct VgaGeometry {
  u32 width = 0;   // dots; low-resolution modes count doubled
  u32 height = 0;  // lines
  bool blank = false;
};
VgaGeometry vga_geometry(const VgaCore& core);

// Produces the lines of a VGA mode one after the other, from the top.
class VgaScanner {
 public:
  VgaScanner(const VgaCore& core, BlinkPhase blink);
  // The next line: vga_geometry().width pixels.
  void next_line(std::span<u32> pixels);

 private:
  void text_line(std::span<u32> pixels);
  void graphics_line(std::span<u32> pixels);
  void advance();
  u32 colour_of(u32 palette_index) const;

  const VgaCore& core_;
  const BlinkPhase blink_;
  u32 line_ = 0;
  u32 row_address_;  // address counter at the start of this line
  u32 row_scan_;
  bool second_scan_ = false;  // of a double-scanned line
  u32 pan_;
  u32 byte_pan_;
};

// A line of the linear frame buffer.
void dispi_line(const BochsDispi& dispi, const VgaCore& core, u32 line, std::span<u32> pixels);

// The text screen as UTF-8, one line a row, trailing blanks removed. Only in text modes.
std::string text_of_screen(const VgaCore& core);

}  // namespace xm::devices
