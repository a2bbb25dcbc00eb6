// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/trace/options.h"

#include <cerrno>
#include <cstdlib>
#include <utility>
#include <vector>

namespace xm::trace {

namespace {

using Parts = std::vector<std::pair<std::string, std::string>>;

// QEMU's grammar: parts between commas, a doubled comma for one; the first part is the file.
Parts split(const std::string& words) {
  std::vector<std::string> parts(1);
  for (size_t i = 0; i < words.size(); i++) {
    if (words[i] != ',') {
      parts.back() += words[i];
    } else if (i + 1 < words.size() && words[i + 1] == ',') {
      parts.back() += words[i++];
    } else {
      parts.emplace_back();
    }
  }
  Parts pairs;
  for (const std::string& part : parts) {
    const size_t equal = part.find('=');
    const bool file = pairs.empty() && !part.starts_with("file=");
    if (file || equal == std::string::npos) {
      pairs.emplace_back(file ? "file" : part, file ? part : "on");
    } else {
      pairs.emplace_back(part.substr(0, equal), part.substr(equal + 1));
    }
  }
  return pairs;
}

Error bad(const std::string& what, const std::string& hint) { return {what + ": -trace-insn; " + hint}; }

Result<u64> number(const std::string& text, const std::string& what) {
  char* end = nullptr;
  errno = 0;
  const u64 value = std::strtoull(text.c_str(), &end, 0);
  if (text.empty() || *end != 0 || errno != 0 || text[0] == '-')
    return bad("invalid number '" + text + "' for " + what, "use decimal or 0x hexadecimal");
  return value;
}

Result<bool> boolean(const std::string& text, const std::string& what) {
  if (text == "on" || text == "yes" || text == "true") return true;
  if (text == "off" || text == "no" || text == "false") return false;
  return bad("invalid value '" + text + "' for " + what, "use on or off");
}

Result<Moment> moment(const std::string& text, const std::string& what) {
  Moment result;
  const size_t colon = text.find(':');
  const std::string kind = text.substr(0, colon);
  const std::string rest = colon == std::string::npos ? "" : text.substr(colon + 1);
  if (kind == "now" && rest.empty()) {
    result.kind = Moment::Kind::Now;
  } else if (kind == "addr") {
    result.kind = Moment::Kind::Address;
    result.number = TRY(number(rest, what));
  } else if (kind == "symbol" && !rest.empty()) {
    result.kind = Moment::Kind::Address;
    result.text = rest;  // looked up when the ELF file has been read
  } else if (kind == "insns") {
    result.kind = Moment::Kind::Instructions;
    result.number = TRY(number(rest, what));
  } else if (kind == "serial" && !rest.empty()) {
    result.kind = Moment::Kind::SerialText;
    result.text = rest;
  } else if (kind == "port") {
    const size_t equal = rest.find('=');
    result.kind = Moment::Kind::PortWrite;
    result.number = TRY(number(rest.substr(0, equal), what));
    if (result.number > 0xFFFF) return bad("no such I/O port '" + rest + "' for " + what, "ports are 0 to 0xffff");
    if (equal != std::string::npos) result.value = TRY(number(rest.substr(equal + 1), what));
  } else {
    return bad("unknown moment '" + text + "' for " + what,
               "use now, addr:A, symbol:NAME, insns:N, serial:TEXT or port:P[=V]");
  }
  return result;
}

Result<void> set(Options& options, const std::string& key, const std::string& value) {
  if (key == "file") {
    options.path = value;
  } else if (key == "format") {
    if (value != "text" && value != "bin") return bad("unknown format '" + value + "'", "use text or bin");
    options.text = value == "text";
  } else if (key == "regs") {
    options.registers = TRY(boolean(value, key));
  } else if (key == "mem") {
    options.accesses = TRY(boolean(value, key));
  } else if (key == "range") {
    const size_t dash = value.find('-');
    if (dash == std::string::npos) return bad("invalid range '" + value + "'", "use range=FIRST-LAST");
    options.range_first = TRY(number(value.substr(0, dash), key));
    options.range_last = TRY(number(value.substr(dash + 1), key));
    if (options.range_first > options.range_last) return bad("empty range '" + value + "'", "use range=FIRST-LAST");
  } else if (key == "cpl") {
    options.cpl = static_cast<unsigned>(TRY(number(value, key)));
    if (*options.cpl > 3) return bad("no such privilege level '" + value + "'", "use cpl=0 to 3");
  } else if (key == "cr3") {
    options.cr3 = TRY(number(value, key));
  } else if (key == "symbols") {
    options.symbols = value;
  } else if (key == "start") {
    options.start = TRY(moment(value, key));
  } else if (key == "stop") {
    options.stop = TRY(moment(value, key));
  } else if (key == "limit" || key == "last") {
    const u64 count = TRY(number(value, key));
    if (count == 0) return bad("nothing would be recorded with " + key + "=0", "give a count of instructions");
    (key == "limit" ? options.limit : options.last) = count;
  } else {
    return bad("unknown word '" + key + "'",
               "use format, regs, mem, range, cpl, cr3, symbols, start, stop, limit or last");
  }
  return {};
}

}  // namespace

Result<Options> parse_options(const std::string& words) {
  Options options;
  for (const auto& [key, value] : split(words)) TRY(set(options, key, value));
  if (options.path.empty()) return bad("no file given", "-trace-insn FILE[,...]");
  const bool by_symbol = (options.start.kind == Moment::Kind::Address && !options.start.text.empty()) ||
                         (options.stop.kind == Moment::Kind::Address && !options.stop.text.empty());
  if (by_symbol && options.symbols.empty()) return bad("a symbol without symbols=", "add symbols=ELF");
  return options;
}

}  // namespace xm::trace
