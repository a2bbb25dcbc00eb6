// SPDX-License-Identifier: GPL-2.0-or-later
// Kernel messages: a ring that dmesg and /dev/kmsg read, and the consoles. A line begins with a level, KERN_INFO
// "text\n".
#pragma once

#include "kernel/lib/list.h"
#include "kernel/lib/types.h"

namespace xm::os {

#define KERN_EMERG "\0010"
#define KERN_ALERT "\0011"
#define KERN_CRIT "\0012"
#define KERN_ERR "\0013"
#define KERN_WARNING "\0014"
#define KERN_NOTICE "\0015"
#define KERN_INFO "\0016"
#define KERN_DEBUG "\0017"

int printk(const char* format, ...) __attribute__((format(printf, 1, 2)));

// A console prints with interrupts off and may be called from any context.
struct console {
  const char* name;  // ttyS0, tty1: what console= names
  void (*write)(const char* text, size_t n);
  dev_t device;  // what /dev/console opens when this is the preferred console
  bool enabled = false;
  console* next = nullptr;
};
// Enables the console if the command line asks for it (or asks for none and it is the first), and replays the ring to
// it.
void register_console(console* c);
// The device behind /dev/console: the last console= of the command line that exists.
dev_t preferred_console_device();
// Writes to every enabled console, past the ring: for /dev/console before a tty exists.
void console_write(const char* text, size_t n);

extern int console_loglevel;

// syslog(2) and /dev/kmsg: sequence numbers count lines ever logged.
struct LogLine {
  u64 sequence;
  u64 time_us;
  int level;
  char text[400];
  u32 length;
};
bool log_read(u64 sequence, LogLine& line);  // false: not there (yet); a lost sequence yields the oldest line
u64 log_next_sequence();
u64 log_first_sequence();
void log_user_line(int level, const char* text, size_t n);

// Prints the message, registers and stack of the caller, tells pvpanic, stops the other processors, and obeys panic=.
[[noreturn]] void panic(const char* format, ...) __attribute__((format(printf, 1, 2)));
struct pt_regs;
void show_regs(const pt_regs* regs);
void dump_stack(u64 frame_pointer);
extern bool panic_in_progress;

#define BUG_ON(condition)                                                                         \
  do {                                                                                            \
    if (unlikely(condition)) ::xm::os::panic("BUG at %s:%d: %s", __FILE__, __LINE__, #condition); \
  } while (0)

// kallsyms: the name and offset of a text address, in `text`.
void symbol_name(u64 address, char* text, size_t size);

}  // namespace xm::os
