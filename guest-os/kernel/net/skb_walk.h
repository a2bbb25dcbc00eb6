// SPDX-License-Identifier: GPL-2.0-or-later
// The bytes of a socket buffer piece by piece: linear area, page fragments, and the buffers of the frag_list.
#pragma once

#include "kernel/lib/result.h"
#include "kernel/mm/page.h"
#include "kernel/net/skbuff.h"

namespace xm::os {

inline u8* skb_frag_address(const skb_frag_t& f) { return static_cast<u8*>(page_to_virt(f.frag_page)) + f.offset; }

// Calls visit(u8* bytes, u32 n) for `length` bytes from `offset` on, until one does not return 0. -EFAULT: past the
// end.
template <class Visit>
int skb_walk(const sk_buff* skb, u32 offset, u32 length, Visit&& visit) {
  if (offset > skb->len || length > skb->len - offset) return -EFAULT;
  const u32 head = skb_headlen(skb);
  if (offset < head && length > 0) {
    const u32 n = min(length, head - offset);
    TRY_INT(visit(skb->data + offset, n));
    length -= n;
    offset += n;
  }
  offset -= head;
  const skb_shared_info* info = skb_shinfo(skb);
  for (u32 i = 0; i < info->nr_frags && length > 0; ++i) {
    const skb_frag_t& f = info->frags[i];
    if (offset >= f.size) {
      offset -= f.size;
      continue;
    }
    const u32 n = min(length, f.size - offset);
    TRY_INT(visit(skb_frag_address(f) + offset, n));
    length -= n;
    offset = 0;
  }
  for (const sk_buff* s = info->frag_list; s != nullptr && length > 0; s = s->next) {
    if (offset >= s->len) {
      offset -= s->len;
      continue;
    }
    const u32 n = min(length, s->len - offset);
    TRY_INT(skb_walk(s, offset, n, visit));
    length -= n;
    offset = 0;
  }
  return length == 0 ? 0 : -EFAULT;
}

}  // namespace xm::os
