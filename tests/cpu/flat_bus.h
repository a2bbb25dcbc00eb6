// SPDX-License-Identifier: GPL-2.0-or-later
// The world of a CPU test: RAM and nothing else.
#pragma once

#include <memory>

#include "cpu/bus_port.h"

namespace xm::cpu {

// RAM from 0, nothing else; ports read as ones. Wraps::Yes: over and over, as the first megabyte of an 8086.
class FlatBus : public BusPort {
 public:
  enum class Wraps : u8 { No, Yes };
  explicit FlatBus(u64 bytes, Wraps wraps = Wraps::No)
      : bytes_(bytes),
        wraps_(wraps == Wraps::Yes),
        ram_(new u8[bytes]()),
        marks_(new std::atomic<u8>[bytes / kPageSize]()) {}
  u8* ram() { return ram_.get(); }
  u64 bytes() const { return bytes_; }

  PhysPage resolve_page(GuestPhys page) override {
    if (wraps_) page.value %= bytes_;
    if (page.value >= bytes_) return {};
    return {&ram_[page.value], &ram_[page.value], &marks_[page.value / kPageSize]};
  }
  u64 mmio_read(GuestPhys, unsigned) override { return ~u64{0}; }
  void mmio_write(GuestPhys, u64, unsigned) override {}
  u32 port_read(Port, unsigned) override { return ~u32{0}; }
  void port_write(Port, u32, unsigned) override {}
  int acknowledge_interrupt() override { return -1; }
  Nanos now() override { return {++now_ns_}; }  // some time passes between two looks at the clock
  u64 tsc_frequency_hz() const override { return 1000000000; }
  u8 tpr() override { return 0; }
  void set_tpr(u8) override {}
  u64 apic_base() override { return 0xFEE00900; }
  bool set_apic_base(u64) override { return false; }
  bool x2apic_read(u32, u64&) override { return false; }
  bool x2apic_write(u32, u64) override { return false; }
  u64 tsc_deadline() override { return 0; }
  void set_tsc_deadline(u64, u64) override {}
  u32 apic_id() override { return 0; }
  void code_written(GuestPhys, unsigned) override {}
  void set_ferr(bool) override {}
  u64 random() override { return 0x123456789ABCDEF; }

 private:
  const u64 bytes_;
  const bool wraps_;
  i64 now_ns_ = 0;
  std::unique_ptr<u8[]> ram_;
  std::unique_ptr<std::atomic<u8>[]> marks_;
};

}  // namespace xm::cpu
