// SPDX-License-Identifier: GPL-2.0-or-later
// The PC: i440FX, PIIX3/4 and what stands around them. This header is the wiring list's data; pc.cc wires the chips,
// pc_storage.cc, pc_network.cc and pc_devices.cc what the user asked for, pc_firmware.cc tells the firmware of it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "devices/block/drive.h"
#include "devices/intc/apic_bus.h"
#include "devices/intc/ioapic.h"
#include "devices/intc/lapic.h"
#include "devices/intc/pic8259.h"
#include "devices/pci/i440fx.h"
#include "devices/pci/pci_bus.h"
#include "devices/pci/piix3_isa.h"
#include "devices/pci/piix4_pm.h"
#include "devices/timer/mc146818.h"
#include "devices/timer/pit8254.h"
#include "emu/host/worker_pool.h"
#include "emu/machine/board.h"
#include "emu/machine/pc_interrupts.h"
#include "emu/machine/pc_memory.h"

namespace xm::machine {

struct KernelImage;

// A local APIC with what the board keeps beside it.
class CpuSocket final : public devices::TscView {
 public:
  CpuSocket(unsigned index, devices::ApicBus& bus, bus::CpuPins& pins, bus::VirtualClock& clock,
            const devices::TickPolicy& policy);
  devices::LocalApic& apic() { return apic_; }
  Nanos time_of_tsc(u64 tsc) const override { return {static_cast<i64>(tsc - tsc_offset_)}; }
  void set_tsc_offset(u64 offset) { tsc_offset_ = offset; }

 private:
  u64 tsc_offset_ = 0;  // guest TSC minus guest nanoseconds (the TSC runs at 1 GHz)
  devices::LocalApic apic_;
};

class Pc final : public Board, private ApicPort, private bus::CodeWriteListener {
 public:
  static Result<std::unique_ptr<Pc>> create(BoardParts parts);
  ~Pc() override;

  bus::RamBlock& ram() override { return memory_->ram(); }
  bus::AddressSpace& memory() override { return memory_->space(); }
  bus::PortSpace& ports() override { return ports_; }
  ApicPort& apic() override { return *this; }
  void connect_cpu(unsigned cpu, bus::CpuPins& pins) override;
  void reset() override;
  void power_button() override;
  void resumed() override;
  void set_tick_spacing(i64 nanoseconds) override { tick_policy_.set_minimum_spacing_ns(nanoseconds); }
  devices::DisplaySource* display() override;
  devices::KeySink& keyboard() override;
  devices::PointerSink& mouse() override;
  const std::vector<bus::Device*>& devices() const override { return devices_; }
  std::string info(const std::string& topic) override;
  std::string change_medium(const std::string& drive, const std::string& file) override;
  std::string eject(const std::string& drive, bool force) override;
  std::vector<BlockInfo> block_info() const override;
  std::vector<std::pair<std::string, std::shared_ptr<host::BlockImage>>> drive_images() override;
  void drain_drives() override;
  std::string resize_drive(const std::string& drive, u64 size_bytes) override;
  std::string set_link(const std::string& name, bool up) override;

 private:
  struct DriveEntry;
  struct Drives;
  struct Nics;
  struct Platform;
  struct Display;

  explicit Pc(BoardParts parts);
  Result<void> build();
  void build_chipset();
  Result<void> build_platform();
  Result<void> build_storage();
  Result<void> open_medium(DriveEntry& entry, const DriveConfig& config);
  DriveEntry* find_drive(const std::string& name);
  Result<void> build_network();
  Result<void> build_extra_devices();
  Result<void> add_debugcon(const DeviceConfig& device);
  Result<void> build_virtio_extras();
  Result<void> build_display();
  Result<void> add_nic(const std::string& model, const std::string& netdev, const std::string& mac_words,
                       const std::string& address, const DeviceConfig* device);
  // An empty path: no ROM.
  Result<void> attach_rom(devices::PciFunction& card, const std::string& path);
  Result<void> attach_vga_rom(devices::PciFunction& card);
  Result<void> attach_net_rom(devices::PciFunction& card, const std::string& model, bool wanted);
  Result<void> offer_kernel_rom(const KernelImage& kernel);
  Result<void> build_firmware_config();
  void set_cmos();
  // Notes the device's bootindex, if it has one; the path is the Open Firmware one below the host bridge.
  Result<void> add_boot_device(const DeviceConfig& device, const std::string& path);
  // "3" or "3,1": device and function as Open Firmware paths name them.
  std::string pci_place(const devices::PciFunction& function) const;
  void offer_boot_order();
  bool has_hpet() const;
  devices::PciEnvironment pci_environment();
  // Puts a function at the given place ("slot[.function]"), or at the next free slot from `from` on.
  Result<void> place(devices::PciFunction& function, const std::string& address, unsigned from);
  void add(bus::Device& device) { devices_.push_back(&device); }

  Result<void> attach_floppy(DriveEntry& entry);
  Result<void> add_virtio_disk(DriveEntry& entry, const DeviceConfig& device);
  template <class Ide>
  Result<void> add_drive_device(const DeviceConfig& device, Ide& ide, std::array<bool, 4>& taken);

  // ApicPort
  int acknowledge(unsigned cpu) override;
  u8 tpr(unsigned cpu) override;
  void set_tpr(unsigned cpu, u8 cr8) override;
  u64 apic_base(unsigned cpu) override;
  bool set_apic_base(unsigned cpu, u64 value) override;
  bool x2apic_read(unsigned cpu, u32 msr, u64& value) override;
  bool x2apic_write(unsigned cpu, u32 msr, u64 value) override;
  u64 tsc_deadline(unsigned cpu) override;
  void set_tsc_deadline(unsigned cpu, u64 deadline, u64 tsc_now) override;
  bool mmio(unsigned cpu, u64 address, unsigned size_bytes, u64& value, bool write) override;
  void set_ferr(bool level) override;
  // CodeWriteListener
  void code_written(GuestPhys address, u64 size_bytes) override { parts_.owner.code_written(address, size_bytes); }

  std::string info_pci() const;
  std::string info_irq() const;
  std::string info_pic() const;
  std::string info_block() const;
  std::string info_network() const;

  BoardParts parts_;
  devices::TickPolicy tick_policy_;
  bus::PortSpace ports_;
  std::unique_ptr<PcMemory> memory_;
  std::vector<std::unique_ptr<bus::RamBlock>> option_roms_;
  bus::IrqLine pic_output_;
  devices::PicPair pic_{pic_output_};
  devices::ApicBus apic_bus_{&pic_};
  devices::IoApic ioapic_{0, apic_bus_};
  PcInterrupts interrupts_{pic_, ioapic_};
  std::vector<std::unique_ptr<CpuSocket>> sockets_;
  // PIRQA-D from the bus to the south bridge, which is built after it.
  struct PirqWires final : public bus::IrqSink {
    void set_input(unsigned input, bool level) override { south_bridge->set_input(input, level); }
    devices::Piix3Isa* south_bridge = nullptr;
  };
  PirqWires pirq_wires_;
  std::unique_ptr<devices::Piix3Isa> south_bridge_;
  std::unique_ptr<devices::PciBus> pci_;
  std::unique_ptr<devices::I440fx> host_bridge_;
  std::unique_ptr<devices::Piix4Pm> power_management_;
  std::unique_ptr<Platform> platform_;
  std::unique_ptr<Display> display_;
  std::unique_ptr<Drives> drives_;
  std::unique_ptr<Nics> nics_;
  std::vector<bus::Device*> devices_;
  std::map<i64, std::string> boot_devices_;  // Open Firmware paths by bootindex; -1: a kernel loader, before all
};

}  // namespace xm::machine
