// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/elf_kernel.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "emu/base/bits.h"

namespace xm::machine {

namespace {

constexpr u16 kKernelAddr = 0x07, kKernelSize = 0x08, kKernelEntry = 0x10, kKernelData = 0x11;
constexpr u16 kInitrdAddr = 0x0A, kInitrdSize = 0x0B, kInitrdData = 0x12;
constexpr u16 kCmdlineAddr = 0x13, kCmdlineSize = 0x14, kCmdlineData = 0x15;

constexpr u32 kMultibootMagic = 0x1BADB002;
constexpr u32 kHasAddresses = 1u << 16;
constexpr u32 kPvhNote = 18;  // XEN_ELFNOTE_PHYS32_ENTRY
constexpr u32 kCommandLineAddress = 0x20000;
constexpr u32 kMemoryMapRoom = 48 * 24;  // the BIOS writes at most 48 entries of the memory map
constexpr u64 kLargestImage = u64{1} << 30;

struct FlatImage {
  u32 address = 0;
  u32 entry = 0;
  std::vector<u8> bytes;
};

Error bad(const KernelRequest& request, const char* why) { return Error{std::string(why) + ": " + request.path}; }

template <class T>
std::optional<T> field(const std::vector<u8>& file, u64 offset) {
  if (offset > file.size() || file.size() - offset < sizeof(T)) return std::nullopt;
  return load_le<T>(&file[offset]);
}

// Offset of the header in the first 8 KiB, or nothing [Multiboot 3.1].
std::optional<u32> find_header(const std::vector<u8>& file) {
  const u64 end = std::min<u64>(file.size(), 8192);
  for (u32 at = 0; u64{at} + 12 <= end; at += 4) {
    if (load_le<u32>(&file[at]) != kMultibootMagic) continue;
    if (load_le<u32>(&file[at]) + load_le<u32>(&file[at + 4]) + load_le<u32>(&file[at + 8]) == 0) return at;
  }
  return std::nullopt;
}

struct ProgramHeader {
  u32 type = 0;
  u64 offset = 0, physical = 0, file_size = 0, memory_size = 0;
};

// Program headers of either ELF class; an empty list if the file is malformed.
std::vector<ProgramHeader> program_headers(const std::vector<u8>& file) {
  const bool wide = file[4] == 2;
  const u64 table = wide ? field<u64>(file, 32).value_or(0) : field<u32>(file, 28).value_or(0);
  const u64 entry = field<u16>(file, wide ? 54 : 42).value_or(0);
  const unsigned count = field<u16>(file, wide ? 56 : 44).value_or(0);
  std::vector<ProgramHeader> headers;
  for (u64 i = 0; i < count; ++i) {
    const u64 at = table + i * entry;
    if (at > file.size() || file.size() - at < (wide ? 56u : 32u)) return {};
    const u8* raw = &file[at];
    ProgramHeader header;
    header.type = load_le<u32>(raw);
    header.offset = wide ? load_le<u64>(raw + 8) : load_le<u32>(raw + 4);
    header.physical = wide ? load_le<u64>(raw + 24) : load_le<u32>(raw + 12);
    header.file_size = wide ? load_le<u64>(raw + 32) : load_le<u32>(raw + 16);
    header.memory_size = wide ? load_le<u64>(raw + 40) : load_le<u32>(raw + 20);
    if (header.offset > file.size() || file.size() - header.offset < header.file_size) return {};
    headers.push_back(header);
  }
  return headers;
}

Result<FlatImage> flatten_elf(const KernelRequest& request) {
  const std::vector<ProgramHeader> headers = program_headers(request.file);
  u64 low = ~u64{0};
  u64 high = 0;
  for (const ProgramHeader& header : headers) {
    if (header.type != 1 || header.memory_size == 0) continue;
    if (header.file_size > header.memory_size || header.physical > request.low_memory_bytes ||
        header.memory_size > request.low_memory_bytes)
      return bad(request, "kernel does not fit into guest memory");
    low = std::min(low, header.physical);
    high = std::max(high, header.physical + header.memory_size);
  }
  if (low >= high) return bad(request, "kernel truncated or without loadable segments");
  if (high > request.low_memory_bytes || high - low > kLargestImage)
    return bad(request, "kernel does not fit into guest memory");
  FlatImage image;
  image.address = static_cast<u32>(low);
  image.entry = static_cast<u32>(field<u32>(request.file, 24).value_or(0));
  image.bytes.resize(high - low);
  for (const ProgramHeader& header : headers) {
    if (header.type != 1) continue;
    std::copy_n(request.file.begin() + static_cast<std::ptrdiff_t>(header.offset), header.file_size,
                image.bytes.begin() + static_cast<std::ptrdiff_t>(header.physical - low));
  }
  return image;
}

// Header with addresses of its own, for files that are no ELF [Multiboot 3.1.3].
Result<FlatImage> flatten_addressed(const KernelRequest& request, u32 at) {
  const auto word = [&](u32 index) { return field<u32>(request.file, u64{at} + index * 4).value_or(0); };
  const u32 header_address = word(3);
  const u32 load_address = word(4);
  if (load_address > header_address || header_address - load_address > at)
    return bad(request, "bad Multiboot header in kernel");
  const u64 start = at - (header_address - load_address);
  const u64 available = request.file.size() - start;
  const u64 wanted = word(5) != 0 ? u64{word(5)} - load_address : available;
  const u64 total = std::max<u64>(wanted, word(6) != 0 ? u64{word(6)} - load_address : 0);
  if (word(5) < load_address && word(5) != 0) return bad(request, "bad Multiboot header in kernel");
  if (wanted > available) return bad(request, "kernel truncated");
  if (total > kLargestImage || load_address + total > request.low_memory_bytes)
    return bad(request, "kernel does not fit into guest memory");
  FlatImage image{.address = load_address, .entry = word(7), .bytes = std::vector<u8>(total)};
  std::copy_n(request.file.begin() + static_cast<std::ptrdiff_t>(start), wanted, image.bytes.begin());
  return image;
}

void add_number(KernelImage& kernel, u16 key, u32 value) {
  FwCfgItem item{key, std::vector<u8>(4)};
  store_le(item.bytes.data(), value);
  kernel.items.push_back(std::move(item));
}

void add_part(KernelImage& kernel, u16 address_key, u16 size_key, u16 data_key, u32 address, std::vector<u8> bytes) {
  add_number(kernel, address_key, address);
  add_number(kernel, size_key, static_cast<u32>(bytes.size()));
  kernel.items.push_back({data_key, std::move(bytes)});
}

void add_kernel(KernelImage& kernel, FlatImage image) {
  add_number(kernel, kKernelEntry, image.entry);
  add_part(kernel, kKernelAddr, kKernelSize, kKernelData, image.address, std::move(image.bytes));
}

// The information structure with strings, module list and modules behind it, addresses absolute [Multiboot 3.3].
class MultibootInformation {
 public:
  explicit MultibootInformation(u32 address) : address_(address), bytes_(kSize) { set(0, 0); }

  u32 add_text(const std::string& text) {
    const u32 at = end();
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    bytes_.push_back(0);
    return at;
  }
  u32 add_page_aligned(const std::vector<u8>& data) {
    bytes_.resize(align_up(end(), kPageSize) - address_);
    const u32 at = end();
    bytes_.insert(bytes_.end(), data.begin(), data.end());
    return at;
  }
  u32 reserve(u32 size) {
    bytes_.resize(align_up(bytes_.size(), 4));
    const u32 at = end();
    bytes_.resize(bytes_.size() + size);
    return at;
  }
  void set(u32 offset, u32 value) { store_le(&bytes_[offset], value); }
  void set_absolute(u32 at, u32 value) { set(at - address_, value); }
  u32 address() const { return address_; }
  std::vector<u8> take() { return std::move(bytes_); }

 private:
  static constexpr u32 kSize = 120;
  u32 end() const { return static_cast<u32>(address_ + bytes_.size()); }

  u32 address_;
  std::vector<u8> bytes_;
};

std::vector<std::string> split_modules(const std::string& list) {
  std::vector<std::string> modules;
  for (std::size_t at = 0; at < list.size();) {
    const std::size_t comma = std::min(list.find(',', at), list.size());
    if (comma > at) modules.push_back(list.substr(at, comma - at));
    at = comma + 1;
  }
  return modules;
}

Result<void> add_modules(const KernelRequest& request, MultibootInformation& information) {
  const std::vector<std::string> modules = split_modules(request.initrd);
  if (modules.empty()) return {};
  const u32 list = information.reserve(static_cast<u32>(modules.size() * 16));
  u32 row = list;
  for (const std::string& module : modules) {
    const std::vector<u8> bytes = TRY(read_file(module.substr(0, module.find(' ')), "module"));
    const u32 text = information.add_text(module);
    const u32 start = information.add_page_aligned(bytes);
    information.set_absolute(row, start);
    information.set_absolute(row + 4, static_cast<u32>(start + bytes.size()));
    information.set_absolute(row + 8, text);
    row += 16;
  }
  information.set(20, static_cast<u32>(modules.size()));
  information.set(24, list);
  return {};
}

// The 32-bit entry point of the note, or 0.
u32 pvh_entry(const std::vector<u8>& file) {
  for (const ProgramHeader& header : program_headers(file)) {
    if (header.type != 4) continue;
    const u64 end = header.offset + header.file_size;
    for (u64 at = header.offset; at + 12 <= end;) {
      const u32 name_size = load_le<u32>(&file[at]);
      const u32 data_size = load_le<u32>(&file[at + 4]);
      const u64 name = at + 12;
      const u64 data = name + align_up(name_size, 4);
      const u64 next = data + align_up(data_size, 4);
      if (next > end || next <= at) break;
      const bool xen = name_size == 4 && std::memcmp(&file[name], "Xen", 4) == 0;
      if (xen && load_le<u32>(&file[at + 8]) == kPvhNote && data_size >= 4) return load_le<u32>(&file[data]);
      at = next;
    }
  }
  return 0;
}

}  // namespace

bool is_elf(const std::vector<u8>& file) {
  return file.size() >= 64 &&
         std::memcmp(file.data(),
                     "\x7F"
                     "ELF",
                     4) == 0 &&
         (file[4] == 1 || file[4] == 2);
}

bool is_multiboot(const std::vector<u8>& file) { return find_header(file).has_value(); }

Result<KernelImage> load_multiboot(const KernelRequest& request) {
  const u32 at = *find_header(request.file);
  const bool addressed = (load_le<u32>(&request.file[at + 4]) & kHasAddresses) != 0;
  if (!addressed && !is_elf(request.file))
    return bad(request, "Multiboot kernel without addresses that is no ELF file");
  if (!addressed && request.file[4] == 2) return bad(request, "64-bit ELF file can not be booted by Multiboot");
  FlatImage image = addressed ? TRY(flatten_addressed(request, at)) : TRY(flatten_elf(request));

  MultibootInformation information(static_cast<u32>(align_up(image.address + image.bytes.size(), kPageSize)));
  constexpr u32 kCommandLine = 1u << 2, kModules = 1u << 3, kLoaderName = 1u << 9;
  information.set(0, kCommandLine | kLoaderName | (request.initrd.empty() ? 0 : kModules));
  information.set(16,
                  information.add_text(request.append.empty() ? request.path : request.path + " " + request.append));
  information.set(64, information.add_text("xiaoma"));
  TRY(add_modules(request, information));
  information.set(48, information.reserve(kMemoryMapRoom));

  KernelImage kernel;
  kernel.boot_protocol = "multiboot";
  const u32 address = information.address();
  std::vector<u8> bytes = information.take();
  if (address + bytes.size() > request.low_memory_bytes)
    return bad(request, "modules do not fit into guest memory; use a larger -m");
  add_kernel(kernel, std::move(image));
  add_part(kernel, kInitrdAddr, kInitrdSize, kInitrdData, address, std::move(bytes));
  return kernel;
}

Result<KernelImage> load_pvh(const KernelRequest& request) {
  const u32 entry = pvh_entry(request.file);
  if (entry == 0) return bad(request, "ELF file with neither a Multiboot header nor a PVH note");
  FlatImage image = TRY(flatten_elf(request));
  image.entry = entry;
  std::vector<u8> initrd;
  if (!request.initrd.empty()) initrd = TRY(read_file(request.initrd, "initial RAM disk"));
  const u64 end = align_up(image.address + image.bytes.size(), kPageSize);
  constexpr u64 kReserve = 0x30000;  // for the firmware's tables
  if (request.low_memory_bytes < kReserve + end + initrd.size())
    return bad(request, "kernel and initial RAM disk do not fit into guest memory; use a larger -m");
  const u64 address = align_down(request.low_memory_bytes - kReserve - initrd.size(), kPageSize);

  KernelImage kernel;
  kernel.boot_protocol = "pvh";
  add_kernel(kernel, std::move(image));
  add_part(kernel, kInitrdAddr, kInitrdSize, kInitrdData, static_cast<u32>(address), std::move(initrd));
  std::vector<u8> words(request.append.begin(), request.append.end());
  words.push_back(0);
  add_part(kernel, kCmdlineAddr, kCmdlineSize, kCmdlineData, kCommandLineAddress, std::move(words));
  return kernel;
}

}  // namespace xm::machine
