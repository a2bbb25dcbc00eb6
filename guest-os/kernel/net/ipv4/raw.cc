// SPDX-License-Identifier: GPL-2.0-or-later
// Raw sockets: a copy of every packet of a protocol, and packets with a header of one's own (IP_HDRINCL). [man 7 raw]
#include "kernel/drivers/random.h"
#include "kernel/mm/slab.h"
#include "kernel/net/snmp.h"
#include "kernel/net/tcp_states.h"
#include "kernel/net/udp.h"
#include "kernel/syscall/convert.h"

namespace xm::os {
namespace {

constexpr int kIcmpFilter = 1;  // ICMP_FILTER
struct raw_sock : inet_sock {
  list_head raw_link;
};
raw_sock* raw_sk(sock* sk) { return static_cast<raw_sock*>(sk); }

constexpr u32 kBuckets = 256;
list_head raw_table[kBuckets];
spinlock_t raw_lock{LockRank::SockHash};
Atomic<u32> raw_count{0};

bool matches(const raw_sock* r, u8 protocol, be32 saddr, be32 daddr, int dif) {
  if (r->sk_num != protocol || r->sk_family != AF_INET) return false;
  if (inet_daddr(r) != 0 && inet_daddr(r) != saddr) return false;
  if (sk_rcv_saddr(r) != 0 && sk_rcv_saddr(r) != daddr) return false;
  return r->sk_bound_dev_if == 0 || r->sk_bound_dev_if == dif;
}

bool icmp_filtered(const raw_sock* r, const sk_buff* skb) {
  u8 type;
  if (skb_copy_bits(skb, 0, &type, 1) != 0) return true;
  return type < 32 && (r->raw_icmp_filter >> type & 1) != 0;
}

int raw_rcv_skb(sock* sk, sk_buff* skb) {
  if (sock_queue_rcv_skb(sk, skb) == 0) return 0;
  sk->sk_drops.inc();
  kfree_skb_reason(skb, SKB_DROP_SOCKET_RCVBUFF);
  return -1;
}

// --- send ---
int send_hdrincl(raw_sock* r, iov_iter* from, u32 length, const flowi4& fl, rtable* rt, u32 flags) {
  if (length > rt->dev->mtu) {
    ip_local_error(r, EMSGSIZE, fl.daddr, 0, rt->dev->mtu);
    return -EMSGSIZE;
  }
  if (length < sizeof(iphdr)) return -EINVAL;
  int error;
  sk_buff* skb = ip_make_skb(r, from, length, 0, rt, nullptr, flags, &error);
  if (skb == nullptr) return error;
  skb_reset_network_header(skb);
  if (!pskb_may_pull(skb, sizeof(iphdr)) || ip_hdr(skb)->ihl < 5 || !pskb_may_pull(skb, ip_hdr(skb)->ihl * 4u)) {
    consume_skb(skb);
    return -EINVAL;
  }
  iphdr* h = ip_hdr(skb);
  skb->transport_header = skb->network_header + h->ihl * 4u;
  if (h->saddr == 0) h->saddr = fl.saddr;
  if (h->id == 0) ip_select_ident(h, nullptr, 1);
  skb->priority = r->sk_priority;
  skb->mark = r->sk_mark;
  memset(skb->cb, 0, sizeof(inet_skb_parm));
  skb_dst_set(skb, dst_hold(rt));
  return ip_send_skb(skb);
}

ssize_t raw_sendmsg(sock* sk, msghdr& m) {
  raw_sock* r = raw_sk(sk);
  const u64 length = m.iter->count();
  if (length > 0xffff) return -EMSGSIZE;
  if ((m.flags & MSG_OOB) != 0) return -EOPNOTSUPP;
  flowi4 fl;
  if (m.name != nullptr && m.name_len > 0) {
    in6_addr to;
    be16 port;
    int oif;
    TRY_INT(inet_af[0]->peer(sk, *m.name, m.name_len, &to, &port, &oif));
    fl.daddr = to.words[3];
  } else {
    if (sk->sk_state != TCP_ESTABLISHED) return -EDESTADDRREQ;
    fl.daddr = inet_daddr(r);
  }
  ipcm_cookie c;
  ipcm_init_sk(&c, r);
  if (m.control_len > 0) TRY_INT(ip_cmsg_send(sk, m, &c, false));
  fl.saddr = c.addr;
  fl.oif = c.oif;
  fl.mark = c.mark;
  fl.proto = r->hdrincl ? static_cast<u8>(IPPROTO_RAW) : static_cast<u8>(sk->sk_protocol);
  fl.tos = c.tos >= 0 ? static_cast<u8>(c.tos) : r->tos;
  if (inet_can_nonlocal_bind(r) || r->hdrincl) fl.flags |= FLOWI_FLAG_ANYSRC;
  if ((m.flags & MSG_DONTROUTE) != 0 || sk->sk_dontroute) fl.scope = RT_SCOPE_LINK;
  if (ipv4_is_multicast(fl.daddr)) {
    if (fl.oif == 0) fl.oif = r->mc_index;
    if (fl.saddr == 0) fl.saddr = r->mc_addr;
  }
  rtable* rt = TRY(ip_route_output_flow(&fl, sk));
  int error = 0;
  if ((rt->rt_flags & RTCF_BROADCAST) != 0 && !sk->sk_broadcast) {
    error = -EACCES;
  } else if (r->hdrincl) {
    error = send_hdrincl(r, m.iter, static_cast<u32>(length), fl, rt, m.flags);
  } else {
    sk_buff* skb = ip_make_skb(sk, m.iter, static_cast<u32>(length), 0, rt, &c, m.flags, &error);
    if (skb != nullptr) {
      ip_push_header(sk, skb, &fl, rt, &c, static_cast<u8>(sk->sk_protocol));
      error = ip_send_skb(skb);
    }
  }
  if (error == -ENOBUFS && !r->recverr) error = 0;
  ip_rt_put(rt);
  return error != 0 ? error : static_cast<ssize_t>(length);
}

ssize_t raw_recvmsg(sock* sk, msghdr& m) {
  if ((m.flags & MSG_OOB) != 0) return -EOPNOTSUPP;
  if ((m.flags & MSG_ERRQUEUE) != 0) return ip_recv_error(sk, m);
  int error;
  sk_buff* skb = skb_recv_datagram(sk, m.flags, &error);
  if (skb == nullptr) return error;
  const u32 n = static_cast<u32>(min<u64>(skb->len, m.iter->count()));
  if (n < skb->len) m.out_flags |= MSG_TRUNC;
  error = skb_copy_datagram_iter(skb, 0, m.iter, n);
  const ssize_t result = (m.flags & MSG_TRUNC) != 0 ? skb->len : n;
  if (error == 0) {
    sock_recv_cmsgs(m, sk, skb);
    if (m.name != nullptr) m.name_len = inet_af[0]->name(sk, v4mapped(ip_hdr(skb)->saddr), 0, *m.name);
    ip_cmsg_recv(m, sk, skb, 0);
  }
  consume_skb(skb);
  return error != 0 ? error : result;
}

struct RawProto final : proto {
  constexpr RawProto() : proto("RAW", sizeof(raw_sock)) {}
  sock* alloc() const override { return knew<raw_sock>(); }
  void destruct(sock* sk) const override { kdelete(raw_sk(sk)); }
  void close(sock* sk, u64) const override { sk_common_release(sk); }
  bool has_bind() const override { return true; }
  int bind(sock* sk, const sockaddr_storage& a, u32 length) const override {
    in6_addr to;
    be16 port;
    int oif;
    TRY_INT(inet_af[0]->bind_check(sk, a, length, &to, &port, &oif));
    SockGuard guard(sk);
    if (sk->sk_state != TCP_CLOSE) return -EINVAL;
    sk->sk_v6_rcv_saddr = to;
    inet_sk(sk)->inet_saddr = to.multicast() || inet_addr_type(to.words[3]) == RTN_BROADCAST ? 0 : to.words[3];
    sk_dst_reset(sk);
    return 0;
  }
  int connect(sock* sk, const sockaddr_storage& a, u32 length) const override {
    in6_addr to;
    be16 port;
    int oif;
    TRY_INT(inet_af[0]->peer(sk, a, length, &to, &port, &oif));
    return udp_v4_connect(sk, to.words[3], port, 0);
  }
  int disconnect(sock* sk, u32) const override {
    sk->sk_state = TCP_CLOSE;
    inet_set_daddr(sk, 0);
    sk->sk_dport = 0;
    sk_dst_reset(sk);
    return 0;
  }
  int hash(sock* sk) const override {
    BhGuard guard(raw_lock);
    list_add_tail(&raw_sk(sk)->raw_link, &raw_table[sk->sk_num % kBuckets]);
    raw_count.inc();
    return 0;
  }
  void unhash(sock* sk) const override {
    BhGuard guard(raw_lock);
    if (raw_sk(sk)->raw_link.empty()) return;
    list_del(&raw_sk(sk)->raw_link);
    raw_count.sub(1);
  }
  ssize_t sendmsg(sock* sk, msghdr& m) const override { return raw_sendmsg(sk, m); }
  ssize_t recvmsg(sock* sk, msghdr& m) const override { return raw_recvmsg(sk, m); }
  int setsockopt(sock* sk, int level, int name, u64 user, u32 length) const override {
    if (level != SOL_RAW) return ip_setsockopt(sk, level, name, user, length);
    if (name != kIcmpFilter || sk->sk_num != IPPROTO_ICMP) return -ENOPROTOOPT;
    return length < sizeof(u32) ? -EINVAL : get_user_at(inet_sk(sk)->raw_icmp_filter, user);
  }
  int getsockopt(sock* sk, int level, int name, u64 user, int length, u64 user_length) const override {
    if (level != SOL_RAW) return ip_getsockopt(sk, level, name, user, length, user_length);
    if (name != kIcmpFilter || sk->sk_num != IPPROTO_ICMP) return -ENOPROTOOPT;
    return put_option(user, user_length, &inet_sk(sk)->raw_icmp_filter, sizeof(u32));
  }
  long ioctl(sock* sk, u32 command, u64 argument) const override {
    if (command == SIOCOUTQ) return put_user_at(sk_wmem_alloc_get(sk), argument);
    if (command != FIONREAD) return -ENOIOCTLCMD;
    int n = 0;
    {
      IrqGuard guard(sk->sk_receive_queue.lock);
      if (const sk_buff* skb = sk->sk_receive_queue.first; skb != nullptr) n = static_cast<int>(skb->len);
    }
    return put_user_at(n, argument);
  }
  int backlog_rcv(sock* sk, sk_buff* skb) const override { return raw_rcv_skb(sk, skb); }
};
constinit const RawProto raw_proto{};
inet_protosw raw_protosw{AF_INET, SOCK_RAW, 0, &raw_proto, &inet_dgram_ops, false, true, nullptr};

}  // namespace

// skb->data is behind the IP header; readers see the header too.
bool raw_local_deliver(sk_buff* skb, u8 protocol) {
  if (raw_count.load() == 0) return false;
  const iphdr* ip = ip_hdr(skb);
  sock* targets[32];
  u32 n = 0;
  {
    BhGuard guard(raw_lock);
    for (raw_sock* r : entries<&raw_sock::raw_link>(raw_table[protocol])) {
      if (n == array_size(targets)) break;
      if (!matches(r, protocol, ip->saddr, ip->daddr, static_cast<int>(skb->skb_iif))) continue;
      if (protocol == IPPROTO_ICMP && icmp_filtered(r, skb)) continue;
      if (r->sk_refcnt.inc_not_zero()) targets[n++] = r;
    }
  }
  for (u32 i = 0; i < n; ++i) {
    if (sk_buff* copy = skb_clone(skb, GFP_ATOMIC); copy != nullptr) {
      skb_push(copy, skb_transport_offset(copy) - skb_network_offset(copy));
      raw_rcv_skb(targets[i], copy);
    }
    sock_put(targets[i]);
  }
  return n > 0;
}

void raw_icmp_error(sk_buff* skb, u8 protocol, u32 info) {
  if (raw_count.load() == 0) return;
  const iphdr* ip = reinterpret_cast<const iphdr*>(skb->data);
  const u8 type = icmp_hdr(skb)->type, code = icmp_hdr(skb)->code;
  int err = EHOSTUNREACH;
  bool hard = false;
  if (type == ICMP_PARAMETERPROB) {
    err = EPROTO;
    hard = true;
  } else if (type == ICMP_DEST_UNREACH && code < 16) {
    err = icmp_err_convert[code].error;
    hard = icmp_err_convert[code].fatal;
    if (code == ICMP_FRAG_NEEDED) hard = true;
  }
  sock* targets[16];
  u32 n = 0;
  {
    BhGuard guard(raw_lock);
    for (raw_sock* r : entries<&raw_sock::raw_link>(raw_table[protocol])) {
      if (n < array_size(targets) && matches(r, protocol, ip->daddr, ip->saddr, static_cast<int>(skb->skb_iif)) &&
          r->sk_refcnt.inc_not_zero())
        targets[n++] = r;
    }
  }
  for (u32 i = 0; i < n; ++i) {
    sock* sk = targets[i];
    const bool recverr = inet_sk(sk)->recverr;
    if (recverr) ip_icmp_error(sk, skb, err, 0, info, inet_sk(sk)->hdrincl ? skb->data : skb->data + ip->ihl * 4u);
    if (recverr || (hard && sk->sk_state == TCP_ESTABLISHED)) {
      sk_set_err(sk, err);
      sock_def_error_report(sk);
    }
    sock_put(sk);
  }
}

void raw_for_each(void (*visit)(inet_sock* r, void* data), void* data) {
  BhGuard guard(raw_lock);
  for (list_head& b : raw_table) {
    for (raw_sock* r : entries<&raw_sock::raw_link>(b)) visit(r, data);
  }
}

void raw_init() {
  for (list_head& b : raw_table) b.init();
  inet_register_protosw(&raw_protosw);
}

}  // namespace xm::os
