// SPDX-License-Identifier: GPL-2.0-or-later
// Qcow2Image: a disk in a qcow2 file, version 2 or 3 [QCOW2]: L1 and L2 tables that map guest clusters to clusters of
// the file, refcounts, backing file, zero and compressed clusters, internal snapshots.
//
// Threads: any number at once. `ranges_` keeps requests apart that would disturb each other: reads and writes in place
// hold their range shared, whatever changes the mapping holds it exclusively. `mutex_` guards tables, refcounts and
// caches; data is transferred without it.
//
// What is on disk is consistent at any moment (see write_metadata): a crash loses what was not flushed and leaves at
// worst clusters that are counted and not used.
//
// GAP: images with extended L2 entries (subclusters) can be read, not written. External data files and encryption are
// refused. Bitmaps are kept but marked as no longer valid when the image is written.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <vector>

#include "emu/host/block_image.h"
#include "emu/host/image_snapshots.h"
#include "emu/host/qcow2/header.h"
#include "emu/host/qcow2/metadata_cache.h"
#include "emu/host/qcow2/refcounts.h"
#include "emu/host/range_lock.h"

namespace xm::host {

struct Qcow2Options {
  bool read_only = false;
  bool write_through = false;  // every write is flushed before it is done
  bool no_flush = false;       // cache=unsafe
  bool discard = false;        // give freed clusters back to the host's file system
  bool ignore_dirty = false;   // open a dirty image without repairing its refcounts (for `check`)
};

class Qcow2Image final : public BlockImage, private ImageSnapshots {
 public:
  // `backing` may be null even if the header names a backing file: then unallocated clusters read as zeroes.
  static Result<std::unique_ptr<Qcow2Image>> open(HostFile file, const Qcow2Options& options,
                                                  std::unique_ptr<BlockImage> backing);
  ~Qcow2Image() override;

  std::string description() const override { return file_.path(); }
  std::string_view format() const override { return "qcow2"; }
  u64 size_bytes() const override { return header_.size_bytes; }
  bool read_only() const override { return options_.read_only; }
  IoStatus read(u64 offset, const IoBuffers& to) override;
  IoStatus write(u64 offset, const IoBuffers& from) override;
  IoStatus flush() override;
  IoStatus discard(u64 offset, u64 length) override;
  IoStatus write_zeroes(u64 offset, u64 length, bool may_unmap) override;
  Result<Extent> extent(u64 offset, u64 length) override;
  BlockImage* backing() override { return backing_.get(); }
  Result<void> resize(u64 size_bytes) override;
  ImageSnapshots* snapshots() override { return this; }
  IoStatus write_compressed(u64 offset, std::span<const u8> cluster) override;
  IoStatus forget(u64 offset, u64 length) override;

  const qcow2::Header& header() const { return header_; }
  const HostFile& file() const { return file_; }
  // Makes the image refer to another backing file (rebase); its contents are the caller's business.
  Result<void> set_backing(const std::string& name, const std::string& format);
  // Switches lazy refcounts, version and so on (img amend).
  Result<void> set_compatible(u64 compatible);
  // Maps every guest cluster to storage without writing data (preallocation=metadata); for fresh images. The file is
  // as long as the data will be.
  Result<void> allocate_everything();
  // Makes reads deliver a snapshot instead of the disk; for images opened read-only.
  Result<void> show_snapshot(const std::string& name);
  // What to print when requests fail because the image is damaged; empty if it is not.
  std::string corruption() const;

 private:
  friend class Qcow2Checker;
  enum class State : u8 { Unallocated, Zero, ZeroAllocated, Data, Compressed };
  // One guest cluster (or subcluster run), or a run of them that continues in the file.
  struct Mapping {
    State state = State::Unallocated;
    u64 host = 0;    // of the byte that was asked for; Data and ZeroAllocated
    u64 entry = 0;   // L2 entry of the first cluster
    u64 length = 0;  // bytes of the same kind from there
    bool copied = false;
  };
  // Frees that wait until no reference to the clusters is on disk.
  struct PendingFree {
    u64 cluster;
    u64 count;
  };

  Qcow2Image(HostFile file, const Qcow2Options& options, std::unique_ptr<BlockImage> backing, qcow2::Header header);

  // open.cc
  Result<void> load();
  Result<void> load_l1();
  Result<void> load_snapshots();
  Result<void> prepare_writing();
  Result<std::vector<u64>> read_l1(u64 offset, u64 entries);

  // map.cc: all with mutex_ held
  u64 cluster_bytes() const { return header_.cluster_bytes(); }
  u64 in_cluster(u64 offset) const { return offset & (cluster_bytes() - 1); }
  IoStatus corrupted(const std::string& what);
  IoStatus barrier() { return options_.no_flush ? IoStatus::Ok : file_.flush(); }
  IoStatus l2_table(const std::vector<u64>& l1, u64 l1_index, u64& table);
  IoStatus l2_entry_of(const std::vector<u64>& l1, u64 guest, u64& entry, u64& bitmap);
  IoStatus lookup(const std::vector<u64>& l1, u64 guest, u64 length, Mapping& mapping);
  IoStatus decode_entry(u64 guest, u64 entry, u64 bitmap, Mapping& mapping);
  IoStatus own_l2_table(u64 guest, u64& table);
  IoStatus set_l2_entry(u64 guest, u64 entry);
  IoStatus check_overlap(u64 offset, u64 length, const char* what);
  IoStatus free_entry(u64 entry);
  void free_later(u64 offset, u64 bytes);
  IoStatus begin_change();
  IoStatus write_metadata();
  IoStatus write_l1_entries();
  IoStatus apply_pending_frees();
  void compressed_place(u64 entry, u64& offset, u64& length) const;
  IoStatus grow_l1(u64 entries);
  IoStatus switch_l1(std::vector<u64> l1);
  IoStatus write_header();

  // io.cc
  IoStatus read_mapped(const Mapping& mapping, u64 guest, const IoBuffers& to);
  IoStatus read_unlocked(const std::vector<u64>& l1, u64 guest, const IoBuffers& to);
  IoStatus read_compressed(u64 entry, u64 skip, const IoBuffers& to);
  IoStatus read_backing(u64 guest, const IoBuffers& to);
  IoStatus write_chunk(u64 guest, const IoBuffers& from);
  bool in_place(u64 guest, u64 length, u64& host, u64& run, IoStatus& status);
  IoStatus write_allocating(u64 guest, const IoBuffers& from);
  IoStatus write_new(u64 guest, const IoBuffers& from, u64 host, bool fresh, const std::vector<u64>& old_entries);
  IoStatus zero_clusters(u64 begin, u64 end, bool keep_allocation, bool discarding);
  IoStatus after_write() { return options_.write_through ? flush() : IoStatus::Ok; }

  // snapshots.cc
  struct StoredSnapshot {
    SnapshotInfo info;
    u64 l1_offset = 0;
    u32 l1_entries = 0;
    std::vector<u8> extra;  // beyond what we know
  };
  std::vector<SnapshotInfo> list() const override;
  Result<void> write_vm_state(u64 offset, std::span<const u8> bytes) override;
  Result<void> create(SnapshotInfo info) override;
  Result<void> apply(const std::string& name) override;
  Result<void> remove(const std::string& name) override;
  Result<void> read_vm_state(const std::string& name, u64 offset, std::span<u8> to) override;
  const StoredSnapshot* find_stored(const std::string& name) const;
  IoStatus count_tree(const std::vector<u64>& l1, i64 delta);
  IoStatus refresh_copied_flags();
  IoStatus write_snapshot_table(const std::vector<StoredSnapshot>& all);
  IoStatus forget_vm_state();
  u64 vm_state_start() const { return header_.l1_entries_for(header_.size_bytes) * header_.l2_coverage(); }

  HostFile file_;
  Qcow2Options options_;
  std::unique_ptr<BlockImage> backing_;
  qcow2::Header header_;

  RangeLock ranges_;
  mutable std::mutex mutex_;
  qcow2::MetadataCache cache_;
  qcow2::Refcounts refcounts_;
  std::vector<u64> l1_;
  std::vector<u64> l2_tables_;                     // sorted offsets of the tables L1 points to
  u64 l1_dirty_from_ = ~u64{0}, l1_dirty_to_ = 0;  // entries that differ from the disk
  std::vector<PendingFree> pending_frees_;
  std::vector<StoredSnapshot> stored_;
  u64 snapshot_table_bytes_ = 0;
  u64 file_end_ = 0;           // clusters from here on have never been written: they read as zeroes
  u64 compressed_cursor_ = 0;  // where the next compressed cluster goes; 0: in a new cluster
  bool writing_ = false;       // dirty bit or autoclear bits have been dealt with
  std::string corruption_;
  // The cluster decompressed last.
  std::mutex decompressed_mutex_;
  u64 decompressed_entry_ = 0;
  std::vector<u8> decompressed_;
};

}  // namespace xm::host
