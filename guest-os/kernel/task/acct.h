// SPDX-License-Identifier: GPL-2.0-or-later
// Process accounting. [man 2 acct]
#pragma once

namespace xm::os {
void acct_process(int exit_code);  // the last thread of a process ends
}
