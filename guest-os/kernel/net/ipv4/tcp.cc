// SPDX-License-Identifier: GPL-2.0-or-later
// TCP towards the program: tcp_sendmsg fills the write queue, tcp_poll, tcp_close and the end of a connection.
// [RFC 9293, 3.9]
#include "kernel/net/tcp.h"
#include "kernel/mm/slab.h"
#include "kernel/syscall/convert.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

Atomic<s64> tcp_memory_allocated{0};

// --- memory ---
void sk_mem_charge(sock* sk, s32 size) { sk->sk_forward_alloc -= size; }
void sk_mem_uncharge(sock* sk, s32 size) {
  sk->sk_forward_alloc += size;
  if (sk->sk_forward_alloc > 64 * 1024 * 4) sk_mem_reclaim(sk);
}
void sk_mem_reclaim(sock* sk) {
  if (sk->sk_forward_alloc < static_cast<s32>(kPageSize)) return;
  const s32 pages = sk->sk_forward_alloc >> kPageShift;
  sk->sk_forward_alloc -= pages << kPageShift;
  tcp_memory_allocated.sub(pages);
}

namespace {

// Pages for `size` more bytes; refused over the third limit of tcp_mem.
bool sk_mem_schedule(sock* sk, u32 size, bool receive) {
  if (static_cast<s32>(size) <= sk->sk_forward_alloc) return true;
  const s64 pages =
      static_cast<s64>((size - static_cast<u32>(max(sk->sk_forward_alloc, 0)) + kPageSize - 1) >> kPageShift) + 8;
  if (tcp_memory_allocated.add(pages) > sysctl_tcp_mem[2] && (receive || sk->sk_wmem_queued > sysctl_tcp_wmem[0])) {
    tcp_memory_allocated.sub(pages);
    NET_INC(LINUX_MIB_TCPMemoryPressures);
    return false;
  }
  sk->sk_forward_alloc += static_cast<s32>(pages << kPageShift);
  return true;
}

}  // namespace

bool sk_wmem_schedule(sock* sk, u32 size) { return sk_mem_schedule(sk, size, false); }
bool sk_rmem_schedule(sock* sk, u32 size) { return sk_mem_schedule(sk, size, true); }

void sk_wmem_free_skb(sock* sk, sk_buff* skb) {
  sk->sk_wmem_queued -= static_cast<s32>(skb->truesize);
  sk_mem_uncharge(sk, static_cast<s32>(skb->truesize));
  consume_skb(skb);
}

namespace {

void tcp_rfree(sk_buff* skb) {
  sock* sk = skb->sk;
  sk->sk_rmem_alloc.sub(static_cast<s32>(skb->truesize));
  sk_mem_uncharge(sk, static_cast<s32>(skb->truesize));
}

}  // namespace

void tcp_set_owner_r(sk_buff* skb, sock* sk) {
  skb_orphan(skb);
  skb->sk = sk;
  skb->destructor = tcp_rfree;
  sk->sk_rmem_alloc.add(static_cast<s32>(skb->truesize));
  sk_mem_charge(sk, static_cast<s32>(skb->truesize));
}

void tcp_write_queue_purge(sock* sk) {
  while (sk_buff* skb = __skb_dequeue(&sk->sk_write_queue)) sk_wmem_free_skb(sk, skb);
  tcp_sock* tp = tcp_sk(sk);
  tp->send_head = nullptr;
  tp->packets_out = 0;
  tcp_clear_retrans(tp);
  inet_csk(sk)->icsk_backoff = 0;
}

// --- state ---
void tcp_set_state(sock* sk, u8 state) {
  const u8 old = sk->sk_state;
  switch (state) {
    case TCP_ESTABLISHED:
      if (old != TCP_ESTABLISHED) TCP_INC(TCP_MIB_CurrEstab);
      break;
    case TCP_CLOSE:
      if (old == TCP_CLOSE_WAIT || old == TCP_ESTABLISHED) TCP_INC(TCP_MIB_EstabResets);
      sk->sk_prot->unhash(sk);
      if (inet_csk(sk)->icsk_bind_hash != nullptr && (sk->sk_userlocks & SOCK_BINDPORT_LOCK) == 0) inet_put_port(sk);
      [[fallthrough]];
    default:
      if (old == TCP_ESTABLISHED) snmp_add(tcp_stats[TCP_MIB_CurrEstab], ~0ul);
      break;
  }
  write_once(sk->sk_state, state);
}

void tcp_done(sock* sk) {
  if (sk->sk_state == TCP_SYN_SENT || sk->sk_state == TCP_SYN_RECV) TCP_INC(TCP_MIB_AttemptFails);
  tcp_set_state(sk, TCP_CLOSE);
  inet_csk_clear_xmit_timers(sk);
  sk->sk_shutdown = SHUTDOWN_MASK;
  if (!sk->sk_dead)
    sock_def_wakeup(sk);
  else
    inet_csk_destroy_sock(sk);
}

void tcp_init_sock(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  tcp_init_xmit_timers(sk);
  tp->mdev_us = static_cast<u32>(TCP_TIMEOUT_INIT / 1000);
  tp->reordering = static_cast<u32>(sysctl_tcp_reordering);
  tp->icsk_ca_ops = tcp_default_ca;
  tp->icsk_af_ops = sk->sk_family == AF_INET6 && tcp6_ops_ptr != nullptr ? tcp6_ops_ptr->specific : &ipv4_specific;
  tp->is_icsk = true;
  sk->sk_state = TCP_CLOSE;
  sk->sk_sndbuf = static_cast<u32>(sysctl_tcp_wmem[1]);
  sk->sk_rcvbuf = static_cast<u32>(sysctl_tcp_rmem[1]);
}

void sk_stream_write_space(sock* sk) {
  if (!sk_stream_is_writeable(sk) || !sk->sk_write_space_wanted) return;
  write_once(sk->sk_write_space_wanted, false);
  wake_up_all(sk->sk_wait, POLLOUT | POLLWRNORM);
}

u32 tcp_poll(file* f, socket* s, poll_table* table) {
  sock* sk = s->sk;
  poll_wait(f, sk->sk_wait, table);
  const u8 state = read_once(sk->sk_state);
  if (state == TCP_LISTEN)
    return read_once(inet_csk(sk)->icsk_accept_queue.head) != nullptr ? static_cast<u32>(POLLIN | POLLRDNORM) : 0u;
  const tcp_sock* tp = tcp_sk(sk);
  u32 mask = 0;
  const u32 shutdown = read_once(sk->sk_shutdown);
  if (shutdown == SHUTDOWN_MASK || state == TCP_CLOSE) mask |= POLLHUP;
  if ((shutdown & RCV_SHUTDOWN) != 0) mask |= POLLIN | POLLRDNORM | POLLRDHUP;
  if (state != TCP_SYN_SENT && (state != TCP_SYN_RECV)) {
    u32 target = static_cast<u32>(max(sk->sk_rcvlowat, 1));
    const u16 urg = read_once(tp->urg_data);
    if (urg != 0 && read_once(tp->urg_seq) == read_once(tp->copied_seq) && !sk->sk_oobinline) ++target;
    const s32 avail = static_cast<s32>(read_once(tp->rcv_nxt) - read_once(tp->copied_seq));
    if (avail > 0 &&
        (static_cast<u32>(avail) >= target || sk_rmem_alloc_get(sk) > static_cast<int>(sk->sk_rcvbuf) * 3 / 4))
      mask |= POLLIN | POLLRDNORM;
    if ((shutdown & SEND_SHUTDOWN) == 0) {
      if (sk_stream_is_writeable(sk)) {
        mask |= POLLOUT | POLLWRNORM;
      } else {
        write_once(sk->sk_write_space_wanted, true);
        full_barrier();
        if (sk_stream_is_writeable(sk)) mask |= POLLOUT | POLLWRNORM;
      }
    } else {
      mask |= POLLOUT | POLLWRNORM;
    }
    if ((urg & TCP_URG_VALID) != 0) mask |= POLLPRI;
  }
  full_barrier();
  if (sk->sk_err.load() != 0 || read_once(sk->sk_error_queue.first) != nullptr) mask |= POLLERR;
  return mask;
}

// --- send ---
int tcp_send_mss(sock* sk, u32* size_goal, u32 flags) {
  const u32 mss_now = tcp_current_mss(sk);
  u32 goal = mss_now;
  if ((flags & MSG_OOB) == 0) {
    tcp_sock* tp = tcp_sk(sk);
    u32 limit = kGsoMaxSize - 1 - kMaxTcpHeader;
    if (tp->max_window > TCP_MSS_DEFAULT) limit = min(limit, tp->max_window >> 1);
    goal = max(limit / mss_now * mss_now, mss_now);
  }
  *size_goal = goal;
  return static_cast<int>(mss_now);
}

namespace {

void tcp_mark_push(tcp_sock* tp, sk_buff* skb) {
  TCP_SKB_CB(skb)->tcp_flags |= TCPHDR_PSH;
  tp->pushed_seq = tp->write_seq;
}
bool forced_push(const tcp_sock* tp) { return after(tp->write_seq, tp->pushed_seq + (tp->max_window >> 1)); }

// A small write while others wait in the queues below: it may be joined by the next one.
bool tcp_should_autocork(const sock* sk, const sk_buff* skb, u32 size_goal) {
  return skb->len < size_goal && sysctl_tcp_autocorking != 0 && tcp_rtx_queue_head(sk) != nullptr &&
         sk_wmem_alloc_get(sk) > static_cast<int>(skb->truesize);
}

sk_buff* tcp_stream_alloc_skb(sock* sk, gfp_t gfp) {
  sk_buff* skb = alloc_skb(kMaxTcpHeader, gfp);
  if (skb == nullptr) return nullptr;
  if (!sk_wmem_schedule(sk, skb->truesize)) {
    consume_skb(skb);
    return nullptr;
  }
  skb_reserve(skb, kMaxTcpHeader);
  return skb;
}

void tcp_skb_entail(sock* sk, sk_buff* skb) {
  tcp_sock* tp = tcp_sk(sk);
  tcp_skb_cb* cb = TCP_SKB_CB(skb);
  *cb = {};
  cb->seq = cb->end_seq = tp->write_seq;
  cb->tcp_flags = TCPHDR_ACK;
  skb->ip_summed = CHECKSUM_PARTIAL;
  tcp_add_write_queue_tail(sk, skb);
  sk->sk_wmem_queued += static_cast<s32>(skb->truesize);
  sk_mem_charge(sk, static_cast<s32>(skb->truesize));
  if ((tp->nonagle & TCP_NAGLE_PUSH) != 0) tp->nonagle &= static_cast<u8>(~TCP_NAGLE_PUSH);
  // After an idle time slow start begins anew. [RFC 2861]
  if (sysctl_tcp_slow_start_after_idle != 0 && tp->packets_out == 0 && tp->lsndtime != 0) {
    const u64 delta = ktime_get() - tp->lsndtime;
    if (delta > tp->icsk_rto) tcp_cwnd_restart(sk, delta);
  }
}

// Waits for room in the send buffer.
int sk_stream_wait_memory(sock* sk, u64 expires, bool nonblocking) {
  for (;;) {
    if (sk->sk_err.load() != 0 || (sk->sk_shutdown & SEND_SHUTDOWN) != 0) return -EPIPE;
    write_once(sk->sk_write_space_wanted, true);
    full_barrier();
    if (tcp_stream_memory_free(sk)) return 0;
    if (nonblocking) return -EAGAIN;
    release_sock(sk);
    const long r = wait_event_interruptible(
        sk->sk_wait,
        [&] {
          return sk->sk_err.load() != 0 || (read_once(sk->sk_shutdown) & SEND_SHUTDOWN) != 0 ||
                 tcp_stream_memory_free(sk);
        },
        expires);
    lock_sock(sk);
    if (r == -ETIME) return -EAGAIN;
    if (r != 0) return sock_intr_error(sk->sk_sndtimeo);
  }
}

int sk_stream_wait_connect(sock* sk, u64 expires, bool nonblocking) {
  for (;;) {
    if (const int error = sock_error(sk); error != 0) return error;
    if (((1u << sk->sk_state) & (TCPF_SYN_SENT | TCPF_SYN_RECV)) == 0)
      return ((1u << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT)) != 0 ? 0 : -EPIPE;
    if (nonblocking) return -EAGAIN;
    release_sock(sk);
    const long r = wait_event_interruptible(
        sk->sk_wait,
        [&] {
          return sk->sk_err.load() != 0 || ((1u << read_once(sk->sk_state)) & (TCPF_SYN_SENT | TCPF_SYN_RECV)) == 0;
        },
        expires);
    lock_sock(sk);
    if (r == -ETIME) return -EAGAIN;
    if (r != 0) return sock_intr_error(sk->sk_sndtimeo);
  }
}

// Copies up to `copy` bytes into the skb's pages. Bytes copied, -EFAULT, or 0: no memory or no room in this skb.
int tcp_copy_to_skb(sock* sk, sk_buff* skb, iov_iter* from, u32 copy) {
  page_frag* frag = &sk->sk_frag;
  if (!sk_page_frag_refill(sk, frag)) return 0;
  skb_shared_info* info = skb_shinfo(skb);
  skb_frag_t* last = info->nr_frags > 0 ? &info->frags[info->nr_frags - 1] : nullptr;
  const bool merge = last != nullptr && last->frag_page == frag->frag_page && last->offset + last->size == frag->offset;
  if (!merge && info->nr_frags == kMaxSkbFrags) return -ENOSPC;
  copy = min(copy, frag->size - frag->offset);
  if (!sk_wmem_schedule(sk, copy)) return 0;
  u8* to = static_cast<u8*>(page_to_virt(frag->frag_page)) + frag->offset;
  const u32 moved = static_cast<u32>(from->copy_from(to, copy));
  if (moved == 0) return -EFAULT;
  if (merge) {
    last->size += moved;
  } else {
    info->frags[info->nr_frags++] = {frag->frag_page, frag->offset, moved};
    get_page(frag->frag_page);
  }
  frag->offset += moved;
  skb->len += moved;
  skb->data_len += moved;
  skb->truesize += moved;
  sk->sk_wmem_queued += static_cast<s32>(moved);
  sk_mem_charge(sk, static_cast<s32>(moved));
  return static_cast<int>(moved);
}

int tcp_sendmsg_locked(sock* sk, msghdr& m) {
  tcp_sock* tp = tcp_sk(sk);
  const u32 flags = m.flags;
  const bool nonblocking = m.nonblocking();
  const u64 expires = sock_deadline(sk->sk_sndtimeo);
  u32 size_goal = 0;
  int copied = 0, error = 0;
  if (((1u << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT)) == 0) {
    error = sk_stream_wait_connect(sk, expires, nonblocking);
    if (error != 0) return sk->sk_err.load() != 0 ? sock_error(sk) : error;
  }
  u32 mss_now = static_cast<u32>(tcp_send_mss(sk, &size_goal, flags));
  while (m.iter->count() > 0) {
    error = -EPIPE;
    if (sk->sk_err.load() != 0 || (sk->sk_shutdown & SEND_SHUTDOWN) != 0) break;
    sk_buff* skb = skb_peek_tail(&sk->sk_write_queue);
    u32 room = 0;
    if (skb != nullptr && tp->send_head != nullptr && !TCP_SKB_CB(skb)->eor && skb->len < size_goal)
      room = size_goal - skb->len;
    int n = 0;
    if (room == 0) {
      if (tcp_stream_memory_free(sk)) {
        if (read_once(sk->sk_backlog.head) != nullptr) sk_flush_backlog(sk);
        skb = tcp_stream_alloc_skb(sk, GFP_KERNEL);
        if (skb != nullptr) {
          tcp_skb_entail(sk, skb);
          room = size_goal;
        }
      }
    }
    if (room > 0) {
      n = tcp_copy_to_skb(sk, skb, m.iter, static_cast<u32>(min<u64>(room, m.iter->count())));
      if (n == -ENOSPC) {  // no more pieces fit: it is full
        tcp_mark_push(tp, skb);
        TCP_SKB_CB(skb)->eor = true;
        continue;
      }
    }
    if (n < 0) {
      error = n;
      if (skb->len == 0) {
        tcp_unlink_write_queue(skb, sk);
        sk_wmem_free_skb(sk, skb);
      }
      break;
    }
    if (n == 0) {  // wait for memory
      if (skb != nullptr && tp->send_head != nullptr && skb->len == 0) {
        tcp_unlink_write_queue(skb, sk);
        sk_wmem_free_skb(sk, skb);
      }
      if (copied > 0) tcp_push(sk, flags & ~MSG_MORE, mss_now, TCP_NAGLE_PUSH, size_goal);
      error = sk_stream_wait_memory(sk, expires, nonblocking);
      if (error != 0) break;
      mss_now = static_cast<u32>(tcp_send_mss(sk, &size_goal, flags));
      continue;
    }
    if (copied == 0) TCP_SKB_CB(skb)->tcp_flags &= static_cast<u8>(~TCPHDR_PSH);
    write_once(tp->write_seq, tp->write_seq + static_cast<u32>(n));
    TCP_SKB_CB(skb)->end_seq += static_cast<u32>(n);
    skb_shinfo(skb)->gso_segs = 0;
    copied += n;
    error = 0;
    if (m.iter->count() == 0) {
      if ((flags & MSG_EOR) != 0) TCP_SKB_CB(skb)->eor = true;
      break;
    }
    if (skb->len < size_goal || (flags & MSG_OOB) != 0) continue;
    if (forced_push(tp)) {
      tcp_mark_push(tp, skb);
      __tcp_push_pending_frames(sk, mss_now, TCP_NAGLE_PUSH);
    } else if (skb == tp->send_head) {
      tcp_push_one(sk, mss_now);
    }
  }
  if (copied > 0) {
    tcp_push(sk, flags, mss_now, tp->nonagle, size_goal);
    return copied;
  }
  if (error == -EPIPE && sk->sk_err.load() != 0) return sock_error(sk);
  return error;
}

}  // namespace

void tcp_push(sock* sk, u32 flags, u32 mss_now, int nonagle, u32 size_goal) {
  tcp_sock* tp = tcp_sk(sk);
  if (tp->send_head == nullptr) return;
  sk_buff* skb = skb_peek_tail(&sk->sk_write_queue);
  if ((flags & MSG_MORE) == 0 || forced_push(tp)) tcp_mark_push(tp, skb);
  if ((flags & MSG_OOB) != 0) tp->snd_up = tp->write_seq;
  if (tcp_should_autocork(sk, skb, size_goal)) {
    if ((tp->tsq_flags.fetch_or(TCPF_TSQ_THROTTLED) & TCPF_TSQ_THROTTLED) == 0) NET_INC(LINUX_MIB_TCPAutoCorking);
    full_barrier();
    if (sk_wmem_alloc_get(sk) > static_cast<int>(skb->truesize)) return;
  }
  if ((flags & MSG_MORE) != 0) nonagle = TCP_NAGLE_CORK;
  __tcp_push_pending_frames(sk, mss_now, nonagle);
}

ssize_t tcp_sendmsg(sock* sk, msghdr& m) {
  SockGuard guard(sk);
  return tcp_sendmsg_locked(sk, m);
}

// --- close ---

namespace {

// The next state when we have nothing more to say; true: a FIN goes out.
bool tcp_close_state(sock* sk) {
  u8 next = sk->sk_state;
  bool fin = false;
  switch (sk->sk_state) {
    case TCP_ESTABLISHED:
    case TCP_SYN_RECV:
      next = TCP_FIN_WAIT1;
      fin = true;
      break;
    case TCP_CLOSE_WAIT:
      next = TCP_LAST_ACK;
      fin = true;
      break;
    case TCP_SYN_SENT:
    case TCP_LISTEN: next = TCP_CLOSE; break;
    default: break;
  }
  tcp_set_state(sk, next);
  return fin;
}

bool tcp_need_reset(u8 state) {
  return ((1u << state) & (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT | TCPF_FIN_WAIT1 | TCPF_FIN_WAIT2 | TCPF_SYN_RECV)) != 0;
}

}  // namespace

void tcp_close(sock* sk, u64 linger) {
  lock_sock(sk);
  tcp_sock* tp = tcp_sk(sk);
  sk->sk_shutdown = SHUTDOWN_MASK;
  bool data_was_unread = false;
  if (sk->sk_state == TCP_LISTEN) {
    tcp_set_state(sk, TCP_CLOSE);
    inet_csk_listen_stop(sk);
  } else {
    while (sk_buff* skb = __skb_dequeue(&sk->sk_receive_queue)) {
      u32 end = TCP_SKB_CB(skb)->end_seq;
      if ((TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN) != 0) --end;
      if (after(end, tp->copied_seq)) data_was_unread = true;
      consume_skb(skb);
    }
    if (sk->sk_state == TCP_CLOSE) {
      // nothing to tell anybody
    } else if (data_was_unread) {  // what it did not read is lost: say so [RFC 2525, 2.17]
      NET_INC(LINUX_MIB_TCPAbortOnClose);
      tcp_send_active_reset(sk);
      tcp_set_state(sk, TCP_CLOSE);
    } else if (sk->sk_linger == 0) {
      sk->sk_prot->disconnect(sk, 0);
      NET_INC(LINUX_MIB_TCPAbortOnData);
    } else if (tcp_close_state(sk)) {
      tcp_send_fin(sk);
    }
    if (linger != 0 && sk->sk_state != TCP_CLOSE) {
      const u64 expires = ktime_get() + linger;
      release_sock(sk);
      wait_event_interruptible(
          sk->sk_wait,
          [&] { return ((1u << read_once(sk->sk_state)) & (TCPF_FIN_WAIT1 | TCPF_CLOSING | TCPF_LAST_ACK)) == 0; },
          expires);
      lock_sock(sk);
    }
  }
  // What came meanwhile is served by an orphan's rules.
  sock_hold(sk);
  sock_orphan(sk);
  tcp_orphan_count.inc();
  local_bh_disable();
  bh_lock_sock(sk);
  sk_release_backlog(sk);
  if (!tp->is_destroyed) {
    if (sk->sk_state == TCP_FIN_WAIT2) {
      if (tp->linger2 < 0) {
        tcp_set_state(sk, TCP_CLOSE);
        tcp_send_active_reset(sk);
        NET_INC(LINUX_MIB_TCPAbortOnLinger);
      } else {
        const u64 timeout = tcp_fin_time(sk);
        if (timeout > TCP_TIMEWAIT_LEN)
          inet_csk_reset_keepalive_timer(sk, timeout - TCP_TIMEWAIT_LEN);
        else
          tcp_time_wait(sk, TCP_FIN_WAIT2, timeout);
      }
    }
    if (sk->sk_state != TCP_CLOSE && tcp_orphan_count.load() > sysctl_tcp_max_orphans) {
      tcp_set_state(sk, TCP_CLOSE);
      tcp_send_active_reset(sk);
      NET_INC(LINUX_MIB_TCPAbortOnMemory);
    }
    if (sk->sk_state == TCP_CLOSE && !tp->is_destroyed) inet_csk_destroy_sock(sk);
  }
  if (sk->sk_state != TCP_CLOSE) tcp_release_cb(sk);
  sk->sk_lock.owned = false;
  bh_unlock_sock(sk);
  wake_up(sk->sk_lock.wq);
  local_bh_enable();
  sock_put(sk);
}

int tcp_disconnect(sock* sk, u32) {
  tcp_sock* tp = tcp_sk(sk);
  const u8 old = sk->sk_state;
  if (old != TCP_CLOSE) tcp_set_state(sk, TCP_CLOSE);
  if (old == TCP_LISTEN) {
    inet_csk_listen_stop(sk);
  } else if (tcp_need_reset(old) ||
             (tp->snd_nxt != tp->write_seq && ((1u << old) & (TCPF_CLOSING | TCPF_LAST_ACK)) != 0)) {
    sk->sk_state = old;  // the reset leaves by the connection's rules
    tcp_send_active_reset(sk);
    sk->sk_state = TCP_CLOSE;
    sk_set_err(sk, ECONNRESET);
  } else if (old == TCP_SYN_SENT) {
    sk_set_err(sk, ECONNRESET);
  }
  inet_csk_clear_xmit_timers(sk);
  while (sk_buff* skb = __skb_dequeue(&sk->sk_receive_queue)) consume_skb(skb);
  tcp_write_queue_purge(sk);
  tcp_ofo_purge(sk);
  sk->sk_dport = 0;
  if ((sk->sk_userlocks & SOCK_BINDADDR_LOCK) == 0) {
    tp->inet_saddr = 0;
    sk->sk_v6_rcv_saddr = sk->sk_family == AF_INET ? v4mapped(0) : in6_addr{};
    if (tp->pinet6 != nullptr) tp->pinet6->saddr = in6_addr{};
  }
  sk->sk_v6_daddr = sk->sk_family == AF_INET ? v4mapped(0) : in6_addr{};
  sk->sk_shutdown = 0;
  sk->sk_listening = false;
  tp->srtt_us = 0;
  tp->mdev_us = static_cast<u32>(TCP_TIMEOUT_INIT / 1000);
  tp->rcv_rtt_est.time = 0;
  tp->rcv_rtt_est.rtt_us = 0;
  tp->write_seq += tp->max_window + 2;
  if (tp->write_seq == 0) tp->write_seq = 1;
  tp->icsk_backoff = 0;
  tp->icsk_probes_out = 0;
  tp->icsk_probes_tstamp = 0;
  tp->icsk_rto = TCP_TIMEOUT_INIT;
  tp->snd_ssthresh = TCP_INFINITE_SSTHRESH;
  tp->snd_cwnd = TCP_INIT_CWND;
  tp->snd_cwnd_cnt = 0;
  tp->window_clamp = 0;
  tp->delivered = 0;
  tp->icsk_ca_state = TCP_CA_Open;
  tp->is_sack_reneg = false;
  tcp_clear_retrans(tp);
  tp->total_retrans = 0;
  tp->icsk_retransmits = 0;
  tp->rcv_wnd = 0;
  tp->urg_data = 0;
  tp->rx_opt.saw_tstamp = tp->rx_opt.sack_ok = tp->rx_opt.wscale_ok = tp->rx_opt.tstamp_ok = false;
  tp->rx_opt.num_sacks = 0;
  tp->rx_opt.dsack = false;
  tp->rack = rack_state{};
  tp->bytes_acked = tp->bytes_received = tp->bytes_sent = tp->bytes_retrans = 0;
  tp->pred_flags = 0;
  sk_dst_reset(sk);
  dst_release(sk->sk_rx_dst);
  sk->sk_rx_dst = nullptr;
  tp->srtt_us = 0;
  sk->sk_write_space_wanted = false;
  sock_def_error_report(sk);
  return 0;
}

// --- the protocol ---

namespace {

void tcp_shutdown(sock* sk, int how) {
  if ((static_cast<u32>(how) & SEND_SHUTDOWN) == 0) return;
  if (((1u << sk->sk_state) & (TCPF_ESTABLISHED | TCPF_SYN_SENT | TCPF_SYN_RECV | TCPF_CLOSE_WAIT)) != 0) {
    if (tcp_close_state(sk)) tcp_send_fin(sk);
  }
}

long tcp_ioctl(sock* sk, u32 command, u64 argument) {
  const tcp_sock* tp = tcp_sk(sk);
  int answer = 0;
  {
    SockGuard guard(sk);
    const bool no_data = sk->sk_state == TCP_SYN_SENT || sk->sk_state == TCP_SYN_RECV;
    switch (command) {
      case FIONREAD:
        if (sk->sk_state == TCP_LISTEN) return -EINVAL;
        if (!no_data) {
          answer = static_cast<int>(tp->rcv_nxt - tp->copied_seq);
          if (tp->urg_data != 0 && !sk->sk_oobinline && tcp_between(tp->urg_seq, tp->copied_seq, tp->rcv_nxt - 1))
            answer = static_cast<int>(tp->urg_seq - tp->copied_seq);
          if (answer > 0 && (sk->sk_shutdown & RCV_SHUTDOWN) != 0) --answer;
        }
        break;
      case SIOCATMARK: answer = tp->urg_data != 0 && tp->urg_seq == tp->copied_seq; break;
      case SIOCOUTQ:
        if (sk->sk_state == TCP_LISTEN) return -EINVAL;
        answer = no_data ? 0 : static_cast<int>(tp->write_seq - tp->snd_una);
        break;
      case SIOCOUTQNSD:
        if (sk->sk_state == TCP_LISTEN) return -EINVAL;
        answer = no_data ? 0 : static_cast<int>(tp->write_seq - tp->snd_nxt);
        break;
      default: return -ENOIOCTLCMD;
    }
  }
  return put_user_at(answer, argument);
}

struct TcpProto final : proto {
  constexpr TcpProto() : proto("TCP", sizeof(tcp_sock)) {}
  sock* alloc() const override {
    void* p = kmalloc(sizeof(tcp_sock), GFP_ATOMIC);
    return p == nullptr ? nullptr : new (p) tcp_sock{};
  }
  void destruct(sock* sk) const override {
    tcp_sock* tp = tcp_sk(sk);
    timer_shutdown(&tp->icsk_retransmit_timer);
    timer_shutdown(&tp->icsk_delack_timer);
    timer_shutdown(&tp->tsq_timer);
    sk_mem_reclaim(sk);
    kdelete(tp);
  }
  int init(sock* sk) const override {
    tcp_init_sock(sk);
    return 0;
  }
  void destroy(sock* sk) const override {  // tcp_v4_destroy_sock: bh
    tcp_sock* tp = tcp_sk(sk);
    tp->is_destroyed = true;
    inet_csk_clear_xmit_timers(sk);
    while (sk_buff* skb = __skb_dequeue(&sk->sk_write_queue)) sk_wmem_free_skb(sk, skb);
    tp->send_head = nullptr;
    while (sk_buff* skb = __skb_dequeue(&sk->sk_receive_queue)) consume_skb(skb);
    tcp_ofo_purge(sk);
    inet_put_port(sk);
  }
  void close(sock* sk, u64 linger) const override { tcp_close(sk, linger); }
  int connect(sock* sk, const sockaddr_storage& a, u32 length) const override {
    in6_addr to;
    be16 port;
    int oif;
    if (sk->sk_family == AF_INET6 && a.family == AF_INET) return -EAFNOSUPPORT;
    TRY_INT(af_of(sk)->peer(sk, a, length, &to, &port, &oif));
    if (to.v4mapped()) {
      if (sk->sk_family == AF_INET6 && sk->sk_ipv6only) return -ENETUNREACH;
      return tcp_v4_connect(sk, to.words[3], port, oif);
    }
    return tcp6_ops_ptr == nullptr ? -ENETUNREACH : tcp6_ops_ptr->connect(sk, to, port, oif);
  }
  int disconnect(sock* sk, u32 flags) const override { return tcp_disconnect(sk, flags); }
  int get_port(sock* sk, u16 port) const override { return inet_csk_get_port(sk, port); }
  int hash(sock* sk) const override { return inet_hash(sk); }
  void unhash(sock* sk) const override { inet_unhash(sk); }
  void put_port(sock* sk) const override { inet_put_port(sk); }
  ssize_t sendmsg(sock* sk, msghdr& m) const override { return tcp_sendmsg(sk, m); }
  ssize_t recvmsg(sock* sk, msghdr& m) const override { return tcp_recvmsg(sk, m); }
  int shutdown(sock* sk, int how) const override {
    tcp_shutdown(sk, how);
    return 0;
  }
  int setsockopt(sock* sk, int level, int name, u64 user, u32 length) const override {
    if (level == SOL_TCP) return tcp_setsockopt(sk, level, name, user, length);
    if (level == SOL_IP) return ip_setsockopt(sk, level, name, user, length);
    return inet_csk(sk)->icsk_af_ops->setsockopt(sk, level, name, user, length);
  }
  int getsockopt(sock* sk, int level, int name, u64 user, int length, u64 user_length) const override {
    if (level == SOL_TCP) return tcp_getsockopt(sk, level, name, user, length, user_length);
    if (level == SOL_IP) return ip_getsockopt(sk, level, name, user, length, user_length);
    return inet_csk(sk)->icsk_af_ops->getsockopt(sk, level, name, user, length, user_length);
  }
  long ioctl(sock* sk, u32 command, u64 argument) const override { return tcp_ioctl(sk, command, argument); }
  void keepalive(sock* sk, bool on) const override {  // tcp_set_keepalive
    if (((1u << sk->sk_state) & (TCPF_CLOSE | TCPF_LISTEN)) != 0) return;
    if (on)
      inet_csk_reset_keepalive_timer(sk, keepalive_time_when(tcp_sk(sk)));
    else
      inet_csk_delete_keepalive_timer(sk);
  }
  int backlog_rcv(sock* sk, sk_buff* skb) const override { return tcp_do_rcv(sk, skb); }
  void release_cb(sock* sk) const override { tcp_release_cb(sk); }
};
constinit const TcpProto tcp_proto{};
inet_protosw tcp_protosw{AF_INET, SOCK_STREAM, IPPROTO_TCP, &tcp_proto, &inet_stream_ops, true, false, nullptr};

}  // namespace

const proto& tcp_prot = tcp_proto;

void tcp_v4_init();

void tcp_init() {
  inet_hashtables_init();
  tcp_cong_avoid_register();
  tcp_v4_init();
  inet_register_protosw(&tcp_protosw);
}

}  // namespace xm::os
