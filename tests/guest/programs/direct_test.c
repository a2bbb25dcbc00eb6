// SPDX-License-Identifier: GPL-2.0-or-later
// direct_test DEVICE: O_DIRECT reads and writes of a block device agree with the cached ones; unaligned ones are
// refused.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(what)                                              \
  do {                                                           \
    if (!(what)) {                                               \
      printf("line %d: %s: errno %d\n", __LINE__, #what, errno); \
      exit(1);                                                   \
    }                                                            \
  } while (0)

int main(int argc, char** argv) {
  enum { kBytes = 300 * 1024 };
  unsigned char *a, *b;
  CHECK(posix_memalign((void**)&a, 4096, kBytes) == 0 && posix_memalign((void**)&b, 4096, kBytes) == 0);
  for (int i = 0; i < kBytes; ++i) a[i] = i * 7 + i / 512;
  const int direct = open(argv[1], O_RDWR | O_DIRECT), cached = open(argv[1], O_RDWR);
  CHECK(direct >= 0 && cached >= 0);
  const off_t at = 2 << 20;
  CHECK(pread(cached, b, kBytes, at) == kBytes);
  CHECK(pwrite(direct, a, kBytes, at) == kBytes);
  CHECK(pread(cached, b, kBytes, at) == kBytes && memcmp(a, b, kBytes) == 0);
  a[5] ^= 1;
  CHECK(pwrite(cached, a, 512, at) == 512);
  memset(b, 0, kBytes);
  CHECK(pread(direct, b, kBytes, at) == kBytes && memcmp(a, b, kBytes) == 0);
  CHECK(pread(direct, b, 512, at + 512 * 3) == 512 && memcmp(a + 512 * 3, b, 512) == 0);
  CHECK(pread(direct, b, 100, at) == -1 && errno == EINVAL);
  CHECK(pread(direct, b + 1, 512, at) == -1 && errno == EINVAL);
  CHECK(pread(direct, b, 512, at + 1) == -1 && errno == EINVAL);
  const off_t end = lseek(direct, 0, SEEK_END);
  CHECK(pread(direct, b, 4096, end - 512) == 512 && pread(direct, b, 4096, end) == 0);
  CHECK(pwrite(direct, b, 4096, end) == -1 && errno == ENOSPC);
  printf("direct ok\n");
  return 0;
}
