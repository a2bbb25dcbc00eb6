// SPDX-License-Identifier: GPL-2.0-or-later
// ptrace(2): requests, options, events and the structures that cross the border. [man 2 ptrace], [Linux uapi
// linux/ptrace.h, asm/ptrace-abi.h]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

enum PtraceRequest : u32 {
  PTRACE_TRACEME = 0,
  PTRACE_PEEKTEXT = 1,
  PTRACE_PEEKDATA = 2,
  PTRACE_PEEKUSR = 3,
  PTRACE_POKETEXT = 4,
  PTRACE_POKEDATA = 5,
  PTRACE_POKEUSR = 6,
  PTRACE_CONT = 7,
  PTRACE_KILL = 8,
  PTRACE_SINGLESTEP = 9,
  PTRACE_GETREGS = 12,
  PTRACE_SETREGS = 13,
  PTRACE_GETFPREGS = 14,
  PTRACE_SETFPREGS = 15,
  PTRACE_ATTACH = 16,
  PTRACE_DETACH = 17,
  PTRACE_OLDSETOPTIONS = 21,
  PTRACE_SYSCALL = 24,
  PTRACE_GET_THREAD_AREA = 25,
  PTRACE_SET_THREAD_AREA = 26,
  PTRACE_ARCH_PRCTL = 30,
  PTRACE_SYSEMU = 31,
  PTRACE_SYSEMU_SINGLESTEP = 32,
  PTRACE_SINGLEBLOCK = 33,
  PTRACE_SETOPTIONS = 0x4200,
  PTRACE_GETEVENTMSG = 0x4201,
  PTRACE_GETSIGINFO = 0x4202,
  PTRACE_SETSIGINFO = 0x4203,
  PTRACE_GETREGSET = 0x4204,
  PTRACE_SETREGSET = 0x4205,
  PTRACE_SEIZE = 0x4206,
  PTRACE_INTERRUPT = 0x4207,
  PTRACE_LISTEN = 0x4208,
  PTRACE_PEEKSIGINFO = 0x4209,
  PTRACE_GETSIGMASK = 0x420a,
  PTRACE_SETSIGMASK = 0x420b,
  PTRACE_GET_SYSCALL_INFO = 0x420e,
};

constexpr u32 PTRACE_EVENT_FORK = 1, PTRACE_EVENT_VFORK = 2, PTRACE_EVENT_CLONE = 3, PTRACE_EVENT_EXEC = 4,
              PTRACE_EVENT_VFORK_DONE = 5, PTRACE_EVENT_EXIT = 6, PTRACE_EVENT_SECCOMP = 7, PTRACE_EVENT_STOP = 128;
constexpr u32 PTRACE_O_TRACESYSGOOD = 1, PTRACE_O_EXITKILL = 1 << 20, PTRACE_O_SUSPEND_SECCOMP = 1 << 21,
              PTRACE_O_MASK = 0xff | PTRACE_O_EXITKILL | PTRACE_O_SUSPEND_SECCOMP;
constexpr u64 PTRACE_EVENTMSG_SYSCALL_ENTRY = 1, PTRACE_EVENTMSG_SYSCALL_EXIT = 2;
constexpr u32 NT_PRSTATUS = 1, NT_PRFPREG = 2, NT_PRPSINFO = 3, NT_AUXV = 6, NT_X86_XSTATE = 0x202,
              NT_SIGINFO = 0x53494749, NT_FILE = 0x46494c45, NT_386_TLS = 0x200, NT_PRXFPREG = 0x46e62b7f;
constexpr u32 AUDIT_ARCH_X86_64 = 0xc000003e, AUDIT_ARCH_I386 = 0x40000003;

struct user_regs_struct {
  u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs, eflags, rsp, ss;
  u64 fs_base, gs_base, ds, es, fs, gs;
};
static_assert(sizeof(user_regs_struct) == 216);
struct user_regs_struct32 {
  u32 ebx, ecx, edx, esi, edi, ebp, eax, ds, es, fs, gs, orig_eax, eip, cs, eflags, esp, ss;
};
static_assert(sizeof(user_regs_struct32) == 68);
constexpr u64 kUserDebugRegs = 848, kUserStructSize = 912;  // offsets in struct user

struct ptrace_syscall_info {
  u8 op;  // PTRACE_SYSCALL_INFO_*
  u8 pad[3];
  u32 arch;
  u64 instruction_pointer, stack_pointer;
  union {
    struct {
      u64 nr, args[6];
    } entry;
    struct {
      s64 rval;
      u8 is_error;
    } exit;
    struct {
      u64 nr, args[6];
      u32 ret_data;
    } seccomp;
  };
};
static_assert(sizeof(ptrace_syscall_info) == 88);
constexpr u8 PTRACE_SYSCALL_INFO_NONE = 0, PTRACE_SYSCALL_INFO_ENTRY = 1, PTRACE_SYSCALL_INFO_EXIT = 2,
             PTRACE_SYSCALL_INFO_SECCOMP = 3;

struct ptrace_peeksiginfo_args {
  u64 off;
  u32 flags;
  s32 nr;
};

}  // namespace xm::os
