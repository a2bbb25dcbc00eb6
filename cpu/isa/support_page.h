// SPDX-License-Identifier: GPL-2.0-or-later
// The page of supported instructions (docs/isa-support.md), generated from the instruction table.
#pragma once

#include <string>

namespace xm::cpu {

// Markdown: one section per CPUID feature, one line per Operation with its encodings.
std::string support_page();

}  // namespace xm::cpu
