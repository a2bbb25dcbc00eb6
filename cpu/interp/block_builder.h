// SPDX-License-Identifier: GPL-2.0-or-later
// BlockBuilder: from guest bytes to a Block: fetches and decodes up to the first control transfer, system instruction
// or page end, finds which flags nobody reads, and picks the handlers.
#pragma once

#include "cpu/decode/decoder.h"
#include "cpu/interp/block_cache.h"
#include "cpu/interp/build_context.h"

namespace xm::cpu::interp {

class BlockBuilder {
 public:
  BlockBuilder(Vcpu& cpu, BlockCache& cache) : cpu_(cpu), cache_(cache) {}

  // The block at cpu.block_rip; nullptr with cpu.fault set if its first instruction can not be fetched. Room must have
  // been reserved.
  Block* build();

 private:
  enum class Kind : u8 { Normal, Undefined, TooLong, Breakpoint };
  struct Item {
    Insn insn;
    u16 ip_offset = 0;
    Kind kind = Kind::Normal;
    bool flags_live = true;
  };

  bool open_page();
  void fetch(u64 offset, Item& item, bool& fits);
  void judge(DecodeStatus status, Item& item) const;
  bool fetch_crossing(Item& item);
  void collect();
  bool acceptable(const Insn& insn) const;
  void find_dead_flags();
  void emit();
  unsigned emit_one(unsigned index, Op*& op);
  void emit_continue(Op*& op, u64 rip);
  Handler pick(const BuildContext& context, const Item& item, Op& op);
  u64 rip_at(u64 offset) const;

  Vcpu& cpu_;
  BlockCache& cache_;
  Block* block_ = nullptr;
  u64 linear_ = 0;
  const u8* host_ = nullptr;  // of the block's first byte, if it lies in host memory
  unsigned page_room_ = 0;    // bytes to the page's end
  unsigned count_ = 0;
  u64 bytes_ = 0;
  bool cacheable_ = true;
  std::array<Item, kMaxInstructions> items_;
};

}  // namespace xm::cpu::interp
