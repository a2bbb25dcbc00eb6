// SPDX-License-Identifier: GPL-2.0-or-later
// The menu on both terminals. Up and down choose, Enter starts, e edits the entry for this once, c opens a prompt, a
// digit picks an entry.
#include "boot/core/menu.h"

#include "boot/core/bios.h"
#include "boot/core/console.h"
#include "boot/core/report.h"

namespace xm::boot {
namespace {

constexpr u32 kTop = 3, kLeft = 4, kWidth = kColumns - 2 * kLeft, kMessageRow = kRows - 2, kHelpRow = kRows - 4;
constexpr u32 kTicksTenSeconds = 182;

void draw_line(u32 row, const char* text, bool chosen) {
  move_to(row, kLeft);
  set_reverse(chosen);
  put(' ');
  put_field(text, kWidth - 1);
  set_reverse(false);
}

void draw_title(const char* text) {
  clear_screen();
  move_to(1, kLeft);
  put(text);
}

void draw_help(const char* text) {
  move_to(kHelpRow, kLeft);
  put_field(text, kWidth);
}

void draw_menu(const Config& config, u32 chosen) {
  draw_title("Xiaoma boot loader");
  for (u32 i = 0; i < config.count; ++i) draw_line(kTop + i, config.entries[i].title, i == chosen);
  draw_help("Up, Down: choose   Enter: start   e: edit   c: command line");
}

void show_error() {
  move_to(kMessageRow, 0);
  print("xiaoma: error: %s\n", failure());
  put("Press a key.");
  (void)wait_key();
}

// Starts an entry; comes back only with an error, which it shows.
void start_entry(const Entry& entry, const Volume& home) {
  clear_screen();
  print("Starting %s\n", entry.title);
  Session session{home};
  (void)run_entry(entry, session);
  show_error();
}

void edit_entry(const Entry& original, const Volume& home) {
  static Entry entry;
  entry = original;
  if (entry.line_count < kMaxLines) entry.lines[entry.line_count++][0] = 0;  // one empty line to add a command
  u32 chosen = 0;
  for (;;) {
    draw_title(entry.title);
    for (u32 i = 0; i < entry.line_count; ++i) draw_line(kTop + i, entry.lines[i], i == chosen);
    draw_help("Up, Down: choose   Enter: edit the line   F10 or Ctrl-X: start   Escape: back");
    switch (wait_key()) {
      case Key::Up: chosen = chosen > 0 ? chosen - 1 : 0; break;
      case Key::Down: chosen = chosen + 1 < entry.line_count ? chosen + 1 : chosen; break;
      case Key::Enter: {
        char line[kLineSize];
        copy_text(line, entry.lines[chosen], sizeof line);
        if (edit_line(line, sizeof line, kTop + chosen, kLeft + 1, kWidth - 1))
          copy_text(entry.lines[chosen], line, kLineSize);
        break;
      }
      case Key::F10: start_entry(entry, home); break;
      case Key::Escape: return;
      default: break;
    }
  }
}

// Counts down; returns the key that stopped it, or None when the time is over.
Key count_down(int seconds) {
  const u32 ticks = static_cast<u32>(seconds) * kTicksTenSeconds / 10, start = bios_ticks();
  int shown = -1;
  for (;;) {
    const Key key = poll_key();
    if (key != Key::None) return key;
    const u32 gone = bios_ticks() - start;
    if (gone >= ticks) return Key::None;
    const int left = static_cast<int>((ticks - gone) * 10 / kTicksTenSeconds) + 1;
    if (left != shown) {
      move_to(kMessageRow, kLeft);
      print("Starting in %u s ", static_cast<u32>(left));
      shown = left;
    }
    bios_idle();
  }
}

}  // namespace

void run_prompt(Session& session, bool leave) {
  clear_screen();
  put("Commands: kernel linux initrd multiboot module chain root ls cat boot reboot poweroff\n");
  static char line[kLineSize];
  u32 row = 2;
  for (;;) {
    if (row >= kRows - 1) {
      clear_screen();
      row = 0;
    }
    move_to(row, 0);
    put("xiaoma> ");
    line[0] = 0;
    if (!edit_line(line, sizeof line, row, 8, kColumns - 9)) {
      if (leave) return;
      continue;
    }
    put('\n');
    if (!run_command(line, session)) print("xiaoma: error: %s\n", failure());
    row = current_row();
  }
}

void run_menu(Config& config, const Volume& home) {
  u32 chosen = config.default_entry;
  Key key = poll_key();
  if (config.timeout == 0 && key == Key::None) start_entry(config.entries[chosen], home);
  draw_menu(config, chosen);
  if (key == Key::None && config.timeout > 0) {
    key = count_down(config.timeout);
    if (key == Key::None) {
      start_entry(config.entries[chosen], home);
      draw_menu(config, chosen);
    }
    move_to(kMessageRow, kLeft);
    put_field("", kWidth);
  }
  for (;; key = wait_key()) {
    const u32 before = chosen, code = static_cast<u32>(key);
    bool redraw = false;
    if (key == Key::Up && chosen > 0) --chosen;
    if (key == Key::Down && chosen + 1 < config.count) ++chosen;
    if (code >= '0' && code <= '9' && code - '0' < config.count) chosen = code - '0';
    if (key == Key::Enter) {
      start_entry(config.entries[chosen], home);
      redraw = true;
    } else if (code == 'e') {
      edit_entry(config.entries[chosen], home);
      redraw = true;
    } else if (code == 'c') {
      Session session{home};
      run_prompt(session, true);
      redraw = true;
    }
    if (redraw) {
      draw_menu(config, chosen);
    } else if (before != chosen) {
      draw_line(kTop + before, config.entries[before].title, false);
      draw_line(kTop + chosen, config.entries[chosen].title, true);
    }
  }
}

}  // namespace xm::boot
