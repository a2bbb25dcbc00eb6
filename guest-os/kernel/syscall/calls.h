// SPDX-License-Identifier: GPL-2.0-or-later
// The handlers of system calls, by family. Arguments as user space passes them; user pointers are only touched through
// mm/uaccess.h.
#pragma once

#include "abi/fs.h"
#include "abi/sched.h"
#include "abi/signal.h"
#include "kernel/fs/iov_iter.h"
#include "kernel/lib/types.h"

namespace xm::os {

struct timespec_abi {
  s64 tv_sec, tv_nsec;
};
struct timeval_abi {
  s64 tv_sec, tv_usec;
};
struct itimerspec_abi {
  timespec_abi interval, value;
};
struct itimerval_abi {
  timeval_abi interval, value;
};
struct rusage_abi {
  timeval_abi utime, stime;
  s64 maxrss, ixrss, idrss, isrss, minflt, majflt, nswap, inblock, oublock, msgsnd, msgrcv, nsignals, nvcsw, nivcsw;
};

// task/ptrace.cc
long sys_ptrace(s64 request, s64 pid, u64 address, u64 data);
// task/seccomp.cc
long sys_seccomp(u32 operation, u32 flags, u64 args);
// memory.cc
long sys_remap_file_pages(u64 start, u64 size, u64 prot, u64 pgoff, u64 flags);
// fs/mount_api.cc
long sys_open_tree(int dfd, const char* name, u32 flags);
long sys_move_mount(int from_dfd, const char* from, int to_dfd, const char* to, u32 flags);
long sys_fsopen(const char* name, u32 flags);
long sys_fsconfig(int fd, u32 command, const char* key, const void* value, int aux);
long sys_fsmount(int fd, u32 flags, u32 attributes);
long sys_fspick(int dfd, const char* name, u32 flags);
long sys_mount_setattr(int dfd, const char* name, u32 flags, u64 attributes, u64 size);
// fs/fhandle.cc
long sys_name_to_handle_at(int dfd, const char* name, u64 handle, int* mount_id, int flags);
long sys_open_by_handle_at(int mount_fd, u64 handle, u32 flags);
// task/namespaces.cc
long sys_unshare(u64 flags);
// aio.cc
long sys_io_setup(u32 room, u64* id);
long sys_io_destroy(u64 id);
long sys_io_submit(u64 id, s64 n, u64 requests);
long sys_io_cancel(u64 id, u64 request, u64 result);
long sys_io_getevents(u64 id, s64 least, s64 most, u64 events, const timespec_abi* timeout);
long sys_io_pgetevents(u64 id, s64 least, s64 most, u64 events, const timespec_abi* timeout, u64 mask);
// splice.cc
long sys_tee(int in, int out, u64 n, u32 flags);
long sys_vmsplice(int fd, const iovec* v, u64 count, u32 flags);
// io.cc
long sys_read(int fd, char* buffer, u64 n);
long sys_write(int fd, const char* buffer, u64 n);
long sys_pread64(int fd, char* buffer, u64 n, s64 pos);
long sys_pwrite64(int fd, const char* buffer, u64 n, s64 pos);
long sys_readv(int fd, const iovec* v, u64 count);
long sys_writev(int fd, const iovec* v, u64 count);
long sys_preadv(int fd, const iovec* v, u64 count, u64 low, u64 high);
long sys_pwritev(int fd, const iovec* v, u64 count, u64 low, u64 high);
long sys_preadv2(int fd, const iovec* v, u64 count, u64 low, u64 high, u32 flags);
long sys_pwritev2(int fd, const iovec* v, u64 count, u64 low, u64 high, u32 flags);
long sys_lseek(int fd, s64 offset, int whence);
long sys_sendfile(int out, int in, s64* offset, u64 n);
long sys_copy_file_range(int in, s64* in_pos, int out, s64* out_pos, u64 n, u32 flags);
long sys_fsync(int fd);
long sys_fdatasync(int fd);
long sys_sync();
long sys_syncfs(int fd);
long sys_sync_file_range(int fd, s64 offset, s64 n, u32 flags);
long sys_truncate(const char* name, s64 length);
long sys_ftruncate(int fd, s64 length);
long sys_fallocate(int fd, int mode, s64 offset, s64 length);
long sys_fadvise64(int fd, s64 offset, s64 length, int advice);
long sys_readahead(int fd, s64 offset, u64 n);
long sys_splice(int in, s64* in_pos, int out, s64* out_pos, u64 n, u32 flags);
// names.cc
long sys_open(const char* name, u32 flags, u32 mode);
long sys_openat(int dfd, const char* name, u32 flags, u32 mode);
long sys_openat2(int dfd, const char* name, u64 how, u64 size);
long sys_creat(const char* name, u32 mode);
long sys_close(int fd);
long sys_mkdir(const char* name, u32 mode);
long sys_mkdirat(int dfd, const char* name, u32 mode);
long sys_mknod(const char* name, u32 mode, u64 dev);
long sys_mknodat(int dfd, const char* name, u32 mode, u64 dev);
long sys_rmdir(const char* name);
long sys_unlink(const char* name);
long sys_unlinkat(int dfd, const char* name, u32 flags);
long sys_symlink(const char* target, const char* name);
long sys_symlinkat(const char* target, int dfd, const char* name);
long sys_link(const char* old_name, const char* new_name);
long sys_linkat(int old_dfd, const char* old_name, int new_dfd, const char* new_name, u32 flags);
long sys_rename(const char* old_name, const char* new_name);
long sys_renameat(int old_dfd, const char* old_name, int new_dfd, const char* new_name);
long sys_renameat2(int old_dfd, const char* old_name, int new_dfd, const char* new_name, u32 flags);
long sys_readlink(const char* name, char* buffer, int size);
long sys_readlinkat(int dfd, const char* name, char* buffer, int size);
long sys_chdir(const char* name);
long sys_fchdir(int fd);
long sys_chroot(const char* name);
long sys_getcwd(char* buffer, u64 size);
long sys_umask(u32 mask);
long sys_getdents(int fd, char* buffer, u32 size);
long sys_getdents64(int fd, char* buffer, u32 size);
long sys_mount(const char* source, const char* target, const char* type, u64 flags, const char* data);
long sys_umount2(const char* name, u32 flags);
long sys_pivot_root(const char* new_root, const char* put_old);
// attributes.cc
long sys_stat(const char* name, stat* out);
long sys_lstat(const char* name, stat* out);
long sys_fstat(int fd, stat* out);
long sys_newfstatat(int dfd, const char* name, stat* out, u32 flags);
long sys_statx(int dfd, const char* name, u32 flags, u32 mask, statx* out);
long sys_statfs(const char* name, statfs* out);
long sys_fstatfs(int fd, statfs* out);
long sys_access(const char* name, int mode);
long sys_faccessat(int dfd, const char* name, int mode);
long sys_faccessat2(int dfd, const char* name, int mode, u32 flags);
long sys_chmod(const char* name, u32 mode);
long sys_fchmod(int fd, u32 mode);
long sys_fchmodat(int dfd, const char* name, u32 mode);
long sys_chown(const char* name, u32 uid, u32 gid);
long sys_lchown(const char* name, u32 uid, u32 gid);
long sys_fchown(int fd, u32 uid, u32 gid);
long sys_fchownat(int dfd, const char* name, u32 uid, u32 gid, u32 flags);
long sys_utime(const char* name, const s64* times);
long sys_utimes(const char* name, const timeval_abi* times);
long sys_futimesat(int dfd, const char* name, const timeval_abi* times);
long sys_utimensat(int dfd, const char* name, const timespec_abi* times, u32 flags);
long sys_getxattr(const char* name, const char* key, void* value, u64 size);
long sys_lgetxattr(const char* name, const char* key, void* value, u64 size);
long sys_fgetxattr(int fd, const char* key, void* value, u64 size);
long sys_setxattr(const char* name, const char* key, const void* value, u64 size, int flags);
long sys_lsetxattr(const char* name, const char* key, const void* value, u64 size, int flags);
long sys_fsetxattr(int fd, const char* key, const void* value, u64 size, int flags);
long sys_listxattr(const char* name, char* list, u64 size);
long sys_llistxattr(const char* name, char* list, u64 size);
long sys_flistxattr(int fd, char* list, u64 size);
long sys_removexattr(const char* name, const char* key);
long sys_lremovexattr(const char* name, const char* key);
long sys_fremovexattr(int fd, const char* key);
// descriptors.cc
long sys_dup(int fd);
long sys_dup2(int from, int to);
long sys_dup3(int from, int to, u32 flags);
long sys_fcntl(int fd, int command, u64 argument);
long sys_ioctl(int fd, u32 command, u64 argument);
long sys_pipe(int* fds);
long sys_pipe2(int* fds, u32 flags);
long sys_flock(int fd, int operation);
long sys_close_range(u32 first, u32 last, u32 flags);
long sys_memfd_create(const char* name, u32 flags);
// ../fs/select.cc
long sys_poll(pollfd* fds, u32 count, int timeout_ms);
long sys_ppoll(pollfd* fds, u32 count, timespec_abi* timeout, const sigset_t* mask, u64 size);
long sys_select(int n, u64* in, u64* out, u64* except, timeval_abi* timeout);
long sys_pselect6(int n, u64* in, u64* out, u64* except, timespec_abi* timeout, const u64* mask);
// memory.cc
long sys_mmap(u64 address, u64 length, u64 prot, u64 flags, int fd, u64 offset);
long sys_munmap(u64 address, u64 length);
long sys_mprotect(u64 address, u64 length, u64 prot);
long sys_mremap(u64 old_address, u64 old_length, u64 new_length, u64 flags, u64 new_address);
long sys_brk(u64 address);
long sys_madvise(u64 address, u64 length, int advice);
long sys_msync(u64 address, u64 length, int flags);
long sys_mincore(u64 address, u64 length, u8* vec);
long sys_mlock(u64 address, u64 length);
long sys_mlock2(u64 address, u64 length, int flags);
long sys_munlock(u64 address, u64 length);
long sys_mlockall(int flags);
long sys_munlockall();
long sys_membarrier(int command, u32 flags, int cpu);
// process.cc
long sys_fork();
long sys_vfork();
long sys_clone(u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 tls);
long sys_clone3(u64 args, u64 size);
long sys_execve(const char* name, u64 argv, u64 envp);
long sys_execveat(int dfd, const char* name, u64 argv, u64 envp, u32 flags);
long sys_exit(int code);
long sys_exit_group(int code);
long sys_wait4(int pid, int* status, int options, rusage_abi* usage);
long sys_waitid(int type, int id, siginfo* info, int options, rusage_abi* usage);
long sys_set_tid_address(u64 address);
long sys_set_robust_list(u64 head, u64 size);
long sys_get_robust_list(int pid, u64* head, u64* size);
long sys_rseq(u64 area, u32 size, int flags, u32 signature);
long sys_futex(u64 address, int op, u32 value, u64 timeout, u64 address2, u32 value3);
long sys_arch_prctl(int code, u64 address);
long sys_prctl(int option, u64 a, u64 b, u64 c, u64 d);
long sys_personality(u64 persona);
long sys_getpid();
long sys_gettid();
long sys_getppid();
// identity.cc
long sys_getuid();
long sys_geteuid();
long sys_getgid();
long sys_getegid();
long sys_setuid(u32 uid);
long sys_setgid(u32 gid);
long sys_setreuid(u32 r, u32 e);
long sys_setregid(u32 r, u32 e);
long sys_setresuid(u32 r, u32 e, u32 s);
long sys_setresgid(u32 r, u32 e, u32 s);
long sys_getresuid(u32* r, u32* e, u32* s);
long sys_getresgid(u32* r, u32* e, u32* s);
long sys_setfsuid(u32 uid);
long sys_setfsgid(u32 gid);
long sys_getgroups(int n, u32* list);
long sys_setgroups(int n, const u32* list);
long sys_capget(u32* header, u32* data);
long sys_capset(u32* header, const u32* data);
long sys_setpgid(int pid, int pgrp);
long sys_getpgid(int pid);
long sys_getpgrp();
long sys_setsid();
long sys_getsid(int pid);
// signals.cc
long sys_kill(int pid, int sig);
long sys_tkill(int tid, int sig);
long sys_tgkill(int tgid, int tid, int sig);
long sys_rt_sigaction(int sig, const sigaction* act, sigaction* old, u64 size);
long sys_rt_sigprocmask(int how, const sigset_t* set, sigset_t* old, u64 size);
long sys_rt_sigpending(sigset_t* set, u64 size);
long sys_rt_sigsuspend(const sigset_t* set, u64 size);
long sys_rt_sigtimedwait(const sigset_t* set, siginfo* info, const timespec_abi* timeout, u64 size);
long sys_rt_sigqueueinfo(int pid, int sig, const siginfo* info);
long sys_rt_tgsigqueueinfo(int tgid, int tid, int sig, const siginfo* info);
long sys_rt_sigreturn();
long sys_sigaltstack(const stack_t* ss, stack_t* old);
long sys_pause();
long sys_restart_syscall();
// timing.cc
long sys_time(s64* out);
long sys_gettimeofday(timeval_abi* tv, u32* tz);
long sys_settimeofday(const timeval_abi* tv, const u32* tz);
long sys_clock_gettime(int clock, timespec_abi* out);
long sys_clock_settime(int clock, const timespec_abi* ts);
long sys_clock_getres(int clock, timespec_abi* out);
long sys_nanosleep(const timespec_abi* request, timespec_abi* remain);
long sys_clock_nanosleep(int clock, int flags, const timespec_abi* request, timespec_abi* remain);
long sys_alarm(u32 seconds);
long sys_getitimer(int which, itimerval_abi* out);
long sys_setitimer(int which, const itimerval_abi* v, itimerval_abi* old);
long sys_timer_create(int clock, u64 event, int* id);
long sys_timer_settime(int id, int flags, const itimerspec_abi* v, itimerspec_abi* old);
long sys_timer_gettime(int id, itimerspec_abi* out);
long sys_timer_getoverrun(int id);
long sys_timer_delete(int id);
long sys_times(s64* out);
// sockets.cc
long sys_socket(int family, int type, int protocol);
long sys_socketpair(int family, int type, int protocol, int* fds);
long sys_bind(int fd, u64 address, int length);
long sys_listen(int fd, int backlog);
long sys_connect(int fd, u64 address, int length);
long sys_accept(int fd, u64 address, u64 length);
long sys_accept4(int fd, u64 address, u64 length, int flags);
long sys_getsockname(int fd, u64 address, u64 length);
long sys_getpeername(int fd, u64 address, u64 length);
long sys_sendto(int fd, u64 buffer, u64 n, u32 flags, u64 address, int length);
long sys_recvfrom(int fd, u64 buffer, u64 n, u32 flags, u64 address, u64 length);
long sys_sendmsg(int fd, u64 message, u32 flags);
long sys_recvmsg(int fd, u64 message, u32 flags);
long sys_sendmmsg(int fd, u64 messages, u32 count, u32 flags);
long sys_recvmmsg(int fd, u64 messages, u32 count, u32 flags, u64 timeout);
long sys_shutdown(int fd, int how);
long sys_setsockopt(int fd, int level, int name, u64 value, int length);
long sys_getsockopt(int fd, int level, int name, u64 value, u64 length);
// ipc/
long sys_shmget(int key, u64 size, int flags);
long sys_shmat(int id, u64 address, int flags);
long sys_shmdt(u64 address);
long sys_shmctl(int id, int command, u64 buffer);
long sys_semget(int key, int nsems, int flags);
long sys_semop(int id, u64 operations, u32 count);
long sys_semtimedop(int id, u64 operations, u32 count, u64 timeout);
long sys_semctl(int id, int number, int command, u64 argument);
long sys_msgget(int key, int flags);
long sys_msgsnd(int id, u64 message, u64 size, int flags);
long sys_msgrcv(int id, u64 message, u64 size, s64 type, int flags);
long sys_msgctl(int id, int command, u64 buffer);
// fs/timerfd.cc, fs/signalfd.cc, fs/pidfd.cc
long sys_timerfd_create(int clock, u32 flags);
long sys_timerfd_settime(int fd, int flags, const itimerspec_abi* value, itimerspec_abi* old);
long sys_timerfd_gettime(int fd, itimerspec_abi* out);
long sys_signalfd(int fd, const sigset_t* mask, u64 size);
long sys_signalfd4(int fd, const sigset_t* mask, u64 size, u32 flags);
long sys_pidfd_open(int pid, u32 flags);
long sys_pidfd_send_signal(int fd, int sig, const siginfo* info, u32 flags);
long sys_pidfd_getfd(int fd, int target, u32 flags);
// task/process_vm.cc
long sys_process_vm_readv(int pid, u64 local, u64 local_count, u64 remote, u64 remote_count, u64 flags);
long sys_process_vm_writev(int pid, u64 local, u64 local_count, u64 remote, u64 remote_count, u64 flags);
long sys_kcmp(int pid1, int pid2, int type, u64 index1, u64 index2);
long sys_mq_open(const char* name, u32 flags, umode_t mode, u64 attr);
long sys_mq_unlink(const char* name);
long sys_mq_timedsend(int fd, const char* text, u64 length, u32 priority, u64 timeout);
long sys_mq_timedreceive(int fd, char* text, u64 length, u32* priority, u64 timeout);
long sys_mq_notify(int fd, u64 event);
long sys_mq_getsetattr(int fd, u64 fresh, u64 old);
long sys_acct(const char* name);
long sys_adjtimex(u64 timex);
long sys_clock_adjtime(int clock, u64 timex);
// fs/inotify.cc
long sys_inotify_init();
long sys_inotify_init1(u32 flags);
long sys_inotify_add_watch(int fd, const char* name, u32 mask);
long sys_inotify_rm_watch(int fd, int wd);
// scheduling.cc
long sys_sched_yield();
long sys_sched_setparam(int pid, const int* param);
long sys_sched_getparam(int pid, int* param);
long sys_sched_setscheduler(int pid, int policy, const int* param);
long sys_sched_getscheduler(int pid);
long sys_sched_setattr(int pid, u64 attr, u32 flags);
long sys_sched_getattr(int pid, u64 attr, u32 size, u32 flags);
long sys_sched_get_priority_max(int policy);
long sys_sched_get_priority_min(int policy);
long sys_sched_rr_get_interval(int pid, timespec_abi* out);
long sys_sched_setaffinity(int pid, u32 size, const u64* mask);
long sys_sched_getaffinity(int pid, u32 size, u64* mask);
long sys_getcpu(u32* cpu, u32* node, u64 unused);
long sys_getpriority(int which, int who);
long sys_setpriority(int which, int who, int nice);
long sys_ioprio_get(int which, int who);
long sys_ioprio_set(int which, int who, int prio);
// system.cc
long sys_uname(char* out);
long sys_sethostname(const char* name, int n);
long sys_setdomainname(const char* name, int n);
long sys_sysinfo(u64 out);
long sys_syslog(int type, char* buffer, int n);
long sys_reboot(u32 magic1, u32 magic2, u32 command, u64 argument);
long sys_getrandom(char* buffer, u64 n, u32 flags);
long sys_getrlimit(u32 resource, rlimit64* out);
long sys_setrlimit(u32 resource, const rlimit64* in);
long sys_prlimit64(int pid, u32 resource, const rlimit64* in, rlimit64* out);
long sys_getrusage(int who, rusage_abi* out);
long sys_vhangup();

#define UTSNAME_RELEASE "6.1.0-xiaoma"
constexpr const char* kUtsVersion = "#1 SMP PREEMPT Xiaoma";

}  // namespace xm::os
