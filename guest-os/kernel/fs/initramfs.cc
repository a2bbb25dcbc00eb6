// SPDX-License-Identifier: GPL-2.0-or-later
// Unpacks the initrd into rootfs: one or more cpio archives, each plain or compressed. Hard links are joined by
// (device, inode).
#include "kernel/fs/initramfs.h"

#include "kernel/arch/x86_64/bootinfo.h"
#include "kernel/fs/cpio.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/namei.h"
#include "kernel/init/printk.h"
#include "kernel/mm/slab.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

struct HardLink {
  HardLink* next;
  u32 ino, major, minor;
  char* name;
};

class Unpacker final : public cpio_visitor {
 public:
  ~Unpacker() {
    while (links_ != nullptr) {
      HardLink* l = links_;
      links_ = l->next;
      kfree(l->name);
      kfree(l);
    }
    kfree(target_);
  }

  void begin(const cpio_entry& e) override {
    file_ = nullptr;
    pos_ = 0;
    switch (e.mode & S_IFMT) {
      case S_IFDIR:
        do_mkdirat(AT_FDCWD, e.name, e.mode);
        finish(e);
        break;
      case S_IFREG: {
        if (e.nlink > 1 && link_to_earlier(e) && e.size == 0) return;
        auto f = filp_open(e.name, O_CREAT | O_WRONLY | O_TRUNC, e.mode & 07777);
        if (f.ok())
          file_ = f.value();
        else
          printk(KERN_WARNING "initramfs: %s: error %d\n", e.name, f.error());
        break;
      }
      case S_IFLNK:
        kfree(target_);
        target_ = static_cast<char*>(kzalloc(min(e.size, kPathMax) + 1));
        break;
      default:
        do_unlinkat(AT_FDCWD, e.name);
        do_mknodat(AT_FDCWD, e.name, e.mode, make_dev(e.rdev_major, e.rdev_minor));
        finish(e);
    }
  }

  void data(const cpio_entry& e, const u8* bytes, u32 n) override {
    if (S_ISLNK(e.mode) && target_ != nullptr) {
      const u32 room = min(e.size, kPathMax) - static_cast<u32>(pos_);
      memcpy(target_ + pos_, bytes, min(n, room));
      pos_ += min(n, room);
    } else if (file_ != nullptr && kernel_write(file_, bytes, n, pos_) != static_cast<ssize_t>(n)) {
      panic("initramfs: no memory for %s", e.name);
    }
  }

  void end(const cpio_entry& e) override {
    if (S_ISLNK(e.mode) && target_ != nullptr) {
      do_unlinkat(AT_FDCWD, e.name);
      do_symlinkat(target_, AT_FDCWD, e.name);
      finish(e);
    }
    if (file_ == nullptr) return;
    fput(file_);
    file_ = nullptr;
    finish(e);
  }

 private:
  bool link_to_earlier(const cpio_entry& e) {
    for (HardLink* l = links_; l != nullptr; l = l->next) {
      if (l->ino != e.ino || l->major != e.major || l->minor != e.minor) continue;
      do_unlinkat(AT_FDCWD, e.name);
      return do_linkat(AT_FDCWD, l->name, AT_FDCWD, e.name, 0) == 0;
    }
    HardLink* l = static_cast<HardLink*>(kmalloc(sizeof(HardLink)));
    if (l == nullptr) return false;
    *l = {links_, e.ino, e.major, e.minor, kstrdup(e.name)};
    links_ = l;
    return false;
  }

  // Owner, mode and time as the archive has them, whatever the umask.
  static void finish(const cpio_entry& e) {
    path p;
    if (kern_path(e.name, 0, p) != 0) return;
    inode* i = p.dentry_->d_inode;
    i->i_uid = e.uid;
    i->i_gid = e.gid;
    if (!S_ISLNK(i->i_mode)) i->i_mode = (i->i_mode & S_IFMT) | (e.mode & 07777);
    i->i_mtime = {e.mtime, 0};
    path_put(p);
  }

  file* file_ = nullptr;
  loff_t pos_ = 0;
  char* target_ = nullptr;
  HardLink* links_ = nullptr;
};

// One archive at the front of the data; returns its length, or negative.
long unpack_one(const u8* at, size_t n, cpio_reader& reader) {
  if (n > 2 && at[0] == 0x1f && at[1] == 0x8b) return gunzip(at, n, reader);
  if (n > 4 && at[0] == 0x28 && at[1] == 0xb5 && at[2] == 0x2f && at[3] == 0xfd) return unzstd(at, n, reader);
  if (n > 6 && memcmp(at, "0707", 4) == 0) {
    size_t done = 0;
    while (done < n && !reader.damaged()) {
      const size_t step = min<size_t>(n - done, 65536);
      reader.write(at + done, step);
      done += step;
    }
    return reader.damaged() ? -1 : static_cast<long>(n);
  }
  return -1;
}

}  // namespace

void unpack_initramfs() {
  if (boot_info.initrd_size == 0) return;
  const u8* at = static_cast<const u8*>(phys_to_virt(boot_info.initrd));
  size_t left = boot_info.initrd_size;
  Unpacker* unpacker = knew<Unpacker>();
  cpio_reader* reader = unpacker == nullptr ? nullptr : knew<cpio_reader>(*unpacker);
  while (reader != nullptr && left > 4) {
    if (*at == 0) {
      ++at;
      --left;
      continue;
    }
    const long used = unpack_one(at, left, *reader);
    if (used <= 0) {
      printk(KERN_ERR "initramfs: damaged archive or unknown format (%02x %02x %02x %02x)\n", at[0], at[1], at[2],
             at[3]);
      break;
    }
    at += used;
    left -= static_cast<size_t>(used);
  }
  kdelete(reader);
  kdelete(unpacker);
  // The memory of the initrd is ordinary memory from here on.
  const pfn_t first = page_align(boot_info.initrd) >> kPageShift,
              last = (boot_info.initrd + boot_info.initrd_size) >> kPageShift;
  for (pfn_t pfn = first; pfn < last && pfn_valid(pfn); ++pfn) {
    page* p = pfn_to_page(pfn);
    p->clear(PG_reserved);
    p->refcount.store(1);
    add_managed_page(p);
  }
  printk(KERN_INFO "Freeing initrd memory: %luK\n", (last - first) * 4);
}

}  // namespace xm::os
