// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/interp/block_builder.h"

#include <algorithm>

#include "cpu/interp/fp_handlers.h"
#include "cpu/interp/interp_system.h"
#include "cpu/system/cpuid.h"

namespace xm::cpu::interp {

namespace {

constexpr unsigned kCs = static_cast<unsigned>(Segment::Cs);
constexpr unsigned kMaxLength = 15;

const Op* undefined(Vcpu& cpu, const Op* op) {
  cpu.raise(Vector::Ud);
  return fault(cpu, op);
}

const Op* too_long(Vcpu& cpu, const Op* op) {
  cpu.raise(Vector::Gp, 0);
  return fault(cpu, op);
}

// A debugger's breakpoint: the instruction here has not begun.
const Op* debugger_stop(Vcpu& cpu, const Op* op) {
  sync_rip(cpu, op);
  cpu.running.countdown += op->remaining;
  cpu.running.stop_wanted = true;
  return nullptr;
}

// The end of a block that simply goes on behind it.
const Op* go_on(Vcpu& cpu, const Op* op) { return follow(cpu, links_of(op).next); }

bool is_branch(Operation operation) {
  switch (operation) {
    case Operation::JmpNear:
    case Operation::CallNear:
    case Operation::RetNear:
    case Operation::Jcc:
    case Operation::Jrcxz:
    case Operation::Loop:
    case Operation::Loope:
    case Operation::Loopne: return true;
    default: return false;
  }
}

StepTrap step_trap_of(Operation operation) {
  switch (operation) {
    case Operation::Int:
    case Operation::Int3:
    case Operation::Into: return StepTrap::Never;
    case Operation::Int1: return StepTrap::Merged;
    case Operation::Syscall:
    case Operation::Sysret: return StepTrap::IfSetAfter;
    default: return StepTrap::IfSetBefore;
  }
}

// Shifts by a variable count may leave the flags alone, so they do not end the life of earlier ones.
bool may_keep_flags(const Insn& insn) {
  switch (insn.operation) {
    case Operation::Rol:
    case Operation::Ror:
    case Operation::Rcl:
    case Operation::Rcr:
    case Operation::Shl:
    case Operation::Shr:
    case Operation::Sar:
    case Operation::Shld:
    case Operation::Shrd: return true;
    default: return insn.rep != RepPrefix::None;
  }
}

// Register-only arithmetic and moves: they can neither fault nor leave the block.
bool cannot_fault(const Insn& insn) {
  for (unsigned i = 0; i < insn.operand_count; ++i) {
    if (insn.operation != Operation::Lea && !is_gpr(insn.operands[i]) && !is_immediate(insn.operands[i])) return false;
  }
  switch (insn.operation) {
    case Operation::Add:
    case Operation::Adc:
    case Operation::Sub:
    case Operation::Sbb:
    case Operation::And:
    case Operation::Or:
    case Operation::Xor:
    case Operation::Cmp:
    case Operation::Test:
    case Operation::Inc:
    case Operation::Dec:
    case Operation::Neg:
    case Operation::Not:
    case Operation::Mov:
    case Operation::Movzx:
    case Operation::Movsx:
    case Operation::Movsxd:
    case Operation::Lea:
    case Operation::Imul:
    case Operation::Bswap:
    case Operation::Cmovcc:
    case Operation::Setcc:
    case Operation::Shl:
    case Operation::Shr:
    case Operation::Sar:
    case Operation::Rol:
    case Operation::Ror:
    case Operation::Nop: return true;
    default: return false;
  }
}

}  // namespace

u64 BlockBuilder::rip_at(i64 offset) const {
  const u64 rip = block_->rip + static_cast<u64>(offset);
  switch (cpu_.mode.code_size) {
    case CodeSize::Bits64: return rip;
    case CodeSize::Bits32: return rip & 0xFFFFFFFF;
    default: return rip & 0xFFFF;
  }
}

bool BlockBuilder::open_page() {
  const SegmentRegister& code = cpu_.state.segment[kCs];
  block_->rip = cpu_.block_rip;
  block_->cs_base = code.base;
  linear_ = cpu_.mode.bits64 ? block_->rip : (block_->rip + code.base) & 0xFFFFFFFF;
  if (!cpu_.mode.bits64 && block_->rip > code.limit) return cpu_.raise(Vector::Gp, 0);
  if (!cpu_.translate(linear_, mmu::Access::Execute, As::Current, block_->physical)) return false;
  u64 room = kPageSize - (linear_ & kPageMask);
  if (!cpu_.mode.bits64) room = std::min(room, u64{code.limit} - block_->rip + 1);
  page_room_ = static_cast<i64>(room);
  const u8* page = cpu_.phys.page(block_->physical).read_host;
  host_ = page == nullptr ? nullptr : page + (block_->physical & kPageMask);
  cacheable_ = host_ != nullptr;
  if (cacheable_) cache_.watch_page(block_->physical & ~kPageMask);
  return true;
}

// What the meaning of bytes depends on.
u32 BlockBuilder::memo_mode() const {
  return static_cast<u32>(cpu_.mode.code_size) | (cpu_.mode.protected_mode ? 0x100u : 0u);
}

// Decodes the instruction at `offset`. `fits` is false if it does not end before the page or segment does.
void BlockBuilder::fetch(i64 offset, Item& item, bool& fits) {
  const auto room = static_cast<unsigned>(std::min<i64>(page_room_ - offset, kMaxLength));
  std::array<u8, kMaxLength> buffer{};
  const u8* bytes = host_ + offset;
  const bool memorable = host_ != nullptr && page_room_ - offset >= i64{DecodeMemo::kBytes};
  if (memorable) {
    if (const DecodedItem* known = memo_.find(bytes, memo_mode())) {
      static_cast<DecodedItem&>(item) = *known;
      item.ip_offset = static_cast<i16>(offset);
      fits = true;
      return;
    }
  }
  if (host_ == nullptr) {
    for (unsigned i = 0; i < room; ++i)
      buffer[i] = static_cast<u8>(cpu_.read_phys(GuestPhys{block_->physical + static_cast<u64>(offset) + i}, 1));
    bytes = buffer.data();
  }
  item.ip_offset = static_cast<i16>(offset);
  const DecodeStatus status = decode_into({bytes, room}, cpu_.mode.code_size, item.insn);
  fits = status != DecodeStatus::NeedMoreBytes;
  if (!fits) return;
  judge(status, item);
  if (memorable && item.kind == Kind::Normal) memo_.insert(bytes, memo_mode(), item);
}

// The block's only instruction, which begins in this page and goes on in the next (or runs into the segment's limit).
bool BlockBuilder::fetch_crossing(Item& item) {
  std::array<u8, kMaxLength> bytes{};
  const u64 limit = cpu_.state.segment[kCs].limit;
  const unsigned first = std::min<unsigned>(static_cast<unsigned>(kPageSize - (linear_ & kPageMask)), kMaxLength);
  const unsigned within =
      cpu_.mode.bits64 ? kMaxLength : static_cast<unsigned>(std::min<u64>(limit - block_->rip + 1, kMaxLength));
  u64 second = 0;
  if (within > first) {
    const u64 next_page = cpu_.mode.long_mode ? linear_ + first : (linear_ + first) & 0xFFFFFFFF;
    if (!cpu_.translate(next_page, mmu::Access::Execute, As::Current, second)) return false;
    block_->second_physical = second;
    if (cacheable_) cache_.watch_page(second & ~kPageMask);
  }
  for (unsigned i = 0; i < within; ++i) {
    const u64 at = i < first ? block_->physical + i : second + (i - first);
    bytes[i] = static_cast<u8>(cpu_.read_phys(GuestPhys{at}, 1));
  }
  item.ip_offset = 0;
  const DecodeStatus status = decode_into({bytes.data(), within}, cpu_.mode.code_size, item.insn);
  if (status == DecodeStatus::NeedMoreBytes) return cpu_.raise(Vector::Gp, 0);  // beyond the segment's limit
  judge(status, item);
  return true;
}

void BlockBuilder::judge(DecodeStatus status, Item& item) const {
  item.kind = Kind::Normal;
  if (status == DecodeStatus::TooLong) {
    item.kind = Kind::TooLong;
    return;
  }
  if (status == DecodeStatus::Ok) {
    // Without their features these are the older instructions with a prefix that is ignored.
    if (item.insn.operation == Operation::Lzcnt && !feature_enabled(cpu_.model, Feature::Lzcnt)) {
      item.insn.operation = Operation::Bsr;
      return note_facts(item);
    }
    if (item.insn.operation == Operation::Tzcnt && !feature_enabled(cpu_.model, Feature::Bmi1)) {
      item.insn.operation = Operation::Bsf;
      return note_facts(item);
    }
    if (acceptable(item.insn)) return note_facts(item);
  }
  item.kind = Kind::Undefined;
}

void BlockBuilder::note_facts(Item& item) {
  const Insn& insn = item.insn;
  const FlagEffect& effect = isa_row(insn.row).flags;
  item.system = system_handler(insn);
  item.flags_touched = (effect.writes | effect.undefined) & rflags::kStatus;
  item.flags_read = effect.reads & rflags::kStatus;
  item.branch = is_branch(insn.operation);
  item.no_fault = cannot_fault(insn);
  item.may_keep_flags = may_keep_flags(insn);
}

// What the bytes alone do not tell: features and modes.
bool BlockBuilder::acceptable(const Insn& insn) const {
  const Row& row = isa_row(insn.row);
  const bool real_or_vm86 = !cpu_.mode.protected_mode;
  if (real_or_vm86 && (row.has(attribute::kProtectedOnly) || insn.vex)) return false;
  return feature_enabled(cpu_.model, required_feature(row, insn.vex, insn.vex_l));
}

void BlockBuilder::collect() {
  while (count_ < kMaxInstructions && bytes_ < page_room_) {
    if (count_ != 0 && (cpu_.running.single || !cacheable_)) return;
    Item& item = items_[count_];
    item.followed = false;
    if (!cpu_.running.single && cpu_.has_breakpoint(linear_ + static_cast<u64>(bytes_))) {
      if (count_ != 0) return;
      item.kind = Kind::Breakpoint;
      item.ip_offset = 0;
      count_ = 1;
      bytes_ = 1;
      return;
    }
    bool fits = true;
    fetch(bytes_, item, fits);
    if (!fits) return;
    ++count_;
    if (item.kind != Kind::Normal) {
      bytes_ += 1;
      return;
    }
    bytes_ += item.insn.length;
    if (item.branch) {
      if (follow_jump(item)) continue;
      if (!may_go_on_behind(item)) return;
      ++exits_;
    } else if (item.system.ends) {
      return;
    }
  }
}

// A conditional jump forward is more often not taken: the block goes on behind it. Not where a watch wants to know
// which instructions of a block have run from their number alone.
bool BlockBuilder::may_go_on_behind(const Item& item) const {
  return item.insn.operation == Operation::Jcc && static_cast<i64>(item.insn.imm) > 0 && exits_ < kMaxExits &&
         cpu_.watch == nullptr;
}

// Goes on at the target of a direct jump, if it lies in this page and not in what the block has already: a loop is
// left to links. Not where a watch wants the block to be one piece.
bool BlockBuilder::follow_jump(Item& item) {
  const Insn& insn = item.insn;
  if (insn.operation != Operation::JmpNear || insn.operands[0].kind != OperandKind::Relative) return false;
  if (run_count_ + 1 >= kMaxRuns || cpu_.running.single || !cacheable_ || cpu_.watch != nullptr) return false;
  const u64 target = (rip_at(bytes_) + insn.imm) & mask_of_bytes(insn.operand_size);
  const auto offset = static_cast<i64>(target - block_->rip);
  const auto page_start = -static_cast<i64>(linear_ & kPageMask);
  if (offset < page_start || offset >= page_room_) return false;
  if (offset >= run_start_ && offset < bytes_) return false;
  for (unsigned i = 0; i < run_count_; ++i) {
    if (offset >= runs_[i].first && offset <= runs_[i].last) return false;
  }
  end_run();
  bytes_ = run_start_ = offset;
  item.followed = true;
  item.no_fault = true;
  return true;
}

void BlockBuilder::end_run() {
  if (bytes_ > run_start_) runs_[run_count_++] = {static_cast<i16>(run_start_), static_cast<i16>(bytes_ - 1)};
}

void BlockBuilder::find_dead_flags() {
  u32 live = rflags::kStatus;
  for (unsigned i = count_; i-- > 0;) {
    Item& item = items_[i];
    if (item.kind != Kind::Normal) {
      live = rflags::kStatus;
      continue;
    }
    item.flags_live = item.flags_touched == 0 || (item.flags_touched & live) != 0;
    if (!item.no_fault) {
      live = rflags::kStatus;
      continue;
    }
    if (!item.may_keep_flags) live &= ~item.flags_touched;
    live |= item.flags_read;
  }
}

Handler BlockBuilder::pick(const BuildContext& context, const Item& item, Op& op) {
  const Insn& insn = item.insn;
  if (item.kind == Kind::Undefined) return undefined;
  if (item.kind == Kind::TooLong) return too_long;
  if (item.kind == Kind::Breakpoint) return debugger_stop;
  if (item.system.handler != nullptr) {
    op.insn = context.keep(insn);
    return item.system.handler;
  }
  for (const auto family : {select_move, select_alu, select_shift, select_muldiv, select_stack, select_fp}) {
    Op trial = op;
    if (!family(context, insn, trial)) continue;
    op = trial;
    return op.handler;
  }
  for (const auto family : {integer_handler, string_handler}) {
    if (const Handler handler = family(insn)) {
      op.insn = context.keep(insn);
      return handler;
    }
  }
  cpu_.log.line(LogItem::Unimp, "no handler for %s at %llx", std::string(operation_name(insn.operation)).c_str(),
                static_cast<unsigned long long>(context.rip));
  return undefined;
}

void BlockBuilder::emit_continue(Op*& op, u64 rip) {
  *op = Op{};
  op->handler = go_on;
  op->ip_offset = static_cast<i16>(bytes_);
  op->exit = 1;
  links_of(op) = {{rip, no_block()}, {rip, no_block()}};
  op += 2;
}

// Emits the instruction at `index`, with the next one if they make a pair; returns how many it took.
unsigned BlockBuilder::emit_one(unsigned index, Op*& op) {
  const Item& item = items_[index];
  if (item.followed) return 1;
  *op = Op{};
  op->ip_offset = item.ip_offset;
  op->length = item.insn.length;
  op->remaining = static_cast<u8>(count_ - index);
  BuildContext context{.cpu = cpu_,
                       .rip = rip_at(item.ip_offset),
                       .ip_offset = item.ip_offset,
                       .flags_live = item.flags_live,
                       .bits64 = cpu_.mode.bits64,
                       .cache = &cache_};
  if (item.kind == Kind::Normal && index + 2 <= count_ && items_[index + 1].insn.operation == Operation::Jcc &&
      items_[index + 1].kind == Kind::Normal) {
    const Item& jump = items_[index + 1];
    BuildContext jump_context = context;
    jump_context.rip = rip_at(jump.ip_offset);
    Op unused{};
    Links links{};
    bool plain = false;
    select_branch(jump_context, jump.insn, unused, links, plain);
    if (plain && fuse_with_jump(context, item.insn, jump.insn.condition, *op)) {
      op->exit = static_cast<u8>(op->remaining - 1);
      links_of(op) = links;
      op += 2;
      return 2;
    }
  }
  if (item.kind == Kind::Normal && item.branch) {
    Links links{{0, no_block()}, {0, no_block()}};
    bool plain = false;
    select_branch(context, item.insn, *op, links, plain);
    op->exit |= op->remaining;
    links_of(op) = links;
    if ((op->exit & Op::kComputed) != 0) {
      const u64 following = item.insn.operation == Operation::CallNear ? context.next_rip(item.insn) : 0;
      (&links_of(op))[1] = {{0, no_block()}, {following & mask_of_bytes(item.insn.operand_size), no_block()}};
    }
    op += op->places();
    return 1;
  }
  op->handler = pick(context, item, *op);
  ++op;
  return 1;
}

void BlockBuilder::emit() {
  Op* op = block_->ops();
  for (unsigned i = 0; i < count_;) i += emit_one(i, op);
  const Item& last = items_[count_ - 1];
  const bool goes_on =
      last.kind != Kind::Normal || !last.branch || last.followed || last.insn.operation == Operation::Jcc;
  if (goes_on) emit_continue(op, rip_at(bytes_));
  block_->op_count = static_cast<u8>(op - block_->ops());
}

Block* BlockBuilder::build() {
  leave_host_fp(cpu_);  // hash tables of the standard library compute load factors in floating point
  block_ = cache_.allocate();
  count_ = 0;
  exits_ = 0;
  bytes_ = 0;
  run_start_ = 0;
  run_count_ = 0;
  if (!open_page()) return nullptr;
  collect();
  if (count_ == 0) {
    items_[0].followed = false;
    if (!fetch_crossing(items_[0])) return nullptr;
    count_ = 1;
    bytes_ = items_[0].kind == Kind::Normal ? items_[0].insn.length : 1;
  }
  find_dead_flags();
  block_->mode_key = static_cast<u32>(cpu_.running.stamp);
  block_->count = static_cast<u8>(count_);
  end_run();
  block_->size_bytes = static_cast<u16>(runs_[0].last + 1);
  const Item& last = items_[count_ - 1];
  block_->step_trap = last.kind == Kind::Normal ? step_trap_of(last.insn.operation) : StepTrap::IfSetBefore;
  emit();
  block_->stamp = cpu_.running.stamp;
  block_ = cache_.commit(block_);
  if (cacheable_) cache_.insert(block_, {runs_.data(), run_count_});
  return block_;
}

}  // namespace xm::cpu::interp
