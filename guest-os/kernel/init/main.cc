// SPDX-License-Identifier: GPL-2.0-or-later
// start_kernel: the order the course tells. Task 0 sets up traps, memory, scheduler, VFS; then it starts task 1
// (kernel_init, which becomes the user's init) and task 2 (kthreadd), and goes idle.
#include "kernel/arch/x86_64/acpi.h"
#include "kernel/arch/x86_64/bootinfo.h"
#include "kernel/arch/x86_64/cpu.h"
#include "kernel/arch/x86_64/irq.h"
#include "kernel/arch/x86_64/paging.h"
#include "kernel/arch/x86_64/smp.h"
#include "kernel/arch/x86_64/switch.h"
#include "kernel/drivers/random.h"
#include "kernel/drivers/tty.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/initramfs.h"
#include "kernel/fs/namei.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/memblock.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/softirq.h"
#include "kernel/syscall/calls.h"
#include "kernel/task/task_struct.h"
#include "kernel/time/timer.h"

extern "C" xm::os::initcall_t initcalls[], initcalls_end[];
extern "C" void (*init_array[])();
extern "C" void (*init_array_end[])();
extern "C" char init_stack_top[];

namespace xm::os {
namespace {

constinit completion kthreadd_started{};
constinit char init_path[256]{};

constinit const char* init_argv[34] = {nullptr};
constinit const char* init_envp[34] = {"HOME=/", "TERM=linux", nullptr};
char init_words[2048];

bool kernel_word(const char* w) {
  static const char* const known[] = {"root",      "rootfstype", "rootflags", "ro",       "rw",          "init",
                                      "rdinit",    "console",    "quiet",     "loglevel", "panic",       "mem",
                                      "maxcpus",   "nosmp",      "noapic",    "nolapic",  "acpi",        "debug",
                                      "video",     "nosmap",     "noxsave",   "nosmep",   "earlyprintk", "rootwait",
                                      "rootdelay", "BOOT_IMAGE", "initrd",    "initrdmem"};
  size_t n = 0;
  while (w[n] != 0 && w[n] != '=') ++n;
  for (const char* k : known) {
    if (strlen(k) == n && strncmp(k, w, n) == 0) return true;
  }
  return memchr(w, '.', n) != nullptr;  // module.parameter
}

// Words the kernel does not know go to init: with '=' into its environment, others as arguments. Everything after "--"
// is an argument.
void collect_init_words() {
  copy_string(init_words, boot_info.command_line, sizeof init_words);
  u32 argc = 1, envc = 2;
  bool after_dashes = false;
  for (char* at = init_words; *at != 0;) {
    while (*at == ' ') ++at;
    if (*at == 0) break;
    char* end = at;
    while (*end != 0 && *end != ' ') ++end;
    const bool more = *end != 0;
    *end = 0;
    if (!after_dashes && strcmp(at, "--") == 0) {
      after_dashes = true;
    } else if (after_dashes || !kernel_word(at)) {
      const bool assignment = !after_dashes && strchr(at, '=') != nullptr;
      if (assignment && envc < 32) init_envp[envc++] = at;
      if (!assignment && argc < 32) init_argv[argc++] = at;
    }
    at = more ? end + 1 : end;
  }
}

int run_init(const char* path_name) {
  init_argv[0] = path_name;
  printk(KERN_INFO "Run %s as init process\n", path_name);
  return do_execve_kernel(path_name, init_argv, init_envp);
}

bool exists(const char* name) {
  path p;
  if (kern_path(name, LOOKUP_FOLLOW, p) != 0) return false;
  path_put(p);
  return true;
}

// stdin, stdout and stderr of init are the console.
void open_console() {
  do_mkdirat(AT_FDCWD, "/dev", 0755);
  if (!exists("/dev/console")) do_mknodat(AT_FDCWD, "/dev/console", S_IFCHR | 0600, make_dev(5, 1));
  auto f = filp_open("/dev/console", O_RDWR, 0);
  if (!f.ok()) {
    printk(KERN_WARNING "Warning: unable to open an initial console (error %d)\n", f.error());
    return;
  }
  for (int i = 0; i < 3; ++i) receive_fd(i == 0 ? f.value() : get_file(f.value()), 0);
}

int kernel_init(void*) {
  wait_for_completion(kthreadd_started);
  copy_string(current->comm, "init", sizeof current->comm);
  softirq_init();
  smp_init();
  for (initcall_t* call = initcalls; call < initcalls_end; ++call) (*call)();
  unpack_initramfs();
  collect_init_words();
  char word[256];
  const bool rdinit = command_line_value("rdinit", word, sizeof word);
  const char* early = rdinit ? word : "/init";
  const bool has_root = command_line_value("root", init_path, sizeof init_path);
  const bool from_initramfs = exists(early);
  if (!from_initramfs && has_root) prepare_root(init_path);
  open_console();
  current->signal->flags |= SIGNAL_UNKILLABLE;
  if (from_initramfs) {
    const bool asked = command_line_value("init", init_path, sizeof init_path);
    const char* name = !rdinit && asked && !has_root && exists(init_path) ? init_path : early;
    const int error = run_init(name);
    if (error == 0) return 0;
    printk(KERN_ERR "Failed to execute %s (error %d)\n", name, error);
  }
  if (command_line_value("init", init_path, sizeof init_path)) {
    const int error = run_init(init_path);
    if (error == 0) return 0;
    panic("Requested init %s failed (error %d).", init_path, error);
  }
  static const char* const candidates[] = {"/sbin/init", "/etc/init", "/bin/init", "/bin/sh"};
  for (const char* name : candidates) {
    if (exists(name) && run_init(name) == 0) return 0;
  }
  panic("No working init found. Try passing init= option to kernel.");
}

int kthreadd_entry(void* p) {
  complete(kthreadd_started);
  return kthreadd(p);
}

[[noreturn]] void rest_init() {
  kernel_thread(kernel_init, nullptr, CLONE_FS);
  kernel_thread(kthreadd_entry, nullptr, CLONE_FS | CLONE_FILES);
  preempt_disable();
  cpu_idle_loop();
}

// In the order they stand: the last word wins.
void parse_loglevel() {
  const auto is = [](const char* at, const char* word, size_t n) {
    return strncmp(at, word, n) == 0 && (at[n] == 0 || at[n] == ' ');
  };
  for (const char* at = boot_info.command_line; *at != 0;) {
    if (is(at, "quiet", 5)) console_loglevel = 4;
    if (is(at, "debug", 5)) console_loglevel = 8;
    if (strncmp(at, "loglevel=", 9) == 0) console_loglevel = static_cast<int>(parse_number(at + 9, nullptr, 10));
    while (*at != 0 && *at != ' ') ++at;
    while (*at == ' ') ++at;
  }
}

}  // namespace

extern "C" [[noreturn]] void start_kernel(u32 protocol, phys_addr_t info) {
  Cpu* cpu = &cpus[0];
  cpu->self = cpu;
  cpu->running = &init_task;
  cpu->preempt_count = 0;
  detect_cpu();
  cpu_init(cpu);
  set_kernel_stack(cpu, reinterpret_cast<u64>(init_stack_top));
  for (void (**ctor)() = init_array; ctor < init_array_end; ++ctor) (*ctor)();
  collect_boot_info(protocol, info);
  apply_cpu_words();
  parse_loglevel();
  serial_early_init();
  printk(KERN_NOTICE "Linux version %s (xiaoma) %s\n", UTSNAME_RELEASE, kUtsVersion);
  printk(KERN_INFO "Command line: %s\n", boot_info.command_line);
  memblock_init();
  paging_init();
  mem_init();
  kmem_cache_init();
  mm_init();
  fpu_init();
  cred_init();
  fork_init();
  sched_init();
  acpi_init();
  irq_init();
  cpu->apic_id = lapic_present() ? lapic_id() : 0;
  cpu->online = true;
  time_init();
  random_init();
  local_irq_enable();
  fs_init();
  tty_init();
  serial_init();
  vt_init();
  mem_devices_init();
  pty_init();
  init_task.files = files_alloc();
  rest_init();
}

}  // namespace xm::os
