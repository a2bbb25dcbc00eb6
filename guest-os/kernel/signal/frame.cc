// SPDX-License-Identifier: GPL-2.0-or-later
// Signal frames on the user stack, bit for bit Linux's: rt_sigframe with siginfo, ucontext and the XSAVE image behind
// it; and for 32-bit programs sigframe and rt_sigframe of i386. [Linux uapi asm/sigcontext.h, asm/ucontext.h]
#include "kernel/arch/x86_64/cpu.h"
#include "kernel/arch/x86_64/switch.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/uaccess.h"
#include "kernel/signal/signal.h"

namespace xm::os {
namespace {

constexpr u32 kFpMagic1 = 0x46505853, kFpMagic2 = 0x46505845;
constexpr u64 UC_FP_XSTATE = 1, UC_SIGCONTEXT_SS = 2, UC_STRICT_RESTORE_SS = 4;
constexpr u64 kEflagsUser = 0x50dd5;  // flags a handler may change: AC OF DF TF SF ZF AF PF CF RF

struct rt_sigframe {
  u64 pretcode;
  ucontext uc;
  siginfo info;
};
// In the bytes the processor leaves to software: [464, 512) of the FXSAVE area.
struct FpSoftware {
  u32 magic1, extended_size;
  u64 xfeatures;
  u32 xstate_size;
  u32 padding[7];
};
static_assert(sizeof(FpSoftware) == 48);

u64 fpu_frame_size() { return cpu_features.xsave ? cpu_features.xsave_size + 4 : 512; }

int save_fpu(u64 to) {
  fpu_flush_to_memory(current);
  u8* area = static_cast<u8*>(current->thread.fpu);
  FpSoftware sw{};
  if (cpu_features.xsave) {
    sw = {kFpMagic1, cpu_features.xsave_size + 4, cpu_features.xsave_mask, cpu_features.xsave_size, {}};
  }
  memcpy(area + 464, &sw, sizeof sw);
  if (cpu_features.xsave) {
    u64 present;
    memcpy(&present, area + 512, 8);
    present |= 3;  // x87 and SSE are always there for the handler to see
    memcpy(area + 512, &present, 8);
  }
  TRY_INT(copy_to_user(reinterpret_cast<void*>(to), area, cpu_features.xsave ? cpu_features.xsave_size : 512));
  return cpu_features.xsave ? put_user_at(kFpMagic2, to + cpu_features.xsave_size) : 0;
}

int restore_fpu(u64 from) {
  if (from == 0) {
    fpu_reset(current);
    return 0;
  }
  u8* area = static_cast<u8*>(kzalloc(align_up(cpu_features.xsave_size, 64)));
  if (area == nullptr) return -ENOMEM;
  int error = copy_from_user(area, reinterpret_cast<void*>(from), 512);
  if (error == 0 && cpu_features.xsave) {
    FpSoftware sw;
    memcpy(&sw, area + 464, sizeof sw);
    u32 magic2 = 0;
    const bool extended = sw.magic1 == kFpMagic1 && sw.xstate_size == cpu_features.xsave_size &&
                          get_user_at(magic2, from + cpu_features.xsave_size) == 0 && magic2 == kFpMagic2;
    if (extended) {
      error = copy_from_user(area + 512, reinterpret_cast<void*>(from + 512), cpu_features.xsave_size - 512);
    } else {
      const u64 legacy = 3;
      memcpy(area + 512, &legacy, 8);
    }
  }
  if (error == 0 && !fpu_restore_from(area, current)) error = -EINVAL;
  kfree(area);
  return error;
}

// Where the frame goes: the alternate stack if asked for, below the red zone otherwise.
u64 frame_position(const sigaction& a, const pt_regs* regs, u64 red_zone) {
  u64 sp = regs->rsp - red_zone;
  const stack_t& alt = current->altstack;
  if ((a.flags & SA_ONSTACK) != 0 && alt.ss_size != 0 && !on_sig_stack(regs->rsp)) sp = alt.ss_sp + alt.ss_size;
  return sp;
}

void fill_sigcontext(sigcontext& sc, const pt_regs* r, sigset_t old_mask) {
  sc.r8 = r->r8, sc.r9 = r->r9, sc.r10 = r->r10, sc.r11 = r->r11, sc.r12 = r->r12, sc.r13 = r->r13, sc.r14 = r->r14,
  sc.r15 = r->r15;
  sc.rdi = r->rdi, sc.rsi = r->rsi, sc.rbp = r->rbp, sc.rbx = r->rbx, sc.rdx = r->rdx, sc.rax = r->rax, sc.rcx = r->rcx;
  sc.rsp = r->rsp, sc.rip = r->rip, sc.eflags = r->eflags;
  sc.cs = static_cast<u16>(r->cs);
  sc.ss = static_cast<u16>(r->ss);
  sc.err = current->thread.error_code;
  sc.trapno = current->thread.trap_nr;
  sc.cr2 = current->thread.cr2;
  sc.oldmask = old_mask;
}

void disarm_altstack() {
  if ((static_cast<u32>(current->altstack.ss_flags) & SS_AUTODISARM) != 0) current->altstack = {0, SS_DISABLE, 0};
}

stack_t visible_altstack() {
  stack_t s = current->altstack;
  if (s.ss_size == 0) s.ss_flags |= SS_DISABLE;
  return s;
}

int restore_sigcontext(pt_regs* r, const sigcontext& sc) {
  if (!access_ok(sc.rip, 0) || !access_ok(sc.rsp, 0)) return -EFAULT;
  r->r8 = sc.r8, r->r9 = sc.r9, r->r10 = sc.r10, r->r11 = sc.r11, r->r12 = sc.r12, r->r13 = sc.r13, r->r14 = sc.r14,
  r->r15 = sc.r15;
  r->rdi = sc.rdi, r->rsi = sc.rsi, r->rbp = sc.rbp, r->rbx = sc.rbx, r->rdx = sc.rdx, r->rax = sc.rax, r->rcx = sc.rcx;
  r->rsp = sc.rsp, r->rip = sc.rip;
  r->eflags = (r->eflags & ~kEflagsUser) | (sc.eflags & kEflagsUser);
  r->cs = (sc.cs == kUser32Cs) ? kUser32Cs : kUserCs;
  r->ss = kUserDs;
  r->orig_rax = ~0ul;
  return restore_fpu(sc.fpstate);
}

long bad_frame() {
  force_sig(SIGSEGV);
  return 0;
}

}  // namespace

int setup_rt_frame(int sig, const sigaction& action, const siginfo& info, sigset_t old_mask, pt_regs* regs) {
  if ((action.flags & SA_RESTORER) == 0) return -EFAULT;  // 64-bit programs must bring their own return code
  u64 sp = frame_position(action, regs, 128);
  const u64 fp = align_down(sp - fpu_frame_size(), 64);
  sp = align_down(fp - sizeof(rt_sigframe), 16) - 8;
  if (!access_ok(sp, fpu_frame_size() + sizeof(rt_sigframe))) return -EFAULT;
  TRY_INT(save_fpu(fp));
  rt_sigframe frame{};
  frame.pretcode = action.restorer;
  frame.info = info;
  frame.uc.uc_flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | (cpu_features.xsave ? UC_FP_XSTATE : 0);
  frame.uc.uc_stack = visible_altstack();
  fill_sigcontext(frame.uc.uc_mcontext, regs, old_mask);
  frame.uc.uc_mcontext.fpstate = fp;
  frame.uc.uc_sigmask = old_mask;
  TRY_INT(copy_to_user(reinterpret_cast<void*>(sp), &frame, sizeof frame));
  disarm_altstack();
  regs->rdi = static_cast<u64>(sig);
  regs->rsi = sp + offsetof(rt_sigframe, info);
  regs->rdx = sp + offsetof(rt_sigframe, uc);
  regs->rax = 0;
  regs->rip = action.handler;
  regs->rsp = sp;
  regs->cs = kUserCs;
  regs->ss = kUserDs;
  regs->eflags &= ~(kFlagTf | 0x400 | 0x10000);  // TF, DF, RF
  return 0;
}

long do_rt_sigreturn(pt_regs* regs) {
  const u64 at = regs->rsp - 8;
  ucontext uc;
  if (get_user_at(uc, at + offsetof(rt_sigframe, uc)) != 0) return bad_frame();
  set_current_blocked(uc.uc_sigmask);
  if (restore_sigcontext(regs, uc.uc_mcontext) != 0) return bad_frame();
  if ((uc.uc_stack.ss_flags & SS_ONSTACK) == 0) do_sigaltstack(&uc.uc_stack, nullptr, regs->rsp, 0);
  return static_cast<long>(regs->rax);
}

namespace {

// --- i386 ---
struct sigcontext32 {
  u16 gs, gsh, fs, fsh, es, esh, ds, dsh;
  u32 di, si, bp, sp, bx, dx, cx, ax, trapno, err, ip;
  u16 cs, csh;
  u32 flags, sp_at_signal;
  u16 ss, ssh;
  u32 fpstate, oldmask, cr2;
};
static_assert(sizeof(sigcontext32) == 88);
struct stack32 {
  u32 sp;
  int flags;
  u32 size;
};
struct ucontext32 {
  u32 flags, link;
  stack32 stack;
  sigcontext32 mcontext;
  u32 sigmask[2];
};
struct sigframe32 {
  u32 pretcode;
  int sig;
  sigcontext32 sc;
  u8 unused_fpstate[624];
  u32 extramask;
  u8 retcode[8];
};
struct rt_sigframe32 {
  u32 pretcode;
  int sig;
  u32 pinfo, puc;
  u8 info[128];
  ucontext32 uc;
  u8 retcode[8];
};
// Return code on the stack for programs without SA_RESTORER; execution there needs an executable stack, as on Linux.
constexpr u8 kRetcode[8] = {0x58, 0xb8, 119, 0, 0, 0, 0xcd, 0x80};  // pop eax; mov eax, sigreturn; int 80
constexpr u8 kRtRetcode[8] = {0xb8, 173, 0, 0, 0, 0xcd, 0x80, 0};   // mov eax, rt_sigreturn; int 80

void fill_sigcontext32(sigcontext32& sc, const pt_regs* r, sigset_t old_mask) {
  asm volatile("movw %%gs, %0" : "=m"(sc.gs));
  asm volatile("movw %%fs, %0" : "=m"(sc.fs));
  sc.es = sc.ds = kUserDs;
  sc.di = static_cast<u32>(r->rdi), sc.si = static_cast<u32>(r->rsi), sc.bp = static_cast<u32>(r->rbp),
  sc.sp = static_cast<u32>(r->rsp);
  sc.bx = static_cast<u32>(r->rbx), sc.dx = static_cast<u32>(r->rdx), sc.cx = static_cast<u32>(r->rcx),
  sc.ax = static_cast<u32>(r->rax);
  sc.trapno = static_cast<u32>(current->thread.trap_nr);
  sc.err = static_cast<u32>(current->thread.error_code);
  sc.ip = static_cast<u32>(r->rip);
  sc.cs = static_cast<u16>(r->cs);
  sc.ss = static_cast<u16>(r->ss);
  sc.flags = static_cast<u32>(r->eflags);
  sc.sp_at_signal = sc.sp;
  sc.oldmask = static_cast<u32>(old_mask);
  sc.cr2 = static_cast<u32>(current->thread.cr2);
}

// The i387 image in front of the FXSAVE one; programs that look inside are rare, but it must come back whole.
u64 save_fpu32(u64 sp, u32& where) {
  const u64 fx = align_down(sp - fpu_frame_size(), 64);
  const u64 start = fx - 112;  // struct _fpstate_32 header: 7 words + 8 registers of 10 bytes + status + magic
  u32 header[28]{};
  header[27] = 0;  // status, magic = 0: FXSAVE data follows
  if (save_fpu(fx) != 0 || copy_to_user(reinterpret_cast<void*>(start), header, sizeof header) != 0) return 0;
  where = static_cast<u32>(start);
  return start;
}

void siginfo_to_32(const siginfo& from, u8* to) {
  memset(to, 0, 128);
  memcpy(to, &from, 12);
  // The union starts at offset 12 in 32-bit code, at 16 in ours; pointers shrink.
  if (from.si_signo == SIGCHLD) {
    const u32 words[5] = {static_cast<u32>(from.chld.si_pid), from.chld.si_uid, static_cast<u32>(from.chld.si_status),
                          static_cast<u32>(from.chld.si_utime), static_cast<u32>(from.chld.si_stime)};
    memcpy(to + 12, words, sizeof words);
  } else if (from.si_code > 0 && from.si_code != SI_KERNEL) {
    const u32 address = static_cast<u32>(from.fault.si_addr);
    memcpy(to + 12, &address, 4);
  } else {
    const u32 words[3] = {static_cast<u32>(from.rt.si_pid), from.rt.si_uid, static_cast<u32>(from.rt.si_value)};
    memcpy(to + 12, words, sizeof words);
  }
}

int restore_sigcontext32(pt_regs* r, const sigcontext32& sc) {
  r->rdi = sc.di, r->rsi = sc.si, r->rbp = sc.bp, r->rsp = sc.sp, r->rbx = sc.bx, r->rdx = sc.dx, r->rcx = sc.cx,
  r->rax = sc.ax;
  r->rip = sc.ip;
  r->eflags = (r->eflags & ~kEflagsUser) | (sc.flags & kEflagsUser);
  r->cs = kUser32Cs;
  r->ss = kUserDs;
  r->orig_rax = ~0ul;
  return restore_fpu(sc.fpstate == 0 ? 0 : sc.fpstate + 112);
}

}  // namespace

int setup_compat_frame(int sig, const sigaction& action, const siginfo& info, sigset_t old_mask, pt_regs* regs) {
  u64 sp = frame_position(action, regs, 0);
  u32 fpstate = 0;
  sp = save_fpu32(sp, fpstate);
  if (sp == 0) return -EFAULT;
  if ((action.flags & SA_SIGINFO) != 0) {
    rt_sigframe32 f{};
    sp = align_down(sp - sizeof f + 4, 16) - 4;
    f.sig = sig;
    f.pinfo = static_cast<u32>(sp + offsetof(rt_sigframe32, info));
    f.puc = static_cast<u32>(sp + offsetof(rt_sigframe32, uc));
    siginfo_to_32(info, f.info);
    const stack_t alt = visible_altstack();
    f.uc.stack = {static_cast<u32>(alt.ss_sp), alt.ss_flags, static_cast<u32>(alt.ss_size)};
    fill_sigcontext32(f.uc.mcontext, regs, old_mask);
    f.uc.mcontext.fpstate = fpstate;
    f.uc.sigmask[0] = static_cast<u32>(old_mask);
    f.uc.sigmask[1] = static_cast<u32>(old_mask >> 32);
    memcpy(f.retcode, kRtRetcode, 8);
    f.pretcode =
        static_cast<u32>((action.flags & SA_RESTORER) != 0 ? action.restorer : sp + offsetof(rt_sigframe32, retcode));
    TRY_INT(copy_to_user(reinterpret_cast<void*>(sp), &f, sizeof f));
    regs->rdx = f.pinfo;
    regs->rcx = f.puc;
  } else {
    sigframe32 f{};
    sp = align_down(sp - sizeof f + 4, 16) - 4;
    f.sig = sig;
    fill_sigcontext32(f.sc, regs, old_mask);
    f.sc.fpstate = fpstate;
    f.extramask = static_cast<u32>(old_mask >> 32);
    memcpy(f.retcode, kRetcode, 8);
    f.pretcode =
        static_cast<u32>((action.flags & SA_RESTORER) != 0 ? action.restorer : sp + offsetof(sigframe32, retcode));
    TRY_INT(copy_to_user(reinterpret_cast<void*>(sp), &f, sizeof f));
    regs->rdx = regs->rcx = 0;
  }
  disarm_altstack();
  regs->rax = static_cast<u64>(sig);
  regs->rip = action.handler;
  regs->rsp = sp;
  regs->cs = kUser32Cs;
  regs->ss = kUserDs;
  regs->eflags &= ~(kFlagTf | 0x400 | 0x10000);
  return 0;
}

long do_compat_sigreturn(pt_regs* regs, bool rt) {
  sigcontext32 sc;
  sigset_t mask;
  if (rt) {
    const u64 at = regs->rsp - 4;
    ucontext32 uc;
    if (get_user_at(uc, at + offsetof(rt_sigframe32, uc)) != 0) return bad_frame();
    sc = uc.mcontext;
    mask = uc.sigmask[0] | static_cast<u64>(uc.sigmask[1]) << 32;
  } else {
    const u64 at = regs->rsp - 8;
    u32 extra;
    if (get_user_at(sc, at + offsetof(sigframe32, sc)) != 0 ||
        get_user_at(extra, at + offsetof(sigframe32, extramask)) != 0)
      return bad_frame();
    mask = sc.oldmask | static_cast<u64>(extra) << 32;
  }
  set_current_blocked(mask);
  if (restore_sigcontext32(regs, sc) != 0) return bad_frame();
  return static_cast<long>(regs->rax);
}

}  // namespace xm::os
