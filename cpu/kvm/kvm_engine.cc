// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/kvm/kvm_engine.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "cpu/interp/interpreter.h"
#include "cpu/kvm/kvm_cpuid.h"
#include "cpu/kvm/kvm_lists.h"
#include "cpu/kvm/kvm_state.h"
#include "emu/base/exit_status.h"

namespace xm::cpu::kvm {

namespace {

constexpr u32 kTscMsr = 0x10, kTscDeadlineMsr = 0x6E0;
constexpr u32 kX2ApicFirst = 0x800, kX2ApicLast = 0x8FF;

bool is_access(int reason) {
  return reason == KVM_EXIT_IO || reason == KVM_EXIT_MMIO || reason == KVM_EXIT_X86_RDMSR ||
         reason == KVM_EXIT_X86_WRMSR;
}

}  // namespace

Result<std::unique_ptr<KvmEngine>> KvmEngine::create(KvmVm& vm, u32 index, BusPort& bus, const CpuModel& model,
                                                     Log& log) {
  std::unique_ptr<KvmVcpu> vcpu = TRY(KvmVcpu::create(vm, index));
  if (vm.facts().tsc_control) {
    const unsigned long khz = bus.tsc_frequency_hz() / 1000;
    if (::ioctl(vcpu->fd(), KVM_SET_TSC_KHZ, khz) != 0)
      return Error{std::string("KVM is not usable: KVM_SET_TSC_KHZ: ") + std::strerror(errno), exit_status::kNoKvm};
  }
  TRY(set_cpuid(vm, vcpu->fd(), model, {.apic_id = index, .tsc_frequency_hz = bus.tsc_frequency_hz()}));
  return std::unique_ptr<KvmEngine>(new KvmEngine(std::move(vcpu), index, bus, model, log));
}

KvmEngine::KvmEngine(std::unique_ptr<KvmVcpu> vcpu, u32 index, BusPort& bus, const CpuModel& model, Log& log)
    : vcpu_(std::move(vcpu)), index_(index), bus_(bus), model_(model), log_(log) {}

KvmEngine::~KvmEngine() = default;

// --- state

void KvmEngine::get_state(CpuState& state) {
  state = kept_;
  const Result<void> read = read_state(vcpu_->fd(), state);
  if (!read.ok()) failure_ = read.error().message;
  MsrRequest tsc{.entry = {.index = kTscMsr, .reserved = 0, .data = 0}};
  if (vcpu_->facts().kind == KvmKind::Hardware && ::ioctl(vcpu_->fd(), kGetMsrs, &tsc) == 1)
    state.msr.tsc_offset = tsc.entry.data - bus_.tsc_ticks();
}

// A software KVM hands the host's time-stamp counter to the guest as it is: there is no offset to carry.
void KvmEngine::set_state(const CpuState& state) {
  kept_ = state;
  if (kept_.activity == Activity::MonitorWait) kept_.activity = Activity::Running;
  const Result<void> written = write_state(vcpu_->fd(), state);
  failure_ = written.ok() ? "" : written.error().message;
  if (vcpu_->facts().kind == KvmKind::Hardware) {
    MsrRequest tsc{.entry = {.index = kTscMsr, .reserved = 0, .data = bus_.tsc_ticks() + state.msr.tsc_offset}};
    static_cast<void>(::ioctl(vcpu_->fd(), kSetMsrs, &tsc));
  } else {
    kept_.msr.tsc_offset = 0;
  }
  apic_base_.reset();  // the board is asked on the vCPU's own thread
  // KVM tells these after a run only.
  vcpu_->shared().if_flag = (state.rflags & flag::kIf) != 0;
  vcpu_->shared().ready_for_interrupt_injection =
      state.interrupt_shadow == InterruptShadow::None && state.pending.kind == PendingEvent::Kind::None;
}

bool KvmEngine::set_breakpoints(std::span<const u64> linear) {
  if (!vcpu_->facts().guest_debug) return linear.empty();
  return vcpu_->stop_at(linear).ok();
}

// By the interpreter: it steps in every mode, which not every KVM does.
Exit KvmEngine::step() {
  Exit exit;
  if (kept_.activity != Activity::Running) return run({.instructions = 1});
  if (!interpret_one(exit)) return exit;
  return {.kind = ExitKind::Debug, .address = kept_.rip};
}

std::vector<EngineCount> KvmEngine::counts() const {
  std::vector<EngineCount> counts;
  for (unsigned i = 0; i < kReasons; i++) {
    const u64 count = exits_[i].load(std::memory_order_relaxed);
    if (count != 0) counts.push_back({exit_name(static_cast<int>(i) + KvmVcpu::kFailed), count});
  }
  if (const u64 count = interpreted_.load(std::memory_order_relaxed); count != 0)
    counts.push_back({"interpreted-instead", count});
  return counts;
}

// --- pins

void KvmEngine::apply_startup(u8 vector) {
  CpuState state;
  get_state(state);
  state.segment[1] = {.base = u64{vector} << 12, .limit = 0xFFFF, .attributes = 0x9B};
  state.segment[1].selector = static_cast<u16>(vector << 8);
  state.rip = 0;
  state.activity = Activity::Running;
  set_state(state);
}

// Pins other than INTR. False: leave run() with `exit`.
bool KvmEngine::service_signals(Exit& exit) {
  const u32 word = signals_.load();
  if ((word & (Signals::kStop | Signals::kReset)) != 0) {
    exit.kind = ExitKind::Stop;
    return false;
  }
  signals_.clear(Signals::kCodeWritten | Signals::kMapChanged | Signals::kSmi);
  if ((word & (Signals::kInit | Signals::kSipi)) != 0) finish_access();
  if ((word & Signals::kInit) != 0) {
    signals_.clear(Signals::kInit);
    CpuState state;
    get_state(state);
    constexpr u64 kBootProcessor = 1 << 8;
    apply_init(state, model_.signature(), (bus_.apic_base() & kBootProcessor) != 0);
    set_state(state);
  }
  if ((word & Signals::kSipi) != 0) {
    signals_.clear(Signals::kSipi);
    if (kept_.activity == Activity::WaitForSipi) apply_startup(signals_.sipi_vector.load());
  }
  if (kept_.activity == Activity::WaitForSipi) {
    exit.kind = ExitKind::Halt;
    exit.blocked_signals = signals_.load() & (Signals::kIntr | Signals::kNmi | Signals::kSmi);
    return false;
  }
  if (kept_.activity == Activity::Shutdown) {
    exit.kind = ExitKind::Shutdown;
    return false;
  }
  if ((word & Signals::kNmi) != 0) {
    signals_.clear(Signals::kNmi);
    static_cast<void>(::ioctl(vcpu_->fd(), KVM_NMI));
    kept_.activity = Activity::Running;
  }
  return true;
}

void KvmEngine::inject_interrupt() {
  kvm_run& shared = vcpu_->shared();
  shared.request_interrupt_window = 0;
  if ((signals_.load() & Signals::kIntr) == 0) return;
  if (shared.ready_for_interrupt_injection == 0 || shared.if_flag == 0) {
    shared.request_interrupt_window = 1;
    return;
  }
  const int vector = bus_.acknowledge_interrupt();
  if (vector < 0) return;
  kvm_interrupt interrupt{.irq = static_cast<u32>(vector)};
  static_cast<void>(::ioctl(vcpu_->fd(), KVM_INTERRUPT, &interrupt));
  shared.ready_for_interrupt_injection = 0;
  kept_.activity = Activity::Running;
  if ((signals_.load() & Signals::kIntr) != 0) shared.request_interrupt_window = 1;
}

void KvmEngine::tell_apic() {
  apic_base_ = bus_.apic_base();
  kvm_sregs sregs{};
  if (::ioctl(vcpu_->fd(), KVM_GET_SREGS, &sregs) != 0) return;
  sregs.apic_base = *apic_base_;
  static_cast<void>(::ioctl(vcpu_->fd(), KVM_SET_SREGS, &sregs));
}

// KVM keeps IA32_APIC_BASE even where the APIC is ours; both must agree on x2APIC mode.
void KvmEngine::follow_apic() {
  const kvm_run& shared = vcpu_->shared();
  if (shared.apic_base != apic_base_) {
    apic_base_ = shared.apic_base;
    static_cast<void>(bus_.set_apic_base(*apic_base_));
  }
  if (shared.cr8 != bus_.tpr()) bus_.set_tpr(static_cast<u8>(shared.cr8));
}

// --- exits

void KvmEngine::handle_io() {
  kvm_run& shared = vcpu_->shared();
  u8* data = reinterpret_cast<u8*>(&shared) + shared.io.data_offset;
  const unsigned size = shared.io.size;
  const Port port{shared.io.port};
  for (u32 i = 0; i < shared.io.count; i++, data += size) {
    if (shared.io.direction == KVM_EXIT_IO_OUT) {
      u32 value = 0;
      std::memcpy(&value, data, size);
      bus_.port_write(port, value, size);
    } else {
      const u32 value = bus_.port_read(port, size);
      std::memcpy(data, &value, size);
    }
  }
}

void KvmEngine::handle_mmio() {
  kvm_run& shared = vcpu_->shared();
  const GuestPhys address{shared.mmio.phys_addr};
  const unsigned size = shared.mmio.len;
  u64 value = 0;
  if (shared.mmio.is_write != 0) {
    std::memcpy(&value, shared.mmio.data, size);
    bus_.mmio_write(address, value, size);
  } else {
    value = bus_.mmio_read(address, size);
    std::memcpy(shared.mmio.data, &value, size);
  }
}

// MSRs that KVM does not know: those of our local APIC; any other is #GP.
void KvmEngine::handle_msr(bool write) {
  auto& msr = vcpu_->shared().msr;
  bool done = false;
  u64 value = msr.data;
  if (msr.index >= kX2ApicFirst && msr.index <= kX2ApicLast) {
    done = write ? bus_.x2apic_write(msr.index, value) : bus_.x2apic_read(msr.index, value);
  } else if (msr.index == kTscDeadlineMsr) {
    if (write)
      bus_.set_tsc_deadline(value, bus_.tsc_ticks() + kept_.msr.tsc_offset);
    else
      value = bus_.tsc_deadline();
    done = true;
  }
  msr.error = done ? 0 : 1;
  if (!write) msr.data = value;
}

bool KvmEngine::unhandled(int reason, const std::string& what, Exit& exit) {
  CpuState state;
  get_state(state);
  failure_ = "KVM exit " + std::string(exit_name(reason)) + (what.empty() ? "" : ": " + what);
  exit = {.kind = ExitKind::Unimplemented, .address = state.rip, .detail = failure_.c_str()};
  return false;
}

// KVM_INTERNAL_ERROR_EMULATION: the kernel's emulator does not know the instruction. False: leave run().
bool KvmEngine::handle_internal_error(Exit& exit) {
  const kvm_run& shared = vcpu_->shared();
  if (shared.internal.suberror == KVM_INTERNAL_ERROR_EMULATION) return interpret_one(exit);
  return unhandled(KVM_EXIT_INTERNAL_ERROR, "suberror " + std::to_string(shared.internal.suberror), exit);
}

bool KvmEngine::interpret_one(Exit& exit) {
  if (helper_ == nullptr) {
    helper_ = std::make_unique<interp::Interpreter>(
        bus_, model_, log_, interp::Interpreter::Options{.bootstrap_processor = index_ == 0, .index = index_});
  }
  CpuState state;
  get_state(state);
  helper_->set_state(state);
  const bool stepped = helper_->step_one();
  helper_->get_state(state);
  set_state(state);
  interpreted_.fetch_add(1, std::memory_order_relaxed);
  if (stepped || state.activity != Activity::Running) return true;
  return unhandled(KVM_EXIT_INTERNAL_ERROR, "an instruction that neither KVM nor the interpreter can run", exit);
}

// False: leave run() with `exit`.
bool KvmEngine::handle(int reason, Exit& exit) {
  const kvm_run& shared = vcpu_->shared();
  switch (reason) {
    case KvmVcpu::kKicked:
    case KVM_EXIT_INTR:
    case KVM_EXIT_NMI:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_SET_TPR: return true;  // CR8 is taken over after every run
    case KVM_EXIT_IO: handle_io(); return true;
    case KVM_EXIT_MMIO: handle_mmio(); return true;
    case KVM_EXIT_HLT: kept_.activity = Activity::Halted; return true;
    case KVM_EXIT_X86_RDMSR: handle_msr(false); return true;
    case KVM_EXIT_X86_WRMSR: handle_msr(true); return true;
    case KVM_EXIT_DEBUG: exit = {.kind = ExitKind::Debug, .address = shared.debug.arch.pc}; return false;
    case KVM_EXIT_INTERNAL_ERROR: return handle_internal_error(exit);
    case KVM_EXIT_SHUTDOWN:
    case KVM_EXIT_SYSTEM_EVENT:
      kept_.activity = Activity::Shutdown;
      exit.kind = ExitKind::Shutdown;
      return false;
    case KVM_EXIT_FAIL_ENTRY: {
      char text[64];
      std::snprintf(text, sizeof text, "hardware reason 0x%llx",
                    static_cast<unsigned long long>(shared.fail_entry.hardware_entry_failure_reason));
      return unhandled(reason, text, exit);
    }
    case KvmVcpu::kFailed: return unhandled(reason, std::string("KVM_RUN: ") + std::strerror(errno), exit);
    default: return unhandled(reason, "reason " + std::to_string(reason), exit);
  }
}

// KVM finishes an access when it is entered again; until then the registers are those of before the instruction.
void KvmEngine::finish_access() {
  Exit ignored;
  while (std::exchange(unfinished_, false)) {
    const int reason = vcpu_->finish_instruction();
    unfinished_ = is_access(reason) && handle(reason, ignored);
  }
}

Exit KvmEngine::run(Budget budget) {
  const Exit exit = run_until_exit(budget);
  finish_access();
  return exit;
}

Exit KvmEngine::run_until_exit(Budget) {
  Exit exit;
  while (true) {
    vcpu_->arm();
    if (!service_signals(exit)) return exit;
    if (!failure_.empty()) {
      exit = {.kind = ExitKind::Unimplemented, .address = kept_.rip, .detail = failure_.c_str()};
      return exit;
    }
    kvm_run& shared = vcpu_->shared();
    if (!apic_base_) tell_apic();
    shared.cr8 = bus_.tpr();
    inject_interrupt();
    if (kept_.activity == Activity::Halted) {
      exit.kind = ExitKind::Halt;
      if (shared.if_flag == 0) exit.blocked_signals = signals_.load() & Signals::kIntr;
      return exit;
    }
    unfinished_ = false;
    const int reason = vcpu_->enter();
    const int error = errno;
    exits_[static_cast<unsigned>(reason - KvmVcpu::kFailed) % kReasons].fetch_add(1, std::memory_order_relaxed);
    follow_apic();
    errno = error;
    if (!handle(reason, exit)) return exit;
    unfinished_ = is_access(reason);
  }
}

}  // namespace xm::cpu::kvm
