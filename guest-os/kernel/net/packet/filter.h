// SPDX-License-Identifier: GPL-2.0-or-later
// Socket filters: programs of the classic BPF machine that look at a packet and say how much of it a socket gets.
#pragma once

#include "kernel/net/sock.h"

namespace xm::os {

struct sock_filter {
  u16 code;
  u8 jt, jf;
  u32 k;
};
struct sk_filter {
  u32 length;
  sock_filter code[];
};

// A checked copy. -EINVAL: it could run past its end, off the scratch memory, or has an unknown instruction.
Result<sk_filter*> sk_filter_create(const sock_filter* code, u32 length);
u32 sk_filter_run(const sk_filter* f, const sk_buff* skb);
int sk_attach_filter(sock* sk, u64 user, u32 length);  // SO_ATTACH_FILTER
int sk_detach_filter(sock* sk);

}  // namespace xm::os
