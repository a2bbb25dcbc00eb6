// SPDX-License-Identifier: GPL-2.0-or-later
// Random operations on a qcow2 image against a model (plain bytes): writes, zeroes, discards, snapshots, resizes,
// compressed clusters, reopening; at the end every byte is compared and the image is checked.
// XM_QCOW2_OPERATIONS sets the number of operations for each kind of image (default 10000).
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <random>

#include "emu/base/bits.h"
#include "emu/host/image_file.h"
#include "emu/host/qcow2/check.h"
#include "emu/host/qcow2/create.h"

namespace xm::host {
namespace {

struct Kind {
  const char* name;
  u64 cluster_bytes;
  u32 version;
  u32 refcount_bits;
  bool lazy;
  bool backed;
  bool zstd;
};

class Qcow2Random : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    char name[] = "/tmp/xm-qcow2-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    const Kind& kind = GetParam();
    size_ = 96 * kind.cluster_bytes + 1536;
    qcow2::CreateOptions options;
    options.size_bytes = size_;
    options.version = kind.version;
    options.cluster_bytes = kind.cluster_bytes;
    options.refcount_bits = kind.refcount_bits;
    options.lazy_refcounts = kind.lazy;
    options.compression = kind.zstd ? qcow2::Compression::Zstd : qcow2::Compression::Zlib;
    model_.assign(size_, 0);
    if (kind.backed) {
      options.backing_file = "base.raw";
      options.backing_format = "raw";
      // Shorter than the image.
      std::vector<u8> base(align_down(size_ * 2 / 3, 512));
      for (std::size_t i = 0; i < base.size(); i++) base[i] = static_cast<u8>(i / 512 * 7 + 1);
      HostFile file = HostFile::create(folder_ + "/base.raw", base.size()).value();
      ASSERT_EQ(file.write_bytes(0, base), IoStatus::Ok);
      std::copy(base.begin(), base.end(), model_.begin());
    }
    ASSERT_TRUE(qcow2::create_image(path(), options).ok());
    open();
  }
  void TearDown() override {
    image_.reset();
    std::system(("rm -rf " + folder_).c_str());
  }
  std::string path() const { return folder_ + "/test.qcow2"; }
  void open() {
    ImageOptions options;
    options.format = "qcow2";
    options.discard = true;
    options.no_flush = true;  // order matters here, the host's disk does not
    auto opened = open_image(path(), options);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    image_ = std::move(*opened);
    ASSERT_EQ(image_->size_bytes(), size_);
  }
  void expect_range(u64 offset, u64 length) {
    std::vector<u8> bytes(length);
    ASSERT_EQ(image_->read(offset, {std::span(bytes)}), IoStatus::Ok);
    ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), model_.begin() + static_cast<std::ptrdiff_t>(offset)))
        << "at " << offset << " + " << length << " after " << done_ << " operations";
  }
  void expect_clean() {
    auto checked = Qcow2Checker(dynamic_cast<Qcow2Image&>(*image_)).check(CheckRepair::None);
    ASSERT_TRUE(checked.ok());
    for (const std::string& message : checked->messages) ADD_FAILURE() << message;
    ASSERT_EQ(checked->corruptions + checked->leaks + checked->check_errors, 0u) << "after " << done_ << " operations";
  }

  std::string folder_;
  u64 size_ = 0, done_ = 0;
  std::unique_ptr<BlockImage> image_;
  std::vector<u8> model_;
  std::map<std::string, std::vector<u8>> snapshots_;
};

TEST_P(Qcow2Random, BehavesLikePlainBytes) {
  const char* wanted = std::getenv("XM_QCOW2_OPERATIONS");
  const u64 operations = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 10000;
  std::mt19937_64 random(GetParam().cluster_bytes + GetParam().version);
  unsigned next_snapshot = 0;
  for (; done_ < operations && !HasFatalFailure(); done_++) {
    const u64 offset = random() % (size_ / 512) * 512;
    const u64 limit = random() % 4 == 0 ? 20 * GetParam().cluster_bytes : 2 * GetParam().cluster_bytes;
    const u64 length = std::min(size_ - offset, (random() % (limit / 512) + 1) * 512);
    const auto begin = model_.begin() + static_cast<std::ptrdiff_t>(offset);
    const auto end = begin + static_cast<std::ptrdiff_t>(length);
    switch (random() % 16) {
      default: {
        std::vector<u8> bytes(length);
        const u8 fill = static_cast<u8>(random());
        for (std::size_t i = 0; i < bytes.size(); i++) bytes[i] = static_cast<u8>(fill + i / 64);
        ASSERT_EQ(image_->write(offset, {std::span(bytes)}), IoStatus::Ok);
        std::copy(bytes.begin(), bytes.end(), begin);
        break;
      }
      case 0:
      case 1:
        ASSERT_EQ(image_->write_zeroes(offset, length, random() % 2 == 0), IoStatus::Ok);
        std::fill(begin, end, 0);
        break;
      case 2: {
        ASSERT_EQ(image_->discard(offset, length), IoStatus::Ok);
        // What whole clusters read as afterwards is the image's choice: take it over.
        std::vector<u8> bytes(length);
        ASSERT_EQ(image_->read(offset, {std::span(bytes)}), IoStatus::Ok);
        for (u64 i = 0; i < length; i++)
          ASSERT_TRUE(bytes[i] == 0 || bytes[i] == begin[static_cast<std::ptrdiff_t>(i)]);
        std::copy(bytes.begin(), bytes.end(), begin);
        break;
      }
      case 3:
      case 4: expect_range(offset, length); break;
      case 5: ASSERT_EQ(image_->flush(), IoStatus::Ok); break;
      case 6: {
        const u64 cluster = align_down(offset, GetParam().cluster_bytes);
        if (cluster + GetParam().cluster_bytes > size_) break;
        std::vector<u8> bytes(GetParam().cluster_bytes);
        for (std::size_t i = 0; i < bytes.size(); i++) bytes[i] = static_cast<u8>(i / 32 + random() % 2);
        ASSERT_EQ(image_->write_compressed(cluster, bytes), IoStatus::Ok);
        std::copy(bytes.begin(), bytes.end(), model_.begin() + static_cast<std::ptrdiff_t>(cluster));
        break;
      }
      case 7: {
        if (random() % 8 != 0) break;
        if (random() % 2 == 0) {
          image_.reset();
          open();
        } else if (random() % 2 == 0 && snapshots_.empty()) {
          const u64 size = std::max<u64>(512, size_ - random() % 40 * 512 + random() % 40 * 512);
          ASSERT_TRUE(image_->resize(size).ok());
          model_.resize(size, 0);
          size_ = size;
        } else if (random() % 3 != 0 && GetParam().refcount_bits > 1) {
          if (snapshots_.size() < 3) {
            const std::string name = "s" + std::to_string(next_snapshot++);
            ASSERT_TRUE(image_->snapshots()->write_vm_state(0, std::span(model_).first(700)).ok());
            auto created = image_->snapshots()->create({.name = name, .vm_state_bytes = 700});
            ASSERT_TRUE(created.ok()) << created.error().message;
            snapshots_[name] = model_;
          }
        } else if (!snapshots_.empty()) {
          const auto chosen = std::next(snapshots_.begin(), static_cast<std::ptrdiff_t>(random() % snapshots_.size()));
          std::vector<u8> state(700);
          ASSERT_TRUE(image_->snapshots()->read_vm_state(chosen->first, 0, state).ok());
          ASSERT_TRUE(std::equal(state.begin(), state.end(), chosen->second.begin()));
          if (random() % 2 == 0) {
            ASSERT_TRUE(image_->snapshots()->apply(chosen->first).ok());
            model_ = chosen->second;
            size_ = model_.size();
          } else {
            ASSERT_TRUE(image_->snapshots()->remove(chosen->first).ok());
            snapshots_.erase(chosen);
          }
        }
        if (random() % 4 == 0) {
          ASSERT_EQ(image_->flush(), IoStatus::Ok);
          image_.reset();
          open();
          expect_clean();
        }
        break;
      }
    }
  }
  expect_range(0, size_);
  image_.reset();
  open();
  expect_range(0, size_);
  expect_clean();
}

INSTANTIATE_TEST_SUITE_P(
    Images, Qcow2Random,
    testing::Values(Kind{"plain", 65536, 3, 16, false, false, false}, Kind{"backed", 4096, 3, 16, false, true, true},
                    Kind{"old", 4096, 2, 16, false, true, false}, Kind{"tiny", 512, 3, 16, false, false, false},
                    Kind{"lazy", 1024, 3, 8, true, true, false}, Kind{"wide", 512, 3, 64, false, true, false},
                    Kind{"bits", 2048, 3, 1, false, true, false}),
    [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace xm::host
