// SPDX-License-Identifier: GPL-2.0-or-later
// The 16-bit half's own sequence: environment, screen, drives, option ROMs, menu, then one bootable thing after the
// other.
#include "boot/boot.h"

#include "services/keyboard.h"
#include "services/video.h"

namespace xm::fw {
namespace {

u8 g_next_entry;

bool video_is_ours() {
  const FarPointer handler = get_vector(0x10);
  return handler.segment == kCodeSegment;
}

void put_on_screen(char c) {
  if (video_is_ours()) {
    if (has_vga() || g_boot_info.screen_serial_port) teletype(static_cast<u8>(c), 0, 7, false);
    return;
  }
  FarCall call;
  call.ah = 0x0E;
  call.al = static_cast<u8>(c);
  call.bx = 7;
  call_interrupt(0x10, &call);
}

void put_on_com1(char c) {
  const u16 port = bda<u16>(bda_at::kCom);
  if (!port || g_boot_info.screen_serial_port == port) return;
  for (int tries = 0; tries < 100000 && !(in8(static_cast<u16>(port + 5)) & 0x20); tries++) cpu_relax();
  out8(port, static_cast<u8>(c));
}

void show_post_log() {
  for (u16 i = 0; i < g_boot_info.log_length; i++) {
    if (g_boot_info.log[i] == '\n') put_on_screen('\r');
    put_on_screen(g_boot_info.log[i]);
  }
}

void boot(const BootEntry& entry) {
  print("Booting from %s\n", entry.name);
  switch (entry.kind) {
    case BootKind::Floppy:
      if (!boot_sector(0)) print("No boot sector there.\n");
      break;
    case BootKind::HardDisk: {
      // The disk that boots is drive 80, whatever its place in the order.
      u8 place = 0;
      while (place < g_hard_disk_count && g_hard_disks[place] != entry.drive) place++;
      for (; place > 0 && place < g_hard_disk_count; place--) g_hard_disks[place] = g_hard_disks[place - 1];
      g_hard_disks[0] = entry.drive;
      if (!boot_sector(0x80)) print("No boot sector there.\n");
      break;
    }
    case BootKind::Cd: boot_cd(entry.drive); break;
    case BootKind::Rom: {
      FarCall call;
      call.ip = entry.entry.offset;
      call.cs = entry.entry.segment;
      call_far(&call);
      break;
    }
    case BootKind::Kernel: boot_direct_kernel(); break;
  }
}

void boot_from(u8 index) {
  for (g_next_entry = index; g_next_entry < g_entry_count;) boot(g_entries[g_next_entry++]);
  print("No bootable device.\n");
  for (;;) yield_halt();
}

}  // namespace

void put_character(char c) {
  if (c == '\n') put_character('\r');
  put_on_screen(c);
  put_on_com1(c);
}

}  // namespace xm::fw

using namespace xm::fw;

// INT 19h: from the beginning of the list. INT 18h: what was tried gave up, on to the next.
extern "C" void boot_again() { boot_from(0); }
extern "C" void boot_next() { boot_from(g_next_entry); }

extern "C" void boot_main() {
  initialise_environment();
  probe_vga();
  if (!has_vga() && !g_boot_info.screen_serial_port) g_boot_info.screen_serial_port = bda<u16>(bda_at::kCom);
  set_video_mode(3, false);
  run_video_rom();
  show_post_log();
  initialise_keyboard();
  probe_floppies();
  load_boot_order();
  probe_ata();
  probe_virtio_block();
  for (u8 i = 0; i < g_drive_count; i++) {
    g_drives[i].priority = priority_of_drive(g_drives[i]);
    print("drive: %s\n", g_drives[i].model);
  }
  number_drives();
  build_boot_list();
  run_option_roms();
  offer_boot_menu();
  connect_boot_devices();
  FarCall call;
  call_interrupt(0x19, &call);
}
