// SPDX-License-Identifier: GPL-2.0-or-later
// A program about to start: shared by exec.cc (strings, credentials, the switch) and elf.cc (mapping, start frame).
#pragma once

#include "kernel/fs/fs.h"
#include "kernel/mm/mm_types.h"

namespace xm::os {

struct Image {
  static constexpr u32 kMaxArgPages = 512;
  file* program = nullptr;
  file* interpreter = nullptr;
  mm_struct* mm = nullptr;
  cred* new_cred = nullptr;
  page* pages[kMaxArgPages]{};  // strings, last page of the stack first
  u64 limit = 0;
  u64 top = 0;  // bytes of strings so far
  u64 execfn_top = 0, env_top = 0;
  u32 argc = 0, envc = 0;
  char head[256]{};
  char script_name[256]{};
  char comm_source[256]{};
  bool from_fd = false, committed = false, compat = false, secure = false, executable_stack = true,
       personality_no_randomize = false;
  u64 entry = 0, program_entry = 0, interpreter_base = 0, phdr_address = 0;
  u32 phdr_count = 0, phdr_size = 0;
};

int elf_check(Image& im);                       // before the point of no return: format, interpreter
int elf_load(Image& im);                        // maps program and interpreter into current->mm
u64 elf_start_frame(Image& im, u64 stack_top);  // argc, argv, envp, auxv; the stack pointer, or 0

}  // namespace xm::os
