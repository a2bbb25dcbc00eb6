// SPDX-License-Identifier: GPL-2.0-or-later
// Registers of a stopped tracee: general, segment bases, x87/SSE/AVX, debug registers, single steps. Values that could
// harm the kernel are refused or masked. [man 2 ptrace], [SDM3 17.2]
#include "kernel/arch/x86_64/cpu.h"
#include "kernel/arch/x86_64/switch.h"
#include "kernel/fs/iov_iter.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/uaccess.h"
#include "kernel/task/ptrace.h"

namespace xm::os {
namespace {

constexpr u64 kTracerFlags = 0x50dd5 | kFlagTf;  // of EFLAGS, as the tracer may change them
constexpr u32 kRegs = sizeof(user_regs_struct) / 8;
enum Slot : u32 {
  kCs = 17,
  kEflags = 18,
  kSs = 20,
  kFsBase = 21,
  kGsBase = 22,
  kDs = 23,
  kEs = 24,
  kFs = 25,
  kGs = 26
};

u64 get_reg(task_struct* t, u32 n) {
  const pt_regs* regs = task_pt_regs(t);
  const thread_struct& th = t->thread;
  switch (n) {
    case kEflags: return test_tif(t, TIF_SINGLESTEP) ? regs->eflags & ~kFlagTf : regs->eflags;
    case kFsBase: return th.fs_base;
    case kGsBase: return th.gs_base;
    case kDs:
    case kEs: return compat_mode(regs) ? kUserDs : 0;
    case kFs: return th.fs_index;
    case kGs: return th.gs_index;
    default: return reinterpret_cast<const u64*>(regs)[n];
  }
}

bool user_selector(u64 v) { return v == 0 || (v & 3) == 3; }

int set_reg(task_struct* t, u32 n, u64 value) {
  pt_regs* regs = task_pt_regs(t);
  thread_struct& th = t->thread;
  switch (n) {
    case kEflags: regs->eflags = (regs->eflags & ~kTracerFlags) | (value & kTracerFlags); return 0;
    case kCs:
      if (value != kUserCs && value != kUser32Cs) return -EIO;
      regs->cs = value;
      return 0;
    case kSs:
      if (value != kUserDs) return -EIO;
      regs->ss = value;
      return 0;
    case kFsBase:
      if (!access_ok(value, 0)) return -EIO;
      th.fs_base = value;
      return 0;
    case kGsBase:
      if (!access_ok(value, 0)) return -EIO;
      th.gs_base = value;
      return 0;
    case kDs:
    case kEs: return user_selector(value) ? 0 : -EIO;
    case kFs:
    case kGs:
      if (!user_selector(value)) return -EIO;
      (n == kFs ? th.fs_index : th.gs_index) = static_cast<u16>(value);
      return 0;
    default: reinterpret_cast<u64*>(regs)[n] = value; return 0;
  }
}

// The order of user_regs_struct32 in terms of the 64-bit one.
constexpr u8 kNarrow[17] = {5, 11, 12, 13, 14, 4, 10, kDs, kEs, kFs, kGs, 15, 16, kCs, kEflags, 19, kSs};

u64 read_general(task_struct* t, void* to) {
  if (test_tif(t, TIF_COMPAT)) {
    u32* out = static_cast<u32*>(to);
    for (u32 i = 0; i < 17; ++i) out[i] = static_cast<u32>(get_reg(t, kNarrow[i]));
    return sizeof(user_regs_struct32);
  }
  read_user_regs(t, *static_cast<user_regs_struct*>(to));
  return sizeof(user_regs_struct);
}

int write_general(task_struct* t, const void* from, u64 size) {
  if (test_tif(t, TIF_COMPAT)) {
    const u32* in = static_cast<const u32*>(from);
    for (u32 i = 0; i < 17 && i * 4 < size; ++i)
      TRY_INT(set_reg(t, kNarrow[i], kNarrow[i] == 15 ? static_cast<u64>(static_cast<s32>(in[i])) : in[i]));
    return 0;
  }
  const u64* in = static_cast<const u64*>(from);
  for (u32 i = 0; i < kRegs && i * 8 < size; ++i) TRY_INT(set_reg(t, i, in[i]));
  return 0;
}

u64 fpu_size(u32 type) { return type == NT_X86_XSTATE && cpu_features.xsave ? cpu_features.xsave_size : 512; }

int read_fpu(task_struct* t, u32 type, u8* to) {
  const u8* area = static_cast<const u8*>(t->thread.fpu);
  memcpy(to, area, fpu_size(type));
  memset(to + 464, 0, 48);  // software's bytes: the first word of them tells XCR0
  if (type == NT_X86_XSTATE) memcpy(to + 464, &cpu_features.xsave_mask, 8);
  return 0;
}

int write_fpu(task_struct* t, u32 type, const u8* from, u64 size) {
  if (size < fpu_size(type)) return -EINVAL;
  u32 mxcsr;
  memcpy(&mxcsr, from + 24, 4);
  if ((mxcsr & 0xffff0000) != 0) return -EINVAL;
  u8* area = static_cast<u8*>(t->thread.fpu);
  memcpy(area, from, 512);
  if (cpu_features.xsave) {
    u64 present = 3;
    if (type == NT_X86_XSTATE) {
      for (u32 i = 520; i < 576; ++i) {
        if (from[i] != 0) return -EINVAL;
      }
      memcpy(area + 512, from + 512, cpu_features.xsave_size - 512);
      memcpy(&present, from + 512, 8);
      present &= cpu_features.xsave_mask;
    } else {
      u64 old;
      memcpy(&old, area + 512, 8);
      present |= old;
    }
    memcpy(area + 512, &present, 8);
  }
  fpu_drop_registers(t);
  return 0;
}

long regset(task_struct* t, u32 type, u64 user_vector, bool set) {
  iovec v;
  TRY_INT(get_user_at(v, user_vector));
  if (type != NT_PRSTATUS && type != NT_PRFPREG && type != NT_X86_XSTATE) return -EINVAL;
  if (type == NT_X86_XSTATE && !cpu_features.xsave) return -ENODEV;
  const u64 room = max<u64>(fpu_size(type), sizeof(user_regs_struct));
  u8* buffer = static_cast<u8*>(kzalloc(room));
  if (buffer == nullptr) return -ENOMEM;
  const u64 narrow = test_tif(t, TIF_COMPAT) ? sizeof(user_regs_struct32) : sizeof(user_regs_struct);
  const u64 size = type == NT_PRSTATUS ? narrow : fpu_size(type);
  const u64 n = min<u64>(v.length, size);
  const u64 unit = type == NT_PRSTATUS && narrow == sizeof(user_regs_struct32) ? 4 : 8;
  long error = v.length % unit != 0 ? -EINVAL : 0;
  if (error == 0 && set) {
    error = copy_from_user(buffer, reinterpret_cast<void*>(v.base), n);
    if (error == 0) error = type == NT_PRSTATUS ? write_general(t, buffer, n) : write_fpu(t, type, buffer, n);
  } else if (error == 0) {
    if (type == NT_PRSTATUS)
      read_general(t, buffer);
    else
      read_fpu(t, type, buffer);
    error = copy_to_user(reinterpret_cast<void*>(v.base), buffer, n);
  }
  kfree(buffer);
  if (error != 0) return error;
  return put_user_at(n, user_vector + 8);
}

long access_general(task_struct* t, u64 data, bool set) {
  user_regs_struct regs;
  if (!set) {
    read_user_regs(t, regs);
    return put_user_at(regs, data);
  }
  TRY_INT(get_user_at(regs, data));
  const u64* in = reinterpret_cast<const u64*>(&regs);
  for (u32 i = 0; i < kRegs; ++i) TRY_INT(set_reg(t, i, in[i]));
  return 0;
}

long access_fpu(task_struct* t, u64 data, bool set) {
  u8 area[512];
  if (!set) {
    read_fpu(t, NT_PRFPREG, area);
    return copy_to_user(reinterpret_cast<void*>(data), area, sizeof area);
  }
  TRY_INT(copy_from_user(area, reinterpret_cast<void*>(data), sizeof area));
  return write_fpu(t, NT_PRFPREG, area, sizeof area);
}

// Break points lie in user space; what DR7 would do beyond the four of them is refused. [SDM3 17.2.4]
int set_debug_reg(task_struct* t, u32 n, u64 value) {
  thread_struct& th = t->thread;
  if (n < 4) {
    if (!access_ok(value, 8)) return -EINVAL;
    th.debug_address[n] = value;
    return 0;
  }
  if (n == 6) {
    th.debug_status = value;
    return 0;
  }
  if (n != 7) return -EIO;
  value &= 0xffff00ff;
  for (u32 i = 0; i < 4; ++i) {
    if ((value >> (16 + i * 4) & 3) == 2) return -EINVAL;  // I/O
  }
  th.debug_control = value & ~0xaaul;  // local enables only: they go with the task
  if ((value & 0xaa) != 0) th.debug_control |= (value & 0xaa) >> 1;
  return 0;
}

long access_user_area(task_struct* t, u64 offset, u64 data, bool set) {
  if ((offset & 7) != 0 || offset >= kUserStructSize) return -EIO;
  const u32 debug = static_cast<u32>((offset - kUserDebugRegs) / 8);
  const bool is_debug = offset >= kUserDebugRegs;
  if (set) {
    if (offset < sizeof(user_regs_struct)) return set_reg(t, static_cast<u32>(offset / 8), data);
    return is_debug ? set_debug_reg(t, debug, data) : 0;
  }
  u64 value = 0;
  const thread_struct& th = t->thread;
  if (offset < sizeof(user_regs_struct)) {
    value = get_reg(t, static_cast<u32>(offset / 8));
  } else if (is_debug) {
    value = debug < 4 ? th.debug_address[debug] : (debug == 6 ? th.debug_status : (debug == 7 ? th.debug_control : 0));
  }
  return put_user_at(value, data);
}

long arch_prctl_of(task_struct* t, u64 code, u64 address) {
  switch (code) {
    case 0x1001: return set_reg(t, kGsBase, address) == 0 ? 0 : -EPERM;
    case 0x1002: return set_reg(t, kFsBase, address) == 0 ? 0 : -EPERM;
    case 0x1003: return put_user_at(t->thread.fs_base, address);
    case 0x1004: return put_user_at(t->thread.gs_base, address);
    default: return -EINVAL;
  }
}

}  // namespace

void read_user_regs(task_struct* t, user_regs_struct& out) {
  u64* to = reinterpret_cast<u64*>(&out);
  for (u32 i = 0; i < kRegs; ++i) to[i] = get_reg(t, i);
}

u64 xstate_size() { return fpu_size(NT_X86_XSTATE); }
void read_xstate(task_struct* t, u8* to) { read_fpu(t, NT_X86_XSTATE, to); }

void set_single_step(task_struct* t, bool on) {
  pt_regs* regs = task_pt_regs(t);
  if (on) {
    regs->eflags |= kFlagTf;
    set_tif(t, TIF_SINGLESTEP);
  } else if (test_tif(t, TIF_SINGLESTEP)) {
    regs->eflags &= ~kFlagTf;
    clear_tif(t, TIF_SINGLESTEP);
  }
}

long ptrace_arch(task_struct* t, u32 request, u64 address, u64 data) {
  switch (request) {
    case PTRACE_PEEKUSR: return access_user_area(t, address, data, false);
    case PTRACE_POKEUSR: return access_user_area(t, address, data, true);
    case PTRACE_GETREGS: return access_general(t, data, false);
    case PTRACE_SETREGS: return access_general(t, data, true);
    case PTRACE_GETFPREGS: return access_fpu(t, data, false);
    case PTRACE_SETFPREGS: return access_fpu(t, data, true);
    case PTRACE_GETREGSET: return regset(t, static_cast<u32>(address), data, false);
    case PTRACE_SETREGSET: return regset(t, static_cast<u32>(address), data, true);
    case PTRACE_ARCH_PRCTL: return arch_prctl_of(t, data, address);
    default: return -EIO;
  }
}

}  // namespace xm::os
