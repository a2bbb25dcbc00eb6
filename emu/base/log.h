// SPDX-License-Identifier: GPL-2.0-or-later
// The machine's log (`-d ITEMS`, `-D FILE`). One Log per machine, handed to whoever may write to it; thread-safe.
// A disabled item costs one load and a branch: guard with `if (log.on(LogItem::Int))` or use log.line().
#pragma once

#include <atomic>
#include <cstdio>
#include <functional>
#include <mutex>
#include <string_view>

#include "emu/base/types.h"

namespace xm {

enum class LogItem : u32 {
  GuestErrors = 1 << 0,  // the guest did something the hardware's manual forbids
  Unimp = 1 << 1,        // the guest touched something that is not modelled
  Int = 1 << 2,          // interrupts and exceptions as they are delivered
  InAsm = 1 << 3,        // decoded blocks as disassembly
};

class Log {
 public:
  Log() = default;
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // Lines go to `file` (owned if `owned`) from now on; stderr until then.
  void set_output(std::FILE* file, bool owned);
  void enable(LogItem item) { items_.fetch_or(static_cast<u32>(item), std::memory_order_relaxed); }
  void disable(LogItem item) { items_.fetch_and(~static_cast<u32>(item), std::memory_order_relaxed); }
  bool on(LogItem item) const { return items_.load(std::memory_order_relaxed) & static_cast<u32>(item); }
  // Calls `trap` (on whatever thread) after each line of `item`: -strict. Set before the machine runs.
  void set_trap(LogItem item, std::function<void()> trap) {
    enable(item);
    trap_item_ = item;
    trap_ = std::move(trap);
  }
  // printf-style; writes one line (a newline is added) if `item` is enabled.
  void line(LogItem item, const char* format, ...) __attribute__((format(printf, 3, 4)));

 private:
  std::atomic<u32> items_{0};
  std::mutex mutex_;
  std::FILE* file_ = nullptr;
  bool owned_ = false;
  LogItem trap_item_{};
  std::function<void()> trap_;
};

}  // namespace xm
