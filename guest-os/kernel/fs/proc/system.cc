// SPDX-License-Identifier: GPL-2.0-or-later
// The system-wide files of /proc and the skeleton of /sys. Formats: [man 5 proc].
#include "kernel/arch/x86_64/bootinfo.h"
#include "kernel/arch/x86_64/cpu.h"
#include "kernel/arch/x86_64/irq.h"
#include "kernel/drivers/random.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/namei.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/mm/buddy.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/vmalloc.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/softirq.h"
#include "kernel/signal/coredump.h"
#include "kernel/syscall/calls.h"
#include "kernel/task/pid.h"
#include "kernel/task/task_struct.h"
#include "kernel/time/timer.h"

namespace xm::os {
namespace {

u64 kb(VmStat s) { return static_cast<u64>(max<s64>(vm_stat[s].load(), 0)) * 4; }

void show_meminfo(TextBuffer& out, void*) {
  const u64 total = total_ram_pages() * 4, free = nr_free_pages() * 4, cached = kb(NR_FILE_PAGES) + kb(NR_SHMEM);
  const struct {
    const char* name;
    u64 value;
  } rows[] = {{"MemTotal", total},
              {"MemFree", free},
              {"MemAvailable", free + kb(NR_FILE_PAGES)},
              {"Buffers", 0},
              {"Cached", cached},
              {"SwapCached", 0},
              {"Active", kb(NR_ANON_PAGES)},
              {"Inactive", kb(NR_FILE_PAGES)},
              {"SwapTotal", 0},
              {"SwapFree", 0},
              {"Dirty", kb(NR_FILE_DIRTY)},
              {"Writeback", kb(NR_WRITEBACK)},
              {"AnonPages", kb(NR_ANON_PAGES)},
              {"Mapped", kb(NR_FILE_MAPPED)},
              {"Shmem", kb(NR_SHMEM)},
              {"KReclaimable", 0},
              {"Slab", kb(NR_SLAB)},
              {"SReclaimable", 0},
              {"SUnreclaim", kb(NR_SLAB)},
              {"KernelStack", static_cast<u64>(vm_stat[NR_KERNEL_STACK_KB].load())},
              {"PageTables", kb(NR_PAGETABLE)},
              {"CommitLimit", total / 2},
              {"Committed_AS", kb(NR_ANON_PAGES) + kb(NR_SHMEM)},
              {"VmallocTotal", 34359738367},
              {"VmallocUsed", vmalloc_used() * 4},
              {"VmallocChunk", 0}};
  for (const auto& r : rows) {
    out.print("%s:", r.name);
    for (size_t n = strlen(r.name) + 1; n < 16; ++n) out.put(' ');
    out.print("%8lu kB\n", r.value);
  }
  out.print("HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n");
}

void show_cpuinfo(TextBuffer& out, void*) {
  const CpuFeatures& f = cpu_features;
  for (u32 i = 0; i < nr_cpus; ++i) {
    out.print("processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\nstepping\t: %u\n",
              i, f.vendor, f.family, f.model, f.brand, f.stepping);
    out.print(
        "cpu MHz\t\t: %lu.%03lu\nphysical id\t: 0\nsiblings\t: %u\ncore id\t\t: %u\ncpu cores\t: %u\napicid\t\t: "
        "%u\nfpu\t\t: yes\nflags\t\t: ",
        tsc_khz() / 1000, tsc_khz() % 1000, nr_cpus, i, nr_cpus, cpus[i].apic_id);
    out.print("fpu tsc msr pae cx8 apic cmov fxsr sse sse2 syscall lm%s%s%s%s%s%s", f.nx ? " nx" : "",
              f.xsave ? " xsave" : "", f.smep ? " smep" : "", f.smap ? " smap" : "", f.fsgsbase ? " fsgsbase" : "",
              f.rdrand ? " rdrand" : "");
    out.print(
        "\nbogomips\t: %lu.00\nclflush size\t: 64\ncache_alignment\t: 64\naddress sizes\t: 40 bits physical, 48 bits "
        "virtual\n\n",
        tsc_khz() / 500);
  }
}

void show_stat(TextBuffer& out, void*) {
  const u64 tick = kNsPerSec / kUserHz;
  u64 user = 0, nice = 0, system = 0, idle = 0;
  for (u32 i = 0; i < nr_cpus; ++i) {
    user += runqueues[i].user_ns;
    nice += runqueues[i].nice_ns;
    system += runqueues[i].system_ns;
    idle += runqueues[i].idle_ns;
  }
  out.print("cpu  %lu %lu %lu %lu 0 0 0 0 0 0\n", user / tick, nice / tick, system / tick, idle / tick);
  u64 interrupts = 0;
  for (u32 i = 0; i < nr_cpus; ++i) {
    const rq& q = runqueues[i];
    out.print("cpu%u %lu %lu %lu %lu 0 0 0 0 0 0\n", i, q.user_ns / tick, q.nice_ns / tick, q.system_ns / tick,
              q.idle_ns / tick);
    interrupts += cpus[i].irq_count;
  }
  u32 blocked = 0;
  {
    IrqGuard guard(tasklist_lock);
    for (task_struct* t : entries<&task_struct::tasks>(all_processes)) {
      if ((t->state.load() & TASK_UNINTERRUPTIBLE) != 0 && t->exit_state == 0 && (t->flags & PF_KTHREAD) == 0)
        ++blocked;
    }
  }
  out.print("intr %lu\nctxt %lu\nbtime %lu\nprocesses %lu\nprocs_running %u\nprocs_blocked %u\nsoftirq 0\n", interrupts,
            nr_switches_total(), (ktime_get_real() - ktime_get()) / kNsPerSec, total_forks.load(), nr_running_total(),
            blocked);
}

void show_interrupts(TextBuffer& out, void*) {
  out.print("           ");
  for (u32 c = 0; c < nr_cpus; ++c) out.print("CPU%-8u", c);
  out.put('\n');
  for (u32 i = 0; i < kNrIrqs; ++i) {
    const irq_desc& d = irq_descs[i];
    if (d.action == nullptr) continue;
    out.print("%4u: ", i);
    for (u32 c = 0; c < nr_cpus; ++c) out.print("%10lu ", d.count[c]);
    out.print("  %s  ", d.chip);
    for (const irqaction* a = d.action; a != nullptr; a = a->next)
      out.print("%s%s", a->name, a->next != nullptr ? ", " : "");
    out.put('\n');
  }
  const struct {
    const char* name;
    u64 Cpu::*count;
    const char* text;
  } locals[] = {{" LOC", &Cpu::timer_ticks, "Local timer interrupts"},
                {" RES", &Cpu::ipi_resched, "Rescheduling interrupts"},
                {" CAL", &Cpu::ipi_call, "Function call interrupts"}};
  for (const auto& l : locals) {
    out.print("%s: ", l.name);
    for (u32 c = 0; c < nr_cpus; ++c) out.print("%10lu ", cpus[c].*l.count);
    out.print("  %s\n", l.text);
  }
}

void show_softirqs(TextBuffer& out, void*) {
  out.print("                    ");
  for (u32 c = 0; c < nr_cpus; ++c) out.print("CPU%-8u", c);
  out.put('\n');
  for (u32 i = 0; i < NR_SOFTIRQS; ++i) {
    out.print("%12s: ", softirq_names[i]);
    for (u32 c = 0; c < nr_cpus; ++c) out.print("%10lu ", softirq_counts[i][c]);
    out.put('\n');
  }
}

void show_loadavg(TextBuffer& out, void*) {
  for (const u64 a : avenrun) out.print("%lu.%02lu ", (a + 10) >> 11, (((a + 10) & 2047) * 100) >> 11);
  out.print("%u/%d %d\n", nr_running_total(), nr_threads.load(), last_pid);
}
void show_uptime(TextBuffer& out, void*) {
  u64 idle = 0;
  for (u32 i = 0; i < nr_cpus; ++i) idle += runqueues[i].idle_ns;
  const u64 up = ktime_get();
  out.print("%lu.%02lu %lu.%02lu\n", up / kNsPerSec, up % kNsPerSec / 10000000, idle / kNsPerSec,
            idle % kNsPerSec / 10000000);
}
void show_version(TextBuffer& out, void*) {
  out.print("Linux version %s (xiaoma) (g++) %s\n", UTSNAME_RELEASE, kUtsVersion);
}
void show_cmdline(TextBuffer& out, void*) { out.print("%s\n", boot_info.command_line); }
void show_filesystems(TextBuffer& out, void*) {
  for (const file_system_type* t = file_systems; t != nullptr; t = t->next)
    out.print("%s\t%s\n", (t->flags & FS_REQUIRES_DEV) != 0 ? "" : "nodev", t->name);
}
void show_devices(TextBuffer& out, void*) {
  out.print("Character devices:\n");
  for (const chrdev_range* r = chrdevs; r != nullptr; r = r->next) out.print("%3u %s\n", r->major, r->name);
  out.print("\nBlock devices:\n");
}
void show_swaps(TextBuffer& out, void*) { out.print("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"); }

void show_buddyinfo(TextBuffer& out, void*) {
  for (const zone& z : node_data.node_zones) {
    if (z.managed_pages == 0) continue;
    out.print("Node 0, zone %8s ", z.name);
    for (const free_area& a : z.areas) out.print("%6lu ", a.nr_free);
    out.put('\n');
  }
}
void show_zoneinfo(TextBuffer& out, void*) {
  for (const zone& z : node_data.node_zones) {
    if (z.managed_pages == 0) continue;
    out.print(
        "Node 0, zone %8s\n  pages free     %lu\n        min      %lu\n        low      %lu\n        high     %lu\n    "
        "    spanned  %lu\n        present  %lu\n        managed  %lu\n",
        z.name, z.free_pages, z.watermark_min, z.watermark_low, z.watermark_high, z.end_pfn - z.start_pfn,
        z.present_pages, z.managed_pages);
    out.print("  pagesets\n");
    for (u32 c = 0; c < nr_cpus; ++c)
      out.print("    cpu: %u\n              count: %u\n              high:  %u\n              batch: %u\n", c,
                z.pageset[c].count, kPcpHigh, kPcpBatch);
    out.print("  start_pfn:           %lu\n", z.start_pfn);
  }
}
void show_slabinfo(TextBuffer& out, void*) {
  out.print(
      "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : "
      "tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n");
  for (kmem_cache* c : entries<&kmem_cache::caches>(slab_caches)) {
    out.print("%-17s %6ld %6lu %6u %4u %4u : tunables    0    0    0 : slabdata %6lu %6lu      0\n", c->name,
              c->active_objects.load(), c->total_slabs * c->per_slab, c->size, c->per_slab, 1u << c->order,
              c->total_slabs, c->total_slabs);
  }
}
void show_vmstat(TextBuffer& out, void*) {
  static const char* const names[NR_VM_STATS] = {"nr_file_pages",
                                                 "nr_anon_pages",
                                                 "nr_mapped",
                                                 "nr_shmem",
                                                 "nr_slab_unreclaimable",
                                                 "nr_page_table_pages",
                                                 "nr_kernel_stack",
                                                 "nr_dirty",
                                                 "nr_writeback",
                                                 "pgfault",
                                                 "pgmajfault",
                                                 "pgalloc_normal",
                                                 "pgfree",
                                                 "pgpgin",
                                                 "pgpgout",
                                                 "oom_kill"};
  out.print("nr_free_pages %lu\n", nr_free_pages());
  for (u32 i = 0; i < NR_VM_STATS; ++i) out.print("%s %ld\n", names[i], vm_stat[i].load());
  out.print("pswpin 0\npswpout 0\n");
}

// --- /proc/sys ---
void show_text(TextBuffer& out, void* data) { out.print("%s\n", static_cast<const char*>(data)); }
using UtsName = char (uts_namespace::*)[65];
constinit UtsName uts_namespace_names[2] = {&uts_namespace::nodename, &uts_namespace::domainname};
void show_uts(TextBuffer& out, void* data) { out.print("%s\n", current->uts_ns->**static_cast<UtsName*>(data)); }
int store_uts(const char* text, size_t n, void* data) {
  if (!capable(CAP_SYS_ADMIN)) return -EPERM;
  while (n > 0 && text[n - 1] == '\n') --n;
  char name[65]{};
  memcpy(name, text, min<size_t>(n, 64));
  memcpy(current->uts_ns->**static_cast<UtsName*>(data), name, sizeof name);
  return 0;
}
void show_pid_max(TextBuffer& out, void*) { out.print("%d\n", pid_max); }
int store_pid_max(const char* text, size_t, void*) {
  const u64 v = parse_number(text, nullptr, 10);
  if (v < 301 || v > 4194304) return -EINVAL;
  pid_max = static_cast<pid_t>(v);
  return 0;
}
void show_printk(TextBuffer& out, void*) { out.print("%d\t4\t1\t7\n", console_loglevel); }
int store_printk(const char* text, size_t, void*) {
  const u64 v = parse_number(text, nullptr, 10);
  if (v < 1 || v > 8) return -EINVAL;
  console_loglevel = static_cast<int>(v);
  return 0;
}
int store_core_pattern(const char* text, size_t n, void*) {
  while (n > 0 && text[n - 1] == '\n') --n;
  memset(core_pattern, 0, sizeof core_pattern);
  memcpy(core_pattern, text, min(n, sizeof core_pattern - 1));
  return 0;
}
// 1: clean pages of files, 2: unused names and inodes, 3: both. [man 5 proc]
int store_drop_caches(const char* text, size_t, void*) {
  const u64 what = parse_number(text, nullptr, 10);
  if (what < 1 || what > 4) return -EINVAL;
  if ((what & 1) != 0) {
    for (int turn = 0; turn < 2; ++turn) shrink_page_cache(1ul << 40);
  }
  if ((what & 2) != 0) {
    shrink_dcache(~0ul);
    shrink_icache(~0ul);
  }
  return 0;
}
void show_uuid(TextBuffer& out, void* data) {
  u64* saved = static_cast<u64*>(data);
  u64 v[2];
  if (saved != nullptr && saved[0] != 0)
    memcpy(v, saved, 16);
  else
    get_random_bytes(v, 16);
  if (saved != nullptr) memcpy(saved, v, 16);
  out.print("%08lx-%04lx-4%03lx-%04lx-%012lx\n", v[0] >> 32, (v[0] >> 16) & 0xffff, v[0] & 0xfff,
            (v[1] >> 48 & 0x3fff) | 0x8000, v[1] & 0xffffffffffff);
}
constinit u64 boot_uuid[2]{};

}  // namespace
extern s64 dirty_background_ratio, dirty_ratio;  // mm/writeback.cc
namespace {
constinit s64 numbers[16] = {CAP_LAST_CAP,        65536, 1048576, 0, 50, 60, 0, 2, 0, 256, 10, 20, 0, 32000,
                             9223372036854775807, 0};
constinit proc_number number_rows[16] = {{&numbers[0], 0, 0},
                                         {&numbers[1], 0, 0},
                                         {&numbers[2], 1, 1048576},
                                         {&numbers[3], 0, 2},
                                         {&numbers[4], 0, 100},
                                         {&numbers[5], 0, 200},
                                         {&numbers[6], 0, 1},
                                         {&numbers[7], 0, 2},
                                         {&numbers[8], 0, 1},
                                         {&numbers[9], 0, 1 << 20},
                                         {&dirty_background_ratio, 0, 100},
                                         {&dirty_ratio, 0, 100},
                                         {&numbers[12], 0, 2},
                                         {&numbers[13], 1, 1 << 20},
                                         {&numbers[14], 0, 9223372036854775807},
                                         {&numbers[15], -1, 2}};

void create_sysctls() {
  static const char* const names[16] = {"sys/kernel/cap_last_cap",
                                        "sys/kernel/ngroups_max",
                                        "sys/fs/nr_open",
                                        "sys/vm/overcommit_memory",
                                        "sys/vm/overcommit_ratio",
                                        "sys/vm/swappiness",
                                        "sys/vm/laptop_mode",
                                        "sys/kernel/randomize_va_space",
                                        "sys/kernel/sched_autogroup_enabled",
                                        "sys/kernel/sched_child_runs_first",
                                        "sys/vm/dirty_background_ratio",
                                        "sys/vm/dirty_ratio",
                                        "sys/kernel/kptr_restrict",
                                        "sys/kernel/threads-max",
                                        "sys/fs/file-max",
                                        "sys/vm/panic_on_oom"};
  for (u32 i = 0; i < 16; ++i) proc_create_number(names[i], i < 2 ? 0444 : 0644, &number_rows[i]);
  proc_create(&proc_root, "sys/kernel/hostname", 0644, show_uts, store_uts, &uts_namespace_names[0]);
  proc_create(&proc_root, "sys/kernel/domainname", 0644, show_uts, store_uts, &uts_namespace_names[1]);
  proc_create(&proc_root, "sys/kernel/osrelease", 0444, show_text, nullptr, const_cast<char*>(UTSNAME_RELEASE));
  proc_create(&proc_root, "sys/kernel/ostype", 0444, show_text, nullptr, const_cast<char*>("Linux"));
  proc_create(&proc_root, "sys/kernel/version", 0444, show_text, nullptr, const_cast<char*>(kUtsVersion));
  proc_create(&proc_root, "sys/kernel/pid_max", 0644, show_pid_max, store_pid_max);
  proc_create(&proc_root, "sys/kernel/printk", 0644, show_printk, store_printk);
  proc_create(&proc_root, "sys/kernel/core_pattern", 0644, show_text, store_core_pattern, core_pattern);
  static constinit proc_number uses_pid{&core_uses_pid, 0, 1};
  proc_create_number("sys/kernel/core_uses_pid", 0644, &uses_pid);
  proc_create(
      &proc_root, "sys/vm/drop_caches", 0200, [](TextBuffer&, void*) {}, store_drop_caches);
  static constinit s64 tainted = 0, entropy = 256;
  static constinit proc_number fixed[] = {{&tainted, 0, 1l << 18}, {&entropy, 0, 256}};
  proc_create_number("sys/kernel/tainted", 0644, &fixed[0]);
  proc_create_number("sys/kernel/random/entropy_avail", 0444, &fixed[1]);
  proc_create_number("sys/kernel/random/poolsize", 0444, &fixed[1]);
  proc_create(&proc_root, "sys/kernel/random/uuid", 0444, show_uuid);
  proc_create(&proc_root, "sys/kernel/random/boot_id", 0444, show_uuid, nullptr, boot_uuid);
}

void create_files() {
  static const struct {
    const char* name;
    umode_t mode;
    proc_show_t show;
  } rows[] = {{"buddyinfo", 0400, show_buddyinfo},
              {"cmdline", 0444, show_cmdline},
              {"cpuinfo", 0444, show_cpuinfo},
              {"devices", 0444, show_devices},
              {"filesystems", 0444, show_filesystems},
              {"interrupts", 0444, show_interrupts},
              {"loadavg", 0444, show_loadavg},
              {"meminfo", 0444, show_meminfo},
              {"slabinfo", 0400, show_slabinfo},
              {"softirqs", 0444, show_softirqs},
              {"stat", 0444, show_stat},
              {"swaps", 0444, show_swaps},
              {"uptime", 0444, show_uptime},
              {"version", 0444, show_version},
              {"vmstat", 0444, show_vmstat},
              {"zoneinfo", 0444, show_zoneinfo}};
  for (const auto& r : rows) proc_create(&proc_root, r.name, r.mode, r.show);
  proc_symlink(&proc_root, "mounts", "self/mounts");
  proc_symlink(&proc_root, "self", "self");
  proc_symlink(&proc_root, "thread-self", "thread-self");
  create_sysctls();
  static const char* const sys_dirs[] = {"block",    "bus", "class",  "dev",    "devices",
                                         "firmware", "fs",  "kernel", "module", "power"};
  for (const char* d : sys_dirs) proc_mkdir(&sysfs_root, d);
}
FS_INITCALL(create_files);

void mount_options(TextBuffer& out, const vfsmount* m) {
  out.print("%s", mnt_read_only(m) ? "ro" : "rw");
  static const struct {
    u32 flag;
    const char* text;
  } flags[] = {{MNT_NOSUID, ",nosuid"},   {MNT_NODEV, ",nodev"},           {MNT_NOEXEC, ",noexec"},
               {MNT_NOATIME, ",noatime"}, {MNT_NODIRATIME, ",nodiratime"}, {MNT_RELATIME, ",relatime"}};
  for (const auto& f : flags) {
    if ((m->mnt_flags & f.flag) != 0) out.print("%s", f.text);
  }
}

template <class Visit>
void for_each_mount(const path& root, Visit visit) {
  char* buffer = static_cast<char*>(kmalloc(kPathMax));
  if (buffer == nullptr) return;
  for (vfsmount* m : entries<&vfsmount::mnt_list>(mount_list)) {
    if (m->mnt_ns != root.mnt->mnt_ns) continue;
    const char* where = d_path({m, m->mnt_root}, root, buffer, kPathMax);
    if (where != nullptr) visit(m, where);
  }
  kfree(buffer);
}

}  // namespace

void show_mounts(TextBuffer& out, const path& root) {
  for_each_mount(root, [&](const vfsmount* m, const char* where) {
    out.escaped(m->mnt_devname, " \t\n\\#");
    out.put(' ');
    out.escaped(where, " \t\n\\#");
    out.print(" %s ", m->mnt_sb->s_type->name);
    mount_options(out, m);
    char extra[256];
    m->mnt_sb->s_op->show_options(m->mnt_sb, extra, sizeof extra);
    out.print("%s 0 0\n", extra);
  });
}

void show_mountinfo(TextBuffer& out, const path& root) {
  for_each_mount(root, [&](const vfsmount* m, const char* where) {
    out.print("%u %u %u:%u / ", m->mnt_id, m->mnt_parent->mnt_id, major_of(m->mnt_sb->s_dev),
              minor_of(m->mnt_sb->s_dev));
    out.escaped(where, " \t\n\\#");
    out.put(' ');
    mount_options(out, m);
    out.print(" - %s ", m->mnt_sb->s_type->name);
    out.escaped(m->mnt_devname, " \t\n\\#");
    char extra[256];
    m->mnt_sb->s_op->show_options(m->mnt_sb, extra, sizeof extra);
    out.print(" %s%s\n", (m->mnt_sb->s_flags & MS_RDONLY) != 0 ? "ro" : "rw", extra);
  });
}

}  // namespace xm::os
