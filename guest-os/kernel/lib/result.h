// SPDX-License-Identifier: GPL-2.0-or-later
// Kernel errors are values. Functions with a count or nothing to return use Linux's convention (int or long, negative
// errno); functions that make or find an object return Result<T>. TRY works in both.
#pragma once

#include "abi/errno.h"
#include "kernel/lib/types.h"

namespace xm::os {

struct Error {
  int code;  // positive errno
  constexpr explicit Error(int positive_errno) : code(positive_errno) {}
  constexpr operator long() const { return -code; }
};

template <class T>
class [[nodiscard]] Result {
 public:
  constexpr Result(T value) : value_(value), error_(0) {}
  constexpr Result(Error error) : value_{}, error_(error.code) {}
  constexpr bool ok() const { return error_ == 0; }
  constexpr int error() const { return error_; }  // positive errno
  constexpr T value() const { return value_; }

 private:
  T value_;
  int error_;
};

}  // namespace xm::os

// The value of a Result, or return its error from the enclosing function (which returns a Result, int or long).
#define TRY(expression)                                                         \
  ({                                                                            \
    auto try_result = (expression);                                             \
    if (unlikely(!try_result.ok())) return ::xm::os::Error{try_result.error()}; \
    try_result.value();                                                         \
  })
// The same for int/long with negative errno; yields the non-negative value.
#define TRY_INT(expression)                                                            \
  ({                                                                                   \
    auto try_value = (expression);                                                     \
    if (unlikely(try_value < 0)) return ::xm::os::Error{static_cast<int>(-try_value)}; \
    try_value;                                                                         \
  })
