// SPDX-License-Identifier: GPL-2.0-or-later
// The monitor console: one line in, text out, with the words people know from QEMU's. Runs on the machine thread with
// the machine lock held; line editing is the little that a raw terminal needs.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "devices/char/char_backend.h"
#include "emu/machine/machine.h"

namespace xm::monitor {

class Monitor;

// One command: its words, what it takes, what it does. The table is in commands.cc.
struct Command {
  std::string_view name;
  std::string_view arguments;
  std::string_view help;
  std::string (*run)(machine::Machine& machine, const std::vector<std::string>& words);
};

// The answer to one command line ("" for an empty line).
std::string execute(machine::Machine& machine, std::string_view line);
// What the screen shows, into a file; image_format is png, ppm or empty (by the name).
Result<void> screenshot_to(machine::Machine& machine, const std::string& file, const std::string& image_format);
// Commands (or `info` topics) that begin with `prefix`.
std::vector<std::string> complete(std::string_view prefix);

// A monitor on a character device.
class Monitor final : public devices::CharFrontend {
 public:
  Monitor(machine::Machine& machine, devices::CharBackend& port);
  ~Monitor();

  std::size_t can_receive() override { return 256; }
  void receive(std::span<const u8> bytes) override;
  void event(devices::CharEvent event) override;
  void writable() override { flush(); }

 private:
  void key(u8 byte);
  void escape_sequence(u8 byte);
  void run_line();
  void complete_word();
  void recall(int direction);
  void redraw(const std::string& line);
  void print(std::string_view text);
  void flush();

  machine::Machine& machine_;
  devices::CharBackend& port_;
  std::string line_;
  std::string pending_output_;
  std::deque<std::string> history_;
  std::size_t history_at_ = 0;
  int escape_state_ = 0;
};

}  // namespace xm::monitor
