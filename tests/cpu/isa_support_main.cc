// SPDX-License-Identifier: GPL-2.0-or-later
// Prints docs/isa-support.md.
#include <cstdio>

#include "cpu/isa/support_page.h"

int main() {
  std::fputs(xm::cpu::support_page().c_str(), stdout);
  return 0;
}
