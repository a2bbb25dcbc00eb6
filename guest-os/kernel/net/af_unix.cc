// SPDX-License-Identifier: GPL-2.0-or-later
// AF_UNIX: sockets between processes of this machine, named by a file, by an abstract name, or not at all. This file
// has names and connections; unix_io.cc moves the messages. [man 7 unix]
#include "kernel/fs/namei.h"
#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/net/unix_sock.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kFamilySize = sizeof(u16);
constexpr u32 kBuckets = 64;

// Bound sockets: abstract ones by their name, the others by the inode of their file.
constinit spinlock_t table_lock{LockRank::Socket};
constinit list_head bound_sockets[kBuckets];
constinit Atomic<u32> next_autobind{0};

bool is_abstract(const unix_address* a) { return a->name.path[0] == 0; }
u32 bucket_of(const inode* i) { return static_cast<u32>(reinterpret_cast<u64>(i) / 64 % kBuckets); }
u32 bucket_of(const unix_address* a) {
  u32 hash = 0;
  for (u32 i = 0; i + kFamilySize < a->length; ++i) hash = hash * 31 + static_cast<u8>(a->name.path[i]);
  return hash % kBuckets;
}
// Sockets of different types may have the same abstract name.
unix_sock* find_abstract(const unix_address* a, int type) {  // table_lock held
  for (unix_sock* u : entries<&unix_sock::table_link>(bound_sockets[bucket_of(a)])) {
    if (u->sk_type == type && is_abstract(u->addr) && u->addr->length == a->length &&
        memcmp(u->addr->name.path, a->name.path, a->length - kFamilySize) == 0)
      return u;
  }
  return nullptr;
}
unix_sock* find_inode(const inode* i) {  // table_lock held
  for (unix_sock* u : entries<&unix_sock::table_link>(bound_sockets[bucket_of(i)])) {
    if (u->bound.dentry_ != nullptr && u->bound.dentry_->d_inode == i) return u;
  }
  return nullptr;
}

unix_address* make_address(const sockaddr_storage& from, u32 length) {
  unix_address* a = knew<unix_address>();
  if (a == nullptr) return nullptr;
  memcpy(&a->name, &from, length);
  a->length = length;
  if (!is_abstract(a)) a->length = kFamilySize + static_cast<u32>(strnlen(a->name.path, length - kFamilySize)) + 1;
  return a;
}

int bind_abstract(unix_sock* u, unix_address* a) {
  if (u->addr != nullptr) return -EINVAL;
  SpinGuard guard(table_lock);
  if (find_abstract(a, u->sk_type) != nullptr) return -EADDRINUSE;
  u->addr = a;
  list_add(&u->table_link, &bound_sockets[bucket_of(a)]);
  return 0;
}

int bind_file(unix_sock* u, unix_address* a) {
  char name[sizeof(sockaddr_un::path) + 1]{};
  memcpy(name, a->name.path, min<u64>(a->length - kFamilySize, sizeof a->name.path));
  const long error = do_mknodat(AT_FDCWD, name, S_IFSOCK | 0777, 0);
  if (error != 0) return error == -EEXIST ? -EADDRINUSE : static_cast<int>(error);
  if (u->addr != nullptr) {  // Linux finds this out only after it made the file
    do_unlinkat(AT_FDCWD, name);
    return -EINVAL;
  }
  path where;
  TRY_INT(kern_path(name, 0, where));
  SpinGuard guard(table_lock);
  u->addr = a;
  u->bound = where;
  list_add(&u->table_link, &bound_sockets[bucket_of(where.dentry_->d_inode)]);
  return 0;
}

unix_sock* unix_alloc(int type, int protocol) {
  unix_sock* u = knew<unix_sock>();
  if (u == nullptr) return nullptr;
  u->sk_family = AF_UNIX;
  u->sk_type = type;
  u->sk_protocol = protocol;
  return u;
}

void set_peercred(sock* sk) {
  const cred* c = current_cred();
  sk->sk_peercred = {current->tgid, c->euid, c->egid};
}

bool connection_oriented(const sock* sk) { return sk->sk_type != SOCK_DGRAM; }

// Ends one socket: its peer sees a hang-up, its queue is dropped.
void unix_release_sock(unix_sock* u, bool embryo) {
  path bound{};
  {
    SpinGuard guard(table_lock);
    if (!u->table_link.empty()) list_del(&u->table_link);
    bound = u->bound;
    u->bound = {};
  }
  unix_sock* peer;
  list_head messages, waiting;
  {
    SpinGuard guard(u->lock);
    u->dead = true;
    u->sk_shutdown = SHUTDOWN_MASK;
    u->sk_socket = nullptr;
    u->sk_listening = false;
    peer = u->peer;
    u->peer = nullptr;
    list_splice_tail(&u->queue, &messages);
    list_splice_tail(&u->backlog, &waiting);
  }
  wake_up_all(u->sk_wait, POLLIN | POLLOUT | POLLHUP);
  if (peer != nullptr) {
    if (connection_oriented(u)) {
      SpinGuard guard(peer->lock);
      peer->sk_shutdown = SHUTDOWN_MASK;
      if (!messages.empty() || embryo) peer->sk_err.store(ECONNRESET);
    }
    wake_up_all(peer->sk_wait, POLLIN | POLLOUT | POLLHUP | POLLRDHUP | POLLERR | POLLRDNORM);
    unix_put(peer);
  }
  while (unix_message* m = list_first<&unix_message::link>(&messages)) {
    list_del(&m->link);
    unix_free_message(m);
  }
  while (unix_sock* child = list_first<&unix_sock::backlog_link>(&waiting)) {
    list_del(&child->backlog_link);
    unix_release_sock(child, true);
  }
  if (bound.dentry_ != nullptr) path_put(bound);
  unix_put(u);
}

int wait_for_backlog(unix_sock* listener, unix_sock* u, u32 flags) {
  if ((flags & O_NONBLOCK) != 0) return -EAGAIN;
  const long r = wait_event_interruptible(
      listener->sk_wait,
      [&] { return read_once(listener->backlog_length) <= listener->max_backlog || read_once(listener->dead); },
      sock_deadline(u->sk_sndtimeo));
  return r == -ETIME ? -EAGAIN : (r != 0 ? sock_intr_error(u->sk_sndtimeo) : 0);
}

// Puts `child` into the listener's backlog. 0, an error, or 1: full.
int enter_backlog(unix_sock* listener, unix_sock* child) {
  SpinGuard guard(listener->lock);
  if (!listener->sk_listening || listener->dead || (listener->sk_shutdown & RCV_SHUTDOWN) != 0) return -ECONNREFUSED;
  if (listener->backlog_length > listener->max_backlog) return 1;
  child->addr = listener->addr;
  child->addr->refcnt.inc();
  list_add_tail(&child->backlog_link, &listener->backlog);
  ++listener->backlog_length;
  return 0;
}

int connect_stream(socket* s, const sockaddr_storage& a, u32 length, u32 flags) {
  unix_sock* u = unix_sk(s);
  if (u->sk_listening) return -EINVAL;
  unix_sock* child = unix_alloc(u->sk_type, u->sk_protocol);
  if (child == nullptr) return -ENOMEM;
  const auto attempt = [&]() -> int {
    for (;;) {
      unix_sock* listener = TRY(unix_find(a, length, u->sk_type));
      if (u->connected) {
        unix_put(listener);
        return -EISCONN;
      }
      child->peer = hold(u);
      child->connected = true;
      set_peercred(child);
      const ucred listener_cred = listener->sk_peercred;
      // Whoever accepts may write at once: our side must be complete before the child is seen.
      u->peer = hold(child);
      u->connected = true;
      int error = enter_backlog(listener, child);
      if (error == 0) {
        u->sk_peercred = listener_cred;
        s->state = SocketState::Connected;
        wake_up_all(listener->sk_wait, POLLIN | POLLRDNORM);
        unix_put(listener);
        return 0;
      }
      u->peer = nullptr;
      u->connected = false;
      unix_put(child);
      child->peer = nullptr;
      unix_put(u);
      if (error == 1) error = wait_for_backlog(listener, u, flags);
      unix_put(listener);
      if (error != 0) return error;
    }
  };
  const int error = attempt();
  if (error != 0) unix_put(child);
  return error;
}

int connect_dgram(socket* s, const sockaddr_storage& a, u32 length) {
  unix_sock* u = unix_sk(s);
  unix_sock* other = nullptr;
  if (a.family != AF_UNSPEC) {
    other = TRY(unix_find(a, length, u->sk_type));
    if (!unix_may_send(u, other)) {
      unix_put(other);
      return -EPERM;
    }
  }
  unix_sock* old;
  {
    SpinGuard guard(u->lock);
    old = u->peer;
    u->peer = other;
    u->connected = other != nullptr;
  }
  s->state = other != nullptr ? SocketState::Connected : SocketState::Unconnected;
  if (old != nullptr) unix_put(old);
  return 0;
}

struct UnixOps final : proto_ops {
  void release(socket* s) const override {
    unix_sock* u = unix_sk(s);
    s->sk = nullptr;
    unix_release_sock(u, false);
  }
  int bind(socket* s, const sockaddr_storage& a, u32 length) const override {
    unix_sock* u = unix_sk(s);
    if (length == kFamilySize && a.family == AF_UNIX) return unix_autobind(u);
    TRY_INT(unix_validate_address(a, length));
    MutexGuard guard(u->bind_lock);
    unix_address* address = make_address(a, length);
    if (address == nullptr) return -ENOMEM;
    const int error = is_abstract(address) ? bind_abstract(u, address) : bind_file(u, address);
    if (error != 0) put_address(address);
    return error;
  }
  int connect(socket* s, const sockaddr_storage& a, u32 length, u32 flags) const override {
    unix_sock* u = unix_sk(s);
    if (length < kFamilySize) return -EINVAL;
    const bool dissolve = a.family == AF_UNSPEC && !connection_oriented(u);
    if (!dissolve) {
      TRY_INT(unix_validate_address(a, length));
      if (u->sk_passcred && u->addr == nullptr) TRY_INT(unix_autobind(u));
    }
    MutexGuard guard(u->bind_lock);
    return connection_oriented(u) ? connect_stream(s, a, length, flags) : connect_dgram(s, a, length);
  }
  int socketpair(socket* sa, socket* sb) const override {
    unix_sock *a = unix_sk(sa), *b = unix_sk(sb);
    a->peer = hold(b);
    b->peer = hold(a);
    a->connected = b->connected = true;
    sa->state = sb->state = SocketState::Connected;
    set_peercred(a);
    set_peercred(b);
    return 0;
  }
  int accept(socket* s, socket* fresh, u32 flags) const override {
    unix_sock* u = unix_sk(s);
    if (!connection_oriented(u)) return -EOPNOTSUPP;
    unix_sock* child = nullptr;
    const u64 expires = sock_deadline(u->sk_rcvtimeo);
    while (child == nullptr) {
      {
        SpinGuard guard(u->lock);
        if (!u->sk_listening || (u->sk_shutdown & RCV_SHUTDOWN) != 0) return -EINVAL;
        child = list_first<&unix_sock::backlog_link>(&u->backlog);
        if (child != nullptr) {
          list_del(&child->backlog_link);
          --u->backlog_length;
          break;
        }
      }
      if ((flags & O_NONBLOCK) != 0) return -EAGAIN;
      const long r = wait_event_state(
          u->sk_wait, TASK_INTERRUPTIBLE,
          [&] { return !u->backlog.empty() || (read_once(u->sk_shutdown) & RCV_SHUTDOWN) != 0; }, expires, true);
      if (r != 0) return r == -ETIME ? -EAGAIN : sock_intr_error(u->sk_rcvtimeo);
    }
    wake_up_all(u->sk_wait, POLLOUT);  // connects that wait for room
    child->sk_socket = fresh;
    fresh->sk = child;
    fresh->state = SocketState::Connected;
    return 0;
  }
  int getname(socket* s, sockaddr_storage& a, bool peer) const override {
    unix_sock* u = peer ? unix_peer_get(unix_sk(s)) : hold(unix_sk(s));
    if (u == nullptr) return -ENOTCONN;
    a.family = AF_UNIX;
    u32 length = kFamilySize;
    {
      SpinGuard guard(table_lock);
      if (u->addr != nullptr) {
        length = u->addr->length;
        memcpy(&a, &u->addr->name, min<u64>(length, sizeof u->addr->name));
      }
    }
    unix_put(u);
    return static_cast<int>(length);
  }
  u32 poll(file* f, socket* s, poll_table* table) const override { return unix_poll(f, s, table); }
  long ioctl(socket* s, u32 command, u64 argument) const override { return unix_ioctl(s, command, argument); }
  int listen(socket* s, int backlog) const override {
    unix_sock* u = unix_sk(s);
    if (!connection_oriented(u)) return -EOPNOTSUPP;
    MutexGuard bound(u->bind_lock);
    if (u->addr == nullptr) return -EINVAL;
    {
      SpinGuard guard(u->lock);
      if (u->connected) return -EINVAL;
      u->max_backlog = static_cast<u32>(backlog);
      u->sk_listening = true;
    }
    set_peercred(u);
    wake_up_all(u->sk_wait, POLLOUT);
    return 0;
  }
  int shutdown(socket* s, int how) const override {
    if (how < SHUT_RD || how > SHUT_RDWR) return -EINVAL;
    const u32 mode = static_cast<u32>(how) + 1;
    unix_sock* u = unix_sk(s);
    {
      SpinGuard guard(u->lock);
      u->sk_shutdown |= mode;
    }
    unix_sock* peer = connection_oriented(u) ? unix_peer_get(u) : nullptr;
    constexpr u32 kAll = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLHUP | POLLRDHUP;
    wake_up_all(u->sk_wait, kAll);
    if (peer != nullptr) {
      {
        SpinGuard guard(peer->lock);
        if ((mode & RCV_SHUTDOWN) != 0) peer->sk_shutdown |= SEND_SHUTDOWN;
        if ((mode & SEND_SHUTDOWN) != 0) peer->sk_shutdown |= RCV_SHUTDOWN;
      }
      wake_up_all(peer->sk_wait, kAll);
      unix_put(peer);
    }
    return 0;
  }
  int setsockopt(socket*, int level, int, u64, u32) const override {
    return level == SOL_SOCKET ? -ENOPROTOOPT : -EOPNOTSUPP;
  }
  int getsockopt(socket*, int level, int, u64, int, u64) const override {
    return level == SOL_SOCKET ? -ENOPROTOOPT : -EOPNOTSUPP;
  }
  ssize_t sendmsg(socket* s, msghdr& m) const override {
    return s->type == SOCK_STREAM ? unix_stream_sendmsg(s, m) : unix_dgram_sendmsg(s, m);
  }
  ssize_t recvmsg(socket* s, msghdr& m) const override {
    return s->type == SOCK_STREAM ? unix_stream_recvmsg(s, m) : unix_dgram_recvmsg(s, m);
  }
};
constinit const UnixOps unix_ops{};

int unix_create(socket* s, int protocol) {
  if (protocol != 0 && protocol != AF_UNIX) return -EPROTONOSUPPORT;
  if (s->type == SOCK_RAW) s->type = SOCK_DGRAM;  // as Linux has it for old programs
  if (s->type != SOCK_STREAM && s->type != SOCK_DGRAM && s->type != SOCK_SEQPACKET) return -ESOCKTNOSUPPORT;
  unix_sock* u = unix_alloc(s->type, protocol);
  if (u == nullptr) return -ENOMEM;
  u->sk_socket = s;
  s->sk = u;
  s->ops = &unix_ops;
  return 0;
}
constinit const net_proto_family unix_family{AF_UNIX, unix_create};
void af_unix_init() {
  for (list_head& bucket : bound_sockets) bucket.init();
  sock_register(&unix_family);
}
FS_INITCALL(af_unix_init);

}  // namespace

void put_address(unix_address* a) {
  if (a != nullptr && a->refcnt.dec_and_test()) kdelete(a);
}

void unix_put(unix_sock* u) {
  if (!u->sk_refcnt.dec_and_test()) return;
  if (u->peer != nullptr) unix_put(u->peer);
  put_address(u->addr);
  kdelete(u);
}

unix_sock* unix_peer_get(unix_sock* u) {
  SpinGuard guard(u->lock);
  return u->peer == nullptr ? nullptr : hold(u->peer);
}

int unix_validate_address(const sockaddr_storage& a, u32 length) {
  return length <= kFamilySize || length > sizeof(sockaddr_un) || a.family != AF_UNIX ? -EINVAL : 0;
}

bool unix_may_send(unix_sock* from, unix_sock* to) {
  SpinGuard guard(to->lock);
  return to->peer == nullptr || to->peer == from;
}

Result<unix_sock*> unix_find(const sockaddr_storage& a, u32 length, int type) {
  unix_address address;
  memcpy(&address.name, &a, length);
  address.length = length;
  unix_sock* found;
  if (is_abstract(&address)) {
    SpinGuard guard(table_lock);
    found = find_abstract(&address, type);
    if (found == nullptr) return Error{ECONNREFUSED};
    hold(found);
  } else {
    char name[sizeof(sockaddr_un::path) + 1]{};
    memcpy(name, address.name.path, length - kFamilySize);
    path where;
    TRY_INT(kern_path(name, LOOKUP_FOLLOW, where));
    inode* i = where.dentry_->d_inode;
    int error = inode_permission(i, MAY_WRITE);
    found = nullptr;
    if (error == 0 && !S_ISSOCK(i->i_mode)) error = -ECONNREFUSED;
    if (error == 0) {
      SpinGuard guard(table_lock);
      found = find_inode(i);
      if (found != nullptr) hold(found);
    }
    path_put(where);
    if (error != 0) return Error{-error};
    if (found == nullptr) return Error{ECONNREFUSED};
  }
  if (found->sk_type != type) {
    unix_put(found);
    return Error{EPROTOTYPE};
  }
  return found;
}

// An abstract name of five hexadecimal digits that nobody has. [man 7 unix] "Autobind feature"
int unix_autobind(unix_sock* u) {
  MutexGuard guard(u->bind_lock);
  if (u->addr != nullptr) return 0;
  for (u32 i = 0; i < 1u << 20; ++i) {
    sockaddr_storage a{};
    a.family = AF_UNIX;
    format(a.data + 1, 8, "%05x", next_autobind.add(1) & 0xfffff);
    unix_address* address = make_address(a, kFamilySize + 6);
    if (address == nullptr) return -ENOMEM;
    if (bind_abstract(u, address) == 0) return 0;
    put_address(address);
  }
  return -ENOSPC;
}

}  // namespace xm::os
