// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/bus/address_space.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "emu/base/bits.h"

namespace xm::bus {

Result<std::unique_ptr<RamBlock>> RamBlock::create(std::string name, u64 size_bytes) {
  const u64 size = align_up(size_bytes == 0 ? 1 : size_bytes, kPageSize);
  void* host = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (host == MAP_FAILED) {
    return Error{"cannot reserve " + std::to_string(size >> 20) + " MiB of host memory for " + name + ": " +
                 std::strerror(errno) + "; use a smaller -m"};
  }
  return std::unique_ptr<RamBlock>(new RamBlock(std::move(name), static_cast<u8*>(host), size));
}

RamBlock::RamBlock(std::string name, u8* host, u64 size_bytes)
    : name_(std::move(name)),
      host_(host),
      size_bytes_(size_bytes),
      marks_(new std::atomic<u8>[size_bytes / kPageSize]()) {}

RamBlock::~RamBlock() { munmap(host_, size_bytes_); }

const FlatRange* FlatView::find(u64 address) const {
  auto it = std::upper_bound(ranges.begin(), ranges.end(), address,
                             [](u64 a, const FlatRange& range) { return a < range.first; });
  if (it == ranges.begin()) return nullptr;
  --it;
  return address <= it->last ? &*it : nullptr;
}

AddressSpace::AddressSpace() : regions_(1, Region{}), view_(std::make_shared<FlatView>()) {}

AddressSpace::RegionId AddressSpace::add(Region region) {
  regions_.push_back(region);
  changed();
  return static_cast<RegionId>(regions_.size() - 1);
}

AddressSpace::RegionId AddressSpace::add_ram(GuestPhys base, u64 size_bytes, RamBlock& ram, u64 offset, int priority,
                                             const char* name, Direction direction) {
  CHECK(offset + size_bytes <= ram.size_bytes());
  return add({base.value, size_bytes, &ram, offset, nullptr, priority, name, direction, false, true, true});
}

AddressSpace::RegionId AddressSpace::add_rom(GuestPhys base, u64 size_bytes, RamBlock& rom, u64 offset, int priority,
                                             const char* name, Direction direction) {
  CHECK(offset + size_bytes <= rom.size_bytes());
  return add({base.value, size_bytes, &rom, offset, nullptr, priority, name, direction, true, true, true});
}

AddressSpace::RegionId AddressSpace::add_mmio(GuestPhys base, u64 size_bytes, MmioHandler& handler, int priority,
                                              const char* name) {
  return add({base.value, size_bytes, nullptr, 0, &handler, priority, name, Direction::Both, false, true, true});
}

void AddressSpace::remove(RegionId id) {
  if (id == 0 || id >= regions_.size()) return;
  regions_[id].live = false;
  regions_[id].enabled = false;
  changed();
}

void AddressSpace::set_enabled(RegionId id, bool enabled) {
  if (regions_[id].enabled == enabled) return;
  regions_[id].enabled = enabled;
  changed();
}

void AddressSpace::set_direction(RegionId id, Direction direction) {
  if (regions_[id].direction == direction) return;
  regions_[id].direction = direction;
  changed();
}

void AddressSpace::move(RegionId id, GuestPhys base) {
  if (regions_[id].base == base.value) return;
  regions_[id].base = base.value;
  changed();
}

void AddressSpace::changed() {
  changed_ = true;
  if (depth_ == 0) rebuild();
}

const AddressSpace::Region* AddressSpace::top_at(u64 address, bool write) const {
  const Region* top = nullptr;
  for (const Region& region : regions_) {
    if (!region.live || !region.enabled || region.size_bytes == 0) continue;
    if (address < region.base || address - region.base >= region.size_bytes) continue;
    if (region.direction == (write ? Direction::ReadsOnly : Direction::WritesOnly)) continue;
    if (top == nullptr || region.priority >= top->priority) top = &region;
  }
  return top;
}

Target AddressSpace::target_at(const Region* region, u64 address, bool write) const {
  if (region == nullptr) return {};
  const u64 offset = address - region->base;
  if (region->handler != nullptr) return {.handler = region->handler, .handler_offset = offset};
  if (region->rom && write) return {.discard = true};
  const u64 at = region->offset + offset;
  return {.host = region->ram->host() + at, .marks = region->ram->page_marks() + at / kPageSize};
}

void AddressSpace::rebuild() {
  changed_ = false;
  // Every point where the answer can change: the starts and ends of all regions.
  std::vector<u64> edges;
  for (const Region& region : regions_) {
    if (!region.live || !region.enabled || region.size_bytes == 0) continue;
    edges.push_back(region.base);
    edges.push_back(region.base + region.size_bytes);  // 0 at the very top of the space
  }
  std::sort(edges.begin(), edges.end());
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());

  auto view = std::make_shared<FlatView>();
  const Region* last_read = nullptr;
  const Region* last_write = nullptr;
  for (std::size_t i = 0; i < edges.size(); i++) {
    const u64 first = edges[i];
    const u64 last = i + 1 < edges.size() ? edges[i + 1] - 1 : ~u64{0};
    const Region* read = top_at(first, false);
    const Region* write = top_at(first, true);
    if (read != nullptr || write != nullptr) {
      const bool extends =
          !view->ranges.empty() && view->ranges.back().last + 1 == first && read == last_read && write == last_write;
      if (extends) {
        view->ranges.back().last = last;
      } else {
        const char* name = read != nullptr ? read->name : write->name;
        view->ranges.push_back({first, last, target_at(read, first, false), target_at(write, first, true), name});
      }
    }
    last_read = read;
    last_write = write;
  }
  {
    const std::scoped_lock lock(view_mutex_);
    view_ = view;
    generation_.fetch_add(1, std::memory_order_release);
  }
  for (AddressSpaceListener* listener : listeners_) listener->map_changed(*view);
}

void AddressSpace::add_listener(AddressSpaceListener& listener) { listeners_.push_back(&listener); }

void AddressSpace::remove_listener(AddressSpaceListener& listener) { std::erase(listeners_, &listener); }

void AddressSpace::Reader::refresh() {
  last_ = nullptr;
  const std::scoped_lock lock(space_.view_mutex_);
  view_ = space_.view_;
  seen_ = space_.generation_.load(std::memory_order_relaxed);
}

namespace {

// The widest aligned access that `left` bytes at `address` allow.
unsigned piece_size(u64 address, unsigned left) {
  unsigned size = 8;
  while (size > left || (address & (size - 1)) != 0) size /= 2;
  return size;
}

}  // namespace

u64 mmio_read(const FlatRange* range, u64 address, unsigned size_bytes) {
  u64 value = 0;
  for (unsigned done = 0; done < size_bytes;) {
    const unsigned size = piece_size(address + done, size_bytes - done);
    u64 part = ~u64{0};
    if (range != nullptr && range->read.handler != nullptr && address + done + size - 1 <= range->last) {
      part = range->read.handler->mmio_read(range->read.handler_offset + (address + done - range->first), size);
    }
    value |= (part & mask_of_bytes(size)) << (8 * done);
    done += size;
  }
  return value;
}

void mmio_write(const FlatRange* range, u64 address, u64 value, unsigned size_bytes) {
  for (unsigned done = 0; done < size_bytes;) {
    const unsigned size = piece_size(address + done, size_bytes - done);
    if (range != nullptr && range->write.handler != nullptr && address + done + size - 1 <= range->last) {
      range->write.handler->mmio_write(range->write.handler_offset + (address + done - range->first),
                                       (value >> (8 * done)) & mask_of_bytes(size), size);
    }
    done += size;
  }
}

}  // namespace xm::bus
