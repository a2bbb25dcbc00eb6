// SPDX-License-Identifier: GPL-2.0-or-later
// poll_table: how poll, select and epoll hang themselves on the wait queues of a file. A file's poll method calls
// poll_wait for each queue that can make it ready, then says what is ready now.
#pragma once

#include "kernel/fs/fs.h"

namespace xm::os {

struct poll_table {
  void (*queue)(poll_table*, file*, wait_queue_head&) = nullptr;  // null: only look
};
inline void poll_wait(file* f, wait_queue_head& q, poll_table* table) {
  if (table != nullptr && table->queue != nullptr) table->queue(table, f, q);
}

}  // namespace xm::os
