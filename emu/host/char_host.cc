// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/char_host.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pty.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "emu/host/fd_stream.h"

namespace xm::host {

namespace {

using devices::CharBackend;
using devices::CharEvent;
using devices::CharFrontend;

Error host_error(const std::string& what, const std::string& where) {
  return {what + ": " + where + ": " + std::strerror(errno)};
}

class FileChar final : public CharBackend {
 public:
  explicit FileChar(int fd) : fd_(fd) {}
  ~FileChar() override { ::close(fd_); }
  void attach(CharFrontend*) override {}
  std::size_t write(std::span<const u8> bytes) override {
    // A full disk must not stop the guest: what does not fit is lost.
    static_cast<void>(!::write(fd_, bytes.data(), bytes.size()));
    return bytes.size();
  }

 private:
  int fd_;
};

// Shared by pseudo-terminal and sockets: one stream that comes and goes.
class StreamChar : public CharBackend {
 public:
  explicit StreamChar(EventLoop& loop) : loop_(loop) {}
  void attach(CharFrontend* frontend) override {
    frontend_ = frontend;
    if (frontend_ != nullptr && stream_ != nullptr) frontend_->event(CharEvent::Opened);
    receive_ready();
  }
  std::size_t write(std::span<const u8> bytes) override {
    return stream_ != nullptr ? stream_->write(bytes) : bytes.size();
  }
  void receive_ready() override {
    if (stream_ != nullptr) stream_->resume_reading();
  }

 protected:
  void open_stream(int fd) {
    stream_ = std::make_unique<FdStream>(
        loop_, fd, fd,
        FdStream::Callbacks{
            .can_read = [this] { return frontend_ != nullptr ? frontend_->can_receive() : std::size_t{0}; },
            .readable = [this](std::span<const u8> bytes) { frontend_->receive(bytes); },
            .drained =
                [this] {
                  if (frontend_ != nullptr) frontend_->writable();
                },
            // The stream is still on the call stack: it is let go from the loop.
            .closed = [this] { loop_.post([this] { peer_gone(); }); }});
    if (frontend_ != nullptr) frontend_->event(CharEvent::Opened);
  }
  void drop_stream() {
    if (stream_ == nullptr) return;
    stream_.reset();
    if (frontend_ != nullptr) frontend_->event(CharEvent::Closed);
  }
  virtual void peer_gone() = 0;
  EventLoop& loop_;

 private:
  CharFrontend* frontend_ = nullptr;
  std::unique_ptr<FdStream> stream_;
};

class PtyChar final : public StreamChar {
 public:
  // Keeps the slave side open as well, so that the pair survives users who come and go.
  PtyChar(EventLoop& loop, int master, int slave) : StreamChar(loop), master_(master), slave_(slave) {
    open_stream(master);
  }
  ~PtyChar() override {
    drop_stream();
    ::close(master_);
    ::close(slave_);
  }

 private:
  void peer_gone() override { drop_stream(); }
  int master_;
  int slave_;
};

class SocketChar final : public StreamChar {
 public:
  SocketChar(EventLoop& loop, int listener, int peer, std::string unix_path)
      : StreamChar(loop), listener_(listener), unix_path_(std::move(unix_path)) {
    if (peer >= 0)
      serve(peer);
    else
      listen_for_peer();
  }
  ~SocketChar() override {
    drop();
    if (listener_ >= 0) {
      if (listening_) loop_.remove_fd(listener_);
      ::close(listener_);
      if (!unix_path_.empty()) ::unlink(unix_path_.c_str());
    }
  }

 private:
  void serve(int peer) {
    peer_ = peer;
    ::fcntl(peer_, F_SETFL, O_NONBLOCK);
    open_stream(peer_);
  }
  void drop() {
    drop_stream();
    if (peer_ >= 0) ::close(peer_);
    peer_ = -1;
  }
  void listen_for_peer() {
    if (listener_ < 0) return;
    listening_ = true;
    loop_.add_fd(listener_, EventLoop::kReadable, [this](u32) {
      const int peer = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (peer < 0) return;
      loop_.remove_fd(listener_);
      listening_ = false;
      serve(peer);
    });
  }
  void peer_gone() override {
    drop();
    listen_for_peer();
  }

  int listener_;
  int peer_ = -1;
  bool listening_ = false;
  std::string unix_path_;
};

// A socket bound (server) or connected (client) to the address.
Result<int> make_unix_socket(const std::string& path, bool server) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Error{"socket path too long: " + path};
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return host_error("cannot make a socket", path);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  if (server) ::unlink(path.c_str());
  if ((server ? ::bind(fd, generic, sizeof address) : ::connect(fd, generic, sizeof address)) != 0) {
    const Error error = host_error(server ? "cannot listen" : "cannot connect", path);
    ::close(fd);
    return error;
  }
  return fd;
}

Result<int> make_tcp_socket(const std::string& host, u16 port, bool server) {
  const std::string where = host + ":" + std::to_string(port);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = server ? AI_PASSIVE : 0;
  addrinfo* list = nullptr;
  const int status = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (status != 0) return Error{"cannot resolve: " + where + ": " + ::gai_strerror(status)};
  Error error{"no address: " + where};
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    const int fd = ::socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) continue;
    const int one = 1;
    if (server) ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if ((server ? ::bind(fd, at->ai_addr, at->ai_addrlen) : ::connect(fd, at->ai_addr, at->ai_addrlen)) == 0) {
      ::freeaddrinfo(list);
      return fd;
    }
    error = host_error(server ? "cannot listen" : "cannot connect", where);
    ::close(fd);
  }
  ::freeaddrinfo(list);
  return error;
}

}  // namespace

Result<std::unique_ptr<CharBackend>> open_file_char(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return host_error("cannot open for writing", path);
  return std::unique_ptr<CharBackend>(new FileChar(fd));
}

Result<std::unique_ptr<CharBackend>> open_pty_char(EventLoop& loop, std::string& name) {
  int master = -1;
  int slave = -1;
  char path[128];
  if (::openpty(&master, &slave, path, nullptr, nullptr) != 0)
    return host_error("cannot make a pseudo-terminal", "pty");
  termios raw{};
  ::tcgetattr(slave, &raw);
  ::cfmakeraw(&raw);
  ::tcsetattr(slave, TCSANOW, &raw);
  ::fcntl(master, F_SETFL, O_NONBLOCK);
  name = path;
  return std::unique_ptr<CharBackend>(new PtyChar(loop, master, slave));
}

Result<std::unique_ptr<CharBackend>> open_socket_char(EventLoop& loop, const SocketAddress& address, bool server,
                                                      bool wait) {
  const int fd = TRY(address.unix_path.empty() ? make_tcp_socket(address.host, address.port, server)
                                               : make_unix_socket(address.unix_path, server));
  if (!server) return std::unique_ptr<CharBackend>(new SocketChar(loop, -1, fd, ""));
  if (::listen(fd, 1) != 0) return host_error("cannot listen", address.unix_path);
  const int peer = wait ? ::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC) : -1;
  return std::unique_ptr<CharBackend>(new SocketChar(loop, fd, peer, address.unix_path));
}

}  // namespace xm::host
