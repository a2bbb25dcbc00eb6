// SPDX-License-Identifier: GPL-2.0-or-later
// Mounting and unmounting, options, commits and the thread that makes them, and what happens when damage is found.
#include "kernel/fs/ext4/vfs.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/lib/format.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/reclaim.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kOneChange = 192;  // blocks that one change may touch
constinit kmem_cache* inode_cache = nullptr;

u32 now_seconds() { return static_cast<u32>(current_time().tv_sec); }

// --- options ---
bool is_option(const char* at, size_t n, const char* word) { return strlen(word) == n && memcmp(at, word, n) == 0; }

// One option. Those that describe what is done anyway are taken and ignored. [man 5 ext4]
int parse_option(ext4_sb_info* info, const char* at, size_t n) {
  static const char* const kIgnored[] = {"data=ordered",   "data=writeback",  "user_xattr",     "acl",
                                         "nouser_xattr",   "noacl",           "delalloc",       "nodelalloc",
                                         "auto_da_alloc",  "noauto_da_alloc", "block_validity", "noblock_validity",
                                         "dioread_nolock", "dioread_lock",    "discard",        "nodiscard",
                                         "init_itable",    "noinit_itable",   "lazytime",       "nolazytime",
                                         "grpid",          "nogrpid",         "bsdgroups",      "sysvgroups",
                                         "minixdf",        "bsddf",           "nobh",           "bh",
                                         "orlov",          "i_version"};
  for (const char* word : kIgnored) {
    if (is_option(at, n, word)) return 0;
  }
  if (is_option(at, n, "errors=continue")) {
    info->on_error = ext4_on_error::Continue;
  } else if (is_option(at, n, "errors=remount-ro")) {
    info->on_error = ext4_on_error::ReadOnly;
  } else if (is_option(at, n, "errors=panic")) {
    info->on_error = ext4_on_error::Panic;
  } else if (is_option(at, n, "barrier") || is_option(at, n, "barrier=1")) {
    info->device.barriers = true;
  } else if (is_option(at, n, "nobarrier") || is_option(at, n, "barrier=0")) {
    info->device.barriers = false;
  } else if (is_option(at, n, "noload") || is_option(at, n, "norecovery")) {
    info->no_recovery = true;
  } else if (n > 7 && memcmp(at, "commit=", 7) == 0) {
    const u64 seconds = parse_number(at + 7, nullptr, 10);
    if (seconds > 3600) return -EINVAL;
    info->commit_seconds = seconds == 0 ? 5 : static_cast<u32>(seconds);
  } else {
    return -EINVAL;
  }
  return 0;
}

int parse_options(ext4_sb_info* info, const char* data) {
  for (const char* at = data != nullptr ? data : ""; *at != 0;) {
    const char* comma = strchr(at, ',');
    const size_t n = comma != nullptr ? static_cast<size_t>(comma - at) : strlen(at);
    if (n != 0 && parse_option(info, at, n) != 0) {
      printk(KERN_ERR "EXT4-fs: unknown mount option \"%s\"\n", at);
      return -EINVAL;
    }
    at += n + (comma != nullptr ? 1 : 0);
  }
  return 0;
}

// --- the thread ---
constinit wait_queue_head thread_wait{};
void pause_thread(ext4_sb_info* info) {
  const u64 until = ktime_get() + kNsPerSec / 4;
  wait_event_state(
      thread_wait, TASK_UNINTERRUPTIBLE, [&] { return info->stop.load() != 0; }, until);
}

int commit_thread(void* argument) {
  ext4_sb_info* info = static_cast<ext4_sb_info*>(argument);
  while (info->stop.load() == 0) {
    pause_thread(info);
    mutex_lock(info->lock);
    const bool due = ext4_has_changes(info->fs);
    mutex_unlock(info->lock);
    if (!due) continue;
    for (u32 quarter = 0; quarter < info->commit_seconds * 4 && info->stop.load() == 0; ++quarter) pause_thread(info);
    ext4_commit(info);
  }
  complete(info->stopped);
  return 0;
}

int start_writing(ext4_sb_info* info, const char* source) {
  const char* why = "";
  if (blkdev_read_only(info->device.bdev)) return -EROFS;
  if (const int error = ext4_refuses_writing(info->fs, &why); error != 0) {
    printk(KERN_ERR "EXT4-fs (%s): %s\n", source, why);
    return error;
  }
  if ((info->fs.super.s_state & EXT4_STATE_ERROR) != 0)
    printk(KERN_WARNING "EXT4-fs (%s): mounting a file system with errors, running e2fsck is recommended\n", source);
  TRY_INT(ext4_open_for_writing(info->fs, now_seconds()));
  TRY_INT(ext4_process_orphans(info->fs, now_seconds(), ktime_get_real()));
  info->stop.store(0);
  info->stopped.done.store(0);
  info->thread = kthread_run(commit_thread, info, "jbd2");
  return info->thread == nullptr ? -ENOMEM : 0;
}

void stop_writing(ext4_sb_info* info) {
  if (info->thread != nullptr) {
    info->stop.store(1);
    wake_up_all(thread_wait);
    wait_for_completion(info->stopped);
    info->thread = nullptr;
  }
  ext4_commit(info);
}

// A mount for reading replays the journal too, if the device can be written.
int replay_only(ext4_sb_info* info, const char* source) {
  if (!info->fs.has(EXT4_INCOMPAT_RECOVER) || info->no_recovery) return 0;
  const char* why;
  if (blkdev_read_only(info->device.bdev) || ext4_refuses_writing(info->fs, &why) != 0) {
    printk(KERN_ERR "EXT4-fs (%s): the journal must be replayed and the device cannot be written\n", source);
    return -EROFS;
  }
  TRY_INT(ext4_open_for_writing(info->fs, now_seconds()));
  ext4_close(info->fs, now_seconds());
  return ext4_open(info->fs, info->device);
}

// Pages of the device's own cache would hide what is written past it.
void drop_device_cache(ext4_sb_info* info) {
  address_space* m = blkdev_mapping(info->device.bdev);
  filemap_write_and_wait(m, 0, 1ll << 62, true);
  truncate_inode_pages(m, 0);
}

int read_root(super_block* sb) {
  inode* root = TRY(ext4_iget(sb, EXT4_ROOT_INO));
  if (!S_ISDIR(root->i_mode)) {
    iput(root);
    return -EUCLEAN;
  }
  sb->s_root = d_make_root(root);
  return sb->s_root == nullptr ? -ENOMEM : 0;
}

struct Ext4SuperOps final : super_operations {
  inode* alloc_inode(super_block*) const override {
    void* memory = kmem_cache_alloc(inode_cache, GFP_KERNEL);
    return memory == nullptr ? nullptr : &(new (memory) ext4_inode_info{})->vfs;
  }
  void free_inode(inode* i) const override { kmem_cache_free(inode_cache, ext4_i(i)); }
  bool drop_inode(const inode* i) const override { return i->i_nlink == 0; }

  int write_inode(inode* i, bool) const override {
    if (i->i_nlink == 0 || !ext4_info(i)->fs.writable) return 0;
    return ext4_change(ext4_info(i), [&](ext4_fs& fs) -> int { return ext4_store_inode(fs, i); });
  }

  void evict_inode(inode* i) const override {
    truncate_inode_pages(&i->i_data, 0);
    ext4_sb_info* info = ext4_info(i);
    if (i->i_nlink != 0 || !info->fs.writable || ext4_body_of(i).ino == 0 || ext4_body_of(i).orphan.empty()) return;
    const bool fast_link = S_ISLNK(i->i_mode) && ext4_body_of(i).sectors == 0;
    const bool special = !S_ISREG(i->i_mode) && !S_ISDIR(i->i_mode) && !S_ISLNK(i->i_mode);
    const bool cut = fast_link || special || ext4_truncate_blocks(i, 0, ~0u) == 0;
    if (cut) {
      ext4_change(info, [&](ext4_fs& fs) -> int {
        ext4_body& body = ext4_body_of(i);
        TRY_INT(ext4_xattr_drop_block(fs, body));
        body.size = 0;
        TRY_INT(ext4_write_body(fs, body));
        TRY_INT(ext4_orphan_del(fs, body));
        TRY_INT(ext4_mark_deleted(fs, body.ino, now_seconds()));
        return ext4_free_inode(fs, body.ino, S_ISDIR(i->i_mode));
      });
    }
    if (!ext4_body_of(i).orphan.empty()) {  // it failed: the memory goes all the same
      mutex_lock(info->lock);
      list_del(&ext4_body_of(i).orphan);
      mutex_unlock(info->lock);
    }
  }

  int sync_fs(super_block* sb, bool wait) const override { return wait ? ext4_commit(ext4_info(sb)) : 0; }

  void put_super(super_block* sb) const override {
    ext4_sb_info* info = ext4_info(sb);
    if (info->fs.writable) stop_writing(info);
    while (ext4_body* left = list_first<&ext4_body::orphan>(&info->fs.orphans)) list_del(&left->orphan);
    ext4_close(info->fs, now_seconds());
    drop_device_cache(info);
    kdelete(info);
  }

  int remount(super_block* sb, u64* flags, const char* data) const override {
    ext4_sb_info* info = ext4_info(sb);
    TRY_INT(parse_options(info, data));
    const bool read_only = (*flags & MS_RDONLY) != 0;
    if (read_only && info->fs.writable) {
      stop_writing(info);
      MutexGuard guard(info->lock);
      ext4_close(info->fs, now_seconds());
      return ext4_open(info->fs, info->device);
    }
    if (!read_only && !info->fs.writable) return start_writing(info, "remount");
    return 0;
  }

  int statfs(super_block* sb, struct statfs* out) const override {
    ext4_sb_info* info = ext4_info(sb);
    MutexGuard guard(info->lock);
    const ext4_fs& fs = info->fs;
    const u64 inode_tables = static_cast<u64>(fs.groups) * fs.super.s_inodes_per_group * fs.inode_size >> fs.block_bits;
    *out = {};
    out->f_type = EXT4_MAGIC;
    out->f_bsize = out->f_frsize = sb->s_blocksize;
    out->f_blocks = fs.blocks - min(fs.blocks, inode_tables + 3ul * fs.groups);
    out->f_bfree = fs.free_blocks - min(fs.free_blocks, fs.reserved_blocks);
    out->f_bavail = ext4_available_blocks(fs, false);
    out->f_files = fs.super.s_inodes_count;
    out->f_ffree = fs.free_inodes;
    memcpy(out->f_fsid, fs.super.s_uuid, sizeof out->f_fsid);
    out->f_namelen = kNameMax;
    return 0;
  }
  void show_options(const super_block* sb, char* text, size_t size) const override {
    const ext4_sb_info* info = ext4_info(sb);
    static const char* const kNames[] = {"", "continue", "remount-ro", "panic"};
    format(text, size, ",errors=%s%s", kNames[static_cast<u32>(info->on_error)],
           info->device.barriers ? "" : ",nobarrier");
  }
};
constinit const Ext4SuperOps super_ops{};

int fill_super(super_block* sb, const char* source, const char* data, u64) {
  ext4_sb_info* info = knew<ext4_sb_info>();
  if (info == nullptr) return -ENOMEM;
  info->sb = sb;
  info->device.bdev = sb->s_bdev;
  // Metadata may take a thirty-second of memory, and the copies that wait for a checkpoint as much again.
  info->fs.cache.limit = static_cast<u32>(clamp<u64>(total_ram_pages() * (kPageSize / 1024) / 32 / 4, 128, 8192));
  sb->s_fs_info = info;
  sb->s_op = &super_ops;
  sb->s_magic = EXT4_MAGIC;
  drop_device_cache(info);
  int error = ext4_open(info->fs, info->device);
  if (error == 0) {
    const u16 stored = info->fs.super.s_errors;
    info->on_error = stored >= 1 && stored <= 3 ? static_cast<ext4_on_error>(stored) : ext4_on_error::Continue;
    error = parse_options(info, data);
    sb->s_blocksize_bits = info->fs.block_bits;
    sb->s_blocksize = info->fs.block_size;
    sb->s_maxbytes = (1ul << 32) * info->fs.block_size - 1;
    const bool read_only = (sb->s_flags & MS_RDONLY) != 0;
    if (error == 0) error = read_only ? replay_only(info, source) : start_writing(info, source);
    if (error == -EROFS && !read_only && blkdev_read_only(sb->s_bdev)) {
      printk(KERN_WARNING "EXT4-fs (%s): mounted read-only\n", source);
      sb->s_flags |= MS_RDONLY;
      error = replay_only(info, source);
    }
    if (error == 0) error = read_root(sb);
    if (error != 0) {
      if (info->thread != nullptr) stop_writing(info);
      ext4_close(info->fs, now_seconds());
    }
  }
  if (error != 0) {
    printk(KERN_ERR "EXT4-fs (%s): cannot be mounted (error %d)\n", source, error);
    kdelete(info);
  } else {
    printk(KERN_INFO "EXT4-fs (%s): mounted %s\n", source, info->fs.writable ? "r/w with ordered data mode" : "ro");
  }
  return error;
}
constinit file_system_type ext4_type{"ext4", FS_REQUIRES_DEV, fill_super};

void ext4_init() {
  inode_cache = kmem_cache_create("ext4_inode_cache", sizeof(ext4_inode_info), 64);
  register_filesystem(&ext4_type);
}
FS_INITCALL(ext4_init);

}  // namespace

int ext4_commit(ext4_sb_info* info) {
  MutexGuard one(info->commit_lock);
  mutex_lock(info->lock);
  if (!ext4_has_changes(info->fs) || info->fs.failed != 0) {
    const int failed = info->fs.failed;
    mutex_unlock(info->lock);
    return failed != 0 ? -EIO : 0;
  }
  ext4_commit_record c;
  c.now_ns = ktime_get_real();
  const u32 tid = info->fs.running.tid;
  int error = ext4_commit_begin(info->fs, c);
  mutex_unlock(info->lock);
  if (error == 0) {
    wait_event(info->ordered_wait, [&] { return info->ordered[tid & 1].load() == 0; });
    error = ext4_commit_write(info->fs, c);
    mutex_lock(info->lock);
    ext4_commit_end(info->fs, c, error);
    info->committed_tid = tid;
    mutex_unlock(info->lock);
  }
  ext4_check_failed(info);
  return error;
}

int ext4_lock_for_change(ext4_sb_info* info) {
  for (;;) {
    mutex_lock(info->lock);
    const ext4_fs& fs = info->fs;
    if (fs.failed != 0 || !fs.writable) {
      mutex_unlock(info->lock);
      return -EROFS;
    }
    if (fs.running.count + kOneChange < ext4_transaction_limit(fs)) return 0;
    mutex_unlock(info->lock);
    TRY_INT(ext4_commit(info));
  }
}

int ext4_free_held(ext4_sb_info* info) {
  mutex_lock(info->lock);
  const bool some = info->fs.held_blocks != 0;
  mutex_unlock(info->lock);
  return some && ext4_commit(info) == 0 ? 1 : 0;
}

void ext4_check_failed(ext4_sb_info* info) {
  if (info->fs.failed == 0 || (info->sb->s_flags & MS_RDONLY) != 0) return;
  if (info->on_error == ext4_on_error::Panic) panic("EXT4-fs: damaged, mounted with errors=panic");
  printk(KERN_ERR "EXT4-fs: remounting the file system read-only\n");
  info->sb->s_flags |= MS_RDONLY;
}

}  // namespace xm::os
