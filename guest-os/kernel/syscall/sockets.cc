// SPDX-License-Identifier: GPL-2.0-or-later
// Socket system calls: copy in, find the socket, call its protocol, copy out. [man 2 socket] and its family. 32-bit
// programs reach them by number or through socketcall(2).
#include "kernel/fs/file_table.h"
#include "kernel/net/sock.h"
#include "kernel/sched/clock.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/calls.h"
#include "kernel/syscall/calls32.h"
#include "kernel/syscall/convert.h"
#include "kernel/syscall/iovec.h"

namespace xm::os {
namespace {

constexpr u64 kMaxControl = 20480;  // net.core.optmem_max

// The socket behind a descriptor, for the length of a call.
class SocketRef {
 public:
  explicit SocketRef(int fd) : file_(fd), socket_(file_ ? sock_from_file(file_.get()) : nullptr) {}
  int error() const { return !file_ ? -EBADF : (socket_ == nullptr ? -ENOTSOCK : 0); }
  socket* get() const { return socket_; }
  socket* operator->() const { return socket_; }
  u32 file_flags() const { return file_->f_flags; }

 private:
  FileRef file_;
  socket* socket_;
};

int address_from_user(u64 user, int length, sockaddr_storage& to) {
  if (length < 0 || length > static_cast<int>(sizeof to)) return -EINVAL;
  return length == 0 ? 0 : copy_from_user(&to, reinterpret_cast<void*>(user), static_cast<u64>(length));
}
int address_to_user(const sockaddr_storage& from, u32 length, u64 user, u64 user_length) {
  int room;
  TRY_INT(get_user_at(room, user_length));
  if (room < 0) return -EINVAL;
  const u32 n = min(static_cast<u32>(room), min<u32>(length, sizeof from));
  if (n > 0) TRY_INT(copy_to_user(reinterpret_cast<void*>(user), &from, n));
  return put_user_at(static_cast<int>(length), user_length);
}

int install_socket(socket* s, int flags) {
  file* f = TRY(sock_alloc_file(s, static_cast<u32>(flags)));
  const int fd = receive_fd(f, static_cast<u32>(flags) & O_CLOEXEC);
  if (fd < 0) fput(f);
  return fd;
}

bool bad_type_flags(int type) { return (type & ~(SOCK_TYPE_MASK | SOCK_CLOEXEC | SOCK_NONBLOCK)) != 0; }

// Converts 32-bit control messages to the form the protocols read.
int widen_control(const char* from, u64 size, char* to, u64* out_size) {
  u64 at = 0, out = 0;
  while (at + sizeof(cmsghdr32) <= size) {
    const cmsghdr32* h = reinterpret_cast<const cmsghdr32*>(from + at);
    if (h->length < sizeof *h || h->length > size - at) return -EINVAL;
    const u64 data = h->length - sizeof *h;
    const cmsghdr wide{sizeof(cmsghdr) + data, h->level, h->type};
    memcpy(to + out, &wide, sizeof wide);
    memcpy(to + out + sizeof wide, h + 1, data);
    at += align_up(h->length, 4);
    out += align_up(wide.length, 8);
  }
  *out_size = out;
  return 0;
}

// A message header of either size, with its iovec and control data.
struct UserMessage {
  msghdr_abi header{};
  IoVector vector;
  sockaddr_storage name{};
  char* control = nullptr;
  bool compat = false;
  UserMessage() = default;
  ~UserMessage() { kfree(control); }
  UserMessage(const UserMessage&) = delete;
  UserMessage& operator=(const UserMessage&) = delete;

  int copy_in(u64 user) {
    if (compat) {
      msghdr_abi32 h;
      TRY_INT(get_user_at(h, user));
      header = {h.name, static_cast<int>(h.namelen), 0, h.iov, h.iovlen, h.control, h.controllen, h.flags, 0};
    } else {
      TRY_INT(get_user_at(header, user));
    }
    if (header.name == 0) header.namelen = 0;
    if (header.namelen < 0) return -EINVAL;
    header.namelen = min(header.namelen, static_cast<int>(sizeof name));
    if (header.iovlen > kMaxIov) return -EMSGSIZE;
    return 0;
  }
  int copy_control(msghdr& m) {
    if (header.controllen > 0x7fffffff || header.controllen > kMaxControl) return -ENOBUFS;
    if (header.controllen == 0) return 0;
    control = static_cast<char*>(kzalloc(header.controllen * 2 + 16));  // wide messages take at most twice the room
    if (control == nullptr) return -ENOBUFS;
    if (!compat) {
      TRY_INT(copy_from_user(control, reinterpret_cast<void*>(header.control), header.controllen));
      m.control_len = header.controllen;
    } else {
      char* narrow = static_cast<char*>(kmalloc(header.controllen));
      if (narrow == nullptr) return -ENOBUFS;
      int error = copy_from_user(narrow, reinterpret_cast<void*>(header.control), header.controllen);
      if (error == 0) error = widen_control(narrow, header.controllen, control, &m.control_len);
      kfree(narrow);
      if (error != 0) return error;
    }
    m.control = control;
    return 0;
  }
};

long send_message(const SocketRef& s, u64 user, u32 flags, bool compat) {
  UserMessage u;
  u.compat = compat;
  TRY_INT(u.copy_in(user));
  msghdr m;
  if (u.header.namelen > 0) {
    TRY_INT(address_from_user(u.header.name, u.header.namelen, u.name));
    m.name = &u.name;
    m.name_len = static_cast<u32>(u.header.namelen);
  }
  TRY_INT(import_iovec(u.header.iov, u.header.iovlen, compat, u.vector));
  TRY_INT(u.copy_control(m));
  iov_iter it(u.vector.pieces, static_cast<u32>(u.header.iovlen), u.vector.total);
  m.iter = &it;
  m.flags = flags;
  if ((s.file_flags() & O_NONBLOCK) != 0) m.flags |= MSG_DONTWAIT;
  return sock_sendmsg(s.get(), m);
}

long receive_message(const SocketRef& s, u64 user, u32 flags, bool compat) {
  UserMessage u;
  u.compat = compat;
  TRY_INT(u.copy_in(user));
  TRY_INT(import_iovec(u.header.iov, u.header.iovlen, compat, u.vector));
  iov_iter it(u.vector.pieces, static_cast<u32>(u.header.iovlen), u.vector.total);
  msghdr m;
  m.iter = &it;
  m.name = u.header.name == 0 ? nullptr : &u.name;
  m.flags = flags | (compat ? MSG_CMSG_COMPAT : 0);
  m.user_control = u.header.control;
  m.user_control_left = u.header.controllen;
  if ((s.file_flags() & O_NONBLOCK) != 0) m.flags |= MSG_DONTWAIT;
  const long n = sock_recvmsg(s.get(), m);
  if (n < 0) return n;
  // Where namelen, controllen and flags stand in either header.
  const u64 at_namelen = compat ? 4 : 8, at_controllen = compat ? 20 : 40, at_flags = compat ? 24 : 48;
  if (m.name != nullptr) TRY_INT(address_to_user(u.name, m.name_len, u.header.name, user + at_namelen));
  TRY_INT(put_user_at(m.out_flags | (flags & MSG_CMSG_CLOEXEC), user + at_flags));
  const u64 used = u.header.control == 0 ? 0 : m.user_control - u.header.control;
  TRY_INT(compat ? put_user_at(static_cast<u32>(used), user + at_controllen) : put_user_at(used, user + at_controllen));
  return n;
}

}  // namespace

long sys_socket(int family, int type, int protocol) {
  if (bad_type_flags(type)) return -EINVAL;
  socket* s = TRY(sock_create(family, type & SOCK_TYPE_MASK, protocol));
  return install_socket(s, type & ~SOCK_TYPE_MASK);
}

long sys_socketpair(int family, int type, int protocol, int* user) {
  if (bad_type_flags(type)) return -EINVAL;
  const int flags = type & ~SOCK_TYPE_MASK;
  type &= SOCK_TYPE_MASK;
  socket* a = TRY(sock_create(family, type, protocol));
  const auto second = sock_create(family, type, protocol);
  if (!second.ok()) {
    sock_release(a);
    return -second.error();
  }
  socket* b = second.value();
  if (const int error = a->ops->socketpair(a, b); error != 0) {
    sock_release(a);
    sock_release(b);
    return error;
  }
  int fds[2];
  fds[0] = install_socket(a, flags);
  if (fds[0] < 0) {
    sock_release(b);
    return fds[0];
  }
  fds[1] = install_socket(b, flags);
  if (fds[1] < 0 || copy_to_user(user, fds, sizeof fds) != 0) {
    close_fd(fds[0]);
    if (fds[1] < 0) return fds[1];
    close_fd(fds[1]);
    return -EFAULT;
  }
  return 0;
}

long sys_bind(int fd, u64 address, int length) {
  SocketRef s(fd);
  TRY_INT(s.error());
  sockaddr_storage a{};
  TRY_INT(address_from_user(address, length, a));
  return s->ops->bind(s.get(), a, static_cast<u32>(length));
}
long sys_listen(int fd, int backlog) {
  SocketRef s(fd);
  TRY_INT(s.error());
  return s->ops->listen(s.get(), static_cast<u32>(backlog) > kSoMaxConn ? kSoMaxConn : backlog);
}
long sys_connect(int fd, u64 address, int length) {
  SocketRef s(fd);
  TRY_INT(s.error());
  sockaddr_storage a{};
  TRY_INT(address_from_user(address, length, a));
  return s->ops->connect(s.get(), a, static_cast<u32>(length), s.file_flags());
}

long sys_accept4(int fd, u64 address, u64 length, int flags) {
  if ((flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) != 0) return -EINVAL;
  SocketRef s(fd);
  TRY_INT(s.error());
  socket* fresh = knew<socket>();
  if (fresh == nullptr) return -ENFILE;
  fresh->type = s->type;
  fresh->ops = s->ops;
  if (const int error = s->ops->accept(s.get(), fresh, s.file_flags()); error != 0) {
    sock_release(fresh);
    return error;
  }
  sockaddr_storage peer{};
  const int n = address != 0 ? s->ops->getname(fresh, peer, true) : 0;
  if (n < 0) {
    sock_release(fresh);
    return -ECONNABORTED;
  }
  file* f = TRY(sock_alloc_file(fresh, static_cast<u32>(flags)));
  const int error = address != 0 ? address_to_user(peer, static_cast<u32>(n), address, length) : 0;
  const int result = error != 0 ? error : receive_fd(f, static_cast<u32>(flags) & O_CLOEXEC);
  if (result < 0) fput(f);
  return result;
}
long sys_accept(int fd, u64 address, u64 length) { return sys_accept4(fd, address, length, 0); }

namespace {
long socket_name(int fd, u64 address, u64 length, bool peer) {
  SocketRef s(fd);
  TRY_INT(s.error());
  sockaddr_storage a{};
  const int n = TRY_INT(s->ops->getname(s.get(), a, peer));
  return address_to_user(a, static_cast<u32>(n), address, length);
}
}  // namespace
long sys_getsockname(int fd, u64 address, u64 length) { return socket_name(fd, address, length, false); }
long sys_getpeername(int fd, u64 address, u64 length) { return socket_name(fd, address, length, true); }

long sys_sendto(int fd, u64 buffer, u64 n, u32 flags, u64 address, int length) {
  const iovec piece{buffer, min(n, kMaxTransfer)};
  if (!access_ok(buffer, piece.length)) return -EFAULT;
  SocketRef s(fd);
  TRY_INT(s.error());
  sockaddr_storage name{};
  msghdr m;
  if (address != 0) {
    TRY_INT(address_from_user(address, length, name));
    m.name = &name;
    m.name_len = static_cast<u32>(length);
  }
  iov_iter it(&piece, 1, piece.length);
  m.iter = &it;
  m.flags = flags & ~MSG_CMSG_COMPAT;
  if ((s.file_flags() & O_NONBLOCK) != 0) m.flags |= MSG_DONTWAIT;
  return sock_sendmsg(s.get(), m);
}

long sys_recvfrom(int fd, u64 buffer, u64 n, u32 flags, u64 address, u64 length) {
  const iovec piece{buffer, min(n, kMaxTransfer)};
  if (!access_ok(buffer, piece.length)) return -EFAULT;
  SocketRef s(fd);
  TRY_INT(s.error());
  sockaddr_storage name{};
  iov_iter it(&piece, 1, piece.length);
  msghdr m;
  m.iter = &it;
  m.name = address != 0 ? &name : nullptr;
  m.flags = flags & ~MSG_CMSG_COMPAT;
  if ((s.file_flags() & O_NONBLOCK) != 0) m.flags |= MSG_DONTWAIT;
  const long got = sock_recvmsg(s.get(), m);
  if (got >= 0 && address != 0) TRY_INT(address_to_user(name, m.name_len, address, length));
  return got;
}

long sys_sendmsg(int fd, u64 message, u32 flags) {
  if ((flags & MSG_CMSG_COMPAT) != 0) return -EINVAL;
  SocketRef s(fd);
  TRY_INT(s.error());
  return send_message(s, message, flags, false);
}
long sys_recvmsg(int fd, u64 message, u32 flags) {
  if ((flags & MSG_CMSG_COMPAT) != 0) return -EINVAL;
  SocketRef s(fd);
  TRY_INT(s.error());
  return receive_message(s, message, flags, false);
}

long sys_sendmmsg(int fd, u64 messages, u32 count, u32 flags) {
  if ((flags & MSG_CMSG_COMPAT) != 0) return -EINVAL;
  SocketRef s(fd);
  TRY_INT(s.error());
  long done = 0, error = 0;
  for (u32 i = 0; i < min<u32>(count, kMaxIov) && error == 0; ++i) {
    const u64 at = messages + i * sizeof(mmsghdr_abi);
    error = send_message(s, at, flags, false);
    if (error < 0) break;
    error = put_user_at(static_cast<u32>(error), at + offsetof(mmsghdr_abi, length));
    if (error == 0) ++done;
  }
  return done > 0 ? done : error;
}

long sys_recvmmsg(int fd, u64 messages, u32 count, u32 flags, u64 timeout) {
  if ((flags & MSG_CMSG_COMPAT) != 0) return -EINVAL;
  u64 expires = 0;
  if (timeout != 0) {
    timespec_abi ts;
    TRY_INT(get_user_at(ts, timeout));
    expires = ktime_get() + static_cast<u64>(TRY_INT(timespec_to_ns(ts)));
  }
  SocketRef s(fd);
  TRY_INT(s.error());
  long done = 0, error = 0;
  for (u32 i = 0; i < min<u32>(count, kMaxIov); ++i) {
    const u64 at = messages + i * sizeof(mmsghdr_abi);
    error = receive_message(s, at, flags & ~MSG_WAITFORONE, false);
    if (error < 0) break;
    error = put_user_at(static_cast<u32>(error), at + offsetof(mmsghdr_abi, length));
    if (error != 0) break;
    ++done;
    if ((flags & MSG_WAITFORONE) != 0) flags |= MSG_DONTWAIT;
    if (expires != 0 && ktime_get() >= expires) break;
  }
  if (timeout != 0 && done > 0) {
    const u64 now = ktime_get();
    TRY_INT(put_user_at(ns_to_timespec(expires > now ? expires - now : 0), timeout));
  }
  return done > 0 ? done : error;
}

long sys_shutdown(int fd, int how) {
  SocketRef s(fd);
  TRY_INT(s.error());
  return s->ops->shutdown(s.get(), how);
}
long sys_setsockopt(int fd, int level, int name, u64 value, int length) {
  if (length < 0) return -EINVAL;
  SocketRef s(fd);
  TRY_INT(s.error());
  if (level == SOL_SOCKET) return sock_setsockopt(s.get(), name, value, static_cast<u32>(length));
  return s->ops->setsockopt(s.get(), level, name, value, static_cast<u32>(length));
}
long sys_getsockopt(int fd, int level, int name, u64 value, u64 length) {
  SocketRef s(fd);
  TRY_INT(s.error());
  if (level == SOL_SOCKET) return sock_getsockopt(s.get(), name, value, length);
  int room;
  TRY_INT(get_user_at(room, length));
  if (room < 0) return -EINVAL;
  return s->ops->getsockopt(s.get(), level, name, value, room, length);
}

// --- 32-bit programs ---
long sys32_sendmsg(int fd, u64 message, u32 flags) {
  SocketRef s(fd);
  TRY_INT(s.error());
  return send_message(s, message, flags & ~MSG_CMSG_COMPAT, true);
}
long sys32_recvmsg(int fd, u64 message, u32 flags) {
  SocketRef s(fd);
  TRY_INT(s.error());
  return receive_message(s, message, flags & ~MSG_CMSG_COMPAT, true);
}

long sys32_socketcall(int call, const u32* user) {
  static constexpr u8 kArguments[] = {0, 3, 3, 3, 2, 3, 3, 3, 4, 4, 4, 6, 6, 2, 5, 5, 3, 3, 4};
  if (call < 1 || call >= static_cast<int>(sizeof kArguments)) return -EINVAL;
  u32 a[6]{};
  TRY_INT(copy_from_user(a, user, kArguments[call] * sizeof(u32)));
  const int fd = static_cast<int>(a[0]), second = static_cast<int>(a[1]), third = static_cast<int>(a[2]);
  switch (call) {
    case 1: return sys_socket(fd, second, third);
    case 2: return sys_bind(fd, a[1], third);
    case 3: return sys_connect(fd, a[1], third);
    case 4: return sys_listen(fd, second);
    case 5: return sys_accept(fd, a[1], a[2]);
    case 6: return sys_getsockname(fd, a[1], a[2]);
    case 7: return sys_getpeername(fd, a[1], a[2]);
    case 8: return sys_socketpair(fd, second, third, reinterpret_cast<int*>(static_cast<u64>(a[3])));
    case 9: return sys_sendto(fd, a[1], a[2], a[3], 0, 0);
    case 10: return sys_recvfrom(fd, a[1], a[2], a[3], 0, 0);
    case 11: return sys_sendto(fd, a[1], a[2], a[3], a[4], static_cast<int>(a[5]));
    case 12: return sys_recvfrom(fd, a[1], a[2], a[3], a[4], a[5]);
    case 13: return sys_shutdown(fd, second);
    case 14: return sys_setsockopt(fd, second, third, a[3], static_cast<int>(a[4]));
    case 15: return sys_getsockopt(fd, second, third, a[3], a[4]);
    case 16: return sys32_sendmsg(fd, a[1], a[2]);
    case 17: return sys32_recvmsg(fd, a[1], a[2]);
    default: return sys_accept4(fd, a[1], a[2], static_cast<int>(a[3]));
  }
}

}  // namespace xm::os
