// SPDX-License-Identifier: GPL-2.0-or-later
// The mapping: lookups and changes of L1 and L2 tables, frees, and the order in which metadata reaches the disk.
#include <algorithm>

#include "emu/base/exit_status.h"
#include "emu/host/qcow2/qcow2_image.h"

namespace xm::host {

using namespace qcow2;
using Kind = MetadataCache::Kind;

namespace {

// More frees than this are not put off.
constexpr std::size_t kMaxPendingFrees = 16384;

bool any_in(const std::vector<u64>& sorted, u64 offset, u64 length, u64 size_each) {
  // Entries are aligned to size_each, so one that begins before `offset` ends there at the latest.
  const u64 from = offset - offset % size_each;
  const auto first = std::lower_bound(sorted.begin(), sorted.end(), from);
  return first != sorted.end() && *first < offset + length;
}

bool overlaps(u64 a, u64 a_length, u64 b, u64 b_length) {
  return a_length != 0 && b_length != 0 && a < b + b_length && b < a + a_length;
}

}  // namespace

// Offset of the L2 table for an L1 entry; 0 if there is none.
IoStatus Qcow2Image::l2_table(const std::vector<u64>& l1, u64 l1_index, u64& table) {
  table = 0;
  if (l1_index >= l1.size()) return IoStatus::Ok;
  table = l1[l1_index] & kOffsetMask;
  if (in_cluster(table) != 0) return corrupted("L2 table of L1 entry " + std::to_string(l1_index) + " is not aligned");
  if (table != 0 && table >= std::max(file_end_, refcounts_.high_water() << header_.cluster_bits))
    return corrupted("L2 table of L1 entry " + std::to_string(l1_index) + " lies beyond the end of the file");
  return IoStatus::Ok;
}

IoStatus Qcow2Image::l2_entry_of(const std::vector<u64>& l1, u64 guest, u64& entry, u64& bitmap) {
  entry = bitmap = 0;
  u64 table = 0;
  IO_TRY(l2_table(l1, guest / header_.l2_coverage(), table));
  if (table == 0) return IoStatus::Ok;
  const u64 at = table + guest % header_.l2_coverage() / cluster_bytes() * header_.l2_entry_bytes();
  u8* slice = nullptr;
  IO_TRY(cache_.get(at, Kind::L2, slice));
  const u8* raw = slice + at % cache_.slice_bytes();
  entry = load_be64(raw);
  if (header_.extended_l2()) bitmap = load_be64(raw + 8);
  return IoStatus::Ok;
}

// What an entry says of the byte at `guest`: state, place, and how far it goes within the cluster.
IoStatus Qcow2Image::decode_entry(u64 guest, u64 entry, u64 bitmap, Mapping& mapping) {
  mapping = {.entry = entry, .length = cluster_bytes() - in_cluster(guest)};
  if ((entry & kCompressed) != 0) {
    mapping.state = State::Compressed;
    return IoStatus::Ok;
  }
  const u64 host = entry & kOffsetMask;
  if (in_cluster(host) != 0) {
    return corrupted("data cluster of guest offset " + std::to_string(guest) + " is not aligned");
  }
  mapping.host = host + in_cluster(guest);
  mapping.copied = (entry & kCopied) != 0;
  if (header_.extended_l2()) {
    const u64 sub_bytes = cluster_bytes() / 32;
    const unsigned sub = static_cast<unsigned>(in_cluster(guest) / sub_bytes);
    mapping.length = sub_bytes - guest % sub_bytes;
    const bool allocated = has_bit(bitmap, sub), zero = has_bit(bitmap, sub + 32);
    if ((allocated && zero) || (allocated && host == 0)) {
      return corrupted("subcluster of guest offset " + std::to_string(guest) + " is allocated and zero");
    }
    mapping.state = zero        ? (host != 0 ? State::ZeroAllocated : State::Zero)
                    : allocated ? State::Data
                                : State::Unallocated;
    return IoStatus::Ok;
  }
  if ((entry & kZeroFlag) != 0) {
    if (header_.version < 3) return corrupted("zero cluster in a version 2 image");
    mapping.state = host != 0 ? State::ZeroAllocated : State::Zero;
  } else {
    mapping.state = host != 0 ? State::Data : State::Unallocated;
  }
  return IoStatus::Ok;
}

// The mapping at `guest`, and how much of the following `length` bytes continues it.
IoStatus Qcow2Image::lookup(const std::vector<u64>& l1, u64 guest, u64 length, Mapping& mapping) {
  u64 entry = 0, bitmap = 0;
  IO_TRY(l2_entry_of(l1, guest, entry, bitmap));
  IO_TRY(decode_entry(guest, entry, bitmap, mapping));
  while (mapping.length < length && mapping.state != State::Compressed) {
    const u64 next = guest + mapping.length;
    // A hole in L1 is a hole of a whole L2 table.
    if (mapping.state == State::Unallocated && next % header_.l2_coverage() == 0) {
      u64 table = 0;
      IO_TRY(l2_table(l1, next / header_.l2_coverage(), table));
      if (table == 0) {
        mapping.length += header_.l2_coverage();
        continue;
      }
    }
    Mapping more;
    IO_TRY(l2_entry_of(l1, next, entry, bitmap));
    IO_TRY(decode_entry(next, entry, bitmap, more));
    const bool placed = mapping.state == State::Data || mapping.state == State::ZeroAllocated;
    if (more.state != mapping.state || more.copied != mapping.copied ||
        (placed && more.host != mapping.host + mapping.length)) {
      break;
    }
    mapping.length += more.length;
  }
  mapping.length = std::min(mapping.length, length);
  return IoStatus::Ok;
}

// Where the bytes of a compressed cluster lie; the length counts whole sectors of the file.
void Qcow2Image::compressed_place(u64 entry, u64& offset, u64& length) const {
  const unsigned offset_bits = 62 - (header_.cluster_bits - 8);
  offset = entry & (bit(offset_bits) - 1);
  const u64 sectors = bits(entry, 61, offset_bits) + 1;
  length = sectors * 512 - offset % 512;
}

// The L2 table for `guest`, allocated and not shared with a snapshot, so that it may be changed.
IoStatus Qcow2Image::own_l2_table(u64 guest, u64& table) {
  const u64 index = guest / header_.l2_coverage();
  if (index >= l1_.size()) return IoStatus::OutOfRange;
  IO_TRY(l2_table(l1_, index, table));
  if (table != 0 && (l1_[index] & kCopied) != 0) return IoStatus::Ok;
  u64 fresh = 0;
  IO_TRY(refcounts_.allocate(1, fresh));
  IO_TRY(check_overlap(fresh, cluster_bytes(), "L2 table"));
  std::vector<u8> raw(cluster_bytes());
  if (table != 0) {
    for (u64 at = 0; at < raw.size(); at += cache_.slice_bytes()) {
      u8* slice = nullptr;
      IO_TRY(cache_.get(table + at, Kind::L2, slice));
      std::copy_n(slice, cache_.slice_bytes(), &raw[at]);
    }
    free_later(table, 1);
    if (const auto old = std::lower_bound(l2_tables_.begin(), l2_tables_.end(), table);
        old != l2_tables_.end() && *old == table) {
      l2_tables_.erase(old);
    }
  }
  cache_.forget(fresh, raw.size());
  IO_TRY(file_.write_bytes(fresh, raw));
  l2_tables_.insert(std::upper_bound(l2_tables_.begin(), l2_tables_.end(), fresh), fresh);
  l1_[index] = fresh | kCopied;
  l1_dirty_from_ = std::min(l1_dirty_from_, index);
  l1_dirty_to_ = std::max(l1_dirty_to_, index + 1);
  table = fresh;
  return IoStatus::Ok;
}

IoStatus Qcow2Image::set_l2_entry(u64 guest, u64 entry) {
  u64 table = 0;
  IO_TRY(own_l2_table(guest, table));
  const u64 at = table + guest % header_.l2_coverage() / cluster_bytes() * header_.l2_entry_bytes();
  u8* slice = nullptr;
  IO_TRY(cache_.get(at, Kind::L2, slice));
  store_be64(slice + at % cache_.slice_bytes(), entry);
  cache_.mark_dirty(at);
  return IoStatus::Ok;
}

// Nothing may be written over metadata, whatever the tables of a damaged image say.
IoStatus Qcow2Image::check_overlap(u64 offset, u64 length, const char* what) {
  const char* hit = nullptr;
  if (offset < cluster_bytes()) hit = "the header";
  if (overlaps(offset, length, header_.l1_offset, u64{header_.l1_entries} * 8)) hit = "the L1 table";
  if (overlaps(offset, length, header_.refcount_table_offset,
               u64{header_.refcount_table_clusters} << header_.cluster_bits)) {
    hit = "the refcount table";
  }
  if (overlaps(offset, length, header_.snapshots_offset, snapshot_table_bytes_)) hit = "the snapshot table";
  for (const StoredSnapshot& snapshot : stored_) {
    if (overlaps(offset, length, snapshot.l1_offset, u64{snapshot.l1_entries} * 8)) hit = "a snapshot's L1 table";
  }
  if (any_in(l2_tables_, offset, length, cluster_bytes())) hit = "an L2 table";
  const u64 first_block = offset - in_cluster(offset);
  for (u64 block = first_block; block < offset + length; block += cluster_bytes()) {
    if (refcounts_.holds_block(block)) hit = "a refcount block";
  }
  if (hit == nullptr) return IoStatus::Ok;
  return corrupted(std::string(what) + " at offset " + std::to_string(offset) + " would overwrite " + hit);
}

void Qcow2Image::free_later(u64 offset, u64 clusters) {
  const u64 cluster = offset >> header_.cluster_bits;
  if (!pending_frees_.empty() && pending_frees_.back().cluster + pending_frees_.back().count == cluster) {
    pending_frees_.back().count += clusters;
  } else {
    pending_frees_.push_back({cluster, clusters});
  }
}

// Takes back the references that an L2 entry held.
IoStatus Qcow2Image::free_entry(u64 entry) {
  if ((entry & kCompressed) != 0) {
    u64 offset = 0, length = 0;
    compressed_place(entry, offset, length);
    const u64 first = offset - in_cluster(offset);
    const u64 last = (offset + length - 1) - in_cluster(offset + length - 1);
    for (u64 at = first; at <= last; at += cluster_bytes()) free_later(at, 1);
  } else if (const u64 host = entry & kOffsetMask; host != 0) {
    free_later(host, 1);
  }
  return pending_frees_.size() > kMaxPendingFrees ? write_metadata() : IoStatus::Ok;
}

IoStatus Qcow2Image::write_l1_entries() {
  std::vector<u8> raw((l1_dirty_to_ - l1_dirty_from_) * 8);
  for (u64 i = l1_dirty_from_; i < l1_dirty_to_; i++) store_be64(&raw[(i - l1_dirty_from_) * 8], l1_[i]);
  IO_TRY(file_.write_bytes(header_.l1_offset + l1_dirty_from_ * 8, raw));
  l1_dirty_from_ = ~u64{0};
  l1_dirty_to_ = 0;
  return IoStatus::Ok;
}

IoStatus Qcow2Image::apply_pending_frees() {
  std::vector<PendingFree> frees;
  frees.swap(pending_frees_);
  for (const PendingFree& run : frees) {
    for (u64 cluster = run.cluster; cluster < run.cluster + run.count; cluster++) {
      IO_TRY(refcounts_.change(cluster, -1));
      u64 count = 0;
      IO_TRY(refcounts_.get(cluster, count));
      if (count != 0) continue;
      const u64 offset = cluster << header_.cluster_bits;
      cache_.forget(offset, cluster_bytes());
      if (compressed_cursor_ != 0 && compressed_cursor_ - in_cluster(compressed_cursor_) == offset)
        compressed_cursor_ = 0;
      if (options_.discard) (void)file_.punch_hole(offset, cluster_bytes());  // a hint
    }
  }
  return IoStatus::Ok;
}

// The order that keeps the file consistent at any moment:
//   1. counts that rose, and new refcount blocks before the table that points to them
//   2. L2 tables, which refer to data and counted clusters
//   3. L1 entries, which refer to L2 tables
//   4. only now counts fall (on disk with the next step 1) and clusters may be used again
// with a barrier between steps. With lazy refcounts the counts need not be on disk first: the dirty bit is.
IoStatus Qcow2Image::write_metadata() {
  if (!corruption_.empty()) return IoStatus::Error;
  const bool lazy = (header_.incompatible & kDirty) != 0;
  IO_TRY(refcounts_.write_back([this] { return barrier(); }));
  const bool l1_dirty = l1_dirty_from_ < l1_dirty_to_;
  if (cache_.has_dirty(Kind::L2) || l1_dirty) {
    if (!lazy) IO_TRY(barrier());
    IO_TRY(cache_.write_dirty(Kind::L2));
    if (l1_dirty) {
      IO_TRY(barrier());
      IO_TRY(write_l1_entries());
    }
  }
  if (pending_frees_.empty()) return IoStatus::Ok;
  IO_TRY(barrier());
  return apply_pending_frees();
}

// Puts another L1 table in force: written beside the old one, then the header is switched.
IoStatus Qcow2Image::switch_l1(std::vector<u64> l1) {
  IO_TRY(write_metadata());
  const u64 clusters = std::max<u64>(1, align_up(l1.size() * 8, cluster_bytes()) >> header_.cluster_bits);
  u64 offset = 0;
  IO_TRY(refcounts_.allocate(clusters, offset));
  IO_TRY(check_overlap(offset, clusters << header_.cluster_bits, "L1 table"));
  std::vector<u8> raw(clusters << header_.cluster_bits);
  for (std::size_t i = 0; i < l1.size(); i++) store_be64(&raw[i * 8], l1[i]);
  cache_.forget(offset, raw.size());
  IO_TRY(refcounts_.write_back([this] { return barrier(); }));
  IO_TRY(file_.write_bytes(offset, raw));
  IO_TRY(barrier());
  u8 fields[12];
  store_be32(fields, static_cast<u32>(l1.size()));
  store_be64(fields + 4, offset);
  IO_TRY(file_.write_bytes(header_at::kL1Size, fields));
  IO_TRY(barrier());
  const u64 old_clusters =
      std::max<u64>(1, align_up(u64{header_.l1_entries} * 8, cluster_bytes()) >> header_.cluster_bits);
  if (header_.l1_offset != 0) free_later(header_.l1_offset, old_clusters);
  header_.l1_offset = offset;
  header_.l1_entries = static_cast<u32>(l1.size());
  l1_ = std::move(l1);
  l2_tables_.clear();
  for (const u64 entry : l1_) {
    if ((entry & kOffsetMask) != 0) l2_tables_.push_back(entry & kOffsetMask);
  }
  std::sort(l2_tables_.begin(), l2_tables_.end());
  return IoStatus::Ok;
}

IoStatus Qcow2Image::grow_l1(u64 entries) {
  if (entries <= l1_.size()) return IoStatus::Ok;
  if (entries * 8 > kMaxL1Bytes) return IoStatus::NoSpace;
  std::vector<u64> larger = l1_;
  larger.resize(entries);
  return switch_l1(std::move(larger));
}

}  // namespace xm::host
