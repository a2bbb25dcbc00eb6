// SPDX-License-Identifier: GPL-2.0-or-later
// inotify events and flags. [man 7 inotify]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

constexpr u32 IN_ACCESS = 1, IN_MODIFY = 2, IN_ATTRIB = 4, IN_CLOSE_WRITE = 8, IN_CLOSE_NOWRITE = 0x10, IN_OPEN = 0x20,
              IN_MOVED_FROM = 0x40, IN_MOVED_TO = 0x80, IN_CREATE = 0x100, IN_DELETE = 0x200, IN_DELETE_SELF = 0x400,
              IN_MOVE_SELF = 0x800, IN_UNMOUNT = 0x2000, IN_Q_OVERFLOW = 0x4000, IN_IGNORED = 0x8000,
              IN_ONLYDIR = 0x01000000, IN_DONT_FOLLOW = 0x02000000, IN_EXCL_UNLINK = 0x04000000,
              IN_MASK_CREATE = 0x10000000, IN_MASK_ADD = 0x20000000, IN_ISDIR = 0x40000000, IN_ONESHOT = 0x80000000;
constexpr u32 IN_ALL_EVENTS = 0xfff;

struct inotify_event {  // a name of `length` bytes follows, padded with NULs
  int wd;
  u32 mask, cookie, length;
};

}  // namespace xm::os
