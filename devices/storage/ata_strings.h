// SPDX-License-Identifier: GPL-2.0-or-later
// Strings in IDENTIFY data: padded with blanks, the two characters of each word swapped [ATA8-ACS 3.3.9].
#pragma once

#include <span>
#include <string_view>

#include "emu/base/types.h"

namespace xm::devices {

inline void put_ata_string(std::span<u8> data, unsigned first_word, unsigned words, std::string_view text) {
  for (unsigned i = 0; i < words * 2; i++) {
    data[first_word * 2 + (i ^ 1)] = i < text.size() ? static_cast<u8>(text[i]) : u8{' '};
  }
}

}  // namespace xm::devices
