// SPDX-License-Identifier: GPL-2.0-or-later
// The message ring: fixed-size records, oldest overwritten. Timestamps are the boot clock in microseconds.
#include "kernel/init/printk.h"

#include "kernel/arch/x86_64/bootinfo.h"
#include "kernel/lib/format.h"
#include "kernel/lib/spinlock.h"
#include "kernel/lib/string.h"
#include "kernel/sched/clock.h"

namespace xm::os {

constinit int console_loglevel = 7;
constinit bool panic_in_progress = false;

namespace {

constexpr u64 kRecords = 1024;
constexpr u64 kRecordText = 232;
struct Record {
  u64 time_us;
  u16 length;
  u8 level;
  char text[kRecordText];
};
constinit Record ring[kRecords]{};
constinit u64 next_sequence = 0;
constinit spinlock_t log_lock{LockRank::Console};
constinit console* consoles = nullptr;

u64 first_locked() { return next_sequence > kRecords ? next_sequence - kRecords : 0; }

void print_record(console* c, const Record& r) {
  char head[32];
  const int n = format(head, sizeof head, "[%5lu.%06lu] ", r.time_us / 1000000, r.time_us % 1000000);
  c->write(head, static_cast<size_t>(n));
  c->write(r.text, r.length);
  c->write("\n", 1);
}

void log_line(int level, const char* text, size_t n) {
  Record& r = ring[next_sequence % kRecords];
  r.time_us = local_clock() / 1000;
  r.level = static_cast<u8>(level);
  r.length = static_cast<u16>(min<size_t>(n, kRecordText - 1));
  memcpy(r.text, text, r.length);
  r.text[r.length] = 0;
  ++next_sequence;
  if (level >= console_loglevel && !panic_in_progress) return;
  for (console* c = consoles; c != nullptr; c = c->next) {
    if (c->enabled) print_record(c, r);
  }
}

// True if console=NAME stands on the command line; *last tells whether it is the last console= word.
bool console_requested(const char* name, bool* any, bool* last) {
  bool found = false;
  *any = *last = false;
  const char* at = boot_info.command_line;
  while ((at = strstr(at, "console=")) != nullptr) {
    if (at != boot_info.command_line && at[-1] != ' ') {
      ++at;
      continue;
    }
    at += 8;
    *any = true;
    const size_t n = strlen(name);
    *last = strncmp(at, name, n) == 0 && (at[n] == 0 || at[n] == ' ' || at[n] == ',');
    if (!*last && strncmp(at, "tty0", 4) == 0 && (at[4] == 0 || at[4] == ' ')) *last = strcmp(name, "tty1") == 0;
    found |= *last;
  }
  return found;
}

}  // namespace

int printk(const char* f, ...) {
  char text[512];
  va_list args;
  va_start(args, f);
  const int n = format_v(text, sizeof text, f, args);
  va_end(args);
  const char* at = text;
  int level = 4;
  if (at[0] == 1) {
    level = at[1] - '0';
    at += 2;
  }
  const u64 flags = local_irq_save();
  preempt_disable();
  if (panic_in_progress) {
    raw_spin_trylock(log_lock);
  } else {
    raw_spin_lock(log_lock);
  }
  while (*at != 0) {
    const char* end = strchr(at, '\n');
    const size_t length = end != nullptr ? static_cast<size_t>(end - at) : strlen(at);
    log_line(level, at, length);
    at += length + (end != nullptr ? 1 : 0);
  }
  if (spin_is_locked(log_lock)) raw_spin_unlock(log_lock);
  local_irq_restore(flags);
  preempt_enable_no_resched();
  return n;
}

void log_user_line(int level, const char* text, size_t n) {
  IrqGuard guard(log_lock);
  while (n > 0 && text[n - 1] == '\n') --n;
  log_line(level, text, n);
}

void register_console(console* c) {
  bool any, last;
  const bool wanted = console_requested(c->name, &any, &last);
  IrqGuard guard(log_lock);
  c->enabled = wanted || (!any && consoles == nullptr);
  c->next = consoles;
  consoles = c;
  if (!c->enabled) return;
  for (u64 s = first_locked(); s < next_sequence; ++s) {
    if (ring[s % kRecords].level < console_loglevel) print_record(c, ring[s % kRecords]);
  }
}

dev_t preferred_console_device() {
  dev_t found = 0;
  for (console* c = consoles; c != nullptr; c = c->next) {
    bool any, last;
    console_requested(c->name, &any, &last);
    if (last) return c->device;
    if (c->enabled) found = c->device;
  }
  return found;
}

void console_write(const char* text, size_t n) {
  IrqGuard guard(log_lock);
  for (console* c = consoles; c != nullptr; c = c->next) {
    if (c->enabled) c->write(text, n);
  }
}

bool log_read(u64 sequence, LogLine& line) {
  IrqGuard guard(log_lock);
  if (sequence >= next_sequence) return false;
  line.sequence = max(sequence, first_locked());
  const Record& r = ring[line.sequence % kRecords];
  line.time_us = r.time_us;
  line.level = r.level;
  line.length = r.length;
  memcpy(line.text, r.text, r.length);
  line.text[r.length] = 0;
  return true;
}

u64 log_next_sequence() {
  IrqGuard guard(log_lock);
  return next_sequence;
}
u64 log_first_sequence() {
  IrqGuard guard(log_lock);
  return first_locked();
}

}  // namespace xm::os
