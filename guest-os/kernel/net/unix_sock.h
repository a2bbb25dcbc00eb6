// SPDX-License-Identifier: GPL-2.0-or-later
// AF_UNIX inside: sockets, addresses and messages. [man 7 unix]
// Locks: `lock` guards a socket's queue, peer, address and states, and is never held together with another socket's.
#pragma once

#include "kernel/net/sock.h"

namespace xm::os {

struct unix_address {
  Atomic<s32> refcnt{1};
  u32 length = 0;  // of `name` with the family
  sockaddr_un name{};
};
void put_address(unix_address* a);

// What travels with a message beside its bytes.
struct scm_cookie {
  ucred creds{};
  bool has_creds = false;  // given by SCM_CREDENTIALS
  file** files = nullptr;
  u32 nr_files = 0;
};
int scm_send(const msghdr& m, scm_cookie& scm);  // parses the control messages; scm_destroy also after an error
void scm_destroy(scm_cookie& scm);
// Control messages for the receiver: credentials if it asked, descriptors. `peek` keeps the files in the message.
void scm_recv(sock* sk, msghdr& m, const scm_cookie& scm);

struct unix_sock;
struct unix_message {
  list_head link;
  u32 length = 0, consumed = 0;
  scm_cookie scm;
  unix_address* from = nullptr;
  unix_sock* sender = nullptr;  // whose send buffer it fills
  u32 charged = 0;
  char* data() { return reinterpret_cast<char*>(this + 1); }
};

struct unix_sock : sock {
  spinlock_t lock{LockRank::Socket};
  mutex bind_lock;  // one bind or connect at a time
  mutex read_lock;  // one stream reader at a time
  unix_address* addr = nullptr;
  path bound{};          // of an address in the file system
  list_head table_link;  // bound sockets, by name
  unix_sock* peer = nullptr;
  list_head queue;  // unix_message
  u32 queue_length = 0;
  Atomic<u32> wmem{0};  // bytes sent and not yet read
  bool connected = false, dead = false;
  // Listening: connections not accepted yet.
  list_head backlog, backlog_link;
  u32 backlog_length = 0, max_backlog = 0;
};
inline unix_sock* unix_sk(socket* s) { return static_cast<unix_sock*>(s->sk); }
inline unix_sock* hold(unix_sock* u) {
  u->sk_refcnt.inc();
  return u;
}
void unix_put(unix_sock* u);
unix_sock* unix_peer_get(unix_sock* u);  // referenced, or null
int unix_validate_address(const sockaddr_storage& a, u32 length);
// The socket bound to an address: referenced. ENOENT, EACCES, ECONNREFUSED, EPROTOTYPE.
Result<unix_sock*> unix_find(const sockaddr_storage& a, u32 length, int type);
int unix_autobind(unix_sock* u);
bool unix_may_send(unix_sock* from, unix_sock* to);
void unix_free_message(unix_message* m);
bool unix_writable(const unix_sock* u);

constexpr u32 kMaxDgramQueue = 10;  // net.unix.max_dgram_qlen

// unix_io.cc
ssize_t unix_stream_sendmsg(socket* s, msghdr& m);
ssize_t unix_stream_recvmsg(socket* s, msghdr& m);
ssize_t unix_dgram_sendmsg(socket* s, msghdr& m);
ssize_t unix_dgram_recvmsg(socket* s, msghdr& m);
u32 unix_poll(file* f, socket* s, poll_table* table);
long unix_ioctl(socket* s, u32 command, u64 argument);

}  // namespace xm::os
