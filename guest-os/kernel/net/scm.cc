// SPDX-License-Identifier: GPL-2.0-or-later
// Descriptors and credentials that travel over AF_UNIX sockets. [man 7 unix] "Ancillary messages"
// GAP: sockets that are only reachable through their own queues (a descriptor sent over itself) are never collected.
#include "kernel/fs/file_table.h"
#include "kernel/mm/slab.h"
#include "kernel/net/unix_sock.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kScmMaxFd = 253;

int take_files(const cmsghdr* h, scm_cookie& scm) {
  const u64 bytes = h->length - sizeof *h;
  const u32 count = static_cast<u32>(bytes / sizeof(int));
  if (count == 0) return 0;
  if (count > kScmMaxFd || scm.nr_files + count > kScmMaxFd) return -EINVAL;
  if (scm.files == nullptr) scm.files = static_cast<file**>(kmalloc(kScmMaxFd * sizeof(file*)));
  if (scm.files == nullptr) return -ENOMEM;
  const int* fds = reinterpret_cast<const int*>(h + 1);
  for (u32 i = 0; i < count; ++i) {
    file* f = fget_raw(fds[i]);
    if (f == nullptr) return -EBADF;
    scm.files[scm.nr_files++] = f;
  }
  return 0;
}

int take_creds(const cmsghdr* h, scm_cookie& scm) {
  if (h->length != sizeof *h + sizeof(ucred)) return -EINVAL;
  memcpy(&scm.creds, h + 1, sizeof(ucred));
  const cred* mine = current_cred();
  const bool pid_ok = scm.creds.pid == current->tgid || capable(CAP_SYS_ADMIN);
  const u32 uid = scm.creds.uid, gid = scm.creds.gid;
  const bool uid_ok = uid == mine->uid || uid == mine->euid || uid == mine->suid || capable(CAP_SETUID);
  const bool gid_ok = gid == mine->gid || gid == mine->egid || gid == mine->sgid || capable(CAP_SETGID);
  if (!pid_ok || !uid_ok || !gid_ok) return -EPERM;
  scm.has_creds = true;
  return 0;
}

// Installs as many of the files as the receiver has room for.
void give_files(msghdr& m, const scm_cookie& scm) {
  const u32 room = static_cast<u32>(min<u64>(cmsg_room(m) / sizeof(int), scm.nr_files));
  int* fds = static_cast<int*>(kmalloc(max(room, 1u) * sizeof(int)));
  u32 n = 0;
  while (fds != nullptr && n < room) {
    const u32 flags = (m.flags & MSG_CMSG_CLOEXEC) != 0 ? O_CLOEXEC : 0;
    const int fd = receive_fd(get_file(scm.files[n]), flags);
    if (fd < 0) {
      fput(scm.files[n]);
      break;
    }
    fds[n++] = fd;
  }
  if (n > 0) put_cmsg(m, SOL_SOCKET, SCM_RIGHTS, fds, n * sizeof(int));
  if (n < scm.nr_files) m.out_flags |= MSG_CTRUNC;
  kfree(fds);
}

}  // namespace

int scm_send(const msghdr& m, scm_cookie& scm) {
  const cred* c = current_cred();
  scm.creds = {current->tgid, c->uid, c->gid};
  u64 at = 0;
  int error = 0;
  while (const cmsghdr* h = next_cmsg(m, at, &error)) {
    if (h->level != SOL_SOCKET) continue;
    if (h->type == SCM_RIGHTS)
      TRY_INT(take_files(h, scm));
    else if (h->type == SCM_CREDENTIALS)
      TRY_INT(take_creds(h, scm));
    else
      return -EINVAL;
  }
  return error;
}

void scm_destroy(scm_cookie& scm) {
  for (u32 i = 0; i < scm.nr_files; ++i) fput(scm.files[i]);
  kfree(scm.files);
  scm.files = nullptr;
  scm.nr_files = 0;
}

void scm_recv(sock* sk, msghdr& m, const scm_cookie& scm) {
  if (m.user_control == 0) {
    if (sk->sk_passcred || scm.nr_files > 0) m.out_flags |= MSG_CTRUNC;
    return;
  }
  if (sk->sk_passcred) put_cmsg(m, SOL_SOCKET, SCM_CREDENTIALS, &scm.creds, sizeof scm.creds);
  if (scm.nr_files > 0) give_files(m, scm);
}

}  // namespace xm::os
