// SPDX-License-Identifier: GPL-2.0-or-later
// Making an empty qcow2 image.
#pragma once

#include <string>

#include "emu/host/qcow2/header.h"

namespace xm::host::qcow2 {

struct CreateOptions {
  u64 size_bytes = 0;
  u32 version = 3;
  u64 cluster_bytes = 65536;
  u32 refcount_bits = 16;
  bool lazy_refcounts = false;
  Compression compression = Compression::Zlib;
  std::string backing_file, backing_format;
  enum class Preallocation : u8 { Off, Metadata, Falloc, Full };
  Preallocation preallocation = Preallocation::Off;
};

// Errors name the option that is wrong.
Result<void> check_create_options(const CreateOptions& options);
// Makes (or empties) the file and writes header, refcounts and an L1 table.
Result<void> create_image(const std::string& path, const CreateOptions& options);
// Bytes the file takes without data and with everything allocated (img measure).
struct Measure {
  u64 required_bytes = 0;
  u64 fully_allocated_bytes = 0;
};
Measure measure(const CreateOptions& options, u64 data_clusters);

}  // namespace xm::host::qcow2
