// SPDX-License-Identifier: GPL-2.0-or-later
// A tracer and its tracee: system-call stops, registers, memory, single steps, a cloned child; a seccomp filter; a core
// file; a lease and its signal; asynchronous I/O; mount and UTS namespaces. Says "tracing ok" at the end.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(c)                                                          \
  do {                                                                    \
    if (!(c)) {                                                           \
      printf("failed: line %d: %s (errno %d)\n", __LINE__, #c, errno); \
      exit(1);                                                            \
    }                                                                     \
  } while (0)

static volatile long secret = 1;

static void trace(void) {
  const pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    syscall(SYS_getpid);
    const pid_t grandchild = fork();
    if (grandchild == 0) _exit(5);
    waitpid(grandchild, NULL, 0);
    _exit(secret == 77 ? 3 : 4);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  CHECK(ptrace(PTRACE_SETOPTIONS, child, NULL, (void*)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK)) == 0);
  CHECK(ptrace(PTRACE_POKEDATA, child, (void*)&secret, (void*)77) == 0);
  CHECK(ptrace(PTRACE_PEEKDATA, child, (void*)&secret, NULL) == 77);
  CHECK(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) == 0);
  CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
  int calls = 0, saw_getpid = 0, saw_fork = 0;
  pid_t other = 0;
  for (;;) {
    CHECK(ptrace(PTRACE_SYSCALL, child, NULL, NULL) == 0);
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status)) break;
    CHECK(WIFSTOPPED(status));
    if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
      struct user_regs_struct regs;
      CHECK(ptrace(PTRACE_GETREGS, child, NULL, &regs) == 0);
      ++calls;
      if (regs.orig_rax == SYS_getpid && (long)regs.rax == child) saw_getpid = 1;
    } else if (status >> 8 == (SIGTRAP | PTRACE_EVENT_FORK << 8)) {
      unsigned long message = 0;
      CHECK(ptrace(PTRACE_GETEVENTMSG, child, NULL, &message) == 0);
      other = (pid_t)message;
      int second;
      CHECK(waitpid(other, &second, __WALL) == other && WIFSTOPPED(second));
      CHECK(ptrace(PTRACE_DETACH, other, NULL, NULL) == 0);
      saw_fork = 1;
    }
  }
  CHECK(WEXITSTATUS(status) == 3 && calls >= 4 && saw_getpid && saw_fork && other > 0);
}

static void filter(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getuid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof code[0], code};
  int status;
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(1);
    if (syscall(SYS_getppid) != -1 || errno != 77) _exit(2);
    syscall(SYS_getuid);
    _exit(3);
  }
  CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

static void core_file(void) {
  int status;
  const pid_t child = fork();
  if (child == 0) {
    const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &unlimited);
    chdir("/tmp");
    *(volatile int*)8 = 1;
    _exit(1);
  }
  CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV && WCOREDUMP(status));
  Elf64_Ehdr head;
  const int fd = open("/tmp/core", O_RDONLY);
  CHECK(fd >= 0 && read(fd, &head, sizeof head) == sizeof head);
  CHECK(memcmp(head.e_ident, ELFMAG, SELFMAG) == 0 && head.e_type == ET_CORE && head.e_phnum > 2);
  close(fd);
  unlink("/tmp/core");
}

static volatile int told;
static void tell(int sig) { told = sig; }

static void lease(void) {
  const int fd = open("/tmp/leased", O_RDONLY | O_CREAT, 0600);
  signal(SIGIO, tell);
  CHECK(fd >= 0 && fcntl(fd, F_SETLEASE, F_RDLCK) == 0 && fcntl(fd, F_GETLEASE) == F_RDLCK);
  CHECK(open("/tmp/leased", O_WRONLY | O_NONBLOCK) == -1 && errno == EAGAIN && told == SIGIO);
  CHECK(fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
  close(fd);
  unlink("/tmp/leased");
}

static void asynchronous(void) {
  aio_context_t context = 0;
  const int fd = open("/tmp/aio", O_RDWR | O_CREAT, 0600);
  char text[] = "abc";
  struct iocb request = {0};
  request.aio_fildes = fd;
  request.aio_lio_opcode = IOCB_CMD_PWRITE;
  request.aio_buf = (unsigned long)text;
  request.aio_nbytes = 3;
  request.aio_data = 9;
  struct iocb* list[] = {&request};
  struct io_event event;
  CHECK(syscall(SYS_io_setup, 4, &context) == 0 && syscall(SYS_io_submit, context, 1, list) == 1);
  CHECK(syscall(SYS_io_getevents, context, 1, 1, &event, NULL) == 1 && event.res == 3 && event.data == 9);
  CHECK(syscall(SYS_io_destroy, context) == 0);
  close(fd);
  unlink("/tmp/aio");
}

static void namespaces(void) {
  int status;
  struct utsname name;
  const pid_t child = fork();
  if (child == 0) {
    CHECK(unshare(CLONE_NEWNS | CLONE_NEWUTS) == 0 && sethostname("other", 5) == 0);
    CHECK(mkdir("/tmp/ns", 0700) == 0 && mount("none", "/tmp/ns", "tmpfs", 0, NULL) == 0);
    CHECK(close(open("/tmp/ns/inside", O_CREAT | O_WRONLY, 0600)) == 0);
    _exit(0);
  }
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(access("/tmp/ns/inside", F_OK) == -1 && errno == ENOENT && rmdir("/tmp/ns") == 0);
  CHECK(uname(&name) == 0 && strcmp(name.nodename, "other") != 0);
}

int main(void) {
  trace();
  filter();
  core_file();
  lease();
  asynchronous();
  namespaces();
  printf("tracing ok\n");
  return 0;
}
