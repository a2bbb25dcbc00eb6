// SPDX-License-Identifier: GPL-2.0-or-later
// Contexts of asynchronous I/O belong to an address space.
#pragma once

namespace xm::os {

struct mm_struct;
void exit_aio(mm_struct* mm);

}  // namespace xm::os
