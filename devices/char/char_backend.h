// SPDX-License-Identifier: GPL-2.0-or-later
// What stands behind a byte-stream device (a UART, the debug console, a virtio console port): a terminal, a file, a
// socket. The device implements CharFrontend, the host side CharBackend. Neither ever blocks: a side that can take no
// more says so by a count and calls back when it can.
//
// Threads: every call in both directions is made with the machine lock held. A back end therefore only queues bytes in
// write() and moves them to the host from its own thread.
#pragma once

#include <cstddef>
#include <span>

#include "emu/base/types.h"

namespace xm::devices {

enum class CharEvent : u8 {
  Opened,  // a peer is there (a socket was accepted, the terminal is attached)
  Closed,  // the peer went away; bytes written now are dropped by the back end
  Break,   // the peer sent a break condition
};

// The device side.
class CharFrontend {
 public:
  // Number of bytes receive() takes right now.
  virtual std::size_t can_receive() = 0;
  // At most can_receive() bytes.
  virtual void receive(std::span<const u8> bytes) = 0;
  virtual void event(CharEvent event) = 0;
  // The back end accepts bytes again after a write() that it took only in part.
  virtual void writable() = 0;

 protected:
  ~CharFrontend() = default;
};

// Line settings that a guest programs into a UART; back ends that own a real line may follow them.
struct LineSettings {
  u32 baud = 9600;
  u8 data_bits = 8;
  u8 stop_bits = 1;
  char parity = 'N';  // N, O, E, M, S
};

// The host side.
class CharBackend {
 public:
  virtual ~CharBackend() = default;
  // The one front end that hears of input; null detaches. An already open peer is reported by an Opened event.
  virtual void attach(CharFrontend* frontend) = 0;
  // Takes a prefix of `bytes` and returns its length. If that is not all, writable() follows.
  virtual std::size_t write(std::span<const u8> bytes) = 0;
  // can_receive() has become non-zero: the back end may resume reading.
  virtual void receive_ready() {}
  virtual void set_line(const LineSettings&) {}
  virtual void set_break(bool) {}
  // Modem outputs of the UART.
  virtual void set_modem(bool /*dtr*/, bool /*rts*/) {}
};

// Swallows output, never sends: `-serial null`.
class NullCharBackend final : public CharBackend {
 public:
  void attach(CharFrontend*) override {}
  std::size_t write(std::span<const u8> bytes) override { return bytes.size(); }
};

}  // namespace xm::devices
