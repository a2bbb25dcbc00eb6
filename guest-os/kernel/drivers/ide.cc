// SPDX-License-Identifier: GPL-2.0-or-later
// IDE disks and ATAPI CD drives on a PIIX-like controller in compatibility mode: bus-master DMA, or programmed I/O
// where there is none or memory lies above 4 GiB. Both drives of a channel share one set of registers: one request at a
// time. [ATA8-ACS], [SFF-8020i], [Intel 82371SB, 2.7]
// GAP: no time-outs and no reset after an error; a CD that is changed is not noticed.
#include "kernel/arch/x86_64/asm.h"
#include "kernel/arch/x86_64/irq.h"
#include "kernel/block/block.h"
#include "kernel/drivers/pci.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/clock.h"

namespace xm::os {
namespace {

// Task file: offsets from the command block's base.
constexpr u16 kData = 0, kFeatures = 1, kCount = 2, kLbaLow = 3, kLbaMiddle = 4, kLbaHigh = 5, kDevice = 6,
              kCommand = 7, kStatus = 7;
constexpr u8 kBusy = 0x80, kReady = 0x40, kFault = 0x20, kDataRequest = 0x08, kError = 0x01;
constexpr u8 ATA_READ = 0x20, ATA_READ_EXT = 0x24, ATA_READ_DMA_EXT = 0x25, ATA_WRITE = 0x30, ATA_WRITE_EXT = 0x34,
             ATA_WRITE_DMA_EXT = 0x35, ATA_READ_DMA = 0xc8, ATA_WRITE_DMA = 0xca, ATA_FLUSH = 0xe7,
             ATA_FLUSH_EXT = 0xea, ATA_IDENTIFY = 0xec, ATA_PACKET = 0xa0, ATA_IDENTIFY_PACKET = 0xa1;
constexpr u8 SCSI_READ_CAPACITY = 0x25, SCSI_READ_10 = 0x28, SCSI_TEST_UNIT_READY = 0x00;
// Bus master registers.
constexpr u16 kBmCommand = 0, kBmStatus = 2, kBmTable = 4;
constexpr u8 kBmStart = 1, kBmToMemory = 8, kBmError = 2, kBmInterrupt = 4;

constexpr u32 kMaxSegments = 32, kDiskMajor = 8, kCdMajor = 11;
constexpr u32 kSectorsPerCdBlock = 4;

struct PrdEntry {
  u32 address;
  u16 bytes, flags;  // 0x8000: the last
};

struct Channel;
struct Drive {
  Channel* channel = nullptr;
  u32 unit = 0;
  bool packet = false, lba48 = false, dma = false;
  gendisk* disk = nullptr;
};

struct Channel {
  u16 base, control, bus_master;
  u32 irq;
  spinlock_t lock{LockRank::None};
  Drive drives[2];
  PrdEntry* table = nullptr;
  // The request under way.
  request* current_request = nullptr;
  Drive* drive = nullptr;
  bool by_dma = false;
  request_segment segments[kMaxSegments];
  u32 segment_count = 0, segment = 0, offset = 0;
  u32 sectors_left = 0;

  u8 in(u16 r) const { return inb(static_cast<u16>(base + r)); }
  void out(u16 r, u8 v) const { outb(static_cast<u16>(base + r), v); }
};

// --- polling, for the moments that have no interrupt ---
bool wait_idle(const Channel& c, u8 wanted, u32 milliseconds) {
  for (u32 i = 0; i < milliseconds * 100; ++i) {
    const u8 status = c.in(kStatus);
    if ((status & kBusy) == 0 && (status & (kError | kFault)) != 0) return false;
    if ((status & (kBusy | wanted)) == wanted) return true;
    udelay(10);
  }
  return false;
}
void select(const Channel& c, u32 unit, u8 bits) {
  c.out(kDevice, static_cast<u8>(0xa0 | unit << 4 | bits));
  for (int i = 0; i < 4; ++i) inb(c.control);  // 400 ns
}

// --- programmed I/O into and out of the segments ---
u16* position(Channel& c) {
  const request_segment& s = c.segments[c.segment];
  u16* at = reinterpret_cast<u16*>(static_cast<u8*>(phys_to_virt(s.address)) + c.offset);
  c.offset += 2;
  if (c.offset == s.length) {
    ++c.segment;
    c.offset = 0;
  }
  return at;
}
void read_words(Channel& c, u32 bytes) {
  for (u32 i = 0; i < bytes / 2; ++i) {
    const u16 word = inw(c.base);
    if (c.segment < c.segment_count) *position(c) = word;
  }
}
void write_words(Channel& c, u32 bytes) {
  for (u32 i = 0; i < bytes / 2 && c.segment < c.segment_count; ++i) outw(c.base, *position(c));
}

// --- starting requests ---
bool fill_table(Channel& c) {
  if (c.bus_master == 0 || !c.drive->dma) return false;
  for (u32 i = 0; i < c.segment_count; ++i) {
    const request_segment& s = c.segments[i];
    if (s.address + s.length > 1ul << 32) return false;
    // A piece lies within a page, so it never crosses 64 KiB.
    c.table[i] = {static_cast<u32>(s.address), static_cast<u16>(s.length), 0};
  }
  c.table[c.segment_count - 1].flags = 0x8000;
  return true;
}
void prepare_dma(const Channel& c, bool to_memory) {
  outl(static_cast<u16>(c.bus_master + kBmTable), static_cast<u32>(virt_to_phys(c.table)));
  outb(static_cast<u16>(c.bus_master + kBmCommand), to_memory ? kBmToMemory : 0);
  const u8 status = inb(static_cast<u16>(c.bus_master + kBmStatus));
  outb(static_cast<u16>(c.bus_master + kBmStatus), status | kBmError | kBmInterrupt);
}
void run_dma(const Channel& c, bool to_memory) {
  outb(static_cast<u16>(c.bus_master + kBmCommand), static_cast<u8>((to_memory ? kBmToMemory : 0) | kBmStart));
}

void send_packet(const Channel& c, const u8* packet) {
  for (u32 i = 0; i < 6; ++i) outw(c.base, static_cast<u16>(packet[2 * i] | packet[2 * i + 1] << 8));
}

bool start_packet(Channel& c, u64 sector) {
  if (sector % kSectorsPerCdBlock != 0 || c.sectors_left % kSectorsPerCdBlock != 0) return false;
  const u32 block = static_cast<u32>(sector / kSectorsPerCdBlock), count = c.sectors_left / kSectorsPerCdBlock;
  const u8 packet[12] = {SCSI_READ_10,
                         0,
                         static_cast<u8>(block >> 24),
                         static_cast<u8>(block >> 16),
                         static_cast<u8>(block >> 8),
                         static_cast<u8>(block),
                         0,
                         static_cast<u8>(count >> 8),
                         static_cast<u8>(count),
                         0,
                         0,
                         0};
  c.by_dma = fill_table(c);
  if (c.by_dma) prepare_dma(c, true);
  c.out(kFeatures, c.by_dma ? 1 : 0);
  c.out(kLbaMiddle, 0);  // at most 32 KiB a turn
  c.out(kLbaHigh, 0x80);
  c.out(kCommand, ATA_PACKET);
  if (!wait_idle(c, kDataRequest, 100)) return false;
  send_packet(c, packet);
  if (c.by_dma) run_dma(c, true);
  return true;
}

bool start_transfer(Channel& c, u64 sector, bool write) {
  const bool wide = c.drive->lba48;
  c.by_dma = fill_table(c);
  if (c.by_dma) prepare_dma(c, !write);
  if (wide) {
    c.out(kCount, static_cast<u8>(c.sectors_left >> 8));
    c.out(kLbaLow, static_cast<u8>(sector >> 24));
    c.out(kLbaMiddle, static_cast<u8>(sector >> 32));
    c.out(kLbaHigh, static_cast<u8>(sector >> 40));
  } else {
    c.out(kDevice, static_cast<u8>(0xe0 | c.drive->unit << 4 | (sector >> 24 & 15)));
  }
  c.out(kCount, static_cast<u8>(c.sectors_left));
  c.out(kLbaLow, static_cast<u8>(sector));
  c.out(kLbaMiddle, static_cast<u8>(sector >> 8));
  c.out(kLbaHigh, static_cast<u8>(sector >> 16));
  const u8 dma = write ? (wide ? ATA_WRITE_DMA_EXT : ATA_WRITE_DMA) : (wide ? ATA_READ_DMA_EXT : ATA_READ_DMA);
  const u8 pio = write ? (wide ? ATA_WRITE_EXT : ATA_WRITE) : (wide ? ATA_READ_EXT : ATA_READ);
  c.out(kCommand, c.by_dma ? dma : pio);
  if (c.by_dma) {
    run_dma(c, !write);
  } else if (write) {
    if (!wait_idle(c, kDataRequest, 100)) return false;
    write_words(c, 512);
    --c.sectors_left;
  }
  return true;
}

bool start_request(Channel& c, Drive& d, request* r) {
  c.current_request = r;
  c.drive = &d;
  c.segment = c.offset = c.segment_count = c.sectors_left = 0;
  c.by_dma = false;
  u64 sector = 0;
  if (r->op != BioOp::Flush) c.segment_count = blk_map_request(r, c.segments, kMaxSegments, &sector);
  for (u32 i = 0; i < c.segment_count; ++i) c.sectors_left += c.segments[i].length / 512;
  select(c, d.unit, d.packet ? 0 : 0x40);
  if (!wait_idle(c, d.packet ? static_cast<u8>(0) : kReady, 1000)) return false;
  if (r->op == BioOp::Flush) {
    c.out(kCommand, d.lba48 ? ATA_FLUSH_EXT : ATA_FLUSH);
    return true;
  }
  return d.packet ? start_packet(c, sector) : start_transfer(c, sector, r->op == BioOp::Write);
}

struct IdeOps final : block_device_operations {
  void start(gendisk* disk) const override {
    Drive* d = static_cast<Drive*>(disk->driver_data);
    Channel& c = *d->channel;
    IrqGuard guard(c.lock);
    while (c.current_request == nullptr) {
      request* r = blk_next_request(disk);
      if (r == nullptr || start_request(c, *d, r)) return;
      c.current_request = nullptr;
      failed_later(r);
    }
  }
  // The queue is locked here: the failure is told by the softirq.
  static void failed_later(request* r) {
    r->at = nullptr;
    r->at_sector = r->sector + r->sectors;
    blk_end_request(r, -EIO);
  }
};
constinit const IdeOps ide_ops{};

// Moves the request on. True: it is over, with *error.
bool advance(Channel& c, u8 status, int* error) {
  const request* r = c.current_request;
  if ((status & (kError | kFault)) != 0) {
    *error = -EIO;
    return true;
  }
  if (r->op == BioOp::Flush || c.by_dma) return true;
  if (c.drive->packet) {
    if ((status & kDataRequest) == 0) return true;
    read_words(c, c.in(kLbaMiddle) | static_cast<u32>(c.in(kLbaHigh)) << 8);
    return false;
  }
  if (r->op == BioOp::Read) {
    read_words(c, 512);
    return --c.sectors_left == 0;
  }
  if (c.sectors_left == 0) return true;
  write_words(c, 512);
  --c.sectors_left;
  return false;
}

IrqReturn handle_interrupt(u32, void* device) {
  Channel& c = *static_cast<Channel*>(device);
  request* done = nullptr;
  int error = 0;
  {
    IrqGuard guard(c.lock);
    if (c.current_request == nullptr) {
      c.in(kStatus);  // nobody's: just acknowledged
      return IrqReturn::None;
    }
    if (c.by_dma) {
      const u8 bm = inb(static_cast<u16>(c.bus_master + kBmStatus));
      if ((bm & kBmInterrupt) == 0) return IrqReturn::None;
      outb(static_cast<u16>(c.bus_master + kBmCommand), 0);
      outb(static_cast<u16>(c.bus_master + kBmStatus), bm | kBmError | kBmInterrupt);
      if ((bm & kBmError) != 0) error = -EIO;
    }
    const u8 status = c.in(kStatus);
    if ((status & kBusy) != 0) return IrqReturn::None;
    if (advance(c, status, &error) || error != 0) {
      done = c.current_request;
      c.current_request = nullptr;
    }
  }
  if (done == nullptr) return IrqReturn::Handled;
  blk_end_request(done, error);
  for (const Drive& d : c.drives) {
    if (d.disk == nullptr) continue;
    IrqGuard guard(d.disk->queue.lock);
    ide_ops.start(d.disk);
  }
  return IrqReturn::Handled;
}

// --- finding drives, without interrupts ---
bool identify(Channel& c, Drive& d, u16* words) {
  select(c, d.unit, 0);
  if (c.in(kStatus) == 0xff || c.in(kStatus) == 0) return false;
  c.out(kCount, 0);
  c.out(kLbaLow, 0);
  c.out(kLbaMiddle, 0);
  c.out(kLbaHigh, 0);
  c.out(kCommand, ATA_IDENTIFY);
  if (c.in(kStatus) == 0) return false;
  if (!wait_idle(c, kDataRequest, 300)) {
    d.packet = c.in(kLbaMiddle) == 0x14 && c.in(kLbaHigh) == 0xeb;
    if (!d.packet) return false;
    c.out(kCommand, ATA_IDENTIFY_PACKET);
    if (!wait_idle(c, kDataRequest, 300)) return false;
  }
  for (u32 i = 0; i < 256; ++i) words[i] = inw(c.base);
  return true;
}

// Sends a packet and reads `bytes` of the answer.
bool packet_command(Channel& c, const Drive& d, const u8* packet, u8* answer, u32 bytes) {
  select(c, d.unit, 0);
  c.out(kFeatures, 0);
  c.out(kLbaMiddle, static_cast<u8>(bytes));
  c.out(kLbaHigh, 0);
  c.out(kCommand, ATA_PACKET);
  if (!wait_idle(c, kDataRequest, 300)) return false;
  send_packet(c, packet);
  if (!wait_idle(c, bytes != 0 ? kDataRequest : static_cast<u8>(0), 1000)) return false;
  for (u32 i = 0; i < bytes / 2; ++i) {
    const u16 word = inw(c.base);
    memcpy(answer + 2 * i, &word, 2);
  }
  return wait_idle(c, 0, 300);
}

u64 cd_sectors(Channel& c, const Drive& d) {
  const u8 ready[12] = {SCSI_TEST_UNIT_READY}, capacity[12] = {SCSI_READ_CAPACITY};
  u8 answer[8]{};
  // The first command after power-on reports that; it is asked again.
  for (int i = 0; i < 3 && !packet_command(c, d, ready, nullptr, 0); ++i) {
  }
  if (!packet_command(c, d, capacity, answer, 8)) return 0;
  u32 last, size;
  memcpy(&last, answer, 4);
  memcpy(&size, answer + 4, 4);
  last = __builtin_bswap32(last);
  return __builtin_bswap32(size) == 2048 ? (last + 1ul) * kSectorsPerCdBlock : 0;
}

u64 disk_sectors(const u16* words, Drive& d) {
  d.lba48 = (words[83] & 1 << 10) != 0;
  if (d.lba48)
    return words[100] | static_cast<u64>(words[101]) << 16 | static_cast<u64>(words[102]) << 32 |
           static_cast<u64>(words[103]) << 48;
  return words[60] | static_cast<u64>(words[61]) << 16;
}

constinit u32 disk_count = 0, cd_count = 0;

void probe_drive(Channel& c, Drive& d) {
  u16 words[256];
  if (!identify(c, d, words)) return;
  d.dma = (words[49] & 1 << 8) != 0;
  gendisk* disk = knew<gendisk>();
  if (disk == nullptr) return;
  disk->sectors = d.packet ? cd_sectors(c, d) : disk_sectors(words, d);
  disk->read_only = d.packet;
  disk->partitioned = !d.packet;
  disk->has_flush = !d.packet;
  disk->queue.max_segments = kMaxSegments;
  disk->ops = &ide_ops;
  disk->driver_data = &d;
  if (d.packet) {
    disk->major = kCdMajor;
    disk->first_minor = cd_count;
    format(disk->name, sizeof disk->name, "sr%u", cd_count++);
  } else {
    disk->major = kDiskMajor;
    disk->first_minor = disk_count * kMaxPartitions;
    format(disk->name, sizeof disk->name, "sd%c", static_cast<char>('a' + disk_count++));
  }
  d.disk = disk;
}

void probe_channel(device* parent, u16 base, u16 control, u16 bus_master, u32 irq) {
  Channel* c = knew<Channel>();
  if (c == nullptr) return;
  c->base = base;
  c->control = control;
  c->bus_master = bus_master;
  c->irq = irq;
  c->table = static_cast<PrdEntry*>(get_free_page(GFP_DMA32 | GFP_ZERO));
  outb(control, 2);  // no interrupts
  for (u32 unit = 0; unit < 2; ++unit) {
    c->drives[unit].channel = c;
    c->drives[unit].unit = unit;
    if (c->table != nullptr) probe_drive(*c, c->drives[unit]);
  }
  if (c->drives[0].disk == nullptr && c->drives[1].disk == nullptr) {
    kdelete(c);
    return;
  }
  if (request_irq(irq, handle_interrupt, 0, "ata_piix", c) != 0) {
    printk(KERN_ERR "ide: interrupt %u is taken\n", irq);
    return;
  }
  c->in(kStatus);
  outb(control, 0);
  for (const Drive& d : c->drives) {
    if (d.disk != nullptr) add_disk(d.disk, parent);
  }
}

int ide_probe(pci_dev* d) {
  if ((d->class_code & 5) != 0) return -ENODEV;  // native mode: other ports
  pci_enable(d);
  const pci_bar bar = pci_read_bar(d, 4);
  const u16 bus_master = bar.is_io ? static_cast<u16>(bar.address) : static_cast<u16>(0);
  probe_channel(&d->dev, 0x1f0, 0x3f6, bus_master, 14);
  probe_channel(&d->dev, 0x170, 0x376, bus_master != 0 ? static_cast<u16>(bus_master + 8) : static_cast<u16>(0), 15);
  return 0;
}
constexpr pci_device_id kIdeIds[] = {{kPciAny, kPciAny, 0x010100, 0xffff00}};
constinit pci_driver ide_driver{"ata_piix", kIdeIds, array_size(kIdeIds), ide_probe};
void ide_init() { pci_register_driver(&ide_driver); }
DEVICE_INITCALL(ide_init);

}  // namespace
}  // namespace xm::os
