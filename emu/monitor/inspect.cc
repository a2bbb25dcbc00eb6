// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/monitor/inspect.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "emu/base/bits.h"
#include "emu/bus/guest_memory.h"
#include "emu/machine/board.h"
#include "emu/machine/guest_view.h"

namespace xm::monitor {

namespace {

using cpu::CpuState;
using machine::Machine;

std::string format(const char* text, ...) __attribute__((format(printf, 1, 2)));
std::string format(const char* text, ...) {
  char buffer[512];
  va_list args;
  va_start(args, text);
  std::vsnprintf(buffer, sizeof buffer, text, args);
  va_end(args);
  return buffer;
}

CpuState first_cpu_state(Machine& machine) {
  CpuState state;
  machine.with_parked_cpus([&] { machine.vcpus().front()->engine().get_state(state); });
  return state;
}

std::string segment_line(const char* name, const cpu::SegmentRegister& segment) {
  return format("%-4s=%04x %016" PRIx64 " %08x %08x\n", name, segment.selector, segment.base, segment.limit,
                segment.attributes);
}

// "/8xg": a count, a format letter (x d u c s i) and a size letter (b h w g).
struct Examine {
  unsigned count = 1;
  char letter = 'x';
  unsigned size_bytes = 4;
};

Examine parse_examine(const std::string& text) {
  Examine result;
  std::size_t i = 1;
  unsigned count = 0;
  for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; i++)
    count = count * 10 + static_cast<unsigned>(text[i] - '0');
  if (count > 0) result.count = count > 4096 ? 4096 : count;
  for (; i < text.size(); i++) {
    switch (text[i]) {
      case 'b': result.size_bytes = 1; break;
      case 'h': result.size_bytes = 2; break;
      case 'w': result.size_bytes = 4; break;
      case 'g': result.size_bytes = 8; break;
      default: result.letter = text[i];
    }
  }
  return result;
}

std::string format_value(const Examine& examine, u64 value) {
  const unsigned digits = examine.size_bytes * 2;
  switch (examine.letter) {
    case 'd': return format(" %" PRId64, sign_extend(value, examine.size_bytes * 8));
    case 'u': return format(" %" PRIu64, value);
    case 'c': return format(" '%c'", value >= 32 && value < 127 ? static_cast<int>(value) : '.');
    default: return format(" 0x%0*" PRIx64, static_cast<int>(digits), value);
  }
}

std::string examine(Machine& machine, const std::vector<std::string>& words, bool virtual_address) {
  Examine how;
  std::size_t at = 1;
  if (words.size() > 1 && words[1].starts_with("/")) how = parse_examine(words[at++]);
  if (words.size() <= at) return "usage: x/FMT ADDR";
  u64 address = std::strtoull(words[at].c_str(), nullptr, 0);
  const CpuState state = first_cpu_state(machine);
  machine::GuestView view(state, machine.board().memory());
  std::string text;
  const unsigned per_line = how.size_bytes == 8 ? 2 : how.size_bytes == 1 ? 8 : 4;
  for (unsigned i = 0; i < how.count; i++, address += how.size_bytes) {
    if (i % per_line == 0) text += format("%s%016" PRIx64 ":", i > 0 ? "\n" : "", address);
    u8 bytes[8] = {};
    for (unsigned b = 0; b < how.size_bytes; b++) {
      u64 physical = address + b;
      if (virtual_address) {
        const auto page = view.translate(address + b);
        if (!page) return text + "\ncannot access memory";
        physical = page->physical;
      }
      if (!view.physical().read(GuestPhys{physical}, {&bytes[b], 1})) return text + "\ncannot access memory";
    }
    text += format_value(how, load_le_sized(bytes, how.size_bytes));
  }
  return text;
}

}  // namespace

std::string describe_registers(Machine& machine) {
  const CpuState s = first_cpu_state(machine);
  static constexpr const char* kNames[] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                           "R8",  "R9",  "R10", "R11", "R12", "R13", "R14", "R15"};
  static constexpr unsigned kOrder[] = {0, 3, 1, 2, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15};
  std::string text = "CPU#0\n";
  for (unsigned i = 0; i < 16; i++) {
    text += format("%-3s=%016" PRIx64 "%c", kNames[kOrder[i]], s.gpr[kOrder[i]], i % 4 == 3 ? '\n' : ' ');
  }
  text += format("RIP=%016" PRIx64 " RFL=%08" PRIx64 " CPL=%u %s\n", s.rip, s.rflags, s.cpl,
                 s.activity == cpu::Activity::Running ? "" : "HLT=1");
  static constexpr const char* kSegments[] = {"ES", "CS", "SS", "DS", "FS", "GS"};
  for (unsigned i = 0; i < 6; i++) text += segment_line(kSegments[i], s.segment[i]);
  text += segment_line("LDT", s.ldtr) + segment_line("TR", s.tr);
  text += format("GDT=     %016" PRIx64 " %08x\nIDT=     %016" PRIx64 " %08x\n", s.gdtr.base, s.gdtr.limit, s.idtr.base,
                 s.idtr.limit);
  text +=
      format("CR0=%08" PRIx64 " CR2=%016" PRIx64 " CR3=%016" PRIx64 " CR4=%08" PRIx64 "\n", s.cr0, s.cr2, s.cr3, s.cr4);
  text += format("DR0=%016" PRIx64 " DR1=%016" PRIx64 " DR2=%016" PRIx64 " DR3=%016" PRIx64 "\n", s.dr[0], s.dr[1],
                 s.dr[2], s.dr[3]);
  text += format("DR6=%016" PRIx64 " DR7=%016" PRIx64 "\nEFER=%016" PRIx64 "\n", s.dr[6], s.dr[7], s.msr.efer);
  text += format("FCW=%04x FSW=%04x FTW=%02x MXCSR=%08x\n", s.x87.control, s.x87.status, s.x87.tag_valid, s.mxcsr);
  for (unsigned i = 0; i < 16; i++) {
    text +=
        format("XMM%02u=%016" PRIx64 " %016" PRIx64 "%c", i, s.vector[i].q[1], s.vector[i].q[0], i % 2 ? '\n' : ' ');
  }
  return text;
}

std::string describe_cpus(Machine& machine) {
  std::string text;
  machine.with_parked_cpus([&] {
    for (std::size_t i = 0; i < machine.vcpus().size(); i++) {
      CpuState state;
      cpu::Engine& engine = machine.vcpus()[i]->engine();
      engine.get_state(state);
      static constexpr const char* kActivity[] = {"running", "halted", "waiting for SIPI", "shut down", "in MWAIT"};
      text += format("CPU #%zu: engine %s, %s, rip 0x%" PRIx64 ", %" PRIu64 " instructions\n", i, engine.name(),
                     kActivity[static_cast<unsigned>(state.activity)], state.rip, engine.instructions());
    }
  });
  return text;
}

std::string describe_memory_map(Machine& machine) {
  bus::AddressSpace::Reader reader(machine.board().memory());
  std::string text;
  for (const bus::FlatRange& range : reader.view().ranges) {
    const char* kind = range.read.handler != nullptr ? "i/o" : range.write.discard ? "rom" : "ram";
    if (range.read.host != nullptr && range.write.host != nullptr && range.read.host != range.write.host)
      kind = "rom/ram";
    text += format("%016" PRIx64 "-%016" PRIx64 " %-7s %s\n", range.first, range.last, kind, range.name);
  }
  return text;
}

std::string describe_ports(Machine& machine) {
  std::string text;
  for (const auto& claim : machine.board().ports().claims()) {
    if (claim.handler != nullptr && claim.count > 0) {
      text += format("%04x-%04x %s\n", claim.first, claim.first + claim.count - 1, claim.name);
    }
  }
  return text;
}

// Runs of linear pages with equal rights; walks by the size of what it finds, so that it ends soon.
std::string describe_mappings(Machine& machine) {
  const CpuState state = first_cpu_state(machine);
  if ((state.cr0 & cpu::cr0::kPg) == 0) return "paging is off";
  machine::GuestView view(state, machine.board().memory());
  const bool long_mode = (state.msr.efer & cpu::efer::kLma) != 0;
  const u64 end = long_mode ? 0 : u64{1} << 32;
  std::string text;
  u64 start = 0;
  u64 start_flags = 0;
  bool open = false;
  u64 linear = 0;
  unsigned lines = 0;
  do {
    const auto page = view.translate(linear);
    const u64 flags = page ? page->flags & 6 : 0;
    if (open && (!page || flags != start_flags)) {
      text += format("%016" PRIx64 "-%016" PRIx64 " %c r%c\n", start, linear, start_flags & 4 ? 'u' : '-',
                     start_flags & 2 ? 'w' : '-');
      open = false;
      if (++lines == 400) return text + "...\n";
    }
    if (page && !open) {
      start = linear;
      start_flags = flags;
      open = true;
    }
    const u64 step = page ? page->size_bytes : view.hole(linear);
    linear = (linear & ~(step - 1)) + step;
    if (long_mode && linear == u64{1} << 47) linear = 0xFFFF800000000000;
  } while (linear != end);
  return text;
}

std::string examine_virtual(Machine& machine, const std::vector<std::string>& words) {
  return examine(machine, words, true);
}

std::string examine_physical(Machine& machine, const std::vector<std::string>& words) {
  return examine(machine, words, false);
}

// Every page, as the TLB would hold it.
std::string describe_pages(Machine& machine) {
  const CpuState state = first_cpu_state(machine);
  if ((state.cr0 & cpu::cr0::kPg) == 0) return "paging is off";
  machine::GuestView view(state, machine.board().memory());
  const bool long_mode = (state.msr.efer & cpu::efer::kLma) != 0;
  const u64 end = long_mode ? 0 : u64{1} << 32;
  std::string text;
  u64 linear = 0;
  unsigned lines = 0;
  do {
    const auto page = view.translate(linear);
    const u64 step = page ? page->size_bytes : view.hole(linear);
    if (page) {
      const u64 f = page->flags;
      text +=
          format("%016" PRIx64 ": %016" PRIx64 " %c%c%c%c%c%c%c%c%c\n", linear, page->physical & ~(step - 1),
                 f >> 63 != 0 ? 'X' : '-', f & 0x100 ? 'G' : '-', step > kPageSize ? 'P' : '-', f & 0x40 ? 'D' : '-',
                 f & 0x20 ? 'A' : '-', f & 0x10 ? 'C' : '-', f & 8 ? 'T' : '-', f & 4 ? 'U' : '-', f & 2 ? 'W' : '-');
      if (++lines == 4096) return text + "...\n";
    }
    linear = (linear & ~(step - 1)) + step;
    if (long_mode && linear == u64{1} << 47) linear = 0xFFFF800000000000;
  } while (linear != end);
  return text;
}

namespace {

// Frame number of a page of this process, from the kernel [man 5 proc, pagemap]; 0 if it does not tell.
u64 host_frame(const void* host) {
  std::FILE* file = std::fopen("/proc/self/pagemap", "rb");
  if (file == nullptr) return 0;
  const u64 address = reinterpret_cast<std::uintptr_t>(host);
  u64 entry = 0;
  const bool got = std::fseek(file, static_cast<long>(address / kPageSize * 8), SEEK_SET) == 0 &&
                   std::fread(&entry, sizeof entry, 1, file) == 1;
  std::fclose(file);
  return got && entry >> 63 != 0 ? entry & ((u64{1} << 55) - 1) : 0;
}

}  // namespace

// The four addresses of one place [STORY H7].
std::string four_addresses(Machine& machine, const std::vector<std::string>& words) {
  if (words.size() != 2) return "usage: gva2hpa ADDR";
  const std::string text = translate_address(machine, {words[0], words[1]});
  const CpuState state = first_cpu_state(machine);
  machine::GuestView view(state, machine.board().memory());
  const auto page = view.translate(std::strtoull(words[1].c_str(), nullptr, 0));
  if (!page) return text;
  const auto host = view.physical().window(GuestPhys{page->physical}, 1, false);
  if (host.empty()) return text;
  const u64 frame = host_frame(host.data());
  if (frame == 0) return text + "\nhpa: not told by the host (needs root)";
  return text +
         format("\nhpa: 0x%" PRIx64, frame * kPageSize + (reinterpret_cast<std::uintptr_t>(host.data()) & kPageMask));
}

Result<void> write_guest_memory(Machine& machine, u64 address, u64 size_bytes, bool physical, std::FILE* file) {
  CpuState state;
  machine.vcpus().front()->engine().get_state(state);
  machine::GuestView view(state, machine.board().memory());
  std::array<u8, kPageSize> piece{};
  for (u64 done = 0; done < size_bytes;) {
    const u64 at = address + done;
    const std::span<u8> part(piece.data(), std::min<u64>(size_bytes - done, kPageSize - (at & kPageMask)));
    const bool read = physical ? view.physical().read(GuestPhys{at}, part) : view.read(at, part);
    if (!read && !physical)
      return Error{format("Invalid addr 0x%016" PRIx64 "/size %" PRIu64 " specified", address, size_bytes)};
    if (std::fwrite(part.data(), 1, part.size(), file) != part.size()) return Error{"Could not write the file"};
    done += part.size();
  }
  return {};
}

std::string translate_address(Machine& machine, const std::vector<std::string>& words) {
  if (words.size() != 2) return "usage: gva2gpa ADDR";
  const u64 linear = std::strtoull(words[1].c_str(), nullptr, 0);
  const CpuState state = first_cpu_state(machine);
  machine::GuestView view(state, machine.board().memory());
  const auto page = view.translate(linear);
  if (!page) return "Unmapped";
  const auto host = view.physical().window(GuestPhys{page->physical}, 1, false);
  std::string text = format("gva: 0x%" PRIx64 "\ngpa: 0x%" PRIx64, linear, page->physical);
  text += host.empty() ? "\nhva: none (device memory)" : format("\nhva: %p", static_cast<void*>(host.data()));
  return text;
}

}  // namespace xm::monitor
