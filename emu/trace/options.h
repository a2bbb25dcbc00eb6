// SPDX-License-Identifier: GPL-2.0-or-later
// What to record (-trace-insn): contents, filters, and the events that begin and end it.
#pragma once

#include <optional>
#include <string>

#include "emu/base/result.h"
#include "emu/base/types.h"

namespace xm::trace {

// A moment in the guest's run. Text forms: now, addr:A, symbol:NAME (of the ELF file given by symbols=), insns:N (that
// many instructions of one vCPU), serial:TEXT (written to COM1), port:P or port:P=V (a write to I/O port P).
struct Moment {
  enum class Kind : u8 { Now, Never, Address, Instructions, SerialText, PortWrite };
  Kind kind = Kind::Never;
  u64 number = 0;            // address, count, or port
  std::optional<u64> value;  // of the port write
  std::string text;
};

struct Options {
  std::string path;
  bool text = false;  // format=text: lines as `xiaoma trace show` prints them
  bool registers = false;
  bool accesses = false;
  u64 range_first = 0, range_last = ~u64{0};  // linear addresses, both included
  std::optional<unsigned> cpl;
  std::optional<u64> cr3;  // page-table base; bits 11:0 (PCID) do not count
  std::string symbols;     // ELF file
  Moment start{.kind = Moment::Kind::Now};
  Moment stop;
  u64 limit = ~u64{0};  // instructions of each vCPU
  u64 last = 0;         // keep only about this many, until `stop`
};

// `words`: FILE[,format=text|bin][,regs=on][,mem=on][,range=A-B][,cpl=0|3][,cr3=V][,symbols=ELF][,start=M][,stop=M]
// [,limit=N][,last=N]
Result<Options> parse_options(const std::string& words);

}  // namespace xm::trace
