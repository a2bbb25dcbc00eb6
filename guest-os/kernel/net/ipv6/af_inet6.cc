// SPDX-License-Identifier: GPL-2.0-or-later
// AF_INET6 sockets: addresses, the options of the IPv6 level, control messages. What lies above an address is shared
// with IPv4; an IPv6 socket speaks IPv4 to mapped addresses, unless IPV6_V6ONLY. [RFC 3493], [RFC 3542], [man 7 ipv6]
#include "kernel/init/initcall.h"
#include "kernel/mm/slab.h"
#include "kernel/net/ipv6/inet6_sock.h"
#include "kernel/net/tcp.h"

namespace xm::os {
namespace {

constexpr u32 kMinSockaddr6 = 24;  // without the scope [RFC 2133]

int read_address(const sock* sk, const sockaddr_storage& a, u32 length, in6_addr* to, be16* port, int* oif) {
  const sockaddr_in6* sin6 = reinterpret_cast<const sockaddr_in6*>(&a);
  if (length < kMinSockaddr6) return -EINVAL;
  if (sin6->family != AF_INET6) return -EAFNOSUPPORT;
  memcpy(to, sin6->addr, sizeof *to);
  *port = sin6->port;
  *oif = 0;
  if (to->linklocal() || (to->bytes[0] == 0xff && (to->bytes[1] & 15) == 2)) {
    if (length >= sizeof *sin6 && sin6->scope_id != 0) *oif = static_cast<int>(sin6->scope_id);
    if (*oif != 0 && sk->sk_bound_dev_if != 0 && *oif != sk->sk_bound_dev_if) return -EINVAL;
    if (*oif == 0) *oif = sk->sk_bound_dev_if;
  }
  return 0;
}

int bind_check6(sock* sk, const sockaddr_storage& a, u32 length, in6_addr* to, be16* port, int* oif) {
  TRY_INT(read_address(sk, a, length, to, port, oif));
  if (to->v4mapped()) {
    if (sk->sk_ipv6only) return -EINVAL;
    const RtType type = inet_addr_type(to->words[3]);
    return to->words[3] == 0 || type == RTN_LOCAL || inet_can_nonlocal_bind(inet_sk(sk)) ? 0 : -EADDRNOTAVAIL;
  }
  if (to->any() || to->bytes[0] == 0xff) return 0;
  if (to->linklocal() && *oif == 0) return -EINVAL;
  net_device* dev = *oif != 0 ? dev_get_by_index(*oif) : nullptr;
  if (*oif != 0 && dev == nullptr) return -ENODEV;
  const bool ours = ipv6_chk_addr(*to, dev, false);
  if (dev != nullptr) dev_put(dev);
  return ours || inet_can_nonlocal_bind(inet_sk(sk)) ? 0 : -EADDRNOTAVAIL;
}

u32 name6(const sock* sk, const in6_addr& a, be16 port, sockaddr_storage& to) {
  sockaddr_in6* sin6 = reinterpret_cast<sockaddr_in6*>(&to);
  *sin6 = {};
  sin6->family = AF_INET6;
  sin6->port = port;
  memcpy(sin6->addr, &a, sizeof a);
  if (a.linklocal()) sin6->scope_id = static_cast<u32>(sk->sk_bound_dev_if);
  return sizeof *sin6;
}

int peer6(const sock* sk, const sockaddr_storage& a, u32 length, in6_addr* to, be16* port, int* oif) {
  TRY_INT(read_address(sk, a, length, to, port, oif));
  if (to->v4mapped()) return 0;
  if (to->any()) *to = ipv6_make(0, 0, 0, 1);  // the unspecified address means this host
  return to->linklocal() && *oif == 0 ? -EINVAL : 0;
}
constexpr inet_af_ops inet6_af_ops{AF_INET6, sizeof(sockaddr_in6), bind_check6, name6, peer6};

int group(sock*, int name, u64 user, u32 length) {
  ipv6_mreq m;
  if (length < sizeof m) return -EINVAL;
  TRY_INT(get_user_at(m, user));
  in6_addr g;
  memcpy(&g, m.multiaddr, sizeof g);
  if (g.bytes[0] != 0xff) return -EINVAL;
  flowi6 fl;
  fl.daddr = g;
  net_device* dev = nullptr;
  if (m.ifindex != 0) {
    dev = dev_get_by_index(m.ifindex);
  } else {
    dst_entry* dst = ip6_route_output(&fl);
    if (dst->error == 0 && dst->dev != nullptr) {
      dev = dst->dev;
      dev_hold(dev);
    }
    dst_release(dst);
  }
  if (dev == nullptr) return -ENODEV;
  rtnl_lock();
  const int error = name == IPV6_JOIN_GROUP ? ipv6_dev_mc_inc(dev, g) : ipv6_dev_mc_dec(dev, g);
  rtnl_unlock();
  dev_put(dev);
  return error < 0 ? error : 0;
}

bool* flag_of(ipv6_pinfo* np, int name) {
  switch (name) {
    case IPV6_RECVERR: return &np->recverr;
    case IPV6_RECVPKTINFO: return &np->rxinfo;
    case IPV6_RECVHOPLIMIT: return &np->rxhlim;
    case IPV6_RECVTCLASS: return &np->rxtclass;
    case IPV6_DONTFRAG: return &np->dontfrag;
    case IPV6_AUTOFLOWLABEL: return &np->autoflowlabel;
    case IPV6_MULTICAST_LOOP: return &np->mc_loop;
    case IPV6_FREEBIND: return nullptr;
    default: return nullptr;
  }
}

}  // namespace

int ipv6_setsockopt(sock* sk, int level, int name, u64 user, u32 length) {
  if (level != SOL_IPV6) return -ENOPROTOOPT;
  inet_sock* inet = inet_sk(sk);
  ipv6_pinfo* np = inet->pinet6;
  if (name == IPV6_JOIN_GROUP || name == IPV6_LEAVE_GROUP) return group(sk, name, user, length);
  int value;
  if (length < sizeof value) return -EINVAL;
  TRY_INT(get_user_at(value, user));
  SockGuard guard(sk);
  if (bool* flag = flag_of(np, name); flag != nullptr) {
    *flag = value != 0;
    return 0;
  }
  switch (name) {
    case IPV6_V6ONLY:
      if (sk->sk_num != 0) return -EINVAL;
      sk->sk_ipv6only = value != 0;
      return 0;
    case IPV6_FREEBIND: inet->freebind = value != 0; return 0;
    case IPV6_UNICAST_HOPS:
    case IPV6_MULTICAST_HOPS:
      if (value < -1 || value > 255) return -EINVAL;
      (name == IPV6_UNICAST_HOPS ? np->hop_limit : np->mcast_hops) = static_cast<s16>(value);
      return 0;
    case IPV6_TCLASS:
      if (value < -1 || value > 255) return -EINVAL;
      np->tclass = static_cast<s16>(value == -1 ? 0 : value);
      return 0;
    case IPV6_MULTICAST_IF: np->mcast_oif = value; return 0;
    case IPV6_MTU_DISCOVER:
      if (value < IP_PMTUDISC_DONT || value > IP_PMTUDISC_OMIT) return -EINVAL;
      np->pmtudisc = static_cast<u8>(value);
      return 0;
    case IPV6_MTU: np->frag_size = static_cast<u32>(value); return 0;
    case IPV6_ADDR_PREFERENCES: np->addr_preferences = static_cast<u32>(value); return 0;
    default: return -ENOPROTOOPT;
  }
}

int ipv6_getsockopt(sock* sk, int level, int name, u64 user, int, u64 user_length) {
  if (level != SOL_IPV6) return -ENOPROTOOPT;
  ipv6_pinfo* np = inet_sk(sk)->pinet6;
  int value = 0;
  if (const bool* flag = flag_of(np, name); flag != nullptr) {
    value = *flag;
  } else {
    switch (name) {
      case IPV6_V6ONLY: value = sk->sk_ipv6only; break;
      case IPV6_FREEBIND: value = inet_sk(sk)->freebind; break;
      case IPV6_UNICAST_HOPS: value = np->hop_limit >= 0 ? np->hop_limit : 64; break;
      case IPV6_MULTICAST_HOPS: value = np->mcast_hops >= 0 ? np->mcast_hops : 1; break;
      case IPV6_TCLASS: value = np->tclass; break;
      case IPV6_MULTICAST_IF: value = np->mcast_oif; break;
      case IPV6_MTU_DISCOVER: value = np->pmtudisc; break;
      case IPV6_ADDR_PREFERENCES: value = static_cast<int>(np->addr_preferences); break;
      case IPV6_MTU: {
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
  return put_option(user, user_length, &value, sizeof value);
}

void ip6_cmsg_recv(msghdr& m, sock* sk, sk_buff* skb) {
  const ipv6_pinfo* np = inet_sk(sk)->pinet6;
  const bool v6 = skb->protocol == htons(ETH_P_IPV6);
  if (np->rxinfo) {
    in6_pktinfo info{};
    info.ifindex = skb->skb_iif;
    const in6_addr to = v6 ? ipv6_hdr(skb)->daddr : v4mapped(ip_hdr(skb)->daddr);
    memcpy(info.addr, &to, sizeof to);
    put_cmsg(m, SOL_IPV6, IPV6_PKTINFO, &info, sizeof info);
  }
  if (!v6) return;
  if (np->rxhlim) {
    const int hops = ipv6_hdr(skb)->hop_limit;
    put_cmsg(m, SOL_IPV6, IPV6_HOPLIMIT, &hops, sizeof hops);
  }
  if (np->rxtclass) {
    const int tclass = static_cast<int>(ntohl(ipv6_hdr(skb)->flow) >> 20 & 0xff);
    put_cmsg(m, SOL_IPV6, IPV6_TCLASS, &tclass, sizeof tclass);
  }
}

int ip6_cmsg_send(const msghdr& m, flowi6* fl, int* hop_limit, int* tclass) {
  u64 at = 0;
  int error = 0;
  while (const cmsghdr* h = next_cmsg(m, at, &error)) {
    if (h->level != SOL_IPV6) continue;
    const u64 n = h->length - sizeof *h;
    switch (h->type) {
      case IPV6_PKTINFO: {
        in6_pktinfo info;
        if (n < sizeof info) return -EINVAL;
        memcpy(&info, h + 1, sizeof info);
        if (info.ifindex != 0) fl->oif = static_cast<int>(info.ifindex);
        in6_addr from;
        memcpy(&from, info.addr, sizeof from);
        if (!from.any()) fl->saddr = from;
        break;
      }
      case IPV6_HOPLIMIT:
      case IPV6_TCLASS: {
        int value;
        if (n != sizeof value) return -EINVAL;
        memcpy(&value, h + 1, sizeof value);
        if (value < -1 || value > 255) return -EINVAL;
        *(h->type == IPV6_HOPLIMIT ? hop_limit : tclass) = value;
        break;
      }
      default: return -EINVAL;
    }
  }
  return error;
}

int icmpv6_err_convert(u8 type, u8 code, int* error) {
  static constexpr struct {
    int error;
    bool fatal;
  } kUnreachable[] = {{ENETUNREACH, false}, {EACCES, true}, {EHOSTUNREACH, false}, {EHOSTUNREACH, false},
                      {ECONNREFUSED, true}, {EACCES, true}, {EACCES, true}};
  *error = EPROTO;
  switch (type) {
    case ICMPV6_DEST_UNREACH:
      if (code >= array_size(kUnreachable)) return 1;
      *error = kUnreachable[code].error;
      return kUnreachable[code].fatal;
    case ICMPV6_PKT_TOOBIG: *error = EMSGSIZE; return 0;
    case ICMPV6_PARAMPROB: return 1;
    case ICMPV6_TIME_EXCEED: *error = EHOSTUNREACH; return 0;
    default: return 0;
  }
}

namespace {
int inet6_create(socket* s, int protocol) { return inet_create_family(s, protocol, AF_INET6); }
constinit const net_proto_family inet6_family{AF_INET6, inet6_create};

void inet6_sockets_init() {
  inet_af[1] = &inet6_af_ops;
  tcpv6_init();
  udpv6_init();
  rawv6_init();
  sock_register(&inet6_family);
}
DEVICE_INITCALL(inet6_sockets_init);
}  // namespace

}  // namespace xm::os
