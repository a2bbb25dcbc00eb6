// SPDX-License-Identifier: GPL-2.0-or-later
// The Linux boot protocol, 32-bit entry [Linux, Documentation/x86/boot.rst]: the protected-mode part at 1 MiB,
// boot_params filled from the kernel's own header, the memory map and the text screen, the initrd as high as the kernel
// allows.
#include "boot/core/bios.h"
#include "boot/core/console.h"
#include "boot/core/memory.h"
#include "boot/core/report.h"
#include "boot/core/system.h"

namespace xm::boot {

extern "C" [[noreturn]] void enter_linux(u32 entry, u32 boot_params);

namespace {

constexpr u32 kHeader = 0x1f1, kLoadAddress = 0x100000;
u64 kernel_end;

u8* params() { return physical(kBootParams); }

void describe_screen() {
  poke<u8>(params(), 0x06, 3);  // mode
  poke<u8>(params(), 0x07, kColumns);
  poke<u8>(params(), 0x0e, kRows);
  poke<u8>(params(), 0x0f, 1);  // VGA
  poke<u16>(params(), 0x10, 16);
}

void describe_memory() {
  const MemoryMap& map = memory_map();
  poke<u16>(params(), 0x02, static_cast<u16>(map.extended_kib > 0xffff ? 0xffff : map.extended_kib));
  poke<u32>(params(), 0x1e0, map.extended_kib);
  poke<u8>(params(), 0x1e8, static_cast<u8>(map.count));
  for (u32 i = 0; i < map.count; ++i) {
    const u32 at = 0x2d0 + 20 * i;
    poke<u64>(params(), at, map.ranges[i].base);
    poke<u64>(params(), at + 8, map.ranges[i].size);
    poke<u32>(params(), at + 16, map.ranges[i].type);
  }
}

}  // namespace

bool is_linux(const File& file) {
  u8 head[0x210];
  return file.size > sizeof head && read_file(file, 0, head, sizeof head) && peek<u16>(head, 0x1fe) == 0xaa55 &&
         memcmp(head + 0x202, "HdrS", 4) == 0;
}

bool load_linux(const char* name, const char* arguments, const Volume& home) {
  File file;
  u8 head[1024];
  if (!open_file(name, home, file)) return false;
  if (!is_linux(file) || file.size < sizeof head) return fail("%s is not a kernel of the Linux boot protocol", name);
  if (!read_file(file, 0, head, sizeof head)) return fail("%s: %s", name, failure());
  const u32 version = peek<u16>(head, 0x206);
  if (version < 0x0202 || (head[0x211] & 1) == 0)
    return fail("%s: a zImage or a kernel older than Linux 2.4 (protocol %x)", name, version);
  const u32 setup = ((head[kHeader] != 0 ? head[kHeader] : 4u) + 1) * 512;
  if (file.size <= setup || file.size - setup > 0x40000000) return fail("%s is too short for its set-up part", name);
  const u32 size = static_cast<u32>(file.size - setup);
  // The kernel unpacks itself to its preferred address and needs init_size there.
  u64 needed = size;
  kernel_end = kLoadAddress + size;
  if (version >= 0x020a) {
    const u32 init_size = peek<u32>(head, 0x260);
    const u64 preferred = peek<u64>(head, 0x258);
    if (preferred == kLoadAddress && init_size > needed) needed = init_size;
    if (kernel_end < preferred + init_size) kernel_end = preferred + init_size;
  }
  if (!usable_memory(kLoadAddress, needed))
    return fail("%s needs %u MiB of memory above 1 MiB; the machine has less", name,
                static_cast<u32>((needed + 0xfffff) >> 20));
  memset(params(), 0, 4096);
  u32 header_end = 0x202 + head[0x201];
  if (header_end > 0x290) header_end = 0x290;
  memcpy(params() + kHeader, head + kHeader, header_end - kHeader);
  if (!read_file(file, setup, physical(kLoadAddress), size)) return fail("%s: %s", name, failure());
  u32 limit = version >= 0x0206 ? peek<u32>(head, 0x238) : 255;
  if (limit == 0 || limit >= kCommandLineSize) limit = kCommandLineSize - 1;
  if (strlen(arguments) > limit) return fail("%s takes a command line of at most %u characters", name, limit);
  copy_text(reinterpret_cast<char*>(physical(kCommandLine)), arguments, kCommandLineSize);
  poke<u8>(params(), 0x210, 0xff);                                 // type_of_loader: none that has a number
  poke<u8>(params(), 0x211, static_cast<u8>(head[0x211] & 0x7f));  // no heap: the real-mode part does not run
  poke<u32>(params(), 0x214, kLoadAddress);
  poke<u32>(params(), 0x228, kCommandLine);
  describe_screen();
  describe_memory();
  return true;
}

bool load_initrd(const char* name, const Volume& home) {
  File file;
  if (!open_file(name, home, file)) return false;
  const u32 version = peek<u16>(params(), 0x206);
  const u64 limit = (version >= 0x0203 ? peek<u32>(params(), 0x22c) : 0x37ffffff) + 1ull;
  if (file.size == 0 || file.size > limit) return fail("%s cannot be an initrd: its size is wrong", name);
  const u32 base = allocate_high(file.size, align_up(kernel_end, 4096), limit);
  if (base == 0) return fail("no memory for %s (%u KiB) above the kernel", name, static_cast<u32>(file.size >> 10));
  if (!read_file(file, 0, physical(base), static_cast<u32>(file.size))) return fail("%s: %s", name, failure());
  poke<u32>(params(), 0x218, base);
  poke<u32>(params(), 0x21c, static_cast<u32>(file.size));
  return true;
}

void start_linux() {
  BiosRegs r{};
  r.eax = 0x0300;  // the cursor, where the kernel goes on printing
  bios_call(0x10, r);
  poke<u8>(params(), 0, static_cast<u8>(r.edx));
  poke<u8>(params(), 1, static_cast<u8>(r.edx >> 8));
  enter_linux(peek<u32>(params(), 0x214), kBootParams);
}

}  // namespace xm::boot
