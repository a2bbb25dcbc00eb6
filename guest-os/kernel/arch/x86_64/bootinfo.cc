// SPDX-License-Identifier: GPL-2.0-or-later
// Reads what the loader left: boot_params of the Linux protocol (Documentation/x86/zero-page.rst) or hvm_start_info of
// the PVH protocol (xen/include/public/arch-x86/hvm/start_info.h). GAP: no setup_data chain, so more than 128 E820
// entries are ignored.
#include "kernel/arch/x86_64/bootinfo.h"

#include "kernel/lib/string.h"
#include "kernel/mm/layout.h"

namespace xm::os {

constinit BootInfo boot_info{};

namespace {

template <class T>
T peek(phys_addr_t address) {
  T v;
  memcpy(&v, phys_to_virt(address), sizeof v);
  return v;
}

void add_range(u64 base, u64 size, u32 type) {
  if (size == 0 || boot_info.map_count == array_size(boot_info.map)) return;
  boot_info.map[boot_info.map_count++] = {base, size, static_cast<E820Type>(type)};
}

void collect_linux(phys_addr_t bp) {
  boot_info.cursor_x = peek<u8>(bp);
  boot_info.cursor_y = peek<u8>(bp + 1);
  boot_info.vga_text = peek<u8>(bp + 0x0f) == 1 || peek<u8>(bp + 0x0f) == 0;
  if (peek<u8>(bp + 0x0f) == 0x23) {  // VIDEO_TYPE_VLFB
    const bool high = (peek<u32>(bp + 0x36) & 2) != 0;
    const u64 base = peek<u32>(bp + 0x18) | (high ? static_cast<u64>(peek<u32>(bp + 0x3a)) << 32 : 0);
    boot_info.lfb = {base, peek<u16>(bp + 0x12), peek<u16>(bp + 0x14), peek<u16>(bp + 0x24), peek<u16>(bp + 0x16)};
  }
  boot_info.rsdp = peek<u64>(bp + 0x70);
  const u32 entries = peek<u8>(bp + 0x1e8);
  for (u32 i = 0; i < entries; ++i) {
    const phys_addr_t e = bp + 0x2d0 + i * 20;
    add_range(peek<u64>(e), peek<u64>(e + 8), peek<u32>(e + 16));
  }
  if (entries == 0) {
    add_range(0, 0x9f000, 1);
    const u64 kib = peek<u32>(bp + 0x1e0) != 0 ? peek<u32>(bp + 0x1e0) : peek<u16>(bp + 2);
    add_range(0x100000, kib << 10, 1);
  }
  boot_info.initrd = peek<u32>(bp + 0x218) | static_cast<u64>(peek<u32>(bp + 0xc0)) << 32;
  boot_info.initrd_size = peek<u32>(bp + 0x21c) | static_cast<u64>(peek<u32>(bp + 0xc4)) << 32;
  const phys_addr_t text = peek<u32>(bp + 0x228) | static_cast<u64>(peek<u32>(bp + 0xc8)) << 32;
  if (text != 0)
    copy_string(boot_info.command_line, static_cast<const char*>(phys_to_virt(text)), sizeof boot_info.command_line);
}

void collect_pvh(phys_addr_t info) {
  boot_info.vga_text = true;
  const u32 version = peek<u32>(info + 4);
  const u32 modules = peek<u32>(info + 12);
  const phys_addr_t module_list = peek<u64>(info + 16);
  if (modules > 0) {
    boot_info.initrd = peek<u64>(module_list);
    boot_info.initrd_size = peek<u64>(module_list + 8);
  }
  const phys_addr_t text = peek<u64>(info + 24);
  if (text != 0)
    copy_string(boot_info.command_line, static_cast<const char*>(phys_to_virt(text)), sizeof boot_info.command_line);
  boot_info.rsdp = peek<u64>(info + 32);
  if (version < 1) return;
  const phys_addr_t map = peek<u64>(info + 40);
  const u32 entries = peek<u32>(info + 48);
  for (u32 i = 0; i < entries; ++i)
    add_range(peek<u64>(map + i * 24), peek<u64>(map + i * 24 + 8), peek<u32>(map + i * 24 + 16));
}

}  // namespace

void collect_boot_info(u32 protocol, phys_addr_t info) { protocol == 2 ? collect_pvh(info) : collect_linux(info); }

bool command_line_value(const char* word, char* value, size_t size) {
  const size_t length = strlen(word);
  bool found = false;
  const char* at = boot_info.command_line;
  while (*at != 0) {
    while (*at == ' ') ++at;
    const char* end = at;
    bool quoted = false;
    while (*end != 0 && (quoted || *end != ' ')) quoted ^= *end++ == '"';
    if (strncmp(at, word, length) == 0 && at[length] == '=') {
      size_t n = 0;
      for (const char* p = at + length + 1; p < end && n + 1 < size; ++p) {
        if (*p != '"') value[n++] = *p;
      }
      value[n] = 0;
      found = true;
    }
    if (end - at == 2 && at[0] == '-' && at[1] == '-') break;
    at = end;
  }
  return found;
}

bool command_line_flag(const char* word) {
  const size_t length = strlen(word);
  for (const char* at = boot_info.command_line; (at = strstr(at, word)) != nullptr; at += length) {
    const bool starts = at == boot_info.command_line || at[-1] == ' ';
    if (starts && (at[length] == 0 || at[length] == ' ')) return true;
  }
  return false;
}

}  // namespace xm::os
