// SPDX-License-Identifier: GPL-2.0-or-later
// What sockets that carry packets share: their lock with its backlog, the charging of skbs, queues of datagrams,
// wake-ups, the cached route.
#include "kernel/init/initcall.h"
#include "kernel/mm/slab.h"
#include "kernel/net/netdevice.h"
#include "kernel/net/sock.h"
#include "kernel/sched/clock.h"
#include "kernel/syscall/convert.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

Atomic<s32> sockets_allocated{0};
u32 (*sk_run_filter_hook)(const sk_filter* filter, const sk_buff* skb) = nullptr;
void (*sk_filter_release_hook)(sk_filter* filter) = nullptr;

namespace {
constexpr u32 kReadable = POLLIN | POLLRDNORM, kWritable = POLLOUT | POLLWRNORM;
}  // namespace

void sk_release_backlog(sock* sk) {
  while (sk->sk_backlog.head != nullptr) {
    sk_buff* skb = sk->sk_backlog.head;
    sk->sk_backlog.head = sk->sk_backlog.tail = nullptr;
    spin_unlock(sk->sk_lock.slock);
    while (skb != nullptr) {
      sk_buff* next = skb->next;
      skb->next = skb->prev = nullptr;
      sk->sk_prot->backlog_rcv(sk, skb);
      skb = next;
    }
    spin_lock(sk->sk_lock.slock);
  }
  sk->sk_backlog.len = 0;
}

// --- life ---
sock* sk_alloc(int family, const proto* p, bool) {
  sock* sk = p->alloc();
  if (sk == nullptr) return nullptr;
  sockets_allocated.inc();
  sk->sk_family = family;
  sk->sk_prot = p;
  return sk;
}

void sock_init_data(socket* s, sock* sk) {
  sk->sk_socket = s;
  if (s == nullptr) return;
  sk->sk_type = s->type;
  s->sk = sk;
  sk->sk_uid = current_cred()->euid;
}

void sk_free(sock* sk) {
  timer_shutdown(&sk->sk_timer);
  if (sk->sk_destruct != nullptr) sk->sk_destruct(sk);
  skb_queue_purge(&sk->sk_receive_queue);
  skb_queue_purge(&sk->sk_error_queue);
  skb_queue_purge(&sk->sk_write_queue);
  dst_release(sk->sk_dst_cache);
  dst_release(sk->sk_rx_dst);
  if (sk->sk_frag.frag_page != nullptr) put_page(sk->sk_frag.frag_page);
  if (sk->sk_filter_prog != nullptr && sk_filter_release_hook != nullptr) sk_filter_release_hook(sk->sk_filter_prog);
  sockets_allocated.sub(1);
  sk->sk_prot->destruct(sk);
}

void sock_graft(sock* sk, socket* parent) {
  sk->sk_socket = parent;
  parent->sk = sk;
}

void sock_orphan(sock* sk) {
  sk->sk_dead = true;
  sk->sk_socket = nullptr;
}

void sk_common_release(sock* sk) {
  sk->sk_prot->destroy(sk);
  sk->sk_prot->unhash(sk);
  sock_orphan(sk);
  sock_put(sk);
}

// --- the lock ---
void lock_sock(sock* sk) {
  local_bh_disable();
  spin_lock(sk->sk_lock.slock);
  while (unlikely(sk->sk_lock.owned)) {
    spin_unlock(sk->sk_lock.slock);
    local_bh_enable();
    wait_event_state(
        sk->sk_lock.wq, TASK_UNINTERRUPTIBLE, [&] { return !read_once(sk->sk_lock.owned); }, 0, true);
    local_bh_disable();
    spin_lock(sk->sk_lock.slock);
  }
  sk->sk_lock.owned = true;
  spin_unlock(sk->sk_lock.slock);
  local_bh_enable();
}

void release_sock(sock* sk) {
  local_bh_disable();
  spin_lock(sk->sk_lock.slock);
  if (unlikely(sk->sk_backlog.head != nullptr)) sk_release_backlog(sk);
  sk->sk_prot->release_cb(sk);
  sk->sk_lock.owned = false;
  const bool waiters = !sk->sk_lock.wq.head.empty();
  spin_unlock(sk->sk_lock.slock);
  if (waiters) wake_up(sk->sk_lock.wq);
  local_bh_enable();
}

int sk_add_backlog(sock* sk, sk_buff* skb, u32 limit) {
  if (sk->sk_backlog.len + static_cast<u32>(sk_rmem_alloc_get(sk)) > limit) return -ENOBUFS;
  skb->next = skb->prev = nullptr;
  if (sk->sk_backlog.tail != nullptr)
    sk->sk_backlog.tail->next = skb;
  else
    sk->sk_backlog.head = skb;
  sk->sk_backlog.tail = skb;
  sk->sk_backlog.len += skb->truesize;
  return 0;
}

void sk_flush_backlog(sock* sk) {
  if (read_once(sk->sk_backlog.head) == nullptr) return;
  local_bh_disable();
  spin_lock(sk->sk_lock.slock);
  sk_release_backlog(sk);
  spin_unlock(sk->sk_lock.slock);
  local_bh_enable();
}

// --- charging ---
// sk_wmem_alloc counts one for the socket itself; the last skb in flight keeps the socket by a reference of its own.
void skb_set_owner_w(sk_buff* skb, sock* sk) {
  skb_orphan(skb);
  skb->sk = sk;
  skb->destructor = sock_wfree;
  sock_hold(sk);
  sk->sk_wmem_alloc.add(static_cast<s32>(skb->truesize));
}

void sock_wfree(sk_buff* skb) {
  sock* sk = skb->sk;
  sk->sk_wmem_alloc.sub(static_cast<s32>(skb->truesize));
  if (!sk->sk_dead) sock_def_write_space(sk);
  sock_put(sk);
}

void skb_set_owner_r(sk_buff* skb, sock* sk) {
  skb_orphan(skb);
  skb->sk = sk;
  skb->destructor = sock_rfree;
  sk->sk_rmem_alloc.add(static_cast<s32>(skb->truesize));
}

void sock_rfree(sk_buff* skb) { skb->sk->sk_rmem_alloc.sub(static_cast<s32>(skb->truesize)); }
void sock_efree(sk_buff* skb) { sock_put(skb->sk); }

int sk_filter_skb(sock* sk, sk_buff* skb) {
  if (likely(read_once(sk->sk_filter_prog) == nullptr) || sk_run_filter_hook == nullptr) return 0;
  const u32 keep = sk_run_filter_hook(sk->sk_filter_prog, skb);
  if (keep == 0) return -EPERM;
  return keep < skb->len ? pskb_trim(skb, keep) : 0;
}

int sock_queue_rcv_skb(sock* sk, sk_buff* skb) {
  TRY_INT(sk_filter_skb(sk, skb));
  const s32 room = static_cast<s32>(sk->sk_rcvbuf);
  if (sk_rmem_alloc_get(sk) + static_cast<s32>(skb->truesize) > room && sk_rmem_alloc_get(sk) > 0) {
    sk->sk_drops.inc();
    return -ENOMEM;
  }
  if (sk_rmem_alloc_get(sk) > room) return -ENOMEM;
  skb_dst_drop(skb);
  skb->dev = nullptr;
  skb_set_owner_r(skb, sk);
  skb_queue_tail(&sk->sk_receive_queue, skb);
  if (!sk->sk_dead) sock_def_readable(sk);
  return 0;
}

int sock_queue_err_skb(sock* sk, sk_buff* skb) {
  if (sk_rmem_alloc_get(sk) + static_cast<s32>(skb->truesize) >= static_cast<s32>(sk->sk_rcvbuf)) return -ENOMEM;
  skb_dst_drop(skb);
  skb_set_owner_r(skb, sk);
  skb_queue_tail(&sk->sk_error_queue, skb);
  if (!sk->sk_dead) sock_def_error_report(sk);
  return 0;
}

sk_buff* sock_alloc_send_skb(sock* sk, u32 size, u32 data_len, bool nonblocking, int* error) {
  const u64 expires = sock_deadline(sk->sk_sndtimeo);
  for (;;) {
    *error = sock_error(sk);
    if (*error == 0 && (sk->sk_shutdown & SEND_SHUTDOWN) != 0) *error = -EPIPE;
    if (*error != 0) return nullptr;
    if (static_cast<u32>(sk_wmem_alloc_get(sk)) < sk->sk_sndbuf) break;
    *error = -EAGAIN;
    if (nonblocking) return nullptr;
    const long r = wait_event_interruptible(
        sk->sk_wait,
        [&] {
          return static_cast<u32>(sk_wmem_alloc_get(sk)) < sk->sk_sndbuf || sk->sk_err.load() != 0 ||
                 (read_once(sk->sk_shutdown) & SEND_SHUTDOWN) != 0;
        },
        expires);
    if (r == -ETIME) return nullptr;
    if (r != 0) {
      *error = sock_intr_error(sk->sk_sndtimeo);
      return nullptr;
    }
  }
  sk_buff* skb = alloc_skb(size, GFP_KERNEL);
  *error = -ENOBUFS;
  if (skb == nullptr) return nullptr;
  while (data_len > 0) {
    page* p = alloc_page(GFP_KERNEL);
    if (p == nullptr || skb_shinfo(skb)->nr_frags == kMaxSkbFrags) {
      if (p != nullptr) put_page(p);
      consume_skb(skb);
      return nullptr;
    }
    const u32 n = min(data_len, static_cast<u32>(kPageSize));
    skb_add_rx_frag(skb, p, 0, n, static_cast<u32>(kPageSize));
    data_len -= n;
  }
  skb_set_owner_w(skb, sk);
  *error = 0;
  return skb;
}

// --- datagrams ---
namespace {
sk_buff* try_datagram(sock* sk, u32 flags, int* skip) {
  IrqGuard guard(sk->sk_receive_queue.lock);
  for (sk_buff* skb = sk->sk_receive_queue.first; skb != nullptr; skb = skb->next) {
    if ((flags & MSG_PEEK) == 0) {
      __skb_unlink(skb, &sk->sk_receive_queue);
      return skb;
    }
    if (*skip >= static_cast<int>(skb->len) && skb->len != 0) {
      *skip -= static_cast<int>(skb->len);
      continue;
    }
    skb->peeked = true;
    return skb_get(skb);
  }
  return nullptr;
}
}  // namespace

sk_buff* skb_recv_datagram(sock* sk, u32 flags, int* error) {
  const u64 expires = sock_deadline(sk->sk_rcvtimeo);
  for (;;) {
    *error = sock_error(sk);
    if (*error != 0) return nullptr;
    int skip = (flags & MSG_PEEK) != 0 ? max(sk->sk_peek_off, 0) : 0;
    sk_buff* skb = try_datagram(sk, flags, &skip);
    if (skb != nullptr) return skb;
    if ((sk->sk_shutdown & RCV_SHUTDOWN) != 0) return nullptr;
    *error = -EAGAIN;
    if ((flags & MSG_DONTWAIT) != 0) return nullptr;
    const long r = wait_event_state(
        sk->sk_wait, TASK_INTERRUPTIBLE,
        [&] {
          return read_once(sk->sk_receive_queue.first) != nullptr || sk->sk_err.load() != 0 ||
                 (read_once(sk->sk_shutdown) & RCV_SHUTDOWN) != 0;
        },
        expires, true);
    if (r == -ETIME) return nullptr;
    if (r != 0) {
      *error = sock_intr_error(sk->sk_rcvtimeo);
      return nullptr;
    }
  }
}

void skb_free_datagram(sock*, sk_buff* skb) { consume_skb(skb); }

u32 datagram_poll(file* f, socket* s, poll_table* table) {
  sock* sk = s->sk;
  poll_wait(f, sk->sk_wait, table);
  u32 events = 0;
  if (sk->sk_err.load() != 0 || read_once(sk->sk_error_queue.first) != nullptr) events |= POLLERR;
  if ((sk->sk_shutdown & RCV_SHUTDOWN) != 0) events |= POLLRDHUP | kReadable;
  if (sk->sk_shutdown == SHUTDOWN_MASK) events |= POLLHUP;
  if (read_once(sk->sk_receive_queue.first) != nullptr) events |= kReadable;
  if (sock_writeable(sk))
    events |= kWritable;
  else
    write_once(sk->sk_write_space_wanted, true);
  return events;
}

void sock_recv_cmsgs(msghdr& m, sock* sk, sk_buff* skb) {
  const u64 stamp = skb->tstamp != 0 ? skb->tstamp : ktime_get_real();
  sk->sk_stamp = stamp;
  if (sk->sk_timestampns) {
    const timespec_abi ts = ns_to_timespec(stamp);
    put_cmsg(m, SOL_SOCKET, SO_TIMESTAMPNS, &ts, sizeof ts);
  } else if (sk->sk_timestamp) {
    const timeval_abi tv = ns_to_timeval(stamp);
    put_cmsg(m, SOL_SOCKET, SO_TIMESTAMP, &tv, sizeof tv);
  }
  if (sk->sk_rxq_ovfl) {
    const u32 drops = static_cast<u32>(sk->sk_drops.load());
    put_cmsg(m, SOL_SOCKET, SO_RXQ_OVFL, &drops, sizeof drops);
  }
}

// Pages are taken eight at a time where memory allows, so that a large write needs few.
bool sk_page_frag_refill(sock*, page_frag* frag) {
  if (frag->frag_page != nullptr) {
    if (frag->frag_page->refcount.load() == 1) {  // all users are gone: from the start
      frag->offset = 0;
      return true;
    }
    if (frag->offset + 32 <= frag->size) return true;
    put_page(frag->frag_page);
    frag->frag_page = nullptr;
  }
  frag->offset = 0;
  frag->size = static_cast<u32>(kPageSize) << 3;
  frag->frag_page = alloc_pages(GFP_ATOMIC, 3);
  if (frag->frag_page != nullptr) return true;
  frag->size = static_cast<u32>(kPageSize);
  frag->frag_page = alloc_page(GFP_KERNEL);
  return frag->frag_page != nullptr;
}

// --- wake-ups ---
void sock_def_wakeup(sock* sk) { wake_up_all(sk->sk_wait); }
void sock_def_readable(sock* sk) { wake_up(sk->sk_wait, kReadable); }
void sock_def_write_space(sock* sk) {
  if (!sock_writeable(sk)) return;
  wake_up_all(sk->sk_wait, kWritable);
}
void sock_def_error_report(sock* sk) { wake_up_all(sk->sk_wait, POLLERR); }
void sk_set_err(sock* sk, int positive_errno) { sk->sk_err.store(positive_errno); }

// --- routes and devices ---
dst_entry* sk_dst_check(sock* sk, u32 cookie) {
  dst_entry* d = sk->sk_dst_cache;
  if (d == nullptr) return nullptr;
  if (likely(d->ops->check(d, cookie))) return dst_hold(d);
  sk_dst_reset(sk);
  return nullptr;
}
void sk_dst_set(sock* sk, dst_entry* dst) {
  dst_entry* old = sk->sk_dst_cache;
  sk->sk_dst_cache = dst;
  dst_release(old);
}
void sk_dst_reset(sock* sk) { sk_dst_set(sk, nullptr); }

int sock_setbindtodevice(sock* sk, u64 user, u32 length) {
  if (sk->sk_bound_dev_if != 0 && !capable(CAP_NET_RAW)) return -EPERM;
  char name[kIfNameSize]{};
  TRY_INT(copy_from_user(name, reinterpret_cast<const void*>(user), min<u32>(length, sizeof name - 1)));
  int index = 0;
  if (name[0] != 0) {
    net_device* dev = dev_get_by_name(name);
    if (dev == nullptr) return -ENODEV;
    index = dev->ifindex;
    dev_put(dev);
  }
  SockGuard guard(sk);
  sk->sk_bound_dev_if = index;
  sk_dst_reset(sk);
  return 0;
}

int sock_getbindtodevice(sock* sk, u64 user, int length, u64 user_length) {
  char name[kIfNameSize]{};
  if (sk->sk_bound_dev_if == 0) return put_user_at(0, user_length);
  if (length < static_cast<int>(kIfNameSize)) return -EINVAL;
  net_device* dev = dev_get_by_index(sk->sk_bound_dev_if);
  if (dev == nullptr) return -ENODEV;
  memcpy(name, dev->name, sizeof name);
  dev_put(dev);
  return put_option(user, user_length, name, static_cast<u32>(strlen(name)) + 1);
}

// The reference comes first: the timer may fire before mod_timer returns.
void sk_reset_timer(sock* sk, timer_list* t, u64 expires) {
  sock_hold(sk);
  if (mod_timer(t, expires)) sk->sk_refcnt.sub(1);
}
void sk_stop_timer(sock* sk, timer_list* t) {
  if (del_timer(t)) sock_put(sk);
}

void net_core_init() { net_timer_init(); }
BUS_INITCALL(net_core_init);

}  // namespace xm::os
