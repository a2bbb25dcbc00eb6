// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/platform/i8237.h"

#include <algorithm>

#include "emu/base/bits.h"

namespace xm::devices {
namespace {

// Registers of one controller [8237A Fig. 4]; 0-7 are address and count of the four channels.
constexpr unsigned kCommandStatus = 8;
constexpr unsigned kSingleMask = 10;
constexpr unsigned kMode = 11;
constexpr unsigned kClearFlipFlop = 12;
constexpr unsigned kMasterClear = 13;
constexpr unsigned kClearMask = 14;
constexpr unsigned kAllMask = 15;

constexpr u8 kCommandDisable = 0x04;
constexpr u8 kModeAutoInitialize = 0x10;
constexpr u8 kModeDecrement = 0x20;
constexpr unsigned kTransferWrite = 1;  // to memory
constexpr unsigned kTransferRead = 2;   // from memory

// Offset from port 80h of each channel's page register.
constexpr std::array<u8, 8> kPageOfChannel{0x7, 0x3, 0x1, 0x2, 0xF, 0xB, 0x9, 0xA};

}  // namespace

I8237Pair::I8237Pair(const bus::GuestMemory& memory) : memory_(memory) {
  for (u8 i = 0; i < 8; i++) {
    channels_[i].pair = this;
    channels_[i].number = i;
  }
  for (u8 i = 0; i < 2; i++) {
    controllers_[i].pair = this;
    controllers_[i].first_channel = static_cast<u8>(4 * i);
  }
  page_ports_.pair = this;
}

void I8237Pair::reset() {
  for (Channel& c : channels_) c.base_address = c.base_count = c.current_address = c.current_count = c.mode = 0;
  for (Controller& c : controllers_) c.master_clear();
  pages_.fill(0);
}

// ---- registers
// -------------------------------------------------------------------------------------------------------

u32 I8237Pair::Controller::port_read(Port port, unsigned) {
  const unsigned reg = first_channel == 0 ? port.value & 0xF : (port.value >> 1) & 0xF;
  if (reg < 8) {
    const Channel& c = channel(reg / 2);
    const u16 value = reg & 1 ? c.current_count : c.current_address;
    const bool high = high_byte_next;
    high_byte_next = !high_byte_next;
    return high ? value >> 8 : value & 0xFF;
  }
  if (reg == kCommandStatus) {
    const u8 status = terminal_counts;
    terminal_counts = 0;
    return status;
  }
  return reg == kAllMask ? 0xF0 | mask : 0;
}

void I8237Pair::Controller::port_write(Port port, u32 raw, unsigned) {
  const unsigned reg = first_channel == 0 ? port.value & 0xF : (port.value >> 1) & 0xF;
  const auto value = static_cast<u8>(raw);
  if (reg < 8) {
    write_channel_register(reg, value);
    return;
  }
  const auto selected = static_cast<u8>(1u << (value & 3));
  switch (reg) {
    case kCommandStatus: command = value; break;
    case kSingleMask: mask = static_cast<u8>(has_bit(value, 2) ? mask | selected : mask & ~selected); break;
    case kMode: channel(value & 3).mode = value; break;
    case kClearFlipFlop: high_byte_next = false; break;
    case kMasterClear: master_clear(); break;
    case kClearMask: mask = 0; break;
    case kAllMask: mask = value & 0x0F; break;
    default: break;
  }
}

void I8237Pair::Controller::write_channel_register(unsigned reg, u8 value) {
  Channel& c = channel(reg / 2);
  u16& base = reg & 1 ? c.base_count : c.base_address;
  base = high_byte_next ? static_cast<u16>((base & 0x00FF) | (value << 8)) : static_cast<u16>((base & 0xFF00) | value);
  (reg & 1 ? c.current_count : c.current_address) = base;
  high_byte_next = !high_byte_next;
}

void I8237Pair::Controller::master_clear() {
  command = terminal_counts = 0;
  mask = 0x0F;
  high_byte_next = false;
}

// ---- transfers
// -------------------------------------------------------------------------------------------------------

bool I8237Pair::Channel::ready() const {
  const Controller& controller = pair->controllers_[number / 4];
  return !(controller.command & kCommandDisable) && !has_bit(controller.mask, number & 3);
}

u32 I8237Pair::Channel::address() const {
  const u8 page = pair->pages_[kPageOfChannel[number]];
  return number < 4 ? u32{page} << 16 | current_address : u32{page & 0xFEu} << 16 | u32{current_address} << 1;
}

// The address counter wraps within its 64 KiB (128 KiB for words): the page register does not count.
template <class Move>
DmaChannel::Outcome I8237Pair::Channel::transfer(u32 length, Move move) {
  Outcome outcome;
  if (!ready()) return outcome;
  Controller& controller = pair->controllers_[number / 4];
  const u32 unit = number < 4 ? 1 : 2;
  u32 left = std::min<u32>(length / unit, current_count + 1u);
  while (left > 0) {
    const bool down = mode & kModeDecrement;
    const u32 run = down ? 1 : std::min<u32>(left, 0x10000u - current_address);
    move(GuestPhys{address()}, outcome.bytes, run * unit);
    current_address = static_cast<u16>(down ? current_address - run : current_address + run);
    outcome.terminal_count = run == current_count + 1u;
    current_count = static_cast<u16>(current_count - run);
    outcome.bytes += run * unit;
    left -= run;
  }
  if (!outcome.terminal_count) return outcome;
  controller.terminal_counts |= static_cast<u8>(1u << (number & 3));
  if (mode & kModeAutoInitialize) {
    current_address = base_address;
    current_count = base_count;
  } else {
    controller.mask |= static_cast<u8>(1u << (number & 3));
  }
  return outcome;
}

DmaChannel::Outcome I8237Pair::Channel::to_memory(std::span<const u8> from) {
  const bool write = bits(mode, 3, 2) == kTransferWrite;
  return transfer(static_cast<u32>(std::min<std::size_t>(from.size(), 0x20000)),
                  [&](GuestPhys to, u32 offset, u32 count) {
                    if (write) pair->memory_.write(to, from.subspan(offset, count));
                  });
}

DmaChannel::Outcome I8237Pair::Channel::from_memory(std::span<u8> to) {
  const bool read = bits(mode, 3, 2) == kTransferRead;
  return transfer(static_cast<u32>(std::min<std::size_t>(to.size(), 0x20000)),
                  [&](GuestPhys from, u32 offset, u32 count) {
                    if (read) pair->memory_.read(from, to.subspan(offset, count));
                  });
}

void I8237Pair::exchange(bus::Archive& archive) {
  constexpr std::array<std::string_view, 8> kNames{"channel0", "channel1", "channel2", "channel3",
                                                   "channel4", "channel5", "channel6", "channel7"};
  for (Channel& c : channels_) {
    archive.begin(kNames[c.number]);
    archive.field("base_address", c.base_address);
    archive.field("base_count", c.base_count);
    archive.field("current_address", c.current_address);
    archive.field("current_count", c.current_count);
    archive.field("mode", c.mode);
    archive.end();
  }
  for (Controller& c : controllers_) {
    archive.begin(c.first_channel == 0 ? "first" : "second");
    archive.field("command", c.command);
    archive.field("mask", c.mask);
    archive.field("terminal_counts", c.terminal_counts);
    archive.field("high_byte_next", c.high_byte_next);
    archive.end();
  }
  archive.field("pages", pages_);
}

}  // namespace xm::devices
