// SPDX-License-Identifier: GPL-2.0-or-later
// E1000: the receive filter and ring [317453 3.2].
#include <algorithm>
#include <cstring>

#include "devices/net/checksum.h"
#include "devices/net/e1000.h"
#include "emu/base/bits.h"

namespace xm::devices {

using namespace e1000;

namespace {

constexpr std::size_t kMinFrame = 60, kMaxStandard = 1518, kMaxLong = 16384;  // without FCS
constexpr std::size_t kFcs = 4;

}  // namespace

bool E1000::receiving() const { return (reg(kRctl) & kRctlEnable) != 0 && bus_master() && backend_.link_up(); }

// Descriptors between head and tail belong to us.
u32 E1000::free_descriptors() const {
  const u32 size = reg(kRdlen) / sizeof(RxDescriptor);
  if (size == 0 || reg(kRdh) >= size || reg(kRdt) >= size) return 0;
  return (reg(kRdt) + size - reg(kRdh)) % size;
}

u32 E1000::receive_buffer_size() const {
  const auto code = static_cast<unsigned>(bits(reg(kRctl), 17, 16));
  if ((reg(kRctl) & kRctlSizeExtension) != 0 && code != 0) return 32768u >> code;
  return 2048u >> code;
}

bool E1000::can_receive() { return receiving() && free_descriptors() != 0; }

bool E1000::receive(const NetFrame& frame) {
  if (!receiving()) return true;  // nobody listens
  frame_.clear();
  for (const std::span<u8> part : frame.parts) frame_.insert(frame_.end(), part.begin(), part.end());
  if (frame_.size() < kMinFrame) frame_.resize(kMinFrame);
  const std::size_t limit = (reg(kRctl) & kRctlLong) != 0 ? kMaxLong : kMaxStandard;
  if (frame_.size() > limit || !wanted(frame_) || !vlan_wanted(frame_)) return true;
  // The tag of a VLAN frame goes into the descriptor if asked for.
  const bool tagged = (reg(kCtrl) & kCtrlVme) != 0 && load_be16(&frame_[12]) == 0x8100;
  const u16 tag = tagged ? load_be16(&frame_[14]) : u16{0};
  if (tagged) frame_.erase(frame_.begin() + 12, frame_.begin() + 16);
  if ((reg(kRctl) & kRctlStripCrc) == 0) frame_.resize(frame_.size() + kFcs);
  const u32 size = receive_buffer_size();
  if ((frame_.size() + size - 1) / size > free_descriptors()) {
    raise_causes(kRxo);
    return false;
  }
  store_frame(frame_, tag, tagged);
  return true;
}

// [317453 3.2.1.2]: exact addresses, then the multicast hash table.
bool E1000::wanted(std::span<const u8> frame) const {
  const u32 control = reg(kRctl);
  const bool broadcast = std::all_of(frame.begin(), frame.begin() + 6, [](u8 byte) { return byte == 0xFF; });
  if (broadcast) return (control & kRctlBroadcast) != 0 || (control & kRctlMulticastPromiscuous) != 0;
  const bool multicast = (frame[0] & 1) != 0;
  if ((control & (multicast ? kRctlMulticastPromiscuous : kRctlUnicastPromiscuous)) != 0) return true;
  for (u32 i = 0; i < 16; i++) {
    const u32 low = reg(kRal + 8 * i), high = reg(kRal + 8 * i + 4);
    if (!has_bit(high, 31)) continue;
    if (load_le<u32>(frame.data()) == low && load_le<u16>(frame.data() + 4) == static_cast<u16>(high)) return true;
  }
  if (!multicast) return false;
  // Bits 47:36, 46:35, 45:34 or 43:32 of the address, by the MO field.
  static constexpr unsigned kShift[] = {4, 3, 2, 0};
  const unsigned hash = (static_cast<unsigned>(frame[5] << 8 | frame[4]) >> kShift[bits(control, 13, 12)]) & 0xFFF;
  return has_bit(reg(kMta + 4 * (hash >> 5)), hash & 31);
}

bool E1000::vlan_wanted(std::span<const u8> frame) const {
  if ((reg(kRctl) & kRctlVlanFilter) == 0 || load_be16(&frame[12]) != 0x8100) return true;
  const unsigned id = load_be16(&frame[14]) & 0xFFF;
  return has_bit(reg(kVfta + 4 * (id >> 5)), id & 31);
}

void E1000::store_frame(std::span<const u8> frame, u16 tag, bool tagged) {
  const u64 base = u64{reg(kRdbah)} << 32 | reg(kRdbal);
  const u32 ring = reg(kRdlen) / sizeof(RxDescriptor);
  const u32 buffer = receive_buffer_size();
  for (std::size_t done = 0; done < frame.size();) {
    const GuestPhys at = GuestPhys{base} + u64{reg(kRdh)} * sizeof(RxDescriptor);
    auto descriptor = memory().load<RxDescriptor>(at);
    const std::size_t size = std::min<std::size_t>(buffer, frame.size() - done);
    const bool last = done + size == frame.size();
    memory().write(GuestPhys{descriptor.address}, frame.subspan(done, size));
    descriptor.length = static_cast<u16>(size);
    descriptor.checksum = 0;
    descriptor.errors = 0;
    descriptor.special = tag;
    descriptor.status = static_cast<u8>(kRxDone | kRxIgnoreChecksum | (last ? kRxEop : 0) | (tagged ? kRxVlan : 0));
    memory().store(at, descriptor);
    reg(kRdh) = (reg(kRdh) + 1) % ring;
    done += size;
  }
  count(kTpr, 1);
  count(kGprc, 1);
  count(kTorl, frame.size());
  count(kGorcl, frame.size());
  if ((frame[0] & 1) != 0) count(frame[0] == 0xFF ? kBprc : kMprc, 1);
  // RDMT0 when the free part has shrunk to 1/2, 1/4 or 1/8 of the ring.
  const u32 threshold = ring >> (bits(reg(kRctl), 9, 8) + 1);
  raise_causes(kRxt0 | (free_descriptors() <= threshold ? kRxdmt0 : 0));
}

}  // namespace xm::devices
