// SPDX-License-Identifier: GPL-2.0-or-later
// HostFile with O_DIRECT: requests the file system would refuse go through an aligned buffer, in pieces.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "emu/base/bits.h"
#include "emu/host/block_image.h"
#include "emu/host/host_file.h"

namespace xm::host {

namespace {

constexpr u64 kBufferAlignment = 4096;
constexpr u64 kBounceBytes = 1 << 20;

struct Free {
  void operator()(u8* memory) const { std::free(memory); }
};
using AlignedBuffer = std::unique_ptr<u8, Free>;

AlignedBuffer aligned_buffer(u64 size_bytes) {
  return AlignedBuffer(static_cast<u8*>(std::aligned_alloc(kBufferAlignment, align_up(size_bytes, kBufferAlignment))));
}

IoStatus status_of_errno() { return errno == ENOSPC || errno == EDQUOT ? IoStatus::NoSpace : IoStatus::Error; }

// Zeroes what lies beyond the end of the file.
IoStatus read_block(int fd, u64 offset, u8* to, u64 length) {
  u64 done = 0;
  while (done < length) {
    const ssize_t got = pread(fd, to + done, length - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return status_of_errno();
    done += static_cast<u64>(got);
    // A short read ends at the end of the file; going on from there would not be aligned.
    if (got == 0 || done % 512 != 0) break;
  }
  std::memset(to + done, 0, length - done);
  return IoStatus::Ok;
}

IoStatus write_block(int fd, u64 offset, const u8* from, u64 length) {
  for (u64 done = 0; done < length;) {
    const ssize_t put = pwrite(fd, from + done, length - done, static_cast<off_t>(offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return put == 0 ? IoStatus::Error : status_of_errno();
    done += static_cast<u64>(put);
  }
  return IoStatus::Ok;
}

}  // namespace

void HostFile::probe_alignment() {
  direct_ = std::make_unique<DirectState>();
  const AlignedBuffer buffer = aligned_buffer(kBufferAlignment);
  if (pread(fd_, buffer.get(), 512, 512) < 0 && errno == EINVAL) direct_->alignment = 4096;
}

bool HostFile::aligned(u64 offset, const IoBuffers& buffers) const {
  const u64 mask = direct_->alignment - 1;
  return (offset & mask) == 0 && std::all_of(buffers.begin(), buffers.end(), [mask](std::span<u8> part) {
           return ((reinterpret_cast<u64>(part.data()) | part.size()) & mask) == 0;
         });
}

IoStatus HostFile::read_direct(u64 offset, const IoBuffers& to) const {
  if (aligned(offset, to)) {
    u64 at = offset;
    for (const std::span<u8> part : to) {
      const IoStatus status = read_block(fd_, at, part.data(), part.size());
      if (status != IoStatus::Ok) return status;
      at += part.size();
    }
    return IoStatus::Ok;
  }
  const u64 length = devices::total_bytes(to);
  const AlignedBuffer bounce = aligned_buffer(std::min(length + 2 * direct_->alignment, kBounceBytes));
  for (u64 done = 0; done < length;) {
    const u64 start = align_down(offset + done, direct_->alignment);
    const u64 skip = offset + done - start;
    const u64 size = std::min(length - done, kBounceBytes - direct_->alignment - skip);
    const IoStatus status = read_block(fd_, start, bounce.get(), align_up(skip + size, direct_->alignment));
    if (status != IoStatus::Ok) return status;
    const u8* from = bounce.get() + skip;
    for (const std::span<u8> part : slice_buffers(to, done, size)) {
      std::memcpy(part.data(), from, part.size());
      from += part.size();
    }
    done += size;
  }
  return IoStatus::Ok;
}

IoStatus HostFile::write_direct(u64 offset, const IoBuffers& from) const {
  const u64 length = devices::total_bytes(from);
  const bool partial = ((offset | length) & (direct_->alignment - 1)) != 0;
  std::shared_lock shared(direct_->blocks, std::defer_lock);
  std::unique_lock exclusive(direct_->blocks, std::defer_lock);
  if (partial)
    exclusive.lock();
  else
    shared.lock();
  if (aligned(offset, from)) {
    u64 at = offset;
    for (const std::span<u8> part : from) {
      const IoStatus status = write_block(fd_, at, part.data(), part.size());
      if (status != IoStatus::Ok) return status;
      at += part.size();
    }
    return IoStatus::Ok;
  }
  const AlignedBuffer bounce = aligned_buffer(std::min(length + 2 * direct_->alignment, kBounceBytes));
  for (u64 done = 0; done < length;) {
    const u64 start = align_down(offset + done, direct_->alignment);
    const u64 skip = offset + done - start;
    const u64 size = std::min(length - done, kBounceBytes - direct_->alignment - skip);
    const u64 whole = align_up(skip + size, direct_->alignment);
    if (skip != 0 || whole != size) {
      const IoStatus status = read_block(fd_, start, bounce.get(), whole);
      if (status != IoStatus::Ok) return status;
    }
    u8* to = bounce.get() + skip;
    for (const std::span<u8> part : slice_buffers(from, done, size)) {
      std::memcpy(to, part.data(), part.size());
      to += part.size();
    }
    const IoStatus status = write_block(fd_, start, bounce.get(), whole);
    if (status != IoStatus::Ok) return status;
    done += size;
  }
  return IoStatus::Ok;
}

}  // namespace xm::host
