// SPDX-License-Identifier: GPL-2.0-or-later
// Inodes on the disk: the table, reading and writing one, and the chain of orphans (inodes without a name that are
// still open or being cut: whoever mounts after a crash finishes the work).
#include "kernel/fs/ext4/groups.h"
#include "kernel/lib/string.h"

namespace xm::os {
namespace {

u32 extra_time(s64 seconds, u32 ns) {
  return static_cast<u32>((seconds - static_cast<s32>(seconds)) >> 32 & 3) | ns << 2;
}

void store_map(ext4_inode* i, const ext4_fs& fs, const ext4_body& body) {
  i->i_size_lo = static_cast<u32>(body.size);
  i->i_size_high = static_cast<u32>(body.size >> 32);
  memcpy(i->i_block, body.block, sizeof i->i_block);
  i->i_flags = body.flags & ~EXT4_HUGE_FILE_FL;
  u64 count = body.sectors;
  if (count >> 48 != 0) {
    count >>= fs.block_bits - 9;
    i->i_flags |= EXT4_HUGE_FILE_FL;
  }
  i->i_blocks_lo = static_cast<u32>(count);
  i->i_blocks_high = static_cast<u16>(count >> 32);
  i->i_file_acl_lo = static_cast<u32>(body.file_acl);
  i->i_file_acl_high = static_cast<u16>(body.file_acl >> 32);
}

void store_attributes(ext4_inode* i, const ext4_fs& fs, const ext4_attributes& a) {
  i->i_mode = static_cast<u16>(a.mode);
  i->i_uid = static_cast<u16>(a.uid);
  i->i_uid_high = static_cast<u16>(a.uid >> 16);
  i->i_gid = static_cast<u16>(a.gid);
  i->i_gid_high = static_cast<u16>(a.gid >> 16);
  i->i_links_count = static_cast<u16>(a.links);
  i->i_atime = static_cast<u32>(a.atime);
  i->i_mtime = static_cast<u32>(a.mtime);
  i->i_ctime = static_cast<u32>(a.ctime);
  if (fs.inode_size > 128 && i->i_extra_isize >= sizeof(ext4_inode) - 128 - 8) {
    i->i_atime_extra = extra_time(a.atime, a.atime_ns);
    i->i_mtime_extra = extra_time(a.mtime, a.mtime_ns);
    i->i_ctime_extra = extra_time(a.ctime, a.ctime_ns);
    i->i_crtime = static_cast<u32>(a.crtime);
    i->i_crtime_extra = extra_time(a.crtime, a.crtime_ns);
  }
}

int set_next_orphan(ext4_fs& fs, u32 ino, u32 next) {
  ext4_ref buffer;
  u8* raw;
  TRY_INT(ext4_raw_inode(fs, ino, buffer, &raw));
  reinterpret_cast<ext4_inode*>(raw)->i_dtime = next;
  ext4_seal_inode(fs, ino, raw);
  ext4_dirty(fs, buffer.get());
  return 0;
}

}  // namespace

int ext4_raw_inode(ext4_fs& fs, u32 ino, ext4_ref& buffer, u8** raw) {
  if (ino == 0 || ino > fs.super.s_inodes_count) return -EUCLEAN;
  const u32 group = (ino - 1) / fs.super.s_inodes_per_group, index = (ino - 1) % fs.super.s_inodes_per_group;
  if (group >= fs.groups) return -EUCLEAN;
  ext4_buffer* table;
  const u64 at = static_cast<u64>(index) * fs.inode_size;
  const u64 block = group_inode_table(fs, ext4_desc(fs, group, &table)) + (at >> fs.block_bits);
  TRY_INT(ext4_bread(fs, block, ext4_kind::InodeTable, group, buffer));
  *raw = buffer.data() + (at & (fs.block_size - 1));
  return 0;
}

int ext4_read_inode(ext4_fs& fs, u32 ino, ext4_inode& out) {
  ext4_ref buffer;
  u8* raw;
  TRY_INT(ext4_raw_inode(fs, ino, buffer, &raw));
  if (!ext4_inode_sealed_well(fs, ino, raw)) return -EUCLEAN;
  out = {};
  memcpy(&out, raw, min<u32>(fs.inode_size, sizeof out));
  if (fs.inode_size > 128 && out.i_extra_isize < sizeof out - 128) {  // fields that this inode does not have
    const u32 known = 128u + max<u32>(out.i_extra_isize, 4);
    memset(reinterpret_cast<u8*>(&out) + known, 0, sizeof out - min<u32>(known, sizeof out));
  }
  return 0;
}

void ext4_fill_body(const ext4_fs& fs, u32 ino, const ext4_inode& raw, ext4_body& b) {
  b.ino = ino;
  b.generation = raw.i_generation;
  b.flags = raw.i_flags;
  b.size = raw.i_size_lo | static_cast<u64>(raw.i_size_high) << 32;
  memcpy(b.block, raw.i_block, sizeof b.block);
  b.sectors = raw.i_blocks_lo | static_cast<u64>(raw.i_blocks_high) << 32;
  if ((raw.i_flags & EXT4_HUGE_FILE_FL) != 0) b.sectors <<= fs.block_bits - 9;
  b.journaled = (raw.i_mode & 0xf000) == 0x4000 || (raw.i_mode & 0xf000) == 0xa000;
  b.file_acl = raw.i_file_acl_lo | static_cast<u64>(raw.i_file_acl_high) << 32;
}

int ext4_write_inode(ext4_fs& fs, const ext4_body& body, const ext4_attributes& a) {
  ext4_ref buffer;
  u8* raw;
  TRY_INT(ext4_raw_inode(fs, body.ino, buffer, &raw));
  auto* i = reinterpret_cast<ext4_inode*>(raw);
  store_map(i, fs, body);
  store_attributes(i, fs, a);
  ext4_seal_inode(fs, body.ino, raw);
  ext4_dirty(fs, buffer.get());
  return 0;
}

int ext4_write_body(ext4_fs& fs, const ext4_body& body) {
  ext4_ref buffer;
  u8* raw;
  TRY_INT(ext4_raw_inode(fs, body.ino, buffer, &raw));
  store_map(reinterpret_cast<ext4_inode*>(raw), fs, body);
  ext4_seal_inode(fs, body.ino, raw);
  ext4_dirty(fs, buffer.get());
  return 0;
}

int ext4_init_inode(ext4_fs& fs, const ext4_body& body, const ext4_attributes& a) {
  ext4_ref buffer;
  u8* raw;
  TRY_INT(ext4_raw_inode(fs, body.ino, buffer, &raw));
  memset(raw, 0, fs.inode_size);
  auto* i = reinterpret_cast<ext4_inode*>(raw);
  i->i_generation = body.generation;
  if (fs.inode_size > 128) {
    const u16 wanted =
        (fs.super.s_feature_ro_compat & EXT4_RO_COMPAT_EXTRA_ISIZE) != 0 ? fs.super.s_want_extra_isize : 0;
    i->i_extra_isize = clamp<u16>(wanted, 28, 32);
  }
  return ext4_write_inode(fs, body, a);
}

int ext4_mark_deleted(ext4_fs& fs, u32 ino, u32 now) {
  ext4_ref buffer;
  u8* raw;
  TRY_INT(ext4_raw_inode(fs, ino, buffer, &raw));
  auto* i = reinterpret_cast<ext4_inode*>(raw);
  i->i_links_count = 0;
  i->i_dtime = now;
  ext4_seal_inode(fs, ino, raw);
  ext4_dirty(fs, buffer.get());
  return 0;
}

int ext4_orphan_add(ext4_fs& fs, ext4_body& body) {
  if (!body.orphan.empty()) return 0;
  TRY_INT(set_next_orphan(fs, body.ino, fs.super.s_last_orphan));
  fs.super.s_last_orphan = body.ino;
  ext4_dirty_super(fs);
  list_add(&body.orphan, &fs.orphans);
  return 0;
}

int ext4_orphan_del(ext4_fs& fs, ext4_body& body) {
  if (body.orphan.empty()) return 0;
  const list_head* older = body.orphan.next;
  const u32 next = older == &fs.orphans ? 0 : list_entry<&ext4_body::orphan>(body.orphan.next)->ino;
  list_head* newer = body.orphan.prev;
  list_del(&body.orphan);
  if (newer == &fs.orphans) {
    fs.super.s_last_orphan = next;
    ext4_dirty_super(fs);
  } else {
    TRY_INT(set_next_orphan(fs, list_entry<&ext4_body::orphan>(newer)->ino, next));
  }
  return set_next_orphan(fs, body.ino, 0);
}

}  // namespace xm::os
