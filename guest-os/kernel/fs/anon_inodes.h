// SPDX-License-Identifier: GPL-2.0-or-later
// The file system behind descriptors that are no files.
#pragma once

namespace xm::os {
void anon_inodes_init();
}
