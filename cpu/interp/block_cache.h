// SPDX-License-Identifier: GPL-2.0-or-later
// BlockCache: the decoded blocks of one vCPU: an arena they live in, a hash by physical address, a jump cache by RIP,
// and for every page with code the blocks in it, so that writes drop exactly the blocks they touch.
//
// Dropped blocks stay in the arena until it is full, because they may be running and others may link to them; then
// everything goes at once, between two blocks. Only a block of the same address may take the place of a dropped one: to
// those who link to it, it is the same.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "cpu/interp/block.h"

namespace xm::cpu::interp {

// Bytes that a block was decoded from, as offsets from its first one.
struct CodeRun {
  i16 first, last;
};
// A block has at most so many: it follows one jump less.
inline constexpr unsigned kMaxRuns = 3;

class BlockCache final : public mmu::CodeWatch {
 public:
  explicit BlockCache(Vcpu& cpu);
  ~BlockCache();

  // The block for cpu.block_rip in the current mode; nullptr if there is none, or if its code can not be fetched.
  Block* find();
  // Marks a page as code. Before its bytes are decoded: a writer that does not see the mark has then written before
  // they are read, or through a TLB entry that it gives up when it hears of the mark (watched_elsewhere()).
  void watch_page(u64 page);
  // Puts a block that the builder has finished into the tables; its pages are watched. `runs` are what it was decoded
  // from; an instruction that crosses a page is its block's only one.
  void insert(Block* block, std::span<const CodeRun> runs);

  // Room for a block of at most kMaxInstructions; never fails after reserve().
  Block* allocate();
  // Ends the allocation behind the block's last Op and Links; or moves the block to where one of the same address was
  // that has been dropped, so that code which changes again and again stays in the host's caches. Returns where it is.
  Block* commit(Block* block);
  Insn* keep(const Insn& insn);
  // Makes room for one more block, dropping everything if need be. Only between blocks.
  void reserve();
  void drop_all();

  // This vCPU wrote to a page that is marked as code.
  void code_changed(GuestPhys address, u64 size_bytes) override;
  // Somebody did: drops what was decoded from there. Size 0: another vCPU has just marked the page. This one may have
  // written to it unwatched until now, after the other began to decode, and then tells it to begin anew.
  void drop_range(u64 address, u64 size_bytes);
  // Which vCPU this is; `alone`: no other shares the memory, so nobody need be told of anything.
  void set_processor(unsigned index, bool alone) {
    alone_ = alone;
    holder_mark_ = static_cast<u8>(index < kOwnMarks ? 2u << index : kSharedMark);
  }

  u64 blocks_built() const { return built_; }

 private:
  // The bytes of a block within a page.
  struct CodeRange {
    Block* block;
    u16 first, last;
  };
  struct CodePage {
    std::vector<CodeRange> ranges;
    u64 lines = 0;             // bit for each 64 bytes that a range touches: most writes near code end here
    unsigned idle_writes = 0;  // since it has had no blocks
    std::atomic<u8>* marks = nullptr;
  };
  static constexpr unsigned kIdleWrites = 32;
  static constexpr u64 kNoPage = 1;
  static u64 lines_of(unsigned first, unsigned last) {
    return (~u64{0} >> (63 - last / 64)) & (~u64{0} << (first / 64));
  }
  static constexpr unsigned kOwnMarks = 6;
  static constexpr u8 kSharedMark = 0x80;
  static constexpr size_t kArenaBytes = size_t{48} << 20;
  static constexpr size_t kInsnCapacity = size_t{1} << 17;
  static constexpr unsigned kHashBuckets = 1 << 16;

  unsigned bucket(u64 physical) const {
    return static_cast<unsigned>((physical * 0x9E3779B97F4A7C15u) >> 48) & (kHashBuckets - 1);
  }
  bool renew(Block* block);
  void watched_elsewhere(u64 page);
  CodePage* code_page(u64 page);
  void note_in_page(u64 page, CodeRange range);
  void drop_in_page(CodePage& code, unsigned first, unsigned last);
  void drop(Block* block);
  void unhash(Block* block);

  Vcpu& cpu_;
  u8* arena_;
  size_t used_ = 0;
  Insn* insns_;
  size_t insns_used_ = 0;
  std::unique_ptr<std::array<Block*, kHashBuckets>> hash_;
  std::unique_ptr<std::array<Block*, kJumpCacheSlots>> jump_cache_;
  std::unordered_map<u64, CodePage> pages_;  // by physical page address
  u64 last_page_ = kNoPage;                  // found last, and its entry
  CodePage* last_code_page_ = nullptr;
  void release_mark(std::atomic<u8>* marks) const;

  static constexpr unsigned kDropped = 64;
  std::array<Block*, kDropped> dropped_{};  // the last of each slot
  Block*& dropped_slot(const Block& block) { return dropped_[(block.physical ^ block.physical >> 6) % kDropped]; }

  bool alone_ = false;
  u8 holder_mark_ = kSharedMark;  // of this vCPU in the page marks
  u64 built_ = 0;
};

}  // namespace xm::cpu::interp
