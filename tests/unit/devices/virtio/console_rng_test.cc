// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <string>

#include "devices/virtio/console.h"
#include "devices/virtio/rng.h"
#include "tests/unit/devices/virtio/virtio_bench.h"

namespace xm::devices {
namespace {

constexpr u64 kVersion1 = virtio_feature::kVersion1;

class FakeChar final : public CharBackend {
 public:
  void attach(CharFrontend* to) override { frontend = to; }
  std::size_t write(std::span<const u8> bytes) override {
    const std::size_t taken = std::min(bytes.size(), room);
    text.append(bytes.begin(), bytes.begin() + static_cast<long>(taken));
    room -= taken;
    return taken;
  }
  CharFrontend* frontend = nullptr;
  std::string text;
  std::size_t room = 1000;
};

struct CountingEntropy final : EntropySource {
  void fill(std::span<u8> bytes) override {
    for (u8& byte : bytes) byte = ++last;
  }
  u8 last = 0;
};

struct VirtioConsoleTest : ::testing::Test, testing::VirtioBench {
  VirtioConsoleTest() {
    install(std::make_unique<VirtioConsole>(chars));
    start(kVersion1);
    const std::string text = "hello, console";
    guest.write(GuestPhys{0x200000}, {reinterpret_cast<const u8*>(text.data()), text.size()});
  }
  void TearDown() override { function.reset(); }  // before the back end
  FakeChar chars;
};

TEST_F(VirtioConsoleTest, WritesWaitForAFullBackend) {
  chars.room = 9;
  add(1, {{0x200000, 7, false}, {0x200007, 7, false}});
  kick(1);
  EXPECT_EQ(chars.text, "hello, co");
  EXPECT_EQ(used_index(1), 0);
  chars.room = 100;
  chars.frontend->writable();
  EXPECT_EQ(chars.text, "hello, console");
  EXPECT_EQ(used_index(1), 1);
}

TEST_F(VirtioConsoleTest, InputFillsBuffers) {
  EXPECT_EQ(chars.frontend->can_receive(), 0u);
  add(0, {{0x210000, 4, true}});
  add(0, {{0x211000, 4, true}});
  EXPECT_EQ(chars.frontend->can_receive(), 4u);
  const u8 input[] = {'a', 'b', 'c', 'd', 'e'};
  chars.frontend->receive(input);
  EXPECT_EQ(take_used(0).second, 4u);
  EXPECT_EQ(take_used(0).second, 1u);
  EXPECT_EQ(guest.load<u8>(GuestPhys{0x211000}), 'e');
}

struct VirtioRngTest : ::testing::Test, testing::VirtioBench {};

TEST_F(VirtioRngTest, FillsBuffers) {
  CountingEntropy entropy;
  install(std::make_unique<VirtioRng>(entropy));
  EXPECT_EQ(read_config(4, 0, 4), 0x10051AF4u);
  start(kVersion1);
  add(0, {{0x200000, 10, true}, {0x201000, 3, true}});
  kick(0);
  EXPECT_EQ(take_used(0).second, 13u);
  EXPECT_EQ(guest.load<u8>(GuestPhys{0x201002}), 13);
}

}  // namespace
}  // namespace xm::devices
