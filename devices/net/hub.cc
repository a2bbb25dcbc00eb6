// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/net/hub.h"

namespace xm::devices {

namespace {

constexpr std::size_t kMaxWaiting = 256;  // frames a slow card may fall behind; more are dropped

}  // namespace

class NetHub::CardPort final : public NetBackend {
 public:
  explicit CardPort(NetHub& hub) : hub_(hub) {}
  std::string description() const override { return "hub port"; }
  void send(const NetFrame& frame) override { hub_.spread(frame, this); }
  void receiver_ready() override {
    while (!waiting_.empty() && offer(waiting_.front())) waiting_.pop_front();
  }
  void deliver(const NetFrame& frame) {
    std::vector<u8> copy;
    for (const std::span<u8> part : frame.parts) copy.insert(copy.end(), part.begin(), part.end());
    if (waiting_.empty() && offer(copy)) return;
    if (waiting_.size() < kMaxWaiting) waiting_.push_back(std::move(copy));
  }

 private:
  bool offer(std::vector<u8>& bytes) {
    if (receiver() == nullptr || !link_up()) return true;
    const std::span<u8> parts[] = {bytes};
    NetFrame frame;
    frame.parts = parts;
    return receiver()->receive(frame);
  }
  NetHub& hub_;
  std::deque<std::vector<u8>> waiting_;
};

class NetHub::BackendPort final : public NetReceiver {
 public:
  BackendPort(NetHub& hub, NetBackend& backend) : hub_(hub), backend_(backend) {
    backend_.attach(this);
    backend_.set_receive_offload({});
  }
  ~BackendPort() { backend_.attach(nullptr); }
  bool can_receive() override { return true; }
  bool receive(const NetFrame& frame) override {
    hub_.spread(frame, this);
    return true;
  }
  void link_changed(bool) override {}
  NetBackend& backend() { return backend_; }

 private:
  NetHub& hub_;
  NetBackend& backend_;
};

NetHub::NetHub() = default;
NetHub::~NetHub() = default;

NetBackend& NetHub::add_card_port() {
  cards_.push_back(std::make_unique<CardPort>(*this));
  return *cards_.back();
}

void NetHub::add_backend(NetBackend& backend) { backends_.push_back(std::make_unique<BackendPort>(*this, backend)); }

void NetHub::spread(const NetFrame& frame, const void* from) {
  for (const auto& card : cards_) {
    if (card.get() != from) card->deliver(frame);
  }
  for (const auto& port : backends_) {
    if (port.get() != from) port->backend().send(frame);
  }
}

}  // namespace xm::devices
