// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/host_file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "emu/base/exit_status.h"

namespace xm::host {

namespace {

using devices::IoBuffers;
using devices::IoStatus;

constexpr off_t kUsedBase = 100, kUnsharedBase = 200;
constexpr int kRead = 0, kWrite = 1, kResize = 3;

IoStatus status_of_errno(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return IoStatus::NoSpace;
    case EOPNOTSUPP: return IoStatus::Unsupported;
    case EROFS: return IoStatus::ReadOnly;
    default: return IoStatus::Error;
  }
}

bool lock_byte(int fd, off_t at) {
  struct flock lock = {};
  lock.l_type = F_RDLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = at;
  lock.l_len = 1;
  // File systems without locks (ENOLCK, EINVAL) are used unlocked, as everyone does.
  return fcntl(fd, F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES);
}

bool held_by_others(int fd, off_t at) {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = at;
  lock.l_len = 1;
  return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

// What a read finds at the end of the file.
enum class AtEnd : u8 { Fail, Zero };

void zero_from(const IoBuffers& buffers, std::size_t part, u64 skip) {
  for (; part < buffers.size(); part++, skip = 0) {
    std::memset(buffers[part].data() + skip, 0, buffers[part].size() - skip);
  }
}

// preadv or pwritev until everything is done.
template <class Call>
IoStatus transfer(u64 offset, const IoBuffers& buffers, AtEnd at_end, Call call) {
  std::array<iovec, 64> vectors;
  std::size_t part = 0;
  u64 skip = 0;  // bytes of buffers[part] that are done
  while (part < buffers.size()) {
    std::size_t count = 0;
    for (std::size_t i = part; i < buffers.size() && count < vectors.size(); i++) {
      const u64 from = i == part ? skip : 0;
      vectors[count++] = {buffers[i].data() + from, buffers[i].size() - from};
    }
    const ssize_t moved = call(vectors.data(), static_cast<int>(count), static_cast<off_t>(offset));
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) return status_of_errno(errno);
    u64 left = static_cast<u64>(moved);
    offset += left;
    bool advanced = left != 0;
    while (part < buffers.size() && left >= buffers[part].size() - skip) {
      advanced = true;
      left -= buffers[part].size() - skip;
      part++;
      skip = 0;
    }
    skip += left;
    if (!advanced) {
      if (at_end == AtEnd::Fail) return IoStatus::Error;
      zero_from(buffers, part, skip);
      return IoStatus::Ok;
    }
  }
  return IoStatus::Ok;
}

}  // namespace

HostFile::~HostFile() {
  if (fd_ >= 0) close(fd_);
}

HostFile::HostFile(HostFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)), direct_(std::move(other.direct_)) {}

HostFile& HostFile::operator=(HostFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  std::swap(direct_, other.direct_);
  return *this;
}

Result<HostFile> HostFile::open(const std::string& path, Access access, Locking locking, Caching caching) {
  const int flags = (access == Access::ReadWrite ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK;
  int fd = ::open(path.c_str(), flags | (caching == Caching::Direct ? O_DIRECT : 0));
  if (fd < 0 && errno == EINVAL && caching == Caching::Direct) {
    return Error{"file system does not support O_DIRECT: " + path + "; use cache=writeback"};
  }
  if (fd < 0) {
    const char* hint = "";
    if (errno == ENOENT) hint = "; check the path";
    if (errno == EACCES || errno == EROFS) hint = "; use readonly=on or snapshot=on if it may not be written";
    return Error{std::string("cannot open disk image: ") + path + ": " + std::strerror(errno) + hint};
  }
  HostFile file(fd, path);
  struct stat status = {};
  if (fstat(fd, &status) != 0) return Error{"cannot stat disk image: " + path + ": " + std::strerror(errno)};
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
    return Error{"not a disk image: " + path + " is neither a file nor a block device; give an image file"};
  }
  if (locking == Locking::On) TRY(file.lock(access));
  if (caching == Caching::Direct) file.probe_alignment();
  return file;
}

Result<HostFile> HostFile::create(const std::string& path, u64 size_bytes) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
  if (fd < 0) return Error{"cannot create disk image: " + path + ": " + std::strerror(errno)};
  HostFile file(fd, path);
  if (file.is_block_device()) {
    TRY(file.lock(Access::ReadWrite));
    return file;
  }
  TRY(file.lock(Access::ReadWrite));
  if (ftruncate(fd, 0) != 0 || ftruncate(fd, static_cast<off_t>(size_bytes)) != 0) {
    return Error{"cannot create disk image: " + path + ": " + std::strerror(errno)};
  }
  return file;
}

Result<void> HostFile::lock(Access access) const {
  const bool write = access == Access::ReadWrite;
  const bool taken = lock_byte(fd_, kUsedBase + kRead) && (!write || lock_byte(fd_, kUsedBase + kWrite)) &&
                     lock_byte(fd_, kUnsharedBase + kWrite) && lock_byte(fd_, kUnsharedBase + kResize);
  const bool conflict = held_by_others(fd_, kUnsharedBase + kRead) ||
                        (write && held_by_others(fd_, kUnsharedBase + kWrite)) ||
                        held_by_others(fd_, kUsedBase + kWrite) || held_by_others(fd_, kUsedBase + kResize);
  if (taken && !conflict) return {};
  return Error{std::string("image is in use by another process: ") + path_ +
                   (write ? "; only one may write it, stop the other one or use snapshot=on on both"
                          : "; another process is writing it"),
               exit_status::kImage};
}

Result<HostFile> HostFile::temporary(u64 size_bytes) {
  const char* from_environment = std::getenv("TMPDIR");
  for (const char* folder : {from_environment, "/var/tmp", "/tmp"}) {
    if (folder == nullptr || *folder == 0) continue;
    int fd = ::open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
      std::string name = std::string(folder) + "/xiaoma-XXXXXX";
      fd = mkostemp(name.data(), O_CLOEXEC);
      if (fd >= 0) unlink(name.c_str());
    }
    if (fd < 0) continue;
    HostFile file(fd, std::string(folder) + "/(temporary)");
    if (ftruncate(fd, static_cast<off_t>(size_bytes)) == 0) return file;
  }
  return Error{std::string("cannot create a temporary file for snapshot=on: ") + std::strerror(errno) +
               "; set TMPDIR to a folder that can be written"};
}

Result<u64> HostFile::size_bytes() const {
  const off_t end = lseek(fd_, 0, SEEK_END);
  if (end < 0) return Error{"cannot find the size of disk image: " + path_ + ": " + std::strerror(errno)};
  return static_cast<u64>(end);
}

u64 HostFile::allocated_bytes() const {
  struct stat status = {};
  return fstat(fd_, &status) == 0 ? static_cast<u64>(status.st_blocks) * 512 : 0;
}

bool HostFile::is_block_device() const {
  struct stat status = {};
  return fstat(fd_, &status) == 0 && S_ISBLK(status.st_mode);
}

IoStatus HostFile::read(u64 offset, const IoBuffers& to) const {
  if (direct_ != nullptr) return read_direct(offset, to);
  return transfer(offset, to, AtEnd::Fail,
                  [this](const iovec* v, int count, off_t at) { return preadv(fd_, v, count, at); });
}

IoStatus HostFile::read_padded(u64 offset, const IoBuffers& to) const {
  if (direct_ != nullptr) return read_direct(offset, to);
  return transfer(offset, to, AtEnd::Zero,
                  [this](const iovec* v, int count, off_t at) { return preadv(fd_, v, count, at); });
}

IoStatus HostFile::write(u64 offset, const IoBuffers& from) const {
  if (direct_ != nullptr) return write_direct(offset, from);
  return transfer(offset, from, AtEnd::Fail,
                  [this](const iovec* v, int count, off_t at) { return pwritev(fd_, v, count, at); });
}

IoStatus HostFile::write_bytes(u64 offset, std::span<const u8> from) const {
  return write(offset, {std::span(const_cast<u8*>(from.data()), from.size())});
}

IoStatus HostFile::truncate(u64 size_bytes) const {
  return ftruncate(fd_, static_cast<off_t>(size_bytes)) == 0 ? IoStatus::Ok : status_of_errno(errno);
}

IoStatus HostFile::reserve(u64 offset, u64 length) const {
  const int error = posix_fallocate(fd_, static_cast<off_t>(offset), static_cast<off_t>(length));
  return error == 0 ? IoStatus::Ok : status_of_errno(error);
}

u64 HostFile::run_of_data(u64 offset, u64 length, bool& is_data) const {
  is_data = true;
  const off_t data = lseek(fd_, static_cast<off_t>(offset), SEEK_DATA);
  if (data < 0) {
    // ENXIO: nothing but a hole up to the end. Anything else: the file system does not say.
    is_data = errno != ENXIO;
    return length;
  }
  if (static_cast<u64>(data) > offset) {
    is_data = false;
    return std::min(length, static_cast<u64>(data) - offset);
  }
  const off_t hole = lseek(fd_, static_cast<off_t>(offset), SEEK_HOLE);
  return hole <= data ? length : std::min(length, static_cast<u64>(hole) - offset);
}

IoStatus HostFile::flush() const {
  while (fdatasync(fd_) != 0) {
    if (errno != EINTR) return status_of_errno(errno);
  }
  return IoStatus::Ok;
}

IoStatus HostFile::punch_hole(u64 offset, u64 length) const {
  const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (fallocate(fd_, mode, static_cast<off_t>(offset), static_cast<off_t>(length)) == 0) return IoStatus::Ok;
  return status_of_errno(errno);
}

IoStatus HostFile::zero_range(u64 offset, u64 length) const {
  const int mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
  if (fallocate(fd_, mode, static_cast<off_t>(offset), static_cast<off_t>(length)) == 0) return IoStatus::Ok;
  return status_of_errno(errno);
}

IoStatus HostFile::write_zeroes(u64 offset, u64 length) const {
  static constexpr std::size_t kChunk = 256 << 10;
  std::vector<u8> zeroes(std::min<u64>(length, kChunk));
  for (u64 done = 0; done < length;) {
    const u64 size = std::min<u64>(length - done, zeroes.size());
    const IoStatus status = write(offset + done, {std::span(zeroes).first(size)});
    if (status != IoStatus::Ok) return status;
    done += size;
  }
  return IoStatus::Ok;
}

}  // namespace xm::host
