// SPDX-License-Identifier: GPL-2.0-or-later
// One counter of an 8254, as a pure function of time: it is told the number of CLK ticks since power-on with every call
// and predicts its own output edges, so nothing has to run while it counts [82C54].
//
// A count written at tick t is loaded by the CLK of tick t + 1 ("start"). Not modelled: the exact CLK phase of a write
// that hits the last tick of a period; reading a counter that was never loaded (reads as its last count).
#pragma once

#include "emu/bus/archive.h"

namespace xm::devices {

class PitCounter {
 public:
  enum class Mode : u8 {
    InterruptOnTerminalCount = 0,
    OneShot = 1,
    RateGenerator = 2,
    SquareWave = 3,
    SoftwareStrobe = 4,
    HardwareStrobe = 5,
  };
  static constexpr u64 kNever = ~u64{0};

  void reset(bool gate);
  // Control word for this counter (bits 5..0): access, mode, BCD. Access 0 is the latch command.
  void write_control(u8 control, u64 now);
  void latch_count(u64 now);
  void latch_status(u64 now);
  void write(u8 value, u64 now);
  u8 read(u64 now);
  void set_gate(bool gate, u64 now);

  bool gate() const { return gate_; }
  Mode mode() const { return mode_; }
  bool periodic() const { return mode_ == Mode::RateGenerator || mode_ == Mode::SquareWave; }
  bool output(u64 now);
  // First tick after `now` at which OUT changes, or rises; kNever if it will not by itself.
  u64 next_change(u64 now);
  u64 next_rise(u64 now) const;
  void exchange(bus::Archive& archive);

 private:
  enum class Access : u8 { Latch = 0, Low = 1, High = 2, LowThenHigh = 3 };

  // Takes over a count that waits for the end of a (half) period.
  void settle(u64 now);
  void count_written(u64 now);
  void start_at(u64 tick, u32 count);
  // Ticks since the count was loaded, stopped by GATE in modes 0 and 4.
  u64 elapsed(u64 now) const;
  u32 written_count() const;
  u32 modulus() const { return bcd_ ? 10'000 : 65'536; }
  u32 high_half() const { return (count_ + 1) / 2; }
  u16 reading(u64 now) const;
  u16 encoded(u32 value) const;

  Mode mode_ = Mode::InterruptOnTerminalCount;
  Access access_ = Access::LowThenHigh;
  bool bcd_ = false;
  bool gate_ = true;
  u16 written_ = 0;          // count register as the guest wrote it
  u32 count_ = 65'536;       // count in effect, 1..modulus
  bool started_ = false;     // a count was loaded and (modes 1, 5) triggered since the control word
  bool counting_ = false;    // not stopped by GATE
  u64 start_ = 0;            // tick of the load
  u64 stopped_elapsed_ = 0;  // elapsed() when GATE stopped the count
  bool waiting_ = false;     // written_ waits for the period's end
  u64 waiting_until_ = 0;
  bool null_count_ = false;  // written but not yet in the counting element
  bool write_high_next_ = false;
  bool read_high_next_ = false;
  bool count_latched_ = false;
  bool latch_high_next_ = false;
  u16 latched_count_ = 0;
  bool status_latched_ = false;
  u8 latched_status_ = 0;
};

}  // namespace xm::devices
