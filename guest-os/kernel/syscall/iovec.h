// SPDX-License-Identifier: GPL-2.0-or-later
// An array of iovec from user space, copied in and checked. [man 2 readv]
#pragma once

#include "kernel/fs/iov_iter.h"
#include "kernel/mm/slab.h"
#include "kernel/syscall/calls32.h"

namespace xm::os {

constexpr u64 kMaxTransfer = 0x7ffff000;  // bytes one call moves at most
constexpr u64 kMaxIov = 1024;

struct IoVector {
  iovec fast[8];
  iovec* pieces = fast;
  u64 total = 0;
  IoVector() = default;
  ~IoVector() {
    if (pieces != fast) kfree(pieces);
  }
  IoVector(const IoVector&) = delete;
  IoVector& operator=(const IoVector&) = delete;
};

inline int copy_iovec(u64 user, u64 count, bool compat, iovec* pieces) {
  if (!compat) return copy_from_user(pieces, reinterpret_cast<const void*>(user), count * sizeof(iovec));
  for (u64 i = 0; i < count; ++i) {
    iovec32 piece;
    TRY_INT(get_user_at(piece, user + i * sizeof piece));
    if (static_cast<s32>(piece.length) < 0) return -EINVAL;
    pieces[i] = {piece.base, piece.length};
  }
  return 0;
}

inline int import_iovec(u64 user, u64 count, bool compat, IoVector& v) {
  if (count > kMaxIov) return -EINVAL;
  if (count > array_size(v.fast)) {
    v.pieces = static_cast<iovec*>(kmalloc(count * sizeof(iovec)));
    if (v.pieces == nullptr) {
      v.pieces = v.fast;
      return -ENOMEM;
    }
  }
  TRY_INT(copy_iovec(user, count, compat, v.pieces));
  for (u64 i = 0; i < count; ++i) {
    if (static_cast<s64>(v.pieces[i].length) < 0) return -EINVAL;
    if (!access_ok(v.pieces[i].base, v.pieces[i].length)) return -EFAULT;
    v.pieces[i].length = min(v.pieces[i].length, kMaxTransfer - v.total);
    v.total += v.pieces[i].length;
  }
  return 0;
}

}  // namespace xm::os
