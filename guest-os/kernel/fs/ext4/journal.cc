// SPDX-License-Identifier: GPL-2.0-or-later
// Commits and checkpoints. A commit copies every changed block, so that new changes need not wait for the writing; the
// copies go to the log, and later (when the log or memory runs short, or at unmount) to their places, all at once: then
// the log is empty again.
#include "kernel/fs/ext4/journal.h"

#include "kernel/fs/ext4/groups.h"
#include "kernel/init/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/vmalloc.h"

namespace xm::os {
namespace {

constexpr u32 kWritesAtOnce = 64;

u32 be(u32 v) { return __builtin_bswap32(v); }
void put32(u8* at, u64 v) {
  const u32 swapped = be(static_cast<u32>(v));
  memcpy(at, &swapped, 4);
}

int write_super(ext4_fs& fs, ext4_journal& j) {
  u8* block = static_cast<u8*>(kzalloc(fs.block_size, GFP_NOFS));
  if (block == nullptr) return -ENOMEM;
  j.super.s_checksum = 0;
  if (jbd2_has_checksums(j)) j.super.s_checksum = be(crc32c(~0u, &j.super, sizeof j.super));
  memcpy(block, &j.super, sizeof j.super);
  const ext4_write w{j.blocks[0], block};
  int error = fs.device->write(&w, 1);
  if (error == 0) error = fs.device->flush();
  kfree(block);
  return error;
}

int map_journal(ext4_fs& fs, ext4_journal& j) {
  ext4_inode raw;
  TRY_INT(ext4_read_inode(fs, fs.super.s_journal_inum, raw));
  ext4_body body;
  ext4_fill_body(fs, fs.super.s_journal_inum, raw, body);
  const u64 length = body.size >> fs.block_bits;
  if (length < 64 || length > 1u << 24) return -EUCLEAN;
  j.length = static_cast<u32>(length);
  j.blocks = static_cast<u64*>(vmalloc(length * sizeof(u64)));
  if (j.blocks == nullptr) return -ENOMEM;
  for (u32 at = 0; at < j.length;) {
    ext4_run run{};
    TRY_INT(ext4_map(fs, body, at, run));
    if (run.physical == 0 || run.count == 0) return -EUCLEAN;
    for (u32 i = 0; i < run.count && at < j.length; ++i) j.blocks[at++] = run.physical + i;
  }
  return 0;
}

int read_super(ext4_fs& fs, ext4_journal& j) {
  u8* block = static_cast<u8*>(kmalloc(fs.block_size));
  if (block == nullptr) return -ENOMEM;
  const int error = fs.device->read(j.blocks[0], block);
  memcpy(&j.super, block, sizeof j.super);
  kfree(block);
  if (error != 0) return error;
  const u32 type = be(j.super.header.h_blocktype);
  if (be(j.super.header.h_magic) != JBD2_MAGIC || be(j.super.s_blocksize) != fs.block_size) return -EUCLEAN;
  if (type == JBD2_SUPERBLOCK_V1) {  // the fields of version 2 are not valid
    memset(reinterpret_cast<u8*>(&j.super) + 36, 0, sizeof j.super - 36);
    j.super.header.h_blocktype = be(JBD2_SUPERBLOCK_V2);
  } else if (type != JBD2_SUPERBLOCK_V2) {
    return -EUCLEAN;
  }
  constexpr u32 kKnown = JBD2_INCOMPAT_REVOKE | JBD2_INCOMPAT_64BIT | JBD2_INCOMPAT_ASYNC_COMMIT |
                         JBD2_INCOMPAT_CSUM_V2 | JBD2_INCOMPAT_CSUM_V3 | JBD2_INCOMPAT_FAST_COMMIT;
  if ((be(j.super.s_feature_incompat) & ~kKnown) != 0) return -EINVAL;
  if (jbd2_has_checksums(j)) {
    const u32 stored = j.super.s_checksum;
    j.super.s_checksum = 0;
    const u32 crc = be(crc32c(~0u, &j.super, sizeof j.super));
    if (crc != stored || j.super.s_checksum_type != 4) return -EUCLEAN;
  }
  j.checksum_seed = crc32c(~0u, j.super.s_uuid, 16);
  j.first = be(j.super.s_first);
  j.last = min(be(j.super.s_maxlen), j.length);
  if (j.has(JBD2_INCOMPAT_FAST_COMMIT)) {
    const u32 fast = j.super.s_num_fc_blks != 0 ? be(j.super.s_num_fc_blks) : 256;
    if (fast >= j.last) return -EUCLEAN;
    j.last -= fast;
  }
  return j.first >= 1 && j.first + 32 <= j.last ? 0 : -EUCLEAN;
}

// Fast commits of Linux that follow the last full one are not replayed here: losing them would lose synced data.
int refuse_fast_commits(ext4_fs& fs, ext4_journal& j, u32 next_sequence) {
  if (!j.has(JBD2_INCOMPAT_FAST_COMMIT) || j.last >= j.length) return 0;
  u8* block = static_cast<u8*>(kmalloc(fs.block_size));
  if (block == nullptr) return -ENOMEM;
  int error = fs.device->read(j.blocks[j.last], block);
  u16 tag;
  u32 tid;
  memcpy(&tag, block, 2);
  memcpy(&tid, block + 8, 4);
  kfree(block);
  constexpr u16 kHeadTag = 9;
  if (error == 0 && tag == kHeadTag && tid == next_sequence) {
    printk(KERN_ERR "EXT4-fs: the journal holds fast commits; run e2fsck first\n");
    error = -EROFS;
  }
  return error;
}

// Writes blocks one after the other into the log.
class LogWriter {
 public:
  LogWriter(ext4_fs& fs, ext4_journal& j) : fs_(fs), j_(j) {}
  ~LogWriter() { release(); }
  // `data` must stay until flush_out; an owned block is freed then.
  int add(const u8* data, bool owned) {
    items_[count_] = {j_.blocks[j_.head], data};
    owned_[count_++] = owned;
    j_.head = j_.head + 1 == j_.last ? j_.first : j_.head + 1;
    ++j_.used;
    return count_ == kWritesAtOnce ? flush_out() : 0;
  }
  int flush_out() {
    const int error = count_ == 0 ? 0 : fs_.device->write(items_, count_);
    release();
    return error;
  }

 private:
  void release() {
    for (u32 i = 0; i < count_; ++i) {
      if (owned_[i]) kfree(items_[i].data);
    }
    count_ = 0;
  }
  ext4_fs& fs_;
  ext4_journal& j_;
  ext4_write items_[kWritesAtOnce];
  bool owned_[kWritesAtOnce];
  u32 count_ = 0;
};

u8* new_log_block(const ext4_fs& fs, u32 type, u32 tid) {
  u8* b = static_cast<u8*>(kmalloc(fs.block_size, GFP_NOFS | GFP_NOFAIL));
  memset(b, 0, fs.block_size);
  put32(b, JBD2_MAGIC);
  put32(b + 4, type);
  put32(b + 8, tid);
  return b;
}
void seal_tail(const ext4_fs& fs, const ext4_journal& j, u8* b) {
  if (jbd2_has_checksums(j)) put32(b + fs.block_size - 4, crc32c(j.checksum_seed, b, fs.block_size));
}

u32 tags_per_block(const ext4_fs& fs, const ext4_journal& j) {
  return (fs.block_size - static_cast<u32>(sizeof(jbd2_header)) - 16 - (jbd2_has_checksums(j) ? 4 : 0)) /
         jbd2_tag_size(j);
}
u32 revokes_per_block(const ext4_fs& fs, const ext4_journal& j) {
  return (fs.block_size - 16 - (jbd2_has_checksums(j) ? 4 : 0)) / (j.has(JBD2_INCOMPAT_64BIT) ? 8 : 4);
}

void put_tag(const ext4_journal& j, u8* at, const jbd2_tag& tag) {
  put32(at, tag.block);
  if (j.has(JBD2_INCOMPAT_CSUM_V3)) {
    put32(at + 4, tag.flags);
    put32(at + 12, tag.checksum);
  } else {
    put32(at + 4, static_cast<u64>(tag.checksum & 0xffff) << 16 | tag.flags);
  }
  if (j.has(JBD2_INCOMPAT_64BIT)) put32(at + 8, tag.block >> 32);
}

// Gathers images until a descriptor block is full, then writes it before them.
class DescriptorWriter {
 public:
  DescriptorWriter(ext4_fs& fs, ext4_journal& j, LogWriter& log, u32 tid)
      : fs_(fs), j_(j), log_(log), tid_(tid), limit_(min(tags_per_block(fs, j), kMaxTags)) {}
  int add(const ext4_image& image) {
    pending_[count_++] = image;
    return count_ == limit_ ? finish() : 0;
  }
  int finish() {
    if (count_ == 0) return 0;
    u8* block = new_log_block(fs_, JBD2_DESCRIPTOR_BLOCK, tid_);
    u8* at = block + sizeof(jbd2_header);
    const u32 be_tid = be(tid_), magic = be(JBD2_MAGIC), zero = 0;
    for (u32 i = 0; i < count_; ++i) {
      jbd2_tag tag{pending_[i].block, 0, 0};
      owned_[i] = memcmp(pending_[i].data, &magic, 4) == 0;
      if (owned_[i]) {  // looks like a block of the log: its first word is blanked there
        tag.flags |= JBD2_FLAG_ESCAPE;
        u8* copy = static_cast<u8*>(kmalloc(fs_.block_size, GFP_NOFS | GFP_NOFAIL));
        memcpy(copy, pending_[i].data, fs_.block_size);
        memcpy(copy, &zero, 4);
        pending_[i].data = copy;
      }
      if (i != 0) tag.flags |= JBD2_FLAG_SAME_UUID;
      if (i + 1 == count_) tag.flags |= JBD2_FLAG_LAST_TAG;
      if (jbd2_has_checksums(j_))
        tag.checksum = crc32c(crc32c(j_.checksum_seed, &be_tid, 4), pending_[i].data, fs_.block_size);
      put_tag(j_, at, tag);
      at += jbd2_tag_size(j_);
      if (i == 0) {
        memcpy(at, j_.super.s_uuid, 16);
        at += 16;
      }
    }
    seal_tail(fs_, j_, block);
    int error = log_.add(block, true);
    for (u32 i = 0; i < count_; ++i) {
      if (error == 0) error = log_.add(pending_[i].data, owned_[i]);
    }
    count_ = 0;
    return error;
  }

 private:
  static constexpr u32 kMaxTags = 128;
  ext4_fs& fs_;
  ext4_journal& j_;
  LogWriter& log_;
  u32 tid_, limit_, count_ = 0;
  ext4_image pending_[kMaxTags];
  bool owned_[kMaxTags];
};

int write_revokes(ext4_fs& fs, ext4_journal& j, LogWriter& log, ext4_commit_record& c) {
  const u32 width = j.has(JBD2_INCOMPAT_64BIT) ? 8 : 4, limit = revokes_per_block(fs, j);
  u8* block = nullptr;
  u32 count = 0;
  int error = 0;
  const auto finish = [&] {
    put32(block + 12, 16 + count * width);
    seal_tail(fs, j, block);
    if (const int e = log.add(block, true); e != 0) error = e;
    block = nullptr;
    count = 0;
  };
  c.revoked.for_each([&](u64 number) {
    if (block == nullptr) block = new_log_block(fs, JBD2_REVOKE_BLOCK, c.tid);
    u8* at = block + 16 + count * width;
    if (width == 8) {
      put32(at, number >> 32);
      at += 4;
    }
    put32(at, number);
    if (++count == limit) finish();
  });
  if (block != nullptr) finish();
  return error;
}

int write_log(ext4_fs& fs, ext4_journal& j, ext4_commit_record& c) {
  // The writers hold arrays too large for the stack.
  LogWriter* log = knew<LogWriter>(fs, j);
  DescriptorWriter* tags = log == nullptr ? nullptr : knew<DescriptorWriter>(fs, j, *log, c.tid);
  int error = tags == nullptr ? -ENOMEM : write_revokes(fs, j, *log, c);
  c.images.for_each([&](const ext4_image& i) {
    if (error == 0) error = tags->add(i);
  });
  if (error == 0) error = tags->finish();
  if (error == 0) error = log->flush_out();
  // Everything, data of files too, is durable before the commit block, and the commit block before we return.
  if (error == 0) error = fs.device->flush();
  if (error == 0) {
    u8* block = new_log_block(fs, JBD2_COMMIT_BLOCK, c.tid);
    put32(block + 48, c.now_ns / 1000000000 >> 32);
    put32(block + 52, c.now_ns / 1000000000);
    put32(block + 56, c.now_ns % 1000000000);
    if (jbd2_has_checksums(j)) put32(block + 16, crc32c(j.checksum_seed, block, fs.block_size));
    error = log->add(block, true);
    if (error == 0) error = log->flush_out();
    if (error == 0) error = fs.device->flush();
  }
  kdelete(tags);
  kdelete(log);
  return error;
}

// By block number, so that the disk gets them in order. Shell sort: no memory, no recursion.
void sort_writes(ext4_write* list, u32 count) {
  for (u32 gap = count / 2; gap > 0; gap /= 2) {
    for (u32 i = gap; i < count; ++i) {
      const ext4_write w = list[i];
      u32 at = i;
      for (; at >= gap && list[at - gap].block > w.block; at -= gap) list[at] = list[at - gap];
      list[at] = w;
    }
  }
}

// The copies have reached their places.
void drop_committed(ext4_fs& fs, ext4_buffer* b) {
  kfree(b->committed);
  b->committed = nullptr;
  list_del(&b->checkpoint);
  --fs.cache.checkpoints;
  if (b->refs != 0 || !b->dirty.empty()) return;
  if (b->forgotten) {
    buffer_drop(fs.cache, b);
  } else {
    list_add_tail(&b->lru, &fs.cache.lru);
  }
}

int write_home(ext4_fs& fs) {
  const u32 count = fs.cache.checkpoints;
  if (count == 0) return 0;
  ext4_write* list = static_cast<ext4_write*>(vmalloc(count * sizeof(ext4_write)));
  if (list == nullptr) return -ENOMEM;
  u32 n = 0;
  for (ext4_buffer* b : entries<&ext4_buffer::checkpoint>(fs.cache.checkpoint)) list[n++] = {b->block, b->committed};
  sort_writes(list, n);
  int error = 0;
  for (u32 at = 0; at < n && error == 0; at += kWritesAtOnce)
    error = fs.device->write(list + at, min(kWritesAtOnce, n - at));
  vfree(list);
  if (error == 0) error = fs.device->flush();
  if (error != 0) return error;
  while (ext4_buffer* b = list_first<&ext4_buffer::checkpoint>(&fs.cache.checkpoint)) drop_committed(fs, b);
  return 0;
}

}  // namespace

u32 ext4_transaction_limit(const ext4_fs& fs) {
  return fs.journal == nullptr ? 1024 : min(fs.journal->capacity() / 4, 4096u);
}

int ext4_journal_start(ext4_fs& fs) {
  fs.journal = knew<ext4_journal>();
  if (fs.journal == nullptr) return -ENOMEM;
  ext4_journal& j = *fs.journal;
  TRY_INT(map_journal(fs, j));
  TRY_INT(read_super(fs, j));
  j.sequence = be(j.super.s_sequence) + 1;
  if (j.super.s_start != 0) {
    ext4_recovery r;
    TRY_INT(ext4_recover(fs, j, r));
    TRY_INT(refuse_fast_commits(fs, j, r.next_sequence - 1));
    j.sequence = r.next_sequence;
    printk(KERN_INFO "EXT4-fs: journal replayed: %u transactions, %u blocks, %u revoked\n", r.transactions, r.replayed,
           r.revoked);
    TRY_INT(ext4_reload(fs));
  }
  u32 features = be(j.super.s_feature_incompat) | JBD2_INCOMPAT_REVOKE;
  if (fs.has_checksums) {
    features = (features & ~JBD2_INCOMPAT_CSUM_V2) | JBD2_INCOMPAT_CSUM_V3;
    j.super.s_feature_compat &= ~be(JBD2_COMPAT_CHECKSUM);
    j.super.s_checksum_type = 4;
  }
  if (fs.has(EXT4_INCOMPAT_64BIT)) features |= JBD2_INCOMPAT_64BIT;
  j.super.s_feature_incompat = be(features);
  j.head = j.first;
  j.used = 0;
  j.super.s_start = be(j.head);
  j.super.s_sequence = be(j.sequence);
  TRY_INT(write_super(fs, j));
  j.started = true;
  return 0;
}

int ext4_journal_stop(ext4_fs& fs) {
  ext4_journal& j = *fs.journal;
  if (!j.started) return 0;
  TRY_INT(write_home(fs));
  j.super.s_start = 0;
  j.super.s_sequence = be(j.sequence);
  j.started = false;
  return write_super(fs, j);
}

void ext4_journal_free(ext4_fs& fs) {
  if (fs.journal == nullptr) return;
  vfree(fs.journal->blocks);
  kdelete(fs.journal);
  fs.journal = nullptr;
}

bool ext4_has_changes(const ext4_fs& fs) {
  return fs.running.count != 0 || !fs.running.revoked.empty() || !fs.running.freed.empty();
}

int ext4_checkpoint(ext4_fs& fs) {
  const int error = write_home(fs);
  if (error != 0 || fs.journal == nullptr) return error;
  ext4_journal& j = *fs.journal;
  j.used = 0;
  j.super.s_start = be(j.head);
  j.super.s_sequence = be(j.sequence);
  return write_super(fs, j);
}

int ext4_commit_begin(ext4_fs& fs, ext4_commit_record& c) {
  if (fs.failed != 0) return -EROFS;
  ext4_transaction& t = fs.running;
  if (fs.journal != nullptr) {
    const ext4_journal& j = *fs.journal;
    const u32 needed =
        t.count + t.count / min(tags_per_block(fs, j), 128u) + t.revoked.size() / revokes_per_block(fs, j) + 4;
    if (needed > j.capacity()) {
      ext4_fail(fs, -ENOSPC, "a transaction is larger than the journal, blocks:", needed);
      return -ENOSPC;
    }
    if (j.used + needed > j.capacity() || fs.cache.checkpoints > fs.cache.limit) TRY_INT(ext4_checkpoint(fs));
    c.tid = fs.journal->sequence++;
  }
  // Bitmaps first: their checksums go into descriptors.
  for (ext4_buffer* b : entries<&ext4_buffer::dirty>(t.buffers)) {
    if (b->kind == ext4_kind::BlockBitmap || b->kind == ext4_kind::InodeBitmap) ext4_seal(fs, b);
  }
  while (ext4_buffer* b = list_first<&ext4_buffer::dirty>(&t.buffers)) {
    list_del(&b->dirty);
    if (b->kind != ext4_kind::BlockBitmap && b->kind != ext4_kind::InodeBitmap) ext4_seal(fs, b);
    kfree(b->committed);
    b->committed = static_cast<u8*>(kmalloc(fs.block_size, GFP_NOFS | GFP_NOFAIL));
    memcpy(b->committed, b->data, fs.block_size);
    if (b->checkpoint.empty()) {
      list_add_tail(&b->checkpoint, &fs.cache.checkpoint);
      ++fs.cache.checkpoints;
    }
    if (!b->lru.empty()) list_del(&b->lru);
    c.images.add({b, b->block, b->committed});
  }
  t.count = 0;
  c.revoked.take(t.revoked);
  c.freed.take(t.freed);
  ++t.tid;
  return 0;
}

int ext4_commit_write(ext4_fs& fs, ext4_commit_record& c) {
  return fs.journal == nullptr ? 0 : write_log(fs, *fs.journal, c);
}

void ext4_commit_end(ext4_fs& fs, ext4_commit_record& c, int error) {
  if (error == 0 && fs.journal == nullptr) error = write_home(fs);
  if (error != 0) ext4_fail(fs, error, "commit of transaction", c.tid);
  // A freed block's last copy has no place to go any more.
  c.revoked.for_each([&](u64 block) {
    ext4_buffer* b = buffer_find(fs.cache, block);
    if (b == nullptr) return;
    --b->refs;
    if (b->forgotten && b->committed != nullptr) {
      drop_committed(fs, b);
    } else if (b->refs == 0 && b->dirty.empty() && b->committed == nullptr) {
      buffer_drop(fs.cache, b);
    }
  });
  ext4_release_held(fs, c.freed);
  c.images.clear();
  c.revoked.clear();
}

int ext4_commit_all(ext4_fs& fs, u64 now_ns) {
  if (!ext4_has_changes(fs)) return 0;
  ext4_commit_record c;
  c.now_ns = now_ns;
  TRY_INT(ext4_commit_begin(fs, c));
  const int error = ext4_commit_write(fs, c);
  ext4_commit_end(fs, c, error);
  return error;
}

}  // namespace xm::os
