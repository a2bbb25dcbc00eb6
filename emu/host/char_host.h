// SPDX-License-Identifier: GPL-2.0-or-later
// Character back ends other than the terminal: an output file, a pseudo-terminal, a TCP or Unix socket.
#pragma once

#include <memory>
#include <string>

#include "devices/char/char_backend.h"
#include "emu/base/result.h"
#include "emu/host/event_loop.h"

namespace xm::host {

// Writes to `path` (truncated); gives no input.
Result<std::unique_ptr<devices::CharBackend>> open_file_char(const std::string& path);

// A new pseudo-terminal; `name` receives its path, which the caller tells the user.
Result<std::unique_ptr<devices::CharBackend>> open_pty_char(EventLoop& loop, std::string& name);

struct SocketAddress {
  std::string unix_path;  // if not empty, a Unix socket
  std::string host;
  u16 port = 0;
};
// server: listens and serves one peer after another; wait: blocks here until the first one is there.
Result<std::unique_ptr<devices::CharBackend>> open_socket_char(EventLoop& loop, const SocketAddress& address,
                                                               bool server, bool wait);

}  // namespace xm::host
