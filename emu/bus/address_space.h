// SPDX-License-Identifier: GPL-2.0-or-later
// The guest-physical address space: RAM, ROM and MMIO regions with priorities, flattened to a sorted list of ranges.
// Reads and writes are resolved apart, because the chipset can send the reads of a range to ROM and its writes to the
// RAM below it (i440FX PAM registers). Listeners (software TLBs, KVM memory slots) hear of every change.
//
// Threads: changes need the machine lock. Lookups go through a Reader, one per thread, which notices a new map by a
// generation number and never blocks otherwise.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "emu/base/log.h"
#include "emu/base/result.h"
#include "emu/base/types.h"

namespace xm::bus {

class MmioHandler {
 public:
  // offset is relative to the region; size_bytes is 1, 2, 4 or 8 and never crosses the region's end.
  virtual u64 mmio_read(u64 offset, unsigned size_bytes) = 0;
  virtual void mmio_write(u64 offset, u64 value, unsigned size_bytes) = 0;

 protected:
  ~MmioHandler() = default;
};

// Per-page marks kept beside RAM.
inline constexpr u8 kPageHasCode = 1;  // some vCPU holds decoded instructions of this page: writers must report

// A piece of host memory that backs guest RAM or ROM.
class RamBlock {
 public:
  // Anonymous zeroed memory, page-aligned. size_bytes is rounded up to pages.
  static Result<std::unique_ptr<RamBlock>> create(std::string name, u64 size_bytes);
  ~RamBlock();
  RamBlock(const RamBlock&) = delete;
  RamBlock& operator=(const RamBlock&) = delete;

  const std::string& name() const { return name_; }
  u8* host() const { return host_; }
  u64 size_bytes() const { return size_bytes_; }
  std::atomic<u8>* page_marks() const { return marks_.get(); }

 private:
  RamBlock(std::string name, u8* host, u64 size_bytes);
  std::string name_;
  u8* host_;
  u64 size_bytes_;
  std::unique_ptr<std::atomic<u8>[]> marks_;
};

// What answers one access direction of a flat range.
struct Target {
  u8* host = nullptr;                // RAM or ROM: host address of the range's first byte
  std::atomic<u8>* marks = nullptr;  // page marks of the first page, with `host`
  MmioHandler* handler = nullptr;    // MMIO
  u64 handler_offset = 0;            // offset of the range's first byte in the handler's region
  bool discard = false;              // writes to ROM: accepted and dropped
  bool operator==(const Target&) const = default;
};

struct FlatRange {
  u64 first;  // guest-physical, inclusive
  u64 last;   // inclusive
  Target read;
  Target write;
  const char* name;  // of the region that answers reads, for the monitor
};

struct FlatView {
  std::vector<FlatRange> ranges;  // sorted, disjoint; holes answer reads with all ones
  const FlatRange* find(u64 address) const;
};

class AddressSpaceListener {
 public:
  // The map changed; `view` is the new one. Machine lock held.
  virtual void map_changed(const FlatView& view) = 0;

 protected:
  ~AddressSpaceListener() = default;
};

class AddressSpace {
 public:
  using RegionId = u32;  // 0 is none
  enum class Direction : u8 { Both, ReadsOnly, WritesOnly };

  AddressSpace();
  // `ram` must outlive the space. Higher priority wins; among equals the later one.
  RegionId add_ram(GuestPhys base, u64 size_bytes, RamBlock& ram, u64 offset, int priority, const char* name,
                   Direction direction = Direction::Both);
  RegionId add_rom(GuestPhys base, u64 size_bytes, RamBlock& rom, u64 offset, int priority, const char* name,
                   Direction direction = Direction::Both);
  RegionId add_mmio(GuestPhys base, u64 size_bytes, MmioHandler& handler, int priority, const char* name);
  void remove(RegionId id);
  void set_enabled(RegionId id, bool enabled);
  void set_direction(RegionId id, Direction direction);
  void move(RegionId id, GuestPhys base);

  // Batch of changes: the map is rebuilt once, when the outermost transaction ends.
  class Transaction {
   public:
    explicit Transaction(AddressSpace& space) : space_(space) { space_.depth_++; }
    ~Transaction() {
      if (--space_.depth_ == 0 && space_.changed_) space_.rebuild();
    }
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;

   private:
    AddressSpace& space_;
  };

  void add_listener(AddressSpaceListener& listener);
  void remove_listener(AddressSpaceListener& listener);

  // A thread's own door to the current map.
  class Reader {
   public:
    explicit Reader(const AddressSpace& space) : space_(space) {}
    const FlatView& view() {
      if (space_.generation_.load(std::memory_order_acquire) != seen_) refresh();
      return *view_;
    }
    // FlatView::find, which remembers: most accesses go where the last one went.
    const FlatRange* find(u64 address) {
      const FlatView& map = view();
      if (last_ == nullptr || address - last_->first > last_->last - last_->first) last_ = map.find(address);
      return last_;
    }

   private:
    void refresh();
    const AddressSpace& space_;
    const FlatRange* last_ = nullptr;
    u64 seen_ = 0;
    std::shared_ptr<const FlatView> view_;
  };

  struct Region {
    u64 base;
    u64 size_bytes;
    RamBlock* ram;
    u64 offset;
    MmioHandler* handler;
    int priority;
    const char* name;
    Direction direction;
    bool rom;
    bool enabled;
    bool live;
  };
  const std::vector<Region>& regions() const { return regions_; }  // for the monitor (info mtree)

 private:
  RegionId add(Region region);
  void changed();
  void rebuild();
  const Region* top_at(u64 address, bool write) const;
  Target target_at(const Region* region, u64 address, bool write) const;

  std::vector<Region> regions_;
  std::vector<AddressSpaceListener*> listeners_;
  mutable std::mutex view_mutex_;
  std::shared_ptr<const FlatView> view_;
  std::atomic<u64> generation_{1};
  int depth_ = 0;
  bool changed_ = false;
};

// Reads and writes of MMIO targets by any size: split into naturally aligned pieces of at most 8 bytes.
u64 mmio_read(const FlatRange* range, u64 address, unsigned size_bytes);
void mmio_write(const FlatRange* range, u64 address, u64 value, unsigned size_bytes);

}  // namespace xm::bus
