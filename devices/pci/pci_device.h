// SPDX-License-Identifier: GPL-2.0-or-later
// PciFunction: what all conventional PCI functions share [PCI 3.0 chapter 6]: 256 bytes of configuration space with a
// write mask per bit, base address registers that map themselves into memory or I/O space, the capability list, INTx,
// MSI and MSI-X, and DMA that only works while Bus Master Enable is set.
//
// A chip derives from it, describes its registers in its constructor and overrides bar_read/bar_write and
// on_config_written. All calls need the machine lock.
//
// GAP: header type 0 only (no bridges); no parity or SERR# reporting; no power management beyond what a chip adds.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "devices/pci/msix.h"
#include "emu/bus/address_space.h"
#include "emu/bus/device.h"
#include "emu/bus/guest_memory.h"
#include "emu/bus/irq_line.h"
#include "emu/bus/port_space.h"

namespace xm::devices {

// Configuration registers of header type 0 [PCI 6.1].
namespace pci_reg {
inline constexpr u8 kVendorId = 0x00, kDeviceId = 0x02, kCommand = 0x04, kStatus = 0x06, kRevision = 0x08;
inline constexpr u8 kClassCode = 0x09, kCacheLine = 0x0C, kLatency = 0x0D, kHeaderType = 0x0E, kBar0 = 0x10;
inline constexpr u8 kSubsystemVendorId = 0x2C, kSubsystemId = 0x2E, kRomBar = 0x30, kCapabilities = 0x34;
inline constexpr u8 kInterruptLine = 0x3C, kInterruptPin = 0x3D;
inline constexpr u16 kCommandIo = 1, kCommandMemory = 2, kCommandMaster = 4, kCommandIntxDisable = 1 << 10;
inline constexpr u16 kStatusIntx = 1 << 3, kStatusCapabilities = 1 << 4;
inline constexpr u8 kCapPowerManagement = 0x01, kCapMsi = 0x05, kCapVendor = 0x09, kCapMsix = 0x11;
}  // namespace pci_reg

// What the board offers to every function. The references outlive the functions.
struct PciEnvironment {
  bus::AddressSpace& memory;
  bus::PortSpace& ports;
  bus::MsiSink& msi;
  bus::CodeWriteListener* code = nullptr;  // hears of DMA into pages with decoded code
  Log* log = nullptr;
};

struct PciIdentity {
  u16 vendor_id;
  u16 device_id;
  u8 revision;
  u32 class_code;  // base class, sub-class, programming interface: 0xBBSSPP
  u16 subsystem_vendor_id = 0x1AF4;
  u16 subsystem_id = 0x1100;
};

// Priority of base address regions: memory that the host bridge decodes itself (RAM, ROM, 0) wins.
inline constexpr int kPciRegionPriority = -1;

class PciFunction : public bus::Device, protected MsixTable::Owner {
 public:
  static constexpr unsigned kBarCount = 6;
  static constexpr unsigned kRomSlot = 6;

  PciFunction(const PciEnvironment& environment, std::string name, const PciIdentity& identity);
  ~PciFunction() override;
  PciFunction(const PciFunction&) = delete;
  PciFunction& operator=(const PciFunction&) = delete;

  std::string_view name() const override { return name_; }
  // Configuration space back to its defaults, base registers unmapped, interrupts silent. Overriders call it.
  void reset() override;
  void exchange(bus::Archive& archive) override;

  // offset + size_bytes never reaches beyond 256; size_bytes is 1, 2 or 4.
  virtual u32 config_read(u8 offset, unsigned size_bytes);
  virtual void config_write(u8 offset, u32 value, unsigned size_bytes);

  u16 command() const { return config16(pci_reg::kCommand); }
  bool bus_master() const { return (command() & pci_reg::kCommandMaster) != 0; }
  // Where a base register decodes at present; false if it does not.
  bool bar_mapped(unsigned bar) const { return bars_[bar].mapped; }
  u64 bar_address(unsigned bar) const { return bars_[bar].address; }
  u64 bar_size(unsigned bar) const { return bars_[bar].size_bytes; }
  u8 config8(u8 offset) const { return config_[offset]; }
  u16 config16(u8 offset) const;
  u32 config32(u8 offset) const;

  // For the bus and the board.
  void connect_intx(bus::IrqSink& sink, unsigned input) { intx_.connect(sink, input); }
  void mark_multifunction();
  void set_rom(bus::RamBlock& rom, u64 size_bytes);  // option ROM; size a power of two

 protected:
  // Accesses to the base registers' regions, offset relative to the region. Size is 1, 2, 4 (I/O) or up to 8.
  virtual u64 bar_read(unsigned bar, u64 offset, unsigned size_bytes);
  virtual void bar_write(unsigned bar, u64 offset, u64 value, unsigned size_bytes);
  // Called after a write to configuration space has taken effect on the shared registers.
  virtual void on_config_written(u8 offset, unsigned size_bytes);
  virtual void on_bar_mapped(unsigned bar) { (void)bar; }

  // Description, in the constructor. Defaults come back at reset; `writable` has a 1 for each bit the guest may set.
  void define8(u8 offset, u8 value, u8 writable = 0);
  void define16(u8 offset, u16 value, u16 writable = 0);
  void define32(u8 offset, u32 value, u32 writable = 0);
  void define_write_one_clears16(u8 offset, u16 bits);
  void set_interrupt_pin(u8 pin);  // 1 is INTA#
  void add_io_bar(unsigned bar, u32 size_bytes);
  enum class Width : u8 { Bits32, Bits64 };
  void add_memory_bar(unsigned bar, u64 size_bytes, Width width = Width::Bits32, bool prefetchable = false,
                      bus::RamBlock* backing = nullptr);
  // Returns the offset of the capability, whose body starts two bytes further.
  u8 add_capability(u8 id, u8 size_bytes);
  void add_msi(unsigned vectors, bool per_vector_mask);
  void add_msix(u16 vectors, unsigned bar, u32 table_offset, u32 pending_offset);

  // Changes by the chip itself (status bits, read-only registers).
  void set_config8(u8 offset, u8 value) { config_[offset] = value; }
  void set_config16(u8 offset, u16 value);
  void set_config32(u8 offset, u32 value);

  // INTx as the chip drives it; Interrupt Disable and MSI are taken care of here.
  void set_intx(bool level);
  bool intx_level() const { return intx_wanted_; }
  bool msi_enabled() const;
  bool msix_enabled() const { return msix_ != nullptr && msix_->enabled(); }
  // Sends the vector's message; the chip calls these only while MSI or MSI-X is enabled.
  void msi_notify(unsigned vector);
  void msix_notify(u16 vector);
  u16 msix_vectors() const { return msix_ != nullptr ? msix_->vectors() : 0; }

  // DMA: fails (reads give ones) while Bus Master Enable is off.
  bool dma_read(GuestPhys from, std::span<u8> to);
  bool dma_write(GuestPhys to, std::span<const u8> from);
  bus::GuestMemory& memory() { return memory_; }

  const PciEnvironment& environment() const { return environment_; }
  void log_guest_error(const char* what, u64 value) const;

 private:
  struct Bar final : public bus::MmioHandler, public bus::PortHandler {
    u64 mmio_read(u64 offset, unsigned size_bytes) override;
    void mmio_write(u64 offset, u64 value, unsigned size_bytes) override;
    u32 port_read(Port port, unsigned size_bytes) override;
    void port_write(Port port, u32 value, unsigned size_bytes) override;

    PciFunction* owner = nullptr;
    unsigned index = 0;
    u64 size_bytes = 0;  // 0: not implemented
    bool io = false;
    bool wide = false;
    bool mapped = false;
    u64 address = 0;
    bus::AddressSpace::RegionId region = 0;
    bus::PortSpace::Handle ports = 0;
  };

  void send_message(u64 address, u32 data) override;
  u64 route_bar_read(unsigned bar, u64 offset, unsigned size_bytes);
  void route_bar_write(unsigned bar, u64 offset, u64 value, unsigned size_bytes);
  u64 decoded_address(const Bar& bar) const;
  void update_mappings();
  void update_mapping(Bar& bar);
  void update_intx();
  void flush_pending_msi();
  u8 register_offset(unsigned slot) const;

  PciEnvironment environment_;
  std::string name_;
  bus::GuestMemory memory_;
  std::array<u8, 256> config_{};
  std::array<u8, 256> defaults_{};
  std::array<u8, 256> writable_{};
  std::array<u8, 256> write_one_clears_{};
  std::array<Bar, kBarCount + 1> bars_;
  bus::IrqLine intx_;
  bool intx_wanted_ = false;
  u8 last_capability_ = 0;
  u8 next_capability_ = 0x40;
  u8 msi_ = 0;  // capability offset
  bool msi_maskable_ = false;
  u8 msix_capability_ = 0;
  unsigned msix_bar_ = 0;
  std::unique_ptr<MsixTable> msix_;
};

}  // namespace xm::devices
