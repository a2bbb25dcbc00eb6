// SPDX-License-Identifier: GPL-2.0-or-later
// Faults on demand, so that tests see the kernel's guards work: a word written to
// /sys/kernel/debug/provoke-crash/DIRECT, and the letters of /proc/sysrq-trigger. [Linux
// Documentation/fault-injection/provoke-crashes.rst, admin-guide/sysrq.rst]
#include "kernel/arch/x86_64/asm.h"
#include "kernel/arch/x86_64/ptrace.h"
#include "kernel/fs/fs.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/init/reboot.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/reclaim.h"
#include "kernel/mm/vmalloc.h"
#include "kernel/signal/signal.h"
#include "kernel/task/task_struct.h"

extern "C" char kernel_text[];

namespace xm::os {
namespace {

constexpr u32 kConstants[4] = {1, 2, 3, 4};

// Each call keeps a part of the stack; nothing may be folded away.
[[gnu::noinline]] u64 recurse(u64 depth) {
  volatile u64 block[32];
  block[depth % 32] = depth;
  if (depth == 0) return block[0];
  return recurse(depth - 1) + block[depth % 32];
}

// Calls, not jumps: the caller must be seen in the trace.
void keep_frame() { asm volatile("" : : : "memory"); }
[[gnu::noinline]] void run_at(u64 address) {
  reinterpret_cast<void (*)()>(address)();
  keep_frame();
}

void exhaust_stack() {
  printk(KERN_INFO "the stack ends at %#lx\n", reinterpret_cast<u64>(current->stack));
  printk(KERN_INFO "%lu\n", recurse(kKernelStackSize));
}
void write_constant() { *const_cast<volatile u32*>(kConstants) = 5; }
void write_text() { *reinterpret_cast<volatile u8*>(kernel_text + 16) = 0xcc; }
void run_data() {
  u8* page = static_cast<u8*>(vmalloc(kPageSize));
  page[0] = 0xc3;
  run_at(reinterpret_cast<u64>(page));
  keep_frame();
}
// The text of the running program: SMEP forbids to run it, SMAP to read it, without the door of uaccess.h.
u64 user_page() { return current->mm->start_code & ~0xffful; }
void run_user() {
  run_at(user_page() + 0x1000);
  keep_frame();
}
void read_user() { printk(KERN_INFO "read %#x\n", *reinterpret_cast<volatile u8*>(user_page())); }
constinit volatile u64 null_address = 8;  // the compiler must not know
void write_null() { *reinterpret_cast<volatile u32*>(null_address) = 1; }
void do_panic() { panic("dumptest"); }
void do_bug() { BUG_ON(true); }

constexpr struct {
  const char* name;
  void (*function)();
} kWays[] = {{"PANIC", do_panic},
             {"BUG", do_bug},
             {"EXHAUST_STACK", exhaust_stack},
             {"WRITE_RO", write_constant},
             {"WRITE_KERN", write_text},
             {"EXEC_VMALLOC", run_data},
             {"EXEC_USERSPACE", run_user},
             {"ACCESS_USERSPACE", read_user},
             {"ACCESS_NULL", write_null}};

void show_ways(TextBuffer& out, void*) {
  for (const auto& w : kWays) out.print("%s\n", w.name);
}
int provoke(const char* text, size_t n, void*) {
  while (n > 0 && text[n - 1] == '\n') --n;
  for (const auto& w : kWays) {
    if (strlen(w.name) != n || strncmp(w.name, text, n) != 0) continue;
    w.function();
    return 0;
  }
  return -EINVAL;
}

void kill_all(int sig) {
  IrqGuard guard(tasklist_lock);
  for (task_struct* t : entries<&task_struct::tasks>(all_processes)) {
    if (t->pid != 1 && t->mm != nullptr) send_signal_locked_tasklist(sig, nullptr, t);
  }
}

int sysrq(const char* text, size_t, void*) {
  printk(KERN_INFO "sysrq: %c\n", text[0]);
  switch (text[0]) {
    case 'b': machine_restart();
    case 'o': machine_power_off();
    case 'c': panic("sysrq triggered crash");
    case 'e': kill_all(SIGTERM); return 0;
    case 'i': kill_all(SIGKILL); return 0;
    case 'f': out_of_memory(); return 0;
    case 's': wake_flusher(); return 0;
    case '0' ... '9': console_loglevel = text[0] - '0'; return 0;
    case 'm': printk(KERN_INFO "%lu of %lu pages are free\n", nr_free_pages(), total_ram_pages()); return 0;
    case 't': {
      IrqGuard guard(tasklist_lock);
      for (task_struct* t : entries<&task_struct::tasks>(all_processes))
        printk(KERN_INFO "task %-15s pid %d state %#x\n", t->comm, t->pid, t->state.load());
      return 0;
    }
    default: return 0;
  }
}

void provoke_init() {
  proc_create(&sysfs_root, "kernel/debug/provoke-crash/DIRECT", 0600, show_ways, provoke);
  proc_create(&proc_root, "sysrq-trigger", 0200, nullptr, sysrq);
}
FS_INITCALL(provoke_init);

}  // namespace
}  // namespace xm::os
