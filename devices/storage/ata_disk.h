// SPDX-License-Identifier: GPL-2.0-or-later
// AtaDisk: a hard disk on an IDE cable [ATA8-ACS]: CHS, 28- and 48-bit addressing, PIO single and multiple, DMA, flush,
// trim, identify, features, power management, minimal SMART.
//
// GAP: no security, no host protected area (native max is the size), no queued commands, no 4K logical sectors.
#pragma once

#include <array>
#include <string>

#include "devices/storage/ata_device.h"

namespace xm::devices {

class AtaDisk final : public AtaDevice {
 public:
  // `unit` numbers the disks of the machine, for the default serial number.
  AtaDisk(Drive& drive, unsigned unit);

  void reset(bool power_on) override;
  void exchange(bus::Archive& archive) override;

 private:
  // What the command in progress addresses.
  struct Transfer {
    u64 sector = 0;
    u32 sectors = 0;  // left
    u32 block = 1;    // sectors a DRQ block
    bool extended = false;
    bool flush_after = false;
  };

  void execute(u8 code) override;
  bool execute_transfer(u8 code);
  bool execute_control(u8 code);
  void pio_in_done() override;
  void pio_out_done() override;
  void run_dma(IoBuffers buffers) override;

  bool decode_address(bool extended);
  void encode_address(u64 sector);
  void start_read(bool extended, u32 block);
  void read_ahead();
  void start_write(bool extended, u32 block, bool force_flush);
  void wrote_block(IoStatus status);
  void start_dma_command(bool extended, bool read, bool force_flush);
  void dma_done(IoStatus status, u32 sectors, bool whole);
  void verify(bool extended);
  void flush();
  void identify();
  void set_features();
  void smart();
  void initialize_parameters();
  void read_native_max(bool extended);
  void trim();
  void trim_ranges(const IoBuffers& buffers);
  void finish_io(IoStatus status);
  bool write_back() const { return write_cache_; }
  std::array<u8, 512> identify_data() const;

  u64 total_sectors() const { return drive_.size_bytes() / 512; }

  unsigned unit_;
  Transfer transfer_;
  bool trimming_ = false;
  bool reading_ = false;
  u16 cylinders_ = 0;
  u8 heads_ = 16;
  u8 sectors_per_track_ = 63;
  u8 multiple_ = 16;
  u8 transfer_mode_ = 0x45;  // as SET FEATURES 03h: UDMA 5
  bool write_cache_ = true;
  bool look_ahead_ = true;
  bool smart_enabled_ = true;
};

}  // namespace xm::devices
