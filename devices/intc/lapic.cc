// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/intc/lapic.h"

#include <bit>

#include "emu/base/bits.h"

namespace xm::devices {

using namespace lapic;

namespace {

constexpr u32 kVersionValue = 0x0105'0014;  // EOI suppression, max LVT entry 5, version 14h
constexpr u32 kX2MsrFirst = 0x800;
constexpr u32 kX2MsrLast = 0x8FF;
// Bits an LVT entry has, by entry.
constexpr std::array<u32, kLvtCount> kLvtWritable{0x700FF, 0x107FF, 0x107FF, 0x1A7FF, 0x1A7FF, 0x100FF};
// ICR bits 31..20, 17..16 and 13 are reserved in x2APIC mode [SDM3 11.12.9].
constexpr u64 kX2CommandReserved = 0xFFF3'2000;

int highest(const std::array<u32, 8>& set) {
  for (int word = 7; word >= 0; word--) {
    if (set[word] != 0) return word * 32 + 31 - std::countl_zero(set[word]);
  }
  return -1;
}
void insert(std::array<u32, 8>& set, unsigned vector) { set[vector / 32] |= 1u << (vector % 32); }
void remove(std::array<u32, 8>& set, unsigned vector) { set[vector / 32] &= ~(1u << (vector % 32)); }
bool contains(const std::array<u32, 8>& set, unsigned vector) { return set[vector / 32] >> (vector % 32) & 1; }

DeliveryMode delivery_mode(u32 lvt) { return static_cast<DeliveryMode>(bits(lvt, 10, 8)); }

}  // namespace

LocalApic::LocalApic(Config config, ApicBus& bus, bus::CpuPins& pins, bus::VirtualClock& clock,
                     const TickPolicy& policy, const TscView& tsc)
    : config_(config), bus_(bus), pins_(pins), clock_(clock), policy_(policy), tsc_(tsc), alarm_(clock, [this] {
        timer_due();
      }) {
  bus_.add(*this);
  reset();
}

void LocalApic::reset() {
  base_ = kBaseDefault | kBaseEnable | (config_.boot_processor ? kBaseBootProcessor : 0);
  xapic_id_ = config_.id & 0xFF;
  reset_registers();
}

void LocalApic::reset_registers() {
  task_priority_ = 0;
  logical_destination_ = x2apic() ? (config_.id >> 4) << 16 | 1u << (config_.id & 0xF) : 0;
  destination_format_ = ~u32{0};
  spurious_ = 0xFF;
  service_ = trigger_ = request_ = {};
  error_status_ = error_pending_ = command_low_ = command_high_ = 0;
  lvt_.fill(kLvtMasked);
  if (config_.boot_processor) lvt_[kLint0] = static_cast<u32>(DeliveryMode::ExtInt) << 8;
  timer_.reset();
  tsc_deadline_ = 0;
  ext_int_message_ = false;
  arm_timer();
  update_intr();
}

// ---- priorities and the processor's side
// -----------------------------------------------------------------------------

u8 LocalApic::processor_priority() const {
  const int in_service = highest(service_);
  const u8 service_class = in_service < 0 ? 0 : static_cast<u8>(in_service & 0xF0);
  return (task_priority_ & 0xF0) >= service_class ? task_priority_ : service_class;  // [SDM3 11.8.3.1]
}

int LocalApic::deliverable_vector() const {
  if (!globally_enabled() || !software_enabled()) return -1;
  const int vector = highest(request_);
  return vector >= 0 && (vector & 0xF0) > (processor_priority() & 0xF0) ? vector : -1;
}

// Globally disabled, the pins are INTR and NMI of the processor [SDM3 11.4.3].
bool LocalApic::ext_int_waits() const {
  if (!globally_enabled()) return lint_[0];
  if (ext_int_message_) return true;
  const u32 entry = lvt_[kLint0];
  return lint_[0] && !(entry & kLvtMasked) && delivery_mode(entry) == DeliveryMode::ExtInt;
}

bool LocalApic::has_interrupt() const { return deliverable_vector() >= 0 || ext_int_waits(); }

void LocalApic::update_intr() { pins_.set_intr(has_interrupt()); }

int LocalApic::acknowledge() {
  int vector = deliverable_vector();
  if (vector >= 0) {
    remove(request_, static_cast<unsigned>(vector));
    insert(service_, static_cast<unsigned>(vector));
  } else if (ext_int_waits()) {
    ext_int_message_ = false;
    vector = bus_.acknowledge_ext_int();
  }
  update_intr();
  return vector;
}

void LocalApic::set_task_priority(u8 value) {
  task_priority_ = value;
  update_intr();
}

void LocalApic::end_of_interrupt() {
  const int vector = highest(service_);
  if (vector < 0) return;
  remove(service_, static_cast<unsigned>(vector));
  if (contains(trigger_, static_cast<unsigned>(vector)) && !(spurious_ & kSpuriousNoEoiBroadcast)) {
    bus_.end_of_interrupt(static_cast<u8>(vector));
  }
  lvt_[kLint0] &= ~((lvt_[kLint0] & 0xFF) == static_cast<u32>(vector) ? kLvtRemoteIrr : 0);
  if (lint_[0]) set_input(ApicBus::kLint0, true);  // a level that is still there asks again
  update_intr();
}

bool LocalApic::set_apic_base(u64 value) {
  const u64 address_mask = mask_of_bytes(8) >> (64 - config_.physical_address_bits) & ~kPageMask;
  u64 allowed = address_mask | kBaseBootProcessor | kBaseEnable;
  if (config_.x2apic_allowed) allowed |= kBaseX2;
  if (value & ~allowed) return false;
  const bool enable = value & kBaseEnable;
  const bool x2 = value & kBaseX2;
  // x2APIC is entered from xAPIC only, and left only by disabling [SDM3 Fig. 11-27].
  if (x2 && (!enable || !globally_enabled())) return false;
  if (!x2 && enable && x2apic()) return false;
  const bool was_enabled = globally_enabled();
  const bool was_x2 = x2apic();
  base_ = (value & ~kBaseBootProcessor) | (base_ & kBaseBootProcessor);
  if (was_enabled != enable) {
    xapic_id_ = config_.id & 0xFF;
    const u8 task_priority = task_priority_;
    reset_registers();
    task_priority_ = task_priority;  // CR8 belongs to the processor
  } else if (x2 && !was_x2) {
    logical_destination_ = (config_.id >> 4) << 16 | 1u << (config_.id & 0xF);  // [SDM3 11.12.10.2]
    command_high_ = 0;
  }
  update_intr();
  return true;
}

// ---- messages in
// -----------------------------------------------------------------------------------------------------

bool LocalApic::matches(const ApicMessage& message) const {
  if (!globally_enabled()) return false;
  const u32 destination = message.destination;
  if (destination == (message.wide ? ~u32{0} : 0xFF)) return true;  // broadcast, physical and logical
  if (!message.logical) return destination == id();
  if (x2apic()) {
    return destination >> 16 == logical_destination_ >> 16 && (destination & logical_destination_ & 0xFFFF) != 0;
  }
  const u32 logical_id = logical_destination_ >> 24;
  if (destination_format_ >> 28 == 0xF) return (destination & logical_id) != 0;           // flat
  return (destination ^ logical_id) >> 4 == 0 && (destination & logical_id & 0x0F) != 0;  // cluster
}

void LocalApic::accept(const ApicMessage& message) {
  switch (message.mode) {
    case DeliveryMode::Fixed:
    case DeliveryMode::LowestPriority: request(message.vector, message.level_triggered); break;
    case DeliveryMode::Smi: pins_.raise_smi(); break;
    case DeliveryMode::Nmi: pins_.raise_nmi(); break;
    case DeliveryMode::Init:
      reset_registers();
      pins_.raise_init();
      break;
    case DeliveryMode::StartUp: pins_.raise_sipi(message.vector); break;
    case DeliveryMode::ExtInt:
      ext_int_message_ = true;
      update_intr();
      break;
  }
}

void LocalApic::request(u8 vector, bool level_triggered) {
  if (!globally_enabled() || !software_enabled()) return;
  if (vector < 16) {
    set_error(kErrorReceiveIllegalVector);
    return;
  }
  insert(request_, vector);
  if (level_triggered) {
    insert(trigger_, vector);
  } else {
    remove(trigger_, vector);
  }
  update_intr();
}

void LocalApic::set_error(u32 bit) {
  const bool first = !(error_pending_ & bit);
  error_pending_ |= bit;
  // An illegal vector in the error entry itself must not raise errors for ever.
  if (first && (lvt_[kError] & 0xFF) >= 16) deliver_local(kError);
}

void LocalApic::deliver_local(Lvt entry) {
  const u32 value = lvt_[entry];
  if (value & kLvtMasked) return;
  const auto vector = static_cast<u8>(value);
  if (entry == kTimer || entry == kError) {
    request(vector, false);
    return;
  }
  switch (delivery_mode(value)) {
    case DeliveryMode::Fixed: request(vector, entry == kLint0 && (value & kLvtLevel)); break;
    case DeliveryMode::Smi: pins_.raise_smi(); break;
    case DeliveryMode::Nmi: pins_.raise_nmi(); break;
    case DeliveryMode::Init: accept({.mode = DeliveryMode::Init}); break;
    default: break;
  }
}

void LocalApic::set_input(unsigned lint, bool level) {
  if (lint > 1) return;
  const bool rising = level && !lint_[lint];
  lint_[lint] = level;
  const Lvt entry = lint == ApicBus::kLint0 ? kLint0 : kLint1;
  u32& value = lvt_[entry];
  if (!globally_enabled()) {
    if (lint == ApicBus::kLint1 && rising) pins_.raise_nmi();
  } else if (delivery_mode(value) == DeliveryMode::Fixed && entry == kLint0 && (value & kLvtLevel)) {
    if (level && !(value & (kLvtMasked | kLvtRemoteIrr))) {
      value |= kLvtRemoteIrr;
      deliver_local(entry);
    }
  } else if (rising && delivery_mode(value) != DeliveryMode::ExtInt) {
    deliver_local(entry);
  }
  update_intr();
}

// ---- messages out
// ----------------------------------------------------------------------------------------------------

void LocalApic::send_command(u32 low, u32 destination) {
  ApicMessage message;
  message.destination = destination;
  message.vector = static_cast<u8>(low);
  message.mode = static_cast<DeliveryMode>(bits(low, 10, 8));
  message.logical = has_bit(low, 11);
  message.wide = x2apic();
  const bool assert_level = has_bit(low, 14);
  const bool level_triggered = has_bit(low, 15);
  // INIT level de-assert only synchronises arbitration IDs of old buses [SDM3 11.6.1].
  if (message.mode == DeliveryMode::Init && level_triggered && !assert_level) return;
  if ((message.mode == DeliveryMode::Fixed || message.mode == DeliveryMode::LowestPriority) && message.vector < 16) {
    set_error(kErrorSendIllegalVector);
    return;
  }
  switch (bits(low, 19, 18)) {
    case 0: bus_.send(message); break;
    case 1:
      if (message.mode == DeliveryMode::Fixed) accept(message);
      break;
    case 2: bus_.send_to_all(message, nullptr); break;
    default: bus_.send_to_all(message, this); break;
  }
}

// ---- registers
// -------------------------------------------------------------------------------------------------------

u32 LocalApic::read_register(u32 offset) {
  switch (offset) {
    case kId: return x2apic() ? config_.id : xapic_id_ << 24;
    case kVersion: return kVersionValue;
    case kTaskPriority: return task_priority_;
    case kArbitrationPriority:
    case kProcessorPriority: return processor_priority();
    case kLogicalDestination: return logical_destination_;
    case kDestinationFormat: return destination_format_;
    case kSpuriousVector: return spurious_;
    case kErrorStatus: return error_status_;
    case kCommandLow: return command_low_;
    case kCommandHigh: return command_high_;
    case kInitialCount: return timer_.initial_count();
    case kCurrentCount: return timer_.current_count(clock_.now().value);
    case kDivide: return timer_.divide_register();
    default: break;
  }
  if (offset >= kLvtTimer && offset <= kLvtError) return lvt_[(offset - kLvtTimer) / 16];
  if (offset >= kInService && offset < kTriggerMode) return service_[(offset - kInService) / 16];
  if (offset >= kTriggerMode && offset < kRequest) return trigger_[(offset - kTriggerMode) / 16];
  if (offset >= kRequest && offset < kErrorStatus) return request_[(offset - kRequest) / 16];
  return 0;
}

void LocalApic::write_register(u32 offset, u32 value) {
  const i64 now = clock_.now().value;
  switch (offset) {
    case kId: xapic_id_ = value >> 24; break;
    case kTaskPriority: set_task_priority(static_cast<u8>(value)); break;
    case kEoi: end_of_interrupt(); break;
    case kLogicalDestination: logical_destination_ = value & 0xFF00'0000; break;
    case kDestinationFormat: destination_format_ = value | 0x0FFF'FFFF; break;
    case kSpuriousVector: write_spurious(value); break;
    case kErrorStatus:
      error_status_ = error_pending_;
      error_pending_ = 0;
      break;
    case kCommandLow:
      command_low_ = value & 0x000C'CFFF;  // delivery status (bit 12) reads as idle
      send_command(command_low_, command_high_ >> 24);
      break;
    case kCommandHigh: command_high_ = value & 0xFF00'0000; break;
    case kInitialCount:
      timer_.set_initial_count(value, now);
      arm_timer();
      break;
    case kDivide:
      timer_.set_divide(value, now);
      arm_timer();
      break;
    default:
      if (offset >= kLvtTimer && offset <= kLvtError) write_lvt(static_cast<Lvt>((offset - kLvtTimer) / 16), value);
      break;
  }
}

void LocalApic::write_lvt(Lvt entry, u32 value) {
  value = (value & kLvtWritable[entry]) | (lvt_[entry] & kLvtRemoteIrr);
  if (!software_enabled()) value |= kLvtMasked;
  if (!(value & kLvtLevel)) value &= ~kLvtRemoteIrr;
  const bool was_masked = lvt_[entry] & kLvtMasked;
  lvt_[entry] = value;
  if (entry == kTimer) {
    if (was_masked) timer_.take_expiry(clock_.now().value);  // what expired unseen is lost
    const u64 mode = bits(value, 18, 17);
    timer_.set_mode(mode > 2 ? LapicTimer::Mode::OneShot : static_cast<LapicTimer::Mode>(mode), clock_.now().value);
    if (timer_.mode() != LapicTimer::Mode::TscDeadline) tsc_deadline_ = 0;
    arm_timer();
  }
  if (entry == kLint0 && lint_[0]) set_input(ApicBus::kLint0, true);
  update_intr();
}

void LocalApic::write_spurious(u32 value) {
  spurious_ = value & (0xFF | kSpuriousEnable | kSpuriousNoEoiBroadcast);
  if (!software_enabled()) {
    for (u32& entry : lvt_) entry |= kLvtMasked;
    arm_timer();
  }
  update_intr();
}

// Registers are 32 bits wide at 16-byte steps. Other accesses are undefined; parts of a register read as such.
u64 LocalApic::mmio_read(u64 offset, unsigned size_bytes) {
  if (!globally_enabled() || x2apic()) return mask_of_bytes(size_bytes);
  const auto within = static_cast<unsigned>(offset & 0xF);
  if (within >= 4) return 0;
  const u64 value = read_register(static_cast<u32>(offset & 0xFF0));
  return value >> (8 * within) & mask_of_bytes(size_bytes);
}

void LocalApic::mmio_write(u64 offset, u64 value, unsigned size_bytes) {
  if (!globally_enabled() || x2apic() || (offset & 0xF) != 0) return;
  if (size_bytes < 4 && (offset & 0xFFF) != kEoi) return;
  write_register(static_cast<u32>(offset & 0xFF0), static_cast<u32>(value));
}

bool LocalApic::read_msr(u32 msr, u64& value) {
  if (msr == kTscDeadlineMsr) {
    value = tsc_deadline_;
    return true;
  }
  if (!x2apic() || msr < kX2MsrFirst || msr > kX2MsrLast) return false;
  const u32 offset = (msr - kX2MsrFirst) << 4;
  switch (offset) {
    case kId:
    case kVersion:
    case kTaskPriority:
    case kProcessorPriority:
    case kLogicalDestination:
    case kSpuriousVector:
    case kErrorStatus:
    case kInitialCount:
    case kCurrentCount:
    case kDivide: value = read_register(offset); return true;
    case kCommandLow: value = command_low_ | u64{command_high_} << 32; return true;
    default: break;
  }
  if ((offset < kInService || offset >= kErrorStatus) && (offset < kLvtTimer || offset > kLvtError)) return false;
  value = read_register(offset);
  return true;
}

bool LocalApic::write_msr(u32 msr, u64 value) {
  if (msr == kTscDeadlineMsr) {
    if (timer_.mode() != LapicTimer::Mode::TscDeadline) return true;  // ignored [SDM3 11.5.4.1]
    tsc_deadline_ = value;
    tsc_changed();
    return true;
  }
  if (!x2apic() || msr < kX2MsrFirst || msr > kX2MsrLast) return false;
  const u32 offset = (msr - kX2MsrFirst) << 4;
  if (offset == kCommandLow) {
    if (value & kX2CommandReserved) return false;
    command_low_ = static_cast<u32>(value) & 0x000C'CFFF;
    command_high_ = static_cast<u32>(value >> 32);
    send_command(command_low_, command_high_);
    return true;
  }
  if (value >> 32) return false;
  const auto low = static_cast<u32>(value);
  switch (offset) {
    case kTaskPriority:
      if (low > 0xFF) return false;
      break;
    case kEoi:
    case kErrorStatus:
      if (low != 0) return false;
      break;
    case kSelfIpi:
      if (low > 0xFF) return false;
      send_command(1u << 18 | low, 0);
      return true;
    case kSpuriousVector:
    case kInitialCount:
    case kDivide: break;
    default:
      if (offset < kLvtTimer || offset > kLvtError) return false;
      break;
  }
  write_register(offset, low);
  return true;
}

// ---- the timer
// -------------------------------------------------------------------------------------------------------

void LocalApic::tsc_changed() {
  if (timer_.mode() != LapicTimer::Mode::TscDeadline) return;
  timer_.set_deadline(tsc_deadline_ == 0 ? LapicTimer::kNever : tsc_.time_of_tsc(tsc_deadline_).value);
  if (timer_.next_expiry() <= clock_.now().value) {
    timer_due();
  } else {
    arm_timer();
  }
}

void LocalApic::timer_due() {
  const i64 now = clock_.now().value;
  if (timer_.take_expiry(now)) {
    if (timer_.mode() == LapicTimer::Mode::TscDeadline) tsc_deadline_ = 0;
    deliver_local(kTimer);
  }
  const i64 next = timer_.next_expiry_after_tick(policy_, now);
  if (next != LapicTimer::kNever && !(lvt_[kTimer] & kLvtMasked)) alarm_.arm(Nanos{next});
}

// A masked timer counts but needs no alarm, except that an expired deadline must clear its MSR.
void LocalApic::arm_timer() {
  const i64 next = timer_.next_expiry();
  const bool wanted = !(lvt_[kTimer] & kLvtMasked) || timer_.mode() == LapicTimer::Mode::TscDeadline;
  if (next == LapicTimer::kNever || !wanted) {
    alarm_.disarm();
  } else {
    alarm_.arm(Nanos{next});
  }
}

void LocalApic::exchange(bus::Archive& archive) {
  archive.field("base", base_);
  archive.field("xapic_id", xapic_id_);
  archive.field("task_priority", task_priority_);
  archive.field("logical_destination", logical_destination_);
  archive.field("destination_format", destination_format_);
  archive.field("spurious", spurious_);
  archive.field("service", service_);
  archive.field("trigger", trigger_);
  archive.field("request", request_);
  archive.field("error_status", error_status_);
  archive.field("error_pending", error_pending_);
  archive.field("command_low", command_low_);
  archive.field("command_high", command_high_);
  archive.field("lvt", lvt_);
  archive.field("tsc_deadline", tsc_deadline_);
  archive.field("lint", lint_);
  archive.field("ext_int_message", ext_int_message_);
  archive.begin("timer");
  timer_.exchange(archive);
  archive.end();
  if (!archive.loading()) return;
  arm_timer();
  update_intr();
}

}  // namespace xm::devices
