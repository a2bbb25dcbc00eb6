// SPDX-License-Identifier: GPL-2.0-or-later
// Finding one's way: super block, group descriptors, inodes, with their checksums. Free of hardware.
// GAP: the crc16 of group descriptors (uninit_bg without metadata_csum) is not checked.
#include "kernel/fs/ext4/ext4.h"
#include "kernel/lib/string.h"

namespace xm::os {
namespace {

constexpr u64 kSuperOffset = 1024;

constexpr u32 crc_of_byte(u32 byte) {
  for (int bit = 0; bit < 8; ++bit) byte = byte >> 1 ^ ((byte & 1) != 0 ? 0x82f63b78u : 0);
  return byte;
}
struct CrcTable {
  u32 entry[256];
  constexpr CrcTable() : entry{} {
    for (u32 i = 0; i < 256; ++i) entry[i] = crc_of_byte(i);
  }
};
constexpr CrcTable kCrcTable{};

int check_geometry(ext4_geometry& g) {
  const ext4_super_block& s = g.super;
  if (s.s_magic != EXT4_MAGIC) return -EINVAL;
  if (s.s_log_block_size > 2) return -EINVAL;  // blocks larger than a page
  if ((s.s_feature_incompat & ~EXT4_INCOMPAT_KNOWN) != 0) return -EINVAL;
  g.block_bits = 10 + s.s_log_block_size;
  g.block_size = 1u << g.block_bits;
  g.inode_size = s.s_rev_level == 0 ? 128 : s.s_inode_size;
  g.desc_size = g.has(EXT4_INCOMPAT_64BIT) ? s.s_desc_size : 32;
  g.blocks = s.s_blocks_count_lo | (g.has(EXT4_INCOMPAT_64BIT) ? static_cast<u64>(s.s_blocks_count_hi) << 32 : 0);
  const bool sane = g.inode_size >= 128 && g.inode_size <= min(g.block_size, kMaxInodeSize) &&
                    (g.inode_size & (g.inode_size - 1)) == 0 && g.desc_size >= 32 && g.desc_size <= g.block_size &&
                    (g.desc_size & (g.desc_size - 1)) == 0 && s.s_blocks_per_group != 0 &&
                    s.s_blocks_per_group <= g.block_size * 8 && s.s_inodes_per_group != 0 &&
                    s.s_inodes_per_group <= g.block_size * 8 && g.blocks > s.s_first_data_block;
  if (!sane) return -EUCLEAN;
  const u64 groups = div_round_up(g.blocks - s.s_first_data_block, s.s_blocks_per_group);
  if (groups > ~0u || groups * s.s_inodes_per_group < s.s_inodes_count) return -EUCLEAN;
  g.groups = static_cast<u32>(groups);
  return 0;
}

bool inode_checksum_ok(const ext4_geometry& g, u32 ino, u8* raw) {
  ext4_inode& i = *reinterpret_cast<ext4_inode*>(raw);
  const bool wide = g.inode_size > 128 && i.i_extra_isize >= 4;
  const u32 stored = i.i_checksum_lo | (wide ? static_cast<u32>(i.i_checksum_hi) << 16 : 0);
  i.i_checksum_lo = 0;
  if (wide) i.i_checksum_hi = 0;
  u32 crc = crc32c(g.checksum_seed, &ino, 4);
  crc = crc32c(crc, &i.i_generation, 4);
  crc = crc32c(crc, raw, g.inode_size);
  return wide ? crc == stored : (crc & 0xffff) == stored;
}

}  // namespace

u32 crc32c(u32 crc, const void* data, size_t n) {
  const u8* p = static_cast<const u8*>(data);
  while (n-- > 0) crc = crc >> 8 ^ kCrcTable.entry[(crc ^ *p++) & 0xff];
  return crc;
}

int ext4_read_super(ext4_geometry& g, const ext4_source& source) {
  g.source = &source;
  TRY_INT(source.read(kSuperOffset, &g.super, sizeof g.super));
  TRY_INT(check_geometry(g));
  g.has_checksums = (g.super.s_feature_ro_compat & EXT4_RO_COMPAT_METADATA_CSUM) != 0;
  if (!g.has_checksums) return 0;
  if (g.super.s_checksum_type != 1) return -EINVAL;
  if (crc32c(~0u, &g.super, offsetof(ext4_super_block, s_checksum)) != g.super.s_checksum) return -EUCLEAN;
  g.checksum_seed = g.has(EXT4_INCOMPAT_CSUM_SEED) ? g.super.s_checksum_seed : crc32c(~0u, g.super.s_uuid, 16);
  return 0;
}

u64 ext4_group_desc_offset(const ext4_geometry& g, u32 group) {
  const u32 per_block = g.block_size / g.desc_size, table_block = group / per_block;
  u64 block = g.super.s_first_data_block + 1ul + table_block;
  if (g.has(EXT4_INCOMPAT_META_BG) && table_block >= g.super.s_first_meta_bg) {
    // Each meta group keeps its own block of descriptors, after the super block copy of its first group, if that has
    // one: groups 0, 1 and powers of 3, 5, 7.
    const u32 first = table_block * per_block;
    bool has_super = first <= 1 || (g.super.s_feature_ro_compat & 1) == 0;
    static constexpr u32 kBases[] = {3, 5, 7};
    for (const u32 base : kBases) {
      u64 power = base;
      while (power < first) power *= base;
      has_super = has_super || power == first;
    }
    block = g.super.s_first_data_block + static_cast<u64>(first) * g.super.s_blocks_per_group + (has_super ? 1 : 0);
  }
  return (block << g.block_bits) + static_cast<u64>(group % per_block) * g.desc_size;
}

int ext4_read_group(const ext4_geometry& g, u32 group, ext4_group_desc& out) {
  if (group >= g.groups) return -EUCLEAN;
  out = {};
  TRY_INT(g.source->read(ext4_group_desc_offset(g, group), &out, min<u32>(g.desc_size, sizeof out)));
  if (!g.has_checksums) return 0;
  ext4_group_desc copy = out;
  copy.bg_checksum = 0;
  const u32 crc = crc32c(crc32c(g.checksum_seed, &group, 4), &copy, min<u32>(g.desc_size, sizeof copy));
  return (crc & 0xffff) == out.bg_checksum ? 0 : -EUCLEAN;
}

int ext4_read_inode(const ext4_geometry& g, u32 ino, ext4_inode& out) {
  if (ino == 0 || ino > g.super.s_inodes_count) return -EUCLEAN;
  const u32 group = (ino - 1) / g.super.s_inodes_per_group, index = (ino - 1) % g.super.s_inodes_per_group;
  ext4_group_desc desc;
  TRY_INT(ext4_read_group(g, group, desc));
  const u64 table = desc.bg_inode_table_lo | static_cast<u64>(desc.bg_inode_table_hi) << 32;
  if (table >= g.blocks) return -EUCLEAN;
  alignas(8) u8 raw[kMaxInodeSize];
  TRY_INT(g.source->read((table << g.block_bits) + static_cast<u64>(index) * g.inode_size, raw, g.inode_size));
  out = {};
  memcpy(&out, raw, min<u32>(g.inode_size, sizeof out));
  if (g.inode_size > 128 && out.i_extra_isize < sizeof out - 128) {  // fields that this inode does not have
    const u32 known = 128u + max<u32>(out.i_extra_isize, 4);
    memset(reinterpret_cast<u8*>(&out) + known, 0, sizeof out - min<u32>(known, sizeof out));
  }
  return !g.has_checksums || inode_checksum_ok(g, ino, raw) ? 0 : -EUCLEAN;
}

ext4_body ext4_body_of(u32 ino, const ext4_inode& raw) {
  ext4_body b;
  b.ino = ino;
  b.generation = raw.i_generation;
  b.flags = raw.i_flags;
  b.size = raw.i_size_lo | static_cast<u64>(raw.i_size_high) << 32;
  memcpy(b.block, raw.i_block, sizeof b.block);
  return b;
}

u64 ext4_inode_blocks(const ext4_geometry& g, const ext4_inode& raw) {
  const u64 n = raw.i_blocks_lo | static_cast<u64>(raw.i_blocks_high) << 32;
  return (raw.i_flags & EXT4_HUGE_FILE_FL) != 0 ? n << (g.block_bits - 9) : n;
}

}  // namespace xm::os
