// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/base/bits.h"

#include <gtest/gtest.h>

namespace xm {

TEST(Bits, FieldsAreCutAsTheManualsNumberThem) {
  EXPECT_EQ(bits(0xABCD, 15, 12), 0xAu);
  EXPECT_EQ(bits(~u64{0}, 63, 0), ~u64{0});
  EXPECT_EQ(with_bits(0xFFFF, 7, 4, 0), 0xFF0Fu);
}

TEST(Bits, SignExtension) {
  EXPECT_EQ(sign_extend(0x80, 8), -128);
  EXPECT_EQ(sign_extend(0x7F, 8), 127);
}

}  // namespace xm
