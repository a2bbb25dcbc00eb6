// SPDX-License-Identifier: GPL-2.0-or-later
// BlockImage: an image format as worker threads see it: synchronous and thread-safe. AsyncBlock makes a BlockBackend of
// one. A format (raw, overlay, later qcow2) implements this and nothing else; formats stack by owning one another.
#pragma once

#include <memory>
#include <string>

#include "devices/block/block_backend.h"
#include "emu/bus/executor.h"
#include "emu/host/worker_pool.h"

namespace xm::host {

using devices::IoBuffers;
using devices::IoStatus;

class BlockImage {
 public:
  virtual ~BlockImage() = default;
  virtual std::string description() const = 0;
  virtual u64 size_bytes() const = 0;
  virtual bool read_only() const = 0;

  // The range lies within size_bytes(); the total of the buffers is its length.
  virtual IoStatus read(u64 offset, const IoBuffers& to) = 0;
  virtual IoStatus write(u64 offset, const IoBuffers& from) = 0;
  virtual IoStatus flush() = 0;
  virtual IoStatus discard(u64 offset, u64 length) = 0;
  virtual IoStatus write_zeroes(u64 offset, u64 length, bool may_unmap) = 0;
};

// Runs the image's requests on the pool and their outcomes on the executor.
std::shared_ptr<devices::BlockBackend> make_async_block(std::unique_ptr<BlockImage> image, WorkerPool& pool,
                                                        bus::Executor& executor);

}  // namespace xm::host
