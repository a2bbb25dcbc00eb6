// SPDX-License-Identifier: GPL-2.0-or-later
// Routing: longest prefix match against a slow oracle, replacement and removal, many routes.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/unit/guest-os-net/host_net.h"

namespace {

struct Route {
  uint32_t prefix;
  int length;
  uint32_t gateway;
};

class RouteTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    hostnet::start();
    static const int index = hostnet::add_device("rt0", 0x0a010001, 16);  // 10.1.0.1/16
    dev = index;
  }
  static int dev;
};
int RouteTest::dev = 0;

TEST_F(RouteTest, AddressesMakeRoutes) {
  const auto own = hostnet::lookup(0x0a010001);
  EXPECT_EQ(own.error, 0);
  EXPECT_EQ(own.prefix_length, 32);
  const auto link = hostnet::lookup(0x0a010203);
  EXPECT_EQ(link.oif, dev);
  EXPECT_EQ(link.prefix_length, 16);
  EXPECT_EQ(link.gateway, 0u);
  EXPECT_EQ(link.source, 0x0a010001u);
  EXPECT_EQ(hostnet::lookup(0x7f000002).error, 0);
  EXPECT_EQ(hostnet::lookup(0x08080808).error, -101 /* ENETUNREACH */);
}

TEST_F(RouteTest, GatewayMustBeOnLink) {
  EXPECT_EQ(hostnet::route_add(0x0b000000, 8, 0x0c000001, 0), -101);
  EXPECT_EQ(hostnet::route_add(0x0b000001, 8, 0x0a010002, 0), -22);  // bits behind the prefix
  EXPECT_EQ(hostnet::route_add(0x0b000000, 8, 0x0a010002, 0), 0);
  EXPECT_EQ(hostnet::route_add(0x0b000000, 8, 0x0a010002, 0), -17);
  EXPECT_EQ(hostnet::lookup(0x0b010101).gateway, 0x0a010002u);
  EXPECT_EQ(hostnet::route_delete(0x0b000000, 8, 0x0a010002, 0), 0);
  EXPECT_EQ(hostnet::route_delete(0x0b000000, 8, 0x0a010002, 0), -3);
  EXPECT_EQ(hostnet::lookup(0x0b010101).error, -101);
}

TEST_F(RouteTest, LongestPrefixMatchOfManyRoutes) {
  std::mt19937 random(7);
  std::vector<Route> routes;
  const int kMany = 100000;
  while (routes.size() < kMany) {
    const int length = 9 + static_cast<int>(random() % 22);
    const uint32_t prefix = (0x40000000u | (random() & 0x3fffffff)) & (~0u << (32 - length));
    const uint32_t gateway = 0x0a010002 + random() % 8;
    if (hostnet::route_add(prefix, length, gateway, 0) == 0) routes.push_back({prefix, length, gateway});
  }
  std::vector<std::vector<Route>> by_length(33);
  for (const Route& r : routes) by_length[static_cast<size_t>(r.length)].push_back(r);
  for (auto& v : by_length)
    std::sort(v.begin(), v.end(), [](const Route& a, const Route& b) { return a.prefix < b.prefix; });
  const auto expected = [&](uint32_t a) -> const Route* {
    for (int l = 32; l > 0; --l) {
      const auto& v = by_length[static_cast<size_t>(l)];
      const uint32_t p = a & (~0u << (32 - l));
      const auto it = std::lower_bound(v.begin(), v.end(), p, [](const Route& r, uint32_t q) { return r.prefix < q; });
      if (it != v.end() && it->prefix == p) return &*it;
    }
    return nullptr;
  };
  const auto compare = [&] {
    for (int i = 0; i < 20000; ++i) {
      const uint32_t a =
          i % 2 == 0 ? 0x40000000u | (random() & 0x3fffffff) : routes[random() % routes.size()].prefix + random() % 3;
      if (a >> 24 == 0x7f) continue;  // lo's
      const Route* want = expected(a);
      const auto got = hostnet::lookup(a);
      if (want == nullptr) {
        EXPECT_NE(got.error, 0) << std::hex << a;
      } else {
        ASSERT_EQ(got.gateway, want->gateway) << std::hex << a;
        ASSERT_EQ(got.prefix_length, want->length) << std::hex << a;
      }
    }
  };
  compare();
  std::shuffle(routes.begin(), routes.end(), random);
  for (size_t i = 0; i < routes.size() / 2; ++i) {
    auto& v = by_length[static_cast<size_t>(routes[i].length)];
    std::erase_if(v, [&](const Route& r) { return r.prefix == routes[i].prefix; });
    ASSERT_EQ(hostnet::route_delete(routes[i].prefix, routes[i].length, routes[i].gateway, 0), 0);
  }
  routes.erase(routes.begin(), routes.begin() + static_cast<long>(routes.size() / 2));
  compare();
  for (const Route& r : routes) ASSERT_EQ(hostnet::route_delete(r.prefix, r.length, r.gateway, 0), 0);
  EXPECT_EQ(hostnet::lookup(0x41010101).error, -101);
}

TEST_F(RouteTest, LowerPriorityNumberWins) {
  ASSERT_EQ(hostnet::route_add(0x0b000000, 8, 0x0a010003, 0, 20), 0);
  ASSERT_EQ(hostnet::route_add(0x0b000000, 8, 0x0a010002, 0, 10), 0);
  EXPECT_EQ(hostnet::lookup(0x0b000001).gateway, 0x0a010002u);
  ASSERT_EQ(hostnet::route_delete(0x0b000000, 8, 0x0a010002, 0), 0);
  EXPECT_EQ(hostnet::lookup(0x0b000001).gateway, 0x0a010003u);
  ASSERT_EQ(hostnet::route_delete(0x0b000000, 8, 0x0a010003, 0), 0);
}

}  // namespace
