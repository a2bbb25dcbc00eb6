// SPDX-License-Identifier: GPL-2.0-or-later
// What the loader can start. Each load_ function puts a system into memory; start_system then leaves the loader for
// good.
#pragma once

#include "boot/core/filesystem.h"

namespace xm::boot {

enum class SystemKind { None, Linux, Multiboot, Sector };

// A bzImage of the Linux boot protocol (ours, Linux, memtest86+); `arguments` becomes its command line.
bool load_linux(const char* name, const char* arguments, const Volume& home);
bool is_linux(const File& file);
bool load_initrd(const char* name, const Volume& home);
[[noreturn]] void start_linux();

// A Multiboot 1 kernel: ELF32 or with an address header.
bool load_multiboot(const char* name, const char* arguments, const Volume& home);
bool is_multiboot(const File& file);
bool load_module(const char* name, const char* arguments, const Volume& home);
[[noreturn]] void start_multiboot();

// The boot sector of a disk or partition.
bool load_sector(const Volume& volume);
[[noreturn]] void start_sector_now();

}  // namespace xm::boot
