// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <unordered_map>

#include "cpu/decode/decoder.h"
#include "emu/trace/show.h"
#include "emu/trace/stacks.h"

namespace xm::trace {

namespace {

unsigned long long wide(u64 value) { return value; }

using Row = std::pair<std::string, u64>;

std::vector<Row> highest(const std::map<std::string, u64>& counts, unsigned top) {
  std::vector<Row> rows(counts.begin(), counts.end());
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.second > b.second; });
  if (rows.size() > top) rows.resize(top);
  return rows;
}

bool selected(const Selection& selection, const Item& item) {
  if (selection.cpl && *selection.cpl != item.cpl) return false;
  if (selection.cr3 && *selection.cr3 >> 12 != item.cr3 >> 12) return false;
  if (item.kind != Item::Kind::Run) return true;
  return item.stretch->linear >= selection.range_first && item.stretch->linear <= selection.range_last;
}

// Counts by stretch first: there are few of them, however long the trace.
class Counter {
 public:
  void add(const Item& item) {
    if (item.kind == Item::Kind::Event) {
      events_[event_name(item.event)]++;
      return;
    }
    if (item.kind == Item::Kind::Gap) {
      not_recorded_ += item.count;
      return;
    }
    by_cpl_[item.cpl & 3] += item.count * item.times;
    Counts& counts = stretches_[item.stretch];
    counts.entries += item.times;
    counts.per_instruction.resize(item.stretch->lengths.size());
    counts.per_instruction[item.first] += item.times;
    if (item.first + item.count < counts.per_instruction.size())
      counts.per_instruction[item.first + item.count] -= item.times;
  }

  void evaluate(Symbols& symbols) {
    for (const auto& [stretch, counts] : stretches_) {
      u64 times = 0, offset = 0, executed = 0;
      for (size_t i = 0; i < stretch->lengths.size(); i++) {
        times += counts.per_instruction[i];
        executed += times;
        mix_[mnemonic(*stretch, offset, stretch->lengths[i])] += times;
        offset += stretch->lengths[i];
      }
      const Place& place = symbols.at(stretch->linear);
      functions_[place.function.empty() ? "(no symbol)" : place.function] += executed;
      char name[200];
      std::snprintf(name, sizeof name, "%016llx %.150s", wide(stretch->linear), place.function.c_str());
      blocks_[name] += executed;
      total_ += executed;
    }
  }

  u64 total_ = 0, not_recorded_ = 0;
  std::array<u64, 4> by_cpl_{};
  std::map<std::string, u64> functions_, blocks_, mix_, events_;

  size_t stretches() const { return stretches_.size(); }

 private:
  struct Counts {
    u64 entries = 0;
    std::vector<u64> per_instruction;  // differences: how many more times than the instruction before
  };

  static std::string event_name(const cpu::WatchedEvent& event) {
    static constexpr const char* kKinds[] = {"exception", "interrupt", "software interrupt", "NMI"};
    char text[48];
    std::snprintf(text, sizeof text, "%s 0x%02x", kKinds[static_cast<unsigned>(event.kind) & 3], event.vector);
    return text;
  }
  static std::string mnemonic(const Stretch& stretch, u64 offset, u8 length) {
    cpu::Insn insn;
    const auto* bytes = reinterpret_cast<const u8*>(stretch.bytes.data()) + offset;
    if (cpu::decode_into({bytes, length}, stretch.code_size, insn) != cpu::DecodeStatus::Ok) return "(bad)";
    return std::string(cpu::operation_name(insn.operation));
  }

  std::unordered_map<const Stretch*, Counts> stretches_;
};

void table(std::FILE* out, const char* title, const std::vector<Row>& rows, u64 total) {
  if (rows.empty()) return;
  std::fprintf(out, "\n%s\n", title);
  for (const auto& [name, count] : rows)
    std::fprintf(out, "%14llu %6.2f %%  %s\n", wide(count),
                 total == 0 ? 0.0 : 100.0 * static_cast<double>(count) / static_cast<double>(total), name.c_str());
}

void json_rows(std::FILE* out, const char* key, const std::vector<Row>& rows) {
  std::fprintf(out, ",\"%s\":{", key);
  const char* comma = "";
  for (const auto& [name, count] : rows) {
    std::fprintf(out, "%s\"%s\":%llu", comma, name.c_str(), wide(count));
    comma = ",";
  }
  std::fputs("}", out);
}

void print(TraceFile& file, const Counter& counter, const StatOptions& options, std::FILE* out) {
  const auto functions = highest(counter.functions_, options.top);
  const auto blocks = highest(counter.blocks_, options.top);
  const auto mix = highest(counter.mix_, options.top);
  const auto events = highest(counter.events_, options.top);
  const double bytes_each =
      counter.total_ == 0 ? 0 : static_cast<double>(file.size_bytes()) / static_cast<double>(file.instructions());
  if (options.json) {
    std::fprintf(out,
                 "{\"instructions\":%llu,\"not_recorded\":%llu,\"cpl0\":%llu,\"cpl3\":%llu,\"blocks\":%zu,"
                 "\"file_bytes\":%llu,\"bytes_per_instruction\":%.4f",
                 wide(counter.total_), wide(counter.not_recorded_), wide(counter.by_cpl_[0]), wide(counter.by_cpl_[3]),
                 counter.stretches(), wide(file.size_bytes()), bytes_each);
    json_rows(out, "functions", functions);
    json_rows(out, "hot_blocks", blocks);
    json_rows(out, "mix", mix);
    json_rows(out, "events", events);
    std::fputs("}\n", out);
    return;
  }
  std::fprintf(out, "%s: %llu instructions of %u vCPU%s, %llu of them at CPL 0, %llu at CPL 3; %llu not recorded\n",
               file.path().c_str(), wide(counter.total_), file.vcpus(), file.vcpus() == 1 ? "" : "s",
               wide(counter.by_cpl_[0]), wide(counter.by_cpl_[3]), wide(counter.not_recorded_));
  std::fprintf(out, "%llu bytes, %.3f an instruction; %zu stretches of code\n", wide(file.size_bytes()), bytes_each,
               counter.stretches());
  table(out, "functions", functions, counter.total_);
  table(out, "blocks", blocks, counter.total_);
  table(out, "instructions", mix, counter.total_);
  u64 events_total = 0;
  for (const auto& [name, count] : counter.events_) events_total += count;
  table(out, "events", events, events_total);
}

}  // namespace

Result<void> stat(TraceFile& file, const Selection& selection, Symbols& symbols, const StatOptions& options,
                  std::FILE* out) {
  Counter counter;
  Stacks stacks(symbols);
  const bool graph = !options.flame_graph.empty();
  Cursor cursor(file, selection.vcpu);
  Item item;
  while (cursor.next(item)) {
    if (!selected(selection, item)) continue;
    counter.add(item);
    if (graph) stacks.add(item);
  }
  counter.evaluate(symbols);
  print(file, counter, options, out);
  if (!graph) return {};
  std::FILE* svg = std::fopen(options.flame_graph.c_str(), "w");
  if (svg == nullptr) return Error{"cannot write: " + options.flame_graph + ": " + std::strerror(errno)};
  const std::string text = flame_graph_svg(stacks, file.path());
  const bool whole = std::fwrite(text.data(), 1, text.size(), svg) == text.size();
  if (std::fclose(svg) != 0 || !whole) return Error{"cannot write: " + options.flame_graph};
  return {};
}

namespace {

// Slices on one track for each vCPU, address space and privilege level.
class ChromeWriter {
 public:
  explicit ChromeWriter(std::FILE* out) : out_(out) { std::fputs("{\"traceEvents\":[\n", out_); }
  void change(const Stacks::Track& track, bool entered, const std::string& name, u64 at) {
    const auto key = std::tuple(track.vcpu, track.cr3, track.user);
    const auto [place, added] = tracks_.emplace(key, tracks_.size() + 1);
    if (added) {
      begin();
      std::fprintf(out_,
                   "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":1,\"tid\":%zu,\"args\":{\"name\":\"vCPU %u %s cr3 "
                   "%llx\"}}",
                   place->second, track.vcpu, track.user ? "user" : "kernel", wide(track.cr3));
    }
    begin();
    std::fprintf(out_, "{\"ph\":\"%c\",\"pid\":1,\"tid\":%zu,\"ts\":%llu.%03llu,\"name\":\"%s\"}", entered ? 'B' : 'E',
                 place->second, wide(at / 1000), wide(at % 1000), name.c_str());
  }
  void event(const Item& item, u64 at) {
    begin();
    std::fprintf(out_,
                 "{\"ph\":\"i\",\"s\":\"p\",\"pid\":1,\"tid\":0,\"ts\":%llu.%03llu,\"name\":\"vector 0x%02x on vCPU "
                 "%u\"}",
                 wide(at / 1000), wide(at % 1000), item.event.vector, item.vcpu);
  }
  void finish() { std::fputs("\n],\"displayTimeUnit\":\"ns\"}\n", out_); }

 private:
  void begin() {
    if (!first_) std::fputs(",\n", out_);
    first_ = false;
  }
  std::FILE* out_;
  bool first_ = true;
  std::map<std::tuple<unsigned, u64, bool>, size_t> tracks_;
};

}  // namespace

Result<void> export_trace(TraceFile& file, const Selection& selection, Symbols& symbols, const std::string& format,
                          std::FILE* out) {
  if (format != "chrome" && format != "folded")
    return Error{"unknown format: " + format + ": trace export; use chrome or folded"};
  Stacks stacks(symbols);
  std::optional<ChromeWriter> chrome;
  if (format == "chrome") {
    chrome.emplace(out);
    stacks.on_change([&](const Stacks::Track& track, bool entered, const std::string& name, u64 at) {
      chrome->change(track, entered, name, at);
    });
  }
  Cursor cursor(file, selection.vcpu);
  Item item;
  while (cursor.next(item)) {
    if (!selected(selection, item)) continue;
    stacks.add(item);
    if (chrome && item.kind == Item::Kind::Event && selection.events) chrome->event(item, item.number);
  }
  stacks.finish();
  if (chrome) {
    chrome->finish();
  } else {
    std::fputs(folded(stacks).c_str(), out);
  }
  return std::ferror(out) != 0 ? Result<void>(Error{"cannot write: standard output"}) : Result<void>();
}

}  // namespace xm::trace
