// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/interp/host_trap.h"

#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>
#include <xmmintrin.h>

namespace xm::cpu::interp {
namespace {

// Where this thread's trap goes while a kernel runs; signals give no other way to pass it.
struct TrapTarget {
  sigjmp_buf resume;
  u32 mxcsr = 0;
};
thread_local TrapTarget* trap_target = nullptr;

void on_sigfpe(int signal, siginfo_t*, void* context) {
  TrapTarget* target = trap_target;
  if (target == nullptr) {  // not ours: die of it as without a handler
    ::signal(signal, SIG_DFL);
    return;
  }
  target->mxcsr = static_cast<ucontext_t*>(context)->uc_mcontext.fpregs->mxcsr;
  siglongjmp(target->resume, 1);
}

// SA_NODEFER because siglongjmp leaves the handler without restoring the signal mask.
bool install_handler() {
  struct sigaction action {};
  action.sa_sigaction = on_sigfpe;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  return sigaction(SIGFPE, &action, nullptr) == 0;
}

}  // namespace

bool run_trapping(semantics::VectorKernel kernel, VectorRegister& d, const VectorRegister& a, const VectorRegister& b,
                  unsigned imm, u32& mxcsr) {
  static const bool installed = install_handler();
  static_cast<void>(installed);
  const u32 host_mxcsr = _mm_getcsr();
  TrapTarget target;
  trap_target = &target;
  const bool completed = sigsetjmp(target.resume, 0) == 0;
  if (completed) {
    _mm_setcsr(mxcsr);
    kernel(d, a, b, imm);
    mxcsr = _mm_getcsr();
  } else {
    mxcsr = target.mxcsr;
  }
  _mm_setcsr(host_mxcsr);
  trap_target = nullptr;
  return completed;
}

}  // namespace xm::cpu::interp
