// SPDX-License-Identifier: GPL-2.0-or-later
// What the compiler calls in a program without a C++ library.
#include "kernel/init/printk.h"

extern "C" {
void __cxa_pure_virtual() { xm::os::panic("pure virtual call"); }
int __cxa_atexit(void (*)(void*), void*, void*) { return 0; }
void* __dso_handle = nullptr;
}
void operator delete(void*) noexcept { xm::os::panic("operator delete"); }
void operator delete(void*, unsigned long) noexcept { xm::os::panic("operator delete"); }
