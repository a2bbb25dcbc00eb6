// SPDX-License-Identifier: GPL-2.0-or-later
// The page cache: pages of a file by index, buffered read and write, read-ahead for sequential readers, mappings, dirty
// pages and write-back. A page in the cache holds one reference of the cache. PG_locked serialises filling and
// truncation of a page.
#include "kernel/fs/fs.h"
#include "kernel/init/printk.h"
#include "kernel/mm/mm.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kWaitTables = 64;
constinit wait_queue_head page_waits[kWaitTables]{};
wait_queue_head& page_wait(const page* p) { return page_waits[(page_to_pfn(p) * 0x9e3779b97f4a7c15ul) >> 58]; }

constexpr u32 kReadAheadPages = 32;
constexpr ssize_t kBalanceBytes = 256 * 1024;  // a writer looks at the dirty limits so often
constinit spinlock_t lru_lock{LockRank::None};
constinit list_head clean_lru{};  // pages of files, oldest first
constinit wait_queue_head dirty_wait{};

void lru_add(page* p) {
  SpinGuard guard(lru_lock);
  p->set(PG_lru);
  list_add_tail(&p->lru, &clean_lru);
}
void lru_del(page* p) {
  SpinGuard guard(lru_lock);
  if (p->test_and_clear(PG_lru)) list_del(&p->lru);
}

void remove_locked_page(address_space* m, page* p) {
  {
    IrqGuard guard(m->tree_lock);
    m->pages.erase(p->index);
    --m->nrpages;
  }
  if (p->test_and_clear(PG_dirty)) {
    m->nr_dirty.sub(1);
    if (m->a_ops->writes_back()) count_vm(NR_FILE_DIRTY, -1);
  }
  lru_del(p);
  if (p->test(PG_private)) m->a_ops->release_page(p);
  count_vm(p->test(PG_swapbacked) ? NR_SHMEM : NR_FILE_PAGES, -1);
  p->mapping = nullptr;
}

// Asks the file system for pages ahead of a sequential reader.
void read_ahead(file* f, address_space* m, u64 index) {
  const u64 last = static_cast<u64>(m->host->i_size - 1) >> kPageShift;
  if (f == nullptr || m->host->i_size == 0) return;
  f->ra_window = f->ra_next == index ? min(max(f->ra_window * 2, 4u), kReadAheadPages) : 4;
  const u32 count = static_cast<u32>(min<u64>(f->ra_window, last - min(last, index) + 1));
  f->ra_next = index + count;
  if (count > 1) m->a_ops->read_ahead(f, m, index, count);
}

struct GenericVmOps final : vm_operations {
  int fault(vm_fault& vf) const override {
    file* f = vf.vma->vm_file;
    address_space* m = f->f_mapping;
    if (vf.pgoff >= div_round_up(static_cast<u64>(m->host->i_size), kPageSize)) return -EIO;
    auto got = read_mapping_page(m, vf.pgoff, f);
    if (!got.ok()) return got.error() == ENOMEM ? -ENOMEM : -EIO;
    vf.result = got.value();
    return 0;
  }
  int page_mkwrite(vm_area_struct* v, page* p) const override {
    lock_page(p);
    const bool gone = p->mapping != v->vm_file->f_mapping;
    int error = 0;
    if (!gone) {
      // The file system reserves blocks as for a write of the whole page.
      inode* i = p->mapping->host;
      const u64 start = p->index << kPageShift;
      const u32 length = static_cast<u32>(
          min<u64>(kPageSize, static_cast<u64>(i->i_size) - min<u64>(start, static_cast<u64>(i->i_size))));
      if (length != 0) error = p->mapping->a_ops->write_begin(v->vm_file, p->mapping, p, 0, length);
      if (error == 0 && length != 0) p->mapping->a_ops->write_end(v->vm_file, p->mapping, p, 0, length);
    }
    unlock_page(p);
    if (gone) return -EIO;
    v->vm_file->f_inode->i_mtime = v->vm_file->f_inode->i_ctime = current_time();
    mark_inode_dirty(v->vm_file->f_inode);
    return error != 0 ? -EIO : 0;
  }
};
constinit const GenericVmOps vm_ops{};

}  // namespace

constinit const vm_operations& generic_file_vm_ops = vm_ops;

bool trylock_page(page* p) { return !p->test_and_set(PG_locked); }
void lock_page(page* p) {
  if (trylock_page(p)) return;
  wait_event(page_wait(p), [&] { return trylock_page(p); });
}
void unlock_page(page* p) {
  p->clear(PG_locked);
  wake_up_all(page_wait(p));
}
void wait_on_page_writeback(page* p) {
  if (!p->test(PG_writeback)) return;
  wait_event(page_wait(p), [&] { return !p->test(PG_writeback); });
}
void end_page_writeback(page* p, int error) {
  if (error != 0) {
    p->set(PG_error);
    if (p->mapping != nullptr) p->mapping->wb_error = error;
  }
  count_vm(NR_WRITEBACK, -1);
  p->clear(PG_writeback);
  wake_up_all(page_wait(p));
}

page* find_get_page(address_space* m, u64 index) {
  IrqGuard guard(m->tree_lock);
  page* p = static_cast<page*>(m->pages.find(index));
  if (p != nullptr) p->refcount.inc();
  return p;
}

int add_to_page_cache(page* p, address_space* m, u64 index) {
  p->mapping = m;
  p->index = index;
  {
    IrqGuard guard(m->tree_lock);
    if (m->pages.find(index) != nullptr) return -EEXIST;
    if (!m->pages.insert(index, p)) return -ENOMEM;
    ++m->nrpages;
    p->refcount.inc();
  }
  count_vm(p->test(PG_swapbacked) ? NR_SHMEM : NR_FILE_PAGES);
  if (m->a_ops->writes_back()) lru_add(p);
  return 0;
}

Result<page*> find_or_create_page(address_space* m, u64 index) {
  for (;;) {
    page* p = find_get_page(m, index);
    if (p != nullptr) {
      lock_page(p);
      if (p->mapping == m) return p;
      unlock_page(p);  // truncated meanwhile
      put_page(p);
      continue;
    }
    p = alloc_page(GFP_USER);
    if (p == nullptr) return Error{ENOMEM};
    p->set(PG_locked);
    if (!m->a_ops->writes_back()) p->set(PG_swapbacked);
    const int error = add_to_page_cache(p, m, index);
    if (error == 0) return p;
    p->mapping = nullptr;
    put_page(p);
    if (error != -EEXIST) return Error{-error};
  }
}

Result<page*> read_mapping_page(address_space* m, u64 index, file* f) {
  for (int attempt = 0;; ++attempt) {
    page* p = find_get_page(m, index);
    if (p != nullptr && p->test(PG_uptodate)) return p;
    if (p == nullptr && attempt == 0) read_ahead(f, m, index);
    if (p != nullptr) put_page(p);
    p = TRY(find_or_create_page(m, index));
    if (p->test(PG_uptodate)) {
      unlock_page(p);
      return p;
    }
    p->clear(PG_error);
    const int error = m->a_ops->read_page(f, p);
    if (error == 0) {
      lock_page(p);  // wait until it is filled
      unlock_page(p);
      if (p->test(PG_uptodate)) return p;
    }
    const bool truncated = p->mapping != m && error == 0;
    put_page(p);
    if (!truncated) return Error{error != 0 ? -error : EIO};
    if (attempt > 8) return Error{EIO};
  }
}

void set_page_dirty(page* p) {
  if (p->test_and_set(PG_dirty)) return;
  address_space* m = p->mapping;
  if (m == nullptr || p->test(PG_anon)) return;
  m->nr_dirty.inc();
  if (!m->a_ops->writes_back()) return;
  count_vm(NR_FILE_DIRTY);
  mark_inode_dirty(m->host);
}

int address_space_operations::read_page(file*, page* p) const {
  unlock_page(p);
  return -EIO;
}
int address_space_operations::write_page(page* p) const {
  unlock_page(p);
  return 0;
}
int address_space_operations::write_begin(file* f, address_space* m, page* p, u32 offset, u32 length) const {
  if (p->test(PG_uptodate) || (offset == 0 && length == kPageSize)) return 0;
  const u64 start = p->index << kPageShift;
  if (start >= static_cast<u64>(m->host->i_size)) {  // nothing there yet
    memset(page_to_virt(p), 0, kPageSize);
    p->set(PG_uptodate);
    return 0;
  }
  TRY_INT(read_page(f, p));
  lock_page(p);
  return p->test(PG_uptodate) ? 0 : -EIO;
}
int address_space_operations::write_end(file*, address_space*, page* p, u32 offset, u32 copied) const {
  if (offset == 0 && copied == kPageSize) p->set(PG_uptodate);
  set_page_dirty(p);
  return 0;
}

namespace {
bool is_cached(address_space* m, u64 index) {
  page* p = find_get_page(m, index);
  if (p == nullptr) return false;
  const bool ready = p->test(PG_uptodate);
  put_page(p);
  return ready;
}
}  // namespace

ssize_t generic_file_read_iter(file* f, iov_iter& to, loff_t& pos) {
  address_space* m = f->f_mapping;
  inode* i = m->host;
  if ((f->f_flags & O_DIRECT) != 0 && (S_ISREG(i->i_mode) || S_ISBLK(i->i_mode))) {
    TRY_INT(filemap_write_and_wait(m, pos, pos + static_cast<loff_t>(to.count()), true));
    const ssize_t n = m->a_ops->direct_io(f, to, pos, false);
    if (n > 0) pos += n;
    if (n != -EOPNOTSUPP) return n;
  }
  ssize_t done = 0;
  while (to.count() > 0 && pos < i->i_size) {
    const u32 offset = static_cast<u32>(pos & static_cast<loff_t>(kPageSize - 1));
    const u64 step = min(min<u64>(kPageSize - offset, to.count()), static_cast<u64>(i->i_size - pos));
    if ((to.rwf & RWF_NOWAIT) != 0 && !is_cached(m, static_cast<u64>(pos) >> kPageShift))
      return done > 0 ? done : -EAGAIN;
    auto got = read_mapping_page(m, static_cast<u64>(pos) >> kPageShift, f);
    if (!got.ok()) return done > 0 ? done : -got.error();
    page* p = got.value();
    const u64 moved = to.copy_to(static_cast<char*>(page_to_virt(p)) + offset, step);
    p->flags.fetch_or(PG_referenced);
    put_page(p);
    done += static_cast<ssize_t>(moved);
    pos += static_cast<loff_t>(moved);
    if (moved < step) return done > 0 ? done : -EFAULT;
    if (fatal_signal_pending(current)) return done > 0 ? done : -EINTR;
    cond_resched();
  }
  touch_atime(f);
  return done;
}

namespace {

// Checks of [man 2 write]: limits, append position. Adjusts the count; 0 or an error (or SIGXFSZ).
int write_checks(file* f, iov_iter& from, loff_t& pos) {
  inode* i = f->f_mapping->host;
  if ((f->f_flags & O_APPEND) != 0 || (from.rwf & RWF_APPEND) != 0) pos = i->i_size;
  if (pos < 0) return -EINVAL;
  const u64 limit = S_ISREG(i->i_mode) ? current->signal->rlim[RLIMIT_FSIZE].cur : RLIM_INFINITY;
  if (limit != RLIM_INFINITY && static_cast<u64>(pos) + from.count() > limit) {
    if (static_cast<u64>(pos) >= limit) {
      send_sig(SIGXFSZ, current);
      return -EFBIG;
    }
    from.truncate(limit - static_cast<u64>(pos));
  }
  const u64 most = i->i_sb->s_maxbytes;
  if (static_cast<u64>(pos) >= most) return -EFBIG;
  from.truncate(most - static_cast<u64>(pos));
  return 0;
}

void remove_privileges(file* f) {
  inode* i = f->f_inode;
  if (!S_ISREG(i->i_mode) || capable(CAP_FSETID)) return;
  umode_t mode = i->i_mode & ~S_ISUID;
  if ((mode & S_IXGRP) != 0) mode &= ~S_ISGID;
  if (mode != i->i_mode) {
    iattr a;
    a.valid = ATTR_MODE | ATTR_FORCE | ATTR_CTIME;
    a.mode = mode;
    a.ctime = current_time();
    i->i_op->setattr(f->f_path.dentry_, a);
  }
}

ssize_t buffered_write(file* f, iov_iter& from, loff_t& pos) {
  address_space* m = f->f_mapping;
  inode* i = m->host;
  ssize_t done = 0;
  while (from.count() > 0) {
    const u32 offset = static_cast<u32>(pos & static_cast<loff_t>(kPageSize - 1));
    const u32 step = static_cast<u32>(min<u64>(kPageSize - offset, from.count()));
    from.fault_in(step);
    auto got = find_or_create_page(m, static_cast<u64>(pos) >> kPageShift);
    if (!got.ok()) return done > 0 ? done : -got.error();
    page* p = got.value();
    wait_on_page_writeback(p);
    int error = m->a_ops->write_begin(f, m, p, offset, step);
    u32 copied = 0;
    if (error == 0) {
      copied = static_cast<u32>(from.copy_from(static_cast<char*>(page_to_virt(p)) + offset, step));
      if (copied < step && !p->test(PG_uptodate))
        memset(static_cast<char*>(page_to_virt(p)) + offset + copied, 0, step - copied);
      error = m->a_ops->write_end(f, m, p, offset, copied < step && !p->test(PG_uptodate) ? step : copied);
    }
    if (error == 0 && copied > 0) {
      pos += copied;
      done += copied;
      if (pos > i->i_size) {
        i->i_size = pos;
        mark_inode_dirty(i);
      }
    }
    unlock_page(p);
    put_page(p);
    if (error != 0) return done > 0 ? done : error;
    if (copied < step) return done > 0 ? done : -EFAULT;
    if (fatal_signal_pending(current)) return done > 0 ? done : -EINTR;
    if (done % kBalanceBytes < static_cast<ssize_t>(kPageSize))
      balance_dirty_pages(m);  // one call may write more than there is memory
    cond_resched();
  }
  return done;
}

}  // namespace

ssize_t generic_file_write_iter(file* f, iov_iter& from, loff_t& pos) {
  inode* i = f->f_mapping->host;
  ssize_t done;
  {
    WriteGuard guard(i->i_rwsem);
    TRY_INT(write_checks(f, from, pos));
    if (from.count() == 0) return 0;
    remove_privileges(f);
    i->i_mtime = i->i_ctime = current_time();
    mark_inode_dirty(i);
    done = -EOPNOTSUPP;
    if ((f->f_flags & O_DIRECT) != 0) {
      TRY_INT(filemap_write_and_wait(f->f_mapping, pos, pos + static_cast<loff_t>(from.count()), true));
      truncate_inode_pages(f->f_mapping, pos & static_cast<loff_t>(kPageMask));
      done = f->f_mapping->a_ops->direct_io(f, from, pos, true);
      if (done > 0) {
        pos += done;
        if (pos > i->i_size) i->i_size = pos;
      }
    }
    if (done == -EOPNOTSUPP) done = buffered_write(f, from, pos);
  }
  if (done > 0 && ((f->f_flags & O_DSYNC) != 0 || (from.rwf & (RWF_DSYNC | RWF_SYNC)) != 0 ||
                   (i->i_sb->s_flags & MS_SYNCHRONOUS) != 0)) {
    if (const int error = vfs_fsync(f, (f->f_flags & O_SYNC) != O_SYNC && (from.rwf & RWF_SYNC) == 0); error != 0)
      return error;
  }
  balance_dirty_pages(f->f_mapping);
  return done;
}

int generic_file_mmap(file* f, vm_area_struct* v) {
  v->vm_ops = &vm_ops;
  touch_atime(f);
  return 0;
}

page* take_dirty_page(address_space* m, u64* index, u64 last) {
  for (; *index <= last; ++*index) {
    page* p = nullptr;
    {
      IrqGuard guard(m->tree_lock);
      p = static_cast<page*>(m->pages.next(index));
      if (p == nullptr || *index > last) return nullptr;
      if (!p->test(PG_dirty) && p->mapcount.load() == 0) continue;
      p->refcount.inc();
    }
    lock_page(p);
    if (p->mapping == m && p->mapcount.load() > 0 && page_mkclean(p)) set_page_dirty(p);
    wait_on_page_writeback(p);
    if (p->mapping == m && p->test_and_clear(PG_dirty)) {
      m->nr_dirty.sub(1);
      count_vm(NR_FILE_DIRTY, -1);
      return p;
    }
    unlock_page(p);
    put_page(p);
    if (*index == ~0ul) break;
  }
  return nullptr;
}

int address_space_operations::write_pages(address_space* m, u64 first, u64 last, u64 limit) const {
  int error = 0;
  for (u64 index = first, written = 0; written < limit; ++index, ++written) {
    page* p = take_dirty_page(m, &index, last);
    if (p == nullptr) break;
    p->set(PG_writeback);
    count_vm(NR_WRITEBACK);
    if (const int e = write_page(p); e != 0) error = e;
    put_page(p);
  }
  return error;
}

int write_dirty_pages(address_space* m, u64 limit) { return m->a_ops->write_pages(m, 0, ~0ul >> 1, limit); }

int filemap_write_and_wait(address_space* m, loff_t first, loff_t last, bool wait) {
  if (m->a_ops == nullptr || !m->a_ops->writes_back() || m->nrpages == 0) return 0;
  const u64 last_index = static_cast<u64>(last) >> kPageShift;
  const bool mapped = !m->i_mmap.empty();
  int error = m->nr_dirty.load() == 0 && !mapped
                  ? 0
                  : m->a_ops->write_pages(m, static_cast<u64>(first) >> kPageShift, last_index, ~0ul);
  if (wait) {
    u64 index = static_cast<u64>(first) >> kPageShift;
    for (;;) {
      page* p = nullptr;
      {
        IrqGuard guard(m->tree_lock);
        p = static_cast<page*>(m->pages.next(&index));
        if (p != nullptr) p->refcount.inc();
      }
      if (p == nullptr) break;
      if (last_index < index) {
        put_page(p);
        break;
      }
      wait_on_page_writeback(p);
      put_page(p);
      ++index;
    }
    if (m->wb_error != 0) {
      error = m->wb_error;
      m->wb_error = 0;
    }
  }
  return error;
}

void truncate_inode_pages(address_space* m, loff_t from) {
  if (m->nrpages == 0) return;
  const u32 partial = static_cast<u32>(from & static_cast<loff_t>(kPageSize - 1));
  u64 index = static_cast<u64>(from) >> kPageShift;
  if (partial != 0) {
    if (page* p = find_get_page(m, index)) {
      lock_page(p);
      if (p->mapping == m && p->test(PG_uptodate))
        memset(static_cast<char*>(page_to_virt(p)) + partial, 0, kPageSize - partial);
      unlock_page(p);
      put_page(p);
    }
    ++index;
  }
  for (;;) {
    page* p = nullptr;
    {
      IrqGuard guard(m->tree_lock);
      p = static_cast<page*>(m->pages.next(&index));
      if (p != nullptr) p->refcount.inc();
    }
    if (p == nullptr) return;
    lock_page(p);
    wait_on_page_writeback(p);
    if (p->mapping == m) {
      remove_locked_page(m, p);
      put_page(p);  // the cache's reference
    }
    unlock_page(p);
    put_page(p);
    ++index;
  }
}

void truncate_inode_pages_range(address_space* m, u64 first, u64 last) {
  for (u64 index = first; index <= last; ++index) {
    page* p = nullptr;
    {
      IrqGuard guard(m->tree_lock);
      p = static_cast<page*>(m->pages.next(&index));
      if (p != nullptr && index <= last) p->refcount.inc();
    }
    if (p == nullptr || index > last) return;
    lock_page(p);
    wait_on_page_writeback(p);
    if (p->mapping == m) {
      remove_locked_page(m, p);
      put_page(p);  // the cache's reference
    }
    unlock_page(p);
    put_page(p);
  }
}

void truncate_setsize(inode* i, loff_t size) {
  const loff_t old = i->i_size;
  i->i_size = size;
  if (size >= old) {
    if (size > old &&
        (old & static_cast<loff_t>(kPageSize - 1)) != 0) {  // the tail of the old last page must read as zeros
      if (page* p = find_get_page(&i->i_data, static_cast<u64>(old) >> kPageShift)) {
        const u64 at = static_cast<u64>(old) & (kPageSize - 1);
        if (p->test(PG_uptodate)) memset(static_cast<char*>(page_to_virt(p)) + at, 0, kPageSize - at);
        put_page(p);
      }
    }
    return;
  }
  unmap_mapping_range(&i->i_data, div_round_up(static_cast<u64>(size), kPageSize), ~0ul >> 1);
  truncate_inode_pages(&i->i_data, size);
}

int generic_file_fsync(file* f, bool) {
  TRY_INT(filemap_write_and_wait(f->f_mapping, 0, 1ll << 62, true));
  return f->f_inode->i_sb->s_op->write_inode(f->f_inode, true);
}

// Drops clean, unmapped pages, oldest first; a referenced one gets a second chance.
u64 shrink_page_cache(u64 count) {
  u64 freed = 0;
  // Dirty pages stand together at the old end when somebody writes a lot: the clean ones behind them must be found.
  constexpr u64 kLeastScan = 1024;
  const u64 most = min(max(count * 4, kLeastScan), 2 * total_ram_pages());
  for (u64 scanned = 0; scanned < most && freed < count; ++scanned) {
    page* p = nullptr;
    {
      SpinGuard guard(lru_lock);
      p = list_first<&page::lru>(&clean_lru);
      if (p == nullptr) break;
      list_move_tail(&p->lru, &clean_lru);
      if (!p->refcount.inc_not_zero()) continue;
    }
    if (p->test_and_clear(PG_referenced) || !trylock_page(p)) {
      put_page(p);
      continue;
    }
    address_space* m = p->mapping;
    const bool idle = m != nullptr && !p->test(PG_dirty) && !p->test(PG_writeback) && p->mapcount.load() == 0 &&
                      p->refcount.load() == 2;
    if (idle) {
      remove_locked_page(m, p);
      put_page(p);
      ++freed;
    }
    unlock_page(p);
    put_page(p);
  }
  return freed;
}

}  // namespace xm::os
