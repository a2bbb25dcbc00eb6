// SPDX-License-Identifier: GPL-2.0-or-later
// The PC's physical memory map: RAM below and above 4 GiB, the BIOS ROM at the top of 4 GiB and its alias below 1 MiB,
// and the shadow RAM at C0000-FFFFF that the host bridge switches by its PAM registers [290549 3.2.17].
//
//   00000000-0009FFFF RAM     000A0000-000BFFFF VGA      000C0000-000FFFFF shadow RAM over ROM
//   00100000-...      RAM up to 3.5 GiB at most           FEC00000 IOAPIC  FED00000 HPET  FEE00000 local APIC
//   4 GiB - ROM size  ROM     1_00000000-...  the rest of RAM
#pragma once

#include <array>
#include <memory>

#include "devices/pci/i440fx.h"
#include "emu/bus/address_space.h"

namespace xm::machine {

class PcMemory final : public devices::MemoryController {
 public:
  static Result<std::unique_ptr<PcMemory>> create(u64 memory_bytes, const std::vector<u8>& bios);

  bus::AddressSpace& space() { return space_; }
  bus::RamBlock& ram() { return *ram_; }
  u64 below_4g_bytes() const { return below_4g_; }
  u64 above_4g_bytes() const { return above_4g_; }
  // The ROM's bytes again (a guest can not write them; firmware may run from shadow RAM).
  void reset();

  // A20 low: the second megabyte shows the first.
  void set_a20(bool enabled);

  void set_pam(GuestPhys first, u64 size_bytes, bool reads_ram, bool writes_ram) override;
  void set_smram(bool enabled, bool open) override;

 private:
  PcMemory() = default;
  void map_ram();
  void map_rom(u64 rom_bytes);

  static constexpr unsigned kPamSegments = 13;  // twelve of 16 KiB from C0000, one of 64 KiB at F0000
  bus::AddressSpace space_;
  std::unique_ptr<bus::RamBlock> ram_;
  std::unique_ptr<bus::RamBlock> rom_;
  u64 below_4g_ = 0;
  u64 above_4g_ = 0;
  std::array<bus::AddressSpace::RegionId, kPamSegments> pam_{};
  bus::AddressSpace::RegionId smram_ = 0;
  bus::AddressSpace::RegionId a20_alias_ = 0;
};

}  // namespace xm::machine
