// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/terminal.h"

#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>

namespace xm::host {

namespace {

// The terminal belongs to the process, and a signal handler must reach it: the one place with process-wide state.
termios g_saved_termios;
std::atomic<bool> g_raw{false};

void restore_on_signal(int signal) {
  RawTerminal::restore();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

}  // namespace

void RawTerminal::enter(bool keep_signals) {
  if (g_raw.load() || ::isatty(STDIN_FILENO) == 0 || ::tcgetattr(STDIN_FILENO, &g_saved_termios) != 0) return;
  termios raw = g_saved_termios;
  raw.c_iflag &= ~static_cast<tcflag_t>(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
  raw.c_oflag |= OPOST;
  raw.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | IEXTEN);
  if (!keep_signals) raw.c_lflag &= ~static_cast<tcflag_t>(ISIG);
  raw.c_cflag = (raw.c_cflag & ~static_cast<tcflag_t>(CSIZE | PARENB)) | CS8;
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  g_raw.store(true);
  std::atexit(&RawTerminal::restore);
  // Crashes too leave the terminal as it was found; orderly signals are the machine's (they end its loop first).
  for (const int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT}) {
    struct sigaction action {};
    action.sa_handler = restore_on_signal;
    ::sigaction(number, &action, nullptr);
  }
  ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

void RawTerminal::restore() {
  if (g_raw.exchange(false)) ::tcsetattr(STDIN_FILENO, TCSANOW, &g_saved_termios);
}

// One of the two devices that share the terminal.
class TerminalMux::End final : public devices::CharBackend {
 public:
  explicit End(TerminalMux& mux) : mux_(mux) {}
  void attach(devices::CharFrontend* frontend) override {
    frontend_ = frontend;
    if (frontend_ != nullptr) {
      frontend_->event(devices::CharEvent::Opened);
      receive_ready();
    }
  }
  std::size_t write(std::span<const u8> bytes) override { return mux_.output(bytes); }
  void receive_ready() override {
    if (mux_.stream_ == nullptr) return;
    if (mux_.focus_ == this) mux_.deliver();
    mux_.stream_->resume_reading();
  }
  devices::CharFrontend* frontend() { return frontend_; }

 private:
  TerminalMux& mux_;
  devices::CharFrontend* frontend_ = nullptr;
};

TerminalMux::TerminalMux(EventLoop& loop, bool escape, Actions actions)
    : actions_(std::move(actions)),
      escape_(escape),
      serial_(std::make_unique<End>(*this)),
      monitor_(std::make_unique<End>(*this)),
      focus_(serial_.get()) {
  RawTerminal::enter(!escape);
  stream_ =
      std::make_unique<FdStream>(loop, STDIN_FILENO, STDOUT_FILENO,
                                 FdStream::Callbacks{.can_read = [this] { return can_read(); },
                                                     .readable = [this](std::span<const u8> bytes) { input(bytes); },
                                                     .drained =
                                                         [this] {
                                                           for (End* end : {serial_.get(), monitor_.get()}) {
                                                             if (end->frontend() != nullptr)
                                                               end->frontend()->writable();
                                                           }
                                                         },
                                                     .closed = [] {}});
}

devices::CharBackend& TerminalMux::serial() { return *serial_; }
devices::CharBackend& TerminalMux::monitor() { return *monitor_; }

TerminalMux::~TerminalMux() { RawTerminal::restore(); }

// What the device does not take yet waits here, so that Ctrl-A gets through to a guest that reads nothing.
std::size_t TerminalMux::can_read() { return kWaitingLimit - std::min(kWaitingLimit, waiting_.size()); }

void TerminalMux::input(std::span<const u8> bytes) {
  constexpr u8 kEscape = 1;  // Ctrl-A
  for (const u8 byte : bytes) {
    if (escape_ && after_escape_) {
      after_escape_ = false;
      if (byte != kEscape) {
        escape_key(byte);
        continue;
      }
    } else if (escape_ && byte == kEscape) {
      after_escape_ = true;
      continue;
    }
    waiting_.push_back(byte);
    deliver();
  }
}

void TerminalMux::deliver() {
  devices::CharFrontend* frontend = focus_->frontend();
  while (frontend != nullptr && !waiting_.empty() && frontend->can_receive() > 0) {
    const u8 byte = waiting_.front();
    waiting_.pop_front();
    frontend->receive({&byte, 1});
  }
}

void TerminalMux::escape_key(u8 key) {
  switch (key) {
    case 'x':
      print("xiaoma: terminated\r\n");
      actions_.quit();
      break;
    case 'c':
      waiting_.clear();  // typed for the other one
      focus_ = focus_ == serial_.get() ? monitor_.get() : serial_.get();
      if (focus_ == monitor_.get()) print("\r\n(xiaoma) ");
      break;
    case 'b':
      if (focus_->frontend() != nullptr) focus_->frontend()->event(devices::CharEvent::Break);
      break;
    case 'h':
    case '?':
      print(
          "\r\nC-a h    print this help\r\nC-a x    exit\r\nC-a c    switch between serial port and monitor\r\n"
          "C-a b    send a break\r\nC-a C-a  send C-a\r\n");
      break;
    default: break;
  }
}

void TerminalMux::print(const char* text) { output({reinterpret_cast<const u8*>(text), std::strlen(text)}); }

std::size_t TerminalMux::output(std::span<const u8> bytes) {
  return stream_ != nullptr ? stream_->write(bytes) : bytes.size();
}

}  // namespace xm::host
