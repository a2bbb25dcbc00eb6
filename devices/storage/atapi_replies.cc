// SPDX-License-Identifier: GPL-2.0-or-later
// What AtapiCd says about itself and its disc: INQUIRY, sense, mode pages, TOC, features, events [MMC-6, SPC-3].
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "devices/storage/ata_strings.h"
#include "devices/storage/atapi_cd.h"
#include "emu/base/bits.h"

namespace xm::devices {

namespace {

constexpr u32 kLeadOutTrack = 0xAA;
constexpr u64 kCdBlocks = 450000;  // larger discs are DVDs
constexpr u16 kProfileCd = 0x0008, kProfileDvd = 0x0010;

void append16(std::vector<u8>& to, u32 value) {
  to.push_back(static_cast<u8>(value >> 8));
  to.push_back(static_cast<u8>(value));
}

void append32(std::vector<u8>& to, u32 value) {
  append16(to, value >> 16);
  append16(to, value);
}

// An address of the TOC: block number, or minute, second, frame.
void append_address(std::vector<u8>& to, u32 block, bool msf) {
  if (!msf) return append32(to, block);
  const u32 frame = block + 150;
  to.insert(to.end(),
            {0, static_cast<u8>(frame / 75 / 60), static_cast<u8>(frame / 75 % 60), static_cast<u8>(frame % 75)});
}

// The length field in the first two bytes counts what follows it.
void close_reply(std::vector<u8>& reply) { store_le(reply.data(), byte_swap(static_cast<u16>(reply.size() - 2))); }

void put_text(std::vector<u8>& reply, std::size_t at, std::size_t length, const char* text) {
  const std::size_t size = std::min(std::strlen(text), length);
  std::memset(&reply[at], ' ', length);
  std::memcpy(&reply[at], text, size);
}

}  // namespace

AtapiCd::Reply AtapiCd::inquiry() const {
  Reply reply(36);
  reply[0] = 0x05;  // CD-ROM
  reply[1] = 0x80;  // removable
  reply[3] = 0x21;  // ATAPI, response format 1
  reply[4] = 31;
  put_text(reply, 8, 8, "XIAOMA");
  put_text(reply, 16, 16, drive_.identity().model.empty() ? "XIAOMA DVD-ROM" : drive_.identity().model.c_str());
  put_text(reply, 32, 4, "1.0");
  return reply;
}

// Sense data is given once.
AtapiCd::Reply AtapiCd::request_sense() {
  if (attention_ && sense_.key == 0) {
    attention_ = false;
    sense_ = {0x06, 0x28, 0};
  }
  Reply reply(18);
  reply[0] = 0x70;
  reply[2] = sense_.key;
  reply[7] = 10;
  reply[12] = sense_.code;
  reply[13] = sense_.qualifier;
  sense_ = {};
  return reply;
}

// The 10-byte header and the pages asked for; saved values do not exist.
bool AtapiCd::mode_sense(u8 page, u8 control, Reply& reply) const {
  if (control == 3) return false;
  reply.assign(8, 0);
  reply[2] = medium() != nullptr ? 0x01 : drive_.tray_open() ? 0x71 : 0x70;
  const bool changeable = control == 1;
  const auto want = [page](u8 number) { return page == number || page == 0x3F; };
  const std::size_t header = reply.size();
  if (want(0x01)) {  // read error recovery
    reply.insert(reply.end(), {0x01, 6, 0, static_cast<u8>(changeable ? 0 : 5), 0, 0, 0, 0});
  }
  if (want(0x0E)) {  // audio control
    Reply body(16);
    body[0] = 0x0E;
    body[1] = 14;
    if (!changeable) {
      body[2] = 4;
      body[8] = body[10] = 1;
      body[9] = body[11] = 0xFF;
    }
    reply.insert(reply.end(), body.begin(), body.end());
  }
  if (want(0x2A)) {  // capabilities and mechanical status
    Reply body(22);
    body[0] = 0x2A;
    body[1] = 20;
    if (!changeable) {
      body[2] = 0x3B;  // reads CD-R, CD-RW, DVD-ROM, DVD-R
      body[4] = 0x71;  // mode 2 forms, multi-session
      body[5] = 0x60;
      body[6] = static_cast<u8>(0x29 | (drive_.tray_locked() ? 2 : 0));  // tray, eject, lock
      store_le(&body[8], byte_swap(u16{706}));
      store_le(&body[10], byte_swap(u16{2}));
      store_le(&body[12], byte_swap(u16{512}));
      store_le(&body[14], byte_swap(u16{706}));
    }
    reply.insert(reply.end(), body.begin(), body.end());
  }
  if (reply.size() == header) return false;
  close_reply(reply);
  return true;
}

// One data track from block 0 to the end of the disc [MMC-6 6.25].
bool AtapiCd::read_toc(u8 format, bool msf, u8 first_track, Reply& reply) const {
  const auto end = static_cast<u32>(total_blocks());
  reply = {0, 0, 1, 1};
  switch (format) {
    case 0:
      if (first_track > 1 && first_track != kLeadOutTrack) return false;
      if (first_track <= 1) {
        reply.insert(reply.end(), {0, 0x14, 1, 0});
        append_address(reply, 0, msf);
      }
      reply.insert(reply.end(), {0, 0x16, kLeadOutTrack, 0});
      append_address(reply, end, msf);
      break;
    case 1:  // multi-session: the first session is the last
      reply.insert(reply.end(), {0, 0x14, 1, 0});
      append_address(reply, 0, msf);
      break;
    case 2: {  // full TOC: always minute, second, frame, as in the lead-in
      const auto entry = [&reply](u8 point, std::array<u8, 3> address) {
        reply.insert(reply.end(), {1, 0x14, 0, point, 0, 0, 0, 0, address[0], address[1], address[2]});
      };
      const auto position = [](u32 block) {
        const u32 frame = block + 150;
        return std::array<u8, 3>{static_cast<u8>(frame / 75 / 60), static_cast<u8>(frame / 75 % 60),
                                 static_cast<u8>(frame % 75)};
      };
      entry(0xA0, {1, 0, 0});
      entry(0xA1, {1, 0, 0});
      entry(0xA2, position(end));
      entry(1, position(0));
      break;
    }
    default: return false;
  }
  close_reply(reply);
  return true;
}

u16 AtapiCd::current_profile() const {
  if (medium() == nullptr) return 0;
  return total_blocks() > kCdBlocks ? kProfileDvd : kProfileCd;
}

// Feature descriptors: profile list, core, removable medium, multi-read parts [MMC-6 5.3].
AtapiCd::Reply AtapiCd::get_configuration(u8 request_type, u16 first_feature) const {
  const u16 profile = current_profile();
  Reply reply(8);
  store_le(&reply[6], byte_swap(profile));
  const auto feature = [&](u16 number, u8 flags, bool current, std::initializer_list<u8> body) {
    const bool wanted = request_type == 2 ? number == first_feature : number >= first_feature;
    if (!wanted || (request_type == 1 && !current)) return;
    append16(reply, number);
    reply.push_back(static_cast<u8>(flags | (current ? 1 : 0)));
    reply.push_back(static_cast<u8>(body.size()));
    reply.insert(reply.end(), body.begin(), body.end());
  };
  const bool cd = profile == kProfileCd, dvd = profile == kProfileDvd;
  feature(0x0000, 0, true, {0, kProfileDvd, u8(dvd), 0, 0, kProfileCd, u8(cd), 0});
  feature(0x0001, 0x08, true, {0, 0, 0, 2, 1, 0, 0, 0});  // core: ATAPI
  feature(0x0002, 0x04, true, {2, 0, 0, 0});              // morphing: events are polled
  feature(0x0003, 0x00, true, {0x29, 0, 0, 0});           // removable: tray, eject, lock
  feature(0x0010, 0x00, cd || dvd, {0, 0, 8, 0, 0, 1, 0, 0});
  feature(0x001E, 0x08, cd, {0, 0, 0, 0});
  feature(0x001F, 0x00, dvd, {0, 0, 0, 0});
  store_le(&reply[0], byte_swap(static_cast<u32>(reply.size() - 4)));
  return reply;
}

// Polled events: only the media class has any.
AtapiCd::Reply AtapiCd::event_status(u8 classes) {
  constexpr u8 kMediaClass = 4;
  if ((classes & (1 << kMediaClass)) == 0) return {0, 2, 0x80, 1 << kMediaClass};
  const auto state = static_cast<u8>((drive_.tray_open() ? 1 : 0) | (medium() != nullptr ? 2 : 0));
  Reply reply{0, 6, kMediaClass, 1 << kMediaClass, media_event_, state, 0, 0};
  media_event_ = 0;
  return reply;
}

AtapiCd::Reply AtapiCd::disc_information() const {
  Reply reply(34);
  reply[2] = 0x0E;  // complete disc, last session complete
  reply[3] = reply[4] = reply[5] = reply[6] = 1;
  reply[7] = 0x20;  // unrestricted use
  std::fill_n(&reply[16], 8, u8{0xFF});
  close_reply(reply);
  return reply;
}

AtapiCd::Reply AtapiCd::track_information() const {
  Reply reply(36);
  reply[2] = reply[3] = 1;
  reply[5] = 0x04;
  reply[6] = 0x01;
  store_le(&reply[24], byte_swap(static_cast<u32>(total_blocks())));
  close_reply(reply);
  return reply;
}

bool AtapiCd::dvd_structure(u8 format, Reply& reply) const {
  if (current_profile() != kProfileDvd) return false;
  const auto blocks = static_cast<u32>(total_blocks());
  reply.assign(4, 0);
  switch (format) {
    case 0x00:  // physical format
      reply.resize(4 + 2048);
      reply[4] = 0x01;
      reply[5] = 0x0F;
      reply[6] = 0x01;
      store_le(&reply[8], byte_swap(u32{0x30000}));
      store_le(&reply[12], byte_swap(0x30000 + blocks - 1));
      break;
    case 0x01: reply.resize(8); break;  // no copyright protection
    case 0xFF:
      append32(reply, 0x00408004);  // physical: readable, 2052 bytes
      append32(reply, 0x01400008);
      break;
    default: return false;
  }
  close_reply(reply);
  return true;
}

AtapiCd::Reply AtapiCd::mechanism_status() const {
  Reply reply(8);
  reply[1] = drive_.tray_open() ? 0x10 : 0;
  reply[5] = 1;
  return reply;
}

// IDENTIFY PACKET DEVICE [ATA8-ACS 7.17].
std::array<u8, 512> AtapiCd::identify_packet_data() const {
  std::array<u8, 512> data{};
  const auto word_at = [&data](unsigned index, u32 value) { store_le(&data[index * 2], static_cast<u16>(value)); };
  word_at(0, 0x85C0);  // ATAPI CD-ROM, removable, DRQ within 50 us, 12-byte packets
  char number[21];
  std::snprintf(number, sizeof number, "XM%05u", unit_ + 1);
  put_ata_string(data, 10, 10, drive_.identity().serial.empty() ? number : drive_.identity().serial);
  put_ata_string(data, 23, 4, "1.0");
  put_ata_string(data, 27, 20, drive_.identity().model.empty() ? "XIAOMA DVD-ROM" : drive_.identity().model);
  word_at(48, 1);
  word_at(49, 0x0B00);  // DMA, LBA, IORDY
  word_at(53, 0x0006);
  word_at(62, 0x0007);
  word_at(63, 0x0007);
  word_at(64, 0x0003);
  word_at(65, 120);
  word_at(66, 120);
  word_at(67, 120);
  word_at(68, 120);
  word_at(71, 30);
  word_at(72, 30);
  word_at(80, 0x001E);
  word_at(82, 0x4214);  // PACKET, removable, DEVICE RESET, NOP
  word_at(83, 0x4000);
  word_at(84, 0x4000);
  word_at(85, 0x0214);
  word_at(87, 0x4000);
  word_at(88, 0x203F);
  word_at(93, 0x6001);
  return data;
}

}  // namespace xm::devices
