// SPDX-License-Identifier: GPL-2.0-or-later
// -kernel, -initrd and -append: reads the files, checks them, decides where everything goes in guest memory by the
// Linux boot protocol, and hands the parts to the firmware as the fw_cfg items that QEMU defined for this.
#pragma once

#include <string>
#include <vector>

#include "emu/base/result.h"
#include "emu/base/types.h"

namespace xm::machine {

// One numbered fw_cfg item; the keys are firmware's contract (docs/firmware.md).
struct FwCfgItem {
  u16 key;
  std::vector<u8> bytes;
};

struct KernelImage {
  std::vector<FwCfgItem> items;
  bool linux_protocol = false;  // bzImage; otherwise a multiboot or ELF image
  std::string boot_protocol;    // for fw_cfg's "opt/xiaoma/boot-protocol": "multiboot" or "pvh", empty for Linux
};

// low_memory_bytes: RAM below 4 GiB.
Result<KernelImage> load_kernel(const std::string& kernel_path, const std::string& initrd_path,
                                const std::string& command_line, u64 low_memory_bytes);

// A whole file, with errors that name it. Empty files are refused.
Result<std::vector<u8>> read_file(const std::string& path, const char* what);

}  // namespace xm::machine
