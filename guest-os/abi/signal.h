// SPDX-License-Identifier: GPL-2.0-or-later
// Signals, [man 7 signal], [man 2 sigaction], [man 2 sigaltstack]: numbers, flags and the structures that cross the
// border.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

enum Signal : int {
  SIGHUP = 1,
  SIGINT,
  SIGQUIT,
  SIGILL,
  SIGTRAP,
  SIGABRT,
  SIGBUS,
  SIGFPE,
  SIGKILL,
  SIGUSR1,
  SIGSEGV,
  SIGUSR2,
  SIGPIPE,
  SIGALRM,
  SIGTERM,
  SIGSTKFLT,
  SIGCHLD,
  SIGCONT,
  SIGSTOP,
  SIGTSTP,
  SIGTTIN,
  SIGTTOU,
  SIGURG,
  SIGXCPU,
  SIGXFSZ,
  SIGVTALRM,
  SIGPROF,
  SIGWINCH,
  SIGIO,
  SIGPWR,
  SIGSYS,
  SIGRTMIN = 32,
  SIGRTMAX = 64,
};
constexpr int kNsig = 64;
using sigset_t = u64;
constexpr sigset_t sigmask(int sig) { return 1ul << (sig - 1); }

constexpr u64 SIG_DFL = 0, SIG_IGN = 1;
constexpr u64 SA_NOCLDSTOP = 1, SA_NOCLDWAIT = 2, SA_SIGINFO = 4, SA_RESTORER = 0x04000000, SA_ONSTACK = 0x08000000,
              SA_RESTART = 0x10000000, SA_NODEFER = 0x40000000, SA_RESETHAND = 0x80000000;
constexpr int SIG_BLOCK = 0, SIG_UNBLOCK = 1, SIG_SETMASK = 2;
constexpr int SS_ONSTACK = 1, SS_DISABLE = 2;
constexpr u32 SS_AUTODISARM = 1u << 31;
constexpr u64 MINSIGSTKSZ = 2048;

struct sigaction {
  u64 handler;
  u64 flags;
  u64 restorer;
  sigset_t mask;
};
static_assert(sizeof(sigaction) == 32);

struct stack_t {
  u64 ss_sp;
  int ss_flags;
  u64 ss_size;
};
static_assert(sizeof(stack_t) == 24);

constexpr int SI_USER = 0, SI_KERNEL = 0x80, SI_QUEUE = -1, SI_TIMER = -2, SI_MESGQ = -3, SI_ASYNCIO = -4,
              SI_TKILL = -6;
constexpr int CLD_EXITED = 1, CLD_KILLED = 2, CLD_DUMPED = 3, CLD_TRAPPED = 4, CLD_STOPPED = 5, CLD_CONTINUED = 6;
constexpr int SEGV_MAPERR = 1, SEGV_ACCERR = 2, BUS_ADRALN = 1, BUS_ADRERR = 2, ILL_ILLOPN = 2, FPE_INTDIV = 1,
              FPE_FLTDIV = 3, FPE_FLTOVF = 4, FPE_FLTUND = 5, FPE_FLTRES = 6, FPE_FLTINV = 7, TRAP_BRKPT = 1,
              TRAP_TRACE = 2, TRAP_HWBKPT = 4, SYS_SECCOMP = 1;

// siginfo_t is 128 bytes: three words, then a union by signal class.
struct siginfo {
  int si_signo;
  int si_errno;
  int si_code;
  int pad;
  union {
    struct {
      int si_pid;
      u32 si_uid;
      u64 si_value;  // rt signals
    } rt;
    struct {
      int si_pid;
      u32 si_uid;
      int si_status;
      int pad2;
      s64 si_utime, si_stime;
    } chld;
    struct {
      int si_tid;
      int si_overrun;
      u64 si_value;
    } timer;
    struct {
      u64 si_addr;
      u16 si_addr_lsb;
    } fault;
    struct {
      s64 si_band;
      int si_fd;
    } poll;
    struct {
      u64 si_call_addr;
      int si_syscall;
      u32 si_arch;
    } sigsys;
    u8 bytes[112];
  };
};
static_assert(sizeof(siginfo) == 128);

// The frame a handler runs on, [Linux uapi asm/sigcontext.h]: programs read and change it.
struct sigcontext {
  u64 r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
  u16 cs, gs, fs, ss;
  u64 err, trapno, oldmask, cr2, fpstate;
  u64 reserved[8];
};
static_assert(sizeof(sigcontext) == 256);
struct ucontext {
  u64 uc_flags;
  u64 uc_link;
  stack_t uc_stack;
  sigcontext uc_mcontext;
  sigset_t uc_sigmask;
};

}  // namespace xm::os
