// SPDX-License-Identifier: GPL-2.0-or-later
// The host's terminal as a character device: raw mode, restored on every way out (return, exit(), signals, crash), and
// the multiplexer of `mon:stdio` with QEMU's Ctrl-A keys: x quits, c switches between the serial port and the monitor,
// h helps, b sends a break, Ctrl-A sends itself.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "devices/char/char_backend.h"
#include "emu/host/fd_stream.h"

namespace xm::host {

// Raw mode of the controlling terminal on standard input; does nothing if that is no terminal. Process-wide by nature.
class RawTerminal {
 public:
  // keep_signals: Ctrl-C and Ctrl-Z still make signals (plain -serial stdio).
  static void enter(bool keep_signals);
  static void restore();
};

class TerminalMux {
 public:
  struct Actions {
    std::function<void()> quit;
  };
  // Reads standard input, writes standard output. With `escape` the Ctrl-A keys work.
  TerminalMux(EventLoop& loop, bool escape, Actions actions);
  ~TerminalMux();

  // The ends of the multiplexer: the serial port's and the monitor's back end. Both live as long as the mux.
  devices::CharBackend& serial();
  devices::CharBackend& monitor();

 private:
  class End;
  std::size_t can_read();
  void input(std::span<const u8> bytes);
  void deliver();
  void escape_key(u8 key);
  void print(const char* text);
  std::size_t output(std::span<const u8> bytes);

  Actions actions_;
  bool escape_;
  bool after_escape_ = false;
  static constexpr std::size_t kWaitingLimit = 4096;
  std::deque<u8> waiting_;  // typed, not yet taken by the device in focus
  std::unique_ptr<End> serial_;
  std::unique_ptr<End> monitor_;
  End* focus_;
  std::unique_ptr<FdStream> stream_;
};

}  // namespace xm::host
