// SPDX-License-Identifier: GPL-2.0-or-later
// Refcounts: how often each cluster of a qcow2 file is referenced, and the allocator made of it [QCOW2 Host cluster
// management]. The table is kept in memory (at most 8 MiB), blocks go through the metadata cache.
//
// Order of writes (the image calls in this order, see Qcow2Image::write_metadata): counts that rose are on disk before
// anything that refers to the clusters; references are gone from the disk before counts fall. So a crash leaves at
// worst clusters that are counted and not used. Not thread-safe: the image's metadata mutex is held.
#pragma once

#include <functional>
#include <vector>

#include "emu/host/qcow2/header.h"
#include "emu/host/qcow2/metadata_cache.h"

namespace xm::host::qcow2 {

class Refcounts {
 public:
  // `corrupted` is told of contradictions in the file; it returns the status to fail with.
  using Corrupted = std::function<IoStatus(const std::string& what)>;
  Refcounts(const HostFile& file, Header& header, MetadataCache& cache, Corrupted corrupted)
      : file_(file), header_(header), cache_(cache), corrupted_(std::move(corrupted)) {}

  Result<void> load();

  IoStatus get(u64 cluster, u64& count);
  // Adds to the count of one cluster. Falling below zero or above the maximum is corruption.
  IoStatus change(u64 cluster, i64 delta);
  // Sets a count whatever it was (repairs).
  IoStatus set(u64 cluster, u64 count);
  // Finds `clusters` adjacent free clusters and counts them once. `offset` is in the file.
  IoStatus allocate(u64 clusters, u64& offset);
  // As allocate(1), but just behind `after` if that cluster is free (compressed data may span two clusters).
  IoStatus allocate_at(u64 cluster, bool& taken);

  // Step 1 of writing metadata: blocks, then (after `barrier`) table entries that point to new ones.
  IoStatus write_back(const std::function<IoStatus()>& barrier);

  // For overlap checks and `check`.
  const std::vector<u64>& table() const { return table_; }
  bool holds_block(u64 offset) const;
  // For a rebuild: the old table counts nothing any more; encode() fills a block of the new one.
  void forget_table() {
    table_.clear();
    blocks_.clear();
  }
  void encode(u8* slice, u64 index, u64 count) const;
  // [from, to) were just taken with allocate_at: the next search need not look at them.
  void skip(u64 from, u64 to) {
    if (search_from_ == from) search_from_ = to;
  }
  // Clusters from here on have not been counted since the image was opened.
  u64 high_water() const { return high_water_; }
  // Allocation starts looking here; freeing lowers it.
  void hint_free(u64 cluster) { search_from_ = std::min(search_from_, cluster); }

 private:
  IoStatus locate(u64 cluster, bool create, u64& block_offset);
  IoStatus access(u64 cluster, bool create, u8*& slice, u64& slice_offset, u64& index);
  u64 decode(const u8* slice, u64 index) const;
  IoStatus new_block(u64 cluster, u64 table_index);
  IoStatus grow_table(u64 needed_entries);

  const HostFile& file_;
  Header& header_;
  MetadataCache& cache_;
  Corrupted corrupted_;
  std::vector<u64> table_;   // offsets of the blocks; 0: none
  std::vector<u64> blocks_;  // the same, sorted
  u64 table_dirty_from_ = ~u64{0}, table_dirty_to_ = 0;
  u64 search_from_ = 0;
  u64 high_water_ = 0;
  u64 file_end_ = 0;  // when the table was loaded
};

}  // namespace xm::host::qcow2
