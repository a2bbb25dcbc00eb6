// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/storage/fdc82077.h"

#include <algorithm>
#include <utility>

#include "emu/base/bits.h"

namespace xm::devices {

namespace {

constexpr u16 kBase = 0x3F0;
constexpr unsigned kStatusA = 0, kStatusB = 1, kOutput = 2, kTape = 3, kMainStatus = 4, kFifo = 5, kInput = 7;
constexpr u8 kOutputRun = 0x04, kOutputDmaGate = 0x08;
constexpr u8 kRequest = 0x80, kToHost = 0x40, kNonDma = 0x20, kCommandBusy = 0x10;  // main status register
constexpr u8 kSt0Seek = 0x20, kSt0Abnormal = 0x40, kSt0Invalid = 0x80, kSt0Polling = 0xC0;
constexpr i64 kSeekTime = 1'000'000;  // ns

}  // namespace

// Codes as in table 5-1 of the data sheet; MT, MFM and SK bits are masked off.
const Fdc82077::CommandInfo& Fdc82077::find_command(u8 code) {
  static constexpr CommandInfo kCommands[] = {
      {0x1F, 0x06, 8, &Fdc82077::read_data},       {0x1F, 0x0C, 8, &Fdc82077::read_data},
      {0x9F, 0x02, 8, &Fdc82077::read_data},       {0x3F, 0x05, 8, &Fdc82077::write_data},
      {0x3F, 0x09, 8, &Fdc82077::write_data},      {0x1F, 0x16, 8, &Fdc82077::verify},
      {0xBF, 0x0D, 5, &Fdc82077::format_track},    {0xFF, 0x07, 1, &Fdc82077::recalibrate},
      {0xFF, 0x08, 0, &Fdc82077::sense_interrupt}, {0xFF, 0x03, 2, &Fdc82077::specify},
      {0xFF, 0x04, 1, &Fdc82077::sense_drive},     {0xFF, 0x0F, 2, &Fdc82077::seek},
      {0xBF, 0x8F, 2, &Fdc82077::relative_seek},   {0xBF, 0x0A, 1, &Fdc82077::read_id},
      {0xFF, 0x10, 0, &Fdc82077::version},         {0xFF, 0x13, 3, &Fdc82077::configure},
      {0xFF, 0x0E, 0, &Fdc82077::dump_registers},  {0x7F, 0x14, 0, &Fdc82077::lock},
      {0xFF, 0x12, 1, &Fdc82077::perpendicular},   {0xFF, 0x17, 1, &Fdc82077::ignore},
      {0x00, 0x00, 0, &Fdc82077::invalid},
  };
  const CommandInfo* command = kCommands;
  while ((code & command->mask) != command->value) command++;
  return *command;
}

Fdc82077::Fdc82077(bus::PortSpace& ports, Wires wires, bus::VirtualClock& clock, std::array<Drive*, 2> drives)
    : ports_(ports),
      wires_(wires),
      clock_(clock),
      handles_{ports.add(Port{kBase}, 6, *this, 1, "fdc"), ports.add(Port{kBase + kInput}, 1, *this, 1, "fdc")},
      seek_timer_(clock, [this] { seeks_done(); }),
      dma_timer_(clock, [this] { pump(); }) {
  for (std::size_t i = 0; i < units_.size(); i++) {
    units_[i].drive = drives[i];
    if (drives[i] != nullptr) drives[i]->set_listener(&units_[i]);
  }
  reset();
}

Fdc82077::~Fdc82077() {
  settle();
  *alive_ = nullptr;
  for (const bus::PortSpace::Handle handle : handles_) ports_.remove(handle);
  for (const Unit& unit : units_) {
    if (unit.drive != nullptr) unit.drive->set_listener(nullptr);
  }
}

u8 Fdc82077::drive_type(unsigned index) const {
  if (index >= units_.size() || units_[index].drive == nullptr) return 0;
  const Drive& drive = *units_[index].drive;
  return drive.medium() != nullptr ? floppy_geometry(drive.size_bytes()).drive_type : u8{4};
}

void Fdc82077::reset() {
  locked_ = false;
  chip_reset();
  output_ = kOutputRun | kOutputDmaGate;
  tape_ = data_rate_ = 0;
  timings_ = {};
  for (Unit& unit : units_) {
    unit.track = 0;
    unit.changed = true;
  }
  reset_senses_ = 0;
}

// Requests in flight use data_: nothing may move it before they are through.
void Fdc82077::settle() {
  if (phase_ != Phase::Execution) return;
  for (const Unit& unit : units_) {
    if (unit.drive == nullptr) continue;
    if (const auto medium = unit.drive->shared_medium()) medium->drain();
  }
}

// By DOR, DSR or power: the command in progress is gone; LOCK keeps the configuration [290166 5.2.8].
void Fdc82077::chip_reset() {
  settle();
  epoch_++;
  seek_timer_.disarm();
  dma_timer_.disarm();
  for (Unit& unit : units_) unit.seeking = false;
  phase_ = Phase::Command;
  command_length_ = 0;
  result_.clear();
  result_position_ = 0;
  direction_ = Direction::None;
  formatting_ = verifying_ = false;
  data_.clear();
  data_position_ = 0;
  seek_status_ = 0;
  selected_ = head_ = 0;
  if (!locked_) configuration_ = {};
  perpendicular_ = 0;
  lower_irq();
}

void Fdc82077::exchange(bus::Archive& archive) {
  archive.begin(name());
  for (Unit& unit : units_) {
    archive.field("track", unit.track);
    archive.field("changed", unit.changed);
    archive.field("seeking", unit.seeking);
  }
  archive.field("output", output_);
  archive.field("tape", tape_);
  archive.field("data_rate", data_rate_);
  archive.field("selected", selected_);
  archive.field("head", head_);
  archive.field("phase", phase_);
  archive.field("command", command_);
  archive.field("command_length", command_length_);
  archive.field("result", result_);
  archive.field("result_position", result_position_);
  archive.field("interrupt", interrupt_);
  archive.field("reset_senses", reset_senses_);
  archive.field("seek_status", seek_status_);
  archive.field("timings", timings_);
  archive.field("configuration", configuration_);
  archive.field("perpendicular", perpendicular_);
  archive.field("locked", locked_);
  archive.field("direction", direction_);
  archive.field("formatting", formatting_);
  archive.field("verifying", verifying_);
  archive.field("cylinder", cylinder_);
  archive.field("record", record_);
  archive.field("data", data_);
  archive.field("data_position", data_position_);
  archive.end();
  if (!archive.loading()) return;
  if (units_[0].seeking || units_[1].seeking) seek_timer_.arm(Nanos{0});
  if (direction_ != Direction::None) dma_timer_.arm(Nanos{0});
}

// Registers.

u32 Fdc82077::port_read(Port port, unsigned) {
  switch (port.value - kBase) {
    case kStatusA: return static_cast<u8>((interrupt_ ? 0x80 : 0) | 0x40 | (unit().track == 0 ? 0 : 0x10));
    case kStatusB: return static_cast<u8>(0xC0 | (output_ >> 4 & 3) | (output_ & 1) << 5);
    case kOutput: return output_;
    case kTape: return tape_;
    case kMainStatus: return main_status();
    case kFifo: return read_fifo();
    default: {
      // Disk change is driven by the drive whose motor runs.
      const unsigned drive = output_ & 3;
      if (drive >= 2 || !has_bit(output_, 4 + drive) || units_[drive].drive == nullptr) return 0;
      return units_[drive].changed ? 0x80 : 0;
    }
  }
}

void Fdc82077::port_write(Port port, u32 value, unsigned) {
  const auto byte = static_cast<u8>(value);
  switch (port.value - kBase) {
    case kOutput: return write_output(byte);
    case kTape: tape_ = byte & 3; return;
    case kMainStatus:  // data rate select
      data_rate_ = byte & 3;
      if ((byte & 0x80) == 0) return;
      chip_reset();
      reset_senses_ = 4;
      return raise_irq();
    case kFifo: return write_fifo(byte);
    case kInput: data_rate_ = byte & 3; return;  // configuration control
    default: return;
  }
}

void Fdc82077::write_output(u8 value) {
  const u8 before = output_;
  output_ = value;
  if ((value & kOutputRun) == 0) {
    if ((before & kOutputRun) != 0) chip_reset();
    return;
  }
  if ((before & kOutputRun) != 0) {
    // The gate connects the pending interrupt to the line.
    wires_.irq.set(interrupt_ && (output_ & kOutputDmaGate) != 0);
    return;
  }
  // Out of reset: the drives are polled, each owes a SENSE INTERRUPT [290166 4.1].
  reset_senses_ = 4;
  raise_irq();
}

void Fdc82077::raise_irq() {
  interrupt_ = true;
  wires_.irq.set((output_ & kOutputDmaGate) != 0);
}

void Fdc82077::lower_irq() {
  interrupt_ = false;
  wires_.irq.set(false);
}

u8 Fdc82077::main_status() const {
  if ((output_ & kOutputRun) == 0) return 0;
  u8 status = 0;
  for (unsigned i = 0; i < units_.size(); i++) status |= static_cast<u8>(units_[i].seeking ? 1 << i : 0);
  const bool programmed = has_bit(timings_[1], 0);
  switch (phase_) {
    case Phase::Command: status |= static_cast<u8>(kRequest | (command_length_ != 0 ? kCommandBusy : 0)); break;
    case Phase::Execution:
      status |= kCommandBusy;
      if (programmed && direction_ != Direction::None && data_position_ < data_.size()) {
        status |= static_cast<u8>(kNonDma | kRequest | (direction_ == Direction::ToHost ? kToHost : 0));
      }
      break;
    case Phase::Result: status |= kRequest | kToHost | kCommandBusy; break;
  }
  return status;
}

u8 Fdc82077::read_fifo() {
  if (phase_ == Phase::Execution && direction_ == Direction::ToHost && has_bit(timings_[1], 0) &&
      data_position_ < data_.size()) {
    const u8 byte = data_[data_position_++];
    if (data_position_ == data_.size()) {
      advance(data_.size() / kSectorSize);
      lower_irq();
      finish_transfer(kSt0Abnormal, 0x80, 0);  // programmed I/O has no terminal count
    }
    return byte;
  }
  if (phase_ != Phase::Result) return 0;
  lower_irq();
  const u8 byte = result_[result_position_++];
  if (result_position_ == result_.size()) {
    phase_ = Phase::Command;
    command_length_ = 0;
  }
  return byte;
}

void Fdc82077::write_fifo(u8 value) {
  if ((output_ & kOutputRun) == 0) return;
  if (phase_ == Phase::Execution && direction_ == Direction::FromHost && has_bit(timings_[1], 0)) {
    if (data_position_ < data_.size()) data_[data_position_++] = value;
    if (data_position_ == data_.size()) store_written(false);
    return;
  }
  if (phase_ != Phase::Command) return;
  command_[command_length_++] = value;
  const CommandInfo& command = find_command(command_[0]);
  if (command_length_ <= command.parameters) return;
  if (command.parameters != 0) {
    selected_ = command_[1] & 3;
    head_ = command_[1] >> 2 & 1;
  }
  phase_ = Phase::Execution;
  (this->*command.run)();
}

// To the result phase, or straight back to commands if there is nothing to say.
void Fdc82077::finish(std::initializer_list<u8> result, bool interrupt) {
  direction_ = Direction::None;
  formatting_ = verifying_ = false;
  result_ = result;
  result_position_ = 0;
  command_length_ = 0;
  phase_ = result_.empty() ? Phase::Command : Phase::Result;
  if (interrupt) raise_irq();
}

// Commands without data.

void Fdc82077::specify() {
  timings_ = {command_[1], command_[2]};
  finish({}, false);
}

void Fdc82077::sense_drive() {
  const bool present = selected_ < 2 && unit().drive != nullptr;
  const bool protect = medium() != nullptr && medium()->read_only();
  const bool track0 = present && unit().track == 0;
  finish({static_cast<u8>(0x28 | (protect ? 0x40 : 0) | (track0 ? 0x10 : 0) | unit_and_head())}, false);
}

void Fdc82077::recalibrate() {
  head_ = 0;
  start_seek(0);
}

void Fdc82077::seek() { start_seek(command_[2]); }

void Fdc82077::relative_seek() {
  const int step = has_bit(command_[0], 6) ? command_[2] : -int{command_[2]};
  start_seek(static_cast<u8>(std::max(0, unit().track + step)));
}

void Fdc82077::start_seek(u8 track) {
  finish({}, false);
  if (selected_ >= 2 || unit().drive == nullptr) {
    // No drive, no track 0 signal: equipment check.
    seek_status_ = static_cast<u8>(kSt0Seek | kSt0Abnormal | 0x10 | selected_);
    return raise_irq();
  }
  unit().track = track;
  unit().seeking = true;
  // A step pulse with a disk in the drive resets the change line.
  if (medium() != nullptr) unit().changed = false;
  seek_status_ = static_cast<u8>(kSt0Seek | unit_and_head());
  seek_timer_.arm(clock_.now() + kSeekTime);
}

void Fdc82077::seeks_done() {
  for (Unit& unit : units_) unit.seeking = false;
  raise_irq();
}

void Fdc82077::sense_interrupt() {
  lower_irq();
  if (reset_senses_ != 0) {
    const u8 drive = static_cast<u8>(4 - reset_senses_--);
    return finish({static_cast<u8>(kSt0Polling | drive), drive < 2 ? units_[drive].track : u8{0}}, false);
  }
  if (seek_status_ == 0 || seek_timer_.armed()) return finish({kSt0Invalid}, false);
  const u8 drive = seek_status_ & 3;
  const u8 status = std::exchange(seek_status_, u8{0});
  finish({status, drive < 2 ? units_[drive].track : u8{0}}, false);
}

void Fdc82077::dump_registers() {
  finish({units_[0].track, units_[1].track, 0, 0, timings_[0], timings_[1],
          medium() != nullptr ? geometry().sectors : u8{0}, static_cast<u8>((locked_ ? 0x80 : 0) | perpendicular_ << 2),
          configuration_[1], configuration_[2]},
         false);
}

void Fdc82077::version() { finish({0x90}, false); }

void Fdc82077::configure() {
  configuration_ = {command_[1], command_[2], command_[3]};
  finish({}, false);
}

void Fdc82077::lock() {
  locked_ = has_bit(command_[0], 7);
  finish({static_cast<u8>(locked_ ? 0x10 : 0)}, false);
}

void Fdc82077::perpendicular() {
  perpendicular_ = command_[1] & 0x3F;
  finish({}, false);
}

// Any sector's address will do: it is the first one to come by.
void Fdc82077::read_id() {
  cylinder_ = unit().track;
  record_ = 1;
  const bool readable = medium() != nullptr && cylinder_ < geometry().cylinders && head_ < geometry().heads;
  finish_transfer(readable ? 0 : kSt0Abnormal, readable ? 0 : 0x01, 0);
}

void Fdc82077::invalid() { finish({kSt0Invalid}, false); }

// POWERDOWN MODE and the like: one parameter, echoed.
void Fdc82077::ignore() { finish({command_[1]}, false); }

void Fdc82077::finish_transfer(u8 st0, u8 st1, u8 st2) {
  dma_timer_.disarm();
  data_.clear();
  data_position_ = 0;
  finish({static_cast<u8>(st0 | unit_and_head()), st1, st2, cylinder_, head_, record_, 2}, true);
}

}  // namespace xm::devices
