// SPDX-License-Identifier: GPL-2.0-or-later
// The file system behind descriptors that are no files.
#pragma once

namespace xm::os {

struct file;
bool is_eventfd(const file* f);
void anon_inodes_init();
}  // namespace xm::os
