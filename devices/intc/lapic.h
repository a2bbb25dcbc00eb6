// SPDX-License-Identifier: GPL-2.0-or-later
// Local APIC of one logical processor [SDM3 ch. 11]: xAPIC registers in a 4 KiB page (MmioHandler; the machine maps it
// for this processor only, at the base it reads from apic_base()) and x2APIC as MSRs.
//
// Version 14h: 6 LVT entries, end-of-interrupt broadcast suppression. The timer's input clock is 1 GHz.
// Not modelled: thermal, performance-counter and CMCI interrupts (their LVT entries hold what is written; CMCI is
// absent), remote read, arbitration and focus processors of the old serial APIC bus. DEVIATION: LINT0 of the boot
// processor is ExtINT and open at reset, as if firmware had set up virtual wire mode.
#pragma once

#include <array>

#include "devices/intc/apic_bus.h"
#include "devices/intc/lapic_regs.h"
#include "devices/intc/lapic_timer.h"
#include "emu/bus/address_space.h"
#include "emu/bus/device.h"
#include "emu/bus/interrupt_source.h"
#include "emu/bus/virtual_clock.h"

namespace xm::devices {

// The time-stamp counter of the processor, for the TSC deadline timer.
class TscView {
 public:
  // Guest time at which the counter reaches `tsc` (now or earlier if it has).
  virtual Nanos time_of_tsc(u64 tsc) const = 0;

 protected:
  ~TscView() = default;
};

class LocalApic final : public bus::Device, public bus::MmioHandler, public bus::IrqSink {
 public:
  struct Config {
    u32 id = 0;  // initial APIC ID
    bool boot_processor = false;
    u8 physical_address_bits = 40;
    bool x2apic_allowed = true;  // CPUID.01H:ECX.x2APIC
  };
  LocalApic(Config config, ApicBus& bus, bus::CpuPins& pins, bus::VirtualClock& clock, const TickPolicy& policy,
            const TscView& tsc);

  std::string_view name() const override { return "lapic"; }
  void reset() override;
  void exchange(bus::Archive& archive) override;

  // What the processor asks. acknowledge() moves the highest deliverable interrupt into service and returns its vector
  // (asking the 8259s for an ExtINT), or -1 if nothing is deliverable.
  bool has_interrupt() const;
  int acknowledge();
  u8 cr8() const { return task_priority_ >> 4; }
  void set_cr8(u8 value) { set_task_priority(static_cast<u8>(value << 4)); }
  // IA32_APIC_BASE; false: #GP. After a change the machine maps or unmaps the page.
  u64 apic_base() const { return base_; }
  bool set_apic_base(u64 value);
  bool globally_enabled() const { return base_ & lapic::kBaseEnable; }
  bool x2apic() const { return base_ & lapic::kBaseX2; }
  bool software_enabled() const { return spurious_ & lapic::kSpuriousEnable; }
  // MSRs 800h-8FFh and IA32_TSC_DEADLINE (6E0h); false: #GP.
  bool read_msr(u32 msr, u64& value);
  bool write_msr(u32 msr, u64 value);
  // The time-stamp counter was written or adjusted.
  void tsc_changed();

  // The page; `offset` within it.
  u64 mmio_read(u64 offset, unsigned size_bytes) override;
  void mmio_write(u64 offset, u64 value, unsigned size_bytes) override;

  // From the bus.
  bool matches(const ApicMessage& message) const;
  void accept(const ApicMessage& message);
  void set_input(unsigned lint, bool level) override;

  u32 id() const { return x2apic() ? config_.id : xapic_id_; }
  u8 processor_priority() const;
  // For the monitor.
  u32 lvt(lapic::Lvt entry) const { return lvt_[entry]; }
  u32 request_bits(unsigned word) const { return request_[word & 7]; }
  u32 service_bits(unsigned word) const { return service_[word & 7]; }

 private:
  using VectorSet = std::array<u32, 8>;
  static constexpr unsigned kTscDeadlineMsr = 0x6E0;

  // INIT: everything but the ID and the base [SDM3 11.4.7.3].
  void reset_registers();
  u32 read_register(u32 offset);
  void write_register(u32 offset, u32 value);
  void write_lvt(lapic::Lvt entry, u32 value);
  void write_spurious(u32 value);
  void set_task_priority(u8 value);
  void end_of_interrupt();
  void send_command(u32 low, u32 destination);
  void set_error(u32 bit);
  void request(u8 vector, bool level_triggered);
  void deliver_local(lapic::Lvt entry);
  int deliverable_vector() const;
  bool ext_int_waits() const;
  void update_intr();
  void timer_due();
  void arm_timer();

  const Config config_;
  ApicBus& bus_;
  bus::CpuPins& pins_;
  bus::VirtualClock& clock_;
  const TickPolicy& policy_;
  const TscView& tsc_;
  bus::Timer alarm_;
  LapicTimer timer_;

  u64 base_ = 0;
  u32 xapic_id_ = 0;
  u8 task_priority_ = 0;
  u32 logical_destination_ = 0;
  u32 destination_format_ = 0;
  u32 spurious_ = 0;
  VectorSet service_{};
  VectorSet trigger_{};  // 1: level
  VectorSet request_{};
  u32 error_status_ = 0;
  u32 error_pending_ = 0;
  u32 command_low_ = 0;
  u32 command_high_ = 0;
  std::array<u32, lapic::kLvtCount> lvt_{};
  u64 tsc_deadline_ = 0;
  std::array<bool, 2> lint_{};    // present level of the pins
  bool ext_int_message_ = false;  // an IOAPIC asked for an 8259 acknowledge
};

}  // namespace xm::devices
