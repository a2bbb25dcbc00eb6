// SPDX-License-Identifier: GPL-2.0-or-later
// execve: the strings are copied to pages of the new address space first, then the old one is left, the ELF file (and
// its interpreter) mapped, and the start frame with the auxiliary vector laid out as the ABI says. Scripts (#!) start
// over with their interpreter. [SysV ABI AMD64 3.4]
#include "kernel/task/exec.h"

#include "abi/elf.h"
#include "abi/mman.h"
#include "kernel/arch/x86_64/cpu.h"
#include "kernel/arch/x86_64/paging.h"
#include "kernel/arch/x86_64/switch.h"
#include "kernel/drivers/random.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/namei.h"
#include "kernel/lib/string.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/task/exec_image.h"
#include "kernel/task/ptrace.h"
#include "kernel/task/task_struct.h"
#include "kernel/task/wait.h"

namespace xm::os {
namespace {

constexpr u64 kStackTop64 = 0x00007ffffffff000, kStackTop32 = 0xffffe000;
constexpr u64 kMaxArgLength = 131072;  // one string
constexpr int kMaxInterpreters = 5;

void drop_strings(Image& im) {
  for (u32 i = 0; i < Image::kMaxArgPages; ++i) {
    if (im.pages[i] != nullptr) put_page(im.pages[i]);
    im.pages[i] = nullptr;
  }
}

// Puts bytes below im.top (an offset from the end of the string area).
int push_bytes(Image& im, const char* kernel, u64 user, u64 n) {
  im.top += n;
  if (im.top > im.limit) return -E2BIG;
  u64 left = im.top;  // distance of the next byte from the end
  u64 done = 0;
  while (done < n) {
    const u64 from_end = left - 1;
    const u32 index = static_cast<u32>(from_end >> kPageShift);
    if (im.pages[index] == nullptr) {
      im.pages[index] = alloc_page(GFP_USER | GFP_ZERO);
      if (im.pages[index] == nullptr) return -ENOMEM;
    }
    const u64 offset = kPageSize - 1 - (from_end & (kPageSize - 1));
    const u64 step = min(n - done, kPageSize - offset);
    char* to = static_cast<char*>(page_to_virt(im.pages[index])) + offset;
    if (kernel != nullptr) {
      memcpy(to, kernel + done, step);
    } else {
      TRY_INT(copy_from_user(to, reinterpret_cast<void*>(user + done), step));
    }
    done += step;
    left -= step;
  }
  return 0;
}
int push_string(Image& im, const char* s) { return push_bytes(im, s, 0, strlen(s) + 1); }

long user_strlen(u64 s) {
  char chunk[64];
  for (u64 n = 0; n < kMaxArgLength;) {
    const u64 step = min<u64>(sizeof chunk, kPageSize - ((s + n) & (kPageSize - 1)));
    if (copy_from_user(chunk, reinterpret_cast<void*>(s + n), step) != 0) return -EFAULT;
    if (const void* nul = memchr(chunk, 0, step))
      return static_cast<long>(n + static_cast<u64>(static_cast<const char*>(nul) - chunk));
    n += step;
  }
  return -E2BIG;
}

// The pointer at position i, 0 at the end.
int string_at(const ArgSource& a, u64 i, u64& user, const char*& kernel) {
  user = 0;
  kernel = nullptr;
  if (a.kernel != nullptr) {
    kernel = a.kernel[i];
    return 0;
  }
  if (a.user == 0) return 0;
  if (a.compat) {
    u32 p;
    TRY_INT(get_user_at(p, a.user + i * 4));
    user = p;
    return 0;
  }
  return get_user_at(user, a.user + i * 8);
}

int push_all(Image& im, const ArgSource& a, u32& count) {
  for (count = 0;; ++count) {
    u64 user;
    const char* kernel;
    TRY_INT(string_at(a, count, user, kernel));
    if (user == 0 && kernel == nullptr) break;
    if (count >= 1u << 20) return -E2BIG;
  }
  for (u32 i = count; i-- > 0;) {
    u64 user;
    const char* kernel;
    TRY_INT(string_at(a, i, user, kernel));
    if (kernel != nullptr) {
      TRY_INT(push_string(im, kernel));
    } else {
      const long n = TRY_INT(user_strlen(user));
      TRY_INT(push_bytes(im, nullptr, user, static_cast<u64>(n) + 1));
    }
  }
  return 0;
}

Result<file*> open_exec(int dfd, const char* name, u32 flags) {
  u32 lookup = (flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0;
  if ((flags & AT_SYMLINK_NOFOLLOW) == 0) lookup |= LOOKUP_FOLLOW;
  path p;
  TRY_INT(path_lookupat(dfd, name, lookup, p));
  inode* i = p.dentry_->d_inode;
  int error = 0;
  if (S_ISLNK(i->i_mode))
    error = -ELOOP;
  else if (!S_ISREG(i->i_mode) || (p.mnt->mnt_flags & MNT_NOEXEC) != 0)
    error = -EACCES;
  else
    error = inode_permission(i, MAY_EXEC);
  if (error == 0) {
    // A program that runs cannot be written, and the other way round.
    for (s32 n = i->i_writecount.load();; n = i->i_writecount.load()) {
      if (n > 0) {
        error = -ETXTBSY;
        break;
      }
      if (i->i_writecount.compare_exchange(n, n - 1)) break;
    }
  }
  if (error != 0) {
    path_put(p);
    return Error{-error};
  }
  auto f = dentry_open(p, O_RDONLY | O_LARGEFILE);
  if (f.ok())
    f.value()->f_mode |= FMODE_DENY_WRITE;  // given back with the last reference: the program's end
  else
    i->i_writecount.add(1);
  path_put(p);
  return f;
}

// "#!interpreter argument": argv[0] is replaced by interpreter, argument and the script's name.
int apply_script(Image& im, char* head) {
  char* line = head + 2;
  char* end = strchr(line, '\n');
  const bool cut = end == nullptr;
  if (cut) end = line + strnlen(line, 253);
  *end = 0;
  while (end > line && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r')) *--end = 0;
  while (*line == ' ' || *line == '\t') ++line;
  if (*line == 0) return -ENOEXEC;
  char* argument = line;
  while (*argument != 0 && *argument != ' ' && *argument != '\t') ++argument;
  if (cut && *argument == 0) return -ENOEXEC;  // the name may be longer than what we read
  if (*argument != 0) {
    *argument++ = 0;
    while (*argument == ' ' || *argument == '\t') ++argument;
  }
  // Drop argv[0]: the strings grow downwards, argv[0] is the last one pushed.
  if (im.argc > 0) {
    u64 n = 0;
    for (;; ++n) {
      const u64 from_end = im.top - 1 - n;
      const char* at = static_cast<char*>(page_to_virt(im.pages[from_end >> kPageShift])) +
                       (kPageSize - 1 - (from_end & (kPageSize - 1)));
      if (*at == 0) break;
    }
    im.top -= n + 1;
    --im.argc;
  }
  TRY_INT(push_string(im, im.script_name));
  ++im.argc;
  if (*argument != 0) {
    TRY_INT(push_string(im, argument));
    ++im.argc;
  }
  TRY_INT(push_string(im, line));
  ++im.argc;
  copy_string(im.script_name, line, sizeof im.script_name);
  return 0;
}

int load_program(Image& im) {
  for (int depth = 0;; ++depth) {
    memset(im.head, 0, sizeof im.head);
    loff_t pos = 0;
    const ssize_t n = kernel_read(im.program, im.head, sizeof im.head - 1, pos);
    if (n < 0) return static_cast<int>(n);
    if (im.head[0] != '#' || im.head[1] != '!') break;
    if (depth >= kMaxInterpreters) return -ELOOP;
    TRY_INT(apply_script(im, im.head));
    fput(im.program);
    im.program = nullptr;
    im.program = TRY(open_exec(AT_FDCWD, im.script_name, 0));
    im.from_fd = false;
  }
  return 0;
}

// Set-id bits and the capabilities root gets.
Result<cred*> exec_creds(const Image& im) {
  cred* c = TRY(prepare_creds());
  const inode* i = im.program->f_inode;
  // A tracer without the right to trace anything gets no hold of a privileged program.
  const bool traced = current->ptrace != 0 && (current->parent->real_cred->cap_effective & 1ul << CAP_SYS_PTRACE) == 0;
  const bool allowed = (im.program->f_path.mnt->mnt_flags & MNT_NOSUID) == 0 && !current->no_new_privs && !traced;
  if (allowed && (i->i_mode & S_ISUID) != 0) c->euid = i->i_uid;
  if (allowed && (i->i_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP)) c->egid = i->i_gid;
  c->suid = c->fsuid = c->euid;
  c->sgid = c->fsgid = c->egid;
  constexpr u32 kNoRoot = 1;
  const bool root = (c->securebits & kNoRoot) == 0 && (c->uid == 0 || c->euid == 0);
  if (root) {
    c->cap_permitted = c->cap_inheritable | c->cap_bset;
    c->cap_effective = c->euid == 0 ? c->cap_permitted : 0;
  } else {
    c->cap_permitted = c->cap_ambient;
    c->cap_effective = c->cap_ambient;
  }
  c->securebits &= ~(1u << 4);  // SECBIT_KEEP_CAPS
  return c;
}

// Ends the other threads of the process; the caller becomes the leader with its pid.
int de_thread() {
  task_struct* t = current;
  signal_struct* s = t->signal;
  if (s->nr_threads > 1) {
    {
      IrqGuard guard(tasklist_lock);
      SpinGuard signals(t->sighand->siglock);
      if ((s->flags & SIGNAL_GROUP_EXIT) != 0 || s->group_exit_task != nullptr) return -EAGAIN;
      s->group_exit_task = t;
      zap_other_threads(t);
      s->notify_count = s->nr_threads - 1 - (thread_group_leader(t) ? 0 : 1);
    }
    while (read_once(s->notify_count) > 0) {
      set_current_state(TASK_UNINTERRUPTIBLE);
      if (read_once(s->notify_count) > 0) schedule();
      t->state.store(TASK_RUNNING);
    }
    if (!thread_group_leader(t)) {
      task_struct* leader = t->group_leader;
      s->notify_count = -1;
      for (;;) {
        set_current_state(TASK_UNINTERRUPTIBLE);
        if (read_once(leader->exit_state) != 0) break;
        schedule();
      }
      t->state.store(TASK_RUNNING);
      {
        IrqGuard guard(tasklist_lock);
        detach_pid(t);
        detach_pid(leader);
        swap(t->pid, leader->pid);
        t->group_leader = t;
        leader->group_leader = t;
        t->real_parent = leader->real_parent;
        if (t->ptrace == 0) t->parent = t->real_parent;
        t->exit_signal = SIGCHLD;
        leader->exit_signal = -1;
        t->start_time = leader->start_time;
        list_add_tail(&t->sibling, &leader->sibling);
        list_del(&leader->sibling);
        attach_pid(t);
        leader->exit_state = EXIT_DEAD;
      }
      release_task(leader);
    }
    s->group_exit_task = nullptr;
    s->notify_count = 0;
  }
  // Handlers were shared with another process (CLONE_SIGHAND without CLONE_THREAD): get our own.
  if (t->sighand->count.load() > 1) {
    sighand_struct* own = knew<sighand_struct>();
    if (own == nullptr) return -ENOMEM;
    memcpy(own->action, t->sighand->action, sizeof own->action);
    IrqGuard guard(tasklist_lock);
    sighand_struct* old = t->sighand;
    t->sighand = own;
    put_sighand(old);
  }
  return 0;
}

void install_mm(mm_struct* mm) {
  task_struct* t = current;
  mm_struct* old = t->mm;
  {
    IrqGuard guard(tasklist_lock);
    t->mm = mm;
  }
  preempt_disable();
  local_irq_disable();
  switch_mm(mm);
  local_irq_enable();
  preempt_enable();
  if (old != nullptr) {
    t->signal->maxrss = max(t->signal->maxrss, old->hiwater_rss);
    mmput(old);
  }
}

// The stack area with the strings already in it.
int setup_stack(Image& im, u64 top) {
  vm_area_struct* v = alloc_vma();
  if (v == nullptr) return -ENOMEM;
  v->vm_end = top;
  v->vm_start = align_down(top - im.top, kPageSize) - 32 * kPageSize;
  v->vm_flags =
      VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | VM_GROWSDOWN | (im.executable_stack ? VM_EXEC : 0);
  v->name = "[stack]";
  v->anon = true;
  WriteGuard guard(im.mm->mmap_lock);
  insert_vma(im.mm, v);
  for (u32 i = 0; i < Image::kMaxArgPages && im.pages[i] != nullptr; ++i) {
    pte_t* pte = pte_alloc(im.mm->pgd, top - (i + 1) * kPageSize);
    if (pte == nullptr) return -ENOMEM;
    page* p = im.pages[i];
    im.pages[i] = nullptr;
    p->flags.fetch_or(PG_anon | PG_swapbacked | PG_uptodate);
    p->mapcount.store(1);
    count_vm(NR_ANON_PAGES);
    im.mm->rss_anon.add(1);
    *pte = page_to_phys(p) | kPtePresent | kPteUser | kPteWrite | kPteAccessed | kPteDirty |
           (im.executable_stack ? 0 : kPteNx);
  }
  im.mm->start_stack = top - im.top;
  return 0;
}

void reset_signals_and_ids(Image& im) {
  task_struct* t = current;
  {
    IrqGuard guard(t->sighand->siglock);
    for (sigaction& a : t->sighand->action) a = {a.handler == SIG_IGN ? SIG_IGN : SIG_DFL, 0, 0, 0};
  }
  t->altstack = {0, SS_DISABLE, 0};
  t->clear_child_tid = t->set_child_tid = 0;
  t->robust_list = 0;
  t->rseq = 0;
  t->did_exec = true;
  t->flags &= ~(PF_FORKNOEXEC | PF_KTHREAD);
  exit_posix_timers(t->signal);
  const char* base = strrchr(im.comm_source, '/');
  copy_string(t->comm, base != nullptr ? base + 1 : im.comm_source, sizeof t->comm);
}

void start_registers(const Image& im, u64 sp) {
  task_struct* t = current;
  pt_regs* regs = task_pt_regs(t);
  *regs = {};
  regs->rip = im.entry;
  regs->rsp = sp;
  regs->cs = im.compat ? kUser32Cs : kUserCs;
  regs->ss = kUserDs;
  regs->eflags = kFlagIf;
  regs->orig_rax = ~0ul;
  t->thread.fs_base = t->thread.gs_base = 0;
  t->thread.fs_index = t->thread.gs_index = 0;
  memset(t->thread.tls_array, 0, sizeof t->thread.tls_array);
  im.compat ? set_tif(t, TIF_COMPAT) : clear_tif(t, TIF_COMPAT);
  preempt_disable();
  local_irq_disable();
  load_tls(t);
  asm volatile("movl %0, %%fs" : : "r"(0));
  asm volatile("swapgs; movl %0, %%gs; swapgs" : : "r"(0));
  wrmsr(kMsrFsBase, 0);
  wrmsr(kMsrKernelGsBase, 0);
  local_irq_enable();
  preempt_enable();
  if (t->thread.fpu == nullptr) t->thread.fpu = fpu_alloc();
  fpu_reset(t);
}

// From here on there is no way back: errors kill the process.
int begin_new_exec(Image& im) {
  TRY_INT(de_thread());
  if (current->files != nullptr && current->files->count.load() > 1) {
    files_struct* copy = TRY(dup_fd(current->files));
    files_struct* old = current->files;
    current->files = copy;
    put_files(old);
  }
  mm_release_vfork(current);
  install_mm(im.mm);
  im.committed = true;
  return 0;
}

int execute(Image& im) {
  TRY_INT(load_program(im));
  TRY_INT(elf_check(im));
  cred* c = TRY(exec_creds(im));
  const bool privileged = c->euid != current->cred_->uid || c->egid != current->cred_->gid;
  im.secure = privileged;
  im.new_cred = c;
  if (const int error = begin_new_exec(im); error != 0) {
    put_cred(c);
    return error;
  }
  const u64 top = (im.compat ? kStackTop32 : kStackTop64) - ((get_random_u64() & 0x7ff) << kPageShift);
  const u64 stack_limit = current->signal->rlim[RLIMIT_STACK].cur;
  const u64 gap = clamp<u64>(stack_limit == RLIM_INFINITY ? 0 : stack_limit, 128ul << 20,
                             (im.compat ? kStackTop32 : kStackTop64) / 6 * 5);
  im.mm->task_size = im.compat ? kTaskSize32 : kTaskSizeMax;
  im.mm->compat = im.compat;
  im.mm->mmap_base =
      page_align((im.compat ? kStackTop32 : kStackTop64) - gap - ((get_random_u64() & 0xfff) << kPageShift));
  if (im.personality_no_randomize) im.mm->mmap_base = page_align((im.compat ? kStackTop32 : kStackTop64) - gap);
  TRY_INT(setup_stack(im, top));
  reset_signals_and_ids(im);
  commit_creds(c);
  im.new_cred = nullptr;
  if (!privileged) im.mm->dumpable = true;
  TRY_INT(elf_load(im));
  close_on_exec(current->files);
  const u64 sp = elf_start_frame(im, top);
  if (sp == 0) return -EFAULT;
  im.mm->exe_file = get_file(im.program);
  start_registers(im, sp);
  return 0;
}

}  // namespace

long do_execve(int dfd, const char* filename, ArgSource argv, ArgSource envp, u32 flags) {
  const bool over_limit =
      static_cast<u64>(current->real_cred->user->processes.load()) > current->signal->rlim[RLIMIT_NPROC].cur;
  if (over_limit && current->real_cred->uid != 0 && !capable(CAP_SYS_RESOURCE) && !capable(CAP_SYS_ADMIN))
    return -EAGAIN;
  Image* im = knew<Image>();
  if (im == nullptr) return -ENOMEM;
  long error = 0;
  auto opened = open_exec(dfd, filename, flags);
  if (!opened.ok()) {
    kdelete(im);
    return -opened.error();
  }
  im->program = opened.value();
  im->limit = min<u64>(Image::kMaxArgPages * kPageSize, max<u64>(current->signal->rlim[RLIMIT_STACK].cur / 4, 131072));
  im->personality_no_randomize = (current->personality & 0x0040000) != 0;
  if (filename[0] == '/' || dfd == AT_FDCWD) {
    copy_string(im->script_name, filename, sizeof im->script_name);
  } else {
    char number[24] = "/dev/fd/";
    char* at = number + 8;
    if (dfd >= 100) *at++ = static_cast<char>('0' + dfd / 100 % 10);
    if (dfd >= 10) *at++ = static_cast<char>('0' + dfd / 10 % 10);
    *at++ = static_cast<char>('0' + dfd % 10);
    if (filename[0] != 0) *at++ = '/';
    *at = 0;
    copy_string(im->script_name, number, sizeof im->script_name);
    copy_string(im->script_name + strlen(number), filename, sizeof im->script_name - strlen(number));
  }
  copy_string(im->comm_source, filename[0] != 0 ? filename : im->script_name, sizeof im->comm_source);
  im->mm = mm_alloc();
  if (im->mm == nullptr) error = -ENOMEM;
  if (error == 0) error = push_string(*im, im->script_name);
  im->execfn_top = im->top;
  if (error == 0) error = push_all(*im, envp, im->envc);
  im->env_top = im->top;
  if (error == 0) error = push_all(*im, argv, im->argc);
  if (error == 0 && im->argc == 0) {
    error = push_string(*im, "");
    im->argc = 1;
  }
  const pid_t old_pid = current->pid;
  if (error == 0) error = execute(*im);
  drop_strings(*im);
  if (im->interpreter != nullptr) fput(im->interpreter);
  if (im->program != nullptr) fput(im->program);
  const bool committed = im->committed;
  if (!committed && im->mm != nullptr) mmput(im->mm);
  kdelete(im);
  if (error != 0 && committed) {
    force_sig(SIGKILL);
    return error;
  }
  if (error == 0) {
    task_pt_regs(current)->rax = 0;
    ptrace_event(PTRACE_EVENT_EXEC, static_cast<u64>(old_pid));
  }
  return error;
}

int do_execve_kernel(const char* path_name, const char* const* argv, const char* const* envp) {
  return static_cast<int>(do_execve(AT_FDCWD, path_name, {0, false, argv}, {0, false, envp}, 0));
}

}  // namespace xm::os
