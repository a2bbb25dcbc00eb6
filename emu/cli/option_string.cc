// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/cli/option_string.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace xm::cli {

namespace {

// Splits at single commas; doubled ones become one.
std::vector<std::string> split_commas(std::string_view text) {
  std::vector<std::string> parts(1);
  for (std::size_t i = 0; i < text.size(); i++) {
    if (text[i] != ',') {
      parts.back() += text[i];
    } else if (i + 1 < text.size() && text[i + 1] == ',') {
      parts.back() += ',';
      i++;
    } else {
      parts.emplace_back();
    }
  }
  return parts;
}

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

}  // namespace

OptionString OptionString::parse(std::string_view text, std::string_view implied) {
  OptionString result;
  bool first = true;
  for (std::string& part : split_commas(text)) {
    const std::size_t equals = part.find('=');
    if (equals != std::string::npos) {
      result.parts_.emplace_back(part.substr(0, equals), part.substr(equals + 1));
    } else if (first && !implied.empty()) {
      result.parts_.emplace_back(std::string(implied), part);
    } else if (!part.empty()) {
      result.parts_.emplace_back(part, "on");
    }
    first = false;
  }
  return result;
}

bool OptionString::take(std::string_view key, std::string& value) {
  bool found = false;
  for (auto it = parts_.begin(); it != parts_.end();) {
    if (it->first == key) {
      value = it->second;  // the last one counts
      found = true;
      it = parts_.erase(it);
    } else {
      ++it;
    }
  }
  return found;
}

std::vector<std::string> OptionString::take_all(std::string_view key) {
  std::vector<std::string> values;
  for (auto it = parts_.begin(); it != parts_.end();) {
    if (it->first == key) {
      values.push_back(it->second);
      it = parts_.erase(it);
    } else {
      ++it;
    }
  }
  return values;
}

Result<bool> OptionString::take_bool(std::string_view key, bool fallback) {
  std::string text;
  if (!take(key, text)) return fallback;
  if (text == "on" || text == "yes" || text == "true" || text == "y") return true;
  if (text == "off" || text == "no" || text == "false" || text == "n") return false;
  return Error{"invalid value " + quoted(text) + ": " + std::string(key) + "; use on or off"};
}

bool OptionString::has(std::string_view key) const {
  return std::any_of(parts_.begin(), parts_.end(), [&](const auto& part) { return part.first == key; });
}

Result<void> OptionString::finish(std::string_view option) const {
  if (parts_.empty()) return {};
  return Error{"unknown or unsupported parameter " + quoted(parts_.front().first) + ": " + std::string(option)};
}

Result<u64> parse_size(std::string_view text, u64 default_unit, std::string_view what) {
  const std::string copy(text);
  char* end = nullptr;
  const double number = std::strtod(copy.c_str(), &end);
  const Error bad{"invalid size " + quoted(text) + ": " + std::string(what) + "; use a number with K, M, G or T"};
  if (end == copy.c_str() || number < 0 || !std::isfinite(number)) return bad;
  u64 unit = default_unit;
  switch (*end) {
    case 0: break;
    case 'b':
    case 'B':
      unit = 1;
      end++;
      break;
    case 'k':
    case 'K':
      unit = u64{1} << 10;
      end++;
      break;
    case 'm':
    case 'M':
      unit = u64{1} << 20;
      end++;
      break;
    case 'g':
    case 'G':
      unit = u64{1} << 30;
      end++;
      break;
    case 't':
    case 'T':
      unit = u64{1} << 40;
      end++;
      break;
    default: return bad;
  }
  if (*end == 'i') end++;
  if (*end == 'B') end++;
  if (*end != 0 || number * static_cast<double>(unit) >= 9.2e18) return bad;
  return static_cast<u64>(number * static_cast<double>(unit));
}

Result<u64> parse_number(std::string_view text, u64 minimum, u64 maximum, std::string_view what) {
  std::string_view digits = text;
  int base = 10;
  if (digits.starts_with("0x") || digits.starts_with("0X")) {
    digits.remove_prefix(2);
    base = 16;
  }
  u64 value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc{} || end != digits.data() + digits.size() || value < minimum || value > maximum) {
    return Error{"invalid number " + quoted(text) + ": " + std::string(what) + "; use " + std::to_string(minimum) +
                 " to " + std::to_string(maximum)};
  }
  return value;
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    std::vector<std::size_t> row(candidate.size() + 1);
    for (std::size_t j = 0; j <= candidate.size(); j++) row[j] = j;
    for (std::size_t i = 1; i <= word.size(); i++) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= candidate.size(); j++) {
        const std::size_t above = row[j];
        row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (word[i - 1] == candidate[j - 1] ? 0 : 1)});
        diagonal = above;
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace xm::cli
