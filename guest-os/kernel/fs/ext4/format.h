// SPDX-License-Identifier: GPL-2.0-or-later
// ext4 on disk: super block, group descriptor, inode, extents, directory entries. [Linux
// Documentation/filesystems/ext4]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

constexpr u16 EXT4_MAGIC = 0xef53, EXT4_EXTENT_MAGIC = 0xf30a;
constexpr u32 EXT4_ROOT_INO = 2;
constexpr u16 EXT4_STATE_CLEAN = 1;

constexpr u32 EXT4_COMPAT_HAS_JOURNAL = 4, EXT4_COMPAT_EXT_ATTR = 8, EXT4_COMPAT_DIR_INDEX = 0x20,
              EXT4_COMPAT_SPARSE_SUPER2 = 0x200, EXT4_COMPAT_ORPHAN_FILE = 0x1000;
constexpr u32 EXT4_INCOMPAT_FILETYPE = 2, EXT4_INCOMPAT_RECOVER = 4, EXT4_INCOMPAT_META_BG = 0x10,
              EXT4_INCOMPAT_EXTENTS = 0x40, EXT4_INCOMPAT_64BIT = 0x80, EXT4_INCOMPAT_FLEX_BG = 0x200,
              EXT4_INCOMPAT_CSUM_SEED = 0x2000, EXT4_INCOMPAT_LARGEDIR = 0x4000, EXT4_INCOMPAT_INLINE_DATA = 0x8000;
constexpr u32 EXT4_INCOMPAT_KNOWN = EXT4_INCOMPAT_FILETYPE | EXT4_INCOMPAT_RECOVER | EXT4_INCOMPAT_META_BG |
                                    EXT4_INCOMPAT_EXTENTS | EXT4_INCOMPAT_64BIT | EXT4_INCOMPAT_FLEX_BG |
                                    EXT4_INCOMPAT_CSUM_SEED | EXT4_INCOMPAT_LARGEDIR | EXT4_INCOMPAT_INLINE_DATA;
constexpr u32 EXT4_RO_COMPAT_SPARSE_SUPER = 1, EXT4_RO_COMPAT_LARGE_FILE = 2, EXT4_RO_COMPAT_HUGE_FILE = 8,
              EXT4_RO_COMPAT_GDT_CSUM = 0x10, EXT4_RO_COMPAT_DIR_NLINK = 0x20, EXT4_RO_COMPAT_EXTRA_ISIZE = 0x40,
              EXT4_RO_COMPAT_METADATA_CSUM = 0x400, EXT4_RO_COMPAT_ORPHAN_PRESENT = 0x10000;
// What a mount for writing understands; others (quota, bigalloc, verity, ...) leave it read-only.
constexpr u32 EXT4_RO_COMPAT_WRITABLE = EXT4_RO_COMPAT_SPARSE_SUPER | EXT4_RO_COMPAT_LARGE_FILE |
                                        EXT4_RO_COMPAT_HUGE_FILE | EXT4_RO_COMPAT_GDT_CSUM | EXT4_RO_COMPAT_DIR_NLINK |
                                        EXT4_RO_COMPAT_EXTRA_ISIZE | EXT4_RO_COMPAT_METADATA_CSUM |
                                        EXT4_RO_COMPAT_ORPHAN_PRESENT;
constexpr u16 EXT4_BG_INODE_UNINIT = 1, EXT4_BG_BLOCK_UNINIT = 2, EXT4_BG_INODE_ZEROED = 4;
constexpr u32 EXT4_FLAGS_SIGNED_HASH = 1, EXT4_FLAGS_UNSIGNED_HASH = 2;
constexpr u16 EXT4_STATE_ERROR = 2;

struct ext4_super_block {
  u32 s_inodes_count, s_blocks_count_lo, s_r_blocks_count_lo, s_free_blocks_count_lo, s_free_inodes_count,
      s_first_data_block, s_log_block_size, s_log_cluster_size, s_blocks_per_group, s_clusters_per_group,
      s_inodes_per_group, s_mtime, s_wtime;
  u16 s_mnt_count, s_max_mnt_count, s_magic, s_state, s_errors, s_minor_rev_level;
  u32 s_lastcheck, s_checkinterval, s_creator_os, s_rev_level;
  u16 s_def_resuid, s_def_resgid;
  u32 s_first_ino;
  u16 s_inode_size, s_block_group_nr;
  u32 s_feature_compat, s_feature_incompat, s_feature_ro_compat;
  u8 s_uuid[16];
  char s_volume_name[16], s_last_mounted[64];
  u32 s_algorithm_usage_bitmap;
  u8 s_prealloc_blocks, s_prealloc_dir_blocks;
  u16 s_reserved_gdt_blocks;
  u8 s_journal_uuid[16];
  u32 s_journal_inum, s_journal_dev, s_last_orphan, s_hash_seed[4];
  u8 s_def_hash_version, s_jnl_backup_type;
  u16 s_desc_size;
  u32 s_default_mount_opts, s_first_meta_bg, s_mkfs_time, s_jnl_blocks[17];
  u32 s_blocks_count_hi, s_r_blocks_count_hi, s_free_blocks_count_hi;
  u16 s_min_extra_isize, s_want_extra_isize;
  u32 s_flags;
  u16 s_raid_stride, s_mmp_update_interval;
  u64 s_mmp_block;
  u32 s_raid_stripe_width;
  u8 s_log_groups_per_flex, s_checksum_type;
  u16 s_reserved_pad;
  u8 s_statistics[0x270 - 0x178];  // counters and error records
  u32 s_checksum_seed;
  u8 s_times_high[0x280 - 0x274];
  u32 s_orphan_file_inum;
  u8 s_reserved[0x3fc - 0x284];
  u32 s_checksum;
};
static_assert(sizeof(ext4_super_block) == 1024);

struct ext4_group_desc {
  u32 bg_block_bitmap_lo, bg_inode_bitmap_lo, bg_inode_table_lo;
  u16 bg_free_blocks_count_lo, bg_free_inodes_count_lo, bg_used_dirs_count_lo, bg_flags;
  u32 bg_exclude_bitmap_lo;
  u16 bg_block_bitmap_csum_lo, bg_inode_bitmap_csum_lo, bg_itable_unused_lo, bg_checksum;
  u32 bg_block_bitmap_hi, bg_inode_bitmap_hi, bg_inode_table_hi;  // from here on with 64bit only
  u16 bg_free_blocks_count_hi, bg_free_inodes_count_hi, bg_used_dirs_count_hi, bg_itable_unused_hi;
  u32 bg_exclude_bitmap_hi;
  u16 bg_block_bitmap_csum_hi, bg_inode_bitmap_csum_hi;
  u32 bg_reserved;
};
static_assert(sizeof(ext4_group_desc) == 64);

constexpr u32 EXT4_INDEX_FL = 0x1000, EXT4_EXTENTS_FL = 0x80000, EXT4_HUGE_FILE_FL = 0x40000,
              EXT4_INLINE_DATA_FL = 0x10000000, EXT4_IMMUTABLE_FL = 0x10, EXT4_APPEND_FL = 0x20, EXT4_NOATIME_FL = 0x80;
struct ext4_inode {
  u16 i_mode, i_uid;
  u32 i_size_lo, i_atime, i_ctime, i_mtime, i_dtime;
  u16 i_gid, i_links_count;
  u32 i_blocks_lo, i_flags, i_version;
  u32 i_block[15];
  u32 i_generation, i_file_acl_lo, i_size_high, i_obso_faddr;
  u16 i_blocks_high, i_file_acl_high, i_uid_high, i_gid_high, i_checksum_lo, i_reserved;
  u16 i_extra_isize, i_checksum_hi;  // from here on in inodes larger than 128 bytes
  u32 i_ctime_extra, i_mtime_extra, i_atime_extra, i_crtime, i_crtime_extra, i_version_hi, i_projid;
};
static_assert(sizeof(ext4_inode) == 160);
constexpr u32 kMaxInodeSize = 1024;

struct ext4_extent_header {
  u16 eh_magic, eh_entries, eh_max, eh_depth;
  u32 eh_generation;
};
struct ext4_extent {
  u32 ee_block;
  u16 ee_len, ee_start_hi;  // ee_len over 32768: allocated but reads as zeros
  u32 ee_start_lo;
};
struct ext4_extent_idx {
  u32 ei_block, ei_leaf_lo;
  u16 ei_leaf_hi, ei_unused;
};
constexpr u16 kMaxInitExtent = 32768;
constexpr u32 kMaxExtentDepth = 5;

struct ext4_dir_entry {
  u32 inode;
  u16 rec_len;
  u8 name_len, file_type;
  char name[];
};
// An indexed directory: block 0 holds ".", ".." and the root of the index; inner nodes are one empty entry, then the
// same table. Entry 0 of a table has limit and count where the others have the hash.
struct ext4_dx_entry {
  u32 hash, block;
};
struct ext4_dx_root_info {
  u32 reserved_zero;
  u8 hash_version, info_length, indirect_levels, unused_flags;
};
constexpr u32 kDxRootInfoAt = 24, kDxRootTableAt = 32, kDxNodeTableAt = 8;

// Extended attributes: in the inode after i_extra_isize (a bare magic first), or in a block with a header.
constexpr u32 EXT4_XATTR_MAGIC = 0xea020000;
struct ext4_xattr_header {
  u32 h_magic, h_refcount, h_blocks, h_hash, h_checksum, h_reserved[3];
};
struct ext4_xattr_entry {
  u8 e_name_len, e_name_index;
  u16 e_value_offs;
  u32 e_value_inum, e_value_size, e_hash;
  char e_name[];
};

// A block of the orphan file: inode numbers, then this. [Linux fs/ext4 orphan file]
struct ext4_orphan_tail {
  u32 ob_magic, ob_checksum;
};
constexpr u32 EXT4_ORPHAN_MAGIC = 0x0b10ca04;

constexpr u8 kDirTailType = 0xde;  // file_type of the false entry that holds a block's checksum

}  // namespace xm::os
