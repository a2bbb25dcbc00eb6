// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/lockstep_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace xm::machine {

Result<std::unique_ptr<LockstepMemory>> LockstepMemory::create(bus::AddressSpace& space) {
  std::unique_ptr<LockstepMemory> memory(new LockstepMemory);
  for (const bus::AddressSpace::Region& region : space.regions()) {
    if (!region.live || region.ram == nullptr || memory->shadow_of(region.ram->host()) != nullptr) continue;
    const u64 size = region.ram->size_bytes();
    void* shadow = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (shadow == MAP_FAILED)
      return Error{std::string("no memory for the second copy of guest RAM: -lockstep: ") + std::strerror(errno)};
    std::memcpy(shadow, region.ram->host(), size);
    memory->blocks_.push_back({region.ram->host(), static_cast<u8*>(shadow), size});
    for (u64 page = 0; page < size / kPageSize; page++) region.ram->page_marks()[page].store(bus::kPageHasCode);
  }
  return memory;
}

LockstepMemory::~LockstepMemory() {
  for (const Block& block : blocks_) ::munmap(block.shadow, block.size_bytes);
}

u8* LockstepMemory::shadow_of(const u8* original) const {
  for (const Block& block : blocks_) {
    const u64 offset = static_cast<u64>(original - block.original);
    if (original >= block.original && offset < block.size_bytes) return block.shadow + offset;
  }
  return nullptr;
}

u8* LockstepMemory::original_of(const u8* shadow) const {
  for (const Block& block : blocks_) {
    const u64 offset = static_cast<u64>(shadow - block.shadow);
    if (shadow >= block.shadow && offset < block.size_bytes) return block.original + offset;
  }
  return nullptr;
}

}  // namespace xm::machine
