// SPDX-License-Identifier: GPL-2.0-or-later
// What differs between the two compilations of the shared sources: POST runs flat in 32-bit protected mode, the
// services run in real mode with DS = ES = SS = E000.
#pragma once

#include "lib/boot_info.h"
#include "lib/types.h"

namespace xm::fw {

#ifdef XM_FW_REAL_MODE
extern "C" BootInfo g_boot_info;
inline BootInfo& boot_info() { return g_boot_info; }
inline u32 physical_address(const volatile void* p) { return kDataSegmentBase + reinterpret_cast<u32>(p); }
#else
inline BootInfo& boot_info() { return *reinterpret_cast<BootInfo*>(kDataSegmentBase); }
inline u32 physical_address(const volatile void* p) { return reinterpret_cast<u32>(p); }
#endif

// Copies between physical addresses below 4 GiB.
void copy_physical(u32 to, u32 from, u32 length);

inline void cpu_relax() { asm volatile("pause" : : : "memory"); }

// Puts one character of the POST log or of the boot messages where people can read it.
void put_character(char c);

// printf for firmware messages: %s %c %u %x %p (8 digits) %b (2 digits) %w (4 digits).
void print_arguments(const char* format, __builtin_va_list arguments);
void print(const char* format, ...);

}  // namespace xm::fw
