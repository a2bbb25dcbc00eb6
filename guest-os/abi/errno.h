// SPDX-License-Identifier: GPL-2.0-or-later
// Error numbers, [man 3 errno]. Host unit tests use the host's own header: the numbers are the same.
#pragma once

#if __STDC_HOSTED__
#include <errno.h>
#else
namespace xm::os {
enum Errno : int {
  EPERM = 1,
  ENOENT = 2,
  ESRCH = 3,
  EINTR = 4,
  EIO = 5,
  ENXIO = 6,
  E2BIG = 7,
  ENOEXEC = 8,
  EBADF = 9,
  ECHILD = 10,
  EAGAIN = 11,
  ENOMEM = 12,
  EACCES = 13,
  EFAULT = 14,
  ENOTBLK = 15,
  EBUSY = 16,
  EEXIST = 17,
  EXDEV = 18,
  ENODEV = 19,
  ENOTDIR = 20,
  EISDIR = 21,
  EINVAL = 22,
  ENFILE = 23,
  EMFILE = 24,
  ENOTTY = 25,
  ETXTBSY = 26,
  EFBIG = 27,
  ENOSPC = 28,
  ESPIPE = 29,
  EROFS = 30,
  EMLINK = 31,
  EPIPE = 32,
  EDOM = 33,
  ERANGE = 34,
  EDEADLK = 35,
  ENAMETOOLONG = 36,
  ENOLCK = 37,
  ENOSYS = 38,
  ENOTEMPTY = 39,
  ELOOP = 40,
  EWOULDBLOCK = EAGAIN,
  ENOMSG = 42,
  EIDRM = 43,
  ENOSTR = 60,
  ENODATA = 61,
  ETIME = 62,
  ENOSR = 63,
  EREMOTE = 66,
  ENOLINK = 67,
  EPROTO = 71,
  EBADMSG = 74,
  EOVERFLOW = 75,
  EBADFD = 77,
  EILSEQ = 84,
  EUSERS = 87,
  ENOTSOCK = 88,
  EDESTADDRREQ = 89,
  EMSGSIZE = 90,
  EPROTOTYPE = 91,
  ENOPROTOOPT = 92,
  EPROTONOSUPPORT = 93,
  ESOCKTNOSUPPORT = 94,
  EOPNOTSUPP = 95,
  EPFNOSUPPORT = 96,
  EAFNOSUPPORT = 97,
  EADDRINUSE = 98,
  EADDRNOTAVAIL = 99,
  ENETDOWN = 100,
  ENETUNREACH = 101,
  ENETRESET = 102,
  ECONNABORTED = 103,
  ECONNRESET = 104,
  ENOBUFS = 105,
  EISCONN = 106,
  ENOTCONN = 107,
  ESHUTDOWN = 108,
  ETOOMANYREFS = 109,
  ETIMEDOUT = 110,
  ECONNREFUSED = 111,
  EHOSTDOWN = 112,
  EHOSTUNREACH = 113,
  EALREADY = 114,
  EINPROGRESS = 115,
  ESTALE = 116,
  EUCLEAN = 117,
  EDQUOT = 122,
  ENOMEDIUM = 123,
  EMEDIUMTYPE = 124,
  ECANCELED = 125,
  EKEYREJECTED = 129,
  EOWNERDEAD = 130,
  ENOTRECOVERABLE = 131,
};
}  // namespace xm::os
#endif

namespace xm::os {
// Internal codes that never reach user space: an interrupted call to be restarted when the signal allows it (values as
// in Linux).
constexpr int ERESTARTSYS = 512;            // restart if SA_RESTART, else EINTR
constexpr int ERESTARTNOINTR = 513;         // always restart
constexpr int ERESTARTNOHAND = 514;         // restart only if no handler ran
constexpr int ERESTART_RESTARTBLOCK = 516;  // restart through restart_syscall
constexpr int ENOIOCTLCMD = 515;            // no such ioctl in this layer: becomes ENOTTY
}  // namespace xm::os
