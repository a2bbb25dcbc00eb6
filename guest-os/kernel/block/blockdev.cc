// SPDX-License-Identifier: GPL-2.0-or-later
// Block devices as file systems see them (fs/blockdev.h). GAP: no block driver has registered yet, so there is no
// device to find.
#include "kernel/fs/blockdev.h"

#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"

namespace xm::os {

Result<block_device*> blkdev_get_by_path(const char*) { return Error{ENXIO}; }
dev_t blkdev_number(const block_device*) { return 0; }
bool prepare_root(const char* device) {
  printk(KERN_ERR "VFS: Cannot open root device \"%s\"\n", device);
  return false;
}

}  // namespace xm::os
