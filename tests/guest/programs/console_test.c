// SPDX-License-Identifier: GPL-2.0-or-later
// The ioctls of consoles: state, switching with an owner that agrees, key maps, fonts, glyph maps. Run with tty4 in
// front.
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <linux/kd.h>
#include <linux/keyboard.h>
#include <linux/vt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CHECK(what)                                              \
  do {                                                           \
    if (!(what)) {                                               \
      printf("line %d: %s: errno %d\n", __LINE__, #what, errno); \
      exit(1);                                                   \
    }                                                            \
  } while (0)

static volatile int released, acquired;
static int tty4;
static void on_release(int sig) {
  released = 1;
  ioctl(tty4, VT_RELDISP, 1);
}
static void on_acquire(int sig) {
  acquired = 1;
  ioctl(tty4, VT_RELDISP, VT_ACKACQ);
}

static void check_switching(void) {
  struct vt_stat state;
  CHECK(ioctl(tty4, VT_GETSTATE, &state) == 0 && state.v_active == 4 && (state.v_state & 1 << 4));
  signal(SIGUSR1, on_release);
  signal(SIGUSR2, on_acquire);
  struct vt_mode mode = {VT_PROCESS, 0, SIGUSR1, SIGUSR2, 0}, back;
  CHECK(ioctl(tty4, VT_SETMODE, &mode) == 0);
  CHECK(ioctl(tty4, VT_GETMODE, &back) == 0 && back.mode == VT_PROCESS && back.relsig == SIGUSR1);
  CHECK(ioctl(tty4, VT_ACTIVATE, 1) == 0);
  while (ioctl(tty4, VT_WAITACTIVE, 1) != 0) CHECK(errno == EINTR);
  CHECK(released && ioctl(tty4, VT_GETSTATE, &state) == 0 && state.v_active == 1);
  CHECK(ioctl(tty4, VT_ACTIVATE, 4) == 0);
  while (ioctl(tty4, VT_WAITACTIVE, 4) != 0) CHECK(errno == EINTR);
  for (int i = 0; i < 100 && !acquired; ++i) usleep(10000);
  CHECK(acquired);
  mode.mode = VT_AUTO;
  CHECK(ioctl(tty4, VT_SETMODE, &mode) == 0);
  CHECK(ioctl(tty4, VT_ACTIVATE, 99) == -1 && errno == ENXIO);
  int free_one = 0;
  CHECK(ioctl(tty4, VT_OPENQRY, &free_one) == 0 && free_one > 0);
}

static void check_keyboard(void) {
  struct kbentry e = {K_NORMTAB, KEY_A, 0};
  CHECK(ioctl(tty4, KDGKBENT, &e) == 0 && e.kb_value == K(KT_LETTER, 'a'));
  e.kb_value = K(KT_LETTER, 'q');
  CHECK(ioctl(tty4, KDSKBENT, &e) == 0);
  e.kb_value = 0;
  CHECK(ioctl(tty4, KDGKBENT, &e) == 0 && e.kb_value == K(KT_LETTER, 'q'));
  e.kb_value = K(KT_LETTER, 'a');
  CHECK(ioctl(tty4, KDSKBENT, &e) == 0);
  struct kbsentry s = {0};
  CHECK(ioctl(tty4, KDGKBSENT, &s) == 0 && strcmp((char*)s.kb_string, "\033[[A") == 0);
  int mode = -1;
  CHECK(ioctl(tty4, KDGKBMODE, &mode) == 0 && mode == K_UNICODE);
  CHECK(ioctl(tty4, KDSKBMODE, K_MEDIUMRAW) == 0 && ioctl(tty4, KDGKBMODE, &mode) == 0 && mode == K_MEDIUMRAW);
  CHECK(ioctl(tty4, KDSKBMODE, K_UNICODE) == 0);
  char leds = 0;
  CHECK(ioctl(tty4, KDSKBLED, LED_CAP) == 0 && ioctl(tty4, KDGKBLED, &leds) == 0 && (leds & 7) == LED_CAP);
  CHECK(ioctl(tty4, KDSKBLED, 0) == 0);
}

static void check_font(void) {
  static unsigned char glyphs[512 * 32], again[512 * 32];
  struct console_font_op op = {KD_FONT_OP_GET, 0, 8, 32, 512, glyphs};
  CHECK(ioctl(tty4, KDFONTOP, &op) == 0 && op.width == 8 && op.height == 16 && op.charcount == 256);
  glyphs['A' * 32 + 3] ^= 0xff;
  op.op = KD_FONT_OP_SET;
  CHECK(ioctl(tty4, KDFONTOP, &op) == 0);
  struct console_font_op get = {KD_FONT_OP_GET, 0, 8, 32, 512, again};
  CHECK(ioctl(tty4, KDFONTOP, &get) == 0 && memcmp(glyphs, again, 256 * 32) == 0);
  glyphs['A' * 32 + 3] ^= 0xff;
  CHECK(ioctl(tty4, KDFONTOP, &op) == 0);
  static struct unipair pairs[2000];
  struct unimapdesc map = {2000, pairs};
  CHECK(ioctl(tty4, GIO_UNIMAP, &map) == 0 && map.entry_ct > 200);
  CHECK(ioctl(tty4, PIO_UNIMAP, &map) == 0);
  unsigned char colours[48];
  CHECK(ioctl(tty4, GIO_CMAP, colours) == 0 && colours[3] == 170 && colours[4] == 0);
  CHECK(ioctl(tty4, PIO_CMAP, colours) == 0);
}

static void check_input(void) {
  const int fd = open("/dev/input/event0", O_RDWR | O_NONBLOCK);
  CHECK(fd >= 0);
  int version;
  char name[64];
  unsigned char bits[96];
  CHECK(ioctl(fd, EVIOCGVERSION, &version) == 0 && version == EV_VERSION);
  CHECK(ioctl(fd, EVIOCGNAME(sizeof name), name) > 0 && strstr(name, "keyboard"));
  CHECK(ioctl(fd, EVIOCGBIT(EV_KEY, sizeof bits), bits) > 0 && bits[KEY_A / 8] >> KEY_A % 8 & 1);
  struct input_event e[4], out = {{0, 0}, EV_KEY, KEY_B, 1};
  CHECK(read(fd, e, sizeof e) == -1 && errno == EAGAIN);
  CHECK(write(fd, &out, sizeof out) == sizeof out);
  out.value = 0;
  CHECK(write(fd, &out, sizeof out) == sizeof out);
  out.type = EV_SYN;
  out.code = SYN_REPORT;
  CHECK(write(fd, &out, sizeof out) == sizeof out);
  CHECK(read(fd, e, sizeof e) == 3 * sizeof e[0] && e[0].code == KEY_B && e[0].value == 1 &&
        e[0].time.tv_sec > 1000000);
  CHECK(ioctl(fd, EVIOCGRAB, 1) == 0);
  const int other = open("/dev/input/event0", O_RDWR);
  CHECK(other >= 0 && ioctl(other, EVIOCGRAB, 1) == -1 && errno == EBUSY);
  // the b that was typed above stands in the terminal in front
  CHECK(ioctl(tty4, FIONREAD, &version) == 0);
}

int main(void) {
  tty4 = open("/dev/tty4", O_RDWR | O_NOCTTY);
  CHECK(tty4 >= 0);
  for (int i = 0; i < 200; ++i) {
    struct vt_stat state;
    if (ioctl(tty4, VT_GETSTATE, &state) == 0 && state.v_active == 4) break;
    usleep(10000);
  }
  check_switching();
  check_keyboard();
  check_font();
  check_input();
  printf("console ok\n");
  return 0;
}
