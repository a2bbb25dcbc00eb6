// SPDX-License-Identifier: GPL-2.0-or-later
// Initial memory of a silicon test.
#include "tests/cpu/silicon/test_case.h"

#include <cstring>
#include <memory>
#include <random>

#include "emu/base/bits.h"

namespace xm::cpu::silicon {
namespace {

constexpr u32 kPoolBytes = 1 << 18;

// Random bytes mixed with numbers that instructions find interesting.
const u8* pool() {
  static const std::unique_ptr<u8[]> bytes = [] {
    auto result = std::make_unique<u8[]>(kPoolBytes + kDataBytes);
    std::mt19937_64 random(20240607);
    for (u32 i = 0; i < kPoolBytes + kDataBytes; i += 8) {
      u64 value = random();
      switch (random() % 6) {
        case 0: value &= 0x7F; break;
        case 1: value = 0x3FF0000000000000 + (value & 0x80F000000000000F); break;
        case 2: value = (value & 0x8000000080000003) | 0x3F8000003F800000; break;
        case 3: value = (random() & 1) ? ~u64{0} : 0; break;
        default: break;
      }
      store_le(&result[i], value);
    }
    return result;
  }();
  return bytes.get();
}

}  // namespace

void fill_data(const TestCase& test, DataPages& data) {
  std::memcpy(data.data(), pool() + test.data_seed % (kPoolBytes / 16) * 16, data.size());
  for (unsigned i = 0; i < test.poke_count; ++i) store_le(&data[test.pokes[i].offset], test.pokes[i].value);
}

void fill_code(const TestCase& test, std::array<u8, kCodeBytes>& code) {
  code.fill(0xCC);
  std::memcpy(&code[test.code_offset], test.code.data(), test.code_length);
}

}  // namespace xm::cpu::silicon
