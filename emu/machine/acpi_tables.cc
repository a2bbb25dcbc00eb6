// SPDX-License-Identifier: GPL-2.0-or-later
// Field order and offsets are those of [ACPI 5.2]. Pointers inside the tables hold offsets into their target file
// until the loader script has relocated them.
#include "emu/machine/acpi_tables.h"

#include <cstring>
#include <string_view>

#include "dsdt_aml.h"

namespace xm::machine {

namespace {

constexpr std::string_view kTablesFile = "etc/acpi/tables";
constexpr std::string_view kRsdpFile = "etc/acpi/rsdp";

class Bytes {
 public:
  explicit Bytes(std::vector<u8>& out) : out_(out) {}
  Bytes& number(u64 value, unsigned size_bytes) {
    for (unsigned i = 0; i < size_bytes; i++) out_.push_back(static_cast<u8>(value >> (8 * i)));
    return *this;
  }
  Bytes& u8s(u64 v) { return number(v, 1); }
  Bytes& u16s(u64 v) { return number(v, 2); }
  Bytes& u32s(u64 v) { return number(v, 4); }
  Bytes& u64s(u64 v) { return number(v, 8); }
  Bytes& text(std::string_view text, std::size_t width) {
    for (std::size_t i = 0; i < width; i++) out_.push_back(i < text.size() ? static_cast<u8>(text[i]) : u8{0});
    return *this;
  }
  Bytes& zeros(std::size_t count) {
    out_.insert(out_.end(), count, 0);
    return *this;
  }
  // Generic Address Structure [ACPI 5.2.3.2].
  Bytes& gas(u8 space, u8 width, u8 access, u64 address) {
    return u8s(space).u8s(width).u8s(0).u8s(access).u64s(address);
  }

 private:
  std::vector<u8>& out_;
};

// The commands of the loader script: 128 bytes each.
class LoaderScript {
 public:
  explicit LoaderScript(std::vector<u8>& out) : out_(out) {}
  void allocate(std::string_view file, u32 alignment, bool low_segment) {
    Bytes(out_).u32s(1).text(file, 56).u32s(alignment).u8s(low_segment ? 2 : 1).zeros(128 - 4 - 56 - 5);
  }
  void add_pointer(std::string_view in_file, std::string_view to_file, u32 offset, u8 size) {
    Bytes(out_).u32s(2).text(in_file, 56).text(to_file, 56).u32s(offset).u8s(size).zeros(128 - 4 - 112 - 5);
  }
  void add_checksum(std::string_view file, u32 offset, u32 start, u32 length) {
    Bytes(out_).u32s(3).text(file, 56).u32s(offset).u32s(start).u32s(length).zeros(128 - 4 - 56 - 12);
  }

 private:
  std::vector<u8>& out_;
};

class TableBuilder {
 public:
  TableBuilder(std::vector<u8>& tables, LoaderScript& script) : tables_(tables), script_(script) {}

  // Opens a table with its header [ACPI 5.2.6]; close() fills the length and orders the checksum.
  u32 open(std::string_view signature, u8 revision) {
    start_ = static_cast<u32>(tables_.size());
    Bytes(tables_)
        .text(signature, 4)
        .u32s(0)
        .u8s(revision)
        .u8s(0)
        .text("XIAOMA", 6)
        .text("XMPC    ", 8)
        .u32s(1)
        .text("XIAO", 4)
        .u32s(1);
    return start_;
  }
  void close() {
    const auto length = static_cast<u32>(tables_.size()) - start_;
    std::memcpy(tables_.data() + start_ + 4, &length, 4);
    script_.add_checksum(kTablesFile, start_ + 9, start_, length);
    while (tables_.size() % 16 != 0) tables_.push_back(0);
  }
  // Appends a pointer to another table, of `size` bytes.
  void pointer(u32 target, u8 size) {
    script_.add_pointer(kTablesFile, kTablesFile, static_cast<u32>(tables_.size()), size);
    Bytes(tables_).number(target, size);
  }
  u32 start() const { return start_; }

 private:
  std::vector<u8>& tables_;
  LoaderScript& script_;
  u32 start_ = 0;
};

u32 add_facs(std::vector<u8>& tables) {
  while (tables.size() % 64 != 0) tables.push_back(0);
  const auto start = static_cast<u32>(tables.size());
  Bytes(tables).text("FACS", 4).u32s(64).zeros(24).u8s(1).zeros(31);
  return start;
}

u32 add_dsdt(std::vector<u8>& tables, LoaderScript& script) {
  const auto start = static_cast<u32>(tables.size());
  tables.insert(tables.end(), std::begin(dsdt_aml_code), std::end(dsdt_aml_code));
  tables[start + 9] = 0;
  script.add_checksum(kTablesFile, start + 9, start, sizeof dsdt_aml_code);
  while (tables.size() % 16 != 0) tables.push_back(0);
  return start;
}

// FADT revision 3 [ACPI 5.2.9].
u32 add_fadt(std::vector<u8>& tables, TableBuilder& builder, u32 facs, u32 dsdt) {
  const u32 start = builder.open("FACP", 3);
  Bytes out(tables);
  builder.pointer(facs, 4);
  builder.pointer(dsdt, 4);
  out.u8s(0).u8s(0).u16s(kSciIrq);
  out.u32s(0xB2).u8s(0xF1).u8s(0xF0).u8s(0).u8s(0);             // SMI command port, ACPI enable and disable
  out.u32s(kPmBase).u32s(0).u32s(kPmBase + 4).u32s(0).u32s(0);  // PM1a event, PM1b, PM1a control, PM1b, PM2
  out.u32s(kPmBase + 8).u32s(kGpeBase).u32s(0);                 // PM timer, GPE0, GPE1
  out.u8s(4).u8s(2).u8s(0).u8s(4).u8s(4).u8s(0).u8s(0).u8s(0);  // lengths
  out.u16s(0xFFF).u16s(0xFFF).u16s(0).u16s(0).u8s(0).u8s(0);    // no C2, C3; flush parameters; duty cycle
  out.u8s(0).u8s(0).u8s(0x32);                                  // RTC day alarm, month alarm, century
  out.u16s(3).u8s(0);                                           // legacy devices, 8042
  // WBINVD, PROC_C1, sleep button is a control method device (none), reset register, APIC timers stay on
  out.u32s((1u << 0) | (1u << 2) | (1u << 5) | (1u << 10));
  out.gas(1, 8, 1, 0xCF9).u8s(0x0F).zeros(3);  // reset register and value
  out.u64s(0).u64s(0);                         // X_FACS, X_DSDT: the 32-bit ones count
  out.gas(1, 32, 0, kPmBase).gas(0, 0, 0, 0).gas(1, 16, 0, kPmBase + 4).gas(0, 0, 0, 0).gas(0, 0, 0, 0);
  out.gas(1, 32, 0, kPmBase + 8).gas(1, 32, 0, kGpeBase).gas(0, 0, 0, 0);
  builder.close();
  return start;
}

// MADT [ACPI 5.2.12]: local APICs, the I/O APIC, ISA overrides (timer on pin 2; PCI and SCI lines level, active high).
u32 add_madt(std::vector<u8>& tables, TableBuilder& builder, unsigned cpus) {
  const u32 start = builder.open("APIC", 3);
  Bytes out(tables);
  out.u32s(kLocalApicBase).u32s(1);
  for (unsigned cpu = 0; cpu < cpus; cpu++) out.u8s(0).u8s(8).u8s(cpu).u8s(cpu).u32s(1);
  out.u8s(1).u8s(12).u8s(0).u8s(0).u32s(kIoApicBase).u32s(0);
  const auto override_isa = [&](u8 irq, u32 gsi, u16 flags) {
    out.u8s(2).u8s(10).u8s(0).u8s(irq).u32s(gsi).u16s(flags);
  };
  override_isa(0, 2, 0);
  for (const u8 irq : {5, 9, 10, 11}) override_isa(irq, irq, 0x0D);
  out.u8s(4).u8s(6).u8s(0xFF).u16s(0).u8s(1);  // NMI on LINT1 of every processor
  builder.close();
  return start;
}

u32 add_hpet(std::vector<u8>& tables, TableBuilder& builder) {
  const u32 start = builder.open("HPET", 1);
  Bytes(tables).u32s(0x8086A201).gas(0, 0, 0, kHpetBase).u8s(0).u16s(0).u8s(0);
  builder.close();
  return start;
}

}  // namespace

AcpiFiles build_acpi(const AcpiConfig& config) {
  AcpiFiles files;
  LoaderScript script(files.loader);
  script.allocate(kTablesFile, 64, false);
  script.allocate(kRsdpFile, 16, true);

  TableBuilder builder(files.tables, script);
  const u32 facs = add_facs(files.tables);
  const u32 dsdt = add_dsdt(files.tables, script);
  std::vector<u32> listed{add_fadt(files.tables, builder, facs, dsdt), add_madt(files.tables, builder, config.cpus)};
  if (config.hpet) listed.push_back(add_hpet(files.tables, builder));
  const u32 rsdt = builder.open("RSDT", 1);
  for (const u32 table : listed) builder.pointer(table, 4);
  builder.close();

  // RSDP revision 0 [ACPI 5.2.5.3].
  Bytes(files.rsdp).text("RSD PTR ", 8).u8s(0).text("XIAOMA", 6).u8s(0).u32s(rsdt);
  script.add_pointer(kRsdpFile, kTablesFile, 16, 4);
  script.add_checksum(kRsdpFile, 8, 0, 20);
  return files;
}

}  // namespace xm::machine
