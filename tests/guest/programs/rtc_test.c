// SPDX-License-Identifier: GPL-2.0-or-later
// /dev/rtc0: update and periodic interrupts, the alarm, and errors.
#include <errno.h>
#include <fcntl.h>
#include <linux/rtc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what)                                              \
  do {                                                           \
    if (!(what)) {                                               \
      printf("line %d: %s: errno %d\n", __LINE__, #what, errno); \
      exit(1);                                                   \
    }                                                            \
  } while (0)

int main(void) {
  const int fd = open("/dev/rtc0", O_RDONLY);
  CHECK(fd >= 0);
  CHECK(open("/dev/rtc0", O_RDONLY) == -1 && errno == EBUSY);
  unsigned long data, hz;
  CHECK(ioctl(fd, RTC_UIE_ON, 0) == 0);
  CHECK(read(fd, &data, sizeof data) == sizeof data && (data & 0x10) != 0);
  CHECK(read(fd, &data, sizeof data) == sizeof data);
  CHECK(ioctl(fd, RTC_UIE_OFF, 0) == 0);
  CHECK(ioctl(fd, RTC_IRQP_SET, 32) == 0 && ioctl(fd, RTC_IRQP_READ, &hz) == 0 && hz == 32);
  CHECK(ioctl(fd, RTC_IRQP_SET, 33) == -1 && errno == EINVAL);
  struct timespec a, b;
  CHECK(ioctl(fd, RTC_PIE_ON, 0) == 0);
  clock_gettime(CLOCK_MONOTONIC, &a);
  unsigned long ticks = 0;
  while (ticks < 16) {
    CHECK(read(fd, &data, sizeof data) == sizeof data && (data & 0x40) != 0);
    ticks += data >> 8;
  }
  clock_gettime(CLOCK_MONOTONIC, &b);
  const double seconds = b.tv_sec - a.tv_sec + (b.tv_nsec - a.tv_nsec) / 1e9;
  if (seconds < 0.3 || seconds > 3) return printf("16 ticks of 32 Hz took %f s\n", seconds);
  CHECK(ioctl(fd, RTC_PIE_OFF, 0) == 0);
  struct rtc_time t;
  CHECK(ioctl(fd, RTC_RD_TIME, &t) == 0);
  if (t.tm_sec > 55) sleep(6);
  CHECK(ioctl(fd, RTC_RD_TIME, &t) == 0);
  t.tm_sec += 2;
  CHECK(ioctl(fd, RTC_ALM_SET, &t) == 0 && ioctl(fd, RTC_AIE_ON, 0) == 0);
  CHECK(read(fd, &data, sizeof data) == sizeof data && (data & 0x20) != 0);
  CHECK(ioctl(fd, RTC_AIE_OFF, 0) == 0);
  t.tm_mon = 12;
  CHECK(ioctl(fd, RTC_SET_TIME, &t) == -1 && errno == EINVAL);
  printf("rtc ok\n");
  return 0;
}
