// SPDX-License-Identifier: GPL-2.0-or-later
// MC146818 real-time clock with 256 bytes of CMOS RAM, as in a PC [MC146818] [82371AB 7.2.2].
//
// Ports, one byte wide each: ports() at 0x70-0x73. 70h/71h reach the first 128 bytes (bit 7 of 70h is the NMI mask),
// 72h/73h the second.
//
// The calendar is not stepped: it is guest time plus an offset, which the machine gives and writes to the registers
// change. Flags are brought up to date when somebody looks or an enabled interrupt falls due. A cycle of 1984 us in
// which registers may not be read ends on the second; UIP is set 244 us before it [MC146818 Fig. 15].
// DEVIATION: the century (32h) counts, as firmware and QEMU's guests expect; the chip has plain RAM there.
// Not modelled: daylight saving, square-wave output.
#pragma once

#include <array>

#include "devices/timer/tick_policy.h"
#include "emu/bus/device.h"
#include "emu/bus/irq_line.h"
#include "emu/bus/port_space.h"
#include "emu/bus/virtual_clock.h"

namespace xm::devices {

class Mc146818 final : public bus::Device, public bus::PortHandler {
 public:
  // base_unix_ns: the calendar time (as seconds since 1970 in the guest's time zone, in nanoseconds) at guest time 0.
  Mc146818(bus::IrqLine& irq, bus::VirtualClock& clock, const TickPolicy& policy, i64 base_unix_ns);

  std::string_view name() const override { return "mc146818"; }
  void reset() override;
  void exchange(bus::Archive& archive) override;
  u32 port_read(Port port, unsigned size_bytes) override;
  void port_write(Port port, u32 value, unsigned size_bytes) override;

  // CMOS RAM, for the machine's configuration bytes (equipment, memory size, boot order) and firmware shutdown codes.
  u8 cmos(u8 index) const { return cmos_[index]; }
  void set_cmos(u8 index, u8 value) { cmos_[index] = value; }
  bool nmi_masked() const { return index_ & 0x80; }
  // Periodic and alarm interrupts taken over by the HPET's legacy replacement [HPET 2.3.5].
  void set_interrupts_connected(bool connected);

 private:
  u8 read(u8 index);
  void write(u8 index, u8 value);
  bool is_time(u8 index) const;
  bool running() const;     // the divider chain and the update cycle are on
  i64 calendar_ns() const;  // nanoseconds since 1970
  i64 period_ns() const;    // of the periodic interrupt, 0 if off
  bool update_in_progress() const;
  u8 encode(unsigned value) const;
  unsigned decode(u8 value) const;
  u8 encode_hour(unsigned hour) const;
  unsigned decode_hour(u8 value) const;
  // Registers <- calendar, and back (keeping the fraction of a second).
  void load_registers();
  void store_registers(i64 fraction_ns);
  bool alarm_matches(i64 second) const;
  // Sets the flags for everything since the last call, drives the wire and arms the timer.
  void settle();
  void arm();
  void update_interrupt();

  bus::IrqLine& irq_;
  bus::VirtualClock& clock_;
  const TickPolicy& policy_;
  bus::Timer timer_;
  std::array<u8, 256> cmos_{};
  u8 index_ = 0;
  u8 extended_index_ = 0;
  i64 offset_ns_;          // calendar minus guest time
  i64 settled_ns_ = 0;     // calendar time up to which flags are right
  i64 last_raise_ns_ = 0;  // guest time of the last interrupt
  u8 weekday_shift_ = 0;   // the guest's day of week minus the calendar's, modulo 7
  bool connected_ = true;
};

}  // namespace xm::devices
