// SPDX-License-Identifier: GPL-2.0-or-later
// The VBE mode list and mode set on a Bochs-compatible display [VBE 3.0 4.4; mode numbers above 140 as on Bochs].
#include "services/dispi.h"

namespace xm::fw {
namespace {

constexpr VbeMode kModes[] = {
    {0x100, 640, 400, 8},    {0x101, 640, 480, 8},    {0x102, 800, 600, 4},    {0x103, 800, 600, 8},
    {0x104, 1024, 768, 4},   {0x105, 1024, 768, 8},   {0x106, 1280, 1024, 4},  {0x107, 1280, 1024, 8},
    {0x10D, 320, 200, 15},   {0x10E, 320, 200, 16},   {0x10F, 320, 200, 24},   {0x110, 640, 480, 15},
    {0x111, 640, 480, 16},   {0x112, 640, 480, 24},   {0x113, 800, 600, 15},   {0x114, 800, 600, 16},
    {0x115, 800, 600, 24},   {0x116, 1024, 768, 15},  {0x117, 1024, 768, 16},  {0x118, 1024, 768, 24},
    {0x119, 1280, 1024, 15}, {0x11A, 1280, 1024, 16}, {0x11B, 1280, 1024, 24}, {0x11C, 1600, 1200, 8},
    {0x11D, 1600, 1200, 15}, {0x11E, 1600, 1200, 16}, {0x11F, 1600, 1200, 24}, {0x140, 320, 200, 32},
    {0x141, 640, 400, 32},   {0x142, 640, 480, 32},   {0x143, 800, 600, 32},   {0x144, 1024, 768, 32},
    {0x145, 1280, 1024, 32}, {0x146, 320, 200, 8},    {0x147, 1600, 1200, 32}, {0x148, 1152, 864, 8},
    {0x149, 1152, 864, 15},  {0x14A, 1152, 864, 16},  {0x14B, 1152, 864, 24},  {0x14C, 1152, 864, 32},
    {0x178, 1280, 800, 16},  {0x179, 1280, 800, 24},  {0x17A, 1280, 800, 32},  {0x17B, 1280, 960, 16},
    {0x17C, 1280, 960, 24},  {0x17D, 1280, 960, 32},  {0x17E, 1440, 900, 16},  {0x17F, 1440, 900, 24},
    {0x180, 1440, 900, 32},  {0x181, 1400, 1050, 16}, {0x182, 1400, 1050, 24}, {0x183, 1400, 1050, 32},
    {0x184, 1680, 1050, 16}, {0x185, 1680, 1050, 24}, {0x186, 1680, 1050, 32}, {0x187, 1920, 1200, 16},
    {0x188, 1920, 1200, 24}, {0x189, 1920, 1200, 32}, {0x18A, 2560, 1600, 16}, {0x18B, 2560, 1600, 24},
    {0x18C, 2560, 1600, 32}, {0x18D, 1280, 720, 16},  {0x18E, 1280, 720, 24},  {0x18F, 1280, 720, 32},
    {0x190, 1920, 1080, 16}, {0x191, 1920, 1080, 24}, {0x192, 1920, 1080, 32},
};

u16 g_mode;  // as set, with the linear bit; 0 outside VBE modes

}  // namespace

extern "C" u16 g_vbe_mode_list[count_of(kModes) + 1];
u16 g_vbe_mode_list[count_of(kModes) + 1];

bool has_dispi() {
  const u16 id = dispi_read(Dispi::Id);
  return id >= 0xB0C0 && id <= 0xB0CF;
}

bool vbe_mode_active() { return g_mode != 0; }

u16 current_vbe_mode() { return g_mode ? g_mode : bda<u8>(bda_at::kVideoMode); }

void restore_vbe_mode_number(u16 mode) { g_mode = mode >= 0x100 ? mode : u16{0}; }

void disable_dispi() {
  g_mode = 0;
  if (has_dispi()) dispi_write(Dispi::Enable, 0);
}

u32 bytes_per_line(const VbeMode& mode, u32 width) {
  return mode.depth == 4 ? width / 8 : width * ((mode.depth + 7u) / 8);
}

u32 video_memory_bytes() {
  const u32 units = dispi_read(Dispi::Memory64K);
  return (units && units != 0xFFFF ? units : 64) << 16;
}

const VbeMode* find_vbe_mode(u16 number) {
  for (const VbeMode& mode : kModes) {
    if (mode.number != (number & 0x1FF)) continue;
    const u32 need = bytes_per_line(mode, mode.width) * mode.height * (mode.depth == 4 ? 4 : 1);
    return has_dispi() && need <= video_memory_bytes() ? &mode : nullptr;
  }
  return nullptr;
}

// Only modes that fit the memory are listed; the list lives in our segment and ends with FFFF.
void build_vbe_mode_list() {
  u32 at = 0;
  for (const VbeMode& mode : kModes) {
    if (find_vbe_mode(mode.number)) g_vbe_mode_list[at++] = mode.number;
  }
  g_vbe_mode_list[at] = 0xFFFF;
}

u32 frame_buffer_address() {
  for (u32 i = 0; i < g_boot_info.pci_count; i++) {
    const PciFunction& f = g_boot_info.pci[i];
    if (f.base_class != 3) continue;
    const u32 bar = pci_read32(f.address, 0x10);
    if (!(bar & 1) && (bar & ~15u)) return bar & ~15u;
  }
  return 0xE0000000;  // where an ISA display of this kind has it
}

bool set_vbe_mode(u16 number, bool linear, bool keep_memory) {
  const VbeMode* mode = find_vbe_mode(number);
  if (!mode) return false;
  disable_dispi();
  // Underneath, a VGA mode with the right memory layout for the window at A0000.
  write_mode_registers(*find_video_mode(mode->depth == 4 ? 0x12 : 0x13));
  load_default_palette(mode->depth == 4 ? Palette::Ega : Palette::Vga256);
  dispi_write(Dispi::Width, mode->width);
  dispi_write(Dispi::Height, mode->height);
  dispi_write(Dispi::Depth, mode->depth);
  dispi_write(Dispi::VirtualWidth, mode->width);
  dispi_write(Dispi::Bank, 0);
  dispi_write(Dispi::Enable,
              static_cast<u16>(kDispiEnabled | (linear ? kDispiLinear : 0) | (keep_memory ? kDispiKeepMemory : 0)));
  g_mode = static_cast<u16>(number & 0x1FF) | (linear ? 0x4000 : 0);
  set_bda<u16>(bda_at::kColumns, mode->width / 8);
  set_bda<u8>(bda_at::kRows, static_cast<u8>(mode->height / 16 - 1));
  set_bda<u16>(bda_at::kCharacterHeight, 16);
  return true;
}

}  // namespace xm::fw
