// SPDX-License-Identifier: GPL-2.0-or-later
// Sockets told by netlink, as `ss` asks for them. [man 7 sock_diag] Filters by byte code are left to the asker, who
// applies them too.
#include "kernel/init/initcall.h"
#include "kernel/net/netlink/netlink.h"
#include "kernel/net/tcp.h"
#include "kernel/net/tcp_info.h"
#include "kernel/net/udp.h"

namespace xm::os {
namespace {

constexpr u16 SOCK_DIAG_BY_FAMILY = 20;
enum InetDiagAttribute : u16 {
  INET_DIAG_MEMINFO = 1,
  INET_DIAG_INFO = 2,
  INET_DIAG_CONG = 4,
  INET_DIAG_TOS = 5,
  INET_DIAG_SKMEMINFO = 7,
  INET_DIAG_SHUTDOWN = 8,
  INET_DIAG_SKV6ONLY = 11
};

struct inet_diag_sockid {
  be16 sport, dport;
  be32 src[4], dst[4];
  u32 interface, cookie[2];
};
struct inet_diag_req_v2 {
  u8 family, protocol, ext, pad;
  u32 states;
  inet_diag_sockid id;
};
struct inet_diag_msg {
  u8 family, state, timer, retrans;
  inet_diag_sockid id;
  u32 expires, rqueue, wqueue, uid, inode;
};
static_assert(sizeof(inet_diag_req_v2) == 56 && sizeof(inet_diag_msg) == 72);

struct Walk {
  sk_buff* skb;
  netlink_callback* cb;
  const inet_diag_req_v2* req;
  u64 n = 0;  // matches seen
  bool full = false;
};

void fill_id(inet_diag_msg* m, const sock_common* s, be16 sport) {
  m->family = static_cast<u8>(s->sk_family);
  m->id.sport = sport;
  m->id.dport = s->sk_dport;
  if (s->sk_family == AF_INET) {
    m->id.src[0] = s->sk_v6_rcv_saddr.words[3];
    m->id.dst[0] = s->sk_v6_daddr.words[3];
  } else {
    memcpy(m->id.src, &s->sk_v6_rcv_saddr, sizeof m->id.src);
    memcpy(m->id.dst, &s->sk_v6_daddr, sizeof m->id.dst);
  }
  m->id.interface = static_cast<u32>(s->sk_bound_dev_if);
  const u64 cookie = reinterpret_cast<u64>(s);
  memcpy(m->id.cookie, &cookie, sizeof cookie);
}
u32 ms_left(const timer_list& t) {
  const u64 e = t.expires.load(), now = ktime_get();
  return e > now ? static_cast<u32>((e - now) / kMs) : 0;
}

bool put_attributes(sk_buff* skb, sock* sk, u8 ext, bool tcp) {
  const inet_sock* inet = inet_sk(sk);
  const u32 memory[9] = {static_cast<u32>(sk_rmem_alloc_get(sk)),
                         sk->sk_rcvbuf,
                         static_cast<u32>(sk_wmem_alloc_get(sk)),
                         sk->sk_sndbuf,
                         static_cast<u32>(max(sk->sk_forward_alloc, 0)),
                         static_cast<u32>(sk->sk_wmem_queued),
                         0,
                         sk->sk_backlog.len,
                         static_cast<u32>(sk->sk_drops.load())};
  if ((ext & 1 << (INET_DIAG_SKMEMINFO - 1)) != 0 && !nla_put(skb, INET_DIAG_SKMEMINFO, memory, sizeof memory))
    return false;
  if ((ext & 1 << (INET_DIAG_TOS - 1)) != 0 && !nla_put_u8(skb, INET_DIAG_TOS, inet->tos)) return false;
  if (!nla_put_u8(skb, INET_DIAG_SHUTDOWN, static_cast<u8>(sk->sk_shutdown))) return false;
  if (sk->sk_family == AF_INET6 && !nla_put_u8(skb, INET_DIAG_SKV6ONLY, sk->sk_ipv6only)) return false;
  if (!tcp) return true;
  if ((ext & 1 << (INET_DIAG_CONG - 1)) != 0 && !nla_put_string(skb, INET_DIAG_CONG, inet_csk(sk)->icsk_ca_ops->name))
    return false;
  if ((ext & 1 << (INET_DIAG_INFO - 1)) != 0) {
    nlattr* a = nla_reserve(skb, INET_DIAG_INFO, sizeof(tcp_info));
    if (a == nullptr) return false;
    tcp_info info;
    tcp_get_info(sk, &info);
    memcpy(const_cast<u8*>(nla_data(a)), &info, sizeof info);
  }
  return true;
}

void fill_tcp(inet_diag_msg* m, const sock* sk) {
  const tcp_sock* tp = tcp_sk(sk);
  if (tp->icsk_pending == ICSK_TIME_RETRANS || tp->icsk_pending == ICSK_TIME_REO_TIMEOUT ||
      tp->icsk_pending == ICSK_TIME_LOSS_PROBE) {
    m->timer = 1;
    m->retrans = tp->icsk_retransmits;
    m->expires = ms_left(tp->icsk_retransmit_timer);
  } else if (tp->icsk_pending == ICSK_TIME_PROBE0) {
    m->timer = 4;
    m->retrans = tp->icsk_probes_out;
    m->expires = ms_left(tp->icsk_retransmit_timer);
  } else if (timer_pending(&sk->sk_timer)) {
    m->timer = 2;
    m->retrans = tp->icsk_probes_out;
    m->expires = ms_left(sk->sk_timer);
  }
  if (sk->sk_state == TCP_LISTEN) {
    m->rqueue = sk->sk_ack_backlog;
    m->wqueue = sk->sk_max_ack_backlog;
  } else {
    m->rqueue = static_cast<u32>(max(static_cast<s32>(tp->rcv_nxt - tp->copied_seq), 0));
    m->wqueue = tp->write_seq - tp->snd_una;
  }
}

void tell(Walk& w, sock_common* s, bool tcp) {
  const u8 state = s->sk_state == TCP_NEW_SYN_RECV
                       ? static_cast<u8>(TCP_SYN_RECV)
                       : (s->sk_state == TCP_TIME_WAIT ? inet_twsk(s)->tw_substate : s->sk_state);
  if (w.full || s->sk_family != w.req->family || (w.req->states >> state & 1) == 0) return;
  if (w.n++ < w.cb->args[1]) return;
  nlmsghdr* nlh =
      nlmsg_put(w.skb, w.cb->portid, w.cb->nlh->nlmsg_seq, SOCK_DIAG_BY_FAMILY, sizeof(inet_diag_msg), NLM_F_MULTI);
  bool fits = nlh != nullptr;
  if (fits) {
    inet_diag_msg* m = nlmsg_data<inet_diag_msg>(nlh);
    memset(m, 0, sizeof *m);
    m->state = state;
    if (s->sk_state == TCP_TIME_WAIT) {
      fill_id(m, s, inet_twsk(s)->tw_sport);
      m->timer = 3;
      m->expires = ms_left(inet_twsk(s)->tw_timer);
      m->uid = inet_twsk(s)->tw_uid;
    } else if (s->sk_state == TCP_NEW_SYN_RECV) {
      fill_id(m, s, htons(s->sk_num));
      m->timer = 1;
      m->retrans = inet_reqsk(s)->num_retrans;
      m->expires = ms_left(inet_reqsk(s)->rsk_timer);
    } else {
      sock* sk = static_cast<sock*>(s);
      fill_id(m, s, inet_sk(sk)->inet_sport);
      m->uid = sk->sk_uid;
      const socket* owner = sk->sk_socket;
      if (owner != nullptr && owner->file_ != nullptr) m->inode = static_cast<u32>(owner->file_->f_inode->i_ino);
      if (tcp) {
        fill_tcp(m, sk);
      } else {
        m->rqueue = static_cast<u32>(sk_rmem_alloc_get(sk));
        m->wqueue = static_cast<u32>(sk_wmem_alloc_get(sk));
      }
      fits = put_attributes(w.skb, sk, w.req->ext, tcp);
    }
  }
  if (!fits) {
    if (nlh != nullptr) nlmsg_cancel(w.skb, nlh);
    w.full = true;
    return;
  }
  nlmsg_end(w.skb, nlh);
  w.cb->args[1] = w.n;
}

int dump(sk_buff* skb, netlink_callback* cb) {
  Walk w{skb, cb, nlmsg_data<inet_diag_req_v2>(cb->nlh)};
  if (w.req->protocol == IPPROTO_TCP) {
    const auto visit = [](sock_common* s, void* d) { tell(*static_cast<Walk*>(d), s, true); };
    tcp_for_each(true, visit, &w);
    tcp_for_each(false, visit, &w);
  } else if (w.req->protocol == IPPROTO_UDP) {
    udp_for_each([](udp_sock* u, void* d) { tell(*static_cast<Walk*>(d), u, false); }, &w);
  } else if (w.req->protocol == IPPROTO_RAW) {
    raw_for_each([](inet_sock* r, void* d) { tell(*static_cast<Walk*>(d), r, false); }, &w);
  } else {
    return -ENOENT;
  }
  return w.full ? 1 : 0;
}

int diag_message(netlink_sock* sk, const nlmsghdr* nlh, netlink_ext_ack* ack) {
  if (nlh->nlmsg_type != SOCK_DIAG_BY_FAMILY) return -EINVAL;
  if (nlh->nlmsg_len < NLMSG_HDRLEN + sizeof(inet_diag_req_v2)) return -EINVAL;
  const inet_diag_req_v2* req = nlmsg_data<inet_diag_req_v2>(nlh);
  if (req->family != AF_INET && req->family != AF_INET6) return -ENOENT;
  if ((nlh->nlmsg_flags & NLM_F_DUMP) == 0) return -EOPNOTSUPP;
  netlink_callback cb;
  cb.dump = dump;
  cb.ack = ack;
  return netlink_dump_start(sk, nlh, cb);
}
void diag_input(netlink_sock* sk, u8* data, u32 length) { netlink_rcv(sk, data, length, diag_message); }
constinit const netlink_kernel_ops diag_ops{diag_input, true};

void inet_diag_init() { netlink_kernel_register(NETLINK_SOCK_DIAG, &diag_ops); }
DEVICE_INITCALL(inet_diag_init);

}  // namespace
}  // namespace xm::os
