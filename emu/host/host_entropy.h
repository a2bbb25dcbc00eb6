// SPDX-License-Identifier: GPL-2.0-or-later
// Random bytes of the host kernel [man 2 getrandom].
#pragma once

#include <sys/random.h>

#include "devices/virtio/rng.h"

namespace xm::host {

class HostEntropy final : public devices::EntropySource {
 public:
  void fill(std::span<u8> bytes) override {
    while (!bytes.empty()) {
      const ssize_t got = getrandom(bytes.data(), bytes.size(), 0);
      if (got > 0) bytes = bytes.subspan(static_cast<std::size_t>(got));
    }
  }
};

}  // namespace xm::host
