// SPDX-License-Identifier: GPL-2.0-or-later
// Runs the programs of a list inside the guest, one after the other, each with a time limit, and says on standard output
// how each ended: "@@ name status milliseconds". What a program printed follows when it did not end with 0.
// run_list LIST FIRST SECONDS: lines "name command..."; the working directory is the folder of the programs.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void nothing(int sig) { (void)sig; }

// What is left of the program's children, whatever session they made for themselves: everything but us and init's own.
static void end_strays(void) {
  kill(-1, SIGCONT);
  kill(-1, SIGKILL);
  while (waitpid(-1, NULL, WNOHANG) > 0) {
  }
}

static int run(char* command, int seconds, long* ms) {
  const long start = now_ms();
  const int out = open("/run_list.out", O_RDWR | O_CREAT | O_TRUNC, 0600);
  const pid_t child = fork();
  if (child == 0) {
    const int in = open("/dev/null", O_RDONLY);
    dup2(in, 0);
    dup2(out, 1);
    dup2(out, 2);
    for (int fd = 3; fd < 64; ++fd) close(fd);
    signal(SIGALRM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    setsid();
    if (chdir("/tmp") != 0) _exit(126);
    execl("/bin/sh", "sh", "-c", command, (char*)NULL);
    _exit(127);
  }
  close(out);
  int status = 0, result;
  alarm(seconds);
  if (waitpid(child, &status, 0) != child) {  // the alarm
    kill(-child, SIGKILL);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    result = 1000;
  } else {
    result = WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
  }
  alarm(0);
  end_strays();
  *ms = now_ms() - start;
  return result;
}

static void show_output(void) {
  static char text[6001];
  const int fd = open("/run_list.out", O_RDONLY);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) != 0) return;
  if (st.st_size > 6000) lseek(fd, st.st_size - 6000, SEEK_SET);
  ssize_t n = read(fd, text, 6000);
  close(fd);
  if (n > 0) fwrite(text, 1, (size_t)n, stdout);
}

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  FILE* list = fopen(argv[1], "r");
  if (list == NULL) return 2;
  struct sigaction act = {.sa_handler = nothing};
  sigaction(SIGALRM, &act, NULL);
  signal(SIGHUP, SIG_IGN);
  const int first = atoi(argv[2]), seconds = atoi(argv[3]);
  char line[1024];
  for (int n = 0; fgets(line, sizeof line, list) != NULL; ++n) {
    line[strcspn(line, "\n")] = 0;
    char* command = strchr(line, ' ');
    if (n < first || command == NULL) continue;
    *command++ = 0;
    printf("@> %d %s\n", n, line);
    fflush(stdout);
    long ms;
    const int status = run(command, seconds, &ms);
    if (status != 0) show_output();
    printf("\n@@ %s %d %ld\n", line, status, ms);
    fflush(stdout);
  }
  printf("@@@ end\n");
  fflush(stdout);
  return 0;
}
