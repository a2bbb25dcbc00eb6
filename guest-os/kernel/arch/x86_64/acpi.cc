// SPDX-License-Identifier: GPL-2.0-or-later
// ACPI tables without an AML interpreter. [ACPI 5.2]. DEVIATION: \_S5 is found by its bytes in the DSDT, as small
// kernels do; test: the guest powers off. GAP: no _PRT, no SSDT power states.
#include "kernel/arch/x86_64/acpi.h"

#include "kernel/arch/x86_64/bootinfo.h"
#include "kernel/init/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/layout.h"
#include "kernel/mm/vmalloc.h"

namespace xm::os {

constinit AcpiInfo acpi_info{};

namespace {

struct [[gnu::packed]] SdtHeader {
  char signature[4];
  u32 length;
  u8 revision, checksum;
  char oem[6], oem_table[8];
  u32 oem_revision, creator, creator_revision;
};
constinit const SdtHeader* tables[64]{};
constinit u32 table_count = 0;

u8 byte_sum(const void* p, size_t n) {
  u8 sum = 0;
  for (size_t i = 0; i < n; ++i) sum = static_cast<u8>(sum + static_cast<const u8*>(p)[i]);
  return sum;
}

template <class T>
T field(const void* table, size_t offset) {
  T v;
  memcpy(&v, static_cast<const char*>(table) + offset, sizeof v);
  return v;
}

phys_addr_t find_rsdp() {
  const u64 ebda = field<u16>(phys_to_virt(0x40e), 0) * 16ul;
  const struct { u64 start, end; } places[] = {{ebda, ebda + 1024}, {0xe0000, 0x100000}};
  for (const auto& place : places) {
    for (u64 a = align_up(place.start, 16); a != 0 && a + 20 <= place.end && place.end <= 0x100000; a += 16) {
      if (memcmp(phys_to_virt(a), "RSD PTR ", 8) == 0 && byte_sum(phys_to_virt(a), 20) == 0) return a;
    }
  }
  return 0;
}

const SdtHeader* map_table(phys_addr_t address) {
  const auto* head = static_cast<const SdtHeader*>(ioremap_cached(address, sizeof(SdtHeader)));
  const u32 length = head->length;
  if (length < sizeof(SdtHeader) || length > 1u << 24) return nullptr;
  const auto* whole = static_cast<const SdtHeader*>(ioremap_cached(address, length));
  return byte_sum(whole, length) == 0 ? whole : nullptr;
}

void collect_tables(phys_addr_t rsdp_address) {
  const void* rsdp = ioremap_cached(rsdp_address, 36);
  const phys_addr_t xsdt = field<u8>(rsdp, 15) >= 2 ? field<u64>(rsdp, 24) : 0;
  const SdtHeader* root = map_table(xsdt != 0 ? xsdt : field<u32>(rsdp, 16));
  if (root == nullptr) return;
  const u32 width = xsdt != 0 ? 8 : 4;
  for (u32 at = sizeof(SdtHeader); at + width <= root->length && table_count < array_size(tables); at += width) {
    const SdtHeader* t = map_table(width == 8 ? field<u64>(root, at) : field<u32>(root, at));
    if (t == nullptr) continue;
    tables[table_count++] = t;
    printk(KERN_INFO "ACPI: %.4s %u bytes, %.6s\n", t->signature, t->length, t->oem);
  }
}

void add_cpu(u32 apic_id, u32 flags) {
  if ((flags & 1) == 0 || acpi_info.cpu_count == kMaxCpus) return;
  acpi_info.cpu_apic_ids[acpi_info.cpu_count++] = apic_id;
}

void parse_madt(const SdtHeader* madt) {
  acpi_info.lapic_address = field<u32>(madt, 36);
  for (u32 at = 44; at + 2 <= madt->length;) {
    const u8 type = field<u8>(madt, at), length = field<u8>(madt, at + 1);
    if (length < 2 || at + length > madt->length) break;
    if (type == 0 && length >= 8) add_cpu(field<u8>(madt, at + 3), field<u32>(madt, at + 4));
    if (type == 9 && length >= 16 && field<u32>(madt, at + 4) > 254)
      add_cpu(field<u32>(madt, at + 4), field<u32>(madt, at + 8));
    if (type == 1 && length >= 12 && acpi_info.ioapic_count < array_size(acpi_info.ioapics)) {
      acpi_info.ioapics[acpi_info.ioapic_count++] = {field<u8>(madt, at + 2), field<u32>(madt, at + 4),
                                                     field<u32>(madt, at + 8)};
    }
    if (type == 2 && length >= 10 && field<u8>(madt, at + 3) < 16) {
      acpi_info.isa_override[field<u8>(madt, at + 3)] = {true, field<u32>(madt, at + 4), field<u16>(madt, at + 8)};
    }
    at += length;
  }
}

// \_S5_ is a Name with a Package of at least two integers: 08 [5c] '_S5_' 12 len count, then 0a nn or 00/01 each.
void parse_s5(const SdtHeader* dsdt) {
  const u8* aml = reinterpret_cast<const u8*>(dsdt);
  for (u32 i = sizeof(SdtHeader) + 2; i + 9 <= dsdt->length; ++i) {
    if (memcmp(aml + i, "_S5_", 4) != 0 || aml[i + 4] != 0x12) continue;
    if (aml[i - 1] != 0x08 && !(aml[i - 2] == 0x08 && aml[i - 1] == 0x5c)) continue;
    const u8* p = aml + i + 5;
    p += (*p >> 6) + 2;  // package length, element count
    u8* const out[] = {&acpi_info.s5_type_a, &acpi_info.s5_type_b};
    const u8* const end = aml + dsdt->length;
    for (u8* to : out) {
      if (p < end && *p == 0x0a) ++p;
      if (p >= end) return;
      *to = *p++;
    }
    acpi_info.s5_valid = true;
    return;
  }
}

void parse_fadt(const SdtHeader* fadt) {
  acpi_info.sci_irq = field<u16>(fadt, 46);
  acpi_info.smi_command = field<u32>(fadt, 48);
  acpi_info.acpi_enable = field<u8>(fadt, 52);
  acpi_info.pm1a_event = static_cast<u16>(field<u32>(fadt, 56));
  acpi_info.pm1_event_length = field<u8>(fadt, 88);
  acpi_info.pm1a_control = static_cast<u16>(field<u32>(fadt, 64));
  acpi_info.pm1b_control = static_cast<u16>(field<u32>(fadt, 68));
  acpi_info.pm_timer = static_cast<u16>(field<u32>(fadt, 76));
  const bool reset_supported = fadt->length >= 129 && (field<u32>(fadt, 112) & 1u << 10) != 0;
  if (reset_supported && field<u8>(fadt, 116) == 1) {
    acpi_info.reset_port = static_cast<u16>(field<u64>(fadt, 120));
    acpi_info.reset_value = field<u8>(fadt, 128);
  }
  phys_addr_t dsdt_address = field<u32>(fadt, 40);
  if (fadt->length >= 148 && field<u64>(fadt, 140) != 0) dsdt_address = field<u64>(fadt, 140);
  if (dsdt_address == 0) return;
  if (const SdtHeader* dsdt = map_table(dsdt_address)) parse_s5(dsdt);
}

}  // namespace

const void* acpi_find_table(const char* signature) {
  for (u32 i = 0; i < table_count; ++i) {
    if (memcmp(tables[i]->signature, signature, 4) == 0) return tables[i];
  }
  return nullptr;
}

void acpi_init() {
  char value[16];
  if (command_line_value("acpi", value, sizeof value) && strcmp(value, "off") == 0) return;
  const phys_addr_t rsdp = boot_info.rsdp != 0 ? boot_info.rsdp : find_rsdp();
  if (rsdp == 0) return;
  collect_tables(rsdp);
  if (const void* t = acpi_find_table("APIC")) parse_madt(static_cast<const SdtHeader*>(t));
  if (const void* t = acpi_find_table("FACP")) parse_fadt(static_cast<const SdtHeader*>(t));
  if (const void* t = acpi_find_table("HPET")) acpi_info.hpet = field<u64>(t, 44);
  if (const void* t = acpi_find_table("MCFG")) {
    if (static_cast<const SdtHeader*>(t)->length >= 60) {
      acpi_info.mcfg_base = field<u64>(t, 44);
      acpi_info.mcfg_start_bus = field<u8>(t, 54);
      acpi_info.mcfg_end_bus = field<u8>(t, 55);
    }
  }
}

}  // namespace xm::os
