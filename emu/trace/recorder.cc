// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/trace/recorder.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "cpu/decode/decoder.h"
#include "cpu/vcpu/vcpu.h"

namespace xm::trace {

namespace {

constexpr size_t kFrameBytes = 256 << 10;
constexpr u64 kFrameInstructions = u64{1} << 21;
constexpr u64 kRingFrames = 16;  // last=N is kept in pieces of a sixteenth
constexpr u16 kCom1 = 0x3F8;
constexpr unsigned kFlagsIndex = 16, kVectorIndex = 17;

// The bytes of a stretch, as the engine has just decoded them.
std::vector<u8> bytes_of(cpu::Vcpu& cpu, const cpu::WatchedCode& code) {
  std::vector<u8> bytes(code.size_bytes);
  const u64 in_first = code.second_physical == 0 ? code.size_bytes : kPageSize - (code.physical & kPageMask);
  for (u64 i = 0; i < bytes.size(); i++) {
    const u64 at = i < in_first ? code.physical + i : code.second_physical + (i - in_first);
    bytes[i] = static_cast<u8>(cpu.read_phys(GuestPhys{at}, 1));
  }
  return bytes;
}

// Lengths of its instructions; one that is not a valid instruction takes what is left.
std::vector<u8> lengths_of(std::span<const u8> bytes, cpu::CodeSize code_size, unsigned instructions) {
  std::vector<u8> lengths;
  while (lengths.size() < instructions) {
    cpu::Insn insn;
    const bool valid = cpu::decode_into(bytes, code_size, insn) == cpu::DecodeStatus::Ok && insn.length <= bytes.size();
    const u8 length = valid ? insn.length : static_cast<u8>(std::min<size_t>(bytes.size(), 15));
    lengths.push_back(length);
    bytes = bytes.subspan(length);
  }
  return lengths;
}

}  // namespace

Control::Control(const Options& options) : options_(options) {
  if (options.start.kind == Moment::Kind::Now) begin();
}

void Control::begin() {
  Phase expected = Phase::Waiting;
  phase_.compare_exchange_strong(expected, Phase::Recording);
}

void Control::end() { phase_.store(Phase::Over); }

bool Control::matches(const Moment& moment, size_t& matched, Port port, u64 value) const {
  if (moment.kind == Moment::Kind::PortWrite)
    return port.value == moment.number && (!moment.value || *moment.value == value);
  if (moment.kind != Moment::Kind::SerialText || port.value != kCom1) return false;
  // Texts to wait for are short: after a mismatch the longest prefix that still fits is found by trying.
  const std::string& text = moment.text;
  const char byte = static_cast<char>(value);
  while (matched > 0 && text[matched] != byte) {
    size_t shorter = matched - 1;
    while (shorter > 0 && text.compare(matched - shorter, shorter, text, 0, shorter) != 0) shorter--;
    matched = shorter;
  }
  if (text[matched] == byte) matched++;
  if (matched < text.size()) return false;
  matched = 0;
  return true;
}

void Control::port_written(Port port, u64 value) {
  const std::scoped_lock lock(text_mutex_);
  if (phase() == Phase::Waiting && matches(options_.start, start_matched_, port, value)) {
    begin();
  } else if (phase() == Phase::Recording && matches(options_.stop, stop_matched_, port, value)) {
    end();
  }
}

Recorder::Recorder(unsigned vcpu, const Options& options, Control& control, FrameSink& sink)
    : vcpu_(vcpu), options_(options), control_(control), sink_(sink) {}

void Recorder::define(cpu::Vcpu& cpu, const cpu::WatchedCode& code) {
  const std::vector<u8> bytes = bytes_of(cpu, code);
  const std::vector<u8> lengths = lengths_of(bytes, code.code_size, code.instructions);
  Stretch stretch;
  u64 at = code.linear;
  for (u8 i = 0; i < lengths.size(); at += lengths[i++]) {
    if (at >= options_.range_first && at <= options_.range_last) {
      if (stretch.end == 0) stretch.first = i;
      stretch.end = static_cast<u8>(i + 1);
    }
    if (options_.start.kind == Moment::Kind::Address && at == options_.start.number) stretch.start_at = i;
    if (options_.stop.kind == Moment::Kind::Address && at == options_.stop.number) stretch.stop_at = i;
  }
  stretches_.push_back(stretch);
  *code.tag = static_cast<u32>(stretches_.size());
  code_.signed_varint(static_cast<i64>(code.linear - std::exchange(last_defined_, code.linear)));
  code_.u8_(static_cast<u8>(code.code_size));
  code_.varint(lengths.size());
  code_.raw(lengths.data(), lengths.size());
  code_.varint(bytes.size());
  code_.raw(bytes.data(), bytes.size());
}

bool Recorder::wanted(const Context& context) const {
  if (options_.cpl && *options_.cpl != context.cpl) return false;
  return !options_.cr3 || *options_.cr3 >> 12 == context.cr3 >> 12;
}

void Recorder::entering(cpu::Vcpu& cpu, const cpu::WatchedCode& code) {
  context_ = {.cpl = cpu.state.cpl, .cr3 = cpu.state.cr3};
  inside_ = true;
  if (*code.tag == 0) define(cpu, code);
}

void Recorder::left(cpu::Vcpu& cpu, const cpu::WatchedCode& code, unsigned retired) {
  inside_ = false;
  const u32 number = *code.tag - 1;
  const Stretch& stretch = stretches_[number];
  unsigned first = stretch.first;
  unsigned end = std::min<unsigned>(stretch.end, retired);
  if (control_.phase() == Control::Phase::Waiting) {
    if (options_.start.kind == Moment::Kind::Instructions && executed_ + retired > options_.start.number) {
      first = std::max<unsigned>(
          first, static_cast<unsigned>(options_.start.number - std::min(executed_, options_.start.number)));
      control_.begin();
    } else if (stretch.start_at < retired) {
      first = std::max<unsigned>(first, stretch.start_at);
      control_.begin();
    } else {
      first = end;
    }
  } else if (control_.phase() == Control::Phase::Over) {
    first = end;
  }
  bool over = false;
  if (options_.stop.kind == Moment::Kind::Instructions && executed_ + retired >= options_.stop.number) {
    end = std::min<unsigned>(end,
                             static_cast<unsigned>(options_.stop.number - std::min(executed_, options_.stop.number)));
    over = true;
  }
  if (stretch.stop_at < retired && control_.phase() == Control::Phase::Recording && stretch.stop_at >= first) {
    end = std::min<unsigned>(end, stretch.stop_at);
    over = true;
  }
  executed_ += retired;
  unsigned count = end > first && wanted(context_) ? end - first : 0;
  if (count > options_.limit - recorded_) count = static_cast<unsigned>(options_.limit - recorded_);
  if (count > 0) append(cpu, number, first, count, code.instructions);
  gap_ += retired - count;
  if (retired > 0 && count == 0) held_accesses_.take();
  for (const cpu::WatchedEvent& event : std::exchange(held_events_, {})) append_event(cpu, event);
  if (over || recorded_ == options_.limit) control_.end();
}

void Recorder::begin_record(cpu::Vcpu& cpu) {
  flush_repeats();
  if (run_.empty()) {
    frame_first_ = recorded_;
    frame_ns_ = static_cast<u64>(cpu.bus.now().value);
    written_context_ = {};
    registers_ = {};
    vectors_ = {};
  }
  if (gap_ != 0) {
    run_.varint(kGap);
    run_.varint(std::exchange(gap_, 0));
    last_run_ = ~u64{0};
  }
  if (context_ != written_context_) {
    written_context_ = context_;
    run_.varint(kContext);
    run_.u8_(context_.cpl);
    run_.varint(context_.cr3);
    last_run_ = ~u64{0};
  }
}

void Recorder::append(cpu::Vcpu& cpu, u32 number, unsigned first, unsigned count, unsigned whole) {
  const bool same = last_run_ == number && count == whole && gap_ == 0 && context_ == written_context_ && !run_.empty();
  if (same && !wants_steps()) {
    repeats_++;
    recorded_ += count;
    frame_count_ += count;
    if (frame_count_ >= kFrameInstructions) cut_frame();
    return;
  }
  begin_record(cpu);
  recorded_ += count;
  frame_count_ += count;
  if (count == whole) {
    run_.varint(kFirstRun + number);
    last_run_ = number;
  } else {
    run_.varint(kSlice);
    run_.varint(number);
    run_.varint(first);
    run_.varint(count);
    last_run_ = ~u64{0};
  }
  if (options_.registers) append_registers(cpu);
  if (!held_accesses_.empty()) {
    const std::string accesses = held_accesses_.take();
    run_.raw(accesses.data(), accesses.size());
  }
  const u64 most = options_.last == 0 ? kFrameInstructions : std::max<u64>(options_.last / kRingFrames, 1);
  if (run_.size() >= kFrameBytes || frame_count_ >= most) cut_frame();
}

void Recorder::append_registers(cpu::Vcpu& cpu) {
  u64 mask = 0;
  std::array<u64, 17> now{};
  std::copy(cpu.state.gpr.begin(), cpu.state.gpr.end(), now.begin());
  now[kFlagsIndex] = cpu.rflags();
  for (unsigned i = 0; i < now.size(); i++) mask |= u64{now[i] != registers_[i]} << i;
  for (unsigned i = 0; i < vectors_.size(); i++)
    mask |= u64{!(cpu.state.vector[i] == vectors_[i])} << (kVectorIndex + i);
  if (mask == 0) return;
  run_.varint(kRegisters);
  run_.varint(mask);
  for (unsigned i = 0; i < now.size(); i++) {
    if ((mask >> i & 1) != 0) run_.signed_varint(static_cast<i64>(now[i] - registers_[i]));
  }
  registers_ = now;
  for (unsigned i = 0; i < vectors_.size(); i++) {
    if ((mask >> (kVectorIndex + i) & 1) == 0) continue;
    vectors_[i] = cpu.state.vector[i];
    run_.raw(&vectors_[i], sizeof vectors_[i]);
  }
}

void Recorder::accessed(cpu::Vcpu&, u64 linear, std::span<const u8> bytes, bool write) {
  if (!inside_ || control_.phase() != Control::Phase::Recording) return;
  if (held_accesses_.size() > kFrameBytes) return;  // one instruction: XSAVE, or a long repeated one
  held_accesses_.varint(kAccess);
  held_accesses_.u8_(static_cast<u8>(bytes.size() << 1 | (write ? 1 : 0)));
  held_accesses_.varint(linear);
  held_accesses_.raw(bytes.data(), bytes.size());
}

void Recorder::delivering(cpu::Vcpu& cpu, const cpu::WatchedEvent& event) {
  if (event.kind == cpu::WatchedEventKind::Exception) held_accesses_.take();
  if (inside_) {
    held_events_.push_back(event);
    return;
  }
  context_ = {.cpl = cpu.state.cpl, .cr3 = cpu.state.cr3};
  append_event(cpu, event);
}

void Recorder::append_event(cpu::Vcpu& cpu, const cpu::WatchedEvent& event) {
  if (control_.phase() != Control::Phase::Recording || !wanted(context_)) return;
  begin_record(cpu);
  run_.varint(kEvent);
  run_.u8_(static_cast<u8>(event.kind));
  run_.u8_(event.vector);
  run_.u8_(event.has_error_code ? 1 : 0);
  run_.varint(event.error_code);
  run_.varint(event.address);
  run_.varint(static_cast<u64>(cpu.bus.now().value) - frame_ns_);
  last_run_ = ~u64{0};
}

void Recorder::flush_repeats() {
  if (repeats_ == 0) return;
  run_.varint(kRepeat);
  run_.varint(std::exchange(repeats_, 0));
}

void Recorder::cut_frame() {
  flush_repeats();
  if (!code_.empty()) {
    sink_.put({.type = FrameType::Code,
               .vcpu = static_cast<u8>(vcpu_),
               .first = code_first_,
               .count = stretches_.size() - code_first_,
               .guest_ns = 0,
               .payload = code_.take()});
    code_first_ = stretches_.size();
    last_defined_ = 0;
  }
  if (run_.empty()) return;
  hand_over({.type = FrameType::Run,
             .vcpu = static_cast<u8>(vcpu_),
             .first = frame_first_,
             .count = std::exchange(frame_count_, 0),
             .guest_ns = frame_ns_,
             .payload = run_.take()});
  last_run_ = ~u64{0};
}

// With last=N a frame waits until it is known that it belongs to the end.
void Recorder::hand_over(Frame frame) {
  if (options_.last == 0) return sink_.put(std::move(frame));
  ring_count_ += frame.count;
  ring_.push_back(std::move(frame));
  while (ring_.size() > 1 && ring_count_ - ring_.front().count >= options_.last) {
    ring_count_ -= ring_.front().count;
    ring_.pop_front();
  }
}

void Recorder::finish() {
  cut_frame();
  for (Frame& frame : ring_) sink_.put(std::move(frame));
  ring_.clear();
}

}  // namespace xm::trace
