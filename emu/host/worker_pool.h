// SPDX-License-Identifier: GPL-2.0-or-later
// WorkerPool: threads for blocking host calls (disk I/O), so that neither vCPU threads nor the machine thread wait for
// a disk. Threads start when there is work for them.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace xm::host {

class WorkerPool {
 public:
  // With no threads jobs run where they are submitted (-icount).
  explicit WorkerPool(unsigned max_threads = 4) : max_threads_(max_threads) {}
  // Finishes everything that was submitted.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  void submit(std::function<void()> job);

 private:
  void run();

  const unsigned max_threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  std::vector<std::thread> threads_;
  unsigned idle_ = 0;
  bool stopping_ = false;
};

}  // namespace xm::host
