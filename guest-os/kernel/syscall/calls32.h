// SPDX-License-Identifier: GPL-2.0-or-later
// Handlers that 32-bit programs need in a form of their own: structures with 32-bit words, and 64-bit values in two
// registers.
#pragma once

#include "kernel/syscall/calls.h"

namespace xm::os {

struct timespec32 {
  s32 tv_sec, tv_nsec;
};
struct timeval32 {
  s32 tv_sec, tv_usec;
};
struct iovec32 {
  u32 base, length;
};
struct sigaction32 {
  u32 handler, flags, restorer;
  u32 mask[2];
};
struct stat64_32;
struct rusage32;

long sys32_waitpid(int pid, int* status, int options);
long sys32_wait4(int pid, int* status, int options, rusage32* usage);
long sys32_waitid(int type, int id, u32 info, int options, rusage32* usage);
long sys32_execve(const char* name, u64 argv, u64 envp);
long sys32_clone(u64 flags, u64 stack, u64 parent_tid, u64 tls, u64 child_tid);
long sys32_time(s32* out);
long sys32_stime(const s32* t);
long sys32_gettimeofday(timeval32* tv, u32* tz);
long sys32_settimeofday(const timeval32* tv, const u32* tz);
long sys32_nanosleep(const timespec32* request, timespec32* remain);
long sys32_clock_gettime(int clock, timespec32* out);
long sys32_clock_settime(int clock, const timespec32* ts);
long sys32_clock_getres(int clock, timespec32* out);
long sys32_clock_nanosleep(int clock, int flags, const timespec32* request, timespec32* remain);
long sys32_futex(u64 address, int op, u32 value, const timespec32* timeout, u64 address2, u32 value3);
long sys32_times(s32* out);
long sys32_setitimer(int which, const timeval32* v, timeval32* old);
long sys32_getitimer(int which, timeval32* out);
long sys32_getrusage(int who, rusage32* out);
long sys32_getrlimit(u32 resource, u32* out);
long sys32_old_getrlimit(u32 resource, u32* out);
long sys32_setrlimit(u32 resource, const u32* in);
long sys32_mmap(const u32* arguments);
long sys32_mmap2(u64 address, u64 length, u64 prot, u64 flags, int fd, u64 page_offset);
long sys32_readv(int fd, const iovec32* v, u32 count);
long sys32_writev(int fd, const iovec32* v, u32 count);
long sys32_pread64(int fd, char* buffer, u32 n, u32 low, u32 high);
long sys32_pwrite64(int fd, const char* buffer, u32 n, u32 low, u32 high);
long sys32_lseek(int fd, int offset, int whence);
long sys32_llseek(int fd, u32 high, u32 low, s64* result, int whence);
long sys32_truncate64(const char* name, u32 low, u32 high);
long sys32_ftruncate64(int fd, u32 low, u32 high);
long sys32_truncate(const char* name, int length);
long sys32_ftruncate(int fd, int length);
long sys32_fadvise64_64(int fd, u32 offset_low, u32 offset_high, u32 length_low, u32 length_high, int advice);
long sys32_fallocate(int fd, int mode, u32 offset_low, u32 offset_high, u32 length_low, u32 length_high);
long sys32_sendfile(int out, int in, s32* offset, u32 n);
long sys32_sendfile64(int out, int in, s64* offset, u32 n);
long sys32_stat64(const char* name, stat64_32* out);
long sys32_lstat64(const char* name, stat64_32* out);
long sys32_fstat64(int fd, stat64_32* out);
long sys32_fstatat64(int dfd, const char* name, stat64_32* out, u32 flags);
long sys32_statfs64(const char* name, u32 size, u64 out);
long sys32_fstatfs64(int fd, u32 size, u64 out);
long sys32_utimensat(int dfd, const char* name, const timespec32* times, u32 flags);
long sys32_utime(const char* name, const s32* times);
long sys32_utimes(const char* name, const timeval32* times);
long sys32_fcntl64(int fd, int command, u64 argument);
long sys32_select(int n, u32* in, u32* out, u32* except, timeval32* timeout);
long sys32_pselect6(int n, u32* in, u32* out, u32* except, timespec32* timeout, const u32* mask);
long sys32_ppoll(pollfd* fds, u32 count, timespec32* timeout, const u32* mask, u32 size);
long sys32_rt_sigaction(int sig, const sigaction32* act, sigaction32* old, u32 size);
long sys32_sigaction(int sig, const u32* act, u32* old);
long sys32_signal(int sig, u32 handler);
long sys32_sigprocmask(int how, const u32* set, u32* old);
long sys32_sigpending(u32* set);
long sys32_sigsuspend(int, int, u32 mask);
long sys32_rt_sigpending(u64 set, u32 size);
long sys32_rt_sigsuspend(const sigset_t* set, u32 size);
long sys32_rt_sigtimedwait(const sigset_t* set, u32 info, const timespec32* timeout, u32 size);
long sys32_rt_sigreturn();
long sys32_sigreturn();
long sys32_sigaltstack(const u32* ss, u32* old);
long sys32_set_thread_area(u64 desc);
long sys32_set_robust_list(u64 head, u32 size);
long sys32_sysinfo(u32* out);
long sys32_getuid16();
long sys32_getgid16();
long sys32_geteuid16();
long sys32_getegid16();
long sys32_getdents(int fd, char* buffer, u32 size);
long sys32_nice(int increment);
long sys32_sendmsg(int fd, u64 message, u32 flags);
long sys32_recvmsg(int fd, u64 message, u32 flags);
long sys32_socketcall(int call, const u32* user);
long sys32_sched_getaffinity(int pid, u32 size, u32* mask);
long sys32_sched_setaffinity(int pid, u32 size, const u32* mask);

}  // namespace xm::os
