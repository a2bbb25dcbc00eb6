// SPDX-License-Identifier: GPL-2.0-or-later
// TCP over 127.0.0.1: round trips, a checked stream, many short connections, urgent data, non-blocking connect,
// options. Prints "ok NAME" or "FAIL NAME" for each; with a number as argument also the cost of each operation in ns.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int one = 1;
static struct sockaddr_in address = {.sin_family = AF_INET};
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}
static void check(const char* name, int good) { printf("%s %s\n", good ? "ok" : "FAIL", name); }
static unsigned char pattern(unsigned long i) { return (unsigned char)(i * 2654435761u >> 13); }
static int connected(void) {
  int s = socket(AF_INET, SOCK_STREAM, 0);
  return connect(s, (struct sockaddr*)&address, sizeof address) == 0 ? s : -1;
}

static void serve(int listener, int rounds, int connections) {
  static unsigned char buffer[65536];
  int s = accept(listener, 0, 0);
  setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  for (int i = 0; i < rounds; ++i)
    if (read(s, buffer, 1) != 1 || write(s, buffer, 1) != 1) break;
  close(s);
  s = accept(listener, 0, 0);
  unsigned long total = 0, bad = 0;
  long n;
  while ((n = read(s, buffer, sizeof buffer)) > 0) {
    for (long i = 0; i < n; ++i) bad += buffer[i] != pattern(total + i);
    total += n;
  }
  unsigned long report[2] = {total, bad};
  write(s, report, sizeof report);
  close(s);
  for (int i = 0; i < connections; ++i) close(accept(listener, 0, 0));
  exit(0);
}

int main(int argc, char** argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 200;
  unsigned long stream = argc > 2 ? strtoul(argv[2], 0, 0) : 4000000, sent = 0;
  signal(SIGPIPE, SIG_IGN);
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  check("bind", bind(listener, (struct sockaddr*)&address, length) == 0 &&
                    getsockname(listener, (struct sockaddr*)&address, &length) == 0);
  check("listen", listen(listener, 128) == 0);
  pid_t child = fork();
  if (child == 0) serve(listener, rounds, rounds);
  int s = connected();
  check("connect", s >= 0);
  setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  char byte = 1;
  double begin = now();
  int i = 0;
  while (i < rounds && write(s, &byte, 1) == 1 && read(s, &byte, 1) == 1) ++i;
  double round_trip = (now() - begin) / rounds;
  check("round trips", i == rounds);
  struct tcp_info info;
  length = sizeof info;
  check("TCP_INFO",
        getsockopt(s, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 && info.tcpi_snd_cwnd > 0 && info.tcpi_rtt > 0);
  close(s);
  s = connected();
  static unsigned char buffer[65536];
  begin = now();
  while (sent < stream) {
    unsigned long n = stream - sent < sizeof buffer ? stream - sent : sizeof buffer;
    for (unsigned long k = 0; k < n; ++k) buffer[k] = pattern(sent + k);
    long w = write(s, buffer, n);
    if (w <= 0) break;
    sent += w;
  }
  shutdown(s, SHUT_WR);
  unsigned long report[2] = {0, 1};
  check("stream",
        recv(s, report, sizeof report, MSG_WAITALL) == sizeof report && report[0] == stream && report[1] == 0);
  double rate = stream / (now() - begin) * 1e3;
  close(s);
  begin = now();
  for (i = 0; i < rounds; ++i) {
    if ((s = connected()) < 0) break;
    close(s);
  }
  double connection = (now() - begin) / rounds;
  check("connections", i == rounds);
  int status;
  waitpid(child, &status, 0);
  check("server", WIFEXITED(status) && WEXITSTATUS(status) == 0);

  // In one process: both ends.
  int a = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  int r = connect(a, (struct sockaddr*)&address, sizeof address);
  struct pollfd p = {a, POLLOUT, 0};
  int error = -1;
  length = sizeof error;
  check("non-blocking connect", (r == 0 || errno == EINPROGRESS) && poll(&p, 1, 2000) == 1 &&
                                    getsockopt(a, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0);
  int b = accept(listener, 0, 0);
  check("urgent", send(a, "u", 1, MSG_OOB) == 1 && (p.fd = b, p.events = POLLPRI, poll(&p, 1, 2000)) == 1 &&
                      recv(b, &byte, 1, MSG_OOB) == 1 && byte == 'u');
  check("peek", send(a, "xyz", 3, 0) == 3 && recv(b, buffer, 9, MSG_PEEK) == 3 && recv(b, buffer, 9, 0) == 3);
  shutdown(a, SHUT_WR);
  check("end of stream",
        recv(b, buffer, 9, 0) == 0 && (p.events = POLLIN | POLLRDHUP, poll(&p, 1, 0)) == 1 && (p.revents & POLLRDHUP));
  close(b);
  check("reset", (usleep(10000), send(a, "x", 1, MSG_NOSIGNAL)) < 0 || errno == EPIPE);
  close(a);
  close(listener);
  check("refused", connected() < 0 && errno == ECONNREFUSED);
  if (argc > 1) printf("round trip %.0f ns, %.1f MB/s, connection %.0f ns\n", round_trip, rate, connection);
  return 0;
}
