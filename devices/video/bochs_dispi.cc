// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/video/bochs_dispi.h"

#include <algorithm>

namespace xm::devices {
namespace {

constexpr u16 kId = 0;
constexpr u16 kXres = 1;
constexpr u16 kYres = 2;
constexpr u16 kBpp = 3;
constexpr u16 kEnable = 4;
constexpr u16 kBank = 5;
constexpr u16 kVirtualWidth = 6;
constexpr u16 kVirtualHeight = 7;
constexpr u16 kXoffset = 8;
constexpr u16 kYoffset = 9;
constexpr u16 kMemory64k = 10;

constexpr u16 kIdNewest = 0xB0C5;
constexpr u16 kEnabled = 0x01;
constexpr u16 kGetCapabilities = 0x02;
constexpr u16 k8BitDac = 0x20;
constexpr u16 kKeepMemory = 0x80;

}  // namespace

void BochsDispi::reset() {
  registers_ = {};
  registers_[kId] = kIdNewest;
  registers_[kBpp] = 8;
  index_ = 0;
  generation_++;
}

bool BochsDispi::enabled() const { return registers_[kEnable] & kEnabled; }
bool BochsDispi::dac_8bit() const { return registers_[kEnable] & k8BitDac; }

u16 BochsDispi::read(u16 index) const {
  if (index == kMemory64k) return static_cast<u16>(memory_bytes_ / 0x10000);
  if (index >= registers_.size()) return 0;
  if (registers_[kEnable] & kGetCapabilities) {
    if (index == kXres) return kMaxWidth;
    if (index == kYres) return kMaxHeight;
    if (index == kBpp) return 32;
  }
  return registers_[index];
}

bool BochsDispi::write(u16 index, u16 value) {
  generation_++;
  switch (index) {
    case kId:
      if (value >= 0xB0C0 && value <= kIdNewest) registers_[kId] = value;
      return false;
    case kXres:
    case kYres:
    case kBpp:
    case kVirtualWidth:
    case kXoffset:
    case kYoffset:
      registers_[index] = value;
      fix();
      return false;
    case kBank: registers_[kBank] = static_cast<u16>(value % std::max<u64>(memory_bytes_ / 0x10000, 1)); return false;
    case kEnable: {
      const bool starts = (value & kEnabled) && !enabled();
      registers_[kEnable] = value;
      if (starts) {
        registers_[kVirtualWidth] = registers_[kXoffset] = registers_[kYoffset] = 0;
        fix();
      }
      if (!enabled()) registers_[kBank] = 0;
      return starts && !(value & kKeepMemory);
    }
    default: return false;
  }
}

u32 BochsDispi::bytes_of_pixels(u32 pixels) const {
  return bits_per_pixel() == 4 ? pixels / 8 : pixels * ((bits_per_pixel() + 7) / 8);
}
u32 BochsDispi::pitch_bytes() const { return bytes_of_pixels(registers_[kVirtualWidth]); }
u64 BochsDispi::start_bytes() const {
  return u64{registers_[kYoffset]} * pitch_bytes() + bytes_of_pixels(registers_[kXoffset]);
}
u64 BochsDispi::frame_bytes() const {
  return std::min<u64>(memory_bytes_, u64{height()} * pitch_bytes() * (bits_per_pixel() == 4 ? 4 : 1));
}

void BochsDispi::fix() {
  if (!enabled()) return;
  u16& bpp = registers_[kBpp];
  if (bpp != 4 && bpp != 15 && bpp != 16 && bpp != 24 && bpp != 32) bpp = 8;
  u16& width = registers_[kXres];
  width = static_cast<u16>(std::clamp<u32>(width & ~7u, 8, kMaxWidth));
  u16& virtual_width = registers_[kVirtualWidth];
  virtual_width = static_cast<u16>(std::clamp<u32>(virtual_width & ~7u, width, kMaxWidth & ~7u));
  const u64 planes = bpp == 4 ? 4 : 1;
  u64 lines = memory_bytes_ / (u64{pitch_bytes()} * planes);
  if (lines == 0) {  // not even one line fits: the narrowest mode does
    width = virtual_width = 8;
    lines = memory_bytes_ / (u64{pitch_bytes()} * planes);
  }
  registers_[kYres] = static_cast<u16>(std::clamp<u64>(registers_[kYres], 1, std::min<u64>(lines, kMaxHeight)));
  registers_[kVirtualHeight] = static_cast<u16>(std::min<u64>(lines, 0xFFFF));
  registers_[kXoffset] = std::min<u16>(registers_[kXoffset], static_cast<u16>(virtual_width - width));
  const u64 most = std::min<u64>(lines, 0xFFFF) - registers_[kYres];
  registers_[kYoffset] = static_cast<u16>(std::min<u64>(registers_[kYoffset], most));
}

void BochsDispi::exchange(bus::Archive& archive) {
  archive.field("index", index_);
  archive.field("registers", registers_);
  if (archive.loading()) {
    fix();
    generation_++;
  }
}

}  // namespace xm::devices
