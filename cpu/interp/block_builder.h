// SPDX-License-Identifier: GPL-2.0-or-later
// BlockBuilder: from guest bytes to a Block: fetches and decodes up to the first control transfer, system instruction
// or page end, finds which flags nobody reads, and picks the handlers.
#pragma once

#include "cpu/decode/decoder.h"
#include "cpu/interp/block_cache.h"
#include "cpu/interp/build_context.h"
#include "cpu/interp/decode_memo.h"

namespace xm::cpu::interp {

class BlockBuilder {
 public:
  BlockBuilder(Vcpu& cpu, BlockCache& cache) : cpu_(cpu), cache_(cache) {}

  // The block at cpu.block_rip; nullptr with cpu.fault set if its first instruction can not be fetched. Room must have
  // been reserved.
  Block* build();

 private:
  using Kind = DecodedItem::Kind;
  struct Item : DecodedItem {
    i16 ip_offset = 0;
    bool flags_live = true;
    bool followed = false;  // a direct jump whose target comes next in the block
  };

  bool open_page();
  void fetch(i64 offset, Item& item, bool& fits);
  u32 memo_mode() const;
  void judge(DecodeStatus status, Item& item) const;
  static void note_facts(Item& item);
  bool fetch_crossing(Item& item);
  void collect();
  bool may_go_on_behind(const Item& item) const;
  bool follow_jump(Item& item);
  void end_run();
  bool acceptable(const Insn& insn) const;
  void find_dead_flags();
  void emit();
  unsigned emit_one(unsigned index, Op*& op);
  void emit_continue(Op*& op, u64 rip);
  Handler pick(const BuildContext& context, const Item& item, Op& op);
  u64 rip_at(i64 offset) const;

  Vcpu& cpu_;
  BlockCache& cache_;
  Block* block_ = nullptr;
  u64 linear_ = 0;
  const u8* host_ = nullptr;  // of the block's first byte, if it lies in host memory
  i64 page_room_ = 0;         // bytes to the page's end
  static constexpr unsigned kMaxExits = 6;
  unsigned count_ = 0;
  unsigned exits_ = 0;  // conditional jumps within the block
  i64 bytes_ = 0;       // where the next instruction lies, from the block's start
  i64 run_start_ = 0;   // where the straight run began that it belongs to
  std::array<CodeRun, kMaxRuns> runs_{};
  unsigned run_count_ = 0;
  bool cacheable_ = true;
  DecodeMemo memo_;
  std::array<Item, kMaxInstructions> items_;
};

}  // namespace xm::cpu::interp
