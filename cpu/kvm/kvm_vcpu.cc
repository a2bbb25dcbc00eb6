// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/kvm/kvm_vcpu.h"

#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "emu/base/exit_status.h"

namespace xm::cpu::kvm {

namespace {

constexpr int kKickSignal = SIGUSR1;

// The signal's only effect is that KVM_RUN returns with EINTR.
void install_kick_handler() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ::sigaction(kKickSignal, &action, nullptr);
}

Error failed(const char* what) {
  return {std::string("KVM is not usable: ") + what + ": " + std::strerror(errno) + "; use -accel interp",
          exit_status::kNoKvm};
}

Result<void> set_guest_debug(int fd, const kvm_guest_debug& debug) {
  if (::ioctl(fd, KVM_SET_GUEST_DEBUG, &debug) == 0) return {};
  return failed("KVM_SET_GUEST_DEBUG");
}

}  // namespace

Result<std::unique_ptr<KvmVcpu>> KvmVcpu::create(const KvmVm& vm, u32 index) {
  install_kick_handler();
  const int fd = ::ioctl(vm.fd(), KVM_CREATE_VCPU, index);
  if (fd < 0) return failed("KVM_CREATE_VCPU");
  void* shared = ::mmap(nullptr, vm.run_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared == MAP_FAILED) {
    const Error error = failed("mmap of the vCPU");
    ::close(fd);
    return error;
  }
  return std::unique_ptr<KvmVcpu>(new KvmVcpu(vm, fd, static_cast<kvm_run*>(shared)));
}

KvmVcpu::~KvmVcpu() {
  ::munmap(shared_, run_size_);
  ::close(fd_);
}

void KvmVcpu::arm() {
  thread_.store(static_cast<unsigned long>(::pthread_self()));
  __atomic_store_n(&shared_->immediate_exit, 0, __ATOMIC_SEQ_CST);
}

int KvmVcpu::enter() {
  if (::ioctl(fd_, KVM_RUN, 0) == 0) return static_cast<int>(shared_->exit_reason);
  return errno == EINTR || errno == EAGAIN ? kKicked : kFailed;
}

int KvmVcpu::finish_instruction() {
  __atomic_store_n(&shared_->immediate_exit, 1, __ATOMIC_SEQ_CST);
  const int reason = enter();
  __atomic_store_n(&shared_->immediate_exit, 0, __ATOMIC_SEQ_CST);
  return reason;
}

void KvmVcpu::kick() {
  __atomic_store_n(&shared_->immediate_exit, 1, __ATOMIC_SEQ_CST);
  const unsigned long thread = thread_.load();
  if (thread != 0) ::pthread_kill(static_cast<pthread_t>(thread), kKickSignal);
}

Result<void> KvmVcpu::stop_after_one() {
  kvm_guest_debug debug{};
  debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
  return set_guest_debug(fd_, debug);
}

Result<void> KvmVcpu::stop_at(std::span<const u64> linear) {
  constexpr std::size_t kMost = 4;
  if (linear.empty()) return stop_nowhere();
  if (linear.size() > kMost) return Error{"KVM has four breakpoints"};
  kvm_guest_debug debug{};
  debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
  debug.arch.debugreg[7] = 0x600;  // GE and the bit that is always set
  for (std::size_t i = 0; i < linear.size(); i++) {
    debug.arch.debugreg[i] = linear[i];
    debug.arch.debugreg[7] |= u64{2} << (2 * i);  // Gn, on execution
  }
  return set_guest_debug(fd_, debug);
}

Result<void> KvmVcpu::stop_nowhere() { return set_guest_debug(fd_, kvm_guest_debug{}); }

const char* exit_name(int reason) {
  static constexpr std::pair<int, const char*> kNames[] = {{KvmVcpu::kKicked, "kick"},
                                                           {KvmVcpu::kFailed, "failed"},
                                                           {KVM_EXIT_UNKNOWN, "unknown"},
                                                           {KVM_EXIT_EXCEPTION, "exception"},
                                                           {KVM_EXIT_IO, "io"},
                                                           {KVM_EXIT_DEBUG, "debug"},
                                                           {KVM_EXIT_HLT, "hlt"},
                                                           {KVM_EXIT_MMIO, "mmio"},
                                                           {KVM_EXIT_IRQ_WINDOW_OPEN, "irq-window"},
                                                           {KVM_EXIT_SHUTDOWN, "shutdown"},
                                                           {KVM_EXIT_FAIL_ENTRY, "fail-entry"},
                                                           {KVM_EXIT_INTR, "intr"},
                                                           {KVM_EXIT_SET_TPR, "set-tpr"},
                                                           {KVM_EXIT_TPR_ACCESS, "tpr-access"},
                                                           {KVM_EXIT_NMI, "nmi"},
                                                           {KVM_EXIT_INTERNAL_ERROR, "internal-error"},
                                                           {KVM_EXIT_SYSTEM_EVENT, "system-event"},
                                                           {KVM_EXIT_IOAPIC_EOI, "ioapic-eoi"},
                                                           {KVM_EXIT_X86_RDMSR, "rdmsr"},
                                                           {KVM_EXIT_X86_WRMSR, "wrmsr"}};
  for (const auto& [value, name] : kNames) {
    if (value == reason) return name;
  }
  return "other";
}

}  // namespace xm::cpu::kvm
