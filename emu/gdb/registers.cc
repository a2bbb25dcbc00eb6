// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/gdb/registers.h"

#include <array>
#include <cstring>
#include <vector>

namespace xm::gdb {

namespace {

using cpu::CpuState;

enum class Group : u8 { Gpr, Rip, Flags, Selector, St, Fpu, Xmm, Mxcsr, YmmHigh, Base, System };

struct Row {
  std::string name;
  const char* type;
  unsigned bits;
  Group group;
  unsigned index;
};

// GDB's order of the general registers, as our numbers of them.
constexpr std::array<unsigned, 16> kGprOrder{0, 3, 1, 2, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15};
constexpr const char* kGprNames[] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",
                                     "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
constexpr const char* kSelectorNames[] = {"cs", "ss", "ds", "es", "fs", "gs"};
constexpr std::array<unsigned, 6> kSelectorOrder{1, 2, 3, 0, 4, 5};
constexpr const char* kFpuNames[] = {"fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"};
constexpr const char* kSystemNames[] = {"k_gs_base", "cr0", "cr2", "cr3", "cr4", "cr8", "efer"};

std::vector<Row> make_rows() {
  std::vector<Row> rows;
  for (unsigned i = 0; i < 16; i++) {
    const bool pointer = kGprOrder[i] == cpu::gpr::kRsp || kGprOrder[i] == cpu::gpr::kRbp;
    rows.push_back({kGprNames[i], pointer ? "data_ptr" : "int64", 64, Group::Gpr, kGprOrder[i]});
  }
  rows.push_back({"rip", "code_ptr", 64, Group::Rip, 0});
  rows.push_back({"eflags", "i386_eflags", 32, Group::Flags, 0});
  for (unsigned i = 0; i < 6; i++) rows.push_back({kSelectorNames[i], "int32", 32, Group::Selector, kSelectorOrder[i]});
  for (unsigned i = 0; i < 8; i++) rows.push_back({"st" + std::to_string(i), "i387_ext", 80, Group::St, i});
  for (unsigned i = 0; i < 8; i++) rows.push_back({kFpuNames[i], "int", 32, Group::Fpu, i});
  for (unsigned i = 0; i < 16; i++) rows.push_back({"xmm" + std::to_string(i), "vec128", 128, Group::Xmm, i});
  rows.push_back({"mxcsr", "i386_mxcsr", 32, Group::Mxcsr, 0});
  for (unsigned i = 0; i < 16; i++)
    rows.push_back({"ymm" + std::to_string(i) + "h", "uint128", 128, Group::YmmHigh, i});
  rows.push_back({"fs_base", "int64", 64, Group::Base, 4});
  rows.push_back({"gs_base", "int64", 64, Group::Base, 5});
  for (const unsigned i : {1u, 2u, 3u, 0u})
    rows.push_back({std::string(i == 1   ? "cs"
                                : i == 2 ? "ss"
                                : i == 3 ? "ds"
                                         : "es") +
                        "_base",
                    "int64", 64, Group::Base, i});
  for (unsigned i = 0; i < 7; i++) rows.push_back({kSystemNames[i], "int64", 64, Group::System, i});
  return rows;
}

const std::vector<Row>& rows() {
  static const std::vector<Row> table = make_rows();
  return table;
}

unsigned top(const CpuState& state) { return (state.x87.status >> 11) & 7; }

// The full tag word; whether a register is valid, zero or special is for GDB to see [SDM1 8.1.7].
u16 full_tags(const CpuState& state) {
  u16 tags = 0;
  for (unsigned i = 0; i < 8; i++)
    if ((state.x87.tag_valid >> i & 1) == 0) tags = static_cast<u16>(tags | 3u << (2 * i));
  return tags;
}

u64 fpu_register(const CpuState& state, unsigned index) {
  const cpu::X87State& x87 = state.x87;
  const std::array<u64, 8> values{
      x87.control,       x87.status,       full_tags(state), x87.instruction_selector, x87.instruction_pointer,
      x87.data_selector, x87.data_pointer, x87.opcode};
  return values[index];
}

u64 system_register(const CpuState& state, u8 cr8, unsigned index) {
  const std::array<u64, 7> values{
      state.msr.kernel_gs_base, state.cr0, state.cr2, state.cr3, state.cr4, cr8, state.msr.efer};
  return values[index];
}

std::string bytes_of(const CpuState& state, u8 cr8, const Row& row) {
  std::string bytes(row.bits / 8, '\0');
  u64 value = 0;
  switch (row.group) {
    case Group::Gpr: value = state.gpr[row.index]; break;
    case Group::Rip: value = state.rip; break;
    case Group::Flags: value = state.rflags; break;
    case Group::Selector: value = state.segment[row.index].selector; break;
    case Group::St: {
      const cpu::X87Register& reg = state.x87.reg[(top(state) + row.index) & 7];
      std::memcpy(bytes.data(), &reg.significand, 8);
      std::memcpy(bytes.data() + 8, &reg.sign_exponent, 2);
      return bytes;
    }
    case Group::Fpu: value = fpu_register(state, row.index); break;
    case Group::Xmm: std::memcpy(bytes.data(), state.vector[row.index].q.data(), 16); return bytes;
    case Group::Mxcsr: value = state.mxcsr; break;
    case Group::YmmHigh: std::memcpy(bytes.data(), state.vector[row.index].q.data() + 2, 16); return bytes;
    case Group::Base: value = state.segment[row.index].base; break;
    case Group::System: value = system_register(state, cr8, row.index); break;
  }
  std::memcpy(bytes.data(), &value, bytes.size());
  return bytes;
}

bool store(CpuState& state, const Row& row, const std::string& bytes) {
  u64 value = 0;
  std::memcpy(&value, bytes.data(), std::min<size_t>(bytes.size(), 8));
  switch (row.group) {
    case Group::Gpr: state.gpr[row.index] = value; return true;
    case Group::Rip: state.rip = value; return true;
    case Group::Flags: {
      // Mode bits (VM, IOPL) stay: they belong to segments and privilege, which GDB does not set.
      constexpr u64 kSettable = cpu::flag::kStatus | cpu::flag::kTf | cpu::flag::kIf | cpu::flag::kDf | cpu::flag::kId;
      state.rflags = (state.rflags & ~kSettable) | (value & kSettable);
      return true;
    }
    case Group::St: {
      cpu::X87Register& reg = state.x87.reg[(top(state) + row.index) & 7];
      std::memcpy(&reg.significand, bytes.data(), 8);
      std::memcpy(&reg.sign_exponent, bytes.data() + 8, 2);
      return true;
    }
    case Group::Xmm: std::memcpy(state.vector[row.index].q.data(), bytes.data(), 16); return true;
    case Group::YmmHigh: std::memcpy(state.vector[row.index].q.data() + 2, bytes.data(), 16); return true;
    case Group::Mxcsr:
      if ((value & ~u64{0xFFFF}) != 0) return false;
      state.mxcsr = static_cast<u32>(value);
      return true;
    default:
      // What cannot be set may be written with the value it has, as GDB does with a whole set of registers.
      return bytes_of(state, 0, row) == bytes || row.group == Group::System;
  }
}

struct Feature {
  const char* name;
  Group first, last;
};

}  // namespace

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    text += kDigits[static_cast<u8>(byte) >> 4];
    text += kDigits[static_cast<u8>(byte) & 15];
  }
  return text;
}

bool unhex(std::string_view text, std::string& bytes) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  bytes.clear();
  if (text.size() % 2 != 0) return false;
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0) return false;
    bytes += static_cast<char>(high << 4 | low);
  }
  return true;
}

unsigned register_count() { return static_cast<unsigned>(rows().size()); }

unsigned register_digits(unsigned number) { return rows()[number].bits / 4; }

std::string register_text(const CpuState& state, u8 cr8, unsigned number) {
  return hex(bytes_of(state, cr8, rows()[number]));
}

bool set_register(CpuState& state, unsigned number, std::string_view text) {
  std::string bytes;
  if (number >= rows().size() || !unhex(text, bytes) || bytes.size() != rows()[number].bits / 8) return false;
  return store(state, rows()[number], bytes);
}

std::string target_description() {
  static constexpr Feature kFeatures[] = {{"org.gnu.gdb.i386.core", Group::Gpr, Group::Fpu},
                                          {"org.gnu.gdb.i386.sse", Group::Xmm, Group::Mxcsr},
                                          {"org.gnu.gdb.i386.avx", Group::YmmHigh, Group::YmmHigh}};
  std::string text =
      "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM "
      "\"gdb-target.dtd\"><target><architecture>i386:x86-64</architecture>";
  const auto list = [&](size_t first, size_t end) {
    for (size_t i = first; i < end; i++) {
      const Row& row = rows()[i];
      text += "<reg name=\"" + row.name + "\" bitsize=\"" + std::to_string(row.bits) + "\" type=\"" + row.type +
              "\" regnum=\"" + std::to_string(i) + "\"" + (row.group == Group::Fpu ? " group=\"float\"" : "") + "/>";
    }
  };
  size_t at = 0;
  for (const Feature& feature : kFeatures) {
    text += std::string("<feature name=\"") + feature.name + "\">";
    if (feature.first == Group::Gpr) {
      text +=
          "<flags id=\"i386_eflags\" size=\"4\"><field name=\"CF\" start=\"0\" end=\"0\"/><field name=\"PF\" "
          "start=\"2\" "
          "end=\"2\"/><field name=\"AF\" start=\"4\" end=\"4\"/><field name=\"ZF\" start=\"6\" end=\"6\"/><field "
          "name=\"SF\" start=\"7\" end=\"7\"/><field name=\"TF\" start=\"8\" end=\"8\"/><field name=\"IF\" start=\"9\" "
          "end=\"9\"/><field name=\"DF\" start=\"10\" end=\"10\"/><field name=\"OF\" start=\"11\" end=\"11\"/></flags>";
    }
    if (feature.first == Group::Xmm) {
      text +=
          "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" type=\"ieee_double\" "
          "count=\"2\"/><vector "
          "id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v8i16\" type=\"int16\" count=\"8\"/><vector "
          "id=\"v4i32\" "
          "type=\"int32\" count=\"4\"/><vector id=\"v2i64\" type=\"int64\" count=\"2\"/><union id=\"vec128\"><field "
          "name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" "
          "type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/><field name=\"v4_int32\" type=\"v4i32\"/><field "
          "name=\"v2_int64\" type=\"v2i64\"/><field name=\"uint128\" type=\"uint128\"/></union><flags "
          "id=\"i386_mxcsr\" "
          "size=\"4\"><field name=\"IE\" start=\"0\" end=\"0\"/></flags>";
    }
    const size_t first = at;
    while (at < rows().size() && rows()[at].group >= feature.first && rows()[at].group <= feature.last) at++;
    list(first, at);
    text += "</feature>";
  }
  text += "<feature name=\"org.gnu.gdb.i386.segments\">";
  list(at, at + 2);  // fs_base, gs_base
  text += "</feature><feature name=\"org.xiaoma.x86.system\">";
  list(at + 2, rows().size());
  return text + "</feature></target>";
}

}  // namespace xm::gdb
