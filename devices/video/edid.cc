// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/video/edid.h"

#include <algorithm>
#include <string_view>

#include "emu/base/bits.h"

namespace xm::devices {
namespace {

constexpr unsigned kDetailed = 54;  // four descriptors of 18 bytes

void put_timing(u8* at, u32 width, u32 height) {
  const u32 h_blank = std::min(width / 4, 4095u);
  const u32 v_blank = std::max(height / 30, 8u);
  const u32 h_front = h_blank / 4, h_sync = h_blank / 4;
  const u32 v_front = 3, v_sync = 4;
  const u32 clock_10khz = std::min((width + h_blank) * (height + v_blank) * 60 / 10'000, 65'535u);
  const u32 width_mm = width * 254 / 960, height_mm = height * 254 / 960;  // 96 dots an inch
  store_le(at, static_cast<u16>(clock_10khz));
  at[2] = static_cast<u8>(width);
  at[3] = static_cast<u8>(h_blank);
  at[4] = static_cast<u8>((width >> 8) << 4 | h_blank >> 8);
  at[5] = static_cast<u8>(height);
  at[6] = static_cast<u8>(v_blank);
  at[7] = static_cast<u8>((height >> 8) << 4 | v_blank >> 8);
  at[8] = static_cast<u8>(h_front);
  at[9] = static_cast<u8>(h_sync);
  at[10] = static_cast<u8>((v_front & 15) << 4 | (v_sync & 15));
  at[11] = static_cast<u8>((h_front >> 8 & 3) << 6 | (h_sync >> 8 & 3) << 4);
  at[12] = static_cast<u8>(width_mm);
  at[13] = static_cast<u8>(height_mm);
  at[14] = static_cast<u8>((width_mm >> 8 & 15) << 4 | (height_mm >> 8 & 15));
  at[17] = 0x18;  // digital separate sync
}

void put_text(u8* at, u8 tag, std::string_view text) {
  at[3] = tag;
  for (unsigned i = 0; i < 13; i++)
    at[5 + i] = i < text.size() ? static_cast<u8>(text[i]) : i == text.size() ? '\n' : ' ';
}

}  // namespace

std::array<u8, 128> make_edid(u32 width, u32 height) {
  width = std::clamp(width, 64u, 4095u);
  height = std::clamp(height, 64u, 4095u);
  std::array<u8, 128> edid{};
  std::fill_n(edid.begin() + 1, 6, u8{0xFF});
  store_le(edid.data() + 8, byte_swap(static_cast<u16>(('X' - 64) << 10 | ('M' - 64) << 5 | ('A' - 64))));
  store_le(edid.data() + 10, u16{0x0001});  // product
  edid[16] = 1;                             // week
  edid[17] = 2024 - 1990;
  edid[18] = 1;
  edid[19] = 4;
  edid[20] = 0xA5;                                                 // digital, 8 bits a colour
  edid[21] = static_cast<u8>(std::min(width * 254 / 9600, 255u));  // centimetres
  edid[22] = static_cast<u8>(std::min(height * 254 / 9600, 255u));
  edid[23] = 120;   // gamma 2.2
  edid[24] = 0x06;  // sRGB, first descriptor is the preferred timing
  constexpr std::array<u8, 10> kSrgb{0xEE, 0x91, 0xA3, 0x54, 0x4C, 0x99, 0x26, 0x0F, 0x50, 0x54};
  std::copy(kSrgb.begin(), kSrgb.end(), edid.begin() + 25);
  edid[35] = 0x21;                                    // 640x480, 800x600 at 60 Hz
  edid[36] = 0x08;                                    // 1024x768 at 60 Hz
  for (unsigned i = 38; i < 54; i++) edid[i] = 0x01;  // no standard timings
  put_timing(edid.data() + kDetailed, width, height);
  u8* range = edid.data() + kDetailed + 18;
  range[3] = 0xFD;
  constexpr std::array<u8, 13> kRange{50, 125, 30, 160, 60, 0x00, '\n', ' ', ' ', ' ', ' ', ' ', ' '};
  std::copy(kRange.begin(), kRange.end(), range + 5);
  put_text(edid.data() + kDetailed + 36, 0xFC, "Xiaoma");
  edid[kDetailed + 54 + 3] = 0x10;  // unused descriptor
  u8 sum = 0;
  for (const u8 byte : edid) sum = static_cast<u8>(sum + byte);
  edid[127] = static_cast<u8>(-sum);
  return edid;
}

}  // namespace xm::devices
