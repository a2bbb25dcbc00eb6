// SPDX-License-Identifier: GPL-2.0-or-later
// User-mode network: a small virtual LAN with DHCP, DNS and a router made of host sockets, by libslirp. Runs wholly on
// the machine thread: its sockets and timers are the event loop's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "devices/net/net_backend.h"
#include "emu/base/result.h"
#include "emu/host/event_loop.h"

namespace xm::host {

// One hostfwd=[tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport.
struct HostForward {
  bool udp = false;
  std::string host_address;  // empty: all
  u16 host_port = 0;
  std::string guest_address;  // empty: the first DHCP address
  u16 guest_port = 0;
};
Result<HostForward> parse_host_forward(const std::string& text);

struct UserNetOptions {
  std::string network = "10.0.2.0/24";  // net=addr[/mask]
  std::string host;                     // host=addr, default x.x.x.2
  std::string dns;                      // dns=addr, default x.x.x.3
  std::string dhcp_start;               // dhcpstart=addr, default x.x.x.15
  std::string hostname;
  std::string domain_name;
  std::string tftp;
  std::string boot_file;
  bool restricted = false;
  bool ipv6 = true;
  std::vector<HostForward> forwards;
};

class UserNet : public devices::NetBackend {
 public:
  static Result<std::unique_ptr<UserNet>> create(const UserNetOptions& options, EventLoop& loop);
  virtual Result<void> add_forward(const HostForward& forward) = 0;
  virtual Result<void> remove_forward(const HostForward& forward) = 0;
  // Text for `info usernet`.
  virtual std::string connections() = 0;
};

}  // namespace xm::host
