// SPDX-License-Identifier: GPL-2.0-or-later
// What a crash left half done: inodes without a name are freed, files that were being cut are cut. They are in a chain
// that begins in the super block, or in the orphan file of Linux 5.16 and later. New orphans always go to the chain.
#include "kernel/fs/ext4/groups.h"
#include "kernel/fs/ext4/journal.h"
#include "kernel/init/printk.h"
#include "kernel/lib/string.h"

namespace xm::os {
namespace {

int unmap_from(ext4_fs& fs, ext4_body& body, u32 from, u64 now_ns) {
  if ((body.flags & EXT4_EXTENTS_FL) == 0) return 0;
  for (u32 left = ~0u; left > from;) {
    TRY_INT(ext4_unmap(fs, body, from, left, &left));
    TRY_INT(ext4_write_body(fs, body));
    if (fs.running.count > ext4_transaction_limit(fs) / 2) TRY_INT(ext4_commit_all(fs, now_ns));
  }
  return 0;
}

// *next is the inode that the chain goes on with.
int process(ext4_fs& fs, u32 ino, u32 now, u64 now_ns, u32* next) {
  ext4_inode raw;
  TRY_INT(ext4_read_inode(fs, ino, raw));
  *next = raw.i_dtime;
  ext4_body body;
  ext4_fill_body(fs, ino, raw, body);
  const bool cut_only = raw.i_links_count != 0;
  const u64 kept = cut_only ? div_round_up(body.size, fs.block_size) : 0;
  const bool fast_link = (raw.i_mode & 0xf000) == 0xa000 && body.sectors == 0;
  if (!fast_link && kept <= ~0u) TRY_INT(unmap_from(fs, body, static_cast<u32>(kept), now_ns));
  if (cut_only) return 0;
  TRY_INT(ext4_xattr_drop_block(fs, body));
  body.size = 0;
  TRY_INT(ext4_write_body(fs, body));
  TRY_INT(ext4_mark_deleted(fs, ino, now));
  return ext4_free_inode(fs, ino, (raw.i_mode & 0xf000) == 0x4000);
}

u32 orphan_checksum(const ext4_fs& fs, u32 seed, const ext4_buffer* b) {
  return crc32c(crc32c(seed, &b->block, 8), b->data, fs.block_size - sizeof(ext4_orphan_tail));
}

int process_file(ext4_fs& fs, u32 now, u64 now_ns, u32* count) {
  if ((fs.super.s_feature_compat & EXT4_COMPAT_ORPHAN_FILE) == 0 ||
      (fs.super.s_feature_ro_compat & EXT4_RO_COMPAT_ORPHAN_PRESENT) == 0)
    return 0;
  ext4_inode raw;
  TRY_INT(ext4_read_inode(fs, fs.super.s_orphan_file_inum, raw));
  ext4_body file;
  ext4_fill_body(fs, fs.super.s_orphan_file_inum, raw, file);
  const u32 seed = ext4_inode_seed(fs, file.ino, file.generation);
  for (u32 i = 0; i < file.size >> fs.block_bits; ++i) {
    ext4_run run{};
    TRY_INT(ext4_map(fs, file, i, run));
    if (run.physical == 0) continue;
    ext4_ref block;
    TRY_INT(ext4_bread(fs, run.physical, ext4_kind::Plain, 0, block));
    auto* tail = reinterpret_cast<ext4_orphan_tail*>(block.data() + fs.block_size - sizeof(ext4_orphan_tail));
    if (tail->ob_magic != EXT4_ORPHAN_MAGIC) return -EUCLEAN;
    if (fs.has_checksums && tail->ob_checksum != orphan_checksum(fs, seed, block.get())) return -EUCLEAN;
    u32* entry = reinterpret_cast<u32*>(block.data());
    for (; entry < reinterpret_cast<u32*>(tail); ++entry) {
      if (*entry == 0) continue;
      u32 next;
      TRY_INT(process(fs, *entry, now, now_ns, &next));
      *entry = 0;
      if (fs.has_checksums) tail->ob_checksum = orphan_checksum(fs, seed, block.get());
      ext4_dirty(fs, block.get());
      ++*count;
    }
  }
  fs.super.s_feature_ro_compat &= ~EXT4_RO_COMPAT_ORPHAN_PRESENT;
  ext4_dirty_super(fs);
  return 0;
}

}  // namespace

int ext4_process_orphans(ext4_fs& fs, u32 now, u64 now_ns) {
  u32 count = 0;
  while (fs.super.s_last_orphan != 0 && count < fs.super.s_inodes_count) {
    u32 next = 0;
    const u32 ino = fs.super.s_last_orphan;
    TRY_INT(process(fs, ino, now, now_ns, &next));
    fs.super.s_last_orphan = next;
    ext4_dirty_super(fs);
    ++count;
    if (fs.running.count > ext4_transaction_limit(fs) / 2) TRY_INT(ext4_commit_all(fs, now_ns));
  }
  TRY_INT(process_file(fs, now, now_ns, &count));
  if (count != 0) printk(KERN_INFO "EXT4-fs: %u orphans dealt with\n", count);
  return ext4_commit_all(fs, now_ns);
}

}  // namespace xm::os
