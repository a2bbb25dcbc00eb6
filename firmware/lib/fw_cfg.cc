// SPDX-License-Identifier: GPL-2.0-or-later
// fw_cfg client. Every transfer goes through DMA where the device has it (one trap for any length), else byte by byte
// through the data port.
#include "lib/fw_cfg.h"

#include "lib/boot_info.h"
#include "lib/io.h"
#include "lib/platform.h"

namespace xm::fw {
namespace {

constexpr u16 kSelectorPort = 0x510;
constexpr u16 kDataPort = 0x511;
constexpr u16 kDmaPort = 0x514;

constexpr u32 kDmaError = 1u << 0;
constexpr u32 kDmaRead = 1u << 1;
constexpr u32 kDmaSkip = 1u << 2;
constexpr u32 kDmaSelect = 1u << 3;
constexpr u32 kDmaWrite = 1u << 4;

struct DmaAccess {  // big-endian fields
  u32 control;
  u32 length;
  u32 address_high;
  u32 address_low;
};

bool has_dma() { return (boot_info().fw_cfg_features & 2) != 0; }

bool dma(u32 control, u32 address, u32 length) {
  volatile DmaAccess access;
  access.control = bswap(control);
  access.length = bswap(length);
  access.address_high = 0;
  access.address_low = bswap(address);
  out32(kDmaPort, 0);
  out32(kDmaPort + 4, bswap(physical_address(const_cast<const DmaAccess*>(&access))));
  u32 state;
  while ((state = bswap(access.control)) & ~kDmaError) cpu_relax();
  return state == 0;
}

void select(u16 key) { out16(kSelectorPort, key); }

}  // namespace

u16 fw_cfg_probe() {
  char signature[4];
  select(static_cast<u16>(FwCfgKey::Signature));
  for (char& byte : signature) byte = static_cast<char>(in8(kDataPort));
  if (memcmp(signature, "QEMU", 4) != 0) return 0;
  select(static_cast<u16>(FwCfgKey::Id));
  return static_cast<u16>(1 | (in8(kDataPort) & 2));
}

void fw_cfg_read_more(void* to, u32 length) {
  if (has_dma()) {
    dma(kDmaRead, physical_address(to), length);
    return;
  }
  u8* bytes = static_cast<u8*>(to);
  for (u32 i = 0; i < length; i++) bytes[i] = in8(kDataPort);
}

void fw_cfg_read(u16 key, void* to, u32 length) {
  if (has_dma()) {
    dma((u32{key} << 16) | kDmaSelect | kDmaRead, physical_address(to), length);
    return;
  }
  select(key);
  fw_cfg_read_more(to, length);
}

void fw_cfg_read_physical(u16 key, u32 to, u32 length) {
  if (has_dma()) {
    dma((u32{key} << 16) | kDmaSelect | kDmaRead, to, length);
    return;
  }
  select(key);
  while (length) {
    u8 chunk[256];
    const u32 part = min<u32>(length, sizeof chunk);
    fw_cfg_read_more(chunk, part);
    copy_physical(to, physical_address(chunk), part);
    to += part;
    length -= part;
  }
}

bool fw_cfg_write(u16 key, u32 offset, const void* from, u32 length) {
  if (!has_dma()) return false;
  return dma((u32{key} << 16) | kDmaSelect | kDmaSkip, 0, offset) && dma(kDmaWrite, physical_address(from), length);
}

u16 fw_cfg_read16(FwCfgKey key) {
  u16 value = 0;
  fw_cfg_read(static_cast<u16>(key), &value, sizeof value);
  return value;
}

u32 fw_cfg_read32(FwCfgKey key) {
  u32 value = 0;
  fw_cfg_read(static_cast<u16>(key), &value, sizeof value);
  return value;
}

void fw_cfg_each_file(FwCfgVisitor visit, void* context) {
  if (!boot_info().fw_cfg_features) return;
  struct {
    u32 size;
    u16 key;
    u16 reserved;
    char name[56];
  } entry;
  u32 count = 0;
  fw_cfg_read(static_cast<u16>(FwCfgKey::FileDirectory), &count, sizeof count);
  count = bswap(count);
  for (u32 i = 0; i < count; i++) {
    // The visitor may select other items, so every entry is reached from the start of the directory.
    if (has_dma()) {
      dma((u32{static_cast<u16>(FwCfgKey::FileDirectory)} << 16) | kDmaSelect | kDmaSkip, 0,
          4 + i * static_cast<u32>(sizeof entry));
    } else {
      select(static_cast<u16>(FwCfgKey::FileDirectory));
      for (u32 skip = 0; skip < 4 + i * sizeof entry; skip++) in8(kDataPort);
    }
    fw_cfg_read_more(&entry, sizeof entry);
    entry.name[sizeof entry.name - 1] = 0;
    if (visit(context, entry.name, {bswap(entry.size), bswap(entry.key)})) return;
  }
}

bool fw_cfg_find(const char* name, FwCfgFile* found) {
  struct Search {
    const char* name;
    FwCfgFile* file;
    bool hit;
  } search{name, found, false};
  fw_cfg_each_file(
      [](void* context, const char* entry_name, const FwCfgFile& file) {
        Search& wanted = *static_cast<Search*>(context);
        if (strcmp(entry_name, wanted.name) != 0) return false;
        *wanted.file = file;
        return wanted.hit = true;
      },
      &search);
  return search.hit;
}

u32 fw_cfg_read_file(const char* name, void* to, u32 room) {
  FwCfgFile file;
  if (!fw_cfg_find(name, &file)) return 0;
  const u32 length = min(file.size, room);
  fw_cfg_read(file.key, to, length);
  return length;
}

}  // namespace xm::fw
