// SPDX-License-Identifier: GPL-2.0-or-later
// The two engines' views of the world in a lockstep run. The primary's accesses to devices really happen and are noted;
// the shadow's are answered from these notes, and one that is not what the primary did is a difference.
//
// The primary's writes to RAM pass through here one by one, so that a stretch can be undone.
#pragma once

#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "cpu/bus_port.h"
#include "emu/base/bits.h"
#include "emu/machine/lockstep_memory.h"

namespace xm::machine {

struct DeviceAccess {
  enum class Kind : u8 { PortRead, PortWrite, MmioRead, MmioWrite, X2ApicRead, X2ApicWrite, Acknowledge };
  Kind kind;
  u64 address;
  unsigned size_bytes;
  u64 value;
  bool ok = true;

  bool same_request(const DeviceAccess& other) const {
    const bool write = kind == Kind::PortWrite || kind == Kind::MmioWrite || kind == Kind::X2ApicWrite;
    return kind == other.kind && address == other.address && size_bytes == other.size_bytes &&
           (!write || ((value ^ other.value) & mask_of_bytes(size_bytes)) == 0);
  }
  std::string text() const;
};

struct RamWrite {
  u8* host;
  u64 physical;
  u64 old_value;
  unsigned size_bytes;
};

// Everything but device accesses and RAM goes to the real port.
class ForwardingPort : public cpu::BusPort {
 public:
  explicit ForwardingPort(cpu::BusPort& real) : real_(real) {}
  Nanos now() override { return real_.now(); }
  u64 tsc_frequency_hz() const override { return real_.tsc_frequency_hz(); }
  u64 tsc_ticks() override { return real_.tsc_ticks(); }
  u8 tpr() override { return real_.tpr(); }
  void set_tpr(u8 cr8) override { real_.set_tpr(cr8); }
  u64 apic_base() override { return real_.apic_base(); }
  bool set_apic_base(u64 value) override { return real_.set_apic_base(value); }
  u64 tsc_deadline() override { return real_.tsc_deadline(); }
  void set_tsc_deadline(u64 deadline, u64 tsc_now) override { real_.set_tsc_deadline(deadline, tsc_now); }
  u32 apic_id() override { return real_.apic_id(); }
  void code_written(GuestPhys, unsigned) override {}
  void set_ferr(bool level) override { real_.set_ferr(level); }
  u64 random() override { return real_.random(); }

 protected:
  cpu::BusPort& real_;
};

class PrimaryPort final : public ForwardingPort {
 public:
  explicit PrimaryPort(cpu::BusPort& real) : ForwardingPort(real) {}

  cpu::PhysPage resolve_page(GuestPhys page) override {
    return {.read_host = real_.resolve_page(page).read_host, .write_host = nullptr, .marks = nullptr};
  }
  u64 mmio_read(GuestPhys address, unsigned size_bytes) override;
  void mmio_write(GuestPhys address, u64 value, unsigned size_bytes) override;
  u32 port_read(Port port, unsigned size_bytes) override;
  void port_write(Port port, u32 value, unsigned size_bytes) override;
  bool x2apic_read(u32 msr, u64& value) override;
  bool x2apic_write(u32 msr, u64 value) override;
  int acknowledge_interrupt() override;
  u8 tpr() override {
    return unlocked<u8>([&] { return real_.tpr(); });
  }
  void set_tpr(u8 cr8) override {
    unlocked<int>([&] { return real_.set_tpr(cr8), 0; });
  }
  u64 apic_base() override {
    return unlocked<u64>([&] { return real_.apic_base(); });
  }
  bool set_apic_base(u64 value) override {
    return unlocked<bool>([&] { return real_.set_apic_base(value); });
  }
  u64 tsc_deadline() override {
    return unlocked<u64>([&] { return real_.tsc_deadline(); });
  }
  void set_tsc_deadline(u64 deadline, u64 tsc_now) override {
    unlocked<int>([&] { return real_.set_tsc_deadline(deadline, tsc_now), 0; });
  }

  // The machine lock is held while the engines run, and let go around the devices' own work, which takes it.
  std::unique_lock<std::mutex>* lock = nullptr;
  std::deque<DeviceAccess> accesses;  // since they were last taken
  std::vector<RamWrite> writes;       // since the last synchronisation point
  std::unordered_set<u64> code_pages;
  std::function<void(GuestPhys, unsigned)> code_changed;
  // Replaying a stretch: devices are answered from here instead.
  std::deque<DeviceAccess>* replay = nullptr;

 private:
  template <class T, class Work>
  T unlocked(Work&& work) {
    lock->unlock();
    const T result = work();
    lock->lock();
    return result;
  }
  template <class Work>
  u64 access(DeviceAccess request, Work&& work);
  void write_ram(u8* host, u64 physical, u64 value, unsigned size_bytes);
};

// What the shadow engine sees: its own copy of memory, and the primary's notes.
class ShadowPort final : public ForwardingPort {
 public:
  // `map` resolves pages of the machine's memory.
  ShadowPort(PrimaryPort& primary, cpu::BusPort& map, LockstepMemory& memory)
      : ForwardingPort(primary), map_(map), memory_(memory) {}

  cpu::PhysPage resolve_page(GuestPhys page) override;
  u64 mmio_read(GuestPhys address, unsigned size_bytes) override;
  void mmio_write(GuestPhys address, u64 value, unsigned size_bytes) override;
  u32 port_read(Port port, unsigned size_bytes) override;
  void port_write(Port port, u32 value, unsigned size_bytes) override;
  bool x2apic_read(u32 msr, u64& value) override;
  bool x2apic_write(u32 msr, u64 value) override;
  int acknowledge_interrupt() override;
  u8 tpr() override { return tpr_; }
  void set_tpr(u8 cr8) override { tpr_ = cr8; }
  bool set_apic_base(u64) override { return true; }
  void set_tsc_deadline(u64, u64) override {}
  void set_ferr(bool) override {}

  std::deque<DeviceAccess>* notes = nullptr;
  std::string difference;  // empty: none
  std::unordered_set<u64> code_pages;
  std::function<void(GuestPhys, unsigned)> code_changed;

 private:
  DeviceAccess answer(DeviceAccess request);
  cpu::BusPort& map_;
  LockstepMemory& memory_;
  u8 tpr_ = 0;
};

}  // namespace xm::machine
