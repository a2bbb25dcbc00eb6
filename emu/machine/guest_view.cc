// SPDX-License-Identifier: GPL-2.0-or-later
// Page walks of [SDM3 4.3-4.5], read-only. Level 1 is a 4 KiB page.
#include "emu/machine/guest_view.h"

#include <algorithm>

namespace xm::machine {

namespace {

constexpr u64 kAddress = 0x000FFFFFFFFFF000;
constexpr u64 kPresent = 1, kLarge = 0x80;

}  // namespace

std::optional<GuestView::Page> GuestView::translate(u64 linear) const {
  if ((state_.cr0 & cpu::cr0::kPg) == 0) return Page{linear & 0xFFFFFFFF, kPageSize, 3};
  if ((state_.cr4 & cpu::cr4::kPae) == 0) return walk_32bit(linear);
  return walk_wide(linear, (state_.msr.efer & cpu::efer::kLma) != 0);
}

u64 GuestView::hole(u64 linear) const {
  if ((state_.cr4 & cpu::cr4::kPae) == 0) return u64{1} << 22;
  const bool long_mode = (state_.msr.efer & cpu::efer::kLma) != 0;
  u64 table = long_mode ? state_.cr3 & kAddress : state_.cr3 & 0xFFFFFFE0;
  int level = long_mode ? ((state_.cr4 & cpu::cr4::kLa57) != 0 ? 5 : 4) : 3;
  for (; level > 1; level--) {
    const unsigned shift = 12 + 9 * static_cast<unsigned>(level - 1);
    const u64 entry = memory_.load<u64>(GuestPhys{table + (linear >> shift & index_mask(level, long_mode)) * 8});
    if ((entry & kPresent) == 0) break;
    table = entry & kAddress;
  }
  return u64{1} << (12 + 9 * static_cast<unsigned>(level - 1));
}

std::optional<GuestView::Page> GuestView::walk_32bit(u64 linear) const {
  const u32 directory = memory_.load<u32>(GuestPhys{(state_.cr3 & 0xFFFFF000) + (linear >> 22 & 0x3FF) * 4});
  if ((directory & kPresent) == 0) return std::nullopt;
  if ((directory & kLarge) != 0 && (state_.cr4 & cpu::cr4::kPse) != 0) {
    return Page{(directory & 0xFFC00000) | (u64{directory >> 13 & 0xFF} << 32) | (linear & 0x3FFFFF), u64{4} << 20,
                directory};
  }
  const u32 table = memory_.load<u32>(GuestPhys{(directory & 0xFFFFF000) + (linear >> 12 & 0x3FF) * 4});
  if ((table & kPresent) == 0) return std::nullopt;
  return Page{(table & 0xFFFFF000) | (linear & 0xFFF), kPageSize, table};
}

std::optional<GuestView::Page> GuestView::walk_wide(u64 linear, bool long_mode) const {
  const bool five_levels = long_mode && (state_.cr4 & cpu::cr4::kLa57) != 0;
  u64 table = long_mode ? state_.cr3 & kAddress : state_.cr3 & 0xFFFFFFE0;
  for (int level = long_mode ? (five_levels ? 5 : 4) : 3; level >= 1; level--) {
    const unsigned shift = 12 + 9 * static_cast<unsigned>(level - 1);
    const u64 entry = memory_.load<u64>(GuestPhys{table + (linear >> shift & index_mask(level, long_mode)) * 8});
    if ((entry & kPresent) == 0) return std::nullopt;
    if (level == 1 || (level <= 3 && (entry & kLarge) != 0 && (long_mode || level == 2))) {
      const u64 size = u64{1} << shift;
      return Page{(entry & kAddress & ~(size - 1)) | (linear & (size - 1)), size, entry};
    }
    table = entry & kAddress;
  }
  return std::nullopt;
}

bool GuestView::read(u64 linear, std::span<u8> to) {
  while (!to.empty()) {
    const auto page = translate(linear);
    if (!page) return false;
    const u64 piece = std::min<u64>(to.size(), kPageSize - (linear & kPageMask));
    if (!memory_.read(GuestPhys{page->physical}, to.first(piece))) return false;
    to = to.subspan(piece);
    linear += piece;
  }
  return true;
}

bool GuestView::write(u64 linear, std::span<const u8> from) {
  while (!from.empty()) {
    const auto page = translate(linear);
    if (!page) return false;
    const u64 piece = std::min<u64>(from.size(), kPageSize - (linear & kPageMask));
    if (!memory_.write(GuestPhys{page->physical}, from.first(piece))) return false;
    from = from.subspan(piece);
    linear += piece;
  }
  return true;
}

}  // namespace xm::machine
