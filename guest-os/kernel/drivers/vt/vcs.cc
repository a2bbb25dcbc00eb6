// SPDX-License-Identifier: GPL-2.0-or-later
// /dev/vcsN, vcsaN and vcsuN: the cells of a console to read; N empty: the one in front. [man 4 vcs]. GAP: not written.
#include "kernel/drivers/base/device.h"
#include "kernel/drivers/vt/vt.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

constexpr u32 kMajor = 7, kUnicodeMinor = 64, kAttributeMinor = 128;
constinit device_class vc_class{"vc"};

// Characters as glyph numbers, with attributes (vcsa: four bytes of size and cursor first), or as runes of four bytes.
size_t snapshot(vc_data* vc, u32 kind, u8* out) {
  const Terminal& t = vc->term;
  size_t n = 0;
  if (kind == kAttributeMinor) {
    const u32 head[4] = {t.rows, t.columns, t.x, t.y};
    for (const u32 v : head) out[n++] = static_cast<u8>(v);
  }
  for (u32 i = 0; i < t.rows * t.columns; ++i) {
    const u32 rune = cell_rune(t.cells[i]);
    if (kind == kUnicodeMinor) {
      memcpy(out + n, &rune, 4);
      n += 4;
      continue;
    }
    out[n++] = static_cast<u8>(glyph_of(rune));
    if (kind == kAttributeMinor) out[n++] = cell_attribute(t.cells[i]);
  }
  return n;
}

struct VcsOps final : file_operations {
  ssize_t read_iter(file* f, iov_iter& to, loff_t& pos) const override {
    const u32 minor = minor_of(f->f_inode->i_rdev), kind = minor & 0xc0, number = minor & 0x3f;
    vc_data* vc = number == 0 ? foreground_vc() : number <= kConsoles ? consoles[number - 1] : nullptr;
    if (vc == nullptr) return -ENXIO;
    u8* text = static_cast<u8*>(kmalloc(vc->term.rows * vc->term.columns * 4ul + 4));
    if (text == nullptr) return -ENOMEM;
    size_t length;
    {
      IrqGuard guard(vt_lock);
      length = snapshot(vc, kind, text);
    }
    ssize_t done = 0;
    if (pos >= 0 && static_cast<size_t>(pos) < length) {
      const u64 n = min<u64>(to.count(), length - static_cast<size_t>(pos));
      const u64 moved = to.copy_to(text + pos, n);
      done = moved == 0 && n != 0 ? -EFAULT : static_cast<ssize_t>(moved);
      pos += static_cast<loff_t>(moved);
    }
    kfree(text);
    return done;
  }
  ssize_t write_iter(file*, iov_iter&, loff_t&) const override { return -EINVAL; }
};
constinit const VcsOps vcs_ops{};

void make(const char* prefix, u32 minor, u32 number) {
  char name[16];
  if (number == 0)
    copy_string(name, prefix, sizeof name);
  else
    format(name, sizeof name, "%s%u", prefix, number);
  devtmpfs_create(name, S_IFCHR | 0660, make_dev(kMajor, minor + number));
  device_create(&vc_class, nullptr, make_dev(kMajor, minor + number), name);
}

void vcs_init() {
  if (display == nullptr) return;
  register_chrdev(kMajor, 0, 192, "vcs", &vcs_ops);
  for (u32 n = 0; n <= 6; ++n) {
    make("vcs", 0, n);
    make("vcsu", kUnicodeMinor, n);
    make("vcsa", kAttributeMinor, n);
  }
}
DEVICE_INITCALL(vcs_init);

}  // namespace
}  // namespace xm::os
