// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/trace/stacks.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "cpu/decode/decoder.h"

namespace xm::trace {

namespace {

constexpr size_t kDeepest = 256;      // frames of one stack; deeper recursion stays in the last one
constexpr size_t kReturnSearch = 64;  // frames a return may skip (longjmp, missed returns)
constexpr u64 kBase = ~u64{0};        // return_to of a frame that nobody called

// The address of the last instruction of a slice, and that behind it.
struct Tail {
  u64 offset = 0, length = 0;
};
Tail tail_of(const Stretch& stretch, u64 instructions) {
  Tail tail;
  for (u64 i = 0; i < instructions; i++) {
    tail.offset += tail.length;
    tail.length = stretch.lengths[i];
  }
  return tail;
}

}  // namespace

u32 Stacks::intern(const std::string& name) {
  const auto [place, added] = name_index_.emplace(name, names_.size());
  if (added) names_.push_back(name);
  return place->second;
}

u32 Stacks::name_of(u64 linear) {
  const Place& place = symbols_.at(linear);
  if (!place.function.empty()) return intern(place.function);
  // Without a symbol: the page, so that unknown code stays readable.
  char text[32];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(linear & ~kPageMask));
  return intern(text);
}

const Stacks::Shape& Stacks::shape(const Item& item) {
  std::vector<Shape>& known = shapes_[item.vcpu];
  if (known.size() <= item.stretch_number) known.resize(item.stretch_number + 1);
  Shape& shape = known[item.stretch_number];
  if (shape.next != 0) return shape;
  const Stretch& stretch = *item.stretch;
  const Tail tail = tail_of(stretch, stretch.lengths.size());
  shape.next = stretch.linear + tail.offset + tail.length;
  shape.function = name_of(stretch.linear);
  cpu::Insn insn;
  const auto* bytes = reinterpret_cast<const u8*>(stretch.bytes.data()) + tail.offset;
  if (cpu::decode_into({bytes, static_cast<size_t>(tail.length)}, stretch.code_size, insn) != cpu::DecodeStatus::Ok)
    return shape;
  switch (insn.operation) {
    case cpu::Operation::CallNear:
    case cpu::Operation::CallFar: shape.end = End::Call; break;
    case cpu::Operation::RetNear:
    case cpu::Operation::RetFar: shape.end = End::Return; break;
    case cpu::Operation::Iret: shape.end = End::InterruptReturn; break;
    default: break;
  }
  return shape;
}

u32 Stacks::child(u32 node, u32 name) {
  const auto known = nodes_[node].children.find(name);
  if (known != nodes_[node].children.end()) return known->second;
  const u32 made = static_cast<u32>(nodes_.size());
  nodes_[node].children.emplace(name, made);
  nodes_.push_back({.name = name, .parent = node, .self = 0, .children = {}});
  return made;
}

void Stacks::push(Cpu& cpu, Frame frame) {
  if (cpu.stack->frames.size() >= kDeepest) return;
  cpu.stack->frames.push_back(frame);
  cpu.stack->node = child(cpu.stack->node, frame.name);
  if (change_) change_(cpu.stack->track, true, names_[frame.name], cpu.at);
}

void Stacks::pop(Cpu& cpu) {
  const Frame frame = cpu.stack->frames.back();
  cpu.stack->frames.pop_back();
  cpu.stack->node = nodes_[cpu.stack->node].parent;
  if (change_) change_(cpu.stack->track, false, names_[frame.name], cpu.at);
}

void Stacks::enter_function(Cpu& cpu, const Item& item, u64 linear) {
  const bool user = item.cpl == 3;
  Stack* stack = &cpu.stacks[{item.cr3, user}];
  stack->track = {.vcpu = item.vcpu, .cr3 = item.cr3, .user = user};
  if (stack != cpu.stack) {
    const bool from_user = cpu.stack != nullptr && cpu.stack == &cpu.stacks[{item.cr3, true}];
    cpu.stack = stack;
    if (from_user) {  // a system call or interrupt begins with an empty kernel stack
      while (!stack->frames.empty()) pop(cpu);
    } else if (cpu.pending == End::Call || cpu.pending == End::Return) {
      cpu.pending = End::Other;
    }
  }
  std::vector<Frame>& frames = stack->frames;
  const u32 name = shape(item).function;
  if (cpu.event) return push(cpu, {.name = name, .return_to = 0});
  if (cpu.pending == End::Call && !frames.empty()) return push(cpu, {.name = name, .return_to = cpu.pending_next});
  if (cpu.pending == End::Return) {
    bool found = false;
    for (size_t back = 1; back <= std::min(frames.size(), kReturnSearch); back++) {
      if (frames[frames.size() - back].return_to != linear) continue;
      for (size_t i = 0; i < back; i++) pop(cpu);
      found = true;
      break;
    }
    // To nowhere it was called from: another task's stack.
    while (!found && !frames.empty()) pop(cpu);
  }
  if (cpu.pending == End::InterruptReturn) {
    const auto entry = std::find_if(frames.rbegin(), frames.rend(), [](const Frame& f) { return f.return_to == 0; });
    if (entry != frames.rend())
      for (auto left = std::distance(frames.rbegin(), entry) + 1; left > 0; left--) pop(cpu);
  }
  if (!frames.empty() && frames.back().name == name) return;
  // A jump into another function takes its caller over.
  u64 return_to = kBase;
  if (!frames.empty()) {
    return_to = frames.back().return_to;
    pop(cpu);
  }
  push(cpu, {.name = name, .return_to = return_to});
}

void Stacks::add(const Item& item) {
  Cpu& cpu = cpus_[item.vcpu];
  if (item.kind == Item::Kind::Event) {
    cpu.event = true;
    return;
  }
  if (item.kind == Item::Kind::Gap) {
    cpu.pending = End::Other;
    return;
  }
  const Shape& there = shape(item);
  const u64 linear = item.stretch->linear + (item.first == 0 ? 0 : tail_of(*item.stretch, item.first + 1).offset);
  enter_function(cpu, item, linear);
  nodes_[cpu.stack->node].self += item.count * item.times;
  cpu.at += item.count * item.times;
  const bool whole = item.first + item.count == item.stretch->lengths.size();
  cpu.pending = whole ? there.end : End::Other;
  cpu.pending_next = there.next;
  cpu.event = false;
}

void Stacks::finish() {
  for (auto& [vcpu, cpu] : cpus_) {
    for (auto& [key, stack] : cpu.stacks) {
      cpu.stack = &stack;
      while (!stack.frames.empty()) pop(cpu);
    }
  }
}

namespace {

void fold(const Stacks& stacks, u32 node, const std::string& path, std::string& text) {
  const Stacks::Node& here = stacks.nodes()[node];
  if (here.self != 0 && !path.empty()) text += path + " " + std::to_string(here.self) + "\n";
  for (const auto& [name, index] : here.children)
    fold(stacks, index, path.empty() ? stacks.name(name) : path + ";" + stacks.name(name), text);
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      out += c;
    }
  }
  return out;
}

class FlameGraph {
 public:
  explicit FlameGraph(const Stacks& stacks) : stacks_(stacks), total_(stacks.nodes().size()) {
    // Children have higher numbers than their parents.
    for (size_t i = stacks.nodes().size(); i-- > 0;) {
      total_[i] += stacks.nodes()[i].self;
      if (i != 0) total_[stacks.nodes()[i].parent] += total_[i];
    }
  }

  std::string svg(const std::string& title) {
    draw(0, 0, 0);
    const unsigned height = (deepest_ + 2) * kRow + 30;
    std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + std::to_string(kWidth) + "\" height=\"" +
                      std::to_string(height) +
                      "\" font-family=\"monospace\" font-size=\"11\">\n<text x=\"4\" y=\"16\">" + escaped(title) +
                      "</text>\n";
    return out + body_ + "</svg>\n";
  }

 private:
  static constexpr unsigned kWidth = 1200, kRow = 17;

  void draw(u32 node, double x, unsigned depth) {
    deepest_ = std::max(deepest_, depth);
    const double scale = total_[0] == 0 ? 0 : static_cast<double>(kWidth) / static_cast<double>(total_[0]);
    double at = x;
    for (const auto& [name, index] : stacks_.nodes()[node].children) {
      const double width = static_cast<double>(total_[index]) * scale;
      if (width >= 0.3) {
        box(stacks_.name(name), total_[index], at, width, depth);
        draw(index, at, depth + 1);
      }
      at += width;
    }
  }

  void box(const std::string& name, u64 count, double x, double width, unsigned depth) {
    const unsigned hue =
        static_cast<unsigned>(std::accumulate(name.begin(), name.end(), 7u,
                                              [](unsigned sum, char c) { return sum * 31 + static_cast<u8>(c); }) %
                              60);
    char text[256];
    std::snprintf(text, sizeof text,
                  "<g><title>%.100s: %llu instructions (%.2f %%)</title><rect x=\"%.1f\" y=\"%u\" width=\"%.1f\" "
                  "height=\"%u\" fill=\"hsl(%u,75%%,65%%)\" stroke=\"white\" stroke-width=\"0.4\"/>",
                  escaped(name).c_str(), static_cast<unsigned long long>(count),
                  100.0 * static_cast<double>(count) / static_cast<double>(total_[0]), x, 26 + depth * kRow, width,
                  kRow - 1, hue);
    body_ += text;
    const size_t letters = static_cast<size_t>(width / 6.7);
    if (letters >= 3) {
      const std::string label = name.size() > letters ? name.substr(0, letters - 2) + ".." : name;
      std::snprintf(text, sizeof text, "<text x=\"%.1f\" y=\"%u\">%.180s</text>", x + 2, 38 + depth * kRow,
                    escaped(label).c_str());
      body_ += text;
    }
    body_ += "</g>\n";
  }

  const Stacks& stacks_;
  std::vector<u64> total_;
  std::string body_;
  unsigned deepest_ = 0;
};

}  // namespace

std::string folded(const Stacks& stacks) {
  std::string text;
  fold(stacks, 0, "", text);
  return text;
}

std::string flame_graph_svg(const Stacks& stacks, const std::string& title) { return FlameGraph(stacks).svg(title); }

}  // namespace xm::trace
