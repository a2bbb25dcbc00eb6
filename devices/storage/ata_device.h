// SPDX-License-Identifier: GPL-2.0-or-later
// AtaDevice: what every device on an IDE cable shares [ATA8-ACS, ATA/ATAPI-7 volume 2]: the task file with its previous
// contents (for 48-bit commands), status and error, the interrupt request, the PIO data register with its DRQ blocks,
// and the hand-shake with the bus master. A disk or CD drive derives from it and carries out commands.
//
//   index   1 features/error   2 count   3 LBA low   4 LBA mid   5 LBA high   6 device   7 command/status
#pragma once

#include <memory>
#include <vector>

#include "devices/block/drive.h"
#include "emu/bus/archive.h"

namespace xm::devices {

class AtaDevice : protected DriveListener {
 public:
  // Status and error register bits.
  static constexpr u8 kBusy = 0x80, kReady = 0x40, kFault = 0x20, kSeekComplete = 0x10, kDataRequest = 0x08,
                      kErr = 0x01;
  static constexpr u8 kAborted = 0x04, kIdNotFound = 0x10, kUncorrectable = 0x40;

  // The channel's side.
  class Cable {
   public:
    virtual void intrq_changed() = 0;
    virtual void dma_requested(AtaDevice& device) = 0;
    // The device's DMA command is over; its status is final.
    virtual void dma_finished(AtaDevice& device) = 0;

   protected:
    ~Cable() = default;
  };

  explicit AtaDevice(Drive& drive);
  virtual ~AtaDevice();
  AtaDevice(const AtaDevice&) = delete;
  AtaDevice& operator=(const AtaDevice&) = delete;
  void connect(Cable& cable) { cable_ = &cable; }

  // Power-on, SRST and EXECUTE DEVICE DIAGNOSTIC all end with the signature in the task file.
  virtual void reset(bool power_on);
  virtual void exchange(bus::Archive& archive);

  // Registers 1-6; `previous` reads the earlier contents (HOB bit). Status has no side effects here.
  u8 read_register(unsigned index, bool previous) const;
  void write_register(unsigned index, u8 value);
  u8 status() const { return status_; }
  void command(u8 code);
  u32 read_data(unsigned size_bytes);
  void write_data(u32 value, unsigned size_bytes);
  bool intrq() const { return intrq_; }
  void clear_intrq() { intrq_ = false; }
  void show_signature();

  // Bus master hand-shake: while dma_waiting(), the channel may call run_dma() with memory for at most dma_length()
  // bytes (fewer mean that the descriptors ran out), or dma_failed().
  bool dma_waiting() const { return dma_waiting_; }
  bool dma_to_memory() const { return dma_to_memory_; }
  u64 dma_length() const { return dma_length_; }
  void start_dma(IoBuffers buffers);
  void dma_failed();

 protected:
  struct TaskFile {
    u8 features, count, lba_low, lba_mid, lba_high;
  };

  virtual void execute(u8 code) = 0;
  virtual bool is_atapi() const { return false; }
  virtual bool allowed_while_busy(u8 code) const { return (void)code, false; }
  virtual void pio_in_done() = 0;   // the host has taken the whole buffer
  virtual void pio_out_done() = 0;  // the host has filled the whole buffer
  virtual void pio_in_next_block() {}
  virtual void run_dma(IoBuffers buffers) = 0;

  // Ends the command: status, then INTRQ.
  void complete();
  void abort_command(u8 error = kAborted);
  void fail_command(u8 error);
  void set_busy() { status_ = kBusy; }
  void raise_intrq();
  // Offers pio_buffer_ to the host in blocks of at most `block` bytes, each announced by INTRQ.
  void start_pio_in(std::size_t block);
  void start_pio_out(std::size_t length, bool interrupt);
  void request_dma(bool to_memory, u64 length);
  // The command that asked for DMA is over.
  void finish_dma();

  BlockBackend* medium() const { return drive_.medium(); }
  // Wraps an outcome handler: it is not called after a reset or when the device is gone.
  template <class Handler>
  BlockBackend::Done when_done(Handler handler) {
    const auto medium = drive_.shared_medium();  // alive until the request is over
    return [alive = alive_, epoch = epoch_, medium, handler](IoStatus status) {
      if (*alive != nullptr && (*alive)->epoch_ == epoch) handler(status);
    };
  }

  Drive& drive_;
  TaskFile now_{};
  TaskFile previous_{};
  u8 device_ = 0;  // device/head register
  u8 status_ = 0;
  u8 error_ = 0;
  std::vector<u8> pio_buffer_;
  std::size_t pio_position_ = 0;
  std::size_t pio_block_end_ = 0;
  std::size_t pio_block_ = 0;

 private:
  enum class Pio : u8 { None, In, Out };
  void cancel();
  void settle();
  void next_pio_block();

  Cable* cable_ = nullptr;
  bool intrq_ = false;
  Pio pio_ = Pio::None;
  bool dma_waiting_ = false;
  bool dma_to_memory_ = false;
  u64 dma_length_ = 0;
  u64 epoch_ = 0;
  std::shared_ptr<AtaDevice*> alive_ = std::make_shared<AtaDevice*>(this);
};

}  // namespace xm::devices
