// SPDX-License-Identifier: GPL-2.0-or-later
// EventLoop: the machine thread's loop over epoll [man 7 epoll]: host file descriptors, host-time timers and tasks
// posted by other threads. It waits without the machine lock and dispatches with it:
//
//   loop.run_once(timeout_ns, machine_lock);
//
// post() is for any thread. Everything else belongs to the machine thread, or needs the machine lock before it runs.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "emu/base/result.h"
#include "emu/base/types.h"
#include "emu/bus/executor.h"

namespace xm::host {

class EventLoop final : public bus::Executor {
 public:
  static constexpr u32 kReadable = 1, kWritable = 2, kHangup = 4, kError = 8;
  using FdCallback = std::function<void(u32 events)>;
  using TimerId = u64;

  static Result<std::unique_ptr<EventLoop>> create();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Level-triggered. `events` is an OR of kReadable and kWritable; hang-up and error are always reported. A descriptor
  // that epoll can not watch (a regular file) counts as always ready. One callback per descriptor: a second add_fd
  // replaces the first. The descriptor stays the caller's; remove it before closing it.
  void add_fd(int fd, u32 events, FdCallback callback);
  void modify_fd(int fd, u32 events);
  void remove_fd(int fd);

  // One-shot timers in host (monotonic) time.
  static i64 now_ns();
  TimerId add_timer(i64 deadline_ns, std::function<void()> callback);
  void cancel_timer(TimerId id);

  void post(std::function<void()> task) override;
  // Makes a wait in progress (or the next one) return at once. Any thread, and signal handlers.
  void wake();

  // Waits for something to do, at most timeout_ns (negative: for ever). Without the lock.
  void wait(i64 timeout_ns);
  // Runs what the last wait() found, due timers and posted tasks. True if anything ran. With the lock.
  bool dispatch();
  // From now on dispatch() leaves posted tasks to run_posted(), and each post() calls `posted`.
  void hold_posted(std::function<void()> posted) { held_ = std::move(posted); }
  // Only the posted tasks, also in the middle of a dispatch(). True if any ran.
  bool run_posted() { return run_tasks(); }
  template <class Lock>
  bool run_once(i64 timeout_ns, Lock& lock) {
    wait(timeout_ns);
    lock.lock();
    const bool ran = dispatch();
    lock.unlock();
    return ran;
  }

 private:
  struct Watch {
    u32 events = 0;
    std::shared_ptr<FdCallback> callback;
    u64 generation = 0;  // tells a re-used descriptor number from the one that was ready
    bool pollable = true;
  };
  struct Ready {
    int fd;
    u64 generation;
    u32 events;
  };

  EventLoop(int epoll, int wake_fd) : epoll_(epoll), wake_fd_(wake_fd) {}
  i64 bounded_timeout(i64 timeout_ns) const;
  bool run_ready();
  bool run_timers();
  bool run_tasks();

  int epoll_;
  int wake_fd_;
  // Guards what wait() reads while other threads with the machine lock may change it.
  mutable std::mutex mutex_;
  std::map<int, Watch> watches_;
  std::multimap<i64, std::pair<TimerId, std::function<void()>>> timers_;
  std::deque<std::function<void()>> tasks_;
  std::vector<Ready> ready_;
  std::function<void()> held_;
  unsigned always_ready_ = 0;
  u64 next_generation_ = 1;
  TimerId next_timer_ = 1;
};

}  // namespace xm::host
