// SPDX-License-Identifier: GPL-2.0-or-later
// Processes: fork and wait, pipes, copy-on-write, signals with siginfo and FPU state kept, itimer, mmap shared, bad pointers, sigaltstack.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures;
#define EXPECT(condition)                                              \
  do {                                                                 \
    if (!(condition)) {                                                \
      printf("FAIL line %d: %s (errno %d)\n", __LINE__, #condition, errno); \
      ++failures;                                                      \
    }                                                                  \
  } while (0)

static volatile sig_atomic_t got_signal, got_pid;
static void on_info(int sig, siginfo_t *info, void *context) {
  (void)context;
  got_signal = sig;
  got_pid = info->si_pid;
}
static sigjmp_buf escape;
static void *volatile fault_address;
static void on_fault(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)context;
  fault_address = info->si_addr;
  siglongjmp(escape, 1);
}
static volatile int alarms;
static void on_alarm(int sig) {
  (void)sig;
  volatile double x = 1.0;  // uses the FPU inside the handler
  for (int i = 0; i < 100; ++i) x = x * 1.5 - 0.25;
  ++alarms;
}

static void test_fork(void) {
  int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int private_value = 1, status;
  *shared = 1;
  const pid_t pid = fork();
  if (pid == 0) {
    private_value = 2;
    *shared = 2;
    _exit(private_value + 40);
  }
  EXPECT(waitpid(pid, &status, 0) == pid);
  EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 42);
  EXPECT(private_value == 1 && *shared == 2);
  EXPECT(waitpid(-1, &status, 0) == -1 && errno == ECHILD);
  munmap(shared, 4096);
}

static void test_pipe(void) {
  int p[2];
  char buffer[16];
  EXPECT(pipe(p) == 0);
  const pid_t pid = fork();
  if (pid == 0) {
    close(p[0]);
    for (int i = 0; i < 1000; ++i) {
      if (write(p[1], "0123456789", 10) != 10) _exit(1);
    }
    _exit(0);
  }
  close(p[1]);
  long total = 0;
  for (ssize_t n; (n = read(p[0], buffer, sizeof buffer)) > 0;) total += n;
  EXPECT(total == 10000);
  int status;
  EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
  close(p[0]);
}

static void test_signals(void) {
  struct sigaction a = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO};
  EXPECT(sigaction(SIGUSR1, &a, NULL) == 0);
  EXPECT(kill(getpid(), SIGUSR1) == 0);
  EXPECT(got_signal == SIGUSR1 && got_pid == getpid());
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  a.sa_sigaction = on_info;
  sigaction(SIGUSR2, &a, NULL);
  sigprocmask(SIG_BLOCK, &set, &old);
  kill(getpid(), SIGUSR2);
  EXPECT(got_signal == SIGUSR1);
  sigprocmask(SIG_SETMASK, &old, NULL);
  EXPECT(got_signal == SIGUSR2);
  static char stack[65536];
  const stack_t alt = {.ss_sp = stack, .ss_size = sizeof stack};
  EXPECT(sigaltstack(&alt, NULL) == 0);
  a.sa_sigaction = on_fault;
  a.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &a, NULL);
  if (sigsetjmp(escape, 1) == 0) *(volatile int *)0x1234 = 1;
  EXPECT(fault_address == (void *)0x1234);
  signal(SIGSEGV, SIG_DFL);
}

static void test_timer(void) {
  signal(SIGALRM, on_alarm);
  const struct itimerval v = {{0, 5000}, {0, 5000}};
  EXPECT(setitimer(ITIMER_REAL, &v, NULL) == 0);
  volatile double y = 3.25;
  while (alarms < 5) y = y * 1.000001 + 0.5 - 0.5;
  const struct itimerval off = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &off, NULL);
  EXPECT(y > 3.0);
}

static void test_bad_pointers(void) {
  EXPECT(write(1, (void *)8, 4) == -1 && errno == EFAULT);
  EXPECT(read(open("/dev/zero", O_RDONLY), (void *)0xffffffff80200000ul, 16) == -1 && errno == EFAULT);
  EXPECT(open((char *)1, O_RDONLY) == -1 && errno == EFAULT);
  EXPECT(pipe((int *)16) == -1 && errno == EFAULT);
}

static void test_memory(void) {
  char *m = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(m != MAP_FAILED);
  memset(m, 7, 8 * 4096);
  EXPECT(mprotect(m + 4096, 4096, PROT_READ) == 0);
  struct sigaction a = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &a, NULL);
  if (sigsetjmp(escape, 1) == 0) m[4100] = 1;
  EXPECT(fault_address == m + 4100);
  signal(SIGSEGV, SIG_DFL);
  EXPECT(munmap(m + 2 * 4096, 4096) == 0);
  char *moved = mremap(m + 3 * 4096, 5 * 4096, 16 * 4096, MREMAP_MAYMOVE);
  EXPECT(moved != MAP_FAILED && moved[0] == 7 && moved[5 * 4096 - 1] == 7 && moved[5 * 4096] == 0);
  const int fd = open("/tmp/mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
  EXPECT(ftruncate(fd, 8192) == 0);
  char *f = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  strcpy(f + 4096, "through the mapping");
  char text[32] = "";
  EXPECT(pread(fd, text, 19, 4096) == 19 && strcmp(text, "through the mapping") == 0);
  close(fd);
  unlink("/tmp/mapped");
}

int main(void) {
  test_fork();
  test_pipe();
  test_signals();
  test_timer();
  test_bad_pointers();
  test_memory();
  printf("process %s\n", failures == 0 ? "ok" : "FAILED");
  return failures != 0;
}
