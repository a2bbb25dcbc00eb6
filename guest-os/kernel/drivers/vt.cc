// SPDX-License-Identifier: GPL-2.0-or-later
// Terminals without hardware of their own. GAP: text console, pseudo terminals and epoll are added by the next changes.
#include "kernel/drivers/tty.h"

namespace xm::os {

void vt_init() {}
void pty_init() {}
void epoll_release_file(file*) {}

}  // namespace xm::os
