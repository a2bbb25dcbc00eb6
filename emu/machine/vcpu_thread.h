// SPDX-License-Identifier: GPL-2.0-or-later
// VcpuThread: one virtual CPU on its own host thread. It implements what the CPU asks of the world (BusPort) on the
// board's address space, ports and interrupt controllers, and what the interrupt controllers ask of a CPU (CpuPins).
//
// The thread runs the engine until it exits, sleeps while the CPU is halted, and parks while the machine is stopped.
// Devices are reached under the machine lock; RAM without it.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "cpu/engine.h"
#include "emu/bus/address_space.h"
#include "emu/bus/guest_memory.h"
#include "emu/bus/interrupt_source.h"
#include "emu/bus/port_space.h"
#include "emu/bus/virtual_clock.h"
#include "emu/machine/instruction_clock.h"

namespace xm::machine {

// The local APIC as the CPU core sees it; the board implements it on its devices. Machine lock held.
class ApicPort {
 public:
  virtual int acknowledge(unsigned cpu) = 0;  // vector, or -1
  virtual u8 tpr(unsigned cpu) = 0;           // CR8 value
  virtual void set_tpr(unsigned cpu, u8 cr8) = 0;
  virtual u64 apic_base(unsigned cpu) = 0;
  virtual bool set_apic_base(unsigned cpu, u64 value) = 0;
  virtual bool x2apic_read(unsigned cpu, u32 msr, u64& value) = 0;
  virtual bool x2apic_write(unsigned cpu, u32 msr, u64 value) = 0;
  virtual u64 tsc_deadline(unsigned cpu) = 0;
  virtual void set_tsc_deadline(unsigned cpu, u64 deadline, u64 tsc_now) = 0;
  virtual bool mmio(unsigned cpu, u64 address, unsigned size_bytes, u64& value, bool write) = 0;  // false: not the APIC
  virtual void set_ferr(bool level) = 0;

 protected:
  ~ApicPort() = default;
};

// Hears of every write to an I/O port; on the vCPU's thread, machine lock held, before the device does.
class PortWatch {
 public:
  virtual void port_written(unsigned vcpu, Port port, u32 value) = 0;

 protected:
  ~PortWatch() = default;
};

struct VcpuWorld {
  std::mutex& lock;  // the machine lock
  bus::AddressSpace& memory;
  bus::PortSpace& ports;
  const bus::VirtualClock& clock;
  ApicPort& apic;
  u64 tsc_frequency_hz;
  bool host_tsc;  // the time-stamp counter is the host's own
  // With -icount: guest time, and what makes everything that is due happen now (machine lock held). Else null.
  InstructionClock* instruction_clock = nullptr;
  std::function<void()> settle;
  // Tells every other vCPU of a write to a page with decoded code.
  std::function<void(unsigned from, GuestPhys, u64)> code_written;
  // Engine exits that are the machine's business (Shutdown, Debug, Unimplemented, Budget); on the vCPU's thread.
  std::function<void(unsigned cpu, const cpu::Exit&)> exited;
};

class VcpuThread final : public cpu::BusPort, public bus::CpuPins, private bus::AddressSpaceListener {
 public:
  VcpuThread(unsigned index, VcpuWorld world);
  ~VcpuThread() override;

  cpu::Engine& engine() { return *engine_; }
  // The engine of this name, if add_engine() has been given one.
  cpu::Engine* find_engine(std::string_view name);
  // The first one becomes the current engine.
  void add_engine(std::unique_ptr<cpu::Engine> engine);
  // Goes on with another of its engines: state, pins and watch move over. Parked, machine lock held.
  void use_engine(cpu::Engine& engine);
  // Sets or (nullptr) ends the watching of instructions; kept over changes of the engine. False: the current engine can
  // not be watched. Parked or not yet started.
  bool set_watch(cpu::InstructionWatch* watch);
  // Makes the CPU park itself at its next instruction boundary. On its own thread, from a PortWatch.
  void hold();
  void start_thread();
  // Parks the CPU between two instructions and waits until it is there. Not on a vCPU thread, not with the lock held.
  void park();
  void unpark();
  void quit();  // ends and joins the thread
  // The host's number of this thread (gettid); 0 before it runs.
  int host_thread_id() const { return host_thread_id_.load(); }
  // With -icount: the thread is between two halts, and runs timers and outcomes itself.
  bool counting() const { return counting_.load(); }
  // It does so at this moment, and will look at the nearest deadline afterwards.
  bool settling() const { return settling_.load(); }
  // CPU time this thread has used so far.
  i64 cpu_time_ns();
  // After the next unpark() the thread executes one instruction and tells the machine (ExitKind::Debug).
  void step_next() { step_wanted_ = true; }
  // After the next unpark() the instruction under a breakpoint is executed before the CPU runs on.
  void pass_breakpoint() { pass_breakpoint_ = true; }
  void set_port_watch(PortWatch* watch) { port_watch_ = watch; }      // while the CPU is parked
  void set_switch_watch(PortWatch* watch) { switch_watch_ = watch; }  // likewise; for the engine switch
  void set_budget(u64 instructions) { budget_ = instructions; }

  // CpuPins
  void set_intr(bool level) override;
  void raise_nmi() override { signal(cpu::Signals::kNmi); }
  void raise_smi() override { signal(cpu::Signals::kSmi); }
  void raise_init() override { signal(cpu::Signals::kInit); }
  void raise_sipi(u8 vector) override;

  // BusPort
  cpu::PhysPage resolve_page(GuestPhys page) override;
  u64 mmio_read(GuestPhys address, unsigned size_bytes) override;
  void mmio_write(GuestPhys address, u64 value, unsigned size_bytes) override;
  u32 port_read(Port port, unsigned size_bytes) override;
  void port_write(Port port, u32 value, unsigned size_bytes) override;
  int acknowledge_interrupt() override;
  Nanos now() override { return world_.clock.now(); }
  u64 tsc_frequency_hz() const override { return world_.tsc_frequency_hz; }
  u64 tsc_ticks() override;
  u8 tpr() override;
  void set_tpr(u8 cr8) override;
  u64 apic_base() override;
  bool set_apic_base(u64 value) override;
  bool x2apic_read(u32 msr, u64& value) override;
  bool x2apic_write(u32 msr, u64 value) override;
  u64 tsc_deadline() override;
  void set_tsc_deadline(u64 deadline, u64 tsc_now) override;
  u32 apic_id() override { return index_; }
  void code_written(GuestPhys address, unsigned size_bytes) override;
  void set_ferr(bool level) override;
  u64 random() override;

 private:
  void map_changed(const bus::FlatView& view) override;
  void signal(u32 mask);
  void loop();
  cpu::Exit run_engine();
  cpu::Exit run_by_instructions();
  u64 budget_left() const;
  void park_here();
  void sleep_until_signal(u32 seen);

  const unsigned index_;
  VcpuWorld world_;
  bus::AddressSpace::Reader reader_;
  std::vector<std::unique_ptr<cpu::Engine>> engines_;
  cpu::Engine* engine_ = nullptr;  // the current one
  cpu::InstructionWatch* watch_ = nullptr;
  u64 budget_ = ~u64{0};
  PortWatch* port_watch_ = nullptr;
  PortWatch* switch_watch_ = nullptr;
  std::atomic<bool> counting_{false}, settling_{false};
  u64 random_state_ = 0;  // with -icount
  std::atomic<int> host_thread_id_{0};
  bool step_wanted_ = false, pass_breakpoint_ = false;

  std::mutex park_mutex_;
  std::condition_variable park_changed_;
  bool park_wanted_ = true;
  bool parked_ = false;
  bool quit_ = false;
  std::thread thread_;
};

}  // namespace xm::machine
