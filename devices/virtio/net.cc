// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/virtio/net.h"

#include <algorithm>
#include <cstring>

#include "emu/base/bits.h"

namespace xm::devices {

namespace {

constexpr u64 kCsum = 1 << 0, kGuestCsum = 1 << 1, kCtrlGuestOffloads = 1 << 2, kMac = 1 << 5, kGuestTso4 = 1 << 7,
              kGuestTso6 = 1 << 8, kGuestEcn = 1 << 9, kGuestUfo = 1 << 10, kHostTso4 = 1 << 11, kHostTso6 = 1 << 12,
              kHostEcn = 1 << 13, kHostUfo = 1 << 14, kMergeable = 1 << 15, kStatus = 1 << 16, kCtrlQueue = 1 << 17,
              kCtrlReceive = 1 << 18, kCtrlReceiveExtra = 1 << 20, kCtrlMac = 1 << 23;
constexpr u64 kGuestOffloads = kGuestCsum | kGuestTso4 | kGuestTso6 | kGuestEcn | kGuestUfo;
constexpr u64 kMaxFrame = 65536 + 64;
constexpr u32 kMaxMacTable = 64;
constexpr u8 kCtrlClassReceive = 0, kCtrlClassMac = 1, kCtrlClassOffloads = 5;

// The header in front of each frame; num_buffers exists with mergeable buffers or VERSION_1 [VIRTIO 5.1.6].
struct FrameHeader {
  VnetHeader net;
  u16 buffers;
};
static_assert(sizeof(FrameHeader) == 12);

}  // namespace

VirtioNet::VirtioNet(NetBackend& backend, Options options) : backend_(backend), options_(options), mac_(options.mac) {
  backend_.attach(this);
}

VirtioNet::~VirtioNet() { backend_.attach(nullptr); }

const VirtioDevice::Type& VirtioNet::type() const {
  static constexpr Type kType{"virtio-net", 1, 0x1000, 0x020000};
  return kType;
}

u64 VirtioNet::features() const {
  u64 features = kMac | kMergeable | kStatus | kCtrlQueue | kCtrlReceive | kCtrlReceiveExtra | kCtrlMac;
  const NetOffload offload = backend_.offload();
  if (!offload.checksum) return features;
  features |= kCsum | kGuestCsum | kCtrlGuestOffloads;
  if (offload.tso4) features |= kHostTso4 | kGuestTso4;
  if (offload.tso6) features |= kHostTso6 | kGuestTso6;
  if (offload.ecn) features |= kHostEcn | kGuestEcn;
  if (offload.ufo) features |= kHostUfo | kGuestUfo;
  return features;
}

void VirtioNet::accept_features(u64 features) {
  features_ = features;
  apply_offload(features);
}

void VirtioNet::apply_offload(u64 features) {
  backend_.set_receive_offload({.checksum = (features & kGuestCsum) != 0,
                                .tso4 = (features & kGuestTso4) != 0,
                                .tso6 = (features & kGuestTso6) != 0,
                                .ecn = (features & kGuestEcn) != 0,
                                .ufo = (features & kGuestUfo) != 0});
}

std::size_t VirtioNet::header_size() const {
  return (features_ & (kMergeable | virtio_feature::kVersion1)) != 0 ? sizeof(FrameHeader) : sizeof(VnetHeader);
}

// struct virtio_net_config [VIRTIO 5.1.4].
std::span<const u8> VirtioNet::config() {
  std::copy(mac_.begin(), mac_.end(), config_.begin());
  store_le(&config_[6], static_cast<u16>(backend_.link_up() ? 1 : 0));
  store_le(&config_[8], u16{1});  // queue pairs
  return config_;
}

// Legacy drivers set the address here.
void VirtioNet::config_written(u64 offset, u64 value, unsigned size_bytes) {
  if ((features_ & virtio_feature::kVersion1) != 0) return;
  for (unsigned i = 0; i < size_bytes && offset + i < mac_.size(); i++)
    mac_[offset + i] = static_cast<u8>(value >> (8 * i));
}

void VirtioNet::reset() {
  features_ = 0;
  mac_ = options_.mac;
  filter_ = {};
  unicast_.clear();
  multicast_.clear();
  apply_offload(0);
}

void VirtioNet::exchange(bus::Archive& archive) {
  archive.begin("net");
  archive.field("mac", mac_);
  archive.field("filter", std::span<u8>(reinterpret_cast<u8*>(&filter_), sizeof filter_));
  std::vector<u8> tables[2];
  std::vector<MacAddress>* lists[2] = {&unicast_, &multicast_};
  for (unsigned i = 0; i < 2; i++) {
    for (const MacAddress& address : *lists[i]) tables[i].insert(tables[i].end(), address.begin(), address.end());
    archive.field(i == 0 ? "unicast" : "multicast", tables[i]);
    lists[i]->assign(tables[i].size() / 6, MacAddress{});
    if (!lists[i]->empty()) std::memcpy(lists[i]->data(), tables[i].data(), lists[i]->size() * 6);
  }
  archive.end();
}

void VirtioNet::link_changed(bool) { transport().signal_config(); }

void VirtioNet::started() {
  backend_.receiver_ready();
  transmit();
}

void VirtioNet::notified(unsigned queue) {
  switch (queue) {
    case kReceive: return backend_.receiver_ready();
    case kTransmit: return transmit();
    default: return control();
  }
}

// Transmit: every frame is handed over before its buffer is returned.
void VirtioNet::transmit() {
  bool any = false;
  const std::size_t header_bytes = header_size();
  while (pop(kTransmit, transmit_chain_)) {
    FrameHeader header{};
    const std::span<u8> header_span(reinterpret_cast<u8*>(&header), header_bytes);
    const u64 length = transmit_chain_.readable_bytes() - std::min<u64>(transmit_chain_.readable_bytes(), header_bytes);
    if (transmit_chain_.copy_out(0, header_span) == header_bytes && length >= 14 && length <= kMaxFrame) {
      if ((features_ & kCsum) == 0) header.net = {};
      const IoBuffers data = Chain::slice(transmit_chain_.readable(), header_bytes, length);
      if (backend_.link_up()) backend_.send({header.net, data});
    }
    push(kTransmit, transmit_chain_, 0);
    any = true;
  }
  if (any) transport().signal_queue(kTransmit);
}

// Receive.

bool VirtioNet::can_receive() {
  if (!transport().driver_ok()) return false;
  VirtQueue& queue = transport().queue(kReceive);
  if (!queue.empty(transport().guest_memory())) return true;
  // Ask to hear of new buffers, then look again: the driver may have added some in between.
  queue.set_notifications(transport().guest_memory(), true);
  return !queue.empty(transport().guest_memory());
}

bool VirtioNet::wanted(const NetFrame& frame) const {
  if (filter_.promiscuous) return true;
  MacAddress to{};
  std::size_t have = 0;
  for (const std::span<u8> part : frame.parts) {
    const std::size_t size = std::min(part.size(), to.size() - have);
    std::memcpy(to.data() + have, part.data(), size);
    have += size;
  }
  const bool multicast = (to[0] & 1) != 0;
  if (std::all_of(to.begin(), to.end(), [](u8 byte) { return byte == 0xFF; })) return !filter_.no_broadcast;
  if (multicast) {
    if (filter_.no_multicast) return false;
    return filter_.all_multicast || std::find(multicast_.begin(), multicast_.end(), to) != multicast_.end();
  }
  if (filter_.no_unicast) return false;
  return filter_.all_unicast || to == mac_ || std::find(unicast_.begin(), unicast_.end(), to) != unicast_.end();
}

// Takes chains with room for `bytes`; puts them back and says false if there is not enough now.
bool VirtioNet::collect(u64 bytes) {
  VirtQueue& queue = transport().queue(kReceive);
  const bool mergeable = (features_ & kMergeable) != 0;
  u64 room = 0;
  receive_count_ = 0;
  while (room < bytes) {
    if (receive_count_ == receive_chains_.size()) receive_chains_.emplace_back();
    if (!pop(kReceive, receive_chains_[receive_count_])) break;
    room += receive_chains_[receive_count_++].writable_bytes();
    if (!mergeable) break;
  }
  if (room >= bytes || (!mergeable && receive_count_ == 1)) return true;
  for (std::size_t i = 0; i < receive_count_; i++) queue.unpop();
  return false;
}

bool VirtioNet::receive(const NetFrame& frame) {
  if (!transport().driver_ok() || !backend_.link_up() || !wanted(frame)) return true;  // nobody is listening
  const u64 length = frame.size_bytes();
  if (length > kMaxFrame) return true;
  const u64 bytes = header_size() + length;
  if (!can_receive()) return false;
  if (!collect(bytes)) {
    // Too little room: wait for more buffers, unless the ring is full of too small ones.
    VirtQueue& queue = transport().queue(kReceive);
    if (queue.broken() || receive_count_ >= queue.size()) return true;
    queue.set_notifications(transport().guest_memory(), true);
    if (!collect(bytes)) return false;
  }
  fill(frame);
  return true;
}

// Copies header and frame into the collected chains and publishes them together.
void VirtioNet::fill(const NetFrame& frame) {
  VirtQueue& queue = transport().queue(kReceive);
  bus::GuestMemory& memory = transport().guest_memory();
  const u64 needed = header_size() + frame.size_bytes();
  if (receive_chains_[0].writable_bytes() < needed && receive_count_ == 1) {
    queue.unpop();  // a driver without mergeable buffers gave one too small for the frame: drop the frame
    return;
  }
  FrameHeader header{frame.header, static_cast<u16>(receive_count_)};
  parts_.clear();
  parts_.push_back({reinterpret_cast<u8*>(&header), header_size()});
  parts_.insert(parts_.end(), frame.parts.begin(), frame.parts.end());
  std::size_t part = 0, from = 0;
  for (std::size_t i = 0; i < receive_count_; i++) {
    const Chain& chain = receive_chains_[i];
    u64 filled = 0;
    while (part < parts_.size() && filled < chain.writable_bytes()) {
      const u64 copied = chain.copy_in(filled, parts_[part].subspan(from));
      filled += copied;
      from += copied;
      if (from < parts_[part].size()) break;
      part++;
      from = 0;
    }
    queue.stage(memory, chain, static_cast<u32>(filled));
  }
  queue.publish(memory);
  transport().signal_queue(kReceive);
}

// Control queue: class, command, data; the answer is one byte, 0 for success [VIRTIO 5.1.6.5].

void VirtioNet::control() {
  Chain chain;
  bool any = false;
  while (pop(kControl, chain)) {
    const u8 status = control_command(chain) ? 0 : 1;
    const u32 written = static_cast<u32>(chain.copy_in(0, {&status, 1}));
    push(kControl, chain, written);
    any = true;
  }
  if (any) transport().signal_queue(kControl);
}

bool VirtioNet::control_command(const Chain& chain) {
  u8 header[2];
  if (chain.copy_out(0, header) != sizeof header) return false;
  switch (header[0]) {
    case kCtrlClassReceive: return set_receive_mode(header[1], chain);
    case kCtrlClassMac: return set_mac(header[1], chain);
    case kCtrlClassOffloads: {
      u64 offloads = 0;
      if (header[1] != 0 || !chain.read_at(2, offloads) || (offloads & ~(features_ & kGuestOffloads)) != 0)
        return false;
      apply_offload(offloads);
      return true;
    }
    default: return false;
  }
}

bool VirtioNet::set_receive_mode(u8 command, const Chain& chain) {
  u8 value = 0;
  if (!chain.read_at(2, value)) return false;
  bool* const modes[] = {&filter_.promiscuous,  &filter_.all_multicast, &filter_.all_unicast,
                         &filter_.no_multicast, &filter_.no_unicast,    &filter_.no_broadcast};
  if (command >= std::size(modes)) return false;
  *modes[command] = value != 0;
  return true;
}

bool VirtioNet::set_mac(u8 command, const Chain& chain) {
  if (command == 1) return chain.readable_bytes() == 8 && chain.read_at(2, mac_);
  if (command != 0) return false;
  // Two tables, unicast and multicast: a count and that many addresses.
  u64 at = 2;
  std::vector<MacAddress> tables[2];
  for (std::vector<MacAddress>& table : tables) {
    u32 count = 0;
    if (!chain.read_at(at, count) || u64{count} * 6 > chain.readable_bytes()) return false;
    at += 4;
    for (u32 i = 0; i < count; i++, at += 6) {
      MacAddress address{};
      if (!chain.read_at(at, address)) return false;
      table.push_back(address);
    }
  }
  // More than the card holds: take everything of that kind.
  filter_.all_unicast |= tables[0].size() > kMaxMacTable;
  filter_.all_multicast |= tables[1].size() > kMaxMacTable;
  for (std::vector<MacAddress>& table : tables) table.resize(std::min<std::size_t>(table.size(), kMaxMacTable));
  unicast_ = std::move(tables[0]);
  multicast_ = std::move(tables[1]);
  return true;
}

}  // namespace xm::devices
