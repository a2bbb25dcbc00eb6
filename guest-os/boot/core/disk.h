// SPDX-License-Identifier: GPL-2.0-or-later
// Disks and partitions as the BIOS offers them. Addresses are in sectors of 512 bytes, whatever the medium has.
#pragma once

#include "boot/core/types.h"

namespace xm::boot {

// A run of sectors of one drive: the whole disk (partition 0) or one partition.
struct Volume {
  u8 drive = 0;
  u8 partition = 0;
  u64 start = 0;
  u64 sectors = 0;    // 0: not known
  u8 entry[16] = {};  // its entry in the partition table, for boot sectors that ask
};

// Asks the BIOS about a drive; false (with a reason) if there is none.
bool open_disk(u8 drive, Volume& disk);
// Reads `length` bytes at byte `offset` of the volume to any address. Retries; fails with drive and sector.
bool read_volume(const Volume& volume, u64 offset, void* to, u32 length);
// MBR partitions, logical ones from 5 on, or those of a GPT; `number` counts from 1.
bool open_partition(const Volume& disk, u32 number, Volume& partition);
constexpr u32 kMaxPartitions = 32;
// "hd0", "hd1,2", "cd", "fd0", with or without brackets; false with a reason if it is no such name or not there.
bool parse_volume(const char* name, size_t length, Volume& volume);
// The name that parse_volume takes, for messages.
void volume_name(const Volume& volume, char* text, size_t size);

}  // namespace xm::boot
