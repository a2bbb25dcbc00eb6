// SPDX-License-Identifier: GPL-2.0-or-later
// Generic receive offload.
#include "kernel/net/netdevice.h"

namespace xm::os {

void napi_gro_receive(napi_struct*, sk_buff* skb) { netif_receive_skb(skb); }
void napi_gro_flush(napi_struct*) {}

}  // namespace xm::os
