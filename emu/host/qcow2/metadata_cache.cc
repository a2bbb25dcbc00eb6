// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/qcow2/metadata_cache.h"

#include <algorithm>

namespace xm::host::qcow2 {

IoStatus MetadataCache::get(u64 offset, Kind kind, u8*& slice) {
  const u64 start = offset - offset % slice_bytes_;
  if (const auto found = slices_.find(start); found != slices_.end()) {
    recency_.splice(recency_.begin(), recency_, found->second.recency);
    slice = found->second.bytes.get();
    return IoStatus::Ok;
  }
  if (slices_.size() >= kMaxSlices) {
    IO_TRY(evict());
    // Making room may have brought in this very slice.
    if (slices_.contains(start)) return get(offset, kind, slice);
  }
  Slice fresh;
  fresh.bytes = std::make_unique<u8[]>(slice_bytes_);
  fresh.kind = kind;
  IO_TRY(file_.read_padded(start, {std::span(fresh.bytes.get(), slice_bytes_)}));
  recency_.push_front(start);
  fresh.recency = recency_.begin();
  slice = fresh.bytes.get();
  slices_.emplace(start, std::move(fresh));
  return IoStatus::Ok;
}

void MetadataCache::mark_dirty(u64 offset) {
  Slice& slice = slices_.at(offset - offset % slice_bytes_);
  if (slice.dirty) return;
  slice.dirty = true;
  dirty_[static_cast<unsigned>(slice.kind)]++;
}

void MetadataCache::set_clean(Slice& slice) {
  if (!slice.dirty) return;
  slice.dirty = false;
  dirty_[static_cast<unsigned>(slice.kind)]--;
}

// Drops the least recent clean slice.
IoStatus MetadataCache::evict() {
  for (int attempt = 0; attempt < 2; attempt++) {
    for (auto it = recency_.rbegin(); it != recency_.rend(); ++it) {
      const auto victim = slices_.find(*it);
      if (victim->second.dirty) continue;
      recency_.erase(victim->second.recency);
      slices_.erase(victim);
      return IoStatus::Ok;
    }
    if (attempt == 0) IO_TRY(make_room_());
  }
  return IoStatus::Error;
}

IoStatus MetadataCache::write_dirty(Kind kind) {
  if (!has_dirty(kind)) return IoStatus::Ok;
  for (auto& [offset, slice] : slices_) {
    if (!slice.dirty || slice.kind != kind) continue;
    IO_TRY(file_.write(offset, {std::span(slice.bytes.get(), slice_bytes_)}));
    set_clean(slice);
  }
  return IoStatus::Ok;
}

void MetadataCache::forget(u64 offset, u64 length) {
  for (auto it = slices_.lower_bound(offset - offset % slice_bytes_);
       it != slices_.end() && it->first < offset + length;) {
    set_clean(it->second);
    recency_.erase(it->second.recency);
    it = slices_.erase(it);
  }
}

void MetadataCache::forget_all() {
  slices_.clear();
  recency_.clear();
  dirty_[0] = dirty_[1] = 0;
}

}  // namespace xm::host::qcow2
