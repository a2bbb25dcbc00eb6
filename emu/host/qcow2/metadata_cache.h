// SPDX-License-Identifier: GPL-2.0-or-later
// MetadataCache: slices (4 KiB, or a cluster if that is smaller) of L2 tables and refcount blocks, written back when
// the owner says so. The owner decides the order in which kinds are written, because that order is what keeps the image
// consistent. Holds at most kMaxSlices. Not thread-safe: the image's metadata mutex is held.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "emu/host/block_image.h"
#include "emu/host/host_file.h"

namespace xm::host::qcow2 {

class MetadataCache {
 public:
  enum class Kind : u8 { L2, Refcount };
  static constexpr u64 kMaxSliceBytes = 4096;
  static constexpr std::size_t kMaxSlices = 512;

  // `make_room` writes back every dirty slice (in the owner's order); it is called when all slices are dirty.
  MetadataCache(const HostFile& file, u64 slice_bytes, std::function<IoStatus()> make_room)
      : file_(file), slice_bytes_(slice_bytes), make_room_(std::move(make_room)) {}

  u64 slice_bytes() const { return slice_bytes_; }
  // The slice that holds the byte at `offset` of the file; `slice` is valid until the next get(). Zeroes beyond the end
  // of the file.
  IoStatus get(u64 offset, Kind kind, u8*& slice);
  // The slice that get() returned last for this offset was changed.
  void mark_dirty(u64 offset);
  bool has_dirty(Kind kind) const { return dirty_[static_cast<unsigned>(kind)] != 0; }
  // Writes the dirty slices of a kind, in the order of their offsets. What fails stays dirty.
  IoStatus write_dirty(Kind kind);
  // Forgets what is cached of [offset, offset + length), dirty or not: the range was written past the cache or freed.
  void forget(u64 offset, u64 length);
  void forget_all();

 private:
  struct Slice {
    std::unique_ptr<u8[]> bytes;
    Kind kind = Kind::L2;
    bool dirty = false;
    std::list<u64>::iterator recency;
  };
  IoStatus evict();
  void set_clean(Slice& slice);

  const HostFile& file_;
  const u64 slice_bytes_;
  std::function<IoStatus()> make_room_;
  std::map<u64, Slice> slices_;  // by file offset
  std::list<u64> recency_;       // most recent first
  std::size_t dirty_[2] = {};
};

}  // namespace xm::host::qcow2
