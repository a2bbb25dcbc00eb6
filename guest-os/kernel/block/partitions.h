// SPDX-License-Identifier: GPL-2.0-or-later
// Reading a partition table through any reader of sectors.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

struct partition_entry {
  u32 number;
  u64 start, sectors;
};
struct partition_reader {
  virtual bool read(u64 sector, u8* to) const = 0;  // 512 bytes

 protected:
  ~partition_reader() = default;
};
// Entries of a GUID partition table, of its copy at the end when the first is damaged; 0: there is none.
u32 scan_gpt(const partition_reader& reader, u64 disk_sectors, partition_entry* out, u32 limit);
// Entries of an MBR and its extended partitions, at most `limit`; the disk's signature.
u32 scan_mbr(const partition_reader& reader, u64 disk_sectors, partition_entry* out, u32 limit, u32* signature);

}  // namespace xm::os
