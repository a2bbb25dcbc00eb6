// SPDX-License-Identifier: GPL-2.0-or-later
// AF_NETLINK sockets: requests from programs to the kernel, its answers and dumps, and groups that hear of changes.
// [man 7 netlink] GAP: no mmapped rings, no namespaces.
#include "kernel/net/netlink/netlink.h"

#include "kernel/drivers/random.h"
#include "kernel/init/initcall.h"
#include "kernel/mm/slab.h"
#include "kernel/net/netdevice.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kDumpSize = 16384 - 512;  // a buffer of a dump, without what stands around it
constexpr u32 kMaxGroups = 64;

struct Table {
  const netlink_kernel_ops* ops = nullptr;
  list_head sockets;
};
Table tables[kMaxNetlink];
constinit spinlock_t table_lock{LockRank::NetDevice};

netlink_sock* nlk(socket* s) { return static_cast<netlink_sock*>(s->sk); }
u64 group_bit(u32 group) { return group == 0 || group > kMaxGroups ? 0 : 1ul << (group - 1); }

struct NetlinkProto final : proto {
  NetlinkProto() : proto("NETLINK", sizeof(netlink_sock)) {}
  sock* alloc() const override { return knew<netlink_sock>(); }
  void destruct(sock* sk) const override { kdelete(static_cast<netlink_sock*>(sk)); }
  void close(sock*, u64) const override {}
  int backlog_rcv(sock*, sk_buff* skb) const override {
    consume_skb(skb);
    return 0;
  }
};
const NetlinkProto netlink_proto;

netlink_sock* find_port_locked(int protocol, u32 portid) {
  for (netlink_sock* s : entries<&netlink_sock::table_link>(tables[protocol].sockets)) {
    if (s->bound && s->portid == portid) return s;
  }
  return nullptr;
}

// The port number of the process if it is free, else any.
int autobind(netlink_sock* sk) {
  BhGuard guard(table_lock);
  if (sk->bound) return 0;
  u32 port = static_cast<u32>(current->tgid);
  while (find_port_locked(sk->sk_protocol, port) != nullptr) {
    get_random_bytes(&port, sizeof port);
    port |= 0x80000000u;
  }
  sk->portid = port;
  sk->bound = true;
  return 0;
}

bool may_join(const netlink_sock* sk) { return tables[sk->sk_protocol].ops->nonroot_receive || capable(CAP_NET_ADMIN); }

// Full: the reader is told once by ENOBUFS that it missed something.
void overrun(netlink_sock* sk) {
  sk->sk_drops.inc();
  if (sk->no_enobufs || sk->congested) return;
  sk->congested = true;
  sk_set_err(sk, ENOBUFS);
  sock_def_error_report(sk);
}

bool queue_to(netlink_sock* sk, sk_buff* skb) {
  if (sk_rmem_alloc_get(sk) > static_cast<s32>(sk->sk_rcvbuf) && sk_rmem_alloc_get(sk) > 0) return false;
  skb_set_owner_r(skb, sk);
  skb_queue_tail(&sk->sk_receive_queue, skb);
  sock_def_readable(sk);
  return true;
}

struct NetlinkCb {  // in skb->cb
  u32 portid, group;
  ucred creds;
};
NetlinkCb* cb_of(sk_buff* skb) { return reinterpret_cast<NetlinkCb*>(skb->cb); }

// --- dumps ---
void end_dump(netlink_sock* sk) {
  netlink_callback* cb = sk->cb;
  sk->cb = nullptr;
  if (cb->done != nullptr) cb->done(cb);
  kfree(cb->nlh);
  kdelete(cb);
}

bool put_done(sk_buff* skb, netlink_callback* cb, int error) {
  nlmsghdr* nlh = nlmsg_put(skb, cb->portid, cb->nlh->nlmsg_seq, NLMSG_DONE, sizeof(int), NLM_F_MULTI);
  if (nlh == nullptr) return false;
  *nlmsg_data<int>(nlh) = error;
  return true;
}

// Fills one buffer and queues it.
int dump_step(netlink_sock* sk) {
  MutexGuard guard(sk->cb_lock);
  netlink_callback* cb = sk->cb;
  if (cb == nullptr) return 0;
  if (sk_rmem_alloc_get(sk) >= static_cast<s32>(sk->sk_rcvbuf)) return 0;
  sk_buff* skb = nlmsg_new(kDumpSize);
  if (skb == nullptr) return -ENOBUFS;
  const int result = cb->dump(skb, cb);
  cb->ack = nullptr;
  if (result > 0 && skb->len > 0) {
    if (!queue_to(sk, skb)) kfree_skb(skb);
    return 0;
  }
  const int error = result > 0 ? -EMSGSIZE : result;
  if (!put_done(skb, cb, error)) {
    sk_buff* last = nlmsg_new(64);
    if (last != nullptr) put_done(last, cb, error);
    if (!queue_to(sk, skb)) kfree_skb(skb);
    skb = last;
  }
  if (skb != nullptr && !queue_to(sk, skb)) kfree_skb(skb);
  end_dump(sk);
  return 0;
}

// --- sending between programs ---
int to_program(netlink_sock* sk, u32 portid, u32 group, const u8* data, u32 length) {
  const auto make = [&]() -> sk_buff* {
    sk_buff* skb = alloc_skb(length, GFP_KERNEL);
    if (skb == nullptr) return nullptr;
    memcpy(skb_put(skb, length), data, length);
    const cred* c = current_cred();
    *cb_of(skb) = {sk->portid, group, {current->tgid, c->euid, c->egid}};
    return skb;
  };
  if (group != 0) {
    if (sk_buff* skb = make()) netlink_broadcast(sk->sk_protocol, skb, group, sk->portid);
    if (portid == 0) return 0;
  }
  sk_buff* skb = make();
  if (skb == nullptr) return -ENOBUFS;
  int result = -ECONNREFUSED;
  {
    BhGuard guard(table_lock);
    netlink_sock* to = find_port_locked(sk->sk_protocol, portid);
    if (to != nullptr) result = queue_to(to, skb) ? 0 : -EAGAIN;
  }
  if (result != 0) kfree_skb(skb);
  return result;
}

int add_membership(netlink_sock* sk, u32 group, bool join) {
  if (group == 0 || group > kMaxGroups) return -EINVAL;
  if (join && !may_join(sk)) return -EPERM;
  TRY_INT(autobind(sk));
  BhGuard guard(table_lock);
  sk->groups = join ? sk->groups | group_bit(group) : sk->groups & ~group_bit(group);
  return 0;
}

bool* flag_of(netlink_sock* sk, int name) {
  switch (name) {
    case NETLINK_PKTINFO: return &sk->pktinfo;
    case NETLINK_NO_ENOBUFS: return &sk->no_enobufs;
    case NETLINK_CAP_ACK: return &sk->cap_ack;
    case NETLINK_EXT_ACK: return &sk->ext_ack;
    case NETLINK_GET_STRICT_CHK: return &sk->strict;
    default: return nullptr;
  }
}

struct NetlinkOps final : proto_ops {
  void release(socket* s) const override {
    netlink_sock* sk = nlk(s);
    {
      BhGuard guard(table_lock);
      list_del(&sk->table_link);
    }
    {
      MutexGuard guard(sk->cb_lock);
      if (sk->cb != nullptr) end_dump(sk);
    }
    skb_queue_purge(&sk->sk_receive_queue);
    sock_orphan(sk);
    sock_put(sk);
  }
  int bind(socket* s, const sockaddr_storage& address, u32 length) const override {
    netlink_sock* sk = nlk(s);
    const auto& a = reinterpret_cast<const sockaddr_nl&>(address);
    if (length < sizeof a || a.nl_family != AF_NETLINK) return -EINVAL;
    if (a.nl_groups != 0 && !may_join(sk)) return -EPERM;
    if (a.nl_pid == 0) {
      TRY_INT(autobind(sk));
    } else {
      BhGuard guard(table_lock);
      if (sk->bound && sk->portid != a.nl_pid) return -EINVAL;
      const netlink_sock* other = find_port_locked(sk->sk_protocol, a.nl_pid);
      if (other != nullptr && other != sk) return -EADDRINUSE;
      sk->portid = a.nl_pid;
      sk->bound = true;
    }
    BhGuard guard(table_lock);
    sk->groups = (sk->groups & ~0xfffffffful) | a.nl_groups;
    return 0;
  }
  int connect(socket* s, const sockaddr_storage& address, u32 length, u32) const override {
    netlink_sock* sk = nlk(s);
    const auto& a = reinterpret_cast<const sockaddr_nl&>(address);
    if (length < sizeof a.nl_family) return -EINVAL;
    if (a.nl_family == AF_UNSPEC) {
      sk->dst_portid = sk->dst_group = 0;
      return 0;
    }
    if (length < sizeof a || a.nl_family != AF_NETLINK) return -EINVAL;
    if ((a.nl_groups != 0 || a.nl_pid != 0) && !capable(CAP_NET_ADMIN)) return -EPERM;
    TRY_INT(autobind(sk));
    sk->dst_portid = a.nl_pid;
    sk->dst_group = a.nl_groups == 0 ? 0 : static_cast<u32>(__builtin_ffs(static_cast<int>(a.nl_groups)));
    return 0;
  }
  int getname(socket* s, sockaddr_storage& address, bool peer) const override {
    const netlink_sock* sk = nlk(s);
    auto& a = reinterpret_cast<sockaddr_nl&>(address);
    a = {AF_NETLINK, 0, peer ? sk->dst_portid : sk->portid,
         static_cast<u32>(peer ? group_bit(sk->dst_group) : sk->groups)};
    return sizeof a;
  }
  u32 poll(file* f, socket* s, poll_table* table) const override { return datagram_poll(f, s, table); }
  int setsockopt(socket* s, int level, int name, u64 user, u32 length) const override {
    if (level != SOL_NETLINK) return -ENOPROTOOPT;
    netlink_sock* sk = nlk(s);
    u32 value = 0;
    if (length >= sizeof value) TRY_INT(get_user_at(value, user));
    if (bool* flag = flag_of(sk, name); flag != nullptr) {
      *flag = value != 0;
      return 0;
    }
    switch (name) {
      case NETLINK_ADD_MEMBERSHIP: return add_membership(sk, value, true);
      case NETLINK_DROP_MEMBERSHIP: return add_membership(sk, value, false);
      case NETLINK_BROADCAST_ERROR:
      case NETLINK_LISTEN_ALL_NSID: return 0;
      default: return -ENOPROTOOPT;
    }
  }
  int getsockopt(socket* s, int level, int name, u64 user, int length, u64 user_length) const override {
    if (level != SOL_NETLINK) return -ENOPROTOOPT;
    netlink_sock* sk = nlk(s);
    if (const bool* flag = flag_of(sk, name); flag != nullptr) {
      if (length < static_cast<int>(sizeof(int))) return -EINVAL;
      const int value = *flag;
      return put_option(user, user_length, &value, sizeof value);
    }
    if (name == NETLINK_LIST_MEMBERSHIPS) return put_option(user, user_length, &sk->groups, sizeof sk->groups);
    return -ENOPROTOOPT;
  }
  ssize_t sendmsg(socket* s, msghdr& m) const override {
    netlink_sock* sk = nlk(s);
    u32 portid = sk->dst_portid, group = sk->dst_group;
    if ((m.flags & MSG_OOB) != 0) return -EOPNOTSUPP;
    if (m.name != nullptr) {
      const auto& a = reinterpret_cast<const sockaddr_nl&>(*m.name);
      if (m.name_len < sizeof a || a.nl_family != AF_NETLINK) return -EINVAL;
      portid = a.nl_pid;
      group = a.nl_groups == 0 ? 0 : static_cast<u32>(__builtin_ffs(static_cast<int>(a.nl_groups)));
      if ((group != 0 || portid != 0) && !capable(CAP_NET_ADMIN) && sk->sk_protocol != NETLINK_USERSOCK) return -EPERM;
    }
    TRY_INT(autobind(sk));
    const u64 length = m.iter->count();
    if (length > max(sk->sk_sndbuf, 4u << 20)) return -EMSGSIZE;
    u8* data = static_cast<u8*>(kmalloc(length + 4));
    if (data == nullptr) return -ENOBUFS;
    ssize_t result = static_cast<ssize_t>(length);
    if (m.iter->copy_from(data, length) != length) {
      result = -EFAULT;
    } else if (portid == 0 && group == 0) {
      tables[sk->sk_protocol].ops->input != nullptr
          ? tables[sk->sk_protocol].ops->input(sk, data, static_cast<u32>(length))
          : void(result = -ECONNREFUSED);
    } else if (const int error = to_program(sk, portid, group, data, static_cast<u32>(length)); error != 0) {
      result = error;
    }
    kfree(data);
    return result;
  }
  ssize_t recvmsg(socket* s, msghdr& m) const override {
    netlink_sock* sk = nlk(s);
    if ((m.flags & MSG_OOB) != 0) return -EOPNOTSUPP;
    if (sk->cb != nullptr && read_once(sk->sk_receive_queue.first) == nullptr) dump_step(sk);
    int error = 0;
    sk_buff* skb = skb_recv_datagram(sk, m.flags, &error);
    if (skb == nullptr) return error;
    const u32 whole = skb->len;
    const u32 n = static_cast<u32>(min<u64>(whole, m.iter->count()));
    if (n < whole) m.out_flags |= MSG_TRUNC;
    error = skb_copy_datagram_iter(skb, 0, m.iter, n);
    const NetlinkCb cb = *cb_of(skb);
    if (m.name != nullptr) {
      reinterpret_cast<sockaddr_nl&>(*m.name) = {AF_NETLINK, 0, cb.portid, static_cast<u32>(group_bit(cb.group))};
      m.name_len = sizeof(sockaddr_nl);
    }
    if (sk->pktinfo) {
      const nl_pktinfo info{cb.group};
      put_cmsg(m, SOL_NETLINK, NETLINK_PKTINFO, &info, sizeof info);
    }
    if (sk->sk_passcred) put_cmsg(m, SOL_SOCKET, SCM_CREDENTIALS, &cb.creds, sizeof cb.creds);
    skb_free_datagram(sk, skb);
    if (read_once(sk->sk_receive_queue.first) == nullptr) sk->congested = false;
    if (sk->cb != nullptr && sk_rmem_alloc_get(sk) <= static_cast<s32>(sk->sk_rcvbuf / 2)) dump_step(sk);
    if (error != 0) return error;
    return (m.flags & MSG_TRUNC) != 0 ? whole : n;
  }
};
constinit const NetlinkOps netlink_ops{};

int create(socket* s, int protocol) {
  if (s->type != SOCK_RAW && s->type != SOCK_DGRAM) return -ESOCKTNOSUPPORT;
  if (protocol < 0 || protocol >= kMaxNetlink || tables[protocol].ops == nullptr) return -EPROTONOSUPPORT;
  sock* sk = sk_alloc(AF_NETLINK, &netlink_proto);
  if (sk == nullptr) return -ENOBUFS;
  sock_init_data(s, sk);
  sk->sk_protocol = protocol;
  s->ops = &netlink_ops;
  BhGuard guard(table_lock);
  list_add_tail(&static_cast<netlink_sock*>(sk)->table_link, &tables[protocol].sockets);
  return 0;
}
constinit const net_proto_family netlink_family{AF_NETLINK, create};

constinit const netlink_kernel_ops usersock_ops{nullptr, true}, uevent_ops{nullptr, true};

void netlink_init() {
  sock_register(&netlink_family);
  netlink_kernel_register(NETLINK_USERSOCK, &usersock_ops);
  netlink_kernel_register(NETLINK_KOBJECT_UEVENT, &uevent_ops);
}
BUS_INITCALL(netlink_init);

}  // namespace

int netlink_kernel_register(int protocol, const netlink_kernel_ops* ops) {
  if (protocol < 0 || protocol >= kMaxNetlink || tables[protocol].ops != nullptr) return -EBUSY;
  tables[protocol].ops = ops;
  return 0;
}

int netlink_unicast(netlink_sock* sk, sk_buff* skb) {
  if (queue_to(sk, skb)) return 0;
  kfree_skb(skb);
  overrun(sk);
  return -ENOBUFS;
}

void netlink_broadcast(int protocol, sk_buff* skb, u32 group, u32 except) {
  cb_of(skb)->group = group;
  {
    BhGuard guard(table_lock);
    for (netlink_sock* sk : entries<&netlink_sock::table_link>(tables[protocol].sockets)) {
      if ((sk->groups & group_bit(group)) == 0 || (except != 0 && sk->portid == except)) continue;
      sk_buff* copy = skb_copy(skb, GFP_ATOMIC);
      if (copy != nullptr && queue_to(sk, copy)) continue;
      if (copy != nullptr) kfree_skb(copy);
      overrun(sk);
    }
  }
  consume_skb(skb);
}

bool netlink_has_listeners(int protocol, u32 group) {
  BhGuard guard(table_lock);
  for (netlink_sock* sk : entries<&netlink_sock::table_link>(tables[protocol].sockets)) {
    if ((sk->groups & group_bit(group)) != 0) return true;
  }
  return false;
}

void netlink_ack(netlink_sock* sk, const nlmsghdr* nlh, int error, const netlink_ext_ack* ack) {
  const bool whole = error != 0 && !sk->cap_ack;
  const bool tlvs = sk->ext_ack && ack != nullptr && (ack->msg != nullptr || ack->bad_attr != nullptr);
  const u32 echoed = whole ? nlh->nlmsg_len - NLMSG_HDRLEN : 0;
  const u32 text = tlvs && ack->msg != nullptr ? static_cast<u32>(strlen(ack->msg)) + 1 : 0;
  sk_buff* skb = nlmsg_new(sizeof(nlmsgerr) + nl_align(echoed) + nl_align(text) + 64);
  if (skb == nullptr) {
    overrun(sk);
    return;
  }
  u16 flags = 0;
  if (error != 0 && !whole) flags |= NLM_F_CAPPED;
  if (error == 0 && sk->cap_ack) flags |= NLM_F_CAPPED;
  if (tlvs) flags |= NLM_F_ACK_TLVS;
  nlmsghdr* reply = nlmsg_put(skb, sk->portid, nlh->nlmsg_seq, NLMSG_ERROR, sizeof(nlmsgerr) + echoed, flags);
  auto* e = nlmsg_data<nlmsgerr>(reply);
  e->error = error;
  e->msg = *nlh;
  if (whole) memcpy(e + 1, nlh + 1, echoed);
  if (tlvs) {
    if (ack->msg != nullptr) nla_put_string(skb, NLMSGERR_ATTR_MSG, ack->msg);
    const u8 *bad = reinterpret_cast<const u8*>(ack->bad_attr), *start = reinterpret_cast<const u8*>(nlh);
    if (error != 0 && bad != nullptr && bad >= start && bad < start + nlh->nlmsg_len)
      nla_put_u32(skb, NLMSGERR_ATTR_OFFS, static_cast<u32>(bad - start));
    nlmsg_end(skb, reply);
  }
  netlink_unicast(sk, skb);
}

void netlink_rcv(netlink_sock* sk, u8* data, u32 length,
                 int (*doit)(netlink_sock*, const nlmsghdr*, netlink_ext_ack*)) {
  while (length >= NLMSG_HDRLEN) {
    const auto* nlh = reinterpret_cast<const nlmsghdr*>(data);
    if (nlh->nlmsg_len < NLMSG_HDRLEN || nlh->nlmsg_len > length) return;
    netlink_ext_ack ack;
    int error = 0;
    if ((nlh->nlmsg_flags & NLM_F_REQUEST) != 0 && nlh->nlmsg_type >= NLMSG_MIN_TYPE) error = doit(sk, nlh, &ack);
    if (error != kNetlinkNoAck && (error != 0 || (nlh->nlmsg_flags & NLM_F_ACK) != 0))
      netlink_ack(sk, nlh, error, &ack);
    const u32 step = min(nl_align(nlh->nlmsg_len), length);
    data += step;
    length -= step;
  }
}

int netlink_dump_start(netlink_sock* sk, const nlmsghdr* nlh, const netlink_callback& from) {
  netlink_callback* cb = knew<netlink_callback>();
  auto* copy = static_cast<nlmsghdr*>(kmalloc(nlh->nlmsg_len));
  if (cb == nullptr || copy == nullptr) {
    kdelete(cb);
    kfree(copy);
    return -ENOBUFS;
  }
  memcpy(copy, nlh, nlh->nlmsg_len);
  *cb = from;
  cb->nlh = copy;
  cb->portid = sk->portid;
  cb->strict = sk->strict;
  {
    MutexGuard guard(sk->cb_lock);
    if (sk->cb != nullptr) {
      kfree(copy);
      kdelete(cb);
      return -EBUSY;
    }
    sk->cb = cb;
  }
  const int error = dump_step(sk);
  return error != 0 ? error : kNetlinkNoAck;
}

}  // namespace xm::os
