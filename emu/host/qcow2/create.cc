// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/qcow2/create.h"

#include <algorithm>
#include <bit>

#include "emu/base/exit_status.h"
#include "emu/host/qcow2/qcow2_image.h"

namespace xm::host::qcow2 {

namespace {

// [header][refcount table][refcount blocks][L1 table]
struct Layout {
  u64 table_clusters = 1, blocks = 1, l1_clusters = 1;
  u64 used() const { return 1 + table_clusters + blocks + l1_clusters; }
};

Layout lay_out(const Header& header) {
  Layout layout;
  layout.l1_clusters =
      std::max<u64>(1, align_up(u64{header.l1_entries} * 8, header.cluster_bytes()) >> header.cluster_bits);
  for (;;) {
    const u64 blocks = (layout.used() + header.refcounts_per_block() - 1) / header.refcounts_per_block();
    const u64 table = align_up(blocks * 8, header.cluster_bytes()) >> header.cluster_bits;
    if (blocks <= layout.blocks && table <= layout.table_clusters) return layout;
    layout.blocks = std::max(layout.blocks, blocks);
    layout.table_clusters = std::max(layout.table_clusters, table);
  }
}

Header header_for(const CreateOptions& options) {
  Header header;
  header.version = options.version;
  header.cluster_bits = static_cast<u32>(std::countr_zero(options.cluster_bytes));
  header.size_bytes = options.size_bytes;
  header.refcount_order = static_cast<u32>(std::countr_zero(options.refcount_bits));
  header.backing_file = options.backing_file;
  header.backing_format = options.backing_format;
  header.compression = options.compression;
  if (options.compression != Compression::Zlib) header.incompatible |= kCompressionType;
  if (options.lazy_refcounts) header.compatible |= kLazyRefcounts;
  header.l1_entries = static_cast<u32>(std::min<u64>(header.l1_entries_for(options.size_bytes), ~u32{0}));
  return header;
}

Result<void> write_tables(const HostFile& file, Header& header) {
  const Layout layout = lay_out(header);
  const u64 cluster = header.cluster_bytes();
  header.refcount_table_offset = cluster;
  header.refcount_table_clusters = static_cast<u32>(layout.table_clusters);
  const u64 blocks_at = cluster * (1 + layout.table_clusters);
  header.l1_offset = blocks_at + cluster * layout.blocks;
  const Error failed{"cannot write: " + file.path() + ": no space left or input/output error", exit_status::kImage};

  std::vector<u8> table(layout.table_clusters * cluster);
  // encode() needs no file: a Refcounts without a table does.
  MetadataCache cache(file, std::min(cluster, MetadataCache::kMaxSliceBytes), [] { return IoStatus::Error; });
  const Refcounts codec(file, header, cache, [](const std::string&) { return IoStatus::Error; });
  for (u64 i = 0; i < layout.blocks; i++) {
    store_be64(&table[i * 8], blocks_at + i * cluster);
    std::vector<u8> block(cluster);
    const u64 first = i * header.refcounts_per_block();
    for (u64 at = first; at < std::min(layout.used(), first + header.refcounts_per_block()); at++) {
      codec.encode(block.data(), at - first, 1);
    }
    if (file.write_bytes(blocks_at + i * cluster, block) != IoStatus::Ok) return failed;
  }
  if (file.write_bytes(header.refcount_table_offset, table) != IoStatus::Ok) return failed;
  // The L1 table is all zeroes; the file only has to be long enough.
  if (!file.is_block_device() && file.truncate(layout.used() * cluster) != IoStatus::Ok) return failed;
  if (file.is_block_device() && file.write_zeroes(header.l1_offset, layout.l1_clusters * cluster) != IoStatus::Ok)
    return failed;
  const std::vector<u8> raw = TRY(encode_header(header));
  if (file.write_bytes(0, raw) != IoStatus::Ok || file.flush() != IoStatus::Ok) return failed;
  return {};
}

}  // namespace

Result<void> check_create_options(const CreateOptions& options) {
  if (!std::has_single_bit(options.cluster_bytes) || options.cluster_bytes < 512 || options.cluster_bytes > (2u << 20))
    return Error{"Cluster size must be a power of two between 512 and 2048k"};
  if (!std::has_single_bit(options.refcount_bits) || options.refcount_bits > 64)
    return Error{"Refcount width must be a power of two and may not exceed 64 bits"};
  if (options.version == 2 && options.refcount_bits != 16)
    return Error{
        "Different refcount widths than 16 bits require compatibility level 1.1 or above (use version=v3 or greater)"};
  if (options.version == 2 && options.lazy_refcounts)
    return Error{"Lazy refcounts only supported with compatibility level 1.1 and above (use version=v3 or greater)"};
  if (options.version == 2 && options.compression != Compression::Zlib)
    return Error{
        "Non-zlib compression type is only supported with compatibility level 1.1 and above (use version=v3 or "
        "greater)"};
  if (options.size_bytes > bit(63) - 1 - 512) return Error{"Image size must be less than 8 EiB!"};
  const Header header = header_for(options);
  if (header.l1_entries_for(options.size_bytes) * 8 > kMaxL1Bytes)
    return Error{"The image size is too large for file format 'qcow2' (try using a larger cluster size)"};
  if (options.backing_file.size() > kMaxBackingName) return Error{"Backing file name is too long"};
  if (!options.backing_file.empty() && options.preallocation != CreateOptions::Preallocation::Off)
    return Error{"Backing file and preallocation can only be used at the same time if extended_l2 is enabled"};
  TRY(encode_header(header));
  return {};
}

Result<void> create_image(const std::string& path, const CreateOptions& options) {
  TRY(check_create_options(options));
  HostFile file = TRY(HostFile::create(path, 0));
  Header header = header_for(options);
  TRY(write_tables(file, header));
  if (options.preallocation == CreateOptions::Preallocation::Off) return {};
  Qcow2Options open_options;
  std::unique_ptr<Qcow2Image> image = TRY(Qcow2Image::open(std::move(file), open_options, nullptr));
  TRY(image->allocate_everything());
  const u64 end = TRY(image->file().size_bytes());
  IoStatus status = IoStatus::Ok;
  if (options.preallocation == CreateOptions::Preallocation::Falloc) {
    status = image->file().reserve(0, end);
  } else if (options.preallocation == CreateOptions::Preallocation::Full) {
    const std::vector<u8> zeroes(1 << 20);
    for (u64 at = 0; at < options.size_bytes && status == IoStatus::Ok; at += zeroes.size()) {
      const u64 size = std::min<u64>(zeroes.size(), options.size_bytes - at);
      status = image->write(at, {std::span(const_cast<u8*>(zeroes.data()), size)});
    }
  }
  if (status == IoStatus::Ok) status = image->flush();
  if (status != IoStatus::Ok) {
    return Error{"cannot preallocate: " + path + ": " + io_status_text(status), exit_status::kImage};
  }
  return {};
}

// As if the metadata were packed: header, L1, an L2 table for each started range with data, refcounts for all of it.
Measure measure(const CreateOptions& options, u64 data_clusters) {
  const Header header = header_for(options);
  const auto total = [&](u64 data) {
    const u64 cluster = header.cluster_bytes();
    const u64 l2_tables = header.l1_entries_for(align_up(options.size_bytes, cluster));
    const u64 fixed = 1 + align_up(l2_tables * 8, cluster) / cluster + l2_tables + data;
    u64 blocks = 1, table = 1;
    for (;;) {
      const u64 need = (fixed + blocks + table + header.refcounts_per_block() - 1) / header.refcounts_per_block();
      const u64 need_table = align_up(need * 8, cluster) / cluster;
      if (need <= blocks && need_table <= table) break;
      blocks = std::max(blocks, need);
      table = std::max(table, need_table);
    }
    return (fixed + blocks + table) * cluster;
  };
  return {total(data_clusters), total(align_up(options.size_bytes, header.cluster_bytes()) >> header.cluster_bits)};
}

}  // namespace xm::host::qcow2
