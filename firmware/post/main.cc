// SPDX-License-Identifier: GPL-2.0-or-later
// POST: brings the machine from reset to the state the 16-bit services expect, and collects in BootInfo what they need.
// Runs once, on the boot processor, in flat 32-bit mode with interrupts off. There is no RAM test: every word of an
// emulated machine's RAM works, and touching it all would cost more than the rest of the boot.
#include "lib/fw_cfg.h"
#include "post/post.h"

namespace xm::fw {

void copy_physical(u32 to, u32 from, u32 length) { memmove(bytes_at(to), bytes_at(from), length); }

u8 checksum(const void* data, u32 length) {
  const u8* bytes = static_cast<const u8*>(data);
  u8 sum = 0;
  while (length--) sum = static_cast<u8>(sum + *bytes++);
  return static_cast<u8>(-sum);
}

}  // namespace xm::fw

using namespace xm::fw;

extern "C" void post_main() {
  shadow_firmware();
  initialise_serial_log();
  BootInfo& info = boot_info();
  info.fw_cfg_features = fw_cfg_probe();
  print("Xiaoma BIOS\n");
  initialise_legacy_chips();
  detect_memory();
  print("memory: %u KiB below 4 GiB, %u MiB above\n", info.ram_below_4g >> 10,
        static_cast<u32>(info.ram_above_4g >> 20));
  initialise_pci();
  initialise_power_management();
  initialise_processors();
  if (info.fw_cfg_features) {
    u16 port = 0;
    if (fw_cfg_read_file("etc/sercon-port", &port, sizeof port)) info.screen_serial_port = port;
    load_acpi_tables();
    install_smbios();
  }
  build_mp_table();
  finish_memory_map();
  protect_firmware();
}
