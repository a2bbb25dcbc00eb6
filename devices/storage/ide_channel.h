// SPDX-License-Identifier: GPL-2.0-or-later
// IdeChannel: one IDE cable with up to two devices and its bus master [ATA/ATAPI-7 volume 2, BMIDE 1.0]: register
// selection, soft reset and diagnostics, the interrupt gate nIEN, and DMA through physical region descriptors.
//
//   bus master: 0 command (bit 0 start, bit 3 to memory)   2 status (0 active, 1 error, 2 interrupt)   4 table address
#pragma once

#include <array>
#include <memory>

#include "devices/storage/ata_device.h"
#include "emu/bus/guest_memory.h"
#include "emu/bus/irq_line.h"
#include "emu/bus/port_space.h"

namespace xm::devices {

class IdeChannel final : private AtaDevice::Cable {
 public:
  // Whether the bus master may touch memory is asked of the PCI function each time.
  class Host {
   public:
    virtual bool may_master() const = 0;
    virtual bus::GuestMemory& ide_memory() = 0;

   protected:
    ~Host() = default;
  };

  IdeChannel(Host& host, bus::IrqLine irq) : host_(host), irq_(irq) {}
  void attach(unsigned unit, std::unique_ptr<AtaDevice> device);
  AtaDevice* device(unsigned unit) const { return devices_[unit & 1].get(); }

  void reset();
  void exchange(bus::Archive& archive);

  // Task file: register 0 (data) to 7, and the alternate status / device control register.
  u32 read(unsigned index, unsigned size_bytes);
  void write(unsigned index, u32 value, unsigned size_bytes);
  u8 read_alternate_status() const;
  void write_control(u8 value);
  // Bus master registers 0-7.
  u32 read_bus_master(unsigned offset, unsigned size_bytes) const;
  void write_bus_master(unsigned offset, u32 value, unsigned size_bytes);

 private:
  void intrq_changed() override;
  void dma_requested(AtaDevice& device) override;
  void dma_finished(AtaDevice& device) override;
  AtaDevice* selected() const { return devices_[unit_].get(); }
  void write_command(u8 code);
  void try_dma();
  bool gather(u64 length, bool to_memory, IoBuffers& buffers);
  void write_bus_master_byte(unsigned offset, u8 value);

  Host& host_;
  bus::IrqLine irq_;
  std::array<std::unique_ptr<AtaDevice>, 2> devices_;
  unsigned unit_ = 0;
  u8 control_ = 0;
  u8 bm_command_ = 0;
  u8 bm_status_ = 0;
  u32 bm_table_ = 0;
  bool table_used_up_ = false;
  std::vector<std::pair<GuestPhys, u64>> dma_ranges_;  // of the transfer in progress, to report what was written
};

}  // namespace xm::devices
