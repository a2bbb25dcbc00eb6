// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace xm {

void check_failed(const char* file, int line, const char* what) {
  std::fprintf(stderr, "xiaoma: internal error: %s:%d: check failed: %s\n", file, line, what);
  std::abort();
}

}  // namespace xm
