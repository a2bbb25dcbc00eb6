// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/kvm/kvm_engine.h"

#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cpu/kvm/kvm_lists.h"
#include "cpu/kvm/kvm_state.h"
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

}  // namespace

Result<std::unique_ptr<KvmEngine>> KvmEngine::create(KvmVm& vm, u32 index, BusPort& bus, const CpuModel& model) {
  install_kick_handler();
  const int fd = ::ioctl(vm.fd(), KVM_CREATE_VCPU, index);
  if (fd < 0)
    return Error{std::string("KVM is not usable: KVM_CREATE_VCPU: ") + std::strerror(errno), exit_status::kNoKvm};
  void* shared = ::mmap(nullptr, vm.run_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared == MAP_FAILED) {
    ::close(fd);
    return Error{std::string("KVM is not usable: mmap of the vCPU: ") + std::strerror(errno), exit_status::kNoKvm};
  }
  std::unique_ptr<KvmEngine> engine(new KvmEngine(vm, index, bus, model, fd, static_cast<kvm_run*>(shared)));
  TRY(engine->set_cpuid());
  return engine;
}

KvmEngine::KvmEngine(KvmVm& vm, u32 index, BusPort& bus, const CpuModel& model, int fd, kvm_run* shared)
    : vm_(vm), index_(index), bus_(bus), model_(model), fd_(fd), shared_(shared) {}

KvmEngine::~KvmEngine() {
  ::munmap(shared_, vm_.run_size());
  ::close(fd_);
}

// The guest sees what both the model and the host's KVM have.
Result<void> KvmEngine::set_cpuid() {
  const auto list = std::make_unique<CpuidList>();
  if (::ioctl(vm_.system_fd(), kGetSupportedCpuid, list.get()) != 0) {
    return Error{std::string("KVM is not usable: KVM_GET_SUPPORTED_CPUID: ") + std::strerror(errno),
                 exit_status::kNoKvm};
  }
  for (u32 i = 0; i < list->header.count; i++) {
    kvm_cpuid_entry2& entry = list->entries[i];
    const CpuidResult ours =
        model_.cpuid(entry.function, entry.index, {.apic_id = index_, .tsc_frequency_hz = bus_.tsc_frequency_hz()});
    constexpr u32 kX2Apic = 1u << 21, kTscDeadline = 1u << 24;
    switch (entry.function) {
      case 1:
        entry.eax = ours.eax;
        entry.ebx = ours.ebx;
        // The local APIC is ours; what it can do does not depend on the host.
        entry.ecx = (entry.ecx & ours.ecx & ~kTscDeadline) | (ours.ecx & (kX2Apic | 1u << 31));
        entry.edx &= ours.edx;
        break;
      case 7:
        entry.ebx &= ours.ebx;
        entry.ecx &= ours.ecx;
        entry.edx &= ours.edx;
        entry.eax = 0;
        break;
      case 0x80000001:
        entry.ecx &= ours.ecx;
        entry.edx &= ours.edx;
        break;
      case 0xD:
        if (entry.index == 0) entry.eax &= ours.eax;
        break;
      case 0xB:
      case 4:
      case 0x80000002:
      case 0x80000003:
      case 0x80000004:
        entry.eax = ours.eax;
        entry.ebx = ours.ebx;
        entry.ecx = ours.ecx;
        entry.edx = ours.edx;
        break;
      case 0x15:
      case 0x16: entry.eax = entry.ebx = entry.ecx = entry.edx = 0; break;  // the TSC is the host's
      default: break;
    }
    // No paravirtual interface of KVM: the devices are ours.
    if ((entry.function & 0xF0000000) == 0x40000000) entry.eax = entry.ebx = entry.ecx = entry.edx = 0;
  }
  if (::ioctl(fd_, kSetCpuid2, list.get()) != 0) {
    return Error{std::string("KVM is not usable: KVM_SET_CPUID2: ") + std::strerror(errno), exit_status::kNoKvm};
  }
  return {};
}

void KvmEngine::kick() {
  shared_->immediate_exit = 1;
  const unsigned long thread = thread_.load();
  if (thread != 0) ::pthread_kill(static_cast<pthread_t>(thread), kKickSignal);
}

void KvmEngine::get_state(CpuState& state) {
  state = kept_;
  read_state(fd_, state);
}

void KvmEngine::set_state(const CpuState& state) {
  kept_ = state;
  write_state(fd_, state);
}

void KvmEngine::apply_startup(u8 vector) {
  CpuState state;
  get_state(state);
  state.segment[1].selector = static_cast<u16>(vector << 8);
  state.segment[1].base = u64{vector} << 12;
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
  if ((word & Signals::kInit) != 0) {
    signals_.clear(Signals::kInit);
    CpuState state;
    get_state(state);
    apply_init(state, model_.signature(), index_ == 0);
    set_state(state);
  }
  if ((word & Signals::kSipi) != 0) {
    signals_.clear(Signals::kSipi);
    if (kept_.activity == Activity::WaitForSipi) apply_startup(signals_.sipi_vector.load());
  }
  if (kept_.activity == Activity::WaitForSipi) {
    exit.kind = ExitKind::Halt;
    exit.blocked_signals = signals_.load() & (Signals::kIntr | Signals::kNmi);
    return false;
  }
  if ((word & Signals::kNmi) != 0) {
    signals_.clear(Signals::kNmi);
    static_cast<void>(::ioctl(fd_, KVM_NMI));
    kept_.activity = Activity::Running;
  }
  return true;
}

void KvmEngine::inject_interrupt() {
  shared_->request_interrupt_window = 0;
  if ((signals_.load() & Signals::kIntr) == 0) return;
  if (shared_->ready_for_interrupt_injection == 0 || shared_->if_flag == 0) {
    shared_->request_interrupt_window = 1;
    return;
  }
  const int vector = bus_.acknowledge_interrupt();
  if (vector < 0) return;
  kvm_interrupt interrupt{.irq = static_cast<u32>(vector)};
  static_cast<void>(::ioctl(fd_, KVM_INTERRUPT, &interrupt));
  kept_.activity = Activity::Running;
  if ((signals_.load() & Signals::kIntr) != 0) shared_->request_interrupt_window = 1;
}

void KvmEngine::handle_io() {
  u8* data = reinterpret_cast<u8*>(shared_) + shared_->io.data_offset;
  const unsigned size = shared_->io.size;
  const Port port{shared_->io.port};
  for (u32 i = 0; i < shared_->io.count; i++, data += size) {
    if (shared_->io.direction == KVM_EXIT_IO_OUT) {
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
  const GuestPhys address{shared_->mmio.phys_addr};
  const unsigned size = shared_->mmio.len;
  u64 value = 0;
  if (shared_->mmio.is_write != 0) {
    std::memcpy(&value, shared_->mmio.data, size);
    bus_.mmio_write(address, value, size);
  } else {
    value = bus_.mmio_read(address, size);
    std::memcpy(shared_->mmio.data, &value, size);
  }
}

Exit KvmEngine::run(Budget) {
  thread_.store(static_cast<unsigned long>(::pthread_self()));
  Exit exit;
  while (true) {
    shared_->immediate_exit = 0;
    if (!service_signals(exit)) return exit;
    shared_->cr8 = bus_.tpr();
    inject_interrupt();
    if (kept_.activity == Activity::Halted) {
      exit.kind = ExitKind::Halt;
      if (shared_->if_flag == 0) exit.blocked_signals = signals_.load() & Signals::kIntr;
      return exit;
    }
    const int status = ::ioctl(fd_, KVM_RUN, 0);
    if (shared_->cr8 != bus_.tpr()) bus_.set_tpr(static_cast<u8>(shared_->cr8));
    if (status < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      exit = {.kind = ExitKind::Unimplemented, .detail = "KVM_RUN failed"};
      return exit;
    }
    switch (shared_->exit_reason) {
      case KVM_EXIT_IO: handle_io(); break;
      case KVM_EXIT_MMIO: handle_mmio(); break;
      case KVM_EXIT_HLT: kept_.activity = Activity::Halted; break;
      case KVM_EXIT_INTR:
      case KVM_EXIT_IRQ_WINDOW_OPEN: break;
      case KVM_EXIT_SHUTDOWN: exit.kind = ExitKind::Shutdown; return exit;
      default:
        exit = {
            .kind = ExitKind::Unimplemented, .address = shared_->exit_reason, .detail = "KVM exit that has no handler"};
        return exit;
    }
  }
}

}  // namespace xm::cpu::kvm
