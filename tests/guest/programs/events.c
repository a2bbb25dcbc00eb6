// SPDX-License-Identifier: GPL-2.0-or-later
// Pseudo terminals with job-control signals, poll, epoll (level, edge, one shot) and eventfd.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int failures;
#define EXPECT(condition)                                              \
  do {                                                                 \
    if (!(condition)) {                                                \
      printf("FAIL line %d: %s (errno %d)\n", __LINE__, #condition, errno); \
      ++failures;                                                      \
    }                                                                  \
  } while (0)

static void read_until(int fd, const char *want, char *buffer, int size) {
  int n = 0;
  while (n < size - 1) {
    struct pollfd p = {fd, POLLIN, 0};
    if (poll(&p, 1, 3000) <= 0) break;
    const int r = read(fd, buffer + n, size - 1 - n);
    if (r <= 0) break;
    n += r;
    buffer[n] = 0;
    if (strstr(buffer, want) != NULL) return;
  }
  buffer[n] = 0;
}

static void test_pty(void) {
  char text[512];
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  EXPECT(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
  char name[64];
  EXPECT(ptsname_r(master, name, sizeof name) == 0 && strncmp(name, "/dev/pts/", 9) == 0);
  const pid_t pid = fork();
  if (pid == 0) {
    setsid();
    const int slave = open(name, O_RDWR);
    if (slave < 0 || !isatty(slave)) _exit(9);
    dup2(slave, 0), dup2(slave, 1), dup2(slave, 2);
    execl("/bin/cat", "cat", (char *)NULL);
    _exit(8);
  }
  EXPECT(write(master, "hello\n", 6) == 6);
  read_until(master, "hello\r\nhello\r\n", text, sizeof text);  // echo, then cat's copy
  EXPECT(strcmp(text, "hello\r\nhello\r\n") == 0);
  EXPECT(write(master, "abx\177c\n", 6) == 6);                    // erase one character
  read_until(master, "\r\nabc\r\n", text, sizeof text);
  EXPECT(strstr(text, "\r\nabc\r\n") != NULL);
  EXPECT(write(master, "\003", 1) == 1);                          // ^C ends it
  int status = 0;
  EXPECT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
  close(master);
}

static void test_epoll(void) {
  int p[2];
  struct epoll_event e = {.events = EPOLLIN, .data.u32 = 7}, out[4];
  const int ep = epoll_create1(EPOLL_CLOEXEC);
  EXPECT(ep >= 0 && pipe(p) == 0);
  EXPECT(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e) == 0);
  EXPECT(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e) == -1 && errno == EEXIST);
  EXPECT(epoll_wait(ep, out, 4, 0) == 0);
  EXPECT(write(p[1], "x", 1) == 1);
  EXPECT(epoll_wait(ep, out, 4, 1000) == 1 && out[0].data.u32 == 7 && out[0].events == EPOLLIN);
  EXPECT(epoll_wait(ep, out, 4, 0) == 1);  // level triggered: still ready
  e.events = EPOLLIN | EPOLLET;
  EXPECT(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e) == 0);
  EXPECT(epoll_wait(ep, out, 4, 0) == 1);
  EXPECT(epoll_wait(ep, out, 4, 0) == 0);  // edge: only once
  const pid_t pid = fork();
  if (pid == 0) {
    usleep(50000);
    _exit(write(p[1], "y", 1) != 1);
  }
  EXPECT(epoll_wait(ep, out, 4, 3000) == 1);
  waitpid(pid, NULL, 0);
  EXPECT(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL) == 0);
  EXPECT(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL) == -1 && errno == ENOENT);
  const int ev = eventfd(3, EFD_NONBLOCK);
  e.events = EPOLLIN | EPOLLONESHOT;
  EXPECT(epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e) == 0);
  EXPECT(epoll_wait(ep, out, 4, 0) == 1 && epoll_wait(ep, out, 4, 0) == 0);
  unsigned long value = 0;
  EXPECT(read(ev, &value, 8) == 8 && value == 3);
  EXPECT(read(ev, &value, 8) == -1 && errno == EAGAIN);
  close(ep), close(ev), close(p[0]), close(p[1]);
}

int main(void) {
  test_pty();
  test_epoll();
  printf("events %s\n", failures == 0 ? "ok" : "FAILED");
  return failures != 0;
}
