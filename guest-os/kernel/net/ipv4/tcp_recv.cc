// SPDX-License-Identifier: GPL-2.0-or-later
// TCP towards the reader: tcp_recvmsg empties the receive queue. [RFC 9293, 3.9.1.3]
#include "kernel/net/tcp.h"

namespace xm::os {

// --- receive ---
// What was read makes room: is it time to tell the peer?
void tcp_cleanup_rbuf(sock* sk, u32 copied) {
  tcp_sock* tp = tcp_sk(sk);
  const inet_connection_sock* icsk = inet_csk(sk);
  bool time_to_ack = false;
  if (inet_csk_ack_scheduled(sk)) {
    if (tp->rcv_nxt - tp->rcv_wup > icsk->icsk_ack.rcv_mss ||
        (copied > 0 &&
         ((icsk->icsk_ack.pending & ICSK_ACK_PUSHED2) != 0 ||
          ((icsk->icsk_ack.pending & ICSK_ACK_PUSHED) != 0 && icsk->icsk_ack.pingpong < 3)) &&
         sk_rmem_alloc_get(sk) == 0))
      time_to_ack = true;
  }
  if (copied > 0 && !time_to_ack && (sk->sk_shutdown & RCV_SHUTDOWN) == 0) {
    const u32 rcv_window_now = tcp_receive_window(tp);
    if (2 * rcv_window_now <= tp->window_clamp) {
      const u32 new_window = __tcp_select_window(sk);
      if (new_window != 0 && new_window >= 2 * rcv_window_now) time_to_ack = true;
    }
  }
  if (time_to_ack) {
    tcp_mstamp_refresh(tp);
    tcp_send_ack(sk);
  }
}

namespace {

void tcp_eat_recv_skb(sock* sk, sk_buff* skb) {
  __skb_unlink(skb, &sk->sk_receive_queue);
  consume_skb(skb);
}

int tcp_recv_urg(sock* sk, msghdr& m) {
  tcp_sock* tp = tcp_sk(sk);
  if (sk->sk_oobinline || tp->urg_data == 0 || tp->urg_data == TCP_URG_READ) return -EINVAL;
  if (sk->sk_state == TCP_CLOSE) return -ENOTCONN;
  if ((tp->urg_data & TCP_URG_VALID) != 0) {
    u8 c = static_cast<u8>(tp->urg_data);
    if ((m.flags & MSG_PEEK) == 0) tp->urg_data = TCP_URG_READ;
    m.out_flags |= MSG_OOB;
    if (m.iter->count() == 0) {
      m.out_flags |= MSG_TRUNC;
      return 0;
    }
    if ((m.flags & MSG_TRUNC) == 0 && m.iter->copy_to(&c, 1) != 1) return -EFAULT;
    return 1;
  }
  return sk->sk_state == TCP_CLOSE || (sk->sk_shutdown & RCV_SHUTDOWN) != 0 ? 0 : -EAGAIN;
}

// Sleeps until the receive queue's end changed. The socket is locked before and after.
int sk_wait_data(sock* sk, u64 expires, const sk_buff* last) {
  release_sock(sk);
  const long r = wait_event_interruptible(
      sk->sk_wait,
      [&] {
        return read_once(sk->sk_receive_queue.last) != last || sk->sk_err.load() != 0 ||
               (read_once(sk->sk_shutdown) & RCV_SHUTDOWN) != 0 || read_once(sk->sk_state) == TCP_CLOSE ||
               read_once(sk->sk_backlog.head) != nullptr;
      },
      expires);
  lock_sock(sk);
  return r == -ETIME ? -EAGAIN : (r != 0 ? sock_intr_error(sk->sk_rcvtimeo) : 0);
}

ssize_t tcp_recvmsg_locked(sock* sk, msghdr& m) {
  tcp_sock* tp = tcp_sk(sk);
  if (sk->sk_state == TCP_LISTEN) return -ENOTCONN;
  if ((m.flags & MSG_OOB) != 0) return tcp_recv_urg(sk, m);
  const bool peek = (m.flags & MSG_PEEK) != 0, trunc = (m.flags & MSG_TRUNC) != 0;
  const u64 expires = sock_deadline(sk->sk_rcvtimeo);
  u64 len = m.iter->count();
  u32 peek_seq = tp->copied_seq;
  if (peek && sk->sk_peek_off > 0) peek_seq += static_cast<u32>(sk->sk_peek_off);
  u32* seq = peek ? &peek_seq : &tp->copied_seq;
  const u64 target =
      (m.flags & MSG_WAITALL) != 0 ? len : max<u64>(min<u64>(len, static_cast<u32>(sk->sk_rcvlowat)), len > 0 ? 1 : 0);
  u64 copied = 0;
  int error = 0;
  for (;;) {
    if (tp->urg_data != 0 && tp->urg_seq == *seq && copied > 0) break;  // stop at the mark
    const sk_buff* last = skb_peek_tail(&sk->sk_receive_queue);
    sk_buff* found = nullptr;
    u32 offset = 0;
    bool fin = false;
    for (sk_buff* skb = skb_peek(&sk->sk_receive_queue); skb != nullptr; skb = skb->next) {
      if (before(*seq, TCP_SKB_CB(skb)->seq)) break;
      offset = *seq - TCP_SKB_CB(skb)->seq;
      if ((TCP_SKB_CB(skb)->tcp_flags & TCPHDR_SYN) != 0) --offset;
      if (offset < skb->len) {
        found = skb;
        break;
      }
      if ((TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN) != 0) {
        found = skb;
        fin = true;
        break;
      }
    }
    if (fin) {
      ++*seq;
      if (!peek) tcp_eat_recv_skb(sk, found);
      break;
    }
    if (found != nullptr) {
      u64 used = min<u64>(found->len - offset, len);
      if (tp->urg_data != 0) {  // the urgent byte is not part of the stream, unless asked for
        const u32 urg_offset = tp->urg_seq - *seq;
        if (urg_offset < used) {
          if (urg_offset == 0) {
            if (!sk->sk_oobinline) {
              ++*seq;
              ++offset;
              --used;
            }
          } else {
            used = urg_offset;
          }
        }
      }
      if (!trunc && used > 0 && skb_copy_datagram_iter(found, offset, m.iter, static_cast<u32>(used)) != 0) {
        if (copied == 0) error = -EFAULT;
        break;
      }
      write_once(*seq, *seq + static_cast<u32>(used));
      copied += used;
      len -= used;
      if (!peek) tcp_rcv_space_adjust(sk);
      if (tp->urg_data != 0 && after(tp->copied_seq, tp->urg_seq)) {
        tp->urg_data = 0;
        tcp_fast_path_check(sk);
      }
      if (used + offset < found->len) {
        if (len == 0) break;
        continue;
      }
      const bool end = (TCP_SKB_CB(found)->tcp_flags & TCPHDR_FIN) != 0;
      if (end) ++*seq;
      if (!peek) tcp_eat_recv_skb(sk, found);
      if (end || len == 0) break;
      continue;
    }
    if (copied >= target && read_once(sk->sk_backlog.head) == nullptr) break;
    if (copied > 0) {
      if (sk->sk_err.load() != 0 || sk->sk_state == TCP_CLOSE || (sk->sk_shutdown & RCV_SHUTDOWN) != 0 ||
          m.nonblocking() || signal_pending_current())
        break;
    } else {
      if (sk->sk_err.load() != 0) {
        error = sock_error(sk);
        break;
      }
      if ((sk->sk_shutdown & RCV_SHUTDOWN) != 0) break;
      if (sk->sk_state == TCP_CLOSE) {
        error = -ENOTCONN;
        break;
      }
      if (m.nonblocking()) {
        if (read_once(sk->sk_backlog.head) != nullptr) {
          sk_flush_backlog(sk);
          continue;
        }
        error = -EAGAIN;
        break;
      }
    }
    if (copied >= target) {
      sk_flush_backlog(sk);
      if (skb_peek_tail(&sk->sk_receive_queue) == last) break;
      continue;
    }
    tcp_cleanup_rbuf(sk, static_cast<u32>(copied));
    const int r = sk_wait_data(sk, expires, last);
    if (r != 0) {
      if (copied == 0) error = r;
      break;
    }
    if (peek && peek_seq - static_cast<u32>(copied) != tp->copied_seq && sk->sk_peek_off < 0) peek_seq = tp->copied_seq;
  }
  if (error != 0) return error;
  tcp_cleanup_rbuf(sk, static_cast<u32>(copied));
  return static_cast<ssize_t>(copied);
}

}  // namespace

ssize_t tcp_recvmsg(sock* sk, msghdr& m) {
  if ((m.flags & MSG_ERRQUEUE) != 0) return ip_recv_error(sk, m);
  ssize_t n;
  int inq = 0;
  {
    SockGuard guard(sk);
    n = tcp_recvmsg_locked(sk, m);
    inq = static_cast<int>(tcp_sk(sk)->rcv_nxt - tcp_sk(sk)->copied_seq);
  }
  if (n >= 0 && tcp_sk(sk)->recvmsg_inq) put_cmsg(m, SOL_TCP, TCP_INQ, &inq, sizeof inq);
  m.name_len = 0;
  return n;
}

}  // namespace xm::os
