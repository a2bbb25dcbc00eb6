// SPDX-License-Identifier: GPL-2.0-or-later
// Damaged qcow2 files: opened, checked, read and written, they give errors, never a signal, a hang or a flood of
// memory. XM_QCOW2_MALFORMED sets the number of files (default 2000).
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <random>

#include "emu/base/bits.h"
#include "emu/host/image_file.h"
#include "emu/host/qcow2/check.h"
#include "emu/host/qcow2/create.h"

namespace xm::host {
namespace {

std::vector<u8> sample(const std::string& path, bool backed) {
  qcow2::CreateOptions create;
  create.size_bytes = 1 << 20;
  create.cluster_bytes = 4096;
  if (backed) {
    create.backing_file = "/nonexistent/base";
    create.backing_format = "raw";
  }
  EXPECT_TRUE(qcow2::create_image(path, create).ok());
  ImageOptions options;
  options.with_backing = false;
  auto image = std::move(open_image(path, options)).value();
  std::vector<u8> bytes(4096 * 3, 7);
  for (u64 at = 0; at < 40 * 4096; at += 9 * 4096) EXPECT_EQ(image->write(at, {std::span(bytes)}), IoStatus::Ok);
  EXPECT_EQ(image->write_compressed(200 * 4096, std::span(bytes).first(4096)), IoStatus::Ok);
  EXPECT_EQ(image->write_zeroes(100 * 4096, 8192, true), IoStatus::Ok);
  EXPECT_TRUE(image->snapshots()->create({.name = "one"}).ok());
  EXPECT_EQ(image->write(0, {std::span(bytes)}), IoStatus::Ok);
  image.reset();
  const HostFile file = HostFile::open(path, HostFile::Access::ReadOnly).value();
  std::vector<u8> whole(file.size_bytes().value());
  EXPECT_EQ(file.read(0, {std::span(whole)}), IoStatus::Ok);
  return whole;
}

// Values that tend to be mishandled, or bits of what is there.
void damage(std::vector<u8>& bytes, std::mt19937_64& random) {
  static constexpr u64 kValues[] = {0,
                                    1,
                                    0xFF,
                                    0x7FFF'FFFF,
                                    0xFFFF'FFFF,
                                    ~u64{0},
                                    u64{1} << 62,
                                    u64{1} << 63,
                                    0x1000,
                                    0x1001,
                                    0x0080'0000'0000'1000,
                                    0x4000'0000'0000'0200,
                                    512,
                                    4096 * 5};
  const unsigned changes = 1 + random() % 4;
  for (unsigned i = 0; i < changes; i++) {
    const bool in_header = random() % 2 == 0;
    u64 at = in_header ? random() % 112 : random() % bytes.size();
    if (random() % 2 == 0) {
      bytes[at] ^= static_cast<u8>(1u << random() % 8);
      continue;
    }
    at = align_down(at, random() % 2 == 0 ? 8 : 4);
    const u64 value = kValues[random() % std::size(kValues)];
    const unsigned size = random() % 2 == 0 ? 8 : 4;
    for (unsigned byte = 0; byte < size && at + byte < bytes.size(); byte++)
      bytes[at + byte] = static_cast<u8>(value >> 8 * (size - 1 - byte));
  }
  if (random() % 8 == 0) bytes.resize(random() % bytes.size());
}

// CPU time and memory for all that is done with one image are bounded.
class Bounded {
 public:
  explicit Bounded(unsigned image) : image_(image) { getrusage(RUSAGE_SELF, &before_); }
  ~Bounded() {
    rusage after{};
    getrusage(RUSAGE_SELF, &after);
    const double seconds = static_cast<double>(after.ru_utime.tv_sec - before_.ru_utime.tv_sec) +
                           static_cast<double>(after.ru_utime.tv_usec - before_.ru_utime.tv_usec) / 1e6;
    EXPECT_LT(seconds, 2.0) << "image " << image_;
    EXPECT_LT(after.ru_maxrss - before_.ru_maxrss, 64 << 10) << "image " << image_;
  }

 private:
  rusage before_{};
  unsigned image_;
};

void use(const std::string& path, unsigned number) {
  const Bounded bounded(number);
  for (const bool read_only : {true, false}) {
    ImageOptions options;
    options.format = "qcow2";
    options.read_only = read_only;
    options.with_backing = false;
    options.no_flush = true;
    auto opened = open_image(path, options);
    if (!opened.ok()) {
      EXPECT_FALSE(opened.error().message.empty());
      continue;
    }
    BlockImage& image = **opened;
    if (read_only) (void)Qcow2Checker(dynamic_cast<Qcow2Image&>(image)).check(CheckRepair::None).ok();
    std::vector<u8> bytes(8192);
    for (u64 at = 0; at + bytes.size() <= std::min<u64>(image.size_bytes(), 1 << 20); at += bytes.size()) {
      (void)image.read(at, {std::span(bytes)});
      if (!read_only && at % 65536 == 0) (void)image.write(at, {std::span(bytes)});
    }
    if (!read_only) {
      (void)image.snapshots()->create({.name = "two"}).ok();
      (void)image.snapshots()->remove("one").ok();
      (void)image.flush();
    }
  }
  ImageOptions options;
  options.format = "qcow2";
  options.with_backing = false;
  options.ignore_dirty = true;
  options.no_flush = true;
  if (auto opened = open_image(path, options); opened.ok())
    (void)Qcow2Checker(dynamic_cast<Qcow2Image&>(**opened)).check(CheckRepair::All).ok();
}

TEST(Qcow2Malformed, GivesErrorsAndNothingWorse) {
  char folder[] = "/tmp/xm-malformed-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string path = std::string(folder) + "/disk.qcow2";
  const std::vector<u8> good[] = {sample(path, false), sample(path, true)};
  const char* wanted = std::getenv("XM_QCOW2_MALFORMED");
  const unsigned count = wanted != nullptr ? static_cast<unsigned>(std::atoi(wanted)) : 2000;
  std::mt19937_64 random(6);
  testing::internal::CaptureStderr();
  for (unsigned i = 0; i < count; i++) {
    std::vector<u8> bytes = good[i % 2];
    damage(bytes, random);
    {
      const HostFile file = HostFile::create(path, 0).value();
      ASSERT_EQ(file.write_bytes(0, bytes), IoStatus::Ok);
    }
    use(path, i);
  }
  testing::internal::GetCapturedStderr();
  std::system((std::string("rm -rf ") + folder).c_str());
}

}  // namespace
}  // namespace xm::host
