// SPDX-License-Identifier: GPL-2.0-or-later
// Inode numbers: files near their directory, directories spread over the groups. The tail of a group's inode table that
// was never used holds no valid inodes; whoever takes one there fills it up to that place.
#include "kernel/fs/ext4/groups.h"
#include "kernel/lib/string.h"

namespace xm::os {
namespace {

int read_bitmap(ext4_fs& fs, u32 group, ext4_ref& out) {
  ext4_buffer* table;
  ext4_group_desc* d = ext4_desc(fs, group, &table);
  const bool fresh = has_group_flags(fs) && (d->bg_flags & EXT4_BG_INODE_UNINIT) != 0;
  if (!fresh) return ext4_bread(fs, group_inode_bitmap(fs, d), ext4_kind::InodeBitmap, group, out);
  TRY_INT(ext4_bnew(fs, group_inode_bitmap(fs, d), ext4_kind::InodeBitmap, group, out));
  for (u32 bit = fs.super.s_inodes_per_group; bit < fs.block_size * 8; ++bit) set_bit_at(out.data(), bit);
  d->bg_flags = static_cast<u16>(d->bg_flags & ~EXT4_BG_INODE_UNINIT);
  ext4_dirty(fs, table);
  return 0;
}

u32 free_inodes(ext4_fs& fs, u32 group) {
  ext4_buffer* table;
  return kFreeInodes.get(fs, ext4_desc(fs, group, &table));
}
u32 free_blocks(ext4_fs& fs, u32 group) {
  ext4_buffer* table;
  return kFreeBlocks.get(fs, ext4_desc(fs, group, &table));
}

// A directory goes where both inodes and blocks are not scarcer than on average, first of all near its parent; one in
// the root directory starts the search at another group each time.
u32 group_for_directory(ext4_fs& fs, u32 parent) {
  const u64 inodes = fs.free_inodes / fs.groups, blocks = fs.free_blocks / fs.groups;
  const u32 near = (parent - 1) / fs.super.s_inodes_per_group;
  const u32 start = parent == EXT4_ROOT_INO ? ++fs.last_group % fs.groups : near;
  for (u32 i = 0; i < fs.groups; ++i) {
    const u32 g = (start + i) % fs.groups;
    if (free_inodes(fs, g) > 0 && free_inodes(fs, g) >= inodes && free_blocks(fs, g) >= blocks) return g;
  }
  return near;
}

// Zeroes the inodes from the first that is not valid yet up to `index`.
int extend_table(ext4_fs& fs, u32 group, u32 index) {
  ext4_buffer* table;
  ext4_group_desc* d = ext4_desc(fs, group, &table);
  if (!has_group_flags(fs)) return 0;
  const u32 per_group = fs.super.s_inodes_per_group, valid = per_group - kUnusedInodes.get(fs, d);
  if (index < valid) return 0;
  for (u32 i = valid; i <= index; ++i) {
    ext4_ref buffer;
    u8* raw;
    TRY_INT(ext4_raw_inode(fs, group * per_group + i + 1, buffer, &raw));
    memset(raw, 0, fs.inode_size);
    ext4_dirty(fs, buffer.get());
  }
  kUnusedInodes.set(fs, d, per_group - index - 1);
  return 0;
}

}  // namespace

int ext4_alloc_inode(ext4_fs& fs, u32 parent, bool directory, u32* ino) {
  if (fs.free_inodes == 0) return -ENOSPC;
  const u32 per_group = fs.super.s_inodes_per_group;
  const u32 start = directory ? group_for_directory(fs, parent) : (parent - 1) / per_group;
  const u32 first_usable = fs.super.s_rev_level == 0 ? 11 : fs.super.s_first_ino;
  for (u32 i = 0; i < fs.groups; ++i) {
    const u32 group = (start + i) % fs.groups;
    ext4_buffer* table;
    ext4_group_desc* d = ext4_desc(fs, group, &table);
    const u32 free = kFreeInodes.get(fs, d);
    if (free == 0) continue;
    ext4_ref map;
    TRY_INT(read_bitmap(fs, group, map));
    u32 bit = group == 0 ? first_usable - 1 : 0;
    while (bit < per_group && bit_at(map.data(), bit)) bit += map.data()[bit >> 3] == 0xff ? 8 - (bit & 7) : 1;
    if (bit >= per_group) continue;
    TRY_INT(extend_table(fs, group, bit));
    set_bit_at(map.data(), bit);
    kFreeInodes.set(fs, d, free - 1);
    if (directory) kUsedDirs.set(fs, d, kUsedDirs.get(fs, d) + 1);
    --fs.free_inodes;
    ext4_dirty(fs, map.get());
    ext4_dirty(fs, table);
    *ino = group * per_group + bit + 1;
    return 0;
  }
  return -ENOSPC;
}

int ext4_free_inode(ext4_fs& fs, u32 ino, bool directory) {
  const u32 group = (ino - 1) / fs.super.s_inodes_per_group, bit = (ino - 1) % fs.super.s_inodes_per_group;
  ext4_ref map;
  TRY_INT(read_bitmap(fs, group, map));
  if (!bit_at(map.data(), bit)) {
    ext4_fail(fs, -EUCLEAN, "inode freed twice:", ino);
    return -EUCLEAN;
  }
  clear_bit_at(map.data(), bit);
  ext4_buffer* table;
  ext4_group_desc* d = ext4_desc(fs, group, &table);
  kFreeInodes.set(fs, d, kFreeInodes.get(fs, d) + 1);
  if (directory) kUsedDirs.set(fs, d, kUsedDirs.get(fs, d) - 1);
  ++fs.free_inodes;
  ext4_dirty(fs, map.get());
  ext4_dirty(fs, table);
  return 0;
}

}  // namespace xm::os
