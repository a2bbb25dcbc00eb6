// SPDX-License-Identifier: GPL-2.0-or-later
// ext4 under the VFS: what a mounted file system and its inodes are in memory, and how changes are made.
//
// Locks: `lock` covers the ext4_fs and every ext4_body; it is taken after i_rwsem and after page locks, and memory is
// asked for with GFP_NOFS while it is held. `commit_lock` is outside of it: one commit at a time.
#pragma once

#include "kernel/fs/blockdev.h"
#include "kernel/fs/ext4/journal.h"
#include "kernel/fs/fs.h"

namespace xm::os {

struct task_struct;

// The block device in blocks of the file system, past its page cache.
struct ext4_bdev final : ext4_device {
  block_device* bdev = nullptr;
  u32 unit = 1024;
  bool barriers = true;
  int set_block_size(u32 bytes) override;
  int read(u64 block, u8* to) override;
  int write(const ext4_write* list, u32 count) override;
  int flush() override;
};

enum class ext4_on_error : u8 { Continue = 1, ReadOnly = 2, Panic = 3 };

struct ext4_sb_info {
  ext4_fs fs;
  ext4_bdev device;
  super_block* sb = nullptr;
  mutex lock;
  mutex commit_lock;
  // Data writes that the running and the committing transaction wait for (by the lowest bit of the number): a block
  // must not belong to a file after a crash before its data is there.
  Atomic<u32> ordered[2];
  wait_queue_head ordered_wait;
  u32 committed_tid = 0;
  // The thread that commits every few seconds.
  task_struct* thread = nullptr;
  Atomic<u32> stop{0};
  completion stopped;
  u32 commit_seconds = 5;
  ext4_on_error on_error = ext4_on_error::Continue;
  bool no_recovery = false;
};
struct ext4_inode_info {
  inode vfs;
  ext4_body body;
  u32 sync_tid = 0;  // the transaction that changed it last
};

inline ext4_sb_info* ext4_info(const super_block* sb) { return static_cast<ext4_sb_info*>(sb->s_fs_info); }
inline ext4_sb_info* ext4_info(const inode* i) { return ext4_info(i->i_sb); }
inline ext4_inode_info* ext4_i(inode* i) { return container_of(i, ext4_inode_info, vfs); }
inline ext4_body& ext4_body_of(inode* i) { return ext4_i(i)->body; }

int ext4_commit(ext4_sb_info* info);           // everything so far is durable when it returns
int ext4_lock_for_change(ext4_sb_info* info);  // with room in the transaction; 0: locked
int ext4_free_held(ext4_sb_info* info);        // commits if that frees blocks; 1: worth trying again
void ext4_check_failed(ext4_sb_info* info);    // after damage: as errors= says

// Runs change(fs) locked, once more after a commit if the disk was full of blocks that wait for one. The change must
// leave things as they were when it fails.
template <class Change>
int ext4_change(ext4_sb_info* info, Change change) {
  for (int attempt = 0;; ++attempt) {
    TRY_INT(ext4_lock_for_change(info));
    const int error = change(info->fs);
    mutex_unlock(info->lock);
    ext4_check_failed(info);
    if (error != -ENOSPC || attempt > 0 || ext4_free_held(info) != 1) return error;
  }
}

ext4_attributes ext4_attributes_of(const inode* i);
int ext4_store_inode(ext4_fs& fs, inode* i);  // locked: writes all of it into the running transaction
Result<inode*> ext4_iget(super_block* sb, u32 ino);
void ext4_set_operations(inode* i);
void ext4_flags_to_vfs(inode* i);
// Cuts the tree of blocks from block `from` on, in as many transactions as it takes.
int ext4_truncate_blocks(inode* i, u32 from, u32 to);
int ext4_fsync(file* f, bool data_only);
int ext4_setattr(dentry* d, iattr& a);
void ext4_drop_reservation(page* p);

extern const address_space_operations& ext4_address_space_ops;
extern const file_operations& ext4_file_ops;
extern const file_operations& ext4_dir_file_ops;
extern const inode_operations& ext4_dir_inode_ops;
extern const inode_operations& ext4_file_inode_ops;
extern const inode_operations& ext4_link_inode_ops;
long ext4_ioctl(file* f, u32 command, u64 argument);

// Extended attributes are the same for every kind of inode.
struct ext4_inode_ops : inode_operations {
  int setattr(dentry* d, iattr& a) const override { return ext4_setattr(d, a); }
  ssize_t getxattr(inode* i, const char* name, void* value, size_t size) const override;
  int setxattr(inode* i, const char* name, const void* value, size_t size, int flags) const override;
  ssize_t listxattr(inode* i, char* list, size_t size) const override;
  int removexattr(inode* i, const char* name) const override;
};

}  // namespace xm::os
