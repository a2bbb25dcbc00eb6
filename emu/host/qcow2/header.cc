// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/qcow2/header.h"

#include <algorithm>
#include <cstring>

#include "emu/base/exit_status.h"

namespace xm::host::qcow2 {

namespace {

Error bad(const HostFile& file, const std::string& what) {
  return {"invalid qcow2 image: " + file.path() + ": " + what + "; see `xiaoma img check`", exit_status::kImage};
}
Error unsupported(const HostFile& file, const std::string& what) {
  return {"unsupported qcow2 image: " + file.path() + ": " + what, exit_status::kImage};
}

Result<void> check_features(const HostFile& file, const Header& header, u8 compression) {
  constexpr u64 kKnown = kDirty | kCorrupt | kDataFile | kCompressionType | kExtendedL2;
  if ((header.incompatible & ~kKnown) != 0) {
    char text[64];
    std::snprintf(text, sizeof text, "unknown incompatible features 0x%llx",
                  static_cast<unsigned long long>(header.incompatible & ~kKnown));
    return unsupported(file, text);
  }
  if ((header.incompatible & kDataFile) != 0) {
    return unsupported(file, "its data lies in an external data file; convert it with qemu-img");
  }
  const bool declared = (header.incompatible & kCompressionType) != 0;
  if (declared != (compression != 0)) return bad(file, "compression type and its feature bit disagree");
  if (compression > 1) return unsupported(file, "unknown compression type " + std::to_string(compression));
  return {};
}

Result<void> check_table(const HostFile& file, const Header& header, u64 offset, u64 bytes, const char* name) {
  if (offset % header.cluster_bytes() != 0) return bad(file, std::string(name) + " is not aligned to clusters");
  if (offset > kMaxFileOffset || bytes > kMaxFileOffset - offset) {
    return bad(file, std::string(name) + " lies beyond the largest file offset");
  }
  if (bytes != 0 && offset == 0) return bad(file, std::string(name) + " lies in the header");
  return {};
}

Result<void> check_geometry(const HostFile& file, const Header& header) {
  if (header.size_bytes > bit(63) - 1) return bad(file, "virtual size is too large");
  if (u64{header.l1_entries} * 8 > kMaxL1Bytes) return bad(file, "L1 table is too large");
  if (header.l1_entries < header.l1_entries_for(header.size_bytes)) {
    return bad(file, "L1 table is too small for the virtual size");
  }
  const u64 table_bytes = u64{header.refcount_table_clusters} << header.cluster_bits;
  if (table_bytes > kMaxRefcountTableBytes) return bad(file, "refcount table is too large");
  if (table_bytes == 0) return bad(file, "there is no refcount table");
  if (header.snapshot_count > kMaxSnapshots) return bad(file, "too many snapshots");
  TRY(check_table(file, header, header.l1_offset, u64{header.l1_entries} * 8, "L1 table"));
  TRY(check_table(file, header, header.refcount_table_offset, table_bytes, "refcount table"));
  TRY(check_table(file, header, header.snapshots_offset, header.snapshot_count != 0 ? 1 : 0, "snapshot table"));
  return {};
}

// Extensions follow the header; they end with type 0 or where the backing file name (or the cluster) begins.
Result<void> read_extensions(const HostFile& file, Header& header, std::span<const u8> cluster, u64 from, u64 end) {
  for (u64 at = from; at + 8 <= end;) {
    const u32 type = load_be32(&cluster[at]);
    const u32 length = load_be32(&cluster[at + 4]);
    at += 8;
    if (type == kExtEnd) return {};
    if (length > end - at) return bad(file, "header extension is longer than the header");
    const std::span<const u8> bytes = cluster.subspan(at, length);
    if (type == kExtBackingFormat) {
      if (length > 15) return bad(file, "backing format name is too long");
      header.backing_format.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    } else if (type != kExtFeatureNames) {
      header.other_extensions.emplace_back(type, std::vector<u8>(bytes.begin(), bytes.end()));
    }
    at += align_up(length, 8);
  }
  return {};
}

}  // namespace

Result<Header> read_header(const HostFile& file) {
  std::vector<u8> cluster(512);
  if (file.read_padded(0, {std::span(cluster)}) != devices::IoStatus::Ok) {
    return Error{"cannot read disk image: " + file.path() + ": input/output error", exit_status::kImage};
  }
  const u8* raw = cluster.data();
  Header header;
  if (load_be32(raw) != kMagic)
    return Error{"not a qcow2 image: " + file.path() + "; check format=", exit_status::kImage};
  header.version = load_be32(raw + 4);
  if (header.version != 2 && header.version != 3) {
    return unsupported(file, "version " + std::to_string(header.version) + " is neither 2 nor 3");
  }
  header.cluster_bits = load_be32(raw + header_at::kClusterBits);
  if (header.cluster_bits < kMinClusterBits || header.cluster_bits > kMaxClusterBits) {
    return bad(file, "cluster size 2^" + std::to_string(header.cluster_bits) + " is not between 512 and 2M");
  }
  header.size_bytes = load_be64(raw + header_at::kSize);
  if (const u32 method = load_be32(raw + header_at::kCrypt); method != 0) {
    return method <= 2 ? unsupported(file, "it is encrypted; decrypt it with qemu-img convert")
                       : bad(file, "unknown encryption method");
  }
  header.l1_entries = load_be32(raw + header_at::kL1Size);
  header.l1_offset = load_be64(raw + header_at::kL1Offset);
  header.refcount_table_offset = load_be64(raw + header_at::kRefcountTable);
  header.refcount_table_clusters = load_be32(raw + header_at::kRefcountTableClusters);
  header.snapshot_count = load_be32(raw + header_at::kSnapshotCount);
  header.snapshots_offset = load_be64(raw + header_at::kSnapshots);
  u64 header_length = kHeaderLengthV2;
  u8 compression = 0;
  if (header.version == 3) {
    header.incompatible = load_be64(raw + header_at::kIncompatible);
    header.compatible = load_be64(raw + header_at::kCompatible);
    header.autoclear = load_be64(raw + header_at::kAutoclear);
    header.refcount_order = load_be32(raw + header_at::kRefcountOrder);
    header_length = load_be32(raw + header_at::kHeaderLength);
    if (header_length < kHeaderLengthV3 || header_length > header.cluster_bytes()) {
      return bad(file, "header length " + std::to_string(header_length) + " is not possible");
    }
    if (header_length > header_at::kCompressionType) compression = raw[header_at::kCompressionType];
  }
  TRY(check_features(file, header, compression));
  header.compression = static_cast<Compression>(compression);
  if (header.refcount_order > kMaxRefcountOrder) return bad(file, "refcounts are wider than 64 bits");
  if (header.extended_l2() && header.cluster_bits < 14) return bad(file, "clusters are too small for subclusters");
  TRY(check_geometry(file, header));

  cluster.resize(header.cluster_bytes());
  if (file.read_padded(0, {std::span(cluster)}) != devices::IoStatus::Ok) {
    return Error{"cannot read disk image: " + file.path() + ": input/output error", exit_status::kImage};
  }
  const u64 name_offset = load_be64(&cluster[header_at::kBackingOffset]);
  const u32 name_length = load_be32(&cluster[header_at::kBackingSize]);
  u64 extensions_end = cluster.size();
  if (name_offset != 0) {
    if (name_length > kMaxBackingName || name_offset > cluster.size() || name_length > cluster.size() - name_offset ||
        name_offset < header_length) {
      return bad(file, "backing file name lies outside the header");
    }
    header.backing_file.assign(reinterpret_cast<const char*>(&cluster[0]) + name_offset, name_length);
    if (header.backing_file.find('\0') != std::string::npos) return bad(file, "backing file name contains a zero byte");
    extensions_end = name_offset;
  }
  TRY(read_extensions(file, header, cluster, header_length, extensions_end));
  return header;
}

namespace {

struct FeatureName {
  u8 type, number;  // type: 0 incompatible, 1 compatible, 2 autoclear
  const char* name;
};
constexpr FeatureName kFeatureNames[] = {
    {0, 0, "dirty bit"},        {0, 1, "corrupt bit"},         {0, 2, "external data file"},
    {0, 3, "compression type"}, {0, 4, "extended L2 entries"}, {1, 0, "lazy refcounts"},
    {2, 0, "bitmaps"},          {2, 1, "raw external data"},
};

void append_extension(std::vector<u8>& to, u32 type, std::span<const u8> bytes) {
  u8 head[8];
  store_be32(head, type);
  store_be32(head + 4, static_cast<u32>(bytes.size()));
  to.insert(to.end(), head, head + 8);
  to.insert(to.end(), bytes.begin(), bytes.end());
  to.resize(align_up(to.size(), 8));
}

}  // namespace

Result<std::vector<u8>> encode_header(const Header& header) {
  std::vector<u8> raw(header.version == 2 ? kHeaderLengthV2 : kHeaderLengthMine);
  store_be32(&raw[0], kMagic);
  store_be32(&raw[4], header.version);
  store_be32(&raw[header_at::kClusterBits], header.cluster_bits);
  store_be64(&raw[header_at::kSize], header.size_bytes);
  store_be32(&raw[header_at::kL1Size], header.l1_entries);
  store_be64(&raw[header_at::kL1Offset], header.l1_offset);
  store_be64(&raw[header_at::kRefcountTable], header.refcount_table_offset);
  store_be32(&raw[header_at::kRefcountTableClusters], header.refcount_table_clusters);
  store_be32(&raw[header_at::kSnapshotCount], header.snapshot_count);
  store_be64(&raw[header_at::kSnapshots], header.snapshots_offset);
  if (header.version == 3) {
    store_be64(&raw[header_at::kIncompatible], header.incompatible);
    store_be64(&raw[header_at::kCompatible], header.compatible);
    store_be64(&raw[header_at::kAutoclear], header.autoclear);
    store_be32(&raw[header_at::kRefcountOrder], header.refcount_order);
    store_be32(&raw[header_at::kHeaderLength], kHeaderLengthMine);
    raw[header_at::kCompressionType] = static_cast<u8>(header.compression);
  }
  if (!header.backing_format.empty()) {
    append_extension(raw, kExtBackingFormat,
                     {reinterpret_cast<const u8*>(header.backing_format.data()), header.backing_format.size()});
  }
  for (const auto& [type, bytes] : header.other_extensions) append_extension(raw, type, bytes);
  std::vector<u8> names;
  if (header.version == 3) {
    for (const FeatureName& feature : kFeatureNames) {
      std::array<u8, 48> row{feature.type, feature.number};
      std::memcpy(&row[2], feature.name, std::strlen(feature.name));
      names.insert(names.end(), row.begin(), row.end());
    }
  }
  const u64 must = raw.size() + 8 + header.backing_file.size();
  // The table of names is only for messages; small clusters do without.
  if (!names.empty() && must + names.size() + 8 <= header.cluster_bytes()) {
    append_extension(raw, kExtFeatureNames, names);
  }
  append_extension(raw, kExtEnd, {});
  if (!header.backing_file.empty()) {
    store_be64(&raw[header_at::kBackingOffset], raw.size());
    store_be32(&raw[header_at::kBackingSize], static_cast<u32>(header.backing_file.size()));
    raw.insert(raw.end(), header.backing_file.begin(), header.backing_file.end());
  }
  if (raw.size() > header.cluster_bytes()) {
    return Error{"header does not fit into one cluster; use a shorter backing file name or larger clusters"};
  }
  raw.resize(header.cluster_bytes());
  return raw;
}

}  // namespace xm::host::qcow2
