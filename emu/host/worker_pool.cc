// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/worker_pool.h"

#include <pthread.h>
#include <signal.h>

namespace xm::host {

WorkerPool::~WorkerPool() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::submit(std::function<void()> job) {
  if (max_threads_ == 0) return job();
  const std::scoped_lock lock(mutex_);
  jobs_.push_back(std::move(job));
  if (idle_ >= jobs_.size()) return wake_.notify_one();
  if (threads_.size() < max_threads_) {
    // Signals are for the threads that expect them.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    threads_.emplace_back([this] { run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  } else {
    wake_.notify_one();
  }
}

void WorkerPool::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    idle_++;
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    idle_--;
    if (jobs_.empty()) return;
    std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
  }
}

}  // namespace xm::host
