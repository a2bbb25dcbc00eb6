// SPDX-License-Identifier: GPL-2.0-or-later
// -kernel files that are not bzImages: Multiboot 1 images (a.out kludge or ELF) and ELF files with a PVH note. Each
// becomes one flat image and what its boot protocol wants beside it, as docs/firmware.md describes. [Multiboot 0.6.96,
// PVH]
#pragma once

#include "emu/machine/kernel_loader.h"

namespace xm::machine {

struct KernelRequest {
  const std::vector<u8>& file;
  const std::string& path;
  const std::string& initrd;  // Multiboot: modules, "file arguments,file arguments"
  const std::string& append;
  u64 low_memory_bytes;
};

bool is_multiboot(const std::vector<u8>& file);
bool is_elf(const std::vector<u8>& file);
Result<KernelImage> load_multiboot(const KernelRequest& request);
Result<KernelImage> load_pvh(const KernelRequest& request);

}  // namespace xm::machine
