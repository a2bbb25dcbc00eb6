// SPDX-License-Identifier: GPL-2.0-or-later
// All that a CPU asks of the world. The machine implements it on its address space, ports and interrupt controllers;
// a test implements it in a page. Called on the vCPU's thread only.
#pragma once

#include <atomic>

#include "emu/base/types.h"

namespace xm::cpu {

// What lies behind one 4 KiB page of guest-physical space.
struct PhysPage {
  u8* read_host = nullptr;           // host address of the page for reads (RAM, ROM); nullptr: use mmio_read
  u8* write_host = nullptr;          // for writes (RAM only); nullptr: use mmio_write (which drops writes to ROM)
  std::atomic<u8>* marks = nullptr;  // page marks (kMarkHasCode), with write_host
};

// Bit 0: some vCPU holds code decoded from the page (bus::kPageHasCode). Bits 1-6: vCPU 0-5 does; bit 7: a later one.
inline constexpr u8 kMarkHasCode = 1;

class BusPort {
 public:
  virtual ~BusPort() = default;

  // page is a page-aligned physical address. Pages that mix kinds answer with null pointers and go through mmio_*.
  virtual PhysPage resolve_page(GuestPhys page) = 0;
  // size_bytes 1..8, any alignment within the page. Also used for RAM that resolve_page would not hand out.
  virtual u64 mmio_read(GuestPhys address, unsigned size_bytes) = 0;
  virtual void mmio_write(GuestPhys address, u64 value, unsigned size_bytes) = 0;
  virtual u32 port_read(Port port, unsigned size_bytes) = 0;
  virtual void port_write(Port port, u32 value, unsigned size_bytes) = 0;

  // INTA cycle: the vector of the highest-priority waiting interrupt, or -1 if it has gone away.
  virtual int acknowledge_interrupt() = 0;
  // Guest time in nanoseconds; the TSC is derived from it (tsc_frequency_hz).
  virtual Nanos now() = 0;
  virtual u64 tsc_frequency_hz() const = 0;
  // Ticks of that frequency since power-on: the time-stamp counter before the CPU's own offset.
  virtual u64 tsc_ticks() {
    constexpr u64 kNanosPerSecond = 1'000'000'000;
    return static_cast<u64>(static_cast<u128>(static_cast<u64>(now().value)) * tsc_frequency_hz() / kNanosPerSecond);
  }

  // Local APIC as the CPU core sees it. tpr is CR8 (bits 7:4 of the APIC's TPR).
  virtual u8 tpr() = 0;
  virtual void set_tpr(u8 cr8) = 0;
  virtual u64 apic_base() = 0;
  virtual bool set_apic_base(u64 value) = 0;          // false: #GP
  virtual bool x2apic_read(u32 msr, u64& value) = 0;  // MSR 800h-8FFh; false: #GP
  virtual bool x2apic_write(u32 msr, u64 value) = 0;
  virtual u64 tsc_deadline() = 0;  // guest-TSC units
  virtual void set_tsc_deadline(u64 deadline, u64 tsc_now) = 0;
  virtual u32 apic_id() = 0;

  // This vCPU wrote to a page marked kMarkHasCode, or (size 0) has just marked it: every other vCPU must be told, by
  // Engine::code_written.
  virtual void code_written(GuestPhys address, unsigned size_bytes) = 0;
  // x87 error with CR0.NE = 0: FERR# pin (IRQ 13 on a PC); cleared through port F0h outside the CPU.
  virtual void set_ferr(bool level) = 0;
  // True hardware randomness for RDRAND and RDSEED.
  virtual u64 random() = 0;
};

}  // namespace xm::cpu
