// SPDX-License-Identifier: GPL-2.0-or-later
// Which glyph of the font shows a rune: a table of tables, filled by ioctl PIO_UNIMAP or with code page 437, which is
// what the VGA's own font holds.
#include "kernel/drivers/vt/vt.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

constexpr u16 kNone = 0xffff;
constinit u16* pages[256]{};  // by rune >> 8

// What a font without the glyph may show instead.
constexpr struct {
  u16 rune, instead;
} kFallbacks[] = {{0x00a0, ' '},  {0x2010, '-'},  {0x2011, '-'}, {0x2012, '-'}, {0x2013, '-'}, {0x2014, '-'},
                  {0x2018, '\''}, {0x2019, '\''}, {0x201c, '"'}, {0x201d, '"'}, {0x2212, '-'}, {0x2026, '.'},
                  {0x2039, '<'},  {0x203a, '>'},  {0x23ba, '-'}, {0x23bb, '-'}, {0x23bc, '-'}, {0x23bd, '_'},
                  {0x25c6, '*'},  {0x2713, 'v'},  {0x2192, '>'}, {0x2190, '<'}, {0x2191, '^'}, {0x2193, 'v'},
                  {0xfffd, '?'},  {0x2501, '-'},  {0x2503, '|'}, {0x256d, '+'}, {0x256e, '+'}, {0x256f, '+'},
                  {0x2570, '+'},  {0x25cf, 'o'},  {0x00d7, 'x'}, {0x00ad, '-'}};

u16 look_up(u32 rune) {
  const u16* p = rune < 0x10000 ? pages[rune >> 8] : nullptr;
  return p == nullptr ? kNone : p[rune & 255];
}
bool put(u32 rune, u16 glyph) {
  u16*& p = pages[(rune >> 8) & 255];
  if (p == nullptr) {
    u16* fresh = static_cast<u16*>(kmalloc(512));
    if (fresh == nullptr) return false;
    memset(fresh, 0xff, 512);
    p = fresh;
  }
  p[rune & 255] = glyph;
  return true;
}

}  // namespace

u32 glyph_of(u32 rune) {
  u16 glyph = look_up(rune);
  if (glyph != kNone) return glyph;
  for (const auto& f : kFallbacks) {
    if (f.rune == rune && (glyph = look_up(f.instead)) != kNone) return glyph;
  }
  glyph = look_up('?');
  return glyph == kNone ? '?' : glyph;
}

int unimap_set(const unipair* pairs, u32 count) {
  for (u32 i = 0; i < count; ++i) {
    if (!put(pairs[i].unicode, pairs[i].fontpos)) return -ENOMEM;
  }
  return 0;
}

u32 unimap_get(unipair* pairs, u32 limit) {
  u32 count = 0;
  for (u32 rune = 0; rune < 0x10000; ++rune) {
    const u16 glyph = look_up(rune);
    if (glyph == kNone) continue;
    if (count < limit && pairs != nullptr) pairs[count] = {static_cast<u16>(rune), glyph};
    ++count;
  }
  return count;
}

void unimap_clear() {
  for (u16* p : pages) {
    if (p != nullptr) memset(p, 0xff, 512);
  }
}

void unimap_default() {
  unimap_clear();
  for (u32 c = 1; c < 256; ++c) put(cp437_to_rune(static_cast<u8>(c)), static_cast<u16>(c));
}

}  // namespace xm::os
