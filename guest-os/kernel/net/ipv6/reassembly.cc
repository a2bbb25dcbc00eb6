// SPDX-License-Identifier: GPL-2.0-or-later
// Fragments put together again [RFC 8200, 4.5]. Overlapping ones end the datagram [RFC 5722].
#include "kernel/mm/slab.h"
#include "kernel/net/ipv6/ipv6.h"
#include "kernel/sched/clock.h"

namespace xm::os {
namespace {

constexpr u64 kTimeoutNs = 60 * kNsPerSec;
constexpr u32 kMaxMemory = 4 << 20, kMaxDatagram = 65535;

struct Piece {
  list_head link;
  sk_buff* skb;
  u32 offset, length;
};
struct Queue {
  list_head link;
  in6_addr saddr, daddr;
  be32 id;
  int iif;
  list_head pieces;                         // by offset
  u32 total = 0, received = 0, memory = 0;  // total: 0 while the last is missing
  u64 expires = 0;
};
list_head queues;
constinit spinlock_t lock{LockRank::InetPeer};
u32 memory_used = 0;
timer_list expire_timer;

void free_queue_locked(Queue* q) {
  for (Piece* p : entries<&Piece::link>(q->pieces)) {
    list_del(&p->link);
    consume_skb(p->skb);
    kfree(p);
  }
  memory_used -= q->memory;
  list_del(&q->link);
  kdelete(q);
}

// The sender hears of it if the first fragment was there.
void expire(timer_list* timer) {
  const u64 now = ktime_get();
  sk_buff_head firsts;
  {
    BhGuard guard(lock);
    for (Queue* q : entries<&Queue::link>(queues)) {
      if (q->expires > now) continue;
      Piece* p = list_first<&Piece::link>(&q->pieces);
      if (p != nullptr && p->offset == 0) __skb_queue_tail(&firsts, skb_get(p->skb));
      free_queue_locked(q);
    }
    if (!queues.empty()) mod_timer(timer, now + kNsPerSec);
  }
  while (sk_buff* skb = __skb_dequeue(&firsts)) {
    if (skb->dev != nullptr) icmpv6_send(skb, ICMPV6_TIME_EXCEED, ICMPV6_EXC_FRAGTIME, 0);
    kfree_skb_reason(skb, SKB_DROP_FRAG_REASM_TIMEOUT);
  }
}

Queue* find_locked(const ipv6hdr* h, be32 id, int iif) {
  for (Queue* q : entries<&Queue::link>(queues)) {
    if (q->id == id && q->saddr == h->saddr && q->daddr == h->daddr && q->iif == iif) return q;
  }
  Queue* q = static_cast<Queue*>(kmalloc(sizeof(Queue), GFP_ATOMIC));
  if (q == nullptr) return nullptr;
  new (q) Queue{};
  q->saddr = h->saddr;
  q->daddr = h->daddr;
  q->id = id;
  q->iif = iif;
  q->expires = ktime_get() + kTimeoutNs;
  if (expire_timer.function == nullptr) timer_setup(&expire_timer, expire);
  if (queues.empty()) mod_timer(&expire_timer, ktime_get() + kNsPerSec);
  list_add_tail(&q->link, &queues);
  return q;
}

// False: it overlaps.
bool insert(Queue* q, Piece* fresh) {
  list_head* before = &q->pieces;
  for (Piece* p : entries<&Piece::link>(q->pieces)) {
    if (fresh->offset < p->offset + p->length && p->offset < fresh->offset + fresh->length) return false;
    if (p->offset < fresh->offset) before = &p->link;
  }
  list_add(&fresh->link, before);
  q->received += fresh->length;
  q->memory += fresh->skb->truesize;
  memory_used += fresh->skb->truesize;
  return true;
}

// The datagram as if it had never been cut; with the lock.
sk_buff* join(Queue* q, u8 nexthdr) {
  Piece* first = list_first<&Piece::link>(&q->pieces);
  const sk_buff* head = first->skb;
  sk_buff* skb = alloc_skb(kMaxHeader + 40 + q->total, GFP_ATOMIC);
  if (skb == nullptr) return nullptr;
  skb_reserve(skb, kMaxHeader);
  skb_reset_network_header(skb);
  if (skb_mac_header_was_set(head) && head->network_header - head->mac_header <= 64) {
    const u32 mac = head->network_header - head->mac_header;
    memcpy(skb->data - mac, skb_mac_header(head), mac);
    skb->mac_header = skb->network_header - mac;
  }
  auto* h = reinterpret_cast<ipv6hdr*>(skb_put(skb, sizeof(ipv6hdr)));
  *h = *ipv6_hdr(head);
  h->nexthdr = nexthdr;
  h->payload_len = htons(static_cast<u16>(q->total));
  for (Piece* p : entries<&Piece::link>(q->pieces)) skb_copy_bits(p->skb, 0, skb_put(skb, p->length), p->length);
  skb->dev = head->dev;
  skb->protocol = head->protocol;
  skb->pkt_type = head->pkt_type;
  skb->skb_iif = head->skb_iif;
  skb->tstamp = head->tstamp;
  skb->mark = head->mark;
  memcpy(skb->cb, head->cb, sizeof skb->cb);
  if (head->dst != nullptr) skb->dst = dst_hold(head->dst);
  return skb;
}

}  // namespace

sk_buff* ip6_reassemble(sk_buff* skb) {
  if (!pskb_may_pull(skb, 8)) {
    kfree_skb_reason(skb, SKB_DROP_PKT_TOO_SMALL);
    return nullptr;
  }
  const u8* f = skb->data;
  const u8 nexthdr = f[0];
  const u32 offset = (f[2] << 8 | f[3]) & 0xfff8u;
  const bool more = (f[3] & 1) != 0;
  const be32 id = get_unaligned<be32>(f + 4);
  const ipv6hdr header = *ipv6_hdr(skb);
  skb_pull(skb, 8);
  const u32 length = skb->len;
  if ((more && length % 8 != 0) || (length == 0 && more) || offset + length > kMaxDatagram) {
    icmpv6_send(skb, ICMPV6_PARAMPROB, ICMPV6_HDR_FIELD, 4);
    kfree_skb_reason(skb, SKB_DROP_IP_INHDR);
    return nullptr;
  }
  skb_orphan(skb);
  sk_buff* whole = nullptr;
  Piece* piece = static_cast<Piece*>(kmalloc(sizeof(Piece), GFP_ATOMIC));
  bool bad = piece == nullptr;
  {
    BhGuard guard(lock);
    Queue* q = bad || memory_used + skb->truesize > kMaxMemory ? nullptr : find_locked(&header, id, skb->dev->ifindex);
    bad = q == nullptr;
    if (q != nullptr) {
      new (piece) Piece{};
      piece->skb = skb;
      piece->offset = offset;
      piece->length = length;
      const bool end_known = q->total != 0;
      const bool contradicts =
          (!more && end_known && q->total != offset + length) || (end_known && offset + length > q->total);
      if (contradicts || !insert(q, piece)) {
        free_queue_locked(q);
        bad = true;
      } else {
        if (!more) q->total = offset + length;
        if (q->total != 0 && q->received == q->total) {
          whole = join(q, nexthdr);
          free_queue_locked(q);
        }
      }
    }
  }
  if (bad) {
    kfree(piece);
    kfree_skb_reason(skb, SKB_DROP_DUP_FRAG);
  }
  return whole;
}

}  // namespace xm::os
