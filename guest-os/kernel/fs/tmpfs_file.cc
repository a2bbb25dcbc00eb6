// SPDX-License-Identifier: GPL-2.0-or-later
// The contents of files in memory: pages that are counted against the size of the file system, holes, fallocate, and
// the seals of memfd_create. [man 2 memfd_create], [man 2 fallocate]
#include "kernel/fs/tmpfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/mm.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr int FALLOC_FL_KEEP_SIZE = 1, FALLOC_FL_PUNCH_HOLE = 2;

tmpfs_info* info_of(const inode* i) { return static_cast<tmpfs_info*>(i->i_sb->s_fs_info); }

// A locked page of zeros that belongs to the file from now on. PG_private: it is counted.
int own_page(inode* i, page* p, bool limited) {
  tmpfs_info* info = info_of(i);
  if (info->used.add(1) > info->max_blocks && info->max_blocks != 0 && limited) {
    info->used.sub(1);
    return -ENOSPC;
  }
  memset(page_to_virt(p), 0, kPageSize);
  p->set(PG_uptodate);
  p->set(PG_private);
  i->i_blocks += kPageSize / 512;
  return 0;
}

struct TmpfsAops final : address_space_operations {
  int read_page(file*, page* p) const override {
    if (p->mapping != nullptr) own_page(p->mapping->host, p, false);
    p->set(PG_dirty);  // never clean: memory is the only copy
    unlock_page(p);
    return 0;
  }
  int write_begin(file*, address_space* m, page* p, u32, u32) const override {
    return p->test(PG_uptodate) ? 0 : own_page(m->host, p, true);
  }
  void release_page(page* p) const override {
    if (!p->test_and_clear(PG_private)) return;
    info_of(p->mapping->host)->used.sub(1);
    p->mapping->host->i_blocks -= kPageSize / 512;
  }
  bool writes_back() const override { return false; }
};
constinit const TmpfsAops address_ops{};

// Pages [first, last) for good; those that it made are taken back when there is no room for all.
int allocate_pages(inode* i, u64 first, u64 last) {
  tmpfs_info* info = info_of(i);
  if (info->max_blocks != 0 && last - first > info->max_blocks) return -ENOSPC;
  u64 made_from = first;
  for (u64 index = first; index < last; ++index) {
    auto got = find_or_create_page(&i->i_data, index);
    int error = got.ok() ? 0 : -got.error();
    if (error == 0) {
      page* p = got.value();
      const bool fresh = !p->test(PG_uptodate);
      if (fresh) error = own_page(i, p, true);
      if (error == 0) set_page_dirty(p);
      if (!fresh && made_from == index) made_from = index + 1;
      unlock_page(p);
      put_page(p);
    }
    if (error == 0 && !signal_pending_current()) continue;
    if (made_from <= index) truncate_inode_pages_range(&i->i_data, made_from, index);
    return error != 0 ? error : -EINTR;
  }
  return 0;
}

void zero_part(inode* i, u64 from, u64 to) {
  page* p = find_get_page(&i->i_data, from >> kPageShift);
  if (p == nullptr) return;
  memset(static_cast<char*>(page_to_virt(p)) + (from & (kPageSize - 1)), 0, to - from);
  put_page(p);
}

void punch(inode* i, u64 from, u64 to) {
  const u64 first = page_align(from), last = to & kPageMask;
  if (first > last) return zero_part(i, from, to);
  if (from < first) zero_part(i, from, first);
  if (last < to) zero_part(i, last, to);
  if (first >= last) return;
  unmap_mapping_range(&i->i_data, first >> kPageShift, (last >> kPageShift) - 1);
  truncate_inode_pages_range(&i->i_data, first >> kPageShift, (last >> kPageShift) - 1);
}

loff_t seek_data_or_hole(inode* i, loff_t at, bool data) {
  if (at < 0 || at >= i->i_size) return -ENXIO;
  IrqGuard guard(i->i_data.tree_lock);
  u64 index = static_cast<u64>(at) >> kPageShift;
  if (data) {
    if (i->i_data.pages.next(&index) == nullptr) return -ENXIO;
  } else {
    for (u64 found = index; i->i_data.pages.next(&found) != nullptr && found == index; found = ++index) {
    }
  }
  const loff_t start = static_cast<loff_t>(index << kPageShift);
  if (start >= i->i_size) return data ? -ENXIO : i->i_size;
  return max(at, start);
}

bool mapped_writable(inode* i) {
  SpinGuard guard(i->i_data.i_mmap_lock);
  for (const vm_area_struct* v : entries<&vm_area_struct::shared>(i->i_data.i_mmap)) {
    if ((v->vm_flags & (VM_SHARED | VM_MAYWRITE)) == (VM_SHARED | VM_MAYWRITE)) return true;
  }
  return false;
}

constexpr u32 kNoWrite = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;

struct TmpfsFileOps final : file_operations {
  ssize_t read_iter(file* f, iov_iter& to, loff_t& pos) const override { return generic_file_read_iter(f, to, pos); }
  ssize_t write_iter(file* f, iov_iter& from, loff_t& pos) const override {
    const u32 seals = f->f_inode->i_seals;
    if ((seals & kNoWrite) != 0) return -EPERM;
    if ((seals & F_SEAL_GROW) != 0) {
      const loff_t size = f->f_inode->i_size, start = (f->f_flags & O_APPEND) != 0 ? size : pos;
      if (start >= size) return -EPERM;
      from.truncate(static_cast<u64>(size - start));
    }
    return generic_file_write_iter(f, from, pos);
  }
  int mmap(file* f, vm_area_struct* v) const override {
    if ((f->f_inode->i_seals & kNoWrite) != 0 && (v->vm_flags & VM_SHARED) != 0) {
      if ((v->vm_flags & VM_WRITE) != 0) return -EPERM;
      v->vm_flags &= ~VM_MAYWRITE;
    }
    return generic_file_mmap(f, v);
  }
  int fsync(file*, bool) const override { return 0; }
  loff_t llseek(file* f, loff_t offset, int whence) const override {
    if (whence != SEEK_DATA && whence != SEEK_HOLE) return generic_llseek(f, offset, whence, f->f_inode->i_size);
    const loff_t at = TRY_INT(seek_data_or_hole(f->f_inode, offset, whence == SEEK_DATA));
    return f->f_pos = at;
  }
  int fallocate(file* f, int mode, loff_t offset, loff_t length) const override {
    inode* i = f->f_inode;
    if ((mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)) != 0) return -EOPNOTSUPP;
    WriteGuard guard(i->i_rwsem);
    const loff_t end = offset + length;
    if ((mode & FALLOC_FL_PUNCH_HOLE) != 0) {
      if ((i->i_seals & kNoWrite) != 0) return -EPERM;
      punch(i, static_cast<u64>(offset), static_cast<u64>(end));
      return 0;
    }
    const bool grows = (mode & FALLOC_FL_KEEP_SIZE) == 0 && end > i->i_size;
    if (grows && static_cast<u64>(end) > current->signal->rlim[RLIMIT_FSIZE].cur) return -EFBIG;
    if ((i->i_seals & F_SEAL_GROW) != 0 && end > i->i_size) return -EPERM;
    TRY_INT(allocate_pages(i, static_cast<u64>(offset) >> kPageShift, page_align(static_cast<u64>(end)) >> kPageShift));
    if (grows) i->i_size = end;
    i->i_ctime = current_time();
    return 0;
  }
};
constinit const TmpfsFileOps file_ops{};

}  // namespace

constinit const address_space_operations& tmpfs_address_ops = address_ops;
constinit const file_operations& tmpfs_file_operations = file_ops;

long memfd_add_seals(file* f, u64 seals) {
  constexpr u64 kAll = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
  inode* i = f->f_inode;
  if (f->f_op != &file_ops) return -EINVAL;
  if ((f->f_mode & FMODE_WRITE) == 0) return -EPERM;
  if ((seals & ~kAll) != 0) return -EINVAL;
  WriteGuard guard(i->i_rwsem);
  if ((i->i_seals & F_SEAL_SEAL) != 0) return -EPERM;
  if ((seals & F_SEAL_WRITE) != 0 && (i->i_seals & F_SEAL_WRITE) == 0 && mapped_writable(i)) return -EBUSY;
  i->i_seals |= static_cast<u32>(seals);
  return 0;
}

long memfd_get_seals(const file* f) { return f->f_op == &file_ops ? static_cast<long>(f->f_inode->i_seals) : -EINVAL; }

}  // namespace xm::os
