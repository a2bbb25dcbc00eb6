// SPDX-License-Identifier: GPL-2.0-or-later
// Host views of guest-physical ranges for requests that are carried out in place (DMA).
#pragma once

#include "devices/block/block_backend.h"
#include "emu/bus/guest_memory.h"

namespace xm::devices {

// Appends the host memory behind [address, address + length) to `to`; false if any byte is not RAM (for reads by the
// device: RAM or ROM), and then `to` may have grown.
bool append_guest_buffers(bus::GuestMemory& memory, GuestPhys address, u64 length, bool for_write, IoBuffers& to);

}  // namespace xm::devices
