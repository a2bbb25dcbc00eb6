// SPDX-License-Identifier: GPL-2.0-or-later
// Result<T>: a value or an Error with context. Host errors (files, sockets, options) travel in it to the operator;
// guest faults never do (they are data, delivered to the guest).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "emu/base/check.h"

namespace xm {

// One line for the operator, "what: where; hint", and the exit status that `xiaoma` ends with when it reaches main().
struct Error {
  std::string message;
  int exit_status = 125;  // usage or configuration error; see emu/base/exit_status.h
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() & {
    CHECK(ok());
    return std::get<0>(state_);
  }
  const T& value() const& {
    CHECK(ok());
    return std::get<0>(state_);
  }
  T&& value() && {
    CHECK(ok());
    return std::get<0>(std::move(state_));
  }
  T& operator*() & { return value(); }
  T* operator->() { return &value(); }
  Error& error() {
    CHECK(!ok());
    return std::get<1>(state_);
  }
  const Error& error() const {
    CHECK(!ok());
    return std::get<1>(state_);
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  void value() const { CHECK(ok()); }
  Error& error() {
    CHECK(!ok());
    return *error_;
  }
  const Error& error() const {
    CHECK(!ok());
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace xm

// TRY(expr): the value of a Result, or return its error from the enclosing function.
#define TRY(expression)                                \
  ({                                                   \
    auto try_result_ = (expression);                   \
    if (!try_result_.ok()) return try_result_.error(); \
    std::move(try_result_).value();                    \
  })
