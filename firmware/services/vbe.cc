// SPDX-License-Identifier: GPL-2.0-or-later
// GAP: services not there yet answer as unsupported.
#include "services/video.h"
namespace xm::fw {
void int10_vbe(Frame&) {}
bool vbe_mode_active() { return false; }
void disable_dispi() {}
bool has_dispi() { return true; }
}  // namespace xm::fw
