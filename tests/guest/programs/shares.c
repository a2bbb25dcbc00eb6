// SPDX-License-Identifier: GPL-2.0-or-later
// shares SECONDS NICE...: a busy process at each nice level, all on one processor; prints how far the largest deviation
// of their shares from their weights is, in thousandths of the processor.
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const int kWeights[40] = {88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916,
                                 9548,  7620,  6100,  4904,  3906,  3121,  2501,  1991,  1586,  1277,
                                 1024,  820,   655,   526,   423,   335,   272,   215,   172,   137,
                                 110,   87,    70,    56,    45,    36,    29,    23,    18,    15};

int main(int argc, char** argv) {
  const int n = argc - 2;
  pid_t pids[16];
  double used[16], sum = 0, weights = 0, worst = 0;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  sched_setaffinity(0, sizeof one, &one);
  int gate[2];
  pipe(gate);
  for (int i = 0; i < n; ++i) {
    pids[i] = fork();
    if (pids[i] == 0) {
      setpriority(PRIO_PROCESS, 0, atoi(argv[2 + i]));
      char c;
      close(gate[1]);
      read(gate[0], &c, 1);
      for (;;) {
      }
    }
  }
  usleep(200000);
  close(gate[1]);
  sleep(atoi(argv[1]));
  for (int i = 0; i < n; ++i) kill(pids[i], SIGSTOP);
  for (int i = 0; i < n; ++i) kill(pids[i], SIGKILL);
  for (int i = 0; i < n; ++i) {
    struct rusage r;
    int status;
    wait4(pids[i], &status, 0, &r);
    used[i] = r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
    sum += used[i];
    weights += kWeights[atoi(argv[2 + i]) + 20];
  }
  for (int i = 0; i < n; ++i) {
    const double expected = kWeights[atoi(argv[2 + i]) + 20] / weights, got = used[i] / sum;
    const double off = got > expected ? got - expected : expected - got;
    printf("nice %s: %.3f s, share %.4f, weight %.4f\n", argv[2 + i], used[i], got, expected);
    if (off > worst) worst = off;
  }
  printf("worst %d\n", (int)(worst * 1000 + 0.5));
  return 0;
}
