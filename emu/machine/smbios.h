// SPDX-License-Identifier: GPL-2.0-or-later
// SMBIOS 2.8 structures of the machine [SMBIOS 7] and their entry point, handed to the firmware as two fw_cfg files.
#pragma once

#include <string>
#include <vector>

#include "emu/base/types.h"

namespace xm::machine {

struct SmbiosConfig {
  unsigned cpus = 1;
  u64 memory_bytes = 0;
  u64 below_4g_bytes = 0;
  std::string uuid;  // empty: all zeros
};

struct SmbiosFiles {
  std::vector<u8> tables;  // etc/smbios/smbios-tables
  std::vector<u8> anchor;  // etc/smbios/smbios-anchor; the firmware fills in the address and the checksums
};

SmbiosFiles build_smbios(const SmbiosConfig& config);

}  // namespace xm::machine
