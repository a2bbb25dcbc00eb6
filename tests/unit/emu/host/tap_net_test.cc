// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/tap_net.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace xm::host {
namespace {

struct TapTest : ::testing::Test {
  std::unique_ptr<EventLoop> loop = EventLoop::create().value();
};

TEST_F(TapTest, LongNamesAndWrongDescriptorsAreNamed) {
  const int null = open("/dev/null", O_RDWR);
  TapOptions wrong;
  wrong.fd = null;
  auto result = open_tap(wrong, *loop);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().message.find("not a TAP descriptor"), std::string::npos);
  if (access("/dev/net/tun", R_OK | W_OK) != 0) return;
  TapOptions longer;
  longer.interface = "a-name-that-is-too-long";
  EXPECT_NE(open_tap(longer, *loop).error().message.find("too long"), std::string::npos);
}

TEST_F(TapTest, OpensWhereTheHostAllows) {
  auto tap = open_tap({}, *loop);
  if (!tap.ok()) GTEST_SKIP() << tap.error().message;
  EXPECT_EQ((*tap)->description().substr(0, 4), "tap ");
  EXPECT_TRUE((*tap)->offload().checksum);
}

}  // namespace
}  // namespace xm::host
