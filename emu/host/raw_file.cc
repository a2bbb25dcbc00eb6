// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/raw_file.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "emu/base/bits.h"
#include "emu/host/image_file.h"

namespace xm::host {

namespace {

constexpr u64 kSector = 512;

class RawImage final : public BlockImage {
 public:
  RawImage(HostFile file, u64 size_bytes, const RawOptions& options)
      : file_(std::move(file)), size_bytes_(align_up(size_bytes, kSector)), options_(options) {}

  std::string description() const override { return file_.path(); }
  u64 size_bytes() const override { return size_bytes_; }
  bool read_only() const override { return options_.read_only; }

  IoStatus read(u64 offset, const IoBuffers& to) override {
    return options_.any_size ? file_.read_padded(offset, to) : file_.read(offset, to);
  }
  IoStatus write(u64 offset, const IoBuffers& from) override {
    if (options_.read_only) return IoStatus::ReadOnly;
    if (options_.guessed && offset < kSector && looks_like_a_header(offset, from)) return IoStatus::Error;
    return through(file_.write(offset, from));
  }
  IoStatus flush() override {
    const bool nothing_to_do = options_.read_only || options_.cache == RawOptions::Cache::Unsafe;
    return nothing_to_do ? IoStatus::Ok : file_.flush();
  }
  IoStatus discard(u64 offset, u64 length) override {
    // A hint, so a file system that cannot do it is no error.
    if (options_.discard && length != 0) file_.punch_hole(offset, length);
    return IoStatus::Ok;
  }
  IoStatus write_zeroes(u64 offset, u64 length, bool may_unmap) override {
    if (length == 0) return IoStatus::Ok;
    if (options_.read_only) return IoStatus::ReadOnly;
    IoStatus status =
        may_unmap && options_.discard ? file_.punch_hole(offset, length) : file_.zero_range(offset, length);
    if (status != IoStatus::Ok && status != IoStatus::NoSpace) status = file_.write_zeroes(offset, length);
    return through(status);
  }
  Result<Extent> extent(u64 offset, u64 length) override {
    Extent extent{.has_offset = true, .offset = offset};
    extent.length_bytes = file_.run_of_data(offset, length, extent.data);
    extent.zero = !extent.data;
    return extent;
  }
  Result<void> resize(u64 size_bytes) override {
    if (const IoStatus status = file_.truncate(size_bytes); status != IoStatus::Ok)
      return Error{"cannot resize: " + file_.path() + ": " + io_status_text(status)};
    size_bytes_ = align_up(size_bytes, kSector);
    return {};
  }

 private:
  IoStatus through(IoStatus status) const {
    return status == IoStatus::Ok && options_.cache == RawOptions::Cache::WriteThrough ? file_.flush() : status;
  }
  // Whether the first sector would be probed as something else after this write.
  bool looks_like_a_header(u64 offset, const IoBuffers& from) {
    std::array<u8, kSector> sector{};
    if (file_.read_padded(0, {std::span(sector)}) != IoStatus::Ok) return true;
    u64 at = offset;
    for (const std::span<u8> part : slice_buffers(from, 0, kSector - offset)) {
      std::memcpy(&sector[at], part.data(), part.size());
      at += part.size();
    }
    return guess_format(sector) != "raw";
  }

  HostFile file_;
  u64 size_bytes_;
  RawOptions options_;
};

}  // namespace

Result<std::unique_ptr<BlockImage>> make_raw_image(HostFile file, const RawOptions& options) {
  const u64 size = TRY(file.size_bytes());
  if (!options.any_size) {
    const std::string& path = file.path();
    if (size == 0) return Error{"disk image is empty: " + path + "; make one with `xiaoma img create` or truncate -s"};
    if (size % kSector != 0) {
      return Error{"disk image is not whole sectors: " + path + " has " + std::to_string(size) +
                   " bytes; a raw disk is a multiple of 512 bytes"};
    }
  }
  return std::unique_ptr<BlockImage>(std::make_unique<RawImage>(std::move(file), size, options));
}

Result<std::unique_ptr<BlockImage>> open_raw_image(const std::string& path, const RawOptions& options) {
  RawOptions base = options;
  base.read_only |= options.snapshot;
  const auto access = base.read_only ? HostFile::Access::ReadOnly : HostFile::Access::ReadWrite;
  HostFile file = TRY(HostFile::open(path, access, base.locking ? HostFile::Locking::On : HostFile::Locking::Off,
                                     base.direct ? HostFile::Caching::Direct : HostFile::Caching::Buffered));
  std::unique_ptr<BlockImage> image = TRY(make_raw_image(std::move(file), base));
  if (options.snapshot) return make_overlay(std::move(image));
  return image;
}

Result<std::shared_ptr<devices::BlockBackend>> open_raw_file(const std::string& path, const RawOptions& options,
                                                             WorkerPool& pool, bus::Executor& executor) {
  return make_async_block(TRY(open_raw_image(path, options)), pool, executor);
}

}  // namespace xm::host
