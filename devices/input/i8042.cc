// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/input/i8042.h"

#include "devices/input/scancodes.h"
#include "emu/base/bits.h"

namespace xm::devices {
namespace {

constexpr i64 kBytePauseNs = 500'000;

constexpr u8 kStatusOutputFull = 0x01;
constexpr u8 kStatusSystem = 0x04;
constexpr u8 kStatusCommand = 0x08;
constexpr u8 kStatusUnlocked = 0x10;
constexpr u8 kStatusAuxiliary = 0x20;

// Controller command byte.
constexpr u8 kKeyboardInterrupt = 0x01;
constexpr u8 kMouseInterrupt = 0x02;
constexpr u8 kSystemFlag = 0x04;
constexpr u8 kKeyboardDisabled = 0x10;
constexpr u8 kMouseDisabled = 0x20;
constexpr u8 kTranslate = 0x40;

constexpr u8 kOutputNotReset = 0x01;
constexpr u8 kOutputA20 = 0x02;

}  // namespace

I8042::I8042(Wires wires, bus::VirtualClock& clock)
    : wires_(wires), clock_(clock), pause_timer_(clock, [this] { fill_output(); }), keyboard_(clock) {
  keyboard_.attach(this);
  mouse_.attach(this);
}

void I8042::reset() {
  ram_.fill(0);
  ram_[0] = kKeyboardInterrupt | kMouseInterrupt | kSystemFlag | kTranslate;
  output_ = 0;
  output_full_ = displaced_ = last_write_command_ = break_prefix_ = false;
  output_source_ = Source::Controller;
  command_waits_ = 0;
  pause_timer_.disarm();
  keyboard_.reset();
  mouse_.reset();
  a20_ = true;
  wires_.a20.raise();
  update_interrupts();
}

u32 I8042::port_read(Port port, unsigned) { return port.value & 4 ? read_status() : read_data(); }

void I8042::port_write(Port port, u32 value, unsigned) {
  last_write_command_ = port.value & 4;
  if (last_write_command_) {
    write_command(static_cast<u8>(value));
  } else {
    write_data(static_cast<u8>(value));
  }
}

u8 I8042::read_data() {
  const u8 value = output_;
  if (!output_full_) return value;
  output_full_ = false;
  update_interrupts();
  if (displaced_) {
    displaced_ = false;
    load_output(displaced_output_, displaced_source_);
  } else {
    pause_timer_.arm(clock_.now() + kBytePauseNs);
  }
  return value;
}

u8 I8042::read_status() const {
  u8 value = kStatusUnlocked;
  if (output_full_) value |= kStatusOutputFull;
  if (output_full_ && output_source_ == Source::Mouse) value |= kStatusAuxiliary;
  if (ram_[0] & kSystemFlag) value |= kStatusSystem;
  if (last_write_command_) value |= kStatusCommand;
  return value;
}

void I8042::write_command(u8 command) {
  command_waits_ = 0;
  if (command >= 0x20 && command <= 0x3F) {
    answer(ram_[command & 0x1F]);
    return;
  }
  if (command >= 0x60 && command <= 0x7F) {
    command_waits_ = command;
    return;
  }
  if (command >= 0xF0) {  // pulse output port bits that are 0
    if (!has_bit(command, 0)) wires_.reset.pulse();
    return;
  }
  switch (command) {
    case 0xA4: answer(0xF1); break;  // no password installed
    case 0xA7: ram_[0] |= kMouseDisabled; break;
    case 0xA8:
      ram_[0] &= static_cast<u8>(~kMouseDisabled);
      fill_output();
      break;
    case 0xA9: answer(0x00); break;  // auxiliary interface: no error
    case 0xAA:
      ram_[0] |= kSystemFlag;
      answer(0x55);
      break;
    case 0xAB: answer(0x00); break;  // keyboard interface: no error
    case 0xAD: ram_[0] |= kKeyboardDisabled; break;
    case 0xAE:
      ram_[0] &= static_cast<u8>(~kKeyboardDisabled);
      fill_output();
      break;
    case 0xC0: answer(0xA0); break;  // input port: not locked, no manufacturing jumper
    case 0xD0: answer(output_port()); break;
    case 0xD1:
    case 0xD2:
    case 0xD3:
    case 0xD4: command_waits_ = command; break;
    case 0xDD: set_output_port(static_cast<u8>(output_port() & ~kOutputA20)); break;
    case 0xDF: set_output_port(output_port() | kOutputA20); break;
    case 0xE0: answer(0x00); break;  // test inputs
    default: break;
  }
}

void I8042::write_data(u8 value) {
  const u8 waiting = command_waits_;
  command_waits_ = 0;
  if (waiting >= 0x60 && waiting <= 0x7F) {
    ram_[waiting & 0x1F] = value;
    update_interrupts();
    fill_output();
    return;
  }
  switch (waiting) {
    case 0xD1: set_output_port(value); break;
    case 0xD2: answer(value, Source::Keyboard); break;
    case 0xD3: answer(value, Source::Mouse); break;
    case 0xD4:
      ram_[0] &= static_cast<u8>(~kMouseDisabled);
      mouse_.command(value);
      break;
    default:
      ram_[0] &= static_cast<u8>(~kKeyboardDisabled);  // sending drives the clock line
      keyboard_.command(value);
      break;
  }
}

void I8042::answer(u8 value, Source source) {
  if (output_full_ && !displaced_) {
    displaced_ = true;
    displaced_output_ = output_;
    displaced_source_ = output_source_;
    output_full_ = false;
    update_interrupts();
  }
  load_output(value, source);
}

void I8042::load_output(u8 value, Source source) {
  output_ = value;
  output_source_ = source;
  output_full_ = true;
  update_interrupts();
}

void I8042::fill_output() {
  if (output_full_ || pause_timer_.armed()) return;
  if (!mouse_.has_byte()) mouse_.report_if_due();  // comes back here if it has one
  if (output_full_) return;
  const bool keyboard = keyboard_.has_byte() && !(ram_[0] & kKeyboardDisabled);
  const bool mouse = mouse_.has_byte() && !(ram_[0] & kMouseDisabled);
  if (keyboard) {
    fetch_keyboard();
  } else if (mouse) {
    load_output(mouse_.pop(), Source::Mouse);
  }
}

void I8042::fetch_keyboard() {
  while (keyboard_.has_byte()) {
    const u8 byte = keyboard_.pop();
    if (!(ram_[0] & kTranslate)) {
      load_output(byte, Source::Keyboard);
      return;
    }
    if (byte == 0xF0) {  // the break prefix becomes bit 7 of the next code
      break_prefix_ = true;
      continue;
    }
    const u8 code = static_cast<u8>(translate_set2(byte) | (break_prefix_ ? 0x80 : 0));
    break_prefix_ = false;
    load_output(code, Source::Keyboard);
    return;
  }
}

u8 I8042::output_port() const {
  u8 value = 0xC0 | kOutputNotReset;
  if (a20_) value |= kOutputA20;
  if (output_full_) value |= output_source_ == Source::Mouse ? 0x20 : 0x10;
  return value;
}

void I8042::set_output_port(u8 value) {
  a20_ = value & kOutputA20;
  wires_.a20.set(a20_);
  if (!(value & kOutputNotReset)) wires_.reset.pulse();
}

void I8042::update_interrupts() {
  const bool mouse = output_source_ == Source::Mouse;
  wires_.keyboard_irq.set(output_full_ && !mouse && (ram_[0] & kKeyboardInterrupt));
  wires_.mouse_irq.set(output_full_ && mouse && (ram_[0] & kMouseInterrupt));
}

void I8042::exchange(bus::Archive& archive) {
  archive.field("ram", ram_);
  archive.field("output", output_);
  archive.field("output_full", output_full_);
  archive.field("output_source", output_source_);
  archive.field("displaced", displaced_);
  archive.field("displaced_output", displaced_output_);
  archive.field("displaced_source", displaced_source_);
  archive.field("last_write_command", last_write_command_);
  archive.field("command_waits", command_waits_);
  archive.field("a20", a20_);
  archive.field("break_prefix", break_prefix_);
  archive.begin("keyboard");
  keyboard_.exchange(archive);
  archive.end();
  archive.begin("mouse");
  mouse_.exchange(archive);
  archive.end();
  if (!archive.loading()) return;
  wires_.a20.set(a20_);
  update_interrupts();
  pause_timer_.disarm();
  fill_output();
}

}  // namespace xm::devices
