// SPDX-License-Identifier: GPL-2.0-or-later
// The one way from another thread (disk workers, network readers) back into the machine: the task runs later on the
// machine thread with the machine lock held. Tasks run in the order in which they were posted.
#pragma once

#include <functional>

namespace xm::bus {

class Executor {
 public:
  // Any thread. Never runs the task at once, not even when called on the machine thread.
  virtual void post(std::function<void()> task) = 0;

 protected:
  ~Executor() = default;
};

}  // namespace xm::bus
