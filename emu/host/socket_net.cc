// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/socket_net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <deque>

#include "emu/base/bits.h"

namespace xm::host {

namespace {

using devices::NetFrame;

constexpr std::size_t kMaxFrame = 65536 + 64;
constexpr std::size_t kMaxQueuedBytes = 1 << 20;  // frames that wait for a slow peer; more are dropped
constexpr unsigned kBurst = 64;

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
};

Result<Address> resolve(const SocketPlace& place, bool passive, int type) {
  Address address;
  if (place.unix_path) {
    auto& to = reinterpret_cast<sockaddr_un&>(address.storage);
    if (place.host.empty() || place.host.size() >= sizeof to.sun_path)
      return Error{"invalid socket path: " + place.host + "; 1 to 107 characters"};
    to.sun_family = AF_UNIX;
    std::memcpy(to.sun_path, place.host.data(), place.host.size());
    address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + place.host.size() + 1);
    return address;
  }
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = type;
  hints.ai_flags = passive ? AI_PASSIVE : 0;
  // Without a name IPv4 is meant, as in QEMU.
  if (place.host.empty()) hints.ai_family = AF_INET;
  const int error = getaddrinfo(place.host.empty() ? nullptr : place.host.c_str(), place.port.c_str(), &hints, &found);
  if (error != 0) return Error{"cannot resolve address: " + place.text() + ": " + gai_strerror(error)};
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.length = found->ai_addrlen;
  freeaddrinfo(found);
  return address;
}

Error socket_error(const char* what, const SocketPlace& place) {
  return {std::string(what) + ": " + place.text() + ": " + std::strerror(errno)};
}

Result<int> open_socket(const Address& address, int type, const SocketPlace& place) {
  const int fd = socket(address.family(), type | SOCK_CLOEXEC, 0);
  if (fd < 0) return socket_error("cannot open socket", place);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return fd;
}

// What both kinds share: one frame from the host that waits while the card is full.
class SocketNet : public devices::NetBackend {
 public:
  explicit SocketNet(EventLoop& loop) : loop_(loop) {}

 protected:
  bool offer(std::span<u8> frame) {
    if (receiver() == nullptr || !link_up()) return true;
    const std::span<u8> parts[] = {frame};
    NetFrame wrapped;
    wrapped.parts = parts;
    return receiver()->receive(wrapped);
  }
  EventLoop& loop_;
};

class StreamNet final : public SocketNet {
 public:
  StreamNet(EventLoop& loop, StreamNetOptions options) : SocketNet(loop), options_(std::move(options)) {}
  ~StreamNet() override {
    disconnect();
    if (timer_ != 0) loop_.cancel_timer(timer_);
    if (listener_ >= 0) {
      loop_.remove_fd(listener_);
      close(listener_);
      if (options_.place.unix_path) unlink(options_.place.host.c_str());
    }
  }

  Result<void> start() {
    if (options_.fd >= 0) {
      connected(options_.fd);
      return {};
    }
    if (options_.server) return listen_now();
    Result<void> result = connect_now();
    if (!result.ok() && options_.reconnect_seconds == 0) return result;
    if (!result.ok()) retry_later();
    return {};
  }

  std::string description() const override {
    return (options_.server ? "stream server " : "stream to ") + options_.place.text() +
           (peer_ >= 0 ? " (connected)" : " (no peer)");
  }

  void send(const NetFrame& frame) override {
    if (!link_up() || peer_ < 0) return;
    const u64 size = frame.size_bytes();
    if (size == 0 || size > kMaxFrame || queued_bytes_ > kMaxQueuedBytes) return;
    std::vector<u8> message(4);
    store_le(message.data(), byte_swap(static_cast<u32>(size)));
    message.reserve(4 + size);
    for (const std::span<u8> part : frame.parts) message.insert(message.end(), part.begin(), part.end());
    if (queue_.empty()) {
      const ssize_t sent = ::send(peer_, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno != EAGAIN && errno != EINTR) return lost();
      if (sent == static_cast<ssize_t>(message.size())) return;
      if (sent > 0) message.erase(message.begin(), message.begin() + sent);
      queue_.push_back(std::move(message));
      queued_bytes_ = queue_.back().size();
      watch();
      return;
    }
    queued_bytes_ += message.size();
    queue_.push_back(std::move(message));
  }

  void receiver_ready() override {
    if (peer_ < 0 || !full_) return;
    full_ = false;
    deliver();
    if (peer_ >= 0) watch();
  }

 private:
  Result<void> listen_now() {
    const Address address = TRY(resolve(options_.place, true, SOCK_STREAM));
    if (options_.place.unix_path) unlink(options_.place.host.c_str());
    listener_ = TRY(open_socket(address, SOCK_STREAM | SOCK_NONBLOCK, options_.place));
    if (bind(listener_, address.get(), address.length) != 0 || listen(listener_, 1) != 0)
      return socket_error("cannot listen", options_.place);
    loop_.add_fd(listener_, EventLoop::kReadable, [this](u32) { accept_peer(); });
    return {};
  }

  void accept_peer() {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    // One peer at a time: a second one is turned away.
    if (peer_ >= 0) {
      close(fd);
      return;
    }
    connected(fd);
  }

  Result<void> connect_now() {
    const Address address = TRY(resolve(options_.place, false, SOCK_STREAM));
    const int fd = TRY(open_socket(address, SOCK_STREAM, options_.place));
    if (connect(fd, address.get(), address.length) != 0) {
      const Error error = socket_error("cannot connect", options_.place);
      close(fd);
      return error;
    }
    connected(fd);
    return {};
  }

  void connected(int fd) {
    peer_ = fd;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    loop_.add_fd(fd, EventLoop::kReadable, [this](u32 events) {
      if ((events & EventLoop::kWritable) != 0) send_queued();
      if (peer_ >= 0 && (events & ~EventLoop::kWritable) != 0) read_peer();
    });
  }

  void disconnect() {
    if (peer_ < 0) return;
    loop_.remove_fd(peer_);
    close(peer_);
    peer_ = -1;
    queue_.clear();
    queued_bytes_ = 0;
    input_.clear();
    full_ = false;
  }

  void lost() {
    disconnect();
    if (!options_.server && options_.reconnect_seconds != 0) retry_later();
  }

  void retry_later() {
    timer_ = loop_.add_timer(EventLoop::now_ns() + i64{options_.reconnect_seconds} * 1'000'000'000, [this] {
      timer_ = 0;
      if (!connect_now().ok()) retry_later();
    });
  }

  void watch() {
    loop_.modify_fd(peer_, (full_ ? 0 : EventLoop::kReadable) | (queue_.empty() ? 0 : EventLoop::kWritable));
  }

  void send_queued() {
    while (!queue_.empty()) {
      std::vector<u8>& message = queue_.front();
      const ssize_t sent = ::send(peer_, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (sent < 0) return lost();
      queued_bytes_ -= static_cast<std::size_t>(sent);
      message.erase(message.begin(), message.begin() + sent);
      if (!message.empty()) return;
      queue_.pop_front();
    }
    watch();
  }

  void read_peer() {
    if (full_) return;
    std::array<u8, 65536> chunk;
    const ssize_t got = recv(peer_, chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return lost();
    input_.insert(input_.end(), chunk.begin(), chunk.begin() + got);
    deliver();
    if (peer_ >= 0 && full_) watch();
  }

  // Takes whole frames off the input until the card is full.
  void deliver() {
    std::size_t at = 0;
    while (input_.size() - at >= 4) {
      const std::size_t size = byte_swap(load_le<u32>(&input_[at]));
      if (size > kMaxFrame) return lost();  // not a peer of ours
      if (input_.size() - at - 4 < size) break;
      if (size != 0 && !offer(std::span(input_).subspan(at + 4, size))) {
        full_ = true;
        break;
      }
      at += 4 + size;
    }
    input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(at));
  }

  StreamNetOptions options_;
  int listener_ = -1, peer_ = -1;
  EventLoop::TimerId timer_ = 0;
  std::vector<u8> input_;
  bool full_ = false;  // the card has no room for the first frame of input_
  std::deque<std::vector<u8>> queue_;
  std::size_t queued_bytes_ = 0;
};

class DatagramNet final : public SocketNet {
 public:
  DatagramNet(EventLoop& loop, DatagramNetOptions options) : SocketNet(loop), options_(std::move(options)) {}
  ~DatagramNet() override {
    if (fd_ < 0) return;
    loop_.remove_fd(fd_);
    close(fd_);
    if (options_.local.unix_path) unlink(options_.local.host.c_str());
  }

  Result<void> start() {
    if (!options_.remote.host.empty() || !options_.remote.port.empty())
      remote_ = TRY(resolve(options_.remote, false, SOCK_DGRAM));
    if (options_.multicast) return join();
    const Address local = TRY(resolve(options_.local, true, SOCK_DGRAM));
    if (options_.local.unix_path) unlink(options_.local.host.c_str());
    fd_ = TRY(open_socket(local, SOCK_DGRAM | SOCK_NONBLOCK, options_.local));
    if (bind(fd_, local.get(), local.length) != 0) return socket_error("cannot bind", options_.local);
    return listen_now();
  }

  std::string description() const override {
    return options_.multicast ? "multicast " + options_.remote.text()
                              : "datagrams " + options_.local.text() + " to " + options_.remote.text();
  }

  void send(const NetFrame& frame) override {
    if (!link_up() || remote_.length == 0) return;
    std::vector<u8> flat;
    flat.reserve(frame.size_bytes());
    for (const std::span<u8> part : frame.parts) flat.insert(flat.end(), part.begin(), part.end());
    // A full socket drops the frame, as a full switch does.
    (void)sendto(fd_, flat.data(), flat.size(), MSG_NOSIGNAL | MSG_DONTWAIT, remote_.get(), remote_.length);
  }

  void receiver_ready() override {
    if (held_ == 0) return;
    if (!offer(std::span(buffer_).first(held_))) return;
    held_ = 0;
    loop_.modify_fd(fd_, EventLoop::kReadable);
  }

 private:
  // Every member of the group, also on this host, hears what it sends.
  Result<void> join() {
    if (remote_.family() != AF_INET) return Error{"not an IPv4 multicast group: mcast=" + options_.remote.text()};
    fd_ = TRY(open_socket(remote_, SOCK_DGRAM | SOCK_NONBLOCK, options_.remote));
    if (bind(fd_, remote_.get(), remote_.length) != 0) return socket_error("cannot bind", options_.remote);
    ip_mreq group{};
    group.imr_multiaddr = reinterpret_cast<const sockaddr_in&>(remote_.storage).sin_addr;
    if (!options_.local.host.empty() && inet_aton(options_.local.host.c_str(), &group.imr_interface) == 0)
      return Error{"not an IPv4 address: localaddr=" + options_.local.host};
    if (setsockopt(fd_, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) != 0)
      return socket_error("cannot join multicast group", options_.remote);
    const int on = 1;
    setsockopt(fd_, IPPROTO_IP, IP_MULTICAST_LOOP, &on, sizeof on);
    if (!options_.local.host.empty())
      setsockopt(fd_, IPPROTO_IP, IP_MULTICAST_IF, &group.imr_interface, sizeof group.imr_interface);
    return listen_now();
  }

  Result<void> listen_now() {
    loop_.add_fd(fd_, EventLoop::kReadable, [this](u32) { drain(); });
    return {};
  }

  void drain() {
    for (unsigned i = 0; i < kBurst && held_ == 0; i++) {
      const ssize_t got = recv(fd_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (got <= 0) return;
      if (offer(std::span(buffer_).first(static_cast<std::size_t>(got)))) continue;
      held_ = static_cast<std::size_t>(got);
      loop_.modify_fd(fd_, 0);
    }
  }

  DatagramNetOptions options_;
  Address remote_;
  int fd_ = -1;
  std::vector<u8> buffer_ = std::vector<u8>(kMaxFrame);
  std::size_t held_ = 0;
};

template <class Net, class Options>
Result<std::unique_ptr<devices::NetBackend>> open_net(const Options& options, EventLoop& loop) {
  auto net = std::make_unique<Net>(loop, options);
  TRY(net->start());
  return std::unique_ptr<devices::NetBackend>(std::move(net));
}

}  // namespace

Result<std::unique_ptr<devices::NetBackend>> open_stream_net(const StreamNetOptions& options, EventLoop& loop) {
  return open_net<StreamNet>(options, loop);
}

Result<std::unique_ptr<devices::NetBackend>> open_datagram_net(const DatagramNetOptions& options, EventLoop& loop) {
  return open_net<DatagramNet>(options, loop);
}

Result<SocketPlace> parse_socket_place(const std::string& text, const std::string& option) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return Error{"invalid address '" + text + "': " + option + "; use HOST:PORT"};
  SocketPlace place;
  place.host = text.substr(0, colon);
  place.port = text.substr(colon + 1);
  if (place.host.starts_with("[") && place.host.ends_with("]"))
    place.host = place.host.substr(1, place.host.size() - 2);
  if (place.port.empty() || place.port.find_first_not_of("0123456789") != std::string::npos || place.port.size() > 5)
    return Error{"invalid port in '" + text + "': " + option};
  return place;
}

}  // namespace xm::host
