// SPDX-License-Identifier: GPL-2.0-or-later
// System V IPC, POSIX message queues, timerfd, signalfd, pidfd and inotify as a program sees them. Ends with "ipc ok"; the
// first thing that is wrong is named.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                   \
  do {                                                                                     \
    if (!(condition)) {                                                                    \
      printf("line %d: %s (errno %d %s)\n", __LINE__, #condition, errno, strerror(errno)); \
      exit(1);                                                                             \
    }                                                                                      \
  } while (0)
#define FAILS(call, error) CHECK((errno = 0, (call) == -1 && errno == (error)))

static void shared_memory(void) {
  const int id = shmget(IPC_PRIVATE, 10000, IPC_CREAT | 0600);
  CHECK(id >= 0);
  int *a = shmat(id, NULL, 0), *b = shmat(id, NULL, SHM_RDONLY);
  CHECK(a != (void *)-1 && b != (void *)-1 && a != b);
  *a = 42;
  CHECK(*b == 42);
  if (fork() == 0) {
    *a = 43;
    exit(0);
  }
  wait(NULL);
  struct shmid_ds ds;
  CHECK(shmctl(id, IPC_STAT, &ds) == 0 && *b == 43 && ds.shm_nattch == 2 && ds.shm_segsz == 10000);
  FAILS(shmat(id, (void *)1, 0) == (void *)-1 ? -1 : 0, EINVAL);
  CHECK(shmctl(id, IPC_RMID, NULL) == 0 && *b == 43);  // lives until the last one detaches
  CHECK(shmdt(a) == 0 && shmdt(b) == 0);
  FAILS(shmdt(b), EINVAL);
  FAILS(shmctl(id, IPC_STAT, &ds), EINVAL);
}

static void semaphores(void) {
  const int id = semget(IPC_PRIVATE, 2, IPC_CREAT | 0600);
  CHECK(id >= 0);
  CHECK(semctl(id, 0, SETVAL, 1) == 0 && semctl(id, 0, GETVAL) == 1);
  struct sembuf both[2] = {{0, -1, 0}, {1, -1, IPC_NOWAIT}};
  FAILS(semop(id, both, 2), EAGAIN);
  CHECK(semctl(id, 0, GETVAL) == 1);  // all or nothing
  if (fork() == 0) {
    struct sembuf take = {0, -1, SEM_UNDO};
    exit(semop(id, &take, 1) != 0);
  }
  int status;
  wait(&status);
  CHECK(status == 0 && semctl(id, 0, GETVAL) == 1);  // given back
  if (fork() == 0) {
    usleep(20000);
    struct sembuf give = {1, 1, 0};
    exit(semop(id, &give, 1) != 0);
  }
  both[1].sem_flg = 0;
  CHECK(semop(id, both, 2) == 0);
  wait(NULL);
  CHECK(semctl(id, 0, IPC_RMID) == 0);
  FAILS(semop(id, both, 1), EINVAL);
}

static void messages(void) {
  struct {
    long type;
    char text[16];
  } m = {3, "three"};
  const int id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
  CHECK(id >= 0 && msgsnd(id, &m, 6, 0) == 0);
  m.type = 1;
  CHECK(msgsnd(id, &m, 6, 0) == 0);
  FAILS(msgrcv(id, &m, 16, 2, IPC_NOWAIT), ENOMSG);
  CHECK(msgrcv(id, &m, 16, -5, 0) == 6 && m.type == 1);
  FAILS(msgrcv(id, &m, 2, 0, 0), E2BIG);
  CHECK(msgrcv(id, &m, 2, 0, MSG_NOERROR) == 2 && m.type == 3);
  CHECK(msgctl(id, IPC_RMID, NULL) == 0);
}

static void posix_queue(void) {
  const long fd = syscall(SYS_mq_open, "xm-test", O_CREAT | O_RDWR | O_NONBLOCK, 0600, NULL);
  CHECK(fd >= 0);
  CHECK(syscall(SYS_mq_timedsend, fd, "low", 3, 1, NULL) == 0 && syscall(SYS_mq_timedsend, fd, "high", 4, 7, NULL) == 0);
  char text[8192];
  unsigned priority;
  CHECK(syscall(SYS_mq_timedreceive, fd, text, sizeof text, &priority, NULL) == 4 && priority == 7 && text[0] == 'h');
  CHECK(syscall(SYS_mq_timedreceive, fd, text, sizeof text, &priority, NULL) == 3 && priority == 1);
  FAILS(syscall(SYS_mq_timedreceive, fd, text, sizeof text, &priority, NULL), EAGAIN);
  CHECK(syscall(SYS_mq_unlink, "xm-test") == 0);
  FAILS(syscall(SYS_mq_unlink, "xm-test"), ENOENT);
  close((int)fd);
}

static void event_files(void) {
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  uint64_t ticks = 0;
  FAILS(read(timer, &ticks, 8), EAGAIN);
  const struct itimerspec t = {{0, 5000000}, {0, 5000000}};
  CHECK(timerfd_settime(timer, 0, &t, NULL) == 0);
  struct pollfd p = {timer, POLLIN, 0};
  CHECK(poll(&p, 1, 5000) == 1 && read(timer, &ticks, 8) == 8 && ticks >= 1);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  const int signals = signalfd(-1, &set, 0);
  CHECK(signals >= 0 && kill(getpid(), SIGUSR1) == 0);
  struct signalfd_siginfo info;
  CHECK(read(signals, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR1 && info.ssi_pid == (unsigned)getpid());
  const pid_t child = fork();
  if (child == 0) pause(), exit(0);
  const int pidfd = (int)syscall(434, child, 0);
  p.fd = pidfd;
  CHECK(pidfd >= 0 && poll(&p, 1, 0) == 0);
  CHECK(syscall(424, pidfd, SIGKILL, NULL, 0) == 0 && poll(&p, 1, 5000) == 1);
  CHECK(waitpid(child, NULL, 0) == child);
  close(timer), close(signals), close(pidfd);
}

static void file_events(void) {
  mkdir("/tmp/xm-watched", 0755);
  const int in = inotify_init1(IN_NONBLOCK);
  const int wd = inotify_add_watch(in, "/tmp/xm-watched", IN_CREATE | IN_MODIFY | IN_DELETE | IN_MOVED_TO);
  CHECK(wd >= 1);
  const int fd = open("/tmp/xm-watched/a", O_CREAT | O_WRONLY, 0600);
  CHECK(write(fd, "x", 1) == 1 && close(fd) == 0);
  CHECK(rename("/tmp/xm-watched/a", "/tmp/xm-watched/b") == 0 && unlink("/tmp/xm-watched/b") == 0);
  char buffer[1024];
  const long n = read(in, buffer, sizeof buffer);
  uint32_t seen = 0;
  for (long at = 0; at < n;) {
    const struct inotify_event *e = (void *)(buffer + at);
    CHECK(e->wd == wd && (e->name[0] == 'a' || e->name[0] == 'b'));
    seen |= e->mask;
    at += (long)sizeof *e + e->len;
  }
  CHECK(seen == (IN_CREATE | IN_MODIFY | IN_DELETE | IN_MOVED_TO));
  CHECK(inotify_rm_watch(in, wd) == 0);
  FAILS(inotify_rm_watch(in, wd), EINVAL);
  close(in);
  rmdir("/tmp/xm-watched");
}

int main(void) {
  shared_memory();
  semaphores();
  messages();
  posix_queue();
  event_files();
  file_events();
  puts("ipc ok");
  return 0;
}
