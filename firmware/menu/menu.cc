// SPDX-License-Identifier: GPL-2.0-or-later
// The boot menu: offered only when the machine asks for it (fw_cfg item 0E, -boot menu=on), for as long as the file
// etc/boot-menu-wait says; Escape or F12 opens it, a letter or digit chooses.
#include "boot/boot.h"
#include "lib/fw_cfg.h"
#include "services/keyboard.h"

namespace xm::fw {
namespace {

constexpr u16 kEscape = 0x01, kF12 = 0x86;

bool wait_for_menu_key(u32 milliseconds) {
  const u32 ticks = milliseconds / 55 + 1, start = bda<u32>(bda_at::kTicks);
  u16 key;
  while (bda<u32>(bda_at::kTicks) - start < ticks) {
    if (!next_key(&key, true)) {
      yield_halt();
      continue;
    }
    if (key >> 8 == kEscape || key >> 8 == kF12) return true;
  }
  return false;
}

char label_of(u8 index) { return static_cast<char>(index < 9 ? '1' + index : 'a' + index - 9); }

// Moves the chosen entry to the front; the rest keep their order.
void choose(u8 index) {
  const BootEntry chosen = g_entries[index];
  for (u8 i = index; i > 0; i--) g_entries[i] = g_entries[i - 1];
  g_entries[0] = chosen;
}

}  // namespace

void offer_boot_menu() {
  if (!g_boot_info.fw_cfg_features || !(fw_cfg_read16(FwCfgKey::BootMenu) & 1)) return;
  u16 wait = 2500;
  fw_cfg_read_file("etc/boot-menu-wait", &wait, sizeof wait);
  print("\nPress Esc or F12 for the boot menu.\n");
  if (!wait_for_menu_key(wait)) return;
  print("\nBoot from:\n");
  constexpr const char* kKinds[] = {"floppy", "disk", "cd", "rom", "kernel"};
  for (u8 i = 0; i < g_entry_count; i++) {
    print("  %c. %s: %s\n", label_of(i), kKinds[static_cast<u8>(g_entries[i].kind)], g_entries[i].name);
  }
  for (;;) {
    u16 key;
    while (!next_key(&key, true)) yield_halt();
    if (key >> 8 == kEscape) return;
    for (u8 i = 0; i < g_entry_count; i++) {
      if (static_cast<char>(key) == label_of(i)) return choose(i);
    }
  }
}

}  // namespace xm::fw
