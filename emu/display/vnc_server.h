// SPDX-License-Identifier: GPL-2.0-or-later
// The screen, keyboard and mouse over VNC (RFC 6143), by libvncserver, which is opened at run time: a program that runs
// without -vnc does not load it. Works on the machine thread with the machine lock held; the screen is looked at only
// while somebody watches.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "devices/display/surface.h"
#include "emu/machine/machine.h"

namespace xm::display {

struct VncLibrary;
struct VncHandles;

class VncServer {
 public:
  // `words`: [HOST]:DISPLAY[,password=on]; the port is 5900 + DISPLAY.
  static Result<std::unique_ptr<VncServer>> open(machine::Machine& machine, const std::string& words);
  ~VncServer();
  // At most eight characters count (the protocol's limit); with password=on nobody gets in before one is set.
  void set_password(const std::string& password);
  // For `info vnc`.
  std::string describe() const;

 private:
  friend struct VncCallbacks;
  VncServer(machine::Machine& machine, std::unique_ptr<VncLibrary> library, std::string where);
  Result<void> listen(const std::string& host, unsigned port, bool with_password);
  void process();
  void schedule();
  void refresh();
  void resize();
  void client_came(const void* client, int fd);
  void client_went(const void* client);
  void key(bool down, u32 keysym);
  void pointer(unsigned buttons, int x, int y);

  machine::Machine& machine_;
  std::unique_ptr<VncLibrary> library_;
  std::unique_ptr<VncHandles> handles_;
  const std::string where_;
  devices::Surface surface_;
  std::vector<u32> picture_;
  std::map<const void*, int> clients_;  // their descriptors: a client that goes has lost its own
  std::set<u16> keys_down_;
  host::EventLoop::TimerId timer_ = 0;
  bool scheduled_ = false;
  unsigned buttons_ = 0;
  int x_ = 0, y_ = 0;
  std::array<char, 9> password_{};
  std::array<char*, 2> passwords_{};
};

}  // namespace xm::display
