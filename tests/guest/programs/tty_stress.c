// SPDX-License-Identifier: GPL-2.0-or-later
// tty_stress WRITERS LINES INPUT ECHO: processes write whole lines to the terminal while INPUT bytes come in, which the
// reader begins to take late. The host checks that no line is torn and that the sum of the input is right.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void write_lines(int id, int lines) {
  char line[80];
  for (int n = 0; n < lines; ++n) {
    const int length = snprintf(line, sizeof line, "<%d:%05d:abcdefghijklmnoprstuvwxyzABCDEFGHIJKLMN>\n", id, n);
    if (write(1, line, length) != length) _exit(1);
  }
  _exit(0);
}

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  const int writers = atoi(argv[1]), lines = atoi(argv[2]);
  long left = atol(argv[3]);
  struct termios old, raw;
  tcgetattr(0, &old);
  raw = old;
  raw.c_lflag &= ~(ICANON | ISIG | ECHO | IEXTEN);
  raw.c_iflag &= ~(IXON | ICRNL | INLCR | IGNCR);
  if (atoi(argv[4])) raw.c_lflag |= ECHO;
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  tcsetattr(0, TCSAFLUSH, &raw);
  write(1, "ready\n", 6);
  for (int i = 0; i < writers; ++i) {
    if (fork() == 0) write_lines(i, lines);
  }
  usleep(500000);
  unsigned hash = 0;
  unsigned char block[700];
  while (left > 0) {
    const long n = read(0, block, left < (long)sizeof block ? left : (long)sizeof block);
    if (n <= 0) return 1;
    for (long i = 0; i < n; ++i) hash = hash * 31 + block[i];
    left -= n;
  }
  int failed = 0, status;
  while (wait(&status) > 0) failed += status != 0;
  tcsetattr(0, TCSADRAIN, &old);
  printf("\nhash %u failed %d\n", hash, failed);
  return 0;
}
