// SPDX-License-Identifier: GPL-2.0-or-later
// The check proceeds as follows: count every reference from the header down; compare with the refcounts; compare the
// COPIED flags. Messages follow qemu-img's, because scripts and people read those.
#include "emu/host/qcow2/check.h"

#include <algorithm>
#include <cstdarg>
#include <unordered_set>

#include "emu/base/exit_status.h"

namespace xm::host {

using namespace qcow2;
using Kind = MetadataCache::Kind;

namespace {

__attribute__((format(printf, 1, 2))) std::string print(const char* format, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return text;
}

unsigned long long llu(u64 value) { return value; }

}  // namespace

void Qcow2Checker::say(const std::string& text) {
  if (result_.messages.size() < CheckResult::kMaxMessages) result_.messages.push_back(text);
}

void Qcow2Checker::corruption(const std::string& text) {
  say("ERROR " + text);
  result_.corruptions++;
}

// Counts the clusters of [offset, offset + bytes); false if they cannot be part of the file.
bool Qcow2Checker::add_range(u64 offset, u64 bytes, const char* what) {
  if (bytes == 0) return true;
  const u64 first = offset >> image_.header_.cluster_bits;
  const u64 last = (offset + bytes - 1) >> image_.header_.cluster_bits;
  if (last >= file_clusters_) {
    corruption(print("%s at offset 0x%llx lies beyond the end of the file", what, llu(offset)));
    return false;
  }
  for (u64 cluster = first; cluster <= last; cluster++) counts_.add(cluster);
  return true;
}

void Qcow2Checker::count_metadata() {
  const Header& header = image_.header_;
  add_range(0, header.cluster_bytes(), "header");
  add_range(header.l1_offset, u64{header.l1_entries} * 8, "L1 table");
  add_range(header.snapshots_offset, image_.snapshot_table_bytes_, "snapshot table");
  add_range(header.refcount_table_offset, u64{header.refcount_table_clusters} << header.cluster_bits, "refcount table");
  const std::vector<u64>& table = image_.refcounts_.table();
  for (std::size_t i = 0; i < table.size(); i++) {
    if (table[i] == 0) continue;
    if (table[i] % header.cluster_bytes() != 0) {
      corruption(print("refcount block %zu is not cluster aligned; refcount table entry corrupted", i));
      table_damaged_ = true;
    } else if (table[i] >> header.cluster_bits >= file_clusters_) {
      corruption(print("refcount block %zu is outside image", i));
      table_damaged_ = true;
    } else {
      counts_.add(table[i] >> header.cluster_bits);
      if (counts_.get(table[i] >> header.cluster_bits) > 1) {
        corruption(print("refcount block %zu refcount=%u", i, counts_.get(table[i] >> header.cluster_bits)));
        table_damaged_ = true;
      }
    }
  }
  count_bitmaps();
}

// The bitmaps extension: a directory whose entries point to tables whose entries point to clusters [QCOW2 Bitmaps].
void Qcow2Checker::count_bitmaps() {
  const Header& header = image_.header_;
  if ((header.autoclear & kBitmapsConsistent) == 0) return;
  for (const auto& [type, bytes] : header.other_extensions) {
    if (type != kExtBitmaps || bytes.size() < 24) continue;
    const u64 directory_bytes = load_be64(&bytes[8]), directory = load_be64(&bytes[16]);
    if (directory_bytes > (1u << 26) || !add_range(directory, directory_bytes, "bitmap directory")) continue;
    std::vector<u8> raw(directory_bytes);
    io_error_ |= image_.file_.read_padded(directory, {std::span(raw)}) != IoStatus::Ok;
    for (u64 at = 0; at + 24 <= raw.size();) {
      const u64 table_offset = load_be64(&raw[at]);
      const u64 entries = load_be32(&raw[at + 8]);
      const u64 extra = load_be32(&raw[at + 20]);
      if (entries <= (1u << 24) && add_range(table_offset, entries * 8, "bitmap table")) {
        std::vector<u8> table(entries * 8);
        io_error_ |= image_.file_.read_padded(table_offset, {std::span(table)}) != IoStatus::Ok;
        for (u64 i = 0; i < entries; i++) {
          const u64 cluster = load_be64(&table[i * 8]) & kOffsetMask;
          if (cluster != 0) add_range(cluster, header.cluster_bytes(), "bitmap");
        }
      }
      at = align_up(at + 24 + extra + load_be16(&raw[at + 18]), 8);
    }
  }
}

// One L2 entry: alignment and place; counts what it refers to. A wrong one becomes a zero cluster when repaired.
void Qcow2Checker::check_entry(u64 entry, u64 bitmap, bool active, u64 table, u64 index, bool fix) {
  const Header& header = image_.header_;
  (void)bitmap;
  if (entry == 0 || entry == kZeroFlag) return;
  std::string wrong;
  if ((entry & kCompressed) != 0) {
    u64 offset = 0, length = 0;
    image_.compressed_place(entry, offset, length);
    const u64 first = offset >> header.cluster_bits, last = (offset + length - 1) >> header.cluster_bits;
    if ((entry & kCopied) != 0) {
      corruption(print("coffset=0x%llx: copied flag must never be set for compressed clusters", llu(offset)));
    }
    if (offset >> header.cluster_bits >= file_clusters_) {
      wrong = print("compressed cluster at offset 0x%llx lies beyond the end of the file", llu(offset));
    } else {
      for (u64 cluster = first; cluster <= last; cluster++) counts_.add(cluster);
      if (active) {
        result_.allocated_clusters++;
        result_.compressed_clusters++;
        // Compressed clusters are fragmented by nature: they share clusters.
        result_.fragmented_clusters++;
      }
    }
  } else if (const u64 host = entry & kOffsetMask; host != 0) {
    if (host % header.cluster_bytes() != 0) {
      wrong = print("offset=%llx: Cluster is not properly aligned; L2 entry corrupted.", llu(host));
    } else if (host >> header.cluster_bits >= file_clusters_) {
      wrong = print("data cluster at offset 0x%llx lies beyond the end of the file", llu(host));
    } else {
      counts_.add(host >> header.cluster_bits);
      if (active) {
        result_.allocated_clusters++;
        if (last_data_end_ != 0 && host != last_data_end_) result_.fragmented_clusters++;
        last_data_end_ = host + header.cluster_bytes();
      }
    }
  }
  if (wrong.empty()) return;
  corruption(wrong);
  if (!fix || !active) return;
  u8 field[8];
  store_be64(field, header.version >= 3 ? kZeroFlag : 0);
  const u64 at = table + index * header.l2_entry_bytes();
  image_.cache_.forget(at, 8);
  if (image_.file_.write_bytes(at, field) == IoStatus::Ok) {
    result_.corruptions--;
    result_.corruptions_fixed++;
  }
}

void Qcow2Checker::walk(const std::vector<u64>& l1, bool active, bool fix) {
  const Header& header = image_.header_;
  std::vector<u8> table(header.cluster_bytes());
  std::unordered_set<u64> seen;
  for (std::size_t i = 0; i < l1.size(); i++) {
    const u64 offset = l1[i] & kOffsetMask;
    if (offset == 0) continue;
    if (!seen.insert(offset).second) {
      // Also keeps the work bounded by the size of the file.
      counts_.add(offset >> header.cluster_bits);
      corruption(print("L2 table at offset 0x%llx is used by two L1 entries", llu(offset)));
      continue;
    }
    if (offset % header.cluster_bytes() != 0 || offset >> header.cluster_bits >= file_clusters_) {
      corruption(
          print("l2_offset=0x%llx: Table is not cluster aligned or outside the file; L1 entry corrupted", llu(offset)));
      if (fix && active) {
        image_.l1_[i] = 0;
        u8 field[8] = {};
        if (image_.file_.write_bytes(header.l1_offset + i * 8, field) == IoStatus::Ok) {
          result_.corruptions--;
          result_.corruptions_fixed++;
        }
      }
      continue;
    }
    counts_.add(offset >> header.cluster_bits);
    if (image_.file_.read_padded(offset, {std::span(table)}) != IoStatus::Ok) {
      io_error_ = true;
      continue;
    }
    const u32 step = header.l2_entry_bytes();
    for (u64 index = 0; index < header.l2_entries(); index++) {
      const u64 entry = load_be64(&table[index * step]);
      if (entry != 0) {
        check_entry(entry, step == 16 ? load_be64(&table[index * step + 8]) : 0, active, offset, index, fix);
      }
    }
  }
}

// Numbers of the pieces of the file that have counts or references, ascending. All others agree: nobody counts them and
// nobody refers to them, and a file may be enormous and empty.
std::vector<u64> Qcow2Checker::pieces_to_compare() const {
  const std::vector<u64>& table = image_.refcounts_.table();
  const u64 per_block = image_.header_.refcounts_per_block();
  std::vector<u64> pieces = counts_.pieces();
  for (u64 i = 0; i < table.size(); i++) {
    if (table[i] == 0) continue;
    const u64 first = i * per_block / Counts::kPiece, last = ((i + 1) * per_block - 1) / Counts::kPiece;
    for (u64 piece = first; piece <= last; piece++) {
      if (pieces.empty() || pieces.back() != piece) pieces.push_back(piece);
    }
  }
  std::sort(pieces.begin(), pieces.end());
  pieces.erase(std::unique(pieces.begin(), pieces.end()), pieces.end());
  return pieces;
}

void Qcow2Checker::compare(bool fix_leaks, bool fix_all) {
  const u64 counted = image_.refcounts_.table().size() * image_.header_.refcounts_per_block();
  const u64 end = std::min(std::max(file_clusters_, counts_.end()), std::max(counted, counts_.end()));
  for (const u64 piece : pieces_to_compare()) {
    const u64 piece_end = std::min(end, (piece + 1) * Counts::kPiece);
    for (u64 cluster = piece * Counts::kPiece; cluster < piece_end; cluster++) {
      compare_cluster(cluster, fix_leaks, fix_all);
    }
  }
}

void Qcow2Checker::compare_cluster(u64 cluster, bool fix_leaks, bool fix_all) {
  u64 refcount = 0;
  if (image_.refcounts_.get(cluster, refcount) != IoStatus::Ok) {
    say(print("Can't get refcount for cluster %llu", llu(cluster)));
    result_.check_errors++;
    return;
  }
  const u64 references = counts_.get(cluster);
  if (refcount != 0 || references != 0) {
    result_.image_end_offset = std::max(result_.image_end_offset, (cluster + 1) << image_.header_.cluster_bits);
  }
  if (refcount == references) return;
  const bool leak = refcount > references;
  const bool fix = leak ? fix_leaks : fix_all;
  say(print("%s cluster %llu refcount=%llu reference=%llu",
            fix    ? "Repairing"
            : leak ? "Leaked"
                   : "ERROR",
            llu(cluster), llu(refcount), llu(references)));
  const bool possible = references <= image_.header_.max_refcount();
  if (fix && possible && image_.refcounts_.set(cluster, references) == IoStatus::Ok) {
    (leak ? result_.leaks_fixed : result_.corruptions_fixed)++;
    return;
  }
  (leak ? result_.leaks : result_.corruptions)++;
}

// COPIED says that a cluster is referenced once; a wrong flag would let a write change a snapshot.
void Qcow2Checker::check_copied(bool fix) {
  const Header& header = image_.header_;
  const auto judge = [&](u64 entry, const std::string& what) {
    const u64 cluster = (entry & kOffsetMask) >> header.cluster_bits;
    if (cluster >= file_clusters_) return entry;
    u64 count = 0;
    if (image_.refcounts_.get(cluster, count) != IoStatus::Ok) return entry;
    const u64 wanted = count == 1 ? entry | kCopied : entry & ~kCopied;
    if (wanted != entry) {
      say(print("%s OFLAG_COPIED %s=%llx refcount=%llu", fix ? "Repairing" : "ERROR", what.c_str(), llu(entry),
                llu(count)));
      (fix ? result_.corruptions_fixed : result_.corruptions)++;
    }
    return wanted;
  };
  std::vector<u8> table(header.cluster_bytes());
  for (std::size_t i = 0; i < image_.l1_.size(); i++) {
    const u64 offset = image_.l1_[i] & kOffsetMask;
    if (offset == 0 || offset % header.cluster_bytes() != 0 || offset >> header.cluster_bits >= file_clusters_)
      continue;
    const u64 l1_wanted = judge(image_.l1_[i], print("L2 cluster: l1_index=%zu l1_entry", i));
    if (image_.file_.read_padded(offset, {std::span(table)}) != IoStatus::Ok) {
      io_error_ = true;
      continue;
    }
    bool changed = false;
    for (u64 index = 0; index < header.l2_entries(); index++) {
      u8* at = &table[index * header.l2_entry_bytes()];
      const u64 entry = load_be64(at);
      if ((entry & kCompressed) != 0 || (entry & kOffsetMask) == 0 ||
          (entry & kOffsetMask) % header.cluster_bytes() != 0)
        continue;
      const u64 wanted = judge(entry, "data cluster: l2_entry");
      if (wanted == entry) continue;
      store_be64(at, wanted);
      changed = true;
    }
    if (!fix) continue;
    image_.cache_.forget(offset, header.cluster_bytes());
    if (changed) io_error_ |= image_.file_.write_bytes(offset, table) != IoStatus::Ok;
    if (l1_wanted != image_.l1_[i]) {
      image_.l1_[i] = l1_wanted;
      u8 field[8];
      store_be64(field, l1_wanted);
      io_error_ |= image_.file_.write_bytes(header.l1_offset + i * 8, field) != IoStatus::Ok;
    }
  }
}

// New refcount blocks and a new table behind everything that is referenced, when the old ones cannot be trusted.
Result<void> Qcow2Checker::rebuild() {
  Header& header = image_.header_;
  const Error failed{"cannot rebuild refcounts: " + image_.file_.path() + ": input/output error", exit_status::kImage};
  // The old table and blocks are not referenced any more: count again without them.
  counts_ = {};
  result_ = {.corruptions_fixed = result_.corruptions_fixed, .total_clusters = result_.total_clusters};
  image_.refcounts_.forget_table();
  header.refcount_table_clusters = 0;
  last_data_end_ = 0;
  count_metadata();
  walk(image_.l1_, true, true);
  for (const Qcow2Image::StoredSnapshot& snapshot : image_.stored_) {
    add_range(snapshot.l1_offset, u64{snapshot.l1_entries} * 8, "snapshot L1 table");
    walk(TRY(image_.read_l1(snapshot.l1_offset, snapshot.l1_entries)), false, false);
  }
  const u64 per_block = header.refcounts_per_block();
  const u64 area = counts_.end();
  u64 blocks = 1, table_clusters = 1;
  for (;;) {
    const u64 end = area + blocks + table_clusters;
    const u64 need = (end + per_block - 1) / per_block;
    const u64 need_table = align_up(need * 8, header.cluster_bytes()) >> header.cluster_bits;
    if (need <= blocks && need_table <= table_clusters) break;
    blocks = std::max(blocks, need);
    table_clusters = std::max(table_clusters, need_table);
  }
  if (table_clusters << header.cluster_bits > kMaxRefcountTableBytes) return failed;
  for (u64 i = 0; i < blocks + table_clusters; i++) counts_.add(area + i);
  std::vector<u8> table(table_clusters << header.cluster_bits);
  for (u64 i = 0; i < blocks; i++) {
    store_be64(&table[i * 8], (area + i) << header.cluster_bits);
    std::vector<u8> block(header.cluster_bytes());
    for (u64 index = 0; index < per_block; index++) {
      const u64 count = std::min<u64>(counts_.get(i * per_block + index), header.max_refcount());
      if (count != 0) image_.refcounts_.encode(block.data(), index, count);
    }
    if (image_.file_.write_bytes((area + i) << header.cluster_bits, block) != IoStatus::Ok) return failed;
  }
  const u64 table_offset = (area + blocks) << header.cluster_bits;
  if (image_.file_.write_bytes(table_offset, table) != IoStatus::Ok || image_.barrier() != IoStatus::Ok) return failed;
  u8 fields[12];
  store_be64(fields, table_offset);
  store_be32(fields + 8, static_cast<u32>(table_clusters));
  if (image_.file_.write_bytes(header_at::kRefcountTable, fields) != IoStatus::Ok || image_.barrier() != IoStatus::Ok)
    return failed;
  header.refcount_table_offset = table_offset;
  header.refcount_table_clusters = static_cast<u32>(table_clusters);
  image_.cache_.forget_all();
  file_clusters_ = std::max(file_clusters_, counts_.end());
  table_damaged_ = false;
  return image_.refcounts_.load();
}

Result<CheckResult> Qcow2Checker::check(CheckRepair repair) {
  const Header& header = image_.header_;
  const bool all = repair == CheckRepair::All;
  const std::scoped_lock lock(image_.mutex_);
  if (image_.options_.read_only) TRY(image_.refcounts_.load());
  file_clusters_ = align_up(TRY(image_.file_.size_bytes()), header.cluster_bytes()) >> header.cluster_bits;
  result_.total_clusters = align_up(header.size_bytes, header.cluster_bytes()) >> header.cluster_bits;
  count_metadata();
  walk(image_.l1_, true, all);
  for (const Qcow2Image::StoredSnapshot& snapshot : image_.stored_) {
    if (snapshot.l1_entries != 0 && counts_.get(snapshot.l1_offset >> header.cluster_bits) != 0) {
      corruption(print("snapshot L1 table at offset 0x%llx is used twice", llu(snapshot.l1_offset)));
      continue;
    }
    if (!add_range(snapshot.l1_offset, u64{snapshot.l1_entries} * 8, "snapshot L1 table")) continue;
    walk(TRY(image_.read_l1(snapshot.l1_offset, snapshot.l1_entries)), false, false);
  }
  if (table_damaged_ && all) {
    result_.corruptions_fixed += result_.corruptions;
    TRY(rebuild());
  }
  if (table_damaged_) {
    result_.check_errors++;
  } else {
    compare(repair != CheckRepair::None, all);
    check_copied(all);
  }
  if (repair != CheckRepair::None) {
    if (image_.refcounts_.write_back([this] { return image_.barrier(); }) != IoStatus::Ok ||
        image_.barrier() != IoStatus::Ok)
      return Error{"cannot write repairs: " + image_.file_.path() + ": input/output error", exit_status::kImage};
  }
  // A repaired image is neither dirty nor corrupt.
  if (all && result_.corruptions == 0 && result_.check_errors == 0 &&
      (header.incompatible & (kDirty | kCorrupt)) != 0) {
    image_.header_.incompatible &= ~(kDirty | kCorrupt);
    u8 field[8];
    store_be64(field, header.incompatible);
    if (image_.file_.write_bytes(header_at::kIncompatible, field) != IoStatus::Ok || image_.barrier() != IoStatus::Ok)
      return Error{"cannot write header: " + image_.file_.path() + ": input/output error", exit_status::kImage};
  }
  if (io_error_) result_.check_errors++;
  return result_;
}

}  // namespace xm::host
