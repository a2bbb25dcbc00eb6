// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/storage/atapi_cd.h"

#include <algorithm>
#include <cstring>

#include "emu/base/bits.h"

namespace xm::devices {

namespace {

constexpr std::size_t kChunkBlocks = 32;  // blocks fetched at once for PIO
// Interrupt reason, in the count register of a PACKET command.
constexpr u8 kCommandPhase = 1, kDataToHost = 2, kDone = 3, kDataToDevice = 0;
constexpr u8 kEventEject = 1, kEventNew = 2, kEventRemoval = 3;
constexpr u8 kNotReady = 2, kMediumError = 3, kIllegalRequest = 5, kUnitAttention = 6;

}  // namespace

AtapiCd::AtapiCd(Drive& drive, unsigned unit) : AtaDevice(drive), unit_(unit) { reset(true); }

void AtapiCd::reset(bool power_on) {
  AtaDevice::reset(power_on);
  sense_ = {};
  reading_ = {};
  reading_data_ = packet_active_ = selecting_mode_ = dma_ = false;
  if (!power_on) return;
  attention_ = false;
  media_event_ = 0;
  drive_.set_tray_locked(false);
}

void AtapiCd::exchange(bus::Archive& archive) {
  archive.begin("atapi_cd");
  AtaDevice::exchange(archive);
  archive.field("packet", packet_);
  archive.field("sense", std::span<u8>(reinterpret_cast<u8*>(&sense_), sizeof sense_));
  archive.field("block", reading_.block);
  archive.field("blocks", reading_.blocks);
  archive.field("raw", reading_.raw);
  archive.field("reading_data", reading_data_);
  archive.field("packet_active", packet_active_);
  archive.field("selecting_mode", selecting_mode_);
  archive.field("dma", dma_);
  archive.field("attention", attention_);
  archive.field("media_event", media_event_);
  archive.field("byte_limit", byte_limit_);
  bool locked = drive_.tray_locked();
  bool open = drive_.tray_open();
  archive.field("tray_locked", locked);
  archive.field("tray_open", open);
  if (archive.loading()) {
    drive_.set_tray_locked(locked);
    drive_.set_tray_open(open);
  }
  archive.end();
}

void AtapiCd::medium_changed() {
  const bool present = drive_.medium() != nullptr;
  attention_ = present;
  media_event_ = present ? kEventNew : kEventRemoval;
}

void AtapiCd::eject_requested() { media_event_ = kEventEject; }

// ATA commands.

void AtapiCd::execute(u8 code) {
  reading_data_ = packet_active_ = selecting_mode_ = false;
  switch (code) {
    case 0xA0: return start_packet();
    case 0xA1: {
      const std::array<u8, 512> data = identify_packet_data();
      pio_buffer_.assign(data.begin(), data.end());
      return start_pio_in(512);
    }
    case 0x08: reset(false); return;  // DEVICE RESET ends without an interrupt
    case 0xEF:
      return now_.features == 0x03 || now_.features == 0x66 || now_.features == 0xCC ? complete() : abort_command();
    case 0xE5: now_.count = 0xFF; return complete();
    case 0xE0:
    case 0xE1:
    case 0xE2:
    case 0xE3:
    case 0xE6:
    case 0xE7: return complete();
    default:
      // IDENTIFY DEVICE and READ SECTORS tell a driver by the signature that this is no disk.
      if (code == 0xEC || code == 0x20) show_signature();
      return abort_command();
  }
}

void AtapiCd::start_packet() {
  dma_ = (now_.features & 1) != 0;
  byte_limit_ = static_cast<u16>(now_.lba_mid | now_.lba_high << 8);
  packet_active_ = true;
  now_.count = kCommandPhase;
  start_pio_out(12, false);
}

void AtapiCd::pio_out_done() {
  if (selecting_mode_) {
    selecting_mode_ = false;
    return succeed();  // all pages that can be changed have only one value here
  }
  std::copy_n(pio_buffer_.begin(), packet_.size(), packet_.begin());
  execute_packet();
}

// End of a PACKET command.

void AtapiCd::succeed() {
  now_.count = kDone;
  error_ = 0;
  reading_data_ = false;
  status_ = 0;
  complete();
}

void AtapiCd::check_condition(Sense sense) {
  sense_ = sense;
  now_.count = kDone;
  reading_data_ = false;
  fail_command(static_cast<u8>(sense.key << 4 | (sense.key == kIllegalRequest ? kAborted : 0)));
}

// Whether a medium can be used; reports why not.
bool AtapiCd::ready() {
  if (attention_) {
    attention_ = false;
    check_condition({kUnitAttention, 0x28, 0});
    return false;
  }
  if (medium() == nullptr) {
    check_condition({kNotReady, 0x3A, static_cast<u8>(drive_.tray_open() ? 2 : 1)});
    return false;
  }
  return true;
}

// Packets.

void AtapiCd::execute_packet() {
  if (packet_[0] != 0x03) sense_ = {};
  if (execute_informative() || execute_medium()) return;
  check_condition({kIllegalRequest, 0x20, 0});
}

// Commands that work without a medium and do not report a unit attention.
bool AtapiCd::execute_informative() {
  switch (packet_[0]) {
    case 0x03: return send(request_sense(), packet_[4]), true;
    case 0x12: return send(inquiry(), word(3)), true;
    case 0x1B: return start_stop(), true;
    case 0x1E: return prevent_removal(), true;
    case 0x46: return send(get_configuration(packet_[1] & 3, word(2)), word(7)), true;
    case 0x4A:
      // Only the polled form exists.
      return (packet_[1] & 1) == 0 ? illegal_field() : send(event_status(packet_[4]), word(7)), true;
    case 0x1A:
    case 0x5A: {
      Reply reply;
      if (!mode_sense(packet_[2] & 0x3F, packet_[2] >> 6, reply)) return illegal_field(), true;
      if (packet_[0] == 0x5A) return send(std::move(reply), word(7)), true;
      Reply shorter{static_cast<u8>(reply.size() - 5), reply[2], 0, 0};  // the 6-byte header
      shorter.insert(shorter.end(), reply.begin() + 8, reply.end());
      return send(std::move(shorter), packet_[4]), true;
    }
    case 0x15: return mode_select(packet_[4]), true;
    case 0x55: return mode_select(word(7)), true;
    case 0xBD: return send(mechanism_status(), word(8)), true;
    case 0xBB: return succeed(), true;  // SET CD SPEED
    default: return false;
  }
}

bool AtapiCd::execute_medium() {
  Reply reply;
  switch (packet_[0]) {
    case 0x00:  // TEST UNIT READY
    case 0x35:  // SYNCHRONIZE CACHE
    case 0x4B:  // PAUSE/RESUME
    case 0x4E:  // STOP PLAY
      if (ready()) succeed();
      return true;
    case 0x25:
      if (!ready()) return true;
      reply.resize(8);
      store_le(&reply[0], byte_swap(static_cast<u32>(std::max<u64>(total_blocks(), 1) - 1)));
      store_le(&reply[4], byte_swap(u32{kBlockSize}));
      return send(std::move(reply), 8), true;
    case 0x28: return ready() ? read_blocks(dword(2), word(7), false) : void(), true;
    case 0xA8: return ready() ? read_blocks(dword(2), dword(6), false) : void(), true;
    case 0xBE: return ready() ? read_cd(dword(2), dword(5) & 0xFFFFFF, packet_[9]) : void(), true;
    case 0xB9: {
      if (!ready()) return true;
      const auto frames = [this](unsigned at) { return (packet_[at] * 60u + packet_[at + 1]) * 75u + packet_[at + 2]; };
      const u32 first = frames(3), last = frames(6);
      if (first < 150 || last < first) return illegal_field(), true;
      return read_cd(first - 150, last - first, packet_[9]), true;
    }
    case 0x2B:
      if (!ready()) return true;
      return dword(2) < total_blocks() ? succeed() : check_condition({kIllegalRequest, 0x21, 0}), true;
    case 0x42:
      if (!ready()) return true;
      reply = {0, 0x15, 0, 0};  // READ SUB-CHANNEL header: no audio
      return send(std::move(reply), word(7)), true;
    case 0x43: {
      if (!ready()) return true;
      // The format moved: SFF-8020 drivers put it into the top of byte 9.
      const u8 format = (packet_[2] & 0xF) != 0 ? packet_[2] & 0xF : packet_[9] >> 6;
      return read_toc(format, (packet_[1] & 2) != 0, packet_[6], reply) ? send(std::move(reply), word(7))
                                                                        : illegal_field(),
             true;
    }
    case 0x51: return ready() ? send(disc_information(), word(7)) : void(), true;
    case 0x52: return ready() ? send(track_information(), word(7)) : void(), true;
    case 0xAD:
      if (!ready()) return true;
      return dvd_structure(packet_[7], reply) ? send(std::move(reply), word(8)) : illegal_field(), true;
    default: return false;
  }
}

void AtapiCd::send(Reply reply, std::size_t allocation) {
  reply.resize(std::min(reply.size(), allocation));
  pio_buffer_ = std::move(reply);
  if (pio_buffer_.empty()) return succeed();
  if (dma_) return request_dma(true, pio_buffer_.size());
  send_buffer();
}

// PIO data phase: DRQ blocks of at most the byte count limit, even unless it is the last [ATA/ATAPI-7 6.8].
void AtapiCd::send_buffer() {
  std::size_t limit = byte_limit_ == 0 || byte_limit_ == 0xFFFF ? 0xFFFE : byte_limit_;
  if (limit < pio_buffer_.size()) limit &= ~std::size_t{1};
  start_pio_in(std::max<std::size_t>(limit, 2));
}

void AtapiCd::pio_in_next_block() {
  if (!packet_active_) return;
  const std::size_t size = pio_block_end_ - pio_position_;
  now_.count = kDataToHost;
  now_.lba_mid = static_cast<u8>(size);
  now_.lba_high = static_cast<u8>(size >> 8);
}

void AtapiCd::pio_in_done() {
  if (reading_data_ && reading_.blocks != 0) return read_chunk();
  if (!packet_active_) {
    status_ = kReady | kSeekComplete;  // IDENTIFY PACKET DEVICE
    return;
  }
  succeed();
}

void AtapiCd::run_dma(IoBuffers buffers) {
  const u64 room = total_bytes(buffers);
  if (!reading_data_) {
    u64 done = 0;
    for (const std::span<u8> part : buffers) {
      const u64 size = std::min<u64>(part.size(), pio_buffer_.size() - done);
      std::memcpy(part.data(), pio_buffer_.data() + done, size);
      done += size;
    }
    succeed();
    return finish_dma();
  }
  if (room < reading_.blocks * kBlockSize || medium() == nullptr) return dma_failed();
  medium()->read(reading_.block * kBlockSize, std::move(buffers), when_done([this](IoStatus status) {
                   if (status == IoStatus::Ok) {
                     succeed();
                   } else {
                     check_condition({kMediumError, 0x11, 0});
                   }
                   finish_dma();
                 }));
}

// Reading.

void AtapiCd::read_blocks(u64 block, u64 count, bool raw) {
  if (count == 0) return succeed();
  const u64 total = total_blocks();
  if (block >= total || count > total - block) return check_condition({kIllegalRequest, 0x21, 0});
  reading_ = {block, count, raw};
  reading_data_ = true;
  if (dma_ && !raw) return request_dma(true, count * kBlockSize);
  if (dma_) {
    // Raw sectors have to be put together first; keep the buffer bounded.
    if (count > 4 * kChunkBlocks) return illegal_field();
    reading_data_ = true;
  }
  read_chunk();
}

void AtapiCd::read_chunk() {
  if (medium() == nullptr) return check_condition({kNotReady, 0x3A, 1});
  set_busy();
  const u64 count = std::min<u64>(reading_.blocks, dma_ ? 4 * kChunkBlocks : kChunkBlocks);
  pio_buffer_.resize(count * kBlockSize);
  medium()->read(reading_.block * kBlockSize, {std::span(pio_buffer_)}, when_done([this, count](IoStatus status) {
                   if (status != IoStatus::Ok) return check_condition({kMediumError, 0x11, 0});
                   if (reading_.raw) {
                     Reply raw(count * kRawSize);
                     for (u64 i = 0; i < count; i++) {
                       // Sync pattern, address as minute, second, frame in BCD, mode 1, user data [MMC-6 4.2.3.8.2].
                       u8* sector = &raw[i * kRawSize];
                       std::fill_n(sector + 1, 10, u8{0xFF});
                       const auto frame = static_cast<u32>(reading_.block + i + 150);
                       const auto bcd = [](u32 v) { return static_cast<u8>(v / 10 << 4 | v % 10); };
                       sector[12] = bcd(frame / 75 / 60 % 100);
                       sector[13] = bcd(frame / 75 % 60);
                       sector[14] = bcd(frame % 75);
                       sector[15] = 1;
                       std::memcpy(sector + 16, &pio_buffer_[i * kBlockSize], kBlockSize);
                     }
                     pio_buffer_ = std::move(raw);
                   }
                   reading_.block += count;
                   reading_.blocks -= count;
                   if (!dma_) return send_buffer();
                   reading_data_ = false;
                   request_dma(true, pio_buffer_.size());
                 }));
}

void AtapiCd::read_cd(u64 block, u64 count, u8 selection) {
  switch (selection & 0xF8) {
    case 0x00: return succeed();
    case 0x10: return read_blocks(block, count, false);
    case 0xF8: return read_blocks(block, count, true);
    default: return illegal_field();
  }
}

// Tray.

void AtapiCd::start_stop() {
  const bool load_eject = (packet_[4] & 2) != 0;
  const bool start = (packet_[4] & 1) != 0;
  if ((packet_[4] & 0xF0) != 0 || !load_eject) return succeed();  // power conditions, spin up and down
  if (!start && drive_.tray_locked()) {
    return check_condition({static_cast<u8>(medium() != nullptr ? kIllegalRequest : kNotReady), 0x53, 2});
  }
  const bool was_open = drive_.tray_open();
  drive_.set_tray_open(!start);
  if (was_open != drive_.tray_open()) medium_changed();
  succeed();
}

void AtapiCd::prevent_removal() {
  drive_.set_tray_locked((packet_[4] & 1) != 0);
  succeed();
}

void AtapiCd::mode_select(std::size_t length) {
  if (length == 0) return succeed();
  if (dma_) return illegal_field();
  selecting_mode_ = true;
  now_.count = kDataToDevice;
  now_.lba_mid = static_cast<u8>(length);
  now_.lba_high = static_cast<u8>(length >> 8);
  start_pio_out(length, true);
}

}  // namespace xm::devices
