// SPDX-License-Identifier: GPL-2.0-or-later
// Opening and closing: tables into memory, repair of images that were not closed.
#include <algorithm>

#include "emu/base/exit_status.h"
#include "emu/host/qcow2/check.h"
#include "emu/host/qcow2/qcow2_image.h"

namespace xm::host {

using namespace qcow2;

Qcow2Image::Qcow2Image(HostFile file, const Qcow2Options& options, std::unique_ptr<BlockImage> backing, Header header)
    : file_(std::move(file)),
      options_(options),
      backing_(std::move(backing)),
      header_(std::move(header)),
      cache_(file_, std::min(header_.cluster_bytes(), MetadataCache::kMaxSliceBytes),
             [this] { return write_metadata(); }),
      refcounts_(file_, header_, cache_, [this](const std::string& what) { return corrupted(what); }) {}

Result<std::unique_ptr<Qcow2Image>> Qcow2Image::open(HostFile file, const Qcow2Options& options,
                                                     std::unique_ptr<BlockImage> backing) {
  Header header = TRY(read_header(file));
  if (!options.read_only && header.extended_l2()) {
    return Error{"image with extended L2 entries can only be read: " + file.path() + "; use readonly=on, or convert it",
                 exit_status::kImage};
  }
  if (!options.read_only && !options.ignore_dirty && (header.incompatible & kCorrupt) != 0) {
    return Error{
        "image is marked corrupt: " + file.path() + "; repair it with `xiaoma img check -r all` or open it read-only",
        exit_status::kImage};
  }
  std::unique_ptr<Qcow2Image> image(new Qcow2Image(std::move(file), options, std::move(backing), std::move(header)));
  TRY(image->load());
  return image;
}

Result<void> Qcow2Image::load() {
  file_end_ = align_up(TRY(file_.size_bytes()), cluster_bytes());
  l1_ = TRY(read_l1(header_.l1_offset, header_.l1_entries));
  TRY(load_snapshots());
  if (options_.read_only) return {};
  TRY(refcounts_.load());
  for (const u64 entry : l1_) {
    if ((entry & kOffsetMask) != 0) l2_tables_.push_back(entry & kOffsetMask);
  }
  std::sort(l2_tables_.begin(), l2_tables_.end());
  if ((header_.incompatible & kDirty) != 0 && !options_.ignore_dirty) {
    // Refcounts of an image with lazy refcounts are stale after a crash [QCOW2 Incompatible features, bit 0].
    const CheckResult result = TRY(Qcow2Checker(*this).check(CheckRepair::All));
    if (result.corruptions != 0 || result.check_errors != 0) {
      return Error{"image was not closed and could not be repaired: " + file_.path() + "; see `xiaoma img check`",
                   exit_status::kImage};
    }
  }
  return {};
}

Result<std::vector<u64>> Qcow2Image::read_l1(u64 offset, u64 entries) {
  std::vector<u64> l1(entries);
  const std::span<u8> raw(reinterpret_cast<u8*>(l1.data()), entries * 8);
  if (file_.read_padded(offset, {raw}) != IoStatus::Ok) {
    return Error{"cannot read L1 table: " + file_.path() + ": input/output error", exit_status::kImage};
  }
  for (u64& entry : l1) entry = byte_swap(entry);
  return l1;
}

// A clean close leaves no dirty bit. Errors cannot be reported here; whoever wants to hear of them calls flush().
Qcow2Image::~Qcow2Image() {
  if (options_.read_only || !corruption_.empty()) return;
  const std::scoped_lock lock(mutex_);
  if (write_metadata() != IoStatus::Ok || barrier() != IoStatus::Ok) return;
  // Frees were applied to the counts last.
  if (refcounts_.write_back([this] { return barrier(); }) != IoStatus::Ok) return;
  if ((header_.incompatible & kDirty) == 0) return;
  if (barrier() != IoStatus::Ok) return;
  header_.incompatible &= ~kDirty;
  u8 field[8];
  store_be64(field, header_.incompatible);
  if (file_.write_bytes(header_at::kIncompatible, field) == IoStatus::Ok) barrier();
}

std::string Qcow2Image::corruption() const {
  const std::scoped_lock lock(mutex_);
  return corruption_;
}

// The image contradicts itself: nothing more is written to it but the mark that says so.
IoStatus Qcow2Image::corrupted(const std::string& what) {
  if (!corruption_.empty()) return IoStatus::Error;
  corruption_ = what;
  std::fprintf(stderr, "xiaoma: error: qcow2 image is corrupt: %s: %s; see `xiaoma img check`\n", file_.path().c_str(),
               what.c_str());
  if (!options_.read_only && header_.version >= 3) {
    header_.incompatible |= kCorrupt;
    u8 field[8];
    store_be64(field, header_.incompatible);
    if (file_.write_bytes(header_at::kIncompatible, field) == IoStatus::Ok) barrier();
  }
  return IoStatus::Error;
}

// Before the first change: lazy refcounts need the dirty bit on disk; bits that only say that nobody changed the image
// are cleared [QCOW2 Autoclear features].
IoStatus Qcow2Image::begin_change() {
  if (!corruption_.empty()) return IoStatus::Error;
  if (writing_) return IoStatus::Ok;
  const bool lazy = (header_.compatible & kLazyRefcounts) != 0;
  if (header_.version >= 3 && (lazy || header_.autoclear != 0)) {
    if (lazy) header_.incompatible |= kDirty;
    header_.autoclear = 0;
    u8 fields[24];
    store_be64(fields, header_.incompatible);
    store_be64(fields + 8, header_.compatible);
    store_be64(fields + 16, header_.autoclear);
    IO_TRY(file_.write_bytes(header_at::kIncompatible, fields));
    IO_TRY(barrier());
  }
  writing_ = true;
  return IoStatus::Ok;
}

IoStatus Qcow2Image::write_header() {
  const Result<std::vector<u8>> raw = encode_header(header_);
  if (!raw.ok()) return IoStatus::NoSpace;
  IO_TRY(file_.write_bytes(0, raw.value()));
  return barrier();
}

Result<void> Qcow2Image::set_backing(const std::string& name, const std::string& format) {
  const std::scoped_lock lock(mutex_);
  const Header before = header_;
  header_.backing_file = name;
  header_.backing_format = format;
  const Result<std::vector<u8>> raw = encode_header(header_);
  if (!raw.ok()) {
    header_ = before;
    return raw.error();
  }
  if (write_metadata() != IoStatus::Ok || write_header() != IoStatus::Ok) {
    return Error{"cannot write header: " + file_.path() + ": input/output error", exit_status::kImage};
  }
  return {};
}

Result<void> Qcow2Image::set_compatible(u64 compatible) {
  const std::scoped_lock lock(mutex_);
  header_.compatible = compatible;
  if (write_metadata() != IoStatus::Ok || write_header() != IoStatus::Ok) {
    return Error{"cannot write header: " + file_.path() + ": input/output error", exit_status::kImage};
  }
  return {};
}

}  // namespace xm::host
