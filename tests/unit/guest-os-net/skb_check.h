// SPDX-License-Identifier: GPL-2.0-or-later
// Checks of socket buffers and netlink attributes that need the kernel's headers; each returns what is wrong, or
// nothing.
#pragma once

#include <cstdint>
#include <string>

namespace hostnet {

std::string check_skb_operations(uint32_t seed);  // random operations against a plain copy of the bytes
std::string check_gso(uint32_t seed);             // segments carry the bytes, with right lengths and sums
std::string check_attributes(uint32_t seed);      // random bytes as attributes: nothing outside of them is reported

}  // namespace hostnet
