// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/qcow2/refcounts.h"

#include <algorithm>

#include "emu/base/exit_status.h"

namespace xm::host::qcow2 {

using Kind = MetadataCache::Kind;

Result<void> Refcounts::load() {
  const u64 bytes = u64{header_.refcount_table_clusters} << header_.cluster_bits;
  std::vector<u8> raw(bytes);
  if (file_.read_padded(header_.refcount_table_offset, {std::span(raw)}) != IoStatus::Ok) {
    return Error{"cannot read refcount table: " + file_.path() + ": input/output error", exit_status::kImage};
  }
  table_.resize(bytes / 8);
  blocks_.clear();
  for (std::size_t i = 0; i < table_.size(); i++) {
    table_[i] = load_be64(&raw[i * 8]);
    if ((table_[i] & ~kRefcountTableReserved) != 0) blocks_.push_back(table_[i] & ~kRefcountTableReserved);
  }
  std::sort(blocks_.begin(), blocks_.end());
  search_from_ = 0;
  file_end_ = TRY(file_.size_bytes());
  return {};
}

bool Refcounts::holds_block(u64 offset) const { return std::binary_search(blocks_.begin(), blocks_.end(), offset); }

u64 Refcounts::decode(const u8* slice, u64 index) const {
  switch (header_.refcount_order) {
    case 3: return slice[index];
    case 4: return load_be16(slice + index * 2);
    case 5: return load_be32(slice + index * 4);
    case 6: return load_be64(slice + index * 8);
    default: {
      // Narrower than a byte: the first count is in the lowest bits.
      const u64 at_bit = index << header_.refcount_order;
      return (slice[at_bit / 8] >> (at_bit % 8)) & header_.max_refcount();
    }
  }
}

void Refcounts::encode(u8* slice, u64 index, u64 count) const {
  switch (header_.refcount_order) {
    case 3: slice[index] = static_cast<u8>(count); break;
    case 4: store_be16(slice + index * 2, static_cast<u16>(count)); break;
    case 5: store_be32(slice + index * 4, static_cast<u32>(count)); break;
    case 6: store_be64(slice + index * 8, count); break;
    default: {
      const u64 at_bit = index << header_.refcount_order;
      u8& byte = slice[at_bit / 8];
      const u64 mask = header_.max_refcount() << (at_bit % 8);
      byte = static_cast<u8>((byte & ~mask) | (count << (at_bit % 8)));
    }
  }
}

// Where in the file the count of a cluster stands, at the granularity of slices; 0 if there is no block for it.
IoStatus Refcounts::locate(u64 cluster, bool create, u64& block_offset) {
  const u64 index = cluster / header_.refcounts_per_block();
  block_offset = 0;
  if (index >= table_.size()) {
    if (!create) return IoStatus::Ok;
    if (cluster >= kMaxFileOffset >> header_.cluster_bits) return IoStatus::NoSpace;
    IO_TRY(grow_table(index + 1));
  }
  u64 entry = table_[index];
  if (entry == 0) {
    if (!create) return IoStatus::Ok;
    IO_TRY(new_block(cluster, index));
    entry = table_[index];
  }
  if ((entry & kRefcountTableReserved) != 0 || entry % header_.cluster_bytes() != 0 || entry >= kMaxFileOffset) {
    return corrupted_("refcount block " + std::to_string(index) + " is not aligned");
  }
  if (entry >= std::max(file_end_, high_water_ << header_.cluster_bits)) {
    return corrupted_("refcount block " + std::to_string(index) + " lies beyond the end of the file");
  }
  block_offset = entry;
  return IoStatus::Ok;
}

IoStatus Refcounts::access(u64 cluster, bool create, u8*& slice, u64& slice_offset, u64& index) {
  u64 block = 0;
  slice = nullptr;
  IO_TRY(locate(cluster, create, block));
  if (block == 0) return IoStatus::Ok;
  const u64 per_slice = (cache_.slice_bytes() * 8) >> header_.refcount_order;
  const u64 in_block = cluster % header_.refcounts_per_block();
  slice_offset = block + in_block / per_slice * cache_.slice_bytes();
  index = in_block % per_slice;
  return cache_.get(slice_offset, Kind::Refcount, slice);
}

IoStatus Refcounts::get(u64 cluster, u64& count) {
  u8* slice = nullptr;
  u64 offset = 0, index = 0;
  IO_TRY(access(cluster, false, slice, offset, index));
  count = slice == nullptr ? 0 : decode(slice, index);
  return IoStatus::Ok;
}

IoStatus Refcounts::set(u64 cluster, u64 count) {
  u8* slice = nullptr;
  u64 offset = 0, index = 0;
  IO_TRY(access(cluster, true, slice, offset, index));
  encode(slice, index, count);
  cache_.mark_dirty(offset);
  if (count == 0)
    hint_free(cluster);
  else
    high_water_ = std::max(high_water_, cluster + 1);
  return IoStatus::Ok;
}

IoStatus Refcounts::change(u64 cluster, i64 delta) {
  u64 count = 0;
  IO_TRY(get(cluster, count));
  if (delta < 0 && count < static_cast<u64>(-delta)) {
    return corrupted_("refcount of cluster " + std::to_string(cluster) + " would fall below zero");
  }
  if (delta > 0 && static_cast<u64>(delta) > header_.max_refcount() - count) return IoStatus::NoSpace;
  return set(cluster, count + static_cast<u64>(delta));
}

// A block for a range of clusters none of which has been counted: it takes the cluster that was asked for itself.
IoStatus Refcounts::new_block(u64 cluster, u64 table_index) {
  const u64 offset = cluster << header_.cluster_bits;
  if (offset == 0) return corrupted_("the header's cluster is not counted");
  std::vector<u8> block(header_.cluster_bytes());
  encode(block.data(), cluster % header_.refcounts_per_block(), 1);
  cache_.forget(offset, block.size());
  IO_TRY(file_.write_bytes(offset, block));
  table_[table_index] = offset;
  high_water_ = std::max(high_water_, cluster + 1);
  blocks_.insert(std::upper_bound(blocks_.begin(), blocks_.end(), offset), offset);
  table_dirty_from_ = std::min(table_dirty_from_, table_index);
  table_dirty_to_ = std::max(table_dirty_to_, table_index + 1);
  return IoStatus::Ok;
}

// Moves the table to the first clusters that the old one could not count, together with the blocks that count it:
//   [new table][blocks for the new area] ... and the header is switched when both are on disk.
IoStatus Refcounts::grow_table(u64 needed_entries) {
  const u64 per_block = header_.refcounts_per_block();
  const u64 area = table_.size() * per_block;  // first cluster of the area, at the start of a block's range
  if (needed_entries * 8 > kMaxRefcountTableBytes) return IoStatus::NoSpace;
  u64 entries = align_up(std::max(needed_entries, table_.size() * 3 / 2) * 8, header_.cluster_bytes()) / 8;
  entries = std::min(entries, kMaxRefcountTableBytes / 8);
  u64 table_clusters = 0, block_count = 1;
  for (;;) {
    table_clusters = entries * 8 >> header_.cluster_bits;
    while (block_count * per_block < table_clusters + block_count) block_count++;
    if (table_.size() + block_count <= entries) break;
    entries += header_.cluster_bytes() / 8;
    if (entries * 8 > kMaxRefcountTableBytes) return IoStatus::NoSpace;
  }
  if ((area + table_clusters + block_count) << header_.cluster_bits > kMaxFileOffset) return IoStatus::NoSpace;

  std::vector<u64> table = table_;
  table.resize(entries);
  for (u64 i = 0; i < block_count; i++) {
    table[table_.size() + i] = (area + table_clusters + i) << header_.cluster_bits;
    std::vector<u8> block(header_.cluster_bytes());
    const u64 counted =
        std::min(per_block, table_clusters + block_count - std::min(table_clusters + block_count, i * per_block));
    for (u64 index = 0; index < counted; index++) encode(block.data(), index, 1);
    IO_TRY(file_.write_bytes(table[table_.size() + i], block));
  }
  std::vector<u8> raw(entries * 8);
  for (u64 i = 0; i < entries; i++) store_be64(&raw[i * 8], table[i]);
  const u64 old_offset = header_.refcount_table_offset;
  const u64 old_clusters = header_.refcount_table_clusters;
  // Blocks the table points to must not be younger on disk than the table.
  IO_TRY(cache_.write_dirty(Kind::Refcount));
  cache_.forget(area << header_.cluster_bits, (table_clusters + block_count) << header_.cluster_bits);
  IO_TRY(file_.write_bytes(area << header_.cluster_bits, raw));
  IO_TRY(file_.flush());
  u8 fields[12];
  store_be64(fields, area << header_.cluster_bits);
  store_be32(fields + 8, static_cast<u32>(table_clusters));
  IO_TRY(file_.write_bytes(header_at::kRefcountTable, fields));
  IO_TRY(file_.flush());
  header_.refcount_table_offset = area << header_.cluster_bits;
  header_.refcount_table_clusters = static_cast<u32>(table_clusters);
  for (u64 i = 0; i < block_count; i++) {
    const u64 block = table[table_.size() + i];
    blocks_.insert(std::upper_bound(blocks_.begin(), blocks_.end(), block), block);
  }
  table_ = std::move(table);
  high_water_ = std::max(high_water_, area + table_clusters + block_count);
  table_dirty_from_ = ~u64{0};
  table_dirty_to_ = 0;
  for (u64 i = 0; i < old_clusters; i++) IO_TRY(change((old_offset >> header_.cluster_bits) + i, -1));
  return IoStatus::Ok;
}

IoStatus Refcounts::allocate(u64 clusters, u64& offset) {
  u64 start = search_from_;
  u64 length = 0;
  while (length < clusters) {
    const u64 cluster = start + length;
    if (cluster >= kMaxFileOffset >> header_.cluster_bits) return IoStatus::NoSpace;
    u64 block = 0;
    const u64 blocks_before = blocks_.size();
    IO_TRY(locate(cluster, true, block));
    // Making the block (or a larger table) took clusters, perhaps of the run; look at it again.
    if (blocks_.size() != blocks_before) {
      length = 0;
      continue;
    }
    u64 count = 0;
    IO_TRY(get(cluster, count));
    if (count == 0 && cluster != 0) {
      length++;
    } else {
      start = cluster + 1;
      length = 0;
    }
  }
  for (u64 i = 0; i < clusters; i++) IO_TRY(set(start + i, 1));
  if (clusters == 1 || start == search_from_) search_from_ = start + clusters;
  offset = start << header_.cluster_bits;
  return IoStatus::Ok;
}

IoStatus Refcounts::allocate_at(u64 cluster, bool& taken) {
  u64 block = 0, count = 0;
  IO_TRY(locate(cluster, true, block));
  IO_TRY(get(cluster, count));
  taken = count == 0;
  return taken ? set(cluster, 1) : IoStatus::Ok;
}

IoStatus Refcounts::write_back(const std::function<IoStatus()>& barrier) {
  IO_TRY(cache_.write_dirty(Kind::Refcount));
  if (table_dirty_to_ <= table_dirty_from_) return IoStatus::Ok;
  IO_TRY(barrier());
  std::vector<u8> raw((table_dirty_to_ - table_dirty_from_) * 8);
  for (u64 i = table_dirty_from_; i < table_dirty_to_; i++) store_be64(&raw[(i - table_dirty_from_) * 8], table_[i]);
  IO_TRY(file_.write_bytes(header_.refcount_table_offset + table_dirty_from_ * 8, raw));
  table_dirty_from_ = ~u64{0};
  table_dirty_to_ = 0;
  return IoStatus::Ok;
}

}  // namespace xm::host::qcow2
