// SPDX-License-Identifier: GPL-2.0-or-later
// Compressed clusters: raw deflate with a 4 KiB window, or a zstd frame [QCOW2 Compressed Clusters Descriptor].
#pragma once

#include <span>
#include <vector>

#include "emu/host/qcow2/header.h"

namespace xm::host::qcow2 {

// Empty if the result would not be smaller than the input.
std::vector<u8> compress(Compression kind, std::span<const u8> cluster);
// Fills all of `to` from a stream that may be followed by other bytes; false if it is damaged or too short.
bool decompress(Compression kind, std::span<const u8> from, std::span<u8> to);

}  // namespace xm::host::qcow2
