// SPDX-License-Identifier: GPL-2.0-or-later
// Files: open flags, modes, stat and statx, directory entries, fcntl, poll, mount flags. [man 2 open], [man 2 stat],
// [man 2 fcntl], ...
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

constexpr u32 O_ACCMODE = 3, O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_CREAT = 0100, O_EXCL = 0200, O_NOCTTY = 0400,
              O_TRUNC = 01000, O_APPEND = 02000, O_NONBLOCK = 04000, O_DSYNC = 010000, O_ASYNC = 020000,
              O_DIRECT = 040000, O_LARGEFILE = 0100000, O_DIRECTORY = 0200000, O_NOFOLLOW = 0400000,
              O_NOATIME = 01000000, O_CLOEXEC = 02000000, O_SYNC = 04010000, O_PATH = 010000000, O_TMPFILE = 020200000;

constexpr u32 S_IFMT = 0170000, S_IFSOCK = 0140000, S_IFLNK = 0120000, S_IFREG = 0100000, S_IFBLK = 0060000,
              S_IFDIR = 0040000, S_IFCHR = 0020000, S_IFIFO = 0010000, S_ISUID = 04000, S_ISGID = 02000,
              S_ISVTX = 01000, S_IXGRP = 010;
constexpr bool S_ISDIR(u32 m) { return (m & S_IFMT) == S_IFDIR; }
constexpr bool S_ISREG(u32 m) { return (m & S_IFMT) == S_IFREG; }
constexpr bool S_ISLNK(u32 m) { return (m & S_IFMT) == S_IFLNK; }
constexpr bool S_ISCHR(u32 m) { return (m & S_IFMT) == S_IFCHR; }
constexpr bool S_ISBLK(u32 m) { return (m & S_IFMT) == S_IFBLK; }
constexpr bool S_ISFIFO(u32 m) { return (m & S_IFMT) == S_IFIFO; }
constexpr bool S_ISSOCK(u32 m) { return (m & S_IFMT) == S_IFSOCK; }

constexpr int AT_FDCWD = -100;
constexpr u32 AT_SYMLINK_NOFOLLOW = 0x100, AT_EACCESS = 0x200, AT_REMOVEDIR = 0x200, AT_SYMLINK_FOLLOW = 0x400,
              AT_NO_AUTOMOUNT = 0x800, AT_EMPTY_PATH = 0x1000;
constexpr u32 RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2, RENAME_WHITEOUT = 4;
constexpr u32 kPathMax = 4096, kNameMax = 255;
constexpr int SEEK_SET = 0, SEEK_CUR = 1, SEEK_END = 2, SEEK_DATA = 3, SEEK_HOLE = 4;

struct stat {  // 64-bit layout
  u64 st_dev, st_ino, st_nlink;
  u32 st_mode, st_uid, st_gid, pad0;
  u64 st_rdev;
  s64 st_size, st_blksize, st_blocks;
  u64 st_atime, st_atime_nsec, st_mtime, st_mtime_nsec, st_ctime, st_ctime_nsec;
  s64 unused[3];
};
static_assert(sizeof(stat) == 144);

struct statx_timestamp {
  s64 tv_sec;
  u32 tv_nsec;
  s32 reserved;
};
struct statx {
  u32 stx_mask, stx_blksize;
  u64 stx_attributes;
  u32 stx_nlink, stx_uid, stx_gid;
  u16 stx_mode, pad0;
  u64 stx_ino, stx_size, stx_blocks, stx_attributes_mask;
  statx_timestamp stx_atime, stx_btime, stx_ctime, stx_mtime;
  u32 stx_rdev_major, stx_rdev_minor, stx_dev_major, stx_dev_minor;
  u64 stx_mnt_id;
  u64 spare[13];
};
static_assert(sizeof(statx) == 256);

struct statfs {
  s64 f_type, f_bsize;
  u64 f_blocks, f_bfree, f_bavail, f_files, f_ffree;
  int f_fsid[2];
  s64 f_namelen, f_frsize, f_flags, f_spare[4];
};
static_assert(sizeof(statfs) == 120);

enum DirentType : u8 {
  DT_UNKNOWN = 0,
  DT_FIFO = 1,
  DT_CHR = 2,
  DT_DIR = 4,
  DT_BLK = 6,
  DT_REG = 8,
  DT_LNK = 10,
  DT_SOCK = 12
};
constexpr u8 mode_to_dt(u32 mode) { return static_cast<u8>((mode & S_IFMT) >> 12); }

constexpr int F_DUPFD = 0, F_GETFD = 1, F_SETFD = 2, F_GETFL = 3, F_SETFL = 4, F_GETLK = 5, F_SETLK = 6, F_SETLKW = 7,
              F_SETOWN = 8, F_GETOWN = 9, F_SETSIG = 10, F_GETSIG = 11, F_SETOWN_EX = 15, F_GETOWN_EX = 16,
              F_GETOWNER_UIDS = 17, F_NOTIFY = 1026, F_OFD_GETLK = 36, F_OFD_SETLK = 37, F_OFD_SETLKW = 38,
              F_SETLEASE = 1024, F_GETLEASE = 1025, F_DUPFD_CLOEXEC = 1030, F_SETPIPE_SZ = 1031, F_GETPIPE_SZ = 1032,
              F_ADD_SEALS = 1033, F_GET_SEALS = 1034;
constexpr u32 F_SEAL_SEAL = 1, F_SEAL_SHRINK = 2, F_SEAL_GROW = 4, F_SEAL_WRITE = 8, F_SEAL_FUTURE_WRITE = 16;
constexpr int FD_CLOEXEC = 1;
constexpr short F_RDLCK = 0, F_WRLCK = 1, F_UNLCK = 2;
struct flock {
  short l_type, l_whence;
  s64 l_start, l_len;
  int l_pid;
};
constexpr int LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4, LOCK_UN = 8;

constexpr u32 POLLIN = 1, POLLPRI = 2, POLLOUT = 4, POLLERR = 8, POLLHUP = 0x10, POLLNVAL = 0x20, POLLRDNORM = 0x40,
              POLLRDBAND = 0x80, POLLWRNORM = 0x100, POLLWRBAND = 0x200, POLLMSG = 0x400, POLLRDHUP = 0x2000;
struct pollfd {
  int fd;
  short events, revents;
};

constexpr u64 MS_RDONLY = 1, MS_NOSUID = 2, MS_NODEV = 4, MS_NOEXEC = 8, MS_SYNCHRONOUS = 16, MS_REMOUNT = 32,
              MS_MANDLOCK = 64, MS_DIRSYNC = 128, MS_NOSYMFOLLOW = 256, MS_NOATIME = 1024, MS_NODIRATIME = 2048,
              MS_BIND = 4096, MS_MOVE = 8192, MS_REC = 16384, MS_SILENT = 32768, MS_UNBINDABLE = 1 << 17,
              MS_PRIVATE = 1 << 18, MS_SLAVE = 1 << 19, MS_SHARED = 1 << 20, MS_RELATIME = 1 << 21,
              MS_STRICTATIME = 1 << 24, MS_LAZYTIME = 1 << 25;
constexpr u32 MNT_FORCE = 1, MNT_DETACH = 2, MNT_EXPIRE = 4, UMOUNT_NOFOLLOW = 8;

}  // namespace xm::os
