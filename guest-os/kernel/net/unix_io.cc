// SPDX-License-Identifier: GPL-2.0-or-later
// AF_UNIX: sending, receiving, polling. A stream is a queue of messages whose borders the reader does not see, except
// where descriptors or other credentials begin. [man 7 unix] GAP: no out-of-band data.
#include "kernel/mm/slab.h"
#include "kernel/net/unix_sock.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kStreamChunk = 16384 - sizeof(unix_message);
constexpr u32 kMessageOverhead = sizeof(unix_message);
constexpr u32 kReadable = POLLIN | POLLRDNORM, kWritable = POLLOUT | POLLWRNORM;

// A message with `n` bytes from the sender. It takes over the files of scm.
Result<unix_message*> make_message(unix_sock* u, msghdr& m, u32 n, scm_cookie& scm) {
  void* memory = kmalloc(sizeof(unix_message) + n);
  if (memory == nullptr) return Error{ENOBUFS};
  unix_message* out = new (memory) unix_message{};
  if (m.iter->copy_from(out->data(), n) != n) {
    kfree(out);
    return Error{EFAULT};
  }
  out->length = n;
  out->scm = scm;
  scm.files = nullptr;
  scm.nr_files = 0;
  out->sender = hold(u);
  out->charged = n + kMessageOverhead;
  u->wmem.add(out->charged);
  if (u->addr != nullptr) {
    out->from = u->addr;
    out->from->refcnt.inc();
  }
  return out;
}

// Sleeps until `u` may write `n` bytes, its peer is gone, or the time is over.
template <class Condition>
int wait_writable(unix_sock* u, wait_queue_head& q, const msghdr& m, u64 expires, Condition ready) {
  if (m.nonblocking()) return -EAGAIN;
  const long r = wait_event_interruptible(q, ready, expires);
  return r == -ETIME ? -EAGAIN : (r != 0 ? sock_intr_error(u->sk_sndtimeo) : 0);
}

bool has_room(const unix_sock* u, u32 n) {
  return u->wmem.load() == 0 || u->wmem.load() + n + kMessageOverhead <= u->sk_sndbuf;
}

// Queues one message at `to`, the connected peer.
int deliver(unix_sock* to, unix_message* message) {
  {
    SpinGuard guard(to->lock);
    if (to->dead || (to->sk_shutdown & RCV_SHUTDOWN) != 0) return -EPIPE;
    list_add_tail(&message->link, &to->queue);
    ++to->queue_length;
  }
  wake_up_all(to->sk_wait, kReadable);
  return 0;
}

ssize_t stream_send_to(unix_sock* u, unix_sock* peer, msghdr& m, scm_cookie& scm) {
  const u64 total = m.iter->count();
  const u64 expires = sock_deadline(u->sk_sndtimeo);
  u64 sent = 0;
  const auto result = [&](int error) { return sent > 0 ? static_cast<ssize_t>(sent) : error; };
  while (sent < total) {
    const u32 n = static_cast<u32>(min<u64>(min<u64>(total - sent, kStreamChunk), max(u->sk_sndbuf / 2, 1u)));
    while (!has_room(u, n)) {
      if ((peer->sk_shutdown & RCV_SHUTDOWN) != 0 || peer->dead || (u->sk_shutdown & SEND_SHUTDOWN) != 0)
        return result(-EPIPE);
      const int error = wait_writable(u, u->sk_wait, m, expires, [&] {
        return has_room(u, n) || read_once(peer->dead) || (read_once(peer->sk_shutdown) & RCV_SHUTDOWN) != 0 ||
               (read_once(u->sk_shutdown) & SEND_SHUTDOWN) != 0;
      });
      if (error != 0) return result(error);
    }
    const auto message = make_message(u, m, n, scm);
    if (!message.ok()) return result(-message.error());
    if (const int error = deliver(peer, message.value()); error != 0) {
      unix_free_message(message.value());
      return result(error);
    }
    sent += n;
  }
  return static_cast<ssize_t>(sent);
}

// The first message, looked at or taken; null: none.
unix_message* first_message(unix_sock* u, bool take) {
  SpinGuard guard(u->lock);
  unix_message* message = list_first<&unix_message::link>(&u->queue);
  if (message != nullptr && take) {
    list_del(&message->link);
    --u->queue_length;
  }
  return message;
}

int wait_readable(unix_sock* u, const msghdr& m, u64 expires) {
  if (m.nonblocking()) return -EAGAIN;
  const long r = wait_event_interruptible(
      u->sk_wait,
      [&] { return !u->queue.empty() || (read_once(u->sk_shutdown) & RCV_SHUTDOWN) != 0 || u->sk_err.load() != 0; },
      expires);
  return r == -ETIME ? -EAGAIN : (r != 0 ? sock_intr_error(u->sk_rcvtimeo) : 0);
}

void give_name(msghdr& m, const unix_message* message) {
  if (m.name == nullptr) return;
  m.name_len = 0;
  if (message->from == nullptr) return;
  m.name_len = message->from->length;
  memcpy(m.name, &message->from->name, min<u64>(m.name_len, sizeof message->from->name));
}

bool same_writer(const scm_cookie& a, const scm_cookie& b) {
  return a.creds.pid == b.creds.pid && a.creds.uid == b.creds.uid && a.creds.gid == b.creds.gid;
}

// Reads from the queue until the buffer is full, the queue empty, or a border is met. read_lock is held.
u64 stream_read_queue(unix_sock* u, msghdr& m, scm_cookie& scm, bool& any, bool& fault) {
  const bool peek = (m.flags & MSG_PEEK) != 0;
  u64 done = 0;
  list_head* at = nullptr;  // peeking: the message looked at last
  while (m.iter->count() > 0) {
    unix_message* message;
    {
      SpinGuard guard(u->lock);
      list_head* next = at == nullptr ? u->queue.next : at->next;
      message = next == &u->queue ? nullptr : list_entry<&unix_message::link>(next);
    }
    if (message == nullptr) break;
    if (any && u->sk_passcred && !same_writer(scm, message->scm)) break;
    if (any && message->scm.nr_files > 0) break;
    if (!any) {
      give_name(m, message);
      scm.creds = message->scm.creds;
      any = true;
    }
    const u64 n = min<u64>(message->length - message->consumed, m.iter->count());
    const u64 moved = m.iter->copy_to(message->data() + message->consumed, n);
    done += moved;
    if (moved < n) {
      fault = true;
      break;
    }
    const bool had_files = message->scm.nr_files > 0;
    if (peek) {
      if (had_files) scm_recv(u, m, message->scm);
      at = &message->link;
    } else {
      message->consumed += static_cast<u32>(n);
      if (had_files) {
        scm_recv(u, m, message->scm);
        scm_destroy(message->scm);
      }
      if (message->consumed == message->length) {
        first_message(u, true);
        unix_free_message(message);
      }
    }
    if (had_files) {
      scm.has_creds = true;  // given already
      break;
    }
  }
  return done;
}

}  // namespace

bool unix_writable(const unix_sock* u) { return u->wmem.load() * 4 <= u->sk_sndbuf; }

void unix_free_message(unix_message* m) {
  scm_destroy(m->scm);
  m->sender->wmem.sub(m->charged);
  if (!m->sender->dead) wake_up_all(m->sender->sk_wait, kWritable);
  unix_put(m->sender);
  put_address(m->from);
  m->~unix_message();
  kfree(m);
}

ssize_t unix_stream_sendmsg(socket* s, msghdr& m) {
  unix_sock* u = unix_sk(s);
  if ((m.flags & MSG_OOB) != 0) return -EOPNOTSUPP;
  scm_cookie scm;
  int error = scm_send(m, scm);
  if (error == 0 && m.name != nullptr && m.name_len > 0) error = u->connected ? -EISCONN : -EOPNOTSUPP;
  unix_sock* peer = error == 0 ? unix_peer_get(u) : nullptr;
  if (error == 0 && peer == nullptr) error = u->connected ? -EPIPE : -ENOTCONN;
  if (error == 0 && (u->sk_shutdown & SEND_SHUTDOWN) != 0) error = -EPIPE;
  const ssize_t n = error != 0 ? error : stream_send_to(u, peer, m, scm);
  if (peer != nullptr) unix_put(peer);
  scm_destroy(scm);
  return n;
}

ssize_t unix_stream_recvmsg(socket* s, msghdr& m) {
  unix_sock* u = unix_sk(s);
  if (!u->connected) return -EINVAL;
  if ((m.flags & MSG_OOB) != 0) return -EOPNOTSUPP;
  const u64 wanted = m.iter->count();
  const u64 target = (m.flags & MSG_WAITALL) != 0 ? wanted : min<u64>(wanted, static_cast<u32>(u->sk_rcvlowat));
  const u64 expires = sock_deadline(u->sk_rcvtimeo);
  scm_cookie scm;
  u64 done = 0;
  bool any = false, fault = false;
  int error = 0;
  mutex_lock(u->read_lock);
  for (;;) {
    const u64 n = stream_read_queue(u, m, scm, any, fault);
    done += n;
    if (fault || done >= target || scm.has_creds || (any && (m.flags & MSG_PEEK) != 0)) break;
    if (!u->queue.empty() && any) break;  // a border
    if ((error = sock_error(u)) != 0 || (u->sk_shutdown & RCV_SHUTDOWN) != 0) break;
    mutex_unlock(u->read_lock);
    error = wait_readable(u, m, expires);
    mutex_lock(u->read_lock);
    if (error != 0) break;
  }
  mutex_unlock(u->read_lock);
  if (fault && done == 0) return -EFAULT;
  if (any && !scm.has_creds) scm_recv(u, m, scm);
  return done > 0 || error == 0 ? static_cast<ssize_t>(done) : error;
}

ssize_t unix_dgram_sendmsg(socket* s, msghdr& m) {
  unix_sock* u = unix_sk(s);
  const bool seqpacket = s->type == SOCK_SEQPACKET;
  if (seqpacket && !u->connected) return -ENOTCONN;
  if ((m.flags & MSG_OOB) != 0) return -EOPNOTSUPP;
  if (seqpacket) m.name_len = 0;
  const bool named = m.name != nullptr && m.name_len > 0;
  if (named) TRY_INT(unix_validate_address(*m.name, m.name_len));
  if (u->sk_passcred && u->addr == nullptr) TRY_INT(unix_autobind(u));
  const u64 n = m.iter->count();
  if (n > u->sk_sndbuf - 32) return -EMSGSIZE;
  scm_cookie scm;
  if (const int error = scm_send(m, scm); error != 0) {
    scm_destroy(scm);
    return error;
  }
  const u64 expires = sock_deadline(u->sk_sndtimeo);
  const auto send = [&]() -> int {
    unix_sock* to = named ? TRY(unix_find(*m.name, m.name_len, u->sk_type)) : unix_peer_get(u);
    if (to == nullptr) return seqpacket ? -EPIPE : -ENOTCONN;
    const auto finish = [&](int error) {
      unix_put(to);
      return error;
    };
    if ((u->sk_shutdown & SEND_SHUTDOWN) != 0) return finish(-EPIPE);
    if (!unix_may_send(u, to)) return finish(-EPERM);
    while (!has_room(u, static_cast<u32>(n))) {
      const int error = wait_writable(u, u->sk_wait, m, expires, [&] { return has_room(u, static_cast<u32>(n)); });
      if (error != 0) return finish(error);
    }
    const auto message = make_message(u, m, static_cast<u32>(n), scm);
    if (!message.ok()) return finish(-message.error());
    for (;;) {
      int error = 0;
      bool full = false;
      {
        SpinGuard guard(to->lock);
        if (to->dead)
          error = seqpacket ? -EPIPE : -ECONNREFUSED;
        else if ((to->sk_shutdown & RCV_SHUTDOWN) != 0)
          error = -EPIPE;
        else if (!seqpacket && to->peer != u && to->queue_length > kMaxDgramQueue)
          full = true;
        else {
          list_add_tail(&message.value()->link, &to->queue);
          ++to->queue_length;
        }
      }
      if (error == 0 && !full) break;
      if (full)
        error = wait_writable(u, to->sk_wait, m, expires, [&] {
          return read_once(to->queue_length) <= kMaxDgramQueue || read_once(to->dead) ||
                 (read_once(to->sk_shutdown) & RCV_SHUTDOWN) != 0;
        });
      if (error == 0) continue;
      unix_free_message(message.value());
      if (error == -ECONNREFUSED && !named) {  // the peer is gone: no longer connected
        SpinGuard guard(u->lock);
        if (u->peer == to) {
          u->peer = nullptr;
          u->connected = false;
          to->sk_refcnt.sub(1);  // not the last one: finish() holds another
        }
      }
      return finish(error);
    }
    wake_up_all(to->sk_wait, kReadable);
    return finish(0);
  };
  const int error = send();
  scm_destroy(scm);
  return error != 0 ? error : static_cast<ssize_t>(n);
}

ssize_t unix_dgram_recvmsg(socket* s, msghdr& m) {
  unix_sock* u = unix_sk(s);
  if (s->type == SOCK_SEQPACKET && !u->connected) return -ENOTCONN;
  if ((m.flags & MSG_OOB) != 0) return -EOPNOTSUPP;
  const bool peek = (m.flags & MSG_PEEK) != 0;
  const u64 expires = sock_deadline(u->sk_rcvtimeo);
  mutex_lock(u->read_lock);
  unix_message* message;
  while ((message = first_message(u, !peek)) == nullptr) {
    int error = sock_error(u);
    const bool over = (u->sk_shutdown & RCV_SHUTDOWN) != 0;
    mutex_unlock(u->read_lock);
    if (error == 0 && over) return m.nonblocking() && s->type == SOCK_DGRAM ? -EAGAIN : 0;
    if (error == 0) error = wait_readable(u, m, expires);
    if (error != 0) return error;
    mutex_lock(u->read_lock);
  }
  give_name(m, message);
  const u64 n = min<u64>(message->length, m.iter->count());
  const bool ok = m.iter->copy_to(message->data(), n) == n;
  if (ok) scm_recv(u, m, message->scm);
  if (n < message->length) m.out_flags |= MSG_TRUNC;
  if (s->type == SOCK_SEQPACKET) m.out_flags |= MSG_EOR;
  const ssize_t result = (m.flags & MSG_TRUNC) != 0 ? message->length : static_cast<ssize_t>(n);
  mutex_unlock(u->read_lock);
  if (!peek) {
    unix_free_message(message);
    wake_up_all(u->sk_wait, kWritable);  // senders that wait for room in our queue
  }
  return ok ? result : -EFAULT;
}

u32 unix_poll(file* f, socket* s, poll_table* table) {
  unix_sock* u = unix_sk(s);
  poll_wait(f, u->sk_wait, table);
  u32 events = 0;
  if (u->sk_err.load() != 0) events |= POLLERR;
  if (u->sk_shutdown == SHUTDOWN_MASK) events |= POLLHUP;
  if ((u->sk_shutdown & RCV_SHUTDOWN) != 0) events |= POLLRDHUP | kReadable;
  if (!u->queue.empty() || !u->backlog.empty()) events |= kReadable;
  if (u->sk_type != SOCK_DGRAM) {
    if (!u->connected && !u->sk_listening) events |= POLLHUP;
    if (!u->sk_listening && unix_writable(u)) events |= kWritable;
    return events;
  }
  bool writable = unix_writable(u);
  if (unix_sock* peer = unix_peer_get(u); peer != nullptr) {
    if (peer->peer != u) {
      poll_wait(f, peer->sk_wait, table);
      if (peer->queue_length > kMaxDgramQueue) writable = false;
    }
    unix_put(peer);
  }
  return writable ? events | kWritable : events;
}

long unix_ioctl(socket* s, u32 command, u64 argument) {
  unix_sock* u = unix_sk(s);
  switch (command) {
    case FIONREAD: {
      if (u->sk_listening) return -EINVAL;
      u64 bytes = 0;
      {
        SpinGuard guard(u->lock);
        for (unix_message* m : entries<&unix_message::link>(u->queue)) {
          bytes += m->length - m->consumed;
          if (u->sk_type == SOCK_DGRAM) break;
        }
      }
      return put_user_at(static_cast<int>(bytes), argument);
    }
    case SIOCOUTQ: return put_user_at(static_cast<int>(u->wmem.load()), argument);
    default: return -ENOIOCTLCMD;
  }
}

}  // namespace xm::os
