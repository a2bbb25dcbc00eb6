// SPDX-License-Identifier: GPL-2.0-or-later
// load_elf_binary in three steps: check, map, start frame. 64- and 32-bit files share the code: 32-bit headers are
// widened when read.
#include "abi/elf.h"
#include "abi/mman.h"
#include "kernel/arch/x86_64/cpu.h"
#include "kernel/drivers/random.h"
#include "kernel/fs/namei.h"
#include "kernel/lib/string.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/clock.h"
#include "kernel/task/exec_image.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr int ELIBBAD = 80;
constexpr u32 kMaxHeaders = 128;
struct ElfFile {
  file* f = nullptr;
  bool compat = false;
  u16 type = 0;
  u64 entry = 0, phoff = 0;
  u32 count = 0;
  Elf64_Phdr* headers = nullptr;
  ~ElfFile() { kfree(headers); }
};

int read_exact(file* f, void* to, u64 n, u64 offset) {
  loff_t pos = static_cast<loff_t>(offset);
  const ssize_t got = kernel_read(f, to, n, pos);
  if (got < 0) return static_cast<int>(got);
  return static_cast<u64>(got) == n ? 0 : -ENOEXEC;
}

Elf64_Phdr widen(const Elf32_Phdr& p) {
  return {p.p_type, p.p_flags, p.p_offset, p.p_vaddr, p.p_paddr, p.p_filesz, p.p_memsz, p.p_align};
}

int read_elf(file* f, ElfFile& elf) {
  elf.f = f;
  Elf64_Ehdr h{};
  Elf32_Ehdr h32{};
  TRY_INT(read_exact(f, &h32, sizeof h32, 0));
  if (memcmp(h32.e_ident,
             "\x7f"
             "ELF",
             4) != 0 ||
      h32.e_ident[5] != 1)
    return -ENOEXEC;
  u32 entry_size;
  if (h32.e_ident[4] == 2) {
    TRY_INT(read_exact(f, &h, sizeof h, 0));
    if (h.e_machine != EM_X86_64) return -ENOEXEC;
    entry_size = sizeof(Elf64_Phdr);
  } else if (h32.e_ident[4] == 1) {
    if (h32.e_machine != EM_386) return -ENOEXEC;
    h.e_type = h32.e_type;
    h.e_entry = h32.e_entry;
    h.e_phoff = h32.e_phoff;
    h.e_phnum = h32.e_phnum;
    h.e_phentsize = h32.e_phentsize;
    entry_size = sizeof(Elf32_Phdr);
    elf.compat = true;
  } else {
    return -ENOEXEC;
  }
  if (h.e_type != ET_EXEC && h.e_type != ET_DYN) return -ENOEXEC;
  if (h.e_phentsize != entry_size || h.e_phnum == 0 || h.e_phnum > kMaxHeaders) return -ENOEXEC;
  elf.type = h.e_type;
  elf.entry = h.e_entry;
  elf.phoff = h.e_phoff;
  elf.count = h.e_phnum;
  elf.headers = static_cast<Elf64_Phdr*>(kmalloc(elf.count * sizeof(Elf64_Phdr)));
  if (elf.headers == nullptr) return -ENOMEM;
  if (!elf.compat) return read_exact(f, elf.headers, elf.count * sizeof(Elf64_Phdr), elf.phoff);
  for (u32 i = 0; i < elf.count; ++i) {
    Elf32_Phdr p;
    TRY_INT(read_exact(f, &p, sizeof p, elf.phoff + i * sizeof p));
    elf.headers[i] = widen(p);
  }
  return 0;
}

u64 vm_flags_of(u32 p_flags) {
  return ((p_flags & PF_R) != 0 ? VM_READ : 0) | ((p_flags & PF_W) != 0 ? VM_WRITE : 0) |
         ((p_flags & PF_X) != 0 ? VM_EXEC : 0) | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;
}

int map_segment(const ElfFile& elf, const Elf64_Phdr& p, u64 bias) {
  mm_struct* mm = current->mm;
  const u64 start = p.p_vaddr + bias;
  const u64 page_start = start & kPageMask;
  if (p.p_filesz > p.p_memsz || start + p.p_memsz < start || start + p.p_memsz > mm->task_size) return -ENOEXEC;
  if (((p.p_offset ^ p.p_vaddr) & ~kPageMask) != 0) return -ENOEXEC;
  const u64 file_end = start + p.p_filesz, memory_end = start + p.p_memsz;
  if (p.p_filesz != 0) {
    WriteGuard guard(mm->mmap_lock);
    const long r = mmap_region(mm, elf.f, page_start, page_align(file_end) - page_start, vm_flags_of(p.p_flags),
                               p.p_offset >> kPageShift);
    if (r < 0) return static_cast<int>(r);
  }
  const u64 bss_start = p.p_filesz != 0 ? page_align(file_end) : page_start;
  if (page_align(memory_end) > bss_start) {
    WriteGuard guard(mm->mmap_lock);
    const long r = mmap_region(mm, nullptr, bss_start, page_align(memory_end) - bss_start, vm_flags_of(p.p_flags), 0);
    if (r < 0) return static_cast<int>(r);
  }
  if (memory_end > file_end && (file_end & ~kPageMask) != 0 && (p.p_flags & PF_W) != 0 && p.p_filesz != 0) {
    if (clear_user(reinterpret_cast<void*>(file_end), page_align(file_end) - file_end) != 0) return -EFAULT;
  }
  return 0;
}

// Maps all PT_LOADs; a position-independent file goes to `base`. Returns the bias.
long map_all(const ElfFile& elf, u64 base, bool is_program, Image& im) {
  u64 lowest = ~0ul, highest = 0, align = kPageSize;
  for (u32 i = 0; i < elf.count; ++i) {
    const Elf64_Phdr& p = elf.headers[i];
    if (p.p_type != PT_LOAD) continue;
    lowest = min(lowest, p.p_vaddr & kPageMask);
    highest = max(highest, page_align(p.p_vaddr + p.p_memsz));
    if ((p.p_align & (p.p_align - 1)) == 0) align = max(align, min<u64>(p.p_align, 1ul << 30));
  }
  if (lowest == ~0ul || highest <= lowest) return -ENOEXEC;
  u64 bias = 0;
  mm_struct* mm = current->mm;
  if (elf.type == ET_DYN) {
    if (base == 0) {
      WriteGuard guard(mm->mmap_lock);
      base = get_unmapped_area(mm, 0, highest - lowest + align);
      if (base == 0) return -ENOMEM;
    }
    bias = align_up(base, align) - lowest;
  }
  for (u32 i = 0; i < elf.count; ++i) {
    const Elf64_Phdr& p = elf.headers[i];
    if (p.p_type != PT_LOAD || p.p_memsz == 0) continue;
    TRY_INT(map_segment(elf, p, bias));
    if (!is_program) continue;
    const u64 start = p.p_vaddr + bias;
    if ((p.p_flags & PF_X) != 0 && mm->start_code == 0) {
      mm->start_code = start;
      mm->end_code = start + p.p_filesz;
    }
    mm->start_data = start;
    mm->end_data = start + p.p_filesz;
    mm->start_brk = max(mm->start_brk, start + p.p_memsz);
    if (elf.phoff >= p.p_offset && elf.phoff < p.p_offset + p.p_filesz)
      im.phdr_address = elf.phoff - p.p_offset + start;
  }
  return static_cast<long>(bias);
}

}  // namespace

int elf_check(Image& im) {
  ElfFile elf;
  TRY_INT(read_elf(im.program, elf));
  im.compat = elf.compat;
  for (u32 i = 0; i < elf.count; ++i) {
    const Elf64_Phdr& p = elf.headers[i];
    if (p.p_type == PT_GNU_STACK) im.executable_stack = (p.p_flags & PF_X) != 0;
    if (p.p_type != PT_INTERP || im.interpreter != nullptr) continue;
    if (p.p_filesz < 2 || p.p_filesz > kPathMax) return -ENOEXEC;
    char* name = static_cast<char*>(kmalloc(p.p_filesz + 1));
    if (name == nullptr) return -ENOMEM;
    int error = read_exact(im.program, name, p.p_filesz, p.p_offset);
    if (error == 0 && name[p.p_filesz - 1] != 0) error = -ENOEXEC;
    if (error == 0) {
      auto f = filp_open(name, O_RDONLY, 0);
      if (f.ok()) {
        im.interpreter = f.value();
        error = inode_permission(im.interpreter->f_inode, MAY_EXEC);
      } else {
        error = -f.error();
      }
    }
    kfree(name);
    TRY_INT(error);
    ElfFile check;
    const int bad = read_elf(im.interpreter, check);
    if (bad != 0) return bad == -ENOEXEC ? -ELIBBAD : bad;
  }
  return 0;
}

int elf_load(Image& im) {
  mm_struct* mm = current->mm;
  ElfFile elf;
  TRY_INT(read_elf(im.program, elf));
  const u64 spread = im.personality_no_randomize ? 0 : (get_random_u64() & (im.compat ? 0xff : 0xfffff)) << kPageShift;
  u64 base = 0;
  if (elf.type == ET_DYN) base = (im.compat ? 0x56555000ul : 0x0000555555554000ul) + spread;
  const u64 bias = static_cast<u64>(TRY_INT(map_all(elf, base, true, im)));
  im.program_entry = im.entry = elf.entry + bias;
  im.phdr_count = elf.count;
  im.phdr_size = elf.compat ? sizeof(Elf32_Phdr) : sizeof(Elf64_Phdr);
  if (im.interpreter != nullptr) {
    ElfFile loader;
    TRY_INT(read_elf(im.interpreter, loader));
    if (loader.compat != elf.compat) return -ENOEXEC;
    const u64 loader_bias = static_cast<u64>(TRY_INT(map_all(loader, 0, false, im)));
    im.interpreter_base = loader_bias;
    im.entry = loader.entry + loader_bias;
  }
  mm->start_brk = page_align(mm->start_brk);
  if (!im.personality_no_randomize) mm->start_brk += (get_random_u64() & (im.compat ? 0xff : 0x1fff)) << kPageShift;
  mm->brk = mm->start_brk;
  return 0;
}

u64 elf_start_frame(Image& im, u64 top) {
  mm_struct* mm = current->mm;
  const u64 strings = top - im.top;
  u64 sp = align_down(strings, 16);
  u8 random[16];
  const u64 words[2] = {get_random_u64(), get_random_u64()};
  memcpy(random, words, 16);
  sp -= 16;
  const u64 random_at = sp;
  const char* platform = im.compat ? "i686" : "x86_64";
  sp -= 8;
  const u64 platform_at = sp;
  if (copy_to_user(reinterpret_cast<void*>(random_at), random, 16) != 0) return 0;
  if (copy_to_user(reinterpret_cast<void*>(platform_at), platform, strlen(platform) + 1) != 0) return 0;

  const cred* c = current->cred_;
  u64* aux = mm->saved_auxv;
  u32 n = 0;
  const auto add = [&](u64 key, u64 value) {
    aux[n++] = key;
    aux[n++] = value;
  };
  add(AT_HWCAP, cpuid(1).edx);
  add(AT_PAGESZ, kPageSize);
  add(AT_CLKTCK, kUserHz);
  add(AT_PHDR, im.phdr_address);
  add(AT_PHENT, im.phdr_size);
  add(AT_PHNUM, im.phdr_count);
  add(AT_BASE, im.interpreter_base);
  add(AT_FLAGS, 0);
  add(AT_ENTRY, im.program_entry);
  add(AT_UID, c->uid);
  add(AT_EUID, c->euid);
  add(AT_GID, c->gid);
  add(AT_EGID, c->egid);
  add(AT_SECURE, im.secure ? 1 : 0);
  add(AT_RANDOM, random_at);
  add(AT_HWCAP2, cpu_features.fsgsbase ? 2 : 0);
  add(AT_EXECFN, top - im.execfn_top);
  add(AT_PLATFORM, platform_at);
  add(AT_MINSIGSTKSZ, cpu_features.xsave_size + 1024);
  add(AT_NULL, 0);
  mm->saved_auxv_count = n;

  const u64 width = im.compat ? 4 : 8;
  const u64 slots = 1 + im.argc + 1 + im.envc + 1 + n;
  sp = align_down(sp - slots * width, 16);
  u64 at = sp;
  bool failed = false;
  const auto put = [&](u64 v) {
    failed |= width == 8 ? put_user_at(v, at) != 0 : put_user_at(static_cast<u32>(v), at) != 0;
    at += width;
  };
  const auto put_strings = [&](u32 count, u64 text) {
    for (u32 i = 0; i < count; ++i) {
      put(text);
      char b = 1;
      while (!failed && b != 0) {
        char chunk[64];
        const u64 step = min<u64>(sizeof chunk, top - text);
        if (copy_from_user(chunk, reinterpret_cast<void*>(text), step) != 0) failed = true;
        const void* nul = memchr(chunk, 0, step);
        if (nul != nullptr) {
          text += static_cast<u64>(static_cast<const char*>(nul) - chunk) + 1;
          b = 0;
        } else {
          text += step;
        }
      }
    }
    put(0);
    return text;
  };
  put(im.argc);
  mm->arg_start = strings;
  mm->arg_end = mm->env_start = put_strings(im.argc, strings);
  mm->env_end = put_strings(im.envc, mm->env_start);
  for (u32 i = 0; i < n; ++i) put(aux[i]);
  return failed ? 0 : sp;
}

}  // namespace xm::os
