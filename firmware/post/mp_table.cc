// SPDX-License-Identifier: GPL-2.0-or-later
// The MultiProcessor configuration table [MP 4], for systems that do not read ACPI: processors, the ISA and PCI buses,
// one I/O APIC, and how interrupts reach it. IRQ 0 arrives on input 2, as on every PC with an 8254 behind an I/O APIC.
#include "post/post.h"

namespace xm::fw {
namespace {

constexpr u8 kIoApicId = 0;
constexpr u32 kLocalApic = 0xFEE00000, kIoApic = 0xFEC00000;

struct [[gnu::packed]] Floating {
  char signature[4] = {'_', 'M', 'P', '_'};
  u32 table;
  u8 length = 1, revision = 4, checksum = 0;
  u8 features[5] = {};
};
struct [[gnu::packed]] Header {
  char signature[4] = {'P', 'C', 'M', 'P'};
  u16 length = 0;
  u8 revision = 4, checksum = 0;
  char oem[8] = {'X', 'I', 'A', 'O', 'M', 'A', ' ', ' '};
  char product[12] = {'P', 'C', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
  u32 oem_table = 0;
  u16 oem_size = 0, entry_count = 0;
  u32 local_apic = kLocalApic;
  u16 extended_length = 0;
  u8 extended_checksum = 0, reserved = 0;
};
struct [[gnu::packed]] Processor {
  u8 type = 0, apic_id, version = 0x14, flags;
  u32 signature, features;
  u32 reserved[2] = {};
};
struct [[gnu::packed]] Bus {
  u8 type = 1, id;
  char name[6];
};
struct [[gnu::packed]] IoApicEntry {
  u8 type = 2, id = kIoApicId, version = 0x11, flags = 1;
  u32 address = kIoApic;
};
struct [[gnu::packed]] Interrupt {
  u8 type;  // 3: I/O, 4: local
  u8 kind;  // 0: INT, 1: NMI, 3: ExtINT
  u16 flags;
  u8 bus, bus_irq, apic, input;
};

class TableWriter {
 public:
  explicit TableWriter(u32 room) : end_(g_buffer + min<u32>(room, sizeof g_buffer)) { put(Header{}, false); }
  template <class T>
  void put(const T& entry, bool counted = true) {
    if (at_ + sizeof entry > end_) return;
    memcpy(at_, &entry, sizeof entry);
    at_ += sizeof entry;
    if (counted) count_++;
  }
  u32 size() const { return static_cast<u32>(at_ - g_buffer); }
  void copy_to(u32 address) {
    Header& header = *reinterpret_cast<Header*>(g_buffer);
    header.length = static_cast<u16>(size());
    header.entry_count = count_;
    header.checksum = checksum(g_buffer, size());
    memcpy(bytes_at(address), g_buffer, size());
  }

 private:
  static u8 g_buffer[0x1800];
  u8* at_ = g_buffer;
  u8* end_;
  u16 count_ = 0;
};
u8 TableWriter::g_buffer[0x1800];

void put_processors(TableWriter& table) {
  u32 signature, features, b, c;
  asm volatile("cpuid" : "=a"(signature), "=b"(b), "=c"(c), "=d"(features) : "a"(1), "c"(0));
  for (u32 i = 0; i < boot_info().cpu_count && i < 255; i++) {
    Processor entry;
    entry.apic_id = static_cast<u8>(i);
    entry.flags = i == 0 ? 3 : 1;
    entry.signature = signature;
    entry.features = features;
    table.put(entry);
  }
}

void put_pci_interrupts(TableWriter& table) {
  const BootInfo& info = boot_info();
  for (u32 i = 0; i < info.pci_count; i++) {
    const PciAddress address = info.pci[i].address;
    if (pci_bus(address) != 0) continue;
    const u8 pin = pci_read8(address, 0x3D), irq = pci_read8(address, 0x3C);
    if (pin < 1 || pin > 4 || irq > 23) continue;
    const u8 source = static_cast<u8>(pci_device(address) << 2 | (pin - 1));
    table.put(Interrupt{3, 0, 0, 0, source, kIoApicId, irq});
  }
}

void put_isa_interrupts(TableWriter& table) {
  constexpr u8 kIsaBus = 1;
  constexpr u32 kPciIrqs = 1u << 9 | 1u << 10 | 1u << 11 | 1u << 5;
  for (u8 irq = 0; irq < 16; irq++) {
    if (irq == 2 || (kPciIrqs >> irq & 1)) continue;
    table.put(Interrupt{3, 0, 0, kIsaBus, irq, kIoApicId, static_cast<u8>(irq == 0 ? 2 : irq)});
  }
  table.put(Interrupt{4, 3, 0, kIsaBus, 0, 0xFF, 0});
  table.put(Interrupt{4, 1, 0, kIsaBus, 0, 0xFF, 1});
}

}  // namespace

void build_mp_table() {
  const BootInfo& info = boot_info();
  TableWriter table(max(info.fseg[0].end - info.fseg[0].free, info.fseg[1].end - info.fseg[1].free) - 64u);
  put_processors(table);
  table.put(Bus{1, 0, {'P', 'C', 'I', ' ', ' ', ' '}});
  table.put(Bus{1, 1, {'I', 'S', 'A', ' ', ' ', ' '}});
  table.put(IoApicEntry{});
  put_pci_interrupts(table);
  put_isa_interrupts(table);
  const u32 at = allocate_fseg(table.size(), 16);
  const u32 pointer = allocate_fseg(sizeof(Floating), 16);
  if (!at || !pointer) return;
  table.copy_to(at);
  Floating floating;
  floating.table = at;
  floating.checksum = checksum(&floating, sizeof floating);
  memcpy(bytes_at(pointer), &floating, sizeof floating);
}

}  // namespace xm::fw
