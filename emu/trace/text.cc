// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/trace/text.h"

#include <capstone/capstone.h>

#include <cstdarg>
#include <cstdio>

namespace xm::trace {

namespace {

constexpr size_t kCachedLines = 1 << 18;
constexpr const char* kRegisterNames[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",   "r8",
                                          "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rflags"};
constexpr const char* kExceptionNames[] = {"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "#09", "#TS",
                                           "#NP", "#SS", "#GP", "#PF", "#15", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP"};

__attribute__((format(printf, 2, 3))) void add(std::string& to, const char* format, ...) {
  char buffer[256];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  to += buffer;
}

unsigned long long wide(u64 value) { return value; }

void add_bytes(std::string& to, std::string_view bytes) {
  for (const char byte : bytes) add(to, "%02x", static_cast<u8>(byte));
}

// Memory as a number, the way it is read: the highest byte first.
void add_value(std::string& to, const std::string& bytes) {
  for (size_t i = bytes.size(); i-- > 0;) add(to, "%02x", static_cast<u8>(bytes[i]));
}

}  // namespace

Disassembler::Disassembler() {
  cs_open(CS_ARCH_X86, CS_MODE_16, &handles_[0]);
  cs_open(CS_ARCH_X86, CS_MODE_32, &handles_[1]);
  cs_open(CS_ARCH_X86, CS_MODE_64, &handles_[2]);
}

Disassembler::~Disassembler() {
  for (size_t& handle : handles_) cs_close(&handle);
}

std::string Disassembler::text(std::string_view bytes, u64 linear, cpu::CodeSize code_size) {
  const size_t handle = handles_[code_size == cpu::CodeSize::Bits64 ? 2 : code_size == cpu::CodeSize::Bits32 ? 1 : 0];
  cs_insn* insn = nullptr;
  const size_t count = cs_disasm(handle, reinterpret_cast<const u8*>(bytes.data()), bytes.size(), linear, 1, &insn);
  if (count == 0) return "(bad)";
  std::string text = insn->mnemonic;
  if (insn->op_str[0] != 0) text += std::string(" ") + insn->op_str;
  cs_free(insn, count);
  return text;
}

const std::string& LineWriter::disassembled(std::string_view bytes, u64 linear, cpu::CodeSize code_size) {
  std::string key(reinterpret_cast<const char*>(&linear), sizeof linear);
  key += static_cast<char>(code_size);
  key += bytes;
  const auto known = cache_.find(key);
  if (known != cache_.end()) return known->second;
  if (cache_.size() > kCachedLines) cache_.clear();
  std::string text;
  if (style_.bytes) {
    add_bytes(text, bytes);
    if (text.size() < 20) text.resize(20, ' ');
    text += ' ';
  }
  text += disassembler_.text(bytes, linear, code_size);
  if (!symbols_.empty()) {
    const Place& place = symbols_.at(linear);
    if (!place.function.empty()) add(text, "  ; %.120s+0x%llx", place.function.c_str(), wide(place.offset));
    if (!place.source.empty()) add(text, " %.100s", place.source.c_str());
  }
  return cache_.emplace(std::move(key), std::move(text)).first->second;
}

std::string LineWriter::instruction(const Item& item, u64 linear, std::string_view bytes) {
  std::string line;
  add(line, "%10llu %u:%u %016llx  ", wide(item.number), item.vcpu, item.cpl, wide(linear));
  line += disassembled(bytes, linear, item.stretch->code_size);
  line += '\n';
  if (style_.registers && item.register_mask != 0) {
    line += "           ";
    for (unsigned i = 0; i < 17; i++)
      if ((item.register_mask >> i & 1) != 0) add(line, " %s=%llx", kRegisterNames[i], wide(item.registers->value[i]));
    for (unsigned i = 0; i < 16; i++) {
      if ((item.register_mask >> (17 + i) & 1) == 0) continue;
      add(line, " ymm%u=", i);
      for (unsigned byte = 32; byte-- > 0;) add(line, "%02x", item.registers->vector[i][byte]);
    }
    line += '\n';
  }
  if (style_.accesses) {
    for (const Access& access : item.accesses) {
      add(line, "            %s %016llx %zu ", access.write ? "write" : "read ", wide(access.linear),
          access.bytes.size());
      add_value(line, access.bytes);
      line += '\n';
    }
  }
  return line;
}

std::string LineWriter::event(const Item& item) {
  std::string line;
  add(line, "%10llu %u:%u -- ", wide(item.number), item.vcpu, item.cpl);
  const cpu::WatchedEvent& event = item.event;
  switch (event.kind) {
    case cpu::WatchedEventKind::Exception:
      if (event.vector < std::size(kExceptionNames)) {
        add(line, "exception %s", kExceptionNames[event.vector]);
      } else {
        add(line, "exception %u", event.vector);
      }
      break;
    case cpu::WatchedEventKind::Interrupt: add(line, "interrupt 0x%02x", event.vector); break;
    case cpu::WatchedEventKind::SoftwareInterrupt: add(line, "software interrupt 0x%02x", event.vector); break;
    case cpu::WatchedEventKind::Nmi: line += "NMI"; break;
  }
  if (event.has_error_code) add(line, " error 0x%x", event.error_code);
  if (event.kind == cpu::WatchedEventKind::Exception && event.vector == 14)
    add(line, " address %016llx", wide(event.address));
  add(line, " at %llu.%06llu ms\n", wide(item.guest_ns / 1'000'000), wide(item.guest_ns % 1'000'000));
  return line;
}

std::string LineWriter::gap(const Item& item) {
  std::string line;
  add(line, "%10llu %u    -- %llu instructions not recorded\n", wide(item.number), item.vcpu, wide(item.count));
  return line;
}

}  // namespace xm::trace
