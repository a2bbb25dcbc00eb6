// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/block/guest_buffers.h"

#include <algorithm>

namespace xm::devices {

bool append_guest_buffers(bus::GuestMemory& memory, GuestPhys address, u64 length, bool for_write, IoBuffers& to) {
  if (length == 0) return true;
  if (const std::span<u8> whole = memory.window(address, length, for_write); !whole.empty()) {
    to.push_back(whole);
    return true;
  }
  if (address.value + length < address.value) return false;
  // The range crosses a border of the map (or leaves memory): go page by page, joining what is contiguous.
  for (u64 done = 0; done < length;) {
    const u64 at = address.value + done;
    const u64 size = std::min(length - done, kPageSize - (at & kPageMask));
    const std::span<u8> part = memory.window(GuestPhys{at}, size, for_write);
    if (part.empty()) return false;
    if (!to.empty() && to.back().data() + to.back().size() == part.data()) {
      to.back() = {to.back().data(), to.back().size() + part.size()};
    } else {
      to.push_back(part);
    }
    done += size;
  }
  return true;
}

}  // namespace xm::devices
