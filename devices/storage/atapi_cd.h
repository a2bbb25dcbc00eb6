// SPDX-License-Identifier: GPL-2.0-or-later
// AtapiCd: a CD/DVD-ROM drive on an IDE cable: the PACKET protocol [ATA/ATAPI-7 volume 2] and the commands of a
// multimedia reader [MMC-6] for one data track. Data by PIO with byte count limits or by DMA.
//
// GAP: no audio play-back, no sub-channel data, no multi-session; raw sectors (READ CD F8h) carry no ECC.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "devices/storage/ata_device.h"

namespace xm::devices {

class AtapiCd final : public AtaDevice {
 public:
  static constexpr u32 kBlockSize = 2048;
  static constexpr u32 kRawSize = 2352;

  AtapiCd(Drive& drive, unsigned unit);

  void reset(bool power_on) override;
  void exchange(bus::Archive& archive) override;

 private:
  struct Sense {
    u8 key = 0;
    u8 code = 0;       // ASC
    u8 qualifier = 0;  // ASCQ
  };
  using Packet = std::array<u8, 12>;
  using Reply = std::vector<u8>;
  // READ in progress.
  struct Reading {
    u64 block = 0;
    u64 blocks = 0;  // left
    bool raw = false;
  };

  // AtaDevice
  void execute(u8 code) override;
  bool is_atapi() const override { return true; }
  bool allowed_while_busy(u8 code) const override { return code == 0x08; }
  void pio_in_done() override;
  void pio_out_done() override;
  void pio_in_next_block() override;
  void run_dma(IoBuffers buffers) override;
  // DriveListener
  void medium_changed() override;
  void eject_requested() override;

  void start_packet();
  void execute_packet();
  bool execute_informative();
  bool execute_medium();
  void succeed();
  void check_condition(Sense sense);
  void illegal_field() { check_condition({0x05, 0x24, 0}); }
  bool ready();
  // Sends a reply, cut to the allocation length.
  void send(Reply reply, std::size_t allocation);
  void send_buffer();
  std::size_t dma_bytes() const;

  void read_blocks(u64 block, u64 count, bool raw);
  void read_chunk();
  void read_cd(u64 block, u64 count, u8 selection);
  void start_stop();
  void prevent_removal();
  void mode_select(std::size_t length);

  // Replies (atapi_replies.cc).
  Reply inquiry() const;
  Reply request_sense();
  bool mode_sense(u8 page, u8 control, Reply& reply) const;
  bool read_toc(u8 format, bool msf, u8 first_track, Reply& reply) const;
  Reply get_configuration(u8 request_type, u16 first_feature) const;
  Reply event_status(u8 classes);
  Reply disc_information() const;
  Reply track_information() const;
  bool dvd_structure(u8 format, Reply& reply) const;
  Reply mechanism_status() const;
  u16 current_profile() const;
  std::array<u8, 512> identify_packet_data() const;

  u64 total_blocks() const { return drive_.size_bytes() / kBlockSize; }
  u16 word(unsigned at) const { return static_cast<u16>(packet_[at] << 8 | packet_[at + 1]); }
  u32 dword(unsigned at) const { return u32{word(at)} << 16 | word(at + 2); }

  unsigned unit_;
  Packet packet_{};
  Sense sense_;
  Reading reading_;
  bool reading_data_ = false;
  bool packet_active_ = false;  // a PACKET command, not a plain ATA one, is under way
  bool selecting_mode_ = false;
  bool dma_ = false;
  bool attention_ = false;  // UNIT ATTENTION to report: medium changed
  u8 media_event_ = 0;      // for GET EVENT STATUS: 1 eject request, 2 new medium, 3 removal
  u16 byte_limit_ = 0;
};

}  // namespace xm::devices
