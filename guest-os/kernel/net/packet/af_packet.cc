// SPDX-License-Identifier: GPL-2.0-or-later
// AF_PACKET: sockets that see what goes through a device, before the protocols and after them, and send frames of their
// own making. [man 7 packet] GAP: no fanout, no SOCK_PACKET.
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/lib/result.h"
#include "kernel/mm/slab.h"
#include "kernel/net/dst.h"
#include "kernel/net/packet/filter.h"
#include "kernel/net/packet/packet.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

struct Membership {
  list_head link;
  int ifindex;
  u16 type, alen;
  u8 address[8];
  u32 count;
};

packet_sock* pk(socket* s) { return static_cast<packet_sock*>(s->sk); }
PacketCb* cb_of(sk_buff* skb) { return reinterpret_cast<PacketCb*>(skb->cb); }

struct PacketProto final : proto {
  PacketProto() : proto("PACKET", sizeof(packet_sock)) {}
  sock* alloc() const override { return knew<packet_sock>(); }
  void destruct(sock* sk) const override { kdelete(static_cast<packet_sock*>(sk)); }
  void close(sock*, u64) const override {}
  int backlog_rcv(sock*, sk_buff* skb) const override {
    consume_skb(skb);
    return 0;
  }
};
const PacketProto packet_proto;

void drop(packet_sock* po, sk_buff* skb) {
  po->drops.inc();
  po->sk_drops.inc();
  kfree_skb_reason(skb, SKB_DROP_SOCKET_RCVBUFF);
}

// A packet that passed the hook: cut by the filter, then into the ring or the queue.
int packet_rcv(sk_buff* skb, net_device* dev, packet_type* pt, net_device* orig) {
  auto* po = static_cast<packet_sock*>(static_cast<sock*>(pt->af_packet_priv));
  if (skb->pkt_type == PACKET_LOOPBACK || (po->ignore_outgoing && skb->pkt_type == PACKET_OUTGOING)) {
    consume_skb(skb);
    return 0;
  }
  skb = skb_share_check(skb, GFP_ATOMIC);
  if (skb == nullptr) return 0;
  if (dev->header != nullptr && skb_mac_header_was_set(skb)) {
    if (po->sk_type != SOCK_DGRAM) {
      const u32 back = skb_headroom(skb) - skb->mac_header;
      if (static_cast<s32>(back) > 0) skb_push(skb, back);
    } else if (skb->pkt_type == PACKET_OUTGOING && skb_network_offset(skb) <= skb->len) {
      skb_pull(skb, skb_network_offset(skb));
    }
  }
  u32 keep = skb->len;
  if (const sk_filter* f = read_once(po->sk_filter_prog); f != nullptr) keep = min(sk_filter_run(f, skb), keep);
  if (keep == 0) {
    consume_skb(skb);
    return 0;
  }
  net_device* shown = po->origdev ? orig : dev;
  if (read_once(po->ring.blocks) != nullptr) {
    if (packet_ring_store(po, skb, shown, keep)) {
      po->packets.inc();
      consume_skb(skb);
    } else {
      drop(po, skb);
    }
    return 0;
  }
  if (sk_rmem_alloc_get(po) + static_cast<s32>(skb->truesize) > static_cast<s32>(po->sk_rcvbuf) &&
      sk_rmem_alloc_get(po) > 0) {
    drop(po, skb);
    return 0;
  }
  const u32 whole = skb->len;
  packet_fill_address(&cb_of(skb)->from, skb, shown);
  cb_of(skb)->original_length = whole;
  if (pskb_trim(skb, keep) != 0) {
    drop(po, skb);
    return 0;
  }
  skb_dst_drop(skb);
  skb_set_owner_r(skb, po);
  po->packets.inc();
  skb_queue_tail(&po->sk_receive_queue, skb);
  sock_def_readable(po);
  return 0;
}

void unhook(packet_sock* po) {  // with control_lock
  if (!po->hooked) return;
  po->hooked = false;
  dev_remove_pack(&po->hook);
}
void hook(packet_sock* po) {
  if (po->num == 0 || po->hooked) return;
  po->hook.type = ntohs(po->num);
  po->hook.func = packet_rcv;
  po->hook.af_packet_priv = static_cast<sock*>(po);
  po->hooked = true;
  dev_add_pack(&po->hook);
}

int do_bind(packet_sock* po, int ifindex, u16 protocol) {
  MutexGuard guard(po->control_lock);
  net_device* dev = nullptr;
  if (ifindex != 0) {
    dev = dev_get_by_index(ifindex);
    if (dev == nullptr) return -ENODEV;
  }
  unhook(po);
  dev_put(po->hook.dev);
  po->hook.dev = dev;
  po->ifindex = ifindex;
  po->num = protocol;
  if (dev != nullptr && !netif_running(dev)) {
    sk_set_err(po, ENETDOWN);
    sock_def_error_report(po);
  }
  hook(po);
  return 0;
}

// --- memberships ---
int apply_membership(net_device* dev, const Membership* m, int change) {
  switch (m->type) {
    case PACKET_MR_MULTICAST: return change > 0 ? dev_mc_add(dev, m->address) : dev_mc_del(dev, m->address);
    case PACKET_MR_PROMISC: return dev_set_promiscuity(dev, change);
    case PACKET_MR_ALLMULTI: return dev_set_allmulti(dev, change);
    default: return 0;  // UNICAST: devices take all that comes
  }
}

int add_membership(packet_sock* po, const packet_mreq& q) {
  net_device* dev = dev_get_by_index(q.mr_ifindex);
  if (dev == nullptr) return -ENODEV;
  int error = q.mr_alen > dev->addr_len || q.mr_type > PACKET_MR_UNICAST ? -EINVAL : 0;
  Membership* same = nullptr;
  for (Membership* m : entries<&Membership::link>(po->memberships)) {
    if (m->ifindex == q.mr_ifindex && m->type == q.mr_type && m->alen == q.mr_alen &&
        memcmp(m->address, q.mr_address, q.mr_alen) == 0)
      same = m;
  }
  if (error == 0 && same != nullptr) {
    ++same->count;
  } else if (error == 0) {
    Membership* m = knew<Membership>();
    if (m == nullptr) {
      error = -ENOBUFS;
    } else {
      m->ifindex = q.mr_ifindex;
      m->type = q.mr_type;
      m->alen = q.mr_alen;
      memcpy(m->address, q.mr_address, sizeof m->address);
      m->count = 1;
      error = apply_membership(dev, m, 1);
      error == 0 ? list_add_tail(&m->link, &po->memberships) : kdelete(m);
    }
  }
  dev_put(dev);
  return error;
}

void end_membership(Membership* m) {
  if (net_device* dev = dev_get_by_index(m->ifindex)) {
    apply_membership(dev, m, -1);
    dev_put(dev);
  }
  list_del(&m->link);
  kdelete(m);
}

int drop_membership(packet_sock* po, const packet_mreq& q) {
  for (Membership* m : entries<&Membership::link>(po->memberships)) {
    if (m->ifindex != q.mr_ifindex || m->type != q.mr_type || m->alen != q.mr_alen ||
        memcmp(m->address, q.mr_address, min<u32>(q.mr_alen, 8)) != 0)
      continue;
    if (--m->count == 0) end_membership(m);
    return 0;
  }
  return -EADDRNOTAVAIL;
}

int change_membership(packet_sock* po, int name, u64 user, u32 length) {
  packet_mreq q{};
  if (length < offsetof(packet_mreq, mr_address)) return -EINVAL;
  TRY_INT(copy_from_user(&q, reinterpret_cast<const void*>(user), min<u64>(length, sizeof q)));
  if (q.mr_alen > sizeof q.mr_address || length < offsetof(packet_mreq, mr_address) + q.mr_alen) return -EINVAL;
  rtnl_lock();
  const int error = name == PACKET_ADD_MEMBERSHIP ? add_membership(po, q) : drop_membership(po, q);
  rtnl_unlock();
  return error;
}

int set_ring(packet_sock* po, u64 user, u32 length) {
  tpacket_req3 q{};
  const u32 wanted = po->version == TPACKET_V3 ? sizeof(tpacket_req3) : sizeof(tpacket_req);
  if (length < wanted) return -EINVAL;
  TRY_INT(copy_from_user(&q, reinterpret_cast<const void*>(user), wanted));
  MutexGuard guard(po->control_lock);
  return packet_set_ring(po, q);
}

// --- sending ---
struct Destination {
  net_device* dev = nullptr;  // referenced
  u16 protocol = 0;
  const u8* address = nullptr;
};

int find_destination(packet_sock* po, const msghdr& m, Destination* d) {
  int ifindex = po->ifindex;
  d->protocol = po->num;
  if (m.name != nullptr) {
    const auto& a = reinterpret_cast<const sockaddr_ll&>(*m.name);
    if (m.name_len < offsetof(sockaddr_ll, sll_addr) || m.name_len < offsetof(sockaddr_ll, sll_addr) + a.sll_halen)
      return -EINVAL;
    ifindex = a.sll_ifindex;
    d->protocol = a.sll_protocol;
    d->address = a.sll_halen == 0 ? nullptr : a.sll_addr;
  }
  d->dev = dev_get_by_index(ifindex);
  if (d->dev == nullptr) return -ENXIO;
  if (d->address != nullptr && reinterpret_cast<const sockaddr_ll&>(*m.name).sll_halen < d->dev->addr_len &&
      po->sk_type == SOCK_DGRAM)
    return -EINVAL;
  return netif_running(d->dev) ? 0 : -ENETDOWN;
}

int fill_frame(packet_sock* po, const Destination& d, sk_buff* skb, msghdr& m, u32 length) {
  net_device* dev = d.dev;
  skb_reserve(skb, kMaxHeader);
  skb_reset_network_header(skb);
  if (m.iter->copy_from(skb_put(skb, length), length) != length) return -EFAULT;
  skb->dev = dev;
  skb->protocol = d.protocol;
  if (po->sk_type == SOCK_DGRAM) {
    if (dev->header != nullptr && dev->header->create(skb, dev, ntohs(d.protocol), d.address, nullptr, length) < 0)
      return -EINVAL;
  } else {
    if (length < dev->hard_header_len) return -EINVAL;
    if (dev->header != nullptr && (d.protocol == 0 || d.protocol == htons(ETH_P_ALL)))
      skb->protocol = reinterpret_cast<const ethhdr*>(skb->data)->h_proto;
    skb->network_header = skb_headroom(skb) + dev->hard_header_len;
  }
  skb->transport_header = skb->network_header;
  skb->priority = po->sk_priority;
  skb->mark = po->sk_mark;
  return 0;
}

ssize_t packet_sendmsg(packet_sock* po, msghdr& m) {
  Destination d;
  int error = find_destination(po, m, &d);
  const u64 length = m.iter->count();
  if (error == 0) {
    const u32 header = po->sk_type == SOCK_RAW ? d.dev->hard_header_len : 0u;
    if (length > d.dev->mtu + header + 4u) error = -EMSGSIZE;
  }
  sk_buff* skb = nullptr;
  if (error == 0) skb = sock_alloc_send_skb(po, static_cast<u32>(length) + kMaxHeader, 0, m.nonblocking(), &error);
  if (skb != nullptr) {
    error = fill_frame(po, d, skb, m, static_cast<u32>(length));
    if (error != 0) {
      consume_skb(skb);
    } else {
      const int sent = dev_queue_xmit(skb);
      if (sent > 0) error = -ENOBUFS;
      if (sent < 0) error = sent;
    }
  }
  dev_put(d.dev);
  return error != 0 ? error : static_cast<ssize_t>(length);
}

ssize_t packet_recvmsg(packet_sock* po, msghdr& m) {
  int error = 0;
  sk_buff* skb = skb_recv_datagram(po, m.flags, &error);
  if (skb == nullptr) return error;
  const u32 whole = skb->len, n = static_cast<u32>(min<u64>(whole, m.iter->count()));
  if (n < whole) m.out_flags |= MSG_TRUNC;
  error = skb_copy_datagram_iter(skb, 0, m.iter, n);
  sock_recv_cmsgs(m, po, skb);
  const PacketCb cb = *cb_of(skb);
  if (m.name != nullptr) {
    memcpy(m.name, &cb.from, sizeof cb.from);
    m.name_len = sizeof cb.from;
  }
  if (po->auxdata) {
    tpacket_auxdata aux{};
    aux.tp_status = TP_STATUS_USER | packet_status(skb);
    aux.tp_len = cb.original_length;
    aux.tp_snaplen = whole;
    aux.tp_net = static_cast<u16>(skb_network_offset(skb));
    aux.tp_vlan_tci = skb->vlan_present ? skb->vlan_tci : 0;
    aux.tp_vlan_tpid = skb->vlan_present ? static_cast<u16>(ETH_P_8021Q) : 0;
    put_cmsg(m, SOL_PACKET, PACKET_AUXDATA, &aux, sizeof aux);
  }
  skb_free_datagram(po, skb);
  if (error != 0) return error;
  return (m.flags & MSG_TRUNC) != 0 ? whole : n;
}

struct PacketOps final : proto_ops {
  void release(socket* s) const override {
    packet_sock* po = pk(s);
    {
      MutexGuard guard(po->control_lock);
      unhook(po);
      dev_put(po->hook.dev);
      po->hook.dev = nullptr;
      packet_set_ring(po, {});
    }
    rtnl_lock();
    for (Membership* m : entries<&Membership::link>(po->memberships)) end_membership(m);
    rtnl_unlock();
    skb_queue_purge(&po->sk_receive_queue);
    net_disable_timestamp();
    sock_orphan(po);
    sock_put(po);
  }
  int bind(socket* s, const sockaddr_storage& address, u32 length) const override {
    const auto& a = reinterpret_cast<const sockaddr_ll&>(address);
    if (length < sizeof a || a.sll_family != AF_PACKET) return -EINVAL;
    return do_bind(pk(s), a.sll_ifindex, a.sll_protocol != 0 ? a.sll_protocol : pk(s)->num);
  }
  int getname(socket* s, sockaddr_storage& address, bool peer) const override {
    if (peer) return -EOPNOTSUPP;
    const packet_sock* po = pk(s);
    auto& a = reinterpret_cast<sockaddr_ll&>(address);
    a = {AF_PACKET, po->num, po->ifindex, 0, 0, 0, {}};
    if (net_device* dev = dev_get_by_index(po->ifindex)) {
      a.sll_hatype = dev->type;
      a.sll_halen = dev->addr_len;
      memcpy(a.sll_addr, dev->dev_addr, min<u32>(dev->addr_len, sizeof a.sll_addr));
      dev_put(dev);
    }
    return static_cast<int>(offsetof(sockaddr_ll, sll_addr) + a.sll_halen);
  }
  u32 poll(file* f, socket* s, poll_table* table) const override {
    u32 events = datagram_poll(f, s, table);
    if (packet_ring_readable(pk(s))) events |= POLLIN | POLLRDNORM;
    return events;
  }
  int setsockopt(socket* s, int level, int name, u64 user, u32 length) const override {
    packet_sock* po = pk(s);
    if (level == SOL_SOCKET && name == SO_BINDTODEVICE) return sock_setbindtodevice(po, user, length);
    if (level != SOL_PACKET) return -ENOPROTOOPT;
    if (name == PACKET_ADD_MEMBERSHIP || name == PACKET_DROP_MEMBERSHIP)
      return change_membership(po, name, user, length);
    if (name == PACKET_RX_RING) return set_ring(po, user, length);
    int value = 0;
    if (length < sizeof value) return -EINVAL;
    TRY_INT(get_user_at(value, user));
    switch (name) {
      case PACKET_AUXDATA: po->auxdata = value != 0; return 0;
      case PACKET_ORIGDEV: po->origdev = value != 0; return 0;
      case PACKET_IGNORE_OUTGOING:
        if (value < 0 || value > 1) return -EINVAL;
        po->ignore_outgoing = value != 0;
        return 0;
      case PACKET_VERSION:
        if (value < TPACKET_V1 || value > TPACKET_V3) return -EINVAL;
        if (po->ring.blocks != nullptr) return -EBUSY;
        po->version = value;
        return 0;
      case PACKET_RESERVE:
        if (po->ring.blocks != nullptr) return -EBUSY;
        if (value < 0 || value > 65536) return -EINVAL;
        po->reserve = static_cast<u32>(value);
        return 0;
      case PACKET_COPY_THRESH:
      case PACKET_LOSS:
      case PACKET_TIMESTAMP:
      case PACKET_QDISC_BYPASS: return 0;
      default: return -ENOPROTOOPT;
    }
  }
  int getsockopt(socket* s, int level, int name, u64 user, int length, u64 user_length) const override {
    packet_sock* po = pk(s);
    if (level != SOL_PACKET) return -ENOPROTOOPT;
    int value = 0;
    switch (name) {
      case PACKET_STATISTICS: {
        const u32 drops = po->drops.exchange(0), packets = po->packets.exchange(0) + drops;
        const tpacket_stats_v3 stats{packets, drops, po->ring.freezes};
        po->ring.freezes = 0;
        const u32 size = po->version == TPACKET_V3 ? sizeof(tpacket_stats_v3) : sizeof(tpacket_stats);
        return put_option(user, user_length, &stats, size);
      }
      case PACKET_AUXDATA: value = po->auxdata; break;
      case PACKET_ORIGDEV: value = po->origdev; break;
      case PACKET_VERSION: value = po->version; break;
      case PACKET_RESERVE: value = static_cast<int>(po->reserve); break;
      case PACKET_IGNORE_OUTGOING: value = po->ignore_outgoing; break;
      case PACKET_HDRLEN:
        if (length < static_cast<int>(sizeof value)) return -EINVAL;
        TRY_INT(get_user_at(value, user));
        if (value < TPACKET_V1 || value > TPACKET_V3) return -EINVAL;
        value = value == TPACKET_V1   ? static_cast<int>(sizeof(tpacket_hdr))
                : value == TPACKET_V2 ? static_cast<int>(sizeof(tpacket2_hdr))
                                      : static_cast<int>(sizeof(tpacket3_hdr));
        break;
      default: return -ENOPROTOOPT;
    }
    return put_option(user, user_length, &value, sizeof value);
  }
  ssize_t sendmsg(socket* s, msghdr& m) const override { return packet_sendmsg(pk(s), m); }
  ssize_t recvmsg(socket* s, msghdr& m) const override { return packet_recvmsg(pk(s), m); }
  int mmap(file*, socket* s, vm_area_struct* vma) const override { return packet_ring_mmap(pk(s), vma); }
};
constinit const PacketOps packet_ops{};

int create(socket* s, int protocol) {
  if (!capable(CAP_NET_RAW)) return -EPERM;
  if (s->type != SOCK_RAW && s->type != SOCK_DGRAM) return -ESOCKTNOSUPPORT;
  sock* sk = sk_alloc(AF_PACKET, &packet_proto);
  if (sk == nullptr) return -ENOBUFS;
  sock_init_data(s, sk);
  s->ops = &packet_ops;
  auto* po = static_cast<packet_sock*>(sk);
  po->num = static_cast<u16>(protocol);
  po->sk_protocol = protocol;
  net_enable_timestamp();
  MutexGuard guard(po->control_lock);
  hook(po);
  return 0;
}
constinit const net_proto_family packet_family{AF_PACKET, create};

void packet_init() { sock_register(&packet_family); }
BUS_INITCALL(packet_init);

}  // namespace

u32 packet_status(const sk_buff* skb) {
  u32 status = 0;
  if (skb->ip_summed == CHECKSUM_PARTIAL) {
    status |= TP_STATUS_CSUMNOTREADY;
  } else if (skb->pkt_type != PACKET_OUTGOING && skb->ip_summed != CHECKSUM_NONE) {
    status |= TP_STATUS_CSUM_VALID;
  }
  if (skb->vlan_present) status |= TP_STATUS_VLAN_VALID | TP_STATUS_VLAN_TPID_VALID;
  return status;
}

void packet_fill_address(sockaddr_ll* a, const sk_buff* skb, const net_device* dev) {
  *a = {AF_PACKET, skb->protocol, dev->ifindex, dev->type, skb->pkt_type, 0, {}};
  if (dev->header != nullptr && skb_mac_header_was_set(skb)) {
    u8 from[kMaxAddrLen]{};
    a->sll_halen = static_cast<u8>(dev->header->parse(skb, from));
    memcpy(a->sll_addr, from, sizeof a->sll_addr);
  }
}

}  // namespace xm::os
