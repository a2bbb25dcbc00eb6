// SPDX-License-Identifier: GPL-2.0-or-later
// A device on a PS/2 cable, and the controller end of the cable. Bytes wait in the device until the controller fetches
// them.
#pragma once

#include <array>
#include <initializer_list>

#include "emu/bus/archive.h"

namespace xm::devices {

class Ps2Host {
 public:
  // The device has a byte to fetch.
  virtual void ps2_data_ready() = 0;

 protected:
  ~Ps2Host() = default;
};

class Ps2Device {
 public:
  virtual ~Ps2Device() = default;
  void attach(Ps2Host* host) { host_ = host; }
  bool has_byte() const { return count_ > 0; }
  // Only while has_byte().
  u8 pop() {
    const u8 byte = queue_[first_];
    first_ = static_cast<u8>((first_ + 1) % kQueueBytes);
    count_--;
    last_sent_ = byte;
    return byte;
  }
  // A byte from the host: a command or its argument.
  virtual void command(u8 byte) = 0;

 protected:
  static constexpr unsigned kQueueBytes = 64;

  unsigned room() const { return kQueueBytes - count_; }
  void clear_queue() { first_ = count_ = 0; }
  // Queues what belongs together; what does not fit is lost.
  void queue(std::initializer_list<u8> bytes) {
    for (const u8 byte : bytes) {
      if (count_ < kQueueBytes) queue_[(first_ + count_++) % kQueueBytes] = byte;
    }
    if (host_ != nullptr) host_->ps2_data_ready();
  }
  void queue(u8 byte) { queue({byte}); }
  u8 last_sent() const { return last_sent_; }
  void exchange_queue(bus::Archive& archive) {
    archive.field("queue", queue_);
    archive.field("first", first_);
    archive.field("count", count_);
    archive.field("last_sent", last_sent_);
    first_ %= kQueueBytes;
    if (count_ > kQueueBytes) count_ = kQueueBytes;
  }

 private:
  Ps2Host* host_ = nullptr;
  std::array<u8, kQueueBytes> queue_{};
  u8 first_ = 0;
  u8 count_ = 0;
  u8 last_sent_ = 0;
};

}  // namespace xm::devices
