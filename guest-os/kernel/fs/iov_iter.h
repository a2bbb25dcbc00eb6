// SPDX-License-Identifier: GPL-2.0-or-later
// A cursor over the memory of a read or write: pieces of user memory, or one kernel buffer. All file data crosses the
// border here.
#pragma once

#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"

namespace xm::os {

struct iovec {
  u64 base;
  u64 length;
};

constexpr u32 RWF_HIPRI = 1, RWF_DSYNC = 2, RWF_SYNC = 4, RWF_NOWAIT = 8, RWF_APPEND = 16;

class iov_iter {
 public:
  u32 rwf = 0;  // RWF_*: for this transfer only
  iov_iter(const iovec* pieces, u32 count, u64 total) : pieces_(pieces), count_(count), left_(total) {}
  static iov_iter kernel(void* buffer, u64 length) {
    iov_iter it{nullptr, 0, length};
    it.kernel_ = static_cast<char*>(buffer);
    return it;
  }
  u64 count() const { return left_; }
  void truncate(u64 n) { left_ = min(left_, n); }
  bool is_user() const { return kernel_ == nullptr; }
  // Address of the current piece and its length: for O_DIRECT and fault-ahead.
  u64 user_address() const { return pieces_ == nullptr ? 0 : pieces_->base + offset_; }

  // Move at most n bytes; return how many were (fewer after a bad pointer).
  u64 copy_to(const void* from, u64 n) { return advance_with(n, const_cast<void*>(from), true); }
  u64 copy_from(void* to, u64 n) { return advance_with(n, to, false); }
  // Touches the next n bytes of user memory, so that copying from them under a page lock need not wait for a page.
  void fault_in(u64 n) const {
    if (kernel_ != nullptr) return;
    u64 offset = offset_;
    for (u32 i = 0; i < count_ && n > 0; ++i, offset = 0) {
      const u64 step = min(n, pieces_[i].length - offset);
      u8 byte;
      if (step > 0) {
        get_user_at(byte, pieces_[i].base + offset);
        get_user_at(byte, pieces_[i].base + offset + step - 1);
      }
      n -= step;
    }
  }
  u64 zero(u64 n) {
    static constexpr char kZeros[256]{};
    u64 done = 0;
    while (done < n) {
      const u64 step = min<u64>(n - done, sizeof kZeros);
      const u64 moved = copy_to(kZeros, step);
      done += moved;
      if (moved < step) break;
    }
    return done;
  }

 private:
  u64 advance_with(u64 n, void* mine, bool to_iter);

  const iovec* pieces_;
  u32 count_;
  u64 left_;
  u64 offset_ = 0;  // in the current piece
  char* kernel_ = nullptr;
};

inline u64 iov_iter::advance_with(u64 n, void* mine, bool to_iter) {
  n = min(n, left_);
  if (kernel_ != nullptr) {
    to_iter ? memcpy(kernel_, mine, n) : memcpy(mine, kernel_, n);
    kernel_ += n;
    left_ -= n;
    return n;
  }
  u64 done = 0;
  while (done < n && count_ > 0) {
    const u64 step = min(n - done, pieces_->length - offset_);
    char* user = reinterpret_cast<char*>(pieces_->base + offset_);
    char* ours = static_cast<char*>(mine) + done;
    const u64 missed =
        step == 0 ? 0 : (to_iter ? copy_to_user_partial(user, ours, step) : copy_from_user_partial(ours, user, step));
    done += step - missed;
    offset_ += step - missed;
    left_ -= step - missed;
    if (missed != 0) break;
    if (offset_ == pieces_->length) {
      ++pieces_;
      --count_;
      offset_ = 0;
    }
  }
  return done;
}

}  // namespace xm::os
