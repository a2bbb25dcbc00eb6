// SPDX-License-Identifier: GPL-2.0-or-later
// The overlay of snapshot=on: a sparse temporary file as large as the image and a bit per 4 KiB block that tells which
// of the two holds the block. Blocks are copied up when a write covers them in part.
#include <mutex>

#include "emu/host/raw_file.h"

namespace xm::host {

namespace {

constexpr u64 kBlock = 4096;

class OverlayImage final : public BlockImage {
 public:
  OverlayImage(std::unique_ptr<BlockImage> base, HostFile top)
      : base_(std::move(base)), top_(std::move(top)), present_((base_->size_bytes() + kBlock - 1) / kBlock) {}

  std::string description() const override { return base_->description() + " (snapshot)"; }
  u64 size_bytes() const override { return base_->size_bytes(); }
  bool read_only() const override { return false; }

  IoStatus read(u64 offset, const IoBuffers& to) override {
    const u64 length = devices::total_bytes(to);
    for (u64 done = 0; done < length;) {
      bool in_top = false;
      const u64 size = run_length(offset + done, length - done, in_top);
      const IoBuffers part = slice_buffers(to, done, size);
      const IoStatus status = in_top ? top_.read(offset + done, part) : base_->read(offset + done, part);
      if (status != IoStatus::Ok) return status;
      done += size;
    }
    return IoStatus::Ok;
  }

  IoStatus write(u64 offset, const IoBuffers& from) override {
    const u64 length = devices::total_bytes(from);
    return by_blocks(offset, length,
                     [&](u64 at, u64 size) { return top_.write(at, slice_buffers(from, at - offset, size)); });
  }

  std::string_view format() const override { return base_->format(); }
  IoStatus flush() override { return IoStatus::Ok; }  // nothing of it outlives the process

  IoStatus discard(u64, u64) override { return IoStatus::Ok; }

  IoStatus write_zeroes(u64 offset, u64 length, bool) override {
    return by_blocks(offset, length, [&](u64 at, u64 size) {
      const IoStatus punched = top_.punch_hole(at, size);
      return punched == IoStatus::Ok ? punched : top_.write_zeroes(at, size);
    });
  }

 private:
  // How many of the bytes from `at` on come from the same place.
  u64 run_length(u64 at, u64 length, bool& in_top) {
    const std::scoped_lock lock(mutex_);
    u64 block = at / kBlock;
    in_top = present_[block];
    u64 end = (block + 1) * kBlock;
    while (end < at + length && present_[++block] == in_top) end += kBlock;
    return std::min(end - at, length);
  }

  // Splits a write into a partial head, whole blocks and a partial tail.
  template <class Write>
  IoStatus by_blocks(u64 offset, u64 length, Write write) {
    for (u64 done = 0; done < length;) {
      const u64 at = offset + done;
      const u64 left = length - done;
      const u64 to_end = size_bytes() - at;
      const bool whole = at % kBlock == 0 && (left >= kBlock || left == to_end);
      const u64 size = !whole ? std::min(left, kBlock - at % kBlock) : left == to_end ? left : left / kBlock * kBlock;
      const IoStatus status = whole ? write_whole(at, size, write) : write_part(at, size, write);
      if (status != IoStatus::Ok) return status;
      done += size;
    }
    return IoStatus::Ok;
  }

  template <class Write>
  IoStatus write_whole(u64 at, u64 size, Write write) {
    const IoStatus status = write(at, size);
    if (status != IoStatus::Ok) return status;
    const std::scoped_lock lock(mutex_);
    for (u64 block = at / kBlock; block * kBlock < at + size; block++) present_[block] = true;
    return status;
  }

  // Two writes to different sectors of one block must not both copy it up, so partial writes go one by one.
  template <class Write>
  IoStatus write_part(u64 at, u64 size, Write write) {
    const std::scoped_lock one_by_one(copy_mutex_);
    const u64 block = at / kBlock;
    bool copied = false;
    {
      const std::scoped_lock lock(mutex_);
      copied = present_[block];
    }
    if (!copied) {
      std::vector<u8> buffer(std::min(kBlock, size_bytes() - block * kBlock));
      IoStatus status = base_->read(block * kBlock, {std::span(buffer)});
      if (status == IoStatus::Ok) status = top_.write(block * kBlock, {std::span(buffer)});
      if (status != IoStatus::Ok) return status;
    }
    const IoStatus status = write(at, size);
    if (status != IoStatus::Ok) return status;
    const std::scoped_lock lock(mutex_);
    present_[block] = true;
    return status;
  }

  std::unique_ptr<BlockImage> base_;
  HostFile top_;
  std::mutex mutex_;       // guards present_
  std::mutex copy_mutex_;  // taken before mutex_
  std::vector<bool> present_;
};

}  // namespace

Result<std::unique_ptr<BlockImage>> make_overlay(std::unique_ptr<BlockImage> base) {
  HostFile top = TRY(HostFile::temporary(base->size_bytes()));
  return std::unique_ptr<BlockImage>(std::make_unique<OverlayImage>(std::move(base), std::move(top)));
}

}  // namespace xm::host
