// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/monitor/monitor.h"

namespace xm::monitor {

namespace {
constexpr std::string_view kPrompt = "(xiaoma) ";
}

Monitor::Monitor(machine::Machine& machine, devices::CharBackend& port) : machine_(machine), port_(port) {
  port_.attach(this);
}

Monitor::~Monitor() { port_.attach(nullptr); }

void Monitor::event(devices::CharEvent event) {
  if (event != devices::CharEvent::Opened) return;
  line_.clear();
  // The multiplexed terminal shows the prompt itself when the user switches to the monitor.
  if (machine_.config().monitor) print(kPrompt);
}

void Monitor::receive(std::span<const u8> bytes) {
  for (const u8 byte : bytes) key(byte);
}

void Monitor::key(u8 byte) {
  if (escape_state_ != 0) return escape_sequence(byte);
  switch (byte) {
    case 0x1B: escape_state_ = 1; break;
    case '\r':
    case '\n': run_line(); break;
    case 0x7F:
    case 0x08:
      if (line_.empty()) break;
      line_.pop_back();
      print("\b \b");
      break;
    case 0x15: redraw(""); break;  // Ctrl-U
    case '\t': complete_word(); break;
    default:
      if (byte >= 0x20) {
        line_ += static_cast<char>(byte);
        print({reinterpret_cast<const char*>(&byte), 1});
      }
  }
}

// ESC [ A and B: the history.
void Monitor::escape_sequence(u8 byte) {
  if (escape_state_ == 1 && byte == '[') {
    escape_state_ = 2;
    return;
  }
  if (escape_state_ == 2 && byte == 'A') recall(-1);
  if (escape_state_ == 2 && byte == 'B') recall(1);
  escape_state_ = 0;
}

void Monitor::recall(int direction) {
  if (direction < 0 && history_at_ > 0)
    history_at_--;
  else if (direction > 0 && history_at_ < history_.size())
    history_at_++;
  else
    return;
  redraw(history_at_ < history_.size() ? history_[history_at_] : "");
}

void Monitor::redraw(const std::string& line) {
  line_ = line;
  print("\r\033[K");
  print(kPrompt);
  print(line_);
}

void Monitor::complete_word() {
  const std::vector<std::string> candidates = complete(line_);
  if (candidates.size() == 1) return redraw(candidates.front() + " ");
  if (candidates.empty()) return;
  std::string list = "\r\n";
  for (const std::string& candidate : candidates) list += candidate + "  ";
  print(list + "\r\n");
  redraw(line_);
}

void Monitor::run_line() {
  print("\r\n");
  const std::string line = std::move(line_);
  line_.clear();
  if (!line.empty()) {
    if (history_.empty() || history_.back() != line) history_.push_back(line);
    if (history_.size() > 100) history_.pop_front();
  }
  history_at_ = history_.size();
  std::string answer = execute(machine_, line);
  if (!answer.empty() && answer.back() != '\n') answer += '\n';
  print(answer);
  print(kPrompt);
}

void Monitor::print(std::string_view text) {
  for (const char c : text) {
    if (c == '\n' && (pending_output_.empty() || pending_output_.back() != '\r')) pending_output_ += '\r';
    pending_output_ += c;
  }
  flush();
}

void Monitor::flush() {
  const std::size_t taken = port_.write({reinterpret_cast<const u8*>(pending_output_.data()), pending_output_.size()});
  pending_output_.erase(0, taken);
}

}  // namespace xm::monitor
