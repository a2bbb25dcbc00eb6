// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/video/vga.h"

#include <algorithm>
#include <cstring>

namespace xm::devices {
namespace {

constexpr u64 kPlanesBytes = 4 * 0x10000;  // what VGA modes can show

constexpr i64 kCursorBlinkNs = 266'000'000;  // half a period
constexpr i64 kTextBlinkNs = 533'000'000;

constexpr u8 kStatusDisplayOff = 0x01;
constexpr u8 kStatusRetrace = 0x08;

}  // namespace

Vga::Vga(bus::RamBlock& memory, bus::VirtualClock& clock)
    : memory_(memory), clock_(clock), core_({memory.host(), memory.size_bytes()}), dispi_(memory.size_bytes()) {
  reset();
}

void Vga::reset() {
  core_.reset();
  dispi_.reset();
  drawn_ = false;
}

// ---- ports
// -----------------------------------------------------------------------------------------------------------

u8 Vga::read_port(u16 port) {
  if (port != 0x3BA && port != 0x3DA) return core_.read_port(port);
  if (!core_.decodes(port)) return 0xFF;
  core_.reset_attribute_flip_flop();
  return input_status_1();
}

u8 Vga::input_status_1() const {
  const i64 dots_per_second = bits(core_.misc_output(), 3, 2) == 1 ? 28'322'000 : 25'175'000;
  const i64 dots = (core_.crtc(0) + 5) * (core_.sequencer(1) & 1 ? 8 : 9) * (core_.sequencer(1) & 8 ? 2 : 1);
  const i64 line_ns = dots * 1'000'000'000 / dots_per_second;
  const i64 in_frame = clock_.now().value % (line_ns * core_.total_lines());
  const i64 line = in_frame / line_ns;
  const i64 shown_ns = line_ns * (core_.crtc(1) + 1) / (core_.crtc(0) + 5);
  u8 status = 0;
  if (line >= core_.displayed_lines() || in_frame % line_ns >= shown_ns) status |= kStatusDisplayOff;
  if (line >= core_.retrace_start() && core_.retrace_start() != 0) status |= kStatusRetrace | kStatusDisplayOff;
  return status;
}

u32 Vga::DispiPorts::port_read(Port port, unsigned size_bytes) {
  if (size_bytes != 2) return 0xFF;
  return port.value == 0x1CE ? vga.dispi_.index() : vga.read_dispi(vga.dispi_.index());
}

void Vga::DispiPorts::port_write(Port port, u32 value, unsigned size_bytes) {
  if (size_bytes != 2) return;
  if (port.value == 0x1CE) {
    vga.dispi_.set_index(static_cast<u16>(value));
  } else {
    vga.write_dispi(vga.dispi_.index(), static_cast<u16>(value));
  }
}

void Vga::write_dispi(u16 index, u16 value) {
  if (dispi_.write(index, value)) std::memset(memory_.host(), 0, dispi_.frame_bytes());
  core_.set_dac_8bit(dispi_.dac_8bit());
}

u64 Vga::Window::mmio_read(u64 offset, unsigned size_bytes) {
  u64 value = 0;
  for (unsigned i = 0; i < size_bytes; i++) {
    const auto at = static_cast<u32>(offset + i);
    u8 byte = 0xFF;
    if (!vga.window_is_linear()) {
      byte = vga.core_.read_memory(at, vga.dispi_.bank());
    } else if (const u64 linear = u64{vga.dispi_.bank()} * 0x10000 + at;
               at < 0x10000 && linear < vga.memory_.size_bytes()) {
      byte = vga.memory_.host()[linear];
    }
    value |= u64{byte} << (8 * i);
  }
  return value;
}

void Vga::Window::mmio_write(u64 offset, u64 value, unsigned size_bytes) {
  for (unsigned i = 0; i < size_bytes; i++) {
    const auto at = static_cast<u32>(offset + i);
    const auto byte = static_cast<u8>(value >> (8 * i));
    if (!vga.window_is_linear()) {
      vga.core_.write_memory(at, byte, vga.dispi_.bank());
    } else if (const u64 linear = u64{vga.dispi_.bank()} * 0x10000 + at;
               at < 0x10000 && linear < vga.memory_.size_bytes()) {
      vga.memory_.host()[linear] = byte;
    }
  }
}

// ---- picture
// ---------------------------------------------------------------------------------------------------------

BlinkPhase Vga::blink_phase() const {
  if (dispi_.enabled() || !core_.text_mode()) return {};
  const i64 now = clock_.now().value;
  return {now / kCursorBlinkNs % 2 == 0, now / kTextBlinkNs % 2 == 0};
}

bool Vga::take_over(std::span<const u8> from, std::span<u8> seen) {
  if (std::memcmp(from.data(), seen.data(), seen.size()) == 0) return false;
  std::memcpy(seen.data(), from.data(), seen.size());
  return true;
}

SurfaceChange Vga::refresh(Surface& surface) {
  const SurfaceChange change = dispi_.enabled() ? refresh_dispi(surface) : refresh_vga(surface);
  drawn_ = true;
  drawn_core_generation_ = core_.generation();
  drawn_dispi_generation_ = dispi_.generation();
  return change;
}

SurfaceChange Vga::refresh_vga(Surface& surface) {
  const BlinkPhase blink = blink_phase();
  bool stale = !drawn_ || drawn_core_generation_ != core_.generation() ||
               drawn_dispi_generation_ != dispi_.generation() || drawn_blink_ != blink ||
               drawn_memory_.size() != kPlanesBytes;
  drawn_memory_.resize(kPlanesBytes);
  stale |= take_over(core_.memory().first(kPlanesBytes), drawn_memory_);
  drawn_blink_ = blink;
  if (!stale) return {};

  const VgaGeometry geometry = vga_geometry(core_);
  SurfaceChange change;
  change.resized = surface.width != geometry.width || surface.height != geometry.height;
  const bool redraw_all = change.resized || !drawn_;
  if (change.resized) surface.resize(geometry.width, geometry.height);
  VgaScanner scanner(core_, blink);
  std::vector<u32> line(geometry.width);
  change.first_row = geometry.height;
  for (u32 y = 0; y < geometry.height; y++) {
    if (!geometry.blank) scanner.next_line(line);
    u32* shown = surface.pixels.data() + std::size_t{y} * geometry.width;
    if (!redraw_all && std::equal(line.begin(), line.end(), shown)) continue;
    std::copy(line.begin(), line.end(), shown);
    change.first_row = std::min(change.first_row, y);
    change.end_row = y + 1;
  }
  return change;
}

SurfaceChange Vga::refresh_dispi(Surface& surface) {
  SurfaceChange change;
  change.resized = surface.width != dispi_.width() || surface.height != dispi_.height();
  const bool redraw_all = change.resized || !drawn_ || drawn_core_generation_ != core_.generation() ||
                          drawn_dispi_generation_ != dispi_.generation();
  if (change.resized) surface.resize(dispi_.width(), dispi_.height());
  const u64 planes = dispi_.bits_per_pixel() == 4 ? 4 : 1;
  const u64 line_bytes = u64{dispi_.pitch_bytes()} * planes;
  const u64 first_byte = dispi_.start_bytes() * planes;
  const u64 end = std::min<u64>(first_byte + line_bytes * dispi_.height(), core_.memory().size());
  if (drawn_memory_.size() != end - first_byte) drawn_memory_.assign(end - first_byte, 0);
  change.first_row = dispi_.height();
  for (u32 y = 0; y < dispi_.height(); y++) {
    const u64 at = line_bytes * y;
    const u64 count = at < drawn_memory_.size() ? std::min(line_bytes, drawn_memory_.size() - at) : 0;
    const bool changed =
        take_over(core_.memory().subspan(first_byte + at, count), std::span(drawn_memory_).subspan(at, count));
    if (!changed && !redraw_all) continue;
    dispi_line(dispi_, core_, y, {surface.pixels.data() + std::size_t{y} * surface.width, surface.width});
    change.first_row = std::min(change.first_row, y);
    change.end_row = y + 1;
  }
  return change;
}

std::string Vga::text_screen() {
  return dispi_.enabled() || !core_.text_mode() || vga_geometry(core_).blank ? std::string{} : text_of_screen(core_);
}

std::string Vga::mode_description() {
  if (dispi_.enabled()) {
    return std::to_string(dispi_.width()) + "x" + std::to_string(dispi_.height()) + "x" +
           std::to_string(dispi_.bits_per_pixel());
  }
  const VgaGeometry geometry = vga_geometry(core_);
  return std::to_string(geometry.width) + "x" + std::to_string(geometry.height) +
         (geometry.blank      ? " blank"
          : core_.text_mode() ? " text"
                              : " graphics");
}

void Vga::exchange(bus::Archive& archive) {
  archive.begin("registers");
  core_.exchange(archive);
  archive.end();
  archive.begin("dispi");
  dispi_.exchange(archive);
  archive.end();
  archive.field("memory", std::span<u8>(memory_.host(), memory_.size_bytes()));
  drawn_ = false;
}

}  // namespace xm::devices
