// SPDX-License-Identifier: GPL-2.0-or-later
// Intel 82077AA floppy disk controller [290166] with two drives, at ports 3F0h-3F5h and 3F7h: read, write, format and
// verify by DMA or programmed I/O, seek, recalibrate, sense, the digital registers and disk change.
//
// DEVIATION: a transfer moves the head to the cylinder it names, whether or not implied seek is configured, because
// firmware that has only been run on emulators relies on it. Motors and media need no time; seeks take a millisecond.
// GAP: data rate and gaps are not compared with the medium; deleted data marks are not kept; no scan commands.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "devices/block/drive.h"
#include "devices/platform/dma_channel.h"
#include "devices/storage/floppy_geometry.h"
#include "emu/bus/device.h"
#include "emu/bus/irq_line.h"
#include "emu/bus/port_space.h"
#include "emu/bus/virtual_clock.h"

namespace xm::devices {

class Fdc82077 final : public bus::Device, public bus::PortHandler {
 public:
  struct Wires {
    bus::IrqLine irq;  // ISA IRQ 6
    DmaChannel& dma;   // channel 2
  };

  // Claims its ports. drives: a and b; null for one that is not there.
  Fdc82077(bus::PortSpace& ports, Wires wires, bus::VirtualClock& clock, std::array<Drive*, 2> drives);
  ~Fdc82077() override;

  std::string_view name() const override { return "fdc82077"; }
  void reset() override;
  void exchange(bus::Archive& archive) override;
  u32 port_read(Port port, unsigned size_bytes) override;
  void port_write(Port port, u32 value, unsigned size_bytes) override;

  // For CMOS register 10h: the type of a drive, 0 if there is none.
  u8 drive_type(unsigned index) const;

 private:
  static constexpr std::size_t kSectorSize = 512;
  enum class Phase : u8 { Command, Execution, Result };
  struct Unit final : public DriveListener {
    void medium_changed() override { changed = true; }
    Drive* drive = nullptr;
    u8 track = 0;
    bool changed = true;  // disk change line
    bool seeking = false;
  };
  struct CommandInfo {
    u8 mask, value;
    u8 parameters;
    void (Fdc82077::*run)();
  };
  enum class Direction : u8 { None, ToHost, FromHost };

  static const CommandInfo& find_command(u8 code);
  // Registers.
  u8 main_status() const;
  u8 read_fifo();
  void write_fifo(u8 value);
  void write_output(u8 value);
  void chip_reset();
  void settle();
  void raise_irq();
  void lower_irq();
  // Phases.
  void finish(std::initializer_list<u8> result, bool interrupt);
  void finish_transfer(u8 st0, u8 st1, u8 st2);
  // Commands without data.
  void specify();
  void sense_drive();
  void recalibrate();
  void sense_interrupt();
  void seek();
  void relative_seek();
  void dump_registers();
  void version();
  void configure();
  void lock();
  void perpendicular();
  void read_id();
  void invalid();
  void ignore();
  void start_seek(u8 track);
  void seeks_done();
  // Commands with data (fdc_transfer.cc).
  void read_data();
  void write_data();
  void verify();
  void format_track();
  bool begin_transfer(bool write);
  u64 offset() const;
  u64 sectors_to_end() const;
  void advance(u64 sectors);
  void ask_for_bytes(std::size_t length);
  void pump();
  void pump_to_host();
  void pump_from_host();
  void store_written(bool terminal_count);
  void format_sectors();
  void data_fetched(IoStatus status);
  u8 unit_and_head() const { return static_cast<u8>((head_ << 2) | selected_); }
  Unit& unit() { return units_[selected_ & 1]; }
  const Unit& unit() const { return units_[selected_ & 1]; }
  BlockBackend* medium() const { return selected_ < 2 && unit().drive != nullptr ? unit().drive->medium() : nullptr; }
  const FloppyGeometry& geometry() const { return floppy_geometry(medium() != nullptr ? medium()->size_bytes() : 0); }
  template <class Handler>
  BlockBackend::Done when_done(Handler handler) {
    return [alive = alive_, epoch = epoch_, handler](IoStatus status) {
      if (*alive != nullptr && (*alive)->epoch_ == epoch) handler(status);
    };
  }

  bus::PortSpace& ports_;
  Wires wires_;
  bus::VirtualClock& clock_;
  std::array<bus::PortSpace::Handle, 2> handles_;
  std::array<Unit, 2> units_;
  bus::Timer seek_timer_;
  bus::Timer dma_timer_;  // looks again at a DMA channel that was masked

  u8 output_ = 0;     // digital output register
  u8 tape_ = 0;       // tape drive register
  u8 data_rate_ = 0;  // low bits of DSR or CCR
  u8 selected_ = 0;   // drive of the command
  u8 head_ = 0;
  Phase phase_ = Phase::Command;
  std::array<u8, 10> command_{};
  std::size_t command_length_ = 0;
  std::vector<u8> result_;
  std::size_t result_position_ = 0;
  bool interrupt_ = false;
  u8 reset_senses_ = 0;  // SENSE INTERRUPTs still owed after a reset
  u8 seek_status_ = 0;   // ST0 of a finished seek, 0: none
  std::array<u8, 2> timings_{};
  std::array<u8, 3> configuration_{};
  u8 perpendicular_ = 0;
  bool locked_ = false;

  // Transfer in progress.
  Direction direction_ = Direction::None;
  bool formatting_ = false;
  bool verifying_ = false;
  u8 cylinder_ = 0, record_ = 0;  // C and R of the sector under the head
  std::vector<u8> data_;
  std::size_t data_position_ = 0;

  u64 epoch_ = 0;
  std::shared_ptr<Fdc82077*> alive_ = std::make_shared<Fdc82077*>(this);
};

}  // namespace xm::devices
