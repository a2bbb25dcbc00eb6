// SPDX-License-Identifier: GPL-2.0-or-later
// FileWriter: the sink that compresses frames and writes them, on a thread of its own. vCPU threads hand frames over
// and wait only when the disk is far behind.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "emu/base/result.h"
#include "emu/trace/recorder.h"

namespace xm::trace {

class FileWriter final : public FrameSink {
 public:
  // `failed` is called once, on the writer's thread, when the file can not take more (disk full).
  static Result<std::unique_ptr<FileWriter>> open(const std::string& path, u32 contents, u32 vcpus,
                                                  std::function<void(const std::string&)> failed);
  ~FileWriter();
  void put(Frame frame) override;
  // Writes what is queued, the index and the footer. Empty on success.
  Result<void> close();

 private:
  FileWriter(int fd, std::string path, std::function<void(const std::string&)> failed);
  void work();
  bool write_frame(const Frame& frame);
  bool write_all(const void* data, size_t size);

  const int fd_;
  const std::string path_;
  std::function<void(const std::string&)> failed_;
  u64 offset_ = 0;
  std::vector<IndexEntry> index_;
  std::string error_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Frame> queue_;
  bool closing_ = false;
  std::thread thread_;
};

// The header that goes before a payload, with its checksums; `payload` is compressed in place.
FrameHeader seal_frame(const Frame& frame, std::string& compressed);
u32 header_checksum(const FrameHeader& header);

}  // namespace xm::trace
