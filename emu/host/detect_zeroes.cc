// SPDX-License-Identifier: GPL-2.0-or-later
// detect-zeroes=on|unmap: writes of nothing but zeroes become write-zeroes requests, which cost no storage where the
// format can say "zero".
#include <algorithm>

#include "emu/host/image_file.h"

namespace xm::host {

namespace {

class DetectZeroes final : public BlockImage {
 public:
  DetectZeroes(std::unique_ptr<BlockImage> image, bool unmap) : image_(std::move(image)), unmap_(unmap) {}

  std::string description() const override { return image_->description(); }
  std::string_view format() const override { return image_->format(); }
  u64 size_bytes() const override { return image_->size_bytes(); }
  bool read_only() const override { return image_->read_only(); }
  IoStatus read(u64 offset, const IoBuffers& to) override { return image_->read(offset, to); }
  IoStatus write(u64 offset, const IoBuffers& from) override {
    if (!std::all_of(from.begin(), from.end(), [](std::span<u8> part) { return all_zero(part); }))
      return image_->write(offset, from);
    return image_->write_zeroes(offset, devices::total_bytes(from), unmap_);
  }
  IoStatus flush() override { return image_->flush(); }
  IoStatus discard(u64 offset, u64 length) override { return image_->discard(offset, length); }
  IoStatus write_zeroes(u64 offset, u64 length, bool may_unmap) override {
    return image_->write_zeroes(offset, length, may_unmap);
  }
  Result<Extent> extent(u64 offset, u64 length) override { return image_->extent(offset, length); }
  BlockImage* backing() override { return image_->backing(); }
  Result<void> resize(u64 size_bytes) override { return image_->resize(size_bytes); }
  ImageSnapshots* snapshots() override { return image_->snapshots(); }

 private:
  std::unique_ptr<BlockImage> image_;
  bool unmap_;
};

}  // namespace

std::unique_ptr<BlockImage> make_detect_zeroes(std::unique_ptr<BlockImage> image, bool unmap) {
  return std::make_unique<DetectZeroes>(std::move(image), unmap);
}

}  // namespace xm::host
