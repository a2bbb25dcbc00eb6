// SPDX-License-Identifier: GPL-2.0-or-later
// ISO 9660 [ECMA-119], with the names of Rock Ridge (SUSP "NM" entries) where the disc has them, else the disc's own
// without version. GAP: no Joliet, no symbolic links, no multi-extent files, no name continuation areas.
#include "boot/core/filesystem.h"
#include "boot/core/report.h"

namespace xm::boot {
namespace {

constexpr u32 kSector = 2048, kPrimaryDescriptor = 16;
u8 sector[kSector];

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

class Iso9660 final : public FileSystem {
 public:
  const char* name() const override { return "ISO 9660"; }

  bool mount(const Volume& volume) override {
    mounted_ = volume;
    if (!read_volume(volume, kPrimaryDescriptor * kSector, sector, kSector) || sector[0] != 1 ||
        memcmp(sector + 1, "CD001", 5) != 0)
      return false;
    root_ = {peek<u32>(sector, 156 + 2), peek<u32>(sector, 156 + 10), true};
    return true;
  }

  bool open(const char* path, File& file) override {
    Record found;
    if (!walk(path, found)) return false;
    if (found.directory) return fail("not a file");
    file.size = found.size;
    file.where = found.extent;
    return true;
  }

  bool read(const File& file, u64 offset, void* to, u32 length) override {
    return read_volume(mounted_, file.where * kSector + offset, to, length);
  }

  bool list(const char* path, void (*visit)(const char* name, bool directory)) override {
    Record found;
    if (!walk(path, found)) return false;
    if (!found.directory) return fail("not a directory");
    Record none;
    return scan(found, nullptr, 0, none, visit);
  }

 private:
  struct Record {
    u32 extent = 0, size = 0;
    bool directory = false;
  };

  // The name of a directory record: Rock Ridge's, or the plain one in small letters up to ";".
  static void record_name(const u8* record, char* text) {
    const u32 length = record[0], plain = record[32];
    u32 n = 0;
    for (u32 at = 33 + plain + (plain % 2 == 0 ? 1 : 0);
         at + 5 <= length && record[at + 2] >= 4 && at + record[at + 2] <= length; at += record[at + 2]) {
      if (record[at] != 'N' || record[at + 1] != 'M') continue;
      for (u32 i = 5; i < record[at + 2] && n < 255; ++i) text[n++] = static_cast<char>(record[at + i]);
    }
    for (u32 i = 0; n == i && i < plain && record[33 + i] != ';'; ++i)
      text[n++] = lower(static_cast<char>(record[33 + i]));
    if (n > 0 && text[n - 1] == '.') --n;
    text[n] = 0;
  }

  bool scan(const Record& directory, const char* name, u32 length, Record& found,
            void (*visit)(const char* name, bool directory)) {
    for (u32 at = 0; at < directory.size; at += kSector) {
      if (!read_volume(mounted_, static_cast<u64>(directory.extent) * kSector + at, sector, kSector)) return false;
      for (u32 p = 0; p + 33 < kSector && sector[p] != 0; p += sector[p]) {
        const u8* record = sector + p;
        if (record[0] < 34 || p + record[0] > kSector || 33u + record[32] > record[0])
          return fail("ISO 9660: a directory is damaged");
        if (record[32] == 1 && record[33] <= 1) continue;  // itself and its parent
        char text[256];
        record_name(record, text);
        const bool is_directory = (record[25] & 2) != 0;
        if (visit != nullptr) {
          visit(text, is_directory);
        } else if (strlen(text) == length && memcmp(text, name, length) == 0) {
          found = {peek<u32>(record, 2), peek<u32>(record, 10), is_directory};
          return true;
        }
      }
    }
    return visit != nullptr || fail("not found");
  }

  bool walk(const char* path, Record& found) {
    found = root_;
    for (;;) {
      while (*path == '/') ++path;
      if (*path == 0) return true;
      const char* end = path;
      while (*end != 0 && *end != '/') ++end;
      if (!found.directory) return fail("a part of the path is not a directory");
      Record next;
      if (!scan(found, path, static_cast<u32>(end - path), next, nullptr)) return false;
      found = next;
      path = end;
    }
  }

  Volume mounted_;
  Record root_;
};

constinit Iso9660 instance;

}  // namespace

constinit FileSystem& iso9660 = instance;

}  // namespace xm::boot
