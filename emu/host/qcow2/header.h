// SPDX-License-Identifier: GPL-2.0-or-later
// The qcow2 header with its extensions, as checked values [QCOW2 Header, Header extensions].
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "emu/base/result.h"
#include "emu/host/host_file.h"
#include "emu/host/qcow2/format.h"

namespace xm::host::qcow2 {

enum class Compression : u8 { Zlib = 0, Zstd = 1 };

struct Header {
  u32 version = 3;
  std::string backing_file;
  std::string backing_format;  // empty: not recorded
  u32 cluster_bits = 16;
  u64 size_bytes = 0;
  u32 l1_entries = 0;
  u64 l1_offset = 0;
  u64 refcount_table_offset = 0;
  u32 refcount_table_clusters = 0;
  u32 snapshot_count = 0;
  u64 snapshots_offset = 0;
  u64 incompatible = 0, compatible = 0, autoclear = 0;
  u32 refcount_order = 4;
  Compression compression = Compression::Zlib;
  // Extensions that are kept as they are, type and bytes.
  std::vector<std::pair<u32, std::vector<u8>>> other_extensions;

  u64 cluster_bytes() const { return u64{1} << cluster_bits; }
  bool extended_l2() const { return (incompatible & kExtendedL2) != 0; }
  u32 l2_entry_bytes() const { return extended_l2() ? 16 : 8; }
  u64 l2_entries() const { return cluster_bytes() / l2_entry_bytes(); }
  u64 l2_coverage() const { return l2_entries() << cluster_bits; }
  u64 l1_entries_for(u64 bytes) const { return (bytes + l2_coverage() - 1) / l2_coverage(); }
  u64 refcounts_per_block() const { return (cluster_bytes() * 8) >> refcount_order; }
  u64 max_refcount() const { return refcount_order == 6 ? ~u64{0} : (u64{1} << (1u << refcount_order)) - 1; }
};

// Reads and checks everything that can be judged without following tables. The error names the file and the field.
Result<Header> read_header(const HostFile& file);
// The first cluster: header, extensions, feature names, backing file name. An error if it does not fit.
Result<std::vector<u8>> encode_header(const Header& header);

}  // namespace xm::host::qcow2
