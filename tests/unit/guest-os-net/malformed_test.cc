// SPDX-License-Identifier: GPL-2.0-or-later
// Damaged packets of every kind must neither fault nor leak nor stop the stack. XM_NET_PACKETS=10000000 for a long run;
// the sanitizers' build says more.
#include <algorithm>
#include <cstdlib>
#include <random>

#include "tests/unit/guest-os-net/tcp_script.h"

namespace hostnet {
namespace {

constexpr uint32_t kUs = 0x0a030001, kThem = 0x0a030002;
int dev = 0;

class Malformed : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    start();
    dev = add_device("bad0", kUs, 24);
  }
  std::mt19937 random{11};
  uint32_t below(uint32_t n) { return random() % n; }

  Bytes udp(uint16_t port, size_t n) {
    Bytes b(8 + n);
    put16(b, 0, 5000);
    put16(b, 2, port);
    put16(b, 4, static_cast<uint32_t>(b.size()));
    for (size_t i = 8; i < b.size(); ++i) b[i] = static_cast<uint8_t>(random());
    put16(b, 6, internet_checksum(b.data(), b.size(), pseudo_sum(kThem, kUs, 17, b.size())));
    return b;
  }
  Bytes icmp(uint8_t type, uint8_t code, const Bytes& rest) {
    Bytes b(8 + rest.size());
    b[0] = type;
    b[1] = code;
    put32(b, 4, random());
    std::copy(rest.begin(), rest.end(), b.begin() + 8);
    put16(b, 2, internet_checksum(b.data(), b.size(), 0));
    return b;
  }
  Bytes tcp(uint16_t from, uint16_t to, uint32_t seq, uint32_t ack) {
    Segment s;
    s.source = from;
    s.dest = to;
    s.flags =
        static_cast<uint8_t>(below(4) == 0 ? random() : kAck | (below(8) == 0 ? kFin : 0) | (below(3) == 0 ? kPsh : 0));
    s.seq = seq + below(3) * below(70000) - below(2) * below(3000);
    s.ack = ack + below(2) * below(5000) - below(2) * below(3000);
    s.window = static_cast<uint16_t>(random());
    if (below(2) == 0) s.data.resize(below(1400));
    if (below(5) == 0) s.timestamp = {random(), random()};
    if (below(5) == 0) s.sack.emplace_back(s.ack + below(5000), s.ack + below(9000));
    if (below(9) == 0) s.mss = static_cast<uint16_t>(random());
    if (below(9) == 0) s.urgent = static_cast<uint16_t>(random());
    return encode(s, kThem, kUs);
  }
  void damage(Bytes& b) {
    const uint32_t n = below(4);
    for (uint32_t i = 0; i < n && !b.empty(); ++i)
      b[below(static_cast<uint32_t>(b.size()))] = static_cast<uint8_t>(random());
    if (below(6) == 0 && b.size() > 1) b.resize(1 + below(static_cast<uint32_t>(b.size())));
    if (b.size() >= 20 && below(4) != 0) {  // mostly let the header's sum be right
      const size_t hlen = std::min<size_t>((b[0] & 15u) * 4, b.size());
      if (hlen >= 20) {
        put16(b, 10, 0);
        put16(b, 10, internet_checksum(b.data(), hlen, 0));
      }
    }
  }
};

TEST_F(Malformed, PacketsOfEveryKind) {
  const char* wanted = getenv("XM_NET_PACKETS");
  const long packets = wanted != nullptr ? atol(wanted) : 60000;
  advance_ms(400000);
  const int sockets_before = sockets_alive();
  const size_t skbs_before = skbs_alive();
  const int listener = socket(1, 6), datagram = socket(2, 17), raw = socket(3, 1);
  ASSERT_EQ(bind(listener, kUs, 80), 0);
  ASSERT_EQ(listen(listener, 16), 0);
  ASSERT_EQ(bind(datagram, kUs, 53), 0);
  int stream = -1;
  Peer peer(dev, kThem, kUs);
  uint16_t port = 10000;
  std::vector<int> accepted;
  Bytes got;
  for (long i = 0; i < packets; ++i) {
    if (stream < 0 || info(stream).state != 1) {
      if (stream >= 0) close(stream);
      peer.port = ++port < 10000 ? port = 10000 : port;
      sent(dev);
      advance_ms(3000);
      sent(dev);
      stream = peer.accept_from_us();
    }
    Bytes p;
    switch (below(8)) {
      case 0: p = ip_packet(kThem, kUs, 17, udp(below(2) ? 53 : 99, below(300))); break;
      case 1:
        p = ip_packet(kThem, kUs, 1,
                      icmp(static_cast<uint8_t>(below(20)), static_cast<uint8_t>(below(17)), Bytes(below(100))));
        break;
      case 2: {  // an error about something of ours
        const Bytes quoted = encode(peer.segment(kAck, below(4000), 1), kUs, kThem);
        p = ip_packet(kThem, kUs, 1,
                      icmp(3, static_cast<uint8_t>(below(6)), Bytes(quoted.begin(), quoted.begin() + 28)));
        break;
      }
      case 3: p = tcp(peer.port, peer.their_port, peer.isn + 1, info(stream).snd_nxt); break;
      case 4: p = tcp(static_cast<uint16_t>(20000 + below(50)), 80, random(), random()); break;
      case 5:
        p = ip_packet(kThem, kUs, 17, udp(53, 40), static_cast<uint16_t>(below(4)),
                      static_cast<uint16_t>((below(2) << 13) | below(16)));
        break;
      case 6: p = ip_packet(kThem, kUs, 2, Bytes(below(20))); break;
      default: {
        p.resize(20 + below(100));
        for (auto& byte : p) byte = static_cast<uint8_t>(random());
        p[0] = static_cast<uint8_t>(0x45 + below(3));
        put32(p, 16, kUs);
        break;
      }
    }
    damage(p);
    if (p.empty()) continue;
    inject(dev, p);
    if (below(16) == 0) send(stream, Bytes(below(3000)));
    if (below(8) == 0) recv(stream, 4000, &got);
    if (below(8) == 0) recv(datagram, 4000, &got);
    if (below(8) == 0) recv(raw, 4000, &got);
    if (below(64) == 0) advance_ms(below(300));
    if (const int fd = accept(listener); fd >= 0) accepted.push_back(fd);
    if (accepted.size() > 20) {
      close(accepted.front());
      accepted.erase(accepted.begin());
    }
    sent(dev);
  }
  for (const int fd : accepted) close(fd);
  for (const int fd : {stream, listener, datagram, raw}) close(fd);
  advance_ms(4000000);
  sent(dev);
  EXPECT_EQ(sockets_alive(), sockets_before);
  EXPECT_EQ(skbs_alive(), skbs_before);
  // And it still works.
  peer.port = 9999;
  const int fd = peer.accept_from_us();
  EXPECT_EQ(send(fd, Bytes(10)), 10);
  EXPECT_EQ(peer.one("data").data.size(), 10u);
  peer.ack(1, 11);
  close(fd);
}

}  // namespace
}  // namespace hostnet
