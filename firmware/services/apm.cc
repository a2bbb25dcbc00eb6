// SPDX-License-Identifier: GPL-2.0-or-later
// INT 15h function 53h: Advanced Power Management [APM BIOS Interface 1.2, chapter 4], which DOS-class systems use to
// go idle and to switch off. Only the real-mode interface: protected-mode systems have ACPI. Sleep states end at the
// next interrupt.
#include "lib/io.h"
#include "services/keyboard.h"

namespace xm::fw {
namespace {

constexpr u16 kVersion = 0x0102;
constexpr u16 kPm1Control = 0x604;      // of the PIIX4 and the ICH9, where POST has put them
constexpr u16 kSleepEnable = 1u << 13;  // with sleep type 0: S5 [ACPI 4.8.3.2]
constexpr u16 kStandby = 1, kSuspend = 2, kOff = 3;

enum class ApmError : u8 {
  NotConnected = 0x03,
  No16BitInterface = 0x06,
  No32BitInterface = 0x08,
  UnknownDevice = 0x09,
  BadParameter = 0x0A,
  NotSupported = 0x0C,
  NoEvent = 0x80,
};

bool g_connected;

void fail(Frame& f, ApmError error) {
  f.ah = static_cast<u8>(error);
  f.set_carry(true);
}

void set_power_state(Frame& f) {
  if (!g_connected) return fail(f, ApmError::NotConnected);
  switch (f.cx) {
    case kStandby:
    case kSuspend: yield_halt(); break;
    case kOff:
      if (f.bx != 1) return fail(f, ApmError::UnknownDevice);  // 1: the whole machine
      out16(kPm1Control, kSleepEnable);
      return fail(f, ApmError::NotSupported);  // still here
    default: return fail(f, ApmError::BadParameter);
  }
}

}  // namespace

void int15_apm(Frame& f) {
  f.set_carry(false);
  switch (f.al) {
    case 0x00:
      f.ax = kVersion;
      f.bx = 0x504D;  // "PM"
      f.cx = 0x0004;  // an idle call slows the processor; no protected-mode interfaces
      break;
    case 0x01: g_connected = true; break;
    case 0x02: fail(f, ApmError::No16BitInterface); break;
    case 0x03: fail(f, ApmError::No32BitInterface); break;
    case 0x04:
      if (!g_connected) return fail(f, ApmError::NotConnected);
      g_connected = false;
      break;
    case 0x05: yield_halt(); break;
    case 0x06:  // busy
    case 0x08:  // enable, restore defaults, engage: it is always so
    case 0x09:
    case 0x0D:
    case 0x0F: break;
    case 0x07: set_power_state(f); break;
    case 0x0A:
      f.bx = 0x01FF;  // on line; no battery
      f.cx = 0x80FF;
      f.dx = 0xFFFF;
      break;
    case 0x0B: fail(f, ApmError::NoEvent); break;
    case 0x0C: f.cx = 0; break;  // enabled
    case 0x0E: f.ax = kVersion; break;
    default: fail(f, ApmError::NotSupported); break;
  }
}

}  // namespace xm::fw
