// SPDX-License-Identifier: GPL-2.0-or-later
// Private to the PC's sources: the display adapter (-vga std).
#pragma once

#include <memory>

#include "devices/video/vga.h"
#include "devices/video/vga_pci.h"
#include "emu/machine/pc.h"

namespace xm::machine {

struct Pc::Display {
  static constexpr u64 kVideoMemoryBytes = u64{16} << 20;
  std::unique_ptr<bus::RamBlock> memory;
  std::unique_ptr<devices::Vga> vga;
  std::unique_ptr<devices::VgaPci> function;
};

}  // namespace xm::machine
