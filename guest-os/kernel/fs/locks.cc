// SPDX-License-Identifier: GPL-2.0-or-later
// Advisory locks. Each inode has one list; a lock knows its owner: the file (flock, OFD) or the descriptor table
// (POSIX). One global wait queue: lock traffic is rare. Deadlocks of POSIX locks are found by following who waits for
// whom. [man 2 flock], [man 2 fcntl]
#include "kernel/fs/locks.h"

#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/signal/signal.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

enum class LockKind : u8 { Flock, Posix, Ofd };
struct file_lock {
  file_lock* next;
  const void* owner;
  LockKind kind;
  short type;      // F_RDLCK, F_WRLCK
  s64 start, end;  // inclusive
  pid_t pid;
  inode* where;
};

namespace {

constinit spinlock_t lock_lock{LockRank::None};
constinit wait_queue_head lock_wait{};

struct Blocked {  // a POSIX waiter, for deadlock detection
  list_head link;
  const file_lock* want;
};
constinit list_head blocked{};

bool same_space(LockKind a, LockKind b) { return (a == LockKind::Flock) == (b == LockKind::Flock); }

file_lock* find_conflict(const inode* i, const file_lock& want) {
  for (file_lock* l = i->i_flock; l != nullptr; l = l->next) {
    if (!same_space(l->kind, want.kind) || l->owner == want.owner) continue;
    if (l->end < want.start || want.end < l->start) continue;
    if (l->type == F_WRLCK || want.type == F_WRLCK) return l;
  }
  return nullptr;
}

file_lock* new_lock(const file_lock& like) {
  file_lock* l = static_cast<file_lock*>(kmalloc(sizeof(file_lock), GFP_ATOMIC));
  if (l != nullptr) *l = like;
  return l;
}

// Replaces what the owner holds in [start, end] by `want` (F_UNLCK: by nothing).
int apply(inode* i, const file_lock& want) {
  file_lock** at = &i->i_flock;
  while (*at != nullptr) {
    file_lock* l = *at;
    if (l->owner != want.owner || l->kind != want.kind || l->end < want.start || want.end < l->start) {
      at = &l->next;
      continue;
    }
    const bool before = l->start<want.start, after = l->end> want.end;
    if (before && after) {
      file_lock* tail = new_lock(*l);
      if (tail == nullptr) return -ENOLCK;
      tail->start = want.end + 1;
      l->end = want.start - 1;
      tail->next = l->next;
      l->next = tail;
      at = &tail->next;
    } else if (before) {
      l->end = want.start - 1;
      at = &l->next;
    } else if (after) {
      l->start = want.end + 1;
      at = &l->next;
    } else {
      *at = l->next;
      kfree(l);
    }
  }
  if (want.type == F_UNLCK) return 0;
  file_lock* fresh = new_lock(want);
  if (fresh == nullptr) return -ENOLCK;
  // Join with neighbours of the same owner and type.
  at = &i->i_flock;
  while (*at != nullptr) {
    file_lock* l = *at;
    const bool touches = l->owner == want.owner && l->kind == want.kind && l->type == want.type &&
                         l->end + 1 >= fresh->start && fresh->end + 1 >= l->start;
    if (!touches || want.kind == LockKind::Flock) {
      at = &l->next;
      continue;
    }
    fresh->start = min(fresh->start, l->start);
    fresh->end = max(fresh->end, l->end);
    *at = l->next;
    kfree(l);
  }
  // The locks of one owner stay in order of their start: F_GETLK reports the first.
  at = &i->i_flock;
  while (*at != nullptr && ((*at)->owner != want.owner || (*at)->start < fresh->start)) at = &(*at)->next;
  fresh->next = *at;
  *at = fresh;
  return 0;
}

bool would_deadlock(const void* owner, const void* holder) {
  for (int depth = 0; depth < 32 && holder != nullptr; ++depth) {
    if (holder == owner) return true;
    const void* next = nullptr;
    for (Blocked* b : entries<&Blocked::link>(blocked)) {
      if (b->want->owner != holder) continue;
      const file_lock* conflict = find_conflict(b->want->where, *b->want);
      if (conflict != nullptr) next = conflict->owner;
    }
    holder = next;
  }
  return false;
}

long acquire(file* f, const file_lock& want, bool wait) {
  inode* i = f->f_inode;
  for (;;) {
    Blocked self;
    {
      SpinGuard guard(lock_lock);
      const file_lock* conflict = want.type == F_UNLCK ? nullptr : find_conflict(i, want);
      if (conflict == nullptr) {
        const int error = apply(i, want);
        wake_up_all(lock_wait);
        return error;
      }
      if (!wait) return -EAGAIN;
      if (want.kind == LockKind::Posix) {
        if (would_deadlock(want.owner, conflict->owner)) return -EDEADLK;
        self.want = &want;
        list_add(&self.link, &blocked);
      }
    }
    const long r = wait_event_interruptible(lock_wait, [&] {
      SpinGuard guard(lock_lock);
      return find_conflict(i, want) == nullptr;
    });
    {
      SpinGuard guard(lock_lock);
      list_del(&self.link);
    }
    if (r != 0) return r;
  }
}

// l_whence and negative lengths to an inclusive range.
int range_of(file* f, const flock& u, s64& start, s64& end) {
  s64 base;
  switch (u.l_whence) {
    case SEEK_SET: base = 0; break;
    case SEEK_CUR: base = f->f_pos; break;
    case SEEK_END: base = f->f_inode->i_size; break;
    default: return -EINVAL;
  }
  constexpr s64 kMax = (1ul << 63) - 1;
  if (u.l_start > 0 && base > kMax - u.l_start) return -EOVERFLOW;
  start = base + u.l_start;
  if (start < 0) return -EINVAL;
  if (u.l_len > 0) {
    if (u.l_len - 1 > kMax - start) return -EOVERFLOW;
    end = start + u.l_len - 1;
  } else if (u.l_len < 0) {
    if (start + u.l_len < 0) return -EINVAL;
    end = start - 1;
    start += u.l_len;
  } else {
    end = kMax;
  }
  return 0;
}

template <class Match>
void release_matching(inode* i, Match match) {
  SpinGuard guard(lock_lock);
  for (file_lock** at = &i->i_flock; *at != nullptr;) {
    file_lock* l = *at;
    if (!match(l)) {
      at = &l->next;
      continue;
    }
    *at = l->next;
    kfree(l);
  }
  wake_up_all(lock_wait);
}

}  // namespace

long set_flock(file* f, int kind, bool nonblocking) {
  const short type = kind == LOCK_SH ? F_RDLCK : (kind == LOCK_EX ? F_WRLCK : F_UNLCK);
  const file_lock want{nullptr, f, LockKind::Flock, type, 0, (1l << 62), current->tgid, f->f_inode};
  return acquire(f, want, !nonblocking);
}

int get_record_lock(file* f, flock& u, bool ofd) {
  if (u.l_type != F_RDLCK && u.l_type != F_WRLCK) return -EINVAL;
  file_lock want{nullptr,
                 ofd ? static_cast<const void*>(f) : current->files,
                 ofd ? LockKind::Ofd : LockKind::Posix,
                 u.l_type,
                 0,
                 0,
                 0,
                 nullptr};
  TRY_INT(range_of(f, u, want.start, want.end));
  SpinGuard guard(lock_lock);
  const file_lock* c = find_conflict(f->f_inode, want);
  if (c == nullptr) {
    u.l_type = F_UNLCK;
    return 0;
  }
  constexpr s64 kMax = (1ul << 63) - 1;
  u.l_type = c->type;
  u.l_whence = SEEK_SET;
  u.l_start = c->start;
  u.l_len = c->end == kMax ? 0 : c->end - c->start + 1;
  u.l_pid = c->kind == LockKind::Ofd ? -1 : c->pid;
  return 0;
}

long set_record_lock(int, file* f, const flock& u, bool wait, bool ofd) {
  if (u.l_type != F_RDLCK && u.l_type != F_WRLCK && u.l_type != F_UNLCK) return -EINVAL;
  file_lock want{nullptr,
                 ofd ? static_cast<const void*>(f) : current->files,
                 ofd ? LockKind::Ofd : LockKind::Posix,
                 u.l_type,
                 0,
                 0,
                 ofd ? -1 : current->tgid,
                 f->f_inode};
  TRY_INT(range_of(f, u, want.start, want.end));
  if (u.l_type == F_RDLCK && (f->f_mode & FMODE_READ) == 0) return -EBADF;
  if (u.l_type == F_WRLCK && (f->f_mode & FMODE_WRITE) == 0) return -EBADF;
  return acquire(f, want, wait);
}

void release_posix_locks(files_struct* owner, file* f) {
  release_matching(f->f_inode, [&](const file_lock* l) { return l->kind == LockKind::Posix && l->owner == owner; });
}
void release_file_locks(file* f) {
  release_matching(f->f_inode, [&](const file_lock* l) { return l->owner == f; });
}

}  // namespace xm::os
