// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/virtio/rng.h"

namespace xm::devices {

namespace {

constexpr u64 kMaxRequest = 64 << 10;  // what one request gets at most; drivers ask again

}  // namespace

const VirtioDevice::Type& VirtioRng::type() const {
  static constexpr Type kType{"virtio-rng", 4, 0x1005, 0x00FF00};
  return kType;
}

void VirtioRng::notified(unsigned queue) {
  Chain chain;
  bool any = false;
  while (pop(queue, chain)) {
    u64 filled = 0;
    for (const std::span<u8> part : chain.writable()) {
      const std::span<u8> wanted = part.first(std::min<u64>(part.size(), kMaxRequest - filled));
      source_.fill(wanted);
      filled += wanted.size();
    }
    push(queue, chain, static_cast<u32>(filled));
    any = true;
  }
  if (any) transport().signal_queue(queue);
}

}  // namespace xm::devices
