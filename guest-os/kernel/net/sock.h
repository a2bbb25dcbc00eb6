// SPDX-License-Identifier: GPL-2.0-or-later
// Sockets. `socket` is the end that user space sees (a file of sockfs); `sock` is the protocol's end, which may live
// longer (a closing connection) or exist before (a connection waiting for accept). A family registers how to create its
// sockets (net_proto_family) and serves them through proto_ops. All methods run in process context without locks held.
#pragma once

#include "abi/socket.h"
#include "kernel/fs/fs.h"
#include "kernel/fs/poll.h"

namespace xm::os {

struct socket;
struct sock;

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

struct sock {
  int sk_family = 0, sk_type = 0, sk_protocol = 0;
  Atomic<s32> sk_refcnt{1};
  wait_queue_head sk_wait;  // readers, writers, poll; wake with POLLIN / POLLOUT as key
  Atomic<int> sk_err{0};    // positive errno, reported once
  u32 sk_shutdown = 0;      // RCV_SHUTDOWN | SEND_SHUTDOWN
  u32 sk_sndbuf = kSockBufDefault, sk_rcvbuf = kSockBufDefault;
  u64 sk_rcvtimeo = kNoTimeout, sk_sndtimeo = kNoTimeout;  // ns
  int sk_rcvlowat = 1;
  u32 sk_priority = 0, sk_mark = 0;
  int sk_bound_dev_if = 0;
  int sk_linger = -1;  // seconds, -1: off
  bool sk_reuseaddr = false, sk_reuseport = false, sk_broadcast = false, sk_keepalive = false, sk_oobinline = false,
       sk_dontroute = false, sk_debug = false, sk_passcred = false, sk_timestamp = false, sk_timestampns = false,
       sk_no_check = false, sk_rxq_ovfl = false, sk_listening = false;
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

void net_core_init();

}  // namespace xm::os
