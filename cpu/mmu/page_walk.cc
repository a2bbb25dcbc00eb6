// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/mmu/page_walk.h"

#include <array>

#include "cpu/vcpu/vcpu.h"

namespace xm::cpu::mmu {

namespace {

constexpr u64 kPresent = 1, kWritable = 2, kUserBit = 4, kAccessed = 0x20, kDirty = 0x40, kLarge = 0x80,
              kGlobal = 0x100;
constexpr u64 kNoExecute = u64{1} << 63;
constexpr u64 kFrameMask = 0x000F'FFFF'FFFF'F000;

enum class Step : u8 { Done, Fault, Retry };

// One walk. Entry is u32 for 32-bit paging, u64 otherwise.
template <class Entry>
class Walker {
 public:
  Walker(Vcpu& cpu, u64 linear, Access access, Rights rights, WalkEffect effect, Translation& result)
      : cpu_(cpu), linear_(linear), access_(access), rights_(rights), effect_(effect), result_(result) {}

  // Follows the tables from `level` (1 is the page table) down.
  Step run(u64 table, unsigned level) {
    result_ = {.user = true, .writable = true};
    if (const DirectoryEntry* known = cacheable() ? cpu_.tlb.find_directory(linear_) : nullptr) {
      result_ = {.user = known->user, .writable = known->writable, .no_execute = known->no_execute};
      table = known->table;
      level = 1;
    }
    for (;; --level) {
      const u64 at = table + index(level) * sizeof(Entry);
      const Entry entry = load(at);
      if ((entry & kPresent) == 0) return fault(0);
      const bool leaf = level == 1 || is_large(entry, level);
      if (entry & reserved(level, leaf)) return fault(page_fault::kPresent | page_fault::kReserved);
      collect(entry, level);
      if (leaf) return finish(at, entry, level);
      if (!pae_pointer(level)) passed_[passed_count_++] = {at, entry};  // PAE's PDPTEs have no accessed bit
      table = entry & frame_mask();
      if (level == 2) directory_ = {table, result_.user, result_.writable, result_.no_execute};
    }
  }

 private:
  static constexpr bool kWide = sizeof(Entry) == 8;
  static constexpr unsigned kIndexBits = kWide ? 9 : 10;

  bool cacheable() const { return kWide && cpu_.mode.long_mode && effect_ == WalkEffect::Update; }
  bool pae_pointer(unsigned level) const { return kWide && level == 3 && !cpu_.mode.long_mode; }
  u64 frame_mask() const { return kWide ? kFrameMask : 0xFFFFF000; }
  static unsigned shift(unsigned level) { return 12 + kIndexBits * (level - 1); }
  u64 index(unsigned level) const {
    if (pae_pointer(level)) return (linear_ >> 30) & 3;
    return (linear_ >> shift(level)) & ((1u << kIndexBits) - 1);
  }

  bool is_large(Entry entry, unsigned level) const {
    if ((entry & kLarge) == 0) return false;
    if (!kWide) return level == 2 && (cpu_.state.cr4 & cr4::kPse) != 0;
    return level == 2 || (level == 3 && cpu_.mode.long_mode);
  }

  u64 reserved(unsigned level, bool leaf) const {
    if (!kWide) return leaf && level == 2 ? (cpu_.phys_bits >= 40 ? bit(21) : bits_from_to(21, 13)) : 0;
    u64 mask = bits_from_to(51, cpu_.phys_bits);
    if ((cpu_.state.msr.efer & efer::kNxe) == 0) mask |= kNoExecute;
    if (!cpu_.mode.long_mode) mask |= bits_from_to(62, 52);
    if (pae_pointer(level)) return mask | kNoExecute | bits_from_to(8, 5) | bits_from_to(2, 1);
    if (level >= 4) return mask | kLarge;
    if (leaf && level > 1) mask |= bits_from_to(shift(level) - 1, 13);
    return mask;
  }
  static u64 bits_from_to(unsigned high, unsigned low) { return high < low ? 0 : mask_of(high) & ~(bit(low) - 1); }
  static u64 mask_of(unsigned high) { return high >= 63 ? ~u64{0} : bit(high + 1) - 1; }

  void collect(Entry entry, unsigned level) {
    if (pae_pointer(level)) return;
    result_.user = result_.user && (entry & kUserBit) != 0;
    result_.writable = result_.writable && (entry & kWritable) != 0;
    if (kWide && (entry & kNoExecute) != 0) result_.no_execute = true;
  }

  Step finish(u64 at, Entry entry, unsigned level) {
    const u64 page_mask = bit(shift(level)) - 1;
    u64 base = entry & frame_mask() & ~page_mask;
    if (!kWide && level == 2) base |= u64{bits(entry, 20, 13)} << 32;  // PSE-36
    result_.frame = base | (linear_ & page_mask & ~kPageMask);
    result_.large = level > 1;
    result_.global = (entry & kGlobal) != 0 && (cpu_.state.cr4 & cr4::kPge) != 0;
    result_.dirty = (entry & kDirty) != 0;
    if (effect_ == WalkEffect::Quiet) return Step::Done;
    if (!permitted(cpu_, result_, access_, rights_)) return fault(page_fault::kPresent);
    u64 wanted = kAccessed;
    if (access_ == Access::Write) wanted |= kDirty;
    // Entries are marked only when the translation succeeds: a page fault leaves no trace in them, as on the 386.
    for (unsigned i = 0; i < passed_count_; ++i) {
      if (!mark(passed_[i].at, passed_[i].entry, kAccessed)) return Step::Retry;
    }
    if (level == 1 && passed_count_ != 0 && cacheable()) cpu_.tlb.insert_directory(linear_, directory_);
    if (!mark(at, entry, wanted)) return Step::Retry;
    result_.dirty = result_.dirty || access_ == Access::Write;
    return Step::Done;
  }

  Entry load(u64 at) const {
    if (const u8* host = cpu_.phys.page(at).read_host)
      return __atomic_load_n(reinterpret_cast<const Entry*>(host + (at & kPageMask)), __ATOMIC_RELAXED);
    return static_cast<Entry>(cpu_.read_phys(GuestPhys{at}, sizeof(Entry)));
  }

  // Sets bits in an entry; false if another processor changed it meanwhile.
  bool mark(u64 at, Entry entry, u64 wanted) {
    if (effect_ == WalkEffect::Quiet || (entry & wanted) == wanted) return true;
    u8* host = cpu_.phys.page(at).write_host;
    if (host == nullptr) return true;
    Entry expected = entry;
    return __atomic_compare_exchange_n(reinterpret_cast<Entry*>(host + (at & kPageMask)), &expected,
                                       static_cast<Entry>(entry | wanted), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  }

  Step fault(u32 code) {
    if (effect_ == WalkEffect::Quiet) return Step::Fault;
    if (access_ == Access::Write) code |= page_fault::kWrite;
    if (rights_.user) code |= page_fault::kUser;
    const bool nx = (cpu_.state.msr.efer & efer::kNxe) != 0 && (cpu_.state.cr4 & cr4::kPae) != 0;
    if (access_ == Access::Execute && (nx || (cpu_.state.cr4 & cr4::kSmep) != 0)) code |= page_fault::kFetch;
    cpu_.raise_page_fault(linear_, code);
    return Step::Fault;
  }

  Vcpu& cpu_;
  const u64 linear_;
  const Access access_;
  const Rights rights_;
  const WalkEffect effect_;
  Translation& result_;
  struct Passed {
    u64 at;
    Entry entry;
  };
  std::array<Passed, 4> passed_{};  // the entries above the leaf
  unsigned passed_count_ = 0;
  DirectoryEntry directory_{};  // what the level-2 entry leads to
};

Step walk_once(Vcpu& cpu, u64 linear, Access access, Rights rights, WalkEffect effect, Translation& result) {
  const CpuState& state = cpu.state;
  if ((state.cr4 & cr4::kPae) == 0)
    return Walker<u32>(cpu, linear, access, rights, effect, result).run(state.cr3 & 0xFFFFF000, 2);
  Walker<u64> walker(cpu, linear, access, rights, effect, result);
  if (!cpu.mode.long_mode) return walker.run(state.cr3 & 0xFFFFFFE0, 3);
  return walker.run(state.cr3 & kFrameMask, (state.cr4 & cr4::kLa57) != 0 ? 5 : 4);
}

}  // namespace

bool permitted(const Vcpu& cpu, const Translation& page, Access access, Rights rights) {
  const CpuState& state = cpu.state;
  if (access == Access::Execute) {
    if (page.no_execute) return false;
    return rights.user ? page.user : !(page.user && (state.cr4 & cr4::kSmep) != 0);
  }
  if (rights.user) return page.user && (access == Access::Read || page.writable);
  if (page.user && (state.cr4 & cr4::kSmap) != 0 && !rights.ac) return false;
  return access == Access::Read || page.writable || (state.cr0 & cr0::kWp) == 0;
}

bool walk(Vcpu& cpu, u64 linear, Access access, Rights rights, WalkEffect effect, Translation& result) {
  for (;;) {
    const Step step = walk_once(cpu, linear, access, rights, effect, result);
    if (step != Step::Retry) return step == Step::Done;
  }
}

}  // namespace xm::cpu::mmu
