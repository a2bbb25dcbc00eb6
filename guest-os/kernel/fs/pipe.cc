// SPDX-License-Identifier: GPL-2.0-or-later
// Pipes and FIFOs: a ring of pages between readers and writers, an inode with its own operations. Writes of up to
// PIPE_BUF (4096) bytes are atomic. [man 7 pipe], [man 7 fifo]
#include "kernel/fs/pipe.h"

#include "kernel/fs/poll.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/signal/signal.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

struct pipe_inode_info {
  mutex lock;
  wait_queue_head rd_wait, wr_wait;
  char** pages = nullptr;  // ring of single pages
  u32 ring_size = 16;
  u64 head = 0, tail = 0;  // bytes written and read
  u32 readers = 0, writers = 0;
  u32 r_counter = 0, w_counter = 0;  // how often each end was opened: FIFO open waits on it
  u32 files = 0;
  user_struct* user = nullptr;  // who is charged for the ring
};

namespace {

constexpr u32 kPipeBuf = 4096;
constinit vfsmount* pipe_mount = nullptr;
constinit s64 pipe_max_size = 1 << 20, user_pages_soft = 16384, user_pages_hard = 0;

u64 capacity(const pipe_inode_info* p) { return static_cast<u64>(p->ring_size) * kPageSize; }
u64 used(const pipe_inode_info* p) { return p->head - p->tail; }

bool over_limit(const user_struct* user, u32 more, s64 limit) {
  return limit != 0 && user->pipe_pages.load() + more > limit;
}

pipe_inode_info* alloc_pipe() {
  pipe_inode_info* p = knew<pipe_inode_info>();
  if (p == nullptr) return nullptr;
  p->user = current->cred_->user;
  const bool limited = !capable(CAP_SYS_RESOURCE) && !capable(CAP_SYS_ADMIN);
  if (limited && capacity(p) > static_cast<u64>(pipe_max_size))
    p->ring_size = static_cast<u32>(pipe_max_size >> kPageShift);
  if (limited && over_limit(p->user, p->ring_size, user_pages_soft)) p->ring_size = 2;
  if (limited && over_limit(p->user, p->ring_size, user_pages_hard)) {
    kdelete(p);
    return nullptr;
  }
  p->user->pipe_pages.add(p->ring_size);
  p->pages = static_cast<char**>(kzalloc(p->ring_size * sizeof(char*)));
  if (p->pages == nullptr) {
    p->user->pipe_pages.sub(p->ring_size);
    kdelete(p);
    return nullptr;
  }
  return p;
}

void free_pipe(pipe_inode_info* p) {
  for (u32 i = 0; i < p->ring_size; ++i) {
    if (p->pages[i] != nullptr) free_page(p->pages[i]);
  }
  kfree(p->pages);
  p->user->pipe_pages.sub(p->ring_size);
  kdelete(p);
}

// Moves up to n bytes; page by page. Returns bytes moved.
u64 read_ring(pipe_inode_info* p, iov_iter& to) {
  u64 done = 0;
  while (to.count() > 0 && used(p) > 0) {
    const u64 offset = p->tail & (kPageSize - 1);
    char*& ring_page = p->pages[(p->tail >> kPageShift) % p->ring_size];
    const u64 step = min(min(kPageSize - offset, used(p)), to.count());
    const u64 moved = to.copy_to(ring_page + offset, step);
    p->tail += moved;
    done += moved;
    if (moved < step) break;
  }
  if (used(p) == 0) p->head = p->tail = 0;  // keep using the same, warm page
  return done;
}

u64 write_ring(pipe_inode_info* p, iov_iter& from, bool* no_memory) {
  u64 done = 0;
  while (from.count() > 0 && used(p) < capacity(p)) {
    const u64 offset = p->head & (kPageSize - 1);
    char*& ring_page = p->pages[(p->head >> kPageShift) % p->ring_size];
    if (ring_page == nullptr) ring_page = static_cast<char*>(get_free_page(GFP_KERNEL));
    if (ring_page == nullptr) {
      *no_memory = true;
      break;
    }
    const u64 step = min(min(kPageSize - offset, capacity(p) - used(p)), from.count());
    const u64 moved = from.copy_from(ring_page + offset, step);
    p->head += moved;
    done += moved;
    if (moved < step) break;
  }
  return done;
}

struct PipeFileOps : file_operations {
  loff_t llseek(file*, loff_t, int) const override { return -ESPIPE; }
  bool has_poll() const override { return true; }

  ssize_t read_iter(file* f, iov_iter& to, loff_t&) const override {
    pipe_inode_info* p = f->f_inode->i_pipe;
    if (to.count() == 0) return 0;
    for (;;) {
      mutex_lock(p->lock);
      const u64 before = used(p);
      const bool was_full = before + kPipeBuf > capacity(p);
      const u64 done = before > 0 ? read_ring(p, to) : 0;
      const bool no_writers = p->writers == 0;
      mutex_unlock(p->lock);
      if (before > 0) {
        if (was_full || done == before) wake_up_nr_all(p->wr_wait);
        return done > 0 ? static_cast<ssize_t>(done) : -EFAULT;
      }
      if (no_writers) return 0;
      if ((f->f_flags & O_NONBLOCK) != 0 || (to.rwf & RWF_NOWAIT) != 0) return -EAGAIN;
      TRY_INT(wait_event_state(
          p->rd_wait, TASK_INTERRUPTIBLE,
          [&] { return read_once(p->head) != read_once(p->tail) || read_once(p->writers) == 0; }, 0, true));
    }
  }

  static void wake_up_nr_all(wait_queue_head& q) { wake_up(q, POLLOUT | POLLWRNORM); }

  ssize_t write_iter(file* f, iov_iter& from, loff_t&) const override {
    pipe_inode_info* p = f->f_inode->i_pipe;
    const u64 total = from.count();
    if (total == 0) return 0;
    u64 done = 0;
    for (;;) {
      mutex_lock(p->lock);
      if (p->readers == 0) {
        mutex_unlock(p->lock);
        send_sig(SIGPIPE, current);
        return done > 0 ? static_cast<ssize_t>(done) : -EPIPE;
      }
      const u64 room = capacity(p) - used(p);
      const bool fits = total > kPipeBuf ? room > 0 : room >= total - done;
      bool no_memory = false;
      u64 moved = 0;
      const bool was_empty = used(p) == 0;
      if (fits) moved = write_ring(p, from, &no_memory);
      done += moved;
      const bool space_left = used(p) < capacity(p);
      mutex_unlock(p->lock);
      if (moved > 0 && was_empty) wake_up(p->rd_wait, POLLIN | POLLRDNORM);
      if (moved > 0 && !was_empty) wake_up(p->rd_wait, POLLIN | POLLRDNORM);
      if (done == total) {
        if (space_left) wake_up(p->wr_wait, POLLOUT | POLLWRNORM);
        return static_cast<ssize_t>(done);
      }
      if (no_memory) return done > 0 ? static_cast<ssize_t>(done) : -ENOMEM;
      if (fits && space_left)
        return done > 0 ? static_cast<ssize_t>(done) : -EFAULT;  // stopped although there was room: a bad pointer
      if ((f->f_flags & O_NONBLOCK) != 0 || (from.rwf & RWF_NOWAIT) != 0)
        return done > 0 ? static_cast<ssize_t>(done) : -EAGAIN;
      const u64 needed = total > kPipeBuf ? 1 : total - done;
      const long r = wait_event_state(
          p->wr_wait, TASK_INTERRUPTIBLE, [&] { return capacity(p) - used(p) >= needed || read_once(p->readers) == 0; },
          0, true);
      if (r != 0) return done > 0 ? static_cast<ssize_t>(done) : r;
    }
  }

  u32 poll(file* f, poll_table* table) const override {
    pipe_inode_info* p = f->f_inode->i_pipe;
    u32 events = 0;
    if ((f->f_mode & FMODE_READ) != 0) {
      poll_wait(f, p->rd_wait, table);
      if (used(p) > 0) events |= POLLIN | POLLRDNORM;
      if (p->writers == 0 && f->private_data != reinterpret_cast<void*>(static_cast<u64>(p->w_counter) + 1))
        events |= POLLHUP;
    }
    if ((f->f_mode & FMODE_WRITE) != 0) {
      poll_wait(f, p->wr_wait, table);
      if (capacity(p) - used(p) >= kPipeBuf) events |= POLLOUT | POLLWRNORM;
      if (p->readers == 0) events |= POLLERR;
    }
    return events;
  }

  long ioctl(file* f, u32 command, u64 argument) const override {
    constexpr u32 kFionread = 0x541b;
    if (command != kFionread) return -ENOIOCTLCMD;
    return put_user_at(static_cast<int>(used(f->f_inode->i_pipe)), argument);
  }

  void release(inode* i, file* f) const override {
    pipe_inode_info* p = i->i_pipe;
    mutex_lock(p->lock);
    if ((f->f_mode & FMODE_READ) != 0) --p->readers;
    if ((f->f_mode & FMODE_WRITE) != 0) --p->writers;
    mutex_unlock(p->lock);
    wake_up_all(p->rd_wait, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLERR | POLLHUP);
    wake_up_all(p->wr_wait, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLERR | POLLHUP);
    abandon(i, p);  // our count kept the pipe alive until here
  }

  // FIFO: each end waits for the other, unless O_RDWR or O_NONBLOCK. [man 7 fifo]
  int open(inode* i, file* f) const override {
    pipe_inode_info* fresh = alloc_pipe();
    if (fresh == nullptr) return -ENOMEM;
    {
      SpinGuard guard(i->i_lock);
      if (i->i_pipe == nullptr) {
        i->i_pipe = fresh;
        fresh = nullptr;
      }
      ++i->i_pipe->files;
    }
    if (fresh != nullptr) free_pipe(fresh);
    pipe_inode_info* p = i->i_pipe;
    f->f_mode = (f->f_mode & ~FMODE_LSEEK) | FMODE_STREAM;
    const bool reads = (f->f_mode & FMODE_READ) != 0, writes = (f->f_mode & FMODE_WRITE) != 0;
    if (writes && !reads && (f->f_flags & O_NONBLOCK) != 0 && p->readers == 0) {
      abandon(i, p);
      return -ENXIO;
    }
    mutex_lock(p->lock);
    if (reads) ++p->readers, ++p->r_counter;
    if (writes) ++p->writers, ++p->w_counter;
    const u32 seen_readers = p->r_counter, seen_writers = p->w_counter;
    if (reads && !writes && p->writers == 0)
      f->private_data =
          reinterpret_cast<void*>(static_cast<u64>(p->w_counter) + 1);  // no hang-up before a first writer
    mutex_unlock(p->lock);
    wake_up_all(p->rd_wait, 0);
    wake_up_all(p->wr_wait, 0);
    long error = 0;
    if (reads && !writes && p->writers == 0 && (f->f_flags & O_NONBLOCK) == 0) {
      error = wait_event_interruptible(p->rd_wait, [&] { return read_once(p->w_counter) != seen_writers; });
    } else if (writes && !reads && p->readers == 0) {
      error = wait_event_interruptible(p->wr_wait, [&] { return read_once(p->r_counter) != seen_readers; });
    }
    if (error != 0) release(i, f);
    return static_cast<int>(error);
  }

  static void abandon(inode* i, pipe_inode_info* p) {
    SpinGuard guard(i->i_lock);
    if (--p->files != 0) return;
    i->i_pipe = nullptr;
    free_pipe(p);
  }
};
constinit const PipeFileOps pipe_file_ops{};

struct PipeDentryOps final : dentry_operations {
  void dname(const dentry* d, char* text, size_t size) const override {
    format(text, size, "pipe:[%lu]", d->d_inode->i_ino);
  }
};
constinit const PipeDentryOps pipe_dentry_ops{};

struct PipeSuperOps final : super_operations {
  bool drop_inode(const inode*) const override { return true; }
};
constinit const PipeSuperOps pipe_super_ops{};

int fill_pipefs(super_block* sb, const char*, const char*, u64) {
  sb->s_magic = 0x50495045;
  sb->s_op = &pipe_super_ops;
  inode* root = new_inode(sb);
  if (root == nullptr) return -ENOMEM;
  root->i_mode = S_IFDIR | 0600;
  sb->s_root = d_make_root(root);
  return 0;
}
constinit file_system_type pipefs_type{"pipefs", FS_SINGLE, fill_pipefs};

}  // namespace

extern const file_operations& fifo_file_ops;
constinit const file_operations& fifo_file_ops = pipe_file_ops;

void pipe_init() {
  register_filesystem(&pipefs_type);
  pipe_mount = kern_mount(&pipefs_type);
}

namespace {

int store_max_size(const char* text, size_t, void*) {
  const u64 v = parse_number(text, nullptr, 10);
  if (v == 0 || v > 1ul << 31) return -EINVAL;
  u64 pages = 1;
  while (pages * kPageSize < v) pages *= 2;
  pipe_max_size = static_cast<s64>(pages * kPageSize);
  return 0;
}
void pipe_sysctls() {
  proc_create(
      &proc_root, "sys/fs/pipe-max-size", 0644, [](TextBuffer& out, void*) { out.print("%ld\n", pipe_max_size); },
      store_max_size);
  static constinit proc_number rows[] = {{&user_pages_soft, 0, 1l << 40}, {&user_pages_hard, 0, 1l << 40}};
  proc_create_number("sys/fs/pipe-user-pages-soft", 0644, &rows[0]);
  proc_create_number("sys/fs/pipe-user-pages-hard", 0644, &rows[1]);
}
FS_INITCALL(pipe_sysctls);

}  // namespace

int create_pipe_files(file** out, u32 flags) {
  inode* i = new_inode(pipe_mount->mnt_sb);
  if (i == nullptr) return -ENFILE;
  i->i_ino = get_next_ino();
  inode_init_owner(i, nullptr, S_IFIFO | 0600);
  i->i_fop = &pipe_file_ops;
  i->i_pipe = alloc_pipe();
  dentry* d = i->i_pipe == nullptr ? nullptr : d_alloc_pseudo(pipe_mount->mnt_sb, "");
  if (d == nullptr) {
    iput(i);
    return -ENOMEM;
  }
  d->d_op = &pipe_dentry_ops;
  d_instantiate(d, i);
  i->i_pipe->readers = i->i_pipe->writers = 1;
  i->i_pipe->files = 2;
  dget(d);
  out[0] = alloc_file({mntget(pipe_mount), d}, O_RDONLY | (flags & O_NONBLOCK), &pipe_file_ops);
  out[1] = alloc_file({mntget(pipe_mount), d}, O_WRONLY | (flags & (O_NONBLOCK | O_DIRECT)), &pipe_file_ops);
  if (out[0] == nullptr || out[1] == nullptr) return -ENFILE;
  for (int n = 0; n < 2; ++n) out[n]->f_mode = (out[n]->f_mode & ~FMODE_LSEEK) | FMODE_STREAM;
  return 0;
}

namespace {

long wait_for_data(pipe_inode_info* p, bool nonblock) {  // bytes there; 0: no writer is left
  for (;;) {
    {
      MutexGuard guard(p->lock);
      if (used(p) > 0) return static_cast<long>(used(p));
      if (p->writers == 0) return 0;
    }
    if (nonblock) return -EAGAIN;
    TRY_INT(wait_event_interruptible(p->rd_wait, [&] { return used(p) > 0 || read_once(p->writers) == 0; }));
  }
}

}  // namespace

bool pipe_is_empty(const file* f) { return used(f->f_inode->i_pipe) == 0; }

ssize_t pipe_peek(file* f, void* buffer, u64 n, bool nonblock) {
  pipe_inode_info* p = f->f_inode->i_pipe;
  const long there = wait_for_data(p, nonblock);
  if (there <= 0) return there;
  MutexGuard guard(p->lock);
  const u64 head = p->head, tail = p->tail;
  iov_iter to = iov_iter::kernel(buffer, n);
  const u64 done = read_ring(p, to);
  p->head = head;
  p->tail = tail;
  return static_cast<ssize_t>(done);
}

void pipe_consume(file* f, u64 n) {
  pipe_inode_info* p = f->f_inode->i_pipe;
  {
    MutexGuard guard(p->lock);
    p->tail += min(n, used(p));
    if (used(p) == 0) p->head = p->tail = 0;
  }
  wake_up(p->wr_wait, POLLOUT | POLLWRNORM);
}

long pipe_wait_room(file* f, bool nonblock) {
  pipe_inode_info* p = f->f_inode->i_pipe;
  for (;;) {
    {
      MutexGuard guard(p->lock);
      if (p->readers == 0) {
        send_sig(SIGPIPE, current);
        return -EPIPE;
      }
      if (used(p) < capacity(p)) return static_cast<long>(capacity(p) - used(p));
    }
    if (nonblock) return -EAGAIN;
    TRY_INT(wait_event_interruptible(p->wr_wait, [&] { return used(p) < capacity(p) || read_once(p->readers) == 0; }));
  }
}

ssize_t pipe_write_some(file* f, iov_iter& from, bool nonblock) {
  pipe_inode_info* p = f->f_inode->i_pipe;
  TRY_INT(pipe_wait_room(f, nonblock));
  bool no_memory = false;
  u64 done;
  {
    MutexGuard guard(p->lock);
    done = write_ring(p, from, &no_memory);
  }
  if (done > 0) wake_up(p->rd_wait, POLLIN | POLLRDNORM);
  if (done > 0) return static_cast<ssize_t>(done);
  return no_memory ? -ENOMEM : (from.is_user() ? -EFAULT : -EAGAIN);
}

bool is_pipe(const file* f) { return f->f_op == &pipe_file_ops; }
long pipe_size(const file* f) { return static_cast<long>(capacity(f->f_inode->i_pipe)); }

long pipe_set_size(file* f, u64 bytes) {
  pipe_inode_info* p = f->f_inode->i_pipe;
  if (bytes > 1ul << 31) return -EINVAL;
  u32 count = 1;
  while (static_cast<u64>(count) * kPageSize < bytes) count *= 2;
  const bool limited = !capable(CAP_SYS_RESOURCE);
  if (count > p->ring_size && static_cast<s64>(count * kPageSize) > pipe_max_size && limited) return -EPERM;
  MutexGuard guard(p->lock);
  if (count > p->ring_size && limited && !capable(CAP_SYS_ADMIN)) {
    const u32 more = count - p->ring_size;
    if (over_limit(p->user, more, user_pages_soft) || over_limit(p->user, more, user_pages_hard)) return -EPERM;
  }
  if (used(p) > static_cast<u64>(count) * kPageSize) return -EBUSY;
  char** pages = static_cast<char**>(kzalloc(count * sizeof(char*)));
  if (pages == nullptr) return -ENOMEM;
  // Copy the contents to the front of the new ring.
  const u64 length = used(p);
  u64 done = 0;
  for (u32 i = 0; i < count && done < length; ++i) {
    pages[i] = static_cast<char*>(get_free_page(GFP_KERNEL | GFP_NOFAIL));
    iov_iter to = iov_iter::kernel(pages[i], min(kPageSize, length - done));
    done += read_ring(p, to);
  }
  for (u32 i = 0; i < p->ring_size; ++i) {
    if (p->pages[i] != nullptr) free_page(p->pages[i]);
  }
  kfree(p->pages);
  p->user->pipe_pages.add(static_cast<s64>(count) - p->ring_size);
  p->pages = pages;
  p->ring_size = count;
  p->tail = 0;
  p->head = length;
  return static_cast<long>(capacity(p));
}

}  // namespace xm::os
