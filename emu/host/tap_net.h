// SPDX-License-Identifier: GPL-2.0-or-later
// TAP back end: an Ethernet interface of the host kernel [Linux Documentation/networking/tuntap.rst], with checksum and
// segmentation offload by virtio headers where the kernel has them.
#pragma once

#include <memory>
#include <string>

#include "devices/net/net_backend.h"
#include "emu/base/result.h"
#include "emu/host/event_loop.h"

namespace xm::host {

struct TapOptions {
  std::string interface;  // ifname=; empty: the kernel chooses tapN
  int fd = -1;            // fd=: an open TAP descriptor, owned from here on
  std::string script;     // run as `script IFNAME` after opening; empty or "no": none
  std::string down_script;
  bool vnet_header = true;
};

Result<std::unique_ptr<devices::NetBackend>> open_tap(const TapOptions& options, EventLoop& loop);

}  // namespace xm::host
