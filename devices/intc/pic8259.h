// SPDX-License-Identifier: GPL-2.0-or-later
// 8259A interrupt controller, the chip [82C59A] and the pair of a PC with its edge/level registers [82371AB 7.1.6].
//
// Ports the machine gives the pair (one byte wide each): master 0x20-0x21, slave 0xA0-0xA1, ELCR 0x4D0-0x4D1. They are
// told apart by the handler object: PicPair::master_ports(), slave_ports(), elcr_ports().
//
// Not modelled: MCS-80/85 mode (a three-byte CALL on the bus), buffered mode (has no effect in a PC), other cascades.
// DEVIATION: an edge is remembered until acknowledged even if the input falls before; the chip would then answer with a
// spurious IRQ7. A wire that is pulsed must reach the CPU.
#pragma once

#include <optional>

#include "emu/bus/device.h"
#include "emu/bus/irq_line.h"
#include "emu/bus/port_space.h"

namespace xm::devices {

// One chip: pure state, no wires. Levels are 0..7 (IR0..IR7).
class Pic8259 {
 public:
  explicit Pic8259(bool master) : master_(master) { reset(); }

  void reset();
  void set_input(unsigned level, bool high);
  // The slave's INT pin on IR2 of the master: follows the pin, in edge mode too, as the pin drops at each INTA.
  void set_cascade_input(bool high);
  u8 read(bool a0);
  void write(bool a0, u8 value);

  // INT pin.
  bool output() const { return pending_level().has_value(); }
  // The level an INTA cycle would be answered with now.
  std::optional<unsigned> pending_level() const;
  // INTA: moves `level` from request to service.
  void acknowledge(unsigned level);
  u8 vector(unsigned level) const { return static_cast<u8>(vector_base_ | level); }

  u8 level_triggered() const { return elcr_; }
  void set_level_triggered(u8 mask);

  u8 request_register() const { return irr_; }
  u8 service_register() const { return isr_; }
  u8 mask_register() const { return imr_; }
  void exchange(bus::Archive& archive);

 private:
  enum class Expect : u8 { Nothing, Icw2, Icw3, Icw4 };

  void write_icw1(u8 value);
  void write_ocw2(u8 value);
  void write_ocw3(u8 value);
  u8 poll();
  // Distance from the highest priority of the highest-priority bit of `levels`; 8 if none.
  unsigned rank_of_highest(u8 levels) const;
  unsigned level_of_rank(unsigned rank) const { return (rank + lowest_priority_ + 1) & 7; }
  void end_of_interrupt(unsigned level) { isr_ &= static_cast<u8>(~(1u << level)); }

  const bool master_;
  u8 irr_ = 0;     // interrupt request register
  u8 isr_ = 0;     // in-service register
  u8 imr_ = 0;     // interrupt mask register
  u8 inputs_ = 0;  // present level of the pins
  u8 elcr_ = 0;    // 1: level-triggered input
  u8 vector_base_ = 0;
  u8 lowest_priority_ = 7;
  Expect expect_ = Expect::Nothing;
  bool needs_icw4_ = false;
  bool single_ = false;
  bool read_isr_ = false;
  bool poll_ = false;
  bool special_mask_ = false;
  bool auto_eoi_ = false;
  bool rotate_on_auto_eoi_ = false;
  bool special_fully_nested_ = false;
};

// Two chips as a PC wires them: inputs 0..15, output to the CPU's INTR (or LINT0).
class PicPair final : public bus::Device, public bus::IrqSink {
 public:
  explicit PicPair(bus::IrqLine& intr) : intr_(intr) {}

  std::string_view name() const override { return "pic8259"; }
  void reset() override;
  void exchange(bus::Archive& archive) override;

  // Inputs 0..7 are the master's (2 is taken by the cascade), 8..15 the slave's.
  void set_input(unsigned input, bool high) override;
  // The CPU's INTA cycles: the vector. Without a request it is the spurious one, base + 7.
  u8 acknowledge();
  bool has_interrupt() const { return master_.output(); }

  bus::PortHandler& master_ports() { return master_ports_; }
  bus::PortHandler& slave_ports() { return slave_ports_; }
  bus::PortHandler& elcr_ports() { return elcr_ports_; }
  const Pic8259& master() const { return master_; }
  const Pic8259& slave() const { return slave_; }

 private:
  struct ChipPorts final : bus::PortHandler {
    ChipPorts(PicPair& owner, Pic8259& which) : pair(owner), chip(which) {}
    u32 port_read(Port port, unsigned size_bytes) override;
    void port_write(Port port, u32 value, unsigned size_bytes) override;
    PicPair& pair;
    Pic8259& chip;
  };
  struct ElcrPorts final : bus::PortHandler {
    explicit ElcrPorts(PicPair& owner) : pair(owner) {}
    u32 port_read(Port port, unsigned size_bytes) override;
    void port_write(Port port, u32 value, unsigned size_bytes) override;
    PicPair& pair;
  };
  void update();

  bus::IrqLine& intr_;
  Pic8259 master_{true};
  Pic8259 slave_{false};
  ChipPorts master_ports_{*this, master_};
  ChipPorts slave_ports_{*this, slave_};
  ElcrPorts elcr_ports_{*this};
};

}  // namespace xm::devices
