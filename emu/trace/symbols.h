// SPDX-License-Identifier: GPL-2.0-or-later
// Names and source lines of guest code, from ELF symbol tables and DWARF line tables (read by elfutils' libdw).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "emu/base/result.h"
#include "emu/base/types.h"

namespace xm::trace {

struct Place {
  std::string function;  // empty: unknown
  u64 offset = 0;        // from its start
  std::string source;    // "file.c:12", empty: unknown
};

class Symbols {
 public:
  Symbols();
  ~Symbols();
  Symbols(Symbols&&) noexcept;
  Symbols& operator=(Symbols&&) noexcept;
  // Adds an ELF file whose addresses are those it was linked for.
  Result<void> add(const std::string& path);
  bool empty() const;
  std::optional<u64> address_of(const std::string& name) const;
  // Cached by address. The reference holds until the next call.
  const Place& at(u64 linear);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// The address of a symbol of one ELF file, for options that name one.
Result<u64> symbol_address(const std::string& elf, const std::string& name);

}  // namespace xm::trace
