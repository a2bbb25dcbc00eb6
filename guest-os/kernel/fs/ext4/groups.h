// SPDX-License-Identifier: GPL-2.0-or-later
// Fields of a group descriptor whose upper half exists with the 64bit feature only.
#pragma once

#include "kernel/fs/ext4/ext4.h"

namespace xm::os {

inline bool wide_desc(const ext4_fs& fs) { return fs.desc_size >= 64; }
inline u64 group_block_bitmap(const ext4_fs& fs, const ext4_group_desc* d) {
  return d->bg_block_bitmap_lo | (wide_desc(fs) ? static_cast<u64>(d->bg_block_bitmap_hi) << 32 : 0);
}
inline u64 group_inode_bitmap(const ext4_fs& fs, const ext4_group_desc* d) {
  return d->bg_inode_bitmap_lo | (wide_desc(fs) ? static_cast<u64>(d->bg_inode_bitmap_hi) << 32 : 0);
}
inline u64 group_inode_table(const ext4_fs& fs, const ext4_group_desc* d) {
  return d->bg_inode_table_lo | (wide_desc(fs) ? static_cast<u64>(d->bg_inode_table_hi) << 32 : 0);
}

// The four counters: lower and upper half.
struct GroupCounter {
  u16 ext4_group_desc::*low;
  u16 ext4_group_desc::*high;
  u32 get(const ext4_fs& fs, const ext4_group_desc* d) const {
    return d->*low | (wide_desc(fs) ? static_cast<u32>(d->*high) << 16 : 0);
  }
  void set(const ext4_fs& fs, ext4_group_desc* d, u32 value) const {
    d->*low = static_cast<u16>(value);
    if (wide_desc(fs)) d->*high = static_cast<u16>(value >> 16);
  }
};
constexpr GroupCounter kFreeBlocks{&ext4_group_desc::bg_free_blocks_count_lo,
                                   &ext4_group_desc::bg_free_blocks_count_hi},
    kFreeInodes{&ext4_group_desc::bg_free_inodes_count_lo, &ext4_group_desc::bg_free_inodes_count_hi},
    kUsedDirs{&ext4_group_desc::bg_used_dirs_count_lo, &ext4_group_desc::bg_used_dirs_count_hi},
    kUnusedInodes{&ext4_group_desc::bg_itable_unused_lo, &ext4_group_desc::bg_itable_unused_hi};

// With one of these features groups may be marked as never used and the tail of the inode table is not valid.
inline bool has_group_flags(const ext4_fs& fs) {
  return (fs.super.s_feature_ro_compat & (EXT4_RO_COMPAT_GDT_CSUM | EXT4_RO_COMPAT_METADATA_CSUM)) != 0;
}
inline u64 group_first_block(const ext4_fs& fs, u32 group) {
  return fs.super.s_first_data_block + static_cast<u64>(group) * fs.super.s_blocks_per_group;
}

inline bool bit_at(const u8* map, u32 bit) { return (map[bit >> 3] >> (bit & 7) & 1) != 0; }
inline void set_bit_at(u8* map, u32 bit) { map[bit >> 3] = static_cast<u8>(map[bit >> 3] | 1u << (bit & 7)); }
inline void clear_bit_at(u8* map, u32 bit) { map[bit >> 3] = static_cast<u8>(map[bit >> 3] & ~(1u << (bit & 7))); }

}  // namespace xm::os
