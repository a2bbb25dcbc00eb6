// SPDX-License-Identifier: GPL-2.0-or-later
// The slow side of Vcpu's memory access: segment checks, translation, page crossings, MMIO, writes to code, data
// breakpoints, alignment checks, and the refill of the level-1 TLB. [SDM3 3, 4, 5.3, 17.2]
#include <algorithm>

#include "cpu/mmu/page_walk.h"
#include "cpu/vcpu/vcpu.h"

namespace xm::cpu {

namespace {

constexpr u64 kLinear32 = 0xFFFFFFFF;

// Data of a natural size moves in one host access.
void copy_sized(u8* to, const u8* from, unsigned size_bytes) {
  switch (size_bytes) {
    case 1: *to = *from; break;
    case 2: std::memcpy(to, from, 2); break;
    case 4: std::memcpy(to, from, 4); break;
    case 8: std::memcpy(to, from, 8); break;
    default: std::memcpy(to, from, size_bytes); break;
  }
}

// A page is marked before it is decoded, and marks are read after the write: one of the two sees the other.
void order_before_marks() { std::atomic_thread_fence(std::memory_order_seq_cst); }

unsigned bytes_to_page_end(u64 address) { return static_cast<unsigned>(kPageSize - (address & kPageMask)); }

}  // namespace

bool Vcpu::segment_fault(Segment segment) { return raise(segment == Segment::Ss ? Vector::Ss : Vector::Gp, 0); }

bool Vcpu::check_limit(const SegmentRegister& segment, u64 offset, unsigned size_bytes) const {
  const u64 last = offset + size_bytes - 1;
  const bool expand_down = (segment.attributes & 0x1C) == 0x14;
  if (mode.protected_mode && expand_down) return offset > segment.limit && last <= (segment.big() ? kLinear32 : 0xFFFF);
  return last <= segment.limit || segment.limit == kLinear32;
}

bool Vcpu::segmented_linear(Segment segment, u64 offset, unsigned size_bytes, bool for_write, u64& linear) {
  const SegmentRegister& seg = state.segment[static_cast<unsigned>(segment)];
  if (mode.protected_mode) {
    if (seg.unusable()) return segment_fault(segment);
    const bool code = (seg.attributes & 8) != 0;
    const bool allowed = for_write ? !code && (seg.attributes & 2) != 0 : !code || (seg.attributes & 2) != 0;
    if (!allowed) return segment_fault(segment);
  }
  if (!check_limit(seg, offset, size_bytes)) return segment_fault(segment);
  linear = (seg.base + offset) & kLinear32;
  return true;
}

bool Vcpu::check_alignment(u64 linear, unsigned size_bytes) {
  if (!mode.alignment_check || size_bytes > 10) return true;
  const unsigned natural = size_bytes >= 8 ? 8 : size_bytes;
  if ((linear & (natural - 1)) == 0) return true;
  return raise(Vector::Ac, 0);
}

void Vcpu::note_data_breakpoints(u64 linear, unsigned size_bytes, bool write) {
  const u64 control = state.dr[7];
  for (unsigned i = 0; i < 4; ++i) {
    if (((control >> (2 * i)) & 3) == 0) continue;
    const u64 kind = (control >> (16 + 4 * i)) & 3;
    if (kind != 3 && !(kind == 1 && write)) continue;
    const u64 length_code = (control >> (18 + 4 * i)) & 3;
    const u64 length = length_code == 2 ? 8 : length_code + 1;
    const u64 first = state.dr[i] & ~(length - 1);
    if (linear < first + length && first < linear + size_bytes) running.breakpoint_hits |= bit(i);
  }
}

// Every access of the Checked context comes by here.
void Vcpu::note_access(u64 linear, const u8* bytes, unsigned size_bytes, bool write) {
  note_data_breakpoints(linear, size_bytes, write);
  if (watch != nullptr && watch->wants_accesses()) watch->accessed(*this, linear, {bytes, size_bytes}, write);
}

bool Vcpu::translate(u64 linear, mmu::Access access, As as, u64& physical) {
  if (!mode.long_mode) linear &= kLinear32;
  if (access == mmu::Access::Execute) tlb.note_executed(linear);
  if (!mode.paging) {
    physical = linear;
    return true;
  }
  const mmu::Rights rights{.user = user_rights(as), .ac = as == As::Current && (state.rflags & flag::kAc) != 0};
  const mmu::Translation* known = tlb.find(linear);
  if (known != nullptr && mmu::permitted(*this, *known, access, rights) &&
      (access != mmu::Access::Write || known->dirty)) {
    physical = known->frame | (linear & kPageMask);
    return true;
  }
  if (mode.long_mode && !detail::canonical(linear, (state.cr4 & cr4::kLa57) != 0)) return raise(Vector::Gp, 0);
  mmu::Translation page;
  if (!mmu::walk(*this, linear, access, rights, mmu::WalkEffect::Update, page)) return false;
  tlb.insert(linear, page);
  physical = page.frame | (linear & kPageMask);
  return true;
}

bool Vcpu::translate_quietly(u64 linear, u64& physical) {
  if (!mode.long_mode) linear &= kLinear32;
  if (!mode.paging) {
    physical = linear;
    return true;
  }
  mmu::Translation page;
  if (!mmu::walk(*this, linear, mmu::Access::Read, {}, mmu::WalkEffect::Quiet, page)) return false;
  physical = page.frame | (linear & kPageMask);
  return true;
}

bool Vcpu::read_in_page(u64 linear, u64 physical, u8* to, unsigned size_bytes, As as) {
  const PhysPage& page = phys.page(physical);
  if (page.read_host != nullptr) {
    copy_sized(to, page.read_host + (physical & kPageMask), size_bytes);
    tlb.fill_read(context_for(as), linear, page.read_host);
    return true;
  }
  leave_host_fp(*this);
  while (size_bytes != 0) {
    const unsigned piece = std::min(size_bytes, 8u);
    leave_host_fp(*this);
    const u64 value = bus.mmio_read(GuestPhys{physical}, piece);
    store_le_sized(to, value, piece);
    to += piece;
    physical += piece;
    size_bytes -= piece;
  }
  return true;
}

void Vcpu::write_in_page(u64 linear, u64 physical, const u8* from, unsigned size_bytes, As as) {
  const PhysPage& page = phys.page(physical);
  if (page.write_host != nullptr) {
    copy_sized(page.write_host + (physical & kPageMask), from, size_bytes);
    order_before_marks();
    if (page.marks != nullptr && (page.marks->load(std::memory_order_relaxed) & kMarkHasCode) != 0) {
      if (code_watch != nullptr) code_watch->code_changed(GuestPhys{physical}, size_bytes);
    } else if (page.read_host == page.write_host) {
      tlb.fill_write(context_for(as), linear, page.write_host);
    }
    return;
  }
  leave_host_fp(*this);
  while (size_bytes != 0) {
    const unsigned piece = std::min(size_bytes, 8u);
    leave_host_fp(*this);
    bus.mmio_write(GuestPhys{physical}, load_le_sized(from, piece), piece);
    from += piece;
    physical += piece;
    size_bytes -= piece;
  }
}

bool Vcpu::read_slow(u64 linear, void* to, unsigned size_bytes, As as) {
  if (!mode.long_mode) linear &= kLinear32;
  if (as == As::Current && !check_alignment(linear, size_bytes)) return false;
  u8* bytes = static_cast<u8*>(to);
  const unsigned first = std::min(size_bytes, bytes_to_page_end(linear));
  u64 physical = 0;
  if (!translate(linear, mmu::Access::Read, as, physical)) return false;
  u64 second_physical = 0;
  const u64 second_linear = mode.long_mode ? linear + first : (linear + first) & kLinear32;
  if (first < size_bytes && !translate(second_linear, mmu::Access::Read, as, second_physical)) return false;
  if (!read_in_page(linear, physical, bytes, first, as)) return false;
  if (first < size_bytes && !read_in_page(second_linear, second_physical, bytes + first, size_bytes - first, as))
    return false;
  if (tlb.context() == mmu::Context::Checked) note_access(linear, static_cast<const u8*>(to), size_bytes, false);
  return true;
}

bool Vcpu::write_slow(u64 linear, const void* from, unsigned size_bytes, As as) {
  if (!mode.long_mode) linear &= kLinear32;
  if (as == As::Current && !check_alignment(linear, size_bytes)) return false;
  const u8* bytes = static_cast<const u8*>(from);
  const unsigned first = std::min(size_bytes, bytes_to_page_end(linear));
  u64 physical = 0;
  if (!translate(linear, mmu::Access::Write, as, physical)) return false;
  u64 second_physical = 0;
  const u64 second_linear = mode.long_mode ? linear + first : (linear + first) & kLinear32;
  if (first < size_bytes && !translate(second_linear, mmu::Access::Write, as, second_physical)) return false;
  write_in_page(linear, physical, bytes, first, as);
  if (first < size_bytes) write_in_page(second_linear, second_physical, bytes + first, size_bytes - first, as);
  if (tlb.context() == mmu::Context::Checked) note_access(linear, bytes, size_bytes, true);
  return true;
}

bool Vcpu::probe_write_linear(u64 linear, unsigned size_bytes, As as) {
  if (as == As::Current && !check_alignment(linear, size_bytes)) return false;
  u64 physical = 0;
  if (!translate(linear, mmu::Access::Write, as, physical)) return false;
  const unsigned first = bytes_to_page_end(linear);
  return first >= size_bytes || translate(linear + first, mmu::Access::Write, as, physical);
}

bool Vcpu::probe_read_linear(u64 linear, unsigned size_bytes, As as) {
  if (as == As::Current && !check_alignment(linear, size_bytes)) return false;
  u64 physical = 0;
  if (!translate(linear, mmu::Access::Read, as, physical)) return false;
  const unsigned first = bytes_to_page_end(linear);
  return first >= size_bytes || translate(linear + first, mmu::Access::Read, as, physical);
}

bool Vcpu::probe_write(Segment segment, u64 offset, unsigned size_bytes) {
  u64 linear = 0;
  return linear_address(segment, offset, size_bytes, true, linear) && probe_write_linear(linear, size_bytes);
}

bool Vcpu::probe_read(Segment segment, u64 offset, unsigned size_bytes) {
  u64 linear = 0;
  return linear_address(segment, offset, size_bytes, false, linear) && probe_read_linear(linear, size_bytes);
}

const u8* Vcpu::read_window(u64 linear, unsigned size_bytes, bool& ok) {
  ok = true;
  if (size_bytes > bytes_to_page_end(linear)) return nullptr;
  const mmu::TlbEntry& entry = mmu::tlb_entry(tlb.current->read, linear);
  if (linear - entry.page < kPageSize) return entry.host(linear);
  u64 physical = 0;
  ok = translate(linear, mmu::Access::Read, As::Current, physical);
  if (!ok || tlb.context() == mmu::Context::Checked) return nullptr;
  u8* host = phys.page(physical).read_host;
  if (host == nullptr) return nullptr;
  tlb.fill_read(tlb.context(), linear, host);
  return host + (physical & kPageMask);
}

u8* Vcpu::write_window(u64 linear, unsigned size_bytes, bool& ok) {
  ok = true;
  if (size_bytes > bytes_to_page_end(linear)) return nullptr;
  const mmu::TlbEntry& entry = mmu::tlb_entry(tlb.current->write, linear);
  if (linear - entry.page < kPageSize) return entry.host(linear);
  u64 physical = 0;
  ok = translate(linear, mmu::Access::Write, As::Current, physical);
  if (!ok || tlb.context() == mmu::Context::Checked) return nullptr;
  const PhysPage& page = phys.page(physical);
  if (page.write_host == nullptr || page.read_host != page.write_host) return nullptr;
  if (page.marks != nullptr && (page.marks->load(std::memory_order_relaxed) & kMarkHasCode) != 0) return nullptr;
  tlb.fill_write(tlb.context(), linear, page.write_host);
  return page.write_host + (physical & kPageMask);
}

u8* Vcpu::atomic_window(u64 linear, unsigned size_bytes, bool& ok) {
  if (u8* host = write_window(linear, size_bytes, ok); host != nullptr || !ok) return host;
  if (size_bytes > bytes_to_page_end(linear)) {
    ok = probe_write_linear(linear, size_bytes);
    return nullptr;
  }
  u64 physical = 0;
  ok = check_alignment(linear, size_bytes) && translate(linear, mmu::Access::Write, As::Current, physical);
  if (!ok) return nullptr;
  const PhysPage& page = phys.page(physical);
  if (page.write_host == nullptr || page.read_host != page.write_host) return nullptr;
  // What a locked instruction writes is not known yet: a watch hears of the value that it reads.
  if (tlb.context() == mmu::Context::Checked)
    note_access(linear, page.write_host + (physical & kPageMask), size_bytes, true);
  // A page of code: what was decoded from here goes before the write lands.
  if (page.marks != nullptr && (page.marks->load(std::memory_order_relaxed) & kMarkHasCode) != 0 &&
      code_watch != nullptr)
    code_watch->code_changed(GuestPhys{physical}, size_bytes);
  return page.write_host + (physical & kPageMask);
}

u64 Vcpu::read_phys(GuestPhys address, unsigned size_bytes) {
  const PhysPage& page = phys.page(address.value);
  if (page.read_host != nullptr) {
    u64 value = 0;
    copy_sized(reinterpret_cast<u8*>(&value), page.read_host + (address.value & kPageMask), size_bytes);
    return value;
  }
  leave_host_fp(*this);
  return bus.mmio_read(address, size_bytes);
}

void Vcpu::write_phys(GuestPhys address, u64 value, unsigned size_bytes) {
  const PhysPage& page = phys.page(address.value);
  if (page.write_host == nullptr) {
    leave_host_fp(*this);
    return bus.mmio_write(address, value, size_bytes);
  }
  copy_sized(page.write_host + (address.value & kPageMask), reinterpret_cast<const u8*>(&value), size_bytes);
  order_before_marks();
  const bool code = page.marks != nullptr && (page.marks->load(std::memory_order_relaxed) & kMarkHasCode) != 0;
  if (code && code_watch != nullptr) code_watch->code_changed(address, size_bytes);
}

}  // namespace xm::cpu
