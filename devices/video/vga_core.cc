// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/video/vga_core.h"

namespace xm::devices {
namespace {

// A bit for each plane -> FFh in the byte of each plane.
constexpr std::array<u32, 16> make_spread() {
  std::array<u32, 16> spread{};
  for (u32 planes = 0; planes < 16; planes++) {
    for (u32 p = 0; p < 4; p++) spread[planes] |= (planes >> p & 1) ? 0xFFu << (8 * p) : 0;
  }
  return spread;
}
constexpr auto kSpread = make_spread();
constexpr u32 in_all_planes(u8 value) { return value * 0x01010101u; }

// Sequencer.
constexpr unsigned kMapMask = 2;
constexpr unsigned kMemoryMode = 4;
constexpr u8 kSequential = 0x04;  // odd/even addressing is off
constexpr u8 kChain4 = 0x08;
// Graphics controller.
constexpr unsigned kSetReset = 0;
constexpr unsigned kEnableSetReset = 1;
constexpr unsigned kColourCompare = 2;
constexpr unsigned kRotate = 3;
constexpr unsigned kReadMap = 4;
constexpr unsigned kMode = 5;
constexpr unsigned kMisc = 6;
constexpr unsigned kDontCare = 7;
constexpr unsigned kBitMask = 8;
// CRT controller.
constexpr unsigned kOverflow = 7;
constexpr unsigned kMaxScanLine = 9;
constexpr unsigned kVerticalRetraceEnd = 0x11;
constexpr unsigned kUnderline = 0x14;
constexpr unsigned kModeControl = 0x17;

constexpr std::array<u8, 8> kSequencerWritable{0x03, 0x3D, 0x0F, 0x3F, 0x0E, 0, 0, 0xFF};
constexpr std::array<u8, 16> kGraphicsWritable{0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF};

}  // namespace

void VgaCore::reset() {
  sequencer_ = {};
  crtc_ = {};
  graphics_ = {};
  attribute_ = {};
  dac_ = {};
  sequencer_index_ = crtc_index_ = graphics_index_ = attribute_index_ = 0;
  attribute_data_next_ = palette_source_ = false;
  misc_output_ = feature_control_ = 0;
  dac_mask_ = 0xFF;
  dac_read_at_ = dac_write_at_ = 0;
  dac_reading_ = dac_8bit_ = false;
  latches_ = 0;
  generation_++;
}

// ---- ports
// -----------------------------------------------------------------------------------------------------------

bool VgaCore::decodes(u16 port) const {
  const bool colour = misc_output_ & 1;
  if (port >= 0x3B0 && port <= 0x3BF) return !colour;
  if (port >= 0x3D0 && port <= 0x3DF) return colour;
  return true;
}

u8 VgaCore::read_port(u16 port) {
  if (!decodes(port)) return 0xFF;
  switch (port) {
    case 0x3C0: return attribute_data_next_ ? 0 : static_cast<u8>(attribute_index_ | (palette_source_ ? 0x20 : 0));
    case 0x3C1: return attribute_[attribute_index_ & 0x1F];
    case 0x3C2: return 0x10;  // input status 0: a colour monitor answers the switch sense
    case 0x3C3: return 0x01;
    case 0x3C4: return sequencer_index_;
    case 0x3C5: return sequencer_[sequencer_index_ & 7];
    case 0x3C6: return dac_mask_;
    case 0x3C7: return dac_reading_ ? 3 : 0;
    case 0x3C8: return static_cast<u8>(dac_write_at_ / 3);
    case 0x3C9: return read_dac();
    case 0x3CA: return feature_control_;
    case 0x3CC: return misc_output_;
    case 0x3CE: return graphics_index_;
    case 0x3CF: return graphics_[graphics_index_ & 15];
    case 0x3B4:
    case 0x3D4: return crtc_index_;
    case 0x3B5:
    case 0x3D5: return crtc_[crtc_index_ & 31];
    default: return 0xFF;
  }
}

void VgaCore::write_port(u16 port, u8 value) {
  if (!decodes(port)) return;
  generation_++;
  switch (port) {
    case 0x3C0: write_attribute(value); break;
    case 0x3C2: misc_output_ = value; break;
    case 0x3C4: sequencer_index_ = value & 7; break;
    case 0x3C5: sequencer_[sequencer_index_] = value & kSequencerWritable[sequencer_index_]; break;
    case 0x3C6: dac_mask_ = value; break;
    case 0x3C7:
      dac_read_at_ = static_cast<u16>(value * 3);
      dac_reading_ = true;
      break;
    case 0x3C8:
      dac_write_at_ = static_cast<u16>(value * 3);
      dac_reading_ = false;
      break;
    case 0x3C9: write_dac(value); break;
    case 0x3CE: graphics_index_ = value & 15; break;
    case 0x3CF: graphics_[graphics_index_] = value & kGraphicsWritable[graphics_index_]; break;
    case 0x3B4:
    case 0x3D4: crtc_index_ = value & 31; break;
    case 0x3B5:
    case 0x3D5: write_crtc(value); break;
    case 0x3BA:
    case 0x3DA: feature_control_ = value & 3; break;
    default: break;
  }
}

void VgaCore::write_attribute(u8 value) {
  attribute_data_next_ = !attribute_data_next_;
  if (attribute_data_next_) {
    attribute_index_ = value & 0x1F;
    palette_source_ = value & 0x20;
    return;
  }
  // The palette can not be written while the screen is fed from it.
  if (attribute_index_ < 16 && palette_source_) return;
  attribute_[attribute_index_] = attribute_index_ < 16 ? value & 0x3F : value;
}

void VgaCore::write_crtc(u8 value) {
  if (crtc_index_ <= kOverflow && (crtc_[kVerticalRetraceEnd] & 0x80)) {  // protected
    if (crtc_index_ == kOverflow) crtc_[kOverflow] = static_cast<u8>((crtc_[kOverflow] & ~0x10) | (value & 0x10));
    return;
  }
  crtc_[crtc_index_] = value;
}

void VgaCore::write_dac(u8 value) {
  dac_[dac_write_at_] = dac_8bit_ ? value : value & 0x3F;
  dac_write_at_ = static_cast<u16>((dac_write_at_ + 1) % dac_.size());
}

u8 VgaCore::read_dac() {
  const u8 value = dac_[dac_read_at_];
  dac_read_at_ = static_cast<u16>((dac_read_at_ + 1) % dac_.size());
  return value;
}

void VgaCore::set_dac_8bit(bool on) {
  if (on == dac_8bit_) return;
  for (u8& component : dac_) component = static_cast<u8>(on ? component << 2 : component >> 2);
  dac_8bit_ = on;
  generation_++;
}

u32 VgaCore::dac_colour(u8 index) const {
  const u8* rgb = dac_.data() + (index & dac_mask_) * 3;
  if (dac_8bit_) return u32{rgb[0]} << 16 | u32{rgb[1]} << 8 | rgb[2];
  const auto wide = [](u8 six) { return static_cast<u32>(six << 2 | six >> 4); };
  return wide(rgb[0]) << 16 | wide(rgb[1]) << 8 | wide(rgb[2]);
}

// ---- CRT timing
// ------------------------------------------------------------------------------------------------------

u32 VgaCore::displayed_lines() const {
  const u8 overflow = crtc_[kOverflow];
  return (crtc_[0x12] | (overflow & 0x02u) << 7 | (overflow & 0x40u) << 3) + 1;
}

u32 VgaCore::line_compare() const {
  return crtc_[0x18] | (crtc_[kOverflow] & 0x10u) << 4 | (crtc_[kMaxScanLine] & 0x40u) << 3;
}

u32 VgaCore::total_lines() const {
  const u8 overflow = crtc_[kOverflow];
  return (crtc_[0x06] | (overflow & 0x01u) << 8 | (overflow & 0x20u) << 4) + 2;
}

u32 VgaCore::retrace_start() const {
  const u8 overflow = crtc_[kOverflow];
  return crtc_[0x10] | (overflow & 0x04u) << 6 | (overflow & 0x80u) << 2;
}

u32 VgaCore::display_address(u32 counter, u32 row_scan) const {
  const u8 mode = crtc_[kModeControl];
  u32 address = counter & 0xFFFF;
  if (crtc_[kUnderline] & 0x40) {  // doubleword
    address = (address << 2 | address >> 14) & 0xFFFF;
  } else if (!(mode & 0x40)) {  // word: the bit shifted out comes back as bit 0
    address = (address << 1 | (mode & 0x20 ? address >> 15 : address >> 13 & 1)) & 0xFFFF;
  }
  // CGA and Hercules memory: row scan bits stand for address bits 13 and 14.
  if (!(mode & 0x01)) address = (address & ~0x2000u) | (row_scan & 1) << 13;
  if (!(mode & 0x02)) address = (address & ~0x4000u) | (row_scan & 2) << 13;
  return address;
}

// ---- display memory
// --------------------------------------------------------------------------------------------------

i64 VgaCore::map_offset(u32 offset) const {
  switch (bits(graphics_[kMisc], 3, 2)) {
    case 0: return offset;
    case 1: return offset < 0x10000 ? i64{offset} : -1;
    case 2: return offset >= 0x10000 && offset < 0x18000 ? i64{offset} - 0x10000 : -1;
    default: return offset >= 0x18000 ? i64{offset} - 0x18000 : -1;
  }
}

VgaCore::Access VgaCore::locate(u32 map_offset, u32 bank, bool write) const {
  const u32 at = map_offset + bank * 0x10000;
  const u8 memory_mode = sequencer_[kMemoryMode];
  if (memory_mode & kChain4) return {at & ~3u, static_cast<u8>(1u << (at & 3))};
  const bool odd_even = write ? !(memory_mode & kSequential) : (graphics_[kMode] & 0x10) != 0;
  if (odd_even) {
    const unsigned odd = at & 1;
    if (write) return {at & ~1u, static_cast<u8>(odd ? 0x0A : 0x05)};
    return {at & ~1u, static_cast<u8>(1u << ((graphics_[kReadMap] & 2) | odd))};
  }
  return {at, static_cast<u8>(write ? 0x0F : 1u << graphics_[kReadMap])};
}

u8 VgaCore::read_memory(u32 offset, u32 bank) {
  const i64 at = map_offset(offset);
  if (at < 0) return 0xFF;
  const Access access = locate(static_cast<u32>(at), bank, false);
  latches_ = plane_word(access.offset);
  if (graphics_[kMode] & 0x08) {
    // Read mode 1: a bit for each dot whose colour matches in the planes that matter.
    const u32 differs = (latches_ ^ kSpread[graphics_[kColourCompare]]) & kSpread[graphics_[kDontCare]];
    return static_cast<u8>(~(differs | differs >> 8 | differs >> 16 | differs >> 24));
  }
  return static_cast<u8>((latches_ & kSpread[access.planes]) >>
                         (8 * static_cast<unsigned>(__builtin_ctz(access.planes))));
}

u32 VgaCore::alu(u32 data) const {
  switch (graphics_[kRotate] >> 3) {
    case 1: return data & latches_;
    case 2: return data | latches_;
    case 3: return data ^ latches_;
    default: return data;
  }
}

void VgaCore::write_memory(u32 offset, u8 value, u32 bank) {
  const i64 at = map_offset(offset);
  if (at < 0) return;
  const Access access = locate(static_cast<u32>(at), bank, true);
  const unsigned rotate = graphics_[kRotate] & 7;
  const auto rotated = static_cast<u8>(value >> rotate | value << (8 - rotate));
  u32 bit_mask = in_all_planes(graphics_[kBitMask]);
  u32 data = 0;
  switch (graphics_[kMode] & 3) {
    case 0: {
      const u32 set_reset = kSpread[graphics_[kEnableSetReset]];
      data = alu((in_all_planes(rotated) & ~set_reset) | (kSpread[graphics_[kSetReset]] & set_reset));
      break;
    }
    case 1:
      data = latches_;
      bit_mask = ~u32{0};
      break;
    case 2: data = alu(kSpread[value & 0x0F]); break;
    default:
      bit_mask &= in_all_planes(rotated);
      data = alu(kSpread[graphics_[kSetReset]]);
      break;
  }
  data = (data & bit_mask) | (latches_ & ~bit_mask);
  const u32 planes = kSpread[access.planes & sequencer_[kMapMask]];
  u8* word = memory_.data() + u64{access.offset & plane_mask()} * 4;
  store_le<u32>(word, (load_le<u32>(word) & ~planes) | (data & planes));
}

void VgaCore::exchange(bus::Archive& archive) {
  archive.field("sequencer", sequencer_);
  archive.field("crtc", crtc_);
  archive.field("graphics", graphics_);
  archive.field("attribute", attribute_);
  archive.field("dac", dac_);
  archive.field("sequencer_index", sequencer_index_);
  archive.field("crtc_index", crtc_index_);
  archive.field("graphics_index", graphics_index_);
  archive.field("attribute_index", attribute_index_);
  archive.field("attribute_data_next", attribute_data_next_);
  archive.field("palette_source", palette_source_);
  archive.field("misc_output", misc_output_);
  archive.field("feature_control", feature_control_);
  archive.field("dac_mask", dac_mask_);
  archive.field("dac_read_at", dac_read_at_);
  archive.field("dac_write_at", dac_write_at_);
  archive.field("dac_reading", dac_reading_);
  archive.field("dac_8bit", dac_8bit_);
  archive.field("latches", latches_);
  if (!archive.loading()) return;
  // Registers index tables: bring a foreign stream into the widths that writes enforce.
  for (unsigned i = 0; i < 8; i++) sequencer_[i] &= kSequencerWritable[i];
  for (unsigned i = 0; i < 16; i++) graphics_[i] &= kGraphicsWritable[i];
  sequencer_index_ &= 7;
  crtc_index_ &= 31;
  graphics_index_ &= 15;
  attribute_index_ &= 31;
  dac_read_at_ %= dac_.size();
  dac_write_at_ %= dac_.size();
  generation_++;
}

}  // namespace xm::devices
