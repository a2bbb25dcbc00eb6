// SPDX-License-Identifier: GPL-2.0-or-later
// ACPI tables of the PC and the script by which firmware puts them into guest memory. The format of the script
// ("table loader") is the one QEMU's fw_cfg defines, so that other people's firmware reads it too.
#pragma once

#include <vector>

#include "emu/base/types.h"

namespace xm::machine {

struct AcpiConfig {
  unsigned cpus = 1;
  bool hpet = true;
};

// Three fw_cfg files: the tables, the root pointer, and the script that links them.
struct AcpiFiles {
  std::vector<u8> tables;  // etc/acpi/tables
  std::vector<u8> rsdp;    // etc/acpi/rsdp
  std::vector<u8> loader;  // etc/table-loader
};

AcpiFiles build_acpi(const AcpiConfig& config);

// Addresses the tables promise and the board keeps (emu/machine/pc.cc).
inline constexpr u16 kPmBase = 0x600;
inline constexpr u16 kGpeBase = kPmBase + 0x0C;
inline constexpr u8 kSciIrq = 9;
inline constexpr u32 kIoApicBase = 0xFEC00000;
inline constexpr u32 kLocalApicBase = 0xFEE00000;
inline constexpr u32 kHpetBase = 0xFED00000;

}  // namespace xm::machine
