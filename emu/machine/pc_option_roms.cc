// SPDX-License-Identifier: GPL-2.0-or-later
// Expansion ROMs of the cards [PCI 6.2.5.2] and ROMs handed over by fw_cfg. Our BIOS drives the screen and loads
// kernels by itself; other firmware gets Debian's VGA BIOS and kernel loaders, found where their packages keep them.
// iPXE sits on the network card when the network is among the boot devices.
#include <unistd.h>

#include <bit>
#include <cstring>

#include "emu/base/bits.h"
#include "emu/machine/kernel_loader.h"
#include "emu/machine/pc_display.h"
#include "emu/machine/pc_parts.h"
#include "emu/machine/pc_platform.h"

namespace xm::machine {

namespace {

constexpr u64 kLargestRom = 16 << 20;
constexpr const char* kVgaRoms[] = {"/usr/share/seabios/vgabios-stdvga.bin", "/usr/share/vgabios/vgabios-stdvga.bin"};
constexpr const char* kVirtioNetRoms[] = {"/usr/lib/ipxe/qemu/pxe-virtio.rom", "/usr/share/qemu/pxe-virtio.rom"};
constexpr const char* kE1000Roms[] = {"/usr/lib/ipxe/qemu/pxe-e1000.rom", "/usr/share/qemu/pxe-e1000.rom"};

// A package that is not installed leaves the card without a ROM.
std::string first_readable(std::span<const char* const> paths) {
  for (const char* path : paths) {
    if (::access(path, R_OK) == 0) return path;
  }
  return "";
}

// Firmware runs an image only on the card whose numbers its PCI data structure names [PCI 6.3.1.2]; one iPXE image
// serves virtio cards of both generations, so the numbers are made to fit. Byte 6 of the header takes up the checksum,
// which lies in the entry jump's padding.
void fit_to_card(std::span<u8> rom, u16 vendor, u16 device) {
  constexpr std::size_t kHeaderBytes = 0x1A, kDataBytes = 0x18, kPointer = 0x18, kChecksum = 6;
  if (rom.size() < kHeaderBytes || rom[0] != 0x55 || rom[1] != 0xAA) return;
  const std::size_t data = load_le<u16>(&rom[kPointer]);
  if (data + kDataBytes > rom.size() || std::memcmp(&rom[data], "PCIR", 4) != 0) return;
  const auto put = [&](std::size_t at, u16 value) {
    for (std::size_t i = 0; i < 2; i++) {
      const u8 byte = static_cast<u8>(value >> 8 * i);
      rom[kChecksum] = static_cast<u8>(rom[kChecksum] + rom[at + i] - byte);
      rom[at + i] = byte;
    }
  };
  put(data + 4, vendor);
  put(data + 6, device);
}

}  // namespace

Result<void> Pc::attach_rom(devices::PciFunction& card, const std::string& path) {
  if (path.empty()) return {};
  std::vector<u8> bytes = TRY(read_file(path, "option ROM"));
  if (bytes.size() > kLargestRom) return Error{"option ROM larger than 16 MiB: " + path};
  fit_to_card(bytes, static_cast<u16>(card.config_read(devices::pci_reg::kVendorId, 2)),
              static_cast<u16>(card.config_read(devices::pci_reg::kDeviceId, 2)));
  const u64 size = std::bit_ceil(std::max<u64>(bytes.size(), kPageSize));
  option_roms_.push_back(TRY(bus::RamBlock::create("option ROM", size)));
  std::copy(bytes.begin(), bytes.end(), option_roms_.back()->host());
  card.set_rom(*option_roms_.back(), size);
  return {};
}

Result<void> Pc::attach_vga_rom(devices::PciFunction& card) {
  return parts_.config.bios.empty() ? Result<void>{} : attach_rom(card, first_readable(kVgaRoms));
}

Result<void> Pc::attach_net_rom(devices::PciFunction& card, const std::string& model, bool wanted) {
  wanted = wanted || (parts_.config.boot_order + parts_.config.boot_once).find('n') != std::string::npos;
  if (!wanted) return {};
  return attach_rom(card, model == "e1000" ? first_readable(kE1000Roms) : first_readable(kVirtioNetRoms));
}

// Firmware that knows no boot protocol starts a kernel by an option ROM [fw_cfg "genroms/", "bootorder" of QEMU].
Result<void> Pc::offer_kernel_rom(const KernelImage& kernel) {
  if (parts_.config.bios.empty()) return {};
  const std::string name = kernel.linux_protocol                 ? "linuxboot_dma.bin"
                           : kernel.boot_protocol == "multiboot" ? "multiboot_dma.bin"
                                                                 : "pvh.bin";
  const std::string path = "/usr/share/qemu/" + name;
  if (::access(path.c_str(), R_OK) != 0) return {};
  platform_->fw_cfg.set_file("genroms/" + name, TRY(read_file(path, "kernel loader")));
  boot_devices_[-1] = "/rom@genroms/" + name;
  return {};
}

}  // namespace xm::machine
