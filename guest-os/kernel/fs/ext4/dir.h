// SPDX-License-Identifier: GPL-2.0-or-later
// Shared by dir.cc (blocks of entries) and htree.cc (the index over them).
#pragma once

#include "kernel/fs/ext4/ext4.h"

namespace xm::os {

struct DirName {
  const char* text;
  u32 length;
};
constexpr u32 dir_entry_size(u32 name_length) { return (8 + name_length + 3) & ~3u; }
// Bytes of a block that entries may fill: the last 12 hold the checksum.
inline u32 dir_space(const ext4_fs& fs) { return fs.block_size - (fs.has_checksums ? 12 : 0); }
inline bool dir_is_indexed(const ext4_fs& fs, const ext4_body& dir) {
  return (dir.flags & EXT4_INDEX_FL) != 0 && (fs.super.s_feature_compat & EXT4_COMPAT_DIR_INDEX) != 0;
}
void dir_init_block(const ext4_fs& fs, u8* block);  // one empty entry, and the tail
int dir_append_block(ext4_fs& fs, ext4_body& dir, ext4_ref& out, u32* logical);
// The entry of a name in a block and the one before it (null: first); null: not there.
ext4_dir_entry* dir_search(const ext4_fs& fs, u8* block, const DirName& name, ext4_dir_entry** before, int* error);
int dir_insert(ext4_fs& fs, u8* block, const DirName& name, u32 ino, u8 type);  // -ENOSPC: no room in this block

// In an indexed directory. find: -ENOENT when no block has it; the block that has it otherwise.
int htree_find(ext4_fs& fs, const ext4_body& dir, const DirName& name, ext4_ref& leaf);
int htree_insert(ext4_fs& fs, ext4_body& dir, const DirName& name, u32 ino, u8 type);
int htree_create(ext4_fs& fs, ext4_body& dir);  // from a directory of one block

}  // namespace xm::os
