// SPDX-License-Identifier: GPL-2.0-or-later
// Field names and offsets of the setup header are those of [LINUX x86/boot].
#include "emu/machine/kernel_loader.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include "emu/base/bits.h"
#include "emu/machine/elf_kernel.h"

namespace xm::machine {

namespace {

// fw_cfg keys of the kernel parts.
constexpr u16 kKernelAddr = 0x07, kKernelSize = 0x08, kInitrdAddr = 0x0A, kInitrdSize = 0x0B;
constexpr u16 kKernelData = 0x11, kInitrdData = 0x12, kCmdlineAddr = 0x13, kCmdlineSize = 0x14, kCmdlineData = 0x15;
constexpr u16 kSetupAddr = 0x16, kSetupSize = 0x17, kSetupData = 0x18;

// Where the real-mode part, the command line and the protected-mode part go.
constexpr u32 kRealModeAddress = 0x10000;
constexpr u32 kCommandLineAddress = 0x20000;
constexpr u32 kProtectedModeAddress = 0x100000;
// Room at the top of low memory for the firmware's ACPI tables.
constexpr u32 kFirmwareReserve = 0x30000;

FwCfgItem number_item(u16 key, u32 value) {
  FwCfgItem item{key, std::vector<u8>(4)};
  store_le(item.bytes.data(), value);
  return item;
}

Result<std::vector<u8>> read_initrd(const std::string& path) {
  if (path.empty()) return std::vector<u8>{};
  return read_file(path, "initial RAM disk");
}

// The video mode that the command line asks the boot loader for: "vga=" is read by loaders, not by the kernel
// [LINUX x86/boot "Special command line options"]. Nothing when the word is not there or means nothing.
std::optional<u16> video_mode(const std::string& command_line) {
  constexpr std::string_view kWord = "vga=";
  std::size_t at = command_line.find(kWord);
  while (at != std::string::npos && at > 0 && command_line[at - 1] != ' ') at = command_line.find(kWord, at + 1);
  if (at == std::string::npos) return std::nullopt;
  const std::size_t start = at + kWord.size();
  const std::string value = command_line.substr(start, command_line.find(' ', start) - start);
  if (value == "normal") return u16{0xFFFF};
  if (value == "ext") return u16{0xFFFE};
  if (value == "ask") return u16{0xFFFD};
  char* end = nullptr;
  const unsigned long mode = std::strtoul(value.c_str(), &end, 0);
  if (value.empty() || *end != 0 || mode > 0xFFFF) return std::nullopt;
  return static_cast<u16>(mode);
}

Result<KernelImage> load_linux(std::vector<u8> file, const std::string& kernel_path, const std::string& initrd_path,
                               const std::string& command_line, u64 low_memory_bytes) {
  const u16 protocol = load_le<u16>(&file[0x206]);
  const u8 load_flags = file[0x211];
  if (protocol < 0x202 || (load_flags & 1) == 0) {
    return Error{"kernel too old (boot protocol below 2.02 or loaded low): " + kernel_path};
  }
  const u32 setup_sectors = file[0x1F1] == 0 ? 4 : file[0x1F1];
  const u32 setup_size = (setup_sectors + 1) * 512;
  if (file.size() <= setup_size) return Error{"kernel truncated: " + kernel_path};
  if (protocol >= 0x204) {
    const u64 payload = u64{load_le<u32>(&file[0x1F4])} * 16;  // syssize: the protected-mode part in paragraphs
    if (file.size() - setup_size + 15 < payload) return Error{"kernel truncated: " + kernel_path};
  }
  const u32 command_line_limit = protocol >= 0x206 ? load_le<u32>(&file[0x238]) : 255;
  if (command_line.size() > command_line_limit) {
    return Error{"command line longer than the kernel takes (" + std::to_string(command_line_limit) +
                 " bytes): -append"};
  }
  const std::vector<u8> initrd = TRY(read_initrd(initrd_path));

  u64 initrd_limit = protocol >= 0x203 ? load_le<u32>(&file[0x22C]) : 0x37FFFFFF;
  if (initrd_limit >= low_memory_bytes - kFirmwareReserve) initrd_limit = low_memory_bytes - kFirmwareReserve - 1;
  u32 initrd_address = 0;
  if (!initrd.empty()) {
    const u64 kernel_end = kProtectedModeAddress + file.size() - setup_size;
    if (initrd.size() > initrd_limit || align_down(initrd_limit - initrd.size(), kPageSize) < kernel_end) {
      return Error{"initial RAM disk does not fit into guest memory: " + initrd_path + "; use a larger -m"};
    }
    initrd_address = static_cast<u32>(align_down(initrd_limit - initrd.size(), kPageSize));
  }
  if (kProtectedModeAddress + file.size() - setup_size > low_memory_bytes - kFirmwareReserve) {
    return Error{"kernel does not fit into guest memory: " + kernel_path + "; use a larger -m"};
  }

  u8* header = file.data();
  header[0x210] = 0xB0;   // type_of_loader: as the -kernel option of other emulators announces itself
  header[0x211] |= 0x80;  // CAN_USE_HEAP
  store_le<u16>(&header[0x224], kCommandLineAddress - kRealModeAddress - 0x200);
  store_le<u32>(&header[0x228], kCommandLineAddress);
  if (const std::optional<u16> mode = video_mode(command_line)) store_le<u16>(&header[0x1FA], *mode);
  store_le<u32>(&header[0x218], initrd_address);
  store_le<u32>(&header[0x21C], static_cast<u32>(initrd.size()));

  KernelImage image;
  image.linux_protocol = true;
  const auto split = file.begin() + setup_size;
  std::vector<u8> words(command_line.begin(), command_line.end());
  words.push_back(0);
  image.items.push_back(number_item(kCmdlineAddr, kCommandLineAddress));
  image.items.push_back(number_item(kCmdlineSize, static_cast<u32>(words.size())));
  image.items.push_back({kCmdlineData, std::move(words)});
  image.items.push_back(number_item(kInitrdAddr, initrd_address));
  image.items.push_back(number_item(kInitrdSize, static_cast<u32>(initrd.size())));
  image.items.push_back({kInitrdData, initrd});
  image.items.push_back(number_item(kKernelAddr, kProtectedModeAddress));
  image.items.push_back(number_item(kKernelSize, static_cast<u32>(file.end() - split)));
  image.items.push_back({kKernelData, std::vector<u8>(split, file.end())});
  image.items.push_back(number_item(kSetupAddr, kRealModeAddress));
  image.items.push_back(number_item(kSetupSize, setup_size));
  image.items.push_back({kSetupData, std::vector<u8>(file.begin(), split)});
  return image;
}

}  // namespace

Result<std::vector<u8>> read_file(const std::string& path, const char* what) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (file == nullptr) return Error{"cannot open " + std::string(what) + ": " + path + ": " + std::strerror(errno)};
  std::vector<u8> bytes;
  u8 chunk[65536];
  while (const std::size_t count = std::fread(chunk, 1, sizeof chunk, file.get())) {
    bytes.insert(bytes.end(), chunk, chunk + count);
    if (bytes.size() > (u64{2} << 30)) return Error{std::string(what) + " larger than 2 GiB: " + path};
  }
  if (std::ferror(file.get()) != 0)
    return Error{"cannot read " + std::string(what) + ": " + path + ": " + std::strerror(errno)};
  if (bytes.empty()) return Error{std::string(what) + " is empty: " + path};
  return bytes;
}

Result<KernelImage> load_kernel(const std::string& kernel_path, const std::string& initrd_path,
                                const std::string& command_line, u64 low_memory_bytes) {
  std::vector<u8> file = TRY(read_file(kernel_path, "kernel"));
  const bool linux_image =
      file.size() > 0x260 && load_le<u16>(&file[0x1FE]) == 0xAA55 && std::memcmp(&file[0x202], "HdrS", 4) == 0;
  if (linux_image) return load_linux(std::move(file), kernel_path, initrd_path, command_line, low_memory_bytes);
  const KernelRequest request{file, kernel_path, initrd_path, command_line, low_memory_bytes};
  if (is_multiboot(file)) return load_multiboot(request);
  if (is_elf(file)) return load_pvh(request);
  return Error{"not a kernel: " + kernel_path +
               "; expected a Linux bzImage, a Multiboot image or an ELF file with a PVH note"};
}

}  // namespace xm::machine
