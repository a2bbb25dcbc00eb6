// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/block_image.h"

#include <algorithm>
#include <cstring>

#include "emu/host/image_snapshots.h"

namespace xm::host {

IoBuffers slice_buffers(const IoBuffers& whole, u64 offset, u64 length) {
  IoBuffers result;
  for (const std::span<u8> part : whole) {
    if (offset >= part.size()) {
      offset -= part.size();
      continue;
    }
    const u64 size = std::min<u64>(part.size() - offset, length);
    if (size == 0) break;
    result.push_back(part.subspan(offset, size));
    length -= size;
    offset = 0;
  }
  return result;
}

void fill_zero(const IoBuffers& buffers) {
  for (const std::span<u8> part : buffers) std::memset(part.data(), 0, part.size());
}

bool all_zero(std::span<const u8> bytes) {
  if (bytes.empty()) return true;
  // Compares the block with itself, shifted by a byte: memcmp is the fastest loop there is.
  return bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

const char* io_status_text(IoStatus status) {
  switch (status) {
    case IoStatus::Ok: return "no error";
    case IoStatus::Error: return "input/output error";
    case IoStatus::NoSpace: return "no space left on device";
    case IoStatus::ReadOnly: return "read-only";
    case IoStatus::OutOfRange: return "beyond the end";
    case IoStatus::Unsupported: return "not supported";
  }
  return "unknown";
}

const SnapshotInfo* find_snapshot(const std::vector<SnapshotInfo>& all, const std::string& name) {
  for (const SnapshotInfo& info : all) {
    if (info.id == name) return &info;
  }
  for (const SnapshotInfo& info : all) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

}  // namespace xm::host
