// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/pc_memory.h"

#include <algorithm>
#include <cstring>

#include "emu/base/bits.h"

namespace xm::machine {

namespace {

constexpr u64 kLowRamLimit = 0xE0000000;  // PCI memory begins here
constexpr u64 kFourGiB = u64{1} << 32;

// Priorities: PCI base registers have -1 (kPciRegionPriority), legacy windows lie over RAM, shadow RAM over ROM.
constexpr int kRamPriority = 0, kVgaPriority = 1, kRomPriority = 1, kShadowPriority = 2, kSmramPriority = 3;

}  // namespace

Result<std::unique_ptr<PcMemory>> PcMemory::create(u64 memory_bytes, const std::vector<u8>& bios) {
  if (bios.size() > (u64{8} << 20) || bios.size() % 4096 != 0) {
    return Error{"firmware image has an odd size (" + std::to_string(bios.size()) +
                 " bytes): -bios; expected whole 4 KiB pages, at most 8 MiB"};
  }
  std::unique_ptr<PcMemory> memory(new PcMemory);
  memory->below_4g_ = std::min(memory_bytes, kLowRamLimit);
  memory->above_4g_ = memory_bytes - memory->below_4g_;
  memory->ram_ = TRY(bus::RamBlock::create("guest RAM", std::max(memory_bytes, u64{1} << 20)));
  memory->rom_ = TRY(bus::RamBlock::create("firmware", bios.size()));
  std::memcpy(memory->rom_->host(), bios.data(), bios.size());
  const bus::AddressSpace::Transaction batch(memory->space_);
  memory->map_ram();
  memory->map_rom(bios.size());
  return memory;
}

void PcMemory::map_ram() {
  space_.add_ram({0}, 0xA0000, *ram_, 0, kRamPriority, "ram");
  space_.add_ram({0x100000}, below_4g_ - 0x100000, *ram_, 0x100000, kRamPriority, "ram");
  if (above_4g_ > 0) space_.add_ram({kFourGiB}, above_4g_, *ram_, below_4g_, kRamPriority, "ram-above-4g");
  for (unsigned i = 0; i < kPamSegments; i++) {
    const u64 base = 0xC0000 + u64{i} * 0x4000;
    const u64 size = i == kPamSegments - 1 ? 0x10000 : 0x4000;
    pam_[i] = space_.add_ram({base}, size, *ram_, base, kShadowPriority, "shadow-ram");
    space_.set_enabled(pam_[i], false);
  }
  // GAP: only the first odd megabyte is folded (what 8086 programs see), and only onto conventional memory.
  a20_alias_ = space_.add_ram({0x100000}, 0xA0000, *ram_, 0, kShadowPriority, "a20-alias");
  space_.set_enabled(a20_alias_, false);
  smram_ = space_.add_ram({0xA0000}, 0x20000, *ram_, 0xA0000, kSmramPriority, "smram");
  space_.set_enabled(smram_, false);
}

void PcMemory::map_rom(u64 rom_bytes) {
  space_.add_rom({kFourGiB - rom_bytes}, rom_bytes, *rom_, 0, kRomPriority, "bios");
  const u64 alias = std::min<u64>(rom_bytes, 0x20000);
  space_.add_rom({0x100000 - alias}, alias, *rom_, rom_bytes - alias, kRomPriority, "isa-bios");
}

void PcMemory::set_a20(bool enabled) { space_.set_enabled(a20_alias_, !enabled); }

void PcMemory::reset() {
  const bus::AddressSpace::Transaction batch(space_);
  for (const auto region : pam_) space_.set_enabled(region, false);
  space_.set_enabled(smram_, false);
  space_.set_enabled(a20_alias_, false);
}

void PcMemory::set_pam(GuestPhys first, u64 size_bytes, bool reads_ram, bool writes_ram) {
  using Direction = bus::AddressSpace::Direction;
  const bus::AddressSpace::Transaction batch(space_);
  for (unsigned i = 0; i < kPamSegments; i++) {
    const u64 base = 0xC0000 + u64{i} * 0x4000;
    if (base < first.value || base >= first.value + size_bytes) continue;
    space_.set_enabled(pam_[i], reads_ram || writes_ram);
    space_.set_direction(pam_[i], reads_ram && writes_ram ? Direction::Both
                                  : reads_ram             ? Direction::ReadsOnly
                                                          : Direction::WritesOnly);
  }
}

// GAP: SMRAM is only opened for everyone (D_OPEN); there is no separate view for SMM.
void PcMemory::set_smram(bool enabled, bool open) { space_.set_enabled(smram_, enabled && open); }

}  // namespace xm::machine
