// SPDX-License-Identifier: GPL-2.0-or-later
// Handlers that 32-bit programs need in a form of their own.
#pragma once

#include "kernel/syscall/calls.h"

namespace xm::os {
}
