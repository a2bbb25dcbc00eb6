// SPDX-License-Identifier: GPL-2.0-or-later
// DmaChannel: one channel of the 8237 pair as the device on its DREQ/DACK wires sees it. The device offers bytes when
// it has them; the controller knows address, count, direction and mask.
#pragma once

#include <span>

#include "emu/base/types.h"

namespace xm::devices {

class DmaChannel {
 public:
  struct Outcome {
    u32 bytes = 0;                // moved (or counted, in verify mode)
    bool terminal_count = false;  // TC: the programmed count has run out
  };

  // Whether the controller would serve a request now: enabled, unmasked, count not run out.
  virtual bool ready() const = 0;
  // DREQ with data for memory; moves as many of the bytes as the count allows. Bytes to places that are not memory are
  // lost, as on the bus.
  virtual Outcome to_memory(std::span<const u8> from) = 0;
  virtual Outcome from_memory(std::span<u8> to) = 0;

 protected:
  ~DmaChannel() = default;
};

}  // namespace xm::devices
