// SPDX-License-Identifier: GPL-2.0-or-later
// Which file system is on a volume, and names with a volume in front.
#include "boot/core/filesystem.h"

#include "boot/core/report.h"

namespace xm::boot {
namespace {

// Splits "(hd0,1)/path"; what has no brackets is on `home`.
bool locate(const char* name, const Volume& home, FileSystem*& file_system, const char*& path) {
  Volume volume = home;
  path = name;
  if (*name == '(') {
    while (*path != 0 && *path != ')') ++path;
    if (*path == 0) return fail("%s: no ) after the volume", name);
    ++path;
    if (!parse_volume(name, static_cast<size_t>(path - name), volume)) return fail("%s: %s", name, failure());
  }
  if (*path != '/') return fail("%s: a path starts with /", name);
  if (!mount(volume, file_system)) return fail("%s: %s", name, failure());
  return true;
}

}  // namespace

bool mount(const Volume& volume, FileSystem*& file_system) {
  FileSystem* const known[] = {&ext4, &iso9660};
  (void)fail("%s", "");
  for (FileSystem* candidate : known) {
    if (candidate->mount(volume)) {
      file_system = candidate;
      return true;
    }
  }
  if (*failure() != 0) return false;  // it was one of ours, but damaged or unreadable
  char text[24];
  volume_name(volume, text, sizeof text);
  return fail("%s holds neither ext2/3/4 nor ISO 9660", text);
}

bool open_file(const char* name, const Volume& home, File& file) {
  const char* path = nullptr;
  FileSystem* file_system = nullptr;
  if (!locate(name, home, file_system, path)) return false;
  if (!file_system->open(path, file)) return fail("%s: %s", name, failure());
  file.file_system = file_system;
  return true;
}

bool list_directory(const char* name, const Volume& home, void (*visit)(const char* name, bool directory)) {
  const char* path = nullptr;
  FileSystem* file_system = nullptr;
  if (!locate(name, home, file_system, path)) return false;
  return file_system->list(path, visit) || fail("%s: %s", name, failure());
}

bool read_file(const File& file, u64 offset, void* to, u32 length) {
  if (offset + length > file.size) return fail("the file is too short");
  return file.file_system->read(file, offset, to, length);
}

}  // namespace xm::boot
