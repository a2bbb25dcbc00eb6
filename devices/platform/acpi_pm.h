// SPDX-License-Identifier: GPL-2.0-or-later
// ACPI fixed hardware as in the PIIX4 [ACPI 4.8] [82371AB 7.2]: PM1a event and control blocks, the power management
// timer, a general-purpose event block, and the APM ports by which an operating system asks for ACPI mode.
//
// ports(): port numbers relative to the block's base, up to four bytes wide; the PCI function places them:
//   0 PM1_STS, 2 PM1_EN, 4 PM1_CNT, 8 PM_TMR, 0Ch GPE0_STS (16 bits), 0Eh GPE0_EN; others keep what is written.
// apm_ports(): 0xB2-0xB3, one byte wide. Values for the FADT stand below.
// Not modelled: SMIs (there is no SMM code: ACPI_ENABLE takes effect by itself), device monitors, clock throttling.
#pragma once

#include <array>

#include "emu/bus/device.h"
#include "emu/bus/irq_line.h"
#include "emu/bus/port_space.h"
#include "emu/bus/virtual_clock.h"

namespace xm::devices {

// What becomes of the machine.
class PowerControl {
 public:
  virtual void power_off() = 0;        // S5
  virtual void suspend_to_ram() = 0;   // S3; wake_up() ends it
  virtual void suspend_to_disk() = 0;  // S4: the guest has saved itself

 protected:
  ~PowerControl() = default;
};

class AcpiPm final : public bus::Device {
 public:
  // SLP_TYP values for the \_Sx objects of the machine's DSDT.
  static constexpr u8 kSleepTypeS5 = 0;
  static constexpr u8 kSleepTypeS3 = 1;
  static constexpr u8 kSleepTypeS4 = 2;
  // FADT: SMI_CMD is the first APM port.
  static constexpr u8 kAcpiEnable = 0xF1;
  static constexpr u8 kAcpiDisable = 0xF0;
  static constexpr u8 kGpeOffset = 0x0C;

  AcpiPm(bus::IrqLine& sci, bus::VirtualClock& clock, PowerControl& power);

  std::string_view name() const override { return "acpi-pm"; }
  void reset() override;
  void exchange(bus::Archive& archive) override;

  bus::PortHandler& ports() { return ports_; }
  bus::PortHandler& apm_ports() { return apm_ports_; }

  // Events.
  void press_power_button();
  void press_sleep_button();
  void rtc_alarm();
  void raise_gpe(unsigned number);  // 0-15
  // Marks the end of S3 in PM1_STS.
  void wake_up();
  bool acpi_mode() const;

 private:
  struct Ports final : bus::PortHandler {
    explicit Ports(AcpiPm& owner) : pm(owner) {}
    u32 port_read(Port port, unsigned size_bytes) override;
    void port_write(Port port, u32 value, unsigned size_bytes) override;
    AcpiPm& pm;
  };
  struct ApmPorts final : bus::PortHandler {
    explicit ApmPorts(AcpiPm& owner) : pm(owner) {}
    u32 port_read(Port port, unsigned size_bytes) override;
    void port_write(Port port, u32 value, unsigned size_bytes) override;
    AcpiPm& pm;
  };

  u8 read_byte(unsigned at);
  void write_byte(unsigned at, u8 value);
  void write_control(u8 high_byte);
  u32 timer_value() const;
  void settle_timer();
  void update_sci();

  bus::IrqLine& sci_;
  bus::VirtualClock& clock_;
  PowerControl& power_;
  bus::Timer overflow_timer_;
  u16 status_ = 0;
  u16 enable_ = 0;
  u16 control_ = 0;
  u16 gpe_status_ = 0;
  u16 gpe_enable_ = 0;
  u64 timer_halves_seen_ = 0;  // half-turns of the timer already reported in TMR_STS
  std::array<u8, 64> other_{};
  std::array<u8, 2> apm_{};
  Ports ports_{*this};
  ApmPorts apm_ports_{*this};
};

}  // namespace xm::devices
