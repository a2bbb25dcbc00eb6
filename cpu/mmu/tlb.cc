// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/mmu/tlb.h"

#include <cstring>

namespace xm::cpu::mmu {

namespace {

constexpr u16 kLogWrite = 0x8000;

constexpr TlbTable make_empty_table() {
  TlbTable table{};
  table.read[0].page = kPageSize;
  table.write[0].page = kPageSize;
  return table;
}
constexpr TlbTable kEmptyTable = make_empty_table();

}  // namespace

Tlb::Tlb()
    : tables_(std::make_unique<std::array<TlbTable, kFilledContexts>>()),
      level2_(std::make_unique<std::array<Level2Entry, kSets * kWays>>()),
      writers_(std::make_unique<std::array<Writer, kWriters>>()) {
  for (TlbTable& table : *tables_) table = kEmptyTable;
  select(Context::Supervisor);
}

const TlbTable* Tlb::table(Context context) const {
  return context == Context::Checked ? &kEmptyTable : &(*tables_)[static_cast<unsigned>(context)];
}

void Tlb::clear_slot(TlbEntry* entries, unsigned slot) { entries[slot] = {slot == 0 ? kPageSize : 0, 0}; }

void Tlb::fill(Context context, u64 linear, u8* host_page, bool for_write) {
  if (context == Context::Checked) return;
  const unsigned slot = tlb_slot(linear);
  TlbTable& table = (*tables_)[static_cast<unsigned>(context)];
  TlbEntry& entry = for_write ? table.write[slot] : table.read[slot];
  const u64 page = linear & ~kPageMask;
  entry = {page, reinterpret_cast<std::uintptr_t>(host_page) - page};
  if (for_write) note_writer(host_page, slot);
  FillLog& log = logs_[static_cast<unsigned>(context)];
  if (log.count < kLogSize) log.slots[log.count] = static_cast<u16>(slot | (for_write ? kLogWrite : 0));
  if (log.count <= kLogSize) ++log.count;
}

const Translation* Tlb::find(u64 linear) const {
  const u64 page = linear & ~kPageMask;
  const Level2Entry* ways = &(*level2_)[set_of(linear) * kWays];
  for (unsigned i = 0; i < kWays; ++i) {
    if (ways[i].page != page) continue;
    const u64 wanted = ways[i].translation.global ? global_generation_ : generation_;
    if (ways[i].generation == wanted) return &ways[i].translation;
  }
  return nullptr;
}

void Tlb::insert(u64 linear, const Translation& translation) {
  const u64 page = linear & ~kPageMask;
  Level2Entry* ways = &(*level2_)[set_of(linear) * kWays];
  unsigned way = next_way_++ % kWays;
  for (unsigned i = 0; i < kWays; ++i) {
    if (ways[i].page == page) way = i;
  }
  ways[way] = {page, translation.global ? global_generation_ : generation_, translation};
  if (translation.large) mark(large_, linear >> 30);
}

void Tlb::note_writer(const u8* host, unsigned slot) {
  Writer& writer = writer_of(host);
  if (writer.flushes != flushes_)
    writer = {host, flushes_, static_cast<u16>(slot), false};
  else if (writer.host != host || writer.slot != slot)
    writer.several = true;
}

void Tlb::flush_level1() {
  ++flushes_;
  for (unsigned i = 0; i < kFilledContexts; ++i) {
    FillLog& log = logs_[i];
    TlbTable& table = (*tables_)[i];
    if (log.count > kLogSize) {
      table = kEmptyTable;
    } else {
      for (unsigned n = 0; n < log.count; ++n) {
        const unsigned slot = log.slots[n] & ~kLogWrite;
        clear_slot((log.slots[n] & kLogWrite) != 0 ? table.write.data() : table.read.data(), slot);
      }
    }
    log.count = 0;
  }
}

void Tlb::flush(bool keep_global) {
  flush_level1();
  ++generation_;
  ++walks_;
  executed_ = {};
  if (keep_global) return;
  ++global_generation_;
  large_ = {};
}

bool Tlb::flush_page(u64 linear) {
  if (test(large_, linear >> 30)) {
    flush(false);
    return true;
  }
  ++walks_;  // of all addresses [SDM3 4.10.4.1]
  const u64 page = linear & ~kPageMask;
  const unsigned slot = tlb_slot(linear);
  for (TlbTable& table : *tables_) {
    if (table.read[slot].page == page) clear_slot(table.read.data(), slot);
    if (table.write[slot].page == page) clear_slot(table.write.data(), slot);
  }
  Level2Entry* ways = &(*level2_)[set_of(linear) * kWays];
  for (unsigned i = 0; i < kWays; ++i) {
    if (ways[i].page == page) ways[i].page = 1;
  }
  return test(executed_, page >> 12);
}

bool Tlb::flush_writes_to(const u8* host_page) {
  Writer& writer = writer_of(host_page);
  if (writer.flushes + 1 < flushes_ || (!writer.several && writer.host != host_page)) return false;
  if (writer.several) {
    for (TlbTable& table : *tables_) table.write = kEmptyTable.write;
    ++flushes_;
  } else {
    for (TlbTable& table : *tables_) {
      const TlbEntry& entry = table.write[writer.slot];
      if (entry.host(entry.page) == host_page) clear_slot(table.write.data(), writer.slot);
    }
  }
  writer = {};
  return true;
}

}  // namespace xm::cpu::mmu
