// SPDX-License-Identifier: GPL-2.0-or-later
// AF_INET (and, for what they share, AF_INET6): creation of sockets by type and protocol, and the calls between the
// socket layer and the protocols. [man 7 ip]
#include "kernel/init/initcall.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/inet_sock.h"
#include "kernel/net/ip.h"
#include "kernel/net/route.h"
#include "kernel/net/snmp.h"
#include "kernel/net/tcp.h"
#include "kernel/sched/clock.h"
#include "kernel/syscall/convert.h"
#include "kernel/task/cred.h"

namespace xm::os {

u64 ip_stats[IPSTATS_MAX], ipext_stats[IPEXT_MAX], icmp_stats[ICMP_MIB_MAX], tcp_stats[TCP_MIB_MAX],
    udp_stats[UDP_MIB_MAX], udp6_stats[UDP_MIB_MAX], linux_stats[LINUX_MIB_MAX], icmp_in_type[256], icmp_out_type[256];
s64 sysctl_ip_nonlocal_bind = 0, sysctl_ip_unprivileged_port_start = kUnprivilegedPort;
s64 sysctl_ping_group_range[2] = {1, 0};

void devinet_init();
void udp_init();
void raw_init();
void ping_init();
void tcp_init();
void ipv4_proc_init();

namespace {

inet_protosw* protosw_list = nullptr;

const inet_protosw* find_protosw(int family, int type, int protocol) {
  const inet_protosw* found = nullptr;
  for (const inet_protosw* p = protosw_list; p != nullptr; p = p->next) {
    if (p->family != family || p->type != type) continue;
    if (p->protocol == protocol) return p;
    if (protocol == 0 && p->protocol != 0 && found == nullptr) return p;
    if (p->protocol == 0 && protocol != 0) found = p;  // any: raw sockets
  }
  return found;
}

bool type_exists(int family, int type) {
  for (const inet_protosw* p = protosw_list; p != nullptr; p = p->next) {
    if (p->family == family && p->type == type) return true;
  }
  return false;
}

// --- AF_INET's addresses ---
int bind_check4(sock* sk, const sockaddr_storage& a, u32 length, in6_addr* to, be16* port, int* oif) {
  const sockaddr_in* sin = reinterpret_cast<const sockaddr_in*>(&a);
  if (length < sizeof *sin) return -EINVAL;
  if (sin->family != AF_INET && (sin->family != AF_UNSPEC || sin->addr != 0)) return -EAFNOSUPPORT;
  *oif = 0;
  const RtType type = inet_addr_type(sin->addr);
  if (sin->addr != 0 && !inet_can_nonlocal_bind(inet_sk(sk)) && type != RTN_LOCAL && type != RTN_MULTICAST &&
      type != RTN_BROADCAST)
    return -EADDRNOTAVAIL;
  *to = v4mapped(sin->addr);
  *port = sin->port;
  return 0;
}

u32 name4(const sock*, const in6_addr& a, be16 port, sockaddr_storage& to) {
  sockaddr_in* sin = reinterpret_cast<sockaddr_in*>(&to);
  *sin = {AF_INET, port, a.words[3], {}};
  return sizeof *sin;
}

int peer4(const sock*, const sockaddr_storage& a, u32 length, in6_addr* to, be16* port, int* oif) {
  const sockaddr_in* sin = reinterpret_cast<const sockaddr_in*>(&a);
  if (length < sizeof *sin) return -EINVAL;
  if (sin->family != AF_INET) return -EAFNOSUPPORT;
  *to = v4mapped(sin->addr);
  *port = sin->port;
  *oif = 0;
  return 0;
}
const inet_af_ops inet4_af_ops{AF_INET, sizeof(sockaddr_in), bind_check4, name4, peer4};

}  // namespace

const inet_af_ops* inet_af[2] = {&inet4_af_ops, nullptr};

bool inet_can_nonlocal_bind(const inet_sock* inet) {
  return sysctl_ip_nonlocal_bind != 0 || inet->freebind || inet->transparent;
}

void inet_register_protosw(inet_protosw* p) {
  inet_protosw** at = &protosw_list;
  while (*at != nullptr) at = &(*at)->next;
  p->next = nullptr;
  *at = p;
}

void inet_sock_destruct(sock* sk) {
  inet_sock* inet = inet_sk(sk);
  kdelete(inet->pinet6);
  inet->pinet6 = nullptr;
}

void inet_sock_init(inet_sock* inet, int family) {
  inet->sk_family = family;
  inet->sk_destruct = inet_sock_destruct;
  if (family == AF_INET) {
    inet->sk_v6_daddr = inet->sk_v6_rcv_saddr = v4mapped(0);
  }
}

int inet_create_family(socket* s, int protocol, int family) {
  if (protocol < 0 || protocol >= 263) return -EINVAL;
  const inet_protosw* p = find_protosw(family, s->type, protocol);
  if (p == nullptr) return type_exists(family, s->type) ? -EPROTONOSUPPORT : -ESOCKTNOSUPPORT;
  if (s->type == SOCK_RAW && !capable(CAP_NET_RAW)) return -EPERM;
  if (protocol == 0) protocol = p->protocol;
  sock* sk = sk_alloc(family, p->prot);
  if (sk == nullptr) return -ENOBUFS;
  s->ops = p->ops;
  inet_sock* inet = inet_sk(sk);
  inet_sock_init(inet, family);
  if (family == AF_INET6) {
    inet->pinet6 = knew<ipv6_pinfo>();
    if (inet->pinet6 == nullptr) {
      sock_put(sk);
      return -ENOBUFS;
    }
  }
  sock_init_data(s, sk);
  sk->sk_protocol = protocol;
  inet->is_icsk = p->is_icsk;
  if (p->reuse) sk->sk_reuseaddr = true;
  if (s->type == SOCK_RAW) {
    sk->sk_num = static_cast<u16>(protocol);
    if (protocol == IPPROTO_RAW) inet->hdrincl = true;
    inet->inet_sport = htons(sk->sk_num);
    if (sk->sk_num != 0) {
      const int error = sk->sk_prot->hash(sk);
      if (error != 0) {
        s->sk = nullptr;
        sk_common_release(sk);
        return error;
      }
    }
  }
  const int error = sk->sk_prot->init(sk);
  if (error != 0) {
    s->sk = nullptr;
    sk_common_release(sk);
  }
  return error;
}

int inet_autobind(sock* sk) {
  SockGuard guard(sk);
  inet_sock* inet = inet_sk(sk);
  if (sk->sk_num != 0) return 0;
  TRY_INT(sk->sk_prot->get_port(sk, 0));
  inet->inet_sport = htons(sk->sk_num);
  return 0;
}

namespace {

void inet_release(socket* s) {
  sock* sk = s->sk;
  if (sk == nullptr) return;
  ip_mc_drop_socket(sk);
  u64 linger = 0;
  if (sk->sk_linger >= 0) linger = static_cast<u64>(sk->sk_linger) * kNsPerSec;
  s->sk = nullptr;
  sk->sk_prot->close(sk, linger);
}

int inet_bind(socket* s, const sockaddr_storage& a, u32 length) {
  sock* sk = s->sk;
  inet_sock* inet = inet_sk(sk);
  if (sk->sk_prot->has_bind()) return sk->sk_prot->bind(sk, a, length);
  in6_addr to;
  be16 port;
  int oif;
  TRY_INT(af_of(sk)->bind_check(sk, a, length, &to, &port, &oif));
  const u16 snum = ntohs(port);
  if (snum != 0 && snum < sysctl_ip_unprivileged_port_start && !capable(CAP_NET_BIND_SERVICE)) return -EACCES;
  SockGuard guard(sk);
  if (sk->sk_state != TCP_CLOSE || sk->sk_num != 0) return -EINVAL;
  if (oif != 0) {
    if (sk->sk_bound_dev_if != 0 && sk->sk_bound_dev_if != oif) return -EINVAL;
    sk->sk_bound_dev_if = oif;
  }
  sk->sk_v6_rcv_saddr = to;
  inet->inet_saddr = to.words[3];
  if (inet->pinet6 != nullptr) inet->pinet6->saddr = to;
  if (to.multicast() || (to.v4mapped() && inet_addr_type(to.words[3]) == RTN_BROADCAST)) {
    inet->inet_saddr = 0;  // what is sent has a source of its own
    if (inet->pinet6 != nullptr) inet->pinet6->saddr = in6_addr{};
  }
  if (snum != 0 || !inet->bind_address_no_port) {
    if (sk->sk_prot->get_port(sk, snum) != 0) {
      inet->inet_saddr = 0;
      sk->sk_v6_rcv_saddr = sk->sk_family == AF_INET ? v4mapped(0) : in6_addr{};
      if (inet->pinet6 != nullptr) inet->pinet6->saddr = in6_addr{};
      return -EADDRINUSE;
    }
  }
  if (!to.any()) sk->sk_userlocks |= SOCK_BINDADDR_LOCK;
  if (snum != 0) sk->sk_userlocks |= SOCK_BINDPORT_LOCK;
  inet->inet_sport = htons(sk->sk_num);
  inet_set_daddr(sk, 0);
  if (sk->sk_family == AF_INET6) sk->sk_v6_daddr = in6_addr{};
  sk->sk_dport = 0;
  sk_dst_reset(sk);
  return 0;
}

int inet_getname(socket* s, sockaddr_storage& to, bool peer) {
  const sock* sk = s->sk;
  const inet_sock* inet = inet_sk(sk);
  if (peer) {
    if (sk->sk_dport == 0 || ((1u << sk->sk_state) & ((1u << TCP_CLOSE) | (1u << TCP_SYN_SENT))) != 0) return -ENOTCONN;
    return static_cast<int>(af_of(sk)->name(sk, sk->sk_v6_daddr, sk->sk_dport, to));
  }
  in6_addr mine = sk->sk_v6_rcv_saddr;
  if (mine.any() && sk->sk_family == AF_INET) mine = v4mapped(inet->inet_saddr);
  if (mine.any() && sk->sk_family == AF_INET6 && !inet->pinet6->saddr.any()) mine = inet->pinet6->saddr;
  return static_cast<int>(af_of(sk)->name(sk, mine, inet->inet_sport, to));
}

long inet_ioctl(socket* s, u32 command, u64 argument) {
  sock* sk = s->sk;
  switch (command) {
    case SIOCGSTAMP: {
      if (sk->sk_stamp == 0) return -ENOENT;
      const timeval_abi tv = ns_to_timeval(sk->sk_stamp);
      return put_user_at(tv, argument);
    }
    case SIOCGSTAMPNS: {
      if (sk->sk_stamp == 0) return -ENOENT;
      const timespec_abi ts = ns_to_timespec(sk->sk_stamp);
      return put_user_at(ts, argument);
    }
    case SIOCADDRT:
    case SIOCDELRT: return capable(CAP_NET_ADMIN) ? fib_rtentry_ioctl(command, argument) : -EPERM;
    case SIOCGIFADDR:
    case SIOCSIFADDR:
    case SIOCGIFBRDADDR:
    case SIOCSIFBRDADDR:
    case SIOCGIFNETMASK:
    case SIOCSIFNETMASK:
    case SIOCGIFDSTADDR:
    case SIOCSIFDSTADDR:
    case SIOCDIFADDR:
    case SIOCGIFFLAGS:
    case SIOCSIFFLAGS: return devinet_ioctl(command, argument);
    default: break;
  }
  return sk->sk_prot->ioctl(sk, command, argument);
}

struct InetOps : proto_ops {
  void release(socket* s) const override { inet_release(s); }
  int bind(socket* s, const sockaddr_storage& a, u32 length) const override { return inet_bind(s, a, length); }
  int getname(socket* s, sockaddr_storage& to, bool peer) const override { return inet_getname(s, to, peer); }
  long ioctl(socket* s, u32 command, u64 argument) const override { return inet_ioctl(s, command, argument); }
  int setsockopt(socket* s, int level, int name, u64 user, u32 length) const override {
    if (level == SOL_SOCKET) return name == SO_BINDTODEVICE ? sock_setbindtodevice(s->sk, user, length) : -ENOPROTOOPT;
    return s->sk->sk_prot->setsockopt(s->sk, level, name, user, length);
  }
  int getsockopt(socket* s, int level, int name, u64 user, int length, u64 user_length) const override {
    if (level == SOL_SOCKET)
      return name == SO_BINDTODEVICE ? sock_getbindtodevice(s->sk, user, length, user_length) : -ENOPROTOOPT;
    return s->sk->sk_prot->getsockopt(s->sk, level, name, user, length, user_length);
  }
  ssize_t sendmsg(socket* s, msghdr& m) const override {  // inet_sendmsg
    sock* sk = s->sk;
    if (sk->sk_num == 0 && !inet_sk(sk)->is_icsk && sk->sk_type != SOCK_RAW) TRY_INT(inet_autobind(sk));
    return sk->sk_prot->sendmsg(sk, m);
  }
  ssize_t recvmsg(socket* s, msghdr& m) const override { return s->sk->sk_prot->recvmsg(s->sk, m); }
  int shutdown(socket* s, int how) const override {
    sock* sk = s->sk;
    if (how < 0 || how > 2) return -EINVAL;
    const u32 mode = static_cast<u32>(how) + 1;
    SockGuard guard(sk);
    if (s->state == SocketState::Connecting)
      s->state = sk->sk_state == TCP_SYN_SENT || sk->sk_state == TCP_SYN_RECV || sk->sk_state == TCP_CLOSE
                     ? SocketState::Disconnecting
                     : SocketState::Connected;
    int error = 0;
    if (sk->sk_state == TCP_CLOSE) {
      error = -ENOTCONN;  // and yet the directions are closed, for who waits on them
      sk->sk_shutdown |= mode;
      sk->sk_prot->shutdown(sk, static_cast<int>(mode));
    } else if (sk->sk_state == TCP_LISTEN || sk->sk_state == TCP_SYN_SENT) {
      if (sk->sk_state == TCP_LISTEN && (mode & RCV_SHUTDOWN) == 0) return 0;
      error = sk->sk_prot->disconnect(sk, 0);
      s->state = error != 0 ? SocketState::Disconnecting : SocketState::Unconnected;
    } else {
      sk->sk_shutdown |= mode;
      sk->sk_prot->shutdown(sk, static_cast<int>(mode));
    }
    sock_def_wakeup(sk);
    return error;
  }
};

struct InetDgramOps final : InetOps {
  int connect(socket* s, const sockaddr_storage& a, u32 length, u32) const override {  // inet_dgram_connect
    sock* sk = s->sk;
    if (length < sizeof(u16)) return -EINVAL;
    if (a.family == AF_UNSPEC) {
      SockGuard guard(sk);
      return sk->sk_prot->disconnect(sk, 0);
    }
    if (sk->sk_num == 0) TRY_INT(inet_autobind(sk));
    SockGuard guard(sk);
    return sk->sk_prot->connect(sk, a, length);
  }
  u32 poll(file* f, socket* s, poll_table* table) const override { return datagram_poll(f, s, table); }
};

// Sleeps until the handshake is over in one way or the other; the socket is locked. False: time-out or signal.
bool wait_for_connect(sock* sk, u64 expires) {
  const auto settled = [&] { return ((1u << read_once(sk->sk_state)) & (TCPF_SYN_SENT | TCPF_SYN_RECV)) == 0; };
  release_sock(sk);
  const long r = wait_event_interruptible(sk->sk_wait, settled, expires);
  lock_sock(sk);
  return r == 0;
}

struct InetStreamOps final : InetOps {
  int connect(socket* s, const sockaddr_storage& a, u32 length, u32 flags) const override {  // inet_stream_connect
    sock* sk = s->sk;
    SockGuard guard(sk);
    if (length < sizeof(u16)) return -EINVAL;
    if (a.family == AF_UNSPEC) {
      const int error = sk->sk_prot->disconnect(sk, flags);
      s->state = error != 0 ? SocketState::Disconnecting : SocketState::Unconnected;
      return error;
    }
    int pending = -EINPROGRESS;
    switch (s->state) {
      case SocketState::Connected: return -EISCONN;
      case SocketState::Connecting: pending = -EALREADY; break;
      case SocketState::Unconnected:
        if (sk->sk_state != TCP_CLOSE) return -EISCONN;
        TRY_INT(sk->sk_prot->connect(sk, a, length));
        s->state = SocketState::Connecting;
        break;
      default: return -EINVAL;
    }
    if (((1u << sk->sk_state) & (TCPF_SYN_SENT | TCPF_SYN_RECV)) != 0) {
      if ((flags & O_NONBLOCK) != 0) return pending;
      const u64 expires = sock_deadline(sk->sk_sndtimeo);
      if (!wait_for_connect(sk, expires))
        return expires != 0 && ktime_get() >= expires ? -EINPROGRESS : sock_intr_error(sk->sk_sndtimeo);
    }
    if (sk->sk_state == TCP_CLOSE) {
      const int error = sock_error(sk);
      s->state = SocketState::Unconnected;
      if (sk->sk_prot->disconnect(sk, flags) != 0) s->state = SocketState::Disconnecting;
      return error != 0 ? error : -ECONNABORTED;
    }
    s->state = SocketState::Connected;
    return 0;
  }
  int accept(socket* s, socket* fresh, u32 flags) const override {  // inet_accept
    int error = -EINVAL;
    sock* sk = inet_csk_accept(s->sk, flags, &error);
    if (sk == nullptr) return error;
    SockGuard guard(sk);
    sock_graft(sk, fresh);
    fresh->state = SocketState::Connected;
    return 0;
  }
  int listen(socket* s, int backlog) const override { return inet_listen(s, backlog); }
  u32 poll(file* f, socket* s, poll_table* table) const override { return tcp_poll(f, s, table); }
};

constinit const InetDgramOps dgram_ops{};
constinit const InetStreamOps stream_ops{};

int inet_create(socket* s, int protocol) { return inet_create_family(s, protocol, AF_INET); }
constinit const net_proto_family inet_family{AF_INET, inet_create};

int icmp_err(sk_buff* skb, u32 info) {
  ping_err(skb, info);
  return 0;
}
const net_protocol icmp_protocol{icmp_rcv, icmp_err, nullptr, true};
const net_protocol igmp_protocol{igmp_rcv, nullptr, nullptr, false};
packet_type ip_packet_type{ETH_P_IP, nullptr, ip_rcv, nullptr, {}};

}  // namespace

const proto_ops& inet_stream_ops = stream_ops;
const proto_ops& inet_dgram_ops = dgram_ops;

// Protocols first, then addresses and routes (which hear of lo at once), then the door for packets.
void inet_init() {
  ip_frag_init();
  ip_rt_init();
  tcp_init();
  udp_init();
  raw_init();
  ping_init();
  inet_add_protocol(&icmp_protocol, IPPROTO_ICMP);
  inet_add_protocol(&igmp_protocol, IPPROTO_IGMP);
  devinet_init();
  fib_init();
  ipv4_proc_init();
  sock_register(&inet_family);
  dev_add_pack(&ip_packet_type);
}
FS_INITCALL(inet_init);

}  // namespace xm::os
