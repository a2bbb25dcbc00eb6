// SPDX-License-Identifier: GPL-2.0-or-later
// 8254 interval timer of a PC [82C54] with the speaker port that gates its third counter [82371AB 7.3.1]: counter 0
// drives IRQ 0, counter 1 was the memory refresh, counter 2 the speaker.
//
// Ports, one byte wide each: ports() at 0x40-0x43, speaker_port() at 0x61.
// Counter 0's rising edges follow the lost-tick policy of docs/time.md. GAP: no sound comes from the speaker.
#pragma once

#include <array>

#include "devices/timer/pit_counter.h"
#include "devices/timer/tick_policy.h"
#include "emu/bus/device.h"
#include "emu/bus/irq_line.h"
#include "emu/bus/port_space.h"
#include "emu/bus/virtual_clock.h"

namespace xm::devices {

class Pit8254 final : public bus::Device {
 public:
  Pit8254(bus::IrqLine& channel0, bus::VirtualClock& clock, const TickPolicy& policy)
      : channel0_(channel0), clock_(clock), policy_(policy), edge_timer_(clock, [this] { edge_due(); }) {}

  std::string_view name() const override { return "pit8254"; }
  void reset() override;
  void exchange(bus::Archive& archive) override;

  bus::PortHandler& ports() { return ports_; }
  bus::PortHandler& speaker_port() { return speaker_port_; }
  // Legacy replacement by the HPET: counter 0 keeps counting but its output no longer reaches the wire [HPET 2.3.5].
  void set_channel0_connected(bool connected);

 private:
  struct CounterPorts final : bus::PortHandler {
    explicit CounterPorts(Pit8254& owner) : pit(owner) {}
    u32 port_read(Port port, unsigned size_bytes) override;
    void port_write(Port port, u32 value, unsigned size_bytes) override;
    Pit8254& pit;
  };
  struct SpeakerPort final : bus::PortHandler {
    explicit SpeakerPort(Pit8254& owner) : pit(owner) {}
    u32 port_read(Port port, unsigned size_bytes) override;
    void port_write(Port port, u32 value, unsigned size_bytes) override;
    Pit8254& pit;
  };

  u64 tick() const;
  void write_control(u8 value);
  // Brings the wire to counter 0's output and predicts the next rising edge.
  void follow_output();
  void arm_after(u64 tick);
  void edge_due();

  bus::IrqLine& channel0_;
  bus::VirtualClock& clock_;
  const TickPolicy& policy_;
  bus::Timer edge_timer_;
  std::array<PitCounter, 3> counters_;
  bool connected_ = true;
  u8 speaker_control_ = 0;  // port 61h bits 3..0 as written
  CounterPorts ports_{*this};
  SpeakerPort speaker_port_{*this};
};

}  // namespace xm::devices
