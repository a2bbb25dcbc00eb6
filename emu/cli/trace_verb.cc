// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/cli/trace_verb.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "emu/base/exit_status.h"
#include "emu/trace/show.h"

namespace xm::cli {

namespace {

constexpr int kDifferent = 1;

// What the words on the command line come to.
struct Words {
  std::string file, other, range, cr3, format = "chrome", flame_graph;
  std::vector<std::string> symbols;
  int vcpu = -1, cpl = -1;
  trace::Selection selection;
  bool json = false, no_events = false, no_bytes = false;
  unsigned context = 10, top = 20;
};

int fail(const Error& error) {
  std::fprintf(stderr, "xiaoma: error: %s\n", error.message.c_str());
  return error.exit_status;
}

Result<u64> address(const std::string& text, const char* option) {
  char* end = nullptr;
  const u64 value = std::strtoull(text.c_str(), &end, 0);
  if (text.empty() || *end != 0) return Error{"invalid address '" + text + "': trace " + option};
  return value;
}

Result<void> complete(Words& words) {
  if (words.vcpu >= 0) words.selection.vcpu = static_cast<unsigned>(words.vcpu);
  if (words.cpl >= 0) words.selection.cpl = static_cast<unsigned>(words.cpl);
  if (!words.cr3.empty()) words.selection.cr3 = TRY(address(words.cr3, "--cr3"));
  words.selection.events = !words.no_events;
  if (words.range.empty()) return {};
  const size_t dash = words.range.find('-');
  if (dash == std::string::npos) return Error{"invalid range '" + words.range + "': trace --range; use FIRST-LAST"};
  words.selection.range_first = TRY(address(words.range.substr(0, dash), "--range"));
  words.selection.range_last = TRY(address(words.range.substr(dash + 1), "--range"));
  return {};
}

void add_selection(CLI::App& app, Words& words) {
  app.add_option("file", words.file, "trace that -trace-insn wrote")->required();
  app.add_option("--symbols", words.symbols, "ELF file with symbols and source lines (may be given several times)");
  app.add_option("--vcpu", words.vcpu, "only this vCPU");
  app.add_option("--cpl", words.cpl, "only this privilege level")->check(CLI::Range(0, 3));
  app.add_option("--cr3", words.cr3, "only this address space");
  app.add_option("--range", words.range, "only these linear addresses, FIRST-LAST");
  app.add_flag("--no-events", words.no_events, "leave out interrupts and exceptions");
}

Result<int> info(trace::TraceFile& file, bool json) {
  const auto frames = static_cast<unsigned long long>(file.frames().size());
  const auto instructions = static_cast<unsigned long long>(file.instructions());
  const auto bytes = static_cast<unsigned long long>(file.size_bytes());
  const bool registers = (file.contents() & trace::kWithRegisters) != 0;
  const bool accesses = (file.contents() & trace::kWithAccesses) != 0;
  if (json) {
    std::printf(
        "{\"version\":%u,\"vcpus\":%u,\"instructions\":%llu,\"frames\":%llu,\"bytes\":%llu,\"regs\":%s,\"mem\":%s}\n",
        trace::kVersion, file.vcpus(), instructions, frames, bytes, registers ? "true" : "false",
        accesses ? "true" : "false");
  } else {
    std::printf("version %u, %u vCPU, %llu instructions in %llu frames, %llu bytes%s%s\n", trace::kVersion,
                file.vcpus(), instructions, frames, bytes, registers ? ", registers" : "",
                accesses ? ", memory accesses" : "");
  }
  return exit_status::kOk;
}

Result<int> act(const std::string& verb, Words& words) {
  TRY(complete(words));
  trace::Symbols symbols;
  for (const std::string& path : words.symbols) TRY(symbols.add(path));
  if (!words.selection.function.empty() && symbols.empty())
    return Error{"a function without symbols: trace --function; add --symbols ELF"};
  const auto file = TRY(trace::TraceFile::open(words.file));
  int status = exit_status::kOk;
  std::unique_ptr<trace::TraceFile> other;
  if (verb == "diff") {
    other = TRY(trace::TraceFile::open(words.other));
    status = TRY(trace::diff(*file, *other, symbols, words.context, stdout)) ? exit_status::kOk : kDifferent;
  } else if (verb == "show") {
    const trace::LineStyle style{.bytes = !words.no_bytes, .registers = true, .accesses = true};
    TRY(trace::show(*file, words.selection, symbols, style, words.json, stdout));
  } else if (verb == "stat") {
    const trace::StatOptions options{.top = words.top, .json = words.json, .flame_graph = words.flame_graph};
    TRY(trace::stat(*file, words.selection, symbols, options, stdout));
  } else if (verb == "export") {
    TRY(trace::export_trace(*file, words.selection, symbols, words.format, stdout));
  } else {
    status = TRY(info(*file, words.json));
  }
  std::fflush(stdout);
  for (const trace::TraceFile* read : {file.get(), other.get()}) {
    if (read == nullptr || read->damage().empty()) continue;
    std::fprintf(stderr, "xiaoma: error: damaged trace: %s: %s\n", read->path().c_str(), read->damage().c_str());
    status = kDifferent;
  }
  return status;
}

}  // namespace

int trace_verb(const std::vector<std::string>& given) {
  Words words;
  CLI::App app("Reads instruction traces.", "xiaoma trace");
  app.require_subcommand(1);
  CLI::App* show = app.add_subcommand("show", "print instructions and events");
  add_selection(*show, words);
  show->add_option("--from", words.selection.from, "number of the first instruction");
  show->add_option("--count", words.selection.count, "how many instructions");
  show->add_option("--function", words.selection.function, "only inside this function");
  show->add_flag("--json", words.json, "one object a line");
  show->add_flag("--no-bytes", words.no_bytes, "leave out the instruction bytes");
  CLI::App* stat = app.add_subcommand("stat", "hot functions and blocks, instruction mix, events");
  add_selection(*stat, words);
  stat->add_option("--top", words.top, "rows of each table");
  stat->add_flag("--json", words.json, "for machines");
  stat->add_option("--flame-graph", words.flame_graph, "also write a flame graph to this SVG file");
  CLI::App* diff = app.add_subcommand("diff", "where two traces first differ");
  diff->add_option("file", words.file, "trace")->required();
  diff->add_option("other", words.other, "trace to compare with")->required();
  diff->add_option("--symbols", words.symbols, "ELF file with symbols and source lines");
  diff->add_option("--context", words.context, "instructions to print before the difference");
  CLI::App* exported = app.add_subcommand("export", "for other tools, to standard output");
  add_selection(*exported, words);
  exported->add_option("--format", words.format, "chrome (Perfetto) or folded (stacks)");
  CLI::App* about = app.add_subcommand("info", "what a trace holds");
  about->add_option("file", words.file, "trace")->required();
  about->add_flag("--json", words.json, "for machines");

  const auto named = [&](const CLI::App* verb) { return verb->get_name() == given.front(); };
  const auto verbs = app.get_subcommands([](CLI::App*) { return true; });
  if (!given.empty() && !given.front().starts_with('-') && std::none_of(verbs.begin(), verbs.end(), named))
    return fail({"unknown verb '" + given.front() + "': trace; use show, stat, diff, export or info"});
  std::vector<std::string> reversed(given.rbegin(), given.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app.get_subcommands();
    std::fputs((chosen.empty() ? app.help() : chosen.front()->help()).c_str(), stdout);
    return exit_status::kOk;
  } catch (const CLI::ParseError& error) {
    return fail({std::string(error.what()) + ": trace; see `xiaoma trace --help`"});
  }
  Result<int> status = act(app.get_subcommands().front()->get_name(), words);
  return status.ok() ? *status : fail(status.error());
}

}  // namespace xm::cli
