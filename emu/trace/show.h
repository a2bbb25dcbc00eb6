// SPDX-License-Identifier: GPL-2.0-or-later
// What `xiaoma trace` does with a file: print it, count it, compare two, hand it to other tools.
#pragma once

#include <cstdio>
#include <optional>
#include <string>

#include "emu/trace/reader.h"
#include "emu/trace/symbols.h"
#include "emu/trace/text.h"

namespace xm::trace {

// Which part of a trace counts.
struct Selection {
  std::optional<unsigned> vcpu, cpl;
  std::optional<u64> cr3;
  u64 range_first = 0, range_last = ~u64{0};  // linear addresses
  u64 from = 0;                               // number of the first instruction
  u64 count = ~u64{0};
  std::string function;  // only inside this symbol
  bool events = true;
};

// Lines of text, or (json) one object a line.
Result<void> show(TraceFile& file, const Selection& selection, Symbols& symbols, LineStyle style, bool json,
                  std::FILE* out);

struct StatOptions {
  unsigned top = 20;
  bool json = false;
  std::string flame_graph;  // SVG file to write; empty: none
};
Result<void> stat(TraceFile& file, const Selection& selection, Symbols& symbols, const StatOptions& options,
                  std::FILE* out);

// Prints where the two part, with `context` instructions before; true if they are the same.
Result<bool> diff(TraceFile& left, TraceFile& right, Symbols& symbols, unsigned context, std::FILE* out);

// "chrome": JSON for Perfetto and chrome://tracing, functions as slices, 1 us = 1000 instructions; "folded": stacks.
Result<void> export_trace(TraceFile& file, const Selection& selection, Symbols& symbols, const std::string& format,
                          std::FILE* out);

}  // namespace xm::trace
