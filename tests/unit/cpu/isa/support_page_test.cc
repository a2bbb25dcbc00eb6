// SPDX-License-Identifier: GPL-2.0-or-later
// docs/isa-support.md is generated: it must say what the table says.
#include "cpu/isa/support_page.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace xm::cpu {

TEST(SupportPage, IsWhatTheTableSays) {
  std::ifstream file(XM_SOURCE_DIR "/docs/isa-support.md");
  ASSERT_TRUE(file) << "docs/isa-support.md is missing";
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_TRUE(page == support_page()) << "regenerate: build/release/tests/isa_support > docs/isa-support.md";
}

}  // namespace xm::cpu
