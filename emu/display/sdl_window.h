// SPDX-License-Identifier: GPL-2.0-or-later
// The guest's screen in an SDL2 window, with QEMU's keys: Ctrl-Alt-G releases the mouse, Ctrl-Alt-F switches full
// screen, Ctrl-Alt-+ and Ctrl-Alt-- scale, Ctrl-Alt-U restores the size; a click grabs the mouse. SDL2 is loaded when
// the window is opened, so that a machine without it runs everything else. Machine thread, machine lock held.
#pragma once

#include <memory>
#include <set>

#include "devices/display/surface.h"
#include "emu/base/result.h"
#include "emu/machine/machine.h"

namespace xm::display {

struct SdlLibrary;

class SdlWindow {
 public:
  static Result<std::unique_ptr<SdlWindow>> open(machine::Machine& machine);
  ~SdlWindow();
  SdlWindow(const SdlWindow&) = delete;
  SdlWindow& operator=(const SdlWindow&) = delete;

 private:
  struct Handles;
  SdlWindow(machine::Machine& machine, std::unique_ptr<SdlLibrary> library, std::unique_ptr<Handles> handles);
  void schedule();
  void refresh();
  void draw();
  void poll_events();
  void handle_key(unsigned scancode, bool down, bool repeat);
  bool handle_hotkey(unsigned scancode);
  void release_keys();
  void apply_scale();
  void set_grab(bool grab);
  void update_title();

  machine::Machine& machine_;
  std::unique_ptr<SdlLibrary> sdl_;
  std::unique_ptr<Handles> handles_;
  devices::Surface surface_;
  host::EventLoop::TimerId timer_ = 0;
  bool grabbed_ = false;
  bool full_screen_ = false;
  unsigned scale_percent_ = 100;
  std::set<u16> pressed_;  // key codes that the guest has seen go down
  bool control_ = false;
  bool alt_ = false;
};

}  // namespace xm::display
