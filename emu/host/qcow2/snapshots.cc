// SPDX-License-Identifier: GPL-2.0-or-later
// Internal snapshots [QCOW2 Snapshots]: a copy of the L1 table whose clusters all count once more. Each operation
// writes its new tables beside the old ones and then switches the header, so a crash finds the one or the other.
#include <algorithm>
#include <chrono>

#include "emu/base/exit_status.h"
#include "emu/host/qcow2/qcow2_image.h"

namespace xm::host {

using namespace qcow2;
using Kind = MetadataCache::Kind;

namespace {

constexpr u64 kEntryBytes = 40, kKnownExtraBytes = 24;

Error failed(const HostFile& file, const char* what) {
  return {std::string(what) + ": " + file.path() + ": input/output error", exit_status::kImage};
}

}  // namespace

Result<void> Qcow2Image::load_snapshots() {
  const Error bad{"invalid qcow2 image: " + file_.path() + ": snapshot table is damaged; see `xiaoma img check`",
                  exit_status::kImage};
  u64 at = header_.snapshots_offset;
  const u64 file_size = TRY(file_.size_bytes());
  for (u32 i = 0; i < header_.snapshot_count; i++) {
    std::array<u8, kEntryBytes> raw{};
    if (at >= file_size || at - header_.snapshots_offset > kMaxSnapshotTableBytes) return bad;
    if (file_.read_padded(at, {std::span(raw)}) != IoStatus::Ok) return failed(file_, "cannot read snapshot table");
    StoredSnapshot stored;
    stored.l1_offset = load_be64(&raw[0]);
    stored.l1_entries = load_be32(&raw[8]);
    const u64 id_length = load_be16(&raw[12]), name_length = load_be16(&raw[14]);
    stored.info.date_seconds = load_be32(&raw[16]);
    stored.info.date_nanoseconds = load_be32(&raw[20]);
    stored.info.vm_clock_nanoseconds = load_be64(&raw[24]);
    stored.info.vm_state_bytes = load_be32(&raw[32]);
    const u64 extra_length = load_be32(&raw[36]);
    if (extra_length > kMaxSnapshotExtra || u64{stored.l1_entries} * 8 > kMaxL1Bytes ||
        stored.l1_offset % cluster_bytes() != 0 || stored.l1_offset >= kMaxFileOffset) {
      return bad;
    }
    std::vector<u8> rest(extra_length + id_length + name_length);
    if (file_.read_padded(at + kEntryBytes, {std::span(rest)}) != IoStatus::Ok)
      return failed(file_, "cannot read snapshot table");
    stored.info.disk_bytes = header_.size_bytes;
    if (extra_length >= 8) stored.info.vm_state_bytes = load_be64(&rest[0]);
    if (extra_length >= 16) stored.info.disk_bytes = load_be64(&rest[8]);
    if (extra_length >= 24) stored.info.icount = load_be64(&rest[16]);
    if (extra_length > kKnownExtraBytes) stored.extra.assign(&rest[kKnownExtraBytes], &rest[0] + extra_length);
    stored.info.id.assign(reinterpret_cast<const char*>(rest.data()) + extra_length, id_length);
    stored.info.name.assign(reinterpret_cast<const char*>(rest.data()) + extra_length + id_length, name_length);
    if (stored.info.disk_bytes > bit(63) - 1) return bad;
    stored_.push_back(std::move(stored));
    at = align_up(at + kEntryBytes + rest.size(), 8);
  }
  snapshot_table_bytes_ = header_.snapshot_count == 0 ? 0 : at - header_.snapshots_offset;
  return {};
}

std::vector<SnapshotInfo> Qcow2Image::list() const {
  const std::scoped_lock lock(mutex_);
  std::vector<SnapshotInfo> all;
  for (const StoredSnapshot& stored : stored_) all.push_back(stored.info);
  return all;
}

const Qcow2Image::StoredSnapshot* Qcow2Image::find_stored(const std::string& name) const {
  for (const StoredSnapshot& stored : stored_) {
    if (stored.info.id == name) return &stored;
  }
  for (const StoredSnapshot& stored : stored_) {
    if (stored.info.name == name) return &stored;
  }
  return nullptr;
}

// Adds `delta` to the count of every cluster that the tables below an L1 table refer to; with 0 only looks whether one
// more reference can be counted.
IoStatus Qcow2Image::count_tree(const std::vector<u64>& l1, i64 delta) {
  const auto count = [&](u64 offset) {
    const u64 cluster = offset >> header_.cluster_bits;
    if (delta != 0) return refcounts_.change(cluster, delta);
    u64 now = 0;
    IO_TRY(refcounts_.get(cluster, now));
    return now < header_.max_refcount() ? IoStatus::Ok : IoStatus::Unsupported;
  };
  for (std::size_t i = 0; i < l1.size(); i++) {
    u64 table = 0;
    IO_TRY(l2_table(l1, i, table));
    if (table == 0) continue;
    for (u64 index = 0; index < header_.l2_entries(); index++) {
      u64 entry = 0, bitmap = 0;
      IO_TRY(l2_entry_of(l1, i * header_.l2_coverage() + (index << header_.cluster_bits), entry, bitmap));
      if ((entry & kCompressed) != 0) {
        u64 offset = 0, length = 0;
        compressed_place(entry, offset, length);
        const u64 last = align_down(offset + length - 1, cluster_bytes());
        for (u64 at = align_down(offset, cluster_bytes()); at <= last; at += cluster_bytes()) IO_TRY(count(at));
      } else if ((entry & kOffsetMask) != 0) {
        IO_TRY(count(entry & kOffsetMask));
      }
    }
    IO_TRY(count(table));
  }
  return IoStatus::Ok;
}

// Makes the COPIED flags of the active tables say which clusters are counted exactly once.
IoStatus Qcow2Image::refresh_copied_flags() {
  for (std::size_t i = 0; i < l1_.size(); i++) {
    u64 table = 0, count = 0;
    IO_TRY(l2_table(l1_, i, table));
    if (table == 0) continue;
    for (u64 index = 0; index < header_.l2_entries(); index++) {
      const u64 at = table + index * header_.l2_entry_bytes();
      u8* slice = nullptr;
      IO_TRY(cache_.get(at, Kind::L2, slice));
      const u64 entry = load_be64(slice + at % cache_.slice_bytes());
      if ((entry & kCompressed) != 0 || (entry & kOffsetMask) == 0) continue;
      IO_TRY(refcounts_.get((entry & kOffsetMask) >> header_.cluster_bits, count));
      const u64 wanted = count == 1 ? entry | kCopied : entry & ~kCopied;
      if (wanted == entry) continue;
      IO_TRY(cache_.get(at, Kind::L2, slice));
      store_be64(slice + at % cache_.slice_bytes(), wanted);
      cache_.mark_dirty(at);
    }
    IO_TRY(refcounts_.get(table >> header_.cluster_bits, count));
    const u64 wanted = count == 1 ? l1_[i] | kCopied : l1_[i] & ~kCopied;
    if (wanted == l1_[i]) continue;
    l1_[i] = wanted;
    l1_dirty_from_ = std::min<u64>(l1_dirty_from_, i);
    l1_dirty_to_ = std::max<u64>(l1_dirty_to_, i + 1);
  }
  return IoStatus::Ok;
}

IoStatus Qcow2Image::write_snapshot_table(const std::vector<StoredSnapshot>& all) {
  std::vector<u8> raw;
  for (const StoredSnapshot& stored : all) {
    std::array<u8, kEntryBytes + kKnownExtraBytes> head{};
    const SnapshotInfo& info = stored.info;
    store_be64(&head[0], stored.l1_offset);
    store_be32(&head[8], stored.l1_entries);
    store_be16(&head[12], static_cast<u16>(info.id.size()));
    store_be16(&head[14], static_cast<u16>(info.name.size()));
    store_be32(&head[16], info.date_seconds);
    store_be32(&head[20], info.date_nanoseconds);
    store_be64(&head[24], info.vm_clock_nanoseconds);
    store_be32(&head[32], info.vm_state_bytes > ~u32{0} ? 0 : static_cast<u32>(info.vm_state_bytes));
    store_be32(&head[36], static_cast<u32>(kKnownExtraBytes + stored.extra.size()));
    store_be64(&head[40], info.vm_state_bytes);
    store_be64(&head[48], info.disk_bytes);
    store_be64(&head[56], info.icount);
    raw.insert(raw.end(), head.begin(), head.end());
    raw.insert(raw.end(), stored.extra.begin(), stored.extra.end());
    raw.insert(raw.end(), info.id.begin(), info.id.end());
    raw.insert(raw.end(), info.name.begin(), info.name.end());
    raw.resize(align_up(raw.size(), 8));
  }
  if (raw.size() > kMaxSnapshotTableBytes || all.size() > kMaxSnapshots) return IoStatus::NoSpace;
  u64 offset = 0;
  const u64 bytes = raw.size();
  if (!raw.empty()) {
    raw.resize(align_up(raw.size(), cluster_bytes()));
    IO_TRY(refcounts_.allocate(raw.size() >> header_.cluster_bits, offset));
    IO_TRY(check_overlap(offset, raw.size(), "snapshot table"));
    cache_.forget(offset, raw.size());
    IO_TRY(file_.write_bytes(offset, raw));
  }
  IO_TRY(write_metadata());
  IO_TRY(barrier());
  u8 fields[12];
  store_be32(fields, static_cast<u32>(all.size()));
  store_be64(fields + 4, offset);
  IO_TRY(file_.write_bytes(header_at::kSnapshotCount, fields));
  IO_TRY(barrier());
  if (snapshot_table_bytes_ != 0) {
    free_later(header_.snapshots_offset, align_up(snapshot_table_bytes_, cluster_bytes()) >> header_.cluster_bits);
  }
  header_.snapshot_count = static_cast<u32>(all.size());
  header_.snapshots_offset = offset;
  snapshot_table_bytes_ = bytes;
  return IoStatus::Ok;
}

// The vm state of the running machine lies behind the end of the disk; once a snapshot has it, the disk has not.
IoStatus Qcow2Image::forget_vm_state() {
  const u64 first = header_.l1_entries_for(header_.size_bytes);
  for (u64 i = first; i < l1_.size(); i++) {
    u64 table = 0;
    IO_TRY(l2_table(l1_, i, table));
    for (u64 index = 0; table != 0 && index < header_.l2_entries(); index++) {
      const u64 guest = i * header_.l2_coverage() + (index << header_.cluster_bits);
      u64 entry = 0, bitmap = 0;
      IO_TRY(l2_entry_of(l1_, guest, entry, bitmap));
      if (entry == 0) continue;
      IO_TRY(set_l2_entry(guest, 0));
      IO_TRY(free_entry(entry));
    }
  }
  return write_metadata();
}

Result<void> Qcow2Image::write_vm_state(u64 offset, std::span<const u8> bytes) {
  if (options_.read_only) return Error{"image is read-only: " + file_.path()};
  const u64 start = vm_state_start() + offset;
  {
    const RangeLock::Guard guard(ranges_, 0, ~u64{0}, true);
    const std::scoped_lock lock(mutex_);
    if (begin_change() != IoStatus::Ok || grow_l1(header_.l1_entries_for(start + bytes.size())) != IoStatus::Ok)
      return failed(file_, "cannot make room for the machine's state");
  }
  for (u64 done = 0; done < bytes.size();) {
    const u64 size = std::min<u64>(bytes.size() - done, 1 << 20);
    const std::span<u8> part(const_cast<u8*>(bytes.data()) + done, size);
    if (const IoStatus status = write_chunk(start + done, {part}); status != IoStatus::Ok) {
      return Error{"cannot write the machine's state: " + file_.path() + ": " + io_status_text(status),
                   exit_status::kImage};
    }
    done += size;
  }
  return {};
}

Result<void> Qcow2Image::create(SnapshotInfo info) {
  if (options_.read_only) return Error{"image is read-only: " + file_.path()};
  const RangeLock::Guard guard(ranges_, 0, ~u64{0}, true);
  const std::scoped_lock lock(mutex_);
  if (info.name.size() > 255 || info.id.size() > 127) return Error{"snapshot name is too long: " + info.name};
  if (stored_.size() >= kMaxSnapshots) return Error{"too many snapshots: " + file_.path()};
  if (info.id.empty()) {
    u64 highest = 0;
    for (const StoredSnapshot& stored : stored_)
      highest = std::max<u64>(highest, std::strtoull(stored.info.id.c_str(), nullptr, 10));
    info.id = std::to_string(highest + 1);
  }
  if (info.date_seconds == 0) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    info.date_seconds = static_cast<u32>(std::chrono::duration_cast<std::chrono::seconds>(now).count());
    info.date_nanoseconds = static_cast<u32>(now.count() % 1'000'000'000);
  }
  info.disk_bytes = header_.size_bytes;
  if (begin_change() != IoStatus::Ok || write_metadata() != IoStatus::Ok) return failed(file_, "cannot write metadata");
  if (const IoStatus status = count_tree(l1_, 0); status != IoStatus::Ok) {
    if (status == IoStatus::Unsupported)
      return Error{"too many references to one cluster for a snapshot: " + file_.path() +
                   "; use wider refcounts (refcount_bits)"};
    return failed(file_, "cannot read tables");
  }
  StoredSnapshot stored{.info = info, .l1_entries = static_cast<u32>(l1_.size())};
  const u64 clusters = std::max<u64>(1, align_up(l1_.size() * 8, cluster_bytes()) >> header_.cluster_bits);
  std::vector<u8> copy(clusters << header_.cluster_bits);
  for (std::size_t i = 0; i < l1_.size(); i++) store_be64(&copy[i * 8], l1_[i] & ~kCopied);
  if (count_tree(l1_, 1) != IoStatus::Ok || refcounts_.allocate(clusters, stored.l1_offset) != IoStatus::Ok ||
      check_overlap(stored.l1_offset, copy.size(), "snapshot") != IoStatus::Ok)
    return failed(file_, "cannot take a snapshot");
  cache_.forget(stored.l1_offset, copy.size());
  if (file_.write_bytes(stored.l1_offset, copy) != IoStatus::Ok || refresh_copied_flags() != IoStatus::Ok ||
      write_metadata() != IoStatus::Ok)
    return failed(file_, "cannot take a snapshot");
  std::vector<StoredSnapshot> all = stored_;
  all.push_back(std::move(stored));
  if (write_snapshot_table(all) != IoStatus::Ok) return failed(file_, "cannot write snapshot table");
  stored_ = std::move(all);
  if (forget_vm_state() != IoStatus::Ok || write_metadata() != IoStatus::Ok || barrier() != IoStatus::Ok)
    return failed(file_, "cannot write metadata");
  return {};
}

Result<void> Qcow2Image::apply(const std::string& name) {
  if (options_.read_only) return Error{"image is read-only: " + file_.path()};
  const RangeLock::Guard guard(ranges_, 0, ~u64{0}, true);
  const std::scoped_lock lock(mutex_);
  const StoredSnapshot* stored = find_stored(name);
  if (stored == nullptr) return Error{"no such snapshot '" + name + "': " + file_.path()};
  std::vector<u64> l1 = TRY(read_l1(stored->l1_offset, stored->l1_entries));
  const u64 size = stored->info.disk_bytes;
  l1.resize(std::max<u64>(l1.size(), header_.l1_entries_for(size)));
  for (u64& entry : l1) entry &= ~kCopied;
  if (begin_change() != IoStatus::Ok || write_metadata() != IoStatus::Ok) return failed(file_, "cannot write metadata");
  const std::vector<u64> before = l1_;
  if (count_tree(l1, 0) != IoStatus::Ok || count_tree(l1, 1) != IoStatus::Ok)
    return failed(file_, "cannot apply snapshot");
  // A larger table must be in force before the size that needs it, a smaller one after.
  const auto set_size = [&] {
    u8 field[8];
    store_be64(field, size);
    IO_TRY(file_.write_bytes(header_at::kSize, field));
    header_.size_bytes = size;
    return barrier();
  };
  if (size < header_.size_bytes && set_size() != IoStatus::Ok) return failed(file_, "cannot write header");
  if (switch_l1(std::move(l1)) != IoStatus::Ok) return failed(file_, "cannot write L1 table");
  if (size > header_.size_bytes && set_size() != IoStatus::Ok) return failed(file_, "cannot write header");
  if (count_tree(before, -1) != IoStatus::Ok || refresh_copied_flags() != IoStatus::Ok ||
      write_metadata() != IoStatus::Ok || forget_vm_state() != IoStatus::Ok || barrier() != IoStatus::Ok)
    return failed(file_, "cannot write metadata");
  const std::scoped_lock cache_lock(decompressed_mutex_);
  decompressed_entry_ = 0;
  compressed_cursor_ = 0;
  return {};
}

Result<void> Qcow2Image::remove(const std::string& name) {
  if (options_.read_only) return Error{"image is read-only: " + file_.path()};
  const RangeLock::Guard guard(ranges_, 0, ~u64{0}, true);
  const std::scoped_lock lock(mutex_);
  const StoredSnapshot* found = find_stored(name);
  if (found == nullptr) return Error{"no such snapshot '" + name + "': " + file_.path()};
  const StoredSnapshot gone = *found;
  const std::vector<u64> l1 = TRY(read_l1(gone.l1_offset, gone.l1_entries));
  std::vector<StoredSnapshot> rest = stored_;
  rest.erase(rest.begin() + (found - stored_.data()));
  if (begin_change() != IoStatus::Ok || write_snapshot_table(rest) != IoStatus::Ok)
    return failed(file_, "cannot write snapshot table");
  stored_ = std::move(rest);
  const u64 clusters = std::max<u64>(1, align_up(u64{gone.l1_entries} * 8, cluster_bytes()) >> header_.cluster_bits);
  free_later(gone.l1_offset, clusters);
  if (count_tree(l1, -1) != IoStatus::Ok || refresh_copied_flags() != IoStatus::Ok ||
      write_metadata() != IoStatus::Ok || write_metadata() != IoStatus::Ok || barrier() != IoStatus::Ok)
    return failed(file_, "cannot write metadata");
  return {};
}

Result<void> Qcow2Image::show_snapshot(const std::string& name) {
  const RangeLock::Guard guard(ranges_, 0, ~u64{0}, true);
  const std::scoped_lock lock(mutex_);
  const StoredSnapshot* stored = find_stored(name);
  if (stored == nullptr) return Error{"no such snapshot '" + name + "': " + file_.path()};
  l1_ = TRY(read_l1(stored->l1_offset, stored->l1_entries));
  header_.size_bytes = stored->info.disk_bytes;
  return {};
}

Result<void> Qcow2Image::read_vm_state(const std::string& name, u64 offset, std::span<u8> to) {
  std::vector<u64> l1;
  u64 start = 0;
  {
    const std::scoped_lock lock(mutex_);
    const StoredSnapshot* stored = find_stored(name);
    if (stored == nullptr) return Error{"no such snapshot '" + name + "': " + file_.path()};
    if (offset > stored->info.vm_state_bytes || to.size() > stored->info.vm_state_bytes - offset)
      return Error{"machine state is shorter than asked for: snapshot '" + name + "': " + file_.path(),
                   exit_status::kImage};
    l1 = TRY(read_l1(stored->l1_offset, stored->l1_entries));
    start = header_.l1_entries_for(stored->info.disk_bytes) * header_.l2_coverage();
  }
  const RangeLock::Guard guard(ranges_, 0, ~u64{0}, false);
  if (read_unlocked(l1, start + offset, {to}) != IoStatus::Ok) return failed(file_, "cannot read the machine's state");
  return {};
}

}  // namespace xm::host
