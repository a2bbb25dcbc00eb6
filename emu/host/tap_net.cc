// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/tap_net.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace xm::host {

namespace {

using devices::NetFrame;
using devices::NetOffload;
using devices::VnetHeader;

constexpr unsigned kBurst = 64;  // frames taken in one turn of the loop

Result<void> run_script(const std::string& script, const std::string& interface) {
  if (script.empty() || script == "no") return {};
  std::string program = script, argument = interface;
  char* arguments[] = {program.data(), argument.data(), nullptr};
  pid_t child = 0;
  const int error = posix_spawn(&child, script.c_str(), nullptr, nullptr, arguments, environ);
  if (error != 0)
    return Error{"cannot run network script: " + script + ": " + std::strerror(error) + "; use script=no"};
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return Error{"network script failed: " + script + "; run it by hand to see why, or use script=no"};
}

class Tap final : public devices::NetBackend {
 public:
  Tap(int fd, EventLoop& loop) : fd_(fd), loop_(loop) {}
  ~Tap() override {
    loop_.remove_fd(fd_);
    close(fd_);
    (void)run_script(down_script_, interface_).ok();
  }

  Result<void> start(const TapOptions& options) {
    ifreq request{};
    if (options.fd < 0) {
      request.ifr_flags = IFF_TAP | IFF_NO_PI | (options.vnet_header ? IFF_VNET_HDR : 0);
      if (options.interface.size() >= IFNAMSIZ) {
        return Error{"interface name is too long: ifname=" + options.interface + "; at most 15 characters"};
      }
      std::memcpy(request.ifr_name, options.interface.data(), options.interface.size());
      if (ioctl(fd_, TUNSETIFF, &request) != 0) {
        const char* hint = errno == EPERM   ? "; create it first (ip tuntap add mode tap user $USER) or run as root"
                           : errno == EBUSY ? "; another program uses it"
                                            : "";
        return Error{"cannot open TAP interface: ifname=" + options.interface + ": " + std::strerror(errno) + hint};
      }
    } else if (ioctl(fd_, TUNGETIFF, &request) != 0) {
      return Error{"not a TAP descriptor: fd=" + std::to_string(options.fd) + ": " + std::strerror(errno)};
    }
    interface_ = request.ifr_name;
    int header_size = sizeof(VnetHeader);
    vnet_header_ = (request.ifr_flags & IFF_VNET_HDR) != 0 && ioctl(fd_, TUNSETVNETHDRSZ, &header_size) == 0;
    set_receive_offload({});
    fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
    auto up = run_script(options.script, interface_);
    if (!up.ok()) return up.error();
    down_script_ = options.down_script;
    loop_.add_fd(fd_, EventLoop::kReadable, [this](u32) { drain(); });
    return {};
  }

  std::string description() const override { return "tap " + interface_; }

  NetOffload offload() const override {
    if (!vnet_header_) return {};
    return {.checksum = true, .tso4 = true, .tso6 = true, .ecn = true, .ufo = false};
  }

  void set_receive_offload(const NetOffload& wanted) override {
    if (!vnet_header_) return;
    unsigned flags = 0;
    if (wanted.checksum) {
      flags |= TUN_F_CSUM;
      if (wanted.tso4) flags |= TUN_F_TSO4;
      if (wanted.tso6) flags |= TUN_F_TSO6;
      if ((wanted.tso4 || wanted.tso6) && wanted.ecn) flags |= TUN_F_TSO_ECN;
    }
    ioctl(fd_, TUNSETOFFLOAD, flags);
  }

  // A full interface queue drops the frame, as a full switch does.
  void send(const NetFrame& frame) override {
    if (!link_up()) return;
    std::array<iovec, 64> vectors;
    std::size_t count = 0;
    VnetHeader header = frame.header;
    if (vnet_header_) vectors[count++] = {&header, sizeof header};
    std::vector<u8> flat;
    if (frame.parts.size() + count > vectors.size()) {
      for (const std::span<u8> part : frame.parts) flat.insert(flat.end(), part.begin(), part.end());
      vectors[count++] = {flat.data(), flat.size()};
    } else {
      for (const std::span<u8> part : frame.parts) vectors[count++] = {part.data(), part.size()};
    }
    ssize_t written = 0;
    do {
      written = writev(fd_, vectors.data(), static_cast<int>(count));
    } while (written < 0 && errno == EINTR);
  }

  void receiver_ready() override {
    if (!waiting()) return;
    if (!offer()) return;
    loop_.modify_fd(fd_, EventLoop::kReadable);
  }

 private:
  bool waiting() const { return held_ != 0; }

  // Hands the held frame to the card; false if it is still full.
  bool offer() {
    const std::size_t skip = vnet_header_ ? sizeof(VnetHeader) : 0;
    NetFrame frame;
    if (skip != 0) std::memcpy(&frame.header, buffer_.data(), skip);
    const std::span<u8> part(buffer_.data() + skip, held_ - skip);
    frame.parts = {&part, 1};
    if (receiver() != nullptr && link_up() && !receiver()->receive(frame)) return false;
    held_ = 0;
    return true;
  }

  void drain() {
    for (unsigned i = 0; i < kBurst; i++) {
      if (!waiting()) {
        const ssize_t got = read(fd_, buffer_.data(), buffer_.size());
        if (got <= static_cast<ssize_t>(vnet_header_ ? sizeof(VnetHeader) : 0)) return;
        held_ = static_cast<std::size_t>(got);
      }
      if (!offer()) return loop_.modify_fd(fd_, 0);  // until receiver_ready()
    }
  }

  int fd_;
  EventLoop& loop_;
  std::string interface_;
  std::string down_script_;
  bool vnet_header_ = false;
  std::vector<u8> buffer_ = std::vector<u8>(65536 + 128);
  std::size_t held_ = 0;  // bytes in buffer_ that wait for the card
};

}  // namespace

Result<std::unique_ptr<devices::NetBackend>> open_tap(const TapOptions& options, EventLoop& loop) {
  int fd = options.fd;
  if (fd < 0) fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    return Error{std::string("cannot open /dev/net/tun: ") + std::strerror(errno) +
                 "; load the tun module and check its permissions, or use -netdev user"};
  }
  auto tap = std::make_unique<Tap>(fd, loop);
  TRY(tap->start(options));
  return std::unique_ptr<devices::NetBackend>(std::move(tap));
}

}  // namespace xm::host
