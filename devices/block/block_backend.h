// SPDX-License-Identifier: GPL-2.0-or-later
// BlockBackend: the asynchronous host side of a disk. A device hands over buffers and hears the outcome later.
//
// Contract:
// - All calls are made with the machine lock held and return at once; the work is done elsewhere.
// - `done` runs on the machine thread with the lock held, never from inside the call that started the request.
// - Requests may complete in any order. Overlapping requests in flight have no order: the guest's own business.
// - A write is on stable storage after a flush() that was started after the write completed (unless the user asked for
//   less by a cache mode).
// - Buffers stay valid until `done` has run. Offsets and lengths are bytes and need no alignment; the range must lie
//   within size_bytes(), else the outcome is OutOfRange.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "emu/base/types.h"

namespace xm::devices {

enum class IoStatus : u8 {
  Ok,
  Error,       // the host could not do it (EIO)
  NoSpace,     // the host's disk is full (ENOSPC)
  ReadOnly,    // write to a read-only medium
  OutOfRange,  // beyond the end
  Unsupported,
};

// A scatter list of host memory.
using IoBuffers = std::vector<std::span<u8>>;

inline u64 total_bytes(const IoBuffers& buffers) {
  u64 total = 0;
  for (const std::span<u8> part : buffers) total += part.size();
  return total;
}

class BlockBackend {
 public:
  using Done = std::function<void(IoStatus)>;

  virtual ~BlockBackend() = default;
  // What the user called it, for `info block` and messages.
  virtual std::string description() const = 0;
  virtual u64 size_bytes() const = 0;
  virtual bool read_only() const = 0;

  virtual void read(u64 offset, IoBuffers to, Done done) = 0;
  virtual void write(u64 offset, IoBuffers from, Done done) = 0;
  virtual void flush(Done done) = 0;
  // A hint: the contents become undefined (in practice zero or unchanged).
  virtual void discard(u64 offset, u64 length, Done done) = 0;
  enum class Unmap : u8 { Keep, Allow };  // whether storage may be given back
  virtual void write_zeroes(u64 offset, u64 length, Unmap unmap, Done done) = 0;
  // Blocks until every request is finished on the host's side; their `done` calls have been posted by then.
  virtual void drain() = 0;
};

}  // namespace xm::devices
