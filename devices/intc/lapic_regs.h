// SPDX-License-Identifier: GPL-2.0-or-later
// Register map of the local APIC [SDM3 Table 11-1]: offsets in the 4 KiB page; the x2APIC MSR is 800h + (offset >> 4).
#pragma once

#include "emu/base/types.h"

namespace xm::devices::lapic {

inline constexpr u32 kId = 0x020;
inline constexpr u32 kVersion = 0x030;
inline constexpr u32 kTaskPriority = 0x080;
inline constexpr u32 kArbitrationPriority = 0x090;
inline constexpr u32 kProcessorPriority = 0x0A0;
inline constexpr u32 kEoi = 0x0B0;
inline constexpr u32 kRemoteRead = 0x0C0;
inline constexpr u32 kLogicalDestination = 0x0D0;
inline constexpr u32 kDestinationFormat = 0x0E0;
inline constexpr u32 kSpuriousVector = 0x0F0;
inline constexpr u32 kInService = 0x100;  // eight registers of 32 vectors each
inline constexpr u32 kTriggerMode = 0x180;
inline constexpr u32 kRequest = 0x200;
inline constexpr u32 kErrorStatus = 0x280;
inline constexpr u32 kCommandLow = 0x300;
inline constexpr u32 kCommandHigh = 0x310;
inline constexpr u32 kLvtTimer = 0x320;  // timer, thermal, performance, LINT0, LINT1, error
inline constexpr u32 kLvtError = 0x370;
inline constexpr u32 kInitialCount = 0x380;
inline constexpr u32 kCurrentCount = 0x390;
inline constexpr u32 kDivide = 0x3E0;
inline constexpr u32 kSelfIpi = 0x3F0;  // x2APIC only

// Order of the local vector table in the page.
enum Lvt : u8 { kTimer, kThermal, kPerformance, kLint0, kLint1, kError, kLvtCount };

inline constexpr u32 kLvtMasked = 1u << 16;
inline constexpr u32 kLvtLevel = 1u << 15;
inline constexpr u32 kLvtRemoteIrr = 1u << 14;
inline constexpr u32 kLvtActiveLow = 1u << 13;

inline constexpr u32 kSpuriousEnable = 1u << 8;
inline constexpr u32 kSpuriousNoEoiBroadcast = 1u << 12;

inline constexpr u32 kErrorSendIllegalVector = 1u << 5;
inline constexpr u32 kErrorReceiveIllegalVector = 1u << 6;

// IA32_APIC_BASE [SDM3 11.4.3]
inline constexpr u64 kBaseBootProcessor = 1u << 8;
inline constexpr u64 kBaseX2 = 1u << 10;
inline constexpr u64 kBaseEnable = 1u << 11;
inline constexpr u64 kBaseDefault = 0xFEE0'0000;

}  // namespace xm::devices::lapic
