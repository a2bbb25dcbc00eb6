// SPDX-License-Identifier: GPL-2.0-or-later
// What the firmware is told: fw_cfg items and files (the keys QEMU defined, so that SeaBIOS reads them too) and the
// configuration bytes of the CMOS.
#include <unistd.h>

#include <climits>

#include "emu/base/bits.h"
#include "emu/machine/acpi_tables.h"
#include "emu/machine/kernel_loader.h"
#include "emu/machine/pc_parts.h"
#include "emu/machine/pc_platform.h"
#include "emu/machine/smbios.h"

namespace xm::machine {

namespace {

constexpr u16 kKeyRamSize = 0x03, kKeyNoGraphic = 0x04, kKeyCpus = 0x05, kKeyMachineId = 0x06, kKeyBootDevice = 0x0C;
constexpr u16 kKeyNuma = 0x0D, kKeyBootMenu = 0x0E, kKeyMaxCpus = 0x0F, kKeyIrq0Override = 0x8002;

// struct e820_entry of etc/e820.
void add_range(std::vector<u8>& map, u64 address, u64 length, u32 type) {
  const std::size_t at = map.size();
  map.resize(at + 20);
  store_le(&map[at], address);
  store_le(&map[at + 8], length);
  store_le(&map[at + 16], type);
}

std::string program_folder() {
  char path[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  const std::string program(path, length > 0 ? static_cast<std::size_t>(length) : 0);
  return program.substr(0, program.rfind('/'));
}

// CMOS code of a boot device letter.
u8 boot_nibble(const std::string& order, std::size_t position) {
  if (position >= order.size()) return 0;
  switch (order[position]) {
    case 'a': return 1;
    case 'c': return 2;
    case 'd': return 3;
    case 'n': return 4;
    default: return 0;
  }
}

}  // namespace

Result<std::vector<u8>> load_firmware(const Config& config) {
  if (!config.bios.empty()) {
    // A bare name is looked up where Debian's packages keep firmware, as QEMU does.
    if (config.bios.find('/') == std::string::npos && ::access(config.bios.c_str(), R_OK) != 0) {
      for (const char* folder : {"/usr/share/seabios/", "/usr/share/qemu/", "/usr/share/ovmf/"}) {
        const std::string path = folder + config.bios;
        if (::access(path.c_str(), R_OK) == 0) return read_file(path, "firmware");
      }
    }
    return read_file(config.bios, "firmware");
  }
  const std::string folder = program_folder();
  for (const char* place : {"/../firmware/bios.bin", "/../share/xiaoma/bios.bin", "/bios.bin"}) {
    if (::access((folder + place).c_str(), R_OK) == 0) return read_file(folder + place, "firmware");
  }
  return Error{"own BIOS not found beside the program: " + folder + "/../firmware/bios.bin; give one with -bios"};
}

Result<void> Pc::build_firmware_config() {
  const Config& config = parts_.config;
  devices::FwCfg& fw = platform_->fw_cfg;
  fw.set_u64(kKeyRamSize, config.memory_bytes);
  fw.set_u16(kKeyNoGraphic, config.vga == "none" ? 1 : 0);
  fw.set_u16(kKeyCpus, static_cast<u16>(config.cpus));
  fw.set_u16(kKeyMaxCpus, static_cast<u16>(config.cpus));
  fw.set_u16(kKeyMachineId, 0);
  fw.set_u16(kKeyBootDevice, config.boot_order.empty() ? 0 : static_cast<u16>(config.boot_order[0]));
  fw.set_item(kKeyNuma, std::vector<u8>(8 + 8 * config.cpus, 0));
  fw.set_u16(kKeyBootMenu, config.boot_menu ? 1 : 0);
  fw.set_u32(kKeyIrq0Override, 1);

  std::vector<u8> e820;
  add_range(e820, 0, memory_->below_4g_bytes(), 1);
  if (memory_->above_4g_bytes() > 0) add_range(e820, u64{1} << 32, memory_->above_4g_bytes(), 1);
  fw.set_file("etc/e820", std::move(e820));
  std::vector<u8> wait(2);
  store_le<u16>(wait.data(), static_cast<u16>(config.boot_menu_timeout_ms));
  if (config.boot_menu_timeout_ms > 0) fw.set_file("etc/boot-menu-wait", std::move(wait));
  if (config.vga == "none") fw.set_file("etc/sercon-port", {0xF8, 0x03});

  AcpiFiles acpi = build_acpi({.cpus = config.cpus, .hpet = has_hpet()});
  fw.set_file("etc/acpi/tables", std::move(acpi.tables));
  fw.set_file("etc/acpi/rsdp", std::move(acpi.rsdp));
  fw.set_file("etc/table-loader", std::move(acpi.loader));
  SmbiosFiles smbios = build_smbios({.cpus = config.cpus,
                                     .memory_bytes = config.memory_bytes,
                                     .below_4g_bytes = memory_->below_4g_bytes(),
                                     .uuid = config.uuid});
  fw.set_file("etc/smbios/smbios-tables", std::move(smbios.tables));
  fw.set_file("etc/smbios/smbios-anchor", std::move(smbios.anchor));

  if (!config.kernel.empty()) {
    KernelImage kernel = TRY(load_kernel(config.kernel, config.initrd, config.append, memory_->below_4g_bytes()));
    TRY(offer_kernel_rom(kernel));
    if (!kernel.boot_protocol.empty()) {
      std::vector<u8> protocol(kernel.boot_protocol.begin(), kernel.boot_protocol.end());
      protocol.push_back(0);
      fw.set_file("opt/xiaoma/boot-protocol", std::move(protocol));
    }
    for (FwCfgItem& item : kernel.items) fw.set_item(item.key, std::move(item.bytes));
  }
  offer_boot_order();
  set_cmos();
  return {};
}

// Memory sizes and boot order where firmware has looked for them since the AT [CMOS map of QEMU's pc].
void Pc::set_cmos() {
  devices::Mc146818& rtc = platform_->rtc;
  const auto set16 = [&](u8 index, u64 value) {
    const u64 capped = std::min<u64>(value, 0xFFFF);
    rtc.set_cmos(index, static_cast<u8>(capped));
    rtc.set_cmos(static_cast<u8>(index + 1), static_cast<u8>(capped >> 8));
  };
  const u64 below = memory_->below_4g_bytes();
  set16(0x15, 640);
  set16(0x17, (below - (1 << 20)) >> 10);
  set16(0x30, (below - (1 << 20)) >> 10);
  set16(0x34, below > (16 << 20) ? (below - (16 << 20)) >> 16 : 0);
  const u64 above = memory_->above_4g_bytes() >> 16;
  rtc.set_cmos(0x5B, static_cast<u8>(above));
  rtc.set_cmos(0x5C, static_cast<u8>(above >> 8));
  rtc.set_cmos(0x5D, static_cast<u8>(above >> 16));
  rtc.set_cmos(0x5F, static_cast<u8>(parts_.config.cpus - 1));

  const std::string& order = parts_.config.boot_once.empty() ? parts_.config.boot_order : parts_.config.boot_once;
  rtc.set_cmos(0x3D, static_cast<u8>(boot_nibble(order, 0) | boot_nibble(order, 1) << 4));
  rtc.set_cmos(0x38, static_cast<u8>(boot_nibble(order, 2) << 4 | 1));
  // Equipment: mathematics coprocessor, PS/2 mouse; floppies by their drives.
  const u8 floppies = platform_->floppy_types();
  rtc.set_cmos(0x10, floppies);
  const unsigned count = (floppies >> 4 != 0) + ((floppies & 15) != 0);
  rtc.set_cmos(0x14, static_cast<u8>(0x06 | (count > 0 ? 1 | (count - 1) << 6 : 0)));
}

}  // namespace xm::machine
