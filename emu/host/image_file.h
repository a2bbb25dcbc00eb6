// SPDX-License-Identifier: GPL-2.0-or-later
// Opening an image of any format with its backing files: what -drive and `xiaoma img` call.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "emu/base/result.h"
#include "emu/host/block_image.h"

namespace xm::host {

struct ImageOptions {
  std::string format;  // raw, qcow2; empty: guess from the first sector
  bool read_only = false;
  bool locking = true;  // false: -U, force-share=on
  bool direct = false;  // cache.direct: O_DIRECT
  bool write_through = false;
  bool no_flush = false;      // cache.no-flush
  bool discard = false;       // discard=unmap
  bool with_backing = true;   // false: leave the backing file closed
  bool any_size = false;      // raw files need not be whole sectors
  bool ignore_dirty = false;  // do not repair a dirty qcow2 image (check)
  bool quiet = false;         // no warning about a guessed format
};

Result<std::unique_ptr<BlockImage>> open_image(const std::string& path, const ImageOptions& options);

// The format by the first 512 bytes: "raw", "qcow2", or the name of one that is not supported ("vmdk", "vdi", ...).
std::string guess_format(std::span<const u8> first_sector);
Result<std::string> guess_format_of(const std::string& path);
// Refuses names of formats that we do not have.
Result<void> check_format_name(const std::string& format);
// A backing file's name as it stands in the image `of`, made into a path: relative names start at its folder; "file:"
// is taken off; other protocols are refused.
Result<std::string> resolve_backing_name(const std::string& of, const std::string& name);

// A disk of zeroes that forgets what is written (null-co).
std::unique_ptr<BlockImage> make_null_image(u64 size_bytes, bool read_zeroes);

std::unique_ptr<BlockImage> make_detect_zeroes(std::unique_ptr<BlockImage> image, bool unmap);

// A disk's volatile write cache, for power-cut tests: writes stay in memory until a flush. Ending the process (by any
// means) is the power cut: what was not flushed is lost, except for sectors that the cache happened to write before, in
// any order; `seed` chooses them.
std::unique_ptr<BlockImage> make_volatile_cache(std::unique_ptr<BlockImage> image, u64 seed);

}  // namespace xm::host
