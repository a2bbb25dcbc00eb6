// SPDX-License-Identifier: GPL-2.0-or-later
// The menu of systems, the editor of an entry and the prompt.
#pragma once

#include "boot/core/commands.h"

namespace xm::boot {

// Never returns: an entry starts, or the user stays.
[[noreturn]] void run_menu(Config& config, const Volume& home);
// A prompt for commands; returns on Escape if `leave` is true.
void run_prompt(Session& session, bool leave);

}  // namespace xm::boot
