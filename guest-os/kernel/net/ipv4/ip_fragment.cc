// SPDX-License-Identifier: GPL-2.0-or-later
// Reassembly: fragments wait by (source, destination, id, protocol, user) in a tree by offset until the datagram is
// whole or 30 s have passed. Overlaps kill the datagram; exact repeats are dropped. Memory is limited. [RFC 791, 3.2],
// [RFC 1858], [RFC 5722, 4] for why
#include "kernel/mm/slab.h"
#include "kernel/net/ip.h"
#include "kernel/net/route.h"
#include "kernel/net/snmp.h"
#include "kernel/net/timer.h"
#include "kernel/sched/clock.h"

namespace xm::os {

s64 sysctl_ipfrag_high_thresh = 4 << 20, sysctl_ipfrag_time = 30, sysctl_ipfrag_max_dist = 64;

namespace {

constexpr u32 kBuckets = 64, kMaxFragments = 128 * 8;

struct FragCb {  // behind inet_skb_parm in cb
  u32 offset, length;
};
FragCb* frag_cb(sk_buff* skb) { return reinterpret_cast<FragCb*>(skb->cb + 40); }
static_assert(sizeof(inet_skb_parm) <= 40);

struct ipq {
  list_head link;
  be32 saddr, daddr;
  be16 id;
  u8 protocol;
  u32 user;
  int iif;
  timer_list timer;
  Atomic<s32> refcnt{1};
  sk_buff* fragments = nullptr;  // by offset
  sk_buff* last = nullptr;
  u32 count = 0, meat = 0, total = 0, max_size = 0;
  bool have_last = false, dead = false, df = false;
  u64 memory = 0;
};
list_head buckets[kBuckets];
spinlock_t frag_lock{LockRank::InetPeer};
u64 frag_memory = 0;
u32 queue_count = 0;

list_head& bucket_of(const iphdr* h) {
  const u32 x = h->saddr * 31 ^ h->daddr * 17 ^ h->id ^ h->protocol;
  return buckets[(x ^ x >> 8 ^ x >> 16 ^ x >> 24) % kBuckets];
}

void put_queue(ipq* q) {
  if (!q->refcnt.dec_and_test()) return;
  timer_shutdown(&q->timer);
  kdelete(q);
}

// Under frag_lock: takes the queue out of the table. Its fragments are returned for freeing outside.
sk_buff* kill_queue(ipq* q) {
  q->dead = true;
  list_del(&q->link);
  --queue_count;
  frag_memory -= q->memory;
  q->memory = 0;
  sk_buff* list = q->fragments;
  q->fragments = q->last = nullptr;
  return list;
}
void free_fragments(sk_buff* list, SkbDropReason why) {
  while (list != nullptr) {
    sk_buff* next = list->next;
    list->next = list->prev = nullptr;
    kfree_skb_reason(list, why);
    list = next;
  }
}

void ip_expire(timer_list* t) {
  ipq* q = container_of(t, ipq, timer);
  sk_buff* list = nullptr;
  bool ours = false;
  {
    BhGuard guard(frag_lock);
    if (!q->dead) {
      list = kill_queue(q);
      ours = true;
    }
  }
  if (ours) {
    IP_INC(IPSTATS_ReasmFails);
    IP_INC(IPSTATS_ReasmTimeout);
    // Only who has seen the first fragment may tell the sender. [RFC 1122, 3.3.2]
    if (list != nullptr && frag_cb(list)->offset == 0 && q->user == IP_DEFRAG_LOCAL_DELIVER) {
      net_device* dev = dev_get_by_index(q->iif);
      if (dev != nullptr) {
        list->dev = dev;
        const iphdr* h = ip_hdr(list);
        if (skb_dst(list) != nullptr || ip_route_input(list, h->daddr, h->saddr, h->tos, dev) == 0)
          icmp_send(list, ICMP_TIME_EXCEEDED, ICMP_EXC_FRAGTIME, 0);
        dev_put(dev);
      }
    }
    free_fragments(list, SKB_DROP_FRAG_REASM_TIMEOUT);
    put_queue(q);  // the table's
  }
  put_queue(q);  // the timer's
}

ipq* find_queue(const iphdr* h, u32 user, int iif) {
  list_head& bucket = bucket_of(h);
  for (ipq* q : entries<&ipq::link>(bucket)) {
    if (q->id == h->id && q->saddr == h->saddr && q->daddr == h->daddr && q->protocol == h->protocol && q->user == user)
      return q;
  }
  void* p = kmalloc(sizeof(ipq), GFP_ATOMIC);
  if (p == nullptr) return nullptr;
  ipq* q = new (p) ipq{};
  q->saddr = h->saddr;
  q->daddr = h->daddr;
  q->id = h->id;
  q->protocol = h->protocol;
  q->user = user;
  q->iif = iif;
  timer_setup(&q->timer, ip_expire);
  q->refcnt.inc();
  mod_timer(&q->timer, ktime_get() + static_cast<u64>(sysctl_ipfrag_time) * kNsPerSec);
  list_add(&q->link, &bucket);
  ++queue_count;
  return q;
}

enum class Place { Kept, Duplicate, Bad };

// Puts a fragment (skb->data behind its IP header) into the list.
Place place(ipq* q, sk_buff* skb, u32 offset, u32 length, bool more) {
  const u32 end = offset + length;
  if (!more) {
    if (end < q->total || (q->have_last && end != q->total)) return Place::Bad;
    q->have_last = true;
    q->total = end;
  } else {
    if (end > q->total) {
      if (q->have_last) return Place::Bad;
      q->total = end;
    }
  }
  sk_buff* after = q->last;
  while (after != nullptr && frag_cb(after)->offset > offset) after = after->prev;
  if (after != nullptr) {
    const FragCb* c = frag_cb(after);
    if (c->offset + c->length > offset)
      return c->offset <= offset && c->offset + c->length >= end ? Place::Duplicate : Place::Bad;
  }
  sk_buff* before = after == nullptr ? q->fragments : after->next;
  if (before != nullptr && frag_cb(before)->offset < end) return Place::Bad;
  skb->prev = after;
  skb->next = before;
  (after == nullptr ? q->fragments : after->next) = skb;
  (before == nullptr ? q->last : before->prev) = skb;
  *frag_cb(skb) = {offset, length};
  return Place::Kept;
}

// All there: the first fragment's header, the others' data behind it.
sk_buff* reassemble(sk_buff* list, u32 total, u32 max_size, bool df) {
  sk_buff* head = list;
  const u32 hlen = ip_hdrlen(head);
  if (total + hlen > 65535) {
    free_fragments(list, SKB_DROP_PKT_TOO_SMALL);
    return nullptr;
  }
  sk_buff* rest = head->next;
  head->next = head->prev = nullptr;
  if (rest != nullptr && (skb_ensure_writable(head, 0) != 0 || skb_shinfo(head)->frag_list != nullptr)) {
    if (skb_linearize(head) != 0) {
      consume_skb(head);
      free_fragments(rest, SKB_DROP_NOMEM);
      return nullptr;
    }
  }
  skb_shinfo(head)->frag_list = rest;
  for (sk_buff* f = rest; f != nullptr; f = f->next) {
    f->prev = nullptr;
    skb_dst_drop(f);
    head->data_len += f->len;
    head->len += f->len;
    head->truesize += f->truesize;
  }
  head->ip_summed = rest == nullptr ? head->ip_summed : static_cast<u8>(CHECKSUM_NONE);
  skb_push(head, hlen);
  iphdr* h = ip_hdr(head);
  h->tot_len = htons(static_cast<u16>(head->len));
  h->frag_off = df ? htons(IP_DF) : 0;
  IPCB(head)->frag_max_size = static_cast<u16>(max_size);
  IPCB(head)->flags |= IPSKB_FRAG_COMPLETE;
  ip_send_check(h);
  return head;
}

}  // namespace

u32 ip_frag_nqueues() { return queue_count; }
u64 ip_frag_mem() { return frag_memory; }

sk_buff* ip_defrag(sk_buff* skb, u32 user) {
  IP_INC(IPSTATS_ReasmReqds);
  const auto fail = [&](SkbDropReason why) -> sk_buff* {
    IP_INC(IPSTATS_ReasmFails);
    kfree_skb_reason(skb, why);
    return nullptr;
  };
  if (skb_ensure_writable(skb, ip_hdrlen(skb)) != 0) return fail(SKB_DROP_NOMEM);
  const iphdr header = *ip_hdr(skb);
  const u32 hlen = header.ihl * 4u;
  const u32 offset = (ntohs(header.frag_off) & IP_OFFSET) * 8u;
  const bool more = (header.frag_off & htons(IP_MF)) != 0;
  u32 length = skb->len - skb_network_offset(skb) - hlen;
  if (length == 0 || offset + length > 65535) return fail(SKB_DROP_IP_INHDR);
  if (more && (length & 7) != 0) {
    length &= ~7u;
    if (length == 0 || pskb_trim(skb, hlen + length) != 0) return fail(SKB_DROP_IP_INHDR);
  }
  const int iif = skb->dev != nullptr ? skb->dev->ifindex : 0;
  sk_buff* whole = nullptr;
  sk_buff* dead = nullptr;
  ipq* finished = nullptr;
  Place what = Place::Bad;
  u32 total = 0, max_size = 0;
  bool df = false;
  {
    BhGuard guard(frag_lock);
    ipq* q = frag_memory > static_cast<u64>(sysctl_ipfrag_high_thresh) ? nullptr : find_queue(&header, user, iif);
    if (q != nullptr) {
      skb_pull(skb, hlen);
      what = place(q, skb, offset, length, more);
      if (what == Place::Kept) {
        q->meat += length;
        q->memory += skb->truesize;
        frag_memory += skb->truesize;
        q->max_size = max(q->max_size, hlen + length);
        if (offset == 0) q->df = (header.frag_off & htons(IP_DF)) != 0;
        if (q->have_last && q->meat == q->total) {
          total = q->total;
          max_size = q->max_size;
          df = q->df;
          whole = kill_queue(q);
          finished = q;
        } else if (++q->count > kMaxFragments) {
          dead = kill_queue(q);
          finished = q;
        }
      } else if (what == Place::Bad) {
        dead = kill_queue(q);
        finished = q;
      }
    }
  }
  if (finished != nullptr) {
    if (del_timer(&finished->timer)) put_queue(finished);
    put_queue(finished);
  }
  if (dead != nullptr) {
    IPEXT_ADD(IPEXT_ReasmOverlaps, 1);
    free_fragments(dead, SKB_DROP_DUP_FRAG);
  }
  if (what == Place::Duplicate) {
    kfree_skb_reason(skb, SKB_DROP_DUP_FRAG);
    return nullptr;
  }
  if (what == Place::Bad) return fail(SKB_DROP_DUP_FRAG);
  if (whole == nullptr) return nullptr;
  whole = reassemble(whole, total, max_size, df);
  if (whole != nullptr) IP_INC(IPSTATS_ReasmOKs);
  return whole;
}

void ip_frag_init() {
  for (list_head& b : buckets) b.init();
}

}  // namespace xm::os
