// SPDX-License-Identifier: GPL-2.0-or-later
// Checksums of ext4's metadata: crc32c with metadata_csum, crc16 of group descriptors with the older uninit_bg.
// Blocks are sealed once, when their transaction commits. [Linux Documentation/filesystems/ext4/checksums]
#include "kernel/fs/ext4/ext4.h"
#include "kernel/lib/string.h"

namespace xm::os {
namespace {

// Eight tables: table k advances a byte over k more bytes of zeros, so that eight bytes take eight look-ups.
struct CrcTables {
  u32 entry[8][256];
  constexpr CrcTables() : entry{} {
    for (u32 i = 0; i < 256; ++i) {
      u32 crc = i;
      for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
      entry[0][i] = crc;
    }
    for (u32 k = 1; k < 8; ++k) {
      for (u32 i = 0; i < 256; ++i) entry[k][i] = entry[k - 1][i] >> 8 ^ entry[0][entry[k - 1][i] & 0xff];
    }
  }
};
constexpr CrcTables kCrc{};

u32 load32(const void* p) {
  u32 v;
  memcpy(&v, p, 4);
  return v;
}
void store32(void* p, u32 v) { memcpy(p, &v, 4); }

u32 super_checksum(const u8* s) { return crc32c(~0u, s, offsetof(ext4_super_block, s_checksum)); }

// The super block lies at byte 1024 of the device.
u8* super_in(const ext4_fs& fs, const ext4_buffer* b) { return b->data + (fs.block_size == 1024 ? 0 : 1024); }

u16 desc_checksum(const ext4_fs& fs, u32 group, const ext4_group_desc* d) {
  constexpr size_t kAt = offsetof(ext4_group_desc, bg_checksum);
  const u8* raw = reinterpret_cast<const u8*>(d);
  const u16 zero = 0;
  if (fs.has_checksums) {
    u32 crc = crc32c(crc32c(fs.checksum_seed, &group, 4), raw, kAt);
    crc = crc32c(crc32c(crc, &zero, 2), raw + kAt + 2, fs.desc_size - kAt - 2);
    return static_cast<u16>(crc);
  }
  u16 crc = crc16(crc16(crc16(0xffff, fs.super.s_uuid, 16), &group, 4), raw, kAt);
  if (fs.desc_size > kAt + 2) crc = crc16(crc, raw + kAt + 2, fs.desc_size - kAt - 2);
  return crc;
}

// Bitmaps have their checksums in the group's descriptor.
u32 bitmap_checksum(const ext4_fs& fs, const ext4_buffer* b) {
  const u32 bits = b->kind == ext4_kind::BlockBitmap ? fs.super.s_clusters_per_group : fs.super.s_inodes_per_group;
  return crc32c(fs.checksum_seed, b->data, bits / 8);
}
void store_bitmap_checksum(const ext4_fs& fs, ext4_buffer* b, ext4_group_desc* d) {
  const u32 crc = bitmap_checksum(fs, b);
  const bool wide = fs.desc_size >= 60;
  if (b->kind == ext4_kind::BlockBitmap) {
    d->bg_block_bitmap_csum_lo = static_cast<u16>(crc);
    if (wide) d->bg_block_bitmap_csum_hi = static_cast<u16>(crc >> 16);
  } else {
    d->bg_inode_bitmap_csum_lo = static_cast<u16>(crc);
    if (wide) d->bg_inode_bitmap_csum_hi = static_cast<u16>(crc >> 16);
  }
}
bool bitmap_checksum_ok(const ext4_fs& fs, const ext4_buffer* b, const ext4_group_desc* d) {
  const bool blocks = b->kind == ext4_kind::BlockBitmap;
  u32 stored = blocks ? d->bg_block_bitmap_csum_lo : d->bg_inode_bitmap_csum_lo;
  u32 crc = bitmap_checksum(fs, b);
  if (fs.desc_size >= 60) {
    stored |= static_cast<u32>(blocks ? d->bg_block_bitmap_csum_hi : d->bg_inode_bitmap_csum_hi) << 16;
  } else {
    crc &= 0xffff;
  }
  return crc == stored;
}

// Where the table of an index block of a directory is; 0: a block of entries.
u32 dx_table_at(const ext4_fs& fs, const u8* block) {
  const auto* first = reinterpret_cast<const ext4_dir_entry*>(block);
  if (first->rec_len == fs.block_size && first->inode == 0) return kDxNodeTableAt;
  if (first->rec_len != 12) return 0;
  const auto* second = reinterpret_cast<const ext4_dir_entry*>(block + 12);
  const auto* info = reinterpret_cast<const ext4_dx_root_info*>(block + kDxRootInfoAt);
  const bool root = second->rec_len == fs.block_size - 12 && info->reserved_zero == 0 && info->info_length == 8;
  return root ? kDxRootTableAt : 0;
}
bool has_dir_tail(const ext4_fs& fs, const u8* block) {
  const auto* tail = reinterpret_cast<const ext4_dir_entry*>(block + fs.block_size - 12);
  return tail->inode == 0 && tail->rec_len == 12 && tail->name_len == 0 && tail->file_type == kDirTailType;
}
struct DxCount {
  u16 limit, count;
};

// The checksum of a directory block and where it is kept; 0: the block has no room for one.
u32 dir_checksum(const ext4_fs& fs, u32 seed, const u8* block, u32* at) {
  *at = 0;
  if (has_dir_tail(fs, block)) {
    *at = fs.block_size - 4;
    return crc32c(seed, block, fs.block_size - 12);
  }
  const u32 table = dx_table_at(fs, block);
  if (table == 0) return 0;
  DxCount c;
  memcpy(&c, block + table, sizeof c);
  const u32 tail = table + c.limit * 8u;
  if (tail + 8 > fs.block_size || c.count > c.limit) return 0;
  *at = tail + 4;
  const u32 zero = 0;
  u32 crc = crc32c(seed, block, table + c.count * 8u);
  crc = crc32c(crc, block + tail, 4);
  return crc32c(crc, &zero, 4);
}

u32 extent_checksum(const ext4_buffer* b, u32* at) {
  const auto* h = reinterpret_cast<const ext4_extent_header*>(b->data);
  *at = 12 + 12u * h->eh_max;
  return crc32c(b->seed, b->data, *at);
}

u32 xattr_checksum(const ext4_fs& fs, const ext4_buffer* b) {
  constexpr size_t kAt = offsetof(ext4_xattr_header, h_checksum);
  const u32 zero = 0;
  u32 crc = crc32c(crc32c(fs.checksum_seed, &b->block, 8), b->data, kAt);
  crc = crc32c(crc, &zero, 4);
  return crc32c(crc, b->data + kAt + 4, fs.block_size - kAt - 4);
}

u32 inode_checksum(const ext4_fs& fs, u32 ino, const u8* raw, bool wide) {
  const auto* i = reinterpret_cast<const ext4_inode*>(raw);
  constexpr size_t kLow = offsetof(ext4_inode, i_checksum_lo), kHigh = offsetof(ext4_inode, i_checksum_hi);
  const u16 zero = 0;
  u32 crc = ext4_inode_seed(fs, ino, i->i_generation);
  crc = crc32c(crc32c(crc, raw, kLow), &zero, 2);
  crc = crc32c(crc, raw + kLow + 2, 128 - kLow - 2);
  if (fs.inode_size == 128) return crc;
  crc = crc32c(crc, raw + 128, kHigh - 128);
  crc = wide ? crc32c(crc, &zero, 2) : crc32c(crc, raw + kHigh, 2);
  return crc32c(crc, raw + kHigh + 2, fs.inode_size - kHigh - 2);
}
bool has_wide_checksum(const ext4_fs& fs, const u8* raw) {
  return fs.inode_size > 128 && reinterpret_cast<const ext4_inode*>(raw)->i_extra_isize >= 4;
}

}  // namespace

u32 crc32c(u32 crc, const void* data, size_t n) {
  const u8* p = static_cast<const u8*>(data);
  for (; n >= 8; n -= 8, p += 8) {
    u64 v;
    memcpy(&v, p, 8);
    v ^= crc;
    crc = kCrc.entry[7][v & 0xff] ^ kCrc.entry[6][v >> 8 & 0xff] ^ kCrc.entry[5][v >> 16 & 0xff] ^
          kCrc.entry[4][v >> 24 & 0xff] ^ kCrc.entry[3][v >> 32 & 0xff] ^ kCrc.entry[2][v >> 40 & 0xff] ^
          kCrc.entry[1][v >> 48 & 0xff] ^ kCrc.entry[0][v >> 56];
  }
  while (n-- > 0) crc = crc >> 8 ^ kCrc.entry[0][(crc ^ *p++) & 0xff];
  return crc;
}

u16 crc16(u16 crc, const void* data, size_t n) {
  const u8* p = static_cast<const u8*>(data);
  while (n-- > 0) {
    crc = static_cast<u16>(crc ^ *p++);
    for (int bit = 0; bit < 8; ++bit) crc = static_cast<u16>(crc >> 1 ^ ((crc & 1) != 0 ? 0xa001 : 0));
  }
  return crc;
}

u32 ext4_inode_seed(const ext4_fs& fs, u32 ino, u32 generation) {
  return crc32c(crc32c(fs.checksum_seed, &ino, 4), &generation, 4);
}

void ext4_seal_inode(const ext4_fs& fs, u32 ino, u8* raw) {
  if (!fs.has_checksums) return;
  auto* i = reinterpret_cast<ext4_inode*>(raw);
  const bool wide = has_wide_checksum(fs, raw);
  const u32 crc = inode_checksum(fs, ino, raw, wide);
  i->i_checksum_lo = static_cast<u16>(crc);
  if (wide) i->i_checksum_hi = static_cast<u16>(crc >> 16);
}

bool ext4_inode_sealed_well(const ext4_fs& fs, u32 ino, u8* raw) {
  if (!fs.has_checksums) return true;
  const auto* i = reinterpret_cast<const ext4_inode*>(raw);
  const bool wide = has_wide_checksum(fs, raw);
  const u32 crc = inode_checksum(fs, ino, raw, wide);
  return wide ? crc == (i->i_checksum_lo | static_cast<u32>(i->i_checksum_hi) << 16)
              : (crc & 0xffff) == i->i_checksum_lo;
}

void ext4_seal(ext4_fs& fs, ext4_buffer* b) {
  u32 at = 0, crc = 0;
  switch (b->kind) {
    case ext4_kind::Super:
      fs.super.s_free_blocks_count_lo = static_cast<u32>(fs.free_blocks);
      if (fs.has(EXT4_INCOMPAT_64BIT)) fs.super.s_free_blocks_count_hi = static_cast<u32>(fs.free_blocks >> 32);
      fs.super.s_free_inodes_count = static_cast<u32>(fs.free_inodes);
      if (fs.has_checksums) fs.super.s_checksum = super_checksum(reinterpret_cast<u8*>(&fs.super));
      memcpy(super_in(fs, b), &fs.super, sizeof fs.super);
      break;
    case ext4_kind::Descriptors:
      if (!fs.has_checksums && (fs.super.s_feature_ro_compat & EXT4_RO_COMPAT_GDT_CSUM) == 0) break;
      for (u32 i = 0; i < fs.descs_per_block() && b->seed + i < fs.groups; ++i) {
        auto* d = reinterpret_cast<ext4_group_desc*>(b->data + i * fs.desc_size);
        d->bg_checksum = desc_checksum(fs, b->seed + i, d);
      }
      break;
    case ext4_kind::BlockBitmap:
    case ext4_kind::InodeBitmap: {
      if (!fs.has_checksums) break;
      ext4_buffer* table = nullptr;
      store_bitmap_checksum(fs, b, ext4_desc(fs, b->seed, &table));
      break;
    }
    case ext4_kind::Directory:
      if (!fs.has_checksums) break;
      crc = dir_checksum(fs, b->seed, b->data, &at);
      if (at != 0) store32(b->data + at, crc);
      break;
    case ext4_kind::Extents:
      if (!fs.has_checksums) break;
      crc = extent_checksum(b, &at);
      if (at + 4 <= fs.block_size) store32(b->data + at, crc);
      break;
    case ext4_kind::Xattr:
      if (fs.has_checksums) reinterpret_cast<ext4_xattr_header*>(b->data)->h_checksum = xattr_checksum(fs, b);
      break;
    case ext4_kind::InodeTable:
    case ext4_kind::Plain: break;
  }
}

bool ext4_sealed_well(ext4_fs& fs, const ext4_buffer* b) {
  u32 at = 0;
  if (b->kind == ext4_kind::Descriptors) {
    if (!fs.has_checksums && (fs.super.s_feature_ro_compat & EXT4_RO_COMPAT_GDT_CSUM) == 0) return true;
    for (u32 i = 0; i < fs.descs_per_block() && b->seed + i < fs.groups; ++i) {
      const auto* d = reinterpret_cast<const ext4_group_desc*>(b->data + i * fs.desc_size);
      if (d->bg_checksum != desc_checksum(fs, b->seed + i, d)) return false;
    }
    return true;
  }
  if (!fs.has_checksums) return true;
  switch (b->kind) {
    case ext4_kind::Super:
      return load32(super_in(fs, b) + offsetof(ext4_super_block, s_checksum)) == super_checksum(super_in(fs, b));
    case ext4_kind::BlockBitmap:
    case ext4_kind::InodeBitmap: {
      ext4_buffer* table = nullptr;
      return bitmap_checksum_ok(fs, b, ext4_desc(fs, b->seed, &table));
    }
    case ext4_kind::Directory: {
      const u32 crc = dir_checksum(fs, b->seed, b->data, &at);
      return at == 0 || load32(b->data + at) == crc;
    }
    case ext4_kind::Extents: {
      const auto* h = reinterpret_cast<const ext4_extent_header*>(b->data);
      if (12 + 12u * h->eh_max + 4 > fs.block_size) return false;
      const u32 crc = extent_checksum(b, &at);
      return load32(b->data + at) == crc;
    }
    case ext4_kind::Xattr:
      return reinterpret_cast<const ext4_xattr_header*>(b->data)->h_checksum == xattr_checksum(fs, b);
    default: return true;
  }
}

}  // namespace xm::os
