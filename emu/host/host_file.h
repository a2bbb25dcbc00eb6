// SPDX-License-Identifier: GPL-2.0-or-later
// HostFile: an open image file with its locks; positioned, complete reads and writes. Thread-safe.
//
// Locks are open-file-description locks on single bytes [man 2 fcntl], in the places where QEMU puts its own, so that
// both programs respect each other: byte 100 + p is held by who uses permission p, byte 200 + p by who does not let
// others use it (p: 0 read, 1 write, 3 resize). A writer excludes readers and writers, readers exclude writers.
//
// With Caching::Direct the file is opened with O_DIRECT; requests that are not aligned as the file system wants go
// through an aligned buffer, and writes of parts of a block read the rest of it first.
#pragma once

#include <memory>
#include <shared_mutex>
#include <string>

#include "devices/block/block_backend.h"
#include "emu/base/result.h"

namespace xm::host {

class HostFile {
 public:
  enum class Access : u8 { ReadOnly, ReadWrite };
  enum class Locking : u8 { On, Off };
  enum class Caching : u8 { Buffered, Direct };

  HostFile() = default;
  ~HostFile();
  HostFile(HostFile&& other) noexcept;
  HostFile& operator=(HostFile&& other) noexcept;

  // Opens an existing regular file or block device.
  static Result<HostFile> open(const std::string& path, Access access, Locking locking = Locking::On,
                               Caching caching = Caching::Buffered);
  // Makes a file of that size, or empties the one that is there (block devices keep their size). Never empties a file
  // that another process has locked.
  static Result<HostFile> create(const std::string& path, u64 size_bytes);
  // A nameless file in $TMPDIR or /var/tmp that vanishes with the process.
  static Result<HostFile> temporary(u64 size_bytes);

  const std::string& path() const { return path_; }
  int fd() const { return fd_; }
  Result<u64> size_bytes() const;
  // Bytes of storage the file takes up.
  u64 allocated_bytes() const;
  bool is_block_device() const;

  // read() fails at the end of the file; read_padded() delivers zeroes beyond it.
  devices::IoStatus read(u64 offset, const devices::IoBuffers& to) const;
  devices::IoStatus read_padded(u64 offset, const devices::IoBuffers& to) const;
  devices::IoStatus write(u64 offset, const devices::IoBuffers& from) const;
  devices::IoStatus write_bytes(u64 offset, std::span<const u8> from) const;
  devices::IoStatus flush() const;
  devices::IoStatus truncate(u64 size_bytes) const;
  // Gives the storage back; the range reads as zeroes afterwards. Unsupported where the file system cannot.
  devices::IoStatus punch_hole(u64 offset, u64 length) const;
  devices::IoStatus zero_range(u64 offset, u64 length) const;
  // Reserves storage; the file grows if need be.
  devices::IoStatus reserve(u64 offset, u64 length) const;
  // Zeroes by writing them.
  devices::IoStatus write_zeroes(u64 offset, u64 length) const;
  // How many bytes from `offset` on are of one kind, at most `length`, and whether they are data or a hole.
  u64 run_of_data(u64 offset, u64 length, bool& is_data) const;

 private:
  struct DirectState {
    u64 alignment = 512;
    std::shared_mutex blocks;  // exclusive while a part of a block is written
  };
  HostFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  Result<void> lock(Access access) const;
  void probe_alignment();
  bool aligned(u64 offset, const devices::IoBuffers& buffers) const;
  devices::IoStatus read_direct(u64 offset, const devices::IoBuffers& to) const;
  devices::IoStatus write_direct(u64 offset, const devices::IoBuffers& from) const;

  int fd_ = -1;
  std::string path_;
  std::unique_ptr<DirectState> direct_;
};

}  // namespace xm::host
