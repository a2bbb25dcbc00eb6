// SPDX-License-Identifier: GPL-2.0-or-later
// Character devices of major 1: null, zero, full, random, urandom, kmsg, mem. [man 4 null], [man 4 random], [man 4
// full]
#include "kernel/drivers/base/device.h"
#include "kernel/drivers/random.h"
#include "kernel/drivers/tty.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/init/printk.h"
#include "kernel/lib/format.h"
#include "kernel/mm/shmem.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

struct StreamOps : file_operations {
  loff_t llseek(file* f, loff_t, int) const override { return f->f_pos = 0; }
};

struct NullOps final : StreamOps {
  ssize_t read_iter(file*, iov_iter&, loff_t&) const override { return 0; }
  ssize_t write_iter(file*, iov_iter& from, loff_t&) const override { return static_cast<ssize_t>(from.count()); }
};
constinit const NullOps null_ops{};

ssize_t fill_zeros(iov_iter& to) {
  ssize_t done = 0;
  while (to.count() > 0) {
    const u64 step = min<u64>(to.count(), kPageSize);
    const u64 moved = to.zero(step);
    done += static_cast<ssize_t>(moved);
    if (moved < step) return done > 0 ? done : -EFAULT;
    if (signal_pending(current)) break;
    cond_resched();
  }
  return done;
}

struct ZeroOps final : StreamOps {
  ssize_t read_iter(file*, iov_iter& to, loff_t&) const override { return fill_zeros(to); }
  ssize_t write_iter(file*, iov_iter& from, loff_t&) const override { return static_cast<ssize_t>(from.count()); }
  int mmap(file*, vm_area_struct* v) const override {
    if ((v->vm_flags & VM_SHARED) == 0) {
      v->anon = true;
      return 0;
    }
    // Shared: a memory file of its own, as MAP_ANONYMOUS gets.
    file* memory = TRY(shmem_file_setup("dev/zero", v->vm_end - v->vm_start));
    fput(v->vm_file);
    v->vm_file = memory;
    v->vm_pgoff = 0;
    return generic_file_mmap(memory, v);
  }
};
constinit const ZeroOps zero_ops{};

struct FullOps final : StreamOps {
  ssize_t read_iter(file*, iov_iter& to, loff_t&) const override { return fill_zeros(to); }
  ssize_t write_iter(file*, iov_iter&, loff_t&) const override { return -ENOSPC; }
};
constinit const FullOps full_ops{};

struct RandomOps final : StreamOps {
  ssize_t read_iter(file*, iov_iter& to, loff_t&) const override {
    ssize_t done = 0;
    while (to.count() > 0) {
      u8 chunk[256];
      const u64 step = min<u64>(to.count(), sizeof chunk);
      get_random_bytes(chunk, step);
      const u64 moved = to.copy_to(chunk, step);
      done += static_cast<ssize_t>(moved);
      if (moved < step) return done > 0 ? done : -EFAULT;
      if (signal_pending(current)) break;
      cond_resched();
    }
    return done;
  }
  ssize_t write_iter(file*, iov_iter& from, loff_t&) const override {
    ssize_t done = 0;
    while (from.count() > 0) {
      u8 chunk[256];
      const u64 step = min<u64>(from.count(), sizeof chunk);
      const u64 moved = from.copy_from(chunk, step);
      add_entropy(chunk, moved);
      done += static_cast<ssize_t>(moved);
      if (moved < step) return done > 0 ? done : -EFAULT;
    }
    return done;
  }
  long ioctl(file*, u32 command, u64 argument) const override {
    constexpr u32 kGetEntropyCount = 0x80045200;
    return command == kGetEntropyCount ? put_user_at(256, argument) : -ENOIOCTLCMD;
  }
};
constinit const RandomOps random_ops{};

// Each read gives one record: "level,sequence,microseconds,-;text\n". private_data is the next sequence.
struct KmsgOps final : file_operations {
  int open(inode*, file* f) const override {
    f->private_data = reinterpret_cast<void*>(log_first_sequence());
    return 0;
  }
  ssize_t read_iter(file* f, iov_iter& to, loff_t&) const override {
    LogLine line;
    u64 next = reinterpret_cast<u64>(f->private_data);
    if (!log_read(next, line)) return -EAGAIN;  // GAP: does not wait for new lines
    char text[512];
    const int n = format(text, sizeof text, "%d,%lu,%lu,-;%s\n", line.level, line.sequence, line.time_us, line.text);
    if (to.count() < static_cast<u64>(n)) return -EINVAL;
    f->private_data = reinterpret_cast<void*>(line.sequence + 1);
    return to.copy_to(text, static_cast<u64>(n)) == static_cast<u64>(n) ? n : -EFAULT;
  }
  ssize_t write_iter(file*, iov_iter& from, loff_t&) const override {
    char text[400];
    const u64 total = from.count(), n = min<u64>(total, sizeof text - 1);
    if (from.copy_from(text, n) != n) return -EFAULT;
    text[n] = 0;
    const char* at = text;
    int level = 4;
    if (at[0] == '<') {
      const char* end;
      const u64 v = parse_number(at + 1, &end, 10);
      if (*end == '>') {
        level = static_cast<int>(v & 7);
        at = end + 1;
      }
    }
    log_user_line(level, at, n - static_cast<u64>(at - text));
    return static_cast<ssize_t>(total);
  }
  loff_t llseek(file* f, loff_t offset, int whence) const override {
    if (offset != 0) return -ESPIPE;
    f->private_data = reinterpret_cast<void*>(whence == SEEK_SET ? log_first_sequence() : log_next_sequence());
    return 0;
  }
  bool has_poll() const override { return true; }
};
constinit const KmsgOps kmsg_ops{};

struct MemOps final : file_operations {
  ssize_t read_iter(file*, iov_iter& to, loff_t& pos) const override {
    const u64 end = max_pfn << kPageShift;
    if (static_cast<u64>(pos) >= end) return 0;
    const u64 n = min(to.count(), end - static_cast<u64>(pos));
    // Only the first MiB: what programs look for there is firmware data.
    if (static_cast<u64>(pos) + n > 1ul << 20) return -EPERM;
    const u64 moved = to.copy_to(phys_to_virt(static_cast<u64>(pos)), n);
    pos += static_cast<loff_t>(moved);
    return moved == 0 && n != 0 ? -EFAULT : static_cast<ssize_t>(moved);
  }
  ssize_t write_iter(file*, iov_iter&, loff_t&) const override { return -EPERM; }
};
constinit const MemOps mem_ops{};

}  // namespace

void mem_devices_init() {
  static const struct {
    const char* name;
    u32 minor;
    umode_t mode;
    const file_operations* op;
  } devices[] = {{"mem", 1, 0640, &mem_ops},   {"null", 3, 0666, &null_ops},     {"zero", 5, 0666, &zero_ops},
                 {"full", 7, 0666, &full_ops}, {"random", 8, 0666, &random_ops}, {"urandom", 9, 0666, &random_ops},
                 {"kmsg", 11, 0644, &kmsg_ops}};
  for (const auto& d : devices) {
    register_chrdev(1, d.minor, 1, "mem", d.op);
    devtmpfs_create(d.name, S_IFCHR | d.mode, make_dev(1, d.minor));
    device_create(&mem_class, nullptr, make_dev(1, d.minor), d.name);
  }
  devtmpfs_symlink("fd", "/proc/self/fd");
  devtmpfs_symlink("stdin", "/proc/self/fd/0");
  devtmpfs_symlink("stdout", "/proc/self/fd/1");
  devtmpfs_symlink("stderr", "/proc/self/fd/2");
}

}  // namespace xm::os
