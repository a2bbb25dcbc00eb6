// SPDX-License-Identifier: GPL-2.0-or-later
// Client of the fw_cfg device: selector and data ports, file directory and the DMA interface.
// Defined by QEMU's docs/specs/fw_cfg.rst.
#pragma once

#include "lib/types.h"

namespace xm::fw {

enum class FwCfgKey : u16 {
  Signature = 0x00,
  Id = 0x01,
  CpuCount = 0x05,
  KernelAddress = 0x07,
  KernelSize = 0x08,
  InitrdAddress = 0x0A,
  InitrdSize = 0x0B,
  BootMenu = 0x0E,
  MaxCpus = 0x0F,
  KernelEntry = 0x10,
  KernelData = 0x11,
  InitrdData = 0x12,
  CommandLineAddress = 0x13,
  CommandLineSize = 0x14,
  CommandLineData = 0x15,
  SetupAddress = 0x16,
  SetupSize = 0x17,
  SetupData = 0x18,
  FileDirectory = 0x19,
};

struct FwCfgFile {
  u32 size;
  u16 key;
};

// Probes for the device. Returns 0 without one, else bit 0, and bit 1 with the DMA interface.
u16 fw_cfg_probe();
// Reads from the start of an item. Bytes past its end read as zero.
void fw_cfg_read(u16 key, void* to, u32 length);
// The same into any physical address below 4 GiB.
void fw_cfg_read_physical(u16 key, u32 to, u32 length);
// Continues the item that was selected last.
void fw_cfg_read_more(void* to, u32 length);
// Writes into an item (DMA only); false if that failed.
bool fw_cfg_write(u16 key, u32 offset, const void* from, u32 length);

u16 fw_cfg_read16(FwCfgKey key);
u32 fw_cfg_read32(FwCfgKey key);

bool fw_cfg_find(const char* name, FwCfgFile* found);
// Calls visit(context, name, file) for each file until it returns true.
using FwCfgVisitor = bool (*)(void* context, const char* name, const FwCfgFile& file);
void fw_cfg_each_file(FwCfgVisitor visit, void* context);
// Reads a file's first bytes; returns how many there were (0: no such file).
u32 fw_cfg_read_file(const char* name, void* to, u32 room);

}  // namespace xm::fw
