// SPDX-License-Identifier: GPL-2.0-or-later
// Other processors: start them, poke them, run a function on them, flush their TLBs.
#pragma once

#include "kernel/arch/x86_64/percpu.h"

namespace xm::os {

struct mm_struct;

void smp_init();         // starts the processors of the MADT (nosmp, maxcpus=)
void smp_stop_others();  // for panic and power off
void smp_send_reschedule(u32 cpu);
// Runs fn(argument) on each online processor in `mask` other than this one, and waits. Interrupts must be on.
void smp_call_function_mask(u64 mask, void (*fn)(void*), void* argument);
void smp_handle_call();

u64 cpu_online_mask();
inline bool cpu_online(u32 id) { return id < nr_cpus && cpus[id].online; }

// TLB: one page, a range, or all of user space of an mm on every processor that may hold it.
void flush_tlb_page(mm_struct* mm, u64 address);
void flush_tlb_range(mm_struct* mm, u64 start, u64 end);
void flush_tlb_mm(mm_struct* mm);
void flush_tlb_kernel();

}  // namespace xm::os
