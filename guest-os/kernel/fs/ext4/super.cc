// SPDX-License-Identifier: GPL-2.0-or-later
// The super block and the group descriptors: checking what is on the disk, opening and closing a file system, buffers
// with their checksums, and what happens when damage is found. [Linux Documentation/filesystems/ext4/globals]
#include "kernel/fs/ext4/groups.h"
#include "kernel/fs/ext4/journal.h"
#include "kernel/init/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

int check_geometry(ext4_fs& fs) {
  const ext4_super_block& s = fs.super;
  if (s.s_magic != EXT4_MAGIC) return -EINVAL;
  if (s.s_log_block_size > 2) return -EINVAL;  // blocks larger than a page
  if ((s.s_feature_incompat & ~EXT4_INCOMPAT_KNOWN) != 0) return -EINVAL;
  fs.block_bits = 10 + s.s_log_block_size;
  fs.block_size = 1u << fs.block_bits;
  fs.inode_size = s.s_rev_level == 0 ? 128 : s.s_inode_size;
  fs.desc_size = fs.has(EXT4_INCOMPAT_64BIT) ? s.s_desc_size : 32;
  fs.blocks = s.s_blocks_count_lo | (fs.has(EXT4_INCOMPAT_64BIT) ? static_cast<u64>(s.s_blocks_count_hi) << 32 : 0);
  const bool sane = fs.inode_size >= 128 && fs.inode_size <= min(fs.block_size, kMaxInodeSize) &&
                    (fs.inode_size & (fs.inode_size - 1)) == 0 && fs.desc_size >= 32 && fs.desc_size <= fs.block_size &&
                    (fs.desc_size & (fs.desc_size - 1)) == 0 && s.s_blocks_per_group != 0 &&
                    s.s_blocks_per_group <= fs.block_size * 8 && s.s_inodes_per_group != 0 &&
                    s.s_inodes_per_group <= fs.block_size * 8 && fs.blocks > s.s_first_data_block;
  if (!sane) return -EUCLEAN;
  const u64 groups = div_round_up(fs.blocks - s.s_first_data_block, s.s_blocks_per_group);
  if (groups > ~0u || groups * s.s_inodes_per_group < s.s_inodes_count) return -EUCLEAN;
  fs.groups = static_cast<u32>(groups);
  return 0;
}

// The block with the super block; the device's unit is not known before it is read.
int read_super(ext4_fs& fs) {
  u8* first = static_cast<u8*>(kmalloc(2048));
  if (first == nullptr) return -ENOMEM;
  int error = fs.device->set_block_size(1024);
  if (error == 0) error = fs.device->read(1, first);
  if (error == 0) memcpy(&fs.super, first, sizeof fs.super);
  kfree(first);
  if (error == 0) error = check_geometry(fs);
  return error != 0 ? error : fs.device->set_block_size(fs.block_size);
}

bool counts_sane(const ext4_fs& fs, const ext4_group_desc* d) {
  const u64 table_blocks = div_round_up(static_cast<u64>(fs.super.s_inodes_per_group) * fs.inode_size, fs.block_size);
  const auto inside = [&](u64 first, u64 count) {
    return first > fs.super.s_first_data_block && first < fs.blocks && count <= fs.blocks - first;
  };
  return inside(group_block_bitmap(fs, d), 1) && inside(group_inode_bitmap(fs, d), 1) &&
         inside(group_inode_table(fs, d), table_blocks) && kFreeBlocks.get(fs, d) <= fs.super.s_blocks_per_group &&
         kFreeInodes.get(fs, d) <= fs.super.s_inodes_per_group &&
         kUnusedInodes.get(fs, d) <= fs.super.s_inodes_per_group;
}

void release_memory(ext4_fs& fs) {
  for (u32 g = 0; fs.group != nullptr && g < fs.groups; ++g) kfree(fs.group[g].held);
  kfree(fs.group);
  kfree(fs.descriptors);
  fs.group = nullptr;
  fs.descriptors = nullptr;
  fs.super_buffer = nullptr;
  fs.running.revoked.clear();
  fs.running.freed.clear();
  buffer_cache_destroy(fs.cache);
}

}  // namespace

bool ext4_group_has_super(const ext4_fs& fs, u32 group) {
  if (group == 0) return true;
  if ((fs.super.s_feature_compat & EXT4_COMPAT_SPARSE_SUPER2) != 0) {
    u32 backups[2];  // s_backup_bgs
    memcpy(backups, fs.super.s_statistics + (0x24c - 0x178), sizeof backups);
    return group == backups[0] || group == backups[1];
  }
  if (group == 1 || (fs.super.s_feature_ro_compat & EXT4_RO_COMPAT_SPARSE_SUPER) == 0) return true;
  static constexpr u32 kBases[] = {3, 5, 7};
  for (const u32 base : kBases) {
    u64 power = base;
    while (power < group) power *= base;
    if (power == group) return true;
  }
  return false;
}

u64 ext4_desc_block(const ext4_fs& fs, u32 table_block) {
  if (!fs.has(EXT4_INCOMPAT_META_BG) || table_block < fs.super.s_first_meta_bg)
    return fs.super.s_first_data_block + 1ul + table_block;
  // Each meta group keeps its own block of descriptors, after the super block copy of its first group, if it has one.
  const u32 first = table_block * fs.descs_per_block();
  return group_first_block(fs, first) + (ext4_group_has_super(fs, first) ? 1 : 0);
}

ext4_group_desc* ext4_desc(ext4_fs& fs, u32 group, ext4_buffer** buffer) {
  *buffer = fs.descriptors[group / fs.descs_per_block()];
  return reinterpret_cast<ext4_group_desc*>((*buffer)->data + (group % fs.descs_per_block()) * fs.desc_size);
}

int ext4_load_groups(ext4_fs& fs) {
  const u32 table_blocks = static_cast<u32>(div_round_up(fs.groups, fs.descs_per_block()));
  fs.group = static_cast<ext4_group*>(kzalloc(sizeof(ext4_group) * fs.groups));
  fs.descriptors = static_cast<ext4_buffer**>(kzalloc(sizeof(ext4_buffer*) * table_blocks));
  if (fs.group == nullptr || fs.descriptors == nullptr) return -ENOMEM;
  const u64 super_block = fs.block_size == 1024 ? 1 : 0;
  ext4_ref super;
  TRY_INT(ext4_bread(fs, super_block, fs.has_checksums ? ext4_kind::Super : ext4_kind::Plain, 0, super));
  super.get()->kind = ext4_kind::Super;
  fs.super_buffer = super.get();
  ++fs.super_buffer->refs;
  fs.free_blocks = fs.free_inodes = 0;
  for (u32 t = 0; t < table_blocks; ++t) {
    ext4_ref block;
    TRY_INT(ext4_bread(fs, ext4_desc_block(fs, t), ext4_kind::Descriptors, t * fs.descs_per_block(), block));
    fs.descriptors[t] = block.get();
    ++block.get()->refs;
  }
  for (u32 g = 0; g < fs.groups; ++g) {
    ext4_buffer* unused;
    const ext4_group_desc* d = ext4_desc(fs, g, &unused);
    if (!counts_sane(fs, d)) return -EUCLEAN;
    fs.free_blocks += kFreeBlocks.get(fs, d);
    fs.free_inodes += kFreeInodes.get(fs, d);
  }
  return 0;
}

int ext4_open(ext4_fs& fs, ext4_device& device) {
  fs.device = &device;
  TRY_INT(read_super(fs));
  fs.has_checksums = (fs.super.s_feature_ro_compat & EXT4_RO_COMPAT_METADATA_CSUM) != 0;
  if (fs.has_checksums) {
    if (fs.super.s_checksum_type != 1) return -EINVAL;
    if (crc32c(~0u, &fs.super, offsetof(ext4_super_block, s_checksum)) != fs.super.s_checksum) return -EUCLEAN;
    fs.checksum_seed = fs.has(EXT4_INCOMPAT_CSUM_SEED) ? fs.super.s_checksum_seed : crc32c(~0u, fs.super.s_uuid, 16);
  }
  TRY_INT(buffer_cache_init(fs.cache, fs.block_size));
  const int error = ext4_load_groups(fs);
  if (error != 0) release_memory(fs);
  return error;
}

int ext4_reload(ext4_fs& fs) {
  for (u32 g = 0; g < fs.groups; ++g) kfree(fs.group[g].held);
  kfree(fs.group);
  kfree(fs.descriptors);
  fs.group = nullptr;
  fs.descriptors = nullptr;
  fs.super_buffer = nullptr;
  buffer_cache_destroy(fs.cache);
  TRY_INT(read_super(fs));
  TRY_INT(buffer_cache_init(fs.cache, fs.block_size));
  return ext4_load_groups(fs);
}

int ext4_refuses_writing(const ext4_fs& fs, const char** why) {
  if ((fs.super.s_feature_ro_compat & ~EXT4_RO_COMPAT_WRITABLE) != 0) {
    *why = "it uses features that cannot be written";
  } else if (!fs.has(EXT4_INCOMPAT_EXTENTS)) {
    *why = "files without extents cannot be written";
  } else if (fs.has(EXT4_INCOMPAT_INLINE_DATA)) {
    *why = "inline data cannot be written";
  } else if ((fs.super.s_feature_compat & EXT4_COMPAT_HAS_JOURNAL) != 0 && fs.super.s_journal_inum == 0) {
    *why = "its journal is on another device";
  } else {
    return 0;
  }
  return -EROFS;
}

int ext4_open_for_writing(ext4_fs& fs, u32 now) {
  if ((fs.super.s_feature_compat & EXT4_COMPAT_HAS_JOURNAL) != 0) TRY_INT(ext4_journal_start(fs));
  fs.writable = true;
  fs.super.s_mtime = fs.super.s_wtime = now;
  ++fs.super.s_mnt_count;
  if (fs.journal != nullptr) {
    fs.super.s_feature_incompat |= EXT4_INCOMPAT_RECOVER;
  } else {
    fs.super.s_state = static_cast<u16>(fs.super.s_state & ~EXT4_STATE_CLEAN);
  }
  return ext4_write_super(fs);
}

void ext4_close(ext4_fs& fs, u32 now) {
  if (fs.writable && fs.failed == 0) {
    if (fs.journal != nullptr && ext4_journal_stop(fs) == 0) {
      fs.super.s_feature_incompat &= ~EXT4_INCOMPAT_RECOVER;
    } else if (fs.journal == nullptr) {
      fs.super.s_state |= EXT4_STATE_CLEAN;
    }
    fs.super.s_wtime = now;
    ext4_write_super(fs);
  }
  ext4_journal_free(fs);
  release_memory(fs);
  fs.writable = false;
}

int ext4_write_super(ext4_fs& fs) {
  ext4_seal(fs, fs.super_buffer);
  const ext4_write w{fs.super_buffer->block, fs.super_buffer->data};
  TRY_INT(fs.device->write(&w, 1));
  return fs.device->flush();
}

void ext4_fail(ext4_fs& fs, int error, const char* what, u64 where) {
  printk(KERN_ERR "EXT4-fs error: %s %lu (error %d)\n", what, where, error);
  if (!fs.writable || fs.failed != 0) return;
  fs.failed = error;
  // So that e2fsck looks at everything: written at once, for the journal takes no more transactions.
  fs.super.s_state |= EXT4_STATE_ERROR;
  if (fs.super_buffer != nullptr) ext4_write_super(fs);
}

void ext4_dirty_super(ext4_fs& fs) { ext4_dirty(fs, fs.super_buffer); }

int ext4_bread(ext4_fs& fs, u64 block, ext4_kind kind, u32 seed, ext4_ref& out) {
  if (block >= fs.blocks) return -EUCLEAN;
  ext4_buffer* b = buffer_find(fs.cache, block);
  if (b != nullptr && b->kind == kind && b->seed == seed && b->checked) {
    out.set(fs.cache, b);
    return 0;
  }
  if (b == nullptr) {
    b = buffer_create(fs.cache, block);
    if (b == nullptr) return -ENOMEM;
    if (const int error = fs.device->read(block, b->data); error != 0) {
      b->refs = 0;
      buffer_drop(fs.cache, b);
      return error;
    }
  } else if (!b->dirty.empty() || b->committed != nullptr) {
    buffer_put(fs.cache, b);  // claimed as something else by a live structure: one of the two is wrong
    ext4_fail(fs, -EUCLEAN, "two uses of block", block);
    return -EUCLEAN;
  }
  out.set(fs.cache, b);
  b->kind = kind;
  b->seed = seed;
  if (fs.descriptors != nullptr || kind == ext4_kind::Super || kind == ext4_kind::Descriptors) {
    b->checked = ext4_sealed_well(fs, b);
    if (!b->checked) {
      ext4_fail(fs, -EUCLEAN, "checksum of block", block);
      return -EUCLEAN;
    }
  }
  return 0;
}

int ext4_bnew(ext4_fs& fs, u64 block, ext4_kind kind, u32 seed, ext4_ref& out) {
  if (block >= fs.blocks) return -EUCLEAN;
  ext4_buffer* b = buffer_find(fs.cache, block);
  if (b == nullptr) b = buffer_create(fs.cache, block);
  if (b == nullptr) return -ENOMEM;
  memset(b->data, 0, fs.block_size);
  b->kind = kind;
  b->seed = seed;
  b->checked = true;
  b->forgotten = false;
  out.set(fs.cache, b);
  ext4_dirty(fs, b);
  return 0;
}

void ext4_dirty(ext4_fs& fs, ext4_buffer* b) {
  if (!b->dirty.empty()) return;
  list_add_tail(&b->dirty, &fs.running.buffers);
  ++fs.running.count;
}

void ext4_forget(ext4_fs& fs, u64 block) {
  ext4_buffer* b = buffer_find(fs.cache, block);
  if (fs.journal != nullptr) fs.running.revoked.add(block);
  if (b == nullptr) return;
  if (!b->dirty.empty()) {
    list_del(&b->dirty);
    --fs.running.count;
  }
  b->forgotten = true;
  b->checked = false;
  buffer_put(fs.cache, b);
  if (b->refs == 0 && b->committed == nullptr) buffer_drop(fs.cache, b);
}

}  // namespace xm::os
