// SPDX-License-Identifier: GPL-2.0-or-later
// `xiaoma ctl SOCKET COMMAND...`: one command to a running machine's -monitor or -qmp socket.
#pragma once

#include <string>
#include <vector>

namespace xm::cli {

// SOCKET is a path, unix:PATH or tcp:HOST:PORT. COMMAND is a monitor line, or for a QMP socket also a QMP command with
// key=value words or a JSON object. Prints the answer. Exit status 0; 1 if the machine answered with an error; 125.
int ctl(const std::vector<std::string>& words);

}  // namespace xm::cli
