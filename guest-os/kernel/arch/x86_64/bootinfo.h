// SPDX-License-Identifier: GPL-2.0-or-later
// How we were started, in one form for both protocols: memory map, command line, initrd, ACPI pointer, text cursor.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

enum class E820Type : u32 { Ram = 1, Reserved = 2, Acpi = 3, Nvs = 4, Unusable = 5 };
struct E820Entry {
  u64 base;
  u64 size;
  E820Type type;
};

struct BootInfo {
  E820Entry map[128];
  u32 map_count;
  char command_line[2048];
  phys_addr_t initrd;
  u64 initrd_size;
  phys_addr_t rsdp;
  u8 cursor_x, cursor_y;
  // A linear framebuffer that the loader has switched on (screen_info, type 0x23); base 0: none.
  struct {
    phys_addr_t base;
    u32 width, height, pitch, depth;
  } lfb;
  bool vga_text;
};
extern BootInfo boot_info;

// Reads boot_params or hvm_start_info; both lie in low memory, reachable through the direct map of the entry code.
void collect_boot_info(u32 protocol, phys_addr_t info);

// The value of `word=` on the command line (the last one), or null; the text is in `value` until the next call.
bool command_line_value(const char* word, char* value, size_t size);
bool command_line_flag(const char* word);

}  // namespace xm::os
