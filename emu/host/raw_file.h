// SPDX-License-Identifier: GPL-2.0-or-later
// Raw disk images and the throw-away overlay of snapshot=on.
#pragma once

#include <memory>
#include <string>

#include "emu/base/result.h"
#include "emu/host/block_image.h"
#include "emu/host/host_file.h"

namespace xm::host {

struct RawOptions {
  bool read_only = false;
  bool snapshot = false;  // writes go to a temporary file; the image is opened read-only
  bool locking = true;
  bool discard = false;   // discard=unmap: give storage back
  bool direct = false;    // O_DIRECT
  bool any_size = false;  // take a file that is empty or not whole sectors; the last sector is filled with zeroes
  // The format was guessed. Writes that would make the image look like another format are refused, so that a guest
  // cannot make the next start read files of the host through a forged header.
  bool guessed = false;
  enum class Cache : u8 { WriteBack, WriteThrough, Unsafe };
  Cache cache = Cache::WriteBack;
};

// Opens a raw image. A disk is whole 512-byte sectors and not empty; anything else is refused.
Result<std::unique_ptr<BlockImage>> open_raw_image(const std::string& path, const RawOptions& options);
// The same for a file that is open already (`snapshot` and `locking` do not matter).
Result<std::unique_ptr<BlockImage>> make_raw_image(HostFile file, const RawOptions& options);
// Puts an overlay over any image.
Result<std::unique_ptr<BlockImage>> make_overlay(std::unique_ptr<BlockImage> base);
// The same, ready for a Drive.
Result<std::shared_ptr<devices::BlockBackend>> open_raw_file(const std::string& path, const RawOptions& options,
                                                             WorkerPool& pool, bus::Executor& executor);

}  // namespace xm::host
