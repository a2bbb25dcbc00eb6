// SPDX-License-Identifier: GPL-2.0-or-later
// The option table of `xiaoma run`: one row per option feeds the parser, the help text, the man page and the shell
// completion. Spellings are QEMU's; one or two dashes.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "emu/base/result.h"
#include "emu/machine/config.h"

namespace xm::cli {

using OptionHandler = Result<void> (*)(machine::Config& config, const std::string& value);

struct OptionRow {
  std::string_view name;      // without dashes
  std::string_view argument;  // placeholder, empty if it takes none
  std::string_view section;
  std::string_view help;
  OptionHandler handler;
};

std::span<const OptionRow> option_table();

// Options that a QEMU user would try and that this version lacks, with the nearest alternative.
struct RefusedOption {
  std::string_view name;
  std::string_view hint;
};
std::span<const RefusedOption> refused_options();

struct ParsedRun {
  machine::Config config;
  bool help = false;
  bool version = false;
};

// Parses the words after `xiaoma run`. Errors name the option and what was wrong with it.
Result<ParsedRun> parse_run(const std::vector<std::string>& words);

std::string run_help();
std::string run_man_page();
std::string bash_completion();

}  // namespace xm::cli
