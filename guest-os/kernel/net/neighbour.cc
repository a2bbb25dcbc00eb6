// SPDX-License-Identifier: GPL-2.0-or-later
// The neighbour state machine. INCOMPLETE: asked, no answer yet, packets wait. REACHABLE: confirmed of late. STALE:
// usable, not confirmed. DELAY: used while stale, a higher protocol may still confirm it. PROBE: asked by unicast.
// FAILED: nobody answered. [RFC 4861, 7.3]
#include "kernel/net/neighbour.h"

#include "kernel/drivers/random.h"
#include "kernel/lib/result.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/clock.h"

namespace xm::os {

void (*neigh_notify_hook)(neighbour* n, int event) = nullptr;

namespace {

constexpr int kRtmNewNeigh = 28, kRtmDelNeigh = 29;

list_head* bucket_of(neigh_table* tbl, const void* key, const net_device* dev) {
  u32 h = static_cast<u32>(dev->ifindex) * 0x9e3779b1u;
  for (u32 i = 0; i < tbl->key_len; i += 4) h = (h ^ get_unaligned<u32>(static_cast<const u8*>(key) + i)) * 0x85ebca6bu;
  return &tbl->buckets[(h >> 16) % array_size(tbl->buckets)];
}

neighbour* find_locked(neigh_table* tbl, list_head* bucket, const void* key, const net_device* dev) {
  for (neighbour* n : entries<&neighbour::hash>(*bucket)) {
    if (n->dev == dev && memcmp(n->primary_key, key, tbl->key_len) == 0) {
      n->refcnt.inc();
      return n;
    }
  }
  return nullptr;
}

void notify(neighbour* n, int event = kRtmNewNeigh) {
  if (neigh_notify_hook != nullptr) neigh_notify_hook(n, event);
}

void arm(neighbour* n, u64 expires) {  // an armed timer holds the entry
  n->refcnt.inc();                     // before: it may fire at once
  if (mod_timer(&n->timer, expires)) n->refcnt.sub(1);
}
void disarm(neighbour* n) {
  if (del_timer(&n->timer)) n->refcnt.sub(1);
}

u32 max_probes(const neighbour* n) {
  return n->tbl->ucast_probes + ((n->nud_state & NUD_PROBE) != 0 ? 0 : n->tbl->mcast_probes);
}

// Asks once more; the lock is not held, the entry is.
void probe(neighbour* n) {
  sk_buff* skb = nullptr;
  {
    BhGuard guard(n->lock);
    if (sk_buff* last = skb_peek_tail(&n->arp_queue)) skb = skb_clone(last, GFP_ATOMIC);
    ++n->probes;
  }
  n->tbl->solicit(n, skb);
  consume_skb(skb);
}

// Nobody answered: those who waited are told.
void invalidate(neighbour* n) {
  for (;;) {
    sk_buff* skb;
    {
      BhGuard guard(n->lock);
      skb = n->nud_state == NUD_FAILED ? __skb_dequeue(&n->arp_queue) : nullptr;
      if (skb == nullptr) n->arp_queue_bytes = 0;
    }
    if (skb == nullptr) return;
    n->tbl->error_report(n, skb);
  }
}

// What the timer finds to do; returns when it is needed again, 0: not. With the lock.
u64 timer_step(neighbour* n, u64 now, bool* changed, bool* ask) {
  const neigh_table* t = n->tbl;
  if ((n->nud_state & NUD_REACHABLE) != 0) {
    if (now <= n->confirmed + t->reachable_ns) return n->confirmed + t->reachable_ns;
    if (now <= n->used + t->delay_probe_ns) {
      n->nud_state = NUD_DELAY;
      n->updated = now;
      return now + t->delay_probe_ns;
    }
    n->nud_state = NUD_STALE;
    n->updated = now;
    *changed = true;
    return 0;
  }
  if ((n->nud_state & NUD_DELAY) != 0) {
    n->updated = now;
    if (now <= n->confirmed + t->delay_probe_ns) {
      n->nud_state = NUD_REACHABLE;
      *changed = true;
      return n->confirmed + t->reachable_ns;
    }
    n->nud_state = NUD_PROBE;
    n->probes = 0;
    *changed = true;
  }
  if ((n->nud_state & (NUD_INCOMPLETE | NUD_PROBE)) != 0 && n->probes >= max_probes(n)) {
    n->nud_state = NUD_FAILED;
    n->updated = now;
    *changed = true;
    return 0;
  }
  *ask = true;
  return now + t->retrans_ns;
}

void timer_handler(timer_list* timer) {
  neighbour* n = container_of(timer, neighbour, timer);
  bool changed = false, ask = false, failed;
  {
    BhGuard guard(n->lock);
    if ((n->nud_state & NUD_IN_TIMER) != 0 && !n->dead) {
      if (const u64 next = timer_step(n, ktime_get(), &changed, &ask); next != 0) arm(n, next);
    }
    failed = n->nud_state == NUD_FAILED;
  }
  if (failed) invalidate(n);
  if (ask) probe(n);
  if (changed) notify(n);
  neigh_release(n);
}

void unlink_locked(neighbour* n) {
  list_del(&n->hash);
  n->tbl->entries.sub(1);
  BhGuard guard(n->lock);
  n->dead = true;
  disarm(n);
}

// Entries that nobody uses go when they have been stale or failed for long; all of them when the table is full.
void collect(neigh_table* tbl, bool forced) {
  const u64 now = ktime_get();
  list_head gone;
  {
    BhGuard guard(tbl->lock);
    for (list_head& bucket : tbl->buckets) {
      for (neighbour* n : entries<&neighbour::hash>(bucket)) {
        if ((n->nud_state & (NUD_PERMANENT | NUD_IN_TIMER)) != 0 || n->refcnt.load() != 1) continue;
        const u64 idle_since = max(n->used, n->confirmed);
        if (!forced && n->nud_state != NUD_FAILED && now < idle_since + tbl->gc_stale_ns) continue;
        unlink_locked(n);
        list_add_tail(&n->hash, &gone);
      }
    }
  }
  for (neighbour* n : entries<&neighbour::hash>(gone)) {
    list_del(&n->hash);
    notify(n, kRtmDelNeigh);
    neigh_release(n);
  }
}

void gc_handler(timer_list* timer) {
  neigh_table* tbl = container_of(timer, neigh_table, gc_timer);
  u32 random;
  get_random_bytes(&random, sizeof random);
  tbl->reachable_ns = tbl->base_reachable_ns / 2 + random % 1000 * (tbl->base_reachable_ns / 1000);
  if (tbl->entries.load() > tbl->gc_thresh1) collect(tbl, false);
  mod_timer(timer, ktime_get() + tbl->base_reachable_ns / 2);
}

void flush(neigh_table* tbl, net_device* dev, bool keep_permanent) {
  list_head gone;
  {
    BhGuard guard(tbl->lock);
    for (list_head& bucket : tbl->buckets) {
      for (neighbour* n : entries<&neighbour::hash>(bucket)) {
        if (n->dev != dev || (keep_permanent && (n->nud_state & NUD_PERMANENT) != 0)) continue;
        unlink_locked(n);
        list_add_tail(&n->hash, &gone);
      }
    }
  }
  for (neighbour* n : entries<&neighbour::hash>(gone)) {
    list_del(&n->hash);
    skb_queue_purge(&n->arp_queue);
    notify(n, kRtmDelNeigh);
    neigh_release(n);
  }
}

}  // namespace

void neigh_table_init(neigh_table* tbl) {
  tbl->reachable_ns = tbl->base_reachable_ns;
  timer_setup(&tbl->gc_timer, gc_handler);
  mod_timer(&tbl->gc_timer, ktime_get() + tbl->base_reachable_ns / 2);
}

neighbour* neigh_lookup(neigh_table* tbl, const void* key, net_device* dev) {
  list_head* bucket = bucket_of(tbl, key, dev);
  BhGuard guard(tbl->lock);
  return find_locked(tbl, bucket, key, dev);
}

neighbour* neigh_create(neigh_table* tbl, const void* key, net_device* dev) {
  if (neighbour* n = neigh_lookup(tbl, key, dev)) return n;
  if (tbl->entries.load() >= tbl->gc_thresh3) {
    collect(tbl, true);
    if (tbl->entries.load() >= tbl->gc_thresh3) return nullptr;
  }
  void* memory = kmalloc(sizeof(neighbour), GFP_ATOMIC);
  if (memory == nullptr) return nullptr;
  neighbour* n = new (memory) neighbour{};
  n->tbl = tbl;
  n->dev = dev;
  dev_hold(dev);
  memcpy(n->primary_key, key, tbl->key_len);
  timer_setup(&n->timer, timer_handler);
  n->updated = n->used = ktime_get();
  n->confirmed = n->updated > 2 * tbl->reachable_ns ? n->updated - 2 * tbl->reachable_ns : 0;
  if (tbl->constructor(n) != 0) {
    neigh_destroy(n);
    return nullptr;
  }
  list_head* bucket = bucket_of(tbl, key, dev);
  neighbour* other;
  {
    BhGuard guard(tbl->lock);
    other = find_locked(tbl, bucket, key, dev);
    if (other == nullptr) {
      n->refcnt.inc();  // the table's
      list_add_tail(&n->hash, bucket);
      tbl->entries.inc();
    }
  }
  if (other == nullptr) return n;
  neigh_destroy(n);
  return other;
}

void neigh_destroy(neighbour* n) {
  timer_shutdown(&n->timer);
  skb_queue_purge(&n->arp_queue);
  dev_put(n->dev);
  kfree(n);
}

int neigh_event_send(neighbour* n, sk_buff* skb) {
  const u64 now = ktime_get();
  bool ask = false;
  int result = 0;
  {
    BhGuard guard(n->lock);
    n->used = now;
    if ((n->nud_state & (NUD_CONNECTED | NUD_DELAY | NUD_PROBE)) != 0) return 0;
    if (n->dead) {
      result = 1;
    } else if ((n->nud_state & NUD_STALE) != 0) {
      n->nud_state = NUD_DELAY;
      n->updated = now;
      arm(n, now + n->tbl->delay_probe_ns);
      return 0;
    } else if ((n->nud_state & NUD_INCOMPLETE) == 0) {
      n->probes = n->tbl->ucast_probes;
      n->nud_state = NUD_INCOMPLETE;
      n->updated = now;
      arm(n, now + n->tbl->retrans_ns);
      ask = true;
    }
    if (result == 0 && skb != nullptr) {
      while (n->arp_queue_bytes + skb->truesize > n->tbl->queue_len_bytes) {
        sk_buff* oldest = __skb_dequeue(&n->arp_queue);
        if (oldest == nullptr) break;
        n->arp_queue_bytes -= oldest->truesize;
        dev_kfree_skb_any(oldest, SKB_DROP_NEIGH_QUEUEFULL);
      }
      __skb_queue_tail(&n->arp_queue, skb);
      n->arp_queue_bytes += skb->truesize;
    }
  }
  if (result != 0) kfree_skb_reason(skb, SKB_DROP_NEIGH_DEAD);
  if (ask) probe(n);
  return 1;
}

namespace {
int send_with_header(neighbour* n, sk_buff* skb) {
  net_device* dev = n->dev;
  skb->dev = dev;
  if (dev->header != nullptr) {
    if (skb_cow_head(skb, dev->hard_header_len) != 0) {
      kfree_skb_reason(skb, SKB_DROP_NOMEM);
      return -ENOMEM;
    }
    u8 ha[kMaxAddrLen];
    {
      BhGuard guard(n->lock);
      memcpy(ha, n->ha, sizeof ha);
    }
    if (dev->header->create(skb, dev, ntohs(skb->protocol), ha, nullptr, skb->len) < 0) {
      kfree_skb_reason(skb, SKB_DROP_DEV_HDR);
      return -EINVAL;
    }
  }
  return dev_queue_xmit(skb);
}
}  // namespace

int neigh_resolve_output(neighbour* n, sk_buff* skb) {
  return neigh_event_send(n, skb) == 0 ? send_with_header(n, skb) : 0;
}

int neigh_output(neighbour* n, sk_buff* skb) {
  return likely((read_once(n->nud_state) & NUD_CONNECTED) != 0) ? send_with_header(n, skb)
                                                                : neigh_resolve_output(n, skb);
}

int neigh_update(neighbour* n, const u8* lladdr, u8 state, u32 flags) {
  sk_buff_head ready;
  bool changed = false;
  const u64 now = ktime_get();
  {
    BhGuard guard(n->lock);
    const u8 old = n->nud_state;
    if (n->dead || ((flags & NEIGH_UPDATE_F_ADMIN) == 0 && (old & (NUD_NOARP | NUD_PERMANENT)) != 0)) return -EPERM;
    const u32 size = n->dev->addr_len;
    const bool known = (old & NUD_VALID) != 0;
    if ((state & NUD_VALID) == 0) {
      disarm(n);
      changed = old != state;
      n->nud_state = state;
      n->updated = now;
    } else {
      if (size == 0 || lladdr == nullptr) {
        if (!known && size != 0) return -EINVAL;
        lladdr = n->ha;
      }
      const bool same = known && memcmp(lladdr, n->ha, size) == 0;
      if (known && !same && (flags & NEIGH_UPDATE_F_OVERRIDE) == 0) {
        // Somebody else claims the address: keep what we have, but ask again.
        if ((flags & NEIGH_UPDATE_F_WEAK_OVERRIDE) == 0 || (old & NUD_CONNECTED) == 0) return 0;
        lladdr = n->ha;
        state = NUD_STALE;
      } else if (same && state == NUD_STALE && (old & NUD_CONNECTED) != 0 && (flags & NEIGH_UPDATE_F_ADMIN) == 0) {
        state = old;
      }
      if ((state & NUD_CONNECTED) != 0) n->confirmed = now;
      if (lladdr != n->ha && !same) {
        memcpy(n->ha, lladdr, size);
        if ((state & NUD_CONNECTED) == 0)
          n->confirmed = now > 2 * n->tbl->reachable_ns ? now - 2 * n->tbl->reachable_ns : 0;
        changed = true;
      }
      changed = changed || state != old;
      n->updated = now;
      if (state != old) {
        disarm(n);
        n->nud_state = state;
        n->probes = 0;
        if ((state & NUD_IN_TIMER) != 0) arm(n, (state & NUD_REACHABLE) != 0 ? now + n->tbl->reachable_ns : now);
      }
      if ((flags & NEIGH_UPDATE_F_OVERRIDE_ISROUTER) != 0)
        n->flags =
            static_cast<u8>((flags & NEIGH_UPDATE_F_ISROUTER) != 0 ? n->flags | NTF_ROUTER : n->flags & ~NTF_ROUTER);
      while (sk_buff* skb = __skb_dequeue(&n->arp_queue)) __skb_queue_tail(&ready, skb);
      n->arp_queue_bytes = 0;
    }
  }
  if (state == NUD_FAILED) invalidate(n);
  while (sk_buff* skb = __skb_dequeue(&ready)) send_with_header(n, skb);
  if (changed) notify(n);
  return 0;
}

void neigh_confirm(neighbour* n) {
  const u64 now = ktime_get();
  if (read_once(n->confirmed) != now) write_once(n->confirmed, now);
}

void neigh_remove(neighbour* n) {
  {
    BhGuard guard(n->tbl->lock);
    if (n->hash.empty()) return;
    unlink_locked(n);
  }
  skb_queue_purge(&n->arp_queue);
  notify(n, kRtmDelNeigh);
  neigh_release(n);
}

void neigh_ifdown(neigh_table* tbl, net_device* dev) { flush(tbl, dev, false); }
void neigh_changeaddr(neigh_table* tbl, net_device* dev) { flush(tbl, dev, true); }

void neigh_for_each(neigh_table* tbl, void (*visit)(neighbour*, void*), void* data) {
  for (list_head& bucket : tbl->buckets) {
    neighbour* batch[64];
    u32 count = 0;
    {
      BhGuard guard(tbl->lock);
      for (neighbour* n : entries<&neighbour::hash>(bucket)) {
        if (count == array_size(batch)) break;
        n->refcnt.inc();
        batch[count++] = n;
      }
    }
    for (u32 i = 0; i < count; ++i) {
      visit(batch[i], data);
      neigh_release(batch[i]);
    }
  }
}

}  // namespace xm::os
