// SPDX-License-Identifier: GPL-2.0-or-later
// The first root file system.
#pragma once

namespace xm::os {
void unpack_initramfs();
}
