// SPDX-License-Identifier: GPL-2.0-or-later
// Socket buffers, segmentation and netlink attributes against plain models.
#include <gtest/gtest.h>

#include "host_net.h"
#include "skb_check.h"

namespace {

TEST(Skbuff, RandomOperationsKeepTheBytes) {
  hostnet::start();
  for (uint32_t seed = 0; seed < 3000; ++seed) ASSERT_EQ(hostnet::check_skb_operations(seed), "") << "seed " << seed;
}

TEST(Skbuff, SegmentsCarryTheBytes) {
  hostnet::start();
  for (uint32_t seed = 0; seed < 500; ++seed) ASSERT_EQ(hostnet::check_gso(seed), "") << "seed " << seed;
}

TEST(Netlink, RandomAttributesStayInsideTheMessage) {
  for (uint32_t seed = 0; seed < 100000; ++seed) ASSERT_EQ(hostnet::check_attributes(seed), "") << "seed " << seed;
}

}  // namespace
