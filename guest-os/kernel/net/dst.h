// SPDX-License-Identifier: GPL-2.0-or-later
// Destinations: what a route look-up yields and a packet carries. `input` and `output` are the packet's next steps.
#pragma once

#include "kernel/net/byteorder.h"
#include "kernel/net/skbuff.h"

namespace xm::os {

struct dst_entry;
struct neighbour;

struct dst_ops {
  u16 family;  // AF_*
  void (*destroy)(dst_entry*);
  // Still the best route? `cookie` is the generation the holder remembers.
  bool (*check)(const dst_entry*, u32 cookie);
  u32 (*mtu)(const dst_entry*);
  u32 (*advmss)(const dst_entry*);
  void (*update_pmtu)(dst_entry*, const sk_buff* skb, u32 mtu);
  void (*link_failure)(sk_buff* skb);  // no neighbour: report unreachable; does not consume
};

struct dst_entry {
  Atomic<s32> refcnt{1};
  int error = 0;
  const dst_ops* ops = nullptr;
  net_device* dev = nullptr;  // referenced
  int (*input)(sk_buff* skb) = nullptr;
  int (*output)(sk_buff* skb) = nullptr;
  u32 generation = 0;  // of the routing tables when it was made
  u32 metric_mtu = 0, metric_advmss = 0, metric_window = 0, metric_initcwnd = 0;  // of the route, 0: none
  bool mtu_locked = false;
};

inline dst_entry* dst_hold(dst_entry* d) {
  d->refcnt.inc();
  return d;
}
inline void dst_release(dst_entry* d) {
  if (d != nullptr && d->refcnt.dec_and_test()) d->ops->destroy(d);
}
inline dst_entry* skb_dst(const sk_buff* skb) { return skb->dst; }
inline void skb_dst_set(sk_buff* skb, dst_entry* d) { skb->dst = d; }  // takes the reference
inline void skb_dst_drop(sk_buff* skb) {
  if (skb->dst == nullptr) return;
  dst_release(skb->dst);
  skb->dst = nullptr;
}
inline int dst_input(sk_buff* skb) { return skb->dst->input(skb); }
inline int dst_output(sk_buff* skb) { return skb->dst->output(skb); }
inline u32 dst_mtu(const dst_entry* d) { return d->ops->mtu(d); }
int dst_discard(sk_buff* skb);

}  // namespace xm::os
