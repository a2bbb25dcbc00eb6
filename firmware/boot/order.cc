// SPDX-License-Identifier: GPL-2.0-or-later
// What comes first: the machine's fw_cfg file "bootorder" (one Open Firmware style device path a line) decides where it
// names a device; else the kinds in the order of CMOS 3D and 38, as QEMU's -boot writes them.
#include "boot/boot.h"

#include "lib/fw_cfg.h"

namespace xm::fw {

BootEntry g_entries[kMaxBootEntries];
u8 g_entry_count;

namespace {

char g_order[1024];
u16 g_order_length;

// '*' stands for any text without a slash.
bool matches(const char* pattern, const char* text, u16 length) {
  while (*pattern) {
    if (*pattern == '*') {
      pattern++;
      for (u16 skip = 0;; skip++) {
        if (matches(pattern, text + skip, static_cast<u16>(length - skip))) return true;
        if (skip == length || text[skip] == '/') return false;
      }
    }
    if (!length || *text != *pattern) return false;
    pattern++, text++, length--;
  }
  return length == 0;
}

struct PathWriter {
  char text[96];
  u32 length = 0;
  void put(char c) {
    if (length < sizeof text - 1) text[length++] = c;
    text[length] = 0;
  }
  void put(const char* s) {
    while (*s) put(*s++);
  }
  void put_hex(u32 value) {
    if (value >= 16) put_hex(value >> 4);
    put("0123456789abcdef"[value & 15]);
  }
};

void write_pci_path(PathWriter& path, PciAddress address) {
  const u32 bus = pci_bus(address);
  if (bus == 0) {
    path.put("/pci@i0cf8");
  } else {
    for (u32 i = 0; i < g_boot_info.pci_count; i++) {
      const PciFunction& f = g_boot_info.pci[i];
      if ((f.header_type & 0x7F) == 1 && pci_read8(f.address, 0x19) == bus) {
        write_pci_path(path, f.address);
        break;
      }
    }
  }
  path.put("/*@");
  path.put_hex(pci_device(address));
  if (pci_function(address)) {
    path.put(',');
    path.put_hex(pci_function(address));
  }
}

BootKind boot_kind(const Drive& drive) {
  return drive.kind == DriveKind::Floppy    ? BootKind::Floppy
         : drive.kind == DriveKind::AtapiCd ? BootKind::Cd
                                            : BootKind::HardDisk;
}

}  // namespace

void load_boot_order() {
  g_order_length = 0;
  if (g_boot_info.fw_cfg_features) {
    g_order_length = static_cast<u16>(fw_cfg_read_file("bootorder", g_order, sizeof g_order));
    while (g_order_length && g_order[g_order_length - 1] == 0) g_order_length--;
  }
}

u16 priority_of_path(const char* pattern) {
  u16 line = 1, start = 0;
  while (start < g_order_length) {
    u16 end = start;
    while (end < g_order_length && g_order[end] != '\n') end++;
    if (matches(pattern, g_order + start, static_cast<u16>(end - start))) return line;
    line++;
    start = static_cast<u16>(end + 1);
  }
  return kNoPriority;
}

u16 priority_of_kind(BootKind kind) {
  // Nibbles in order of preference: 1 floppy, 2 hard disk, 3 CD, 4 network.
  const u8 low = cmos_read(0x3D), high = cmos_read(0x38);
  const u8 nibbles[3] = {static_cast<u8>(low & 15), static_cast<u8>(low >> 4), static_cast<u8>(high >> 4)};
  const u8 wanted = kind == BootKind::Floppy ? 1 : kind == BootKind::HardDisk ? 2 : kind == BootKind::Cd ? 3 : 4;
  for (u16 i = 0; i < 3; i++) {
    if (nibbles[i] == wanted) return static_cast<u16>(100 + i);
  }
  constexpr u16 kDefaults[] = {201, 203, 202, 204, 0};
  return kDefaults[static_cast<u8>(kind)];
}

u16 priority_of_pci(PciAddress address) {
  PathWriter path;
  write_pci_path(path, address);
  u16 found = priority_of_path(path.text);
  path.put("/*");
  return min(found, priority_of_path(path.text));
}

u16 priority_of_drive(const Drive& drive) {
  PathWriter path;
  if (drive.kind == DriveKind::Floppy) {
    path.put("/pci@i0cf8/isa@*/fdc@03f0/floppy@");
    path.put_hex(drive.unit);
  } else {
    write_pci_path(path, drive.pci);
    if (drive.kind == DriveKind::VirtioBlock) {
      path.put("/disk@0,0");
    } else {
      path.put("/drive@");
      path.put_hex(drive.channel);
      path.put("/disk@");
      path.put_hex(drive.unit);
    }
  }
  const u16 found = priority_of_path(path.text);
  return found != kNoPriority ? found : priority_of_kind(boot_kind(drive));
}

void add_boot_entry(BootKind kind, u8 drive, u16 priority, FarPointer entry, const char* name) {
  if (g_entry_count == kMaxBootEntries) return;
  u8 at = g_entry_count++;
  while (at > 0 && g_entries[at - 1].priority > priority) {
    g_entries[at] = g_entries[at - 1];
    at--;
  }
  BootEntry& e = g_entries[at];
  e = {kind, drive, priority, entry, {}};
  for (u32 i = 0; i < sizeof e.name - 1 && name[i]; i++) e.name[i] = name[i];
}

void build_boot_list() {
  g_entry_count = 0;
  if (has_direct_kernel()) add_boot_entry(BootKind::Kernel, 0, 0, {}, "kernel image");
  for (u8 i = 0; i < g_floppy_count; i++) {
    add_boot_entry(BootKind::Floppy, g_floppies[i], g_drives[g_floppies[i]].priority, {}, "floppy");
    break;  // only drive 0 boots
  }
  for (u8 i = 0; i < g_hard_disk_count; i++) {
    const Drive& d = g_drives[g_hard_disks[i]];
    add_boot_entry(BootKind::HardDisk, g_hard_disks[i], d.priority, {}, d.model);
  }
  for (u8 i = 0; i < g_cd_count; i++) {
    add_boot_entry(BootKind::Cd, g_cds[i], g_drives[g_cds[i]].priority, {}, g_drives[g_cds[i]].model);
  }
}

}  // namespace xm::fw
