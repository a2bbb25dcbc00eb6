// SPDX-License-Identifier: GPL-2.0-or-later
// What IDENTIFY DEVICE says about an AtaDisk [ATA8-ACS 7.16], word by word.
#include <algorithm>
#include <cstdio>

#include "devices/storage/ata_disk.h"
#include "devices/storage/ata_strings.h"
#include "emu/base/bits.h"

namespace xm::devices {

std::array<u8, 512> AtaDisk::identify_data() const {
  std::array<u8, 512> data{};
  const auto word = [&data](unsigned index, u64 value) { store_le(&data[index * 2], static_cast<u16>(value)); };
  const auto dword = [&data](unsigned index, u64 value) { store_le(&data[index * 2], static_cast<u32>(value)); };
  const u64 sectors = total_sectors();
  const auto sectors28 = static_cast<u32>(std::min<u64>(sectors, (u64{1} << 28) - 1));
  word(0, 0x0040);  // fixed, not removable
  word(1, std::min<u64>(sectors / (16 * 63), 16383));
  word(3, 16);
  word(6, 63);
  char number[21];
  std::snprintf(number, sizeof number, "XM%05u", unit_ + 1);
  put_ata_string(data, 10, 10, drive_.identity().serial.empty() ? number : drive_.identity().serial);
  put_ata_string(data, 23, 4, "1.0");
  put_ata_string(data, 27, 20, drive_.identity().model.empty() ? "XIAOMA HARDDISK" : drive_.identity().model);
  word(47, 0x8000 | 16);  // multiple: up to 16 sectors
  word(48, 1);            // 32-bit data port accesses
  word(49, 0x0F00);       // DMA, LBA, IORDY
  word(50, 0x4000);
  word(51, 0x0200);
  word(52, 0x0200);
  word(53, 0x0007);  // words 54-58, 64-70 and 88 are valid
  word(54, cylinders_);
  word(55, heads_);
  word(56, sectors_per_track_);
  dword(57, u32{cylinders_} * heads_ * sectors_per_track_);
  word(59, 0x0100 | multiple_);
  dword(60, sectors28);
  const unsigned mode = transfer_mode_ & 7;
  word(63, 0x07 | ((transfer_mode_ & 0xF8) == 0x20 ? bit(8 + mode) : 0));
  word(64, 0x03);                                    // PIO modes 3 and 4
  for (unsigned i = 65; i <= 68; i++) word(i, 120);  // cycle times, ns
  word(69, 0x4000);                                  // deterministic data after TRIM
  word(80, 0x00F0);                                  // ATA-4 to ATA-7
  word(81, 0x0016);
  word(82, 0x4061);  // NOP, look-ahead, write cache, SMART
  word(83, 0x7400);  // FLUSH EXT, FLUSH, 48-bit
  word(84, 0x4040);  // WRITE DMA FUA EXT
  word(85, 0x4000 | (look_ahead_ ? 0x40 : 0) | (write_cache_ ? 0x20 : 0) | (smart_enabled_ ? 1 : 0));
  word(86, 0x3400);
  word(87, 0x4040);
  word(88, 0x3F | ((transfer_mode_ & 0xF8) == 0x40 ? bit(8 + mode) : 0));
  word(93, 0x6001 | 0x2000);  // 80-conductor cable
  store_le(&data[200], sectors);
  word(106, 0x4000);  // one logical sector per physical sector
  word(169, 1);       // TRIM
  word(217, 1);       // non-rotating, so that guests do not optimise for a head
  // Integrity word: signature and a checksum that makes the sum zero.
  data[510] = 0xA5;
  u8 sum = 0;
  for (unsigned i = 0; i < 511; i++) sum = static_cast<u8>(sum + data[i]);
  data[511] = static_cast<u8>(-sum);
  return data;
}

}  // namespace xm::devices
