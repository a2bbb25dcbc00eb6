// SPDX-License-Identifier: GPL-2.0-or-later
// Offsets in the BIOS data area, segment 40 [IBM AT BIOS, data area].
#pragma once

#include "services/far.h"

namespace xm::fw::bda_at {

constexpr u32 kCom = 0x00, kLpt = 0x08, kEbdaSegment = 0x0E, kEquipment = 0x10, kMemoryKiB = 0x13;
constexpr u32 kKeyFlags0 = 0x17, kKeyFlags1 = 0x18, kAltNumber = 0x19, kKeyHead = 0x1A, kKeyTail = 0x1C,
              kKeyBuffer = 0x1E;
constexpr u32 kFloppyRecalibrated = 0x3E, kFloppyMotor = 0x3F, kFloppyTimeout = 0x40, kFloppyStatus = 0x41,
              kFloppyResult = 0x42;
constexpr u32 kVideoMode = 0x49, kColumns = 0x4A, kPageSize = 0x4C, kPageStart = 0x4E, kCursors = 0x50,
              kCursorShape = 0x60, kActivePage = 0x62, kCrtcPort = 0x63, kModeSelect = 0x65, kCgaPalette = 0x66;
constexpr u32 kTicks = 0x6C, kMidnight = 0x70, kBreak = 0x71, kResetFlag = 0x72, kDiskStatus = 0x74, kDiskCount = 0x75;
constexpr u32 kLptTimeout = 0x78, kComTimeout = 0x7C, kKeyStart = 0x80, kKeyEnd = 0x82;
constexpr u32 kRows = 0x84, kCharacterHeight = 0x85, kVideoControl = 0x87, kVideoSwitches = 0x88, kVideoFlags = 0x89,
              kDisplayCode = 0x8A;
constexpr u32 kFloppyMedia = 0x90, kKeyFlags3 = 0x96, kLeds = 0x97, kWaitPointer = 0x98, kWaitCount = 0x9C,
              kWaitFlag = 0xA0, kVideoSavePointer = 0xA8;

}  // namespace xm::fw::bda_at
