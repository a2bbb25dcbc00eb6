// SPDX-License-Identifier: GPL-2.0-or-later
// /proc/PID: what ps, top, pmap and many others parse. Text formats as in [man 5 proc]. A directory vanishes with its
// process: the dentry is not kept and is checked at each lookup.
#include "kernel/fs/file_table.h"
#include "kernel/fs/namei.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/fs/proc/task_text.h"
#include "kernel/lib/format.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/slab.h"
#include "kernel/task/ptrace.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

struct pid_entry {
  const char* name;
  umode_t mode;
  void (*show)(TextBuffer& out, task_struct* t);
  int (*store)(task_struct* t, const char* text, size_t n);
  // Not a text: moves bytes at the position.
  ssize_t (*transfer)(task_struct* t, iov_iter& it, loff_t& pos, bool write) = nullptr;
};

namespace {

proc_info* info_of(const inode* i) { return static_cast<proc_info*>(i->i_private); }

void show_nothing(TextBuffer&, task_struct*) {}

int store_oom_score_adj(task_struct* t, const char* text, size_t) {
  const bool negative = text[0] == '-';
  s64 v = static_cast<s64>(parse_number(text + (negative ? 1 : 0), nullptr, 10));
  if (negative) v = -v;
  if (v < -1000 || v > 1000) return -EINVAL;
  if (v < t->signal->oom_score_adj && !capable(CAP_SYS_RESOURCE)) return -EACCES;
  t->signal->oom_score_adj = static_cast<short>(v);
  return 0;
}
int store_comm(task_struct* t, const char* text, size_t n) {
  if (t->tgid != current->tgid) return -EINVAL;
  while (n > 0 && text[n - 1] == '\n') --n;
  char name[16]{};
  memcpy(name, text, min<size_t>(n, 15));
  memcpy(t->comm, name, sizeof name);
  return 0;
}

int store_coredump_filter(task_struct* t, const char* text, size_t) {
  const u64 v = parse_number(text, nullptr, text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10);
  if (t->mm == nullptr) return -ESRCH;
  t->mm->coredump_filter = static_cast<u32>(v);
  return 0;
}
void show_coredump_filter(TextBuffer& out, task_struct* t) {
  if (t->mm != nullptr) out.print("%08x\n", t->mm->coredump_filter);
}
void show_personality(TextBuffer& out, task_struct* t) { out.print("%08lx\n", t->personality); }
void show_timerslack(TextBuffer& out, task_struct* t) { out.print("%lu\n", t->timer_slack_ns); }
int store_timerslack(task_struct* t, const char* text, size_t) {
  if (t != current && !capable(CAP_SYS_NICE)) return -EPERM;
  const u64 v = parse_number(text, nullptr, 10);
  t->timer_slack_ns = v == 0 ? t->default_timer_slack_ns : v;
  return 0;
}

constexpr pid_entry kEntries[] = {
    {"auxv", S_IFREG | 0400, show_auxv, nullptr},
    {"cgroup", S_IFREG | 0444, show_cgroup, nullptr},
    {"cmdline", S_IFREG | 0444, show_cmdline, nullptr},
    {"comm", S_IFREG | 0644, show_comm, store_comm},
    {"coredump_filter", S_IFREG | 0644, show_coredump_filter, store_coredump_filter},
    {"cwd", S_IFLNK | 0777, nullptr, nullptr},
    {"environ", S_IFREG | 0400, show_environ, nullptr},
    {"exe", S_IFLNK | 0777, nullptr, nullptr},
    {"fd", S_IFDIR | 0500, nullptr, nullptr},
    {"fdinfo", S_IFDIR | 0555, nullptr, nullptr},
    {"io", S_IFREG | 0400, show_io, nullptr},
    {"limits", S_IFREG | 0444, show_limits, nullptr},
    {"maps", S_IFREG | 0444, show_maps, nullptr},
    {"mem", S_IFREG | 0600, nullptr, nullptr, transfer_memory},
    {"mountinfo", S_IFREG | 0444, show_task_mountinfo, nullptr},
    {"mounts", S_IFREG | 0444, show_task_mounts, nullptr},
    {"oom_score", S_IFREG | 0444, show_oom_score, nullptr},
    {"oom_score_adj", S_IFREG | 0644, show_oom_score_adj, store_oom_score_adj},
    {"pagemap", S_IFREG | 0400, nullptr, nullptr, transfer_pagemap},
    {"personality", S_IFREG | 0400, show_personality, nullptr},
    {"root", S_IFLNK | 0777, nullptr, nullptr},
    {"smaps", S_IFREG | 0444, show_smaps, nullptr},
    {"stat", S_IFREG | 0444, show_stat, nullptr},
    {"statm", S_IFREG | 0444, show_statm, nullptr},
    {"status", S_IFREG | 0444, show_status, nullptr},
    {"syscall", S_IFREG | 0400, show_nothing, nullptr},
    {"task", S_IFDIR | 0555, nullptr, nullptr},
    {"timerslack_ns", S_IFREG | 0666, show_timerslack, store_timerslack},
    {"wchan", S_IFREG | 0444, show_wchan, nullptr},
};
constexpr u32 task_index() {
  u32 n = 0;
  while (kEntries[n].name[0] != 't' || kEntries[n].name[1] != 'a') ++n;
  return n;
}
constexpr u32 kTaskIndex = task_index();  // threads have no task directory of their own

bool alive(const task_struct* t) { return t->exit_state != EXIT_DEAD && !t->pid_link.empty(); }

struct PidDentryOps final : dentry_operations {
  bool revalidate(dentry* d) const override {
    const proc_info* info = d->d_inode != nullptr ? info_of(d->d_inode) : nullptr;
    return info != nullptr && info->task != nullptr && alive(info->task);
  }
  bool keep(const dentry*) const override { return false; }
};
constinit const PidDentryOps pid_dentry_ops{};

void set_owner(inode* i, const task_struct* t) {
  const bool dumpable = t->mm == nullptr || t->mm->dumpable;
  i->i_uid = dumpable ? t->cred_->euid : 0;
  i->i_gid = dumpable ? t->cred_->egid : 0;
}

// fdinfo/N: position, flags, mount, inode, then what the file itself adds. [man 5 proc]
void show_fdinfo(TextBuffer& out, task_struct* t, int fd) {
  file* f;
  {
    IrqGuard guard(tasklist_lock);
    f = t->files == nullptr ? nullptr : fget_task(t, fd);
  }
  if (f == nullptr) return;
  out.print("pos:\t%lld\nflags:\t0%o\nmnt_id:\t%u\nino:\t%lu\n", f->f_pos, f->f_flags, f->f_path.mnt->mnt_id,
            f->f_inode->i_ino);
  char more[1024];
  f->f_op->show_fdinfo(f, more, sizeof more);
  out.print("%s", more);
  fput(f);
}

void fill_pid(file* f, TextBuffer& out) {
  const proc_info* info = info_of(f->f_inode);
  if (info->pid == nullptr) return show_fdinfo(out, info->task, info->fd);
  info->pid->show(out, info->task);
}

struct PidFileOps final : file_operations {
  loff_t llseek(file* f, loff_t offset, int whence) const override {
    const proc_info* info = info_of(f->f_inode);
    if (info->pid == nullptr || info->pid->transfer == nullptr) return file_operations::llseek(f, offset, whence);
    if (whence != SEEK_SET && whence != SEEK_CUR) return -EINVAL;  // addresses of all 64 bits
    return f->f_pos = whence == SEEK_SET ? offset : f->f_pos + offset;
  }
  int open(inode* i, file*) const override {
    const proc_info* info = info_of(i);
    const bool guarded = info->pid != nullptr && info->pid->transfer != nullptr;
    return guarded && !ptrace_may_access(info->task) ? -EACCES : 0;
  }

  ssize_t read_iter(file* f, iov_iter& to, loff_t& pos) const override {
    const proc_info* info = info_of(f->f_inode);
    if (info->pid != nullptr && info->pid->transfer != nullptr) return info->pid->transfer(info->task, to, pos, false);
    return proc_read_text(f, to, pos, fill_pid);
  }
  ssize_t write_iter(file* f, iov_iter& from, loff_t& pos) const override {
    const proc_info* info = info_of(f->f_inode);
    if (info->pid != nullptr && info->pid->transfer != nullptr) return info->pid->transfer(info->task, from, pos, true);
    if (info->pid == nullptr || info->pid->store == nullptr) return -EINVAL;
    char text[128]{};
    const u64 n = min<u64>(from.count(), sizeof text - 1);
    if (from.copy_from(text, n) != n) return -EFAULT;
    const int error = info->pid->store(info->task, text, n);
    return error != 0 ? error : static_cast<ssize_t>(n);
  }
  void release(inode*, file* f) const override { kdelete(static_cast<TextBuffer*>(f->private_data)); }
};
constinit const PidFileOps pid_file_ops{};

// cwd, root, exe, fd/N: the path itself, not its text.
struct PidLinkOps final : inode_operations {
  int get_link(dentry*, inode* i, link_body& body) const override {
    const proc_info* info = info_of(i);
    task_struct* t = info->task;
    if (t->cred_->euid != current->cred_->fsuid && t->tgid != current->tgid && !capable(CAP_SYS_PTRACE)) return -EACCES;
    path p;
    if (info->pid == nullptr) {
      IrqGuard guard(tasklist_lock);
      file* f = t->files == nullptr ? nullptr : fget_task(t, info->fd);
      if (f == nullptr) return -ENOENT;
      p = f->f_path;
      path_get(p);
      f->f_count.sub(1);  // the task still holds it: not the last reference
    } else if (strcmp(info->pid->name, "exe") == 0) {
      mm_struct* mm = get_task_mm(t);
      if (mm == nullptr || mm->exe_file == nullptr) {
        if (mm != nullptr) mmput(mm);
        return -ENOENT;
      }
      p = mm->exe_file->f_path;
      path_get(p);
      mmput(mm);
    } else {
      IrqGuard guard(tasklist_lock);
      if (t->fs == nullptr) return -ENOENT;
      p = info->pid->name[0] == 'c' ? t->fs->pwd : t->fs->root;
      path_get(p);
    }
    body.is_jump = true;
    body.jump_mnt = p.mnt;
    body.jump_dentry = p.dentry_;
    return 0;
  }
};
constinit const PidLinkOps pid_link_ops{};

inode* make_pid_inode(super_block* sb, umode_t mode, const proc_info& info);
int add_pid_inode(dentry* d, super_block* sb, umode_t mode, const proc_info& info) {
  inode* i = make_pid_inode(sb, mode, info);
  if (i == nullptr) return -ENOMEM;
  d->d_op = &pid_dentry_ops;
  d_add(d, i);
  return 0;
}

bool parse_pid(const qstr& name, int& number) {
  if (name.len == 0 || name.len > 9 || (name.len > 1 && name.name[0] == '0')) return false;
  number = 0;
  for (u32 i = 0; i < name.len; ++i) {
    if (name.name[i] < '0' || name.name[i] > '9') return false;
    number = number * 10 + (name.name[i] - '0');
  }
  return true;
}

struct PidDirInodeOps final : inode_operations {
  int lookup(inode* dir, dentry* d) const override {
    const proc_info* info = info_of(dir);
    for (const pid_entry& e : kEntries) {
      if (!d->d_name.equals(e.name)) continue;
      if (&e == &kEntries[kTaskIndex] && info->fd == 1) break;
      return add_pid_inode(d, dir->i_sb, e.mode, {nullptr, info->task, &e, 0});
    }
    return -ENOENT;
  }
};
constinit const PidDirInodeOps pid_dir_inode_ops{};

struct FdDirInodeOps final : inode_operations {
  int lookup(inode* dir, dentry* d) const override {
    const proc_info* info = info_of(dir);
    int fd;
    if (!parse_pid(d->d_name, fd)) return -ENOENT;
    {
      IrqGuard guard(tasklist_lock);
      file* f = info->task->files == nullptr ? nullptr : fget_task(info->task, fd);
      if (f == nullptr) return -ENOENT;
      f->f_count.sub(1);
    }
    const bool text = strcmp(info->pid->name, "fdinfo") == 0;
    return add_pid_inode(d, dir->i_sb, text ? S_IFREG | 0444 : S_IFLNK | 0700, {nullptr, info->task, nullptr, fd});
  }
  int permission(inode* i, int mask) const override {
    if (info_of(i)->task->tgid == current->tgid) return 0;
    return generic_permission(i, mask);
  }
};
constinit const FdDirInodeOps fd_dir_inode_ops{};

struct TaskDirInodeOps final : inode_operations {
  int lookup(inode* dir, dentry* d) const override {
    int tid;
    if (!parse_pid(d->d_name, tid)) return -ENOENT;
    task_struct* t = get_task_by_pid(tid);
    if (t == nullptr) return -ENOENT;
    int error = -ENOENT;
    if (t->tgid == info_of(dir)->task->tgid)
      error = add_pid_inode(d, dir->i_sb, S_IFDIR | 0555, {nullptr, t, nullptr, 1});
    put_task(t);
    return error;
  }
};
constinit const TaskDirInodeOps task_dir_inode_ops{};

bool emit_dots(file* f, dir_context& c) {
  if (c.pos == 0 && dir_emit(c, ".", 1, f->f_inode->i_ino, DT_DIR)) ++c.pos;
  if (c.pos == 1 && dir_emit(c, "..", 2, f->f_path.dentry_->d_parent->d_inode->i_ino, DT_DIR)) ++c.pos;
  return c.pos >= 2;
}
bool emit_number(dir_context& c, int number, u8 type) {
  char name[16];
  const int n = format(name, sizeof name, "%d", number);
  return dir_emit(c, name, static_cast<size_t>(n), static_cast<ino_t>(number) + 0x100000, type);
}

struct PidDirOps final : file_operations {
  ssize_t read_iter(file*, iov_iter&, loff_t&) const override { return -EISDIR; }
  loff_t llseek(file* f, loff_t offset, int whence) const override {
    return generic_llseek(f, offset, whence, 1l << 40);
  }
  int iterate(file* f, dir_context& c) const override {
    const proc_info* info = info_of(f->f_inode);
    if (!emit_dots(f, c)) return 0;
    if (info->pid == nullptr) {
      for (; c.pos - 2 < static_cast<loff_t>(array_size(kEntries)); ++c.pos) {
        const pid_entry& e = kEntries[c.pos - 2];
        if (&e == &kEntries[kTaskIndex] && info->fd == 1) continue;
        if (!dir_emit(c, e.name, strlen(e.name), f->f_inode->i_ino + static_cast<u64>(c.pos), mode_to_dt(e.mode)))
          break;
      }
      return 0;
    }
    return info->pid->name[0] == 'f' ? list_fds(info->task, c) : list_threads(info->task, c);
  }
  static int list_fds(task_struct* t, dir_context& c) {
    for (int fd = static_cast<int>(c.pos - 2);; ++fd) {
      {
        IrqGuard guard(tasklist_lock);
        if (t->files == nullptr || static_cast<u32>(fd) >= t->files->max_fds) return 0;
        file* f = fget_task(t, fd);
        if (f == nullptr) continue;
        f->f_count.sub(1);
      }
      c.pos = fd + 2;
      if (!emit_number(c, fd, DT_LNK)) return 0;
      c.pos = fd + 3;
    }
  }
  static int list_threads(task_struct* t, dir_context& c) {
    for (;;) {
      pid_t best = 0;
      {
        IrqGuard guard(tasklist_lock);
        for (task_struct* th : entries<&task_struct::thread_node>(t->signal->thread_head)) {
          if (th->pid >= c.pos - 2 && (best == 0 || th->pid < best)) best = th->pid;
        }
      }
      if (best == 0) return 0;
      c.pos = best + 2;
      if (!emit_number(c, best, DT_DIR)) return 0;
      c.pos = best + 3;
    }
  }
};
constinit const PidDirOps pid_dir_ops{};

inode* make_pid_inode(super_block* sb, umode_t mode, const proc_info& info) {
  inode* i = proc_make_inode(sb, mode, info);
  if (i == nullptr) return nullptr;
  set_owner(i, info.task);
  if (S_ISLNK(mode)) {
    i->i_op = &pid_link_ops;
    i->i_size = 64;
  } else if (S_ISDIR(mode)) {
    i->i_nlink = 2;
    i->i_fop = &pid_dir_ops;
    i->i_op = &pid_dir_inode_ops;
    if (info.pid != nullptr)
      i->i_op =
          info.pid->name[0] == 'f' ? static_cast<const inode_operations*>(&fd_dir_inode_ops) : &task_dir_inode_ops;
  } else {
    i->i_fop = &pid_file_ops;
  }
  return i;
}

}  // namespace

int proc_pid_lookup(inode* dir, dentry* d) {
  int pid;
  if (!parse_pid(d->d_name, pid)) return -ENOENT;
  task_struct* t = get_task_by_pid(pid);
  if (t == nullptr) return -ENOENT;
  const int error = add_pid_inode(d, dir->i_sb, S_IFDIR | 0555, {nullptr, t, nullptr, 0});
  put_task(t);
  return error;
}

// Positions from kPidBase on are process numbers.
bool proc_pid_readdir(file*, dir_context& c) {
  constexpr loff_t kPidBase = 0x10000;
  if (c.pos < kPidBase) c.pos = kPidBase;
  for (;;) {
    pid_t best = 0;
    {
      IrqGuard guard(tasklist_lock);
      for (task_struct* t : entries<&task_struct::tasks>(all_processes)) {
        if (t->pid >= c.pos - kPidBase && (best == 0 || t->pid < best)) best = t->pid;
      }
    }
    if (best == 0) return true;
    c.pos = best + kPidBase;
    if (!emit_number(c, best, DT_DIR)) return false;
    c.pos = best + kPidBase + 1;
  }
}

task_struct* proc_task_of(const file* f) {
  if (!S_ISDIR(f->f_inode->i_mode) || f->f_inode->i_sb->s_magic != 0x9fa0) return nullptr;
  const proc_info* info = info_of(f->f_inode);
  const bool whole = info != nullptr && info->task != nullptr && info->pid == nullptr && info->entry == nullptr;
  return whole ? info->task : nullptr;
}

}  // namespace xm::os
