// SPDX-License-Identifier: GPL-2.0-or-later
// `xiaoma img`: makes, examines and changes disk images with qemu-img's words, texts and exit codes.
#pragma once

#include <string>
#include <vector>

namespace xm::cli {

int img_verb(const std::vector<std::string>& words);

}  // namespace xm::cli
