// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>

namespace xm::host {

namespace {

constexpr u64 kWakeTag = ~u64{0};

u32 to_epoll(u32 events) {
  return (events & EventLoop::kReadable ? u32{EPOLLIN} : 0) | (events & EventLoop::kWritable ? u32{EPOLLOUT} : 0);
}

u32 from_epoll(u32 events) {
  return (events & EPOLLIN ? EventLoop::kReadable : 0) | (events & EPOLLOUT ? EventLoop::kWritable : 0) |
         (events & EPOLLHUP ? EventLoop::kHangup : 0) | (events & EPOLLERR ? EventLoop::kError : 0);
}

// The tag epoll returns: descriptor and generation (32 bits of it are plenty to tell neighbours apart).
u64 tag_of(int fd, u64 generation) { return static_cast<u32>(fd) | generation << 32; }

// Nanosecond timeouts where the kernel has them (Linux 5.11), else milliseconds, rounded up.
int wait_epoll(int epoll, std::span<epoll_event> events, i64 timeout_ns) {
  timespec timeout{};
  timeout.tv_sec = timeout_ns / 1'000'000'000;
  timeout.tv_nsec = timeout_ns % 1'000'000'000;
  const int capacity = static_cast<int>(events.size());
  const int count = epoll_pwait2(epoll, events.data(), capacity, timeout_ns < 0 ? nullptr : &timeout, nullptr);
  if (count >= 0 || errno != ENOSYS) return count;
  const i64 milliseconds = std::min<i64>((timeout_ns + 999'999) / 1'000'000, 3'600'000);
  return epoll_wait(epoll, events.data(), capacity, timeout_ns < 0 ? -1 : static_cast<int>(milliseconds));
}

}  // namespace

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return Error{std::string("cannot create an event loop: epoll_create1: ") + std::strerror(errno)};
  const int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd < 0) {
    close(epoll);
    return Error{std::string("cannot create an event loop: eventfd: ") + std::strerror(errno)};
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeTag;
  epoll_ctl(epoll, EPOLL_CTL_ADD, wake_fd, &event);
  return std::unique_ptr<EventLoop>(new EventLoop(epoll, wake_fd));
}

EventLoop::~EventLoop() {
  close(wake_fd_);
  close(epoll_);
}

void EventLoop::add_fd(int fd, u32 events, FdCallback callback) {
  remove_fd(fd);
  const std::scoped_lock lock(mutex_);
  Watch& watch = watches_[fd];
  watch.events = events;
  watch.callback = std::make_shared<FdCallback>(std::move(callback));
  watch.generation = next_generation_++;
  epoll_event event{};
  event.events = to_epoll(events);
  event.data.u64 = tag_of(fd, watch.generation);
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
    watch.pollable = false;
    always_ready_++;
    wake();
  }
}

void EventLoop::modify_fd(int fd, u32 events) {
  const std::scoped_lock lock(mutex_);
  const auto found = watches_.find(fd);
  if (found == watches_.end() || found->second.events == events) return;
  found->second.events = events;
  if (!found->second.pollable) return wake();
  epoll_event event{};
  event.events = to_epoll(events);
  event.data.u64 = tag_of(fd, found->second.generation);
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::remove_fd(int fd) {
  const std::scoped_lock lock(mutex_);
  const auto found = watches_.find(fd);
  if (found == watches_.end()) return;
  if (found->second.pollable) {
    epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  } else {
    always_ready_--;
  }
  watches_.erase(found);
}

i64 EventLoop::now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * i64{1'000'000'000} + now.tv_nsec;
}

EventLoop::TimerId EventLoop::add_timer(i64 deadline_ns, std::function<void()> callback) {
  const std::scoped_lock lock(mutex_);
  const TimerId id = next_timer_++;
  const bool earliest = timers_.empty() || deadline_ns < timers_.begin()->first;
  timers_.emplace(deadline_ns, std::pair(id, std::move(callback)));
  if (earliest) wake();
  return id;
}

void EventLoop::cancel_timer(TimerId id) {
  const std::scoped_lock lock(mutex_);
  for (auto it = timers_.begin(); it != timers_.end(); ++it) {
    if (it->second.first != id) continue;
    timers_.erase(it);
    return;
  }
}

void EventLoop::post(std::function<void()> task) {
  bool first = false;
  {
    const std::scoped_lock lock(mutex_);
    first = tasks_.empty();
    tasks_.push_back(std::move(task));
  }
  if (first) wake();
  if (held_) held_();
}

void EventLoop::wake() {
  const u64 one = 1;
  // The only failure is a full counter, and then the loop is awake already.
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof one);
}

i64 EventLoop::bounded_timeout(i64 timeout_ns) const {
  const std::scoped_lock lock(mutex_);
  if (!tasks_.empty() || always_ready_ != 0 || !ready_.empty()) return 0;
  if (timers_.empty()) return timeout_ns;
  const i64 left = std::max<i64>(0, timers_.begin()->first - now_ns());
  return timeout_ns < 0 ? left : std::min(left, timeout_ns);
}

void EventLoop::wait(i64 timeout_ns) {
  const i64 bounded = bounded_timeout(timeout_ns);
  std::array<epoll_event, 64> events;
  const int count = wait_epoll(epoll_, events, bounded);
  const std::scoped_lock lock(mutex_);
  for (int i = 0; i < count; i++) {
    const u64 tag = events[static_cast<unsigned>(i)].data.u64;
    if (tag == kWakeTag) {
      u64 drained = 0;
      [[maybe_unused]] const ssize_t got = read(wake_fd_, &drained, sizeof drained);
      continue;
    }
    ready_.push_back(
        {static_cast<int>(static_cast<u32>(tag)), tag >> 32, from_epoll(events[static_cast<unsigned>(i)].events)});
  }
  if (always_ready_ == 0) return;
  for (const auto& [fd, watch] : watches_) {
    if (!watch.pollable && watch.events != 0) ready_.push_back({fd, watch.generation & 0xFFFFFFFF, watch.events});
  }
}

bool EventLoop::dispatch() {
  bool ran = run_ready();
  ran |= run_timers();
  if (!held_) ran |= run_tasks();
  return ran;
}

bool EventLoop::run_ready() {
  std::vector<Ready> ready;
  {
    const std::scoped_lock lock(mutex_);
    ready.swap(ready_);
  }
  for (const Ready& item : ready) {
    std::shared_ptr<FdCallback> callback;
    {
      // An earlier callback may have removed this descriptor, or closed it and added another with its number.
      const std::scoped_lock lock(mutex_);
      const auto found = watches_.find(item.fd);
      if (found == watches_.end() || (found->second.generation & 0xFFFFFFFF) != item.generation) continue;
      callback = found->second.callback;
    }
    (*callback)(item.events);
  }
  return !ready.empty();
}

bool EventLoop::run_timers() {
  bool ran = false;
  const i64 now = now_ns();
  for (;;) {
    std::function<void()> callback;
    {
      const std::scoped_lock lock(mutex_);
      if (timers_.empty() || timers_.begin()->first > now) return ran;
      callback = std::move(timers_.begin()->second.second);
      timers_.erase(timers_.begin());
    }
    callback();
    ran = true;
  }
}

bool EventLoop::run_tasks() {
  size_t left = 0;
  {
    const std::scoped_lock lock(mutex_);
    left = tasks_.size();
  }
  // One by one: a task may itself call run_posted() and find the others still there. Tasks posted meanwhile wait for
  // the next round.
  const bool any = left != 0;
  for (; left != 0; left--) {
    std::function<void()> task;
    {
      const std::scoped_lock lock(mutex_);
      if (tasks_.empty()) break;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
  return any;
}

}  // namespace xm::host
