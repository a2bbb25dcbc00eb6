// SPDX-License-Identifier: GPL-2.0-or-later
// Segments as a test writes and reads them, and a peer that speaks for the other end.
#pragma once

#include <gtest/gtest.h>

#include <optional>

#include "tests/unit/guest-os-net/host_net.h"

namespace hostnet {

constexpr uint8_t kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32;

struct Segment {
  uint16_t source = 0, dest = 0;
  uint32_t seq = 0, ack = 0;
  uint8_t flags = 0;
  uint16_t window = 65535;
  std::optional<uint16_t> mss;
  std::optional<uint8_t> wscale;
  bool sack_permitted = false;
  std::optional<std::pair<uint32_t, uint32_t>> timestamp;
  std::vector<std::pair<uint32_t, uint32_t>> sack;
  uint16_t urgent = 0;
  Bytes data;
};

inline void put16(Bytes& b, size_t at, uint32_t v) {
  b[at] = static_cast<uint8_t>(v >> 8);
  b[at + 1] = static_cast<uint8_t>(v);
}
inline void put32(Bytes& b, size_t at, uint32_t v) {
  put16(b, at, v >> 16);
  put16(b, at + 2, v & 0xffff);
}
inline uint32_t get16(const Bytes& b, size_t at) { return static_cast<uint32_t>(b[at]) << 8 | b[at + 1]; }
inline uint32_t get32(const Bytes& b, size_t at) { return get16(b, at) << 16 | get16(b, at + 2); }
inline uint16_t internet_checksum(const uint8_t* p, size_t n, uint32_t sum) {
  for (size_t i = 0; i + 1 < n; i += 2) sum += static_cast<uint32_t>(p[i] << 8 | p[i + 1]);
  if ((n & 1) != 0) sum += static_cast<uint32_t>(p[n - 1]) << 8;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}
inline uint32_t pseudo_sum(uint32_t s, uint32_t d, uint8_t protocol, size_t n) {
  return (s >> 16) + (s & 0xffff) + (d >> 16) + (d & 0xffff) + protocol + static_cast<uint32_t>(n);
}
inline Bytes ip_packet(uint32_t source, uint32_t dest, uint8_t protocol, const Bytes& payload, uint16_t id = 1,
                       uint16_t frag = 0, uint8_t ttl = 64) {
  Bytes b(20 + payload.size());
  b[0] = 0x45;
  put16(b, 2, static_cast<uint32_t>(b.size()));
  put16(b, 4, id);
  put16(b, 6, frag);
  b[8] = ttl;
  b[9] = protocol;
  put32(b, 12, source);
  put32(b, 16, dest);
  put16(b, 10, internet_checksum(b.data(), 20, 0));
  std::copy(payload.begin(), payload.end(), b.begin() + 20);
  return b;
}

inline Bytes encode(const Segment& s, uint32_t source, uint32_t dest) {
  Bytes options;
  if (s.mss) options.insert(options.end(), {2, 4, static_cast<uint8_t>(*s.mss >> 8), static_cast<uint8_t>(*s.mss)});
  if (s.sack_permitted) options.insert(options.end(), {1, 1, 4, 2});
  if (s.timestamp) {
    options.insert(options.end(), {1, 1, 8, 10});
    options.resize(options.size() + 8);
    put32(options, options.size() - 8, s.timestamp->first);
    put32(options, options.size() - 4, s.timestamp->second);
  }
  if (s.wscale) options.insert(options.end(), {1, 3, 3, *s.wscale});
  if (!s.sack.empty()) {
    options.insert(options.end(), {1, 1, 5, static_cast<uint8_t>(2 + 8 * s.sack.size())});
    for (const auto& [from, to] : s.sack) {
      options.resize(options.size() + 8);
      put32(options, options.size() - 8, from);
      put32(options, options.size() - 4, to);
    }
  }
  Bytes t(20 + options.size() + s.data.size());
  put16(t, 0, s.source);
  put16(t, 2, s.dest);
  put32(t, 4, s.seq);
  put32(t, 8, s.ack);
  t[12] = static_cast<uint8_t>((20 + options.size()) / 4 << 4);
  t[13] = s.flags;
  put16(t, 14, s.window);
  put16(t, 18, s.urgent);
  std::copy(options.begin(), options.end(), t.begin() + 20);
  std::copy(s.data.begin(), s.data.end(), t.begin() + 20 + static_cast<long>(options.size()));
  put16(t, 16, internet_checksum(t.data(), t.size(), pseudo_sum(source, dest, 6, t.size())));
  return ip_packet(source, dest, 6, t);
}

inline Segment decode(const Bytes& b) {
  const size_t ip = (b[0] & 15u) * 4, header = (b[ip + 12] >> 4) * 4u;
  EXPECT_EQ(internet_checksum(b.data(), ip, 0), 0) << "IP header checksum";
  EXPECT_EQ(internet_checksum(b.data() + ip, b.size() - ip, pseudo_sum(get32(b, 12), get32(b, 16), 6, b.size() - ip)),
            0)
      << "TCP checksum";
  Segment s;
  s.source = static_cast<uint16_t>(get16(b, ip));
  s.dest = static_cast<uint16_t>(get16(b, ip + 2));
  s.seq = get32(b, ip + 4);
  s.ack = get32(b, ip + 8);
  s.flags = b[ip + 13];
  s.window = static_cast<uint16_t>(get16(b, ip + 14));
  s.urgent = static_cast<uint16_t>(get16(b, ip + 18));
  for (size_t at = ip + 20; at < ip + header;) {
    if (b[at] == 0) break;
    if (b[at] == 1) {
      ++at;
      continue;
    }
    if (b[at] == 2) s.mss = static_cast<uint16_t>(get16(b, at + 2));
    if (b[at] == 3) s.wscale = b[at + 2];
    if (b[at] == 4) s.sack_permitted = true;
    if (b[at] == 5)
      for (size_t i = at + 2; i < at + b[at + 1]; i += 8) s.sack.emplace_back(get32(b, i), get32(b, i + 4));
    if (b[at] == 8) s.timestamp = {get32(b, at + 2), get32(b, at + 6)};
    at += b[at + 1];
  }
  s.data.assign(b.begin() + static_cast<long>(ip + header), b.end());
  return s;
}

// The other end of one connection. Sequence numbers in tests count from the initial ones.
class Peer {
 public:
  Peer(int dev, uint32_t mine, uint32_t theirs) : dev_(dev), mine_(mine), theirs_(theirs) {}
  std::vector<Segment> take() {
    std::vector<Segment> out;
    for (const Bytes& b : sent(dev_)) {
      if (b[9] == 6) out.push_back(decode(b));
    }
    return out;
  }
  Segment one(const char* what) {
    const auto all = take();
    EXPECT_EQ(all.size(), 1u) << what;
    return all.empty() ? Segment{} : all[0];
  }
  void expect_nothing(const char* what) { EXPECT_EQ(take().size(), 0u) << what; }
  Segment segment(uint8_t flags, uint32_t seq, uint32_t ack) const {
    Segment s;
    s.source = port;
    s.dest = their_port;
    s.flags = flags;
    s.seq = isn + seq;
    s.ack = their_isn + ack;
    s.window = window;
    return s;
  }
  void give(const Segment& s) { inject(dev_, encode(s, mine_, theirs_)); }
  void ack(uint32_t seq, uint32_t ack_to, std::vector<std::pair<uint32_t, uint32_t>> blocks = {}) {
    Segment s = segment(kAck, seq, ack_to);
    for (auto& [from, to] : blocks) s.sack.emplace_back(their_isn + from, their_isn + to);
    give(s);
  }
  void data(uint32_t seq, uint32_t ack_to, const Bytes& d, uint8_t flags = kAck | kPsh) {
    Segment s = segment(flags, seq, ack_to);
    s.data = d;
    give(s);
  }
  // We connect to it: answers the SYN. The handshake's ACK is taken.
  int accept_from_us(uint16_t mss = 1460, bool sack = true, std::optional<uint8_t> wscale = std::nullopt) {
    const int fd = hostnet::socket(1, 6);
    EXPECT_EQ(hostnet::connect(fd, mine_, port), -115 /* EINPROGRESS */);
    const Segment syn = one("SYN");
    EXPECT_EQ(syn.flags, kSyn);
    their_port = syn.source;
    their_isn = syn.seq;
    Segment s = segment(kSyn | kAck, 0, 1);
    s.mss = mss;
    s.sack_permitted = sack;
    s.wscale = wscale;
    give(s);
    const Segment ack_segment = one("ACK of the handshake");
    EXPECT_EQ(ack_segment.flags, kAck);
    EXPECT_EQ(ack_segment.ack, isn + 1);
    return fd;
  }
  // It connects to our listener: the accepted socket.
  int connect_to(int listener, uint16_t local_port, uint16_t mss = 1460, bool sack = true) {
    their_port = local_port;
    Segment s = segment(kSyn, 0, 0);
    s.ack = 0;
    s.mss = mss;
    s.sack_permitted = sack;
    give(s);
    const Segment answer = one("SYN-ACK");
    EXPECT_EQ(answer.flags, kSyn | kAck);
    EXPECT_EQ(answer.ack, isn + 1);
    their_isn = answer.seq;
    ack(1, 1);
    return hostnet::accept(listener);
  }
  uint16_t port = 4000, their_port = 0;
  uint16_t window = 65535;
  uint32_t isn = 1000000, their_isn = 0;

 private:
  int dev_;
  uint32_t mine_, theirs_;
};

}  // namespace hostnet
