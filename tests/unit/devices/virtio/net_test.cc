// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/virtio/net.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/unit/devices/virtio/virtio_bench.h"

namespace xm::devices {
namespace {

constexpr u64 kVersion1 = virtio_feature::kVersion1;
constexpr u64 kMergeable = 1 << 15, kCtrl = 1 << 17 | 1 << 18 | 1 << 23;

class FakeNet final : public NetBackend {
 public:
  std::string description() const override { return "fake"; }
  void send(const NetFrame& frame) override {
    headers.push_back(frame.header);
    std::vector<u8> flat;
    for (const std::span<u8> part : frame.parts) flat.insert(flat.end(), part.begin(), part.end());
    sent.push_back(flat);
  }
  void receiver_ready() override { ready++; }
  NetOffload offload() const override { return offers; }
  void set_receive_offload(const NetOffload& wanted) override { receive_offload = wanted; }
  bool deliver(std::vector<u8> bytes, VnetHeader header = {}) {
    const std::span<u8> part(bytes);
    return receiver()->receive({header, {&part, 1}});
  }
  std::vector<std::vector<u8>> sent;
  std::vector<VnetHeader> headers;
  NetOffload offers, receive_offload;
  unsigned ready = 0;
};

struct VirtioNetTest : ::testing::Test, testing::VirtioBench {
  void begin(u64 features) {
    install(std::make_unique<VirtioNet>(net, VirtioNet::Options{.mac = {0x52, 0x54, 0, 0x12, 0x34, 0x56}}));
    start(kVersion1 | features);
  }
  static std::vector<u8> frame(std::size_t size, u8 first = 0x52) {
    std::vector<u8> bytes(size);
    std::iota(bytes.begin(), bytes.end(), u8{0});
    const u8 to[] = {first, 0x54, 0, 0x12, 0x34, 0x56};
    std::copy(std::begin(to), std::end(to), bytes.begin());
    return bytes;
  }
  u8 control(std::vector<u8> bytes) {
    guest.write(GuestPhys{0x210000}, bytes);
    guest.store(GuestPhys{0x211000}, u8{0xEE});
    add(2, {{0x210000, static_cast<u32>(bytes.size()), false}, {0x211000, 1, true}});
    kick(2);
    take_used(2);
    return guest.load<u8>(GuestPhys{0x211000});
  }
  void TearDown() override { function.reset(); }  // before the back end
  FakeNet net;
};

TEST_F(VirtioNetTest, ShowsAddressAndLink) {
  begin(0);
  EXPECT_EQ(device_config(0, 4), 0x12005452u);
  EXPECT_EQ(device_config(6, 2), 1u);
  net.set_link(false);
  EXPECT_EQ(device_config(6, 2), 0u);
  EXPECT_EQ(read_memory(kModern + 0x1000, 1) & 2, 2u);
}

TEST_F(VirtioNetTest, SendsFramesWithoutTheHeader) {
  begin(0);
  const std::vector<u8> bytes = frame(100);
  guest.fill(GuestPhys{0x200000}, 0, 12);
  guest.write(GuestPhys{0x20000C}, bytes);
  add(1, {{0x200000, 40, false}, {0x200028, 72, false}});
  kick(1);
  ASSERT_EQ(net.sent.size(), 1u);
  EXPECT_EQ(net.sent[0], bytes);
  EXPECT_EQ(take_used(1).second, 0u);
}

TEST_F(VirtioNetTest, TransmitRubbishIsDropped) {
  begin(0);
  add(1, {{0x200000, 5, false}});
  add(1, {{0x200000, 13, false}});
  add(1, {{0x200000, 0x80000, false}});
  add(1, {{0x200000, 64, true}});
  kick(1);
  EXPECT_TRUE(net.sent.empty());
  EXPECT_EQ(used_index(1), 4);
}

TEST_F(VirtioNetTest, ReceivesIntoOneBuffer) {
  begin(0);
  EXPECT_FALSE(net.deliver(frame(60)));
  add(0, {{0x200000, 12, true}, {0x201000, 1514, true}});
  kick(0);
  EXPECT_GE(net.ready, 1u);
  EXPECT_TRUE(net.deliver(frame(60)));
  EXPECT_EQ(take_used(0).second, 72u);
  EXPECT_EQ(guest.load<u8>(GuestPhys{0x201000}), 0x52);
  EXPECT_EQ(guest.load<u16>(GuestPhys{0x20000A}), 1);
  EXPECT_TRUE(pirq.level(3));
}

TEST_F(VirtioNetTest, MergesBuffersAndPublishesThemTogether) {
  begin(kMergeable);
  for (u64 i = 0; i < 3; i++) add(0, {{0x200000 + i * 0x1000, 512, true}});
  EXPECT_TRUE(net.deliver(frame(1200)));
  EXPECT_EQ(take_used(0).second, 512u);
  EXPECT_EQ(take_used(0).second, 512u);
  EXPECT_EQ(take_used(0).second, 188u);
  EXPECT_EQ(guest.load<u16>(GuestPhys{0x20000A}), 3);
  EXPECT_EQ(guest.load<u8>(GuestPhys{0x201000}), frame(1200)[500]);
}

TEST_F(VirtioNetTest, TooLittleRoomWaitsTooSmallABufferDrops) {
  begin(kMergeable);
  add(0, {{0x200000, 512, true}});
  EXPECT_FALSE(net.deliver(frame(1200)));
  EXPECT_EQ(used_index(0), 0);
  add(0, {{0x201000, 1024, true}});
  EXPECT_TRUE(net.deliver(frame(1200)));
  EXPECT_EQ(used_index(0), 2);
  start(kVersion1);
  add(0, {{0x200000, 512, true}});
  EXPECT_TRUE(net.deliver(frame(1200)));
  EXPECT_EQ(used_index(0), 0);
  EXPECT_TRUE(net.deliver(frame(100)));
  EXPECT_EQ(used_index(0), 1);
}

TEST_F(VirtioNetTest, FilterFollowsTheControlQueue) {
  begin(kCtrl);
  for (int i = 0; i < 8; i++) add(0, {{0x200000, 2048, true}});
  EXPECT_EQ(control({0, 0, 0}), 0);  // promiscuous off
  net.deliver(frame(60, 0x02));
  EXPECT_EQ(used_index(0), 0);
  net.deliver(frame(60));
  EXPECT_EQ(used_index(0), 1);
  net.deliver(frame(60, 0x53));  // multicast
  EXPECT_EQ(used_index(0), 1);
  EXPECT_EQ(control({1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x53, 0x54, 0, 0x12, 0x34, 0x56}), 0);
  net.deliver(frame(60, 0x53));
  EXPECT_EQ(used_index(0), 2);
  EXPECT_EQ(control({1, 1, 2, 2, 2, 2, 2, 2}), 0);
  EXPECT_EQ(device_config(0, 4), 0x02020202u);
  EXPECT_EQ(control({1, 0, 255, 255, 255, 255}), 1);
  EXPECT_EQ(control({9, 9}), 1);
  EXPECT_EQ(control({0}), 1);
}

TEST_F(VirtioNetTest, OffloadIsNegotiatedWithTheBackend) {
  net.offers = {.checksum = true, .tso4 = true};
  begin(1 | 2 | 1 << 7 | 1 << 11);
  EXPECT_TRUE(net.receive_offload.checksum);
  EXPECT_TRUE(net.receive_offload.tso4);
  EXPECT_FALSE(net.receive_offload.tso6);
  guest.fill(GuestPhys{0x200000}, 0, 12);
  guest.store(GuestPhys{0x200000},
              VnetHeader{.flags = 1, .gso_type = 1, .gso_size = 1460, .checksum_start = 34, .checksum_offset = 16});
  add(1, {{0x200000, 4000, false}});
  kick(1);
  ASSERT_EQ(net.headers.size(), 1u);
  EXPECT_EQ(net.headers[0].gso_size, 1460);
  function->reset();
  EXPECT_FALSE(net.receive_offload.checksum);
}

}  // namespace
}  // namespace xm::devices
