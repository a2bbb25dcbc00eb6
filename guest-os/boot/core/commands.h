// SPDX-License-Identifier: GPL-2.0-or-later
// The commands of the menu's entries and of the prompt.
//
//   kernel FILE [WORDS]      a bzImage or a Multiboot image, told apart by their headers
//   linux FILE [WORDS]       a bzImage only         initrd FILE            its initial RAM disk
//   multiboot FILE [WORDS]   a Multiboot image only module FILE [WORDS]    one of its modules
//   chain VOLUME             the boot sector of a disk or partition: (hd1), (hd0,2)
//   root VOLUME              where files without a volume in front are searched
//   ls [DIRECTORY]           cat FILE               boot (prompt only)
//   reboot                   poweroff
#pragma once

#include "boot/core/config.h"
#include "boot/core/system.h"

namespace xm::boot {

struct Session {
  Volume home;
  SystemKind loaded = SystemKind::None;
};

// Runs one line; false with a reason.
bool run_command(const char* line, Session& session);
// Starts what was loaded; returns false with a reason if nothing was.
bool start_system(const Session& session);
// All lines of an entry, then start_system.
bool run_entry(const Entry& entry, Session& session);

}  // namespace xm::boot
