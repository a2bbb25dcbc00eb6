// SPDX-License-Identifier: GPL-2.0-or-later
// GAP: services not there yet answer as unsupported.
#include "services/disk.h"
namespace xm::fw {
void probe_floppies() {}
DiskStatus floppy_transfer(Drive&, Direction, u64, u16, FarPointer) { return DiskStatus::BadCommand; }
void int13_floppy(Frame&, Drive&) {}
}  // namespace xm::fw
extern "C" void int0e(xm::fw::Frame*) {}
