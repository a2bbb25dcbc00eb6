// SPDX-License-Identifier: GPL-2.0-or-later
// The software TLB, in two levels.
//
// Level 1 is what handlers probe inline: from a linear page to a host pointer, with every check already done for one
// context of rights. Reads and writes have tables of their own, so that a copy between aliased addresses never fights
// for a slot; the index folds higher address bits in. An entry is hit if `linear - page <= 4096 - size`, which also
// refuses accesses that cross the page. An all-zero entry is invalid: only linear page 0 could match it, and that page
// has its home in slot 0, whose invalid form names page 1 instead.
//
// Level 2 caches the result of page walks (frame and permissions), for every context, MMIO included; it refills level 1
// and is dropped by raising a generation number.
#pragma once

#include <array>
#include <memory>

#include "emu/base/types.h"

namespace xm::cpu::mmu {

enum class Access : u8 { Read, Write, Execute };

// Rights an access is made with. Checked never holds level-1 entries: every access takes the slow path, where alignment
// and data breakpoints are looked at.
enum class Context : u8 { User, Supervisor, SupervisorAc, Checked };
inline constexpr unsigned kFilledContexts = 3;

struct TlbEntry {
  u64 page;
  u64 delta;  // host address of a byte of the page minus its linear address

  u8* host(u64 linear) const { return reinterpret_cast<u8*>(delta + linear); }
};
static_assert(sizeof(TlbEntry) == 16);

inline constexpr unsigned kTlbSlots = 2048;

struct TlbTable {
  std::array<TlbEntry, kTlbSlots> read;
  std::array<TlbEntry, kTlbSlots> write;
};

inline unsigned tlb_slot(u64 linear) {
  return static_cast<unsigned>((linear >> 12) ^ (linear >> 23)) & (kTlbSlots - 1);
}
// The same as the entry's place in bytes: one shift less on the way of every access.
inline const TlbEntry& tlb_entry(const std::array<TlbEntry, kTlbSlots>& entries, u64 linear) {
  const u64 offset = ((linear >> 8) ^ (linear >> 19)) & u64{(kTlbSlots - 1) * sizeof(TlbEntry)};
  return *reinterpret_cast<const TlbEntry*>(reinterpret_cast<const u8*>(entries.data()) + offset);
}

// A page walk's result for one 4 KiB page.
struct Translation {
  u64 frame = 0;  // physical address of the 4 KiB page
  bool user = false;
  bool writable = false;  // by R/W of all levels, before CR0.WP
  bool no_execute = false;
  bool global = false;
  bool dirty = false;
  bool large = false;  // came from a page larger than 4 KiB
};

// Where a walk of 4-level or 5-level tables has found the page table of 2 MiB: the rights of the levels above it.
struct DirectoryEntry {
  u64 table = 0;
  bool user = false;
  bool writable = false;
  bool no_execute = false;
};

class Tlb {
 public:
  Tlb();

  const TlbTable* current;  // of the context in force

  void select(Context context) {
    context_ = context;
    current = table(context);
  }
  Context context() const { return context_; }
  const TlbTable* table(Context context) const;

  void fill_read(Context context, u64 linear, u8* host_page) { fill(context, linear, host_page, false); }
  void fill_write(Context context, u64 linear, u8* host_page) { fill(context, linear, host_page, true); }

  // Level 2: nullptr if the page is not known.
  const Translation* find(u64 linear) const;
  void insert(u64 linear, const Translation& translation);
  // The paging-structure cache [SDM3 4.10.3]; nullptr if the directory entry is not known.
  const DirectoryEntry* find_directory(u64 linear) const {
    const Directory& directory = directories_[directory_slot(linear)];
    return directory.region == linear >> 21 && directory.walks == walks_ ? &directory.entry : nullptr;
  }
  void insert_directory(u64 linear, const DirectoryEntry& entry) {
    directories_[directory_slot(linear)] = {linear >> 21, walks_, entry};
  }
  void note_executed(u64 linear) { mark(executed_, linear >> 12); }

  void flush(bool keep_global);
  // Drops one page, or everything if it may be part of a large page. True if code may have been fetched through it.
  bool flush_page(u64 linear);
  // Drops level-1 write entries to one host page: it became code and must be watched. False: there have been none since
  // the last flush but one, so nothing was written through one lately.
  bool flush_writes_to(const u8* host_page);

 private:
  struct Level2Entry {
    u64 page = 1;  // not page-aligned: never matches
    u64 generation = 0;
    Translation translation;
  };
  struct Directory {
    u64 region = 0;
    u64 walks = 0;
    DirectoryEntry entry;
  };
  static constexpr unsigned kDirectories = 128;
  static unsigned directory_slot(u64 linear) {
    return static_cast<unsigned>((linear >> 21) ^ (linear >> 30)) % kDirectories;
  }
  static constexpr unsigned kSets = 1024;
  static constexpr unsigned kWays = 4;
  static constexpr unsigned kLogSize = 512;
  static constexpr unsigned kFilterBits = 1024;
  using Filter = std::array<u64, kFilterBits / 64>;

  // Which level-1 slots have been filled since the last flush, so that a flush costs what was used.
  struct FillLog {
    unsigned count = 0;
    std::array<u16, kLogSize> slots;
  };

  // Which slot a host page was last entered for writing in, so that one page can be evicted without a search.
  struct Writer {
    const u8* host = nullptr;
    u64 flushes = 0;
    u16 slot = 0;
    bool several = false;  // other slots or other pages share this record: search
  };
  static constexpr unsigned kWriters = 1024;
  Writer& writer_of(const u8* host) { return (*writers_)[(reinterpret_cast<std::uintptr_t>(host) >> 12) % kWriters]; }
  void note_writer(const u8* host, unsigned slot);

  void fill(Context context, u64 linear, u8* host_page, bool for_write);
  void flush_level1();
  static void clear_slot(TlbEntry* entries, unsigned slot);
  static unsigned set_of(u64 linear) {
    return static_cast<unsigned>((linear >> 12) ^ (linear >> 22) ^ (linear >> 32)) & (kSets - 1);
  }
  static unsigned filter_bit(u64 number) {
    return static_cast<unsigned>((number * 0x9E3779B97F4A7C15u) >> 54);  // 10 bits
  }
  static bool test(const Filter& filter, u64 number) {
    const unsigned at = filter_bit(number);
    return (filter[at / 64] >> (at % 64)) & 1;
  }
  static void mark(Filter& filter, u64 number) {
    const unsigned at = filter_bit(number);
    filter[at / 64] |= u64{1} << (at % 64);
  }

  Context context_ = Context::Supervisor;
  std::unique_ptr<std::array<TlbTable, kFilledContexts>> tables_;
  std::array<FillLog, kFilledContexts> logs_;
  std::unique_ptr<std::array<Level2Entry, kSets * kWays>> level2_;
  std::unique_ptr<std::array<Writer, kWriters>> writers_;
  u64 flushes_ = 1;            // of level 1
  u64 generation_ = 1;         // of non-global entries
  u64 global_generation_ = 1;  // of global entries
  u64 walks_ = 1;              // generation of the paging-structure cache
  unsigned next_way_ = 0;
  std::array<Directory, kDirectories> directories_{};
  Filter large_{};     // 1 GiB regions in which a large page was seen
  Filter executed_{};  // pages that code was fetched from
};

}  // namespace xm::cpu::mmu
