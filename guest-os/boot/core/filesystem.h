// SPDX-License-Identifier: GPL-2.0-or-later
// Files on a volume, read only. Each file system derives from FileSystem; open_file finds the right one by its magic
// number.
#pragma once

#include "boot/core/disk.h"

namespace xm::boot {

class FileSystem;

struct File {
  FileSystem* file_system = nullptr;
  u64 size = 0;
  u64 where = 0;  // the file system's own: inode number or first sector
};

class FileSystem {
 public:
  // True if the volume holds this file system; false without a reason if it holds another one.
  virtual bool mount(const Volume& volume) = 0;
  // `path` is absolute. Fails with the component that is not there.
  virtual bool open(const char* path, File& file) = 0;
  virtual bool read(const File& file, u64 offset, void* to, u32 length) = 0;
  // Calls `visit` for each name of a directory.
  virtual bool list(const char* path, void (*visit)(const char* name, bool directory)) = 0;
  virtual const char* name() const = 0;
};

extern FileSystem& ext4;
extern FileSystem& iso9660;

// Mounts what is on the volume; fails if it is none that we read.
bool mount(const Volume& volume, FileSystem*& file_system);
// Opens "(hd0,1)/path" or "/path" on `home`. One volume is mounted at a time: files opened before on another volume are
// lost.
bool open_file(const char* name, const Volume& home, File& file);
bool list_directory(const char* name, const Volume& home, void (*visit)(const char* name, bool directory));
bool read_file(const File& file, u64 offset, void* to, u32 length);

}  // namespace xm::boot
