// SPDX-License-Identifier: GPL-2.0-or-later
// Boots a kernel that the machine hands over through fw_cfg, without an option ROM's help.
//  - Linux [Linux boot protocol]: set-up part at SetupAddress, entered in real mode; kernel, initrd and command line
//  placed
//    where the machine says. The machine has already filled in the header's fields.
//  - Multiboot and PVH: a flat image at KernelAddress, entered at KernelEntry in protected mode. The file
//    "opt/xiaoma/boot-protocol" names which ("multiboot" or "pvh"); docs/firmware.md has the details.
// With a kernel-loading option ROM in fw_cfg that ROM gets the work, unless the file "opt/xiaoma/direct-kernel" exists.
#include "boot/boot.h"
#include "lib/fw_cfg.h"

extern "C" [[noreturn]] void enter_protected(xm::fw::u32 entry, xm::fw::u32 eax, xm::fw::u32 ebx);

namespace xm::fw {
namespace {

constexpr u32 kMemoryMapAt = 0x9000;  // conventional memory for what we hand to the kernel
constexpr u32 kStartInfoAt = 0x8000;

struct Placement {
  FwCfgKey address, size, data;
};
constexpr Placement kKernel{FwCfgKey::KernelAddress, FwCfgKey::KernelSize, FwCfgKey::KernelData};
constexpr Placement kInitrd{FwCfgKey::InitrdAddress, FwCfgKey::InitrdSize, FwCfgKey::InitrdData};
constexpr Placement kCommandLine{FwCfgKey::CommandLineAddress, FwCfgKey::CommandLineSize, FwCfgKey::CommandLineData};
constexpr Placement kSetup{FwCfgKey::SetupAddress, FwCfgKey::SetupSize, FwCfgKey::SetupData};

struct Placed {
  u32 address, size;
};

Placed load(const Placement& what) {
  const Placed placed{fw_cfg_read32(what.address), fw_cfg_read32(what.size)};
  if (placed.size) fw_cfg_read_physical(static_cast<u16>(what.data), placed.address, placed.size);
  return placed;
}

// The machine chose the initrd's place without knowing what POST reserved below the end of RAM: move it down if it must
// be, and tell the kernel in its header.
void load_initrd(const Placed& setup) {
  const u32 size = fw_cfg_read32(FwCfgKey::InitrdSize);
  if (!size) return;
  u32 address = fw_cfg_read32(FwCfgKey::InitrdAddress);
  if (address + size > g_boot_info.high_free) {
    address = (g_boot_info.high_free - size) & ~0xFFFu;
    constexpr u32 kRamdiskImage = 0x218;
    write_physical<u32>(setup.address + kRamdiskImage, address);
  }
  fw_cfg_read_physical(static_cast<u16>(FwCfgKey::InitrdData), address, size);
}

[[noreturn]] void boot_linux() {
  load(kKernel);
  const Placed setup = load(kSetup), command_line = load(kCommandLine);
  load_initrd(setup);
  FarCall jump;
  const u16 segment = static_cast<u16>(setup.address >> 4);
  jump.ds = jump.es = segment;
  jump.cs = static_cast<u16>(segment + 0x20);
  jump.ip = 0;
  jump.flags = 2;
  jump.arguments[0] = segment;
  // The stack ends below the command line, where the header's heap_end_ptr expects it.
  jump.arguments[1] = static_cast<u16>(min<u32>(command_line.address - setup.address - 16, 0xFFF0));
  jump_out(&jump);
}

// Multiboot information with the memory fields filled in [Multiboot 3.3].
void complete_multiboot_information(u32 mbi) {
  // The machine may have left room for the map, so that it can not fall on a kernel that loads low.
  const u32 room = read_physical<u32>(mbi + 48);
  const u32 map = room != 0 ? room : kMemoryMapAt;
  u32 at = map;
  for (u32 i = 0; i < g_boot_info.memory_count; i++) {
    write_physical<u32>(at, sizeof(MemoryRange));
    copy_physical(at + 4, physical_address(&g_boot_info.memory[i]), sizeof(MemoryRange));
    at += 4 + sizeof(MemoryRange);
  }
  constexpr u32 kMemoryPresent = 1u << 0, kMapPresent = 1u << 6;
  write_physical<u32>(mbi, read_physical<u32>(mbi) | kMemoryPresent | kMapPresent);
  write_physical<u32>(mbi + 4, kEbdaBase >> 10);
  write_physical<u32>(mbi + 8, (g_boot_info.ram_below_4g >> 10) - 1024);
  write_physical<u32>(mbi + 44, at - map);
  write_physical<u32>(mbi + 48, map);
}

u32 find_rsdp() {
  for (u32 offset = 0; offset < 0xE000; offset += 16) {
    if (peek<u32>(kCodeSegment, offset) == 0x20445352 && peek<u32>(kCodeSegment, offset + 4) == 0x20525450) {
      return kCodeSegmentBase + offset;
    }
  }
  return 0;
}

void put64(u32 at, u32 low) {
  write_physical<u32>(at, low);
  write_physical<u32>(at + 4, 0);
}

// hvm_start_info version 1 [Xen PVH boot ABI].
void write_start_info(const Placed& command_line, const Placed& initrd) {
  constexpr u32 kModuleAt = kStartInfoAt + 0x40;
  write_physical<u32>(kStartInfoAt, 0x336EC578);
  write_physical<u32>(kStartInfoAt + 4, 1);
  write_physical<u32>(kStartInfoAt + 8, 0);
  write_physical<u32>(kStartInfoAt + 12, initrd.size ? 1 : 0);
  put64(kStartInfoAt + 16, initrd.size ? kModuleAt : 0);
  put64(kStartInfoAt + 24, command_line.size ? command_line.address : 0);
  put64(kStartInfoAt + 32, find_rsdp());
  put64(kStartInfoAt + 40, kMemoryMapAt);
  write_physical<u32>(kStartInfoAt + 48, g_boot_info.memory_count);
  write_physical<u32>(kStartInfoAt + 52, 0);
  put64(kModuleAt, initrd.address);
  put64(kModuleAt + 8, initrd.size);
  put64(kModuleAt + 16, 0);
  put64(kModuleAt + 24, 0);
  u32 at = kMemoryMapAt;
  for (u32 i = 0; i < g_boot_info.memory_count; i++, at += 24) {
    copy_physical(at, physical_address(&g_boot_info.memory[i]), sizeof(MemoryRange));
    write_physical<u32>(at + 20, 0);
  }
}

}  // namespace

bool has_direct_kernel() {
  if (!g_boot_info.fw_cfg_features || fw_cfg_read32(FwCfgKey::KernelSize) == 0) return false;
  FwCfgFile asked_for;
  if (fw_cfg_find("opt/xiaoma/direct-kernel", &asked_for)) return true;
  bool rom_does_it = false;
  fw_cfg_each_file(
      [](void* context, const char* name, const FwCfgFile&) {
        constexpr char kFolder[] = "genroms/";
        if (memcmp(name, kFolder, sizeof kFolder - 1) != 0) return false;
        const char* file = name + sizeof kFolder - 1;
        return *static_cast<bool*>(context) = memcmp(file, "linuxboot", 9) == 0 || memcmp(file, "multiboot", 9) == 0 ||
                                              memcmp(file, "pvh", 3) == 0;
      },
      &rom_does_it);
  return !rom_does_it;
}

void boot_direct_kernel() {
  char protocol[16] = {};
  fw_cfg_read_file("opt/xiaoma/boot-protocol", protocol, sizeof protocol - 1);
  if (!protocol[0]) boot_linux();
  const u32 entry = fw_cfg_read32(FwCfgKey::KernelEntry);
  load(kKernel);
  const Placed initrd = load(kInitrd);
  if (memcmp(protocol, "multiboot", 9) == 0) {
    constexpr u32 kMultibootMagic = 0x2BADB002;
    complete_multiboot_information(initrd.address);
    enter_protected(entry, kMultibootMagic, initrd.address);
  }
  if (memcmp(protocol, "pvh", 3) == 0) {
    write_start_info(load(kCommandLine), initrd);
    enter_protected(entry, 0, kStartInfoAt);
  }
  print("Unknown boot protocol %s\n", protocol);
}

}  // namespace xm::fw
