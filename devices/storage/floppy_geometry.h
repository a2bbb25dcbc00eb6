// SPDX-License-Identifier: GPL-2.0-or-later
// PC floppy formats, told apart by their size.
#pragma once

#include <array>

#include "emu/base/types.h"

namespace xm::devices {

struct FloppyGeometry {
  u16 total_sectors;
  u8 cylinders;
  u8 heads;
  u8 sectors;     // per track
  u8 drive_type;  // of the drive it belongs in, as in CMOS register 10h: 1 360K, 2 1.2M, 3 720K, 4 1.44M, 5 2.88M
};

inline constexpr std::array<FloppyGeometry, 14> kFloppyGeometries{{
    {320, 40, 1, 8, 1},    // 160K
    {360, 40, 1, 9, 1},    // 180K
    {640, 40, 2, 8, 1},    // 320K
    {720, 40, 2, 9, 1},    // 360K
    {1280, 80, 2, 8, 3},   // 640K
    {1440, 80, 2, 9, 3},   // 720K
    {1600, 80, 2, 10, 3},  // 800K
    {1640, 82, 2, 10, 4},  // 820K
    {2400, 80, 2, 15, 2},  // 1.2M
    {2880, 80, 2, 18, 4},  // 1.44M
    {3200, 80, 2, 20, 4},  // 1.6M
    {3360, 80, 2, 21, 4},  // 1.68M
    {3444, 82, 2, 21, 4},  // 1.72M
    {5760, 80, 2, 36, 5},  // 2.88M
}};

// The format of an image; sizes of no format are taken for the smallest one that holds them (2.88M at most).
inline const FloppyGeometry& floppy_geometry(u64 size_bytes) {
  const u64 sectors = size_bytes / 512;
  for (const FloppyGeometry& geometry : kFloppyGeometries) {
    if (geometry.total_sectors >= sectors && (geometry.total_sectors == sectors || geometry.total_sectors >= 2880)) {
      return geometry;
    }
  }
  return kFloppyGeometries.back();
}

}  // namespace xm::devices
