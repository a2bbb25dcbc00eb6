// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/event_loop.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

namespace xm::host {
namespace {

constexpr i64 kSecond = 1'000'000'000;

struct EventLoopTest : ::testing::Test {
  bool run(i64 timeout_ns = 5 * kSecond) { return loop->run_once(timeout_ns, lock); }
  std::unique_ptr<EventLoop> loop = EventLoop::create().value();
  std::mutex lock;
};

TEST_F(EventLoopTest, PostedTasksRunInOrderAndNeverAtOnce) {
  std::string order;
  loop->post([&] {
    order += 'a';
    loop->post([&] { order += 'c'; });
  });
  loop->post([&] { order += 'b'; });
  EXPECT_EQ(order, "");
  EXPECT_TRUE(run());
  EXPECT_EQ(order, "ab");
  EXPECT_TRUE(run());
  EXPECT_EQ(order, "abc");
  EXPECT_FALSE(run(0));
}

TEST_F(EventLoopTest, PostFromAnotherThreadEndsTheWait) {
  bool ran = false;
  std::thread other([&] {
    usleep(20'000);
    loop->post([&] { ran = true; });
  });
  const i64 start = EventLoop::now_ns();
  while (!ran) run(-1);
  EXPECT_LT(EventLoop::now_ns() - start, 4 * kSecond);
  other.join();
}

TEST_F(EventLoopTest, DescriptorsReportUntilRemoved) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  unsigned calls = 0;
  loop->add_fd(ends[0], EventLoop::kReadable, [&](u32 events) {
    EXPECT_TRUE(events & EventLoop::kReadable);
    calls++;
  });
  run(0);
  EXPECT_EQ(calls, 0u);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  run();
  run();
  EXPECT_EQ(calls, 2u);  // level-triggered
  loop->modify_fd(ends[0], 0);
  run(0);
  EXPECT_EQ(calls, 2u);
  loop->remove_fd(ends[0]);
  close(ends[0]);
  close(ends[1]);
}

TEST_F(EventLoopTest, CallbackMayRemoveAnotherReadyDescriptor) {
  int a[2], b[2];
  ASSERT_EQ(pipe(a), 0);
  ASSERT_EQ(pipe(b), 0);
  unsigned calls = 0;
  const auto once = [&](u32) {
    calls++;
    loop->remove_fd(a[0]);
    loop->remove_fd(b[0]);
  };
  loop->add_fd(a[0], EventLoop::kReadable, once);
  loop->add_fd(b[0], EventLoop::kReadable, once);
  ASSERT_EQ(write(a[1], "x", 1) + write(b[1], "x", 1), 2);
  run();
  run(0);
  EXPECT_EQ(calls, 1u);
  for (const int fd : {a[0], a[1], b[0], b[1]}) close(fd);
}

TEST_F(EventLoopTest, TimersFireInOrderAndCanBeCancelled) {
  std::string order;
  const i64 now = EventLoop::now_ns();
  loop->add_timer(now + 20'000'000, [&] { order += 'b'; });
  loop->add_timer(now + 10'000'000, [&] { order += 'a'; });
  const auto id = loop->add_timer(now + 15'000'000, [&] { order += 'x'; });
  loop->cancel_timer(id);
  while (order.size() < 2) run();
  EXPECT_EQ(order, "ab");
  EXPECT_GE(EventLoop::now_ns() - now, 20'000'000);
}

}  // namespace
}  // namespace xm::host
