// SPDX-License-Identifier: GPL-2.0-or-later
// A linear framebuffer of 32-bit pixels (blue in the lowest byte): what fbdev gives to programs and fbcon draws on.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

struct device;
struct fb_info {
  const char* id = "";
  phys_addr_t base = 0;
  u32 width = 0, height = 0, pitch = 0;  // pitch: bytes of a line
  u64 length = 0;                        // bytes of video memory
  volatile u8* memory = nullptr;
};
bool fbcon_init(const fb_info& fb);                      // becomes the display
void fbdev_register(const fb_info& fb, device* parent);  // /dev/fb0

}  // namespace xm::os
