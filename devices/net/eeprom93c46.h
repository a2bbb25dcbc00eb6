// SPDX-License-Identifier: GPL-2.0-or-later
// 93C46 serial EEPROM, 64 words of 16 bits, on its Microwire bus: chip select, clock, data in, data out. Only READ
// (start bit, 10, six address bits) is carried out; after it, words follow one another.
#pragma once

#include <array>

#include "emu/base/bits.h"
#include "emu/bus/archive.h"

namespace xm::devices {

class Eeprom93c46 {
 public:
  static constexpr unsigned kWords = 64;

  u16& word(unsigned address) { return words_[address % kWords]; }
  bool data_out() const { return data_out_; }

  // The levels of the host's pins; work is done on the clock's rising edge.
  void set_pins(bool select, bool clock, bool data_in) {
    const bool edge = clock && !clock_;
    clock_ = clock;
    if (!select) {
      received_ = shift_ = 0;
      reading_ = false;
      data_out_ = true;  // ready
    } else if (edge) {
      rising_edge(data_in);
    }
  }

  void exchange(bus::Archive& archive) {
    archive.begin("eeprom");
    archive.field("words", words_);
    archive.field("shift", shift_);
    archive.field("received", received_);
    archive.field("position", position_);
    archive.field("reading", reading_);
    archive.field("clock", clock_);
    archive.field("data_out", data_out_);
    archive.end();
  }

 private:
  static constexpr unsigned kCommandBits = 9;

  void rising_edge(bool data_in) {
    if (reading_) {
      data_out_ = has_bit(words_[position_ / 16 % kWords], 15 - position_ % 16);
      position_++;
      return;
    }
    if (received_ == 0 && !data_in) return;  // before the start bit
    if (received_ == kCommandBits) return;   // a command that is not carried out
    shift_ = static_cast<u16>(shift_ << 1 | (data_in ? 1 : 0));
    if (++received_ != kCommandBits || bits(shift_, 8, 6) != 0b110) return;
    reading_ = true;
    position_ = static_cast<u32>(bits(shift_, 5, 0) * 16);
    data_out_ = false;  // a dummy zero comes before the data
  }

  std::array<u16, kWords> words_{};
  u16 shift_ = 0;
  u8 received_ = 0;
  u32 position_ = 0;  // in bits
  bool reading_ = false;
  bool clock_ = false;
  bool data_out_ = true;
};

}  // namespace xm::devices
