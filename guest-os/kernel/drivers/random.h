// SPDX-License-Identifier: GPL-2.0-or-later
// Random numbers: a ChaCha20 generator seeded from RDRAND where there is one, the clock, and what drivers add.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

void random_init();
void get_random_bytes(void* to, size_t n);
u64 get_random_u64();
void add_entropy(const void* bytes, size_t n);

}  // namespace xm::os
