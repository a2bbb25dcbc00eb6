// SPDX-License-Identifier: GPL-2.0-or-later
// From the end of POST to somebody else's code: set-up of the real-mode environment, option ROMs, the list of things
// that can be booted and its order, the menu, and one file per way of booting.
#pragma once

#include "services/disk.h"

namespace xm::fw {

enum class BootKind : u8 { Floppy, HardDisk, Cd, Rom, Kernel };

struct BootEntry {
  BootKind kind;
  u8 drive;          // index into g_drives
  u16 priority;      // lower first
  FarPointer entry;  // bootstrap entry vector of a ROM
  char name[56];
};

constexpr u8 kMaxBootEntries = 24;
extern BootEntry g_entries[kMaxBootEntries];
extern u8 g_entry_count;

// order.cc
constexpr u16 kNoPriority = 0xFFFF;
void load_boot_order();
u16 priority_of_path(const char* pattern);
u16 priority_of_kind(BootKind kind);
u16 priority_of_drive(const Drive& drive);
u16 priority_of_pci(PciAddress address);
void build_boot_list();
void add_boot_entry(BootKind kind, u8 drive, u16 priority, FarPointer entry, const char* name);

// environment.cc
void initialise_environment();
void set_tick_count();

// option_rom.cc
void run_video_rom();
void run_option_roms();
void connect_boot_devices();

// disk_boot.cc, cd_boot.cc, kernel_boot.cc
bool boot_sector(u8 drive_number);
void boot_cd(u8 drive_index);
bool has_direct_kernel();
void boot_direct_kernel();

// menu/menu.cc
void offer_boot_menu();

}  // namespace xm::fw
