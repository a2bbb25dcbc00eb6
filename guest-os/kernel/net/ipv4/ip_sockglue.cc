// SPDX-License-Identifier: GPL-2.0-or-later
// The IP level of sockets: options, control messages in both directions, the error queue. [man 7 ip]
#include "kernel/mm/slab.h"
#include "kernel/net/inet_sock.h"
#include "kernel/net/ip.h"
#include "kernel/net/route.h"
#include "kernel/task/cred.h"

namespace xm::os {

void ipcm_init_sk(ipcm_cookie* c, const inet_sock* inet) {
  c->addr = inet->inet_saddr;
  c->oif = inet->sk_bound_dev_if;
  c->priority = inet->sk_priority;
  c->mark = inet->sk_mark;
}

int ip_cmsg_send(sock*, const msghdr& m, ipcm_cookie* c, bool) {
  u64 at = 0;
  int error = 0;
  while (const cmsghdr* h = next_cmsg(m, at, &error)) {
    const u64 n = h->length - sizeof *h;
    if (h->level == SOL_SOCKET) continue;
    if (h->level == SOL_UDP && h->type == UDP_SEGMENT) {
      if (n != sizeof(u16)) return -EINVAL;
      memcpy(&c->gso_size, h + 1, sizeof(u16));
      continue;
    }
    if (h->level != SOL_IP) continue;
    int value = 0;
    switch (h->type) {
      case IP_PKTINFO: {
        in_pktinfo info;
        if (n != sizeof info) return -EINVAL;
        memcpy(&info, h + 1, sizeof info);
        if (info.ifindex != 0) c->oif = info.ifindex;
        c->addr = info.spec_dst;
        break;
      }
      case IP_TTL:
        if (n != sizeof value) return -EINVAL;
        memcpy(&value, h + 1, sizeof value);
        if (value < 1 || value > 255) return -EINVAL;
        c->ttl = static_cast<s16>(value);
        break;
      case IP_TOS:
        if (n != sizeof value && n != 1) return -EINVAL;
        memcpy(&value, h + 1, n);
        if (value < 0 || value > 255) return -EINVAL;
        c->tos = static_cast<s16>(value);
        break;
      default: return -EINVAL;
    }
  }
  return error;
}

void ip_cmsg_recv(msghdr& m, sock* sk, sk_buff* skb, u32) {
  const inet_sock* inet = inet_sk(sk);
  const iphdr* h = ip_hdr(skb);
  if (inet->want_pktinfo) {
    in_pktinfo info{IPCB(skb)->iif, h->daddr, h->daddr};
    if (ipv4_is_multicast(h->daddr) || ipv4_is_lbcast(h->daddr)) {
      net_device* dev = dev_get_by_index(info.ifindex);
      info.spec_dst = inet_select_addr(dev, 0, RT_SCOPE_LINK);
      if (dev != nullptr) dev_put(dev);
    }
    put_cmsg(m, SOL_IP, IP_PKTINFO, &info, sizeof info);
  }
  if (inet->want_ttl) {
    const int ttl = h->ttl;
    put_cmsg(m, SOL_IP, IP_TTL, &ttl, sizeof ttl);
  }
  if (inet->want_tos) put_cmsg(m, SOL_IP, IP_TOS, &h->tos, 1);
  if (inet->want_origdst) {
    sockaddr_in sin{AF_INET, 0, h->daddr, {}};
    skb_copy_bits(skb, skb_transport_offset(skb) + 2, &sin.port, 2);
    put_cmsg(m, SOL_IP, IP_RECVORIGDSTADDR, &sin, sizeof sin);
  }
}

// --- the error queue ---
namespace {

struct sock_exterr_skb {
  inet_skb_parm parm;  // where a packet has it
  sock_extended_err ee;
  be16 port;
  u16 addr_offset;  // of the address that the message came for, from the network header
};
static_assert(sizeof(sock_exterr_skb) <= sizeof(sk_buff::cb));
sock_exterr_skb* SKB_EXT_ERR(sk_buff* skb) { return reinterpret_cast<sock_exterr_skb*>(skb->cb); }

}  // namespace

// skb quotes our packet, `payload` points into it behind the transport header.
void ip_icmp_error(sock* sk, sk_buff* skb, int err, be16 port, u32 info, u8* payload) {
  sk_buff* copy = skb_copy(skb, GFP_ATOMIC);
  if (copy == nullptr) return;
  const icmphdr* h = icmp_hdr(skb);
  sock_exterr_skb* e = SKB_EXT_ERR(copy);
  e->ee = {static_cast<u32>(err), SO_EE_ORIGIN_ICMP, h->type, h->code, 0, info, 0};
  const u8* quoted = reinterpret_cast<const u8*>(icmp_hdr(skb) + 1);
  e->addr_offset = static_cast<u16>(quoted + offsetof(iphdr, daddr) - skb_network_header(skb));
  e->port = port;
  const u32 skip = static_cast<u32>(payload - skb->data);
  if (skip <= copy->len && skb_pull(copy, skip) != nullptr) {
    skb_reset_transport_header(copy);
    if (sock_queue_err_skb(sk, copy) == 0) return;
  }
  consume_skb(copy);
}

// An error found before the packet left.
void ip_local_error(sock* sk, int err, be32 daddr, be16 port, u32 info) {
  if (!inet_sk(sk)->recverr) return;
  sk_buff* skb = alloc_skb(sizeof(iphdr), GFP_ATOMIC);
  if (skb == nullptr) return;
  skb_put(skb, sizeof(iphdr));
  skb_reset_network_header(skb);
  iphdr* h = ip_hdr(skb);
  memset(h, 0, sizeof *h);
  h->daddr = daddr;
  sock_exterr_skb* e = SKB_EXT_ERR(skb);
  e->ee = {static_cast<u32>(err), SO_EE_ORIGIN_LOCAL, 0, 0, 0, info, 0};
  e->addr_offset = offsetof(iphdr, daddr);
  e->port = port;
  skb_pull(skb, sizeof(iphdr));
  if (sock_queue_err_skb(sk, skb) != 0) consume_skb(skb);
}

ssize_t ip_recv_error(sock* sk, msghdr& m) {
  sk_buff* skb = skb_dequeue(&sk->sk_error_queue);
  if (skb == nullptr) return -EAGAIN;
  if (const sk_buff* next = skb_peek(&sk->sk_error_queue); next != nullptr)
    sk->sk_err.store(static_cast<int>(SKB_EXT_ERR(const_cast<sk_buff*>(next))->ee.ee_errno));
  else
    sk->sk_err.store(0);
  u32 copied = skb->len;
  if (copied > m.iter->count()) {
    m.out_flags |= MSG_TRUNC;
    copied = static_cast<u32>(m.iter->count());
  }
  int error = skb_copy_datagram_iter(skb, 0, m.iter, copied);
  const sock_exterr_skb* e = SKB_EXT_ERR(skb);
  if (error == 0 && m.name != nullptr) {
    sockaddr_in* sin = reinterpret_cast<sockaddr_in*>(m.name);
    *sin = {AF_INET, e->port, get_unaligned<be32>(skb_network_header(skb) + e->addr_offset), {}};
    m.name_len = sizeof *sin;
  }
  if (error == 0) {
    struct {
      sock_extended_err ee;
      sockaddr_in offender;
    } out{};
    out.ee = e->ee;
    if (e->ee.ee_origin == SO_EE_ORIGIN_ICMP) {
      out.offender = {AF_INET, 0, ip_hdr(skb)->saddr, {}};
    }
    sock_recv_cmsgs(m, sk, skb);
    put_cmsg(m, SOL_IP, IP_RECVERR, &out, sizeof out);
    m.out_flags |= MSG_ERRQUEUE;
  }
  consume_skb(skb);
  return error != 0 ? error : static_cast<ssize_t>(copied);
}

// --- options ---
namespace {

int read_int(u64 user, u32 length, int* value) {
  *value = 0;
  if (length >= sizeof(int)) return get_user_at(*value, user);
  if (length == 0) return -EINVAL;
  u8 byte;
  TRY_INT(get_user_at(byte, user));
  *value = byte;
  return 0;
}

int read_mreq(u64 user, u32 length, ip_mreqn* m) {
  *m = {};
  if (length < 8) return -EINVAL;
  return copy_from_user(m, reinterpret_cast<void*>(user), min<u32>(length, sizeof *m));
}

int set_multicast_if(inet_sock* inet, u64 user, u32 length) {
  ip_mreqn m{};
  if (length >= sizeof m || length >= 8) {
    TRY_INT(read_mreq(user, length, &m));
  } else {
    if (length < sizeof(be32)) return -EINVAL;
    TRY_INT(get_user_at(m.address, user));
  }
  if (m.ifindex == 0) {
    if (m.address == 0) {
      inet->mc_index = 0;
      inet->mc_addr = 0;
      return 0;
    }
    net_device* dev = ip_dev_find(m.address);
    if (dev == nullptr) return -EADDRNOTAVAIL;
    m.ifindex = dev->ifindex;
    dev_put(dev);
  } else {
    net_device* dev = dev_get_by_index(m.ifindex);
    if (dev == nullptr) return -EADDRNOTAVAIL;
    dev_put(dev);
  }
  inet->mc_index = m.ifindex;
  inet->mc_addr = m.address;
  return 0;
}

int membership(sock* sk, int name, u64 user, u32 length) {
  ip_mreqn m;
  TRY_INT(read_mreq(user, length, &m));
  return name == IP_ADD_MEMBERSHIP ? ip_mc_join_group(sk, m) : ip_mc_leave_group(sk, m);
}

int group_request(sock* sk, int name, u64 user, u32 length) {  // MCAST_JOIN_GROUP: struct group_req
  struct {
    u32 interface, pad;
    sockaddr_storage group;
  } r;
  if (length < sizeof r) return -EINVAL;
  TRY_INT(get_user_at(r, user));
  if (r.group.family != AF_INET) return -EINVAL;
  const ip_mreqn m{reinterpret_cast<const sockaddr_in*>(&r.group)->addr, 0, static_cast<int>(r.interface)};
  return name == MCAST_JOIN_GROUP ? ip_mc_join_group(sk, m) : ip_mc_leave_group(sk, m);
}

bool* flag_of(inet_sock* inet, int name) {
  switch (name) {
    case IP_PKTINFO: return &inet->want_pktinfo;
    case IP_RECVTTL: return &inet->want_ttl;
    case IP_RECVTOS: return &inet->want_tos;
    case IP_RECVOPTS:
    case IP_RETOPTS: return &inet->want_opts;
    case IP_RECVORIGDSTADDR: return &inet->want_origdst;
    case IP_RECVERR: return &inet->recverr;
    case IP_FREEBIND: return &inet->freebind;
    case IP_NODEFRAG: return &inet->nodefrag;
    case IP_BIND_ADDRESS_NO_PORT: return &inet->bind_address_no_port;
    case IP_MULTICAST_LOOP: return &inet->mc_loop;
    case IP_MULTICAST_ALL: return &inet->mc_all;
    default: return nullptr;
  }
}

int set_locked(sock* sk, int name, int value) {
  inet_sock* inet = inet_sk(sk);
  if (bool* flag = flag_of(inet, name); flag != nullptr) {
    *flag = value != 0;
    if (name == IP_RECVERR && value == 0) skb_queue_purge(&sk->sk_error_queue);
    return 0;
  }
  switch (name) {
    case IP_TOS:
      if (sk->sk_type == SOCK_STREAM) value = (value & ~3) | (inet->tos & 3);  // ECN belongs to TCP
      if (inet->tos != value) sk_dst_reset(sk);
      inet->tos = static_cast<u8>(value);
      sk->sk_priority = (value & 0x1e) == 0x10 ? 6 : ((value & 0x1e) == 0x08 ? 2 : 0);
      return 0;
    case IP_TTL:
      if (value != -1 && (value < 1 || value > 255)) return -EINVAL;
      inet->uc_ttl = static_cast<s16>(value);
      return 0;
    case IP_MINTTL:
      if (value < 0 || value > 255) return -EINVAL;
      inet->min_ttl = static_cast<u8>(value);
      return 0;
    case IP_HDRINCL:
      if (sk->sk_type != SOCK_RAW) return -ENOPROTOOPT;
      inet->hdrincl = value != 0;
      return 0;
    case IP_MTU_DISCOVER:
      if (value < IP_PMTUDISC_DONT || value > IP_PMTUDISC_OMIT) return -EINVAL;
      inet->pmtudisc = static_cast<u8>(value);
      return 0;
    case IP_MULTICAST_TTL:
      if (sk->sk_type == SOCK_STREAM) return -EINVAL;
      if (value == -1) value = 1;
      if (value < 0 || value > 255) return -EINVAL;
      inet->mc_ttl = static_cast<u8>(value);
      return 0;
    case IP_TRANSPARENT:
      if (value != 0 && !capable(CAP_NET_RAW) && !capable(CAP_NET_ADMIN)) return -EPERM;
      inet->transparent = value != 0;
      return 0;
    case IP_UNICAST_IF: inet->uc_index = static_cast<int>(ntohl(static_cast<u32>(value))); return 0;
    case IP_LOCAL_PORT_RANGE: {
      const u16 low = static_cast<u16>(value), high = static_cast<u16>(static_cast<u32>(value) >> 16);
      if (low != 0 && high != 0 && low > high) return -EINVAL;
      inet->local_port_low = low;
      inet->local_port_high = high;
      return 0;
    }
    default: return -ENOPROTOOPT;
  }
}

}  // namespace

int ip_setsockopt(sock* sk, int level, int name, u64 user, u32 length) {
  if (level != SOL_IP) return -ENOPROTOOPT;
  switch (name) {
    case IP_OPTIONS: return length == 0 ? 0 : -EINVAL;  // GAP: options of one's own are not sent
    case IP_MULTICAST_IF: {
      SockGuard guard(sk);
      return sk->sk_type == SOCK_STREAM ? -EINVAL : set_multicast_if(inet_sk(sk), user, length);
    }
    case IP_ADD_MEMBERSHIP:
    case IP_DROP_MEMBERSHIP: return membership(sk, name, user, length);
    case MCAST_JOIN_GROUP:
    case MCAST_LEAVE_GROUP: return group_request(sk, name, user, length);
    case IP_ADD_SOURCE_MEMBERSHIP:
    case IP_DROP_SOURCE_MEMBERSHIP:
    case IP_BLOCK_SOURCE:
    case IP_UNBLOCK_SOURCE: {
      ip_mreq_source m;
      if (length < sizeof m) return -EINVAL;
      TRY_INT(get_user_at(m, user));
      return ip_mc_source(name == IP_ADD_SOURCE_MEMBERSHIP || name == IP_BLOCK_SOURCE,
                          name == IP_ADD_SOURCE_MEMBERSHIP || name == IP_DROP_SOURCE_MEMBERSHIP, sk, m);
    }
    default: break;
  }
  int value;
  TRY_INT(read_int(user, length, &value));
  SockGuard guard(sk);
  return set_locked(sk, name, value);
}

int ip_getsockopt(sock* sk, int level, int name, u64 user, int length, u64 user_length) {
  if (level != SOL_IP) return -ENOPROTOOPT;
  if (length < 0) return -EINVAL;
  inet_sock* inet = inet_sk(sk);
  int value = 0;
  if (const bool* flag = flag_of(inet, name); flag != nullptr) {
    value = *flag;
  } else {
    switch (name) {
      case IP_TOS: value = inet->tos; break;
      case IP_TTL: value = inet->uc_ttl >= 0 ? inet->uc_ttl : IPDEFTTL; break;
      case IP_MINTTL: value = inet->min_ttl; break;
      case IP_HDRINCL: value = inet->hdrincl; break;
      case IP_MTU_DISCOVER: value = inet->pmtudisc; break;
      case IP_MULTICAST_TTL: value = inet->mc_ttl; break;
      case IP_TRANSPARENT: value = inet->transparent; break;
      case IP_OPTIONS: return put_user_at(0, user_length);
      case IP_MULTICAST_IF: return put_option(user, user_length, &inet->mc_addr, sizeof inet->mc_addr);
      case IP_UNICAST_IF: value = static_cast<int>(htonl(static_cast<u32>(inet->uc_index))); break;
      case IP_LOCAL_PORT_RANGE: value = inet->local_port_high << 16 | inet->local_port_low; break;
      case IP_MTU: {
        SockGuard guard(sk);
        dst_entry* d = sk_dst_check(sk, 0);
        if (d == nullptr) return -ENOTCONN;
        value = static_cast<int>(dst_mtu(d));
        dst_release(d);
        break;
      }
      default: return -ENOPROTOOPT;
    }
  }
  if (length < static_cast<int>(sizeof value) && length > 0 && value >= 0 && value <= 255) {
    const u8 byte = static_cast<u8>(value);
    return put_option(user, user_length, &byte, 1);
  }
  return put_option(user, user_length, &value, sizeof value);
}

}  // namespace xm::os
