// SPDX-License-Identifier: GPL-2.0-or-later
// /boot/xiaoma.cfg: the systems of the menu. Lines; # starts a comment.
//
//   timeout 3                 seconds until the default starts; 0 at once, -1 never
//   default 0                 number of the entry, from 0
//   entry "Xiaoma OS"
//     kernel /boot/vmxiaoma console=ttyS0 root=PARTUUID=...
//     initrd /boot/initramfs.cpio.gz
//
// Commands of an entry: see commands.h.
#pragma once

#include "boot/core/filesystem.h"

namespace xm::boot {

constexpr u32 kMaxEntries = 12, kMaxLines = 8, kLineSize = 512, kTitleSize = 64;

struct Entry {
  char title[kTitleSize];
  u32 line_count;
  char lines[kMaxLines][kLineSize];
};

struct Config {
  int timeout = 3;
  u32 default_entry = 0;
  u32 count = 0;
  Entry* entries = nullptr;
};

// Looks on `disk` and its partitions for the file; the volume it was found on becomes `home`. A wrong line is reported
// with its number.
bool read_config(const Volume& disk, Config& config, Volume& home);

}  // namespace xm::boot
