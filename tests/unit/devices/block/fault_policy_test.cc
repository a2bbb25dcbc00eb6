// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/block/fault_policy.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/unit/devices/block_bench.h"

namespace xm::devices {
namespace {

struct FaultPolicyTest : ::testing::Test {
  void write() {
    policy->write(0, buffer, [this](IoStatus status) {
      outcome = status;
      outcomes++;
    });
    executor.run();
  }

  xm::devices::testing::ManualExecutor executor;
  std::shared_ptr<xm::devices::testing::MemoryDisk> disk =
      std::make_shared<xm::devices::testing::MemoryDisk>(executor, 4096);
  unsigned stops = 0, outcomes = 0;
  std::unique_ptr<FaultPolicy> policy = std::make_unique<FaultPolicy>(
      disk, FaultPolicy::Settings{.on_write = OnFault::Stop}, executor, [this](bool, IoStatus) { stops++; });
  std::array<u8, 512> bytes{};
  IoBuffers buffer{std::span<u8>(bytes)};
  IoStatus outcome = IoStatus::Ok;
};

TEST_F(FaultPolicyTest, AHeldRequestIsTriedAgain) {
  disk->fail_with = IoStatus::NoSpace;
  write();
  EXPECT_EQ(stops, 1u);
  EXPECT_EQ(outcomes, 0u);
  EXPECT_TRUE(policy->holds_requests());
  disk->fail_with = IoStatus::Ok;
  policy->resume();
  executor.run();
  EXPECT_EQ(outcomes, 1u);
  EXPECT_EQ(outcome, IoStatus::Ok);
}

// Whoever drains until nothing is posted any more must come to an end.
TEST_F(FaultPolicyTest, AnIdleBackEndHasNothingToDrain) {
  policy->drain();
  EXPECT_TRUE(executor.idle());
}

TEST_F(FaultPolicyTest, DrainedRequestsFailInsteadOfWaiting) {
  disk->fail_with = IoStatus::NoSpace;
  write();
  policy->drain();
  executor.run();
  EXPECT_EQ(outcomes, 1u);
  EXPECT_EQ(outcome, IoStatus::Error);
  policy->write(0, buffer, [this](IoStatus status) {
    outcome = status;
    outcomes++;
  });
  policy->drain();  // the request is under way
  executor.run();
  EXPECT_EQ(outcomes, 2u);
  EXPECT_EQ(outcome, IoStatus::NoSpace);
  EXPECT_EQ(stops, 1u);
  write();  // and afterwards faults stop the machine again
  EXPECT_EQ(stops, 2u);
}

TEST_F(FaultPolicyTest, WithoutSpaceOnlyStopIfFullStops) {
  policy = std::make_unique<FaultPolicy>(disk, FaultPolicy::Settings{}, executor, [this](bool, IoStatus) { stops++; });
  disk->fail_with = IoStatus::Error;
  write();
  EXPECT_EQ(outcome, IoStatus::Error);
  EXPECT_EQ(stops, 0u);
  disk->fail_with = IoStatus::NoSpace;
  write();
  EXPECT_EQ(stops, 1u);
}

TEST_F(FaultPolicyTest, IgnoredFaultsLookLikeSuccess) {
  policy = std::make_unique<FaultPolicy>(disk, FaultPolicy::Settings{.on_write = OnFault::Ignore}, executor,
                                         [this](bool, IoStatus) { stops++; });
  disk->fail_with = IoStatus::Error;
  write();
  EXPECT_EQ(outcomes, 1u);
  EXPECT_EQ(outcome, IoStatus::Ok);
}

}  // namespace
}  // namespace xm::devices
