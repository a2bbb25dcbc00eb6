// SPDX-License-Identifier: GPL-2.0-or-later
// Call stacks out of the order of instructions: calls push, returns pop to where they return, interrupts and faults
// stand on top of what they interrupt until IRET. A guess where code plays with its stack; each address space and
// privilege level has a stack of its own.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "emu/trace/reader.h"
#include "emu/trace/symbols.h"

namespace xm::trace {

class Stacks {
 public:
  struct Track {
    unsigned vcpu = 0;
    u64 cr3 = 0;
    bool user = false;
  };
  struct Frame {
    u32 name = 0;       // index into names()
    u64 return_to = 0;  // linear address behind the call; 0: an interrupt, left by IRET
  };
  struct Stack {
    std::vector<Frame> frames;
    u32 node = 0;  // of the call tree
    Track track;
  };
  struct Node {
    u32 name = 0, parent = 0;
    u64 self = 0;  // instructions
    std::map<u32, u32> children;
  };
  // Called when a function is entered or left on one of the stacks, with the vCPU's instruction count so far.
  using Change = std::function<void(const Track& track, bool entered, const std::string& name, u64 at)>;

  explicit Stacks(Symbols& symbols) : symbols_(symbols) { nodes_.emplace_back(); }
  void on_change(Change change) { change_ = std::move(change); }
  void add(const Item& item);
  // Ends what is still running.
  void finish();

  const std::vector<Node>& nodes() const { return nodes_; }  // [0] is the root
  const std::string& name(u32 index) const { return names_[index]; }

 private:
  enum class End : u8 { Other, Call, Return, InterruptReturn };
  struct Shape {
    End end = End::Other;
    u64 next = 0;  // linear address behind the last instruction
    u32 function = 0;
  };
  struct Cpu {
    std::map<std::pair<u64, bool>, Stack> stacks;
    Stack* stack = nullptr;
    End pending = End::Other;  // of the run before
    u64 pending_next = 0;
    bool event = false;
    u64 at = 0;
  };

  const Shape& shape(const Item& item);
  u32 name_of(u64 linear);
  u32 intern(const std::string& name);
  void push(Cpu& cpu, Frame frame);
  void pop(Cpu& cpu);
  u32 child(u32 node, u32 name);
  void enter_function(Cpu& cpu, const Item& item, u64 linear);

  Symbols& symbols_;
  Change change_;
  std::vector<Node> nodes_;
  std::vector<std::string> names_;
  std::map<std::string, u32> name_index_;
  std::map<unsigned, std::vector<Shape>> shapes_;
  std::map<unsigned, Cpu> cpus_;
};

// "a;b;c 123" lines, one a stack.
std::string folded(const Stacks& stacks);
// A flame graph as SVG; widths are instructions.
std::string flame_graph_svg(const Stacks& stacks, const std::string& title);

}  // namespace xm::trace
