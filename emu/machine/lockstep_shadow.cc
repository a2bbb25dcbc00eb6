// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/lockstep_shadow.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <cstring>
#include <optional>
#include <utility>

#include "cpu/interp/interpreter.h"
#include "cpu/kvm/kvm_cpuid.h"
#include "cpu/kvm/kvm_state.h"
#include "cpu/kvm/kvm_user_mode.h"
#include "cpu/kvm/kvm_vcpu.h"
#include "emu/machine/kvm_memory.h"

namespace xm::machine {

namespace {

using cpu::Activity;
using cpu::CpuState;
using cpu::kvm::KvmVcpu;

// --- the interpreter as shadow: counts instructions, so any point can be reached exactly

class InterpreterShadow final : public LockstepShadow {
 public:
  InterpreterShadow(ShadowPort& port, const cpu::CpuModel& model, Log& log)
      : port_(port), engine_(port, model, log, {.alone = true}) {
    port_.code_changed = [this](GuestPhys address, unsigned size_bytes) { engine_.code_written(address, size_bytes); };
  }
  const char* name() const override { return "interp"; }
  void get_state(CpuState& state) override { engine_.get_state(state); }
  std::string set_state(const CpuState& state) override {
    engine_.set_state(state);
    return "";
  }
  std::string run_to(const LockstepPoint& point) override {
    for (u64 i = 0; i < point.instructions; i++) {
      const std::string difference = step();
      if (!difference.empty()) return difference;
    }
    return "";
  }
  std::string step() override {
    u64 physical = 0;
    const cpu::Vcpu& cpu = engine_.vcpu();
    const u64 linear = cpu.mode.bits64 ? cpu.state.rip : (cpu.state.rip + cpu.state.segment[1].base) & 0xFFFFFFFF;
    if (engine_.vcpu().translate_quietly(linear, physical)) {
      port_.code_pages.insert(physical >> 12);
      port_.code_pages.insert((physical + 15) >> 12);
    }
    do {
      engine_.step_one();
    } while (cpu.running.repeating);
    return std::exchange(port_.difference, "");
  }
  void map_changed() override { engine_.signals().set(cpu::Signals::kMapChanged); }

 private:
  ShadowPort& port_;
  cpu::interp::Interpreter engine_;
};

// --- KVM as shadow

class KvmShadow final : public LockstepShadow {
 public:
  KvmShadow(ShadowPort& port, const cpu::CpuModel& model, Log& log, std::unique_ptr<cpu::kvm::KvmVm> vm,
            std::unique_ptr<KvmVcpu> vcpu, bus::AddressSpace& space, LockstepMemory& memory)
      : port_(port),
        vm_(std::move(vm)),
        vcpu_(std::move(vcpu)),
        memory_(*vm_, space, [&memory](u8* host) { return memory.shadow_of(host); }),
        helper_(port, model, log, {.alone = true}) {
    static_cast<void>(vm_->set_dirty_log(true));
  }
  const char* name() const override { return "kvm"; }

  void get_state(CpuState& state) override {
    if (user_) {
      state = *user_;
      return;
    }
    state = kept_;
    static_cast<void>(cpu::kvm::read_state(vcpu_->fd(), state));
  }
  std::string set_state(const CpuState& state) override {
    user_.reset();
    kept_ = state;
    const Result<void> written = cpu::kvm::write_state(vcpu_->fd(), state);
    return written.ok() ? "" : written.error().message;
  }
  bool knows_written_pages() const override { return true; }
  std::vector<u8*> take_written_pages() override {
    std::vector<u8*> pages = std::move(helper_pages_);
    helper_pages_.clear();
    for (u8* page : vm_->take_dirty_pages()) pages.push_back(page);
    return pages;
  }

  std::string run_to(const LockstepPoint& point) override;
  std::string step() override;

 private:
  // True if general registers, RIP and flags are the point's.
  bool arrived(const LockstepPoint& point) const {
    CpuState now = user_ ? *user_ : kept_;
    if (!user_ && !cpu::kvm::read_registers(vcpu_->fd(), now).ok()) return false;
    constexpr u64 kIgnored = cpu::flag::kRf | cpu::flag::kStatus | cpu::flag::kTf;
    return now.rip == point.state.rip && now.gpr == point.state.gpr &&
           ((now.rflags ^ point.state.rflags) & ~kIgnored) == 0;
  }
  u64 linear_rip(const CpuState& state) const {
    const bool bits64 = (state.msr.efer & cpu::efer::kLma) != 0 && state.segment[1].long_code();
    return bits64 ? state.rip : (state.rip + state.segment[1].base) & 0xFFFFFFFF;
  }
  std::string handle(int reason);
  std::string finish();
  std::string handle_io();
  std::string handle_mmio();
  std::string handle_msr(bool write);
  std::string interpret_one();
  std::string step_to(const LockstepPoint& point);

  ShadowPort& port_;
  std::unique_ptr<cpu::kvm::KvmVm> vm_;
  std::unique_ptr<KvmVcpu> vcpu_;
  KvmMemory memory_;
  cpu::interp::Interpreter helper_;
  std::vector<u8*> helper_pages_;
  CpuState kept_;
  // While user mode is stepped on a software KVM: the state, of which the vCPU holds a part only.
  std::optional<CpuState> user_;
  cpu::kvm::KvmUserMode user_mode_{*vcpu_};
};

// An instruction may make several accesses: the next one comes out when KVM takes the answer to the last.
std::string KvmShadow::finish() {
  if (!port_.difference.empty()) return std::exchange(port_.difference, "");
  const int reason = vcpu_->finish_instruction();
  return reason == KvmVcpu::kKicked ? "" : handle(reason);
}

std::string KvmShadow::handle_io() {
  kvm_run& shared = vcpu_->shared();
  u8* data = reinterpret_cast<u8*>(&shared) + shared.io.data_offset;
  const unsigned size = shared.io.size;
  for (u32 i = 0; i < shared.io.count; i++, data += size) {
    u32 value = 0;
    if (shared.io.direction == KVM_EXIT_IO_OUT) {
      std::memcpy(&value, data, size);
      port_.port_write(Port{shared.io.port}, value, size);
    } else {
      value = port_.port_read(Port{shared.io.port}, size);
      std::memcpy(data, &value, size);
    }
  }
  return finish();
}

std::string KvmShadow::handle_mmio() {
  kvm_run& shared = vcpu_->shared();
  u64 value = 0;
  if (shared.mmio.is_write != 0) {
    std::memcpy(&value, shared.mmio.data, shared.mmio.len);
    port_.mmio_write(GuestPhys{shared.mmio.phys_addr}, value, shared.mmio.len);
  } else {
    value = port_.mmio_read(GuestPhys{shared.mmio.phys_addr}, shared.mmio.len);
    std::memcpy(shared.mmio.data, &value, shared.mmio.len);
  }
  return finish();
}

std::string KvmShadow::handle_msr(bool write) {
  auto& msr = vcpu_->shared().msr;
  u64 value = msr.data;
  bool done = false;
  if (msr.index >= 0x800 && msr.index <= 0x8FF)
    done = write ? port_.x2apic_write(msr.index, value) : port_.x2apic_read(msr.index, value);
  msr.error = done ? 0 : 1;
  if (!write) msr.data = value;
  return finish();
}

// KVM's emulator does not know the instruction; what it would have done is not examined.
std::string KvmShadow::interpret_one() {
  CpuState state;
  get_state(state);
  port_.code_changed = [this](GuestPhys, unsigned) {};
  helper_.set_state(state);
  helper_.step_one();
  helper_.get_state(state);
  const std::string difference = set_state(state);
  return difference.empty() ? std::exchange(port_.difference, "") : difference;
}

std::string KvmShadow::handle(int reason) {
  switch (reason) {
    case KvmVcpu::kKicked:
    case KVM_EXIT_DEBUG:
    case KVM_EXIT_INTR:
    case KVM_EXIT_NMI:
    case KVM_EXIT_SET_TPR:
    case KVM_EXIT_IRQ_WINDOW_OPEN: return "";
    case KVM_EXIT_IO: return handle_io();
    case KVM_EXIT_MMIO: return handle_mmio();
    case KVM_EXIT_X86_RDMSR: return handle_msr(false);
    case KVM_EXIT_X86_WRMSR: return handle_msr(true);
    case KVM_EXIT_HLT: kept_.activity = Activity::Halted; return "";
    case KVM_EXIT_SHUTDOWN: kept_.activity = Activity::Shutdown; return "";
    case KVM_EXIT_INTERNAL_ERROR:
      if (vcpu_->shared().internal.suberror == KVM_INTERNAL_ERROR_EMULATION) return interpret_one();
      [[fallthrough]];
    default: return std::string("the shadow leaves KVM by an exit that has no handler: ") + cpu::kvm::exit_name(reason);
  }
}

// Devices stop KVM by themselves; any other point is a breakpoint at its address, met perhaps several times before the
// registers agree. The last resort, where breakpoints do not work, is one instruction at a time.
std::string KvmShadow::run_to(const LockstepPoint& point) {
  constexpr unsigned kMostStops = 200'000;
  const bool user = point.state.cpl == 3 && vcpu_->facts().kind == cpu::kvm::KvmKind::Software;
  const bool sleeps = point.state.activity != Activity::Running;
  if (!sleeps && user) return step_to(point);
  for (unsigned i = 0; i < kMostStops; i++) {
    if (kept_.activity != Activity::Running) {
      static_cast<void>(vcpu_->stop_nowhere());
      return sleeps ? "" : "the shadow engine halts or shuts down, the primary does not";
    }
    if (!sleeps && port_.notes->empty() && arrived(point)) {
      static_cast<void>(vcpu_->stop_nowhere());
      return "";
    }
    CpuState now;
    get_state(now);
    if (user_) static_cast<void>(set_state(now));
    const u64 target = linear_rip(point.state);
    if (!sleeps && linear_rip(now) == target) {
      const std::string difference = step();  // a breakpoint would hit at once
      if (!difference.empty()) return difference;
      continue;
    }
    if (!sleeps) static_cast<void>(vcpu_->stop_at({&target, 1}));
    vcpu_->arm();
    const int reason = vcpu_->enter();
    if (reason == KVM_EXIT_DEBUG) continue;
    const std::string difference = handle(reason);
    if (!difference.empty()) return difference;
  }
  return "the shadow engine does not come to where the primary is";
}

std::string KvmShadow::step_to(const LockstepPoint& point) {
  for (u64 i = 0; i <= 2 * point.instructions + 16; i++) {
    if (port_.notes->empty() && arrived(point)) return "";
    const std::string difference = step();
    if (!difference.empty()) return difference;
  }
  return "the shadow engine does not come to where the primary is";
}

std::string KvmShadow::step() {
  CpuState now;
  get_state(now);
  if (now.cpl == 3 && vcpu_->facts().kind == cpu::kvm::KvmKind::Software) {
    // The host delivers a single-step trap of user mode to the guest, so the trap is set up to leave KVM instead. What
    // does not retire there (system calls, faults) is kernel mode's.
    if (!user_ && !user_mode_.load(now).ok()) return "KVM refuses the state of user mode";
    user_ = now;
    if (user_mode_.step(*user_)) return "";
    const std::string difference = set_state(now);
    return difference.empty() ? interpret_one() : difference;
  }
  static_cast<void>(vcpu_->stop_after_one());
  vcpu_->arm();
  const int reason = vcpu_->enter();
  std::string difference;
  if (reason != KVM_EXIT_DEBUG) difference = handle(reason);
  static_cast<void>(vcpu_->stop_nowhere());
  return difference;
}

}  // namespace

std::unique_ptr<LockstepShadow> make_interpreter_shadow(ShadowPort& port, const cpu::CpuModel& model, Log& log) {
  return std::make_unique<InterpreterShadow>(port, model, log);
}

Result<std::unique_ptr<LockstepShadow>> make_kvm_shadow(ShadowPort& port, const cpu::CpuModel& model, Log& log,
                                                        bus::AddressSpace& space, LockstepMemory& memory) {
  std::unique_ptr<cpu::kvm::KvmVm> vm = TRY(cpu::kvm::KvmVm::create());
  std::unique_ptr<KvmVcpu> vcpu = TRY(KvmVcpu::create(*vm, 0));
  TRY(cpu::kvm::set_cpuid(*vm, vcpu->fd(), model, {.apic_id = 0, .tsc_frequency_hz = port.tsc_frequency_hz()}));
  return std::unique_ptr<LockstepShadow>(
      std::make_unique<KvmShadow>(port, model, log, std::move(vm), std::move(vcpu), space, memory));
}

}  // namespace xm::machine
