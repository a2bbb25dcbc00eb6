// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/raw_file.h"

namespace xm::host {

namespace {

class RawImage final : public BlockImage {
 public:
  RawImage(HostFile file, u64 size_bytes, const RawOptions& options)
      : file_(std::move(file)), size_bytes_(size_bytes), options_(options) {}

  std::string description() const override { return file_.path(); }
  u64 size_bytes() const override { return size_bytes_; }
  bool read_only() const override { return options_.read_only; }

  IoStatus read(u64 offset, const IoBuffers& to) override { return file_.read(offset, to); }
  IoStatus write(u64 offset, const IoBuffers& from) override { return through(file_.write(offset, from)); }
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
    IoStatus status =
        may_unmap && options_.discard ? file_.punch_hole(offset, length) : file_.zero_range(offset, length);
    if (status != IoStatus::Ok && status != IoStatus::NoSpace) status = file_.write_zeroes(offset, length);
    return through(status);
  }

 private:
  IoStatus through(IoStatus status) const {
    return status == IoStatus::Ok && options_.cache == RawOptions::Cache::WriteThrough ? file_.flush() : status;
  }

  HostFile file_;
  u64 size_bytes_;
  RawOptions options_;
};

}  // namespace

Result<std::unique_ptr<BlockImage>> open_raw_image(const std::string& path, const RawOptions& options) {
  RawOptions base = options;
  base.read_only |= options.snapshot;
  const auto access = base.read_only ? HostFile::Access::ReadOnly : HostFile::Access::ReadWrite;
  HostFile file = TRY(HostFile::open(path, access, base.locking ? HostFile::Locking::On : HostFile::Locking::Off));
  const u64 size = TRY(file.size_bytes());
  if (size == 0) return Error{"disk image is empty: " + path + "; make one with `xiaoma img create` or truncate -s"};
  if (size % 512 != 0) {
    return Error{"disk image is not whole sectors: " + path + " has " + std::to_string(size) +
                 " bytes; a raw disk is a multiple of 512 bytes"};
  }
  std::unique_ptr<BlockImage> image = std::make_unique<RawImage>(std::move(file), size, base);
  if (options.snapshot) return make_overlay(std::move(image));
  return image;
}

Result<std::shared_ptr<devices::BlockBackend>> open_raw_file(const std::string& path, const RawOptions& options,
                                                             WorkerPool& pool, bus::Executor& executor) {
  return make_async_block(TRY(open_raw_image(path, options)), pool, executor);
}

}  // namespace xm::host
