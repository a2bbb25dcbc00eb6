// SPDX-License-Identifier: GPL-2.0-or-later
// Virtual consoles: each has a terminal, its scrollback and its modes; one is in front and is drawn by the display
// driver (consw): VGA text or a framebuffer.
#pragma once

#include "abi/kd.h"
#include "kernel/drivers/tty.h"
#include "kernel/drivers/vt/terminal.h"
#include "kernel/sched/softirq.h"

namespace xm::os {

// A display. All calls come with vt_lock held.
struct consw {
  const char* name = "";
  u32 columns = 80, rows = 25;
  virtual void draw(u32 column, u32 row, const cell_t* cells, u32 n) = 0;
  virtual void cursor(u32 column, u32 row, bool visible, u8 shape) = 0;
  virtual void palette(u32 index, const u8* rgb) = 0;
  virtual int set_font(const u8* glyphs, u32 count, u32 height) = 0;  // 32 bytes a glyph, 8 wide
  virtual u32 get_font(u8* glyphs, u32* height) = 0;                  // their number
  virtual void forget() {}  // what is on the screen may be anything: all is drawn next

 protected:
  ~consw() = default;
};

constexpr u32 kConsoles = 12;  // tty1 to tty12; Alt-F1 to Alt-F12
constexpr u32 kHistoryLines = 300;
constexpr u32 LED_SCROLL = 1, LED_NUM = 2, LED_CAPS = 4;

struct vc_data final : terminal_host {
  u32 number = 0;  // from 1
  Terminal term;
  tty_struct* tty = nullptr;
  cell_t* history = nullptr;  // a ring of lines
  u32 history_first = 0, history_count = 0;
  u32 view_back = 0;  // lines that the screen is scrolled back
  u8 colours[16][3]{};
  // Modes set by ioctls.
  u32 kd_mode = KD_TEXT;
  vt_mode switching{};
  pid_t owner = 0;  // who is told of switches (VT_PROCESS)
  // Keyboard.
  u32 kbd_mode = K_UNICODE;
  u32 lock_flags = 0;  // LED_* bits: what is locked
  bool meta_escape = true;
  // Answers wait for a work item, because the writer holds the terminal's lock.
  work_struct answer_work;
  char answer[64]{};
  // What sequences ask for and needs other locks: done after vt_lock is given back.
  u32 bell_hz = 0, bell_ms = 0, front_wanted = 0;
  bool leds_changed = false;

  void reply(const char* text) override;
  void bell(u32 hz, u32 ms) override;
  void leds(u32 mask, bool on) override;
  void palette(u32 index, u8 r, u8 g, u8 b) override;
  void palette_reset() override;
  void line_lost(const cell_t* cells) override;
  void scrollback_cleared() override;
  void bring_to_front(u32 console) override;
};

extern spinlock_t vt_lock;
extern vc_data* consoles[kConsoles];  // by number - 1; null: not opened yet
extern u32 foreground;                // number of the one in front
extern consw* display;
inline vc_data* foreground_vc() { return consoles[foreground - 1]; }

int vc_allocate(u32 number);
void vt_redraw();                  // all of the one in front; vt_lock held
void change_console(u32 number);   // any context
int vt_wait_active(u32 number);    // 0 or -EINTR
void complete_change(u32 number);  // the owner of the old one has agreed
extern u32 wanted_console;         // a switch that waits for its owner; 0: none
void scroll_view(s32 lines);       // Shift-PageUp and -PageDown
void set_display(consw* d);
void beep(u32 hz, u32 ms);

// Glyphs of runes. [Linux: unimap]
u32 glyph_of(u32 rune);  // '?' if the font has none
int unimap_set(const unipair* pairs, u32 count);
u32 unimap_get(unipair* pairs, u32 limit);
void unimap_clear();
void unimap_default();

long vt_ioctl(tty_struct* tty, u32 command, u64 argument);
long keyboard_ioctl(vc_data* vc, u32 command, u64 argument);
void keyboard_set_leds(u32 mask);
void vga_console_init();
// Consoles take the size of what will be the display; false: no memory for one of them.
bool vt_fit_display(const consw* d);
bool framebuffer_from_loader();  // drivers/video/fbdev.cc

}  // namespace xm::os
