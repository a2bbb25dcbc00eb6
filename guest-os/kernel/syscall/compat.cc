// SPDX-License-Identifier: GPL-2.0-or-later
// The 32-bit side: converts what differs in size and calls what the 64-bit handlers call. Values that do not fit give
// EOVERFLOW.
#include "abi/mman.h"
#include "kernel/arch/x86_64/tls32.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/namei.h"
#include "kernel/mm/gfp.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/calls32.h"
#include "kernel/syscall/convert.h"
#include "kernel/task/exec.h"
#include "kernel/task/futex.h"

namespace xm::os {

struct rusage32 {
  timeval32 utime, stime;
  s32 words[14];
};
struct [[gnu::packed]] stat64_32 {
  u64 st_dev;
  u32 pad0, st_ino_low;
  u32 st_mode, st_nlink, st_uid, st_gid;
  u64 st_rdev;
  u32 pad3;
  s64 st_size;
  u32 st_blksize;
  u64 st_blocks;
  u32 st_atime, st_atime_nsec, st_mtime, st_mtime_nsec, st_ctime, st_ctime_nsec;
  u64 st_ino;
};
static_assert(sizeof(stat64_32) == 96);

namespace {

u64 join(u32 low, u32 high) { return low | static_cast<u64>(high) << 32; }
timespec32 narrow(const timespec_abi& t) { return {static_cast<s32>(t.tv_sec), static_cast<s32>(t.tv_nsec)}; }
timeval32 narrow(const timeval_abi& t) { return {static_cast<s32>(t.tv_sec), static_cast<s32>(t.tv_usec)}; }
timespec_abi widen(const timespec32& t) { return {t.tv_sec, t.tv_nsec}; }

rusage32 narrow(const rusage_abi& r) {
  rusage32 n{};
  n.utime = narrow(r.utime);
  n.stime = narrow(r.stime);
  const s64 words[14] = {r.maxrss,  r.ixrss,   r.idrss,  r.isrss,  r.minflt,   r.majflt, r.nswap,
                         r.inblock, r.oublock, r.msgsnd, r.msgrcv, r.nsignals, r.nvcsw,  r.nivcsw};
  for (int i = 0; i < 14; ++i) n.words[i] = static_cast<s32>(words[i]);
  return n;
}

}  // namespace

long sys32_wait4(int pid, int* status, int options, rusage32* usage) {
  WaitRequest r;
  const long n = wait4_common(pid, options, r);
  if (n <= 0) return n;
  if (status != nullptr) TRY_INT(put_user(r.status, status));
  if (usage != nullptr) TRY_INT(put_user(narrow(rusage_from(r.usage)), usage));
  return n;
}
long sys32_waitpid(int pid, int* status, int options) { return sys32_wait4(pid, status, options, nullptr); }
long sys32_waitid(int type, int id, u32 info_at, int options, rusage32* usage) {
  WaitRequest r;
  siginfo info;
  const long n = waitid_common(type, id, options, r, info);
  if (n < 0) return n;
  if (n > 0 && usage != nullptr) TRY_INT(put_user(narrow(rusage_from(r.usage)), usage));
  if (info_at == 0) return 0;
  const u32 words[8] = {static_cast<u32>(info.si_signo),
                        0,
                        static_cast<u32>(info.si_code),
                        static_cast<u32>(info.chld.si_pid),
                        info.chld.si_uid,
                        static_cast<u32>(info.chld.si_status),
                        0,
                        0};
  return copy_to_user(reinterpret_cast<void*>(static_cast<u64>(info_at)), words, sizeof words);
}

long sys32_execve(const char* user_name, u64 argv, u64 envp) {
  char* name = TRY(getname(user_name));
  const long r = do_execve(AT_FDCWD, name, {argv, true, nullptr}, {envp, true, nullptr}, 0);
  putname(name);
  return r;
}
long sys32_clone(u64 flags, u64 stack, u64 parent_tid, u64 tls, u64 child_tid) {
  return sys_clone(flags, stack, parent_tid, child_tid, tls);
}

long sys32_time(s32* out) {
  const s32 seconds = static_cast<s32>(ktime_get_real() / kNsPerSec);
  if (out != nullptr) TRY_INT(put_user(seconds, out));
  return seconds;
}
long sys32_stime(const s32* t) {
  s32 seconds;
  TRY_INT(get_user(seconds, t));
  if (!capable(CAP_SYS_TIME)) return -EPERM;
  set_real_time(static_cast<u64>(seconds) * kNsPerSec);
  return 0;
}
long sys32_gettimeofday(timeval32* tv, u32* tz) {
  if (tv != nullptr) TRY_INT(put_user(narrow(ns_to_timeval(ktime_get_real())), tv));
  return tz != nullptr ? put_user(u64{0}, reinterpret_cast<u64*>(tz)) : 0;
}
long sys32_settimeofday(const timeval32* tv, const u32*) {
  if (!capable(CAP_SYS_TIME)) return -EPERM;
  if (tv == nullptr) return 0;
  timeval32 v;
  TRY_INT(get_user(v, tv));
  if (v.tv_usec < 0 || v.tv_usec >= 1000000 || v.tv_sec < 0) return -EINVAL;
  set_real_time(static_cast<u64>(v.tv_sec) * kNsPerSec + static_cast<u64>(v.tv_usec) * 1000);
  return 0;
}
long sys32_clock_gettime(int clock, timespec32* out) {
  u64 ns;
  TRY_INT(clock_now(clock, ns));
  return put_user(narrow(ns_to_timespec(ns)), out);
}
long sys32_clock_settime(int clock, const timespec32* user) {
  timespec32 ts;
  if (clock != 0) return -EINVAL;
  TRY_INT(get_user(ts, user));
  const s64 ns = TRY_INT(timespec_to_ns(widen(ts)));
  if (!capable(CAP_SYS_TIME)) return -EPERM;
  set_real_time(static_cast<u64>(ns));
  return 0;
}
long sys32_clock_getres(int clock, timespec32* out) {
  u64 ns;
  TRY_INT(clock_now(clock, ns));
  return out == nullptr ? 0 : put_user(timespec32{0, 1}, out);
}
long sys32_clock_nanosleep(int clock, int flags, const timespec32* request, timespec32* remain) {
  timespec32 ts;
  TRY_INT(get_user(ts, request));
  const s64 ns = TRY_INT(timespec_to_ns(widen(ts)));
  u64 left = 0;
  const long r = sleep_common(clock, flags, static_cast<u64>(ns), &left);
  if (r != -ERESTART_RESTARTBLOCK) return r;
  // The restarted call cannot store a 32-bit remainder: give the time left now and end.
  if (remain != nullptr) TRY_INT(put_user(narrow(ns_to_timespec(left)), remain));
  return remain != nullptr ? -EINTR : r;
}
long sys32_nanosleep(const timespec32* request, timespec32* remain) {
  return sys32_clock_nanosleep(1, 0, request, remain);
}

long sys32_futex(u64 address, int op, u32 value, const timespec32* timeout, u64 address2, u32 value3) {
  const int command = op & FUTEX_CMD_MASK;
  const bool timed = command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET || command == FUTEX_LOCK_PI;
  u64 expires = 0;
  if (timed && timeout != nullptr) {
    timespec32 ts;
    TRY_INT(get_user(ts, timeout));
    TRY_INT(futex_deadline(op, widen(ts), expires));
  }
  const long r =
      do_futex(address, op, value, expires, address2, static_cast<u32>(reinterpret_cast<u64>(timeout)), value3);
  return r == -ERESTARTSYS && expires != 0 && command == FUTEX_WAIT ? -EINTR : r;
}

long sys32_times(s32* out) {
  if (out != nullptr) {
    u64 utime, stime;
    thread_group_times(current, utime, stime);
    const u64 tick = kNsPerSec / kUserHz;
    const s32 words[4] = {static_cast<s32>(utime / tick), static_cast<s32>(stime / tick),
                          static_cast<s32>(current->signal->cutime / tick),
                          static_cast<s32>(current->signal->cstime / tick)};
    TRY_INT(copy_to_user(out, words, sizeof words));
  }
  return static_cast<long>(ktime_get() / (kNsPerSec / kUserHz) & 0x7fffffff);
}

long sys32_setitimer(int which, const timeval32* user, timeval32* old) {
  timeval32 v[2]{};
  if (user != nullptr) TRY_INT(copy_from_user(v, user, sizeof v));
  for (const timeval32& t : v) {
    if (t.tv_sec < 0 || t.tv_usec < 0 || t.tv_usec >= 1000000) return -EINVAL;
  }
  const auto ns = [](const timeval32& t) {
    return static_cast<u64>(t.tv_sec) * kNsPerSec + static_cast<u64>(t.tv_usec) * 1000;
  };
  const u64 interval = ns(v[0]), value = ns(v[1]);
  u64 old_value, old_interval;
  TRY_INT(setitimer_common(which, &value, &interval, &old_value, &old_interval));
  if (old == nullptr) return 0;
  const timeval32 before[2] = {narrow(ns_to_timeval(old_interval)), narrow(ns_to_timeval(old_value))};
  return copy_to_user(old, before, sizeof before);
}
long sys32_getitimer(int which, timeval32* out) {
  u64 value, interval;
  TRY_INT(setitimer_common(which, nullptr, nullptr, &value, &interval));
  const timeval32 now[2] = {narrow(ns_to_timeval(interval)), narrow(ns_to_timeval(value))};
  return copy_to_user(out, now, sizeof now);
}
long sys32_getrusage(int who, rusage32* out) {
  rusage_times u;
  if (who != 0 && who != 1 && who != -1) return -EINVAL;
  fill_rusage_self(current, u);
  if (who == -1) {
    const signal_struct* s = current->signal;
    u = {s->cutime, s->cstime, s->cmaxrss, s->cmin_flt, s->cmaj_flt, s->cnvcsw, s->cnivcsw};
  }
  return put_user(narrow(rusage_from(u)), out);
}

namespace {
u32 narrow_limit(u64 v, u32 infinity) { return v >= infinity ? infinity : static_cast<u32>(v); }
long get_limit(u32 resource, u32* out, u32 infinity) {
  if (resource >= RLIM_NLIMITS) return -EINVAL;
  const rlimit64 l = current->signal->rlim[resource];
  const u32 words[2] = {narrow_limit(l.cur, infinity), narrow_limit(l.max, infinity)};
  return copy_to_user(out, words, sizeof words);
}
}  // namespace
long sys32_getrlimit(u32 resource, u32* out) { return get_limit(resource, out, 0xffffffff); }
long sys32_old_getrlimit(u32 resource, u32* out) { return get_limit(resource, out, 0x7fffffff); }
long sys32_setrlimit(u32 resource, const u32* in) {
  u32 words[2];
  TRY_INT(copy_from_user(words, in, sizeof words));
  if (resource >= RLIM_NLIMITS) return -EINVAL;
  const auto wide = [](u32 v) { return v == 0xffffffff ? RLIM_INFINITY : v; };
  const rlimit64 fresh{wide(words[0]), wide(words[1])};
  if (fresh.cur > fresh.max) return -EINVAL;
  IrqGuard guard(current->sighand->siglock);
  rlimit64& l = current->signal->rlim[resource];
  if (fresh.max > l.max && !capable(CAP_SYS_RESOURCE)) return -EPERM;
  l = fresh;
  return 0;
}

long sys32_mmap2(u64 address, u64 length, u64 prot, u64 flags, int fd, u64 page_offset) {
  return sys_mmap(address, length, prot, flags, fd, page_offset << kPageShift);
}
long sys32_mmap(const u32* arguments) {
  u32 a[6];
  TRY_INT(copy_from_user(a, arguments, sizeof a));
  return sys_mmap(a[0], a[1], a[2], a[3], static_cast<int>(a[4]), a[5]);
}

namespace {
// The vector widened on the kernel's side and moved piece by piece; a short piece ends it.
template <class One>
long each_piece(const iovec32* v, u32 count, One one) {
  if (count > 1024) return -EINVAL;
  long done = 0;
  for (u32 i = 0; i < count; ++i) {
    iovec32 piece;
    TRY_INT(get_user(piece, v + i));
    if (static_cast<s32>(piece.length) < 0) return done > 0 ? done : -EINVAL;
    if (piece.length == 0) continue;
    const long n = one(piece);
    if (n < 0) return done > 0 ? done : n;
    done += n;
    if (static_cast<u32>(n) < piece.length) break;
  }
  return done;
}
}  // namespace
long sys32_readv(int fd, const iovec32* v, u32 count) {
  return each_piece(v, count, [&](const iovec32& p) {
    return sys_read(fd, reinterpret_cast<char*>(static_cast<u64>(p.base)), p.length);
  });
}
long sys32_writev(int fd, const iovec32* v, u32 count) {
  return each_piece(v, count, [&](const iovec32& p) {
    return sys_write(fd, reinterpret_cast<char*>(static_cast<u64>(p.base)), p.length);
  });
}
long sys32_pread64(int fd, char* buffer, u32 n, u32 low, u32 high) {
  return sys_pread64(fd, buffer, n, static_cast<s64>(join(low, high)));
}
long sys32_pwrite64(int fd, const char* buffer, u32 n, u32 low, u32 high) {
  return sys_pwrite64(fd, buffer, n, static_cast<s64>(join(low, high)));
}
long sys32_lseek(int fd, int offset, int whence) { return sys_lseek(fd, offset, whence); }
long sys32_llseek(int fd, u32 high, u32 low, s64* result, int whence) {
  const s64 at = TRY_INT(sys_lseek(fd, static_cast<s64>(join(low, high)), whence));
  return put_user(at, result);
}
long sys32_truncate64(const char* name, u32 low, u32 high) {
  return sys_truncate(name, static_cast<s64>(join(low, high)));
}
long sys32_ftruncate64(int fd, u32 low, u32 high) { return sys_ftruncate(fd, static_cast<s64>(join(low, high))); }
long sys32_truncate(const char* name, int length) { return sys_truncate(name, length); }
long sys32_ftruncate(int fd, int length) { return sys_ftruncate(fd, length); }
long sys32_fadvise64_64(int fd, u32 ol, u32 oh, u32 ll, u32 lh, int advice) {
  return sys_fadvise64(fd, static_cast<s64>(join(ol, oh)), static_cast<s64>(join(ll, lh)), advice);
}
long sys32_fallocate(int fd, int mode, u32 ol, u32 oh, u32 ll, u32 lh) {
  return sys_fallocate(fd, mode, static_cast<s64>(join(ol, oh)), static_cast<s64>(join(ll, lh)));
}
long sys32_sendfile64(int out, int in, s64* offset, u32 n) { return sys_sendfile(out, in, offset, n); }
long sys32_sendfile(int out, int in, s32* offset, u32 n) {
  if (offset == nullptr) return sys_sendfile(out, in, nullptr, n);
  return -EINVAL;  // GAP: programs of this century use sendfile64
}

namespace {
long copy_stat(const path& p, stat64_32* out) {
  kstat k{};
  TRY_INT(vfs_getattr(p, k));
  stat64_32 s{};
  s.st_dev = encode_dev(k.dev);
  s.st_ino = k.ino;
  s.st_ino_low = static_cast<u32>(k.ino);
  s.st_mode = k.mode;
  s.st_nlink = k.nlink;
  s.st_uid = k.uid;
  s.st_gid = k.gid;
  s.st_rdev = encode_dev(k.rdev);
  s.st_size = static_cast<s64>(k.size);
  s.st_blksize = k.blksize;
  s.st_blocks = k.blocks;
  s.st_atime = static_cast<u32>(k.atime.tv_sec), s.st_atime_nsec = static_cast<u32>(k.atime.tv_nsec);
  s.st_mtime = static_cast<u32>(k.mtime.tv_sec), s.st_mtime_nsec = static_cast<u32>(k.mtime.tv_nsec);
  s.st_ctime = static_cast<u32>(k.ctime.tv_sec), s.st_ctime_nsec = static_cast<u32>(k.ctime.tv_nsec);
  return copy_to_user(out, &s, sizeof s);
}
}  // namespace
long sys32_fstatat64(int dfd, const char* name, stat64_32* out, u32 flags) {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)) != 0) return -EINVAL;
  path p;
  TRY_INT(user_path_at(
      dfd, name,
      ((flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW) | ((flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0), p));
  const long r = copy_stat(p, out);
  path_put(p);
  return r;
}
long sys32_stat64(const char* name, stat64_32* out) { return sys32_fstatat64(AT_FDCWD, name, out, 0); }
long sys32_lstat64(const char* name, stat64_32* out) {
  return sys32_fstatat64(AT_FDCWD, name, out, AT_SYMLINK_NOFOLLOW);
}
long sys32_fstat64(int fd, stat64_32* out) {
  FileRef f(fd, true);
  return f ? copy_stat(f->f_path, out) : -EBADF;
}

namespace {
long copy_statfs64(const path& p, u32 size, u64 out) {
  struct [[gnu::packed]] {
    u32 type, bsize;
    u64 blocks, bfree, bavail, files, ffree;
    u32 fsid[2], namelen, frsize, flags, spare[4];
  } n{};
  if (size != sizeof n) return -EINVAL;
  struct statfs s {};
  TRY_INT(p.mnt->mnt_sb->s_op->statfs(p.mnt->mnt_sb, &s));
  n.type = static_cast<u32>(s.f_type);
  n.bsize = static_cast<u32>(s.f_bsize);
  n.blocks = s.f_blocks, n.bfree = s.f_bfree, n.bavail = s.f_bavail, n.files = s.f_files, n.ffree = s.f_ffree;
  n.namelen = static_cast<u32>(s.f_namelen);
  n.frsize = static_cast<u32>(s.f_frsize);
  return copy_to_user(reinterpret_cast<void*>(out), &n, sizeof n);
}
}  // namespace
long sys32_statfs64(const char* name, u32 size, u64 out) {
  path p;
  TRY_INT(user_path_at(AT_FDCWD, name, LOOKUP_FOLLOW, p));
  const long r = copy_statfs64(p, size, out);
  path_put(p);
  return r;
}
long sys32_fstatfs64(int fd, u32 size, u64 out) {
  FileRef f(fd, true);
  return f ? copy_statfs64(f->f_path, size, out) : -EBADF;
}

namespace {
// Runs call(pointer) with 64-bit values in user memory: below the stack pointer, where a 32-bit program keeps nothing
// (no red zone).
template <class T, class Call>
long with_user_copy(const T& value, Call call) {
  const u64 at = align_down(task_pt_regs(current)->rsp - 256 - sizeof(T), 16);
  TRY_INT(put_user_at(value, at));
  return call(reinterpret_cast<T*>(at));
}
struct TwoSpecs {
  timespec_abi t[2];
};
}  // namespace
long sys32_utimensat(int dfd, const char* name, const timespec32* user, u32 flags) {
  if (user == nullptr) return sys_utimensat(dfd, name, nullptr, flags);
  timespec32 t[2];
  TRY_INT(copy_from_user(t, user, sizeof t));
  return with_user_copy(TwoSpecs{{widen(t[0]), widen(t[1])}},
                        [&](const TwoSpecs* p) { return sys_utimensat(dfd, name, p->t, flags); });
}
long sys32_utime(const char* name, const s32* user) {
  if (user == nullptr) return sys_utimensat(AT_FDCWD, name, nullptr, 0);
  s32 t[2];
  TRY_INT(copy_from_user(t, user, sizeof t));
  return with_user_copy(TwoSpecs{{{t[0], 0}, {t[1], 0}}},
                        [&](const TwoSpecs* p) { return sys_utimensat(AT_FDCWD, name, p->t, 0); });
}
long sys32_utimes(const char* name, const timeval32* user) {
  if (user == nullptr) return sys_utimensat(AT_FDCWD, name, nullptr, 0);
  timeval32 t[2];
  TRY_INT(copy_from_user(t, user, sizeof t));
  if (t[0].tv_usec < 0 || t[0].tv_usec >= 1000000 || t[1].tv_usec < 0 || t[1].tv_usec >= 1000000) return -EINVAL;
  return with_user_copy(TwoSpecs{{{t[0].tv_sec, t[0].tv_usec * 1000l}, {t[1].tv_sec, t[1].tv_usec * 1000l}}},
                        [&](const TwoSpecs* p) { return sys_utimensat(AT_FDCWD, name, p->t, 0); });
}

// Locks: command 5-7 have 32-bit offsets, 12-14 (and the OFD ones) 64-bit offsets without padding.
long sys32_fcntl64(int fd, int command, u64 argument) {
  constexpr int kGetLk64 = 12, kSetLkw64 = 14;
  const bool is_lock = (command >= F_GETLK && command <= F_SETLKW) || (command >= kGetLk64 && command <= kSetLkw64) ||
                       (command >= F_OFD_GETLK && command <= F_OFD_SETLKW);
  if (!is_lock) return sys_fcntl(fd, command, argument);
  struct [[gnu::packed]] {
    short type, whence;
    s64 start, len;
    int pid;
  } wide{};
  struct {
    short type, whence;
    s32 start, len;
    int pid;
  } small{};
  const bool old_form = command <= F_SETLKW;
  flock k{};
  if (old_form) {
    TRY_INT(get_user_at(small, argument));
    k = {small.type, small.whence, small.start, small.len, small.pid};
  } else {
    TRY_INT(get_user_at(wide, argument));
    k = {wide.type, wide.whence, wide.start, wide.len, wide.pid};
  }
  const int real = command >= kGetLk64 && command <= kSetLkw64 ? command - kGetLk64 + F_GETLK : command;
  return with_user_copy(k, [&](flock* p) -> long {
    const long r = sys_fcntl(fd, real, reinterpret_cast<u64>(p));
    if (r != 0 || (real != F_GETLK && real != F_OFD_GETLK)) return r;
    TRY_INT(get_user(k, p));
    if (old_form) {
      small = {k.l_type, k.l_whence, static_cast<s32>(k.l_start), static_cast<s32>(k.l_len), k.l_pid};
      return put_user_at(small, argument);
    }
    wide.type = k.l_type, wide.whence = k.l_whence, wide.start = k.l_start, wide.len = k.l_len, wide.pid = k.l_pid;
    return put_user_at(wide, argument);
  });
}

long sys32_select(int n, u32* in, u32* out, u32* except, timeval32* timeout) {
  // The bit sets have the same bytes in both word sizes on a little-endian machine.
  const auto set = [](u32* p) { return reinterpret_cast<u64*>(p); };
  if (timeout == nullptr) return sys_select(n, set(in), set(out), set(except), nullptr);
  timeval32 t;
  TRY_INT(get_user(t, timeout));
  return with_user_copy(timeval_abi{t.tv_sec, t.tv_usec},
                        [&](timeval_abi* p) { return sys_select(n, set(in), set(out), set(except), p); });
}
long sys32_pselect6(int n, u32* in, u32* out, u32* except, timespec32* timeout, const u32* sig) {
  if (sig != nullptr) {
    u32 pair[2];
    TRY_INT(copy_from_user(pair, sig, sizeof pair));
    if (pair[0] != 0) {
      sigset_t s;
      if (pair[1] != sizeof s) return -EINVAL;
      TRY_INT(get_user_at(s, pair[0]));
      set_user_sigmask(s);
    }
  }
  const auto set = [](u32* p) { return reinterpret_cast<u64*>(p); };
  if (timeout == nullptr) return sys_pselect6(n, set(in), set(out), set(except), nullptr, nullptr);
  timespec32 t;
  TRY_INT(get_user(t, timeout));
  return with_user_copy(widen(t),
                        [&](timespec_abi* p) { return sys_pselect6(n, set(in), set(out), set(except), p, nullptr); });
}
long sys32_ppoll(pollfd* fds, u32 count, timespec32* timeout, const u32* mask, u32 size) {
  const sigset_t* set = reinterpret_cast<const sigset_t*>(mask);
  if (timeout == nullptr) return sys_ppoll(fds, count, nullptr, set, size);
  timespec32 t;
  TRY_INT(get_user(t, timeout));
  return with_user_copy(widen(t), [&](timespec_abi* p) { return sys_ppoll(fds, count, p, set, size); });
}

long sys32_rt_sigaction(int sig, const sigaction32* act, sigaction32* old, u32 size) {
  if (size != sizeof(sigset_t)) return -EINVAL;
  sigaction fresh{}, previous{};
  if (act != nullptr) {
    sigaction32 a;
    TRY_INT(get_user(a, act));
    fresh = {a.handler, a.flags, a.restorer, join(a.mask[0], a.mask[1])};
  }
  TRY_INT(do_sigaction(sig, act != nullptr ? &fresh : nullptr, &previous));
  if (old == nullptr) return 0;
  const sigaction32 o{static_cast<u32>(previous.handler),
                      static_cast<u32>(previous.flags),
                      static_cast<u32>(previous.restorer),
                      {static_cast<u32>(previous.mask), static_cast<u32>(previous.mask >> 32)}};
  return put_user(o, old);
}
long sys32_sigaction(int sig, const u32* act, u32* old) {  // handler, mask, flags, restorer
  sigaction fresh{}, previous{};
  if (act != nullptr) {
    u32 a[4];
    TRY_INT(copy_from_user(a, act, sizeof a));
    fresh = {a[0], a[2], a[3], a[1]};
  }
  TRY_INT(do_sigaction(sig, act != nullptr ? &fresh : nullptr, &previous));
  if (old == nullptr) return 0;
  const u32 o[4] = {static_cast<u32>(previous.handler), static_cast<u32>(previous.mask),
                    static_cast<u32>(previous.flags), static_cast<u32>(previous.restorer)};
  return copy_to_user(old, o, sizeof o);
}
long sys32_signal(int sig, u32 handler) {
  const sigaction fresh{handler, SA_RESETHAND | SA_NODEFER, 0, 0};
  sigaction previous{};
  TRY_INT(do_sigaction(sig, &fresh, &previous));
  return static_cast<long>(previous.handler);
}
long sys32_sigprocmask(int how, const u32* set, u32* old) {
  const sigset_t before = current->blocked;
  if (set != nullptr) {
    u32 s;
    TRY_INT(get_user(s, set));
    if (how < SIG_BLOCK || how > SIG_SETMASK) return -EINVAL;
    const sigset_t high = before & 0xffffffff00000000;
    set_current_blocked(how == SIG_BLOCK ? before | s
                                         : (how == SIG_UNBLOCK ? before & ~static_cast<u64>(s) : high | s));
  }
  return old != nullptr ? put_user(static_cast<u32>(before), old) : 0;
}
long sys32_sigpending(u32* set) {
  return put_user(
      static_cast<u32>((current->pending.signal | current->signal->shared_pending.signal) & current->blocked), set);
}
long sys32_sigsuspend(int, int, u32 mask) {
  set_user_sigmask(mask);
  while (!signal_pending(current)) {
    set_current_state(TASK_INTERRUPTIBLE);
    if (!signal_pending(current)) schedule();
    current->state.store(TASK_RUNNING);
  }
  return -ERESTARTNOHAND;
}
long sys32_rt_sigpending(u64 set, u32 size) { return sys_rt_sigpending(reinterpret_cast<sigset_t*>(set), size); }
long sys32_rt_sigsuspend(const sigset_t* set, u32 size) { return sys_rt_sigsuspend(set, size); }
long sys32_rt_sigtimedwait(const sigset_t* set, u32 info_at, const timespec32* timeout, u32 size) {
  struct Both {
    siginfo info;
    timespec_abi ts;
  } both{};
  if (timeout != nullptr) {
    timespec32 t;
    TRY_INT(get_user(t, timeout));
    both.ts = widen(t);
  }
  return with_user_copy(both, [&](Both* p) -> long {
    const long sig = sys_rt_sigtimedwait(set, &p->info, timeout != nullptr ? &p->ts : nullptr, size);
    if (sig <= 0 || info_at == 0) return sig;
    siginfo info;
    TRY_INT(get_user(info, &p->info));
    const u32 words[6] = {static_cast<u32>(info.si_signo),
                          static_cast<u32>(info.si_errno),
                          static_cast<u32>(info.si_code),
                          static_cast<u32>(info.rt.si_pid),
                          info.rt.si_uid,
                          static_cast<u32>(info.rt.si_value)};
    TRY_INT(copy_to_user(reinterpret_cast<void*>(static_cast<u64>(info_at)), words, sizeof words));
    return sig;
  });
}
long sys32_rt_sigreturn() { return do_compat_sigreturn(task_pt_regs(current), true); }
long sys32_sigreturn() { return do_compat_sigreturn(task_pt_regs(current), false); }
long sys32_sigaltstack(const u32* ss, u32* old) {
  stack_t fresh{}, previous{};
  if (ss != nullptr) {
    u32 w[3];
    TRY_INT(copy_from_user(w, ss, sizeof w));
    fresh = {w[0], static_cast<int>(w[1]), w[2]};
  }
  TRY_INT(do_sigaltstack(ss != nullptr ? &fresh : nullptr, &previous, task_pt_regs(current)->rsp, MINSIGSTKSZ));
  if (old == nullptr) return 0;
  const u32 w[3] = {static_cast<u32>(previous.ss_sp), static_cast<u32>(previous.ss_flags),
                    static_cast<u32>(previous.ss_size)};
  return copy_to_user(old, w, sizeof w);
}
long sys32_set_thread_area(u64 desc) { return set_thread_area_current(desc); }
long sys32_set_robust_list(u64, u32 size) {
  return size == 12 ? 0 : -EINVAL;
}  // GAP: 32-bit lists are accepted and not walked at exit

long sys32_sysinfo(u32* out) {
  u32 w[16]{};
  w[0] = static_cast<u32>(div_round_up(ktime_get(), kNsPerSec));
  for (int i = 0; i < 3; ++i) w[1 + i] = static_cast<u32>(avenrun[i] << 5);
  w[4] = static_cast<u32>(min<u64>(total_ram_pages(), 0xfffff) * kPageSize);
  w[5] = static_cast<u32>(min<u64>(nr_free_pages(), 0xfffff) * kPageSize);
  w[10] = static_cast<u16>(nr_threads.load());
  w[13] = 1;
  return copy_to_user(out, w, sizeof w);
}
long sys32_getuid16() { return sys_getuid() & 0xffff; }
long sys32_getgid16() { return sys_getgid() & 0xffff; }
long sys32_geteuid16() { return sys_geteuid() & 0xffff; }
long sys32_getegid16() { return sys_getegid() & 0xffff; }
long sys32_getdents(int, char*, u32) { return -ENOSYS; }  // GAP: glibc and musl use getdents64
long sys32_nice(int increment) {
  const int nice = clamp(prio_to_nice(current->static_prio) + clamp(increment, -40, 40), -20, 19);
  return sys_setpriority(0, 0, nice) == -EACCES ? -EPERM : 0;
}
long sys32_sched_getaffinity(int pid, u32 size, u32* mask) {
  return sys_sched_getaffinity(pid, (size & ~7u), reinterpret_cast<u64*>(mask));
}
long sys32_sched_setaffinity(int pid, u32 size, const u32* mask) {
  return sys_sched_setaffinity(pid, size, reinterpret_cast<const u64*>(mask));
}

}  // namespace xm::os
