// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/intc/pic8259.h"

#include "emu/base/bits.h"

namespace xm::devices {
namespace {

constexpr unsigned kCascadeLevel = 2;
constexpr unsigned kSpuriousLevel = 7;
// Inputs that are edge-triggered in every PC: timer, keyboard, cascade; RTC and FPU [82371AB 7.1.6].
constexpr u8 kMasterElcrMask = 0xF8;
constexpr u8 kSlaveElcrMask = 0xDE;

}  // namespace

void Pic8259::reset() {
  const u8 pins = inputs_;
  irr_ = isr_ = imr_ = elcr_ = vector_base_ = 0;
  inputs_ = pins;
  lowest_priority_ = 7;
  expect_ = Expect::Nothing;
  needs_icw4_ = single_ = read_isr_ = poll_ = false;
  special_mask_ = auto_eoi_ = rotate_on_auto_eoi_ = special_fully_nested_ = false;
}

void Pic8259::set_input(unsigned level, bool high) {
  const auto mask = static_cast<u8>(1u << level);
  const bool was_high = inputs_ & mask;
  inputs_ = static_cast<u8>(high ? inputs_ | mask : inputs_ & ~mask);
  if (elcr_ & mask) {
    irr_ = static_cast<u8>(high ? irr_ | mask : irr_ & ~mask);
  } else if (high && !was_high) {
    irr_ |= mask;
  }
}

void Pic8259::set_cascade_input(bool high) {
  const auto mask = static_cast<u8>(1u << kCascadeLevel);
  irr_ = static_cast<u8>(high ? irr_ | mask : irr_ & ~mask);
}

void Pic8259::set_level_triggered(u8 mask) {
  elcr_ = mask;
  irr_ = static_cast<u8>((irr_ & ~mask) | (inputs_ & mask));
}

unsigned Pic8259::rank_of_highest(u8 levels) const {
  for (unsigned rank = 0; rank < 8; rank++) {
    if (has_bit(levels, level_of_rank(rank))) return rank;
  }
  return 8;
}

std::optional<unsigned> Pic8259::pending_level() const {
  const unsigned requested = rank_of_highest(static_cast<u8>(irr_ & ~imr_));
  if (requested == 8) return std::nullopt;
  // What is in service blocks its own and lower priorities. Masked levels do not block in special mask mode, nor does
  // the cascade level in special fully nested mode: the slave then sorts out its own priorities [82C59A p.13-15].
  u8 blocking = isr_;
  if (special_mask_) blocking &= static_cast<u8>(~imr_);
  if (special_fully_nested_ && master_) blocking &= static_cast<u8>(~(1u << kCascadeLevel));
  if (requested >= rank_of_highest(blocking)) return std::nullopt;
  return level_of_rank(requested);
}

void Pic8259::acknowledge(unsigned level) {
  const auto mask = static_cast<u8>(1u << level);
  if (auto_eoi_) {
    if (rotate_on_auto_eoi_) lowest_priority_ = static_cast<u8>(level);
  } else {
    isr_ |= mask;
  }
  if (!(elcr_ & mask)) irr_ &= static_cast<u8>(~mask);
}

u8 Pic8259::poll() {
  poll_ = false;
  const auto level = pending_level();
  if (!level) return 0;
  acknowledge(*level);
  return static_cast<u8>(0x80 | *level);
}

u8 Pic8259::read(bool a0) {
  if (poll_) return poll();
  if (a0) return imr_;
  return read_isr_ ? isr_ : irr_;
}

void Pic8259::write(bool a0, u8 value) {
  if (!a0) {
    if (has_bit(value, 4)) {
      write_icw1(value);
    } else if (has_bit(value, 3)) {
      write_ocw3(value);
    } else {
      write_ocw2(value);
    }
    return;
  }
  switch (expect_) {
    case Expect::Nothing: imr_ = value; break;  // OCW1
    case Expect::Icw2:
      vector_base_ = value & 0xF8;
      expect_ = !single_ ? Expect::Icw3 : needs_icw4_ ? Expect::Icw4 : Expect::Nothing;
      break;
    case Expect::Icw3:  // the cascade is fixed by the board
      expect_ = needs_icw4_ ? Expect::Icw4 : Expect::Nothing;
      break;
    case Expect::Icw4:
      special_fully_nested_ = has_bit(value, 4);
      auto_eoi_ = has_bit(value, 1);
      expect_ = Expect::Nothing;
      break;
  }
}

// Bit 3 (level mode for all inputs) is replaced by ELCR in a PC [82371AB 7.1.6].
void Pic8259::write_icw1(u8 value) {
  irr_ = inputs_ & elcr_;  // the edge sense circuit is reset
  isr_ = imr_ = 0;
  lowest_priority_ = 7;
  special_mask_ = read_isr_ = poll_ = false;
  auto_eoi_ = rotate_on_auto_eoi_ = special_fully_nested_ = false;
  needs_icw4_ = has_bit(value, 0);
  single_ = has_bit(value, 1);
  expect_ = Expect::Icw2;
}

void Pic8259::write_ocw2(u8 value) {
  const bool rotate = has_bit(value, 7);
  const bool specific = has_bit(value, 6);
  const bool eoi = has_bit(value, 5);
  const auto named = static_cast<u8>(value & 7);
  if (!eoi) {
    if (specific) {
      if (rotate) lowest_priority_ = named;  // set priority; without R it is no operation
    } else {
      rotate_on_auto_eoi_ = rotate;
    }
    return;
  }
  unsigned level = named;
  if (!specific) {
    // A non-specific EOI skips what special mask mode has masked [82C59A p.15].
    const unsigned rank = rank_of_highest(static_cast<u8>(special_mask_ ? isr_ & ~imr_ : isr_));
    if (rank == 8) return;
    level = level_of_rank(rank);
  }
  end_of_interrupt(level);
  if (rotate) lowest_priority_ = static_cast<u8>(level);
}

void Pic8259::write_ocw3(u8 value) {
  if (has_bit(value, 6)) special_mask_ = has_bit(value, 5);
  poll_ = has_bit(value, 2);
  if (!poll_ && has_bit(value, 1)) read_isr_ = has_bit(value, 0);
}

void Pic8259::exchange(bus::Archive& archive) {
  archive.field("irr", irr_);
  archive.field("isr", isr_);
  archive.field("imr", imr_);
  archive.field("inputs", inputs_);
  archive.field("elcr", elcr_);
  archive.field("vector_base", vector_base_);
  archive.field("lowest_priority", lowest_priority_);
  archive.field("expect", expect_);
  archive.field("needs_icw4", needs_icw4_);
  archive.field("single", single_);
  archive.field("read_isr", read_isr_);
  archive.field("poll", poll_);
  archive.field("special_mask", special_mask_);
  archive.field("auto_eoi", auto_eoi_);
  archive.field("rotate_on_auto_eoi", rotate_on_auto_eoi_);
  archive.field("special_fully_nested", special_fully_nested_);
  lowest_priority_ &= 7;
  if (expect_ > Expect::Icw4) expect_ = Expect::Nothing;
}

u32 PicPair::ChipPorts::port_read(Port port, unsigned) {
  const u8 value = chip.read(port.value & 1);
  pair.update();  // a poll acknowledges
  return value;
}

void PicPair::ChipPorts::port_write(Port port, u32 value, unsigned) {
  chip.write(port.value & 1, static_cast<u8>(value));
  pair.update();
}

u32 PicPair::ElcrPorts::port_read(Port port, unsigned) {
  return (port.value & 1 ? pair.slave_ : pair.master_).level_triggered();
}

void PicPair::ElcrPorts::port_write(Port port, u32 value, unsigned) {
  if (port.value & 1) {
    pair.slave_.set_level_triggered(static_cast<u8>(value & kSlaveElcrMask));
  } else {
    pair.master_.set_level_triggered(static_cast<u8>(value & kMasterElcrMask));
  }
  pair.update();
}

void PicPair::update() {
  master_.set_cascade_input(slave_.output());
  intr_.set(master_.output());
}

void PicPair::reset() {
  master_.reset();
  slave_.reset();
  update();
}

void PicPair::set_input(unsigned input, bool high) {
  if (input < 8) {
    if (input != kCascadeLevel) master_.set_input(input, high);
  } else if (input < 16) {
    slave_.set_input(input - 8, high);
  }
  update();
}

u8 PicPair::acknowledge() {
  u8 vector = master_.vector(kSpuriousLevel);  // no ISR bit is set for it [82C59A p.19]
  if (const auto level = master_.pending_level()) {
    master_.acknowledge(*level);
    vector = master_.vector(*level);
    if (*level == kCascadeLevel) {
      const auto slave_level = slave_.pending_level();
      if (slave_level) slave_.acknowledge(*slave_level);
      vector = slave_.vector(slave_level.value_or(kSpuriousLevel));
    }
  }
  update();
  return vector;
}

void PicPair::exchange(bus::Archive& archive) {
  archive.begin("master");
  master_.exchange(archive);
  archive.end();
  archive.begin("slave");
  slave_.exchange(archive);
  archive.end();
  if (archive.loading()) update();
}

}  // namespace xm::devices
