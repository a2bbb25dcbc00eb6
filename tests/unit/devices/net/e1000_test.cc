// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/net/e1000.h"

#include <gtest/gtest.h>

#include <random>

#include "devices/net/checksum.h"
#include "tests/unit/devices/pci/pci_bench.h"

namespace xm::devices {
namespace {

using namespace e1000;
using Bytes = std::vector<u8>;

constexpr u64 kRegisters = 0xE0000000, kTxRing = 0x10000, kRxRing = 0x20000, kBuffers = 0x100000;
constexpr u32 kRing = 8;

class FakeNet final : public NetBackend {
 public:
  std::string description() const override { return "fake"; }
  void send(const NetFrame& frame) override {
    Bytes flat;
    for (const std::span<u8> part : frame.parts) flat.insert(flat.end(), part.begin(), part.end());
    sent.push_back(flat);
  }
  void receiver_ready() override { ready++; }
  bool deliver(Bytes bytes) {
    const std::span<u8> part(bytes);
    return receiver()->receive({{}, {&part, 1}});
  }
  std::vector<Bytes> sent;
  unsigned ready = 0;
};

struct E1000Test : ::testing::Test, testing::PciBench {
  E1000Test() {
    pci.attach(3, 0, nic);
    nic.reset();
    write_config(3, 0x10, kRegisters, 4);
    write_config(3, 0x14, 0xC000, 4);
    write_config(3, 4, 7, 2);
    set(kCtrl, kCtrlSlu);
    get(kIcr);
    set(kTdbal, kTxRing);
    set(kTdlen, kRing * 16);
    set(kTctl, kTctlEnable);
    set(kRdbal, kRxRing);
    set(kRdlen, kRing * 16);
    for (u32 i = 0; i < kRing; i++) guest.store(GuestPhys{kRxRing + 16 * i}, u64{kBuffers + 0x80000 + i * 0x1000});
    set(kRctl, kRctlEnable | kRctlBroadcast | kRctlStripCrc);
    set(kRdt, kRing - 1);
  }
  u32 get(u32 offset) { return static_cast<u32>(read_memory(kRegisters + offset, 4)); }
  void set(u32 offset, u32 value) { write_memory(kRegisters + offset, value, 4); }
  void put(const TxDescriptor& descriptor) {
    guest.store(GuestPhys{kTxRing + 16 * tail}, descriptor);
    tail = (tail + 1) % kRing;
  }
  void transmit(const Bytes& bytes, u32 command, u32 status = 0, u64 at = kBuffers) {
    guest.write(GuestPhys{at}, bytes);
    put({at, static_cast<u32>(bytes.size()) | command, status});
  }
  Bytes frame(std::size_t size, u8 first = 0x52) {
    Bytes bytes(size, 0x11);
    const u8 to[] = {first, 0x54, 0, 1, 2, 3};
    std::copy(std::begin(to), std::end(to), bytes.begin());
    return bytes;
  }
  RxDescriptor received(u32 index) { return guest.load<RxDescriptor>(GuestPhys{kRxRing + 16 * index}); }
  u16 phy(unsigned index) {
    set(kMdic, kMdicRead | 1 << 21 | index << 16);
    return static_cast<u16>(get(kMdic));
  }

  bus::ManualClock source;
  bus::VirtualClock clock{source};
  FakeNet net;
  E1000 nic{environment, clock, net, {0x52, 0x54, 0, 1, 2, 3}};
  u32 tail = 0;
};

TEST_F(E1000Test, EepromHoldsAddressAndChecksum) {
  u16 sum = 0;
  for (u32 i = 0; i < 64; i++) {
    set(kEerd, kEerdStart | i << 8);
    sum = static_cast<u16>(sum + (get(kEerd) >> 16));
    if (i == 0) {
      EXPECT_EQ(get(kEerd) >> 16, 0x5452u);
    }
  }
  EXPECT_EQ(sum, 0xBABA);
  EXPECT_EQ(get(kRal), 0x01005452u);
  EXPECT_EQ(get(kRal + 4), 0x80000302u);
}

TEST_F(E1000Test, EepromReadsByMicrowire) {
  const auto pins = [&](bool clock_high, bool data) {
    set(kEecd, kEecdRequest | kEecdSelect | (clock_high ? kEecdClock : 0) | (data ? kEecdIn : 0));
  };
  set(kEecd, kEecdRequest);
  EXPECT_TRUE(get(kEecd) & kEecdGrant);
  for (const int data : {1, 1, 0, 0, 0, 0, 0, 0, 1}) {  // READ word 1
    pins(false, data != 0);
    pins(true, data != 0);
  }
  u32 word = 0;
  for (int i = 0; i < 16; i++) {
    pins(false, false);
    pins(true, false);
    word = word << 1 | ((get(kEecd) & kEecdOut) != 0 ? 1 : 0);
  }
  EXPECT_EQ(word, 0x0100u);
}

TEST_F(E1000Test, LinkIsSeenByMacAndPhy) {
  EXPECT_TRUE(get(kStatus) & kStatusLinkUp);
  EXPECT_EQ(phy(kPhyId1), 0x0141);
  EXPECT_TRUE(phy(kPhyStatus) & kPhyStatusLink);
  net.set_link(false);
  EXPECT_FALSE(get(kStatus) & kStatusLinkUp);
  EXPECT_FALSE(phy(kPhyStatus) & kPhyStatusLink);
  EXPECT_TRUE(get(kIcr) & kLsc);
}

TEST_F(E1000Test, SendsLegacyDescriptors) {
  set(kIms, kTxdw);
  transmit(frame(40), kTxReport);
  transmit(Bytes(30, 0x22), kTxEop | kTxReport, 0, kBuffers + 0x1000);
  set(kTdt, tail);
  ASSERT_EQ(net.sent.size(), 1u);
  EXPECT_EQ(net.sent[0].size(), 70u);
  EXPECT_EQ(net.sent[0][69], 0x22);
  EXPECT_EQ(get(kTdh), 2u);
  EXPECT_EQ(guest.load<u32>(GuestPhys{kTxRing + 12}) & 1, 1u);
  EXPECT_TRUE(pirq.level(2));
  EXPECT_EQ(get(kIcr) & 0x80000003, 0x80000003u);
  EXPECT_FALSE(pirq.level(2));
}

TEST_F(E1000Test, InsertsChecksums) {
  Bytes bytes = frame(60);
  bytes[50] = bytes[51] = 0;
  transmit(bytes, kTxEop | kTxInsertChecksum | 50 << 16, 34 << 8);
  set(kTdt, tail);
  ASSERT_EQ(net.sent.size(), 1u);
  EXPECT_EQ(internet_sum(std::span(net.sent[0]).subspan(34)), 0xFFFF);
}

TEST_F(E1000Test, SegmentsTcp) {
  Bytes bytes = frame(54 + 2500);
  bytes[14] = 0x45;
  store_be16(&bytes[16], 0);
  store_be16(&bytes[18], 7);  // identification
  bytes[24] = bytes[25] = 0;
  store_le(&bytes[38], byte_swap(u32{1000}));
  bytes[47] = 0x19;  // ACK, PSH, FIN
  // The driver's pseudo-header sum: addresses and protocol, no length.
  store_be16(&bytes[50], internet_sum(std::span(bytes).subspan(26, 8)) + 6u);
  put({u64{14} | u64{24} << 8 | u64{33} << 16 | u64{34} << 32 | u64{50} << 40, kTxExtended | 0x07000000u | 2500,
       u32{54} << 8 | u32{1000} << 16});
  transmit(bytes, kTxExtended | kTxTypeData | kTxEop | kTxTse | kTxReport, kPoptsIp | kPoptsTcp);
  set(kTdt, tail);
  ASSERT_EQ(net.sent.size(), 3u);
  for (std::size_t i = 0; i < 3; i++) {
    Bytes& segment = net.sent[i];
    const std::size_t payload = i < 2 ? 1000 : 500;
    ASSERT_EQ(segment.size(), 54 + payload);
    EXPECT_EQ(load_be16(&segment[16]), 40 + payload);
    EXPECT_EQ(load_be16(&segment[18]), 7 + i);
    EXPECT_EQ(internet_sum(std::span(segment).subspan(14, 20)), 0xFFFF);
    EXPECT_EQ(byte_swap(load_le<u32>(&segment[38])), 1000 + 1000 * i);
    EXPECT_EQ(segment[47], i < 2 ? 0x10 : 0x19);
    u32 sum = internet_sum(std::span(segment).subspan(34)) + internet_sum(std::span(segment).subspan(26, 8)) + 6u +
              static_cast<u32>(20 + payload);
    while (sum >> 16 != 0) sum = (sum & 0xFFFF) + (sum >> 16);
    EXPECT_EQ(sum, 0xFFFFu) << i;
  }
}

TEST_F(E1000Test, ReceivesAndFilters) {
  set(kIms, kRxt0);
  EXPECT_TRUE(net.deliver(frame(100)));
  EXPECT_EQ(received(0).status & 3, 3);
  EXPECT_EQ(received(0).length, 100);
  EXPECT_EQ(guest.load<u8>(GuestPhys{kBuffers + 0x80000}), 0x52);
  EXPECT_TRUE(pirq.level(2));
  net.deliver(frame(100, 0x02));  // not for us
  EXPECT_EQ(get(kRdh), 1u);
  net.deliver(Bytes(64, 0xFF));
  EXPECT_EQ(get(kRdh), 2u);
  net.deliver(frame(30));
  EXPECT_EQ(received(2).length, 60);
  net.deliver(frame(1600));  // too long without LPE
  EXPECT_EQ(get(kRdh), 3u);
  net.deliver(frame(80, 0x53));  // multicast, not in the table
  EXPECT_EQ(get(kRdh), 3u);
  const u32 hash = (0x0302 >> 4) & 0xFFF;
  set(kMta + 4 * (hash >> 5), 1u << (hash & 31));
  net.deliver(frame(80, 0x53));
  EXPECT_EQ(get(kRdh), 4u);
}

TEST_F(E1000Test, LongFramesSpanBuffersAndFullRingsWait) {
  set(kRctl, kRctlEnable | kRctlLong | kRctlUnicastPromiscuous | kRctlStripCrc | 3 << 16);  // 256-byte buffers
  EXPECT_TRUE(net.deliver(frame(1000)));
  EXPECT_EQ(get(kRdh), 4u);
  EXPECT_EQ(received(0).status & 3, 1);
  EXPECT_EQ(received(3).status & 3, 3);
  EXPECT_EQ(received(3).length, 1000 - 3 * 256);
  EXPECT_FALSE(net.deliver(frame(1000)));
  EXPECT_TRUE(get(kIcr) & kRxo);
  const unsigned before = net.ready;
  set(kRdt, 3);
  EXPECT_EQ(net.ready, before + 1);
  EXPECT_TRUE(net.deliver(frame(1000)));
}

TEST_F(E1000Test, VlanTagsAreStrippedAndInserted) {
  set(kCtrl, kCtrlSlu | kCtrlVme);
  Bytes bytes = frame(100);
  store_be16(&bytes[12], 0x8100);
  store_be16(&bytes[14], 0x0005);
  net.deliver(bytes);
  EXPECT_EQ(received(0).length, 96);
  EXPECT_EQ(received(0).special, 5);
  EXPECT_TRUE(received(0).status & kRxVlan);
  transmit(frame(60), kTxEop | kTxVlan, u32{7} << 16);
  set(kTdt, tail);
  ASSERT_EQ(net.sent.size(), 1u);
  EXPECT_EQ(load_be16(&net.sent[0][12]), 0x8100);
  EXPECT_EQ(load_be16(&net.sent[0][14]), 7);
}

TEST_F(E1000Test, InterruptsAreThrottled) {
  set(kItr, 4000);  // about 1 ms
  set(kIms, kTxqe);
  set(kIcs, kTxqe);
  EXPECT_TRUE(pirq.level(2));
  get(kIcr);
  set(kIcs, kTxqe);
  EXPECT_FALSE(pirq.level(2));
  source.advance(2'000'000);
  clock.run_due();
  EXPECT_TRUE(pirq.level(2));
}

TEST_F(E1000Test, IoWindowReachesTheRegisters) {
  ports.write(Port{0xC000}, kRal, 4);
  EXPECT_EQ(ports.read(Port{0xC004}, 4), 0x01005452u);
}

TEST_F(E1000Test, RandomRegistersAndDescriptorsAreHarmless) {
  std::mt19937 random(11);
  for (int i = 0; i < 20000; i++) {
    const u32 offset = random() % 3 == 0
                           ? static_cast<u32>(random() % 0x6000) & ~3u
                           : std::array<u32, 8>{kTdt, kRdt, kTdh, kTdlen, kRdlen, kTctl, kRctl, kTdbal}[random() % 8];
    u32 value = random() % 2 != 0 ? static_cast<u32>(random() % 64) : static_cast<u32>(random());
    if (offset == kTdbal || offset == kRdbal) value = kTxRing;
    set(offset, value);
    if (i % 16 == 0) {
      for (u32 d = 0; d < 8; d++) {
        guest.store(GuestPhys{kTxRing + 16 * d},
                    TxDescriptor{random() % 2 != 0 ? kBuffers : u64{random()} << 16 | random(),
                                 static_cast<u32>(random()), static_cast<u32>(random())});
      }
    }
    if (i % 64 == 0) net.deliver(frame(60 + random() % 1500));
    net.sent.clear();
  }
}

}  // namespace
}  // namespace xm::devices
