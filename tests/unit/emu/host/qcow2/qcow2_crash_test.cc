// SPDX-License-Identifier: GPL-2.0-or-later
// A process that writes to a qcow2 image is killed at a random moment, again and again. Afterwards the image has no
// corruption, everything that was flushed is there, and leaks can be reclaimed.
// XM_QCOW2_KILLS sets the number of kills (default 40).
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <random>

#include "emu/host/image_file.h"
#include "emu/host/qcow2/check.h"
#include "emu/host/qcow2/create.h"

namespace xm::host {
namespace {

constexpr u64 kBlock = 4096, kBlocks = 2048;

std::unique_ptr<BlockImage> open(const std::string& path) {
  ImageOptions options;
  options.format = "qcow2";
  options.discard = true;
  auto opened = open_image(path, options);
  return opened.ok() ? std::move(*opened) : nullptr;
}

// Writes numbered blocks; after each flush tells the parent the number of the last write that it covers. A number of
// zero in a block means that it was zeroed.
struct Report {
  u64 block, number;
  u64 flushed;  // all reports up to this one's number are on disk
};

[[noreturn]] void write_until_killed(const std::string& path, int pipe, u64 seed, u64 first_number) {
  std::mt19937_64 random(seed);
  const std::unique_ptr<BlockImage> image = open(path);
  if (image == nullptr) _exit(9);
  std::vector<u64> bytes(kBlock / 8);
  u64 number = first_number, flushed = 0;
  for (;; number++) {
    const u64 block = random() % kBlocks;
    // The parent hears of a write before it is made: what is on disk is then this or the one before.
    const Report report{block, number, flushed};
    if (write(pipe, &report, sizeof report) != sizeof report) _exit(8);
    std::fill(bytes.begin(), bytes.end(), number);
    const std::span<u8> raw(reinterpret_cast<u8*>(bytes.data()), kBlock);
    if (image->write(block * kBlock, {raw}) != IoStatus::Ok) _exit(7);
    if (random() % 8 == 0) {
      if (image->flush() != IoStatus::Ok) _exit(6);
      flushed = number;
    }
  }
}

class Qcow2Crash : public testing::TestWithParam<bool> {};

TEST_P(Qcow2Crash, FlushedWritesSurviveAndNothingIsCorrupt) {
  const bool lazy = GetParam();
  char folder[] = "/tmp/xm-crash-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string path = std::string(folder) + "/disk.qcow2";
  qcow2::CreateOptions create;
  create.size_bytes = kBlock * kBlocks;
  create.cluster_bytes = 4096;
  create.lazy_refcounts = lazy;
  ASSERT_TRUE(qcow2::create_image(path, create).ok());

  const char* wanted = std::getenv("XM_QCOW2_KILLS");
  const unsigned kills = wanted != nullptr ? static_cast<unsigned>(std::atoi(wanted)) : 40;
  std::mt19937_64 random(lazy ? 2 : 1);
  std::vector<u64> least(kBlocks, 0);  // the number a block must at least have
  u64 number = 1;
  for (unsigned kill_number = 0; kill_number < kills; kill_number++) {
    int pipe_ends[2];
    ASSERT_EQ(pipe(pipe_ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(pipe_ends[0]);
      write_until_killed(path, pipe_ends[1], random(), number);
    }
    close(pipe_ends[1]);
    usleep(static_cast<useconds_t>(1000 + random() % 30000));
    kill(child, SIGKILL);
    std::vector<Report> reports;
    Report report{};
    while (read(pipe_ends[0], &report, sizeof report) == sizeof report) reports.push_back(report);
    close(pipe_ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself: " << WEXITSTATUS(status);
    const u64 flushed = reports.empty() ? 0 : reports.back().flushed;
    std::vector<u64> most = least;
    for (const Report& each : reports) {
      if (each.number <= flushed) least[each.block] = std::max(least[each.block], each.number);
      most[each.block] = std::max(most[each.block], each.number);
      number = each.number + 1;
    }
    if (!lazy) {
      ImageOptions options;
      options.format = "qcow2";
      auto opened = open_image(path, options);
      ASSERT_TRUE(opened.ok());
      auto checked = Qcow2Checker(dynamic_cast<Qcow2Image&>(**opened)).check(CheckRepair::Leaks);
      ASSERT_TRUE(checked.ok());
      ASSERT_EQ(checked->corruptions + checked->check_errors + checked->leaks, 0u) << checked->messages.front();
    }
    const std::unique_ptr<BlockImage> image = open(path);
    ASSERT_NE(image, nullptr);
    std::vector<u64> block(kBlock / 8);
    for (u64 i = 0; i < kBlocks; i++) {
      ASSERT_EQ(image->read(i * kBlock, {std::span(reinterpret_cast<u8*>(block.data()), kBlock)}), IoStatus::Ok);
      ASSERT_GE(block[0], least[i]) << "block " << i << " lost a flushed write at kill " << kill_number;
      ASSERT_LE(block[0], most[i]) << "block " << i;
      least[i] = block[0];
    }
    auto checked = Qcow2Checker(dynamic_cast<Qcow2Image&>(*image)).check(CheckRepair::None);
    ASSERT_TRUE(checked.ok());
    ASSERT_EQ(checked->corruptions + checked->check_errors + checked->leaks, 0u);
  }
  std::system((std::string("rm -rf ") + folder).c_str());
}

INSTANTIATE_TEST_SUITE_P(Refcounts, Qcow2Crash, testing::Values(false, true),
                         [](const auto& tested) { return std::string(tested.param ? "lazy" : "exact"); });

}  // namespace
}  // namespace xm::host
