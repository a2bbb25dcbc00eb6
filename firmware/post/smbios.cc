// SPDX-License-Identifier: GPL-2.0-or-later
// SMBIOS [SMBIOS 5.2]: the machine supplies the structures and an anchor to complete in fw_cfg; the BIOS information
// structure (type 0) is ours to put before them when the machine has none.
#include "lib/fw_cfg.h"
#include "post/post.h"

namespace xm::fw {
namespace {

struct [[gnu::packed]] Anchor21 {
  char signature[4];  // _SM_
  u8 checksum;
  u8 length;
  u8 major;
  u8 minor;
  u16 largest_structure;
  u8 revision;
  u8 formatted[5];
  char middle_signature[5];  // _DMI_
  u8 middle_checksum;
  u16 table_length;
  u32 table_address;
  u16 structure_count;
  u8 bcd_revision;
};
static_assert(sizeof(Anchor21) == 31);

struct [[gnu::packed]] Anchor30 {
  char signature[5];  // _SM3_
  u8 checksum;
  u8 length;
  u8 major, minor, docrev, revision, reserved;
  u32 largest_table;
  u64 table_address;
};
static_assert(sizeof(Anchor30) == 24);

struct [[gnu::packed]] BiosInformation {
  u8 type = 0;
  u8 length = 24;
  u16 handle = 0;
  u8 vendor = 1, version = 2;
  u16 start_segment = 0xE000;
  u8 release_date = 3;
  u8 rom_size = 1;                // 128 KiB in units of 64 KiB less one
  u64 characteristics = 0x18081;  // PCI, boot from CD, selectable boot, INT 10h/13h as an AT
  u8 extension1 = 0x01;           // ACPI
  u8 extension2 = 0x14;           // table is of a virtual machine, UEFI absent
  u8 major = 1, minor = 0, controller_major = 0xFF, controller_minor = 0xFF;
  char strings[30] = "Xiaoma\0Xiaoma BIOS\00001/01/2026";
  u8 end = 0;
};

bool has_type(const u8* table, u32 length, u8 type) {
  u32 at = 0;
  while (at + 4 <= length) {
    if (table[at] == type) return true;
    u32 next = at + max<u32>(table[at + 1], 4);
    while (next + 1 < length && (table[next] || table[next + 1])) next++;
    at = next + 2;
  }
  return false;
}

}  // namespace

void install_smbios() {
  FwCfgFile anchor_file, table_file;
  if (!fw_cfg_find("etc/smbios/smbios-anchor", &anchor_file)) return;
  if (!fw_cfg_find("etc/smbios/smbios-tables", &table_file)) return;
  if (anchor_file.size != sizeof(Anchor21) && anchor_file.size != sizeof(Anchor30)) return;
  const BiosInformation ours;
  const u32 table = allocate_high(table_file.size + static_cast<u32>(sizeof ours), 16);
  const u32 anchor = allocate_fseg(anchor_file.size, 16);
  if (!table || !anchor) return;
  u32 extra = sizeof ours;
  fw_cfg_read_physical(table_file.key, table + extra, table_file.size);
  if (has_type(bytes_at(table + extra), table_file.size, 0)) {
    memmove(bytes_at(table), bytes_at(table + extra), table_file.size);
    extra = 0;
  } else {
    memcpy(bytes_at(table), &ours, sizeof ours);
  }
  fw_cfg_read_physical(anchor_file.key, anchor, anchor_file.size);
  if (anchor_file.size == sizeof(Anchor21)) {
    Anchor21& a = physical<Anchor21>(anchor);
    a.table_address = table;
    a.table_length = static_cast<u16>(table_file.size + extra);
    if (extra) {
      a.structure_count++;
      a.largest_structure = max<u16>(a.largest_structure, sizeof ours);
    }
    a.middle_checksum = 0;
    a.middle_checksum = checksum(a.middle_signature, 15);
    a.checksum = 0;
    a.checksum = checksum(&a, sizeof a);
  } else {
    Anchor30& a = physical<Anchor30>(anchor);
    a.table_address = table;
    a.largest_table = table_file.size + extra;
    a.checksum = 0;
    a.checksum = checksum(&a, sizeof a);
  }
}

}  // namespace xm::fw
