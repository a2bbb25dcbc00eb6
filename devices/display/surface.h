// SPDX-License-Identifier: GPL-2.0-or-later
// The picture a video device shows, and how whoever shows it to people (window, VNC, screenshot, monitor) asks for it.
// Nothing is drawn unless somebody asks: the display polls at its own refresh rate. Machine lock held.
#pragma once

#include <string>
#include <vector>

#include "emu/base/types.h"

namespace xm::devices {

// 0x00RRGGBB pixels, row after row, no padding.
struct Surface {
  u32 width = 0;
  u32 height = 0;
  std::vector<u32> pixels;

  // Gives the surface a size; contents are undefined when it changed.
  void resize(u32 new_width, u32 new_height) {
    width = new_width;
    height = new_height;
    pixels.resize(std::size_t{width} * height);
  }
};

// What a refresh changed: rows [first_row, end_row) of the surface; empty if nothing did.
struct SurfaceChange {
  u32 first_row = 0;
  u32 end_row = 0;
  bool resized = false;
  bool any() const { return resized || first_row < end_row; }
};

class DisplaySource {
 public:
  // Brings `surface` up to date. The same surface must be passed each time, or invalidate() called in between.
  virtual SurfaceChange refresh(Surface& surface) = 0;
  // The next refresh() draws everything.
  virtual void invalidate() = 0;
  // The text screen as UTF-8 lines, trailing blanks removed; empty in graphics modes.
  virtual std::string text_screen() = 0;
  // "720x400 text", "1024x768x32": for the monitor.
  virtual std::string mode_description() = 0;

 protected:
  ~DisplaySource() = default;
};

}  // namespace xm::devices
