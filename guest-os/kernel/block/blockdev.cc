// SPDX-License-Identifier: GPL-2.0-or-later
// A block device as a file: its page cache (which file systems use for metadata too), reads and writes of /dev/vda,
// and the ioctls that say how large it is. Each device has an inode in a file system that nobody mounts.
#include "kernel/block/block.h"
#include "kernel/fs/namei.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/uaccess.h"

namespace xm::os {
namespace {

constexpr u32 BLKROSET = 0x125d, BLKRASET = 0x1262, BLKRAGET = 0x1263;
constexpr u32 BLKROGET = 0x125e, BLKRRPART = 0x125f, BLKGETSIZE = 0x1260, BLKFLSBUF = 0x1261, BLKSSZGET = 0x1268,
              BLKBSZGET = 0x80081270, BLKGETSIZE64 = 0x80081272, HDIO_GETGEO = 0x301;

block_device* device_of(const address_space* m) { return m->host->i_bdev; }
// Bytes of a page of the cache that lie on the device.
u32 page_bytes(const block_device* bdev, u64 index) {
  const u64 size = bdev->sectors * 512, start = index << kPageShift;
  return start >= size ? 0 : static_cast<u32>(min<u64>(kPageSize, size - start));
}

void end_read(bio* b) {
  for (u32 i = 0; i < b->vec_count; ++i) {
    page* p = b->vecs[i].page_;
    p->set(b->error == 0 ? PG_uptodate : PG_error);
    unlock_page(p);
  }
  bio_free(b);
}
void end_write(bio* b) {
  for (u32 i = 0; i < b->vec_count; ++i) end_page_writeback(b->vecs[i].page_, b->error);
  bio_free(b);
}

int submit_page(page* p, BioOp op, void (*end)(bio*)) {
  block_device* bdev = device_of(p->mapping);
  const u32 length = page_bytes(bdev, p->index);
  if (length == 0) return -EIO;
  bio* b = bio_alloc(GFP_NOFS);
  if (b == nullptr) return -ENOMEM;
  b->bdev = bdev;
  b->op = op;
  b->sector = p->index << (kPageShift - 9);
  b->end_io = end;
  bio_add_page(b, p, length, 0);
  submit_bio(b);
  return 0;
}

constexpr u64 kDirectBytes = 64 * 1024;

// One piece of a direct transfer; bytes moved or an error.
ssize_t direct_chunk(block_device* bdev, iov_iter& it, u64 pos, u64 bytes, bool write) {
  bio* b = bio_alloc(GFP_KERNEL);
  page* pages = alloc_pages(GFP_KERNEL, 4);
  ssize_t result = b == nullptr || pages == nullptr ? -ENOMEM : static_cast<ssize_t>(bytes);
  u8* memory = pages == nullptr ? nullptr : static_cast<u8*>(page_to_virt(pages));
  if (result > 0 && write) result = static_cast<ssize_t>(it.copy_from(memory, bytes) & ~511ul);
  if (result > 0) {
    b->bdev = bdev;
    b->op = write ? BioOp::Write : BioOp::Read;
    b->sector = pos / 512;
    for (u64 at = 0; at < static_cast<u64>(result); at += kPageSize)
      bio_add_page(b, pages + at / kPageSize, static_cast<u32>(min<u64>(kPageSize, static_cast<u64>(result) - at)), 0);
    if (const int error = submit_bio_wait(b); error != 0) result = error;
  } else if (result == 0) {
    result = -EFAULT;
  }
  if (result > 0 && !write) {
    result = static_cast<ssize_t>(it.copy_to(memory, static_cast<u64>(result)));
    if (result == 0) result = -EFAULT;
  }
  if (pages != nullptr) free_pages(pages, 4);
  if (b != nullptr) bio_free(b);
  return result;
}

struct BdevAops final : address_space_operations {
  int read_page(file*, page* p) const override {
    const u32 length = page_bytes(device_of(p->mapping), p->index);
    if (length < kPageSize) memset(static_cast<char*>(page_to_virt(p)) + length, 0, kPageSize - length);
    const int error = submit_page(p, BioOp::Read, end_read);
    if (error != 0) unlock_page(p);
    return error;
  }
  int write_page(page* p) const override {
    get_page(p);
    const int error = submit_page(p, BioOp::Write, end_write);
    if (error != 0) end_page_writeback(p, error);
    unlock_page(p);
    put_page(p);
    return error;
  }
  // O_DIRECT: through pages of our own, a bio at a time; the cache has been written back and dropped.
  ssize_t direct_io(file* f, iov_iter& it, loff_t pos, bool write) const override {
    block_device* bdev = device_of(f->f_mapping);
    if ((static_cast<u64>(pos) | it.count()) % 512 != 0 || (it.is_user() && it.user_address() % 512 != 0))
      return -EINVAL;
    const u64 size = bdev->sectors * 512;
    ssize_t done = 0;
    while (it.count() > 0 && static_cast<u64>(pos) < size) {
      const u64 n = min(min<u64>(it.count(), kDirectBytes), size - static_cast<u64>(pos));
      const ssize_t moved = direct_chunk(bdev, it, static_cast<u64>(pos), n, write);
      if (moved < 0) return done > 0 ? done : moved;
      done += moved;
      pos += moved;
      if (static_cast<u64>(moved) < n) break;
    }
    return done;
  }
  void read_ahead(file*, address_space* m, u64 first, u32 count) const override {
    block_device* bdev = device_of(m);
    bio* b = nullptr;
    for (u64 index = first; index < first + count && page_bytes(bdev, index) == kPageSize; ++index) {
      if (page* there = find_get_page(m, index)) {
        put_page(there);
        break;
      }
      auto got = find_or_create_page(m, index);
      if (!got.ok()) break;
      page* p = got.value();
      if (p->test(PG_uptodate) || (b == nullptr && (b = bio_alloc(GFP_NOFS)) == nullptr) ||
          !bio_add_page(b, p, kPageSize, 0)) {
        unlock_page(p);
        put_page(p);
        break;
      }
      if (b->vec_count == 1) b->sector = index << (kPageShift - 9);
      put_page(p);  // locked pages stay in the cache
    }
    if (b == nullptr) return;
    b->bdev = bdev;
    b->end_io = end_read;
    if (b->vec_count == 0) {
      bio_free(b);
    } else {
      submit_bio(b);
    }
  }
};
constinit const BdevAops bdev_aops{};

long put_u64(u64 argument, u64 value, size_t size) {
  return copy_to_user(reinterpret_cast<void*>(argument), &value, size) != 0 ? -EFAULT : 0;
}

long bdev_geometry(const block_device* bdev, u64 argument) {
  struct {
    u8 heads, sectors;
    u16 cylinders;
    u64 start;
  } geometry{16, 63, static_cast<u16>(bdev->sectors / (16 * 63)), bdev->start};
  return copy_to_user(reinterpret_cast<void*>(argument), &geometry, sizeof geometry) != 0 ? -EFAULT : 0;
}

struct BdevFileOps final : file_operations {
  int open(inode* i, file* f) const override {
    auto bdev = blkdev_get(i->i_rdev);
    if (!bdev.ok()) return -bdev.error();
    if ((f->f_mode & FMODE_WRITE) != 0 && bdev.value()->disk->read_only) return -EROFS;
    f->f_mapping = &bdev.value()->host->i_data;
    ++bdev.value()->open_count;
    return 0;
  }
  ssize_t read_iter(file* f, iov_iter& to, loff_t& pos) const override { return generic_file_read_iter(f, to, pos); }
  ssize_t write_iter(file* f, iov_iter& from, loff_t& pos) const override {
    const loff_t size = f->f_mapping->host->i_size;
    if (from.count() == 0) return 0;
    if (pos >= size) return -ENOSPC;
    from.truncate(static_cast<u64>(size - pos));
    return generic_file_write_iter(f, from, pos);
  }
  loff_t llseek(file* f, loff_t offset, int whence) const override {
    return generic_llseek(f, offset, whence, f->f_mapping->host->i_size);
  }
  int mmap(file* f, vm_area_struct* v) const override { return generic_file_mmap(f, v); }
  int fsync(file* f, bool) const override {
    TRY_INT(filemap_write_and_wait(f->f_mapping, 0, f->f_mapping->host->i_size, true));
    return blkdev_issue_flush(device_of(f->f_mapping));
  }
  long ioctl(file* f, u32 command, u64 argument) const override {
    block_device* bdev = device_of(f->f_mapping);
    switch (command) {
      case BLKGETSIZE64: return put_u64(argument, bdev->sectors * 512, 8);
      case BLKGETSIZE: return put_u64(argument, bdev->sectors, 8);
      case BLKSSZGET: return put_u64(argument, 512, 4);
      case BLKBSZGET: return put_u64(argument, kPageSize, 4);
      case BLKROGET: return put_u64(argument, bdev->disk->read_only, 4);
      case BLKROSET: {
        int value;
        if (!capable(CAP_SYS_ADMIN)) return -EACCES;
        TRY_INT(get_user_at(value, argument));
        bdev->disk->read_only = value != 0;
        return 0;
      }
      case BLKRAGET: return put_u64(argument, bdev->read_ahead, 8);
      case BLKRASET:
        if (!capable(CAP_SYS_ADMIN)) return -EACCES;
        bdev->read_ahead = argument;
        return 0;
      case BLKFLSBUF:
        if (!capable(CAP_SYS_ADMIN)) return -EACCES;
        return filemap_write_and_wait(f->f_mapping, 0, bdev->host->i_size, true);
      case BLKRRPART:
        if (!capable(CAP_SYS_ADMIN)) return -EACCES;
        if (bdev != &bdev->disk->parts[0]) return -EINVAL;
        TRY_INT(filemap_write_and_wait(f->f_mapping, 0, bdev->host->i_size, true));
        return blk_rescan(bdev->disk);
      case HDIO_GETGEO: return bdev_geometry(bdev, argument);
      default: return bdev->disk->ops->ioctl(bdev, f, command, argument);
    }
  }
  void release(inode*, file* f) const override {
    block_device* bdev = device_of(f->f_mapping);
    if (--bdev->open_count == 0 && bdev == &bdev->disk->parts[0]) bdev->disk->ops->closed(bdev->disk);
  }
};
constinit const BdevFileOps bdev_file_ops{};

struct BdevSuperOps final : super_operations {
  bool drop_inode(const inode*) const override { return false; }
};
constinit const BdevSuperOps bdev_super_ops{};

int fill_bdev_super(super_block* sb, const char*, const char*, u64) {
  sb->s_op = &bdev_super_ops;
  sb->s_magic = 0x62646576;
  return 0;
}
constinit file_system_type bdev_type{"bdev", 0, fill_bdev_super};
constinit super_block* bdev_super = nullptr;

}  // namespace

extern const file_operations* blkdev_file_ops;

void bdev_init(block_device* bdev) {
  if (bdev_super == nullptr) {
    bdev_super = kern_super(&bdev_type);
    BUG_ON(bdev_super == nullptr);
    blkdev_file_ops = &bdev_file_ops;
  }
  inode* i = new_inode(bdev_super);
  BUG_ON(i == nullptr);
  i->i_ino = bdev->number;
  i->i_mode = S_IFBLK | 0600;
  i->i_rdev = bdev->number;
  i->i_size = static_cast<loff_t>(bdev->sectors * 512);
  i->i_bdev = bdev;
  i->i_data.a_ops = &bdev_aops;
  insert_inode_hash(i);
  bdev->host = i;
}

Result<block_device*> blkdev_get(dev_t dev) {
  for (gendisk* d = disks; d != nullptr; d = d->next) {
    const u32 part = minor_of(dev) - d->first_minor;
    if (d->major == major_of(dev) && part < kMaxPartitions && d->parts[part].disk != nullptr) return &d->parts[part];
  }
  return Error{ENXIO};
}

Result<block_device*> blkdev_get_by_path(const char* name) {
  path p;
  if (const int error = kern_path(name, LOOKUP_FOLLOW, p); error == 0) {
    const umode_t mode = p.dentry_->d_inode->i_mode;
    const dev_t dev = p.dentry_->d_inode->i_rdev;
    path_put(p);
    if (!S_ISBLK(mode)) return Error{ENOTBLK};
    return blkdev_get(dev);
  } else if (!starts_with(name, "/dev/")) {
    return Error{-error};
  }
  block_device* bdev = find_block_device(name + 5);  // before /dev is mounted
  if (bdev == nullptr) return Error{ENOENT};
  return bdev;
}

dev_t blkdev_number(const block_device* bdev) { return bdev->number; }
u64 blkdev_sectors(const block_device* bdev) { return bdev->sectors; }
bool blkdev_read_only(const block_device* bdev) { return bdev->disk->read_only; }
address_space* blkdev_mapping(block_device* bdev) { return &bdev->host->i_data; }

}  // namespace xm::os
