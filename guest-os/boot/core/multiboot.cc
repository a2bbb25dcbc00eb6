// SPDX-License-Identifier: GPL-2.0-or-later
// Kernels of the Multiboot specification 0.6.96: an ELF32 image (or one with an address header), modules, the memory
// map. GAP: no video mode is set for kernels that ask for one; no symbols are passed.
#include "boot/core/memory.h"
#include "boot/core/report.h"
#include "boot/core/system.h"

namespace xm::boot {

extern "C" [[noreturn]] void enter_multiboot(u32 entry, u32 information);

namespace {

constexpr u32 kMagic = 0x1badb002, kSearch = 8192;
constexpr u32 kAddressHeader = 0x10000, kUnknownMust = 0xfff8;
constexpr u32 kMaxModules = 16, kModuleText = 256;

struct Module {
  u32 start, end, text, reserved;
};

u8 head[kSearch];
u32 entry_point, module_count;
u64 image_end;

Module* modules() { return reinterpret_cast<Module*>(physical(kModuleList)); }
char* module_text(u32 n) { return reinterpret_cast<char*>(physical(kModuleList + 0x200 + n * kModuleText)); }

// Offset of the header in `head`, or -1.
s32 find_header(const File& file, u32& length) {
  length = file.size < kSearch ? static_cast<u32>(file.size) : kSearch;
  if (!read_file(file, 0, head, length)) return -1;
  for (u32 at = 0; at + 12 <= length; at += 4) {
    if (peek<u32>(head, at) == kMagic && kMagic + peek<u32>(head, at + 4) + peek<u32>(head, at + 8) == 0)
      return static_cast<s32>(at);
  }
  return -1;
}

bool load_part(const File& file, u64 offset, u32 address, u32 in_file, u32 in_memory) {
  if (in_memory < in_file) in_memory = in_file;
  if (in_memory == 0) return true;
  if (!usable_memory(address, in_memory))
    return fail("its part at %x (%u bytes) is not in usable memory", address, in_memory);
  if (!read_file(file, offset, physical(address), in_file)) return false;
  memset(physical(address + in_file), 0, in_memory - in_file);
  if (address + static_cast<u64>(in_memory) > image_end) image_end = address + static_cast<u64>(in_memory);
  return true;
}

bool load_by_addresses(const File& file, u32 at) {
  const u32 header = peek<u32>(head, at + 12), load = peek<u32>(head, at + 16), load_end = peek<u32>(head, at + 20);
  const u32 bss_end = peek<u32>(head, at + 24);
  if (load > header || header - load > at) return fail("its address header is wrong");
  const u32 offset = at - (header - load);
  const u64 available = file.size - offset;
  const u64 size = load_end == 0 ? available : load_end - load;
  if ((load_end != 0 && load_end < load) || size > available) return fail("its address header is wrong");
  entry_point = peek<u32>(head, at + 28);
  return load_part(file, offset, load, static_cast<u32>(size), bss_end > load ? bss_end - load : 0);
}

bool load_elf(const File& file, u32 length) {
  if (length < 52 ||
      memcmp(head,
             "\x7f"
             "ELF",
             4) != 0 ||
      head[4] != 1 || peek<u16>(head, 18) != 3)
    return fail("it is no ELF image for 32-bit x86 and has no address header");
  entry_point = peek<u32>(head, 24);
  const u32 table = peek<u32>(head, 28), size = peek<u16>(head, 42), count = peek<u16>(head, 44);
  if (size < 32) return fail("its program headers are wrong");
  bool any = false;
  for (u32 i = 0; i < count; ++i) {
    u8 program[32];
    if (!read_file(file, table + static_cast<u64>(i) * size, program, sizeof program)) return false;
    if (peek<u32>(program, 0) != 1) continue;  // PT_LOAD
    any = true;
    if (!load_part(file, peek<u32>(program, 4), peek<u32>(program, 12), peek<u32>(program, 16), peek<u32>(program, 20)))
      return false;
  }
  return any || fail("it has no part to load");
}

}  // namespace

bool is_multiboot(const File& file) {
  u32 length = 0;
  return find_header(file, length) >= 0;
}

bool load_multiboot(const char* name, const char* arguments, const Volume& home) {
  File file;
  u32 length = 0;
  if (!open_file(name, home, file)) return false;
  const s32 at = find_header(file, length);
  if (at < 0) return fail("%s has no Multiboot header", name);
  const u32 flags = peek<u32>(head, static_cast<u32>(at) + 4);
  if ((flags & kUnknownMust) != 0)
    return fail("%s asks for Multiboot features %x, which are not known", name, flags & kUnknownMust);
  if ((flags & kAddressHeader) != 0 && static_cast<u32>(at) + 32 > length)
    return fail("%s: its header is cut off", name);
  image_end = 0x100000;
  module_count = 0;
  const bool loaded =
      (flags & kAddressHeader) != 0 ? load_by_addresses(file, static_cast<u32>(at)) : load_elf(file, length);
  if (!loaded) return fail("%s: %s", name, failure());
  print_to(reinterpret_cast<char*>(physical(kCommandLine)), kCommandLineSize, "%s%s%s", name,
           *arguments != 0 ? " " : "", arguments);
  return true;
}

bool load_module(const char* name, const char* arguments, const Volume& home) {
  File file;
  if (module_count == kMaxModules) return fail("more than %u modules", kMaxModules);
  if (!open_file(name, home, file)) return false;
  const u32 size = static_cast<u32>(file.size);
  const u32 base =
      file.size < 0x80000000 ? allocate_high(size != 0 ? size : 1, align_up(image_end, 4096), 0x100000000) : 0;
  if (base == 0) return fail("no memory for %s (%u KiB)", name, static_cast<u32>(file.size >> 10));
  if (!read_file(file, 0, physical(base), size)) return fail("%s: %s", name, failure());
  print_to(module_text(module_count), kModuleText, "%s%s%s", name, *arguments != 0 ? " " : "", arguments);
  modules()[module_count] = {base, base + size, kModuleList + 0x200 + module_count * kModuleText, 0};
  ++module_count;
  return true;
}

void start_multiboot() {
  u8* info = physical(kBootParams);
  const MemoryMap& map = memory_map();
  memset(info, 0, 4096);
  constexpr u32 kMapAt = 0x100, kNameAt = 0x80;
  copy_text(reinterpret_cast<char*>(info + kNameAt), "xiaoma", 16);
  poke<u32>(info, 0, 1 | 4 | 8 | 0x40 | 0x200);  // memory sizes, command line, modules, memory map, loader's name
  poke<u32>(info, 4, map.conventional_kib);
  poke<u32>(info, 8, map.extended_kib);
  poke<u32>(info, 16, kCommandLine);
  poke<u32>(info, 20, module_count);
  poke<u32>(info, 24, kModuleList);
  poke<u32>(info, 44, map.count * 24);
  poke<u32>(info, 48, kBootParams + kMapAt);
  poke<u32>(info, 64, kBootParams + kNameAt);
  for (u32 i = 0; i < map.count; ++i) {
    const u32 at = kMapAt + 24 * i;
    poke<u32>(info, at, 20);
    poke<u64>(info, at + 4, map.ranges[i].base);
    poke<u64>(info, at + 12, map.ranges[i].size);
    poke<u32>(info, at + 20, map.ranges[i].type);
  }
  enter_multiboot(entry_point, kBootParams);
}

}  // namespace xm::boot
