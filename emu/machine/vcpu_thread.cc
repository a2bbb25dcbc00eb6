// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/vcpu_thread.h"

#include <pthread.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <utility>

namespace xm::machine {

using cpu::Signals;

VcpuThread::VcpuThread(unsigned index, VcpuWorld world)
    : index_(index), world_(std::move(world)), reader_(world_.memory) {}

VcpuThread::~VcpuThread() {
  quit();
  if (engine_ != nullptr) world_.memory.remove_listener(*this);
}

cpu::Engine* VcpuThread::find_engine(std::string_view name) {
  for (const auto& engine : engines_) {
    if (engine->name() == name) return engine.get();
  }
  return nullptr;
}

void VcpuThread::add_engine(std::unique_ptr<cpu::Engine> engine) {
  engines_.push_back(std::move(engine));
  if (engine_ != nullptr) return;
  engine_ = engines_.back().get();
  world_.memory.add_listener(*this);
}

void VcpuThread::use_engine(cpu::Engine& engine) {
  if (&engine == engine_) return;
  cpu::CpuState state;
  engine_->get_state(state);
  engine_->set_watch(nullptr);
  engine.set_state(state);
  engine.set_watch(watch_);
  Signals& old = engine_->signals();
  engine.signals().sipi_vector.store(old.sipi_vector.load());
  // Ranges of written code are the old engine's; the new one has just dropped all it knew.
  engine.signals().word.store((old.word.exchange(0) & ~Signals::kCodeWritten) | Signals::kMapChanged);
  engine_ = &engine;
}

bool VcpuThread::set_watch(cpu::InstructionWatch* watch) {
  watch_ = watch;
  return engine_->set_watch(watch) || watch == nullptr || engines_.size() > 1;
}

void VcpuThread::hold() {
  {
    const std::scoped_lock lock(park_mutex_);
    park_wanted_ = true;
  }
  signal(Signals::kStop);
}

#if defined(__x86_64__)
u64 VcpuThread::tsc_ticks() { return world_.host_tsc ? __builtin_ia32_rdtsc() : BusPort::tsc_ticks(); }
#else
u64 VcpuThread::tsc_ticks() { return BusPort::tsc_ticks(); }
#endif

void VcpuThread::start_thread() {
  thread_ = std::thread([this] {
    char name[16];
    std::snprintf(name, sizeof name, "vcpu%u", index_);
    ::pthread_setname_np(::pthread_self(), name);
    host_thread_id_ = ::gettid();
    loop();
  });
}

i64 VcpuThread::cpu_time_ns() {
  clockid_t clock{};
  timespec used{};
  if (!thread_.joinable() || ::pthread_getcpuclockid(thread_.native_handle(), &clock) != 0) return 0;
  ::clock_gettime(clock, &used);
  return i64{used.tv_sec} * 1'000'000'000 + used.tv_nsec;
}

void VcpuThread::quit() {
  if (!thread_.joinable()) return;
  {
    const std::scoped_lock lock(park_mutex_);
    quit_ = true;
    park_wanted_ = true;
  }
  park_changed_.notify_all();
  signal(Signals::kStop);
  thread_.join();
}

void VcpuThread::park() {
  std::unique_lock lock(park_mutex_);
  park_wanted_ = true;
  if (!thread_.joinable()) return;
  signal(Signals::kStop);
  park_changed_.wait(lock, [this] { return parked_; });
}

void VcpuThread::unpark() {
  {
    const std::scoped_lock lock(park_mutex_);
    park_wanted_ = false;
  }
  park_changed_.notify_all();
}

void VcpuThread::park_here() {
  std::unique_lock lock(park_mutex_);
  engine_->signals().clear(Signals::kStop);
  if (!park_wanted_) return;
  counting_ = false;
  parked_ = true;
  park_changed_.notify_all();
  park_changed_.wait(lock, [this] { return !park_wanted_ || quit_; });
  parked_ = false;
  if (!quit_) engine_->signals().clear(Signals::kStop);  // asked for while it was parked already
}

u64 VcpuThread::budget_left() const {
  const u64 done = engine_->instructions();
  return budget_ > done ? budget_ - done : 0;
}

cpu::Exit VcpuThread::run_engine() {
  if (world_.instruction_clock != nullptr) return run_by_instructions();
  return engine_->run({.instructions = budget_left()});
}

// From one timer to the next; an idle CPU's time is skipped. What is due happens between two runs of the engine, at
// instruction counts that depend on the guest alone.
cpu::Exit VcpuThread::run_by_instructions() {
  InstructionClock& clock = *world_.instruction_clock;
  clock.own(*engine_);
  counting_ = true;
  const auto settled_deadline = [&](bool idle) {
    const std::scoped_lock lock(world_.lock);
    settling_ = true;
    world_.settle();
    const Nanos deadline = world_.clock.next_deadline();
    if (idle && deadline != bus::VirtualClock::kNever) {
      clock.skip_to(deadline);
      world_.settle();
    }
    settling_ = false;
    return deadline;
  };
  for (;;) {
    const Nanos deadline = settled_deadline(false);
    const u64 until = deadline == bus::VirtualClock::kNever ? ~u64{0} : clock.instructions_until(deadline);
    const u64 left = budget_left();
    const cpu::Exit exit = engine_->run({.instructions = std::min(left, until)});
    if (exit.kind == cpu::ExitKind::Budget && until < left) continue;
    const bool asleep = exit.kind == cpu::ExitKind::Halt && settled_deadline(true) == bus::VirtualClock::kNever;
    if (exit.kind == cpu::ExitKind::Halt && !asleep) continue;
    // A stop that only asked for another look at the timers comes straight back here (park_here).
    if (exit.kind != cpu::ExitKind::Stop) counting_ = false;
    return exit;
  }
}

void VcpuThread::loop() {
  while (true) {
    park_here();
    {
      const std::scoped_lock lock(park_mutex_);
      if (quit_) return;
    }
    if (std::exchange(pass_breakpoint_, false)) static_cast<void>(engine_->step());
    const bool stepping = std::exchange(step_wanted_, false);
    cpu::Exit exit = stepping ? engine_->step() : run_engine();
    // A step of a CPU that is halted ends at once.
    if (stepping && exit.kind != cpu::ExitKind::Shutdown) exit.kind = cpu::ExitKind::Debug;
    switch (exit.kind) {
      case cpu::ExitKind::Stop: break;
      case cpu::ExitKind::Halt: sleep_until_signal(exit.blocked_signals); break;
      case cpu::ExitKind::Budget:
      case cpu::ExitKind::Shutdown:
      case cpu::ExitKind::Debug:
      case cpu::ExitKind::Unimplemented:
        world_.exited(index_, exit);
        // The machine decides what happens next; until it has parked or reset us there is nothing to run.
        sleep_until_signal(engine_->signals().load() & ~Signals::kStop);
        break;
    }
  }
}

// `seen` holds only what can not wake the CPU. It must not be older than the CPU's halt: a pin that was up before, was
// served and rises again would look like no change.
void VcpuThread::sleep_until_signal(u32 seen) { engine_->signals().word.wait(seen, std::memory_order_seq_cst); }

void VcpuThread::signal(u32 mask) {
  engine_->signals().set(mask);
  engine_->signals().word.notify_all();
  engine_->kick();
}

void VcpuThread::set_intr(bool level) {
  if (level)
    signal(Signals::kIntr);
  else
    engine_->signals().clear(Signals::kIntr);
}

void VcpuThread::raise_sipi(u8 vector) {
  engine_->signals().sipi_vector.store(vector);
  signal(Signals::kSipi);
}

void VcpuThread::map_changed(const bus::FlatView&) { signal(Signals::kMapChanged); }

cpu::PhysPage VcpuThread::resolve_page(GuestPhys page) {
  const bus::FlatRange* range = reader_.view().find(page.value);
  if (range == nullptr || page.value + kPageMask > range->last) return {};
  const u64 offset = page.value - range->first;
  cpu::PhysPage result;
  if (range->read.host != nullptr) result.read_host = range->read.host + offset;
  if (range->write.host != nullptr) {
    result.write_host = range->write.host + offset;
    result.marks = range->write.marks + offset / kPageSize;
  }
  // ROM: decoded code of a page that can not be written needs no mark. A range that is read from ROM but written to the
  // RAM below must not be written through the pointer that is read.
  return result;
}

u64 VcpuThread::mmio_read(GuestPhys address, unsigned size_bytes) {
  const bus::FlatRange* range = reader_.find(address.value);
  if (range != nullptr && range->read.host != nullptr && address.value + size_bytes - 1 <= range->last) {
    u64 value = 0;
    std::memcpy(&value, range->read.host + (address.value - range->first), size_bytes);
    return value;
  }
  const std::scoped_lock lock(world_.lock);
  u64 value = 0;
  if (world_.apic.mmio(index_, address.value, size_bytes, value, false)) return value;
  return bus::mmio_read(range, address.value, size_bytes);
}

void VcpuThread::mmio_write(GuestPhys address, u64 value, unsigned size_bytes) {
  const bus::FlatRange* range = reader_.find(address.value);
  if (range != nullptr && range->write.host != nullptr && address.value + size_bytes - 1 <= range->last) {
    std::memcpy(range->write.host + (address.value - range->first), &value, size_bytes);
    return;
  }
  const std::scoped_lock lock(world_.lock);
  if (world_.apic.mmio(index_, address.value, size_bytes, value, true)) return;
  bus::mmio_write(range, address.value, value, size_bytes);
}

u32 VcpuThread::port_read(Port port, unsigned size_bytes) {
  const std::scoped_lock lock(world_.lock);
  return world_.ports.read(port, size_bytes);
}

void VcpuThread::port_write(Port port, u32 value, unsigned size_bytes) {
  const std::scoped_lock lock(world_.lock);
  if (port_watch_ != nullptr) port_watch_->port_written(index_, port, value);
  if (switch_watch_ != nullptr) switch_watch_->port_written(index_, port, value);
  world_.ports.write(port, value, size_bytes);
}

int VcpuThread::acknowledge_interrupt() {
  const std::scoped_lock lock(world_.lock);
  return world_.apic.acknowledge(index_);
}

u8 VcpuThread::tpr() {
  const std::scoped_lock lock(world_.lock);
  return world_.apic.tpr(index_);
}

void VcpuThread::set_tpr(u8 cr8) {
  const std::scoped_lock lock(world_.lock);
  world_.apic.set_tpr(index_, cr8);
}

u64 VcpuThread::apic_base() {
  const std::scoped_lock lock(world_.lock);
  return world_.apic.apic_base(index_);
}

bool VcpuThread::set_apic_base(u64 value) {
  const std::scoped_lock lock(world_.lock);
  return world_.apic.set_apic_base(index_, value);
}

bool VcpuThread::x2apic_read(u32 msr, u64& value) {
  const std::scoped_lock lock(world_.lock);
  return world_.apic.x2apic_read(index_, msr, value);
}

bool VcpuThread::x2apic_write(u32 msr, u64 value) {
  const std::scoped_lock lock(world_.lock);
  return world_.apic.x2apic_write(index_, msr, value);
}

u64 VcpuThread::tsc_deadline() {
  const std::scoped_lock lock(world_.lock);
  return world_.apic.tsc_deadline(index_);
}

void VcpuThread::set_tsc_deadline(u64 deadline, u64 tsc_now) {
  const std::scoped_lock lock(world_.lock);
  world_.apic.set_tsc_deadline(index_, deadline, tsc_now);
}

void VcpuThread::code_written(GuestPhys address, unsigned size_bytes) {
  world_.code_written(index_, address, size_bytes);
}

void VcpuThread::set_ferr(bool level) {
  const std::scoped_lock lock(world_.lock);
  world_.apic.set_ferr(level);
}

u64 VcpuThread::random() {
  u64 value = 0;
  if (world_.instruction_clock != nullptr) {
    // The same sequence on every run: splitmix64.
    value = random_state_ += 0x9E3779B97F4A7C15;
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9;
    value = (value ^ value >> 27) * 0x94D049BB133111EB;
    return value ^ value >> 31;
  }
  static_cast<void>(!::getrandom(&value, sizeof value, 0));
  return value;
}

}  // namespace xm::machine
