// SPDX-License-Identifier: GPL-2.0-or-later
// The texts of /proc/PID/*, field by field as [man 5 proc] lists them.
#include "kernel/fs/proc/task_text.h"

#include "kernel/drivers/tty.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/namei.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/pte_walk.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/task/seccomp.h"
#include "kernel/task/wait.h"

namespace xm::os {
namespace {

char state_letter(const task_struct* t) {
  if (t->exit_state == EXIT_ZOMBIE) return 'Z';
  if (t->exit_state != 0) return 'X';
  const u32 s = t->state.load();
  if (s == TASK_RUNNING) return 'R';
  if ((s & TASK_INTERRUPTIBLE) != 0) return 'S';
  if ((s & TASK_STOPPED) != 0) return 'T';
  if ((s & TASK_TRACED) != 0) return 't';
  return (s & TASK_UNINTERRUPTIBLE) != 0 ? 'D' : 'X';
}
const char* state_name(char letter) {
  switch (letter) {
    case 'R': return "running";
    case 'S': return "sleeping";
    case 'D': return "disk sleep";
    case 'T': return "stopped";
    case 't': return "tracing stop";
    case 'Z': return "zombie";
    default: return "dead";
  }
}

// The address space for the time of one text.
class MmRef {
 public:
  explicit MmRef(task_struct* t) : mm_(get_task_mm(t)) {}
  ~MmRef() {
    if (mm_ != nullptr) mmput(mm_);
  }
  MmRef(const MmRef&) = delete;
  MmRef& operator=(const MmRef&) = delete;
  explicit operator bool() const { return mm_ != nullptr; }
  mm_struct* operator->() const { return mm_; }
  mm_struct* get() const { return mm_; }

 private:
  mm_struct* mm_;
};

void copy_memory(TextBuffer& out, mm_struct* mm, u64 start, u64 end) {
  char chunk[256];
  for (u64 at = start; at < end;) {
    const u64 step = min<u64>(sizeof chunk, end - at);
    if (access_process_vm(mm, at, chunk, step, false) != static_cast<long>(step)) return;
    out.append(chunk, step);
    at += step;
  }
}

struct Kin {
  pid_t ppid = 0, pgrp = 0, session = 0, tty_pgrp = -1, tracer = 0;
  u64 tty = 0;
  int threads = 0;
};
Kin kin_of(const task_struct* t) {
  Kin k;
  IrqGuard guard(tasklist_lock);
  k.ppid = t->group_leader->real_parent->tgid;
  if (t->ptrace != 0) k.tracer = t->parent->tgid;
  k.pgrp = t->signal->pgrp;
  k.session = t->signal->session;
  if (const tty_struct* tty = t->signal->tty; tty != nullptr) {
    k.tty = encode_dev(tty->device);
    k.tty_pgrp = tty->pgrp;
  }
  k.threads = t->signal->nr_threads;
  return k;
}

}  // namespace

void show_comm(TextBuffer& out, task_struct* t) { out.print("%s\n", t->comm); }
void show_cgroup(TextBuffer& out, task_struct*) { out.print("0::/\n"); }
void show_wchan(TextBuffer& out, task_struct*) { out.print("0"); }
void show_oom_score_adj(TextBuffer& out, task_struct* t) { out.print("%d\n", t->signal->oom_score_adj); }
void show_oom_score(TextBuffer& out, task_struct* t) {
  const MmRef mm(t);
  const s64 rss = mm ? mm_rss(mm.get()) : 0;
  out.print("%ld\n", clamp<s64>(rss * 1000 / static_cast<s64>(total_ram_pages()) + t->signal->oom_score_adj, 0, 2000));
}
void show_task_mounts(TextBuffer& out, task_struct*) {
  path root = get_fs_root();
  show_mounts(out, root);
  path_put(root);
}
void show_task_mountinfo(TextBuffer& out, task_struct*) {
  path root = get_fs_root();
  show_mountinfo(out, root);
  path_put(root);
}
void show_auxv(TextBuffer& out, task_struct* t) {
  const MmRef mm(t);
  if (mm) out.append(mm->saved_auxv, mm->saved_auxv_count * sizeof(u64));
}
void show_cmdline(TextBuffer& out, task_struct* t) {
  const MmRef mm(t);
  if (!mm) return;
  copy_memory(out, mm.get(), mm->arg_start, mm->arg_end);
  // A program that writes its title over the arguments may run on into the environment.
  if (out.length() > 0 && out.data()[out.length() - 1] != 0) copy_memory(out, mm.get(), mm->env_start, mm->env_end);
}
void show_environ(TextBuffer& out, task_struct* t) {
  const MmRef mm(t);
  if (mm) copy_memory(out, mm.get(), mm->env_start, mm->env_end);
}
void show_io(TextBuffer& out, task_struct* t) {
  out.print("rchar: %lu\nwchar: %lu\nsyscr: %lu\nsyscw: %lu\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n",
            t->read_chars, t->write_chars, t->read_calls, t->write_calls);
}

void show_limits(TextBuffer& out, task_struct* t) {
  static const struct {
    const char* name;
    const char* unit;
  } rows[RLIM_NLIMITS] = {
      {"Max cpu time", "seconds"},    {"Max file size", "bytes"},      {"Max data size", "bytes"},
      {"Max stack size", "bytes"},    {"Max core file size", "bytes"}, {"Max resident set", "bytes"},
      {"Max processes", "processes"}, {"Max open files", "files"},     {"Max locked memory", "bytes"},
      {"Max address space", "bytes"}, {"Max file locks", "locks"},     {"Max pending signals", "signals"},
      {"Max msgqueue size", "bytes"}, {"Max nice priority", ""},       {"Max realtime priority", ""},
      {"Max realtime timeout", "us"}};
  out.print("%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
  for (u32 i = 0; i < RLIM_NLIMITS; ++i) {
    out.print("%-25s ", rows[i].name);
    const u64 both[] = {t->signal->rlim[i].cur, t->signal->rlim[i].max};
    for (const u64 v : both) {
      if (v == RLIM_INFINITY)
        out.print("%-20s ", "unlimited");
      else
        out.print("%-20lu ", v);
    }
    out.print("%-10s\n", rows[i].unit);
  }
}

namespace {

void show_area(TextBuffer& out, const vm_area_struct* v, const path& root, char* buffer) {
  const u64 f = v->vm_flags;
  const inode* i = v->vm_file != nullptr ? v->vm_file->f_inode : nullptr;
  const size_t before = out.length();
  out.print("%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", v->vm_start, v->vm_end, (f & VM_READ) != 0 ? 'r' : '-',
            (f & VM_WRITE) != 0 ? 'w' : '-', (f & VM_EXEC) != 0 ? 'x' : '-', (f & VM_MAYSHARE) != 0 ? 's' : 'p',
            v->vm_file != nullptr ? v->vm_pgoff << kPageShift : 0, i != nullptr ? major_of(i->i_sb->s_dev) : 0,
            i != nullptr ? minor_of(i->i_sb->s_dev) : 0, i != nullptr ? i->i_ino : 0);
  const char* name = v->name;
  if (v->vm_file != nullptr) name = d_path(v->vm_file->f_path, root, buffer, kPageSize);
  if (name != nullptr) {
    while (out.length() - before < 73) out.put(' ');
    out.escaped(name, "\n");
  }
  out.put('\n');
}

template <class Visit>
void for_each_area(task_struct* t, Visit visit) {
  const MmRef mm(t);
  char* buffer = static_cast<char*>(kmalloc(kPageSize));
  if (!mm || buffer == nullptr) {
    kfree(buffer);
    return;
  }
  path root = get_fs_root();
  {
    ReadGuard guard(mm->mmap_lock);
    for (const vm_area_struct* v = mm->mmap; v != nullptr; v = v->vm_next) visit(mm.get(), v, root, buffer);
  }
  path_put(root);
  kfree(buffer);
}

}  // namespace

void show_maps(TextBuffer& out, task_struct* t) {
  for_each_area(
      t, [&](mm_struct*, const vm_area_struct* v, const path& root, char* buffer) { show_area(out, v, root, buffer); });
}

void show_smaps(TextBuffer& out, task_struct* t) {
  for_each_area(t, [&](mm_struct* mm, const vm_area_struct* v, const path& root, char* buffer) {
    show_area(out, v, root, buffer);
    u64 rss = 0, shared = 0, dirty = 0, anon = 0;
    {
      SpinGuard guard(mm->page_table_lock);
      for_each_pte(mm->pgd, v->vm_start, v->vm_end, [&](const pte_t* pte, u64) {
        if ((*pte & kPtePresent) == 0 || (*pte & kPteSpecial) != 0) return;
        const page* p = phys_to_page(*pte & kPteAddress);
        ++rss;
        if (p->mapcount.load() > 1)
          ++shared;
        else if ((*pte & kPteDirty) != 0)
          ++dirty;
        if (p->test(PG_anon)) ++anon;
      });
    }
    out.print(
        "Size:           %8lu kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\nRss:            %8lu "
        "kB\nPss:            %8lu kB\n",
        (v->vm_end - v->vm_start) >> 10, rss * 4, rss * 4 - shared * 2);
    out.print(
        "Shared_Clean:   %8lu kB\nShared_Dirty:          0 kB\nPrivate_Clean:  %8lu kB\nPrivate_Dirty:  %8lu kB\n",
        shared * 4, (rss - shared - dirty) * 4, dirty * 4);
    out.print(
        "Referenced:     %8lu kB\nAnonymous:      %8lu kB\nSwap:                  0 kB\nLocked:         %8lu kB\n",
        rss * 4, anon * 4, (v->vm_flags & VM_LOCKED) != 0 ? rss * 4 - shared * 2 : 0);
  });
}

void show_statm(TextBuffer& out, task_struct* t) {
  const MmRef mm(t);
  if (!mm) {
    out.print("0 0 0 0 0 0 0\n");
    return;
  }
  const u64 text = (page_align(mm->end_code) - (mm->start_code & kPageMask)) >> kPageShift;
  out.print("%lu %ld %ld %lu 0 %lu 0\n", mm->total_vm, mm_rss(mm.get()), mm->rss_file.load() + mm->rss_shmem.load(),
            text, mm->data_vm + mm->stack_vm);
}

void show_stat(TextBuffer& out, task_struct* t) {
  const MmRef mm(t);
  const Kin k = kin_of(t);
  const signal_struct* s = t->signal;
  u64 utime, stime;
  thread_group_times(t, utime, stime);
  const u64 tick = kNsPerSec / kUserHz;
  sigset_t ignored = 0, caught = 0;
  for (int i = 0; i < 31; ++i) {
    const u64 h = t->sighand->action[i].handler;
    if (h == SIG_IGN)
      ignored |= 1ul << i;
    else if (h != SIG_DFL)
      caught |= 1ul << i;
  }
  out.print("%d (%s) %c %d %d %d %lu %d %u ", t->pid, t->comm, state_letter(t), k.ppid, k.pgrp, k.session, k.tty,
            k.tty_pgrp, t->flags);
  out.print("%lu %lu %lu %lu ", t->min_flt + s->min_flt, s->cmin_flt, t->maj_flt + s->maj_flt, s->cmaj_flt);
  out.print("%lu %lu %lu %lu ", utime / tick, stime / tick, s->cutime / tick, s->cstime / tick);
  const int prio = t->prio - 100;
  out.print("%d %d %d 0 %lu ", prio, prio_to_nice(t->static_prio), k.threads, t->start_time / tick);
  out.print("%lu %ld %lu ", mm ? mm->total_vm << kPageShift : 0, mm ? mm_rss(mm.get()) : 0, s->rlim[RLIMIT_RSS].cur);
  out.print("%lu %lu %lu 0 0 ", mm ? mm->start_code : 0, mm ? mm->end_code : 0, mm ? mm->start_stack : 0);
  out.print("%lu %lu %lu %lu 0 0 0 ", t->pending.signal & 0x7fffffff, t->blocked & 0x7fffffff, ignored, caught);
  out.print("%d %u %u %d 0 0 0 ", t->exit_signal, t->cpu, t->rt_priority, t->policy);
  out.print("%lu %lu %lu %lu %lu %lu %lu %d\n", mm ? mm->start_data : 0, mm ? mm->end_data : 0, mm ? mm->start_brk : 0,
            mm ? mm->arg_start : 0, mm ? mm->arg_end : 0, mm ? mm->env_start : 0, mm ? mm->env_end : 0, t->exit_code);
}

void show_status(TextBuffer& out, task_struct* t) {
  const MmRef mm(t);
  const Kin k = kin_of(t);
  const cred* c = t->real_cred;
  const char letter = state_letter(t);
  out.print("Name:\t%s\nUmask:\t%04o\nState:\t%c (%s)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t%d\n",
            t->comm, t->fs != nullptr ? t->fs->umask : 022, letter, state_name(letter), t->tgid, t->pid, k.ppid,
            k.tracer);
  out.print("Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", c->uid, c->euid, c->suid, c->fsuid, c->gid, c->egid,
            c->sgid, c->fsgid);
  u32 fd_size = 0;
  {
    IrqGuard guard(tasklist_lock);
    if (t->files != nullptr) fd_size = t->files->max_fds;
  }
  out.print("FDSize:\t%u\nGroups:\t", fd_size);
  for (u32 i = 0; c->groups != nullptr && i < c->groups->count; ++i) out.print("%u ", c->groups->gids[i]);
  out.print("\nNStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", t->tgid, t->pid, k.pgrp, k.session);
  if (mm) {
    const u64 text = (page_align(mm->end_code) - (mm->start_code & kPageMask)) >> 10;
    out.print(
        "VmPeak:\t%8lu kB\nVmSize:\t%8lu kB\nVmLck:\t%8lu kB\nVmPin:\t       0 kB\nVmHWM:\t%8lu kB\nVmRSS:\t%8ld kB\n",
        mm->total_vm * 4, mm->total_vm * 4, mm->locked_vm * 4,
        max(mm->hiwater_rss, static_cast<u64>(mm_rss(mm.get()))) * 4, mm_rss(mm.get()) * 4);
    out.print("RssAnon:\t%8ld kB\nRssFile:\t%8ld kB\nRssShmem:\t%8ld kB\n", mm->rss_anon.load() * 4,
              mm->rss_file.load() * 4, mm->rss_shmem.load() * 4);
    out.print(
        "VmData:\t%8lu kB\nVmStk:\t%8lu kB\nVmExe:\t%8lu kB\nVmLib:\t       0 kB\nVmPTE:\t       0 kB\nVmSwap:\t       "
        "0 kB\n",
        mm->data_vm * 4, mm->stack_vm * 4, text);
  }
  sigset_t ignored = 0, caught = 0;
  for (int i = 0; i < kNsig; ++i) {
    const u64 h = t->sighand->action[i].handler;
    if (h == SIG_IGN)
      ignored |= 1ul << i;
    else if (h != SIG_DFL)
      caught |= 1ul << i;
  }
  out.print(
      "Threads:\t%d\nSigQ:\t%ld/"
      "%lu\nSigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n",
      k.threads, c->user->sigpending.load(), t->signal->rlim[RLIMIT_SIGPENDING].cur, t->pending.signal,
      t->signal->shared_pending.signal, t->blocked, ignored, caught);
  out.print(
      "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t%016lx\nCapAmb:\t%016lx\nNoNewPrivs:\t%d\nSeccomp:"
      "\t%d\nSeccomp_filters:\t%d\n",
      c->cap_inheritable, c->cap_permitted, c->cap_effective, c->cap_bset, c->cap_ambient, t->no_new_privs ? 1 : 0,
      seccomp_mode(t), seccomp_count(t));
  out.print(
      "Cpus_allowed:\t%lx\nCpus_allowed_list:\t0-%u\nMems_allowed:\t1\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:"
      "\t%lu\nnonvoluntary_ctxt_switches:\t%lu\n",
      t->cpus_allowed & ((1ul << nr_cpus) - 1), nr_cpus - 1, t->nvcsw, t->nivcsw);
}

}  // namespace xm::os
