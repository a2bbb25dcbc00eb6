// SPDX-License-Identifier: GPL-2.0-or-later
// The list of netfilter hooks and the destination that swallows packets.
#include "kernel/net/dst.h"
#include "kernel/net/netfilter.h"

namespace xm::os {

nf_hook_ops* nf_hooks[NFPROTO_NUMPROTO][NF_INET_NUMHOOKS];

int nf_register_net_hook(nf_hook_ops* ops) {
  nf_hook_ops** at = &nf_hooks[ops->pf][ops->hooknum];
  while (*at != nullptr && (*at)->priority <= ops->priority) at = &(*at)->next;
  ops->next = *at;
  __atomic_store_n(at, ops, __ATOMIC_RELEASE);
  return 0;
}

void nf_unregister_net_hook(nf_hook_ops* ops) {
  for (nf_hook_ops** at = &nf_hooks[ops->pf][ops->hooknum]; *at != nullptr; at = &(*at)->next) {
    if (*at != ops) continue;
    __atomic_store_n(at, ops->next, __ATOMIC_RELEASE);
    break;
  }
  synchronize_net();
}

u32 nf_hook_slow(sk_buff* skb, const nf_hook_state* state) {
  for (nf_hook_ops* h = read_once(nf_hooks[state->pf][state->hook]); h != nullptr; h = read_once(h->next)) {
    u32 verdict;
    do verdict = h->hook(skb, state, h->priv);
    while (verdict == NF_REPEAT);
    if (verdict == NF_ACCEPT) continue;
    if (verdict == NF_DROP || verdict == NF_QUEUE) {  // nobody listens on a queue
      kfree_skb_reason(skb, SKB_DROP_NETFILTER_DROP);
      return NF_DROP;
    }
    return verdict;
  }
  return NF_ACCEPT;
}

int dst_discard(sk_buff* skb) {
  kfree_skb(skb);
  return 0;
}

}  // namespace xm::os
