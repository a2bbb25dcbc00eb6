// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/host/dump_net.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace xm::host {

namespace {

using devices::NetFrame;

struct FileHeader {
  u32 magic = 0xA1B2C3D4;
  u16 major = 2, minor = 4;
  i32 time_zone = 0;
  u32 accuracy = 0;
  u32 snap_length = 0;
  u32 link_type = 1;  // Ethernet
};
static_assert(sizeof(FileHeader) == 24);

struct PacketHeader {
  u32 seconds, microseconds;
  u32 captured_bytes, original_bytes;
};

class DumpNet final : public devices::NetBackend, private devices::NetReceiver {
 public:
  DumpNet(int fd, const DumpOptions& options, devices::NetBackend& inner) : fd_(fd), options_(options), inner_(inner) {
    inner_.attach(this);
  }
  ~DumpNet() override {
    inner_.attach(nullptr);
    close(fd_);
  }

  std::string description() const override { return inner_.description() + ", dumped to " + options_.file; }
  void send(const NetFrame& frame) override {
    record(frame);
    inner_.send(frame);
  }
  void receiver_ready() override { inner_.receiver_ready(); }
  devices::NetOffload offload() const override { return inner_.offload(); }
  void set_receive_offload(const devices::NetOffload& offload) override { inner_.set_receive_offload(offload); }

 private:
  bool can_receive() override { return receiver() != nullptr && receiver()->can_receive(); }
  bool receive(const NetFrame& frame) override {
    if (receiver() == nullptr || !link_up()) return true;
    // A frame that is not taken comes again: it is written when it is.
    if (!receiver()->receive(frame)) return false;
    record(frame);
    return true;
  }
  void link_changed(bool up) override { set_link(up); }

  void record(const NetFrame& frame) {
    if (failed_) return;
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    const auto size = static_cast<u32>(frame.size_bytes());
    PacketHeader header{static_cast<u32>(now.tv_sec), static_cast<u32>(now.tv_nsec / 1000),
                        std::min(size, options_.max_bytes), size};
    // One write for each packet: the file is whole whenever somebody looks.
    std::vector<u8> packet(sizeof header);
    std::memcpy(packet.data(), &header, sizeof header);
    for (const std::span<u8> part : frame.parts) packet.insert(packet.end(), part.begin(), part.end());
    packet.resize(sizeof header + header.captured_bytes);
    if (write(fd_, packet.data(), packet.size()) == static_cast<ssize_t>(packet.size())) return;
    failed_ = true;
    std::fprintf(stderr, "xiaoma: warning: packet dump ends here: %s: %s\n", options_.file.c_str(),
                 std::strerror(errno));
  }

  int fd_;
  DumpOptions options_;
  devices::NetBackend& inner_;
  bool failed_ = false;
};

}  // namespace

Result<std::unique_ptr<devices::NetBackend>> open_dump(const DumpOptions& options, devices::NetBackend& inner) {
  const int fd = open(options.file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return Error{"cannot write packet dump: " + options.file + ": " + std::strerror(errno)};
  FileHeader header;
  header.snap_length = options.max_bytes;
  if (write(fd, &header, sizeof header) != sizeof header) {
    const Error error{"cannot write packet dump: " + options.file + ": " + std::strerror(errno)};
    close(fd);
    return error;
  }
  return std::unique_ptr<devices::NetBackend>(std::make_unique<DumpNet>(fd, options, inner));
}

}  // namespace xm::host
