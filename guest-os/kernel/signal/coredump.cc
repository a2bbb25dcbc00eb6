// SPDX-License-Identifier: GPL-2.0-or-later
// Core files: an ELF file with the registers of every thread as notes and the private memory as segments. The other
// threads of the process are killed first and wait at their exit, registers on their kernel stacks. [man 5 core]
// GAP: a pattern that names a program ("|...") makes no dump.
#include "kernel/signal/coredump.h"

#include "abi/elf.h"
#include "kernel/arch/x86_64/switch.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/fs.h"
#include "kernel/fs/namei.h"
#include "kernel/lib/format.h"
#include "kernel/lib/string.h"
#include "kernel/lib/text_buffer.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/pte_walk.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/vmalloc.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/calls.h"
#include "kernel/task/ptrace.h"

namespace xm::os {

char core_pattern[128] = "core";
constinit s64 core_uses_pid = 0;

namespace {

struct prstatus_times {
  s64 sec, usec;
};
struct elf_prstatus {
  s32 si_signo, si_code, si_errno;
  u16 pr_cursig, pad;
  u64 pr_sigpend, pr_sighold;
  s32 pr_pid, pr_ppid, pr_pgrp, pr_sid;
  prstatus_times pr_utime, pr_stime, pr_cutime, pr_cstime;
  user_regs_struct pr_reg;
  s32 pr_fpvalid, pad2;
};
static_assert(sizeof(elf_prstatus) == 336);
struct elf_prpsinfo {
  char pr_state, pr_sname, pr_zomb, pr_nice;
  u32 pad;
  u64 pr_flag;
  u32 pr_uid, pr_gid;
  s32 pr_pid, pr_ppid, pr_pgrp, pr_sid;
  char pr_fname[16], pr_psargs[80];
};
static_assert(sizeof(elf_prpsinfo) == 136);

prstatus_times as_times(u64 ns) { return {static_cast<s64>(ns / kNsPerSec), static_cast<s64>(ns % kNsPerSec / 1000)}; }

void add_note(TextBuffer& out, const char* name, u32 type, const void* data, u32 size) {
  const u32 name_size = static_cast<u32>(strlen(name)) + 1;
  const u32 head[3] = {name_size, size, type};
  constexpr char kZeros[4] = {};
  out.append(head, sizeof head);
  out.append(name, name_size);
  out.append(kZeros, -name_size & 3);
  out.append(data, size);
  out.append(kZeros, -size & 3);
}

void add_prstatus(TextBuffer& out, task_struct* t, const siginfo& info) {
  elf_prstatus s{};
  s.si_signo = info.si_signo;
  s.si_code = info.si_code;
  s.si_errno = info.si_errno;
  s.pr_cursig = static_cast<u16>(info.si_signo);
  s.pr_sigpend = t->pending.signal;
  s.pr_sighold = t->blocked;
  s.pr_pid = t->pid;
  s.pr_ppid = t->group_leader->real_parent->tgid;
  s.pr_pgrp = t->signal->pgrp;
  s.pr_sid = t->signal->session;
  u64 utime, stime;
  task_cputime(t, utime, stime);
  s.pr_utime = as_times(utime);
  s.pr_stime = as_times(stime);
  s.pr_cutime = as_times(t->signal->cutime);
  s.pr_cstime = as_times(t->signal->cstime);
  read_user_regs(t, s.pr_reg);
  s.pr_fpvalid = 1;
  add_note(out, "CORE", NT_PRSTATUS, &s, sizeof s);
}

void add_fpu(TextBuffer& out, task_struct* t) {
  add_note(out, "CORE", NT_PRFPREG, t->thread.fpu, 512);
  u8* area = static_cast<u8*>(kmalloc(xstate_size()));
  if (area == nullptr) return;
  read_xstate(t, area);
  add_note(out, "LINUX", NT_X86_XSTATE, area, xstate_size());
  kfree(area);
}

void add_prpsinfo(TextBuffer& out, task_struct* t) {
  elf_prpsinfo p{};
  p.pr_sname = 'R';
  p.pr_flag = t->flags;
  p.pr_uid = t->real_cred->uid;
  p.pr_gid = t->real_cred->gid;
  p.pr_pid = t->tgid;
  p.pr_ppid = t->group_leader->real_parent->tgid;
  p.pr_pgrp = t->signal->pgrp;
  p.pr_sid = t->signal->session;
  copy_string(p.pr_fname, t->comm, sizeof p.pr_fname);
  const u64 n = min<u64>(t->mm->arg_end - t->mm->arg_start, sizeof p.pr_psargs - 1);
  access_process_vm(t->mm, t->mm->arg_start, p.pr_psargs, n, false, true);
  for (u64 i = 0; i + 1 < n; ++i) {
    if (p.pr_psargs[i] == 0) p.pr_psargs[i] = ' ';
  }
  add_note(out, "CORE", NT_PRPSINFO, &p, sizeof p);
}

// Where files are mapped: count, page size, three words each, then the names.
void add_files(TextBuffer& out, mm_struct* mm) {
  TextBuffer words, names;
  u64 count = 0;
  char* name = static_cast<char*>(kmalloc(kPathMax));
  if (name == nullptr) return;
  for (const vm_area_struct* v = mm->mmap; v != nullptr; v = v->vm_next) {
    if (v->vm_file == nullptr) continue;
    const char* text = d_path(v->vm_file->f_path, current->fs->root, name, kPathMax);
    if (text == nullptr) continue;
    const u64 row[3] = {v->vm_start, v->vm_end, v->vm_pgoff};
    words.append(row, sizeof row);
    names.append(text, strlen(text) + 1);
    ++count;
  }
  kfree(name);
  const u64 head[2] = {count, kPageSize};
  TextBuffer note;
  note.append(head, sizeof head);
  note.append(words.data(), words.length());
  note.append(names.data(), names.length());
  add_note(out, "CORE", NT_FILE, note.data(), static_cast<u32>(note.length()));
}

// How much of an area goes into the file.
u64 dumped_length(const vm_area_struct* v) {
  if ((v->vm_flags & (VM_IO | VM_PFNMAP | VM_DONTDUMP)) != 0) return 0;
  const u64 all = v->vm_end - v->vm_start;
  const u32 filter = v->vm_mm->coredump_filter;  // bits: anonymous private, anonymous shared, file private, file shared
  if (v->vm_file == nullptr) return (filter & 1) != 0 ? all : 0;
  if ((v->vm_flags & VM_SHARED) != 0) {
    const u32 kind = v->vm_file->f_inode->i_nlink == 0 ? 2 : 8;
    return (filter & kind) != 0 ? all : 0;
  }
  if (v->anon && (filter & 1) != 0) return all;
  if ((filter & 4) != 0) return all;
  if ((filter & 16) == 0) return 0;
  // The first page of a mapped program tells a debugger which file it was.
  if (v->vm_pgoff != 0 || (v->vm_flags & VM_READ) == 0) return 0;
  u32 magic = 0;
  const bool read = access_process_vm(v->vm_mm, v->vm_start, &magic, 4, false, true) == 4;
  return read && magic == 0x464c457f ? kPageSize : 0;
}

class Writer {
 public:
  Writer(file* f, u64 limit) : f_(f), limit_(limit) {}
  bool write(const void* data, u64 n) {
    if (pos_ + n > limit_) return false;
    loff_t at = static_cast<loff_t>(pos_);
    if (kernel_write(f_, data, n, at) != static_cast<ssize_t>(n)) return false;
    pos_ += n;
    end_ = pos_;
    return true;
  }
  bool skip(u64 n) {
    if (pos_ + n > limit_) return false;
    pos_ += n;
    return true;
  }
  void finish() {  // a hole at the end still counts
    if (end_ == pos_) return;
    --pos_;
    write("", 1);
  }

 private:
  file* f_;
  u64 limit_, pos_ = 0, end_ = 0;
};

bool page_present(mm_struct* mm, u64 address) {
  bool present = false;
  SpinGuard guard(mm->page_table_lock);
  for_each_pte(mm->pgd, address, address + kPageSize, [&](pte_t*, u64) { present = true; });
  return present;
}

bool write_memory(Writer& w, const vm_area_struct* v, u64 length, void* buffer) {
  for (u64 at = v->vm_start; at < v->vm_start + length; at += kPageSize) {
    if (v->vm_file == nullptr && !page_present(v->vm_mm, at)) {
      if (!w.skip(kPageSize)) return false;
      continue;
    }
    if (access_process_vm(v->vm_mm, at, buffer, kPageSize, false, true) != static_cast<long>(kPageSize))
      memset(buffer, 0, kPageSize);
    if (!w.write(buffer, kPageSize)) return false;
  }
  return true;
}

bool write_core(file* f, const TextBuffer& notes, u64 limit) {
  mm_struct* mm = current->mm;
  u32 areas = 0;
  for (const vm_area_struct* v = mm->mmap; v != nullptr; v = v->vm_next) ++areas;
  Writer w(f, limit);
  Elf64_Ehdr h{
      {0x7f, 'E', 'L', 'F', 2, 1, 1}, 4, EM_X86_64, 1, 0, sizeof h, 0, 0, sizeof h, sizeof(Elf64_Phdr), 0, 0, 0, 0};
  h.e_phnum = static_cast<u16>(areas + 1);
  if (!w.write(&h, sizeof h)) return false;
  u64 offset = sizeof h + (areas + 1) * sizeof(Elf64_Phdr);
  const Elf64_Phdr note{4, 0, offset, 0, 0, notes.length(), 0, 4};
  if (!w.write(&note, sizeof note)) return false;
  const u64 notes_end = offset + notes.length();
  offset = page_align(notes_end);
  const u64 padding = offset - notes_end;
  for (const vm_area_struct* v = mm->mmap; v != nullptr; v = v->vm_next) {
    const u32 rights = ((v->vm_flags & VM_READ) != 0 ? PF_R : 0) | ((v->vm_flags & VM_WRITE) != 0 ? PF_W : 0) |
                       ((v->vm_flags & VM_EXEC) != 0 ? PF_X : 0);
    const u64 length = dumped_length(v);
    const Elf64_Phdr p{PT_LOAD, rights, offset, v->vm_start, 0, length, v->vm_end - v->vm_start, kPageSize};
    if (!w.write(&p, sizeof p)) return false;
    offset += length;
  }
  if (!w.write(notes.data(), notes.length()) || !w.skip(padding)) return false;
  void* buffer = kmalloc(kPageSize);
  if (buffer == nullptr) return false;
  for (const vm_area_struct* v = mm->mmap; v != nullptr; v = v->vm_next) {
    if (!write_memory(w, v, dumped_length(v), buffer)) break;
  }
  kfree(buffer);
  w.finish();
  return true;
}

void make_name(TextBuffer& out, int sig) {
  bool has_pid = false;
  const cred* c = current->cred_;
  for (const char* p = core_pattern; *p != 0; ++p) {
    if (*p != '%') {
      out.put(*p);
      continue;
    }
    switch (*++p) {
      case 0: return out.put(0);
      case '%': out.put('%'); break;
      case 'p':
        has_pid = true;
        out.print("%d", current->tgid);
        break;
      case 'P': out.print("%d", current->tgid); break;
      case 'i':
      case 'I': out.print("%d", current->pid); break;
      case 'u': out.print("%u", c->uid); break;
      case 'g': out.print("%u", c->gid); break;
      case 'd': out.print("1"); break;
      case 's': out.print("%d", sig); break;
      case 't': out.print("%ld", static_cast<long>(ktime_get_real() / kNsPerSec)); break;
      case 'h': out.print("%s", current->uts_ns->nodename); break;
      case 'e':
      case 'f': out.print("%s", current->comm); break;
      case 'c': out.print("%lu", current->signal->rlim[RLIMIT_CORE].cur); break;
      default: break;
    }
  }
  if (!has_pid && core_uses_pid != 0) out.print(".%d", current->tgid);
  out.put(0);
}

file* open_core(int sig) {
  TextBuffer name;
  make_name(name, sig);
  if (name.failed()) return nullptr;
  auto opened = filp_open(name.data(), O_CREAT | O_RDWR | O_NOFOLLOW | O_LARGEFILE, 0600);
  if (!opened.ok()) return nullptr;
  file* f = opened.value();
  const inode* i = f->f_inode;
  const bool good =
      S_ISREG(i->i_mode) && i->i_nlink == 1 && i->i_uid == current->cred_->fsuid && (i->i_mode & 0077) == 0;
  if (good && do_truncate(f->f_path.dentry_, 0, 0) == 0) return f;
  fput(f);
  return nullptr;
}

// Kills the other threads and waits until each stands at its exit. False: somebody else ends the process already.
bool gather_threads(int sig) {
  signal_struct* s = current->signal;
  {
    IrqGuard guard(tasklist_lock);
    SpinGuard signals(current->sighand->siglock);
    if ((s->flags & SIGNAL_GROUP_EXIT) != 0 || s->group_exit_task != nullptr) return false;
    s->flags = (s->flags & SIGNAL_UNKILLABLE) | SIGNAL_GROUP_EXIT;
    s->group_exit_code = sig;
    s->core_dumper = current;
    for (const task_struct* t : entries<&task_struct::thread_node>(s->thread_head))
      s->core_running += t != current && (t->flags & PF_EXITING) == 0;
    zap_other_threads(current);
  }
  wait_event(s->core_wait, [&] { return read_once(s->core_running) == 0; });
  return true;
}

void add_notes(TextBuffer& notes, const siginfo& info) {
  add_prstatus(notes, current, info);
  add_prpsinfo(notes, current);
  add_note(notes, "CORE", NT_SIGINFO, &info, sizeof info);
  add_note(notes, "CORE", NT_AUXV, current->mm->saved_auxv, current->mm->saved_auxv_count * 8);
  add_files(notes, current->mm);
  add_fpu(notes, current);
  for (task_struct* t : entries<&task_struct::thread_node>(current->signal->thread_head)) {
    if (t == current || t->mm != current->mm || t->thread.fpu == nullptr) continue;
    add_prstatus(notes, t, info);
    add_fpu(notes, t);
  }
}

}  // namespace

void coredump_begin_exit(task_struct* t) {
  signal_struct* s = t->signal;
  {
    IrqGuard guard(t->sighand->siglock);
    t->flags |= PF_EXITING;
    if (s->core_dumper == nullptr || s->core_dumper == t || s->core_done) return;
    --s->core_running;
  }
  wake_up_all(s->core_wait);
  wait_event(s->core_wait, [&] { return read_once(s->core_done); });
}

bool do_coredump(const siginfo& info) {
  signal_struct* s = current->signal;
  const u64 limit = s->rlim[RLIMIT_CORE].cur;
  if (current->mm == nullptr || !current->mm->dumpable || core_pattern[0] == '|' || core_pattern[0] == 0) return false;
  if (limit < kPageSize || !gather_threads(info.si_signo)) return false;
  fpu_flush_to_memory(current);
  save_segment_bases(current);
  bool dumped = false;
  if (file* f = open_core(info.si_signo)) {
    TextBuffer notes;
    add_notes(notes, info);
    dumped = !notes.failed() && write_core(f, notes, limit);
    fput(f);
  }
  {
    IrqGuard guard(current->sighand->siglock);
    s->core_done = true;
    if (dumped) s->group_exit_code |= 0x80;
  }
  wake_up_all(s->core_wait);
  return dumped;
}

}  // namespace xm::os
