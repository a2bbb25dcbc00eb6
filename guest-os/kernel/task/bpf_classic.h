// SPDX-License-Identifier: GPL-2.0-or-later
// Classic BPF, the language of seccomp filters and of socket filters. [Linux Documentation/networking/filter]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

struct sock_filter {
  u16 code;
  u8 jt, jf;
  u32 k;
};
constexpr u32 BPF_MAXINSNS = 4096;

// Would the program run to a return whatever the data: known instructions, jumps forward and inside, no division by the
// constant zero, scratch words within bounds. `data_size` bounds absolute loads (seccomp: words only); 0: any load.
bool bpf_check(const sock_filter* program, u32 length, u32 data_size);
// `packet` is not null for socket filters: loads are big-endian and out-of-range ones end the program with 0.
u32 bpf_run(const sock_filter* program, const void* data, u32 data_length, bool packet);

}  // namespace xm::os
