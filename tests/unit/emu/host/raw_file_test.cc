// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/raw_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>

#include "emu/base/exit_status.h"
#include "emu/host/event_loop.h"

namespace xm::host {
namespace {

struct RawFileTest : ::testing::Test {
  RawFileTest() {
    char name[] = "/tmp/xiaoma-raw-XXXXXX";
    const int fd = mkstemp(name);
    path = name;
    close(fd);
  }
  ~RawFileTest() override { unlink(path.c_str()); }
  void make(u64 size_bytes) {
    std::ofstream file(path, std::ios::binary);
    for (u64 i = 0; i < size_bytes; i++) file.put(static_cast<char>(i / 512 + 1));
  }
  std::unique_ptr<BlockImage> open(RawOptions options = {}) {
    auto image = open_raw_image(path, options);
    EXPECT_TRUE(image.ok()) << image.error().message;
    return std::move(image).value();
  }
  std::string failure(RawOptions options = {}) {
    auto image = open_raw_image(path, options);
    EXPECT_FALSE(image.ok());
    return image.ok() ? "" : image.error().message;
  }
  static std::vector<u8> read(BlockImage& image, u64 offset, u64 length) {
    std::vector<u8> bytes(length);
    EXPECT_EQ(image.read(offset, {std::span(bytes)}), IoStatus::Ok);
    return bytes;
  }
  static void write(BlockImage& image, u64 offset, std::vector<u8> bytes) {
    EXPECT_EQ(image.write(offset, {std::span(bytes)}), IoStatus::Ok);
  }
  std::string path;
};

TEST_F(RawFileTest, EmptyOddMissingAndFolderAreRefused) {
  EXPECT_NE(failure().find("is empty"), std::string::npos);
  make(1000);
  EXPECT_NE(failure().find("1000 bytes"), std::string::npos);
  path = "/tmp/there-is-no-such-image";
  EXPECT_NE(failure().find("No such file"), std::string::npos);
  path = "/tmp";
  EXPECT_FALSE(failure({.read_only = true}).empty());
}

TEST_F(RawFileTest, TwoWritersNeverTwoReadersAlways) {
  make(4096);
  {
    const auto writer = open();
    EXPECT_NE(failure().find("in use"), std::string::npos);
    EXPECT_EQ(open_raw_image(path, {}).error().exit_status, exit_status::kImage);
    EXPECT_NE(failure({.read_only = true}).find("in use"), std::string::npos);
    EXPECT_NE(open({.locking = false}), nullptr);
  }
  const auto reader = open({.read_only = true});
  const auto another = open({.snapshot = true});
  EXPECT_NE(failure().find("in use"), std::string::npos);
}

TEST_F(RawFileTest, ScatterReadsAndWrites) {
  make(64 << 10);
  const auto image = open();
  std::vector<u8> a(3), b(700), c(100);
  EXPECT_EQ(image->read(511, {std::span(a), std::span(b), {}, std::span(c)}), IoStatus::Ok);
  EXPECT_EQ(a[0], 1);
  EXPECT_EQ(a[1], 2);
  EXPECT_EQ(b[699], 3);
  write(*image, 1000, {9, 9});
  EXPECT_EQ(read(*image, 999, 4), (std::vector<u8>{2, 9, 9, 2}));
  EXPECT_EQ(image->write_zeroes(512, 8192, true), IoStatus::Ok);
  EXPECT_EQ(read(*image, 511, 2), (std::vector<u8>{1, 0}));
  EXPECT_EQ(read(*image, 8703, 2), (std::vector<u8>{0, 18}));
}

TEST_F(RawFileTest, FileThatShrankIsAnErrorNotAHang) {
  make(8192);
  const auto image = open();
  ASSERT_EQ(truncate(path.c_str(), 4096), 0);
  std::vector<u8> bytes(8192);
  EXPECT_EQ(image->read(0, {std::span(bytes)}), IoStatus::Error);
}

TEST_F(RawFileTest, SnapshotNeverWritesTheImage) {
  constexpr u64 kSize = (256 << 10) + 512;
  make(kSize);
  std::vector<u8> model(kSize);
  for (u64 i = 0; i < kSize; i++) model[i] = static_cast<u8>(i / 512 + 1);
  const std::vector<u8> original = model;
  {
    const auto image = open({.snapshot = true});
    EXPECT_FALSE(image->read_only());
    std::mt19937 random(7);
    for (int i = 0; i < 500; i++) {
      const u64 offset = random() % kSize;
      const u64 length = std::min<u64>(random() % 20000 + 1, kSize - offset);
      const u8 value = static_cast<u8>(random());
      if (i % 7 == 0) {
        EXPECT_EQ(image->write_zeroes(offset, length, true), IoStatus::Ok);
        std::memset(&model[offset], 0, length);
      } else {
        write(*image, offset, std::vector<u8>(length, value));
        std::memset(&model[offset], value, length);
      }
      if (i % 50 == 0) {
        ASSERT_EQ(read(*image, 0, kSize), model) << i;
      }
    }
    EXPECT_EQ(read(*image, 0, kSize), model);
  }
  EXPECT_EQ(read(*open(), 0, kSize), original);
}

TEST_F(RawFileTest, RequestsFinishOnTheLoop) {
  make(64 << 10);
  const auto loop = EventLoop::create().value();
  WorkerPool pool(3);
  std::mutex lock;
  auto block = open_raw_file(path, {}, pool, *loop).value();
  std::vector<std::vector<u8>> buffers(50, std::vector<u8>(512));
  unsigned finished = 0;
  const auto self = std::this_thread::get_id();
  for (u64 i = 0; i < buffers.size(); i++) {
    block->read(i * 512, {std::span(buffers[i])}, [&, i](IoStatus status) {
      EXPECT_EQ(status, IoStatus::Ok);
      EXPECT_EQ(std::this_thread::get_id(), self);
      EXPECT_EQ(buffers[i][0], static_cast<u8>(i + 1));
      finished++;
    });
  }
  EXPECT_EQ(finished, 0u);
  block->drain();
  while (finished < buffers.size()) loop->run_once(-1, lock);
  IoStatus outcome = IoStatus::Ok;
  block->read(block->size_bytes(), {std::span(buffers[0])}, [&](IoStatus status) { outcome = status; });
  EXPECT_EQ(outcome, IoStatus::Ok);
  loop->run_once(0, lock);
  EXPECT_EQ(outcome, IoStatus::OutOfRange);
}

}  // namespace
}  // namespace xm::host
