// SPDX-License-Identifier: GPL-2.0-or-later
// /dev/fb0: its geometry, mapped pixels and the file show the same, and the console draws letters there.
#include <errno.h>
#include <fcntl.h>
#include <linux/fb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHECK(what)                                              \
  do {                                                           \
    if (!(what)) {                                               \
      printf("line %d: %s: errno %d\n", __LINE__, #what, errno); \
      exit(1);                                                   \
    }                                                            \
  } while (0)

int main(void) {
  struct fb_var_screeninfo v;
  struct fb_fix_screeninfo f;
  const int fd = open("/dev/fb0", O_RDWR);
  CHECK(fd >= 0 && ioctl(fd, FBIOGET_VSCREENINFO, &v) == 0 && ioctl(fd, FBIOGET_FSCREENINFO, &f) == 0);
  CHECK(v.bits_per_pixel == 32 && v.red.offset == 16 && f.line_length >= v.xres * 4 &&
        f.smem_len >= f.line_length * v.yres);
  unsigned* pixels = mmap(0, f.smem_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(pixels != MAP_FAILED);
  const unsigned at = (v.yres - 3) * f.line_length / 4 + 77;
  pixels[at] = 0x123456;
  unsigned seen = 0;
  CHECK(pread(fd, &seen, 4, at * 4L) == 4 && seen == 0x123456);
  seen = 0x654321;
  CHECK(pwrite(fd, &seen, 4, at * 4L) == 4 && pixels[at] == 0x654321);
  CHECK(mmap(0, f.smem_len + (1 << 20), PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
  if (fork() == 0) {
    pixels[at] = 1;  // the child maps the same memory, or takes a fault of its own: never the parent's page
    _exit(0);
  }
  usleep(300000);
  unsigned lit = 0;
  const int tty = open("/dev/tty0", O_WRONLY);
  CHECK(tty >= 0 && write(tty, "\033[H\033[2JM", 8) == 8);
  for (unsigned y = 0; y < 16; ++y) {
    for (unsigned x = 0; x < 8; ++x) lit += pixels[y * f.line_length / 4 + x] == 0xaaaaaa;
  }
  CHECK(lit > 10 && lit < 100);
  CHECK(munmap(pixels, f.smem_len) == 0);
  printf("fb ok\n");
  return 0;
}
