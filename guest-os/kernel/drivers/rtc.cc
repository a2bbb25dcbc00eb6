// SPDX-License-Identifier: GPL-2.0-or-later
// The clock that goes on without power: MC146818, as /dev/rtc0 with its alarm, periodic and update interrupts,
// /proc/driver/rtc and /sys/class/rtc. [MC146818A data sheet; man 4 rtc]. GAP: the century register and the day of an
// alarm are not used.
#include "kernel/arch/x86_64/acpi.h"
#include "kernel/arch/x86_64/asm.h"
#include "kernel/arch/x86_64/irq.h"
#include "kernel/drivers/base/device.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/init/initcall.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/task/task_struct.h"
#include "kernel/time/rtc_time.h"

namespace xm::os {
namespace {

constexpr u32 RTC_AIE_ON = 0x7001, RTC_AIE_OFF = 0x7002, RTC_UIE_ON = 0x7003, RTC_UIE_OFF = 0x7004, RTC_PIE_ON = 0x7005,
              RTC_PIE_OFF = 0x7006, RTC_ALM_SET = 0x40247007, RTC_ALM_READ = 0x80247008, RTC_RD_TIME = 0x80247009,
              RTC_SET_TIME = 0x4024700a, RTC_IRQP_READ = 0x8008700b, RTC_IRQP_SET = 0x4008700c,
              RTC_WKALM_SET = 0x4028700f, RTC_WKALM_RD = 0x80287010;
constexpr u8 kStatusA = 0x0a, kStatusB = 0x0b, kStatusC = 0x0c;
constexpr u8 kPie = 0x40, kAie = 0x20, kUie = 0x10, kBinary = 4, k24Hours = 2, kSetMode = 0x80;

struct rtc_wkalrm {
  u8 enabled, pending;
  rtc_time time;
};

constinit spinlock_t lock{LockRank::None};
constinit wait_queue_head wait{};
constinit u64 events = 0;  // number << 8 | flags, as read(2) gives them
constinit u64 periodic_hz = 1024;
constinit rtc_time alarm{};
constinit u32 open_count = 0;

u8 read_reg(u8 reg) {
  outb(0x70, reg);
  return inb(0x71);
}
void write_reg(u8 reg, u8 v) {
  outb(0x70, reg);
  outb(0x71, v);
}
u8 to_register(u32 v, bool binary) { return static_cast<u8>(binary ? v : v / 10 << 4 | v % 10); }

void set_interrupt(u8 bit, bool on) {
  IrqGuard guard(lock);
  const u8 b = read_reg(kStatusB);
  write_reg(kStatusB, static_cast<u8>(on ? b | bit : b & ~bit));
  read_reg(kStatusC);
}

int set_time(const rtc_time& t) {
  if (!rtc_valid(t)) return -EINVAL;
  IrqGuard guard(lock);
  const u8 b = read_reg(kStatusB);
  const bool binary = (b & kBinary) != 0;
  write_reg(kStatusB, static_cast<u8>(b | kSetMode | k24Hours));
  const struct {
    u8 reg;
    s32 value;
  } fields[] = {{0, t.tm_sec},  {2, t.tm_min},     {4, t.tm_hour},      {6, t.tm_wday + 1},
                {7, t.tm_mday}, {8, t.tm_mon + 1}, {9, t.tm_year % 100}};
  for (const auto& f : fields) write_reg(f.reg, to_register(static_cast<u32>(f.value), binary));
  write_reg(kStatusB, static_cast<u8>((b | k24Hours) & ~kSetMode));
  return 0;
}

int set_alarm(const rtc_time& t) {
  if (t.tm_hour > 23 || t.tm_min > 59 || t.tm_sec > 59) return -EINVAL;
  IrqGuard guard(lock);
  const bool binary = (read_reg(kStatusB) & kBinary) != 0;
  write_reg(1, to_register(static_cast<u32>(t.tm_sec), binary));
  write_reg(3, to_register(static_cast<u32>(t.tm_min), binary));
  write_reg(5, to_register(static_cast<u32>(t.tm_hour), binary));
  alarm = t;
  return 0;
}

// The divider's outputs are powers of two, from 2 to 8192 Hz. [MC146818A table 3]
int set_rate(u64 hz) {
  u8 rate = 0;
  for (u8 r = 3; r <= 15; ++r) {
    if (32768ul >> (r - 1) == hz) rate = r;
  }
  if (rate == 0) return -EINVAL;
  if (hz > 64 && !capable(CAP_SYS_RESOURCE)) return -EACCES;
  IrqGuard guard(lock);
  write_reg(kStatusA, static_cast<u8>((read_reg(kStatusA) & 0xf0) | rate));
  periodic_hz = hz;
  return 0;
}

IrqReturn handle_interrupt(u32, void*) {
  IrqGuard guard(lock);
  const u8 c = read_reg(kStatusC);
  if ((c & 0x70) == 0) return IrqReturn::None;
  events = ((events & ~0xfful) + 0x100) | (events & 0xff) | (c & 0xf0u);
  wake_up_all(wait, POLLIN | POLLRDNORM);
  return IrqReturn::Handled;
}

long rtc_ioctl(u32 command, u64 argument) {
  rtc_time t;
  switch (command) {
    case RTC_RD_TIME: return put_user_at(rtc_from_seconds(read_persistent_clock()), argument);
    case RTC_SET_TIME:
      if (!capable(CAP_SYS_TIME)) return -EACCES;
      TRY_INT(get_user_at(t, argument));
      return set_time(t);
    case RTC_ALM_SET: TRY_INT(get_user_at(t, argument)); return set_alarm(t);
    case RTC_ALM_READ: return put_user_at(alarm, argument);
    case RTC_WKALM_SET: {
      rtc_wkalrm w;
      TRY_INT(get_user_at(w, argument));
      TRY_INT(set_alarm(w.time));
      set_interrupt(kAie, w.enabled != 0);
      return 0;
    }
    case RTC_WKALM_RD: return put_user_at(rtc_wkalrm{(read_reg(kStatusB) & kAie) != 0, 0, alarm}, argument);
    case RTC_AIE_ON:
    case RTC_AIE_OFF: set_interrupt(kAie, command == RTC_AIE_ON); return 0;
    case RTC_UIE_ON:
    case RTC_UIE_OFF: set_interrupt(kUie, command == RTC_UIE_ON); return 0;
    case RTC_PIE_ON:
    case RTC_PIE_OFF:
      if (command == RTC_PIE_ON && periodic_hz > 64 && !capable(CAP_SYS_RESOURCE)) return -EACCES;
      set_interrupt(kPie, command == RTC_PIE_ON);
      return 0;
    case RTC_IRQP_READ: return put_user_at(periodic_hz, argument);
    case RTC_IRQP_SET: return set_rate(argument);
    default: return -ENOTTY;
  }
}

struct RtcOps final : file_operations {
  int open(inode*, file*) const override {
    IrqGuard guard(lock);
    if (open_count > 0) return -EBUSY;
    ++open_count;
    events = 0;
    return 0;
  }
  void release(inode*, file*) const override {
    set_interrupt(kPie | kUie, false);
    IrqGuard guard(lock);
    --open_count;
  }
  ssize_t read_iter(file* f, iov_iter& to, loff_t&) const override {
    if (to.count() < sizeof(u32)) return -EINVAL;
    if (events == 0 && (f->f_flags & O_NONBLOCK) != 0) return -EAGAIN;
    TRY_INT(static_cast<int>(wait_event_interruptible(wait, [] { return events != 0; })));
    u64 got;
    {
      IrqGuard guard(lock);
      got = events;
      events = 0;
    }
    const u64 n = to.count() >= sizeof got ? sizeof got : sizeof(u32);
    return to.copy_to(&got, n) == n ? static_cast<ssize_t>(n) : -EFAULT;
  }
  u32 poll(file* f, poll_table* table) const override {
    poll_wait(f, wait, table);
    return events != 0 ? POLLIN | POLLRDNORM : 0;
  }
  bool has_poll() const override { return true; }
  long ioctl(file*, u32 command, u64 argument) const override { return rtc_ioctl(command, argument); }
};
constinit const RtcOps rtc_ops{};

void show_date(TextBuffer& out, device*) {
  const rtc_time t = rtc_from_seconds(read_persistent_clock());
  out.print("%04d-%02d-%02d\n", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday);
}
void show_time(TextBuffer& out, device*) {
  const rtc_time t = rtc_from_seconds(read_persistent_clock());
  out.print("%02d:%02d:%02d\n", t.tm_hour, t.tm_min, t.tm_sec);
}
constexpr device_attribute kAttributes[] = {
    {"name", 0444, [](TextBuffer& o, device*) { o.print("rtc_cmos rtc_cmos\n"); }},
    {"date", 0444, show_date},
    {"time", 0444, show_time},
    {"since_epoch", 0444, [](TextBuffer& o, device*) { o.print("%lu\n", read_persistent_clock()); }},
    {"max_user_freq", 0444, [](TextBuffer& o, device*) { o.print("64\n"); }},
    {"hctosys", 0444, [](TextBuffer& o, device*) { o.print("1\n"); }}};

void show_proc(TextBuffer& out, void*) {
  const u8 b = read_reg(kStatusB);
  out.print("rtc_time\t: ");
  show_time(out, nullptr);
  out.print("rtc_date\t: ");
  show_date(out, nullptr);
  out.print("alrm_time\t: %02d:%02d:%02d\nalarm_IRQ\t: %s\n", alarm.tm_hour, alarm.tm_min, alarm.tm_sec,
            (b & kAie) != 0 ? "yes" : "no");
  out.print("update IRQ enabled\t: %s\nperiodic IRQ enabled\t: %s\nperiodic IRQ frequency\t: %lu\n24hr\t\t: yes\n",
            (b & kUie) != 0 ? "yes" : "no", (b & kPie) != 0 ? "yes" : "no", periodic_hz);
}

void rtc_init() {
  constexpr u32 kMajor = 253;
  set_interrupt(kPie | kAie | kUie, false);
  if (request_irq(8, handle_interrupt, 0, "rtc0", nullptr) != 0) return;
  register_chrdev(kMajor, 0, 1, "rtc", &rtc_ops);
  devtmpfs_create("rtc0", S_IFCHR | 0600, make_dev(kMajor, 0));
  devtmpfs_symlink("rtc", "rtc0");
  device* d = device_create(&rtc_class, platform_device("rtc_cmos"), make_dev(kMajor, 0), "rtc0");
  for (const device_attribute& a : kAttributes) {
    if (d != nullptr) device_file(d, &a);
  }
  proc_create(&proc_root, "driver/rtc", 0444, show_proc);
}
DEVICE_INITCALL(rtc_init);

}  // namespace
}  // namespace xm::os
