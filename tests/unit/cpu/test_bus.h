// SPDX-License-Identifier: GPL-2.0-or-later
// A BusPort for tests: flat RAM from address 0, one window of recorded MMIO, ports that remember what was written.
#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "cpu/bus_port.h"

namespace xm::cpu::test {

class TestBus final : public BusPort {
 public:
  explicit TestBus(u64 ram_bytes = u64{1} << 20)
      : ram_bytes_(ram_bytes), storage_(ram_bytes + kPageSize), marks_(new std::atomic<u8>[ram_bytes / kPageSize]()) {
    const auto address = reinterpret_cast<std::uintptr_t>(storage_.data());
    ram_ = storage_.data() + ((kPageSize - (address & kPageMask)) & kPageMask);
  }

  u8* ram() { return ram_; }
  void load(u64 address, std::span<const u8> bytes) { std::memcpy(ram_ + address, bytes.data(), bytes.size()); }
  template <class T>
  void poke(u64 address, T value) {
    std::memcpy(ram_ + address, &value, sizeof value);
  }
  template <class T>
  T peek(u64 address) const {
    T value;
    std::memcpy(&value, ram_ + address, sizeof value);
    return value;
  }

  struct MmioWrite {
    u64 address, value;
    unsigned size_bytes;
  };
  std::vector<MmioWrite> mmio_writes;
  u64 mmio_value = 0;
  std::map<u16, u32> port_in;                    // what port_read answers; absent: all ones
  std::vector<std::pair<u16, u32>> port_writes;  // in order
  int interrupt_vector = -1;                     // what acknowledge_interrupt answers, once
  std::vector<u64> code_writes;
  Nanos time{0};
  u64 apic_base_msr = 0xFEE00900;
  bool ferr = false;
  u8 cr8 = 0;

  PhysPage resolve_page(GuestPhys page) override {
    if (page.value >= ram_bytes_) return {};
    return {ram_ + page.value, ram_ + page.value, &marks_[page.value / kPageSize]};
  }
  u64 mmio_read(GuestPhys, unsigned) override { return mmio_value; }
  void mmio_write(GuestPhys address, u64 value, unsigned size_bytes) override {
    mmio_writes.push_back({address.value, value, size_bytes});
  }
  u32 port_read(Port port, unsigned size_bytes) override {
    const auto found = port_in.find(port.value);
    const u32 value = found == port_in.end() ? ~0u : found->second;
    return size_bytes >= 4 ? value : value & ((1u << (8 * size_bytes)) - 1);
  }
  void port_write(Port port, u32 value, unsigned) override { port_writes.emplace_back(port.value, value); }
  int acknowledge_interrupt() override { return std::exchange(interrupt_vector, -1); }
  Nanos now() override { return time; }
  u64 tsc_frequency_hz() const override { return 1'000'000'000; }
  u8 tpr() override { return cr8; }
  void set_tpr(u8 value) override { cr8 = value; }
  u64 apic_base() override { return apic_base_msr; }
  bool set_apic_base(u64 value) override {
    apic_base_msr = value;
    return true;
  }
  bool x2apic_read(u32, u64&) override { return false; }
  bool x2apic_write(u32, u64) override { return false; }
  u64 tsc_deadline() override { return 0; }
  void set_tsc_deadline(u64, u64) override {}
  u32 apic_id() override { return 0; }
  void code_written(GuestPhys address, unsigned) override { code_writes.push_back(address.value); }
  void set_ferr(bool level) override { ferr = level; }
  u64 random() override { return 0x0123456789ABCDEF; }

 private:
  u64 ram_bytes_;
  std::vector<u8> storage_;
  u8* ram_;
  std::unique_ptr<std::atomic<u8>[]> marks_;
};

}  // namespace xm::cpu::test
