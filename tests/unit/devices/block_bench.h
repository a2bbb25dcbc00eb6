// SPDX-License-Identifier: GPL-2.0-or-later
// Back ends for tests: an executor that runs when told, and a disk in memory whose requests finish through it.
#pragma once

#include <cstring>
#include <deque>
#include <vector>

#include "devices/block/block_backend.h"
#include "emu/bus/executor.h"

namespace xm::devices::testing {

class ManualExecutor final : public bus::Executor {
 public:
  void post(std::function<void()> task) override { tasks_.push_back(std::move(task)); }
  void run() {
    while (!tasks_.empty()) {
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }
  bool idle() const { return tasks_.empty(); }

 private:
  std::deque<std::function<void()>> tasks_;
};

class MemoryDisk final : public BlockBackend {
 public:
  MemoryDisk(bus::Executor& executor, u64 size_bytes) : bytes(size_bytes), executor_(executor) {}
  std::string description() const override { return "memory"; }
  u64 size_bytes() const override { return bytes.size(); }
  bool read_only() const override { return is_read_only; }
  void read(u64 offset, IoBuffers to, Done done) override {
    reads++;
    finish(std::move(done), offset, total_bytes(to), [this, offset, to] {
      u64 at = offset;
      for (const std::span<u8> part : to) {
        std::memcpy(part.data(), bytes.data() + at, part.size());
        at += part.size();
      }
    });
  }
  void write(u64 offset, IoBuffers from, Done done) override {
    finish(std::move(done), offset, total_bytes(from), [this, offset, from] {
      u64 at = offset;
      for (const std::span<u8> part : from) {
        std::memcpy(bytes.data() + at, part.data(), part.size());
        at += part.size();
      }
    });
  }
  void flush(Done done) override {
    flushes++;
    finish(std::move(done), 0, 0, [] {});
  }
  void discard(u64 offset, u64 length, Done done) override {
    discards++;
    finish(std::move(done), offset, length, [] {});
  }
  void write_zeroes(u64 offset, u64 length, Unmap, Done done) override {
    finish(std::move(done), offset, length, [this, offset, length] { std::memset(bytes.data() + offset, 0, length); });
  }
  void drain() override {}

  std::vector<u8> bytes;
  bool is_read_only = false;
  IoStatus fail_with = IoStatus::Ok;
  unsigned reads = 0, flushes = 0, discards = 0;

 private:
  template <class Work>
  void finish(Done done, u64 offset, u64 length, Work work) {
    executor_.post([this, done = std::move(done), offset, length, work] {
      if (fail_with != IoStatus::Ok) return done(fail_with);
      if (offset > bytes.size() || length > bytes.size() - offset) return done(IoStatus::OutOfRange);
      work();
      done(IoStatus::Ok);
    });
  }
  bus::Executor& executor_;
};

}  // namespace xm::devices::testing
