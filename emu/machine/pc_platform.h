// SPDX-License-Identifier: GPL-2.0-or-later
// Private to the PC's sources: timers, clock, keyboard, serial ports, DMA, floppy, fw_cfg, power and the small chips of
// a PC, with the wires between them.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "devices/block/drive.h"
#include "devices/char/char_backend.h"
#include "devices/input/i8042.h"
#include "devices/platform/acpi_pm.h"
#include "devices/platform/debugcon.h"
#include "devices/platform/fw_cfg.h"
#include "devices/platform/i8237.h"
#include "devices/platform/isa_debug_exit.h"
#include "devices/platform/pc_testdev.h"
#include "devices/platform/port92.h"
#include "devices/platform/pvpanic.h"
#include "devices/serial/uart16550.h"
#include "devices/storage/fdc82077.h"
#include "devices/timer/hpet.h"
#include "devices/timer/mc146818.h"
#include "devices/timer/pit8254.h"
#include "emu/machine/pc.h"

namespace xm::machine {

struct Pc::Platform final : private devices::PowerControl, private bus::IrqSink {
  explicit Platform(Pc& pc);

  // After the drives are known.
  void build_floppy();
  // CMOS byte 10h: types of drives A and B.
  u8 floppy_types() const;

  // Inputs of this sink: what the board does when a wire rises.
  static constexpr unsigned kResetWire = 0, kA20Wire = 1, kFerrClear = 2;
  void set_input(unsigned input, bool level) override;
  void power_off() override;
  void suspend_to_ram() override;
  void suspend_to_disk() override;

  Pc& pc;
  std::array<bus::IrqLine, 16> isa_irq;  // by ISA interrupt number
  bus::IrqLine reset_wire, a20_output, a20_from_8042, a20_from_port92, sci;
  devices::A20Gate a20_gate;
  devices::Pit8254 pit;
  devices::Mc146818 rtc;
  devices::I8042 keyboard;
  devices::I8237Pair dma;
  devices::FwCfg fw_cfg;
  devices::AcpiPm power;
  devices::Port92 port92;
  std::array<devices::Drive*, 2> floppy_drives{};
  std::unique_ptr<devices::Fdc82077> floppy;
  bus::IrqLine hpet_timer, hpet_rtc;
  std::unique_ptr<devices::Hpet> hpet;   // null with -machine hpet=off
  devices::NullCharBackend no_terminal;  // outlives the UART that is attached to it
  std::vector<std::unique_ptr<devices::Uart16550>> uarts;
  // What -device and -debugcon ask for.
  std::vector<std::unique_ptr<devices::Debugcon>> debugcons;
  std::vector<std::unique_ptr<devices::IsaDebugExit>> exits;
  std::unique_ptr<devices::Pvpanic> pvpanic;
  std::unique_ptr<devices::PcTestdev> testdev;

 private:
  void wire_ports();
  void add_hpet();
  void add_uarts();
};

// Seconds since 1970 at power-on by -rtc base=, in nanoseconds.
Result<i64> rtc_base_ns(const std::string& text);

}  // namespace xm::machine
