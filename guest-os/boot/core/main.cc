// SPDX-License-Identifier: GPL-2.0-or-later
// The loader core: finds its configuration on the drive it was started from and shows the menu; without one it says why
// and gives a prompt.
#include "boot/core/console.h"
#include "boot/core/menu.h"
#include "boot/core/report.h"

namespace xm::boot {

extern "C" void core_main(u32 drive) {
  console_init();
  static Config config;
  Volume disk, home;
  const bool ready = open_disk(static_cast<u8>(drive), disk) && read_config(disk, config, home);
  if (ready) run_menu(config, home);
  clear_screen();
  print("xiaoma: error: %s\nPress a key for the command line.", failure());
  (void)wait_key();
  Session session{disk};
  for (;;) run_prompt(session, false);
}

}  // namespace xm::boot
