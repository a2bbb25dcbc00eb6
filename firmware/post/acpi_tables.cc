// SPDX-License-Identifier: GPL-2.0-or-later
// Runs the linker script that the machine hands over in fw_cfg file etc/table-loader: allocate blobs, relocate pointers
// between them, complete checksums. The format is in QEMU's hw/acpi/bios-linker-loader interface description.
#include "lib/fw_cfg.h"
#include "post/post.h"

namespace xm::fw {
namespace {

enum class LoaderCommand : u32 { Allocate = 1, AddPointer = 2, AddChecksum = 3, WritePointer = 4 };

struct [[gnu::packed]] LoaderEntry {
  LoaderCommand command;
  union {
    struct [[gnu::packed]] {
      char file[56];
      u32 alignment;
      u8 zone;
    } allocate;
    struct [[gnu::packed]] {
      char pointer_file[56];
      char pointee_file[56];
      u32 offset;
      u8 size;
    } add_pointer;
    struct [[gnu::packed]] {
      char file[56];
      u32 offset;
      u32 start;
      u32 length;
    } add_checksum;
    struct [[gnu::packed]] {
      char pointer_file[56];
      char pointee_file[56];
      u32 pointer_offset;
      u32 pointee_offset;
      u8 size;
    } write_pointer;
    u8 padding[124];
  };
};
static_assert(sizeof(LoaderEntry) == 128);

struct Blob {
  char name[56];
  u32 address;
  u32 size;
};

Blob g_blobs[32];
u32 g_blob_count;

Blob* find_blob(const char* name) {
  for (u32 i = 0; i < g_blob_count; i++) {
    if (memcmp(g_blobs[i].name, name, sizeof g_blobs[i].name) == 0) return &g_blobs[i];
  }
  return nullptr;
}

bool allocate(LoaderEntry& entry) {
  constexpr u8 kFSegment = 2;
  if (g_blob_count == count_of(g_blobs)) return false;
  entry.allocate.file[55] = 0;
  FwCfgFile file;
  if (!fw_cfg_find(entry.allocate.file, &file)) return false;
  const u32 alignment = max<u32>(entry.allocate.alignment, 16);
  if (alignment & (alignment - 1)) return false;
  const u32 address =
      entry.allocate.zone == kFSegment ? allocate_fseg(file.size, alignment) : allocate_high(file.size, alignment);
  if (!address) return false;
  fw_cfg_read_physical(file.key, address, file.size);
  Blob& blob = g_blobs[g_blob_count++];
  memcpy(blob.name, entry.allocate.file, sizeof blob.name);
  blob.address = address;
  blob.size = file.size;
  return true;
}

bool valid_pointer(u8 size, u32 offset, u32 blob_size) {
  return (size == 1 || size == 2 || size == 4 || size == 8) && offset <= blob_size && blob_size - offset >= size;
}

bool add_pointer(const LoaderEntry& entry) {
  const auto& c = entry.add_pointer;
  const Blob* to = find_blob(c.pointer_file);
  const Blob* of = find_blob(c.pointee_file);
  if (!to || !of || !valid_pointer(c.size, c.offset, to->size)) return false;
  u64 value = 0;
  memcpy(&value, bytes_at(to->address + c.offset), c.size);
  value += of->address;
  memcpy(bytes_at(to->address + c.offset), &value, c.size);
  return true;
}

bool add_checksum(const LoaderEntry& entry) {
  const auto& c = entry.add_checksum;
  const Blob* blob = find_blob(c.file);
  if (!blob || c.offset >= blob->size || c.start > blob->size || c.length > blob->size - c.start) return false;
  u8& byte = physical<u8>(blob->address + c.offset);
  byte = static_cast<u8>(byte + checksum(bytes_at(blob->address + c.start), c.length));
  return true;
}

bool write_pointer(const LoaderEntry& entry) {
  const auto& c = entry.write_pointer;
  char name[56];
  memcpy(name, c.pointer_file, sizeof name);
  name[55] = 0;
  FwCfgFile to;
  const Blob* of = find_blob(c.pointee_file);
  if (!of || !fw_cfg_find(name, &to) || !valid_pointer(c.size, c.pointer_offset, to.size)) return false;
  const u64 value = u64{of->address} + c.pointee_offset;
  return fw_cfg_write(to.key, c.pointer_offset, &value, c.size);
}

bool run(LoaderEntry& entry) {
  switch (entry.command) {
    case LoaderCommand::Allocate: return allocate(entry);
    case LoaderCommand::AddPointer: return add_pointer(entry);
    case LoaderCommand::AddChecksum: return add_checksum(entry);
    case LoaderCommand::WritePointer: return write_pointer(entry);
  }
  return true;  // unknown commands are skipped, as the interface asks
}

}  // namespace

void load_acpi_tables() {
  constexpr u32 kMaxEntries = 256;
  static LoaderEntry entries[kMaxEntries];
  const u32 count = fw_cfg_read_file("etc/table-loader", entries, sizeof entries) / sizeof(LoaderEntry);
  for (u32 i = 0; i < count; i++) {
    if (!run(entries[i])) print("acpi: loader step %u failed\n", i);
  }
  if (count) print("acpi: %u tables placed\n", g_blob_count);
}

}  // namespace xm::fw
