// SPDX-License-Identifier: GPL-2.0-or-later
// The virtual LAN as a guest sees it: ARP and DHCP answers, a connection through hostfwd.
#include "emu/host/user_net.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

namespace xm::host {
namespace {

using Bytes = std::vector<u8>;

struct Card final : devices::NetReceiver {
  bool can_receive() override { return !full; }
  bool receive(const devices::NetFrame& frame) override {
    if (full) return false;
    Bytes flat;
    for (const std::span<u8> part : frame.parts) flat.insert(flat.end(), part.begin(), part.end());
    frames.push_back(flat);
    return true;
  }
  void link_changed(bool) override {}
  std::vector<Bytes> frames;
  bool full = false;
};

struct UserNetTest : ::testing::Test {
  void start(UserNetOptions options = {}) {
    auto result = UserNet::create(options, *loop);
    ASSERT_TRUE(result.ok()) << result.error().message;
    net = std::move(result).value();
    net->attach(&card);
  }
  void send(Bytes bytes) {
    const std::span<u8> part(bytes);
    net->send({{}, {&part, 1}});
  }
  // An ARP packet from the guest, 10.0.2.15 at 52:54:00:12:34:56.
  static Bytes arp(u8 operation, u8 target) {
    Bytes bytes{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x52, 0x54,      0,    0x12, 0x34, 0x56, 8,    6,
                0,    1,    8,    0,    6,    4,    0,    operation, 0x52, 0x54, 0,    0x12, 0x34, 0x56,
                10,   0,    2,    15,   0,    0,    0,    0,         0,    0,    10,   0,    2,    target};
    bytes.resize(60);
    return bytes;
  }
  std::unique_ptr<EventLoop> loop = EventLoop::create().value();
  std::mutex lock;
  Card card;
  std::unique_ptr<UserNet> net;
};

TEST_F(UserNetTest, AnswersArpForTheRouter) {
  start();
  send(arp(1, 2));
  ASSERT_EQ(card.frames.size(), 1u);
  EXPECT_EQ(card.frames[0][21], 2);
  EXPECT_EQ((Bytes(card.frames[0].begin() + 28, card.frames[0].begin() + 32)), (Bytes{10, 0, 2, 2}));
}

TEST_F(UserNetTest, FullCardGetsItsFramesLater) {
  start();
  card.full = true;
  send(arp(1, 2));
  send(arp(1, 3));
  EXPECT_TRUE(card.frames.empty());
  card.full = false;
  net->receiver_ready();
  EXPECT_EQ(card.frames.size(), 2u);
}

TEST_F(UserNetTest, HostForwardReachesTheGuest) {
  // The host's kernel picks a free port for us first.
  const int probe = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(probe, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  socklen_t length = sizeof address;
  getsockname(probe, reinterpret_cast<sockaddr*>(&address), &length);
  close(probe);
  UserNetOptions options;
  options.forwards.push_back({.udp = false,
                              .host_address = "127.0.0.1",
                              .host_port = ntohs(address.sin_port),
                              .guest_address = "",
                              .guest_port = 22});
  start(options);
  // A second network cannot take the same port.
  auto second = UserNet::create(options, *loop);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message.find("port is in use"), std::string::npos) << second.error().message;
  const int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address);
  const i64 end = EventLoop::now_ns() + 5'000'000'000;
  bool syn = false, answered = false;
  while (!syn && EventLoop::now_ns() < end) {
    loop->run_once(100'000'000, lock);
    for (const Bytes& frame : card.frames) {
      if (frame.size() >= 42 && frame[12] == 8 && frame[13] == 6 && frame[21] == 1 && !answered) {
        answered = true;
        send(arp(2, 2));  // slirp asks who has 10.0.2.15
      }
      if (frame.size() >= 54 && frame[12] == 8 && frame[13] == 0 && frame[23] == 6) {
        syn = frame[37] == 22 && (frame[47] & 2) != 0;
      }
    }
    if (answered && !syn) card.frames.clear();
  }
  EXPECT_TRUE(syn);
  EXPECT_NE(net->connections().find("HOST_FORWARD"), std::string::npos);
  close(client);
}

TEST_F(UserNetTest, BadOptionsAreNamed) {
  const auto message = [&](UserNetOptions options) {
    auto result = UserNet::create(options, *loop);
    return result.ok() ? std::string() : result.error().message;
  };
  UserNetOptions options;
  options.network = "10.0.2/99";
  EXPECT_NE(message(options).find("net=10.0.2/99"), std::string::npos);
  options = {};
  options.dns = "192.168.1.1";
  EXPECT_NE(message(options).find("dns=192.168.1.1"), std::string::npos);
}

TEST(HostForward, ParsesQemusForm) {
  const auto forward = parse_host_forward("tcp::2222-:22").value();
  EXPECT_EQ(forward.host_port, 2222);
  EXPECT_EQ(forward.guest_port, 22);
  const auto udp = parse_host_forward("udp:127.0.0.1:53-10.0.2.16:5353").value();
  EXPECT_TRUE(udp.udp);
  EXPECT_EQ(udp.guest_address, "10.0.2.16");
  for (const char* bad :
       {"", "tcp", "tcp::x-:22", "tcp::1-", "sctp::1-:2", "tcp::70000-:22", "tcp::22-:0", "tcp:2222-22"}) {
    EXPECT_FALSE(parse_host_forward(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace xm::host
