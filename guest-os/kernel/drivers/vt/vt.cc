// SPDX-License-Identifier: GPL-2.0-or-later
// The consoles tty1 to tty12: writing, drawing what changed, scrolling back, switching. printk writes to the one in
// front. [man 4 console, man 4 vt]
#include "kernel/drivers/vt/vt.h"

#include "kernel/arch/x86_64/asm.h"
#include "kernel/arch/x86_64/bootinfo.h"
#include "kernel/drivers/base/device.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/init/printk.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/vmalloc.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/time/timer.h"

namespace xm::os {

constinit spinlock_t vt_lock{LockRank::Console};
constinit vc_data* consoles[kConsoles]{};
constinit u32 foreground = 1, wanted_console = 0;
constinit consw* display = nullptr;
constexpr u8 kColours[16][3] = {{0, 0, 0},     {0, 0, 170},    {0, 170, 0},    {0, 170, 170},
                                {170, 0, 0},   {170, 0, 170},  {170, 85, 0},   {170, 170, 170},
                                {85, 85, 85},  {85, 85, 255},  {85, 255, 85},  {85, 255, 255},
                                {255, 85, 85}, {255, 85, 255}, {255, 255, 85}, {255, 255, 255}};

namespace {

constinit wait_queue_head switch_wait{};
constinit work_struct switch_work{};
constinit Atomic<u32> switch_target{0};
constinit hrtimer beep_timer{};

bool shown(const vc_data* vc) { return vc->number == foreground && vc->kd_mode == KD_TEXT && display != nullptr; }

// The line of the view: history first, then the screen.
const cell_t* view_line(vc_data* vc, u32 line) {
  if (line >= vc->view_back) return vc->term.row(line - vc->view_back);
  const u32 index = vc->history_count - vc->view_back + line;
  return vc->history + (vc->history_first + index) % kHistoryLines * vc->term.columns;
}

void draw_rows(vc_data* vc, u32 from, u32 to) {
  const u32 width = vc->term.columns;
  for (u32 line = from; line < to; ++line) display->draw(0, line, view_line(vc, line), width);
}

void show_cursor(vc_data* vc) {
  const Terminal& t = vc->term;
  display->cursor(t.x, t.y + vc->view_back, t.cursor_visible && t.y + vc->view_back < t.rows, t.cursor_shape);
}

// Draws what the terminal has changed since the last time.
void refresh(vc_data* vc) {
  Terminal& t = vc->term;
  if (shown(vc)) {
    if (vc->view_back != 0) {  // output brings the screen back
      vc->view_back = 0;
      t.dirty_from = 0;
      t.dirty_to = t.rows;
    }
    draw_rows(vc, t.dirty_from, t.dirty_to);
    show_cursor(vc);
  }
  t.dirty_from = t.dirty_to = 0;
}

void deliver_answer(work_struct* w) {
  vc_data* vc = container_of(w, vc_data, answer_work);
  char text[sizeof vc->answer];
  {
    IrqGuard guard(vt_lock);
    copy_string(text, vc->answer, sizeof text);
    vc->answer[0] = 0;
  }
  if (vc->tty != nullptr) tty_receive(vc->tty, reinterpret_cast<const u8*>(text), strlen(text));
}

void after_write(vc_data* vc) {
  if (vc->answer[0] != 0) schedule_work(&vc->answer_work);
  if (vc->bell_hz != 0 && vc->number == foreground) beep(vc->bell_hz, vc->bell_ms);
  if (vc->front_wanted != 0) change_console(vc->front_wanted);
  if (vc->leds_changed && vc->number == foreground) keyboard_set_leds(vc->lock_flags);
  vc->bell_hz = vc->front_wanted = 0;
  vc->leds_changed = false;
}

// printk's callers may hold any lock: what its text asks for waits for the next writer.
void write_console(vc_data* vc, const char* text, size_t n, bool from_printk) {
  {
    IrqGuard guard(vt_lock);
    for (size_t i = 0; i < n; ++i) {
      if (from_printk && text[i] == '\n') vc->term.write_byte('\r');
      vc->term.write_byte(static_cast<u8>(text[i]));
    }
    refresh(vc);
  }
  if (!from_printk) after_write(vc);
}

void printk_text(const char* text, size_t n) {
  if (vc_data* vc = foreground_vc()) write_console(vc, text, n, true);
}
constinit console vt_console{"tty1", printk_text, make_dev(4, 1)};

vc_data* vc_of(const tty_struct* t) { return static_cast<vc_data*>(t->driver_data); }

struct VtOps final : tty_operations {
  size_t write(tty_struct* t, const char* text, size_t n) const override {
    if (vc_data* vc = vc_of(t)) write_console(vc, text, n, false);
    return n;
  }
  int open(tty_struct* t) const override {
    const u32 number = minor_of(t->device);
    if (const int error = vc_allocate(number); error != 0) return error;
    t->driver_data = consoles[number - 1];
    consoles[number - 1]->tty = t;
    t->window = {static_cast<u16>(display->rows), static_cast<u16>(display->columns), 0, 0};
    return 0;
  }
  long ioctl(tty_struct* t, u32 command, u64 argument) const override { return vt_ioctl(t, command, argument); }
};
constinit const VtOps vt_ops{};

void tell_owner(vc_data* vc, int sig) {
  if (task_struct* t = get_task_by_pid(vc->owner)) {
    send_sig(sig, t);
    put_task(t);
  } else {
    vc->switching.mode = VT_AUTO;
  }
}

// In a kernel thread, because a console may have to be made.
void switch_now(work_struct*) {
  const u32 target = switch_target.exchange(0);
  if (target == 0 || target > kConsoles || target == foreground || vc_allocate(target) != 0) return;
  vc_data* old = foreground_vc();
  if (old != nullptr && old->switching.mode == VT_PROCESS && old->owner != 0) {
    wanted_console = target;
    tell_owner(old, old->switching.relsig);
    if (old->switching.mode == VT_PROCESS) return;  // it answers with VT_RELDISP
    wanted_console = 0;
  }
  complete_change(target);
}

}  // namespace

void vc_data::reply(const char* text) {
  const size_t used = strlen(answer);
  copy_string(answer + used, text, sizeof answer - used);
}
void vc_data::bell(u32 hz, u32 ms) {
  bell_hz = hz;
  bell_ms = ms;
}
void vc_data::leds(u32 mask, bool on) {
  lock_flags = on ? lock_flags | mask : lock_flags & ~mask;
  leds_changed = true;
}
void vc_data::palette(u32 index, u8 r, u8 g, u8 b) {
  const u8 rgb[3] = {r, g, b};
  memcpy(colours[index & 15], rgb, 3);
  if (shown(this)) display->palette(index & 15, rgb);
}
void vc_data::palette_reset() {
  for (u32 i = 0; i < 16; ++i) palette(i, kColours[i][0], kColours[i][1], kColours[i][2]);
}
void vc_data::line_lost(const cell_t* line) {
  if (history == nullptr) return;
  memcpy(history + (history_first + history_count) % kHistoryLines * term.columns, line, term.columns * sizeof(cell_t));
  if (history_count < kHistoryLines)
    ++history_count;
  else
    history_first = (history_first + 1) % kHistoryLines;
}
void vc_data::scrollback_cleared() { history_count = view_back = 0; }
void vc_data::bring_to_front(u32 console) { front_wanted = console; }

// The PC speaker: PIT channel 2 as a square wave.
void beep(u32 hz, u32 ms) {
  const u8 gate = inb(0x61);
  if (hz == 0) {
    outb(0x61, static_cast<u8>(gate & ~3u));
    return;
  }
  const u32 count = clamp<u32>(1193182 / hz, 1, 65535);
  outb(0x43, 0xb6);
  outb(0x42, static_cast<u8>(count));
  outb(0x42, static_cast<u8>(count >> 8));
  outb(0x61, gate | 3);
  if (ms == 0) return;
  beep_timer.function = [](hrtimer*) -> u64 {
    outb(0x61, static_cast<u8>(inb(0x61) & ~3u));
    return 0;
  };
  hrtimer_start(&beep_timer, ktime_get() + ms * 1000000ul);
}

int vc_allocate(u32 number) {
  if (number == 0 || number > kConsoles || display == nullptr) return -ENXIO;
  if (consoles[number - 1] != nullptr) return 0;
  vc_data* vc = knew<vc_data>();
  const u32 cells = display->columns * display->rows;
  cell_t* screen = static_cast<cell_t*>(kmalloc(cells * sizeof(cell_t)));
  if (vc == nullptr || screen == nullptr) return -ENOMEM;
  vc->number = number;
  vc->answer_work.func = deliver_answer;
  vc->history = static_cast<cell_t*>(vmalloc(kHistoryLines * display->columns * sizeof(cell_t)));
  memcpy(vc->colours, kColours, sizeof vc->colours);
  vc->term.init(vc, screen, display->columns, display->rows);
  IrqGuard guard(vt_lock);
  consoles[number - 1] = vc;
  return 0;
}

void vt_redraw() {
  vc_data* vc = foreground_vc();
  if (vc == nullptr || !shown(vc)) return;
  display->forget();
  for (u32 i = 0; i < 16; ++i) display->palette(i, vc->colours[i]);
  draw_rows(vc, 0, vc->term.rows);
  show_cursor(vc);
}

void scroll_view(s32 lines) {
  IrqGuard guard(vt_lock);
  vc_data* vc = foreground_vc();
  if (vc == nullptr || !shown(vc)) return;
  const s32 back = static_cast<s32>(vc->view_back) - lines;
  vc->view_back = static_cast<u32>(clamp<s32>(back, 0, static_cast<s32>(vc->history_count)));
  draw_rows(vc, 0, vc->term.rows);
  show_cursor(vc);
}

void change_console(u32 number) {
  switch_target.store(number);
  switch_work.func = switch_now;
  schedule_work(&switch_work);
}

void complete_change(u32 number) {
  {
    IrqGuard guard(vt_lock);
    wanted_console = 0;
    foreground = number;
    vt_redraw();
  }
  vc_data* vc = foreground_vc();
  keyboard_set_leds(vc->lock_flags);
  if (vc->switching.mode == VT_PROCESS && vc->owner != 0) tell_owner(vc, vc->switching.acqsig);
  wake_up_all(switch_wait);
}

int vt_wait_active(u32 number) {
  return static_cast<int>(wait_event_interruptible(switch_wait, [&] { return foreground == number; }));
}

void set_display(consw* d) {
  IrqGuard guard(vt_lock);
  display = d;
  vt_redraw();
}

bool vt_fit_display(const consw* d) {
  {
    IrqGuard guard(vt_lock);
    display = nullptr;  // nothing is drawn meanwhile
  }
  for (vc_data* vc : consoles) {
    if (vc == nullptr) continue;
    const u32 columns = d->columns, rows = d->rows;
    cell_t* screen = static_cast<cell_t*>(vmalloc(columns * rows * sizeof(cell_t)));
    cell_t* history = static_cast<cell_t*>(vmalloc(kHistoryLines * columns * sizeof(cell_t)));
    if (screen == nullptr || history == nullptr) return false;
    IrqGuard guard(vt_lock);
    vc->term.resize(screen, columns, rows);
    vc->history = history;
    vc->history_count = vc->history_first = vc->view_back = 0;
    if (vc->tty != nullptr) vc->tty->window = {static_cast<u16>(rows), static_cast<u16>(columns), 0, 0};
  }
  return true;
}

u32 vt_foreground_minor() { return foreground; }

void vt_init() {
  unimap_default();
  if (boot_info.vga_text) {
    vga_console_init();
  } else if (!framebuffer_from_loader()) {
    return;
  }
  if (vc_allocate(1) != 0) return;
  vc_data* first = consoles[0];
  for (u32 i = 1; i <= kConsoles; ++i) {
    char name[8];
    format(name, sizeof name, "tty%u", i);
    tty_struct* t = tty_create(name, make_dev(4, i), &vt_ops);
    if (t == nullptr) return;
    if (i == 1) {
      first->tty = t;
      t->driver_data = first;
    }
  }
  devtmpfs_create("tty0", S_IFCHR | 0620, make_dev(4, 0));
  device_create(&tty_class, nullptr, make_dev(4, 0), "tty0");
  register_console(&vt_console);
  keyboard_init();
}

}  // namespace xm::os
