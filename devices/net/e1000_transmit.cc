// SPDX-License-Identifier: GPL-2.0-or-later
// E1000: the transmit ring [317453 3.3, 3.4, 3.5]. Legacy descriptors carry a packet and one checksum; context
// descriptors set up checksums and segmentation for the data descriptors after them.
#include <algorithm>

#include "devices/net/checksum.h"
#include "devices/net/e1000.h"
#include "emu/base/bits.h"

namespace xm::devices {

using namespace e1000;

namespace {

constexpr std::size_t kMaxPacket = 256 << 10;  // a segmentation packet: PAYLEN has 20 bits, drivers stay below 64 KiB
constexpr std::size_t kMaxFrame = 16288;       // without segmentation

// Puts the checksum of [start, end] (0: to the frame's end) at `offset`; settings that do not fit are ignored.
void insert_checksum(std::span<u8> frame, std::size_t start, std::size_t offset, std::size_t end) {
  const std::size_t last = end == 0 || end >= frame.size() ? frame.size() : end + 1;
  if (start >= last || offset + 2 > frame.size()) return;
  store_be16(&frame[offset], static_cast<u16>(~internet_sum(frame.subspan(start, last - start))));
}

}  // namespace

// Works the ring up to the tail. A ring of n descriptors is gone through at most once a call, whatever head and tail
// say.
void E1000::transmit() {
  if ((reg(kTctl) & kTctlEnable) == 0 || !bus_master() || transmitting_) return;
  const u32 size = reg(kTdlen) / sizeof(TxDescriptor);
  if (size == 0 || reg(kTdh) >= size || reg(kTdt) >= size || reg(kTdh) == reg(kTdt)) return;
  transmitting_ = true;  // a frame may come back at once and make the driver's registers move
  const u64 base = u64{reg(kTdbah)} << 32 | reg(kTdbal);
  u32 causes = 0;
  for (u32 i = 0; i < size && reg(kTdh) != reg(kTdt); i++) {
    const GuestPhys at = GuestPhys{base} + u64{reg(kTdh)} * sizeof(TxDescriptor);
    const auto descriptor = memory().load<TxDescriptor>(at);
    transmit_descriptor(descriptor);
    if ((descriptor.command & (kTxReport | kTxReportSent)) != 0) {
      memory().store(at + offsetof(TxDescriptor, status), descriptor.status | kTxDone);
      causes |= kTxdw;
    }
    reg(kTdh) = (reg(kTdh) + 1) % size;
  }
  transmitting_ = false;
  raise_causes(causes | (reg(kTdh) == reg(kTdt) ? kTxqe : 0));
}

void E1000::transmit_descriptor(const TxDescriptor& descriptor) {
  const bool extended = (descriptor.command & kTxExtended) != 0;
  if (extended && (descriptor.command & kTxTypeMask) != kTxTypeData) {
    return read_context(descriptor);
  }
  if (packet_.empty()) {
    // What the first descriptor of a packet says holds for all of it.
    segmenting_ = extended && (descriptor.command & kTxTse) != 0;
    checksum_options_ = extended ? static_cast<u8>(descriptor.status >> 8) : u8{0};
  }
  append_packet(descriptor.address, static_cast<u32>(bits(descriptor.command, extended ? 19 : 15, 0)));
  if ((descriptor.command & kTxEop) == 0) return;
  vlan_ = (descriptor.command & kTxVlan) != 0 && (reg(kCtrl) & kCtrlVme) != 0;
  vlan_tag_ = static_cast<u16>(descriptor.status >> 16);
  legacy_checksum_ = !extended && (descriptor.command & kTxInsertChecksum) != 0;
  legacy_offset_ = static_cast<u8>(descriptor.command >> 16);
  legacy_start_ = static_cast<u8>(descriptor.status >> 8);
  finish_packet();
}

void E1000::read_context(const TxDescriptor& descriptor) {
  const u64 low = descriptor.address;
  offload_ = {.ip_start = static_cast<u8>(low),
              .ip_offset = static_cast<u8>(low >> 8),
              .ip_end = static_cast<u16>(low >> 16),
              .tcp_start = static_cast<u8>(low >> 32),
              .tcp_offset = static_cast<u8>(low >> 40),
              .tcp_end = static_cast<u16>(low >> 48),
              .payload = static_cast<u32>(bits(descriptor.command, 19, 0)),
              .header_length = static_cast<u8>(descriptor.status >> 8),
              .mss = static_cast<u16>(descriptor.status >> 16),
              .tcp = has_bit(descriptor.command, 24),
              .ipv4 = has_bit(descriptor.command, 25)};
}

void E1000::append_packet(u64 address, u32 length) {
  const std::size_t old = packet_.size();
  const std::size_t size = std::min<std::size_t>(length, kMaxPacket - std::min(old, kMaxPacket));
  packet_.resize(old + size);
  memory().read(GuestPhys{address}, std::span(packet_).subspan(old));
}

void E1000::finish_packet() {
  if (segmenting_) {
    send_segments();
  } else if (packet_.size() <= kMaxFrame) {
    if (legacy_checksum_) insert_checksum(packet_, legacy_start_, legacy_offset_, 0);
    if ((checksum_options_ & (kPoptsTcp >> 8)) != 0) {
      insert_checksum(packet_, offload_.tcp_start, offload_.tcp_offset, offload_.tcp_end);
    }
    if ((checksum_options_ & (kPoptsIp >> 8)) != 0) {
      insert_checksum(packet_, offload_.ip_start, offload_.ip_offset, offload_.ip_end);
    }
    send_frame(packet_);
  }
  packet_.clear();
  segmenting_ = false;
}

// Cuts the payload into pieces of MSS bytes, each behind a copy of the headers with length, identification, sequence
// number and flags brought up to date [317453 3.5.4].
void E1000::send_segments() {
  const std::size_t header = offload_.header_length;
  const std::size_t ip = offload_.ip_start, tcp = offload_.tcp_start;
  const std::size_t needed = tcp + (offload_.tcp ? 14 : 8);
  if (header == 0 || offload_.mss == 0 || packet_.size() < header || header < needed || ip + 8 > header) return;
  const std::size_t payload = packet_.size() - header;
  std::vector<u8> segment;
  u32 number = 0;
  for (std::size_t done = 0; done < payload || number == 0; number++) {
    const std::size_t size = std::min<std::size_t>(offload_.mss, payload - done);
    const bool last = done + size >= payload;
    segment.assign(packet_.begin(), packet_.begin() + static_cast<std::ptrdiff_t>(header));
    segment.insert(segment.end(), packet_.begin() + static_cast<std::ptrdiff_t>(header + done),
                   packet_.begin() + static_cast<std::ptrdiff_t>(header + done + size));
    if (offload_.ipv4) {
      store_be16(&segment[ip + 2], static_cast<u32>(segment.size() - ip));
      store_be16(&segment[ip + 4], load_be16(&segment[ip + 4]) + number);
    } else {
      store_be16(&segment[ip + 4], static_cast<u32>(segment.size() - ip - 40));
    }
    if (offload_.tcp) {
      const u32 sequence = byte_swap(load_le<u32>(&segment[tcp + 4])) + static_cast<u32>(done);
      store_le(&segment[tcp + 4], byte_swap(sequence));
      if (!last) segment[tcp + 13] &= static_cast<u8>(~0x09);  // FIN and PSH belong to the last one
    } else {
      store_be16(&segment[tcp + 4], static_cast<u32>(segment.size() - tcp));
    }
    if ((checksum_options_ & (kPoptsTcp >> 8)) != 0 && std::size_t{offload_.tcp_offset} + 2 <= header) {
      // The driver's pseudo-header sum lacks the length, which differs from segment to segment.
      u32 sum = load_be16(&segment[offload_.tcp_offset]) + static_cast<u32>(segment.size() - tcp);
      sum = (sum & 0xFFFF) + (sum >> 16);
      store_be16(&segment[offload_.tcp_offset], sum);
      insert_checksum(segment, tcp, offload_.tcp_offset, 0);
    }
    if ((checksum_options_ & (kPoptsIp >> 8)) != 0) insert_checksum(segment, ip, offload_.ip_offset, offload_.ip_end);
    send_frame(segment);
    done += size;
    if (size == 0) break;
  }
}

void E1000::send_frame(std::span<u8> frame) {
  if (frame.size() < 14) return;
  count(kTpt, 1);
  count(kGptc, 1);
  count(kTotl, frame.size() + 4);
  count(kGotcl, frame.size() + 4);
  if (!backend_.link_up()) return;
  u8 tag[4];
  store_be16(tag, reg(kVet) != 0 ? reg(kVet) : 0x8100);
  store_be16(tag + 2, vlan_tag_);
  if (vlan_) {
    const std::array<std::span<u8>, 3> parts{frame.first(12), std::span<u8>(tag), frame.subspan(12)};
    return backend_.send({{}, parts});
  }
  backend_.send({{}, {&frame, 1}});
}

}  // namespace xm::devices
