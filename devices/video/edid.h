// SPDX-License-Identifier: GPL-2.0-or-later
// The identification block of the monitor that hangs on the emulated card [VESA E-EDID 1.4].
#pragma once

#include <array>

#include "emu/base/types.h"

namespace xm::devices {

// A digital monitor that prefers width x height at 60 Hz; both at most 4095.
std::array<u8, 128> make_edid(u32 width, u32 height);

}  // namespace xm::devices
