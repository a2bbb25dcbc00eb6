// SPDX-License-Identifier: GPL-2.0-or-later
// The volatile write cache of make_volatile_cache: a map of the sectors that were written and not flushed. A disk may
// write cached sectors whenever it likes and in any order; here each write lets go of a few, chosen at random, so that
// a power cut leaves requests torn and later ones on disk before earlier ones.
#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <random>

#include "emu/base/bits.h"
#include "emu/host/image_file.h"

namespace xm::host {

namespace {

constexpr u64 kSector = 512;
constexpr std::size_t kMaxSectors = 64 * 2048;  // 64 MiB; beyond that the cache has to write

class VolatileCache final : public BlockImage {
 public:
  VolatileCache(std::unique_ptr<BlockImage> image, u64 seed) : image_(std::move(image)), random_(seed) {}

  std::string description() const override { return image_->description() + " (volatile cache)"; }
  std::string_view format() const override { return image_->format(); }
  u64 size_bytes() const override { return image_->size_bytes(); }
  bool read_only() const override { return image_->read_only(); }
  ImageSnapshots* snapshots() override { return image_->snapshots(); }

  IoStatus read(u64 offset, const IoBuffers& to) override {
    const std::scoped_lock lock(mutex_);
    IO_TRY(image_->read(offset, to));
    const u64 end = offset + devices::total_bytes(to);
    for (auto it = sectors_.lower_bound(align_down(offset, kSector)); it != sectors_.end() && it->first < end; ++it) {
      const u64 from = std::max(offset, it->first), until = std::min(end, it->first + kSector);
      const u8* bytes = it->second.data() + (from - it->first);
      for (const std::span<u8> part : slice_buffers(to, from - offset, until - from)) {
        std::memcpy(part.data(), bytes, part.size());
        bytes += part.size();
      }
    }
    return IoStatus::Ok;
  }

  IoStatus write(u64 offset, const IoBuffers& from) override {
    const std::scoped_lock lock(mutex_);
    const u64 length = devices::total_bytes(from);
    for (u64 done = 0; done < length;) {
      const u64 start = align_down(offset + done, kSector), skip = offset + done - start;
      const u64 size = std::min(length - done, kSector - skip);
      auto [it, fresh] = sectors_.try_emplace(start);
      if (fresh && size != kSector) {
        IO_TRY(image_->read(start, {std::span(it->second)}));
      }
      u8* to = it->second.data() + skip;
      for (const std::span<u8> part : slice_buffers(from, done, size)) {
        std::memcpy(to, part.data(), part.size());
        to += part.size();
      }
      done += size;
    }
    return let_go(random_() % 4 == 0 ? random_() % 16 : 0);
  }

  IoStatus flush() override {
    const std::scoped_lock lock(mutex_);
    // Adjacent sectors go out together.
    for (auto it = sectors_.begin(); it != sectors_.end();) {
      std::vector<u8> run;
      const u64 start = it->first;
      for (; it != sectors_.end() && it->first == start + run.size() && run.size() < (1u << 20); ++it)
        run.insert(run.end(), it->second.begin(), it->second.end());
      IO_TRY(image_->write(start, {std::span(run)}));
    }
    sectors_.clear();
    return image_->flush();
  }

  IoStatus discard(u64 offset, u64 length) override {
    const std::scoped_lock lock(mutex_);
    drop(offset, length);
    return image_->discard(offset, length);
  }

  IoStatus write_zeroes(u64 offset, u64 length, bool) override {
    std::vector<u8> zeroes(std::min<u64>(length, 1 << 20));
    for (u64 done = 0; done < length; done += zeroes.size()) {
      IO_TRY(write(offset + done, {std::span(zeroes).first(std::min<u64>(zeroes.size(), length - done))}));
    }
    return IoStatus::Ok;
  }

 private:
  void drop(u64 offset, u64 length) {
    const auto first = sectors_.lower_bound(align_up(offset, kSector));
    sectors_.erase(first, sectors_.lower_bound(align_down(offset + length, kSector)));
  }

  // Writes some cached sectors, far apart from each other.
  IoStatus let_go(u64 count) {
    while (!sectors_.empty() && (count != 0 || sectors_.size() > kMaxSectors)) {
      const u64 low = sectors_.begin()->first, high = sectors_.rbegin()->first;
      auto it = sectors_.lower_bound(low + random_() % (high - low + 1));
      IO_TRY(image_->write(it->first, {std::span(it->second)}));
      sectors_.erase(it);
      if (count != 0) count--;
    }
    return IoStatus::Ok;
  }

  std::unique_ptr<BlockImage> image_;
  std::mutex mutex_;
  std::mt19937_64 random_;
  std::map<u64, std::array<u8, kSector>> sectors_;  // by offset
};

}  // namespace

std::unique_ptr<BlockImage> make_volatile_cache(std::unique_ptr<BlockImage> image, u64 seed) {
  return std::make_unique<VolatileCache>(std::move(image), seed);
}

}  // namespace xm::host
