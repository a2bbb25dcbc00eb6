// SPDX-License-Identifier: GPL-2.0-or-later
// BlockImage: an image format as worker threads see it: synchronous and thread-safe. AsyncBlock makes a BlockBackend of
// one. A format (raw, qcow2, overlay, volatile cache) implements this and nothing else; formats stack by owning one
// another. Offsets and lengths are bytes.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "devices/block/block_backend.h"
#include "emu/base/result.h"
#include "emu/bus/executor.h"
#include "emu/host/worker_pool.h"

namespace xm::host {

using devices::IoBuffers;
using devices::IoStatus;

class ImageSnapshots;

// What is known of a run of bytes without reading it.
struct Extent {
  u64 length_bytes = 0;     // at least 1
  bool allocated = true;    // this layer (not its backing file) decides the contents
  bool zero = false;        // reads as zeroes
  bool data = true;         // storage holds the bytes
  bool compressed = false;  // only meaningful with data
  bool has_offset = false;  // `offset` tells where in the file of this layer the bytes lie
  u64 offset = 0;
};

class BlockImage {
 public:
  virtual ~BlockImage() = default;
  virtual std::string description() const = 0;
  virtual std::string_view format() const { return "raw"; }
  virtual u64 size_bytes() const = 0;
  virtual bool read_only() const = 0;

  // The range lies within size_bytes(); the total of the buffers is its length.
  virtual IoStatus read(u64 offset, const IoBuffers& to) = 0;
  virtual IoStatus write(u64 offset, const IoBuffers& from) = 0;
  virtual IoStatus flush() = 0;
  virtual IoStatus discard(u64 offset, u64 length) = 0;
  virtual IoStatus write_zeroes(u64 offset, u64 length, bool may_unmap) = 0;

  // The run that starts at `offset` (below size_bytes()) and is no longer than `length` (at least 1).
  virtual Result<Extent> extent(u64 offset, u64 length) {
    (void)offset;
    return Extent{.length_bytes = length};
  }
  // The image that answers for what this one does not hold; null if there is none.
  virtual BlockImage* backing() { return nullptr; }
  // Grows or shrinks the image. No request may be in flight.
  virtual Result<void> resize(u64 size_bytes) {
    (void)size_bytes;
    return Error{"image cannot be resized: " + description()};
  }
  // Internal snapshots; null if the format has none.
  virtual ImageSnapshots* snapshots() { return nullptr; }
  // Writes compressed data over whole clusters that hold nothing yet (img convert -c). Unsupported if the format
  // cannot.
  virtual IoStatus write_compressed(u64 offset, std::span<const u8> cluster) {
    (void)offset;
    (void)cluster;
    return IoStatus::Unsupported;
  }
  // Makes this layer forget a range, so that the backing file shows through again (commit, rebase); Unsupported if it
  // cannot.
  virtual IoStatus forget(u64 offset, u64 length) {
    (void)offset;
    (void)length;
    return IoStatus::Unsupported;
  }
};

// Runs the image's requests on the pool and their outcomes on the executor.
std::shared_ptr<devices::BlockBackend> make_async_block(std::shared_ptr<BlockImage> image, WorkerPool& pool,
                                                        bus::Executor& executor);

// The part [offset, offset + length) of a scatter list.
IoBuffers slice_buffers(const IoBuffers& whole, u64 offset, u64 length);
void fill_zero(const IoBuffers& buffers);
bool all_zero(std::span<const u8> bytes);
// "input/output error", "no space left", ... for messages.
const char* io_status_text(IoStatus status);

}  // namespace xm::host

// IO_TRY(expr): returns the status of a step that failed from the enclosing function.
#define IO_TRY(expression)                                                                                            \
  do {                                                                                                                \
    if (const ::xm::devices::IoStatus io_try_ = (expression); io_try_ != ::xm::devices::IoStatus::Ok) return io_try_; \
  } while (false)
