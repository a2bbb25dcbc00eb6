// SPDX-License-Identifier: GPL-2.0-or-later
// What connection-oriented sockets share: listening and the queue of connections for accept, requests under way, the
// timers of a connection, its end.
#include "kernel/mm/slab.h"
#include "kernel/net/tcp.h"

namespace xm::os {

s64 sysctl_somaxconn = 4096;
Atomic<s32> tcp_orphan_count{0};

// --- timers ---
void inet_csk_init_xmit_timers(sock* sk, void (*retransmit)(timer_list*), void (*delack)(timer_list*),
                               void (*keepalive)(timer_list*)) {
  inet_connection_sock* icsk = inet_csk(sk);
  timer_setup(&icsk->icsk_retransmit_timer, retransmit);
  timer_setup(&icsk->icsk_delack_timer, delack);
  timer_setup(&sk->sk_timer, keepalive);
  icsk->icsk_pending = icsk->icsk_ack.pending = 0;
}

void inet_csk_clear_xmit_timers(sock* sk) {
  inet_connection_sock* icsk = inet_csk(sk);
  icsk->icsk_pending = icsk->icsk_ack.pending = 0;
  sk_stop_timer(sk, &icsk->icsk_retransmit_timer);
  sk_stop_timer(sk, &icsk->icsk_delack_timer);
  sk_stop_timer(sk, &sk->sk_timer);
}

void inet_csk_reset_xmit_timer(sock* sk, u8 what, u64 when) {
  inet_connection_sock* icsk = inet_csk(sk);
  const u64 expires = ktime_get() + min(when, TCP_RTO_MAX);
  if (what == ICSK_ACK_TIMER) {
    icsk->icsk_ack.pending |= ICSK_ACK_TIMER;
    icsk->icsk_ack.timeout = expires;
    sk_reset_timer(sk, &icsk->icsk_delack_timer, expires);
    return;
  }
  icsk->icsk_pending = what;
  icsk->icsk_timeout = expires;
  sk_reset_timer(sk, &icsk->icsk_retransmit_timer, expires);
}
void tcp_reset_xmit_timer(sock* sk, u8 what, u64 when) { inet_csk_reset_xmit_timer(sk, what, when); }

// Timers are left to run out: their handlers find nothing pending.
void inet_csk_clear_xmit_timer(sock* sk, u8 what) {
  inet_connection_sock* icsk = inet_csk(sk);
  if (what == ICSK_ACK_TIMER) {
    icsk->icsk_ack.pending = 0;
    icsk->icsk_ack.retry = 0;
  } else {
    icsk->icsk_pending = 0;
  }
}
void inet_csk_delete_keepalive_timer(sock* sk) { sk_stop_timer(sk, &sk->sk_timer); }
void inet_csk_reset_keepalive_timer(sock* sk, u64 from_now) {
  sk_reset_timer(sk, &sk->sk_timer, ktime_get() + from_now);
}

// --- requests ---
request_sock* inet_reqsk_alloc(sock* listener) {
  void* p = kmalloc(sizeof(request_sock), GFP_ATOMIC);
  if (p == nullptr) return nullptr;
  request_sock* req = new (p) request_sock{};
  sock_hold(listener);
  req->rsk_listener = tcp_sk(listener);
  req->sk_state = TCP_NEW_SYN_RECV;
  timer_setup(&req->rsk_timer, tcp_reqsk_timer);
  return req;
}

// References: the caller's, the table's, the timer's.
bool inet_csk_reqsk_queue_hash_add(sock* listener, request_sock* req, u64 timeout) {
  req->sk_refcnt.add(2);
  request_sock_queue& q = inet_csk(listener)->icsk_accept_queue;
  q.qlen.inc();
  q.young.inc();
  mod_timer(&req->rsk_timer, ktime_get() + timeout);
  if (inet_ehash_insert(req, nullptr)) return true;
  q.qlen.sub(1);
  q.young.sub(1);
  if (del_timer(&req->rsk_timer)) reqsk_put(req);
  reqsk_put(req);
  return false;
}

void inet_csk_reqsk_queue_drop(request_sock* req) {
  if (!inet_ehash_unlink(req)) return;
  request_sock_queue& q = req->rsk_listener->icsk_accept_queue;
  q.qlen.sub(1);
  if (req->num_timeout == 0) q.young.sub(1);
  if (del_timer(&req->rsk_timer)) reqsk_put(req);
  reqsk_put(req);
}

// --- listening ---
namespace {
int inet_csk_listen_start(sock* sk) {
  inet_connection_sock* icsk = inet_csk(sk);
  sk->sk_ack_backlog = 0;
  icsk->icsk_ack.pending = 0;
  sk->sk_state = TCP_LISTEN;
  if (icsk->icsk_bind_hash == nullptr) {
    if (sk->sk_prot->get_port(sk, sk->sk_num) != 0) {
      sk->sk_state = TCP_CLOSE;
      return -EADDRINUSE;
    }
  }
  inet_sk(sk)->inet_sport = htons(sk->sk_num);
  sk_dst_reset(sk);
  sk->sk_listening = true;
  return sk->sk_prot->hash(sk);
}
}  // namespace

int inet_listen(socket* s, int backlog) {
  sock* sk = s->sk;
  SockGuard guard(sk);
  if (s->state != SocketState::Unconnected || s->type != SOCK_STREAM) return -EINVAL;
  if (sk->sk_state != TCP_CLOSE && sk->sk_state != TCP_LISTEN) return -EINVAL;
  write_once(sk->sk_max_ack_backlog, static_cast<u32>(min<s64>(max(backlog, 0), sysctl_somaxconn)));
  return sk->sk_state == TCP_LISTEN ? 0 : inet_csk_listen_start(sk);
}

// A completed connection waits for accept. The queue takes over the reference. False: nobody listens any more.
bool inet_csk_reqsk_queue_add(sock* listener, tcp_sock* child) {
  request_sock_queue& q = inet_csk(listener)->icsk_accept_queue;
  BhGuard guard(q.lock);
  if (listener->sk_state != TCP_LISTEN) return false;
  child->accept_next = nullptr;
  (q.tail == nullptr ? q.head : q.tail->accept_next) = child;
  q.tail = child;
  write_once(listener->sk_ack_backlog, listener->sk_ack_backlog + 1);
  return true;
}

namespace {
tcp_sock* accept_queue_pop(sock* sk) {
  request_sock_queue& q = inet_csk(sk)->icsk_accept_queue;
  BhGuard guard(q.lock);
  tcp_sock* child = q.head;
  if (child == nullptr) return nullptr;
  q.head = child->accept_next;
  if (q.head == nullptr) q.tail = nullptr;
  write_once(sk->sk_ack_backlog, sk->sk_ack_backlog - 1);
  return child;
}
}  // namespace

sock* inet_csk_accept(sock* sk, u32 flags, int* error) {
  SockGuard guard(sk);
  *error = -EINVAL;
  if (sk->sk_state != TCP_LISTEN) return nullptr;
  const u64 expires = sock_deadline(sk->sk_rcvtimeo);
  for (;;) {
    if (tcp_sock* child = accept_queue_pop(sk); child != nullptr) {
      *error = 0;
      return child;
    }
    if ((flags & O_NONBLOCK) != 0) {
      *error = -EAGAIN;
      return nullptr;
    }
    // inet_csk_wait_for_connect
    release_sock(sk);
    const long r = wait_event_state(
        sk->sk_wait, TASK_INTERRUPTIBLE,
        [&] {
          return read_once(inet_csk(sk)->icsk_accept_queue.head) != nullptr || read_once(sk->sk_state) != TCP_LISTEN;
        },
        expires, true);
    lock_sock(sk);
    if (sk->sk_state != TCP_LISTEN) return nullptr;
    if (r == 0) continue;
    *error = r == -ETIME ? -EAGAIN : sock_intr_error(sk->sk_rcvtimeo);
    return nullptr;
  }
}

void inet_child_forget(sock* child) {
  local_bh_disable();
  bh_lock_sock(child);
  sock_hold(child);
  child->sk_prot->disconnect(child, O_NONBLOCK);
  sock_orphan(child);
  tcp_orphan_count.inc();
  inet_csk_destroy_sock(child);
  bh_unlock_sock(child);
  local_bh_enable();
  sock_put(child);
}

// The listener closes: connections that nobody accepted are reset.
void inet_csk_listen_stop(sock* sk) {
  while (tcp_sock* child = accept_queue_pop(sk)) inet_child_forget(child);
  sk->sk_ack_backlog = 0;
}

// An orphan in CLOSE: all references but the caller's go.
void inet_csk_destroy_sock(sock* sk) {
  sk->sk_prot->destroy(sk);
  tcp_orphan_count.sub(1);
  sock_put(sk);
}

}  // namespace xm::os
