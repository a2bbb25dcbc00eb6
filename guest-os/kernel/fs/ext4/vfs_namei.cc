// SPDX-License-Identifier: GPL-2.0-or-later
// Names: looking up, creating, removing, linking, renaming, and listing directories.
// DEVIATION: a directory is listed in the order of its blocks, not of hashes: entries that a split moves while somebody
// reads the directory may be seen twice.
#include "kernel/drivers/random.h"
#include "kernel/fs/ext4/vfs.h"
#include "kernel/mm/slab.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kMaxLinks = 65000;

// A directory with 65000 and more subdirectories says 1.
void more_subdirectories(inode* dir) {
  if (dir->i_nlink != 1) ++dir->i_nlink;
}
void fewer_subdirectories(inode* dir) {
  if (dir->i_nlink > 2) --dir->i_nlink;
}

void touch_directory(inode* dir) {
  dir->i_mtime = dir->i_ctime = current_time();
  dir->i_size = static_cast<loff_t>(ext4_body_of(dir).size);
}
int store_directory(ext4_fs& fs, inode* dir) {
  touch_directory(dir);
  return ext4_store_inode(fs, dir);
}

// What a new inode holds besides its name.
int fill_new(ext4_fs& fs, inode* i, const inode* dir, const char* target) {
  ext4_body& body = ext4_body_of(i);
  if (S_ISDIR(i->i_mode)) {
    ext4_init_map(body);
    body.journaled = true;
    TRY_INT(ext4_make_empty_dir(fs, body, ext4_body_of(const_cast<inode*>(dir)).ino));
    i->i_size = static_cast<loff_t>(body.size);
  } else if (S_ISLNK(i->i_mode)) {
    const size_t n = strlen(target);
    body.size = n;
    body.journaled = true;
    if (n < sizeof body.block) {
      memcpy(body.block, target, n);
    } else {
      ext4_init_map(body);
      ext4_run run{};
      ext4_ref block;
      TRY_INT(ext4_map_new(fs, body, 0, 1, false, run));
      TRY_INT(ext4_bnew(fs, run.physical, ext4_kind::Plain, 0, block));
      memcpy(block.data(), target, n);
    }
    i->i_size = static_cast<loff_t>(n);
  } else if (S_ISREG(i->i_mode)) {
    ext4_init_map(body);
  } else {
    memset(body.block, 0, sizeof body.block);
    const bool small = major_of(i->i_rdev) < 256 && minor_of(i->i_rdev) < 256;
    body.block[small ? 0 : 1] =
        small ? major_of(i->i_rdev) << 8 | minor_of(i->i_rdev) : static_cast<u32>(encode_dev(i->i_rdev));
  }
  return 0;
}

void undo_new(ext4_fs& fs, inode* i) {
  ext4_body& body = ext4_body_of(i);
  u32 left;
  if (body.sectors != 0) ext4_unmap(fs, body, 0, ~0u, &left);
  ext4_free_inode(fs, body.ino, S_ISDIR(i->i_mode));
}

void reset_body(ext4_body& body) {
  body.flags = 0;
  body.size = body.sectors = body.file_acl = body.goal = 0;
  memset(body.block, 0, sizeof body.block);
}

// A new inode under a name (or, with none, an orphan).
int make_inode(inode* dir, dentry* d, umode_t mode, dev_t dev, const char* target, bool named) {
  ext4_sb_info* info = ext4_info(dir);
  if (d->d_name.len > kNameMax) return -ENAMETOOLONG;
  if (target != nullptr && strlen(target) >= info->fs.block_size) return -ENAMETOOLONG;
  if (S_ISDIR(mode) && dir->i_nlink >= kMaxLinks &&
      (info->fs.super.s_feature_ro_compat & EXT4_RO_COMPAT_DIR_NLINK) == 0)
    return -EMLINK;
  inode* i = new_inode(dir->i_sb);
  if (i == nullptr) return -ENOMEM;
  inode_init_owner(i, dir, mode);
  i->i_rdev = dev;
  i->i_nlink = !named ? 0 : S_ISDIR(mode) ? 2 : 1;
  const int error = ext4_change(info, [&](ext4_fs& fs) -> int {
    ext4_body& body = ext4_body_of(i);
    reset_body(body);
    TRY_INT(ext4_alloc_inode(fs, ext4_body_of(dir).ino, S_ISDIR(mode), &body.ino));
    body.generation = static_cast<u32>(get_random_u64());
    int e = fill_new(fs, i, dir, target);
    if (e == 0) e = ext4_init_inode(fs, body, ext4_attributes_of(i));
    if (e == 0 && named)
      e = ext4_add_entry(fs, ext4_body_of(dir), d->d_name.name, d->d_name.len, body.ino, ext4_file_type(mode));
    if (e == 0 && !named) e = ext4_orphan_add(fs, body);
    if (e != 0) {
      undo_new(fs, i);
      return e;
    }
    if (S_ISDIR(mode)) more_subdirectories(dir);
    ext4_i(i)->sync_tid = fs.running.tid;
    i->i_blocks = body.sectors;
    return named ? store_directory(fs, dir) : 0;
  });
  if (error != 0) {
    i->i_nlink = 0;
    ext4_body_of(i).ino = 0;
    iput(i);
    return error;
  }
  i->i_ino = ext4_body_of(i).ino;
  i->i_generation = ext4_body_of(i).generation;
  ext4_set_operations(i);
  insert_inode_hash(i);
  if (named) {
    d_add(d, i);
  } else {
    d_instantiate(d, i);
  }
  return 0;
}

// A name has gone; the inode goes when nobody uses it any more.
int drop_link(ext4_fs& fs, inode* i, bool all) {
  i->i_ctime = current_time();
  i->i_nlink = all || i->i_nlink <= 1 ? 0 : i->i_nlink - 1;
  if (i->i_nlink == 0) TRY_INT(ext4_orphan_add(fs, ext4_body_of(i)));
  return ext4_store_inode(fs, i);
}

struct DirInodeOps final : ext4_inode_ops {
  int lookup(inode* dir, dentry* d) const override {
    if (d->d_name.len > kNameMax) return -ENAMETOOLONG;
    u32 ino = 0;
    {
      MutexGuard guard(ext4_info(dir)->lock);
      TRY_INT(ext4_find_entry(ext4_info(dir)->fs, ext4_body_of(dir), d->d_name.name, d->d_name.len, &ino));
    }
    inode* found = ino == 0 ? nullptr : TRY(ext4_iget(dir->i_sb, ino));
    d_add(d, found);
    return 0;
  }
  int create(inode* dir, dentry* d, umode_t mode, bool) const override {
    return make_inode(dir, d, mode, 0, nullptr, true);
  }
  int mknod(inode* dir, dentry* d, umode_t mode, dev_t dev) const override {
    return make_inode(dir, d, mode, dev, nullptr, true);
  }
  int mkdir(inode* dir, dentry* d, umode_t mode) const override { return make_inode(dir, d, mode, 0, nullptr, true); }
  int symlink(inode* dir, dentry* d, const char* target) const override {
    return make_inode(dir, d, S_IFLNK | 0777, 0, target, true);
  }
  int tmpfile(inode* dir, dentry* d, umode_t mode) const override {
    return make_inode(dir, d, mode, 0, nullptr, false);
  }

  int link(dentry* old, inode* dir, dentry* d) const override {
    inode* i = old->d_inode;
    if (d->d_name.len > kNameMax) return -ENAMETOOLONG;
    if (i->i_nlink >= kMaxLinks) return -EMLINK;
    if (const int e = ext4_change(ext4_info(dir),
                                  [&](ext4_fs& fs) -> int {
                                    TRY_INT(ext4_add_entry(fs, ext4_body_of(dir), d->d_name.name, d->d_name.len,
                                                           ext4_body_of(i).ino, ext4_file_type(i->i_mode)));
                                    if (i->i_nlink++ == 0)
                                      TRY_INT(ext4_orphan_del(fs, ext4_body_of(i)));  // it was an O_TMPFILE
                                    i->i_ctime = current_time();
                                    TRY_INT(ext4_store_inode(fs, i));
                                    return store_directory(fs, dir);
                                  });
        e != 0)
      return e;
    d_add(d, igrab(i));
    return 0;
  }

  int unlink(inode* dir, dentry* d) const override {
    return ext4_change(ext4_info(dir), [&](ext4_fs& fs) -> int {
      TRY_INT(ext4_remove_entry(fs, ext4_body_of(dir), d->d_name.name, d->d_name.len));
      TRY_INT(store_directory(fs, dir));
      return drop_link(fs, d->d_inode, false);
    });
  }

  int rmdir(inode* dir, dentry* d) const override {
    return ext4_change(ext4_info(dir), [&](ext4_fs& fs) -> int {
      const int empty = TRY_INT(ext4_dir_is_empty(fs, ext4_body_of(d->d_inode)));
      if (empty == 0) return -ENOTEMPTY;
      TRY_INT(ext4_remove_entry(fs, ext4_body_of(dir), d->d_name.name, d->d_name.len));
      fewer_subdirectories(dir);
      TRY_INT(store_directory(fs, dir));
      d->d_inode->i_size = 0;
      return drop_link(fs, d->d_inode, true);
    });
  }

  int rename(inode* old_dir, dentry* old, inode* new_dir, dentry* target, u32 flags) const override {
    if (target->d_name.len > kNameMax) return -ENAMETOOLONG;
    return ext4_change(ext4_info(old_dir), [&](ext4_fs& fs) -> int {
      return (flags & RENAME_EXCHANGE) != 0 ? exchange(fs, old_dir, old, new_dir, target)
                                            : move(fs, old_dir, old, new_dir, target);
    });
  }

 private:
  static int set_parent(ext4_fs& fs, inode* i, inode* parent) {
    return ext4_set_entry(fs, ext4_body_of(i), "..", 2, ext4_body_of(parent).ino, ext4_file_type(S_IFDIR));
  }

  static int move(ext4_fs& fs, inode* old_dir, dentry* old, inode* new_dir, dentry* target) {
    inode* i = old->d_inode;
    inode* victim = target->d_inode;
    const bool is_dir = S_ISDIR(i->i_mode);
    const u8 type = ext4_file_type(i->i_mode);
    const u32 ino = ext4_body_of(i).ino;
    if (victim != nullptr && is_dir) {
      const int empty = TRY_INT(ext4_dir_is_empty(fs, ext4_body_of(victim)));
      if (empty == 0) return -ENOTEMPTY;
    }
    if (victim != nullptr) {
      TRY_INT(ext4_set_entry(fs, ext4_body_of(new_dir), target->d_name.name, target->d_name.len, ino, type));
    } else {
      TRY_INT(ext4_add_entry(fs, ext4_body_of(new_dir), target->d_name.name, target->d_name.len, ino, type));
    }
    TRY_INT(ext4_remove_entry(fs, ext4_body_of(old_dir), old->d_name.name, old->d_name.len));
    if (is_dir) {
      if (victim != nullptr || old_dir != new_dir) fewer_subdirectories(old_dir);
      if (victim == nullptr && old_dir != new_dir) more_subdirectories(new_dir);
      if (old_dir != new_dir) TRY_INT(set_parent(fs, i, new_dir));
    }
    i->i_ctime = current_time();
    TRY_INT(ext4_store_inode(fs, i));
    TRY_INT(store_directory(fs, old_dir));
    if (old_dir != new_dir) TRY_INT(store_directory(fs, new_dir));
    return victim == nullptr ? 0 : drop_link(fs, victim, is_dir);
  }

  static int exchange(ext4_fs& fs, inode* old_dir, dentry* old, inode* new_dir, dentry* target) {
    inode* a = old->d_inode;
    inode* b = target->d_inode;
    TRY_INT(ext4_set_entry(fs, ext4_body_of(new_dir), target->d_name.name, target->d_name.len, ext4_body_of(a).ino,
                           ext4_file_type(a->i_mode)));
    TRY_INT(ext4_set_entry(fs, ext4_body_of(old_dir), old->d_name.name, old->d_name.len, ext4_body_of(b).ino,
                           ext4_file_type(b->i_mode)));
    if (old_dir != new_dir) {
      if (S_ISDIR(a->i_mode)) TRY_INT(set_parent(fs, a, new_dir));
      if (S_ISDIR(b->i_mode)) TRY_INT(set_parent(fs, b, old_dir));
      if (S_ISDIR(a->i_mode) && !S_ISDIR(b->i_mode)) {
        fewer_subdirectories(old_dir);
        more_subdirectories(new_dir);
      } else if (S_ISDIR(b->i_mode) && !S_ISDIR(a->i_mode)) {
        fewer_subdirectories(new_dir);
        more_subdirectories(old_dir);
      }
    }
    a->i_ctime = b->i_ctime = current_time();
    TRY_INT(ext4_store_inode(fs, a));
    TRY_INT(ext4_store_inode(fs, b));
    TRY_INT(store_directory(fs, old_dir));
    return old_dir != new_dir ? store_directory(fs, new_dir) : 0;
  }
};
constinit const DirInodeOps dir_inode_ops{};

u8 type_of_entry(u8 t) {
  static constexpr u8 kTypes[] = {DT_UNKNOWN, DT_REG, DT_DIR, DT_CHR, DT_BLK, DT_FIFO, DT_SOCK, DT_LNK};
  return t < array_size(kTypes) ? kTypes[t] : static_cast<u8>(DT_UNKNOWN);
}

struct DirFileOps final : file_operations {
  ssize_t read_iter(file*, iov_iter&, loff_t&) const override { return -EISDIR; }
  // A position is the byte offset of an entry. Entries go to the user from a copy of the block: user memory may fault,
  // and a fault may need the lock.
  int iterate(file* f, dir_context& c) const override {
    inode* dir = f->f_inode;
    ext4_sb_info* info = ext4_info(dir);
    const u32 block_size = info->fs.block_size;
    u8* copy = static_cast<u8*>(kmalloc(block_size));
    if (copy == nullptr) return -ENOMEM;
    int error = 0;
    bool full = false;
    while (error == 0 && !full && c.pos < dir->i_size) {
      const u32 start = static_cast<u32>(c.pos) & (block_size - 1);
      const loff_t base = c.pos - start;
      error = copy_block(info, dir, static_cast<u32>(static_cast<u64>(base) >> info->fs.block_bits), copy);
      if (error != 0) break;
      ext4_dir_cursor cursor{copy, block_size, 0};
      while (const ext4_dir_entry* e = ext4_next_entry(info->fs, cursor, &error)) {
        if (base + cursor.offset <= c.pos) continue;
        full = !c.actor(&c, e->name, e->name_len, base + cursor.offset, e->inode, type_of_entry(e->file_type));
        if (full) break;
        c.pos = base + cursor.offset;
      }
      if (error == 0 && !full) c.pos = base + block_size;
    }
    kfree(copy);
    touch_atime(f);
    return error;
  }
  int fsync(file* f, bool data_only) const override { return ext4_fsync(f, data_only); }
  long ioctl(file* f, u32 command, u64 argument) const override { return ext4_ioctl(f, command, argument); }

 private:
  static int copy_block(ext4_sb_info* info, inode* dir, u32 logical, u8* to) {
    MutexGuard guard(info->lock);
    ext4_ref block;
    TRY_INT(ext4_dir_block(info->fs, ext4_body_of(dir), logical, block));
    memcpy(to, block.data(), info->fs.block_size);
    return 0;
  }
};
constinit const DirFileOps dir_file_ops{};

}  // namespace

constinit const inode_operations& ext4_dir_inode_ops = dir_inode_ops;
constinit const file_operations& ext4_dir_file_ops = dir_file_ops;

}  // namespace xm::os
