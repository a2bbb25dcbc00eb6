// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/trace/writer.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>

#include "emu/base/exit_status.h"

namespace xm::trace {

namespace {

constexpr size_t kQueuedFrames = 32;
constexpr int kCompressionLevel = 3;

u32 checksum(const void* data, size_t size) {
  return static_cast<u32>(::crc32(0, static_cast<const Bytef*>(data), static_cast<uInt>(size)));
}

}  // namespace

u32 header_checksum(const FrameHeader& header) { return checksum(&header, offsetof(FrameHeader, header_crc32)); }

FrameHeader seal_frame(const Frame& frame, std::string& compressed) {
  compressed.resize(ZSTD_compressBound(frame.payload.size()));
  const size_t size = ZSTD_compress(compressed.data(), compressed.size(), frame.payload.data(), frame.payload.size(),
                                    kCompressionLevel);
  CHECK(ZSTD_isError(size) == 0);
  compressed.resize(size);
  FrameHeader header{.magic = kFrameMagic,
                     .type = frame.type,
                     .vcpu = frame.vcpu,
                     .reserved = 0,
                     .compressed_bytes = static_cast<u32>(size),
                     .raw_bytes = static_cast<u32>(frame.payload.size()),
                     .first = frame.first,
                     .count = frame.count,
                     .guest_ns = frame.guest_ns,
                     .crc32 = checksum(compressed.data(), size),
                     .header_crc32 = 0};
  header.header_crc32 = header_checksum(header);
  return header;
}

Result<std::unique_ptr<FileWriter>> FileWriter::open(const std::string& path, u32 contents, u32 vcpus,
                                                     std::function<void(const std::string&)> failed) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return Error{"cannot write trace: " + path + ": " + std::strerror(errno)};
  std::unique_ptr<FileWriter> writer(new FileWriter(fd, path, std::move(failed)));
  FileHeader header{.magic = {}, .version = kVersion, .contents = contents, .vcpus = vcpus, .reserved = 0};
  std::memcpy(header.magic, kFileMagic, sizeof header.magic);
  if (!writer->write_all(&header, sizeof header)) return Error{writer->error_, exit_status::kSinkFull};
  writer->thread_ = std::thread([raw = writer.get()] {
    ::pthread_setname_np(::pthread_self(), "trace");
    raw->work();
  });
  return writer;
}

FileWriter::FileWriter(int fd, std::string path, std::function<void(const std::string&)> failed)
    : fd_(fd), path_(std::move(path)), failed_(std::move(failed)) {}

FileWriter::~FileWriter() {
  if (thread_.joinable()) static_cast<void>(close());
  ::close(fd_);
}

void FileWriter::put(Frame frame) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return queue_.size() < kQueuedFrames || !error_.empty(); });
  if (!error_.empty()) return;
  queue_.push_back(std::move(frame));
  changed_.notify_all();
}

void FileWriter::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closing_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const Frame frame = std::move(queue_.front());
    queue_.pop_front();
    changed_.notify_all();
    lock.unlock();
    const bool written = write_frame(frame);
    lock.lock();
    if (written) continue;
    queue_.clear();
    changed_.notify_all();
    lock.unlock();
    failed_(error_);
    return;
  }
}

bool FileWriter::write_all(const void* data, size_t size) {
  const char* bytes = static_cast<const char*>(data);
  for (size_t done = 0; done < size;) {
    const ssize_t put = ::write(fd_, bytes + done, size - done);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      const std::scoped_lock lock(mutex_);
      error_ = "cannot write trace: " + path_ + ": " + std::strerror(put < 0 ? errno : ENOSPC);
      return false;
    }
    done += static_cast<size_t>(put);
  }
  offset_ += size;
  return true;
}

bool FileWriter::write_frame(const Frame& frame) {
  std::string compressed;
  const FrameHeader header = seal_frame(frame, compressed);
  index_.push_back({.offset = offset_,
                    .first = frame.first,
                    .count = frame.count,
                    .guest_ns = frame.guest_ns,
                    .type = static_cast<u32>(frame.type),
                    .vcpu = frame.vcpu});
  return write_all(&header, sizeof header) && write_all(compressed.data(), compressed.size());
}

Result<void> FileWriter::close() {
  {
    const std::scoped_lock lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  if (!error_.empty()) return Error{error_};
  const Footer footer{.index_offset = offset_, .magic = kFooterMagic};
  const Frame index{
      .type = FrameType::Index,
      .vcpu = 0,
      .first = 0,
      .count = index_.size(),
      .guest_ns = 0,
      .payload = std::string(reinterpret_cast<const char*>(index_.data()), index_.size() * sizeof(IndexEntry))};
  if (!write_frame(index) || !write_all(&footer, sizeof footer)) return Error{error_};
  return {};
}

}  // namespace xm::trace
