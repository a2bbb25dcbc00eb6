// SPDX-License-Identifier: GPL-2.0-or-later
// filter-dump: writes every frame that passes between a card and its back end to a file in pcap format (magic
// 0xA1B2C3D4, version 2.4, Ethernet), which tcpdump and Wireshark read. Frames are written as the card and the back end
// see them: with checksum offload the checksum may still be missing, with segmentation offload frames are long.
#pragma once

#include <memory>
#include <string>

#include "devices/net/net_backend.h"
#include "emu/base/result.h"

namespace xm::host {

struct DumpOptions {
  std::string file;
  u32 max_bytes = 65536;  // of each frame
};

// The card's new back end; `inner` must outlive it.
Result<std::unique_ptr<devices::NetBackend>> open_dump(const DumpOptions& options, devices::NetBackend& inner);

}  // namespace xm::host
