// SPDX-License-Identifier: GPL-2.0-or-later
// Networks over host sockets, to join virtual machines: -netdev socket, stream and dgram. Frames on a byte stream are
// preceded by their length, 32 bits big-endian; a datagram is a frame. Both are as QEMU's, so its machines can be
// joined too. Runs wholly on the machine thread.
#pragma once

#include <memory>
#include <string>

#include "devices/net/net_backend.h"
#include "emu/base/result.h"
#include "emu/host/event_loop.h"

namespace xm::host {

// Where a socket is: "host:port" (IPv4 or IPv6 by name or number; an empty host means all or the loopback), or a path.
struct SocketPlace {
  bool unix_path = false;
  std::string host;  // or the path
  std::string port;
  std::string text() const { return unix_path ? host : host + ":" + port; }
};

struct StreamNetOptions {
  bool server = false;
  SocketPlace place;
  int fd = -1;                     // an open stream socket instead
  unsigned reconnect_seconds = 0;  // clients: try again after this time; 0: never
};
// A server waits for one peer at a time; frames go nowhere until it comes. A client without reconnect must find its
// server now.
Result<std::unique_ptr<devices::NetBackend>> open_stream_net(const StreamNetOptions& options, EventLoop& loop);

struct DatagramNetOptions {
  SocketPlace local;       // where frames come in; for multicast the interface's address, if any
  SocketPlace remote;      // where they go
  bool multicast = false;  // remote is a group, which is joined
};
Result<std::unique_ptr<devices::NetBackend>> open_datagram_net(const DatagramNetOptions& options, EventLoop& loop);

// "host:port", ":port"; an error names `option`.
Result<SocketPlace> parse_socket_place(const std::string& text, const std::string& option);

}  // namespace xm::host
