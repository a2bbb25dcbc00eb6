// SPDX-License-Identifier: GPL-2.0-or-later
// Loop devices: a file as a disk. Requests go to a kernel thread of the device, which reads and writes the file.
// [man 4 loop]. GAP: no encryption, no autoclear at the last unmount (only at the last close), no direct I/O below.
#include "kernel/block/block.h"
#include "kernel/drivers/base/device.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/sched.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kMajor = 7, kLoops = 8, kMiscMajor = 10, kControlMinor = 237;
constexpr u32 LOOP_SET_FD = 0x4c00, LOOP_CLR_FD = 0x4c01, LOOP_SET_STATUS = 0x4c02, LOOP_GET_STATUS = 0x4c03,
              LOOP_SET_STATUS64 = 0x4c04, LOOP_GET_STATUS64 = 0x4c05, LOOP_CHANGE_FD = 0x4c06,
              LOOP_SET_CAPACITY = 0x4c07, LOOP_SET_DIRECT_IO = 0x4c08, LOOP_SET_BLOCK_SIZE = 0x4c09,
              LOOP_CONFIGURE = 0x4c0a, LOOP_CTL_ADD = 0x4c80, LOOP_CTL_REMOVE = 0x4c81, LOOP_CTL_GET_FREE = 0x4c82;
constexpr u32 LO_FLAGS_READ_ONLY = 1, LO_FLAGS_AUTOCLEAR = 4, LO_FLAGS_PARTSCAN = 8;

struct loop_info64 {
  u64 lo_device, lo_inode, lo_rdevice, lo_offset, lo_sizelimit;
  u32 lo_number, lo_encrypt_type, lo_encrypt_key_size, lo_flags;
  u8 lo_file_name[64], lo_crypt_name[64], lo_encrypt_key[32];
  u64 lo_init[2];
};
static_assert(sizeof(loop_info64) == 232);
struct loop_config {
  u32 fd, block_size;
  loop_info64 info;
  u64 reserved[8];
};

struct Loop {
  gendisk disk;
  file* backing = nullptr;
  loop_info64 info{};
  wait_queue_head wait;
  mutex lock;  // of set-up and take-down
  bool started = false;
};
constinit Loop* loops[kLoops]{};

// One piece of a request to or from the file.
int transfer(file* f, const request_segment& s, loff_t pos, bool write) {
  u8* memory = static_cast<u8*>(phys_to_virt(s.address));
  for (u64 at = 0; at < s.length;) {
    iov_iter it = iov_iter::kernel(memory + at, s.length - at);
    loff_t here = pos + static_cast<loff_t>(at);
    const ssize_t n = write ? f->f_op->write_iter(f, it, here) : f->f_op->read_iter(f, it, here);
    if (n < 0) return static_cast<int>(n);
    if (n == 0) {  // the file has become shorter
      if (write) return -ENOSPC;
      memset(memory + at, 0, s.length - at);
      return 0;
    }
    at += static_cast<u64>(n);
  }
  return 0;
}

int serve(Loop* l, request* r) {
  if (l->backing == nullptr) return -EIO;
  if (r->op == BioOp::Flush) return l->backing->f_op->fsync(l->backing, true);
  request_segment segments[8];
  for (;;) {
    u64 sector;
    const u32 n = blk_map_request(r, segments, array_size(segments), &sector);
    if (n == 0) return 0;
    loff_t pos = static_cast<loff_t>(sector * 512 + l->info.lo_offset);
    for (u32 i = 0; i < n; ++i) {
      if (const int error = transfer(l->backing, segments[i], pos, r->op == BioOp::Write); error != 0) return error;
      pos += segments[i].length;
    }
  }
}

int loop_thread(void* p) {
  Loop* l = static_cast<Loop*>(p);
  for (;;) {
    wait_event_interruptible(l->wait, [&] { return !l->disk.queue.waiting.empty(); });
    request* r;
    {
      IrqGuard guard(l->disk.queue.lock);
      r = blk_next_request(&l->disk);
    }
    if (r != nullptr) blk_end_request(r, serve(l, r));
  }
}

void apply_size(Loop* l) {
  const u64 size = l->backing == nullptr ? 0 : static_cast<u64>(l->backing->f_inode->i_size);
  u64 bytes = size > l->info.lo_offset ? size - l->info.lo_offset : 0;
  if (l->info.lo_sizelimit != 0) bytes = min(bytes, l->info.lo_sizelimit);
  set_capacity(&l->disk, bytes / 512);
}

// What the device's cache holds of the old file goes.
void drop_cache(Loop* l) {
  inode* host = l->disk.parts[0].host;
  filemap_write_and_wait(&host->i_data, 0, host->i_size, true);
  truncate_inode_pages(&host->i_data, 0);
}

long set_fd(Loop* l, file* dev_file, int fd, const loop_info64* info) {
  MutexGuard guard(l->lock);
  if (l->backing != nullptr) return -EBUSY;
  FileRef ref(fd);
  if (!ref) return -EBADF;
  file* f = ref.get();
  if (!S_ISREG(f->f_inode->i_mode) && !S_ISBLK(f->f_inode->i_mode)) return -EINVAL;
  if (!l->started) {
    char name[16];
    format(name, sizeof name, "%s", l->disk.name);
    kthread_run(loop_thread, l, name);
    l->started = true;
  }
  l->info = info != nullptr ? *info : loop_info64{};
  const bool writable = (f->f_mode & FMODE_WRITE) != 0 && (dev_file->f_mode & FMODE_WRITE) != 0;
  if (!writable) l->info.lo_flags |= LO_FLAGS_READ_ONLY;
  l->disk.read_only = (l->info.lo_flags & LO_FLAGS_READ_ONLY) != 0;
  l->backing = get_file(f);
  apply_size(l);
  if ((l->info.lo_flags & LO_FLAGS_PARTSCAN) != 0) blk_rescan(&l->disk);
  return 0;
}

long clear_fd(Loop* l) {
  MutexGuard guard(l->lock);
  if (l->backing == nullptr) return -ENXIO;
  for (super_block* sb : entries<&super_block::s_list>(super_blocks)) {
    if (sb->s_bdev != nullptr && sb->s_bdev->disk == &l->disk) {  // still mounted: at the last close
      l->info.lo_flags |= LO_FLAGS_AUTOCLEAR;
      return 0;
    }
  }
  drop_cache(l);
  file* f = l->backing;
  l->backing = nullptr;
  l->info = loop_info64{};
  apply_size(l);
  fput(f);
  return 0;
}

void fill_status(Loop* l, loop_info64& i) {
  i = l->info;
  i.lo_number = static_cast<u32>(l->disk.first_minor / kMaxPartitions);
  i.lo_device = encode_dev(l->backing->f_inode->i_sb->s_dev);
  i.lo_inode = l->backing->f_inode->i_ino;
  i.lo_rdevice = encode_dev(l->backing->f_inode->i_rdev);
}

long loop_ioctl(Loop* l, file* f, u32 command, u64 argument) {
  loop_info64 info;
  switch (command) {
    case LOOP_SET_FD: return set_fd(l, f, static_cast<int>(argument), nullptr);
    case LOOP_CONFIGURE: {
      loop_config c;
      TRY_INT(get_user_at(c, argument));
      return set_fd(l, f, static_cast<int>(c.fd), &c.info);
    }
    case LOOP_CLR_FD: return clear_fd(l);
    case LOOP_GET_STATUS64:
      if (l->backing == nullptr) return -ENXIO;
      fill_status(l, info);
      return put_user_at(info, argument);
    case LOOP_SET_STATUS64: {
      if (l->backing == nullptr) return -ENXIO;
      TRY_INT(get_user_at(info, argument));
      MutexGuard guard(l->lock);
      if (info.lo_offset != l->info.lo_offset || info.lo_sizelimit != l->info.lo_sizelimit) drop_cache(l);
      info.lo_flags |= l->info.lo_flags & LO_FLAGS_READ_ONLY;
      l->info = info;
      apply_size(l);
      if ((info.lo_flags & LO_FLAGS_PARTSCAN) != 0) blk_rescan(&l->disk);
      return 0;
    }
    case LOOP_SET_STATUS:
    case LOOP_GET_STATUS: return -EINVAL;  // the old form, which nobody uses who knows the new one
    case LOOP_SET_CAPACITY:
      if (l->backing == nullptr) return -ENXIO;
      apply_size(l);
      return 0;
    case LOOP_SET_DIRECT_IO:
    case LOOP_SET_BLOCK_SIZE: return l->backing == nullptr ? -ENXIO : (argument == 0 || argument == 512 ? 0 : -EINVAL);
    case LOOP_CHANGE_FD: return -EINVAL;
    default: return -ENOTTY;
  }
}

struct LoopOps final : block_device_operations {
  void start(gendisk* disk) const override { wake_up(static_cast<Loop*>(disk->driver_data)->wait); }
  long ioctl(block_device* b, file* f, u32 command, u64 argument) const override {
    return loop_ioctl(static_cast<Loop*>(b->disk->driver_data), f, command, argument);
  }
  void closed(gendisk* disk) const override {
    Loop* l = static_cast<Loop*>(disk->driver_data);
    if (l->backing != nullptr && (l->info.lo_flags & LO_FLAGS_AUTOCLEAR) != 0) clear_fd(l);
  }
};
constinit const LoopOps loop_ops{};

int make_loop(u32 number) {
  if (number >= kLoops) return -ENOSPC;
  if (loops[number] != nullptr) return -EEXIST;
  Loop* l = knew<Loop>();
  if (l == nullptr) return -ENOMEM;
  l->disk.major = kMajor;
  l->disk.first_minor = number * kMaxPartitions;
  l->disk.ops = &loop_ops;
  l->disk.driver_data = l;
  l->disk.has_flush = true;
  format(l->disk.name, sizeof l->disk.name, "loop%u", number);
  loops[number] = l;
  add_disk(&l->disk);
  return static_cast<int>(number);
}

struct ControlOps final : file_operations {
  long ioctl(file*, u32 command, u64 argument) const override {
    switch (command) {
      case LOOP_CTL_ADD: return make_loop(static_cast<u32>(argument));
      case LOOP_CTL_REMOVE: return -EBUSY;
      case LOOP_CTL_GET_FREE:
        for (u32 i = 0; i < kLoops; ++i) {
          if (loops[i] == nullptr) return make_loop(i);
          if (loops[i]->backing == nullptr) return static_cast<long>(i);
        }
        return -ENOSPC;
      default: return -ENOSYS;
    }
  }
};
constinit const ControlOps control_ops{};

void loop_init() {
  register_chrdev(kMiscMajor, kControlMinor, 1, "loop-control", &control_ops);
  devtmpfs_create("loop-control", S_IFCHR | 0660, make_dev(kMiscMajor, kControlMinor));
  device_create(&misc_class, nullptr, make_dev(kMiscMajor, kControlMinor), "loop-control");
}
LATE_INITCALL(loop_init);

}  // namespace
}  // namespace xm::os
