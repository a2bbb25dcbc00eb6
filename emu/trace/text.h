// SPDX-License-Identifier: GPL-2.0-or-later
// One line of text for each instruction or event of a trace, disassembled by Capstone.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "emu/trace/reader.h"
#include "emu/trace/symbols.h"

namespace xm::trace {

class Disassembler {
 public:
  Disassembler();
  ~Disassembler();
  Disassembler(const Disassembler&) = delete;
  Disassembler& operator=(const Disassembler&) = delete;
  // "mov eax, dword ptr [rbx]"; "(bad)" for bytes that are no instruction.
  std::string text(std::string_view bytes, u64 linear, cpu::CodeSize code_size);

 private:
  std::array<size_t, 3> handles_{};  // 16, 32, 64 bits
};

struct LineStyle {
  bool bytes = true;
  bool registers = true;
  bool accesses = true;
};

class LineWriter {
 public:
  LineWriter(Symbols& symbols, LineStyle style) : symbols_(symbols), style_(style) {}
  // "NUMBER VCPU:CPL LINEAR  BYTES  TEXT  ; FUNCTION+OFFSET FILE:LINE", then an indented line of what it changed.
  std::string instruction(const Item& item, u64 linear, std::string_view bytes);
  std::string event(const Item& item);
  std::string gap(const Item& item);

 private:
  const std::string& disassembled(std::string_view bytes, u64 linear, cpu::CodeSize code_size);

  Symbols& symbols_;
  LineStyle style_;
  Disassembler disassembler_;
  std::unordered_map<std::string, std::string> cache_;
};

}  // namespace xm::trace
