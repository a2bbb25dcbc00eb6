// SPDX-License-Identifier: GPL-2.0-or-later
// /proc: a tree of entries made by proc_create, and a directory for each process. An entry's show function writes the
// whole text; the file layer cuts it into reads. sysfs uses the same machinery with a tree of its own.
#pragma once

#include "kernel/fs/fs.h"
#include "kernel/lib/text_buffer.h"

namespace xm::os {

struct task_struct;

using proc_show_t = void (*)(TextBuffer& out, void* data);
using proc_store_t = int (*)(const char* text, size_t n, void* data);  // 0 or negative errno

struct proc_dir_entry {
  const char* name = "";
  umode_t mode = 0;
  proc_show_t show = nullptr;
  proc_store_t store = nullptr;
  void* data = nullptr;
  const char* link_target = nullptr;
  proc_dir_entry* parent = nullptr;
  proc_dir_entry* children = nullptr;
  proc_dir_entry* next = nullptr;
  ino_t ino = 0;
  bool hidden = false;  // taken off by proc_remove; comes back when it is made again
};

extern proc_dir_entry proc_root;
extern proc_dir_entry sysfs_root;
// "sys/kernel/hostname" makes the directories on the way. Null: no memory.
proc_dir_entry* proc_create(proc_dir_entry* root, const char* path_name, umode_t mode, proc_show_t show,
                            proc_store_t store = nullptr, void* data = nullptr);
proc_dir_entry* proc_mkdir(proc_dir_entry* root, const char* path_name);
proc_dir_entry* proc_symlink(proc_dir_entry* root, const char* path_name, const char* target);
// Takes an entry and all below it out of sight. Files that are open still call show.
void proc_remove(proc_dir_entry* root, const char* path_name);
proc_dir_entry* proc_find(const proc_dir_entry* dir, const qstr& name);

// A value in /proc/sys: an integer with limits, shown and stored as decimal.
struct proc_number {
  s64* value;
  s64 low, high;
};
void proc_create_number(const char* path_name, umode_t mode, proc_number* number);

// pid.cc: directories of processes.
struct proc_info {              // i_private of every inode here
  const proc_dir_entry* entry;  // of the static tree, or null
  task_struct* task;            // referenced, or null
  const struct pid_entry* pid;  // which file of a process directory
  int fd;
};
inode* proc_make_inode(super_block* sb, umode_t mode, const proc_info& info);
int proc_pid_lookup(inode* dir, dentry* d);      // in /proc: a number
task_struct* proc_task_of(const file* f);        // of an open /proc/PID directory, or null
bool proc_pid_readdir(file* f, dir_context& c);  // after the static entries
struct ProcText {
  TextBuffer text;
};
ssize_t proc_read_text(file* f, iov_iter& to, loff_t& pos, void (*fill)(file*, TextBuffer&));

void show_mounts(TextBuffer& out, const path& root);
void show_mountinfo(TextBuffer& out, const path& root);

}  // namespace xm::os
