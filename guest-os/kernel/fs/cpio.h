// SPDX-License-Identifier: GPL-2.0-or-later
// Reader of cpio archives in "newc" form, fed in pieces. What to do with the entries is the visitor's business: the
// kernel unpacks them into rootfs, unit tests record them. [man 5 cpio], Linux
// Documentation/driver-api/early-userspace/buffer-format.rst
#pragma once

#include "kernel/lib/inflate.h"

namespace xm::os {

struct cpio_entry {
  u32 ino, mode, uid, gid, nlink, mtime, size, major, minor, rdev_major, rdev_minor;
  const char* name;
};
struct cpio_visitor {
  virtual void begin(const cpio_entry& e) = 0;  // a file, directory, link, device
  virtual void data(const cpio_entry& e, const u8* bytes, u32 n) = 0;
  virtual void end(const cpio_entry& e) = 0;

 protected:
  ~cpio_visitor() = default;
};

class cpio_reader final : public byte_sink {
 public:
  explicit cpio_reader(cpio_visitor& v) : visitor_(v) {}
  bool write(const u8* bytes, size_t n) override;
  bool damaged() const { return state_ == State::Damaged; }
  bool finished() const { return state_ == State::Done; }

 private:
  enum class State { Header, Name, NamePadding, Data, DataPadding, Done, Damaged };
  bool parse_header();

  cpio_visitor& visitor_;
  State state_ = State::Header;
  u8 header_[110];
  u32 have_ = 0, left_ = 0, name_size_ = 0;
  cpio_entry entry_{};
  char name_[4096];
};

}  // namespace xm::os
