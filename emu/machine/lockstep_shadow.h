// SPDX-License-Identifier: GPL-2.0-or-later
// The shadow of a lockstep run: the second engine, which is brought to where the primary has come, on its own copy of
// memory. Every function returns an empty text, or what went differently.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cpu/state/cpu_state.h"
#include "cpu/system/cpuid.h"
#include "emu/base/log.h"
#include "emu/base/result.h"
#include "emu/machine/lockstep_port.h"

namespace xm::machine {

// Where the primary stands.
struct LockstepPoint {
  cpu::CpuState state;
  u64 instructions = 0;  // that it has retired since the last synchronisation point
};

class LockstepShadow {
 public:
  virtual ~LockstepShadow() = default;
  virtual const char* name() const = 0;
  virtual void get_state(cpu::CpuState& state) = 0;
  virtual std::string set_state(const cpu::CpuState& state) = 0;
  // Runs up to the point, consuming the notes of the primary's accesses on the way.
  virtual std::string run_to(const LockstepPoint& point) = 0;
  // One instruction (of a repeated one: as much as the engine does at once).
  virtual std::string step() = 0;
  // Pages of the copy that it wrote to since the last call; null pointers never. Empty if the engine does not know.
  virtual std::vector<u8*> take_written_pages() { return {}; }
  // False: the caller compares what the primary wrote only.
  virtual bool knows_written_pages() const { return false; }
  virtual void map_changed() {}
};

std::unique_ptr<LockstepShadow> make_interpreter_shadow(ShadowPort& port, const cpu::CpuModel& model, Log& log);
Result<std::unique_ptr<LockstepShadow>> make_kvm_shadow(ShadowPort& port, const cpu::CpuModel& model, Log& log,
                                                        bus::AddressSpace& space, LockstepMemory& memory);

}  // namespace xm::machine
