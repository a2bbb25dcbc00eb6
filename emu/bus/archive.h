// SPDX-License-Identifier: GPL-2.0-or-later
// Save and load of device and CPU state as named fields. One function describes both directions:
//   void Pit::exchange(Archive& a) { a.field("latch", latch_); ... }
// so that a field can not be saved and forgotten on load. Names are stable across versions; a loader keeps the current
// value of a field that the stream lacks and reports fields it does not know.
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "emu/base/types.h"

namespace xm::bus {

class Archive {
 public:
  virtual ~Archive() = default;
  virtual bool loading() const = 0;
  // Opens a named group (a device, a counter of a chip); groups nest. `version` is what this code writes; returns the
  // version found when loading.
  virtual u32 begin(std::string_view name, u32 version = 1) = 0;
  virtual void end() = 0;

  template <class T>
  requires(std::is_integral_v<T> || std::is_enum_v<T>) void field(std::string_view name, T& value) {
    u64 number = static_cast<u64>(value);
    exchange_number(name, number);
    value = static_cast<T>(number);
  }
  template <class Tag, class Number>
  void field(std::string_view name, Quantity<Tag, Number>& value) {
    field(name, value.value);
  }
  template <class T, std::size_t N>
  requires(std::is_trivially_copyable_v<T>) void field(std::string_view name, std::array<T, N>& values) {
    exchange_bytes(name, {reinterpret_cast<u8*>(values.data()), sizeof(T) * N});
  }
  void field(std::string_view name, std::span<u8> fixed_size_bytes) { exchange_bytes(name, fixed_size_bytes); }
  void field(std::string_view name, std::vector<u8>& bytes) { exchange_blob(name, bytes); }

 protected:
  virtual void exchange_number(std::string_view name, u64& value) = 0;
  virtual void exchange_bytes(std::string_view name, std::span<u8> bytes) = 0;
  virtual void exchange_blob(std::string_view name, std::vector<u8>& bytes) = 0;
};

}  // namespace xm::bus
