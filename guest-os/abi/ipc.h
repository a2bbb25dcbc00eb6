// SPDX-License-Identifier: GPL-2.0-or-later
// System V IPC: commands, flags and structures. [man 7 sysvipc], [Linux uapi linux/{ipc,shm,sem,msg}.h]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

constexpr int IPC_PRIVATE = 0;
constexpr int IPC_CREAT = 01000, IPC_EXCL = 02000, IPC_NOWAIT = 04000;
constexpr int IPC_RMID = 0, IPC_SET = 1, IPC_STAT = 2, IPC_INFO = 3, IPC_64 = 0x100;
constexpr int SHM_LOCK = 11, SHM_UNLOCK = 12, SHM_STAT = 13, SHM_INFO = 14, SHM_STAT_ANY = 15;
constexpr int GETPID = 11, GETVAL = 12, GETALL = 13, GETNCNT = 14, GETZCNT = 15, SETVAL = 16, SETALL = 17,
              SEM_STAT = 18, SEM_INFO = 19, SEM_STAT_ANY = 20;
constexpr int MSG_STAT = 11, MSG_INFO = 12, MSG_STAT_ANY = 13;
constexpr int SHM_RDONLY = 010000, SHM_RND = 020000, SHM_REMAP = 040000, SHM_EXEC = 0100000, SHM_HUGETLB = 04000;
constexpr u32 SHM_DEST = 01000, SHM_LOCKED = 02000;
constexpr int SEM_UNDO = 0x1000;
constexpr int MSG_NOERROR = 010000, MSG_EXCEPT = 020000, MSG_COPY = 040000;

struct ipc64_perm {
  int key;
  u32 uid, gid, cuid, cgid, mode;
  u16 seq, pad;
  u32 pad2;
  u64 unused1, unused2;
};
static_assert(sizeof(ipc64_perm) == 48);
struct shmid64_ds {
  ipc64_perm perm;
  u64 segsz;
  s64 atime, dtime, ctime;
  int cpid, lpid;
  u64 nattch, unused1, unused2;
};
static_assert(sizeof(shmid64_ds) == 112);
struct shminfo64 {
  u64 shmmax, shmmin, shmmni, shmseg, shmall, unused[4];
};
struct shm_info {
  int used_ids, pad;
  u64 shm_tot, shm_rss, shm_swp, swap_attempts, swap_successes;
};
struct semid64_ds {
  ipc64_perm perm;
  s64 otime, unused1, ctime, unused2;
  u64 nsems, unused3, unused4;
};
static_assert(sizeof(semid64_ds) == 104);
struct sembuf {
  u16 sem_num;
  s16 sem_op, sem_flg;
};
struct seminfo {
  int semmap, semmni, semmns, semmnu, semmsl, semopm, semume, semusz, semvmx, semaem;
};
struct msqid64_ds {
  ipc64_perm perm;
  s64 stime, rtime, ctime;
  u64 cbytes, qnum, qbytes;
  int lspid, lrpid;
  u64 unused1, unused2;
};
static_assert(sizeof(msqid64_ds) == 120);
struct msginfo {
  int msgpool, msgmap, msgmax, msgmnb, msgmni, msgssz, msgtql;
  u16 msgseg;
};

}  // namespace xm::os
