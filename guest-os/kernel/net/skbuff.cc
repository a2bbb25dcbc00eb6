// SPDX-License-Identifier: GPL-2.0-or-later
// The life of a socket buffer: allocation from its slab cache, references, clones and copies, queues. Free of hardware:
// unit-tested on the host.
#include "kernel/net/skbuff.h"

#include "kernel/init/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"
#include "kernel/net/dst.h"
#include "kernel/net/netdevice.h"
#include "kernel/net/skb_walk.h"

namespace xm::os {

constinit u64 skb_drop_counts[SKB_DROP_MAX]{};
#define X(name) #name,
constinit const char* const skb_drop_names[SKB_DROP_MAX] = {XM_SKB_DROP_REASONS(X)};
#undef X

// Connection tracking has its own; unit tests on the host do without.
[[gnu::weak]] void nf_conntrack_get(nf_conn*) {}
[[gnu::weak]] void nf_conntrack_put(nf_conn*) {}

namespace {

constinit kmem_cache* skbuff_head_cache = nullptr;
constexpr u32 kDataAlign = 16;
constexpr u32 kInfoHead = offsetof(skb_shared_info, frags);

u8* allocate_data(u32 size, gfp_t gfp) {
  u8* head = static_cast<u8*>(kmalloc(size + sizeof(skb_shared_info), gfp));
  if (head == nullptr) return nullptr;
  memset(head + size, 0, kInfoHead);
  reinterpret_cast<skb_shared_info*>(head + size)->dataref.store(1);
  return head;
}

void free_list(sk_buff* list) {
  while (list != nullptr) {
    sk_buff* next = list->next;
    list->next = nullptr;
    kfree_skb(list);
    list = next;
  }
}

void release_data(sk_buff* skb) {
  skb_shared_info* info = skb_shinfo(skb);
  if (skb->cloned ? !info->dataref.dec_and_test() : false) return;
  for (u32 i = 0; i < info->nr_frags; ++i) put_page(info->frags[i].frag_page);
  free_list(info->frag_list);
  kfree(skb->head);
}

void release_head_state(sk_buff* skb) {
  if (skb->dst != nullptr) dst_release(skb->dst);
  if (skb->nfct != nullptr) nf_conntrack_put(skb->nfct);
  if (skb->destructor != nullptr) skb->destructor(skb);
}

void free_skb(sk_buff* skb) {
  release_head_state(skb);
  release_data(skb);
  kmem_cache_free(skbuff_head_cache, skb);
}

sk_buff* allocate_head(gfp_t gfp) {
  void* p = kmem_cache_alloc(skbuff_head_cache, gfp);
  return static_cast<sk_buff*>(p);
}

// What a copy inherits; header positions count from `head`, so headrooms must be equal.
void copy_skb_header(sk_buff* to, const sk_buff* from) {
  to->dev = from->dev;
  to->tstamp = from->tstamp;
  memcpy(to->cb, from->cb, sizeof to->cb);
  to->dst = from->dst;
  if (to->dst != nullptr) dst_hold(to->dst);
  to->nfct = from->nfct;
  to->nfctinfo = from->nfctinfo;
  if (to->nfct != nullptr) nf_conntrack_get(to->nfct);
  to->mac_len = from->mac_len;
  to->queue_mapping = from->queue_mapping;
  to->pkt_type = from->pkt_type;
  to->ip_summed = from->ip_summed;
  to->priority = from->priority;
  to->mark = from->mark;
  to->hash = from->hash;
  to->skb_iif = from->skb_iif;
  to->csum = from->csum;
  to->csum_start = from->csum_start;
  to->csum_offset = from->csum_offset;
  to->protocol = from->protocol;
  to->vlan_tci = from->vlan_tci;
  to->vlan_present = from->vlan_present;
  to->transport_header = from->transport_header;
  to->network_header = from->network_header;
  to->mac_header = from->mac_header;
}
void copy_gso(sk_buff* to, const sk_buff* from) {
  skb_shinfo(to)->gso_size = skb_shinfo(from)->gso_size;
  skb_shinfo(to)->gso_segs = skb_shinfo(from)->gso_segs;
  skb_shinfo(to)->gso_type = skb_shinfo(from)->gso_type;
}

// The fragments of `from`, referenced once more.
void share_frags(skb_shared_info* to, const skb_shared_info* from) {
  to->nr_frags = from->nr_frags;
  for (u32 i = 0; i < from->nr_frags; ++i) {
    to->frags[i] = from->frags[i];
    get_page(to->frags[i].frag_page);
  }
}

// frag_list members are linked by `next`, so a second owner needs clones.
int share_frag_list(skb_shared_info* to, const skb_shared_info* from, gfp_t gfp) {
  sk_buff** at = &to->frag_list;
  for (sk_buff* s = from->frag_list; s != nullptr; s = s->next) {
    *at = skb_clone(s, gfp);
    if (*at == nullptr) return -ENOMEM;
    at = &(*at)->next;
  }
  return 0;
}

}  // namespace

void skb_init() { skbuff_head_cache = kmem_cache_create("skbuff_head_cache", sizeof(sk_buff), 64); }

sk_buff* alloc_skb(u32 size, gfp_t gfp) {
  sk_buff* skb = allocate_head(gfp);
  if (skb == nullptr) return nullptr;
  const u32 room = static_cast<u32>(align_up(size, kDataAlign));
  u8* head = allocate_data(room, gfp);
  if (head == nullptr) {
    kmem_cache_free(skbuff_head_cache, skb);
    return nullptr;
  }
  new (skb) sk_buff{};
  skb->head = skb->data = head;
  skb->end = room;
  skb->truesize = static_cast<u32>(room + sizeof(skb_shared_info) + sizeof(sk_buff));
  return skb;
}

sk_buff* netdev_alloc_skb(net_device* dev, u32 size) {
  constexpr u32 kHeadroom = 64 + 2;  // NET_SKB_PAD and NET_IP_ALIGN: the IP header behind 14 bytes stands aligned
  sk_buff* skb = alloc_skb(size + kHeadroom, GFP_ATOMIC);
  if (skb == nullptr) return nullptr;
  skb_reserve(skb, kHeadroom);
  skb->dev = dev;
  return skb;
}

void kfree_skb_reason(sk_buff* skb, SkbDropReason why) {
  if (skb == nullptr) return;
  if (skb->users.load() != 1 && !skb->users.dec_and_test()) return;
  __atomic_fetch_add(&skb_drop_counts[why], 1, __ATOMIC_RELAXED);
  free_skb(skb);
}

void consume_skb(sk_buff* skb) {
  if (skb == nullptr) return;
  if (skb->users.load() != 1 && !skb->users.dec_and_test()) return;
  free_skb(skb);
}

sk_buff* skb_get(sk_buff* skb) {
  skb->users.inc();
  return skb;
}

sk_buff* skb_clone(sk_buff* skb, gfp_t gfp) {
  sk_buff* n = allocate_head(gfp);
  if (n == nullptr) return nullptr;
  skb->cloned = true;
  skb_shinfo(skb)->dataref.inc();
  memcpy(static_cast<void*>(n), static_cast<const void*>(skb), sizeof *n);
  n->next = n->prev = nullptr;
  n->sk = nullptr;
  n->destructor = nullptr;
  n->peeked = false;
  n->users.store(1);
  if (n->dst != nullptr) dst_hold(n->dst);
  if (n->nfct != nullptr) nf_conntrack_get(n->nfct);
  return n;
}

sk_buff* skb_copy(const sk_buff* skb, gfp_t gfp) {
  const u32 headroom = skb_headroom(skb);
  sk_buff* n = alloc_skb(max(skb->end, headroom + skb->len), gfp);
  if (n == nullptr) return nullptr;
  skb_reserve(n, headroom);
  skb_copy_bits(skb, 0, skb_put(n, skb->len), skb->len);
  memcpy(n->head, skb->head, headroom);
  copy_skb_header(n, skb);
  copy_gso(n, skb);
  return n;
}

sk_buff* pskb_copy(sk_buff* skb, gfp_t gfp) {
  sk_buff* n = alloc_skb(skb->end, gfp);
  if (n == nullptr) return nullptr;
  skb_reserve(n, skb_headroom(skb));
  memcpy(n->head, skb->head, skb->tail);
  n->tail = skb->tail;
  n->len = skb->len;
  n->data_len = skb->data_len;
  n->truesize += skb->data_len;
  copy_skb_header(n, skb);
  copy_gso(n, skb);
  share_frags(skb_shinfo(n), skb_shinfo(skb));
  if (share_frag_list(skb_shinfo(n), skb_shinfo(skb), gfp) == 0) return n;
  consume_skb(n);
  return nullptr;
}

int pskb_expand_head(sk_buff* skb, u32 more_head, u32 more_tail, gfp_t gfp) {
  BUG_ON(skb_shared(skb));
  const u32 size = static_cast<u32>(align_up(skb->end + more_head + more_tail, kDataAlign));
  u8* head = allocate_data(size, gfp);
  if (head == nullptr) return -ENOMEM;
  memcpy(head + more_head, skb->head, skb->tail);
  skb_shared_info* info = reinterpret_cast<skb_shared_info*>(head + size);
  skb_shared_info* old = skb_shinfo(skb);
  info->gso_size = old->gso_size;
  info->gso_segs = old->gso_segs;
  info->gso_type = old->gso_type;
  if (skb_cloned(skb)) {
    share_frags(info, old);
    if (share_frag_list(info, old, gfp) != 0) {
      for (u32 i = 0; i < info->nr_frags; ++i) put_page(info->frags[i].frag_page);
      free_list(info->frag_list);
      kfree(head);
      return -ENOMEM;
    }
    release_data(skb);
  } else {
    info->nr_frags = old->nr_frags;
    memcpy(info->frags, old->frags, sizeof(skb_frag_t) * old->nr_frags);
    info->frag_list = old->frag_list;
    kfree(skb->head);
  }
  skb->data = head + more_head + skb_headroom(skb);
  skb->head = head;
  skb->end = size;
  skb->tail += more_head;
  skb->transport_header += more_head;
  skb->network_header += more_head;
  if (skb_mac_header_was_set(skb)) skb->mac_header += more_head;
  if (skb->ip_summed == CHECKSUM_PARTIAL) skb->csum_start = static_cast<u16>(skb->csum_start + more_head);
  skb->cloned = false;
  return 0;
}

int skb_cow_head(sk_buff* skb, u32 headroom) {
  const u32 have = skb_headroom(skb);
  if (have >= headroom && !skb_cloned(skb)) return 0;
  return pskb_expand_head(skb, have >= headroom ? 0 : static_cast<u32>(align_up(headroom - have, 64)), 0, GFP_ATOMIC);
}

int skb_ensure_writable(sk_buff* skb, u32 length) {
  if (!pskb_may_pull(skb, length)) return -ENOMEM;
  return skb_cloned(skb) ? pskb_expand_head(skb, 0, 0, GFP_ATOMIC) : 0;
}

bool skb_cloned(const sk_buff* skb) { return skb->cloned && skb_shinfo(skb)->dataref.load() != 1; }
bool skb_shared(const sk_buff* skb) { return skb->users.load() != 1; }

sk_buff* skb_share_check(sk_buff* skb, gfp_t gfp) {
  if (!skb_shared(skb)) return skb;
  sk_buff* own = skb_clone(skb, gfp);
  own != nullptr ? consume_skb(skb) : kfree_skb_reason(skb, SKB_DROP_NOMEM);
  return own;
}

void skb_orphan(sk_buff* skb) {
  if (skb->destructor != nullptr) skb->destructor(skb);
  skb->destructor = nullptr;
  skb->sk = nullptr;
}

// --- queues ---
void __skb_queue_after(sk_buff_head* q, sk_buff* prev, sk_buff* skb) {
  sk_buff* next = prev == nullptr ? q->first : prev->next;
  skb->prev = prev;
  skb->next = next;
  (prev == nullptr ? q->first : prev->next) = skb;
  (next == nullptr ? q->last : next->prev) = skb;
  write_once(q->qlen, q->qlen + 1);
}
void __skb_queue_tail(sk_buff_head* q, sk_buff* skb) { __skb_queue_after(q, q->last, skb); }
void __skb_queue_head(sk_buff_head* q, sk_buff* skb) { __skb_queue_after(q, nullptr, skb); }
void __skb_unlink(sk_buff* skb, sk_buff_head* q) {
  (skb->prev == nullptr ? q->first : skb->prev->next) = skb->next;
  (skb->next == nullptr ? q->last : skb->next->prev) = skb->prev;
  skb->next = skb->prev = nullptr;
  write_once(q->qlen, q->qlen - 1);
}
sk_buff* __skb_dequeue(sk_buff_head* q) {
  sk_buff* skb = q->first;
  if (skb != nullptr) __skb_unlink(skb, q);
  return skb;
}
void skb_queue_tail(sk_buff_head* q, sk_buff* skb) {
  IrqGuard guard(q->lock);
  __skb_queue_tail(q, skb);
}
void skb_queue_head(sk_buff_head* q, sk_buff* skb) {
  IrqGuard guard(q->lock);
  __skb_queue_head(q, skb);
}
sk_buff* skb_dequeue(sk_buff_head* q) {
  IrqGuard guard(q->lock);
  return __skb_dequeue(q);
}
void skb_queue_purge(sk_buff_head* q) {
  while (sk_buff* skb = skb_dequeue(q)) kfree_skb(skb);
}

}  // namespace xm::os
