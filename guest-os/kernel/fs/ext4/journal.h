// SPDX-License-Identifier: GPL-2.0-or-later
// The journal, in jbd2's format. A transaction is sealed and copied while the file system is locked (begin), written to
// the log while it is not (write), and then its blocks are free to go to their places (end, checkpoint). Commits of one
// file system never overlap: the caller sees to that.
#pragma once

#include "kernel/fs/ext4/ext4.h"

namespace xm::os {

// All numbers are big-endian on the disk. [Linux Documentation/filesystems/ext4/journal]
constexpr u32 JBD2_MAGIC = 0xc03b3998;
constexpr u32 JBD2_DESCRIPTOR_BLOCK = 1, JBD2_COMMIT_BLOCK = 2, JBD2_SUPERBLOCK_V1 = 3, JBD2_SUPERBLOCK_V2 = 4,
              JBD2_REVOKE_BLOCK = 5;
constexpr u32 JBD2_INCOMPAT_REVOKE = 1, JBD2_INCOMPAT_64BIT = 2, JBD2_INCOMPAT_ASYNC_COMMIT = 4,
              JBD2_INCOMPAT_CSUM_V2 = 8, JBD2_INCOMPAT_CSUM_V3 = 0x10, JBD2_INCOMPAT_FAST_COMMIT = 0x20;
constexpr u32 JBD2_COMPAT_CHECKSUM = 1;
constexpr u32 JBD2_FLAG_ESCAPE = 1, JBD2_FLAG_SAME_UUID = 2, JBD2_FLAG_LAST_TAG = 8;

struct jbd2_header {
  u32 h_magic, h_blocktype, h_sequence;
};
struct jbd2_super {
  jbd2_header header;
  u32 s_blocksize, s_maxlen, s_first, s_sequence, s_start, s_errno;
  u32 s_feature_compat, s_feature_incompat, s_feature_ro_compat;
  u8 s_uuid[16];
  u32 s_nr_users, s_dynsuper, s_max_transaction, s_max_trans_data;
  u8 s_checksum_type, s_padding2[3];
  u32 s_num_fc_blks, s_head, s_padding[40], s_checksum;
  u8 s_users[768];
};
static_assert(sizeof(jbd2_super) == 1024);

struct ext4_journal {
  u64* blocks = nullptr;  // where each block of the journal file lies
  u32 length = 0;         // blocks in it; the log is [first, last)
  u32 first = 0, last = 0;
  u32 head = 0;      // next block of the log to write
  u32 used = 0;      // blocks of the log that hold transactions not checkpointed yet
  u32 sequence = 1;  // of the next transaction
  bool started = false;
  jbd2_super super;
  u32 checksum_seed = 0;
  u32 capacity() const { return last - first - 1; }
  bool has(u32 incompat) const { return (__builtin_bswap32(super.s_feature_incompat) & incompat) != 0; }
};

struct ext4_image {
  ext4_buffer* buffer;
  u64 block;
  u8* data;  // the buffer's committed copy
};
struct ext4_commit_record {
  u32 tid = 0;
  u64 now_ns = 0;
  chunk_list<ext4_image> images;
  chunk_list<u64> revoked;
  chunk_list<ext4_block_range> freed;
};

int ext4_journal_start(ext4_fs& fs);  // loads, replays, begins a new log
int ext4_journal_stop(ext4_fs& fs);   // checkpoints and marks it empty
void ext4_journal_free(ext4_fs& fs);
u32 ext4_transaction_limit(const ext4_fs& fs);  // blocks that one transaction may hold

bool ext4_has_changes(const ext4_fs& fs);
int ext4_commit_begin(ext4_fs& fs, ext4_commit_record& c);            // locked
int ext4_commit_write(ext4_fs& fs, ext4_commit_record& c);            // not locked
void ext4_commit_end(ext4_fs& fs, ext4_commit_record& c, int error);  // locked
int ext4_checkpoint(ext4_fs& fs);                                     // locked; every committed copy goes to its place
int ext4_commit_all(ext4_fs& fs, u64 now_ns);                         // the three steps in one, all locked

// --- recovery.cc ---
struct ext4_recovery {
  u32 transactions = 0, replayed = 0, revoked = 0;
  u32 next_sequence = 0;
};
int ext4_recover(ext4_fs& fs, ext4_journal& j, ext4_recovery& out);
struct jbd2_tag {
  u64 block;
  u32 flags, checksum;
};
u32 jbd2_tag_size(const ext4_journal& j);
void jbd2_get_tag(const ext4_journal& j, const u8* at, jbd2_tag& out);
bool jbd2_has_checksums(const ext4_journal& j);

}  // namespace xm::os
