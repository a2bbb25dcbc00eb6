// SPDX-License-Identifier: GPL-2.0-or-later
// LockstepEngine: `-lockstep A,B`: the guest runs on two engines from the same state and with the same inputs. The
// interpreter leads, because it can stop anywhere and undo a stretch; the other one (the shadow) is brought to every
// place where the primary stops: device accesses, halts, reads of clocks and random numbers, delivery of an interrupt,
// a full stretch. There all registers and every page that either has written are compared. On a difference both go back
// to the last place where they agreed and walk from there one instruction at a time. docs/engines.md describes what is
// compared.
//
// Devices act only while both engines stand at the same instruction: the engine holds the machine lock while it runs.
// One vCPU. GAP: SMP.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cpu/interp/interpreter.h"
#include "emu/machine/config.h"
#include "emu/machine/lockstep_shadow.h"

namespace xm::machine {

struct LockstepWorld {
  std::mutex& lock;  // the machine lock
  bus::AddressSpace& memory;
  const cpu::CpuModel& model;
  Log& log;
  // A difference was found: the text says where and what. On the vCPU's thread, without the lock.
  std::function<void(const std::string& report)> differs;
};

class LockstepEngine final : public cpu::Engine {
 public:
  static Result<std::unique_ptr<LockstepEngine>> create(const LockstepConfig& config, cpu::BusPort& port,
                                                        LockstepWorld world);
  ~LockstepEngine() override;

  const char* name() const override { return "lockstep"; }
  cpu::Exit run(cpu::Budget budget) override;
  void get_state(cpu::CpuState& state) override { primary_.get_state(state); }
  void set_state(const cpu::CpuState& state) override;
  cpu::Signals& signals() override { return signals_; }
  // Devices report every write (LockstepMemory): the copy gets it too.
  void code_written(GuestPhys address, u64 size_bytes) override;
  u64 instructions() const override { return primary_.instructions(); }
  std::vector<cpu::EngineCount> counts() const override;

  // For tests of the mechanism itself: called after every instruction of the primary.
  void set_fault_injector(std::function<void(cpu::Vcpu&)> injector) { injector_ = std::move(injector); }

 private:
  struct Counts {
    std::atomic<u64> compared{0}, stretches{0}, adopted{0}, flags{0};
  };
  enum class Stop : u8 { Access, Clock, Sleep, Stretch };

  LockstepEngine(const LockstepConfig& config, cpu::BusPort& port, LockstepWorld world);
  Result<void> make_shadow();
  Stop run_primary();
  void step_primary();
  const u8* next_opcode();
  bool next_is_unpredictable();
  bool interrupt_deliverable();
  bool stepping();
  void set_point(u64 instructions);
  std::string follow(Stop stop);
  std::string adopt_next();
  std::string compare(bool with_memory);
  std::string compare_memory();
  void synchronised();
  void deliver_interrupt();
  std::string narrow(const std::string& first);
  void go_back();
  std::string describe(const std::string& what);
  bool handle_signals(cpu::Exit& exit);
  bool seldom_visited();
  void give_turn(std::unique_lock<std::mutex>& lock);

  const LockstepConfig config_;
  std::optional<u64> step_from_;
  LockstepWorld world_;
  cpu::BusPort& map_;
  PrimaryPort primary_port_;
  cpu::interp::Interpreter primary_;
  std::unique_ptr<LockstepMemory> memory_;
  std::unique_ptr<ShadowPort> shadow_port_;
  std::unique_ptr<LockstepShadow> shadow_;
  std::function<void(cpu::Vcpu&)> injector_;
  cpu::Signals signals_;
  cpu::CpuState start_;  // at the last synchronisation point
  u64 stretch_ = 0;      // instructions since then
  LockstepPoint point_;  // where the shadow has to come to
  std::vector<u8*> stretch_pages_;
  std::deque<DeviceAccess> stretch_accesses_;
  u64 code_page_key_ = ~u64{0};  // of the cached translation of RIP
  const u8* code_page_ = nullptr;
  u64 code_page_cr3_ = 0;
  bool differed_ = false;
  std::array<u32, 4096> visits_{};  // of addresses, in this stretch
  i64 last_turn_ns_ = 0;
  Counts counts_;
};

}  // namespace xm::machine
