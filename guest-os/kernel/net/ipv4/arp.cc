// SPDX-License-Identifier: GPL-2.0-or-later
// ARP [RFC 826, RFC 5227]: requests, replies and announcements over Ethernet, and /proc/net/arp. GAP: no proxy ARP.
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/lib/result.h"
#include "kernel/net/dst.h"
#include "kernel/net/inetdevice.h"
#include "kernel/net/neighbour.h"
#include "kernel/sched/clock.h"

namespace xm::os {
namespace {

constexpr u16 kArpRequest = 1, kArpReply = 2;
constexpr int kScopeLink = 253;

struct arphdr {  // for 6-byte link addresses and IPv4
  u16 ar_hrd, ar_pro;
  u8 ar_hln, ar_pln;
  u16 ar_op;
  u8 ar_sha[kEthAlen];
  u8 ar_sip[4];
  u8 ar_tha[kEthAlen];
  u8 ar_tip[4];
} __attribute__((packed));
static_assert(sizeof(arphdr) == 28);

be32 key_of(const neighbour* n) { return get_unaligned<be32>(n->primary_key); }

bool is_broadcast_on(const net_device* dev, be32 address) {
  if (ipv4_is_lbcast(address)) return true;
  net_read_lock();
  bool found = false;
  if (const in_device* in = in_dev_get(dev)) {
    for (const in_ifaddr* a = in->ifa_list; a != nullptr && !found; a = a->ifa_next)
      found = address == a->ifa_broadcast && a->ifa_broadcast != 0;
  }
  net_read_unlock();
  return found;
}

bool is_local(be32 address) {
  net_device* owner = ip_dev_find(address);
  dev_put(owner);
  return owner != nullptr;
}

// Addresses that need no question: groups and broadcasts have fixed link-layer addresses, some links have none.
int arp_constructor(neighbour* n) {
  net_device* dev = n->dev;
  const be32 key = key_of(n);
  if (dev->header == nullptr) {
    n->nud_state = NUD_NOARP;
  } else if (ipv4_is_multicast(key)) {  // [RFC 1112, 6.4]
    n->nud_state = NUD_NOARP;
    const u32 group = ntohl(key);
    const u8 mac[kEthAlen] = {
        1, 0, 0x5e, static_cast<u8>(group >> 16 & 0x7f), static_cast<u8>(group >> 8), static_cast<u8>(group)};
    memcpy(n->ha, mac, kEthAlen);
  } else if ((dev->flags & (IFF_NOARP | IFF_LOOPBACK)) != 0) {
    n->nud_state = NUD_NOARP;
    memcpy(n->ha, dev->dev_addr, dev->addr_len);
  } else if (is_broadcast_on(dev, key) || (dev->flags & IFF_POINTOPOINT) != 0) {
    n->nud_state = NUD_NOARP;
    memcpy(n->ha, dev->broadcast, dev->addr_len);
  }
  return 0;
}

// The source of a request: that of the packet that waits if it is ours, else one that fits the target.
be32 source_for(const neighbour* n, const sk_buff* skb) {
  if (skb != nullptr && skb->protocol == htons(ETH_P_IP) && skb->len >= 20) {
    be32 source;
    if (skb_copy_bits(skb, 12, &source, 4) == 0 && is_local(source)) return source;
  }
  return inet_select_addr(n->dev, key_of(n), kScopeLink);
}

void arp_solicit(neighbour* n, sk_buff* skb) {
  u8 known[kMaxAddrLen];
  bool unicast;
  {
    BhGuard guard(n->lock);
    unicast = n->probes <= n->tbl->ucast_probes && (n->nud_state & NUD_VALID) != 0;
    memcpy(known, n->ha, sizeof known);
  }
  arp_send(kArpRequest, key_of(n), n->dev, source_for(n, skb), unicast ? known : nullptr, nullptr, nullptr);
}

void arp_error_report(neighbour*, sk_buff* skb) {
  if (skb->dst != nullptr && skb->dst->ops->link_failure != nullptr) skb->dst->ops->link_failure(skb);
  kfree_skb_reason(skb, SKB_DROP_NEIGH_FAILED);
}

// What a packet tells about its sender.
void learn(net_device* dev, const arphdr* arp, be32 sip, be32 tip, bool for_us, bool host) {
  const bool reply = arp->ar_op == htons(kArpReply);
  neighbour* n;
  if (for_us && !reply) {
    n = neigh_create(&arp_tbl, &sip, dev);  // who asks us will talk to us
    if (n == nullptr) return;
    neigh_update(n, arp->ar_sha, NUD_STALE, NEIGH_UPDATE_F_OVERRIDE);
    neigh_release(n);
    return;
  }
  n = neigh_lookup(&arp_tbl, &sip, dev);
  if (n == nullptr) return;
  const bool gratuitous = sip == tip;
  const bool settled = ktime_get() > n->updated + n->tbl->locktime_ns || gratuitous;
  const u8 state = reply && host && !gratuitous ? NUD_REACHABLE : NUD_STALE;
  neigh_update(n, arp->ar_sha, state, settled ? NEIGH_UPDATE_F_OVERRIDE : 0u);
  neigh_release(n);
}

void arp_process(sk_buff* skb, net_device* dev) {
  const auto* arp = reinterpret_cast<const arphdr*>(skb->data);
  const be32 sip = get_unaligned<be32>(arp->ar_sip), tip = get_unaligned<be32>(arp->ar_tip);
  if (ipv4_is_multicast(tip) || ipv4_is_loopback(tip) || ipv4_is_multicast(sip) || ipv4_is_lbcast(sip)) return;
  const bool request = arp->ar_op == htons(kArpRequest);
  const bool for_us = is_local(tip);
  if (sip == 0) {  // somebody looks whether the address is free [RFC 5227, 2.1.1]
    if (request && for_us) arp_send(kArpReply, sip, dev, tip, arp->ar_sha, nullptr, arp->ar_sha);
    return;
  }
  if (is_local(sip)) return;
  learn(dev, arp, sip, tip, for_us, skb->pkt_type == PACKET_HOST);
  if (request && for_us) arp_send(kArpReply, sip, dev, tip, arp->ar_sha, nullptr, arp->ar_sha);
}

int arp_rcv(sk_buff* skb, net_device* dev, packet_type*, net_device*) {
  if ((dev->flags & IFF_NOARP) != 0 || dev->addr_len != kEthAlen || skb->pkt_type == PACKET_OTHERHOST ||
      skb->pkt_type == PACKET_LOOPBACK || in_dev_get(dev) == nullptr) {
    consume_skb(skb);
    return 0;
  }
  skb = skb_share_check(skb, GFP_ATOMIC);
  if (skb == nullptr) return 0;
  if (!pskb_may_pull(skb, sizeof(arphdr))) {
    kfree_skb_reason(skb, SKB_DROP_PKT_TOO_SMALL);
    return 0;
  }
  const auto* arp = reinterpret_cast<const arphdr*>(skb->data);
  if (arp->ar_hrd == htons(ARPHRD_ETHER) && arp->ar_pro == htons(ETH_P_IP) && arp->ar_hln == kEthAlen &&
      arp->ar_pln == 4 && (arp->ar_op == htons(kArpRequest) || arp->ar_op == htons(kArpReply)))
    arp_process(skb, dev);
  consume_skb(skb);
  return 0;
}

constinit packet_type arp_packet_type{ETH_P_ARP, nullptr, arp_rcv};

void device_event(NetdevEvent event, net_device* dev) {
  if (event == NETDEV_DOWN || event == NETDEV_UNREGISTER) neigh_ifdown(&arp_tbl, dev);
  if (event == NETDEV_CHANGEADDR) neigh_changeaddr(&arp_tbl, dev);
}
constinit notifier_block arp_notifier{device_event};

void show_entry(neighbour* n, void* out) {
  const u8 state = n->nud_state;
  if ((state & ~NUD_NOARP) == 0) return;
  const u32 flags = (state & NUD_PERMANENT) != 0 ? 6 : (state & NUD_VALID) != 0 ? 2 : 0;  // ATF_PERM, ATF_COM
  const u8* k = n->primary_key;
  char address[16];
  format(address, sizeof address, "%u.%u.%u.%u", k[0], k[1], k[2], k[3]);
  static_cast<TextBuffer*>(out)->print("%-16s 0x%-10x0x%-10x%02x:%02x:%02x:%02x:%02x:%02x     *        %s\n", address,
                                       n->dev->type, flags, n->ha[0], n->ha[1], n->ha[2], n->ha[3], n->ha[4], n->ha[5],
                                       n->dev->name);
}

void show_arp(TextBuffer& out, void*) {
  out.print("IP address       HW type     Flags       HW address            Mask     Device\n");
  neigh_for_each(&arp_tbl, show_entry, &out);
}

}  // namespace

neigh_table arp_tbl{.family = 2,
                    .key_len = 4,
                    .id = "arp_cache",
                    .constructor = arp_constructor,
                    .solicit = arp_solicit,
                    .error_report = arp_error_report};

void arp_send(u16 op, be32 dest_ip, net_device* dev, be32 src_ip, const u8* dest_hw, const u8* src_hw,
              const u8* target_hw) {
  if ((dev->flags & IFF_NOARP) != 0 || dev->header == nullptr || dev->addr_len != kEthAlen) return;
  sk_buff* skb = alloc_skb(kMaxHeader + sizeof(arphdr), GFP_ATOMIC);
  if (skb == nullptr) return;
  skb_reserve(skb, kMaxHeader);
  skb_reset_network_header(skb);
  auto* arp = reinterpret_cast<arphdr*>(skb_put(skb, sizeof(arphdr)));
  skb->dev = dev;
  skb->protocol = htons(ETH_P_ARP);
  if (src_hw == nullptr) src_hw = dev->dev_addr;
  *arp = {htons(ARPHRD_ETHER), htons(ETH_P_IP), kEthAlen, 4, htons(op), {}, {}, {}, {}};
  memcpy(arp->ar_sha, src_hw, kEthAlen);
  put_unaligned(src_ip, arp->ar_sip);
  if (target_hw != nullptr) memcpy(arp->ar_tha, target_hw, kEthAlen);
  put_unaligned(dest_ip, arp->ar_tip);
  if (dev->header->create(skb, dev, ETH_P_ARP, dest_hw == nullptr ? dev->broadcast : dest_hw, src_hw, skb->len) < 0) {
    kfree_skb_reason(skb, SKB_DROP_DEV_HDR);
    return;
  }
  dev_queue_xmit(skb);
}

void arp_init() {
  neigh_table_init(&arp_tbl);
  dev_add_pack(&arp_packet_type);
  register_netdevice_notifier(&arp_notifier);
  proc_create(&proc_root, "net/arp", 0444, show_arp);
}
FS_INITCALL(arp_init);

}  // namespace xm::os
