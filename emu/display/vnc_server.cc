// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/display/vnc_server.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <rfb/rfb.h>

#include <algorithm>
#include <cstring>

#include "emu/display/vnc_keys.h"
#include "emu/machine/board.h"

namespace xm::display {

namespace {

constexpr i64 kRefreshNs = 40'000'000;  // 25 pictures a second while somebody watches
constexpr unsigned kBasePort = 5900;
constexpr u32 kSmallest = 16;

void say_nothing(const char*, ...) {}

}  // namespace

// The functions of libvncserver in use, found at run time.
struct VncLibrary {
  void* handle = nullptr;
  decltype(&rfbGetScreen) get_screen;
  decltype(&rfbInitServerWithPthreadsAndZRLE) init_server;
  decltype(&rfbProcessEvents) process_events;
  decltype(&rfbShutdownServer) shutdown_server;
  decltype(&rfbScreenCleanup) screen_cleanup;
  decltype(&rfbMarkRectAsModified) mark_modified;
  decltype(&rfbNewFramebuffer) new_framebuffer;
  decltype(&rfbCheckPasswordByList) check_password;
  int* max_client_wait = nullptr;
  void (**log)(const char*, ...) = nullptr;
  void (**log_error)(const char*, ...) = nullptr;

  template <class Pointer>
  bool find(Pointer& pointer, const char* name) {
    pointer = reinterpret_cast<Pointer>(::dlsym(handle, name));
    return pointer != nullptr;
  }
  bool load() {
    handle = ::dlopen("libvncserver.so.1", RTLD_NOW | RTLD_LOCAL);
    return handle != nullptr && find(get_screen, "rfbGetScreen") &&
           find(init_server, "rfbInitServerWithPthreadsAndZRLE") && find(process_events, "rfbProcessEvents") &&
           find(shutdown_server, "rfbShutdownServer") && find(screen_cleanup, "rfbScreenCleanup") &&
           find(mark_modified, "rfbMarkRectAsModified") && find(new_framebuffer, "rfbNewFramebuffer") &&
           find(check_password, "rfbCheckPasswordByList") && find(max_client_wait, "rfbMaxClientWait") &&
           find(log, "rfbLog") && find(log_error, "rfbErr");
  }
};

struct VncHandles {
  rfbScreenInfo* screen = nullptr;
};

// What libvncserver calls; it hands back the server by its screen.
struct VncCallbacks {
  static VncServer& of(rfbScreenInfo* screen) { return *static_cast<VncServer*>(screen->screenData); }
  static rfbNewClientAction came(rfbClientRec* client) {
    client->clientGoneHook = went;
    of(client->screen).client_came(client, client->sock);
    return RFB_CLIENT_ACCEPT;
  }
  static void went(rfbClientRec* client) { of(client->screen).client_went(client); }
  static void key(rfbBool down, rfbKeySym symbol, rfbClientRec* client) { of(client->screen).key(down != 0, symbol); }
  static void pointer(int buttons, int x, int y, rfbClientRec* client) {
    of(client->screen).pointer(static_cast<unsigned>(buttons), x, y);
  }
};

Result<std::unique_ptr<VncServer>> VncServer::open(machine::Machine& machine, const std::string& words) {
  const size_t comma = std::min(words.find(','), words.size());
  const std::string where = words.substr(0, comma);
  bool with_password = false;
  for (size_t at = comma; at < words.size();) {
    const size_t end = std::min(words.find(',', at + 1), words.size());
    const std::string word = words.substr(at + 1, end - at - 1);
    at = end;
    if (word == "password" || word == "password=on") {
      with_password = true;
    } else if (word != "password=off" && !word.starts_with("share=") && !word.starts_with("lossy=")) {
      return Error{"unknown word '" + word + "': -vnc; use password=on"};
    }
  }
  const size_t colon = where.rfind(':');
  char* end = nullptr;
  const unsigned long display = colon == std::string::npos ? 0 : std::strtoul(where.c_str() + colon + 1, &end, 10);
  if (colon == std::string::npos || end == where.c_str() + colon + 1 || *end != '\0' || display > 65535 - kBasePort)
    return Error{"invalid display '" + where + "': -vnc; use [HOST]:NUMBER, e.g. :1"};
  auto library = std::make_unique<VncLibrary>();
  if (!library->load()) return Error{"cannot serve VNC: libvncserver.so.1 is missing; install libvncserver1"};
  std::unique_ptr<VncServer> server(new VncServer(machine, std::move(library), where));
  TRY(server->listen(where.substr(0, colon), kBasePort + static_cast<unsigned>(display), with_password));
  return server;
}

VncServer::VncServer(machine::Machine& machine, std::unique_ptr<VncLibrary> library, std::string where)
    : machine_(machine),
      library_(std::move(library)),
      handles_(std::make_unique<VncHandles>()),
      where_(std::move(where)) {
  passwords_ = {password_.data(), nullptr};
}

Result<void> VncServer::listen(const std::string& host, unsigned port, bool with_password) {
  // A client that takes nothing may hold the machine thread up for this long before it is dropped.
  *library_->max_client_wait = 500;
  *library_->log = say_nothing;
  *library_->log_error = say_nothing;
  surface_.resize(720, 400);
  picture_.assign(surface_.pixels.size(), 0);
  rfbScreenInfo* screen = library_->get_screen(nullptr, nullptr, 720, 400, 8, 3, 4);
  if (screen == nullptr) return Error{"cannot serve VNC: out of memory: -vnc"};
  handles_->screen = screen;
  screen->screenData = this;
  screen->desktopName = machine_.config().name.c_str();
  screen->frameBuffer = reinterpret_cast<char*>(picture_.data());
  screen->serverFormat.redShift = 16;
  screen->serverFormat.greenShift = 8;
  screen->serverFormat.blueShift = 0;
  screen->port = static_cast<int>(port);
  screen->ipv6port = -1;
  screen->autoPort = FALSE;
  screen->alwaysShared = TRUE;
  screen->cursor = nullptr;
  screen->newClientHook = VncCallbacks::came;
  screen->kbdAddEvent = VncCallbacks::key;
  screen->ptrAddEvent = VncCallbacks::pointer;
  if (!host.empty() && host != "0.0.0.0") {
    in_addr_t address = host == "localhost" ? htonl(INADDR_LOOPBACK) : ::inet_addr(host.c_str());
    if (address == INADDR_NONE) return Error{"not an IPv4 address '" + host + "': -vnc"};
    screen->listenInterface = address;
  }
  if (with_password) {
    screen->authPasswdData = passwords_.data();
    screen->passwordCheck = library_->check_password;
  }
  library_->init_server(screen);
  if (screen->listenSock < 0) return Error{"cannot listen on port " + std::to_string(port) + ": -vnc; is it in use?"};
  machine_.loop().add_fd(screen->listenSock, host::EventLoop::kReadable, [this](u32) { process(); });
  return {};
}

VncServer::~VncServer() {
  rfbScreenInfo* screen = handles_->screen;
  if (screen == nullptr) return;
  if (scheduled_) machine_.loop().cancel_timer(timer_);
  if (screen->listenSock >= 0) machine_.loop().remove_fd(screen->listenSock);
  library_->shutdown_server(screen, TRUE);
  library_->screen_cleanup(screen);
}

void VncServer::set_password(const std::string& password) {
  password_.fill('\0');
  std::memcpy(password_.data(), password.data(), std::min(password.size(), password_.size() - 1));
}

std::string VncServer::describe() const {
  return "Server: " + where_ + "\n  clients: " + std::to_string(clients_.size()) +
         "\n  auth: " + (handles_->screen->authPasswdData != nullptr ? "vnc" : "none");
}

// libvncserver reads what its sockets have and writes what changed.
void VncServer::process() { library_->process_events(handles_->screen, 0); }

void VncServer::client_came(const void* client, int fd) {
  clients_[client] = fd;
  machine_.loop().add_fd(fd, host::EventLoop::kReadable, [this](u32) { process(); });
  if (machine_.board().display() != nullptr) machine_.board().display()->invalidate();
  if (!scheduled_) schedule();
}

void VncServer::client_went(const void* client) {
  const auto gone = clients_.find(client);
  if (gone == clients_.end()) return;
  machine_.loop().remove_fd(gone->second);
  clients_.erase(gone);
  // A client that vanished holds no keys.
  for (const u16 code : std::exchange(keys_down_, {})) machine_.board().keyboard().key(code, false);
}

void VncServer::schedule() {
  scheduled_ = !clients_.empty();
  if (!scheduled_) return;
  timer_ = machine_.loop().add_timer(host::EventLoop::now_ns() + kRefreshNs, [this] {
    refresh();
    process();
    schedule();
  });
}

void VncServer::refresh() {
  devices::DisplaySource* source = machine_.board().display();
  if (source == nullptr) return;
  const devices::SurfaceChange change = source->refresh(surface_);
  if (!change.any() || surface_.width < kSmallest || surface_.height < kSmallest) return;
  const auto* screen = handles_->screen;
  if (static_cast<u32>(screen->width) != surface_.width || static_cast<u32>(screen->height) != surface_.height)
    return resize();
  const u32 first = std::min(change.first_row, surface_.height);
  const u32 end = std::min(change.end_row, surface_.height);
  std::copy(surface_.pixels.begin() + first * surface_.width, surface_.pixels.begin() + end * surface_.width,
            picture_.begin() + first * surface_.width);
  library_->mark_modified(handles_->screen, 0, static_cast<int>(first), static_cast<int>(surface_.width),
                          static_cast<int>(end));
}

void VncServer::resize() {
  std::vector<u32> old = std::exchange(picture_, surface_.pixels);  // until libvncserver knows of the new one
  library_->new_framebuffer(handles_->screen, reinterpret_cast<char*>(picture_.data()),
                            static_cast<int>(surface_.width), static_cast<int>(surface_.height), 8, 3, 4);
  handles_->screen->serverFormat.redShift = 16;
  handles_->screen->serverFormat.greenShift = 8;
  handles_->screen->serverFormat.blueShift = 0;
}

void VncServer::key(bool down, u32 keysym) {
  const u16 code = keycode_of_keysym(keysym);
  if (code == 0) return;
  if (down) {
    // Clients repeat keys that are held; the PC's keyboard does that itself.
    if (!keys_down_.insert(code).second) return;
  } else {
    keys_down_.erase(code);
  }
  machine_.board().keyboard().key(code, down);
}

// The PC's mouse knows motion only; the client's pointer has a place.
void VncServer::pointer(unsigned buttons, int x, int y) {
  devices::PointerSink& mouse = machine_.board().mouse();
  const unsigned changed = buttons ^ std::exchange(buttons_, buttons);
  const int wheel = (changed & buttons & 8) != 0 ? 1 : (changed & buttons & 16) != 0 ? -1 : 0;
  mouse.pointer_motion(x - std::exchange(x_, x), y - std::exchange(y_, y), wheel);
  static constexpr std::pair<unsigned, devices::MouseButton> kButtons[] = {
      {1, devices::MouseButton::Left}, {2, devices::MouseButton::Middle}, {4, devices::MouseButton::Right}};
  for (const auto& [bit, button] : kButtons) {
    if ((changed & bit) != 0) mouse.pointer_button(button, (buttons & bit) != 0);
  }
  mouse.pointer_sync();
}

}  // namespace xm::display
