// SPDX-License-Identifier: GPL-2.0-or-later
// Directories: blocks of entries, each reaching to the next; a removed entry joins the one before it.
// [Linux Documentation/filesystems/ext4/directory]
#include "kernel/fs/ext4/dir.h"
#include "kernel/lib/string.h"

namespace xm::os {
namespace {

// The block of a directory that holds the name.
int find_block(ext4_fs& fs, const ext4_body& dir, const DirName& name, ext4_ref& out) {
  if (dir_is_indexed(fs, dir)) {
    const int error = htree_find(fs, dir, name, out);
    if (error != -EOPNOTSUPP) return error;
  }
  const u32 blocks = static_cast<u32>(dir.size >> fs.block_bits);
  for (u32 i = 0; i < blocks; ++i) {
    TRY_INT(ext4_dir_block(fs, dir, i, out));
    int error = 0;
    ext4_dir_entry* before;
    if (dir_search(fs, out.data(), name, &before, &error) != nullptr) return 0;
    if (error != 0) return error;
  }
  return -ENOENT;
}

bool is_dot(const DirName& n) { return n.length == 1 && n.text[0] == '.'; }
bool is_dotdot(const DirName& n) { return n.length == 2 && n.text[0] == '.' && n.text[1] == '.'; }

void put_entry(const ext4_fs& fs, ext4_dir_entry* e, const DirName& name, u32 ino, u8 type, u32 rec_len) {
  e->inode = ino;
  e->rec_len = static_cast<u16>(rec_len);
  e->name_len = static_cast<u8>(name.length);
  e->file_type = fs.has(EXT4_INCOMPAT_FILETYPE) ? type : static_cast<u8>(0);
  memcpy(e->name, name.text, name.length);
}

}  // namespace

const ext4_dir_entry* ext4_next_entry(const ext4_fs& fs, ext4_dir_cursor& c, int* error) {
  while (c.offset + 8 <= c.size) {
    const auto* e = reinterpret_cast<const ext4_dir_entry*>(c.block + c.offset);
    const bool sane = e->rec_len >= 8 && e->rec_len % 4 == 0 && e->rec_len <= c.size - c.offset &&
                      e->name_len + 8u <= e->rec_len && e->inode <= fs.super.s_inodes_count;
    if (!sane) {
      *error = -EUCLEAN;
      return nullptr;
    }
    c.offset += e->rec_len;
    if (e->inode != 0 && e->name_len != 0) return e;
  }
  return nullptr;
}

int ext4_dir_block(ext4_fs& fs, const ext4_body& dir, u32 logical, ext4_ref& out) {
  ext4_run run{};
  TRY_INT(ext4_map(fs, dir, logical, run));
  if (run.physical == 0) return -EUCLEAN;
  return ext4_bread(fs, run.physical, ext4_kind::Directory, ext4_inode_seed(fs, dir.ino, dir.generation), out);
}

void dir_init_block(const ext4_fs& fs, u8* block) {
  memset(block, 0, fs.block_size);
  reinterpret_cast<ext4_dir_entry*>(block)->rec_len = static_cast<u16>(dir_space(fs));
  if (!fs.has_checksums) return;
  auto* tail = reinterpret_cast<ext4_dir_entry*>(block + fs.block_size - 12);
  tail->rec_len = 12;
  tail->file_type = kDirTailType;
}

int dir_append_block(ext4_fs& fs, ext4_body& dir, ext4_ref& out, u32* logical) {
  *logical = static_cast<u32>(dir.size >> fs.block_bits);
  ext4_run run{};
  TRY_INT(ext4_map_new(fs, dir, *logical, 1, false, run));
  TRY_INT(ext4_bnew(fs, run.physical, ext4_kind::Directory, ext4_inode_seed(fs, dir.ino, dir.generation), out));
  dir_init_block(fs, out.data());
  dir.size += fs.block_size;
  return 0;
}

ext4_dir_entry* dir_search(const ext4_fs& fs, u8* block, const DirName& name, ext4_dir_entry** before, int* error) {
  *before = nullptr;
  for (u32 at = 0; at + 8 <= fs.block_size;) {
    auto* e = reinterpret_cast<ext4_dir_entry*>(block + at);
    const bool sane = e->rec_len >= 8 && e->rec_len % 4 == 0 && e->rec_len <= fs.block_size - at &&
                      e->name_len + 8u <= e->rec_len && e->inode <= fs.super.s_inodes_count;
    if (!sane) {
      *error = -EUCLEAN;
      return nullptr;
    }
    if (e->inode != 0 && e->name_len == name.length && memcmp(e->name, name.text, name.length) == 0) return e;
    *before = e;
    at += e->rec_len;
  }
  return nullptr;
}

int dir_insert(ext4_fs& fs, u8* block, const DirName& name, u32 ino, u8 type) {
  const u32 need = dir_entry_size(name.length), space = dir_space(fs);
  for (u32 at = 0; at + 8 <= space;) {
    auto* e = reinterpret_cast<ext4_dir_entry*>(block + at);
    if (e->rec_len < 8 || e->rec_len % 4 != 0 || e->rec_len > space - at) return -EUCLEAN;
    const u32 used = e->inode == 0 ? 0 : dir_entry_size(e->name_len);
    if (used + need <= e->rec_len) {
      const u32 rest = e->rec_len - used;
      if (used != 0) e->rec_len = static_cast<u16>(used);
      put_entry(fs, reinterpret_cast<ext4_dir_entry*>(block + at + used), name, ino, type, rest);
      return 0;
    }
    at += e->rec_len;
  }
  return -ENOSPC;
}

int ext4_find_entry(ext4_fs& fs, const ext4_body& dir, const char* name, u32 length, u32* ino) {
  *ino = 0;
  ext4_ref block;
  const int error = find_block(fs, dir, {name, length}, block);
  if (error != 0) return error == -ENOENT ? 0 : error;
  int damage = 0;
  ext4_dir_entry* before;
  const ext4_dir_entry* e = dir_search(fs, block.data(), {name, length}, &before, &damage);
  if (e == nullptr) return damage != 0 ? damage : -EUCLEAN;
  *ino = e->inode;
  return 0;
}

int ext4_add_entry(ext4_fs& fs, ext4_body& dir, const char* name, u32 length, u32 ino, u8 type) {
  const DirName n{name, length};
  if (dir_is_indexed(fs, dir)) {
    const int error = htree_insert(fs, dir, n, ino, type);
    if (error != -EOPNOTSUPP) return error;
    dir.flags &= ~EXT4_INDEX_FL;  // a hash that is not known here: the index is given up, its blocks look empty
  }
  const u32 blocks = static_cast<u32>(dir.size >> fs.block_bits);
  ext4_ref block;
  // Room is looked for from the end: directories grow there.
  for (u32 i = blocks; i-- > 0;) {
    TRY_INT(ext4_dir_block(fs, dir, i, block));
    const int error = dir_insert(fs, block.data(), n, ino, type);
    if (error == 0) ext4_dirty(fs, block.get());
    if (error != -ENOSPC) return error;
  }
  if (blocks == 1 && (fs.super.s_feature_compat & EXT4_COMPAT_DIR_INDEX) != 0) {
    block.reset();
    TRY_INT(htree_create(fs, dir));
    return htree_insert(fs, dir, n, ino, type);
  }
  u32 logical;
  TRY_INT(dir_append_block(fs, dir, block, &logical));
  return dir_insert(fs, block.data(), n, ino, type);
}

int ext4_remove_entry(ext4_fs& fs, ext4_body& dir, const char* name, u32 length) {
  ext4_ref block;
  TRY_INT(find_block(fs, dir, {name, length}, block));
  int error = -EUCLEAN;
  ext4_dir_entry* before;
  ext4_dir_entry* e = dir_search(fs, block.data(), {name, length}, &before, &error);
  if (e == nullptr) return error;
  if (before != nullptr) {
    before->rec_len = static_cast<u16>(before->rec_len + e->rec_len);
  } else {
    e->inode = 0;
  }
  ext4_dirty(fs, block.get());
  return 0;
}

int ext4_set_entry(ext4_fs& fs, ext4_body& dir, const char* name, u32 length, u32 ino, u8 type) {
  const DirName n{name, length};
  ext4_ref block;
  if (is_dot(n) || is_dotdot(n)) {
    TRY_INT(ext4_dir_block(fs, dir, 0, block));  // also in an indexed directory
  } else {
    TRY_INT(find_block(fs, dir, n, block));
  }
  int error = -EUCLEAN;
  ext4_dir_entry* before;
  ext4_dir_entry* e = dir_search(fs, block.data(), n, &before, &error);
  if (e == nullptr) return error;
  e->inode = ino;
  if (fs.has(EXT4_INCOMPAT_FILETYPE)) e->file_type = type;
  ext4_dirty(fs, block.get());
  return 0;
}

int ext4_make_empty_dir(ext4_fs& fs, ext4_body& dir, u32 parent) {
  ext4_ref block;
  u32 logical;
  TRY_INT(dir_append_block(fs, dir, block, &logical));
  put_entry(fs, reinterpret_cast<ext4_dir_entry*>(block.data()), {".", 1}, dir.ino, 2, 12);
  put_entry(fs, reinterpret_cast<ext4_dir_entry*>(block.data() + 12), {"..", 2}, parent, 2, dir_space(fs) - 12);
  return 0;
}

int ext4_dir_is_empty(ext4_fs& fs, const ext4_body& dir) {
  const u32 blocks = static_cast<u32>(dir.size >> fs.block_bits);
  for (u32 i = 0; i < blocks; ++i) {
    ext4_ref block;
    TRY_INT(ext4_dir_block(fs, dir, i, block));
    ext4_dir_cursor cursor{block.data(), fs.block_size, 0};
    int error = 0;
    while (const ext4_dir_entry* e = ext4_next_entry(fs, cursor, &error)) {
      const DirName n{e->name, e->name_len};
      if (!is_dot(n) && !is_dotdot(n)) return 0;
    }
    if (error != 0) return error;
  }
  return 1;
}

}  // namespace xm::os
