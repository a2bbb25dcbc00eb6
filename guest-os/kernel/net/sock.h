// SPDX-License-Identifier: GPL-2.0-or-later
// Sockets. `socket` is the end that user space sees (a file of sockfs); `sock` is the protocol's end, which may live
// longer (a closing connection) or exist before (a connection waiting for accept). A family registers how to create its
// sockets (net_proto_family) and serves them through proto_ops. All methods run in process context without locks held.
#pragma once

#include "abi/socket.h"
#include "kernel/fs/fs.h"
#include "kernel/fs/poll.h"
#include "kernel/net/dst.h"
#include "kernel/net/timer.h"

namespace xm::os {

struct socket;
struct sock;
struct proto;
struct sk_filter;

enum class SocketState : u8 { Free, Unconnected, Connecting, Connected, Disconnecting };

// One message on its way through sendmsg or recvmsg.
struct msghdr {
  sockaddr_storage* name = nullptr;  // send: destination or null. recv: where the sender's goes, or null
  u32 name_len = 0;                  // recv: set by the protocol
  iov_iter* iter = nullptr;
  u32 flags = 0;      // MSG_*: asked for
  u32 out_flags = 0;  // recv: MSG_TRUNC, MSG_CTRUNC, MSG_EOR ...
  // send: kernel copy of the control messages (always in 64-bit form). recv: user memory that put_cmsg fills.
  const char* control = nullptr;
  u64 control_len = 0;
  u64 user_control = 0;
  u64 user_control_left = 0;
  bool nonblocking() const { return (flags & MSG_DONTWAIT) != 0; }
};

struct proto_ops {
  virtual void release(socket* s) const = 0;
  virtual int bind(socket*, const sockaddr_storage&, u32 /*length*/) const { return -EOPNOTSUPP; }
  virtual int connect(socket*, const sockaddr_storage&, u32 /*length*/, u32 /*file flags*/) const {
    return -EOPNOTSUPP;
  }
  virtual int socketpair(socket*, socket*) const { return -EOPNOTSUPP; }
  // Waits for a connection and hangs it on `fresh`, a socket without a sock.
  virtual int accept(socket*, socket* /*fresh*/, u32 /*file flags*/) const { return -EOPNOTSUPP; }
  virtual int getname(socket*, sockaddr_storage&, bool /*peer*/) const { return -EOPNOTSUPP; }  // returns the length
  virtual u32 poll(file* f, socket* s, poll_table* table) const = 0;
  virtual long ioctl(socket*, u32, u64) const { return -ENOIOCTLCMD; }
  virtual int listen(socket*, int /*backlog*/) const { return -EOPNOTSUPP; }
  virtual int shutdown(socket*, int /*how*/) const { return -EOPNOTSUPP; }
  // Options of other levels than SOL_SOCKET, and those of SOL_SOCKET that the common part does not know.
  virtual int setsockopt(socket*, int /*level*/, int /*name*/, u64 /*user*/, u32 /*length*/) const {
    return -ENOPROTOOPT;
  }
  virtual int getsockopt(socket*, int /*level*/, int /*name*/, u64 /*user*/, int /*length*/,
                         u64 /*user length*/) const {
    return -ENOPROTOOPT;
  }
  virtual ssize_t sendmsg(socket*, msghdr&) const { return -EOPNOTSUPP; }
  virtual ssize_t recvmsg(socket*, msghdr&) const { return -EOPNOTSUPP; }
  virtual int mmap(file*, socket*, vm_area_struct*) const { return -ENODEV; }
};

constexpr u32 RCV_SHUTDOWN = 1, SEND_SHUTDOWN = 2, SHUTDOWN_MASK = 3;
constexpr u64 kNoTimeout = ~0ul;
constexpr u32 kSockBufDefault = 212992, kSockBufMin = 2304, kSockSndBufMin = 4608;

// What the tables of sockets know: also the small forms of a connection before and after its socket (request_sock,
// inet_timewait_sock). Addresses of both families, see in6_addr.
struct sock_common {
  list_head sk_node;       // in the table that packets are looked up in
  list_head sk_bind_node;  // among the owners of its local port (TCP)
  in6_addr sk_v6_daddr, sk_v6_rcv_saddr;
  be16 sk_dport = 0;
  u16 sk_num = 0;  // local port, host order
  u32 sk_hash = 0;
  int sk_family = 0;
  int sk_bound_dev_if = 0;
  Atomic<s32> sk_refcnt{1};
  u8 sk_state = 7;  // TCP_CLOSE
  bool sk_reuseaddr = false, sk_reuseport = false, sk_ipv6only = false;
};
inline be32 sk_daddr(const sock_common* s) { return s->sk_v6_daddr.words[3]; }
inline be32 sk_rcv_saddr(const sock_common* s) { return s->sk_v6_rcv_saddr.words[3]; }

// Who may touch a socket: the softirq under slock while `owned` is not set, the process that set it otherwise. Packets
// that come while it is owned wait in the backlog, and release_sock serves them.
struct socket_lock_t {
  spinlock_t slock{LockRank::Socket};
  bool owned = false;
  wait_queue_head wq;
};

struct page_frag {
  page* frag_page = nullptr;
  u32 offset = 0, size = 0;
};

struct sock : sock_common {
  const proto* sk_prot = nullptr;
  socket_lock_t sk_lock;
  struct {
    Atomic<s32> rmem_alloc{0};
    u32 len = 0;
    sk_buff *head = nullptr, *tail = nullptr;
  } sk_backlog;
  sk_buff_head sk_receive_queue, sk_write_queue, sk_error_queue;
  dst_entry* sk_dst_cache = nullptr;  // guarded by the socket's lock; skbs hold their own reference
  dst_entry* sk_rx_dst = nullptr;
  Atomic<s32> sk_rmem_alloc{0};  // truesize of what is received and not read
  Atomic<s32> sk_wmem_alloc{1};  // truesize of what is in queues below, plus one for the socket
  Atomic<s32> sk_drops{0};
  s32 sk_wmem_queued = 0;    // streams: truesize of the write queue
  s32 sk_forward_alloc = 0;  // charged to the protocol and not used
  u32 sk_userlocks = 0;      // what setsockopt and bind have fixed: SOCK_*_LOCK
  u32 sk_ack_backlog = 0, sk_max_ack_backlog = 0;
  u64 sk_pacing_rate = ~0ul, sk_max_pacing_rate = ~0ul;
  u64 sk_stamp = 0;  // arrival of the packet read last
  page_frag sk_frag;
  timer_list sk_timer;
  Atomic<u32> sk_filter_lock{0};
  sk_filter* sk_filter_prog = nullptr;  // classic BPF, net/packet
  void (*sk_destruct)(sock*) = nullptr;
  uid_t sk_uid = 0;
  bool sk_dead = false;                // orphaned: nobody will read
  bool sk_write_space_wanted = false;  // a writer waits for room (SOCK_NOSPACE)
  u8 sk_no_check_rx = 0;
  u64 sk_lingertime = 0;
  ino_t sk_ino = 0;

  int sk_type = 0, sk_protocol = 0;
  wait_queue_head sk_wait;  // readers, writers, poll; wake with POLLIN / POLLOUT as key
  Atomic<int> sk_err{0};    // positive errno, reported once
  u32 sk_shutdown = 0;      // RCV_SHUTDOWN | SEND_SHUTDOWN
  u32 sk_sndbuf = kSockBufDefault, sk_rcvbuf = kSockBufDefault;
  u64 sk_rcvtimeo = kNoTimeout, sk_sndtimeo = kNoTimeout;  // ns
  int sk_rcvlowat = 1;
  u32 sk_priority = 0, sk_mark = 0;
  int sk_linger = -1;  // seconds, -1: off
  bool sk_broadcast = false, sk_keepalive = false, sk_oobinline = false, sk_dontroute = false, sk_debug = false,
       sk_passcred = false, sk_timestamp = false, sk_timestampns = false, sk_no_check = false, sk_rxq_ovfl = false,
       sk_listening = false;
  int sk_peek_off = -1;
  ucred sk_peercred{0, ~0u, ~0u};
  socket* sk_socket = nullptr;  // null: orphaned, or not accepted yet
};
int sock_error(sock* sk);  // takes sk_err: 0 or negative errno
// Deadline (monotonic ns, 0: none) of a wait that begins now. A wait that may not block never gets here.
u64 sock_deadline(u64 timeout);
// What an interrupted wait returns: with a time-out the call is not restarted.
inline int sock_intr_error(u64 timeout) { return timeout == kNoTimeout ? -ERESTARTSYS : -EINTR; }

struct socket {
  SocketState state = SocketState::Unconnected;
  int type = 0;
  file* file_ = nullptr;
  const proto_ops* ops = nullptr;
  sock* sk = nullptr;
};

struct net_proto_family {
  int family;
  // Checks type and protocol, sets s->ops and s->sk. 0 or negative errno.
  int (*create)(socket* s, int protocol);
};
int sock_register(const net_proto_family* family);

Result<socket*> sock_create(int family, int type, int protocol);
void sock_release(socket* s);                                         // one that has no file yet
Result<file*> sock_alloc_file(socket* s, u32 flags);                  // consumes the socket, also on error
socket* sock_from_file(const file* f);                                // null: not a socket
int sock_setsockopt(socket* s, int name, u64 user, u32 length);       // SOL_SOCKET
int sock_getsockopt(socket* s, int name, u64 user, u64 user_length);  // SOL_SOCKET
// Writes `length` bytes of an option (cut to what the caller has room for) and the length.
int put_option(u64 user, u64 user_length, const void* value, u32 length);
ssize_t sock_sendmsg(socket* s, msghdr& m);
ssize_t sock_recvmsg(socket* s, msghdr& m);
// Appends a control message to what recvmsg returns; sets MSG_CTRUNC when it does not fit.
void put_cmsg(msghdr& m, int level, int type, const void* data, u32 length);
u64 cmsg_room(const msghdr& m);  // data bytes that one more message could hold
// The control message at `at` of a sender's buffer, or null at the end; `at` moves on. -EINVAL in *error for a bad one.
const cmsghdr* next_cmsg(const msghdr& m, u64& at, int* error);

// --- packets and sockets (sock_core.cc) ---
constexpr u32 SOCK_SNDBUF_LOCK = 1, SOCK_RCVBUF_LOCK = 2, SOCK_BINDADDR_LOCK = 4, SOCK_BINDPORT_LOCK = 8;

// A protocol within a family: what the family's proto_ops call. `bh` methods run with slock held in softirq context or
// from release_sock.
struct proto {
  const char* prot_name;
  u32 obj_size;
  constexpr proto(const char* n, u32 size) : prot_name(n), obj_size(size) {}
  virtual sock* alloc() const = 0;         // a constructed object
  virtual void destruct(sock*) const = 0;  // and its end
  virtual int init(sock*) const { return 0; }
  virtual void destroy(sock*) const {}
  virtual void close(sock*, u64 /*linger ns*/) const = 0;
  virtual int connect(sock*, const sockaddr_storage&, u32) const { return -EOPNOTSUPP; }
  virtual int disconnect(sock*, u32 /*flags*/) const { return -EOPNOTSUPP; }
  virtual int bind(sock*, const sockaddr_storage&, u32) const { return -EOPNOTSUPP; }
  virtual bool has_bind() const { return false; }
  virtual int get_port(sock*, u16 /*port*/) const { return -EOPNOTSUPP; }
  virtual int hash(sock*) const { return 0; }
  virtual void unhash(sock*) const {}
  virtual void put_port(sock*) const {}
  virtual ssize_t sendmsg(sock*, msghdr&) const { return -EOPNOTSUPP; }
  virtual ssize_t recvmsg(sock*, msghdr&) const { return -EOPNOTSUPP; }
  virtual int shutdown(sock*, int) const { return 0; }
  virtual int setsockopt(sock*, int, int, u64, u32) const { return -ENOPROTOOPT; }
  virtual int getsockopt(sock*, int, int, u64, int, u64) const { return -ENOPROTOOPT; }
  virtual long ioctl(sock*, u32, u64) const { return -ENOIOCTLCMD; }
  virtual void keepalive(sock*, bool /*on*/) const {}
  virtual int backlog_rcv(sock*, sk_buff*) const = 0;  // bh: consumes
  virtual void release_cb(sock*) const {}              // bh: work put off while the socket was owned
};
extern Atomic<s32> sockets_allocated;

sock* sk_alloc(int family, const proto* p, bool kernel_owned = false);
void sock_init_data(socket* s, sock* sk);
void sk_free(sock* sk);
inline void sock_hold(sock* sk) { sk->sk_refcnt.inc(); }
inline void sock_put(sock* sk) {
  if (sk->sk_refcnt.dec_and_test()) sk_free(sk);
}
void sock_graft(sock* sk, socket* parent);
void sock_orphan(sock* sk);
void sk_common_release(sock* sk);

void lock_sock(sock* sk);
void release_sock(sock* sk);
inline void bh_lock_sock(sock* sk) { spin_lock(sk->sk_lock.slock); }
inline void bh_unlock_sock(sock* sk) { spin_unlock(sk->sk_lock.slock); }
inline bool sock_owned_by_user(const sock* sk) { return sk->sk_lock.owned; }
int sk_add_backlog(sock* sk, sk_buff* skb, u32 limit);  // 0, or -ENOBUFS: not taken
void sk_release_backlog(sock* sk);                      // slock is held, as on return
void sk_flush_backlog(sock* sk);                        // by the owner in a long loop
class [[nodiscard]] SockGuard {
 public:
  explicit SockGuard(sock* sk) : sk_(sk) { lock_sock(sk); }
  ~SockGuard() { release_sock(sk_); }
  SockGuard(const SockGuard&) = delete;
  SockGuard& operator=(const SockGuard&) = delete;

 private:
  sock* sk_;
};

// Charging of skbs to sockets.
void skb_set_owner_w(sk_buff* skb, sock* sk);
void skb_set_owner_r(sk_buff* skb, sock* sk);
void sock_wfree(sk_buff* skb);
void sock_rfree(sk_buff* skb);
void sock_efree(sk_buff* skb);
inline int sk_rmem_alloc_get(const sock* sk) { return sk->sk_rmem_alloc.load(); }
inline int sk_wmem_alloc_get(const sock* sk) { return sk->sk_wmem_alloc.load() - 1; }
inline bool sock_writeable(const sock* sk) { return static_cast<u32>(sk_wmem_alloc_get(sk)) < sk->sk_sndbuf / 2; }
// Queues a datagram or drops it: -ENOMEM over the limit. The skb is consumed only on success.
int sock_queue_rcv_skb(sock* sk, sk_buff* skb);
int sock_queue_err_skb(sock* sk, sk_buff* skb);
// Room in the send buffer for an skb of so much linear data; waits for it unless nonblocking.
sk_buff* sock_alloc_send_skb(sock* sk, u32 size, u32 data_pages_bytes, bool nonblocking, int* error);
// The first datagram, taken off or (MSG_PEEK) referenced.
sk_buff* skb_recv_datagram(sock* sk, u32 flags, int* error);
void skb_free_datagram(sock* sk, sk_buff* skb);
u32 datagram_poll(file* f, socket* s, poll_table* table);
// SO_TIMESTAMP, SO_TIMESTAMPNS, SO_RXQ_OVFL of a datagram that is being read.
void sock_recv_cmsgs(msghdr& m, sock* sk, sk_buff* skb);
bool sk_page_frag_refill(sock* sk, page_frag* frag);  // room for at least 32 bytes; false: no memory

void sock_def_wakeup(sock* sk);
void sock_def_readable(sock* sk);
void sock_def_write_space(sock* sk);
void sock_def_error_report(sock* sk);
void sk_set_err(sock* sk, int positive_errno);

// The cached route, referenced; null: none or outdated. With the socket's lock.
dst_entry* sk_dst_check(sock* sk, u32 cookie);
void sk_dst_set(sock* sk, dst_entry* dst);  // takes the reference
void sk_dst_reset(sock* sk);
// SO_BINDTODEVICE for families that know devices.
int sock_setbindtodevice(sock* sk, u64 user, u32 length);
int sock_getbindtodevice(sock* sk, u64 user, int length, u64 user_length);

void sk_reset_timer(sock* sk, timer_list* t, u64 expires);  // an armed timer holds the socket
void sk_stop_timer(sock* sk, timer_list* t);

// sk_filter_prog's verdict: how many bytes of the packet may pass, 0: drop. Set by the interpreter's module.
extern u32 (*sk_run_filter_hook)(const sk_filter* filter, const sk_buff* skb);
extern void (*sk_filter_release_hook)(sk_filter* filter);
int sk_filter_skb(sock* sk, sk_buff* skb);  // 0 or -EPERM

void net_core_init();

}  // namespace xm::os
