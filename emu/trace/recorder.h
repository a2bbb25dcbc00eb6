// SPDX-License-Identifier: GPL-2.0-or-later
// Recorder: watches one vCPU and turns what it does into Run and Code payloads (emu/trace/format.h), which go to a
// FrameSink. Runs on the vCPU's thread. What the vCPUs of a machine share (whether it is time to record) is Control.
#pragma once

#include <atomic>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "cpu/state/cpu_state.h"
#include "cpu/watch.h"
#include "emu/trace/format.h"
#include "emu/trace/options.h"

namespace xm::trace {

struct Frame {
  FrameType type;
  u8 vcpu;
  u64 first, count, guest_ns;
  std::string payload;
};

class FrameSink {
 public:
  // Any vCPU thread; may wait for room. Frames of one vCPU arrive in order, code before the runs that use it.
  virtual void put(Frame frame) = 0;

 protected:
  ~FrameSink() = default;
};

// When to record, for all vCPUs together.
class Control {
 public:
  enum class Phase : u8 { Waiting, Recording, Over };
  explicit Control(const Options& options);

  Phase phase() const { return phase_.load(std::memory_order_relaxed); }
  void begin();
  void end();
  // A write to an I/O port, on the thread of the vCPU that makes it.
  void port_written(Port port, u64 value);

 private:
  bool matches(const Moment& moment, size_t& matched, Port port, u64 value) const;

  const Options& options_;
  std::atomic<Phase> phase_{Phase::Waiting};
  std::mutex text_mutex_;
  size_t start_matched_ = 0, stop_matched_ = 0;
};

class Recorder final : public cpu::InstructionWatch {
 public:
  Recorder(unsigned vcpu, const Options& options, Control& control, FrameSink& sink);

  void entering(cpu::Vcpu& cpu, const cpu::WatchedCode& code) override;
  void left(cpu::Vcpu& cpu, const cpu::WatchedCode& code, unsigned retired) override;
  void delivering(cpu::Vcpu& cpu, const cpu::WatchedEvent& event) override;
  void accessed(cpu::Vcpu& cpu, u64 linear, std::span<const u8> bytes, bool write) override;
  bool wants_steps() const override { return options_.registers || options_.accesses; }
  bool wants_accesses() const override { return options_.accesses; }

  // Hands over what has been gathered. The vCPU stands still.
  void finish();
  u64 recorded() const { return recorded_; }

 private:
  struct Stretch {
    u8 first = 0, end = 0;  // instructions within the range filter
    u8 start_at = kNowhere, stop_at = kNowhere;
  };
  struct Context {
    u8 cpl = 0xFF;
    u64 cr3 = 0;
    bool operator==(const Context&) const = default;
  };
  static constexpr u8 kNowhere = 0xFF;

  void define(cpu::Vcpu& cpu, const cpu::WatchedCode& code);
  bool wanted(const Context& context) const;
  void append(cpu::Vcpu& cpu, u32 number, unsigned first, unsigned count, unsigned whole);
  void append_registers(cpu::Vcpu& cpu);
  void append_event(cpu::Vcpu& cpu, const cpu::WatchedEvent& event);
  void begin_record(cpu::Vcpu& cpu);
  void flush_repeats();
  void cut_frame();
  void hand_over(Frame frame);

  const unsigned vcpu_;
  const Options& options_;
  Control& control_;
  FrameSink& sink_;

  std::vector<Stretch> stretches_;
  ByteSink code_;  // definitions not handed over yet
  u64 code_first_ = 0;
  u64 last_defined_ = 0;  // linear address of the last definition in code_

  Context context_;          // of the code that runs
  Context written_context_;  // as the frame has it
  bool inside_ = false;      // between entering() and left()
  std::vector<cpu::WatchedEvent> held_events_;
  ByteSink held_accesses_;

  ByteSink run_;
  u64 frame_first_ = 0, frame_count_ = 0, frame_ns_ = 0;
  u64 recorded_ = 0, executed_ = 0, gap_ = 0, repeats_ = 0;
  u64 last_run_ = ~u64{0};
  std::array<u64, 17> registers_{};
  std::array<cpu::VectorRegister, 16> vectors_{};
  std::deque<Frame> ring_;  // last=N: frames that may still be dropped
  u64 ring_count_ = 0;
};

}  // namespace xm::trace
