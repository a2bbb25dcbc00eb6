// SPDX-License-Identifier: GPL-2.0-or-later
// Atomic integers and pointers (sequentially consistent: x86 makes that cheap) and the compiler barrier.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

template <class T>
class Atomic {
 public:
  constexpr Atomic(T v = T{}) : value_(v) {}
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;
  T load() const { return __atomic_load_n(&value_, __ATOMIC_ACQUIRE); }
  void store(T v) { __atomic_store_n(&value_, v, __ATOMIC_RELEASE); }
  T exchange(T v) { return __atomic_exchange_n(&value_, v, __ATOMIC_SEQ_CST); }
  bool compare_exchange(T expected, T desired) {
    return __atomic_compare_exchange_n(&value_, &expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  }
  T add(T v) { return __atomic_add_fetch(&value_, v, __ATOMIC_SEQ_CST); }
  T sub(T v) { return __atomic_sub_fetch(&value_, v, __ATOMIC_SEQ_CST); }
  T fetch_or(T v) { return __atomic_fetch_or(&value_, v, __ATOMIC_SEQ_CST); }
  T fetch_and(T v) { return __atomic_fetch_and(&value_, v, __ATOMIC_SEQ_CST); }
  void inc() { add(1); }
  bool dec_and_test() { return sub(1) == 0; }
  // Takes a reference unless the count is already zero (the object is being freed).
  bool inc_not_zero() {
    T v = load();
    while (v != 0) {
      if (__atomic_compare_exchange_n(&value_, &v, v + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return true;
    }
    return false;
  }

 private:
  T value_;
};

inline void barrier() { asm volatile("" : : : "memory"); }
inline void full_barrier() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
template <class T>
T read_once(const T& v) {
  return *const_cast<const volatile T*>(&v);
}
template <class T>
void write_once(T& v, T to) {
  *const_cast<volatile T*>(&v) = to;
}

}  // namespace xm::os
