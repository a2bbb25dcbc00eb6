// SPDX-License-Identifier: GPL-2.0-or-later
// Hardware task switches between 16- and 32-bit TSSs. [SDM3 7.3, tables 7-1, 7-2]
#pragma once

#include "cpu/system/descriptor.h"

namespace xm::cpu::system {

enum class TaskSwitchReason : u8 { Jump, Call, Gate, Iret };  // Gate: interrupt or exception through a task gate

struct TaskSwitch {
  u16 selector = 0;
  Descriptor descriptor;
  TaskSwitchReason reason = TaskSwitchReason::Jump;
  u32 ext = 0;         // EXT bit of error codes
  u64 return_rip = 0;  // goes to the old TSS
  u64 flags = 0;       // RFLAGS that go to the old TSS
};

// Reads the descriptor of a TSS that a jump, call or gate may switch to: in the GDT, available, present.
[[nodiscard]] bool read_available_tss(Vcpu& cpu, u16 selector, Vector vector, u32 ext, Descriptor& descriptor);

// Faults before the point of no return leave the old task; later ones belong to the new task (state is then its own).
[[nodiscard]] bool switch_task(Vcpu& cpu, const TaskSwitch& request);

// JMP or CALL to a TSS or task gate descriptor, whose DPL has been checked.
[[nodiscard]] bool jump_to_task(Vcpu& cpu, u16 selector, const Descriptor& descriptor, TaskSwitchReason reason,
                                u64 return_rip);
// IRET with NT set: back to the task in the link field.
[[nodiscard]] bool return_to_previous_task(Vcpu& cpu, u64 return_rip);

}  // namespace xm::cpu::system
