// SPDX-License-Identifier: GPL-2.0-or-later
// Terminals: [man 3 termios], [man 2 ioctl_tty].
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

constexpr u32 kNccs = 19;
struct termios {  // what TCGETS copies
  u32 c_iflag, c_oflag, c_cflag, c_lflag;
  u8 c_line;
  u8 c_cc[kNccs];
};
static_assert(sizeof(termios) == 36);
struct termios2 {
  u32 c_iflag, c_oflag, c_cflag, c_lflag;
  u8 c_line;
  u8 c_cc[kNccs];
  u32 c_ispeed, c_ospeed;
};
struct termio {
  u16 c_iflag, c_oflag, c_cflag, c_lflag;
  u8 c_line;
  u8 c_cc[8];
};
struct winsize {
  u16 ws_row, ws_col, ws_xpixel, ws_ypixel;
};

enum ControlChar : u32 {
  VINTR,
  VQUIT,
  VERASE,
  VKILL,
  VEOF,
  VTIME,
  VMIN,
  VSWTC,
  VSTART,
  VSTOP,
  VSUSP,
  VEOL,
  VREPRINT,
  VDISCARD,
  VWERASE,
  VLNEXT,
  VEOL2
};
constexpr u32 IGNBRK = 1, BRKINT = 2, IGNPAR = 4, PARMRK = 8, INPCK = 0x10, ISTRIP = 0x20, INLCR = 0x40, IGNCR = 0x80,
              ICRNL = 0x100, IUCLC = 0x200, IXON = 0x400, IXANY = 0x800, IXOFF = 0x1000, IMAXBEL = 0x2000,
              IUTF8 = 0x4000;
constexpr u32 OPOST = 1, OLCUC = 2, ONLCR = 4, OCRNL = 8, ONOCR = 16, ONLRET = 32, TABDLY = 0x1800, XTABS = 0x1800;
constexpr u32 CBAUD = 0x100f, B38400 = 0xf, B9600 = 0xd, B115200 = 0x1002, CSIZE = 0x30, CS8 = 0x30, CSTOPB = 0x40,
              CREAD = 0x80, PARENB = 0x100, HUPCL = 0x400, CLOCAL = 0x800;
constexpr u32 ISIG = 1, ICANON = 2, XCASE = 4, ECHO = 8, ECHOE = 0x10, ECHOK = 0x20, ECHONL = 0x40, NOFLSH = 0x80,
              TOSTOP = 0x100, ECHOCTL = 0x200, ECHOPRT = 0x400, ECHOKE = 0x800, FLUSHO = 0x1000, PENDIN = 0x4000,
              IEXTEN = 0x8000;

constexpr u32 TCGETS = 0x5401, TCSETS = 0x5402, TCSETSW = 0x5403, TCSETSF = 0x5404, TCGETA = 0x5405, TCSETA = 0x5406,
              TCSETAW = 0x5407, TCSETAF = 0x5408, TCSBRK = 0x5409, TCXONC = 0x540a, TCFLSH = 0x540b, TIOCEXCL = 0x540c,
              TIOCNXCL = 0x540d, TIOCSCTTY = 0x540e, TIOCGPGRP = 0x540f, TIOCSPGRP = 0x5410, TIOCOUTQ = 0x5411,
              TIOCSTI = 0x5412, TIOCGWINSZ = 0x5413, TIOCSWINSZ = 0x5414, TIOCMGET = 0x5415, TIOCMBIS = 0x5416,
              TIOCMBIC = 0x5417, TIOCMSET = 0x5418, TIOCGSOFTCAR = 0x5419, TIOCINQ = 0x541b, TIOCLINUX = 0x541c,
              TIOCCONS = 0x541d, TIOCGSERIAL = 0x541e, TIOCPKT = 0x5420, TIOCNOTTY = 0x5422, TIOCSETD = 0x5423,
              TIOCGETD = 0x5424, TCSBRKP = 0x5425, TIOCGSID = 0x5429, TCGETS2 = 0x802c542a, TCSETS2 = 0x402c542b,
              TCSETSW2 = 0x402c542c, TCSETSF2 = 0x402c542d, TIOCGPTN = 0x80045430, TIOCSPTLCK = 0x40045431,
              TIOCGDEV = 0x80045432, TIOCGPTLCK = 0x80045439, TIOCGPTPEER = 0x5441, TIOCVHANGUP = 0x5437;
}  // namespace xm::os
