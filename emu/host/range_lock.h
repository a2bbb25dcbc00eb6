// SPDX-License-Identifier: GPL-2.0-or-later
// RangeLock: which guest ranges of an image are being worked on. Shared holders rely on the mapping of their range
// staying as it is; an exclusive holder changes it. Requests that conflict wait in the order in which they came, so
// nobody starves. A thread holds at most one range at a time.
#pragma once

#include <condition_variable>
#include <list>
#include <mutex>

#include "emu/base/types.h"

namespace xm::host {

class RangeLock {
  struct Entry {
    u64 begin, end;
    bool exclusive;
  };

 public:
  class Guard {
   public:
    Guard(RangeLock& lock, u64 begin, u64 end, bool exclusive)
        : lock_(lock), entry_(lock.acquire({begin, end, exclusive})) {}
    ~Guard() { lock_.release(entry_); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    RangeLock& lock_;
    std::list<Entry>::iterator entry_;
  };

 private:
  bool blocked(std::list<Entry>::iterator mine) {
    for (auto other = entries_.begin(); other != mine; ++other) {
      const bool overlap = other->begin < mine->end && mine->begin < other->end;
      if (overlap && (other->exclusive || mine->exclusive)) return true;
    }
    return false;
  }
  std::list<Entry>::iterator acquire(const Entry& entry) {
    std::unique_lock lock(mutex_);
    const auto mine = entries_.insert(entries_.end(), entry);
    while (blocked(mine)) {
      waiting_++;
      changed_.wait(lock);
      waiting_--;
    }
    return mine;
  }
  void release(std::list<Entry>::iterator entry) {
    const std::scoped_lock lock(mutex_);
    entries_.erase(entry);
    if (waiting_ != 0) changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Entry> entries_;  // in order of arrival
  unsigned waiting_ = 0;
};

}  // namespace xm::host
