// SPDX-License-Identifier: GPL-2.0-or-later
// TCP at packet level: a script plays the other end of a connection over a fake device, with a clock of its own.
// [RFC 9293], [RFC 6298], [RFC 5681], [RFC 2018], [RFC 8985]
#include "tests/unit/guest-os-net/tcp_script.h"

namespace hostnet {
namespace {

constexpr uint32_t kUs = 0x0a020001, kThem = 0x0a020002;  // 10.2.0.1, 10.2.0.2
enum State {
  ESTABLISHED = 1,
  SYN_SENT,
  SYN_RECV,
  FIN_WAIT1,
  FIN_WAIT2,
  TIME_WAIT,
  CLOSE,
  CLOSE_WAIT,
  LAST_ACK,
  LISTEN,
  CLOSING
};
enum { CA_Open, CA_Disorder, CA_CWR, CA_Recovery, CA_Loss };

Bytes pattern(size_t n, size_t from = 0) {
  Bytes b(n);
  for (size_t i = 0; i < n; ++i) b[i] = static_cast<uint8_t>((from + i) * 7 + (from + i) / 251);
  return b;
}

class TcpTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    start();
    static const int index = add_device("tcp0", kUs, 24);
    dev = index;
  }
  void SetUp() override {
    sent(dev);
    sysctl("tcp_timestamps", 0);
    peer.port = next_port++;
  }
  void TearDown() override {
    sysctl("tcp_timestamps", 1);
    advance_ms(130000);  // what is left ends
    sent(dev);
  }
  static int dev;
  static uint16_t next_port;
  Peer peer{dev, kThem, kUs};
};
int TcpTest::dev = 0;
uint16_t TcpTest::next_port = 4000;

TEST_F(TcpTest, ConnectSendReceiveClose) {
  const int before = sockets_alive();
  const int fd = peer.accept_from_us();
  EXPECT_EQ(info(fd).state, ESTABLISHED);
  EXPECT_EQ(send(fd, pattern(100)), 100);
  const Segment d = peer.one("data");
  EXPECT_EQ(d.seq, peer.their_isn + 1);
  EXPECT_EQ(d.flags, kAck | kPsh);
  EXPECT_EQ(d.data, pattern(100));
  peer.ack(1, 101);
  peer.data(1, 101, pattern(50));
  Bytes got;
  EXPECT_EQ(recv(fd, 1000, &got), 50);
  EXPECT_EQ(got, pattern(50));
  advance_ms(300);
  peer.take();
  close(fd);  // active close: four segments, then TIME-WAIT
  const Segment fin = peer.one("FIN");
  EXPECT_EQ(fin.flags & kFin, kFin);
  EXPECT_EQ(fin.seq, peer.their_isn + 101);
  peer.ack(51, 102);
  peer.give(peer.segment(kFin | kAck, 51, 102));
  const Segment last = peer.one("ACK of the FIN");
  EXPECT_EQ(last.flags, kAck);
  EXPECT_EQ(last.ack, peer.isn + 52);
  EXPECT_EQ(sockets_alive(), before);
  peer.give(peer.segment(kFin | kAck, 51, 102));  // its ACK was lost
  EXPECT_EQ(peer.one("ACK from TIME-WAIT").ack, peer.isn + 52);
}

TEST_F(TcpTest, PassiveCloseWaitsForTheProgram) {
  const int fd = peer.accept_from_us();
  peer.give(peer.segment(kFin | kAck, 1, 1));
  advance_ms(300);
  EXPECT_EQ(peer.one("ACK of the FIN").ack, peer.isn + 2);
  EXPECT_EQ(info(fd).state, CLOSE_WAIT);
  Bytes got;
  EXPECT_EQ(recv(fd, 10, &got), 0);
  EXPECT_EQ(send(fd, pattern(10)), 10);
  EXPECT_EQ(peer.one("data").data.size(), 10u);
  peer.ack(2, 11);
  close(fd);
  EXPECT_EQ(peer.one("FIN").flags & kFin, kFin);
  peer.ack(2, 12);
  peer.expect_nothing("closed");
}

TEST_F(TcpTest, SimultaneousCloseAndOpen) {
  const int fd = peer.accept_from_us();
  shutdown(fd, 1);
  peer.one("FIN");
  peer.give(peer.segment(kFin | kAck, 1, 1));  // does not acknowledge ours
  EXPECT_EQ(info(fd).state, CLOSING);
  peer.take();
  peer.ack(2, 2);
  close(fd);
  // Both send a SYN. [RFC 9293, Figure 7]
  Peer other(dev, kThem, kUs);
  other.port = next_port++;
  const int second = socket(1, 6);
  EXPECT_EQ(connect(second, kThem, other.port), -115);
  const Segment syn = other.one("SYN");
  other.their_port = syn.source;
  other.their_isn = syn.seq;
  Segment theirs = other.segment(kSyn, 0, 0);
  theirs.ack = 0;
  theirs.mss = 1460;
  other.give(theirs);
  EXPECT_EQ(info(second).state, SYN_RECV);
  EXPECT_EQ(other.one("SYN-ACK").flags, kSyn | kAck);
  other.ack(1, 1);
  EXPECT_EQ(info(second).state, ESTABLISHED);
  close(second);
}

TEST_F(TcpTest, RefusedAndUnreachable) {
  const int fd = socket(1, 6);
  EXPECT_EQ(connect(fd, kThem, peer.port), -115);
  const Segment syn = peer.one("SYN");
  peer.their_port = syn.source;
  peer.their_isn = syn.seq;
  Segment rst = peer.segment(kRst | kAck, 0, 1);
  rst.seq = 0;
  peer.give(rst);
  EXPECT_EQ(getsockopt(fd, 1, 4 /* SO_ERROR */), 111);
  close(fd);
  // A segment for nobody is answered with a reset. [RFC 9293, 3.5.2]
  peer.their_port = 9;
  Segment stray = peer.segment(kAck, 7, 0);
  stray.ack = 77;
  peer.give(stray);
  const Segment answer = peer.one("RST");
  EXPECT_EQ(answer.flags, kRst);
  EXPECT_EQ(answer.seq, 77u);
}

TEST_F(TcpTest, SynRetransmissionDoubles) {
  const int fd = socket(1, 6);
  EXPECT_EQ(connect(fd, kThem, peer.port), -115);
  peer.one("SYN");
  for (const double wait : {1000.0, 2000.0, 4000.0, 8000.0}) {
    advance_ms(wait - 1);
    peer.expect_nothing("too early");
    advance_ms(1);
    EXPECT_EQ(peer.one("SYN again").flags, kSyn);
  }
  close(fd);
}

TEST_F(TcpTest, RetransmissionTimeoutBacksOff) {
  sysctl("tcp_early_retrans", 0);  // no probe before the time-out
  const int fd = peer.accept_from_us();
  EXPECT_EQ(send(fd, pattern(100)), 100);
  peer.one("data");
  const uint64_t first = now_ns();
  std::vector<double> times;
  for (int i = 0; i < 4; ++i) {
    while (true) {
      advance_ms(1);
      const auto again = peer.take();
      if (again.empty()) continue;
      EXPECT_EQ(again[0].data, pattern(100));
      times.push_back(static_cast<double>(now_ns() - first) / 1e6);
      break;
    }
  }
  sysctl("tcp_early_retrans", 3);
  EXPECT_NEAR(times[0], 200, 30);  // the smallest RTO: the handshake's round trip took no time
  EXPECT_NEAR(times[1] - times[0], 400, 60);
  EXPECT_NEAR(times[2] - times[1], 800, 60);
  EXPECT_NEAR(times[3] - times[2], 1600, 60);
  EXPECT_EQ(info(fd).ca_state, CA_Loss);
  EXPECT_EQ(info(fd).cwnd, 1u);
  peer.ack(1, 101);
  EXPECT_EQ(info(fd).unacked, 0u);
  close(fd);
}

TEST_F(TcpTest, FastRetransmitAfterThreeDuplicates) {
  const int fd = peer.accept_from_us(1000, false);  // NewReno
  peer.ack(1, 1);                                   // the first ACK after a SYN updates the window: no duplicate
  advance_ms(10);
  EXPECT_EQ(send(fd, pattern(10000)), 10000);
  auto flight = peer.take();
  ASSERT_EQ(flight.size(), 10u);
  for (int i = 0; i < 2; ++i) peer.ack(1, 1);
  peer.expect_nothing("two duplicates");
  peer.ack(1, 1);
  const auto again = peer.take();
  ASSERT_GE(again.size(), 1u);
  EXPECT_EQ(again[0].seq, peer.their_isn + 1);
  EXPECT_EQ(again[0].data, pattern(1000));
  EXPECT_EQ(info(fd).ca_state, CA_Recovery);
  EXPECT_LE(info(fd).ssthresh, 7u);
  peer.ack(1, 2001);  // a partial ACK: the next hole goes at once
  const auto next = peer.take();
  ASSERT_GE(next.size(), 1u);
  EXPECT_EQ(next[0].seq, peer.their_isn + 2001);
  peer.ack(1, 10001);
  EXPECT_EQ(info(fd).unacked, 0u);
  close(fd);
}

TEST_F(TcpTest, SackRetransmitsOnlyHoles) {
  sysctl("tcp_early_retrans", 0);
  const int fd = peer.accept_from_us(1000, true);
  advance_ms(20);
  EXPECT_EQ(send(fd, pattern(10000)), 10000);
  ASSERT_EQ(peer.take().size(), 10u);
  advance_ms(20);
  // Segments 1 and 4 are lost.
  peer.ack(1, 1, {{1001, 2001}});
  peer.ack(1, 1, {{1001, 3001}});
  peer.ack(1, 1, {{4001, 5001}, {1001, 3001}});
  peer.ack(1, 1, {{4001, 10001}, {1001, 3001}});
  advance_ms(10);
  sysctl("tcp_early_retrans", 3);
  auto again = peer.take();
  ASSERT_EQ(again.size(), 2u);
  EXPECT_EQ(again[0].seq - peer.their_isn, 1u);
  EXPECT_EQ(again[0].data, pattern(1000));
  EXPECT_EQ(again[1].seq - peer.their_isn, 3001u);
  EXPECT_EQ(again[1].data, pattern(1000, 3000));
  EXPECT_EQ(info(fd).ca_state, CA_Recovery);
  peer.ack(1, 10001);
  EXPECT_EQ(info(fd).ca_state, CA_Open);
  EXPECT_EQ(info(fd).lost + info(fd).sacked + info(fd).retrans + info(fd).unacked, 0u);
  close(fd);
}

TEST_F(TcpTest, TailLossProbe) {
  const int fd = peer.accept_from_us(1000, true);
  advance_ms(10);
  EXPECT_EQ(send(fd, pattern(3000)), 3000);
  ASSERT_EQ(peer.take().size(), 3u);
  const uint64_t probes = counter("TCPLossProbes");
  advance_ms(150);
  const auto probe = peer.take();
  ASSERT_GE(probe.size(), 1u);
  EXPECT_EQ(probe[0].seq - peer.their_isn, 2001u);  // the last one
  EXPECT_EQ(counter("TCPLossProbes"), probes + 1);
  peer.ack(1, 1, {{2001, 3001}});  // it arrived: the others are lost
  advance_ms(20);
  const auto repair = peer.take();
  ASSERT_GE(repair.size(), 1u);
  EXPECT_EQ(repair[0].seq - peer.their_isn, 1u);
  peer.ack(1, 3001);
  close(fd);
}

TEST_F(TcpTest, OutOfOrderDataIsKeptAndReported) {
  const int fd = peer.accept_from_us();
  peer.data(1001, 1, pattern(1000, 1000));
  const Segment dup = peer.one("duplicate ACK");
  EXPECT_EQ(dup.ack, peer.isn + 1);
  ASSERT_EQ(dup.sack.size(), 1u);
  EXPECT_EQ(dup.sack[0], std::make_pair(peer.isn + 1001, peer.isn + 2001));
  peer.data(3001, 1, pattern(1000, 3000));
  const Segment second = peer.one("second");
  ASSERT_EQ(second.sack.size(), 2u);
  EXPECT_EQ(second.sack[0].first, peer.isn + 3001);  // the newest first
  peer.data(1001, 1, pattern(1000, 1000));           // once more: D-SACK
  const Segment third = peer.one("D-SACK");
  ASSERT_GE(third.sack.size(), 2u);
  EXPECT_EQ(third.sack[0], std::make_pair(peer.isn + 1001, peer.isn + 2001));
  Bytes got;
  EXPECT_EQ(recv(fd, 5000, &got), -11);
  peer.data(1, 1, pattern(1000));
  EXPECT_EQ(recv(fd, 5000, &got), 2000);
  EXPECT_EQ(got, pattern(2000));
  peer.data(2001, 1, pattern(1500, 2000));  // overlaps what is kept
  EXPECT_EQ(recv(fd, 5000, &got), 2000);
  EXPECT_EQ(got, pattern(2000, 2000));
  advance_ms(300);
  const auto acks = peer.take();
  ASSERT_FALSE(acks.empty());
  EXPECT_EQ(acks.back().ack, peer.isn + 4001);
  for (const auto& block : acks.back().sack) EXPECT_LE(block.second, peer.isn + 4001);  // only the overlap, as D-SACK
  close(fd);
}

TEST_F(TcpTest, DelayedAckAndEverySecondSegment) {
  const int fd = peer.accept_from_us();
  for (int i = 0; i < 40; ++i) {  // out of the quick start
    peer.data(1 + 1000u * static_cast<uint32_t>(i), 1, pattern(1000));
    Bytes got;
    recv(fd, 2000, &got);
  }
  advance_ms(60);
  peer.take();
  peer.data(40001, 1, pattern(1000));
  peer.expect_nothing("one segment waits");
  advance_ms(250);
  EXPECT_EQ(peer.one("delayed ACK").ack, peer.isn + 41001);
  close(fd);
}

TEST_F(TcpTest, NagleHoldsSmallSegments) {
  const int fd = peer.accept_from_us();
  EXPECT_EQ(send(fd, pattern(10)), 10);
  peer.one("first");
  EXPECT_EQ(send(fd, pattern(10, 10)), 10);
  EXPECT_EQ(send(fd, pattern(10, 20)), 10);
  peer.expect_nothing("held");
  peer.ack(1, 11);
  EXPECT_EQ(peer.one("both").data, pattern(20, 10));
  peer.ack(1, 31);
  setsockopt(fd, 6, 1, 1);  // TCP_NODELAY
  EXPECT_EQ(send(fd, pattern(10)), 10);
  EXPECT_EQ(send(fd, pattern(10)), 10);
  EXPECT_EQ(peer.take().size(), 2u);
  peer.ack(1, 51);
  setsockopt(fd, 6, 3, 1);  // TCP_CORK
  EXPECT_EQ(send(fd, pattern(10)), 10);
  peer.expect_nothing("corked");
  setsockopt(fd, 6, 3, 0);
  EXPECT_EQ(peer.one("uncorked").data.size(), 10u);
  peer.ack(1, 61);
  close(fd);
}

TEST_F(TcpTest, ZeroWindowIsProbed) {
  peer.window = 1000;
  const int fd = peer.accept_from_us();
  setsockopt(fd, 6, 1, 1);  // TCP_NODELAY: segments are half a window and less than the MSS later
  EXPECT_EQ(send(fd, pattern(3000)), 3000);
  auto first = peer.take();
  size_t bytes = 0;
  for (const Segment& s : first) bytes += s.data.size();
  EXPECT_EQ(bytes, 1000u);
  peer.window = 0;
  peer.ack(1, 1001);
  peer.expect_nothing("closed window");
  advance_ms(1000);
  const auto probes = peer.take();
  ASSERT_GE(probes.size(), 1u);
  EXPECT_EQ(probes[0].seq, peer.their_isn + 1000);  // an old byte: it must be answered
  EXPECT_TRUE(probes[0].data.empty());
  peer.window = 65535;
  peer.ack(1, 1001);
  bytes = 0;
  for (const Segment& s : peer.take()) bytes += s.data.size();
  EXPECT_EQ(bytes, 2000u);
  peer.ack(1, 3001);
  close(fd);
}

TEST_F(TcpTest, WindowClosesAndOpens) {
  const int listener = socket(1, 6);
  const uint16_t port = next_port++;
  EXPECT_EQ(bind(listener, kUs, port), 0);
  setsockopt(listener, 1, 8, 4096);  // SO_RCVBUF
  EXPECT_EQ(listen(listener, 5), 0);
  const int fd = peer.connect_to(listener, port);
  ASSERT_GE(fd, 0);
  uint32_t seq = 1, window = 65535;
  for (int i = 0; i < 40 && window >= 500; ++i) {
    peer.data(seq, 1, pattern(500));
    seq += 500;
    advance_ms(250);
    for (const Segment& s : peer.take()) {
      window = s.window;
      seq = s.ack - peer.isn;
    }
  }
  EXPECT_LT(window, 500u);
  Bytes got;
  size_t total = 0;
  while (recv(fd, 300, &got) > 0) total += got.size();
  EXPECT_EQ(total, seq - 1);
  advance_ms(250);
  const auto opened = peer.take();
  ASSERT_FALSE(opened.empty());
  EXPECT_GT(opened.back().window, 500);
  close(fd);
  close(listener);
}

TEST_F(TcpTest, ResetsMustMatchTheWindowEdge) {  // [RFC 5961, 3]
  const int fd = peer.accept_from_us();
  peer.give(peer.segment(kRst, 100, 1));
  EXPECT_EQ(info(fd).state, ESTABLISHED);
  EXPECT_EQ(peer.one("challenge").ack, peer.isn + 1);
  advance_ms(1000);
  Segment syn = peer.segment(kSyn, 1, 0);
  peer.give(syn);
  EXPECT_EQ(info(fd).state, ESTABLISHED);
  EXPECT_EQ(peer.one("challenge").flags, kAck);
  peer.give(peer.segment(kRst, 1, 1));
  EXPECT_EQ(info(fd).state, CLOSE);
  Bytes got;
  EXPECT_EQ(recv(fd, 10, &got), -104);
  close(fd);
}

TEST_F(TcpTest, UnreadDataMakesCloseAReset) {  // [RFC 2525, 2.17]
  const int fd = peer.accept_from_us();
  peer.data(1, 1, pattern(10));
  peer.take();
  close(fd);
  const auto out = peer.take();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].flags & kRst, kRst);
}

TEST_F(TcpTest, UrgentData) {
  const int fd = peer.accept_from_us();
  EXPECT_EQ(send(fd, Bytes{'a', 'b', 'c'}, 1 /* MSG_OOB */), 3);
  const Segment out = peer.one("urgent");
  EXPECT_EQ(out.flags & kUrg, kUrg);
  EXPECT_EQ(out.urgent, 3);
  peer.ack(1, 4);
  Segment in = peer.segment(kAck | kUrg | kPsh, 1, 4);
  in.data = {'x', 'y', 'z'};
  in.urgent = 2;
  peer.give(in);
  EXPECT_NE(poll(fd) & 2, 0u);  // POLLPRI
  Bytes got;
  EXPECT_EQ(recv(fd, 10, &got), 1);
  EXPECT_EQ(got, Bytes{'x'});
  EXPECT_EQ(recv(fd, 1, &got, 1 /* MSG_OOB */), 1);
  EXPECT_EQ(got, Bytes{'y'});
  EXPECT_EQ(recv(fd, 10, &got), 1);
  EXPECT_EQ(got, Bytes{'z'});
  advance_ms(300);
  close(fd);
}

TEST_F(TcpTest, KeepAliveFindsADeadPeer) {
  const int fd = peer.accept_from_us();
  setsockopt(fd, 6, 4, 10);  // TCP_KEEPIDLE
  setsockopt(fd, 6, 5, 2);   // TCP_KEEPINTVL
  setsockopt(fd, 6, 6, 3);   // TCP_KEEPCNT
  setsockopt(fd, 1, 9, 1);   // SO_KEEPALIVE
  advance_ms(9900);
  peer.expect_nothing("idle");
  advance_ms(200);
  const Segment probe = peer.one("probe");
  EXPECT_EQ(probe.seq, peer.their_isn);
  peer.ack(1, 1);
  advance_ms(10500);
  peer.one("probe after the answer");
  advance_ms(8000);
  EXPECT_EQ(info(fd).state, CLOSE);
  EXPECT_EQ(getsockopt(fd, 1, 4), 110);  // ETIMEDOUT
  close(fd);
}

TEST_F(TcpTest, WindowScaleAndTimestamps) {
  sysctl("tcp_timestamps", 1);
  const int fd = socket(1, 6);
  EXPECT_EQ(connect(fd, kThem, peer.port), -115);
  const Segment syn = peer.one("SYN");
  ASSERT_TRUE(syn.timestamp.has_value());
  ASSERT_TRUE(syn.wscale.has_value());
  EXPECT_TRUE(syn.sack_permitted);
  EXPECT_EQ(syn.mss, 1460);
  peer.their_port = syn.source;
  peer.their_isn = syn.seq;
  advance_ms(30);
  Segment s = peer.segment(kSyn | kAck, 0, 1);
  s.mss = 1460;
  s.wscale = 7;
  s.timestamp = {500, syn.timestamp->first};
  s.window = 1000;
  peer.give(s);
  const Segment ack = peer.one("ACK");
  ASSERT_TRUE(ack.timestamp.has_value());
  EXPECT_EQ(ack.timestamp->second, 500u);
  EXPECT_EQ(info(fd).snd_wnd, 1000u);  // not scaled in a SYN
  EXPECT_NEAR(info(fd).rtt_us, 30000, 3000);
  Segment update = peer.segment(kAck, 1, 1);
  update.timestamp = {501, ack.timestamp->first};
  update.window = 1000;
  peer.give(update);
  EXPECT_EQ(info(fd).snd_wnd, 128000u);
  // PAWS: an old timestamp [RFC 7323, 5]
  Segment old = peer.segment(kAck | kPsh, 1, 1);
  old.timestamp = {400, ack.timestamp->first};
  old.data = pattern(10);
  peer.give(old);
  Bytes got;
  EXPECT_EQ(recv(fd, 10, &got), -11);
  EXPECT_EQ(peer.one("answer").flags, kAck);
  old.timestamp = {502, ack.timestamp->first};
  peer.give(old);
  EXPECT_EQ(recv(fd, 10, &got), 10);
  close(fd);
}

TEST_F(TcpTest, ListenBacklogAndSynCookies) {
  const int listener = socket(1, 6);
  const uint16_t port = next_port++;
  EXPECT_EQ(bind(listener, 0, port), 0);
  EXPECT_EQ(listen(listener, 2), 0);
  const uint64_t cookies = counter("SyncookiesSent"), received = counter("SyncookiesRecv");
  Peer last(dev, kThem, kUs);
  for (int i = 0; i < 4; ++i) {  // SYNs without a third segment
    last.port = next_port++;
    last.their_port = port;
    Segment syn = last.segment(kSyn, 0, 0);
    syn.ack = 0;
    syn.mss = 1460;
    last.give(syn);
    const Segment answer = last.one("SYN-ACK");
    EXPECT_EQ(answer.flags, kSyn | kAck);
    last.their_isn = answer.seq;
  }
  EXPECT_EQ(counter("SyncookiesSent"), cookies + 2);
  last.ack(1, 1);  // the cookie comes back
  const int fd = accept(listener);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(counter("SyncookiesRecv"), received + 1);
  last.data(1, 1, pattern(20));
  Bytes got;
  EXPECT_EQ(recv(fd, 100, &got), 20);
  Peer liar(dev, kThem, kUs);  // a cookie that is none
  liar.port = next_port++;
  liar.their_port = port;
  liar.their_isn = 12345;
  last.take();
  liar.ack(1, 1);
  EXPECT_EQ(liar.one("RST").flags & kRst, kRst);
  close(fd);
  close(listener);
}

TEST_F(TcpTest, PathMtuShrinksSegments) {
  const int fd = peer.accept_from_us();
  EXPECT_EQ(send(fd, pattern(2920)), 2920);
  const auto raw = sent(dev);
  ASSERT_EQ(raw.size(), 2u);
  // ICMP: fragmentation needed, next-hop MTU 1000 [RFC 1191]
  Bytes icmp(8 + 28);
  icmp[0] = 3;
  icmp[1] = 4;
  put16(icmp, 6, 1000);
  std::copy(raw[0].begin(), raw[0].begin() + 28, icmp.begin() + 8);
  put16(icmp, 2, internet_checksum(icmp.data(), icmp.size(), 0));
  inject(dev, ip_packet(0x0a0200fe, kUs, 1, icmp));
  const auto again = peer.take();
  ASSERT_GE(again.size(), 1u);
  for (const Segment& s : again) EXPECT_LE(s.data.size(), 960u);
  EXPECT_EQ(again[0].seq, peer.their_isn + 1);
  close(fd);
}

TEST_F(TcpTest, ReusePortSpreadsConnections) {
  const uint16_t port = next_port++;
  int listeners[2];
  for (int& l : listeners) {
    l = socket(1, 6);
    setsockopt(l, 1, 15, 1);
    EXPECT_EQ(bind(l, kUs, port), 0);
    EXPECT_EQ(listen(l, 64), 0);
  }
  int count[2] = {0, 0};
  for (int i = 0; i < 40; ++i) {
    Peer p(dev, kThem, kUs);
    p.port = next_port++;
    const int fd = p.connect_to(listeners[0], port);
    if (fd >= 0) ++count[0];
  }
  while (accept(listeners[1]) >= 0) ++count[1];
  EXPECT_EQ(count[0] + count[1], 40);
  EXPECT_GT(count[0], 5);
  EXPECT_GT(count[1], 5);
  for (const int l : listeners) close(l);
  const int other = socket(1, 6);
  EXPECT_EQ(bind(other, kUs, 2999), 0);
  const int clash = socket(1, 6);
  EXPECT_EQ(bind(clash, 0, 2999), -98);
  close(other);
  close(clash);
}

TEST_F(TcpTest, NothingLeaks) {
  advance_ms(200000);
  const size_t skbs = skbs_alive();
  const int socks = sockets_alive();
  for (int i = 0; i < 20; ++i) {
    peer.port = next_port++;
    const int fd = peer.accept_from_us();
    send(fd, pattern(5000));
    peer.take();
    if (i % 2 == 0) peer.ack(1, 5001);
    peer.data(2001, 1, pattern(100));
    close(fd);
    peer.give(peer.segment(kRst, 1, 1));
    peer.take();
  }
  advance_ms(2000000);
  EXPECT_EQ(skbs_alive(), skbs);
  EXPECT_EQ(sockets_alive(), socks);
}

}  // namespace
}  // namespace hostnet
