// SPDX-License-Identifier: GPL-2.0-or-later
// Option ROMs [PCI 6.3; Plug and Play BIOS 1.0a; BIOS Boot Specification 1.01]: from PCI expansion ROMs and fw_cfg's
// "genroms/" and "vgaroms/" into shadow RAM at C0000-DFFFF, initialised there, and offered for booting.
#include "boot/boot.h"
#include "lib/fw_cfg.h"
#include "services/video.h"

extern "C" const xm::fw::u8 pnp_structure[];  // in the F segment

namespace xm::fw {
namespace {

constexpr u32 kRomEnd = 0xE0000;
constexpr u16 kRomSignature = 0xAA55;

struct PendingConnection {
  FarPointer vector;
  u16 address;
};
PendingConnection g_connections[8];
u8 g_connection_count;

u16 pnp_offset() { return near_offset(pnp_structure); }
u16 rom_segment(u32 at) { return static_cast<u16>(at >> 4); }

bool valid_rom(u16 segment) {
  if (peek<u16>(segment, 0) != kRomSignature) return false;
  const u32 size = peek<u8>(segment, 2) * 512u;
  u8 sum = 0;
  for (u32 i = 0; i < size; i += 4) {
    const u32 v = peek<u32>(segment, i);
    sum = static_cast<u8>(sum + v + (v >> 8) + (v >> 16) + (v >> 24));
  }
  return size && sum == 0;
}

// Calls the ROM's initialisation entry with what PCI and Plug and Play say it gets.
void initialise_rom(u16 segment, PciAddress address) {
  FarCall call;
  call.cs = segment;
  call.ip = 3;
  call.ax = address;
  call.bx = call.dx = 0xFFFF;  // no card select number, no read port: not an ISA card
  call.es = kCodeSegment;
  call.edi = pnp_offset();
  call_far(&call);
}

void add_product_entry(u16 segment, u16 header, u16 entry, u16 priority) {
  char name[56] = "option ROM";
  const u16 product = peek<u16>(segment, header + 0x10u);
  for (u32 i = 0; product && i < sizeof name - 1; i++) {
    name[i] = static_cast<char>(peek<u8>(segment, product + i));
    name[i + 1] = 0;
    if (!name[i]) break;
  }
  add_boot_entry(BootKind::Rom, 0, priority, {entry, segment}, name);
}

// Walks the Plug and Play expansion headers: bootstrap entry vectors become list entries, connection vectors are called
// just before booting.
void collect_boot_entries(u16 segment, u16 priority, PciAddress address) {
  constexpr u32 kPnp = 0x506E5024;  // "$PnP"
  u16 header = peek<u16>(segment, 0x1A);
  for (int left = 8; header && left && peek<u32>(segment, header) == kPnp; left--) {
    const u16 connection = peek<u16>(segment, header + 0x16u), entry = peek<u16>(segment, header + 0x1Au);
    if (entry) add_product_entry(segment, header, entry, priority);
    if (connection && g_connection_count < count_of(g_connections)) {
      g_connections[g_connection_count++] = {{connection, segment}, address};
    }
    header = peek<u16>(segment, header + 0x06u);
  }
}

// The ROM has been copied to option_rom_next.
void start_rom(PciAddress address, u16 priority) {
  const u32 at = g_boot_info.option_rom_next;
  const u16 segment = rom_segment(at);
  if (!valid_rom(segment)) return;
  initialise_rom(segment, address);
  if (peek<u16>(segment, 0) != kRomSignature) return;
  const u32 size = peek<u8>(segment, 2) * 512u;  // it may have shrunk
  if (!size) return;
  g_boot_info.option_rom_next = align_up<u32>(at + size, 0x800);
  collect_boot_entries(segment, priority, address);
}

// Finds the image for PC-compatible machines in an expansion ROM and copies it; 0 if there is none.
bool copy_pci_rom(const PciFunction& f) {
  const u32 bar = pci_read32(f.address, 0x30) & 0xFFFFF800;
  if (!bar) return false;
  const u16 command = pci_read16(f.address, 4);
  pci_write16(f.address, 4, static_cast<u16>(command | 2));
  pci_write32(f.address, 0x30, bar | 1);
  bool copied = false;
  u32 image = bar;
  for (int left = 8; left && read_physical<u16>(image) == kRomSignature; left--) {
    const u32 data = image + read_physical<u16>(image + 0x18);
    if (read_physical<u32>(data) != 0x52494350) break;  // "PCIR"
    const u32 length = read_physical<u16>(data + 0x10) * 512u;
    if (read_physical<u8>(data + 0x14) == 0) {
      const u32 room = kRomEnd - g_boot_info.option_rom_next;
      const u32 size = max<u32>(length, read_physical<u8>(image + 2) * 512u);
      if (read_physical<u8>(image + 2) * 512u <= room) {
        copy_physical(g_boot_info.option_rom_next, image, min(size, room));
        copied = true;
      }
      break;
    }
    if (read_physical<u8>(data + 0x15) & 0x80 || !length) break;
    image += length;
  }
  pci_write32(f.address, 0x30, bar);
  pci_write16(f.address, 4, command);
  return copied;
}

void run_fw_cfg_roms(const char* folder) {
  fw_cfg_each_file(
      [](void* context, const char* name, const FwCfgFile& file) {
        const char* wanted = static_cast<const char*>(context);
        if (memcmp(name, wanted, strlen(wanted)) != 0) return false;
        if (file.size > kRomEnd - g_boot_info.option_rom_next) return false;
        fw_cfg_read_physical(file.key, g_boot_info.option_rom_next, file.size);
        char path[72] = "/rom@";
        memcpy(path + 5, name, strlen(name) + 1);
        u16 priority = priority_of_path(path);
        if (priority == kNoPriority) priority = priority_of_kind(BootKind::Rom);
        start_rom(0, priority);
        return false;
      },
      const_cast<char*>(folder));
}

bool is_display(const PciFunction& f) { return f.base_class == 3; }

}  // namespace

// A display that is not Bochs-compatible brings its own services, if it brings any.
void run_video_rom() {
  run_fw_cfg_roms("vgaroms/");
  for (u32 i = 0; i < g_boot_info.pci_count; i++) {
    const PciFunction& f = g_boot_info.pci[i];
    if (!is_display(f) || f.sub_class != 0) continue;
    if (!has_dispi() && copy_pci_rom(f)) {
      start_rom(f.address, kNoPriority);
      FarCall call;
      call.ax = 3;
      call_interrupt(0x10, &call);
    }
    break;
  }
  // The first 32 KiB belong to video services even when those are ours, as programs that search for ROMs expect.
  if (g_boot_info.option_rom_next < 0xC8000) g_boot_info.option_rom_next = 0xC8000;
}

void run_option_roms() {
  for (u32 i = 0; i < g_boot_info.pci_count; i++) {
    const PciFunction& f = g_boot_info.pci[i];
    if (is_display(f) || !copy_pci_rom(f)) continue;
    const u16 priority = priority_of_pci(f.address);
    start_rom(f.address, priority != kNoPriority ? priority : priority_of_kind(BootKind::Rom));
  }
  run_fw_cfg_roms("genroms/");
}

void connect_boot_devices() {
  for (u8 i = 0; i < g_connection_count; i++) {
    FarCall call;
    call.cs = g_connections[i].vector.segment;
    call.ip = g_connections[i].vector.offset;
    call.ax = g_connections[i].address;
    call.bx = call.dx = 0xFFFF;
    call.es = kCodeSegment;
    call.edi = pnp_offset();
    call_far(&call);
  }
}

}  // namespace xm::fw
