// SPDX-License-Identifier: GPL-2.0-or-later
// Initcalls: a driver or file system starts itself. They run in task 1, in order of level, with interrupts and all of
// memory available.
#pragma once

namespace xm::os {

using initcall_t = void (*)();
// Mounts root=; set by the block layer's owner of the words root=, rootfstype=, rootflags=. False: there is no such
// device.
bool prepare_root(const char* device);

}  // namespace xm::os

#define XM_INITCALL(level, function) \
  [[gnu::used, gnu::section(".initcall." #level)]] static const ::xm::os::initcall_t initcall_##function = function
// Buses, file systems, devices, late work.
#define BUS_INITCALL(function) XM_INITCALL(1, function)
#define FS_INITCALL(function) XM_INITCALL(2, function)
#define DEVICE_INITCALL(function) XM_INITCALL(3, function)
#define LATE_INITCALL(function) XM_INITCALL(4, function)
