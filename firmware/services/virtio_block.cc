// SPDX-License-Identifier: GPL-2.0-or-later
// virtio-blk over PCI, modern and legacy [VIRTIO 4.1, 5.2]. One request at a time, completion by polling. Rings lie in
// reserved RAM below 4 GiB; header, status and the caller's buffer below 1 MiB.
// GAP: callers in virtual-8086 mode, because rings and modern registers are beyond 1 MiB.
#include "services/disk.h"

namespace xm::fw {
namespace {

constexpr u8 kAcknowledge = 1, kDriver = 2, kDriverOk = 4, kFeaturesOk = 8, kFailed = 0x80;
constexpr u8 kCommonConfig = 1, kNotifyConfig = 2, kDeviceConfig = 4;
constexpr u16 kNext = 1, kDeviceWrites = 2;

// A window of registers, in memory or I/O space.
struct Registers {
  u32 base;
  bool is_io;

  u32 read(u32 offset, u32 bytes) const {
    if (is_io) {
      const u16 port = static_cast<u16>(base + offset);
      return bytes == 1 ? in8(port) : bytes == 2 ? in16(port) : in32(port);
    }
    return bytes == 1   ? read_physical<u8>(base + offset)
           : bytes == 2 ? read_physical<u16>(base + offset)
                        : read_physical<u32>(base + offset);
  }
  void write(u32 offset, u32 bytes, u32 value) const {
    if (is_io) {
      const u16 port = static_cast<u16>(base + offset);
      if (bytes == 1) out8(port, static_cast<u8>(value));
      if (bytes == 2) out16(port, static_cast<u16>(value));
      if (bytes == 4) out32(port, value);
      return;
    }
    if (bytes == 1) write_physical<u8>(base + offset, static_cast<u8>(value));
    if (bytes == 2) write_physical<u16>(base + offset, static_cast<u16>(value));
    if (bytes == 4) write_physical<u32>(base + offset, value);
  }
};

struct Queue {
  u32 descriptors, available, used;
  u16 size;
  u16 seen;  // used index already handled
  Registers doorbell;
};

struct RequestHeader {
  u32 type;
  u32 reserved;
  u64 sector;
};

constexpr u8 kMaxQueues = 8;
Queue g_queues[kMaxQueues];
u8 g_queue_count;
RequestHeader g_header;
volatile u8 g_status;

u32 take_from_pool(u32 bytes) {
  const u32 at = align_up<u32>(g_boot_info.pool_base, 0x1000);
  if (!at || at + bytes > g_boot_info.pool_end) return 0;
  g_boot_info.pool_base = at + bytes;
  for (u32 i = 0; i < bytes; i += 4) write_physical<u32>(at + i, 0);
  return at;
}

bool find_registers(PciAddress pci, u8 type, Registers* found, u32* multiplier) {
  for (u32 cap = pci_find_capability(pci, 0x09); cap; cap = pci_find_capability(pci, 0x09, cap)) {
    if (pci_read8(pci, cap + 3) != type) continue;
    const u8 bar = pci_read8(pci, cap + 4);
    if (bar > 5) continue;
    const u32 value = pci_read32(pci, 0x10u + bar * 4);
    const bool is_io = value & 1;
    if (!is_io && (value & 6) == 4 && pci_read32(pci, 0x14u + bar * 4) != 0) continue;  // above 4 GiB: out of reach
    const u32 base = value & (is_io ? ~3u : ~15u);
    if (!base) continue;
    *found = {base + pci_read32(pci, cap + 8), is_io};
    if (multiplier) *multiplier = pci_read32(pci, cap + 16);
    return true;
  }
  return false;
}

bool start_modern(PciAddress pci, Queue& queue, Registers* config) {
  Registers common, notify;
  u32 multiplier = 0;
  if (!find_registers(pci, kCommonConfig, &common, nullptr) || !find_registers(pci, kDeviceConfig, config, nullptr) ||
      !find_registers(pci, kNotifyConfig, &notify, &multiplier)) {
    return false;
  }
  common.write(0x14, 1, 0);
  while (common.read(0x14, 1)) cpu_relax();
  common.write(0x14, 1, kAcknowledge);
  common.write(0x14, 1, kAcknowledge | kDriver);
  common.write(0x08, 4, 0);  // driver features: only VERSION_1, bit 32
  common.write(0x0C, 4, 0);
  common.write(0x08, 4, 1);
  common.write(0x0C, 4, 1);
  common.write(0x14, 1, kAcknowledge | kDriver | kFeaturesOk);
  if (!(common.read(0x14, 1) & kFeaturesOk)) return false;
  common.write(0x16, 2, 0);
  const u16 available = static_cast<u16>(common.read(0x18, 2));
  queue.size = min<u16>(available, 8);
  const u32 ring = take_from_pool(0x1000);
  if (!queue.size || !ring) return false;
  queue.descriptors = ring;
  queue.available = ring + 0x100;
  queue.used = ring + 0x200;
  common.write(0x18, 2, queue.size);
  common.write(0x20, 4, queue.descriptors), common.write(0x24, 4, 0);
  common.write(0x28, 4, queue.available), common.write(0x2C, 4, 0);
  common.write(0x30, 4, queue.used), common.write(0x34, 4, 0);
  const u32 offset = common.read(0x1E, 2);
  queue.doorbell = {notify.base + offset * multiplier, notify.is_io};
  common.write(0x1C, 2, 1);
  common.write(0x14, 1, kAcknowledge | kDriver | kFeaturesOk | kDriverOk);
  return true;
}

bool start_legacy(PciAddress pci, Queue& queue, Registers* config) {
  const u32 bar = pci_read32(pci, 0x10);
  if (!(bar & 1) || !(bar & ~3u)) return false;
  const Registers device{bar & ~3u, true};
  device.write(0x12, 1, 0);
  device.write(0x12, 1, kAcknowledge);
  device.write(0x12, 1, kAcknowledge | kDriver);
  device.write(0x04, 4, 0);
  device.write(0x0E, 2, 0);
  queue.size = static_cast<u16>(device.read(0x0C, 2));
  if (!queue.size) return false;
  const u32 used_offset = align_up<u32>(queue.size * 18u + 6, 0x1000);
  const u32 ring = take_from_pool(used_offset + align_up<u32>(queue.size * 8u + 6, 0x1000));
  if (!ring) return false;
  queue.descriptors = ring;
  queue.available = ring + queue.size * 16u;
  queue.used = ring + used_offset;
  queue.doorbell = {device.base + 0x10, true};
  device.write(0x08, 4, ring >> 12);
  device.write(0x12, 1, kAcknowledge | kDriver | kDriverOk);
  *config = {device.base + 0x14, true};  // no MSI-X: the configuration follows at once
  return true;
}

void put_descriptor(const Queue& queue, u16 index, u32 address, u32 length, u16 flags) {
  const u32 at = queue.descriptors + index * 16u;
  write_physical<u32>(at, address);
  write_physical<u32>(at + 4, 0);
  write_physical<u32>(at + 8, length);
  write_physical<u32>(at + 12, u32{flags} | u32{static_cast<u16>(index + 1)} << 16);
}

void add_virtio_drive(const PciFunction& f) {
  if (g_queue_count == kMaxQueues) return;
  pci_write16(f.address, 0x04, static_cast<u16>(pci_read16(f.address, 0x04) | 7));
  Queue& queue = g_queues[g_queue_count];
  Registers config;
  if (!start_modern(f.address, queue, &config) && !start_legacy(f.address, queue, &config)) return;
  Drive* d = add_drive(DriveKind::VirtioBlock);
  if (!d) return;
  d->unit = g_queue_count++;
  d->pci = f.address;
  d->block_bytes = 512;
  d->blocks = u64{config.read(4, 4)} << 32 | config.read(0, 4);
  choose_geometry(*d);
  memcpy(d->model, "virtio disk", 12);
}

}  // namespace

void probe_virtio_block() {
  for (u32 i = 0; i < g_boot_info.pci_count; i++) {
    const PciFunction& f = g_boot_info.pci[i];
    if (f.vendor == 0x1AF4 && (f.device == 0x1001 || f.device == 0x1042)) add_virtio_drive(f);
  }
}

DiskStatus virtio_transfer(Drive& d, Direction direction, u64 block, u16 count, FarPointer buffer) {
  Queue& queue = g_queues[d.unit];
  const bool write = direction == Direction::Write;
  g_header = {write ? 1u : 0u, 0, block};
  g_status = 0xFF;
  put_descriptor(queue, 0, physical_address(&g_header), sizeof g_header, kNext);
  put_descriptor(queue, 1, buffer.linear(), count * 512u, write ? kNext : kNext | kDeviceWrites);
  put_descriptor(queue, 2, physical_address(&g_status), 1, kDeviceWrites);
  const u16 index = read_physical<u16>(queue.available + 2);
  write_physical<u16>(queue.available + 4 + 2u * (index % queue.size), 0);
  write_physical<u16>(queue.available, 1);  // no interrupt wanted
  write_physical<u16>(queue.available + 2, static_cast<u16>(index + 1));
  queue.doorbell.write(0, 2, 0);
  u32 polls = 0;
  Deadline deadline(60000);
  while (read_physical<u16>(queue.used + 2) == queue.seen) {
    // The first looks cost nothing but memory; a slow request may as well be timed.
    if (++polls > 1000 && deadline.passed()) return DiskStatus::Timeout;
  }
  queue.seen++;
  return g_status == 0 ? DiskStatus::Ok : g_status == 1 ? DiskStatus::ControllerFailure : DiskStatus::BadCommand;
}

}  // namespace xm::fw
