// SPDX-License-Identifier: GPL-2.0-or-later
// Registers of the 8254x gigabit controllers [317453 13.4], in the manual's order and words.
#pragma once

#include "emu/base/types.h"

namespace xm::devices::e1000 {

inline constexpr u32 kCtrl = 0x0000, kStatus = 0x0008, kEecd = 0x0010, kEerd = 0x0014, kMdic = 0x0020, kVet = 0x0038;
inline constexpr u32 kIcr = 0x00C0, kItr = 0x00C4, kIcs = 0x00C8, kIms = 0x00D0, kImc = 0x00D8;
inline constexpr u32 kRctl = 0x0100, kTctl = 0x0400, kPba = 0x1000;
inline constexpr u32 kRdbal = 0x2800, kRdbah = 0x2804, kRdlen = 0x2808, kRdh = 0x2810, kRdt = 0x2818;
inline constexpr u32 kTdbal = 0x3800, kTdbah = 0x3804, kTdlen = 0x3808, kTdh = 0x3810, kTdt = 0x3818;
inline constexpr u32 kMpc = 0x4010, kGprc = 0x4074, kBprc = 0x4078, kMprc = 0x407C, kGptc = 0x4080;
inline constexpr u32 kGorcl = 0x4088, kGotcl = 0x4090, kTorl = 0x40C0, kTotl = 0x40C8, kTpr = 0x40D0, kTpt = 0x40D4;
inline constexpr u32 kStatisticsFirst = 0x4000, kStatisticsEnd = 0x4100;
inline constexpr u32 kRxcsum = 0x5000, kMta = 0x5200, kRal = 0x5400, kVfta = 0x5600, kRegistersEnd = 0x6000;

inline constexpr u32 kCtrlSlu = 1 << 6, kCtrlReset = 1 << 26, kCtrlVme = 1 << 30, kCtrlPhyReset = 1u << 31;
inline constexpr u32 kStatusFullDuplex = 1, kStatusLinkUp = 2, kStatusSpeed1000 = 2 << 6;
// EEPROM/flash control: the Microwire pins and the access grant.
inline constexpr u32 kEecdClock = 1, kEecdSelect = 2, kEecdIn = 4, kEecdOut = 8, kEecdRequest = 0x40, kEecdGrant = 0x80,
                     kEecdPresent = 0x100;
inline constexpr u32 kEerdStart = 1, kEerdDone = 0x10;
inline constexpr u32 kMdicWrite = 1 << 26, kMdicRead = 2 << 26, kMdicReady = 1 << 28, kMdicInterrupt = 1 << 29,
                     kMdicError = 1 << 30;
// Interrupt causes.
inline constexpr u32 kTxdw = 1, kTxqe = 2, kLsc = 4, kRxdmt0 = 1 << 4, kRxo = 1 << 6, kRxt0 = 1 << 7, kMdac = 1 << 9;
inline constexpr u32 kIntAsserted = 1u << 31;
// Receive control.
inline constexpr u32 kRctlEnable = 1 << 1, kRctlUnicastPromiscuous = 1 << 3, kRctlMulticastPromiscuous = 1 << 4,
                     kRctlLong = 1 << 5, kRctlBroadcast = 1 << 15, kRctlVlanFilter = 1 << 18,
                     kRctlSizeExtension = 1 << 25, kRctlStripCrc = 1 << 26;
inline constexpr u32 kTctlEnable = 1 << 1;

// Transmit descriptors [317453 3.3]: command bits in byte 11, status in byte 12.
struct TxDescriptor {
  u64 address;
  u32 command;  // 15:0 length (19:0 extended), 23:20 type, 31:24 command
  u32 status;   // legacy: 7:0 status, 15:8 CSS, 31:16 special; data: 15:8 POPTS
};
static_assert(sizeof(TxDescriptor) == 16);
inline constexpr u32 kTxEop = 1 << 24, kTxInsertChecksum = 1 << 26 /* legacy */, kTxTse = 1 << 26 /* extended */,
                     kTxReport = 1 << 27, kTxReportSent = 1 << 28, kTxExtended = 1 << 29, kTxVlan = 1 << 30;
inline constexpr u32 kTxTypeMask = 15 << 20, kTxTypeData = 1 << 20;
inline constexpr u32 kTxDone = 1;
inline constexpr u32 kPoptsIp = 1 << 8, kPoptsTcp = 1 << 9;

struct RxDescriptor {
  u64 address;
  u16 length;
  u16 checksum;
  u8 status;
  u8 errors;
  u16 special;
};
static_assert(sizeof(RxDescriptor) == 16);
inline constexpr u8 kRxDone = 1, kRxEop = 2, kRxIgnoreChecksum = 4, kRxVlan = 8;

// PHY registers [IEEE 802.3 clause 22].
inline constexpr unsigned kPhyControl = 0, kPhyStatus = 1, kPhyId1 = 2, kPhyId2 = 3, kPhyAdvertise = 4, kPhyPartner = 5,
                          kPhyGigabitControl = 9, kPhyGigabitStatus = 10, kPhySpecificStatus = 17;
inline constexpr u16 kPhyControlReset = 1 << 15, kPhyControlRestart = 1 << 9;
inline constexpr u16 kPhyStatusLink = 1 << 2;

}  // namespace xm::devices::e1000
