// SPDX-License-Identifier: GPL-2.0-or-later
// The one door between the kernel and user memory. Every access is range-checked, runs with SMAP lifted for just that
// instruction, and has an exception-table entry: a bad pointer gives -EFAULT, never a fault in the kernel.
#pragma once

#include "kernel/lib/result.h"
#include "kernel/mm/layout.h"

namespace xm::os {

inline bool access_ok(u64 address, u64 size) { return size <= kTaskSizeMax && address <= kTaskSizeMax - size; }
inline bool access_ok(const void* p, u64 size) { return access_ok(reinterpret_cast<u64>(p), size); }

// Return the number of bytes not copied.
u64 copy_to_user_partial(void* to, const void* from, u64 n);
u64 copy_from_user_partial(void* to, const void* from, u64 n);
u64 clear_user_partial(void* to, u64 n);

inline int copy_to_user(void* to, const void* from, u64 n) {
  return copy_to_user_partial(to, from, n) == 0 ? 0 : -EFAULT;
}
inline int copy_from_user(void* to, const void* from, u64 n) {
  return copy_from_user_partial(to, from, n) == 0 ? 0 : -EFAULT;
}
inline int clear_user(void* to, u64 n) { return clear_user_partial(to, n) == 0 ? 0 : -EFAULT; }
template <class T>
int put_user(const T& v, T* to) {
  return copy_to_user(to, &v, sizeof v);
}
template <class T>
int get_user(T& v, const T* from) {
  return copy_from_user(&v, from, sizeof v);
}
template <class T>
int put_user_at(const T& v, u64 to) {
  return copy_to_user(reinterpret_cast<void*>(to), &v, sizeof v);
}
template <class T>
int get_user_at(T& v, u64 from) {
  return copy_from_user(&v, reinterpret_cast<const void*>(from), sizeof v);
}

// Copies a string with its NUL; returns its length, -EFAULT, or -ENAMETOOLONG when `size` bytes hold no NUL.
long strncpy_from_user(char* to, const char* from, size_t size);
// A copied string in kmalloc memory of at most `limit` bytes.
Result<char*> strndup_user(const char* from, size_t limit);
// Atomic compare-and-exchange of a user word; *old gets what was there.
int cmpxchg_user(u32* address, u32 expected, u32 desired, u32* old);

struct ExceptionEntry {
  u64 fault_rip, fixup_rip;
};
u64 search_exception_table(u64 rip);  // 0: none

}  // namespace xm::os
