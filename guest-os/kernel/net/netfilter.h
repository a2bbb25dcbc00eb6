// SPDX-License-Identifier: GPL-2.0-or-later
// The five places where packets of a family pass the filters. Without filters nf_hook costs one load.
#pragma once

#include "kernel/net/netdevice.h"

namespace xm::os {

enum NfHook : u32 {
  NF_INET_PRE_ROUTING,
  NF_INET_LOCAL_IN,
  NF_INET_FORWARD,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_NUMHOOKS
};
enum NfProto : u32 { NFPROTO_IPV4, NFPROTO_IPV6, NFPROTO_BRIDGE, NFPROTO_NUMPROTO };
enum NfVerdict : u32 { NF_DROP, NF_ACCEPT, NF_STOLEN, NF_QUEUE, NF_REPEAT };

struct nf_hook_state {
  NfHook hook;
  NfProto pf;
  net_device* in;
  net_device* out;
  sock* sk;
};
using nf_hookfn = u32 (*)(sk_buff* skb, const nf_hook_state* state, void* priv);
struct nf_hook_ops {
  nf_hookfn hook;
  NfProto pf;
  NfHook hooknum;
  int priority;
  nf_hook_ops* next;
  void* priv;
};
// Each list is in order of priority; readers are inside net_read_lock().
extern nf_hook_ops* nf_hooks[NFPROTO_NUMPROTO][NF_INET_NUMHOOKS];
int nf_register_net_hook(nf_hook_ops* ops);
void nf_unregister_net_hook(nf_hook_ops* ops);

u32 nf_hook_slow(sk_buff* skb, const nf_hook_state* state);  // consumes the skb unless it answers NF_ACCEPT

// Runs the hook, then okfn if the packet passed.
template <class Okfn>
inline int NF_HOOK(NfProto pf, NfHook hook, sk_buff* skb, net_device* in, net_device* out, Okfn okfn) {
  if (unlikely(read_once(nf_hooks[pf][hook]) != nullptr)) {
    const nf_hook_state state{hook, pf, in, out, skb->sk};
    if (nf_hook_slow(skb, &state) != NF_ACCEPT) return 0;
  }
  return okfn(skb);
}

}  // namespace xm::os
