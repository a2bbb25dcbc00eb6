// SPDX-License-Identifier: GPL-2.0-or-later
// QEMU's option-string grammar: "value,key=value,flag", a doubled comma standing for one comma; sizes with K, M, G, T
// suffixes; on/off booleans.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "emu/base/result.h"
#include "emu/base/types.h"

namespace xm::cli {

class OptionString {
 public:
  // `implied` is the key of a first part without "=" (empty: a first part without "=" is a flag like any other).
  static OptionString parse(std::string_view text, std::string_view implied);

  // Takes (removes) a key; false if it is not there.
  bool take(std::string_view key, std::string& value);
  std::vector<std::string> take_all(std::string_view key);
  // Takes a boolean (on/off/yes/no/true/false); an error names the key.
  Result<bool> take_bool(std::string_view key, bool fallback);
  bool has(std::string_view key) const;
  // What nobody took, in order.
  const std::vector<std::pair<std::string, std::string>>& rest() const { return parts_; }
  // An error for the first key that nobody took.
  Result<void> finish(std::string_view option) const;

 private:
  std::vector<std::pair<std::string, std::string>> parts_;
};

// Bytes; a bare number counts `default_unit` bytes.
Result<u64> parse_size(std::string_view text, u64 default_unit, std::string_view what);
Result<u64> parse_number(std::string_view text, u64 minimum, u64 maximum, std::string_view what);

// The candidate nearest to `word` by edit distance, if it is near enough to be a slip of the finger.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates);

}  // namespace xm::cli
