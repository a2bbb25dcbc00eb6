// SPDX-License-Identifier: GPL-2.0-or-later
// FdStream: buffered, never blocking byte traffic on one host descriptor for the character back ends. Reading pauses
// while the device takes nothing; writing queues what the descriptor does not take at once.
// Machine thread, or any thread with the machine lock.
#pragma once

#include <deque>
#include <functional>
#include <span>

#include "emu/host/event_loop.h"

namespace xm::host {

class FdStream {
 public:
  struct Callbacks {
    std::function<std::size_t()> can_read;              // bytes the reader takes right now
    std::function<void(std::span<const u8>)> readable;  // at most that many
    std::function<void()> drained;                      // the queue has room again after write() took only a part
    std::function<void()> closed;                       // end of file or error; the stream is detached already
  };
  // Does not own the descriptors; input or output may be -1.
  FdStream(EventLoop& loop, int input, int output, Callbacks callbacks);
  ~FdStream();
  FdStream(const FdStream&) = delete;
  FdStream& operator=(const FdStream&) = delete;

  std::size_t write(std::span<const u8> bytes);
  // can_read() may have grown.
  void resume_reading();

 private:
  static constexpr std::size_t kQueueLimit = 64 * 1024;
  void watch();
  void on_ready(u32 events);
  void read_some();
  void flush();
  void close();

  EventLoop& loop_;
  int input_;
  int output_;
  Callbacks callbacks_;
  std::deque<u8> queue_;
  bool refused_ = false;
  u32 input_events_ = 0;
  u32 output_events_ = 0;
};

}  // namespace xm::host
