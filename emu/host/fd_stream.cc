// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/fd_stream.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace xm::host {

FdStream::FdStream(EventLoop& loop, int input, int output, Callbacks callbacks)
    : loop_(loop), input_(input), output_(output), callbacks_(std::move(callbacks)) {
  watch();
}

FdStream::~FdStream() { close(); }

void FdStream::close() {
  if (input_ >= 0 && input_events_ != 0) loop_.remove_fd(input_);
  if (output_ >= 0 && output_ != input_ && output_events_ != 0) loop_.remove_fd(output_);
  input_ = output_ = -1;
  input_events_ = output_events_ = 0;
}

// Registers exactly the events somebody can act on, so that a paused direction does not spin the loop.
void FdStream::watch() {
  u32 input_wanted = input_ >= 0 && callbacks_.can_read() > 0 ? EventLoop::kReadable : 0;
  u32 output_wanted = output_ >= 0 && !queue_.empty() ? EventLoop::kWritable : 0;
  if (input_ == output_) {
    input_wanted |= output_wanted;
    output_wanted = 0;
  }
  const auto apply = [this](int fd, u32& current, u32 wanted) {
    if (fd < 0 || current == wanted) return;
    if (wanted == 0)
      loop_.remove_fd(fd);
    else if (current == 0)
      loop_.add_fd(fd, wanted, [this](u32 events) { on_ready(events); });
    else
      loop_.modify_fd(fd, wanted);
    current = wanted;
  };
  apply(input_, input_events_, input_wanted);
  apply(output_, output_events_, output_wanted);
}

void FdStream::on_ready(u32 events) {
  if ((events & EventLoop::kWritable) != 0) flush();
  if (input_ >= 0 && (events & (EventLoop::kReadable | EventLoop::kHangup | EventLoop::kError)) != 0) read_some();
  watch();
}

void FdStream::read_some() {
  std::array<u8, 4096> buffer;
  const std::size_t room = std::min(buffer.size(), callbacks_.can_read());
  if (room == 0) return;
  pollfd ready{.fd = input_, .events = POLLIN, .revents = 0};
  if (::poll(&ready, 1, 0) <= 0) return;
  const ssize_t count = ::read(input_, buffer.data(), room);
  if (count > 0) {
    callbacks_.readable({buffer.data(), static_cast<std::size_t>(count)});
  } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
    // The end of a separate input says nothing about the output.
    if (input_ == output_) {
      close();
    } else {
      if (input_events_ != 0) loop_.remove_fd(input_);
      input_ = -1;
      input_events_ = 0;
    }
    callbacks_.closed();
  }
}

void FdStream::flush() {
  while (!queue_.empty() && output_ >= 0) {
    pollfd ready{.fd = output_, .events = POLLOUT, .revents = 0};
    if (::poll(&ready, 1, 0) <= 0) break;
    std::array<u8, 512> chunk;  // small enough that a writable terminal or pipe takes it without blocking
    const std::size_t length = std::min(chunk.size(), queue_.size());
    std::copy_n(queue_.begin(), length, chunk.begin());
    const ssize_t count = ::write(output_, chunk.data(), length);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (count < 0) {  // the reader is gone: what it did not take is lost, the guest goes on
      queue_.clear();
      break;
    }
    queue_.erase(queue_.begin(), queue_.begin() + count);
  }
  if (refused_ && queue_.size() < kQueueLimit / 2) {
    refused_ = false;
    callbacks_.drained();
  }
}

std::size_t FdStream::write(std::span<const u8> bytes) {
  if (output_ < 0) return bytes.size();
  const std::size_t taken = std::min(bytes.size(), kQueueLimit - std::min(kQueueLimit, queue_.size()));
  queue_.insert(queue_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(taken));
  refused_ = taken < bytes.size();
  if (output_events_ == 0 || input_ == output_) flush();
  watch();
  return taken;
}

void FdStream::resume_reading() { watch(); }

}  // namespace xm::host
