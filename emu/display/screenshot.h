// SPDX-License-Identifier: GPL-2.0-or-later
// Screenshots: a Surface as a PNG (by libpng) or, for names that end in .ppm, a portable pixmap.
#pragma once

#include <string>

#include "devices/display/surface.h"
#include "emu/base/result.h"

namespace xm::display {

Result<void> write_screenshot(const devices::Surface& surface, const std::string& path, bool portable_pixmap);

}  // namespace xm::display
