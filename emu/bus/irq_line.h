// SPDX-License-Identifier: GPL-2.0-or-later
// A wire. The device that owns the driving end raises, lowers or pulses it; what it is connected to (a PIC input, an
// IOAPIC pin, several) is the board's business, so no device knows an interrupt number.
#pragma once

#include "emu/base/types.h"

namespace xm::bus {

// The receiving end: a chip with numbered inputs.
class IrqSink {
 public:
  virtual void set_input(unsigned input, bool level) = 0;

 protected:
  ~IrqSink() = default;
};

class IrqLine {
 public:
  IrqLine() = default;
  IrqLine(IrqSink& sink, unsigned input) : sink_(&sink), input_(input) {}
  void connect(IrqSink& sink, unsigned input) {
    sink_ = &sink;
    input_ = input;
  }
  void set(bool level) {
    if (level == level_) return;
    level_ = level;
    if (sink_ != nullptr) sink_->set_input(input_, level);
  }
  void raise() { set(true); }
  void lower() { set(false); }
  void pulse() {
    raise();
    lower();
  }
  bool level() const { return level_; }

 private:
  IrqSink* sink_ = nullptr;
  unsigned input_ = 0;
  bool level_ = false;
};

// Where a PCI function's message-signalled interrupts go: a 32-bit write on the bus [PCI 6.8].
class MsiSink {
 public:
  virtual void send_msi(u64 address, u32 data) = 0;

 protected:
  ~MsiSink() = default;
};

}  // namespace xm::bus
