// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/interp/block_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "emu/base/check.h"

namespace xm::cpu::interp {

namespace {

constexpr size_t kBlockBytes = sizeof(Block) + (2 * kMaxInstructions + 3) * sizeof(Op);

// Reserved address space that costs memory only where it is used.
void* map_lazily(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(memory != MAP_FAILED);
  return memory;
}

// What stands in a dropped block: leaves before the instruction.
const Op* leave(Vcpu& cpu, const Op* op) {
  sync_rip(cpu, op);
  cpu.running.countdown += op->remaining;
  return nullptr;
}

}  // namespace

BlockCache::BlockCache(Vcpu& cpu)
    : cpu_(cpu),
      arena_(static_cast<u8*>(map_lazily(kArenaBytes))),
      insns_(static_cast<Insn*>(map_lazily(kInsnCapacity * sizeof(Insn)))),
      hash_(std::make_unique<std::array<Block*, kHashBuckets>>()),
      jump_cache_(std::make_unique<std::array<Block*, kJumpCacheSlots>>()) {
  jump_cache_->fill(no_block());
  cpu_.running.returns.fill(no_call());
  cpu_.running.blocks = this;
  cpu_.running.jump_cache = jump_cache_->data();
  cpu_.code_watch = this;
}

BlockCache::~BlockCache() {
  munmap(arena_, kArenaBytes);
  munmap(insns_, kInsnCapacity * sizeof(Insn));
  cpu_.code_watch = nullptr;
}

// Never changed; several vCPUs share them. Stamp 0 is never current, and no block is found at an address that is not
// canonical.
static constinit Block nothing_found;
static constinit Link nothing_called{u64{1} << 63, &nothing_found};

Block* no_block() { return &nothing_found; }
Link* no_call() { return &nothing_called; }

Block* BlockCache::allocate() { return new (arena_ + used_) Block; }

Block* BlockCache::commit(Block* block) {
  ++built_;
  Block*& place = dropped_slot(*block);
  const bool fits = place != nullptr && place->rip == block->rip && place->cs_base == block->cs_base &&
                    place->mode_key == block->mode_key && place->op_count >= block->op_count;
  if (fits) {
    std::memcpy(static_cast<void*>(place), block, sizeof(Block) + block->op_count * sizeof(Op));
    cpu_.running.returns.fill(no_call());  // some may have been Links of the dropped block
    return std::exchange(place, nullptr);
  }
  used_ += sizeof(Block) + block->op_count * sizeof(Op);
  used_ = (used_ + 63) & ~size_t{63};
  return block;
}

Insn* BlockCache::keep(const Insn& insn) { return new (insns_ + insns_used_++) Insn(insn); }

void BlockCache::reserve() {
  if (used_ + kBlockBytes + 64 > kArenaBytes || insns_used_ + kMaxInstructions > kInsnCapacity) drop_all();
}

void BlockCache::drop_all() {
  last_page_ = kNoPage;
  for (auto& [page, code] : pages_) release_mark(code.marks);
  pages_.clear();
  hash_->fill(nullptr);
  jump_cache_->fill(no_block());
  cpu_.running.returns.fill(no_call());  // the others lay in the arena
  dropped_.fill(nullptr);
  used_ = 0;
  insns_used_ = 0;
}

// Is the block's code still mapped where it was? Then it gets the current stamp.
bool BlockCache::renew(Block* block) {
  const u64 linear = cpu_.mode.bits64 ? block->rip : (block->rip + block->cs_base) & 0xFFFFFFFF;
  u64 physical = 0;
  if (!cpu_.translate(linear, mmu::Access::Execute, As::Current, physical) || physical != block->physical) return false;
  if (block->crosses_page()) {
    const u64 second = (linear | kPageMask) + 1;
    if (!cpu_.translate(second, mmu::Access::Execute, As::Current, physical) || physical != block->second_physical)
      return false;
  }
  block->stamp = cpu_.running.stamp;
  return true;
}

Block* BlockCache::find() {
  const u64 rip = cpu_.block_rip;
  const u64 cs_base = cpu_.state.segment[static_cast<unsigned>(Segment::Cs)].base;
  const u32 key = static_cast<u32>(cpu_.running.stamp);
  Block*& cached = (*jump_cache_)[jump_cache_slot(rip)];
  if (cached->rip == rip && cached->stamp != 0 && cached->mode_key == key && cached->cs_base == cs_base) {
    if (cached->stamp == cpu_.running.stamp || renew(cached)) return cached;
  }
  u64 physical = 0;
  const u64 linear = cpu_.mode.bits64 ? rip : (rip + cs_base) & 0xFFFFFFFF;
  if (!cpu_.translate(linear, mmu::Access::Execute, As::Current, physical)) return nullptr;
  for (Block* block = (*hash_)[bucket(physical)]; block != nullptr; block = block->next_in_hash) {
    const bool same =
        block->physical == physical && block->mode_key == key && block->rip == rip && block->cs_base == cs_base;
    if (same && renew(block)) {
      cached = block;
      return block;
    }
  }
  return nullptr;
}

BlockCache::CodePage* BlockCache::code_page(u64 page) {
  if (page == last_page_) return last_code_page_;
  const auto found = pages_.find(page);
  if (found == pages_.end()) return nullptr;
  last_page_ = page;
  last_code_page_ = &found->second;
  return last_code_page_;
}

void BlockCache::watch_page(u64 page) {
  if (page == last_page_) return;
  const auto [at, is_new] = pages_.try_emplace(page);
  if (!is_new) return;
  const PhysPage& memory = cpu_.phys.page(page);
  at->second.marks = memory.marks;
  if (memory.marks == nullptr) return;
  memory.marks->fetch_or(kMarkHasCode | holder_mark_, std::memory_order_seq_cst);
  // New code page: nobody may go on writing to it unwatched. Size 0 tells the other processors just that.
  cpu_.tlb.flush_writes_to(memory.write_host);
  if (!alone_) cpu_.bus.code_written(GuestPhys{page}, 0);
}

void BlockCache::watched_elsewhere(u64 page) {
  if (cpu_.tlb.flush_writes_to(cpu_.phys.page(page).write_host)) cpu_.bus.code_written(GuestPhys{page}, kPageSize);
}

void BlockCache::insert(Block* block, std::span<const CodeRun> runs) {
  Block*& head = (*hash_)[bucket(block->physical)];
  block->next_in_hash = head;
  head = block;
  const u64 first = block->physical & kPageMask;
  if (!block->crosses_page()) {
    for (const CodeRun run : runs) {
      note_in_page(block->physical & ~kPageMask, {block, static_cast<u16>(static_cast<i64>(first) + run.first),
                                                  static_cast<u16>(static_cast<i64>(first) + run.last)});
    }
  } else {
    const u64 rest = block->size_bytes - (kPageSize - first);
    note_in_page(block->physical & ~kPageMask, {block, static_cast<u16>(first), kPageMask});
    note_in_page(block->second_physical & ~kPageMask, {block, 0, static_cast<u16>(rest - 1)});
  }
  (*jump_cache_)[jump_cache_slot(block->rip)] = block;
}

void BlockCache::note_in_page(u64 page, CodeRange range) {
  CodePage& code = pages_[page];
  code.ranges.push_back(range);
  code.lines |= lines_of(range.first, range.last);
  code.idle_writes = 0;
}

// This vCPU holds no more blocks of a page; the last holder takes the mark of the page itself away. A mark that several
// vCPUs share stays.
void BlockCache::release_mark(std::atomic<u8>* marks) const {
  if (marks == nullptr || holder_mark_ == kSharedMark) return;
  u8 before = marks->load();
  u8 after = 0;
  do {
    after = static_cast<u8>(before & ~holder_mark_);
    if (after == kMarkHasCode) after = 0;
  } while (!marks->compare_exchange_weak(before, after));
}

void BlockCache::unhash(Block* block) {
  Block** at = &(*hash_)[bucket(block->physical)];
  while (*at != nullptr && *at != block) at = &(*at)->next_in_hash;
  if (*at == block) *at = block->next_in_hash;
}

void BlockCache::drop(Block* block) {
  block->stamp = 0;
  dropped_slot(*block) = block;
  unhash(block);
  Op* const end = block->ops() + block->op_count;
  for (Op* op = block->ops(); op < end; op += op->places()) op->handler = leave;
}

// Drops the blocks of one page that have bytes in first..last.
void BlockCache::drop_in_page(CodePage& code, unsigned first, unsigned last) {
  code.lines = 0;
  std::erase_if(code.ranges, [&](const CodeRange& range) {
    const bool dropped = range.block->stamp == 0;  // through another range of its
    if (!dropped && (range.first > last || range.last < first)) {
      code.lines |= lines_of(range.first, range.last);
      return false;
    }
    if (!dropped) drop(range.block);
    return true;
  });
}

void BlockCache::drop_range(u64 address, u64 size_bytes) {
  if (size_bytes == 0) return watched_elsewhere(address & ~kPageMask);
  const u64 end = address + size_bytes - 1;
  for (u64 page = address & ~kPageMask; page <= end; page += kPageSize) {
    CodePage* const code = code_page(page);
    if (code == nullptr) continue;
    const auto first = static_cast<unsigned>(std::max(address, page) - page);
    const auto last = static_cast<unsigned>(std::min(end, page | kPageMask) - page);
    if ((code->lines & lines_of(first, last)) != 0) drop_in_page(*code, first, last);
    // Code that is written and run in turn keeps its mark; a page that is only written to loses it.
    if (!code->ranges.empty() || ++code->idle_writes < kIdleWrites) continue;
    release_mark(code->marks);
    pages_.erase(page);
    last_page_ = kNoPage;
  }
}

void BlockCache::code_changed(GuestPhys address, u64 size_bytes) {
  drop_range(address.value, size_bytes);
  if (alone_) return;
  const PhysPage& page = cpu_.phys.page(address.value);
  const u8 others = page.marks == nullptr ? 0 : static_cast<u8>(page.marks->load() & ~(holder_mark_ | kMarkHasCode));
  if (others != 0 || holder_mark_ == kSharedMark) cpu_.bus.code_written(address, static_cast<unsigned>(size_bytes));
}

Block* find_block(Vcpu& cpu) { return cpu.running.blocks->find(); }

const Op* enter_not(Vcpu& cpu, const Block* block) {
  cpu.running.countdown += block->count;
  cpu.state.rip = cpu.block_rip;
  return nullptr;
}

const Op* follow_slow(Vcpu& cpu, Link& link) {
  Block* block = find_block(cpu);
  if (block == nullptr) {
    cpu.state.rip = cpu.block_rip;
    return nullptr;
  }
  link.target = block;
  return enter(cpu, block);
}

const Op* jump_slow(Vcpu& cpu) {
  if (Block* block = find_block(cpu)) return enter(cpu, block);
  cpu.state.rip = cpu.block_rip;
  return nullptr;
}

namespace {

void remember_target(const Vcpu& cpu, const Op* op, unsigned count, u64 rip, Block* block) {
  Link* const targets = targets_of(op);
  for (unsigned i = 0; i < count; ++i) {
    if (targets[i].rip != rip && targets[i].target->stamp == cpu.running.stamp) continue;
    targets[i] = {rip, block};
    return;
  }
}

}  // namespace

const Block* look_up_target(Vcpu& cpu, const Op* op, unsigned count, u64 rip) {
  Block* block = cpu.running.jump_cache[jump_cache_slot(rip)];
  if (block->rip != rip || block->stamp != cpu.running.stamp) return nullptr;
  remember_target(cpu, op, count, rip, block);
  return block;
}

const Op* jump_and_learn(Vcpu& cpu, const Op* op, unsigned count, u64 rip) {
  cpu.block_rip = rip;
  Block* block = find_block(cpu);
  if (block == nullptr) {
    cpu.state.rip = rip;
    return nullptr;
  }
  remember_target(cpu, op, count, rip, block);
  return enter(cpu, block);
}

}  // namespace xm::cpu::interp
