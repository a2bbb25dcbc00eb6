// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/platform/acpi_pm.h"

#include "devices/timer/tick_rate.h"
#include "emu/base/bits.h"

namespace xm::devices {
namespace {

constexpr unsigned kStatus = 0;
constexpr unsigned kEnable = 2;
constexpr unsigned kControl = 4;
constexpr unsigned kTimer = 8;
constexpr unsigned kGpeStatus = AcpiPm::kGpeOffset;
constexpr unsigned kGpeEnable = AcpiPm::kGpeOffset + 2;

// PM1_STS and PM1_EN [ACPI 4.8.3.1].
constexpr u16 kTimerEvent = 1 << 0;
constexpr u16 kGlobalLockEvent = 1 << 5;
constexpr u16 kPowerButton = 1 << 8;
constexpr u16 kSleepButton = 1 << 9;
constexpr u16 kRtcEvent = 1 << 10;
constexpr u16 kWake = 1 << 15;
constexpr u16 kEnableWritable = kTimerEvent | kGlobalLockEvent | kPowerButton | kSleepButton | kRtcEvent;

// PM1_CNT [ACPI 4.8.3.2].
constexpr u16 kSciEnable = 1 << 0;
constexpr u16 kSleepEnable = 1 << 13;

constexpr unsigned kTimerBits = 24;  // TMR_STS is set whenever the top bit changes

}  // namespace

AcpiPm::AcpiPm(bus::IrqLine& sci, bus::VirtualClock& clock, PowerControl& power)
    : sci_(sci), clock_(clock), power_(power), overflow_timer_(clock, [this] { update_sci(); }) {}

void AcpiPm::reset() {
  status_ = enable_ = control_ = gpe_status_ = gpe_enable_ = 0;
  timer_halves_seen_ = kPmTimerRate.ticks_at(clock_.now().value) >> (kTimerBits - 1);
  other_.fill(0);
  apm_.fill(0);
  update_sci();
}

bool AcpiPm::acpi_mode() const { return control_ & kSciEnable; }

u32 AcpiPm::timer_value() const {
  return static_cast<u32>(bits(kPmTimerRate.ticks_at(clock_.now().value), kTimerBits - 1, 0));
}

void AcpiPm::settle_timer() {
  const u64 halves = kPmTimerRate.ticks_at(clock_.now().value) >> (kTimerBits - 1);
  if (halves != timer_halves_seen_) status_ |= kTimerEvent;
  timer_halves_seen_ = halves;
}

void AcpiPm::update_sci() {
  settle_timer();
  const bool event = (status_ & enable_) || (gpe_status_ & gpe_enable_);
  sci_.set(event && acpi_mode());
  if ((enable_ & kTimerEvent) && !(status_ & kTimerEvent)) {
    overflow_timer_.arm(Nanos{kPmTimerRate.time_of((timer_halves_seen_ + 1) << (kTimerBits - 1))});
  } else {
    overflow_timer_.disarm();
  }
}

void AcpiPm::press_power_button() {
  status_ |= kPowerButton;
  update_sci();
}

void AcpiPm::press_sleep_button() {
  status_ |= kSleepButton;
  update_sci();
}

void AcpiPm::rtc_alarm() {
  status_ |= kRtcEvent;
  update_sci();
}

void AcpiPm::raise_gpe(unsigned number) {
  gpe_status_ |= static_cast<u16>(1u << (number & 15));
  update_sci();
}

void AcpiPm::wake_up() {
  status_ |= kWake;
  update_sci();
}

u32 AcpiPm::Ports::port_read(Port port, unsigned size_bytes) {
  if (port.value == kTimer && size_bytes == 4) return pm.timer_value();
  u32 value = 0;
  for (unsigned i = 0; i < size_bytes; i++) value |= u32{pm.read_byte(port.value + i)} << (8 * i);
  return value;
}

void AcpiPm::Ports::port_write(Port port, u32 value, unsigned size_bytes) {
  for (unsigned i = 0; i < size_bytes; i++) pm.write_byte(port.value + i, static_cast<u8>(value >> (8 * i)));
  pm.update_sci();
}

u8 AcpiPm::read_byte(unsigned at) {
  const unsigned shift = 8 * (at & 1);
  switch (at & ~1u) {
    case kStatus: settle_timer(); return static_cast<u8>(status_ >> shift);
    case kEnable: return static_cast<u8>(enable_ >> shift);
    case kControl: return static_cast<u8>(control_ >> shift);
    case kTimer:
    case kTimer + 2: return static_cast<u8>(timer_value() >> (8 * (at - kTimer)));
    case kGpeStatus: return static_cast<u8>(gpe_status_ >> shift);
    case kGpeEnable: return static_cast<u8>(gpe_enable_ >> shift);
    default: return other_[at % other_.size()];
  }
}

void AcpiPm::write_byte(unsigned at, u8 value) {
  const unsigned shift = 8 * (at & 1);
  const auto bits_written = static_cast<u16>(value << shift);
  const auto byte_mask = static_cast<u16>(0xFF << shift);
  const auto merge = [&](u16 old) { return static_cast<u16>((old & ~byte_mask) | bits_written); };
  switch (at & ~1u) {
    case kStatus:  // write one to clear
      settle_timer();
      status_ &= static_cast<u16>(~bits_written);
      break;
    case kEnable: enable_ = merge(enable_) & kEnableWritable; break;
    case kControl:
      if (at & 1) {
        write_control(value);
      } else {
        control_ = merge(control_);
      }
      break;
    case kTimer:
    case kTimer + 2: break;  // read-only
    case kGpeStatus: gpe_status_ &= static_cast<u16>(~bits_written); break;
    case kGpeEnable: gpe_enable_ = merge(gpe_enable_); break;
    default: other_[at % other_.size()] = value; break;
  }
}

// SLP_TYP and SLP_EN lie in the high byte; SLP_EN reads as 0.
void AcpiPm::write_control(u8 high_byte) {
  control_ = static_cast<u16>((control_ & 0x00FF) | (high_byte << 8 & ~kSleepEnable));
  if (!(high_byte << 8 & kSleepEnable)) return;
  switch (bits(control_, 12, 10)) {
    case kSleepTypeS5: power_.power_off(); break;
    case kSleepTypeS3: power_.suspend_to_ram(); break;
    case kSleepTypeS4: power_.suspend_to_disk(); break;
    default: break;
  }
}

u32 AcpiPm::ApmPorts::port_read(Port port, unsigned) { return pm.apm_[port.value & 1]; }

void AcpiPm::ApmPorts::port_write(Port port, u32 value, unsigned) {
  pm.apm_[port.value & 1] = static_cast<u8>(value);
  if (port.value & 1) return;
  if (value == kAcpiEnable) pm.control_ |= kSciEnable;
  if (value == kAcpiDisable) pm.control_ &= static_cast<u16>(~kSciEnable);
  pm.update_sci();
}

void AcpiPm::exchange(bus::Archive& archive) {
  if (!archive.loading()) settle_timer();
  archive.field("status", status_);
  archive.field("enable", enable_);
  archive.field("control", control_);
  archive.field("gpe_status", gpe_status_);
  archive.field("gpe_enable", gpe_enable_);
  archive.field("timer_halves_seen", timer_halves_seen_);
  archive.field("other", other_);
  archive.field("apm", apm_);
  if (archive.loading()) update_sci();
}

}  // namespace xm::devices
