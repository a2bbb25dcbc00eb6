// SPDX-License-Identifier: GPL-2.0-or-later
// HostFile: an open image file with its locks; positioned, complete reads and writes.
//
// Locks are open-file-description locks on single bytes [man 2 fcntl], in the places where QEMU puts its own, so that
// both programs respect each other: byte 100 + p is held by who uses permission p, byte 200 + p by who does not let
// others use it (p: 0 read, 1 write, 3 resize). A writer excludes readers and writers, readers exclude writers.
#pragma once

#include <string>

#include "devices/block/block_backend.h"
#include "emu/base/result.h"

namespace xm::host {

class HostFile {
 public:
  enum class Access : u8 { ReadOnly, ReadWrite };
  enum class Locking : u8 { On, Off };

  HostFile() = default;
  ~HostFile();
  HostFile(HostFile&& other) noexcept;
  HostFile& operator=(HostFile&& other) noexcept;

  // Opens an existing regular file or block device.
  static Result<HostFile> open(const std::string& path, Access access, Locking locking = Locking::On);
  // A nameless file in $TMPDIR or /var/tmp that vanishes with the process.
  static Result<HostFile> temporary(u64 size_bytes);

  const std::string& path() const { return path_; }
  int fd() const { return fd_; }
  Result<u64> size_bytes() const;

  devices::IoStatus read(u64 offset, const devices::IoBuffers& to) const;
  devices::IoStatus write(u64 offset, const devices::IoBuffers& from) const;
  devices::IoStatus flush() const;
  // Gives the storage back; the range reads as zeroes afterwards. Unsupported where the file system cannot.
  devices::IoStatus punch_hole(u64 offset, u64 length) const;
  devices::IoStatus zero_range(u64 offset, u64 length) const;
  // Zeroes by writing them.
  devices::IoStatus write_zeroes(u64 offset, u64 length) const;

 private:
  HostFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  Result<void> lock(Access access) const;

  int fd_ = -1;
  std::string path_;
};

}  // namespace xm::host
