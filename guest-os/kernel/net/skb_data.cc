// SPDX-License-Identifier: GPL-2.0-or-later
// The bytes of a socket buffer: put, push, pull and trim; making paged bytes linear; copies in and out.
#include "kernel/fs/iov_iter.h"
#include "kernel/init/printk.h"
#include "kernel/lib/string.h"
#include "kernel/net/skb_walk.h"

namespace xm::os {

void skb_reserve(sk_buff* skb, u32 n) {
  skb->data += n;
  skb->tail += n;
}

u8* skb_put(sk_buff* skb, u32 n) {
  u8* at = skb_tail_pointer(skb);
  BUG_ON(skb->data_len != 0 || n > skb->end - skb->tail);
  skb->tail += n;
  skb->len += n;
  return at;
}

u8* skb_push(sk_buff* skb, u32 n) {
  BUG_ON(n > skb_headroom(skb));
  skb->data -= n;
  skb->len += n;
  return skb->data;
}

namespace {

// Takes n bytes off the front of the paged part, linear bytes having been dealt with.
void eat_paged(sk_buff* skb, u32 n);

// Takes n bytes off the front of a member of a frag_list.
void eat_front(sk_buff* s, u32 n) {
  const u32 linear = min(n, skb_headlen(s));
  s->data += linear;
  s->len -= linear;
  if (n > linear) eat_paged(s, n - linear);
}

void eat_paged(sk_buff* skb, u32 n) {
  skb_shared_info* info = skb_shinfo(skb);
  skb->data_len -= n;
  skb->len -= n;
  u32 kept = 0;
  for (u32 i = 0; i < info->nr_frags; ++i) {
    skb_frag_t f = info->frags[i];
    if (n >= f.size) {
      n -= f.size;
      put_page(f.frag_page);
      continue;
    }
    f.offset += n;
    f.size -= n;
    n = 0;
    info->frags[kept++] = f;
  }
  info->nr_frags = static_cast<u8>(kept);
  while (n > 0 && info->frag_list != nullptr) {
    sk_buff* s = info->frag_list;
    if (n < s->len) {
      eat_front(s, n);
      return;
    }
    n -= s->len;
    info->frag_list = s->next;
    s->next = nullptr;
    consume_skb(s);
  }
}

// Makes members of the frag_list private, so that their positions may change.
bool own_frag_list(sk_buff* skb) {
  for (sk_buff** at = &skb_shinfo(skb)->frag_list; *at != nullptr; at = &(*at)->next) {
    sk_buff* s = *at;
    if (skb_shared(s) || skb_cloned(s)) {
      sk_buff* own = pskb_copy(s, GFP_ATOMIC);
      if (own == nullptr) return false;
      own->next = s->next;
      s->next = nullptr;
      consume_skb(s);
      *at = own;
    }
    if (skb_shinfo(*at)->frag_list != nullptr && !own_frag_list(*at)) return false;
  }
  return true;
}

// Moves n bytes of the paged part to the end of the linear one.
bool pull_tail(sk_buff* skb, u32 n) {
  const u32 room = skb->end - skb->tail;
  if ((room < n || skb_cloned(skb)) && pskb_expand_head(skb, 0, room < n ? n - room + 128 : 0, GFP_ATOMIC) != 0)
    return false;
  if (!own_frag_list(skb)) return false;
  if (skb_copy_bits(skb, skb_headlen(skb), skb_tail_pointer(skb), n) != 0) return false;
  eat_paged(skb, n);
  skb->tail += n;
  skb->len += n;
  return true;
}

}  // namespace

bool pskb_may_pull(sk_buff* skb, u32 n) {
  if (likely(n <= skb_headlen(skb))) return true;
  return n <= skb->len && pull_tail(skb, n - skb_headlen(skb));
}

u8* skb_pull(sk_buff* skb, u32 n) {
  if (!pskb_may_pull(skb, n)) return nullptr;
  skb->len -= n;
  return skb->data += n;
}

int skb_linearize(sk_buff* skb) {
  if (skb->data_len == 0) return 0;
  return pull_tail(skb, skb->data_len) ? 0 : -ENOMEM;
}

void skb_trim(sk_buff* skb, u32 length) {
  if (length >= skb->len) return;
  BUG_ON(skb->data_len != 0);
  skb->len = length;
  skb->tail = skb_headroom(skb) + length;
}

int pskb_trim(sk_buff* skb, u32 length) {
  if (length >= skb->len) return 0;
  if (skb->ip_summed == CHECKSUM_COMPLETE) skb->ip_summed = CHECKSUM_NONE;  // the sum spanned what goes
  if (skb->data_len == 0) {
    skb_trim(skb, length);
    return 0;
  }
  if (skb_cloned(skb)) TRY_INT(pskb_expand_head(skb, 0, 0, GFP_ATOMIC));
  if (!own_frag_list(skb)) return -ENOMEM;
  skb_shared_info* info = skb_shinfo(skb);
  const u32 linear = min(length, skb_headlen(skb));
  u32 left = length - linear, kept = 0;
  skb->tail = skb_headroom(skb) + linear;
  for (u32 i = 0; i < info->nr_frags; ++i) {
    skb_frag_t& f = info->frags[i];
    f.size = min(f.size, left);
    left -= f.size;
    if (f.size != 0) {
      ++kept;
    } else {
      put_page(f.frag_page);
    }
  }
  info->nr_frags = static_cast<u8>(kept);
  for (sk_buff** at = &info->frag_list; *at != nullptr;) {
    sk_buff* s = *at;
    if (left > 0) {
      if (left < s->len) TRY_INT(pskb_trim(s, left));
      left -= s->len;
      at = &s->next;
      continue;
    }
    *at = s->next;
    s->next = nullptr;
    consume_skb(s);
  }
  skb->len = length;
  skb->data_len = length - linear;
  return 0;
}

void skb_add_rx_frag(sk_buff* skb, page* p, u32 offset, u32 size, u32 truesize) {
  skb_shared_info* info = skb_shinfo(skb);
  BUG_ON(info->nr_frags >= kMaxSkbFrags);
  info->frags[info->nr_frags++] = {p, offset, size};
  skb->len += size;
  skb->data_len += size;
  skb->truesize += truesize;
}

int skb_copy_bits(const sk_buff* skb, u32 offset, void* to, u32 length) {
  if (likely(offset <= skb_headlen(skb) && length <= skb_headlen(skb) - offset)) {
    memcpy(to, skb->data + offset, length);
    return 0;
  }
  u8* at = static_cast<u8*>(to);
  return skb_walk(skb, offset, length, [&](const u8* bytes, u32 n) {
    memcpy(at, bytes, n);
    at += n;
    return 0;
  });
}

int skb_store_bits(sk_buff* skb, u32 offset, const void* from, u32 length) {
  const u8* at = static_cast<const u8*>(from);
  return skb_walk(skb, offset, length, [&](u8* bytes, u32 n) {
    memcpy(bytes, at, n);
    at += n;
    return 0;
  });
}

int skb_copy_datagram_iter(const sk_buff* skb, u32 offset, iov_iter* to, u32 length) {
  return skb_walk(skb, offset, length,
                  [&](const u8* bytes, u32 n) { return to->copy_to(bytes, n) == n ? 0 : -EFAULT; });
}

int skb_copy_datagram_from_iter(sk_buff* skb, u32 offset, iov_iter* from, u32 length) {
  return skb_walk(skb, offset, length, [&](u8* bytes, u32 n) { return from->copy_from(bytes, n) == n ? 0 : -EFAULT; });
}

}  // namespace xm::os
