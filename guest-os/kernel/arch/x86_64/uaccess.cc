// SPDX-License-Identifier: GPL-2.0-or-later
// The instructions behind mm/uaccess.h. REP MOVSB leaves in RCX what is still to copy when it faults, so the fix-up
// only resumes after it.
#include "kernel/mm/uaccess.h"

#include "kernel/arch/x86_64/cpu.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"

extern "C" const xm::os::ExceptionEntry exception_table[], exception_table_end[];

#define EX_TABLE(from, to) ".pushsection .ex_table, \"a\"; .balign 8; .quad " from ", " to "; .popsection;"

namespace xm::os {
namespace {

// A KVM that emulates kernel code in software does not know STAC and CLAC, though its CPUID offers SMAP. POPF sets AC
// as well [SDM3 4.6.1], and every emulator has it; it is the slower way.
inline void user_access_begin() {
  if (!cpu_features.smap) return;
  if (cpu_features.ac_by_popf)
    asm volatile("pushfq; orl $0x40000, (%%rsp); popfq" : : : "memory", "cc");
  else
    asm volatile("stac" : : : "memory");
}
inline void user_access_end() {
  if (!cpu_features.smap) return;
  if (cpu_features.ac_by_popf)
    asm volatile("pushfq; andl $0xfffbffff, (%%rsp); popfq" : : : "memory", "cc");
  else
    asm volatile("clac" : : : "memory");
}

inline u64 raw_copy(void* to, const void* from, u64 n) {
  user_access_begin();
  asm volatile("1: rep movsb; 2:" EX_TABLE("1b", "2b") : "+D"(to), "+S"(from), "+c"(n) : : "memory");
  user_access_end();
  return n;
}

// Words of 1, 2, 4 or 8 bytes: most arguments are.
template <class T>
inline u64 raw_copy_word(void* to, const void* from) {
  u64 left = sizeof(T);
  T v;
  user_access_begin();
  asm volatile("1: mov (%3), %1; 2: mov %1, (%2); xorl %k0, %k0; 3:" EX_TABLE("1b", "3b") EX_TABLE("2b", "3b")
               : "+r"(left), "=&r"(v)
               : "r"(to), "r"(from)
               : "memory", "cc");
  user_access_end();
  return left;
}

inline u64 copy_either(void* to, const void* from, u64 n) {
  switch (n) {
    case 8: return raw_copy_word<u64>(to, from);
    case 4: return raw_copy_word<u32>(to, from);
    default: return raw_copy(to, from, n);
  }
}

}  // namespace

u64 search_exception_table(u64 rip) {
  for (const ExceptionEntry* e = exception_table; e < exception_table_end; ++e) {
    if (e->fault_rip == rip) return e->fixup_rip;
  }
  return 0;
}

u64 copy_to_user_partial(void* to, const void* from, u64 n) { return access_ok(to, n) ? copy_either(to, from, n) : n; }
u64 copy_from_user_partial(void* to, const void* from, u64 n) {
  return access_ok(from, n) ? copy_either(to, from, n) : n;
}

u64 clear_user_partial(void* to, u64 n) {
  if (!access_ok(to, n)) return n;
  user_access_begin();
  asm volatile("1: rep stosb; 2:" EX_TABLE("1b", "2b") : "+D"(to), "+c"(n) : "a"(0) : "memory");
  user_access_end();
  return n;
}

long strncpy_from_user(char* to, const char* from, size_t size) {
  size_t done = 0;
  while (done < size) {
    const u64 address = reinterpret_cast<u64>(from) + done;
    const size_t step = min(min(size - done, static_cast<size_t>(kPageSize - (address & (kPageSize - 1)))), size_t{64});
    if (copy_from_user(to + done, from + done, step) != 0) return -EFAULT;
    if (const void* nul = memchr(to + done, 0, step)) return static_cast<const char*>(nul) - to;
    done += step;
  }
  return -ENAMETOOLONG;
}

Result<char*> strndup_user(const char* from, size_t limit) {
  char* text = static_cast<char*>(kmalloc(limit));
  if (text == nullptr) return Error{ENOMEM};
  const long n = strncpy_from_user(text, from, limit);
  if (n < 0) {
    kfree(text);
    return Error{static_cast<int>(-n)};
  }
  return text;
}

int cmpxchg_user(u32* address, u32 expected, u32 desired, u32* old) {
  if (!access_ok(address, 4)) return -EFAULT;
  int result = -EFAULT;
  user_access_begin();
  asm volatile("1: lock cmpxchgl %3, (%2); xorl %0, %0; 2:" EX_TABLE("1b", "2b")
               : "+r"(result), "+a"(expected)
               : "r"(address), "r"(desired)
               : "memory", "cc");
  user_access_end();
  *old = expected;
  return result;
}

}  // namespace xm::os
