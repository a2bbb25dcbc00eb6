// SPDX-License-Identifier: GPL-2.0-or-later
// Symmetric multiprocessing: INIT/SIPI start-up, call-function interrupts and TLB shoot-down. One call is in flight at
// a time; waiting for the slot polls for calls addressed to us, so that two processors flushing at once cannot block
// each other.
#include "kernel/arch/x86_64/smp.h"

#include "kernel/arch/x86_64/acpi.h"
#include "kernel/arch/x86_64/bootinfo.h"
#include "kernel/arch/x86_64/cpu.h"
#include "kernel/arch/x86_64/irq.h"
#include "kernel/arch/x86_64/paging.h"
#include "kernel/init/printk.h"
#include "kernel/lib/spinlock.h"
#include "kernel/lib/string.h"
#include "kernel/mm/mm_types.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/task/task_struct.h"
#include "kernel/time/timer.h"

extern "C" {
extern char trampoline_start[], trampoline_end[], trampoline_cr3[], trampoline_cr4[], trampoline_efer[],
    trampoline_stack[], trampoline_entry[];
}

namespace xm::os {
namespace {

constexpr phys_addr_t kTrampolinePage = 0x8000;
constinit Atomic<u32> starting_cpu{0};

struct Call {
  void (*fn)(void*);
  void* argument;
  Atomic<u64> waiting;  // processors that have not finished
};
constinit Call call{};
constinit spinlock_t call_lock{};

void poke_trampoline(const char* symbol, u64 v) {
  memcpy(static_cast<char*>(phys_to_virt(kTrampolinePage)) + (symbol - trampoline_start), &v, sizeof v);
}

extern "C" [[noreturn]] void secondary_start() {
  Cpu* cpu = &cpus[starting_cpu.load()];
  cpu_init(cpu);
  lapic_init_cpu();
  cpu->apic_id = lapic_id();
  cpu->loaded_mm = nullptr;
  timer_init_cpu();
  cpu->online = true;
  local_irq_enable();
  cpu_idle_loop();
}

bool start_cpu(u32 id) {
  Cpu* cpu = &cpus[id];
  cpu->self = cpu;
  cpu->id = id;
  cpu->apic_id = acpi_info.cpu_apic_ids[id];
  task_struct* idle = fork_idle(id);
  if (idle == nullptr) return false;
  cpu->idle = idle;
  cpu->running = idle;
  cpu->preempt_count = 1;
  const u64 top = reinterpret_cast<u64>(idle->stack) + kKernelStackSize;
  cpu->kernel_stack = cpu->tss.rsp0 = top;
  starting_cpu.store(id);
  poke_trampoline(trampoline_stack, top);
  lapic_send_init_sipi(cpu->apic_id, kTrampolinePage >> kPageShift);
  for (int ms = 0; ms < 1000 && !read_once(cpu->online); ++ms) udelay(1000);
  return cpu->online;
}

u32 wanted_cpus() {
  u32 n = max(acpi_info.cpu_count, 1u);
  char value[16];
  if (command_line_flag("nosmp")) n = 1;
  if (command_line_value("maxcpus", value, sizeof value))
    n = min(n, max(1u, static_cast<u32>(parse_number(value, nullptr, 10))));
  return lapic_present() ? n : 1;
}

void flush_local(void*) {
  const u64 cr4 = read_cr4();
  if ((cr4 & 1ul << 7) != 0) {  // toggling PGE drops global entries too
    write_cr4(cr4 & ~(1ul << 7));
    write_cr4(cr4);
  } else {
    write_cr3(read_cr3());
  }
}
struct FlushRequest {
  mm_struct* mm;
  u64 start, end;
};
void flush_request(void* p) {
  const FlushRequest* r = static_cast<FlushRequest*>(p);
  if (this_cpu()->loaded_mm != r->mm) return;
  if (r->end - r->start > 32 * kPageSize) {
    write_cr3(read_cr3());
    return;
  }
  for (u64 a = r->start; a < r->end; a += kPageSize) invlpg(a);
}

}  // namespace

void smp_init() {
  // The boot processor is first in cpus[], wherever the MADT lists it.
  for (u32 i = 1; i < acpi_info.cpu_count; ++i) {
    if (acpi_info.cpu_apic_ids[i] == cpus[0].apic_id) swap(acpi_info.cpu_apic_ids[0], acpi_info.cpu_apic_ids[i]);
  }
  const u32 wanted = wanted_cpus();
  memcpy(phys_to_virt(kTrampolinePage), trampoline_start, static_cast<size_t>(trampoline_end - trampoline_start));
  poke_trampoline(trampoline_cr3, virt_to_phys(kernel_pgd));
  poke_trampoline(trampoline_cr4, read_cr4() & ~(1ul << 17 | 1ul << 20 | 1ul << 21));
  poke_trampoline(trampoline_efer, rdmsr(kMsrEfer) & 0xd01);
  poke_trampoline(trampoline_entry, reinterpret_cast<u64>(secondary_start));
  for (u32 id = 1; id < wanted; ++id) {
    if (!start_cpu(id)) {
      printk(KERN_ERR "smpboot: CPU %u did not start\n", id);
      break;
    }
    nr_cpus = id + 1;
  }
  kernel_pgd[0] = 0;  // no identity map from here on: a null pointer in the kernel faults
  flush_tlb_kernel();
  printk(KERN_INFO "smp: brought up %u CPU%s\n", nr_cpus, nr_cpus == 1 ? "" : "s");
}

u64 cpu_online_mask() {
  u64 mask = 0;
  for (u32 i = 0; i < nr_cpus; ++i) mask |= cpus[i].online ? 1ul << i : 0;
  return mask;
}

void smp_send_reschedule(u32 cpu) {
  if (lapic_present()) lapic_send_ipi(cpus[cpu].apic_id, kRescheduleVector);
}

void smp_handle_call() {
  const u64 bit = 1ul << smp_processor_id();
  if ((call.waiting.load() & bit) == 0) return;
  call.fn(call.argument);
  call.waiting.fetch_and(~bit);
}

void smp_call_function_mask(u64 mask, void (*fn)(void*), void* argument) {
  preempt_disable();
  mask &= cpu_online_mask() & ~(1ul << smp_processor_id());
  if (mask != 0) {
    while (!raw_spin_trylock(call_lock)) {
      const u64 flags = local_irq_save();
      smp_handle_call();
      local_irq_restore(flags);
      cpu_relax();
    }
    call.fn = fn;
    call.argument = argument;
    call.waiting.store(mask);
    for (u32 i = 0; i < nr_cpus; ++i) {
      if ((mask & 1ul << i) != 0) lapic_send_ipi(cpus[i].apic_id, kCallVector);
    }
    while (call.waiting.load() != 0) cpu_relax();
    raw_spin_unlock(call_lock);
  }
  preempt_enable();
}

void smp_stop_others() {
  for (u32 i = 0; i < nr_cpus; ++i) {
    if (i != smp_processor_id() && cpus[i].online) lapic_send_nmi(cpus[i].apic_id);  // do_paranoid halts during a panic
  }
}

void flush_tlb_range(mm_struct* mm, u64 start, u64 end) {
  FlushRequest r{mm, start, end};
  preempt_disable();
  flush_request(&r);
  const u64 others = mm->cpu_bitmap.load() & ~(1ul << smp_processor_id());
  if (others != 0) smp_call_function_mask(others, flush_request, &r);
  preempt_enable();
}
void flush_tlb_page(mm_struct* mm, u64 address) { flush_tlb_range(mm, address, address + kPageSize); }
void flush_tlb_mm(mm_struct* mm) { flush_tlb_range(mm, 0, kTaskSizeMax); }
void flush_tlb_kernel() {
  preempt_disable();
  flush_local(nullptr);
  smp_call_function_mask(~0ul, flush_local, nullptr);
  preempt_enable();
}

}  // namespace xm::os
