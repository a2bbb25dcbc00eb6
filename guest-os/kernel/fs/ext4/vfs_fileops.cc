// SPDX-License-Identifier: GPL-2.0-or-later
// Operations on open files of ext4 besides reading and writing: allocation in advance, holes, maps of extents, flags.
#include "kernel/fs/ext4/vfs.h"
#include "kernel/fs/namei.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/uaccess.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr int FALLOC_KEEP_SIZE = 1, FALLOC_PUNCH_HOLE = 2, FALLOC_ZERO_RANGE = 0x10;
constexpr u32 FS_IOC_GETFLAGS = 0x80086601, FS_IOC_SETFLAGS = 0x40086602, FS_IOC_GETVERSION = 0x80087601,
              FS_IOC_FIEMAP = 0xc020660b, FITRIM = 0xc0185879;
constexpr u32 kSettableFlags = 0x000000f8 | 0x00010000 | 0x00000003;  // S, i, a, d, A; j is refused below

// Zeroes bytes [from, to) through the cache.
int zero_bytes(file* f, loff_t from, loff_t to) {
  inode* i = f->f_inode;
  while (from < to) {
    const u32 offset = static_cast<u32>(from & static_cast<loff_t>(kPageSize - 1));
    const u32 step = static_cast<u32>(min<u64>(kPageSize - offset, static_cast<u64>(to - from)));
    ext4_run run{};
    {
      MutexGuard guard(ext4_info(i)->lock);
      TRY_INT(ext4_map(ext4_info(i)->fs, ext4_body_of(i), static_cast<u32>(from >> i->i_blkbits), run));
    }
    page* cached = find_get_page(&i->i_data, static_cast<u64>(from) >> kPageShift);
    const bool there = cached != nullptr || (run.physical != 0 && !run.unwritten);
    if (cached != nullptr) put_page(cached);
    if (there) {
      page* p = TRY(read_mapping_page(&i->i_data, static_cast<u64>(from) >> kPageShift, f));
      lock_page(p);
      int error = 0;
      if (p->mapping == &i->i_data) {
        error = i->i_data.a_ops->write_begin(f, &i->i_data, p, offset, step);
        if (error == 0) {
          memset(static_cast<char*>(page_to_virt(p)) + offset, 0, step);
          set_page_dirty(p);
        }
      }
      unlock_page(p);
      put_page(p);
      if (error != 0) return error;
    }
    from += step;
  }
  return 0;
}

// Cached copies of blocks that become holes: zeros, in a page that stays.
void clear_cached(inode* i, loff_t from, loff_t to) {
  page* p = find_get_page(&i->i_data, static_cast<u64>(from) >> kPageShift);
  if (p == nullptr) return;
  lock_page(p);
  if (p->mapping == &i->i_data && p->test(PG_uptodate))
    memset(static_cast<char*>(page_to_virt(p)) + (from & static_cast<loff_t>(kPageSize - 1)), 0,
           static_cast<u64>(to - from));
  unlock_page(p);
  put_page(p);
}

// Whole blocks of [from, to) become holes, the edges zeros.
int punch(file* f, loff_t from, loff_t to) {
  inode* i = f->f_inode;
  const auto down = [](loff_t v, loff_t unit) { return v / unit * unit; };
  const loff_t block = 1ll << i->i_blkbits, page_size = static_cast<loff_t>(kPageSize);
  if (to >= i->i_size) to = down(i->i_size + block - 1, block);
  const loff_t first = down(from + block - 1, block), last = down(to, block);
  if (first >= last) return from < to ? zero_bytes(f, from, to) : 0;
  if (from < first) TRY_INT(zero_bytes(f, from, first));
  if (last < to) TRY_INT(zero_bytes(f, last, to));
  TRY_INT(filemap_write_and_wait(&i->i_data, down(from, page_size), 1ll << 62, true));
  const loff_t first_page = down(first + page_size - 1, page_size), last_page = down(last, page_size);
  unmap_mapping_range(&i->i_data, static_cast<u64>(first) >> kPageShift, static_cast<u64>(last - 1) >> kPageShift);
  if (first < first_page) clear_cached(i, first, min(first_page, last));
  if (last_page >= first_page && last_page < last) clear_cached(i, last_page, last);
  if (first_page < last_page)
    truncate_inode_pages_range(&i->i_data, static_cast<u64>(first_page) >> kPageShift,
                               (static_cast<u64>(last_page) >> kPageShift) - 1);
  const u64 end_block = min<u64>(static_cast<u64>(last) >> i->i_blkbits, ~0u);
  return ext4_truncate_blocks(i, static_cast<u32>(first >> i->i_blkbits), static_cast<u32>(end_block));
}

// Unwritten blocks wherever [from, to) has none.
int allocate(inode* i, loff_t from, loff_t to, bool keep_size) {
  ext4_sb_info* info = ext4_info(i);
  const u32 bits = i->i_blkbits;
  const u64 end = div_round_up(static_cast<u64>(to), 1u << bits);
  // Pages that wait for their blocks get them first: two claims to one block must not arise.
  TRY_INT(filemap_write_and_wait(&i->i_data, 0, 1ll << 62, true));
  for (u64 at = static_cast<u64>(from) >> bits; at < end;) {
    ext4_run run{};
    if (const int e = ext4_change(info,
                                  [&](ext4_fs& fs) -> int {
                                    TRY_INT(ext4_map(fs, ext4_body_of(i), static_cast<u32>(at), run));
                                    if (run.physical != 0) return 0;
                                    const u32 want = static_cast<u32>(min<u64>(run.count, end - at));
                                    if (ext4_available_blocks(fs, capable(CAP_SYS_RESOURCE)) < min(want, 2048u) + 16ul)
                                      return -ENOSPC;
                                    TRY_INT(ext4_map_new(fs, ext4_body_of(i), static_cast<u32>(at), want, true, run));
                                    return ext4_store_inode(fs, i);
                                  });
        e != 0)
      return e;
    at += run.count;
  }
  if (keep_size || to <= i->i_size) return 0;
  i->i_size = to;
  return ext4_change(info, [&](ext4_fs& fs) -> int {
    ext4_body_of(i).size = max(ext4_body_of(i).size, static_cast<u64>(to));
    return ext4_store_inode(fs, i);
  });
}

// The next byte at or after `at` that is data, or a hole.
loff_t seek_data_or_hole(inode* i, loff_t at, bool data) {
  if (at < 0 || at >= i->i_size) return -ENXIO;
  TRY_INT(filemap_write_and_wait(&i->i_data, 0, 1ll << 62, true));
  MutexGuard guard(ext4_info(i)->lock);
  const u32 bits = i->i_blkbits;
  while (at < i->i_size) {
    ext4_run run{};
    TRY_INT(ext4_map(ext4_info(i)->fs, ext4_body_of(i), static_cast<u32>(at >> bits), run));
    if ((run.physical != 0 && !run.unwritten) == data) return at;
    at = static_cast<loff_t>(((static_cast<u64>(at) >> bits) + run.count) << bits);
  }
  return data ? -ENXIO : i->i_size;
}

struct fiemap {
  u64 fm_start, fm_length;
  u32 fm_flags, fm_mapped_extents, fm_extent_count, fm_reserved;
};
struct fiemap_extent {
  u64 fe_logical, fe_physical, fe_length, fe_reserved64[2];
  u32 fe_flags, fe_reserved[3];
};
static_assert(sizeof(fiemap_extent) == 56);

long report_extents(inode* i, u64 argument) {
  constexpr u32 kLast = 1, kUnwritten = 0x800, kSync = 1;
  fiemap request;
  if (copy_from_user(&request, reinterpret_cast<void*>(argument), sizeof request) != 0) return -EFAULT;
  constexpr int EBADR = 53;
  if ((request.fm_flags & ~kSync) != 0) {
    request.fm_flags &= ~kSync;  // what is not known
    return copy_to_user(reinterpret_cast<void*>(argument), &request, sizeof request) != 0 ? -EFAULT : -EBADR;
  }
  TRY_INT(filemap_write_and_wait(&i->i_data, 0, 1ll << 62, true));
  const u32 bits = i->i_blkbits;
  const u64 blocks = (1ul << 32) - 1;
  u64 at = request.fm_start >> bits;
  const u64 end = min(blocks, request.fm_length >= ~request.fm_start - (1u << bits)
                                  ? blocks
                                  : div_round_up(request.fm_start + request.fm_length, 1u << bits));
  u32 found = 0;
  fiemap_extent last{};
  const auto give = [&](const fiemap_extent& e) -> long {
    if (request.fm_extent_count != 0) {
      const u64 to = argument + sizeof request + (found - 1) * sizeof e;
      if (copy_to_user(reinterpret_cast<void*>(to), &e, sizeof e) != 0) return -EFAULT;
    }
    return 0;
  };
  while (at < end) {
    ext4_run run{};
    {
      MutexGuard guard(ext4_info(i)->lock);
      TRY_INT(ext4_map(ext4_info(i)->fs, ext4_body_of(i), static_cast<u32>(at), run));
    }
    if (run.physical != 0) {
      if (found != 0) TRY_INT(give(last));
      if (request.fm_extent_count != 0 && found == request.fm_extent_count) goto full;
      ++found;
      last = {at << bits, run.physical << bits,           static_cast<u64>(run.count) << bits,
              {},         run.unwritten ? kUnwritten : 0, {}};
    }
    if (run.count > end - at) break;
    at += run.count;
  }
  if (found != 0) {
    last.fe_flags |= kLast;
    TRY_INT(give(last));
  }
full:
  request.fm_mapped_extents = found;
  return copy_to_user(reinterpret_cast<void*>(argument), &request, sizeof request) != 0 ? -EFAULT : 0;
}

long set_flags(file* f, u64 argument) {
  inode* i = f->f_inode;
  u32 flags;
  if (copy_from_user(&flags, reinterpret_cast<void*>(argument), 4) != 0) return -EFAULT;
  if (!inode_owner_or_capable(i)) return -EACCES;
  if (mnt_read_only(f->f_path.mnt)) return -EROFS;
  const u32 old = ext4_body_of(i).flags;
  const u32 guarded = EXT4_IMMUTABLE_FL | EXT4_APPEND_FL;
  if (((flags ^ old) & guarded) != 0 && !capable(CAP_LINUX_IMMUTABLE)) return -EPERM;
  if (((flags ^ old) & ~kSettableFlags & 0x000fffff & ~EXT4_EXTENTS_FL & ~EXT4_INDEX_FL) != 0) return -EOPNOTSUPP;
  WriteGuard guard(i->i_rwsem);
  return ext4_change(ext4_info(i), [&](ext4_fs& fs) -> int {
    ext4_body_of(i).flags = (old & ~kSettableFlags) | (flags & kSettableFlags);
    ext4_flags_to_vfs(i);
    i->i_ctime = current_time();
    return ext4_store_inode(fs, i);
  });
}

struct FileOps final : file_operations {
  ssize_t read_iter(file* f, iov_iter& to, loff_t& pos) const override { return generic_file_read_iter(f, to, pos); }
  ssize_t write_iter(file* f, iov_iter& from, loff_t& pos) const override {
    return generic_file_write_iter(f, from, pos);
  }
  int mmap(file* f, vm_area_struct* v) const override { return generic_file_mmap(f, v); }
  int fsync(file* f, bool data_only) const override { return ext4_fsync(f, data_only); }
  long ioctl(file* f, u32 command, u64 argument) const override { return ext4_ioctl(f, command, argument); }
  loff_t llseek(file* f, loff_t offset, int whence) const override {
    if (whence != SEEK_DATA && whence != SEEK_HOLE) return generic_llseek(f, offset, whence, f->f_inode->i_size);
    const loff_t at = TRY_INT(seek_data_or_hole(f->f_inode, offset, whence == SEEK_DATA));
    return f->f_pos = at;
  }
  int fallocate(file* f, int mode, loff_t offset, loff_t length) const override {
    if ((mode & ~(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) != 0) return -EOPNOTSUPP;
    inode* i = f->f_inode;
    if ((ext4_body_of(i).flags & EXT4_EXTENTS_FL) == 0) return -EOPNOTSUPP;
    WriteGuard guard(i->i_rwsem);
    i->i_mtime = i->i_ctime = current_time();
    mark_inode_dirty(i);
    if ((mode & (FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) != 0) TRY_INT(punch(f, offset, offset + length));
    if ((mode & FALLOC_PUNCH_HOLE) != 0) return 0;
    return allocate(i, offset, offset + length, (mode & FALLOC_KEEP_SIZE) != 0);
  }
};
constinit const FileOps file_ops{};

}  // namespace

constinit const file_operations& ext4_file_ops = file_ops;

long ext4_ioctl(file* f, u32 command, u64 argument) {
  inode* i = f->f_inode;
  const auto give = [&](u32 value) -> long {
    return copy_to_user(reinterpret_cast<void*>(argument), &value, 4) != 0 ? -EFAULT : 0;
  };
  switch (command) {
    case FS_IOC_GETFLAGS: return give(ext4_body_of(i).flags & 0x000fffff);
    case FS_IOC_SETFLAGS: return set_flags(f, argument);
    case FS_IOC_GETVERSION: return give(ext4_body_of(i).generation);
    case FS_IOC_FIEMAP: return S_ISREG(i->i_mode) ? report_extents(i, argument) : -EOPNOTSUPP;
    case FITRIM: return -EOPNOTSUPP;
    default: return -ENOTTY;
  }
}

}  // namespace xm::os
