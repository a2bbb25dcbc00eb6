// SPDX-License-Identifier: GPL-2.0-or-later
// Reads an instruction-trace file (emu/trace/format.h). Nothing in a file is believed: sizes, numbers and checksums are
// verified, and a file that was cut off or damaged yields what lies before the damage, with damage() telling where.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cpu/decode/insn.h"
#include "cpu/watch.h"
#include "emu/base/result.h"
#include "emu/trace/format.h"

namespace xm::trace {

// Code that the engine decoded at once.
struct Stretch {  // kept in a deque, so that addresses stay
  u64 linear = 0;
  cpu::CodeSize code_size = cpu::CodeSize::Bits16;
  std::vector<u8> lengths;
  std::string bytes;
};

struct Access {
  u64 linear = 0;
  bool write = false;
  std::string bytes;
};

struct Registers {
  std::array<u64, 17> value{};  // RAX.., RFLAGS
  std::array<std::array<u8, 32>, 16> vector{};
};

// What one step through a Run frame yields.
struct Item {
  enum class Kind : u8 { Run, Event, Gap };
  Kind kind = Kind::Run;
  unsigned vcpu = 0;
  unsigned cpl = 0;
  u64 cr3 = 0;
  // Run: instructions [first, first + count) of *stretch, `times` times over; the first of them is number `number` of
  // this vCPU's recorded ones. Gap: count instructions were not recorded.
  const Stretch* stretch = nullptr;
  u32 stretch_number = 0;
  unsigned first = 0;
  u64 count = 0, times = 1, number = 0;
  // Event
  cpu::WatchedEvent event;
  u64 guest_ns = 0;
  // Run of one instruction, where they were recorded: what it changed and touched.
  u64 register_mask = 0;
  const Registers* registers = nullptr;
  std::span<const Access> accesses;
};

// Adds the stretches of a Code payload to `known`, of which there are `first` so far. False: damaged.
bool parse_code(std::string_view payload, u64 first, u64 count, std::deque<Stretch>& known);

// Goes through one Run payload. `code` is that of its vCPU and outlives it.
class RunParser {
 public:
  RunParser(std::string payload, unsigned vcpu, u64 first, u64 guest_ns, bool details, const std::deque<Stretch>& code)
      : payload_(std::move(payload)),
        source_(payload_),
        details_(details),
        code_(code),
        number_(first),
        frame_ns_(guest_ns) {
    context_.vcpu = vcpu;
  }
  RunParser(const RunParser&) = delete;
  RunParser& operator=(const RunParser&) = delete;
  bool next(Item& item);  // false: the end, or damage
  bool damaged() const { return damaged_; }

 private:
  bool token(Item& item, bool& yields);
  bool run(u64 token, Item& item);
  void read_details(Item& item);

  const std::string payload_;
  ByteSource source_;
  const bool details_;
  const std::deque<Stretch>& code_;
  Item context_;  // vCPU, CPL and CR3
  u64 number_, frame_ns_;
  u64 ahead_ = 0;  // token that was read while looking for details
  bool damaged_ = false;
  std::optional<Item> last_run_;
  Registers registers_;
  std::vector<Access> accesses_;
};

// The instructions of a run, one by one.
class Expander {
 public:
  void begin(const Item& run) {
    run_ = run;
    done_ = 0;
    total_ = run.count * run.times;
  }
  bool next(Item& item, u64& linear, std::string_view& bytes);

 private:
  Item run_;
  u64 done_ = 0, total_ = 0, offset_ = 0;
};

class TraceFile {
 public:
  static Result<std::unique_ptr<TraceFile>> open(const std::string& path);
  ~TraceFile();

  u32 contents() const { return header_.contents; }
  unsigned vcpus() const { return header_.vcpus; }
  const std::vector<IndexEntry>& frames() const { return frames_; }
  u64 instructions() const;
  u64 size_bytes() const { return size_; }
  // Empty if the file is whole; else what is wrong and where.
  const std::string& damage() const { return damage_; }
  const std::string& path() const { return path_; }

 private:
  friend class Cursor;
  TraceFile() = default;
  bool read_index();
  void scan();
  bool frame_header(u64 offset, FrameHeader& header) const;
  // Empty, with damage_ set, if it can not be had.
  std::optional<std::string> payload(const IndexEntry& entry);
  bool load_code(const IndexEntry& entry);

  std::string path_;
  const u8* data_ = nullptr;
  u64 size_ = 0;
  FileHeader header_{};
  std::vector<IndexEntry> frames_;
  std::string damage_;
  std::map<unsigned, std::deque<Stretch>> code_;  // by vCPU
  size_t code_loaded_ = 0;                        // frames whose code is in code_
};

// Walks through the runs and events of a file, or of one vCPU, in file order.
class Cursor {
 public:
  explicit Cursor(TraceFile& file, std::optional<unsigned> vcpu = std::nullopt) : file_(file), vcpu_(vcpu) {}
  // Goes to the frame that holds instruction `number` of the vCPU (frames before it are not read).
  void seek(u64 number);
  bool next(Item& item);

 private:
  bool next_frame();

  TraceFile& file_;
  std::optional<unsigned> vcpu_;
  size_t frame_ = 0;
  std::unique_ptr<RunParser> parser_;
};

// One instruction at a time out of a Cursor; events and gaps come through as they are.
class InstructionCursor {
 public:
  explicit InstructionCursor(TraceFile& file, std::optional<unsigned> vcpu = std::nullopt) : cursor_(file, vcpu) {}
  void seek(u64 number) { cursor_.seek(number); }
  // For a Run: `linear` and `bytes` of one instruction; item.number is its number.
  bool next(Item& item, u64& linear, std::string_view& bytes);

 private:
  Cursor cursor_;
  Expander expander_;
};

}  // namespace xm::trace
