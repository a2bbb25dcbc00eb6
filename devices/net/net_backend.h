// SPDX-License-Identifier: GPL-2.0-or-later
// NetBackend: the host side of a network card; NetReceiver: the card's side. Frames are Ethernet frames without FCS.
//
// Contract: all calls are made with the machine lock held. send() copies or transmits before it returns. deliver goes
// the other way through NetReceiver::receive, from the machine thread. A receiver that is full says so by
// can_receive(); the back end keeps what it has (or drops, if it can not hold it) until receiver_ready().
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "emu/base/types.h"

namespace xm::devices {

using MacAddress = std::array<u8, 6>;

// What is left to do on a frame: checksum and segmentation, in the layout of [VIRTIO 5.1.6] (and of Linux's TAP).
struct VnetHeader {
  static constexpr u8 kNeedsChecksum = 1, kDataValid = 2;                                     // flags
  static constexpr u8 kGsoNone = 0, kGsoTcp4 = 1, kGsoUdp = 3, kGsoTcp6 = 4, kGsoEcn = 0x80;  // gso_type
  u8 flags = 0;
  u8 gso_type = kGsoNone;
  u16 header_length = 0;
  u16 gso_size = 0;
  u16 checksum_start = 0;
  u16 checksum_offset = 0;
};
static_assert(sizeof(VnetHeader) == 10);

// Work a side is willing to take over, i.e. which VnetHeaders it accepts.
struct NetOffload {
  bool checksum = false;
  bool tso4 = false;
  bool tso6 = false;
  bool ecn = false;
  bool ufo = false;
};

struct NetFrame {
  VnetHeader header;
  std::span<const std::span<u8>> parts;  // the frame, in pieces

  u64 size_bytes() const {
    u64 total = 0;
    for (const std::span<u8> part : parts) total += part.size();
    return total;
  }
};

class NetReceiver {
 public:
  virtual bool can_receive() = 0;
  // False if the frame could not be taken (no buffers): the back end may offer it again after receiver_ready().
  virtual bool receive(const NetFrame& frame) = 0;
  virtual void link_changed(bool up) = 0;

 protected:
  ~NetReceiver() = default;
};

class NetBackend {
 public:
  virtual ~NetBackend() = default;
  virtual std::string description() const = 0;
  void attach(NetReceiver* receiver) { receiver_ = receiver; }

  // Frames from the guest. Headers ask for no more than offload() offers.
  virtual void send(const NetFrame& frame) = 0;
  // The receiver has room again.
  virtual void receiver_ready() {}
  // Which work the back end does for frames that are sent.
  virtual NetOffload offload() const { return {}; }
  // Which work the receiver does for frames it gets (may be left undone by the back end).
  virtual void set_receive_offload(const NetOffload& offload) { (void)offload; }

  // The cable. Frames stop in both directions while it is down.
  bool link_up() const { return link_up_; }
  void set_link(bool up) {
    if (link_up_ == up) return;
    link_up_ = up;
    if (receiver_ != nullptr) receiver_->link_changed(up);
  }

 protected:
  NetReceiver* receiver() const { return receiver_; }

 private:
  NetReceiver* receiver_ = nullptr;
  bool link_up_ = true;
};

}  // namespace xm::devices
