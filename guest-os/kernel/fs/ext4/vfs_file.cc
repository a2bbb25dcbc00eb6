// SPDX-License-Identifier: GPL-2.0-or-later
// File data: pages read through the map of blocks; written ones get their blocks when they are written back (until then
// they hold a promise of space), many pages at once. The commit of a transaction that gives blocks to a file waits for
// the data in them (ordered mode), so no block shows what it held before.
#include "kernel/fs/ext4/vfs.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/sched.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kBatchPages = 32;

u32 blocks_per_page(const inode* i) { return 1u << (kPageShift - i->i_blkbits); }
u32 first_block(const inode* i, const page* p) { return static_cast<u32>(p->index << (kPageShift - i->i_blkbits)); }

int map_locked(inode* i, u32 logical, ext4_run& run) {
  MutexGuard guard(ext4_info(i)->lock);
  return ext4_map(ext4_info(i)->fs, ext4_body_of(i), logical, run);
}

// --- reading ---
void end_read(bio* b) {
  for (u32 n = 0; n < b->vec_count; ++n) {
    b->vecs[n].page_->set(b->error == 0 ? PG_uptodate : PG_error);
    unlock_page(b->vecs[n].page_);
  }
  bio_free(b);
}

// Fills a locked page and leaves it locked.
int fill_page(inode* i, page* p) {
  const u32 bits = i->i_blkbits;
  for (u32 offset = 0; offset < kPageSize;) {
    ext4_run run{};
    TRY_INT(map_locked(i, static_cast<u32>(((p->index << kPageShift) + offset) >> bits), run));
    const u32 length = static_cast<u32>(min<u64>(static_cast<u64>(run.count) << bits, kPageSize - offset));
    if (run.physical == 0 || run.unwritten) {
      memset(static_cast<u8*>(page_to_virt(p)) + offset, 0, length);
    } else {
      bio* b = bio_alloc(GFP_NOFS);
      if (b == nullptr) return -ENOMEM;
      b->bdev = i->i_sb->s_bdev;
      b->sector = run.physical << (bits - 9);
      bio_add_page(b, p, length, offset);
      const int error = submit_bio_wait(b);
      bio_free(b);
      if (error != 0) return error;
    }
    offset += length;
  }
  p->set(PG_uptodate);
  return 0;
}

// --- promises of space ---
// Which blocks of the page have one is a bit mask in page::private_, of at most four bits.
u32 bits_in(u64 mask) { return static_cast<u32>((mask & 1) + (mask >> 1 & 1) + (mask >> 2 & 1) + (mask >> 3 & 1)); }
int reserve(inode* i, page* p, u32 offset, u32 length) {
  ext4_sb_info* info = ext4_info(i);
  const u32 bits = i->i_blkbits, first = offset >> bits, last = (offset + length - 1) >> bits;
  const u64 had = p->test(PG_private) ? p->private_ : 0;
  for (int attempt = 0;; ++attempt) {
    u64 wanted = 0;
    {
      MutexGuard guard(info->lock);
      if (!info->fs.writable || info->fs.failed != 0) return -EROFS;
      for (u32 n = first; n <= last; ++n) {
        if ((had >> n & 1) != 0) continue;
        ext4_run run{};
        TRY_INT(ext4_map(info->fs, ext4_body_of(i), first_block(i, p) + n, run));
        if (run.physical == 0) wanted |= 1ul << n;
      }
      if (wanted == 0) return 0;
      const u32 count = bits_in(wanted);
      const u64 metadata = info->fs.reserved_blocks / 64 + 16;  // the tree grows too
      if (ext4_available_blocks(info->fs, capable(CAP_SYS_RESOURCE)) >= count + metadata) {
        info->fs.reserved_blocks += count;
        p->private_ = had | wanted;
        p->set(PG_private);
        return 0;
      }
    }
    if (attempt > 0 || ext4_free_held(info) != 1) return -ENOSPC;
  }
}

// --- writing back ---
// The bios of one batch of pages; the last of them to end ends the write-back of all.
struct WriteBatch {
  ext4_sb_info* info;
  Atomic<s32> pending{1};
  Atomic<int> error{0};
  u32 slot = 0;
  bool ordered = false;
  u32 count = 0;
  page* pages[kBatchPages];
};

void finish_batch(WriteBatch* w) {
  if (w->pending.sub(1) != 0) return;
  for (u32 n = 0; n < w->count; ++n) end_page_writeback(w->pages[n], w->error.load());
  if (w->ordered) {
    w->info->ordered[w->slot].sub(1);
    wake_up_all(w->info->ordered_wait);
  }
  kfree(w);
}
void end_write(bio* b) {
  WriteBatch* w = static_cast<WriteBatch*>(b->private_data);
  if (b->error != 0) w->error.store(b->error);
  bio_free(b);
  finish_batch(w);
}

// Builds bios out of pieces that are adjacent on the disk.
class BioBuilder {
 public:
  BioBuilder(WriteBatch* w, block_device* bdev) : batch_(w), bdev_(bdev) {}
  void add(page* p, u32 offset, u32 length, u64 sector) {
    if (bio_ != nullptr && (sector != next_ || !bio_add_page(bio_, p, length, offset))) send();
    if (bio_ == nullptr) {
      bio_ = bio_alloc(GFP_NOFS | GFP_NOFAIL);
      bio_->bdev = bdev_;
      bio_->op = BioOp::Write;
      bio_->sector = sector;
      bio_->end_io = end_write;
      bio_->private_data = batch_;
      bio_add_page(bio_, p, length, offset);
    }
    next_ = sector + length / 512;
  }
  void send() {
    if (bio_ == nullptr) return;
    batch_->pending.add(1);
    submit_bio(bio_);
    bio_ = nullptr;
  }

 private:
  WriteBatch* batch_;
  block_device* bdev_;
  bio* bio_ = nullptr;
  u64 next_ = 0;
};

struct Piece {  // blocks of the batch and where they go
  u32 logical, count;
  u64 physical;
};

// Gives every block of the batch that is promised or unwritten its place. Locked; *changed: the map did.
int map_batch(ext4_fs& fs, inode* i, const WriteBatch& w, chunk_list<Piece>& pieces, bool* changed) {
  ext4_body& body = ext4_body_of(i);
  const u32 per_page = blocks_per_page(i), first = first_block(i, w.pages[0]), end = first + w.count * per_page;
  const u64 size_blocks = div_round_up(static_cast<u64>(i->i_size), fs.block_size);
  const auto promised = [&](u32 logical) {
    const page* p = w.pages[(logical - first) / per_page];
    return p->test(PG_private) && (p->private_ >> (logical - first) % per_page & 1) != 0;
  };
  for (u32 at = first; at < end && at < size_blocks;) {
    ext4_run run{};
    TRY_INT(ext4_map(fs, body, at, run));
    run.count = min(run.count, end - at);
    if (run.physical == 0) {
      u32 want = 0;
      while (want < run.count && promised(at + want)) ++want;
      if (want == 0) {  // a hole that nobody wrote to
        ++at;
        continue;
      }
      TRY_INT(ext4_map_new(fs, body, at, want, false, run));
      *changed = true;
    } else if (run.unwritten) {
      TRY_INT(ext4_mark_written(fs, body, at, run.count));
      *changed = true;
    }
    pieces.add({at, run.count, run.physical});
    at += run.count;
  }
  return 0;
}

void forget_promises(ext4_fs& fs, const WriteBatch& w) {
  for (u32 n = 0; n < w.count; ++n) {
    page* p = w.pages[n];
    if (!p->test_and_clear(PG_private)) continue;
    fs.reserved_blocks -= min<u64>(fs.reserved_blocks, bits_in(p->private_));
    p->private_ = 0;
  }
}

void submit_pieces(inode* i, WriteBatch* w, chunk_list<Piece>& pieces) {
  const u32 bits = i->i_blkbits, per_page = blocks_per_page(i), first = first_block(i, w->pages[0]);
  BioBuilder builder(w, i->i_sb->s_bdev);
  pieces.for_each([&](const Piece& piece) {
    for (u32 n = 0; n < piece.count;) {
      const u32 into = piece.logical + n - first;
      const u32 step = min(per_page - into % per_page, piece.count - n);
      builder.add(w->pages[into / per_page], into % per_page << bits, step << bits, (piece.physical + n) << (bits - 9));
      n += step;
    }
  });
  builder.send();
}

// All pages are locked and no longer dirty; unlocks them. They are under write-back afterwards, or have failed.
int write_batch(inode* i, WriteBatch* w) {
  ext4_sb_info* info = ext4_info(i);
  w->info = info;
  // Beyond the end there is nothing to write, whatever a mapping left there.
  for (u32 n = 0; n < w->count; ++n) {
    const u64 start = w->pages[n]->index << kPageShift, size = static_cast<u64>(i->i_size);
    if (size < start + kPageSize) {
      const u64 keep = size > start ? size - start : 0;
      memset(static_cast<char*>(page_to_virt(w->pages[n])) + keep, 0, kPageSize - keep);
    }
    w->pages[n]->set(PG_writeback);
    count_vm(NR_WRITEBACK);
  }
  chunk_list<Piece> pieces;
  int error = 0;
  mutex_lock(info->lock);
  const bool tight = info->fs.free_blocks < info->fs.held_blocks + kBatchPages * blocks_per_page(i) + 64;
  mutex_unlock(info->lock);
  if (tight) ext4_free_held(info);
  error = ext4_lock_for_change(info);
  if (error == 0) {
    bool changed = false;
    error = map_batch(info->fs, i, *w, pieces, &changed);
    forget_promises(info->fs, *w);
    const u64 end = (w->pages[w->count - 1]->index + 1) << kPageShift;
    const u64 size = min(static_cast<u64>(i->i_size), end);
    ext4_body& body = ext4_body_of(i);
    if (size > body.size) {
      body.size = size;
      changed = true;
    }
    if (changed) {
      ext4_i(i)->sync_tid = info->fs.running.tid;
      i->i_blocks = body.sectors;
      const int e = ext4_write_body(info->fs, body);
      if (error == 0) error = e;
      w->ordered = true;
      w->slot = info->fs.running.tid & 1;
      info->ordered[w->slot].add(1);
    }
    mutex_unlock(info->lock);
  } else {
    mutex_lock(info->lock);
    forget_promises(info->fs, *w);
    mutex_unlock(info->lock);
  }
  if (error != 0) w->error.store(error);
  for (u32 n = 0; n < w->count; ++n) unlock_page(w->pages[n]);
  submit_pieces(i, w, pieces);
  for (u32 n = 0; n < w->count; ++n) put_page(w->pages[n]);
  finish_batch(w);
  ext4_check_failed(info);
  return error;
}

int write_pages(address_space* m, u64 first, u64 last, u64 limit) {
  int error = 0;
  u64 written = 0;
  for (u64 index = first; written < limit;) {
    page* p = take_dirty_page(m, &index, last);
    if (p == nullptr) break;
    void* memory = kmalloc(sizeof(WriteBatch), GFP_NOFS | GFP_NOFAIL);
    WriteBatch* w = new (memory) WriteBatch{};
    for (; p != nullptr; p = w->count < kBatchPages && index <= last ? take_dirty_page(m, &index, index) : nullptr) {
      w->pages[w->count++] = p;
      ++index;
    }
    written += w->count;
    if (const int e = write_batch(m->host, w); e != 0) error = e;
    cond_resched();
  }
  return error;
}

// --- direct I/O: past the cache, by way of pages of our own ---
constexpr u32 kDirectPages = 32;

struct DirectBuffer {
  page* pages[kDirectPages]{};
  ~DirectBuffer() {
    for (page* p : pages) {
      if (p != nullptr) put_page(p);
    }
  }
  bool fill() {
    for (page*& p : pages) {
      p = alloc_page(GFP_USER);
      if (p == nullptr) return false;
    }
    return true;
  }
  int transfer(block_device* bdev, BioOp op, u64 sector, u32 offset, u32 length) {
    bio* b = bio_alloc(GFP_NOFS);
    if (b == nullptr) return -ENOMEM;
    b->bdev = bdev;
    b->op = op;
    b->sector = sector;
    for (u32 at = offset; at < offset + length;) {
      const u32 into = at & (kPageSize - 1), step = min(static_cast<u32>(kPageSize) - into, offset + length - at);
      bio_add_page(b, pages[at >> kPageShift], step, into);
      at += step;
    }
    const int error = submit_bio_wait(b);
    bio_free(b);
    return error;
  }
};

// Blocks for a direct write: new ones are unwritten until the data is there.
int map_for_write(inode* i, u32 logical, u32 want, ext4_run& run) {
  return ext4_change(ext4_info(i), [&](ext4_fs& fs) -> int {
    TRY_INT(ext4_map(fs, ext4_body_of(i), logical, run));
    if (run.physical != 0) return 0;
    if (ext4_available_blocks(fs, false) < min(want, run.count) + 16ul) return -ENOSPC;
    TRY_INT(ext4_map_new(fs, ext4_body_of(i), logical, min(want, run.count), true, run));
    return ext4_write_body(fs, ext4_body_of(i));
  });
}

ssize_t direct_chunk(inode* i, iov_iter& it, loff_t pos, DirectBuffer& buffer, bool write) {
  const u32 bits = i->i_blkbits;
  const u32 into = static_cast<u32>(pos & ((1ll << bits) - 1));
  u32 length = static_cast<u32>(min<u64>(it.count(), kDirectPages * kPageSize));
  const u32 logical = static_cast<u32>(pos >> bits);
  ext4_run run{};
  if (write) {
    if (into != 0 || (length & ((1u << bits) - 1)) != 0) return -EOPNOTSUPP;  // parts of blocks go through the cache
    TRY_INT(map_for_write(i, logical, length >> bits, run));
  } else {
    length = static_cast<u32>(min<u64>(length, static_cast<u64>(i->i_size - pos)));
    TRY_INT(map_locked(i, logical, run));
  }
  length = static_cast<u32>(min<u64>(length, (static_cast<u64>(run.count) << bits) - into));
  if (write) {
    for (u32 at = 0; at < length; at += kPageSize) {
      const u32 step = min(static_cast<u32>(kPageSize), length - at);
      if (it.copy_from(page_to_virt(buffer.pages[at >> kPageShift]), step) < step) return -EFAULT;
    }
    TRY_INT(buffer.transfer(i->i_sb->s_bdev, BioOp::Write, run.physical << (bits - 9), 0, length));
    if (const int e = ext4_change(ext4_info(i),
                                  [&](ext4_fs& fs) -> int {
                                    if (run.unwritten)
                                      TRY_INT(ext4_mark_written(fs, ext4_body_of(i), logical, length >> bits));
                                    ext4_body_of(i).size = max(ext4_body_of(i).size, static_cast<u64>(pos) + length);
                                    i->i_size = max<loff_t>(i->i_size, pos + length);
                                    return ext4_store_inode(fs, i);
                                  });
        e != 0)
      return e;
    return length;
  }
  if (run.physical == 0 || run.unwritten) return static_cast<ssize_t>(it.zero(length));
  const u32 whole = static_cast<u32>(align_up(into + length, 512));
  const u32 start = into & ~511u;
  TRY_INT(
      buffer.transfer(i->i_sb->s_bdev, BioOp::Read, (run.physical << (bits - 9)) + start / 512, start, whole - start));
  u32 done = 0;
  while (done < length) {
    const u32 at = into + done, step = min(static_cast<u32>(kPageSize - (at & (kPageSize - 1))), length - done);
    const u64 moved =
        it.copy_to(static_cast<char*>(page_to_virt(buffer.pages[at >> kPageShift])) + (at & (kPageSize - 1)), step);
    done += static_cast<u32>(moved);
    if (moved < step) return done > 0 ? static_cast<ssize_t>(done) : -EFAULT;
  }
  return done;
}

struct Ext4Aops final : address_space_operations {
  int read_page(file*, page* p) const override {
    const int error = fill_page(p->mapping->host, p);
    if (error != 0) p->set(PG_error);
    unlock_page(p);
    return error;
  }
  void read_ahead(file*, address_space* m, u64 first, u32 count) const override {
    inode* i = m->host;
    if (i->i_blkbits != kPageShift) return;
    ext4_run run{};
    if (map_locked(i, static_cast<u32>(first), run) != 0 || run.physical == 0 || run.unwritten) return;
    bio* b = bio_alloc(GFP_NOFS);
    if (b == nullptr) return;
    for (u64 index = first; index < first + min(count, run.count); ++index) {
      page* there = find_get_page(m, index);
      auto got = there == nullptr ? find_or_create_page(m, index) : Result<page*>{Error{EEXIST}};
      if (there != nullptr) put_page(there);
      if (!got.ok()) break;
      page* p = got.value();
      const bool wanted = !p->test(PG_uptodate) && bio_add_page(b, p, kPageSize, 0);
      if (!wanted) unlock_page(p);
      put_page(p);  // a locked page stays in the cache
      if (!wanted) break;
    }
    b->bdev = i->i_sb->s_bdev;
    b->sector = run.physical << (kPageShift - 9);
    b->end_io = end_read;
    b->vec_count == 0 ? bio_free(b) : submit_bio(b);
  }
  int write_begin(file*, address_space* m, page* p, u32 offset, u32 length) const override {
    inode* i = m->host;
    const bool whole = offset == 0 && length == kPageSize;
    if (!p->test(PG_uptodate) && !whole) {
      if (static_cast<loff_t>(p->index << kPageShift) >= i->i_size) {
        memset(page_to_virt(p), 0, kPageSize);
        p->set(PG_uptodate);
      } else {
        TRY_INT(fill_page(i, p));
      }
    }
    return reserve(i, p, offset, length);
  }
  int write_pages(address_space* m, u64 first, u64 last, u64 limit) const override {
    return os::write_pages(m, first, last, limit);
  }
  void release_page(page* p) const override {
    ext4_sb_info* info = ext4_info(p->mapping->host);
    MutexGuard guard(info->lock);
    if (!p->test_and_clear(PG_private)) return;
    info->fs.reserved_blocks -= min<u64>(info->fs.reserved_blocks, bits_in(p->private_));
    p->private_ = 0;
  }
  ssize_t direct_io(file* f, iov_iter& it, loff_t pos, bool write) const override {
    inode* i = f->f_inode;
    if ((static_cast<u64>(pos) | it.count() | it.user_address()) % 512 != 0) return -EINVAL;
    if (!write && pos >= i->i_size) return 0;
    DirectBuffer* buffer = knew<DirectBuffer>();
    ssize_t done = buffer == nullptr || !buffer->fill() ? -ENOMEM : 0;
    while (done >= 0 && it.count() > 0 && (write || pos < i->i_size)) {
      const ssize_t n = direct_chunk(i, it, pos, *buffer, write);
      if (n <= 0) {
        if (done == 0) done = n;
        break;
      }
      done += n;
      pos += n;
    }
    kdelete(buffer);
    return done;
  }
};
constinit const Ext4Aops aops{};

}  // namespace

constinit const address_space_operations& ext4_address_space_ops = aops;

int ext4_fsync(file* f, bool data_only) {
  inode* i = f->f_inode;
  ext4_sb_info* info = ext4_info(i);
  TRY_INT(filemap_write_and_wait(&i->i_data, 0, 1ll << 62, true));
  if (!data_only && (i->i_state.load() & I_DIRTY) != 0) TRY_INT(write_inode_now(i, true));
  bool pending;
  {
    MutexGuard guard(info->lock);
    pending = ext4_i(i)->sync_tid > info->committed_tid;
  }
  if (pending) return ext4_commit(info);
  return info->fs.failed != 0 ? -EIO : info->device.flush();
}

}  // namespace xm::os
