// SPDX-License-Identifier: GPL-2.0-or-later
// Requests: reading through all layers, writing in place or to new clusters, zeroes, discard, compressed clusters.
#include <algorithm>
#include <cstring>

#include "emu/base/exit_status.h"
#include "emu/host/qcow2/compression.h"
#include "emu/host/qcow2/qcow2_image.h"

namespace xm::host {

using namespace qcow2;

namespace {

// A write goes out in pieces of at most this much, so that ranges are not held for long.
constexpr u64 kMaxChunk = 2 << 20;

}  // namespace

IoStatus Qcow2Image::read(u64 offset, const IoBuffers& to) {
  const u64 length = devices::total_bytes(to);
  if (length == 0) return IoStatus::Ok;
  const RangeLock::Guard guard(ranges_, align_down(offset, cluster_bytes()), align_up(offset + length, cluster_bytes()),
                               false);
  return read_unlocked(l1_, offset, to);
}

IoStatus Qcow2Image::read_unlocked(const std::vector<u64>& l1, u64 guest, const IoBuffers& to) {
  const u64 length = devices::total_bytes(to);
  for (u64 done = 0; done < length;) {
    Mapping mapping;
    {
      const std::scoped_lock lock(mutex_);
      IO_TRY(lookup(l1, guest + done, length - done, mapping));
    }
    const bool whole = done == 0 && mapping.length == length;
    IO_TRY(read_mapped(mapping, guest + done, whole ? to : slice_buffers(to, done, mapping.length)));
    done += mapping.length;
  }
  return IoStatus::Ok;
}

IoStatus Qcow2Image::read_mapped(const Mapping& mapping, u64 guest, const IoBuffers& to) {
  switch (mapping.state) {
    case State::Unallocated: return read_backing(guest, to);
    case State::Zero:
    case State::ZeroAllocated: fill_zero(to); return IoStatus::Ok;
    case State::Data: return file_.read_padded(mapping.host, to);
    case State::Compressed: return read_compressed(mapping.entry, in_cluster(guest), to);
  }
  return IoStatus::Error;
}

IoStatus Qcow2Image::read_backing(u64 guest, const IoBuffers& to) {
  const u64 length = devices::total_bytes(to);
  const u64 there =
      backing_ == nullptr || guest >= backing_->size_bytes() ? 0 : std::min(length, backing_->size_bytes() - guest);
  if (there == length) return backing_->read(guest, to);
  if (there != 0) IO_TRY(backing_->read(guest, slice_buffers(to, 0, there)));
  fill_zero(slice_buffers(to, there, length - there));
  return IoStatus::Ok;
}

IoStatus Qcow2Image::read_compressed(u64 entry, u64 skip, const IoBuffers& to) {
  const std::scoped_lock lock(decompressed_mutex_);
  if (decompressed_entry_ != entry || decompressed_.empty()) {
    u64 offset = 0, length = 0;
    compressed_place(entry, offset, length);
    std::vector<u8> raw(length);
    decompressed_entry_ = 0;
    decompressed_.resize(cluster_bytes());
    IO_TRY(file_.read_padded(offset, {std::span(raw)}));
    if (!decompress(header_.compression, raw, decompressed_)) return IoStatus::Error;
    decompressed_entry_ = entry;
  }
  const u8* from = decompressed_.data() + skip;
  for (const std::span<u8> part : to) {
    std::memcpy(part.data(), from, part.size());
    from += part.size();
  }
  return IoStatus::Ok;
}

IoStatus Qcow2Image::write(u64 offset, const IoBuffers& from) {
  if (options_.read_only) return IoStatus::ReadOnly;
  const u64 length = devices::total_bytes(from);
  for (u64 done = 0; done < length;) {
    const u64 guest = offset + done;
    const u64 size = std::min(length - done, kMaxChunk - guest % kMaxChunk);
    IO_TRY(write_chunk(guest, size == length ? from : slice_buffers(from, done, size)));
    done += size;
  }
  return after_write();
}

// How much from `guest` on can be written where it lies; false: nothing, or `status` says that it failed.
bool Qcow2Image::in_place(u64 guest, u64 length, u64& host, u64& run, IoStatus& status) {
  const std::scoped_lock lock(mutex_);
  Mapping mapping;
  status = begin_change();
  if (status == IoStatus::Ok) status = lookup(l1_, guest, length, mapping);
  if (status != IoStatus::Ok || mapping.state != State::Data || !mapping.copied) return false;
  host = mapping.host;
  run = mapping.length;
  // Whoever maps a cluster has made the file long enough; a damaged entry must not make it enormous.
  if (host >= std::max(file_end_, refcounts_.high_water() << header_.cluster_bits)) {
    status = corrupted("data cluster at offset " + std::to_string(host) + " lies beyond the end of the file");
    return false;
  }
  status = check_overlap(host, run, "data");
  return status == IoStatus::Ok;
}

IoStatus Qcow2Image::write_chunk(u64 guest, const IoBuffers& from) {
  const u64 length = devices::total_bytes(from);
  const u64 begin = align_down(guest, cluster_bytes()), end = align_up(guest + length, cluster_bytes());
  IoStatus status = IoStatus::Ok;
  u64 host = 0, run = 0;
  {
    const RangeLock::Guard guard(ranges_, begin, end, false);
    if (in_place(guest, length, host, run, status) && run == length) return file_.write(host, from);
    IO_TRY(status);
  }
  const RangeLock::Guard guard(ranges_, begin, end, true);
  for (u64 done = 0; done < length;) {
    if (in_place(guest + done, length - done, host, run, status)) {
      IO_TRY(file_.write(host, slice_buffers(from, done, run)));
      done += run;
      continue;
    }
    IO_TRY(status);
    // Up to the next cluster that can be written in place.
    u64 stop = std::min(length, done + cluster_bytes() - in_cluster(guest + done));
    while (stop < length && !in_place(guest + stop, 1, host, run, status))
      stop = std::min(length, stop + cluster_bytes());
    IO_TRY(status);
    IO_TRY(write_allocating(guest + done, slice_buffers(from, done, stop - done)));
    done = stop;
  }
  return IoStatus::Ok;
}

// Every cluster of the range gets a new place (or keeps its own, if it only has to lose its zero flag).
IoStatus Qcow2Image::write_allocating(u64 guest, const IoBuffers& from) {
  const u64 length = devices::total_bytes(from);
  for (u64 done = 0; done < length;) {
    const u64 begin = align_down(guest + done, cluster_bytes());
    const u64 wanted = (align_up(guest + length, cluster_bytes()) - begin) >> header_.cluster_bits;
    u64 host = 0, count = 0;
    bool fresh = false, reused = false;
    std::vector<u64> old_entries;
    {
      const std::scoped_lock lock(mutex_);
      Mapping first;
      IO_TRY(lookup(l1_, begin, 1, first));
      if (first.state == State::ZeroAllocated && first.copied) {
        host = first.host;
        count = 1;
        reused = true;
      } else {
        const u64 untouched = std::max(file_end_, refcounts_.high_water() << header_.cluster_bits);
        IO_TRY(refcounts_.allocate(1, host));
        fresh = host >= untouched;
        bool taken = true;
        for (count = 1; count < wanted; count++) {
          IO_TRY(refcounts_.allocate_at((host >> header_.cluster_bits) + count, taken));
          if (!taken) break;
        }
        refcounts_.skip((host >> header_.cluster_bits) + 1, (host >> header_.cluster_bits) + count);
      }
      for (u64 i = 0; i < count; i++) {
        u64 entry = 0, bitmap = 0;
        IO_TRY(l2_entry_of(l1_, begin + (i << header_.cluster_bits), entry, bitmap));
        old_entries.push_back(entry);
      }
      IO_TRY(check_overlap(host, count << header_.cluster_bits, "data"));
    }
    const u64 size = std::min(length - done, begin + (count << header_.cluster_bits) - (guest + done));
    const IoStatus written = write_new(guest + done, slice_buffers(from, done, size), host, fresh, old_entries);
    const std::scoped_lock lock(mutex_);
    if (written != IoStatus::Ok) {
      // Nothing refers to the new clusters yet, so they can be given back at once.
      for (u64 i = 0; !reused && i < count; i++) IO_TRY(refcounts_.change((host >> header_.cluster_bits) + i, -1));
      return written;
    }
    for (u64 i = 0; i < count; i++) {
      const u64 step = i << header_.cluster_bits;
      IO_TRY(set_l2_entry(begin + step, (host + step) | kCopied));
      if (!reused) IO_TRY(free_entry(old_entries[i]));
    }
    done += size;
  }
  return IoStatus::Ok;
}

// Writes data to new clusters together with what surrounds it in the first and the last of them. `fresh` clusters read
// as zeroes, so zeroes need not be written there.
IoStatus Qcow2Image::write_new(u64 guest, const IoBuffers& from, u64 host, bool fresh,
                               const std::vector<u64>& old_entries) {
  const u64 length = devices::total_bytes(from);
  const u64 begin = align_down(guest, cluster_bytes()), end = align_up(guest + length, cluster_bytes());
  const auto surroundings = [&](u64 at, u64 size, u64 old_entry, std::vector<u8>& bytes) {
    const bool nothing = (old_entry & (kOffsetMask | kCompressed)) == 0 &&
                         ((old_entry & kZeroFlag) != 0 || backing_ == nullptr || at >= backing_->size_bytes());
    const bool zero_flag = (old_entry & kCompressed) == 0 && (old_entry & kZeroFlag) != 0;
    if (size == 0 || (fresh && (nothing || zero_flag))) return IoStatus::Ok;
    bytes.resize(size);
    return nothing || zero_flag ? IoStatus::Ok : read_unlocked(l1_, at, {std::span(bytes)});
  };
  std::vector<u8> head, tail;
  IO_TRY(surroundings(begin, guest - begin, old_entries.front(), head));
  IO_TRY(surroundings(guest + length, end - (guest + length), old_entries.back(), tail));
  IoBuffers all;
  if (!head.empty()) all.push_back(head);
  all.insert(all.end(), from.begin(), from.end());
  if (!tail.empty()) all.push_back(tail);
  return file_.write(head.empty() ? host + (guest - begin) : host, all);
}

IoStatus Qcow2Image::flush() {
  if (options_.read_only) return IoStatus::Ok;
  {
    const std::scoped_lock lock(mutex_);
    IO_TRY(write_metadata());
  }
  return barrier();
}

// Whole clusters become zero. With keep_allocation their storage stays theirs.
IoStatus Qcow2Image::zero_clusters(u64 begin, u64 end, bool keep_allocation, bool discarding) {
  const RangeLock::Guard guard(ranges_, begin, end, true);
  const std::scoped_lock lock(mutex_);
  IO_TRY(begin_change());
  const u64 zero_entry = header_.version >= 3 ? kZeroFlag : 0;
  for (u64 guest = begin; guest < end;) {
    Mapping mapping;
    IO_TRY(lookup(l1_, guest, end - guest, mapping));
    const bool shows_backing = backing_ != nullptr && guest < backing_->size_bytes();
    const bool nothing_to_do = mapping.state == State::Zero ||
                               (mapping.state == State::Unallocated && (discarding || !shows_backing)) ||
                               (mapping.state == State::ZeroAllocated && keep_allocation);
    if (nothing_to_do) {
      guest += std::max(cluster_bytes(), align_down(mapping.length, cluster_bytes()));
      continue;
    }
    const u64 stop = guest + std::max(cluster_bytes(), align_down(mapping.length, cluster_bytes()));
    for (; guest < std::min(stop, end); guest += cluster_bytes()) {
      u64 entry = 0, bitmap = 0;
      IO_TRY(l2_entry_of(l1_, guest, entry, bitmap));
      if (keep_allocation && mapping.state == State::Data && mapping.copied && header_.version >= 3) {
        IO_TRY(set_l2_entry(guest, entry | kZeroFlag));
        continue;
      }
      IO_TRY(set_l2_entry(guest, zero_entry));
      IO_TRY(free_entry(entry));
    }
  }
  return IoStatus::Ok;
}

IoStatus Qcow2Image::write_zeroes(u64 offset, u64 length, bool may_unmap) {
  if (options_.read_only) return IoStatus::ReadOnly;
  const u64 begin = align_up(offset, cluster_bytes());
  // The last cluster of the disk counts as whole even if the disk ends inside it.
  const bool to_end = offset + length == header_.size_bytes;
  const u64 end = to_end ? align_up(offset + length, cluster_bytes()) : align_down(offset + length, cluster_bytes());
  std::vector<u8> zeroes;
  const auto write_part = [&](u64 from, u64 to) {
    for (u64 at = from; at < to;) {
      zeroes.resize(std::min<u64>(to - from, kMaxChunk));
      const u64 size = std::min<u64>(to - at, zeroes.size());
      IO_TRY(write(at, {std::span(zeroes).first(size)}));
      at += size;
    }
    return IoStatus::Ok;
  };
  // Version 2 has no zero clusters; a hole would show the backing file.
  if (begin >= end || (header_.version < 3 && backing_ != nullptr)) return write_part(offset, offset + length);
  IO_TRY(write_part(offset, std::min(begin, offset + length)));
  IO_TRY(zero_clusters(begin, end, !may_unmap, false));
  if (!to_end) IO_TRY(write_part(end, offset + length));
  return after_write();
}

// A hint: whole clusters are given up, the rest stays.
IoStatus Qcow2Image::discard(u64 offset, u64 length) {
  if (options_.read_only) return IoStatus::ReadOnly;
  if (!options_.discard || (header_.version < 3 && backing_ != nullptr)) return IoStatus::Ok;
  const u64 begin = align_up(offset, cluster_bytes());
  const bool to_end = offset + length == header_.size_bytes;
  const u64 end = to_end ? align_up(offset + length, cluster_bytes()) : align_down(offset + length, cluster_bytes());
  if (begin >= end) return IoStatus::Ok;
  IO_TRY(zero_clusters(begin, end, false, true));
  return after_write();
}

IoStatus Qcow2Image::forget(u64 offset, u64 length) {
  if (options_.read_only) return IoStatus::ReadOnly;
  const u64 begin = align_up(offset, cluster_bytes());
  const u64 end = offset + length >= header_.size_bytes ? align_up(offset + length, cluster_bytes())
                                                        : align_down(offset + length, cluster_bytes());
  if (begin >= end) return IoStatus::Ok;
  const RangeLock::Guard guard(ranges_, begin, end, true);
  const std::scoped_lock lock(mutex_);
  IO_TRY(begin_change());
  for (u64 guest = begin; guest < end;) {
    Mapping mapping;
    IO_TRY(lookup(l1_, guest, end - guest, mapping));
    const u64 stop = std::min(end, guest + std::max(cluster_bytes(), align_down(mapping.length, cluster_bytes())));
    if (mapping.state == State::Unallocated) {
      guest = stop;
      continue;
    }
    for (; guest < stop; guest += cluster_bytes()) {
      u64 entry = 0, bitmap = 0;
      IO_TRY(l2_entry_of(l1_, guest, entry, bitmap));
      IO_TRY(set_l2_entry(guest, 0));
      IO_TRY(free_entry(entry));
    }
  }
  return IoStatus::Ok;
}

IoStatus Qcow2Image::write_compressed(u64 offset, std::span<const u8> cluster) {
  if (options_.read_only) return IoStatus::ReadOnly;
  if (in_cluster(offset) != 0 || cluster.size() != cluster_bytes()) return IoStatus::Unsupported;
  const std::vector<u8> packed = compress(header_.compression, cluster);
  if (packed.empty()) {
    const u64 size = std::min<u64>(cluster.size(), header_.size_bytes - offset);
    return write(offset, {std::span(const_cast<u8*>(cluster.data()), size)});
  }
  const RangeLock::Guard guard(ranges_, offset, offset + cluster.size(), true);
  const std::scoped_lock lock(mutex_);
  IO_TRY(begin_change());
  Mapping mapping;
  IO_TRY(lookup(l1_, offset, 1, mapping));
  // Small streams share a cluster, each counting as one reference to it.
  u64 at = compressed_cursor_;
  const u64 room = at == 0 ? 0 : cluster_bytes() - in_cluster(at);
  u64 count = 0;
  if (at != 0) IO_TRY(refcounts_.get(at >> header_.cluster_bits, count));
  bool shared = at != 0 && count < header_.max_refcount();
  if (shared && packed.size() > room) {
    IO_TRY(refcounts_.allocate_at((at >> header_.cluster_bits) + 1, shared));
  }
  if (shared)
    IO_TRY(refcounts_.change(at >> header_.cluster_bits, 1));
  else
    IO_TRY(refcounts_.allocate(1, at));
  IO_TRY(check_overlap(at, packed.size(), "compressed data"));
  IO_TRY(file_.write_bytes(at, packed));
  const unsigned offset_bits = 62 - (header_.cluster_bits - 8);
  if (at >= bit(offset_bits)) return IoStatus::NoSpace;
  const u64 more_sectors = ((at + packed.size() - 1) >> 9) - (at >> 9);
  IO_TRY(set_l2_entry(offset, kCompressed | more_sectors << offset_bits | at));
  compressed_cursor_ = at + packed.size();
  if (in_cluster(compressed_cursor_) == 0) compressed_cursor_ = 0;
  {
    const std::scoped_lock cache_lock(decompressed_mutex_);
    decompressed_entry_ = 0;
  }
  return free_entry(mapping.entry);
}

Result<Extent> Qcow2Image::extent(u64 offset, u64 length) {
  const RangeLock::Guard guard(ranges_, align_down(offset, cluster_bytes()), align_up(offset + length, cluster_bytes()),
                               false);
  const std::scoped_lock lock(mutex_);
  Mapping mapping;
  if (lookup(l1_, offset, length, mapping) != IoStatus::Ok) {
    return Error{"cannot read the mapping: " + file_.path() + ": input/output error", exit_status::kImage};
  }
  Extent extent{.length_bytes = mapping.length};
  extent.allocated = mapping.state != State::Unallocated;
  extent.zero = mapping.state == State::Zero || mapping.state == State::ZeroAllocated ||
                (mapping.state == State::Unallocated && backing_ == nullptr);
  extent.data = mapping.state == State::Data || mapping.state == State::Compressed;
  extent.compressed = mapping.state == State::Compressed;
  extent.has_offset = mapping.state == State::Data || mapping.state == State::ZeroAllocated;
  extent.offset = mapping.host;
  return extent;
}

Result<void> Qcow2Image::resize(u64 new_size) {
  const Error failed{"cannot resize: " + file_.path() + ": input/output error", exit_status::kImage};
  const u64 old_size = header_.size_bytes;
  if (new_size < old_size) {
    if (!stored_.empty()) return Error{"image with snapshots cannot be shrunk: " + file_.path()};
    const u64 keep = align_up(new_size, cluster_bytes());
    if (keep < align_up(old_size, cluster_bytes()) &&
        forget(keep, align_up(old_size, cluster_bytes()) - keep) != IoStatus::Ok)
      return failed;
  }
  {
    const RangeLock::Guard guard(ranges_, 0, ~u64{0}, true);
    const std::scoped_lock lock(mutex_);
    if (header_.l1_entries_for(new_size) * 8 > kMaxL1Bytes) {
      return Error{"size is too large for this cluster size: " + file_.path() + "; use a larger cluster_size"};
    }
    if (begin_change() != IoStatus::Ok || grow_l1(header_.l1_entries_for(new_size)) != IoStatus::Ok ||
        write_metadata() != IoStatus::Ok || barrier() != IoStatus::Ok)
      return failed;
    header_.size_bytes = new_size;
    u8 field[8];
    store_be64(field, new_size);
    if (file_.write_bytes(header_at::kSize, field) != IoStatus::Ok || barrier() != IoStatus::Ok) return failed;
  }
  // What is new reads as zeroes, whatever the last cluster or the backing file hold there.
  if (new_size > old_size) {
    const u64 end_of_cluster = std::min(new_size, align_up(old_size, cluster_bytes()));
    Extent last{};
    if (end_of_cluster > old_size) last = TRY(extent(old_size, end_of_cluster - old_size));
    const bool backed = backing_ != nullptr && backing_->size_bytes() > old_size;
    if (((last.allocated && last.data) || backed) && end_of_cluster > old_size &&
        write_zeroes(old_size, end_of_cluster - old_size, true) != IoStatus::Ok)
      return failed;
    if (backed && new_size > end_of_cluster &&
        write_zeroes(end_of_cluster,
                     std::min(new_size, align_up(backing_->size_bytes(), cluster_bytes())) - end_of_cluster,
                     true) != IoStatus::Ok)
      return failed;
    if (flush() != IoStatus::Ok) return failed;
  }
  return {};
}

Result<void> Qcow2Image::allocate_everything() {
  const std::scoped_lock lock(mutex_);
  const Error failed{"cannot preallocate: " + file_.path() + ": no space left", exit_status::kImage};
  u64 end = 0;
  if (begin_change() != IoStatus::Ok) return failed;
  for (u64 guest = 0; guest < header_.size_bytes; guest += cluster_bytes()) {
    u64 host = 0;
    if (refcounts_.allocate(1, host) != IoStatus::Ok || set_l2_entry(guest, host | kCopied) != IoStatus::Ok)
      return failed;
    end = std::max(end, host + cluster_bytes());
  }
  const u64 size = TRY(file_.size_bytes());
  if (end > size && file_.truncate(end) != IoStatus::Ok) return failed;
  if (write_metadata() != IoStatus::Ok) return failed;
  return {};
}

}  // namespace xm::host
