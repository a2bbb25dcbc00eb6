// SPDX-License-Identifier: GPL-2.0-or-later
// From the entry code to C++: exceptions become signals or panics, interrupts go to their handlers, and everything that
// returns to user mode passes exit_to_user_mode, where signals are delivered and the scheduler gets its say.
// [SDM3 6.15]
#include "kernel/arch/x86_64/cpu.h"
#include "kernel/arch/x86_64/irq.h"
#include "kernel/arch/x86_64/smp.h"
#include "kernel/arch/x86_64/switch.h"
#include "kernel/init/printk.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/syscall.h"
#include "kernel/task/ptrace.h"
#include "kernel/task/task_struct.h"
#include "kernel/time/timer.h"

namespace xm::os {
namespace {

// In a task, in its softirqs, once more after a switch: each of them lets one in.
constexpr u32 kMostNestedIrqs = 4;

struct Exception {
  const char* name;
  int signal;
  int code;
};
constexpr Exception kExceptions[32] = {{"divide error", SIGFPE, FPE_INTDIV},
                                       {"debug", SIGTRAP, TRAP_TRACE},
                                       {"NMI", 0, 0},
                                       {"int3", SIGTRAP, SI_KERNEL},
                                       {"overflow", SIGSEGV, SI_KERNEL},
                                       {"bounds", SIGSEGV, SI_KERNEL},
                                       {"invalid opcode", SIGILL, ILL_ILLOPN},
                                       {"device not available", SIGFPE, SI_KERNEL},
                                       {"double fault", 0, 0},
                                       {"coprocessor segment overrun", SIGFPE, SI_KERNEL},
                                       {"invalid TSS", SIGSEGV, SI_KERNEL},
                                       {"segment not present", SIGBUS, SI_KERNEL},
                                       {"stack segment", SIGBUS, SI_KERNEL},
                                       {"general protection fault", SIGSEGV, SI_KERNEL},
                                       {"page fault", SIGSEGV, 0},
                                       {"reserved", SIGSEGV, SI_KERNEL},
                                       {"x87 error", SIGFPE, 0},
                                       {"alignment check", SIGBUS, BUS_ADRALN},
                                       {"machine check", 0, 0},
                                       {"SIMD error", SIGFPE, 0}};

int fpu_error_code(bool simd) {
  fpu_flush_to_memory(current);
  const u8* area = static_cast<const u8*>(current->thread.fpu);
  u32 raised;
  if (simd) {
    u32 mxcsr;
    __builtin_memcpy(&mxcsr, area + 24, 4);
    raised = mxcsr & ~(mxcsr >> 7);
  } else {
    raised = static_cast<u32>(area[2]) & ~static_cast<u32>(area[0]);
    asm volatile("fnclex");
  }
  if ((raised & 1) != 0) return FPE_FLTINV;
  if ((raised & 4) != 0) return FPE_FLTDIV;
  if ((raised & 8) != 0) return FPE_FLTOVF;
  if ((raised & 0x12) != 0) return FPE_FLTUND;
  return FPE_FLTRES;
}

void do_exception(pt_regs* regs, u32 vector) {
  const Exception& e = kExceptions[vector];
  if (!user_mode(regs)) {
    if (const u64 fixup = search_exception_table(regs->rip)) {
      regs->rip = fixup;
      return;
    }
    printk(KERN_EMERG "%s in the kernel, error %#lx\n", e.name != nullptr ? e.name : "exception", regs->orig_rax);
    show_regs(regs);
    panic("fatal exception: %s", e.name != nullptr ? e.name : "unknown");
  }
  local_irq_enable();
  current->thread.trap_nr = vector;
  current->thread.error_code = regs->orig_rax;
  int code = e.code;
  if (vector == 16 || vector == 19) code = fpu_error_code(vector == 19);
  if (vector == 1) {
    u64 dr6;
    asm volatile("mov %%dr6, %0" : "=r"(dr6));
    asm volatile("mov %0, %%dr6" : : "r"(0ul));
    current->thread.debug_status = dr6;
    if ((dr6 & 15) != 0) code = TRAP_HWBKPT;
    if ((dr6 & 1 << 14) != 0 || (dr6 & 15) == 0) {
      regs->eflags &= ~kFlagTf;
      clear_tif(current, TIF_SINGLESTEP);
    }
  }
  const u64 address = vector == 13 ? 0 : regs->rip;
  force_sig_fault(e.signal != 0 ? e.signal : SIGSEGV, code, address);
}

void do_local_interrupt(pt_regs* regs, u32 vector) {
  irq_enter();
  const pt_regs* outer = this_cpu()->irq_regs;
  this_cpu()->irq_regs = regs;
  const int lock_base = this_cpu()->lock_base;
  this_cpu()->lock_base = this_cpu()->locks_held;
  switch (vector) {
    case kTimerVector:
      lapic_eoi();
      timer_interrupt();
      break;
    case kRescheduleVector:
      ++this_cpu()->ipi_resched;
      lapic_eoi();
      break;
    case kCallVector:
      ++this_cpu()->ipi_call;
      lapic_eoi();
      smp_handle_call();
      break;
    case kSpuriousVector: break;
    case kErrorVector: lapic_eoi(); break;
    default: do_IRQ(regs, vector);
  }
  this_cpu()->irq_regs = outer;
  irq_exit();
  this_cpu()->lock_base = lock_base;
}

// With interrupts off: until nothing is left to do.
void exit_to_user_mode(pt_regs* regs) {
  for (;;) {
    const u32 work = current->thread_flags.load() & (TIF_SIGPENDING | TIF_NOTIFY | TIF_RESTORE_SIGMASK);
    if (likely(work == 0 && !need_resched())) return;
    local_irq_enable();
    if (need_resched()) schedule();
    if ((current->thread_flags.load() & TIF_SIGPENDING) != 0) {
      do_signal(regs);
    } else if ((current->thread_flags.load() & TIF_RESTORE_SIGMASK) != 0) {
      restore_saved_sigmask();
    }
    local_irq_disable();
  }
}

}  // namespace

extern "C" void do_interrupt(pt_regs* regs, u32 vector) {
  task_struct* task = current;
  if (vector >= 32 && ++task->irq_depth > kMostNestedIrqs) panic("interrupts nested %u deep", task->irq_depth);
  if (vector == 14) {
    const u64 address = read_cr2();
    do_page_fault(regs, regs->orig_rax, address);
    if (user_mode(regs)) regs->orig_rax = ~0ul;
  } else if (vector < 32) {
    do_exception(regs, vector);
    if (user_mode(regs)) regs->orig_rax = ~0ul;
  } else {
    regs->orig_rax = ~0ul;
    do_local_interrupt(regs, vector);
  }
  if (user_mode(regs)) {
    if (vector >= 32) --task->irq_depth;
    local_irq_disable();
    exit_to_user_mode(regs);
    return;
  }
  // Back to the kernel: the fourth preemption point.
  local_irq_disable();
  if (need_resched() && preempt_count() == 0 && (regs->eflags & kFlagIf) != 0 && vector >= 32) preempt_schedule_irq();
  if (vector >= 32) --task->irq_depth;
}

extern "C" void do_paranoid(pt_regs* regs, u32 vector) {
  if (panic_in_progress) {
    for (;;) asm volatile("cli; hlt");
  }
  if (vector == 2) {
    const u8 reason = inb(0x61);
    if ((reason & 0xc0) == 0) {
      printk(KERN_WARNING "NMI for unknown reason %#x\n", reason);
      return;
    }
    panic("NMI: %s", (reason & 0x80) != 0 ? "memory parity error" : "I/O check");
  }
  printk(KERN_EMERG "%s, error %#lx\n", kExceptions[vector].name, regs->orig_rax);
  show_regs(regs);
  // A push into the unmapped page below the stack cannot deliver its page fault: that is what a double fault usually
  // is.
  const u64 bottom = current != nullptr ? reinterpret_cast<u64>(current->stack) : 0;
  if (vector == 8 && regs->rsp < bottom + 512 && regs->rsp >= bottom - kPageSize)
    panic("kernel stack overflow: stack of %s/%d ends at %#lx", current->comm, current->pid, bottom);
  panic("%s", vector == 8 ? "double fault" : "machine check");
}

// Non-zero: SYSRET may be used. It needs RCX = RIP and R11 = RFLAGS, and must not meet a non-canonical RIP.
extern "C" u32 do_syscall_64(pt_regs* regs) {
  const bool skip = unlikely((current->thread_flags.load() & TIF_SYSCALL_WORK) != 0) && !syscall_enter_work(regs);
  const u64 number = regs->orig_rax & 0xffffffff;
  if (likely(number < kNrSyscalls && !skip)) {
    regs->rax = static_cast<u64>(syscall_table[number](regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9));
  } else if (!skip) {
    regs->rax = static_cast<u64>(-ENOSYS);
  }
  if (unlikely((current->thread_flags.load() & (TIF_SYSCALL_TRACE | TIF_SINGLESTEP)) != 0)) syscall_exit_work(regs);
  local_irq_disable();
  exit_to_user_mode(regs);
  return regs->rcx == regs->rip && regs->r11 == regs->eflags && regs->cs == kUserCs && regs->rip < kTaskSizeMax &&
         (regs->eflags & (kFlagTf | 0x10000)) == 0;
}

extern "C" void do_int80_syscall(pt_regs* regs) {
  regs->orig_rax = static_cast<u32>(regs->orig_rax);
  regs->rax = static_cast<u64>(-ENOSYS);
  const bool skip = unlikely((current->thread_flags.load() & TIF_SYSCALL_WORK) != 0) && !syscall_enter_work(regs);
  const u32 number = static_cast<u32>(regs->orig_rax);
  const auto arg = [](u64 v) { return static_cast<u64>(static_cast<u32>(v)); };
  long result = static_cast<long>(regs->rax);
  if (number < kNrCompatSyscalls && !skip) {
    result = compat_syscall_table[number](arg(regs->rbx), arg(regs->rcx), arg(regs->rdx), arg(regs->rsi),
                                          arg(regs->rdi), arg(regs->rbp));
  }
  regs->rax = compat_mode(regs) ? static_cast<u64>(static_cast<u32>(result)) : static_cast<u64>(result);
  if (unlikely((current->thread_flags.load() & (TIF_SYSCALL_TRACE | TIF_SINGLESTEP)) != 0)) syscall_exit_work(regs);
  local_irq_disable();
  exit_to_user_mode(regs);
}

extern "C" void exit_from_fork(pt_regs* regs) {
  local_irq_disable();
  exit_to_user_mode(regs);
}

}  // namespace xm::os
