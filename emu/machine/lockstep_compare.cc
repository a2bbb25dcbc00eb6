// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/lockstep_compare.h"

#include <cinttypes>
#include <cstdarg>
#include <cstdio>

#include "emu/base/bits.h"

namespace xm::machine {

using cpu::CpuState;
using cpu::SegmentRegister;

namespace {

constexpr const char* kGprNames[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                     "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
constexpr const char* kSegmentNames[] = {"es", "cs", "ss", "ds", "fs", "gs"};

[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text, sizeof text, pattern, arguments);
  va_end(arguments);
  return text;
}

void differ(std::string& text, const std::string& name, u64 primary, u64 shadow) {
  if (primary == shadow) return;
  text += format("  %-10s 0x%016" PRIx64 "  0x%016" PRIx64 "\n", name.c_str(), primary, shadow);
}

// The accessed bit is set by engines at different times; of an unusable segment nothing but the base counts.
void compare_segment(std::string& text, const std::string& name, const SegmentRegister& ours,
                     const SegmentRegister& theirs, bool code_or_data) {
  differ(text, name + ".sel", ours.selector, theirs.selector);
  const bool unusable = ours.unusable() || theirs.unusable() || !ours.present();
  if (unusable && code_or_data) return;
  differ(text, name + ".base", ours.base, theirs.base);
  if (unusable) return;
  differ(text, name + ".limit", ours.limit, theirs.limit);
  const u32 ignored = code_or_data ? 0x1u : 0x2u;  // accessed; busy
  differ(text, name + ".attr", ours.attributes & ~ignored, theirs.attributes & ~ignored);
}

void compare_floating_point(std::string& text, const CpuState& ours, const CpuState& theirs) {
  differ(text, "fcw", ours.x87.control, theirs.x87.control);
  differ(text, "fsw", ours.x87.status, theirs.x87.status);
  differ(text, "ftw", ours.x87.tag_valid, theirs.x87.tag_valid);
  differ(text, "mxcsr", ours.mxcsr, theirs.mxcsr);
  for (unsigned i = 0; i < 8; i++) {
    differ(text, "fpr" + std::to_string(i) + ".m", ours.x87.reg[i].significand, theirs.x87.reg[i].significand);
    differ(text, "fpr" + std::to_string(i) + ".e", ours.x87.reg[i].sign_exponent, theirs.x87.reg[i].sign_exponent);
  }
  for (unsigned i = 0; i < 16; i++) {
    for (unsigned part = 0; part < 4; part++)
      differ(text, "ymm" + std::to_string(i) + "." + std::to_string(part), ours.vector[i].q[part],
             theirs.vector[i].q[part]);
  }
}

void compare_system(std::string& text, const CpuState& ours, const CpuState& theirs) {
  for (unsigned i = 0; i < 6; i++) compare_segment(text, kSegmentNames[i], ours.segment[i], theirs.segment[i], true);
  compare_segment(text, "ldtr", ours.ldtr, theirs.ldtr, false);
  compare_segment(text, "tr", ours.tr, theirs.tr, false);
  differ(text, "gdtr", ours.gdtr.base, theirs.gdtr.base);
  differ(text, "gdtr.limit", ours.gdtr.limit, theirs.gdtr.limit);
  differ(text, "idtr", ours.idtr.base, theirs.idtr.base);
  differ(text, "idtr.limit", ours.idtr.limit, theirs.idtr.limit);
  differ(text, "cr0", ours.cr0, theirs.cr0);
  differ(text, "cr2", ours.cr2, theirs.cr2);
  differ(text, "cr3", ours.cr3, theirs.cr3);
  differ(text, "cr4", ours.cr4, theirs.cr4);
  differ(text, "efer", ours.msr.efer, theirs.msr.efer);
  differ(text, "xcr0", ours.xcr0, theirs.xcr0);
  differ(text, "star", ours.msr.star, theirs.msr.star);
  differ(text, "lstar", ours.msr.lstar, theirs.msr.lstar);
  differ(text, "sfmask", ours.msr.sfmask, theirs.msr.sfmask);
  differ(text, "kgsbase", ours.msr.kernel_gs_base, theirs.msr.kernel_gs_base);
  differ(text, "dr7", ours.dr[7], theirs.dr[7]);
}

}  // namespace

StateDifference compare_states(const CpuState& ours, const CpuState& theirs) {
  StateDifference difference;
  differ(difference.text, "rip", ours.rip, theirs.rip);
  for (unsigned i = 0; i < 16; i++) differ(difference.text, kGprNames[i], ours.gpr[i], theirs.gpr[i]);
  compare_system(difference.text, ours, theirs);
  compare_floating_point(difference.text, ours, theirs);
  const bool all_else_equal = difference.text.empty();
  const u64 kept = ~cpu::flag::kRf;
  differ(difference.text, "rflags", ours.rflags & kept, theirs.rflags & kept);
  const u64 flags = (ours.rflags ^ theirs.rflags) & kept;
  difference.only_status_flags = all_else_equal && flags != 0 && (flags & ~cpu::flag::kStatus) == 0;
  return difference;
}

std::string compare_pages(const u8* ours, const u8* theirs) {
  constexpr u64 kPresent = 1, kAccessedDirty = 0x60;
  std::string text;
  unsigned told = 0;
  for (unsigned offset = 0; offset < kPageSize; offset += 8) {
    const u64 a = load_le<u64>(ours + offset), b = load_le<u64>(theirs + offset);
    if (a == b) continue;
    if ((a & b & kPresent) != 0 && ((a ^ b) & ~kAccessedDirty) == 0) continue;
    if (told++ < 8) text += format("  mem page offset 0x%03x 0x%016" PRIx64 "  0x%016" PRIx64 "\n", offset, a, b);
  }
  if (told > 8) text += format("  and %u more\n", told - 8);
  return text;
}

std::string lockstep_report(const LockstepReport& report) {
  std::string text =
      format("engines differ after instruction %" PRIu64 " at %04x:%016" PRIx64 ": interp (left), %s (right)\n",
             report.instructions, report.before.segment[1].selector, report.before.rip, report.shadow_name);
  text += "  code      ";
  for (const u8 byte : report.code) text += format(" %02x", byte);
  text += "\n" + report.what;
  if (!report.what.ends_with("\n")) text += "\n";
  const StateDifference difference = compare_states(report.primary, report.shadow);
  if (report.what.find(difference.text) == std::string::npos) text += difference.text;
  text += "before:\n";
  for (unsigned i = 0; i < 16; i++)
    text += format("  %-4s 0x%016" PRIx64 "%s", kGprNames[i], report.before.gpr[i], i % 4 == 3 ? "\n" : "");
  text += format("  rflags 0x%" PRIx64 " cr0 0x%" PRIx64 " cr3 0x%" PRIx64 " cr4 0x%" PRIx64 " cpl %u\n",
                 report.before.rflags, report.before.cr0, report.before.cr3, report.before.cr4, report.before.cpl);
  return text;
}

std::vector<u8> instruction_bytes(cpu::Vcpu& cpu, const CpuState& state) {
  constexpr unsigned kLongest = 15;
  std::vector<u8> bytes;
  const bool bits64 = (state.msr.efer & cpu::efer::kLma) != 0 && state.segment[1].long_code();
  for (unsigned i = 0; i < kLongest; i++) {
    const u64 linear = bits64 ? state.rip + i : (state.rip + i + state.segment[1].base) & 0xFFFFFFFF;
    u64 physical = 0;
    if (!cpu.translate_quietly(linear, physical)) break;
    const u8* page = cpu.bus.resolve_page({physical & ~kPageMask}).read_host;
    if (page == nullptr) break;
    bytes.push_back(page[physical & kPageMask]);
  }
  return bytes;
}

}  // namespace xm::machine
