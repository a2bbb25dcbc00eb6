// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/serial/uart16550.h"

#include <algorithm>

#include "emu/base/bits.h"

namespace xm::devices {
namespace {

constexpr u32 kBaudBase = 115'200;

// Register offsets, as read / written [PC16550D Table I].
constexpr u16 kData = 0;             // RBR / THR; DLL with DLAB
constexpr u16 kInterruptEnable = 1;  // IER; DLM with DLAB
constexpr u16 kInterruptId = 2;      // IIR / FCR
constexpr u16 kLineControl = 3;
constexpr u16 kModemControl = 4;
constexpr u16 kLineStatus = 5;
constexpr u16 kModemStatus = 6;

constexpr u8 kIerReceived = 0x01;
constexpr u8 kIerTransmitEmpty = 0x02;
constexpr u8 kIerLineStatus = 0x04;
constexpr u8 kIerModemStatus = 0x08;

constexpr u8 kIirNone = 0x01;
constexpr u8 kIirModemStatus = 0x00;
constexpr u8 kIirTransmitEmpty = 0x02;
constexpr u8 kIirReceived = 0x04;
constexpr u8 kIirLineStatus = 0x06;
constexpr u8 kIirTimeout = 0x0C;

constexpr u8 kLsrDataReady = 0x01;
constexpr u8 kLsrOverrun = 0x02;
constexpr u8 kLsrBreak = 0x10;
constexpr u8 kLsrErrors = 0x1E;
constexpr u8 kLsrTransmitHoldingEmpty = 0x20;
constexpr u8 kLsrTransmitterEmpty = 0x40;
constexpr u8 kLsrFifoError = 0x80;

constexpr u8 kLcrBreak = 0x40;
constexpr u8 kMsrConnected = 0xB0;  // DCD, DSR, CTS
constexpr u8 kMsrRing = 0x40;

}  // namespace

u8 Uart16550::Fifo::pop() {
  const u8 byte = bytes[first];
  first = static_cast<u8>((first + 1) % kFifoDepth);
  count--;
  return byte;
}

Uart16550::Uart16550(bus::IrqLine& irq, bus::VirtualClock& clock, CharBackend& backend)
    : irq_(irq), clock_(clock), backend_(backend), timeout_timer_(clock, [this] {
        timeout_pending_ = received_.count > 0;
        update_interrupt();
      }) {
  backend_.attach(this);
}

Uart16550::~Uart16550() { backend_.attach(nullptr); }

void Uart16550::reset() {
  received_.clear();
  transmit_.clear();
  interrupt_enable_ = fifo_control_ = line_control_ = line_status_ = scratch_ = 0;
  modem_control_ = 0x08;
  modem_status_ = kMsrConnected;
  divisor_ = 12;
  transmit_empty_pending_ = timeout_pending_ = false;
  timeout_timer_.disarm();
  update_interrupt();
}

u32 Uart16550::port_read(Port port, unsigned) {
  switch (port.value & 7) {
    case kData: return dlab() ? divisor_ & 0xFF : read_receive_buffer();
    case kInterruptEnable: return dlab() ? divisor_ >> 8 : interrupt_enable_;
    case kInterruptId: return read_interrupt_identification();
    case kLineControl: return line_control_;
    case kModemControl: return modem_control_;
    case kLineStatus: return read_line_status();
    case kModemStatus: return read_modem_status();
    default: return scratch_;
  }
}

void Uart16550::port_write(Port port, u32 raw, unsigned) {
  const auto value = static_cast<u8>(raw);
  switch (port.value & 7) {
    case kData:
      if (dlab()) {
        divisor_ = static_cast<u16>((divisor_ & 0xFF00) | value);
        report_line();
      } else {
        write_transmit(value);
      }
      break;
    case kInterruptEnable:
      if (dlab()) {
        divisor_ = static_cast<u16>((divisor_ & 0x00FF) | (value << 8));
        report_line();
        break;
      }
      // Enabling the THRE interrupt while the holding register is empty raises it at once.
      if ((value & kIerTransmitEmpty) && !(interrupt_enable_ & kIerTransmitEmpty)) {
        transmit_empty_pending_ = transmit_.count == 0;
      }
      interrupt_enable_ = value & 0x0F;
      update_interrupt();
      break;
    case kInterruptId: write_fifo_control(value); break;
    case kLineControl: write_line_control(value); break;
    case kModemControl: write_modem_control(value); break;
    case kLineStatus:
    case kModemStatus: break;  // factory test only
    default: scratch_ = value; break;
  }
}

u8 Uart16550::read_receive_buffer() {
  if (received_.count == 0) return received_.bytes[received_.first];
  const u8 byte = received_.pop();
  timeout_pending_ = false;
  if (received_.count == 0) {
    timeout_timer_.disarm();
    if (!loopback()) backend_.receive_ready();
  } else {
    arm_timeout();
  }
  update_interrupt();
  return byte;
}

u8 Uart16550::read_interrupt_identification() {
  const u8 id = pending_interrupt();
  const u8 value = static_cast<u8>(id | (fifo_enabled() ? 0xC0 : 0));
  if (id == kIirTransmitEmpty) {
    transmit_empty_pending_ = false;
    update_interrupt();
  }
  return value;
}

u8 Uart16550::read_line_status() {
  u8 value = line_status_;
  if (received_.count > 0) value |= kLsrDataReady;
  if (transmit_.count == 0) value |= kLsrTransmitHoldingEmpty | kLsrTransmitterEmpty;
  if (fifo_enabled() && (line_status_ & kLsrErrors & ~kLsrOverrun)) value |= kLsrFifoError;
  line_status_ = 0;
  update_interrupt();
  return value;
}

u8 Uart16550::read_modem_status() {
  const u8 value = modem_status_;
  modem_status_ &= 0xF0;  // deltas
  update_interrupt();
  return value;
}

void Uart16550::write_transmit(u8 value) {
  // The interrupt goes away with the write and comes back when the byte has left: an edge, even if that is at once.
  transmit_empty_pending_ = false;
  update_interrupt();
  if (loopback()) {
    push_received(value, 0);
    transmit_empty_pending_ = true;
    update_interrupt();
    return;
  }
  const unsigned depth = fifo_enabled() ? kFifoDepth : 1;
  if (transmit_.count < depth) transmit_.push(value);  // an overrun of the transmitter loses the byte
  flush_transmit();
}

void Uart16550::flush_transmit() {
  while (transmit_.count > 0) {
    const std::size_t run = std::min<std::size_t>(transmit_.count, kFifoDepth - transmit_.first);
    const std::size_t sent = backend_.write({transmit_.bytes.data() + transmit_.first, run});
    for (std::size_t i = 0; i < std::min(sent, run); i++) transmit_.pop();
    if (sent < run) return;  // writable() resumes
  }
  transmit_empty_pending_ = true;
  update_interrupt();
}

void Uart16550::write_fifo_control(u8 value) {
  const bool toggled = (value ^ fifo_control_) & 0x01;
  if (toggled || (value & 0x02)) {
    received_.clear();
    line_status_ &= static_cast<u8>(~kLsrBreak);
    timeout_pending_ = false;
    timeout_timer_.disarm();
    if (!loopback()) backend_.receive_ready();
  }
  if (toggled || (value & 0x04)) {
    if (transmit_.count > 0) transmit_empty_pending_ = true;
    transmit_.clear();
  }
  fifo_control_ = (value & 0x01) ? value & 0xC9 : 0;  // the other bits need bit 0
  update_interrupt();
}

void Uart16550::write_line_control(u8 value) {
  const bool break_changed = (value ^ line_control_) & kLcrBreak;
  const bool format_changed = (value ^ line_control_) & 0x3F;
  line_control_ = value;
  if (break_changed && !loopback()) backend_.set_break(value & kLcrBreak);
  if (break_changed && loopback() && (value & kLcrBreak)) event(CharEvent::Break);
  if (format_changed) report_line();
}

void Uart16550::write_modem_control(u8 value) {
  const bool was_loopback = loopback();
  const u8 changed = (value ^ modem_control_) & 0x03;
  modem_control_ = value & 0x1F;
  if (changed && !loopback()) backend_.set_modem(value & 1, value & 2);
  set_modem_inputs(loopback() ? looped_modem_inputs() : kMsrConnected);
  if (was_loopback && !loopback()) backend_.receive_ready();
}

// Loop mode feeds the modem outputs to the inputs [PC16550D 8.6.7].
u8 Uart16550::looped_modem_inputs() const {
  const u8 mcr = modem_control_;
  return static_cast<u8>(((mcr & 0x02) << 3) | ((mcr & 0x01) << 5) | ((mcr & 0x04) << 4) | ((mcr & 0x08) << 4));
}

void Uart16550::set_modem_inputs(u8 inputs) {
  const u8 before = modem_status_ & 0xF0;
  u8 deltas = static_cast<u8>((before ^ inputs) >> 4) & 0x0B;
  if ((before & kMsrRing) && !(inputs & kMsrRing)) deltas |= 0x04;  // trailing edge of ring
  modem_status_ = static_cast<u8>(inputs | (modem_status_ & 0x0F) | deltas);
  update_interrupt();
}

unsigned Uart16550::receive_trigger() const {
  constexpr std::array<u8, 4> kTriggers{1, 4, 8, 14};
  return fifo_enabled() ? kTriggers[fifo_control_ >> 6] : 1;
}

i64 Uart16550::character_time_ns() const {
  const i64 character_bits =
      1 + 5 + (line_control_ & 3) + (line_control_ & 0x08 ? 1 : 0) + (line_control_ & 0x04 ? 2 : 1);
  return character_bits * 1'000'000'000 * std::max<i64>(divisor_, 1) / kBaudBase;
}

void Uart16550::arm_timeout() {
  if (fifo_enabled()) timeout_timer_.arm(clock_.now() + 4 * character_time_ns());
}

void Uart16550::push_received(u8 byte, u8 status) {
  if (received_.count == receive_depth()) {
    line_status_ |= kLsrOverrun;
    if (!fifo_enabled()) {  // without FIFO the new byte replaces the old one
      received_.clear();
      received_.push(byte);
    }
  } else {
    received_.push(byte);
  }
  line_status_ |= status;
  timeout_pending_ = false;
  arm_timeout();
  update_interrupt();
}

std::size_t Uart16550::can_receive() { return loopback() ? 0 : receive_depth() - received_.count; }

void Uart16550::receive(std::span<const u8> bytes) {
  if (loopback()) return;
  for (const u8 byte : bytes) push_received(byte, 0);
}

void Uart16550::event(CharEvent event) {
  if (event == CharEvent::Break) push_received(0, kLsrBreak);
}

void Uart16550::writable() { flush_transmit(); }

void Uart16550::report_line() {
  LineSettings line;
  line.baud = kBaudBase / std::max<u32>(divisor_, 1);
  line.data_bits = static_cast<u8>(5 + (line_control_ & 3));
  line.stop_bits = line_control_ & 0x04 ? 2 : 1;
  constexpr std::array<char, 4> kParities{'O', 'E', 'M', 'S'};
  if (line_control_ & 0x08) line.parity = kParities[bits(line_control_, 5, 4)];
  backend_.set_line(line);
}

// The highest-priority interrupt that is enabled and pending [PC16550D Table IV].
u8 Uart16550::pending_interrupt() const {
  if ((interrupt_enable_ & kIerLineStatus) && (line_status_ & kLsrErrors)) return kIirLineStatus;
  if ((interrupt_enable_ & kIerReceived) && received_.count >= receive_trigger()) return kIirReceived;
  if ((interrupt_enable_ & kIerReceived) && timeout_pending_) return kIirTimeout;
  if ((interrupt_enable_ & kIerTransmitEmpty) && transmit_empty_pending_) return kIirTransmitEmpty;
  if ((interrupt_enable_ & kIerModemStatus) && (modem_status_ & 0x0F)) return kIirModemStatus;
  return kIirNone;
}

void Uart16550::update_interrupt() { irq_.set(pending_interrupt() != kIirNone); }

void Uart16550::exchange(bus::Archive& archive) {
  archive.field("received", received_.bytes);
  archive.field("received_first", received_.first);
  archive.field("received_count", received_.count);
  archive.field("transmit", transmit_.bytes);
  archive.field("transmit_first", transmit_.first);
  archive.field("transmit_count", transmit_.count);
  archive.field("interrupt_enable", interrupt_enable_);
  archive.field("fifo_control", fifo_control_);
  archive.field("line_control", line_control_);
  archive.field("modem_control", modem_control_);
  archive.field("line_status", line_status_);
  archive.field("modem_status", modem_status_);
  archive.field("scratch", scratch_);
  archive.field("divisor", divisor_);
  archive.field("transmit_empty_pending", transmit_empty_pending_);
  archive.field("timeout_pending", timeout_pending_);
  if (!archive.loading()) return;
  for (Fifo* fifo : {&received_, &transmit_}) {
    fifo->first %= kFifoDepth;
    fifo->count = std::min<u8>(fifo->count, kFifoDepth);
  }
  if (received_.count > 0) arm_timeout();
  if (transmit_.count > 0) flush_transmit();
  update_interrupt();
}

}  // namespace xm::devices
