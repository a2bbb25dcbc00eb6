// SPDX-License-Identifier: GPL-2.0-or-later
// AF_UNIX sockets as a program sees them: pairs, names, connections, datagrams, descriptors and credentials that travel,
// time-outs, errors. Ends with "unix_sockets ok"; the first thing that is wrong is named.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                  \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      printf("line %d: %s (errno %d %s)\n", __LINE__, #condition, errno, strerror(errno)); \
      exit(1);                                                                            \
    }                                                                                     \
  } while (0)
#define FAILS(call, error) CHECK((errno = 0, (call) == -1 && errno == (error)))

static struct sockaddr_un name_of(const char* path) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  strcpy(a.sun_path, path);
  return a;
}

static void pairs(void) {
  int p[2];
  char buffer[64];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) == 0);
  CHECK(write(p[0], "hello", 5) == 5 && write(p[0], "world", 5) == 5);
  CHECK(recv(p[1], buffer, 3, MSG_PEEK) == 3 && memcmp(buffer, "hel", 3) == 0);
  CHECK(read(p[1], buffer, sizeof buffer) == 10 && memcmp(buffer, "helloworld", 10) == 0);
  FAILS(recv(p[1], buffer, 1, MSG_DONTWAIT), EAGAIN);
  FAILS(lseek(p[0], 0, SEEK_SET), ESPIPE);
  struct timeval t = {0, 50000};
  CHECK(setsockopt(p[1], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0);
  FAILS(read(p[1], buffer, 1), EAGAIN);
  CHECK(shutdown(p[0], SHUT_WR) == 0 && read(p[1], buffer, 1) == 0);
  FAILS(send(p[0], "x", 1, MSG_NOSIGNAL), EPIPE);
  struct pollfd f = {p[1], POLLIN | POLLRDHUP, 0};
  CHECK(poll(&f, 1, 0) == 1 && (f.revents & (POLLIN | POLLRDHUP)) == (POLLIN | POLLRDHUP));
  close(p[0]);
  CHECK(poll(&f, 1, 0) == 1 && (f.revents & POLLHUP));
  close(p[1]);
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p) == 0);
  CHECK(write(p[0], "12345", 5) == 5 && write(p[0], "ab", 2) == 2);
  CHECK(read(p[1], buffer, 3) == 3 && read(p[1], buffer, 9) == 2 && buffer[0] == 'a');
  close(p[0]);
  CHECK(read(p[1], buffer, 1) == 0);
  close(p[1]);
  FAILS(socketpair(AF_UNIX, SOCK_STREAM, 77, p), EPROTONOSUPPORT);
  FAILS(socket(AF_UNIX, SOCK_RDM, 0), ESOCKTNOSUPPORT);
  FAILS(socket(4711, SOCK_STREAM, 0), EAFNOSUPPORT);
}

static void connections(void) {
  const char* path = "/tmp/unix_sockets.sock";
  unlink(path);
  struct sockaddr_un a = name_of(path);
  int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
  FAILS(listen(listener, 1), EINVAL);
  FAILS(connect(client, (void*)&a, sizeof a), ENOENT);
  CHECK(bind(listener, (void*)&a, sizeof a) == 0);
  FAILS(bind(listener, (void*)&a, sizeof a), EADDRINUSE);
  FAILS(bind(client, (void*)&a, sizeof a), EADDRINUSE);
  FAILS(connect(client, (void*)&a, sizeof a), ECONNREFUSED);
  struct stat st;
  CHECK(stat(path, &st) == 0 && S_ISSOCK(st.st_mode));
  CHECK(listen(listener, 5) == 0);
  FAILS(fcntl(listener, F_SETFL, O_NONBLOCK) == 0 ? accept(listener, 0, 0) : 0, EAGAIN);
  fcntl(listener, F_SETFL, 0);
  pid_t child = fork();
  if (child == 0) {
    CHECK(connect(client, (void*)&a, sizeof a) == 0);
    FAILS(connect(client, (void*)&a, sizeof a), EISCONN);
    char buffer[200000];
    memset(buffer, 7, sizeof buffer);
    for (int i = 0; i < 5; i++) CHECK(write(client, buffer, sizeof buffer) == sizeof buffer);
    char c;
    CHECK(read(client, &c, 1) == 1 && c == 'k');
    exit(0);
  }
  close(client);
  struct sockaddr_un peer;
  socklen_t n = sizeof peer;
  int server = accept4(listener, (void*)&peer, &n, SOCK_CLOEXEC);
  CHECK(server >= 0 && n == sizeof(sa_family_t));
  struct ucred who;
  n = sizeof who;
  CHECK(getsockopt(server, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 && who.pid == child && who.uid == getuid());
  n = sizeof peer;
  CHECK(getsockname(server, (void*)&peer, &n) == 0 && strcmp(peer.sun_path, path) == 0);
  char buffer[5000];
  long total = 0, got;
  while (total < 1000000 && (got = read(server, buffer, sizeof buffer)) > 0) total += got;
  CHECK(total == 1000000 && write(server, "k", 1) == 1);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(read(server, buffer, 1) == 0);
  FAILS(send(server, "x", 1, MSG_NOSIGNAL), EPIPE);
  close(server);
  close(listener);
  client = socket(AF_UNIX, SOCK_STREAM, 0);
  FAILS(connect(client, (void*)&a, sizeof a), ECONNREFUSED);
  close(client);
  unlink(path);
}

static void datagrams(void) {
  struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "\0xm-test"}, from;
  const socklen_t length = sizeof(sa_family_t) + 8;
  int to = socket(AF_UNIX, SOCK_DGRAM, 0), s = socket(AF_UNIX, SOCK_DGRAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);
  FAILS(sendto(s, "x", 1, 0, (void*)&a, length), ECONNREFUSED);
  CHECK(bind(to, (void*)&a, length) == 0);
  FAILS(connect(other, (void*)&a, length), ECONNREFUSED);  // a name of another type
  FAILS(send(s, "x", 1, 0), ENOTCONN);
  CHECK(bind(s, (void*)&a, sizeof(sa_family_t)) == 0);  // autobind
  CHECK(sendto(s, "datagram", 8, 0, (void*)&a, length) == 8);
  char buffer[64];
  socklen_t n = sizeof from;
  CHECK(recvfrom(to, buffer, 4, MSG_TRUNC, (void*)&from, &n) == 8 && n == sizeof(sa_family_t) + 6 && from.sun_path[0] == 0);
  CHECK(connect(s, (void*)&a, length) == 0 && send(s, "", 0, 0) == 0 && recv(to, buffer, 9, 0) == 0);
  int sent = 0;
  while (send(s, "x", 1, MSG_DONTWAIT) == 1 && sent < 10000) sent++;
  CHECK(errno == EAGAIN && sent >= 10);
  close(to);
  FAILS(send(s, "x", 1, 0), ECONNREFUSED);
  close(s);
  close(other);
}

static void travel(void) {
  int p[2], pipes[2], on = 1;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0 && pipe(pipes) == 0);
  CHECK(setsockopt(p[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
  char control[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))] = {0}, byte = 'b';
  struct iovec v = {&byte, 1};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int))};
  struct cmsghdr* c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(c), &pipes[1], sizeof(int));
  CHECK(sendmsg(p[0], &m, 0) == 1);
  close(pipes[1]);
  m.msg_controllen = sizeof control;
  CHECK(recvmsg(p[1], &m, MSG_CMSG_CLOEXEC) == 1 && m.msg_flags == MSG_CMSG_CLOEXEC);
  int fd = -1, creds = 0;
  for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_type == SCM_RIGHTS) memcpy(&fd, CMSG_DATA(c), sizeof fd);
    struct ucred who;
    if (c->cmsg_type == SCM_CREDENTIALS) memcpy(&who, CMSG_DATA(c), sizeof who), creds = who.pid == getpid();
  }
  CHECK(fd >= 0 && creds && fcntl(fd, F_GETFD) == FD_CLOEXEC);
  CHECK(write(fd, "through", 7) == 7);
  char buffer[16];
  CHECK(read(pipes[0], buffer, 16) == 7);
  close(fd);
  CHECK(read(pipes[0], buffer, 16) == 0);
  m.msg_controllen = CMSG_SPACE(sizeof(int));
  c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
  fd = 1234;
  memcpy(CMSG_DATA(c), &fd, sizeof(int));
  FAILS(sendmsg(p[0], &m, 0), EBADF);
  FAILS(sendmsg(0, &m, 0), ENOTSOCK);
  FAILS(recv(p[1], (void*)8, 1, MSG_DONTWAIT), EAGAIN);
  CHECK(write(p[0], "x", 1) == 1);
  FAILS(recv(p[1], (void*)8, 1, 0), EFAULT);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  pairs();
  connections();
  datagrams();
  travel();
  puts("unix_sockets ok");
  return 0;
}
