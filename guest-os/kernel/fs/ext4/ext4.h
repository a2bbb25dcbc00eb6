// SPDX-License-Identifier: GPL-2.0-or-later
// ext4 free of hardware and of the VFS: everything declared here works on an ext4_device and is unit-tested on the host
// with images of mke2fs. One lock of the caller covers an ext4_fs (the kernel's is ext4_sb_info::lock); it is held over
// every call except where a comment says otherwise. Functions return 0 or a negative errno.
#pragma once

#include "kernel/fs/ext4/buffer.h"
#include "kernel/fs/ext4/chunk_list.h"
#include "kernel/fs/ext4/format.h"
#include "kernel/lib/result.h"
#include "kernel/lib/types.h"

namespace xm::os {

u32 crc32c(u32 crc, const void* data, size_t n);  // the bare register: no inversion before or after
u16 crc16(u16 crc, const void* data, size_t n);

struct ext4_journal;
struct ext4_block_range {
  u64 block;
  u32 count;
};

// What changed since the last commit.
struct ext4_transaction {
  u32 tid = 1;
  list_head buffers;
  u32 count = 0;
  chunk_list<u64> revoked;             // metadata blocks freed: the journal's older copies of them are void
  chunk_list<ext4_block_range> freed;  // may be used again when this transaction is committed
};

struct ext4_group {
  u8* held = nullptr;  // blocks freed by transactions that are not committed yet: neither used nor usable
  u32 held_count = 0;
};

struct ext4_fs {
  ext4_device* device = nullptr;
  ext4_super_block super;
  u32 block_size = 0, block_bits = 0, inode_size = 0, desc_size = 0, groups = 0, checksum_seed = 0;
  u64 blocks = 0;
  bool has_checksums = false;  // metadata_csum
  bool writable = false;
  int failed = 0;  // negative errno after damage or a failed journal: no more changes
  u64 free_blocks = 0, free_inodes = 0;
  u64 held_blocks = 0;      // of the free ones, those that wait for a commit
  u64 reserved_blocks = 0;  // promised to dirty pages that have no block yet
  ext4_buffer_cache cache;
  ext4_transaction running;
  ext4_group* group = nullptr;
  ext4_buffer** descriptors = nullptr;  // blocks of the descriptor table, pinned
  ext4_buffer* super_buffer = nullptr;
  ext4_journal* journal = nullptr;
  list_head orphans;  // ext4_body::orphan, newest first, as the chain on the disk
  u32 last_group = 0;
  bool has(u32 incompat) const { return (super.s_feature_incompat & incompat) != 0; }
  u32 descs_per_block() const { return block_size / desc_size; }
};

// What is needed to find an inode's data, and the rest of it that this layer changes.
struct ext4_body {
  u32 ino = 0, generation = 0, flags = 0;
  u64 size = 0;  // on the disk; the VFS's i_size may be ahead of it
  u32 block[15]{};
  u64 sectors = 0;         // blocks used, in units of 512 bytes
  u64 file_acl = 0;        // block of extended attributes
  u64 goal = 0;            // where the next block is best taken from
  bool journaled = false;  // its blocks are metadata: a directory, or the text of a symlink
  list_head orphan;
};
struct ext4_attributes {
  umode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  u32 links = 0;
  dev_t rdev = 0;
  u32 version = 0;
  s64 atime = 0, mtime = 0, ctime = 0, crtime = 0;
  u32 atime_ns = 0, mtime_ns = 0, ctime_ns = 0, crtime_ns = 0;
};

// --- super.cc ---
int ext4_open(ext4_fs& fs, ext4_device& device);  // reads and checks; nothing is written
int ext4_open_for_writing(ext4_fs& fs, u32 now);  // replays the journal, starts it, marks the super block
int ext4_write_super(ext4_fs& fs);                // at once, past the journal
void ext4_close(ext4_fs& fs, u32 now);            // everything must be committed; writes what is left, frees memory
int ext4_refuses_writing(const ext4_fs& fs, const char** why);
void ext4_fail(ext4_fs& fs, int error, const char* what, u64 where);  // notes damage: no more changes
int ext4_load_groups(ext4_fs& fs);
int ext4_reload(ext4_fs& fs);  // after a replay: what is in memory may be old
ext4_group_desc* ext4_desc(ext4_fs& fs, u32 group, ext4_buffer** buffer);
void ext4_dirty_super(ext4_fs& fs);
bool ext4_group_has_super(const ext4_fs& fs, u32 group);
u64 ext4_desc_block(const ext4_fs& fs, u32 table_block);

// --- checksum.cc: fills in or verifies the checksum that a block carries ---
void ext4_seal(ext4_fs& fs, ext4_buffer* b);
bool ext4_sealed_well(ext4_fs& fs, const ext4_buffer* b);
u32 ext4_inode_seed(const ext4_fs& fs, u32 ino, u32 generation);
void ext4_seal_inode(const ext4_fs& fs, u32 ino, u8* raw);
bool ext4_inode_sealed_well(const ext4_fs& fs, u32 ino, u8* raw);

// --- buffers of this file system ---
int ext4_bread(ext4_fs& fs, u64 block, ext4_kind kind, u32 seed_or_group, ext4_ref& out);
int ext4_bnew(ext4_fs& fs, u64 block, ext4_kind kind, u32 seed_or_group, ext4_ref& out);  // zeroed
void ext4_dirty(ext4_fs& fs, ext4_buffer* b);  // joins the running transaction
void ext4_forget(ext4_fs& fs, u64 block);      // a metadata block is freed: revoke and drop it

// --- balloc.cc ---
// Up to `want` adjacent blocks, at `goal` if possible; *got is how many.
int ext4_alloc_blocks(ext4_fs& fs, u64 goal, u32 want, u64* first, u32* got);
int ext4_free_blocks(ext4_fs& fs, u64 first, u32 count);
void ext4_release_held(ext4_fs& fs, chunk_list<ext4_block_range>& freed);
u64 ext4_available_blocks(const ext4_fs& fs, bool privileged);
u64 ext4_group_goal(const ext4_fs& fs, u32 ino);
u32 ext4_group_blocks(const ext4_fs& fs, u32 group);

// --- ialloc.cc ---
int ext4_alloc_inode(ext4_fs& fs, u32 parent, bool directory, u32* ino);
int ext4_free_inode(ext4_fs& fs, u32 ino, bool directory);

// --- inode.cc ---
int ext4_raw_inode(ext4_fs& fs, u32 ino, ext4_ref& buffer, u8** raw);
int ext4_read_inode(ext4_fs& fs, u32 ino, ext4_inode& out);
void ext4_fill_body(const ext4_fs& fs, u32 ino, const ext4_inode& raw, ext4_body& out);
int ext4_write_inode(ext4_fs& fs, const ext4_body& body, const ext4_attributes& a);
int ext4_write_body(ext4_fs& fs, const ext4_body& body);  // size, blocks, map; the rest stays
int ext4_init_inode(ext4_fs& fs, const ext4_body& body, const ext4_attributes& a);
int ext4_mark_deleted(ext4_fs& fs, u32 ino, u32 now);
int ext4_orphan_add(ext4_fs& fs, ext4_body& body);
int ext4_orphan_del(ext4_fs& fs, ext4_body& body);

// --- orphan.cc ---
int ext4_process_orphans(ext4_fs& fs, u32 now, u64 now_ns);  // after a crash, before anything else changes

// --- extents.cc, indirect.cc ---
// Where a block of a file is: `count` blocks from `physical` on; 0: a hole. Unwritten blocks read as zeros.
struct ext4_run {
  u64 physical;
  u32 count;
  bool unwritten;
};
int ext4_map(ext4_fs& fs, const ext4_body& body, u32 logical, ext4_run& out);
void ext4_init_map(ext4_body& body);
// Gives `want` blocks from `logical` on, all holes now, a place: as many as are adjacent on the disk (out.count).
int ext4_map_new(ext4_fs& fs, ext4_body& body, u32 logical, u32 want, bool unwritten, ext4_run& out);
int ext4_mark_written(ext4_fs& fs, ext4_body& body, u32 logical, u32 count);
// Frees blocks [from, to) of the file, but not more than about `budget` of metadata work; *from_left tells where it
// ended (going down). Done when it is <= from.
int ext4_unmap(ext4_fs& fs, ext4_body& body, u32 from, u32 to, u32* left);
int ext4_map_indirect(ext4_fs& fs, const ext4_body& body, u32 logical, ext4_run& out);

// --- hash.cc ---
struct ext4_hash {
  u32 major, minor;
};
int ext4_hash_name(const ext4_fs& fs, u8 version, const char* name, u32 length, ext4_hash& out);

// --- dir.cc, htree.cc ---
struct ext4_dir_cursor {
  const u8* block;
  u32 size, offset;
};
// The next entry with an inode, or null at the end; *error becomes -EUCLEAN when the block is damaged.
const ext4_dir_entry* ext4_next_entry(const ext4_fs& fs, ext4_dir_cursor& c, int* error);
int ext4_dir_block(ext4_fs& fs, const ext4_body& dir, u32 logical, ext4_ref& out);
int ext4_find_entry(ext4_fs& fs, const ext4_body& dir, const char* name, u32 length, u32* ino);
int ext4_add_entry(ext4_fs& fs, ext4_body& dir, const char* name, u32 length, u32 ino, u8 type);
int ext4_remove_entry(ext4_fs& fs, ext4_body& dir, const char* name, u32 length);
int ext4_set_entry(ext4_fs& fs, ext4_body& dir, const char* name, u32 length, u32 ino, u8 type);  // another inode
int ext4_make_empty_dir(ext4_fs& fs, ext4_body& dir, u32 parent);
int ext4_dir_is_empty(ext4_fs& fs, const ext4_body& dir);  // 1, 0 or an error
constexpr u8 ext4_file_type(umode_t mode) {
  constexpr u8 kTypes[16] = {0, 5, 3, 0, 2, 0, 4, 0, 1, 0, 7, 0, 6};
  return kTypes[mode >> 12 & 15];
}

// --- xattr.cc ---
ssize_t ext4_xattr_get(ext4_fs& fs, const ext4_body& body, const char* name, void* value, size_t size);
int ext4_xattr_set(ext4_fs& fs, ext4_body& body, const char* name, const void* value, size_t size, int flags);
ssize_t ext4_xattr_list(ext4_fs& fs, const ext4_body& body, char* list, size_t size);
int ext4_xattr_drop_block(ext4_fs& fs, ext4_body& body);  // the inode goes

}  // namespace xm::os
