// SPDX-License-Identifier: GPL-2.0-or-later
// /dev/fb0 over a framebuffer that the loader switched on, or over a card with Bochs's display interface, which the
// word video=WIDTHxHEIGHT of the command line switches to graphics. [Linux Documentation/fb/api.rst; Bochs VBE_DISPI]
// GAP: one mode a boot, no panning, no colour maps; a mapping is not inherited by fork.
#include "kernel/arch/x86_64/asm.h"
#include "kernel/arch/x86_64/bootinfo.h"
#include "kernel/arch/x86_64/paging.h"
#include "kernel/drivers/pci.h"
#include "kernel/drivers/video/fb.h"
#include "kernel/drivers/vt/vt.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/uaccess.h"
#include "kernel/mm/vmalloc.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kMajor = 29;
constexpr u32 FBIOGET_VSCREENINFO = 0x4600, FBIOPUT_VSCREENINFO = 0x4601, FBIOGET_FSCREENINFO = 0x4602,
              FBIOPAN_DISPLAY = 0x4606, FBIOBLANK = 0x4611;
constinit fb_info fb0{};

struct fb_bitfield {
  u32 offset, length, msb_right;
};
struct fb_var_screeninfo {
  u32 xres, yres, xres_virtual, yres_virtual, xoffset, yoffset, bits_per_pixel, grayscale;
  fb_bitfield red, green, blue, transp;
  u32 nonstd, activate, height, width, accel_flags;
  u32 pixclock, left_margin, right_margin, upper_margin, lower_margin, hsync_len, vsync_len, sync, vmode, rotate,
      colorspace, reserved[4];
};
static_assert(sizeof(fb_var_screeninfo) == 160);
struct fb_fix_screeninfo {
  char id[16];
  u64 smem_start;
  u32 smem_len, type, type_aux, visual;
  u16 xpanstep, ypanstep, ywrapstep;
  u32 line_length;
  u64 mmio_start;
  u32 mmio_len, accel;
  u16 capabilities, reserved[2];
};
static_assert(sizeof(fb_fix_screeninfo) == 80);

fb_var_screeninfo variable_info() {
  fb_var_screeninfo v{};
  v.xres = v.xres_virtual = fb0.width;
  v.yres = v.yres_virtual = fb0.height;
  v.bits_per_pixel = 32;
  v.red = {16, 8, 0};
  v.green = {8, 8, 0};
  v.blue = {0, 8, 0};
  v.transp = {24, 8, 0};
  v.height = v.width = ~0u;
  return v;
}
fb_fix_screeninfo fixed_info() {
  fb_fix_screeninfo f{};
  copy_string(f.id, fb0.id, sizeof f.id);
  f.smem_start = fb0.base;
  f.smem_len = static_cast<u32>(fb0.length);
  f.visual = 2;  // FB_VISUAL_TRUECOLOR
  f.line_length = fb0.pitch;
  return f;
}

struct FbOps final : file_operations {
  ssize_t read_iter(file*, iov_iter& to, loff_t& pos) const override {
    if (pos < 0 || static_cast<u64>(pos) >= fb0.length) return 0;
    const u64 n = min(to.count(), fb0.length - static_cast<u64>(pos));
    const u64 moved = to.copy_to(const_cast<const u8*>(fb0.memory) + pos, n);
    pos += static_cast<loff_t>(moved);
    return moved == 0 && n != 0 ? -EFAULT : static_cast<ssize_t>(moved);
  }
  ssize_t write_iter(file*, iov_iter& from, loff_t& pos) const override {
    if (pos < 0 || static_cast<u64>(pos) > fb0.length) return -EFBIG;
    const u64 n = min(from.count(), fb0.length - static_cast<u64>(pos));
    if (n == 0) return from.count() == 0 ? 0 : -ENOSPC;
    const u64 moved = from.copy_from(const_cast<u8*>(fb0.memory) + pos, n);
    pos += static_cast<loff_t>(moved);
    return moved == 0 ? -EFAULT : static_cast<ssize_t>(moved);
  }
  loff_t llseek(file* f, loff_t offset, int whence) const override {
    return generic_llseek(f, offset, whence, static_cast<loff_t>(fb0.length));
  }
  int mmap(file*, vm_area_struct* v) const override {
    const u64 bytes = v->vm_end - v->vm_start, start = v->vm_pgoff << kPageShift;
    if (start > fb0.length || bytes > align_up(fb0.length, kPageSize) - start) return -EINVAL;
    v->vm_flags |= VM_IO | VM_PFNMAP | VM_DONTEXPAND;
    for (u64 at = 0; at < bytes; at += kPageSize) {
      pte_t* pte = pte_alloc(v->vm_mm->pgd, v->vm_start + at);
      if (pte == nullptr) return -ENOMEM;
      *pte = (fb0.base + start + at) | kPtePresent | kPteUser | kPteSpecial | kPteNx | kPteAccessed | kPteDirty |
             ((v->vm_flags & VM_WRITE) != 0 ? kPteWrite : 0);
    }
    return 0;
  }
  long ioctl(file*, u32 command, u64 argument) const override {
    switch (command) {
      case FBIOGET_VSCREENINFO: return put_user_at(variable_info(), argument);
      case FBIOGET_FSCREENINFO: return put_user_at(fixed_info(), argument);
      case FBIOPUT_VSCREENINFO: {
        fb_var_screeninfo v;
        TRY_INT(get_user_at(v, argument));
        if (v.xres != fb0.width || v.yres != fb0.height || v.bits_per_pixel != 32) return -EINVAL;
        return put_user_at(variable_info(), argument);
      }
      case FBIOPAN_DISPLAY:
      case FBIOBLANK: return 0;
      default: return -ENOTTY;
    }
  }
};
constinit const FbOps fb_ops{};

constexpr device_attribute kAttributes[] = {
    {"name", 0444, [](TextBuffer& o, device*) { o.print("%s\n", fb0.id); }},
    {"virtual_size", 0444, [](TextBuffer& o, device*) { o.print("%u,%u\n", fb0.width, fb0.height); }},
    {"bits_per_pixel", 0444, [](TextBuffer& o, device*) { o.print("32\n"); }},
    {"stride", 0444, [](TextBuffer& o, device*) { o.print("%u\n", fb0.pitch); }}};

// --- Bochs's display interface ---
void dispi(u16 index, u16 value) {
  outw(0x1ce, index);
  outw(0x1cf, value);
}
bool wanted_mode(u32& width, u32& height) {
  char text[64];
  if (!command_line_value("video", text, sizeof text)) return false;
  const char* at = text;
  while (*at != 0 && (*at < '0' || *at > '9')) ++at;  // "bochs-drm:1024x768", "1024x768-32"
  const char* end;
  width = static_cast<u32>(parse_number(at, &end, 10));
  if (*end != 'x') return false;
  height = static_cast<u32>(parse_number(end + 1, nullptr, 10));
  return width >= 320 && width <= 2560 && height >= 200 && height <= 1600 && width % 8 == 0;
}

int probe_dispi(pci_dev* pci) {
  u32 width, height;
  outw(0x1ce, 0);
  if (fb0.memory != nullptr || (inw(0x1cf) & 0xfff0) != 0xb0c0 || !wanted_mode(width, height)) return -ENODEV;
  const pci_bar bar = pci_read_bar(pci, 0);
  if (bar.address == 0 || bar.is_io) return -ENODEV;
  const u64 length = static_cast<u64>(width) * height * 4;
  volatile u8* memory = static_cast<volatile u8*>(ioremap(bar.address, length));
  if (memory == nullptr) return -ENOMEM;
  dispi(4, 0);
  dispi(1, static_cast<u16>(width));
  dispi(2, static_cast<u16>(height));
  dispi(3, 32);
  dispi(4, 0x41);  // enabled, linear framebuffer
  fb0 = {"bochs-drmdrmfb", bar.address, width, height, width * 4, length, memory};
  fbcon_init(fb0);
  fbdev_register(fb0, &pci->dev);
  return 0;
}
constexpr pci_device_id kIds[] = {{0x1234, 0x1111, 0, 0}};
constinit pci_driver driver{"bochs-drm", kIds, array_size(kIds), probe_dispi};

void fb_driver_init() {
  if (fb0.memory != nullptr) fbdev_register(fb0, nullptr);
  pci_register_driver(&driver);
}
DEVICE_INITCALL(fb_driver_init);

void show_fb(TextBuffer& out, void*) { out.print("0 %s\n", fb0.id); }

}  // namespace

void fbdev_register(const fb_info& fb, device* parent) {
  register_chrdev(kMajor, 0, 1, "fb", &fb_ops);
  devtmpfs_create("fb0", S_IFCHR | 0660, make_dev(kMajor, 0));
  device* d = device_create(&graphics_class, parent, make_dev(kMajor, 0), "fb0");
  for (const device_attribute& a : kAttributes) {
    if (d != nullptr) device_file(d, &a);
  }
  proc_create(&proc_root, "fb", 0444, show_fb);
  printk(KERN_INFO "fb0: %s, %ux%u, 32 bits, %lu KiB at %#lx\n", fb.id, fb.width, fb.height, fb.length >> 10, fb.base);
}

bool framebuffer_from_loader() {
  const auto& l = boot_info.lfb;
  if (l.base == 0 || l.depth != 32 || l.width < 320) return false;
  const u64 length = static_cast<u64>(l.pitch) * l.height;
  volatile u8* memory = static_cast<volatile u8*>(ioremap(l.base, length));
  if (memory == nullptr) return false;
  fb0 = {"VESA VGA", l.base, l.width, l.height, l.pitch, length, memory};
  return fbcon_init(fb0);
}

}  // namespace xm::os
