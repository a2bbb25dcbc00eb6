// SPDX-License-Identifier: GPL-2.0-or-later
// Turns the .def rows into dispatch tables at compile time. invoke<&handler> gives every handler the six-register
// signature, with each argument converted to the handler's own type.
#include "kernel/fs/eventpoll.h"
#include "kernel/lib/result.h"
#include "kernel/syscall/calls.h"
#include "kernel/syscall/calls32.h"
#include "kernel/syscall/syscall.h"

namespace xm::os {
namespace {

template <class T>
T convert(u64 v) {
  if constexpr (__is_same(T, int) || __is_same(T, u32)) {
    return static_cast<T>(v);
  } else {
    return (T)v;  // pointers and 64-bit words
  }
}

template <auto Handler>
struct Invoker;
template <class... Args, long (*Handler)(Args...)>
struct Invoker<Handler> {
  template <size_t... I>
  struct Indices {};
  template <size_t N, size_t... I>
  struct MakeIndices : MakeIndices<N - 1, N - 1, I...> {};
  template <size_t... I>
  struct MakeIndices<0, I...> {
    using type = Indices<I...>;
  };
  template <size_t... I>
  static long apply(const u64* values, Indices<I...>) {
    return Handler(convert<Args>(values[I])...);
  }
  static long call(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
    const u64 values[6] = {a, b, c, d, e, f};
    return apply(values, typename MakeIndices<sizeof...(Args)>::type{});
  }
};
template <auto Handler>
constexpr syscall_fn invoke = &Invoker<Handler>::call;

long not_implemented(u64, u64, u64, u64, u64, u64) { return -ENOSYS; }

template <u32 N>
struct Table {
  syscall_fn entries[N];
};

consteval Table<kNrSyscalls> build_table() {
  Table<kNrSyscalls> t{};
  for (syscall_fn& e : t.entries) e = not_implemented;
#define SYSCALL(number, name, handler, level, missing) t.entries[number] = invoke<&handler>;
#include "kernel/syscall/table.def"
#undef SYSCALL
  return t;
}
consteval Table<kNrCompatSyscalls> build_compat_table() {
  Table<kNrCompatSyscalls> t{};
  for (syscall_fn& e : t.entries) e = not_implemented;
#define SYSCALL(number, name, handler, level, missing) t.entries[number] = invoke<&handler>;
#include "kernel/syscall/table32.def"
#undef SYSCALL
  return t;
}

constexpr Table<kNrSyscalls> table = build_table();
constexpr Table<kNrCompatSyscalls> compat_table = build_compat_table();

}  // namespace

constinit const syscall_fn* const syscall_table = table.entries;
constinit const syscall_fn* const compat_syscall_table = compat_table.entries;

}  // namespace xm::os
