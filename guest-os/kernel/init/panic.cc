// SPDX-License-Identifier: GPL-2.0-or-later
// The end of the kernel: message, registers, symbolised stack, pvpanic (port 0x505, bit 0), then panic=: 0 stops, a
// positive number reboots after that many seconds, a negative one at once. Frame pointers are kept, so the stack is a
// linked list.
#include "kernel/arch/x86_64/bootinfo.h"
#include "kernel/arch/x86_64/ptrace.h"
#include "kernel/arch/x86_64/smp.h"
#include "kernel/init/printk.h"
#include "kernel/init/reboot.h"
#include "kernel/lib/format.h"
#include "kernel/lib/string.h"
#include "kernel/mm/layout.h"
#include "kernel/sched/clock.h"
#include "kernel/task/task_struct.h"

extern "C" {
extern char kernel_text[], kernel_text_end[];
[[gnu::weak]] extern const xm::os::u64 kallsyms_count;
[[gnu::weak]] extern const xm::os::u64 kallsyms_addresses[];
[[gnu::weak]] extern const char kallsyms_names[];
}

namespace xm::os {

void symbol_name(u64 address, char* text, size_t size) {
  const bool in_text =
      address >= reinterpret_cast<u64>(kernel_text) && address < reinterpret_cast<u64>(kernel_text_end);
  if (&kallsyms_count == nullptr || !in_text) {
    format(text, size, "%#lx", address);
    return;
  }
  u64 lo = 0, hi = kallsyms_count;
  while (hi - lo > 1) {
    const u64 mid = (lo + hi) / 2;
    (kallsyms_addresses[mid] <= address ? lo : hi) = mid;
  }
  const char* name = kallsyms_names;
  for (u64 i = 0; i < lo; ++i) name += strlen(name) + 1;
  format(text, size, "%s+%#lx", name, address - kallsyms_addresses[lo]);
}

void dump_stack(u64 frame) {
  printk(KERN_EMERG "Call trace:\n");
  for (int depth = 0; depth < 32 && frame >= kDirectMap && (frame & 7) == 0; ++depth) {
    const u64* words = reinterpret_cast<const u64*>(frame);
    const u64 next = words[0], address = words[1];
    if (address < kKernelBase) break;
    char name[128];
    symbol_name(address - 1, name, sizeof name);
    printk(KERN_EMERG "  %016lx %s\n", address, name);
    if (next <= frame || next - frame > 65536) break;
    frame = next;
  }
}

void show_regs(const pt_regs* r) {
  char name[128];
  symbol_name(r->rip, name, sizeof name);
  printk(KERN_EMERG "RIP: %04lx:%016lx %s\n", r->cs, r->rip, user_mode(r) ? "" : name);
  printk(KERN_EMERG "RSP: %04lx:%016lx EFLAGS: %08lx ORIG_RAX: %016lx\n", r->ss, r->rsp, r->eflags, r->orig_rax);
  printk(KERN_EMERG "RAX: %016lx RBX: %016lx RCX: %016lx\n", r->rax, r->rbx, r->rcx);
  printk(KERN_EMERG "RDX: %016lx RSI: %016lx RDI: %016lx\n", r->rdx, r->rsi, r->rdi);
  printk(KERN_EMERG "RBP: %016lx R08: %016lx R09: %016lx\n", r->rbp, r->r8, r->r9);
  printk(KERN_EMERG "R10: %016lx R11: %016lx R12: %016lx\n", r->r10, r->r11, r->r12);
  printk(KERN_EMERG "R13: %016lx R14: %016lx R15: %016lx\n", r->r13, r->r14, r->r15);
  printk(KERN_EMERG "CR0: %016lx CR2: %016lx CR3: %016lx CR4: %016lx\n", read_cr0(), read_cr2(), read_cr3(),
         read_cr4());
  if (!user_mode(r)) dump_stack(r->rbp);
}

void panic(const char* f, ...) {
  local_irq_disable();
  preempt_disable();
  const bool nested = panic_in_progress;
  panic_in_progress = true;
  char text[300];
  va_list args;
  va_start(args, f);
  format_v(text, sizeof text, f, args);
  va_end(args);
  printk(KERN_EMERG "Kernel panic - not syncing: %s\n", text);
  if (!nested) {
    const task_struct* task = current;
    if (task != nullptr) printk(KERN_EMERG "CPU: %u PID: %d Comm: %s\n", smp_processor_id(), task->pid, task->comm);
    dump_stack(reinterpret_cast<u64>(__builtin_frame_address(0)));
  }
  printk(KERN_EMERG "---[ end Kernel panic - not syncing: %s ]---\n", text);
  smp_stop_others();
  outb(0x505, 1);  // pvpanic: the guest has panicked
  char value[16];
  if (command_line_value("panic", value, sizeof value)) {
    const bool negative = value[0] == '-';
    const u64 seconds = parse_number(value + (negative ? 1 : 0), nullptr, 10);
    if (negative || seconds > 0) {
      if (!negative) udelay(seconds * 1000000);
      machine_restart();
    }
  }
  for (;;) asm volatile("cli; hlt");
}

}  // namespace xm::os
