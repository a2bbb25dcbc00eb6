// SPDX-License-Identifier: GPL-2.0-or-later
// Data that came: into the receive queue or, out of order, into a tree; SACK blocks [RFC 2018] and duplicate reports
// [RFC 2883] for the peer; the FIN.
#include "kernel/mm/slab.h"
#include "kernel/net/ipv4/tcp_internal.h"
#include "kernel/net/tcp.h"

namespace xm::os {

namespace {

// --- out-of-order queue: a tree by sequence ---
struct OfoNode {
  rb_node node;
  sk_buff* skb;
};
kmem_cache* ofo_cache = nullptr;
OfoNode* ofo_of(rb_node* n) { return container_of(n, OfoNode, node); }
sk_buff* ofo_skb(rb_node* n) { return n == nullptr ? nullptr : ofo_of(n)->skb; }

// --- SACK blocks that we send ---
bool tcp_sack_extend(tcp_sack_block* sp, u32 seq, u32 end_seq) {
  if (after(seq, sp->end_seq) || after(sp->start_seq, end_seq)) return false;
  if (before(seq, sp->start_seq)) sp->start_seq = seq;
  if (after(end_seq, sp->end_seq)) sp->end_seq = end_seq;
  return true;
}

void tcp_dsack_set(sock* sk, u32 seq, u32 end_seq) {
  tcp_sock* tp = tcp_sk(sk);
  if (!tcp_is_sack(tp) || sysctl_tcp_dsack == 0) return;
  NET_INC(before(seq, tp->rcv_nxt) ? LINUX_MIB_TCPDSACKOldSent : LINUX_MIB_TCPDSACKOfoSent);
  tp->rx_opt.dsack = true;
  tp->duplicate_sack[0] = {seq, end_seq};
}
void tcp_dsack_extend(sock* sk, u32 seq, u32 end_seq) {
  tcp_sock* tp = tcp_sk(sk);
  if (!tp->rx_opt.dsack)
    tcp_dsack_set(sk, seq, end_seq);
  else
    tcp_sack_extend(tp->duplicate_sack, seq, end_seq);
}

}  // namespace

void tcp_send_dupack(sock* sk, const sk_buff* skb) {
  tcp_sock* tp = tcp_sk(sk);
  const tcp_skb_cb* cb = TCP_SKB_CB(skb);
  if (cb->end_seq != cb->seq && before(cb->seq, tp->rcv_nxt)) {
    NET_INC(LINUX_MIB_DelayedACKLost);
    tcp_enter_quickack_mode(sk, TCP_MAX_QUICKACKS);
    if (tcp_is_sack(tp) && sysctl_tcp_dsack != 0)
      tcp_dsack_set(sk, cb->seq, after(cb->end_seq, tp->rcv_nxt) ? tp->rcv_nxt : cb->end_seq);
  }
  tcp_send_ack(sk);
}

namespace {

void tcp_sack_maybe_coalesce(tcp_sock* tp) {
  tcp_sack_block* sp = tp->selective_acks;
  for (u32 i = 1; i < tp->rx_opt.num_sacks;) {
    if (tcp_sack_extend(sp, sp[i].start_seq, sp[i].end_seq)) {
      for (u32 j = i; j + 1 < tp->rx_opt.num_sacks; ++j) sp[j] = sp[j + 1];
      --tp->rx_opt.num_sacks;
      continue;
    }
    ++i;
  }
}

// The block that changed last goes first. [RFC 2018, 4]
void tcp_sack_new_ofo_skb(sock* sk, u32 seq, u32 end_seq) {
  tcp_sock* tp = tcp_sk(sk);
  tcp_sack_block* sp = tp->selective_acks;
  const u32 n = tp->rx_opt.num_sacks;
  for (u32 i = 0; i < n; ++i) {
    if (!tcp_sack_extend(&sp[i], seq, end_seq)) continue;
    for (u32 j = i; j > 0; --j) swap(sp[j], sp[j - 1]);
    if (n > 1) tcp_sack_maybe_coalesce(tp);
    return;
  }
  const u32 kept = min(n, 3u);
  for (u32 j = kept; j > 0; --j) sp[j] = sp[j - 1];
  sp[0] = {seq, end_seq};
  tp->rx_opt.num_sacks = static_cast<u8>(kept + 1);
}

void tcp_sack_remove(tcp_sock* tp) {
  if (tp->out_of_order_queue.node == nullptr) {
    tp->rx_opt.num_sacks = 0;
    return;
  }
  tcp_sack_block* sp = tp->selective_acks;
  u32 kept = 0;
  for (u32 i = 0; i < tp->rx_opt.num_sacks; ++i) {
    if (before(tp->rcv_nxt, sp[i].start_seq)) sp[kept++] = sp[i];
  }
  tp->rx_opt.num_sacks = static_cast<u8>(kept);
}

// --- queues ---
void tcp_rcv_nxt_update(tcp_sock* tp, u32 seq) {
  tp->bytes_received += seq - tp->rcv_nxt;
  write_once(tp->rcv_nxt, seq);
}

// Joins a small segment to the one before it where there is room, so that a stream of crumbs costs little.
bool tcp_try_coalesce(sk_buff* to, sk_buff* from) {
  if (TCP_SKB_CB(from)->seq != TCP_SKB_CB(to)->end_seq) return false;
  if (((TCP_SKB_CB(to)->tcp_flags | TCP_SKB_CB(from)->tcp_flags) & (TCPHDR_FIN | TCPHDR_SYN)) != 0) return false;
  if (skb_is_nonlinear(from) || skb_is_nonlinear(to) || skb_cloned(to) || skb_shared(to) ||
      from->len > skb_tailroom(to) || skb_shinfo(to)->frag_list != nullptr)
    return false;
  memcpy(skb_put(to, from->len), from->data, from->len);
  TCP_SKB_CB(to)->end_seq = TCP_SKB_CB(from)->end_seq;
  TCP_SKB_CB(to)->ack_seq = TCP_SKB_CB(from)->ack_seq;
  TCP_SKB_CB(to)->tcp_flags |= TCP_SKB_CB(from)->tcp_flags;
  NET_INC(LINUX_MIB_TCPRcvCoalesce);
  return true;
}

}  // namespace

// skb->data is at the data. True: the skb was eaten.
bool tcp_queue_rcv(sock* sk, sk_buff* skb) {
  tcp_sock* tp = tcp_sk(sk);
  sk_buff* tail = skb_peek_tail(&sk->sk_receive_queue);
  const bool eaten = tail != nullptr && skb->len < 512 && tcp_try_coalesce(tail, skb);
  tcp_rcv_nxt_update(tp, TCP_SKB_CB(skb)->end_seq);
  if (!eaten) {
    __skb_queue_tail(&sk->sk_receive_queue, skb);
    tcp_set_owner_r(skb, sk);
  }
  return eaten;
}

void tcp_drop(sk_buff* skb, SkbDropReason why) { kfree_skb_reason(skb, why); }

namespace {

void ofo_erase(tcp_sock* tp, OfoNode* n) {
  rb_erase(tp->out_of_order_queue, &n->node);
  kmem_cache_free(ofo_cache, n);
}

// Makes room: the newest out-of-order segments go. True: something went.
bool tcp_prune_ofo_queue(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  rb_node* n = rb_last(tp->out_of_order_queue);
  if (n == nullptr) return false;
  NET_INC(LINUX_MIB_OfoPruned);
  const s32 goal = static_cast<s32>(sk->sk_rcvbuf >> 3);
  s32 freed = 0;
  while (n != nullptr && (freed < goal || sk_rmem_alloc_get(sk) > static_cast<int>(sk->sk_rcvbuf))) {
    rb_node* previous = rb_prev(n);
    sk_buff* skb = ofo_skb(n);
    freed += static_cast<s32>(skb->truesize);
    ofo_erase(tp, ofo_of(n));
    tcp_drop(skb, SKB_DROP_TCP_OFO_QUEUE);
    n = previous;
  }
  // What was acknowledged selectively is gone: reneging, allowed. [RFC 2018, 8]
  tp->rx_opt.num_sacks = 0;
  return true;
}

int tcp_prune_queue(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  NET_INC(LINUX_MIB_PruneCalled);
  if (sk_rmem_alloc_get(sk) >= static_cast<int>(sk->sk_rcvbuf))
    tcp_clamp_window(sk);
  else
    tp->rcv_ssthresh = min(tp->rcv_ssthresh, 4u * tp->advmss);
  if (sk_rmem_alloc_get(sk) <= static_cast<int>(sk->sk_rcvbuf)) return 0;
  tcp_prune_ofo_queue(sk);
  if (sk_rmem_alloc_get(sk) <= static_cast<int>(sk->sk_rcvbuf)) return 0;
  NET_INC(LINUX_MIB_RcvPruned);
  tp->pred_flags = 0;
  return -1;
}

int tcp_try_rmem_schedule(sock* sk, u32 size) {
  if (sk_rmem_alloc_get(sk) > static_cast<int>(sk->sk_rcvbuf) || !sk_rmem_schedule(sk, size)) {
    if (tcp_prune_queue(sk) < 0) return -1;
    while (!sk_rmem_schedule(sk, size)) {
      if (!tcp_prune_ofo_queue(sk)) return -1;
    }
  }
  return 0;
}

// Segments of the out-of-order queue that have become the next ones.
void tcp_ofo_queue(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  u32 dsack_high = tp->rcv_nxt;
  bool fin = false;
  while (rb_node* n = tp->out_of_order_queue.leftmost) {
    OfoNode* on = ofo_of(n);
    sk_buff* skb = on->skb;
    tcp_skb_cb* cb = TCP_SKB_CB(skb);
    if (after(cb->seq, tp->rcv_nxt)) break;
    if (before(cb->seq, dsack_high)) {
      const u32 dsack = dsack_high;
      if (before(cb->end_seq, dsack_high)) dsack_high = cb->end_seq;
      tcp_dsack_extend(sk, cb->seq, dsack);
    }
    ofo_erase(tp, on);
    if (!after(cb->end_seq, tp->rcv_nxt)) {
      tcp_drop(skb, SKB_DROP_TCP_OLD_DATA);
      continue;
    }
    tcp_rcv_nxt_update(tp, cb->end_seq);
    fin = (cb->tcp_flags & TCPHDR_FIN) != 0;
    __skb_queue_tail(&sk->sk_receive_queue, skb);
    if (fin) {
      tcp_fin(sk);
      break;
    }
  }
}

void tcp_data_queue_ofo(sock* sk, sk_buff* skb) {
  tcp_sock* tp = tcp_sk(sk);
  if (tcp_try_rmem_schedule(sk, skb->truesize) != 0) {
    NET_INC(LINUX_MIB_TCPOFODrop);
    sk->sk_drops.inc();
    tcp_drop(skb, SKB_DROP_PROTO_MEM);
    return;
  }
  tp->pred_flags = 0;
  inet_csk_schedule_ack(sk);
  tp->rcv_ooopack += max<u32>(1, skb_shinfo(skb)->gso_segs);
  NET_INC(LINUX_MIB_TCPOFOQueue);
  const u32 seq = TCP_SKB_CB(skb)->seq, end_seq = TCP_SKB_CB(skb)->end_seq;
  if (ofo_cache == nullptr) ofo_cache = kmem_cache_create("tcp_ofo", sizeof(OfoNode), 0);
  void* memory = kmem_cache_alloc(ofo_cache, GFP_ATOMIC);
  if (memory == nullptr) {
    tcp_drop(skb, SKB_DROP_NOMEM);
    return;
  }
  OfoNode* fresh = new (memory) OfoNode{{}, skb};
  // The last segment that begins at or before this one.
  rb_node* at = tp->out_of_order_queue.node;
  rb_node* before_it = nullptr;
  while (at != nullptr) {
    if (after(TCP_SKB_CB(ofo_skb(at))->seq, seq)) {
      at = at->left;
    } else {
      before_it = at;
      at = at->right;
    }
  }
  if (before_it != nullptr) {
    const tcp_skb_cb* p = TCP_SKB_CB(ofo_skb(before_it));
    if (!after(end_seq, p->end_seq)) {  // all of it is there
      NET_INC(LINUX_MIB_TCPOFOMerge);
      kmem_cache_free(ofo_cache, fresh);
      tcp_dsack_set(sk, seq, end_seq);
      if (tcp_is_sack(tp)) tcp_sack_new_ofo_skb(sk, p->seq, p->end_seq);
      tcp_drop(skb, SKB_DROP_TCP_OFO_QUEUE);
      return;
    }
    if (before(seq, p->end_seq)) tcp_dsack_set(sk, seq, p->end_seq);
  }
  rb_insert(tp->out_of_order_queue, &fresh->node, [](const rb_node* a, const rb_node* b) {
    return before(TCP_SKB_CB(ofo_skb(const_cast<rb_node*>(a)))->seq, TCP_SKB_CB(ofo_skb(const_cast<rb_node*>(b)))->seq);
  });
  // Later ones that it covers are not needed any more.
  while (rb_node* next = rb_next(&fresh->node)) {
    sk_buff* other = ofo_skb(next);
    const tcp_skb_cb* o = TCP_SKB_CB(other);
    if (!after(end_seq, o->seq)) break;
    if (before(end_seq, o->end_seq)) {
      tcp_dsack_extend(sk, o->seq, end_seq);
      break;
    }
    tcp_dsack_extend(sk, o->seq, o->end_seq);
    NET_INC(LINUX_MIB_TCPOFOMerge);
    ofo_erase(tp, ofo_of(next));
    tcp_drop(other, SKB_DROP_TCP_OFO_QUEUE);
  }
  if (tcp_is_sack(tp)) tcp_sack_new_ofo_skb(sk, seq, end_seq);
  tcp_grow_window(sk, skb);
  tcp_set_owner_r(skb, sk);
}

}  // namespace

void tcp_event_data_recv(sock* sk, sk_buff* skb) {
  tcp_sock* tp = tcp_sk(sk);
  inet_connection_sock* icsk = inet_csk(sk);
  inet_csk_schedule_ack(sk);
  tcp_measure_rcv_mss(sk, skb);
  tcp_rcv_rtt_measure(tp);
  const u64 now = tp->tcp_mstamp;
  if (icsk->icsk_ack.ato == 0) {
    tcp_incr_quickack(sk, TCP_MAX_QUICKACKS);
    icsk->icsk_ack.ato = TCP_ATO_MIN;
  } else {
    const u64 m = now - icsk->icsk_ack.lrcvtime;
    if (m <= TCP_ATO_MIN / 2) {
      icsk->icsk_ack.ato = (icsk->icsk_ack.ato >> 1) + TCP_ATO_MIN / 2;
    } else if (m < icsk->icsk_ack.ato) {
      icsk->icsk_ack.ato = min((icsk->icsk_ack.ato >> 1) + m, icsk->icsk_rto);
    } else if (m > icsk->icsk_rto) {
      tcp_incr_quickack(sk, TCP_MAX_QUICKACKS);
    }
  }
  icsk->icsk_ack.lrcvtime = now;
  if ((tp->ecn_flags & TCP_ECN_OK) != 0) {
    if ((TCP_SKB_CB(skb)->ip_dsfield & 3) == 3) {
      if ((tp->ecn_flags & TCP_ECN_DEMAND_CWR) == 0) {
        tcp_enter_quickack_mode(sk, 2);
        tp->ecn_flags |= TCP_ECN_DEMAND_CWR;
      }
      tp->ecn_flags |= TCP_ECN_SEEN;
    }
  }
  if (skb->len >= 128) tcp_grow_window(sk, skb);
}

void tcp_data_ready(sock* sk) {
  const tcp_sock* tp = tcp_sk(sk);
  const u32 avail = tp->rcv_nxt - tp->copied_seq;
  if (avail < static_cast<u32>(sk->sk_rcvlowat) && (sk->sk_shutdown & RCV_SHUTDOWN) == 0 && tcp_receive_window(tp) > 0)
    return;
  if (!sk->sk_dead) sock_def_readable(sk);
}

void tcp_ofo_purge(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  while (rb_node* n = tp->out_of_order_queue.leftmost) {
    sk_buff* skb = ofo_skb(n);
    ofo_erase(tp, ofo_of(n));
    kfree_skb_reason(skb, SKB_DROP_TCP_CLOSE);
  }
}

void tcp_fast_path_check(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  if (tp->out_of_order_queue.node == nullptr && tp->rcv_wnd != 0 &&
      sk_rmem_alloc_get(sk) < static_cast<int>(sk->sk_rcvbuf) && tp->urg_data == 0)
    tp->pred_flags =
        htonl(tp->tcp_header_len << 26 | static_cast<u32>(TCPHDR_ACK) << 16 | (tp->snd_wnd >> tp->rx_opt.snd_wscale));
}

// The peer has nothing more to say. [RFC 9293, 3.10.7.4, "eighth, check the FIN bit"]
void tcp_fin(sock* sk) {
  tcp_sock* tp = tcp_sk(sk);
  inet_csk_schedule_ack(sk);
  sk->sk_shutdown |= RCV_SHUTDOWN;
  switch (sk->sk_state) {
    case TCP_SYN_RECV:
    case TCP_ESTABLISHED:
      tcp_set_state(sk, TCP_CLOSE_WAIT);
      inet_csk(sk)->icsk_ack.pingpong = 3;
      break;
    case TCP_CLOSE_WAIT:
    case TCP_CLOSING:
    case TCP_LAST_ACK: break;  // again
    case TCP_FIN_WAIT1:        // both at once
      tcp_send_ack(sk);
      tcp_set_state(sk, TCP_CLOSING);
      break;
    case TCP_FIN_WAIT2:
      tcp_send_ack(sk);
      tcp_time_wait(sk, TCP_TIME_WAIT, 0);
      break;
    default: break;
  }
  tcp_ofo_purge(sk);
  tp->rx_opt.num_sacks = 0;
  tp->rx_opt.dsack = false;
  if (sk->sk_dead) return;
  // Readers find the end, poll finds POLLRDHUP and, when both are closed, POLLHUP.
  wake_up_all(sk->sk_wait, sk->sk_shutdown == SHUTDOWN_MASK || sk->sk_state == TCP_CLOSE
                               ? static_cast<u32>(POLLIN | POLLRDNORM | POLLRDHUP | POLLHUP | POLLOUT | POLLWRNORM)
                               : static_cast<u32>(POLLIN | POLLRDNORM | POLLRDHUP));
}

// skb->data is at the TCP header.
void tcp_data_queue(sock* sk, sk_buff* skb) {
  tcp_sock* tp = tcp_sk(sk);
  tcp_skb_cb* cb = TCP_SKB_CB(skb);
  if (cb->seq == cb->end_seq) {
    consume_skb(skb);
    return;
  }
  skb_dst_drop(skb);
  skb_pull(skb, tcp_hdrlen(skb));
  tp->rx_opt.dsack = false;
  const auto out_of_window = [&](SkbDropReason why) {
    tcp_enter_quickack_mode(sk, TCP_MAX_QUICKACKS);
    inet_csk_schedule_ack(sk);
    tcp_drop(skb, why);
  };
  if (cb->seq != tp->rcv_nxt) {
    if (!after(cb->end_seq, tp->rcv_nxt)) {  // all of it was here before
      tcp_dsack_set(sk, cb->seq, cb->end_seq);
      return out_of_window(SKB_DROP_TCP_OLD_DATA);
    }
    if (!before(cb->seq, tp->rcv_nxt + tcp_receive_window(tp))) return out_of_window(SKB_DROP_TCP_OVERWINDOW);
    if (after(cb->seq, tp->rcv_nxt)) return tcp_data_queue_ofo(sk, skb);
    tcp_dsack_set(sk, cb->seq, tp->rcv_nxt);  // its beginning was
    if (tcp_receive_window(tp) == 0) return out_of_window(SKB_DROP_TCP_ZEROWINDOW);
  }
  if (tcp_receive_window(tp) == 0) {
    NET_INC(LINUX_MIB_TCPZeroWindowDrop);
    return out_of_window(SKB_DROP_TCP_ZEROWINDOW);
  }
  const u32 size = skb->truesize;
  if (skb_peek(&sk->sk_receive_queue) == nullptr) {
    sk_rmem_schedule(sk, size);  // a segment into an empty queue is always taken
  } else if (tcp_try_rmem_schedule(sk, size) != 0) {
    NET_INC(LINUX_MIB_TCPRcvQDrop);
    sk->sk_drops.inc();
    inet_csk(sk)->icsk_ack.pending |= ICSK_ACK_NOW;
    inet_csk_schedule_ack(sk);
    return tcp_drop(skb, SKB_DROP_PROTO_MEM);
  }
  const bool fin = (cb->tcp_flags & TCPHDR_FIN) != 0;
  const bool has_data = skb->len > 0;
  const bool eaten = tcp_queue_rcv(sk, skb);
  if (has_data) tcp_event_data_recv(sk, skb);
  if (fin) tcp_fin(sk);
  if (tp->out_of_order_queue.node != nullptr) {
    tcp_ofo_queue(sk);
    // The gap is filled: tell at once. [RFC 5681, 4.2]
    if (tp->out_of_order_queue.node == nullptr) inet_csk(sk)->icsk_ack.pending |= ICSK_ACK_NOW;
  }
  if (tp->rx_opt.num_sacks > 0) tcp_sack_remove(tp);
  tcp_fast_path_check(sk);
  if (eaten) consume_skb(skb);
  if (!sk->sk_dead) tcp_data_ready(sk);
}

}  // namespace xm::os
