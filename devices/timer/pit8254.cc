// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/timer/pit8254.h"

#include <algorithm>

#include "devices/timer/tick_rate.h"
#include "emu/base/bits.h"

namespace xm::devices {
namespace {

// Port 61h [82371AB 7.3.1].
constexpr u8 kSpeakerGate2 = 0x01;
constexpr u8 kSpeakerRefresh = 0x10;
constexpr u8 kSpeakerOut2 = 0x20;
constexpr i64 kRefreshHalfPeriodNs = 15'085;

}  // namespace

u64 Pit8254::tick() const { return kPitRate.ticks_at(clock_.now().value); }

void Pit8254::reset() {
  for (unsigned i = 0; i < 3; i++) counters_[i].reset(i != 2);
  speaker_control_ = 0;
  connected_ = true;
  edge_timer_.disarm();
  channel0_.lower();
}

void Pit8254::set_channel0_connected(bool connected) {
  connected_ = connected;
  follow_output();
}

u32 Pit8254::CounterPorts::port_read(Port port, unsigned) {
  const unsigned index = port.value & 3;
  return index == 3 ? 0xFF : pit.counters_[index].read(pit.tick());  // the control word can not be read
}

void Pit8254::CounterPorts::port_write(Port port, u32 value, unsigned) {
  const unsigned index = port.value & 3;
  if (index == 3) {
    pit.write_control(static_cast<u8>(value));
  } else {
    pit.counters_[index].write(static_cast<u8>(value), pit.tick());
    if (index == 0) pit.follow_output();
  }
}

void Pit8254::write_control(u8 value) {
  const auto select = static_cast<unsigned>(bits(value, 7, 6));
  if (select < 3) {
    counters_[select].write_control(value, tick());
    if (select == 0) follow_output();
    return;
  }
  // Read-back command: the latches are selected by zeros [82C54 p.9].
  for (unsigned i = 0; i < 3; i++) {
    if (!has_bit(value, 1 + i)) continue;
    if (!has_bit(value, 5)) counters_[i].latch_count(tick());
    if (!has_bit(value, 4)) counters_[i].latch_status(tick());
  }
}

u32 Pit8254::SpeakerPort::port_read(Port, unsigned) {
  u8 value = pit.speaker_control_;
  if ((pit.clock_.now().value / kRefreshHalfPeriodNs) & 1) value |= kSpeakerRefresh;
  if (pit.counters_[2].output(pit.tick())) value |= kSpeakerOut2;
  return value;
}

void Pit8254::SpeakerPort::port_write(Port, u32 value, unsigned) {
  pit.speaker_control_ = static_cast<u8>(value & 0x0F);
  pit.counters_[2].set_gate(value & kSpeakerGate2, pit.tick());
}

void Pit8254::follow_output() {
  const u64 now = tick();
  channel0_.set(connected_ && counters_[0].output(now));
  arm_after(now);
}

void Pit8254::arm_after(u64 now) {
  const u64 rise = connected_ ? counters_[0].next_rise(now) : PitCounter::kNever;
  if (rise == PitCounter::kNever) {
    edge_timer_.disarm();
  } else {
    edge_timer_.arm(Nanos{kPitRate.time_of(rise)});
  }
}

// The falling edge before a periodic rise is not timed apart: nothing on a PC looks at it. Rises that were missed while
// this callback was late are lost; the next one stays on the guest's grid.
void Pit8254::edge_due() {
  channel0_.lower();
  channel0_.raise();
  u64 after = tick();
  if (counters_[0].periodic()) {
    after = std::max(after, kPitRate.ticks_at(policy_.earliest_next_ns(clock_.now().value)) - 1);
  }
  arm_after(after);
}

void Pit8254::exchange(bus::Archive& archive) {
  constexpr std::array<std::string_view, 3> kNames{"counter0", "counter1", "counter2"};
  for (unsigned i = 0; i < 3; i++) {
    archive.begin(kNames[i]);
    counters_[i].exchange(archive);
    archive.end();
  }
  archive.field("connected", connected_);
  archive.field("speaker_control", speaker_control_);
  // The wire as it is: it may still be high where the counter's output has long fallen (see edge_due()).
  bool wire = channel0_.level();
  archive.field("channel0_wire", wire);
  if (!archive.loading()) return;
  channel0_.set(wire);
  arm_after(tick());
}

}  // namespace xm::devices
