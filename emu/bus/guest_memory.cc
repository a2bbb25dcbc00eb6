// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/bus/guest_memory.h"

#include <algorithm>
#include <cstring>

namespace xm::bus {

bool GuestMemory::read(GuestPhys from, std::span<u8> to) {
  bool whole = true;
  const FlatView& view = reader_.view();
  for (u64 done = 0; done < to.size();) {
    const u64 address = from.value + done;
    const FlatRange* range = view.find(address);
    if (range == nullptr || range->read.host == nullptr) {
      to[done++] = 0xFF;
      whole = false;
      continue;
    }
    const u64 length = std::min<u64>(to.size() - done, range->last - address + 1);
    std::memcpy(to.data() + done, range->read.host + (address - range->first), length);
    done += length;
  }
  return whole;
}

bool GuestMemory::write(GuestPhys to, std::span<const u8> from) {
  bool whole = true;
  const FlatView& view = reader_.view();
  for (u64 done = 0; done < from.size();) {
    const u64 address = to.value + done;
    const FlatRange* range = view.find(address);
    if (range == nullptr || (range->write.host == nullptr && !range->write.discard)) {
      done++;
      whole = false;
      continue;
    }
    const u64 length = std::min<u64>(from.size() - done, range->last - address + 1);
    if (range->write.host != nullptr) {
      std::memcpy(range->write.host + (address - range->first), from.data() + done, length);
    }
    done += length;
  }
  wrote(to, from.size());
  return whole;
}

bool GuestMemory::fill(GuestPhys to, u8 value, u64 size_bytes) {
  u8 chunk[kPageSize];
  std::memset(chunk, value, sizeof chunk);
  bool whole = true;
  for (u64 done = 0; done < size_bytes;) {
    const u64 length = std::min<u64>(size_bytes - done, sizeof chunk);
    whole &= write(to + done, {chunk, length});
    done += length;
  }
  return whole;
}

std::span<u8> GuestMemory::window(GuestPhys address, u64 size_bytes, bool for_write) {
  const FlatRange* range = reader_.view().find(address.value);
  if (range == nullptr || size_bytes == 0 || size_bytes - 1 > range->last - address.value) return {};
  u8* host = for_write ? range->write.host : range->read.host;
  if (host == nullptr) return {};
  return {host + (address.value - range->first), size_bytes};
}

void GuestMemory::wrote(GuestPhys address, u64 size_bytes) {
  if (code_ == nullptr || size_bytes == 0) return;
  // A vCPU marks a page before it decodes from it: either it finds these bytes or we find its mark.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const FlatView& view = reader_.view();
  const u64 last = address.value + size_bytes - 1;
  for (u64 page = address.value & ~kPageMask; page <= last && page >= (address.value & ~kPageMask); page += kPageSize) {
    const FlatRange* range = view.find(std::max(page, address.value));
    if (range == nullptr || range->write.marks == nullptr) continue;
    const u64 at = std::max(page, address.value);
    const u64 index = ((range->first & kPageMask) + (at - range->first)) / kPageSize;
    if (range->write.marks[index].load(std::memory_order_relaxed) & kPageHasCode) {
      code_->code_written(GuestPhys{at}, std::min(last, page + kPageMask) - at + 1);
    }
  }
}

}  // namespace xm::bus
