// SPDX-License-Identifier: GPL-2.0-or-later
// Expansion ROMs of the cards [PCI 6.2.5.2] and ROMs handed over by fw_cfg. Our BIOS drives the screen and loads
// kernels by itself; other firmware gets Debian's VGA BIOS and kernel loaders, found where their packages keep them.
// iPXE sits on the network card when the network is among the boot devices.
#include <unistd.h>

#include <bit>

#include "emu/machine/kernel_loader.h"
#include "emu/machine/pc_display.h"
#include "emu/machine/pc_parts.h"
#include "emu/machine/pc_platform.h"

namespace xm::machine {

namespace {

constexpr u64 kLargestRom = 16 << 20;
constexpr const char* kVgaRoms[] = {"/usr/share/seabios/vgabios-stdvga.bin", "/usr/share/vgabios/vgabios-stdvga.bin"};
constexpr const char* kNetRoms[] = {"/usr/lib/ipxe/qemu/pxe-virtio.rom", "/usr/share/qemu/pxe-virtio.rom"};

// A package that is not installed leaves the card without a ROM.
std::string first_readable(std::span<const char* const> paths) {
  for (const char* path : paths) {
    if (::access(path, R_OK) == 0) return path;
  }
  return "";
}

}  // namespace

Result<void> Pc::attach_rom(devices::PciFunction& card, const std::string& path) {
  if (path.empty()) return {};
  const std::vector<u8> bytes = TRY(read_file(path, "option ROM"));
  if (bytes.size() > kLargestRom) return Error{"option ROM larger than 16 MiB: " + path};
  const u64 size = std::bit_ceil(std::max<u64>(bytes.size(), kPageSize));
  option_roms_.push_back(TRY(bus::RamBlock::create("option ROM", size)));
  std::copy(bytes.begin(), bytes.end(), option_roms_.back()->host());
  card.set_rom(*option_roms_.back(), size);
  return {};
}

Result<void> Pc::attach_vga_rom(devices::PciFunction& card) {
  return parts_.config.bios.empty() ? Result<void>{} : attach_rom(card, first_readable(kVgaRoms));
}

Result<void> Pc::attach_net_rom(devices::PciFunction& card) {
  const bool wanted = (parts_.config.boot_order + parts_.config.boot_once).find('n') != std::string::npos;
  return wanted ? attach_rom(card, first_readable(kNetRoms)) : Result<void>{};
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
  std::vector<u8> order;
  for (const char c : "/rom@genroms/" + name) order.push_back(static_cast<u8>(c));
  order.push_back(0);
  platform_->fw_cfg.set_file("bootorder", std::move(order));
  return {};
}

}  // namespace xm::machine
