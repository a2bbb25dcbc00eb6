// SPDX-License-Identifier: GPL-2.0-or-later
// NetHub: an Ethernet hub: what comes in at one port goes out at all others. Cards and back ends are plugged in; the
// `-net` options share hub 0. Frames pass whole: nobody on a hub leaves checksums or segmentation to somebody else.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "devices/net/net_backend.h"

namespace xm::devices {

class NetHub {
 public:
  // A port for a card: the card's back end. Belongs to the hub.
  NetBackend& add_card_port();
  // Plugs in a back end, which must outlive the hub.
  void add_backend(NetBackend& backend);

 private:
  class CardPort;
  class BackendPort;
  // `from` is the port it came in at.
  void spread(const NetFrame& frame, const void* from);

  std::vector<std::unique_ptr<CardPort>> cards_;
  std::vector<std::unique_ptr<BackendPort>> backends_;

 public:
  NetHub();
  ~NetHub();
};

}  // namespace xm::devices
