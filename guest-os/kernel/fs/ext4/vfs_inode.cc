// SPDX-License-Identifier: GPL-2.0-or-later
// Inodes of ext4 in memory: reading them, writing them back, attributes, extended attributes, symlinks.
#include "kernel/fs/ext4/vfs.h"
#include "kernel/init/printk.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/slab.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

// Seconds are 34 bits wide: the low two bits of the extra word go above the signed 32 of the old one.
timespec64 time_of(u32 seconds, u32 extra) {
  return {static_cast<s64>(static_cast<s32>(seconds)) + (static_cast<s64>(extra & 3) << 32), extra >> 2};
}

void fill_inode(inode* i, const ext4_inode& raw) {
  const ext4_body& body = ext4_body_of(i);
  i->i_mode = raw.i_mode;
  i->i_uid = raw.i_uid | static_cast<u32>(raw.i_uid_high) << 16;
  i->i_gid = raw.i_gid | static_cast<u32>(raw.i_gid_high) << 16;
  i->i_nlink = raw.i_links_count;
  i->i_size = static_cast<loff_t>(body.size);
  i->i_blocks = body.sectors;
  i->i_generation = raw.i_generation;
  i->i_atime = time_of(raw.i_atime, raw.i_atime_extra);
  i->i_mtime = time_of(raw.i_mtime, raw.i_mtime_extra);
  i->i_ctime = time_of(raw.i_ctime, raw.i_ctime_extra);
  i->i_btime = time_of(raw.i_crtime, raw.i_crtime_extra);
  const bool old_form = raw.i_block[0] != 0;
  i->i_rdev = old_form ? make_dev(raw.i_block[0] >> 8 & 0xff, raw.i_block[0] & 0xff) : decode_dev(raw.i_block[1]);
  if (!S_ISCHR(i->i_mode) && !S_ISBLK(i->i_mode)) i->i_rdev = 0;
  ext4_flags_to_vfs(i);
  ext4_set_operations(i);
}

struct FileInodeOps final : ext4_inode_ops {};
constinit const FileInodeOps file_inode_ops{};

struct LinkInodeOps final : ext4_inode_ops {
  int get_link(dentry*, inode* i, link_body& link) const override {
    const u64 size = static_cast<u64>(i->i_size);
    ext4_sb_info* info = ext4_info(i);
    if (size == 0 || size >= kPathMax || size > info->fs.block_size) return -EUCLEAN;
    char* text = static_cast<char*>(kzalloc(size + 1));
    if (text == nullptr) return -ENOMEM;
    MutexGuard guard(info->lock);
    const ext4_body& body = ext4_body_of(i);
    int error = 0;
    if (size < sizeof(body.block) && body.sectors == (body.file_acl != 0 ? info->fs.block_size / 512 : 0)) {
      memcpy(text, body.block, size);
    } else {
      ext4_run run{};
      ext4_ref block;
      error = ext4_map(info->fs, body, 0, run);
      if (error == 0)
        error = run.physical == 0 ? -EUCLEAN : ext4_bread(info->fs, run.physical, ext4_kind::Plain, 0, block);
      if (error == 0) memcpy(text, block.data(), size);
    }
    if (error != 0) {
      kfree(text);
      return error;
    }
    link.text = text;
    link.to_free = text;
    return 0;
  }
};
constinit const LinkInodeOps link_inode_ops{};

// The tail of the last block that stays must read as zeros when the file grows again.
int zero_tail(inode* i, loff_t size) {
  const u32 at = static_cast<u32>(size & static_cast<loff_t>(kPageSize - 1));
  if (at == 0 || size >= i->i_size) return 0;
  ext4_run run{};
  {
    MutexGuard guard(ext4_info(i)->lock);
    TRY_INT(ext4_map(ext4_info(i)->fs, ext4_body_of(i), static_cast<u32>(size >> i->i_blkbits), run));
  }
  page* cached = find_get_page(&i->i_data, static_cast<u64>(size) >> kPageShift);
  if (cached != nullptr) put_page(cached);
  if (cached == nullptr && (run.physical == 0 || run.unwritten)) return 0;
  page* p = TRY(read_mapping_page(&i->i_data, static_cast<u64>(size) >> kPageShift, nullptr));
  lock_page(p);
  if (p->mapping == &i->i_data) {
    memset(static_cast<char*>(page_to_virt(p)) + at, 0, kPageSize - at);
    set_page_dirty(p);
  }
  unlock_page(p);
  put_page(p);
  return 0;
}

int set_size(inode* i, loff_t size) {
  ext4_sb_info* info = ext4_info(i);
  const loff_t old = i->i_size;
  if (size < old) TRY_INT(zero_tail(i, size));
  truncate_setsize(i, size);
  if (size >= old) {
    return ext4_change(info, [&](ext4_fs& fs) -> int {
      ext4_body_of(i).size = static_cast<u64>(size);
      return ext4_store_inode(fs, i);
    });
  }
  if (const int e =
          ext4_change(info,
                      [&](ext4_fs& fs) -> int {
                        TRY_INT(ext4_orphan_add(fs, ext4_body_of(i)));  // a crash in the middle of the cutting
                        ext4_body_of(i).size = min(ext4_body_of(i).size, static_cast<u64>(size));
                        return ext4_store_inode(fs, i);
                      });
      e != 0)
    return e;
  const u64 first = div_round_up(static_cast<u64>(size), info->fs.block_size);
  const int error = first > ~0u ? 0 : ext4_truncate_blocks(i, static_cast<u32>(first), ~0u);
  if (i->i_nlink == 0) return error;
  const int orphan_error = ext4_change(info, [&](ext4_fs& fs) -> int { return ext4_orphan_del(fs, ext4_body_of(i)); });
  return error != 0 ? error : orphan_error;
}

}  // namespace

constinit const inode_operations& ext4_file_inode_ops = file_inode_ops;
constinit const inode_operations& ext4_link_inode_ops = link_inode_ops;

void ext4_flags_to_vfs(inode* i) {
  const u32 flags = ext4_body_of(i).flags;
  i->i_flags = ((flags & EXT4_IMMUTABLE_FL) != 0 ? S_IMMUTABLE : 0) | ((flags & EXT4_APPEND_FL) != 0 ? S_APPEND : 0) |
               ((flags & EXT4_NOATIME_FL) != 0 ? S_NOATIME : 0);
}

void ext4_set_operations(inode* i) {
  i->i_data.a_ops = &ext4_address_space_ops;
  if (S_ISDIR(i->i_mode)) {
    i->i_op = &ext4_dir_inode_ops;
    i->i_fop = &ext4_dir_file_ops;
  } else if (S_ISLNK(i->i_mode)) {
    i->i_op = &ext4_link_inode_ops;
  } else {
    i->i_op = &ext4_file_inode_ops;
    if (S_ISREG(i->i_mode)) {
      i->i_fop = &ext4_file_ops;
    } else {
      init_special_inode(i, i->i_mode, i->i_rdev);
    }
  }
}

ext4_attributes ext4_attributes_of(const inode* i) {
  ext4_attributes a;
  a.mode = i->i_mode;
  a.uid = i->i_uid;
  a.gid = i->i_gid;
  a.links = S_ISDIR(i->i_mode) && i->i_nlink >= 65000 ? 1 : i->i_nlink;
  a.rdev = i->i_rdev;
  a.atime = i->i_atime.tv_sec;
  a.mtime = i->i_mtime.tv_sec;
  a.ctime = i->i_ctime.tv_sec;
  a.crtime = i->i_btime.tv_sec;
  a.atime_ns = static_cast<u32>(i->i_atime.tv_nsec);
  a.mtime_ns = static_cast<u32>(i->i_mtime.tv_nsec);
  a.ctime_ns = static_cast<u32>(i->i_ctime.tv_nsec);
  a.crtime_ns = static_cast<u32>(i->i_btime.tv_nsec);
  return a;
}

int ext4_store_inode(ext4_fs& fs, inode* i) {
  ext4_inode_info* e = ext4_i(i);
  e->sync_tid = fs.running.tid;
  i->i_blocks = e->body.sectors;
  return ext4_write_inode(fs, e->body, ext4_attributes_of(i));
}

Result<inode*> ext4_iget(super_block* sb, u32 ino) {
  inode* i = TRY(iget_locked(sb, ino));
  if ((i->i_state.load() & I_NEW) == 0) return i;
  ext4_sb_info* info = ext4_info(sb);
  ext4_inode raw;
  int error;
  {
    MutexGuard guard(info->lock);
    error = ext4_read_inode(info->fs, ino, raw);
    if (error == 0) ext4_fill_body(info->fs, ino, raw, ext4_body_of(i));
  }
  if (error == 0 && raw.i_links_count == 0) error = -ESTALE;
  if (error != 0) {
    printk(KERN_ERR "EXT4-fs: inode #%u cannot be read (error %d)\n", ino, error);
    iget_failed(i);
    return Error{-error};
  }
  fill_inode(i, raw);
  unlock_new_inode(i);
  return i;
}

int ext4_truncate_blocks(inode* i, u32 from, u32 to) {
  for (u32 left = to; left > from;) {
    if (const int e = ext4_change(ext4_info(i),
                                  [&](ext4_fs& fs) -> int {
                                    TRY_INT(ext4_unmap(fs, ext4_body_of(i), from, left, &left));
                                    ext4_i(i)->sync_tid = fs.running.tid;
                                    i->i_blocks = ext4_body_of(i).sectors;
                                    return ext4_write_body(fs, ext4_body_of(i));
                                  });
        e != 0)
      return e;
  }
  return 0;
}

int ext4_setattr(dentry* d, iattr& a) {
  inode* i = d->d_inode;
  TRY_INT(inode_change_ok(i, a));
  if ((a.valid & ATTR_SIZE) != 0 && S_ISREG(i->i_mode)) TRY_INT(set_size(i, a.size));
  setattr_copy(i, a);
  const bool important = (a.valid & (ATTR_MODE | ATTR_UID | ATTR_GID)) != 0;
  if (important && i->i_nlink != 0) {
    // An ACL follows the mode: its mask is the group bits.
    return ext4_change(ext4_info(i), [&](ext4_fs& fs) -> int { return ext4_store_inode(fs, i); });
  }
  return 0;
}

ssize_t ext4_inode_ops::getxattr(inode* i, const char* name, void* value, size_t size) const {
  MutexGuard guard(ext4_info(i)->lock);
  return ext4_xattr_get(ext4_info(i)->fs, ext4_body_of(i), name, value, size);
}

int ext4_inode_ops::setxattr(inode* i, const char* name, const void* value, size_t size, int flags) const {
  return ext4_change(ext4_info(i), [&](ext4_fs& fs) -> int {
    TRY_INT(ext4_xattr_set(fs, ext4_body_of(i), name, value, size, flags));
    i->i_ctime = current_time();
    return ext4_store_inode(fs, i);
  });
}

ssize_t ext4_inode_ops::listxattr(inode* i, char* list, size_t size) const {
  MutexGuard guard(ext4_info(i)->lock);
  return ext4_xattr_list(ext4_info(i)->fs, ext4_body_of(i), list, size);
}

int ext4_inode_ops::removexattr(inode* i, const char* name) const { return setxattr(i, name, nullptr, 0, 0); }

}  // namespace xm::os
