// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/trace/show.h"

#include <deque>

namespace xm::trace {

namespace {

unsigned long long wide(u64 value) { return value; }

std::string hex(std::string_view bytes) {
  std::string text;
  char pair[3];
  for (const char byte : bytes) {
    std::snprintf(pair, sizeof pair, "%02x", static_cast<u8>(byte));
    text += pair;
  }
  return text;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

class Printer {
 public:
  Printer(Symbols& symbols, LineStyle style, bool json, std::FILE* out)
      : symbols_(symbols), lines_(symbols, style), json_(json), out_(out) {}

  void instruction(const Item& item, u64 linear, std::string_view bytes) {
    if (!json_) return emit(lines_.instruction(item, linear, bytes));
    std::string text = "{\"number\":" + std::to_string(item.number) + ",\"vcpu\":" + std::to_string(item.vcpu) +
                       ",\"cpl\":" + std::to_string(item.cpl) + ",\"cr3\":" + std::to_string(item.cr3) +
                       ",\"linear\":" + std::to_string(linear) + ",\"bytes\":\"" + hex(bytes) +
                       "\",\"text\":" + quoted(disassembler_.text(bytes, linear, item.stretch->code_size));
    const Place& place = symbols_.at(linear);
    if (!place.function.empty())
      text += ",\"function\":" + quoted(place.function) + ",\"offset\":" + std::to_string(place.offset);
    if (!place.source.empty()) text += ",\"source\":" + quoted(place.source);
    emit(text + "}\n");
  }
  void event(const Item& item) {
    if (!json_) return emit(lines_.event(item));
    emit("{\"number\":" + std::to_string(item.number) + ",\"vcpu\":" + std::to_string(item.vcpu) + ",\"event\":" +
         std::to_string(static_cast<unsigned>(item.event.kind)) + ",\"vector\":" + std::to_string(item.event.vector) +
         ",\"error_code\":" + std::to_string(item.event.error_code) + ",\"address\":" +
         std::to_string(item.event.address) + ",\"guest_ns\":" + std::to_string(item.guest_ns) + "}\n");
  }
  void gap(const Item& item) {
    if (!json_) emit(lines_.gap(item));
  }
  bool failed() const { return std::ferror(out_) != 0; }

 private:
  void emit(const std::string& text) { std::fwrite(text.data(), 1, text.size(), out_); }

  Symbols& symbols_;
  LineWriter lines_;
  Disassembler disassembler_;
  const bool json_;
  std::FILE* out_;
};

bool in_context(const Selection& selection, const Item& item) {
  if (selection.cpl && *selection.cpl != item.cpl) return false;
  return !selection.cr3 || *selection.cr3 >> 12 == item.cr3 >> 12;
}

}  // namespace

Result<void> show(TraceFile& file, const Selection& selection, Symbols& symbols, LineStyle style, bool json,
                  std::FILE* out) {
  Printer printer(symbols, style, json, out);
  InstructionCursor cursor(file, selection.vcpu);
  if (selection.from != 0) cursor.seek(selection.from);
  Item item;
  u64 linear = 0, shown = 0;
  std::string_view bytes;
  while (shown < selection.count && !printer.failed() && cursor.next(item, linear, bytes)) {
    if (item.number < selection.from || !in_context(selection, item)) continue;
    if (item.kind == Item::Kind::Run) {
      if (linear < selection.range_first || linear > selection.range_last) continue;
      if (!selection.function.empty() && symbols.at(linear).function != selection.function) continue;
      printer.instruction(item, linear, bytes);
      shown++;
    } else if (item.kind == Item::Kind::Event && selection.events) {
      printer.event(item);
    } else if (item.kind == Item::Kind::Gap) {
      printer.gap(item);
    }
  }
  if (printer.failed()) return Error{"cannot write: standard output"};
  return {};
}

namespace {

// The instructions of one trace, events and gaps left out.
struct Side {
  explicit Side(TraceFile& file, unsigned vcpu) : cursor(file, vcpu) {}
  bool next() {
    while (cursor.next(item, linear, bytes))
      if (item.kind == Item::Kind::Run) return true;
    return false;
  }
  InstructionCursor cursor;
  Item item;
  u64 linear = 0;
  std::string_view bytes;
};

// What a run wrote to the registers that both traces recorded.
bool same_registers(const Item& left, const Item& right) {
  return left.registers == nullptr || right.registers == nullptr || left.registers->value == right.registers->value;
}

}  // namespace

Result<bool> diff(TraceFile& left, TraceFile& right, Symbols& symbols, unsigned context, std::FILE* out) {
  LineWriter lines(symbols, {});
  const bool registers = (left.contents() & right.contents() & kWithRegisters) != 0;
  bool same = true;
  for (unsigned vcpu = 0; vcpu < std::max(left.vcpus(), right.vcpus()); vcpu++) {
    Side a(left, vcpu), b(right, vcpu);
    std::deque<std::string> before;
    u64 equal = 0;
    for (;;) {
      const bool more_a = a.next(), more_b = b.next();
      if (!more_a && !more_b) break;
      const bool alike = more_a && more_b && a.linear == b.linear && a.bytes == b.bytes && a.item.cpl == b.item.cpl &&
                         (!registers || same_registers(a.item, b.item));
      if (alike) {
        equal++;
        if (context == 0) continue;
        before.push_back(lines.instruction(a.item, a.linear, a.bytes));
        if (before.size() > context) before.pop_front();
        continue;
      }
      same = false;
      std::fprintf(out, "vCPU %u: %llu instructions alike, then they part:\n", vcpu, wide(equal));
      for (const std::string& line : before) std::fprintf(out, "  %s", line.c_str());
      std::fprintf(out, "< %s", more_a ? lines.instruction(a.item, a.linear, a.bytes).c_str() : "(end)\n");
      std::fprintf(out, "> %s", more_b ? lines.instruction(b.item, b.linear, b.bytes).c_str() : "(end)\n");
      break;
    }
    if (same) std::fprintf(out, "vCPU %u: %llu instructions, the same\n", vcpu, wide(equal));
  }
  return same;
}

}  // namespace xm::trace
